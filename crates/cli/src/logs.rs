//! Where a replay writes: events, and flows in the shapes that were asked for.

use std::io;

use vtap_export::{Directory, Error, Filtered, Log, Output};
use vtap_flow::{Answer, Event, Gap, Record, Sink};
use vtap_networks::Describer;

use crate::args;
use crate::args::LogName;
use crate::plan;

/// Takes all that a tracker tells.
pub(crate) struct Logs {
    events: Filtered<Output>,
    flows: Option<Flows>,
}

/// The logs of flows, and what names their addresses.
struct Flows {
    describer: Box<Describer>,
    rows: Option<Place>,
}

/// Where rows of flows go.
enum Place {
    /// Among the events, on standard output.
    WithEvents,
    Own(Box<Output>),
}

impl Logs {
    /// Opens what was asked for.
    pub(crate) fn open(args: &args::Output) -> anyhow::Result<Self> {
        let logs = args.logs();
        let is = |log| logs.contains(&log);
        let (events, rows) = match &args.out {
            Some(directory) => {
                let directory = Directory::create(directory)?;
                let events = is(LogName::Events)
                    .then(|| directory.output(args.format, Log::Events))
                    .transpose()?;
                let flows = is(LogName::Flows)
                    .then(|| directory.output(vtap_export::Format::Json, Log::Flows))
                    .transpose()?;
                (events, flows.map(|output| Place::Own(Box::new(output))))
            }
            None => {
                let first = if is(LogName::Events) { Log::Events } else { Log::Flows };
                let stream = Output::stream(args.format, first, Box::new(io::stdout()));
                match (is(LogName::Events), is(LogName::Flows)) {
                    (true, flows) => (Some(stream), flows.then_some(Place::WithEvents)),
                    (false, true) => (None, Some(Place::Own(Box::new(stream)))),
                    (false, false) => (None, None),
                }
            }
        };
        let mut events = events.unwrap_or(Output::none());
        if let Some(id) = &args.resource_id {
            events.set_resource_id(id);
        }
        let flags = args.flags.unwrap_or_else(|| args.format.flags());
        let events = Filtered { sink: events, flags, retransmissions: args.retransmissions };
        let flows = if args.records() {
            Some(Flows { describer: Box::new(plan::describer(args.networks.as_deref())?), rows })
        } else {
            None
        };
        Ok(Self { events, flows })
    }

    /// Writes what is left; files get their names.
    pub(crate) fn finish(self) -> Result<(), Error> {
        self.events.sink.finish()?;
        match self.flows.and_then(|flows| flows.rows) {
            Some(Place::Own(output)) => output.finish(),
            Some(Place::WithEvents) | None => Ok(()),
        }
    }
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
        match &mut flows.rows {
            Some(Place::Own(output)) => output.flow(record, &description),
            Some(Place::WithEvents) => self.events.sink.flow(record, &description),
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
