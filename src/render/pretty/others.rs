//! The lines of the other events: those of a guest's socket, lxmon's own records, and types that are not known.

use chrono::{DateTime, Local};

use super::super::theme;
use super::glyph::Glyph;
use super::line::{Form, Line};
use super::logs::text_of;
use super::text::Ellipsis;
use crate::event::entity::Entity;
use crate::event::json::{Text, Value};
use crate::event::{Device, Event, Setting, State, Status};

/// Fills in the line of a configuration key, with its value before and now. Values that are not set are empty.
pub(super) fn fill_setting(line: &mut Line, setting: Setting<'_>) {
    let [old, new] = [setting.old_value(), setting.value()].map(|text| text.filter(|text| !text.raw.is_empty()));
    line.object.style = theme::OBJECT;
    line.object.push_text(setting.key());
    let (glyph, what) = match (old, new) {
        (None, Some(_)) => (Glyph::of_action("created"), "config set"),
        (Some(_), None) => (Glyph::of_action("deleted"), "config unset"),
        _ => (Glyph::UPDATED, "config changed"),
    };
    line.glyph(glyph);
    line.what.style = glyph.style;
    line.what.push(what);
    let arrow = line.arrow();
    let quoted = |text: Text<'_>| format!("{:?}", text.cow());
    match (old, new) {
        (Some(old), Some(new)) => {
            line.detail.push(&quoted(old));
            line.detail.text.extend_from_slice(arrow.as_bytes());
            line.detail.push(&quoted(new));
        }
        (None, Some(new)) => line.detail.push(&quoted(new)),
        (Some(old), None) => {
            line.detail.push("was ");
            line.detail.push(&quoted(old));
        }
        (None, None) => {}
    }
}

/// Fills in the line of a device.
pub(super) fn fill_device(line: &mut Line, device: Device<'_>) {
    let ellipsis = Ellipsis::new(line.utf8);
    let action = device.action().map(|action| action.cow()).unwrap_or_default();
    let glyph = Glyph::of_action(&action);
    line.glyph(glyph);
    line.object.style = theme::OBJECT;
    line.object.push_text(device.device_type());
    line.object.separate(" ");
    line.object.prefix = line.object.text.len();
    line.object.push_text(device.name());
    line.what.style = glyph.style;
    line.what.push("device ");
    line.what.push(&action);
    let Some(config) = device.config() else { return };
    for (key, value) in config.members().filter(|(key, _)| !key.is("type")) {
        line.extra.push_pair(key, value, ellipsis);
    }
}

/// Fills in the line of a state: what an instance or operation does now.
pub(super) fn fill_state(line: &mut Line, state: State<'_>, event: &Event) {
    let status = state.status().map(|status| status.cow()).unwrap_or_default();
    // A status has the glyph of the action that leads to it.
    let glyph = match &*status {
        "Running" if state.operation().is_some() => Glyph::of_status(Status::Going),
        "Running" => Glyph::of_action("started"),
        "Ready" => Glyph::of_action("ready"),
        "Stopped" => Glyph::of_action("stopped"),
        "Frozen" => Glyph::of_action("paused"),
        "Deleted" => Glyph::of_action("deleted"),
        "Error" => Glyph::FAILURE,
        _ => Glyph::OTHER,
    };
    line.glyph(glyph);
    let is = if state.is_changed() { "is now " } else { "is " };
    let cell = if let Some(operation) = state.operation() {
        if let Some(path) = operation.subjects().first() {
            line.object(&Entity::parse(path), path, event.project());
        }
        line.what.push_text(operation.description());
        &mut line.detail
    } else {
        let source = state.source().map(|source| source.cow()).unwrap_or_default();
        line.object(&Entity::parse(&source), &source, event.project());
        line.what.style = glyph.style;
        &mut line.what
    };
    cell.push(is);
    cell.push(&status.to_lowercase());
}

/// Fills in the line of an event of a type that is not known.
pub(super) fn fill_unknown(line: &mut Line, event: &Event) {
    let metadata = event.metadata();
    match (&*event.type_text().cow(), metadata) {
        ("gap", Some(metadata)) => gap(line, metadata),
        (kind, metadata) => {
            line.glyph(Glyph::OTHER);
            line.what.push(kind);
            if let Some(metadata) = metadata {
                line.detail.push(metadata.raw());
            }
        }
    }
}

/// A gap, as a sentence. See [`Gap::to_message`](crate::event::gap::Gap::to_message) for the record.
fn gap(line: &mut Line, metadata: Value<'_>) {
    let clock = |name| {
        let text = text_of(metadata, name)?;
        let time = DateTime::parse_from_rfc3339(&text).ok()?.with_timezone(&Local);
        Some(time.format("%H:%M:%S").to_string())
    };
    line.glyph(Glyph::GAP);
    line.form = Form::Sentence;
    line.what.style = theme::WARN;
    let reason = text_of(metadata, "reason").unwrap_or_else(|| "unknown reason".into());
    let since = clock("last_event").or_else(|| clock("since")).unwrap_or_else(|| "then".into());
    let seconds = metadata.get("seconds").and_then(|seconds| seconds.raw().parse::<f64>().ok());
    let dropped = metadata.get("dropped").map(|dropped| dropped.raw()).filter(|dropped| *dropped != "0");
    let sentence = match (dropped, seconds) {
        (Some(dropped), _) => {
            let events = if dropped == "1" { "event was" } else { "events were" };
            format!("gap: {dropped} {events} dropped after {since}: {reason}")
        }
        (None, None) => format!("gap: the connection is lost ({reason}); events since {since} may be missing"),
        (None, Some(seconds)) => {
            format!("gap: connected again after {seconds:.1} s ({reason}); events since {since} may be missing")
        }
    };
    line.what.push(&sentence);
}
