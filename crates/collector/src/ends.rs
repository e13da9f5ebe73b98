//! Where a belt leaves what it has to say.

use std::convert::Infallible;
use std::time::Duration;

use vtap_flow::{Answer, Event, Gap, Record, Sink};

use crate::flows::Told;
use crate::queue::Queue;
use crate::rows::Row;

/// How long a belt that has read its last packet waits for the logs of flows: every flow that is
/// open ends then, and there may be more of them than the queue has room for.
const PATIENCE: Duration = Duration::from_secs(2);

/// The belt's ends of the queues.
#[derive(Debug)]
pub(crate) struct Ends {
    /// Index of the belt.
    pub(crate) belt: usize,
    pub(crate) rows: Queue<Row>,
    /// `None` where there are no logs of flows.
    pub(crate) flows: Option<Queue<Told>>,
}

impl Ends {
    /// Passes on what was gathered if those who write have nothing to do.
    pub(crate) fn offer(&mut self) {
        self.rows.offer();
        self.flows.iter_mut().for_each(Queue::offer);
    }

    /// Passes on what was gathered.
    pub(crate) fn pass_on(&mut self) {
        self.rows.pass_on();
        self.flows.iter_mut().for_each(Queue::pass_on);
    }

    /// No packet is kept waiting any more.
    pub(crate) fn wait(&mut self) {
        self.flows.iter_mut().for_each(|flows| flows.wait(PATIENCE));
    }
}

impl Sink for Ends {
    type Error = Infallible;

    fn event(&mut self, event: &Event) -> Result<(), Infallible> {
        self.rows.put(Row::Event(*event));
        Ok(())
    }

    fn gap(&mut self, gap: &Gap) -> Result<(), Infallible> {
        self.rows.put(Row::Gap(*gap));
        Ok(())
    }

    fn record(&mut self, record: &Record) -> Result<(), Infallible> {
        if let Some(flows) = &mut self.flows {
            flows.put(Told::Record { belt: self.belt, record: Box::new(record.clone()) });
        }
        Ok(())
    }

    fn answer(&mut self, answer: &Answer) -> Result<(), Infallible> {
        if let Some(flows) = &mut self.flows {
            flows.put(Told::Answer(Box::new(answer.clone())));
        }
        Ok(())
    }
}
