//! Names of the formats.

use std::fmt;
use std::str::FromStr;

use crate::{FlagSet, text};

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

    /// The file in an output directory.
    pub const fn file_name(self) -> Option<&'static str> {
        match self {
            Self::Text => Some("events.txt"),
            Self::Json => Some("events.json"),
            Self::Azure => Some("flow-trace.json"),
            Self::None => None,
        }
    }

    /// What a file begins with before the first event: the headings of text, nothing elsewhere.
    pub fn head(self) -> String {
        match self {
            Self::Text => text::headings(),
            Self::Json | Self::Azure | Self::None => String::new(),
        }
    }
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
