//! The metadata of security events (`EventSecurity` in LXD 6.9's `shared/api/event_security.go`).

use super::json::{Text, Value};
use super::lifecycle::Requestor;

/// An audit record. Any part may be missing.
#[derive(Clone, Copy, Debug)]
pub struct Security<'a> {
    metadata: Value<'a>,
}

impl<'a> Security<'a> {
    pub(super) fn new(metadata: Value<'a>) -> Self {
        Self { metadata }
    }

    /// The name of the security event.
    #[must_use]
    pub fn name(&self) -> Option<Text<'a>> {
        self.metadata.get_text("name")
    }

    /// The level, as the server wrote it.
    #[must_use]
    pub fn level_text(&self) -> Option<Text<'a>> {
        self.metadata.get_text("level")
    }

    /// The description in words.
    #[must_use]
    pub fn description(&self) -> Option<Text<'a>> {
        self.metadata.get_text("description")
    }

    /// The API path of the request; absent from the daemon's own events.
    #[must_use]
    pub fn request_path(&self) -> Option<Text<'a>> {
        self.metadata.get_text("request_path")
    }

    /// The HTTP method of the request.
    #[must_use]
    pub fn request_method(&self) -> Option<Text<'a>> {
        self.metadata.get_text("request_method")
    }

    /// The project of the request.
    #[must_use]
    pub fn project(&self) -> Option<Text<'a>> {
        self.metadata.get_text("project")
    }

    /// The user who made the request; absent from the daemon's own events.
    #[must_use]
    pub fn requestor(&self) -> Option<Requestor<'a>> {
        Requestor::of(self.metadata)
    }
}
