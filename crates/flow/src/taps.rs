//! The taps that packets come from, and the gaps of their mirrors.
//!
//! A mirror that is set up anew, or whose source is changed, shows nothing for up to a minute, and
//! then connections of which it has not seen the middle. That is a gap when a tap falls silent
//! after steady traffic, or when many of its flows go on beyond their windows at once.

use std::mem;
use std::net::IpAddr;
use std::time::Duration;

use vtap_packet::{Timestamp, Tunnel};

use crate::event::MAX_TAPS;
use crate::gap::{Cause, Gap};
use crate::limits;
use crate::sight::TapId;

/// What is known of a tap.
#[derive(Clone, Copy, Debug)]
pub struct Tap {
    /// The mirrored NIC's address, the outer source of its packets; `None` for packets that were
    /// not mirrored.
    pub address: Option<IpAddr>,
    /// Packets of it, copies included.
    pub packets: u64,
    /// Of these, copies of packets that another tap, or another interface, had shown before.
    pub duplicates: u64,
    /// Gaps of its mirror.
    pub gaps: u64,
    /// Time of its last packet, and of the one before.
    last: Timestamp,
    before_last: Timestamp,
    /// Since when there was no [pause](limits::PAUSE), and how many packets came before that.
    steady_since: (Timestamp, u64),
    /// Until then connections are taken to have been open before.
    warm_until: Timestamp,
    /// It has shown both sides of a flow that looks as if its source had been translated: public
    /// addresses are this network's own.
    pub(crate) shows_answers: bool,
    /// End of the last gap.
    resumed: Option<Timestamp>,
    jumps: Jumps,
}

/// In nanoseconds: it is compared with every packet.
const PAUSE: u64 = limits::PAUSE.as_secs() * 1_000_000_000;

/// Flows that went on beyond their windows of late.
#[derive(Clone, Copy, Debug)]
struct Jumps {
    flows: u32,
    /// Time of the first of them.
    since: Timestamp,
    /// Time of the tap's packet before that.
    after: Timestamp,
    /// Packets of the tap until then.
    packets: u64,
}

impl Tap {
    fn new(address: Option<IpAddr>, now: Timestamp, warm_up: Duration) -> Self {
        Self {
            address,
            packets: 0,
            duplicates: 0,
            gaps: 0,
            last: now,
            before_last: now,
            steady_since: (now, 0),
            warm_until: now + warm_up,
            shows_answers: false,
            resumed: None,
            jumps: Jumps { flows: 0, since: now, after: now, packets: 0 },
        }
    }

    /// Takes note of a packet that comes without a pause; false, with nothing changed, for any
    /// other.
    #[inline(always)]
    pub(crate) fn goes_on(&mut self, now: Timestamp) -> bool {
        let goes_on = now.nanos().saturating_sub(self.last.nanos()) <= PAUSE;
        if goes_on {
            self.packets += 1;
            self.before_last = self.last;
            self.last = self.last.max(now);
        }
        goes_on
    }

    /// Takes note of a packet behind a pause. Gives the gap that it ends.
    #[cold]
    pub(crate) fn resumes(&mut self, now: Timestamp, warm_up: Duration) -> Option<Gap> {
        let silence = now.since(self.last);
        self.packets += 1;
        self.before_last = self.last;
        let (since, before) = self.steady_since;
        let steady = self.last.since(since) >= limits::STEADY
            && self.packets - 1 - before >= limits::STEADY_PACKETS;
        let start = self.last;
        self.last = now;
        self.steady_since = (now, self.packets - 1);
        (steady && silence > limits::GAP).then(|| self.gap(start, now, warm_up, Cause::Silence))?
    }

    /// Takes note of a flow that goes on beyond its window, for the first time. Gives the gap that
    /// it is a sign of, with many others at once.
    pub(crate) fn jump(&mut self, now: Timestamp, warm_up: Duration) -> Option<Gap> {
        let Jumps { flows, since, packets, .. } = self.jumps;
        let at_once = flows > 0
            && now.since(since) <= limits::RESUMING
            && self.packets - packets <= limits::RESUMING_PACKETS;
        if !at_once {
            self.jumps =
                Jumps { flows: 1, since: now, after: self.before_last, packets: self.packets };
            return None;
        }
        self.jumps.flows += 1;
        if self.jumps.flows < limits::RESUMING_FLOWS {
            return None;
        }
        let Jumps { since, after, .. } = self.jumps;
        self.jumps.flows = 0;
        self.gap(after, since, warm_up, Cause::Resumed)
    }

