//! A YAML parser reads each document back as the event, and colours do not change the text.

use lxmon::event::json::{Content, Value as Node};
use lxmon::render::Format;
use serde_json::Value;
use serde_yaml::Value as Yaml;

use super::{COLOR, PIPE, TERMINAL, event, is_harmless, print, stripped};

/// The YAML parser refuses documents whose nesting is deeper than about this.
const READABLE_DEPTH: usize = 100;

/// Checks that a YAML parser reads the document of any event back as the event.
pub fn yaml(data: &[u8]) {
    let Some(event) = std::str::from_utf8(data).ok().and_then(event) else { return };
    for remote in [None, Some("n1")] {
        let pipe = print(Format::Yaml, PIPE, &event, remote);
        let terminal = print(Format::Yaml, TERMINAL, &event, remote);
        assert!(is_harmless(&terminal), "{terminal:?}");
        assert_eq!(stripped(&print(Format::Yaml, COLOR, &event, remote)), terminal);
        let Ok(mut wanted) = serde_json::from_str::<Value>(event.text()) else { continue };
        if !is_readable(event.root(), 1) {
            continue;
        }
        if let Some(remote) = remote {
            wanted["remote"] = remote.into();
        }
        for text in [pipe, terminal] {
            let back: Yaml = serde_yaml::from_str(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
            assert!(same(&wanted, &back), "{text}\n{back:?}");
        }
    }
}

/// Whether the YAML parser can read the value: it supports integers of at most 64 bits, and limited nesting.
pub(super) fn is_readable(value: Node<'_>, depth: usize) -> bool {
    match value.content() {
        Content::Null | Content::Bool(_) | Content::String(_) => true,
        Content::Number(digits) => {
            digits.contains(['.', 'e', 'E']) || digits.parse::<i64>().is_ok() || digits.parse::<u64>().is_ok()
        }
        Content::Array(_) | Content::Object(_) if depth > READABLE_DEPTH => false,
        Content::Array(mut items) => items.all(|item| is_readable(item, depth + 1)),
        Content::Object(mut members) => members.all(|(_, value)| is_readable(value, depth + 1)),
    }
}

/// Whether the YAML value equals the JSON value. Numbers are compared as floats, as most parsers read them.
pub fn same(json: &Value, yaml: &Yaml) -> bool {
    match (json, yaml) {
        (Value::Null, Yaml::Null) => true,
        (Value::Bool(a), Yaml::Bool(b)) => a == b,
        (Value::String(a), Yaml::String(b)) => a == b,
        (Value::Number(a), Yaml::Number(b)) => close(a.as_f64(), b.as_f64()),
        (Value::Array(a), Yaml::Sequence(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Object(a), Yaml::Mapping(b)) => {
            a.len() == b.len() && a.iter().all(|(key, value)| b.get(&**key).is_some_and(|other| same(value, other)))
        }
        _ => false,
    }
}

/// Whether the numbers are equal except for rounding in the last bits, where one of the parsers is inexact.
pub(super) fn close(a: Option<f64>, b: Option<f64>) -> bool {
    a.zip(b).is_some_and(|(a, b)| (a - b).abs() <= a.abs() * 1e-14 + f64::MIN_POSITIVE)
}
