//! The threads that write: rows of events, and logs of flows.

use std::sync::PoisonError;
use std::time::Duration;

use vtap_packet::Timestamp;

use crate::collector::Shared;
use crate::flows::{Flows, Told};
use crate::queue::Queued;
use crate::rows::{Row, Rows};
use crate::{Now, flows, rows};

/// How often what was gathered is written.
const TICK: Duration = Duration::from_millis(500);

/// Writes rows until every belt has ended, or nobody takes rows any more.
pub(crate) fn rows(
    queued: &Queued<Row>,
    mut rows: Box<dyn Rows>,
    shared: &Shared,
    now: Now,
) -> Option<vtap_export::Error> {
    let settle = |taken: rows::Taken| {
        *shared.rows_taken.lock().unwrap_or_else(PoisonError::into_inner) = taken;
    };
    let (mut pace, mut tuned) = (Pace::new(now()), 0);
    while let Some(batch) = queued.receive(TICK) {
        for row in &batch {
            rows.take(row);
        }
        if batch.capacity() > 0 {
            queued.recycle(batch);
        }
        let time = now();
        if pace.is_due(time) {
            if let Some(tuning) = shared.tuned(&mut tuned) {
                rows.rotate(tuning.rotation);
            }
            rows.tick(time);
        }
        settle(rows.counters());
        if let Some(error) = rows.over() {
            return Some(error);
        }
    }
    rows.finish(now());
    settle(rows.counters());
    rows.over()
}

/// Writes logs of flows until every belt has ended.
pub(crate) fn flows(queued: &Queued<Told>, mut flows: Box<dyn Flows>, shared: &Shared, now: Now) {
    let settle = |taken: flows::Taken| {
        *shared.flows_taken.lock().unwrap_or_else(PoisonError::into_inner) = taken;
    };
    let (mut pace, mut tuned) = (Pace::new(now()), 0);
    while let Some(mut batch) = queued.receive(TICK) {
        batch.drain(..).for_each(|told| flows.take(told));
        if batch.capacity() > 0 {
            queued.recycle(batch);
        }
        let time = now();
        if pace.is_due(time) {
            if let Some(tuning) = shared.tuned(&mut tuned) {
                flows.rotate(tuning.flow_rotation);
            }
            flows.tick(time);
        }
        settle(flows.counters());
    }
    flows.finish(now());
    settle(flows.counters());
}

/// When it is time for the next tick.
struct Pace {
    next: Timestamp,
}

impl Pace {
    fn new(now: Timestamp) -> Self {
        Self { next: now + TICK }
    }

    fn is_due(&mut self, now: Timestamp) -> bool {
        // A clock that was set back would leave it waiting.
        let is_due = now >= self.next || self.next.since(now) > TICK;
        if is_due {
            self.next = now + TICK;
        }
        is_due
    }
}
