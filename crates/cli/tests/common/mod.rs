//! Runs the binary as a user does, with a limit on its time.

#![allow(dead_code, reason = "each test file uses its own part")]

pub(crate) mod lab;
pub(crate) mod logs;

use std::ffi::OsStr;
use std::io::{Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use serde_json::Value;
use vtap_testkit::{data, tools};

/// No test input takes a second; this is for a machine that is busy with other things.
const LIMIT: Duration = Duration::from_secs(60);

/// What a program left behind.
pub(crate) struct Ran {
    pub(crate) status: i32,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
}

impl Ran {
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.stdout).unwrap()
    }

    /// Standard output as JSON lines.
    pub(crate) fn rows(&self) -> Vec<Value> {
        let parse = |line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
        self.text().lines().map(parse).collect()
    }
}

/// Runs `vtap`.
#[track_caller]
pub(crate) fn vtap<S: AsRef<OsStr>>(args: &[S]) -> Ran {
    run(Command::new(env!("CARGO_BIN_EXE_vtap")).args(args), None)
}

/// Runs a program to its end, with these bytes as standard input. One that takes too long is
/// killed, and the test fails; so does one that a signal ended.
#[track_caller]
pub(crate) fn run(command: &mut Command, input: Option<Vec<u8>>) -> Ran {
    command.stdin(if input.is_some() { Stdio::piped() } else { Stdio::null() });
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    if let Some(input) = input {
        let mut stdin = child.stdin.take().unwrap();
        // One that does not read to the end closes the pipe.
        thread::spawn(move || drop(stdin.write_all(&input)));
    }
    let stdout = gather(child.stdout.take().unwrap());
    let stderr = gather(child.stderr.take().unwrap());
    let (Ok(stdout), Ok(stderr)) = (stdout.recv_timeout(LIMIT), stderr.recv_timeout(LIMIT)) else {
        child.kill().unwrap();
        panic!("{command:?} did not end within {LIMIT:?}");
    };
    let status = child.wait().unwrap();
    let stderr = String::from_utf8_lossy(&stderr).into_owned();
    assert!(status.signal().is_none(), "{command:?}: {status}: {stderr}");
    let status = status.code().unwrap();
    // Rust's own status of a panic.
    assert!(status != 101, "{command:?}: {stderr}");
    Ran { status, stdout, stderr }
}

/// Reads a pipe to its end, aside.
pub(crate) fn gather(mut pipe: impl Read + Send + 'static) -> mpsc::Receiver<Vec<u8>> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut bytes = Vec::new();
        pipe.read_to_end(&mut bytes).unwrap();
        let _ = sender.send(bytes);
    });
    receiver
}

/// Waits for the end of a child, which is killed if it takes too long.
#[track_caller]
pub(crate) fn ended(mut child: Child) -> i32 {
    for _ in 0..LIMIT.as_millis() / 10 {
        if let Some(status) = child.try_wait().unwrap() {
            return status.code().unwrap_or_else(|| panic!("{status}"));
        }
        thread::sleep(Duration::from_millis(10));
    }
    child.kill().unwrap();
    panic!("a child did not end within {LIMIT:?}");
}

/// `vtap replay --format json` of a file with more options: the events, the summary and the run.
#[track_caller]
pub(crate) fn replay(options: &[&str], file: &Path) -> (Vec<Value>, Value, Ran) {
    let folder = tempfile::tempdir().unwrap();
    let summary = folder.path().join("summary.json");
    let mut args: Vec<&OsStr> = vec!["replay".as_ref(), "--format".as_ref(), "json".as_ref()];
    args.extend(["--summary".as_ref(), summary.as_os_str()]);
    args.extend(options.iter().map(OsStr::new));
    args.push(file.as_os_str());
    let ran = vtap(&args);
    let summary = std::fs::read(&summary).unwrap_or_else(|_| panic!("{args:?}: {}", ran.stderr));
    (ran.rows(), serde_json::from_slice(&summary).unwrap(), ran)
}

