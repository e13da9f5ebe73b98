//! What is noted of one flow for its [record](crate::record) beside what is counted.

use std::time::Duration;
use std::{mem, slice};

use prefetch_index::prefetch_index;
use vtap_packet::{Mac, Timestamp, Tunnel};

use crate::account::Account;
use crate::batch::Occasion;
use crate::key::End;
use crate::letters::{self, Letter, Letters};
use crate::record::{History, Traffic};
use crate::sight::TapId;
use crate::wheel::Links;

/// What few packets add to: the first line is for those of a handshake, and the end of a connection;
/// the next are for what is told of every flow, the last for what is told of some.
#[derive(Debug)]
#[repr(C, align(64))]
pub(crate) struct Details {
    pub(crate) handshake: Handshake,
    pub(crate) links: Links,
    /// By [`End`].
    pub(crate) macs: [Option<Macs>; 2],
    /// Time of the first packet.
    pub(crate) start: Timestamp,
    /// Number of the packet that began it.
    pub(crate) packet: u64,
    pub(crate) invalid: u32,
    pub(crate) midstream: bool,
    /// The end that was told to be the client; `None` before anything was told.
    pub(crate) client: Option<End>,
    /// Whether [`moved`](Self::moved) holds anything.
    has_moved: bool,
    /// Behind that of the account.
    history: [Letter; History::LETTERS - Account::LETTERS],
    pub(crate) tunnel: Option<Tunnel>,
    /// When something was told last; unknown before it was told that the flow has begun.
    pub(crate) told_at: Moment,
    moved: Moved,
}

const _: () = assert!(mem::offset_of!(Details, start) == 64);
const _: () = assert!(mem::offset_of!(Details, moved) <= 192);
const _: () = assert!(size_of::<Details>() == 256);

/// What was moved here from the [account](Account), by [`End`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moved {
    pub(crate) totals: [Traffic; 2],
    /// Of the totals, what was told.
    pub(crate) told: [Traffic; 2],
    pub(crate) retransmissions: [u32; 2],
}

impl Moved {
    const NONE: Self = Self {
        totals: [Traffic { packets: 0, bytes: 0, payload: 0 }; 2],
        told: [Traffic { packets: 0, bytes: 0, payload: 0 }; 2],
        retransmissions: [0; 2],
    };
}

/// A time that may be unknown, in the space of one that is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Moment(Timestamp);

impl Moment {
    pub(crate) const UNKNOWN: Self = Self(Timestamp::from_nanos(u64::MAX));

    /// The last time there is counts as unknown.
    pub(crate) const fn at(time: Timestamp) -> Self {
        Self(time)
    }

    pub(crate) fn known(self) -> Option<Timestamp> {
        (self != Self::UNKNOWN).then_some(self.0)
    }
}

/// When each segment of a handshake was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Handshake {
    pub(crate) syn: Moment,
    pub(crate) syn_ack: Moment,
    pub(crate) ack: Moment,
}

impl Handshake {
    const UNKNOWN: Self =
        Self { syn: Moment::UNKNOWN, syn_ack: Moment::UNKNOWN, ack: Moment::UNKNOWN };

    /// How long behind the SYN another segment of it was.
    pub(crate) fn behind_syn(&self, segment: Moment) -> Option<Duration> {
        let (syn, segment) = (self.syn.known()?, segment.known()?);
        (syn <= segment).then(|| segment.since(syn))
    }
}

/// Link addresses of the first packet of an end, and the tap that has shown it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Macs {
    pub(crate) dst: Mac,
    pub(crate) src: Mac,
    pub(crate) tap: TapId,
}

impl Details {
    pub(crate) const NONE: Self = Self {
        handshake: Handshake::UNKNOWN,
        links: Links::UNLINKED,
        macs: [None; 2],
        start: Timestamp::EPOCH,
        packet: 0,
        invalid: 0,
        midstream: false,
        client: None,
        has_moved: false,
        history: [Letter::NONE; History::LETTERS - Account::LETTERS],
        tunnel: None,
        told_at: Moment::UNKNOWN,
        moved: Moved::NONE,
    };

    /// Begins with the first packet of a flow. What was moved here of another stays, and does not
    /// count: memory need not bring it.
    pub(crate) fn begin(&mut self, occasion: &Occasion) {
        let Self {
            handshake,
            links,
            macs,
            start,
            packet,
            invalid,
            midstream,
            client,
            has_moved,
            history,
            tunnel,
            told_at,
            moved: _,
        } = self;
        Occasion { time: *start, number: *packet, tunnel: *tunnel } = *occasion;
        *handshake = Self::NONE.handshake;
        *links = Self::NONE.links;
        *macs = Self::NONE.macs;
        *invalid = Self::NONE.invalid;
        *midstream = Self::NONE.midstream;
        *client = Self::NONE.client;
        *has_moved = Self::NONE.has_moved;
        *history = Self::NONE.history;
        *told_at = Self::NONE.told_at;
    }

    /// What was moved here.
    pub(crate) fn moved(&self) -> Moved {
        if self.has_moved { self.moved } else { Moved::NONE }
    }

    /// The place for what is moved here.
    pub(crate) fn moved_mut(&mut self) -> &mut Moved {
        if !self.has_moved {
            (self.has_moved, self.moved) = (true, Moved::NONE);
        }
        &mut self.moved
    }

    /// Asks for the first line.
    #[inline(always)]
    pub(crate) fn prefetch(&self) {
        prefetch_index(slice::from_ref(&self.handshake), 0);
    }

    /// Asks for what is told of every flow.
    pub(crate) fn prefetch_whole(&self) {
        self.prefetch();
        prefetch_index(slice::from_ref(&self.start), 0);
        prefetch_index(slice::from_ref(&self.told_at), 0);
    }

    /// Adds letters of an end for which the account has no room.
    pub(crate) fn write(&mut self, from: End, letters: Letters) {
        letters::write(&mut self.history, from, letters);
    }

    /// The history, of which the letters of the client are in upper case.
    pub(crate) fn history(&self, account: &Account, client: End) -> History {
        History::of([&account.history, &self.history], client)
    }
}
