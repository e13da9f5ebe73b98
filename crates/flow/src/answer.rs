//! Names that the traffic itself gives to addresses.

use std::net::IpAddr;

use vtap_packet::Timestamp;

/// What one DNS response says: a name and the addresses behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Time of the response.
    pub time: Timestamp,
    /// The name that was asked for, without the last dot, in lower case.
    pub name: Box<str>,
    /// The canonical names on the way from that name to the addresses (CNAME), in order.
    pub aliases: Vec<Box<str>>,
    /// The addresses, and how long each holds, in seconds (TTL).
    pub addresses: Vec<(IpAddr, u32)>,
}

impl Answer {
    /// Reads the payload of a UDP packet; `None` for all but a response with addresses.
    pub fn read(_time: Timestamp, _payload: &[u8]) -> Option<Self> {
        None
    }
}
