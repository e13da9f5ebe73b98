//! The figures, for people and as JSON. `docs/bench.md` describes both.

use std::fmt::Write;
use std::time::Duration;

use serde_json::{Map, Value, json};
use vtap_export::report::{count, invalid, list, size};
use vtap_flow::{Checksum, EventFlag, Profile};
use vtap_pipeline::Report;
use vtap_synth::Config;

use super::capture::{Capture, Synthetic};
use super::machine::Machine;
use super::stage::{Setup, Stage, Threads};
use crate::summary::unmirrored;

/// All that is told.
pub(super) struct Results<'a> {
    pub(super) machine: &'a Machine,
    pub(super) capture: &'a Capture,
    pub(super) report: &'a Report,
    pub(super) setup: &'a Setup<'a>,
    pub(super) runs: u32,
    pub(super) figures: Vec<Figure>,
    pub(super) writing: Writing,
}

/// What a stage took.
pub(super) struct Figure {
    stage: Stage,
    /// Nanoseconds a packet: the median, the fastest and the slowest run.
    median: f64,
    least: f64,
    most: f64,
}

/// What the writing of events took.
pub(super) struct Writing {
    /// Events written in a run.
    events: usize,
    /// Nanoseconds an event, the median; `None` without events.
    median: Option<f64>,
}

impl Figure {
    pub(super) fn new(stage: Stage, took: &[Duration], packets: u64) -> Self {
        let sorted = nanos_each(took, packets as f64);
        let (least, most) = (sorted.first(), sorted.last());
        Self {
            stage,
            median: median(&sorted),
            least: least.copied().unwrap_or_default(),
            most: most.copied().unwrap_or_default(),
        }
    }

    const fn mpps(&self) -> f64 {
        1000.0 / self.median
    }

    /// As in a command line: with the option that tells it from its likes.
    fn label(&self) -> String {
        let name = self.stage.name();
        match self.stage {
            Stage::Walk | Stage::Decap => name.to_owned(),
            Stage::Track(checksum) => format!("{name} --checksum {}", policy(checksum)),
            Stage::Replay(format, Threads::One) => format!("{name} --format {format}"),
            Stage::Replay(format, Threads::Two) => format!("{name} --format {format}, 2 threads"),
        }
    }
}

impl Writing {
    pub(super) fn new(took: &[Duration], events: usize) -> Self {
        let median = (events > 0).then(|| median(&nanos_each(took, events as f64)));
        Self { events, median }
    }
}

