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

/// Numbers that what was said refers to, where a [`Mark`] says that they are known. Arrays are by
/// [`Side`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Trace {
    /// First number of each side.
    isn: [Seq; 2],
    /// The number just behind each side's FIN.
    fin: [Seq; 2],
    /// First acknowledgment in a flow of which one side alone is seen.
    first_ack: Seq,
}

/// What was said of a flow: a bit for each [`Mark`] and side.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Marks(u16);

/// What can be said of a side.
#[derive(Clone, Copy, Debug)]
#[repr(u8)]
pub(crate) enum Mark {
    /// Its first number is known.
    Isn,
    /// It has sent a FIN.
    Fin,
    /// That FIN was acknowledged.
    FinAcked,
    /// It has reset the connection.
    Reset,
    /// A SYN-ACK was reported, and this side is to answer it.
    Completes,
    /// Its packets are not seen, and that was said.
    Missing,
}

/// What can be said once of a flow, whichever side it is of: bits above those of marks.
#[derive(Clone, Copy, Debug)]
#[repr(u16)]
pub(crate) enum Once {
    /// The first acknowledgment is known.
    FirstAck = 1 << 12,
    /// It has gone on beyond its window.
    Jumped = 1 << 13,
    /// It is seen on its way out only, after its source was translated.
    EgressOnly = 1 << 14,
}

impl Mark {
    #[inline]
    const fn of(self, side: Side) -> u16 {
        1 << (2 * self as u8 + side as u8)
    }

    const fn of_both(self) -> u16 {
        self.of(Side::Client) | self.of(Side::Server)
    }
}

impl Marks {
    #[inline]
    const fn has(self, mark: Mark, side: Side) -> bool {
        self.0 & mark.of(side) != 0
    }

    /// Sets a mark and says whether it was set before.
    const fn set(&mut self, mark: Mark, side: Side) -> bool {
        let before = self.has(mark, side);
        self.0 |= mark.of(side);
        before
    }

    /// What holds for the flow whatever connection it has.
    pub(crate) const fn of_flow(self) -> Self {
        Self(self.0 & Once::EgressOnly as u16)
    }

    /// Whether something was said of the flow.
    pub(crate) const fn has_said(self, once: Once) -> bool {
        self.0 & once as u16 != 0
    }

    /// Takes note of what can be said once, and says whether this is the first time.
    pub(crate) const fn first(&mut self, once: Once) -> bool {
        let first = !self.has_said(once);
        self.0 |= once as u16;
        first
    }

    const fn clear(&mut self, mark: Mark) {
        self.0 &= !mark.of_both();
    }

    /// Whether no segment but a SYN, a FIN or a reset would make a row.
    #[inline]
    pub(crate) const fn await_nothing(self) -> bool {
        self.0 & (Mark::Completes.of_both() | Mark::Fin.of_both()) == 0
    }

    /// Whose packets are not seen, once that was said.
    pub(crate) fn missing(self) -> Option<Side> {
        [Side::Client, Side::Server].into_iter().find(|side| self.has(Mark::Missing, *side))
    }

    pub(crate) fn set_missing(&mut self, missing: Option<Side>) {
        self.clear(Mark::Missing);
        if let Some(side) = missing {
            self.set(Mark::Missing, side);
        }
    }
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
    pub(crate) const NEW: Self = Self { isn: [Seq(0); 2], fin: [Seq(0); 2], first_ack: Seq(0) };

    fn isn(&self, marks: Marks, side: Side) -> Option<Seq> {
        marks.has(Mark::Isn, side).then_some(*of(&self.isn, side))
    }

    /// Takes note of a first number, and gives the one before.
    fn replace_isn(&mut self, marks: &mut Marks, side: Side, isn: Seq) -> Option<Seq> {
        let before = self.isn(*marks, side);
        marks.set(Mark::Isn, side);
        *of_mut(&mut self.isn, side) = isn;
        before
    }

