//! Community ID, version 1: one name for a flow across tools
//! (<https://github.com/corelight/community-id-spec>).
//!
//! SHA-1 over seed, both addresses, protocol, padding and both ports, the smaller endpoint first;
//! in base64 after `1:`. The VNI has no part in it.
//!
//! An id is made anew for each event: with SHA instructions that takes less time than finding it
//! in a table that holds the flows of a busy link, which no cache is large enough for.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use sha1::block_api::compress;
use vtap_packet::Protocol;

/// The ids of rows that have not gone out yet.
///
/// Each step of SHA-1 waits for the one before, so an id that is made among the other fields holds
/// them up. Of many at once, the processor works on several at a time.
#[derive(Default)]
pub(crate) struct Ids {
    /// Where in the rows an id belongs, and what it is the hash of.
    due: Vec<(usize, [u8; 64])>,
}

impl Ids {
    /// Leaves room at the end of `rows` for the id of the flow between two endpoints, with seed 0:
    /// the same whichever of them sent. Of ICMP it would need type and code.
    #[inline]
    pub(crate) fn leave_room(
        &mut self,
        rows: &mut Vec<u8>,
        protocol: Protocol,
        (src, dst): (SocketAddr, SocketAddr),
    ) {
        rows.extend_from_slice(b"1:");
        self.due.push((rows.len(), message(protocol, src, dst)));
        rows.extend_from_slice(&[0; 28]);
    }

    /// Writes the ids that are due into `rows`.
    pub(crate) fn fill(&mut self, rows: &mut [u8]) {
        for (at, message) in self.due.drain(..) {
            let mut state = INITIAL;
            compress(&mut state, &[message]);
            if let Some(room) = rows.get_mut(at..).and_then(<[u8]>::first_chunk_mut) {
                *room = base64(state);
            }
        }
    }
}

impl fmt::Debug for Ids {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ids").field("due", &self.due.len()).finish()
    }
}

/// What SHA-1 begins with.
const INITIAL: [u32; 5] = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476, 0xc3d2_e1f0];

/// What is hashed, the smaller endpoint first.
fn message(protocol: Protocol, src: SocketAddr, dst: SocketAddr) -> [u8; 64] {
    match (src, dst) {
        (SocketAddr::V4(src), SocketAddr::V4(dst)) => {
            // Either may be the smaller one, as chance has it: numbers are put in order without a
            // branch.
            let key = |ip: u32, port: u16| u64::from(ip) << 16 | u64::from(port);
            let src = key(src.ip().to_bits(), src.port());
            let dst = key(dst.ip().to_bits(), dst.port());
            let ends = [src.min(dst), src.max(dst)].map(|end| {
                let [_, _, ip @ .., p0, p1] = end.to_be_bytes();
                (ip, [p0, p1])
            });
            padded(protocol, ends)
        }
        (src, dst) => {
            let key = |end: SocketAddr| (v6(end.ip()).octets(), end.port().to_be_bytes());
            let (src, dst) = (key(src), key(dst));
            padded(protocol, [src.min(dst), src.max(dst)])
        }
    }
}

const fn v6(ip: IpAddr) -> Ipv6Addr {
    match ip {
        IpAddr::V4(v4) => v4.to_ipv6_mapped(),
        IpAddr::V6(v6) => v6,
    }
}

/// The message of two endpoints, padded as SHA-1 wants it. With addresses of either kind it fits
/// one block.
#[inline]
fn padded<const N: usize>(
    protocol: Protocol,
    [(low, low_port), (high, high_port)]: [([u8; N], [u8; 2]); 2],
) -> [u8; 64] {
    const SEED: [u8; 2] = [0; 2];
    const END: [u8; 1] = [0x80];
    let mut block = [0; 64];
    let mut rest = block.as_mut_slice();
    let has_ports = matches!(protocol, Protocol::TCP | Protocol::UDP | Protocol::SCTP);
    let (low_port, high_port): (&[u8], &[u8]) =
        if has_ports { (&low_port, &high_port) } else { (&[], &[]) };
    let fields: [&[u8]; 7] = [&SEED, &low, &high, &[protocol.0, 0], low_port, high_port, &END];
    for field in fields {
        if let Some(to) = rest.split_off_mut(..field.len()) {
            to.copy_from_slice(field);
        }
    }
    let bits = 8 * (SEED.len() + 2 * (N + 1) + low_port.len() + high_port.len()) as u64;
    if let Some(to) = rest.last_chunk_mut() {
        *to = bits.to_be_bytes();
    }
    block
}

