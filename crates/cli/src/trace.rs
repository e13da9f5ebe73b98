//! `vtap trace`: one row a packet.

use std::io;
use std::time::Duration;

use vtap_export::packets::{Packets, Verdict};
use vtap_flow::{Note, Outcome};
use vtap_pipeline::{Fate, RunError, Seen, Watched};

use crate::args::{Trace, TraceFormat};
use crate::summary::Summary;
use crate::{Finish, Silent, plan};

pub(crate) fn run(args: &Trace) -> anyhow::Result<Finish> {
    let mut pipeline = plan::pipeline(
        &args.input,
        &args.envelope,
        &args.tracking,
        plan::tracking(&args.tracking),
    )?;
    let mut inputs = plan::inputs(&args.input, &[])?;
    let mut rows = match args.format {
        TraceFormat::Text => Packets::text(io::stdout()),
        TraceFormat::Json => Packets::json(io::stdout()),
    };
    let mut show = |watched: Watched<'_>| match watched {
        Watched::Packet(Seen { packet, fate }) => rows.packet(&packet, words(fate)),
        Watched::Settled(packet, outcome) => rows.settle(packet, judged(outcome)),
    };
    let ran = vtap_pipeline::watch(&mut inputs, &mut pipeline, &mut Silent, &mut (), &mut show);
    let (report, failed) = match ran {
        Ok(report) => (report, None),
        Err(RunError::Sink(error)) => return Err(error.into()),
        Err(RunError::Capture(error)) => {
            (pipeline.finish_watched(&mut Silent, &mut show)?, Some(error))
        }
    };
    rows.finish()?;
    let summary = Summary::new(&report, &inputs, failed.as_ref(), Duration::ZERO);
    summary.write_damage();
    Ok(summary.finish())
}

/// `None` for a packet that waits.
fn words(fate: Fate) -> Option<Verdict<'static>> {
    let skipped = |reason| Verdict { verdict: "SKIPPED", state: "NONE", reason, note: None };
    Some(match fate {
        Fate::OuterFilter => skipped(Some("outer-filter")),
        Fate::NotMirrored => skipped(Some("not-mirrored")),
        Fate::Absorbed => skipped(Some("fragment-absorbed")),
        Fate::Skipped(skip) => skipped(Some(skip.name())),
        Fate::Passed => skipped(None),
        Fate::InnerFilter => skipped(Some("inner-filter")),
        Fate::Tracked(Outcome { verdict: vtap_flow::Verdict::Held, .. }) => return None,
        Fate::Tracked(outcome) => judged(outcome),
    })
}

fn judged(outcome: Outcome) -> Verdict<'static> {
    Verdict {
        verdict: outcome.verdict.name(),
        state: outcome.state.name(),
        reason: outcome.verdict.reason(),
        note: outcome.note.map(Note::name),
    }
}
