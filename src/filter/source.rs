//! `--source`

use super::patterns::Patterns;
use super::{Event, Predicate};

/// The source path of a lifecycle event, with and without its query.
#[derive(Debug)]
pub(super) struct Sources(pub(super) Patterns);

impl Predicate for Sources {
    fn holds(&self, event: &Event) -> bool {
        let Some(source) = event.lifecycle().and_then(|lifecycle| lifecycle.source()) else {
            return self.0.admit::<&str>([]);
        };
        let source = source.cow();
        let path = source.split('?').next().unwrap_or_default();
        self.0.admit([&*source, path])
    }
}
