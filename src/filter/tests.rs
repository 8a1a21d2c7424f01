//! Tests of what each option selects.

use super::*;
use crate::event::{RemoteId, event};

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
            "--remotes" => selection.remote_projects.extend(values),
            "--failed" => selection.failed = values.next_back().unwrap() == "yes",
            "--loglevel" => selection.loglevel = values.next_back().map(|level| level.parse().unwrap()),
            _ => panic!("{option}"),
        }
    }
    selection
}

/// The names of the events that pass.
fn passing(options: &str) -> String {
    let mut filter = Filter::new(&selection(options));
    let names: Vec<_> = ALL.into_iter().filter(|(_, text)| filter.admits(&event(text))).map(|(name, _)| name).collect();
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
            let mut filter = Filter::new(&Selection { instances: vec![name.into()], ..Selection::default() });
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
        // The log line names its project in its context, the other one names none.
        ("--project other", "warning bare odd"),
        ("--project !web", "snapshot operation warning bare odd"),
        ("--remotes web", "started snapshot operation log warning bare odd"),
        ("--remotes default", "started snapshot operation warning bare odd"),
        ("--failed yes", ""),
        ("--project web --project default", "started snapshot operation log warning bare odd"),
        ("--project !default", "started log warning bare odd"),
        ("--loglevel info", "started snapshot operation warning bare odd"),
        ("--loglevel warn", "started snapshot operation warning bare odd"),
        ("--loglevel DEBUG", "started snapshot operation log warning bare odd"),
        ("-t logging --location lxd01 -i db*", "log"),
    ] {
        assert_eq!(passing(options), names, "{options}");
    }
}

#[test]
fn named_states_are_those_of_instances_and_the_actions_that_lead_to_them() {
    let state = |kind: &str, status: &str| {
        format!(r#"{{"type":"state","metadata":{{"kind":"{kind}","name":"c1","status":"{status}","id":"7"}}}}"#)
    };
    let action = |action: &str| lifecycle(action, "c1", "", "default");
    let events = [
        ("running", state("instance", "Running")),
        ("ready", state("instance", "Ready")),
        ("stopped", state("instance", "Stopped")),
        ("frozen", state("instance", "Frozen")),
        ("deleted", state("instance", "Deleted")),
        ("operation", state("operation", "Running")),
        ("started", action("instance-started")),
        ("restarted", action("container-restarted")),
        ("resumed", action("virtual-machine-resumed")),
        ("guest ready", action("instance-ready")),
        ("stop", action("instance-stopped")),
        ("shutdown", action("instance-shutdown")),
        ("paused", action("instance-paused")),
        ("log", LOG.into()),
    ];
    for (options, names) in [
        ("-a @running", &["running", "ready", "started", "restarted", "resumed"][..]),
        ("-a @stopped", &["stopped", "stop", "shutdown"]),
        ("-a @stopped,instance-paused", &["stopped", "stop", "shutdown", "paused"]),
        ("-a @running,!container-*", &["running", "ready", "started", "resumed"]),
        ("-a *,!@running", &["guest ready", "stop", "shutdown", "paused"]),
        // Without a name of a state, a state has no action.
        ("-a *-started", &["started"]),
        ("-a *", &["started", "restarted", "resumed", "guest ready", "stop", "shutdown", "paused"]),
        ("-a !@running,!@stopped", &["frozen", "deleted", "operation", "guest ready", "paused", "log"]),
    ] {
        assert_eq!(passing_of(options, &events), names, "{options}");
    }
}

/// The names of the events that a filter lets pass, which gets them one after the other.
fn passing_of<'n>(options: &str, events: &[(&'n str, String)]) -> Vec<&'n str> {
    let mut filter = Filter::new(&selection(options));
    events.iter().filter(|(_, text)| filter.admits(&event(text))).map(|(name, _)| *name).collect()
}

fn lifecycle(action: &str, instance: &str, old_name: &str, project: &str) -> String {
    format!(
        r#"{{"type":"lifecycle","metadata":{{"action":"{action}","source":"/1.0/instances/{instance}","context":{{"old_name":"{old_name}"}}}},"project":"{project}"}}"#
    )
}

