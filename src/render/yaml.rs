//! YAML documents as `lxc monitor` prints them: go-yaml v2's choices of style (`encode.go`, `resolve.go`) and the
//! layout of the libyaml emitter that it carries (`emitterc.go`), straight from the tape to the output.
//!
//! Where lxc's text would not be read back as the same value by a YAML 1.1 or a YAML 1.2 reader, the scalar is quoted.

mod emitter;
mod order;
mod resolve;

use std::cmp::Ordering;

use self::emitter::Emitter;
use self::order::Key;
use super::Surface;
use crate::event::json::{Escapes, Kind, Value};
use crate::event::{Event, REMOTE};

/// The format.
#[derive(Debug)]
pub struct Yaml {
    surface: Surface,
    scratch: Scratch,
}

/// Buffers that live from event to event.
#[derive(Debug, Default)]
struct Scratch {
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
    pub fn render(&mut self, event: &Event, remote: Option<&str>, out: &mut Vec<u8>) {
        out.extend_from_slice(b"---\n");
        let mut emitter = Emitter::new(out, self.surface.color, self.surface.is_delicate());
        self.scratch.keys.clear();
        self.scratch.members(&mut emitter, event.root(), remote);
        emitter.end();
    }
}

impl Scratch {
    /// The members of `mapping` in go-yaml's order of keys; of doubles the last. `remote` is put where it belongs, in
    /// place of the mapping's own member of that name.
    fn members(&mut self, emitter: &mut Emitter<'_>, mapping: Value<'_>, mut remote: Option<&str>) {
        let replaces_own = remote.is_some();
        let start = self.keys.len();
        self.keys.extend(mapping.members().key_indexes().map(|index| Key::new(&mapping.key(index).cow(), index)));
        order::sort(mapping, &mut self.keys, start, &mut self.spare);
        let end = self.keys.len();
        for at in start..end {
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

    fn value(&mut self, emitter: &mut Emitter<'_>, value: Value<'_>, in_mapping: bool) {
        match value.kind() {
            Kind::Null | Kind::Bool(_) => emitter.verbatim(&[value.raw()]),
            Kind::Number(digits) => number(emitter, digits),
            // Only double quotes can hold control characters other than newlines, and these escapes are YAML's too. (Of a
            // text that begins like this go-yaml escapes the whole: `Emitter::double_quoted`.)
            Kind::String(text) if text.escapes == Escapes::Control && !text.raw.starts_with('\u{feff}') => {
                emitter.escaped_string(text.raw);
            }
            Kind::String(text) => emitter.string(text.decode(&mut self.text)),
            Kind::Array(items) if items.is_empty() => emitter.empty("[]"),
            Kind::Object(members) if members.is_empty() => emitter.empty("{}"),
            Kind::Array(items) => {
                let outer = emitter.enter_sequence(in_mapping);
                for item in items {
                    emitter.item();
                    self.value(emitter, item, false);
                }
                emitter.leave(outer);
            }
            Kind::Object(_) => {
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
