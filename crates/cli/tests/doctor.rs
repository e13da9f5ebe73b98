//! `vtap doctor` in network namespaces: what is wrong there is found, and the command that it
//! prints mends it. Needs root.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail loudly"
)]

mod common;

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::sleep;
use std::time::Duration;

use common::{Ran, run, vtap};
use serde_json::Value;
use vtap_testkit::tools;

/// A collector `nic` with 10.9.0.2, and a tap at the other end of its cable. Taken down when
/// dropped, whatever happened.
struct Lab {
    tap: String,
    collector: String,
}

impl Lab {
    /// `None`, and a word about it, where it cannot be built.
    fn build() -> Option<Self> {
        static LABS: AtomicU32 = AtomicU32::new(0);
        if !is_root() || !tools::installed(&["ip", "nft", "ethtool", "python3", "sysctl"]) {
            return None;
        }
        let prefix =
            format!("vtdoc{}-{}", std::process::id(), LABS.fetch_add(1, Ordering::Relaxed));
        let lab = Self { tap: format!("{prefix}-tap"), collector: format!("{prefix}-col") };
        let (tap, col) = (&lab.tap, &lab.collector);
        let commands = [
            format!("ip netns add {tap}"),
            format!("ip netns add {col}"),
            format!("ip link add nic netns {col} type veth peer name tap netns {tap}"),
            format!("ip -n {tap} address add 10.9.0.1/24 dev tap"),
            format!("ip -n {col} address add 10.9.0.2/24 dev nic"),
            format!("ip -n {col} link set lo up"),
            format!("ip -n {tap} link set tap up"),
            format!("ip -n {col} link set nic up"),
        ];
        for command in commands {
            let ran = run(Command::new("sh").args(["-c", &command]), None);
            if ran.status != 0 {
                // A container may be root and still have no right to it.
                tools::skipped(&format!("no lab can be built here: {}", ran.stderr.trim()));
                return None;
            }
        }
        Some(lab)
    }

    /// Runs a line of shell on the collector.
    #[track_caller]
    fn sh(&self, line: &str) -> String {
        let ran = run(&mut self.command(&self.collector, &["sh", "-ec", line]), None);
        assert_eq!(ran.status, 0, "{line}: {}", ran.stderr);
        ran.text().to_owned()
    }

    fn command(&self, place: &str, args: &[&str]) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", place]).args(args);
        command
    }

    /// The finding of a check, and the exit status.
    #[track_caller]
    fn doctor(&self, id: &str) -> Value {
        let program = env!("CARGO_BIN_EXE_vtap");
        let ran =
            run(&mut self.command(&self.collector, &[program, "doctor", "--format", "json"]), None);
        finding(&ran, id)
    }

    /// Runs what a finding says would mend it.
    #[track_caller]
    fn mend(&self, finding: &Value) {
        let commands = strings(&finding["mend"]);
        assert!(!commands.is_empty(), "{finding}");
        for command in commands {
            self.sh(&command);
        }
    }

    /// Envelopes, each from another port.
    #[track_caller]
    fn mirror(&self, packets: u32) {
        let script = "import socket, sys\n\
            for _ in range(int(sys.argv[1])):\n\
            \x20   s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n\
            \x20   s.sendto(bytes([8, 0, 0, 0, 0, 0, 7, 0]) + bytes(60), ('10.9.0.2', 4789))\n";
        let mut command = self.command(&self.tap, &["python3", "-c", script, &packets.to_string()]);
        assert_eq!(run(&mut command, None).status, 0);
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        for namespace in [&self.tap, &self.collector] {
            let _ = Command::new("ip").args(["netns", "delete", namespace]).status();
        }
    }
}

fn is_root() -> bool {
    let root = Command::new("id").arg("-u").output().unwrap().stdout == b"0\n";
    if !root {
        tools::skipped("needs root: network namespaces; sudo -E cargo test");
    }
    root
}

#[track_caller]
fn finding(ran: &Ran, id: &str) -> Value {
    let findings: Value = serde_json::from_slice(&ran.stdout).unwrap();
    let findings = findings.as_array().unwrap();
    let fails = findings.iter().any(|finding| finding["status"] == "fail");
    assert_eq!(ran.status, i32::from(fails), "{}", ran.stderr);
    let mut found = findings.iter().filter(|finding| finding["id"] == id);
    let finding = found.next().unwrap_or_else(|| panic!("{id}: {findings:?}")).clone();
    assert!(found.next().is_none(), "{id}: {findings:?}");
    finding
}

fn strings(values: &Value) -> Vec<String> {
    values.as_array().unwrap().iter().map(|it| it.as_str().unwrap().to_owned()).collect()
}

