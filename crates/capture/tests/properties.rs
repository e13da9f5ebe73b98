//! What holds for every capture file, whole, cut, or damaged.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::cast_possible_truncation)]

mod common;

use common::{Big, KUZNETZOV, Little, MICROS, NANOS, Pcap, Pcapng, read};
use proptest::prelude::*;
use vtap_capture::{File, Kind, Source};

/// Packets as `(time past the usual, bytes kept, bytes cut off)`.
type Packets = Vec<(u32, Vec<u8>, u32)>;

fn packets() -> impl Strategy<Value = Packets> {
    let bytes = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..200),
        (any::<u8>(), 0..2000_usize).prop_map(|(byte, len)| vec![byte; len]),
    ];
    prop::collection::vec((0..999_999_u32, bytes, 0..3_u32), 0..20)
}

fn pcap(packets: &Packets, big: bool, magic: u32) -> Vec<u8> {
    let mut file = Pcap::new(if big { Big } else { Little }, magic, (2, 4), 65_535, 1);
    for (time, data, cut) in packets {
        let len = data.len() as u32;
        file.raw([common::SECONDS, *time, len, len + cut], data);
    }
    file.bytes
}

fn pcapng(packets: &Packets, big: bool) -> Vec<u8> {
    let mut file = Pcapng::new(if big { Big } else { Little });
    file.interface(1, 0, &[(2, b"eth0")]);
    for (at, (time, data, cut)) in packets.iter().enumerate() {
        let wire = data.len() as u32 + cut;
        match at % 5 {
            3 => file.simple(data.len() as u32, data),
            4 => file.obsolete(0, u64::from(*time), wire, data).section(Little, -1).interface(
                113,
                0,
                &[],
            ),
            _ => file.enhanced(0, u64::from(*time), wire, data),
        };
    }
    file.bytes
}

fn files() -> impl Strategy<Value = (Packets, Vec<u8>)> {
    let magic = prop::sample::select(vec![MICROS, NANOS, KUZNETZOV]);
    (packets(), any::<bool>(), any::<bool>(), magic).prop_map(|(packets, ng, big, magic)| {
        let bytes = if ng { pcapng(&packets, big) } else { pcap(&packets, big, magic) };
        (packets, bytes)
    })
}

proptest! {
    #[test]
    fn a_whole_file_gives_its_packets((packets, bytes) in files()) {
        let read = read(&bytes);
        prop_assert_eq!(read.damage, []);
        prop_assert_eq!(read.packets.len(), packets.len());
        for (got, (_, data, _)) in read.packets.iter().zip(&packets) {
            prop_assert_eq!(&got.data, data);
        }
    }

    #[test]
    fn a_cut_file_gives_the_packets_before((_, bytes) in files(), cut in any::<prop::sample::Index>()) {
        let whole = read(&bytes);
        let part = read(&bytes[..cut.index(bytes.len())]);
        prop_assert!(whole.packets.starts_with(&part.packets));
        prop_assert!(part.damage.len() <= 1);
        prop_assert!(part.damage.iter().all(|(.., kind)| *kind == Kind::Cut), "{:?}", part.damage);
    }

    #[test]
    fn damaged_bytes_lose_what_they_hit_and_no_more(
        (packets, bytes) in files(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut damaged = bytes.clone();
        for (at, byte) in changes {
            // The magic number makes it a capture.
            let at = at.index(bytes.len());
            if at >= 4 {
                damaged[at] = byte;
            }
        }
        let read = read(&damaged);
        let total: usize = read.packets.iter().map(|packet| packet.data.len()).sum();
        prop_assert!(total <= bytes.len());
        prop_assert!(read.packets.len() <= bytes.len() / 16);
        let skipped: u64 = read.damage.iter().map(|(_, skipped, _)| skipped).sum();
        prop_assert!(skipped <= bytes.len() as u64);
        prop_assert!(read.damage.is_empty() || !packets.is_empty() || bytes.len() < 100);
    }

    #[test]
    fn any_bytes_behind_a_header_come_to_an_end(
        tail in prop::collection::vec(prop_oneof![Just(0_u8), Just(0xff), 0..12_u8, any::<u8>()], 0..3000),
        ng in any::<bool>(),
    ) {
        let mut bytes = if ng { pcapng(&vec![], false) } else { pcap(&vec![], false, MICROS) };
        bytes.extend(&tail);
        let read = read(&bytes);
        prop_assert!(read.packets.len() <= tail.len() / 16);
    }

    #[test]
    fn any_bytes_at_all_are_refused_or_read(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        if let Ok(mut file) = File::from_bytes(bytes) {
            while file.next().unwrap().is_some() {}
        }
    }
}
