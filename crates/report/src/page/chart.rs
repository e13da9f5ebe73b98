//! Pictures: the pie of shares, and bars over time.

use std::fmt::Write;
use std::time::Duration;

use maud::{Markup, html};
use vtap_export::report::{count, size};
use vtap_flow::Gap;
use vtap_packet::Timestamp;

use super::table::{Cell, Table, number, text};
use super::words;
use crate::timeline::{Step, Timeline};

/// Slices of a pie that have a colour of their own; all others share the last one.
const SLICES: usize = 6;

/// Of a chart, in units of its own; it is drawn as high as its place is.
const HEIGHT: f64 = 100.0;

/// The colour of a slice, by its place in the order of size.
pub(super) fn swatch(place: usize) -> Markup {
    html! { svg.swatch viewBox="0 0 8 8" aria-hidden="true" { rect.(colour(place)) width="8" height="8" {} } }
}

fn colour(place: usize) -> String {
    format!("c{}", place.min(SLICES))
}

/// A ring with a slice for each part, and the whole in its middle. What it shows stands in the
/// table beside it.
pub(super) fn pie(title: &str, parts: &[(String, u64)]) -> Markup {
    let whole: u64 = parts.iter().map(|(_, part)| part).sum();
    let percent = |part: u64| part as f64 / whole.max(1) as f64 * 100.0;
    let mut slices: Vec<(String, u64)> = parts.iter().take(SLICES).cloned().collect();
    let rest: u64 = parts.iter().skip(SLICES).map(|(_, part)| part).sum();
    if rest > 0 {
        slices.push((format!("{} others", parts.len() - SLICES), rest));
    }
    let mut turned = 0.0;
    let slices: Vec<_> = slices
        .into_iter()
        .enumerate()
        .map(|(place, (name, part))| {
            let begins = turned;
            turned += percent(part);
            // A hair between slices, but not in a ring of one.
            let drawn = if part == whole { 100.0 } else { (percent(part) - 0.4).max(0.1) };
            (place, name, part, begins, drawn)
        })
        .collect();
    let said: Vec<_> = slices
        .iter()
        .map(|(_, name, part, ..)| {
            format!("{} {}", words::harmless(name), words::share(*part, whole))
        })
        .collect();
    html! {
        svg.pie viewBox="0 0 42 42" role="img" aria-label=(format!("{title}: {}", said.join(", "))) {
            g transform="rotate(-90 21 21)" {
                @for (place, name, part, begins, drawn) in &slices {
                    circle.(colour(*place)) cx="21" cy="21" r="16" pathLength="100"
                        stroke-dasharray=(format!("{drawn:.2} {:.2}", 100.0 - drawn))
                        stroke-dashoffset=(format!("{:.2}", -begins)) {
                        title { (words::harmless(name)) ": " (size(*part)) ", " (words::share(*part, whole)) }
                    }
                }
            }
            text x="21" y="21.2" { (size(whole)) }
            text.small x="21" y="25.4" { "both ways" }
        }
    }
}

/// Bars over time, one chart below the other, and the numbers as a table.
pub(super) fn timeline(timeline: &Timeline, gaps: &[Gap]) -> Markup {
    let steps = timeline.steps();
    let (Some((first, _)), Some((last, _))) = (steps.first(), steps.last()) else {
        return html! { p.none { "No flow was seen." } };
    };
    let width = timeline.width();
    let end = *last + width;
    let middle = Timestamp::from_nanos(first.nanos() / 2 + end.nanos() / 2);
    let values = |of: fn(&Step) -> u64| steps.iter().map(|(_, step)| of(step)).collect::<Vec<_>>();
    let shades = shades(gaps, *first, end, steps.len());
    let counts: [(&str, &str, Vec<u64>); 3] = [
        ("new flows", "flows", values(|step| step.flows)),
        ("failed handshakes", "failed", values(|step| step.failed)),
        ("INVALID events", "invalid", values(|step| step.invalid)),
    ];
    html! {
        div.timeline data-steps="steps" {
            (throughput(&values(|step| step.to_server), &values(|step| step.to_client), width, &shades))
            @for (name, class, values) in &counts {
                (bars(name, class, values, &shades))
            }
            div.axis aria-hidden="true" {
                @for time in [*first, middle, end] { span { (words::clock(time, width)) } }
            }
        }
        p.hint {
            "Steps of " (words::whole(width)) ", UTC. The bytes of a flow are spread evenly over its time, or over five \
             minutes of it where it lasts longer."
            " A flow that is seen one way only has one INVALID event for all its segments."
            @if !gaps.is_empty() { " Shaded: gaps of the mirror." }
        }
        details { summary { "The timeline as a table" } (as_table(&steps, width)) }
    }
}

