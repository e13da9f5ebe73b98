use proptest::collection::vec;
use proptest::prelude::*;
use vtap_capture::Filter as BpfFilter;
use vtap_packet::tcp::Flags;
use vtap_packet::{LinkType, Timestamp, Tunnel, Vni};
use vtap_testkit::frame::{TcpFrame, fragments, packet, udp};

use super::*;

fn filters(text: &str) -> Filters {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn why(text: &str) -> String {
    text.parse::<Filters>().unwrap_err().to_string()
}

fn tcp(src: &str, dst: &str) -> Vec<u8> {
    TcpFrame::new(src, dst, Flags::SYN, 1, 0).build()
}

/// Whether a frame that a tap of this address has mirrored passes.
fn passes(text: &str, tap: Option<&str>, frame: &[u8]) -> bool {
    filters(text).matches(&tapped(tap.map(|tap| tap.parse().unwrap()), frame))
}

fn tapped(tap: Option<IpAddr>, frame: &[u8]) -> Packet<'_> {
    let tunnel = tap.map(|src| Tunnel {
        src,
        dst: "10.1.1.4".parse().unwrap(),
        src_port: 52_889,
        dst_port: 4789,
        vni: Vni::new(27),
        depth: 1,
    });
    Packet { tunnel, ..packet(1, Timestamp::EPOCH, frame) }
}

