//! Room for the buffer of a UDP socket.

use crate::finding::{Check, Finding, size};
use crate::host::{Host, Unreadable};

pub(crate) const RMEM_MAX: Check = Check {
    id: "rmem-max",
    why: "The udp source asks for 64 MiB of socket buffer and gets this at most. When it is full \
          the kernel drops. The packet sources (ring, libpcap) have buffers of their own.",
};

/// What the udp source asks for.
const WANTED: u64 = 64 << 20;
/// About 20 ms at 10 Gbit/s. Less than that, and any pause of the program costs packets.
const LEAST: u64 = 32 << 20;

pub(crate) fn check(host: &Host<'_>) -> Finding {
    look(host).unwrap_or_else(|error| RMEM_MAX.unknown(&error))
}

fn look(host: &Host<'_>) -> Result<Finding, Unreadable> {
    let most = host.number("proc/sys/net/core/rmem_max")?;
    let usual = host.number("proc/sys/net/core/rmem_default")?;
    let found = format!("net.core.rmem_max {}, rmem_default {}", size(most), size(usual));
    let finding = match most {
        WANTED.. => return Ok(RMEM_MAX.ok(found)),
        LEAST.. => RMEM_MAX.warn(found),
        _ => RMEM_MAX.fail(found),
    };
    Ok(finding.sysctl("net.core.rmem_max", WANTED))
}
