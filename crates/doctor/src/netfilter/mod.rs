//! The packet filter: what tracks and what drops packets to the VXLAN port.
//!
//! | in reading order | holds |
//! |---|---|
//! | this file | the rules there are, and both checks |
//! | `rules` | what rules say of one packet |
//! | `nft`, `iptables` | their listings |
//!
//! Rules are read for a packet over IPv4, whose sender is not known. What is not understood is
//! taken for something that may fit, or may not: the check then says so and quotes it.

mod iptables;
mod nft;
mod rules;

use crate::finding::{Check, Finding, Status, count, quoted};
use crate::host::{Host, Reason, Unreadable};
use rules::{Chain, Match, Probe, Verdict, notrack, verdict};

pub(crate) const CONNTRACK: Check = Check {
    id: "conntrack",
    why: "Each outer source port is a connection to conntrack: it costs time, and when its table \
          is full the kernel drops packets, of other programs too.",
};

pub(crate) const FIREWALL: Check = Check {
    id: "firewall",
    why: "What is dropped here does not reach the udp source. The packet sources (ring, libpcap) \
          see packets before that.",
};

/// `NF_IP_PRI_CONNTRACK` of linux/netfilter_ipv4.h: a rule has to come before it.
const CONNTRACK_PRIORITY: i32 = -200;

/// Of the table's entries, in percent.
const NEARLY_FULL: u64 = 80;

const COUNT: &str = "proc/sys/net/netfilter/nf_conntrack_count";
const MAX: &str = "proc/sys/net/netfilter/nf_conntrack_max";

/// The listings of all rules, as far as they could be had.
#[derive(Debug)]
pub(crate) struct Ruleset {
    nft: Result<String, Unreadable>,
    iptables: Result<String, Unreadable>,
}

impl Ruleset {
    pub(crate) fn read(host: &Host<'_>) -> Self {
        let nft = host.run("nft", &["list", "ruleset"]);
        let mut iptables = host.run("iptables-save", &[]);
        // Names the tables of the older kind, which nft does not list.
        let legacy = host.read("proc/net/ip_tables_names").is_ok_and(|names| !names.is_empty());
        if let Ok(listing) = &mut iptables {
            if legacy && let Ok(legacy) = host.run("iptables-legacy-save", &[]) {
                listing.push_str(&legacy);
            }
        } else if !legacy && nft.is_ok() {
            iptables = Ok(String::new());
        }
        Self { nft, iptables }
    }

    /// Chains that mirrored packets may go through.
    fn chains(&self, probe: &Probe<'_>) -> Vec<Chain> {
        let iptables = self.iptables.as_deref().unwrap_or_default();
        let mut chains = iptables::parse(iptables, probe);
        let by_nft = nft::parse(self.nft.as_deref().unwrap_or_default(), probe);
        // nft lists what iptables made as well, but not all of it in words that it reads itself.
        let known: Vec<_> = chains.iter().map(|chain| chain.table.clone()).collect();
        chains.extend(by_nft.into_iter().filter(|chain| !known.contains(&chain.table)));
        chains
    }

    /// What is missing to know all rules.
    fn missing(&self) -> Option<&Unreadable> {
        match (&self.nft, &self.iptables) {
            (Err(nft), Err(iptables)) if nft.reason == Reason::NotInstalled => {
                let only_nft = iptables.reason == Reason::NotInstalled;
                Some(if only_nft { nft } else { iptables })
            }
            // Who has no nft has made no rules with it.
            (Err(nft), Ok(_)) if nft.reason == Reason::NotInstalled => None,
            (Err(nft), _) => Some(nft),
            (Ok(_), Err(iptables)) => Some(iptables),
            (Ok(_), Ok(_)) => None,
        }
    }

