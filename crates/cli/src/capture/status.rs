//! The status of a session, for people and as JSON.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;

use serde_json::{Map, Value, json};
use vtap_export::report::{count, list, size};
use vtap_files::Partial;
use vtap_pipeline::Report;
use vtap_recorder::{Counters, Status, StopReason};

use crate::Finish;
use crate::args::SummaryTo;
use crate::summary::unmirrored;

/// What a session is, or was.
pub(super) struct Outcome {
    pub(super) status: Status,
    pub(super) report: Report,
    /// What the kernel counted, of a live session.
    pub(super) kernel: Option<Kernel>,
}

/// Packets that passed the kernel's filter, and those of them that it dropped.
pub(super) struct Kernel {
    pub(super) received: u64,
    pub(super) dropped: u64,
}

/// Files that are named one by one.
const LISTED: usize = 10;

impl Outcome {
    pub(super) fn finish(&self) -> Finish {
        let Status { stop_reason, errors, counters, .. } = &self.status;
        let failed = *stop_reason == Some(StopReason::StorageFailed) || !errors.is_empty();
        if failed || counters.left_out > 0 { Finish::Damaged } else { Finish::Whole }
    }

    pub(super) fn write(&self, to: &SummaryTo) -> anyhow::Result<()> {
        match to {
            SummaryTo::Text => eprint!("{}", self.text()),
            SummaryTo::Json => {
                eprintln!("{}", self.json());
                return Ok(());
            }
            SummaryTo::File(path) => replace(path, self)?,
        }
        let Status { failing, messages, counters, .. } = &self.status;
        for message in failing.iter().chain(messages) {
            eprintln!("vtap: {message}");
        }
        if counters.left_out > 0 {
            eprintln!(
                "vtap: {} packets of another link type than the first do not fit into pcap; \
                 use --format pcapng",
                counters.left_out
            );
        }
        Ok(())
    }

    fn json(&self) -> Value {
        let mut status = self.status.to_json();
        let skipped: Map<_, _> =
            self.report.skipped().map(|(name, n)| (name.to_owned(), n.into())).collect();
        let received = json!({
            "packets": self.report.packets,
            "bytes": self.report.bytes,
            "decapsulated": self.report.decapsulated(),
            "plain": self.report.plain,
            "fragments_absorbed": self.report.decap.fragments.absorbed,
            "skipped": skipped,
        });
        if let Some(vtap) = status.get_mut("vtap").and_then(Value::as_object_mut) {
            vtap.insert("received".to_owned(), received);
            if let Some(Kernel { received, dropped }) = &self.kernel {
                let kernel = json!({ "received": received, "dropped": dropped });
                vtap.insert("kernel".to_owned(), kernel);
            }
        }
        status
    }

    fn text(&self) -> String {
        let mut text = String::from("\n");
        let mut row = |name: &str, value: String| {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{name:<15} {value}");
        };
        let Status { name, stop_reason, counters, files, removed, .. } = &self.status;
        let reason = stop_reason.map_or_else(String::new, |reason| format!(" ({reason})"));
        let elapsed = self.status.elapsed().as_secs_f64();
        row("session", format!("{name}: {}{reason} after {elapsed:.3} s", self.status.state()));
        if let Some(Kernel { received, dropped }) = &self.kernel {
            row("kernel", format!("{} received, {} dropped", count(*received), count(*dropped)));
        }
        let report = &self.report;
        let mirrored = format!("{} decapsulated", count(report.decapsulated()));
        let plain = (report.plain > 0).then(|| format!("{} plain", count(report.plain)));
        let absorbed = report.decap.fragments.absorbed;
        let absorbed = (absorbed > 0).then(|| format!("{} fragments", count(absorbed)));
        let skipped = Some(list(report.skipped())).filter(|skipped| !skipped.is_empty());
        let parts: Vec<_> =
            [Some(mirrored), plain, absorbed, skipped].into_iter().flatten().collect();
        row("packets", format!("{}: {}", count(report.packets), parts.join(", ")));
        let Counters { filtered, left_out, over_limit, dropped, recorded, recorded_bytes, .. } =
            *counters;
        row("recorded", format!("{}, {}", count(recorded), size(recorded_bytes)));
        let others = [
            ("filtered", filtered),
            ("dropped", dropped),
            ("over the limit", over_limit),
            ("left out", left_out),
        ];
        let others = list(others.into_iter().filter(|(_, n)| *n > 0));
        if !others.is_empty() {
            row("not recorded", others);
        }
        let unlisted = files.len().saturating_sub(LISTED);
        for (index, file) in files.iter().skip(unlisted).enumerate() {
            let state = if file.complete { "" } else { ", not complete: see .partial" };
            let (path, bytes) = (file.path.display(), size(file.bytes));
            let packets = count(file.packets);
            let title = if index == 0 { "files" } else { "" };
            row(title, format!("{path}: {packets} packets, {bytes}{state}"));
        }
        if unlisted > 0 {
            row("", format!("the newest {LISTED} of {}", files.len()));
        }
        if *removed > 0 {
            row("removed", format!("{} older files", count(*removed)));
        }
        text.push_str(&unmirrored(report));
        text
    }
}

/// Writes a status to a file, which is whole whenever somebody reads it.
pub(super) fn replace(path: &Path, outcome: &Outcome) -> anyhow::Result<()> {
    let mut file = Partial::create(path)?;
    writeln!(file, "{:#}", outcome.json())?;
    file.finish()?;
    Ok(())
}
