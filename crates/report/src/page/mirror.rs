//! What the tracker refused, what the mirror did, and where every packet went.

use maud::{Markup, html};
use vtap_export::report::count;
use vtap_flow::{Reason, Stats};

use super::table::{Cell, Table, number, prose, text};
use super::{Run, overview, words};
use crate::Digest;

pub(super) fn invalid(run: &Run<'_>) -> Markup {
    let flow = run.counters.flow.unwrap_or_default();
    let whole = overview::invalid(run);
    if whole == 0 {
        return html! { p.none { "No segment is INVALID." } };
    }
    let mut reasons: Vec<_> = Reason::ALL.into_iter().map(|one| (one, flow.invalid(one))).collect();
    reasons.retain(|(_, n)| *n > 0);
    reasons.sort_by_key(|(_, n)| std::cmp::Reverse(*n));
    let rows = reasons.into_iter().map(|(reason, n)| {
        vec![
            Cell::text(reason.name()),
            Cell::count(n),
            Cell::share(n, whole),
            Cell::text(reason.words()),
        ]
    });
    Table {
        id: "reasons",
        name: "INVALID segments by reason",
        columns: vec![
            text("reason"),
            number("segments").descending(),
            number("share"),
            prose("INVALID because"),
        ],
        rows: rows.collect(),
        foot: vec![Cell::text("all"), Cell::count(whole), Cell::empty(), Cell::empty()],
    }
    .markup()
}

pub(super) fn mirror(digest: &Digest, run: &Run<'_>) -> Markup {
    html! { (quality(run)) (taps(run)) (gaps(digest)) }
}

fn quality(run: &Run<'_>) -> Markup {
    let flow = run.counters.flow.unwrap_or_default();
    let seen = [
        ("gaps", flow.gaps, "spans of which a tap shows nothing, after steady traffic"),
        ("duplicates", flow.duplicates, "packets that another tap or interface had shown before"),
        (
            "forwarded",
            flow.forwarded,
            "packets that the tap had shown before a router sent them on",
        ),
        ("one-way flows", flow.one_way, "one side does not pass a tapped card"),
        (
            "egress-only flows",
            flow.egress_only,
            "seen on their way out alone, after source translation",
        ),
        ("midstream flows", flow.midstream, "open before the capture, or before a gap"),
        (
            "resumed flows",
            flow.resumed,
            "went on behind a gap, where their numbers were taken anew",
        ),
        ("reordered", flow.reordered, "segments that had overtaken another one in the mirror"),
        ("fragments", flow.fragments.seen, "fragments of the customer's packets"),
        ("outer fragments", run.counters.decap.fragments.seen, "fragments of envelopes"),
        ("offloaded", flow.offloaded, "segments whose checksum is left to the network card"),
        ("truncated", flow.truncated, "segments cut by the snaplen of the capture"),
        ("super-packets", flow.super_packets, "packets longer than a network carries"),
        ("evicted flows", flow.evicted, "given up as the flow table was full"),
    ];
    let rows = seen.into_iter().filter(|(_, n, _)| *n > 0);
    let rows: Vec<_> = rows
        .map(|(name, n, what)| vec![Cell::text(name), Cell::count(n), Cell::text(what)])
        .collect();
    if rows.is_empty() {
        return html! { p.none { "The mirror shows every packet once, whole, and both ways." } };
    }
    Table {
        id: "quality",
        name: "What the mirror did to the traffic",
        columns: vec![text("what"), number("how many"), prose("meaning")],
        rows,
        foot: Vec::new(),
    }
    .markup()
}

