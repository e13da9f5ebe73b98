//! One entry of the flow table.

use std::time::Duration;

use prefetch_index::prefetch_index;
use vtap_packet::{Protocol, Timestamp};

use crate::cold::Cold;
use crate::config::Profile;
use crate::connection::{Connection, Step};
use crate::event::Side;
use crate::key::{End, Key};
use crate::limits;
use crate::opening::Opened;
use crate::reason::Reason;
use crate::segment::Segment;
use crate::state::{Kind, State};
use crate::trace::{Marks, Row};
use crate::verdict::{Outcome, StateAfter, Verdict};
use crate::wheel;

/// A flow: all that most packets of it need, in two cache lines that memory brings together.
///
/// With [`Cold`], 4 bytes by position and a slot of 4 in the [index](crate::index), of whose slots at
/// least a quarter are taken once it has grown, an entry has 212 bytes at most.
#[derive(Debug)]
#[repr(C, align(128))]
pub(crate) struct Flow {
    pub(crate) key: Key,
    /// When the flow is over unless another packet comes.
    pub(crate) deadline: Timestamp,
    /// Second in which the [wheel](crate::wheel) looks at it.
    pub(crate) second: u32,
    /// Packets seen from each end of the key, INVALID ones included; no more are counted than fit.
    pub(crate) packets: [u32; 2],
    pub(crate) marks: Marks,
    /// The end of the key that is the client, where a connection tells.
    pub(crate) client: End,
    pub(crate) life: Life,
    pub(crate) connection: Option<Connection>,
}

const _: () = assert!(size_of::<Flow>() == 128);

/// What an entry of the table is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Life {
    /// Known of packets alone that were refused before anything of it was looked at: to the tracker
    /// no flow.
    Unseen,
    /// A flow that never had a connection.
    New,
    /// A flow that has, or has had, one.
    Opened,
    /// No flow any more: its place waits for another.
    Over,
}

/// Which segments are let in and out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    /// An ACK of an unknown connection picks it up.
    pub(crate) pickup: bool,
    /// It does so if it is the first packet of its end: the connection was open before the
    /// capture began.
    pub(crate) warming_up: bool,
    /// For how long behind a gap of the mirror what went on in it is taken up again. Zero: never.
    pub(crate) warm_up: Duration,
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
    pub(crate) found: Option<Found>,
}

/// What a segment has shown of the mirror.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// Its flow is seen on its way out alone.
    EgressOnly,
    /// Its connection went on in a gap.
    Resumed,
}

impl Flow {
    pub(crate) fn new(key: Key, from: End) -> Self {
        Self {
            key,
            deadline: Timestamp::EPOCH,
            second: 0,
            packets: [0; 2],
            marks: Marks::default(),
            client: from,
            life: Life::New,
            connection: None,
        }
    }

    /// Takes a segment of an established connection that is as expected and makes no row; false,
    /// with nothing changed, if it is not. [`take`](Self::take) does the same for those taken here.
    #[inline(always)]
    pub(crate) fn follow(&mut self, now: Timestamp, from: End, segment: &Segment) -> bool {
        let side = self.side(from);
        let Some(connection) = &mut self.connection else { return false };
        #[cfg(debug_assertions)]
        let (mut general, mut general_deadline) = (*connection, self.deadline);
        if !self.marks.await_nothing() || !connection.follow(now, side, segment, &mut self.deadline)
        {
            return false;
        }
        #[cfg(debug_assertions)]
        {
            let step = general.push(now, side, segment, true, &mut general_deadline);
            assert_eq!(
                (step, general, general_deadline),
                (Step::Accepted, *connection, self.deadline),
                "the shortcut and the general case differ: {segment:?}"
            );
        }
        self.count(from);
        true
    }

    /// Whether [`follow`](Self::follow) takes what goes on with the connection as expected.
    #[inline(always)]
    pub(crate) fn is_settled(&self) -> bool {
        let connection = self.connection.as_ref();
        connection.is_some_and(Connection::is_settled) & self.marks.await_nothing()
    }

