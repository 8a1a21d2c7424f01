//! Decides which events are wanted, from their envelope and, only where an option needs it, their metadata.

mod action;
mod instance;
mod kind;
mod level;
mod location;
mod patterns;
mod project;
mod requestor;
mod source;

use crate::cli::Cli;
use crate::event::Event;

pub(crate) use self::patterns::Patterns;
pub use self::patterns::{excludes, is_glob};

/// One condition that an event must meet.
trait Predicate: std::fmt::Debug + Send {
    /// Whether `event` meets it.
    fn holds(&self, event: &Event) -> bool;
}

/// All conditions of a command line.
#[derive(Debug, Default)]
pub struct Filter {
    predicates: Vec<Box<dyn Predicate>>,
}

impl Filter {
    /// The conditions that the options make.
    #[must_use]
    pub fn new(cli: &Cli) -> Self {
        let mut filter = Self::default();
        // Cheap ones first: an event that fails one is not looked at further.
        filter.add(&cli.types, kind::Types);
        filter.add(&cli.projects, project::Projects);
        filter.add(&cli.locations, location::Locations);
        if let Some(minimum) = cli.loglevel {
            filter.predicates.push(Box::new(level::MinimumLevel(minimum)));
        }
        filter.add(&cli.actions, action::Actions);
        filter.add(&cli.sources, source::Sources);
        filter.add(&cli.requestors, requestor::Requestors);
        filter.add(&cli.instances, instance::Instances);
        filter
    }

    fn add<P: Predicate + 'static>(&mut self, values: &[String], predicate: fn(Patterns) -> P) {
        if !values.is_empty() {
            self.predicates.push(Box::new(predicate(Patterns::new(values))));
        }
    }

    /// Whether the event is wanted.
    #[must_use]
    pub fn admits(&self, event: &Event) -> bool {
        self.predicates.iter().all(|predicate| predicate.holds(event))
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::event::event;

    const STARTED: &str = r#"{"type":"lifecycle","timestamp":"2026-11-23T12:00:00Z","metadata":{"action":"instance-started","source":"/1.0/instances/db1?project=web","requestor":{"username":"alice","protocol":"tls","address":"10.0.0.1:1"}},"location":"lxd02","project":"web"}"#;
    const SNAPSHOT: &str = r#"{"type":"lifecycle","timestamp":"2026-11-23T12:00:00Z","metadata":{"action":"instance-snapshot-created","source":"/1.0/instances/c1/snapshots/snap0"},"location":"none","project":"default"}"#;
    const OPERATION: &str = r#"{"type":"operation","timestamp":"2026-11-23T12:00:00Z","metadata":{"id":"x","resources":{"images":null,"instances":["/1.0/instances/c1","/1.0/instances/db1?project=web"]}},"location":"none","project":"default"}"#;
    const LOG: &str = r#"{"type":"logging","timestamp":"2026-11-23T12:00:00Z","metadata":{"message":"m","level":"debug","context":{"instance":"db1","project":"web"}},"location":"lxd01"}"#;
    const WARNING: &str = r#"{"type":"logging","timestamp":"2026-11-23T12:00:00Z","metadata":{"message":"m","level":"warning","context":null}}"#;
    const BARE: &str = r#"{"type":"lifecycle"}"#;
    const ODD: &str = r#"{"type":"operation","metadata":[1],"location":7,"project":null}"#;

    const ALL: [(&str, &str); 7] = [
        ("started", STARTED),
        ("snapshot", SNAPSHOT),
        ("operation", OPERATION),
        ("log", LOG),
        ("warning", WARNING),
        ("bare", BARE),
        ("odd", ODD),
    ];

    /// The names of the events that pass.
    fn passing(options: &str) -> String {
        let cli = Cli::try_parse_from(std::iter::once("lxmon").chain(options.split_whitespace())).unwrap();
        let filter = Filter::new(&cli);
        let names: Vec<_> =
            ALL.into_iter().filter(|(_, text)| filter.admits(&event(text))).map(|(name, _)| name).collect();
        names.join(" ")
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
