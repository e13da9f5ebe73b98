//! What is asked for.

use crate::connection::CONTROL_SEGMENTS;

/// What a capture is to hold.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Config {
    /// How long packets are.
    pub size: Size,
    /// Packets in the capture.
    pub packets: u64,
    /// Connections open at any time. Each packet is of one chosen at random.
    pub flows: u32,
    /// Packets a second of packet time, lost ones included: they are `1e9 / rate` ns apart.
    pub rate: u32,
    /// Connections opened a second of packet time, in the mean: packets of a connection are
    /// `rate` divided by this. 0: connections stay open. `None`: they have
    /// [`PACKETS_PER_CONNECTION`](Self::PACKETS_PER_CONNECTION).
    ///
    /// The mean shows in captures that are long enough for connections to end, at the least
    /// `flows` times the packets of one.
    pub connections_per_second: Option<u32>,
    /// Share of the packets that the mirror loses: the connection goes on, the capture lacks
    /// them. From 0 up to, but not including, 1.
    pub loss: f64,
    /// Equal configs give equal bytes; another seed gives other ones.
    pub seed: u64,
}

impl Config {
    /// Mean packets of a connection where no rate of connections is asked for.
    pub const PACKETS_PER_CONNECTION: u32 = 100;

    /// Mean packets of a connection; `None` where connections stay open.
    pub fn packets_per_connection(&self) -> Option<f64> {
        match self.connections_per_second {
            None => Some(Self::PACKETS_PER_CONNECTION.into()),
            Some(0) => None,
            Some(connections) => Some(f64::from(self.rate) / f64::from(connections)),
        }
    }

    pub(crate) fn validate(&self) -> Result<(), ConfigError> {
        if self.flows == 0 {
            return Err(ConfigError::NoFlows);
        }
        if self.rate == 0 || self.rate > NANOS {
            return Err(ConfigError::Rate(self.rate));
        }
        if !(0.0..1.0).contains(&self.loss) {
            return Err(ConfigError::Loss(self.loss));
        }
        match self.packets_per_connection() {
            Some(packets) if packets <= f64::from(CONTROL_SEGMENTS) => {
                Err(ConfigError::Connections {
                    connections: self.connections_per_second.unwrap_or_default(),
                    rate: self.rate,
                    most: self.rate / (CONTROL_SEGMENTS + 1),
                })
            }
            _ => Ok(()),
        }
    }
}

/// A million packets of the mix, of 20,000 connections open at a time, nothing lost.
impl Default for Config {
    fn default() -> Self {
        Self {
            size: Size::Mix,
            packets: 1_000_000,
            flows: 20_000,
            rate: 1_000_000,
            connections_per_second: None,
            loss: 0.0,
            seed: 1,
        }
    }
}

/// How long packets are. Lengths are those of the mirrored frame, its envelope of 50 bytes
/// included; an empty ACK has 104.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// Empty ACKs, and a few bytes of data in one packet of 16.
    Small,
    /// Empty ACKs, some 600 bytes, and full segments of 1,564 bytes: 384 in the mean.
    Mix,
    /// Full segments, and an ACK for eight of them.
    Large,
}

impl Size {
    /// Every size.
    pub const ALL: [Self; 3] = [Self::Small, Self::Mix, Self::Large];

    /// As it is called.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Small => "small",
            Self::Mix => "mix",
            Self::Large => "large",
        }
    }

    /// Mean length of a packet in bytes, where connections have 100 packets.
    pub const fn mean_len(self) -> u32 {
        match self {
            Self::Small => 105,
            Self::Mix => 384,
            Self::Large => 1322,
        }
    }
}

/// Why there is no such capture.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum ConfigError {
    /// Without flows nothing can be sent.
    #[error("a capture needs at least one flow")]
    NoFlows,
    /// Packets would be infinitely far apart, or less than a nanosecond.
    #[error("{0} packets a second: from 1 to {NANOS}")]
    Rate(u32),
    /// A share below 0, of all packets, or no number.
    #[error("a loss of {:.1} %: from 0 to below 100", .0 * 100.0)]
    Loss(f64),
    /// Connections would have fewer packets than a handshake and a close.
    #[error(
        "{connections} connections a second at {rate} packets a second: \
         each has more than {CONTROL_SEGMENTS} packets, so {most} at most"
    )]
    Connections {
        /// Asked for.
        connections: u32,
        /// Packets a second.
        rate: u32,
        /// Connections a second that this rate allows.
        most: u32,
    },
}

const NANOS: u32 = 1_000_000_000;
