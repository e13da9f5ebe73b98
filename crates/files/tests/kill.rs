//! A writer that is killed at any moment: its files read to the last flush, and the next run
//! completes them.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail loudly")]

use std::env;
use std::fs;
use std::io::{self, BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread::{self, sleep};
use std::time::Duration;

use vtap_files::{Rotating, Rotation};
use vtap_packet::Timestamp;
use vtap_testkit::tools;

/// Set for the process that writes: where to, and whether packed.
const WRITER: &str = "VTAP_FILES_WRITER";
const HEAD: &str = "number,filler\n";

fn rotation(packed: bool) -> Rotation {
    Rotation {
        bytes: Some(if packed { 20_000 } else { 300_000 }),
        every: Some(Duration::from_secs(3)),
        compression: packed.then_some(1),
        min_free_bytes: 0,
        ..Rotation::default()
    }
}

fn open(directory: &Path, packed: bool) -> Rotating {
    Rotating::open(directory, ["rows", "csv"], HEAD, rotation(packed)).unwrap()
}

/// Writes numbered rows for ever, and says on standard output which one was flushed last.
fn write(directory: &Path, packed: bool) {
    let mut rotating = open(directory, packed);
    let mut now = Timestamp::new(1_764_547_200, 0);
    let mut number = 0_u64;
    loop {
        for _ in 0..1 + number % 7 {
            let mut rows = String::new();
            for _ in 0..1 + number % 150 {
                number += 1;
                rows += &format!(
                    "{number},{}\n",
                    "x".repeat(usize::try_from(number * 31 % 97).unwrap())
                );
            }
            rotating.write(rows.as_bytes(), now);
        }
        rotating.flush(now);
        now = now + Duration::from_millis(100);
        rotating.tick(now);
        assert!(rotating.health().is_none());
        println!("flushed {number}");
    }
}

/// The numbers of the rows of all files, the oldest first, and what `zstd -dc` says of each.
fn numbers(directory: &Path) -> Vec<u64> {
    let mut files: Vec<_> =
        fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort_by_key(|path| {
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let label = name.split('.').next().unwrap().strip_prefix("rows-").unwrap().to_owned();
        let (begin, number) = label.split_once('-').unwrap_or((&label, "1"));
        (begin.to_owned(), number.parse::<u32>().unwrap())
    });
    let mut numbers = Vec::new();
    for path in files {
        let name = path.to_str().unwrap();
        let bytes = if name.contains(".zst") {
            let read = Command::new("zstd").arg("-dcq").arg(&path).output().unwrap();
            assert!(name.ends_with(".partial") || read.status.success(), "{name}: {read:?}");
            read.stdout
        } else {
            fs::read(&path).unwrap()
        };
        let mut text = String::from_utf8(bytes).unwrap();
        if name.ends_with(".partial") {
            // What a kill in the middle of a write leaves; nothing of it was flushed.
            text.truncate(text.rfind('\n').map_or(0, |at| at + 1));
            if text.is_empty() {
                continue;
            }
        }
        let rows = text.strip_prefix(HEAD).unwrap();
        assert!(rows.ends_with('\n') || rows.is_empty(), "{name}");
        for row in rows.lines() {
            let (number, filler) = row.split_once(',').unwrap();
            let number: u64 = number.parse().unwrap();
            assert_eq!(filler.len() as u64, number * 31 % 97, "{name}: {row}");
            numbers.push(number);
        }
    }
    numbers
}

#[test]
fn a_kill_takes_nothing_that_was_flushed() {
    if let Some(directory) = env::var_os(WRITER) {
        let directory = Path::new(&directory);
        return write(directory, directory.ends_with("packed"));
    }
    if !tools::installed(&["zstd"]) {
        return;
    }
    let name = "a_kill_takes_nothing_that_was_flushed";
    for round in 0..20_u64 {
        let packed = round % 2 == 1;
        let temp = tempfile::tempdir().unwrap();
        let directory = temp.path().join(if packed { "packed" } else { "plain" });
        fs::create_dir(&directory).unwrap();
        let mut writer = Command::new(env::current_exe().unwrap())
            .args([name, "--exact", "--nocapture"])
            .env(WRITER, &directory)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = writer.stdout.take().unwrap();
        let (begun, has_begun) = mpsc::channel();
        let lines = thread::spawn(move || {
            let mut last = 0_u64;
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if let Some(number) = line.strip_prefix("flushed ") {
                    last = number.parse().unwrap();
                    let _ = begun.send(());
                }
            }
            last
        });
        has_begun.recv().unwrap();
        sleep(Duration::from_micros(17_389 * round));
        // In use: left alone by one who starts now.
        let other = open(&directory, packed);
        let in_use = other.leftovers().in_use.len();
        drop(other);
        writer.kill().unwrap();
        writer.wait().unwrap();
        let flushed = lines.join().unwrap();

        let left = numbers(&directory);
        assert!(left.iter().copied().eq(1..=left.len() as u64), "round {round}");
        assert!(left.len() as u64 >= flushed, "round {round}: {} of {flushed}", left.len());
        assert!(flushed > 0 && in_use <= 1, "round {round}: {in_use} in use");

        let next = open(&directory, packed);
        assert!(next.leftovers().failed.is_empty() && next.leftovers().in_use.is_empty());
        assert_eq!(numbers(&directory), left, "round {round}");
        let is_partial = |entry: io::Result<fs::DirEntry>| {
            entry.unwrap().file_name().to_str().unwrap().ends_with(".partial")
        };
        assert!(!fs::read_dir(&directory).unwrap().any(is_partial));
    }
}
