//! What is written, and what goes to a store.

use super::family::Families;
use crate::Accounting;
use crate::flows::Log;

impl Families {
    pub(super) fn rows(&mut self, all: &Accounting) {
        let rows = &all.rows;
        self.counter("vtap_rows_made_total", "Rows that the belt made.", rows.made);
        let outcomes = [
            ("written", rows.written),
            ("overflowed", rows.overflowed),
            ("lost", rows.lost),
            ("omitted", rows.omitted),
        ];
        self.by("vtap_rows_total", "Rows by what became of them.", "outcome", outcomes);
        self.gauge("vtap_rows_waiting", "Rows on their way to the file.", rows.waiting() as f64);
    }

    pub(super) fn flows(&mut self, all: &Accounting) {
        let told = &all.told;
        self.counters([
            (
                "vtap_flow_queue_made_total",
                "Records of flows and DNS answers that the belts told.",
                told.made,
            ),
            (
                "vtap_flow_queue_overflowed_total",
                "Of these, dropped as the queue to the logs of flows was full.",
                told.overflowed,
            ),
            (
                "vtap_flow_queue_answers_total",
                "DNS answers that the logs of flows have taken.",
                told.taken.answers,
            ),
            (
                "vtap_flow_queue_records_total",
                "Records that the logs of flows have taken.",
                told.taken.records,
            ),
            (
                "vtap_flow_queue_begun_total",
                "Of these, that a flow has begun, which is no row.",
                told.taken.begun,
            ),
        ]);
        let help = "Records of flows and DNS answers on their way to the logs.";
        self.gauge("vtap_flow_queue_waiting", help, told.waiting() as f64);
        let logs = |counter: fn(&Log) -> u64| told.logs().map(|(name, log)| (name, counter(&log)));
        let help = "What a log of flows was to write.";
        self.by("vtap_flow_log_made_total", help, "log", logs(|log| log.made));
        let help = "What a log of flows has in files.";
        self.by("vtap_flow_log_written_total", help, "log", logs(|log| log.written));
        let help = "What a log of flows has given up, as it could not be written.";
        self.by("vtap_flow_log_lost_total", help, "log", logs(|log| log.lost));
        let help = "What a log of flows holds in memory.";
        self.gauges_by("vtap_flow_log_waiting", help, "log", logs(Log::waiting));
    }

    pub(super) fn uploads(&mut self, all: &Accounting) {
        let uploads = &all.uploads;
        self.counters([
            (
                "vtap_upload_uploaded_total",
                "Uploads that the store has acknowledged.",
                uploads.uploaded,
            ),
            ("vtap_upload_bytes_total", "Bytes of these uploads.", uploads.bytes),
            (
                "vtap_upload_failed_total",
                "Uploads that failed; each is tried again.",
                uploads.failed,
            ),
            ("vtap_upload_removed_total", "Files removed after their upload.", uploads.removed),
            (
                "vtap_upload_vanished_total",
                "Files taken away before the store had them.",
                uploads.vanished,
            ),
        ]);
        let pending = uploads.pending_files as f64;
        self.gauge("vtap_upload_pending_files", "Files that the store has not.", pending);
        let bytes = uploads.pending_bytes as f64;
        self.gauge("vtap_upload_pending_bytes", "Bytes of these files.", bytes);
        let oldest = all.oldest_pending().as_secs() as f64;
        self.gauge("vtap_upload_oldest_pending_seconds", "Age of the oldest of these.", oldest);
        let help = "Files whose names no object can have.";
        self.gauge("vtap_upload_unnameable", help, uploads.unnameable as f64);
    }
}
