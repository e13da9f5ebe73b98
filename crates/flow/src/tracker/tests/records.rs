//! Records of flows: what is counted, when it is told, and what it is called.

use vtap_packet::LinkType;
use vtap_testkit::frame::{fragments, udp};

use super::*;
use crate::record::{ConnState, Ending, Phase, Tcp, Traffic};

impl Tape {
    fn recording() -> Self {
        Self::new(Config { records: true, ..Config::default() })
    }

    /// Segments that do not fit wait, as they do by default.
    fn recording_patiently() -> Self {
        Self::patient(Config { records: true, ..Config::default() })
    }

    fn wait_ms(&mut self, millis: u64) {
        self.now = self.now + Duration::from_millis(millis);
    }

    /// Time goes on, and a packet that is none of a flow shows it.
    fn pass(&mut self, secs: u64) {
        for _ in 0..secs {
            self.wait(1);
            self.push_bytes(&[0; 14]);
        }
    }

    /// Why and when each record was told, in seconds from `start`.
    fn phases(&self, start: Timestamp) -> Vec<(Phase, u64)> {
        let secs = |record: &Record| record.told.since(start).as_secs();
        self.records.iter().map(|record| (record.phase, secs(record))).collect()
    }

    fn ends(&self) -> Vec<&Record> {
        let ends = self.records.iter();
        ends.filter(|record| matches!(record.phase, Phase::End(_))).collect()
    }

    fn endings(&self) -> Vec<&'static str> {
        let name = |record: &&Record| match record.phase {
            Phase::End(ending) => ending.name(),
            _ => unreachable!(),
        };
        self.ends().iter().map(name).collect()
    }

    /// Ends the input. The only record that has ended.
    fn only(&mut self) -> Record {
        self.finish();
        let [end] = self.ends()[..] else { panic!("not one record: {:#?}", self.records) };
        end.clone()
    }

    fn only_tcp(&mut self) -> Tcp {
        self.only().tcp.unwrap()
    }

    fn retransmissions(&mut self) -> [u32; 2] {
        retransmissions(&self.only())
    }
}

/// Of the client, and of the server.
fn retransmissions(record: &Record) -> [u32; 2] {
    [record.to_server.retransmissions, record.to_client.retransmissions]
}

/// The segments of a script: `>` is the client, `<` the server, each with its flags, and `D` has
/// 100 bytes.
fn script(script: &str) -> Vec<TcpFrame> {
    let mut talk = talk();
    let frame = |word: &str| {
        let (side, letters) = word.split_at(1);
        let flag = |letter| match letter {
            'S' => Flags::SYN,
            'A' => Flags::ACK,
            'F' => Flags::FIN,
            'R' => Flags::RST,
            'D' => Flags::ACK | Flags::PSH,
            _ => panic!("{letter}"),
        };
        let flags = letters.chars().map(flag).reduce(|flags, flag| flags | flag).unwrap();
        let len = if letters.contains('D') { 100 } else { 0 };
        if side == ">" { talk.from_client(flags, len) } else { talk.from_server(flags, len) }
    };
    script.split(' ').map(frame).collect()
}

fn play(tape: &mut Tape, words: &str) {
    for frame in script(words) {
        tape.wait_ms(20);
        tape.push(&frame);
    }
}

#[test]
fn connections_come_to_what_zeek_calls_them() {
    // https://docs.zeek.org/en/master/scripts/base/protocols/conn/main.zeek.html
    for (words, conn_state, history, ending) in [
        (">S", "S0", "S", "capture-end"),
        // Two attempts: the second has a number of its own.
        (">S >S", "S0", "S", "capture-end"),
        (">S <SA", "S1", "Sh", "capture-end"),
        (">S <SA >A >D <D", "S1", "ShADd", "capture-end"),
        (">S <SA >A >D <D >FA <A <FA >A", "SF", "ShADdFaf", "fin"),
        (">S <SA >A <FA >FA <A", "SF", "ShAfFa", "fin"),
        (">S <RA", "REJ", "Sr", "rst"),
        (">S <SA >A >FA <A <D", "S2", "ShAFad", "capture-end"),
        (">S <SA >A <FA >A >D", "S3", "ShAfD", "capture-end"),
        (">S <SA >A >D >R", "RSTO", "ShADR", "rst"),
        (">S <SA >R", "RSTO", "ShR", "rst"),
        (">S <SA >A <D <RA", "RSTR", "ShAdr", "rst"),
        (">S <SA <RA", "RSTR", "Shr", "rst"),
        (">S >R", "RSTOS0", "SR", "rst"),
        ("<SA <R", "RSTRH", "hIr", "capture-end"),
        (">S >FA", "SH", "SFI", "capture-end"),
        ("<SA <FA", "SHR", "hIf", "capture-end"),
        (">D <D", "OTH", "Dd", "capture-end"),
        ("<SA", "OTH", "hI", "capture-end"),
        // Somebody has answered, but not to the SYN.
        (">S <A", "OTH", "Sa", "capture-end"),
    ] {
        let history =
            if history.starts_with('h') { history.to_lowercase() } else { history.into() };
        let mut tape = Tape::recording();
        play(&mut tape, words);
        let record = tape.only();
        assert_eq!(tape.endings(), [ending], "{words}");
        assert_eq!(record.conn_state.name(), conn_state, "{words}");
        assert_eq!(record.history.as_str(), history, "{words}");
        assert_eq!(record.client, CLIENT.parse().unwrap(), "{words}");
        assert_eq!(record.to_server.total.packets, words.matches('>').count() as u64);
        assert_eq!(record.to_client.total.packets, words.matches('<').count() as u64);
    }
}

