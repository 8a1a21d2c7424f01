//! `--instance`: the instances that an event concerns, and the new names of selected instances that were renamed.

use std::collections::VecDeque;

use super::patterns::Patterns;
use crate::event::entity::{Entity, EntityKind};
use crate::event::{Event, RemoteId, Status};

/// The context keys of log lines that name an instance (seen on LXD 5.0.2 and Incus 6.0.4; `container` before LXD 4).
const LOG_KEYS: [&str; 3] = ["instance", "container", "sourceInstance"];

/// The maximum number of new names that are remembered. Beyond it the oldest one is forgotten.
const MAX_RENAMED: usize = 1024;

/// The maximum length of a remembered name of an instance or project, in bytes. The servers allow 63 characters.
const MAX_NAME: usize = 256;

/// The project of an event that names none.
const DEFAULT_PROJECT: &str = "default";

/// The condition of the option.
#[derive(Debug)]
pub(super) struct Instances {
    patterns: Patterns,
    /// Selected instances that were renamed to a name that no pattern matches, oldest first.
    renamed: VecDeque<Renamed>,
}

/// A selected instance by its new name.
#[derive(Debug)]
struct Renamed {
    remote: RemoteId,
    project: String,
    name: String,
    /// Whether the instance was deleted or has another name now. Only the ends of operations are still about it.
    is_gone: bool,
}

impl Instances {
    pub(super) fn new(values: &[String]) -> Self {
        Self { patterns: Patterns::new(values), renamed: VecDeque::new() }
    }

    /// Whether the event concerns a selected instance.
    pub(super) fn admit(&self, event: &Event) -> bool {
        let mut is_included = !self.patterns.must_match();
        let mut is_excluded = false;
        each_instance(event, |name, project| {
            is_excluded = is_excluded || self.patterns.exclude(name);
            is_included = is_included || self.patterns.include(name) || self.was_renamed_to(event, name, project);
        });
        is_included && !is_excluded
    }

    /// Whether a selected instance now has this name. A log line need not name the project.
    fn was_renamed_to(&self, event: &Event, name: &str, project: Option<&str>) -> bool {
        let is_ending = || event.operation().is_some_and(|operation| operation.status() != Status::Going);
        self.renamed.iter().any(|renamed| {
            renamed.remote == event.remote()
                && renamed.name == name
                && project.is_none_or(|project| project == renamed.project)
                && (!renamed.is_gone || is_ending())
        })
    }

    /// Remembers the new names of selected instances, and forgets those of instances that are gone. To be called after
    /// [`Instances::admit`], with every event, selected or not: other options may not select the renaming.
    pub(super) fn learn(&mut self, event: &Event) {
        if !self.patterns.must_match() {
            return;
        }
        if let Some(lifecycle) = event.lifecycle() {
            let Some(action) = lifecycle.action() else { return };
            let change = match &*action.cow() {
                "instance-renamed" => Change::Renamed,
                "instance-deleted" => Change::Deleted,
                // From now on the name is that of another instance.
                "instance-created" => Change::Replaced,
                _ => return,
            };
            let source = lifecycle.source().map(|source| source.cow()).unwrap_or_default();
            let entity = Entity::parse(&source);
            let old_name = lifecycle.context().and_then(|context| context.get_text("old_name"));
            let old_name = old_name.map(|name| name.cow());
            if entity.kind == EntityKind::Instance {
                self.change(event, change, old_name.as_deref(), &entity);
            }
        } else if let Some(operation) = event.operation().filter(|operation| operation.status() == Status::Success) {
            // The end of an operation says the same. It may be all that is followed.
            let Some(path) = operation.subjects().into_iter().next() else { return };
            let entity = Entity::parse(&path);
            if entity.kind != EntityKind::Instance {
                return;
            }
            if let Some(old) = operation.old_entity_url() {
                let old = old.cow();
                self.change(event, Change::Renamed, Entity::parse(&old).instance(), &entity);
            } else if operation
                .description()
                .is_some_and(|text| text.is("Deleting instance") || text.is("Creating instance"))
            {
                self.change(event, Change::Replaced, None, &entity);
            }
        }
    }

