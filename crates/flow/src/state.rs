//! States of a TCP connection and the table that moves between them.
//!
//! The states carry conntrack's names. They are not those of RFC 9293: an observer sees packets,
//! not sockets, so FIN_WAIT means "a FIN was seen", CLOSE_WAIT "and something was acknowledged
//! since", LAST_ACK "both sides sent one", whoever it was that sent first.

use std::fmt;

use vtap_packet::tcp::Flags;

/// State of a connection as an observer knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum State {
    /// A SYN was seen.
    SynSent,
    /// A SYN-ACK answered it.
    SynRecv,
    /// The handshake is complete, or the flow was picked up in mid-stream.
    Established,
    /// One FIN was seen.
    FinWait,
    /// Something was acknowledged after the first FIN.
    CloseWait,
    /// A second FIN was seen, of either side.
    LastAck,
    /// The last FIN was acknowledged.
    TimeWait,
    /// A reset was seen.
    Close,
    /// A SYN of each side was seen: a simultaneous open.
    SynSent2,
}

impl State {
    /// Every state, in the order of the transition table's columns.
    pub const ALL: [Self; 9] = [
        Self::SynSent,
        Self::SynRecv,
        Self::Established,
        Self::FinWait,
        Self::CloseWait,
        Self::LastAck,
        Self::TimeWait,
        Self::Close,
        Self::SynSent2,
    ];

    /// The name in every output format, as conntrack prints it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::SynSent => "SYN_SENT",
            Self::SynRecv => "SYN_RECV",
            Self::Established => "ESTABLISHED",
            Self::FinWait => "FIN_WAIT",
            Self::CloseWait => "CLOSE_WAIT",
            Self::LastAck => "LAST_ACK",
            Self::TimeWait => "TIME_WAIT",
            Self::Close => "CLOSE",
            Self::SynSent2 => "SYN_SENT2",
        }
    }

    /// Whether the connection is on its way out: a FIN of one side at least, or a reset.
    pub const fn is_closing(self) -> bool {
        matches!(
            self,
            Self::FinWait | Self::CloseWait | Self::LastAck | Self::TimeWait | Self::Close
        )
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Kind of a segment: its most telling flag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// SYN without ACK.
    Syn,
    /// SYN and ACK.
    SynAck,
    /// FIN.
    Fin,
    /// ACK and none of the above.
    Ack,
    /// RST, whatever else is set.
    Rst,
}

impl Kind {
    /// Kind of a segment with these flags; `None` for a combination that TCP never sends.
    ///
    /// PSH, ECE and CWR go with anything. A FIN without ACK, or any two of SYN, FIN and RST, are
    /// refused; URG goes with SYN, ACK and FIN-ACK.
    #[inline]
    #[expect(
        clippy::indexing_slicing,
        reason = "the table has a place for each number of six bits"
    )]
    pub const fn of(flags: Flags) -> Option<Self> {
        OF_FLAGS[(flags.0 % 64) as usize]
    }

    const fn among(flags: u8) -> Option<Self> {
        const F: u8 = Flags::FIN.0;
        const S: u8 = Flags::SYN.0;
        const R: u8 = Flags::RST.0;
        const A: u8 = Flags::ACK.0;
        const U: u8 = Flags::URG.0;
        const S_U: u8 = S | U;
        const S_A: u8 = S | A;
        const R_A: u8 = R | A;
        const F_A: u8 = F | A;
        const F_A_U: u8 = F | A | U;
        const A_U: u8 = A | U;
        let bits = flags & (F | S | R | A | U);
        match bits {
            S | S_U => Some(Self::Syn),
            S_A => Some(Self::SynAck),
            A | A_U => Some(Self::Ack),
            R | R_A => Some(Self::Rst),
            F_A | F_A_U => Some(Self::Fin),
            _ => None,
        }
    }
}

/// Kinds by the six flags of RFC 793: a jump to one of five places could not be foreseen.
#[expect(clippy::indexing_slicing, reason = "as above")]
static OF_FLAGS: [Option<Kind>; 64] = {
    let mut kinds = [None; 64];
    let mut flags = 0;
    while flags < 64 {
        kinds[flags as usize] = Kind::among(flags);
        flags += 1;
    }
    kinds
};

