//! The metadata of operation events (`Operation` in both servers' `shared/api/operation.go`).

use super::json::{Text, Value};

/// A background operation as it was when the event was sent. Any part may be missing.
#[derive(Clone, Copy, Debug)]
pub struct Operation<'a> {
    metadata: Value<'a>,
}

/// How far an operation is, from `status_code` (both servers' `shared/api/status_code.go`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// 100 to 199, or unknown: it goes on.
    Going,
    /// 200 to 299: done.
    Success,
    /// 400: it failed.
    Failure,
    /// 401: it was cancelled.
    Cancelled,
}

impl<'a> Operation<'a> {
    pub(super) fn new(metadata: Value<'a>) -> Self {
        Self { metadata }
    }

    /// Any of its members, by the name that the API gives it.
    #[must_use]
    pub fn member(&self, name: &str) -> Option<Value<'a>> {
        self.metadata.get(name)
    }

    /// Its UUID.
    #[must_use]
    pub fn id(&self) -> Option<Text<'a>> {
        self.metadata.get_text("id")
    }

    /// What it does, such as `Creating instance`.
    #[must_use]
    pub fn description(&self) -> Option<Text<'a>> {
        self.metadata.get_text("description")
    }

    /// When it began, as the server wrote it.
    #[must_use]
    pub fn created_at(&self) -> Option<Text<'a>> {
        self.metadata.get_text("created_at")
    }

    /// The word for its status, such as `Running`.
    #[must_use]
    pub fn status_text(&self) -> Option<Text<'a>> {
        self.metadata.get_text("status")
    }

    /// How far it is.
    #[must_use]
    pub fn status(&self) -> Status {
        match self.metadata.get("status_code").map(|code| code.raw()) {
            Some("400") => Status::Failure,
            Some("401") => Status::Cancelled,
            Some(code) if code.len() == 3 && code.starts_with('2') => Status::Success,
            _ => Status::Going,
        }
    }

    /// Why it failed; empty texts count as none.
    #[must_use]
    pub fn err(&self) -> Option<Text<'a>> {
        self.metadata.get_text("err").filter(|err| !err.raw.is_empty())
    }

    /// What it works on: API paths by kind (`instances`, `storage_volumes`, …).
    #[must_use]
    pub fn resources(&self) -> Option<Value<'a>> {
        self.metadata.get("resources")
    }

    /// Every API path in [`Operation::resources`].
    pub fn resource_paths(&self) -> impl Iterator<Item = Text<'a>> + use<'a> {
        let resources = self.resources();
        resources
            .into_iter()
            .flat_map(|resources| resources.members())
            .flat_map(|(_, paths)| paths.items())
            .filter_map(|path| path.as_text())
    }

    /// Facts that depend on the operation: progress, file descriptors, results.
    #[must_use]
    pub fn details(&self) -> Option<Value<'a>> {
        self.metadata.get("metadata")
    }
}
