use std::net::SocketAddr;
use std::path::Path;

use proptest::prelude::*;
use vtap_flow::record::{ConnState, Half, History, Link, Phase};
use vtap_packet::{Mac, Protocol, Timestamp, Tunnel, Vni};

use super::*;
use crate::{Direction, FlowType};

const VM: Mac = Mac([0x7c, 0x1e, 0x52, 0, 0, 4]);
const PEER: Mac = Mac([0x7c, 0x1e, 0x52, 0, 0, 6]);
/// Both cards of the firewall, and one of the ExpressRoute gateway, as the example has them.
const FIREWALL: [Mac; 2] =
    [Mac([0x00, 0x22, 0x48, 0xea, 0x53, 0x4b]), Mac([0x00, 0x22, 0x48, 0xea, 0x5e, 0xd7])];
const EXPRESS_ROUTE: Mac = Mac([0x00, 0x22, 0x48, 0xe6, 0x54, 0x32]);
const EDGE: Mac = Mac([0x12, 0x34, 0x56, 0, 0, 1]);

fn example() -> Describer {
    Describer::new(Networks::parse(Path::new("example.toml"), Networks::EXAMPLE).unwrap())
}

/// A flow that no tap has shown yet.
fn flow(client: &str, server: &str) -> Record {
    let [client, server] = [client, server].map(|text| text.parse::<SocketAddr>().unwrap());
    let time = Timestamp::new(1_764_547_200, 0);
    Record {
        phase: Phase::Begin,
        packet: 1,
        protocol: Protocol::TCP,
        client,
        server,
        tunnel: None,
        taps: [None; 4],
        start: time,
        end: time,
        told: time,
        to_server: Half::default(),
        to_client: Half::default(),
        tcp: None,
        conn_state: ConnState::S1,
        history: History::default(),
        midstream: false,
        missing: None,
        egress_only: false,
    }
}

/// The same, mirrored by taps with the link addresses of both directions.
fn seen(
    mut record: Record,
    there: Option<(&str, Mac, Mac)>,
    back: Option<(&str, Mac, Mac)>,
) -> Record {
    let link =
        |(tap, src, dst): (&str, Mac, Mac)| Link { src, dst, tap: Some(tap.parse().unwrap()) };
    record.to_server.link = there.map(link);
    record.to_client.link = back.map(link);
    let first = record.to_server.link.or(record.to_client.link);
    record.tunnel = first.and_then(|link| link.tap).map(|src| Tunnel {
        src,
        dst: [10, 99, 0, 4].into(),
        src_port: 50_000,
        dst_port: 4789,
        vni: Vni::new(27),
        depth: 1,
    });
    record
}

fn via(way: &Way) -> Option<&str> {
    way.via.as_deref()
}

const CLIENT: &str = "10.12.0.4:50000";
const TAP: &str = "10.12.0.4";

#[test]
fn a_wrong_route_shows_as_two_gateways_and_an_asymmetric_path() {
    let mut describer = example();
    let there = Some((TAP, VM, FIREWALL[0]));
    let on_premises = flow(CLIENT, "192.168.7.7:443");

    // The route back is wrong: the gateway sends packets straight to the spoke.
    let back = Some((TAP, EXPRESS_ROUTE, VM));
    let wrong = describer.describe(&seen(on_premises.clone(), there, back));
    assert_eq!(via(&wrong.to_server), Some("hub-firewall"));
    assert_eq!(via(&wrong.to_client), Some("er-gateway"));
    assert!(wrong.asymmetric_path);
    assert_eq!((wrong.nic, wrong.direction), (Some(VM), Direction::Outbound));
    assert_eq!(wrong.flow_type, FlowType::S2S);
    assert!(wrong.server.on_premises);
    assert_eq!(wrong.client.vnet.as_deref(), Some("spoke-b"));
    assert_eq!(wrong.client.name.as_deref(), Some("app-server"));

    // Once it is right, packets come back through the firewall, by whichever of its cards.
    for card in FIREWALL {
        let right = describer.describe(&seen(on_premises.clone(), there, Some((TAP, card, VM))));
        assert_eq!([via(&right.to_server), via(&right.to_client)], [Some("hub-firewall"); 2]);
        assert!(!right.asymmetric_path);
    }
}

