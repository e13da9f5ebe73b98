//! What is written is read back, by this crate, by pcap-file, and by tshark where it is installed.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::cast_possible_truncation)]

mod common;

use std::io;
use std::process::Command;

use common::{SECONDS, data, read};
use vtap_capture::write::{self, Format, Frames};
use vtap_capture::{PcapWriter, PcapngWriter};
use vtap_packet::{LinkType, Packet, Timestamp, Tunnel, Vni};

fn packet(number: u64, data: &[u8]) -> Packet<'_> {
    Packet {
        number,
        time: Timestamp::new(SECONDS.into(), 999_999_990 + number),
        link: LinkType::ETHERNET,
        interface: 0,
        wire_len: data.len() as u32 + 7 * (number % 2) as u32,
        data,
        tunnel: None,
    }
}

fn datas() -> Vec<Vec<u8>> {
    (0..9).map(|at| data(at, at as usize * 31)).collect()
}

#[test]
fn pcap_keeps_nanoseconds_and_lengths() {
    let mut writer = PcapWriter::new(Vec::new(), LinkType::LINUX_SLL2).unwrap();
    for (at, data) in datas().iter().enumerate() {
        writer.write(&packet(at as u64, data)).unwrap();
    }
    let bytes = writer.finish().unwrap();
    let read = read(&bytes);
    assert_eq!((read.datas(), &read.damage), (datas().iter().map(|it| &it[..]).collect(), &vec![]));
    for (at, got) in read.packets.iter().enumerate() {
        let sent = packet(at as u64, &got.data);
        assert_eq!((got.nanos, got.wire_len, got.link), (sent.time.nanos(), sent.wire_len, 276));
    }
    let (mut rest, parser) = pcap_file::pcap::PcapParser::new(&bytes).unwrap();
    for got in &read.packets {
        let (behind, packet) = parser.next_packet(rest).unwrap();
        assert_eq!(packet.timestamp().as_nanos(), got.nanos.into());
        assert_eq!((packet.data(), packet.orig_len()), (&got.data[..], got.wire_len));
        rest = behind;
    }
    assert!(rest.is_empty());
}

fn pcapng() -> Vec<u8> {
    let mut writer = PcapngWriter::new(Vec::new()).unwrap();
    assert_eq!(writer.add_interface("tap 10.0.0.4 vni 7", None, LinkType::ETHERNET).unwrap(), 0);
    for (at, data) in datas().iter().enumerate() {
        if at == 4 {
            let id = writer.add_interface("vni 8", Some("second"), LinkType::RAW).unwrap();
            assert_eq!(id, 1);
        }
        writer.write(u32::from(at > 6), &packet(at as u64, data)).unwrap();
    }
    let unknown = writer.write(2, &packet(0, &[])).unwrap_err();
    assert_eq!(unknown.kind(), io::ErrorKind::InvalidInput);
    writer.finish().unwrap()
}

#[test]
fn pcapng_keeps_interfaces_nanoseconds_and_lengths() {
    let bytes = pcapng();
    let read = read(&bytes);
    assert_eq!((read.datas(), &read.damage), (datas().iter().map(|it| &it[..]).collect(), &vec![]));
    for (at, got) in read.packets.iter().enumerate() {
        let sent = packet(at as u64, &got.data);
        assert_eq!((got.nanos, got.wire_len), (sent.time.nanos(), sent.wire_len));
        assert_eq!((got.interface, got.link), if at > 6 { (1, 101) } else { (0, 1) });
    }
    let mut packets = 0;
    let (mut rest, mut parser) = pcap_file::pcapng::PcapNgParser::new(&bytes).unwrap();
    while !rest.is_empty() {
        let (behind, block) = parser.next_block(rest).unwrap();
        packets += usize::from(matches!(block, pcap_file::pcapng::Block::EnhancedPacket(_)));
        rest = behind;
    }
    assert_eq!(packets, 9);
}

#[test]
fn tshark_sees_names_and_times() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("written.pcapng");
    std::fs::write(&path, pcapng()).unwrap();
    let fields = ["frame.interface_name", "frame.time_epoch", "frame.len", "frame.cap_len"];
    let mut tshark = Command::new("tshark");
    tshark.arg("-r").arg(&path).args(["-Tfields", "-Eseparator=|"]);
    tshark.args(fields.iter().flat_map(|field| ["-e", field]));
    let Ok(output) = tshark.output() else { return println!("skipped: no tshark") };
    let lines = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<_> = lines.lines().collect();
    assert_eq!(lines.len(), 9, "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(lines[1], "tap 10.0.0.4 vni 7|1764547200.999999991|38|31");
    assert_eq!(lines[8], "vni 8|1764547200.999999998|248|248");
}

/// Takes as much as there is room for, then fails as a full disk does.
#[derive(Debug)]
struct Full(usize);

impl io::Write for Full {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let len = bytes.len().min(self.0);
        self.0 -= len;
        if len == 0 { Err(io::ErrorKind::StorageFull.into()) } else { Ok(len) }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_full_disk_is_an_error_at_the_latest_at_the_end() {
    let large = data(1, 60_000);
    let mut writer = PcapWriter::new(write::buffered(Full(2 << 20)), LinkType::ETHERNET).unwrap();
    let written = (0..100).take_while(|at| writer.write(&packet(*at, &large)).is_ok()).count();
    assert!((30..60).contains(&written), "{written}");

    let mut writer = PcapngWriter::new(write::buffered(Full(100))).unwrap();
    writer.add_interface("eth0", None, LinkType::ETHERNET).unwrap();
    writer.write(0, &packet(0, &large)).unwrap();
    assert_eq!(writer.finish().unwrap_err().kind(), io::ErrorKind::StorageFull);
}

#[test]
fn pcap_has_one_link_type_and_tells_of_packets_of_others() {
    let mut frames = Frames::new(Vec::new(), Format::Pcap).unwrap();
    let large = data(1, 60);
    let raw = |at| Packet { link: LinkType::RAW, ..packet(at, &large) };
    let first = packet(0, &large);
    assert!(frames.write(&first).unwrap());
    assert!(!frames.write(&raw(1)).unwrap());
    assert!(frames.write(&packet(2, &large)).unwrap());
    assert_eq!(frames.left_out(), 1);
    assert_eq!(read(&frames.finish().unwrap()).packets.len(), 2);

    let empty = Frames::new(Vec::new(), Format::Pcap).unwrap().finish().unwrap();
    assert_eq!(read(&empty).packets.len(), 0);
}

#[test]
fn pcapng_has_an_interface_for_each_tap_and_a_bounded_number_of_them() {
    let mut frames = Frames::new(Vec::new(), Format::Pcapng).unwrap();
    frames.name_interface(3, "eth3");
    let bytes = data(1, 60);
    let plain = Packet { interface: 3, ..packet(0, &bytes) };
    frames.write(&plain).unwrap();
    for vni in 0..5000 {
        let tunnel = Tunnel {
            src: [10, 0, 2, 4].into(),
            dst: [10, 1, 1, 4].into(),
            src_port: 1,
            dst_port: 4789,
            vni: Vni::new(vni),
            depth: 1,
        };
        frames.write(&Packet { tunnel: Some(tunnel), ..plain }).unwrap();
    }
    let read = read(&frames.finish().unwrap());
    assert_eq!(read.packets.len(), 5001);
    let last = read.packets.last().unwrap().interface;
    assert_eq!(last as usize, write::MAX_INTERFACES);
}
