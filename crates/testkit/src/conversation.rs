//! A TCP connection that speaks right, segment by segment.

use std::net::SocketAddr;

use vtap_packet::tcp::Flags;

use crate::TcpFrame;

/// Both ends of a connection. Each method gives the frame that goes out next and moves the
/// numbers; acknowledgments are always for everything the other end has sent.
#[derive(Clone, Debug)]
pub struct Conversation {
    client: SocketAddr,
    server: SocketAddr,
    /// Next sequence number of client and server.
    next: [u32; 2],
}

/// MSS 1460, SACK permitted, window scale 7.
const SYN_OPTIONS: [u8; 12] = [2, 4, 5, 0xb4, 4, 2, 1, 3, 3, 7, 1, 1];

impl Conversation {
    /// Not open yet; `isn` is the client's first number, the server's is half the circle away.
    ///
    /// # Panics
    ///
    /// On addresses that are none.
    pub fn new(client: &str, server: &str, isn: u32) -> Self {
        let (client, server) = (client.parse().expect("client"), server.parse().expect("server"));
        Self::between(client, server, isn)
    }

    /// As [`new`](Self::new).
    pub fn between(client: SocketAddr, server: SocketAddr, isn: u32) -> Self {
        Self { client, server, next: [isn, isn.wrapping_add(0x8000_0000)] }
    }

    /// SYN, SYN-ACK, ACK.
    pub fn handshake(&mut self) -> [TcpFrame; 3] {
        let syn = TcpFrame { ack: 0, ..self.from_client(Flags::SYN, 0).options(&SYN_OPTIONS) };
        let syn_ack = self.from_server(Flags::SYN | Flags::ACK, 0).options(&SYN_OPTIONS);
        [syn, syn_ack, self.from_client(Flags::ACK, 0)]
    }

    /// `len` bytes from the client.
    pub fn request(&mut self, len: usize) -> TcpFrame {
        self.from_client(Flags::PSH | Flags::ACK, len)
    }

    /// `len` bytes from the server.
    pub fn response(&mut self, len: usize) -> TcpFrame {
        self.from_server(Flags::PSH | Flags::ACK, len)
    }

    /// FIN of the client, ACK and FIN of the server, ACK of the client.
    pub fn close(&mut self) -> [TcpFrame; 4] {
        let fin_ack = Flags::FIN | Flags::ACK;
        [
            self.from_client(fin_ack, 0),
            self.from_server(Flags::ACK, 0),
            self.from_server(fin_ack, 0),
            self.from_client(Flags::ACK, 0),
        ]
    }

    /// Any segment of the client.
    pub fn from_client(&mut self, flags: Flags, len: usize) -> TcpFrame {
        self.segment(0, flags, len)
    }

    /// Any segment of the server.
    pub fn from_server(&mut self, flags: Flags, len: usize) -> TcpFrame {
        self.segment(1, flags, len)
    }

    fn segment(&mut self, sender: usize, flags: Flags, len: usize) -> TcpFrame {
        let (seq, ack) = (self.next[sender], self.next[1 - sender]);
        let takes =
            len as u32 + u32::from(flags.any(Flags::SYN)) + u32::from(flags.any(Flags::FIN));
        self.next[sender] = seq.wrapping_add(takes);
        let (src, dst) =
            if sender == 0 { (self.client, self.server) } else { (self.server, self.client) };
        TcpFrame { src, dst, flags, seq, ack, window: 64_240, options: Vec::new(), len }
    }
}
