//! What flows share that are one row, and their sums.

use std::net::IpAddr;
use std::sync::Arc;

use vtap_flow::Record;
use vtap_flow::record::{Phase, Traffic};
use vtap_networks::{Description, Direction, End, FlowType};
use vtap_packet::{Mac, Protocol, Timestamp};

/// What flows share that are one row: all but the source port.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    pub(crate) nic: Option<Mac>,
    pub(crate) direction: Direction,
    pub(crate) flow_type: FlowType,
    pub(crate) protocol: Protocol,
    pub(crate) src: IpAddr,
    pub(crate) dest: IpAddr,
    pub(crate) dest_port: u16,
}

impl Key {
    pub(crate) const fn of(record: &Record, description: &Description) -> Self {
        Self {
            nic: description.nic,
            direction: description.direction,
            flow_type: description.flow_type,
            protocol: record.protocol,
            src: record.client.ip(),
            dest: record.server.ip(),
            dest_port: record.server.port(),
        }
    }
}

/// The sums of flows that are one row.
#[derive(Clone, Debug)]
pub(crate) struct Group {
    pub(crate) src: Place,
    pub(crate) dest: Place,
    /// Records of flows that are summed up.
    pub(crate) records: u64,
    /// Flows that have begun.
    pub(crate) begun: u64,
    /// Flows that are over.
    pub(crate) ended: u64,
    /// When the first flow, and the last, has begun; where none has, when it was seen.
    pub(crate) first: Option<Timestamp>,
    pub(crate) last: Option<Timestamp>,
    pub(crate) to_dest: Traffic,
    pub(crate) to_src: Traffic,
}

/// Where an address lies, as the first record of the interval has it.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) vnet: Option<Arc<str>>,
    pub(crate) subnet: Option<Arc<str>>,
    /// It lies in no network, but among public addresses.
    pub(crate) is_public: bool,
}

impl Place {
    fn of(end: &End, flow_type: FlowType) -> Self {
        let is_public = matches!(flow_type, FlowType::AzurePublic | FlowType::ExternalPublic)
            && end.vnet.is_none()
            && !end.on_premises;
        Self { vnet: end.vnet.clone(), subnet: end.subnet.clone(), is_public }
    }
}

impl Group {
    pub(crate) fn of(description: &Description) -> Self {
        Self {
            src: Place::of(&description.client, description.flow_type),
            dest: Place::of(&description.server, description.flow_type),
            records: 0,
            begun: 0,
            ended: 0,
            first: None,
            last: None,
            to_dest: Traffic::default(),
            to_src: Traffic::default(),
        }
    }

    /// Adds what a record tells that none before it has told.
    pub(crate) fn add(&mut self, record: &Record, is_first: bool) {
        let seen = if is_first { record.start } else { record.end };
        // The documented end is the begin of the last flow. One that goes on stands in for it only
        // where none has begun.
        if is_first && self.begun == 0 {
            (self.first, self.last) = (None, None);
        }
        if is_first || self.begun == 0 {
            self.first = Some(self.first.map_or(seen, |first| first.min(seen)));
            self.last = Some(self.last.map_or(seen, |last| last.max(seen)));
        }
        self.records += 1;
        self.begun += u64::from(is_first);
        self.ended += u64::from(matches!(record.phase, Phase::End(_)));
        self.to_dest += record.to_server.since;
        self.to_src += record.to_client.since;
    }
}
