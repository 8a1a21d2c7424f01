//! The metadata of operation events (`Operation` in both servers' `shared/api/operation.go`).

use std::borrow::Cow;
use std::collections::HashSet;

use super::entity::{Entity, EntityKind};
use super::json::{Content, Text, Value};

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

    /// The API paths of the entities that the operation works on, the most important first: `entity_url` (LXD 6.8 on),
    /// otherwise `resources`. A path that only leads to another one is left out, as the instance of a snapshot is, and
    /// so is a second path of the same entity, as LXD 5 lists under `containers`. A project is named only if nothing
    /// else is: it means "something in this project".
    #[must_use]
    pub fn subjects(&self) -> Vec<Cow<'a, str>> {
        let entity = self.entity_url("entity_url").map(|path| path.cow());
        let is_project = entity.as_ref().is_some_and(|path| Entity::parse(path).kind == EntityKind::Project);
        let mut paths: Vec<_> = match &entity {
            Some(_) if !is_project => Vec::new(),
            _ => self.resource_paths().map(|path| path.cow()).collect(),
        };
        if paths.is_empty() {
            return entity.into_iter().collect();
        }
        if paths.len() > 1 {
            let keys: Vec<_> = paths.iter().map(|path| plain_path(path)).collect();
            // All paths that lead to one of the others.
            let inner: HashSet<&str> = keys
                .iter()
                .flat_map(|key| key.match_indices('/').map(|(at, _)| &key[..at]))
                .filter(|outer| !outer.is_empty())
                .collect();
            let mut seen = HashSet::new();
            let is_wanted: Vec<_> = keys.iter().map(|key| !inner.contains(&**key) && seen.insert(&**key)).collect();
            let mut is_wanted = is_wanted.into_iter();
            paths.retain(|_| is_wanted.next() == Some(true));
        }
        paths
    }

    /// The name that the operation's entity had before, if the operation renames it.
    #[must_use]
    pub fn old_entity_url(&self) -> Option<Text<'a>> {
        self.entity_url("original_entity_url")
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

    /// The exit status of the command in an instance that has ended, with the server's digits.
    #[must_use]
    pub fn returned(&self) -> Option<&'a str> {
        match self.details()?.get("return")?.content() {
            Content::Number(status) => Some(status),
            _ => None,
        }
    }

    /// Data that depends on the operation: progress, file descriptors, results.
    #[must_use]
    pub fn details(&self) -> Option<Value<'a>> {
        self.metadata.get("metadata")
    }
}

/// A path without its query, and with the one name that all servers have for instances.
fn plain_path(path: &str) -> Cow<'_, str> {
    let plain = path.split('?').next().unwrap_or_default();
    match ["/1.0/containers/", "/1.0/virtual-machines/"].iter().find_map(|prefix| plain.strip_prefix(prefix)) {
        Some(rest) => format!("/1.0/instances/{rest}").into(),
        None => Cow::Borrowed(plain),
    }
}

#[cfg(test)]
mod tests {
    use crate::event::event;

    #[test]
    fn subjects_are_the_things_that_the_operation_works_on() {
        for (resources, metadata, subjects) in [
            ("{}", r#"{"entity_url":"/1.0/instances/c1?project=web"}"#, &["/1.0/instances/c1?project=web"][..]),
            (r#"{"instances":["/1.0/instances/c1"]}"#, "null", &["/1.0/instances/c1"]),
            // LXD 5 names a container twice, in either order of the kinds.
            (
                r#"{"containers":["/1.0/containers/c1"],"instances":["/1.0/instances/c1"]}"#,
                "{}",
                &["/1.0/containers/c1"],
            ),
            (
                r#"{"instances":["/1.0/instances/c1"],"instances_snapshots":["/1.0/instances/c1/snapshots/s"]}"#,
                "{}",
                &["/1.0/instances/c1/snapshots/s"],
            ),
            // Incus: a copy, and all instances of a bulk operation.
            (
                r#"{"instances":["/1.0/instances/new","/1.0/instances/old","/1.0/instances/new1"]}"#,
                "{}",
                &["/1.0/instances/new", "/1.0/instances/old", "/1.0/instances/new1"],
            ),
            (
                r#"{"backups":["/1.0/storage-pools/p/volumes/custom/v/backups/b"],"storage_volumes":["/1.0/storage-pools/p/volumes/custom/v"]}"#,
                "{}",
                &["/1.0/storage-pools/p/volumes/custom/v/backups/b"],
            ),
            // LXD 6.7 has both. A project is only a fallback.
            (r#"{"image":["/1.0/images/12ab"]}"#, r#"{"entity_url":"/1.0/projects/web"}"#, &["/1.0/images/12ab"]),
            (r#"{"image":["/1.0/images/12ab"]}"#, r#"{"entity_url":"/1.0/instances/c1"}"#, &["/1.0/instances/c1"]),
            ("{}", r#"{"entity_url":"/1.0/projects/web"}"#, &["/1.0/projects/web"]),
            ("{}", r#"{"entity_url":""}"#, &[]),
            (r#"{"cluster":[]}"#, "{}", &[]),
            ("null", "null", &[]),
            (r#"{"instances":["",7,null,"x"]}"#, "[]", &["", "x"]),
        ] {
            let text =
                format!(r#"{{"type":"operation","metadata":{{"resources":{resources},"metadata":{metadata}}}}}"#);
            assert_eq!(event(&text).operation().unwrap().subjects(), subjects, "{text}");
        }
    }

    #[test]
    fn a_hundred_thousand_subjects_take_no_time() {
        let paths: Vec<_> = (0..100_000).map(|number| format!(r#""/1.0/instances/c{number}""#)).collect();
        let text =
            format!(r#"{{"type":"operation","metadata":{{"resources":{{"instances":[{}]}}}}}}"#, paths.join(","));
        assert_eq!(event(&text).operation().unwrap().subjects().len(), 100_000);
    }
}