#[track_caller]
fn expect(finding: &Value, status: &str, says: &str) {
    assert_eq!(finding["status"], status, "{finding:#}");
    assert!(finding["found"].as_str().unwrap().contains(says), "{finding:#}");
}

#[test]
fn the_nic_of_a_namespace_is_found_with_its_address() {
    let Some(lab) = Lab::build() else { return };
    let well = lab.doctor("interface");
    expect(&well, "ok", "10.9.0.2/24");
    assert_eq!(well["subject"], "nic");
    lab.sh("ip link set nic down; ip route add default dev lo; ip address flush dev nic");
    let program = env!("CARGO_BIN_EXE_vtap");
    let args = [program, "doctor", "--format", "json", "-i", "nic"];
    let ran = run(&mut lab.command(&lab.collector, &args), None);
    let down = finding(&ran, "interface");
    expect(&down, "fail", "down");
    lab.mend(&down);
    let ran = run(&mut lab.command(&lab.collector, &args), None);
    expect(&finding(&ran, "interface"), "warn", "without an address");
}

#[test]
fn a_vxlan_device_that_has_the_port_is_found_and_deleted() {
    let Some(lab) = Lab::build() else { return };
    expect(&lab.doctor("vxlan-device"), "ok", "none");
    lab.sh("ip link add overlay type vxlan id 5 dstport 4789 dev nic");
    expect(&lab.doctor("vxlan-device"), "warn", "overlay (VNI 5, down)");
    lab.sh("ip link set overlay up");
    expect(&lab.doctor("port-in-use"), "ok", "by the kernel only");
    let finding = lab.doctor("vxlan-device");
    expect(&finding, "fail", "overlay (VNI 5, up)");
    lab.mend(&finding);
    expect(&lab.doctor("vxlan-device"), "ok", "none");
    expect(&lab.doctor("port-in-use"), "ok", "free");
}

#[test]
fn a_vxlan_device_that_was_moved_away_still_has_the_port() {
    let Some(lab) = Lab::build() else { return };
    lab.sh(&format!(
        "ip link add overlay type vxlan id 5 dstport 4789 remote 10.9.0.1; \
         ip link set overlay netns {}",
        lab.tap
    ));
    let up = run(&mut lab.command(&lab.tap, &["ip", "link", "set", "overlay", "up"]), None);
    assert_eq!(up.status, 0, "{}", up.stderr);
    expect(&lab.doctor("vxlan-device"), "ok", "none");
    expect(&lab.doctor("port-in-use"), "fail", "a VXLAN device moved to another namespace");
}

#[test]
fn gro_is_switched_off_while_a_vxlan_device_is_open() {
    let Some(lab) = Lab::build() else { return };
    lab.sh("ethtool -K nic gro on");
    expect(&lab.doctor("gro"), "ok", "harmless");
    lab.sh("ip link add overlay type vxlan id 5 dstport 4789 dev nic; ip link set overlay up");
    lab.sh("ip route add default dev nic");
    let finding = lab.doctor("gro");
    expect(&finding, "warn", "overlay has UDP 4789 open");
    lab.mend(&finding);
    expect(&lab.doctor("gro"), "ok", "off");
}

#[test]
fn offloads_that_glue_envelopes_together_are_switched_off() {
    let Some(lab) = Lab::build() else { return };
    for feature in ["rx-udp-gro-forwarding", "rx-gro-list"] {
        lab.sh(&format!("ethtool -K nic gro on {feature} on"));
        let finding = lab.doctor("udp-gro");
        expect(&finding, "fail", feature);
        lab.mend(&finding);
        expect(&lab.doctor("udp-gro"), "ok", "off");
    }
}

#[test]
fn a_process_that_has_the_port_is_named() {
    let Some(lab) = Lab::build() else { return };
    let script = "import socket, time\n\
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n\
        s.bind(('10.9.0.2', 4789))\n\
        print('ready', flush=True)\n\
        time.sleep(60)\n";
    let mut command = lab.command(&lab.collector, &["python3", "-c", script]);
    let holder = Held(command.stdout(Stdio::piped()).spawn().unwrap()).ready();
    // What `ip netns exec` becomes.
    let id = holder.0.id();
    let finding = lab.doctor("port-in-use");
    expect(&finding, "fail", &format!("taken by python3 (process {id})"));
    lab.mend(&finding);
    drop(holder);
    expect(&lab.doctor("port-in-use"), "ok", "free");
}

/// A program that goes on. Killed when dropped, whatever happened.
struct Held(Child);

