//! `--location`

use super::patterns::Patterns;
use super::{Event, Predicate};

/// The cluster member that the event comes from.
#[derive(Debug)]
pub(super) struct Locations(pub(super) Patterns);

impl Predicate for Locations {
    fn holds(&self, event: &Event) -> bool {
        self.0.admit(event.location().map(|location| location.cow()))
    }
}