    /// Takes a segment that end `from` of the key sent.
    pub(crate) fn take(
        &mut self,
        cold: &mut Cold,
        now: Timestamp,
        from: End,
        segment: &Segment,
        rules: &Rules,
    ) -> Taken {
        let side = self.side(from);
        let Some(connection) = &mut self.connection else {
            return self.open(cold, now, from, segment, rules);
        };
        let (before, replied) = (connection.state, connection.replied);
        let step = connection.push(now, side, segment, rules.strict, &mut self.deadline);
        let mut after = StateAfter::In(connection.state);
        let (trace, marks) = (&mut cold.trace, &mut self.marks);
        let (row, note) = match step {
            Step::Reopens => return self.open(cold, now, from, segment, rules),
            Step::Refused(reason) => return Taken::refused(reason, after),
            Step::Accepted => (trace.accepted(marks, side, segment, Some(before), after), None),
            Step::Passed(note) => (trace.passed(marks, side, segment), Some(note)),
            Step::Ended => {
                after = StateAfter::Deleted;
                self.connection = None;
                (trace.accepted(marks, side, segment, Some(before), after), None)
            }
        };
        let new = side == Side::Client && !replied;
        let verdict = if new { Verdict::New } else { Verdict::Established };
        let restarted = segment.kind == Kind::SynAck
            && step == Step::Accepted
            && (before == State::Established || before.is_closing());
        if restarted {
            cold.since = now;
        }
        let opened = restarted.then_some(Opened { again: true, midstream: false });
        Taken { outcome: Outcome { verdict, state: after, note }, row, opened, found: None }
    }

    /// Takes the numbers of a connection anew: it went on while nothing of it was seen.
    pub(crate) fn resume(&mut self, cold: &mut Cold, now: Timestamp) {
        cold.since = now;
        if let Some(connection) = &mut self.connection {
            connection.resume();
        }
    }

    /// Whether no packet of the other end was seen.
    pub(crate) fn is_one_way(&self, from: End) -> bool {
        self.packets_from(from.other()) == 0
    }

    /// Whether a refused segment is one of a flow whose other side is not seen. `Some` the first
    /// time and whenever a packet of that flow is refused again.
    ///
    /// The proof is an acknowledgment: of a SYN-ACK that never came, or of more and more bytes
    /// that nobody was seen to send.
    pub(crate) fn missing_side(
        &mut self,
        cold: &mut Cold,
        from: End,
        segment: &Segment,
    ) -> Option<Side> {
        if !self.is_one_way(from) {
            self.marks.set_missing(None);
            return None;
        }
        if self.marks.missing().is_none() && segment.has_ack() {
            let proven = match &self.connection {
                Some(connection) => connection.state == State::SynSent && segment.kind != Kind::Rst,
                None => cold.trace.acknowledges_unseen(&mut self.marks, segment.ack),
            };
            if proven {
                self.marks.set_missing(Some(self.side(from).peer()));
            }
        }
        self.marks.missing()
    }

    /// Whether the wheel would look at it after its deadline.
    #[inline]
    pub(crate) fn is_hung_late(&self) -> bool {
        self.deadline < wheel::start(self.second)
    }

    /// Whether the table holds it.
    #[inline]
    pub(crate) const fn is_live(&self) -> bool {
        !matches!(self.life, Life::Over)
    }

    /// Whether it is the flow of this key.
    #[inline(always)]
    pub(crate) fn is(&self, key: &Key) -> bool {
        self.key == *key && self.is_live()
    }

    /// Asks for both of its cache lines.
    #[inline(always)]
    pub(crate) fn prefetch(&self) {
        prefetch_index(std::slice::from_ref(&self.key), 0);
        prefetch_index(std::slice::from_ref(&self.connection), 0);
    }

    pub(crate) fn state(&self) -> StateAfter {
        self.connection.as_ref().map(|connection| connection.state).into()
    }

    pub(crate) fn side(&self, from: End) -> Side {
        if from == self.client { Side::Client } else { Side::Server }
    }

    /// The side that sent a packet, where the flow has shown which is which.
    pub(crate) fn known_side(&self, from: End) -> Option<Side> {
        let known =
            self.life == Life::Opened || self.marks.missing().is_some() || self.client != from;
        known.then(|| self.side(from))
    }

    pub(crate) fn count(&mut self, from: End) {
        // No branch: which end it is, is as good as random.
        if let Some(packets) = self.packets.get_mut(from as usize) {
            *packets = packets.saturating_add(1);
        }
    }

    /// Counts fragments that were not judged. Of an end that nothing whole came from they are left
    /// out: that it was seen is for what is judged to say.
    pub(crate) fn count_fragments(&mut self, from: End, fragments: u32) {
        let [lower, higher] = &mut self.packets;
        let packets = if from == End::Lower { lower } else { higher };
        if *packets > 0 {
            *packets = packets.saturating_add(fragments);
        }
    }

    pub(crate) fn packets_from(&self, end: End) -> u32 {
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
        self.deadline = now
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
        Self {
            outcome: Outcome::new(Verdict::Invalid(reason), state),
            row: None,
            opened: None,
            found: None,
        }
    }
}
