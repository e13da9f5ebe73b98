//! Tables, whose rows the script sorts and filters.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use maud::{Markup, html};
use vtap_export::report;
use vtap_packet::Timestamp;

use super::words;

/// A table with its head and, where it has one, its sum.
pub(super) struct Table {
    pub(super) id: &'static str,
    pub(super) name: &'static str,
    pub(super) columns: Vec<Column>,
    pub(super) rows: Vec<Vec<Cell>>,
    /// The last row, which stays the last.
    pub(super) foot: Vec<Cell>,
}

/// What a column holds.
#[derive(Clone, Copy)]
pub(super) struct Column {
    name: &'static str,
    class: Option<&'static str>,
    /// Rows come in the order of it: the largest first, or the smallest.
    ordered: Option<&'static str>,
}

pub(super) const fn text(name: &'static str) -> Column {
    Column { name, class: None, ordered: None }
}

/// Of sentences.
pub(super) const fn prose(name: &'static str) -> Column {
    Column { name, class: Some("prose"), ordered: None }
}

pub(super) const fn number(name: &'static str) -> Column {
    Column { name, class: Some("n"), ordered: None }
}

impl Column {
    /// The rows are in its order, the largest first.
    pub(super) const fn descending(self) -> Self {
        Self { ordered: Some("descending"), ..self }
    }

    /// The rows are in its order, the smallest first.
    pub(super) const fn ascending(self) -> Self {
        Self { ordered: Some("ascending"), ..self }
    }
}

/// One field.
#[derive(Clone)]
pub(super) struct Cell {
    shown: Markup,
    /// What it is sorted by, where that is not what it shows.
    key: Option<String>,
}

impl Cell {
    pub(super) fn text(text: &str) -> Self {
        Self { shown: html! { (text) }, key: None }
    }

    pub(super) const fn markup(shown: Markup) -> Self {
        Self { shown, key: None }
    }

    pub(super) fn keyed(key: impl ToString, shown: Markup) -> Self {
        Self { shown, key: Some(key.to_string()) }
    }

    pub(super) fn empty() -> Self {
        Self::text("")
    }

    pub(super) fn count(n: u64) -> Self {
        Self::keyed(n, html! { (report::count(n)) })
    }

    /// Nothing for 0: what is rare is found more easily so.
    pub(super) fn some(n: u64) -> Self {
        if n == 0 { Self::keyed(0, html! {}) } else { Self::count(n) }
    }

    pub(super) fn bytes(n: u64) -> Self {
        Self::keyed(n, html! { (report::size(n)) })
    }

    pub(super) fn share(part: u64, whole: u64) -> Self {
        let key = if whole == 0 { 0.0 } else { part as f64 / whole as f64 };
        Self::keyed(key, html! { (words::share(part, whole)) })
    }

    pub(super) fn span(span: Option<Duration>) -> Self {
        match span {
            Some(span) => Self::keyed(span.as_nanos(), html! { (words::span(span)) }),
            None => Self::keyed(-1, html! {}),
        }
    }

    pub(super) fn time(time: Timestamp) -> Self {
        let shown = html! { time datetime=(time) { (words::time(time)) } };
        Self::keyed(time.nanos(), shown)
    }

    /// The time of day alone.
    pub(super) fn clock(time: Timestamp) -> Self {
        let shown = words::clock(time, Duration::ZERO);
        Self::keyed(time.nanos(), html! { time datetime=(time) { (shown) } })
    }

    /// An address; it leads to the flows that have it.
    pub(super) fn address(address: IpAddr) -> Self {
        Self::keyed(order(address), found(&address.to_string()))
    }

    /// An address and a port, likewise.
    pub(super) fn socket(address: IpAddr, port: u16) -> Self {
        let shown = end(address, port);
        Self::keyed(format!("{}{port:05}", order(address)), found(&shown))
    }

    /// With more behind it.
    pub(super) fn and(self, more: &Markup) -> Self {
        let shown = self.shown;
        Self { shown: html! { (shown) (more) }, key: self.key }
    }
}

/// As they are written: `10.0.0.1:80`, `[fd00::1]:80`, without a port where there is none.
pub(super) fn end(address: IpAddr, port: u16) -> String {
    if port == 0 { address.to_string() } else { SocketAddr::new(address, port).to_string() }
}

/// A text that leads to the flows that have it.
fn found(text: &str) -> Markup {
    html! { a href="#flows" data-find=(text) { (text) } }
}

/// Sorts as addresses do, IPv4 before IPv6.
fn order(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => format!("v4-{:08x}", address.to_bits()),
        IpAddr::V6(address) => format!("v6-{:032x}", address.to_bits()),
    }
}

/// A name from the traffic, beside what it names.
pub(super) fn name(name: Option<&str>) -> Markup {
    html! { @if let Some(name) = name { " " bdi.name { (words::harmless(name)) } } }
}

/// A bar as long as its share of the most there is.
pub(super) fn bar(part: u64, most: u64) -> Markup {
    let width = if most == 0 { 0.0 } else { part as f64 / most as f64 * 100.0 };
    html! {
        svg.bar viewBox="0 0 100 4" preserveAspectRatio="none" aria-hidden="true" {
            rect width=(format!("{width:.1}")) height="4" {}
        }
    }
}

impl Table {
    pub(super) fn markup(&self) -> Markup {
        let heading = format!("{}-name", self.id);
        let class = |at: usize| self.columns.get(at).and_then(|column| column.class);
        html! {
            div.head #(format!("{}-head", self.id)) { h3 #(heading) { (self.name) } }
            div.scroll role="region" tabindex="0" aria-labelledby=(heading) {
                table #(self.id) aria-labelledby=(heading) {
                    thead {
                        tr {
                            @for (at, column) in self.columns.iter().enumerate() {
                                th scope="col" class=[class(at)] aria-sort=[column.ordered] {
                                    (column.name)
                                }
                            }
                        }
                    }
                    tbody {
                        @for row in &self.rows {
                            tr {
                                @for (at, cell) in row.iter().enumerate() {
                                    td class=[class(at)] data-v=[&cell.key] { (cell.shown) }
                                }
                            }
                        }
                    }
                    @if !self.foot.is_empty() {
                        tfoot {
                            tr {
                                @for (at, cell) in self.foot.iter().enumerate() {
                                    td class=[class(at)] { (cell.shown) }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}
