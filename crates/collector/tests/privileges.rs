//! What is left to a process that has given up its privileges, and what is not. As each case is a
//! process of a single thread, this is a program of its own that starts itself again as another user.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "tests fail loudly, and wait"
)]

use std::env;
use std::fs;
use std::io::ErrorKind;
use std::net::{ToSocketAddrs, UdpSocket};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use vtap_capture::live::{self, Kind, Live, Opened};
use vtap_collector::config::Privileges;
use vtap_collector::host::{Softnet, nics};
use vtap_collector::privileges::{Error, Landlock, Reach, give_up};
use vtap_testkit::tools;

const NOBODY: u32 = 65_534;

type Case = fn(&Place);

const CASES: [(&str, Case); 5] = [
    ("the_source_that_was_opened_reads_on_and_nothing_else_can_be_done", with_net_raw),
    ("root_becomes_the_user_for_good", from_root),
    ("a_directory_that_is_not_the_users_is_told_before_packets_are", unwritable),
    ("a_thread_that_runs_already_is_refused", threads),
    ("a_store_is_found_by_its_name_where_uploads_ask_for_it", names),
];

/// `out` belongs to nobody (the user); `etc` is readable, `elsewhere` everybody's.
struct Place(PathBuf);

impl Place {
    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn reach(&self) -> Reach {
        let read = ["/proc", "/sys/class/net", "/sys/devices"].map(PathBuf::from);
        let read = read.into_iter().chain([self.path("etc")]).collect();
        Reach { write: vec![self.path("out")], read }
    }
}

fn main() {
    if let (Ok(case), Some(place)) = (env::var("VTAP_CASE"), env::var_os("VTAP_PLACE")) {
        let case = CASES.iter().find(|(name, _)| *name == case).expect("a case");
        return case.1(&Place(place.into()));
    }
    if fs::metadata("/proc/self").map(|own| std::os::unix::fs::MetadataExt::uid(&own)).unwrap() != 0
    {
        tools::skipped("needs root: it starts processes as other users");
        return;
    }
    if !tools::installed(&["setpriv"]) {
        return;
    }
    for (case, _) in CASES {
        run(case);
        println!("test {case} ... ok");
    }
}

/// Runs a case in a process of its own, below a directory that others may enter.
fn run(case: &str) {
    let folder = tempfile::tempdir().unwrap();
    let place = Place(folder.path().to_path_buf());
    for (name, mode) in [("", 0o755), ("out", 0o700), ("etc", 0o755), ("elsewhere", 0o777)] {
        let path = place.path(name);
        fs::create_dir_all(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    }
    chown(place.path("out"), Some(NOBODY), Some(NOBODY)).unwrap();
    fs::write(place.path("etc/collect.toml"), "").unwrap();
    let program = place.path("program");
    fs::copy(env::current_exe().unwrap(), &program).unwrap();

    let mut command = Command::new("setpriv");
    if case == CASES[0].0 {
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]);
        command.args(["--bounding-set=-all,+net_raw,+setpcap", "--inh-caps=+net_raw"]);
        command.arg("--ambient-caps=+net_raw");
    } else {
        command.arg("--inh-caps=-all");
    }
    command.arg(&program).env("VTAP_CASE", case).env("VTAP_PLACE", &place.0).current_dir("/");
    let ran = command.output().unwrap();
    let said = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success(), "{case}: {}\n{said}", ran.status);
    assert!(!said.contains("panicked"), "{case}: {said}");
}

fn privileges(user: Option<&str>) -> Privileges {
    Privileges { user: user.map(Into::into), landlock: true }
}

fn with_net_raw(place: &Place) {
    let mut source = open(Kind::Pcap);
    let confined = give_up(&privileges(None), &place.reach()).unwrap();
    assert_eq!((confined.user, confined.bounding_cleared), (NOBODY, false));
    check(place, &mut source, confined.landlock);
}

fn from_root(place: &Place) {
    let mut source = open(Kind::Pcap);
    fs::remove_dir(place.path("out")).unwrap();
    let confined = give_up(&privileges(Some("nobody")), &place.reach()).unwrap();
    assert_eq!((confined.user, confined.bounding_cleared), (NOBODY, true));
    let said = confined.to_string();
    assert!(said.starts_with("user id 65534, no capabilities, no new privileges, "), "{said}");
    check(place, &mut source, confined.landlock);
}

fn unwritable(place: &Place) {
    chown(place.path("out"), Some(0), Some(0)).unwrap();
    let error = give_up(&privileges(Some("nobody")), &place.reach()).unwrap_err();
    assert!(matches!(error, Error::Unwritable { user: NOBODY, .. }), "{error}");
    assert!(
        error.to_string().contains("/out: cannot write files there as user id 65534"),
        "{error}"
    );

    let unknown = give_up(&privileges(Some("vtap-no-such-user")), &place.reach()).unwrap_err();
    assert!(unknown.to_string().starts_with("no such user: vtap-no-such-user"), "{unknown}");
}

