//! Records of flows, for any traffic: they add up to what was pushed, and are the same whichever
//! way it came.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails loudly")]

mod ledger;

use std::collections::BTreeMap;
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use ledger::{Ledger, Told};
use proptest::prelude::*;
use vtap_capture::{File, PcapWriter};
use vtap_decap::Decap;
use vtap_flow::record::{Half, Phase, Traffic};
use vtap_flow::{Config, Copies, Outcome, Profile, Record, Skip, Stats, Tracker};
use vtap_packet::tcp::Flags;
use vtap_packet::{LinkType, Protocol, Timestamp};
use vtap_pipeline::{Fate, Pipeline, Watched, run, run_parallel, watch};
use vtap_testkit::frame::{self, fragments, udp};
use vtap_testkit::{Conversation, TcpFrame, traffic};

/// What comes next, of a connection or beside it.
#[derive(Clone, Copy, Debug)]
enum Step {
    Handshake,
    Request(usize),
    Response(usize),
    Close,
    Reset,
    /// The packet before this one, again.
    Again,
    /// A FIN or a segment, far ahead of its window or far behind.
    Stray(bool, bool),
    /// The answer before what it answers.
    Overtaking,
    /// A bare FIN that belongs to nothing.
    Unknown,
    Datagram(usize, bool),
    /// A datagram in three fragments, in reverse or in order.
    Broken(bool),
    /// Its first fragment alone.
    First,
    /// A request with a wrong checksum in the IP header.
    Corrupt,
    /// A response of a DNS server.
    Answer,
    /// The same addresses and ports, and whoever was the server opens.
    Turned,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => Just(Step::Handshake),
        4 => (0..1200_usize).prop_map(Step::Request),
        4 => (0..1200_usize).prop_map(Step::Response),
        2 => Just(Step::Close),
        1 => Just(Step::Reset),
        2 => Just(Step::Again),
        2 => (any::<bool>(), any::<bool>()).prop_map(|(fin, ahead)| Step::Stray(fin, ahead)),
        1 => Just(Step::Overtaking),
        1 => Just(Step::Unknown),
        2 => (0..900_usize, any::<bool>()).prop_map(|(len, back)| Step::Datagram(len, back)),
        1 => any::<bool>().prop_map(Step::Broken),
        1 => Just(Step::First),
        1 => Just(Step::Corrupt),
        1 => Just(Step::Answer),
        1 => Just(Step::Turned),
    ]
}

/// The customer's frame, and when it came.
#[derive(Clone)]
struct Captured {
    time: Timestamp,
    /// Not mirrored: plain.
    vni: Option<u32>,
    frame: Vec<u8>,
}

/// Headers, without the bytes they carry.
impl fmt::Debug for Captured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let headers = self.frame.iter().skip(14).take(40).map(|byte| format!("{byte:02x}"));
        let (time, headers) = (self.time.nanos(), headers.collect::<String>());
        write!(f, "{time} {:?} {headers} of {}", self.vni, self.frame.len())
    }
}

const CONNECTIONS: usize = 4;

/// How time goes on between packets, in nanoseconds; now and then so far that flows and fragments
/// have expired, or back.
fn gap() -> impl Strategy<Value = i64> {
    prop_oneof![
        12 => 2_000_000..8_000_000_i64,
        2 => 1_000_000_000..12_000_000_000_i64,
        1 => 1..700_000_000_000_i64,
    ]
}

fn capture(gap: impl Strategy<Value = i64>) -> impl Strategy<Value = Vec<Captured>> {
    let step = (0..CONNECTIONS, step(), any::<bool>());
    let gaps = proptest::collection::vec(gap, 4..5);
    proptest::collection::vec((step, gaps), 1..60).prop_map(|steps| {
        let mut talks: Vec<_> = (0..CONNECTIONS).map(traffic::conversation).collect();
        let mut nanos = 1_700_000_000_000_000_000_i64;
        let mut capture: Vec<Captured> = Vec::new();
        for (number, ((index, step, is_mirrored), gaps)) in (1..).zip(steps) {
            let frames = match step {
                Step::Again => capture.last().map(|last| last.frame.clone()).into_iter().collect(),
                step => frames(&mut talks[index], step, number),
            };
            for (frame, gap) in frames.into_iter().zip(gaps.into_iter().cycle()) {
                nanos += gap;
                // Fragments that are plain might be those of an envelope.
                let is_mirrored = is_mirrored || is_fragment(&frame);
                let vni = is_mirrored.then_some([27, 28][index % 2]);
                let time = Timestamp::from_nanos(nanos.unsigned_abs());
                capture.push(Captured { time, vni, frame });
            }
        }
        capture
    })
}

