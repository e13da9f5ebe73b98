//! `vtap decap`: the customer's frames to a capture file.

use std::io;
use std::path::Path;

use vtap_capture::write::{self, Format, Frames};
use vtap_pipeline::{Fate, Pipeline, RunError, Seen, Watched};

use crate::args::{Decap, Speed};
use crate::progress::Clock;
use crate::summary::Summary;
use crate::{Finish, Silent, plan};

pub(crate) fn run(args: &Decap) -> anyhow::Result<Finish> {
    let mut pipeline = Pipeline::new(plan::decap(&args.envelope), None);
    #[cfg(feature = "live")]
    {
        pipeline.intake.outer_filter = plan::filter(args.input.filter.as_deref())?;
        pipeline.intake.inner_filter = plan::filter(args.inner_filter.as_deref())?;
    }
    let outputs: Vec<_> = args.summary.path().into_iter().chain([args.output.as_path()]).collect();
    let mut inputs = plan::inputs(&args.input, &outputs)?;
    let out = write::buffered(plan::file(&args.output)?);
    let mut frames =
        Frames::new(out, Format::of(&args.output)).map_err(|error| at(&args.output, error))?;
    let mut clock = Clock::start(Speed::Max);

    let ran =
        vtap_pipeline::watch(&mut inputs, &mut pipeline, &mut Silent, &mut clock, |watched| {
            match watched {
                Watched::Packet(Seen { packet, fate: Fate::Passed }) => {
                    frames.write(&packet).map(drop)
                }
                _ => Ok(()),
            }
        });
    clock.clear();
    let (report, failed) = match ran {
        Ok(report) => (report, None),
        Err(RunError::Sink(error)) => return Err(at(&args.output, error)),
        Err(RunError::Capture(error)) => (pipeline.finish(&mut Silent)?, Some(error)),
    };
    let left_out = frames.left_out();
    frames.finish().map_err(|error| at(&args.output, error))?;

    let summary = Summary::new(&report, &inputs, failed.as_ref(), clock.elapsed());
    summary.write(&args.summary)?;
    if left_out > 0 {
        eprintln!(
            "vtap: {left_out} frames of another link type than the first do not fit into pcap; \
             write to a file that ends in .pcapng"
        );
        return Ok(Finish::Damaged);
    }
    Ok(summary.finish())
}

fn at(path: &Path, error: io::Error) -> anyhow::Error {
    anyhow::Error::from(error).context(format!("{}: cannot write", path.display()))
}
