//! Accounts of flows, one for each place of the [table](crate::table), and what is told of them.
//!
//! A flow of the table may outlast its record: conntrack remembers a closed connection for
//! minutes, an idle one for days. What comes after the record was told begins another.

mod tell;

use std::slice;
use std::time::Duration;

use prefetch_index::prefetch_index;
use vtap_packet::{Mac, Timestamp};

use crate::account::{Account, Counted, MANY_BYTES};
use crate::batch::Occasion;
use crate::cold::Cold;
use crate::config::{Config, Copies as Limits};
use crate::copies::Copies;
use crate::details::{Details, Macs};
use crate::flow::Flow;
use crate::key::End;
use crate::letters::Letters;
use crate::limits;
use crate::memory;
use crate::read::Observed;
use crate::record::{Ending, Phase, Traffic};
use crate::segment::Segment;
use crate::sight::TapId;
use crate::sink::Sink;
use crate::stats::Recorded;
use crate::taps::Taps;
use crate::wheel::{Linked, Links, Wheel};

#[derive(Debug)]
pub(crate) struct Accounts {
    places: Places,
    wheel: Wheel,
    /// From [`end_all`](Self::end_all) on, all that are left are ended.
    is_ending: bool,
    pub(crate) recorded: Recorded,
    /// Packet time at which something was told last.
    latest: Timestamp,
    /// Of packets that were refused unseen: what is followed is no copy of them.
    pub(crate) corrupt: Copies,
}

#[derive(Debug)]
struct Places {
    accounts: Vec<Account>,
    /// As many, for the same places.
    details: Vec<Details>,
}

impl Places {
    fn entry(&mut self, at: u32) -> Option<(&mut Account, &mut Details)> {
        self.accounts.get_mut(at as usize).zip(self.details.get_mut(at as usize))
    }

    /// The account at a place, if there is one.
    fn open(&mut self, at: u32) -> Option<(&mut Account, &mut Details)> {
        self.entry(at).filter(|(account, _)| !account.is_empty())
    }
}

impl Linked for Places {
    fn links(&mut self, at: u32) -> Option<&mut Links> {
        self.details.get_mut(at as usize).map(|details| &mut details.links)
    }

    fn second(&mut self, at: u32) -> Option<&mut u32> {
        self.accounts.get_mut(at as usize).map(|account| &mut account.second)
    }
}

/// A packet, and where it was seen.
#[derive(Clone, Copy)]
pub(crate) struct Seen<'a> {
    pub(crate) occasion: &'a Occasion,
    pub(crate) macs: Option<[Mac; 2]>,
    pub(crate) tap: TapId,
    pub(crate) observed: &'a Observed,
    pub(crate) segment: Option<&'a Segment>,
}

impl Accounts {
    /// With addresses for all it may ever need, as the table has.
    pub(crate) fn new(config: &Config) -> Self {
        let Config { max_flows, copies, .. } = *config;
        let copies = Limits { packets: copies.packets.min(limits::REMEMBERED_CORRUPT), ..copies };
        Self {
            places: Places {
                accounts: memory::reserve(max_flows),
                details: memory::reserve(max_flows),
            },
            wheel: Wheel::new(Duration::MAX),
            is_ending: false,
            recorded: Recorded::default(),
            latest: Timestamp::EPOCH,
            corrupt: Copies::new(copies),
        }
    }

    /// Asks for what most packets of the flow at a place need.
    #[inline(always)]
    pub(crate) fn prefetch(&self, at: u32) {
        if let Some(account) = self.places.accounts.get(at as usize) {
            prefetch_index(slice::from_ref(account), 0);
        }
    }

    /// Asks for what few need beside that.
    #[inline(always)]
    pub(crate) fn prefetch_details(&self, at: u32) {
        if let Some(details) = self.places.details.get(at as usize) {
            details.prefetch();
        }
    }

