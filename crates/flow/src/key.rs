//! Identity of a flow: VNI and 5-tuple, the same for both directions.

use std::hash::{BuildHasher, Hasher};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use vtap_packet::{Protocol, Vni};

use crate::copies::Sender;

/// Order-free: the lower end comes first, whoever sent the packet.
///
/// Words, so that comparing and hashing take five steps: two of each address, then ports, VNI
/// and protocol. An IPv4 address sits in a word pair that no IPv6 packet can have (in
/// `ffff:ffff:ffff:ffff::/64`, multicast with undefined flags).
#[derive(Clone, Copy, Debug, Eq)]
pub(crate) struct Key([u64; 5]);

/// Which end of the key sent a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Lower,
    Higher,
}

const IPV4: u64 = u64::MAX;

/// Bits of the last word that hold the VNI.
const VNI: u64 = 0xffff_ff00;

impl Key {
    /// With the end that `src` is.
    pub(crate) fn new(
        src: SocketAddr,
        dst: SocketAddr,
        protocol: Protocol,
        vni: Vni,
    ) -> (Self, End) {
        let (from, to) = ((words(src.ip()), src.port()), (words(dst.ip()), dst.port()));
        let (lower, higher, end) =
            if from <= to { (from, to, End::Lower) } else { (to, from, End::Higher) };
        let rest = u64::from(lower.1) << 48
            | u64::from(higher.1) << 32
            | u64::from(vni.get()) << 8
            | u64::from(protocol.0);
        let ((l0, l1), (h0, h1)) = (lower.0, higher.0);
        (Self([l0, l1, h0, h1, rest]), end)
    }

    /// As [`new`](Self::new), of two IPv4 ends. Which is the lower one is as good as random, so
    /// nothing here branches on it.
    #[inline(always)]
    pub(crate) fn of_ipv4(
        src: (Ipv4Addr, u16),
        dst: (Ipv4Addr, u16),
        protocol: Protocol,
        vni: Vni,
    ) -> (Self, End) {
        let number =
            |(address, port): (Ipv4Addr, u16)| u64::from(address.to_bits()) << 16 | u64::from(port);
        let (src, dst) = (number(src), number(dst));
        let (lower, higher) = (src.min(dst), src.max(dst));
        let rest = lower << 48
            | (higher & 0xffff) << 32
            | u64::from(vni.get()) << 8
            | u64::from(protocol.0);
        let end = if src <= dst { End::Lower } else { End::Higher };
        (Self([IPV4, lower >> 16, IPV4, higher >> 16, rest]), end)
    }

    /// Address of an end.
    pub(crate) fn address(&self, end: End) -> IpAddr {
        let [l0, l1, h0, h1, _] = self.0;
        match end {
            End::Lower => address(l0, l1),
            End::Higher => address(h0, h1),
        }
    }

    /// Address and port of an end.
    pub(crate) fn socket(&self, end: End) -> SocketAddr {
        let [l0, l1, h0, h1, rest] = self.0;
        let [hi_of_lower, lo_of_lower, hi_of_higher, lo_of_higher, ..] = rest.to_be_bytes();
        match end {
            End::Lower => {
                SocketAddr::new(address(l0, l1), u16::from_be_bytes([hi_of_lower, lo_of_lower]))
            }
            End::Higher => {
                SocketAddr::new(address(h0, h1), u16::from_be_bytes([hi_of_higher, lo_of_higher]))
            }
        }
    }

    /// Address and port of an end, as people know it: the identifier that ICMP queries have in
    /// place of ports is none.
    pub(crate) fn named(&self, end: End) -> SocketAddr {
        let mut socket = self.socket(end);
        if matches!(self.protocol(), Protocol::ICMP | Protocol::ICMPV6) {
            socket.set_port(0);
        }
        socket
    }

    pub(crate) fn protocol(&self) -> Protocol {
        let [.., rest] = self.0;
        Protocol(rest.to_le_bytes()[0])
    }

    /// From a seed.
    #[inline(always)]
    pub(crate) fn hashes(&self, state: &impl BuildHasher) -> Hashes {
        let [l0, l1, h0, h1, rest] = self.0;
        let mut hasher = state.build_hasher();
        // Words that are the same for all IPv4 flows tell nothing.
        if (l0, h0) == (IPV4, IPV4) {
            hasher.write_u64(l1 << 32 | h1);
        } else {
            for word in [l0, l1, h0, h1] {
                hasher.write_u64(word);
            }
        }
        hasher.write_u64(rest & !VNI);
        let ends = hasher.finish();
        // Odd, and with half of its bits set.
        let vni = (rest & VNI).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let plain = l1 ^ h1.rotate_left(24) ^ (rest & !VNI);
        Hashes { flow: ends ^ vni, ends, plain }
    }

