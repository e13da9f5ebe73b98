//! No format allocates for an event once its buffers have grown.

#![allow(unsafe_code, reason = "a global allocator that counts")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::io;

use vtap_export::{Filtered, FlagSet, Format, Log, Output};
use vtap_flow::{Event, EventFlag, Reason, Side, Sink, State};
use vtap_packet::{Timestamp, Tunnel, Vni};

struct Counting;

thread_local! {
    /// Of this thread alone: the test harness has threads of its own.
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: every call goes to `System` unchanged; counting in a constant-initialised thread local
// without destructor does not allocate. `realloc` is the provided one, which calls `alloc`.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller's promise about `layout` is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: `at` came from `System` with this layout.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// An event of every kind, in turn.
fn event(number: u16) -> Event {
    let [high, low] = number.to_be_bytes();
    let src = if number.is_multiple_of(5) {
        ([0xfd00, 1, 2, 3, 4, 5, 6, number], 50_000).into()
    } else {
        ([10, 0, high, low], 50_000).into()
    };
    let invalid = number.is_multiple_of(3);
    Event {
        time: Timestamp::from_nanos(1_764_547_200_000_000_000 + u64::from(number)),
        packet: u64::from(number) + 1,
        flag: if invalid { EventFlag::Invalid } else { EventFlag::SynAck },
        src,
        dst: ([10, 0, 2, 5], 443).into(),
        tunnel: Some(Tunnel {
            src: [10, 9, 0, 4].into(),
            dst: [10, 9, 0, 5].into(),
            src_port: number,
            dst_port: 4789,
            vni: Vni::new(27),
            depth: 1,
        }),
        state: Some(State::SynRecv),
        side: Some(Side::Server),
        reason: invalid.then_some(Reason::Asymmetric),
        missing: invalid.then_some(Side::Client),
        retransmission: number.is_multiple_of(7),
        taps: [None; vtap_flow::event::MAX_TAPS],
        egress_only: false,
        suppressed: u64::from(invalid && number.is_multiple_of(2)),
    }
}

#[test]
fn no_format_allocates_for_an_event() {
    for format in Format::ALL {
        let output = Output::stream(format, Log::Events, Box::new(io::sink()));
        let mut sink = Filtered::new(output, FlagSet::ALL);
        sink.retransmissions = true;
        for number in 0..2000 {
            sink.event(&event(number)).unwrap();
        }
        let before = ALLOCATIONS.get();
        for number in 0..20_000 {
            sink.event(&event(number)).unwrap();
        }
        assert_eq!(ALLOCATIONS.get() - before, 0, "{format}");
        sink.sink.finish().unwrap();
    }
}
