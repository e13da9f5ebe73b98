//! One direction of a connection, and the window check between two.
//!
//! The check is the kernel's, after Rooij, "Real stateful TCP packet filtering in IP Filter"
//! (2001): a segment must begin at or before what its receiver allowed, reach into what it could
//! still accept, and acknowledge what was sent, within a window of now. All numbers are modulo
//! 2^32.

use vtap_packet::Seq;

use crate::limits;
use crate::reason::Reason;
use crate::segment::Segment;
use crate::state::{Kind, State};
use crate::verdict::Note;

/// What one side has sent and been granted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Half {
    /// Just behind the highest byte this side has sent.
    pub(crate) end: Seq,
    /// Just behind the highest byte the peer has ever allowed it to send.
    pub(crate) max_end: Seq,
    /// Largest window this side has advertised, scaled; 0 as long as nothing of it was seen.
    pub(crate) max_window: u32,
    /// Highest number this side has acknowledged, if it has [`ACKED`](Facts::ACKED) any.
    max_ack: Seq,
    /// Shift of the windows it advertises.
    pub(crate) scale: u8,
    facts: Facts,
}

/// What is known of a side, a bit each: two sides fit into a cache line with what else a packet
/// needs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Facts(u8);

impl Facts {
    /// It has acknowledged something.
    const ACKED: Self = Self(1);
    /// Its SYN had a window scale option.
    const OFFERED_SCALE: Self = Self(1 << 1);
    const SACK_PERMITTED: Self = Self(1 << 2);
    /// Its FIN was the first of the connection.
    pub(crate) const CLOSED_FIRST: Self = Self(1 << 3);
    /// Its scale is unknown (picked up in mid-stream, or the capture cut the options off), so the
    /// check only watches.
    const LIBERAL: Self = Self(1 << 4);
    /// It has sent data that the peer has not acknowledged up to the end.
    pub(crate) const UNACKNOWLEDGED: Self = Self(1 << 5);

    const fn when(self, holds: bool) -> Self {
        if holds { self } else { Self(0) }
    }

    const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    const fn only(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

/// How a segment lies in the windows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fit {
    Inside,
    /// Not where it should be, in a flow whose window scale is unknown: accepted, and the windows
    /// stay.
    Watched,
    /// Not where it should be, yet harmless: passed without moving the state.
    Tolerated(Note),
    Outside(Reason),
}

impl Half {
    /// The sender of an opening SYN.
    pub(crate) fn opening(syn: &Segment) -> Self {
        Self::remembered(syn.end, syn.window, syn.scale, syn.sack_permitted)
    }

    /// The sender of a SYN of which only these facts were kept.
    pub(crate) fn remembered(
        end: Seq,
        window: u16,
        scale: Option<u8>,
        sack_permitted: bool,
    ) -> Self {
        Self {
            end,
            max_end: end,
            max_window: u32::from(window).max(1),
            scale: scale.unwrap_or(0),
            facts: Facts::OFFERED_SCALE
                .when(scale.is_some())
                .and(Facts::SACK_PERMITTED.when(sack_permitted)),
            ..Self::default()
        }
    }

    /// The sender of a segment in mid-stream.
    pub(crate) fn picked_up(segment: &Segment) -> Self {
        let max_window = u32::from(segment.window).max(1);
        Self {
            end: segment.end,
            max_end: segment.end + max_window,
            max_window,
            ..Self::unseen_of_picked_up()
        }
    }

    /// Its peer, of which nothing was seen yet.
    pub(crate) fn unseen_of_picked_up() -> Self {
        Self { facts: Facts::SACK_PERMITTED.and(Facts::LIBERAL), ..Self::default() }
    }

    /// Forgets its numbers, and only watches from now on: it went on while nothing was seen.
    pub(crate) fn forget_numbers(&mut self) {
        let known = Facts::OFFERED_SCALE.and(Facts::SACK_PERMITTED).and(Facts::CLOSED_FIRST);
        let facts = self.facts.only(known).and(Facts::LIBERAL);
        *self = Self { scale: self.scale, facts, ..Self::default() };
    }