#[test]
fn the_same_fault_is_seen_from_the_side_of_the_server() {
    let mut describer = example();
    let record = flow("192.168.7.7:50000", "10.12.0.4:443");
    let record = seen(record, Some((TAP, EXPRESS_ROUTE, VM)), Some((TAP, VM, FIREWALL[1])));
    let description = describer.describe(&record);
    assert_eq!(via(&description.to_server), Some("er-gateway"));
    assert_eq!(via(&description.to_client), Some("hub-firewall"));
    assert!(description.asymmetric_path);
    assert_eq!(description.direction, Direction::Inbound);
}

#[test]
fn packets_that_go_past_an_expressroute_gateway_are_as_they_should_be() {
    let mut describer = example();
    for n in 1..=20 {
        let record = flow(CLIENT, &format!("192.168.7.{n}:443"));
        let record = seen(record, Some((TAP, VM, EDGE)), Some((TAP, EXPRESS_ROUTE, VM)));
        assert!(!describer.describe(&record).asymmetric_path, "{n}");
    }
}

#[test]
fn a_way_through_a_gateway_and_straight_back_is_asymmetric() {
    let mut describer = example();
    let record = flow(CLIENT, "10.12.0.9:443");
    let record = seen(record, Some((TAP, VM, FIREWALL[0])), Some((TAP, PEER, VM)));
    let description = describer.describe(&record);
    assert_eq!(
        [via(&description.to_server), via(&description.to_client)],
        [Some("hub-firewall"), None]
    );
    assert!(description.asymmetric_path);
}

#[test]
fn two_machines_are_no_path_to_judge() {
    let mut describer = example();
    let record = flow(CLIENT, "10.12.0.9:443");
    let record = seen(record, Some((TAP, VM, PEER)), Some((TAP, EDGE, VM)));
    assert!(!describer.describe(&record).asymmetric_path);
}

#[test]
fn links_of_two_taps_are_never_held_against_each_other() {
    let mut describer = example();
    let record = flow(CLIENT, "10.12.0.9:443");
    let there = Some((TAP, VM, FIREWALL[0]));
    // The server is tapped too, and has sent its packets to the gateway.
    let record = seen(record, there, Some(("10.12.0.9", PEER, EXPRESS_ROUTE)));
    let description = describer.describe(&record);
    assert_eq!(via(&description.to_client), Some("er-gateway"));
    assert!(!description.asymmetric_path);
}

#[test]
fn what_ends_at_a_gateway_does_not_go_by_it() {
    let mut describer = example();
    let record = flow("10.10.1.4:50000", "10.12.0.4:443");
    let record = seen(record, Some((TAP, FIREWALL[0], VM)), Some((TAP, VM, FIREWALL[0])));
    let description = describer.describe(&record);
    assert_eq!([via(&description.to_server), via(&description.to_client)], [None; 2]);
    assert_eq!(description.client.name.as_deref(), Some("hub-firewall"));
    assert_eq!(description.client.subnet.as_deref(), Some("AzureFirewallSubnet"));
}

#[test]
fn the_cards_of_a_gateway_are_found_by_its_own_addresses() {
    let mut describer = example();
    let unknown = Mac([0x00, 0x22, 0x48, 1, 2, 3]);
    let through = seen(flow(CLIENT, "192.168.7.7:443"), Some((TAP, VM, unknown)), None);
    assert_eq!(describer.describe(&through).to_server.via, None);
    let probe = flow("10.10.1.5:50000", "10.12.0.4:443");
    describer.describe(&seen(probe, Some((TAP, unknown, VM)), None));
    assert_eq!(via(&describer.describe(&through).to_server), Some("hub-firewall"));
}

