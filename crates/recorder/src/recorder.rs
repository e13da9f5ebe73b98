//! A session: from packets that are lent to files.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use vtap_capture::write::Format;
use vtap_files::Error;
use vtap_packet::{Packet, Timestamp};

use crate::filler::{Filler, Put};
use crate::filter::Filters;
use crate::limits::Limits;
use crate::queue::Queue;
use crate::status::{CaptureError, Counters, Status, StopReason};
use crate::store::{Destination, Disk, Output, Store};
use crate::writer::{Account, Orders, Writer};

/// Bytes between the capture thread and the disk.
pub const BUFFER: usize = 64 << 20;

/// Bytes that stay free on the file system.
pub const MIN_FREE: u64 = 256 << 20;

/// What a session records, and how.
#[derive(Clone, Debug)]
pub struct Config {
    /// Of the session, in its status.
    pub name: String,
    /// How they are written.
    pub format: Format,
    /// Which packets are recorded.
    pub filters: Filters,
    /// When packets are cut, and when the session stops.
    pub limits: Limits,
    /// Bytes between the capture thread and the disk, [`BUFFER`] by default: at least 2 MiB, in
    /// whole MiB. Beside them, 16 bytes for each packet that waits.
    pub buffer: usize,
    /// Bytes that stay free on the file system. Below, nothing is written until there is more.
    pub min_free: u64,
    /// What becomes of packets that the disk cannot take now.
    pub pressure: Pressure,
}

/// What becomes of packets when the buffer is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pressure {
    /// They are dropped and counted, as a live source cannot wait; a disk that is full is tried
    /// again and again.
    Drop,
    /// They wait, as those of a file can; a disk that is full ends the session.
    Wait,
}

/// A session that runs.
///
/// Give it packets with [`offer`](Self::offer) and, where none come, the time with
/// [`tick`](Self::tick); look at [`stop_reason`](Self::stop_reason), and end it with
/// [`stop`](Self::stop).
///
/// Dropped without that, it completes its files all the same.
#[derive(Debug)]
pub struct Recorder {
    name: String,
    filters: Filters,
    limits: Limits,
    pressure: Pressure,
    started: Timestamp,
    now: Timestamp,
    stop_reason: Option<StopReason>,
    counters: Counters,
    filler: Filler,
    queue: Arc<Queue>,
    account: Arc<Account>,
    writer: Option<JoinHandle<()>>,
}

impl Recorder {
    /// Starts a session: makes its first file and the thread that writes.
    ///
    /// # Errors
    ///
    /// When the file cannot be made, the folder cannot be read, or less than
    /// [`min_free`](Config::min_free) is free.
    pub fn start(destination: Destination, config: Config, now: Timestamp) -> Result<Self, Error> {
        let store = Disk::new(destination, config.format)?;
        let adopted = match config.limits.ring {
            Some(ring) if ring.adopt => store.earlier()?,
            _ => Vec::new(),
        };
        Self::start_in(store, adopted, config, now)
    }

    pub(crate) fn start_in<S: Store>(
        mut store: S,
        adopted: Vec<PathBuf>,
        config: Config,
        now: Timestamp,
    ) -> Result<Self, Error> {
        let Config { name, format, filters, limits, buffer, min_free, pressure } = config;
        let first = store.create(now)?;
        let free = store.free().map_err(Error::at(first.path()))?;
        if let Some(free) = free.filter(|free| *free < min_free) {
            let path = first.path().to_path_buf();
            first.discard()?;
            let why = format!(
                "{free} bytes are free on its file system, and {min_free} stay free: make room"
            );
            return Err(Error { path, source: std::io::Error::other(why) });
        }
        let keep = limits.ring.map(|ring| usize::try_from(ring.files).unwrap_or(usize::MAX));
        let (queue, account) = (Arc::new(Queue::new(buffer)), Arc::new(Account::default()));
        let writer = Writer {
            store,
            orders: Orders { keep, min_free, retry: pressure == Pressure::Drop },
            queue: Arc::clone(&queue),
            account: Arc::clone(&account),
            first: Some(first),
            current: None,
            ring: VecDeque::from(adopted),
            given_up: false,
        };
        let thread = thread::Builder::new().name("vtap-writer".to_owned());
        let writer = thread.spawn(move || writer.run());
        let writer = writer.map_err(Error::at("the thread that writes".as_ref()))?;
        let filler = Filler::new(format, &limits, pressure);
        Ok(Self {
            name,
            filters,
            limits,
            pressure,
            started: now,
            now,
            stop_reason: None,
            counters: Counters::default(),
            filler,
            queue,
            account,
            writer: Some(writer),
        })
    }

    /// Gives a capture interface its name in pcapng; before the first packet of it that has no
    /// tunnel.
    pub fn name_interface(&mut self, id: u32, name: &str) {
        self.filler.name_interface(id, name);
    }

