//! What is told of a flow as a whole.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::ops::AddAssign;
use std::time::Duration;

use vtap_packet::{Mac, Protocol, Timestamp, Tunnel};

use crate::event::{MAX_TAPS, Side};
use crate::key::End;
use crate::letters::{self, Letter};
use crate::state::State;

/// A flow, at its end or on its way: who talked to whom, how much, and how it went.
///
/// Told of TCP and of every other IP protocol. Client and server are what the flow has shown them
/// to be: the sender of the SYN, or whoever was seen first. Once told, they stay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Why it is told now.
    pub phase: Phase,
    /// 1-based number of the packet that began it, which no other flow of the run has.
    pub packet: u64,
    /// The IP protocol.
    pub protocol: Protocol,
    /// Port 0 where the protocol has none.
    pub client: SocketAddr,
    /// As for the client.
    pub server: SocketAddr,
    /// The envelope of the packet that began it; `None` if that was not mirrored.
    pub tunnel: Option<Tunnel>,
    /// The taps that have shown packets of it, in the order they did; [`MAX_TAPS`] are remembered.
    pub taps: [Option<IpAddr>; MAX_TAPS],
    /// Time of the first packet.
    pub start: Timestamp,
    /// Time of the last packet so far.
    pub end: Timestamp,
    /// Packet time at which this is told, which may be long after the last packet. A flow of which
    /// nothing more was heard is told to have ended when its time was over, though that is noticed
    /// with the next packet of any flow.
    pub told: Timestamp,
    /// What the client sent.
    pub to_server: Half,
    /// What the server sent.
    pub to_client: Half,
    /// With TCP: how the connection went.
    pub tcp: Option<Tcp>,
    /// What it came to, in Zeek's words.
    pub conn_state: ConnState,
    /// What was seen, in order, in Zeek's letters.
    pub history: History,
    /// It was open before the capture, before a gap of the mirror, or before a silence that ended
    /// the record it had.
    pub midstream: bool,
    /// Whose packets are not seen, where that was proven.
    pub missing: Option<Side>,
    /// Seen on its way out alone, after its source was translated: the address behind it is that
    /// of the tap.
    pub egress_only: bool,
}

/// Why a [`Record`] is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// It has begun, [some seconds](crate::limits::BEGIN) ago. Nothing is counted in `since`; not
    /// told of a flow that ends before.
    Begin,
    /// It goes on, [five minutes](crate::limits::CONTINUE) after it was last told.
    Continue,
    /// It is over.
    End(Ending),
}

/// Why a flow is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Ending {
    /// Both sides have sent a FIN, or one has and the other kept silent.
    Fin,
    /// It was reset.
    Rst,
    /// Nothing was heard of it for as long as its state allows.
    Timeout,
    /// It had to make room for another: the table is full.
    Cap,
    /// Another connection with the same addresses and ports has begun in its place.
    Reuse,
    /// The capture has ended.
    CaptureEnd,
}

impl Ending {
    /// Every one.
    pub const ALL: [Self; 6] =
        [Self::Fin, Self::Rst, Self::Timeout, Self::Cap, Self::Reuse, Self::CaptureEnd];

    /// The name in every output format.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fin => "fin",
            Self::Rst => "rst",
            Self::Timeout => "timeout",
            Self::Cap => "cap",
            Self::Reuse => "reuse",
            Self::CaptureEnd => "capture-end",
        }
    }
}

/// One direction of a flow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Half {
    /// All that was seen.
    pub total: Traffic,
    /// Of it, what no earlier record of this flow has told: these add up to the total.
    pub since: Traffic,
    /// Segments whose bytes, SYN or FIN this side had sent before, or had sent beyond: repeated,
    /// or overtaken on their way. Not a last byte alone, which probes a closed window or keeps the
    /// connection alive.
    pub retransmissions: u32,
    /// TCP flags seen, all of them together: FIN 1, SYN 2, RST 4, PSH 8, ACK 16, URG 32, ECE 64,
    /// CWR 128 (RFC 9293 section 3.1).
    pub flags: u8,
    /// Link addresses of its first packet, and the tap that has shown it; `None` where frames have
    /// none.
    pub link: Option<Link>,
}

/// Packets, and how long they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// IP packets, fragments each by itself; of a datagram that never was whole, those of every tap
    /// that has shown it.
    pub packets: u64,
    /// Bytes of IP packets, headers included.
    pub bytes: u64,
    /// Bytes that TCP, UDP or SCTP carry; of any other protocol, what IP carries.
    pub payload: u64,
}

