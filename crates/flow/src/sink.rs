//! Where events go.

use std::convert::Infallible;

use crate::Event;

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
}

/// Keeps every event; for tests and for small inputs.
impl Sink for Vec<Event> {
    type Error = Infallible;

    fn event(&mut self, event: &Event) -> Result<(), Infallible> {
        self.push(*event);
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
}

impl<S: Sink + ?Sized> Sink for &mut S {
    type Error = S::Error;

    fn event(&mut self, event: &Event) -> Result<(), S::Error> {
        (**self).event(event)
    }
}