fn operation(description: &str, status: u16, instance: &str, old: &str) -> String {
    let old = if old.is_empty() { String::new() } else { format!(r#","original_entity_url":"/1.0/instances/{old}""#) };
    format!(
        r#"{{"type":"operation","metadata":{{"id":"x","description":"{description}","status_code":{status},"metadata":{{"entity_url":"/1.0/instances/{instance}"{old}}}}},"project":"default"}}"#
    )
}

#[test]
fn an_instance_that_is_renamed_stays_selected() {
    let stopped = |name: &str| lifecycle("instance-stopped", name, "", "default");
    let renamed = |name: &str, old: &str| lifecycle("instance-renamed", name, old, "default");
    let log = |name: &str| {
        format!(r#"{{"type":"logging","metadata":{{"message":"m","level":"info","context":{{"instance":"{name}"}}}}}}"#)
    };
    let events = [
        ("b before", stopped("b")),
        ("a is b", renamed("b", "a")),
        ("b", stopped("b")),
        ("log of b", log("b")),
        ("b elsewhere", lifecycle("instance-stopped", "b", "", "web")),
        ("a snapshot", lifecycle("instance-snapshot-renamed", "b/snapshots/s", "a", "default")),
        ("b is c", renamed("c", "b")),
        ("that ends", operation("Renaming instance", 200, "c", "b")),
        ("b after", stopped("b")),
        ("c", stopped("c")),
        ("c deleting", operation("Deleting instance", 103, "c", "")),
        ("c deleted", lifecycle("instance-deleted", "c", "", "default")),
        ("c deletion ends", operation("Deleting instance", 200, "c", "")),
        ("new c", lifecycle("instance-created", "c", "", "default")),
        ("d is c", renamed("c", "d")),
        ("new a", lifecycle("instance-created", "a", "", "default")),
    ];
    let kept = [
        "a is b",
        "b",
        "log of b",
        "a snapshot",
        "b is c",
        "that ends",
        "c",
        "c deleting",
        "c deleted",
        "c deletion ends",
        "new a",
    ];
    assert_eq!(passing_of("-i a", &events), kept);
    // Other options do not keep the filter from learning, and do not pass what they exclude.
    assert_eq!(passing_of("-i a -a *-stopped", &events), ["b", "c"]);
    assert_eq!(passing_of("-i a -t operation", &events), ["that ends", "c deleting", "c deletion ends"]);
    // Exclusions are by name.
    assert_eq!(passing_of("-i a -i !b", &events), ["c", "c deleting", "c deleted", "c deletion ends", "new a"]);
}

#[test]
fn the_end_of_an_operation_tells_of_a_renaming_too() {
    let events = [
        ("begins", operation("Renaming instance", 103, "b", "a")),
        ("b before", operation("Stopping instance", 103, "b", "")),
        ("ends", operation("Renaming instance", 200, "b", "a")),
        ("b", operation("Stopping instance", 103, "b", "")),
        ("fails", operation("Renaming instance", 400, "c", "a")),
        ("c", operation("Stopping instance", 103, "c", "")),
        ("b gone", operation("Deleting instance", 200, "b", "")),
        ("new b", operation("Creating instance", 103, "b", "")),
    ];
    assert_eq!(passing_of("-i a", &events), ["begins", "ends", "b", "fails", "b gone"]);
}

#[test]
fn another_instance_that_gets_the_name_of_one_that_is_gone_is_not_selected() {
    let events = [
        ("a is b", lifecycle("instance-renamed", "b", "a", "default")),
        ("b deleted", lifecycle("instance-deleted", "b", "", "default")),
        ("x is b", lifecycle("instance-renamed", "b", "x", "default")),
        ("b", lifecycle("instance-stopped", "b", "", "default")),
        ("a is b again", lifecycle("instance-renamed", "b", "a", "default")),
        ("b again", lifecycle("instance-stopped", "b", "", "default")),
    ];
    assert_eq!(passing_of("-i a", &events), ["a is b", "b deleted", "a is b again", "b again"]);
}

#[test]
fn names_are_of_one_remote_and_few_are_remembered() {
    let mut filter = Filter::new(&selection("-i a*"));
    let of = |remote: u16, text: &str| Event::decode(text.into(), RemoteId(remote), None).unwrap();
    let stopped = |number: usize| lifecycle("instance-stopped", &format!("b{number}"), "", "default");
    for number in 0..1025 {
        let renamed = lifecycle("instance-renamed", &format!("b{number}"), &format!("a{number}"), "default");
        assert!(filter.admits(&of(1, &renamed)));
    }
    assert!(filter.admits(&of(1, &stopped(1024))) && filter.admits(&of(1, &stopped(1))));
    assert!(!filter.admits(&of(2, &stopped(1024))));
    // The oldest one is forgotten.
    assert!(!filter.admits(&of(1, &stopped(0))));
    // No server has such a name.
    let long = "b".repeat(300);
    assert!(filter.admits(&of(1, &lifecycle("instance-renamed", &long, "a", "default"))));
    assert!(!filter.admits(&of(1, &lifecycle("instance-stopped", &long, "", "default"))));
}

#[test]
fn a_log_line_is_of_the_project_that_is_followed_on_its_remote() {
    let mut filter = Filter::new(&selection("--remotes default,web"));
    let of = |remote: u16| Event::decode(LOG.into(), RemoteId(remote), None).unwrap();
    // The log line is about the project web. Of a third remote it is not known which project is followed.
    assert_eq!([0, 1, 2].map(|remote| filter.admits(&of(remote))), [false, true, true]);
}

#[test]
fn audit_records_are_about_the_instance_in_their_name() {
    for (name, path, instances) in [
        ("authz_fail:can_exec:/1.0/instances/c1?project=web", "/1.0", &["c1"][..]),
        ("authz_fail:can_view:/1.0/instances/c1/snapshots/s", "/1.0/instances/c2", &["c1", "c2"]),
        ("authz_fail:can_view_events:/1.0", "/1.0/events", &[]),
        ("authz_fail:can_\\u0076iew:\\/1.0/instances/c1", "", &["c1"]),
        ("authn_login_fail:tls", "/1.0/instances/c1", &["c1"]),
        ("sys_startup", "", &[]),
    ] {
        let text = format!(r#"{{"type":"security","metadata":{{"name":"{name}","request_path":"{path}"}}}}"#);
        for instance in ["c1", "c2", "1.0"] {
            let mut filter = Filter::new(&Selection { instances: vec![instance.into()], ..Selection::default() });
            assert_eq!(filter.admits(&event(&text)), instances.contains(&instance), "{instance}: {text}");
        }
    }
}

#[test]
fn requestors_are_names_addresses_and_nobody() {
    let by = |kind: &str, username: &str, protocol: &str, address: &str| {
        format!(
            r#"{{"type":"{kind}","metadata":{{"requestor":{{"username":"{username}","protocol":"{protocol}","address":"{address}"}}}}}}"#
        )
    };
    let events = [
        ("alice", by("lifecycle", "alice", "tls", "10.0.0.1:5000")),
        ("operation", by("operation", "bob", "oidc", "[fd00::1]:5000")),
        ("root", by("operation", "root", "unix", "@")),
        ("stranger", by("security", "", "tls", "10.0.0.9:1")),
        ("called none", by("security", "none", "tls", "10.0.0.2:1")),
        ("empty", by("lifecycle", "", "", "")),
        ("empty operation", by("operation", "", "", "")),
        ("absent", r#"{"type":"lifecycle","metadata":{"requestor":null}}"#.into()),
        ("bare", r#"{"type":"security"}"#.into()),
        ("log", LOG.into()),
        ("future", by("weather", "alice", "tls", "10.0.0.1:1")),
    ];
    for (options, names) in [
        ("alice", &["alice"][..]),
        ("tls/*", &["alice", "stranger", "called none"]),
        ("10.0.0.1", &["alice"]),
        ("10.0.0.1:5000", &["alice"]),
        ("10.*", &["alice", "stranger", "called none"]),
        ("fd00::1", &["operation"]),
        ("[fd00::1]:5000", &["operation"]),
        ("unix/root", &["root"]),
        ("*", &["alice", "operation", "root", "stranger", "called none"]),
        ("none", &["empty", "empty operation", "absent", "bare"]),
        ("*/none", &["called none"]),
        ("none,root", &["root", "empty", "empty operation", "absent", "bare"]),
        ("!none", &["alice", "operation", "root", "stranger", "called none", "log", "future"]),
        ("!none,root", &["root"]),
        (
            "!alice",
            &[
                "operation",
                "root",
                "stranger",
                "called none",
                "empty",
                "empty operation",
                "absent",
                "bare",
                "log",
                "future",
            ],
        ),
        ("none,!root", &["empty", "empty operation", "absent", "bare"]),
    ] {
        assert_eq!(passing_of(&format!("--requestor {options}"), &events), names, "{options}");
    }
}
