//! `vtap bench`: how fast this machine decapsulates and tracks.
//!
//! | in reading order | holds |
//! |---|---|
//! | [`capture`] | what is measured on: made from a seed, or the user's own |
//! | [`stage`] | how much of the belt a figure is for, and one pass of it against the clock |
//! | [`machine`] | what it ran on |
//! | [`report`] | the figures, for people and as JSON |
//!
//! Stages take turns, run by run: a machine that slows down for a while does so for all of them,
//! and their ratios stay what they are.

mod capture;
mod machine;
mod report;
mod stage;

use std::convert::Infallible;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use vtap_capture::{File, Inputs, Source};
use vtap_export::{Filtered, FlagSet};
use vtap_flow::{Event, Gap, Sink};
use vtap_pipeline::Report;

use crate::args::{Bench, BenchFormat};
use crate::summary::{Summary, unmirrored};
use crate::{Finish, print};

use capture::Capture;
use machine::Machine;
use report::{Figure, Results};
use stage::Setup;

/// Events that are kept to measure their writing; a few hundred bytes each.
const EVENTS: usize = 1_000_000;

pub(crate) fn run(args: &Bench) -> anyhow::Result<Finish> {
    let machine = Machine::here();
    let capture = Capture::new(args)?;
    match &capture {
        Capture::Memory { bytes, .. } => {
            let open = || Ok(File::from_bytes(bytes.clone())?);
            measure(args, &machine, &capture, open, |_, _: &File| Finish::Whole)
        }
        Capture::Files { paths, .. } => {
            let open = || Ok(vtap_capture::open(paths)?);
            measure(args, &machine, &capture, open, |report, inputs: &Inputs| {
                let summary = Summary::new(report, inputs, None, Duration::ZERO);
                summary.write_damage();
                summary.finish()
            })
        }
    }
}

fn measure<S: Source>(
    args: &Bench,
    machine: &Machine,
    capture: &Capture,
    open: impl Fn() -> anyhow::Result<S>,
    whole: impl Fn(&Report, &S) -> Finish,
) -> anyhow::Result<Finish> {
    let progress = Progress::new(args.runs);
    progress.show(0, "counting");
    let setup = Setup::new(args);
    let mut source = open()?;
    let mut pipeline = setup.pipeline(setup.checksum());
    let events = Events::default();
    let mut sink = Filtered { sink: events, flags: FlagSet::ALL, retransmissions: false };
    let report = vtap_pipeline::run(&mut source, &mut pipeline, &mut sink, &mut ())?;
    drop(pipeline);
    anyhow::ensure!(report.packets > 0, "the capture has no packets");
    let events = sink.sink.0;

    let mut figures: Vec<_> = setup.stages().into_iter().map(|stage| (stage, Vec::new())).collect();
    let mut writing = Vec::new();
    for run in 0..=args.runs {
        for (stage, took) in &mut figures {
            progress.show(run, stage.name());
            let elapsed = stage.pass(&mut open()?, &setup)?;
            if run > 0 {
                took.push(elapsed);
            }
        }
        let elapsed = stage::write(&events)?;
        if run > 0 {
            writing.push(elapsed);
        }
    }
    progress.clear();

    let figures = figures.iter().map(|(stage, took)| Figure::new(*stage, took, report.packets));
    let results = Results {
        machine,
        capture,
        report: &report,
        setup: &setup,
        runs: args.runs,
        figures: figures.collect(),
        writing: report::Writing::new(&writing, events.len()),
    };
    match args.format {
        BenchFormat::Text => print(results.text().as_bytes())?,
        BenchFormat::Json => {
            eprint!("{}", unmirrored(&report));
            print(format!("{:#}\n", results.json()).as_bytes())?
        }
    };
    Ok(whole(&report, &source))
}

/// The first so many events.
#[derive(Debug, Default)]
struct Events(Vec<Event>);

impl Sink for Events {
    type Error = Infallible;

    fn event(&mut self, event: &Event) -> Result<(), Infallible> {
        if self.0.len() < EVENTS {
            self.0.push(*event);
        }
        Ok(())
    }

    fn gap(&mut self, _gap: &Gap) -> Result<(), Infallible> {
        Ok(())
    }
}

/// Which run of which stage, where standard error is a terminal. It is drawn between passes, and
/// has no thread that would take time from them.
struct Progress {
    bar: ProgressBar,
    runs: u32,
}

impl Progress {
    fn new(runs: u32) -> Self {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        if let Ok(style) = ProgressStyle::with_template("{msg}") {
            bar.set_style(style);
        }
        Self { bar, runs }
    }

    fn show(&self, run: u32, stage: &'static str) {
        self.bar.set_message(match run {
            0 => format!("warming up: {stage}"),
            _ => format!("run {run} of {}: {stage}", self.runs),
        });
        self.bar.tick();
    }

    fn clear(&self) {
        self.bar.finish_and_clear();
    }
}
