//! pcapng from any bytes: the input is read as it is, and with a section header in front.
//!
//! Laws, besides those of [`vtap_fuzz::capture`]: what was read and written again reads the same,
//! with an interface for each one that there was.

#![no_main]

use libfuzzer_sys::fuzz_target;
use vtap_capture::{File, PcapngWriter};
use vtap_fuzz::capture::{self, Capture, Kept};
use vtap_packet::LinkType;

/// A section of unknown length, and an Ethernet interface with microseconds.
#[rustfmt::skip]
const HEAD: [u8; 48] = [
    0x0a, 0x0d, 0x0d, 0x0a, 28, 0, 0, 0, 0x4d, 0x3c, 0x2b, 0x1a, 1, 0, 0, 0,
    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 28, 0, 0, 0,
    1, 0, 0, 0, 20, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 20, 0, 0, 0,
];

fuzz_target!(|bytes: &[u8]| {
    let read = if bytes.starts_with(&HEAD[..4]) {
        capture::read(bytes)
    } else {
        capture::read(&[&HEAD, bytes].concat())
    };
    let read = read.expect("it begins as pcapng");
    if !read.packets.is_empty() {
        round_trip(&read.packets);
    }
});

fn round_trip(packets: &[Kept]) {
    let interfaces = packets.iter().map(|packet| packet.interface).max().map_or(0, |id| id + 1);
    if interfaces > 64 {
        return;
    }
    let mut writer = PcapngWriter::new(Vec::new()).expect("a vector takes all");
    for id in 0..interfaces {
        let user = packets.iter().find(|packet| packet.interface == id);
        let link = user.map_or(LinkType::ETHERNET, |packet| packet.link);
        writer.add_interface("fuzz0", None, link).expect("a vector takes all");
    }
    for packet in packets {
        writer.write(packet.interface, &packet.packet()).expect("a vector takes all");
    }
    let written = writer.finish().expect("a vector takes all");
    let again = Capture::of(&mut File::from_bytes(written).expect("vtap wrote it"));
    assert!(again.is_sound(), "{:?}", again.damage);
    assert!(again.packets == packets, "packets differ");
}
