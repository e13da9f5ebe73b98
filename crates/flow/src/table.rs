//! Bounded storage of flows: an index of positions over a slab of entries.

use foldhash::quality::RandomState;
use hashbrown::HashTable;
use vtap_packet::Timestamp;

use crate::flow::Flow;
use crate::key::{End, Key};
use crate::wheel::{Linked, Links, Wheel};

/// Flows looked at for one to evict when the table is full, as the kernel looks at a few buckets.
const EVICTION_CANDIDATES: usize = 8;

#[derive(Debug)]
pub(crate) struct Table {
    index: HashTable<u32>,
    slab: Slab,
    wheel: Wheel,
    hasher: RandomState,
    max_flows: usize,
    /// Where the search for a flow to evict goes on.
    hand: usize,
}

#[derive(Debug, Default)]
struct Slab {
    flows: Vec<Flow>,
    free: Vec<u32>,
}

impl Linked for Slab {
    fn links(&mut self, at: u32) -> Option<&mut Links> {
        self.flows.get_mut(at as usize).map(|flow| &mut flow.links)
    }
}

/// There is no room for another flow.
#[derive(Debug)]
pub(crate) struct Full;

impl Table {
    pub(crate) fn new(max_flows: usize) -> Self {
        Self {
            index: HashTable::new(),
            slab: Slab::default(),
            wheel: Wheel::new(),
            hasher: RandomState::default(),
            max_flows: max_flows.min(u32::MAX as usize - 1),
            hand: 0,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.index.len()
    }

    pub(crate) fn hash(&self, key: &Key) -> u64 {
        key.hash(&self.hasher)
    }

    pub(crate) fn find(&self, key: &Key, hash: u64) -> Option<u32> {
        let flows = &self.slab.flows;
        let is_it = |at: &u32| flows.get(*at as usize).is_some_and(|flow| flow.key == *key);
        self.index.find(hash, is_it).copied()
    }

    /// Brings the index and the entries of these keys into the cache. The look-ups do not depend
    /// on each other, so their misses overlap; one after the other, with a judgement between them,
    /// they would not.
    pub(crate) fn warm<'a>(&self, keys: impl Iterator<Item = (&'a Key, u64)>) {
        let mut touched = 0;
        for (key, hash) in keys {
            if let Some(at) = self.find(key, hash)
                && let Some(flow) = self.slab.flows.get(at as usize)
            {
                touched ^= flow.touch_lines();
            }
        }
        std::hint::black_box(touched);
    }

    pub(crate) fn flow(&mut self, at: u32) -> Option<&mut Flow> {
        self.slab.flows.get_mut(at as usize)
    }

    /// Adds a flow that is not there.
    ///
    /// # Errors
    ///
    /// [`Full`]: `max_flows` are there.
    pub(crate) fn insert(
        &mut self,
        key: Key,
        hash: u64,
        from: End,
        now: Timestamp,
    ) -> Result<u32, Full> {
        if self.index.len() >= self.max_flows {
            return Err(Full);
        }
        let flow = Flow::new(key, hash, from);
        let at = if let Some(at) = self.slab.free.pop()
            && let Some(place) = self.slab.flows.get_mut(at as usize)
        {
            *place = flow;
            at
        } else {
            let at = u32::try_from(self.slab.flows.len()).map_err(|_| Full)?;
            self.slab.flows.push(flow);
            at
        };
        let flows = &self.slab.flows;
        self.index
            .insert_unique(hash, at, |at| flows.get(*at as usize).map_or(0, |flow| flow.hash));
        self.wheel.hang(&mut self.slab, at, now, now);
        Ok(at)
    }

    /// Takes note that the deadline of a flow has changed.
    pub(crate) fn rescheduled(&mut self, at: u32, now: Timestamp) {
        let Some(flow) = self.slab.flows.get(at as usize) else { return };
        let deadline = flow.deadline();
        self.wheel.moved(&mut self.slab, at, now, deadline);
    }

    /// A flow that may go to make room: the next one behind the last that did, of a few looked
    /// at, for which `may_go` holds. It is chosen by position, so a replay chooses the same.
    pub(crate) fn candidate(&mut self, may_go: impl Fn(&Flow) -> bool) -> Option<u32> {
        let len = self.slab.flows.len();
        for _ in 0..EVICTION_CANDIDATES.min(len) {
            let at = self.hand % len;
            self.hand = at + 1;
            if self.slab.flows.get(at).is_some_and(|flow| flow.live && may_go(flow)) {
                return u32::try_from(at).ok();
            }
        }
        None
    }

    pub(crate) fn remove(&mut self, at: u32) {
        self.wheel.unhang(&mut self.slab, at);
        self.release(at);
    }

    /// Whether no flow can be due at `now`.
    #[inline]
    pub(crate) fn rests(&self, now: Timestamp) -> bool {
        self.wheel.rests(now)
    }

    /// The next flow whose deadline has passed, off the wheel; [`release`](Self::release) it.
    /// Flows that were hung up early are hung up again on the way.
    pub(crate) fn next_due(&mut self, now: Timestamp) -> Option<u32> {
        loop {
            while let Some(at) = self.wheel.pop(&mut self.slab) {
                let deadline = self.flow(at).map(|flow| flow.deadline())?;
                if deadline <= now {
                    return Some(at);
                }
                self.wheel.hang(&mut self.slab, at, now, deadline);
            }
            if !self.wheel.turn(now) {
                return None;
            }
        }
    }

    /// Forgets a flow that hangs nowhere.
    pub(crate) fn release(&mut self, at: u32) {
        let Some(flow) = self.slab.flows.get_mut(at as usize) else { return };
        flow.live = false;
        if let Ok(entry) = self.index.find_entry(flow.hash, |other| *other == at) {
            entry.remove();
            self.slab.free.push(at);
        }
    }

    /// Takes every flow off, for the end of the input: in the order of position.
    pub(crate) fn drain(&mut self) -> impl Iterator<Item = Flow> {
        self.index.clear();
        self.wheel = Wheel::new();
        self.slab.free.clear();
        self.slab.flows.drain(..).filter(|flow| flow.live)
    }
}
