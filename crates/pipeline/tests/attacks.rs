//! Floods that aim at what is remembered: after each the laws hold, memory stayed within what the
//! limits say, and a healthy conversation in the midst of it lost nothing.
//!
//! In a release build (`cargo test --release -p vtap-pipeline --test attacks`) the counts are those of
//! a real flood, and take minutes; in a debug build, and so in the usual run of the tests, a
//! hundredth of them.

#![allow(unsafe_code, reason = "a global allocator that counts")]
#![allow(clippy::cast_possible_truncation, reason = "tests build small things from big types")]
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails loudly"
)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};

use vtap_decap::Decap;
use vtap_flow::{
    Config, Event, EventFlag, Gap, Profile, Reason, Sink, Skip, State, Tracker, limits,
};
use vtap_packet::datagrams::Datagrams;
use vtap_packet::reassembly::{Limits, Reassembler, Stats};
use vtap_packet::tcp::Flags;
use vtap_packet::{Protocol, Timestamp, checksum};
use vtap_pipeline::{Pipeline, Report};
use vtap_testkit::frame::{self, fragment, fragments, mirrored, mirrored_by, udp};
use vtap_testkit::{Conversation, TcpFrame};

struct Measuring;

thread_local! {
    /// Bytes allocated and not freed, and the most there were; of this thread alone.
    static LIVE: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
}

// SAFETY: every call goes to `System` unchanged; counting in constant-initialised thread locals
// without destructor does not allocate. `realloc` is the provided one, which calls `alloc`.
unsafe impl GlobalAlloc for Measuring {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let live = LIVE.get() + layout.size() as isize;
        LIVE.set(live);
        PEAK.set(PEAK.get().max(live));
        // SAFETY: the caller's promise about `layout` is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        LIVE.set(LIVE.get() - layout.size() as isize);
        // SAFETY: `at` came from `System` with this layout.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Measuring = Measuring;

/// So many in a release build.
const fn packets(full: u64) -> u64 {
    if cfg!(debug_assertions) { full / 100 } else { full }
}

/// A packet of the conversation comes behind so many of the attack.
const GAP: u64 = 400;

const CLIENT: &str = "10.0.2.4:40000";
const SERVER: &str = "10.0.2.6:443";

/// A conversation without end: packets whole, with the envelope in fragments, and in fragments
/// inside the envelope; some of them in reverse.
struct Healthy {
    talk: Conversation,
    ready: VecDeque<Vec<u8>>,
    round: u16,
}

impl Healthy {
    fn new() -> Self {
        let mut talk = Conversation::new(CLIENT, SERVER, 1000);
        let ready = talk.handshake().map(|frame| mirrored(27, &frame.build())).into();
        Self { talk, ready, round: 0 }
    }

    fn next(&mut self) -> Vec<u8> {
        loop {
            if let Some(packet) = self.ready.pop_front() {
                return packet;
            }
            self.round += 1;
            let id = self.round;
            let request = self.talk.request(1000).build();
            self.ready.extend(fragments(&mirrored(27, &request), id, 600));
            self.ready.push_back(mirrored(27, &self.talk.response(100).build()));
            let response = self.talk.response(1200).build();
            let pieces = fragments(&response, id, 488).into_iter().rev();
            self.ready.extend(pieces.map(|piece| mirrored(27, &piece)));
            self.ready.push_back(mirrored(27, &self.talk.from_client(Flags::ACK, 0).build()));
        }
    }

    /// What is under way, and the end.
    fn close(mut self) -> Vec<Vec<u8>> {
        self.ready.extend(self.talk.close().map(|frame| mirrored(27, &frame.build())));
        self.ready.into()
    }
}

/// The conversation's events; of those of the attack, how many.
#[derive(Default)]
struct Told {
    healthy: Vec<(EventFlag, SocketAddr, Option<State>, Option<Reason>)>,
    others: u64,
}

impl Sink for Told {
    type Error = Infallible;

    fn event(&mut self, event: &Event) -> Result<(), Infallible> {
        let server = Ipv4Addr::new(10, 0, 2, 6);
        if event.src.ip() == server || event.dst.ip() == server {
            self.healthy.push((event.flag, event.src, event.state, event.reason));
        } else {
            self.others += 1;
        }
        Ok(())
    }

