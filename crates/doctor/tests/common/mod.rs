//! A machine made of files and recorded answers. At first nothing is wrong with it.

#![allow(dead_code, reason = "each test file uses its own part")]

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use vtap_doctor::system::ToolError;
use vtap_doctor::{Asked, Finding, Host, Space, Status, System};

#[derive(Debug)]
pub(crate) struct Fake {
    pub(crate) root: TempDir,
    tools: BTreeMap<String, Result<String, ToolError>>,
    pub(crate) packet_socket: Option<io::ErrorKind>,
    pub(crate) space: Result<Space, io::ErrorKind>,
    pub(crate) asked: Asked,
}

const SETTINGS: &str = "Ring parameters for eth0:
Pre-set maximums:
RX:\t\t8192
RX Mini:\tn/a
TX:\t\t8192
Current hardware settings:
RX:\t\t4096
TX:\t\t256
";

const FEATURES: &str = "Features for eth0:
generic-receive-offload: on
large-receive-offload: off [fixed]
rx-gro-list: off
rx-udp-gro-forwarding: off
";

impl Fake {
    pub(crate) fn well() -> Self {
        let root = tempfile::tempdir().unwrap();
        let asked = Asked {
            interfaces: vec![],
            ports: vec![4789],
            dir: Some("/captures".into()),
            program: "/usr/bin/vtap".into(),
        };
        let space = Space {
            bytes: 100 << 30,
            free_bytes: 50 << 30,
            inodes: 1 << 20,
            free_inodes: 1 << 20,
            read_only: false,
            writable: true,
        };
        let mut fake =
            Self { root, tools: BTreeMap::new(), packet_socket: None, space: Ok(space), asked };
        for (path, text) in [
            (
                "proc/net/route",
                "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\n\
                 eth0\t00000000\t0104000A\t0003\t0\t0\t0\t00000000\n\
                 eth0\t0004000A\t00000000\t0001\t0\t0\t0\t00FFFFFF\n",
            ),
            ("proc/net/softnet_stat", "000f4240 00000000 00000000\n000f4240 00000000 00000000\n"),
            ("proc/net/udp", "  sl  local_address\n"),
            ("proc/self/status", "Name:\tvtap\nCapEff:\t0000000000003000\n"),
            ("proc/sys/net/core/rmem_max", "67108864"),
            ("proc/sys/net/core/rmem_default", "212992"),
            ("proc/sys/net/core/netdev_max_backlog", "1000"),
            ("proc/sys/net/core/netdev_budget", "300"),
            ("proc/sys/net/core/netdev_budget_usecs", "8000"),
            ("proc/sys/net/ipv4/conf/all/rp_filter", "0"),
            ("proc/sys/net/ipv4/conf/eth0/rp_filter", "1"),
            ("sys/class/net/eth0/flags", "0x1003"),
            ("sys/class/net/eth0/carrier", "1"),
            ("sys/class/net/eth0/mtu", "3900"),
            ("sys/class/net/eth0/queues/rx-0/rps_cpus", "0"),
            ("sys/class/net/eth0/queues/rx-1/rps_cpus", "0"),
            ("sys/class/net/eth0/statistics/rx_packets", "1000000"),
            ("sys/class/net/eth0/statistics/rx_dropped", "10"),
            ("sys/class/net/eth0/statistics/rx_missed_errors", "0"),
            ("sys/class/net/eth0/statistics/rx_fifo_errors", "0"),
            ("sys/class/net/eth0/statistics/rx_over_errors", "0"),
            ("sys/devices/system/cpu/online", "0-3"),
            ("sys/devices/system/clocksource/clocksource0/current_clocksource", "tsc"),
        ] {
            fake.write(path, text);
        }
        fake.tool(
            "ip -j address show dev eth0",
            r#"[{"addr_info":[{"local":"10.0.4.5","prefixlen":24,"scope":"global"}]}]"#,
        );
        fake.tool("ip -d -j link show dev eth0", r#"[{"max_mtu":9000}]"#);
        fake.tool("ip -d -j link show type vxlan", "[]");
        fake.tool("ethtool -g eth0", SETTINGS);
        fake.tool("ethtool -k eth0", FEATURES);
        fake.tool("nft list ruleset", "");
        fake.tool("timedatectl show --property=NTPSynchronized --value", "yes\n");
        fake
    }

    /// Without files, and without programs.
    pub(crate) fn bare() -> Self {
        let mut fake = Self::well();
        fake.root = tempfile::tempdir().unwrap();
        fake.tools.clear();
        fake
    }

    pub(crate) fn write(&self, path: &str, text: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    pub(crate) fn remove(&self, path: &str) {
        fs::remove_file(self.path(path)).unwrap();
    }

    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.root.path().join(path)
    }

    /// What a command prints.
    pub(crate) fn tool(&mut self, command: &str, answer: &str) {
        self.tools.insert(command.to_owned(), Ok(answer.to_owned()));
    }

    pub(crate) fn tool_fails(&mut self, command: &str, error: ToolError) {
        self.tools.insert(command.to_owned(), Err(error));
    }

    pub(crate) fn examine(&self) -> Vec<Finding> {
        vtap_doctor::examine(&Host::new(self.root.path(), self), &self.asked)
    }

    /// The one finding of a check.
    #[track_caller]
    pub(crate) fn find(&self, id: &str) -> Finding {
        let mut all = self.examine();
        all.retain(|finding| finding.id == id);
        assert_eq!(all.len(), 1, "{all:#?}");
        all.remove(0)
    }

    /// The status of the one finding of a check, which says this.
    #[track_caller]
    pub(crate) fn check(&self, id: &str, status: Status, says: &str) -> Finding {
        let finding = self.find(id);
        assert_eq!(finding.status, status, "{finding:#?}");
        assert!(finding.found.contains(says), "{finding:#?}");
        finding
    }
}

impl System for Fake {
    fn run(&self, program: &str, args: &[&str]) -> Result<String, ToolError> {
        let command = [&[program], args].concat().join(" ");
        self.tools.get(&command).cloned().unwrap_or(Err(ToolError::Absent))
    }

    fn packet_socket(&self) -> io::Result<()> {
        self.packet_socket.map_or(Ok(()), |kind| Err(kind.into()))
    }

    fn space(&self, _folder: &Path) -> io::Result<Space> {
        self.space.map_err(Into::into)
    }
}
