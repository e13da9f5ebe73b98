//! The receive ring of the NIC, and what it lost.

use crate::finding::{Check, Finding, count, quoted};
use crate::host::{Host, Unreadable};

pub(crate) const RING_SIZE: Check = Check {
    id: "ring-size",
    why: "The NIC drops what comes while its receive ring is full, before any program sees it. \
          Setting it resets the NIC for a moment.",
};

pub(crate) const NIC_DROPS: Check = Check {
    id: "nic-drops",
    why: "Packets that the NIC or its driver lost are in no capture and in no count of vtap's.",
};

/// Slots that ride out the millisecond in which a busy processor does not come round, at 4 million
/// packets a second.
const ENOUGH: u64 = 4096;

/// More than one of so many packets dropped is worth a look. The kernel also counts here what
/// nobody wanted (an unknown EtherType), which captures do see.
const DROPPED_SHARE: u64 = 1000;

pub(crate) fn size(host: &Host<'_>, name: &str) -> Finding {
    let finding = match host.run("ethtool", &["-g", name]) {
        Ok(answer) => ring(name, &answer),
        Err(error) if error.is_unsupported() => RING_SIZE.ok("the driver has no ring to set"),
        Err(error) => RING_SIZE.unknown(&error),
    };
    finding.about(name)
}

fn ring(name: &str, answer: &str) -> Finding {
    // RX of two sections: what can be, what is.
    let slots = answer.lines().filter_map(|line| line.strip_prefix("RX:"));
    let mut slots = slots.map(|value| value.trim().parse::<u64>());
    let (Some(Ok(most)), Some(Ok(now))) = (slots.next(), slots.next()) else {
        return RING_SIZE.ok("the driver has no ring to set");
    };
    let enough = most.min(ENOUGH);
    let found = format!("{} slots of {} at most", count(now), count(most));
    if now >= enough {
        return RING_SIZE.ok(found);
    }
    RING_SIZE.warn(found).nic(name, &format!("ethtool -G {} rx {enough}", quoted(name)))
}

/// What a NIC lost since it came up.
pub(crate) struct Losses {
    /// No room in the ring, or in the NIC's memory.
    pub(crate) overrun: u64,
    /// Dropped by driver or kernel, for whatever reason.
    dropped: u64,
    received: u64,
}

impl Losses {
    pub(crate) fn read(host: &Host<'_>, name: &str) -> Result<Self, Unreadable> {
        let counter = |file| host.number(&format!("sys/class/net/{name}/statistics/{file}"));
        let overrun = [counter("rx_missed_errors")?, counter("rx_fifo_errors")?];
        // Drivers count the same loss under several names.
        let overrun = overrun.into_iter().chain([counter("rx_over_errors")?]).max();
        Ok(Self {
            overrun: overrun.unwrap_or_default(),
            dropped: counter("rx_dropped")?,
            received: counter("rx_packets")?,
        })
    }
}

pub(crate) fn drops(host: &Host<'_>, name: &str) -> Finding {
    let finding = match Losses::read(host, name) {
        Ok(losses) => judge(name, &losses),
        Err(error) => NIC_DROPS.unknown(&error),
    };
    finding.about(name)
}

fn judge(name: &str, losses: &Losses) -> Finding {
    let Losses { overrun, dropped, received } = *losses;
    let found = format!(
        "{} overruns, {} dropped of {} packets",
        count(overrun),
        count(dropped),
        count(received)
    );
    if overrun == 0 && dropped.saturating_mul(DROPPED_SHARE) <= received {
        return NIC_DROPS.ok(found);
    }
    let name = quoted(name);
    NIC_DROPS.warn(found).mend([format!(
        "ethtool -S {name} | grep -iE 'drop|miss|discard|no_buf'   # which, and do they grow?"
    )])
}
