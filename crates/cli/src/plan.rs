//! From what was typed to what runs.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::thread;

use anyhow::Context;
use vtap_capture::Inputs;
use vtap_decap::{Decap, PortSet};
use vtap_flow::{Checksum, Config, Copies, Profile, Sink, Tracker};
use vtap_networks::{Describer, Networks};
#[cfg(feature = "live")]
use vtap_pipeline::Filter;
use vtap_pipeline::{Pipeline, Report, RunError};

use crate::args;
use crate::progress::Clock;

/// Opens the inputs, none of which may be one of the outputs. What could not be opened beside
/// others is told at the end.
pub(crate) fn inputs(args: &args::Input, outputs: &[&Path]) -> anyhow::Result<Inputs> {
    match vtap_capture::open(&args.files) {
        Ok(inputs) => {
            for path in inputs.passed_over() {
                tracing::info!(path = %path.display(), "not a capture, passed over");
            }
            for output in outputs {
                refuse_to_overwrite(&inputs, output)?;
            }
            Ok(inputs)
        }
        Err(vtap_capture::Error::NothingOpened { first, others }) => {
            eprintln!("vtap: {first}");
            for error in &others {
                eprintln!("vtap: {error}");
            }
            anyhow::bail!("no input could be opened")
        }
        Err(error) => Err(error.into()),
    }
}

pub(crate) fn decap(args: &args::Envelope) -> Decap {
    let ports = match args.ports.as_slice() {
        [] => PortSet::default(),
        ports => PortSet::new(ports.iter().copied()),
    };
    Decap::new(vtap_decap::Config {
        ports,
        max_depth: args.max_depth,
        strict_vxlan: args.strict_vxlan,
        ..vtap_decap::Config::default()
    })
}

pub(crate) fn tracking(args: &args::Tracking) -> Config {
    let defaults = Config::new(Profile::from(args.profile));
    Config {
        profile: defaults.profile,
        pickup: args.pickup.map_or(defaults.pickup, |switch| switch == args::Switch::On),
        checksum: args.checksum.map_or(defaults.checksum, Checksum::from),
        warm_up: args.warm_up.unwrap_or(defaults.warm_up),
        max_flows: args.max_flows,
        invalid_limit: args.invalid_limit,
        fold_vni: args.fold_vni,
        copies: Copies { window: args.dedup_window, ..defaults.copies },
        reordering: args.reorder_window.unwrap_or(defaults.reordering),
        records: false,
    }
}

/// How many threads a replay has.
pub(crate) fn threads(args: &args::Replay) -> usize {
    let all = || match args.speed {
        args::Speed::Max => processors(),
        // It waits for the clock most of the time.
        args::Speed::Times(_) => 1,
    };
    args.threads.map_or_else(all, usize::from).min(2)
}

/// Processors that this process may use.
pub(crate) fn processors() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

/// Sends the inputs down the belt, on two threads or one. An input that cannot be read on ends the
/// run: what was read until then is told all the same, with what went wrong.
///
/// # Errors
///
/// Those of the sink.
pub(crate) fn run<S>(
    inputs: &mut Inputs,
    pipeline: &mut Pipeline,
    sink: &mut S,
    clock: &mut Clock,
    threads: usize,
) -> Result<(Report, Option<vtap_capture::Error>), S::Error>
where
    S: Sink + Send,
    S::Error: Send,
{
    let ran = if threads > 1 {
        vtap_pipeline::run_parallel(inputs, pipeline, sink, clock)
    } else {
        vtap_pipeline::run(inputs, pipeline, sink, clock)
    };
    clock.clear();
    match ran {
        Ok(report) => Ok((report, None)),
        Err(RunError::Sink(error)) => Err(error),
        Err(RunError::Capture(error)) => Ok((pipeline.finish(sink)?, Some(error))),
    }
}

/// What is known of addresses beside what the traffic shows.
pub(crate) fn describer(file: Option<&Path>) -> anyhow::Result<Describer> {
    let networks = match file {
        Some(file) => Networks::load(file)?,
        None => Networks::default(),
    };
    Ok(Describer::new(networks))
}

/// The whole belt, filters included.
pub(crate) fn pipeline(
    input: &args::Input,
    envelope: &args::Envelope,
    args: &args::Tracking,
    tracking: Config,
) -> anyhow::Result<Pipeline> {
    let mut pipeline = Pipeline::new(decap(envelope), Some(Tracker::new(tracking)));
    pipeline.intake.plain = args.plain;
    #[cfg(feature = "live")]
    {
        pipeline.intake.outer_filter = filter(input.filter.as_deref())?;
        pipeline.intake.inner_filter = filter(args.inner_filter.as_deref())?;
    }
    #[cfg(not(feature = "live"))]
    let _ = input;
    Ok(pipeline)
}

/// A BPF program over frames of any link type.
#[cfg(feature = "live")]
pub(crate) fn filter(expression: Option<&str>) -> anyhow::Result<Option<Filter>> {
    let Some(expression) = expression else { return Ok(None) };
    let mut programs = vtap_capture::FilterSet::new(expression)?;
    Ok(Some(Box::new(move |packet| programs.matches(packet.link, packet.data))))
}

/// A file, or standard output for `-`.
pub(crate) fn file(path: &Path) -> anyhow::Result<Box<dyn Write>> {
    if path == Path::new("-") {
        return Ok(Box::new(io::stdout()));
    }
    let file = File::create(path).with_context(|| format!("{}: cannot create", path.display()))?;
    Ok(Box::new(file))
}

/// An output that is one of the inputs, by whatever name, would be emptied before it is read.
fn refuse_to_overwrite(inputs: &Inputs, output: &Path) -> anyhow::Result<()> {
    let identity = |path: &Path| {
        let file = fs::metadata(path).ok().filter(fs::Metadata::is_file)?;
        Some((file.dev(), file.ino()))
    };
    let Some(output_is) = identity(output) else { return Ok(()) };
    if inputs.paths().any(|input| identity(input) == Some(output_is)) {
        anyhow::bail!("{}: is an input as well; write to another file", output.display());
    }
    Ok(())
}

/// Writes a summary as JSON to a file.
pub(crate) fn write_json(path: &Path, json: &serde_json::Value) -> anyhow::Result<()> {
    write_json_to(file(path)?, path, json)
}

/// Writes a summary as JSON to a file that is open.
pub(crate) fn write_json_to(
    file: Box<dyn Write>,
    path: &Path,
    json: &serde_json::Value,
) -> anyhow::Result<()> {
    let mut out = BufWriter::new(file);
    serde_json::to_writer_pretty(&mut out, json)?;
    writeln!(out)?;
    out.flush().with_context(|| format!("{}: cannot write", path.display()))
}
