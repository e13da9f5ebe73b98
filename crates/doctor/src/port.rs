//! Who else has the VXLAN port.

use serde_json::Value;

use crate::finding::{Check, Finding, quoted};
use crate::host::{Host, Unreadable};

pub(crate) const VXLAN_DEVICE: Check = Check {
    id: "vxlan-device",
    why: "The kernel takes mirrored packets for its own network: the udp source cannot open the \
          port, and mirrored packets may reach programs of this machine as if sent to it.",
};

pub(crate) const PORT_IN_USE: Check = Check {
    id: "port-in-use",
    why: "One socket has a port. The udp source cannot open it; the packet sources (ring, libpcap) \
          can capture all the same.",
};

/// A VXLAN device of the kernel.
#[derive(Debug)]
pub(crate) struct Device {
    pub(crate) name: String,
    /// The port it takes packets on, while it is up.
    pub(crate) port: u16,
    pub(crate) up: bool,
    /// `None` where it takes any (`external`).
    vni: Option<u64>,
}

/// VXLAN devices of this network namespace.
pub(crate) fn devices(host: &Host<'_>) -> Result<Vec<Device>, Unreadable> {
    let answer = host.run("ip", &["-d", "-j", "link", "show", "type", "vxlan"])?;
    let answer: Value = serde_json::from_str(&answer).unwrap_or_default();
    let rows = answer.as_array().map(Vec::as_slice).unwrap_or_default();
    Ok(rows.iter().filter_map(device).collect())
}

fn device(row: &Value) -> Option<Device> {
    // There is an empty row for each device of another type.
    let name = row.get("ifname")?.as_str()?.to_owned();
    let data = row.get("linkinfo")?.get("info_data")?;
    let port = u16::try_from(data.get("port")?.as_u64()?).ok()?;
    let flags = row.get("flags").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let up = flags.iter().any(|flag| flag == "UP");
    Some(Device { name, port, up, vni: data.get("id").and_then(Value::as_u64) })
}

pub(crate) fn vxlan_device(
    host: &Host<'_>,
    devices: &Result<Vec<Device>, Unreadable>,
    port: u16,
) -> Finding {
    let finding = match devices {
        Ok(devices) => judge(devices, port),
        // Without the module there is no device. One that is built in is listed too, as it has
        // parameters.
        Err(_) if host.exists("sys/module") && !host.exists("sys/module/vxlan") => {
            VXLAN_DEVICE.ok("none: the kernel's vxlan module is not loaded")
        }
        Err(error) => VXLAN_DEVICE.unknown(error),
    };
    finding.about(subject(port))
}

fn judge(devices: &[Device], port: u16) -> Finding {
    let on_port: Vec<_> = devices.iter().filter(|device| device.port == port).collect();
    if on_port.is_empty() {
        return VXLAN_DEVICE.ok("none on this port");
    }
    let tell = |device: &&Device| {
        let vni = device.vni.map_or_else(|| "any VNI".to_owned(), |vni| format!("VNI {vni}"));
        format!("{} ({vni}, {})", device.name, if device.up { "up" } else { "down" })
    };
    let found = on_port.iter().map(tell).collect::<Vec<_>>().join(", ");
    let finding = if on_port.iter().any(|device| device.up) {
        VXLAN_DEVICE.fail(found)
    } else {
        VXLAN_DEVICE.warn(format!("{found}: takes the port when it comes up"))
    };
    let delete = |device: &&Device| format!("ip link delete {}", quoted(&device.name));
    let forget = |device: &&Device| {
        format!("# delete {} where it is made: netplan, networkd, an overlay", device.name)
    };
    finding.mend(on_port.iter().map(delete)).keep(on_port.iter().map(forget))
}

/// A UDP socket that is bound.
struct Socket {
    inode: String,
    user: String,
}

