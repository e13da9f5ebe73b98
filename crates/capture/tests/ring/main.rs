//! The ring on real interfaces: network namespaces, the kernel's TCP and its VXLAN mirror. Needs
//! root.

#![cfg(feature = "live")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail loudly"
)]

mod lab;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::net::{IpAddr, SocketAddr};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use lab::{Lab, QUIET, drain, frames};
use vtap_capture::live::ring::{Options, Ring};
use vtap_capture::live::{Config, Live};
use vtap_capture::{File, Source};
use vtap_packet::{LinkType, Packet};
use vtap_testkit::tools;

/// All that comes by these interfaces.
fn on(interfaces: &[&str]) -> Config {
    let interfaces = interfaces.iter().map(ToString::to_string).collect();
    Config { interfaces, buffer: 32 << 20, plain: true, ..Config::default() }
}

/// Many small blocks: what a test sends has room, however long it takes.
fn shared(members: usize) -> Options {
    Options { members, block_bytes: 64 << 10, ..Options::default() }
}

fn both_ways(members: usize) -> Options {
    Options { outgoing: true, ..shared(members) }
}

/// Both ends of a flow, the lower one first.
type Flow = [SocketAddr; 2];

/// The flow behind so many bytes of headers, and whether its lower end sent the packet.
fn flow(packet: &[u8]) -> Option<(Flow, bool)> {
    let address = |at: usize, len: usize| -> IpAddr {
        match len {
            4 => <[u8; 4]>::try_from(&packet[at..at + 4]).unwrap().into(),
            _ => <[u8; 16]>::try_from(&packet[at..at + 16]).unwrap().into(),
        }
    };
    let (protocol, ends, header) = match packet.first()? >> 4 {
        4 => (packet[9], [address(12, 4), address(16, 4)], 20),
        6 => (packet[6], [address(8, 16), address(24, 16)], 40),
        _ => return None,
    };
    if ![6, 17].contains(&protocol) {
        return None;
    }
    let port = |at: usize| u16::from_be_bytes([packet[header + at], packet[header + at + 1]]);
    let [src, dst] = [(ends[0], port(0)), (ends[1], port(2))].map(SocketAddr::from);
    Some(if src <= dst { ([src, dst], true) } else { ([dst, src], false) })
}

/// Outer Ethernet, IPv4, UDP and VXLAN, and inner Ethernet.
const ENVELOPE: usize = 14 + 20 + 8 + 8 + 14;

/// Which members saw each flow, and in which directions.
fn members(rings: &mut [Ring], skip: usize) -> BTreeMap<Flow, BTreeSet<(usize, bool)>> {
    let mut seen = BTreeMap::<_, BTreeSet<_>>::new();
    for (member, ring) in rings.iter_mut().enumerate() {
        drain(ring, |packet| {
            if let Some((flow, lower)) = packet.data.get(skip..).and_then(flow) {
                seen.entry(flow).or_default().insert((member, lower));
            }
        });
    }
    seen
}

/// Asserts that both directions of these many flows met, and that each member had its part.
fn assert_met(seen: &BTreeMap<Flow, BTreeSet<(usize, bool)>>, flows: usize, members: usize) {
    assert_eq!(seen.len(), flows);
    let mut load = vec![0; members];
    for (flow, places) in seen {
        let on: BTreeSet<_> = places.iter().map(|(member, _)| member).collect();
        assert_eq!((on.len(), places.len()), (1, 2), "{flow:?}: {places:?}");
        load[*on.into_iter().next().unwrap()] += 1;
    }
    let even = flows / members;
    assert!(load.iter().all(|load| *load >= even / 4), "{load:?}");
}

