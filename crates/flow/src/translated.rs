//! Packets on their way out, after their source was translated.
//!
//! A cloud mirrors behind the address translation of its NAT gateway, and only what goes out: the
//! customer's address is a public one there, while the tap is still known by its private one. What
//! comes back is never mirrored, so nothing of such a flow is INVALID for want of its other side.

use std::net::{IpAddr, Ipv4Addr};

/// Whether a packet between these ends that `tap` has shown was translated: the tap's NIC has a private
/// address, and neither end of the packet is one.
pub(crate) fn is_translated(tap: IpAddr, mut ends: impl Iterator<Item = IpAddr>) -> bool {
    is_private(tap) && ends.all(is_public)
}

/// RFC 1918 and RFC 4193.
fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_private(),
        IpAddr::V6(v6) => v6.is_unique_local(),
    }
}

fn is_public(address: IpAddr) -> bool {
    let is_special = address.is_unspecified() || address.is_loopback() || address.is_multicast();
    let is_local = match address {
        IpAddr::V4(v4) => v4.is_link_local() || v4.is_broadcast() || is_shared(v4),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    };
    !is_special && !is_local && !is_private(address)
}

/// 100.64.0.0/10, between a carrier and its customers (RFC 6598).
const fn is_shared(address: Ipv4Addr) -> bool {
    let [a, b, ..] = address.octets();
    a == 100 && b & 0xc0 == 64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn translated(tap: &str, src: &str, dst: &str) -> bool {
        is_translated(tap.parse().unwrap(), [src, dst].into_iter().map(|end| end.parse().unwrap()))
    }

    #[test]
    fn public_at_both_ends_of_a_private_nic_was_translated() {
        assert!(translated("10.0.2.4", "203.0.113.7", "198.51.100.6"));
        assert!(translated("fd00::4", "2001:db8::7", "2001:db8:1::6"));
    }

    #[test]
    fn a_private_end_is_the_nic_itself_or_its_peer() {
        assert!(!translated("10.0.2.4", "10.0.2.4", "198.51.100.6"));
        assert!(!translated("10.0.2.4", "198.51.100.6", "10.0.2.4"), "from the internet to the VM");
        assert!(!translated("10.0.2.4", "100.64.0.1", "198.51.100.6"));
        assert!(!translated("203.0.113.7", "203.0.113.7", "198.51.100.6"), "a public NIC");
        assert!(!translated("10.0.2.4", "203.0.113.7", "224.0.0.5"));
    }
}
