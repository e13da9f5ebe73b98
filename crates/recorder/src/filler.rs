//! The capture thread's end of the queue: from packets to blocks of bytes as they will be in the
//! file, and where one file ends and the next begins.

use std::io;

use vtap_capture::write::{Format, Frames, MAX_INTERFACES};
use vtap_packet::{Packet, Timestamp};

use crate::limits::{Limits, Ring};
use crate::queue::{BLOCK, Lanes, Queue};
use crate::recorder::Pressure;

/// What surrounds a packet in a file at most: headers of the file, the interface and the packet.
const AROUND: usize = 1024;

#[derive(Debug)]
pub(crate) struct Filler {
    format: Format,
    ring: Option<Ring>,
    total_bytes: Option<u64>,
    wait: bool,
    /// Names of capture interfaces, for packets without a tunnel.
    interfaces: Vec<(u32, String)>,
    /// Of the file that is filled; `None` before the first, and between two of a ring. Its bytes
    /// are lent to it from the tail of the queue for each packet.
    frames: Option<Frames<Vec<u8>>>,
    file: Size,
    session: Size,
}

#[derive(Clone, Copy, Debug, Default)]
struct Size {
    packets: u64,
    bytes: u64,
}

/// What became of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Put {
    Recorded,
    /// The format has no place for it.
    LeftOut,
    /// It would exceed the bytes of the session.
    OverLimit,
    /// All blocks wait for the disk.
    NoRoom,
}

impl Filler {
    pub(crate) fn new(format: Format, limits: &Limits, pressure: Pressure) -> Self {
        Self {
            format,
            ring: limits.ring,
            total_bytes: limits.total_bytes,
            wait: pressure == Pressure::Wait,
            interfaces: Vec::new(),
            frames: None,
            file: Size::default(),
            session: Size::default(),
        }
    }

    pub(crate) fn name_interface(&mut self, id: u32, name: &str) {
        if let Some(frames) = &mut self.frames {
            frames.name_interface(id, name);
        }
        if self.interfaces.len() < MAX_INTERFACES {
            self.interfaces.push((id, name.to_owned()));
        }
    }

    /// Writes a packet to the tail of the queue. Its size is known once it is there; where that
    /// exceeds a limit, it is taken back.
    pub(crate) fn put(&mut self, queue: &Queue, packet: &Packet<'_>, now: Timestamp) -> Put {
        let mut lanes = queue.lock();
        loop {
            let room;
            (lanes, room) = queue.tail(lanes, self.wait);
            let (true, Some(tail)) = (room, &lanes.tail) else { return Put::NoRoom };
            let before = tail.bytes.len();
            if before > 0 && before + packet.data.len() + AROUND > BLOCK {
                queue.push_tail(&mut lanes);
                continue;
            }
            // Memory takes all, but a packet of 4 GiB has no place in a file.
            let Ok(true) = self.encode(&mut lanes, packet, now) else { return Put::LeftOut };
            let Some(tail) = &mut lanes.tail else { return Put::NoRoom };
            let grown = (tail.bytes.len() - before) as u64;
            if self.ring.is_some_and(|ring| self.file.bytes + grown > ring.bytes)
                && self.file.packets > 0
            {
                tail.bytes.truncate(before);
                self.end_file(queue, &mut lanes);
                continue;
            }
            if self.total_bytes.is_some_and(|total| self.session.bytes + grown > total) {
                tail.bytes.truncate(before);
                if self.file.packets == 0 {
                    tail.begins = None;
                    self.frames = None;
                }
                return Put::OverLimit;
            }
            let frame = u32::try_from(packet.data.len()).unwrap_or(u32::MAX);
            tail.ends.push((tail.bytes.len(), frame));
            for size in [&mut self.file, &mut self.session] {
                size.packets += 1;
                size.bytes += grown;
            }
            return Put::Recorded;
        }
    }

    /// Ends the last file. Without any packet, that is a capture file without a packet.
    pub(crate) fn finish(&mut self, queue: &Queue, now: Timestamp) {
        let mut lanes = queue.lock();
        if self.session.packets == 0 {
            self.frames = None;
            let _ = self.begin_file(&mut lanes, now);
            let tail = lanes.tail.get_or_insert_default();
            if let Some(mut frames) = self.frames.take() {
                lend(&mut frames, &mut tail.bytes);
                tail.bytes = frames.finish().unwrap_or_default();
            }
        }
        self.end_file(queue, &mut lanes);
    }

    /// Writes a packet, behind the header if it begins a file.
    fn encode(
        &mut self,
        lanes: &mut Lanes,
        packet: &Packet<'_>,
        now: Timestamp,
    ) -> io::Result<bool> {
        if self.frames.is_none() {
            self.begin_file(lanes, now)?;
        }
        let (Some(frames), Some(tail)) = (&mut self.frames, &mut lanes.tail) else {
            return Ok(false);
        };
        lend(frames, &mut tail.bytes);
        let written = frames.write(packet);
        lend(frames, &mut tail.bytes);
        written
    }

    #[cold]
    fn begin_file(&mut self, lanes: &mut Lanes, now: Timestamp) -> io::Result<()> {
        let tail = lanes.tail.get_or_insert_default();
        tail.begins = Some(now);
        let mut frames = Frames::new(std::mem::take(&mut tail.bytes), self.format)?;
        for (id, name) in &self.interfaces {
            frames.name_interface(*id, name);
        }
        lend(&mut frames, &mut tail.bytes);
        self.frames = Some(frames);
        self.file = Size::default();
        Ok(())
    }

    /// Sends what there is of a file, and that it is complete.
    #[cold]
    fn end_file(&mut self, queue: &Queue, lanes: &mut Lanes) {
        self.frames = None;
        queue.push_tail(lanes);
        queue.push_end(lanes);
    }
}

/// Swaps the bytes of a block with those that are written to.
fn lend(frames: &mut Frames<Vec<u8>>, bytes: &mut Vec<u8>) {
    if let Some(out) = frames.get_mut() {
        std::mem::swap(out, bytes);
    }
}