#[test]
fn under_a_flood_every_packet_is_handed_over_or_counted_as_dropped() {
    const SENT: u32 = 60_000;
    let Some(lab) = Lab::wires() else { return };
    let _sink = lab.udp("b", "10.99.0.2:4789");
    for members in [1, 2] {
        let config = Config { buffer: members * (128 << 10), plain: false, ..on(&["b0"]) };
        let options =
            Options { block_bytes: 32 << 10, retire: Duration::from_millis(5), ..shared(members) };
        let mut rings = lab.open("b", &config, &options);
        let senders: Vec<_> = (0..8).map(|_| lab.udp("a", "10.99.0.1:0")).collect();
        let (mut handed, mut numbers) = (0, BTreeSet::new());
        thread::scope(|scope| {
            let sending = scope.spawn(|| {
                for number in 0..SENT {
                    let socket = &senders[number as usize % senders.len()];
                    socket.send_to(&number.to_be_bytes(), "10.99.0.2:4789").unwrap();
                }
            });
            loop {
                let is_over = sending.is_finished();
                let mut polled = 0;
                for ring in &mut rings {
                    let take = |packet: Packet<'_>| {
                        let number = packet.data[42..46].try_into().unwrap();
                        assert!(numbers.insert(u32::from_be_bytes(number)), "twice");
                    };
                    let wait = if is_over { QUIET } else { Duration::ZERO };
                    polled += ring.poll(wait, take).unwrap();
                }
                handed += polled as u64;
                if is_over && polled == 0 {
                    break;
                }
                // Slower than they come.
                thread::sleep(Duration::from_millis(3));
            }
        });
        let (mut received, mut dropped, mut freezes) = (0, 0, 0);
        for ring in &mut rings {
            let counters = ring.counters().unwrap();
            assert_eq!(counters, ring.counters().unwrap(), "reading it changes nothing");
            received += counters.received;
            dropped += counters.dropped;
            freezes += counters.freezes;
        }
        assert_eq!(received, SENT.into());
        assert_eq!(handed + dropped, SENT.into());
        assert_eq!(handed, numbers.len() as u64);
        assert!(dropped > 0 && freezes > 0 && handed > 0, "{dropped} {freezes} {handed}");
    }
}

#[test]
fn frames_are_those_that_tcpdump_records() {
    if !tools::installed(&["tcpdump"]) {
        return;
    }
    let Some(lab) = Lab::wires() else { return };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("b0.pcap");
    let mut tcpdump = lab.command("b", "tcpdump");
    tcpdump.args(["-i", "b0", "-B", "32768", "-w"]).arg(&path);
    let mut tcpdump = tcpdump.stderr(Stdio::piped()).spawn().unwrap();
    let mut said = [0; 64];
    assert!(tcpdump.stderr.as_mut().unwrap().read(&mut said).unwrap() > 0);
    let mut ring = lab.open_one("b", &on(&["b0"]), &both_ways(1));

    lab.connections(("a", "b"), "10.99.0.2:80".parse().unwrap(), 20, 100_000);
    let mut ours = Vec::new();
    drain(&mut ring, |packet| ours.push((packet.wire_len, packet.data.to_vec())));
    let counters = ring.counters().unwrap();
    assert_eq!((counters.received, counters.dropped), (ours.len() as u64, 0));
    // It hands over a block that is not full after a second.
    thread::sleep(Duration::from_millis(1300));
    let id = tcpdump.id().to_string();
    Command::new("kill").arg(id).status().unwrap();
    let said = tcpdump.wait_with_output().unwrap().stderr;
    let said = String::from_utf8_lossy(&said);
    assert!(said.contains("\n0 packets dropped by kernel"), "{said}");

    let mut file = File::open(&path).unwrap();
    let mut theirs = Vec::new();
    while let Some(packet) = file.next().unwrap() {
        theirs.push((packet.wire_len, packet.data.to_vec()));
    }
    // Two processors may deliver in either order to either.
    ours.sort();
    theirs.sort();
    assert!(ours.len() > 200, "{}", ours.len());
    assert_eq!(ours.len(), theirs.len());
    assert!(ours == theirs);
}

