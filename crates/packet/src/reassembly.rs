//! IP fragments back to datagrams, within hard limits.
//!
//! Fragments may come in any order. A fragment that repeats one already held, byte for byte, is
//! absorbed; any other overlap refuses the whole datagram and every fragment of it still to come,
//! as RFC 5722 asks for IPv6. (Linux is looser for IPv4; a mirror has no reason to be.) Copies of
//! fragments come just behind them, so those of a datagram that is complete are absorbed too and
//! do not wait for others of their kind, which would be in the way when the number is used again.
//! Time is packet time. What becomes of each fragment is counted once in [`Stats`].

use std::collections::BTreeMap;
use std::ops::AddAssign;
use std::time::Duration;

use crate::datagrams::{DatagramId, Datagrams, tree_bytes};
use crate::{Ip, Protocol, Timestamp};

pub use crate::datagrams::{Limits, Scope};

/// How long fragments of a complete datagram are taken for copies. Those of two places or taps are
/// 0.2 ms apart at most; no sender uses a number again that soon.
const COPIES: Duration = Duration::from_millis(10);

/// What became of the fragments. All but `completed` count fragments.
///
/// Law: `seen = completed + absorbed`, and `timed_out + overlapped + evicted <= absorbed`; the
/// difference was used, or repeated what was there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Fragments pushed.
    pub seen: u64,
    /// Datagrams completed, one for each fragment that was the last to arrive.
    pub completed: u64,
    /// Fragments that did not themselves complete a datagram.
    pub absorbed: u64,
    /// Of the absorbed, those of datagrams given up for age, or by the end of the input.
    pub timed_out: u64,
    /// Of the absorbed, those of datagrams refused for overlapping fragments.
    pub overlapped: u64,
    /// Of the absorbed, those of datagrams given up to stay within the limits.
    pub evicted: u64,
}

impl AddAssign for Stats {
    fn add_assign(&mut self, other: Self) {
        let Self { seen, completed, absorbed, timed_out, overlapped, evicted } = other;
        self.seen += seen;
        self.completed += completed;
        self.absorbed += absorbed;
        self.timed_out += timed_out;
        self.overlapped += overlapped;
        self.evicted += evicted;
    }
}

/// A datagram put together.
#[derive(Clone, Copy, Debug)]
pub struct Datagram<'a> {
    /// What the payload is, from the first fragment.
    pub protocol: Protocol,
    /// The whole payload, on loan until the next push.
    pub payload: &'a [u8],
}

/// What a fragment led to.
#[derive(Clone, Copy, Debug)]
pub enum Pushed<'a> {
    /// Held or dropped, as [`Stats`] tells.
    Absorbed,
    /// The last one missing.
    Complete(Datagram<'a>),
}

/// A bounded pool of datagrams in work.
#[derive(Debug)]
pub struct Reassembler {
    stats: Stats,
    parts: Datagrams<Part>,
    /// Datagrams of which nothing is held any more and no fragment is to be. They have a table of
    /// their own so that none of them takes the place of one in work.
    closed: Datagrams<Closed>,
    complete: Vec<u8>,
}

/// A datagram in work.
#[derive(Debug)]
struct Part {
    protocol: Protocol,
    /// Length of the datagram's payload, known from the last fragment.
    len: Option<u32>,
    /// Pieces by offset, each with its place in `data`.
    pieces: BTreeMap<u32, Piece>,
    data: Vec<u8>,
}

#[derive(Clone, Copy, Debug)]
struct Piece {
    at: u32,
    len: u32,
}

/// What a piece is charged with beside its bytes.
const PIECE: usize = 64;

const _: () = assert!(tree_bytes(size_of::<(u32, Piece)>()) <= PIECE);

/// Why nothing is held of a datagram.
#[derive(Clone, Copy, Debug)]
enum Closed {
    Overlapped,
    CompleteAt(Timestamp),
}

impl Reassembler {
    /// With nothing held.
    pub fn new(limits: Limits) -> Self {
        Self {
            stats: Stats::default(),
            parts: Datagrams::new(limits),
            closed: Datagrams::new(limits),
            complete: Vec::new(),
        }
    }

    /// Most memory that a pool with these limits takes, in bytes. Payload counts with the room that
    /// was made for it, and each piece with 64 bytes, against `limits.bytes`; keeping order takes
    /// some hundred bytes more for each datagram.
    pub const fn most_memory(limits: Limits) -> usize {
        // The first piece of a datagram takes a node as large as that of several.
        let first_piece = 5 * PIECE;
        let each = Datagrams::<Part>::most_memory_each()
            + Datagrams::<Closed>::most_memory_each()
            + first_piece;
        // One datagram in the making, with its room before and after it grows, and one complete.
        let largest = 4 * 65_536 + 8192 * PIECE;
        limits.bytes + (limits.datagrams + 1) * each + largest
    }

    /// What became of the fragments so far.
    pub const fn stats(&self) -> Stats {
        self.stats
    }

    /// Whether the fragment can be worked with: complete as captured, of a length that leaves its
    /// successor on an 8-byte boundary, and within the 64 KiB that a datagram can have.
    pub fn accepts(ip: &Ip<'_>) -> bool {
        ip.fragment.is_some_and(|fragment| {
            let aligned = !fragment.more || ip.payload_len.is_multiple_of(8);
            let whole = ip.payload.len() == ip.payload_len as usize && !ip.payload.is_empty();
            aligned && whole && fragment.offset + ip.payload_len <= 65_535
        })
    }

