//! What makes a collector lose mirrored packets, and the command that mends it.
//!
//! [`examine`] looks at a [`Host`]: files below a root folder (`/proc`, `/sys`), and what a
//! [`System`] answers (programs, sockets, file systems). Each check gives a [`Finding`]: a status,
//! what was found, why it matters, commands that mend it now and commands that make it stay.
//!
//! | in reading order | holds |
//! |---|---|
//! | [`finding`] | [`Finding`], [`Status`], and what each check has in common |
//! | [`host`] | [`Host`]: files and answers of programs, and why one could not be had |
//! | [`system`] | [`System`], what no file tells; [`Machine`], the one that this runs on |
//! | `interfaces` | which NICs are looked at, and the NICs below them |
//! | `receive_buffer`, `backlog`, `processors` | the kernel's queues |
//! | `interface`, `mtu`, `ring`, `offload`, `rp_filter` | the NIC |
//! | `port`, `netfilter` | who else takes, tracks or drops packets to the VXLAN port |
//! | `clock`, `disk`, `privilege` | time, space and rights |
//!
//! It changes nothing, and it reads no clock. That something could not be looked at is a finding
//! of its own ([`Status::Unknown`]), with the reason; it is never taken for a good sign.

#![forbid(unsafe_code)]

mod backlog;
mod clock;
mod disk;
pub mod finding;
pub mod host;
mod interface;
mod interfaces;
mod mtu;
mod netfilter;
mod offload;
mod port;
mod privilege;
mod processors;
mod receive_buffer;
mod ring;
mod rp_filter;
pub mod system;

use std::path::PathBuf;

pub use finding::{Check, Finding, Status};
pub use host::{Host, Unreadable};
pub use system::{Machine, Space, System};

/// What to look at.
#[derive(Clone, Debug)]
pub struct Asked {
    /// NICs that mirrored packets come to. Empty: those with the default route, and hardware with
    /// an address.
    pub interfaces: Vec<String>,
    /// UDP ports that carry VXLAN.
    pub ports: Vec<u16>,
    /// Folder that captures or events are written to.
    pub dir: Option<PathBuf>,
    /// The binary that captures, which commands about rights name.
    pub program: PathBuf,
}

/// Every check, in the order in which [`examine`] makes them.
pub const CHECKS: &[Check] = &[
    interface::INTERFACE,
    mtu::MTU,
    ring::RING_SIZE,
    ring::NIC_DROPS,
    offload::GRO,
    offload::UDP_GRO,
    offload::LRO,
    rp_filter::RP_FILTER,
    receive_buffer::RMEM_MAX,
    backlog::BACKLOG,
    processors::PROCESSORS,
    port::VXLAN_DEVICE,
    port::PORT_IN_USE,
    netfilter::CONNTRACK,
    netfilter::FIREWALL,
    clock::CLOCK_SYNC,
    clock::CLOCK_SOURCE,
    disk::DISK_SPACE,
    privilege::CAPABILITIES,
];

/// Looks at everything. Findings come in the order of [`CHECKS`]; those about a NIC once for each.
/// Without [`Asked::dir`] there is none about disk space.
#[must_use]
pub fn examine(host: &Host<'_>, asked: &Asked) -> Vec<Finding> {
    let names = if asked.interfaces.is_empty() {
        interfaces::usual(host)
    } else {
        asked.interfaces.clone()
    };
    let devices = port::devices(host);
    let mut findings = Vec::new();
    if names.is_empty() {
        findings.push(interface::none());
    }
    for name in &names {
        let finding = interface::check(host, name);
        let there = finding.status != Status::Fail || interfaces::exists(host, name);
        findings.push(finding);
        // A NIC that is not there is not also too small.
        if !there {
            continue;
        }
        findings.push(mtu::check(host, name));
        for name in interfaces::with_lower(host, name) {
            findings.push(ring::size(host, &name));
            findings.push(ring::drops(host, &name));
            findings.extend(offload::check(host, &name, &devices, &asked.ports));
        }
        findings.push(rp_filter::check(host, name));
    }
    findings.push(receive_buffer::check(host));
    findings.push(backlog::check(host));
    findings.push(processors::check(host, &names));
    for &port in &asked.ports {
        findings.push(port::vxlan_device(host, &devices, port));
        findings.push(port::in_use(host, &devices, port));
    }
    let rules = netfilter::Ruleset::read(host);
    for &port in &asked.ports {
        findings.push(netfilter::conntrack(host, &rules, &names, port));
        findings.push(netfilter::firewall(&rules, &names, port));
    }
    findings.push(clock::sync(host));
    findings.push(clock::source(host));
    findings.extend(asked.dir.as_ref().map(|dir| disk::check(host, dir)));
    findings.push(privilege::check(host, &asked.program));
    let rank = |finding: &Finding| CHECKS.iter().position(|check| check.id == finding.id);
    findings.sort_by_key(rank);
    findings
}
