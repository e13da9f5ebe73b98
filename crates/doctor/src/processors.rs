//! How many processors take packets in.

use crate::backlog::Softnet;
use crate::finding::{Check, Finding, quoted};
use crate::host::Host;
use crate::ring::Losses;

pub(crate) const PROCESSORS: Check = Check {
    id: "processors",
    why: "A receive queue is served by one processor. With a single queue the others wait, unless \
          the kernel spreads packets over them (RPS).",
};

/// Advice only: it is a warning where packets were lost that another processor could have taken.
pub(crate) fn check(host: &Host<'_>, names: &[String]) -> Finding {
    let online = match host.read("sys/devices/system/cpu/online") {
        Ok(online) => processors(&online),
        Err(error) => return PROCESSORS.unknown(&error),
    };
    let found = format!("{online} processor{}", if online == 1 { "" } else { "s" });
    let mut queues = Vec::new();
    let mut alone = Vec::new();
    for name in names {
        let folder = format!("sys/class/net/{name}/queues");
        let receive = host.names(&folder).into_iter().filter(|queue| queue.starts_with("rx-"));
        let receive: Vec<_> = receive.collect();
        let mask = |queue: &String| host.read(&format!("{folder}/{queue}/rps_cpus"));
        // 00000000,00000003
        let spread = receive.iter().filter_map(|queue| mask(queue).ok());
        let spread = spread.filter(|mask| mask.chars().any(|c| !"0,".contains(c))).count() > 0;
        let plural = if receive.len() == 1 { "" } else { "s" };
        let rps = if spread { " and RPS" } else { "" };
        queues.push(format!("{name} has {} receive queue{plural}{rps}", receive.len()));
        if receive.len() == 1 && !spread && online > 1 {
            alone.push(name);
        }
    }
    let found = [&[found], queues.as_slice()].concat().join("; ");
    let lost = |name: &&String| Losses::read(host, name).is_ok_and(|losses| losses.overrun > 0);
    let late = Softnet::read(host).is_ok_and(|softnet| softnet.is_squeezed());
    let overrun: Vec<_> = alone.into_iter().filter(|name| late || lost(name)).collect();
    if overrun.is_empty() {
        return PROCESSORS.ok(found);
    }
    let mut finding = PROCESSORS.warn(format!("{found}: one takes all packets, and is late"));
    for name in overrun {
        let name = quoted(name);
        finding = finding.mend([
            format!("ethtool -L {name} combined {online}   # if the NIC has more queues, else:"),
            format!("echo {} > /sys/class/net/{name}/queues/rx-0/rps_cpus", all(online)),
        ]);
    }
    finding
}

/// Of a list like `0-3,6`.
fn processors(list: &str) -> u32 {
    let ranges = list.split(',').filter_map(|range| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last) = (first.trim().parse::<u32>().ok()?, last.trim().parse::<u32>().ok()?);
        last.checked_sub(first)?.checked_add(1)
    });
    ranges.sum()
}

/// The mask of so many processors, in words of 32 bits.
fn all(processors: u32) -> String {
    let mut words = vec!["ffffffff".to_owned(); (processors / 32) as usize];
    if !processors.is_multiple_of(32) {
        words.insert(0, format!("{:x}", (1_u32 << (processors % 32)) - 1));
    }
    words.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_and_masks_of_processors() {
        assert_eq!(processors("0"), 1);
        assert_eq!(processors("0-3,6"), 5);
        assert_eq!(processors("3-0"), 0);
        assert_eq!(all(2), "3");
        assert_eq!(all(32), "ffffffff");
        assert_eq!(all(36), "f,ffffffff");
    }
}
