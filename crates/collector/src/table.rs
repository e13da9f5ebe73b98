//! The counters of a collector for people: a table, and a line for the log.

mod words;

use std::fmt::{self, Display, Formatter};
use std::time::Duration;

use vtap_export::report::{self, count, size};

use crate::Accounting;
use crate::layers::Layer;
use words::{clock, running, share, wrapped};

/// Where values begin.
const INDENT: usize = 18;

/// All counters, reconciled: what was lost first, then the layers in the order in which a packet
/// passes them, what the belt made of it, and whether everything is accounted for.
#[derive(Clone, Copy, Debug)]
pub struct Table<'a> {
    now: &'a Accounting,
    before: Option<&'a Accounting>,
}

impl<'a> Table<'a> {
    /// Of these counters.
    pub const fn new(now: &'a Accounting) -> Self {
        Self { now, before: None }
    }

    /// With what has changed since an earlier table.
    #[must_use]
    pub const fn since(self, before: &'a Accounting) -> Self {
        Self { before: Some(before), ..self }
    }

    /// The most important numbers in one line, for the log.
    pub fn line(&self) -> String {
        let Rates { packets, megabits } = Rates::between(self.before, self.now);
        let dropped = |all: &Accounting| {
            let cards = all.nics.iter().map(|(_, nic)| nic.dropped + nic.missed).sum();
            let logs: u64 = all.told.logs().iter().map(|(_, log)| log.lost).sum();
            [
                ("cards", cards),
                ("softnet", all.softnet.dropped),
                ("source", all.source.dropped),
                ("rows", all.rows.overflowed + all.rows.lost),
                ("flow logs", all.told.overflowed + logs),
                ("uploads", all.uploads.vanished),
            ]
        };
        let now = dropped(self.now);
        let before = self.before.map_or(now, dropped);
        let Accounting { told, uploads, .. } = self.now;
        let is_on = |name: &str| match name {
            "flow logs" => told.made > 0,
            "uploads" => uploads.uploaded + uploads.failed + uploads.vanished > 0,
            _ => true,
        };
        let counters = now.iter().zip(before).filter(|((name, _), _)| is_on(name));
        let parts = counters.map(|((name, now), (_, before))| {
            let new = match now.saturating_sub(before) {
                0 => String::new(),
                new => format!(" (+{})", count(new)),
            };
            format!("{name} {}{new}", count(*now))
        });
        let pending = match self.now.uploads.pending_files {
            0 => String::new(),
            files => {
                let oldest = running(self.now.oldest_pending());
                format!("; not uploaded: {} files, the oldest for {oldest}", count(files))
            }
        };
        format!(
            "{packets} packets/s, {megabits} Mbit/s, {} flows; dropped since start: {}{pending}",
            count(self.now.flows),
            parts.collect::<Vec<_>>().join(", ")
        )
    }

    /// What was lost, where, and what to do; or that nothing was.
    fn verdict(&self) -> Vec<String> {
        let mut lines: Vec<_> = self.broken().collect();
        let dropped: Vec<_> =
            self.now.layers().into_iter().filter(|layer| layer.dropped > 0).collect();
        let (perhaps, certain): (Vec<_>, Vec<_>) =
            dropped.iter().partition(|layer| layer.all_traffic);
        lines.extend(certain.iter().map(|layer| format!("LOST {}", self.loss(layer))));
        if lines.is_empty() {
            lines.push("Nothing that reached the source was lost.".into());
        }
        lines.extend(perhaps.iter().map(|layer| format!("PERHAPS LOST {}", self.loss(layer))));
        lines.extend(self.silence());
        lines
    }

    /// How much, and in a second line what mends it.
    fn loss(&self, layer: &Layer) -> String {
        let Layer { name, unit, passed, dropped, all_traffic, remedy, .. } = layer;
        let traffic = if *all_traffic { " of all traffic" } else { "" };
        let new = self.before.map(|before| {
            let known = before.layers().into_iter().find(|layer| layer.name == *name);
            let new = dropped.saturating_sub(known.map_or(0, |layer| layer.dropped));
            let new = if new == 0 { "none".into() } else { count(new) };
            format!(", {new} since {}", clock(before.at))
        });
        let (dropped, share) = (count(*dropped), share(*dropped, passed + dropped));
        let new = new.unwrap_or_default();
        let lost = format!("{name}: {dropped} {unit}{traffic} ({share}){new}");
        format!("{lost}\n  -> {}", wrapped(remedy, 5, 5))
    }