impl Results<'_> {
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        for (name, value) in self.facts() {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{name:<14} {value}");
        }
        let _ = writeln!(
            text,
            "\n{:<32} {:>9} {:>9} {:>9} {:>8}",
            "STAGE", "NS/PACKET", "MPPS", "GBIT/S", "× WALK"
        );
        for figure in &self.figures {
            let (label, median) = (figure.label(), figure.median);
            let (mpps, gbit, walks) =
                (figure.mpps(), self.gbit_per_second(figure), self.times_walk(figure));
            let _ =
                writeln!(text, "{label:<32} {median:>9.1} {mpps:>9.2} {gbit:>9.1} {walks:>8.1}");
        }
        let _ = match self.writing.median {
            Some(nanos) => writeln!(text, "{:<32} {nanos:>9.1} each, written as JSON", "events"),
            None => writeln!(text, "{:<32} none to write", "events"),
        };
        text.push_str("\nEach stage does the work of those above it as well. ");
        let _ = match self.runs {
            1 => writeln!(text, "One run, after one to warm up."),
            runs => writeln!(
                text,
                "Medians of {runs} runs; the slowest run of\na stage was {:.0} % above its median.",
                self.spread() * 100.0
            ),
        };
        text.push_str(&unmirrored(self.report));
        text
    }

    fn facts(&self) -> Vec<(&'static str, String)> {
        let Machine { cpu, cores, kernel, time } = self.machine;
        let Report { packets, bytes, .. } = *self.report;
        let flow = self.report.flow.unwrap_or_default();
        let mut facts = vec![
            ("vtap", format!("{}, {time}", env!("CARGO_PKG_VERSION"))),
            ("machine", format!("{cpu}, {cores} cores, Linux {kernel}")),
            ("capture", self.origin()),
            (
                "packets",
                format!(
                    "{}, {}, {:.0} bytes in the mean",
                    count(packets),
                    size(bytes),
                    self.mean_len()
                ),
            ),
            ("decapsulated", count(self.report.decapsulated())),
        ];
        let skipped = list(self.report.skipped());
        if !skipped.is_empty() {
            facts.push(("skipped", skipped));
        }
        let at_a_time = self.capture.synthetic().map_or_else(String::new, |made| {
            format!(", {} at a time", count(made.config.flows.into()))
        });
        let events = EventFlag::ALL.map(|flag| (flag.name(), flow.events(flag)));
        let events = list(events.into_iter().filter(|(_, count)| *count > 0));
        facts.extend([
            ("flows", format!("{}{at_a_time}", count(flow.flows))),
            ("events", if events.is_empty() { "none".to_owned() } else { events }),
        ]);
        let invalid = list(invalid(self.report));
        if !invalid.is_empty() {
            facts.push(("INVALID", invalid));
        }
        let (profile, checksum) = (profile(self.setup.profile()), policy(self.setup.checksum()));
        facts.push(("tracking", format!("--profile {profile} --checksum {checksum}")));
        facts
    }

    /// Where the capture comes from, in the options that make it again.
    fn origin(&self) -> String {
        let paths: Vec<_> =
            self.capture.paths().iter().map(|path| path.display().to_string()).collect();
        let paths = paths.join(" ");
        let Some(Synthetic { config, written }) = self.capture.synthetic() else { return paths };
        let Config { size, packets, flows, rate, connections_per_second, loss, seed } = config;
        let mut text = format!(
            "synthetic, --size {} --packets {packets} --flows {flows} --seed {seed}",
            size.name()
        );
        if rate != Config::default().rate {
            let _ = write!(text, " --rate {rate}");
        }
        if let Some(connections) = connections_per_second {
            let _ = write!(text, " --connections-per-second {connections}");
        }
        if loss > 0.0 {
            // Without the digits that a division by 100 leaves behind.
            let percent = (loss * 1e8).round() / 1e6;
            let _ = write!(text, " --loss {percent}, {} lost", count(written.lost));
        }
        let place = if paths.is_empty() { "in memory" } else { &paths };
        let _ = write!(text, ", {place}");
        text
    }

    pub(super) fn json(&self) -> Value {
        let Machine { cpu, cores, kernel, time } = self.machine;
        let Report { packets, bytes, .. } = *self.report;
        let flow = self.report.flow.unwrap_or_default();
        let object = |pairs: &mut dyn Iterator<Item = (&'static str, u64)>| {
            Value::Object(pairs.map(|(name, count)| (name.to_owned(), count.into())).collect())
        };
        let synthetic = self.capture.synthetic().map(|Synthetic { config, written }| {
            json!({
                "size": config.size.name(),
                "flows": config.flows,
                "rate": config.rate,
                "packets_per_connection": config.packets_per_connection(),
                "loss": config.loss,
                "seed": config.seed,
                "connections": written.connections,
                "completed": written.completed,
                "lost": written.lost,
            })
        });
        json!({
            "vtap": env!("CARGO_PKG_VERSION"),
            "time": time,
            "machine": { "cpu": cpu, "cores": cores, "kernel": kernel },
            "capture": {
                "files": self.capture.paths().iter().map(|path| path.display().to_string())
                    .collect::<Vec<_>>(),
                "synthetic": synthetic,
                "packets": packets,
                "bytes": bytes,
                "mean_bytes": self.mean_len(),
                "decapsulated": self.report.decapsulated(),
                "plain": self.report.plain,
                "skipped": object(&mut self.report.skipped()),
                "flows": flow.flows,
                "midstream": flow.midstream,
                "events": object(&mut EventFlag::ALL.iter()
                    .map(|flag| (flag.name(), flow.events(*flag)))),
                "invalid": object(&mut invalid(self.report)),
            },
            "profile": profile(self.setup.profile()),
            "checksum": policy(self.setup.checksum()),
            "runs": self.runs,
            "stages": self.figures.iter().map(|figure| self.stage(figure)).collect::<Vec<_>>(),
            "events": { "written": self.writing.events, "ns_per_event": self.writing.median },
        })
    }

    fn stage(&self, figure: &Figure) -> Value {
        let mut stage = Map::new();
        stage.insert("stage".to_owned(), figure.stage.name().into());
        match figure.stage {
            Stage::Walk | Stage::Decap => None,
            Stage::Track(checksum) => stage.insert("checksum".to_owned(), policy(checksum).into()),
            Stage::Replay(format, threads) => {
                stage.insert("threads".to_owned(), (threads as u8 + 1).into());
                stage.insert("format".to_owned(), format.name().into())
            }
        };
        for (name, value) in [
            ("ns_per_packet", figure.median),
            ("ns_per_packet_min", figure.least),
            ("ns_per_packet_max", figure.most),
            ("mpps", figure.mpps()),
            ("gbit_per_second", self.gbit_per_second(figure)),
            ("times_walk", self.times_walk(figure)),
        ] {
            stage.insert(name.to_owned(), value.into());
        }
        Value::Object(stage)
    }

    /// Of captured bytes, envelopes included.
    fn gbit_per_second(&self, figure: &Figure) -> f64 {
        self.mean_len() * 8.0 / figure.median
    }

    fn times_walk(&self, figure: &Figure) -> f64 {
        self.figures.first().map_or(f64::NAN, |walk| figure.median / walk.median)
    }

    /// How far the slowest run of any stage lies above its median.
    fn spread(&self) -> f64 {
        let spreads = self.figures.iter().map(|figure| figure.most / figure.median - 1.0);
        spreads.fold(0.0, f64::max)
    }

    fn mean_len(&self) -> f64 {
        self.report.bytes as f64 / self.report.packets as f64
    }
}

