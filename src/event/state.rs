//! The metadata of state events, which lxmon itself makes of a server's answers: the present state of an instance or of
//! an operation (`--state`).

use std::borrow::Cow;
use std::collections::BTreeMap;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Deserialize, Serialize};

use super::json::{Text, Value};
use super::operation::Operation;

/// The characters that are escaped in a path: all except the unreserved ones (RFC 3986, section 2.3).
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// The project that a path without a project means.
pub(crate) const DEFAULT_PROJECT: &str = "default";

/// The status of an instance that is not there any more. No server sends it.
pub(crate) const DELETED: &str = "Deleted";

/// The status of an operation that is not running any more and whose outcome is unknown. No server sends it.
pub(crate) const ENDED: &str = "Ended";

/// What a state is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A container or virtual machine.
    Instance,
    /// A background operation.
    Operation,
}

/// The state of an instance or operation. Any part may be missing.
#[derive(Clone, Copy, Debug)]
pub struct State<'a> {
    metadata: Value<'a>,
}

impl<'a> State<'a> {
    pub(super) fn new(metadata: Value<'a>) -> Self {
        Self { metadata }
    }

    /// What the state is of.
    #[must_use]
    pub fn kind(&self) -> Option<Kind> {
        let kind = self.metadata.get_text("kind")?;
        if kind.is("instance") { Some(Kind::Instance) } else { kind.is("operation").then_some(Kind::Operation) }
    }

    /// The name of the instance.
    #[must_use]
    pub fn name(&self) -> Option<Text<'a>> {
        self.metadata.get_text("name")
    }

    /// The status as the server named it, such as `Running`.
    #[must_use]
    pub fn status(&self) -> Option<Text<'a>> {
        self.metadata.get_text("status")
    }

    /// The API path of the instance, in the form of the sources of lifecycle events.
    #[must_use]
    pub fn source(&self) -> Option<Text<'a>> {
        self.metadata.get_text("source")
    }

    /// Whether the state differs from what was known before events were lost.
    #[must_use]
    pub fn is_changed(&self) -> bool {
        self.metadata.get("changed").is_some_and(|changed| changed.raw() == "true")
    }

    /// The operation, if the state is of one.
    #[must_use]
    pub fn operation(&self) -> Option<Operation<'a>> {
        (self.kind() == Some(Kind::Operation)).then(|| Operation::new(self.metadata))
    }
}

/// A state event as it is written, with its keys in their order.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
pub(crate) struct Record {
    #[serde(rename = "type")]
    event_type: Cow<'static, str>,
    /// When the server had answered, by the local clock: RFC 3339.
    pub timestamp: String,
    /// The project; `None` for an operation whose project the server does not name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
    /// The cluster member; `none` if the server is in no cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
    metadata: Metadata,
}

#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
struct Metadata {
    #[serde(flatten)]
    subject: Subject,
    changed: bool,
}

/// What a state event is about.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub(crate) enum Subject {
    /// An instance.
    Instance {
        /// Its name.
        name: String,
        /// Its status as the server names it.
        status: String,
        /// Its API path.
        source: String,
    },
    /// An operation, with those of its members that say what it is about, and none that can be secret.
    Operation(Running),
}

/// A running operation, in the form of the API.
#[derive(Clone, Debug, Default, Serialize, Deserialize, PartialEq, Eq)]
pub(crate) struct Running {
    /// The UUID.
    pub id: String,
    /// The description, such as `Creating instance`.
    #[serde(default)]
    pub description: String,
    /// The name of the status.
    #[serde(default)]
    pub status: String,
    /// The code of the status.
    #[serde(default)]
    pub status_code: u16,
    /// When it began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_at: Option<String>,
    /// The API paths of what it works on, by kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<BTreeMap<String, Option<Vec<String>>>>,
    /// What it works on by the names of LXD 6.8 and later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Entities>,
}

/// The paths in the metadata of an operation.
#[derive(Clone, Debug, Default, Serialize, Deserialize, PartialEq, Eq)]
pub(crate) struct Entities {
    /// What the operation works on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entity_url: Option<String>,
    /// Its path before it was renamed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub original_entity_url: Option<String>,
}

impl Record {
    /// The state of something when the server had answered.
    pub(crate) fn new(timestamp: String, project: Option<String>, location: Option<String>, subject: Subject) -> Self {
        let metadata = Metadata { subject, changed: false };
        Self { event_type: Cow::Borrowed("state"), timestamp, project, location, metadata }
    }

