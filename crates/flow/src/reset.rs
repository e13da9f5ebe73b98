//! What comes of a reset: when it is believed, and when its sequence number has to prove it.

use vtap_packet::Seq;

use crate::connection::Connection;
use crate::event::Side;
use crate::last::Challenge;
use crate::segment::Segment;
use crate::state::{Kind, State};

/// What comes of a reset.
pub(crate) enum Reset {
    /// Accept it without looking at the windows.
    Closes,
    /// Check the windows; if it fits, go to this state.
    Check(State),
    Refused,
}

impl Connection {
    pub(crate) fn reset(&self, side: Side, segment: &Segment) -> Reset {
        if self.state.is_closing() || self.resets_challenged_syn(side, segment) {
            return Reset::Closes;
        }
        let established = self.state == State::Established && self.assured;
        if let Some(acked) = self.half(side.peer()).max_ack()
            && self.last.kind != Some(Kind::Syn)
        {
            if segment.seq == Seq(0) && !established {
                return Reset::Check(State::Close);
            }
            if segment.seq.before(acked) {
                return Reset::Refused;
            }
            if !established || segment.seq == acked || self.follows_own_data(side, segment) {
                return Reset::Check(State::Close);
            }
            // In the window but not at its edge: the receiver will challenge it (RFC 5961
            // section 3.2), so the connection may well live on.
            return Reset::Check(self.state);
        }
        if self.answers_stray(side, segment) { Reset::Closes } else { Reset::Check(State::Close) }
    }

    /// A reset that answers a segment which was let through without being checked is right by
    /// that segment's number, whatever the windows say.
    fn answers_stray(&self, side: Side, segment: &Segment) -> bool {
        let unchecked = match self.last.kind {
            Some(Kind::Syn) => self.replied,
            Some(Kind::Ack) => !self.assured,
            _ => false,
        };
        unchecked && self.last.side != side && segment.ack == self.last.end
    }

    /// The client's reset of an old connection that the server still believed in.
    fn resets_challenged_syn(&self, side: Side, segment: &Segment) -> bool {
        self.state == State::SynSent
            && side == Side::Client
            && self.last.challenge == Challenge::Received
            && segment.seq == self.last.ack
    }

    /// A reset right behind the sender's own data, before the peer could acknowledge that.
    fn follows_own_data(&self, side: Side, segment: &Segment) -> bool {
        self.last.kind == Some(Kind::Ack) && self.last.side == side && segment.seq == self.last.end
    }
}
