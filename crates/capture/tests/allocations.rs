//! Walking a mapped file allocates nothing for each packet.
#![allow(unsafe_code, reason = "a global allocator is unsafe to write")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::cast_possible_truncation)]

mod common;

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

use common::{Little, NANOS, Pcap, Pcapng, data};
use vtap_capture::{File, PcapWriter, PcapngWriter, Source, open};
use vtap_packet::LinkType;

struct Counting;

static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call goes to the system's allocator as it came; counting changes nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(place, layout) }
    }

    unsafe fn realloc(&self, place: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.realloc(place, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Allocations from the second packet on.
fn allocations(source: &mut impl Source, mut each: impl FnMut(&vtap_packet::Packet<'_>)) -> usize {
    each(&source.next().unwrap().unwrap());
    let before = ALLOCATIONS.load(Ordering::Relaxed);
    let mut packets = 0;
    while let Some(packet) = source.next().unwrap() {
        each(&packet);
        packets += 1;
    }
    assert!(packets >= 9999);
    ALLOCATIONS.load(Ordering::Relaxed) - before
}

/// One test, so that no other thread allocates meanwhile.
#[test]
fn nothing_is_allocated_for_a_packet() {
    let (mut pcap, mut pcapng) = (Pcap::plain(), Pcapng::new(Little));
    pcapng.interface(1, 0, &[]);
    for at in 0..10_000 {
        pcap.packet(at, &data(at, 100));
        pcapng.enhanced(0, at.into(), 100, &data(at, 100));
    }
    let mut swapped = Pcap::new(common::Big, NANOS, (2, 2), 0, 1);
    for at in 0..10_000 {
        swapped.packet(at, &data(at, 100));
    }
    for bytes in [&pcap.bytes, &pcapng.bytes, &swapped.bytes] {
        let mut mapped = File::from_bytes(bytes.clone()).unwrap();
        assert_eq!(allocations(&mut mapped, |_| {}), 0);
        let stream = std::io::Cursor::new(bytes.clone());
        let mut stream = File::from_reader("stream".as_ref(), stream).unwrap();
        assert_eq!(allocations(&mut stream, |_| {}), 0);
    }

    let mut to_pcap = PcapWriter::new(std::io::sink(), LinkType::ETHERNET).unwrap();
    let mut to_pcapng = PcapngWriter::new(std::io::sink()).unwrap();
    to_pcapng.add_interface("eth0", None, LinkType::ETHERNET).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let paths = [folder.path().join("a"), folder.path().join("b")];
    std::fs::write(&paths[0], &pcap.bytes).unwrap();
    std::fs::write(&paths[1], &pcap.bytes).unwrap();
    let mut merge = open(&paths).unwrap();
    // The second file is opened for its first packet, after the first file's.
    merge.next().unwrap().unwrap();
    let count = allocations(&mut merge, |packet| {
        to_pcap.write(packet).unwrap();
        to_pcapng.write(0, packet).unwrap();
    });
    assert_eq!(count, 0);
}
