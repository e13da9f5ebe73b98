//! What the tracker makes of each packet.

use std::fmt;

use crate::{Reason, Skip, State};

/// What a packet is to its flow, in conntrack's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Of the client, and nothing of the server was accepted yet.
    New,
    /// Of the server, or of the client of a flow whose server was seen.
    Established,
    /// An ICMP error about a known flow.
    Related,
    /// Refused.
    Invalid(Reason),
    /// It does not fit, and may have overtaken what it waits for. What it is will be told by
    /// [`Tracker::settled`](crate::Tracker::settled).
    Held,
    /// Set aside: another tap, or another interface, has shown it before.
    Duplicate,
    /// Set aside: this tap has shown it before a router sent it on.
    Forwarded,
    /// Set aside: nothing of a flow could be read.
    Skipped(Skip),
}

impl Verdict {
    /// The name in every output format.
    pub const fn name(self) -> &'static str {
        match self {
            Self::New => "NEW",
            Self::Established => "ESTABLISHED",
            Self::Related => "RELATED",
            Self::Invalid(_) => "INVALID",
            Self::Held => "HELD",
            Self::Duplicate | Self::Forwarded | Self::Skipped(_) => "SKIPPED",
        }
    }

    /// Why it is INVALID or was skipped.
    pub const fn reason(self) -> Option<&'static str> {
        match self {
            Self::Invalid(reason) => Some(reason.name()),
            Self::Skipped(skip) => Some(skip.name()),
            Self::Duplicate => Some("duplicate"),
            Self::Forwarded => Some("forwarded"),
            _ => None,
        }
    }
}

/// What is odd about a packet that passed. conntrack logs these as well, without refusing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Note {
    /// It may belong to a connection that the observer does not know yet; nothing moved.
    Ignored,
    /// An ACK that answers a stray SYN, not the FIN it seems to answer (RFC 5961 section 4).
    ChallengeAck,
    /// It ends slightly beyond the window.
    Overshoot,
    /// It lies wholly below the window.
    SeqBelowWindow,
    /// It acknowledges far less than was sent.
    AckBelowWindow,
}

impl Note {
    /// The name in every output format.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ignored => "ignored",
            Self::ChallengeAck => "challenge-ack",
            Self::Overshoot => "overshoot",
            Self::SeqBelowWindow => "seq-below-window",
            Self::AckBelowWindow => "ack-below-window",
        }
    }

    /// The reason for which kernels up to 6.0, and so the `azure` profile, refuse such a packet.
    pub const fn refused_before_6_1(self) -> Option<Reason> {
        match self {
            Self::Ignored | Self::ChallengeAck => None,
            Self::Overshoot => Some(Reason::SeqAboveWindow),
            Self::SeqBelowWindow => Some(Reason::SeqBelowWindow),
            Self::AckBelowWindow => Some(Reason::AckBelowWindow),
        }
    }
}

/// State of the flow after a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StateAfter {
    /// There is no connection: not TCP, or none was ever opened.
    None,
    /// This packet ended the connection at once.
    Deleted,
    /// The connection is in this state.
    In(State),
}

impl StateAfter {
    /// The name in every output format.
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "NONE",
            Self::Deleted => "DELETED",
            Self::In(state) => state.name(),
        }
    }

    /// The state, where there is one.
    pub const fn state(self) -> Option<State> {
        match self {
            Self::In(state) => Some(state),
            Self::None | Self::Deleted => None,
        }
    }
}

impl From<Option<State>> for StateAfter {
    fn from(state: Option<State>) -> Self {
        state.map_or(Self::None, Self::In)
    }
}

impl fmt::Display for StateAfter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// All about one packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// What it is to its flow.
    pub verdict: Verdict,
    /// State of the flow afterwards.
    pub state: StateAfter,
    /// What is odd about it although it passed.
    pub note: Option<Note>,
}

impl Outcome {
    pub(crate) const fn new(verdict: Verdict, state: StateAfter) -> Self {
        Self { verdict, state, note: None }
    }

    pub(crate) const fn skipped(skip: Skip) -> Self {
        Self::new(Verdict::Skipped(skip), StateAfter::None)
    }
}
