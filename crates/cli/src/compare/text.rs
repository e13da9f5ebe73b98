//! The findings, for people: the answer first, then the counts, then what they consist of.

use std::fmt::Write;

use vtap_compare::{Alteration, Delay, Loss, Reordered, Resegmented, SideReport};
use vtap_export::report::{count, list, size};
use vtap_packet::Timestamp;

use super::Findings;

/// No mirror takes a second, in nanoseconds.
const APART: i64 = 1_000_000_000;

impl Findings<'_> {
    pub(super) fn text(&self) -> String {
        let mut text = format!("{}\n\n", self.answer());
        for (name, value) in self.counts() {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{name:<14} {value}");
        }
        // Where nothing is mirrored there is no loss to look into.
        if self.report.mirrored > 0 {
            self.write_delay(&mut text);
            self.write_lost(&mut text);
            self.write_altered(&mut text);
        }
        text
    }

    /// What somebody wants to know who reads one sentence.
    fn answer(&self) -> String {
        let report = &self.report;
        let compared = report.mirrored + report.loss.packets;
        if report.source.packets == 0 {
            return "SOURCE has no packets that could be compared.".to_owned();
        }
        if report.tap.packets == 0 {
            return format!(
                "TAP has no mirrored packets; {} are not mirrored. If they are frames that were \
                 decapsulated\nbefore, add --plain; if the TAP sends to another UDP port than \
                 4789, add --port.",
                count(self.tap.report.not_mirrored)
            );
        }
        let doubt = if self.overlap() {
            ""
        } else {
            "\nBy their clocks the captures are of different times: are they of the same session?"
        };
        if report.mirrored == 0 {
            let doubt = match (doubt, self.tap.unread(&report.tap)) {
                (_, unread) if unread > 0 => {
                    "\nIts frames could not be read: see what was not compared."
                }
                ("", _) => " Is this the tap of that NIC?",
                (doubt, _) => doubt,
            };
            return format!("None of the source's packets is at the tap.{doubt}");
        }
        if report.loss.packets == 0 {
            let compared = count(compared);
            return format!(
                "Nothing is lost: the tap has all {compared} packets that both captures cover."
            );
        }
        let unread = match self.tap.unread(&report.tap).min(report.loss.packets) {
            0 => String::new(),
            n => {
                format!("\nUp to {} of them may be there: frames that could not be read.", count(n))
            }
        };
        format!(
            "The mirror lost {} of {} packets ({}).{unread}{doubt}",
            count(report.loss.packets),
            count(compared),
            share(report.loss.packets, compared)
        )
    }

    fn overlap(&self) -> bool {
        let (source, tap) = (self.report.source.span, self.report.tap.span);
        source.zip(tap).is_some_and(|(source, tap)| source.0 <= tap.1 && tap.0 <= source.1)
    }

    /// Rows of what there is; what there is none of is left out, but for losses.
    fn counts(&self) -> Vec<(&'static str, String)> {
        let report = &self.report;
        let loss = &report.loss;
        let mut rows = vec![
            ("source", capture(packets(report.source.packets), &report.source)),
            ("tap", capture(frames(report.tap.packets), &report.tap)),
            ("mirrored", format!("{}{}", count(report.mirrored), cut(report.resegmented))),
            ("lost", lost(loss)),
        ];
        for (of, capture, compared) in
            [("SOURCE", self.source, &report.source), ("TAP", self.tap, &report.tap)]
        {
            let skipped = list(capture.skipped(compared));
            if !skipped.is_empty() {
                rows.push(("not compared", format!("of {of}: {skipped}")));
            }
        }
        if loss.before + loss.after > 0 {
            let parts = [
                (loss.before, "before the tap's capture began"),
                (loss.after, "after it had ended"),
            ];
            rows.push(("not covered", parts_of(&parts)));
        }
        if report.duplicated > 0 {
            rows.push(("duplicated", format!("{} came again", frames(report.duplicated))));
        }
        if report.extra > 0 {
            let outside = match report.extra_outside {
                0 => String::new(),
                n => format!(", {} of them from when it did not capture", count(n)),
            };
            let extra = frames(report.extra);
            rows.push(("extra", format!("{extra} that the source has not{outside}")));
        }
        if report.reordered.packets > 0 {
            rows.push(("reordered", reordered(&report.reordered)));
        }
        let altered = &report.altered;
        if altered.packets > 0 {
            let kinds = Alteration::ALL.map(|kind| (kind.name(), altered.count(kind)));
            let kinds = list(kinds.into_iter().filter(|(_, count)| *count > 0));
            rows.push(("altered", format!("{}: {kinds}", count(altered.packets))));
        }
        rows
    }

    fn write_delay(&self, text: &mut String) {
        let Some(delay) = self.report.delay else { return };
        let Delay { min, median, p90, p99, max, mean, .. } = delay;
        let mut row = |name: &str, cells: [String; 6]| {
            let _ = write!(text, "{name:<14}");
            for cell in cells {
                let _ = write!(text, " {cell:>10}");
            }
            text.push('\n');
        };
        row(
            "\nDELAY         ",
            ["LEAST", "MEDIAN", "90 %", "99 %", "MOST", "MEAN"].map(Into::into),
        );
        row("by the clocks", [min, median, p90, p99, max, mean].map(span));
        row("above least", [min, median, p90, p99, max, mean].map(|nanos| span(nanos - min)));
        if min < 0 || median > APART {
            text.push_str("The clocks do not agree: only the second row means something.\n");
        }
    }

    fn write_lost(&self, text: &mut String) {
        let loss = &self.report.loss;
        if loss.packets == 0 || self.listed == 0 {
            return;
        }
        let _ = writeln!(
            text,
            "\n{:>7} {:>10}  {:<15}  {:<15}  LOST IN",
            "PACKETS", "BYTES", "FIRST (UTC)", "LAST"
        );
        for half in loss.halves.iter().take(self.listed) {
            let _ = writeln!(
                text,
                "{:>7} {:>10}  {}  {}  {}",
                count(half.packets),
                count(half.bytes),
                of_day(half.first),
                of_day(half.last),
                half.half
            );
        }
        more(text, loss.halves.len() as u64, self.listed);

        let _ = writeln!(
            text,
            "\n{:>7} {:>10}  {:<15}  {:<15}  LOST PACKET",
            "NUMBER", "BYTES", "TIME (UTC)", "FLAGS"
        );
        for packet in &loss.listed {
            let flags = packet.flags.map_or_else(String::new, |flags| flags.to_string());
            let missing = packet.missing.map_or_else(String::new, |bytes| {
                format!(" ({} bytes of it)", count(bytes.into()))
            });
            let _ = writeln!(
                text,
                "{:>7} {:>10}  {}  {flags:<15}  {}{missing}",
                packet.number,
                count(packet.wire_len.into()),
                of_day(packet.time),
                packet.half
            );
        }
        more(text, loss.packets, self.listed);
    }

    fn write_altered(&self, text: &mut String) {
        let altered = &self.report.altered;
        if altered.packets == 0 {
            return;
        }
        let _ = writeln!(text, "\n{:<20} {:>9}  FOR EXAMPLE", "ALTERED", "PACKETS");
        for kind in Alteration::ALL.into_iter().filter(|kind| altered.count(*kind) > 0) {
            let mut cells = (kind.name(), count(altered.count(kind)));
            for example in altered.examples(kind) {
                let _ = writeln!(
                    text,
                    "{:<20} {:>9}  {} -> {} (packet {})",
                    cells.0, cells.1, example.before, example.after, example.packet
                );
                cells = ("", String::new());
            }
        }
        if altered.offloaded > 0 {
            let _ = writeln!(
                text,
                "{} checksums only look altered: the source captures before its NIC fills them in.",
                count(altered.offloaded)
            );
        }
    }
}