    fn gap(
        &mut self,
        start: Timestamp,
        end: Timestamp,
        warm_up: Duration,
        cause: Cause,
    ) -> Option<Gap> {
        let tap = self.address?;
        self.gaps += 1;
        self.warm_until = end + warm_up;
        self.resumed = Some(end);
        Some(Gap { tap, start, end, cause })
    }

    /// Whether a connection that is met now for the first time may have been open before.
    pub(crate) fn is_warming_up(&self, now: Timestamp) -> bool {
        now < self.warm_until
    }

    /// Whether a connection known since `known`, and last heard of at `heard`, may have gone on in
    /// a gap of which nothing was seen.
    pub(crate) fn has_missed_some_of(
        &self,
        known: Timestamp,
        heard: Timestamp,
        now: Timestamp,
    ) -> bool {
        // In the warm-up also if it was heard of since: of the other side.
        self.resumed.is_some_and(|end| known <= end && (now < self.warm_until || heard <= end))
    }
}

/// All taps, by number.
#[derive(Debug, Default)]
pub(crate) struct Taps(Vec<Tap>);

impl Taps {
    /// Takes note of a tap that was not met before, with its first packet.
    #[cold]
    pub(crate) fn meet(
        &mut self,
        id: TapId,
        address: Option<IpAddr>,
        now: Timestamp,
        warm_up: Duration,
    ) {
        let at = usize::from(id.0);
        if at >= self.0.len() {
            // Numbers are given in order of appearance, but that of plain packets is always there.
            self.0.resize(at + 1, Tap::new(None, now, warm_up));
        }
        if let Some(tap) = self.0.get_mut(at) {
            *tap = Tap { packets: 1, ..Tap::new(address, now, warm_up) };
        }
    }

    pub(crate) fn get(&self, id: TapId) -> Option<&Tap> {
        self.0.get(usize::from(id.0))
    }

    /// A tap that was met before.
    #[inline]
    pub(crate) fn get_mut(&mut self, id: TapId) -> Option<&mut Tap> {
        self.0.get_mut(usize::from(id.0)).filter(|tap| tap.packets > 0)
    }

    /// Whether a packet whose addresses say that its source was translated is taken at its word:
    /// unless answers of its flow are seen, which they would not be.
    pub(crate) fn translates(&mut self, tap: TapId, answered: bool) -> bool {
        if let Some(tap) = self.get_mut(tap).filter(|_| answered) {
            tap.shows_answers = true;
        }
        !answered
    }

    /// The addresses of those that have shown a flow, where they are more than one.
    pub(crate) fn named(&self, seen: [TapId; MAX_TAPS]) -> [Option<IpAddr>; MAX_TAPS] {
        match seen {
            [_, TapId::NONE, ..] => [None; MAX_TAPS],
            _ => seen.map(|id| self.get(id).and_then(|tap| tap.address)),
        }
    }

    /// The addresses of those that have shown a flow: in whose envelope its first packet came, who
    /// were `seen` to, and who have shown the first packet of an end.
    pub(crate) fn shown(
        &self,
        tunnel: Option<Tunnel>,
        seen: [TapId; MAX_TAPS],
        first_of_ends: [TapId; 2],
    ) -> [Option<IpAddr>; MAX_TAPS] {
        let (mut shown, mut last) = ([None; MAX_TAPS], TapId::NONE);
        let first = tunnel.map(|tunnel| tunnel.src);
        let others = seen.into_iter().chain(first_of_ends);
        // Most often there is one, again and again.
        let others = others.filter(|id| *id != mem::replace(&mut last, *id));
        let others = others.filter_map(|id| self.get(id)?.address);
        for tap in first.into_iter().chain(others) {
            if !shown.contains(&Some(tap))
                && let Some(free) = shown.iter_mut().find(|place| place.is_none())
            {
                *free = Some(tap);
            }
        }
        shown
    }

    /// Those that packets came from, by number.
    pub(crate) fn all(&self) -> &[Tap] {
        &self.0
    }
}
