//! The metadata of lifecycle events (`EventLifecycle` in both servers' `shared/api/event_lifecycle.go`).

use super::json::{Content, Text, Value};

/// A lifecycle event's action, the entity that it concerns, and the user who requested it. Any part may be missing.
#[derive(Clone, Copy, Debug)]
pub struct Lifecycle<'a> {
    metadata: Value<'a>,
}

/// The user who made the request (`EventLifecycleRequestor`).
#[derive(Clone, Copy, Debug)]
pub struct Requestor<'a> {
    /// The login method: `unix`, `tls`, `oidc`, …
    pub protocol: Text<'a>,
    /// The user's name, or a certificate's fingerprint.
    pub username: Text<'a>,
    /// The address from which the request came.
    pub address: Text<'a>,
}

impl<'a> Requestor<'a> {
    /// The `requestor` member of an event's metadata.
    pub(super) fn of(metadata: Value<'a>) -> Option<Self> {
        let requestor = metadata.get("requestor")?;
        let part = |name| requestor.get_text(name).unwrap_or(Text::plain(""));
        matches!(requestor.content(), Content::Object(_)).then(|| Self {
            protocol: part("protocol"),
            username: part("username"),
            address: part("address"),
        })
    }
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

    /// The user who requested the action; `None` if the server or the instance itself caused it.
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
