//! Which file is next, and when: order, time-outs, and the gate while the store is away.
//!
//! Oldest first. A file that failed rests, 1 s at first and 5 minutes at most. When a failure is of
//! the store, the gate closes for all: one file at a time is tried, after 1 s at first and every 5
//! minutes at the rarest, each time another, so that one that always fails does not stand for all.
//! The first that goes opens the gate. Nothing here reads a clock, a disk or a net.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use vtap_packet::Timestamp;

use crate::Counters;
use crate::scan::{Found, Key, Stamp};

/// Files and what is to be done with them.
#[derive(Debug)]
pub(crate) struct Queue {
    refresh: Duration,
    files: BTreeMap<Key, Entry>,
    /// Files that may go, by the time they were written.
    ready: BTreeSet<(Timestamp, Key)>,
    /// Files that rest, by the time they may go.
    resting: BTreeSet<(Timestamp, Key)>,
    gate: Option<Gate>,
    in_flight: BTreeSet<Key>,
    last: Timestamp,
    counters: Counters,
}

/// A file.
#[derive(Debug)]
struct Entry {
    /// As it was seen last.
    stamp: Stamp,
    /// What the store has, and since when.
    sent: Option<(Stamp, Timestamp)>,
    place: Place,
    failures: u32,
    /// Whether the last look found it.
    is_there: bool,
}

/// Where an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Ready,
    Resting(Timestamp),
    InFlight,
    /// The store has it as it is.
    Sent,
}

/// A store that takes nothing.
#[derive(Debug)]
struct Gate {
    due: Timestamp,
    failures: u32,
    /// The file that is tried.
    probe: Option<Key>,
}

impl Gate {
    /// Whether it is more than one failure, which may be one file's own.
    const fn is_sure(&self) -> bool {
        self.failures > 1
    }
}

/// What a failure tells that was not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum News {
    Nothing,
    /// The store takes nothing.
    Store,
    /// The store, which takes others, does not take this file.
    File,
}

impl Queue {
    pub(crate) fn new(refresh: Duration) -> Self {
        Self {
            refresh,
            files: BTreeMap::new(),
            ready: BTreeSet::new(),
            resting: BTreeSet::new(),
            gate: None,
            in_flight: BTreeSet::new(),
            last: Timestamp::EPOCH,
            counters: Counters::default(),
        }
    }

    /// What is known of an earlier run: the store has this file as it was then.
    pub(crate) fn remember(&mut self, key: Key, stamp: Stamp) {
        let sent = Some((stamp, Timestamp::EPOCH));
        let entry = Entry { stamp, sent, place: Place::Sent, failures: 0, is_there: true };
        self.files.insert(key, entry);
    }

    /// Takes in all that a look has found. Returns the files that are gone without having gone to
    /// the store.
    pub(crate) fn seen(&mut self, found: &Found, now: Timestamp) -> Vec<Key> {
        self.advance(now);
        self.counters.unnameable = found.unnameable;
        for (key, entry) in &mut self.files {
            entry.is_there = found.unread.contains(&key.spool);
        }
        for (key, stamp) in &found.files {
            match self.files.get_mut(key) {
                None => {
                    let entry = Entry {
                        stamp: *stamp,
                        sent: None,
                        place: Place::Sent,
                        failures: 0,
                        is_there: true,
                    };
                    self.files.insert(key.clone(), entry);
                    self.place(key, Place::Ready);
                }
                Some(entry) => {
                    entry.is_there = true;
                    if entry.stamp == *stamp || entry.place == Place::InFlight {
                        continue;
                    }
                    // Sorted by what changes: out, and in again.
                    let rest = entry.sent.filter(|_| key.is_growing());
                    let due = rest.map_or(now, |(_, at)| at + self.refresh);
                    let place = match entry.place {
                        Place::Sent if due > now => Place::Resting(due),
                        Place::Sent => Place::Ready,
                        waiting => waiting,
                    };
                    self.place(key, Place::Sent);
                    if let Some(entry) = self.files.get_mut(key) {
                        entry.stamp = *stamp;
                    }
                    self.place(key, place);
                }
            }
        }
        self.forget()
    }

