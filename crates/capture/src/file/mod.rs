//! One capture file.
//!
//! The format is told by the first bytes, never by the name. A regular file that is not
//! compressed is mapped and its packets are slices of the mapping; everything else is read
//! through a window that is used again and again. The two read alike, byte for byte; only of
//! compressed data that breaks off, the one may unpack more than the other before it is damaged.

mod map;
mod pack;
mod pcap;
mod pcapng;
mod window;

use std::fs;
use std::io::{self, Read};
use std::ops::ControlFlow;
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use vtap_packet::{LinkType, Packet, Timestamp};

use crate::damage::Log;
use crate::{Damage, Error, Interface, Progress, Source, Taker};
use pack::Packing;
use pcap::Pcap;
use pcapng::Pcapng;
use window::Window;

/// A capture file, or a stream that is one.
#[derive(Debug)]
pub struct File {
    path: Arc<Path>,
    window: Window,
    format: Format,
    log: Log,
    number: u64,
    /// Stored bytes handed out so far, where that is not the offset of the window.
    packed: Option<Arc<AtomicU64>>,
    total: Option<u64>,
    reopens: bool,
}

/// The tag is one of its own: one in the niche of a field takes arithmetic to tell, at each packet.
#[derive(Debug)]
#[repr(u8)]
enum Format {
    Pcap(Pcap),
    /// Classic pcap of another layout than today's, which no shortcut is for.
    RarePcap(Pcap),
    Pcapng(Pcapng),
    /// Nothing, or less than a header.
    Empty,
}

/// A packet that was found; its bytes are in the window until the next one is looked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Found {
    pub(crate) time: Timestamp,
    pub(crate) link: LinkType,
    pub(crate) interface: u32,
    pub(crate) wire_len: u32,
    /// Where its bytes are; see [`Window::lent`].
    at: usize,
    len: usize,
}

impl Found {
    /// With its bytes.
    #[inline(always)]
    const fn packet(self, number: u64, data: &[u8]) -> Packet<'_> {
        let Self { time, link, interface, wire_len, .. } = self;
        Packet { number, time, link, interface, wire_len, data, tunnel: None }
    }
}

impl Format {
    /// The next packet, if it is there and looks like nearly all do; else there is all to
    /// [`look`](File::look) at.
    #[inline(always)]
    fn usual(&mut self, window: &mut Window) -> Option<Found> {
        let mut at_hand = window.at_hand();
        let usual = match self {
            Self::Pcap(pcap) => pcap.usual(&mut at_hand),
            Self::Pcapng(pcapng) => pcapng.usual(&mut at_hand),
            Self::RarePcap(_) | Self::Empty => None,
        };
        usual.map(|(found, _)| found)
    }
}

