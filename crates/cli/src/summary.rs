//! The counters of a run, for people and as JSON.

use std::fmt::Write;
use std::iter;
use std::time::Duration;

use serde_json::{Value, json};
use vtap_capture::{Damage, Inputs, Source};
use vtap_export::report::{self, count, size};
use vtap_pipeline::Report;

use crate::args::SummaryTo;
use crate::{Finish, plan};

pub(crate) struct Summary<'a> {
    report: &'a Report,
    inputs: &'a Inputs,
    failed: Option<&'a vtap_capture::Error>,
    elapsed: Duration,
    warm_up: Duration,
}

impl<'a> Summary<'a> {
    pub(crate) const fn new(
        report: &'a Report,
        inputs: &'a Inputs,
        failed: Option<&'a vtap_capture::Error>,
        elapsed: Duration,
    ) -> Self {
        Self { report, inputs, failed, elapsed, warm_up: Duration::ZERO }
    }

    /// With the span in which flows were adopted.
    pub(crate) const fn warm_up(self, warm_up: Duration) -> Self {
        Self { warm_up, ..self }
    }

    pub(crate) fn finish(&self) -> Finish {
        let damaged = self.damaged().next().is_some()
            || self.inputs.unlisted_damage() > 0
            || self.inputs.unreadable().next().is_some()
            || self.failed.is_some();
        if damaged { Finish::Damaged } else { Finish::Whole }
    }

    pub(crate) fn write(&self, to: &SummaryTo) -> anyhow::Result<()> {
        match to {
            SummaryTo::Text => {
                eprint!("{}", self.text());
                self.write_damage();
            }
            SummaryTo::Json => eprintln!("{}", self.json()),
            SummaryTo::File(path) => {
                plan::write_json(path, &self.json())?;
                self.write_damage();
            }
        }
        Ok(())
    }

    /// Tells on standard error what could not be read.
    pub(crate) fn write_damage(&self) {
        for damage in self.damage() {
            eprintln!("vtap: {damage}");
        }
    }

    /// What could not be read, a sentence each.
    pub(crate) fn damage(&self) -> Vec<String> {
        let places = self.inputs.damage().iter().map(ToString::to_string);
        let unlisted = self.inputs.unlisted_damage();
        let more = (unlisted > 0).then(|| format!("and {unlisted} more damaged places"));
        let unreadable = self.inputs.unreadable().chain(self.failed).map(ToString::to_string);
        places.chain(more).chain(unreadable).collect()
    }

    /// Damage proper: an input that ends inside a packet is how a capture ends that was killed.
    fn damaged(&self) -> impl Iterator<Item = &Damage> {
        self.inputs.damage().iter().filter(|damage| !damage.is_cut())
    }

    fn json(&self) -> Value {
        let place = |damage: &Damage| {
            json!({
                "file": damage.file.display().to_string(),
                "offset": damage.offset,
                "what": damage.kind.to_string(),
            })
        };
        let cut = self.inputs.damage().iter().filter(|damage| damage.is_cut());
        let unreadable = self.inputs.unreadable().chain(self.failed);
        let unreadable: Vec<_> = unreadable.map(ToString::to_string).collect();
        let inputs = [
            ("damaged", self.damaged().map(place).collect()),
            ("damaged_unlisted", self.inputs.unlisted_damage().into()),
            ("cut", cut.map(place).collect()),
            ("unreadable", unreadable.into()),
        ];
        let mut all = report::json(self.report);
        all.extend(inputs.map(|(name, value): (&str, Value)| (name.to_owned(), value)));
        Value::Object(all)
    }

    fn text(&self) -> String {
        let Report { packets, bytes, .. } = *self.report;
        let read = format!("{} read, {}{}", count(packets), size(bytes), self.rate());
        let mut text = String::from("\n");
        for (name, value) in
            iter::once(("packets", read)).chain(report::lines(self.report, self.warm_up))
        {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{name:<15} {value}");
        }
        text.push_str(&unmirrored(self.report));
        text
    }

    fn rate(&self) -> String {
        let secs = self.elapsed.as_secs_f64();
        if secs <= 0.0 {
            return String::new();
        }
        let mpps = self.report.packets as f64 / secs / 1e6;
        format!(", in {secs:.3} s ({mpps:.2} Mpps)")
    }
}

/// What to do where nothing was mirrored; empty where something was.
pub(crate) fn unmirrored(report: &Report) -> String {
    if report.decapsulated() > 0 || report.not_mirrored == 0 {
        return String::new();
    }
    format!(
        "\nNo mirrored packet was found; {} are not mirrored. To track them as they are, add \
         --plain;\nif the TAP sends to another UDP port than 4789, add --port.\n",
        count(report.not_mirrored)
    )
}
