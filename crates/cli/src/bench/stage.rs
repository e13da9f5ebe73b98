//! How much of the belt a figure is for, and one pass of it against the clock.

use std::convert::Infallible;
use std::hint::black_box;
use std::io;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use vtap_capture::{Source, Taker};
use vtap_decap::Decap;
use vtap_export::{Filtered, Format, Json, Log, Output};
use vtap_flow::{Checksum, Config, Discard, Event, Profile, Sink, Tracker};
use vtap_packet::Packet;
use vtap_pipeline::{Pipeline, run, run_parallel};

use crate::args::Bench;
use crate::plan;

/// Each does what the one before it does, and more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Finding each packet and leaving it alone: the floor.
    Walk,
    /// Taking the envelope off.
    Decap,
    /// Following the flow, with this checksum policy; events are forgotten.
    Track(Checksum),
    /// All that `vtap replay` does, written to nowhere in this format.
    Replay(Format, Threads),
}

/// How many threads a replay has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Threads {
    One,
    Two,
}

/// Makes the parts of a belt; every pass has new ones, so tables begin empty.
pub(super) struct Setup<'a> {
    args: &'a Bench,
    tracking: Config,
}

impl<'a> Setup<'a> {
    pub(super) fn new(args: &'a Bench) -> Self {
        let defaults = Config::new(Profile::from(args.profile));
        let checksum = args.checksum.map_or(defaults.checksum, Checksum::from);
        Self { args, tracking: Config { checksum, max_flows: args.max_flows, ..defaults } }
    }

    /// The policy that a replay would have.
    pub(super) const fn checksum(&self) -> Checksum {
        self.tracking.checksum
    }

    pub(super) const fn profile(&self) -> Profile {
        self.tracking.profile
    }

    /// Those to be measured, in order.
    pub(super) fn stages(&self) -> Vec<Stage> {
        let mut stages = vec![Stage::Walk, Stage::Decap, Stage::Track(Checksum::Off)];
        if self.checksum() != Checksum::Off {
            stages.push(Stage::Track(self.checksum()));
        }
        for threads in [Threads::One, Threads::Two].into_iter().take(plan::processors()) {
            stages
                .extend([Format::None, Format::Json].map(|format| Stage::Replay(format, threads)));
        }
        stages
    }

    pub(super) fn pipeline(&self, checksum: Checksum) -> Pipeline {
        let mut pipeline = Pipeline::new(self.decap(), Some(self.tracker(checksum)));
        pipeline.intake.plain = self.args.plain;
        pipeline
    }

    fn decap(&self) -> Decap {
        plan::decap(&self.args.envelope)
    }

    fn tracker(&self, checksum: Checksum) -> Tracker {
        Tracker::new(Config { checksum, ..self.tracking })
    }
}

impl Stage {
    /// As it is called in both outputs.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Walk => "walk",
            Self::Decap => "decap",
            Self::Track(_) => "track",
            Self::Replay(..) => "replay",
        }
    }

    /// Time for all packets of a source; what is made before and dropped behind does not count.
    pub(super) fn pass(
        self,
        source: &mut impl Source,
        setup: &Setup<'_>,
    ) -> anyhow::Result<Duration> {
        match self {
            Self::Walk => timed(|| each(source, |packet| _ = black_box(packet))),
            Self::Decap => {
                let mut decap = setup.decap();
                timed(|| {
                    each(source, |packet| _ = black_box(decap.strip(packet)))?;
                    decap.finish();
                    Ok(())
                })
            }
            Self::Track(checksum) => {
                let mut pipeline = setup.pipeline(checksum);
                timed(|| {
                    run(source, &mut pipeline, &mut Discard, &mut ())?;
                    Ok(())
                })
            }
            Self::Replay(format, threads) => {
                let mut pipeline = setup.pipeline(setup.checksum());
                let output = Output::stream(format, Log::Events, Box::new(io::sink()));
                let flags = format.flags();
                let mut sink = Filtered { sink: output, flags, retransmissions: false };
                timed(|| {
                    match threads {
                        Threads::One => run(source, &mut pipeline, &mut sink, &mut ()),
                        Threads::Two => run_parallel(source, &mut pipeline, &mut sink, &mut ()),
                    }?;
                    Ok(sink.sink.finish()?)
                })
            }
        }
    }
}

fn each(source: &mut impl Source, take: impl FnMut(Packet<'_>)) -> anyhow::Result<()> {
    let mut each = Each(take);
    loop {
        let ControlFlow::Continue(()) = source.each_at_hand(&mut each);
        let Some(packet) = source.next()? else { return Ok(()) };
        (each.0)(packet);
    }
}

struct Each<T>(T);

impl<T: FnMut(Packet<'_>)> Taker for Each<T> {
    type Stop = Infallible;

    #[inline(always)]
    fn take(&mut self, packet: Packet<'_>) -> ControlFlow<Infallible> {
        (self.0)(packet);
        ControlFlow::Continue(())
    }
}

/// Writes events as JSON to nowhere.
pub(super) fn write(events: &[Event]) -> anyhow::Result<Duration> {
    let mut json = Json::new(io::sink());
    timed(|| {
        for event in events {
            json.event(event)?;
        }
        Ok(json.flush()?)
    })
}

#[expect(clippy::disallowed_methods, reason = "a benchmark measures time")]
fn timed(work: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<Duration> {
    let began = Instant::now();
    work()?;
    Ok(began.elapsed())
}
