//! One entry of the flow table.

use vtap_packet::{Protocol, Timestamp};

use crate::config::Profile;
use crate::connection::{Connection, Step};
use crate::event::{Event, Side};
use crate::key::{End, Key};
use crate::limits;
use crate::martian;
use crate::reason::Reason;
use crate::segment::Segment;
use crate::state::{Kind, State};
use crate::trace::{Row, Trace};
use crate::verdict::{Outcome, StateAfter, Verdict};
use crate::wheel::Links;

/// A flow: what identifies it, its connection if one is known, and what its events need.
///
/// At most 240 bytes, so that with its place in the index (4 bytes and one of control, at a load
/// of at least 7/16) it stays within 256.
#[derive(Debug)]
pub(crate) struct Flow {
    pub(crate) key: Key,
    pub(crate) hash: u64,
    pub(crate) links: Links,
    pub(crate) connection: Option<Connection>,
    /// Whether the table holds it; the place of a forgotten flow waits for another.
    pub(crate) live: bool,
    /// Whether it has, or has had, a connection.
    pub(crate) opened: bool,
    /// When a flow without a connection is forgotten.
    pub(crate) idle_until: Timestamp,
    /// The end of the key that is the client, where a connection tells.
    pub(crate) client: End,
    pub(crate) trace: Trace,
    /// INVALID rows written.
    pub(crate) invalid_rows: u32,
    /// The last INVALID row that was not written, and in it how many there were.
    pub(crate) suppressed: Option<Box<Event>>,
    /// Packets seen from each end of the key, INVALID ones included.
    pub(crate) packets: [u64; 2],
}

const _: () = assert!(size_of::<Flow>() <= 240);

/// Which segments are let in and out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    /// An ACK of an unknown connection picks it up.
    pub(crate) pickup: bool,
    /// It does so if it is the first packet of its end: the connection was open before the
    /// capture began.
    pub(crate) warming_up: bool,
    /// What kernels up to 6.0 refused is refused.
    pub(crate) strict: bool,
    /// What a packet from or to an impossible address opens is not kept: the kernel judges a
    /// packet before it routes it, and drops such a one with all it has opened.
    pub(crate) drop_martians: bool,
}

/// What a segment was to its flow.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Taken {
    pub(crate) outcome: Outcome,
    pub(crate) row: Option<Row>,
    pub(crate) opened: Option<Opened>,
}

/// A connection was opened by a segment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Opened {
    /// In place of an earlier one with the same addresses and ports.
    pub(crate) again: bool,
    pub(crate) midstream: bool,
}

impl Flow {
    pub(crate) fn new(key: Key, hash: u64, from: End) -> Self {
        Self {
            key,
            hash,
            links: Links::UNLINKED,
            connection: None,
            live: true,
            opened: false,
            idle_until: Timestamp::EPOCH,
            client: from,
            trace: Trace::default(),
            invalid_rows: 0,
            suppressed: None,
            packets: [0; 2],
        }
    }

    /// Takes a segment that end `from` of the key sent.
    pub(crate) fn take(
        &mut self,
        now: Timestamp,
        from: End,
        segment: &Segment,
        rules: Rules,
    ) -> Taken {
        let side = self.side(from);
        let Some(connection) = &mut self.connection else {
            return self.open(now, from, segment, rules);
        };
        let (before, replied) = (connection.state, connection.replied);
        let step = connection.push(now, side, segment, rules.strict);
        let mut after = StateAfter::In(connection.state);
        let (row, note) = match step {
            Step::Reopens => return self.open(now, from, segment, rules),
            Step::Refused(reason) => return Taken::refused(reason, after),
            Step::Accepted => (self.trace.accepted(side, segment, Some(before), after), None),
            Step::Passed(note) => (self.trace.passed(side, segment), Some(note)),
            Step::Ended => {
                after = StateAfter::Deleted;
                self.connection = None;
                (self.trace.accepted(side, segment, Some(before), after), None)
            }
        };
        let new = side == Side::Client && !replied;
        let verdict = if new { Verdict::New } else { Verdict::Established };
        Taken { outcome: Outcome { verdict, state: after, note }, row, opened: None }
    }