fn taps(run: &Run<'_>) -> Markup {
    let rows = run.counters.taps.iter().filter(|tap| tap.packets > 0).map(|tap| {
        vec![
            tap.address
                .map_or_else(|| Cell::text("not mirrored"), |at| Cell::text(&at.to_string())),
            Cell::count(tap.packets),
            Cell::some(tap.duplicates),
            Cell::some(tap.gaps),
        ]
    });
    let rows: Vec<_> = rows.collect();
    if rows.is_empty() {
        return html! {};
    }
    Table {
        id: "taps",
        name: "Taps, by the outer source address of their packets",
        columns: vec![text("tap"), number("packets"), number("duplicates"), number("gaps")],
        rows,
        foot: Vec::new(),
    }
    .markup()
}

fn gaps(digest: &Digest) -> Markup {
    if digest.gaps.is_empty() {
        return html! {};
    }
    let rows = digest.gaps.iter().map(|gap| {
        vec![
            Cell::text(&gap.tap.to_string()),
            Cell::time(gap.start),
            Cell::time(gap.end),
            Cell::span(Some(gap.end.since(gap.start))),
            Cell::text(gap.cause.name()),
        ]
    });
    let table = Table {
        id: "gaps",
        name: "Gaps of the mirror",
        columns: vec![
            text("tap"),
            text("last packet before (UTC)").ascending(),
            text("first packet after (UTC)"),
            number("length"),
            text("known by"),
        ],
        rows: rows.collect(),
        foot: Vec::new(),
    };
    html! {
        (table.markup())
        @if digest.unlisted_gaps > 0 { p.hint { (count(digest.unlisted_gaps)) " more are not listed." } }
    }
}

/// Each packet in one row of the first table, and each that was tracked in one of the second.
pub(super) fn account(run: &Run<'_>) -> Markup {
    let counters = run.counters;
    let mut read = vec![
        ("decapsulated", counters.decapsulated(), "mirrored frames, an envelope in fragments once"),
        ("plain", counters.plain, "not mirrored, and tracked as they are"),
        (
            "fragments absorbed",
            counters.decap.fragments.absorbed,
            "fragments of envelopes beside those that completed one",
        ),
    ];
    read.extend(counters.skipped().map(|(name, n)| (name, n, words::skipped(name))));
    let flow = counters.flow.unwrap_or_default();
    let Stats { tcp_segments, other, duplicates, forwarded, recorded, .. } = flow;
    let mut tracked = vec![
        ("TCP segments", tcp_segments, "judged, one put together from fragments once"),
        ("other IP", other, "packets of other protocols"),
        ("duplicates", duplicates, "copies by another tap or interface"),
        ("forwarded", forwarded, "copies by a router"),
    ];
    tracked.extend(counters.flow_skipped().map(|(name, n)| (name, n, words::skipped(name))));
    html! {
        p { "Every packet is in exactly one row of the first table; every one that was decapsulated, or plain, in exactly \
             one of the second. The sums were checked at the end of the run." }
        @if let Some(recorded) = recorded.filter(|recorded| recorded.packets > 0) {
            p {
                "Of what was tracked, " (words::plural(recorded.packets, "packet is counted to a flow", "packets are counted to flows")) "; "
                (count(flow.unrecorded())) " belong to none: errors by ICMP, messages of the link, fragments whose "
                "datagram is not known, and what found no room in the table."
            }
        }
        div.columns {
            (sum("read", "Packets read", read, counters.packets))
            (sum("tracked", "Decapsulated and plain packets", tracked, counters.decapsulated() + counters.plain))
        }
    }
}

fn sum(
    id: &'static str,
    name: &'static str,
    rows: Vec<(&'static str, u64, &'static str)>,
    whole: u64,
) -> Markup {
    let rows = rows.into_iter().filter(|(_, n, _)| *n > 0);
    let rows = rows.map(|(fate, n, what)| {
        vec![Cell::text(fate), Cell::count(n), Cell::share(n, whole), Cell::text(what)]
    });
    let table = Table {
        id,
        name,
        columns: vec![text("became"), number("packets"), number("share"), prose("meaning")],
        rows: rows.collect(),
        foot: vec![Cell::text("all"), Cell::count(whole), Cell::empty(), Cell::empty()],
    };
    html! { div { (table.markup()) } }
}
