//! The keys, for a command line that has a flag for each.

use toml_edit::{Item, Key, Value};

use super::loaded::template;

/// A key of the template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// `section.key`.
    pub key: String,
    /// What it means, in a sentence or two: the first paragraph above the key.
    pub summary: String,
    /// What it may be, and the surprising case: the other paragraphs, a line each.
    pub detail: String,
    /// The default as it stands in the template, or in words where that is empty text; `None` for
    /// nothing and `false`.
    pub default: Option<String>,
    /// Whether it is true or false.
    pub switch: bool,
    /// Whether it is a list.
    pub list: bool,
}

/// Every key, in the order of the template.
pub fn settings() -> Vec<Setting> {
    let template = template();
    let mut settings = Vec::new();
    for (section, item) in template.iter() {
        let Some(table) = item.as_table() else { continue };
        for (name, item) in table.iter() {
            if let (Some(key), Item::Value(value)) = (table.key(name), item) {
                settings.push(setting(section, key, value));
            }
        }
    }
    settings
}

fn setting(section: &str, key: &Key, value: &Value) -> Setting {
    let above = key.leaf_decor().prefix().and_then(|prefix| prefix.as_str()).unwrap_or_default();
    let lines = above.lines().filter_map(|line| line.strip_prefix('#')).map(str::trim);
    let paragraphs: Vec<&str> = lines.collect();
    let mut paragraphs = paragraphs.split(|line| line.is_empty()).map(|lines| lines.join(" "));
    let summary = paragraphs.next().unwrap_or_default();
    let detail = paragraphs.collect::<Vec<_>>().join("\n");
    let shown = match value {
        Value::String(text) if text.value().is_empty() => meant(&detail).to_owned(),
        Value::String(text) => text.value().clone(),
        Value::Boolean(switch) if !switch.value() => String::new(),
        Value::Array(elements) => {
            let elements: Vec<_> = elements.iter().map(bare).collect();
            elements.join(", ")
        }
        other => other.to_string().trim().to_owned(),
    };
    Setting {
        key: format!("{section}.{}", key.get()),
        summary,
        detail,
        default: Some(shown).filter(|shown| !shown.is_empty()),
        switch: value.is_bool(),
        list: value.is_array(),
    }
}

/// What empty text stands for, where that is something.
fn meant(detail: &str) -> &str {
    let (_, behind) = detail.split_once("Empty for ").unwrap_or_default();
    let (meant, _) = behind.split_once(". ").unwrap_or((behind, ""));
    if meant.starts_with("no") { "" } else { meant.trim_end_matches('.') }
}

fn bare(element: &Value) -> String {
    element.as_str().map_or_else(|| element.to_string().trim().to_owned(), ToOwned::to_owned)
}
