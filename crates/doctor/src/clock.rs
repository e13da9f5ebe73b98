//! The clock that stamps packets.

use crate::finding::{Check, Finding};
use crate::host::{Host, Reason};

pub(crate) const CLOCK_SYNC: Check = Check {
    id: "clock-sync",
    why: "Packets are stamped with this clock. If it is off, events cannot be laid beside the logs \
          of other machines, and two captures not beside each other.",
};

pub(crate) const CLOCK_SOURCE: Check = Check {
    id: "clocksource",
    why: "The clock is read for each packet. Slow sources cost a microsecond each time, and packets \
          are lost under load.",
};

/// Whether something disciplines the clock. adjtimex(2) says so to a program only; systemd asks it
/// (`NTPSynchronized`), whoever does the work.
pub(crate) fn sync(host: &Host<'_>) -> Finding {
    let show = ["show", "--property=NTPSynchronized", "--value"];
    match host.run("timedatectl", &show).as_deref().map(str::trim) {
        Ok("yes") => return CLOCK_SYNC.ok("synchronised (timedatectl)"),
        Ok("no") => return unsynchronised(host, "timedatectl"),
        _ => {}
    }
    // Reference, name, stratum, time, offset, ..., leap status.
    let tracking = host.run("chronyc", &["-c", "tracking"]);
    match &tracking {
        Ok(row) if row.trim_end().ends_with("Not synchronised") => {
            return unsynchronised(host, "chronyc");
        }
        Ok(row) if row.contains(',') => {
            let offset = row.split(',').nth(4).and_then(|seconds| seconds.parse::<f64>().ok());
            let offset = offset.map(|it| format!(", {:.6} s off", it.abs())).unwrap_or_default();
            return CLOCK_SYNC.ok(format!("synchronised (chronyc{offset})"));
        }
        _ => {}
    }
    if host.exists("run/systemd/timesync/synchronized") {
        return CLOCK_SYNC.ok("synchronised (systemd-timesyncd)");
    }
    let why = match tracking {
        Err(error) if error.reason != Reason::NotInstalled => format!("{error}"),
        _ => "no answer of timedatectl or chronyc".to_owned(),
    };
    CLOCK_SYNC.finding(crate::Status::Unknown, format!("not looked at: {why}")).mend(start(host))
}

fn unsynchronised(host: &Host<'_>, who: &str) -> Finding {
    CLOCK_SYNC.warn(format!("not synchronised, says {who}")).mend(start(host))
}

fn start(host: &Host<'_>) -> [String; 1] {
    let install = host.install("chronyc");
    // Debian starts what it installs.
    let is_started = install.starts_with("apt-get");
    [if is_started { install } else { format!("{install} && systemctl enable --now chronyd") }]
}

const CURRENT: &str = "sys/devices/system/clocksource/clocksource0/current_clocksource";
const AVAILABLE: &str = "sys/devices/system/clocksource/clocksource0/available_clocksource";

/// Read through a port or a device.
const SLOW: [&str; 5] = ["acpi_pm", "hpet", "jiffies", "pit", "refined-jiffies"];

pub(crate) fn source(host: &Host<'_>) -> Finding {
    let current = match host.read(CURRENT) {
        Ok(current) => current,
        Err(error) => return CLOCK_SOURCE.unknown(&error),
    };
    if !SLOW.contains(&current.as_str()) {
        return CLOCK_SOURCE.ok(current);
    }
    let available = host.read(AVAILABLE).unwrap_or_default();
    match available.split_whitespace().find(|source| !SLOW.contains(source)) {
        Some(better) => CLOCK_SOURCE
            .warn(format!("{current}, which is slow; {better} is there"))
            .mend([format!("echo {better} > /{CURRENT}")])
            .keep([format!("# add clocksource={better} to the kernel's command line")]),
        None => {
            CLOCK_SOURCE.warn(format!("{current}, which is slow; the kernel has no better one"))
        }
    }
}
