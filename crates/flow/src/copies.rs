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
//! remembered is bounded by packets and by packet time; the packets remembered are always the last
//! ones, so that what is recognised does not depend on the seed of the hash.

use vtap_packet::{Ip, Protocol, Timestamp, Vni};

use crate::config::{Checksum, Copies as Limits};
use crate::key::{End, Key};
use crate::limits;
use crate::sight::{Sight, TapId};

/// What a packet has in common with its copies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Likeness {
    /// Of IP ID, length, and what the transport header says but for its checksum.
    digest: u64,
    /// TCP checksum; 0 where it is not to be compared.
    sum: u16,
    /// TTL or hop limit.
    ttl: u8,
}

/// A likeness within one belt: hashed with addresses, ports and a seed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fingerprint(u64);

impl Fingerprint {
    /// Of what is no packet of a flow.
    pub(crate) const NONE: Self = Self(0);
}

/// What a packet is, of all its sightings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sighting {
    /// To be followed.
    First,
    /// Seen by another tap, or at another interface, before.
    Duplicate,
    /// Seen by this tap before a router sent it on.
    Forwarded,
}

impl Likeness {
    /// Of a TCP segment with these first bytes.
    #[inline(always)]
    pub(crate) fn of_segment(ttl: u8, id: u16, len: u32, tcp: &[u8; 20], sum: u16) -> Self {
        let [_, _, _, _, q0, q1, q2, q3, a0, a1, a2, a3, offset, flags, w0, w1, _, _, u0, u1] =
            *tcp;
        let numbers = u64::from_be_bytes([q0, q1, q2, q3, a0, a1, a2, a3]);
        let rest = u64::from_be_bytes([offset, flags, w0, w1, u0, u1, 0, 0]);
        Self { digest: digest(numbers, rest, id, len), sum, ttl }
    }

    /// Of any packet.
    pub(crate) fn of(ip: &Ip<'_>, policy: Checksum) -> Self {
        let (ttl, id) = match *ip.header {
            [_, _, _, _, hi, lo, _, _, ttl, ..] if ip.src.is_ipv4() => {
                (ttl, u16::from_be_bytes([hi, lo]))
            }
            [_, _, _, _, _, _, _, hop_limit, ..] => (hop_limit, 0),
            _ => (0, 0),
        };
        let len = len(ip);
        let truncated = ip.payload.len() < ip.payload_len as usize;
        if let (Protocol::TCP, Some(tcp)) = (ip.protocol, ip.payload.first_chunk()) {
            let compared = policy != Checksum::Off && !truncated;
            let sum = if compared { u16::from_be_bytes([tcp[16], tcp[17]]) } else { 0 };
            return Self::of_segment(ttl, id, len, tcp, sum);
        }
        let mut head = [0_u8; 16];
        head.iter_mut().zip(ip.payload).for_each(|(to, from)| *to = *from);
        if ip.protocol == Protocol::UDP {
            // Its checksum may be left to the NIC as well.
            (head[6], head[7]) = (0, 0);
        }
        let [a, b, c, d, e, f, g, h, rest @ ..] = head;
        let first = u64::from_be_bytes([a, b, c, d, e, f, g, h]);
        Self { digest: digest(first, u64::from_be_bytes(rest), id, len), sum: 0, ttl }
    }

    /// Without the checksum: the sender left it to its NIC, so that a tap further on sees another.
    #[must_use]
    pub(crate) const fn without_sum(self) -> Self {
        Self { sum: 0, ..self }
    }

    /// The fingerprint of a packet of a flow; VNIs do not count.
    #[inline(always)]
    pub(crate) fn fingerprint(self, key: &Key, from: End, seed: u64) -> Fingerprint {
        Fingerprint(fold(self.digest ^ key.mix_without_vni(seed), seed ^ from as u64))
    }
}

/// Length of an IP packet, in bytes.
pub(crate) fn len(ip: &Ip<'_>) -> u32 {
    let header = u32::try_from(ip.header.len()).unwrap_or_default();
    header.saturating_add(ip.payload_len)
}

#[inline(always)]
fn digest(first: u64, rest: u64, id: u16, len: u32) -> u64 {
    // Any odd numbers do; these are the fractions of the golden ratio and of the root of two.
    let (one, other) = (0x9e37_79b9_7f4a_7c15, 0x6a09_e667_f3bc_c909);
    fold(first ^ one, rest.rotate_left(16) ^ u64::from(id) ^ u64::from(len) << 48 ^ other)
}

/// Multiplies to 128 bits and adds the halves without carry.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "the other half is taken apart")]
pub(crate) const fn fold(a: u64, b: u64) -> u64 {
    let product = a as u128 * b as u128;
    (product as u64) ^ (product >> 64) as u64
}

/// Views of one packet that are told apart; any more are copies of these.
const VIEWS: usize = 4;

/// How and where a packet was seen, and how often.
#[derive(Clone, Copy, Debug)]
struct View {
    tap: TapId,
    place: u16,
    times: u16,
    ttl: u8,
}

/// A packet that was followed.
#[derive(Clone, Copy, Debug)]
struct Remembered {
    tag: u32,
    /// Number of the packet before with the same place in the index.
    before: u32,
    /// When it was seen last.
    time: Timestamp,
    /// That of the customer's name space; [`PLAIN`] where there was none.
    vni: u32,
    sum: u16,
    /// How often it was followed.
    followed: u16,
    views: [View; VIEWS],
}

/// No VNI has as many bits.
const PLAIN: u32 = u32::MAX;

