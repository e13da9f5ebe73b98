//! Timeouts and bounds, each with its source.
//!
//! The TCP timeouts are the defaults of `net.netfilter.nf_conntrack_tcp_timeout_*` of Linux 6.x.

use std::time::Duration;

use vtap_packet::reassembly::Limits;

use crate::State;

/// Time after which a connection in this state is forgotten.
pub const fn timeout(state: State) -> Duration {
    Duration::from_secs(match state {
        State::SynSent | State::SynSent2 => 120,
        State::SynRecv => 60,
        // Five days: with everything acknowledged, silence is no sign of an end.
        State::Established => 432_000,
        State::FinWait => 120,
        State::CloseWait => 60,
        State::LastAck => 30,
        State::TimeWait => 120,
        State::Close => 10,
    })
}

/// A span in nanoseconds, for what is asked of every packet.
pub(crate) const fn nanos(span: Duration) -> u64 {
    span.as_secs() * 1_000_000_000 + span.subsec_nanos() as u64
}

/// Cap while data waits for its acknowledgment, and for a flow picked up in mid-stream until its
/// other side is seen (`..._unacknowledged`).
pub const UNACKNOWLEDGED: Duration = Duration::from_secs(300);

/// Cap after [`MAX_RETRANSMISSIONS`], and while the window is closed (`..._max_retrans`).
pub const RETRANSMITTING: Duration = Duration::from_secs(300);

/// Identical segments in a row that count as retransmitting (`nf_conntrack_tcp_max_retrans`).
pub const MAX_RETRANSMISSIONS: u8 = 3;

/// Least distance below what was sent at which an acknowledgment is overly delayed, in bytes: a
/// window of 64 KiB and some.
pub const MAX_ACK_WINDOW: u32 = 66_000;

/// Largest window scale (RFC 7323 section 2.3); a larger one counts as this.
pub const MAX_WINDOW_SCALE: u8 = 14;

/// A flow that has only INVALID packets is remembered for this long after the last one, so that
/// its rows stay limited and its one-way nature can be told. No kernel counterpart: conntrack
/// keeps nothing of such packets.
pub const STATELESS: Duration = Duration::from_secs(60);

/// A UDP flow seen in one direction (`nf_conntrack_udp_timeout`).
pub const UDP: Duration = Duration::from_secs(30);

/// A UDP flow seen in both (`nf_conntrack_udp_timeout_stream`).
pub const UDP_REPLIED: Duration = Duration::from_secs(120);

/// An ICMP exchange (`nf_conntrack_icmp_timeout`, `nf_conntrack_icmpv6_timeout`).
pub const ICMP: Duration = Duration::from_secs(30);

/// A flow of any other protocol (`nf_conntrack_generic_timeout`).
pub const GENERIC: Duration = Duration::from_secs(600);

/// Of the pool in which fragments of the customer's packets wait for each other, and of the table of
/// those that are not accounted yet (`net.ipv4.ipfrag_time`; the kernel's pool has 4 MB and no limit
/// of datagrams).
pub const FRAGMENTS: Limits =
    Limits { datagrams: 4096, bytes: 16 << 20, age: Duration::from_secs(30) };

/// INVALID rows that belong to no flow (the table is full) are limited for each such span.
pub const FLOWLESS_ROWS: Duration = Duration::from_secs(60);

/// Flows at most, by default. Each takes up to 212 bytes, with a record up to 532: so many were seen
/// to take 203 MiB, and 519 MiB with records, all else of the tracker included.
pub const MAX_FLOWS: usize = 1_000_000;

/// INVALID rows of one flow, by default.
pub const INVALID_ROWS: u32 = 5;

/// Warm-up by default: a mirror takes up to 60 s to come back when a source is added.
pub const WARM_UP: Duration = Duration::from_secs(60);

/// Packet time between a packet and a copy of it by another tap or behind a router, by default.
/// Copies from two taps were seen 5 to 206 us apart; the rest is for congested mirrors.
pub const COPY: Duration = Duration::from_millis(250);

/// The same, where one tap's packets come over two interfaces: a capture of all interfaces shows
/// one packet 0 to 5 us apart, and hosts repeat themselves no sooner than some milliseconds.
pub const INTERFACE_COPY: Duration = Duration::from_millis(1);

/// Packets remembered for the sake of their copies, by default.
pub const REMEMBERED: usize = 32_768;

/// The same, where records are kept, of packets whose IP header has a wrong checksum.
pub const REMEMBERED_CORRUPT: usize = 1024;

/// Time for which a segment that does not fit waits for what it may have overtaken.
pub const REORDERING: Duration = Duration::from_millis(10);

/// Segments that wait so at most; the oldest is judged when there is one more.
pub const HELD: usize = 256;

/// Of these, segments of one flow at most; what is beyond is judged as it comes.
pub const HELD_OF_FLOW: usize = 32;

/// Rows that wait at most for one of an earlier packet, which waits itself; with one more the
/// oldest segment is judged.
pub const ROWS_HELD: usize = 4096;

/// Silence of a tap, after [steady](STEADY) traffic, that is a gap of its mirror.
pub const GAP: Duration = Duration::from_secs(5);

/// Steady is what has no pause longer than this ...
pub const PAUSE: Duration = Duration::from_secs(1);

/// ... over this time ...
pub const STEADY: Duration = Duration::from_secs(2);

/// ... in as many packets.
pub const STEADY_PACKETS: u64 = 20;

/// Flows of a tap that go on beyond their windows, within [`RESUMING`] and
/// [`RESUMING_PACKETS`], are a gap as well, however short.
pub const RESUMING_FLOWS: u32 = 8;

/// Packet time in which they do.
pub const RESUMING: Duration = Duration::from_secs(1);

/// Packets of the tap in which they do.
pub const RESUMING_PACKETS: u64 = 256;

/// Packet time after which it is told that a flow has begun, if it is not over by then.
pub const BEGIN: Duration = Duration::from_secs(10);

/// Packet time between two records of a flow that goes on: what the cloud's flow logs have.
pub const CONTINUE: Duration = Duration::from_secs(300);

/// Packet time for which a connection that both sides have ended, or that was reset, keeps its
/// account open: for the last acknowledgment, and what is repeated.
pub const LINGER: Duration = Duration::from_secs(5);

/// Silence after which the record of a flow ends, whatever its state; what comes later is another
/// record. Longer than the 4 minutes that the cloud's gateways keep an idle flow by default, and
/// shorter than conntrack's five days.
pub const IDLE: Duration = Duration::from_secs(600);

/// Longest IP packet that a network carries, in bytes: jumbo frames. A longer one was put
/// together by a network card or a kernel (LRO, GRO) or not yet taken apart (TSO, GSO).
pub const LARGEST_PACKET: u32 = 9216;
