//! A file system that is full while nothing is uploaded, and empties as uploads go on. Needs root,
//! for a tmpfs in a mount namespace of its own.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "tests fail loudly"
)]

use std::env;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, SystemTime};

use vtap_files::{Health, Rotating, Rotation};
use vtap_packet::Timestamp;
use vtap_store::{Config, Credentials, Destination, Spool, Uploader};
use vtap_testkit::tools;

/// Set for the process that has the tmpfs, 4 MiB of it.
const TMPFS: &str = "VTAP_STORE_TMPFS";
const ROWS: u64 = 100_000;

fn now() -> Timestamp {
    #[expect(clippy::disallowed_methods, reason = "files have the time of the machine")]
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    Timestamp::new(since.as_secs(), since.subsec_nanos().into())
}

fn writes_and_uploads(spool: &Path) {
    let store = tempfile::tempdir_in("/var/tmp").unwrap();
    let rotation = Rotation {
        bytes: Some(300_000),
        buffer_bytes: 16 << 20,
        min_free_bytes: 1 << 20,
        ..Rotation::default()
    };
    let mut rotating = Rotating::open(spool, ["rows", "csv"], "", rotation).unwrap();
    let mut time = Timestamp::new(1_764_547_200, 0);
    for number in 0..ROWS {
        rotating.write(format!("{number:099}\n").as_bytes(), time);
        time = time + Duration::from_millis(50);
    }
    assert!(matches!(rotating.health(), Some(Health::Failing(_))));
    let full = rotating.counters();
    assert!(full.waiting > 0 && full.rows < ROWS / 2, "{full:?}");

    let url = format!("file://{}", store.path().display());
    let destination = Destination::open(&url, &Credentials::default()).unwrap();
    let config = Config {
        spools: vec![Spool { directory: spool.to_owned(), prefix: String::new() }],
        scan_every: Duration::from_millis(50),
        // With none, files that begin at one tick would take each other's names.
        remove_after: Duration::from_millis(500),
        ..Config::default()
    };
    let uploader = Uploader::start(destination, config, now).unwrap();
    while rotating.counters().waiting > 0 {
        time = time + Duration::from_secs(30);
        rotating.tick(time);
        sleep(Duration::from_millis(20));
    }
    rotating.finish(time).unwrap();
    assert_eq!(uploader.drain(Duration::from_secs(30)).files, 0, "{:?}", uploader.health());
    let counters = rotating.counters();
    assert_eq!((counters.rows, counters.lost), (ROWS, 0));
    assert_eq!(uploader.counters().uploaded, counters.files);

    let mut numbers = Vec::new();
    for entry in fs::read_dir(store.path()).unwrap() {
        let text = fs::read_to_string(entry.unwrap().path()).unwrap();
        numbers.extend(text.lines().map(|line| line.parse::<u64>().unwrap()));
    }
    numbers.sort_unstable();
    assert!(numbers.iter().copied().eq(0..ROWS), "{} of {ROWS}", numbers.len());
}

#[test]
fn a_disk_that_is_full_empties_into_the_store_and_no_row_is_lost() {
    if let Some(directory) = env::var_os(TMPFS) {
        return writes_and_uploads(Path::new(&directory));
    }
    if !tools::installed(&["unshare", "mount"]) {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let script = "mount -t tmpfs -o size=4m tmpfs \"$1\" || exit 77; shift; exec \"$@\"";
    let name = "a_disk_that_is_full_empties_into_the_store_and_no_row_is_lost";
    let run = Command::new("unshare")
        .args(["-m", "sh", "-c", script, "sh"])
        .arg(directory.path())
        .arg(env::current_exe().unwrap())
        .args([name, "--exact", "--nocapture"])
        .env(TMPFS, directory.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&run.stdout) + String::from_utf8_lossy(&run.stderr);
    if run.status.code() == Some(77) || said.contains("unshare failed") {
        return tools::skipped(&format!("needs root, to mount a tmpfs: {}", said.trim()));
    }
    assert!(run.status.success() && said.contains("1 passed"), "{said}");
}
