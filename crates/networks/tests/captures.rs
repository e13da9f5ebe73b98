//! Captures of real taps, replayed and described.

#![allow(clippy::unwrap_used, reason = "a test fails loudly")]

use std::convert::Infallible;
use std::path::Path;

use vtap_capture::File;
use vtap_decap::Decap;
use vtap_flow::{Answer, Config, Event, Gap, Profile, Record, Sink, Tracker};
use vtap_networks::{Describer, Description, Direction, FlowType, Networks};
use vtap_packet::Mac;
use vtap_pipeline::{Pipeline, run};
use vtap_testkit::data::testdata;

const CLIENT: Mac = Mac([0x02, 0x00, 0x0a, 0x00, 0x02, 0x04]);
const SERVER: Mac = Mac([0x02, 0x00, 0x0a, 0x00, 0x02, 0x06]);
const ROUTER: Mac = Mac([0x02, 0x00, 0x0a, 0x00, 0x02, 0x05]);

/// The lab's network, with its two routers as two gateways.
const LAB: &str = "
    [[vnet]]
    name = 'lab'
    address_space = ['10.0.0.0/16']
    subnet = [{ name = 'hosts', range = '10.0.2.0/24' }]

    [[gateway]]
    name = 'firewall'
    kind = 'firewall'
    macs = ['02:00:0a:00:02:05']
    addresses = ['10.0.2.5']

    [[gateway]]
    name = 'back'
    kind = 'expressroute'
    macs = ['02:00:0a:00:02:07']
    addresses = ['10.0.2.7']
";

struct Described {
    describer: Describer,
    records: Vec<(Record, Description)>,
}

impl Sink for Described {
    type Error = Infallible;

    fn event(&mut self, _event: &Event) -> Result<(), Infallible> {
        Ok(())
    }

    fn gap(&mut self, _gap: &Gap) -> Result<(), Infallible> {
        Ok(())
    }

    fn record(&mut self, record: &Record) -> Result<(), Infallible> {
        self.records.push((record.clone(), self.describer.describe(record)));
        Ok(())
    }

    fn answer(&mut self, answer: &Answer) -> Result<(), Infallible> {
        self.describer.answer(answer);
        Ok(())
    }
}

/// Every record of a capture of `testdata/tap`, described.
fn describe(capture: &str, networks: &str) -> Vec<(Record, Description)> {
    let networks = Networks::parse(Path::new("networks.toml"), networks).unwrap();
    let tracking = Config { records: true, ..Config::new(Profile::Azure) };
    let decap = Decap::new(vtap_decap::Config::default());
    let mut pipeline = Pipeline::new(decap, Some(Tracker::new(tracking)));
    let mut source = File::open(&testdata("tap").join(capture)).unwrap();
    let mut sink = Described { describer: Describer::new(networks), records: Vec::new() };
    run(&mut source, &mut pipeline, &mut sink, &mut ()).unwrap();
    assert!(!sink.records.is_empty());
    sink.records
}

fn via(description: &Description) -> [Option<&str>; 2] {
    [&description.to_server, &description.to_client].map(|way| way.via.as_deref())
}

#[test]
fn a_missing_route_shows_as_two_gateways_and_the_server_by_the_name_that_was_asked_for() {
    let described = describe("two-routers.pcap", LAB);
    assert_eq!(described.len(), 3, "two connections and a question");
    for (record, description) in &described {
        assert_eq!(via(description), [Some("firewall"), Some("back")], "{record:?}");
        assert!(description.asymmetric_path);
        assert_eq!((description.nic, description.direction), (Some(CLIENT), Direction::Outbound));
        assert_eq!(description.flow_type, FlowType::IntraVNet);
        assert_eq!(description.server.subnet.as_deref(), Some("hosts"));
        let name = description.server.name.as_deref();
        assert_eq!(name, Some("account.blob.core.windows.net"));
        assert_eq!(description.client.name, None);
    }
}

#[test]
fn two_routers_of_one_gateway_are_one_way() {
    let pair = LAB.replace("['02:00:0a:00:02:05']", "['02:00:0a:00:02:05', '02:00:0a:00:02:07']");
    let pair = pair.split("\n\n    [[gateway]]\n    name = 'back'").next().unwrap();
    for (_, description) in describe("two-routers.pcap", pair) {
        assert_eq!(via(&description), [Some("firewall"); 2]);
        assert!(!description.asymmetric_path);
    }
}

#[test]
fn two_neighbours_of_one_address_are_no_gateways_without_a_word_of_the_file() {
    for (_, description) in describe("two-routers.pcap", "") {
        assert_eq!(via(&description), [None; 2]);
        assert!(!description.asymmetric_path);
    }
}

#[test]
fn a_direct_flow_has_the_tapped_card_and_no_gateway() {
    let described = describe("http.pcap", LAB);
    let direct = Description {
        nic: Some(CLIENT),
        direction: Direction::Outbound,
        flow_type: FlowType::IntraVNet,
        ..described[0].1.clone()
    };
    assert_eq!(described[0].1, direct);
    assert_eq!((via(&direct), direct.asymmetric_path), ([None; 2], false));
}

#[test]
fn each_end_of_a_flow_between_two_taps_is_seen_from_the_clients() {
    for (_, description) in describe("both-ends.pcap", LAB) {
        assert_eq!((description.nic, description.direction), (Some(CLIENT), Direction::Outbound));
        assert_eq!((via(&description), description.asymmetric_path), ([None; 2], false));
    }
}

#[test]
fn a_tapped_router_is_found_among_the_ends_of_its_links() {
    for (record, description) in describe("router.pcap", LAB) {
        let link = record.to_server.link.unwrap();
        assert_eq!((link.src, link.dst), (CLIENT, ROUTER));
        assert_eq!(record.to_client.link.unwrap().src, SERVER);
        assert_eq!((description.nic, description.direction), (Some(ROUTER), Direction::Inbound));
        assert_eq!((via(&description), description.asymmetric_path), ([None; 2], false));
    }
}

#[test]
fn behind_a_translation_the_card_of_the_tap_has_sent_it() {
    for (record, description) in describe("snat-egress.pcap", LAB) {
        assert!(record.egress_only);
        assert_eq!((description.nic, description.direction), (Some(CLIENT), Direction::Outbound));
        assert_eq!(description.client.vnet.as_deref(), Some("lab"));
        assert_eq!(description.flow_type, FlowType::ExternalPublic);
    }
}