    #[inline]
    pub(crate) fn hash(&self, state: &impl BuildHasher) -> u64 {
        self.hashes(state).flow
    }
}

/// Hashes of a key.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hashes {
    /// Of all of it.
    pub(crate) flow: u64,
    /// Of all but the VNI.
    ends: u64,
    /// As that, without a seed; good for places, where any will do.
    plain: u64,
}

impl Hashes {
    /// For packets of one end, whatever their VNI.
    #[inline(always)]
    pub(crate) const fn of_sender(self, from: End) -> Sender {
        let Self { ends, plain, .. } = self;
        Sender { seeded: ends ^ from as u64, plain: plain ^ from as u64 }
    }
}

/// Word by word: the library compares arrays by calling `memcmp`.
impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        let [a, b, c, d, e] = self.0;
        let [v, w, x, y, z] = other.0;
        (a ^ v) | (b ^ w) | (c ^ x) | (d ^ y) | (e ^ z) == 0
    }
}

impl End {
    /// Its one of two that are kept by end.
    pub(crate) const fn of<T: Copy>(self, [lower, higher]: [T; 2]) -> T {
        match self {
            Self::Lower => lower,
            Self::Higher => higher,
        }
    }

    pub(crate) const fn other(self) -> Self {
        match self {
            Self::Lower => Self::Higher,
            Self::Higher => Self::Lower,
        }
    }
}

fn words(address: IpAddr) -> (u64, u64) {
    match address {
        IpAddr::V4(v4) => (IPV4, u64::from(v4.to_bits())),
        IpAddr::V6(v6) => {
            let [a, b, c, d, e, f, g, h, low @ ..] = v6.octets();
            (u64::from_be_bytes([a, b, c, d, e, f, g, h]), u64::from_be_bytes(low))
        }
    }
}

fn address(w0: u64, w1: u64) -> IpAddr {
    if w0 == IPV4 {
        let [.., a, b, c, d] = w1.to_be_bytes();
        return IpAddr::from([a, b, c, d]);
    }
    IpAddr::V6(Ipv6Addr::from_bits(u128::from(w0) << 64 | u128::from(w1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_directions_have_one_key_and_opposite_ends() {
        for (a, b) in [
            ("10.0.0.1:80", "10.0.0.1:81"),
            ("10.0.0.1:81", "10.0.0.1:80"),
            ("10.0.0.2:80", "10.0.0.1:81"),
            ("[fd00::1]:1", "[fd00::2]:1"),
        ] {
            let (a, b): (SocketAddr, SocketAddr) = (a.parse().unwrap(), b.parse().unwrap());
            let (there, from_a) = Key::new(a, b, Protocol::TCP, Vni::new(27));
            let (back, from_b) = Key::new(b, a, Protocol::TCP, Vni::new(27));
            assert_eq!((there, from_a), (back, from_b.other()));
            assert_eq!((there.socket(from_a), there.socket(from_b)), (a, b));
            assert_eq!(there.protocol(), Protocol::TCP);
            if let (SocketAddr::V4(a), SocketAddr::V4(b)) = (a, b) {
                let (a, b) = ((*a.ip(), a.port()), (*b.ip(), b.port()));
                let of_ipv4 = |a, b| Key::of_ipv4(a, b, Protocol::TCP, Vni::new(27));
                assert_eq!((of_ipv4(a, b), of_ipv4(b, a)), ((there, from_a), (back, from_b)));
            }
        }
    }

    #[test]
    fn vni_protocol_and_family_keep_flows_apart() {
        let (a, b) = ("10.0.0.1:80".parse().unwrap(), "10.0.0.2:80".parse().unwrap());
        let key = |protocol, vni| Key::new(a, b, protocol, Vni::new(vni)).0;
        assert_ne!(key(Protocol::TCP, 1), key(Protocol::TCP, 2));
        assert_ne!(key(Protocol::TCP, 1), key(Protocol::UDP, 1));
        let mapped =
            ("[::ffff:10.0.0.1]:80".parse().unwrap(), "[::ffff:10.0.0.2]:80".parse().unwrap());
        assert_ne!(
            key(Protocol::TCP, 1),
            Key::new(mapped.0, mapped.1, Protocol::TCP, Vni::new(1)).0
        );
    }
}
