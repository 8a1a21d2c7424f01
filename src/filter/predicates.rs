//! The conditions of a selection: one variant for each option.

use std::ops::RangeInclusive;

use super::actions::Actions;
use super::patterns::Patterns;
use super::requestors::Requestors;
use crate::event::json::Text;
use crate::event::{Event, Level, Timestamp};

/// One condition that an event must meet.
#[derive(Debug)]
pub(super) enum Predicate {
    /// `--type`
    Type(Patterns),
    /// `--project`
    Project(Patterns),
    /// The projects of the remotes, by [`RemoteId`](crate::event::RemoteId), if the command line selects none.
    RemoteProject(Vec<String>),
    /// `--location`: the cluster member that the event comes from.
    Location(Patterns),
    /// `--loglevel`: the minimum level of log lines and security records. Other events pass.
    Level(Level),
    /// `--action`: the action of a lifecycle event, or the state of an instance.
    Action(Actions),
    /// `--source`: the path of the entity that a lifecycle event concerns, or of the instance that a state is of.
    Source(Patterns),
    /// `--requestor`: the requestor of a lifecycle, operation or security event.
    Requestor(Requestors),
    /// `--failed`
    Failed,
    /// `--since` and `--until`: the timestamp of the event.
    Time(RangeInclusive<Timestamp>),
}

impl Predicate {
    /// Whether `event` meets the condition.
    pub(super) fn holds(&self, event: &Event) -> bool {
        match self {
            Self::Type(patterns) => patterns.admit([event.type_text().cow()]),
            // Events without a project concern the whole server. They pass, as on the servers (LXD
            // `lxd/events/events.go`, `broadcast`).
            Self::Project(patterns) => {
                let project = event.project().or_else(|| log_project(event));
                project.is_none_or(|project| patterns.admit([project.cow()]))
            }
            // The server has selected by the project of the event, but log lines of all projects have none.
            Self::RemoteProject(projects) => {
                let followed = projects.get(usize::from(event.remote().0));
                followed.is_none_or(|followed| log_project(event).is_none_or(|project| project.is(followed)))
            }
            Self::Location(patterns) => patterns.admit(event.location().map(|location| location.cow())),
            Self::Level(minimum) => level(event).is_none_or(|level| level >= *minimum),
            Self::Action(actions) => actions.admit(event),
            Self::Source(patterns) => has_source(event, patterns),
            Self::Requestor(requestors) => requestors.admit(event),
            Self::Failed => event.failure().is_some(),
            Self::Time(times) => event.timestamp().is_some_and(|time| times.contains(&time)),
        }
    }
}

/// The context key of log lines that names the project.
const PROJECT: &str = "project";

/// The project of what a log line is about.
fn log_project(event: &Event) -> Option<Text<'_>> {
    // Most log lines name none, and this is asked in nearly every run.
    let log = event.logging().filter(|_| event.may_contain(PROJECT))?;
    let project = log.context()?.get_text(PROJECT)?;
    (!project.raw.is_empty()).then_some(project)
}

/// The level of a log line or security record; an unknown level counts as info. Other events have none.
fn level(event: &Event) -> Option<Level> {
    let text = match (event.logging(), event.security()) {
        (Some(logging), _) => logging.level_text(),
        (None, Some(security)) => security.level_text(),
        (None, None) => return None,
    };
    Some(text.and_then(|level| level.cow().parse().ok()).unwrap_or(Level::Info))
}

/// Whether the source of a lifecycle event, or of a state, matches with or without its query.
fn has_source(event: &Event, patterns: &Patterns) -> bool {
    let of_state = || event.state().and_then(|state| state.source());
    let Some(source) = event.lifecycle().and_then(|lifecycle| lifecycle.source()).or_else(of_state) else {
        return patterns.admit::<&str>([]);
    };
    let source = source.cow();
    let path = source.split('?').next().unwrap_or_default();
    patterns.admit([&*source, path])
}
