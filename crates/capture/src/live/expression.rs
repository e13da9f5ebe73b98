//! The kernel's filter: what a collector asks for, and nothing else.

use vtap_packet::LinkType;

use super::{Config, Filter};
use crate::Error;

/// The expression for an interface of this link type; `None` where everything is taken.
///
/// Only the first fragment of a datagram shows its ports, so later ones pass by what they are: IPv4
/// UDP with an offset, and IPv6 with a fragment header. `vlan` moves every offset behind it, so it
/// comes last, and is left out where the link type knows no tags.
pub(super) fn for_link(config: &Config, link: LinkType) -> Result<Option<String>, Error> {
    let own = config.filter.as_ref().map(|filter| format!("({filter})"));
    if config.plain {
        return Ok(own);
    }
    let untagged = mirrored(&config.ports);
    let tagged = format!("({untagged}) or (vlan and ({untagged}))");
    let mirrored = match Filter::compile(&tagged, link) {
        Ok(_) => tagged,
        Err(_) => untagged,
    };
    let expression = match own {
        // The user's own comes first: offsets behind `vlan` would be wrong for it.
        Some(own) => format!("{own} and ({mirrored})"),
        None => mirrored,
    };
    Filter::compile(&expression, link)?;
    Ok(Some(expression))
}

fn mirrored(ports: &[u16]) -> String {
    let ports: Vec<_> = ports.iter().map(|port| format!("udp dst port {port}")).collect();
    let later = "(ip proto 17 and ip[6:2] & 0x1fff != 0) or ip6 proto 44";
    format!("{} or {later}", ports.join(" or "))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ETHERNET: [u8; 14] = [2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0];

    fn ipv4(fragment: [u8; 2], protocol: u8, port: u16) -> Vec<u8> {
        let mut frame = ETHERNET.to_vec();
        let [high, low] = fragment;
        frame.extend([
            0x45, 0, 0, 36, 0, 1, high, low, 64, protocol, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2,
        ]);
        frame.extend(52889_u16.to_be_bytes());
        frame.extend(port.to_be_bytes());
        frame.extend([0, 16, 0, 0, 8, 0, 0, 0, 0, 0, 27, 0]);
        frame
    }

    fn filter(config: &Config) -> Filter {
        let expression = for_link(config, LinkType::ETHERNET).unwrap().unwrap();
        Filter::compile(&expression, LinkType::ETHERNET).unwrap()
    }

    #[test]
    fn mirrored_packets_and_later_fragments_pass_and_nothing_else() {
        let filter = filter(&Config::default());
        assert!(filter.matches(&ipv4([0, 0], 17, 4789)));
        assert!(filter.matches(&ipv4([0, 0], 17, 4790)));
        assert!(filter.matches(&ipv4([0x20, 0], 17, 4789)), "a first fragment");
        assert!(filter.matches(&ipv4([0, 5], 17, 1)), "a later fragment has no ports");
        assert!(!filter.matches(&ipv4([0, 0], 17, 53)));
        assert!(!filter.matches(&ipv4([0, 5], 6, 4789)));
        assert!(!filter.matches(&ipv4([0, 0], 6, 4789)));
    }

    #[test]
    fn a_tag_in_front_changes_nothing() {
        let filter = filter(&Config::default());
        let tagged = |frame: Vec<u8>| {
            let (addresses, rest) = frame.split_at(12);
            [addresses, &[0x81, 0, 0, 7], rest].concat()
        };
        assert!(filter.matches(&tagged(ipv4([0, 0], 17, 4789))));
        assert!(!filter.matches(&tagged(ipv4([0, 0], 17, 53))));
    }

    #[test]
    fn the_users_filter_narrows_what_is_taken() {
        let narrowed = Config { filter: Some("src host 10.0.0.9".into()), ..Config::default() };
        assert!(!filter(&narrowed).matches(&ipv4([0, 0], 17, 4789)));
        let plain = Config { plain: true, ..narrowed };
        assert!(for_link(&plain, LinkType::ETHERNET).unwrap().unwrap().contains("10.0.0.9"));
        let everything = Config { plain: true, ..Config::default() };
        assert_eq!(for_link(&everything, LinkType::ETHERNET).unwrap(), None);
    }

    #[test]
    fn every_link_type_of_an_interface_has_an_expression() {
        for link in [LinkType::ETHERNET, LinkType::LINUX_SLL, LinkType::LINUX_SLL2, LinkType::RAW] {
            assert!(for_link(&Config::default(), link).unwrap().is_some(), "{link}");
        }
    }
}