impl File {
    /// Opens a file, a FIFO or a device. An empty file is a capture without packets.
    ///
    /// # Errors
    ///
    /// It cannot be opened or read, or is no capture file.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let failed = |cause| Error::Open { path: path.to_owned(), cause };
        let file = fs::File::open(path).map_err(failed)?;
        let metadata = file.metadata().map_err(failed)?;
        if metadata.is_dir() {
            return Err(failed(io::ErrorKind::IsADirectory.into()));
        }
        let name = Arc::from(path);
        let total = metadata.is_file().then_some(metadata.len());
        // File systems that do not map are read.
        let mapped = total.filter(|len| *len > 0).and_then(|_| map::map(&file).ok());
        let mut opened = match mapped {
            Some(bytes) if Packing::of(&bytes).is_none() => {
                Self::new(name, Window::mapped(bytes), None, total)
            }
            _ => Self::read(name, Box::new(file), total),
        }?;
        opened.reopens = total.is_some();
        Ok(opened)
    }

    /// As it was named.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Standard input, under the name `-`.
    ///
    /// # Errors
    ///
    /// It is closed, cannot be read, or is no capture.
    pub fn stdin() -> Result<Self, Error> {
        let path = Path::new("-");
        let failed = |cause| Error::Open { path: path.to_owned(), cause };
        let stdin = io::stdin().as_fd().try_clone_to_owned().map_err(failed)?;
        Self::read(Arc::from(path), Box::new(fs::File::from(stdin)), None)
    }

    /// From bytes in memory, under the name `memory`. Packets are slices of them, unless they are
    /// compressed.
    ///
    /// # Errors
    ///
    /// They are no capture file.
    pub fn from_bytes(bytes: impl Into<Bytes>) -> Result<Self, Error> {
        let (bytes, name) = (bytes.into(), Arc::from(Path::new("memory")));
        let total = Some(bytes.len() as u64);
        if Packing::of(&bytes).is_some() {
            Self::read(name, Box::new(io::Cursor::new(bytes)), total)
        } else {
            Self::new(name, Window::mapped(bytes), None, total)
        }
    }

    /// From a stream, compressed or not; `name` is what errors call it.
    ///
    /// # Errors
    ///
    /// It cannot be read, or is no capture.
    pub fn from_reader(name: &Path, reader: impl Read + Send + 'static) -> Result<Self, Error> {
        Self::read(Arc::from(name), Box::new(reader), None)
    }

    fn read(
        path: Arc<Path>,
        mut reader: Box<dyn Read + Send>,
        total: Option<u64>,
    ) -> Result<Self, Error> {
        let failed = |cause| Error::Read { path: path.to_path_buf(), offset: 0, cause };
        let mut begins = Vec::new();
        reader.by_ref().take(4).read_to_end(&mut begins).map_err(failed)?;
        let packing = Packing::of(&begins);
        let bytes = Arc::new(AtomicU64::new(0));
        let whole = io::Cursor::new(begins).chain(reader);
        let whole = Box::new(Counted { inner: whole, bytes: Arc::clone(&bytes) });
        match packing {
            None => Self::new(path, Window::over(whole), None, total),
            Some(packing) => {
                let reader = packing.unpack(whole).map_err(failed)?;
                Self::new(path, Window::over(reader), Some(bytes), total)
            }
        }
    }

    fn new(
        path: Arc<Path>,
        mut window: Window,
        packed: Option<Arc<AtomicU64>>,
        total: Option<u64>,
    ) -> Result<Self, Error> {
        let mut log = Log::new(Arc::clone(&path));
        let failed = |cause| Error::Read { path: path.to_path_buf(), offset: 0, cause };
        let begins = window.fill(pcap::FILE_HEADER_LEN).map_err(failed)?;
        let format = if pcapng::begins(begins) {
            Format::Pcapng(Pcapng::new())
        } else if let Some(pcap) = Pcap::new(begins) {
            window.consume(pcap::FILE_HEADER_LEN);
            if pcap.is_plain() { Format::Pcap(pcap) } else { Format::RarePcap(pcap) }
        } else if is_beginning(begins) {
            let len = begins.len();
            if len > 0 {
                let kind = window.end_kind();
                log.push(0, len as u64, kind);
                window.consume(len);
            }
            Format::Empty
        } else {
            let begins = begins.get(..8).unwrap_or(begins).to_vec();
            return Err(Error::NotACapture { path: path.to_path_buf(), begins });
        };
        Ok(Self { path, window, format, log, number: 0, packed, total, reopens: false })
    }

    /// Finds the next packet. Damage is logged on the way.
    #[inline]
    pub(crate) fn advance(&mut self) -> Result<Option<Found>, Error> {
        match self.format.usual(&mut self.window) {
            Some(usual) => Ok(Some(usual)),
            None => self.look(),
        }
    }

    /// Finds the next packet, whatever comes before it and whatever it looks like.
    #[inline(never)]
    fn look(&mut self) -> Result<Option<Found>, Error> {
        let found = match &mut self.format {
            Format::Pcap(pcap) | Format::RarePcap(pcap) => {
                pcap.next(&mut self.window, &mut self.log)
            }
            Format::Pcapng(pcapng) => pcapng.next(&mut self.window, &mut self.log),
            Format::Empty => Ok(None),
        };
        match found {
            Ok(Some(found)) => Ok(Some(found)),
            Ok(None) => {
                if let Some(kind) = self.window.take_fault() {
                    self.log.push(self.window.offset(), 0, kind);
                }
                Ok(None)
            }
            Err(cause) => Err(self.failed(cause)),
        }
    }

    /// Lends what the last [`advance`](Self::advance) found.
    #[inline(always)]
    pub(crate) fn lend(&self, found: &Found, number: u64) -> Packet<'_> {
        found.packet(number, self.window.lent(found.at, found.len))
    }

    /// Whether it can be opened again by its name, as a regular file can.
    pub(crate) const fn reopens(&self) -> bool {
        self.reopens
    }

    pub(crate) const fn log_mut(&mut self) -> &mut Log {
        &mut self.log
    }

    #[cold]
    fn failed(&self, cause: io::Error) -> Error {
        Error::Read { path: self.path.to_path_buf(), offset: self.window.offset(), cause }
    }
}