fn threads(place: &Place) {
    let (end, wait) = std::sync::mpsc::channel::<()>();
    let thread = std::thread::spawn(move || wait.recv().is_err());
    let error = give_up(&privileges(None), &place.reach()).unwrap_err();
    assert!(matches!(error, Error::Threads(2)), "{error}");
    drop(end);
    thread.join().unwrap();
    assert!(fs::write(place.path("elsewhere/still"), "").is_ok(), "nothing was given up");
}

fn names(place: &Place) {
    let resolve = || ("localhost", 443).to_socket_addrs().map(|all| all.count());
    let known = resolve().unwrap();
    let mut reach = place.reach();
    reach.resolve_names();
    let confined = give_up(&privileges(Some("nobody")), &reach).unwrap();
    for file in ["/etc/hosts", "/etc/resolv.conf"] {
        if Path::new(file).exists() {
            fs::read(file).unwrap_or_else(|error| panic!("{file}: {error}"));
        }
    }
    // By a thread, as whoever uploads does.
    assert_eq!(std::thread::spawn(resolve).join().unwrap().unwrap(), known);
    if confined.landlock != Landlock::Missing {
        let refused = fs::write(place.path("elsewhere/file"), "row").map_err(|error| error.kind());
        assert_eq!(refused, Err(ErrorKind::PermissionDenied));
    }
    assert!(!confined.landlock.falls_short() || confined.landlock == Landlock::Missing);
}

/// Of loopback, with a port that is free.
fn open(kind: Kind) -> (Opened, u16) {
    let free = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = free.local_addr().unwrap().port();
    let interfaces = vec!["lo".to_owned()];
    let config = live::Config { kind, interfaces, ports: vec![port], ..live::Config::default() };
    (live::open(&config).unwrap().remove(0), port)
}

/// Packets, counters, and files where they belong; nothing else, by this thread or another.
fn check(place: &Place, (source, port): &mut (Opened, u16), landlock: Landlock) {
    let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
    let by = Instant::now() + Duration::from_secs(10);
    let mut read = 0;
    while read == 0 && Instant::now() < by {
        // Refused by the port, which nobody has bound: that is not the point.
        let _ = sender.send_to(b"mirrored", ("127.0.0.1", *port));
        read += source.poll(Duration::from_millis(100), |_| ()).unwrap();
    }
    assert!(read > 0, "no packet came");
    assert!(source.counters().unwrap().received > 0);
    assert!(Softnet::read(Path::new("/")).is_some());
    assert_eq!(nics(Path::new("/"), &["lo".to_owned()]).len(), 1);

    let status = fs::read_to_string("/proc/self/status").unwrap();
    for set in ["CapInh", "CapPrm", "CapEff", "CapAmb"] {
        assert!(status.contains(&format!("{set}:\t0000000000000000\n")), "{status}");
    }
    assert!(status.contains("NoNewPrivs:\t1\n"), "{status}");
    assert!(status.contains("Uid:\t65534\t65534\t65534\t65534\n"), "{status}");
    assert!(status.contains("Groups:\t \n") || status.contains("Groups:\t\n"), "{status}");

    let (kind, ports) = (Kind::Pcap, vec![*port]);
    let again = live::Config { kind, ports, ..live::Config::default() };
    assert!(live::open(&again).is_err(), "packets of strangers need a capability");

    files(place, landlock);
    std::thread::scope(|scope| scope.spawn(|| files(place, landlock)).join().unwrap());
}

fn files(place: &Place, landlock: Landlock) {
    let (partial, complete) =
        (place.path("out/events.json.partial"), place.path("out/events.json"));
    fs::write(&partial, "row").unwrap();
    fs::File::options().write(true).truncate(true).open(&partial).unwrap();
    fs::rename(&partial, &complete).unwrap();
    fs::read_dir(place.path("out")).unwrap();
    fs::remove_file(&complete).unwrap();
    fs::read(place.path("etc/collect.toml")).unwrap();

    if landlock == Landlock::Missing {
        tools::skipped("this kernel has no Landlock");
        return;
    }
    let refused = |result: std::io::Result<()>| {
        assert_eq!(result.map_err(|error| error.kind()), Err(ErrorKind::PermissionDenied));
    };
    refused(fs::write(place.path("elsewhere/file"), "row"));
    refused(fs::write(place.path("etc/collect.toml"), "row"));
    refused(fs::read("/etc/passwd").map(|_| ()));
    refused(fs::read_dir("/").map(|_| ()));
    refused(Command::new("/bin/true").status().map(|_| ()));
}
