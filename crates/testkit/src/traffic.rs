//! Many connections interleaved, from a seed: the same packets every time.

use std::net::{Ipv4Addr, SocketAddr};

use vtap_packet::tcp::Flags;

use crate::Conversation;

/// Frames of `flows` established connections, each packet of a connection chosen at random.
///
/// The handshakes of all flows come first, then `packets` data segments and acknowledgments of
/// `len` bytes of payload on average none in every other, so that state and windows keep moving.
pub fn established(flows: usize, packets: usize, len: usize, seed: u64) -> Vec<Vec<u8>> {
    let mut random = Random(seed | 1);
    let mut talks: Vec<_> = (0..flows).map(conversation).collect();
    let mut frames = Vec::with_capacity(flows * 3 + packets);
    for talk in &mut talks {
        frames.extend(talk.handshake().map(|frame| frame.build()));
    }
    for _ in 0..packets {
        let draw = random.draw();
        let talk = &mut talks[(draw >> 8) as usize % flows];
        let frame = match draw & 3 {
            0 => talk.from_client(Flags::ACK, 0),
            1 => talk.from_server(Flags::ACK, 0),
            2 => talk.request(len),
            _ => talk.response(len),
        };
        frames.push(frame.build());
    }
    frames
}

/// The handshakes of `flows` connections, and `packets` data segments that may be repeated in any
/// order for ever: each begins at the first byte of its side, so windows never move past it.
///
/// Flow, side and length (one of `lens`, in bytes of payload) of each are chosen at random.
///
/// # Panics
///
/// Without flows or lengths.
pub fn lasting(
    flows: usize,
    packets: usize,
    lens: &[usize],
    seed: u64,
) -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
    let mut random = Random(seed | 1);
    let mut talks: Vec<_> = (0..flows).map(conversation).collect();
    let opening =
        talks.iter_mut().flat_map(Conversation::handshake).map(|frame| frame.build()).collect();
    let data = (0..packets).map(|_| {
        let draw = random.draw();
        let mut talk = talks[(draw >> 16) as usize % flows].clone();
        let len = lens[(draw >> 1 & 0x7fff) as usize % lens.len()];
        let frame = if draw & 1 == 0 { talk.request(len) } else { talk.response(len) };
        frame.build()
    });
    (opening, data.collect())
}

/// Connection number `index`, with addresses and ports of its own.
pub fn conversation(index: usize) -> Conversation {
    let client = Ipv4Addr::from_bits(0x0a00_0000 + (index / 50_000) as u32 + 4);
    let port = 10_000 + (index % 50_000) as u16;
    let server = SocketAddr::new(Ipv4Addr::new(10, 200, 0, 6).into(), 443);
    Conversation::between(SocketAddr::new(client.into(), port), server, index as u32 * 7919)
}

/// xorshift64*: enough to interleave.
#[derive(Clone, Copy, Debug)]
pub struct Random(u64);

impl Random {
    /// The next number.
    pub fn draw(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }
}
