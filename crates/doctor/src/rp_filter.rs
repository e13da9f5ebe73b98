//! Reverse-path filtering.

use crate::finding::{Check, Finding};
use crate::host::{Host, Unreadable};
use crate::interfaces;

pub(crate) const RP_FILTER: Check = Check {
    id: "rp-filter",
    why: "Strict filtering drops a packet whose sender would be answered through another NIC. The \
          udp source then misses taps of other subnets; captures see them all.",
};

/// `net.ipv4.conf.*.rp_filter`, ip-sysctl of the kernel: 0 off, 1 strict, 2 loose.
const STRICT: u64 = 1;

pub(crate) fn check(host: &Host<'_>, name: &str) -> Finding {
    look(host, name).unwrap_or_else(|error| RP_FILTER.unknown(&error)).about(name)
}

fn look(host: &Host<'_>, name: &str) -> Result<Finding, Unreadable> {
    let of = |name: &str| host.number(&format!("proc/sys/net/ipv4/conf/{name}/rp_filter"));
    // The larger counts.
    let mode = of("all")?.max(of(name)?);
    if mode != STRICT {
        return Ok(RP_FILTER.ok(if mode == 0 { "off" } else { "loose" }));
    }
    // Whoever sends, the answer would leave by the default route or a connected one.
    if interfaces::default_routes(host).iter().all(|route| route == name) {
        return Ok(RP_FILTER.ok("strict, but every answer leaves by this NIC"));
    }
    // sysctl(8) takes dots and slashes for each other: eth0.5 has a dot of its own.
    let key = if name.contains('.') {
        format!("net/ipv4/conf/{name}/rp_filter")
    } else {
        format!("net.ipv4.conf.{name}.rp_filter")
    };
    Ok(RP_FILTER.warn("strict, and the default route is another NIC").sysctl(&key, 2))
}