    /// The record in this text, which [`Record::to_text`] has written.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    /// The text of the event.
    pub(crate) fn to_text(&self) -> String {
        // This cannot fail: strings, numbers and maps of them can always be serialized.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// What it is about.
    pub(crate) fn subject(&self) -> &Subject {
        &self.metadata.subject
    }

    /// Marks the state as one that differs from what was known.
    pub(crate) fn set_changed(&mut self) {
        self.metadata.changed = true;
    }

    /// Makes it the record of something that was there before, and is not at this time.
    pub(crate) fn set_gone(&mut self, timestamp: String) {
        self.timestamp = timestamp;
        self.metadata.changed = true;
        match &mut self.metadata.subject {
            Subject::Instance { status, .. } => DELETED.clone_into(status),
            Subject::Operation(Running { status, .. }) => ENDED.clone_into(status),
        }
    }
}

impl Subject {
    /// An instance.
    pub(crate) fn instance(name: String, project: &str, status: String) -> Self {
        let mut source = format!("/1.0/instances/{}", utf8_percent_encode(&name, ESCAPED));
        if project != DEFAULT_PROJECT {
            source.push_str("?project=");
            source.extend(utf8_percent_encode(project, ESCAPED));
        }
        Self::Instance { name, status, source }
    }

    /// An operation.
    pub(crate) fn operation(mut running: Running) -> Self {
        running.metadata = running.metadata.filter(|entities| *entities != Entities::default());
        Self::Operation(running)
    }

    /// The kind of it.
    pub(crate) fn kind(&self) -> Kind {
        match self {
            Self::Instance { .. } => Kind::Instance,
            Self::Operation(_) => Kind::Operation,
        }
    }

    /// Its status.
    pub(crate) fn status(&self) -> &str {
        match self {
            Self::Instance { status, .. } | Self::Operation(Running { status, .. }) => status,
        }
    }
}

/// Whether an instance with this status runs. A guest can report that it is ready; its instance has that status then
/// (LXD `lxd/instance/drivers/driver_lxc.go`, Incus `internal/server/instance/drivers/driver_lxc.go`, `statusCode`).
#[must_use]
pub(crate) fn is_running(status: &str) -> bool {
    matches!(status, "Running" | "Ready")
}

/// The status that an instance has after a lifecycle action that changes it.
#[must_use]
pub(crate) fn status_after(action: &str) -> Option<&'static str> {
    // LXD before 4.0.7 names the actions by the type of the instance.
    let change = ["instance-", "container-", "virtual-machine-"].iter().find_map(|kind| action.strip_prefix(kind))?;
    match change {
        "started" | "restarted" | "resumed" => Some("Running"),
        "ready" => Some("Ready"),
        "stopped" | "shutdown" => Some("Stopped"),
        "paused" => Some("Frozen"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::event;

    #[test]
    fn a_record_is_an_event_whose_members_can_be_read() {
        let subject = Subject::instance("c1".into(), "w/b", "Running".into());
        let mut record = Record::new("2026-11-26T12:00:00Z".into(), Some("w/b".into()), Some("none".into()), subject);
        let text = r#"{"type":"state","timestamp":"2026-11-26T12:00:00Z","project":"w/b","location":"none","metadata":{"kind":"instance","name":"c1","status":"Running","source":"/1.0/instances/c1?project=w%2Fb","changed":false}}"#;
        assert_eq!(record.to_text(), text);
        assert_eq!(Record::parse(text).as_ref(), Some(&record));
        let event_of = event(text);
        let state = event_of.state().unwrap();
        assert!(state.kind() == Some(Kind::Instance) && state.name().unwrap().is("c1") && !state.is_changed());
        assert!(state.status().unwrap().is("Running") && state.operation().is_none());
        record.set_gone("2026-11-26T12:00:01Z".into());
        let gone = event(&record.to_text());
        assert!(gone.state().unwrap().is_changed() && gone.state().unwrap().status().unwrap().is(DELETED));
    }

    #[test]
    fn an_operation_keeps_what_it_is_about_and_no_secret() {
        let listed = r#"{"id":"7","class":"websocket","description":"Executing command","created_at":"2026-11-26T12:00:00Z","updated_at":"2026-11-26T12:00:00Z","status":"Running","status_code":103,"resources":{"instances":["/1.0/instances/c1"]},"metadata":{"command":["sh"],"environment":{"KEY":"hidden"},"fds":{"0":"hidden"},"entity_url":"/1.0/instances/c1"},"may_cancel":false,"err":"","location":"none"}"#;
        let running: Running = serde_json::from_str(listed).unwrap();
        let record = Record::new("t".into(), None, Some("none".into()), Subject::operation(running));
        let text = record.to_text();
        assert!(!text.contains("hidden"), "{text}");
        assert_eq!(Record::parse(&text), Some(record));
        let event_of = event(&text);
        let operation = event_of.state().unwrap().operation().unwrap();
        assert_eq!(operation.subjects(), ["/1.0/instances/c1"]);
        assert!(operation.description().unwrap().is("Executing command") && operation.id().unwrap().is("7"));
    }

    #[test]
    fn actions_of_every_age_say_what_an_instance_does_now() {
        for (action, status) in [
            ("instance-started", Some("Running")),
            ("container-restarted", Some("Running")),
            ("virtual-machine-shutdown", Some("Stopped")),
            ("instance-paused", Some("Frozen")),
            ("instance-snapshot-started", None),
            ("instance-created", None),
            ("network-started", None),
        ] {
            assert_eq!(status_after(action), status, "{action}");
        }
    }
}
