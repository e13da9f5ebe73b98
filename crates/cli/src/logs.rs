//! Where a replay writes: events, and flows in the shapes that were asked for.

use std::io;
use std::path::Path;

use vtap_export::{Directory, Error, Filtered, Format, Log, Output};
use vtap_flow::{Answer, Event, Gap, Record, Sink};
use vtap_flowlog::{Analytics, Ids, VnetFlowLog};
use vtap_networks::Describer;

use crate::args::LogName;
use crate::{args, plan};

/// Takes all that a tracker tells.
pub(crate) struct Logs {
    events: Filtered<Output>,
    flows: Option<Box<Flows>>,
}

/// The logs of flows, and what names their addresses.
struct Flows {
    describer: Describer,
    rows: Option<Rows>,
    vnet: Option<VnetFlowLog>,
    analytics: Option<Analytics>,
}

/// Where rows of flows go.
enum Rows {
    /// Among the events, on standard output.
    WithEvents,
    Apart(Box<Output>),
}

impl Logs {
    /// Opens what was asked for.
    pub(crate) fn open(args: &args::Output) -> anyhow::Result<Self> {
        let is = |log| args.logs().contains(&log);
        let (events, rows) = match &args.out {
            Some(path) => files(args, path)?,
            None => stream(args)?,
        };
        let mut events = events.unwrap_or(Output::none());
        if let Some(id) = &args.resource_id {
            events.set_resource_id(id);
        }
        let flags = args.flags.unwrap_or_else(|| args.format.flags());
        let events = Filtered { sink: events, flags, retransmissions: args.retransmissions };
        if !args.records() {
            return Ok(Self { events, flows: None });
        }
        let ids = Ids::default();
        let open = |log| args.out.as_ref().filter(|_| is(log));
        let flows = Flows {
            describer: plan::describer(args.networks.as_deref())?,
            rows,
            vnet: open(LogName::VnetFlowLog).map(|out| VnetFlowLog::open(out, &ids)).transpose()?,
            analytics: open(LogName::TrafficAnalytics)
                .map(|out| Analytics::open(out, &ids, args.interval.into()))
                .transpose()?,
        };
        Ok(Self { events, flows: Some(Box::new(flows)) })
    }

    /// Writes what is left; files get their names.
    pub(crate) fn finish(self) -> Result<(), Error> {
        self.events.sink.finish()?;
        let Some(flows) = self.flows else { return Ok(()) };
        if let Some(mut vnet) = flows.vnet {
            vnet.finish()?;
        }
        if let Some(mut analytics) = flows.analytics {
            analytics.finish()?;
        }
        match flows.rows {
            Some(Rows::Apart(output)) => output.finish(),
            Some(Rows::WithEvents) | None => Ok(()),
        }
    }
}

/// The outputs of events and of rows of flows in a directory. Rows of flows are JSON lines there,
/// whatever the format of events.
fn files(args: &args::Output, path: &Path) -> anyhow::Result<(Option<Output>, Option<Rows>)> {
    let directory = Directory::create(path)?;
    let output = |name, format, log| {
        args.logs().contains(&name).then(|| directory.output(format, log)).transpose()
    };
    let events = output(LogName::Events, args.format, Log::Events)?;
    let flows = output(LogName::Flows, Format::Json, Log::Flows)?;
    Ok((events, flows.map(|output| Rows::Apart(Box::new(output)))))
}

/// The same on standard output.
fn stream(args: &args::Output) -> anyhow::Result<(Option<Output>, Option<Rows>)> {
    let is = |log| args.logs().contains(&log);
    if is(LogName::VnetFlowLog) || is(LogName::TrafficAnalytics) {
        anyhow::bail!("vnet-flow-log and traffic-analytics are files: say where with --out DIR");
    }
    let first = if is(LogName::Events) { Log::Events } else { Log::Flows };
    if is(LogName::Flows) && args.format == Format::Azure {
        anyhow::bail!(
            "the cloud's shape of flows is a tree of files: --logs vnet-flow-log --out DIR"
        );
    }
    let stream = Output::stream(args.format, first, Box::new(io::stdout()));
    Ok(match (is(LogName::Events), is(LogName::Flows)) {
        (true, flows) => (Some(stream), flows.then_some(Rows::WithEvents)),
        (false, true) => (None, Some(Rows::Apart(Box::new(stream)))),
        (false, false) => (None, None),
    })
}

impl Sink for Logs {
    type Error = Error;

    fn event(&mut self, event: &Event) -> Result<(), Error> {
        self.events.event(event)
    }

    fn gap(&mut self, gap: &Gap) -> Result<(), Error> {
        self.events.gap(gap)
    }

    fn record(&mut self, record: &Record) -> Result<(), Error> {
        let Some(flows) = &mut self.flows else { return Ok(()) };
        let description = flows.describer.describe(record);
        if let Some(vnet) = &mut flows.vnet {
            vnet.record(record, &description)?;
        }
        if let Some(analytics) = &mut flows.analytics {
            analytics.record(record, &description)?;
        }
        match &mut flows.rows {
            Some(Rows::Apart(output)) => output.flow(record, &description),
            Some(Rows::WithEvents) => self.events.sink.flow(record, &description),
            None => Ok(()),
        }
    }

    fn answer(&mut self, answer: &Answer) -> Result<(), Error> {
        if let Some(flows) = &mut self.flows {
            flows.describer.answer(answer);
        }
        Ok(())
    }
}