    /// What to do where nothing comes.
    fn silence(&self) -> Option<String> {
        let Accounting { source, report, .. } = self.now;
        if source.received == 0 {
            let remedy = "does the mirror send here, to a port of source.ports? \
                          tcpdump -ni any udp shows what comes";
            return Some(format!("NOTHING CAME\n  -> {}", wrapped(remedy, 5, 5)));
        }
        if let Some(before) = self.before
            && before.source.received == source.received
        {
            return Some(format!("NOTHING CAME since {}", clock(before.at)));
        }
        let none = report.packets > 0 && report.decapsulated() == 0 && report.plain == 0;
        none.then(|| {
            "NOTHING OF IT WAS MIRRORED\n  -> see skipped below, and source.ports".to_owned()
        })
    }

    /// Sides of a law that do not match: more came out of a layer than went in.
    fn broken(&self) -> impl Iterator<Item = String> {
        let Accounting { source, report, rows, told, .. } = self.now;
        let mut ours = vec![
            ("received >= read + dropped", source.received, source.dropped + report.packets),
            (
                "rows made >= written + dropped + lost + omitted",
                rows.made,
                rows.written + rows.overflowed + rows.lost + rows.omitted,
            ),
            (
                "told of flows >= dropped + answers + records",
                told.made,
                told.overflowed + told.taken.answers + told.taken.records,
            ),
        ];
        let logs = told.logs().into_iter();
        ours.extend(logs.map(|(name, log)| (name, log.made, log.written + log.lost)));
        let laws = ours.into_iter().chain(report.laws());
        let broken = laws.filter(|(_, whole, parts)| parts > whole);
        broken.map(|(law, whole, parts)| {
            let law = format!("{law}: {} and {}", count(whole), count(parts));
            let bug = "BUG: the numbers contradict each other; please report it";
            format!("{bug}\n  -> {}", wrapped(&law, 5, 5))
        })
    }

    fn write_layers(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let mut row = |name: &str, passed: &str, dropped: &str, counted_by: &str| {
            let row = format!("{name:<INDENT$}{passed:>15}{dropped:>12}  {counted_by}");
            writeln!(f, "{}", wrapped(&row, 0, INDENT + 29))
        };
        row("layer", "passed", "dropped", "counted by")?;
        row("sent by mirror", "unknown", "unknown", "nobody here")?;
        for layer in self.now.layers() {
            let Layer { name, passed, dropped, counted_by, unit, .. } = layer;
            // The belt has its place between what is counted in packets and in rows.
            if name == "row queue" {
                row("belt", &count(self.now.report.packets), "0", "vtap, in detail below")?;
            }
            let unit = if unit == "packets" { String::new() } else { format!(" ({unit})") };
            row(&name, &count(passed), &count(dropped), &format!("{counted_by}{unit}"))?;
        }
        Ok(())
    }

    fn write_rates(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let all = Rates::between(None, self.now);
        let new = self.before.map(|before| (before, Rates::between(Some(before), self.now)));
        let head = new.as_ref().map(|(before, _)| format!("since {}", clock(before.at)));
        let column = |value: Option<&String>| format!("{:>16}", value.map_or("", String::as_str));
        let rows = [
            ("rate", "since start".to_owned(), head.as_ref()),
            ("packets/s", all.packets, new.as_ref().map(|(_, new)| &new.packets)),
            ("Mbit/s", all.megabits, new.as_ref().map(|(_, new)| &new.megabits)),
        ];
        for (name, all, new) in rows {
            let row = format!("{name:<INDENT$}{all:>15}{}", column(new));
            writeln!(f, "{}", row.trim_end())?;
        }
        Ok(())
    }

