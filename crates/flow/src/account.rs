//! What is counted of one flow for its [record](crate::record).

use std::hint::select_unpredictable;

use vtap_packet::tcp::Flags;
use vtap_packet::{Seq, Timestamp};

use crate::details::Moved;
use crate::key::End;
use crate::letters::{self, Letter, Letters};
use crate::limits;
use crate::read::Observed;
use crate::record::{Ending, Traffic};
use crate::segment::Segment;

/// What most packets add to: one cache line beside those of the [flow](crate::flow::Flow).
#[derive(Clone, Debug, PartialEq, Eq)]
#[repr(C, align(64))]
pub(crate) struct Account {
    /// By [`End`].
    halves: [Half; 2],
    /// What was seen first; what finds no room goes on in [`Details`].
    pub(crate) history: [Letter; Self::LETTERS],
    /// Time of the last packet.
    pub(crate) last: Timestamp,
    /// Second in which the [wheel](crate::wheel) looks at it.
    pub(crate) second: u32,
    /// Why it is over, once it is: what still comes within [`limits::LINGER`] is its own.
    pub(crate) closed: Option<Ending>,
    is_open: bool,
}

const _: () = assert!(size_of::<Account>() == 64);

/// Of one end of the key. What was counted moves to [`Details`] before it would not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Half {
    bytes: u32,
    payload: u32,
    /// The number behind the highest byte that was sent, once there was one.
    next: Seq,
    packets: u16,
    retransmissions: u16,
    pub(crate) letters: Letters,
    /// All TCP flags seen.
    pub(crate) flags: u8,
    has_next: bool,
}

/// Bytes that are moved: with those of two more packets, of as many bytes at most, they still fit.
pub(crate) const MANY_BYTES: u32 = 1 << 30;

/// Packets that are moved. Of a datagram that was put together an account has the payload whole, and
/// the bytes of one fragment; of so many it has no more than [`MANY_BYTES`].
const MANY_PACKETS: u16 = 1 << 14;

/// What a packet was to its account, beside a count.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Counted {
    /// What was counted is to be [moved](Account::move_to).
    pub(crate) is_full: bool,
    /// Its end has said nothing before.
    pub(crate) is_first: bool,
    /// What it says and no packet of its end said before, but for what the account has noted.
    pub(crate) rest: Letters,
}

impl Half {
    const NONE: Self = Self {
        bytes: 0,
        payload: 0,
        next: Seq(0),
        packets: 0,
        retransmissions: 0,
        letters: Letters::NONE,
        flags: 0,
        has_next: false,
    };

    /// Whether what was counted has to be moved.
    #[inline(always)]
    const fn is_full(&self) -> bool {
        (self.bytes >= MANY_BYTES) | (self.packets >= MANY_PACKETS)
    }

    const fn traffic(&self) -> Traffic {
        Traffic {
            packets: self.packets as u64,
            bytes: self.bytes as u64,
            payload: self.payload as u64,
        }
    }
}

impl Account {
    /// What most connections have: the opening, ACK, data and FIN of each end.
    pub(crate) const LETTERS: usize = 8;

    pub(crate) const NONE: Self = Self {
        halves: [Half::NONE; 2],
        history: [Letter::NONE; Self::LETTERS],
        last: Timestamp::EPOCH,
        second: 0,
        closed: None,
        is_open: false,
    };

    pub(crate) fn begin(now: Timestamp) -> Self {
        Self { last: now, is_open: true, ..Self::NONE }
    }

    /// Whether there is no account.
    #[inline(always)]
    pub(crate) const fn is_empty(&self) -> bool {
        !self.is_open
    }

    pub(crate) const fn half(&self, end: End) -> &Half {
        let [lower, higher] = &self.halves;
        match end {
            End::Lower => lower,
            End::Higher => higher,
        }
    }

    /// Counts a segment of an established connection that says nothing new. False, with nothing
    /// changed, for any other; [`count`](Self::count) does the same for those taken here.
    #[inline(always)]
    pub(crate) fn follow(
        &mut self,
        now: Timestamp,
        observed: &Observed,
        segment: &Segment,
    ) -> bool {
        #[cfg(debug_assertions)]
        let mut general = self.clone();
        // No branch: which end it is, and whether it has data, is as good as random.
        let Some(half) = self.halves.get_mut(observed.from as usize) else { return false };
        let has_data = observed.payload > 0;
        let says = select_unpredictable(has_data, Letters::DATA, Letters::ACK);
        let goes_on = !has_data | (half.has_next & segment.end.after(half.next));
        let fits = observed.len < MANY_BYTES && !half.is_full();
        if !(goes_on & half.letters.has(says)) || !fits || segment.window == 0 {
            return false;
        }
        self.last = self.last.max(now);
        half.take(observed);
        half.next = select_unpredictable(has_data, segment.end, half.next);
        #[cfg(debug_assertions)]
        {
            let counted = general.count(now, observed, says, Some(segment));
            assert!(counted.rest.is_empty() && !counted.is_first, "something new: {segment:?}");
            assert_eq!(*self, general, "the shortcut and the general case differ: {segment:?}");
        }
        true
    }

