//! Totals, and what stands out.

use maud::{Markup, html};
use vtap_export::report::{count, size};
use vtap_flow::Reason;

use super::{Run, table, words};
use crate::{Digest, Failure};

/// From when to when.
pub(super) fn span(digest: &Digest) -> Markup {
    html! {
        @match digest.span {
            Some((first, last)) => {
                time datetime=(first) { (words::time(first)) } " to "
                time datetime=(last) { (words::time(last)) } " UTC, "
                (words::span(last.since(first)))
            }
            None => { "No flow was seen." }
        }
    }
}

/// Inputs that are named.
const INPUTS: usize = 1_000;

/// What was read, where it is more than the title says.
pub(super) fn inputs(run: &Run<'_>) -> Markup {
    html! {
        @if run.inputs.len() > 1 {
            details {
                summary { (count(run.inputs.len() as u64)) " inputs" }
                ul { @for input in run.inputs.iter().take(INPUTS) { li { bdi { (words::harmless(input)) } } } }
                @if run.inputs.len() > INPUTS { p { "and " (count((run.inputs.len() - INPUTS) as u64)) " more" } }
            }
        }
    }
}

pub(super) fn overview(digest: &Digest, run: &Run<'_>) -> Markup {
    let total = &digest.total;
    let invalid = invalid(run);
    let tiles = [
        ("packets read", count(run.counters.packets), size(run.counters.bytes)),
        ("flows", count(total.flows), format!("{} packets", count(total.packets))),
        ("to servers", size(total.to_server), "by clients".to_owned()),
        ("to clients", size(total.to_client), "by servers".to_owned()),
        (
            "handshakes failed",
            count(total.failed),
            format!("of {}, {}", count(total.tried), words::share(total.failed, total.tried)),
        ),
        (
            "retransmissions",
            words::share(total.retransmissions, total.tcp_packets),
            format!("{} of TCP packets", count(total.retransmissions)),
        ),
        ("INVALID", count(invalid), "segments refused".to_owned()),
        ("gaps of the mirror", count(gaps(digest)), "without packets".to_owned()),
    ];
    let findings = findings(digest, run);
    html! {
        dl.tiles {
            @for (name, value, more) in &tiles {
                div { dt { (name) } dd { b { (value) } " " span { (more) } } }
            }
        }
        section #findings aria-labelledby="findings-heading" {
            h2 #findings-heading { "What stands out" }
            @if findings.is_empty() {
                p { "Nothing: every handshake that was seen came to a connection, nothing is INVALID, and the mirror \
                     has no gaps." }
            } @else {
                ul { @for finding in &findings { li { (finding) } } }
            }
        }
    }
}

/// INVALID segments, whatever the reason.
pub(super) fn invalid(run: &Run<'_>) -> u64 {
    let flow = run.counters.flow.unwrap_or_default();
    Reason::ALL.iter().map(|reason| flow.invalid(*reason)).sum()
}

fn gaps(digest: &Digest) -> u64 {
    digest.gaps.len() as u64 + digest.unlisted_gaps
}

/// From this share on, packets sent again are worth a word: one in a hundred halves what a
/// connection over a long way carries.
const RETRANSMISSIONS: f64 = 0.01;

/// Places of damage that are told one by one.
const DAMAGE: usize = 5;

fn findings(digest: &Digest, run: &Run<'_>) -> Vec<Markup> {
    let mut findings = Vec::new();
    let total = &digest.total;
    if !run.damage.is_empty() {
        findings.push(html! {
            b { "The input is damaged." } " "
            @for (at, damage) in run.damage.iter().take(DAMAGE).enumerate() {
                @if at > 0 { "; " } (words::harmless(damage))
            }
            @if run.damage.len() > DAMAGE { "; and " (count((run.damage.len() - DAMAGE) as u64)) " more" }
            "."
        });
    }
    if run.counters.decapsulated() == 0 && run.counters.not_mirrored > 0 {
        findings.push(html! {
            b { "No mirrored packet was found." } " " (count(run.counters.not_mirrored))
            " are not mirrored. To track them as they are, add --plain; if the TAP sends to another UDP port than 4789, add --port."
        });
    }
    if total.failed > 0 {
        findings.push(failures(digest));
    }
    let flow = run.counters.flow.unwrap_or_default();
    let worst = Reason::ALL.iter().copied().max_by_key(|reason| flow.invalid(*reason));
    if let Some(worst) = worst.filter(|_| invalid(run) > 0) {
        findings.push(html! {
            a href="#invalid" { (words::plural(invalid(run), "segment is INVALID", "segments are INVALID")) }
            ", most of them " b { (worst.name()) } " (" (count(flow.invalid(worst))) "): " (worst.words()) "."
        });
    }
    if total.retransmissions as f64 > RETRANSMISSIONS * total.tcp_packets as f64 {
        let services = digest.services.ranked();
        let worst = services.iter().max_by_key(|(_, one)| one.retransmissions);
        findings.push(html! {
            a href="#services" { (words::share(total.retransmissions, total.tcp_packets)) " of TCP packets were sent again" }
            @if let Some((service, one)) = worst {
                ", most of them of " b { (service) } " (" (count(one.retransmissions)) ")"
            }
            "."
        });
    }
    if gaps(digest) > 0 {
        findings.push(html! {
            a href="#mirror" { (words::plural(gaps(digest), "gap", "gaps")) " of the mirror" }
            ": what happened then is not in this report."
        });
    }
    if !digest.detours.is_empty() {
        findings.push(html! {
            a href="#paths" { (words::plural(digest.detours.len() as u64, "pair talks", "pairs talk")) " over asymmetric paths" }
            ": requests and answers go different ways."
        });
    }
    if digest.one_way > 0 {
        findings.push(html! {
            a href="#flow-list" { (words::plural(digest.one_way, "flow is", "flows are")) " seen one way only" }
            ": the other direction does not pass a tapped card."
        });
    }
    if flow.egress_only > 0 {
        findings.push(html! {
            a href="#mirror" { (words::plural(flow.egress_only, "flow is", "flows are")) " seen on the way out alone" }
            ": a NAT gateway has translated the source, and answers are not mirrored."
        });
    }
    findings
}

fn failures(digest: &Digest) -> Markup {
    let total = &digest.total;
    let kinds = Failure::ALL.iter().zip(digest.failures).filter(|(_, n)| *n > 0);
    let kinds: Vec<_> =
        kinds.map(|(failure, n)| format!("{} {}", count(n), failure.name())).collect();
    let by_server = digest.failures_by_server();
    html! {
        a href="#handshakes" { (count(total.failed)) " of " (words::plural(total.tried, "handshake", "handshakes")) " failed" }
        ": " (kinds.join(", ")) "."
        @if let Some((asked, sum)) = by_server.first() {
            " Most often: " b { (table::end(asked.server, asked.service.port)) } ", " (count(sum.failed.count)) " "
            (asked.failure.name()) ", of " (words::plural(sum.clients, "client", "clients")) "."
        }
    }
}
