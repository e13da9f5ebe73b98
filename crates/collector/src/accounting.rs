//! What every layer saw and dropped.
//!
//! A mirrored packet passes them in this order: the network card, the kernel's backlog (softnet),
//! the ring or socket of the source, the belt, the queues of rows and of flows, the files, the store. How many packets the
//! mirror sent is known to nobody here; from the network card on, nothing is lost uncounted.

use serde_json::{Map, Value, json};
use vtap_capture::live;
use vtap_export::report;
use vtap_packet::Timestamp;
use vtap_pipeline::Report;

use crate::flows::{self, Log};
use crate::host::{Nic, Process, Softnet};
use crate::uploads;

/// The counters of a collector, all since it was started.
#[derive(Clone, Debug, Default)]
pub struct Accounting {
    /// When it was started.
    pub since: Timestamp,
    /// When this was asked.
    pub at: Timestamp,
    /// Network cards, by name. They count all traffic, not only what is mirrored.
    pub nics: Vec<(String, Nic)>,
    /// The kernel's backlog, of all processors and all traffic.
    pub softnet: Softnet,
    /// The rings or sockets of the sources.
    pub source: live::Counters,
    /// The belt.
    pub report: Report,
    /// Flows in the table now.
    pub flows: u64,
    /// Rows of events, from the belt to the file.
    pub rows: RowCounters,
    /// What is told of flows, from the belt to the logs.
    pub told: FlowCounters,
    /// Files on their way to a store.
    pub uploads: uploads::Counters,
    /// What is kept of the packets themselves.
    pub recorder: vtap_recorder::Counters,
    /// What the collector itself takes of the machine.
    pub process: Process,
}

/// What became of rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RowCounters {
    /// Rows that the belt made and that were asked for.
    pub made: u64,
    /// Of these, dropped because the queue to the writer was full.
    pub overflowed: u64,
    /// Given to the system to write.
    pub written: u64,
    /// Dropped because they could not be written.
    pub lost: u64,
    /// Without a place in the format.
    pub omitted: u64,
}

impl RowCounters {
    /// Rows on their way.
    pub const fn waiting(&self) -> u64 {
        self.made.saturating_sub(self.overflowed + self.written + self.lost + self.omitted)
    }
}

/// What became of what was told of flows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FlowCounters {
    /// Records of flows and DNS answers that the belts told.
    pub made: u64,
    /// Of these, dropped because the queue to the logs was full.
    pub overflowed: u64,
    /// Those that the logs have taken, and what became of them there.
    pub taken: flows::Taken,
}

impl FlowCounters {
    /// On their way to the logs.
    pub const fn waiting(&self) -> u64 {
        self.made.saturating_sub(self.overflowed + self.taken.answers + self.taken.records)
    }

    /// The logs by name, in the order in which they take a record.
    pub const fn logs(&self) -> [(&'static str, Log); 3] {
        let flows::Taken { rows, tuples, sums, .. } = self.taken;
        [("flows", rows), ("vnet-flow-log", tuples), ("traffic-analytics", sums)]
    }

    fn assert_laws(&self) {
        let flows::Taken { answers, records, begun, rows, sums, .. } = self.taken;
        assert!(
            self.made == self.overflowed + answers + records,
            "broken law: made = overflowed + answers + records in {self:?}"
        );
        for (name, Log { made, written, lost }) in self.logs() {
            assert!(
                made == written + lost,
                "broken law: made = written + lost of {name} in {self:?}"
            );
        }
        // Those that are not asked for have none.
        assert!(rows.made == 0 || records == begun + rows.made, "broken law: flows in {self:?}");
        assert!(sums.made == 0 || records == sums.made, "broken law: sums in {self:?}");
    }
}

impl Accounting {
    /// How long the oldest file that the store has not waits for it.
    pub fn oldest_pending(&self) -> std::time::Duration {
        self.uploads.oldest_pending.map(|oldest| self.at.since(oldest)).unwrap_or_default()
    }

    /// Packets that the kernel has counted and not handed over: those still in the ring.
    pub const fn unread(&self) -> u64 {
        self.source.received.saturating_sub(self.source.dropped + self.report.packets)
    }

