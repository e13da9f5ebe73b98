//! The page: one HTML file that needs nothing beside it.
//!
//! | in the order of the page | holds |
//! |---|---|
//! | `overview` | totals, and what stands out |
//! | `chart` | the timeline, the pie |
//! | `paths` | traffic by gateway and by kind of network, and paths that are asymmetric |
//! | `traffic` | by address, by pair, by service, by name |
//! | `handshakes` | which failed, and how long the others took |
//! | `flows` | the flows that are worth a row |
//! | `mirror` | INVALID by reason, the mirror's quality, the account of packets |
//! | `table`, `words`, `seal` | what sorts and filters; numbers for people; style, script and policy |
//!
//! All text is escaped where it is written (`maud` does so by itself), style and script are allowed
//! by their hashes alone, and nothing is loaded.

mod chart;
mod flows;
mod handshakes;
mod mirror;
mod overview;
mod paths;
mod seal;
mod table;
mod traffic;
mod words;

use maud::{DOCTYPE, Markup, html};
use vtap_pipeline::Report;

use crate::Digest;

/// What the page tells of a run beside its digest.
#[derive(Clone, Debug)]
pub struct Run<'a> {
    /// What was read, as it is to be named.
    pub inputs: &'a [String],
    /// What could not be read of it, a sentence each.
    pub damage: &'a [String],
    /// The counters at its end.
    pub counters: &'a Report,
    /// Whether networks and gateways were told: without them no path is known.
    pub networks: bool,
    /// The program and its version, for the last line.
    pub made_by: &'a str,
}

/// The page, as HTML. The same digest and run make the same bytes.
pub fn page(digest: &Digest, run: &Run<'_>) -> String {
    let title = match run.inputs {
        [one] => one.clone(),
        [one, others @ ..] => format!("{one} and {} more", others.len()),
        [] => "vtap".to_owned(),
    };
    let title = words::harmless(&title);
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                (seal::head())
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) " · vtap report" }
            }
            body {
                header {
                    h1 { bdi { (title) } }
                    p { (overview::span(digest)) }
                    (overview::inputs(run))
                    nav aria-label="Sections" {
                        @for (id, name) in SECTIONS { a href=(format!("#{id}")) { (name) } " " }
                    }
                }
                main {
                    (overview::overview(digest, run))
                    (section("timeline", &chart::timeline(&digest.timeline, &digest.gaps)))
                    (section("paths", &paths::paths(digest, run)))
                    (section("talkers", &traffic::talkers(digest)))
                    (section("services", &traffic::services(digest)))
                    (section("handshakes", &handshakes::handshakes(digest)))
                    (section("invalid", &mirror::invalid(run)))
                    (section("flow-list", &flows::flows(digest)))
                    (section("names", &traffic::names(digest)))
                    (section("mirror", &mirror::mirror(digest, run)))
                    (section("account", &mirror::account(run)))
                }
                footer { p { (run.made_by) ". Times are UTC, bytes are those of IP packets with their headers." } }
                (seal::script())
            }
        }
    }
    .into_string()
}

const SECTIONS: [(&str, &str); 10] = [
    ("timeline", "Timeline"),
    ("paths", "Traffic by path"),
    ("talkers", "Top talkers"),
    ("services", "Services"),
    ("handshakes", "Handshakes"),
    ("invalid", "INVALID"),
    ("flow-list", "Flows"),
    ("names", "Names"),
    ("mirror", "Mirror"),
    ("account", "Account of packets"),
];

fn section(id: &'static str, content: &Markup) -> Markup {
    let name = SECTIONS.iter().find(|(known, _)| *known == id).map(|(_, name)| *name);
    html! {
        section #(id) aria-labelledby=(format!("{id}-heading")) {
            h2 #(format!("{id}-heading")) { (name.unwrap_or(id)) }
            (content)
        }
    }
}
