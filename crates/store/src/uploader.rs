//! One thread that uploads what comes into the spools.

mod work;

use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::runtime::Builder;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

use self::work::{Work, run};
use crate::health::Untold;
use crate::{Config, Counters, Destination, Error, Health, Now};

/// Uploads the complete files of some directories for as long as it lives.
///
/// A store that is away stops nothing: files wait in their directories, which [`health`](Self::health)
/// tells once. When it is dropped, uploads under way end where they are; what did not go goes after
/// the next start.
#[derive(Debug)]
#[must_use = "nothing is uploaded once it is dropped"]
pub struct Uploader {
    orders: Option<UnboundedSender<Drain>>,
    shared: Arc<Mutex<Shared>>,
    thread: Option<JoinHandle<()>>,
}

/// What [`Uploader::drain`] could not upload in time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Left {
    /// Files. They are in their directories.
    pub files: u64,
    /// Bytes of these.
    pub bytes: u64,
}

impl Uploader {
    /// Looks at the directories, and begins.
    ///
    /// # Errors
    ///
    /// When a directory or its journal cannot be read, one lies in another, or there is no thread.
    /// Whether the store answers is not asked: that is [`health`](Self::health).
    pub fn start(destination: Destination, config: Config, now: Now) -> Result<Self, Error> {
        let shared = Arc::new(Mutex::new(Shared::default()));
        let mut work = Work::new(destination, config, now, Arc::clone(&shared))?;
        work.look();
        let runtime = Builder::new_current_thread().enable_all().build().map_err(Error::Thread)?;
        let (orders, received) = unbounded_channel();
        let thread = thread::Builder::new()
            .name("upload".into())
            .spawn(move || run(runtime, work, received))
            .map_err(Error::Thread)?;
        Ok(Self { orders: Some(orders), shared, thread: Some(thread) })
    }

    /// What became of files up to now.
    pub fn counters(&self) -> Counters {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner).counters
    }

    /// What has changed for better or worse and was not told before; to be asked until `None`.
    pub fn health(&self) -> Option<Health> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner).untold.take()
    }

    /// Looks at the directories at once, and waits until all that is in them has gone, also what
    /// rests, or until `limit` is over. Says what is left. Files that come meanwhile go as well.
    pub fn drain(&self, limit: Duration) -> Left {
        let (reply, answer) = channel();
        let ordered = self.orders.as_ref().map(|orders| orders.send(Drain { limit, reply }));
        // Without a thread nothing goes any more: what is pending is what it said last.
        let left = ordered.and_then(|_| answer.recv().ok());
        left.unwrap_or_else(|| Left::of(self.counters()))
    }
}

impl Drop for Uploader {
    fn drop(&mut self) {
        drop(self.orders.take());
        if let Some(thread) = self.thread.take() {
            // It has no panic to tell: where it had one, it was printed.
            let _ = thread.join();
        }
    }
}

impl Left {
    const fn of(counters: Counters) -> Self {
        Self { files: counters.pending_files, bytes: counters.pending_bytes }
    }
}

/// What both threads see.
#[derive(Debug, Default)]
struct Shared {
    counters: Counters,
    untold: Untold,
}

#[derive(Debug)]
struct Drain {
    limit: Duration,
    reply: Sender<Left>,
}

#[cfg(test)]
mod tests;
