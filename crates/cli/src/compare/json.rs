//! The findings, for programs. `docs/compare.md` says what each key is.

use serde_json::{Map, Value, json};
use vtap_compare::{Alteration, Delay, Half, LostHalf, LostPacket, SideReport};
use vtap_packet::Timestamp;

use super::{Capture, Findings};

impl Findings<'_> {
    pub(super) fn json(&self) -> Value {
        let report = &self.report;
        let loss = &report.loss;
        let longest = loss.longest.map(|burst| {
            json!({
                "packets": burst.packets,
                "packet": burst.number,
                "first": time(burst.first),
                "last": time(burst.last),
            })
        });
        json!({
            "vtap": env!("CARGO_PKG_VERSION"),
            "source": capture(self.source, &report.source),
            "tap": capture(self.tap, &report.tap),
            "mirrored": report.mirrored,
            "mirrored_frames": report.mirrored_frames,
            "resegmented": {
                "packets": report.resegmented.packets,
                "frames": report.resegmented.frames,
            },
            "lost": loss.packets,
            "lost_bytes": loss.bytes,
            "lost_partly": loss.partly,
            "before": loss.before,
            "after": loss.after,
            "duplicated": report.duplicated,
            "extra": report.extra,
            "extra_outside": report.extra_outside,
            "reordered": {
                "packets": report.reordered.packets,
                "within_flow": report.reordered.within_half,
                "largest_extent": report.reordered.largest_extent,
                "packet": report.reordered.furthest,
            },
            "altered": self.altered(),
            "delay_ns": report.delay.map(delay),
            "jitter_ns": report.delay.map(jitter),
            "bursts": { "count": loss.bursts, "longest": longest },
            "lost_flows": loss.halves.iter().take(self.listed).map(lost_half).collect::<Vec<_>>(),
            "lost_flows_unlisted": loss.halves.len().saturating_sub(self.listed),
            "lost_packets": loss.listed.iter().map(lost_packet).collect::<Vec<_>>(),
            "lost_packets_unlisted": loss.packets - loss.listed.len() as u64,
        })
    }

    fn altered(&self) -> Value {
        let altered = &self.report.altered;
        let mut kinds = Map::new();
        for kind in Alteration::ALL.into_iter().filter(|kind| altered.count(*kind) > 0) {
            let examples = altered.examples(kind).iter().map(|example| {
                json!({
                    "packet": example.packet,
                    "frame": example.frame,
                    "before": example.before,
                    "after": example.after,
                })
            });
            let of_kind = json!({
                "packets": altered.count(kind),
                "examples": examples.collect::<Vec<_>>(),
            });
            kinds.insert(kind.name().to_owned(), of_kind);
        }
        json!({ "packets": altered.packets, "offloaded": altered.offloaded, "kinds": kinds })
    }
}

fn capture(capture: &Capture, compared: &SideReport) -> Value {
    let skipped: Map<_, _> =
        capture.skipped(compared).map(|(name, count)| (name.to_owned(), count.into())).collect();
    json!({
        "file": capture.path.display().to_string(),
        "packets": capture.report.packets,
        "decapsulated": capture.report.decapsulated(),
        "first": compared.span.map(|(first, _)| time(first)),
        "last": compared.span.map(|(_, last)| time(last)),
        "skipped": skipped,
    })
}

fn delay(delay: Delay) -> Value {
    json!({
        "min": delay.min,
        "median": delay.median,
        "p90": delay.p90,
        "p99": delay.p99,
        "max": delay.max,
        "mean": delay.mean,
    })
}

/// Above the least, where the difference between the clocks is gone.
fn jitter(delay: Delay) -> Value {
    let above = |nanos: i64| nanos.saturating_sub(delay.min);
    json!({
        "median": above(delay.median),
        "p90": above(delay.p90),
        "p99": above(delay.p99),
        "max": above(delay.max),
        "mean": above(delay.mean),
    })
}

fn lost_half(lost: &LostHalf) -> Value {
    let mut row = half(&lost.half);
    row.insert("packets".to_owned(), lost.packets.into());
    row.insert("bytes".to_owned(), lost.bytes.into());
    row.insert("first".to_owned(), time(lost.first));
    row.insert("last".to_owned(), time(lost.last));
    Value::Object(row)
}

fn lost_packet(lost: &LostPacket) -> Value {
    let mut row = half(&lost.half);
    row.insert("packet".to_owned(), lost.number.into());
    row.insert("timestamp".to_owned(), time(lost.time));
    row.insert("length".to_owned(), lost.wire_len.into());
    if let Some(flags) = lost.flags {
        row.insert("flags".to_owned(), flags.to_string().into());
    }
    if let Some(missing) = lost.missing {
        row.insert("missing_bytes".to_owned(), missing.into());
    }
    Value::Object(row)
}

/// As events have it, without ports where there are none.
fn half(half: &Half) -> Map<String, Value> {
    let mut row = Map::new();
    if let Half::Ip { src, dst, .. } = half {
        row.insert("src_ip".to_owned(), src.ip().to_string().into());
        row.insert("dest_ip".to_owned(), dst.ip().to_string().into());
        if (src.port(), dst.port()) != (0, 0) {
            row.insert("src_port".to_owned(), src.port().into());
            row.insert("dest_port".to_owned(), dst.port().into());
        }
    }
    row.insert("proto".to_owned(), half.protocol().into());
    row
}

fn time(time: Timestamp) -> Value {
    time.to_string().into()
}
