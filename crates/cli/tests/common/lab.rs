//! Labs of network namespaces (`testdata/lab`): real TCP stacks, the kernel's own VXLAN mirror, and
//! tcpdump where it is wanted. Needs root.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread::sleep;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use vtap_testkit::data::testdata;
use vtap_testkit::tools;

use super::{Ran, ended, gather, run};

/// Multicast listener reports of new IPv6 addresses come at random times until then.
const QUIET: Duration = Duration::from_millis(2500);
/// libpcap hands a block of packets over when it is full, or after a second.
const FLUSH: Duration = Duration::from_millis(1300);

/// Hosts, a mirror and a collector. Taken down when dropped, whatever happened.
pub(crate) struct Lab {
    script: &'static str,
    prefix: String,
    server: &'static str,
    folder: TempDir,
    holder: Option<Running>,
    /// Connections that floods have opened.
    flooded: AtomicU64,
}

/// A tcpdump.
struct Capture {
    running: Running,
    file: PathBuf,
    log: PathBuf,
}

/// Both sides of sessions of `traffic.py`.
pub(crate) struct Sessions {
    server: Running,
    client: Running,
}

/// A program that goes on. Killed when dropped, whatever happened.
struct Running(Option<Child>);

impl Lab {
    /// The plain case of `taplab.sh`, with these directions mirrored. `None`, and a word about it,
    /// where no lab can be built.
    pub(crate) fn plain(mirror: &str) -> Option<Self> {
        let mut lab = Self::build("taplab.sh", &["up"], mirror)?;
        sleep(QUIET);
        lab.hold();
        Some(lab)
    }

    /// As [`free`](Self::free), without root, too, where users may have namespaces: the whole test then
    /// runs again inside one, and passes or fails there. What it may not do in there is become another
    /// user, as tcpdump does, or change a mount.
    pub(crate) fn own(mirror: &str) -> Option<Self> {
        if is_root() {
            return Self::free(mirror);
        }
        let unshare = || {
            let mut command = Command::new("unshare");
            command.args(["--user", "--map-root-user", "--mount", "--net"]);
            command
        };
        let works = || run(unshare().arg("true"), None).status == 0;
        if !tools::installed(&["unshare"]) || !works() {
            tools::skipped("needs root, or namespaces for users");
            return None;
        }
        // Where `ip netns` keeps its own.
        let inside = "mount -t tmpfs none /run && exec \"$0\" --exact \"$1\" --nocapture";
        let (program, thread) = (std::env::current_exe().unwrap(), std::thread::current());
        let mut command = unshare();
        command.args(["sh", "-c", inside]).arg(program).arg(thread.name().unwrap());
        let ran = run(&mut command, None);
        assert_eq!(ran.status, 0, "{}{}", ran.text(), ran.stderr);
        None
    }

    /// As [`plain`](Self::plain), with the UDP port left to a collector.
    pub(crate) fn free(mirror: &str) -> Option<Self> {
        let lab = Self::build("taplab.sh", &["up"], mirror)?;
        sleep(QUIET);
        Some(lab)
    }

    /// A lab of `scenarios.sh`. `None`, and a word about it, where it cannot be built.
    pub(crate) fn scenario(name: &str) -> Option<Self> {
        let mut lab = Self::build("scenarios.sh", &["up", name], "both")?;
        match name {
            // Its VXLAN device has the port.
            "any" => {}
            _ => lab.hold(),
        }
        if name == "snat-egress" {
            lab.server = "198.51.100.6";
        }
        Some(lab)
    }

    fn build(script: &'static str, arguments: &[&str], mirror: &str) -> Option<Self> {
        static LABS: AtomicU32 = AtomicU32::new(0);
        if !is_root() {
            tools::skipped("needs root: network namespaces; sudo -E cargo test");
            return None;
        }
        if !tools::installed(&["ip", "tc", "nft", "ethtool", "tcpdump", "python3", "tshark"]) {
            return None;
        }
        let prefix = format!("vt{}-{}", std::process::id(), LABS.fetch_add(1, Ordering::Relaxed));
        let folder = tempfile::tempdir().unwrap();
        let flooded = AtomicU64::new(0);
        let lab = Self { script, prefix, server: "10.0.2.6", folder, holder: None, flooded };
        let built = run(lab.script().args(arguments).env("TAPLAB_MIRROR", mirror), None);
        if built.status != 0 {
            // A container may be root and still have no right to it.
            tools::skipped(&format!("no lab can be built here: {}", built.stderr.trim()));
            return None;
        }
        Some(lab)
    }

    fn script(&self) -> Command {
        let mut command = Command::new("bash");
        command.arg(testdata("lab").join(self.script)).env("TAPLAB_PREFIX", &self.prefix);
        command
    }

