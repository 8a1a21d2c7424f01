//! The ordinary course: lxmon subscribes, prints the events, and ends.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::support::program::{Follower, finish, finish_with_input, lxmon, run};
use crate::support::standin::{Connection, QUICK, StandIn, numbered, opcode};

/// A server that sends these events and keeps the connection open.
fn serving(events: Vec<String>) -> StandIn {
    StandIn::new(move |connection: &mut Connection| {
        connection.accept();
        for event in &events {
            connection.event(event);
        }
        connection.wait();
    })
}

#[test]
fn one_request_with_what_is_wanted_in_it() {
    for (arguments, target) in [
        (&[][..], "/1.0/events"),
        (&["-t", "lifecycle,operation"], "/1.0/events?type=lifecycle,operation"),
        (&["-t", "!logging"], "/1.0/events"),
        (&["-a", "instance-*"], "/1.0/events?type=lifecycle"),
        (&["-a", "instance-*", "-t", "lifecycle", "-t", "operation"], "/1.0/events?type=lifecycle,operation"),
        (&["-a", "!instance-*"], "/1.0/events"),
        (&["--project", "web"], "/1.0/events?project=web"),
        (&["-A"], "/1.0/events?all-projects=true"),
        (&["--project", "a", "--project", "b"], "/1.0/events?all-projects=true"),
        (&["--project", "!a"], "/1.0/events?all-projects=true"),
        (&["--project", "web*"], "/1.0/events?all-projects=true"),
        (&["--project", "we?"], "/1.0/events?all-projects=true"),
    ] {
        let server = StandIn::new(|connection: &mut Connection| {
            connection.accept();
            connection.end();
        });
        let outcome = run([&[&*server.remote(), "--no-reconnect"], arguments].concat());
        assert_eq!(outcome.status, 1, "{arguments:?}");
        assert!(outcome.stderr.contains("connection lost"), "{arguments:?}: {}", outcome.stderr);
        let requests = server.requests();
        assert_eq!(requests.len(), 1, "{arguments:?}");
        assert_eq!(requests[0].lines().next(), Some(&*format!("GET {target} HTTP/1.1")), "{arguments:?}");
        assert!(!requests[0].contains("Origin"));
    }
}

#[test]
fn every_format_prints_what_was_sent() {
    let event = numbered(7);
    let server = serving(vec![event.clone()]);
    let print = |format: &str| run([&*server.remote(), "-n1", "-f", format]).stdout;
    assert_eq!(print("json"), format!("{event}\n"));
    assert_eq!(
        print("yaml"),
        "---\nlocation: none\nmetadata:\n  action: instance-started\n  source: /1.0/instances/c7\nproject: default\n\
         timestamp: \"2027-01-15T08:00:00.007000000Z\"\ntype: lifecycle\n"
    );
    assert_eq!(
        print("logfmt"),
        "time=\"2027-01-15T08:00:00Z\" level=info msg=\"Action: instance-started, Source: /1.0/instances/c7\"\n"
    );
    assert_eq!(print("pretty"), "2027-01-15T08:00:00.007+00:00 ▶ c7                            instance-started\n");
}

#[test]
fn of_several_remotes_ours_is_the_one_that_an_event_comes_from() {
    let event = r#"{"type":"logging","remote":"prod","metadata":{"message":"m","level":"info","context":{"remote":"prod"}},"r\u0065mote":"prod"}"#;
    let (spoofing, silent) = (serving(vec![event.to_owned()]), serving(vec![]));
    let name = spoofing.remote();
    let print = |format: &str| run([&*name, &silent.remote(), "-n1", "-f", format]).stdout;
    let rest = r#""type":"logging","metadata":{"message":"m","level":"info","context":{"remote":"prod"}}"#;
    assert_eq!(print("json"), format!("{{\"remote\":\"{name}\",{rest}}}\n"));
    assert_eq!(
        print("yaml"),
        format!(
            "---\nmetadata:\n  context:\n    remote: prod\n  level: info\n  message: m\nremote: {name}\ntype: logging\n"
        )
    );
    assert_eq!(print("logfmt"), format!("time= level=info remote=\"{name}\" msg=m fields.remote=prod\n"));
    assert!(print("pretty").contains(&name));
    // With a single remote, the event is printed as the server sent it.
    assert_eq!(run([&*name, "-n1", "-f", "json"]).stdout, format!("{event}\n"));
}

