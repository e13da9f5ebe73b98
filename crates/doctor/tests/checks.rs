//! Each check on a machine that is well, ill, or cannot be looked at.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail loudly"
)]

mod common;

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::symlink;
use std::path::Path;

use common::Fake;
use vtap_doctor::system::ToolError;
use vtap_doctor::{CHECKS, Status};

#[test]
fn a_machine_that_is_well_has_nothing_to_mend() {
    let findings = Fake::well().examine();
    let ill: Vec<_> = findings.iter().filter(|it| it.status != Status::Ok).collect();
    assert!(ill.is_empty(), "{ill:#?}");
    assert!(findings.iter().all(|finding| finding.mend.is_empty() && finding.keep.is_empty()));
    let ids: Vec<_> = findings.iter().map(|finding| finding.id).collect();
    let checks: Vec<_> = CHECKS.iter().map(|check| check.id).collect();
    assert_eq!(ids, checks);
}

#[test]
fn where_nothing_can_be_read_nothing_is_called_well_that_was_not_seen() {
    let mut fake = Fake::bare();
    fake.space = Err(ErrorKind::PermissionDenied);
    fake.asked.interfaces = vec!["eth0".to_owned()];
    fs::create_dir_all(fake.path("sys/class/net/eth0")).unwrap();
    for finding in fake.examine() {
        // Without a module there is no conntrack.
        let expected = if finding.id == "conntrack" { Status::Ok } else { Status::Unknown };
        assert_eq!(finding.status, expected, "{finding:#?}");
    }
}

#[test]
fn every_check_is_in_the_manual() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/doctor.md");
    let docs = fs::read_to_string(docs).unwrap();
    for check in CHECKS {
        assert!(docs.contains(&format!("| `{}` |", check.id)), "{}", check.id);
    }
}

