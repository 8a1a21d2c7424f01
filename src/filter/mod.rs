//! Decides which events are printed. The metadata of an event is read only if an option needs it.

mod patterns;
mod predicates;

use crate::event::{Event, Level};

pub(crate) use self::patterns::Patterns;
pub use self::patterns::{excludes, is_glob};
use self::predicates::Predicate;

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
    /// `--loglevel`
    pub loglevel: Option<Level>,
}

/// The conditions of a selection, all of which an event must meet.
#[derive(Debug, Default)]
pub struct Filter {
    predicates: Vec<Predicate>,
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
            of(&selection.types, Predicate::Type),
            of(&selection.projects, Predicate::Project),
            of(&selection.locations, Predicate::Location),
            selection.loglevel.map(Predicate::Level),
            of(&selection.actions, Predicate::Action),
            of(&selection.sources, Predicate::Source),
            of(&selection.requestors, Predicate::Requestor),
            of(&selection.instances, Predicate::Instance),
        ];
        Self { predicates: predicates.into_iter().flatten().collect() }
    }

    /// Whether the event meets all conditions.
    #[must_use]
    pub fn admits(&self, event: &Event) -> bool {
        self.predicates.iter().all(|predicate| predicate.holds(event))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::event;

    const STARTED: &str = r#"{"type":"lifecycle","timestamp":"2026-11-23T12:00:00Z","metadata":{"action":"instance-started","source":"/1.0/instances/db1?project=web","requestor":{"username":"alice","protocol":"tls","address":"10.0.0.1:1"}},"location":"lxd02","project":"web"}"#;
    const SNAPSHOT: &str = r#"{"type":"lifecycle","timestamp":"2026-11-23T12:00:00Z","metadata":{"action":"instance-snapshot-created","source":"/1.0/instances/c1/snapshots/snap0"},"location":"none","project":"default"}"#;
    const OPERATION: &str = r#"{"type":"operation","timestamp":"2026-11-23T12:00:00Z","metadata":{"id":"x","resources":{"images":null,"instances":["/1.0/instances/c1","/1.0/instances/db1?project=web"]}},"location":"none","project":"default"}"#;
    const LOG: &str = r#"{"type":"logging","timestamp":"2026-11-23T12:00:00Z","metadata":{"message":"m","level":"debug","context":{"instance":"db1","project":"web"}},"location":"lxd01"}"#;
    const WARNING: &str = r#"{"type":"logging","timestamp":"2026-11-23T12:00:00Z","metadata":{"message":"m","level":"warning","context":null}}"#;
    const BARE: &str = r#"{"type":"lifecycle"}"#;
    const ODD: &str = r#"{"type":"operation","metadata":[1],"location":7,"project":null}"#;

    const RENAMED: &str = r#"{"type":"lifecycle","metadata":{"action":"instance-renamed","source":"/1.0/instances/new1","context":{"old_name":"old1"}}}"#;
    const RENAMING: &str = r#"{"type":"operation","metadata":{"id":"y","resources":{},"metadata":{"entity_url":"/1.0/instances/new1?project=web","original_entity_url":"/1.0/instances/old1?project=web"}}}"#;
    const IN_PROJECT: &str = r#"{"type":"operation","metadata":{"id":"z","resources":{"instance":["/1.0/instances/new1"]},"metadata":{"entity_url":"/1.0/projects/web"}}}"#;
    const DENIED: &str = r#"{"type":"security","metadata":{"name":"authz_fail","level":"warning","request_path":"/1.0/instances/old1/exec"}}"#;

    const ALL: [(&str, &str); 7] = [
        ("started", STARTED),
        ("snapshot", SNAPSHOT),
        ("operation", OPERATION),
        ("log", LOG),
        ("warning", WARNING),
        ("bare", BARE),
        ("odd", ODD),
    ];

    /// Parses options, each of which has a value, into a selection.
    fn selection(options: &str) -> Selection {
        let mut selection = Selection::default();
        let mut words = options.split_whitespace();
        while let Some(option) = words.next() {
            let mut values = words.next().unwrap().split(',').map(str::to_owned);
            match option {
                "-t" => selection.types.extend(values),
                "-a" => selection.actions.extend(values),
                "-i" => selection.instances.extend(values),
                "--source" => selection.sources.extend(values),
                "--requestor" => selection.requestors.extend(values),
                "--location" => selection.locations.extend(values),
                "--project" => selection.projects.extend(values),
                "--loglevel" => selection.loglevel = values.next_back().map(|level| level.parse().unwrap()),
                _ => panic!("{option}"),
            }
        }
        selection
    }

    /// The names of the events that pass.
    fn passing(options: &str) -> String {
        let filter = Filter::new(&selection(options));
        let names: Vec<_> =
            ALL.into_iter().filter(|(_, text)| filter.admits(&event(text))).map(|(name, _)| name).collect();
        names.join(" ")
    }

    #[test]
    fn an_instance_is_found_by_what_each_server_says_of_it() {
        for (text, names) in [
            (RENAMED, &["new1", "old1"][..]),
            (RENAMING, &["new1", "old1"]),
            (IN_PROJECT, &["new1"]),
            (DENIED, &["old1"]),
            (SNAPSHOT, &["c1"]),
        ] {
            for name in ["new1", "old1", "c1", "web"] {
                let filter = Filter::new(&Selection { instances: vec![name.into()], ..Selection::default() });
                assert_eq!(filter.admits(&event(text)), names.contains(&name), "{name}: {text}");
            }
        }
    }

    #[test]
    fn each_option_takes_alternatives_and_exclusions() {
        for (options, names) in [
            ("", "started snapshot operation log warning bare odd"),
            ("-t logging", "log warning"),
            ("-t logging,operation", "operation log warning odd"),
            ("-t !logging", "started snapshot operation bare odd"),
            ("-a instance-*", "started snapshot"),
            ("-a instance-* -a !*-started", "snapshot"),
            ("-a !instance-*", "operation log warning bare odd"),
            ("-a instance-star?ed", "started"),
            ("-i db1", "started operation log"),
            ("-i c*", "snapshot operation"),
            ("-i !db1", "snapshot warning bare odd"),
            ("--source /1.0/instances/c1*", "snapshot"),
            ("--source /1.0/instances/db1", "started"),
            ("--requestor alice", "started"),
            ("--requestor tls/*", "started"),
            ("--requestor tls", ""),
            ("--requestor !tls/alice", "snapshot operation log warning bare odd"),
            ("--location lxd0?", "started log"),
            ("--location !lxd01", "started snapshot operation warning bare odd"),
            ("--project web", "started log warning bare odd"),
            ("--project web --project default", "started snapshot operation log warning bare odd"),
            ("--project !default", "started log warning bare odd"),
            ("--loglevel info", "started snapshot operation warning bare odd"),
            ("--loglevel warn", "warning"),
            ("--loglevel DEBUG", "started snapshot operation log warning bare odd"),
            ("-t logging --location lxd01 -i db*", "log"),
        ] {
            assert_eq!(passing(options), names, "{options}");
        }
    }
}
