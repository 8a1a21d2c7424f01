//! YAML documents as `lxc monitor` prints them: go-yaml v2's choices of style (`encode.go`, `resolve.go`) and the
//! layout of the libyaml emitter that it carries (`emitterc.go`), straight from the tape to the output.
//!
//! Where lxc's text would not be read back as the same value by a YAML 1.1 or a YAML 1.2 reader, the scalar is quoted.

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

/// The format.
#[derive(Debug)]
pub struct Yaml {
    surface: Surface,
    scratch: Scratch,
}

/// How mappings and sequences within the document's own mapping are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Style {
    /// An item or member a line, as lxc does.
    #[default]
    Block,
    /// In brackets, as JSON does.
    Flow,
}

/// How much longer than twice its event a document may be, in bytes. No server's event comes near it.
const ROOM: usize = 4 << 20;

/// The longest event that is coloured, in bytes. The colours of a number are five times as long as the number.
const MOST_COLORED: usize = 1 << 20;

/// Buffers that live from event to event.
#[derive(Debug, Default)]
struct Scratch {
    style: Style,
    /// The keys of the mappings that are being written, outer ones first; sorted.
    keys: Vec<Key>,
    /// For sorting them.
    spare: Vec<Key>,
    /// A string without its escapes.
    text: String,
}

impl Yaml {
    /// For such an output.
    #[must_use]
    pub fn new(surface: Surface) -> Self {
        Self { surface, scratch: Scratch::default() }
    }

    /// Appends the event as a document of its own.
    ///
    /// Each line is indented by its depth, so an event of many small parts within each other would take hundreds of times
    /// its own size. One of which the document would be so long has its metadata, and what else is nested, in flow style.
    pub fn render(&mut self, event: &Event, remote: Option<&str>, out: &mut Vec<u8>) {
        let size = event.text().len();
        let color = self.surface.color && size <= MOST_COLORED;
        let delicate = self.surface.is_delicate();
        let start = out.len();
        for (style, most) in [(Style::Block, 2 * size + ROOM), (Style::Flow, usize::MAX)] {
            out.extend_from_slice(b"---\n");
            let mut emitter = Emitter::new(out, color, delicate, most);
            self.scratch.keys.clear();
            self.scratch.style = style;
            self.scratch.members(&mut emitter, event.root(), remote);
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
    /// The members of `mapping` in go-yaml's order of keys; of doubles the last. `remote` is put where it belongs, in
    /// place of the mapping's own member of that name.
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

    /// Pushes the keys of `mapping` in their order; where they are.
    fn push_keys(&mut self, mapping: Value<'_>) -> Range<usize> {
        let start = self.keys.len();
        self.keys.extend(mapping.members().key_indexes().map(|index| Key::new(&mapping.key(index).cow(), index)));
        order::sort(mapping, &mut self.keys, start, &mut self.spare);
        start..self.keys.len()
    }

    /// Any value in flow style.
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

    /// Gives back memory that an unusually large event took.
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
            // Only double quotes can hold control characters other than newlines, and these escapes are YAML's too. (Of a
            // text that begins like this go-yaml escapes the whole: `Emitter::double_quoted`.)
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

/// A number with the server's digits. YAML 1.1 wants a dot and a sign of the exponent in every float (`1.0e+5`), and
/// YAML 1.2 takes that too.
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