const fn policy(checksum: Checksum) -> &'static str {
    match checksum {
        Checksum::Verify => "verify",
        Checksum::OffloadAware => "offload-aware",
        Checksum::Off => "off",
    }
}

const fn profile(profile: Profile) -> &'static str {
    match profile {
        Profile::Azure => "azure",
        Profile::Linux => "linux",
    }
}

/// Nanoseconds for each of so many, run by run, from the fastest.
fn nanos_each(took: &[Duration], among: f64) -> Vec<f64> {
    let mut each: Vec<_> = took.iter().map(|took| took.as_secs_f64() * 1e9 / among).collect();
    each.sort_by(f64::total_cmp);
    each
}

/// The middle of sorted values; of an even number, the mean of the two in the middle.
fn median(sorted: &[f64]) -> f64 {
    let middle = |at: usize| sorted.get(at).copied().unwrap_or(f64::NAN);
    let (low, high) = (sorted.len().saturating_sub(1) / 2, sorted.len() / 2);
    f64::midpoint(middle(low), middle(high))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median(&[3.0]), 3.0);
        assert_eq!(median(&[1.0, 2.0, 9.0]), 2.0);
        assert_eq!(median(&[1.0, 2.0, 4.0, 9.0]), 3.0);
    }

    #[test]
    fn figures_are_for_one_packet() {
        let took = [30, 10, 20].map(Duration::from_micros);
        let figure = Figure::new(Stage::Walk, &took, 1000);
        assert_eq!((figure.least, figure.median, figure.most), (10.0, 20.0, 30.0));
        assert_eq!(figure.mpps(), 50.0);
        assert_eq!(Writing::new(&took, 0).median, None);
    }
}