#[test]
fn what_a_connection_refuses_says_nothing_of_how_it_went() {
    for mut tape in [Tape::recording(), Tape::recording_patiently()] {
        let mut talk = talk();
        tape.push_all(talk.handshake());
        tape.push_all([talk.request(100), talk.response(100)]);
        for flags in [Flags::FIN | Flags::ACK, Flags::RST, Flags::ACK] {
            let frame = talk.clone().from_server(flags, 10);
            for seq in [frame.seq.wrapping_add(1 << 30), frame.seq.wrapping_sub(1 << 30)] {
                tape.wait_ms(20);
                let outcome = tape.push(&TcpFrame { seq, ..frame.clone() });
                let refused = matches!(outcome.verdict, Verdict::Invalid(_) | Verdict::Held);
                assert!(refused, "{outcome:?}");
            }
        }
        // Nor is what follows a repetition of what lay far ahead.
        for _ in 0..3 {
            tape.wait_ms(20);
            assert_eq!(tape.push(&talk.response(100)).verdict, Verdict::Established);
        }
        let record = tape.only();
        assert_eq!(record.conn_state, ConnState::S1, "{record:?}");
        assert_eq!(record.history.as_str(), "ShADdit");
        assert_eq!(record.phase, Phase::End(Ending::CaptureEnd));
        assert_eq!(record.tcp.unwrap().invalid, 6);
        // Of the six, what lies far behind was sent before, but for the reset.
        assert_eq!(retransmissions(&record), [0, 2]);
    }
}

#[test]
fn a_reset_that_does_not_close_its_connection_does_not_close_its_record() {
    let (mut tape, mut talk) = (Tape::recording(), talk());
    tape.push_all(talk.handshake());
    tape.push_all([talk.request(100), talk.response(100), talk.from_client(Flags::ACK, 0)]);
    // In the window, but not at its edge (RFC 5961 section 3.2).
    let reset = talk.clone().from_server(Flags::RST, 0);
    tape.push_all([talk.response(100), TcpFrame { seq: reset.seq + 50, ..reset }]);
    for _ in 0..8 {
        tape.wait(2);
        tape.push_all([talk.request(10), talk.response(10)]);
    }
    let record = tape.only();
    assert_eq!(record.phase, Phase::End(Ending::CaptureEnd));
}

#[test]
fn times_of_the_handshake_are_those_of_the_segments_that_fit() {
    let (mut tape, mut talk) = (Tape::recording(), talk());
    let [syn, syn_ack, ack] = talk.handshake();
    tape.push(&syn);
    tape.wait_ms(1000);
    // Repeated: the clock of the handshake runs on.
    tape.push(&syn);
    tape.wait_ms(20);
    tape.push(&TcpFrame { ack: syn_ack.ack + 7, ..syn_ack.clone() });
    tape.wait_ms(5);
    tape.push(&syn_ack);
    tape.wait_ms(30);
    tape.push_all([ack, talk.request(10)]);
    let tcp = tape.only_tcp();
    assert_eq!(tcp.syn_ack, Some(Duration::from_millis(1025)));
    assert_eq!(tcp.handshake, Some(Duration::from_millis(1055)));
    assert_eq!(tcp.state, Some(State::Established));
}

#[test]
fn a_handshake_that_was_not_seen_whole_has_no_time() {
    for (words, syn_ack, handshake) in
        [("<SA >A", false, false), (">D <D", false, false), (">S <SA", true, false)]
    {
        let mut tape = Tape::recording();
        play(&mut tape, words);
        let tcp = tape.only_tcp();
        assert_eq!((tcp.syn_ack.is_some(), tcp.handshake.is_some()), (syn_ack, handshake));
    }
}

#[test]
fn segments_out_of_order_are_counted_once_and_told_in_their_order() {
    let (mut tape, mut talk) = (Tape::recording_patiently(), talk());
    let [syn, syn_ack, ack] = talk.handshake();
    tape.push(&syn);
    tape.wait_ms(1);
    assert_eq!(tape.push(&ack).verdict, Verdict::Held);
    tape.wait_ms(1);
    tape.push_all([syn_ack, talk.request(100)]);
    let record = tape.only();
    assert_eq!(record.history.as_str(), "ShAD");
    assert_eq!((record.to_server.total.packets, record.to_client.total.packets), (3, 1));
    assert_eq!(record.tcp.unwrap().invalid, 0);
    assert_eq!(retransmissions(&record), [0, 0]);
}

