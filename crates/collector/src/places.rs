//! The places that rows are written to: a stream, or files that are rotated.

use vtap_export::{Error, Output, Rotated};
use vtap_files::{Health, Rotation};
use vtap_flow::Sink;
use vtap_packet::Timestamp;

use crate::rows::{Row, Rows, Taken};

/// Rows to a stream, standard output as a rule. An error ends it: what a pipe or a file has taken of
/// the rows before is unknown then, and they count as lost.
#[derive(Debug)]
pub struct Stream {
    output: Option<Output>,
    /// Taken since the last flush.
    unflushed: u64,
    taken: Taken,
    error: Option<Error>,
}

impl Stream {
    /// To this output.
    pub const fn new(output: Output) -> Self {
        let taken = Taken { written: 0, lost: 0, omitted: 0 };
        Self { output: Some(output), unflushed: 0, taken, error: None }
    }

    /// Ends it where something has failed.
    fn settle(&mut self, result: Result<(), Error>) {
        if let Err(error) = result {
            self.output = None;
            self.taken.lost += std::mem::take(&mut self.unflushed);
            self.error = Some(error);
        }
    }

    fn flushed(&mut self, omitted: u64, result: Result<(), Error>) {
        let newly_omitted = omitted - self.taken.omitted;
        self.taken.omitted = omitted;
        self.unflushed -= newly_omitted;
        self.settle(result);
        self.taken.written += std::mem::take(&mut self.unflushed);
    }
}

impl Rows for Stream {
    fn take(&mut self, row: &Row) {
        let Some(output) = &mut self.output else {
            self.taken.lost += 1;
            return;
        };
        self.unflushed += 1;
        let taken = match row {
            Row::Event(event) => output.event(event),
            Row::Gap(gap) => output.gap(gap),
        };
        self.settle(taken);
    }

    fn tick(&mut self, _now: Timestamp) {
        if let Some(output) = &mut self.output {
            let flushed = output.flush();
            let omitted = output.omitted();
            self.flushed(omitted, flushed);
        }
    }

    fn finish(&mut self, _now: Timestamp) {
        if let Some(output) = self.output.take() {
            let omitted = output.omitted();
            let finished = output.finish();
            self.flushed(omitted, finished);
        }
    }

    fn counters(&self) -> Taken {
        self.taken
    }

    fn over(&mut self) -> Option<Error> {
        self.error.take()
    }
}

/// Rows to files that are begun by size and time. What goes wrong with them, and right again, is
/// logged.
#[derive(Debug)]
pub struct Files {
    rotated: Option<Rotated>,
    taken: Taken,
}

impl Files {
    /// To these files. Says what became of those that an earlier run has left.
    pub fn new(rotated: Rotated) -> Self {
        tell_leftovers(&rotated);
        Self { rotated: Some(rotated), taken: Taken::default() }
    }

    fn look(&mut self) {
        let Some(rotated) = &mut self.rotated else { return };
        tell_health(rotated, "events");
        let counters = rotated.counters();
        let omitted = rotated.omitted();
        self.taken = Taken { written: counters.rows, lost: counters.lost, omitted };
    }
}

impl Rows for Files {
    fn take(&mut self, row: &Row) {
        let Some(rotated) = &mut self.rotated else { return };
        let Ok(()) = match row {
            Row::Event(event) => rotated.event(event),
            Row::Gap(gap) => rotated.gap(gap),
        };
    }

    fn tick(&mut self, now: Timestamp) {
        if let Some(rotated) = &mut self.rotated {
            rotated.tick(now);
            rotated.flush();
        }
        self.look();
    }

    fn finish(&mut self, now: Timestamp) {
        self.look();
        let Some(rotated) = self.rotated.take() else { return };
        let omitted = rotated.omitted();
        let (counters, finished) = rotated.finish(now);
        if let Err(error) = finished {
            tracing::error!("{}", whole(&error));
        }
        self.taken = Taken { written: counters.rows, lost: counters.lost, omitted };
    }

    fn rotate(&mut self, rotation: Rotation) {
        let Some(rotated) = &mut self.rotated else { return };
        if let Err(error) = rotated.set_rotation(rotation) {
            tracing::error!("{}", whole(&error));
        }
    }

    fn counters(&self) -> Taken {
        self.taken
    }
}

/// Says what became of files that an earlier run has left.
pub(crate) fn tell_leftovers(rotated: &Rotated) {
    let Some(leftovers) = rotated.leftovers() else { return };
    for path in &leftovers.in_use {
        tracing::warn!("{}: another vtap writes it", path.display());
    }
    for error in &leftovers.failed {
        tracing::warn!("a file of an earlier run is left as it is: {}", whole(error));
    }
}

/// Says what has gone wrong with files of `what`, and right again.
pub(crate) fn tell_health(rotated: &mut Rotated, what: &str) {
    while let Some(health) = rotated.health() {
        match health {
            Health::Failing(error) => {
                let error = whole(&error);
                tracing::error!("{error}; {what} wait, and are lost when there is no room");
            }
            Health::Recovered { lost: 0 } => {
                tracing::warn!("{what} are written again, none lost");
            }
            Health::Recovered { lost } => {
                tracing::warn!("{what} are written again; {lost} were lost");
            }
            Health::NotRemoved(error) => {
                tracing::warn!("an old file could not be removed: {}", whole(&error));
            }
        }
    }
}

/// An error with its causes.
pub(crate) fn whole(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
