//! The state of the thread, and what it does.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::sync::Semaphore;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::sleep;
use vtap_packet::Timestamp;

use super::{Drain, Left, Shared};
use crate::error::Cause;
use crate::health::Untold;
use crate::journal::Journal;
use crate::queue::{News, Queue};
use crate::scan::{Found, Key, Stamp, named};
use crate::transfer::{self, Trouble};
use crate::{After, Config, Destination, Error, Now, Spool};

pub(super) fn run(runtime: Runtime, mut work: Work, orders: UnboundedReceiver<Drain>) {
    runtime.block_on(work.go(orders));
    // A look-up of a name may hang for long, and cannot be stopped.
    runtime.shutdown_background();
}

/// The state of the thread.
#[derive(Debug)]
pub(super) struct Work {
    destination: Destination,
    config: Config,
    now: Now,
    queue: Queue,
    journals: Vec<Journal>,
    /// Spools whose journal is behind.
    unwritten: BTreeSet<usize>,
    requests: Arc<Semaphore>,
    under_way: JoinSet<Result<Stamp, Trouble>>,
    /// Which file each task of these uploads.
    keys: Vec<(Id, Key)>,
    next_look: Timestamp,
    /// What the disk refused since the last look, and whether it had refused something before.
    refused: Vec<Error>,
    is_refusing: bool,
    draining: Option<Draining>,
    shared: Arc<Mutex<Shared>>,
}

#[derive(Debug)]
struct Draining {
    until: Timestamp,
    reply: Sender<Left>,
}

impl Work {
    pub(super) fn new(
        destination: Destination,
        mut config: Config,
        now: Now,
        shared: Arc<Mutex<Shared>>,
    ) -> Result<Self, Error> {
        config.parallel = config.parallel.clamp(1, MOST_PARALLEL);
        let mut places = Vec::new();
        for spool in &config.spools {
            let path = &spool.directory;
            places.push(fs::canonicalize(path).map_err(Error::disk("read", path))?);
        }
        if let Some(local) = &destination.local {
            places.push(fs::canonicalize(local).map_err(Error::disk("read", local))?);
        }
        apart(&places)?;
        let mut queue = Queue::new(config.refresh);
        let journal = |spool: &Spool| Journal::new(&spool.directory, destination.url());
        let journals: Vec<_> = config.spools.iter().map(journal).collect();
        if config.after == After::Keep {
            for (spool, journal) in journals.iter().enumerate() {
                for (key, stamp) in journal.read(spool)? {
                    queue.remember(key, stamp);
                }
            }
        }
        let requests = Arc::new(Semaphore::new(config.parallel));
        let (under_way, keys, unwritten) = (JoinSet::new(), Vec::new(), BTreeSet::new());
        Ok(Self {
            destination,
            config,
            now,
            queue,
            journals,
            unwritten,
            requests,
            under_way,
            keys,
            next_look: Timestamp::EPOCH,
            refused: Vec::new(),
            is_refusing: false,
            draining: None,
            shared,
        })
    }

    /// Until nobody can give orders any more.
    async fn go(&mut self, mut orders: UnboundedReceiver<Drain>) {
        loop {
            let now = (self.now)();
            // A clock that was put back does not hold it up.
            let is_due = now >= self.next_look || now + LONGEST_WAIT < self.next_look;
            if is_due {
                self.look();
            }
            self.begin();
            self.publish();
            self.end_drain();
            let wait = self.wait();
            tokio::select! {
                order = orders.recv() => match order {
                    None => break,
                    Some(Drain { limit, reply }) => {
                        let now = (self.now)();
                        self.draining = Some(Draining { until: now + limit, reply });
                        self.next_look = now;
                        self.queue.hurry(now);
                    }
                },
                Some(done) = self.under_way.join_next_with_id() => {
                    let id = done.as_ref().map_or_else(JoinError::id, |(id, _)| *id);
                    // A panic in a library is a failure like any other.
                    let panic = |error: JoinError| Trouble(Cause::Refused, error.to_string());
                    let done = done.map_err(panic).and_then(|(_, done)| done);
                    let at = self.keys.iter().position(|(of, _)| *of == id);
                    if let Some((_, key)) = at.map(|at| self.keys.swap_remove(at)) {
                        self.done(key, done);
                    }
                }
                () = sleep(wait) => {}
            }
        }
        self.write_journals();
        self.publish();
    }

    /// Looks at the directories, and does what follows from what is there.
    pub(super) fn look(&mut self) {
        let begin = (self.now)();
        let mut found = Found::default();
        for (spool, place) in self.config.spools.iter().enumerate() {
            found.look(spool, &place.directory, begin);
        }
        for key in self.queue.seen(&found, begin) {
            let path = self.path(&key);
            self.untold(|untold| untold.vanished(path));
        }
        self.refused.append(&mut found.errors);
        if self.draining.is_some() {
            self.queue.wake();
        }
        match self.config.after {
            After::Keep => self.write_journals(),
            After::Remove => {
                for (key, stamp) in self.queue.removable(begin) {
                    self.remove(&key, stamp);
                }
                for directory in found.empty {
                    // If somebody writes there after all, it is not empty.
                    let _ = fs::remove_dir(directory);
                }
            }
        }
        self.tell_refused();
        let end = (self.now)();
        self.next_look = end + self.config.scan_every.max(end.since(begin) * SHARE);
    }

    /// Tells the first thing that the disk refused, if it refused nothing at the look before.
    fn tell_refused(&mut self) {
        let first = self.refused.drain(..).next();
        let was_refusing = std::mem::replace(&mut self.is_refusing, first.is_some());
        if let Some(error) = first.filter(|_| !was_refusing) {
            self.untold(|untold| untold.disk(error));
        }
    }

