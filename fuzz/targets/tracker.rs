//! Sequences of segments through the tracker, see [`vtap_fuzz::script`].
//!
//! Input: profile and switches, checksum policy, limits, start; then steps.
//!
//! Laws: every packet ends in one counter; the table never holds more flows than it may. Events
//! and counters agree, and every INVALID segment is a row or in the sum of a closing row. What an
//! event may say follows from its flag and the profile. A side has one FIN, and one FIN-ACK for
//! it, until its flow starts over. Played once more with every address order reversed, everything
//! comes out the same: nothing depends on the seed of the hash or on which end is the lower one.

#![no_main]

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use vtap_flow::{
    Checksum, Config, Event, EventFlag, Outcome, Profile, Reason, Skip, Stats, Tracker, Verdict,
};
use vtap_fuzz::Bytes;
use vtap_fuzz::bytes::pick;
use vtap_fuzz::script::{self, Frame, Stage};
use vtap_packet::{Timestamp, Vni};

fuzz_target!(|bytes: &[u8]| {
    let mut bytes = Bytes(bytes);
    let (config, start) = head(bytes.chunk());
    let straight = track(&script::play(bytes, start, Stage::Straight), config, Stage::Straight);
    let reversed = track(&script::play(bytes, start, Stage::Reversed), config, Stage::Reversed);
    for (number, pair) in (1..).zip(straight.outcomes.iter().zip(&reversed.outcomes)) {
        assert_eq!(pair.0, pair.1, "packet {number}");
    }
    assert_eq!(straight.events, reversed.events);
    assert_eq!(straight.stats, reversed.stats);
});

fn head([switches, sums, limits, start]: [u8; 4]) -> (Config, Timestamp) {
    let profile = if switches & 1 == 0 { Profile::Linux } else { Profile::Azure };
    let defaults = Config::new(profile);
    let config = Config {
        pickup: defaults.pickup ^ (switches & 2 != 0),
        fold_vni: switches & 4 != 0,
        warm_up: if switches & 8 == 0 { defaults.warm_up } else { Duration::from_secs(10) },
        checksum: pick(
            &[defaults.checksum, Checksum::Verify, Checksum::OffloadAware, Checksum::Off],
            sums,
        ),
        max_flows: 1 + usize::from(limits & 7),
        invalid_limit: u32::from(limits >> 3 & 7),
        records: switches & 16 != 0,
        // Each verdict is told at once; the pipeline's target has segments that wait.
        reordering: Duration::ZERO,
        ..defaults
    };
    let starts = [1_700_000_000, 0, u64::from(u32::MAX) - 100, 18_446_744_000];
    (config, Timestamp::new(pick(&starts, start), 0))
}

struct Run {
    outcomes: Vec<Outcome>,
    events: Vec<Event>,
    stats: Stats,
}

fn track(frames: &[Frame], config: Config, stage: Stage) -> Run {
    let mut tracker = Tracker::new(config);
    let (mut outcomes, mut events) = (Vec::new(), Vec::new());
    let mut closing = Closing::default();
    for (number, frame) in (1..).zip(frames) {
        let (seen, flows) = (events.len(), tracker.stats().flows);
        let Ok(outcome) = tracker.push(&frame.packet(number), &mut events);
        assert!(tracker.flows() <= config.max_flows);
        assert!(tracker.stats().balances(), "{:?}", tracker.stats());
        let new = &events[seen..];
        judge(number, &outcome, new, config);
        closing.take(new, tracker.stats().flows > flows, frame.vni.filter(|_| !config.fold_vni));
        outcomes.push(outcome);
    }
    let Ok(()) = tracker.finish(&mut events);
    assert_eq!(tracker.flows(), 0);
    account(&events, &outcomes, frames, &tracker.stats(), config);
    for event in &mut events {
        event.src.set_ip(stage.straighten(event.src.ip()));
        event.dst.set_ip(stage.straighten(event.dst.ip()));
    }
    Run { outcomes, events, stats: tracker.stats() }
}

