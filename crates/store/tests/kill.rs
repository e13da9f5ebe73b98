//! An uploader that is killed at any moment: the next goes on, and no object is ever in part.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "tests fail loudly"
)]

mod common;

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use common::{Azurite, Client, bytes, files, start, write};

/// Set for the process that uploads: the port, and from where.
const PORT: &str = "VTAP_STORE_PORT";
const SPOOL: &str = "VTAP_STORE_SPOOL";

/// Uploads for ever where this is the process for that.
fn is_child() -> bool {
    let (Some(port), Some(spool)) = (env::var_os(PORT), env::var_os(SPOOL)) else { return false };
    let port = port.to_str().unwrap().parse().unwrap();
    let uploader = start(port, &PathBuf::from(spool));
    loop {
        if uploader.drain(Duration::from_secs(60)).files == 0 {
            let status = fs::read_to_string("/proc/self/status").unwrap();
            let peak = status.lines().find(|line| line.starts_with("VmHWM")).unwrap();
            fs::write(env::temp_dir().join(format!("vtap-store-{port}")), peak).unwrap();
            return true;
        }
    }
}

fn child(test: &str, port: u16, spool: &Path) -> Command {
    let mut command = Command::new(env::current_exe().unwrap());
    command.args([test, "--exact"]).env(PORT, port.to_string()).env(SPOOL, spool);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command
}

#[test]
fn an_uploader_killed_at_any_moment_loses_nothing_and_leaves_no_part() {
    if is_child() {
        return;
    }
    let data = tempfile::tempdir().unwrap();
    let Some(azurite) = Azurite::start(data.path(), 0) else { return };
    let client = Client::new(azurite.port);
    client.create_container();
    let temp = tempfile::tempdir().unwrap();
    let test = "an_uploader_killed_at_any_moment_loses_nothing_and_leaves_no_part";
    let (mut expected, mut between) = (BTreeMap::new(), 0);
    let whole = |expected: &BTreeMap<String, Vec<u8>>| {
        let there = client.list();
        for (name, size) in &there {
            let name = name.strip_prefix("site 1/tap/").unwrap();
            assert_eq!(*size, expected[name].len() as u64, "{name} is not whole");
        }
        there.len()
    };
    for round in 0..12_u64 {
        for number in 0..12 {
            let length = if number == 5 { 30_000_000 } else { 50_000 };
            let (name, bytes) = (format!("{round}/{number}"), bytes(round * 100 + number, length));
            write(temp.path(), &name, &bytes);
            expected.insert(name, bytes);
        }
        let mut uploader = child(test, azurite.port, temp.path()).spawn().unwrap();
        sleep(Duration::from_millis(20 + 37 * round));
        whole(&expected);
        uploader.kill().unwrap();
        uploader.wait().unwrap();
        between += usize::from((1..expected.len()).contains(&whole(&expected)));
    }
    // Else the kills came too early or too late to tell anything.
    assert!(between > 3, "{between} of 12 kills in the middle");
    assert!(child(test, azurite.port, temp.path()).status().unwrap().success());
    assert!(client.contents() == expected);
    assert_eq!(files(temp.path()), 0);
}

#[test]
fn a_large_file_takes_no_more_memory_than_its_blocks() {
    if is_child() {
        return;
    }
    let data = tempfile::tempdir().unwrap();
    let Some(azurite) = Azurite::start(data.path(), 0) else { return };
    let client = Client::new(azurite.port);
    client.create_container();
    let temp = tempfile::tempdir().unwrap();
    let length = 400_000_000;
    write(temp.path(), "ring.pcapng", &bytes(1, length));
    let test = "a_large_file_takes_no_more_memory_than_its_blocks";
    assert!(child(test, azurite.port, temp.path()).status().unwrap().success());
    assert_eq!(client.list()["site 1/tap/ring.pcapng"], length as u64);
    let report = env::temp_dir().join(format!("vtap-store-{}", azurite.port));
    let peak = fs::read_to_string(&report).unwrap();
    fs::remove_file(report).unwrap();
    let kib: u64 = peak.split_whitespace().nth(1).unwrap().parse().unwrap();
    println!("peak: {kib} KiB");
    assert!(kib < 96 << 10, "{kib} KiB");
}
