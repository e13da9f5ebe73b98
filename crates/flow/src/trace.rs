//! Which event a segment makes: what of a connection was already said.
//!
//! The state machine accepts far more than it is worth a row: a row tells of the first SYN, the
//! SYN-ACK and ACK whose numbers answer it, the first FIN of each side, the first segment that
//! acknowledges it, and resets.

use vtap_packet::Seq;

use crate::event::{EventFlag, Side};
use crate::segment::Segment;
use crate::state::{Kind, State};
use crate::verdict::StateAfter;

/// What was said of a connection. Arrays are by [`Side`].
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Trace {
    /// First number of each side.
    isn: [Option<Seq>; 2],
    /// The number just behind each side's FIN.
    fin: [Option<Seq>; 2],
    /// Whether that FIN was acknowledged.
    fin_acked: [bool; 2],
    /// Whether that side has reset the connection.
    reset: [bool; 2],
    /// A SYN-ACK was reported, and this side is to answer it.
    completes: Option<Side>,
    /// First acknowledgment in a flow of which one side alone is seen.
    first_ack: Option<Seq>,
    /// Whose packets are not seen, once that was said.
    pub(crate) missing: Option<Side>,
}

/// A row to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) flag: EventFlag,
    pub(crate) retransmission: bool,
}

impl Row {
    const fn first(flag: EventFlag) -> Self {
        Self { flag, retransmission: false }
    }

    const fn again(flag: EventFlag) -> Self {
        Self { flag, retransmission: true }
    }
}

impl Trace {
    /// The row of an accepted segment that took the connection from `before` to `after`.
    pub(crate) fn accepted(
        &mut self,
        side: Side,
        segment: &Segment,
        before: Option<State>,
        after: StateAfter,
    ) -> Option<Row> {
        match segment.kind {
            Kind::Syn => self.syn(side, segment),
            Kind::SynAck => {
                if before.is_some_and(|state| state == State::Established || state.is_closing()) {
                    // Both ends have restarted: what was said of the old connection is over.
                    let isn = self.isn;
                    *self = Self { isn, ..Self::default() };
                }
                self.syn_ack(side, segment)
            }
            Kind::Ack | Kind::Fin => self.ack_or_fin(side, segment),
            Kind::Rst => {
                let closes = !matches!(after, StateAfter::In(state) if state != State::Close);
                let reset = of_mut(&mut self.reset, side);
                let repeated = std::mem::replace(reset, *reset || closes);
                Some(if repeated { Row::again(EventFlag::Rst) } else { Row::first(EventFlag::Rst) })
            }
        }
    }

    /// The row of a segment that was passed without being judged: a SYN with a new number is an
    /// attempt to open a connection that the observer still believes in.
    pub(crate) fn passed(&mut self, side: Side, segment: &Segment) -> Option<Row> {
        match segment.kind {
            Kind::Syn => self.syn(side, segment),
            Kind::SynAck if *of(&self.isn, side) == Some(segment.seq) => {
                Some(Row::again(EventFlag::SynAck))
            }
            _ => None,
        }
    }

    fn syn(&mut self, side: Side, segment: &Segment) -> Option<Row> {
        let isn = of_mut(&mut self.isn, side).replace(segment.seq);
        Some(if isn == Some(segment.seq) {
            Row::again(EventFlag::Syn)
        } else {
            Row::first(EventFlag::Syn)
        })
    }

    fn syn_ack(&mut self, side: Side, segment: &Segment) -> Option<Row> {
        if of(&self.isn, side.peer()).is_some_and(|isn| !segment.ack.after(isn)) {
            return None;
        }
        if of_mut(&mut self.isn, side).replace(segment.seq) == Some(segment.seq)
            && self.completes.is_some()
        {
            return Some(Row::again(EventFlag::SynAck));
        }
        self.completes = Some(side.peer());
        Some(Row::first(EventFlag::SynAck))
    }

    fn ack_or_fin(&mut self, side: Side, segment: &Segment) -> Option<Row> {
        let acks_fin = self.acknowledges_fin(side, segment.ack);
        let completes = self.completes == Some(side)
            && of(&self.isn, side.peer()).is_some_and(|isn| segment.ack.after(isn));
        if completes {
            self.completes = None;
        }
        let fin = (segment.kind == Kind::Fin)
            .then(|| of_mut(&mut self.fin, side).replace(segment.end()).is_none());
        match fin {
            _ if acks_fin => Some(Row::first(EventFlag::FinAck)),
            Some(true) => Some(Row::first(EventFlag::Fin)),
            Some(false) => Some(Row::again(EventFlag::Fin)),
            None if completes => Some(Row::first(EventFlag::Ack)),
            None => None,
        }
    }

    /// Whether this is the first segment to acknowledge the peer's FIN.
    fn acknowledges_fin(&mut self, side: Side, ack: Seq) -> bool {
        let peer = side.peer();
        let first =
            !*of(&self.fin_acked, peer) && of(&self.fin, peer).is_some_and(|end| !ack.before(end));
        if first {
            *of_mut(&mut self.fin_acked, peer) = true;
        }
        first
    }

    pub(crate) fn touch_lines(&self) -> u64 {
        let [client, _] = self.isn;
        client.map_or(0, |isn| u64::from(isn.0))
    }

    /// Whether acknowledgments of a flow without connection have moved: proof that the side they
    /// go to sends, seen or not.
    pub(crate) fn acknowledges_unseen(&mut self, ack: Seq) -> bool {
        ack.after(*self.first_ack.get_or_insert(ack))
    }
}

fn of<T>(pair: &[T; 2], side: Side) -> &T {
    let [client, server] = pair;
    match side {
        Side::Client => client,
        Side::Server => server,
    }
}

fn of_mut<T>(pair: &mut [T; 2], side: Side) -> &mut T {
    let [client, server] = pair;
    match side {
        Side::Client => client,
        Side::Server => server,
    }
}
