//! Whether rows reach the disk, told once each time that it changes.

use std::time::Duration;

use vtap_packet::Timestamp;

use crate::Error;

/// A change that somebody should hear of.
#[derive(Debug)]
pub enum Health {
    /// Rows do not reach the disk; they wait, and what does not fit is lost. Attempts go on.
    Failing(Error),
    /// They do again, and none waits for it any more.
    Recovered {
        /// Rows lost meanwhile.
        lost: u64,
    },
    /// A file beyond those to keep cannot be removed. Rows are written; the removal is tried again
    /// with each file that is complete.
    NotRemoved(Error),
}

/// A disk that takes nothing.
#[derive(Debug)]
pub(crate) struct Trouble {
    /// When it was tried last.
    tried: Timestamp,
    /// How long until the next attempt.
    pause: Duration,
    /// Rows lost before it began.
    pub(crate) lost_before: u64,
}

impl Trouble {
    pub(crate) const fn begin(now: Timestamp, lost_before: u64) -> Self {
        Self { tried: now, pause: FIRST_PAUSE, lost_before }
    }

    /// Another attempt has failed.
    pub(crate) fn again(&mut self, now: Timestamp) {
        self.tried = now;
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
    }

    /// Whether to try again. A clock that was put back does not hold it up.
    pub(crate) fn is_due(&self, now: Timestamp) -> bool {
        now < self.tried || now.since(self.tried) >= self.pause
    }
}

/// A disk that is full for a moment.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// Somebody has made room by hand and watches.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// What has not been told yet. One that comes to nothing before it is told is left out.
#[derive(Debug, Default)]
pub(crate) struct Untold {
    failing: Option<Error>,
    recovered: Option<u64>,
    not_removed: Option<Error>,
}

impl Untold {
    pub(crate) fn failing(&mut self, error: Error) {
        // Where the recovery was not told, nobody thinks that it works.
        if self.recovered.take().is_none() {
            self.failing = Some(error);
        }
    }

    pub(crate) const fn recovered(&mut self, lost: u64) {
        self.recovered = Some(lost);
    }

    pub(crate) fn not_removed(&mut self, error: Error) {
        self.not_removed = Some(error);
    }

    pub(crate) fn take(&mut self) -> Option<Health> {
        let recovered = |lost| Health::Recovered { lost };
        self.failing
            .take()
            .map(Health::Failing)
            .or_else(|| self.recovered.take().map(recovered))
            .or_else(|| self.not_removed.take().map(Health::NotRemoved))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_become_rarer_down_to_one_in_thirty_seconds() {
        let mut now = Timestamp::new(1000, 0);
        let mut trouble = Trouble::begin(now, 0);
        let mut pauses = Vec::new();
        for _ in 0..7 {
            let begin = now;
            while !trouble.is_due(now) {
                now = now + Duration::from_secs(1);
            }
            pauses.push(now.since(begin).as_secs());
            trouble.again(now);
        }
        assert_eq!(pauses, [1, 2, 4, 8, 16, 30, 30]);
        assert!(trouble.is_due(Timestamp::new(5, 0)));
    }
}