#[test]
fn both_directions_of_a_mirrored_flow_meet_on_one_thread() {
    let Some(lab) = Lab::tap() else { return };
    let _sink = lab.udp("col", "10.1.1.4:4789");
    for members in [2, 4] {
        let mut rings = lab.open("col", &on(&["col0"]), &shared(members));
        lab.connections(("vm", "srv"), "10.0.2.6:80".parse().unwrap(), 100, 3000);
        lab.connections(("vm", "srv"), "[fd00:10:2::6]:80".parse().unwrap(), 100, 3000);
        let seen = self::members(&mut rings, ENVELOPE);
        assert_met(&seen, 200, members);
        for ring in &mut rings {
            assert_eq!(ring.counters().unwrap().dropped, 0);
        }
    }
}

#[test]
fn outer_fragments_come_whole_to_the_thread_of_their_flow() {
    let Some(lab) = Lab::tap() else { return };
    // 50 bytes too little for what the envelopes hold.
    lab.ip("vm", "link set mir0 mtu 1500");
    lab.ip("col", "link set col0 mtu 1500");
    let _sink = lab.udp("col", "10.1.1.4:4789");
    let is_fragment = |frame: &[u8]| frame[12] == 8 && frame[20..22] != [0, 0] && frame[20] != 0x40;
    let address = "10.0.2.6:80".parse().unwrap();

    let mut ring = lab.open_one("col", &on(&["col0"]), &shared(1));
    lab.connections(("vm", "srv"), address, 4, 20_000);
    let seen = frames(&mut ring);
    assert!(seen.iter().filter(|frame| is_fragment(frame)).count() > 50, "the lab fragments");
    drop(ring);

    let mut rings = lab.open("col", &on(&["col0"]), &shared(4));
    lab.connections(("vm", "srv"), address, 60, 20_000);
    let (mut whole, mut seen) = (0, BTreeMap::<_, BTreeSet<_>>::new());
    for (member, ring) in rings.iter_mut().enumerate() {
        drain(ring, |packet| {
            assert!(!is_fragment(packet.data), "{packet:?}");
            whole += usize::from(packet.data.len() > 1514);
            assert_eq!(packet.data.len(), packet.wire_len as usize);
            if packet.data.len() > ENVELOPE
                && let Some((flow, lower)) = flow(&packet.data[ENVELOPE..])
            {
                let total = u16::from_be_bytes([packet.data[16], packet.data[17]]);
                assert_eq!(usize::from(total) + 14, packet.data.len());
                seen.entry(flow).or_default().insert((member, lower));
            }
        });
    }
    assert!(whole > 400, "{whole}");
    assert_met(&seen, 60, 4);
}

#[test]
fn a_packet_that_goes_out_meets_the_one_that_came_in() {
    let Some(lab) = Lab::wires() else { return };
    let mut rings = lab.open("b", &on(&["b0"]), &both_ways(4));
    lab.connections(("a", "b"), "10.99.0.2:80".parse().unwrap(), 60, 100);
    assert_met(&members(&mut rings, 14), 60, 4);
}

#[test]
fn an_interface_may_go_down_and_up_and_flows_keep_their_thread() {
    let Some(lab) = Lab::wires() else { return };
    let sink = lab.udp("b", "10.99.0.2:0");
    let sockets: Vec<_> = (0..64).map(|_| lab.udp("a", "10.99.0.1:0")).collect();
    let send = || {
        for socket in &sockets {
            socket.send_to(b"x", sink.local_addr().unwrap()).unwrap();
        }
    };
    let mut rings = lab.open("b", &on(&["b0"]), &shared(3));
    send();
    let before = members(&mut rings, 14);
    assert_eq!(before.len(), 64);
    lab.ip("b", "link set b0 down");
    for ring in &mut rings {
        assert_eq!(drain(ring, |_| {}), 0);
        assert_eq!(ring.interface_downs(), 1);
    }
    lab.ip("b", "link set b0 up");
    send();
    assert_eq!(members(&mut rings, 14), before);
}

