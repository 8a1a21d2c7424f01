//! The metadata of operation events (`Operation` in both servers' `shared/api/operation.go`).

use super::json::{Text, Value};

/// The state of a background operation when the event was sent. Any part may be missing.
#[derive(Clone, Copy, Debug)]
pub struct Operation<'a> {
    metadata: Value<'a>,
}

/// The state of an operation, from `status_code` (both servers' `shared/api/status_code.go`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// 100 to 199, or an unknown code: the operation is in progress.
    Going,
    /// 200 to 299: the operation succeeded.
    Success,
    /// 400: the operation failed.
    Failure,
    /// 401: the operation was cancelled.
    Cancelled,
}

impl<'a> Operation<'a> {
    pub(super) fn new(metadata: Value<'a>) -> Self {
        Self { metadata }
    }

    /// Any member of the metadata, by its name in the API.
    #[must_use]
    pub fn member(&self, name: &str) -> Option<Value<'a>> {
        self.metadata.get(name)
    }

    /// The UUID of the operation.
    #[must_use]
    pub fn id(&self) -> Option<Text<'a>> {
        self.metadata.get_text("id")
    }

    /// The description, such as `Creating instance`.
    #[must_use]
    pub fn description(&self) -> Option<Text<'a>> {
        self.metadata.get_text("description")
    }

    /// When the operation was created, as the server wrote it.
    #[must_use]
    pub fn created_at(&self) -> Option<Text<'a>> {
        self.metadata.get_text("created_at")
    }

    /// The name of the status, such as `Running`.
    #[must_use]
    pub fn status_text(&self) -> Option<Text<'a>> {
        self.metadata.get_text("status")
    }

    /// The state of the operation.
    #[must_use]
    pub fn status(&self) -> Status {
        match self.metadata.get("status_code").map(|code| code.raw()) {
            Some("400") => Status::Failure,
            Some("401") => Status::Cancelled,
            Some(code) if code.len() == 3 && code.starts_with('2') => Status::Success,
            _ => Status::Going,
        }
    }

    /// The error of a failed operation. An empty text counts as no error.
    #[must_use]
    pub fn err(&self) -> Option<Text<'a>> {
        self.metadata.get_text("err").filter(|err| !err.raw.is_empty())
    }

    /// The entities that the operation works on: lists of API paths by kind (`instances`, `storage_volumes`, …).
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

    /// Data that depends on the operation: progress, file descriptors, results.
    #[must_use]
    pub fn details(&self) -> Option<Value<'a>> {
        self.metadata.get("metadata")
    }
}
