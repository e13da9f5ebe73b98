//! A block of the ring as bytes: the packets in it.
//!
//! Layout as in `include/uapi/linux/if_packet.h`, numbers in the byte order of the machine:
//!
//! ```text
//! block    version 4 | private 4 | status 4 | packets 4 | first packet at 4 | length 4 | ...
//! packet   next packet after 4 | seconds 4 | nanoseconds 4 | captured 4 | on the wire 4 |
//!          status 4 | frame at 2 | network header at 2 | hash 4 | VLAN tag 4 | VLAN type 2 | ...
//! at 48    family 2 | protocol 2 | interface 4 | ARPHRD 2 | packet type 1 | ...
//! ```
//!
//! The kernel writes these, so they should be right; each is checked all the same, as reading
//! outside a block would be worse than missing a packet.

use vtap_packet::Timestamp;

/// What the kernel recorded of one packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Record<'a> {
    pub(super) time: Timestamp,
    /// Bytes of the frame before it was cut.
    pub(super) wire_len: u32,
    /// The kernel's index of the interface.
    pub(super) interface: u32,
    /// Its `ARPHRD_*`.
    pub(super) hardware: u16,
    pub(super) frame: &'a [u8],
}

/// The packets of a block in the order they came.
#[derive(Clone, Debug)]
pub(super) struct Records<'a> {
    block: &'a [u8],
    /// Where the next packet begins.
    at: usize,
    /// Packets left.
    left: u32,
}

impl<'a> Records<'a> {
    pub(super) fn new(block: &'a [u8]) -> Self {
        let (left, at) = block
            .first_chunk::<BLOCK_HEADER>()
            .map_or((0, 0), |header| (read_u32(header, 12), read_u32(header, 16)));
        Self { block, at: at as usize, left }
    }

    /// Packets that the block has beyond those that were lent. After the end, those that could not
    /// be found.
    pub(super) fn left(&self) -> u32 {
        self.left
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Record<'a>;

    #[inline]
    fn next(&mut self) -> Option<Record<'a>> {
        if self.left == 0 {
            return None;
        }
        let rest = self.block.get(self.at..)?;
        let header = rest.first_chunk::<PACKET_HEADER>()?;
        let from = usize::from(read_u16(header, 24));
        let to = from.checked_add(read_u32(header, 12) as usize)?;
        let frame = rest.get(from..to)?;
        self.left -= 1;
        // The last packet of a block has no next.
        self.at = match read_u32(header, 0) as usize {
            0 => usize::MAX,
            distance => self.at.checked_add(distance)?,
        };
        Some(Record {
            time: Timestamp::new(read_u32(header, 4).into(), read_u32(header, 8).into()),
            wire_len: read_u32(header, 16),
            interface: read_u32(header, SOCKET_ADDRESS + 4),
            hardware: read_u16(header, SOCKET_ADDRESS + 8),
            frame,
        })
    }
}

/// Where the status of a block is, which the kernel and its reader change in turn.
pub(super) const STATUS: usize = 8;

/// As much of the header of a block as is read.
const BLOCK_HEADER: usize = 48;

/// `sockaddr_ll` stands behind `tpacket3_hdr`.
const SOCKET_ADDRESS: usize = 48;
const PACKET_HEADER: usize = SOCKET_ADDRESS + 20;

fn read_u32<const N: usize>(header: &[u8; N], at: usize) -> u32 {
    let bytes = header.get(at..).and_then(|at| at.first_chunk());
    bytes.map_or(0, |bytes| u32::from_ne_bytes(*bytes))
}

