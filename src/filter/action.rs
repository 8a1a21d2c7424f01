//! `--action`

use super::patterns::Patterns;
use super::{Event, Predicate};

/// The action of a lifecycle event.
#[derive(Debug)]
pub(super) struct Actions(pub(super) Patterns);

impl Predicate for Actions {
    fn holds(&self, event: &Event) -> bool {
        self.0.admit(event.lifecycle().and_then(|lifecycle| lifecycle.action()).map(|action| action.cow()))
    }
}
