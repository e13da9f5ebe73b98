//! The defaults, with a file and then the command line laid over them.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use toml_edit::{Array, Document, DocumentMut, Item, Value};

use super::error::{Mistake, Origin};
use super::{Config, Error};

/// Every key with its default, and its documentation.
const TEMPLATE: &str = include_str!("default.toml");

/// Keys that a reload changes; any other waits for a restart.
pub const RELOADABLE: [&str; 12] = [
    "events.flags",
    "events.retransmissions",
    "events.rotate_bytes",
    "events.rotate_every",
    "events.keep",
    "events.min_free",
    "flows.rotate_bytes",
    "flows.rotate_every",
    "flows.keep",
    "flows.min_free",
    "telemetry.log_every",
    "telemetry.log_level",
];

/// What was given on the command line for a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Given {
    /// `section.key`.
    pub key: String,
    /// The flag, as it is named in errors.
    pub flag: String,
    /// Its values: one, but for lists.
    pub values: Vec<String>,
}

/// A configuration, and the text that says the same.
///
/// [`Display`](fmt::Display) writes the template with the values in force in their places. Loaded as
/// a file, that is the same [`Config`].
#[derive(Clone, Debug)]
pub struct Loaded {
    /// What is in force.
    pub config: Config,
    file: Option<PathBuf>,
    given: Vec<Given>,
    document: DocumentMut,
}

/// A key whose value a reload found changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// `section.key`.
    pub key: String,
    /// The value in force before, as TOML.
    pub from: String,
    /// The value in the file now, as TOML.
    pub to: String,
    /// Whether it is in force now. If not, it will be after a restart.
    pub applied: bool,
}

impl Loaded {
    /// Reads a file, where there is one; what was given on the command line goes before it.
    ///
    /// # Errors
    ///
    /// The file cannot be read, or there is a mistake in it or on the command line: all of them.
    pub fn load(file: Option<&Path>, given: &[Given]) -> Result<Self, Error> {
        let mut layers = Layers::default();
        if let Some(path) = file {
            let cause = |cause| Error::Read { path: path.to_path_buf(), cause };
            layers.file(path, &fs::read_to_string(path).map_err(cause)?);
        }
        for given in given {
            layers.given(given);
        }
        let (config, document) = layers.config()?;
        let file = file.map(Path::to_path_buf);
        Ok(Self { config, file, given: given.to_vec(), document })
    }

    /// The file that it was read from.
    pub fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// Reads the file again, and brings those of its changes in force that a collector can follow
    /// while it runs ([`RELOADABLE`]).
    ///
    /// # Errors
    ///
    /// As of [`load`](Self::load). Nothing is changed then.
    pub fn reload(&mut self) -> Result<Vec<Change>, Error> {
        let new = Self::load(self.file.as_deref(), &self.given)?;
        let mut changes = Vec::new();
        let mut document = self.document.clone();
        for (section, key, value) in values(&new.document) {
            let Some(running) = value_mut(&mut document, section, key) else { continue };
            let [from, to] = [&*running, value].map(|value| value.to_string().trim().to_owned());
            if from == to {
                continue;
            }
            let key = format!("{section}.{key}");
            // Until uploads that remove files have changed as well, nothing else may.
            let is_held = key.ends_with(".keep") && self.config.upload_removes();
            let applied = RELOADABLE.contains(&key.as_str()) && !is_held;
            if applied {
                *running = value.clone();
            }
            changes.push(Change { key, from, to, applied });
        }
        let layers = Layers { document, ..Layers::default() };
        (self.config, self.document) = layers.config()?;
        Ok(changes)
    }
}

impl fmt::Display for Loaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.document.fmt(f)
    }
}

/// The template, and what is laid over it, layer by layer.
#[derive(Debug)]
struct Layers {
    document: DocumentMut,
    /// Of values that are not the template's.
    origins: BTreeMap<String, Origin>,
    mistakes: Vec<Mistake>,
}

impl Default for Layers {
    fn default() -> Self {
        Self { document: template(), origins: BTreeMap::new(), mistakes: Vec::new() }
    }
}

