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
    /// Up to when the clock has told the logs that time has passed.
    past: Timestamp,
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
            past: Timestamp::EPOCH,
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
        // That a flow has timed out is noticed with the next packet of the mirror, which may be hours
        // later: what the clock has closed stays closed, as it may have gone to a store.
        record.told = record.told.max(self.past);
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
        self.past = Timestamp::EPOCH + now.since(Timestamp::EPOCH + LATE);
        if let Some(vnet) = &mut self.vnet {
            self.vnet_trouble.look(vnet.tick(self.past), vnet.counters().written);
        }
        if let Some(analytics) = &mut self.analytics {
            self.analytics_trouble.look(analytics.tick(self.past), analytics.counters().written);
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

#[cfg(test)]
mod tests {
    use std::fs;

    use vtap_decap::Decap;
    use vtap_flow::{Answer, Config, Event, Gap, Sink, Tracker};
    use vtap_flowlog::Ids;
    use vtap_networks::Networks;
    use vtap_pipeline::Pipeline;
    use vtap_testkit::{packet, traffic};

    use super::*;

    /// The records of a flow that is over, told at this time.
    fn told(at: Timestamp) -> Vec<Told> {
        #[derive(Default)]
        struct Records(Vec<Told>);
        impl Sink for Records {
            type Error = std::convert::Infallible;
            fn event(&mut self, _: &Event) -> Result<(), Self::Error> {
                Ok(())
            }
            fn gap(&mut self, _: &Gap) -> Result<(), Self::Error> {
                Ok(())
            }
            fn record(&mut self, record: &Record) -> Result<(), Self::Error> {
                self.0.push(Told::Record { belt: 0, record: Box::new(record.clone()) });
                Ok(())
            }
            fn answer(&mut self, answer: &Answer) -> Result<(), Self::Error> {
                self.0.push(Told::Answer(Box::new(answer.clone())));
                Ok(())
            }
        }
        let tracker = Tracker::new(Config { records: true, ..Config::default() });
        let mut pipeline = Pipeline::new(Decap::new(vtap_decap::Config::default()), Some(tracker));
        pipeline.intake.plain = true;
        let mut records = Records::default();
        let handshake = traffic::conversation(1).handshake().map(|frame| frame.build());
        for (number, frame) in (1..).zip(handshake) {
            let Ok(()) = pipeline.queue(packet(number, at, &frame), &mut records);
        }
        let Ok(_) = pipeline.finish(&mut records);
        records.0
    }

    #[test]
    fn an_hour_that_the_clock_has_closed_is_not_written_again() {
        let temp = tempfile::tempdir().unwrap();
        let vnet = VnetFlowLog::open(temp.path(), &Ids::default()).unwrap();
        let mut logs = FlowLogs::new(Describer::new(Networks::default()), None, Some(vnet), None);
        let midnight = Timestamp::new(1_764_547_200, 0);
        let late = midnight + Duration::from_secs(7200);
        logs.tick(late);
        for told in told(midnight) {
            logs.take(told);
        }
        logs.finish(late);
        let below = |name: &str| {
            let all = temp.path().join("vnet-flow-log/insights-logs-flowlogflowevent");
            let mut open = vec![all];
            let mut found = false;
            while let Some(inner) = open.pop() {
                for path in fs::read_dir(inner).unwrap().map(|entry| entry.unwrap().path()) {
                    found |= path.ends_with(name);
                    open.extend(path.is_dir().then_some(path));
                }
            }
            found
        };
        // It is told of the minute before the clock's own, as that waits for late packets.
        assert!(below("h=01") && !below("h=00"));
        let taken = logs.counters();
        assert_eq!((taken.records, taken.tuples), (1, Log { made: 2, written: 2, lost: 0 }));
    }
}
