//! `--action`: the action of a lifecycle event, and the states that `@running` and `@stopped` name.
//!
//! A name that begins with `@` stands for a state and for all actions that lead to it, so that whoever waits for it is
//! served by what is already so, and by what happens later.

use super::patterns::{Patterns, split_exclusion};
use crate::event::state::{Kind, is_running, status_after};
use crate::event::{Event, State};

/// A state that can be selected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Named {
    /// The instance runs.
    Running,
    /// The instance is stopped.
    Stopped,
}

impl Named {
    /// All of them.
    pub(crate) const ALL: [Self; 2] = [Self::Running, Self::Stopped];

    /// Its name on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Running => "@running",
            Self::Stopped => "@stopped",
        }
    }

    /// A sentence about what it selects, for people.
    pub(crate) fn meaning(self) -> &'static str {
        match self {
            Self::Running => "An instance was started, restarted or resumed, or runs already",
            Self::Stopped => "An instance was stopped or shut down, or is stopped already",
        }
    }

    /// The state that a value of the option names, without the mark that excludes.
    pub(crate) fn of(value: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|named| named.name() == split_exclusion(value).1)
    }

    /// Whether an instance with this status is in the state.
    fn holds(self, status: &str) -> bool {
        match self {
            Self::Running => is_running(status),
            Self::Stopped => status == "Stopped",
        }
    }

    /// Whether the action leads to the state. A guest that reports that it is ready runs already.
    fn follows(self, action: &str) -> bool {
        status_after(action).is_some_and(|status| self.holds(status) && status != "Ready")
    }
}

/// Whether a value of the option names a state, known or not.
pub(crate) fn names_state(value: &str) -> bool {
    split_exclusion(value).1.starts_with('@')
}

/// The condition of the option.
#[derive(Debug)]
pub(super) struct Actions {
    patterns: Patterns,
    include: Vec<Named>,
    exclude: Vec<Named>,
}

impl Actions {
    pub(super) fn new(values: &[String]) -> Self {
        let (states, globs): (Vec<_>, Vec<_>) = values.iter().cloned().partition(|value| names_state(value));
        let named = |excluding| {
            let wanted = states.iter().filter(move |value| split_exclusion(value).0 == excluding);
            wanted.filter_map(|value| Named::of(value)).collect()
        };
        Self { include: named(false), exclude: named(true), patterns: Patterns::new(&globs) }
    }

    /// Whether the event has a selected action, or is the state of an instance that is selected.
    pub(super) fn admit(&self, event: &Event) -> bool {
        let must_match = self.patterns.must_match() || !self.include.is_empty();
        if let Some(state) = event.state() {
            let is =
                |named: &Named| is_of_instance(state) && state.status().is_some_and(|text| named.holds(&text.cow()));
            return !self.exclude.iter().any(is) && (!must_match || self.include.iter().any(is));
        }
        let Some(action) = event.lifecycle().and_then(|lifecycle| lifecycle.action()) else { return !must_match };
        let action = action.cow();
        let is = |named: &Named| named.follows(&action);
        let is_excluded = self.patterns.exclude(&action) || self.exclude.iter().any(is);
        !is_excluded && (!must_match || self.patterns.include(&action) || self.include.iter().any(is))
    }
}

/// Operations have statuses of the same names.
fn is_of_instance(state: State<'_>) -> bool {
    state.kind() == Some(Kind::Instance)
}
