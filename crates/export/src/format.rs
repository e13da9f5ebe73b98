//! Names of the formats.

use std::fmt;
use std::str::FromStr;

use crate::{FlagSet, flow_text, text};

/// How events are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Format {
    /// Aligned columns: [`Text`](crate::Text).
    #[default]
    Text,
    /// JSON lines: [`Json`](crate::Json).
    Json,
    /// The firewall's flow trace: [`Azure`](crate::Azure).
    Azure,
    /// Not at all, for runs that only count.
    None,
}

impl Format {
    /// Every format.
    pub const ALL: [Self; 4] = [Self::Text, Self::Json, Self::Azure, Self::None];

    /// The name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Json => "json",
            Self::Azure => "azure",
            Self::None => "none",
        }
    }

    /// The events that it shows unless asked otherwise: what the firewall logs in its own shape,
    /// everything elsewhere.
    pub const fn flags(self) -> FlagSet {
        match self {
            Self::Azure => FlagSet::AZURE,
            Self::Text | Self::Json | Self::None => FlagSet::ALL,
        }
    }

    /// The file of a log in an output directory; `None` where the format has none of it.
    pub const fn file_name(self, log: Log) -> Option<&'static str> {
        match (self, log) {
            (Self::Text, Log::Events) => Some("events.txt"),
            (Self::Json, Log::Events) => Some("events.json"),
            (Self::Azure, Log::Events) => Some("flow-trace.json"),
            (Self::Text, Log::Flows) => Some("flows.txt"),
            (Self::Json, Log::Flows) => Some("flows.jsonl"),
            (Self::Azure, Log::Flows) | (Self::None, _) => None,
        }
    }

    /// What a file begins with before the first row: the headings of text, nothing elsewhere.
    pub fn head(self, log: Log) -> String {
        match (self, log) {
            (Self::Text, Log::Events) => text::headings(),
            (Self::Text, Log::Flows) => flow_text::headings(),
            (Self::Json | Self::Azure | Self::None, _) => String::new(),
        }
    }
}

/// What rows are about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Log {
    /// Packets of flows: events, and gaps of mirrors.
    Events,
    /// Flows as a whole.
    Flows,
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// By name, in lower case.
impl FromStr for Format {
    type Err = UnknownFormat;

    fn from_str(name: &str) -> Result<Self, UnknownFormat> {
        Self::ALL
            .into_iter()
            .find(|format| format.name() == name)
            .ok_or_else(|| UnknownFormat(name.into()))
    }
}

/// A name that is no format.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownFormat(String);

impl fmt::Display for UnknownFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no such format: `{}`; there are text, json, azure and none", self.0)
    }
}

impl std::error::Error for UnknownFormat {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_reads_back_and_a_wrong_one_is_answered_with_the_right_ones() {
        let mut names = Vec::new();
        for format in Format::ALL {
            assert_eq!(format.to_string().parse(), Ok(format));
            names.push(format.name());
        }
        let error = "csv".parse::<Format>().unwrap_err().to_string();
        assert!(names.iter().all(|name| error.contains(name)) && error.contains("`csv`"));
    }
}
