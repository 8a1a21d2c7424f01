//! The line of a state event: what an instance or operation does now.

use super::{Glyph, Pretty, theme};
use crate::event::entity::Entity;
use crate::event::{State, Status};

impl Pretty {
    /// The state of an instance or operation.
    pub(super) fn state(&mut self, state: State<'_>) {
        let status = state.status().map(|status| status.cow()).unwrap_or_default();
        // A status has the glyph of the action that leads to it.
        let glyph = match &*status {
            "Running" if state.operation().is_some() => Glyph::of_status(Status::Going),
            "Running" => Glyph::of_action("-started"),
            "Ready" => Glyph::of_action("-ready"),
            "Stopped" => Glyph::of_action("-stopped"),
            "Frozen" => Glyph::of_action("-paused"),
            "Deleted" => Glyph::of_action("-deleted"),
            _ => Glyph::OTHER,
        };
        self.glyph(glyph);
        let is = format!("{} {}", if state.is_changed() { "now is" } else { "is" }, status.to_lowercase());
        let cell = &mut self.cells.what;
        cell.pad = 18;
        if let Some(operation) = state.operation() {
            cell.push_text(operation.description());
            if let Some(path) = operation.subjects().first() {
                self.object(&Entity::parse(path), path);
            }
            self.cells.detail.style = theme::PLAIN;
            self.cells.detail.push(&is);
        } else {
            cell.style = glyph.style;
            cell.push(&is);
            let source = state.source().map(|source| source.cow()).unwrap_or_default();
            self.object(&Entity::parse(&source), &source);
        }
    }
}
