//! What this process may do.

use std::path::Path;

use crate::finding::{Check, Finding, quoted};
use crate::host::{Host, Reason, Unreadable};

pub(crate) const CAPABILITIES: Check = Check {
    id: "capabilities",
    why: "The packet sources (ring, libpcap) need CAP_NET_RAW; the udp source needs nothing.",
};

/// Bits of linux/capability.h.
const NET_ADMIN: u64 = 1 << 12;
const NET_RAW: u64 = 1 << 13;

pub(crate) fn check(host: &Host<'_>, program: &Path) -> Finding {
    look(host, program).unwrap_or_else(|error| CAPABILITIES.unknown(&error))
}

fn look(host: &Host<'_>, program: &Path) -> Result<Finding, Unreadable> {
    const FILE: &str = "proc/self/status";
    let status = host.read(FILE)?;
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let effective = effective.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok());
    let Some(effective) = effective else {
        return Err(Unreadable::new(&format!("/{FILE}"), Reason::Other("no CapEff".into())));
    };
    let raw = effective & NET_RAW != 0;
    if raw && let Err(error) = host.system.packet_socket() {
        return Ok(CAPABILITIES.fail(format!(
            "CAP_NET_RAW, but a packet socket cannot be opened ({error}): a sandbox forbids it"
        )));
    }
    let admin = effective & NET_ADMIN != 0;
    Ok(match (raw, admin) {
        (true, true) => CAPABILITIES.ok("CAP_NET_RAW, CAP_NET_ADMIN: all sources"),
        (true, false) => CAPABILITIES.ok("CAP_NET_RAW: all sources"),
        (false, _) => CAPABILITIES
            .warn("no CAP_NET_RAW: only the udp source can start")
            .mend([format!("setcap cap_net_raw=ep {}", quoted(&program.to_string_lossy()))])
            .keep(["# in the unit that starts vtap: AmbientCapabilities=CAP_NET_RAW".to_owned()]),
    })
}