    /// Takes a packet if a filter matches and no limit is reached. Copies its bytes; comes back
    /// without waiting for the disk, unless [`Pressure::Wait`] says so.
    #[inline]
    pub fn offer(&mut self, packet: &Packet<'_>, now: Timestamp) {
        self.offer_as(packet, Some(packet), now);
    }

    /// As [`offer`](Self::offer), for a packet that is recorded as it was received: filters look at
    /// the `frame` inside. Where that is not known, as of a fragment of an envelope, all pass.
    pub fn offer_as(&mut self, received: &Packet<'_>, frame: Option<&Packet<'_>>, now: Timestamp) {
        self.counters.offered += 1;
        self.tick(now);
        if self.stop_reason.is_some() {
            self.counters.over_limit += 1;
        } else if frame.is_some_and(|frame| !self.filters.matches(frame)) {
            self.counters.filtered += 1;
        } else {
            self.record(received);
        }
    }

    /// Says what time it is, which stops a session whose time has passed. Time that goes back
    /// stands still.
    #[inline]
    pub fn tick(&mut self, now: Timestamp) {
        self.now = self.now.max(now);
        if let Some(time) = self.limits.time
            && self.now.since(self.started) >= time
        {
            self.stop_reason.get_or_insert(StopReason::TimeExceeded);
        }
    }

    /// Whether the session has stopped by itself, and why. Packets are counted as over the limit
    /// from then on.
    pub fn stop_reason(&self) -> Option<StopReason> {
        self.stop_reason.or_else(|| self.queue.has_failed().then_some(StopReason::StorageFailed))
    }

    /// How it goes.
    pub fn status(&self) -> Status {
        let written = self.account.lock().clone();
        let mut counters = self.counters;
        counters.recorded -= written.lost;
        counters.recorded_bytes -= written.lost_bytes;
        counters.dropped += written.lost;
        counters.dropped_bytes += written.lost_bytes;
        let stop_reason = self.stop_reason();
        let mut errors = Vec::new();
        if written.failing.is_some() || written.lost > 0 {
            errors.push(CaptureError::StorageFailed);
        }
        if !written.errors.is_empty() {
            errors.push(CaptureError::LocalFileFailed);
        }
        if stop_reason == Some(StopReason::SourceFailed) {
            errors.push(CaptureError::CaptureFailed);
        }
        Status {
            name: self.name.clone(),
            started: self.started,
            now: self.now,
            stop_reason,
            errors,
            messages: written.errors,
            failing: written.failing,
            closed: written.closed,
            counters,
            files: written.files.into(),
            removed: written.removed,
        }
    }

    /// Ends the session, for this reason if it has not stopped by itself, and waits until its last
    /// file is complete.
    ///
    /// A disk that does not take the rest of the buffer is tried once more; then that is counted as
    /// dropped.
    ///
    /// # Panics
    ///
    /// If a law does not hold, or the thread that writes has panicked, which is a bug.
    pub fn stop(mut self, reason: StopReason) -> Status {
        let reason = self.stop_reason().unwrap_or(reason);
        self.stop_reason = Some(reason);
        if let Err(panicked) = self.complete() {
            std::panic::resume_unwind(panicked);
        }
        if self.pressure == Pressure::Wait && self.queue.has_failed() {
            // The rest of the buffer was still to be written when the last packet came.
            self.stop_reason = Some(StopReason::StorageFailed);
        }
        let status = self.status();
        status.counters.assert_laws();
        let written = self.account.lock();
        assert_eq!(
            (status.counters.recorded, status.counters.recorded_bytes),
            (written.packets, written.bytes),
            "what was taken is written or lost: {written:?}"
        );
        drop(written);
        status
    }

    /// Gives all to the writer and waits for it.
    fn complete(&mut self) -> thread::Result<()> {
        let Some(writer) = self.writer.take() else { return Ok(()) };
        self.filler.finish(&self.queue, self.now);
        self.queue.end();
        writer.join()
    }

    /// Copies a packet into the buffer.
    fn record(&mut self, packet: &Packet<'_>) {
        let keep = match self.limits.bytes_per_packet {
            0 => packet.data.len(),
            bytes => packet.data.len().min(bytes as usize),
        };
        let packet = Packet { data: packet.data.get(..keep).unwrap_or_default(), ..*packet };
        match self.filler.put(&self.queue, &packet, self.now) {
            Put::Recorded => {
                self.counters.recorded += 1;
                self.counters.recorded_bytes += keep as u64;
                if self.limits.packets.is_some_and(|packets| self.counters.recorded >= packets) {
                    self.stop_reason = Some(StopReason::PacketCountExceeded);
                }
            }
            Put::LeftOut => self.counters.left_out += 1,
            Put::OverLimit => {
                self.counters.over_limit += 1;
                self.stop_reason = Some(StopReason::TotalBytesExceeded);
            }
            Put::NoRoom => {
                self.counters.dropped += 1;
                self.counters.dropped_bytes += keep as u64;
            }
        }
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        let _ = self.complete();
    }
}

#[cfg(test)]
mod tests;
