//! Values of one section, by type. Each says what it may be when it is not.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::time::Duration;

use bytesize::ByteSize;
use toml_edit::{Table, Value};

/// A value that cannot be used.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) section: &'static str,
    pub(super) key: &'static str,
    /// What is allowed.
    pub(super) wrong: String,
}

/// A section of the template, with what was laid over it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Section<'a> {
    pub(super) name: &'static str,
    pub(super) table: &'a Table,
}

impl<'a> Section<'a> {
    pub(super) fn refuse(&self, key: &'static str, wrong: impl Into<String>) -> Refused {
        Refused { section: self.name, key, wrong: wrong.into() }
    }

    /// The value of a key, if `read` can make something of it.
    pub(super) fn read<T, W: Display>(
        &self,
        key: &'static str,
        read: impl FnOnce(&'a Value) -> Result<T, W>,
    ) -> Result<T, Refused> {
        let value = self.table.get(key).and_then(toml_edit::Item::as_value);
        let value = value.ok_or_else(|| self.refuse(key, "not in the template"))?;
        read(value).map_err(|wrong| self.refuse(key, wrong.to_string()))
    }

    pub(super) fn switch(&self, key: &'static str) -> Result<bool, Refused> {
        self.read(key, |value| value.as_bool().ok_or("expected true or false"))
    }

    pub(super) fn text(&self, key: &'static str) -> Result<&'a str, Refused> {
        self.read(key, |value| value.as_str().ok_or("expected text in quotes"))
    }

    /// Text; empty for none.
    pub(super) fn optional(&self, key: &'static str) -> Result<Option<String>, Refused> {
        Ok(Some(self.text(key)?).filter(|text| !text.is_empty()).map(ToOwned::to_owned))
    }

    /// Text that is a `T`; empty for none.
    pub(super) fn parsed<T>(&self, key: &'static str, expected: &str) -> Result<Option<T>, Refused>
    where
        T: std::str::FromStr,
        T::Err: Display,
    {
        match self.text(key)? {
            "" => Ok(None),
            text => text
                .parse()
                .map(Some)
                .map_err(|error: T::Err| self.refuse(key, format!("{error}{expected}"))),
        }
    }

    /// One of several names.
    pub(super) fn choice<T: Copy>(
        &self,
        key: &'static str,
        names: &[(&str, T)],
    ) -> Result<T, Refused> {
        self.read(key, |value| {
            let named = |&&(name, _): &&(&str, T)| value.as_str() == Some(name);
            names.iter().find(named).map(|&(_, chosen)| chosen).ok_or_else(|| {
                let mut names: Vec<_> = names.iter().map(|(name, _)| format!("{name:?}")).collect();
                let last = names.pop().unwrap_or_default();
                format!("expected {} or {last}", names.join(", "))
            })
        })
    }

    /// One of several names; empty for none.
    pub(super) fn optional_choice<T: Copy>(
        &self,
        key: &'static str,
        names: &[(&str, T)],
    ) -> Result<Option<T>, Refused> {
        let mut names: Vec<_> = names.iter().map(|&(name, chosen)| (name, Some(chosen))).collect();
        names.push(("", None));
        self.choice(key, &names)
    }

    pub(super) fn number<T: TryFrom<i64>>(
        &self,
        key: &'static str,
        range: RangeInclusive<i64>,
    ) -> Result<T, Refused> {
        self.read(key, |value| {
            let (least, most) = (range.start(), range.end());
            let expected = || format!("expected a whole number from {least} to {most}");
            number(value, &range).ok_or_else(expected)
        })
    }

    /// A number; 0 for none.
    pub(super) fn optional_number<T: TryFrom<i64>>(
        &self,
        key: &'static str,
        range: RangeInclusive<i64>,
    ) -> Result<Option<T>, Refused> {
        self.none_or(key, |section| section.number(key, range))
    }

    pub(super) fn size<T: TryFrom<u64>>(
        &self,
        key: &'static str,
        range: RangeInclusive<u64>,
    ) -> Result<T, Refused> {
        self.read(key, |value| {
            let bytes = match value {
                Value::Integer(bytes) => u64::try_from(*bytes.value()).ok(),
                Value::String(text) => text.value().parse().ok().map(|ByteSize(bytes)| bytes),
                _ => None,
            };
            let bytes = bytes.filter(|bytes| range.contains(bytes));
            bytes.and_then(|bytes| T::try_from(bytes).ok()).ok_or_else(|| {
                let [least, most] = [range.start(), range.end()].map(|bytes| shown_size(*bytes));
                format!("expected a size from {least} to {most}, such as \"64MiB\"")
            })
        })
    }

    /// A size; 0 for none.
    pub(super) fn optional_size<T: TryFrom<u64>>(
        &self,
        key: &'static str,
        range: RangeInclusive<u64>,
    ) -> Result<Option<T>, Refused> {
        self.none_or(key, |section| section.size(key, range))
    }

    pub(super) fn span(
        &self,
        key: &'static str,
        range: RangeInclusive<Duration>,
    ) -> Result<Duration, Refused> {
        self.read(key, |value| {
            span(value).filter(|span| range.contains(span)).ok_or_else(|| {
                let [least, most] = [range.start(), range.end()].map(|span| shown_span(*span));
                format!("expected a span from {least} to {most}, such as \"250ms\" or \"1h\"")
            })
        })
    }

    /// A span; 0 for none.
    pub(super) fn optional_span(
        &self,
        key: &'static str,
        range: RangeInclusive<Duration>,
    ) -> Result<Option<Duration>, Refused> {
        self.none_or(key, |section| section.span(key, range))
    }

    /// A span; empty text for none.
    pub(super) fn span_or_empty(
        &self,
        key: &'static str,
        most: Duration,
    ) -> Result<Option<Duration>, Refused> {
        match self.read(key, |value| Ok::<_, String>(value.as_str() == Some("")))? {
            true => Ok(None),
            false => self.span(key, Duration::ZERO..=most).map(Some),
        }
    }

    /// A list of what `read` can make something of, with one element at least.
    pub(super) fn list<T>(
        &self,
        key: &'static str,
        expected: &str,
        read: impl Fn(&Value) -> Option<T>,
    ) -> Result<Vec<T>, Refused> {
        self.read(key, |value| {
            let elements = value.as_array().filter(|elements| !elements.is_empty());
            let read = elements.and_then(|elements| elements.iter().map(read).collect());
            read.ok_or(expected)
        })
    }

    /// `None` for 0, else what `read` makes of it; where that fails, it says that 0 is allowed too.
    fn none_or<T>(
        &self,
        key: &'static str,
        read: impl FnOnce(&Self) -> Result<T, Refused>,
    ) -> Result<Option<T>, Refused> {
        let zero = |value: &Value| value.as_integer() == Some(0) || value.as_str() == Some("0");
        if self.read(key, |value| Ok::<_, String>(zero(value)))? {
            return Ok(None);
        }
        let more = |refused: Refused| self.refuse(key, format!("{}, or 0 for none", refused.wrong));
        read(self).map(Some).map_err(more)
    }
}

/// A whole number within a range.
pub(super) fn number<T: TryFrom<i64>>(value: &Value, range: &RangeInclusive<i64>) -> Option<T> {
    let number = value.as_integer().filter(|number| range.contains(number))?;
    T::try_from(number).ok()
}

/// Seconds, or text: seconds as well, or numbers with units.
fn span(value: &Value) -> Option<Duration> {
    let seconds = |seconds| Duration::try_from_secs_f64(seconds).ok();
    match value {
        Value::Integer(number) => u64::try_from(*number.value()).ok().map(Duration::from_secs),
        Value::Float(number) => seconds(*number.value()),
        Value::String(text) => match text.value().parse() {
            Ok(number) => seconds(number),
            Err(_) => humantime::parse_duration(text.value()).ok(),
        },
        _ => None,
    }
}

/// A number of bytes, in the largest unit that has no fraction.
fn shown_size(bytes: u64) -> String {
    let units = [(40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")];
    let unit = units.iter().find(|(bits, _)| bytes >> bits << bits == bytes && bytes > 0);
    unit.map_or_else(|| bytes.to_string(), |(bits, unit)| format!("{}{unit}", bytes >> bits))
}

/// A span, in the largest unit that has no fraction.
fn shown_span(span: Duration) -> String {
    let seconds = span.as_secs();
    let units = [(86_400, "d"), (3600, "h"), (60, "m"), (1, "s")];
    let unit = units.iter().find(|(unit, _)| seconds > 0 && seconds.is_multiple_of(*unit));
    unit.map_or_else(|| seconds.to_string(), |(unit, name)| format!("{}{name}", seconds / unit))
}
