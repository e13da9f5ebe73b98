//! Room in the table, and the time that makes some.

use super::*;

#[test]
fn a_full_table_makes_new_flows_invalid_in_azure() {
    let mut tape = Tape::new(Config { max_flows: 3, ..Config::default() });
    for port in 1..=9 {
        let client = format!("10.0.2.4:{port}");
        tape.push(&TcpFrame::new(&client, SERVER, Flags::SYN, 1000, 0));
    }
    assert_eq!(tape.tracker.flows(), 3);
    assert_eq!(tape.tracker.stats().invalid(Reason::TableFull), 6);
    tape.finish();
    let last = tape.events.last().unwrap();
    assert_eq!((last.reason, last.suppressed), (Some(Reason::TableFull), 1));
}

#[test]
fn a_full_table_gives_up_what_is_not_assured_in_linux() {
    let mut tape = Tape::new(Config { max_flows: 3, ..Config::new(Profile::Linux) });
    for port in 1..=3 {
        let mut talk = Conversation::new(&format!("10.0.2.4:{port}"), SERVER, 1000);
        tape.push_all(talk.handshake());
    }
    let newcomer = |port| TcpFrame::new(&format!("10.0.2.4:{port}"), SERVER, Flags::SYN, 1, 0);
    assert_eq!(tape.push(&newcomer(9)).verdict, Verdict::Skipped(Skip::TableFull));

    let mut tape = Tape::new(Config { max_flows: 3, ..Config::new(Profile::Linux) });
    for port in 1..=9 {
        assert_eq!(tape.push(&newcomer(port)).verdict, Verdict::New);
    }
    assert_eq!((tape.tracker.flows(), tape.tracker.stats().evicted), (3, 6));
    tape.finish();
}

#[test]
fn flows_are_forgotten_when_their_time_has_passed() {
    let mut tape = Tape::azure();
    for port in 1..=500 {
        tape.push(&TcpFrame::new(&format!("10.0.2.4:{port}"), SERVER, Flags::SYN, 1000, 0));
    }
    assert_eq!(tape.tracker.flows(), 500);
    tape.wait(119);
    tape.push_bytes(&[0; 14]);
    assert_eq!(tape.tracker.flows(), 500);
    tape.wait(2);
    tape.push_bytes(&[0; 14]);
    assert_eq!(tape.tracker.flows(), 0);
}

#[test]
fn an_established_flow_outlives_many_rounds_of_the_wheel() {
    let (mut tape, mut talk) = (Tape::azure(), talk());
    tape.push_all(talk.handshake());
    for _ in 0..100 {
        tape.wait(4000);
        tape.push_bytes(&[0; 14]);
    }
    assert_eq!(tape.tracker.flows(), 1);
    assert_eq!(tape.push(&talk.request(10)).verdict, Verdict::Established);
    // Unacknowledged data moves the deadline in.
    tape.wait(301);
    tape.push_bytes(&[0; 14]);
    assert_eq!(tape.tracker.flows(), 0);
}

#[test]
fn a_clock_that_jumps_either_way_loses_no_law() {
    let mut tape = Tape::azure();
    for secs in [1_700_000_000, 0, u64::MAX / 2_000_000_000, 5, 1_700_000_000, 4_294_967_295] {
        tape.now = Timestamp::new(secs, 0);
        for port in 1..=10 {
            tape.push(&TcpFrame::new(&format!("10.0.2.4:{port}"), SERVER, Flags::SYN, 1000, 0));
        }
    }
    tape.finish();
    assert_eq!(tape.tracker.stats().tcp_segments, 60);
}

#[test]
fn one_packet_from_the_future_does_not_stop_the_clock() {
    let mut tape = Tape::azure();
    let present = tape.now;
    tape.now = Timestamp::new(4_294_967_290, 0);
    tape.push_bytes(&[0; 14]);
    tape.now = present;
    for _ in 0..2000 {
        tape.push(&TcpFrame::new(CLIENT, SERVER, Flags::SYN, 1000, 0));
    }
    tape.wait(200);
    tape.push_bytes(&[0; 14]);
    assert_eq!(tape.tracker.flows(), 0);
}