impl Layers {
    fn file(&mut self, path: &Path, text: &str) {
        let at = |span: Option<std::ops::Range<usize>>| {
            let before = span.and_then(|span| text.get(..span.start)).unwrap_or_default();
            Origin::File(path.to_path_buf(), before.matches('\n').count() + 1)
        };
        // One has the places, the other values that stand alone.
        let (places, values) = match (Document::parse(text), text.parse::<DocumentMut>()) {
            (Ok(places), Ok(values)) => (places, values),
            (Err(error), _) | (_, Err(error)) => {
                let message = error.message().replace('\n', ", ");
                self.mistake(at(error.span()), "not TOML".into(), message);
                return;
            }
        };
        for (section, item) in places.iter() {
            let span = places.as_table().key(section).and_then(toml_edit::Key::span);
            let Some(table) = item.as_table_like() else {
                self.stray(at(span), section, item);
                continue;
            };
            if !self.document.contains_key(section) {
                let wrong = format!("no such section{}", self.near_section(section));
                self.mistake(at(span), format!("[{section}]"), wrong);
                continue;
            }
            for (key, _) in table.iter() {
                let origin = at(table.key(key).and_then(toml_edit::Key::span));
                let value = values.get(section).and_then(|item| item.get(key));
                self.lay(origin, section, key, value);
            }
        }
    }

    /// Something that stands beside the sections.
    fn stray(&mut self, origin: Origin, key: &str, item: &Item) {
        let wrong = match self.section_of(key) {
            _ if item.is_array_of_tables() => "a section stands in single brackets".to_owned(),
            Some(section) => format!("keys stand in sections; {key} is in [{section}]"),
            None => format!("keys stand in sections{}", self.near_section(key)),
        };
        self.mistake(origin, key.to_owned(), wrong);
    }

    fn lay(&mut self, origin: Origin, section: &str, key: &str, item: Option<&Item>) {
        let name = format!("{section}.{key}");
        let Some(running) = value_mut(&mut self.document, section, key) else {
            let wrong = format!("no such key{}", self.near_key(section, key));
            self.mistake(origin, name, wrong);
            return;
        };
        let Some(value) = item.and_then(Item::as_value) else {
            self.mistake(origin, name, "is a key, not a section".to_owned());
            return;
        };
        replace(running, value.clone());
        self.origins.insert(name, origin);
    }

    fn given(&mut self, given: &Given) {
        let origin = Origin::Flag(given.flag.clone());
        let (section, key) = given.key.split_once('.').unwrap_or_default();
        let template = template();
        let Some(running) = value_mut(&mut self.document, section, key) else {
            self.mistake(origin, given.flag.clone(), format!("no such key: {}", given.key));
            return;
        };
        let like = value_of(&template, section, key).unwrap_or(running);
        replace(running, typed(like, &given.values));
        self.origins.insert(given.key.clone(), origin);
    }

    /// What all of it means. A value that is refused is a mistake; the template's stands in for it,
    /// so that further mistakes are found.
    fn config(mut self) -> Result<(Config, DocumentMut), Error> {
        let template = template();
        let mut document = self.document.clone();
        let config = loop {
            match Config::read(document.as_table()) {
                Ok(config) => break Some(config),
                Err(refused) => {
                    let name = format!("{}.{}", refused.section, refused.key);
                    let (origin, value) = match self.origins.remove(&name) {
                        Some(origin) => (origin, value_of(&document, refused.section, refused.key)),
                        None => (Origin::Template, None),
                    };
                    let shown = value.map(|value| value.to_string()).unwrap_or_default();
                    let shown = shown.trim();
                    let said = match &origin {
                        Origin::Flag(flag) => {
                            format!("{flag} {}", shown.trim_matches(['"', '[', ']']))
                        }
                        Origin::Template | Origin::File(..) => format!("{name} = {shown}"),
                    };
                    let is_bug = origin == Origin::Template;
                    self.mistake(origin, said, refused.wrong);
                    let default = value_of(&template, refused.section, refused.key);
                    let running = value_mut(&mut document, refused.section, refused.key);
                    let (Some(running), Some(default), false) = (running, default, is_bug) else {
                        break None;
                    };
                    *running = default.clone();
                }
            }
        };
        match config {
            Some(config) if self.mistakes.is_empty() => Ok((config, self.document)),
            _ => {
                self.mistakes.sort_by(|a, b| a.origin.cmp(&b.origin));
                Err(Error::Wrong(self.mistakes))
            }
        }
    }