#[test]
fn bytes_are_those_of_ip_packets_and_payload_is_what_they_carry() {
    let mut tape = Tape::recording();
    let mut frame = talk().handshake()[0].build();
    // Ethernet padding is no part of either.
    frame.resize(100, 0);
    tape.push_bytes(&frame);
    let record = tape.only();
    let expected = Traffic { packets: 1, bytes: 20 + 20 + 12, payload: 0 };
    assert_eq!(record.to_server.total, expected);
    assert_eq!(record.to_server.since, expected);
    assert_eq!(record.to_client.total, Traffic::default());

    for (src, dst, header) in [("10.0.2.4:5", "10.0.2.6:9", 20), ("[fd00::4]:5", "[fd00::6]:9", 40)]
    {
        let mut tape = Tape::recording();
        tape.push_bytes(&udp(src, dst, &[0; 33]));
        tape.push_bytes(&udp(dst, src, &[0]));
        let record = tape.only();
        let sent = Traffic { packets: 1, bytes: header + 8 + 33, payload: 33 };
        assert_eq!(record.to_server.total, sent);
        let answered = Traffic { packets: 1, bytes: header + 8 + 1, payload: 1 };
        assert_eq!(record.to_client.total, answered);
        assert_eq!((record.conn_state, record.history.as_str()), (ConnState::SF, "Dd"));
        assert_eq!((record.tcp, record.to_server.flags), (None, 0));
    }
}

#[test]
fn a_repeated_segment_is_a_retransmission_and_a_probe_is_none() {
    let (mut tape, mut talk) = (Tape::recording(), talk());
    tape.push_all(talk.handshake());
    let [one, two] = [talk.request(100), talk.request(100)];
    let next = two.seq + 100;
    tape.push_all([one.clone(), two.clone(), one.clone()]);
    // From before the highest byte to beyond it: something of it is new.
    tape.push(&TcpFrame { seq: next - 50, ..talk.clone().request(100) });
    let next = next + 50;
    // Keep-alives: the byte before the next one, or none at its number.
    tape.push(&TcpFrame { seq: next - 1, ..two.clone() }.data(1));
    tape.push(&TcpFrame { seq: next - 1, ..two.clone() }.data(0));
    // Probes of a closed window: the next byte, again and again.
    for _ in 0..3 {
        tape.push(&TcpFrame { seq: next, ..two.clone() }.data(1));
    }
    // It opens.
    tape.push(&TcpFrame { seq: next, ..two }.data(500));
    assert_eq!(tape.retransmissions(), [1, 0]);
}

#[test]
fn sequence_numbers_wrap() {
    let mut talk = Conversation::new(CLIENT, SERVER, u32::MAX - 150);
    let mut tape = Tape::recording();
    tape.push_all(talk.handshake());
    let segments = [talk.request(100), talk.request(100), talk.request(100)];
    tape.push_all(segments.clone());
    tape.push(&segments[0]);
    tape.push(&segments[1]);
    assert_eq!(tape.retransmissions(), [2, 0]);
}

#[test]
fn another_attempt_to_open_starts_at_a_number_of_its_own() {
    for isn in [5000_u32, 0_u32.wrapping_sub(5000)] {
        let mut tape = Tape::recording();
        tape.push(&talk().handshake()[0]);
        tape.wait_ms(100);
        let mut talk = Conversation::new(CLIENT, SERVER, 1000_u32.wrapping_add(isn));
        tape.push_all(talk.handshake());
        tape.push_all([talk.request(100), talk.response(10), talk.request(100)]);
        assert_eq!(tape.retransmissions(), [0, 0], "{isn}");
    }
}

#[test]
fn an_attempt_that_is_ignored_leaves_the_numbers_alone() {
    let (mut tape, mut talk) = (Tape::recording(), talk());
    tape.push_all(talk.handshake());
    let [one, answer, two] = [talk.request(100), talk.response(100), talk.request(100)];
    tape.push_all([one, answer, two.clone()]);
    let other = Conversation::new(CLIENT, SERVER, 900_000).handshake();
    assert_ne!(tape.push(&other[0]).state, StateAfter::In(State::SynSent));
    tape.push(&two);
    assert_eq!(tape.retransmissions(), [1, 0]);
}

#[test]
fn syns_and_fins_that_are_repeated_are_retransmissions() {
    let (mut tape, mut talk) = (Tape::recording(), talk());
    let [syn, syn_ack, ack] = talk.handshake();
    tape.push_all([syn.clone(), syn, syn_ack.clone(), syn_ack.clone(), syn_ack, ack]);
    let [fin, ack, server_fin, last] = talk.close();
    tape.push_all([fin.clone(), fin, ack, server_fin.clone(), server_fin, last]);
    assert_eq!(tape.retransmissions(), [2, 3]);
    assert_eq!(tape.endings(), ["fin"]);
}

