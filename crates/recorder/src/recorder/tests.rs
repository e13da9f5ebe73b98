use std::time::Duration;

use vtap_capture::{File, Source};
use vtap_packet::{LinkType, Tunnel, Vni};

use super::*;
use crate::limits::Ring;
use crate::name;
use fake::Fake;

mod fake;

const START: Timestamp = Timestamp::new(1_764_547_200, 0);

fn config() -> Config {
    Config {
        name: "test".to_owned(),
        format: Format::Pcap,
        filters: Filters::default(),
        limits: Limits::default(),
        buffer: 0,
        min_free: 0,
        pressure: Pressure::Drop,
    }
}

fn frame(number: u64, len: usize) -> Vec<u8> {
    number.to_le_bytes().into_iter().chain([7; 64 << 10]).take(len).collect()
}

fn packet(number: u64, data: &[u8]) -> Packet<'_> {
    let tunnel = Tunnel {
        src: [10, 0, 2, 4].into(),
        dst: [10, 1, 1, 4].into(),
        src_port: 1,
        dst_port: 4789,
        vni: Vni::new(27),
        depth: 1,
    };
    Packet {
        number,
        time: START + Duration::from_micros(number),
        link: LinkType::ETHERNET,
        interface: 0,
        wire_len: data.len() as u32,
        data,
        tunnel: Some(tunnel),
    }
}

/// Offers packets of these numbers, each a microsecond behind the other.
fn offer(recorder: &mut Recorder, numbers: std::ops::Range<u64>, len: usize) {
    for number in numbers {
        let data = frame(number, len);
        let packet = packet(number, &data);
        recorder.offer(&packet, packet.time);
    }
}

/// The numbers of the packets in a capture that is whole, and those of their lengths.
#[track_caller]
fn numbers(bytes: Vec<u8>) -> Vec<u64> {
    let mut file = File::from_bytes(bytes).unwrap();
    let mut numbers = Vec::new();
    while let Some(packet) = file.next().unwrap() {
        numbers.push(u64::from_le_bytes(*packet.data.first_chunk().unwrap()));
    }
    assert_eq!(file.damage(), &[]);
    numbers
}

#[test]
fn a_session_stops_with_the_last_of_so_many_packets() {
    let fake = Fake::default();
    let limits = Limits { packets: Some(5), ..Limits::default() };
    let mut recorder = fake.start(Config { limits, ..config() });
    offer(&mut recorder, 0..4, 60);
    assert_eq!(recorder.stop_reason(), None);
    offer(&mut recorder, 4..5, 60);
    assert_eq!(recorder.stop_reason(), Some(StopReason::PacketCountExceeded));
    offer(&mut recorder, 5..8, 60);
    let status = recorder.stop(StopReason::UserStopped);
    assert_eq!((status.counters.recorded, status.counters.over_limit), (5, 3));
    assert_eq!(numbers(fake.only_file()), [0, 1, 2, 3, 4]);
}

#[test]
fn a_session_has_as_many_bytes_as_it_may_and_not_one_more() {
    for format in [Format::Pcap, Format::Pcapng] {
        // What ten packets take.
        let whole = Fake::default();
        let mut recorder = whole.start(Config { format, ..config() });
        offer(&mut recorder, 0..10, 100);
        recorder.stop(StopReason::UserStopped);
        let ten = whole.only_file().len() as u64;

        for (total, packets) in [(ten, 10), (ten - 1, 9), (1, 0)] {
            let fake = Fake::default();
            let limits = Limits { total_bytes: Some(total), ..Limits::default() };
            let config = Config { format, limits, ..config() };
            let mut recorder = fake.start(config);
            offer(&mut recorder, 0..12, 100);
            assert_eq!(recorder.stop_reason(), Some(StopReason::TotalBytesExceeded));
            let status = recorder.stop(StopReason::UserStopped);
            assert_eq!(status.counters.over_limit, 12 - packets);
            let file = fake.only_file();
            assert!(file.len() as u64 <= total || packets == 0);
            assert_eq!(numbers(file), (0..packets).collect::<Vec<_>>());
        }
    }
}

#[test]
fn time_passes_with_and_without_packets() {
    let limits = Limits { time: Some(Duration::from_secs(10)), ..Limits::default() };
    let timed = || Config { limits: limits.clone(), ..config() };
    let data = frame(1, 60);
    let fake = Fake::default();
    let mut recorder = fake.start(timed());
    recorder.offer(&packet(1, &data), START + Duration::from_nanos(9_999_999_999));
    // A clock that is set back.
    recorder.offer(&packet(1, &data), START);
    assert_eq!(recorder.stop_reason(), None);
    recorder.offer(&packet(1, &data), START + Duration::from_secs(10));
    let status = recorder.stop(StopReason::UserStopped);
    assert_eq!(status.stop_reason, Some(StopReason::TimeExceeded));
    assert_eq!((status.counters.recorded, status.counters.over_limit), (2, 1));

    let mut recorder = Fake::default().start(timed());
    recorder.tick(START + Duration::from_secs(10));
    assert_eq!(recorder.stop_reason(), Some(StopReason::TimeExceeded));
}

