//! The queue of each processor between the NIC's driver and the network stack.

use crate::finding::{Check, Finding, count};
use crate::host::{Host, Reason, Unreadable};

pub(crate) const BACKLOG: Check = Check {
    id: "backlog",
    why: "Packets that a processor has no room for in its backlog are dropped before any capture \
          (RPS, virtual NICs). Out of budget, it leaves the NIC's ring to fill up.",
};

const WANTED_BACKLOG: u64 = 16_384;
const WANTED_BUDGET: u64 = 600;
const WANTED_BUDGET_USECS: u64 = 16_000;

/// Being out of budget once in so many packets is nothing to see to.
const SQUEEZED_SHARE: u64 = 10_000;

/// Sums over all processors since boot, of `/proc/net/softnet_stat`.
pub(crate) struct Softnet {
    pub(crate) processed: u64,
    pub(crate) dropped: u64,
    /// Times that a processor had to stop with packets left (`time_squeeze`).
    pub(crate) squeezed: u64,
}

impl Softnet {
    pub(crate) fn read(host: &Host<'_>) -> Result<Self, Unreadable> {
        const FILE: &str = "proc/net/softnet_stat";
        let mut sums = [0_u64; 3];
        for line in host.read(FILE)?.lines() {
            let mut columns = line.split_whitespace();
            for sum in &mut sums {
                let column = columns.next().and_then(|hex| u64::from_str_radix(hex, 16).ok());
                let Some(column) = column else {
                    return Err(Unreadable::new(&format!("/{FILE}"), bad(line)));
                };
                *sum += column;
            }
        }
        let [processed, dropped, squeezed] = sums;
        Ok(Self { processed, dropped, squeezed })
    }

    /// Whether processors were out of budget often enough to matter.
    pub(crate) fn is_squeezed(&self) -> bool {
        self.squeezed.saturating_mul(SQUEEZED_SHARE) > self.processed
    }
}

fn bad(line: &str) -> Reason {
    Reason::Other(format!("{line:?}").into())
}

pub(crate) fn check(host: &Host<'_>) -> Finding {
    look(host).unwrap_or_else(|error| BACKLOG.unknown(&error))
}

fn look(host: &Host<'_>) -> Result<Finding, Unreadable> {
    let softnet = Softnet::read(host)?;
    let seen = format!(
        "{} dropped, {} times out of budget in {} packets",
        count(softnet.dropped),
        count(softnet.squeezed),
        count(softnet.processed)
    );
    // The settings are the machine's: within a network namespace they are not shown.
    if softnet.dropped == 0 && !softnet.is_squeezed() {
        return Ok(BACKLOG.ok(seen));
    }
    let setting = |name: &str| host.number(&format!("proc/sys/net/core/{name}"));
    let backlog = setting("netdev_max_backlog")?;
    let (budget, usecs) = (setting("netdev_budget")?, setting("netdev_budget_usecs")?);
    let drops = softnet.dropped > 0 && backlog < WANTED_BACKLOG;
    let squeezed = softnet.is_squeezed() && (budget < WANTED_BUDGET || usecs < WANTED_BUDGET_USECS);
    if !drops && !squeezed {
        // Both counts are since boot: what they say may be from before it was mended.
        let hint = "settings are raised: do the counts still grow?";
        return Ok(BACKLOG.ok(format!("{seen}; {hint}")));
    }
    let mut finding = BACKLOG.warn(format!(
        "{seen} since boot; netdev_max_backlog {backlog}, netdev_budget {budget} in {usecs} µs"
    ));
    if drops {
        finding = finding.sysctl("net.core.netdev_max_backlog", WANTED_BACKLOG);
    }
    if squeezed {
        finding = finding
            .sysctl("net.core.netdev_budget", budget.max(WANTED_BUDGET))
            .sysctl("net.core.netdev_budget_usecs", usecs.max(WANTED_BUDGET_USECS));
    }
    Ok(finding)
}
