//! Who sent how much, to whom, and of what service.

use maud::{Markup, html};
use vtap_export::report::count;

use super::table::{Cell, Column, Table, bar, name, number, text};
use super::words;
use crate::Digest;
use crate::amounts::Exchange;
use crate::tally::{Amount, Tally};

/// Rows of a table at most; what is beyond is added up in its last row.
const ROWS: usize = 500;

/// The first rows of a tally, and the sum of all that has none.
pub(super) fn listed<K: Ord + Clone, A: Amount>(tally: &Tally<K, A>) -> (Vec<(&K, &A)>, A, u64) {
    let mut ranked = tally.ranked();
    let mut others = A::default();
    others.absorb(tally.others());
    let beyond = ranked.split_off(ranked.len().min(ROWS));
    for (_, amount) in &beyond {
        others.absorb(amount);
    }
    (ranked, others, beyond.len() as u64 + tally.let_go())
}

/// What a table does not list.
pub(super) fn unlisted(n: u64, is_exact: bool) -> Markup {
    html! {
        @if n > 0 {
            p.hint {
                "The last row holds " (count(n)) " others, which are not listed."
                @if !is_exact { " As there were so many, what is listed of the small ones is a lower bound; sums are exact." }
            }
        }
    }
}

pub(super) fn talkers(digest: &Digest) -> Markup {
    let (rows, others, unlisted_talkers) = listed(&digest.talkers);
    let most = rows.first().map_or(0, |(_, one)| one.weight());
    let mut cells: Vec<_> = rows
        .iter()
        .map(|(address, one)| {
            vec![
                Cell::address(**address).and(&name(one.name.as_deref())),
                Cell::text(&words::harmless(one.place.as_deref().unwrap_or_default())),
                Cell::keyed(one.weight(), bar(one.weight(), most)),
                Cell::bytes(one.sent),
                Cell::bytes(one.received),
                Cell::count(one.packets),
                Cell::count(one.flows),
            ]
        })
        .collect();
    let has_places = rows.iter().any(|(_, one)| one.place.is_some());
    let mut columns = vec![
        text("address"),
        text("network"),
        text("sent and received").descending(),
        number("sent"),
        number("received"),
        number("packets"),
        number("flows"),
    ];
    let mut foot = if unlisted_talkers == 0 {
        Vec::new()
    } else {
        vec![
            Cell::text("others"),
            Cell::empty(),
            Cell::empty(),
            Cell::bytes(others.sent),
            Cell::bytes(others.received),
            Cell::count(others.packets),
            Cell::count(others.flows),
        ]
    };
    if !has_places {
        for row in cells.iter_mut().chain([&mut foot]).filter(|row| !row.is_empty()) {
            row.remove(1);
        }
        columns.remove(1);
    }
    let table =
        Table { id: "talker-table", name: "Addresses by bytes", columns, rows: cells, foot };
    html! {
        (table.markup())
        (unlisted(unlisted_talkers, digest.talkers.let_go() == 0))
        (pairs(digest))
    }
}

fn pairs(digest: &Digest) -> Markup {
    let (rows, others, unlisted_pairs) = listed(&digest.pairs);
    let whole = digest.total.bytes();
    let most = rows.first().map_or(0, |(_, one)| one.bytes());
    let cells = rows.iter().map(|(pair, one)| {
        let mut cells = vec![Cell::address(pair.client), Cell::address(pair.server)];
        cells.extend(exchange(one, whole, most));
        cells
    });
    let mut columns = exchange_columns("client");
    columns.insert(1, text("server"));
    let mut foot = Vec::new();
    if unlisted_pairs > 0 {
        foot = vec![Cell::text("others"), Cell::empty()];
        foot.extend(exchange(&others, whole, 0));
    }
    let table = Table {
        id: "pairs",
        name: "Pairs of client and server by bytes",
        columns,
        rows: cells.collect(),
        foot,
    };
    html! { (table.markup()) (unlisted(unlisted_pairs, digest.pairs.let_go() == 0)) }
}

pub(super) fn services(digest: &Digest) -> Markup {
    let (rows, others, unlisted_services) = listed(&digest.services);
    let whole = digest.total.bytes();
    let most = rows.first().map_or(0, |(_, one)| one.bytes());
    let cells = rows.iter().map(|(service, one)| {
        let shown = html! { (service) (name(service.name())) };
        let mut cells = vec![Cell::keyed(format!("{:05}", service.port), shown)];
        cells.extend(exchange(one, whole, most));
        cells
    });
    let mut foot = Vec::new();
    if unlisted_services > 0 {
        foot = vec![Cell::text("others")];
        foot.extend(exchange(&others, whole, 0));
    }
    let table = Table {
        id: "service-table",
        name: "Services by bytes",
        columns: exchange_columns("port of the server"),
        rows: cells.collect(),
        foot,
    };
    html! { (table.markup()) (unlisted(unlisted_services, digest.services.let_go() == 0)) }
}

pub(super) fn exchange_columns(first: &'static str) -> Vec<Column> {
    vec![
        text(first),
        text("both ways").descending(),
        number("share"),
        number("to server"),
        number("to client"),
        number("packets"),
        number("flows"),
        number("failed"),
        number("sent again"),
    ]
}

pub(super) fn exchange(one: &Exchange, whole: u64, most: u64) -> [Cell; 8] {
    let again = match one.retransmissions {
        0 => Cell::some(0),
        n => Cell::share(n, one.tcp_packets),
    };
    [
        Cell::keyed(
            one.bytes(),
            if most == 0 {
                html! {}
            } else {
                bar(one.bytes(), most)
            },
        ),
        Cell::share(one.bytes(), whole),
        Cell::bytes(one.to_server),
        Cell::bytes(one.to_client),
        Cell::count(one.packets),
        Cell::count(one.flows),
        Cell::some(one.failed),
        again,
    ]
}

pub(super) fn names(digest: &Digest) -> Markup {
    if digest.names.is_empty() {
        return html! { p.none { "No DNS response was seen that gives a name to an address." } };
    }
    let (rows, _, unlisted_names) = listed(&digest.names);
    let cells = rows.iter().map(|(known, one)| {
        let addresses = html! {
            @for (at, address) in one.addresses.iter().enumerate() {
                @if at > 0 { ", " }
                a href="#flows" data-find=(address) { (address) }
            }
            @if one.and_more { " …" }
        };
        vec![
            Cell::markup(html! { bdi { (words::harmless(known)) } }),
            Cell::markup(addresses),
            Cell::some(one.answers),
            Cell::some(one.flows),
            Cell::bytes(one.bytes),
        ]
    });
    let table = Table {
        id: "name-table",
        name: "Names that DNS responses in the traffic have told",
        columns: vec![
            text("name"),
            text("addresses"),
            number("responses"),
            number("flows to it"),
            number("bytes both ways").descending(),
        ],
        rows: cells.collect(),
        foot: Vec::new(),
    };
    html! {
        (table.markup())
        @if unlisted_names > 0 { p.hint { (count(unlisted_names)) " more are not listed." } }
    }
}
