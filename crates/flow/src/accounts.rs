//! Accounts of flows, one for each place of the [table](crate::table), and what is told of them.
//!
//! A flow of the table may outlast its record: conntrack remembers a closed connection for
//! minutes, an idle one for days. What comes after the record was told begins another.

use std::mem;

use prefetch_index::prefetch_index;
use vtap_packet::{Mac, Protocol, Timestamp};

use crate::account::{Account, Details, MANY_BYTES, Macs};
use crate::cold::Cold;
use crate::config::{Config, Copies as Limits};
use crate::conn_state;
use crate::copies::Copies;
use crate::flow::Flow;
use crate::key::End;
use crate::letters::Letters;
use crate::limits;
use crate::read::{Observed, Occasion};
use crate::record::{Ending, Half, Link, Phase, Record, Tcp, Traffic};
use crate::segment::Segment;
use crate::sight::TapId;
use crate::stats::Recorded;
use crate::taps::Taps;
use crate::trace::Once;
use crate::wheel::{Linked, Links, Wheel};

#[derive(Debug)]
pub(crate) struct Accounts {
    places: Places,
    wheel: Wheel,
    pub(crate) recorded: Recorded,
    /// Packet time at which something was told last.
    latest: Timestamp,
    /// Of packets that were refused unseen: what is followed is no copy of them.
    pub(crate) corrupt: Copies,
}

