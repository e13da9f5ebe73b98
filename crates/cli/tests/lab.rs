//! A real TAP: the kernel's own VXLAN mirror between network namespaces (`testdata/lab`), tcpdump
//! on the tapped NIC and on the collector at once, and vtap in between. Needs root.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail loudly"
)]

mod common;

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::sleep;
use std::time::Duration;

use common::{ended, records, replay, run, vtap};
use tempfile::TempDir;
use vtap_testkit::data::testdata;
use vtap_testkit::tools;

/// Multicast listener reports of new IPv6 addresses come at random times until then.
const QUIET: Duration = Duration::from_millis(2500);
/// libpcap hands a block of packets over when it is full, or after a second.
const FLUSH: Duration = Duration::from_millis(1300);

/// A tapped host, a server and a collector. Taken down when dropped, whatever happened.
struct Lab {
    prefix: String,
    folder: TempDir,
    background: Vec<Child>,
}

impl Lab {
    /// `None`, and a word about it, where no lab can be built.
    fn up(mirror: &str) -> Option<Self> {
        static LABS: AtomicU32 = AtomicU32::new(0);
        let id = Command::new("id").arg("-u").output().unwrap();
        if id.stdout != b"0\n" {
            tools::skipped("needs root: network namespaces; sudo -E cargo test");
            return None;
        }
        if !tools::installed(&["ip", "tc", "tcpdump", "python3", "tshark"]) {
            return None;
        }
        let prefix = format!("vt{}-{}", std::process::id(), LABS.fetch_add(1, Ordering::Relaxed));
        let folder = tempfile::tempdir().unwrap();
        let lab = Self { prefix, folder, background: Vec::new() };
        let built = run(lab.script("up").env("TAPLAB_MIRROR", mirror), None);
        if built.status != 0 {
            // A container may be root and still have no right to it.
            tools::skipped(&format!("no lab can be built here: {}", built.stderr.trim()));
            return None;
        }
        sleep(QUIET);
        Some(lab)
    }

    fn script(&self, verb: &str) -> Command {
        let mut command = Command::new("bash");
        command.arg(testdata("lab/taplab.sh")).arg(verb).env("TAPLAB_PREFIX", &self.prefix);
        command
    }

    /// A program in the namespace of the tapped host (`vm`), the server (`srv`) or the collector
    /// (`col`).
    fn command(&self, place: &str, program: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &format!("{}-{place}", self.prefix), program]);
        command
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn traffic(&self, place: &str) -> Command {
        let mut command = self.command(place, "python3");
        command.arg(testdata("lab/traffic.py"));
        command
    }

    /// Starts a program that goes on, and waits until it has said that it is ready.
    fn start(&mut self, mut command: Command) -> usize {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n");
        self.background.push(child);
        self.background.len() - 1
    }

    /// Starts tcpdump with nanoseconds.
    fn capture(&mut self, place: &str, interface: &str) -> Capture {
        let (file, log) = (self.path(&format!("{interface}.pcap")), self.path(interface));
        let mut command = self.command(place, "tcpdump");
        command.args(["-n", "-Z", "root", "-B", "4096", "-s", "65535"]);
        command.args(["--time-stamp-precision=nano", "-i", interface, "-w"]).arg(&file);
        command.stdin(Stdio::null()).stderr(File::create(&log).unwrap());
        self.background.push(command.spawn().unwrap());
        for _ in 0..100 {
            if fs::read_to_string(&log).unwrap().contains("listening on") {
                return Capture { file, log, at: self.background.len() - 1 };
            }
            sleep(Duration::from_millis(50));
        }
        panic!("tcpdump: {}", fs::read_to_string(log).unwrap());
    }

    /// Both sides of a session of `traffic.py`, to its end.
    fn session(&mut self, name: &str) {
        let mut server = self.traffic("srv");
        server.args(["serve", name, "10.0.2.6"]);
        let server = self.start(server);
        let client = run(self.traffic("vm").args(["connect", name, "10.0.2.6"]), None);
        assert_eq!(client.status, 0, "{}", client.stderr);
        let server = self.background.remove(server);
        assert_eq!(ended(server), 0);
        sleep(FLUSH);
    }

    /// Records a session as the collector has it, and on other interfaces at the same time.
    fn record(&mut self, session: &str, interfaces: &[(&str, &str)]) -> Vec<PathBuf> {
        let mut hold = self.traffic("col");
        // Without a socket the collector's kernel would answer each packet.
        hold.args(["hold", "4789"]);
        self.start(hold);
        let captures: Vec<_> =
            interfaces.iter().map(|(place, interface)| self.capture(place, interface)).collect();
        self.session(session);
        // The last one first: those before keep their places.
        let files = captures.into_iter().rev().map(|capture| {
            let child = self.background.remove(capture.at);
            run(Command::new("kill").arg(child.id().to_string()), None);
            ended(child);
            let log = fs::read_to_string(capture.log).unwrap();
            assert!(log.contains("\n0 packets dropped by kernel"), "{log}");
            capture.file
        });
        let mut files: Vec<_> = files.collect();
        files.reverse();
        files
    }
}