#[test]
fn the_filter_decides_what_the_server_does_not() {
    let events = vec![
        numbered(1),
        r#"{"type":"logging","timestamp":"2027-01-15T08:00:00Z","metadata":{"message":"x","level":"info"}}"#.into(),
        numbered(2),
        numbered(3),
    ];
    let server = serving(events.clone());
    let directory = tempfile::tempdir().unwrap();
    let recording = directory.path().join("events.ndjson");
    std::fs::write(&recording, events.join("\n")).unwrap();
    for (options, count) in [
        (&["-t", "lifecycle"][..], 3),
        (&["-i", "c2"], 1),
        (&["-i", "c?", "-i", "!c2"], 2),
        (&["--source", "/1.0/instances/*"], 3),
        (&["--project", "other"], 1),
        // Only log lines have a level.
        (&["--loglevel", "warning"], 3),
    ] {
        let live = run([&[&*server.remote(), "-f", "json", "--timeout", "300ms"], options].concat());
        let replayed = run([&["--replay", recording.to_str().unwrap(), "-f", "json"], options].concat());
        assert_eq!(live.stdout.lines().count(), count, "{options:?}: {}", live.stdout);
        assert_eq!(live.stdout, replayed.stdout, "{options:?}");
    }
}

#[test]
fn a_glob_of_projects_matches_also_alone() {
    let of = |project: &str| numbered(0).replace("default", project);
    let server = serving(["web", "default", "web-2", "the-web"].map(of).to_vec());
    let print = |project: &str| run([&*server.remote(), "-f", "json", "-n2", "--project", project]).stdout;
    assert_eq!(print("web*"), format!("{}\n{}\n", of("web"), of("web-2")));
    assert_eq!(print("!web*"), format!("{}\n{}\n", of("default"), of("the-web")));
}

#[test]
fn count_and_timeout_end_it() {
    let server = serving((0..5).map(numbered).collect());
    let remote = server.remote();
    let counted = run([&*remote, "-f", "json", "-n", "3"]);
    assert_eq!((counted.status, counted.stdout.lines().count()), (0, 3));
    let timed = run([&*remote, "-f", "json", "--timeout", "300ms"]);
    assert_eq!((timed.status, timed.stdout.lines().count()), (0, 5));
    let missed = run([&*remote, "-f", "json", "-n", "6", "--timeout", "300ms"]);
    assert_eq!((missed.status, missed.stdout.lines().count()), (124, 5));
}

#[test]
fn everything_that_was_sent_before_the_end_is_printed_in_order() {
    const EVENTS: u64 = 100_000;
    let server = StandIn::new(|connection: &mut Connection| {
        connection.accept();
        let mut burst = Vec::new();
        for number in 0..EVENTS {
            burst.extend(crate::support::standin::frame(true, opcode::TEXT, numbered(number).as_bytes()));
        }
        connection.write(&burst);
        connection.end();
    });
    let outcome = run([&*server.remote(), "-f", "json", "--no-reconnect"]);
    assert_eq!(outcome.status, 1);
    assert!(outcome.stderr.contains("connection lost"), "{}", outcome.stderr);
    let mut expected = 0;
    for line in outcome.stdout.lines() {
        assert_eq!(line, numbered(expected));
        expected += 1;
    }
    assert_eq!(expected, EVENTS);
}

#[test]
fn neighbours_that_changed_places_are_put_back() {
    let events: Vec<_> = [1, 0, 3, 2, 5, 4].map(numbered).into();
    let server = serving(events.clone());
    let sorted = run([&*server.remote(), "-f", "json", "-n6"]);
    assert_eq!(sorted.stdout.lines().map(str::to_owned).collect::<Vec<_>>(), (0..6).map(numbered).collect::<Vec<_>>());
    let raw = run([&*server.remote(), "-f", "json", "-n6", "--sort-window", "0"]);
    assert_eq!(raw.stdout.lines().collect::<Vec<_>>(), events);
}

#[test]
fn an_event_is_out_at_once_when_none_waits() {
    let server = serving(vec![numbered(0)]);
    let mut running = Follower::start(&mut lxmon([&*server.remote(), "-f", "json"]));
    // The connection stays open and silent: only a flush can have delivered the line.
    assert_eq!(running.line().trim_end(), numbered(0));
    running.signal(Signal::TERM);
    running.end();
}