    /// A program in the namespace of the tapped host (`vm`), the server (`srv`) or the collector
    /// (`col`).
    fn command(&self, place: &str, program: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &format!("{}-{place}", self.prefix), program]);
        command.stdin(Stdio::null());
        command
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn traffic(&self, place: &str) -> Command {
        let mut command = self.command(place, "python3");
        command.arg(testdata("lab/traffic.py"));
        command
    }

    /// Without a socket the collector's kernel would answer each packet.
    fn hold(&mut self) {
        self.holder = Some(Running::ready(self.traffic("col").args(["hold", "4789"])));
    }

    /// Takes the client's mirror away, or brings it back.
    pub(crate) fn mirror(&self, verb: &str) {
        let ran = run(self.script().args(["mirror", verb]), None);
        assert_eq!(ran.status, 0, "{}", ran.stderr);
    }

    /// Changes an interface.
    pub(crate) fn link(&self, place: &str, device: &str, verb: &str) {
        let mut command = self.command(place, "ip");
        match verb {
            "delete" => command.args(["link", "delete", device]),
            _ => command.args(["link", "set", device, verb]),
        };
        let ran = run(&mut command, None);
        assert_eq!(ran.status, 0, "{}", ran.stderr);
    }

    /// Sends so many mirrored SYN segments to the collector, each of another connection than those
    /// before, and says how many.
    pub(crate) fn flood(&self, packets: u64) -> u64 {
        let first = self.flooded.fetch_add(packets, Ordering::Relaxed);
        let mut command = self.command("vm", "python3");
        command.arg(testdata("lab/flood.py"));
        command.args(["10.1.1.4", &packets.to_string(), "27", &first.to_string()]);
        let ran = run(&mut command, None);
        assert_eq!(ran.text().trim(), packets.to_string(), "{}", ran.stderr);
        packets
    }

    /// Starts `vtap collect`, whose events are JSON and whose summary is too.
    pub(crate) fn collect(&self, args: &[&str]) -> Collecting {
        self.collect_as(&[], args)
    }

    /// The same, through another program.
    pub(crate) fn collect_as(&self, through: &[&str], args: &[&str]) -> Collecting {
        self.start(through, args, Stdio::piped())
    }

    /// The same, with its events written to a file.
    pub(crate) fn collect_to(&self, file: &Path, args: &[&str]) -> Collecting {
        self.start(&[], args, File::create(file).unwrap().into())
    }

    fn start(&self, through: &[&str], args: &[&str], stdout: Stdio) -> Collecting {
        let vtap = env!("CARGO_BIN_EXE_vtap");
        let words: Vec<_> = through.iter().copied().chain([vtap]).collect();
        let mut command = self.command("col", words[0]);
        command.args(&words[1..]).args(["collect", "--format", "json", "--summary", "json"]);
        command.args(args).stdout(stdout).stderr(Stdio::piped());
        Collecting::start(&mut command)
    }

    /// What a server on the collector answers.
    pub(crate) fn get(&self, url: &str) -> String {
        let get = "import sys, urllib.request as r; print(r.urlopen(sys.argv[1]).read().decode())";
        let ran = run(self.command("col", "python3").args(["-c", get, url]), None);
        assert_eq!(ran.status, 0, "{}", ran.stderr);
        ran.text().to_owned()
    }

    /// A disk of this size at `path`. `None`, and a word about it, where none can be made.
    pub(crate) fn tmpfs(&self, path: &Path, size: &str) -> Option<Disk> {
        fs::create_dir(path).unwrap();
        let mut command = Command::new("mount");
        command.args(["-t", "tmpfs", "-o", &format!("size={size}"), "none"]).arg(path);
        let ran = run(&mut command, None);
        if ran.status != 0 {
            tools::skipped(&format!("no file system can be mounted here: {}", ran.stderr.trim()));
            return None;
        }
        Some(Disk(path.to_path_buf()))
    }

    /// Starts tcpdump with nanoseconds.
    fn capture(&self, place: &str, interface: &str) -> Capture {
        let (file, log) = (self.path(&format!("{interface}.pcap")), self.path(interface));
        let mut command = self.command(place, "tcpdump");
        command.args(["-n", "-Z", "root", "-B", "32768", "-s", "65535"]);
        command.args(["--time-stamp-precision=nano", "-i", interface, "-w"]).arg(&file);
        command.stderr(File::create(&log).unwrap());
        let capture = Capture { running: Running::start(&mut command), file, log };
        for _ in 0..100 {
            if capture.said().contains("listening on") {
                return capture;
            }
            sleep(Duration::from_millis(50));
        }
        panic!("tcpdump: {}", capture.said());
    }

    /// Starts both sides of some sessions, which go on at the same time.
    pub(crate) fn begin(&self, names: &[&str]) -> Sessions {
        let side = |place, verb| {
            let mut command = self.traffic(place);
            command.arg(verb).args(names).arg(self.server);
            command
        };
        let server = Running::ready(&mut side("srv", "serve"));
        Sessions { server, client: Running::start(&mut side("vm", "connect")) }
    }

    /// Records what these interfaces have while something goes on.
    pub(crate) fn record(
        &self,
        interfaces: &[(&str, &str)],
        traffic: impl FnOnce(&Self),
    ) -> Vec<PathBuf> {
        let captures: Vec<_> =
            interfaces.iter().map(|(place, interface)| self.capture(place, interface)).collect();
        traffic(self);
        sleep(FLUSH);
        captures.into_iter().map(Capture::stop).collect()
    }

    /// Records some sessions from their begin to their end.
    pub(crate) fn sessions(&self, names: &[&str], interfaces: &[(&str, &str)]) -> Vec<PathBuf> {
        self.record(interfaces, |lab| lab.begin(names).end())
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        self.holder = None;
        let _ = self.script().arg("down").status();
    }
}