/// Clients' bytes upwards, servers' downwards, on one scale.
fn throughput(up: &[u64], down: &[u64], width: Duration, shades: &Markup) -> Markup {
    let highest = |values: &[u64]| values.iter().copied().max().unwrap_or_default();
    let peak = |values: &[u64]| rate(highest(values), width);
    // Each direction has as much room as it takes, on one scale.
    let most = highest(up) + highest(down);
    let base = (highest(up) as f64 / most.max(1) as f64 * HEIGHT).round();
    html! {
        figure {
            figcaption {
                span { svg.swatch viewBox="0 0 8 8" aria-hidden="true" { rect.up width="8" height="8" {} }
                    " to server, peak " b { (peak(up)) } }
                span { svg.swatch viewBox="0 0 8 8" aria-hidden="true" { rect.down width="8" height="8" {} }
                    " to client, peak " b { (peak(down)) } }
            }
            svg.tall viewBox=(format!("0 0 {} {HEIGHT}", up.len() * 10)) preserveAspectRatio="none" role="img"
                aria-label="Bytes a second over time, by direction" {
                (shades)
                path.up d=(path(up, most, base, -HEIGHT)) {}
                path.down d=(path(down, most, base, HEIGHT)) {}
                rect.zero y=(base - 0.5) width=(up.len() * 10) height="1" {}
            }
        }
    }
}

fn bars(name: &str, class: &str, values: &[u64], shades: &Markup) -> Markup {
    let most = values.iter().copied().max().unwrap_or_default();
    let sum: u64 = values.iter().sum();
    html! {
        figure {
            figcaption {
                span { (name) ", " b { (count(sum)) }
                    @if most > 0 { ", at most " (count(most)) " a step" } }
            }
            @if sum > 0 {
                svg viewBox=(format!("0 0 {} {HEIGHT}", values.len() * 10)) preserveAspectRatio="none" role="img"
                    aria-label=(format!("{name} over time")) {
                    (shades)
                    path.(class) d=(path(values, most, HEIGHT, -HEIGHT)) {}
                }
            }
        }
    }
}

/// One bar for each value that is not 0, from the base on. The highest there may be is as high as
/// `scale`, which is negative for bars that go upwards.
fn path(values: &[u64], most: u64, base: f64, scale: f64) -> String {
    let mut path = String::new();
    for (at, value) in values.iter().enumerate().filter(|(_, value)| **value > 0) {
        // What is there is seen.
        let height = (*value as f64 / most as f64).max(0.01) * scale;
        // Writing to a string cannot fail.
        let _ = write!(path, "M{} {base}v{height:.1}h8v{:.1}z", at * 10 + 1, -height);
    }
    path
}

fn shades(gaps: &[Gap], first: Timestamp, end: Timestamp, steps: usize) -> Markup {
    let whole = end.since(first).as_secs_f64();
    let at = |time: Timestamp| time.since(first).as_secs_f64() / whole * steps as f64 * 10.0;
    html! {
        @for gap in gaps {
            rect.gap x=(format!("{:.1}", at(gap.start))) height=(HEIGHT)
                width=(format!("{:.1}", (at(gap.end.min(end)) - at(gap.start)).max(1.0))) {
                title { "gap of " (gap.tap) ", " (words::span(gap.end.since(gap.start))) }
            }
        }
    }
}

fn rate(bytes: u64, width: Duration) -> String {
    let a_second = u128::from(bytes) * 1_000_000_000 / width.as_nanos().max(1);
    format!("{}/s", size(u64::try_from(a_second).unwrap_or(u64::MAX)))
}

fn as_table(steps: &[(Timestamp, Step)], width: Duration) -> Markup {
    let row = |(time, step): &(Timestamp, Step)| {
        let rate = |bytes| Cell::keyed(bytes, html! { (rate(bytes, width)) });
        vec![
            Cell::time(*time),
            rate(step.to_server),
            rate(step.to_client),
            Cell::some(step.flows),
            Cell::some(step.failed),
            Cell::some(step.invalid),
        ]
    };
    Table {
        id: "steps",
        name: "Timeline",
        columns: vec![
            text("from (UTC)").ascending(),
            number("to server"),
            number("to client"),
            number("new flows"),
            number("failed handshakes"),
            number("INVALID events"),
        ],
        rows: steps.iter().map(row).collect(),
        foot: Vec::new(),
    }
    .markup()
}
