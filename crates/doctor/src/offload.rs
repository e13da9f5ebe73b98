//! What merges packets before a capture sees them.

use crate::finding::{Check, Finding, quoted};
use crate::host::{Host, Unreadable};
use crate::port::Device;

pub(crate) const GRO: Check = Check {
    id: "gro",
    why: "While a kernel VXLAN device has the port, GRO merges mirrored TCP segments into packets \
          that nobody sent, before captures see them. Without such a device it leaves them alone.",
};

pub(crate) const UDP_GRO: Check = Check {
    id: "udp-gro",
    why: "Envelopes are glued together before a capture sees them: it gets one, with the first \
          mirrored packet; those behind it are lost.",
};

pub(crate) const LRO: Check = Check {
    id: "lro",
    why: "The NIC merges TCP segments for good: sizes, times and acknowledgments are not those of \
          the wire.",
};

/// All three, of one NIC.
pub(crate) fn check(
    host: &Host<'_>,
    name: &str,
    devices: &Result<Vec<Device>, Unreadable>,
    ports: &[u16],
) -> Vec<Finding> {
    let features = match host.run("ethtool", &["-k", name]) {
        Ok(features) => features,
        Err(error) => {
            return [GRO, UDP_GRO, LRO]
                .map(|check| check.unknown(&error).about(name))
                .into_iter()
                .collect();
        }
    };
    [gro(name, &features, devices, ports), udp_gro(name, &features), lro(name, &features)]
        .map(|finding| finding.about(name))
        .into_iter()
        .collect()
}

/// `name: on [fixed]` says that it is, and that it cannot be changed.
fn is_on(features: &str, name: &str) -> bool {
    let rows = features.lines().filter_map(|line| line.trim().split_once(": "));
    rows.filter(|(feature, _)| *feature == name).any(|(_, state)| state.starts_with("on"))
}

fn set(finding: Finding, name: &str, setting: &str) -> Finding {
    finding.nic(name, &format!("ethtool -K {} {setting}", quoted(name)))
}

fn gro(
    name: &str,
    features: &str,
    devices: &Result<Vec<Device>, Unreadable>,
    ports: &[u16],
) -> Finding {
    if !is_on(features, "generic-receive-offload") {
        return GRO.ok("off");
    }
    match devices {
        Ok(devices) => match devices.iter().find(|it| it.up && ports.contains(&it.port)) {
            Some(device) => {
                let found =
                    format!("on, and VXLAN device {} has UDP {} open", device.name, device.port);
                set(GRO.warn(found), name, "gro off")
            }
            None => GRO.ok("on; harmless without a kernel VXLAN device"),
        },
        Err(error) => GRO.unknown(error),
    }
}

fn udp_gro(name: &str, features: &str) -> Finding {
    // Both do their work within GRO.
    let gro = is_on(features, "generic-receive-offload");
    let both = ["rx-udp-gro-forwarding", "rx-gro-list"];
    let on: Vec<_> = both.into_iter().filter(|feature| is_on(features, feature)).collect();
    match on.as_slice() {
        [] => UDP_GRO.ok("off"),
        on if !gro => UDP_GRO.ok(format!("{} on, but without effect: GRO is off", on.join(", "))),
        on => {
            let off: Vec<_> = on.iter().map(|feature| format!("{feature} off")).collect();
            set(UDP_GRO.fail(format!("{} on", on.join(", "))), name, &off.join(" "))
        }
    }
}

fn lro(name: &str, features: &str) -> Finding {
    if is_on(features, "large-receive-offload") {
        return set(LRO.warn("on"), name, "lro off");
    }
    LRO.ok("off")
}
