//! `--type`

use super::patterns::Patterns;
use super::{Event, Predicate};

/// The event's type.
#[derive(Debug)]
pub(super) struct Types(pub(super) Patterns);

impl Predicate for Types {
    fn holds(&self, event: &Event) -> bool {
        self.0.admit([event.kind_text().cow()])
    }
}