/// `vtap trace --format json` of a file with more options.
#[track_caller]
pub(crate) fn trace(options: &[&str], file: &Path) -> Vec<Value> {
    let mut args: Vec<&OsStr> = vec!["trace".as_ref(), "--format".as_ref(), "json".as_ref()];
    args.extend(options.iter().map(OsStr::new));
    args.push(file.as_os_str());
    vtap(&args).rows()
}

/// Captures of `testdata/tap` as they were recorded, by name.
pub(crate) fn tap() -> Vec<PathBuf> {
    captures(&data::testdata("tap"))
}

/// The files of a folder that are pcap by name, in order.
pub(crate) fn captures(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut paths: Vec<_> =
        entries.filter(|path| path.extension().is_some_and(|it| it == "pcap")).collect();
    paths.sort();
    assert!(!paths.is_empty(), "{}", folder.display());
    paths
}

/// A row of the corpus's manifest.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    pub(crate) path: PathBuf,
    pub(crate) name: String,
    /// Packets to a VXLAN port with a VXLAN header, as the manifest counts them.
    pub(crate) vxlan: u64,
    /// What the manifest's own reader counts.
    pub(crate) packets: u64,
    /// What tshark counts.
    pub(crate) packets_tshark: u64,
}

/// Every capture of the corpus; says so where it is absent.
pub(crate) fn corpus() -> Option<Vec<Sample>> {
    let Some(corpus) = data::corpus() else {
        tools::skipped("the corpus of public captures is not beside this checkout");
        return None;
    };
    let manifest = std::fs::read_to_string(corpus.join("MANIFEST.tsv")).unwrap();
    let mut rows = manifest.lines().map(|line| line.split('\t').collect::<Vec<_>>());
    let header = rows.next().unwrap();
    let column = |name| header.iter().position(|column| *column == name).unwrap();
    let (file, vxlan) = (column("file"), column("vxlan"));
    let (packets, packets_tshark) = (column("packets_own_reader"), column("packets_tshark"));
    let sample = |row: Vec<&str>| Sample {
        path: corpus.join(row[file]),
        name: row[file].to_owned(),
        vxlan: row[vxlan].parse().unwrap(),
        packets: row[packets].parse().unwrap(),
        packets_tshark: row[packets_tshark].parse().unwrap(),
    };
    let samples: Vec<_> = rows.map(sample).collect();
    assert!(samples.len() > 100, "{} rows", samples.len());
    Some(samples)
}

/// Options that a file of the corpus needs to be read as what it is.
pub(crate) fn options(name: &str) -> &'static [&'static str] {
    if name.contains("vxlan_port_8472") { &["--port", "8472"] } else { &[] }
}

/// Runs a check of each item, half of them on another thread.
pub(crate) fn each<T: Sync>(items: &[T], check: impl Fn(&T) + Sync) {
    let next = std::sync::atomic::AtomicUsize::new(0);
    let work = || {
        while let Some(item) = items.get(next.fetch_add(1, std::sync::atomic::Ordering::Relaxed)) {
            check(item);
        }
    };
    thread::scope(|scope| {
        scope.spawn(work);
        work();
    });
}

pub(crate) fn uint(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("{value}"))
}

/// The sum over an object of counts.
pub(crate) fn sum(counts: &Value) -> u64 {
    counts.as_object().unwrap().values().map(uint).sum()
}

/// Seconds and their fraction, and bytes, of the packets of a little-endian pcap, read without
/// any of our own code.
#[track_caller]
pub(crate) fn records(path: &Path) -> Vec<((u32, u32), Vec<u8>)> {
    let bytes = std::fs::read(path).unwrap();
    let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
    assert!([0xa1b2_3c4d, 0xa1b2_c3d4].contains(&word(0)), "{}", path.display());
    let (mut at, mut records) = (24, Vec::new());
    while at < bytes.len() {
        let len = word(at + 8) as usize;
        records.push(((word(at), word(at + 4)), bytes[at + 16..at + 16 + len].to_vec()));
        at += 16 + len;
    }
    records
}
