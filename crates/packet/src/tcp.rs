//! TCP (RFC 9293 section 3.1).

use std::fmt;
use std::ops::BitOr;

use crate::Seq;
use crate::error::{Layer, Malformed};

/// Control bits of a segment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Flags(pub u8);

impl Flags {
    /// No more data from the sender.
    pub const FIN: Self = Self(0x01);
    /// Synchronise sequence numbers.
    pub const SYN: Self = Self(0x02);
    /// Reset the connection.
    pub const RST: Self = Self(0x04);
    /// Push function.
    pub const PSH: Self = Self(0x08);
    /// The acknowledgment number counts.
    pub const ACK: Self = Self(0x10);
    /// The urgent pointer counts.
    pub const URG: Self = Self(0x20);
    /// ECN echo (RFC 3168).
    pub const ECE: Self = Self(0x40);
    /// Congestion window reduced (RFC 3168).
    pub const CWR: Self = Self(0x80);

    /// Whether every bit of `bits` is set.
    pub const fn all(self, bits: Self) -> bool {
        self.0 & bits.0 == bits.0
    }

    /// Whether at least one bit of `bits` is set.
    pub const fn any(self, bits: Self) -> bool {
        self.0 & bits.0 != 0
    }

    /// Without the bits of `bits`.
    #[must_use]
    pub const fn without(self, bits: Self) -> Self {
        Self(self.0 & !bits.0)
    }
}

impl BitOr for Flags {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// One letter a flag, in the order of the header from the lowest bit: `FSRPAUEC`; `-` for none.
impl fmt::Display for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::with_capacity(8);
        for (bit, letter) in "FSRPAUEC".chars().enumerate() {
            if self.0 >> bit & 1 == 1 {
                text.push(letter);
            }
        }
        f.pad(if text.is_empty() { "-" } else { &text })
    }
}

/// A TCP header.
///
/// Only the 20 fixed bytes have to be there: a capture with a small snaplen cuts the options off,
/// and the segment can still be followed.
#[derive(Clone, Copy, Debug)]
pub struct Tcp<'a> {
    /// Source port.
    pub src_port: u16,
    /// Destination port.
    pub dst_port: u16,
    /// Sequence number of the first byte, or of the SYN.
    pub seq: Seq,
    /// Acknowledgment number; counts only with [`Flags::ACK`].
    pub ack: Seq,
    /// Length of the header with options that the data offset claims, in bytes: 0 to 60.
    pub header_len: usize,
    /// Control bits.
    pub flags: Flags,
    /// Window as it stands in the header, not scaled.
    pub window: u16,
    /// Checksum field.
    pub checksum: u16,
    /// Options, as far as they were captured.
    pub options: &'a [u8],
}

impl<'a> Tcp<'a> {
    /// Length of the header without options, in bytes.
    pub const HEADER_LEN: usize = 20;

    /// Reads the header at the start of `bytes`. The data offset is not judged: one below 5, or
    /// beyond the segment, is the reader's to refuse.
    ///
    /// # Errors
    ///
    /// Fewer than 20 bytes.
    #[inline(always)]
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let short = Malformed::short(Layer::Tcp, Self::HEADER_LEN, bytes.len());
        let (
            [s0, s1, d0, d1, q0, q1, q2, q3, a0, a1, a2, a3, offset, flags, w0, w1, c0, c1, _, _],
            rest,
        ) = bytes.split_first_chunk::<20>().ok_or(short)?;
        let header_len = usize::from(offset >> 4) * 4;
        let options_len = header_len.saturating_sub(Self::HEADER_LEN).min(rest.len());
        Ok(Self {
            src_port: u16::from_be_bytes([*s0, *s1]),
            dst_port: u16::from_be_bytes([*d0, *d1]),
            seq: Seq(u32::from_be_bytes([*q0, *q1, *q2, *q3])),
            ack: Seq(u32::from_be_bytes([*a0, *a1, *a2, *a3])),
            header_len,
            flags: Flags(*flags),
            window: u16::from_be_bytes([*w0, *w1]),
            checksum: u16::from_be_bytes([*c0, *c1]),
            options: rest.get(..options_len).unwrap_or_default(),
        })
    }

    /// As [`parse`](Self::parse), of a header that is whole, options included, and whose data
    /// offset says so; `None` of any other.
    #[inline(always)]
    pub fn parse_whole(bytes: &'a [u8]) -> Option<Self> {
        let header_len = usize::from(bytes.get(12)? >> 4) * 4;
        let options = bytes.get(Self::HEADER_LEN..header_len)?;
        let tcp = Self::parse(bytes).ok()?;
        Some(Self { header_len, options, ..tcp })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_every_field() {
        let mut bytes = [0; 24];
        bytes[..20].copy_from_slice(&[
            0, 80, 0x1f, 0x90, 0, 0, 0, 1, 0, 0, 0, 2, 0x60, 0x12, 0xfa, 0xf0, 0xab, 0xcd, 0, 0,
        ]);
        bytes[20..].copy_from_slice(&[2, 4, 5, 0xb4]);
        let tcp = Tcp::parse(&bytes).unwrap();
        assert_eq!((tcp.src_port, tcp.dst_port), (80, 8080));
        assert_eq!((tcp.seq, tcp.ack, tcp.window, tcp.checksum), (Seq(1), Seq(2), 64240, 0xabcd));
        assert!(tcp.flags.all(Flags::SYN | Flags::ACK) && !tcp.flags.any(Flags::FIN | Flags::RST));
        assert_eq!((tcp.header_len, tcp.options), (24, &[2, 4, 5, 0xb4][..]));
    }

    #[test]
    fn cut_options_are_read_as_far_as_they_go() {
        let mut bytes = [0; 22];
        bytes[12] = 0xf0;
        let tcp = Tcp::parse(&bytes).unwrap();
        assert_eq!((tcp.header_len, tcp.options.len()), (60, 2));
    }

    #[test]
    fn flags_print_one_letter_each() {
        assert_eq!((Flags::SYN | Flags::ACK).to_string(), "SA");
        assert_eq!(Flags(0xff).to_string(), "FSRPAUEC");
        assert_eq!(Flags::default().to_string(), "-");
    }
}