impl Traffic {
    /// What is left when an earlier count of the same is taken off.
    pub(crate) const fn beyond(self, earlier: Self) -> Self {
        Self {
            packets: self.packets - earlier.packets,
            bytes: self.bytes - earlier.bytes,
            payload: self.payload - earlier.payload,
        }
    }
}

impl AddAssign for Traffic {
    fn add_assign(&mut self, other: Self) {
        self.packets += other.packets;
        self.bytes += other.bytes;
        self.payload += other.payload;
    }
}

/// From which network card to which.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// The card, or the router, that sent the frame.
    pub src: Mac,
    /// The card, or the router, that it was sent to.
    pub dst: Mac,
    /// By whom it was seen; `None` if it was not mirrored.
    pub tap: Option<IpAddr>,
}

/// How a connection went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tcp {
    /// State when it was last seen; `None` where there was no connection, or none any more: a SYN
    /// that was answered by a reset.
    pub state: Option<State>,
    /// From the SYN to the ACK that completes the handshake, where both were seen.
    pub handshake: Option<Duration>,
    /// From the SYN to the SYN-ACK that answers it, where both were seen.
    pub syn_ack: Option<Duration>,
    /// Segments refused as INVALID.
    pub invalid: u32,
}

/// What a connection came to, in the words of Zeek's `conn_state`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ConnState {
    /// A SYN, and no answer.
    S0,
    /// Established, and not ended.
    S1,
    /// Established, and ended by both sides.
    SF,
    /// The SYN was answered by a reset.
    Rej,
    /// Established; the client has ended its half.
    S2,
    /// Established; the server has ended its half.
    S3,
    /// Established, and reset by the client.
    RstO,
    /// Reset by the server.
    RstR,
    /// A SYN and then a reset of the client; no SYN-ACK.
    RstOs0,
    /// A SYN-ACK and then a reset of the server; no SYN.
    RstRh,
    /// A SYN and then a FIN of the client; no SYN-ACK.
    Sh,
    /// A SYN-ACK and then a FIN of the server; no SYN.
    Shr,
    /// No SYN: traffic in mid-stream.
    Oth,
}

impl ConnState {
    /// The name, as Zeek writes it. Of UDP and other protocols Zeek says `S0` (one way), `SF` (both
    /// ways) or `SHR` (of the server alone).
    pub const fn name(self) -> &'static str {
        match self {
            Self::S0 => "S0",
            Self::S1 => "S1",
            Self::SF => "SF",
            Self::Rej => "REJ",
            Self::S2 => "S2",
            Self::S3 => "S3",
            Self::RstO => "RSTO",
            Self::RstR => "RSTR",
            Self::RstOs0 => "RSTOS0",
            Self::RstRh => "RSTRH",
            Self::Sh => "SH",
            Self::Shr => "SHR",
            Self::Oth => "OTH",
        }
    }
}

/// What was seen of a flow, a letter each, upper case for the client: `S` SYN, `H` SYN-ACK, `A`
/// ACK, `D` data, `F` FIN, `R` RST, `T` a retransmission, `C` a bad checksum, `W` a closed window,
/// `I` an INVALID segment for another reason. Each stands once for each side, where it came first.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct History {
    letters: [u8; Self::LETTERS],
    len: u8,
}

impl History {
    /// At most.
    pub const LETTERS: usize = 20;

    /// The letters.
    pub fn as_str(&self) -> &str {
        let letters = self.letters.get(..usize::from(self.len)).unwrap_or_default();
        str::from_utf8(letters).unwrap_or_default()
    }

    /// What was written in two places, where only the last may have room left.
    pub(crate) fn of(written: [&[Letter]; 2], client: End) -> Self {
        let (mut letters, mut len) = ([0; Self::LETTERS], 0);
        let mut room = letters.as_mut_slice();
        for written in written {
            let text = room.split_off_mut(..written.len()).unwrap_or_default();
            len += letters::show(written, client, text);
        }
        Self { letters, len }
    }

    /// Adds a letter; what is beyond [`LETTERS`](Self::LETTERS) is left out.
    pub fn push(&mut self, letter: u8) {
        if let Some(place) = self.letters.get_mut(usize::from(self.len)) {
            *place = letter;
            self.len += 1;
        }
    }
}

impl fmt::Debug for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_str().fmt(f)
    }
}
