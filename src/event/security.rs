//! The metadata of security events (`EventSecurity` in LXD 6.9's `shared/api/event_security.go`).

use std::borrow::Cow;

use super::json::{Text, Value};
use super::requestor::Requestor;

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

    /// The API path of the entity to which access was refused. It is the end of the name
    /// `authz_fail:<entitlement>:<path>` (`lxd/request/security/security.go`).
    #[must_use]
    pub fn entity_path(&self) -> Option<Cow<'a, str>> {
        const BEFORE: &str = ":/1.0";
        let path_of = |name: &str| name.find(BEFORE).map(|at| at + 1);
        match self.name()?.cow() {
            Cow::Borrowed(name) => path_of(name).map(|at| Cow::Borrowed(&name[at..])),
            Cow::Owned(name) => path_of(&name).map(|at| Cow::Owned(name[at..].to_owned())),
        }
    }

    /// The user who made the request, as the server wrote it; absent from the daemon's own events.
    #[must_use]
    pub fn requestor(&self) -> Option<Requestor<'a>> {
        Requestor::of(self.metadata)
    }
}
