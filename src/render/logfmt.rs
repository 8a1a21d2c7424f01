//! The `logfmt` format: the line that `lxc monitor --pretty` prints to a pipe. The clients convert an event to a log
//! record (`ToLogging` in both servers' `shared/api/event.go`), which logrus' `TextFormatter` prints.

use std::cmp::Ordering;
use std::io::Write as _;

use chrono::SecondsFormat;

use super::{Surface, sanitize};
use unicode_properties::{GeneralCategoryGroup, UnicodeGeneralCategory as _};

use crate::event::json::{Content, Text, Value};
use crate::event::{Event, Lifecycle, Logging, Operation, REMOTE, Requestor, Security};

/// The renderer of the format.
#[derive(Debug)]
pub struct Logfmt {
    surface: Surface,
    /// Buffer for a value before it is quoted.
    value: String,
    /// Buffer for decoded strings.
    scratch: String,
    /// Buffer for the sorted keys of a context: their indexes on the tape.
    keys: Vec<u32>,
}

/// The keys that logrus reserves. A key of the context with such a name gets the prefix [`CLASH`].
const FIXED: [&str; 3] = ["time", "level", "msg"];
const CLASH: &str = "fields.";

impl Logfmt {
    /// A renderer for an output with these properties.
    #[must_use]
    pub fn new(surface: Surface) -> Self {
        Self { surface, value: String::new(), scratch: String::new(), keys: Vec::new() }
    }

    /// Appends the event's line.
    pub fn render(&mut self, event: &Event, remote: Option<&str>, out: &mut Vec<u8>) {
        out.extend_from_slice(b"time=");
        self.time(event);
        self.push_value(out);
        if let Some(lifecycle) = event.lifecycle() {
            self.lifecycle(out, lifecycle, remote);
        } else if let Some(operation) = event.operation() {
            self.operation(out, operation, remote);
        } else if let Some(logging) = event.logging() {
            self.logging(out, logging, remote);
        } else if let Some(security) = event.security() {
            self.security(out, security, remote);
        } else {
            self.unknown(out, event, remote);
        }
        out.push(b'\n');
    }

    /// Puts the event's time into `value`: in whole seconds, with the event's own UTC offset.
    fn time(&mut self, event: &Event) {
        self.value.clear();
        match (event.offset_time(), event.timestamp_text()) {
            (Some(time), _) => self.value.push_str(&time.to_rfc3339_opts(SecondsFormat::Secs, true)),
            (None, Some(text)) => self.value.push_str(&text.cow()),
            (None, None) => {}
        }
    }

    fn level(&mut self, out: &mut Vec<u8>, level: &str, remote: Option<&str>) {
        // The output has logrus' names. The clients read "dbug" as debug, and logrus reads "warn" as warning.
        let level = match level {
            "dbug" => "debug",
            "warn" => "warning",
            other => other,
        };
        self.field_of(out, "level", level);
        if let Some(remote) = remote {
            self.field_of(out, REMOTE, remote);
        }
    }

    fn lifecycle(&mut self, out: &mut Vec<u8>, lifecycle: Lifecycle<'_>, remote: Option<&str>) {
        self.level(out, "info", remote);
        self.value.clear();
        self.value.push_str("Action: ");
        self.append(lifecycle.action());
        self.value.push_str(", Source: ");
        self.append(lifecycle.source());
        if let Some(requestor) = lifecycle.requestor() {
            self.value.push_str(", Requestor: ");
            self.requestor(requestor);
        }
        self.message(out);
        self.context(out, lifecycle.context(), remote);
    }

    fn logging(&mut self, out: &mut Vec<u8>, logging: Logging<'_>, remote: Option<&str>) {
        self.level(out, &logging.level_text().map(|level| level.cow()).unwrap_or_default(), remote);
        self.value.clear();
        self.append(logging.message());
        self.message(out);
        self.context(out, logging.context(), remote);
    }

    fn security(&mut self, out: &mut Vec<u8>, security: Security<'_>, remote: Option<&str>) {
        // Every level other than warning counts as info (`owaspLevelToLogrusLevel`).
        let warns = security.level_text().is_some_and(|level| level.is("warning"));
        self.level(out, if warns { "warning" } else { "info" }, remote);
        self.value.clear();
        self.append(security.description());
        self.message(out);
        self.text_field(out, "name", security.name());
        self.text_field(out, "project", security.project());
        self.text_field(out, "request_method", security.request_method());
        self.text_field(out, "request_path", security.request_path());
        if let Some(requestor) = security.requestor() {
            self.value.clear();
            self.requestor(requestor);
            self.field(out, "requestor");
        }
    }

