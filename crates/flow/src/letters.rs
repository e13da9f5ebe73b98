//! What a packet says of its flow, in letters of the [history](crate::record::History).

use vtap_packet::tcp::Flags;

use crate::key::End;
use crate::read::Observed;

/// Letters that an end has, a bit each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Letters(u16);

impl Letters {
    const ALL: &[u8; 10] = b"SHADFRTCWI";

    pub(crate) const NONE: Self = Self(0);
    pub(crate) const SYN: Self = Self(1);
    pub(crate) const SYN_ACK: Self = Self(1 << 1);
    pub(crate) const ACK: Self = Self(1 << 2);
    pub(crate) const DATA: Self = Self(1 << 3);
    pub(crate) const FIN: Self = Self(1 << 4);
    pub(crate) const RST: Self = Self(1 << 5);
    pub(crate) const REPEATED: Self = Self(1 << 6);
    pub(crate) const BAD_CHECKSUM: Self = Self(1 << 7);
    pub(crate) const CLOSED_WINDOW: Self = Self(1 << 8);
    pub(crate) const INVALID: Self = Self(1 << 9);
    /// A connection ends with these.
    pub(crate) const ENDS: Self = Self::FIN.with(Self::RST);

    pub(crate) const fn has(self, one: Self) -> bool {
        self.0 & one.0 != 0
    }

    pub(crate) const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether there are any but those of packets that were refused.
    pub(crate) const fn tell(self) -> bool {
        !self.without(Self::BAD_CHECKSUM.with(Self::INVALID)).is_empty()
    }

    pub(crate) const fn with(self, others: Self) -> Self {
        Self(self.0 | others.0)
    }

    pub(crate) const fn without(self, others: Self) -> Self {
        Self(self.0 & !others.0)
    }

    /// Takes the first of them off, as it is written in upper case.
    fn pop(&mut self) -> Option<u8> {
        let letter = Self::ALL.get(self.0.trailing_zeros() as usize)?;
        self.0 &= self.0 - 1;
        Some(*letter)
    }

    /// What an observed packet says by its flags and its length.
    #[inline(always)]
    pub(crate) fn of(observed: &Observed) -> Self {
        let flags = observed.flags;
        let data = if observed.payload > 0 { Self::DATA } else { Self(0) };
        if flags & (Flags::SYN | Flags::FIN | Flags::RST).0 == 0 {
            return if observed.payload > 0 || flags & Flags::ACK.0 == 0 {
                data
            } else {
                Self::ACK
            };
        }
        let is = |flag: Flags| flags & flag.0 != 0;
        let telling = match (is(Flags::RST), is(Flags::SYN), is(Flags::ACK)) {
            (true, ..) => Self::RST,
            (_, true, true) => Self::SYN_ACK,
            (_, true, false) => Self::SYN,
            _ => Self::FIN,
        };
        data.with(telling)
    }
}

/// A letter of a history: in upper case, with the upper bit set where it is the higher end's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Letter(u8);

impl Letter {
    pub(crate) const NONE: Self = Self(0);

    const HIGHER: u8 = 0x80;
}

/// Adds letters of an end behind those that are there. Gives those that find no room.
#[inline]
pub(crate) fn write(history: &mut [Letter], from: End, mut letters: Letters) -> Letters {
    let end = if from == End::Higher { Letter::HIGHER } else { 0 };
    let taken = history.iter().filter(|place| **place != Letter::NONE).count();
    for place in history.iter_mut().skip(taken) {
        let Some(letter) = letters.pop() else { break };
        *place = Letter(letter | end);
    }
    letters
}

/// Letters as text, those of the client in upper case, and how many there are. No branch, so that
/// many are looked at in one step.
pub(crate) fn show(written: &[Letter], client: End, text: &mut [u8]) -> u8 {
    let flip = if client == End::Higher { Letter::HIGHER } else { 0 };
    let mut len = 0;
    for (Letter(letter), to) in written.iter().zip(text) {
        let is_there = u8::from(*letter != 0);
        let is_lower_case = ((letter ^ flip) >> 7) & is_there;
        *to = (letter & !Letter::HIGHER) | is_lower_case << 5;
        len += is_there;
    }
    len
}
