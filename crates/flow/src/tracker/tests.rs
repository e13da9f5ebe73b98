use std::convert::Infallible;
use std::time::Duration;

use vtap_packet::tcp::Flags;
use vtap_packet::{Protocol, Timestamp, Tunnel, Vni};
use vtap_testkit::{Conversation, TcpFrame, frame};

use super::*;
use crate::{
    Answer, Checksum, Event, Gap, Profile, Reason, Record, Side, Skip, State, StateAfter, Verdict,
};

mod fragments;
mod mirror;
mod records;
mod table;

const CLIENT: &str = "10.0.2.4:40000";
const SERVER: &str = "10.0.2.6:80";

/// A tracker, what it said, and the clock of its packets.
struct Tape {
    tracker: Tracker,
    events: Vec<Event>,
    records: Vec<Record>,
    answers: Vec<Answer>,
    now: Timestamp,
    number: u64,
}

/// What a tape keeps of what it is told.
struct Kept<'a> {
    events: &'a mut Vec<Event>,
    records: &'a mut Vec<Record>,
    answers: &'a mut Vec<Answer>,
}

impl Sink for Kept<'_> {
    type Error = Infallible;

    fn event(&mut self, event: &Event) -> Result<(), Infallible> {
        self.events.push(*event);
        Ok(())
    }

    fn gap(&mut self, _gap: &Gap) -> Result<(), Infallible> {
        Ok(())
    }

    fn record(&mut self, record: &Record) -> Result<(), Infallible> {
        self.records.push(record.clone());
        Ok(())
    }

    fn answer(&mut self, answer: &Answer) -> Result<(), Infallible> {
        self.answers.push(answer.clone());
        Ok(())
    }
}

impl Tape {
    /// Nothing waits for what it may have overtaken, so that each verdict is told at once.
    fn new(config: Config) -> Self {
        Self::patient(Config { reordering: Duration::ZERO, ..config })
    }

    fn patient(config: Config) -> Self {
        let now = Timestamp::new(1_700_000_000, 0);
        Self {
            tracker: Tracker::new(config),
            events: Vec::new(),
            records: Vec::new(),
            answers: Vec::new(),
            now,
            number: 0,
        }
    }

    fn azure() -> Self {
        Self::new(Config::default())
    }

    /// Past the warm-up, so that what has no history is refused.
    fn warmed_up() -> Self {
        let mut tape = Self::azure();
        tape.push_bytes(&[0; 14]);
        tape.wait(3600);
        tape
    }

    fn wait(&mut self, secs: u64) {
        self.now = self.now + Duration::from_secs(secs);
    }

    fn push(&mut self, frame: &TcpFrame) -> Outcome {
        self.push_bytes(&frame.build())
    }

    fn push_all<const N: usize>(&mut self, frames: [TcpFrame; N]) {
        for frame in frames {
            self.push(&frame);
        }
    }

    fn push_bytes(&mut self, data: &[u8]) -> Outcome {
        self.push_packet(&frame::packet(0, self.now, data))
    }

    fn push_packet(&mut self, packet: &Packet<'_>) -> Outcome {
        self.number += 1;
        let packet = Packet { number: self.number, time: self.now, ..*packet };
        let Self { tracker, events, records, answers, .. } = self;
        let Ok(outcome) = tracker.push(&packet, &mut Kept { events, records, answers });
        outcome
    }

    fn finish(&mut self) {
        let Self { tracker, events, records, answers, .. } = self;
        let Ok(()) = tracker.finish(&mut Kept { events, records, answers });
        assert!(self.tracker.stats().balances());
    }

    /// The rows so far, without repeated segments.
    fn flags(&self) -> String {
        let rows = self.events.iter().filter(|event| !event.retransmission);
        rows.map(|event| event.flag.name()).collect::<Vec<_>>().join(" ")
    }

    fn reasons(&self) -> Vec<Reason> {
        self.events.iter().filter_map(|event| event.reason).collect()
    }
}

fn talk() -> Conversation {
    Conversation::new(CLIENT, SERVER, 1000)
}

#[test]
fn a_whole_connection_has_a_row_for_each_step() {
    let (mut tape, mut talk) = (Tape::azure(), talk());
    tape.push_all(talk.handshake());
    tape.push_all([talk.request(100), talk.response(1000), talk.from_client(Flags::ACK, 0)]);
    tape.push_all(talk.close());
    assert_eq!(tape.flags(), "SYN SYN-ACK ACK FIN FIN-ACK FIN FIN-ACK");
    let sides: Vec<_> = tape.events.iter().map(|event| event.side.unwrap().name()).collect();
    assert_eq!(sides, ["client", "server", "client", "client", "server", "server", "client"]);
    assert_eq!(tape.events.last().unwrap().state, Some(State::TimeWait));
}

