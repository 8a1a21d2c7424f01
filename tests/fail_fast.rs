//! `--fail-fast`: the first failure ends the program, with its reason.

use crate::support::program::{Outcome, finish, finish_with_input, lxmon, run};
use crate::support::standin::{Connection, StandIn};

const SESSION: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/source/demo/session.ndjson");

/// An event of this type at this millisecond.
fn event(kind: &str, millisecond: u32, metadata: &str, rest: &str) -> String {
    let time = format!("2026-11-26T12:00:{:02}.{:03}Z", millisecond / 1000, millisecond % 1000);
    format!(r#"{{"type":"{kind}","timestamp":"{time}","metadata":{{{metadata}}}{rest}}}"#)
}

fn started(millisecond: u32, instance: &str) -> String {
    let metadata = format!(r#""action":"instance-started","source":"/1.0/instances/{instance}""#);
    event("lifecycle", millisecond, &metadata, r#","project":"default","location":"n1""#)
}

/// The end of an operation with this status code.
fn operation(millisecond: u32, instance: &str, code: u32, err: &str) -> String {
    let metadata = format!(
        r#""id":"x","description":"Starting instance","status_code":{code},"err":"{err}","resources":{{"instances":["/1.0/instances/{instance}"]}}"#
    );
    event("operation", millisecond, &metadata, r#","project":"default","location":"n1""#)
}

/// A log line of level error.
fn log(millisecond: u32, instance: &str) -> String {
    let metadata = format!(
        r#""message":"Failed starting container","level":"error","context":{{"instance":"{instance}","project":"default"}}"#
    );
    event("logging", millisecond, &metadata, r#","location":"n1""#)
}

/// Replays these events with `--fail-fast` and these options, in JSON.
fn replay(events: &[String], options: &[&str]) -> Outcome {
    replay_as("json", events, options)
}

fn replay_as(format: &str, events: &[String], options: &[&str]) -> Outcome {
    let arguments = [&["--replay", "-", "-f", format, "--fail-fast"], options].concat();
    finish_with_input(&mut lxmon(arguments), (events.join("\n") + "\n").as_bytes())
}

#[test]
fn the_first_failure_ends_it_after_the_events_before_it() {
    let events = [
        started(0, "c1"),
        operation(10, "c1", 401, "cancelled"),
        operation(20, "c1", 400, "no space"),
        started(30, "c2"),
    ];
    let outcome = replay(&events, &[]);
    assert_eq!((outcome.status, &*outcome.stderr), (4, "lxmon: c1: Starting instance failed: no space\n"));
    assert_eq!(outcome.stdout.lines().collect::<Vec<_>>(), events[..3]);
    // The sort window holds an earlier event that comes later.
    let swapped = [events[2].clone(), events[0].clone(), events[3].clone()];
    let outcome = replay(&swapped, &[]);
    assert_eq!((outcome.status, outcome.stdout.lines().collect::<Vec<_>>()), (4, vec![&*events[0], &*events[2]]));
    // The same in the formats that are made from the parts of an event, and with nothing else on standard error.
    for format in ["yaml", "pretty", "logfmt"] {
        let outcome = replay_as(format, &events, &["--quiet"]);
        assert_eq!((outcome.status, &*outcome.stderr), (4, "lxmon: c1: Starting instance failed: no space\n"));
        assert!(outcome.stdout.contains("c1") && !outcome.stdout.contains("c2"), "{format}: {}", outcome.stdout);
    }
    let arguments = ["--replay", "-", "-f", "json"];
    let outcome = finish_with_input(&mut lxmon(arguments), (events.join("\n") + "\n").as_bytes());
    assert_eq!((outcome.status, outcome.stdout.lines().count()), (0, 4));
}

#[test]
fn it_judges_by_instance_project_and_member_and_by_nothing_else() {
    let failed = operation(10, "c1", 400, "no space");
    let new = event(
        "operation",
        10,
        r#""description":"Starting instance","status_code":400,"err":"e","resources":{},"metadata":{"entity_url":"/1.0/instances/c1?project=web"}"#,
        r#","project":"web","location":"n2""#,
    );
    let command = event(
        "operation",
        10,
        r#""description":"Executing command","status_code":200,"metadata":{"return":3},"resources":{"instances":["/1.0/instances/c1"]}"#,
        r#","project":"default","location":"n1""#,
    );
    let snapshot = event(
        "operation",
        10,
        r#""description":"Snapshotting instance","status_code":400,"err":"e","resources":{"instances_snapshots":["/1.0/instances/c1/snapshots/s"]}"#,
        r#","project":"default","location":"n1""#,
    );
    let warning = log(10, "c1").replace("error", "warning");
    for (event, options, error) in [
        // What is printed does not matter.
        (&failed, &["-t", "lifecycle"][..], "c1: Starting instance failed: no space"),
        (&failed, &["-a", "instance-started"], "c1: Starting instance failed: no space"),
        (&failed, &["-a", "instance-started", "-i", "c1"], "c1: Starting instance failed: no space"),
        (&failed, &["--source", "/1.0/x"], "c1: Starting instance failed: no space"),
        (&failed, &["--requestor", "alice"], "c1: Starting instance failed: no space"),
        (&log(10, "c1"), &["--loglevel", "fatal", "-i", "c*"], "c1: error: Failed starting container"),
        // What is selected does.
        (&failed, &["-i", "c2"], ""),
        (&failed, &["-i", "!c1"], ""),
        (&log(10, "c1"), &["-i", "c2"], ""),
        (&failed, &["--location", "n2"], ""),
        (&failed, &["--project", "web"], ""),
        (&log(10, "c1"), &["--project", "web"], ""),
        (&new, &["--project", "web", "-i", "c1"], "c1 (project web): Starting instance failed: e"),
        (&new, &["--project", "default"], ""),
        (&new, &["--location", "n2", "-i", "c?"], "c1 (project web): Starting instance failed: e"),
        (&command, &["-i", "c1", "-t", "lifecycle"], "c1: Executing command failed: it returned 3"),
        (&snapshot, &["-i", "c1", "-t", "lifecycle"], "snapshot c1/s: Snapshotting instance failed: e"),
        (&warning, &[], ""),
    ] {
        let events = [started(0, "c1"), event.clone(), started(2000, "c1")];
        let outcome = replay(&events, options);
        let (status, stderr) = if error.is_empty() { (0, String::new()) } else { (4, format!("lxmon: {error}\n")) };
        assert_eq!((outcome.status, outcome.stderr), (status, stderr), "{options:?}: {event}");
        // Nothing is printed that the options leave out, and nothing of what came later.
        assert!(outcome.status == 0 || !outcome.stdout.contains("12:00:02"), "{options:?}: {}", outcome.stdout);
        let prints_only_starts = options[..].iter().any(|option| ["lifecycle", "instance-started"].contains(option));
        let lines: Vec<_> = outcome.stdout.lines().collect();
        assert!(!prints_only_starts || lines == events[..1], "{options:?}: {lines:?}");
    }
}

#[test]
fn an_instance_that_is_renamed_is_judged_by_its_new_name() {
    let renamed = event(
        "lifecycle",
        0,
        r#""action":"instance-renamed","source":"/1.0/instances/b","context":{"old_name":"a"}"#,
        r#","project":"default""#,
    );
    let failed = operation(10, "b", 400, "e");
    // No action is printed, so that only the judgement sees the renaming.
    for (events, status) in [(vec![renamed, failed.clone()], 4), (vec![failed], 0)] {
        assert_eq!(replay(&events, &["-i", "a", "-a", "instance-deleted"]).status, status, "{events:?}");
    }
}

#[test]
fn the_operation_says_why_after_the_log_line_that_comes_first() {
    let reason = "lxmon: c1: Starting instance failed: no space\n";
    let logged = "lxmon: c1: error: Failed starting container\n";
    let failed = |millisecond| operation(millisecond, "c1", 400, "no space");
    for (events, stderr, printed) in [
        (vec![log(0, "c1"), log(5, "c1"), failed(100), started(110, "c1")], reason, 3),
        // Half a second later it is another failure.
        (vec![log(0, "c1"), started(100, "c1"), failed(2000)], logged, 2),
        (vec![log(0, "c1"), started(100, "c1")], logged, 2),
        (vec![log(0, "c1")], logged, 1),
    ] {
        let outcome = replay(&events, &[]);
        assert_eq!((outcome.status, &*outcome.stderr), (4, stderr), "{events:?}");
        assert_eq!(outcome.stdout.lines().collect::<Vec<_>>(), events[..printed]);
    }
    // A server from which nothing more comes.
    for events in [vec![log(0, "c1")], vec![log(0, "c1"), failed(100)]] {
        let (text, stderr) = (events.join("\n"), if events.len() == 1 { logged } else { reason });
        let server = StandIn::new(move |connection: &mut Connection| {
            connection.accept();
            for event in &events {
                connection.event(event);
            }
            connection.wait();
        });
        let outcome = finish(&mut lxmon([&*server.remote(), "-f", "json", "--fail-fast"]));
        assert_eq!((outcome.status, &*outcome.stderr, outcome.stdout.trim_end()), (4, stderr, &*text));
    }
}

#[test]
fn the_first_of_several_ends_decides_and_a_failure_among_them_wins() {
    let failed = operation(10, "c1", 400, "no space");
    let events = [started(0, "c1"), failed.clone(), started(20, "c1")];
    for (options, status) in [
        (&["-n1"][..], 0),
        // The event that completes the number is the failure.
        (&["-n2"], 4),
        (&["-n1", "--failed"], 4),
        (&["-n3"], 4),
        (&["-n2", "-t", "lifecycle"], 4),
    ] {
        assert_eq!(replay(&events, options).status, status, "{options:?}");
    }
    // What had come when the time was over is judged.
    let server = StandIn::new(move |connection: &mut Connection| {
        connection.accept();
        connection.event(&failed);
        connection.wait();
    });
    let remote = server.remote();
    for (options, status) in [(&["-i", "c1"][..], 4), (&["-i", "c2"], 0), (&["-i", "c2", "-n1"], 124)] {
        let arguments = [&[&*remote, "--fail-fast", "--sort-window=1h", "--timeout=1s"], options].concat();
        assert_eq!(run(arguments).status, status, "{options:?}");
    }
}

#[test]
fn the_server_is_asked_for_all_types_whatever_is_printed() {
    let server = StandIn::new(|connection: &mut Connection| {
        connection.accept();
        connection.event(&started(0, "c1"));
        connection.event(&operation(10, "c1", 400, "no space"));
        connection.wait();
    });
    for options in [&["-a", "instance-started"][..], &["-t", "lifecycle"], &["-t", "lifecycle", "-i", "c1"]] {
        let outcome = run([&[&*server.remote(), "-f", "json", "--fail-fast"], options].concat());
        assert_eq!((outcome.status, outcome.stdout.trim_end()), (4, &*started(0, "c1")), "{options:?}");
        let request = server.requests().pop().unwrap();
        assert!(request.starts_with("GET /1.0/events HTTP/1.1\r\n"), "{request}");
    }
}

#[test]
fn the_error_names_the_remote_where_there_are_several_and_shows_no_control_characters() {
    let quiet = StandIn::new(|connection: &mut Connection| {
        connection.accept();
        connection.wait();
    });
    let failing = StandIn::new(|connection: &mut Connection| {
        connection.accept();
        connection.event(&operation(10, "c1", 400, r"no\u001b[31m\nspace \u202e"));
        connection.wait();
    });
    let outcome = run([&quiet.remote(), &failing.remote(), "--fail-fast", "-t", "lifecycle"]);
    let error = format!("lxmon: {}: c1: Starting instance failed: no", failing.remote());
    assert!(outcome.status == 4 && outcome.stderr.starts_with(&error), "{}", outcome.stderr);
    assert!(!outcome.stderr.contains(['\u{1b}', '\u{202e}']) && outcome.stderr.lines().count() == 1);
}

#[test]
fn the_demonstration_fails_too() {
    let outcome = run(["--replay", SESSION, "--fail-fast", "-i", "db2", "-t", "lifecycle", "-q"]);
    assert_eq!(outcome.status, 4);
    assert!(outcome.stderr.starts_with("lxmon: db2 (project web): Starting instance failed: "), "{}", outcome.stderr);
    let outcome = run(["--demo", "--fail-fast", "-f", "json", "-t", "lifecycle"]);
    assert_eq!(outcome.status, 4, "{}", outcome.stderr);
    assert!(outcome.stderr.contains("Executing command failed: it returned "), "{}", outcome.stderr);
}