    fn mistake(&mut self, origin: Origin, said: String, wrong: String) {
        self.mistakes.push(Mistake { origin, said, wrong });
    }

    /// A word on what may have been meant by a key.
    fn near_key(&self, section: &str, key: &str) -> String {
        let keys = values(&self.document).filter(|(of, ..)| *of == section);
        if let Some(near) = nearest(key, keys.map(|(_, key, _)| key)) {
            return format!("; did you mean {near}?");
        }
        match self.section_of(key) {
            Some(section) => format!("; {key} is in [{section}]"),
            None => "; vtap collect --print-config shows all".to_owned(),
        }
    }

    fn near_section(&self, section: &str) -> String {
        let sections: Vec<_> = self.document.iter().map(|(name, _)| name).collect();
        match nearest(section, sections.iter().copied()) {
            Some(near) => format!("; did you mean [{near}]?"),
            None => format!("; there are [{}]", sections.join("], [")),
        }
    }

    fn section_of(&self, key: &str) -> Option<&str> {
        values(&self.document).find(|(_, name, _)| *name == key).map(|(section, ..)| section)
    }
}

/// The template, parsed.
pub(super) fn template() -> DocumentMut {
    // A test holds it to be TOML; an empty one has no key, and every one of them is missed.
    TEMPLATE.parse().unwrap_or_default()
}

/// Every value, with its section and key.
fn values(document: &DocumentMut) -> impl Iterator<Item = (&str, &str, &Value)> {
    let tables = document.iter().filter_map(|(name, item)| Some((name, item.as_table()?)));
    tables.flat_map(|(section, table)| {
        let values = table.iter().filter_map(|(key, item)| Some((key, item.as_value()?)));
        values.map(move |(key, value)| (section, key, value))
    })
}

fn value_of<'a>(document: &'a DocumentMut, section: &str, key: &str) -> Option<&'a Value> {
    document.get(section)?.get(key)?.as_value()
}

fn value_mut<'a>(document: &'a mut DocumentMut, section: &str, key: &str) -> Option<&'a mut Value> {
    document.get_mut(section)?.as_table_mut()?.get_mut(key)?.as_value_mut()
}

/// Puts a value into the place of another: what is around it stays.
fn replace(running: &mut Value, mut value: Value) {
    value.decor_mut().clone_from(running.decor());
    *running = value;
}

/// What was typed, as a value of the type that the key has. What is none is left as text, for the
/// key to refuse.
fn typed(like: &Value, typed: &[String]) -> Value {
    let one = |text: &String| match text.parse::<i64>() {
        Ok(number) => Value::from(number),
        Err(_) => Value::from(text.as_str()),
    };
    let last = typed.last();
    match like {
        Value::Array(elements) if elements.iter().all(Value::is_str) => {
            typed.iter().collect::<Array>().into()
        }
        Value::Array(_) => typed.iter().map(one).collect::<Array>().into(),
        Value::Boolean(_) => match last.map_or("true", String::as_str).parse::<bool>() {
            Ok(switch) => switch.into(),
            Err(_) => last.map_or("", String::as_str).into(),
        },
        Value::Integer(_) => last.map_or_else(|| "".into(), one),
        _ => last.map_or("", String::as_str).into(),
    }
}

/// The name that is most like a word, if one is.
fn nearest<'a>(word: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let likeness = |name| strsim::jaro_winkler(word, name);
    let rated = names.map(|name| (likeness(name), name)).filter(|(likeness, _)| *likeness > 0.8);
    rated.max_by(|(a, _), (b, _)| a.total_cmp(b)).map(|(_, name)| name)
}
