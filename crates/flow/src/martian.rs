//! Addresses that no packet can have: "martians" (RFC 1812 section 5.3.7).
//!
//! The kernel shows such a packet to conntrack first, which calls it NEW, and drops it then, so
//! nothing of it is kept. The rules are those seen on a forwarding kernel; IPv6 link-local
//! addresses, which only a router drops, are not among them.

use std::net::{IpAddr, Ipv4Addr};

/// All hosts of the subnet (RFC 1112): the one group that every host has joined.
const ALL_HOSTS: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 1);

pub(crate) fn is_martian(src: IpAddr, dst: IpAddr) -> bool {
    match (src, dst) {
        (IpAddr::V4(src), IpAddr::V4(dst)) => {
            let to_this_host = dst.is_unspecified() || dst.is_broadcast() || dst == ALL_HOSTS;
            src.is_multicast()
                || src.is_broadcast()
                || src.is_unspecified() && !to_this_host
                || dst.is_unspecified() && !src.is_unspecified()
                || dst.is_multicast() && dst != ALL_HOSTS
        }
        (IpAddr::V6(src), IpAddr::V6(dst)) => {
            src.is_multicast() || src.is_unspecified() && !dst.is_unspecified()
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn martian(src: &str, dst: &str) -> bool {
        is_martian(src.parse().unwrap(), dst.parse().unwrap())
    }

    #[test]
    fn sources_that_nobody_can_have() {
        for src in ["0.0.0.0", "224.0.0.1", "239.255.255.255", "255.255.255.255"] {
            assert!(martian(src, "10.0.0.1"), "{src}");
        }
        for src in ["0.1.2.3", "127.0.0.1", "169.254.1.1", "240.0.0.1"] {
            assert!(!martian(src, "10.0.0.1"), "{src}");
        }
        assert!(martian("::", "fd00::1") && !martian("fe80::1", "fd00::1"));
    }

    #[test]
    fn destinations_that_no_connection_can_have() {
        assert!(martian("10.0.0.1", "0.0.0.0") && martian("10.0.0.1", "224.0.0.251"));
        assert!(!martian("10.0.0.1", "255.255.255.255") && !martian("10.0.0.1", "224.0.0.1"));
        assert!(!martian("0.0.0.0", "255.255.255.255"));
    }
}