    fn forget(&mut self) -> Vec<Key> {
        let gone = |(_, entry): &(&Key, &Entry)| !entry.is_there && entry.place != Place::InFlight;
        let gone: Vec<_> = self.files.iter().filter(gone).map(|(key, _)| key.clone()).collect();
        let mut vanished = Vec::new();
        for key in gone {
            if self.removed(&key) {
                self.counters.vanished += 1;
                vanished.push(key);
            }
        }
        vanished
    }

    /// Forgets a file that is not there any more. Says whether the store lacks what it was.
    pub(crate) fn removed(&mut self, key: &Key) -> bool {
        let is_pending = self.files.get(key).is_some_and(|entry| entry.place != Place::Sent);
        self.place(key, Place::Sent);
        self.files.remove(key);
        is_pending
    }

    /// The file to upload now, if there is one and fewer than `most` are under way.
    pub(crate) fn next(&mut self, now: Timestamp, most: usize) -> Option<Key> {
        self.advance(now);
        let most = if self.gate.is_some() { 1 } else { most };
        if self.in_flight.len() >= most || self.gate.as_ref().is_some_and(|gate| now < gate.due) {
            return None;
        }
        let key = match &self.gate {
            None => self.ready.first().map(|(_, key)| key.clone())?,
            Some(_) => self.probe()?,
        };
        self.place(&key, Place::InFlight);
        if let Some(gate) = &mut self.gate {
            gate.probe = Some(key.clone());
        }
        Some(key)
    }

    /// The file to try a store with that may be away: the one that failed least, though it rests.
    fn probe(&self) -> Option<Key> {
        let pending = self.ready.iter().chain(&self.resting).map(|(_, key)| key);
        let order =
            |key: &&Key| self.files.get(key).map(|entry| (entry.failures, entry.stamp.modified));
        pending.min_by_key(order).cloned()
    }

    /// The store has a file as `stamp` says. Returns whether this is news, as it took none before.
    pub(crate) fn sent(&mut self, key: &Key, stamp: Stamp, now: Timestamp) -> bool {
        self.counters.uploaded += 1;
        self.counters.bytes += stamp.bytes;
        self.place(key, Place::Sent);
        if let Some(entry) = self.files.get_mut(key) {
            entry.stamp = stamp;
            entry.sent = Some((stamp, now));
            entry.failures = 0;
        }
        let was_away = self.gate.take().as_ref().is_some_and(Gate::is_sure);
        if was_away {
            self.wake();
        }
        was_away
    }

    /// A file did not go.
    pub(crate) fn failed(&mut self, key: &Key, is_of_the_store: bool, now: Timestamp) -> News {
        self.counters.failed += 1;
        let failures = self.files.get_mut(key).map_or(1, |entry| {
            entry.failures += 1;
            entry.failures
        });
        self.place(key, Place::Resting(now + pause(failures)));
        if !is_of_the_store {
            return if failures == 1 { News::File } else { News::Nothing };
        }
        match &mut self.gate {
            None => self.gate = Some(Gate { due: now + pause(1), failures: 1, probe: None }),
            Some(gate) if gate.probe.as_ref() == Some(key) => {
                gate.failures += 1;
                gate.due = now + pause(gate.failures);
                gate.probe = None;
                if gate.failures == 2 {
                    return News::Store;
                }
            }
            // Those that were under way when it closed say nothing new.
            Some(_) => {}
        }
        let is_alone = self.gate.as_ref().is_some_and(|gate| !gate.is_sure());
        if failures == ALONE && is_alone { News::File } else { News::Nothing }
    }

    /// Nothing rests: what is pending is tried at once.
    pub(crate) fn wake(&mut self) {
        let resting: Vec<_> = self.resting.iter().map(|(_, key)| key.clone()).collect();
        for key in resting {
            self.place(&key, Place::Ready);
        }
    }

    /// As [`wake`](Self::wake), whatever the gate says.
    pub(crate) fn hurry(&mut self, now: Timestamp) {
        self.wake();
        if let Some(gate) = &mut self.gate {
            gate.due = now;
        }
    }

