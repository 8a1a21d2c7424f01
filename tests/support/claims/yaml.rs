//! Documents read back as the event, and colours change nothing.

use lxmon::event::json::{Content, Value as Node};
use lxmon::render::Format;
use serde_json::Value;
use serde_yaml::Value as Yaml;

use super::{COLOR, PIPE, TERMINAL, event, is_harmless, print, stripped};

/// The YAML reader gives up on documents that nest deeper than about this.
const READABLE_DEPTH: usize = 100;

/// The document of any event is the event to a YAML reader.
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

/// Whether the YAML reader is up to it: it knows no integers of more than 64 bits, and nests so deep only.
fn is_readable(value: Node<'_>, depth: usize) -> bool {
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

/// Whether a YAML reader got the JSON back; numbers as the floats that most readers make of them.
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

/// Equal but for the last bit, which one of the readers gets wrong.
fn close(a: Option<f64>, b: Option<f64>) -> bool {
    a.zip(b).is_some_and(|(a, b)| (a - b).abs() <= a.abs() * 1e-14 + f64::MIN_POSITIVE)
}
