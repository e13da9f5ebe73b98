//! The bytes of an input from the current position on: all of them where the file is mapped, a
//! window that moves where it is read.
//!
//! Formats ask for bytes ([`Window::fill`]), judge them, and step over them
//! ([`Window::consume`]). What was stepped over stays in place until the next `fill`, which is
//! how a packet can be lent after the step.

use std::fmt;
use std::io::{self, Read};
use std::mem;

use bytes::Bytes;
use prefetch_index::prefetch_index;

use crate::Kind;

/// What a window begins with, in bytes; it grows to twice the longest record, which is
/// [`LONGEST`] at most.
const FIRST: usize = 1 << 20;

/// The longest record or block that is read, in bytes. Packets have at most 64 KiB, or a few
/// hundred with big TCP; what claims more than this is damage.
pub(crate) const LONGEST: u32 = 64 << 20;

/// How far in front of a record a mapped file is asked for, in bytes. With twice as much and with
/// half of it, measurements do not differ; with a quarter, packets of 384 bytes take 3 % longer.
const AHEAD: usize = 8192;

/// What the kernel maps of a file with one page fault where the page cache has it, in bytes
/// (`fault_around_bytes` in its debugfs).
const FAULT: usize = 64 << 10;

/// Cache lines that are asked for at a time.
const LINES: usize = 8;

const CACHE_LINE: usize = 64;

/// See the module's documentation.
pub(crate) struct Window {
    held: Held,
    /// The next byte, in `held`.
    at: usize,
    /// Behind the last byte, in `held`.
    end: usize,
    asked: Asked,
    /// Offset in the input of the first byte of `held`.
    base: u64,
    /// Where more comes from; `None` once all is held.
    reader: Option<Box<dyn Read + Send>>,
    /// Why the reader ended before its end.
    fault: Option<Kind>,
}

/// Bytes of a window that are there, and the way through them. What remains is kept as a slice: a
/// position would have to be compared with the length at each packet.
pub(crate) struct AtHand<'a> {
    rest: &'a [u8],
    at: &'a mut usize,
    /// Of a mapped file.
    asked: Option<&'a mut Asked>,
}

/// How far in front memory was asked for.
#[derive(Default)]
struct Asked {
    /// Behind the last cache line.
    until: usize,
    /// The last byte that was [touched](touch).
    touched: usize,
}

/// A box rather than a vector: as its pointer and length then lie where those of [`Bytes`] do, it
/// costs nothing to tell the two apart, at each packet.
enum Held {
    Mapped(Bytes),
    Read(Box<[u8]>),
}

impl Window {
    /// Over bytes that are all there.
    pub(crate) fn mapped(bytes: Bytes) -> Self {
        let end = bytes.len();
        Self { end, ..Self::new(Held::Mapped(bytes), None) }
    }

    /// Over what a reader will give.
    pub(crate) fn over(reader: Box<dyn Read + Send>) -> Self {
        Self::new(Held::Read(Box::default()), Some(reader))
    }

    fn new(held: Held, reader: Option<Box<dyn Read + Send>>) -> Self {
        Self { held, at: 0, end: 0, asked: Asked::default(), base: 0, reader, fault: None }
    }

    /// The bytes from the current position on: at least `need` of them unless the input ends
    /// before, and as many more as are there.
    ///
    /// # Errors
    ///
    /// The system's, from reading. Bytes that do not unpack end the input instead.
    #[inline]
    pub(crate) fn fill(&mut self, need: usize) -> io::Result<&[u8]> {
        if self.end - self.at < need && self.reader.is_some() {
            self.read(need)?;
        }
        Ok(self.rest())
    }

