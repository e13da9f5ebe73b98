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
        let mut segment = Self::without_options(kind, &tcp, len);
        segment.take_options(&tcp);
        segment
    }

    /// As [`new`](Self::new), as far as that goes before [`take_options`](Self::take_options).
    #[inline(always)]
    pub(crate) fn without_options(kind: Kind, tcp: &Tcp<'_>, len: u32) -> Self {
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
            sack: tcp.ack,
            scale: None,
            sack_permitted: false,
            has_options: tcp.header_len > Tcp::HEADER_LEN,
            options_cut: tcp.header_len > Tcp::HEADER_LEN + tcp.options.len(),
        }
    }

    /// Takes what the options say.
    #[inline(always)]
    pub(crate) fn take_options(&mut self, tcp: &Tcp<'_>) {
        // Nearly every segment has a timestamp and nothing else: NOP, NOP, kind 8, length 10.
        let plain =
            tcp.options.is_empty() || matches!(tcp.options, [1, 1, 8, 10, _, _, _, _, _, _, _, _]);
        if !plain {
            self.take_each_option(tcp.options);
        }
    }

    #[inline(never)]
    fn take_each_option(&mut self, options: &[u8]) {
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
