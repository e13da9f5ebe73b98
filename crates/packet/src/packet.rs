//! The one type that rides the belt.

use std::net::IpAddr;

use crate::{LinkType, Timestamp, Vni, link};

/// A packet on loan: bytes with a time.
///
/// Sources lend it, decapsulation narrows `data` to the customer's frame and fills in `tunnel`,
/// the flow tracker reads it. Nobody copies the bytes.
#[derive(Clone, Copy, Debug)]
pub struct Packet<'a> {
    /// 1-based position in the input, over all files of a merged run.
    pub number: u64,
    /// When it was captured.
    pub time: Timestamp,
    /// What the first byte of `data` belongs to.
    pub link: LinkType,
    /// Capture interface: the id in the pcapng file or in the merge of files, live the kernel's
    /// index. Once decapsulated, the [place](Self::place).
    pub interface: u32,
    /// Length of this frame on the wire, in bytes; at least `data.len()`.
    pub wire_len: u32,
    /// The frame, as much of it as was captured.
    pub data: &'a [u8],
    /// The envelope it came in; `None` until decapsulated, and for packets that are not mirrored.
    pub tunnel: Option<Tunnel>,
}

impl Packet<'_> {
    /// Whether the capture kept only the beginning of the frame (a snaplen).
    pub fn is_truncated(&self) -> bool {
        self.data.len() < self.wire_len as usize
    }

    /// Where it was captured: the capture interface and, in a capture of all interfaces of a
    /// machine, which of them. Equal for packets that passed the same point.
    #[inline]
    pub fn place(&self) -> u32 {
        let index = link::interface_index(self.link, self.data).unwrap_or_default();
        self.interface.rotate_left(20) ^ index
    }
}

/// The envelope of a mirrored packet.
///
/// In nested tunnels the addresses and ports are the outermost ones, those of the tap and the
/// collector; the VNI is the innermost one, the name space in which the customer's addresses are
/// unique.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Tunnel {
    /// Outer source address: the tap, that is the mirrored NIC.
    pub src: IpAddr,
    /// Outer destination address: the collector.
    pub dst: IpAddr,
    /// Outer UDP source port: a hash chosen by the sender for each direction by itself, so it
    /// identifies nothing.
    pub src_port: u16,
    /// Outer UDP destination port.
    pub dst_port: u16,
    /// VXLAN network identifier.
    pub vni: Vni,
    /// How many envelopes were stripped, from 1.
    pub depth: u8,
}
