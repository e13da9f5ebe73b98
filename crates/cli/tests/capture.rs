//! `vtap capture`: sessions on captures and on packets as they come.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::cast_possible_truncation
)]

mod common;

use std::fs::{self, OpenOptions};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::UdpSocket;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use common::{ended, run, tap, vtap};
use serde_json::Value;
use vtap_capture::Source;
use vtap_testkit::data::testdata;
use vtap_testkit::{frame, tools, traffic};

/// Runs a session on a capture: its status and how it ended.
#[track_caller]
fn session(options: &[&str], input: &Path, output: &Path) -> (Value, i32) {
    let folder = tempfile::tempdir().unwrap();
    let status = folder.path().join("status.json");
    let mut command = Command::new(env!("CARGO_BIN_EXE_vtap"));
    command.args(["capture", "--min-free", "0", "--read"]).arg(input);
    command.arg("--status").arg(&status).args(options).arg(output);
    let ran = run(&mut command, None);
    let json = fs::read(&status).unwrap_or_else(|_| panic!("{options:?}: {}", ran.stderr));
    (serde_json::from_slice(&json).unwrap(), ran.status)
}

/// The frames of a capture that is whole.
#[track_caller]
fn packets(path: &Path) -> Vec<Vec<u8>> {
    let mut file = vtap_capture::File::open(path).unwrap();
    let packets = all(&mut file);
    assert!(file.damage().is_empty(), "{}: {:?}", path.display(), file.damage());
    packets
}

fn all(source: &mut impl Source) -> Vec<Vec<u8>> {
    let mut packets = Vec::new();
    while let Some(packet) = source.next().unwrap() {
        packets.push(packet.data.to_vec());
    }
    packets
}

fn decapsulated(folder: &Path, input: &Path, filter: &[&str]) -> PathBuf {
    let path = folder.join("decap.pcap");
    let mut args = vec!["decap", input.to_str().unwrap(), "-o", path.to_str().unwrap()];
    args.extend(filter);
    assert_eq!(vtap(&args).status, 0);
    path
}

#[test]
fn without_filters_it_records_what_decap_writes() {
    let folder = tempfile::tempdir().unwrap();
    for input in tap() {
        for extension in ["pcap", "pcapng"] {
            let [one, other] = ["one", "other"].map(|name| folder.path().join(name));
            let [one, other] = [one, other].map(|path| path.with_extension(extension));
            let (status, exit) = session(&["-o"], &input, &one);
            assert_eq!((exit, &status["stopReason"]), (0, &"SourceEnded".into()));
            let args = ["decap".as_ref(), input.as_os_str(), "-o".as_ref(), other.as_os_str()];
            vtap(&args);
            assert_eq!(fs::read(&one).unwrap(), fs::read(&other).unwrap(), "{}", input.display());
        }
    }
}