#[test]
fn every_form_of_the_grammar_says_the_same() {
    let one = filters("protocol=TCP,localPort=80;443,remoteIPAddress=10.0.0.0-10.0.0.255");
    for same in [
        "remoteIPAddress=10.0.0.0/24,protocol=tcp,localPort=80,443",
        " protocol = TCP , LOCALPORT = 80 ; 443-443 , remoteIpAddress = 10.0.0.77/24",
        r#"{"protocol": "TCP", "localPort": "80;443", "remoteIPAddress": "10.0.0.0-10.0.0.255"}"#,
        r#"[{"Protocol": "TCP", "LocalPort": "80, 443", "RemoteIPAddress": "10.0.0.0/24",
            "LocalIPAddress": "", "RemotePort": null}]"#,
    ] {
        assert_eq!(filters(same), one, "{same}");
    }
    assert_eq!(filters(r#"[{"protocol":"UDP"},{"localPort":53}]"#).iter().count(), 2);
    assert_eq!(
        filters("localIPAddress=fd00::/8").iter().next().unwrap().to_string(),
        "protocol=Any,localIPAddress=fd00::-fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"
    );
}

#[test]
fn what_is_no_filter_is_told_with_what_was_expected() {
    for (text, says) in [
        ("", "\"\" is no key=value; keys are protocol, localIPAddress"),
        ("80,localPort=80", "\"80\" is no key=value"),
        ("port=80", "unknown key \"port\"; keys are"),
        ("localPort=80,localPort=443", "localPort is given twice"),
        ("localPort=", "localPort: \"\": expected a port"),
        ("localPort=80;;443", "localPort: \"\": expected a port"),
        ("localPort=65536", "expected a port, 0 to 65535"),
        ("localPort=443-80", "the range ends before it begins"),
        ("protocol=SCTP", "protocol: \"SCTP\": expected TCP, UDP, ICMP or Any"),
        ("protocol=TCP;UDP", "one protocol at most"),
        ("protocol=ICMP,localPort=80", "ICMP has no ports"),
        ("remoteIPAddress=1.1.1.1-255.255.255", "expected an address, a range"),
        ("remoteIPAddress=10.0.0.1-fd00::1", "two address families"),
        ("remoteIPAddress=10.0.0.0/33", "longer than the address"),
        ("remoteIPAddress=contoso.com", "expected an address, a range"),
        (r#"{"protocol": ["TCP"]}"#, "protocol: expected a string"),
        (r#"["TCP"]"#, "expected an object"),
        ("{", "no filter in JSON"),
    ] {
        assert!(why(text).contains(says), "{text}: {}", why(text));
    }
}

#[test]
fn local_is_the_side_of_the_tap_in_both_directions() {
    let (request, answer) =
        (tcp("10.0.2.4:40000", "10.0.2.6:80"), tcp("10.0.2.6:80", "10.0.2.4:40000"));
    for (filter, here, there) in [
        ("localPort=40000", true, false),
        ("localPort=80", false, true),
        ("localIPAddress=10.0.2.4,remotePort=80", true, false),
        ("remoteIPAddress=10.0.2.4", false, true),
    ] {
        for frame in [&request, &answer] {
            assert_eq!(passes(filter, Some("10.0.2.4"), frame), here, "{filter}");
            assert_eq!(passes(filter, Some("10.0.2.6"), frame), there, "{filter}");
            // A translated source, and a packet without a tunnel.
            assert!(passes(filter, Some("10.0.2.9"), frame), "{filter}");
            assert!(passes(filter, None, frame), "{filter}");
        }
    }
}

#[test]
fn a_later_fragment_passes_with_its_addresses() {
    let frame = TcpFrame::new("10.0.2.4:40000", "10.0.2.6:80", Flags::ACK, 1, 1).data(3000).build();
    let [first, later, ..] = &fragments(&frame, 7, 1200)[..] else { panic!("three fragments") };
    let tap = Some("10.0.2.4");
    for (filter, of_first, of_later) in [
        ("remotePort=80", true, true),
        ("remotePort=81", false, true),
        ("protocol=UDP", false, false),
        ("remoteIPAddress=10.0.2.7,remotePort=80", false, false),
    ] {
        assert_eq!(passes(filter, tap, first), of_first, "{filter}");
        assert_eq!(passes(filter, tap, later), of_later, "{filter}");
    }
}

#[test]
fn a_packet_without_ports_passes_no_filter_with_ports() {
    let whole = tcp("10.0.2.4:40000", "10.0.2.6:80");
    let cut = &whole[..14 + 20 + 2];
    assert!(!passes("localPort=0-65535", None, cut));
    assert!(passes("protocol=TCP,localIPAddress=10.0.2.4", None, cut));

    let mut icmp = udp("10.0.2.4:1", "10.0.2.6:1", b"echo");
    icmp[23] = 1;
    assert!(!passes("localPort=0-65535", None, &icmp));
    assert!(passes("protocol=icmp", None, &icmp));

    let mut arp = whole;
    arp[12..14].copy_from_slice(&[8, 6]);
    assert!(passes("protocol=Any", None, &arp));
    assert!(!passes("protocol=TCP", None, &arp));
    assert!(!passes("localIPAddress=0.0.0.0/0", None, &arp));
    assert!(Filters::default().matches(&tapped(None, &arp)));
}

/// A range, and what BPF says for it of one direction.
type Ranged = (String, String);

fn port_item() -> impl Strategy<Value = Ranged> {
    (0_u16..8, 0_u16..8).prop_map(|(a, b)| {
        let (first, last) = (a.min(b), a.max(b));
        let text = if first == last { first.to_string() } else { format!("{first}-{last}") };
        (text, format!("portrange {first}-{last}"))
    })
}

fn address_item() -> impl Strategy<Value = Ranged> {
    let one = any_address().prop_map(|address| (address.to_string(), format!("host {address}")));
    let subnet = (any_address(), 0_u32..3).prop_map(|(address, host)| {
        let first = match address {
            IpAddr::V4(address) => IpAddr::V4((u32::from(address) >> host << host).into()),
            IpAddr::V6(address) => IpAddr::V6((u128::from(address) >> host << host).into()),
        };
        let len = if address.is_ipv4() { 32 - host } else { 128 - host };
        let last = match first {
            IpAddr::V4(first) => IpAddr::V4((u32::from(first) + (1 << host) - 1).into()),
            IpAddr::V6(first) => IpAddr::V6((u128::from(first) + (1 << host) - 1).into()),
        };
        // The same addresses, as a subnet and as a range.
        let text = if host == 1 { format!("{first}-{last}") } else { format!("{address}/{len}") };
        (text, format!("net {first}/{len}"))
    });
    prop_oneof![one, subnet]
}

fn any_address() -> impl Strategy<Value = IpAddr> {
    (0_u8..8, any::<bool>()).prop_map(|(host, v4)| match v4 {
        true => [10, 0, 0, host].into(),
        false => IpAddr::V6(std::net::Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, host.into())),
    })
}

/// A list as text, and as BPF for the source and for the destination; empty is any.
fn items(item: impl Strategy<Value = Ranged>) -> impl Strategy<Value = (String, [String; 2])> {
    vec(item, 0..3).prop_map(|items| {
        let text: Vec<_> = items.iter().map(|(text, _)| text.as_str()).collect();
        let bpf = ["src", "dst"].map(|side| {
            let all: Vec<_> = items.iter().map(|(_, bpf)| format!("{side} {bpf}")).collect();
            all.join(" or ")
        });
        (text.join(";"), bpf)
    })
}

/// A filter as text, and as BPF where local is the source and where it is the destination.
fn any_filter() -> impl Strategy<Value = (String, [String; 2])> {
    let protocol = prop::sample::select(vec![
        ("Any", ""),
        ("TCP", "tcp"),
        ("UDP", "udp"),
        ("ICMP", "icmp or icmp6"),
    ]);
    let ends =
        (items(address_item()), items(port_item()), items(address_item()), items(port_item()));
    (protocol, ends).prop_map(|((protocol, transport), (la, lp, ra, rp))| {
        let (mut text, no_ports) = (format!("protocol={protocol}"), protocol == "ICMP");
        let mut both = [vec![transport.to_owned()], vec![transport.to_owned()]];
        for (key, (list, [src, dst]), local, port) in [
            ("localIPAddress", la, true, false),
            ("localPort", lp, true, true),
            ("remoteIPAddress", ra, false, false),
            ("remotePort", rp, false, true),
        ] {
            if list.is_empty() || (no_ports && port) {
                continue;
            }
            text += &format!(",{key}={list}");
            let (of_local_src, of_local_dst) = if local { (src, dst) } else { (dst, src) };
            both[0].push(of_local_src);
            both[1].push(of_local_dst);
        }
        let bpf = both.map(|terms| {
            let terms = terms.iter().filter(|term| !term.is_empty());
            let terms: Vec<_> = terms.map(|term| format!("({term})")).collect();
            if terms.is_empty() { "greater 0".to_owned() } else { terms.join(" and ") }
        });
        (text, bpf)
    })
}

fn any_frame() -> impl Strategy<Value = ([IpAddr; 2], Vec<u8>)> {
    (any_address(), any_address(), 0_u16..8, 0_u16..8, 0_u8..3).prop_filter_map(
        "two address families",
        |(src, dst, src_port, dst_port, kind)| {
            if src.is_ipv4() != dst.is_ipv4() {
                return None;
            }
            let socket = |ip, port| std::net::SocketAddr::new(ip, port).to_string();
            let (from, to) = (socket(src, src_port), socket(dst, dst_port));
            let mut frame = if kind == 0 { tcp(&from, &to) } else { udp(&from, &to, b"data") };
            if kind == 2 {
                let (at, icmp) = if src.is_ipv4() { (23, 1) } else { (20, 58) };
                frame[at] = icmp;
            }
            Some(([src, dst], frame))
        },
    )
}

/// `None` where nothing can match, which libpcap sees and refuses.
fn oracle(expression: &str) -> Option<BpfFilter> {
    match BpfFilter::compile(expression, LinkType::ETHERNET) {
        Ok(filter) => Some(filter),
        Err(error) if error.to_string().contains("rejects all packets") => None,
        Err(error) => panic!("{error}"),
    }
}

proptest! {
    #[test]
    fn filters_match_what_libpcap_matches(
        (text, [local_src, local_dst]) in any_filter(),
        frames in vec((any_frame(), any_address()), 1..12),
    ) {
        let ours = filters(&text);
        let (local_src, local_dst) = (oracle(&local_src), oracle(&local_dst));
        for (([src, dst], frame), tap) in &frames {
            let bpf = |filter: &Option<BpfFilter>| {
                filter.as_ref().is_some_and(|filter| filter.matches(frame))
            };
            let (from, to) = (bpf(&local_src), bpf(&local_dst));
            let expected = match (tap == src, tap == dst) {
                (true, false) => from,
                (false, true) => to,
                _ => from || to,
            };
            prop_assert_eq!(ours.matches(&tapped(Some(*tap), frame)), expected, "{}", text);
        }
    }

    #[test]
    fn a_filter_that_is_written_is_read_as_the_same((text, _) in any_filter()) {
        let once = filters(&text);
        let written: Filters =
            once.iter().map(|filter| filters(&filter.to_string())).collect();
        prop_assert_eq!(written, once);
    }

    #[test]
    fn no_text_is_a_panic(text in "[-a-zA-Z0-9=;,./:{}\" ]{0,60}") {
        let _ = text.parse::<Filters>();
    }

    #[test]
    fn no_frame_is_a_panic(bytes in vec(any::<u8>(), 0..80)) {
        let _ = filters("localPort=80").matches(&tapped(None, &bytes));
    }
}
