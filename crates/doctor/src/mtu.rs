//! Room for the envelope.

use serde_json::Value;

use crate::finding::{Check, Finding, quoted};
use crate::host::{Host, Unreadable};

pub(crate) const MTU: Check = Check {
    id: "mtu",
    why: "VXLAN adds 50 bytes (70 over IPv6). What does not fit arrives in fragments, and one lost \
          fragment loses the packet. The path has to carry it too.",
};

/// A packet of 1,500 bytes in an envelope over IPv6, with VLAN tags, rounded up.
const ENOUGH: u64 = 1600;

pub(crate) fn check(host: &Host<'_>, name: &str) -> Finding {
    look(host, name).unwrap_or_else(|error| MTU.unknown(&error)).about(name)
}

fn look(host: &Host<'_>, name: &str) -> Result<Finding, Unreadable> {
    let mtu = host.number(&format!("sys/class/net/{name}/mtu"))?;
    if mtu >= ENOUGH {
        return Ok(MTU.ok(format!("{mtu} bytes")));
    }
    let found = format!("{mtu} bytes: no room for a packet of 1500 and its envelope");
    match largest(host, name) {
        Some(largest) if largest < ENOUGH => {
            Ok(MTU.warn(format!("{found}; this NIC can do {largest} at most")))
        }
        _ => {
            Ok(MTU.warn(found).nic(name, &format!("ip link set dev {} mtu {ENOUGH}", quoted(name))))
        }
    }
}

/// What the driver can do, if it says.
fn largest(host: &Host<'_>, name: &str) -> Option<u64> {
    let answer = host.run("ip", &["-d", "-j", "link", "show", "dev", name]).ok()?;
    let answer: Value = serde_json::from_str(&answer).ok()?;
    // 0: no limit of its own.
    answer.get(0)?.get("max_mtu")?.as_u64().filter(|largest| *largest > 0)
}