#[test]
fn flags_of_each_side_are_put_together() {
    let (mut tape, mut talk) = (Tape::recording(), talk());
    tape.push_all(talk.handshake());
    tape.push_all([talk.request(10), talk.from_server(Flags::RST | Flags::ACK, 0)]);
    let record = tape.only();
    assert_eq!((record.to_server.flags, record.to_client.flags), (0x1a, 0x16));
}

#[test]
fn closed_windows_and_bad_checksums_have_their_letters() {
    let (mut tape, mut talk) = (Tape::recording(), talk());
    tape.push_all(talk.handshake());
    tape.push(&talk.from_server(Flags::ACK, 0).window(0));
    let mut broken = talk.clone().request(10).build();
    *broken.last_mut().unwrap() ^= 1;
    tape.push_bytes(&broken);
    let record = tape.only();
    assert_eq!(record.history.as_str(), "ShAawC");
    assert_eq!(record.tcp.unwrap().invalid, 1);
}

#[test]
fn what_is_repeated_soon_after_the_end_is_part_of_the_record() {
    let (mut tape, mut talk) = (Tape::recording(), talk());
    let start = tape.now;
    tape.push_all(talk.handshake());
    let [fin, ack, server_fin, last] = talk.close();
    tape.push_all([fin, ack, server_fin.clone(), last.clone()]);
    tape.wait(4);
    tape.push_all([server_fin, last.clone()]);
    tape.pass(7);
    assert_eq!(tape.phases(start), [(Phase::End(Ending::Fin), 9)]);
    assert_eq!(tape.records[0].to_client.total.packets, 4);
    assert_eq!(tape.records[0].end, start + Duration::from_secs(4));
    assert_eq!(tape.records[0].tcp.unwrap().state, Some(State::TimeWait));
    // What comes later is another.
    tape.push(&last);
    tape.finish();
    assert_eq!(tape.endings(), ["fin", "capture-end"]);
    let late = tape.records.last().unwrap();
    assert_eq!((late.to_server.total.packets, late.midstream), (1, true));
    assert_eq!((late.packet, late.conn_state), (tape.number, ConnState::Oth));
}

#[test]
fn a_flow_is_told_when_it_has_lasted_ten_seconds_and_then_every_five_minutes() {
    let (mut tape, mut talk) = (Tape::recording(), talk());
    let start = tape.now;
    tape.push_all(talk.handshake());
    for _ in 0..65 {
        tape.pass(10);
        tape.push_all([talk.request(10), talk.response(20)]);
    }
    tape.finish();
    let phases = tape.phases(start);
    let [(Phase::Begin, begin), (Phase::Continue, one), (Phase::Continue, two), end] = phases[..]
    else {
        panic!("{phases:?}")
    };
    assert_eq!((begin, end), (11, (Phase::End(Ending::CaptureEnd), 650)));
    assert!((300..=302).contains(&(one - begin)) && (300..=302).contains(&(two - one)));
    let [begin, one, two, end] = &tape.records[..] else { unreachable!() };
    assert_eq!(begin.to_server.since, Traffic::default());
    let mut sum = one.to_server.since;
    assert_eq!(sum, one.to_server.total);
    sum += two.to_server.since;
    sum += end.to_server.since;
    assert_eq!(sum, end.to_server.total);
    assert_eq!(end.to_server.total.payload, 650);
    assert!(tape.records.iter().all(|record| record.packet == 1));
}

#[test]
fn nothing_is_told_of_a_flow_on_which_nothing_came() {
    let (mut tape, mut talk) = (Tape::recording(), talk());
    let start = tape.now;
    tape.push_all(talk.handshake());
    tape.pass(400);
    tape.push_all([talk.request(10), talk.response(10), talk.from_client(Flags::ACK, 0)]);
    tape.pass(590);
    assert_eq!(
        tape.phases(start),
        [(Phase::Begin, 11), (Phase::Continue, 312), (Phase::Continue, 613)]
    );
    // Silence ends the record, and not the connection.
    tape.pass(20);
    assert_eq!(tape.endings(), ["timeout"]);
    assert_eq!(tape.tracker.flows(), 1);
    let quiet = tape.records.last().unwrap().clone();
    assert_eq!(quiet.to_server.since, Traffic::default());
    assert_eq!(tape.push(&talk.request(10)).verdict, Verdict::Established);
    tape.finish();
    let second = tape.records.last().unwrap();
    assert!(second.midstream && !quiet.midstream);
    assert_eq!((second.packet, second.to_server.total.packets), (tape.number, 1));
    assert_eq!(second.client, quiet.client);
}