#[test]
fn a_packet_is_cut_and_its_length_on_the_wire_kept() {
    let fake = Fake::default();
    let limits = Limits { bytes_per_packet: 34, ..Limits::default() };
    let mut recorder = fake.start(Config { limits, ..config() });
    offer(&mut recorder, 0..1, 34);
    offer(&mut recorder, 1..2, 1000);
    let status = recorder.stop(StopReason::UserStopped);
    assert_eq!(status.counters.recorded_bytes, 68);
    let mut file = File::from_bytes(fake.only_file()).unwrap();
    for wire_len in [34, 1000] {
        let packet = file.next().unwrap().unwrap();
        assert_eq!((packet.data.len(), packet.wire_len), (34, wire_len));
    }
}

#[test]
fn a_ring_keeps_the_newest_files_and_none_is_too_large() {
    for format in [Format::Pcap, Format::Pcapng] {
        let fake = Fake::default();
        let ring = Ring { files: 3, bytes: 1000, adopt: false };
        let limits = Limits::continuous(ring);
        let config = Config { format, limits, pressure: Pressure::Wait, ..config() };
        let mut recorder = fake.start(config);
        offer(&mut recorder, 0..100, 100);
        // A packet that is longer than a file still has one.
        offer(&mut recorder, 100..101, 2000);
        offer(&mut recorder, 101..102, 100);
        let status = recorder.stop(StopReason::UserStopped);
        assert_eq!(status.counters.recorded, 102);
        fake.get(|state| {
            assert_eq!((state.complete.len(), state.most_complete), (3, 3));
            assert_eq!(state.created, 3 + status.removed);
            let [first, long, last] = &state.complete.values().collect::<Vec<_>>()[..] else {
                panic!("three files")
            };
            assert!(first.len() <= 1000 && last.len() <= 1000 && long.len() > 2000);
            let kept = [first, long, last].map(|file| numbers(file.to_vec())).concat();
            assert_eq!(kept, (kept[0]..102).collect::<Vec<_>>());
            // Another packet would not have fitted into a full file.
            assert!(first.len() + 100 + 32 > 1000 || numbers(first.to_vec()).len() < 6);
        });
        let listed = status.files.iter().map(|file| (file.packets, file.complete));
        assert_eq!(listed.clone().map(|(packets, _)| packets).sum::<u64>(), 102 - kept_from(&fake));
        assert!(listed.clone().all(|(_, complete)| complete));
    }
}

#[test]
fn files_that_somebody_else_takes_away_are_forgotten() {
    let fake = Fake::default();
    let ring = Ring { files: u32::MAX, bytes: 1000, adopt: false };
    let config = Config { limits: Limits::continuous(ring), pressure: Pressure::Wait, ..config() };
    let mut recorder = fake.start(config);
    // The first block of what waits for the disk holds more than one file.
    offer(&mut recorder, 0..20_000, 100);
    fake.wait(|state| state.complete.len() > 10);
    fake.set(|state| state.complete.clear());
    offer(&mut recorder, 20_000..20_100, 100);
    let status = recorder.stop(StopReason::UserStopped);
    assert_eq!((status.counters.recorded, status.removed), (20_100, 0));
    let (listed, there) = (status.files.len(), fake.get(|state| state.complete.len()));
    assert_eq!(listed, there);
}

fn kept_from(fake: &Fake) -> u64 {
    fake.get(|state| numbers(state.complete.values().next().unwrap().clone())[0])
}

#[test]
fn a_disk_that_stands_still_costs_packets_and_no_time() {
    let fake = Fake::default();
    fake.set(|state| state.stalled = true);
    let mut recorder = fake.start(config());
    // Two blocks of 1 MiB take it all.
    offer(&mut recorder, 0..5000, 1000);
    let counters = recorder.status().counters;
    counters.assert_laws();
    assert!((1900..=2064).contains(&counters.recorded), "{counters:?}");
    assert_eq!(counters.dropped, 5000 - counters.recorded);
    assert_eq!(counters.dropped_bytes, counters.dropped * 1000);

    fake.set(|state| state.stalled = false);
    // Both blocks come back.
    fake.wait(|state| state.partial.as_ref().unwrap().len() as u64 >= counters.recorded * 1016);
    thread::sleep(Duration::from_millis(50));
    offer(&mut recorder, 5000..5010, 1000);
    let status = recorder.stop(StopReason::UserStopped);
    assert_eq!(status.counters.recorded, counters.recorded + 10);
    assert_eq!(
        numbers(fake.only_file()),
        (0..counters.recorded).chain(5000..5010).collect::<Vec<_>>()
    );
}

