//! Names of files, and times in the cloud's form.

use vtap_capture::write::Format;
use vtap_packet::Timestamp;

/// What names of files begin with.
pub const PREFIX: &str = "packetcapture_";

/// The cloud's name of a file, with the date that the cloud keeps in folders, so that names in one
/// folder sort by time: `packetcapture_20250131_16_39_41_077.pcapng`, UTC.
pub fn of(begun: Timestamp, format: Format) -> String {
    let (year, month, day) = begun.date();
    let of_day = begun.secs() % 86_400;
    let [hours, minutes, seconds] = [of_day / 3600, of_day / 60 % 60, of_day % 60];
    let millis = begun.subsec_nanos() / 1_000_000;
    let extension = format.extension();
    format!(
        "{PREFIX}{year:04}{month:02}{day:02}_{hours:02}_{minutes:02}_{seconds:02}_{millis:03}\
         .{extension}"
    )
}

/// RFC 3339 with the seven digits of the cloud: `2016-12-06T17:20:01.5671279Z`.
pub fn seven_digits(time: Timestamp) -> String {
    let text = time.to_string();
    format!("{}Z", text.get(..27).unwrap_or(&text))
}

/// Whether [`of`] gave a file its name, or will once it is finished.
pub(crate) fn is_ours(name: &str, format: Format) -> bool {
    let name = name.strip_suffix(".partial").unwrap_or(name);
    let stem = name.strip_suffix(format.extension()).and_then(|stem| stem.strip_suffix('.'));
    let Some(digits) = stem.and_then(|stem| stem.strip_prefix(PREFIX)) else { return false };
    digits.len() == "20250131_16_39_41_077".len()
        && digits.bytes().all(|byte| byte == b'_' || byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_times_are_the_clouds() {
        let time = Timestamp::new(1_738_341_581, 77_123_456);
        let name = of(time, Format::Pcap);
        assert_eq!(name, "packetcapture_20250131_16_39_41_077.pcap");
        assert!(is_ours(&name, Format::Pcap) && !is_ours(&name, Format::Pcapng));
        assert!(is_ours(&format!("{name}.partial"), Format::Pcap));
        assert!(!is_ours("packetcapture_of_tuesday.pcap", Format::Pcap));
        assert_eq!(seven_digits(time), "2025-01-31T16:39:41.0771234Z");
    }
}
