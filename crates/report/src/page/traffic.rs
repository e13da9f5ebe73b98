//! Who sent how much, where, and by which way.

use std::sync::Arc;

use maud::{Markup, html};
use vtap_export::report::count;
use vtap_networks::FlowType;

use super::chart::{pie, swatch};
use super::table::{Cell, Table, bar, name, number, text};
use super::{Run, words};
use crate::Digest;
use crate::amounts::{Carried, Exchange};
use crate::tally::{Amount, Tally};

/// Rows of a table at most; what is beyond is added up in its last row.
const ROWS: usize = 500;

/// The first rows of a tally, and the sum of all that has none.
fn listed<K: Ord + Clone, A: Amount>(tally: &Tally<K, A>) -> (Vec<(&K, &A)>, A, u64) {
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
fn unlisted(n: u64, is_exact: bool) -> Markup {
    html! {
        @if n > 0 {
            p.hint {
                "The last row holds " (count(n)) " others, which are not listed."
                @if !is_exact { " As there were so many, what is listed of the small ones is a lower bound; sums are exact." }
            }
        }
    }
}

pub(super) fn paths(digest: &Digest, run: &Run<'_>) -> Markup {
    let (rows, others, unlisted_paths) = listed(&digest.paths);
    let direct = if run.networks { "direct" } else { "no gateway known" };
    let called = |via: &Option<Arc<str>>| via.as_deref().unwrap_or(direct).to_owned();
    let mut parts: Vec<_> = rows.iter().map(|(via, one)| (called(via), one.bytes())).collect();
    if others.bytes() > 0 {
        parts.push(("others".to_owned(), others.bytes()));
    }
    let whole = digest.total.bytes();
    let fields = |one: &Carried| {
        vec![
            Cell::bytes(one.bytes()),
            Cell::share(one.bytes(), whole),
            Cell::bytes(one.to_server),
            Cell::bytes(one.to_client),
            Cell::count(one.packets),
        ]
    };
    let row = |(place, (via, one)): (usize, &(&Option<Arc<str>>, &Carried))| {
        let way = html! { (swatch(place)) " " bdi { (words::harmless(&called(via))) } };
        let mut cells = vec![Cell::markup(way)];
        cells.extend(fields(one));
        cells
    };
    let mut all_paths = others;
    rows.iter().for_each(|(_, one)| all_paths.absorb(one));
    let mut foot = vec![Cell::text("all")];
    foot.extend(fields(&all_paths));
    let table = Table {
        id: "path-table",
        name: "By gateway",
        columns: vec![
            text("by way of"),
            number("bytes").descending(),
            number("share"),
            number("to server"),
            number("to client"),
            number("packets"),
        ],
        rows: rows.iter().enumerate().map(row).collect(),
        foot,
    };
    html! {
        @if whole == 0 {
            p.none { "No traffic was seen." }
        } @else {
            div.beside { (pie("Traffic by path", &parts)) div { (table.markup()) (unlisted(unlisted_paths, digest.paths.let_go() == 0)) } }
        }
        @if !run.networks {
            p.hint { "Gateways have names, and addresses networks, with --networks networks.toml." }
        }
        (flow_types(digest))
        (detours(digest, direct))
    }
}

fn flow_types(digest: &Digest) -> Markup {
    let whole = digest.total.bytes();
    if digest.flow_types().all(|(kind, _)| kind == FlowType::Unknown) {
        return html! {};
    }
    let most = digest.flow_types().map(|(_, one)| one.bytes()).max().unwrap_or_default();
    let row = |(kind, one): (FlowType, &Exchange)| {
        let mut cells =
            vec![Cell::keyed(kind.name(), html! { (kind.name()) (name(Some(words_of(kind)))) })];
        cells.extend(exchange(one, whole, most));
        cells
    };
    let mut rows: Vec<_> = digest.flow_types().collect();
    rows.sort_by_key(|(_, one)| std::cmp::Reverse(one.bytes()));
    Table {
        id: "flow-types",
        name: "By kind of network",
        columns: exchange_columns("between"),
        rows: rows.into_iter().map(row).collect(),
        foot: Vec::new(),
    }
    .markup()
}

/// What traffic analytics means by it.
const fn words_of(kind: FlowType) -> &'static str {
    match kind {
        FlowType::IntraVNet => "one virtual network",
        FlowType::InterVNet => "virtual networks",
        FlowType::S2S => "site to site",
        FlowType::P2S => "VPN client and network",
        FlowType::AzurePublic => "cloud, public addresses",
        FlowType::ExternalPublic => "internet",
        FlowType::UnknownPrivate => "unknown private addresses",
        FlowType::Unknown => "unknown networks",
    }
}

fn detours(digest: &Digest, direct: &str) -> Markup {
    if digest.detours.is_empty() {
        return html! {};
    }
    let (rows, _, unlisted_detours) = listed(&digest.detours);
    let via =
        |via: &Option<Arc<str>>| Cell::text(&words::harmless(via.as_deref().unwrap_or(direct)));
    let rows = rows.iter().map(|(detour, one)| {
        vec![
            Cell::address(detour.pair.client),
            Cell::address(detour.pair.server),
            via(&detour.to_server),
            via(&detour.to_client),
            Cell::count(one.flows),
            Cell::bytes(one.bytes()),
        ]
    });
    let table = Table {
        id: "detours",
        name: "Asymmetric paths",
        columns: vec![
            text("client"),
            text("server"),
            text("to server by way of"),
            text("to client by way of"),
            number("flows"),
            number("bytes").descending(),
        ],
        rows: rows.collect(),
        foot: Vec::new(),
    };
    html! {
        (table.markup())
        @if unlisted_detours > 0 { p.hint { (count(unlisted_detours)) " more are not listed." } }
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

fn exchange_columns(first: &'static str) -> Vec<super::table::Column> {
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

fn exchange(one: &Exchange, whole: u64, most: u64) -> [Cell; 8] {
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
