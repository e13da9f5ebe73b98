//! Synthetic captures on the belt: each packet decapsulates, and none is INVALID.

#![allow(clippy::unwrap_used, reason = "a test fails loudly")]

use proptest::prelude::*;
use vtap_capture::File;
use vtap_decap::Decap;
use vtap_flow::{Checksum, Config as Tracking, EventFlag, Profile, Tracker, Verdict};
use vtap_pipeline::{Fate, Pipeline, Report, Watched, watch};
use vtap_synth::{Config, Generator, Size, Written};

/// Replays a capture with every checksum verified; how many packets had each verdict, NEW,
/// ESTABLISHED and anything else.
fn replay(config: Config, profile: Profile) -> (Written, Report, [u64; 3]) {
    let mut capture = Vec::new();
    let written = Generator::new(config).unwrap().write_capture(&mut capture).unwrap();
    let tracking = Tracking { checksum: Checksum::Verify, ..Tracking::new(profile) };
    let decap = Decap::new(vtap_decap::Config::default());
    let mut pipeline = Pipeline::new(decap, Some(Tracker::new(tracking)));
    let mut verdicts = [0; 3];
    let [new, established, other] = &mut verdicts;
    let mut source = File::from_bytes(capture).unwrap();
    let report = watch(&mut source, &mut pipeline, &mut Vec::new(), &mut (), |watched| {
        let Watched::Packet(seen) = watched else { return Ok(()) };
        *match seen.fate {
            Fate::Tracked(outcome) if outcome.verdict == Verdict::New => &mut *new,
            Fate::Tracked(outcome) if outcome.verdict == Verdict::Established => established,
            _ => other,
        } += 1;
        Ok(())
    });
    (written, report.unwrap(), verdicts)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn every_packet_is_new_or_established(
        size in prop::sample::select(&Size::ALL),
        profile in prop::sample::select(&[Profile::Azure, Profile::Linux]),
        flows in 1_u32..300,
        connections in 0_u32..140_000,
        seed: u64,
    ) {
        let config = Config {
            size,
            packets: 6000,
            flows,
            connections_per_second: Some(connections),
            seed,
            ..Config::default()
        };
        let (written, report, [new, established, other]) = replay(config, profile);
        let flow = report.flow.unwrap();
        prop_assert_eq!((report.decapsulated(), other), (6000, 0));
        prop_assert_eq!((new, established), (written.connections, 6000 - written.connections));
        prop_assert_eq!((flow.flows, flow.midstream), (written.connections, 0));
        prop_assert_eq!((flow.offloaded, flow.truncated, flow.retransmissions), (0, 0, 0));
        prop_assert_eq!(flow.events(EventFlag::Invalid), 0);
        prop_assert_eq!(flow.events(EventFlag::Rst), 0);
        // The FIN of the second side is its FIN-ACK, answered by the FIN-ACK of the first.
        let (fin, answers) = (flow.events(EventFlag::Fin), flow.events(EventFlag::FinAck));
        prop_assert!(fin >= written.completed && answers >= 2 * written.completed);
        prop_assert!(answers <= 2 * fin);
    }
}

/// Two packets a second: connections last, and each of their timers is met.
#[test]
fn slow_connections_are_followed_to_their_end() {
    let config = Config {
        size: Size::Small,
        packets: 5000,
        flows: 10,
        rate: 2,
        connections_per_second: None,
        ..Config::default()
    };
    let (written, report, [_, _, other]) = replay(config, Profile::Azure);
    assert_eq!((report.flow.unwrap().flows, other), (written.connections, 0));
}

#[test]
fn what_the_mirror_loses_is_missed() {
    let config = Config { packets: 20_000, flows: 100, loss: 0.05, ..Config::default() };
    let (_, report, _) = replay(config, Profile::Azure);
    let flow = report.flow.unwrap();
    assert_eq!((report.decapsulated(), flow.tcp_segments), (20_000, 20_000));
    assert!(flow.events(EventFlag::Invalid) + flow.midstream > 0);
}
