//! What is required of a VXLAN header and of the frame inside.
//!
//! RFC 7348 asks for the I flag and for reserved fields to be ignored on receipt; peers disagree
//! in every direction, and each choice has lost somebody's traffic. Here: I is required, reserved
//! bits are ignored and counted, and what is inside must look like a frame, which is what tells a
//! mirrored packet from anything else that was sent to the port.

use vtap_packet::vxlan::{NextProtocol, Vxlan};
use vtap_packet::{EtherType, LinkType, link};

use crate::Skip;
use crate::config::VXLAN_GPE_PORT;

/// What a VXLAN header leads to.
#[derive(Clone, Copy, Debug)]
pub struct Admitted<'a> {
    /// What the first byte of the frame belongs to.
    pub link: LinkType,
    /// The frame, as much of it as was captured.
    pub frame: &'a [u8],
    /// Reserved bits were set and ignored.
    pub reserved_bits: bool,
}

/// Judges a header that came to UDP port `port`.
///
/// # Errors
///
/// The reason for which it is refused.
pub fn admit<'a>(vxlan: Vxlan<'a>, port: u16, strict: bool) -> Result<Admitted<'a>, Skip> {
    if !vxlan.has_vni() {
        return Err(Skip::VxlanNoVni);
    }
    // The P flag tells VXLAN-GPE on any port. On 4790 without it, the frame is Ethernet as in
    // plain VXLAN.
    if vxlan.has_next_protocol() {
        return admit_gpe(vxlan);
    }
    let reserved_bits = port != VXLAN_GPE_PORT && vxlan.has_reserved_bits();
    if reserved_bits && strict {
        return Err(Skip::VxlanReserved);
    }
    Ok(Admitted { link: LinkType::ETHERNET, frame: vxlan.payload, reserved_bits })
}

fn admit_gpe(vxlan: Vxlan<'_>) -> Result<Admitted<'_>, Skip> {
    if vxlan.gpe_version() != 0 {
        return Err(Skip::GpeVersion);
    }
    if vxlan.is_gpe_oam() {
        return Err(Skip::GpeProtocol);
    }
    let link = match vxlan.next_protocol() {
        NextProtocol::Ipv4 => LinkType::IPV4,
        NextProtocol::Ipv6 => LinkType::IPV6,
        NextProtocol::Ethernet => LinkType::ETHERNET,
        NextProtocol::Unknown(_) => return Err(Skip::GpeProtocol),
    };
    Ok(Admitted { link, frame: vxlan.payload, reserved_bits: false })
}

/// Whether the bytes look like a frame that a network carried; `wire_len` is its length before
/// the capture cut it.
///
/// # Errors
///
/// [`Skip::InnerImplausible`], or [`Skip::CutShort`] where too little was captured to say.
pub fn plausible(link: LinkType, frame: &[u8], wire_len: usize) -> Result<(), Skip> {
    let cut_or = |skip| if frame.len() < wire_len { Skip::CutShort } else { skip };
    let (ether_type, network) =
        link::network(link, frame).map_err(|_| cut_or(Skip::InnerImplausible))?;
    let header_len = match ether_type {
        EtherType::IPV4 => 20,
        EtherType::IPV6 => 40,
        other if is_known(other) => return Ok(()),
        _ => return Err(Skip::InnerImplausible),
    };
    if network.len() < header_len {
        return Err(cut_or(Skip::InnerImplausible));
    }
    let version = network.first().map(|byte| byte >> 4);
    let sane = match ether_type {
        EtherType::IPV4 => {
            version == Some(4) && network.first().is_some_and(|byte| byte & 0x0f >= 5)
        }
        _ => version == Some(6),
    };
    if sane { Ok(()) } else { Err(Skip::InnerImplausible) }
}

/// Ether types other than IP that hosts send: IEEE 802.3 lengths (spanning tree, LLC), ARP,
/// Wake-on-LAN, RARP, VLAN tags deeper than are walked, slow protocols, MPLS, PPPoE, EAPOL, LLDP,
/// MACsec, PTP, RoCE, loopback tests.
const fn is_known(ether_type: EtherType) -> bool {
    ether_type.is_vlan()
        || matches!(
            ether_type.0,
            0..=1500
                | 0x0806
                | 0x0842
                | 0x8035
                | 0x8809
                | 0x8847
                | 0x8848
                | 0x8863
                | 0x8864
                | 0x888e
                | 0x88cc
                | 0x88e5
                | 0x88f7
                | 0x8915
                | 0x9000
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(ether_type: u16, network: &[u8]) -> Vec<u8> {
        let mut frame = vec![0; 12];
        frame.extend(ether_type.to_be_bytes());
        frame.extend(network);
        frame
    }

    fn is_plausible(ether_type: u16, network: &[u8]) -> Result<(), Skip> {
        let frame = frame(ether_type, network);
        plausible(LinkType::ETHERNET, &frame, frame.len())
    }

    #[test]
    fn ip_arp_and_lldp_are_plausible() {
        let mut v4 = [0; 20];
        v4[0] = 0x45;
        let mut v6 = [0; 40];
        v6[0] = 0x60;
        assert_eq!(is_plausible(0x0800, &v4), Ok(()));
        assert_eq!(is_plausible(0x86dd, &v6), Ok(()));
        assert_eq!(is_plausible(0x0806, &[0; 28]), Ok(()));
        assert_eq!(is_plausible(0x88cc, &[0; 20]), Ok(()));
    }

    #[test]
    fn a_version_that_does_not_fit_the_ether_type_is_not() {
        let mut v6_as_v4 = [0; 40];
        v6_as_v4[0] = 0x60;
        assert_eq!(is_plausible(0x0800, &v6_as_v4), Err(Skip::InnerImplausible));
        assert_eq!(is_plausible(0x0800, &[0x44; 20]), Err(Skip::InnerImplausible));
        assert_eq!(is_plausible(0x1234, &v6_as_v4), Err(Skip::InnerImplausible));
        assert_eq!(is_plausible(0x0800, &[0x45; 19]), Err(Skip::InnerImplausible));
    }

    #[test]
    fn what_the_snaplen_cut_is_not_called_implausible() {
        let cut = frame(0x0800, &[0x45; 10]);
        assert_eq!(plausible(LinkType::ETHERNET, &cut, 100), Err(Skip::CutShort));
        assert_eq!(plausible(LinkType::ETHERNET, &[0; 5], 100), Err(Skip::CutShort));
    }
}