#[test]
fn a_connection_that_goes_on_after_silence_is_midstream_whatever_comes_first() {
    let (mut tape, mut talk) = (Tape::recording(), talk());
    tape.push_all(talk.handshake());
    tape.push_all([talk.request(10), talk.response(10), talk.from_client(Flags::ACK, 0)]);
    tape.pass(610);
    tape.push(&talk.close()[0]);
    tape.finish();
    assert!(tape.records.last().unwrap().midstream);
}

#[test]
fn a_tuple_used_again_ends_the_record_of_what_was_there() {
    let (mut tape, mut first) = (Tape::recording(), talk());
    tape.push_all(first.handshake());
    tape.push_all(first.close());
    tape.wait(1);
    // The other way round, which says nothing of the first.
    let mut second = Conversation::new(SERVER, CLIENT, 900_000);
    tape.push_all(second.handshake());
    tape.finish();
    assert_eq!(tape.endings(), ["fin", "capture-end"]);
    let [one, two] = tape.ends()[..] else { unreachable!() };
    assert_eq!(
        (one.client.to_string().as_str(), two.client.to_string().as_str()),
        (CLIENT, SERVER)
    );
    assert_eq!(one.tcp.unwrap().state, Some(State::TimeWait));
    assert_eq!(two.tcp.unwrap().state, Some(State::Established));
    assert_eq!((one.to_server.total.packets, two.to_server.total.packets), (4, 2));
    assert_eq!(one.conn_state, ConnState::SF);
    assert_eq!(two.history.as_str(), "ShA");
}

#[test]
fn strays_of_an_old_connection_are_not_the_end_of_a_new_one() {
    let mut tape = Tape::recording();
    let mut old = Conversation::new(CLIENT, SERVER, 900_000);
    tape.push(&old.from_server(Flags::FIN | Flags::ACK, 0));
    tape.wait(1);
    let mut talk = talk();
    tape.push_all(talk.handshake());
    tape.push_all([talk.request(10), talk.from_server(Flags::ACK, 0)]);
    let [fin, ack, ..] = talk.close();
    tape.push_all([fin, ack]);
    tape.pass(8);
    tape.push(&talk.response(10));
    tape.finish();
    assert_eq!(tape.endings(), ["reuse", "capture-end"]);
    assert_eq!(tape.ends()[1].conn_state, ConnState::S2);
}

#[test]
fn a_repeated_syn_splits_no_record() {
    let (mut tape, mut talk) = (Tape::recording(), talk());
    let [syn, syn_ack, ack] = talk.handshake();
    for _ in 0..4 {
        tape.push(&syn);
        tape.wait(1);
    }
    tape.push_all([syn_ack, ack, syn.clone()]);
    assert_eq!(tape.only().to_server.total.packets, 6);
}

/// Nothing is adopted, so what the server sends is of no connection.
fn told_of_a_server_alone() -> Tape {
    let config = Config { records: true, warm_up: Duration::ZERO, ..Config::default() };
    let (mut tape, mut talk) = (Tape::new(config), talk());
    talk.handshake();
    for _ in 0..2 {
        tape.push(&talk.response(10));
        tape.pass(12);
    }
    assert_eq!(tape.records[0].client, SERVER.parse().unwrap());
    tape
}

#[test]
fn a_syn_of_the_side_that_was_told_to_be_the_server_begins_another_record() {
    let mut tape = told_of_a_server_alone();
    tape.push_all(talk().handshake());
    tape.finish();
    assert_eq!(tape.endings(), ["reuse", "capture-end"]);
    let [strays, connection] = tape.ends()[..] else { unreachable!() };
    assert_eq!((strays.client, connection.server), (connection.server, strays.client));
    assert_eq!(connection.history.as_str(), "ShA");
}

#[test]
fn who_is_client_stays_as_it_was_told() {
    let mut tape = told_of_a_server_alone();
    // Without its SYN it may as well answer to one of old.
    tape.push(&talk().handshake()[1]);
    tape.finish();
    let [begin, end] = &tape.records[..] else { panic!("{:#?}", tape.records) };
    assert_eq!((begin.phase, end.phase), (Phase::Begin, Phase::End(Ending::CaptureEnd)));
    assert_eq!((begin.client, begin.server), (end.client, end.server));
    assert_eq!((end.to_server.total.packets, end.to_client.total.packets), (3, 0));
    assert!(end.history.as_str().starts_with("DIH"), "{end:?}");
}

#[test]
fn flows_end_for_a_reason() {
    let mut tape = Tape::new(Config { records: true, max_flows: 2, ..Config::new(Profile::Linux) });
    for port in 1..=3 {
        tape.push(&TcpFrame::new(&format!("10.0.2.4:{port}"), SERVER, Flags::SYN, 1000, 0));
    }
    assert_eq!(tape.endings(), ["cap"]);
    tape.pass(130);
    assert_eq!(tape.endings(), ["cap", "timeout", "timeout"]);
    tape.finish();
    assert_eq!(tape.records.iter().filter(|record| record.phase == Phase::Begin).count(), 2);
}

