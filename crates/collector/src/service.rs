//! Word to the service manager (sd_notify(3)): ready, alive, reloading, stopping.
//!
//! Where none listens (no `NOTIFY_SOCKET`), all of this does nothing.

use std::io;
use std::time::Duration;

use sd_notify::NotifyState::{self, Ready, Reloading, Status, Stopping, Watchdog};
use vtap_packet::Timestamp;

/// What a service manager is told, and how often it wants to hear that this process lives.
#[derive(Debug)]
pub struct Service {
    /// Half of what it waits before it takes the process for hung (`WatchdogSec`), as sd_notify(3)
    /// advises.
    every: Option<Duration>,
    told: Timestamp,
}

impl Service {
    /// As the environment says.
    pub fn from_environment() -> Self {
        Self { every: sd_notify::watchdog_enabled().map(|after| after / 2), told: Timestamp::EPOCH }
    }

    /// How often [`watchdog`](Self::watchdog) is to be called at least; `None` if nobody waits for it.
    pub const fn watchdog_every(&self) -> Option<Duration> {
        self.every
    }

    /// Packets are being read, after a start or a reload; `status` is what `systemctl status` shows.
    ///
    /// # Errors
    ///
    /// There is a socket for this and it takes nothing.
    pub fn ready(&self, status: &str) -> io::Result<()> {
        tell(&[Ready, Status(status)])
    }

    /// The process lives. Sent no more often than it is waited for, so it may be called with every
    /// turn of a loop; it should be one that does not turn when a thread hangs.
    ///
    /// # Errors
    ///
    /// As of [`ready`](Self::ready).
    pub fn watchdog(&mut self, now: Timestamp) -> io::Result<()> {
        let Some(every) = self.every else { return Ok(()) };
        let since = now.since(self.told);
        // A clock that was set back would make it wait.
        if since >= every || now < self.told {
            self.told = now;
            return tell(&[Watchdog]);
        }
        Ok(())
    }

    /// What `systemctl status` shows: a line.
    ///
    /// # Errors
    ///
    /// As of [`ready`](Self::ready).
    pub fn status(&self, text: &str) -> io::Result<()> {
        tell(&[Status(text)])
    }

    /// The configuration is read again; [`ready`](Self::ready) follows, whether it was good or not.
    ///
    /// # Errors
    ///
    /// As of [`ready`](Self::ready).
    pub fn reloading(&self) -> io::Result<()> {
        tell(&[Reloading, NotifyState::monotonic_usec_now()?])
    }

    /// The end has begun: what is left in the ring and the queue is written.
    ///
    /// # Errors
    ///
    /// As of [`ready`](Self::ready).
    pub fn stopping(&self) -> io::Result<()> {
        tell(&[Stopping, Status("writing what is left")])
    }
}

fn tell(states: &[NotifyState<'_>]) -> io::Result<()> {
    sd_notify::notify(states)
}
