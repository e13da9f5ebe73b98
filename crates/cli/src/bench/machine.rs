//! What it ran on, as Linux tells.

use std::fs;
use std::thread;
use std::time::SystemTime;

use vtap_packet::Timestamp;

pub(super) struct Machine {
    pub(super) cpu: String,
    /// Processors that this process may use.
    pub(super) cores: usize,
    pub(super) kernel: String,
    /// `2026-11-22T02:43:08Z`.
    pub(super) time: String,
}

impl Machine {
    pub(super) fn here() -> Self {
        let cpu = fs::read_to_string("/proc/cpuinfo").ok();
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").ok();
        Self {
            // Only x86 has a model name there.
            cpu: cpu
                .and_then(|info| Some(value(&info, "model name")?.to_owned()))
                .unwrap_or_else(|| std::env::consts::ARCH.to_owned()),
            cores: thread::available_parallelism().map_or(1, usize::from),
            kernel: kernel.map_or_else(String::new, |release| release.trim().to_owned()),
            time: now(),
        }
    }
}

/// Bytes that can be had without swapping; `None` where the kernel does not say.
pub(super) fn free_memory() -> Option<u64> {
    let info = fs::read_to_string("/proc/meminfo").ok()?;
    let kib: u64 = value(&info, "MemAvailable")?.strip_suffix(" kB")?.parse().ok()?;
    Some(kib * 1024)
}

/// From lines of `key : value`.
fn value<'a>(info: &'a str, key: &str) -> Option<&'a str> {
    let pairs = info.lines().filter_map(|line| line.split_once(':'));
    pairs
        .map(|(name, value)| (name.trim(), value.trim()))
        .find(|(name, _)| *name == key)
        .map(|it| it.1)
}

#[expect(clippy::disallowed_methods, reason = "the date of a report")]
fn now() -> String {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let text = Timestamp::new(since.as_secs(), 0).rfc3339();
    let (seconds, _) = text.split_at(19);
    format!("{}Z", String::from_utf8_lossy(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_found_by_their_whole_key() {
        let info = "MemTotal:       16384 kB\nMemAvailable:    1234 kB\nmodel name\t: A: b\n";
        assert_eq!(value(info, "MemAvailable"), Some("1234 kB"));
        assert_eq!(value(info, "model name"), Some("A: b"));
        assert_eq!(value(info, "model"), None);
    }

    #[test]
    fn the_date_is_of_this_century() {
        assert!(now().starts_with("20") && now().ends_with('Z') && now().len() == 20, "{}", now());
    }
}
