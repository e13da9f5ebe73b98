//! The Internet checksum (RFC 1071): sums of 16-bit words in ones' complement.
//!
//! All functions give the *folded sum*, not its complement, so a packet whose checksum field is
//! included sums to `0xffff` when it is right.

use std::net::{IpAddr, Ipv4Addr};

use crate::Protocol;

/// Folded sum of `bytes`; `0xffff` for an IPv4 header with a right checksum.
#[inline]
pub fn of(bytes: &[u8]) -> u16 {
    fold(sum(bytes))
}

/// [`of`] for an IPv4 header without options, whose length the compiler knows.
#[inline(always)]
pub fn of_ipv4_header(header: &[u8; 20]) -> u16 {
    fold(sum_of_header(header))
}

/// Folded sum of the pseudo header: what checksum offload leaves in the field of a packet that
/// was captured before the NIC completed it.
pub fn pseudo_header(src: IpAddr, dst: IpAddr, protocol: Protocol, len: u32) -> u16 {
    fold(pseudo(src, dst, protocol, len))
}

/// Folded sum of the pseudo header and a TCP segment or UDP datagram with its checksum field.
#[inline]
pub fn transport(src: IpAddr, dst: IpAddr, protocol: Protocol, bytes: &[u8]) -> u16 {
    let len = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    fold(add(pseudo(src, dst, protocol, len), sum(bytes)))
}

/// [`transport`] between IPv4 addresses.
#[inline(always)]
pub fn transport_ipv4(src: Ipv4Addr, dst: Ipv4Addr, protocol: Protocol, bytes: &[u8]) -> u16 {
    let len = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    let word = |bytes| u64::from(u32::from_le_bytes(bytes));
    let addresses = word(src.octets()) + word(dst.octets());
    let rest = word([0, protocol.0, 0, 0]) + word(len.to_be_bytes());
    let sum = match bytes.split_first_chunk() {
        // An acknowledgment without options has nothing else.
        Some((header, &[])) => sum_of_header(header),
        Some((header, payload)) => add(sum_of_header(header), sum(payload)),
        None => sum(bytes),
    };
    fold(add(addresses + rest, sum))
}

#[inline]
fn pseudo(src: IpAddr, dst: IpAddr, protocol: Protocol, len: u32) -> u64 {
    let addresses = match (src, dst) {
        (IpAddr::V4(src), IpAddr::V4(dst)) => add(sum(&src.octets()), sum(&dst.octets())),
        (src, dst) => add(sum(&octets(src)), sum(&octets(dst))),
    };
    add(addresses, sum(&[0, protocol.0]) + sum(&len.to_be_bytes()))
}

fn octets(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
        IpAddr::V6(v6) => v6.octets(),
    }
}

/// Bytes that are summed in a row without a look at how many there are.
const BLOCK: usize = 64;

/// Sum of 64-bit words in ones' complement, which folds to that of 16-bit words, in little-endian
/// order (RFC 1071 sections 2(B) and 2(C)).
///
/// An addition with carry takes eight bytes in one instruction, of which a processor has several
/// under way; vectors of 128 bits, which every x86-64 has, take twice as many for the same bytes.
#[inline]
fn sum(bytes: &[u8]) -> u64 {
    let (blocks, rest) = bytes.as_chunks::<BLOCK>();
    let sum = if blocks.is_empty() { 0 } else { sum_of_blocks(blocks) };
    let (words, rest) = rest.as_chunks();
    let sum = words.iter().fold(sum, |sum, word| add(sum, u64::from_le_bytes(*word)));
    match bytes.last_chunk() {
        // The last bytes, moved up to where they would be with zeros behind them.
        Some(last) if !rest.is_empty() => {
            add(sum, u64::from_le_bytes(*last) >> (u64::BITS as usize - 8 * rest.len()))
        }
        Some(_) => sum,
        None => word(rest),
    }
}

/// Of a header without options, of IPv4 or TCP.
#[inline(always)]
fn sum_of_header(header: &[u8; 20]) -> u64 {
    let (words, rest) = header.as_chunks();
    add(sum_of_words(words), word(rest))
}

#[inline(never)]
fn sum_of_blocks(blocks: &[[u8; BLOCK]]) -> u64 {
    blocks.iter().fold(0, |sum, block| add(sum, sum_of_words(block.as_chunks().0)))
}

#[inline(always)]
fn sum_of_words(words: &[[u8; 8]]) -> u64 {
    let (sum, carry) = words.iter().fold((0_u64, false), |(sum, carry), word| {
        sum.carrying_add(u64::from_le_bytes(*word), carry)
    });
    add(sum, carry.into())
}

/// Fewer than eight bytes, with zeros behind them.
#[inline(always)]
fn word(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte))
}

/// Adds in ones' complement.
#[inline(always)]
const fn add(a: u64, b: u64) -> u64 {
    let (sum, carry) = a.overflowing_add(b);
    // Where there is a carry, the sum is not the greatest number.
    sum.wrapping_add(carry as u64)
}

/// From 64 bits to 16, by adding the halves in ones' complement twice.
#[inline]
const fn fold(sum: u64) -> u16 {
    let sum = (sum.wrapping_add(sum.rotate_left(32)) >> 32) as u32;
    let sum = (sum.wrapping_add(sum.rotate_left(16)) >> 16) as u16;
    sum.swap_bytes()
}

#[cfg(test)]
mod tests {
    use etherparse::checksum::u64_16bit_word::{add_slice, ones_complement};
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_example_of_rfc_1071_sums_right() {
        assert_eq!(of(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]), 0xddf2);
    }

    #[test]
    fn an_odd_length_is_padded_with_zero() {
        assert_eq!(of(&[0x12, 0x34, 0x56]), of(&[0x12, 0x34, 0x56, 0x00]));
    }

    #[test]
    fn a_right_tcp_checksum_sums_to_ffff() {
        let (src, dst) = ([10, 0, 0, 1].into(), [10, 0, 0, 2].into());
        let mut segment = [0; 21];
        segment[20] = 0xab;
        let sum = transport(src, dst, Protocol::TCP, &segment);
        segment[16..18].copy_from_slice(&(!sum).to_be_bytes());
        assert_eq!(transport(src, dst, Protocol::TCP, &segment), 0xffff);
        assert_ne!(pseudo_header(src, dst, Protocol::TCP, 21), 0xffff);
    }

    proptest! {
        #[test]
        fn every_length_sums_as_etherparse_has_it(
            bytes in prop::collection::vec(any::<u8>(), 0..2000),
            ones in any::<bool>(),
        ) {
            let bytes = if ones { vec![0xff; bytes.len()] } else { bytes };
            prop_assert_eq!(of(&bytes), !ones_complement(add_slice(0, &bytes)).to_be());
            if let Some(header) = bytes.first_chunk() {
                prop_assert_eq!(of_ipv4_header(header), of(header));
            }
            let [src, dst] = [Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(192, 168, 255, 2)];
            prop_assert_eq!(
                transport_ipv4(src, dst, Protocol::TCP, &bytes),
                transport(src.into(), dst.into(), Protocol::TCP, &bytes)
            );
        }
    }
}
