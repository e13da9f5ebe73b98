//! Bounded storage of flows: an index of positions over a slab of entries.

use std::time::Duration;

use foldhash::quality::RandomState;
use prefetch_index::prefetch_index;
use vtap_packet::Timestamp;

use crate::cold::Cold;
use crate::flow::{Flow, Life};
use crate::index::Index;
use crate::key::{End, Key};
use crate::limits;
use crate::memory;
use crate::state::State;
use crate::wheel::{Linked, Links, Wheel};

/// Flows looked at for one to evict when the table is full, as the kernel looks at a few buckets.
const EVICTION_CANDIDATES: usize = 8;

/// How long a flow may go without a look of the wheel: no longer than a connection has in any state
/// but CLOSE, so that one that closes need not be taken from between its neighbours in the wheel,
/// which may be anywhere in memory.
const LOOK: Duration = limits::timeout(State::LastAck);

#[derive(Debug)]
pub(crate) struct Table {
    index: Index,
    slab: Slab,
    wheel: Wheel,
    hasher: RandomState,
    max_flows: usize,
    /// Where the search for a flow to evict goes on.
    hand: usize,
}

/// Entries, those of forgotten flows among them.
#[derive(Debug)]
struct Slab {
    flows: Vec<Flow>,
    /// As many, for the same places.
    cold: Vec<Cold>,
    free: Vec<u32>,
}

impl Slab {
    /// With all the room it may ever need, so that no entry moves.
    fn new(max_flows: usize) -> Self {
        Self {
            flows: memory::reserve(max_flows),
            cold: memory::reserve(max_flows),
            free: Vec::new(),
        }
    }
}

impl Linked for Slab {
    fn links(&mut self, at: u32) -> Option<&mut Links> {
        self.cold.get_mut(at as usize).map(|cold| &mut cold.links)
    }

    fn second(&mut self, at: u32) -> Option<&mut u32> {
        self.flows.get_mut(at as usize).map(|flow| &mut flow.second)
    }
}

/// There is no room for another flow.
#[derive(Debug)]
pub(crate) struct Full;

impl Table {
    pub(crate) fn new(max_flows: usize) -> Self {
        let max_flows = max_flows.min(u32::MAX as usize - 1);
        Self {
            index: Index::new(max_flows),
            slab: Slab::new(max_flows),
            wheel: Wheel::new(LOOK),
            hasher: RandomState::default(),
            max_flows,
            hand: 0,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.index.len()
    }

    /// What keys are hashed with: from a seed of this table alone.
    pub(crate) fn hasher(&self) -> RandomState {
        self.hasher.clone()
    }

    pub(crate) fn find(&self, key: &Key, hash: u64) -> Option<u32> {
        self.index.find(hash, |at| self.is_at(at, key))
    }

    #[inline]
    fn is_at(&self, at: u32, key: &Key) -> bool {
        self.at(at).is_some_and(|flow| flow.is(key))
    }

    /// Asks for what [`locate`](Self::locate) will read.
    #[inline(always)]
    pub(crate) fn prefetch_index(&self, hash: u64) {
        self.index.prefetch(hash);
    }

    /// Where the flow with this hash lies if it is there, without a look at the entry, which is
    /// asked for.
    #[inline(always)]
    pub(crate) fn locate(&self, hash: u64) -> u32 {
        let at = self.index.locate(hash);
        self.prefetch(at);
        at
    }

    /// Asks for what most packets need of the flow at a place.
    #[inline(always)]
    fn prefetch(&self, at: u32) {
        if let Some(flow) = self.at(at) {
            flow.prefetch();
        }
    }

    /// Asks for what few packets need of the flow at a place.
    #[inline(always)]
    pub(crate) fn prefetch_cold(&self, at: u32) {
        prefetch_index(&self.slab.cold, at as usize);
    }

    /// Asks for all that is held of the flow at a place.
    pub(crate) fn prefetch_whole(&self, at: u32) {
        self.prefetch(at);
        self.prefetch_cold(at);
    }

    /// What most packets need of the flow at a place.
    #[inline(always)]
    pub(crate) fn at(&self, at: u32) -> Option<&Flow> {
        self.slab.flows.get(at as usize)
    }

    #[inline]
    pub(crate) fn flow(&mut self, at: u32) -> Option<&mut Flow> {
        self.slab.flows.get_mut(at as usize)
    }

    /// All that is held of a flow.
    pub(crate) fn entry(&mut self, at: u32) -> Option<(&mut Flow, &mut Cold)> {
        let Slab { flows, cold, .. } = &mut self.slab;
        flows.get_mut(at as usize).zip(cold.get_mut(at as usize))
    }

    /// The flow of a key at a place that [`locate`](Self::locate) has given, unless it has gone.
    #[inline]
    pub(crate) fn flow_near(&mut self, located: u32, key: &Key) -> Option<&mut Flow> {
        let flow = self.slab.flows.get_mut(located as usize)?;
        flow.is(key).then_some(flow)
    }

    /// Adds a flow that is not there. Who gives it its deadline says so to
    /// [`rescheduled`](Self::rescheduled): until then the wheel does not look at it for [`LOOK`].
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
        let flow = Flow::new(key, from);
        let at = if let Some(at) = self.slab.free.pop()
            && let Some((place, cold)) = self.entry(at)
        {
            *place = flow;
            *cold = Cold::NEW;
            at
        } else {
            let at = u32::try_from(self.slab.flows.len()).map_err(|_| Full)?;
            self.slab.flows.push(flow);
            self.slab.cold.push(Cold::NEW);
            at
        };
        self.index.insert(hash, at);
        self.wheel.hang(&mut self.slab, at, now, now + LOOK);
        Ok(at)
    }

    /// Takes note that the deadline of a flow has changed.
    pub(crate) fn rescheduled(&mut self, at: u32, now: Timestamp) {
        let Some(flow) = self.at(at) else { return };
        let deadline = flow.deadline;
        self.wheel.moved(&mut self.slab, at, now, deadline);
    }

    /// A flow that may go to make room: the next one behind the last that did, of a few looked
    /// at, for which `may_go` holds. It is chosen by position, so a replay chooses the same.
    pub(crate) fn candidate(&mut self, may_go: impl Fn(&Flow) -> bool) -> Option<u32> {
        let len = self.slab.flows.len();
        for _ in 0..EVICTION_CANDIDATES.min(len) {
            let at = self.hand % len;
            self.hand = at + 1;
            if self.slab.flows.get(at).is_some_and(|flow| flow.is_live() && may_go(flow)) {
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
                let deadline = self.flow(at).map(|flow| flow.deadline)?;
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
        let Some(flow) = self.slab.flows.get_mut(at as usize).filter(|flow| flow.is_live()) else {
            return;
        };
        flow.life = Life::Over;
        self.index.remove(flow.key.hash(&self.hasher), at);
        self.slab.free.push(at);
    }

    /// Takes every flow off, for the end of the input: what was held of each, in the order of
    /// position.
    pub(crate) fn drain(&mut self) -> impl Iterator<Item = Cold> {
        self.index = Index::new(self.max_flows);
        self.wheel = Wheel::new(LOOK);
        self.slab.free.clear();
        let flows = self.slab.flows.drain(..).zip(self.slab.cold.drain(..));
        flows.filter(|(flow, _)| flow.is_live()).map(|(_, cold)| cold)
    }
}
