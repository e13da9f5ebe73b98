//! BPF over any slice of bytes, compiled by libpcap without a device.
//!
//! Expressions are those of pcap-filter(7). `len`, `less` and `greater` see the captured length,
//! not that on the wire. A host name in an expression is looked up when it is compiled.

use std::fmt;

use pcap::{BpfProgram, Capture, Linktype};
use vtap_packet::LinkType;

use crate::Error;

/// A program for one link type.
pub struct Filter {
    program: BpfProgram,
}

impl Filter {
    /// Compiles an expression.
    ///
    /// # Errors
    ///
    /// A syntax error, or a primitive that the link type does not have, as `ether host` on raw IP.
    pub fn compile(expression: &str, link: LinkType) -> Result<Self, Error> {
        let failed = |error: pcap::Error| Error::Filter {
            expression: expression.to_owned(),
            why: error.to_string().trim_start_matches("libpcap error: ").to_owned(),
        };
        let handle = Capture::dead(data_link(link)).map_err(failed)?;
        let program = handle.compile(expression, true).map_err(failed)?;
        Ok(Self { program })
    }

    /// Whether a frame passes. One that is cut before a byte that the program reads does not.
    pub fn matches(&self, frame: &[u8]) -> bool {
        self.program.filter(frame)
    }

    /// The program, for the kernel to run.
    pub(crate) fn instructions(&self) -> Vec<libc::sock_filter> {
        // The crate has no access to the fields of an instruction but its text, the four numbers
        // in their order. They are not for longer than the text is made.
        let read = |text: &str| {
            let mut numbers = text.split(' ');
            Some(libc::sock_filter {
                code: numbers.next()?.parse().ok()?,
                jt: numbers.next()?.parse().ok()?,
                jf: numbers.next()?.parse().ok()?,
                k: numbers.next()?.parse().ok()?,
            })
        };
        let instructions = self.program.get_instructions().iter();
        instructions.filter_map(|instruction| read(&instruction.to_string())).collect()
    }
}

impl fmt::Debug for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Filter").finish_non_exhaustive()
    }
}

/// One expression for frames of any link type, each compiled when the first such frame comes.
#[derive(Debug)]
pub struct FilterSet {
    expression: String,
    programs: Vec<(LinkType, Option<Filter>)>,
    refused: Vec<Error>,
}

impl FilterSet {
    /// Compiles the expression for Ethernet, to know at once whether it is one.
    ///
    /// # Errors
    ///
    /// A syntax error.
    pub fn new(expression: &str) -> Result<Self, Error> {
        let ethernet = Filter::compile(expression, LinkType::ETHERNET)?;
        let programs = vec![(LinkType::ETHERNET, Some(ethernet))];
        Ok(Self { expression: expression.to_owned(), programs, refused: Vec::new() })
    }

    /// Whether a frame passes. Where the expression makes no sense for its link type, none does,
    /// and [`refused`](Self::refused) says so.
    #[inline]
    pub fn matches(&mut self, link: LinkType, frame: &[u8]) -> bool {
        let known = self.programs.iter().position(|(known, _)| *known == link);
        let at = known.unwrap_or_else(|| self.compile(link));
        self.programs
            .get(at)
            .and_then(|(_, program)| program.as_ref())
            .is_some_and(|program| program.matches(frame))
    }

    /// Link types for which the expression did not compile.
    pub fn refused(&self) -> &[Error] {
        &self.refused
    }

    #[cold]
    fn compile(&mut self, link: LinkType) -> usize {
        if self.programs.len() < MAX_LINKS {
            let program = Filter::compile(&self.expression, link);
            let program = program.map_err(|error| self.refused.push(error)).ok();
            self.programs.push((link, program));
            return self.programs.len() - 1;
        }
        usize::MAX
    }
}

/// Link types in one input for which programs are kept; frames of further ones do not pass.
const MAX_LINKS: usize = 64;

/// The number by which libpcap knows a link type in memory, where it differs from that in files.
fn data_link(link: LinkType) -> Linktype {
    Linktype(match link {
        LinkType::RAW | LinkType(14) => 12,
        LinkType(100) => 11,
        LinkType(number) => number.into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SYN: [u8; 40] = [
        0x45, 0, 0, 40, 0, 0, 0, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2, //
        4, 0, 0, 80, 0, 0, 0, 0, 0, 0, 0, 0, 0x50, 2, 0, 0, 0, 0, 0, 0,
    ];

    fn framed(header: &[u8]) -> Vec<u8> {
        [header, &SYN].concat()
    }

    #[test]
    fn one_expression_fits_every_link_type() {
        let mut set = FilterSet::new("tcp dst port 80").unwrap();
        let ethernet = framed(&[0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 2, 8, 0]);
        let mut sll2 = vec![8, 0];
        sll2.extend([0; 18]);
        for (link, frame) in [
            (LinkType::ETHERNET, ethernet),
            (LinkType::RAW, SYN.to_vec()),
            (LinkType(12), SYN.to_vec()),
            (LinkType::IPV4, SYN.to_vec()),
            (LinkType::NULL, framed(&[2, 0, 0, 0])),
            (LinkType::LOOP, framed(&[0, 0, 0, 2])),
            (LinkType::LINUX_SLL, framed(&[0, 0, 0, 1, 0, 6, 0, 0, 0, 0, 0, 0, 0, 0, 8, 0])),
            (LinkType::LINUX_SLL2, framed(&sll2)),
        ] {
            assert!(set.matches(link, &frame), "{link}");
            assert!(!set.matches(link, &frame[..frame.len() - 20]), "{link}");
            assert!(!set.matches(link, &[]), "{link}");
        }
        assert!(set.refused().is_empty());
    }

    #[test]
    fn a_syntax_error_is_told_before_any_packet() {
        let error = FilterSet::new("tcp dst dst").unwrap_err();
        assert!(error.to_string().contains("syntax error"), "{error}");
    }

    #[test]
    fn an_expression_without_sense_for_a_link_type_matches_nothing_there() {
        let mut set = FilterSet::new("ether host 00:00:00:00:00:01").unwrap();
        assert!(!set.matches(LinkType::RAW, &SYN));
        assert!(!set.matches(LinkType::RAW, &SYN));
        assert_eq!(set.refused().len(), 1);
    }
}
