//! `$lxmon`: what lxmon has worked out about an event, as JSON.

use std::borrow::Cow;

use serde::Serialize;

use crate::event::entity::{Entity, EntityKind};
use crate::event::{Event, Status, Timestamp};

/// The variable. What an event does not say is null.
#[derive(Debug, Default, Serialize)]
struct Context {
    remote: Option<String>,
    kind: Option<&'static str>,
    name: Option<String>,
    instance: Option<String>,
    project: Option<String>,
    duration_ms: Option<i64>,
    failed: bool,
}

/// Appends the value of the variable for an event of the remote called `remote`.
pub(super) fn push(event: &Event, remote: Option<&str>, out: &mut String) {
    let mut context =
        Context { remote: remote.map(str::to_owned), failed: event.failure().is_some(), ..Context::default() };
    context.project = event.project().map(|project| project.cow().into_owned());
    if let Some(operation) = event.operation() {
        let subjects = operation.subjects();
        if let Some(path) = subjects.first() {
            context.take(Entity::parse(path));
        }
        context.duration_ms = (operation.status() != Status::Going).then(|| duration(event)).flatten();
    } else if let Some(lifecycle) = event.lifecycle() {
        let source = lifecycle.source().map(|source| source.cow()).unwrap_or_default();
        let action = lifecycle.action().map(|action| action.cow()).unwrap_or_default();
        context.take(Entity::of_action(&action, &source));
    } else if let Some(security) = event.security() {
        context.project = context.project.or_else(|| security.project().map(|project| project.cow().into_owned()));
        let path = security.request_path().map(|path| path.cow()).or_else(|| security.entity_path());
        if let Some(path) = path {
            context.take(Entity::parse(&path));
        }
    } else if let Some(log) = event.logging().and_then(|logging| logging.context()) {
        let project = log.get_text("project").map(|project| project.cow().into_owned());
        context.project = project.or(context.project);
        let name = ["instance", "container"].into_iter().find_map(|key| log.get_text(key));
        if let Some(name) = name.map(|name| name.cow()) {
            let instance = name.split('/').next().unwrap_or_default().to_owned();
            let kind = if instance.len() < name.len() { EntityKind::InstanceSnapshot } else { EntityKind::Instance };
            (context.kind, context.name, context.instance) =
                (Some(kind.name()), Some(name.into_owned()), Some(instance));
        }
    }
    // This cannot fail: strings and numbers can always be serialized.
    out.push_str(&serde_json::to_string(&context).unwrap_or_default());
}

impl Context {
    /// Takes over what a path names.
    fn take(&mut self, entity: Entity<'_>) {
        self.instance = entity.instance().map(str::to_owned);
        self.project = self.project.take().or_else(|| entity.project.map(Cow::into_owned));
        if entity.kind != EntityKind::Other {
            (self.kind, self.name) = (Some(entity.kind.name()), Some(entity.name.into_owned()));
        }
    }
}

/// How long an operation took that has ended with this event, in milliseconds.
fn duration(event: &Event) -> Option<i64> {
    let Timestamp(created) = Timestamp::parse(&event.operation()?.created_at()?.cow())?;
    let Timestamp(ended) = event.timestamp()?;
    ended.checked_sub(created).map(|nanoseconds| nanoseconds / 1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::event;

    #[test]
    fn what_each_type_of_event_says() {
        for (text, wanted) in [
            (
                r#"{"type":"lifecycle","project":"web","metadata":{"action":"instance-started","source":"/1.0/instances/c1?project=web"}}"#,
                r#"{"remote":"r","kind":"instance","name":"c1","instance":"c1","project":"web","duration_ms":null,"failed":false}"#,
            ),
            (
                r#"{"type":"operation","timestamp":"2026-01-01T00:00:02.5Z","metadata":{"status_code":400,"created_at":"2026-01-01T00:00:00Z","err":"e","resources":{"instances":["/1.0/instances/c1/snapshots/s?project=web"]}}}"#,
                r#"{"remote":"r","kind":"snapshot","name":"c1/s","instance":"c1","project":"web","duration_ms":2500,"failed":true}"#,
            ),
            (
                r#"{"type":"operation","timestamp":"2026-01-01T00:00:02.5Z","metadata":{"status_code":103,"created_at":"2026-01-01T00:00:00Z","metadata":{"entity_url":"/1.0/networks/br0"}}}"#,
                r#"{"remote":"r","kind":"network","name":"br0","instance":null,"project":null,"duration_ms":null,"failed":false}"#,
            ),
            (
                r#"{"type":"logging","metadata":{"message":"m","level":"error","context":{"instance":"c1/s","project":"web"}}}"#,
                r#"{"remote":"r","kind":"snapshot","name":"c1/s","instance":"c1","project":"web","duration_ms":null,"failed":true}"#,
            ),
            (
                r#"{"type":"security","metadata":{"name":"x","request_path":"/1.0/instances/c1/console","project":"web"}}"#,
                r#"{"remote":"r","kind":"instance","name":"c1","instance":"c1","project":"web","duration_ms":null,"failed":false}"#,
            ),
            (
                r#"{"type":"weather"}"#,
                r#"{"remote":"r","kind":null,"name":null,"instance":null,"project":null,"duration_ms":null,"failed":false}"#,
            ),
        ] {
            let mut out = String::new();
            push(&event(text), Some("r"), &mut out);
            assert_eq!(out, wanted, "{text}");
        }
    }
}