#[test]
fn a_fin_that_acknowledges_a_fin_is_a_fin_ack() {
    let (mut tape, mut talk) = (Tape::azure(), talk());
    tape.push_all(talk.handshake());
    let fin_ack = Flags::FIN | Flags::ACK;
    tape.push_all([talk.from_server(fin_ack, 0), talk.from_client(fin_ack, 0)]);
    tape.push(&talk.from_server(Flags::ACK, 0));
    assert_eq!(tape.flags(), "SYN SYN-ACK ACK FIN FIN-ACK FIN-ACK");
}

#[test]
fn data_completes_a_handshake_whose_bare_ack_was_lost() {
    let (mut tape, mut talk) = (Tape::azure(), talk());
    let [syn, syn_ack, _] = talk.handshake();
    tape.push_all([syn, syn_ack, talk.request(10), talk.response(10)]);
    assert_eq!(tape.flags(), "SYN SYN-ACK ACK");
}

#[test]
fn data_that_the_server_sends_at_once_does_not_complete_the_handshake() {
    let (mut tape, mut talk) = (Tape::azure(), talk());
    let [syn, syn_ack, ack] = talk.handshake();
    tape.push_all([syn, syn_ack, talk.response(10)]);
    assert_eq!(tape.flags(), "SYN SYN-ACK");
    tape.push(&ack);
    assert_eq!(tape.flags(), "SYN SYN-ACK ACK");
}

#[test]
fn retransmissions_are_marked_and_counted_apart() {
    let (mut tape, mut talk) = (Tape::azure(), talk());
    let [syn, syn_ack, ack] = talk.handshake();
    let [fin, ..] = talk.close();
    tape.push_all([syn.clone(), syn, syn_ack.clone(), syn_ack, ack, fin.clone(), fin]);
    assert_eq!(tape.flags(), "SYN SYN-ACK ACK FIN");
    assert_eq!(tape.tracker.stats().retransmissions, 3);
    assert_eq!(tape.events.len(), 7);
}

#[test]
fn a_syn_ack_that_answers_another_syn_has_no_row() {
    let (mut tape, mut talk) = (Tape::azure(), talk());
    let [syn, syn_ack, _] = talk.handshake();
    tape.push_all([syn, TcpFrame { ack: syn_ack.ack - 1, ..syn_ack }]);
    assert_eq!(tape.flags(), "SYN");
}

#[test]
fn a_refused_connection_is_syn_and_rst() {
    let mut tape = Tape::azure();
    tape.push(&TcpFrame::new(CLIENT, SERVER, Flags::SYN, 1000, 0));
    let outcome = tape.push(&TcpFrame::new(SERVER, CLIENT, Flags::RST | Flags::ACK, 0, 1001));
    assert_eq!((outcome.verdict, outcome.state), (Verdict::Established, StateAfter::Deleted));
    assert_eq!(tape.flags(), "SYN RST");
}

#[test]
fn what_was_open_before_the_capture_is_adopted_in_the_warm_up() {
    let (mut tape, mut talk) = (Tape::azure(), talk());
    talk.handshake();
    assert_eq!(tape.push(&talk.request(100)).verdict, Verdict::New);
    assert_eq!(tape.push(&talk.response(100)).verdict, Verdict::Established);
    assert_eq!(tape.tracker.stats().midstream, 1);
    assert!(tape.events.is_empty());
}

#[test]
fn after_the_warm_up_a_packet_without_history_is_invalid() {
    let (mut tape, mut talk) = (Tape::warmed_up(), talk());
    talk.handshake();
    for frame in [talk.request(100), talk.response(100)] {
        assert_eq!(tape.push(&frame).verdict, Verdict::Invalid(Reason::NoState));
    }
}

#[test]
fn a_syn_ack_fin_or_rst_without_history_is_never_adopted() {
    for flags in [Flags::SYN | Flags::ACK, Flags::FIN | Flags::ACK, Flags::RST] {
        let outcome = Tape::azure().push(&TcpFrame::new(SERVER, CLIENT, flags, 5000, 1001));
        assert_eq!(outcome.verdict, Verdict::Invalid(Reason::NoState));
        assert_eq!(outcome.state, StateAfter::None);
    }
}

#[test]
fn a_client_alone_is_one_asymmetric_row_that_names_the_server() {
    let (mut tape, mut talk) = (Tape::azure(), talk());
    let [syn, _, ack] = talk.handshake();
    tape.push_all([syn, ack, talk.request(100), talk.request(100)]);
    assert_eq!(tape.flags(), "SYN INVALID");
    let row = tape.events.last().unwrap();
    assert_eq!((row.reason, row.missing), (Some(Reason::Asymmetric), Some(Side::Server)));
    tape.finish();
    assert_eq!(tape.tracker.stats().invalid(Reason::Asymmetric), 3);
    assert_eq!(tape.events.len(), 2, "said once, and not summed up");
}