fn capture(mut text: String, side: &SideReport) -> String {
    if let Some((first, last)) = side.span {
        let took = i64::try_from(last.since(first).as_nanos()).unwrap_or(i64::MAX);
        let _ = write!(text, " in {}, from {first}", span(took));
    }
    text
}

fn cut(resegmented: Resegmented) -> String {
    if resegmented.packets == 0 {
        return String::new();
    }
    format!(
        ", {} of them cut in another way (as {})",
        count(resegmented.packets),
        frames(resegmented.frames)
    )
}

fn lost(loss: &Loss) -> String {
    let Some(longest) = loss.longest else { return "0".to_owned() };
    let nanos = i64::try_from(longest.last.since(longest.first).as_nanos()).unwrap_or(i64::MAX);
    let partly = match loss.partly {
        0 => String::new(),
        n => format!(", {} only in part", count(n)),
    };
    let runs = match (loss.bursts, longest.packets) {
        (_, 1) => "never two in a row".to_owned(),
        (1, n) => {
            format!("all {} in a row, in {} from packet {}", count(n), span(nanos), longest.number)
        }
        (bursts, n) => format!(
            "in {} bursts; the longest: {} packets, in {} from packet {}",
            count(bursts),
            count(n),
            span(nanos),
            longest.number
        ),
    };
    let runs = if loss.packets == 1 { format!("packet {}", longest.number) } else { runs };
    format!("{}, {}{partly}: {runs}", count(loss.packets), size(loss.bytes))
}

