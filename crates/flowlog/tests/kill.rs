//! A run that is killed at any moment: every file reads, and nothing is missing that was closed.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests fail loudly"
)]
#![allow(clippy::cast_possible_truncation, reason = "tests build small things from big types")]

mod common;

use std::env;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread::{self, sleep};
use std::time::Duration;

use common::{Flow, Reader, at, files, inside};
use serde_json::Value;
use vtap_flow::record::{Ending, Phase};
use vtap_flowlog::{Analytics, Ids, Interval, VnetFlowLog};
use vtap_networks::Description;
use vtap_packet::Mac;
use vtap_testkit::tools;

/// Set for the process that writes: where to, and the second of the day at which it begins.
const WRITER: &str = "VTAP_FLOWLOG_WRITER";
const BEGIN: &str = "VTAP_FLOWLOG_BEGIN";

const CARDS: u64 = 3;

/// Packets to the server and to the client of a flow.
const fn packets(number: u64) -> [u64; 2] {
    [2 + number % 9, number % 7]
}

/// The addresses of a flow, unique among those of all runs.
fn client(number: u64) -> String {
    format!("10.{}.{}.4:{}", number >> 22, number >> 14 & 0xff, 20_000 + (number & 0x3fff))
}

/// Tells flows for ever, and says on standard output up to which all are closed. Each flow goes on
/// once and ends a minute later.
fn write(directory: &Path, begin: f64) {
    let mut log = VnetFlowLog::open(directory, &Ids::default()).unwrap();
    let mut analytics = Analytics::open(directory, &Ids::default(), Interval::TenMinutes).unwrap();
    // A run after this one has other flows.
    let first = (begin as u64) << 12;
    let mut open = Vec::<Flow>::new();
    let mut number = first;
    for minute in 0.. {
        let second = begin + 60.0 * f64::from(minute);
        let mut told = Vec::new();
        let closed = number - open.len() as u64;
        for mut flow in open.drain(..) {
            told.push(flow.tell(Phase::End(Ending::Fin), at(second + 1.0), at(second), [1, 0]));
        }
        let ended = number;
        for _ in 0..20 + minute % 30 {
            number += 1;
            let mut flow = Flow::new(number, &client(number), "10.0.2.6:443", at(second + 2.0));
            let [there, back] = packets(number);
            let more = [there - 1, back];
            told.push(flow.tell(Phase::Continue, at(second + 3.0), at(second + 3.0), more));
            open.push(flow);
        }
        for record in &told {
            let card = Mac([2, 0, 0, 0, 0, (record.packet % CARDS) as u8]);
            let description = Description { nic: Some(card), ..inside() };
            log.record(record, &description).unwrap();
            analytics.record(record, &description).unwrap();
        }
        // The records of this minute have closed the one before, and so it is of intervals.
        println!("closed {first} {closed}");
        if (second as u64).is_multiple_of(600) {
            println!("summed {first} {closed}");
        }
        log.tick(at(second + 60.0)).unwrap();
        println!("closed {first} {ended}");
    }
}

/// What was said to be closed before the kill: flows, and those summed up.
type Said = [Option<(u64, u64)>; 2];

fn run(directory: &Path, begin: u64, wait: Duration, reader: &mut Reader) -> Said {
    let mut writer = Command::new(env::current_exe().unwrap())
        .args(["a_kill_takes_nothing_that_was_closed", "--exact", "--nocapture"])
        .env(WRITER, directory)
        .env(BEGIN, begin.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let output = writer.stdout.take().unwrap();
    let (begun, has_begun) = mpsc::channel();
    let lines = thread::spawn(move || {
        let mut said = Said::default();
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            let words: Vec<_> = line.split(' ').collect();
            let at = match words[0] {
                "closed" => 0,
                "summed" => 1,
                _ => continue,
            };
            said[at] = Some((words[1].parse().unwrap(), words[2].parse().unwrap()));
            let _ = begun.send(());
        }
        said
    });
    has_begun.recv().unwrap();
    sleep(wait);
    // A reader may come at any time, too.
    reader.read(directory);
    writer.kill().unwrap();
    writer.wait().unwrap();
    lines.join().unwrap()
}

#[test]
fn a_kill_takes_nothing_that_was_closed() {
    if let Some(directory) = env::var_os(WRITER) {
        let begin = env::var(BEGIN).unwrap().parse().unwrap();
        return write(Path::new(&directory), begin);
    }
    let temp = tempfile::tempdir().unwrap();
    let directory = temp.path();
    let (mut flows, mut summed) = (Vec::new(), 0);
    let mut reader = Reader::default();
    for round in 0..30_u64 {
        // Half of the runs go on in files of the one before.
        let begin = round / 2 * 1800;
        let wait = Duration::from_micros(round * 13_721);
        let said = run(directory, begin + round % 2 * 60, wait, &mut reader);
        flows.extend(said[0].into_iter().flat_map(|(first, last)| first + 1..=last));
        summed += said[1].map_or(0, |(first, last)| last - first);

        let told = reader.read(directory);
        for &number in &flows {
            let client = client(number).replace(':', " 10.0.2.6 ");
            let flow = &told[&format!("0200000000{:02X} {client} 443 6", number % CARDS)];
            let [there, back] = packets(number);
            assert_eq!(flow.states, "BCE", "round {round}: {client}");
            assert_eq!(flow.sums, [there, there * 100, back, back * 1000], "round {round}");
        }

        let mut ended = 0;
        for path in files(directory, ".jsonl") {
            for line in fs::read_to_string(&path).unwrap().lines() {
                let row: Value = serde_json::from_str(line).unwrap();
                ended += row["CompletedFlows"].as_u64().unwrap();
            }
        }
        assert!(ended >= summed, "round {round}: {ended} of {summed}");
        for path in files(directory, ".parquet") {
            let bytes = fs::read(&path).unwrap();
            assert!(bytes.starts_with(b"PAR1") && bytes.ends_with(b"PAR1"), "{}", path.display());
        }
    }
    assert!(flows.len() > 1000 && summed > 100, "{} {summed}", flows.len());

    let Some(python) = tools::python(&["json"]) else { return };
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let container = directory.join("vnet-flow-log/insights-logs-flowlogflowevent");
    let script = tests.join("read_vnet_flow_log.py");
    assert!(tools::run_python(&python, &script, &container).lines().count() >= flows.len());
}