    /// The keys are those of lxc. Nested values are printed as JSON, where lxc prints Go's notation.
    fn operation(&mut self, out: &mut Vec<u8>, operation: Operation<'_>, remote: Option<&str>) {
        self.level(out, "info", remote);
        self.value.clear();
        self.value.push_str("ID: ");
        self.append(operation.id());
        self.value.push_str(", Class: ");
        self.append(operation.member("class").and_then(|class| class.as_text()));
        self.value.push_str(", Description: ");
        self.append(operation.description());
        self.message(out);
        for (key, name) in [
            ("CreatedAt", "created_at"),
            ("Err", "err"),
            ("Location", "location"),
            ("MayCancel", "may_cancel"),
            ("Metadata", "metadata"),
            ("Resources", "resources"),
            ("Status", "status"),
            ("StatusCode", "status_code"),
            ("UpdatedAt", "updated_at"),
        ] {
            if let Some(value) = operation.member(name) {
                self.json_field(out, key, value);
            }
        }
    }

    /// An event type without a record form of its own: the members of its metadata become the fields.
    fn unknown(&mut self, out: &mut Vec<u8>, event: &Event, remote: Option<&str>) {
        self.level(out, "info", remote);
        self.value.clear();
        self.append(Some(event.type_text()));
        self.message(out);
        let Some(metadata) = event.metadata() else { return };
        if metadata.members().is_empty() {
            self.json_field(out, "metadata", metadata);
        } else {
            self.context(out, Some(metadata), remote);
        }
    }

    fn append(&mut self, text: Option<Text<'_>>) {
        if let Some(text) = text {
            self.value.push_str(text.decode(&mut self.scratch));
        }
    }

    fn requestor(&mut self, requestor: Requestor<'_>) {
        self.append(Some(requestor.protocol));
        self.value.push('/');
        self.append(Some(requestor.username));
        self.value.push_str(" (");
        self.append(Some(requestor.address));
        self.value.push(')');
    }

    /// Appends `value` as the message, unless it is empty.
    fn message(&mut self, out: &mut Vec<u8>) {
        if !self.value.is_empty() {
            self.field(out, "msg");
        }
    }

    /// Appends the members of the context, sorted by their keys.
    fn context(&mut self, out: &mut Vec<u8>, context: Option<Value<'_>>, remote: Option<&str>) {
        let Some(context) = context else { return };
        self.keys.clear();
        self.keys.extend(context.members().key_indexes());
        let name = |index: u32| context.at(index).as_text().unwrap_or(Text::plain(""));
        let clashes = |key: Text<'_>| FIXED.iter().any(|fixed| key.is(fixed)) || (remote.is_some() && key.is(REMOTE));
        let compare = |a: u32, b: u32| -> Ordering {
            let (a, b) = (name(a), name(b));
            if a.is_escaped() || b.is_escaped() || clashes(a) || clashes(b) {
                let full =
                    |key: Text<'_>| if clashes(key) { format!("{CLASH}{}", key.cow()) } else { key.cow().into_owned() };
                full(a).cmp(&full(b))
            } else {
                a.raw.cmp(b.raw)
            }
        };
        self.keys.sort_by(|a, b| compare(*a, *b));
        for at in 0..self.keys.len() {
            let index = self.keys[at];
            // Of duplicate keys the last one counts.
            if self.keys.get(at + 1).is_some_and(|next| compare(index, *next) == Ordering::Equal) {
                continue;
            }
            let key = name(index);
            self.sprint(context.at(index + 1));
            out.push(b' ');
            if clashes(key) {
                out.extend_from_slice(CLASH.as_bytes());
            }
            push_key(out, key.decode(&mut self.scratch));
            out.push(b'=');
            self.push_value(out);
        }
    }

    /// Formats a decoded value as Go's `fmt.Sprint` does, except that numbers keep their digits.
    fn sprint(&mut self, value: Value<'_>) {
        self.value.clear();
        sprint(value, &mut self.value);
    }

    fn json_field(&mut self, out: &mut Vec<u8>, key: &str, value: Value<'_>) {
        self.value.clear();
        match value.content() {
            Content::String(text) => self.append(Some(text)),
            _ => self.value.push_str(value.raw()),
        }
        self.field(out, key);
    }

