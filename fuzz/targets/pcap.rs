//! Classic pcap, plain or compressed, from any bytes.
//!
//! Laws, besides those of [`vtap_fuzz::capture`]: header, records and what was passed over as
//! damage make up the whole file; what was read and written again reads the same.

#![no_main]

use libfuzzer_sys::fuzz_target;
use vtap_capture::{File, PcapWriter};
use vtap_fuzz::capture::{self, Capture, Kept};
use vtap_packet::Timestamp;

fuzz_target!(|bytes: &[u8]| {
    let Some(read) = capture::read(bytes) else { return };
    let pcap = [0xa1b2_c3d4_u32, 0xa1b2_3c4d, KUZNETZOV]
        .into_iter()
        .any(|magic| bytes.starts_with(&magic.to_be_bytes()) || is_kind(bytes, magic));
    if pcap && bytes.len() >= 24 {
        accounts(&read, bytes);
        round_trip(&read);
    }
});

const KUZNETZOV: u32 = 0xa1b2_cd34;

fn is_kind(bytes: &[u8], magic: u32) -> bool {
    bytes.starts_with(&magic.to_le_bytes())
}

fn accounts(read: &Capture, bytes: &[u8]) {
    // A frame check sequence is cut off packets: the lengths of those are not the file's.
    let has_fcs = (bytes[20] | bytes[23]) & 0xf4 != 0;
    if has_fcs || read.unlisted > 0 {
        return;
    }
    let patched = is_kind(bytes, KUZNETZOV) || bytes.starts_with(&KUZNETZOV.to_be_bytes());
    let header = if patched { 24 } else { 16 };
    let records: u64 = read.packets.iter().map(|packet| header + packet.data.len() as u64).sum();
    assert_eq!(24 + records + read.skipped(), bytes.len() as u64, "{:?}", read.damage);
}

fn round_trip(read: &Capture) {
    let Some(first) = read.packets.first() else { return };
    let mut writer = PcapWriter::new(Vec::new(), first.link).expect("a vector takes all");
    for packet in &read.packets {
        writer.write(&packet.packet()).expect("a vector takes all");
    }
    let written = writer.finish().expect("a vector takes all");
    let again = Capture::of(&mut File::from_bytes(written).expect("vtap wrote it"));
    assert!(again.is_sound(), "{:?}", again.damage);
    let last = Timestamp::new(u32::MAX.into(), 0);
    let fits = |packets: &[Kept]| -> Vec<Kept> {
        packets.iter().filter(|packet| packet.time < last).cloned().collect()
    };
    assert_eq!(fits(&again.packets), fits(&read.packets));
}
