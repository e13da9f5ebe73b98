//! The places that packets and rows pass, in order, and what mends a drop at each.

use vtap_export::report::count;

use crate::Accounting;

/// One of them.
#[derive(Clone, Debug)]
pub struct Layer {
    /// `card eth0`, `source`, ...
    pub name: String,
    /// What passes it: `packets`, `rows`, `tuples`, `records` of flows, or `files`.
    pub unit: &'static str,
    /// Those that went on.
    pub passed: u64,
    /// Those that were lost here.
    pub dropped: u64,
    /// Whether it counts all traffic of the machine, of which what is mirrored is a part.
    pub all_traffic: bool,
    /// Who counts.
    pub counted_by: &'static str,
    /// What else was seen here, which is no loss; empty for nothing.
    pub note: String,
    /// What mends a drop.
    pub remedy: String,
}

impl Accounting {
    /// Every place where something can be lost on this machine, in the order in which it is passed.
    pub fn layers(&self) -> Vec<Layer> {
        let mut layers = Vec::new();
        for (name, nic) in &self.nics {
            let remedy = if nic.missed > 0 {
                format!("the card has no room: ethtool -G {name} rx N, or more queues")
            } else {
                format!(
                    "the kernel has no room, or no use for such packets: ip -s -s link show {name}"
                )
            };
            let damaged = match nic.errors {
                0 => String::new(),
                n => format!("{} errors", count(n)),
            };
            layers.push(Layer {
                name: format!("card {name}"),
                unit: "packets",
                passed: nic.received,
                dropped: nic.dropped + nic.missed,
                all_traffic: true,
                counted_by: "card, all traffic",
                note: damaged,
                remedy,
            });
        }
        let squeezed = match self.softnet.squeezed {
            0 => String::new(),
            n => format!("squeezed {} times", count(n)),
        };
        layers.push(Layer {
            name: "softnet".into(),
            unit: "packets",
            passed: self.softnet.processed,
            dropped: self.softnet.dropped,
            all_traffic: true,
            counted_by: "kernel, all traffic",
            note: squeezed,
            remedy: "raise net.core.netdev_max_backlog, or spread the load over processors (RPS)"
                .into(),
        });
        let frozen = match self.source.freezes {
            0 => String::new(),
            n => format!("full {} times", count(n)),
        };
        layers.push(Layer {
            name: "source".into(),
            unit: "packets",
            passed: self.source.received.saturating_sub(self.source.dropped),
            dropped: self.source.dropped,
            all_traffic: false,
            counted_by: "kernel",
            note: frozen,
            remedy: "enlarge source.buffer; if it goes on, use more source.threads".into(),
        });
        if self.recorder.offered > 0 {
            layers.push(Layer {
                name: "recorder".into(),
                unit: "packets",
                passed: self.recorder.recorded,
                dropped: self.recorder.dropped,
                all_traffic: false,
                counted_by: "vtap",
                note: String::new(),
                remedy: "the disk is slower than the packets, or full: enlarge record.buffer, \
                         lower record.bytes_per_packet, or record to a faster disk"
                    .into(),
            });
        }
        layers.push(Layer {
            name: "row queue".into(),
            unit: "rows",
            passed: self.rows.made.saturating_sub(self.rows.overflowed),
            dropped: self.rows.overflowed,
            all_traffic: false,
            counted_by: "vtap",
            note: String::new(),
            remedy: "rows are made faster than written: enlarge events.queue, ask for fewer \
                     events.flags, or write to a faster disk"
                .into(),
        });
        layers.push(Layer {
            name: "row output".into(),
            unit: "rows",
            passed: self.rows.written,
            dropped: self.rows.lost,
            all_traffic: false,
            counted_by: "vtap",
            note: String::new(),
            remedy: "they could not be written: the log says why (room on the disk, permissions)"
                .into(),
        });
        self.logs_of_flows(&mut layers);
        self.store(&mut layers);
        layers
    }

    fn logs_of_flows(&self, layers: &mut Vec<Layer>) {
        let told = &self.told;
        if told.made == 0 {
            return;
        }
        layers.push(Layer {
            name: "flow queue".into(),
            unit: "records",
            passed: told.taken.records + told.taken.answers,
            dropped: told.overflowed,
            all_traffic: false,
            counted_by: "vtap",
            note: String::new(),
            remedy: "flows end faster than their logs are written: enlarge flows.queue, write \
                     fewer of the logs, or to a faster disk (docs/flow-logs.md)"
                .into(),
        });
        for (name, log) in told.logs().into_iter().filter(|(_, log)| log.made > 0) {
            layers.push(Layer {
                name: name.into(),
                unit: match name {
                    "flows" => "rows",
                    "vnet-flow-log" => "tuples",
                    _ => "records",
                },
                passed: log.written,
                dropped: log.lost,
                all_traffic: false,
                counted_by: "vtap",
                note: String::new(),
                remedy: "it could not be written: the log says why (room on the disk, permissions)"
                    .into(),
            });
        }
    }

    fn store(&self, layers: &mut Vec<Layer>) {
        let uploads = &self.uploads;
        if uploads.uploaded + uploads.failed + uploads.vanished + uploads.pending_files == 0 {
            return;
        }
        let pending = match uploads.pending_files {
            0 => String::new(),
            files => format!("{} files to go", count(files)),
        };
        layers.push(Layer {
            name: "upload".into(),
            unit: "files",
            passed: uploads.uploaded,
            dropped: uploads.vanished,
            all_traffic: false,
            counted_by: "vtap",
            note: pending,
            remedy: "somebody removed files before they went: see what cleans up in the \
                     directories, and keep limits where upload.after is keep"
                .into(),
        });
    }
}