impl Held {
    fn ready(mut self) -> Self {
        let mut line = String::new();
        BufReader::new(self.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n");
        self
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_rule_that_drops_the_port_is_quoted_and_overruled() {
    let Some(lab) = Lab::build() else { return };
    expect(&lab.doctor("firewall"), "ok", "no rule drops it");
    lab.sh("nft add table inet guard; \
         nft 'add chain inet guard in { type filter hook input priority 0; policy accept; }'; \
         nft add rule inet guard in udp dport 4000-5000 counter drop");
    let dropped = || {
        let rules = lab.sh("nft list chain inet guard in");
        let counter = rules.lines().find(|line| line.contains("4000-5000")).unwrap().to_owned();
        counter.split_whitespace().nth(5).unwrap().parse::<u32>().unwrap()
    };
    lab.mirror(2);
    assert_eq!(dropped(), 2);
    let finding = lab.doctor("firewall");
    expect(&finding, "fail", "inet guard in: udp dport 4000-5000 counter packets 2");
    lab.mend(&finding);
    expect(&lab.doctor("firewall"), "ok", "no rule drops it");
    lab.mirror(2);
    assert_eq!(dropped(), 2);
}

#[test]
fn a_policy_that_drops_the_port_is_overruled_in_iptables_as_well() {
    let Some(lab) = Lab::build() else { return };
    if !tools::installed(&["iptables", "iptables-save"]) {
        return;
    }
    lab.sh("iptables -P INPUT DROP; iptables -A INPUT -i lo -j ACCEPT");
    let finding = lab.doctor("firewall");
    expect(&finding, "fail", "policy drop of ip filter INPUT");
    lab.mend(&finding);
    expect(&lab.doctor("firewall"), "ok", "no rule drops it");
}

#[test]
fn the_rule_against_tracking_takes_effect() {
    let Some(lab) = Lab::build() else { return };
    // Tracking starts with a rule that asks for it.
    lab.sh("nft add table inet guard; \
         nft 'add chain inet guard in { type filter hook input priority 0; policy accept; }'; \
         nft add rule inet guard in ct state established accept");
    let entries = || lab.sh("cat /proc/sys/net/netfilter/nf_conntrack_count").trim().to_owned();
    lab.mirror(3);
    assert_eq!(entries(), "3");
    let finding = lab.doctor("conntrack");
    expect(&finding, "warn", "no NOTRACK rule for the port; 3 of ");
    expect(&finding, "warn", "entries in use, 3 to this port");
    lab.mend(&finding);
    expect(&lab.doctor("conntrack"), "ok", "a NOTRACK rule");
    lab.mirror(5);
    assert_eq!(entries(), "3");

    // What is kept brings it back, and may be loaded twice.
    let keep = strings(&finding["keep"]);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("vtap.nft");
    let file = file.to_str().unwrap();
    for command in keep.iter().filter(|command| !command.starts_with('#')) {
        lab.sh(&command.replace("/etc/vtap.nft", file));
    }
    let load = keep.last().unwrap().split_once("ExecStartPre=+").unwrap().1;
    let load = load.replace("/etc/vtap.nft", file);
    lab.sh("nft delete table inet vtap");
    expect(&lab.doctor("conntrack"), "warn", "no NOTRACK rule");
    lab.sh(&load);
    lab.sh(&load);
    expect(&lab.doctor("conntrack"), "ok", "a NOTRACK rule");
    assert_eq!(lab.sh("nft list table inet vtap").matches("notrack").count(), 1);
}

#[test]
fn the_rule_against_tracking_takes_effect_in_iptables_as_well() {
    let Some(lab) = Lab::build() else { return };
    if !tools::installed(&["iptables", "iptables-save"]) {
        return;
    }
    lab.sh("iptables -A INPUT -m conntrack --ctstate ESTABLISHED -j ACCEPT");
    lab.mirror(3);
    expect(&lab.doctor("conntrack"), "warn", "no NOTRACK rule");
    // What is printed where there is no nft.
    lab.sh("iptables -t raw -I PREROUTING -p udp --dport 4789 -j NOTRACK");
    expect(&lab.doctor("conntrack"), "ok", "a NOTRACK rule");
}

#[test]
fn the_mtu_is_raised() {
    let Some(lab) = Lab::build() else { return };
    let finding = lab.doctor("mtu");
    expect(&finding, "warn", "1500 bytes");
    lab.mend(&finding);
    expect(&lab.doctor("mtu"), "ok", "1600 bytes");
}

#[test]
fn strict_reverse_path_filtering_is_loosened() {
    let Some(lab) = Lab::build() else { return };
    lab.sh("sysctl -qw net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.nic.rp_filter=1; \
         ip link add other type veth peer name end; ip link set end up; ip link set other up; ip route add default dev other");
    let program = env!("CARGO_BIN_EXE_vtap");
    let args = [program, "doctor", "--format", "json", "--interface", "nic"];
    let look = || finding(&run(&mut lab.command(&lab.collector, &args), None), "rp-filter");
    let strict = look();
    expect(&strict, "warn", "strict");
    lab.mend(&strict);
    expect(&look(), "ok", "loose");
}

/// Settings of the whole machine are files in its place, in a namespace of mounts: the command is
/// the real one, and the machine stays as it is.
#[test]
fn kernel_settings_that_doctor_prints_are_those_that_it_reads() {
    let Some(lab) = Lab::build() else { return };
    let folder = tempfile::tempdir().unwrap();
    for (name, value) in [
        ("rmem_max", "212992"),
        ("rmem_default", "212992"),
        ("netdev_max_backlog", "1000"),
        ("netdev_budget", "300"),
        ("netdev_budget_usecs", "8000"),
    ] {
        fs::write(folder.path().join(name), value).unwrap();
    }
    fs::write(folder.path().join("softnet_stat"), "00001000 00000001 00000001\n").unwrap();
    let core = folder.path().to_str().unwrap();
    let mounted = |line: &str| {
        let line = format!(
            "mount --bind {core} /proc/sys/net/core; \
             mount --bind {core} /proc/$$/net; {line}"
        );
        // `exec` keeps the process, whose folder of counters it is.
        let mut command = lab.command(&lab.collector, &["unshare", "-m", "sh", "-ec", &line]);
        run(&mut command, None)
    };
    let program = env!("CARGO_BIN_EXE_vtap");
    let doctor = format!("exec {program} doctor --format json");
    for id in ["rmem-max", "backlog"] {
        let ill = finding(&mounted(&doctor), id);
        assert!(ill["status"] == "fail" || ill["status"] == "warn", "{ill:#}");
        for command in strings(&ill["mend"]) {
            let ran = mounted(&command);
            assert_eq!(ran.status, 0, "{command}: {}", ran.stderr);
        }
        let well = finding(&mounted(&doctor), id);
        assert_eq!(well["status"], "ok", "{well:#}");
    }
}

#[test]
fn a_user_without_rights_is_told_what_is_missing_and_the_command_gives_it() {
    if !is_root() || !tools::installed(&["setcap"]) {
        return;
    }
    let folder = tempfile::Builder::new().prefix("vtdoc").tempdir_in("/var/tmp").unwrap();
    let binary = folder.path().join("vtap");
    fs::copy(env!("CARGO_BIN_EXE_vtap"), &binary).unwrap();
    let open = run(Command::new("chmod").arg("755").arg(folder.path()).arg(&binary), None);
    assert_eq!(open.status, 0);
    let doctor = || {
        let mut command = Command::new(&binary);
        command.args(["doctor", "--format", "json", "--dir", "/"]).uid(65534).gid(65534);
        run(&mut command, None)
    };
    let ran = doctor();
    expect(&finding(&ran, "disk-space"), "fail", "this user may not write there");
    if tools::find("nft").is_some() {
        expect(&finding(&ran, "firewall"), "unknown", "needs root");
    }
    let missing = finding(&ran, "capabilities");
    expect(&missing, "warn", "no CAP_NET_RAW");
    let [command] = &strings(&missing["mend"])[..] else { panic!("{missing}") };
    let set = run(Command::new("sh").args(["-c", command]), None);
    assert_eq!(set.status, 0, "{command}: {}", set.stderr);
    // A file that was open for writing a moment ago is busy.
    sleep(Duration::from_millis(50));
    expect(&finding(&doctor(), "capabilities"), "ok", "CAP_NET_RAW");
}

#[test]
fn text_has_a_line_for_each_finding_and_no_colour_in_a_pipe() {
    let ran = vtap(&["doctor", "--interface", "no-such-nic", "--dir", "/no/such/folder"]);
    assert_eq!(ran.status, 1);
    let text = ran.text();
    assert!(!text.contains('\x1b'), "{text}");
    let first = text.lines().next().unwrap();
    assert!(first.starts_with("fail     "), "{text}");
    assert!(text.contains("there is no no-such-nic; there are "), "{text}");
    assert!(text.contains("         mkdir -p /no/such/folder\n"), "{text}");
    let last = text.lines().last().unwrap();
    let counts = last.split(", ").map(|part| part.split_once(' ').unwrap().0);
    let sum: usize = counts.map(|count| count.parse::<usize>().unwrap()).sum();
    let is_finding = |line: &&str| {
        ["fail ", "warn ", "unknown ", "ok "].iter().any(|status| line.starts_with(status))
    };
    assert_eq!(text.lines().filter(is_finding).count(), sum, "{text}");
    let json =
        vtap(&["doctor", "--format", "json", "-i", "no-such-nic", "--dir", "/no/such/folder"]);
    let findings: Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(findings.as_array().unwrap().len(), sum);
}

#[test]
fn wrong_usage_is_status_2() {
    assert_eq!(vtap(&["doctor", "--port", "0"]).status, 2);
    assert_eq!(vtap(&["doctor", "eth0"]).status, 2);
}