    fn change(&mut self, event: &Event, change: Change, old_name: Option<&str>, entity: &Entity<'_>) {
        let project = entity.project.as_deref().map(str::to_owned);
        let project = project.or_else(|| event.project().map(|project| project.cow().into_owned()));
        let project = project.unwrap_or_else(|| DEFAULT_PROJECT.to_owned());
        let name = entity.instance().unwrap_or_default();
        let position = |renamed: &VecDeque<Renamed>, name: &str| {
            renamed
                .iter()
                .position(|known| (known.remote, &*known.project, &*known.name) == (event.remote(), &*project, name))
        };
        match change {
            Change::Deleted => {
                if let Some(at) = position(&self.renamed, name) {
                    self.renamed[at].is_gone = true;
                }
            }
            Change::Replaced => {
                position(&self.renamed, name).map(|at| self.renamed.remove(at));
            }
            Change::Renamed => {
                let Some(old_name) = old_name.filter(|old_name| *old_name != name) else { return };
                let old = position(&self.renamed, old_name);
                if let Some(at) = old {
                    self.renamed[at].is_gone = true;
                }
                let is_selected =
                    old.is_some() || (self.patterns.include(old_name) && !self.patterns.exclude(old_name));
                match position(&self.renamed, name) {
                    // The lifecycle event and the end of the operation report the same renaming.
                    Some(at) if is_selected => self.renamed[at].is_gone = false,
                    Some(at) if self.renamed[at].is_gone => {
                        self.renamed.remove(at);
                    }
                    Some(_) => {}
                    None => {
                        let is_short = name.len() <= MAX_NAME && project.len() <= MAX_NAME;
                        if is_selected && is_short && !self.patterns.include(name) {
                            if self.renamed.len() == MAX_RENAMED {
                                self.renamed.pop_front();
                            }
                            let (remote, name) = (event.remote(), name.to_owned());
                            self.renamed.push_back(Renamed { remote, project, name, is_gone: false });
                        }
                    }
                }
            }
        }
    }
}

/// What has happened to the instance of a name.
#[derive(Clone, Copy)]
enum Change {
    Renamed,
    Deleted,
    /// The name is free, or that of another instance.
    Replaced,
}

/// Calls `visit` with the name of each instance that an event concerns, and with its project where the event names one.
/// The instance is named in the source of a lifecycle event, the paths of an operation, the request or the name of a
/// security event, or the context of a log line. An event about a snapshot or backup concerns its instance. An instance
/// that is renamed has two names.
pub(crate) fn each_instance(event: &Event, mut visit: impl FnMut(&str, Option<&str>)) {
    let event_project = event.project().map(|project| project.cow());
    let mut visit_path = |path: &str| {
        let entity = Entity::parse(path);
        if let Some(name) = entity.instance() {
            visit(name, entity.project.as_deref().or(event_project.as_deref()));
        }
        entity.kind
    };
    if let Some(operation) = event.operation() {
        for path in operation.entity_paths() {
            visit_path(&path.cow());
        }
    } else if let Some(lifecycle) = event.lifecycle() {
        let source = lifecycle.source().map(|source| source.cow()).unwrap_or_default();
        if visit_path(&source) == EntityKind::Instance
            && let Some(old_name) = lifecycle.context().and_then(|context| context.get_text("old_name"))
        {
            visit(&old_name.cow(), event_project.as_deref());
        }
    } else if let Some(state) = event.state() {
        if let Some(operation) = state.operation() {
            for path in operation.entity_paths() {
                visit_path(&path.cow());
            }
        } else if let Some(name) = state.name() {
            visit(&name.cow(), event_project.as_deref());
        }
    } else if let Some(security) = event.security() {
        let paths = [security.request_path().map(|path| path.cow()), security.entity_path()];
        for path in paths.into_iter().flatten() {
            visit_path(&path);
        }
    } else if let Some(context) = event.logging().and_then(|logging| logging.context()) {
        let project = context.get_text("project").map(|project| project.cow());
        for name in LOG_KEYS.into_iter().filter_map(|key| context.get_text(key)) {
            let name = name.cow();
            let instance = name.split_once('/').map_or(&*name, |(instance, _snapshot)| instance);
            visit(instance, project.as_deref().or(event_project.as_deref()));
        }
    }
}
