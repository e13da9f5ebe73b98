//! Both ends of a connection, from one segment to the next (RFC 9293).
//!
//! The mirror sees segments in the order in which they are sent and answered, so each one
//! acknowledges everything that came before it.

use vtap_packet::Seq;
use vtap_packet::tcp::Flags;

use crate::config::{Config, Size};
use crate::random::{Random, Share};

/// SYN, SYN-ACK, ACK; FIN, FIN with the ACK of the first, ACK.
pub(crate) const CONTROL_SEGMENTS: u32 = 6;

/// Bytes of data in a full segment: 1,500 of the link less both headers.
pub(crate) const MSS: u16 = 1460;

/// As it stands in the SYN, never scaled.
const SYN_WINDOW: u16 = 64_240;
/// As it stands in every other segment: 64,256 bytes, so the right edge never moves back.
const WINDOW: u16 = 502;
const WINDOW_BYTES: u32 = (WINDOW as u32) << WINDOW_SCALE;
const WINDOW_SCALE: u8 = 7;

/// MSS, SACK permitted, window scale.
pub(crate) const SYN_OPTIONS: [u8; 12] = {
    let [mss_hi, mss_lo] = MSS.to_be_bytes();
    [2, 4, mss_hi, mss_lo, 4, 2, 1, 3, 3, WINDOW_SCALE, 1, 1]
};

/// Bytes of data in a segment of middle length: from here on, and fewer than so many more.
const MIDDLE: (u16, u32) = (300, 431);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Client,
    Server,
}

/// What is sent next.
#[derive(Clone, Copy, Debug)]
enum Step {
    Syn,
    SynAck,
    HandshakeAck,
    /// Data or an ACK of either side, or the first FIN.
    Open,
    /// The FIN of this side, which acknowledges the other's.
    FinAck(Side),
    /// The ACK of this side for the other's FIN.
    LastAck(Side),
    Closed,
}

/// One side: what it sends next, and what it has acknowledged of its peer.
#[derive(Clone, Copy, Debug)]
struct Half {
    next: Seq,
    acked: Seq,
}

/// A connection in a slot.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Connection {
    pub(crate) number: u64,
    client: Half,
    server: Half,
    step: Step,
}

/// What connections have in common.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Habits {
    size: Size,
    /// Share of the packets of an open connection that are the first FIN.
    close: Share,
}

/// What goes on the wire, and whose it is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Segment {
    pub(crate) side: Side,
    pub(crate) flags: Flags,
    pub(crate) seq: Seq,
    pub(crate) ack: Seq,
    pub(crate) window: u16,
    pub(crate) len: u16,
}

impl Habits {
    /// How long a connection is, is decided packet by packet, so openings spread evenly instead
    /// of coming in waves.
    pub(crate) fn of(config: &Config) -> Self {
        let opening = f64::from(CONTROL_SEGMENTS - 1);
        let close = config.packets_per_connection().map_or(0.0, |mean| 1.0 / (mean - opening));
        Self { size: config.size, close: Share::of(close) }
    }
}

impl Connection {
    /// Not open yet.
    pub(crate) fn new(number: u64, random: &mut Random) -> Self {
        let mut half = || Half { next: Seq(random.draw()), acked: Seq(0) };
        Self { number, client: half(), server: half(), step: Step::Syn }
    }

    pub(crate) const fn is_new(&self) -> bool {
        matches!(self.step, Step::Syn)
    }

    pub(crate) const fn is_closed(&self) -> bool {
        matches!(self.step, Step::Closed)
    }

    /// The segment that is sent next.
    pub(crate) fn segment(&mut self, habits: &Habits, random: &mut Random) -> Segment {
        let (side, flags, len, step) = match self.step {
            Step::Syn => (Side::Client, Flags::SYN, 0, Step::SynAck),
            Step::SynAck => (Side::Server, Flags::SYN | Flags::ACK, 0, Step::HandshakeAck),
            Step::HandshakeAck => (Side::Client, Flags::ACK, 0, Step::Open),
            Step::Open if random.hits(habits.close) => {
                let side = either(random);
                (side, Flags::FIN | Flags::ACK, 0, Step::FinAck(side.peer()))
            }
            Step::Open => {
                let (side, len) = self.transfer(habits.size, random);
                let flags = if len == 0 { Flags::ACK } else { Flags::PSH | Flags::ACK };
                (side, flags, len, Step::Open)
            }
            Step::FinAck(side) => (side, Flags::FIN | Flags::ACK, 0, Step::LastAck(side.peer())),
            Step::LastAck(side) => (side, Flags::ACK, 0, Step::Closed),
            Step::Closed => (Side::Client, Flags::ACK, 0, Step::Closed),
        };
        self.step = step;
        self.send(side, flags, len)
    }

    /// Who sends how many bytes; none is an ACK.
    fn transfer(&self, size: Size, random: &mut Random) -> (Side, u16) {
        let len = length(size, random);
        if len > 0 {
            // Most data are answers.
            let side = if random.below(4) == 0 { Side::Client } else { Side::Server };
            let (sender, receiver) = self.halves(side);
            let in_flight = sender.next - receiver.acked;
            // One number stays free for a FIN.
            if in_flight + u32::from(len) < WINDOW_BYTES {
                return (side, len);
            }
            return (side.peer(), 0);
        }
        let owes = |half: &Half, peer: &Half| half.acked != peer.next;
        let side = match (owes(&self.client, &self.server), owes(&self.server, &self.client)) {
            (true, false) => Side::Client,
            (false, true) => Side::Server,
            _ => either(random),
        };
        (side, 0)
    }

    fn send(&mut self, side: Side, flags: Flags, len: u16) -> Segment {
        let (mut sender, receiver) = self.halves(side);
        let seq = sender.next;
        let controls = u32::from(flags.any(Flags::SYN)) + u32::from(flags.any(Flags::FIN));
        sender.next = seq + u32::from(len) + controls;
        let mut ack = Seq(0);
        if flags.any(Flags::ACK) {
            ack = receiver.next;
            sender.acked = ack;
        }
        match side {
            Side::Client => self.client = sender,
            Side::Server => self.server = sender,
        }
        let window = if flags.any(Flags::SYN) { SYN_WINDOW } else { WINDOW };
        Segment { side, flags, seq, ack, window, len }
    }

    /// The sender and the receiver of what this side sends.
    const fn halves(&self, side: Side) -> (Half, Half) {
        match side {
            Side::Client => (self.client, self.server),
            Side::Server => (self.server, self.client),
        }
    }
}

impl Side {
    const fn peer(self) -> Self {
        match self {
            Self::Client => Self::Server,
            Self::Server => Self::Client,
        }
    }
}

fn either(random: &mut Random) -> Side {
    if random.below(2) == 0 { Side::Client } else { Side::Server }
}

/// Bytes of data in a packet of an open connection.
fn length(size: Size, random: &mut Random) -> u16 {
    let some = |random: &mut Random, (least, spread): (u16, u32)| {
        least.saturating_add(u16::try_from(random.below(spread)).unwrap_or_default())
    };
    match size {
        Size::Small if random.below(16) == 0 => some(random, (1, 32)),
        Size::Small => 0,
        Size::Mix => match random.below(1000) {
            0..127 => MSS,
            127..347 => some(random, MIDDLE),
            _ => 0,
        },
        Size::Large if random.below(9) == 0 => 0,
        Size::Large => MSS,
    }
}
