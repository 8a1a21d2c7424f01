//! The metadata of lifecycle events (`EventLifecycle` in both servers' `shared/api/event_lifecycle.go`).

use super::json::{Content, Text, Value};

/// What happened, to what, by whom. Any part may be missing.
#[derive(Clone, Copy, Debug)]
pub struct Lifecycle<'a> {
    metadata: Value<'a>,
}

/// Who asked for it (`EventLifecycleRequestor`).
#[derive(Clone, Copy, Debug)]
pub struct Requestor<'a> {
    /// How they logged in: `unix`, `tls`, `oidc`, …
    pub protocol: Text<'a>,
    /// The user's name, or a certificate's fingerprint.
    pub username: Text<'a>,
    /// Where the request came from.
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

    /// What happened, such as `instance-started`.
    #[must_use]
    pub fn action(&self) -> Option<Text<'a>> {
        self.metadata.get_text("action")
    }

    /// The API path of what it happened to.
    #[must_use]
    pub fn source(&self) -> Option<Text<'a>> {
        self.metadata.get_text("source")
    }

    /// Who asked for it; nobody when the server or the instance itself did it.
    #[must_use]
    pub fn requestor(&self) -> Option<Requestor<'a>> {
        Requestor::of(self.metadata)
    }

    /// Further facts, which depend on the action.
    #[must_use]
    pub fn context(&self) -> Option<Value<'a>> {
        self.metadata.get("context")
    }
}