pub(crate) fn in_use(
    host: &Host<'_>,
    devices: &Result<Vec<Device>, Unreadable>,
    port: u16,
) -> Finding {
    let finding = match sockets(host, port) {
        Ok(sockets) => owners(host, devices, port, &sockets),
        Err(error) => PORT_IN_USE.unknown(&error),
    };
    finding.about(subject(port))
}

fn subject(port: u16) -> String {
    format!("udp/{port}")
}

fn sockets(host: &Host<'_>, port: u16) -> Result<Vec<Socket>, Unreadable> {
    let mut table = host.read("proc/net/udp")?;
    table.push('\n');
    // Absent where IPv6 is off.
    table.push_str(&host.read("proc/net/udp6").unwrap_or_default());
    let suffix = format!(":{port:04X}");
    // sl local_address rem_address st tx:rx tr:when retrnsmt uid timeout inode ...
    let rows = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let on_port = rows.filter(|row| row.get(1).is_some_and(|local| local.ends_with(&suffix)));
    let socket = |row: Vec<&str>| {
        let (user, inode) = (row.get(7)?, row.get(9)?);
        Some(Socket { inode: (*inode).to_owned(), user: (*user).to_owned() })
    };
    Ok(on_port.filter_map(socket).collect())
}

fn owners(
    host: &Host<'_>,
    devices: &Result<Vec<Device>, Unreadable>,
    port: u16,
    sockets: &[Socket],
) -> Finding {
    if sockets.is_empty() {
        return PORT_IN_USE.ok("free");
    }
    let (processes, all_seen) = processes(host, sockets);
    if processes.is_empty() {
        let by_device = devices.iter().flatten().any(|device| device.up && device.port == port);
        if by_device {
            return PORT_IN_USE.ok("taken by the kernel only: see vxlan-device");
        }
        let by = if all_seen {
            "no process here: a container's, or a VXLAN device moved to another namespace".into()
        } else {
            let user = sockets.first().map(|socket| socket.user.as_str()).unwrap_or_default();
            format!("a process of another user, or the kernel (uid {user})")
        };
        let finding = PORT_IN_USE.fail(format!("taken by {by}"));
        return finding.mend([format!("ss -ulnpe 'sport = :{port}'   # as root: who has it")]);
    }
    let tell = |(id, name): &(u32, String)| format!("{name} (process {id})");
    let found = processes.iter().map(tell).collect::<Vec<_>>().join(", ");
    if processes.iter().all(|(_, name)| name == "vtap") {
        return PORT_IN_USE.ok(format!("taken by {found}, as it should be"));
    }
    let kill = |(id, _): &(u32, String)| format!("kill {id}   # or stop the service it belongs to");
    PORT_IN_USE.fail(format!("taken by {found}")).mend(processes.iter().map(kill))
}

/// Processes with one of these sockets, by id, with their names; and whether every process could
/// be looked into.
fn processes(host: &Host<'_>, sockets: &[Socket]) -> (Vec<(u32, String)>, bool) {
    let mut ids: Vec<u32> =
        host.names("proc").iter().filter_map(|name| name.parse().ok()).collect();
    ids.sort_unstable();
    let wanted: Vec<_> =
        sockets.iter().map(|socket| format!("socket:[{}]", socket.inode)).collect();
    let (mut owners, mut all_seen) = (Vec::new(), true);
    for id in ids {
        let Ok(entries) = std::fs::read_dir(host.path(&format!("proc/{id}/fd"))) else {
            // It may also have ended.
            all_seen &= !host.exists(&format!("proc/{id}"));
            continue;
        };
        let mut targets =
            entries.flatten().filter_map(|entry| std::fs::read_link(entry.path()).ok());
        if targets.any(|target| wanted.iter().any(|it| target.as_os_str() == it.as_str())) {
            let name = host.read(&format!("proc/{id}/comm")).unwrap_or_default();
            owners.push((id, name));
        }
    }
    (owners, all_seen)
}