fn reordered(reordered: &Reordered) -> String {
    let within = match reordered.within_half {
        0 => "none".to_owned(),
        n => count(n),
    };
    format!(
        "{} came behind a later one, {within} within a flow; by {} at most (packet {})",
        count(reordered.packets),
        packets(reordered.largest_extent),
        reordered.furthest.unwrap_or_default(),
    )
}

fn packets(n: u64) -> String {
    format!("{} packet{}", count(n), if n == 1 { "" } else { "s" })
}

fn frames(n: u64) -> String {
    format!("{} frame{}", count(n), if n == 1 { "" } else { "s" })
}

/// Those of the parts that are not 0.
fn parts_of(parts: &[(u64, &str)]) -> String {
    let parts = parts.iter().filter(|(n, _)| *n > 0);
    let parts: Vec<_> = parts.map(|(n, what)| format!("{} {what}", count(*n))).collect();
    parts.join(", ")
}

fn more(text: &mut String, all: u64, listed: usize) {
    let left = all.saturating_sub(listed as u64);
    if left > 0 {
        let _ = writeln!(text, "{:>7} more; --list N lists more of them", count(left));
    }
}

/// Of a whole, with as many digits as show that it is not all, or not nothing.
fn share(part: u64, whole: u64) -> String {
    let percent = part as f64 * 100.0 / whole as f64;
    let digits = match percent {
        0.01..=99.99 => 2,
        _ => 6,
    };
    let text = format!("{percent:.digits$}");
    format!("{} %", text.trim_end_matches('0').trim_end_matches('.'))
}

/// Nanoseconds in the unit that leaves at most three digits before the point.
fn span(nanos: i64) -> String {
    let value = nanos as f64;
    let (unit, value) = match value.abs() {
        below if below < 1e3 => return format!("{nanos} ns"),
        below if below < 1e6 => ("µs", value / 1e3),
        below if below < 1e9 => ("ms", value / 1e6),
        _ => ("s", value / 1e9),
    };
    format!("{value:.3} {unit}")
}

/// Hours to microseconds.
fn of_day(time: Timestamp) -> String {
    let text = time.to_string();
    text.get(11..26).unwrap_or(&text).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_have_the_unit_that_fits() {
        assert_eq!(span(0), "0 ns");
        assert_eq!(span(-1_500), "-1.500 µs");
        assert_eq!(span(12_345_678), "12.346 ms");
        assert_eq!(span(3_600_000_000_000), "3600.000 s");
    }

    #[test]
    fn shares_are_never_rounded_to_all_or_nothing() {
        assert_eq!(share(1, 4), "25 %");
        assert_eq!(share(1, 3), "33.33 %");
        assert_eq!(share(1, 1_000_000), "0.0001 %");
        assert_eq!(share(999_999, 1_000_000), "99.9999 %");
        assert_eq!(share(7, 7), "100 %");
    }
}
