//! What counts as a mirrored packet.

use std::fmt;

use vtap_packet::reassembly::Limits;

/// UDP port of VXLAN (RFC 7348 section 5).
pub const VXLAN_PORT: u16 = 4789;

/// UDP port of VXLAN-GPE (draft-ietf-nvo3-vxlan-gpe).
pub const VXLAN_GPE_PORT: u16 = 4790;

/// Envelopes stripped from one packet at most, by default.
pub const MAX_DEPTH: u8 = 4;

/// UDP destination ports that carry VXLAN, as it is asked for with every packet: a bit each, and
/// the lowest of them, to which most packets go.
#[derive(Clone, PartialEq, Eq)]
pub struct PortSet {
    bits: Box<[u64; 1024]>,
    /// More than any port in an empty set.
    lowest: u32,
}

impl PortSet {
    /// Of these ports; an empty set matches nothing.
    pub fn new(ports: impl IntoIterator<Item = u16>) -> Self {
        let (mut bits, mut lowest) = (Box::new([0; 1024]), u32::MAX);
        for port in ports {
            lowest = lowest.min(port.into());
            if let Some(word) = bits.get_mut(usize::from(port / 64)) {
                *word |= 1 << (port % 64);
            }
        }
        Self { bits, lowest }
    }

    /// Whether `port` is one of them.
    #[inline]
    pub fn contains(&self, port: u16) -> bool {
        u32::from(port) == self.lowest || self.holds(port)
    }

    fn holds(&self, port: u16) -> bool {
        self.bits.get(usize::from(port / 64)).is_some_and(|word| word >> (port % 64) & 1 == 1)
    }
}

impl fmt::Debug for PortSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries((0..=u16::MAX).filter(|port| self.contains(*port))).finish()
    }
}

impl Default for PortSet {
    /// 4789, and 4790 for VXLAN-GPE.
    fn default() -> Self {
        Self::new([VXLAN_PORT, VXLAN_GPE_PORT])
    }
}

/// All switches of decapsulation.
#[derive(Clone, Debug)]
pub struct Config {
    /// Destination ports; the source port is a hash and says nothing.
    pub ports: PortSet,
    /// Envelopes stripped from one packet at most; what is left is the customer's frame. 1 takes
    /// off the tap's own envelope and leaves an overlay of the customer's as it is.
    pub max_depth: u8,
    /// Refuse headers with reserved bits, which RFC 7348 says to ignore on receipt.
    pub strict_vxlan: bool,
    /// Limits of the pool in which outer fragments wait for each other.
    pub fragments: Limits,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            ports: PortSet::default(),
            max_depth: MAX_DEPTH,
            strict_vxlan: false,
            fragments: Limits::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_set_contains_its_ports_and_no_other() {
        for ports in [vec![], vec![0], vec![u16::MAX], vec![8472, VXLAN_GPE_PORT, VXLAN_PORT]] {
            let set = PortSet::new(ports.clone());
            for port in 0..=u16::MAX {
                assert_eq!(set.contains(port), ports.contains(&port), "{port} of {ports:?}");
            }
        }
    }
}
