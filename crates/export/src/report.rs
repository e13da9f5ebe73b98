//! The counters of a run, as JSON and in words, for whichever command tells them.
//!
//! `docs/counters.md` says what each of them counts.

use std::time::Duration;

use serde_json::{Map, Value, json};
use vtap_flow::{EventFlag, Reason, Stats, Tap};
use vtap_packet::reassembly;
use vtap_pipeline::Report;

/// Every counter, by its name in `docs/counters.md`.
pub fn json(report: &Report) -> Map<String, Value> {
    let Report { packets, bytes, plain, decap, .. } = *report;
    let flow = report.flow.unwrap_or_default();
    let recorded = flow.recorded.unwrap_or_default();
    let counts = |pairs: &mut dyn Iterator<Item = (&'static str, u64)>| {
        Value::Object(pairs.map(|(name, count)| (name.to_owned(), count.into())).collect())
    };
    let all = [
        ("packets", packets.into()),
        ("bytes", bytes.into()),
        ("decapsulated", decap.decapsulated.into()),
        ("plain", plain.into()),
        ("inner_bytes", decap.inner_bytes.into()),
        ("skipped", counts(&mut report.skipped())),
        ("fragments", fragments(&decap.fragments)),
        ("reserved_bits", decap.reserved_bits.into()),
        ("duplicates", flow.duplicates.into()),
        ("forwarded", flow.forwarded.into()),
        ("tcp_segments", flow.tcp_segments.into()),
        ("other", flow.other.into()),
        ("flow_skipped", counts(&mut report.flow_skipped())),
        ("inner_fragments", fragments(&flow.fragments)),
        ("flows", flow.flows.into()),
        ("midstream", flow.midstream.into()),
        ("one_way", flow.one_way.into()),
        ("egress_only", flow.egress_only.into()),
        ("gaps", flow.gaps.into()),
        ("resumed", flow.resumed.into()),
        ("reordered", flow.reordered.into()),
        ("super_packets", flow.super_packets.into()),
        ("evicted", flow.evicted.into()),
        ("offloaded", flow.offloaded.into()),
        ("truncated", flow.truncated.into()),
        ("events", counts(&mut events(report))),
        ("retransmissions", flow.retransmissions.into()),
        ("invalid", counts(&mut invalid(report))),
        ("recorded_flows", recorded.flows.into()),
        ("recorded_packets", recorded.packets.into()),
        ("unrecorded_packets", flow.unrecorded().into()),
        ("taps", taps(report)),
    ];
    all.into_iter().map(|(name, value): (&str, Value)| (name.to_owned(), value)).collect()
}

/// The lines for people that follow the one about the packets read, each with its name. `warm_up` is
/// the span in which flows were adopted, where that is to be told.
pub fn lines(report: &Report, warm_up: Duration) -> Vec<(&'static str, String)> {
    let mut lines = Vec::new();
    let mut line = |name: &'static str, value: String| {
        if !value.is_empty() {
            lines.push((name, value));
        }
    };
    let some = |n: u64| if n == 0 { String::new() } else { count(n) };
    let decap = &report.decap;
    let inner = match decap.decapsulated {
        0 => String::new(),
        _ => format!(", {} inside", size(decap.inner_bytes)),
    };
    line("decapsulated", format!("{}{inner}", count(decap.decapsulated)));
    line("plain", some(report.plain));
    line("skipped", list(report.skipped()));
    line("fragments", put_together(&decap.fragments));
    if let Some(flow) = report.flow {
        let adopted = match flow.midstream {
            0 => String::new(),
            n => format!(", {} adopted in mid-stream{}", count(n), adoption(warm_up)),
        };
        line("flows", format!("{}{adopted}", count(flow.flows)));
        line("TCP segments", format!("{}{}", count(flow.tcp_segments), oddities(&flow)));
        line("other IP", some(flow.other));
        line("mirror", mirror(&flow));
        line("not tracked", list(report.flow_skipped()));
        line("inner fragments", put_together(&flow.fragments));
        let events = list(events(report).filter(|(_, count)| *count > 0));
        line("events", if events.is_empty() { "none".into() } else { events });
        line("INVALID", list(invalid(report)));
    }
    lines
}

/// Events by flag, zeros included.
pub fn events(report: &Report) -> impl Iterator<Item = (&'static str, u64)> + use<> {
    let flow = report.flow.unwrap_or_default();
    EventFlag::ALL.map(|flag| (flag.name(), flow.events(flag))).into_iter()
}

/// INVALID segments by reason; zeros are left out.
pub fn invalid(report: &Report) -> impl Iterator<Item = (&'static str, u64)> + use<> {
    let flow = report.flow.unwrap_or_default();
    let invalid = Reason::ALL.map(move |reason| (reason.name(), flow.invalid(reason)));
    invalid.into_iter().filter(|(_, count)| *count > 0)
}

/// `name 1,234, name 5`.
pub fn list(pairs: impl Iterator<Item = (&'static str, u64)>) -> String {
    let pairs: Vec<_> = pairs.map(|(name, n)| format!("{name} {}", count(n))).collect();
    pairs.join(", ")
}

/// With commas between thousands.
pub fn count(n: u64) -> String {
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

/// Bytes, in the binary unit that leaves less than 1,024.
pub fn size(bytes: u64) -> String {
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

fn fragments(stats: &reassembly::Stats) -> Value {
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

/// Empty where there were none.
fn put_together(stats: &reassembly::Stats) -> String {
    if stats.seen == 0 {
        return String::new();
    }
    let given_up = stats.timed_out + stats.overlapped + stats.evicted;
    let [seen, completed, given_up] = [stats.seen, stats.completed, given_up].map(count);
    format!("{seen} seen, {completed} datagrams completed, {given_up} given up")
}

fn adoption(warm_up: Duration) -> String {
    match warm_up.as_secs() {
        0 => String::new(),
        secs => format!(" (warm-up of {secs} s)"),
    }
}

/// What the mirror did to the traffic; zeros are left out.
fn mirror(flow: &Stats) -> String {
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

fn oddities(flow: &Stats) -> String {
    let all = [
        ("with checksums left to the NIC", flow.offloaded),
        ("cut by the snaplen", flow.truncated),
        ("retransmitted handshake or close", flow.retransmissions),
    ];
    let odd = all.into_iter().filter(|(_, n)| *n > 0);
    odd.map(|(what, n)| format!(", {} {what}", count(n))).collect()
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
