//! The last segment of a connection: what later ones are compared with.

use std::num::NonZero;

use vtap_packet::Seq;

use crate::event::Side;
use crate::segment::Segment;
use crate::state::Kind;

/// The last segment that was accepted or ignored, as far as later rules refer to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Last {
    pub(crate) kind: Option<Kind>,
    pub(crate) side: Side,
    /// Numbers of the last ACK that was accepted, or of the last segment that was ignored.
    pub(crate) seq: Seq,
    pub(crate) ack: Seq,
    pub(crate) end: Seq,
    pub(crate) window: u16,
    /// Identical ACKs in a row.
    pub(crate) repeated: u8,
    /// Options of an ignored SYN; the shift of the window is one more than it says.
    pub(crate) scale_plus_1: Option<NonZero<u8>>,
    pub(crate) sack_permitted: bool,
    pub(crate) challenge: Challenge,
}

/// Challenge ACKs (RFC 5961 section 4), by which a host asks who claims to open anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Challenge {
    None,
    /// A SYN was ignored in LAST_ACK, so the answer may be one.
    Expected,
    /// Instead of the SYN, the server acknowledged `ack` of an old connection of its own.
    Received,
}

impl Last {
    pub(crate) const NONE: Self = Self {
        kind: None,
        side: Side::Client,
        seq: Seq(0),
        ack: Seq(0),
        end: Seq(0),
        window: 0,
        repeated: 0,
        scale_plus_1: None,
        sack_permitted: false,
        challenge: Challenge::None,
    };

    pub(crate) fn scale(&self) -> Option<u8> {
        self.scale_plus_1.map(|scale| scale.get() - 1)
    }

    #[inline(always)]
    pub(crate) fn count_repeats(&mut self, side: Side, segment: &Segment) {
        let (seq, ack, end, window) = (segment.seq, segment.ack, segment.end, segment.window);
        // All are compared, as none of the answers can be foreseen.
        let repeats = (self.side == side)
            & (self.seq == seq)
            & (self.ack == ack)
            & (self.end == end)
            & (self.window == window);
        self.repeated = self.repeated.saturating_add(1) * u8::from(repeats);
        self.side = side;
        (self.seq, self.ack, self.end, self.window) = (seq, ack, end, window);
    }
}