    /// What is there already, for formats that go through it record by record.
    #[inline(always)]
    pub(crate) fn at_hand(&mut self) -> AtHand<'_> {
        let Self { held, at, end, asked, .. } = self;
        let asked = matches!(held, Held::Mapped(_)).then_some(asked);
        let rest = held.bytes().get(*at..*end).unwrap_or_default();
        AtHand { rest, at, asked }
    }

    /// The bytes at hand.
    #[inline]
    pub(crate) fn rest(&self) -> &[u8] {
        self.held.bytes().get(self.at..self.end).unwrap_or_default()
    }

    /// Steps over `count` bytes, or over all there are.
    #[inline]
    pub(crate) fn consume(&mut self, count: usize) {
        self.at = self.end.min(self.at + count);
    }

    /// Where the next byte lies, for [`lent`](Self::lent); valid until the next `fill`.
    #[inline]
    pub(crate) const fn mark(&self) -> usize {
        self.at
    }

    /// `len` bytes from a place on, which is given as a [mark](Self::mark) and what is behind it.
    #[inline]
    pub(crate) fn lent(&self, at: usize, len: usize) -> &[u8] {
        self.held.bytes().get(at..at + len).unwrap_or_default()
    }

    /// Offset of the next byte in the (unpacked) input.
    pub(crate) const fn offset(&self) -> u64 {
        self.base + self.at as u64
    }

    /// What to call an end of the input where more was due: a cut, unless the reader broke off.
    pub(crate) fn end_kind(&mut self) -> Kind {
        self.fault.take().unwrap_or(Kind::Cut)
    }

    /// Why the reader broke off, once.
    pub(crate) fn take_fault(&mut self) -> Option<Kind> {
        self.fault.take()
    }

    #[cold]
    fn read(&mut self, need: usize) -> io::Result<()> {
        let Held::Read(held) = &mut self.held else { return Ok(()) };
        let Some(reader) = &mut self.reader else { return Ok(()) };
        if held.len() - self.at < need {
            held.copy_within(self.at..self.end, 0);
            self.base += self.at as u64;
            self.end -= self.at;
            self.at = 0;
            // Twice the need, so that what is moved here is read at least once before the next move.
            if held.len() < need * 2 {
                let len = FIRST.max(need * 2);
                let mut longer = mem::take(held).into_vec();
                longer.reserve_exact(len - longer.len());
                longer.resize(len, 0);
                *held = longer.into_boxed_slice();
            }
        }
        while self.end - self.at < need {
            let room = held.get_mut(self.end..).unwrap_or_default();
            match reader.read(room) {
                Ok(0) => {
                    self.reader = None;
                    break;
                }
                Ok(count) => self.end += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // The system's errors carry its number; those of the decoders do not.
                Err(error) if error.raw_os_error().is_some() => return Err(error),
                Err(error) => {
                    self.fault = Some(match error.kind() {
                        io::ErrorKind::UnexpectedEof => Kind::Cut,
                        _ => Kind::Compression(error.to_string()),
                    });
                    self.reader = None;
                    break;
                }
            }
        }
        Ok(())
    }
}

impl<'a> AtHand<'a> {
    /// From the current position on.
    #[inline(always)]
    pub(crate) const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Goes on to `rest`, `count` bytes further on, and says where it comes from, for
    /// [`lent`](Window::lent).
    #[inline(always)]
    pub(crate) const fn step(&mut self, count: usize, rest: &'a [u8]) -> usize {
        let from = *self.at;
        self.rest = rest;
        *self.at += count;
        from
    }

    /// Asks for what lies up to [`AHEAD`] in a mapped file, a few lines at a time.
    ///
    /// Records lie at distances that no prefetcher of a processor foresees, so that each would
    /// wait for memory. Long records are stepped over faster than so many lines are asked for.
    #[inline(always)]
    pub(crate) fn prefetch(&mut self) {
        if let Some(asked) = &mut self.asked
            && asked.until < *self.at + AHEAD
        {
            let from = asked.until.max(*self.at);
            let behind = from - *self.at;
            if from >= asked.touched {
                asked.touched = from + FAULT;
                touch(self.rest, behind + FAULT);
            }
            for line in 0..LINES {
                prefetch_index(self.rest, behind + line * CACHE_LINE);
            }
            asked.until = from + LINES * CACHE_LINE;
        }
    }
}

/// Reads a byte for nothing but the page fault. A processor that is asked for a line of a page that
/// is not mapped does nothing, after it has looked for the page in vain.
#[cold]
fn touch(bytes: &[u8], at: usize) {
    std::hint::black_box(bytes.get(at).copied());
}

impl Held {
    #[inline]
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Mapped(bytes) => bytes,
            Self::Read(bytes) => bytes,
        }
    }
}

impl fmt::Debug for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { at, end, base, fault, .. } = self;
        f.debug_struct("Window")
            .field("at", at)
            .field("end", end)
            .field("base", base)
            .field("fault", fault)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives `step` bytes at a time, so that a window must ask again.
    struct Trickle {
        left: Vec<u8>,
        step: usize,
    }

    impl Read for Trickle {
        fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
            let count = self.step.min(self.left.len()).min(room.len());
            room[..count].copy_from_slice(&self.left[..count]);
            self.left.drain(..count);
            Ok(count)
        }
    }

    #[test]
    fn a_window_gives_what_is_needed_or_all_there_is() {
        let left: Vec<u8> = (0..100).collect();
        let mut window = Window::over(Box::new(Trickle { left, step: 7 }));
        assert_eq!(window.fill(10).unwrap().len(), 14);
        window.consume(13);
        assert_eq!((window.offset(), window.fill(1).unwrap()[0]), (13, 13));
        assert_eq!(window.fill(1000).unwrap().len(), 87);
        window.consume(1000);
        assert_eq!((window.offset(), window.fill(1).unwrap().len()), (100, 0));
    }

    #[test]
    fn a_record_longer_than_the_window_grows_it() {
        let left: Vec<u8> = (0..=250).cycle().take(3 * FIRST).collect();
        let mut window = Window::over(Box::new(Trickle { left, step: 100_000 }));
        window.fill(1).unwrap();
        window.consume(5);
        let rest = window.fill(2 * FIRST).unwrap();
        assert!(rest.len() >= 2 * FIRST && rest[..3] == [5, 6, 7]);
    }
}
