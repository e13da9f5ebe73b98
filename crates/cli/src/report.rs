//! `vtap report`: what captures come to, on one page.

use std::convert::Infallible;
use std::io::{self, Write};
use std::path::Path;

use vtap_export::report::{count, size};
use vtap_files::Partial;
use vtap_flow::{Answer, Config, Event, Gap, Record, Sink};
use vtap_networks::Describer;
use vtap_report::{Digest, Run};

use crate::args::{Report, Speed};
use crate::progress::Clock;
use crate::summary::{Summary, unmirrored};
use crate::{Finish, plan};

pub(crate) fn run(args: &Report) -> anyhow::Result<Finish> {
    let tracking = Config { records: true, ..plan::tracking(&args.tracking) };
    let mut pipeline = plan::pipeline(&args.input, &args.envelope, &args.tracking, tracking)?;
    let describer = plan::describer(args.networks.as_deref())?;
    let mut inputs = plan::inputs(&args.input, &[&args.output])?;
    let mut described = Described { describer, digest: Digest::default() };
    let mut clock = Clock::start(Speed::Max);

    let threads = plan::processors();
    let Ok((counters, failed)) =
        plan::run(&mut inputs, &mut pipeline, &mut described, &mut clock, threads);

    let summary = Summary::new(&counters, &inputs, failed.as_ref(), clock.elapsed());
    let names: Vec<_> = inputs.paths().map(|path| path.display().to_string()).collect();
    let page = vtap_report::page(
        &described.digest,
        &Run {
            inputs: &names,
            damage: &summary.damage(),
            counters: &counters,
            networks: args.networks.is_some(),
            made_by: concat!("vtap ", env!("CARGO_PKG_VERSION")),
        },
    );
    write(&args.output, &page)?;
    summary.write_damage();
    eprint!("{}", unmirrored(&counters));
    if args.output != Path::new("-") {
        let flows = counters.flow.and_then(|flow| flow.recorded).unwrap_or_default().flows;
        eprintln!(
            "{}: {}, of {} packets and {} flows",
            args.output.display(),
            size(page.len() as u64),
            count(counters.packets),
            count(flows)
        );
    }
    Ok(summary.finish())
}

/// The digest of records with what is known of their addresses.
struct Described {
    describer: Describer,
    digest: Digest,
}

impl Sink for Described {
    type Error = Infallible;

    fn event(&mut self, event: &Event) -> Result<(), Infallible> {
        self.digest.event(event);
        Ok(())
    }

    fn gap(&mut self, gap: &Gap) -> Result<(), Infallible> {
        self.digest.gap(gap);
        Ok(())
    }

    fn record(&mut self, record: &Record) -> Result<(), Infallible> {
        self.digest.record(record, &self.describer.describe(record));
        Ok(())
    }

    fn answer(&mut self, answer: &Answer) -> Result<(), Infallible> {
        self.describer.answer(answer);
        self.digest.answer(answer);
        Ok(())
    }
}

/// A page of an earlier run stays until this one is complete.
fn write(path: &Path, page: &str) -> anyhow::Result<()> {
    if path == Path::new("-") {
        io::stdout().lock().write_all(page.as_bytes())?;
        return Ok(());
    }
    let mut file = Partial::create(path)?;
    file.write_all(page.as_bytes())?;
    file.finish()?;
    Ok(())
}
