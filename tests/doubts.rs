//! Notices about options that are valid but select less than somebody may expect, or nothing.

use crate::support::program::run;
use crate::support::standin::{Connection, StandIn, numbered};

/// A server that sends these events to each client and then ends the connection.
fn serving(events: Vec<String>) -> StandIn {
    StandIn::new(move |connection: &mut Connection| {
        connection.accept();
        for event in &events {
            connection.event(event);
        }
        connection.end();
    })
}

/// The notices with these options, without the one about the end of the connection, and the first line of the request.
fn notices(events: &[String], options: &[&str]) -> (Vec<String>, String) {
    let server = serving(events.to_vec());
    let outcome = run([&[&*server.remote(), "--no-reconnect", "-f", "json"], options].concat());
    let notices =
        outcome.stderr.lines().filter(|line| !line.contains("connection lost") && !line.starts_with("hint: "));
    let request = server.requests()[0].lines().next().unwrap().to_owned();
    (notices.map(str::to_owned).collect(), request)
}

#[test]
fn what_selects_less_than_it_seems_is_told_once() {
    for (options, says) in [
        (&["-t", "lifecylce"][..], "no known type is \"lifecylce\"; near it: lifecycle"),
        (&["-t", "!weather"], "no known type is \"weather\"; types: logging, operation, lifecycle, ovn, security"),
        (&["-a", "instance-strated"], "near it: instance-started"),
        (&["--incus", "-a", "auth-group-*"], "Incus has no action that matches \"auth-group-*\"; only LXD sends"),
        (&["--lxd", "-a", "network-integration-created"], "only Incus sends such events"),
        (&["-a", "project-*"], "\"project-*\" shows only those of the project \"default\"; --all-projects shows"),
        (&["-a", "project-created"], "--all-projects shows those of every project"),
        (&["--failed", "-t", "lifecycle"], "--failed selects operations and log lines, which --type leaves out"),
        (&["--failed", "-a", "instance-*"], "--failed selects operations and log lines, which have no --action"),
    ] {
        let (told, _) = notices(&[], options);
        assert_eq!(told.len(), 1, "{options:?}: {told:?}");
        assert!(told[0].starts_with("lxmon: ") && told[0].contains(says), "{options:?}: {told:?}");
        assert!(notices(&[], &[options, &["-q"]].concat()).0.is_empty(), "{options:?}");
    }
}

#[test]
fn what_selects_what_it_says_is_no_matter_for_a_notice() {
    for options in [
        &[][..],
        &["-t", "log,ops,life,sec,acl,ovn,configs,device"],
        &["-t", "log*"],
        &["-a", "*-created"],
        &["-a", "!project-*"],
        &["-a", "project-*", "-A"],
        &["-a", "project-*", "--project", "!web"],
        // The events of one project were asked for by its name.
        &["-a", "project-updated", "--project", "web"],
        &["--lxd", "-a", "auth-group-*"],
        &["--incus", "-a", "instance-*", "-a", "!auth-group-*"],
        &["--failed"],
        &["--failed", "-t", "operation"],
        &["--failed", "-t", "lifecycle,log*"],
        &["--failed", "-t", "!logging", "-a", "!instance-*"],
    ] {
        let (told, _) = notices(&[], options);
        assert!(told.is_empty(), "{options:?}: {told:?}");
    }
}

#[test]
fn the_server_is_asked_for_the_types_that_are_meant() {
    for (options, target) in [
        (&["-t", "log,ops"][..], "/1.0/events?type=logging,operation"),
        (&["-t", "weather,life"], "/1.0/events?type=weather,lifecycle"),
        // A glob is for the filter, as servers know names only.
        (&["-t", "lifecycle,log*"], "/1.0/events"),
        // Who may not read the log is sent what is permitted.
        (&["--failed"], "/1.0/events"),
        (&["--failed", "-t", "op"], "/1.0/events?type=operation"),
    ] {
        assert_eq!(notices(&[], options).1, format!("GET {target} HTTP/1.1"), "{options:?}");
    }
}

#[test]
fn a_cluster_member_does_not_send_all_log_lines() {
    let log = |location: &str| {
        format!(
            r#"{{"type":"logging","timestamp":"2026-11-23T12:00:00Z","metadata":{{"message":"m","level":"info"}},"location":"{location}"}}"#
        )
    };
    let member = [log("n1"), log("n2"), log("n1")];
    let told = |events: &[String], options: &[&str]| notices(events, options).0;
    let about_members = told(&member, &["-t", "log"]);
    assert_eq!(about_members.len(), 1, "{about_members:?}");
    assert!(about_members[0].contains("this server is a cluster member"), "{about_members:?}");
    assert_eq!(told(&member, &["-t", "logging,lifecycle", "--loglevel", "debug"]), about_members);
    for options in [&[][..], &["-t", "life"], &["-t", "log", "--loglevel", "warning"], &["-t", "log", "--failed"]] {
        assert!(told(&member, options).is_empty(), "{options:?}");
    }
    assert!(told(&[log("none"), numbered(0)], &["-t", "log"]).is_empty());
}

#[test]
fn log_lines_about_another_project_than_the_followed_one_are_left_out() {
    let log = |context: &str| {
        format!(
            r#"{{"type":"logging","timestamp":"2026-11-23T12:00:00Z","metadata":{{"message":"m","level":"info","context":{context}}}}}"#
        )
    };
    let [ours, theirs, nobodys] = [r#"{"project":"default"}"#, r#"{"project":"web"}"#, "{}"].map(log);
    let server = serving(vec![ours.clone(), theirs.clone(), nobodys.clone()]);
    let print = |options: &[&str]| {
        let outcome = run([&[&*server.remote(), "--no-reconnect", "-f", "json"], options].concat());
        outcome.stdout.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(print(&[]), [&*ours, &*nobodys]);
    assert_eq!(print(&["--project", "web"]), [&*theirs, &*nobodys]);
    assert_eq!(print(&["-A"]), [&*ours, &*theirs, &*nobodys]);
}