    /// All of it, the counters of the belt by the names of `docs/counters.md`.
    pub fn to_json(&self) -> Value {
        let Self { source, softnet, rows, told, uploads, recorder, process, .. } = self;
        let nic = |(name, nic): &(String, Nic)| {
            let counters = json!({
                "received": nic.received,
                "dropped": nic.dropped,
                "missed": nic.missed,
                "errors": nic.errors,
            });
            (name.clone(), counters)
        };
        let nics: Map<String, Value> = self.nics.iter().map(nic).collect();
        let log = |(name, log): (&'static str, Log)| {
            let Log { made, written, lost } = log;
            let waiting = log.waiting();
            let counters =
                json!({ "made": made, "written": written, "lost": lost, "waiting": waiting });
            (name.to_owned(), counters)
        };
        let logs: Map<String, Value> = told.logs().into_iter().map(log).collect();
        let mut all = report::json(&self.report);
        let ours = [
            ("since", self.since.to_string().into()),
            ("at", self.at.to_string().into()),
            ("nics", nics.into()),
            (
                "softnet",
                json!({
                    "processed": softnet.processed,
                    "dropped": softnet.dropped,
                    "squeezed": softnet.squeezed,
                }),
            ),
            (
                "source",
                json!({
                    "received": source.received,
                    "dropped": source.dropped,
                    "unread": self.unread(),
                    "freezes": source.freezes,
                    "interface_dropped": source.interface_dropped,
                }),
            ),
            ("flows_now", self.flows.into()),
            (
                "rows",
                json!({
                    "made": rows.made,
                    "overflowed": rows.overflowed,
                    "written": rows.written,
                    "lost": rows.lost,
                    "omitted": rows.omitted,
                    "waiting": rows.waiting(),
                }),
            ),
            (
                "flow_queue",
                json!({
                    "made": told.made,
                    "overflowed": told.overflowed,
                    "answers": told.taken.answers,
                    "records": told.taken.records,
                    "begun": told.taken.begun,
                    "waiting": told.waiting(),
                }),
            ),
            ("flow_log", logs.into()),
            (
                "upload",
                json!({
                    "uploaded": uploads.uploaded,
                    "bytes": uploads.bytes,
                    "failed": uploads.failed,
                    "removed": uploads.removed,
                    "vanished": uploads.vanished,
                    "unnameable": uploads.unnameable,
                    "pending_files": uploads.pending_files,
                    "pending_bytes": uploads.pending_bytes,
                    "oldest_pending_seconds": self.oldest_pending().as_secs(),
                }),
            ),
            (
                "recorder",
                json!({
                    "offered": recorder.offered,
                    "filtered": recorder.filtered,
                    "left_out": recorder.left_out,
                    "over_limit": recorder.over_limit,
                    "dropped": recorder.dropped,
                    "dropped_bytes": recorder.dropped_bytes,
                    "recorded": recorder.recorded,
                    "recorded_bytes": recorder.recorded_bytes,
                }),
            ),
            (
                "process",
                json!({
                    "resident": process.resident,
                    "cpu_seconds": process.cpu.as_secs_f64(),
                    "threads": process.threads,
                    "open_files": process.open_files,
                }),
            ),
        ];
        all.extend(ours.map(|(name, value): (&str, Value)| (name.to_owned(), value)));
        Value::Object(all)
    }

    /// Checks the laws of a collector that has come to its end.
    ///
    /// # Panics
    ///
    /// If one does not hold: a packet or a row was lost or counted twice, so no number can be trusted.
    pub fn assert_laws(&self) {
        self.report.assert_laws();
        let RowCounters { made, overflowed, written, lost, omitted } = self.rows;
        assert!(
            made == overflowed + written + lost + omitted,
            "broken law: made = overflowed + written + lost + omitted in {self:?}"
        );
        self.told.assert_laws();
        self.recorder.assert_laws();
        assert!(
            self.source.received >= self.source.dropped + self.report.packets,
            "broken law: more packets read than the kernel had, in {self:?}"
        );
    }
}