    /// Forgets all but that its scale is unknown.
    pub(crate) fn forget(&mut self) {
        *self = Self { facts: self.facts.only(Facts::LIBERAL), ..Self::default() };
    }

    /// Highest number this side has acknowledged.
    pub(crate) fn max_ack(&self) -> Option<Seq> {
        self.is(Facts::ACKED).then_some(self.max_ack)
    }

    /// Whether a fact holds.
    #[inline]
    pub(crate) const fn is(&self, fact: Facts) -> bool {
        self.facts.0 & fact.0 != 0
    }

    #[inline]
    pub(crate) const fn note(&mut self, fact: Facts) {
        self.facts.0 |= fact.0;
    }

    pub(crate) const fn is_unseen(&self) -> bool {
        self.max_window == 0
    }

    /// Starts over from a SYN or SYN-ACK; one without any option leaves what earlier ones said, as
    /// the kernel has it. Scaling is in force only if both sides offered it (RFC
    /// 7323 section 1.3), which the second SYN decides.
    fn restart(&mut self, peer: &mut Self, segment: &Segment, from_client: bool) {
        self.end = segment.end;
        self.max_end = segment.end;
        self.max_window = u32::from(segment.window).max(1);
        if segment.has_options {
            let opening = Self::opening(segment);
            *self = Self { facts: opening.facts.and(self.facts.only(Facts::LIBERAL)), ..opening };
        }
        let in_force = self.is(Facts::OFFERED_SCALE) && peer.is(Facts::OFFERED_SCALE);
        if !from_client && !in_force {
            self.scale = 0;
            peer.scale = 0;
        }
    }