fn frames(talk: &mut Conversation, step: Step, number: u16) -> Vec<Vec<u8>> {
    let (query, answer) = ("10.3.0.4:5000", "10.3.0.6:53");
    let built = |frames: Vec<TcpFrame>| frames.iter().map(TcpFrame::build).collect();
    match step {
        Step::Handshake => built(talk.handshake().into()),
        Step::Request(len) => built(vec![talk.request(len)]),
        Step::Response(len) => built(vec![talk.response(len)]),
        Step::Close => built(talk.close().into()),
        Step::Reset => built(vec![talk.from_server(Flags::RST | Flags::ACK, 0)]),
        Step::Again => Vec::new(),
        Step::Stray(is_fin, ahead) => {
            let flags = if is_fin { Flags::FIN | Flags::ACK } else { Flags::ACK };
            let frame = talk.clone().from_server(flags, 10);
            let seq = frame.seq.wrapping_add(if ahead { 1 << 30 } else { 3 << 30 });
            built(vec![TcpFrame { seq, ..frame }])
        }
        Step::Overtaking => {
            let [request, response] = [talk.request(50), talk.response(60)];
            built(vec![response, request])
        }
        Step::Unknown => {
            let (src, dst) = ("10.9.9.9:1", "10.9.9.8:2");
            built(vec![TcpFrame::new(src, dst, Flags::FIN | Flags::ACK, 1, 1)])
        }
        Step::Datagram(len, false) => vec![udp(query, answer, &vec![7; len])],
        Step::Datagram(len, true) => vec![udp(answer, query, &vec![7; len])],
        Step::Broken(reversed) => {
            let mut pieces = fragments(&udp(query, answer, &[7; 1000]), number, 400);
            if reversed {
                pieces.reverse();
            }
            pieces
        }
        Step::First => fragments(&udp(query, answer, &[7; 1000]), number, 400)[..1].to_vec(),
        Step::Corrupt => {
            let mut frame = talk.clone().request(10).build();
            frame[14 + 10] ^= 1;
            vec![frame]
        }
        Step::Answer => {
            let mut message = vec![0, 7, 0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0];
            message.extend(b"\x04name\x04test\x00");
            message.extend([0, 1, 0, 1, 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 10, 9, 9, 9]);
            vec![udp(answer, query, &message)]
        }
        Step::Turned => {
            let [syn, ..] = talk.clone().handshake();
            let seq = 1_000_000 * u32::from(number);
            built(vec![TcpFrame { src: syn.dst, dst: syn.src, seq, ..syn }])
        }
    }
}

fn is_fragment(frame: &[u8]) -> bool {
    u16::from_be_bytes([frame[14 + 6], frame[14 + 7]]) & 0x3fff != 0
}

fn by_tap(tap: u8, packet: &Captured) -> Vec<u8> {
    let Some(vni) = packet.vni else { return packet.frame.clone() };
    frame::mirrored_by(&format!("10.1.1.{tap}:50000"), "10.1.1.100:4789", vni, &packet.frame)
}

fn file(packets: &[(Timestamp, Vec<u8>)]) -> File {
    let mut writer = PcapWriter::new(Vec::new(), LinkType::ETHERNET).unwrap();
    for (time, data) in packets {
        writer.write(&frame::packet(1, *time, data)).unwrap();
    }
    File::from_bytes(writer.finish().unwrap()).unwrap()
}

fn of_one_tap(packets: &[Captured]) -> File {
    file(&packets.iter().map(|packet| (packet.time, by_tap(1, packet))).collect::<Vec<_>>())
}

fn pipeline(config: Config) -> Pipeline {
    let decap = Decap::new(vtap_decap::Config::default());
    let mut pipeline = Pipeline::new(decap, Some(Tracker::new(config)));
    pipeline.intake.plain = true;
    pipeline
}

/// All that is told, the counters, and what became of each packet.
fn one_by_one(mut file: File, config: Config) -> (Ledger, Stats, Vec<(u64, Outcome)>) {
    let (mut ledger, mut outcomes) = (Ledger::default(), Vec::new());
    let report = watch(&mut file, &mut pipeline(config), &mut ledger, &mut (), |watched| {
        match watched {
            Watched::Packet(seen) => {
                if let Fate::Tracked(outcome) = seen.fate {
                    outcomes.push((seen.packet.number, outcome));
                }
            }
            Watched::Settled(number, outcome) => outcomes.push((number, outcome)),
        }
        Ok(())
    });
    (ledger, report.unwrap().flow.unwrap(), outcomes)
}