fn read_u16<const N: usize>(header: &[u8; N], at: usize) -> u16 {
    let bytes = header.get(at..).and_then(|at| at.first_chunk());
    bytes.map_or(0, |bytes| u16::from_ne_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use std::mem::offset_of;

    use libc::{sockaddr_ll, tpacket_block_desc, tpacket_hdr_v1, tpacket3_hdr};
    use proptest::prelude::*;

    use super::*;

    fn number(value: usize) -> [u8; 4] {
        u32::try_from(value).unwrap().to_ne_bytes()
    }

    /// A block as the kernel lays it out.
    fn block(frames: &[&[u8]]) -> Vec<u8> {
        let mut block = vec![0; BLOCK_HEADER];
        block[12..16].copy_from_slice(&number(frames.len()));
        block[16..20].copy_from_slice(&number(BLOCK_HEADER));
        for (at, frame) in frames.iter().enumerate() {
            let len = (82 + frame.len()).next_multiple_of(16);
            let mut packet = vec![0; len];
            let next = if at + 1 == frames.len() { 0 } else { len };
            for (at, value) in [
                (0, next),
                (4, 1_700_000_000),
                (8, at),
                (12, frame.len()),
                (16, frame.len() + 10),
                (SOCKET_ADDRESS + 4, 7),
            ] {
                packet[at..at + 4].copy_from_slice(&number(value));
            }
            packet[24..26].copy_from_slice(&82_u16.to_ne_bytes());
            packet[SOCKET_ADDRESS + 8] = 1;
            packet[82..82 + frame.len()].copy_from_slice(frame);
            block.extend(packet);
        }
        block
    }

    #[test]
    fn the_layout_is_that_of_the_kernel() {
        let header = offset_of!(tpacket_block_desc, hdr);
        assert_eq!(header + offset_of!(tpacket_hdr_v1, block_status), STATUS);
        assert_eq!(header + offset_of!(tpacket_hdr_v1, num_pkts), 12);
        assert_eq!(header + offset_of!(tpacket_hdr_v1, offset_to_first_pkt), 16);
        assert_eq!(size_of::<tpacket_block_desc>(), BLOCK_HEADER);
        assert_eq!(offset_of!(tpacket3_hdr, tp_next_offset), 0);
        assert_eq!(offset_of!(tpacket3_hdr, tp_sec), 4);
        assert_eq!(offset_of!(tpacket3_hdr, tp_nsec), 8);
        assert_eq!(offset_of!(tpacket3_hdr, tp_snaplen), 12);
        assert_eq!(offset_of!(tpacket3_hdr, tp_len), 16);
        assert_eq!(offset_of!(tpacket3_hdr, tp_mac), 24);
        assert_eq!(size_of::<tpacket3_hdr>().next_multiple_of(16), SOCKET_ADDRESS);
        assert_eq!(offset_of!(sockaddr_ll, sll_ifindex), 4);
        assert_eq!(offset_of!(sockaddr_ll, sll_hatype), 8);
        assert_eq!(SOCKET_ADDRESS + size_of::<sockaddr_ll>(), PACKET_HEADER);
    }

    #[test]
    fn packets_of_a_block_come_in_order() {
        let block = block(&[b"one", b"", b"three"]);
        let records: Vec<_> = Records::new(&block).collect();
        let frames: Vec<_> = records.iter().map(|record| record.frame).collect();
        assert_eq!(frames, [&b"one"[..], b"", b"three"]);
        let times: Vec<_> = records.iter().map(|record| record.time).collect();
        assert_eq!(times, [0, 1, 2].map(|nanos| Timestamp::new(1_700_000_000, nanos)));
        assert_eq!((records[2].wire_len, records[2].interface, records[2].hardware), (15, 7, 1));
    }

    #[test]
    fn packets_that_cannot_be_found_are_left() {
        let mut block = block(&[b"one", b"two", b"three"]);
        block.truncate(BLOCK_HEADER + 96 + 84);
        let mut records = Records::new(&block);
        assert_eq!(records.by_ref().count(), 1);
        assert_eq!(records.left(), 2);
        // One more than there are: the last has no next.
        let mut block = self::block(&[b"one"]);
        block[12] = 2;
        let mut records = Records::new(&block);
        assert_eq!((records.by_ref().count(), records.left()), (1, 1));
        assert_eq!(Records::new(&[]).count(), 0);
    }

    proptest! {
        #[test]
        fn whatever_a_block_holds_its_packets_add_up_and_stay_inside(
            frames in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 1..6),
            damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
            cut in any::<prop::sample::Index>(),
        ) {
            let frames: Vec<_> = frames.iter().map(Vec::as_slice).collect();
            let mut block = block(&frames);
            for (at, byte) in damage {
                let at = at.index(block.len());
                block[at] = byte;
            }
            block.truncate(cut.index(block.len()) + 1);
            let said = block.get(12..16).and_then(|at| at.first_chunk());
            let said = said.map_or(0, |said| u32::from_ne_bytes(*said));
            let mut records = Records::new(&block);
            let mut lent = 0;
            for record in records.by_ref() {
                lent += 1;
                let inside = block.as_ptr_range();
                let frame = record.frame.as_ptr_range();
                prop_assert!(inside.start <= frame.start && frame.end <= inside.end);
            }
            // Without a whole header a block says nothing.
            let said = if block.len() < BLOCK_HEADER { 0 } else { said };
            prop_assert_eq!(lent + records.left(), said);
        }
    }
}
