//! Why a packet is INVALID: the closed list.

use std::fmt;

/// Why a packet is INVALID. The names are part of the output format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// No history for this packet: its flow was never opened as far as this observer saw. A
    /// SYN-ACK, FIN or RST of an unknown flow, or an ACK where mid-stream pick-up is off.
    NoState,
    /// The TCP checksum is wrong, and not merely left to the NIC.
    BadChecksum,
    /// A combination of control bits that TCP never sends.
    BadFlags,
    /// The TCP header is shorter than 20 bytes, or its data offset contradicts the segment.
    TruncatedHeader,
    /// The flow's state does not allow this kind of segment from this side.
    InvalidTransition,
    /// The segment begins beyond what the receiver's window allowed; in the `azure` profile also
    /// one that begins inside and ends slightly beyond it.
    SeqAboveWindow,
    /// It acknowledges, or selectively acknowledges, data that was never seen sent.
    AckAboveSent,
    /// The segment lies wholly below the window: old data, long acknowledged. `azure` only.
    SeqBelowWindow,
    /// The overly delayed ACK: it acknowledges less than the largest window (at least 66,000
    /// bytes) below what was sent. `azure` only.
    AckBelowWindow,
    /// A reset whose sequence number lies below what its receiver has acknowledged (RFC 5961
    /// section 3.2).
    InvalidRst,
    /// The flow table is full and the packet's flow is new. `azure` only.
    TableFull,
    /// The other direction of the flow does not pass this observer.
    Asymmetric,
}

impl Reason {
    /// Every reason, in the order in which they are documented.
    pub const ALL: [Self; 12] = [
        Self::NoState,
        Self::BadChecksum,
        Self::BadFlags,
        Self::TruncatedHeader,
        Self::InvalidTransition,
        Self::SeqAboveWindow,
        Self::AckAboveSent,
        Self::SeqBelowWindow,
        Self::AckBelowWindow,
        Self::InvalidRst,
        Self::TableFull,
        Self::Asymmetric,
    ];

    /// The name in every output format: kebab-case, stable.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NoState => "no-state",
            Self::BadChecksum => "bad-checksum",
            Self::BadFlags => "bad-flags",
            Self::TruncatedHeader => "truncated-header",
            Self::InvalidTransition => "invalid-transition",
            Self::SeqAboveWindow => "seq-above-window",
            Self::AckAboveSent => "ack-above-sent",
            Self::SeqBelowWindow => "seq-below-window",
            Self::AckBelowWindow => "ack-below-window",
            Self::InvalidRst => "invalid-rst",
            Self::TableFull => "table-full",
            Self::Asymmetric => "asymmetric",
        }
    }

    /// Whether a segment that was seen too soon may be refused for this.
    pub(crate) const fn may_have_overtaken(self) -> bool {
        matches!(self, Self::NoState | Self::InvalidTransition) || self.is_beyond()
    }

    /// Whether the segment refers to what was not seen.
    pub(crate) const fn is_beyond(self) -> bool {
        matches!(self, Self::SeqAboveWindow | Self::AckAboveSent)
    }

    /// The reason in words, for people: completes "INVALID because".
    pub const fn words(self) -> &'static str {
        match self {
            Self::NoState => "no connection is known that this packet belongs to",
            Self::BadChecksum => "its TCP checksum is wrong",
            Self::BadFlags => "TCP never sends this combination of flags",
            Self::TruncatedHeader => "its TCP header is cut short or contradicts its length",
            Self::InvalidTransition => "the connection's state does not allow it from this side",
            Self::SeqAboveWindow => "it lies beyond the receiver's window",
            Self::AckAboveSent => "it acknowledges data that was never seen sent",
            Self::SeqBelowWindow => "it repeats data acknowledged long ago",
            Self::AckBelowWindow => "it is an overly delayed ACK",
            Self::InvalidRst => "this reset lies below what its receiver acknowledged",
            Self::TableFull => "the flow table is full",
            Self::Asymmetric => "the other direction is not seen here",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
