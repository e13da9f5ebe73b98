//! Logs of flows of a collector in a lab. Needs root.

use std::collections::BTreeMap;
use std::thread::sleep;
use std::time::Duration;

use serde_json::{Value, json};

use crate::SESSIONS;
use crate::common::lab::Lab;
use crate::common::logs::{all_logs, balanced, flows_in, found, lines, read, sums};
use crate::common::{uint, vtap};

#[test]
fn every_log_of_flows_adds_up_to_what_a_replay_of_the_recording_tells() {
    for threads in ["1", "3"] {
        let Some(lab) = Lab::free("both") else { return };
        let logs = lab.path("logs");
        let mut args = vec!["--source", "ring", "-i", "col0", "--threads", threads];
        let flags = all_logs(&logs);
        args.extend(flags.iter().map(String::as_str));
        let mut collecting = None;
        let files = lab.record(&[("col", "col0")], |lab| {
            let collector = lab.collect(&args);
            lab.begin(SESSIONS).end();
            sleep(Duration::from_millis(500));
            collecting = Some(collector.stop());
        });
        let said = collecting.unwrap().summary();
        balanced(&said);
        assert_eq!(uint(&said["flow_queue"]["overflowed"]), 0, "{said}");

        let replayed =
            ["replay", "--format", "json", "--logs", "flows", files[0].to_str().unwrap()];
        let wanted = sums(&vtap(&replayed).rows());
        let rows = lines(&found(&logs.join("flows"), ".jsonl"));
        assert_eq!(sums(&rows), wanted, "{threads} threads");
        assert!(wanted["\"TCP\""][0] >= 6, "{wanted:?}");

        let all = wanted.values().fold([0; 5], |mut all, sums| {
            all.iter_mut().zip(sums).for_each(|(all, sum)| *all += sum);
            all
        });
        let container = logs.join("vnet-flow-log/insights-logs-flowlogflowevent");
        let vnet = read(&container);
        assert_eq!(vnet[1..], [all[1], all[3], all[2], all[4]], "{threads} threads");
        let analytics = lines(&found(&logs.join("traffic-analytics"), ".jsonl"));
        let sum = |column: &str| analytics.iter().map(|row| uint(&row[column])).sum::<u64>();
        let counted = ["PacketsSrcToDest", "PacketsDestToSrc", "BytesSrcToDest", "BytesDestToSrc"];
        assert_eq!(counted.map(sum), all[1..], "{threads} threads");
    }
}

#[test]
fn after_kill_9_every_log_can_be_read_and_has_what_was_told_before() {
    let Some(lab) = Lab::own("both") else { return };
    let logs = lab.path("logs");
    let flags = all_logs(&logs);
    let mut args = vec!["-i", "col0"];
    args.extend(flags.iter().map(String::as_str));
    let collector = lab.collect(&args);
    lab.begin(&["reset"]).end();
    // A flow that was reset is over after 10 seconds, which the next packet shows.
    sleep(Duration::from_secs(11));
    lab.begin(&["http"]).end();
    let vnet = logs.join("vnet-flow-log/insights-logs-flowlogflowevent");
    let ends = || {
        let files = if vnet.exists() { found(&vnet, "PT1H.json") } else { BTreeMap::new() };
        let text = |file: &Vec<u8>| String::from_utf8(file.clone()).unwrap();
        files.values().map(|file| text(file).matches(",E,NX,").count()).sum::<usize>()
    };
    // The clock ends the minute: no packet comes any more.
    for _ in 0..750 {
        if ends() >= 2 {
            break;
        }
        sleep(Duration::from_millis(100));
    }
    collector.signal("KILL");
    collector.gone();
    let rows = lines(&found(&logs.join("flows"), ".partial"));
    let ended: Vec<_> = rows.iter().filter(|row| row["flow"]["reason"] == "rst").cloned().collect();
    assert_eq!(ended.len(), 2, "{rows:?}");
    let told = flows_in(&vnet);
    for row in ended {
        let counts = sums(&[row])["\"TCP\""];
        let wanted = json!([counts[1], counts[3], counts[2], counts[4]]);
        let is_told = |flow: &Value| flow["states"] == "BE" && flow["sums"] == wanted;
        assert!(told.iter().any(is_told), "{wanted} in {told:?}");
    }
    for file in found(&logs.join("traffic-analytics"), ".jsonl").values() {
        assert_eq!(file.last(), Some(&b'\n'));
    }
    // The next one completes the file of rows.
    lab.collect(&args).stop();
    assert_eq!(lines(&found(&logs.join("flows"), ".jsonl")), rows);
}
