//! Decides which events are printed. The metadata of an event is read only if an option needs it.

mod actions;
mod glob;
mod instances;
mod patterns;
mod predicates;
mod requestors;
mod values;

use log::warn;

use self::actions::Actions;
pub(crate) use self::actions::{Named, names_state};
pub(crate) use self::glob::{Glob, literal};
use self::instances::Instances;
pub(crate) use self::instances::each_instance;
pub(crate) use self::patterns::{Patterns, split_exclusion};
pub use self::patterns::{excludes, is_glob};
use self::predicates::Predicate;
use self::requestors::Requestors;
pub(crate) use self::values::{exactly, start_of_last, values};
use crate::event::{Event, Fate, Level, Timestamp};

/// The values of the options that select events. An event must satisfy each option that has values.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    /// `--type`
    pub types: Vec<String>,
    /// `--action`
    pub actions: Vec<String>,
    /// `--instance`
    pub instances: Vec<String>,
    /// `--source`
    pub sources: Vec<String>,
    /// `--requestor`
    pub requestors: Vec<String>,
    /// `--location`
    pub locations: Vec<String>,
    /// `--project`
    pub projects: Vec<String>,
    /// The projects of the remotes, by [`RemoteId`](crate::event::RemoteId), if the command line selects none.
    pub remote_projects: Vec<String>,
    /// `--loglevel`
    pub loglevel: Option<Level>,
    /// `--failed`
    pub failed: bool,
    /// `--fail-fast`
    pub fail_fast: bool,
    /// `--since`
    pub since: Option<Timestamp>,
    /// `--until`
    pub until: Option<Timestamp>,
    /// Whether the log lines of one cluster member may be taken for those of all members.
    pub expects_all_log_lines: bool,
}

impl Selection {
    /// The failures that end the program with `--fail-fast`: those about the selected instances, projects and cluster
    /// members, whatever the other options leave out.
    fn of_failures(&self) -> Self {
        Self {
            instances: self.instances.clone(),
            locations: self.locations.clone(),
            projects: self.projects.clone(),
            remote_projects: self.remote_projects.clone(),
            failed: true,
            ..Self::default()
        }
    }
}

/// The conditions of a selection, all of which an event must meet.
#[derive(Debug, Default)]
pub struct Filter {
    predicates: Vec<Predicate>,
    instances: Option<Instances>,
    /// The failures that end the program, with `--fail-fast`.
    failures: Option<Box<Self>>,
    /// Whether to say so once if the server turns out to be a cluster member, which sends few log lines of others.
    doubts_members: bool,
}

impl Filter {
    /// The filter of a selection.
    #[must_use]
    pub fn new(selection: &Selection) -> Self {
        let of = |values: &[String], predicate: fn(Patterns) -> Predicate| {
            (!values.is_empty()).then(|| predicate(Patterns::new(values)))
        };
        // Cheap conditions come first: once one fails, the others are not evaluated.
        let predicates = [
            (selection.since.is_some() || selection.until.is_some()).then(|| {
                let [first, last] = [selection.since, selection.until];
                Predicate::Time(first.unwrap_or(Timestamp(i64::MIN))..=last.unwrap_or(Timestamp(i64::MAX)))
            }),
            of(&selection.types, Predicate::Type),
            of(&selection.projects, Predicate::Project),
            of(&selection.locations, Predicate::Location),
            (!selection.remote_projects.is_empty())
                .then(|| Predicate::RemoteProject(selection.remote_projects.clone())),
            selection.loglevel.map(Predicate::Level),
            selection.failed.then_some(Predicate::Failed),
            (!selection.actions.is_empty()).then(|| Predicate::Action(Actions::new(&selection.actions))),
            of(&selection.sources, Predicate::Source),
            (!selection.requestors.is_empty()).then(|| Predicate::Requestor(Requestors::new(&selection.requestors))),
        ];
        Self {
            predicates: predicates.into_iter().flatten().collect(),
            instances: (!selection.instances.is_empty()).then(|| Instances::new(&selection.instances)),
            failures: selection.fail_fast.then(|| Box::new(Self::new(&selection.of_failures()))),
            doubts_members: selection.expects_all_log_lines,
        }
    }

    /// Whether the event is printed or ends the program, and records in it which. Events must come in the order of
    /// arrival.
    #[must_use]
    pub fn decides(&mut self, event: &mut Event) -> bool {
        let is_printed = self.admits(event);
        let Some(failures) = &mut self.failures else { return is_printed };
        let is_last = failures.admits(event);
        event.set_fate(match (is_printed, is_last) {
            (true, true) => Fate::PrintedLast,
            (false, true) => Fate::Last,
            (_, false) => Fate::Printed,
        });
        is_printed || is_last
    }

    /// Whether the event meets all conditions. Events must come in the order of arrival: an instance that was selected
    /// stays selected from the event on that reports its renaming.
    #[must_use]
    pub fn admits(&mut self, event: &Event) -> bool {
        if self.doubts_members {
            self.doubts_members = !doubt_member(event);
        }
        let is_admitted = self.predicates.iter().all(|predicate| predicate.holds(event));
        let Some(instances) = &mut self.instances else { return is_admitted };
        let is_admitted = is_admitted && instances.admit(event);
        instances.learn(event);
        is_admitted
    }
}

/// If the event comes from a cluster member, prints which log lines are missing, and returns true. None of the debug and
/// info messages of one member came through another one, on LXD 5.0.2 and Incus 6.0.4.
fn doubt_member(event: &Event) -> bool {
    let is_member = event.location().is_some_and(|location| !location.raw.is_empty() && !location.is("none"));
    if is_member {
        warn!(
            "this server is a cluster member: most log messages of level debug and info of the other members do not come \
             through it; --cluster follows them all"
        );
    }
    is_member
}

#[cfg(test)]
mod tests;
