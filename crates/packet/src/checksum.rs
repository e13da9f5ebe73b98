//! The Internet checksum (RFC 1071): sums of 16-bit words in ones' complement.
//!
//! All functions give the *folded sum*, not its complement, so a packet whose checksum field is
//! included sums to `0xffff` when it is right.

use std::net::IpAddr;

use etherparse::checksum::u64_16bit_word::{add_2bytes, add_4bytes, add_slice};

use crate::Protocol;

/// Folded sum of `bytes`; `0xffff` for an IPv4 header with a right checksum.
pub fn of(bytes: &[u8]) -> u16 {
    fold(add_slice(0, bytes))
}

/// Folded sum of the pseudo header: what checksum offload leaves in the field of a packet that
/// was captured before the NIC completed it.
pub fn pseudo_header(src: IpAddr, dst: IpAddr, protocol: Protocol, len: u32) -> u16 {
    fold(pseudo(src, dst, protocol, len))
}

/// Folded sum of the pseudo header and a TCP segment or UDP datagram with its checksum field.
pub fn transport(src: IpAddr, dst: IpAddr, protocol: Protocol, bytes: &[u8]) -> u16 {
    let len = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    fold(add_slice(pseudo(src, dst, protocol, len), bytes))
}

fn pseudo(src: IpAddr, dst: IpAddr, protocol: Protocol, len: u32) -> u64 {
    let mut sum = match (src, dst) {
        (IpAddr::V4(src), IpAddr::V4(dst)) => add_4bytes(add_4bytes(0, src.octets()), dst.octets()),
        (src, dst) => add_slice(add_slice(0, &octets(src)), &octets(dst)),
    };
    sum = add_2bytes(sum, [0, protocol.0]);
    add_4bytes(sum, len.to_be_bytes())
}

fn octets(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
        IpAddr::V6(v6) => v6.octets(),
    }
}

fn fold(sum: u64) -> u16 {
    // etherparse sums in native byte order and complements at the end.
    !etherparse::checksum::u64_16bit_word::ones_complement(sum).to_be()
}

#[cfg(test)]
mod tests {
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
}