    /// Takes a fragment that [`accepts`](Self::accepts) approves. Anything else is absorbed without
    /// trace.
    pub fn push(&mut self, now: Timestamp, scope: Scope, ip: &Ip<'_>) -> Pushed<'_> {
        let Some((fragment, id)) = ip.fragment.zip(DatagramId::of(scope, ip)) else {
            return Pushed::Absorbed;
        };
        if !Self::accepts(ip) {
            return Pushed::Absorbed;
        }
        self.stats.seen += 1;
        self.expire(now);
        if self.is_closed(now, &id) {
            self.stats.absorbed += 1;
            return Pushed::Absorbed;
        }
        if self.parts.get(&id).is_none() {
            self.parts.insert(now, id, Part::new(ip.protocol));
        }
        let Some(part) = self.parts.get_mut(&id) else { return Pushed::Absorbed };
        match part.add(fragment.offset, fragment.more, ip.protocol, ip.payload) {
            Added::Refused => {
                self.stats.absorbed += 1;
                self.stats.overlapped += part.fragments() + 1;
                self.close(now, id, Closed::Overlapped);
                Pushed::Absorbed
            }
            Added::Held => {
                let bytes = part.bytes();
                self.stats.absorbed += 1;
                self.parts.charge(&id, bytes);
                while let Some(part) = self.parts.pop_crowded_out(&id) {
                    self.stats.evicted += part.fragments();
                }
                Pushed::Absorbed
            }
            Added::Complete => {
                let protocol = part.protocol;
                part.assemble(&mut self.complete);
                self.close(now, id, Closed::CompleteAt(now));
                self.stats.completed += 1;
                Pushed::Complete(Datagram { protocol, payload: &self.complete })
            }
        }
    }

    /// Gives up every datagram in work: the input has ended.
    pub fn finish(&mut self) {
        while let Some(part) = self.parts.pop() {
            self.stats.timed_out += part.fragments();
        }
    }

    fn expire(&mut self, now: Timestamp) {
        while let Some(part) = self.parts.pop_expired(now) {
            self.stats.timed_out += part.fragments();
        }
        while self.closed.pop_expired(now).is_some() {}
    }

    /// Whether no fragment of this datagram is taken; counts why.
    fn is_closed(&mut self, now: Timestamp, id: &DatagramId) -> bool {
        match self.closed.get(id) {
            None => false,
            Some(Closed::Overlapped) => {
                self.stats.overlapped += 1;
                true
            }
            Some(Closed::CompleteAt(then)) if now.since(*then).max(then.since(now)) <= COPIES => {
                true
            }
            Some(Closed::CompleteAt(_)) => {
                self.closed.remove(id);
                false
            }
        }
    }

    fn close(&mut self, now: Timestamp, id: DatagramId, why: Closed) {
        self.parts.remove(&id);
        self.closed.insert(now, id, why);
        while self.closed.pop_crowded_out(&id).is_some() {}
    }
}

enum Added {
    Held,
    /// It overlaps, or disagrees on where the datagram ends.
    Refused,
    Complete,
}

impl Part {
    const fn new(protocol: Protocol) -> Self {
        Self { protocol, len: None, pieces: BTreeMap::new(), data: Vec::new() }
    }

    /// Fragments held.
    fn fragments(&self) -> u64 {
        self.pieces.len() as u64
    }

    /// Memory that grows with the fragments held.
    fn bytes(&self) -> usize {
        self.data.capacity() + self.pieces.len() * PIECE
    }

    fn add(&mut self, offset: u32, more: bool, protocol: Protocol, payload: &[u8]) -> Added {
        let Ok(len) = u32::try_from(payload.len()) else { return Added::Refused };
        let end = offset + len;
        if let Some(piece) = self.pieces.get(&offset)
            && self.bytes_of(*piece) == payload
            && more == (self.len != Some(end))
        {
            return Added::Held;
        }
        if self.overlaps(offset, end) || self.contradicts_length(end, more) {
            return Added::Refused;
        }
        if !more {
            self.len = Some(end);
        }
        if offset == 0 {
            self.protocol = protocol;
        }
        let at = u32::try_from(self.data.len()).unwrap_or(u32::MAX);
        self.pieces.insert(offset, Piece { at, len });
        self.data.extend_from_slice(payload);
        // Pieces do not overlap, so together they are as long as the datagram when none is missing.
        if self.len.is_some_and(|len| self.data.len() == len as usize) {
            Added::Complete
        } else {
            Added::Held
        }
    }

    fn overlaps(&self, offset: u32, end: u32) -> bool {
        let before = self.pieces.range(..=offset).next_back();
        let behind = self.pieces.range(offset..).next();
        before.is_some_and(|(at, piece)| at + piece.len > offset)
            || behind.is_some_and(|(at, _)| *at < end)
    }

    /// Whether a fragment that ends at `end` disagrees with what is known of the datagram's end.
    fn contradicts_length(&self, end: u32, more: bool) -> bool {
        match self.len {
            Some(len) => end > len || !more && end != len,
            None => {
                let held = self.pieces.last_key_value().map_or(0, |(at, piece)| at + piece.len);
                !more && held > end
            }
        }
    }

    fn bytes_of(&self, piece: Piece) -> &[u8] {
        let at = piece.at as usize;
        self.data.get(at..at + piece.len as usize).unwrap_or_default()
    }

    fn assemble(&self, out: &mut Vec<u8>) {
        out.clear();
        for piece in self.pieces.values() {
            out.extend_from_slice(self.bytes_of(*piece));
        }
    }
}

#[cfg(test)]
mod tests;