#[test]
fn a_server_alone_is_told_by_acknowledgments_that_move() {
    let (mut tape, mut talk) = (Tape::azure(), talk());
    let [_, syn_ack, _] = talk.handshake();
    tape.push(&syn_ack);
    for _ in 0..3 {
        talk.request(100);
        tape.push(&talk.response(100));
    }
    assert_eq!(tape.reasons(), [Reason::NoState, Reason::Asymmetric]);
    let row = tape.events.last().unwrap();
    assert_eq!((row.side, row.missing), (Some(Side::Server), Some(Side::Client)));
}

#[test]
fn a_client_that_follows_a_lone_syn_ack_is_adopted_in_the_warm_up() {
    let (mut tape, mut talk) = (Tape::azure(), talk());
    let [_, syn_ack, ack] = talk.handshake();
    tape.push(&syn_ack);
    assert_eq!(tape.push(&ack).verdict, Verdict::New);
    assert_eq!(tape.push(&talk.response(10)).verdict, Verdict::Established);
}

#[test]
fn the_linux_profile_never_says_asymmetric() {
    let mut tape = Tape::new(Config::new(Profile::Linux));
    let mut talk = talk();
    let [syn, _, ack] = talk.handshake();
    tape.push_all([syn, ack, talk.request(100)]);
    assert_eq!(tape.reasons(), [Reason::InvalidTransition; 2]);
}

#[test]
fn invalid_rows_are_limited_for_each_flow_and_summed_up_at_its_end() {
    let mut tape = Tape::warmed_up();
    for seq in 0..12 {
        tape.push(&TcpFrame::new(CLIENT, SERVER, Flags::RST, seq, 0));
    }
    assert_eq!(tape.events.len(), 5);
    tape.finish();
    let sum = tape.events.last().unwrap();
    // The first packet of the tape is number 1.
    assert_eq!((tape.events.len(), sum.suppressed, sum.packet), (6, 7, 13));
    assert_eq!(tape.tracker.stats().invalid(Reason::NoState), 12);
}

#[test]
fn the_sum_is_written_when_the_flow_is_forgotten() {
    let mut tape = Tape::warmed_up();
    for seq in 0..6 {
        tape.push(&TcpFrame::new(CLIENT, SERVER, Flags::RST, seq, 0));
    }
    tape.wait(120);
    tape.push_bytes(&[0; 14]);
    assert_eq!(tape.events.len(), 6);
    assert_eq!(tape.tracker.flows(), 0);
}

#[test]
fn overly_delayed_acks_are_invalid_in_azure_alone() {
    for (profile, verdict) in [
        (Profile::Azure, Verdict::Invalid(Reason::AckBelowWindow)),
        (Profile::Linux, Verdict::Established),
    ] {
        let (mut tape, mut talk) = (Tape::new(Config::new(profile)), talk());
        tape.push_all(talk.handshake());
        let old = talk.from_client(Flags::ACK, 0);
        // More than twice a scaled window is sent and acknowledged meanwhile.
        for _ in 0..6000 {
            tape.push_all([talk.response(1460), talk.from_client(Flags::ACK, 0)]);
        }
        assert_eq!(tape.push(&old).verdict, verdict, "{profile:?}");
    }
}

#[test]
fn checksums_left_to_the_nic_are_counted_and_wrong_ones_are_invalid() {
    let mut frame = TcpFrame::new(CLIENT, SERVER, Flags::SYN, 1000, 0).data(33).build();
    let pseudo = vtap_packet::checksum::pseudo_header(
        [10, 0, 2, 4].into(),
        [10, 0, 2, 6].into(),
        Protocol::TCP,
        20 + 33,
    );
    frame[50..52].copy_from_slice(&pseudo.to_be_bytes());
    for (checksum, left_to_nic) in [
        (Checksum::OffloadAware, Verdict::New),
        (Checksum::Verify, Verdict::Invalid(Reason::BadChecksum)),
        (Checksum::Off, Verdict::New),
    ] {
        let mut tape = Tape::new(Config { checksum, ..Config::default() });
        assert_eq!(tape.push_bytes(&frame).verdict, left_to_nic, "{checksum:?}");
        let counted = u64::from(checksum == Checksum::OffloadAware);
        assert_eq!(tape.tracker.stats().offloaded, counted);
    }
    frame[51] ^= 1;
    let outcome = Tape::azure().push_bytes(&frame);
    assert_eq!(outcome.verdict, Verdict::Invalid(Reason::BadChecksum));
}