/// What the table says about a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transition {
    /// The state that follows, which may be the same.
    To(State),
    /// Pass it without judging: the observer may be out of step, and the answer will tell.
    Ignore,
    /// Refuse it.
    Invalid,
}

/// The state that follows `state` on a segment of `kind` from the client (`original`) or the
/// server.
pub const fn transition(from_client: bool, kind: Kind, state: State) -> Transition {
    let table = if from_client { &FROM_CLIENT } else { &FROM_SERVER };
    #[expect(
        clippy::indexing_slicing,
        reason = "the table has a row of each kind, a column of each state"
    )]
    table[kind as usize][state as usize]
}

const IV: Transition = Transition::Invalid;
const IG: Transition = Transition::Ignore;
const SS: Transition = Transition::To(State::SynSent);
const SR: Transition = Transition::To(State::SynRecv);
const ES: Transition = Transition::To(State::Established);
const FW: Transition = Transition::To(State::FinWait);
const CW: Transition = Transition::To(State::CloseWait);
const LA: Transition = Transition::To(State::LastAck);
const TW: Transition = Transition::To(State::TimeWait);
const CL: Transition = Transition::To(State::Close);
const S2: Transition = Transition::To(State::SynSent2);

/// Rows are kinds, columns are states. What the table cannot know is in `connection`.
#[rustfmt::skip]
const FROM_CLIENT: [[Transition; 9]; 5] = [
    //            SS  SR  ES  FW  CW  LA  TW  CL  S2
    /* SYN     */ [SS, IG, IG, IG, IG, IG, SS, SS, S2],
    /* SYN-ACK */ [IV, SR, IV, IV, IV, IV, IV, IV, SR],
    /* FIN     */ [IV, FW, FW, LA, LA, LA, TW, CL, IV],
    /* ACK     */ [IV, ES, ES, CW, CW, TW, TW, CL, IV],
    /* RST     */ [CL, CL, CL, CL, CL, CL, CL, CL, CL],
];

#[rustfmt::skip]
const FROM_SERVER: [[Transition; 9]; 5] = [
    //            SS  SR  ES  FW  CW  LA  TW  CL  S2
    /* SYN     */ [S2, IV, IV, IV, IV, IV, SS, IV, S2],
    /* SYN-ACK */ [SR, IG, IG, IG, IG, IG, IG, IG, SR],
    /* FIN     */ [IV, FW, FW, LA, LA, LA, TW, CL, IV],
    /* ACK     */ [IG, SR, ES, CW, CW, TW, TW, CL, IG],
    /* RST     */ [CL, CL, CL, CL, CL, CL, CL, CL, CL],
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_the_64_flag_combinations_nine_are_tcp() {
        let valid = (0..64).filter(|bits| Kind::of(Flags(*bits)).is_some()).count();
        // S SU SA R RA FA FAU A AU, each with PSH and without.
        assert_eq!(valid, 18);
    }

    #[test]
    fn ecn_bits_do_not_change_the_kind() {
        assert_eq!(Kind::of(Flags::SYN | Flags::ECE | Flags::CWR), Some(Kind::Syn));
        assert_eq!(Kind::of(Flags::SYN | Flags::ACK | Flags::ECE), Some(Kind::SynAck));
    }

    #[test]
    fn fin_alone_xmas_and_null_are_refused() {
        for flags in [Flags::FIN, Flags::FIN | Flags::PSH | Flags::URG, Flags::default()] {
            assert_eq!(Kind::of(flags), None);
        }
    }

    #[test]
    fn either_side_may_close_first() {
        for from_client in [true, false] {
            assert_eq!(transition(from_client, Kind::Fin, State::Established), FW);
            assert_eq!(transition(!from_client, Kind::Fin, State::FinWait), LA);
            assert_eq!(transition(from_client, Kind::Ack, State::LastAck), TW);
        }
    }
}
