//! The thread that writes: from blocks to files, and what it does when the disk does not take them.
//!
//! A file never has half a packet in its middle: when a write fails, the file is cut back to the
//! last whole packet, and writing goes on there. Until then blocks wait in the queue, and what does
//! not fit into that is dropped by the capture thread, which alone counts it. So a loss has one
//! place, whatever its cause.

use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use vtap_files::Error;

use crate::queue::{Block, Queue, Work};
use crate::store::{Output, Store};

/// Between two attempts on a disk that is full.
const RETRY: Duration = Duration::from_millis(200);

/// What the writer does.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Orders {
    /// Complete files that are kept; `None` keeps all.
    pub(crate) keep: Option<usize>,
    /// Bytes that stay free on the file system.
    pub(crate) min_free: u64,
    /// Whether to try again after an error, for as long as the session runs.
    pub(crate) retry: bool,
}

/// One file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FileStatus {
    /// The name that it has, or will have.
    pub path: PathBuf,
    /// Packets in it.
    pub packets: u64,
    /// Its length.
    pub bytes: u64,
    /// Whether it has its name.
    pub complete: bool,
}

/// How far the writer is.
#[derive(Clone, Debug, Default)]
pub(crate) struct Written {
    /// Those that are there, oldest first, the one that is written last.
    pub(crate) files: VecDeque<FileStatus>,
    /// Files of the ring that were removed.
    pub(crate) removed: u64,
    pub(crate) packets: u64,
    /// Of frames.
    pub(crate) bytes: u64,
    /// Packets that were taken and could not be written to the end.
    pub(crate) lost: u64,
    pub(crate) lost_bytes: u64,
    /// Why nothing can be written at present.
    pub(crate) failing: Option<String>,
    /// Whether that is a reader who has gone.
    pub(crate) closed: bool,
    /// Errors after which a file is not complete, or not gone.
    pub(crate) errors: Vec<String>,
}

/// Errors that are kept; a disk that fails does so again and again.
const ERRORS: usize = 10;

impl Written {
    fn error(&mut self, error: &Error) {
        if self.errors.len() < ERRORS {
            self.errors.push(described(error));
        }
    }
}

/// Shared with whoever asks for the status.
#[derive(Debug, Default)]
pub(crate) struct Account(Mutex<Written>);

impl Account {
    pub(crate) fn lock(&self) -> MutexGuard<'_, Written> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(crate) struct Writer<S: Store> {
    pub(crate) store: S,
    pub(crate) orders: Orders,
    pub(crate) queue: Arc<Queue>,
    pub(crate) account: Arc<Account>,
    /// The first file, which was made before the thread was.
    pub(crate) first: Option<S::Output>,
    pub(crate) current: Option<Current<S::Output>>,
    /// Files that are complete, oldest first.
    pub(crate) ring: VecDeque<PathBuf>,
    /// Nothing is written any more.
    pub(crate) given_up: bool,
}

pub(crate) struct Current<O> {
    output: O,
    /// Of whole packets.
    len: u64,
    /// Whether there is more in the file than that.
    torn: bool,
}

/// Why a block cannot be written now.
enum Failure {
    /// Making a file failed.
    Create(Error),
    Write(io::Error),
    /// Only so many bytes are free.
    Space(u64),
}

