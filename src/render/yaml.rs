//! The `yaml` format: documents as `lxc monitor` prints them. The scalar styles are those of go-yaml v2 (`encode.go`,
//! `resolve.go`), and the layout is that of its port of libyaml's emitter (`emitterc.go`). The text is written from the
//! tape to the output without a tree in between.
//!
//! Where a YAML 1.1 or 1.2 reader would not read lxc's text back as the same value, the scalar is quoted.

mod emitter;
mod order;
mod resolve;

use std::cmp::Ordering;
use std::ops::Range;

use self::emitter::Emitter;
use self::order::Key;
use super::Surface;
use crate::event::json::{Content, Escapes, Value};
use crate::event::{Event, REMOTE};

/// The renderer of the format.
#[derive(Debug)]
pub struct Yaml {
    surface: Surface,
    scratch: Scratch,
}

/// The style of mappings and sequences inside the document's top-level mapping.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Style {
    /// One line for each item or member, as lxc prints them.
    #[default]
    Block,
    /// In brackets, as in JSON.
    Flow,
}

/// A document in block style may be longer than twice its event by this many bytes. No event of a server needs as much.
const ROOM: usize = 4 << 20;

/// The maximum length of a coloured event, in bytes. The escape sequences around a short number are about five times as
/// long as its text.
const MOST_COLORED: usize = 1 << 20;

/// Buffers that are reused for the next event.
#[derive(Debug, Default)]
struct Scratch {
    style: Style,
    /// The sorted keys of all mappings that are being written, outermost mapping first.
    keys: Vec<Key>,
    /// Buffer for sorting them.
    spare: Vec<Key>,
    /// Buffer for decoded strings.
    text: String,
}

impl Yaml {
    /// A renderer for an output with these properties.
    #[must_use]
    pub fn new(surface: Surface) -> Self {
        Self { surface, scratch: Scratch::default() }
    }

    /// Appends the event as one document.
    ///
    /// In block style each line is indented by its depth, so a deeply nested event of many small parts could take
    /// hundreds of times its own size. If the document exceeds the limit (`ROOM`), it is written again with all nested
    /// values in flow style.
    pub fn render(&mut self, event: &Event, remote: Option<&str>, out: &mut Vec<u8>) {
        let size = event.text().len();
        let color = self.surface.color && size <= MOST_COLORED;
        let must_sanitize = self.surface.must_sanitize();
        let start = out.len();
        for (style, most) in [(Style::Block, 2 * size + ROOM), (Style::Flow, usize::MAX)] {
            out.extend_from_slice(b"---\n");
            let mut emitter = Emitter::new(out, color, must_sanitize, most);
            self.scratch.keys.clear();
            self.scratch.style = style;
            if event.is_event() {
                self.scratch.members(&mut emitter, event.root(), remote);
            } else {
                self.scratch.root(&mut emitter, event.root());
            }
            if !emitter.overflows() {
                emitter.end();
                break;
            }
            out.truncate(start);
        }
        self.scratch.trim();
    }
}

impl Scratch {
    /// Writes a document that is no event.
    fn root(&mut self, emitter: &mut Emitter<'_>, value: Value<'_>) {
        match value.content() {
            Content::Object(members) if !members.is_empty() => self.members(emitter, value, None),
            Content::Array(items) if !items.is_empty() && self.style == Style::Block => {
                for item in items {
                    if emitter.overflows() {
                        break;
                    }
                    emitter.item();
                    self.value(emitter, item, false);
                }
            }
            _ => self.value(emitter, value, false),
        }
    }

    /// Writes the members of `mapping` in go-yaml's order of keys. Of duplicate keys the last one counts. `remote` is
    /// added at its place in that order, and replaces a member of that name.
    fn members(&mut self, emitter: &mut Emitter<'_>, mapping: Value<'_>, mut remote: Option<&str>) {
        let replaces_own = remote.is_some();
        let keys = self.push_keys(mapping);
        let start = keys.start;
        for at in keys {
            if emitter.overflows() {
                break;
            }
            let Key { index, .. } = self.keys[at];
            let name = mapping.key(index);
            if let Some(remote_name) = remote
                && order::compare(REMOTE, &name.cow()) != Ordering::Greater
            {
                emitter.key(REMOTE);
                emitter.string(remote_name);
                remote = None;
            }
            if replaces_own && name.is(REMOTE) {
                continue;
            }
            emitter.key(name.decode(&mut self.text));
            self.value(emitter, mapping.at(index + 1), true);
        }
        if let Some(remote_name) = remote {
            emitter.key(REMOTE);
            emitter.string(remote_name);
        }
        self.keys.truncate(start);
    }