    /// Takes the numbers of a half that was not seen opening from the first segment it sends.
    fn adopt(&mut self, peer: &mut Self, segment: &Segment, sack: Seq) {
        self.end = segment.end;
        self.max_window = (u32::from(segment.window) << self.scale).max(1);
        self.max_end = self.end + self.max_window;
        if peer.is_unseen() {
            peer.end = sack;
            peer.max_end = sack;
        } else if sack == peer.end + 1 {
            // The answer to a keep-alive, whose one byte was never sent as data.
            peer.end = sack;
        }
    }
}

/// Checks a segment against both windows and, where it fits, moves them.
///
/// `state` is the state before the segment.
pub(crate) fn check(
    sender: &mut Half,
    receiver: &mut Half,
    segment: &Segment,
    state: Option<State>,
    from_client: bool,
) -> Fit {
    let (mut seq, mut end) = (segment.seq, segment.end);
    let mut ack = segment.ack;
    let mut sack = if receiver.is(Facts::SACK_PERMITTED) { segment.sack } else { segment.ack };

    if sender.is_unseen() {
        if segment.is_syn() {
            sender.restart(receiver, segment, from_client);
            if !segment.has_ack() {
                // The second SYN of a simultaneous open has nothing to compare with.
                return Fit::Inside;
            }
        } else {
            sender.adopt(receiver, segment, sack);
        }
    } else if segment.is_syn()
        && end.after(sender.end)
        && matches!(state, Some(State::SynSent | State::SynRecv))
    {
        // A SYN again with a higher number: that side has given up its first attempt.
        sender.restart(receiver, segment, from_client);
        if !from_client && !segment.has_ack() {
            return Fit::Inside;
        }
    }

    let empty_ack_of_reset = segment.kind == Kind::Rst && segment.ack == Seq(0);
    if !segment.has_ack() || empty_ack_of_reset {
        ack = receiver.end;
        sack = receiver.end;
    }
    if segment.kind == Kind::Rst && seq == Seq(0) && state == Some(State::SynSent) {
        // A refusal of the SYN carries no number of its own.
        seq = sender.end;
        end = sender.end;
    }

    if segment.is_syn() && segment.options_cut {
        // Whether windows are scaled can no longer be known.
        sender.note(Facts::LIBERAL);
        receiver.note(Facts::LIBERAL);
    }
    let fit = place(sender, receiver, seq, end, sack);
    if fit != Fit::Inside {
        if fit == Fit::Tolerated(Note::Overshoot) {
            // So that the acknowledgment of these bytes is not "above what was sent".
            sender.end = end;
            sender.note(Facts::UNACKNOWLEDGED);
        }
        return if sender.is(Facts::LIBERAL) { Fit::Watched } else { fit };
    }
    slide(sender, receiver, segment, end, ack, sack);
    Fit::Inside
}

/// [`check`] for an acknowledgment or data between two sides that were both seen: whether it lies
/// inside. Where it does not, nothing is changed.
#[inline(always)]
pub(crate) fn follow(sender: &mut Half, receiver: &mut Half, segment: &Segment) -> bool {
    let sack = if receiver.is(Facts::SACK_PERMITTED) { segment.sack } else { segment.ack };
    let inside = !sender.is_unseen()
        && !receiver.is_unseen()
        && place(sender, receiver, segment.seq, segment.end, sack) == Fit::Inside;
    if inside {
        slide(sender, receiver, segment, segment.end, segment.ack, sack);
    }
    inside
}

/// Where a segment lies; changes nothing.
#[inline(always)]
fn place(sender: &Half, receiver: &Half, seq: Seq, end: Seq, sack: Seq) -> Fit {
    let ack_floor = receiver.end - limits::MAX_ACK_WINDOW.max(sender.max_window) - 1;
    let reaches_window = end.after(sender.end - receiver.max_window - 1);
    let acks_sent_data = sack.before(receiver.end + 1);
    let acks_recently = sack.after(ack_floor);

    if !seq.before(sender.max_end + 1) {
        let overshoot = (end - sender.max_end).wrapping_add(1);
        let slight = !receiver.is_unseen() && overshoot <= receiver.max_window;
        return if slight && reaches_window && acks_sent_data && acks_recently {
            Fit::Tolerated(Note::Overshoot)
        } else {
            Fit::Outside(Reason::SeqAboveWindow)
        };
    }
    if !acks_sent_data {
        return Fit::Outside(Reason::AckAboveSent);
    }
    if !receiver.is_unseen() && !reaches_window {
        return Fit::Tolerated(Note::SeqBelowWindow);
    }
    if !acks_recently {
        return Fit::Tolerated(Note::AckBelowWindow);
    }
    Fit::Inside
}

/// Moves both windows over a segment that fits. Few of these questions have a usual answer, so
/// there are more sums here than branches.
#[inline(always)]
fn slide(sender: &mut Half, receiver: &mut Half, segment: &Segment, end: Seq, ack: Seq, sack: Seq) {
    // The window of a SYN is never scaled (RFC 7323 section 2.2).
    let shift = if segment.is_syn() { 0 } else { sender.scale };
    let window = u32::from(segment.window) << shift;

    sender.max_window = sender.max_window.max(window.wrapping_add(sack - ack));
    sender.facts = sender.facts.and(Facts::UNACKNOWLEDGED.when(end.after(sender.end)));
    sender.end = sender.end.max(end);
    if segment.has_ack() {
        sender.max_ack = sender.max_ack().map_or(ack, |max| max.max(ack));
        sender.note(Facts::ACKED);
    }

    if !receiver.is_unseen() && end.after(sender.max_end) {
        receiver.max_window = receiver.max_window.wrapping_add(end - sender.max_end);
    }
    // A closed window still lets a probe of one byte through (RFC 9293 section 3.8.6.1).
    let granted = sack + window + u32::from(window == 0);
    receiver.max_end = receiver.max_end.max(granted);
    receiver.facts = receiver.facts.without(Facts::UNACKNOWLEDGED.when(ack == receiver.end));
}
