//! Notices about options that are valid but probably a mistake.

use super::{Config, projects};
use crate::cli::{Cli, actions};
use crate::event::catalogue::{self, Action, Where};
use crate::event::{Timestamp, Type};
use crate::filter::{Glob, Named, excludes, is_glob, names_state, split_exclusion};
use crate::remote::{Flavour, Remote};
use crate::report::suggest;
use crate::source::Source;
use crate::source::server::request::Projects;
use crate::system::clock::local_now;

/// Whatever is doubtful about the command line, as sentences.
#[must_use]
pub(crate) fn doubts(cli: &Cli, config: &Config) -> Vec<String> {
    let remotes = match &config.source {
        Source::Servers { remotes, .. } => &remotes[..],
        Source::Replay(_) | Source::Demo => &[],
    };
    let mut doubts = Vec::new();
    doubts.extend(cli.types.iter().filter_map(|kind| unknown_type(kind)));
    for glob in cli.actions.iter().filter(|action| !names_state(action)) {
        let (excludes, glob) = split_exclusion(glob);
        let pattern = Glob::new(glob).ok();
        let is_match = |name: &str| pattern.as_ref().is_some_and(|pattern| pattern.matches(name));
        let known: Vec<_> = catalogue::matching(is_match).collect();
        if known.is_empty() {
            doubts.push(unknown_action(glob));
        } else if !excludes {
            doubts.extend(elsewhere(glob, &known, remotes));
            doubts.extend(project_events(glob, &known, cli, remotes));
        }
    }
    doubts.extend(never_failed(cli));
    doubts.extend(never_state(cli));
    if cli.since.is_some_and(|Timestamp(since)| local_now().timestamp_nanos_opt().is_some_and(|now| since > now)) {
        doubts.push("--since is in the future, so no event is that new; a time of day is one of today".to_owned());
    }
    doubts
}

/// No server has the type. It is asked for all the same, as newer servers may have it.
fn unknown_type(kind: &str) -> Option<String> {
    let (_, word) = split_exclusion(kind);
    if is_glob(word) || Type::KNOWN.iter().any(|known| known.name() == word) {
        return None;
    }
    Some(match &suggest::nearest(word, Type::KNOWN.into_iter().map(Type::name))[..] {
        [] => format!("no known type is {word:?}; types: {}", Type::KNOWN.map(Type::name).join(", ")),
        names => format!("no known type is {word:?}; near it: {}", names.join(", ")),
    })
}

fn unknown_action(glob: &str) -> String {
    match &actions::nearest(glob)[..] {
        [] => format!("no known action matches {glob:?}; `lxmon --list-actions` shows them all"),
        names => format!("no known action matches {glob:?}; near it: {}", names.join(", ")),
    }
}

/// Only servers of the other kind send the actions.
fn elsewhere(glob: &str, known: &[&Action], remotes: &[Remote]) -> Option<String> {
    let flavour = remotes.first()?.flavour;
    let is_sent = known.iter().any(|action| remotes.iter().any(|remote| sends(remote.flavour, action)));
    (!is_sent).then(|| {
        let servers = known[0].servers.name();
        format!("{flavour} has no action that matches {glob:?}; only {servers} sends such events")
    })
}

/// Whether servers of this kind send the action.
fn sends(flavour: Flavour, action: &Action) -> bool {
    match action.servers {
        Where::Both => true,
        Where::Lxd => flavour == Flavour::Lxd,
        Where::Incus => flavour == Flavour::Incus,
    }
}

/// The events of a project belong to that project (both servers' `lifecycle/project.go`), so those of one project do not
/// have the events of others.
fn project_events(glob: &str, known: &[&Action], cli: &Cli, remotes: &[Remote]) -> Option<String> {
    let is_about_projects = known.iter().all(|action| action.name.starts_with("project-"));
    let followed = remotes.first()?.project();
    (is_about_projects && projects(cli) == Projects::Default).then(|| {
        format!(
            "the events of a project are sent in that project, so {glob:?} shows only those of the project \
             {followed:?}; --all-projects shows those of every project"
        )
    })
}

/// A state has no action.
fn never_state(cli: &Cli) -> Option<String> {
    let mut wanted = cli.actions.iter().filter(|action| !excludes(action)).peekable();
    (cli.state && wanted.peek().is_some() && !wanted.any(|action| names_state(action))).then(|| {
        let names = Named::ALL.map(Named::name).join(" and ");
        format!("--state shows no state with an --action that names none: add -a {names}")
    })
}

/// Only operations and log lines can be failures.
fn never_failed(cli: &Cli) -> Option<String> {
    if !cli.failed {
        return None;
    }
    let can_fail = |name: &str| {
        let kinds = [Type::Operation, Type::Logging, Type::Ovn, Type::NetworkAcl];
        kinds.iter().any(|kind| kind.name() == name) || is_glob(name)
    };
    let types: Vec<_> = cli.types.iter().filter(|kind| !excludes(kind)).collect();
    let is_of_actions = cli.actions.iter().any(|action| !excludes(action));
    if is_of_actions {
        return Some("--failed selects operations and log lines, which have no --action: nothing will be shown".into());
    }
    (!types.is_empty() && !types.iter().any(|kind| can_fail(kind)))
        .then(|| "--failed selects operations and log lines, which --type leaves out: nothing will be shown".to_owned())
}