fn is_root() -> bool {
    Command::new("id").arg("-u").output().unwrap().stdout == b"0\n"
}

/// A `vtap collect`.
pub(crate) struct Collecting {
    running: Running,
    id: String,
    stdout: Option<mpsc::Receiver<Vec<u8>>>,
    stderr: mpsc::Receiver<Vec<u8>>,
}

impl Collecting {
    /// Starts it, and waits until it says that it collects.
    pub(crate) fn start(command: &mut Command) -> Self {
        let mut child = command.spawn().unwrap();
        let stdout = child.stdout.take().map(gather);
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let id = child.id().to_string();
        let running = Running(Some(child));
        let mut said = String::new();
        while !said.contains("collecting from") {
            assert!(stderr.read_line(&mut said).unwrap() > 0, "vtap collect: {said}");
        }
        Self { running, id, stdout, stderr: gather(stderr) }
    }

    pub(crate) fn signal(&self, name: &str) {
        let ran = run(Command::new("kill").args(["-s", name, &self.id]), None);
        assert_eq!(ran.status, 0, "{}", ran.stderr);
    }

    /// Asks it to end.
    pub(crate) fn stop(self) -> Ran {
        self.signal("TERM");
        self.ended()
    }

    /// Waits until it ends by itself.
    pub(crate) fn ended(self) -> Ran {
        let Self { running, stdout, stderr, .. } = self;
        let status = running.end();
        let stdout = stdout.map_or_else(Vec::new, |pipe| pipe.recv().unwrap());
        let stderr = String::from_utf8(stderr.recv().unwrap()).unwrap();
        assert!(status != 101, "{stderr}");
        Ran { status, stdout, stderr }
    }

    /// Waits until a signal has ended it.
    pub(crate) fn gone(mut self) {
        self.running.0.take().unwrap().wait().unwrap();
    }
}

impl Ran {
    /// The summary of a `vtap collect`, which is the last it says.
    pub(crate) fn summary(&self) -> Value {
        let from = self.stderr.rfind("\n{").map_or(0, |at| at + 1);
        serde_json::from_str(&self.stderr[from..]).unwrap_or_else(|_| panic!("{}", self.stderr))
    }
}

/// A small disk, unmounted when dropped.
pub(crate) struct Disk(PathBuf);

impl Disk {
    pub(crate) fn resize(&self, size: &str) {
        let mut command = Command::new("mount");
        command.args(["-o", &format!("remount,size={size}")]).arg(&self.0);
        assert_eq!(run(&mut command, None).status, 0);
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

impl Capture {
    fn said(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    fn stop(self) -> PathBuf {
        self.running.interrupt();
        let said = fs::read_to_string(&self.log).unwrap();
        assert!(said.contains("\n0 packets dropped by kernel"), "{said}");
        self.file
    }
}

impl Sessions {
    /// Waits for the end of both.
    pub(crate) fn end(self) {
        assert_eq!(self.client.end(), 0);
        assert_eq!(self.server.end(), 0);
    }
}

impl Running {
    fn start(command: &mut Command) -> Self {
        Self(Some(command.spawn().unwrap()))
    }

    /// Starts a program, and waits until it has said that it is ready.
    fn ready(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let stdout = child.stdout.take().unwrap();
        let running = Self(Some(child));
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n");
        running
    }

    fn end(mut self) -> i32 {
        ended(self.0.take().unwrap())
    }

    fn interrupt(self) {
        let id = self.0.as_ref().unwrap().id().to_string();
        assert_eq!(run(Command::new("kill").arg(id), None).status, 0);
        self.end();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Fields of the packets that match, a line for each, as tshark reads them: of nested headers the
/// outermost (`f`), the innermost (`l`) or all, comma-separated (`a`).
pub(crate) fn tshark(file: &Path, filter: &str, occurrence: &str, fields: &[&str]) -> Vec<String> {
    let mut command = Command::new("tshark");
    command.args(["-n", "-r"]).arg(file).args(["-Y", filter, "-T", "fields"]);
    command.args(["-E", &format!("occurrence={occurrence}")]);
    for field in fields {
        command.args(["-e", field]);
    }
    let ran = run(&mut command, None);
    assert_eq!(ran.status, 0, "{}", ran.stderr);
    ran.text().lines().map(ToOwned::to_owned).collect()
}
