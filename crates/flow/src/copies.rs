//! Copies: the same packet seen again, by another tap, at another interface, or after a router.
//!
//! Content and time cannot tell a copy from a repetition: a host sends byte-identical segments
//! microseconds apart. Only where and how a packet was seen decides. Seen again from the same tap,
//! at the same place and with the same TTL, it is a repetition and never dropped; elsewhere it is a
//! copy of what was seen there before. So sightings are counted for each *view*, and the first of
//! them at each count is followed: two repetitions that two taps saw are two packets, not one and
//! not four, whichever tap is ahead.
//!
//! A packet is known by its headers, and by its TCP checksum where that was filled in. What is
//! remembered is bounded by packets and by packet time, and does not depend on the seed of the
//! hash, so that a replay tells the same each time.

use vtap_packet::{Ip, Protocol, Timestamp, Vni};

use crate::config::{Checksum, Copies as Limits};
use crate::limits;
use crate::sight::{Sight, TapId};

/// What a packet has in common with its copies: hashes of addresses and ports, IP ID, length, and
/// what the transport header says but for its checksum. VNIs do not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fingerprint {
    /// With a seed: nobody can make two packets of one tag.
    tag: u32,
    /// Without: where it is remembered.
    place: u32,
}

/// By what a packet and a copy of it are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Likeness {
    pub(crate) print: Fingerprint,
    /// TCP checksum; 0 where it is not to be compared.
    sum: u16,
    /// TTL or hop limit.
    ttl: u8,
}

/// Which sighting of a packet this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sighting {
    /// To be followed.
    First,
    /// Seen by another tap, or at another interface, before.
    Duplicate,
    /// Seen by this tap before a router sent it on.
    Forwarded,
}

/// Hashes of both ends of a flow, for packets of one of them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sender {
    pub(crate) seeded: u64,
    pub(crate) plain: u64,
}

/// What of an IP header does not change on its way, but for the TTL.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Header {
    pub(crate) ttl: u8,
    /// Identification; 0 in IPv6.
    pub(crate) id: u16,
    /// Of the packet, in bytes.
    pub(crate) len: u32,
}

impl Header {
    fn of(ip: &Ip<'_>) -> Self {
        let len = len(ip);
        match *ip.header {
            [_, _, _, _, hi, lo, _, _, ttl, ..] if ip.src.is_ipv4() => {
                Self { ttl, id: u16::from_be_bytes([hi, lo]), len }
            }
            [_, _, _, _, _, _, _, hop_limit, ..] => Self { ttl: hop_limit, id: 0, len },
            _ => Self { ttl: 0, id: 0, len },
        }
    }
}

impl Likeness {
    /// Of what is no packet of a flow.
    pub(crate) const NONE: Self = Self { print: Fingerprint { tag: 0, place: 0 }, sum: 0, ttl: 0 };

    /// Of a TCP segment with these first bytes.
    #[inline(always)]
    pub(crate) fn of_segment(sender: Sender, header: Header, tcp: &[u8; 20], sum: u16) -> Self {
        let [_, _, _, _, q0, q1, q2, q3, a0, a1, a2, a3, offset, flags, w0, w1, _, _, u0, u1] =
            *tcp;
        let numbers = u64::from_be_bytes([q0, q1, q2, q3, a0, a1, a2, a3]);
        let rest = u64::from_be_bytes([offset, flags, w0, w1, u0, u1, 0, 0]);
        Self::new(sender, header, numbers, rest, sum)
    }

    /// Of any packet.
    pub(crate) fn of(sender: Sender, ip: &Ip<'_>, policy: Checksum) -> Self {
        let header = Header::of(ip);
        let truncated = ip.payload.len() < ip.payload_len as usize;
        if let (Protocol::TCP, Some(tcp)) = (ip.protocol, ip.payload.first_chunk::<20>()) {
            let compared = policy != Checksum::Off && !truncated;
            let sum = if compared { u16::from_be_bytes([tcp[16], tcp[17]]) } else { 0 };
            return Self::of_segment(sender, header, tcp, sum);
        }
        let mut head = [0_u8; 16];
        head.iter_mut().zip(ip.payload).for_each(|(to, from)| *to = *from);
        if ip.protocol == Protocol::UDP {
            // Its checksum may be left to the NIC as well.
            (head[6], head[7]) = (0, 0);
        }
        let [a, b, c, d, e, f, g, h, rest @ ..] = head;
        let first = u64::from_be_bytes([a, b, c, d, e, f, g, h]);
        Self::new(sender, header, first, u64::from_be_bytes(rest), 0)
    }

