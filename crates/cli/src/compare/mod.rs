//! `vtap compare`: what a mirror did to the packets of a NIC.
//!
//! | in reading order | holds |
//! |---|---|
//! | this file | both captures through the belt, to the comparison |
//! | [`text`] | the findings, for people |
//! | [`json`] | the findings, for programs |

mod json;
mod text;

use std::path::{Path, PathBuf};

use vtap_capture::Inputs;
use vtap_compare::{Comparison, Report};
use vtap_pipeline::{Fate, Pipeline, RunError, Seen, Watched};

use crate::args::{Compare, CompareFormat, Input, Speed};
use crate::progress::Clock;
use crate::summary::Summary;
use crate::{Finish, Silent, plan, print};

/// Which of the two captures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Source,
    Tap,
}

pub(crate) fn run(args: &Compare) -> anyhow::Result<Finish> {
    let stdin = Path::new("-");
    anyhow::ensure!(
        args.source != stdin || args.tap != stdin,
        "standard input can be one of the two captures, not both"
    );
    let listed = args.listed();
    let mut comparison = Comparison::new(listed);
    let source = Capture::read(args, Role::Source, &mut comparison)?;
    let tap = Capture::read(args, Role::Tap, &mut comparison)?;
    let findings = Findings { source: &source, tap: &tap, report: comparison.finish(), listed };
    match args.format {
        CompareFormat::Text => print(findings.text().as_bytes())?,
        CompareFormat::Json => print(format!("{:#}\n", findings.json()).as_bytes())?,
    };
    let finishes = [&source, &tap].map(Capture::finish);
    Ok(if finishes.contains(&Finish::Damaged) { Finish::Damaged } else { Finish::Whole })
}

/// All that is told.
struct Findings<'a> {
    source: &'a Capture,
    tap: &'a Capture,
    report: Report,
    /// Lost packets and flows that are told one by one.
    listed: usize,
}

/// A capture that was read.
struct Capture {
    path: PathBuf,
    /// Whether packets that are not mirrored are compared.
    plain: bool,
    /// Packets that `--inner-filter` left out.
    filtered: u64,
    report: vtap_pipeline::Report,
    inputs: Inputs,
    failed: Option<vtap_capture::Error>,
}

impl Capture {
    fn read(args: &Compare, role: Role, comparison: &mut Comparison) -> anyhow::Result<Self> {
        let (path, plain) = match role {
            Role::Source => (&args.source, true),
            Role::Tap => (&args.tap, args.plain),
        };
        let input = Input {
            files: vec![path.clone()],
            #[cfg(feature = "live")]
            filter: None,
        };
        let mut inputs = plan::inputs(&input, &[])?;
        let mut pipeline = Pipeline::new(plan::decap(&args.envelope), None);
        pipeline.intake.plain = plain;
        // Not of the belt, which asks its filter of mirrored and plain packets only.
        #[cfg(feature = "live")]
        let mut filter = plan::filter(args.inner_filter.as_deref())?;
        #[cfg(not(feature = "live"))]
        let mut filter: Option<vtap_pipeline::Filter> = None;
        let mut filtered = 0;
        let mut clock = Clock::start(Speed::Max);
        let ran =
            vtap_pipeline::watch(&mut inputs, &mut pipeline, &mut Silent, &mut clock, |watched| {
                let Watched::Packet(Seen { packet, fate }) = watched else { return Ok(()) };
                let mut compared = match fate {
                    // What is no envelope after all is a packet of the machine itself: a fragment
                    // of its own datagrams, VXLAN that is none.
                    Fate::Absorbed | Fate::Skipped(_) => plain,
                    fate => fate == Fate::Passed,
                };
                if let Some(filter) = filter.as_mut().filter(|_| compared)
                    && !filter(&packet)
                {
                    compared = false;
                    filtered += 1;
                }
                match (role, compared) {
                    (Role::Source, true) => comparison.source(&packet),
                    (Role::Tap, true) => comparison.tap(&packet),
                    (Role::Source, false) => comparison.source_ran(packet.time),
                    (Role::Tap, false) => comparison.tap_ran(packet.time),
                }
                Ok(())
            });
        clock.clear();
        let (report, failed) = match ran {
            Ok(report) => (report, None),
            Err(RunError::Sink(error)) => return Err(error.into()),
            // What was read until then is compared all the same.
            Err(RunError::Capture(error)) => (pipeline.finish(&mut Silent)?, Some(error)),
        };
        Ok(Self { path: path.clone(), plain, filtered, report, inputs, failed })
    }

    /// Tells on standard error what could not be read.
    fn finish(&self) -> Finish {
        let elapsed = std::time::Duration::ZERO;
        let summary = Summary::new(&self.report, &self.inputs, self.failed.as_ref(), elapsed);
        summary.write_damage();
        summary.finish()
    }

    /// Packets that were read and not compared, by reason; zeros are left out. `compared` is what
    /// the comparison says of this capture.
    fn skipped(
        &self,
        compared: &vtap_compare::SideReport,
    ) -> impl Iterator<Item = (&'static str, u64)> {
        let absorbed = ("fragment-absorbed", self.report.decap.fragments.absorbed);
        let of_envelopes = self.report.skipped().chain([absorbed]).filter(|_| !self.plain);
        let filtered = [("inner-filter", self.filtered)];
        let ours = vtap_compare::Skip::ALL.map(|skip| (skip.name(), compared.skipped(skip)));
        of_envelopes.chain(filtered).chain(ours).filter(|(_, count)| *count > 0)
    }

    /// Packets that could not be read, each of which may be one that is looked for.
    fn unread(&self, compared: &vtap_compare::SideReport) -> u64 {
        let fragments = self.report.decap.fragments;
        let given_up = fragments.timed_out + fragments.overlapped + fragments.evicted;
        let counted = ["not-mirrored", "inner-filter", "fragment-absorbed", "interface-copy"];
        let skipped = self.skipped(compared).filter(|(name, _)| !counted.contains(name));
        let unread: u64 = skipped.map(|(_, count)| count).sum();
        if self.plain { unread } else { unread + given_up }
    }
}