struct Capture {
    file: PathBuf,
    log: PathBuf,
    /// Its place among the background processes.
    at: usize,
}

impl Drop for Lab {
    fn drop(&mut self) {
        for child in &mut self.background {
            let _ = child.kill();
            let _ = child.wait();
        }
        let _ = self.script("down").status();
    }
}

fn times(path: &Path, filter: &str) -> Vec<String> {
    let mut command = Command::new("tshark");
    command.args(["-n", "-r"]).arg(path).args(["-T", "fields", "-e", "frame.time_epoch"]);
    let ran = run(command.args(["-Y", filter]), None);
    assert_eq!(ran.status, 0, "{}", ran.stderr);
    ran.text().lines().map(ToOwned::to_owned).collect()
}

fn flags(path: &Path) -> Vec<String> {
    let (rows, ..) = replay(&[], path);
    rows.iter().map(|row| row["tcp"]["flag"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn what_comes_out_of_the_envelopes_is_what_the_tapped_nic_had() {
    let Some(mut lab) = Lab::up("both") else { return };
    let files = lab.record("http", &[("vm", "nic0"), ("col", "any"), ("col", "col0")]);
    let nic: Vec<_> = records(&files[0]).into_iter().map(|(_, frame)| frame).collect();
    assert!(nic.len() >= 10, "a whole connection: {} frames", nic.len());

    for file in &files[1..] {
        let name = file.file_name().unwrap().to_str().unwrap();
        for extension in ["pcap", "pcapng"] {
            let out = lab.path(&format!("{name}.out.{extension}"));
            let args = ["decap".as_ref(), file.as_os_str(), "-o".as_ref(), out.as_os_str()];
            assert_eq!(vtap(&args).status, 0);
            // One connection, so the mirror has kept the order.
            if extension == "pcap" {
                let frames: Vec<_> = records(&out).into_iter().map(|(_, frame)| frame).collect();
                assert_eq!(frames, nic, "{name}");
            }
            // Each frame has the time of its envelope, to the nanosecond.
            let captured = times(file, "udp.dstport == 4789");
            assert_eq!(times(&out, "frame"), captured, "{name}, {extension}");
            assert!(captured.iter().all(|time| time.split_once('.').unwrap().1.len() == 9));
            let is_finer = |time: &String| !time.ends_with("000");
            assert!(captured.iter().any(is_finer), "{captured:?}");
        }
        let complete = ["SYN", "SYN-ACK", "ACK", "FIN", "FIN-ACK", "FIN-ACK"];
        assert_eq!(flags(file), complete, "{name}");
    }
}

#[test]
fn a_tap_that_mirrors_one_direction_gives_one_asymmetric_row_a_flow() {
    for (mirror, missing) in [("egress", "server"), ("ingress", "client")] {
        let Some(mut lab) = Lab::up(mirror) else { return };
        let files = lab.record("several", &[("col", "any")]);
        let (rows, summary, _) = replay(&[], &files[0]);
        let asymmetric: Vec<_> =
            rows.iter().filter(|row| row["tcp"]["reason"] == "asymmetric").collect();
        let flows: BTreeSet<_> =
            asymmetric.iter().map(|row| row["community_id"].as_str().unwrap()).collect();
        assert_eq!((asymmetric.len(), flows.len()), (3, 3), "{mirror}: {summary}");
        for row in asymmetric {
            assert_eq!(row["tcp"]["flag"], "INVALID");
            assert_eq!(row["tcp"]["missing"], missing, "{mirror}: {row}");
        }
    }
}
