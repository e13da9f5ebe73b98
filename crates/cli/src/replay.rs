//! `vtap replay`: the flow trace of captures.

use vtap_flow::Tracker;
use vtap_pipeline::{Pipeline, RunError};

use crate::args::Replay;
use crate::progress::Clock;
use crate::summary::Summary;
use crate::{Finish, plan};

pub(crate) fn run(args: &Replay) -> anyhow::Result<Finish> {
    let tracking = plan::tracking(&args.tracking);
    let mut pipeline = Pipeline::new(plan::decap(&args.envelope), Some(Tracker::new(tracking)));
    pipeline.plain = args.tracking.plain;
    #[cfg(feature = "live")]
    {
        pipeline.outer_filter = plan::filter(args.input.filter.as_deref())?;
        pipeline.inner_filter = plan::filter(args.tracking.inner_filter.as_deref())?;
    }
    let mut inputs = plan::inputs(&args.input, args.summary.path().as_slice())?;
    let mut sink = plan::sink(&args.output)?;
    let mut clock = Clock::start(args.speed);

    let ran = vtap_pipeline::run(&mut inputs, &mut pipeline, &mut sink, &mut clock);
    clock.clear();
    let (report, failed) = match ran {
        Ok(report) => (report, None),
        Err(RunError::Sink(error)) => return Err(error.into()),
        // What was read until then is told all the same.
        Err(RunError::Capture(error)) => (pipeline.finish(&mut sink)?, Some(error)),
    };
    sink.sink.finish()?;

    let summary =
        Summary::new(&report, &inputs, failed.as_ref(), clock.elapsed()).warm_up(tracking.warm_up);
    summary.write(&args.summary)?;
    Ok(summary.finish())
}
