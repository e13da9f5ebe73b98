//! Flows come and go, and rows are written.

use vtap_packet::Timestamp;

use super::Judge;
use crate::batch::Occasion;
use crate::event::{Event, EventFlag, MAX_TAPS, Side};
use crate::flow::Life;
use crate::order::Told;
use crate::read::Observed;
use crate::record::Ending;
use crate::sink::Sink;
use crate::table::Full;
use crate::verdict::StateAfter;

impl Judge {
    /// Forgets what is over by `now`.
    #[cold]
    pub(super) fn turn<S: Sink>(&mut self, now: Timestamp, sink: &mut S) -> Result<(), S::Error> {
        self.look(now, sink)?;
        while let Some(at) = self.table.next_due(now) {
            let over = self.table.flow(at).map_or(now, |flow| flow.deadline);
            self.end(at, over, None, sink)?;
            let row = self.table.entry(at).and_then(|(_, cold)| cold.suppressed.take());
            self.table.release(at);
            if let Some(row) = row {
                self.write(&row, sink)?;
            }
        }
        Ok(())
    }

    /// The flow of a packet, made if it is new; `None` if there is no room for it. `located` is
    /// where it is likely to be.
    pub(super) fn entry<S: Sink>(
        &mut self,
        now: Timestamp,
        observed: &Observed,
        hash: u64,
        located: u32,
        sink: &mut S,
    ) -> Result<Option<u32>, S::Error> {
        let known = match self.table.flow_near(located, &observed.key) {
            Some(_) => Some(located),
            None => self.table.find(&observed.key, hash),
        };
        if let Some(at) = known {
            let over = self.table.flow(at).map_or(now, |flow| flow.deadline);
            if let Some(flow) = self.table.flow(at).filter(|_| over > now) {
                if flow.life == Life::Unseen {
                    (flow.life, flow.client) = (Life::New, observed.from);
                    self.stats.flows += 1;
                }
                return Ok(Some(at));
            }
            // The wheel has not come round to it yet.
            self.forget(at, over, None, sink)?;
        }
        let at = match self.table.insert(observed.key, hash, observed.from, now) {
            Ok(at) => at,
            Err(Full) => {
                let profile = self.config.profile;
                let Some(victim) = self.table.candidate(|flow| flow.may_go(profile)) else {
                    return Ok(None);
                };
                self.stats.evicted += 1;
                self.forget(victim, now, Some(Ending::Cap), sink)?;
                match self.table.insert(observed.key, hash, observed.from, now) {
                    Ok(at) => at,
                    Err(Full) => return Ok(None),
                }
            }
        };
        self.stats.flows += 1;
        Ok(Some(at))
    }

    /// Forgets a flow, which may have an account; `ending` is why, where that does not tell.
    fn forget<S: Sink>(
        &mut self,
        at: u32,
        now: Timestamp,
        ending: Option<Ending>,
        sink: &mut S,
    ) -> Result<(), S::Error> {
        self.end(at, now, ending, sink)?;
        let row = self.table.entry(at).and_then(|(_, cold)| cold.suppressed.take());
        self.table.remove(at);
        row.map_or(Ok(()), |row| self.write(&row, sink))
    }

    pub(super) fn write<S: Sink>(&mut self, row: &Event, sink: &mut S) -> Result<(), S::Error> {
        if row.retransmission {
            self.stats.retransmissions += 1;
        } else {
            self.stats.count_event(row.flag);
        }
        if self.none_waits() { sink.event(row) } else { self.tell(Told::Event(*row), sink) }
    }
}

impl Occasion {
    #[inline(always)]
    pub(super) fn event(
        &self,
        observed: &Observed,
        flag: EventFlag,
        state: StateAfter,
        side: Option<Side>,
    ) -> Event {
        Event {
            time: self.time,
            packet: self.number,
            flag,
            src: observed.key.socket(observed.from),
            dst: observed.key.socket(observed.from.other()),
            tunnel: self.tunnel,
            state: state.state(),
            side,
            reason: None,
            missing: None,
            retransmission: false,
            taps: [None; MAX_TAPS],
            egress_only: false,
            suppressed: 0,
        }
    }
}