#[test]
fn colours_follow_the_rules() {
    let event = numbered(0);
    let colored = |options: &[&str], environment: &[(&str, &str)]| {
        let mut command = lxmon(["--replay", "-", "-f", "yaml"]);
        command.args(options).envs(environment.iter().copied());
        finish_with_input(&mut command, event.as_bytes()).stdout.contains('\x1b')
    };
    for (options, environment, expected) in [
        (&[][..], &[][..], false),
        (&["--color", "always"], &[], true),
        (&["--color", "always"], &[("NO_COLOR", "1")], true),
        (&["--color", "never"], &[("CLICOLOR_FORCE", "1")], false),
        (&[], &[("CLICOLOR_FORCE", "1")], true),
        (&[], &[("CLICOLOR_FORCE", "0")], false),
        (&[], &[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")], false),
        (&[], &[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "")], true),
        (&[], &[("CLICOLOR_FORCE", "1"), ("TERM", "dumb")], true),
    ] {
        assert_eq!(colored(options, environment), expected, "{options:?} {environment:?}");
    }
}

#[test]
fn the_demonstration_has_the_pace_of_its_recording() {
    let session = include_str!("../src/source/demo/session.ndjson");
    let time = |line: &str| {
        let event: serde_json::Value = serde_json::from_str(line).unwrap();
        chrono::DateTime::parse_from_rfc3339(event["timestamp"].as_str().unwrap()).unwrap()
    };
    let first = time(session.lines().next().unwrap());
    // The events in the first second of the recording, and the first event after it.
    let early = session.lines().take_while(|line| (time(line) - first).num_milliseconds() < 1000).count();
    let next = session.lines().nth(early).unwrap();
    let begun = Instant::now();
    let outcome = run(["--demo", "-f", "json", "-n", &(early + 1).to_string()]);
    assert_eq!((outcome.status, &*outcome.stderr), (0, ""));
    assert_eq!(outcome.stdout.lines().count(), early + 1);
    let pace = (time(next) - first).to_std().unwrap();
    assert!(begun.elapsed() >= pace, "{:?} for the first {pace:?} of the recording", begun.elapsed());
    let counted = run(["--demo", "-n1", "-f", "json"]);
    assert_eq!((counted.status, counted.stdout.lines().count()), (0, 1));
}

#[test]
#[ignore = "long: run by CI"]
fn the_demonstration_plays_and_ends_with_0() {
    let outcome = finish(&mut lxmon(["--demo", "-f", "json"]));
    assert_eq!((outcome.status, &*outcome.stderr), (0, ""));
    let session = include_str!("../src/source/demo/session.ndjson");
    assert_eq!(outcome.stdout.lines().count(), session.lines().count());
    for action in
        ["project-created", "instance-created", "instance-exec", "instance-snapshot-created", "instance-deleted"]
    {
        assert!(outcome.stdout.contains(&format!("\"{action}\"")), "{action}");
    }
    for what in ["_progress", "\"Failure\"", "\"warning\""] {
        assert!(outcome.stdout.contains(what), "{what}");
    }
}

/// A server that sends this many events at full speed, then ends the connection.
fn bursting(events: u64) -> StandIn {
    StandIn::with_limits(QUICK, move |connection: &mut Connection| {
        connection.accept();
        for number in 0..events {
            connection.event(&numbered(number));
        }
        connection.end();
    })
}

#[test]
fn a_reader_that_stops_loses_nothing_while_the_buffer_lasts() {
    const EVENTS: u64 = 60_000;
    // More than the 8 MiB of queued events beyond which back-pressure begins.
    let server = bursting(EVENTS);
    let running = Follower::start(&mut lxmon([&*server.remote(), "-f", "json", "--no-reconnect"]));
    std::thread::sleep(Duration::from_secs(2));
    let outcome = running.end();
    assert!(outcome.stdout.lines().eq((0..EVENTS).map(numbered)), "{}", outcome.stderr);
    server.assert_never_cut();
}

#[test]
fn what_the_buffer_cannot_hold_is_dropped_and_told_to_the_event() {
    const EVENTS: u64 = 40_000;
    let server = bursting(EVENTS);
    let running = Follower::start(&mut lxmon([
        &*server.remote(),
        "-f",
        "json",
        "--no-reconnect",
        "--gap-events",
        "--buffer",
        "1MiB",
    ]));
    std::thread::sleep(Duration::from_secs(2));
    let outcome = running.end();
    server.assert_never_cut();
    let (gaps, events): (Vec<_>, Vec<_>) =
        outcome.stdout.lines().partition(|line| line.starts_with(r#"{"type":"gap""#));
    let dropped: u64 = gaps
        .iter()
        .map(|gap| serde_json::from_str::<serde_json::Value>(gap).unwrap()["metadata"]["dropped"].as_u64().unwrap())
        .sum();
    assert!(dropped > 0, "{}", outcome.stderr);
    assert_eq!(events.len() as u64 + dropped, EVENTS, "{}", outcome.stderr);
    // The newest events are dropped, so the oldest are all there.
    assert!(events.iter().take(1000).copied().eq((0..1000).map(numbered)));
    assert!(
        outcome.stderr.contains(&format!("{dropped} events dropped from ")) || gaps.len() > 1,
        "{}",
        outcome.stderr
    );
}

#[test]
fn time_without_the_processor_does_not_count_as_lateness() {
    let (go, wait) = std::sync::mpsc::channel();
    let wait = std::sync::Mutex::new(wait);
    let server = StandIn::new(move |connection: &mut Connection| {
        connection.accept();
        connection.event(&numbered(2));
        wait.lock().unwrap().recv().unwrap();
        connection.event(&numbered(1));
        connection.wait();
    });
    let mut running = Follower::start(&mut lxmon([&*server.remote(), "-f", "json", "--sort-window", "500ms", "-n2"]));
    // By now the first event is in the sort window, or still in the socket: the test works with either.
    std::thread::sleep(Duration::from_millis(100));
    running.signal(Signal::STOP);
    go.send(()).unwrap();
    std::thread::sleep(Duration::from_secs(1));
    running.signal(Signal::CONT);
    assert_eq!([running.line(), running.line()].map(|line| line.trim_end().to_owned()), [numbered(1), numbered(2)]);
    assert_eq!(running.end().status, 0);
}
