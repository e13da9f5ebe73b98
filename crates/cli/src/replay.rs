//! `vtap replay`: the flow trace of captures.

use vtap_flow::Config;

use crate::args::Replay;
use crate::logs::Logs;
use crate::progress::Clock;
use crate::summary::Summary;
use crate::{Finish, plan};

pub(crate) fn run(args: &Replay) -> anyhow::Result<Finish> {
    let tracking = Config { records: args.output.records(), ..plan::tracking(&args.tracking) };
    let mut pipeline = plan::pipeline(&args.input, &args.envelope, &args.tracking, tracking)?;
    let mut inputs = plan::inputs(&args.input, args.summary.path().as_slice())?;
    let mut sink = Logs::open(&args.output)?;
    let mut clock = Clock::start(args.speed);

    let threads = plan::threads(args);
    let (report, failed) = plan::run(&mut inputs, &mut pipeline, &mut sink, &mut clock, threads)?;
    sink.finish()?;

    let summary =
        Summary::new(&report, &inputs, failed.as_ref(), clock.elapsed()).warm_up(tracking.warm_up);
    summary.write(&args.summary)?;
    Ok(summary.finish())
}
