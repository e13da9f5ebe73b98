//! The NIC is there, up, and has the address that the TAP sends to.

use serde_json::Value;

use crate::finding::{Check, Finding, quoted};
use crate::host::{Host, Unreadable};
use crate::interfaces;

pub(crate) const INTERFACE: Check = Check {
    id: "interface",
    why: "The TAP sends to an address of this NIC. Without link or address nothing arrives.",
};

/// `IFF_UP` of linux/if.h.
const UP: u64 = 1;

/// There is no NIC to look at.
pub(crate) fn none() -> Finding {
    INTERFACE
        .fail("no network interface has an address or a default route")
        .mend(["ip -brief link   # then: vtap doctor --interface NAME".to_owned()])
}

pub(crate) fn check(host: &Host<'_>, name: &str) -> Finding {
    if !interfaces::exists(host, name) {
        let all = host.names("sys/class/net");
        return INTERFACE
            .fail(format!("there is no {name}; there are {}", all.join(", ")))
            .about(name);
    }
    state(host, name).unwrap_or_else(|error| INTERFACE.unknown(&error)).about(name)
}

fn state(host: &Host<'_>, name: &str) -> Result<Finding, Unreadable> {
    let flags = host.read(&format!("sys/class/net/{name}/flags"))?;
    let flags = flags.strip_prefix("0x").and_then(|hex| u64::from_str_radix(hex, 16).ok());
    let device = quoted(name);
    if flags.is_some_and(|flags| flags & UP == 0) {
        return Ok(INTERFACE.fail("down").mend([format!("ip link set dev {device} up")]));
    }
    // Unreadable while it is down.
    if host.number(&format!("sys/class/net/{name}/carrier")) == Ok(0) {
        return Ok(INTERFACE
            .fail("up, but no carrier: the cable, or the other end, is missing")
            .mend([format!("ethtool {device}")]));
    }
    let addresses = match addresses(host, name) {
        Ok(addresses) => addresses,
        Err(error) => return Ok(INTERFACE.ok(format!("up; addresses not looked at: {error}"))),
    };
    if addresses.is_empty() {
        return Ok(INTERFACE
            .warn("up, but without an address that a TAP could send to")
            .mend([format!("ip address add ADDRESS/PREFIX dev {device}")]));
    }
    Ok(INTERFACE.ok(format!("up, {}", addresses.join(", "))))
}

/// Addresses that others can reach, IPv4 first.
fn addresses(host: &Host<'_>, name: &str) -> Result<Vec<String>, Unreadable> {
    let answer = host.run("ip", &["-j", "address", "show", "dev", name])?;
    let answer: Value = serde_json::from_str(&answer).unwrap_or_default();
    let devices = answer.as_array().map(Vec::as_slice).unwrap_or_default();
    let infos = devices.iter().filter_map(|device| device.get("addr_info")?.as_array()).flatten();
    let global = infos.filter(|info| info.get("scope").and_then(Value::as_str) == Some("global"));
    let text = |info: &Value| {
        let local = info.get("local")?.as_str()?;
        Some(format!("{local}/{}", info.get("prefixlen")?))
    };
    Ok(global.filter_map(text).collect())
}