impl Failure {
    fn is_closed_pipe(&self) -> bool {
        matches!(self, Self::Write(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }
}

impl<S: Store> Writer<S> {
    pub(crate) fn run(mut self) {
        while let Some(work) = self.queue.next() {
            match work {
                Work::Block(block) => {
                    self.block(&block);
                    self.queue.free(block);
                }
                Work::End => self.end(),
            }
        }
        self.end();
        if let Some(never_begun) = self.first.take() {
            self.discard(never_begun);
        }
    }

    /// Writes a block, however often it has to try, or gives up for good.
    fn block(&mut self, block: &Block) {
        let mut done = 0;
        // Once the session has stopped, there is one more attempt.
        let mut stopped = false;
        while !self.given_up {
            let Err(failure) = self.attempt(block, &mut done) else {
                self.account.lock().failing = None;
                return;
            };
            let why = self.describe(&failure);
            let mut account = self.account.lock();
            account.failing = Some(why);
            account.closed = failure.is_closed_pipe();
            drop(account);
            let may_retry = self.orders.retry && self.store.can_retry();
            if !may_retry || stopped {
                self.given_up = true;
                self.queue.fail();
            } else {
                stopped = self.queue.pause(RETRY);
            }
        }
        let rest = block.ends.iter().filter(|(end, _)| *end > done);
        let mut account = self.account.lock();
        for (_, frame) in rest {
            account.lost += 1;
            account.lost_bytes += u64::from(*frame);
        }
    }

    /// Writes what is behind `done`, which moves on by whole packets.
    fn attempt(&mut self, block: &Block, done: &mut usize) -> Result<(), Failure> {
        if let Some(free) = self.store.free().map_err(Failure::Write)?
            && free < self.orders.min_free
        {
            return Err(Failure::Space(free));
        }
        if let Some(begun) = block.begins
            && self.current.is_none()
        {
            let output = match self.first.take() {
                Some(output) => output,
                None => self.store.create(begun).map_err(Failure::Create)?,
            };
            let path = output.path().to_path_buf();
            self.account.lock().files.push_back(FileStatus { path, ..FileStatus::default() });
            self.current = Some(Current { output, len: 0, torn: false });
        }
        let Some(current) = &mut self.current else { return Ok(()) };
        if current.torn {
            current.output.truncate(current.len).map_err(Failure::Write)?;
            current.torn = false;
        }
        let bytes = block.bytes.get(*done..).unwrap_or_default();
        let (written, result) = write_all(&mut current.output, bytes);
        let reached = *done + written;
        let whole = match result {
            Ok(()) => block.bytes.len(),
            Err(_) => last_end(block, reached).max(*done),
        };
        current.len += (whole - *done) as u64;
        current.torn = reached > whole;
        let mut account = self.account.lock();
        let packets = block.ends.iter().filter(|(end, _)| *end > *done && *end <= whole);
        let (count, frames) = packets
            .fold((0, 0), |(count, frames), (_, frame)| (count + 1, frames + u64::from(*frame)));
        account.packets += count;
        account.bytes += frames;
        if let Some(file) = account.files.back_mut() {
            file.packets += count;
            file.bytes = current.len;
        }
        drop(account);
        *done = whole;
        if current.torn && current.output.truncate(current.len).is_ok() {
            current.torn = false;
        }
        result.map_err(Failure::Write)
    }

    /// Completes the file; in a ring, the oldest goes as soon as this one is on the disk.
    fn end(&mut self) {
        let Some(mut current) = self.current.take() else { return };
        if current.torn && current.output.truncate(current.len).is_err() {
            // It keeps its partial name, and the packets that are whole.
            return;
        }
        if current.len == 0 {
            self.account.lock().files.pop_back();
            return self.discard(current.output);
        }
        let path = current.output.path().to_path_buf();
        if let Err(error) = current.output.sync() {
            return self.account.lock().error(&error);
        }
        self.forget_gone();
        self.ring.push_back(path);
        while self.orders.keep.is_some_and(|keep| self.ring.len() > keep) {
            let Some(oldest) = self.ring.pop_front() else { break };
            let removed = self.store.remove(&oldest);
            let mut account = self.account.lock();
            match removed {
                Ok(()) => account.removed += 1,
                Err(error) => account.error(&error),
            }
            account.files.retain(|file| file.path != oldest);
        }
        let finished = current.output.finish();
        let mut account = self.account.lock();
        match finished {
            Ok(()) => {
                if let Some(file) = account.files.back_mut() {
                    file.complete = true;
                }
            }
            Err(error) => account.error(&error),
        }
    }

    /// Of the oldest files of a ring, forgets those that others have taken away: where these see to
    /// what is kept, as uploads do, there would be ever more of them.
    fn forget_gone(&mut self) {
        while let Some(oldest) = self.ring.pop_front_if(|oldest| self.store.is_gone(oldest)) {
            self.account.lock().files.retain(|file| file.path != oldest);
        }
    }

    fn discard(&self, output: S::Output) {
        if let Err(error) = output.discard() {
            self.account.lock().error(&error);
        }
    }

    fn describe(&self, failure: &Failure) -> String {
        let path = self.current.as_ref().map(|current| current.output.path().display().to_string());
        let path = path.unwrap_or_default();
        match failure {
            Failure::Create(error) => described(error),
            Failure::Write(error) => format!("cannot write {path}: {error}"),
            Failure::Space(free) => {
                let min = self.orders.min_free;
                format!("{free} bytes are free on the file system, less than the {min} to be left")
            }
        }
    }
}

/// A bug in here must not leave the other end waiting for ever.
impl<S: Store> Drop for Writer<S> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.queue.fail();
        }
    }
}

/// Where the last packet ends that does not reach behind `reached`.
fn last_end(block: &Block, reached: usize) -> usize {
    let whole = block.ends.partition_point(|(end, _)| *end <= reached);
    whole.checked_sub(1).and_then(|last| block.ends.get(last)).map_or(0, |(end, _)| *end)
}

/// As `Write::write_all`, and tells how much was written before it failed.
fn write_all(output: &mut impl Output, bytes: &[u8]) -> (usize, io::Result<()>) {
    let mut written = 0;
    while let Some(rest) = bytes.get(written..).filter(|rest| !rest.is_empty()) {
        match output.write(rest) {
            Ok(0) => return (written, Err(io::ErrorKind::WriteZero.into())),
            Ok(len) => written += len,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return (written, Err(error)),
        }
    }
    (written, Ok(()))
}

fn described(error: &Error) -> String {
    format!("{error}: {}", error.source)
}
