//! `--requestor`

use super::patterns::Patterns;
use super::{Event, Predicate};

/// Who asked for a lifecycle or security event: `protocol/username`, or the user's name alone.
#[derive(Debug)]
pub(super) struct Requestors(pub(super) Patterns);

impl Predicate for Requestors {
    fn holds(&self, event: &Event) -> bool {
        let requestor = event
            .lifecycle()
            .and_then(|lifecycle| lifecycle.requestor())
            .or_else(|| event.security().and_then(|security| security.requestor()));
        let Some(requestor) = requestor else {
            return self.0.admit::<&str>([]);
        };
        let username = requestor.username.cow();
        let full = format!("{}/{username}", requestor.protocol.cow());
        self.0.admit([&*full, &*username])
    }
}