#[test]
fn filters_pick_what_an_expression_picks() {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("out.pcap");
    let both = testdata("tap/both-ends.pcap");
    let http = testdata("tap/http.pcap");
    for (input, filters, bpf) in [
        (&http, &["protocol=TCP,remotePort=80"][..], "tcp port 80"),
        (&http, &["localPort=80"], "tcp port 1"),
        (&http, &["localIPAddress=10.0.2.0/24,remotePort=1-100"], "tcp port 80"),
        (&http, &["protocol=UDP", r#"{"protocol": "ICMP"}"#], "udp or icmp or icmp6"),
        // Both machines are mirrored: each is local in its own copies.
        (&both, &["localPort=80", "remotePort=80"], "tcp port 80"),
    ] {
        let options = filters.iter().flat_map(|filter| ["--filter", filter]);
        let options: Vec<_> = options.chain(["-o"]).collect();
        let (status, _) = session(&options, input, &output);
        let expected = decapsulated(folder.path(), input, &["--inner-filter", bpf]);
        let expected = packets(&expected);
        assert_eq!(packets(&output), expected, "{filters:?}");
        let recorded = status["vtap"]["recorded"].as_u64().unwrap();
        assert_eq!(recorded, expected.len() as u64);
        let offered = status["vtap"]["offered"].as_u64().unwrap();
        assert_eq!(offered - recorded, status["vtap"]["filtered"].as_u64().unwrap());
    }
}

#[test]
fn a_session_stops_at_its_limits_and_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("out.pcap");
    let input = testdata("tap/http.pcap");
    let (status, exit) = session(&["-c", "3", "--name", "incident", "-o"], &input, &output);
    assert_eq!(exit, 0);
    assert_eq!(status["name"], "incident");
    assert_eq!(status["packetCaptureStatus"], "Stopped");
    assert_eq!(status["stopReason"], "PacketCountExceeded");
    assert_eq!(status["packetCaptureError"], serde_json::json!([]));
    let started = status["captureStartTime"].as_str().unwrap();
    assert!(started.len() == 28 && started.ends_with('Z'), "{started}");
    assert_eq!(packets(&output).len(), 3);
    assert_eq!(status["vtap"]["files"][0]["packets"], 3);

    let len = fs::metadata(&output).unwrap().len();
    let limit = len.to_string();
    let (status, _) = session(&["--total-bytes", &limit, "-o"], &input, &output);
    assert_eq!(status["stopReason"], "TotalBytesExceeded");
    assert_eq!(fs::metadata(&output).unwrap().len(), len);

    let gap = testdata("tap/gap.pcap");
    let (status, _) = session(&["--time-limit", "1", "-o"], &gap, &output);
    assert_eq!(status["stopReason"], "TimeExceeded");

    let (status, _) = session(&["--bytes-per-packet", "34", "-o"], &input, &output);
    assert!(packets(&output).iter().all(|packet| packet.len() == 34));
    assert_eq!(status["stopReason"], "SourceEnded");
}

#[test]
fn a_setting_outside_the_clouds_range_is_refused_with_the_range() {
    let input = testdata("tap/http.pcap");
    let input = input.to_str().unwrap();
    for (options, says) in [
        (&["-o", "/nowhere/x", "--time-limit", "18001"][..], "18001 is outside 1 to 18000"),
        (&["-o", "/nowhere/x", "--total-bytes", "4G"], "is outside 1 to 4294967295"),
        (&["-o", "/nowhere/x", "--bytes-per-packet", "4G"], "0 to 4294967295"),
        (&["--out", "/nowhere/x", "--continuous", "--file-count", "0"], "is outside 1 to 10000"),
        (&["-o", "/nowhere/x", "--continuous"], "cannot be used with '--continuous'"),
        (&["--continuous"], "--out <DIR>"),
        (&["-o", "/nowhere/x", "--filter", "port=80"], "unknown key \"port\""),
        (&["-o", "/nowhere/x"], "/nowhere/x.partial"),
        (&["-o", input], "is an input as well"),
        (&[], "--output"),
    ] {
        let ran = vtap(&[&["capture", "--read", input], options].concat());
        assert_eq!(ran.status, 2, "{options:?}");
        assert!(ran.stderr.contains(says), "{options:?}: {}", ran.stderr);
    }
}

#[test]
fn a_ring_has_the_last_packets_in_files_that_sort_by_time() {
    let folder = tempfile::tempdir().unwrap();
    let input = testdata("tap/ssh.pcap");
    let whole = packets(&decapsulated(folder.path(), &input, &[]));
    let ring = folder.path().join("ring");
    let options = ["--continuous", "--file-count", "3", "--file-size", "2K", "--format", "pcap"];
    let options = [&options[..], &["--out"]].concat();
    let (status, exit) = session(&options, &input, &ring);
    assert_eq!((exit, status["vtap"]["recorded"].as_u64()), (0, Some(whole.len() as u64)));
    let files = common::captures(&ring);
    assert_eq!(files.len(), 3);
    assert!(files.iter().all(|file| fs::metadata(file).unwrap().len() <= 2048));
    let kept: Vec<_> = files.iter().flat_map(|file| packets(file)).collect();
    assert_eq!(kept, whole[whole.len() - kept.len()..]);
    let removed = status["vtap"]["removed"].as_u64().unwrap();
    assert!(removed > 0 && kept.len() > 3);
    // Again, into the same folder: nothing of the first session goes.
    session(&options, &input, &ring);
    assert_eq!(common::captures(&ring).len(), 6);
}

#[test]
fn as_received_has_the_envelopes_of_what_the_filters_pick() {
    let folder = tempfile::tempdir().unwrap();
    let input = testdata("tap/http.pcapng");
    let output = folder.path().join("out.pcapng");
    let (status, _) = session(&["--outer", "--plain", "-o"], &input, &output);
    assert_eq!(packets(&output), packets(&input));
    assert_eq!(status["vtap"]["recorded"], status["vtap"]["received"]["packets"]);
    let options = ["--outer", "--filter", "protocol=TCP,remotePort=80", "-o"];
    let (status, _) = session(&options, &input, &output);
    let expected = decapsulated(folder.path(), &input, &["--inner-filter", "tcp port 80"]);
    assert_eq!(status["vtap"]["recorded"], packets(&expected).len());
    for (outer, inner) in packets(&output).iter().zip(packets(&expected)) {
        assert!(outer.ends_with(&inner));
    }
    if tools::installed(&["tshark"]) {
        let mut tshark = Command::new("tshark");
        tshark.args(["-Tfields", "-eframe.interface_name", "-r"]).arg(&output);
        let names = run(&mut tshark, None);
        // It has none in the original.
        assert_eq!(names.text().lines().next(), Some("interface 0"));
    }
}

#[test]
fn a_session_goes_through_pipes() {
    let input = testdata("tap/http.pcap");
    let ran = {
        let mut command = Command::new(env!("CARGO_BIN_EXE_vtap"));
        command.args(["capture", "--read", "-", "-o", "-", "--format", "pcapng"]);
        run(&mut command, Some(fs::read(&input).unwrap()))
    };
    assert_eq!(ran.status, 0, "{}", ran.stderr);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file.pcapng");
    session(&["-o"], &input, &file);
    assert_eq!(ran.stdout, fs::read(&file).unwrap());

    let fifo = folder.path().join("fifo");
    assert_eq!(run(Command::new("mkfifo").arg(&fifo), None).status, 0);
    let reader = thread::spawn({
        let fifo = fifo.clone();
        move || fs::read(fifo).unwrap()
    });
    session(&["--format", "pcapng", "-o"], &input, &fifo);
    assert_eq!(reader.join().unwrap(), ran.stdout);
    assert!(!folder.path().join("fifo.partial").exists());
}

/// Whether tshark, too, reads as many packets to the end.
#[track_caller]
fn tshark_reads(path: &Path, packets: usize) {
    if !tools::installed(&["tshark", "capinfos"]) {
        return;
    }
    let ran = run(Command::new("tshark").args(["-n", "-r"]).arg(path), None);
    assert_eq!((ran.status, ran.text().lines().count()), (0, packets), "{}", ran.stderr);
    let ran = run(Command::new("capinfos").arg("-c").arg(path), None);
    assert!(ran.status == 0 && ran.text().contains(&packets.to_string()), "{}", ran.text());
}

/// Waits until a file has this many packets.
#[track_caller]
fn until(path: &Path, count: usize) {
    for _ in 0..600 {
        thread::sleep(Duration::from_millis(50));
        // Empty at first, which is no capture.
        if vtap_capture::File::open(path).is_ok_and(|mut file| all(&mut file).len() >= count) {
            return;
        }
    }
    panic!("{} does not get {count} packets", path.display());
}

#[test]
fn a_session_that_is_killed_leaves_what_it_had_written() {
    for name in ["out.pcap", "out.pcapng"] {
        let folder = tempfile::tempdir().unwrap();
        let output = folder.path().join(name);
        let frames = traffic::established(3, 20, 100, 1);
        let frames: Vec<_> = frames.iter().map(|inner| frame::mirrored(27, inner)).collect();
        let capture = frame::pcap(&frames);
        let mut command = Command::new(env!("CARGO_BIN_EXE_vtap"));
        command.args(["capture", "--read", "-", "--min-free", "0", "-o"]).arg(&output);
        let mut child = command.stdin(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        // The pipe stays open: more could come.
        child.stdin.as_mut().unwrap().write_all(&capture).unwrap();
        let partial = folder.path().join(format!("{name}.partial"));
        until(&partial, frames.len());
        child.kill().unwrap();
        assert_eq!(child.wait().unwrap().signal(), Some(9));
        assert!(!output.exists());
        let inner: Vec<_> = frames.iter().map(|frame| frame[50..].to_vec()).collect();
        assert_eq!(packets(&partial), inner);
        tshark_reads(&partial, frames.len());
        let ran = vtap(&["replay", "--plain", partial.to_str().unwrap()]);
        assert_eq!(ran.status, 0, "{}", ran.stderr);
    }
}

/// A live session, and where mirrored packets are to be sent.
struct Live {
    child: Child,
    socket: UdpSocket,
    payload: Vec<u8>,
    folder: tempfile::TempDir,
}

impl Live {
    fn start(options: &[&str], output: &str) -> Self {
        let port = {
            let free = UdpSocket::bind("127.0.0.1:0").unwrap();
            free.local_addr().unwrap().port()
        };
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_vtap"));
        command.args(["capture", "--min-free", "0", "--port", &port.to_string()]);
        command.arg("--status").arg(folder.path().join("status.json")).args(options);
        command.arg("-o").arg(folder.path().join(output));
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let status = folder.path().join("status.json");
        for _ in 0..400 {
            if status.exists() {
                break;
            }
            if child.try_wait().unwrap().is_some() {
                let mut said = String::new();
                child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
                panic!("{said}");
            }
            thread::sleep(Duration::from_millis(25));
        }
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.connect(("127.0.0.1", port)).unwrap();
        let inner = frame::udp("10.0.2.4:1", "10.0.2.6:2", b"mirrored");
        let payload = frame::mirrored(27, &inner)[42..].to_vec();
        Self { child, socket, payload, folder }
    }

    fn send(&self, packets: usize) {
        for _ in 0..packets {
            self.socket.send(&self.payload).unwrap();
        }
    }

    fn status(&self) -> Value {
        serde_json::from_slice(&fs::read(self.folder.path().join("status.json")).unwrap()).unwrap()
    }

    /// Twice, as timeout(1) does.
    fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        assert_eq!(run(Command::new("kill").args([name, &id, &id]), None).status, 0);
    }
}

#[test]
fn a_signal_ends_a_live_session_with_all_that_had_come() {
    for signal in ["-INT", "-TERM"] {
        let mut live = Live::start(&["--source", "udp"], "out.pcapng");
        assert_eq!(live.status()["packetCaptureStatus"], "Running");
        live.send(100);
        live.signal(signal);
        let child = std::mem::replace(&mut live.child, Command::new("true").spawn().unwrap());
        assert_eq!(ended(child), 0);
        let status = live.status();
        assert_eq!(status["stopReason"], "UserStopped", "{status}");
        assert_eq!(status["vtap"]["recorded"], 100, "{status}");
        let output = live.folder.path().join("out.pcapng");
        assert_eq!(packets(&output).len(), 100);
        tshark_reads(&output, 100);
    }
}

#[test]
fn a_live_session_ends_in_time_without_any_packet() {
    let mut live = Live::start(&["--source", "udp", "--time-limit", "1"], "out.pcap");
    let child = std::mem::replace(&mut live.child, Command::new("true").spawn().unwrap());
    assert_eq!(ended(child), 0);
    assert_eq!(live.status()["stopReason"], "TimeExceeded");
    assert_eq!(packets(&live.folder.path().join("out.pcap")).len(), 0);
}

#[test]
fn a_live_session_that_is_killed_leaves_what_it_had_written() {
    let id = run(Command::new("id").arg("-u"), None);
    let source = if id.text() == "0\n" { &["-i", "lo"][..] } else { &["--source", "udp"] };
    let mut live = Live::start(source, "out.pcapng");
    live.send(100);
    let partial = live.folder.path().join("out.pcapng.partial");
    until(&partial, 100);
    live.child.kill().unwrap();
    assert_eq!(live.child.wait().unwrap().signal(), Some(9));
    assert_eq!(packets(&partial).len(), 100);
    tshark_reads(&partial, 100);
}

#[test]
fn a_file_system_that_is_full_costs_packets_and_no_file() {
    let id = run(Command::new("id").arg("-u"), None);
    if id.text() != "0\n" {
        return tools::skipped("needs root: a small tmpfs; sudo -E cargo test");
    }
    let folder = tempfile::tempdir().unwrap();
    let (input, disk) = (folder.path().join("in.pcap"), folder.path().join("disk"));
    fs::create_dir(&disk).unwrap();
    let frames = traffic::established(3, 3000, 1000, 1);
    let frames: Vec<_> = frames.iter().map(|inner| frame::mirrored(27, inner)).collect();
    fs::write(&input, frame::pcap(&frames)).unwrap();
    let script = r#"
        mount -t tmpfs -o size=1m tmpfs "$1/disk" || exit 99
        "$0" capture --read "$1/in.pcap" -o "$1/disk/out.pcap" --min-free 0 \
            --status "$1/status.json"
        echo "exit $?"
        ls "$1/disk"
        cp "$1/disk/out.pcap" "$1/out.pcap"
    "#;
    let mut command = Command::new("unshare");
    command.args(["-m", "sh", "-c", script, env!("CARGO_BIN_EXE_vtap")]).arg(folder.path());
    let ran = run(&mut command, None);
    if ran.status == 99 || ran.stdout.is_empty() {
        return tools::skipped(&format!("no tmpfs can be mounted: {}", ran.stderr.trim()));
    }
    assert_eq!(ran.text(), "exit 1\nout.pcap\n", "{}", ran.stderr);
    assert!(ran.stderr.contains("No space left on device"), "{}", ran.stderr);
    let status: Value =
        serde_json::from_slice(&fs::read(folder.path().join("status.json")).unwrap()).unwrap();
    assert_eq!(status["packetCaptureStatus"], "Error");
    assert_eq!(status["stopReason"], "StorageFailed");
    assert_eq!(status["packetCaptureError"], serde_json::json!(["StorageFailed"]));
    let recorded = packets(&folder.path().join("out.pcap"));
    assert_eq!(status["vtap"]["recorded"], recorded.len());
    let len = fs::metadata(folder.path().join("out.pcap")).unwrap().len();
    assert!(((1 << 20) - 4096 - 1200..=1 << 20).contains(&len), "{len}");
    for (written, sent) in recorded.iter().zip(&frames) {
        assert_eq!(written, &sent[50..]);
    }
}

#[test]
fn a_reader_that_goes_away_ends_a_session_quietly() {
    let folder = tempfile::tempdir().unwrap();
    let input = folder.path().join("in.pcap");
    let frames = traffic::established(3, 5000, 1000, 1);
    let frames: Vec<_> = frames.iter().map(|inner| frame::mirrored(27, inner)).collect();
    fs::write(&input, frame::pcap(&frames)).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_vtap"));
    command.args(["capture", "-o", "-", "--read"]).arg(&input);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut head = [0; 24];
    child.stdout.take().unwrap().read_exact(&mut head).unwrap();
    let mut said = String::new();
    BufReader::new(child.stderr.take().unwrap()).read_line(&mut said).unwrap();
    assert_eq!((ended(child), said.as_str()), (0, ""));
}

#[test]
fn a_partial_status_is_never_seen() {
    // It is replaced as a whole: whoever has it open has one state of it.
    let live = Live::start(&["--source", "udp", "--time-limit", "1"], "out.pcap");
    let mut early =
        OpenOptions::new().read(true).open(live.folder.path().join("status.json")).unwrap();
    let Live { child, folder, .. } = live;
    assert_eq!(ended(child), 0);
    let mut text = String::new();
    early.read_to_string(&mut text).unwrap();
    let early: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(early["packetCaptureStatus"], "Running");
    let late = fs::read(folder.path().join("status.json")).unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&late).unwrap()["packetCaptureStatus"], "Stopped");
}