#[test]
fn an_interface_that_is_removed_is_an_error_that_says_so() {
    let Some(lab) = Lab::wires() else { return };
    let mut one = lab.open_one("b", &on(&["b0"]), &shared(1));
    let mut several = lab.open_one("b", &on(&["b0", "b1"]), &shared(1));
    let mut any = lab.open_one("b", &on(&["any"]), &shared(1));
    lab.ip("b", "link del b0");
    for (ring, name) in [(&mut one, "b0"), (&mut several, "b0,b1")] {
        let error = (0..5).find_map(|_| ring.poll(QUIET, |_| {}).err()).unwrap().to_string();
        assert!(error.starts_with(&format!("{name}: cannot capture: ")), "{error}");
        assert!(error.contains("it was removed"), "{error}");
    }
    assert_eq!(drain(&mut any, |_| {}), 0);
}

#[test]
fn packets_tell_which_interface_they_came_by() {
    let Some(lab) = Lab::wires() else { return };
    let mut any = lab.open_one("b", &on(&[]), &shared(1));
    let mut several = lab.open_one("b", &on(&["b0", "b1"]), &shared(1));
    let mut one = lab.open_one("b", &on(&["b1"]), &shared(1));
    let mut outgoing = lab.open_one("b", &on(&["lo"]), &both_ways(1));
    let sink = lab.udp("b", "0.0.0.0:0");
    let port = sink.local_addr().unwrap().port();
    let (sender, own) = (lab.udp("a", "0.0.0.0:0"), lab.udp("b", "127.0.0.1:0"));
    for (socket, address) in [
        (&sender, "10.99.0.2"),
        (&sender, "10.98.0.2"),
        (&sender, "10.98.0.2"),
        (&own, "127.0.0.1"),
    ] {
        socket.send_to(b"to you", (address, port)).unwrap();
    }
    let names = |ring: &mut Ring| {
        let mut seen = Vec::new();
        drain(ring, |packet| {
            assert_eq!((packet.link, packet.data.len()), (LinkType::ETHERNET, 48));
            seen.push(packet.interface);
        });
        let name = |id: &u32| ring.interface(*id).unwrap().name.clone();
        seen.iter().map(name).collect::<Vec<_>>()
    };
    assert_eq!(names(&mut any), ["b0", "b1", "b1", "lo"]);
    assert_eq!(names(&mut several), ["b0", "b1", "b1"]);
    assert_eq!(names(&mut one), ["b1", "b1"]);
    assert_eq!(names(&mut outgoing), ["lo", "lo"]);
}

/// Makes a tun device as it comes, and one that says it is an IP tunnel (`ARPHRD_TUNNEL`), and
/// lets a UDP packet to port 9 come in by each.
const TWO_TUNS: &str = r#"
import fcntl, os, struct, subprocess
packet = bytes.fromhex("4500001d00000000401100000a6100020a6100010005000900090000") + b"x"
for name, kind in (("raw0", None), ("odd0", 768)):
    tun = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(tun, 0x400454CA, struct.pack("16sH22x", name.encode(), 0x1001))
    if kind:
        fcntl.ioctl(tun, 0x400454CD, kind)
    subprocess.check_call(["ip", "link", "set", name, "up"])
    os.write(tun, packet)
"#;

#[test]
fn interfaces_without_ethernet_are_raw_ip_or_unread() {
    if !tools::installed(&["python3"]) {
        return;
    }
    let Some(lab) = Lab::wires() else { return };
    let filtered = |filter: &str| Config { filter: Some(filter.into()), ..on(&[]) };
    let mut all = lab.open_one("b", &on(&[]), &shared(1));
    let mut udp = lab.open_one("b", &filtered("udp dst port 9"), &shared(1));
    let mut ether = lab.open_one("b", &filtered("not ether host 02:00:00:00:00:07"), &shared(1));
    let made = lab.command("b", "python3").args(["-c", TWO_TUNS]).output().unwrap();
    if !made.status.success() {
        let why = String::from_utf8_lossy(&made.stderr);
        tools::skipped(&format!("no tun device can be made here: {}", why.trim()));
        return;
    }
    let links = |ring: &mut Ring| {
        let mut seen = Vec::new();
        drain(ring, |packet| seen.push((packet.link, packet.data[0])));
        seen
    };
    // The number says that nobody reads it.
    let unread = LinkType(u16::MAX);
    assert_eq!(links(&mut all), [(LinkType::RAW, 0x45), (unread, 0x45)]);
    assert_eq!(links(&mut udp), [(LinkType::RAW, 0x45)]);
    assert_eq!(links(&mut ether), []);
}

