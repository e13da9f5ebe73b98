//! Writing events, to nowhere: those of many connections that open and close all at the same time,
//! so that whatever is kept of a connection from one event to the next has to be kept for long.

#![allow(clippy::expect_used, clippy::panic, reason = "a benchmark fails loudly")]

use std::io;

use vtap_benches::{criterion, measure_many};
use vtap_decap::{Config as DecapConfig, Decap, Stripped};
use vtap_export::{Json, Text};
use vtap_flow::{Config, Event, Sink, Tracker};
use vtap_packet::Timestamp;
use vtap_testkit::{frame, packet, traffic};

const FLOWS: usize = 20_000;

fn main() {
    let mut criterion = criterion();
    let events = events();
    let mut json = Json::new(io::sink());
    measure_many(&mut criterion, "export", "json", events.len(), || write(&mut json, &events));
    let mut text = Text::new(io::sink());
    measure_many(&mut criterion, "export", "text", events.len(), || write(&mut text, &events));
    criterion.final_summary();
}

fn write(sink: &mut impl Sink<Error = io::Error>, events: &[Event]) {
    for event in events {
        sink.event(event).expect("nowhere takes all");
    }
}

/// SYN, SYN-ACK, ACK, FIN, FIN-ACK, FIN, FIN-ACK of each connection; the SYNs of all of them come
/// first, then the SYN-ACKs, and so on.
fn events() -> Vec<Event> {
    let mut segments: Vec<_> = (0..FLOWS)
        .map(|index| {
            let mut talk = traffic::conversation(index);
            talk.handshake().into_iter().chain(talk.close()).collect::<Vec<_>>().into_iter()
        })
        .collect();
    let mut decap = Decap::new(DecapConfig::default());
    let mut tracker = Tracker::new(Config::default());
    let (mut events, mut number) = (Vec::new(), 0);
    for _ in 0..7 {
        for segment in segments.iter_mut().filter_map(Iterator::next) {
            number += 1;
            let frame = frame::mirrored(27, &segment.build());
            let time = Timestamp::new(1_700_000_000, number * 1000);
            let Stripped::Mirrored(inner) = decap.strip(packet(number, time, &frame)) else {
                panic!("it is mirrored");
            };
            let Ok(_) = tracker.push(&inner, &mut events);
        }
    }
    assert_eq!(events.len(), 7 * FLOWS);
    events
}
