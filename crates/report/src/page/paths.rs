//! By which way traffic went, and between what kinds of networks.

use std::cmp::Reverse;
use std::sync::Arc;

use maud::{Markup, html};
use vtap_export::report::count;
use vtap_networks::FlowType;

use super::chart::{pie, swatch};
use super::table::{Cell, Table, name, number, text};
use super::traffic::{exchange, exchange_columns, listed, unlisted};
use super::{Run, words};
use crate::Digest;
use crate::amounts::{Carried, Exchange};
use crate::tally::Amount;

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
    rows.sort_by_key(|(_, one)| Reverse(one.bytes()));
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
