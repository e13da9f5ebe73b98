//! What the tracker reads of a TCP segment.

use vtap_packet::Seq;
use vtap_packet::tcp::{Flags, Tcp};
use vtap_packet::tcp_options::{TcpOption, TcpOptions};

use crate::limits;
use crate::state::Kind;

/// A segment whose header is whole and whose flags TCP could send.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Segment {
    pub(crate) kind: Kind,
    pub(crate) flags: Flags,
    pub(crate) seq: Seq,
    pub(crate) ack: Seq,
    /// As it stands in the header, not scaled.
    pub(crate) window: u16,
    /// Payload on the wire, in bytes.
    pub(crate) len: u32,
    /// The highest right edge of the SACK blocks, where that lies above `ack`; else `ack`.
    pub(crate) sack: Seq,
    /// Window scale option, limited to 14.
    pub(crate) scale: Option<u8>,
    pub(crate) sack_permitted: bool,
    /// Whether there are options at all.
    pub(crate) has_options: bool,
    /// The capture kept only some of them.
    pub(crate) options_cut: bool,
}

impl Segment {
    pub(crate) fn new(kind: Kind, tcp: &Tcp<'_>, len: u32) -> Self {
        let mut segment = Self {
            kind,
            flags: tcp.flags,
            seq: tcp.seq,
            ack: tcp.ack,
            window: tcp.window,
            len,
            sack: tcp.ack,
            scale: None,
            sack_permitted: false,
            has_options: tcp.header_len > Tcp::HEADER_LEN,
            options_cut: tcp.header_len > Tcp::HEADER_LEN + tcp.options.len(),
        };
        segment.read_options(tcp.options);
        segment
    }

    fn read_options(&mut self, options: &[u8]) {
        // Nearly every segment has a timestamp and nothing else: NOP, NOP, kind 8, length 10.
        if matches!(options, [] | [1, 1, 8, 10, _, _, _, _, _, _, _, _]) {
            return;
        }
        for option in TcpOptions::new(options) {
            match option {
                TcpOption::WindowScale(shift) => {
                    self.scale = Some(shift.min(limits::MAX_WINDOW_SCALE));
                }
                TcpOption::SackPermitted => self.sack_permitted = true,
                TcpOption::Sack(blocks) => {
                    self.sack = blocks.right_edges().fold(self.sack, Seq::max);
                }
                TcpOption::Other(..) => {}
            }
        }
    }

    /// The number just behind the segment; SYN and FIN take one each.
    pub(crate) fn end(&self) -> Seq {
        self.seq
            + self.len
            + u32::from(self.flags.any(Flags::SYN))
            + u32::from(self.flags.any(Flags::FIN))
    }

    pub(crate) fn has_ack(&self) -> bool {
        self.flags.any(Flags::ACK)
    }

    /// A SYN, with ACK or without.
    pub(crate) fn is_syn(&self) -> bool {
        self.flags.any(Flags::SYN)
    }
}
