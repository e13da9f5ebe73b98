//! Spans of which a mirror shows nothing.

use std::net::IpAddr;

use vtap_packet::Timestamp;

/// A gap in what a tap shows. It is told when it is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    /// The tap, by the outer source address of its packets.
    pub tap: IpAddr,
    /// Time of its last packet before.
    pub start: Timestamp,
    /// Time of the first one after.
    pub end: Timestamp,
    /// What told.
    pub cause: Cause,
}

/// By what a gap is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The tap was silent for more than 5 s, after steady traffic.
    Silence,
    /// Many flows went on beyond their windows at once.
    Resumed,
}

impl Cause {
    /// The name in every output format.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Silence => "silence",
            Self::Resumed => "resumed",
        }
    }
}