    /// Counts a packet that says `letters`, and what its sequence numbers say.
    pub(crate) fn count(
        &mut self,
        now: Timestamp,
        observed: &Observed,
        letters: Letters,
        segment: Option<&Segment>,
    ) -> Counted {
        self.last = self.last.max(now);
        // No branch: which end it is, is as good as random.
        let Some(half) = self.halves.get_mut(observed.from as usize) else {
            return Counted { is_full: false, is_first: false, rest: Letters::NONE };
        };
        let is_first = half.letters.is_empty();
        half.take(observed);
        let letters = match segment {
            Some(segment) => letters.with(half.send(segment)),
            None => letters,
        };
        let (new, is_full) = (half.add(letters), half.is_full());
        let rest = if new.is_empty() { new } else { self.note(observed.from, new) };
        Counted { is_full, is_first, rest }
    }

    #[inline(never)]
    fn note(&mut self, from: End, new: Letters) -> Letters {
        letters::write(&mut self.history, from, new)
    }

    /// Adds what was counted of each end.
    pub(crate) fn add_to(&self, moved: &mut Moved) {
        let Moved { totals, retransmissions, .. } = moved;
        for ((half, total), again) in self.halves.iter().zip(totals).zip(retransmissions) {
            *total += half.traffic();
            *again = again.saturating_add(half.retransmissions.into());
        }
    }

    /// Moves what was counted of each end.
    pub(crate) fn move_to(&mut self, moved: &mut Moved) {
        self.add_to(moved);
        for half in &mut self.halves {
            *half = Half { packets: 0, bytes: 0, payload: 0, retransmissions: 0, ..*half };
        }
    }

    /// Takes note of what a packet says that was counted before. Gives the letters that are new and
    /// find no room.
    pub(crate) fn say(
        &mut self,
        from: End,
        letters: Letters,
        segment: Option<&Segment>,
    ) -> Letters {
        let Some(half) = self.halves.get_mut(from as usize) else { return Letters::NONE };
        let sent = segment.map_or(Letters::NONE, |segment| half.send(segment));
        let new = half.add(letters.with(sent));
        self.note(from, new)
    }

    /// An end begins with a sequence number of its own: what it sent before is no measure.
    pub(crate) fn forget_numbers(&mut self, from: End) {
        if let Some(half) = self.halves.get_mut(from as usize) {
            half.has_next = false;
        }
    }

    /// Whether an end has said that it ends a connection.
    pub(crate) fn has_ended(&self) -> bool {
        self.halves.iter().any(|half| half.letters.has(Letters::ENDS))
    }

    /// Takes note of an end of the connection that the tracker believes.
    pub(crate) fn close(&mut self, letters: Letters) {
        let fin = self.halves.iter().all(|half| half.letters.has(Letters::FIN));
        if letters.has(Letters::RST) {
            self.closed = Some(Ending::Rst);
        } else if fin {
            self.closed = self.closed.or(Some(Ending::Fin));
        }
    }

    /// Why a flow is over of which nothing more was heard.
    pub(crate) fn silence(&self) -> Ending {
        let fin = self.halves.iter().any(|half| half.letters.has(Letters::FIN));
        self.closed.unwrap_or(if fin { Ending::Fin } else { Ending::Timeout })
    }

    /// When it is over unless another packet comes.
    pub(crate) fn over(&self) -> Timestamp {
        self.last + if self.closed.is_some() { limits::LINGER } else { limits::IDLE }
    }
}

impl Half {
    #[inline(always)]
    fn take(&mut self, observed: &Observed) {
        self.packets += 1;
        self.bytes += observed.len;
        self.payload += observed.payload;
        self.flags |= observed.flags;
    }

    /// Takes note of the bytes of a segment; tells whether all of them were sent before.
    #[inline(always)]
    fn send(&mut self, segment: &Segment) -> Letters {
        let mut letters = Letters::NONE;
        if segment.window == 0 && !segment.flags.any(Flags::RST) {
            letters = Letters::CLOSED_WINDOW;
        }
        if segment.end == segment.seq {
            return letters;
        }
        if !self.has_next || segment.end.after(self.next) {
            self.next = segment.end;
            self.has_next = true;
        } else if !(segment.end == self.next && segment.is_one_byte()) {
            self.retransmissions = self.retransmissions.saturating_add(1);
            letters = letters.with(Letters::REPEATED);
        }
        letters
    }

    #[inline(always)]
    fn add(&mut self, letters: Letters) -> Letters {
        let new = letters.without(self.letters);
        self.letters = self.letters.with(letters);
        new
    }
}

impl Segment {
    /// A byte of data alone: what probes a closed window, or keeps a connection alive.
    fn is_one_byte(&self) -> bool {
        self.end == self.seq + 1 && !self.flags.any(Flags::SYN | Flags::FIN)
    }
}
