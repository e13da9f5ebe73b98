//! Where events go.

use std::convert::Infallible;

use crate::{Answer, Event, Gap, Record};

/// Takes events in the order of their packets. Implemented by every output format.
pub trait Sink {
    /// Why an event could not be taken; ends the run.
    type Error;

    /// Takes one event.
    ///
    /// # Errors
    ///
    /// When it cannot be passed on. A sink never drops an event in silence.
    fn event(&mut self, event: &Event) -> Result<(), Self::Error>;

    /// Takes a gap in what a tap shows, before the events of the packet that ended it.
    ///
    /// # Errors
    ///
    /// As [`event`](Self::event).
    fn gap(&mut self, gap: &Gap) -> Result<(), Self::Error>;

    /// Takes what is told of a flow, in the order of packet time. Not called unless the tracker
    /// keeps records; a sink that has no place for them leaves them out.
    ///
    /// # Errors
    ///
    /// As [`event`](Self::event).
    fn record(&mut self, _record: &Record) -> Result<(), Self::Error> {
        Ok(())
    }

    /// Takes the names that a DNS response gives to addresses, before what is told of the packets
    /// behind it. Not called unless the tracker keeps records.
    ///
    /// # Errors
    ///
    /// As [`event`](Self::event).
    fn answer(&mut self, _answer: &Answer) -> Result<(), Self::Error> {
        Ok(())
    }
}

/// Keeps every event, and no gaps; for tests and for small inputs.
impl Sink for Vec<Event> {
    type Error = Infallible;

    fn event(&mut self, event: &Event) -> Result<(), Infallible> {
        self.push(*event);
        Ok(())
    }

    fn gap(&mut self, _gap: &Gap) -> Result<(), Infallible> {
        Ok(())
    }
}

/// Takes events and forgets them, for runs that only count.
#[derive(Clone, Copy, Debug, Default)]
pub struct Discard;

impl Sink for Discard {
    type Error = Infallible;

    fn event(&mut self, _event: &Event) -> Result<(), Infallible> {
        Ok(())
    }

    fn gap(&mut self, _gap: &Gap) -> Result<(), Infallible> {
        Ok(())
    }
}

impl<S: Sink + ?Sized> Sink for &mut S {
    type Error = S::Error;

    fn event(&mut self, event: &Event) -> Result<(), S::Error> {
        (**self).event(event)
    }

    fn gap(&mut self, gap: &Gap) -> Result<(), S::Error> {
        (**self).gap(gap)
    }

    fn record(&mut self, record: &Record) -> Result<(), S::Error> {
        (**self).record(record)
    }

    fn answer(&mut self, answer: &Answer) -> Result<(), S::Error> {
        (**self).answer(answer)
    }
}