    #[inline(always)]
    #[expect(clippy::cast_possible_truncation, reason = "halves of what was mixed")]
    fn new(sender: Sender, header: Header, first: u64, rest: u64, sum: u16) -> Self {
        let rest = rest ^ u64::from(header.id) ^ u64::from(header.len) << 48;
        let tag = fold(first ^ sender.seeded, rest ^ sender.seeded.rotate_left(32)) as u32;
        // An odd number with half of its bits set, spread evenly: that of the golden ratio.
        let place =
            ((first ^ rest ^ sender.plain).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as u32;
        Self { print: Fingerprint { tag, place }, sum, ttl: header.ttl }
    }

    /// Without the checksum: the sender left it to its NIC, so that a tap further on sees another.
    #[must_use]
    pub(crate) const fn without_sum(self) -> Self {
        Self { sum: 0, ..self }
    }
}

/// Length of an IP packet, in bytes.
pub(crate) fn len(ip: &Ip<'_>) -> u32 {
    let header = u32::try_from(ip.header.len()).unwrap_or_default();
    header.saturating_add(ip.payload_len)
}

/// Multiplies to 128 bits and adds the halves without carry.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "the other half is taken apart")]
const fn fold(a: u64, b: u64) -> u64 {
    let product = a as u128 * b as u128;
    (product as u64) ^ (product >> 64) as u64
}

/// One view of a packet, and how often it was seen so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Seen {
    tag: u32,
    /// When it was seen so last, in units of 1,024 ns and modulo 73 minutes.
    time: u32,
    sight: Sight,
    sum: u16,
    /// Of the customer's name space: its VNI, mixed; [`PLAIN`] where there is none.
    space: u16,
    ttl: u8,
    times: u8,
}

const PLAIN: u16 = 0;

const UNUSED: Seen =
    Seen { tag: 0, time: 0, sight: Sight::NOWHERE, sum: 0, space: PLAIN, ttl: 0, times: 0 };

/// What is taken off the counts of all views when one of them is full.
const HALF: u8 = 128;

/// Packets with one place, the last one first, in one cache line.
#[derive(Clone, Debug)]
#[repr(align(64))]
struct Bucket([Seen; 4]);

const _: () = assert!(size_of::<Bucket>() == 64);

/// The packets of late.
#[derive(Debug)]
pub(crate) struct Copies {
    buckets: Box<[Bucket]>,
    /// As many as there are, less one.
    mask: usize,
    /// In the units of [`Seen::time`].
    window: u32,
}

impl Copies {
    pub(crate) fn new(limits: Limits) -> Self {
        let buckets = limits.packets.div_ceil(4).next_power_of_two().clamp(1, 1 << 28);
        let nanos = u64::try_from(limits.window.as_nanos()).unwrap_or(u64::MAX);
        // Beyond half the circle nothing could be told from what is to come.
        let window = ticks(nanos.min(1 << 40));
        Self { buckets: vec![Bucket([UNUSED; 4]); buckets].into(), mask: buckets - 1, window }
    }

    /// Asks for what [`take`](Self::take) will read.
    #[inline(always)]
    pub(crate) fn prefetch(&self, print: Fingerprint) {
        prefetch_index::prefetch_index(&self.buckets, self.place(print));
    }

    #[inline(always)]
    fn place(&self, print: Fingerprint) -> usize {
        print.place as usize & self.mask
    }