    /// Whether a rule has the kernel track connections: one about their state, or NAT.
    fn need_conntrack(&self) -> bool {
        let words = |listing: &str, any: &[&str]| {
            listing.split_whitespace().any(|word| any.contains(&word))
        };
        let iptables = ["conntrack", "state", "MASQUERADE", "SNAT", "DNAT", "REDIRECT"];
        words(self.nft.as_deref().unwrap_or_default(), &["ct", "nat"])
            || words(self.iptables.as_deref().unwrap_or_default(), &iptables)
    }

    fn is_untracked(&self, names: &[String], port: u16) -> Match {
        let chains = self.chains(&Probe { port, interfaces: names, tracked: true });
        let early = chains.iter().filter(|chain| {
            chain
                .base
                .as_ref()
                .is_some_and(|base| base.hook == "prerouting" && base.priority < CONNTRACK_PRIORITY)
        });
        early.map(|base| notrack(&chains, base)).max().unwrap_or(Match::Never)
    }
}

/// Whether conntrack has an entry for each mirrored packet's ports.
pub(crate) fn conntrack(host: &Host<'_>, rules: &Ruleset, names: &[String], port: u16) -> Finding {
    look(host, rules, names, port)
        .unwrap_or_else(|error| CONNTRACK.unknown(&error))
        .about(format!("udp/{port}"))
}

fn look(
    host: &Host<'_>,
    rules: &Ruleset,
    names: &[String],
    port: u16,
) -> Result<Finding, Unreadable> {
    let entries = match host.number(COUNT) {
        Err(error) if error.reason == Reason::Absent => {
            return Ok(CONNTRACK.ok("nf_conntrack is not loaded"));
        }
        entries => entries?,
    };
    let most = host.number(MAX)?;
    let filled = format!("{} of {} entries in use", count(entries), count(most));
    let nearly_full = entries.saturating_mul(100) > most.saturating_mul(NEARLY_FULL);
    let untracked = rules.is_untracked(names, port);
    if untracked == Match::Always && !nearly_full {
        return Ok(CONNTRACK.ok(format!("a NOTRACK rule keeps the port out of it; {filled}")));
    }
    // For root only.
    let of_port = host.read("proc/net/nf_conntrack").map(|table| {
        let wanted = format!("dport={port}");
        // Family, its number, protocol, ...: the first of two directions is how it came.
        let first = |line: &&str| {
            let mut words = line.split_whitespace();
            words.nth(2) == Some("udp")
                && words.find(|word| word.starts_with("dport=")) == Some(&wanted)
        };
        table.lines().filter(first).count() as u64
    });
    let of_port = match of_port {
        Ok(of_port) => format!(", {} to this port", count(of_port)),
        Err(_) => String::new(),
    };
    if entries == 0 && rules.missing().is_none() && !rules.need_conntrack() {
        return Ok(CONNTRACK.ok("loaded, but no rule asks it to track"));
    }
    if untracked != Match::Always
        && let Some(missing) = rules.missing()
    {
        return Err(missing.clone());
    }
    let (status, why) = match (nearly_full, untracked) {
        (true, _) => (Status::Fail, "nearly full"),
        (false, Match::Perhaps) => (Status::Warn, "a NOTRACK rule may not fit all packets"),
        (false, _) => (Status::Warn, "no NOTRACK rule for the port"),
    };
    let mut finding = CONNTRACK.finding(status, format!("{why}; {filled}{of_port}"));
    if untracked != Match::Always {
        finding = finding.mend(untrack(rules, port)).keep(keep(rules, port));
    }
    if nearly_full {
        finding = finding.sysctl("net.netfilter.nf_conntrack_max", most.saturating_mul(4));
    }
    Ok(finding)
}

/// Incoming packets are enough: the kernel's answers (port unreachable) make no entries.
fn untrack(rules: &Ruleset, port: u16) -> Vec<String> {
    if rules.nft.is_err() {
        let rule = format!("PREROUTING -p udp --dport {port} -j NOTRACK");
        return vec![format!("iptables -t raw -I {rule}")];
    }
    vec![
        "nft add table inet vtap".to_owned(),
        "nft 'add chain inet vtap prerouting { type filter hook prerouting priority raw; }'"
            .to_owned(),
        format!("nft add rule inet vtap prerouting udp dport {port} notrack"),
    ]
}

