//! IP fragments back to datagrams, within hard limits.
//!
//! Fragments may come in any order. A fragment that repeats one already held, byte for byte, is
//! absorbed; any other overlap refuses the whole datagram and every fragment of it still to come,
//! as RFC 5722 asks for IPv6. (Linux is looser for IPv4; a mirror has no reason to be.) Time is
//! packet time. What becomes of each fragment is counted once in [`Stats`].

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use crate::{Ip, Protocol, Timestamp};

/// Hard limits of a [`Reassembler`].
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Datagrams in work at once.
    pub datagrams: usize,
    /// Payload bytes held over all datagrams.
    pub bytes: usize,
    /// Age, from its first fragment, after which a datagram is given up.
    pub age: Duration,
}

impl Default for Limits {
    /// 4,096 datagrams, 16 MiB, and the 30 s of Linux's `ipfrag_time`.
    fn default() -> Self {
        Self { datagrams: 4096, bytes: 16 << 20, age: Duration::from_secs(30) }
    }
}

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
    limits: Limits,
    stats: Stats,
    parts: BTreeMap<Key, Part>,
    /// Keys by age: serial numbers grow with arrival.
    by_age: BTreeMap<u64, Key>,
    serial: u64,
    bytes: usize,
    complete: Vec<u8>,
}

/// RFC 791 names protocol in the key of a datagram, RFC 8200 does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    scope: u64,
    src: IpAddr,
    dst: IpAddr,
    id: u32,
    protocol: Option<Protocol>,
}

#[derive(Debug)]
struct Part {
    serial: u64,
    since: Timestamp,
    protocol: Protocol,
    /// Length of the datagram's payload, known from the last fragment.
    len: Option<u32>,
    /// Pieces by offset, each with its place in `data`.
    pieces: BTreeMap<u32, Piece>,
    data: Vec<u8>,
    /// An overlap was seen: nothing is held and nothing more will be.
    refused: bool,
}

#[derive(Clone, Copy, Debug)]
struct Piece {
    at: usize,
    len: u32,
}

impl Reassembler {
    /// With nothing held.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            stats: Stats::default(),
            parts: BTreeMap::new(),
            by_age: BTreeMap::new(),
            serial: 0,
            bytes: 0,
            complete: Vec::new(),
        }
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

    /// Takes a fragment that [`accepts`](Self::accepts) approves; `scope` keeps apart what may
    /// share addresses (a VNI). Anything else is absorbed without trace.
    pub fn push(&mut self, now: Timestamp, scope: u64, ip: &Ip<'_>) -> Pushed<'_> {
        let Some(fragment) = ip.fragment.filter(|_| Self::accepts(ip)) else {
            return Pushed::Absorbed;
        };
        self.stats.seen += 1;
        self.expire(now);

        let protocol = ip.src.is_ipv4().then_some(ip.protocol);
        let key = Key { scope, src: ip.src, dst: ip.dst, id: fragment.id, protocol };
        let serial = self.serial;
        let part = self.parts.entry(key).or_insert_with(|| {
            self.by_age.insert(serial, key);
            self.serial += 1;
            Part::new(serial, now, ip.protocol)
        });
        let held = part.data.len();
        let added = part.add(fragment.offset, fragment.more, ip.protocol, ip.payload);
        match added {
            Added::Refused(fragments) => {
                self.bytes -= held;
                self.stats.absorbed += 1;
                self.stats.overlapped += fragments;
                Pushed::Absorbed
            }
            Added::Held => {
                self.bytes += part.data.len() - held;
                self.stats.absorbed += 1;
                self.evict();
                Pushed::Absorbed
            }
            Added::Complete => {
                let protocol = part.protocol;
                part.assemble(&mut self.complete);
                self.bytes -= held;
                self.by_age.remove(&part.serial);
                self.parts.remove(&key);
                self.stats.completed += 1;
                Pushed::Complete(Datagram { protocol, payload: &self.complete })
            }
        }
    }

    /// Gives up every datagram in work: the input has ended.
    pub fn finish(&mut self) {
        while let Some(fragments) = self.give_up_oldest() {
            self.stats.timed_out += fragments;
        }
    }

    fn expire(&mut self, now: Timestamp) {
        while let Some(key) = self.by_age.values().next()
            && self.parts.get(key).is_some_and(|part| now.since(part.since) > self.limits.age)
        {
            self.stats.timed_out += self.give_up_oldest().unwrap_or_default();
        }
    }

    fn evict(&mut self) {
        while self.parts.len() > self.limits.datagrams || self.bytes > self.limits.bytes {
            let Some(fragments) = self.give_up_oldest() else { break };
            self.stats.evicted += fragments;
        }
    }

    /// Number of fragments that the oldest datagram held.
    fn give_up_oldest(&mut self) -> Option<u64> {
        let (_, key) = self.by_age.pop_first()?;
        let part = self.parts.remove(&key)?;
        self.bytes -= part.data.len();
        Some(part.pieces.len() as u64)
    }
}

enum Added {
    Held,
    /// With the number of fragments that this one takes down, itself included.
    Refused(u64),
    Complete,
}

impl Part {
    const fn new(serial: u64, since: Timestamp, protocol: Protocol) -> Self {
        Self {
            serial,
            since,
            protocol,
            len: None,
            pieces: BTreeMap::new(),
            data: Vec::new(),
            refused: false,
        }
    }

    fn add(&mut self, offset: u32, more: bool, protocol: Protocol, payload: &[u8]) -> Added {
        if self.refused {
            return Added::Refused(1);
        }
        let Ok(len) = u32::try_from(payload.len()) else { return self.refuse() };
        if let Some(piece) = self.pieces.get(&offset)
            && self.bytes_of(*piece) == payload
        {
            return Added::Held;
        }
        if self.overlaps(offset, len) || self.contradicts_length(offset + len, more) {
            return self.refuse();
        }
        if !more {
            self.len = Some(offset + len);
        }
        if offset == 0 {
            self.protocol = protocol;
        }
        self.hold(offset, len, payload);
        // Pieces do not overlap, so together they are as long as the datagram when none is missing.
        if self.len.is_some_and(|len| self.data.len() == len as usize) {
            Added::Complete
        } else {
            Added::Held
        }
    }

    fn hold(&mut self, offset: u32, len: u32, payload: &[u8]) {
        self.pieces.insert(offset, Piece { at: self.data.len(), len });
        self.data.extend_from_slice(payload);
    }

    fn overlaps(&self, offset: u32, len: u32) -> bool {
        let before = self.pieces.range(..=offset).next_back();
        let behind = self.pieces.range(offset..).next();
        before.is_some_and(|(at, piece)| at + piece.len > offset)
            || behind.is_some_and(|(at, _)| *at < offset + len)
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

    fn refuse(&mut self) -> Added {
        let fragments = self.pieces.len() as u64 + 1;
        self.refused = true;
        self.pieces.clear();
        self.data = Vec::new();
        Added::Refused(fragments)
    }

    fn bytes_of(&self, piece: Piece) -> &[u8] {
        self.data.get(piece.at..piece.at + piece.len as usize).unwrap_or_default()
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
