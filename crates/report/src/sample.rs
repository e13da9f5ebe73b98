//! Records and descriptions for tests.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use vtap_flow::Record;
use vtap_flow::event::MAX_TAPS;
use vtap_flow::record::{ConnState, Ending, Half, History, Phase, Tcp, Traffic};
use vtap_networks::{Description, End};
use vtap_packet::{Protocol, Timestamp};

/// A connection of 2 s that went well: 10 packets of 1,000 bytes to the server, 20 of 30,000 bytes
/// to the client.
pub(crate) fn tcp(packet: u64, client: &str, server: &str) -> Record {
    let start = Timestamp::new(1_764_547_200 + packet, 0);
    let half = |packets, bytes| {
        let total = Traffic { packets, bytes, payload: bytes - 40 * packets };
        Half { total, since: total, ..Half::default() }
    };
    Record {
        phase: Phase::End(Ending::Fin),
        packet,
        protocol: Protocol::TCP,
        client: address(client),
        server: address(server),
        tunnel: None,
        taps: [None; MAX_TAPS],
        start,
        end: start + Duration::from_secs(2),
        told: start + Duration::from_secs(3),
        to_server: half(10, 1_000),
        to_client: half(20, 30_000),
        tcp: Some(Tcp {
            state: None,
            handshake: Some(Duration::from_micros(1_500)),
            syn_ack: Some(Duration::from_micros(1_200)),
            invalid: 0,
        }),
        conn_state: ConnState::SF,
        history: history("ShADadFf"),
        midstream: false,
        missing: None,
        egress_only: false,
    }
}

pub(crate) fn history(letters: &str) -> History {
    let mut history = History::default();
    for letter in letters.bytes() {
        history.push(letter);
    }
    history
}

pub(crate) fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// A server with a name, and nothing else known.
pub(crate) fn named(name: &str) -> Description {
    let server = End { name: Some(Arc::from(name)), ..End::default() };
    Description { server, ..Description::default() }
}
