//! What comes from outside: signals, and the passing of time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1};
use vtap_packet::Timestamp;

use super::now;

/// What was asked from outside.
pub(super) struct Signals {
    stop: Arc<AtomicBool>,
    tell: Arc<AtomicBool>,
    reload: Arc<AtomicBool>,
}

impl Signals {
    pub(super) fn catch() -> anyhow::Result<Self> {
        let caught = Self { stop: Arc::default(), tell: Arc::default(), reload: Arc::default() };
        let flags = [
            (SIGTERM, &caught.stop),
            (SIGINT, &caught.stop),
            (SIGUSR1, &caught.tell),
            (SIGHUP, &caught.reload),
        ];
        for (signal, flag) in flags {
            signal_hook::flag::register(signal, Arc::clone(flag))
                .context("cannot catch signals")?;
        }
        Ok(caught)
    }

    /// Whether it is to end.
    pub(super) fn stop(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Waits for another signal to end.
    #[cfg(feature = "upload")]
    pub(super) fn forget_stop(&self) {
        self.stop.store(false, Ordering::Relaxed);
    }

    /// Whether the table was asked for since this was last called.
    pub(super) fn tell(&self) -> bool {
        self.tell.swap(false, Ordering::Relaxed)
    }

    /// Whether the configuration is to be read again.
    pub(super) fn reload(&self) -> bool {
        self.reload.swap(false, Ordering::Relaxed)
    }
}

/// Something that is due again and again.
pub(super) struct Every {
    span: Option<Duration>,
    next: Timestamp,
}

impl Every {
    pub(super) fn new(span: Option<Duration>) -> Self {
        Self { span, next: now() + span.unwrap_or_default() }
    }

    pub(super) fn is_due(&mut self) -> bool {
        let Some(span) = self.span else { return false };
        let time = now();
        // Also where the clock was set back by more than the span.
        if time < self.next && self.next.since(time) <= span {
            return false;
        }
        self.next = time + span;
        true
    }
}