#[test]
fn other_protocols_have_records() {
    let mut tape = Tape::recording();
    let start = tape.now;
    // An echo request, and its answer.
    let echo = |src, dst, kind| {
        let mut frame = Vec::new();
        let builder = etherparse::PacketBuilder::ethernet2([2; 6], [4; 6]).ipv4(src, dst, 64);
        let message = match kind {
            8 => builder.icmpv4_echo_request(7, 1),
            _ => builder.icmpv4_echo_reply(7, 1),
        };
        message.write(&mut frame, &[0; 56]).unwrap();
        frame
    };
    tape.push_bytes(&echo([10, 0, 2, 4], [10, 0, 2, 6], 8));
    tape.push_bytes(&echo([10, 0, 2, 6], [10, 0, 2, 4], 0));
    // GRE.
    let mut gre = Vec::new();
    etherparse::PacketBuilder::ethernet2([2; 6], [4; 6])
        .ipv4([10, 0, 2, 4], [10, 0, 2, 6], 64)
        .write(&mut gre, etherparse::IpNumber::GRE, &[0; 50])
        .unwrap();
    tape.push_bytes(&gre);
    tape.push_bytes(&udp("10.0.2.4:5", "10.0.2.6:9", b"?"));
    tape.pass(130);
    assert_eq!(tape.endings(), ["timeout"; 2]);
    tape.finish();
    let ends = tape.ends();
    let told: Vec<_> = ends.iter().map(|end| (end.protocol, end.conn_state.name())).collect();
    assert_eq!(told, [(Protocol::ICMP, "OTH"), (Protocol::UDP, "S0"), (Protocol(47), "S0")]);
    assert_eq!(ends[0].to_server.total, Traffic { packets: 1, bytes: 84, payload: 64 });
    assert_eq!(ends[0].to_client.total, ends[0].to_server.total);
    assert_eq!(ends[2].to_server.total, Traffic { packets: 1, bytes: 70, payload: 50 });
    assert!(ends.iter().all(|end| end.start == start && end.end == start));
}

#[test]
fn frames_without_link_addresses_have_records_without() {
    let mut tape = Tape::recording();
    let [syn, syn_ack, _] = talk().handshake().map(|frame| frame.build());
    let link = |record: &Record| (record.to_server.link, record.to_client.link);
    for data in [&syn[14..], &syn_ack[14..]] {
        let packet = Packet { link: LinkType::RAW, ..frame::packet(0, tape.now, data) };
        tape.push_packet(&packet);
    }
    assert_eq!(link(&tape.only()), (None, None));

    let mut tape = Tape::recording();
    for data in [&syn, &syn_ack] {
        tape.push_bytes(data);
    }
    let (Some(client), Some(server)) = link(&tape.only()) else { panic!("no addresses") };
    assert_eq!((client.src.to_string(), client.tap), ("02:00:00:00:00:01".into(), None));
    assert_eq!(server.dst.to_string(), "02:00:00:00:00:02");
}

fn by_tap(tap: u8) -> Option<Tunnel> {
    Some(Tunnel { src: [10, 1, 1, tap].into(), ..in_vni(27).unwrap() })
}

#[test]
fn copies_of_a_second_tap_are_counted_once_and_both_taps_are_named() {
    let (mut tape, mut talk) = (Tape::recording(), talk());
    for frame in talk.handshake().into_iter().chain([talk.request(10), talk.response(10)]) {
        let data = frame.build();
        for tap in [1, 2] {
            let packet = Packet { tunnel: by_tap(tap), ..frame::packet(0, tape.now, &data) };
            tape.push_packet(&packet);
            tape.now = tape.now + Duration::from_micros(50);
        }
        tape.wait_ms(300);
    }
    let record = tape.only();
    assert_eq!((record.to_server.total.packets, record.to_client.total.packets), (3, 2));
    assert_eq!(record.taps, [Some([10, 1, 1, 1].into()), Some([10, 1, 1, 2].into()), None, None]);
    assert_eq!(retransmissions(&record), [0, 0]);
}

#[test]
fn a_tap_that_shows_one_direction_alone_is_named() {
    let mut tape = Tape::recording();
    for (tap, src, dst) in [(1, "10.0.2.4:5", "10.0.2.6:9"), (2, "10.0.2.6:9", "10.0.2.4:5")] {
        let data = udp(src, dst, b"!");
        let packet = Packet { tunnel: by_tap(tap), ..frame::packet(0, tape.now, &data) };
        tape.push_packet(&packet);
    }
    let record = tape.only();
    assert_eq!(record.taps[..2], [Some([10, 1, 1, 1].into()), Some([10, 1, 1, 2].into())]);
    assert_eq!(record.to_client.link.unwrap().tap, Some([10, 1, 1, 2].into()));
}

