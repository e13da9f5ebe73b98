//! What is noted of one flow for its [record](crate::record) beside what is counted.

use std::time::Duration;
use std::{mem, slice};

use prefetch_index::prefetch_index;
use vtap_packet::{Mac, Timestamp, Tunnel};

use crate::account::Account;
use crate::key::End;
use crate::letters::{self, Letter, Letters};
use crate::read::Occasion;
use crate::record::{History, Traffic};
use crate::sight::TapId;
use crate::wheel::Links;

/// What few packets add to: the first line is for those of a handshake, the second for the first
/// packet of an end, the rest for what is told.
#[derive(Debug)]
#[repr(C, align(64))]
pub(crate) struct Details {
    pub(crate) handshake: Handshake,
    pub(crate) links: Links,
    pub(crate) invalid: u32,
    pub(crate) midstream: bool,
    /// The end that was told to be the client; `None` before anything was told.
    pub(crate) client: Option<End>,
    /// By [`End`].
    pub(crate) macs: [Option<Macs>; 2],
    /// Behind that of the account.
    history: [Letter; History::LETTERS - Account::LETTERS],
    /// By [`End`]: what was moved here, and what of that was told.
    pub(crate) totals: [Traffic; 2],
    pub(crate) told: [Traffic; 2],
    /// By [`End`], moved here.
    pub(crate) retransmissions: [u32; 2],
    pub(crate) start: Timestamp,
    /// When something was told last; `None` before it was told that the flow has begun.
    pub(crate) told_at: Option<Timestamp>,
    /// Number of the packet that began it.
    pub(crate) packet: u64,
    pub(crate) tunnel: Option<Tunnel>,
}

const _: () = assert!(mem::offset_of!(Details, macs) <= 64);
const _: () = assert!(mem::offset_of!(Details, history) <= 128);

/// When each segment of a handshake was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Handshake {
    pub(crate) syn: Option<Timestamp>,
    pub(crate) syn_ack: Option<Timestamp>,
    pub(crate) ack: Option<Timestamp>,
}

impl Handshake {
    /// How long behind the SYN another segment of it was.
    pub(crate) fn behind_syn(&self, segment: Option<Timestamp>) -> Option<Duration> {
        let (syn, segment) = (self.syn?, segment?);
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
        totals: [Traffic { packets: 0, bytes: 0, payload: 0 }; 2],
        told: [Traffic { packets: 0, bytes: 0, payload: 0 }; 2],
        start: Timestamp::EPOCH,
        told_at: None,
        links: Links::UNLINKED,
        packet: 0,
        tunnel: None,
        macs: [None; 2],
        history: [Letter::NONE; History::LETTERS - Account::LETTERS],
        retransmissions: [0; 2],
        midstream: false,
        client: None,
        invalid: 0,
        handshake: Handshake { syn: None, syn_ack: None, ack: None },
    };

    pub(crate) const fn begin(occasion: &Occasion) -> Self {
        let Occasion { time: start, number: packet, tunnel } = *occasion;
        Self { start, packet, tunnel, ..Self::NONE }
    }

    /// Asks for the first two lines.
    #[inline(always)]
    pub(crate) fn prefetch(&self) {
        prefetch_index(slice::from_ref(&self.handshake), 0);
        prefetch_index(self.macs.as_slice(), 1);
    }

    /// Asks for all of it.
    pub(crate) fn prefetch_whole(&self) {
        self.prefetch();
        prefetch_index(slice::from_ref(&self.totals), 0);
        prefetch_index(self.told.as_slice(), 1);
        prefetch_index(slice::from_ref(&self.tunnel), 0);
    }

    /// Adds letters of an end for which the account has no room.
    pub(crate) fn write(&mut self, from: End, letters: Letters) {
        letters::write(&mut self.history, from, letters);
    }

    /// The history, of which the letters of the client are in upper case.
    pub(crate) fn history(&self, account: &Account, client: End) -> History {
        letters::history(account.history.iter().chain(&self.history), client)
    }
}
