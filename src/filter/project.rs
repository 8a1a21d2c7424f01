//! `--project`

use super::patterns::Patterns;
use super::{Event, Predicate};

/// The event's project. Events that belong to none pass, as the servers have it (LXD `lxd/events/events.go`,
/// `broadcast`): who follows a project also sees what concerns the whole server.
#[derive(Debug)]
pub(super) struct Projects(pub(super) Patterns);

impl Predicate for Projects {
    fn holds(&self, event: &Event) -> bool {
        event.project().is_none_or(|project| self.0.admit([project.cow()]))
    }
}
