//! What makes two packets the same one.
//!
//! Never part of it: checksums (a machine that leaves them to its NIC captures unfinished ones) and
//! MAC addresses (a virtual network writes its own).

use std::num::NonZeroU32;

use crate::digest::Digest;

/// Fields of a header that have to be equal; those that a key leaves out are zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    half: u32,
    id: u32,
    seq: u32,
    ack: u32,
    len: u32,
    content: Option<NonZeroU32>,
    place: u16,
    window: u16,
    flags: u8,
    hops: u8,
    class: u8,
}

impl Key {
    /// All that a mirror has no reason to change.
    pub(crate) fn full(digest: &Digest) -> Self {
        let Digest { ttl, tos, content, .. } = *digest;
        Self { hops: ttl, class: tos, content, ..Self::of_half(digest, digest.half) }
    }

    /// Without what routers and middleboxes rewrite, and what the snaplen may have cut, for a
    /// packet of this half.
    pub(crate) fn of_half(digest: &Digest, half: u32) -> Self {
        let Digest { id, seq, ack, place, window, flags, .. } = *digest;
        Self {
            half,
            id,
            seq: seq.0,
            ack: ack.0,
            len: digest.data_len(),
            place,
            window,
            flags: flags.0,
            ..Self::default()
        }
    }

    /// What two deliveries of one packet have in common.
    pub(crate) fn copy(digest: &Digest) -> Self {
        let content = if digest.is_tcp() { None } else { digest.content };
        Self { content, ..Self::of_half(digest, digest.half) }
    }

    /// What address translation leaves alone. `None` where that is too little to go by.
    pub(crate) fn untranslated(digest: &Digest) -> Option<Self> {
        let content = if digest.is_tcp() { None } else { Some(digest.content?) };
        Some(Self { content, ..Self::of_half(digest, 0) })
    }
}

/// Whether packets of equal keys can be the same: where neither is cut, what a datagram carries is
/// what it carried before. TCP tells its bytes by their numbers, and its options may be rewritten.
pub(crate) fn agree(source: &Digest, tap: &Digest) -> bool {
    match (source.content, tap.content) {
        (Some(source_content), Some(tap_content)) => {
            source.is_tcp() || source_content == tap_content
        }
        _ => true,
    }
}