fn config() -> impl Strategy<Value = Config> {
    let profile = prop_oneof![Just(Profile::Azure), Just(Profile::Linux)];
    let max_flows = prop_oneof![2 => Just(1000_usize), 1 => 1..4_usize];
    (profile, max_flows, any::<bool>(), any::<bool>()).prop_map(
        |(profile, max_flows, fold_vni, copies)| {
            let config = Config::new(profile);
            let window = if copies { config.copies.window } else { Duration::ZERO };
            let copies = Copies { window, ..config.copies };
            Config { max_flows, fold_vni, copies, records: true, ..config }
        },
    )
}

/// Protocol, sender and receiver within a VNI.
type Direction = (Option<u32>, u8, SocketAddr, SocketAddr);

/// Packets and bytes by direction, as they stand in the frames. The ports of a fragment are those
/// of all datagrams that are broken here.
fn counted(packets: &[Captured], config: Config) -> BTreeMap<Direction, Traffic> {
    let mut counted = BTreeMap::new();
    for packet in packets {
        let ip = &packet.frame[14..];
        let address = |at: usize| Ipv4Addr::new(ip[at], ip[at + 1], ip[at + 2], ip[at + 3]);
        let word = |at: usize| u16::from_be_bytes([ip[at], ip[at + 1]]);
        let broken = is_fragment(&packet.frame);
        let ports = if broken { (5000, 53) } else { (word(20), word(22)) };
        let src = SocketAddr::new(address(12).into(), ports.0);
        let dst = SocketAddr::new(address(16).into(), ports.1);
        let vni = packet.vni.filter(|_| !config.fold_vni);
        *counted.entry((vni, ip[9], src, dst)).or_insert_with(Traffic::default) +=
            Traffic { packets: 1, bytes: word(2).into(), payload: 0 };
    }
    counted
}

/// The same, as records say.
fn recorded(ends: &[&Record], config: Config) -> BTreeMap<Direction, Traffic> {
    let mut sums = BTreeMap::new();
    for record in ends {
        let vni = record.tunnel.map(|tunnel| tunnel.vni.get()).filter(|_| !config.fold_vni);
        let (client, server, protocol) = (record.client, record.server, record.protocol.0);
        for (half, src, dst) in
            [(record.to_server, client, server), (record.to_client, server, client)]
        {
            if half.total.packets > 0 {
                *sums.entry((vni, protocol, src, dst)).or_insert_with(Traffic::default) +=
                    Traffic { payload: 0, ..half.total };
            }
        }
    }
    sums
}

/// Counts a record only for what does not depend on how often its packets were seen.
fn but_for_taps(record: &Record) -> Record {
    let [to_server, to_client] = [record.to_server, record.to_client];
    let but_since = |half: Half| Half { since: Traffic::default(), ..half };
    Record {
        packet: 0,
        taps: [None; 4],
        told: Timestamp::EPOCH,
        to_server: but_since(to_server),
        to_client: but_since(to_client),
        ..record.clone()
    }
}

fn first_difference<'a>(
    one: &'a Ledger,
    other: &'a Ledger,
) -> Option<(Option<&'a Told>, Option<&'a Told>)> {
    (0..one.0.len().max(other.0.len()))
        .map(|at| (one.0.get(at), other.0.get(at)))
        .find(|(one, other)| one != other)
}

