//! What is summed up, of whatever it is.

use std::net::IpAddr;
use std::sync::Arc;

use vtap_flow::Record;
use vtap_packet::Timestamp;

use crate::handshake::{Failure, was_tried};
use crate::tally::Amount;
use crate::times::Times;

/// What flows carried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Exchange {
    pub(crate) flows: u64,
    pub(crate) packets: u64,
    /// Bytes of IP packets, of clients.
    pub(crate) to_server: u64,
    /// Bytes of IP packets, of servers.
    pub(crate) to_client: u64,
    /// TCP packets, and how many of them were sent again.
    pub(crate) tcp_packets: u64,
    pub(crate) retransmissions: u64,
    /// Handshakes whose SYN was seen, and how many of them failed.
    pub(crate) tried: u64,
    pub(crate) failed: u64,
}

impl Exchange {
    pub(crate) fn of(record: &Record, failure: Option<Failure>) -> Self {
        let [up, down] = [&record.to_server, &record.to_client];
        let packets = up.total.packets + down.total.packets;
        let tcp = record.tcp.is_some();
        Self {
            flows: 1,
            packets,
            to_server: up.total.bytes,
            to_client: down.total.bytes,
            tcp_packets: if tcp { packets } else { 0 },
            retransmissions: u64::from(up.retransmissions) + u64::from(down.retransmissions),
            tried: was_tried(record).into(),
            failed: failure.is_some().into(),
        }
    }

    pub(crate) const fn bytes(&self) -> u64 {
        self.to_server + self.to_client
    }
}

impl Amount for Exchange {
    fn weight(&self) -> u64 {
        self.bytes()
    }

    fn absorb(&mut self, other: &Self) {
        self.flows += other.flows;
        self.packets += other.packets;
        self.to_server += other.to_server;
        self.to_client += other.to_client;
        self.tcp_packets += other.tcp_packets;
        self.retransmissions += other.retransmissions;
        self.tried += other.tried;
        self.failed += other.failed;
    }
}

/// What an address sent and received.
#[derive(Clone, Debug, Default)]
pub(crate) struct Talker {
    pub(crate) flows: u64,
    pub(crate) packets: u64,
    pub(crate) sent: u64,
    pub(crate) received: u64,
    /// What it is called, the latest that was told.
    pub(crate) name: Option<Arc<str>>,
    /// Where it lies.
    pub(crate) place: Option<Arc<str>>,
}

impl Amount for Talker {
    fn weight(&self) -> u64 {
        self.sent + self.received
    }

    fn absorb(&mut self, other: &Self) {
        self.flows += other.flows;
        self.packets += other.packets;
        self.sent += other.sent;
        self.received += other.received;
        self.name = other.name.clone().or_else(|| self.name.take());
        self.place = other.place.clone().or_else(|| self.place.take());
    }
}

/// What went by one way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Carried {
    pub(crate) packets: u64,
    pub(crate) to_server: u64,
    pub(crate) to_client: u64,
}

impl Carried {
    pub(crate) const fn bytes(&self) -> u64 {
        self.to_server + self.to_client
    }
}

impl Amount for Carried {
    fn weight(&self) -> u64 {
        self.bytes()
    }

    fn absorb(&mut self, other: &Self) {
        self.packets += other.packets;
        self.to_server += other.to_server;
        self.to_client += other.to_client;
    }
}

/// How often something failed, and when.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Failed {
    pub(crate) count: u64,
    /// `None` where it never did.
    pub(crate) span: Option<(Timestamp, Timestamp)>,
}

impl Amount for Failed {
    fn weight(&self) -> u64 {
        self.count
    }

    fn absorb(&mut self, other: &Self) {
        self.count += other.count;
        self.span = [self.span, other.span]
            .into_iter()
            .flatten()
            .reduce(|one, two| (one.0.min(two.0), one.1.max(two.1)));
    }
}

/// How long handshakes took.
#[derive(Debug, Default)]
pub(crate) struct Timing {
    /// From the SYN to the SYN-ACK: from the tap to the server and back.
    pub(crate) syn_ack: Times,
    /// From the SYN to the ACK of the SYN-ACK: the whole way.
    pub(crate) handshake: Times,
}

impl Amount for Timing {
    fn weight(&self) -> u64 {
        self.syn_ack.count()
    }

    fn absorb(&mut self, other: &Self) {
        self.syn_ack.absorb(&other.syn_ack);
        self.handshake.absorb(&other.handshake);
    }
}

/// A name that the traffic itself has told.
#[derive(Clone, Debug, Default)]
pub(crate) struct Named {
    /// DNS responses.
    pub(crate) answers: u64,
    /// Flows to it, and their bytes both ways.
    pub(crate) flows: u64,
    pub(crate) bytes: u64,
    /// The first addresses of it.
    pub(crate) addresses: Vec<IpAddr>,
    /// Whether it has more.
    pub(crate) and_more: bool,
}

impl Named {
    const ADDRESSES: usize = 4;
}

impl Amount for Named {
    /// A name that is used goes before one that was asked for only.
    fn weight(&self) -> u64 {
        self.bytes.saturating_mul(16).saturating_add(self.answers)
    }

    fn absorb(&mut self, other: &Self) {
        self.answers += other.answers;
        self.flows += other.flows;
        self.bytes += other.bytes;
        self.and_more |= other.and_more;
        for address in &other.addresses {
            if self.addresses.contains(address) {
                continue;
            }
            if self.addresses.len() < Self::ADDRESSES {
                self.addresses.push(*address);
            } else {
                self.and_more = true;
            }
        }
    }
}
