//! Which NICs are looked at.

use crate::host::Host;

/// Those with the default route, and hardware with an address: bridges of containers have
/// addresses too, and no TAP sends there. Where there is no such thing, as in a container, all
/// with an address.
pub(crate) fn usual(host: &Host<'_>) -> Vec<String> {
    let routed = default_routes(host);
    let addressed = addressed(host);
    let hardware = |name: &&String| host.exists(&format!("sys/class/net/{name}/device"));
    let mut names: Vec<String> =
        routed.iter().chain(addressed.iter().filter(hardware)).cloned().collect();
    if names.is_empty() {
        names = addressed;
    }
    names.sort();
    names.dedup();
    names
}

/// Those that the default route leaves by, of IPv4 and IPv6.
pub(crate) fn default_routes(host: &Host<'_>) -> Vec<String> {
    let zero = |field: Option<&&str>| field.is_some_and(|it| it.bytes().all(|b| b == b'0'));
    let v4 = host.read("proc/net/route").unwrap_or_default();
    let v4 = v4.lines().skip(1).map(|line| line.split_whitespace().collect::<Vec<_>>());
    // Iface Destination Gateway Flags RefCnt Use Metric Mask ...
    let v4 = v4.filter(|row| zero(row.get(1)) && zero(row.get(7))).map(|row| first(&row));
    let v6 = host.read("proc/net/ipv6_route").unwrap_or_default();
    let v6 = v6.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    // Destination, its prefix length, source, its prefix length, ..., interface.
    let v6 = v6.filter(|row| zero(row.first()) && zero(row.get(1)));
    let v6 = v6.map(|row| row.last().map_or_else(String::new, |name| (*name).to_owned()));
    v4.chain(v6).filter(is_outside).collect()
}

/// Those with an address that others can reach: of IPv4, whatever has a route.
fn addressed(host: &Host<'_>) -> Vec<String> {
    let v4 = host.read("proc/net/route").unwrap_or_default();
    let v4 = v4.lines().skip(1).map(|line| line.split_whitespace().collect::<Vec<_>>());
    let v4 = v4.map(|row| first(&row));
    let v6 = host.read("proc/net/if_inet6").unwrap_or_default();
    let v6 = v6.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    // Address, index, prefix length, scope (00 is global), flags, interface.
    let v6 = v6.filter(|row| row.get(3) == Some(&"00"));
    let v6 = v6.map(|row| row.last().map_or_else(String::new, |name| (*name).to_owned()));
    v4.chain(v6).filter(is_outside).collect()
}

fn first(row: &[&str]) -> String {
    row.first().map_or_else(String::new, |name| (*name).to_owned())
}

fn is_outside(name: &String) -> bool {
    !name.is_empty() && name != "lo"
}

/// Whether there is such a NIC.
pub(crate) fn exists(host: &Host<'_>, name: &str) -> bool {
    // What was typed is not to become another path.
    let is_name = !name.is_empty() && !name.contains('/') && !name.starts_with('.');
    is_name && host.exists(&format!("sys/class/net/{name}"))
}

/// A NIC, and those that it is made of: the slaves of a bond, the device of a VLAN, the virtual
/// function below a synthetic NIC (accelerated networking), which is what has a ring.
pub(crate) fn with_lower(host: &Host<'_>, name: &str) -> Vec<String> {
    let entries = host.names(&format!("sys/class/net/{name}"));
    let lower = entries.iter().filter_map(|entry| entry.strip_prefix("lower_"));
    let lower = lower.filter(|lower| exists(host, lower)).map(ToOwned::to_owned);
    std::iter::once(name.to_owned()).chain(lower).collect()
}