/// The 20 bytes of a digest in base64.
#[inline]
fn base64([a, b, c, d, e]: [u32; 5]) -> [u8; 28] {
    let pair = |high: u32, low: u32| u64::from(high) << 32 | u64::from(low);
    // 48 bits are eight characters; the 16 that are left over are three, and one fills up.
    let groups = [pair(a, b) >> 16, pair(b, c), pair(d, e) >> 16, pair(e, 0)];
    let mut characters = [0; 32];
    for (to, group) in characters.as_chunks_mut().0.iter_mut().zip(groups) {
        *to = sextets(group);
    }
    for byte in &mut characters {
        *byte = character(*byte);
    }
    let [mut text @ .., _, _, _, _] = characters;
    let [.., fill] = &mut text;
    *fill = b'=';
    text
}

/// The lower 48 bits, six in a byte.
#[inline]
const fn sextets(bits: u64) -> [u8; 8] {
    let halves = bits << 8 & 0x00ff_ffff_0000_0000 | bits & 0x00ff_ffff;
    let quarters = halves << 4 & 0x0fff_0000_0fff_0000 | halves & 0x0000_0fff_0000_0fff;
    let eighths = quarters << 2 & 0x3f00_3f00_3f00_3f00 | quarters & 0x003f_003f_003f_003f;
    eighths.to_be_bytes()
}

/// `A` to `Z`, `a` to `z`, `0` to `9`, `+`, `/`: what a step from one of these runs to the next
/// skips is added. Neither branch nor table, so the compiler does 16 at a time.
#[inline]
fn character(sextet: u8) -> u8 {
    let skip = |at: u8, by: u8| if sextet >= at { by } else { 0 };
    sextet
        .wrapping_add(b'A')
        .wrapping_add(skip(26, b'a' - b'Z' - 1))
        .wrapping_sub(skip(52, b'z' - b'0' + 1))
        .wrapping_sub(skip(62, b'9' - b'+' + 1))
        .wrapping_add(skip(63, b'/' - b'+' - 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the Python package `communityid` 1.5 gives.
    #[rustfmt::skip]
    const KNOWN: [(&str, &str, &str); 8] = [
        ("10.0.1.4:50000", "10.0.2.5:443", "1:w5mK5wZhrO6H5iu/D4VnkVuIIr8="),
        ("10.0.2.5:443", "10.0.1.4:50000", "1:w5mK5wZhrO6H5iu/D4VnkVuIIr8="),
        ("128.232.110.120:34855", "66.35.250.204:80", "1:LQU9qZlK+B5F3KDmev6m5PMibrg="),
        ("192.0.2.1:8080", "192.0.2.1:80", "1:Ms7cgdeuKAeoWDt1Xv/Zm54mPo0="),
        ("0.0.0.0:0", "255.255.255.255:65535", "1:LdN0oTsWjz5qVMMtMj5zPyV/TiU="),
        ("[fd00::1:0:0:1]:50000", "[2001:db8::5]:443", "1:5nFFV49xkYbmKRUAAQNAjTagJxY="),
        ("[fe80::1]:443", "[fe80::1]:50000", "1:mSdxKfJUI5SN6jhn99b3QChJ+30="),
        ("[::ffff:10.0.0.1]:1", "[::1]:2", "1:FJ2ztFprkHv6MtV351ha6U+025o="),
    ];

    #[test]
    fn ids_are_those_of_other_tools() {
        let (mut ids, mut rows, mut known) = (Ids::default(), Vec::new(), String::new());
        for (src, dst, id) in KNOWN {
            let ends = (src.parse().unwrap(), dst.parse().unwrap());
            ids.leave_room(&mut rows, Protocol::TCP, ends);
            rows.push(b' ');
            known += id;
            known += " ";
        }
        ids.fill(&mut rows);
        assert_eq!(String::from_utf8(rows).unwrap(), known);
    }

    #[test]
    fn protocols_without_ports_are_hashed_without_them() {
        // As above.
        for (protocol, src, dst, id) in [
            (17, "10.0.1.4:50000", "10.0.2.5:53", "1:C95kBCpGOaIJazHwkYzOz+Z3QXc="),
            (132, "10.0.1.4:5", "10.0.2.5:6", "1:vwrcu5yHBQqdNmgY+EfSE++WkBw="),
            (47, "10.0.1.4:0", "10.0.2.5:0", "1:I0nLzV7POXkjTOIkE3lFcYNANiQ="),
            (50, "[fd00::1]:0", "[fd00::2]:0", "1:yPHv41ztPi5mx7izZgGriy28Yms="),
        ] {
            let (mut ids, mut rows) = (Ids::default(), Vec::new());
            let ends = (src.parse().unwrap(), dst.parse().unwrap());
            ids.leave_room(&mut rows, Protocol(protocol), ends);
            ids.fill(&mut rows);
            assert_eq!(String::from_utf8(rows).unwrap(), id);
        }
    }

    #[test]
    fn every_sextet_has_the_character_of_base64() {
        let alphabet: Vec<u8> = (0..64).map(character).collect();
        let known = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        assert_eq!(alphabet, known);
    }
}