    fn gap(&mut self, gap: &Gap) -> Result<(), Infallible> {
        panic!("the mirror never pauses: {gap:?}");
    }
}

struct Withstood {
    report: Report,
    /// Most memory there was, in bytes.
    peak: usize,
}

/// Takes an attack, `attack(n, packet)` writing packet number `n` of it, with the conversation in
/// its midst. `limits` are those of the pool of envelopes.
fn withstand(
    max_flows: usize,
    limits: Limits,
    packets: u64,
    attack: impl FnMut(u64, &mut Vec<u8>),
) -> Withstood {
    withstand_tracking(Config { max_flows, ..Config::default() }, limits, packets, attack)
}

fn withstand_tracking(
    tracking: Config,
    limits: Limits,
    packets: u64,
    mut attack: impl FnMut(u64, &mut Vec<u8>),
) -> Withstood {
    let before = LIVE.get();
    PEAK.set(before);
    let decap = vtap_decap::Config { fragments: limits, ..vtap_decap::Config::default() };
    let mut pipeline = Pipeline::new(Decap::new(decap), Some(Tracker::new(tracking)));
    let (mut told, mut healthy, mut number) = (Told::default(), Healthy::new(), 0);
    let mut push = |data: &[u8], told: &mut Told| {
        number += 1;
        let time = Timestamp::from_nanos(1_700_000_000_000_000_000 + number * 1000);
        let Ok(()) = pipeline.queue(frame::packet(number, time, data), told);
    };
    for _ in 0..3 {
        push(&healthy.next(), &mut told);
    }
    let mut data = Vec::new();
    for n in 0..packets {
        attack(n, &mut data);
        push(&data, &mut told);
        if n % GAP == GAP - 1 {
            push(&healthy.next(), &mut told);
        }
    }
    for packet in healthy.close() {
        push(&packet, &mut told);
    }
    // The laws are asserted here.
    let Ok(report) = pipeline.finish(&mut told);
    let peak = usize::try_from(PEAK.get() - before).expect("memory");
    let flags: Vec<_> = told.healthy.iter().map(|(flag, ..)| flag.name()).collect();
    assert_eq!(flags, ["SYN", "SYN-ACK", "ACK", "FIN", "FIN-ACK", "FIN", "FIN-ACK"]);
    assert!(told.healthy.iter().all(|(.., reason)| reason.is_none()));
    println!("{packets} packets, at most {} KiB: {report:?}", peak / 1024);
    Withstood { report, peak }
}

/// Most memory of a flow, in bytes.
const FLOW: usize = 256;

/// And of its record, 16 of them at the end of the input.
const RECORD: usize = 400;

/// Few flows, so that what is seen is the memory of the rest.
const FEW: usize = 1000;

/// What does not grow with flows: the packets remembered for the sake of their copies; batches, the
/// set of ports, the taps, the index and the wheel before their first flow.
const FIXED: usize = limits::REMEMBERED * 16 + (3 << 20);

/// What a pipeline for few flows may take with one pool that is full to its limits.
fn most_memory_with_a_full_pool(limits: Limits) -> usize {
    // Beside the pool stands a table of no more datagrams, with what is known of each.
    let known = limits.datagrams * Datagrams::<[u64; 24]>::most_memory_each();
    Reassembler::most_memory(limits) + known + FEW * FLOW + FIXED
}

/// Gives an IPv4 header other numbers, from `n`: an identification, and a source for each 65,536
/// of those.
fn number(header: &mut [u8], n: u64) {
    header[4..6].copy_from_slice(&(n as u16).to_be_bytes());
    header[13..15].copy_from_slice(&((n >> 16) as u16).to_be_bytes());
    header[10..12].copy_from_slice(&[0, 0]);
    let sum = !checksum::of(&header[..20]);
    header[10..12].copy_from_slice(&sum.to_be_bytes());
}

/// Gives it a source of its own for each `n`, too.
fn spoof(header: &mut [u8], n: u64) {
    header[13..16].copy_from_slice(&(n as u32).to_be_bytes()[1..]);
    number(header, n & 0xffff | n >> 8 << 16);
}

/// A piece of a datagram with these bytes, with or without an envelope; and where its header is.
fn piece(inner: bool, from: usize, to: usize, fill: u8) -> (Vec<u8>, usize) {
    if inner {
        let datagram = udp("10.66.0.1:1", "10.77.0.1:53", &[fill; 60_000]);
        (mirrored_by("10.1.1.9:5", "10.1.1.4:4789", 27, &fragment(&datagram, 0, from, to)), 64)
    } else {
        let datagram = udp("10.66.0.1:1", "10.1.1.4:4789", &[fill; 60_000]);
        (fragment(&datagram, 0, from, to), 14)
    }
}

/// Asserts what holds behind every flood of fragments, and gives their counters.
fn within_bounds(withstood: &Withstood, limits: Limits, inner: bool) -> Stats {
    let bound = most_memory_with_a_full_pool(limits);
    assert!(withstood.peak <= bound, "{} of {bound} bytes", withstood.peak);
    let report = &withstood.report;
    let flow = report.flow.expect("a tracker");
    assert_eq!(flow.events(EventFlag::Invalid), 0);
    if inner { flow.fragments } else { report.decap.fragments }
}

#[test]
fn first_fragments_that_nothing_follows() {
    let limits = Limits::default();
    for inner in [false, true] {
        let (template, header) = piece(inner, 0, 1400, 7);
        for spoofed in [false, true] {
            let count = packets(2_000_000);
            let withstood = withstand(FEW, limits, count, |n, data| {
                data.clear();
                data.extend(&template);
                let fill = if spoofed { spoof } else { number };
                fill(&mut data[header..], n);
            });
            let stats = within_bounds(&withstood, limits, inner);
            assert!(stats.evicted + stats.timed_out >= count && stats.evicted > count / 2);
        }
    }
}

/// What keeps pieces in order takes more memory than they do.
#[test]
fn fragments_of_eight_bytes_with_holes_between_them() {
    for inner in [false, true] {
        // The pool of the customer's packets has limits of its own, which take a release build to
        // reach.
        let bytes = if inner { 16 << 20 } else { packets(16 << 20) as usize };
        let limits = Limits { bytes, ..Limits::default() };
        let pieces: Vec<_> = (1..3000).map(|at| piece(inner, 16 * at, 16 * at + 8, 7)).collect();
        let withstood = withstand(FEW, limits, packets(2_000_000), |n, data| {
            // Of 1,024 datagrams in turn, so that all grow at once.
            let (of_datagram, round) = (n & 0x3ff, n >> 10);
            let (template, header) = &pieces[round as usize % pieces.len()];
            data.clear();
            data.extend(template);
            number(&mut data[*header..], of_datagram + round / pieces.len() as u64 * 1024);
        });
        let stats = within_bounds(&withstood, limits, inner);
        assert_eq!(stats.overlapped, 0);
        assert!(stats.evicted > 0 || inner && cfg!(debug_assertions));
    }
}

#[test]
fn fragments_that_overlap() {
    let limits = Limits::default();
    for inner in [false, true] {
        let [(one, header), (other, _)] = [piece(inner, 0, 800, 7), piece(inner, 400, 1200, 8)];
        for spoofed in [false, true] {
            let count = packets(2_000_000);
            let withstood = withstand(FEW, limits, count, |n, data| {
                data.clear();
                data.extend(if n % 2 == 0 { &one } else { &other });
                let fill = if spoofed { spoof } else { number };
                fill(&mut data[header..], n / 2);
            });
            let stats = within_bounds(&withstood, limits, inner);
            assert_eq!((stats.overlapped, stats.evicted), (count, 0));
        }
    }
}

/// SYNs of connections that nothing follows, each of addresses and ports of its own.
fn syns() -> impl FnMut(u64, &mut Vec<u8>) {
    let syn = TcpFrame::new("10.66.0.1:1", "10.77.0.1:443", Flags::SYN, 1, 0).build();
    let mut template = mirrored(27, &syn);
    move |n, data| {
        let (ip, tcp) = template[64..].split_at_mut(20);
        // Of each source 65,536 ports.
        number(ip, n >> 16 << 16);
        tcp[..2].copy_from_slice(&(n as u16).to_be_bytes());
        tcp[16..18].copy_from_slice(&[0, 0]);
        let (src, dst) = ([ip[12], ip[13], ip[14], ip[15]], [10, 77, 0, 1]);
        let sum = !checksum::transport(src.into(), dst.into(), Protocol::TCP, tcp);
        tcp[16..18].copy_from_slice(&sum.to_be_bytes());
        data.clear();
        data.extend(&template);
    }
}

#[test]
fn connections_of_one_packet() {
    let count = packets(10_000_000);
    let max_flows = count as usize / 10;
    let withstood = withstand(max_flows, Limits::default(), count, syns());
    let flow = withstood.report.flow.expect("a tracker");
    assert_eq!(flow.flows, max_flows as u64);
    // One place is the conversation's.
    assert_eq!(flow.invalid(Reason::TableFull), count - max_flows as u64 + 1);
    let bound = max_flows * FLOW + FIXED;
    assert!(withstood.peak <= bound, "{} of {bound} bytes", withstood.peak);
}

/// In the profile that has each of them take the place of another, so that all have a record.
#[test]
fn connections_of_one_packet_with_records() {
    let count = packets(10_000_000);
    let max_flows = count as usize / 10;
    let config = Config { max_flows, records: true, ..Config::new(Profile::Linux) };
    let withstood = withstand_tracking(config, Limits::default(), count, syns());
    let flow = withstood.report.flow.expect("a tracker");
    let recorded = flow.recorded.unwrap();
    assert_eq!(recorded.flows, count + 1);
    assert_eq!(recorded.told, flow.tcp_segments + flow.skipped(Skip::Fragment));
    assert_eq!(flow.evicted, count - max_flows as u64 + 1);
    let bound = max_flows * (FLOW + RECORD) + FIXED;
    assert!(withstood.peak <= bound, "{} of {bound} bytes", withstood.peak);
}

/// The same packets of the customer from hundreds of taps. All but one of each are copies.
#[test]
fn copies_by_hundreds_of_taps() {
    const TAPS: u64 = 300;
    let mut talk = Conversation::new("10.66.0.1:1", "10.77.0.1:443", 1);
    let mut frame = Vec::new();
    let count = packets(5_000_000);
    let withstood = withstand(FEW, Limits::default(), count, |n, data| {
        if n % TAPS == 0 {
            frame = mirrored(27, &talk.request(100).build());
        }
        data.clear();
        data.extend(&frame);
        let tap = 0x0a01_0100 + (n % TAPS) as u32;
        data[26..30].copy_from_slice(&tap.to_be_bytes());
    });
    let flow = withstood.report.flow.expect("a tracker");
    assert_eq!(flow.duplicates, count - count.div_ceil(TAPS));
    let bound = FEW * FLOW + FIXED;
    assert!(withstood.peak <= bound, "{} of {bound} bytes", withstood.peak);
}
