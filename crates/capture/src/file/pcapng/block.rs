//! The frame of a block, and finding the next block behind damage.
//!
//! ```text
//! type 4 | length 4 | body, padded to 4 | the same length 4
//! ```
//!
//! The length counts the whole block. A section header says in its body, right behind the first
//! length, which byte order this length and all that follows are in.

use pcap_file::pcapng::blocks::block_common as types;

use crate::Kind;
use crate::file::window::LONGEST;

/// Type, length, and the byte-order mark that a section header has there.
pub(super) const HEAD_LEN: usize = 12;

/// The longest block that is believed on its looks alone, behind damage.
pub(super) const BELIEVED: usize = 262_144 + 4096;

/// Byte order of a section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    Little,
    Big,
}

impl Order {
    const MARK: u32 = 0x1a2b_3c4d;

    /// From the mark of a section header.
    pub(super) fn of_section(block: &[u8]) -> Option<Self> {
        [Self::Little, Self::Big].into_iter().find(|order| order.u32(block, 8) == Some(Self::MARK))
    }

    /// 32-bit words.
    #[inline]
    pub(super) fn words<const N: usize>(self, bytes: [[u8; 4]; N]) -> [u32; N] {
        match self {
            Self::Little => bytes.map(u32::from_le_bytes),
            Self::Big => bytes.map(u32::from_be_bytes),
        }
    }

    #[inline]
    pub(super) fn u16(self, bytes: &[u8], at: usize) -> Option<u16> {
        let word = *bytes.get(at..)?.first_chunk()?;
        Some(match self {
            Self::Little => u16::from_le_bytes(word),
            Self::Big => u16::from_be_bytes(word),
        })
    }

    #[inline]
    pub(super) fn u32(self, bytes: &[u8], at: usize) -> Option<u32> {
        let word = *bytes.get(at..)?.first_chunk()?;
        Some(match self {
            Self::Little => u32::from_le_bytes(word),
            Self::Big => u32::from_be_bytes(word),
        })
    }
}

/// What a block begins with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Head {
    pub(super) kind: u32,
    pub(super) len: u32,
    pub(super) order: Order,
}

impl Head {
    /// From at least [`HEAD_LEN`] bytes; `order` is that of the section, once there is one.
    #[inline]
    pub(super) fn read(bytes: &[u8], order: Option<Order>) -> Result<Self, Kind> {
        let section = bytes.starts_with(&super::MAGIC);
        let order =
            if section { Order::of_section(bytes) } else { order }.ok_or(Kind::ByteOrder)?;
        let word = |at| order.u32(bytes, at).unwrap_or_default();
        let (kind, len) = (word(0), word(4));
        if len < least(kind) || !len.is_multiple_of(4) || len > LONGEST {
            return Err(Kind::BlockLength(len));
        }
        Ok(Self { kind, len, order })
    }

    /// Whether a block of a known type begins here.
    pub(super) fn is_known(bytes: &[u8], order: Order) -> bool {
        let known = |head: Self| least(head.kind) > LEAST || KNOWN.contains(&head.kind);
        bytes.len() >= HEAD_LEN && Self::read(bytes, Some(order)).is_ok_and(known)
    }

    /// The head of a whole block of a known type, in this order, if there is one.
    fn whole(bytes: &[u8], order: Order) -> Option<Self> {
        let head =
            if Self::is_known(bytes, order) { Self::read(bytes, Some(order)).ok() } else { None }?;
        let len = head.len as usize;
        let ends = len <= BELIEVED && head.order.u32(bytes, len - 4) == Some(head.len);
        ends.then_some(head)
    }
}

/// Whether a whole block of a known type stands here; says in which order. Without a section,
/// either order will do.
pub(super) fn stands(bytes: &[u8], order: Option<Order>) -> Option<Order> {
    let whole = |order| Head::whole(bytes, order).map(|head| head.order);
    match order {
        Some(order) => whole(order),
        None => whole(Order::Little).or_else(|| whole(Order::Big)),
    }
}

/// The least length of a block, by type: its fixed fields and the frame of 12 bytes.
#[inline]
const fn least(kind: u32) -> u32 {
    match kind {
        types::SECTION_HEADER_BLOCK => 28,
        types::INTERFACE_DESCRIPTION_BLOCK => 20,
        types::ENHANCED_PACKET_BLOCK | types::PACKET_BLOCK => 32,
        types::SIMPLE_PACKET_BLOCK => 16,
        types::INTERFACE_STATISTIC_BLOCK => 24,
        _ => LEAST,
    }
}

const LEAST: u32 = 12;

/// Known types that need no more than a frame: name resolution, journal, decryption secrets,
/// custom.
const KNOWN: [u32; 5] = [
    types::NAME_RESOLUTION_BLOCK,
    types::SYSTEMD_JOURNAL_EXPORT_BLOCK,
    10,
    types::CUSTOM_BLOCK_COPIABLE,
    types::CUSTOM_BLOCK_NON_COPIABLE,
];
