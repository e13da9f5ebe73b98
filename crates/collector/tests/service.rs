//! What a service manager hears: a real socket, and a process whose environment names it.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail loudly"
)]

use std::env;
use std::os::unix::net::UnixDatagram;
use std::process::Command;
use std::time::Duration;

use vtap_collector::service::Service;
use vtap_packet::Timestamp;

const CHILD: &str = "says_what_a_service_says";

/// What the child says, a message each, to a socket at the end of `variables`.
fn heard(variables: &[(&str, &str)]) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_nonblocking(true).unwrap();
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(["--exact", CHILD, "--ignored"]).env("NOTIFY_SOCKET", &path);
    let ran = command.env_remove("WATCHDOG_USEC").envs(variables.iter().copied()).output().unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stdout));
    let mut room = [0; 4096];
    let message = || socket.recv(&mut room).ok().map(|bytes| room[..bytes].to_vec());
    std::iter::from_fn(message).map(|bytes| String::from_utf8(bytes).unwrap()).collect()
}

#[test]
fn readiness_reloads_and_the_end_are_told() {
    let heard = heard(&[]);
    let [ready, status, reloading, again, stopping] = heard.as_slice() else {
        panic!("{heard:?}");
    };
    assert_eq!(ready, "READY=1\nSTATUS=eth0, UDP port 4789\n");
    assert_eq!(status, "STATUS=12 flows\n");
    let time = reloading.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").unwrap();
    assert!(time.trim_end().parse::<u64>().unwrap() > 0);
    assert_eq!(again, "READY=1\nSTATUS=as before\n");
    assert_eq!(stopping, "STOPPING=1\nSTATUS=writing what is left\n");
}

#[test]
fn a_watchdog_hears_that_the_process_lives_twice_in_its_time_and_no_more() {
    let beats = |heard: Vec<String>| heard.iter().filter(|said| *said == "WATCHDOG=1\n").count();
    // 100 turns of a tenth of a second, and a clock that is set back: every 2 s, and once more.
    assert_eq!(beats(heard(&[("WATCHDOG_USEC", "4000000")])), 6);
    let other = [("WATCHDOG_USEC", "4000000"), ("WATCHDOG_PID", "1")];
    assert_eq!(beats(heard(&other)), 0, "meant for another process");
}

#[test]
#[ignore = "is started by the others"]
fn says_what_a_service_says() {
    let mut service = Service::from_environment();
    service.ready("eth0, UDP port 4789").unwrap();
    service.status("12 flows").unwrap();
    for tenth in 0..100 {
        service
            .watchdog(Timestamp::new(1_000_000, 0) + Duration::from_millis(tenth * 100))
            .unwrap();
    }
    service.watchdog(Timestamp::new(999_000, 0)).unwrap();
    service.reloading().unwrap();
    service.ready("as before").unwrap();
    service.stopping().unwrap();
}
