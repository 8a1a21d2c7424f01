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

    /// What happened.
    #[must_use]
    pub fn name(&self) -> Option<Text<'a>> {
        self.metadata.get_text("name")
    }

    /// How grave it is, as the server wrote it.
    #[must_use]
    pub fn level_text(&self) -> Option<Text<'a>> {
        self.metadata.get_text("level")
    }

    /// What happened in words.
    #[must_use]
    pub fn description(&self) -> Option<Text<'a>> {
        self.metadata.get_text("description")
    }

    /// The API path that was asked for; the daemon's own events have none.
    #[must_use]
    pub fn request_path(&self) -> Option<Text<'a>> {
        self.metadata.get_text("request_path")
    }

    /// The HTTP method that was used.
    #[must_use]
    pub fn request_method(&self) -> Option<Text<'a>> {
        self.metadata.get_text("request_method")
    }

    /// The project that was meant.
    #[must_use]
    pub fn project(&self) -> Option<Text<'a>> {
        self.metadata.get_text("project")
    }

    /// Who did it; the daemon's own events have nobody.
    #[must_use]
    pub fn requestor(&self) -> Option<Requestor<'a>> {
        Requestor::of(self.metadata)
    }
}
