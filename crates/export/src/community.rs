//! Community ID, version 1: one name for a flow across tools
//! (<https://github.com/corelight/community-id-spec>).
//!
//! SHA-1 over seed, both addresses, protocol, padding and both ports, the smaller endpoint first;
//! in base64 after `1:`. The VNI has no part in it.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use data_encoding::BASE64;
use sha1::{Digest, Sha1};
use vtap_packet::Protocol;

/// A community id as text.
pub(crate) type Id = [u8; 30];

/// Makes ids of TCP flows with seed 0.
///
/// An id takes about 100 ns, as long as the rest of its row, and the events of a connection tend to lie
/// close together: so the ids made last are kept. Flows that want the same slot take turns, which
/// costs time and changes no id.
pub(crate) struct Ids {
    slots: Vec<Slot>,
}

/// How many ids are kept: 100 KiB.
const SLOTS: usize = 1024;

#[derive(Clone, Copy)]
struct Slot {
    src: SocketAddr,
    dst: SocketAddr,
    id: Id,
}

impl Slot {
    fn new(src: SocketAddr, dst: SocketAddr) -> Self {
        Self { src, dst, id: id(src, dst) }
    }

    fn is(&self, src: SocketAddr, dst: SocketAddr) -> bool {
        (self.src == src && self.dst == dst) || (self.src == dst && self.dst == src)
    }
}

impl Ids {
    pub(crate) fn new() -> Self {
        let nobody = SocketAddr::from(([0; 4], 0));
        Self { slots: vec![Slot::new(nobody, nobody); SLOTS] }
    }

    /// The id of the flow between two endpoints, the same whichever of them sent.
    pub(crate) fn of(&mut self, src: SocketAddr, dst: SocketAddr) -> Id {
        let Some(slot) = self.slots.get_mut(slot(src, dst)) else { return id(src, dst) };
        if !slot.is(src, dst) {
            *slot = Slot::new(src, dst);
        }
        slot.id
    }
}

impl fmt::Debug for Ids {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ids").finish_non_exhaustive()
    }
}

/// Place of a flow's id, the same for both directions, below [`SLOTS`].
fn slot(src: SocketAddr, dst: SocketAddr) -> usize {
    let bits = |endpoint: SocketAddr| {
        let address = match endpoint.ip() {
            IpAddr::V4(v4) => u64::from(v4.to_bits()),
            IpAddr::V6(v6) => v6
                .segments()
                .iter()
                .fold(0, |bits: u64, part| bits.rotate_left(16) ^ u64::from(*part)),
        };
        address << 16 ^ u64::from(endpoint.port())
    };
    // The upper bits of a product depend on all bits of the factor.
    let product = bits(src).wrapping_add(bits(dst)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (product >> 32) as u32 as usize % SLOTS
}

fn id(src: SocketAddr, dst: SocketAddr) -> Id {
    let (low, high) = if src <= dst { (src, dst) } else { (dst, src) };
    let mut hash = Sha1::new_with_prefix([0, 0]);
    for endpoint in [low, high] {
        match endpoint.ip() {
            IpAddr::V4(v4) => hash.update(v4.octets()),
            IpAddr::V6(v6) => hash.update(v6.octets()),
        }
    }
    let ([l0, l1], [h0, h1]) = (low.port().to_be_bytes(), high.port().to_be_bytes());
    hash.update([Protocol::TCP.0, 0, l0, l1, h0, h1]);

    let mut id = *b"1:............................";
    let [_, _, base64 @ ..] = &mut id;
    BASE64.encode_mut(&hash.finalize(), base64);
    id
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the Python package `communityid` 1.5 gives.
    #[rustfmt::skip]
    const KNOWN: [(&str, &str, &str); 8] = [
        ("10.0.1.4:50000", "10.0.2.5:443", "1:w5mK5wZhrO6H5iu/D4VnkVuIIr8="),
        ("10.0.2.5:443", "10.0.1.4:50000", "1:w5mK5wZhrO6H5iu/D4VnkVuIIr8="),
        ("128.232.110.120:34855", "66.35.250.204:80", "1:LQU9qZlK+B5F3KDmev6m5PMibrg="),
        ("192.0.2.1:8080", "192.0.2.1:80", "1:Ms7cgdeuKAeoWDt1Xv/Zm54mPo0="),
        ("0.0.0.0:0", "255.255.255.255:65535", "1:LdN0oTsWjz5qVMMtMj5zPyV/TiU="),
        ("[fd00::1:0:0:1]:50000", "[2001:db8::5]:443", "1:5nFFV49xkYbmKRUAAQNAjTagJxY="),
        ("[fe80::1]:443", "[fe80::1]:50000", "1:mSdxKfJUI5SN6jhn99b3QChJ+30="),
        ("[::ffff:10.0.0.1]:1", "[::1]:2", "1:FJ2ztFprkHv6MtV351ha6U+025o="),
    ];

    #[test]
    fn ids_are_those_of_other_tools() {
        let mut ids = Ids::new();
        for (src, dst, id) in KNOWN {
            let id_of_flow = ids.of(src.parse().unwrap(), dst.parse().unwrap());
            assert_eq!(str::from_utf8(&id_of_flow), Ok(id));
        }
    }

    #[test]
    fn flows_that_share_a_slot_keep_their_own_ids() {
        let mut ids = Ids::new();
        for n in (0..5000).chain(0..5000) {
            let client = SocketAddr::from(([10, 0, 0, (n % 7) as u8], n));
            let server = SocketAddr::from(([10, 0, 1, 1], 443));
            assert!(slot(client, server) < SLOTS);
            assert_eq!(ids.of(client, server), id(client, server));
            assert_eq!(ids.of(server, client), id(client, server));
        }
    }
}
