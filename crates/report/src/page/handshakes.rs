//! Which handshakes failed, and how long the others took.

use maud::{Markup, html};
use vtap_export::report::count;

use super::table::{Cell, Table, name, number, prose, text};
use super::words;
use crate::{Digest, Failure};

/// Rows of a table at most.
const ROWS: usize = 500;

pub(super) fn handshakes(digest: &Digest) -> Markup {
    let total = &digest.total;
    html! {
        @if total.tried == 0 {
            p.none { "The SYN of no TCP connection was seen." }
        } @else {
            p {
                (words::plural(total.tried, "handshake was", "handshakes were")) " seen from the SYN on. "
                b { (count(total.failed)) " failed" } ", " (words::share(total.failed, total.tried)) "."
            }
        }
        @if total.failed > 0 { (kinds(digest)) (servers(digest)) (attempts(digest)) }
        (timing(digest))
    }
}

fn kinds(digest: &Digest) -> Markup {
    let kinds = Failure::ALL.iter().zip(digest.failures).filter(|(_, n)| *n > 0);
    let rows = kinds.map(|(failure, n)| {
        vec![
            Cell::text(failure.name()),
            Cell::count(n),
            Cell::share(n, digest.total.tried),
            Cell::text(failure.words()),
        ]
    });
    Table {
        id: "failures",
        name: "Failures by kind",
        columns: vec![
            text("failure"),
            number("handshakes"),
            number("share"),
            prose("what was seen"),
        ],
        rows: rows.collect(),
        foot: Vec::new(),
    }
    .markup()
}

fn servers(digest: &Digest) -> Markup {
    let by_server = digest.failures_by_server();
    let rows = by_server.iter().take(ROWS).filter_map(|(asked, sum)| {
        let (first, last) = sum.failed.span?;
        Some(vec![
            Cell::text(asked.failure.name()),
            Cell::socket(asked.server, asked.service.port).and(&name(asked.service.name())),
            Cell::count(sum.failed.count),
            Cell::count(sum.clients),
            Cell::time(first),
            Cell::time(last),
        ])
    });
    Table {
        id: "refusals",
        name: "Failures by server",
        columns: vec![
            text("failure"),
            text("server"),
            number("handshakes").descending(),
            number("clients"),
            number("first (UTC)"),
            number("last (UTC)"),
        ],
        rows: rows.collect(),
        foot: Vec::new(),
    }
    .markup()
}

fn attempts(digest: &Digest) -> Markup {
    let ranked = digest.attempts.ranked();
    let listed: u64 = ranked.iter().take(ROWS).map(|(_, failed)| failed.count).sum();
    let rows = ranked.iter().take(ROWS).filter_map(|(attempt, failed)| {
        let (first, last) = failed.span?;
        Some(vec![
            Cell::text(attempt.failure.name()),
            Cell::address(attempt.pair.client),
            Cell::socket(attempt.pair.server, attempt.service.port)
                .and(&name(attempt.service.name())),
            Cell::count(failed.count),
            Cell::time(first),
            Cell::time(last),
        ])
    });
    let table = Table {
        id: "attempts",
        name: "Failures by client and server",
        columns: vec![
            text("failure"),
            text("client"),
            text("server"),
            number("handshakes").descending(),
            number("first (UTC)"),
            number("last (UTC)"),
        ],
        rows: rows.collect(),
        foot: Vec::new(),
    };
    html! {
        (table.markup())
        @if listed < digest.total.failed {
            p.hint { (count(digest.total.failed - listed)) " more failures are not listed." }
        }
    }
}

fn timing(digest: &Digest) -> Markup {
    if digest.timing.is_empty() {
        return html! {};
    }
    let rows = digest.timing.ranked().into_iter().map(|(service, timing)| {
        let [syn_ack, handshake] = [&timing.syn_ack, &timing.handshake];
        vec![
            Cell::keyed(format!("{:05}", service.port), html! { (service) (name(service.name())) }),
            Cell::count(syn_ack.count()),
            Cell::span(syn_ack.percentile(50)),
            Cell::span(syn_ack.percentile(95)),
            Cell::span(syn_ack.most()),
            Cell::count(handshake.count()),
            Cell::span(handshake.percentile(50)),
            Cell::span(handshake.percentile(95)),
            Cell::span(handshake.most()),
        ]
    });
    let table = Table {
        id: "timing",
        name: "Time of handshakes",
        columns: vec![
            text("port of the server"),
            number("answered").descending(),
            number("SYN to SYN-ACK, median"),
            number("95 %"),
            number("longest"),
            number("completed"),
            number("SYN to ACK, median"),
            number("95 %"),
            number("longest"),
        ],
        rows: rows.collect(),
        foot: Vec::new(),
    };
    html! {
        (table.markup())
        p.hint {
            "SYN to SYN-ACK is the way from the tapped card to the server and back; SYN to ACK the way to the client as \
             well. Median and 95 % are at most 6 % off."
            @if digest.timing.let_go() > 0 { " Services with few handshakes are not listed." }
        }
    }
}