fn keep(rules: &Ruleset, port: u16) -> Vec<String> {
    if rules.nft.is_err() {
        return vec![format!(
            "# in the unit that starts the collector: ExecStartPre=+/usr/sbin/iptables -t raw -I \
             PREROUTING -p udp --dport {port} -j NOTRACK"
        )];
    }
    vec![
        // Loaded again, it replaces what is there.
        r"printf 'table inet vtap\ndelete table inet vtap\n' > /etc/vtap.nft".to_owned(),
        "nft list table inet vtap >> /etc/vtap.nft".to_owned(),
        "# in the unit that starts the collector: ExecStartPre=+/usr/sbin/nft -f /etc/vtap.nft"
            .to_owned(),
    ]
}

/// Whether a rule drops packets to the port.
pub(crate) fn firewall(rules: &Ruleset, names: &[String], port: u16) -> Finding {
    let finding = match rules.missing() {
        Some(missing) => FIREWALL.unknown(missing),
        None => judge(rules, names, port),
    };
    finding.about(format!("udp/{port}"))
}

fn judge(rules: &Ruleset, names: &[String], port: u16) -> Finding {
    let tracked = rules.is_untracked(names, port) != Match::Always;
    let chains = rules.chains(&Probe { port, interfaces: names, tracked });
    let entered = |chain: &&Chain| {
        let hook = chain.base.as_ref().map(|base| base.hook.as_str());
        hook.is_some_and(|hook| ["ingress", "prerouting", "input"].contains(&hook))
    };
    let mut unsure = None;
    for base in chains.iter().filter(entered) {
        match verdict(&chains, base) {
            Verdict::Accepted => {}
            Verdict::Dropped(rule) => {
                let finding = FIREWALL.fail(format!("drops it: {rule}"));
                return accept(finding, rules, base, port);
            }
            Verdict::Unsure(rule) => {
                unsure = unsure.or(Some((rule, base)));
            }
        }
    }
    match unsure {
        Some((rule, base)) => {
            let finding = FIREWALL.warn(format!("not sure, it depends on {rule}"));
            accept(finding, rules, base, port)
        }
        None => FIREWALL.ok("no rule drops it"),
    }
}

/// With the commands that let the port through, of whoever manages the rules.
fn accept(finding: Finding, rules: &Ruleset, base: &Chain, port: u16) -> Finding {
    let listing = [rules.nft.as_deref(), rules.iptables.as_deref()];
    let mentions = |name: &str| listing.iter().flatten().any(|text| text.contains(name));
    if base.table.contains("firewalld") {
        return finding
            .mend([format!("firewall-cmd --add-port={port}/udp")])
            .keep([format!("firewall-cmd --permanent --add-port={port}/udp")]);
    }
    if mentions("ufw-user-input") && base.name == "INPUT" {
        return finding.mend([format!("ufw allow {port}/udp")]);
    }
    let (family, table) = base.table.split_once(' ').unwrap_or_default();
    // iptables' own chains have names in capitals.
    if family == "ip" && base.name.chars().all(|c| c.is_ascii_uppercase()) {
        return finding
            .mend([format!(
                "iptables -t {} -I {} -p udp --dport {port} -j ACCEPT",
                quoted(table),
                quoted(&base.name)
            )])
            .keep(["netfilter-persistent save   # of iptables-persistent".to_owned()]);
    }
    finding
        .mend([format!(
            "nft insert rule {family} {} {} udp dport {port} accept",
            quoted(table),
            quoted(&base.name)
        )])
        .keep([format!(
            "# add the rule where {} {} is made, such as /etc/nftables.conf",
            base.table, base.name
        )])
}
