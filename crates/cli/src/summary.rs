//! The counters of a run, for people and as JSON.

use std::fmt::Write;
use std::time::Duration;

use serde_json::{Value, json};
use vtap_capture::{Damage, Inputs, Source};
use vtap_flow::{EventFlag, Reason, Tap};
use vtap_packet::reassembly;
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
        for damage in self.inputs.damage() {
            eprintln!("vtap: {damage}");
        }
        let unlisted = self.inputs.unlisted_damage();
        if unlisted > 0 {
            eprintln!("vtap: and {unlisted} more damaged places");
        }
        for error in self.inputs.unreadable().chain(self.failed) {
            eprintln!("vtap: {error}");
        }
    }

    /// Damage proper: an input that ends inside a packet is how a capture ends that was killed.
    fn damaged(&self) -> impl Iterator<Item = &Damage> {
        self.inputs.damage().iter().filter(|damage| !damage.is_cut())
    }

    fn json(&self) -> Value {
        let Report { packets, bytes, plain, decap, .. } = *self.report;
        let flow = self.report.flow.unwrap_or_default();
        let counts = |pairs: &mut dyn Iterator<Item = (&'static str, u64)>| {
            Value::Object(pairs.map(|(name, count)| (name.to_owned(), count.into())).collect())
        };
        let place = |damage: &Damage| {
            json!({
                "file": damage.file.display().to_string(),
                "offset": damage.offset,
                "what": damage.kind.to_string(),
            })
        };
        let unreadable = self.inputs.unreadable().chain(self.failed);
        json!({
            "packets": packets,
            "bytes": bytes,
            "decapsulated": decap.decapsulated,
            "plain": plain,
            "inner_bytes": decap.inner_bytes,
            "skipped": counts(&mut self.report.skipped()),
            "fragments": of_fragments(&decap.fragments),
            "reserved_bits": decap.reserved_bits,
            "duplicates": flow.duplicates,
            "forwarded": flow.forwarded,
            "tcp_segments": flow.tcp_segments,
            "other": flow.other,
            "flow_skipped": counts(&mut self.report.flow_skipped()),
            "inner_fragments": of_fragments(&flow.fragments),
            "flows": flow.flows,
            "midstream": flow.midstream,
            "one_way": flow.one_way,
            "egress_only": flow.egress_only,
            "gaps": flow.gaps,
            "resumed": flow.resumed,
            "reordered": flow.reordered,
            "super_packets": flow.super_packets,
            "evicted": flow.evicted,
            "offloaded": flow.offloaded,
            "truncated": flow.truncated,
            "events": counts(&mut EventFlag::ALL.iter().map(|flag| (flag.name(), flow.events(*flag)))),
            "retransmissions": flow.retransmissions,
            "invalid": counts(&mut invalid(self.report)),
            "taps": taps(self.report),
            "damaged": self.damaged().map(place).collect::<Vec<_>>(),
            "damaged_unlisted": self.inputs.unlisted_damage(),
            "cut": self.inputs.damage().iter().filter(|damage| damage.is_cut()).map(place)
                .collect::<Vec<_>>(),
            "unreadable": unreadable.map(ToString::to_string).collect::<Vec<_>>(),
        })
    }

    fn text(&self) -> String {
        let mut text = String::from("\n");
        let mut row = |name: &str, value: String| {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{name:<15} {value}");
        };
        let Report { packets, bytes, plain, decap, .. } = *self.report;
        row("packets", format!("{} read, {}{}", count(packets), size(bytes), self.rate()));
        let inner = match decap.decapsulated {
            0 => String::new(),
            _ => format!(", {} inside", size(decap.inner_bytes)),
        };
        row("decapsulated", format!("{}{inner}", count(decap.decapsulated)));
        if plain > 0 {
            row("plain", count(plain));
        }
        let skipped = list(self.report.skipped());
        if !skipped.is_empty() {
            row("skipped", skipped);
        }
        if decap.fragments.seen > 0 {
            row("fragments", put_together(&decap.fragments));
        }
        if let Some(flow) = self.report.flow {
            let adopted = match flow.midstream {
                0 => String::new(),
                n => format!(", {} adopted in mid-stream{}", count(n), self.adoption()),
            };
            row("flows", format!("{}{adopted}", count(flow.flows)));
            row("TCP segments", format!("{}{}", count(flow.tcp_segments), oddities(&flow)));
            if flow.other > 0 {
                row("other IP", count(flow.other));
            }
            let mirror = mirror(&flow);
            if !mirror.is_empty() {
                row("mirror", mirror);
            }
            let skipped = list(self.report.flow_skipped());
            if !skipped.is_empty() {
                row("not tracked", skipped);
            }
            if flow.fragments.seen > 0 {
                row("inner fragments", put_together(&flow.fragments));
            }
            let events = EventFlag::ALL.map(|flag| (flag.name(), flow.events(flag)));
            let events = list(events.into_iter().filter(|(_, count)| *count > 0));
            row("events", if events.is_empty() { "none".into() } else { events });
            let invalid = list(invalid(self.report));
            if !invalid.is_empty() {
                row("INVALID", invalid);
            }
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

    fn adoption(&self) -> String {
        match self.warm_up.as_secs() {
            0 => String::new(),
            secs => format!(" (warm-up of {secs} s)"),
        }
    }
}

/// Counters of each tap, by its address.
fn taps(report: &Report) -> Value {
    let tap = |tap: &Tap| {
        let counters = json!({
            "packets": tap.packets,
            "duplicates": tap.duplicates,
            "gaps": tap.gaps,
        });
        Some((tap.address?.to_string(), counters))
    };
    Value::Object(report.taps.iter().filter_map(tap).collect())
}

fn of_fragments(stats: &reassembly::Stats) -> Value {
    let reassembly::Stats { seen, completed, absorbed, timed_out, overlapped, evicted } = *stats;
    json!({
        "seen": seen,
        "completed": completed,
        "absorbed": absorbed,
        "timed_out": timed_out,
        "overlapped": overlapped,
        "evicted": evicted,
    })
}

fn put_together(stats: &reassembly::Stats) -> String {
    let given_up = stats.timed_out + stats.overlapped + stats.evicted;
    let [seen, completed, given_up] = [stats.seen, stats.completed, given_up].map(count);
    format!("{seen} seen, {completed} datagrams completed, {given_up} given up")
}

/// INVALID segments by reason; zeros are left out.
pub(crate) fn invalid(report: &Report) -> impl Iterator<Item = (&'static str, u64)> + use<> {
    let flow = report.flow.unwrap_or_default();
    let invalid = Reason::ALL.map(move |reason| (reason.name(), flow.invalid(reason)));
    invalid.into_iter().filter(|(_, count)| *count > 0)
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

/// What the mirror did to the traffic; zeros are left out.
fn mirror(flow: &vtap_flow::Stats) -> String {
    list(
        [
            ("duplicates", flow.duplicates),
            ("forwarded", flow.forwarded),
            ("reordered", flow.reordered),
            ("gaps", flow.gaps),
            ("connections resumed", flow.resumed),
            ("one-way", flow.one_way),
            ("egress-only", flow.egress_only),
            ("super-packets", flow.super_packets),
        ]
        .into_iter()
        .filter(|(_, count)| *count > 0),
    )
}

fn oddities(flow: &vtap_flow::Stats) -> String {
    let all = [
        ("with checksums left to the NIC", flow.offloaded),
        ("cut by the snaplen", flow.truncated),
        ("retransmitted handshake or close", flow.retransmissions),
    ];
    let odd = all.into_iter().filter(|(_, n)| *n > 0);
    odd.map(|(what, n)| format!(", {} {what}", count(n))).collect()
}

pub(crate) fn list(pairs: impl Iterator<Item = (&'static str, u64)>) -> String {
    let pairs: Vec<_> = pairs.map(|(name, n)| format!("{name} {}", count(n))).collect();
    pairs.join(", ")
}

/// With commas between thousands.
pub(crate) fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

pub(crate) fn size(bytes: u64) -> String {
    let mut value = bytes as f64;
    for unit in ["bytes", "KiB", "MiB", "GiB"] {
        if value < 1024.0 {
            return if unit == "bytes" {
                format!("{bytes} bytes")
            } else {
                format!("{value:.1} {unit}")
            };
        }
        value /= 1024.0;
    }
    format!("{value:.1} TiB")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_have_commas_between_thousands() {
        assert_eq!(count(0), "0");
        assert_eq!(count(999), "999");
        assert_eq!(count(1_234_567), "1,234,567");
    }

    #[test]
    fn sizes_have_binary_units() {
        assert_eq!(size(1023), "1023 bytes");
        assert_eq!(size(1536), "1.5 KiB");
        assert_eq!(size(5 << 40), "5.0 TiB");
    }
}