#[test]
fn a_gateway_that_no_file_names_is_called_by_its_card() {
    let mut describer = Describer::new(Networks::default());
    let of = |n: u32, back| {
        seen(
            flow(CLIENT, &format!("192.0.2.{n}:443")),
            Some((TAP, VM, EDGE)),
            Some((TAP, back, VM)),
        )
    };
    for n in 1..=7 {
        let description = describer.describe(&of(n, EDGE));
        assert_eq!((description.to_server.via, description.asymmetric_path), (None, false), "{n}");
    }
    let eighth = describer.describe(&of(8, PEER));
    assert_eq!(via(&eighth.to_server), Some("mac 12:34:56:00:00:01"));
    assert_eq!(via(&eighth.to_client), None);
    assert!(eighth.asymmetric_path);
}

#[test]
fn a_tapped_router_is_known_by_the_card_that_all_its_packets_share() {
    let mut describer = example();
    let router = Mac([0x7c, 0x1e, 0x52, 0, 0, 0xaa]);
    let tap = "10.10.9.4";
    // It forwards: packets of both directions reach it, each from its own side.
    let transit = seen(
        flow("192.168.7.7:50000", "10.12.0.9:443"),
        Some((tap, EXPRESS_ROUTE, router)),
        Some((tap, PEER, router)),
    );
    let description = describer.describe(&transit);
    assert_eq!((description.nic, description.direction), (Some(router), Direction::Inbound));
    assert_eq!(via(&description.to_server), Some("er-gateway"));
    assert_eq!(via(&description.to_client), None);
    assert!(!description.asymmetric_path, "its two sides differ, and should");
}

#[test]
fn a_card_that_its_own_address_has_shown_is_known_in_other_flows() {
    let mut describer = example();
    // A second address of the same card: both its ends were always the same two.
    let second = seen(
        flow("10.12.0.5:50000", "192.168.7.7:443"),
        Some((TAP, VM, FIREWALL[0])),
        Some((TAP, FIREWALL[0], VM)),
    );
    let unsure = describer.describe(&second);
    assert_eq!((unsure.nic, unsure.to_server.via), (None, None));
    describer.describe(&seen(flow(CLIENT, "10.12.0.9:443"), Some((TAP, VM, PEER)), None));
    let sure = describer.describe(&second);
    assert_eq!((sure.nic, via(&sure.to_server)), (Some(VM), Some("hub-firewall")));
}

#[test]
fn a_flow_of_which_only_the_answers_are_seen_has_a_card_and_a_direction() {
    let mut describer = example();
    let back = Some((TAP, FIREWALL[0], VM));
    let outbound = describer.describe(&seen(flow(CLIENT, "192.168.7.7:443"), None, back));
    assert_eq!((outbound.nic, outbound.direction), (Some(VM), Direction::Outbound));
    assert_eq!(via(&outbound.to_client), Some("hub-firewall"));
    let back = Some((TAP, VM, FIREWALL[0]));
    let record = seen(flow("192.168.7.7:50000", "10.12.0.4:443"), None, back);
    assert_eq!(describer.describe(&record).direction, Direction::Inbound);
}

#[test]
fn behind_a_translation_the_address_of_the_tap_tells_the_network() {
    let mut describer = example();
    let record = flow("4.185.56.13:3073", "188.114.96.3:443");
    let mut record = seen(record, Some((TAP, VM, EDGE)), None);
    record.egress_only = true;
    let description = describer.describe(&record);
    assert_eq!((description.nic, description.direction), (Some(VM), Direction::Outbound));
    assert_eq!(description.client.vnet.as_deref(), Some("spoke-b"));
    assert_eq!(description.flow_type, FlowType::ExternalPublic);
}