    fn write_belt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Accounting { report, flows, process, .. } = self.now;
        let mut line = |name: &str, value: &str| {
            writeln!(f, "{}", wrapped(&format!("{name:<INDENT$}{value}"), 0, INDENT))
        };
        line("read", &format!("{} packets, {}", count(report.packets), size(report.bytes)))?;
        for (name, value) in report::lines(report, Duration::ZERO) {
            line(name, &value)?;
        }
        line("flow table", &format!("{} now", count(*flows)))?;
        let layers = self.now.layers();
        let noted = layers.iter().filter(|layer| !layer.note.is_empty());
        let notes: Vec<_> = noted.map(|layer| format!("{} {}", layer.name, layer.note)).collect();
        if !notes.is_empty() {
            line("besides", &notes.join(", "))?;
        }
        let ran = self.now.at.since(self.now.since).as_secs_f64();
        let busy = if ran > 0.0 { process.cpu.as_secs_f64() / ran } else { 0.0 };
        let memory = size(process.resident);
        line("this process", &format!("{memory} of memory, {busy:.2} processors on average"))
    }

    fn write_account(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Accounting { source, report, rows, told, .. } = self.now;
        let skipped: u64 = report.skipped().map(|(_, count)| count).sum();
        let absorbed = report.decap.fragments.absorbed;
        let mut sums = vec![
            (
                "received",
                source.received,
                vec![
                    ("read", report.packets),
                    ("dropped", source.dropped),
                    ("unread", self.now.unread()),
                ],
            ),
            (
                "read",
                report.packets,
                vec![
                    ("decapsulated", report.decapsulated()),
                    ("plain", report.plain),
                    ("skipped", skipped),
                    ("absorbed", absorbed),
                ],
            ),
            (
                "rows",
                rows.made,
                vec![
                    ("written", rows.written),
                    ("dropped", rows.overflowed),
                    ("lost", rows.lost),
                    ("omitted", rows.omitted),
                    ("waiting", rows.waiting()),
                ],
            ),
        ];
        if told.made > 0 {
            let parts = vec![
                ("records", told.taken.records),
                ("names", told.taken.answers),
                ("dropped", told.overflowed),
                ("waiting", told.waiting()),
            ];
            sums.push(("told of flows", told.made, parts));
        }
        for (name, log) in told.logs().into_iter().filter(|(_, log)| log.made > 0) {
            let parts =
                vec![("written", log.written), ("lost", log.lost), ("waiting", log.waiting())];
            let unit = match name {
                "flows" => "rows of flows",
                "vnet-flow-log" => "tuples",
                _ => "records to sum up",
            };
            sums.push((unit, log.made, parts));
        }
        for (name, whole, parts) in sums {
            let parts: Vec<_> =
                parts.into_iter().map(|(name, n)| format!("{} {name}", count(n))).collect();
            let sum = format!("accounted: {} {name} = {}", count(whole), parts.join(" + "));
            writeln!(f, "{}", wrapped(&sum, 0, 11))?;
        }
        let sound = self.broken().next().is_none();
        let end = if sound { "Every packet is accounted for." } else { "NOT ACCOUNTED FOR." };
        writeln!(f, "{end}")
    }
}

impl Display for Table<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for line in self.verdict() {
            writeln!(f, "{line}")?;
        }
        let Accounting { since, at, .. } = self.now;
        let (day, ran) = (at.to_string(), running(at.since(*since)));
        let day = day.get(..10).unwrap_or_default();
        writeln!(f, "\nvtap collect, {day} {} UTC, running for {ran}\n", clock(*at))?;
        self.write_layers(f)?;
        writeln!(f)?;
        self.write_rates(f)?;
        writeln!(f)?;
        self.write_belt(f)?;
        writeln!(f)?;
        self.write_account(f)
    }
}

/// Rates of what was read.
struct Rates {
    packets: String,
    megabits: String,
}

impl Rates {
    /// Since `before`, or since the start.
    fn between(before: Option<&Accounting>, now: &Accounting) -> Self {
        let secs = now.at.since(before.map_or(now.since, |before| before.at)).as_secs_f64();
        let rate = |counter: fn(&Accounting) -> u64| {
            let new = counter(now).saturating_sub(before.map_or(0, counter));
            if secs > 0.0 { new as f64 / secs } else { 0.0 }
        };
        #[expect(clippy::cast_possible_truncation, reason = "a rate is far below 2^64")]
        let packets = count(rate(|all| all.report.packets).round() as u64);
        let megabits = rate(|all| all.report.bytes) * 8.0 / 1e6;
        Self { packets, megabits: format!("{megabits:.1}") }
    }
}