#[test]
fn a_full_disk_is_tried_again_and_leaves_no_half_packet() {
    let fake = Fake::default();
    // In the middle of a packet.
    fake.set(|state| state.capacity = Some(24 + 100 * 116 + 50));
    let mut recorder = fake.start(config());
    offer(&mut recorder, 0..300, 100);
    fake.wait(|state| state.partial.as_ref().unwrap().len() == 24 + 100 * 116);
    let failing = (0..500).any(|_| {
        thread::sleep(Duration::from_millis(10));
        recorder.status().failing.is_some()
    });
    assert!(failing);
    assert_eq!(recorder.status().errors, [CaptureError::StorageFailed]);

    fake.set(|state| state.capacity = None);
    offer(&mut recorder, 300..301, 100);
    let status = recorder.stop(StopReason::UserStopped);
    assert_eq!((status.failing.is_none(), status.counters.recorded), (true, 301));
    assert_eq!(numbers(fake.only_file()), (0..301).collect::<Vec<_>>());
}

#[test]
fn what_a_full_disk_never_took_is_counted_as_dropped() {
    for capacity in [0, 10, 24 + 100 * 116 + 50] {
        let fake = Fake::default();
        fake.set(|state| state.capacity = Some(capacity));
        let mut recorder = fake.start(config());
        offer(&mut recorder, 0..300, 100);
        let status = recorder.stop(StopReason::UserStopped);
        let written = (capacity / 116) as u64;
        assert_eq!((status.counters.recorded, status.counters.dropped), (written, 300 - written));
        assert_eq!(status.counters.dropped_bytes, (300 - written) * 100);
        assert_eq!(status.errors, [CaptureError::StorageFailed]);
        if capacity < 100 {
            // Not even a header: no file.
            fake.get(|state| assert!(state.complete.is_empty() && state.partial.is_none()));
        } else {
            assert_eq!(numbers(fake.only_file()), (0..written).collect::<Vec<_>>());
        }
    }
}

#[test]
fn nothing_is_written_while_too_little_is_free() {
    let fake = Fake::default();
    fake.set(|state| state.free = Some(99));
    let guarded = || Config { min_free: 100, ..config() };
    let refused = Recorder::start_in(fake.clone(), Vec::new(), guarded(), START).unwrap_err();
    assert!(refused.source.to_string().contains("99 bytes are free"), "{}", refused.source);

    fake.set(|state| state.free = Some(100));
    let mut recorder = fake.start(guarded());
    fake.set(|state| state.free = Some(99));
    offer(&mut recorder, 0..10, 100);
    thread::sleep(Duration::from_millis(800));
    assert!(fake.get(|state| state.partial.as_ref().unwrap().is_empty()));
    assert!(recorder.status().failing.unwrap().contains("less than the 100 to be left"));
    fake.set(|state| state.free = Some(100));
    fake.wait(|state| state.partial.as_ref().unwrap().len() == 24 + 10 * 116);
    assert_eq!(recorder.stop(StopReason::UserStopped).counters.recorded, 10);
}

#[test]
fn packets_of_a_file_wait_for_the_disk() {
    let fake = Fake::default();
    fake.set(|state| state.stalled = true);
    let pressure = Pressure::Wait;
    let mut recorder = fake.start(Config { pressure, ..config() });
    let opener = thread::spawn({
        let fake = fake.clone();
        move || {
            thread::sleep(Duration::from_millis(100));
            fake.set(|state| state.stalled = false);
        }
    });
    offer(&mut recorder, 0..5000, 1000);
    opener.join().unwrap();
    let status = recorder.stop(StopReason::SourceEnded);
    assert_eq!((status.counters.recorded, status.counters.dropped), (5000, 0));
    assert_eq!(numbers(fake.only_file()).len(), 5000);

    let fake = Fake::default();
    fake.set(|state| state.capacity = Some(24 + 50 * 1016));
    let mut recorder = fake.start(Config { pressure, ..config() });
    offer(&mut recorder, 0..5000, 1000);
    assert_eq!(recorder.stop_reason(), Some(StopReason::StorageFailed));
    let status = recorder.stop(StopReason::SourceEnded);
    assert_eq!((status.state(), status.counters.recorded), ("Error", 50));

    // All of it fits into the buffer, and the end comes before the writer has seen it.
    let mut recorder = fake.start(Config { pressure, ..config() });
    offer(&mut recorder, 0..100, 1000);
    let status = recorder.stop(StopReason::SourceEnded);
    assert_eq!(status.stop_reason, Some(StopReason::StorageFailed));
}