    /// Takes a packet and says which of its sightings this is.
    #[inline(always)]
    pub(crate) fn take(
        &mut self,
        now: Timestamp,
        likeness: Likeness,
        vni: Option<Vni>,
        sight: Sight,
    ) -> Sighting {
        let seen = Seen {
            tag: likeness.print.tag,
            time: ticks(now.nanos()),
            sight,
            sum: likeness.sum,
            space: vni.map_or(PLAIN, space),
            ttl: likeness.ttl,
            times: 1,
        };
        let (window, place) = (self.window, self.place(likeness.print));
        match self.buckets.get_mut(place) {
            Some(bucket) if bucket.0.iter().any(|other| other.tag == seen.tag) => {
                bucket.compare(seen, window)
            }
            Some(bucket) => {
                bucket.put(seen);
                Sighting::First
            }
            None => Sighting::First,
        }
    }
}

impl Bucket {
    #[inline(always)]
    fn put(&mut self, seen: Seen) {
        self.0.copy_within(..3, 1);
        let [first, ..] = &mut self.0;
        *first = seen;
    }

    /// Takes a packet that may have been seen before.
    #[inline(never)]
    fn compare(&mut self, mut seen: Seen, window: u32) -> Sighting {
        let (mut followed, mut forwarded, mut duplicate) = (0, false, false);
        let mut again = None;
        for other in &mut self.0 {
            if !other.is_like(&seen, window) {
                continue;
            }
            followed = followed.max(other.times);
            if (other.sight, other.ttl) == (seen.sight, seen.ttl) {
                seen.times = other.times.saturating_add(1);
                again = Some(other);
            } else {
                forwarded |= other.is_beside_router(&seen);
                duplicate |= other.is_elsewhere(&seen);
            }
        }
        let times = seen.times;
        if times == u8::MAX {
            // What counts is by how much one view is ahead of the others.
            seen.times -= HALF;
        }
        match again {
            Some(known) => *known = seen,
            None => self.put(seen),
        }
        if times == u8::MAX {
            let others = self.0.iter_mut().filter(|other| other.tag == seen.tag);
            for other in others.filter(|other| (other.sight, other.ttl) != (seen.sight, seen.ttl)) {
                other.times = other.times.saturating_sub(HALF).max(1);
            }
        }
        match (times > followed, forwarded, duplicate) {
            (false, true, _) => Sighting::Forwarded,
            (false, false, true) => Sighting::Duplicate,
            _ => Sighting::First,
        }
    }
}

/// In the units of [`Seen::time`].
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "modulo 73 minutes")]
const fn ticks(nanos: u64) -> u32 {
    (nanos >> 10) as u32
}

/// A name space; never [`PLAIN`].
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "some bits of what was mixed")]
const fn space(vni: Vni) -> u16 {
    (vni.get().wrapping_mul(0x9e37_79b1) >> 8) as u16 | 1
}

impl Seen {
    /// Whether this is the packet, whoever has shown it.
    fn is_like(&self, seen: &Self, window: u32) -> bool {
        // Times of two taps may run back a little.
        let apart = seen.time.wrapping_sub(self.time).cast_signed().unsigned_abs();
        self.tag == seen.tag
            && self.times > 0
            && (self.sum == seen.sum || self.sum == 0 || seen.sum == 0)
            && (self.space == seen.space || self.space == PLAIN || seen.space == PLAIN)
            && apart <= window
    }

    /// Whether a router between has sent it on. A mirror reorders, so what came out of the router
    /// may be seen before what went in.
    fn is_beside_router(&self, seen: &Self) -> bool {
        self.sight.tap() == seen.sight.tap() && self.ttl.abs_diff(seen.ttl) == 1
    }

    /// Whether it was seen where another sighting of one packet is no repetition.
    fn is_elsewhere(&self, seen: &Self) -> bool {
        let other_place = self.sight.place() != seen.sight.place();
        match (self.sight.tap(), seen.sight.tap()) {
            // Among the last, a tunnel device of the machine that has taken off the envelope.
            (TapId::NONE, _) | (_, TapId::NONE) => other_place,
            (one, another) if one != another => true,
            // What one tap sends over two ways may be a repetition on the other of them.
            _ => other_place && seen.time.wrapping_sub(self.time) <= INTERFACE_COPY,
        }
    }
}

const INTERFACE_COPY: u32 = ticks(limits::INTERFACE_COPY.subsec_nanos() as u64);
