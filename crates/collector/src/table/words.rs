//! Times, spans, shares and lines, as the table has them.

use std::time::Duration;

use vtap_packet::Timestamp;

/// A terminal as it was always wide.
const WIDTH: usize = 80;

/// Hours, minutes and seconds.
pub(super) fn clock(at: Timestamp) -> String {
    at.to_string().get(11..19).unwrap_or_default().to_owned()
}

pub(super) fn running(span: Duration) -> String {
    let secs = span.as_secs();
    match (secs / 86_400, secs / 3600 % 24, secs / 60 % 60, secs % 60) {
        (0, 0, 0, secs) => format!("{secs} s"),
        (0, 0, mins, secs) => format!("{mins} min {secs} s"),
        (0, hours, mins, _) => format!("{hours} h {mins} min"),
        (days, hours, ..) => format!("{days} d {hours} h"),
    }
}

pub(super) fn share(part: u64, whole: u64) -> String {
    let percent = part as f64 / whole.max(1) as f64 * 100.0;
    if percent < 0.001 { "<0.001%".into() } else { format!("{percent:.3}%") }
}

/// In lines of [`WIDTH`], the first of which begins at `column` and the others at `indent`.
pub(super) fn wrapped(text: &str, mut column: usize, indent: usize) -> String {
    let mut out = String::new();
    let mut words = text.split(' ').peekable();
    let mut index = 0;
    while let Some(word) = words.next() {
        let width = word.chars().count();
        // A name stays with its number.
        let number = words.peek().filter(|next| next.starts_with(|c: char| c.is_ascii_digit()));
        let kept = match number {
            Some(number) if word.ends_with(|c: char| c.is_alphanumeric()) => 1 + number.len(),
            _ => 0,
        };
        if index > 0 && column + 1 + width + kept > WIDTH {
            out.truncate(out.trim_end().len());
            out.push('\n');
            out.extend(std::iter::repeat_n(' ', indent));
            column = indent;
        } else if index > 0 {
            out.push(' ');
            column += 1;
        }
        out.push_str(word);
        column += width;
        index += 1;
    }
    out
}