    /// Asks for all that is [told](Self::tell) of the flow at a place, if there is one.
    pub(crate) fn prefetch_whole(&self, at: u32) {
        self.prefetch(at);
        if let Some(details) = self.places.details.get(at as usize) {
            details.prefetch_whole();
        }
    }

    /// Counts a segment that an established connection expects. False, with nothing changed, for
    /// those that [`follow_rarer`](Self::follow_rarer) takes.
    #[inline(always)]
    pub(crate) fn follow(
        &mut self,
        at: u32,
        now: Timestamp,
        observed: &Observed,
        segment: &Segment,
    ) -> bool {
        let account = self.places.accounts.get_mut(at as usize);
        let follows = account.is_some_and(|account| account.follow(now, observed, segment));
        self.recorded.packets += u64::from(follows);
        follows
    }

    /// Counts what [`follow`](Self::follow) leaves of those segments.
    #[inline(never)]
    pub(crate) fn follow_rarer(&mut self, at: u32, seen: Seen<'_>) {
        let is_new = self.open(at).is_none();
        self.count(at, seen, Letters::of(seen.observed));
        if is_new && let Some(details) = self.details(at) {
            // The connection has had a record before.
            details.midstream = true;
        }
    }

    /// Counts any packet of the flow at a place.
    #[inline(never)]
    pub(crate) fn count(&mut self, at: u32, seen: Seen<'_>, letters: Letters) {
        let Seen { occasion, observed, segment, .. } = seen;
        if self.open(at).is_none() {
            self.begin(at, occasion);
        }
        let Some((account, details)) = self.places.entry(at) else { return };
        self.recorded.packets += 1;
        let without_bytes;
        let observed = if observed.len.max(observed.payload) < MANY_BYTES {
            observed
        } else {
            // A header may say so.
            let Observed { from, len, payload, .. } = *observed;
            if let Some(total) = details.moved_mut().totals.get_mut(from as usize) {
                *total += Traffic { packets: 0, bytes: len.into(), payload: payload.into() };
            }
            without_bytes = Observed { len: 0, payload: 0, ..*observed };
            &without_bytes
        };
        let Counted { is_full, is_first, rest } =
            account.count(occasion.time, observed, letters, segment);
        if is_full {
            account.move_to(details.moved_mut());
        }
        if !rest.is_empty() {
            details.write(observed.from, rest);
        }
        if is_first
            && let Some(macs) = details.macs.get_mut(observed.from as usize)
            && macs.is_none()
        {
            *macs = seen.macs.map(|[dst, src]| Macs { dst, src, tap: seen.tap });
        }
    }

    /// Begins an account at a place that has none.
    #[inline(never)]
    fn begin(&mut self, at: u32, occasion: &Occasion) {
        let now = occasion.time;
        let Places { accounts, details } = &mut self.places;
        while accounts.len() <= at as usize {
            accounts.push(Account::NONE);
            details.push(Details::NONE);
        }
        let Some((account, details)) = self.places.entry(at) else { return };
        *account = Account::begin(now);
        details.begin(occasion);
        self.wheel.hang(&mut self.places, at, now, now + limits::BEGIN);
        self.recorded.flows += 1;
    }

    /// Takes note of what a packet says that was counted before, if its account is still there.
    pub(crate) fn say(&mut self, at: u32, from: End, letters: Letters, segment: Option<&Segment>) {
        if let Some((account, details)) = self.places.open(at) {
            details.write(from, account.say(from, letters, segment));
        }
    }

    /// The account at a place, if there is one.
    pub(crate) fn open(&mut self, at: u32) -> Option<&mut Account> {
        self.places.accounts.get_mut(at as usize).filter(|account| !account.is_empty())
    }

    /// What was noted of the flow at a place beside what is counted.
    pub(crate) fn details(&mut self, at: u32) -> Option<&mut Details> {
        self.places.details.get_mut(at as usize)
    }