/// One packet.
fn judge(number: u64, outcome: &Outcome, events: &[Event], config: Config) {
    let linux = config.profile == Profile::Linux;
    match outcome.verdict {
        Verdict::Invalid(reason) => {
            let azure_only = [
                Reason::SeqBelowWindow,
                Reason::AckBelowWindow,
                Reason::TableFull,
                Reason::Asymmetric,
            ];
            assert!(!(linux && azure_only.contains(&reason)), "{reason} in linux");
        }
        Verdict::Skipped(Skip::TableFull) => assert!(linux),
        Verdict::Skipped(Skip::IpChecksum) => assert_ne!(config.checksum, Checksum::Off),
        Verdict::Held => panic!("nothing waits"),
        Verdict::New
        | Verdict::Established
        | Verdict::Related
        | Verdict::Duplicate
        | Verdict::Forwarded
        | Verdict::Skipped(_) => {}
    }
    let (sums, own): (Vec<&Event>, Vec<&Event>) =
        events.iter().partition(|event| event.suppressed > 0);
    assert!(sums.iter().all(|event| event.packet < number && event.flag == EventFlag::Invalid));
    // What closes an earlier flow comes before what this packet is.
    assert!(
        own.len() <= 1
            && own.first().copied() == events.last().filter(|event| event.suppressed == 0)
    );
    for event in own {
        assert_eq!(event.packet, number);
        assert_eq!(event.reason.is_some(), event.flag == EventFlag::Invalid);
        assert_eq!(event.missing.is_some(), event.reason == Some(Reason::Asymmetric));
        assert_eq!(event.state, outcome.state.state());
        match outcome.verdict {
            Verdict::Invalid(reason) => assert_eq!(event.reason, Some(reason)),
            Verdict::New | Verdict::Established => assert_ne!(event.flag, EventFlag::Invalid),
            _ => panic!("{event:?} of {outcome:?}"),
        }
    }
}

/// What was said of each side's end, by VNI, source and destination.
#[derive(Default)]
struct Closing(BTreeMap<(Option<Vni>, SocketAddr, SocketAddr), [bool; 2]>);

impl Closing {
    fn take(&mut self, events: &[Event], opened: bool, vni: Option<Vni>) {
        let Some(event) = events.iter().find(|event| event.suppressed == 0) else {
            if opened {
                // Picked up without a word; the packet's addresses are not at hand, so all start
                // over.
                self.0.clear();
            }
            return;
        };
        let there = (vni, event.src, event.dst);
        let back = (vni, event.dst, event.src);
        if opened || event.flag == EventFlag::SynAck && !event.retransmission {
            self.0.remove(&there);
            self.0.remove(&back);
        }
        let place = match event.flag {
            _ if event.retransmission => return,
            EventFlag::Fin => 0,
            EventFlag::FinAck => 1,
            _ => return,
        };
        let said = self.0.entry(there).or_default();
        assert!(!std::mem::replace(&mut said[place], true), "twice: {event:?}");
    }
}

/// The whole run.
fn account(
    events: &[Event],
    outcomes: &[Outcome],
    frames: &[Frame],
    stats: &Stats,
    config: Config,
) {
    for flag in EventFlag::ALL {
        let told = events.iter().filter(|event| event.flag == flag && !event.retransmission);
        assert_eq!(told.count() as u64, stats.events(flag), "{flag}");
    }
    let repeated = events.iter().filter(|event| event.retransmission).count() as u64;
    assert_eq!(repeated, stats.retransmissions);

    let rows = |asymmetric: bool| {
        events.iter().filter(move |event| {
            event.flag == EventFlag::Invalid
                && (event.reason == Some(Reason::Asymmetric)) == asymmetric
        })
    };
    let told: u64 = rows(false).map(|event| event.suppressed.max(1)).sum();
    let counted = |reason: Reason| stats.invalid(reason);
    let others = Reason::ALL.into_iter().filter(|reason| *reason != Reason::Asymmetric);
    assert_eq!(told, others.map(counted).sum::<u64>());
    let asymmetric = rows(true).count() as u64;
    assert!(asymmetric <= counted(Reason::Asymmetric).min(stats.flows));
    assert_eq!(asymmetric > 0, counted(Reason::Asymmetric) > 0);
    let shown = rows(false).filter(|event| event.suppressed == 0).count() as u64;
    let limit = u64::from(config.invalid_limit);
    assert!(shown <= limit * (stats.flows + flowless_spans(frames)), "{shown} rows");

    let invalid = |outcome: &&Outcome| matches!(outcome.verdict, Verdict::Invalid(_));
    let invalid = outcomes.iter().filter(invalid).count() as u64;
    let counted: u64 = Reason::ALL.into_iter().map(counted).sum();
    assert!(counted <= invalid && invalid <= counted + stats.other);
}

/// Spans in which rows without a flow are limited, at most: one a minute of time going forward.
fn flowless_spans(frames: &[Frame]) -> u64 {
    let forward: Duration = frames
        .windows(2)
        .map(|pair| match pair {
            [before, after] => after.time.since(before.time),
            _ => Duration::ZERO,
        })
        .sum();
    forward.as_secs() / 60 + 1
}
