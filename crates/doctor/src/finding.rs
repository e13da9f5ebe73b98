//! What a check found.

use std::fmt;

use crate::host::Unreadable;

/// How it stands, the worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Status {
    /// As it stands, packets are lost or a source cannot start.
    Fail,
    /// Packets may be lost under load, or what is recorded may be misleading.
    Warn,
    /// It could not be looked at.
    Unknown,
    /// Nothing to do.
    Ok,
}

impl Status {
    /// `fail`, `warn`, `unknown` or `ok`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fail => "fail",
            Self::Warn => "warn",
            Self::Unknown => "unknown",
            Self::Ok => "ok",
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A check, whatever it finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Check {
    /// Its name, in kebab-case.
    pub id: &'static str,
    /// What its subject has to do with lost packets.
    pub why: &'static str,
}

/// What a check found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// [`Check::id`].
    pub id: &'static str,
    /// The NIC, the port (`udp/4789`) or the folder that it is about, where there may be several.
    pub subject: Option<String>,
    /// How it stands.
    pub status: Status,
    /// What was found, or why it could not be looked at: one line, with the number.
    pub found: String,
    /// [`Check::why`].
    pub why: &'static str,
    /// Shell commands that mend it now, for root. What cannot be told in full is a comment (`#`).
    pub mend: Vec<String>,
    /// Shell commands that keep it mended after a restart, for root.
    pub keep: Vec<String>,
}

impl Check {
    pub(crate) fn finding(self, status: Status, found: impl Into<String>) -> Finding {
        Finding {
            id: self.id,
            subject: None,
            status,
            found: found.into(),
            why: self.why,
            mend: Vec::new(),
            keep: Vec::new(),
        }
    }

    pub(crate) fn ok(self, found: impl Into<String>) -> Finding {
        self.finding(Status::Ok, found)
    }

    pub(crate) fn warn(self, found: impl Into<String>) -> Finding {
        self.finding(Status::Warn, found)
    }

    pub(crate) fn fail(self, found: impl Into<String>) -> Finding {
        self.finding(Status::Fail, found)
    }

    /// What could not be read is why; how to get it is the remedy.
    pub(crate) fn unknown(self, unreadable: &Unreadable) -> Finding {
        let found = format!("not looked at: {unreadable}");
        self.finding(Status::Unknown, found).mend(unreadable.remedy())
    }
}

impl Finding {
    pub(crate) fn about(mut self, subject: impl Into<String>) -> Self {
        self.subject = Some(subject.into());
        self
    }

    pub(crate) fn mend(mut self, commands: impl IntoIterator<Item = String>) -> Self {
        self.mend.extend(commands);
        self
    }

    pub(crate) fn keep(mut self, commands: impl IntoIterator<Item = String>) -> Self {
        self.keep.extend(commands);
        self
    }

    /// Both: a sysctl now, and in a file that is read at boot.
    pub(crate) fn sysctl(self, key: &str, value: u64) -> Self {
        self.mend([format!("sysctl -w {}", quoted(&format!("{key}={value}")))])
            .keep([format!("echo '{key} = {value}' >> /etc/sysctl.d/90-vtap.conf")])
    }

    /// Both: a command now, and whenever the NIC comes up again (udev(7)).
    pub(crate) fn nic(self, interface: &str, command: &str) -> Self {
        let finding = self.mend([command.to_owned()]);
        // A name that a rule would have to quote is better not written into one.
        if quoted(interface) != interface {
            return finding;
        }
        let rule = format!(
            r#"ACTION=="add|move", SUBSYSTEM=="net", ENV{{INTERFACE}}=="{interface}", RUN+="/usr/sbin/{command}""#
        );
        finding.keep([format!("echo '{rule}' >> /etc/udev/rules.d/90-vtap.rules")])
    }
}

/// A word as a shell takes it.
pub(crate) fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./:@%+=,".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// 1,234,567.
pub(crate) fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// In the unit that leaves at most four digits.
pub(crate) fn size(bytes: u64) -> String {
    let (mut value, mut unit) = (bytes as f64, "bytes");
    for larger in ["KiB", "MiB", "GiB", "TiB"] {
        if value < 1024.0 {
            break;
        }
        (value, unit) = (value / 1024.0, larger);
    }
    // No more digits than say something.
    let text = if value < 10.0 { format!("{value:.1}") } else { format!("{value:.0}") };
    format!("{} {unit}", text.trim_end_matches(".0"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_where_a_shell_would_read_more_into_them() {
        assert_eq!(quoted("eth0.5"), "eth0.5");
        assert_eq!(quoted("a;reboot"), "'a;reboot'");
        assert_eq!(quoted("it's"), r"'it'\''s'");
        assert_eq!(quoted(""), "''");
    }

    #[test]
    fn numbers_are_for_people() {
        assert_eq!(count(0), "0");
        assert_eq!(count(1_234_567), "1,234,567");
        assert_eq!(size(212_992), "208 KiB");
        assert_eq!(size(64 << 20), "64 MiB");
        assert_eq!(size(3 << 29), "1.5 GiB");
        assert_eq!(size(17), "17 bytes");
    }
}