#[test]
fn without_an_envelope_the_clients_card_stands_for_the_tap() {
    let mut describer = example();
    let mut record = flow(CLIENT, "192.168.7.7:443");
    record.to_server.link = Some(Link { src: VM, dst: FIREWALL[0], tap: None });
    record.to_client.link = Some(Link { src: EXPRESS_ROUTE, dst: VM, tap: None });
    let description = describer.describe(&record);
    assert_eq!((description.nic, description.direction), (Some(VM), Direction::Outbound));
    assert_eq!(via(&description.to_server), Some("hub-firewall"));
    assert_eq!(via(&description.to_client), Some("er-gateway"));
    assert!(!description.asymmetric_path, "nothing says that one place has shown both");

    let bare = describer.describe(&flow(CLIENT, "192.168.7.7:443"));
    assert_eq!((bare.nic, bare.direction), (None, Direction::Outbound));
}

#[test]
fn names_and_labels_are_those_of_the_address() {
    let mut describer = example();
    let mut record = flow("168.63.129.16:50000", "20.150.4.4:443");
    let answer = |name: &str, time| Answer {
        time,
        name: name.into(),
        aliases: vec!["blob.tyo22prdstr05a.store.core.windows.net".into()],
        addresses: vec![("20.150.4.4".parse().unwrap(), 10), ("10.12.0.4".parse().unwrap(), 10)],
    };
    describer.answer(&answer("account.blob.core.windows.net", record.start));
    let description = describer.describe(&record);
    assert_eq!(description.client.label, Some("health-probe"));
    assert_eq!(description.server.name.as_deref(), Some("account.blob.core.windows.net"));
    assert_eq!(description.server.label, None);
    // A flow keeps the name under which it began.
    let later = record.start + std::time::Duration::from_secs(600);
    describer.answer(&answer("other.blob.core.windows.net", later));
    (record.end, record.told) = (later, later);
    let name = describer.describe(&record).server.name;
    assert_eq!(name.as_deref(), Some("account.blob.core.windows.net"));
    // The file goes before an answer.
    let record = flow(CLIENT, "10.12.0.9:443");
    assert_eq!(describer.describe(&record).client.name.as_deref(), Some("app-server"));
}

proptest! {
    /// What a record says decides, whoever else was seen: no panic, and the same again.
    #[test]
    fn the_same_records_in_the_same_order_give_the_same_descriptions(
        flows in proptest::collection::vec(
            (0u8..20, 0u8..20, 0u8..4, [0u8..6, 0u8..6, 0u8..6, 0u8..6], any::<[bool; 4]>()),
            0..60,
        )
    ) {
        let cards = [VM, PEER, FIREWALL[0], EXPRESS_ROUTE, EDGE, Mac([0xff; 6])];
        let records: Vec<_> = flows
            .into_iter()
            .map(|(client, server, tap, macs, [there, back, egress_only, plain])| {
                let client = format!("10.12.0.{client}:1024");
                let server = format!("192.168.7.{server}:443");
                let tap = format!("10.12.0.{tap}");
                let [a, b, c, d] = macs.map(|mac| cards[usize::from(mac)]);
                let there = there.then_some((&*tap, a, b));
                let mut record =
                    seen(flow(&client, &server), there, back.then_some((&*tap, c, d)));
                record.egress_only = egress_only;
                if plain && let Some(link) = &mut record.to_server.link {
                    link.tap = None;
                }
                record
            })
            .collect();
        let run = || {
            let mut describer = example();
            records.iter().map(|record| describer.describe(record)).collect::<Vec<_>>()
        };
        let descriptions = run();
        prop_assert_eq!(&descriptions, &run());
        for (record, description) in records.iter().zip(&descriptions) {
            let taps = [record.to_server.link, record.to_client.link];
            let taps = taps.map(|link| link.and_then(|link| link.tap));
            if description.asymmetric_path {
                prop_assert!(taps[0].is_some() && taps[0] == taps[1]);
                prop_assert_ne!(&description.to_server, &description.to_client);
            }
        }
    }
}
