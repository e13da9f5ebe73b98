//! From names to one source: compression, pipes, directories, patterns, merging.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::cast_possible_truncation)]

mod common;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::{Drained, Little, Pcap, Pcapng, SECONDS, data, drain};
use flate2::{Compression, write::GzEncoder};
use tempfile::TempDir;
use vtap_capture::{Error, File, Kind, Progress, Source, open};

/// One packet for each time, in seconds past the usual; its one byte is `name`.
fn pcap(name: u8, times: &[u32]) -> Vec<u8> {
    let mut file = Pcap::plain();
    for time in times {
        file.raw([SECONDS + time, 0, 1, 1], &[name]);
    }
    file.bytes
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn names(read: &Drained) -> String {
    read.packets.iter().map(|packet| packet.data[0] as char).collect()
}

struct Folder(TempDir);

impl Folder {
    fn new(files: &[(&str, Vec<u8>)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for (name, bytes) in files {
            fs::write(folder.path().join(name), bytes).unwrap();
        }
        Self(folder)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn paths(&self, names: &[&str]) -> Vec<PathBuf> {
        names.iter().map(|name| self.path(name)).collect()
    }
}

#[test]
fn compressed_files_read_like_plain_ones() {
    let mut plain = Pcap::plain();
    for seed in 0..3000 {
        plain.packet(seed, &data(seed, 1000));
    }
    let plain = plain.bytes;
    let (left, right) = plain.split_at(1_000_000);
    let zstd = |bytes: &[u8]| zstd::encode_all(bytes, 1).unwrap();
    let expected = drain(&mut File::from_bytes(plain.clone()).unwrap());
    assert_eq!((expected.packets.len(), &expected.damage), (3000, &vec![]));
    for packed in [
        gzip(&plain),
        [gzip(left), gzip(right)].concat(),
        zstd(&plain),
        [zstd(left), zstd(right)].concat(),
        // A frame to skip comes first, as pzstd writes it.
        [&[0x50, 0x2a, 0x4d, 0x18, 4, 0, 0, 0, 1, 2, 3, 4], &zstd(&plain)[..]].concat(),
    ] {
        let folder = Folder::new(&[("named-otherwise.pcap", packed.clone())]);
        let mut file = File::open(&folder.path("named-otherwise.pcap")).unwrap();
        assert_eq!(drain(&mut file), expected);
        let total = Some(packed.len() as u64);
        assert_eq!(file.progress(), Progress { bytes: packed.len() as u64, total });
        assert_eq!(drain(&mut File::from_bytes(packed).unwrap()), expected);
    }
}

#[test]
fn compressed_files_that_are_cut_or_broken_keep_all_before() {
    let mut plain = Pcap::plain();
    for seed in 0..3000 {
        plain.packet(seed, &data(seed, 1000));
    }
    let mut zstd = zstd::Encoder::new(Vec::new(), 1).unwrap();
    zstd.include_checksum(true).unwrap();
    zstd.write_all(&plain.bytes).unwrap();
    for packed in [gzip(&plain.bytes), zstd.finish().unwrap()] {
        let cut = drain(&mut File::from_bytes(packed[..packed.len() / 2].to_vec()).unwrap());
        assert!(cut.packets.len() > 1000 && cut.packets.len() < 2000);
        assert!(matches!(cut.damage[..], [(_, _, Kind::Cut)]), "{:?}", cut.damage);

        // Nothing is missing but the end of the stream itself.
        let whole = drain(&mut File::from_bytes(packed[..packed.len() - 2].to_vec()).unwrap());
        assert_eq!(whole.packets.len(), 3000);
        assert!(matches!(whole.damage[..], [(_, 0, Kind::Cut)]), "{:?}", whole.damage);

        let mut broken = packed.clone();
        broken[packed.len() / 2..][..1000].fill(0xaa);
        let broken = drain(&mut File::from_bytes(broken).unwrap());
        assert!(broken.packets.len() > 1000);
        let damage = &broken.damage;
        assert!(damage.iter().any(|(.., kind)| matches!(kind, Kind::Compression(_))), "{damage:?}");

        let mut trailing = packed.clone();
        trailing.extend([7; 40]);
        let trailing = drain(&mut File::from_bytes(trailing).unwrap());
        assert_eq!(trailing.packets.len(), 3000);
        assert!(matches!(trailing.damage[..], [(_, 0, Kind::Compression(_))]));
    }
    for len in 0..12 {
        let cut = drain(&mut File::from_bytes(gzip(&plain.bytes)[..len].to_vec()).unwrap());
        assert!(cut.packets.is_empty() && cut.damage.len() == usize::from(len > 0), "{len}");
    }
}

#[test]
fn a_compressed_text_is_no_capture() {
    let error = File::from_bytes(gzip(b"Dear diary, nothing was captured today")).unwrap_err();
    assert!(matches!(error, Error::NotACapture { begins, .. } if begins == b"Dear dia"));
    let twice = gzip(&gzip(&pcap(b'a', &[1])));
    assert!(matches!(File::from_bytes(twice), Err(Error::NotACapture { .. })));
}

#[test]
fn a_fifo_is_read_to_its_end() {
    let folder = Folder::new(&[("plain", pcap(b'p', &[5, 7]))]);
    let fifo = folder.path("fifo");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    for bytes in [pcap(b'f', &[4, 6]), gzip(&pcap(b'f', &[4, 6]))] {
        let writer = {
            let fifo = fifo.clone();
            std::thread::spawn(move || fs::write(fifo, bytes).unwrap())
        };
        let mut inputs = open(&[fifo.clone(), folder.path("plain")]).unwrap();
        assert_eq!(inputs.progress().total, None);
        assert_eq!(names(&drain(&mut inputs)), "fpfp");
        writer.join().unwrap();
    }
}

#[test]
fn files_are_merged_by_time_and_the_earlier_named_comes_first() {
    let folder = Folder::new(&[
        ("a", pcap(b'a', &[1, 4, 4, 9])),
        // Out of order within: the file keeps its order.
        ("b", pcap(b'b', &[4, 2, 10])),
        ("c.gz", gzip(&pcap(b'c', &[0, 4, 5]))),
        ("empty", vec![]),
    ]);
    let mut inputs = open(&folder.paths(&["a", "b", "empty", "c.gz"])).unwrap();
    let read = drain(&mut inputs);
    assert_eq!(names(&read), "caaabbccab");
    assert_eq!(inputs.unreadable().count(), 0);
    let Progress { bytes, total } = inputs.progress();
    assert_eq!(Some(bytes), total);

    let mut inputs = open(&folder.paths(&["b", "a"])).unwrap();
    assert_eq!(names(&drain(&mut inputs)), "abbaaab");
}

#[test]
fn interfaces_of_different_files_are_told_apart() {
    let mut left = Pcapng::new(Little);
    left.interface(1, 0, &[(2, b"eth0")]).interface(113, 0, &[(2, b"any")]);
    left.enhanced(1, 1, 1, b"l").enhanced(0, 3, 1, b"l");
    let mut right = Pcapng::new(Little);
    right.interface(101, 0, &[(2, b"tun0")]).enhanced(0, 2, 1, b"r").enhanced(0, 4, 1, b"r");
    let folder = Folder::new(&[("left", left.bytes), ("right", right.bytes)]);
    let mut inputs = open(&folder.paths(&["left", "right"])).unwrap();
    let read = drain(&mut inputs);
    let ids: Vec<_> = read.packets.iter().map(|packet| (packet.interface, packet.link)).collect();
    assert_eq!(ids, [(0, 113), (1, 101), (2, 1), (1, 101)]);
    let name = |id| inputs.interface(id).unwrap().name.clone();
    assert_eq!([name(0), name(1), name(2)], ["any", "tun0", "eth0"]);
}

#[test]
fn the_pieces_of_a_rotated_capture_are_of_one_interface() {
    let folder = Folder::new(&[
        ("first", pcap(b'1', &[1, 2])),
        ("second", pcap(b'2', &[3, 4])),
        ("elsewhere", pcap(b'e', &[1, 5])),
    ]);
    let mut inputs = open(&folder.paths(&["first", "second", "elsewhere"])).unwrap();
    let read = drain(&mut inputs);
    assert_eq!(names(&read), "1e122e");
    let ids: Vec<_> = read.packets.iter().map(|packet| packet.interface).collect();
    assert_eq!(ids, [0, 1, 0, 0, 0, 1]);
}

#[test]
fn damage_of_a_merge_names_its_files_once() {
    let mut cut = pcap(b'a', &[1, 3]);
    cut.truncate(cut.len() - 1);
    let mut broken = pcap(b'b', &[2, 4, 5, 6]);
    broken[24 + 17 + 8..][..4].fill(0xff);
    let folder = Folder::new(&[("cut", cut), ("broken", broken), ("bare", vec![0xd4, 0xc3])]);
    let mut inputs = open(&folder.paths(&["cut", "broken", "bare"])).unwrap();
    assert_eq!(names(&drain(&mut inputs)), "abbb");
    let mut damage: Vec<_> = inputs.damage().iter().map(ToString::to_string).collect();
    damage.sort();
    let path = |name| folder.path(name).display().to_string();
    let expected = [
        format!("{}: byte 0: the input ends early; 2 bytes passed over", path("bare")),
        format!(
            "{}: byte 41: a record claims 4294967295 bytes; 17 bytes passed over",
            path("broken")
        ),
        format!("{}: byte 41: the input ends early; 16 bytes passed over", path("cut")),
    ];
    assert_eq!(damage, expected);
    assert_eq!(inputs.damage().iter().filter(|damage| damage.is_cut()).count(), 2);
}

#[test]
fn a_directory_gives_its_captures_by_name() {
    let folder = Folder::new(&[
        ("2.pcap", pcap(b'2', &[1])),
        ("1.pcap", pcap(b'1', &[1])),
        ("3.pcapng.gz", gzip(&pcap(b'3', &[1]))),
        ("README", b"about these captures".to_vec()),
    ]);
    fs::create_dir(folder.path("below")).unwrap();
    fs::write(folder.path("below/4.pcap"), pcap(b'4', &[1])).unwrap();
    let mut inputs = open(&[folder.0.path().to_owned()]).unwrap();
    assert_eq!(names(&drain(&mut inputs)), "123");
    assert_eq!(inputs.passed_over(), [folder.path("README")]);
    assert_eq!(inputs.unreadable().count(), 0);

    fs::remove_file(folder.path("below/4.pcap")).unwrap();
    let error = open(&[folder.path("below")]).unwrap_err();
    assert!(matches!(error, Error::EmptyDirectory(_)), "{error}");
}

#[test]
fn a_pattern_is_expanded_unless_a_file_has_that_name() {
    let folder = Folder::new(&[("x1", pcap(b'1', &[1])), ("x2", pcap(b'2', &[2]))]);
    let mut inputs = open(&folder.paths(&["x?"])).unwrap();
    assert_eq!(names(&drain(&mut inputs)), "12");
    fs::write(folder.path("x?"), pcap(b'?', &[3])).unwrap();
    assert_eq!(names(&drain(&mut open(&folder.paths(&["x?"])).unwrap())), "?");

    for (pattern, why) in [("none*", "nothing matches"), ("x[", "invalid range")] {
        let error = open(&folder.paths(&[pattern])).unwrap_err();
        assert!(error.to_string().contains(why), "{error}");
    }
}

#[test]
fn what_cannot_be_opened_is_told_and_the_rest_is_read() {
    let folder = Folder::new(&[("good", pcap(b'g', &[1])), ("bad", b"no capture".to_vec())]);
    let mut inputs = open(&folder.paths(&["missing", "good", "bad"])).unwrap();
    assert_eq!(names(&drain(&mut inputs)), "g");
    let errors: Vec<_> = inputs.unreadable().map(ToString::to_string).collect();
    assert!(errors[0].contains("missing: cannot open: No such file"), "{errors:?}");
    assert!(errors[1].contains("bad: not a capture file: begins with [6e, 6f"), "{errors:?}");

    let error = open(&folder.paths(&["missing", "bad"])).unwrap_err();
    assert!(matches!(&error, Error::NothingOpened { others, .. } if others.len() == 1), "{error}");
    assert!(matches!(open(&folder.paths(&["missing"])), Err(Error::Open { .. })));
    assert!(matches!(open(&[]), Err(Error::NoInput)));
}

#[test]
fn a_file_that_is_gone_when_its_turn_comes_is_told() {
    let folder = Folder::new(&[("a", pcap(b'a', &[1, 3])), ("b", pcap(b'b', &[2]))]);
    let mut inputs = open(&folder.paths(&["a", "b"])).unwrap();
    fs::remove_file(folder.path("b")).unwrap();
    assert_eq!(names(&drain(&mut inputs)), "aa");
    assert_eq!(inputs.unreadable().count(), 1);
}

#[test]
fn a_thousand_files_need_no_thousand_descriptors() {
    let bytes: Vec<_> = (0..1500).map(|at| gzip(&pcap(b'x', &[at]))).collect();
    let folder = tempfile::tempdir().unwrap();
    for (at, bytes) in bytes.iter().enumerate() {
        fs::write(folder.path().join(format!("{at:04}")), bytes).unwrap();
    }
    let mut inputs = open(&[folder.path().to_owned()]).unwrap();
    let read = drain(&mut inputs);
    assert_eq!((read.packets.len(), inputs.unreadable().count()), (1500, 0));
    assert!(read.nanos().is_sorted());
}

#[test]
fn one_file_is_read_without_a_merge() {
    let folder = Folder::new(&[("a", pcap(b'a', &[3, 1, 2]))]);
    let mut inputs = open(&folder.paths(&["a"])).unwrap();
    let read = drain(&mut inputs);
    assert!(!read.nanos().is_sorted() && read.packets.len() == 3);
    let total = Some(24 + 3 * 17);
    assert_eq!(inputs.progress(), Progress { bytes: 24 + 3 * 17, total });
    assert!(matches!(File::open(Path::new("/")), Err(Error::Open { .. })));
}
