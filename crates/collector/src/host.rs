//! Counters of the machine, as the kernel shows them in `/sys` and `/proc`.

use std::fs;
use std::path::Path;
use std::time::Duration;

/// A network card, by `/sys/class/net/NAME/statistics`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Nic {
    /// Packets received (`rx_packets`).
    pub received: u64,
    /// Packets that the kernel had no room or use for (`rx_dropped`).
    pub dropped: u64,
    /// Packets that the card had no room for (`rx_missed_errors`, `rx_fifo_errors`, `rx_over_errors`).
    pub missed: u64,
    /// Packets that were damaged (`rx_errors`, those above excluded where the driver does).
    pub errors: u64,
}

/// The queues between network cards and protocols, by `/proc/net/softnet_stat`: all processors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Softnet {
    /// Packets processed.
    pub processed: u64,
    /// Packets dropped because a processor's backlog was full (`net.core.netdev_max_backlog`).
    pub dropped: u64,
    /// Times a processor had to stop with work left (`net.core.netdev_budget`).
    pub squeezed: u64,
}

/// What this process takes of the machine, by `/proc/self/stat`; see proc_pid_stat(5).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Process {
    /// Memory that is resident, in bytes.
    pub resident: u64,
    /// Processor time of all threads, in user mode and in the kernel.
    pub cpu: Duration,
    /// Threads.
    pub threads: u64,
    /// Open files and sockets.
    pub open_files: u64,
}

impl Nic {
    /// Reads the counters below `root`, which is `/` except in tests. `None` where there is no such
    /// card.
    pub fn read(root: &Path, name: &str) -> Option<Self> {
        let folder = root.join("sys/class/net").join(name).join("statistics");
        let read = |counter: &str| -> Option<u64> {
            fs::read_to_string(folder.join(counter)).ok()?.trim().parse().ok()
        };
        let missed = ["rx_missed_errors", "rx_fifo_errors", "rx_over_errors"];
        Some(Self {
            received: read("rx_packets")?,
            dropped: read("rx_dropped").unwrap_or_default(),
            missed: missed.iter().filter_map(|counter| read(counter)).sum(),
            errors: read("rx_errors").unwrap_or_default(),
        })
    }

    /// What was counted since `before`.
    #[must_use]
    pub const fn since(self, before: Self) -> Self {
        Self {
            received: self.received.saturating_sub(before.received),
            dropped: self.dropped.saturating_sub(before.dropped),
            missed: self.missed.saturating_sub(before.missed),
            errors: self.errors.saturating_sub(before.errors),
        }
    }
}

impl Softnet {
    /// Reads the counters below `root`. `None` where the kernel does not show them.
    pub fn read(root: &Path) -> Option<Self> {
        let table = fs::read_to_string(root.join("proc/net/softnet_stat")).ok()?;
        let mut all = Self::default();
        for processor in table.lines() {
            let mut columns = processor
                .split_whitespace()
                .map(|column| u64::from_str_radix(column, 16).unwrap_or_default());
            all.processed += columns.next().unwrap_or_default();
            all.dropped += columns.next().unwrap_or_default();
            all.squeezed += columns.next().unwrap_or_default();
        }
        Some(all)
    }

    /// What was counted since `before`.
    #[must_use]
    pub const fn since(self, before: Self) -> Self {
        Self {
            processed: self.processed.saturating_sub(before.processed),
            dropped: self.dropped.saturating_sub(before.dropped),
            squeezed: self.squeezed.saturating_sub(before.squeezed),
        }
    }
}

impl Process {
    /// Reads the counters below `root`. `None` where the kernel does not show them.
    pub fn read(root: &Path) -> Option<Self> {
        let folder = root.join("proc/self");
        let stat = fs::read_to_string(folder.join("stat")).ok()?;
        // The name of the program, in parentheses, may contain anything; behind it is field 3.
        let (_, behind) = stat.rsplit_once(')')?;
        let fields: Vec<&str> = behind.split_whitespace().collect();
        let field = |number: usize| -> Option<u64> { fields.get(number - 3)?.parse().ok() };
        let ticks = field(14)? + field(15)?;
        let files = fs::read_dir(folder.join("fd")).map_or(0, Iterator::count);
        Some(Self {
            resident: field(24)? * rustix::param::page_size() as u64,
            cpu: Duration::from_millis(
                ticks * 1000 / rustix::param::clock_ticks_per_second().max(1),
            ),
            threads: field(20)?,
            open_files: files as u64,
        })
    }
}

/// The cards that `interfaces` name; all of them for none, or for `any`.
pub fn nics(root: &Path, interfaces: &[String]) -> Vec<(String, Nic)> {
    let named = !interfaces.is_empty() && interfaces.iter().all(|name| name != "any");
    let mut names: Vec<_> = if named {
        interfaces.to_vec()
    } else {
        let folder = fs::read_dir(root.join("sys/class/net"));
        let entries = folder.into_iter().flatten().flatten();
        entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
    };
    names.sort();
    names.into_iter().filter_map(|name| Nic::read(root, &name).map(|nic| (name, nic))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_takes_memory_and_has_threads_and_files() {
        let process = Process::read(Path::new("/")).unwrap();
        assert!(process.resident > 100_000, "{process:?}");
        assert!(process.threads >= 2 && process.open_files >= 3, "{process:?}");
    }

    #[test]
    fn counters_are_read_and_what_came_since_is_told() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("sys/class/net/eth0/statistics");
        fs::create_dir_all(&folder).unwrap();
        for (counter, value) in
            [("rx_packets", "100\n"), ("rx_missed_errors", "3\n"), ("rx_fifo_errors", "4\n")]
        {
            fs::write(folder.join(counter), value).unwrap();
        }
        let nic = Nic { received: 100, dropped: 0, missed: 7, errors: 0 };
        assert_eq!(nics(root.path(), &[]), [("eth0".to_owned(), nic)]);
        assert_eq!(nics(root.path(), &["eth1".to_owned()]), []);
        assert_eq!(nic.since(Nic { received: 90, ..Nic::default() }).received, 10);

        assert_eq!(Softnet::read(root.path()), None);
        fs::create_dir_all(root.path().join("proc/net")).unwrap();
        let table = "0000000a 00000001 00000002 00000000\n00000010 00000001 00000000 00000000\n";
        fs::write(root.path().join("proc/net/softnet_stat"), table).unwrap();
        let softnet = Softnet { processed: 26, dropped: 2, squeezed: 2 };
        assert_eq!(Softnet::read(root.path()), Some(softnet));
    }
}
