//! The logs of flows in files: rows, the flow log of a virtual network, traffic analytics.

use std::time::Duration;

use vtap_export::Rotated;
use vtap_files::{Error, Rotation};
use vtap_flow::Record;
use vtap_flow::record::Phase;
use vtap_flowlog::{Analytics, VnetFlowLog};
use vtap_networks::Describer;
use vtap_packet::Timestamp;

use crate::flows::{Flows, Log, Taken, Told};
use crate::places::{self, whole};

/// How long after the end of a minute, by the clock, packets of it are waited for. They move time
/// themselves; the clock does where there are none.
const LATE: Duration = Duration::from_secs(5);

/// Belts at most. Each numbers its packets for itself, and logs tell flows apart by these numbers.
const BELTS: u64 = 1 << 10;

/// Describes what is told of flows, and writes the logs that there are.
#[derive(Debug)]
pub struct FlowLogs {
    describer: Describer,
    rows: Option<Rotated>,
    vnet: Option<VnetFlowLog>,
    vnet_trouble: Trouble,
    analytics: Option<Analytics>,
    analytics_trouble: Trouble,
    taken: Taken,
}

impl FlowLogs {
    /// To these logs. Says what became of files of rows that an earlier run has left.
    pub fn new(
        describer: Describer,
        rows: Option<Rotated>,
        vnet: Option<VnetFlowLog>,
        analytics: Option<Analytics>,
    ) -> Self {
        if let Some(rows) = &rows {
            places::tell_leftovers(rows);
        }
        Self {
            describer,
            rows,
            vnet,
            vnet_trouble: Trouble::of("the flow log of the virtual network"),
            analytics,
            analytics_trouble: Trouble::of("traffic analytics"),
            taken: Taken::default(),
        }
    }

    fn record(&mut self, belt: usize, mut record: Box<Record>) {
        self.taken.records += 1;
        let description = self.describer.describe(&record);
        let begun = record.phase == Phase::Begin;
        self.taken.begun += u64::from(begun);
        if let Some(rows) = &mut self.rows {
            self.taken.rows.made += u64::from(!begun);
            rows.flow(&record, &description);
        }
        record.packet = record.packet.wrapping_mul(BELTS).wrapping_add(belt as u64);
        if let Some(vnet) = &mut self.vnet {
            self.vnet_trouble.look(vnet.record(&record, &description), vnet.counters().written);
        }
        if let Some(analytics) = &mut self.analytics {
            let summed = analytics.record(&record, &description);
            self.analytics_trouble.look(summed, analytics.counters().written);
        }
    }

    fn look(&mut self) {
        if let Some(rows) = &mut self.rows {
            places::tell_health(rows, "rows of flows");
        }
    }
}

impl Flows for FlowLogs {
    fn take(&mut self, told: Told) {
        match told {
            Told::Record { belt, record } => self.record(belt, record),
            Told::Answer(answer) => {
                self.taken.answers += 1;
                self.describer.answer(&answer);
            }
        }
    }

    fn tick(&mut self, now: Timestamp) {
        if let Some(rows) = &mut self.rows {
            rows.tick(now);
            rows.flush();
        }
        self.look();
        let past = Timestamp::EPOCH + now.since(Timestamp::EPOCH + LATE);
        if let Some(vnet) = &mut self.vnet {
            self.vnet_trouble.look(vnet.tick(past), vnet.counters().written);
        }
        if let Some(analytics) = &mut self.analytics {
            self.analytics_trouble.look(analytics.tick(past), analytics.counters().written);
        }
    }

    fn finish(&mut self, now: Timestamp) {
        self.look();
        if let Some(rows) = self.rows.take() {
            let (rows, finished) = rows.finish(now);
            self.taken.rows.written = rows.rows;
            self.taken.rows.lost = rows.lost;
            if let Err(error) = finished {
                tracing::error!("{}", whole(&error));
            }
        }
        if let Some(mut vnet) = self.vnet.take() {
            self.vnet_trouble.end(vnet.finish());
            let vnet = vnet.counters();
            // What could not be written now is gone.
            let lost = vnet.tuples - vnet.written;
            self.taken.tuples = Log { made: vnet.tuples, written: vnet.written, lost };
        }
        if let Some(mut analytics) = self.analytics.take() {
            self.analytics_trouble.end(analytics.finish());
            let sums = analytics.counters();
            let lost = sums.records - sums.written;
            self.taken.sums = Log { made: sums.records, written: sums.written, lost };
        }
    }

    fn counters(&self) -> Taken {
        let mut taken = self.taken;
        if let Some(rows) = &self.rows {
            let counters = rows.counters();
            (taken.rows.written, taken.rows.lost) = (counters.rows, counters.lost);
        }
        if let Some(vnet) = &self.vnet {
            let counters = vnet.counters();
            let (written, lost) = (counters.written, counters.lost);
            taken.tuples = Log { made: counters.tuples, written, lost };
        }
        if let Some(analytics) = &self.analytics {
            let counters = analytics.counters();
            let (written, lost) = (counters.written, counters.lost);
            taken.sums = Log { made: counters.records, written, lost };
        }
        taken
    }

    fn rotate(&mut self, rotation: Rotation) {
        let Some(rows) = &mut self.rows else { return };
        if let Err(error) = rows.set_rotation(rotation) {
            tracing::error!("{}", whole(&error));
        }
    }
}

/// Whether a log can be written, told once each time that it changes.
#[derive(Debug)]
struct Trouble {
    log: &'static str,
    /// What had been written when it failed; `None` while it does not.
    since: Option<u64>,
}

impl Trouble {
    const fn of(log: &'static str) -> Self {
        Self { log, since: None }
    }

    fn look(&mut self, result: Result<(), Error>, written: u64) {
        match (result, self.since) {
            (Err(error), None) => {
                let (log, error) = (self.log, whole(&error));
                tracing::error!("{log}: {error}; it waits in memory, and is lost beyond that");
                self.since = Some(written);
            }
            // Only what was written since tells that it can be: most calls write nothing.
            (Ok(()), Some(then)) if written > then => {
                tracing::warn!("{} is written again", self.log);
                self.since = None;
            }
            _ => {}
        }
    }

    /// At the end, whether it was told before or not.
    fn end(&self, result: Result<(), Error>) {
        if let Err(error) = result {
            tracing::error!("{}: {}; what waited is lost", self.log, whole(&error));
        }
    }
}