#[test]
#[should_panic(expected = "a bug in the writer")]
fn a_bug_in_the_writer_is_told_and_nobody_waits_for_it() {
    let fake = Fake::default();
    fake.set(|state| state.broken = true);
    let mut recorder = fake.start(Config { pressure: Pressure::Wait, ..config() });
    offer(&mut recorder, 0..5000, 1000);
    recorder.stop(StopReason::SourceEnded);
}

#[test]
fn a_packet_is_on_the_disk_soon_whether_more_come_or_not() {
    let fake = Fake::default();
    let mut recorder = fake.start(config());
    offer(&mut recorder, 0..1, 60);
    fake.wait(|state| state.partial.as_ref().unwrap().len() == 24 + 76);
    drop(recorder);
    assert_eq!(numbers(fake.only_file()), [0], "a session that is dropped completes its file");
}

#[test]
fn a_session_without_packets_leaves_a_capture_without_packets() {
    for format in [Format::Pcap, Format::Pcapng] {
        let fake = Fake::default();
        let recorder = fake.start(Config { format, ..config() });
        let status = recorder.stop(StopReason::UserStopped);
        assert_eq!(status.files.len(), 1);
        assert_eq!(numbers(fake.only_file()), [0; 0]);
    }
}

#[test]
fn filters_and_link_types_have_their_own_counters() {
    let fake = Fake::default();
    let filters = "protocol=Any,localIPAddress=10.0.0.1".parse().unwrap();
    let mut recorder = fake.start(Config { filters, ..config() });
    let passes = {
        let mut ip = vec![0x45, 0, 0, 20, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2];
        ip.resize(20, 0);
        ip
    };
    let data = frame(1, 60);
    let raw = Packet { link: LinkType::RAW, ..packet(1, &passes) };
    recorder.offer(&raw, START);
    recorder.offer(&packet(2, &data), START);
    recorder.offer(&Packet { link: LinkType::IPV4, ..raw }, START);
    // As received, judged by what is inside.
    recorder.offer_as(&packet(3, &data), Some(&raw), START);
    let Counters { recorded, filtered, left_out, .. } =
        recorder.stop(StopReason::UserStopped).counters;
    assert_eq!((recorded, filtered, left_out), (1, 1, 2));
}

#[test]
fn files_in_a_folder_never_replace_one_another() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("made");
    for _ in 0..3 {
        let mut recorder =
            Recorder::start(Destination::Folder(path.clone()), config(), START).unwrap();
        offer(&mut recorder, 0..1, 60);
        recorder.stop(StopReason::UserStopped);
    }
    let mut names: Vec<_> =
        std::fs::read_dir(&path).unwrap().map(|it| it.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(
        names,
        [
            "packetcapture_20251201_00_00_00_000.pcap",
            "packetcapture_20251201_00_00_00_001.pcap",
            "packetcapture_20251201_00_00_00_002.pcap",
        ]
    );
}

#[test]
fn a_ring_takes_over_earlier_files_only_if_it_is_to() {
    for (adopt, left) in [(true, 2), (false, 5)] {
        let folder = tempfile::tempdir().unwrap();
        for (at, partial) in [(1, ""), (2, ".partial"), (3, "")] {
            let name = name::of(Timestamp::new(at, 0), Format::Pcap) + partial;
            std::fs::write(folder.path().join(name), "earlier").unwrap();
        }
        std::fs::write(folder.path().join("packetcapture_of_tuesday.pcap"), "not ours").unwrap();
        let limits = Limits::continuous(Ring { files: 2, bytes: 200, adopt });
        let destination = Destination::Folder(folder.path().to_owned());
        let mut recorder = Recorder::start(
            destination,
            Config { limits, pressure: Pressure::Wait, ..config() },
            START,
        )
        .unwrap();
        offer(&mut recorder, 0..4, 100);
        let status = recorder.stop(StopReason::UserStopped);
        assert_eq!(status.counters.recorded, 4);
        let names = std::fs::read_dir(folder.path()).unwrap();
        assert_eq!(names.count(), left + 1, "adopt: {adopt}");
    }
}

#[test]
fn a_folder_that_cannot_be_made_is_told_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    for destination in [Destination::Folder(file.clone()), Destination::File(file.join("x"))] {
        let error = Recorder::start(destination, config(), START).unwrap_err();
        assert!(error.path.starts_with(&file), "{error}");
    }
}
