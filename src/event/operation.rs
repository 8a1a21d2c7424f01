//! The metadata of operation events (`Operation` in both servers' `shared/api/operation.go`).

use super::entity::{Entity, EntityKind};
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

    /// The API paths of the entities that the operation works on, for people: `entity_url` (LXD 6.8 on), otherwise
    /// `resources`. A project is named only if nothing else is: it means "something in this project".
    pub fn subjects(&self) -> impl Iterator<Item = Text<'a>> + use<'a> {
        let entity = self.entity_url("entity_url");
        let is_project = entity.is_some_and(|path| Entity::parse(&path.cow()).kind == EntityKind::Project);
        let entity_counts = entity.is_some() && !(is_project && self.resource_paths().next().is_some());
        let (entity, resources) = if entity_counts { (entity, None) } else { (None, Some(self.resource_paths())) };
        entity.into_iter().chain(resources.into_iter().flatten())
    }

    /// The API paths of all entities that the operation concerns, by their names before and after.
    pub fn entity_paths(&self) -> impl Iterator<Item = Text<'a>> + use<'a> {
        let entities = ["entity_url", "original_entity_url"].map(|name| self.entity_url(name));
        entities.into_iter().flatten().chain(self.resource_paths())
    }

    fn entity_url(&self, name: &str) -> Option<Text<'a>> {
        self.details()?.get_text(name).filter(|path| !path.raw.is_empty())
    }

    /// The paths in `resources`, which has lists of them by kind (`instances`, `storage_volumes`, …). LXD 6.8 and later
    /// leave it empty.
    fn resource_paths(&self) -> impl Iterator<Item = Text<'a>> + use<'a> {
        let resources = self.metadata.get("resources");
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
