//! TCP options (RFC 9293 section 3.2), as far as following a connection needs them.
//!
//! Reading stops at the end-of-list option and at the first option whose length does not fit;
//! unknown kinds are stepped over. (etherparse's iterator ends at the first unknown kind, which
//! would lose window scaling behind a Fast Open cookie.)

use crate::Seq;

/// One option that vtap reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TcpOption<'a> {
    /// Kind 3: shift count (RFC 7323), not yet limited to 14.
    WindowScale(u8),
    /// Kind 4: SACK permitted (RFC 2018).
    SackPermitted,
    /// Kind 5: SACK blocks, 8 bytes each.
    Sack(SackBlocks<'a>),
    /// Any other kind with its value.
    Other(u8, &'a [u8]),
}

/// The blocks of a SACK option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SackBlocks<'a>(&'a [u8]);

impl SackBlocks<'_> {
    /// Right edges: the sequence number just behind each block.
    pub fn right_edges(self) -> impl Iterator<Item = Seq> {
        self.0
            .as_chunks::<8>()
            .0
            .iter()
            .map(|[.., a, b, c, d]| Seq(u32::from_be_bytes([*a, *b, *c, *d])))
    }
}

/// Iterator over the options of a header.
#[derive(Clone, Copy, Debug)]
pub struct TcpOptions<'a> {
    rest: &'a [u8],
}

impl<'a> TcpOptions<'a> {
    /// Over the bytes behind the fixed header.
    pub const fn new(options: &'a [u8]) -> Self {
        Self { rest: options }
    }
}

impl<'a> Iterator for TcpOptions<'a> {
    type Item = TcpOption<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.rest {
                [] | [0, ..] | [_] => return None,
                [1, rest @ ..] => self.rest = rest,
                [kind, len, ..] => {
                    let value = self.rest.get(2..usize::from(*len))?;
                    self.rest = self.rest.get(usize::from(*len)..)?;
                    return Some(match (*kind, value) {
                        (3, [shift]) => TcpOption::WindowScale(*shift),
                        (4, []) => TcpOption::SackPermitted,
                        (5, blocks) if !blocks.is_empty() && blocks.len() % 8 == 0 => {
                            TcpOption::Sack(SackBlocks(blocks))
                        }
                        (kind, value) => TcpOption::Other(kind, value),
                    });
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_kinds_are_stepped_over() {
        let options = [2, 4, 5, 0xb4, 34, 6, 1, 2, 3, 4, 1, 3, 3, 7, 4, 2, 0, 3, 3, 9];
        let read: Vec<_> = TcpOptions::new(&options).collect();
        assert_eq!(read.len(), 4);
        assert_eq!(read[2..], [TcpOption::WindowScale(7), TcpOption::SackPermitted]);
    }

    #[test]
    fn a_length_that_does_not_fit_ends_the_list() {
        for damaged in [&[3, 0, 7][..], &[3, 1, 7], &[3, 9, 7], &[3]] {
            assert_eq!(TcpOptions::new(damaged).count(), 0);
        }
    }

    #[test]
    fn sack_blocks_give_their_right_edges() {
        let options = [1, 1, 5, 18, 0, 0, 0, 1, 0, 0, 0, 9, 0, 0, 1, 0, 0, 0, 2, 0];
        let Some(TcpOption::Sack(blocks)) = TcpOptions::new(&options).next() else { panic!() };
        assert_eq!(blocks.right_edges().collect::<Vec<_>>(), [Seq(9), Seq(0x200)]);
    }
}
