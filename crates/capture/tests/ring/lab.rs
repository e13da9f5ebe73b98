//! Network namespaces with wires between them. Needs root.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsFd;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use vtap_capture::live::ring::{Options, Ring};
use vtap_capture::live::{Config, Live};
use vtap_packet::Packet;
use vtap_testkit::data::testdata;
use vtap_testkit::tools;

/// Namespaces, taken down when dropped, whatever happened.
pub(crate) struct Lab {
    prefix: String,
    names: &'static [&'static str],
}

impl Lab {
    /// Two hosts, `a` and `b`, with two wires: `a0` to `b0` with addresses 10.99.0.1 and .2, `a1`
    /// to `b1` with 10.98.0.1 and .2. Nothing but what a test sends passes them.
    pub(crate) fn wires() -> Option<Self> {
        let lab = Self::new(&["a", "b"])?;
        for name in lab.names {
            let built = ip(&["netns", "add", &lab.full(name)]);
            if !built {
                // A container may be root and still have no right to it.
                tools::skipped("no network namespace can be made here");
                return None;
            }
            lab.ip(name, "link set lo up");
        }
        for wire in [0, 1] {
            let b = lab.full("b");
            lab.ip("a", &format!("link add a{wire} type veth peer name b{wire} netns {b}"));
            for (host, number) in [("a", 1), ("b", 2)] {
                let device = format!("{host}{wire}");
                let mac = format!("02:00:00:00:0{wire}:0{number}");
                lab.ip(host, &format!("link set {device} address {mac} addrgenmode none up"));
            }
            for (host, own, peer) in [("a", 1, 2), ("b", 2, 1)] {
                let (device, net) = (format!("{host}{wire}"), format!("10.{}.0", 99 - wire));
                lab.ip(host, &format!("addr add {net}.{own}/24 dev {device}"));
                let mac = format!("02:00:00:00:0{wire}:0{peer}");
                let entry = format!("{net}.{peer} lladdr {mac} dev {device} nud permanent");
                lab.ip(host, &format!("neigh add {entry}"));
            }
        }
        Some(lab)
    }

    /// A tapped host `vm`, its server `srv` and the collector `col` (`testdata/lab/taplab.sh`).
    pub(crate) fn tap() -> Option<Self> {
        if !tools::installed(&["tc", "ethtool"]) {
            return None;
        }
        let lab = Self::new(&["vm", "srv", "col"])?;
        let mut script = Command::new("bash");
        script.arg(testdata("lab").join("taplab.sh")).arg("up");
        script.env("TAPLAB_PREFIX", &lab.prefix).env("TAPLAB_OFFLOAD", "off");
        let built = script.output().unwrap();
        if !built.status.success() {
            let why = String::from_utf8_lossy(&built.stderr);
            tools::skipped(&format!("no lab can be built here: {}", why.trim()));
            return None;
        }
        Some(lab)
    }

    fn new(names: &'static [&'static str]) -> Option<Self> {
        static LABS: AtomicU32 = AtomicU32::new(0);
        if !rustix::process::geteuid().is_root() {
            tools::skipped("needs root: network namespaces; sudo -E cargo test");
            return None;
        }
        if !tools::installed(&["ip"]) {
            return None;
        }
        let number = LABS.fetch_add(1, Ordering::Relaxed);
        Some(Self { prefix: format!("vr{}-{number}", std::process::id()), names })
    }

    fn full(&self, name: &str) -> String {
        format!("{}-{name}", self.prefix)
    }

    pub(crate) fn try_ip(&self, name: &str, arguments: &str) -> bool {
        let name = self.full(name);
        let mut all = vec!["-n", &name];
        all.extend(arguments.split(' '));
        ip(&all)
    }

    pub(crate) fn ip(&self, name: &str, arguments: &str) {
        assert!(self.try_ip(name, arguments), "ip {arguments}");
    }

    /// A program in a namespace.
    pub(crate) fn command(&self, name: &str, program: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.full(name), program]).stdin(Stdio::null());
        command
    }

    /// Does something on a thread that is in a namespace. Sockets made there stay there.
    pub(crate) fn within<T: Send>(&self, name: &str, work: impl FnOnce() -> T + Send) -> T {
        let path = format!("/run/netns/{}", self.full(name));
        thread::scope(|scope| {
            let work = || {
                let namespace = File::open(path).unwrap();
                let kind = Some(LinkNameSpaceType::Network);
                move_into_link_name_space(namespace.as_fd(), kind).unwrap();
                work()
            };
            scope.spawn(work).join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    pub(crate) fn open(&self, name: &str, config: &Config, options: &Options) -> Vec<Ring> {
        let open = || Ring::open_all(config, options).unwrap_or_else(|error| panic!("{error}"));
        self.within(name, open)
    }

    pub(crate) fn open_one(&self, name: &str, config: &Config, options: &Options) -> Ring {
        self.open(name, config, options).pop().unwrap()
    }

    pub(crate) fn udp(&self, name: &str, address: &str) -> UdpSocket {
        self.within(name, || UdpSocket::bind(address).unwrap())
    }

    /// So many connections from one host to an address of another, each with a request and an
    /// answer of `bytes`.
    pub(crate) fn connections(
        &self,
        (client, server): (&str, &str),
        address: SocketAddr,
        count: usize,
        bytes: usize,
    ) {
        let listener = self.within(server, || TcpListener::bind(address).unwrap());
        thread::scope(|scope| {
            scope.spawn(|| {
                for _ in 0..count {
                    let (mut peer, _) = listener.accept().unwrap();
                    peer.read_exact(&mut [0; 100]).unwrap();
                    peer.write_all(&vec![7; bytes]).unwrap();
                }
            });
            self.within(client, || {
                for _ in 0..count {
                    let mut peer = TcpStream::connect(address).unwrap();
                    peer.write_all(&[5; 100]).unwrap();
                    let mut answer = Vec::new();
                    peer.read_to_end(&mut answer).unwrap();
                    assert_eq!(answer.len(), bytes);
                }
            });
        });
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        for name in self.names {
            let _ = ip(&["netns", "del", &self.full(name)]);
        }
    }
}

fn ip(arguments: &[&str]) -> bool {
    Command::new("ip").args(arguments).output().unwrap().status.success()
}

/// Longer than a block waits to be handed over.
pub(crate) const QUIET: Duration = Duration::from_millis(200);

/// Takes all packets, until none comes for a while.
pub(crate) fn drain(ring: &mut Ring, mut take: impl FnMut(Packet<'_>)) -> usize {
    let mut all = 0;
    loop {
        match ring.poll(QUIET, &mut take).unwrap_or_else(|error| panic!("{error}")) {
            0 => return all,
            some => all += some,
        }
    }
}

/// The frames of all packets, until none comes for a while.
pub(crate) fn frames(ring: &mut Ring) -> Vec<Vec<u8>> {
    let mut frames = Vec::new();
    drain(ring, |packet| frames.push(packet.data.to_vec()));
    frames
}
