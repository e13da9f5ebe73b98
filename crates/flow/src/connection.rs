//! One TCP connection as conntrack knows it: the transition table, and the cases around it that
//! a table of states cannot see.
//!
//! The order is the kernel's: what the table says, then the special case of that answer, then
//! the window check, then the new state and its timeout. Each special case is a method named
//! after what is on the wire.

use std::num::NonZero;
use std::time::Duration;

use vtap_packet::Timestamp;

use crate::event::Side;
use crate::half::{self, Facts, Fit, Half};
use crate::last::{Challenge, Last};
use crate::limits;
use crate::reason::Reason;
use crate::reset::Reset;
use crate::segment::Segment;
use crate::state::{Kind, State, Transition, transition};
use crate::verdict::Note;

/// State of one connection, in one cache line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Connection {
    pub(crate) state: State,
    /// By [`Side`].
    pub(crate) halves: [Half; 2],
    pub(crate) last: Last,
    /// Something of the server was accepted.
    pub(crate) replied: bool,
    /// The handshake is complete and was used; such a flow is not evicted.
    pub(crate) assured: bool,
    /// Both sides sent a SYN: an ACK of the server completes the handshake as well.
    simultaneous_open: bool,
}

const _: () = assert!(size_of::<Option<Connection>>() == 64);

/// What a segment did to its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// It fits; the state may have moved.
    Accepted,
    /// It fits and ends a connection of which no answer was ever seen: forget it at once.
    Ended,
    /// It passes, and nothing moves.
    Passed(Note),
    Refused(Reason),
    /// It opens a new connection in place of this one, which is over.
    Reopens,
}

impl Connection {
    /// Of a SYN. `deadline` is, here and below, when the connection is forgotten unless something
    /// is accepted before.
    pub(crate) fn open(now: Timestamp, syn: &Segment, deadline: &mut Timestamp) -> Self {
        let halves = [Half::opening(syn), Half::default()];
        Self::begin(now, syn, halves, State::SynSent, deadline)
    }

    /// Of a segment in mid-stream; its sender counts as the client.
    pub(crate) fn pick_up(now: Timestamp, segment: &Segment, deadline: &mut Timestamp) -> Self {
        let halves = [Half::picked_up(segment), Half::unseen_of_picked_up()];
        Self::begin(now, segment, halves, State::Established, deadline)
    }

    fn begin(
        now: Timestamp,
        segment: &Segment,
        halves: [Half; 2],
        state: State,
        deadline: &mut Timestamp,
    ) -> Self {
        let mut connection = Self {
            state,
            halves,
            last: Last::NONE,
            replied: false,
            assured: false,
            simultaneous_open: false,
        };
        // The first segment always fits; the check takes what it grants the other side.
        connection.check(Side::Client, segment, None);
        connection.accept(now, Side::Client, segment.kind, None, state, deadline);
        connection
    }

    /// Whether the handshake is over, and nothing has closed.
    #[inline(always)]
    pub(crate) fn is_settled(&self) -> bool {
        (self.state == State::Established) & self.assured
    }

    /// Takes an acknowledgment or data that an established connection expects: both sides were
    /// seen, and it lies in the windows. False, with nothing changed, for any other segment.
    /// [`push`](Self::push) does the same for those taken here.
    #[inline(always)]
    pub(crate) fn follow(
        &mut self,
        now: Timestamp,
        side: Side,
        segment: &Segment,
        deadline: &mut Timestamp,
    ) -> bool {
        if !self.is_settled() || segment.kind != Kind::Ack {
            return false;
        }
        let [client, server] = &mut self.halves;
        let (sender, receiver) = match side {
            Side::Client => (client, server),
            Side::Server => (server, client),
        };
        if !half::follow(sender, receiver, segment) {
            return false;
        }
        self.last.count_repeats(side, segment);
        self.last.kind = Some(Kind::Ack);
        *deadline = Timestamp::from_nanos(now.nanos().saturating_add(self.nanos_established()));
        true
    }

    /// Takes a segment of `side`. `strict` refuses what kernels up to 6.0 refused: segments and
    /// acknowledgments below the window, and slight overshoots.
    pub(crate) fn push(
        &mut self,
        now: Timestamp,
        side: Side,
        segment: &Segment,
        strict: bool,
        deadline: &mut Timestamp,
    ) -> Step {
        let step = self.judge(now, side, segment, strict, deadline);
        if side == Side::Server && matches!(step, Step::Accepted | Step::Passed(_)) {
            self.replied = true;
        }
        step
    }

