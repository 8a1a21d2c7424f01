//! Messages are parsed as `serde_json` parses them, and the JSON format prints them unchanged.

use lxmon::event::json::{Content, JsonError, Text, Value as Node};
use lxmon::event::{Event, Malformed, Message, RemoteId, Requestor, Stages};
use lxmon::render::Format;
use serde_json::Value;

use super::{PIPE, TERMINAL, event, is_harmless, print};

/// The greatest nesting depth that `serde_json` accepts.
const THEIR_DEPTH: usize = 127;

/// Checks that whatever `serde_json` parses as an object with a `type` is an event with the same value, and that
/// `serde_json` refuses other events only because of its own limits.
pub fn envelope(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let theirs = serde_json::from_str::<Value>(text);
    // A tape that was used for another event must work for this one too.
    let used = event(r#"{"type":"x","metadata":[{"a\n":"\t"},[[]],1]}"#).and_then(Event::into_spare);
    match Event::decode(Message::from(text), RemoteId::default(), used) {
        Ok(event) => {
            match &theirs {
                Ok(theirs) => {
                    assert_eq!(&to_serde(event.root()), theirs);
                    envelope_is(&event, theirs);
                    json_gives_back(&event, theirs);
                }
                Err(error) => assert!(is_beyond_theirs(event.root(), 1), "{error}"),
            }
            look_at(&event);
        }
        Err(rejected) => {
            let has_type = theirs.is_ok_and(|theirs| theirs.get("type").is_some_and(Value::is_string));
            assert!(!has_type, "{}", rejected.why);
            assert_eq!(&*rejected.message, text);
            assert!(!rejected.why.to_string().is_empty());
            if let Malformed::Json(JsonError::Syntax(at)) = rejected.why {
                assert!(at < text.len(), "{at}");
            }
        }
    }
}

fn to_serde(value: Node<'_>) -> Value {
    match value.content() {
        Content::Null => Value::Null,
        Content::Bool(bool) => bool.into(),
        Content::Number(digits) => serde_json::from_str(digits).unwrap(),
        Content::String(text) => text.cow().into(),
        Content::Array(items) => items.map(to_serde).collect(),
        Content::Object(members) => members.map(|(key, value)| (key.cow().into_owned(), to_serde(value))).collect(),
    }
}

/// Whether the value contains what lxmon accepts and `serde_json` refuses: deep nesting, numbers out of range, lone
/// surrogates.
fn is_beyond_theirs(value: Node<'_>, depth: usize) -> bool {
    let is_unreadable = |text: &str| serde_json::from_str::<Value>(text).is_err();
    match value.content() {
        Content::Null | Content::Bool(_) => false,
        Content::Number(_) | Content::String(_) => is_unreadable(value.raw()),
        Content::Array(_) | Content::Object(_) if depth > THEIR_DEPTH => true,
        Content::Array(mut items) => items.any(|item| is_beyond_theirs(item, depth + 1)),
        Content::Object(mut members) => {
            members.any(|(key, value)| is_unreadable(&format!("\"{}\"", key.raw)) || is_beyond_theirs(value, depth + 1))
        }
    }
}

fn envelope_is(event: &Event, theirs: &Value) {
    let text = |name: &str| theirs[name].as_str().map(str::to_owned);
    let ours = |text: Option<Text<'_>>| text.map(|text| text.cow().into_owned());
    assert_eq!(ours(Some(event.type_text())), text("type"));
    assert_eq!(ours(event.timestamp_text()), text("timestamp"));
    assert_eq!(ours(event.location()), text("location"));
    assert_eq!(ours(event.project()), text("project").filter(|project| !project.is_empty()));
    assert_eq!(event.metadata().map(to_serde).as_ref(), theirs.get("metadata"));
    if let Some(moment) = event.timestamp() {
        assert_eq!(event.offset_time().and_then(|time| time.timestamp_nanos_opt()), Some(moment.0));
    }
}

fn json_gives_back(event: &Event, theirs: &Value) {
    for surface in [PIPE, TERMINAL] {
        let line = print(Format::Json, surface, event, None);
        assert!(line.ends_with('\n') && !line.trim_end().contains(['\n', '\r']), "{line:?}");
        assert_eq!(&serde_json::from_str::<Value>(&line).unwrap(), theirs);
        if surface == TERMINAL {
            // Unescaped tabs can only be between tokens.
            assert!(is_harmless(&line.replace('\t', "")), "{line:?}");
        } else if !event.spans_lines() {
            assert_eq!(line.trim_ascii(), event.text());
        }
        let line = print(Format::Json, surface, event, Some("n1"));
        assert!(line.starts_with("{\"remote\":\"n1\","), "{line:?}");
        assert!(serde_json::from_str::<Value>(&line).is_ok(), "{line:?}");
    }
}

/// Calls every accessor of an event.
fn look_at(event: &Event) {
    walk(event.root());
    let _ = format!("{:?} {:?}", event.root(), event.root().content());
    let metadata = event.metadata();
    if let Some(lifecycle) = event.lifecycle() {
        let parts = [lifecycle.action(), lifecycle.source()];
        parts.into_iter().flatten().for_each(text);
        requestor(lifecycle.requestor());
        lifecycle.context().into_iter().for_each(walk);
    }
    if let Some(operation) = event.operation() {
        let parts = [operation.id(), operation.description(), operation.created_at(), operation.status_text()];
        parts.into_iter().chain([operation.err()]).flatten().for_each(text);
        operation.entity_paths().chain(operation.old_entity_url()).for_each(text);
        assert!(operation.subjects().len() <= operation.entity_paths().count());
        let _ = (operation.returned(), Stages::default().advance(operation));
        operation.details().into_iter().for_each(walk);
        let _ = (operation.status(), operation.member("class"));
    }
    if let Some(logging) = event.logging() {
        [logging.message(), logging.level_text()].into_iter().flatten().for_each(text);
        logging.context().into_iter().for_each(walk);
        let _ = logging.level();
    }
    if let Some(security) = event.security() {
        let parts = [security.name(), security.level_text(), security.description(), security.project()];
        let request = [security.request_path(), security.request_method()];
        parts.into_iter().chain(request).flatten().for_each(text);
        requestor(security.requestor());
        assert!(security.entity_path().is_none_or(|path| path.starts_with("/1.0")));
    }
    if let Some(setting) = event.setting() {
        [setting.key(), setting.old_value(), setting.value()].into_iter().flatten().for_each(text);
    }
    if let Some(device) = event.device() {
        [device.action(), device.name(), device.device_type()].into_iter().flatten().for_each(text);
        device.config().into_iter().for_each(walk);
    }
    requestor(event.requestor());
    assert!(event.failure().is_none() || event.operation().is_some() || event.logging().is_some());
    // An event has at most one of these views, and only with metadata.
    let views = [
        event.lifecycle().is_some(),
        event.operation().is_some(),
        event.logging().is_some(),
        event.security().is_some(),
        event.setting().is_some(),
        event.device().is_some(),
    ];
    assert!(views.into_iter().filter(|has| *has).count() <= usize::from(metadata.is_some()));
}

fn requestor(requestor: Option<Requestor<'_>>) {
    if let Some(Requestor { protocol, username, address }) = requestor {
        [protocol, username, address].into_iter().for_each(text);
    }
}

fn text(text: Text<'_>) {
    let mut scratch = String::from("before");
    let whole = text.cow();
    assert_eq!(text.decode(&mut scratch), whole);
    assert!(text.is(&whole));
}

fn walk(value: Node<'_>) {
    match value.content() {
        Content::Null | Content::Bool(_) => {}
        Content::Number(digits) => assert_eq!(digits, value.raw()),
        Content::String(string) => text(string),
        Content::Array(items) => items.for_each(walk),
        Content::Object(members) => {
            assert!(
                members
                    .clone()
                    .key_indexes()
                    .map(|index| value.key(index).raw)
                    .eq(members.clone().map(|(key, _)| key.raw))
            );
            members.for_each(|(key, member)| {
                text(key);
                walk(member);
            });
        }
    }
}
