//! Numbers, times and names as people read them.

use std::time::Duration;

use vtap_packet::Timestamp;

/// `12.3 %`; little is `< 0.1 %`, and not all of it `> 99.9 %`.
pub(super) fn share(part: u64, whole: u64) -> String {
    if part == 0 || whole == 0 {
        return "0 %".to_owned();
    }
    let share = part as f64 / whole as f64 * 100.0;
    match share {
        ..0.1 => "< 0.1 %".to_owned(),
        99.9.. if part < whole => "> 99.9 %".to_owned(),
        _ => format!("{share:.1} %"),
    }
}

/// In the unit that leaves a number from 1 to 1,000, with three digits that count: `1.23 ms`.
pub(super) fn span(span: Duration) -> String {
    let secs = span.as_secs();
    match secs {
        86_400.. => format!("{} d {:02} h", secs / 86_400, secs / 3_600 % 24),
        3_600.. => format!("{} h {:02} min", secs / 3_600, secs / 60 % 60),
        60.. => format!("{} min {:02} s", secs / 60, secs % 60),
        1.. => digits(span.as_secs_f64(), "s"),
        0 => match span.subsec_nanos() {
            nanos @ 1_000_000.. => digits(f64::from(nanos) / 1e6, "ms"),
            nanos @ 1_000.. => digits(f64::from(nanos) / 1e3, "µs"),
            0 => "0 s".to_owned(),
            nanos => format!("{nanos} ns"),
        },
    }
}

fn digits(value: f64, unit: &str) -> String {
    let decimals = match value {
        100.0.. => 0,
        10.0.. => 1,
        _ => 2,
    };
    format!("{value:.decimals$} {unit}")
}

/// A length of time that people count in: `5 s`, `10 min`.
pub(super) fn whole(span: Duration) -> String {
    let nanos = span.as_nanos();
    let units = [
        (86_400_000_000_000, "d"),
        (3_600_000_000_000, "h"),
        (60_000_000_000, "min"),
        (1_000_000_000, "s"),
    ];
    let unit = units.iter().find(|(unit, _)| nanos >= *unit && nanos.is_multiple_of(*unit));
    let (unit, name) = unit.copied().unwrap_or((1_000_000, "ms"));
    format!("{} {name}", nanos / unit)
}

/// `2025-12-01 00:00:00.000`, in UTC.
pub(super) fn time(time: Timestamp) -> String {
    let text = time.to_string();
    text.get(..23).unwrap_or_default().replace('T', " ")
}

/// The time of day alone, as exact as the width of what begins there asks for.
pub(super) fn clock(time: Timestamp, width: Duration) -> String {
    let text = time.to_string();
    let range = match width {
        width if width >= Duration::from_secs(86_400) => 0..10,
        width if width >= Duration::from_secs(60) => 11..16,
        width if width >= Duration::from_secs(1) => 11..19,
        _ => 11..23,
    };
    text.get(range).unwrap_or_default().to_owned()
}

/// A name from the traffic, without the characters that would do something else than be shown:
/// control characters, and those that turn the direction of what follows.
pub(super) fn harmless(name: &str) -> String {
    let shown = |char: char| {
        let turns = matches!(
            char,
            '\u{200e}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
        );
        if char.is_control() || turns { char::REPLACEMENT_CHARACTER } else { char }
    };
    name.chars().map(shown).collect()
}

/// `1 flow`, `2 flows`.
pub(super) fn plural(n: u64, one: &str, many: &str) -> String {
    format!("{} {}", vtap_export::report::count(n), if n == 1 { one } else { many })
}

/// What a packet was set aside for, in the words of `docs/counters.md`.
pub(super) fn skipped(name: &str) -> &'static str {
    match name {
        "outer-filter" => "--filter does not match",
        "not-mirrored" => "not addressed to a VXLAN port; --plain tracks them as they are",
        "outer-fragment" => "fragment of an envelope that cannot be put together",
        "outer-cut-short" => "the snaplen left too little to see the inner headers",
        "vxlan-truncated" => "too short for a VXLAN header",
        "vxlan-no-vni" => "VXLAN header without the I flag",
        "vxlan-reserved" => "VXLAN header with reserved bits, and --strict-vxlan",
        "gpe-version" => "VXLAN-GPE of an unknown version",
        "gpe-protocol" => "VXLAN-GPE that carries neither IP nor Ethernet",
        "inner-implausible" => "what is inside the envelope is no frame",
        "inner-filter" => "--inner-filter does not match",
        "not-ip" => "ARP, LLDP, IEEE 802.3",
        "link-type" => "a link type that is not read, or its header is cut off",
        "malformed-ip" => "an IP header that contradicts itself",
        "ip-length" => "an IP header that claims more than the frame had",
        "ip-checksum" => "a wrong IPv4 header checksum",
        "fragment" => "a fragment that waits for the rest of its datagram, or of which none came",
        "cut-short" => "the snaplen left too little to see ports and flags",
        "table-full" => "the flow table is full",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_have_three_digits_that_count() {
        let nanos = |nanos| span(Duration::from_nanos(nanos));
        assert_eq!(nanos(0), "0 s");
        assert_eq!(nanos(999), "999 ns");
        assert_eq!(nanos(1_234), "1.23 µs");
        assert_eq!(nanos(123_456_789), "123 ms");
        assert_eq!(nanos(12_345_678_901), "12.3 s");
        assert_eq!(nanos(61_000_000_000), "1 min 01 s");
        assert_eq!(span(Duration::from_secs(90_000)), "1 d 01 h");
    }

    #[test]
    fn whole_spans_have_no_digits_behind_the_point() {
        assert_eq!(whole(Duration::from_millis(500)), "500 ms");
        assert_eq!(whole(Duration::from_secs(5)), "5 s");
        assert_eq!(whole(Duration::from_secs(1_800)), "30 min");
        assert_eq!(whole(Duration::from_secs(86_400 * 100)), "100 d");
    }

    #[test]
    fn a_small_share_is_not_none_and_a_large_one_not_all() {
        assert_eq!(share(0, 5), "0 %");
        assert_eq!(share(1, 1_000_000), "< 0.1 %");
        assert_eq!(share(999_999, 1_000_000), "> 99.9 %");
        assert_eq!(share(5, 5), "100.0 %");
        assert_eq!(share(1, 8), "12.5 %");
        assert_eq!(share(0, 0), "0 %");
    }

    #[test]
    fn names_cannot_turn_the_text_around() {
        assert_eq!(harmless("moc.\u{202e}elpmaxe\n"), "moc.\u{fffd}elpmaxe\u{fffd}");
        assert_eq!(harmless("bücher.example"), "bücher.example");
    }

    #[test]
    fn every_reason_to_set_a_packet_aside_is_explained() {
        let report = vtap_pipeline::Report::default();
        for (name, _) in report.every_skip().chain(report.every_flow_skip()) {
            assert_ne!(skipped(name), "", "{name}");
        }
    }
}