    fn judge(
        &mut self,
        now: Timestamp,
        side: Side,
        segment: &Segment,
        strict: bool,
        deadline: &mut Timestamp,
    ) -> Step {
        let mut old = self.state;
        let mut check_windows = true;
        let mut new = match transition(side == Side::Client, segment.kind, old) {
            Transition::Invalid => return Step::Refused(Reason::InvalidTransition),
            Transition::Ignore if self.answers_ignored_syn(side, segment) => {
                self.resynchronise(side);
                old = State::SynSent;
                State::SynRecv
            }
            Transition::Ignore => return self.ignore(side, segment),
            Transition::To(new) => new,
        };
        match new {
            State::SynSent if matches!(old, State::TimeWait | State::Close) => {
                return if self.may_be_reopened_by(side) {
                    Step::Reopens
                } else {
                    self.ignore(side, segment)
                };
            }
            State::TimeWait if self.is_challenge_ack(side, segment) => {
                self.last.challenge = Challenge::None;
                return Step::Passed(Note::ChallengeAck);
            }
            State::SynSent2 => self.simultaneous_open = true,
            State::SynRecv if self.completes_simultaneous_open(side, segment) => {
                new = State::Established;
            }
            State::Close if segment.kind == Kind::Rst => match self.reset(side, segment) {
                Reset::Closes => check_windows = false,
                Reset::Check(state) => new = state,
                Reset::Refused => return Step::Refused(Reason::InvalidRst),
            },
            _ => {}
        }
        if check_windows {
            match self.check(side, segment, Some(old)) {
                Fit::Inside | Fit::Watched => {}
                Fit::Tolerated(note) => match note.refused_before_6_1() {
                    Some(reason) if strict => return Step::Refused(reason),
                    _ => return Step::Passed(note),
                },
                Fit::Outside(reason) => {
                    self.remember_stray_close(now, side, segment.kind, deadline);
                    return Step::Refused(reason);
                }
            }
        }
        self.accept(now, side, segment.kind, Some(old), new, deadline)
    }

    fn check(&mut self, side: Side, segment: &Segment, old: Option<State>) -> Fit {
        let [client, server] = &mut self.halves;
        let (sender, receiver) = match side {
            Side::Client => (client, server),
            Side::Server => (server, client),
        };
        let fit = half::check(sender, receiver, segment, old, side == Side::Client);
        if fit == Fit::Inside && segment.kind == Kind::Ack {
            self.last.count_repeats(side, segment);
        }
        fit
    }

    /// Commits an accepted segment: state, timeout, assurance.
    fn accept(
        &mut self,
        now: Timestamp,
        side: Side,
        kind: Kind,
        old: Option<State>,
        new: State,
        deadline: &mut Timestamp,
    ) -> Step {
        self.last.kind = Some(kind);
        self.last.side = side;
        self.state = new;
        if old != Some(new) && new == State::FinWait {
            self.half_mut(side).note(Facts::CLOSED_FIRST);
        }

        if !self.replied {
            if kind == Kind::Rst {
                return Step::Ended;
            }
            if kind == Kind::Syn && old == Some(State::SynSent) {
                // A retransmitted SYN does not renew the time it has for an answer.
                return Step::Accepted;
            }
        } else if matches!(old, Some(State::SynRecv | State::Established))
            && new == State::Established
        {
            self.assured = true;
        }
        *deadline = now + self.timeout(kind, new);
        Step::Accepted
    }

    fn timeout(&self, kind: Kind, new: State) -> Duration {
        let of_state = match new {
            State::Established if !self.replied => limits::UNACKNOWLEDGED,
            _ => limits::timeout(new),
        };
        if self.last.repeated >= limits::MAX_RETRANSMISSIONS {
            of_state.min(limits::RETRANSMITTING)
        } else if kind == Kind::Rst {
            limits::timeout(State::Close)
        } else if self.is_unacknowledged() {
            of_state.min(limits::UNACKNOWLEDGED)
        } else if self.last.window == 0 {
            of_state.min(limits::RETRANSMITTING)
        } else {
            of_state
        }
    }

    /// [`timeout`](Self::timeout) of an established connection that goes on, in nanoseconds: looked
    /// up, as none of what it depends on can be foreseen.
    #[inline(always)]
    fn nanos_established(&self) -> u64 {
        const LONG: u64 = limits::nanos(limits::timeout(State::Established));
        const SHORT: u64 = limits::nanos(limits::UNACKNOWLEDGED);
        // Whatever shortens it, it is as short.
        const _: () = assert!(SHORT == limits::nanos(limits::RETRANSMITTING));

        let is_short = (self.last.repeated >= limits::MAX_RETRANSMISSIONS)
            | (self.last.window == 0)
            | self.is_unacknowledged();
        *[LONG, SHORT].get(usize::from(is_short)).unwrap_or(&SHORT)
    }

