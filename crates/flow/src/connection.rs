//! One TCP connection as conntrack knows it: the transition table, and the cases around it that
//! a table of states cannot see.
//!
//! The order is the kernel's: what the table says, then the special case of that answer, then
//! the window check, then the new state and its timeout. Each special case is a method named
//! after what is on the wire.

use std::time::Duration;

use vtap_packet::{Seq, Timestamp};

use crate::event::Side;
use crate::half::{self, Fit, Half};
use crate::limits;
use crate::reason::Reason;
use crate::reset::Reset;
use crate::segment::Segment;
use crate::state::{Kind, State, Transition, transition};
use crate::verdict::Note;

/// State of one connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Connection {
    pub(crate) state: State,
    /// By [`Side`].
    pub(crate) halves: [Half; 2],
    pub(crate) last: Last,
    /// When it is forgotten unless something is accepted before.
    pub(crate) deadline: Timestamp,
    /// Something of the server was accepted.
    pub(crate) replied: bool,
    /// The handshake is complete and was used; such a flow is not evicted.
    pub(crate) assured: bool,
    /// Both sides sent a SYN: an ACK of the server completes the handshake as well.
    simultaneous_open: bool,
}

/// The last segment that was accepted or ignored, as far as later rules refer to it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Last {
    pub(crate) kind: Option<Kind>,
    pub(crate) side: Side,
    /// Numbers of the last ACK that was accepted, or of the last segment that was ignored.
    seq: Seq,
    pub(crate) ack: Seq,
    pub(crate) end: Seq,
    window: u16,
    /// Identical ACKs in a row.
    repeated: u8,
    /// Options of an ignored SYN.
    scale: Option<u8>,
    sack_permitted: bool,
    /// A SYN was ignored in LAST_ACK, so the answer may be a challenge ACK (RFC 5961 section 4).
    challenge_expected: bool,
    /// Instead of the SYN, the server acknowledged `ack`: an old connection of its own.
    pub(crate) challenged: bool,
}

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
    /// Of a SYN.
    pub(crate) fn open(now: Timestamp, syn: &Segment) -> Self {
        let halves = [Half::opening(syn), Half::default()];
        Self::begin(now, syn, halves, State::SynSent)
    }

    /// Of a segment in mid-stream; its sender counts as the client.
    pub(crate) fn pick_up(now: Timestamp, segment: &Segment) -> Self {
        let halves = [Half::picked_up(segment), Half::unseen_of_picked_up()];
        Self::begin(now, segment, halves, State::Established)
    }

    fn begin(now: Timestamp, segment: &Segment, halves: [Half; 2], state: State) -> Self {
        let mut connection = Self {
            state,
            halves,
            last: Last::NONE,
            deadline: now,
            replied: false,
            assured: false,
            simultaneous_open: false,
        };
        // The first segment always fits; the check takes what it grants the other side.
        connection.check(Side::Client, segment, None);
        connection.accept(now, Side::Client, segment.kind, None, state);
        connection
    }

    /// Takes a segment of `side`. `strict` refuses what kernels up to 6.0 refused: segments and
    /// acknowledgments below the window, and slight overshoots.
    pub(crate) fn push(
        &mut self,
        now: Timestamp,
        side: Side,
        segment: &Segment,
        strict: bool,
    ) -> Step {
        let step = self.judge(now, side, segment, strict);
        if side == Side::Server && matches!(step, Step::Accepted | Step::Passed(_)) {
            self.replied = true;
        }
        step
    }

    fn judge(&mut self, now: Timestamp, side: Side, segment: &Segment, strict: bool) -> Step {
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
                self.last.challenge_expected = false;
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
                    self.remember_stray_close(now, side, segment.kind);
                    return Step::Refused(reason);
                }
            }
        }
        self.accept(now, side, segment.kind, Some(old), new)
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
    ) -> Step {
        self.last.kind = Some(kind);
        self.last.side = side;
        self.state = new;
        if old != Some(new) && new == State::FinWait {
            self.half_mut(side).closed_first = true;
        }

        let mut timeout = self.timeout(kind, new);
        if !self.replied {
            if kind == Kind::Rst {
                return Step::Ended;
            }
            if kind == Kind::Syn && old == Some(State::SynSent) {
                // A retransmitted SYN does not renew the time it has for an answer.
                return Step::Accepted;
            }
            if new == State::Established {
                timeout = timeout.min(limits::UNACKNOWLEDGED);
            }
        } else if matches!(old, Some(State::SynRecv | State::Established))
            && new == State::Established
        {
            self.assured = true;
        }
        self.deadline = now + timeout;
        Step::Accepted
    }

    fn timeout(&self, kind: Kind, new: State) -> Duration {
        let of_state = limits::timeout(new);
        if self.last.repeated >= limits::MAX_RETRANSMISSIONS {
            of_state.min(limits::RETRANSMITTING)
        } else if kind == Kind::Rst {
            limits::timeout(State::Close)
        } else if self.halves.iter().any(|half| half.unacknowledged) {
            of_state.min(limits::UNACKNOWLEDGED)
        } else if self.last.window == 0 {
            of_state.min(limits::RETRANSMITTING)
        } else {
            of_state
        }
    }

    /// Passes a segment that may belong to a connection this observer does not know yet, and
    /// remembers it: the answer will tell.
    fn ignore(&mut self, side: Side, segment: &Segment) -> Step {
        self.last.kind = Some(segment.kind);
        self.last.side = side;
        self.last.seq = segment.seq;
        self.last.end = segment.end();
        self.last.window = segment.window;
        if segment.kind == Kind::Syn && side == Side::Client {
            self.last.scale = segment.scale;
            self.last.sack_permitted = segment.sack_permitted;
            self.last.challenge_expected = self.state == State::LastAck;
        }
        if segment.kind == Kind::Ack && side == Side::Server && self.state == State::SynSent {
            self.last.challenged = true;
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
            Half::remembered(last.end, last.window, last.scale, last.sack_permitted);
        self.half_mut(answering).forget();
        self.last.challenge_expected = false;
    }

    /// A SYN of a closed connection opens it again if the close was seen to come from a FIN, or
    /// if the side that reset it now asks again. After a reset by the other side it may as well
    /// be a stray.
    fn may_be_reopened_by(&self, side: Side) -> bool {
        self.halves.iter().any(|half| half.closed_first)
            || (self.last.side == side && self.last.kind == Some(Kind::Rst))
    }

    /// An ACK in LAST_ACK right after a stray SYN of the peer answers that SYN, not the FIN.
    fn is_challenge_ack(&self, side: Side, segment: &Segment) -> bool {
        self.state == State::LastAck
            && segment.kind == Kind::Ack
            && self.last.side != side
            && self.last.kind == Some(Kind::Syn)
            && self.last.challenge_expected
    }

    fn completes_simultaneous_open(&self, side: Side, segment: &Segment) -> bool {
        side == Side::Server && segment.kind == Kind::Ack && self.simultaneous_open
    }

    /// FINs or resets of both sides outside the windows: the connection is probably over although
    /// its end cannot be followed, so it is not kept for days.
    fn remember_stray_close(&mut self, now: Timestamp, side: Side, kind: Kind) {
        let closes = |kind| matches!(kind, Kind::Fin | Kind::Rst);
        if !self.assured || !closes(kind) {
            return;
        }
        if self.last.side != side && self.last.kind.is_some_and(closes) {
            self.deadline = self.deadline.min(now + limits::UNACKNOWLEDGED);
        } else {
            self.last.kind = Some(kind);
            self.last.side = side;
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

impl Last {
    const NONE: Self = Self {
        kind: None,
        side: Side::Client,
        seq: Seq(0),
        ack: Seq(0),
        end: Seq(0),
        window: 0,
        repeated: 0,
        scale: None,
        sack_permitted: false,
        challenge_expected: false,
        challenged: false,
    };

    fn count_repeats(&mut self, side: Side, segment: &Segment) {
        let (seq, ack, end, window) = (segment.seq, segment.ack, segment.end(), segment.window);
        if self.side == side
            && (self.seq, self.ack, self.end, self.window) == (seq, ack, end, window)
        {
            self.repeated = self.repeated.saturating_add(1);
        } else {
            self.side = side;
            (self.seq, self.ack, self.end, self.window) = (seq, ack, end, window);
            self.repeated = 0;
        }
    }
}