    fn text_field(&mut self, out: &mut Vec<u8>, key: &str, text: Option<Text<'_>>) {
        if let Some(text) = text.filter(|text| !text.raw.is_empty()) {
            self.value.clear();
            self.append(Some(text));
            self.field(out, key);
        }
    }

    fn field_of(&mut self, out: &mut Vec<u8>, key: &str, value: &str) {
        self.value.clear();
        self.value.push_str(value);
        self.field(out, key);
    }

    fn field(&self, out: &mut Vec<u8>, key: &str) {
        out.push(b' ');
        out.extend_from_slice(key.as_bytes());
        out.push(b'=');
        self.push_value(out);
    }

    fn push_value(&self, out: &mut Vec<u8>) {
        if self.value.bytes().all(is_bare) {
            out.extend_from_slice(self.value.as_bytes());
        } else {
            quote(out, &self.value, self.surface);
        }
    }
}

/// Whether logrus prints a value that consists of such bytes without quotes (`needsQuoting`).
fn is_bare(byte: u8) -> bool {
    matches!(byte, b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'/' | b'@' | b'^' | b'+')
}

/// Appends a key. lxc does not change keys; here, characters that would make the line ambiguous are replaced by `_`.
fn push_key(out: &mut Vec<u8>, key: &str) {
    let breaks = |character: char| {
        character.is_whitespace() || sanitize::is_control(character) || matches!(character, '=' | '"')
    };
    if key.contains(breaks) {
        out.extend_from_slice(key.replace(breaks, "_").as_bytes());
    } else {
        out.extend_from_slice(key.as_bytes());
    }
}

fn sprint(value: Value<'_>, out: &mut String) {
    match value.content() {
        Content::Null => out.push_str("<nil>"),
        Content::Bool(_) | Content::Number(_) => out.push_str(value.raw()),
        Content::String(text) => out.push_str(&text.cow()),
        Content::Array(items) => {
            out.push('[');
            for (at, item) in items.enumerate() {
                if at > 0 {
                    out.push(' ');
                }
                sprint(item, out);
            }
            out.push(']');
        }
        Content::Object(members) => {
            // Go prints maps sorted by key.
            let mut keys: Vec<_> = members.key_indexes().collect();
            keys.sort_by(|a, b| value.key(*a).cow().cmp(&value.key(*b).cow()));
            out.push_str("map[");
            for (at, index) in keys.into_iter().enumerate() {
                if at > 0 {
                    out.push(' ');
                }
                out.push_str(&value.key(index).cow());
                out.push(':');
                sprint(value.at(index + 1), out);
            }
            out.push(']');
        }
    }
}

/// Go's `strconv.Quote`.
fn quote(out: &mut Vec<u8>, text: &str, surface: Surface) {
    out.push(b'"');
    let mut clean = 0;
    for (at, character) in text.char_indices() {
        let plain = match character {
            '"' | '\\' => false,
            ' '..='~' => true,
            '\0'..='\x7f' => false,
            _ => is_print(character) && !(surface.must_sanitize() && sanitize::is_control(character)),
        };
        if plain {
            continue;
        }
        out.extend_from_slice(&text.as_bytes()[clean..at]);
        clean = at + character.len_utf8();
        let short = match character {
            '\x07' => b'a',
            '\x08' => b'b',
            '\x0c' => b'f',
            '\n' => b'n',
            '\r' => b'r',
            '\t' => b't',
            '\x0b' => b'v',
            '"' => b'"',
            '\\' => b'\\',
            _ => {
                let code = u32::from(character);
                // Writing to a Vec cannot fail.
                let _ = match code {
                    0..=0x7f => write!(out, "\\x{code:02x}"),
                    0x80..=0xffff => write!(out, "\\u{code:04x}"),
                    _ => write!(out, "\\U{code:08x}"),
                };
                continue;
            }
        };
        out.extend_from_slice(&[b'\\', short]);
    }
    out.extend_from_slice(&text.as_bytes()[clean..]);
    out.push(b'"');
}

/// Go's `unicode.IsPrint` for characters beyond ASCII: letters, marks, numbers, punctuation, symbols.
fn is_print(character: char) -> bool {
    use GeneralCategoryGroup::{Letter, Mark, Number, Punctuation, Symbol};
    matches!(character.general_category_group(), Letter | Mark | Number | Punctuation | Symbol)
}