    fn begin(&mut self) {
        while let Some(key) = self.queue.next((self.now)(), self.config.parallel) {
            let path = self.path(&key);
            let object = self.object(&key);
            let store = Arc::clone(&self.destination.store);
            let requests = Arc::clone(&self.requests);
            let task = self
                .under_way
                .spawn(async move { transfer::send(&*store, &object?, &path, &requests).await });
            self.keys.push((task.id(), key));
        }
    }

    fn done(&mut self, key: Key, done: Result<Stamp, Trouble>) {
        let now = (self.now)();
        match done {
            Ok(stamp) => {
                if self.queue.sent(&key, stamp, now) {
                    self.untold(Untold::recovered);
                }
                self.unwritten.insert(key.spool);
                if self.config.after == After::Remove && !key.is_growing() {
                    self.remove(&key, stamp);
                }
            }
            Err(trouble) => {
                let Trouble(cause, _) = trouble;
                let news = self.queue.failed(&key, cause.is_of_the_store(), now);
                let object = self.object(&key).map_or_else(
                    |_| key.object().unwrap_or_default().to_owned(),
                    |object| object.to_string(),
                );
                // What is gone is told as that by the next look.
                if news == News::Nothing || cause == Cause::Gone {
                    return;
                }
                let error = Error::Upload(self.destination.failure(&object, trouble));
                self.untold(|untold| match news {
                    News::Store => untold.failing(error),
                    _ => untold.refused(error),
                });
            }
        }
    }

    /// Removes a file that the store has, unless it is not that one any more.
    fn remove(&mut self, key: &Key, sent: Stamp) {
        let path = self.path(key);
        let removed = match fs::symlink_metadata(&path) {
            // The next look sees what it is now.
            Ok(data) if !data.is_file() || Stamp::of(&data) != sent => return,
            Ok(data) if (self.now)().since(named(&data)) < self.config.remove_after => return,
            Ok(_) => fs::remove_file(&path),
            Err(error) => Err(error),
        };
        match removed {
            Ok(()) => {
                self.queue.removed(key);
                self.queue.note_removed();
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.queue.removed(key);
            }
            Err(error) => self.refused.push(Error::disk("remove", &path)(error)),
        }
    }

    fn write_journals(&mut self) {
        if self.config.after != After::Keep {
            return;
        }
        for spool in std::mem::take(&mut self.unwritten) {
            let Some(journal) = self.journals.get(spool) else { continue };
            if let Err(error) = journal.write(self.queue.kept(spool)) {
                self.unwritten.insert(spool);
                self.refused.push(error);
                return;
            }
        }
    }

    fn end_drain(&mut self) {
        let left = Left::of(self.queue.counters());
        let now = (self.now)();
        let is_over = |draining: &Draining| left.files == 0 || now >= draining.until;
        if self.draining.as_ref().is_some_and(is_over) {
            self.write_journals();
            if let Some(Draining { reply, .. }) = self.draining.take() {
                // Nobody waits any more: as well.
                let _ = reply.send(left);
            }
        }
    }

    /// How long there is nothing to do, at most.
    fn wait(&self) -> Duration {
        let now = (self.now)();
        let until = |due: Timestamp| due.since(now);
        let is_full = self.under_way.len() >= self.config.parallel;
        let due = self.queue.due().filter(|_| !is_full).map(until);
        let drained = self.draining.as_ref().map(|draining| until(draining.until));
        let soonest = [Some(until(self.next_look)), due, drained].into_iter().flatten().min();
        soonest.unwrap_or(LONGEST_WAIT).clamp(SHORTEST_WAIT, LONGEST_WAIT)
    }

    fn path(&self, key: &Key) -> PathBuf {
        let spool = self.config.spools.get(key.spool);
        spool.map_or_else(|| key.path.to_path_buf(), |spool| spool.directory.join(&key.path))
    }

    fn object(&self, key: &Key) -> Result<object_store::path::Path, Trouble> {
        let prefix = self.config.spools.get(key.spool).map_or("", |spool| &spool.prefix);
        self.destination.object(prefix, key.object().unwrap_or_default())
    }

    fn publish(&self) {
        let counters = self.queue.counters();
        self.shared.lock().unwrap_or_else(PoisonError::into_inner).counters = counters;
    }

    fn untold(&self, tell: impl FnOnce(&mut Untold)) {
        tell(&mut self.shared.lock().unwrap_or_else(PoisonError::into_inner).untold);
    }
}

/// Requests at once at most, so that memory is bounded by 512 MiB whatever was configured.
const MOST_PARALLEL: usize = 64;

/// A look may take one part in so many of the time.
const SHARE: u32 = 20;

/// A timer that is due before the clock says so would be asked again at once.
const SHORTEST_WAIT: Duration = Duration::from_millis(5);
const LONGEST_WAIT: Duration = Duration::from_secs(600);

/// No directory lies in another.
fn apart(places: &[PathBuf]) -> Result<(), Error> {
    let lies_in = |inner: &Path, outer: &Path| inner.starts_with(outer);
    for (index, inner) in places.iter().enumerate() {
        let others = places.iter().enumerate().filter(|(other, _)| *other != index);
        if let Some((_, outer)) = others.into_iter().find(|(_, outer)| lies_in(inner, outer)) {
            return Err(Error::Nested { inner: inner.clone(), outer: outer.clone() });
        }
    }
    Ok(())
}
