//! Writing events: those of 1,000 connections that open and close one after the other, to nowhere.

#![allow(clippy::expect_used, clippy::panic, reason = "a benchmark fails loudly")]

use std::io;

use vtap_benches::{criterion, measure_many};
use vtap_decap::{Config as DecapConfig, Decap, Stripped};
use vtap_export::{Json, Text};
use vtap_flow::{Config, Event, Sink, Tracker};
use vtap_packet::Timestamp;
use vtap_testkit::{frame, packet, traffic};

const FLOWS: usize = 1000;

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

/// SYN, SYN-ACK, ACK, FIN, FIN-ACK, FIN, FIN-ACK of each connection.
fn events() -> Vec<Event> {
    let mut decap = Decap::new(DecapConfig::default());
    let mut tracker = Tracker::new(Config::default());
    let (mut events, mut number) = (Vec::new(), 0);
    for index in 0..FLOWS {
        let mut talk = traffic::conversation(index);
        for segment in talk.handshake().into_iter().chain(talk.close()) {
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