#[test]
fn vnis_are_records_of_their_own_unless_folded() {
    for (fold_vni, records) in [(false, 2), (true, 1)] {
        let mut tape = Tape::new(Config { records: true, fold_vni, ..Config::default() });
        for vni in [1, 2] {
            let data = udp("10.0.2.4:5", "10.0.2.6:9", &[vni; 4]);
            let tunnel = in_vni(vni.into());
            tape.push_packet(&Packet { tunnel, ..frame::packet(0, tape.now, &data) });
        }
        tape.finish();
        assert_eq!(tape.ends().len(), records);
    }
}

#[test]
fn every_fragment_is_a_packet_of_the_record() {
    let mut tape = Tape::recording();
    let whole = udp("10.0.2.4:5", "10.0.2.6:9", &[7; 1000]);
    let pieces = fragments(&whole, 7, 400);
    for piece in pieces.iter().rev() {
        tape.push_bytes(piece);
    }
    // One that never is complete; it is counted when it is given up.
    tape.push_bytes(&fragments(&whole, 8, 400)[0]);
    let record = tape.only();
    let bytes: usize = pieces.iter().map(|piece| piece.len() - 14).sum();
    let bytes = (bytes + pieces[0].len() - 14) as u64;
    assert_eq!(record.to_server.total, Traffic { packets: 4, bytes, payload: 1000 });
    assert_eq!(tape.tracker.stats().unrecorded(), 0);
}

/// With another sum in its IP header.
fn with_wrong_header_checksum(mut frame: Vec<u8>) -> Vec<u8> {
    frame[14 + 10] ^= 1;
    frame
}

#[test]
fn packets_with_a_wrong_header_checksum_are_counted_and_not_followed() {
    let (mut tape, mut talk) = (Tape::recording(), talk());
    let [syn, syn_ack, ack] = talk.handshake().map(|frame| frame.build());
    let corrupt = with_wrong_header_checksum(syn.clone());
    assert_eq!(tape.push_bytes(&corrupt).verdict, Verdict::Skipped(Skip::IpChecksum));
    assert_eq!(tape.tracker.stats().flows, 0);
    for frame in [syn, syn_ack, ack] {
        tape.push_bytes(&frame);
    }
    tape.push_bytes(&with_wrong_header_checksum(talk.request(10).build()));
    let record = tape.only();
    assert_eq!((record.to_server.total.packets, record.history.as_str()), (4, "CShA"));
    assert_eq!((tape.tracker.stats().flows, tape.flags().as_str()), (1, "SYN SYN-ACK ACK"));
    assert_eq!(tape.tracker.stats().unrecorded(), 0);
    assert!(record.tcp.unwrap().handshake.is_some());
}

#[test]
fn an_icmp_error_about_corrupt_packets_alone_is_of_no_flow() {
    let query = udp("10.0.2.4:5", "10.0.2.6:9", b"?");
    let mut error = Vec::new();
    let kind = etherparse::Icmpv4Type::DestinationUnreachable(
        etherparse::icmpv4::DestUnreachableHeader::Port,
    );
    etherparse::PacketBuilder::ethernet2([2; 6], [4; 6])
        .ipv4([10, 0, 2, 6], [10, 0, 2, 4], 64)
        .icmpv4(kind)
        .write(&mut error, &query[14..])
        .unwrap();
    for records in [false, true] {
        let mut tape = Tape::new(Config { records, ..Config::default() });
        tape.push_bytes(&with_wrong_header_checksum(query.clone()));
        assert_eq!(tape.push_bytes(&error).verdict, Verdict::Invalid(Reason::NoState));
        tape.push_bytes(&query);
        assert_eq!(tape.push_bytes(&error).verdict, Verdict::Related);
    }
}

#[test]
fn counts_beyond_four_gibibytes_are_exact() {
    // As a NIC shows them that takes packets apart itself: up to 4 GiB by the length on the wire.
    let mut tape =
        Tape::new(Config { records: true, checksum: Checksum::Off, ..Config::default() });
    // A length of 0 is that of the frame (BIG TCP).
    let mut talk = talk();
    tape.push_all(talk.handshake());
    let mut big = talk.clone().request(1000).build();
    big[16..18].copy_from_slice(&[0, 0]);
    let lens = [u32::MAX, 1 << 31, (1 << 31) - 1, 3 << 30, 1 << 20, (1 << 31) + 14];
    let mut bytes = 0;
    for len in lens.into_iter().cycle().take(30) {
        let packet = Packet { wire_len: len, ..frame::packet(0, tape.now, &big) };
        tape.push_packet(&packet);
        bytes += u64::from(len) - 14;
    }
    let record = tape.only();
    let opening = 20 + 20 + 12 + 40;
    assert_eq!(record.to_server.total.packets, 32);
    assert_eq!(record.to_server.total.bytes, bytes + opening);
    assert_eq!(record.to_server.total.payload, bytes - 30 * 40);
}