#[test]
fn a_packet_cut_by_the_snaplen_is_followed_from_its_headers() {
    let (mut tape, mut talk) = (Tape::azure(), talk());
    tape.push_all(talk.handshake());
    let frame = talk.request(1000).build();
    let whole = frame::packet(0, tape.now, &frame);
    let outcome = tape.push_packet(&Packet { data: &frame[..60], ..whole });
    assert_eq!(outcome.verdict, Verdict::Established);
    assert_eq!(tape.push(&talk.response(10)).verdict, Verdict::Established);
    assert_eq!(tape.tracker.stats().truncated, 1);
    // Too little to see the flags.
    let outcome = tape.push_packet(&Packet { data: &frame[..40], ..whole });
    assert_eq!(outcome.verdict, Verdict::Skipped(Skip::CutShort));
}

#[test]
fn options_cut_by_the_snaplen_do_not_make_windows_small() {
    let (mut tape, mut talk) = (Tape::azure(), talk());
    for frame in talk.handshake() {
        let bytes = frame.build();
        let cut = &bytes[..bytes.len().min(60)];
        tape.push_packet(&Packet { data: cut, ..frame::packet(0, tape.now, &bytes) });
    }
    for _ in 0..100 {
        assert_eq!(tape.push(&talk.response(1460)).verdict, Verdict::Established);
    }
}

#[test]
fn a_header_too_short_for_its_ports_is_a_truncated_header() {
    let mut frame = TcpFrame::new(CLIENT, SERVER, Flags::SYN, 1, 0).build();
    frame.truncate(34 + 12);
    frame[16..18].copy_from_slice(&32_u16.to_be_bytes());
    let mut tape = Tape::new(Config { checksum: Checksum::Off, ..Config::default() });
    let outcome = tape.push_bytes(&frame);
    assert_eq!(outcome.verdict, Verdict::Invalid(Reason::TruncatedHeader));
}

fn in_vni(vni: u32) -> Option<Tunnel> {
    Some(Tunnel {
        src: [10, 1, 1, 1].into(),
        dst: [10, 1, 1, 4].into(),
        src_port: 50_000,
        dst_port: 4789,
        vni: Vni::new(vni),
        depth: 1,
    })
}

#[test]
fn equal_addresses_in_two_vnis_are_two_flows_unless_folded() {
    for (fold_vni, verdict) in
        [(false, Verdict::Invalid(Reason::NoState)), (true, Verdict::Established)]
    {
        let mut tape = Tape::new(Config { fold_vni, ..Config::default() });
        let [syn, syn_ack, _] = talk().handshake().map(|frame| frame.build());
        for (vni, data, expected) in [(1, &syn, Verdict::New), (2, &syn_ack, verdict)] {
            let packet = Packet { tunnel: in_vni(vni), ..frame::packet(0, tape.now, data) };
            assert_eq!(tape.push_packet(&packet).verdict, expected);
        }
    }
}

#[test]
fn a_fragmented_segment_is_judged_once_when_complete() {
    let (mut tape, mut talk) = (Tape::azure(), talk());
    tape.push_all(talk.handshake());
    let fragments = frame::fragments(&talk.request(1000).build(), 7, 400);
    let verdicts: Vec<_> =
        fragments.iter().rev().map(|fragment| tape.push_bytes(fragment).verdict).collect();
    let held = Verdict::Skipped(Skip::Fragment);
    assert_eq!(verdicts, [held, held, Verdict::Established]);
    assert_eq!(tape.push(&talk.response(10)).verdict, Verdict::Established);
}

#[test]
fn other_protocols_are_flows_without_states() {
    let mut tape = Tape::azure();
    let query = tape.push_bytes(&frame::udp("10.0.2.4:5000", "168.63.129.16:53", b"?"));
    assert_eq!((query.verdict, query.state), (Verdict::New, StateAfter::None));
    let answer = tape.push_bytes(&frame::udp("168.63.129.16:53", "10.0.2.4:5000", b"!"));
    assert_eq!(answer.verdict, Verdict::Established);
    tape.finish();
    assert_eq!((tape.tracker.stats().flows, tape.tracker.stats().other), (1, 2));
    assert!(tape.events.is_empty());
}

#[test]
fn a_tuple_used_again_is_a_flow_of_its_own() {
    let (mut tape, mut first) = (Tape::azure(), talk());
    tape.push_all(first.handshake());
    tape.push_all(first.close());
    tape.wait(1);
    let mut second = Conversation::new(CLIENT, SERVER, 900_000);
    tape.push_all(second.handshake());
    assert!(tape.flags().ends_with("FIN-ACK SYN SYN-ACK ACK"));
    assert_eq!(tape.tracker.stats().flows, 2);
}
