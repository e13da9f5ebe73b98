//! `vtap trace`: one row a packet.

use std::io;
use std::time::Duration;

use vtap_export::packets::{Packets, Verdict};
use vtap_flow::Note;
use vtap_pipeline::{Fate, RunError};

use crate::args::{Trace, TraceFormat};
use crate::summary::Summary;
use crate::{Finish, Silent, plan};

pub(crate) fn run(args: &Trace) -> anyhow::Result<Finish> {
    let mut pipeline = plan::tracking_pipeline(&args.input, &args.envelope, &args.tracking)?;
    let mut inputs = plan::inputs(&args.input, &[])?;
    let mut rows = match args.format {
        TraceFormat::Text => Packets::text(io::stdout()),
        TraceFormat::Json => Packets::json(io::stdout()),
    };
    let ran = vtap_pipeline::watch(&mut inputs, &mut pipeline, &mut Silent, &mut (), |seen| {
        rows.packet(&seen.packet, words(seen.fate))
    });
    let (report, failed) = match ran {
        Ok(report) => (report, None),
        Err(RunError::Sink(error)) => return Err(error.into()),
        Err(RunError::Capture(error)) => (pipeline.finish(&mut Silent)?, Some(error)),
    };
    rows.finish()?;
    let summary = Summary::new(&report, &inputs, failed.as_ref(), Duration::ZERO);
    summary.write_damage();
    Ok(summary.finish())
}

fn words(fate: Fate) -> Verdict<'static> {
    let skipped = |reason| Verdict { verdict: "SKIPPED", state: "NONE", reason, note: None };
    match fate {
        Fate::OuterFilter => skipped(Some("outer-filter")),
        Fate::NotMirrored => skipped(Some("not-mirrored")),
        Fate::Absorbed => skipped(Some("fragment-absorbed")),
        Fate::Skipped(skip) => skipped(Some(skip.name())),
        Fate::Passed => skipped(None),
        Fate::InnerFilter => skipped(Some("inner-filter")),
        Fate::Tracked(outcome) => Verdict {
            verdict: outcome.verdict.name(),
            state: outcome.state.name(),
            reason: outcome.verdict.reason(),
            note: outcome.note.map(Note::name),
        },
    }
}
