//! Flows that never were, told as the tracker tells them.

#![allow(dead_code, reason = "each test uses some of it")]

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde_json::Value;
use vtap_flow::Record;
use vtap_flow::record::{ConnState, Ending, Half, History, Phase, Traffic};
use vtap_networks::{Description, Direction, End, FlowType};
use vtap_packet::{Mac, Protocol, Timestamp};
use vtap_testkit::data::files_below;

/// 2025-12-01T00:00:00Z.
pub(crate) const DAY: u64 = 1_764_547_200;

pub(crate) const NIC: Mac = Mac([0x00, 0x22, 0x48, 0x71, 0xc2, 0x05]);

/// Seconds of that day.
pub(crate) fn at(secs: f64) -> Timestamp {
    Timestamp::from_nanos(DAY * 1_000_000_000 + (secs * 1e9) as u64)
}

/// A flow, as far as it has been told.
#[derive(Clone, Debug)]
pub(crate) struct Flow(pub(crate) Record);

impl Flow {
    /// Packets to the server have 100 bytes, those to the client 1000.
    pub(crate) fn new(packet: u64, client: &str, server: &str, start: Timestamp) -> Self {
        let (client, server): (SocketAddr, SocketAddr) =
            (client.parse().unwrap(), server.parse().unwrap());
        Self(Record {
            phase: Phase::Begin,
            packet,
            protocol: Protocol::TCP,
            client,
            server,
            tunnel: None,
            taps: Default::default(),
            start,
            end: start,
            told: start,
            to_server: Half::default(),
            to_client: Half::default(),
            tcp: None,
            conn_state: ConnState::SF,
            history: History::default(),
            midstream: false,
            missing: None,
            egress_only: false,
        })
    }

    pub(crate) fn of(mut self, protocol: Protocol) -> Self {
        self.0.protocol = protocol;
        self
    }

    /// Told at `told`, after so many packets more each way, the last of them at `end`.
    pub(crate) fn tell(
        &mut self,
        phase: Phase,
        told: Timestamp,
        end: Timestamp,
        more: [u64; 2],
    ) -> Record {
        let Self(record) = self;
        (record.phase, record.told, record.end) = (phase, told, end);
        let halves = [(&mut record.to_server, 100), (&mut record.to_client, 1000)];
        for ((half, bytes), packets) in halves.into_iter().zip(more) {
            half.since = Traffic { packets, bytes: packets * bytes, payload: 0 };
            half.total.packets += packets;
            half.total.bytes += packets * bytes;
        }
        record.clone()
    }

    /// Over, without a word before.
    pub(crate) fn end(&mut self, told: Timestamp, packets: [u64; 2]) -> Record {
        self.tell(Phase::End(Ending::Fin), told, told, packets)
    }
}

/// Packets and bytes to the server, packets and bytes to the client.
pub(crate) fn totals(record: &Record) -> [u64; 4] {
    let (there, back) = (record.to_server.total, record.to_client.total);
    [there.packets, there.bytes, back.packets, back.bytes]
}

/// Between two subnets of a virtual network, shown by the client's card.
pub(crate) fn inside() -> Description {
    Description {
        client: end("spoke", "clients"),
        server: end("spoke", "servers"),
        flow_type: FlowType::IntraVNet,
        nic: Some(NIC),
        ..Description::default()
    }
}

/// From the Internet.
pub(crate) fn from_outside() -> Description {
    Description {
        server: end("spoke", "servers"),
        flow_type: FlowType::ExternalPublic,
        nic: Some(NIC),
        direction: Direction::Inbound,
        ..Description::default()
    }
}

fn end(vnet: &str, subnet: &str) -> End {
    End { vnet: Some(vnet.into()), subnet: Some(subnet.into()), ..End::default() }
}

/// Every file below `directory` whose name ends with `ending`, in order; none where it is not there.
pub(crate) fn files(directory: &Path, ending: &str) -> Vec<PathBuf> {
    if directory.exists() { files_below(directory, ending) } else { Vec::new() }
}

/// What the tuples of a flow add up to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Told {
    /// `B`, `C` and `E`, in the order of their times.
    pub(crate) states: String,
    pub(crate) sums: [u64; 4],
    /// Of the last tuple, in milliseconds.
    pub(crate) last: u64,
}

/// What was told of each flow, by card, addresses, ports and protocol.
pub(crate) type Flows = BTreeMap<String, Told>;

/// Reads a flow log.
pub(crate) fn read(directory: &Path) -> Flows {
    Reader::default().read(directory)
}

/// Reads a flow log again and again: a file is parsed where its bytes are not those of last time.
#[derive(Default)]
pub(crate) struct Reader(BTreeMap<PathBuf, (Vec<u8>, Flows)>);

impl Reader {
    pub(crate) fn read(&mut self, directory: &Path) -> Flows {
        let mut flows = Flows::new();
        for path in files(directory, "PT1H.json") {
            let bytes = fs::read(&path).unwrap();
            if self.0.get(&path).is_none_or(|(parsed, _)| *parsed != bytes) {
                let log = serde_json::from_slice(&bytes)
                    .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
                self.0.insert(path.clone(), (bytes, parse(&log)));
            }
            for (flow, more) in &self.0[&path].1 {
                let told = flows.entry(flow.clone()).or_default();
                told.states += &more.states;
                for (sum, more) in told.sums.iter_mut().zip(more.sums) {
                    *sum += more;
                }
                told.last = told.last.max(more.last);
            }
        }
        flows
    }
}

/// What one `PT1H.json` tells.
fn parse(log: &Value) -> Flows {
    let mut flows = Flows::new();
    for record in log["records"].as_array().unwrap() {
        let mac = record["macAddress"].as_str().unwrap();
        let tuples = &record["flowRecords"]["flows"][0]["flowGroups"][0]["flowTuples"];
        for tuple in tuples.as_array().unwrap() {
            let fields: Vec<_> = tuple.as_str().unwrap().split(',').collect();
            let flow = flows.entry(format!("{mac} {}", fields[1..6].join(" "))).or_default();
            flow.states += fields[7];
            for (sum, field) in flow.sums.iter_mut().zip(&fields[9..]) {
                *sum += field.parse::<u64>().unwrap();
            }
            flow.last = flow.last.max(fields[0].parse().unwrap());
        }
    }
    flows
}
