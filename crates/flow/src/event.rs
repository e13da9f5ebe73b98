//! What the tracker says: one event about one packet of a flow.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use vtap_packet::{Timestamp, Tunnel};

use crate::{Reason, State};

/// The seven things that an event can be about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EventFlag {
    /// A SYN that opened the flow, or reopened a closed one.
    Syn,
    /// The SYN-ACK that answers the SYN; its acknowledgment number fits.
    SynAck,
    /// The segment that completes the handshake, with data or without.
    Ack,
    /// The first FIN of a half.
    Fin,
    /// The first segment of the other half that acknowledges a FIN; it may be a FIN itself.
    FinAck,
    /// A reset that was accepted.
    Rst,
    /// A packet that the tracker refused, with a [`Reason`].
    Invalid,
}

impl EventFlag {
    /// Every flag, in the order of a connection's life.
    pub const ALL: [Self; 7] =
        [Self::Syn, Self::SynAck, Self::Ack, Self::Fin, Self::FinAck, Self::Rst, Self::Invalid];

    /// The name in every output format, as the firewall's flow trace spells it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Syn => "SYN",
            Self::SynAck => "SYN-ACK",
            Self::Ack => "ACK",
            Self::Fin => "FIN",
            Self::FinAck => "FIN-ACK",
            Self::Rst => "RST",
            Self::Invalid => "INVALID",
        }
    }
}

impl fmt::Display for EventFlag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Which end of the flow: the sender of the SYN, or its peer.
///
/// In a flow picked up in mid-stream the client is whoever was seen first (conntrack's
/// `original`), which may be the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Side {
    /// The sender of the SYN; `original` in conntrack's words.
    Client,
    /// Its peer; `reply` in conntrack's words.
    Server,
}

impl Side {
    /// The name in every output format.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Server => "server",
        }
    }

    /// The other end.
    #[must_use]
    pub const fn peer(self) -> Self {
        match self {
            Self::Client => Self::Server,
            Self::Server => Self::Client,
        }
    }
}

/// Taps of one flow that are remembered.
pub const MAX_TAPS: usize = 4;

/// One line of the flow trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// Time of the packet.
    pub time: Timestamp,
    /// 1-based number of the packet in the input.
    pub packet: u64,
    /// What happened.
    pub flag: EventFlag,
    /// Source of this packet, not of the flow. Port 0 where the TCP header was too short to
    /// hold one.
    pub src: SocketAddr,
    /// Destination of this packet.
    pub dst: SocketAddr,
    /// The envelope; `None` for a packet that was not mirrored.
    pub tunnel: Option<Tunnel>,
    /// State of the flow after this packet; `None` where there is no flow.
    pub state: Option<State>,
    /// Which end sent this packet, where that is known.
    pub side: Option<Side>,
    /// Set with [`EventFlag::Invalid`], and only then.
    pub reason: Option<Reason>,
    /// With [`Reason::Asymmetric`]: whose packets are not seen.
    pub missing: Option<Side>,
    /// Set on a repeated SYN, SYN-ACK, FIN or RST, which is shown on request only.
    pub retransmission: bool,
    /// The taps that have shown packets of this flow so far, in the order they did, where they are
    /// more than one; [`MAX_TAPS`] are remembered.
    pub taps: [Option<IpAddr>; MAX_TAPS],
    /// Only this side of the flow is seen, after its source was translated on the way out (a NAT
    /// gateway does so before the mirror): the address behind it is that of the tap.
    pub egress_only: bool,
    /// Not zero on the row that closes a flow with more INVALID packets than the limit: how many
    /// were not shown. Time, packet and reason are those of the last one.
    pub suppressed: u64,
}
