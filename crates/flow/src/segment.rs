//! What the tracker reads of a TCP segment.

use vtap_packet::Seq;
use vtap_packet::tcp::{Flags, Tcp};
use vtap_packet::tcp_options::{TcpOption, TcpOptions};

use crate::limits;
use crate::state::Kind;

/// A segment whose header is whole and whose flags TCP could send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Segment {
    pub(crate) kind: Kind,
    pub(crate) flags: Flags,
    pub(crate) seq: Seq,
    pub(crate) ack: Seq,
    /// As it stands in the header, not scaled.
    pub(crate) window: u16,
    /// The number just behind the segment; SYN and FIN take one each.
    pub(crate) end: Seq,
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
    /// `len` is the payload on the wire, in bytes.
    #[inline(always)]
    pub(crate) fn new(kind: Kind, tcp: Tcp<'_>, len: u32) -> Self {
        let options = Options::of(&tcp);
        Self {
            kind,
            flags: tcp.flags,
            seq: tcp.seq,
            ack: tcp.ack,
            window: tcp.window,
            end: tcp.seq
                + len
                + u32::from(tcp.flags.any(Flags::SYN))
                + u32::from(tcp.flags.any(Flags::FIN)),
            sack: options.sack,
            scale: options.scale,
            sack_permitted: options.sack_permitted,
            has_options: tcp.header_len > Tcp::HEADER_LEN,
            options_cut: tcp.header_len > Tcp::HEADER_LEN + tcp.options.len(),
        }
    }

    /// The acknowledgment in it: what opens a connection in mid-stream, whatever else it says.
    pub(crate) fn as_ack(&self) -> Self {
        Self { kind: Kind::Ack, flags: Flags::ACK, end: self.seq, ..*self }
    }

    pub(crate) fn has_ack(&self) -> bool {
        self.flags.any(Flags::ACK)
    }

    /// A SYN, with ACK or without.
    pub(crate) fn is_syn(&self) -> bool {
        self.flags.any(Flags::SYN)
    }
}

/// What the options say.
#[derive(Clone, Copy)]
struct Options {
    sack: Seq,
    scale: Option<u8>,
    sack_permitted: bool,
}

impl Options {
    #[inline(always)]
    fn of(tcp: &Tcp<'_>) -> Self {
        // Nearly every segment has a timestamp and nothing else: NOP, NOP, kind 8, length 10.
        if tcp.options.is_empty() || matches!(tcp.options, [1, 1, 8, 10, _, _, _, _, _, _, _, _]) {
            return Self { sack: tcp.ack, scale: None, sack_permitted: false };
        }
        Self::read(tcp.ack, tcp.options)
    }

    #[inline(never)]
    fn read(ack: Seq, options: &[u8]) -> Self {
        let mut read = Self { sack: ack, scale: None, sack_permitted: false };
        for option in TcpOptions::new(options) {
            match option {
                TcpOption::WindowScale(shift) => {
                    read.scale = Some(shift.min(limits::MAX_WINDOW_SCALE));
                }
                TcpOption::SackPermitted => read.sack_permitted = true,
                TcpOption::Sack(blocks) => {
                    read.sack = blocks.right_edges().fold(read.sack, Seq::max);
                }
                TcpOption::Other(..) => {}
            }
        }
        read
    }
}