#[test]
fn totals_are_exact_where_they_move() {
    let (mut tape, mut talk) =
        (Tape::new(Config { records: true, checksum: Checksum::Off, ..Config::default() }), talk());
    tape.push_all(talk.handshake());
    let opening = 20 + 20 + 12 + 40;
    let mut bytes = opening;
    for _ in 0..9000 {
        // Super-packets of half a megabyte.
        let frame = TcpFrame { window: u16::MAX, ..talk.from_client(Flags::ACK, 0) };
        let mut data = frame.build();
        data[16..18].copy_from_slice(&[0, 0]);
        let packet = Packet { wire_len: 500_014, ..frame::packet(0, tape.now, &data) };
        tape.push_packet(&packet);
        bytes += 500_000;
    }
    let record = tape.only();
    assert_eq!(record.to_server.total.bytes, bytes);
    assert_eq!(record.to_server.total.packets, 9002);
    assert!(bytes > 1 << 32);
}

#[test]
fn packets_and_retransmissions_beyond_sixteen_bits_are_exact() {
    let mut tape = Tape::recording();
    let mut talk = talk();
    tape.push_all(talk.handshake());
    for number in 0..70_000 {
        let data = talk.from_client(Flags::ACK, 10);
        tape.push(&data);
        tape.push(&data);
        if number % 500 == 0 {
            tape.push(&talk.from_server(Flags::ACK, 0));
        }
    }
    let record = tape.only();
    assert_eq!(retransmissions(&record), [70_000, 0]);
    assert_eq!(record.to_server.total.packets, 2 + 140_000);
    assert_eq!(record.to_server.total.payload, 1_400_000);
    assert_eq!(record.to_client.total.packets, 1 + 140);
}

#[test]
fn times_that_jump_lose_no_packet_and_told_never_runs_back_at_the_end() {
    let mut tape = Tape::recording();
    let last = u64::MAX / 1_000_000_000;
    for secs in [1_700_000_000, 0, last, 5, 1_700_000_000, 4_294_967_295, 1_700_000_900, 0] {
        tape.now = Timestamp::new(secs, 0);
        for port in 1..=10 {
            tape.push(&TcpFrame::new(&format!("10.0.2.4:{port}"), SERVER, Flags::SYN, 1000, 0));
        }
    }
    tape.finish();
    let recorded = tape.tracker.stats().recorded.unwrap();
    assert_eq!((recorded.packets, recorded.told), (80, 80));
    assert!(tape.records.iter().all(|record| record.end >= record.start));
}

#[test]
fn the_end_is_told_no_earlier_than_what_was_told_before() {
    let mut tape = Tape::recording();
    tape.push_bytes(&udp("10.0.2.4:5", "10.0.2.6:9", b"?"));
    let mut talk = talk();
    tape.push_all(talk.handshake());
    tape.pass(40);
    tape.finish();
    assert!(tape.records.is_sorted_by_key(|record| record.told), "{:#?}", tape.records);
    assert_eq!(tape.endings(), ["timeout", "capture-end"]);
}

/// A response that gives `name.test` the address 10.9.9.9.
fn dns_answer() -> Vec<u8> {
    let mut message = vec![0, 7, 0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0];
    let name = b"\x04name\x04test\x00";
    message.extend(name);
    message.extend([0, 1, 0, 1, 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 10, 9, 9, 9]);
    udp("10.0.0.53:53", CLIENT, &message)
}

/// Answers and ends, in the order they are told.
#[derive(Default)]
struct Order(Vec<String>);

impl Sink for Order {
    type Error = Infallible;

    fn event(&mut self, event: &Event) -> Result<(), Infallible> {
        self.0.push(event.flag.name().into());
        Ok(())
    }

    fn gap(&mut self, _gap: &Gap) -> Result<(), Infallible> {
        Ok(())
    }

    fn answer(&mut self, _answer: &Answer) -> Result<(), Infallible> {
        self.0.push("answer".into());
        Ok(())
    }
}

#[test]
fn answers_are_told_before_the_packets_behind_them() {
    let frames = [
        TcpFrame::new(CLIENT, SERVER, Flags::SYN, 1000, 0).build(),
        dns_answer(),
        TcpFrame::new(CLIENT, "10.9.9.9:80", Flags::SYN, 1000, 0).build(),
    ];
    let config = Config { records: true, ..Config::default() };
    for queued in [false, true] {
        let (mut tracker, mut order) = (Tracker::new(config), Order::default());
        for (number, frame) in (1..).zip(&frames) {
            let packet = frame::packet(number, Timestamp::new(1_700_000_000, 0), frame);
            if queued {
                let Ok(()) = tracker.queue(packet, &mut order);
            } else {
                let Ok(_) = tracker.push(&packet, &mut order);
            }
        }
        let Ok(()) = tracker.finish(&mut order);
        assert_eq!(order.0, ["SYN", "answer", "SYN"]);
    }
}