    /// Appends the sorted keys of `mapping` to `keys`, and returns their range.
    fn push_keys(&mut self, mapping: Value<'_>) -> Range<usize> {
        let start = self.keys.len();
        self.keys.extend(mapping.members().key_indexes().map(|index| Key::new(&mapping.key(index).cow(), index)));
        order::sort(mapping, &mut self.keys, start, &mut self.spare);
        start..self.keys.len()
    }

    /// Writes any value in flow style.
    fn flow(&mut self, emitter: &mut Emitter<'_>, value: Value<'_>) {
        match value.content() {
            Content::Null | Content::Bool(_) => emitter.verbatim(&[value.raw()]),
            Content::Number(digits) => number(emitter, digits),
            Content::String(text) => emitter.flow_string(text.decode(&mut self.text)),
            Content::Array(items) => {
                emitter.open("[");
                for (at, item) in items.enumerate() {
                    if at > 0 {
                        emitter.comma();
                    }
                    self.flow(emitter, item);
                }
                emitter.close("]");
            }
            Content::Object(_) => {
                emitter.open("{");
                let keys = self.push_keys(value);
                let start = keys.start;
                for at in keys {
                    if at > start {
                        emitter.comma();
                    }
                    let Key { index, .. } = self.keys[at];
                    emitter.flow_key(value.key(index).decode(&mut self.text));
                    self.flow(emitter, value.at(index + 1));
                }
                self.keys.truncate(start);
                emitter.close("}");
            }
        }
    }

    /// Frees the memory that an unusually large event needed.
    fn trim(&mut self) {
        const KEEP: usize = 4096;
        self.keys.clear();
        self.keys.shrink_to(KEEP);
        self.spare.clear();
        self.spare.shrink_to(KEEP);
        self.text.clear();
        self.text.shrink_to(16 * KEEP);
    }

    fn value(&mut self, emitter: &mut Emitter<'_>, value: Value<'_>, in_mapping: bool) {
        match value.content() {
            Content::Null | Content::Bool(_) => emitter.verbatim(&[value.raw()]),
            Content::Number(digits) => number(emitter, digits),
            // Only double-quoted scalars can contain control characters other than newlines, and JSON's escapes for
            // them are valid in YAML. The exception is a byte order mark at the start: then go-yaml escapes the whole
            // text (`Emitter::double_quoted`).
            Content::String(text) if text.escapes == Escapes::Control && !text.raw.starts_with('\u{feff}') => {
                emitter.escaped_string(text.raw);
            }
            Content::String(text) => emitter.string(text.decode(&mut self.text)),
            Content::Array(items) if items.is_empty() => emitter.empty("[]"),
            Content::Object(members) if members.is_empty() => emitter.empty("{}"),
            Content::Array(_) | Content::Object(_) if self.style == Style::Flow => self.flow(emitter, value),
            Content::Array(items) => {
                let outer = emitter.enter_sequence(in_mapping);
                for item in items {
                    if emitter.overflows() {
                        break;
                    }
                    emitter.item();
                    self.value(emitter, item, false);
                }
                emitter.leave(outer);
            }
            Content::Object(_) => {
                let outer = emitter.enter_mapping();
                self.members(emitter, value, None);
                emitter.leave(outer);
            }
        }
    }
}

/// Writes a number with the server's digits. A float with an exponent also gets a dot and the sign of the exponent
/// (`1.0e+5`): YAML 1.1 requires both, and YAML 1.2 accepts them.
fn number(emitter: &mut Emitter<'_>, digits: &str) {
    let Some(exponent) = digits.find(['e', 'E']) else {
        return emitter.verbatim(&[digits]);
    };
    let (mantissa, exponent) = digits.split_at(exponent);
    let dot = if mantissa.contains('.') { "" } else { ".0" };
    let (mark, power) = exponent.split_at(1);
    let sign = if power.starts_with(['+', '-']) { "" } else { "+" };
    emitter.verbatim(&[mantissa, dot, mark, sign, power]);
}
