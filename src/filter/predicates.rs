//! The conditions of a selection: one variant for each option.

use super::patterns::Patterns;
use crate::event::entity::{Entity, EntityKind};
use crate::event::{Event, Level};

/// The context keys of log lines that name an instance (seen on LXD 5.0.2 and Incus 6.0.4; `container` before LXD 4).
const LOG_KEYS: [&str; 3] = ["instance", "container", "sourceInstance"];

/// One condition that an event must meet.
#[derive(Debug)]
pub(super) enum Predicate {
    /// `--type`
    Type(Patterns),
    /// `--project`
    Project(Patterns),
    /// `--location`: the cluster member that the event comes from.
    Location(Patterns),
    /// `--loglevel`: the minimum level of log lines and security records.
    Level(Level),
    /// `--action`: the action of a lifecycle event.
    Action(Patterns),
    /// `--source`: the path of the entity that a lifecycle event concerns.
    Source(Patterns),
    /// `--requestor`: the requestor of a lifecycle or security event.
    Requestor(Patterns),
    /// `--instance`: the instances that an event concerns.
    Instance(Patterns),
}

impl Predicate {
    /// Whether `event` meets the condition.
    pub(super) fn holds(&self, event: &Event) -> bool {
        match self {
            Self::Type(patterns) => patterns.admit([event.type_text().cow()]),
            // Events without a project concern the whole server. They pass, as on the servers (LXD
            // `lxd/events/events.go`, `broadcast`).
            Self::Project(patterns) => event.project().is_none_or(|project| patterns.admit([project.cow()])),
            Self::Location(patterns) => patterns.admit(event.location().map(|location| location.cow())),
            Self::Level(minimum) => level(event) >= *minimum,
            Self::Action(patterns) => {
                patterns.admit(event.lifecycle().and_then(|lifecycle| lifecycle.action()).map(|action| action.cow()))
            }
            Self::Source(patterns) => has_source(event, patterns),
            Self::Requestor(patterns) => has_requestor(event, patterns),
            Self::Instance(patterns) => concerns_instance(event, patterns),
        }
    }
}

/// The level of a log line or security record. Other events count as info, as in `lxc monitor`, and so does an unknown
/// level.
fn level(event: &Event) -> Level {
    let text = event
        .logging()
        .and_then(|logging| logging.level_text())
        .or_else(|| event.security().and_then(|security| security.level_text()));
    text.and_then(|level| level.cow().parse().ok()).unwrap_or(Level::Info)
}

/// Whether the source of a lifecycle event matches, with or without its query.
fn has_source(event: &Event, patterns: &Patterns) -> bool {
    let Some(source) = event.lifecycle().and_then(|lifecycle| lifecycle.source()) else {
        return patterns.admit::<&str>([]);
    };
    let source = source.cow();
    let path = source.split('?').next().unwrap_or_default();
    patterns.admit([&*source, path])
}

/// Whether the requestor matches, as `protocol/username` or by the user name alone.
fn has_requestor(event: &Event, patterns: &Patterns) -> bool {
    let requestor = event
        .lifecycle()
        .and_then(|lifecycle| lifecycle.requestor())
        .or_else(|| event.security().and_then(|security| security.requestor()));
    let Some(requestor) = requestor else {
        return patterns.admit::<&str>([]);
    };
    let username = requestor.username.cow();
    let full = format!("{}/{username}", requestor.protocol.cow());
    patterns.admit([&*full, &*username])
}

/// Whether an event concerns a matching instance. The instance is named in the source of a lifecycle event, the paths of
/// an operation, the request of a security event, or the context of a log line. An event about a snapshot or backup
/// concerns its instance. An instance that is renamed has two names.
fn concerns_instance(event: &Event, patterns: &Patterns) -> bool {
    if let Some(operation) = event.operation() {
        let paths: Vec<_> = operation.entity_paths().map(|path| path.cow()).collect();
        return patterns.admit(paths.iter().filter_map(|path| Entity::parse(path).instance().map(str::to_owned)));
    }
    if let Some(lifecycle) = event.lifecycle() {
        let source = lifecycle.source().map(|source| source.cow()).unwrap_or_default();
        let entity = Entity::parse(&source);
        let old_name = lifecycle.context().and_then(|context| context.get_text("old_name"));
        let old_name = old_name.filter(|_| entity.kind == EntityKind::Instance).map(|name| name.cow().into_owned());
        return patterns.admit(entity.instance().map(str::to_owned).into_iter().chain(old_name));
    }
    if let Some(security) = event.security() {
        let path = security.request_path().map(|path| path.cow()).unwrap_or_default();
        return patterns.admit(Entity::parse(&path).instance());
    }
    let context = event.logging().and_then(|logging| logging.context());
    let names = LOG_KEYS.into_iter().filter_map(|key| context?.get_text(key)).map(|name| name.cow());
    patterns.admit(names.map(|name| match name.split_once('/') {
        Some((instance, _snapshot)) => instance.to_owned(),
        None => name.into_owned(),
    }))
}
