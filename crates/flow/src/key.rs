//! Identity of a flow: VNI and 5-tuple, the same for both directions.

use std::hash::{BuildHasher, Hash, Hasher};
use std::net::{IpAddr, SocketAddr};

use vtap_packet::{Protocol, Vni};

/// Order-free: the lower end comes first, whoever sent the packet.
///
/// Words, so that comparing and hashing take five steps: two of each address, then ports, VNI
/// and protocol. An IPv4 address sits in a word pair that no IPv6 packet can have (in
/// `ffff:ffff:ffff:ffff::/64`, multicast with undefined flags).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Key([u64; 5]);

/// Which end of the key sent a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Lower,
    Higher,
}

const IPV4: u64 = u64::MAX;

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

    pub(crate) fn protocol(&self) -> Protocol {
        let [.., rest] = self.0;
        Protocol(rest.to_le_bytes()[0])
    }

    pub(crate) fn hash(&self, state: &impl BuildHasher) -> u64 {
        state.hash_one(self)
    }
}

impl Hash for Key {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        for word in self.0 {
            hasher.write_u64(word);
        }
    }
}

impl End {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_directions_have_one_key_and_opposite_ends() {
        for (a, b) in [("10.0.0.1:80", "10.0.0.1:81"), ("[fd00::1]:1", "[fd00::2]:1")] {
            let (a, b) = (a.parse().unwrap(), b.parse().unwrap());
            let (there, from_a) = Key::new(a, b, Protocol::TCP, Vni::new(27));
            let (back, from_b) = Key::new(b, a, Protocol::TCP, Vni::new(27));
            assert_eq!((there, from_a), (back, from_b.other()));
            assert_eq!(there.protocol(), Protocol::TCP);
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
