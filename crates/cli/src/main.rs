//! The binary `vtap`: what was typed, to a pipeline that runs.
//!
//! | in reading order | holds |
//! |---|---|
//! | [`args`] | what can be typed, with its help |
//! | [`plan`] | from what was typed to sources, pipelines and sinks |
//! | [`replay`], [`collect`](mod@collect), [`trace`], [`decap`], [`capture`](mod@capture), [`compare`](mod@compare), [`bench`](mod@bench), [`doctor`](mod@doctor), [`report`](mod@report) | the commands |
//! | [`summary`] | the counters of a run, for people and as JSON |
//! | [`progress`] | the bar, and the clock for `--speed` |
//!
//! Results go to standard output; progress, summary and errors to standard error. This file holds
//! the exit status: 0 done, 1 finished but some input was damaged or unreadable (or a check of this
//! machine fails), 2 wrong usage or nothing could be opened. A closed pipe ends quietly.

#![forbid(unsafe_code)]

mod args;
mod bench;
mod capture;
#[cfg(feature = "live")]
mod collect;
mod compare;
mod decap;
mod doctor;
mod logs;
mod plan;
mod progress;
mod replay;
mod report;
mod summary;
mod trace;

use std::io::{self, Write};
use std::process::ExitCode;

use clap::{CommandFactory, Parser};
use tracing::Level;
use tracing_subscriber::EnvFilter;
use vtap_flow::{Event, Gap, Sink};

use args::{Command, Vtap};

/// How a command that ran to its end went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Finish {
    Whole,
    /// Some input was damaged or could not be read.
    Damaged,
    /// A check of this machine fails.
    Ailing,
}

/// A sink for commands that show no events.
#[derive(Debug)]
pub(crate) struct Silent;

impl Sink for Silent {
    type Error = io::Error;

    fn event(&mut self, _event: &Event) -> io::Result<()> {
        Ok(())
    }

    fn gap(&mut self, _gap: &Gap) -> io::Result<()> {
        Ok(())
    }
}

/// The log, on standard error.
#[cfg_attr(not(feature = "live"), expect(dead_code, reason = "a collector alone changes it"))]
pub(crate) struct Log(Box<dyn Fn(Level)>);

impl Log {
    /// From warnings on; the environment variable `VTAP_LOG` goes before that.
    fn start() -> Self {
        let from_environment = EnvFilter::try_from_env("VTAP_LOG").ok();
        let fixed = from_environment.is_some();
        let subscriber = tracing_subscriber::fmt()
            .with_env_filter(from_environment.unwrap_or_else(|| "warn".into()))
            .with_writer(io::stderr)
            .without_time()
            .with_target(false)
            .with_filter_reloading();
        let handle = subscriber.reload_handle();
        subscriber.init();
        Self(Box::new(move |level| {
            if !fixed {
                // It fails where the log is gone, which lives as long as the process.
                let _ = handle.reload(EnvFilter::new(level.to_string()));
            }
        }))
    }

    /// Logs from this level on.
    #[cfg(feature = "live")]
    pub(crate) fn set(&self, level: Level) {
        (self.0)(level);
    }
}

fn main() -> ExitCode {
    let vtap = Vtap::parse();
    #[cfg_attr(not(feature = "live"), expect(unused_variables, reason = "as above"))]
    let log = Log::start();
    let finish = match vtap.command {
        Command::Replay(args) => replay::run(&args),
        #[cfg(feature = "live")]
        Command::Collect(args) => collect::run(&args, &log),
        Command::Capture(args) => capture::run(&args),
        Command::Trace(args) => trace::run(&args),
        Command::Decap(args) => decap::run(&args),
        Command::Report(args) => report::run(&args),
        Command::Compare(args) => compare::run(&args),
        Command::Bench(args) => bench::run(&args),
        Command::Doctor(args) => doctor::run(&args),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Vtap::command(), "vtap", &mut script);
            print(&script)
        }
        Command::Man => man(),
    };
    match finish {
        Ok(Finish::Whole) => ExitCode::SUCCESS,
        Ok(Finish::Damaged | Finish::Ailing) => ExitCode::from(1),
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("vtap: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn man() -> anyhow::Result<Finish> {
    let mut page = Vec::new();
    clap_mangen::Man::new(Vtap::command()).render(&mut page)?;
    for command in Vtap::command().get_subcommands().filter(|command| !command.is_hide_set()) {
        let name: &'static str = format!("vtap {}", command.get_name()).leak();
        let command = command.clone().name(name);
        let man = clap_mangen::Man::new(command);
        man.render_name_section(&mut page)?;
        man.render_synopsis_section(&mut page)?;
        man.render_description_section(&mut page)?;
        man.render_options_section(&mut page)?;
    }
    print(&page)
}

fn print(bytes: &[u8]) -> anyhow::Result<Finish> {
    let mut out = io::stdout().lock();
    out.write_all(bytes)?;
    out.flush()?;
    Ok(Finish::Whole)
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause.downcast_ref::<io::Error>().is_some_and(|io| io.kind() == io::ErrorKind::BrokenPipe)
            || cause
                .downcast_ref::<vtap_export::Error>()
                .is_some_and(vtap_export::Error::is_broken_pipe)
    })
}