#[test]
fn the_filter_and_the_snaplen_are_the_kernels_work() {
    let Some(lab) = Lab::wires() else { return };
    let config = Config { filter: Some("udp dst port 4789".into()), snaplen: 60, ..on(&["b0"]) };
    let mut ring = lab.open_one("b", &config, &shared(1));
    let sockets = [lab.udp("b", "10.99.0.2:4789"), lab.udp("b", "10.99.0.2:4790")];
    let sender = lab.udp("a", "10.99.0.1:0");
    for socket in &sockets {
        sender.send_to(&[1; 1000], socket.local_addr().unwrap()).unwrap();
        sender.send_to(&[2; 10], socket.local_addr().unwrap()).unwrap();
    }
    let mut seen = Vec::new();
    drain(&mut ring, |packet| {
        assert!(packet.time.secs() > 1_700_000_000);
        seen.push((packet.number, packet.data.len(), packet.wire_len));
    });
    assert_eq!(seen, [(1, 60, 1042), (2, 52, 52)]);
    assert_eq!(ring.counters().unwrap().received, 2);
}

#[test]
fn a_block_is_given_back_when_its_reader_panics() {
    let Some(lab) = Lab::wires() else { return };
    let config = Config { buffer: 2 << 16, ..on(&["b0"]) };
    let mut ring = lab.open_one("b", &config, &shared(1));
    let sink = lab.udp("b", "10.99.0.2:0");
    let sender = lab.udp("a", "10.99.0.1:0");
    // More often than there are blocks.
    for _ in 0..5 {
        sender.send_to(b"x", sink.local_addr().unwrap()).unwrap();
        let poll = || {
            ring.poll(Duration::from_secs(5), |_| panic!("in the reader")).unwrap();
        };
        assert!(catch_unwind(AssertUnwindSafe(poll)).is_err());
    }
    sender.send_to(b"x", sink.local_addr().unwrap()).unwrap();
    assert_eq!(drain(&mut ring, |_| {}), 1);
    assert_eq!(ring.counters().unwrap().dropped, 0);
}

#[test]
fn what_cannot_be_opened_says_what_to_do() {
    let Some(lab) = Lab::wires() else { return };
    lab.ip("b", "link set b1 down");
    let filter = |filter: &str| Config { filter: Some(filter.into()), ..on(&["b0"]) };
    let blocks = |block_bytes| Options { block_bytes, ..Options::default() };
    for (config, options, says) in [
        (on(&["b0", "b7"]), shared(1), "b7: cannot find the interface: No such device"),
        (on(&["b1"]), shared(1), "b1: cannot capture: Network is down (os error 100); bring it up"),
        (on(&["b0"]), shared(0), "b0: cannot share out packets"),
        (on(&["b0"]), shared(257), "from 1 to 256 threads"),
        (on(&["b0"]), blocks(1000), "b0: cannot make the ring: Invalid argument"),
        (on(&["b0"]), blocks(0), "b0: cannot make the ring: Invalid argument"),
        (filter("port port"), shared(1), "syntax error"),
    ] {
        let error = lab.within("b", || Ring::open_all(&config, &options).unwrap_err().to_string());
        assert!(error.contains(says), "{error}");
    }
}

#[test]
fn rings_may_be_read_on_other_threads() {
    fn can_be_sent<T: Send>() {}
    can_be_sent::<Ring>();
}
