//! Packets as they come: the live sources.
//!
//! | `--source` | what it is | what it needs |
//! |---|---|---|
//! | `pcap` | [`Pcap`]: libpcap, whose ring lends its slots | `CAP_NET_RAW` |
//! | `ring` | [`Ring`]: our own ring of the kernel's, shared out among threads by flow | `CAP_NET_RAW` |
//! | `udp` | [`Udp`]: sockets bound to the VXLAN ports | nothing; the kernel reassembles, the outer headers are made again |
//!
//! All are a [`Live`]: it calls back with each packet, as a ring lends a slot for no longer than
//! a call, and comes back when nothing is there, so that the caller can look at the clock. Whichever
//! is used, [`hold`] keeps the ports bound, or the kernel answers every mirrored packet.

use std::fmt;
use std::io;
use std::str::FromStr;
use std::time::Duration;

use vtap_packet::{LinkType, Packet};

use crate::{Error, Filter, Interface};

mod expression;
pub mod hold;
mod pcap;
pub mod ring;
mod sockets;
mod udp;
mod wait;

pub use hold::Hold;
pub use pcap::Pcap;
pub use ring::Ring;
pub use udp::Udp;

/// A live source: hands over packets as they come.
pub trait Live {
    /// Waits until packets are there or `wait` has passed, then hands over those that are there,
    /// and returns how many. Under load it comes back after a batch. Each packet is on loan for
    /// its call of `take`; numbers go on from call to call, from 1.
    ///
    /// # Errors
    ///
    /// The source can deliver no more: its interface was removed, for instance. An interface that
    /// is down delivers nothing until it is up again, which is no error.
    fn poll(&mut self, wait: Duration, take: impl FnMut(Packet<'_>)) -> Result<usize, Error>;

    /// What the kernel counted since the source was opened.
    ///
    /// # Errors
    ///
    /// The kernel does not tell.
    fn counters(&mut self) -> Result<Counters, Error>;

    /// The interface that [`Packet::interface`] names.
    fn interface(&self, id: u32) -> Option<&Interface>;
}

/// What the kernel counted for a live source.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Packets that passed the filter, those dropped included.
    pub received: u64,
    /// Of these, dropped because the ring or the socket's buffer was full.
    pub dropped: u64,
    /// Times that the ring was full and stood still; 0 for other sources.
    pub freezes: u64,
    /// Packets that the interface itself dropped, in the words of libpcap; 0 for other sources.
    pub interface_dropped: u64,
}

impl std::ops::AddAssign for Counters {
    fn add_assign(&mut self, other: Self) {
        self.received += other.received;
        self.dropped += other.dropped;
        self.freezes += other.freezes;
        self.interface_dropped += other.interface_dropped;
    }
}

/// Which source.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kind {
    /// libpcap.
    #[default]
    Pcap,
    /// The ring.
    Ring,
    /// UDP sockets.
    Udp,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Pcap => "pcap",
            Self::Ring => "ring",
            Self::Udp => "udp",
        })
    }
}

/// By the names that [`Display`](fmt::Display) gives.
impl FromStr for Kind {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let all = [Self::Pcap, Self::Ring, Self::Udp];
        let named = all.into_iter().find(|kind| kind.to_string() == name);
        named.ok_or_else(|| format!("no such source: `{name}`; there are pcap, ring and udp"))
    }
}

/// What to open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Which source.
    pub kind: Kind,
    /// Names of interfaces, or `any`, which is also what no name means. The sockets of
    /// [`Kind::Udp`] take what comes by any, or by the one that is named.
    pub interfaces: Vec<String>,
    /// UDP ports that carry VXLAN.
    pub ports: Vec<u16>,
    /// A BPF expression that packets have to match, compiled into the kernel's filter.
    pub filter: Option<String>,
    /// Whether packets that are not mirrored are taken as well.
    pub plain: bool,
    /// Bytes of the ring, or of each socket's buffer.
    pub buffer: usize,
    /// Most bytes taken of a packet.
    pub snaplen: u32,
    /// Whether interfaces are made to receive frames for other addresses.
    pub promiscuous: bool,
    /// Sources among which packets are shared out, each for a thread of its own: more than one of
    /// [`Kind::Ring`] only.
    pub threads: usize,
}

impl Config {
    /// The interfaces to take packets from; none for all.
    fn named(&self) -> &[String] {
        let any = self.interfaces.iter().all(|name| name == "any");
        if any { &[] } else { &self.interfaces }
    }
}

impl Default for Config {
    /// 64 MiB, whole packets, as mirrored to UDP 4789 and 4790.
    fn default() -> Self {
        Self {
            kind: Kind::default(),
            interfaces: Vec::new(),
            ports: vec![4789, 4790],
            filter: None,
            plain: false,
            buffer: 64 << 20,
            snaplen: 262_144,
            promiscuous: false,
            threads: 1,
        }
    }
}

/// Opens a source, or the several that share its packets out: as many as [`Config::threads`] says.
///
/// # Errors
///
/// What is missing: an interface, a capability, a port that is not taken; or several threads for a
/// source that has one.
pub fn open(config: &Config) -> Result<Vec<Opened>, Error> {
    if config.threads > 1 && config.kind != Kind::Ring {
        return Err(Error::live(
            format!("source {}", config.kind),
            "share packets out among threads",
            io::ErrorKind::Unsupported,
            "use --source ring, or one thread",
        ));
    }
    if let Some(filter) = &config.filter {
        // A syntax error is told first, whatever else is missing.
        Filter::compile(filter, LinkType::ETHERNET)?;
    }
    Ok(match config.kind {
        Kind::Pcap => vec![Opened::Pcap(Pcap::open(config)?)],
        Kind::Ring => {
            let options = ring::Options { members: config.threads, ..ring::Options::default() };
            Ring::open_all(config, &options)?.into_iter().map(Opened::Ring).collect()
        }
        Kind::Udp => vec![Opened::Udp(Udp::open(config)?)],
    })
}

/// A source chosen at run time.
#[derive(Debug)]
pub enum Opened {
    /// See [`Pcap`].
    Pcap(Pcap),
    /// See [`Ring`].
    Ring(Ring),
    /// See [`Udp`].
    Udp(Udp),
}

impl Live for Opened {
    fn poll(&mut self, wait: Duration, take: impl FnMut(Packet<'_>)) -> Result<usize, Error> {
        match self {
            Self::Pcap(source) => source.poll(wait, take),
            Self::Ring(source) => source.poll(wait, take),
            Self::Udp(source) => source.poll(wait, take),
        }
    }

    fn counters(&mut self) -> Result<Counters, Error> {
        match self {
            Self::Pcap(source) => source.counters(),
            Self::Ring(source) => source.counters(),
            Self::Udp(source) => source.counters(),
        }
    }

    fn interface(&self, id: u32) -> Option<&Interface> {
        match self {
            Self::Pcap(source) => source.interface(id),
            Self::Ring(source) => source.interface(id),
            Self::Udp(source) => source.interface(id),
        }
    }
}