    /// When a segment was last accepted, if it is to be forgotten at `deadline`.
    pub(crate) fn heard(&self, deadline: Timestamp) -> Timestamp {
        let timeout = self.timeout(self.last.kind.unwrap_or(Kind::Ack), self.state);
        let nanos = u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX);
        Timestamp::from_nanos(deadline.nanos().saturating_sub(nanos))
    }

    fn is_unacknowledged(&self) -> bool {
        let [client, server] = &self.halves;
        client.is(Facts::UNACKNOWLEDGED) | server.is(Facts::UNACKNOWLEDGED)
    }

    /// Passes a segment that may belong to a connection this observer does not know yet, and
    /// remembers it: the answer will tell.
    fn ignore(&mut self, side: Side, segment: &Segment) -> Step {
        self.last.kind = Some(segment.kind);
        self.last.side = side;
        self.last.seq = segment.seq;
        self.last.end = segment.end;
        self.last.window = segment.window;
        if segment.kind == Kind::Syn && side == Side::Client {
            self.last.scale_plus_1 = segment.scale.and_then(|scale| NonZero::new(scale + 1));
            self.last.sack_permitted = segment.sack_permitted;
            let expected = self.state == State::LastAck;
            self.last.challenge = if expected { Challenge::Expected } else { Challenge::None };
        }
        if segment.kind == Kind::Ack && side == Side::Server && self.state == State::SynSent {
            self.last.challenge = Challenge::Received;
            self.last.ack = segment.ack;
        }
        Step::Passed(Note::Ignored)
    }

    /// A SYN-ACK for the SYN that was ignored just before: both ends have restarted.
    fn answers_ignored_syn(&self, side: Side, segment: &Segment) -> bool {
        segment.kind == Kind::SynAck
            && self.last.kind == Some(Kind::Syn)
            && self.last.side != side
            && segment.ack == self.last.end
    }

    fn resynchronise(&mut self, answering: Side) {
        let last = self.last;
        *self.half_mut(last.side) =
            Half::remembered(last.end, last.window, last.scale(), last.sack_permitted);
        self.half_mut(answering).forget();
        self.last.challenge = Challenge::None;
    }

    /// A SYN of a closed connection opens it again if the close was seen to come from a FIN, or
    /// if the side that reset it now asks again. After a reset by the other side it may as well
    /// be a stray.
    fn may_be_reopened_by(&self, side: Side) -> bool {
        self.halves.iter().any(|half| half.is(Facts::CLOSED_FIRST))
            || (self.last.side == side && self.last.kind == Some(Kind::Rst))
    }

    /// An ACK in LAST_ACK right after a stray SYN of the peer answers that SYN, not the FIN.
    fn is_challenge_ack(&self, side: Side, segment: &Segment) -> bool {
        self.state == State::LastAck
            && segment.kind == Kind::Ack
            && self.last.side != side
            && self.last.kind == Some(Kind::Syn)
            && self.last.challenge == Challenge::Expected
    }

    fn completes_simultaneous_open(&self, side: Side, segment: &Segment) -> bool {
        side == Side::Server && segment.kind == Kind::Ack && self.simultaneous_open
    }

    /// FINs or resets of both sides outside the windows: the connection is probably over although
    /// its end cannot be followed, so it is not kept for days.
    fn remember_stray_close(
        &mut self,
        now: Timestamp,
        side: Side,
        kind: Kind,
        deadline: &mut Timestamp,
    ) {
        let closes = |kind| matches!(kind, Kind::Fin | Kind::Rst);
        if !self.assured || !closes(kind) {
            return;
        }
        if self.last.side != side && self.last.kind.is_some_and(closes) {
            *deadline = (*deadline).min(now + limits::UNACKNOWLEDGED);
        } else {
            self.last.kind = Some(kind);
            self.last.side = side;
        }
    }

    /// Takes the numbers of both sides anew from the segments that follow: the connection went on
    /// while nothing of it was seen.
    pub(crate) fn resume(&mut self) {
        for half in &mut self.halves {
            half.forget_numbers();
        }
        self.last = Last::NONE;
        if matches!(self.state, State::SynSent | State::SynRecv | State::SynSent2) {
            self.state = State::Established;
        }
    }

    pub(crate) fn half(&self, side: Side) -> &Half {
        let [client, server] = &self.halves;
        match side {
            Side::Client => client,
            Side::Server => server,
        }
    }

    fn half_mut(&mut self, side: Side) -> &mut Half {
        let [client, server] = &mut self.halves;
        match side {
            Side::Client => client,
            Side::Server => server,
        }
    }
}