const UNUSED: View = View { tap: TapId::NONE, place: 0, times: 0, ttl: 0 };

const _: () = assert!(size_of::<Remembered>() == 56);

/// The packets of late.
#[derive(Debug)]
pub(crate) struct Copies {
    limits: Limits,
    /// The last packets, one after the other; numbers are places in it, modulo its length.
    ring: Vec<Remembered>,
    /// Number of the last packet with this part of the fingerprint.
    heads: Box<[u32]>,
    /// Number of the packet that comes next, from 1; 0 is none.
    next: u32,
}

/// Packets looked at for one; more share a place in the index only by design of an attacker, who
/// would have to know the seed.
const STEPS: usize = 16;

impl Copies {
    pub(crate) fn new(limits: Limits) -> Self {
        let packets = limits.packets.next_power_of_two().clamp(1, 1 << 30);
        let mut ring = Vec::new();
        let _ = ring.try_reserve_exact(packets);
        Self { limits: Limits { packets, ..limits }, ring, heads: vec![0; packets].into(), next: 1 }
    }

    /// Asks for what [`take`](Self::take) will read.
    #[inline(always)]
    pub(crate) fn prefetch(&self, print: Fingerprint) {
        prefetch_index::prefetch_index(&self.heads, self.place(print));
    }

    #[inline(always)]
    #[expect(clippy::cast_possible_truncation, reason = "more bits than any index has")]
    fn place(&self, print: Fingerprint) -> usize {
        print.0 as usize & (self.limits.packets - 1)
    }

    /// Takes a packet and says which of its sightings this is.
    #[inline]
    pub(crate) fn take(
        &mut self,
        now: Timestamp,
        print: Fingerprint,
        likeness: Likeness,
        vni: Option<Vni>,
        sight: Sight,
    ) -> Sighting {
        let tag = (print.0 >> 32) as u32;
        let vni = vni.map_or(PLAIN, Vni::get);
        let view = View { tap: sight.tap, place: sight.place, ttl: likeness.ttl, times: 1 };
        let place = self.place(print);
        let head = self.heads.get(place).copied().unwrap_or_default();
        let mut at = head;
        for _ in 0..STEPS {
            let window = self.limits.window;
            let Some(known) = self.known(at) else { break };
            if known.is(tag, likeness.sum, vni) && now.since(known.time) <= window {
                return known.see(now, view);
            }
            // Numbers fall along the way; one that does not is of a packet forgotten since.
            let before = known.before;
            if self.next.wrapping_sub(before) <= self.next.wrapping_sub(at) {
                break;
            }
            at = before;
        }
        self.remember(
            place,
            Remembered {
                tag,
                before: head,
                time: now,
                vni,
                sum: likeness.sum,
                followed: 1,
                views: [view, UNUSED, UNUSED, UNUSED],
            },
        );
        Sighting::First
    }

    fn known(&mut self, number: u32) -> Option<&mut Remembered> {
        let age = self.next.wrapping_sub(number) as usize;
        let held = number != 0 && (1..=self.limits.packets).contains(&age);
        self.ring.get_mut(number as usize & (self.limits.packets - 1)).filter(|_| held)
    }

    #[inline]
    fn remember(&mut self, place: usize, packet: Remembered) {
        let number = self.next;
        let at = number as usize & (self.limits.packets - 1);
        match self.ring.get_mut(at) {
            Some(oldest) => *oldest = packet,
            None => {
                // Place 0 is the last one to be reached.
                self.ring.resize(at, packet);
                self.ring.push(packet);
            }
        }
        if let Some(head) = self.heads.get_mut(place) {
            *head = number;
        }
        self.next = number.wrapping_add(1);
    }
}

impl Remembered {
    fn is(&self, tag: u32, sum: u16, vni: u32) -> bool {
        self.tag == tag
            && (self.sum == sum || self.sum == 0 || sum == 0)
            && (self.vni == vni || self.vni == PLAIN || vni == PLAIN)
    }

    /// Another sighting.
    fn see(&mut self, now: Timestamp, view: View) -> Sighting {
        let since = now.since(self.time);
        self.time = self.time.max(now);
        let others = self.views.iter().filter(|other| other.times > 0);
        // A mirror reorders, so the copy that a router sent on may come first.
        let forwarded =
            others.clone().any(|other| other.tap == view.tap && other.ttl.abs_diff(view.ttl) == 1);
        let duplicate = others.clone().any(|other| {
            let elsewhere = other.place != view.place;
            match (other.tap, view.tap) {
                // Among the last, a tunnel device of the machine that has taken off the envelope.
                (TapId::NONE, _) | (_, TapId::NONE) => elsewhere,
                (one, another) if one != another => true,
                // What one tap sends over two ways may be a repetition on the other of them.
                _ => elsewhere && since <= limits::INTERFACE_COPY,
            }
        });
        let times = self.count(view);
        if times > self.followed || !(forwarded || duplicate) {
            self.followed = self.followed.max(times);
            return Sighting::First;
        }
        if forwarded { Sighting::Forwarded } else { Sighting::Duplicate }
    }

    /// How often it was seen so, this time included.
    fn count(&mut self, view: View) -> u16 {
        let same = |known: &&mut View| {
            known.times == 0
                || (known.tap, known.place, known.ttl) == (view.tap, view.place, view.ttl)
        };
        match self.views.iter_mut().find(same) {
            Some(known) => {
                let times = known.times.saturating_add(1);
                *known = View { times, ..view };
                times
            }
            None => 1,
        }
    }
}