impl Source for File {
    fn next(&mut self) -> Result<Option<Packet<'_>>, Error> {
        Ok(self.advance()?.map(|found| {
            self.number += 1;
            self.lend(&found, self.number)
        }))
    }

    #[inline(always)]
    fn each_at_hand<T: Taker>(&mut self, taker: &mut T) -> ControlFlow<T::Stop> {
        let Self { window, number, format, .. } = self;
        let mut at_hand = window.at_hand();
        match format {
            Format::Pcap(pcap) => {
                while let Some((found, data)) = pcap.usual(&mut at_hand) {
                    *number += 1;
                    taker.take(found.packet(*number, data))?;
                }
            }
            Format::Pcapng(pcapng) => {
                while let Some((found, data)) = pcapng.usual(&mut at_hand) {
                    *number += 1;
                    taker.take(found.packet(*number, data))?;
                }
            }
            Format::RarePcap(_) | Format::Empty => {}
        }
        ControlFlow::Continue(())
    }

    fn progress(&self) -> Progress {
        let packed = self.packed.as_ref().map(|bytes| bytes.load(Ordering::Relaxed));
        Progress { bytes: packed.unwrap_or_else(|| self.window.offset()), total: self.total }
    }

    fn damage(&self) -> &[Damage] {
        self.log.listed()
    }

    fn unlisted_damage(&self) -> u64 {
        self.log.unlisted()
    }

    fn interface(&self, id: u32) -> Option<&Interface> {
        match &self.format {
            Format::Pcap(pcap) | Format::RarePcap(pcap) => (id == 0).then(|| pcap.interface()),
            Format::Pcapng(pcapng) => pcapng.interface(id),
            Format::Empty => None,
        }
    }
}

/// Whether this is less than a header, and the beginning of one as far as it goes.
fn is_beginning(bytes: &[u8]) -> bool {
    let begins = |magic: &[u8]| magic.iter().zip(bytes).all(|(magic, byte)| magic == byte);
    match bytes.len() {
        0..4 => pcap::MAGICS.iter().chain([&pcapng::MAGIC]).chain(&PACKED).any(|it| begins(it)),
        4..pcap::FILE_HEADER_LEN => pcap::MAGICS.iter().any(|it| begins(it)),
        _ => false,
    }
}

/// What compressed files begin with, for those that end there.
const PACKED: [[u8; 4]; 2] = [[0x1f, 0x8b, 8, 0], [0x28, 0xb5, 0x2f, 0xfd]];

/// Counts what is read through it.
struct Counted<R> {
    inner: R,
    bytes: Arc<AtomicU64>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(room)?;
        self.bytes.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}

#[cfg(test)]
mod tests;
