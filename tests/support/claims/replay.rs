//! The events of a recording are those that a simple reader finds in it: in JSON of any layout, and in the YAML that lxmon
//! and the clients print.

use std::io::{Seek as _, Write as _};

use lxmon::event::Event;
use lxmon::render::Format;
use lxmon::source::replay::messages;
use serde_json::Value;
use serde_json::value::RawValue;

use super::yaml::{close, is_readable};
use super::{PIPE, event, print};

/// How much longer a YAML document can become in JSON: `\u0001` for one byte.
const GROWTH: usize = 6;

/// The limit of one message, which is that of the program.
const LONGEST: usize = 64 << 20;

/// Checks that a recording is read to its end, in bounded memory, and that nothing is lost or made up.
pub fn replay(data: &[u8]) {
    let found = read(data);
    if let Ok(found) = &found {
        let length: usize = found.iter().map(String::len).sum();
        // An alias stands for any part of the document.
        let aliases = if data.contains(&b'*') { LONGEST } else { 0 };
        assert!(length <= GROWTH * data.len() + aliases, "{length} bytes from {}", data.len());
    }
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Some(events) = events_in_json(text) {
        assert_eq!(found.expect("it is JSON with events"), events);
    }
    let events: Vec<_> = text.lines().filter_map(event).filter(is_like_a_servers).collect();
    if !events.is_empty() {
        yaml_is(&events);
    }
}

/// The messages in a recording, or why it is none.
fn read(recording: &[u8]) -> Result<Vec<String>, String> {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(recording).unwrap();
    file.rewind().unwrap();
    messages(file).map_err(|error| format!("{error:#}"))
}

/// The texts of the events, if the recording is nothing but events and arrays of events.
fn events_in_json(text: &str) -> Option<Vec<String>> {
    let mut events = Vec::new();
    for value in serde_json::Deserializer::from_str(text).into_iter::<&RawValue>() {
        let value = value.ok()?.get();
        if value.starts_with('[') {
            let items: Vec<&RawValue> = serde_json::from_str(value).ok()?;
            events.extend(items.into_iter().map(|item| item.get().to_owned()));
        } else {
            events.push(value.to_owned());
        }
    }
    let is_simple = |text: &String| text.contains(r#""type""#) && event(text).is_some();
    // In an event without indentation, a line that is an event is one of its own: what stands before it was cut off.
    let is_flat = events.iter().all(|event| !event.contains("\n{"));
    (!events.is_empty() && is_flat && events.iter().all(is_simple)).then_some(events)
}

/// Whether the event is one that every YAML parser can read, and whose form leaves no doubt where it ends: its type is a
/// word, and each key is there once.
fn is_like_a_servers(event: &Event) -> bool {
    let is_word =
        |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    let mut keys: Vec<_> = event.root().members().map(|(key, _)| key.cow().into_owned()).collect();
    let is_usual = |key: &String| ["location", "metadata", "project", "timestamp", "type"].contains(&&**key);
    let are_usual = keys.iter().all(is_usual);
    keys.sort_unstable();
    keys.dedup();
    let are_different = keys.len() == event.root().members().count();
    let is_parsed = serde_json::from_str::<Value>(event.text()).is_ok();
    are_usual && are_different && is_parsed && is_word(&event.type_text().cow()) && is_readable(event.root(), 1)
}

/// Checks that what lxmon and the clients print of the events is read as the same events.
fn yaml_is(events: &[Event]) {
    let documents: Vec<_> = events.iter().map(|event| print(Format::Yaml, PIPE, event, None)).collect();
    let ours = documents.concat();
    // The clients print two empty lines behind a document, in place of the mark before it.
    let of_clients: Vec<_> = documents.iter().map(|text| [text.trim_start_matches("---\n"), "\n\n"].concat()).collect();
    let wanted: Vec<Value> = events.iter().map(|event| serde_json::from_str(event.text()).unwrap()).collect();
    for yaml in [ours, of_clients.concat()] {
        let found = read(yaml.as_bytes()).unwrap_or_else(|error| panic!("{error}:\n{yaml}"));
        let found: Vec<Value> = found.iter().map(|text| serde_json::from_str(text).unwrap()).collect();
        assert!(found.len() == wanted.len() && found.iter().zip(&wanted).all(|(a, b)| same(a, b)), "{found:?}\n{yaml}");
    }
}

/// Whether the values are equal but for the last bits of numbers, in which the parser of the test is not exact: YAML 1.1
/// has to have a point in `1.0e+30`.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a == b || close(a.as_f64(), b.as_f64()),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| same(a, b)))
        }
        _ => a == b,
    }
}
