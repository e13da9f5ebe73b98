//! flowscope's flow tracker over mirrored packets, with the least that could go before it: the
//! envelope is taken to be 50 bytes and cut off unseen, and no event per packet is asked for.

use std::hint::black_box;
use std::io;

use flowscope::extract::FiveTuple;
use flowscope::{EventMask, FlowTracker, FlowTrackerConfig, PacketView, Timestamp};
use vtap_peers::Capture;

/// Ethernet, IPv4 without options, UDP, VXLAN.
const ENVELOPE: usize = 14 + 20 + 8 + 8;

fn main() -> io::Result<()> {
    let path =
        std::env::args_os().nth(1).ok_or_else(|| io::Error::other("usage: flowscope FILE"))?;
    let mut config = FlowTrackerConfig::default().with_event_filter(EventMask::PACKET);
    // As many as vtap keeps unless told otherwise.
    config.max_flows = 1_000_000;
    let mut tracker: FlowTracker<FiveTuple> =
        FlowTracker::with_config(FiveTuple::bidirectional(), config);
    let (mut packets, mut events) = (0_u64, 0_usize);
    for (time, packet) in Capture::open(path)?.packets() {
        packets += 1;
        let frame = packet.get(ENVELOPE..).unwrap_or_default();
        let time = Timestamp::new(time.as_secs() as u32, time.subsec_nanos());
        events += black_box(tracker.track(PacketView::new(frame, time))).len();
    }
    events += tracker.finish().len();
    let stats = tracker.stats();
    println!(
        "{packets} packets, {} flows, {events} events, {} packets of no flow",
        stats.flows_created, stats.packets_unmatched
    );
    Ok(())
}
