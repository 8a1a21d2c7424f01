//! What `--redact` leaves of an event is an event without the values of secrets, and all other bytes are the same.

use std::ops::Range;

use lxmon::event::json::{Content, Value as Node};
use lxmon::event::{Event, Type};
use lxmon::transform::redacted;

use super::event;

/// What stands in place of a secret.
const MARK: &str = "***";

/// Keys whose values are secret, whatever the event (operations of both servers, and their configuration).
const SECRET: [&str; 13] = [
    "secret",
    "password",
    "token",
    "tokens",
    "trust_token",
    "fds",
    "environment",
    "control",
    "fs",
    "criu",
    "websockets",
    "access-key",
    "secret-key",
];

/// Checks what is left of an event.
pub fn redact(data: &[u8]) {
    let Some(before) = std::str::from_utf8(data).ok().and_then(event) else { return };
    let shown = redacted(&before).unwrap_or_else(|| before.text().to_owned());
    // White space around the event is no part of its text.
    let shown = shown.trim_ascii();
    let after = event(shown).unwrap_or_else(|| panic!("no event is left: {shown}"));
    let (old, new) = (leaves(&before), leaves(&after));
    assert_eq!(old.len(), new.len(), "{shown}");
    let (mut old_end, mut new_end) = (0, 0);
    for (old, new) in old.iter().zip(&new) {
        let is_quoted = old.is_number && !new.is_number;
        let quote = usize::from(is_quoted);
        let between = &shown[new_end..new.range.start - quote];
        assert_eq!(between, &before.text()[old_end..old.range.start], "{shown}");
        compare(old, new, &before.text()[old.range.clone()], &shown[new.range.clone()]);
        (old_end, new_end) = (old.range.end, new.range.end + quote);
    }
    assert_eq!(before.text()[old_end..], shown[new_end..]);
}

/// A string, without its quotation marks, or a number.
struct Leaf {
    range: Range<usize>,
    is_number: bool,
    /// Whether it is the value of a secret, or within it.
    is_secret: bool,
}

fn compare(old: &Leaf, new: &Leaf, before: &str, after: &str) {
    if old.is_secret {
        assert!(after == MARK || (before.is_empty() && after.is_empty()), "a secret is shown: {after:?}");
    } else if old.is_number {
        assert!(after == before || (after == MARK && !new.is_number), "{before} became {after}");
    } else {
        // What is left stands in the same order in what was there, and begins and ends as that.
        // Beside an asterisk that was there, it is not known where the mark begins.
        let parts: Vec<_> = if before.contains('*') { Vec::new() } else { after.split(MARK).collect() };
        let mut rest = before;
        for part in &parts {
            let at = rest.find(part).unwrap_or_else(|| panic!("{part:?} of {after:?} is not in {before:?}"));
            rest = &rest[at + part.len()..];
        }
        assert!(parts.len() != 1 || after == before, "{before:?} became {after:?}");
        if let [first, .., last] = &parts[..] {
            assert!(before.starts_with(first) && before.ends_with(last), "{before:?} became {after:?}");
        }
        for parameter in ["?secret=", "&secret="] {
            for (at, _) in after.match_indices(parameter) {
                let value = &after[at + parameter.len()..];
                assert!(
                    !value.starts_with(|first: char| first.is_ascii_alphanumeric()),
                    "a secret is shown: {after:?}"
                );
            }
        }
    }
}

/// The strings and numbers of an event, in their order.
fn leaves(event: &Event) -> Vec<Leaf> {
    let mut found = Vec::new();
    let is_setting = event.event_type() == Type::Config;
    for (key, value) in event.root().members() {
        let is_metadata = is_setting && key.is("metadata");
        match value.content() {
            Content::Object(members) if is_metadata => {
                for (key, value) in members {
                    let is_value = key.is("value") || key.is("old_value");
                    collect(event, value, is_value || SECRET.contains(&&*key.cow()), &mut found);
                }
            }
            _ => collect(event, value, SECRET.contains(&&*key.cow()), &mut found),
        }
    }
    found
}

fn collect(event: &Event, value: Node<'_>, is_secret: bool, found: &mut Vec<Leaf>) {
    let range = |part: &str| {
        let start = part.as_ptr().addr() - event.text().as_ptr().addr();
        start..start + part.len()
    };
    match value.content() {
        Content::Null | Content::Bool(_) => {}
        Content::Number(digits) => found.push(Leaf { range: range(digits), is_number: true, is_secret }),
        Content::String(text) => found.push(Leaf { range: range(text.raw), is_number: false, is_secret }),
        Content::Array(items) => items.for_each(|item| collect(event, item, is_secret, found)),
        Content::Object(members) => {
            for (key, value) in members {
                collect(event, value, is_secret || SECRET.contains(&&*key.cow()), found);
            }
        }
    }
}