    /// The row of an accepted segment that took the connection from `before` to `after`.
    pub(crate) fn accepted(
        &mut self,
        marks: &mut Marks,
        side: Side,
        segment: &Segment,
        before: Option<State>,
        after: StateAfter,
    ) -> Option<Row> {
        match segment.kind {
            Kind::Syn => self.syn(marks, side, segment),
            Kind::SynAck => {
                if before.is_some_and(|state| state == State::Established || state.is_closing()) {
                    // Both ends have restarted: what was said of the old connection is over.
                    *self = Self { isn: self.isn, ..Self::NEW };
                    marks.0 &= Mark::Isn.of_both();
                }
                self.syn_ack(marks, side, segment)
            }
            Kind::Ack | Kind::Fin => self.ack_or_fin(marks, side, segment),
            Kind::Rst => {
                let closes = !matches!(after, StateAfter::In(state) if state != State::Close);
                let repeated = marks.has(Mark::Reset, side);
                if closes {
                    marks.set(Mark::Reset, side);
                }
                Some(if repeated { Row::again(EventFlag::Rst) } else { Row::first(EventFlag::Rst) })
            }
        }
    }

    /// The row of a segment that was passed without being judged: a SYN with a new number is an
    /// attempt to open a connection that the observer still believes in.
    pub(crate) fn passed(
        &mut self,
        marks: &mut Marks,
        side: Side,
        segment: &Segment,
    ) -> Option<Row> {
        match segment.kind {
            Kind::Syn => self.syn(marks, side, segment),
            Kind::SynAck if self.isn(*marks, side) == Some(segment.seq) => {
                Some(Row::again(EventFlag::SynAck))
            }
            _ => None,
        }
    }

    fn syn(&mut self, marks: &mut Marks, side: Side, segment: &Segment) -> Option<Row> {
        let isn = self.replace_isn(marks, side, segment.seq);
        Some(if isn == Some(segment.seq) {
            Row::again(EventFlag::Syn)
        } else {
            Row::first(EventFlag::Syn)
        })
    }

    fn syn_ack(&mut self, marks: &mut Marks, side: Side, segment: &Segment) -> Option<Row> {
        if self.isn(*marks, side.peer()).is_some_and(|isn| !segment.ack.after(isn)) {
            return None;
        }
        let repeated = self.replace_isn(marks, side, segment.seq) == Some(segment.seq);
        if repeated && marks.0 & Mark::Completes.of_both() != 0 {
            return Some(Row::again(EventFlag::SynAck));
        }
        marks.clear(Mark::Completes);
        marks.set(Mark::Completes, side.peer());
        Some(Row::first(EventFlag::SynAck))
    }

    fn ack_or_fin(&mut self, marks: &mut Marks, side: Side, segment: &Segment) -> Option<Row> {
        let acks_fin = self.acknowledges_fin(marks, side, segment.ack);
        let completes = marks.has(Mark::Completes, side)
            && self.isn(*marks, side.peer()).is_some_and(|isn| segment.ack.after(isn));
        if completes {
            marks.clear(Mark::Completes);
        }
        let fin = (segment.kind == Kind::Fin).then(|| {
            *of_mut(&mut self.fin, side) = segment.end;
            !marks.set(Mark::Fin, side)
        });
        match fin {
            _ if acks_fin => Some(Row::first(EventFlag::FinAck)),
            Some(true) => Some(Row::first(EventFlag::Fin)),
            Some(false) => Some(Row::again(EventFlag::Fin)),
            None if completes => Some(Row::first(EventFlag::Ack)),
            None => None,
        }
    }

    /// Whether this is the first segment to acknowledge the peer's FIN.
    fn acknowledges_fin(&self, marks: &mut Marks, side: Side, ack: Seq) -> bool {
        let peer = side.peer();
        let first = !marks.has(Mark::FinAcked, peer)
            && marks.has(Mark::Fin, peer)
            && !ack.before(*of(&self.fin, peer));
        if first {
            marks.set(Mark::FinAcked, peer);
        }
        first
    }

    /// Whether acknowledgments of a flow without connection have moved: proof that the side they
    /// go to sends, seen or not.
    pub(crate) fn acknowledges_unseen(&mut self, marks: &mut Marks, ack: Seq) -> bool {
        if marks.first(Once::FirstAck) {
            self.first_ack = ack;
        }
        ack.after(self.first_ack)
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