#[derive(Debug, Default)]
struct Places {
    accounts: Vec<Account>,
    /// As many, for the same places.
    details: Vec<Details>,
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
        let mut places = Places::default();
        let _ = places.accounts.try_reserve_exact(max_flows);
        let _ = places.details.try_reserve_exact(max_flows);
        Self {
            places,
            wheel: Wheel::new(),
            recorded: Recorded::default(),
            latest: Timestamp::EPOCH,
            corrupt: Copies::new(copies),
        }
    }

    /// Asks for what most packets of the flow at a place need.
    #[inline(always)]
    pub(crate) fn prefetch(&self, at: u32) {
        if let Some(account) = self.places.accounts.get(at as usize) {
            account.prefetch();
            prefetch_index(&self.places.details, at as usize);
        }
    }

    /// Counts a segment that an established connection expects.
    #[inline(always)]
    pub(crate) fn follow(&mut self, at: u32, seen: Seen<'_>) {
        let Seen { occasion, observed, segment, .. } = seen;
        if let Some(account) = self.places.accounts.get_mut(at as usize)
            && !account.is_empty()
            && observed.len < MANY_BYTES
        {
            let (new, is_full) =
                account.count(occasion.time, observed, Letters::of(observed), segment);
            self.recorded.packets += 1;
            if is_full {
                self.move_counts(at);
            }
            if !new.is_empty() {
                self.note(at, seen, new);
            }
            return;
        }
        let is_new = self.places.accounts.get(at as usize).is_none_or(Account::is_empty);
        self.count(at, seen, Letters::of(observed));
        if let Some(details) = self.places.details.get_mut(at as usize).filter(|_| is_new) {
            // The connection has had a record before.
            details.midstream = true;
        }
    }

    /// Counts any packet of the flow at a place.
    #[inline(never)]
    pub(crate) fn count(&mut self, at: u32, seen: Seen<'_>, letters: Letters) {
        let Seen { occasion, observed, segment, .. } = seen;
        self.begin(at, occasion);
        let Places { accounts, details } = &mut self.places;
        let place = accounts.get_mut(at as usize).zip(details.get_mut(at as usize));
        let Some((account, details)) = place else { return };
        let mut observed = *observed;
        if observed.len.max(observed.payload) >= MANY_BYTES
            && let Some(total) = details.totals.get_mut(observed.from as usize)
        {
            // A header may say so.
            let (bytes, payload) = (mem::take(&mut observed.len), mem::take(&mut observed.payload));
            *total += Traffic { packets: 0, bytes: bytes.into(), payload: payload.into() };
        }
        let (new, is_full) = account.count(occasion.time, &observed, letters, segment);
        if is_full {
            account.move_to(&mut details.totals);
        }
        self.recorded.packets += 1;
        self.note(at, seen, new);
    }

    /// Begins an account where there is none.
    fn begin(&mut self, at: u32, occasion: &Occasion) {
        let now = occasion.time;
        let Places { accounts, details } = &mut self.places;
        while accounts.len() <= at as usize {
            accounts.push(Account::NONE);
            details.push(Details::NONE);
        }
        let place = accounts.get_mut(at as usize).zip(details.get_mut(at as usize));
        let Some((account, details)) = place else { return };
        if account.is_empty() {
            *account = Account::begin(now);
            *details = Details::begin(occasion);
            self.wheel.hang(&mut self.places, at, now, now + limits::BEGIN);
            self.recorded.flows += 1;
        }
    }

    /// Takes note of what a packet says that was counted before, if its account is still there.
    pub(crate) fn say(&mut self, at: u32, from: End, letters: Letters, segment: Option<&Segment>) {
        let Places { accounts, details } = &mut self.places;
        if let Some((account, details)) =
            accounts.get_mut(at as usize).zip(details.get_mut(at as usize))
            && !account.is_empty()
        {
            details.write(from, account.say(from, letters, segment));
        }
    }

    /// The account at a place, if there is one.
    pub(crate) fn open(&mut self, at: u32) -> Option<&mut Account> {
        self.places.accounts.get_mut(at as usize).filter(|account| !account.is_empty())
    }

    #[cold]
    fn move_counts(&mut self, at: u32) {
        let Places { accounts, details } = &mut self.places;
        if let Some((account, details)) =
            accounts.get_mut(at as usize).zip(details.get_mut(at as usize))
        {
            account.move_to(&mut details.totals);
        }
    }

    /// Writes down what is new.
    #[inline(never)]
    fn note(&mut self, at: u32, seen: Seen<'_>, new: Letters) {
        let from = seen.observed.from;
        let Some(details) = self.places.details.get_mut(at as usize) else { return };
        details.write(from, new);
        if let Some(macs) = details.macs.get_mut(from as usize)
            && macs.is_none()
        {
            *macs = seen.macs.map(|[dst, src]| Macs { dst, src, tap: seen.tap });
        }
    }

    /// What was noted of the flow at a place beside what is counted.
    pub(crate) fn details(&mut self, at: u32) -> Option<&mut Details> {
        self.places.details.get_mut(at as usize)
    }

    /// Counts fragments that were not judged, if the flow has an account.
    pub(crate) fn count_fragments(&mut self, at: u32, from: End, packets: u32, bytes: u64) {
        let Places { accounts, details } = &mut self.places;
        let known = accounts.get(at as usize).is_some_and(|account| !account.is_empty());
        let details = details.get_mut(at as usize).filter(|_| known);
        if let Some(total) = details.and_then(|details| details.totals.get_mut(from as usize)) {
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
    pub(crate) fn end(
        &mut self,
        at: u32,
        now: Timestamp,
        ending: Option<Ending>,
        (flow, cold, taps): (&Flow, &Cold, &Taps),
    ) -> Option<Record> {
        let account =
            self.places.accounts.get(at as usize).filter(|account| !account.is_empty())?;
        let ending = account.closed.or(ending).unwrap_or_else(|| account.silence());
        self.wheel.unhang(&mut self.places, at);
        self.tell(at, now, Phase::End(ending), (flow, cold, taps))
    }

    /// The next account that is to be looked at by `now`.
    pub(crate) fn next_due(&mut self, now: Timestamp) -> Option<u32> {
        loop {
            if let Some(at) = self.wheel.pop(&mut self.places) {
                return Some(at);
            }
            if !self.wheel.turn(now) {
                return None;
            }
        }
    }

    /// What is to be told now of an account that [`next_due`](Self::next_due) gave. Hangs it up
    /// again unless it is over.
    pub(crate) fn look(
        &mut self,
        at: u32,
        now: Timestamp,
        known: (&Flow, &Cold, &Taps),
    ) -> Option<Record> {
        let Places { accounts, details } = &self.places;
        let (account, details) = accounts.get(at as usize).zip(details.get(at as usize))?;
        if account.is_empty() {
            return None;
        }
        let over = account.over();
        if over <= now {
            return self.tell(at, over, Phase::End(account.silence()), known);
        }
        let next = match details.told_at {
            None => details.start + limits::BEGIN,
            Some(told) => told + limits::CONTINUE,
        };
        let phase = match details.told_at {
            _ if next > now => None,
            None => Some(Phase::Begin),
            Some(_) => Some(Phase::Continue),
        };
        let then = if phase.is_some() { now + limits::CONTINUE } else { next };
        self.wheel.hang(&mut self.places, at, now, then.min(over));
        phase.and_then(|phase| self.tell(at, now, phase, known))
    }

    /// Those that have not ended: the packets that began them, and their places. With the latest
    /// packet time that is known of any.
    pub(crate) fn left(&self) -> (Vec<(u64, u32)>, Timestamp) {
        let Places { accounts, details } = &self.places;
        let open = || accounts.iter().zip(details).zip(0..).filter(|((one, _), _)| !one.is_empty());
        let latest = open().map(|((account, _), _)| account.last).fold(self.latest, Ord::max);
        // There may be as many as flows: no more than needed.
        let mut left = Vec::with_capacity(open().count());
        left.extend(open().map(|((_, details), at)| (details.packet, at)));
        (left, latest)
    }

    fn tell(
        &mut self,
        at: u32,
        now: Timestamp,
        phase: Phase,
        (flow, cold, taps): (&Flow, &Cold, &Taps),
    ) -> Option<Record> {
        let Places { accounts, details } = &mut self.places;
        let (account, details) = accounts.get_mut(at as usize).zip(details.get_mut(at as usize))?;
        details.told_at = Some(now);
        account.move_to(&mut details.totals);
        let mut half = |end: End| {
            let counted = account.half(end);
            let total = *details.totals.get(end as usize)?;
            let told = details.told.get_mut(end as usize)?;
            let mut half = Half {
                total,
                since: total.beyond(*told),
                retransmissions: counted.retransmissions,
                flags: counted.flags,
                link: None,
            };
            if phase == Phase::Begin {
                half.since = Traffic::default();
            } else {
                *told = total;
            }
            let macs = details.macs.get(end as usize).copied().flatten();
            half.link = macs.map(|Macs { dst, src, tap }| Link {
                src,
                dst,
                tap: taps.get(tap).and_then(|tap| tap.address),
            });
            Some(half)
        };
        // Who is who stays as it was told before.
        let client = *details.client.get_or_insert(flow.client);
        let server = client.other();
        let (to_server, to_client) = (half(client)?, half(server)?);
        let links = details.macs.map(|macs| macs.map_or(TapId::NONE, |macs| macs.tap));
        let quiet = [&to_server, &to_client].iter().all(|half| half.since.packets == 0);
        if phase == Phase::Continue && quiet {
            return None;
        }
        self.latest = self.latest.max(now);
        let letters = [client, server].map(|end| account.half(end).letters);
        let packets = [to_server, to_client].map(|half| half.total.packets > 0);
        let protocol = flow.key.protocol();
        let is_tcp = protocol == Protocol::TCP;
        let record = Record {
            phase,
            packet: details.packet,
            protocol,
            client: flow.key.named(client),
            server: flow.key.named(server),
            tunnel: details.tunnel,
            taps: taps.shown(details.tunnel, cold.taps, links),
            start: details.start,
            end: account.last,
            told: now,
            to_server,
            to_client,
            tcp: is_tcp.then(|| Tcp {
                state: flow.state().state(),
                handshake: details.handshake,
                syn_ack: details.syn_ack,
                invalid: details.invalid,
            }),
            conn_state: conn_state::of(protocol, letters, packets),
            history: details.history(client),
            midstream: details.midstream,
            missing: flow.marks.missing().map(|side| match flow.client {
                as_told if as_told == client => side,
                _ => side.peer(),
            }),
            egress_only: flow.marks.has_said(Once::EgressOnly),
        };
        if let Phase::End(_) = phase {
            self.recorded.told += record.to_server.total.packets + record.to_client.total.packets;
            *account = Account::NONE;
        }
        Some(record)
    }
}
