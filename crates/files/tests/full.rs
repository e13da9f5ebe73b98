//! A real file system that is full and has room again. Needs root, for a tmpfs in a mount
//! namespace of its own.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail loudly"
)]

use std::env;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use vtap_files::{Health, Rotating, Rotation};
use vtap_packet::Timestamp;
use vtap_testkit::tools;

/// Set for the process that has the tmpfs, 4 MiB of it.
const TMPFS: &str = "VTAP_FILES_TMPFS";

fn row(number: u64) -> String {
    format!("{number},{}\n", "x".repeat(100))
}

/// Takes all space but for what `rest` bytes need.
fn fill(directory: &Path, rest: usize) {
    let mut ballast = File::create(directory.join("ballast")).unwrap();
    while ballast.write_all(&[0; 4096]).is_ok() {}
    let size = ballast.metadata().unwrap().len();
    ballast.set_len(size - rest as u64).unwrap();
}

fn goes_on(directory: &Path, rotation: Rotation) {
    let packed = rotation.compression.is_some();
    let least = rotation.min_free_bytes;
    let mut rotating = Rotating::open(directory, ["rows", "csv"], "head\n", rotation).unwrap();
    let mut now = Timestamp::new(1_764_547_200, 0);
    let mut number = 0;
    let mut write = |rotating: &mut Rotating, now, rows| {
        for _ in 0..rows {
            number += 1;
            rotating.write(row(number).as_bytes(), now);
        }
        rotating.flush(now);
    };
    write(&mut rotating, now, 10);
    fill(directory, 20 * 1024 + usize::try_from(least).unwrap());
    let mut failed = None;
    // 2 MiB of rows, which pack well: so in many frames.
    for _ in 0..200 {
        write(&mut rotating, now, 100);
        now = now + Duration::from_millis(100);
        rotating.tick(now);
        match rotating.health() {
            None => {}
            Some(Health::Failing(error)) if failed.is_none() => failed = Some(error),
            other => panic!("{other:?}"),
        }
    }
    let error = failed.expect("the disk is full");
    assert_eq!(error.source.kind(), io::ErrorKind::StorageFull, "{error:?}");
    let full = rotating.counters();
    assert!(full.balance() && full.lost > 0 && full.retries > 0, "{full:?}");
    assert!(full.rows > 10, "what had room was written: {full:?}");

    fs::remove_file(directory.join("ballast")).unwrap();
    now = now + Duration::from_secs(60);
    rotating.tick(now);
    match rotating.health() {
        Some(Health::Recovered { lost }) => assert_eq!(lost, full.lost),
        other => panic!("{other:?}"),
    }
    write(&mut rotating, now, 10);
    rotating.finish(now).unwrap();
    let counters = rotating.counters();
    assert_eq!((counters.accepted, counters.files), (20_020, 1));
    assert_eq!(counters.rows + counters.lost, 20_020);

    let name = format!("rows-20251201T000000Z.csv{}", if packed { ".zst" } else { "" });
    let bytes = fs::read(directory.join(&name)).unwrap();
    let bytes = if packed { zstd::decode_all(&bytes[..]).unwrap() } else { bytes };
    let text = String::from_utf8(bytes).unwrap();
    let rows = text.strip_prefix("head\n").unwrap();
    let numbers: Vec<u64> = rows
        .lines()
        .map(|line| {
            let number = line.split_once(',').unwrap().0.parse().unwrap();
            assert_eq!(format!("{line}\n"), row(number));
            number
        })
        .collect();
    assert_eq!(numbers.len() as u64, counters.rows);
    assert!(numbers.is_sorted_by(|a, b| a < b));
    // The first that waited is there, and the last, which came when there was room.
    assert_eq!(
        (numbers[0], numbers[usize::try_from(full.rows).unwrap()], numbers.last()),
        (1, full.rows + 1, Some(&20_020))
    );
    fs::remove_file(directory.join(name)).unwrap();
}

#[test]
fn a_full_file_system_loses_only_what_it_counts_and_goes_on_when_there_is_room() {
    if let Some(directory) = env::var_os(TMPFS) {
        let small = Rotation { buffer_bytes: 256 << 10, min_free_bytes: 0, ..Rotation::default() };
        for compression in [None, Some(3)] {
            for min_free_bytes in [0, 1 << 20] {
                let rotation = Rotation { compression, min_free_bytes, ..small.clone() };
                goes_on(Path::new(&directory), rotation);
            }
        }
        return;
    }
    if !tools::installed(&["unshare", "mount"]) {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let script = "mount -t tmpfs -o size=4m tmpfs \"$1\" || exit 77; shift; exec \"$@\"";
    let name = "a_full_file_system_loses_only_what_it_counts_and_goes_on_when_there_is_room";
    let run = Command::new("unshare")
        .args(["-m", "sh", "-c", script, "sh"])
        .arg(directory.path())
        .arg(env::current_exe().unwrap())
        .args([name, "--exact", "--nocapture"])
        .env(TMPFS, directory.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&run.stdout) + String::from_utf8_lossy(&run.stderr);
    let is_refused = run.status.code() == Some(77) || said.contains("unshare failed");
    if is_refused {
        return tools::skipped(&format!("needs root, to mount a tmpfs: {}", said.trim()));
    }
    assert!(run.status.success() && said.contains("1 passed"), "{said}");
}
