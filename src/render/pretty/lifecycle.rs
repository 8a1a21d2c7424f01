//! The line of a lifecycle event: the action by its name, and what matters of its context in words.

use super::glyph::Glyph;
use super::line::Line;
use super::text::{Ellipsis, as_text};
use crate::event::entity::Entity;
use crate::event::json::{Text, Value};
use crate::event::{Event, Lifecycle};

/// How a member of the context is shown.
enum Shown {
    /// As the former name before the present one.
    Renamed,
    /// Behind these words.
    Words(&'static str),
    /// Not at all, because the line says it elsewhere.
    Elsewhere,
    /// As `key=value`, at the end.
    Pair,
}

/// Fills in the line.
pub(super) fn fill(line: &mut Line, lifecycle: Lifecycle<'_>, event: &Event) {
    let ellipsis = Ellipsis::new(line.utf8);
    let action = lifecycle.action().map(|action| action.cow()).unwrap_or_default();
    let glyph = Glyph::of_action(&action);
    line.glyph(glyph);
    line.what.style = glyph.style;
    line.what.push(&action);
    let source = lifecycle.source().map(|source| source.cow()).unwrap_or_default();
    let entity = Entity::of_action(&action, &source);
    line.object(&entity, &source, event.project());
    let Some(context) = lifecycle.context() else { return line.requestor(event) };
    // The type of a thing comes before where it is.
    let [first, second] =
        [true, false].map(|is_type| context.members().filter(move |(key, _)| key.is("type") == is_type));
    for (key, value) in first.chain(second) {
        match shown(&action, key, value, event) {
            Shown::Renamed => {
                line.detail.separate(", ");
                line.renamed(value);
            }
            Shown::Words(words) => {
                line.detail.separate(", ");
                line.detail.push(words);
                line.detail.push_value(value, ellipsis);
            }
            Shown::Elsewhere | Shown::Pair => {}
        }
    }
    line.requestor(event);
    line.extra.separate(if context.members().any(|(key, value)| is_pair(&action, key, value, event)) {
        " "
    } else {
        ""
    });
    for (key, value) in context.members().filter(|(key, value)| is_pair(&action, *key, *value, event)) {
        line.extra.push_pair(key, value, ellipsis);
    }
}

fn is_pair(action: &str, key: Text<'_>, value: Value<'_>, event: &Event) -> bool {
    matches!(shown(action, key, value, event), Shown::Pair)
}

/// How a member of the context is shown. The keys are those of the catalogue.
fn shown(action: &str, key: Text<'_>, value: Value<'_>, event: &Event) -> Shown {
    let is = |location: Option<Text<'_>>| {
        value.as_text().is_some_and(|text| location.is_some_and(|location| text.is(&location.cow())))
    };
    match &*key.cow() {
        "old_name" => Shown::Renamed,
        "snapshot" => Shown::Words("from snapshot "),
        "storage-pool" => Shown::Words("pool "),
        // The path of a volume has the type.
        "type" if action.starts_with("storage-volume-") => Shown::Elsewhere,
        "command" | "path" | "file" | "type" => Shown::Words(""),
        // The column of the member has it, or nothing has more than one place.
        "location" if is(event.location()) || value.as_text().is_some_and(|text| text.is("none")) => Shown::Elsewhere,
        "target" if action.starts_with("image-alias-") => Shown::Words("for image "),
        "target" if action.starts_with("image-") => Shown::Words("to "),
        "location" | "target" => Shown::Words("on "),
        _ => Shown::Pair,
    }
}

impl Line {
    /// Appends the former and the present name of an entity to the detail. The names of what contains it are the same.
    fn renamed(&mut self, old: Value<'_>) {
        let ellipsis = Ellipsis::new(self.utf8);
        let arrow = self.arrow();
        self.detail.push_value(old, ellipsis);
        let new = last_part(as_text(&self.object.text));
        // The kind of a thing that is in no other one stands before its name.
        let new = new.get(if new.len() == self.object.text.len() { self.object.prefix } else { 0 }..).unwrap_or(new);
        // Both servers name a renamed snapshot of a volume by its former name (`lxd/lifecycle/storage_volume_snapshot.go`).
        if old.as_text().is_none_or(|old| !old.is(new)) {
            self.detail.text.extend_from_slice(arrow.as_bytes());
            self.detail.push(new);
        } else {
            self.detail.push(" has a new name");
        }
    }
}

/// The name without the names of the entities that contain the entity.
pub(super) fn last_part(name: &str) -> &str {
    name.rsplit('/').next().unwrap_or_default()
}