#[test]
fn the_buffer_of_a_udp_socket_is_large_enough() {
    let fake = Fake::well();
    fake.write("proc/sys/net/core/rmem_max", "212992\n");
    let finding = fake.check("rmem-max", Status::Fail, "rmem_max 208 KiB");
    assert_eq!(finding.mend, ["sysctl -w net.core.rmem_max=67108864"]);
    let line = "echo 'net.core.rmem_max = 67108864' >> /etc/sysctl.d/90-vtap.conf";
    assert_eq!(finding.keep, [line]);
    fake.write("proc/sys/net/core/rmem_max", "33554432\n");
    fake.check("rmem-max", Status::Warn, "32 MiB");
    fake.write("proc/sys/net/core/rmem_max", "much\n");
    fake.check("rmem-max", Status::Unknown, r#"/proc/sys/net/core/rmem_max: "much""#);
    fake.remove("proc/sys/net/core/rmem_max");
    fake.check("rmem-max", Status::Unknown, "/proc/sys/net/core/rmem_max is not there");
}

#[test]
fn drops_of_a_processors_backlog_are_summed_in_hexadecimal() {
    let fake = Fake::well();
    fake.write(
        "proc/net/softnet_stat",
        "00000010 0000000a 00000000 0\n00000010 00000001 00000000 0\n",
    );
    let finding = fake.check("backlog", Status::Warn, "11 dropped, 0 times out of budget in 32");
    assert_eq!(finding.mend, ["sysctl -w net.core.netdev_max_backlog=16384"]);
    // The count stays until the next boot.
    fake.write("proc/sys/net/core/netdev_max_backlog", "16384");
    fake.check("backlog", Status::Ok, "do the counts still grow?");
}

#[test]
fn a_processor_that_is_often_out_of_budget_is_told_from_one_that_seldom_is() {
    let fake = Fake::well();
    fake.write("proc/net/softnet_stat", "000f4240 00000000 00000064\n");
    fake.check("backlog", Status::Ok, "100 times out of budget in 1,000,000");
    fake.write("proc/net/softnet_stat", "000f4240 00000000 00000065\n");
    let finding = fake.check("backlog", Status::Warn, "101 times out of budget");
    let [budget, usecs] = finding.mend.as_slice() else { panic!("{finding:#?}") };
    assert_eq!(budget, "sysctl -w net.core.netdev_budget=600");
    assert_eq!(usecs, "sysctl -w net.core.netdev_budget_usecs=16000");
    fake.write("proc/net/softnet_stat", "no numbers\n");
    fake.check("backlog", Status::Unknown, "no numbers");
}

#[test]
fn a_small_ring_is_raised_to_what_the_nic_can_do() {
    let ring = |most, now| format!("Pre-set maximums:\nRX:\t{most}\nCurrent:\nRX:\t{now}\n");
    let mut fake = Fake::well();
    for (most, now, raised) in [(8192, 1024, 4096), (2048, 512, 2048)] {
        fake.tool("ethtool -g eth0", &ring(most, now));
        let finding = fake.find("ring-size");
        assert_eq!(finding.status, Status::Warn);
        assert_eq!(finding.mend, [format!("ethtool -G eth0 rx {raised}")]);
        let rule = format!(
            r#"echo 'ACTION=="add|move", SUBSYSTEM=="net", ENV{{INTERFACE}}=="eth0", RUN+="/usr/sbin/ethtool -G eth0 rx {raised}"' >> /etc/udev/rules.d/90-vtap.rules"#
        );
        assert_eq!(finding.keep, [rule]);
        fake.tool("ethtool -g eth0", &ring(most, raised));
        assert_eq!(fake.find("ring-size").status, Status::Ok);
    }
    let unsupported = ToolError::Failed("netlink error: Operation not supported".to_owned());
    fake.tool_fails("ethtool -g eth0", unsupported);
    fake.check("ring-size", Status::Ok, "no ring to set");
    fake.tool_fails("ethtool -g eth0", ToolError::Failed("no answer within 3s".to_owned()));
    fake.check("ring-size", Status::Unknown, "ethtool -g eth0: no answer within 3s");
}

#[test]
fn a_missing_program_is_named_with_how_this_distribution_installs_it() {
    let mut fake = Fake::well();
    fake.tool_fails("ethtool -g eth0", ToolError::Absent);
    for (release, command) in [
        ("ID=ubuntu\nID_LIKE=debian\n", "apt-get install -y ethtool"),
        ("ID=\"almalinux\"\nID_LIKE=\"rhel centos fedora\"\n", "dnf install -y ethtool"),
        ("ID=\"sles\"\nID_LIKE=\"suse\"\n", "zypper install -y ethtool"),
    ] {
        fake.write("etc/os-release", release);
        let finding = fake.check("ring-size", Status::Unknown, "ethtool is not installed");
        assert_eq!(finding.mend, [command]);
    }
    fake.tool_fails("ip -d -j link show type vxlan", ToolError::Absent);
    fake.write("sys/module/vxlan/refcnt", "1");
    let finding = fake.find("vxlan-device");
    assert_eq!(finding.mend, ["zypper install -y iproute2"]);
}

#[test]
fn what_the_nic_lost_is_told_from_what_nobody_wanted() {
    let fake = Fake::well();
    fake.write("sys/class/net/eth0/statistics/rx_dropped", "1000");
    fake.check("nic-drops", Status::Ok, "0 overruns, 1,000 dropped of 1,000,000 packets");
    fake.write("sys/class/net/eth0/statistics/rx_dropped", "1001");
    fake.check("nic-drops", Status::Warn, "1,001 dropped");
    fake.write("sys/class/net/eth0/statistics/rx_dropped", "0");
    fake.write("sys/class/net/eth0/statistics/rx_missed_errors", "7");
    fake.write("sys/class/net/eth0/statistics/rx_over_errors", "7");
    fake.check("nic-drops", Status::Warn, "7 overruns");
    fake.remove("sys/class/net/eth0/statistics/rx_fifo_errors");
    fake.check("nic-drops", Status::Unknown, "rx_fifo_errors is not there");
}

#[test]
fn the_function_below_a_synthetic_nic_is_looked_at_too() {
    let mut fake = Fake::well();
    fs::create_dir_all(fake.path("sys/class/net/enP1")).unwrap();
    symlink("../enP1", fake.path("sys/class/net/eth0/lower_enP1")).unwrap();
    fake.tool("ethtool -g enP1", "Pre-set maximums:\nRX: 8192\nCurrent:\nRX: 1024\n");
    let findings = fake.examine();
    let below: Vec<_> = findings.iter().filter(|it| it.id == "ring-size").collect();
    assert_eq!(below.len(), 2);
    assert_eq!(below[1].subject.as_deref(), Some("enP1"));
    assert_eq!(below[1].status, Status::Warn);
}

#[test]
fn gro_matters_while_a_vxlan_device_has_the_port_open() {
    let device = |port: u16, flags: &str| {
        format!(
            r#"[{{}},{{"ifname":"vxlan5","flags":[{flags}],"linkinfo":{{"info_kind":"vxlan","info_data":{{"id":5,"port":{port}}}}}}}]"#
        )
    };
    let mut fake = Fake::well();
    fake.tool("ip -d -j link show type vxlan", &device(4789, r#""BROADCAST","UP""#));
    let finding = fake.check("gro", Status::Warn, "vxlan5 has UDP 4789 open");
    assert_eq!(finding.mend, ["ethtool -K eth0 gro off"]);
    let finding = fake.check("vxlan-device", Status::Fail, "vxlan5 (VNI 5, up)");
    assert_eq!(finding.mend, ["ip link delete vxlan5"]);
    fake.tool("ip -d -j link show type vxlan", &device(4789, ""));
    fake.check("gro", Status::Ok, "on");
    fake.check("vxlan-device", Status::Warn, "(VNI 5, down)");
    fake.tool("ip -d -j link show type vxlan", &device(8472, r#""UP""#));
    fake.check("gro", Status::Ok, "on");
    fake.check("vxlan-device", Status::Ok, "none");
    fake.tool_fails("ip -d -j link show type vxlan", ToolError::Absent);
    fake.check("gro", Status::Unknown, "ip is not installed");
}

#[test]
fn offloads_that_glue_envelopes_together_fail() {
    let mut fake = Fake::well();
    fake.tool(
        "ethtool -k eth0",
        "generic-receive-offload: on\nlarge-receive-offload: on\nrx-udp-gro-forwarding: on\n",
    );
    let finding = fake.check("udp-gro", Status::Fail, "rx-udp-gro-forwarding on");
    assert_eq!(finding.mend, ["ethtool -K eth0 rx-udp-gro-forwarding off"]);
    let finding = fake.check("lro", Status::Warn, "on");
    assert_eq!(finding.mend, ["ethtool -K eth0 lro off"]);
    fake.tool("ethtool -k eth0", "generic-receive-offload: off\nrx-gro-list: on\n");
    fake.check("udp-gro", Status::Ok, "GRO is off");
    fake.tool_fails("ethtool -k eth0", ToolError::Absent);
    fake.check("udp-gro", Status::Unknown, "ethtool is not installed");
}

#[test]
fn an_mtu_without_room_for_the_envelope_is_raised() {
    let mut fake = Fake::well();
    fake.write("sys/class/net/eth0/mtu", "1500");
    let finding = fake.check("mtu", Status::Warn, "1500 bytes");
    assert_eq!(finding.mend, ["ip link set dev eth0 mtu 1600"]);
    fake.tool("ip -d -j link show dev eth0", r#"[{"max_mtu":1500}]"#);
    let finding = fake.check("mtu", Status::Warn, "can do 1500 at most");
    assert!(finding.mend.is_empty(), "{finding:#?}");
    fake.write("sys/class/net/eth0/mtu", "1600");
    fake.check("mtu", Status::Ok, "1600");
}

#[test]
fn a_nic_that_is_missing_down_or_unplugged_is_told() {
    let mut fake = Fake::well();
    fake.tool("ip -j address show dev eth0", "[]");
    fake.check("interface", Status::Warn, "without an address");
    fake.write("sys/class/net/eth0/carrier", "0");
    fake.check("interface", Status::Fail, "no carrier");
    fake.write("sys/class/net/eth0/flags", "0x1002");
    let finding = fake.check("interface", Status::Fail, "down");
    assert_eq!(finding.mend, ["ip link set dev eth0 up"]);
    for name in ["eth9", "../net/eth0", "", ".."] {
        fake.asked.interfaces = vec![name.to_owned()];
        fake.check("interface", Status::Fail, "there are eth0");
        assert!(fake.examine().iter().all(|finding| finding.id != "mtu"), "{name}");
    }
    fake.asked.interfaces.clear();
    fake.remove("proc/net/route");
    fake.check("interface", Status::Fail, "no network interface");
}

#[test]
fn bridges_of_containers_are_no_nics_of_a_collector() {
    let fake = Fake::well();
    let mut routes = fs::read_to_string(fake.path("proc/net/route")).unwrap();
    routes.push_str("docker0\t000011AC\t00000000\t0001\t0\t0\t0\t0000FFFF\n");
    routes.push_str("eth1\t0005000A\t00000000\t0001\t0\t0\t0\t00FFFFFF\n");
    fake.write("proc/net/route", &routes);
    for name in ["docker0", "eth1"] {
        fake.write(&format!("sys/class/net/{name}/flags"), "0x1003");
    }
    fs::create_dir(fake.path("sys/class/net/eth1/device")).unwrap();
    let findings = fake.examine();
    let nics = findings.iter().filter(|finding| finding.id == "interface");
    let nics: Vec<_> = nics.filter_map(|finding| finding.subject.as_deref()).collect();
    assert_eq!(nics, ["eth0", "eth1"]);
    // Replies to who sends to eth1 would leave by eth0.
    fake.write("proc/sys/net/ipv4/conf/eth1/rp_filter", "1");
    let findings = fake.examine();
    let strict = findings.iter().find(|it| it.id == "rp-filter" && it.status == Status::Warn);
    let strict = strict.unwrap();
    assert_eq!(strict.subject.as_deref(), Some("eth1"));
    assert_eq!(strict.mend, ["sysctl -w net.ipv4.conf.eth1.rp_filter=2"]);
}

#[test]
fn the_process_that_has_the_port_is_named() {
    let mut fake = Fake::well();
    let row = "  12: 00000000:12B5 00000000:0000 07 00000000:00000000 00:00000000 00000000  1000        0 4711 2 0 0\n";
    fake.write("proc/net/udp6", row);
    let kernel = "taken by no process here";
    fake.check("port-in-use", Status::Fail, kernel);
    fake.write("proc/17/comm", "collectd\n");
    fs::create_dir(fake.path("proc/17/fd")).unwrap();
    symlink("/dev/null", fake.path("proc/17/fd/0")).unwrap();
    fake.check("port-in-use", Status::Fail, kernel);
    symlink("socket:[4711]", fake.path("proc/17/fd/3")).unwrap();
    let finding = fake.check("port-in-use", Status::Fail, "taken by collectd (process 17)");
    assert!(finding.mend[0].starts_with("kill 17 "), "{finding:#?}");
    fake.write("proc/17/comm", "vtap\n");
    fake.check("port-in-use", Status::Ok, "as it should be");
    fake.asked.ports = vec![4790];
    fake.check("port-in-use", Status::Ok, "free");
    fake.remove("proc/net/udp");
    fake.check("port-in-use", Status::Unknown, "/proc/net/udp is not there");
}

#[test]
fn a_process_that_cannot_be_looked_into_may_have_the_port() {
    let fake = Fake::well();
    let row = "  12: 00000000:12B5 00000000:0000 07 0:0 0:0 0  1000        0 4711 2 0 0\n";
    fake.write("proc/net/udp", row);
    // No folder of descriptors that could be read.
    fake.write("proc/17/comm", "collectd\n");
    fake.check("port-in-use", Status::Fail, "a process of another user, or the kernel (uid 1000)");
}

#[test]
fn a_slow_clock_is_changed_for_one_that_is_there() {
    let fake = Fake::well();
    let folder = "sys/devices/system/clocksource/clocksource0";
    fake.write(&format!("{folder}/current_clocksource"), "acpi_pm");
    fake.check("clocksource", Status::Warn, "no better one");
    fake.write(&format!("{folder}/available_clocksource"), "hpet hyperv_clocksource_tsc_page");
    let finding = fake.check("clocksource", Status::Warn, "hyperv_clocksource_tsc_page is there");
    let command = format!("echo hyperv_clocksource_tsc_page > /{folder}/current_clocksource");
    assert_eq!(finding.mend, [command]);
}

#[test]
fn whoever_keeps_the_clock_is_asked() {
    let timedatectl = "timedatectl show --property=NTPSynchronized --value";
    let mut fake = Fake::well();
    fake.tool(timedatectl, "no\n");
    fake.check("clock-sync", Status::Warn, "not synchronised, says timedatectl");
    fake.tool_fails(timedatectl, ToolError::Failed("Failed to connect to bus".to_owned()));
    fake.check("clock-sync", Status::Unknown, "no answer of");
    let row =
        |leap| format!("A9FEA97B,169.254.169.123,4,1.0,-0.000012,0,0,0,0,0,0,0,16.1,{leap}\n");
    fake.tool("chronyc -c tracking", &row("Normal"));
    fake.check("clock-sync", Status::Ok, "synchronised (chronyc, 0.000012 s off)");
    fake.tool("chronyc -c tracking", &row("Not synchronised"));
    fake.check("clock-sync", Status::Warn, "says chronyc");
    fake.tool_fails("chronyc -c tracking", ToolError::Failed("506 Cannot talk to daemon".into()));
    fake.check("clock-sync", Status::Unknown, "506 Cannot talk to daemon");
    fake.write("run/systemd/timesync/synchronized", "");
    fake.check("clock-sync", Status::Ok, "systemd-timesyncd");
}

#[test]
fn a_folder_that_cannot_take_captures_is_told() {
    let mut fake = Fake::well();
    let space = fake.space.unwrap();
    fake.check("disk-space", Status::Ok, "50 GiB of 100 GiB free (50 %), 1,048,576 inodes");
    fake.space = Ok(vtap_doctor::Space { free_bytes: 5 << 30, ..space });
    fake.check("disk-space", Status::Warn, "5 GiB");
    fake.space = Ok(vtap_doctor::Space { free_bytes: 1 << 20, ..space });
    fake.check("disk-space", Status::Fail, "1 MiB");
    fake.space = Ok(vtap_doctor::Space { free_inodes: 5, ..space });
    fake.check("disk-space", Status::Fail, "5 inodes");
    fake.space = Ok(vtap_doctor::Space { inodes: 0, free_inodes: 0, ..space });
    fake.check("disk-space", Status::Ok, "50 GiB");
    fake.space = Ok(vtap_doctor::Space { read_only: true, ..space });
    fake.check("disk-space", Status::Fail, "read-only");
    fake.space = Ok(vtap_doctor::Space { writable: false, ..space });
    fake.check("disk-space", Status::Fail, "may not write");
    fake.space = Err(ErrorKind::NotFound);
    let finding = fake.check("disk-space", Status::Fail, "not there");
    assert_eq!(finding.mend, ["mkdir -p /captures"]);
    fake.asked.dir = None;
    assert!(fake.examine().iter().all(|finding| finding.id != "disk-space"));
}

#[test]
fn which_sources_can_start_depends_on_capabilities() {
    let mut fake = Fake::well();
    fake.packet_socket = Some(ErrorKind::PermissionDenied);
    fake.check("capabilities", Status::Fail, "a sandbox forbids it");
    fake.write("proc/self/status", "CapEff:\t0000000000000000\n");
    let finding = fake.check("capabilities", Status::Warn, "only the udp source");
    assert_eq!(finding.mend, ["setcap cap_net_raw=ep /usr/bin/vtap"]);
    fake.write("proc/self/status", "Name:\tvtap\n");
    fake.check("capabilities", Status::Unknown, "no CapEff");
}

#[test]
fn one_queue_is_a_matter_where_its_processor_is_late() {
    let fake = Fake::well();
    fs::remove_dir_all(fake.path("sys/class/net/eth0/queues/rx-1")).unwrap();
    fake.check("processors", Status::Ok, "4 processors; eth0 has 1 receive queue");
    fake.write("sys/class/net/eth0/statistics/rx_missed_errors", "1");
    let finding = fake.check("processors", Status::Warn, "one takes all packets");
    assert_eq!(finding.mend[1], "echo f > /sys/class/net/eth0/queues/rx-0/rps_cpus");
    fake.write("sys/class/net/eth0/queues/rx-0/rps_cpus", "00000000,0000000f");
    fake.check("processors", Status::Ok, "and RPS");
    fake.remove("sys/devices/system/cpu/online");
    fake.check("processors", Status::Unknown, "cpu/online is not there");
}