fn backwards() -> impl Strategy<Value = i64> {
    prop_oneof![4 => gap(), 1 => -900_000_000_000..0_i64]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn records_add_up_to_what_was_pushed(packets in capture(backwards()), config in config()) {
        let (ledger, stats, _) = one_by_one(of_one_tap(&packets), config);
        let ends = ledger.assert_laws(&stats);
        let (expected, told) = (counted(&packets, config), recorded(&ends, config));
        let missing = packets.len() as u64 - stats.recorded.unwrap().packets;
        let copies = stats.duplicates + stats.forwarded;
        prop_assert_eq!(missing, stats.unrecorded() + copies + stats.skipped(Skip::TableFull));
        if missing == 0 {
            prop_assert_eq!(&told, &expected);
        }
        for (direction, traffic) in told {
            let all = expected[&direction];
            prop_assert!(traffic.packets <= all.packets && traffic.bytes <= all.bytes);
        }
    }

    #[test]
    fn batches_and_threads_tell_the_same_in_the_same_order(
        packets in capture(backwards()),
        config in config(),
    ) {
        let (singly, stats, _) = one_by_one(of_one_tap(&packets), config);
        let (mut batched, mut parallel) = (Ledger::default(), Ledger::default());
        let mut file = of_one_tap(&packets);
        let report = run(&mut file, &mut pipeline(config), &mut batched, &mut ()).unwrap();
        prop_assert_eq!(report.flow.unwrap(), stats);
        prop_assert_eq!(first_difference(&batched, &singly), None);
        let mut file = of_one_tap(&packets);
        let mut pipeline = pipeline(config);
        let report = run_parallel(&mut file, &mut pipeline, &mut parallel, &mut ()).unwrap();
        prop_assert_eq!(report.flow.unwrap(), stats);
        prop_assert_eq!(first_difference(&parallel, &singly), None);
    }

    /// In a table that is full, packets with a wrong header checksum may take a place.
    #[test]
    fn verdicts_events_and_counters_do_not_depend_on_records(
        packets in capture(backwards()),
        config in config(),
        full in any::<bool>(),
    ) {
        let is_corrupt = |packet: &Captured| {
            vtap_packet::checksum::of(&packet.frame[14..34]) != 0xffff
        };
        let packets: Vec<_> =
            packets.into_iter().filter(|packet| !full || !is_corrupt(packet)).collect();
        let max_flows = if full { config.max_flows } else { 1000 };
        let config = Config { max_flows, ..config };
        let (with, mut stats, outcomes) = one_by_one(of_one_tap(&packets), config);
        let without = Config { records: false, ..config };
        let (without, bare, same) = one_by_one(of_one_tap(&packets), without);
        prop_assert_eq!(outcomes, same);
        stats.recorded = bare.recorded;
        prop_assert_eq!(stats, bare);
        let told = with.0.into_iter();
        let told = told.filter(|told| matches!(told, Told::Event(_) | Told::Gap(_)));
        prop_assert_eq!(told.collect::<Vec<_>>(), without.0);
    }

    #[test]
    fn a_second_tap_that_shows_the_same_changes_no_record(
        packets in capture(gap()),
        profile in prop_oneof![Just(Profile::Azure), Just(Profile::Linux)],
    ) {
        let config = Config { records: true, ..Config::new(profile) };
        // Of a datagram that never was whole, each tap shows fragments of its own.
        let packets = packets.into_iter();
        let packets = packets.filter(|packet| packet.vni.is_some() && !is_fragment(&packet.frame));
        let packets: Vec<_> = packets.collect();
        let both = packets.iter().flat_map(|packet| {
            let later = packet.time + Duration::from_micros(50);
            [(packet.time, by_tap(1, packet)), (later, by_tap(2, packet))]
        });
        let both = file(&both.collect::<Vec<_>>());
        let (one, stats, _) = one_by_one(of_one_tap(&packets), config);
        let (two, of_two, _) = one_by_one(both, config);
        let (one, two) = (one.assert_laws(&stats), two.assert_laws(&of_two));
        let ends = |records: &[&Record]| {
            let mut ends: Vec<_> = records.iter().map(|record| but_for_taps(record)).collect();
            ends.sort_by_key(|end| (end.start, end.client, end.server));
            ends
        };
        prop_assert_eq!(ends(&one), ends(&two));
    }
}

/// The properties say something only where there is something to tell.
#[test]
fn the_generated_captures_have_records_of_every_kind() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;

    let mut runner = TestRunner::deterministic();
    let (mut names, mut counts) = (BTreeMap::new(), [0_u64; 5]);
    for _ in 0..300 {
        let packets = capture(backwards()).new_tree(&mut runner).unwrap().current();
        let config = config().new_tree(&mut runner).unwrap().current();
        let (ledger, stats, _) = one_by_one(of_one_tap(&packets), config);
        for record in ledger.records() {
            let name = match record.phase {
                Phase::Begin => "begin",
                Phase::Continue => "continue",
                Phase::End(ending) => ending.name(),
            };
            *names.entry(name).or_insert(0_u64) += 1;
        }
        counts[0] += stats.unrecorded();
        counts[1] += stats.skipped(Skip::Fragment);
        counts[2] += stats.skipped(Skip::IpChecksum);
        counts[3] += stats.reordered;
        counts[4] +=
            ledger.records().filter(|record| record.protocol == Protocol::UDP).count() as u64;
    }
    let expected = ["begin", "cap", "capture-end", "continue", "fin", "reuse", "rst", "timeout"];
    assert_eq!(names.into_keys().collect::<Vec<_>>(), expected);
    assert!(counts.iter().all(|count| *count > 0), "{counts:?}");
}