    /// Takes a segment of a flow without connection.
    fn open(&mut self, now: Timestamp, from: End, segment: &Segment, rules: Rules) -> Taken {
        let connection = match segment.kind {
            Kind::Syn => Connection::open(now, segment),
            Kind::Ack if rules.pickup || rules.warming_up && self.packets_from(from) <= 1 => {
                Connection::pick_up(now, segment)
            }
            kind => {
                self.connection = None;
                if kind == Kind::SynAck {
                    self.client = from.other();
                }
                return Taken::refused(Reason::NoState, StateAfter::None);
            }
        };
        let (src, dst) = (self.key.socket(from).ip(), self.key.socket(from.other()).ip());
        let keep = !(rules.drop_martians && martian::is_martian(src, dst));
        let after = if keep { StateAfter::In(connection.state) } else { StateAfter::None };
        self.connection = Some(connection).filter(|_| keep);
        self.client = from;
        self.trace = Trace::default();
        Taken {
            outcome: Outcome::new(Verdict::New, after),
            row: self.trace.accepted(Side::Client, segment, None, after),
            opened: Some(Opened {
                again: std::mem::replace(&mut self.opened, true),
                midstream: segment.kind == Kind::Ack,
            }),
        }
    }

    /// Whether a refused segment is one of a flow whose other side is not seen. `Some` the first
    /// time and whenever a packet of that flow is refused again.
    ///
    /// The proof is an acknowledgment: of a SYN-ACK that never came, or of more and more bytes
    /// that nobody was seen to send.
    pub(crate) fn missing_side(&mut self, from: End, segment: &Segment) -> Option<Side> {
        if self.packets_from(from.other()) > 0 {
            self.trace.missing = None;
            return None;
        }
        if self.trace.missing.is_none() && segment.has_ack() {
            let proven = match &self.connection {
                Some(connection) => connection.state == State::SynSent && segment.kind != Kind::Rst,
                None => self.trace.acknowledges_unseen(segment.ack),
            };
            if proven {
                self.trace.missing = Some(self.side(from).peer());
            }
        }
        self.trace.missing
    }

    /// Something of each cache line that a packet of this flow needs, so that the lines are there.
    pub(crate) fn touch_lines(&self) -> u64 {
        let [lower, higher] = self.packets;
        let connection = self.connection.as_ref().map_or(0, |connection| {
            connection.deadline.nanos() ^ u64::from(connection.halves[1].end.0)
        });
        lower ^ higher ^ connection ^ u64::from(self.invalid_rows) ^ self.trace.touch_lines()
    }

    /// When the flow is over unless another packet comes.
    pub(crate) fn deadline(&self) -> Timestamp {
        self.connection.as_ref().map_or(self.idle_until, |connection| connection.deadline)
    }

    pub(crate) fn state(&self) -> StateAfter {
        self.connection.as_ref().map(|connection| connection.state).into()
    }

    pub(crate) fn side(&self, from: End) -> Side {
        if from == self.client { Side::Client } else { Side::Server }
    }

    /// The side that sent a packet, where the flow has shown which is which.
    pub(crate) fn known_side(&self, from: End) -> Option<Side> {
        let known = self.opened || self.trace.missing.is_some() || self.client != from;
        known.then(|| self.side(from))
    }

    pub(crate) fn count(&mut self, from: End) {
        let [lower, higher] = &mut self.packets;
        match from {
            End::Lower => *lower += 1,
            End::Higher => *higher += 1,
        }
    }

    fn packets_from(&self, end: End) -> u64 {
        let [lower, higher] = self.packets;
        match end {
            End::Lower => lower,
            End::Higher => higher,
        }
    }

    /// Whether it may be given up for another when the table is full. conntrack gives up what is
    /// not assured; the firewall refuses new connections, so only what is no connection goes.
    pub(crate) fn may_go(&self, profile: Profile) -> bool {
        match (&self.connection, profile) {
            (None, _) => true,
            (Some(connection), Profile::Linux) => !connection.assured,
            (Some(_), Profile::Azure) => false,
        }
    }

    /// Whether both ends were seen.
    pub(crate) fn is_two_way(&self) -> bool {
        self.packets.iter().all(|count| *count > 0)
    }

    /// Renews the time of a flow that has no connection to say.
    pub(crate) fn touch(&mut self, now: Timestamp) {
        self.idle_until = now
            + match self.key.protocol() {
                Protocol::TCP => limits::STATELESS,
                Protocol::UDP if self.is_two_way() => limits::UDP_REPLIED,
                Protocol::UDP => limits::UDP,
                Protocol::ICMP | Protocol::ICMPV6 => limits::ICMP,
                _ => limits::GENERIC,
            };
    }
}

impl Taken {
    pub(crate) const fn refused(reason: Reason, state: StateAfter) -> Self {
        Self { outcome: Outcome::new(Verdict::Invalid(reason), state), row: None, opened: None }
    }
}
