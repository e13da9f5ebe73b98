//! The flows that are worth a row.

use maud::{Markup, html};
use vtap_export::report::count;
use vtap_networks::Way;

use super::table::{Cell, Table, name, number, text};
use super::words;
use crate::Digest;
use crate::digest::{called, unseen};
use crate::notable::{Flow, Notable};
use crate::services;

pub(super) fn flows(digest: &Digest) -> Markup {
    let flows = digest.notable.flows();
    let unlisted = digest.total.flows - flows.len() as u64;
    let one_day = digest.span.is_some_and(|(first, last)| first.date() == last.date());
    let table = Table {
        id: "flows",
        name: "Failed, INVALID and largest flows",
        columns: vec![
            text("began (UTC)"),
            text("protocol"),
            text("client"),
            text("server"),
            text("outcome"),
            number("lasted"),
            number("to server"),
            number("to client"),
            number("packets"),
            number("handshake"),
            number("sent again"),
            number("INVALID"),
            text("by way of"),
        ],
        rows: flows.iter().map(|flow| row(flow, one_day)).collect(),
        foot: Vec::new(),
    };
    html! {
        @if flows.is_empty() {
            p.none { "No flow was seen." }
        } @else {
            (table.markup())
            p.hint {
                "Outcome in Zeek's words (conn_state and history): letters are what was seen, upper case of the client."
                @if unlisted > 0 {
                    " " (count(unlisted)) " flows are not listed: these are up to " (count(Notable::LISTED as u64 / 4))
                    " with a failed handshake, as many with INVALID segments, and the largest."
                }
            }
        }
    }
}

fn row(flow: &Flow, one_day: bool) -> Vec<Cell> {
    let record = &flow.record;
    let description = &flow.description;
    let [up, down] = [&record.to_server, &record.to_client];
    vec![
        if one_day { Cell::clock(record.start) } else { Cell::time(record.start) },
        Cell::text(&services::protocol(record.protocol)),
        Cell::socket(record.client.ip(), record.client.port())
            .and(&name(called(&description.client).as_deref())),
        Cell::socket(record.server.ip(), record.server.port())
            .and(&name(called(&description.server).as_deref())),
        outcome(flow),
        Cell::span(Some(record.end.since(record.start))),
        Cell::bytes(up.total.bytes),
        Cell::bytes(down.total.bytes),
        Cell::count(up.total.packets + down.total.packets),
        Cell::span(record.tcp.and_then(|tcp| tcp.handshake)),
        Cell::some(u64::from(up.retransmissions) + u64::from(down.retransmissions)),
        Cell::some(flow.invalid()),
        Cell::text(&way(flow)),
    ]
}

fn outcome(flow: &Flow) -> Cell {
    let record = &flow.record;
    let state = record.conn_state.name();
    let shown = html! {
        @if let Some(failure) = flow.failure { strong.bad { (failure.name()) } " " }
        @if record.midstream { "midstream " }
        @if record.egress_only { "egress-only " }
        @if let Some(side) = record.missing { (unseen(side)) " " }
        span.state title=(record.history.as_str()) { (state) }
        " " span.history { (record.history.as_str()) }
    };
    let key = flow.failure.map_or_else(|| state.to_owned(), |failure| failure.name().to_owned());
    Cell::keyed(key, shown)
}

/// Both ways where they differ; the kind of network where no gateway is known.
fn way(flow: &Flow) -> String {
    let description = &flow.description;
    let via = |way: &Way| way.via.as_deref().map(words::harmless);
    match (via(&description.to_server), via(&description.to_client)) {
        (None, None) => match description.flow_type {
            vtap_networks::FlowType::Unknown => String::new(),
            kind => kind.name().to_owned(),
        },
        (there, back) if there == back => there.unwrap_or_default(),
        (there, back) => {
            let [there, back] = [there, back].map(|way| way.unwrap_or_else(|| "direct".to_owned()));
            format!("{there}, back {back}")
        }
    }
}
