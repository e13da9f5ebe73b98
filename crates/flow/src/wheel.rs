//! When flows are looked at again: a lazy timing wheel.
//!
//! Each flow hangs in the slot of one second, at or before its deadline. A packet that moves the
//! deadline out leaves the flow where it is; when the slot comes round, a flow that is not due is
//! hung up again. Only a deadline that moves in costs a step at once. Deadlines themselves are
//! exact: look-ups compare them, the wheel just reclaims.

use std::time::Duration;

use vtap_packet::Timestamp;

/// Slots, one a second: about 17 minutes. Longer deadlines are looked at once a round at least.
const SLOTS: u32 = 1024;

/// The furthest ahead that a flow can be hung up, in seconds.
const ROUND: u32 = SLOTS - 2;

/// Packets in a row after which a time that runs back is believed.
const PATIENCE: u32 = 1000;

const NIL: u32 = u32::MAX;

/// In nanoseconds.
const SECOND: u64 = 1_000_000_000;

/// A flow's place in the wheel.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Links {
    previous: u32,
    next: u32,
}

impl Links {
    pub(crate) const UNLINKED: Self = Self { previous: NIL, next: NIL };
}

/// First and last of the flows of a second.
#[derive(Clone, Copy, Debug)]
struct Slot {
    first: u32,
    last: u32,
}

impl Slot {
    const EMPTY: Self = Self { first: NIL, last: NIL };
}

/// Where the wheel finds the links of the flow at a position.
pub(crate) trait Linked {
    fn links(&mut self, at: u32) -> Option<&mut Links>;

    /// Second in which it is looked at.
    fn second(&mut self, at: u32) -> Option<&mut u32>;
}

#[derive(Debug)]
pub(crate) struct Wheel {
    /// The flows of each second, in the order they were hung up.
    slots: Vec<Slot>,
    /// The second that was looked at last; `None` before the first packet.
    looked_at: Option<u32>,
    /// First of the flows taken down and not yet popped.
    taken: u32,
    /// The beginning of the second in which there is nothing more to do.
    rests_from: Option<Timestamp>,
    /// Packets in a row that were earlier than the second looked at last.
    behind: u32,
    /// How many seconds ahead a flow is hung up at most.
    furthest: u32,
}

impl Wheel {
    /// That hangs up nothing further ahead than this, nor than a [`ROUND`]: a deadline that moves in,
    /// and stays behind that, costs nothing.
    pub(crate) fn new(furthest: Duration) -> Self {
        Self {
            slots: vec![Slot::EMPTY; SLOTS as usize],
            looked_at: None,
            taken: NIL,
            rests_from: None,
            behind: 0,
            furthest: u32::try_from(furthest.as_secs()).unwrap_or(ROUND).min(ROUND),
        }
    }

    /// Hangs up a flow that hangs nowhere.
    pub(crate) fn hang(
        &mut self,
        flows: &mut impl Linked,
        at: u32,
        now: Timestamp,
        deadline: Timestamp,
    ) {
        let second = self.second_for(now, deadline);
        let Some(slot) = self.slots.get_mut(slot(second)) else { return };
        let previous = std::mem::replace(&mut slot.last, at);
        if let Some(links) = flows.links(at) {
            *links = Links { previous, next: NIL };
        }
        if let Some(place) = flows.second(at) {
            *place = second;
        }
        match flows.links(previous) {
            Some(links) => links.next = at,
            None => slot.first = at,
        }
    }

    /// Takes note of a deadline that may have moved in.
    pub(crate) fn moved(
        &mut self,
        flows: &mut impl Linked,
        at: u32,
        now: Timestamp,
        deadline: Timestamp,
    ) {
        let Some(&mut second) = flows.second(at) else { return };
        // Nearly always it is looked at in time, which needs no exact answer.
        if seconds(deadline) < second && self.second_for(now, deadline) < second {
            self.unhang(flows, at);
            self.hang(flows, at, now, deadline);
        }
    }

    pub(crate) fn unhang(&mut self, flows: &mut impl Linked, at: u32) {
        let Some(&mut second) = flows.second(at) else { return };
        let Some(&mut Links { previous, next }) = flows.links(at) else { return };
        let Some(slot) = self.slots.get_mut(slot(second)) else { return };
        match flows.links(previous) {
            Some(links) => links.next = next,
            None => slot.first = next,
        }
        match flows.links(next) {
            Some(links) => links.previous = previous,
            None => slot.last = previous,
        }
    }

    /// Whether the wheel stands at the second of `now`, so that nothing is due.
    #[inline]
    pub(crate) fn rests(&self, now: Timestamp) -> bool {
        let rests = |from: Timestamp| now.nanos().wrapping_sub(from.nanos()) < SECOND;
        self.rests_from.is_some_and(rests)
    }

    /// Goes on to the next second up to `now` that was not looked at and takes its flows down, for
    /// [`pop`](Self::pop); false when there is none. After a jump of more than a round, one round
    /// is made, so that every slot is looked at once.
    pub(crate) fn turn(&mut self, now: Timestamp) -> bool {
        let (begins, now) = (Timestamp::new(now.secs(), 0), seconds(now));
        let last = *self.looked_at.get_or_insert(now);
        if now <= last {
            // Where time runs back, the wheel stands still, unless it stays back: then the later
            // time was a mistake. Following at once would let a clock that jumps to and fro have
            // every flow looked at with every packet.
            self.behind += 1;
            if now == last || self.behind >= PATIENCE {
                self.looked_at = Some(now);
                self.behind = 0;
                self.rests_from = Some(begins);
            }
            return false;
        }
        self.behind = 0;
        let round = now.saturating_sub(SLOTS - 1);
        let second = (last + 1).max(round);
        self.looked_at = Some(second);
        if let Some(slot) = self.slots.get_mut(slot(second)) {
            self.taken = std::mem::replace(slot, Slot::EMPTY).first;
        }
        // Not before all that was taken down is popped.
        self.rests_from = None;
        true
    }

    /// The next of the flows taken down. It hangs nowhere; hang it up again or forget it.
    pub(crate) fn pop(&mut self, flows: &mut impl Linked) -> Option<u32> {
        let at = self.taken;
        let links = flows.links(at)?;
        self.taken = links.next;
        *links = Links::UNLINKED;
        Some(at)
    }

    /// What [`pop`](Self::pop) gives next, if it is known.
    pub(crate) fn follows(&self) -> Option<u32> {
        (self.taken != NIL).then_some(self.taken)
    }

    fn second_for(&self, now: Timestamp, deadline: Timestamp) -> u32 {
        let soonest = self.looked_at.unwrap_or(0).max(seconds(now)).saturating_add(1);
        let latest = soonest.saturating_add(self.furthest);
        seconds(deadline).saturating_add(1).clamp(soonest, latest)
    }
}

/// Seconds since the epoch; enough until 2106, and a later time only stops the wheel.
#[inline]
pub(crate) fn seconds(time: Timestamp) -> u32 {
    u32::try_from(time.secs()).unwrap_or(u32::MAX - 1)
}

/// The beginning of a second.
#[inline]
pub(crate) const fn start(second: u32) -> Timestamp {
    Timestamp::from_nanos(second as u64 * SECOND)
}

fn slot(second: u32) -> usize {
    (second % SLOTS) as usize
}