    /// Files that the store has as they are; those that grow when they have not changed for long.
    pub(crate) fn removable(&self, now: Timestamp) -> Vec<(Key, Stamp)> {
        let is_over = |key: &Key, entry: &Entry| {
            let written = entry.stamp.modified;
            !key.is_growing() || now.since(written) >= QUIET
        };
        let sent = self.files.iter().filter(|(_, entry)| entry.place == Place::Sent);
        sent.filter(|(key, entry)| is_over(key, entry))
            .map(|(key, entry)| (key.clone(), entry.stamp))
            .collect()
    }

    /// What the store has of one spool.
    pub(crate) fn kept(&self, spool: usize) -> impl Iterator<Item = (&Key, Stamp)> {
        let files = self.files.iter().filter(move |(key, _)| key.spool == spool);
        files.filter_map(|(key, entry)| entry.sent.map(|(stamp, _)| (key, stamp)))
    }

    /// When there is something to do next, if nothing happens before.
    pub(crate) fn due(&self) -> Option<Timestamp> {
        match &self.gate {
            Some(gate) => (self.counters.pending_files > 0).then_some(gate.due),
            None => self.resting.first().map(|(due, _)| *due),
        }
    }

    pub(crate) fn counters(&self) -> Counters {
        let written = |key: &Key| self.files.get(key).map(|entry| entry.stamp.modified);
        let resting = self.resting.iter().map(|(_, key)| key);
        let others = resting.chain(&self.in_flight).filter_map(written);
        let ready = self.ready.first().map(|(written, _)| *written);
        let oldest_pending = others.chain(ready).min();
        Counters { oldest_pending, ..self.counters }
    }

    pub(crate) fn note_removed(&mut self) {
        self.counters.removed += 1;
    }

    /// Lets those go whose rest is over. Where the clock was put back, all.
    fn advance(&mut self, now: Timestamp) {
        if now < self.last {
            self.hurry(now);
        }
        self.last = now;
        while let Some((_, key)) = self.resting.first().filter(|(due, _)| *due <= now) {
            let key = key.clone();
            self.place(&key, Place::Ready);
        }
    }

    /// Moves an entry, with all that is counted by place.
    fn place(&mut self, key: &Key, place: Place) {
        let Some(entry) = self.files.get_mut(key) else { return };
        let bytes = entry.stamp.bytes;
        match entry.place {
            Place::Ready => _ = self.ready.remove(&(entry.stamp.modified, key.clone())),
            Place::Resting(due) => _ = self.resting.remove(&(due, key.clone())),
            Place::InFlight => _ = self.in_flight.remove(key),
            Place::Sent => {}
        }
        match place {
            Place::Ready => _ = self.ready.insert((entry.stamp.modified, key.clone())),
            Place::Resting(due) => _ = self.resting.insert((due, key.clone())),
            Place::InFlight => _ = self.in_flight.insert(key.clone()),
            Place::Sent => {}
        }
        let counters = &mut self.counters;
        match (entry.place == Place::Sent, place == Place::Sent) {
            (true, false) => {
                counters.pending_files += 1;
                counters.pending_bytes += bytes;
            }
            (false, true) => {
                counters.pending_files -= 1;
                counters.pending_bytes -= bytes;
            }
            _ => {}
        }
        entry.place = place;
    }
}

/// How long after a failure, the first being number 1.
fn pause(failures: u32) -> Duration {
    let doublings = failures.saturating_sub(1).min(16);
    (FIRST_PAUSE * (1 << doublings)).min(LONGEST_PAUSE)
}

/// A store that is busy for a moment.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// A store that is away for long; somebody has repaired it and watches.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);

/// Failures of a file, by causes that are of the store, when the store does take others.
const ALONE: u32 = 3;

/// How long a file that grows has not changed when its hour is over for sure: an hour, and time for
/// rows that come late.
const QUIET: Duration = Duration::from_secs(65 * 60);

#[cfg(test)]
mod tests;