    /// Counts fragments that were not judged, if the flow has an account.
    pub(crate) fn count_fragments(&mut self, at: u32, from: End, packets: u32, bytes: u64) {
        let moved = self.places.open(at).map(|(_, details)| details.moved_mut());
        if let Some(total) = moved.and_then(|moved| moved.totals.get_mut(from as usize)) {
            *total += Traffic { packets: packets.into(), bytes, payload: 0 };
            self.recorded.packets += u64::from(packets);
        }
    }

    /// Takes note that a side has ended its half, or reset the connection.
    pub(crate) fn close(&mut self, at: u32, letters: Letters, now: Timestamp) {
        let Some(account) = self.open(at) else { return };
        account.close(letters);
        if account.closed.is_some() {
            let over = account.over();
            self.wheel.moved(&mut self.places, at, now, over);
        }
    }

    /// Ends the account at a place, if it has one: of a flow that is over, or begins anew.
    /// `ending` is why, where the account itself does not tell.
    pub(crate) fn end<S: Sink>(
        &mut self,
        at: u32,
        now: Timestamp,
        ending: Option<Ending>,
        known: (&Flow, &Cold, &Taps),
        sink: &mut S,
    ) -> Result<(), S::Error> {
        let Some(account) = self.open(at) else { return Ok(()) };
        let ending = account.closed.or(ending).unwrap_or_else(|| account.silence());
        // Its neighbours in the wheel, which may be anywhere in memory, are not looked for at the end.
        if !self.is_ending {
            self.wheel.unhang(&mut self.places, at);
        }
        self.tell(at, now, Phase::End(ending), known, sink)
    }

    /// The next account that is to be looked at by `now`, and which is likely to follow.
    pub(crate) fn next_due(&mut self, now: Timestamp) -> Option<(u32, Option<u32>)> {
        loop {
            if let Some(at) = self.wheel.pop(&mut self.places) {
                return Some((at, self.wheel.follows()));
            }
            if !self.wheel.turn(now) {
                return None;
            }
        }
    }

    /// Tells what is to be told now of an account that [`next_due`](Self::next_due) gave. Hangs it
    /// up again unless it is over.
    pub(crate) fn look<S: Sink>(
        &mut self,
        at: u32,
        now: Timestamp,
        known: (&Flow, &Cold, &Taps),
        sink: &mut S,
    ) -> Result<(), S::Error> {
        let Some((account, details)) = self.places.open(at) else { return Ok(()) };
        let over = account.over();
        if over <= now {
            let ending = account.silence();
            return self.tell(at, over, Phase::End(ending), known, sink);
        }
        let told_at = details.told_at.known();
        let next = match told_at {
            None => details.start + limits::BEGIN,
            Some(told) => told + limits::CONTINUE,
        };
        let phase = match told_at {
            _ if next > now => None,
            None => Some(Phase::Begin),
            Some(_) => Some(Phase::Continue),
        };
        let then = if phase.is_some() { now + limits::CONTINUE } else { next };
        self.wheel.hang(&mut self.places, at, now, then.min(over));
        phase.map_or(Ok(()), |phase| self.tell(at, now, phase, known, sink))
    }

    /// Those that have not ended: the packets that began them, and their places. With the latest
    /// packet time that is known of any. From here to [`all_ended`](Self::all_ended) each is ended,
    /// and none is looked at.
    pub(crate) fn end_all(&mut self) -> (Vec<(u64, u32)>, Timestamp) {
        self.is_ending = true;
        let Places { accounts, details } = &self.places;
        let open = || accounts.iter().zip(0u32..).filter(|(account, _)| !account.is_empty());
        let (count, latest) = open()
            .fold((0, self.latest), |(count, latest), (one, _)| (count + 1, latest.max(one.last)));
        // There may be as many as flows: no more than needed.
        let mut left = Vec::with_capacity(count);
        left.extend(open().filter_map(|(_, at)| Some((details.get(at as usize)?.packet, at))));
        (left, latest)
    }

    /// None is left.
    pub(crate) fn all_ended(&mut self) {
        self.wheel = Wheel::new(Duration::MAX);
        self.is_ending = false;
    }
}
