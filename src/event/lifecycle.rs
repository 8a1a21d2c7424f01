//! The metadata of lifecycle events (`EventLifecycle` in both servers' `shared/api/event_lifecycle.go`).

use super::json::{Text, Value};
use super::requestor::Requestor;

/// A lifecycle event's action, the entity that it concerns, and the user who requested it. Any part may be missing.
#[derive(Clone, Copy, Debug)]
pub struct Lifecycle<'a> {
    metadata: Value<'a>,
}

impl<'a> Lifecycle<'a> {
    pub(super) fn new(metadata: Value<'a>) -> Self {
        Self { metadata }
    }

    /// The action, such as `instance-started`.
    #[must_use]
    pub fn action(&self) -> Option<Text<'a>> {
        self.metadata.get_text("action")
    }

    /// The API path of the entity that the action concerns.
    #[must_use]
    pub fn source(&self) -> Option<Text<'a>> {
        self.metadata.get_text("source")
    }

    /// The user who requested the action, as the server wrote it; [`Event::requestor`](super::Event::requestor) is who
    /// that was.
    #[must_use]
    pub fn requestor(&self) -> Option<Requestor<'a>> {
        Requestor::of(self.metadata)
    }

    /// Further data, which depends on the action.
    #[must_use]
    pub fn context(&self) -> Option<Value<'a>> {
        self.metadata.get("context")
    }
}
