//! Profiles and switches.

use std::time::Duration;

use vtap_packet::{Tunnel, Vni};

use crate::limits;

/// Whose notion of INVALID is followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// conntrack of Linux 6.1 or newer with default sysctls.
    Linux,
    /// The firewall's documented meaning: a packet without history is INVALID, so are overly
    /// delayed ACKs and new flows when the table is full.
    Azure,
}

/// What a wrong TCP checksum means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checksum {
    /// INVALID, as the kernel has it.
    Verify,
    /// INVALID unless it is what checksum offload leaves: the sum of the pseudo header.
    OffloadAware,
    /// Nothing; checksums are not looked at, those of IPv4 headers neither.
    Off,
}

/// How copies of packets are recognised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Copies {
    /// Packet time between a packet and a copy of it at most. Zero follows every packet as it
    /// comes.
    pub window: Duration,
    /// Packets remembered at most, rounded up to a power of two; 16 bytes each, and a packet that
    /// two taps have shown counts twice.
    pub packets: usize,
}

/// All switches of the tracker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// Which rules.
    pub profile: Profile,
    /// Whether an ACK or data segment of an unknown flow opens it in mid-stream at any time
    /// (`nf_conntrack_tcp_loose`).
    pub pickup: bool,
    /// What a wrong checksum means.
    pub checksum: Checksum,
    /// Span of packet time from the first packet in which flows are picked up although `pickup`
    /// is off: they were open before the capture began.
    pub warm_up: Duration,
    /// Flows at most; [what each takes](limits::MAX_FLOWS) depends on `records`.
    pub max_flows: usize,
    /// INVALID rows of one flow; what is beyond is summed up in one row when the flow ends.
    pub invalid_limit: u32,
    /// Whether equal addresses and ports in different VNIs are one flow.
    pub fold_vni: bool,
    /// How copies of packets are recognised, by other taps and behind routers.
    pub copies: Copies,
    /// Packet time for which a segment that does not fit waits for one that it may have overtaken
    /// on its way through the mirror.
    pub reordering: Duration,
    /// Whether flows are counted, and [records](crate::Record) of them told. Neither verdicts nor
    /// events depend on it, unless the table is full: packets with a wrong IP checksum hold places
    /// in it too.
    pub records: bool,
}

impl Config {
    /// What tells networks apart whose addresses may be the same.
    pub(crate) fn vni(&self, tunnel: Option<Tunnel>) -> Option<Vni> {
        tunnel.map(|tunnel| tunnel.vni).filter(|_| !self.fold_vni)
    }

    /// The defaults of a profile.
    pub const fn new(profile: Profile) -> Self {
        let (pickup, checksum, warm_up, reordering) = match profile {
            Profile::Linux => (true, Checksum::Verify, Duration::ZERO, Duration::ZERO),
            Profile::Azure => (false, Checksum::OffloadAware, limits::WARM_UP, limits::REORDERING),
        };
        Self {
            profile,
            pickup,
            checksum,
            warm_up,
            max_flows: limits::MAX_FLOWS,
            invalid_limit: limits::INVALID_ROWS,
            fold_vni: false,
            copies: Copies { window: limits::COPY, packets: limits::REMEMBERED },
            reordering,
            records: false,
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self::new(Profile::Azure)
    }
}
