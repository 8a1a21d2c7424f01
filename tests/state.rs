//! `--state`: the present state of instances and operations, asked of the server once its events come, and again after a
//! gap.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, mpsc};
use std::time::Instant;

use serde_json::{Value, json};

use crate::support::program::{Follower, PATIENCE, finish_with_input, lxmon, run};
use crate::support::standin::{Connection, StandIn, numbered};
use crate::support::wait_until;

/// A server with a script for subscriptions and one for questions, which get their number, from 0.
fn host(
    subscription: impl Fn(&mut Connection, usize) + Send + Sync + 'static,
    question: impl Fn(&mut Connection, usize) + Send + Sync + 'static,
) -> StandIn {
    let (subscriptions, questions) = (AtomicUsize::new(0), AtomicUsize::new(0));
    StandIn::new(move |connection: &mut Connection| {
        if connection.wants_websocket() {
            connection.accept();
            subscription(connection, subscriptions.fetch_add(1, Ordering::SeqCst));
        } else {
            question(connection, questions.fetch_add(1, Ordering::SeqCst));
        }
    })
}

/// A subscription that ends when `lose` has a message, after `last`. It is made again, and stays.
fn losing(
    lose: mpsc::Receiver<()>,
    last: impl Fn(&mut Connection) + Send + Sync + 'static,
) -> impl Fn(&mut Connection, usize) + Send + Sync + 'static {
    let lose = Mutex::new(lose);
    move |connection, number| {
        ping(connection);
        if number > 0 {
            return connection.wait();
        }
        lose.lock().unwrap().recv().unwrap();
        last(connection);
        connection.end();
    }
}

/// Sends a ping, as the real servers do as soon as they send all events.
fn ping(connection: &mut Connection) {
    assert!(connection.is_answered(b"first"));
}

/// A subscription to which nothing is sent but a ping.
fn quiet(connection: &mut Connection, _: usize) {
    ping(connection);
    connection.wait();
}

/// The answer about these instances with their statuses.
fn instances(states: &[(&str, &str)]) -> String {
    let listed = |(name, status): &(&str, &str)| {
        json!({"architecture": "x86_64", "config": {"image.os": "busybox"}, "location": "none", "name": name,
               "stateful": false, "status": status, "status_code": 103})
    };
    answer_with(&states.iter().map(listed).collect::<Vec<_>>())
}

/// The answer with these instances.
fn answer_with(states: &[Value]) -> String {
    json!({"type": "sync", "status": "Success", "status_code": 200, "metadata": states}).to_string()
}

const NO_OPERATIONS: &str = r#"{"type":"sync","status":"Success","status_code":200,"metadata":{}}"#;

/// Answers about these instances and no operation.
fn answer(connection: &mut Connection, states: &[(&str, &str)]) {
    let body = if connection.target().contains("/operations") { NO_OPERATIONS.into() } else { instances(states) };
    connection.answer(&body);
}

fn lifecycle(action: &str, instance: &str, number: u32) -> String {
    format!(
        r#"{{"type":"lifecycle","timestamp":"2026-11-26T12:00:00.{number:03}Z","metadata":{{"action":"{action}","source":"/1.0/instances/{instance}"}},"location":"none","project":"default"}}"#
    )
}

/// What the lines say, as in `c1 Running` and `instance-started`; with an asterisk if it is marked as changed.
fn told(lines: &[String]) -> Vec<String> {
    let show = |line: &String| {
        let event: Value = serde_json::from_str(line).unwrap();
        let metadata = &event["metadata"];
        let text = |key: &str| metadata[key].as_str().unwrap_or_default().to_owned();
        let mark = if metadata["changed"] == true { " *" } else { "" };
        match event["type"].as_str().unwrap() {
            "state" => format!("{}{} {}{mark}", text("name"), text("id"), text("status")),
            _ => text("action"),
        }
    };
    lines.iter().map(show).collect()
}

/// The paths and queries of the questions, and of the subscriptions without their path.
fn targets(server: &StandIn) -> Vec<String> {
    let requests = server.requests();
    let target = |request: &String| request.split_whitespace().nth(1).unwrap().replace("/1.0/", "");
    requests.iter().map(target).collect()
}

#[test]
fn the_present_state_comes_first_in_every_format_and_asks_for_what_is_selected() {
    const OPERATION: &str = r#"{"type":"sync","metadata":{"running":[{"id":"7","class":"websocket","description":"Executing command","status":"Running","status_code":103,"resources":{"instances":["/1.0/instances/c1"]},"metadata":{"fds":{"0":"hidden"}},"location":"none"}],"success":[{"id":"6","status":"Success","status_code":200}]}}"#;
    let server = host(quiet, |connection, _| {
        let is_about_operations = connection.target().contains("/operations");
        let body =
            if is_about_operations { OPERATION.into() } else { instances(&[("c1", "Running"), ("c2", "Stopped")]) };
        connection.answer(&body);
    });
    let name = server.remote();
    for (options, format, wanted) in [
        (
            &["-n3"][..],
            "json",
            &[
                r#""kind":"instance","name":"c2","status":"Stopped","source":"/1.0/instances/c2","changed":false}}"#,
                r#""metadata":{"kind":"operation","id":"7","description":"Executing command","#,
            ][..],
        ),
        (&["-n3"], "yaml", &["  name: c1\n", "type: state\n"]),
        (&["-n3"], "logfmt", &["c1", "Running"]),
        (&["-n3"], "pretty", &["is running", "is stopped", "Executing command"]),
        (&["-n1", "-i", "c2"], "json", &[r#""name":"c2""#]),
        (&["-n1", "--source", "/1.0/instances/c2"], "json", &[r#""name":"c2""#]),
        (&["-n2", "-i", "c1"], "json", &[r#""name":"c1""#, r#""id":"7""#]),
        (&["-n1", "-a", "@stopped"], "json", &[r#""name":"c2""#]),
        (&["-n1", "-a", "@running", "-a", "@stopped", "-a", "!@running"], "json", &[r#""name":"c2""#]),
        (&["-n3", "-t", "state"], "json", &[r#""name":"c1""#]),
        (&["-n2", "-t", "lifecycle"], "json", &[r#""name":"c1""#, r#""name":"c2""#]),
    ] {
        let outcome = run([&[&*name, "--state", "-f", format, "--no-trunc"], options].concat());
        assert_eq!(outcome.status, 0, "{options:?}: {}", outcome.stderr);
        for wanted in wanted {
            assert!(outcome.stdout.contains(wanted), "{options:?}: {wanted:?} is not in {}", outcome.stdout);
        }
        assert!(!outcome.stdout.contains("hidden"), "{}", outcome.stdout);
    }
    server.requests();
    for (options, wanted) in [
        (&["--state", "-n3"][..], &["events", "instances?recursion=1", "operations?recursion=1"][..]),
        (&["-n1", "-a", "@running"], &["events?type=lifecycle", "instances?recursion=1"]),
        (&["-n2", "--state", "-t", "logging"], &["events?type=logging,lifecycle", "instances?recursion=1"]),
        (&["-n2", "-t", "state"], &["events?type=operation,lifecycle", "instances?recursion=1"]),
        (
            &["--state", "-n3", "-A"],
            &[
                "events?all-projects=true",
                "instances?recursion=1&all-projects=true",
                "operations?recursion=1&all-projects=true",
            ],
        ),
        (
            &["--state", "-n1", "--project", "web", "-a", "@stopped", "-i", "c2"],
            &["events?type=lifecycle&project=web", "instances?recursion=1&project=web"],
        ),
    ] {
        let outcome = run([&[&*name, "--timeout", "50s"], options].concat());
        let asked = targets(&server);
        assert!(
            asked.starts_with(&wanted.iter().map(ToString::to_string).collect::<Vec<_>>()),
            "{options:?}: {asked:?}"
        );
        assert_eq!(outcome.status, 0, "{options:?}: {}", outcome.stderr);
    }
}

#[test]
fn without_state_no_question_is_asked() {
    let server = host(
        |connection, _| {
            ping(connection);
            connection.event(&lifecycle("instance-started", "c1", 1));
            connection.wait();
        },
        |connection, _| connection.refuse("500 Internal Server Error", "nobody asks"),
    );
    for options in [&[][..], &["-a", "instance-*"], &["-a", "!@running", "-t", "lifecycle", "--no-reconnect"]] {
        let mut follower = Follower::start(lxmon([&[&*server.remote(), "-f", "json", "-v"], options].concat()));
        follower.wait_for_notice("subscribed after");
        if options.contains(&"!@running") {
            follower.read_for(std::time::Duration::from_millis(300));
            assert!(follower.seen.is_empty(), "{:?}", follower.seen);
        } else {
            follower.wait_for(|line| line.contains("instance-started"));
        }
        follower.terminate();
    }
    assert!(targets(&server).iter().all(|target| target.starts_with("events")));
}

/// A server that sends these events while it is being asked, and answers only when lxmon has read them.
fn talks_while_it_is_asked(
    events: &'static [(&'static str, &'static str)],
    states: &'static [(&'static str, &'static str)],
) -> StandIn {
    let (is_asked, asked) = mpsc::channel();
    let (has_told, told) = mpsc::channel();
    let (is_asked, asked, has_told, told) =
        (Mutex::new(is_asked), Mutex::new(asked), Mutex::new(has_told), Mutex::new(told));
    host(
        move |connection, _| {
            ping(connection);
            asked.lock().unwrap().recv().unwrap();
            for (number, (action, instance)) in (1..).zip(events) {
                connection.event(&lifecycle(action, instance, number));
            }
            assert!(connection.is_answered(b"read"));
            has_told.lock().unwrap().send(()).unwrap();
            connection.wait();
        },
        move |connection, number| {
            if number == 0 {
                is_asked.lock().unwrap().send(()).unwrap();
                told.lock().unwrap().recv().unwrap();
            }
            answer(connection, states);
        },
    )
}

#[test]
fn an_event_that_comes_before_the_answer_is_newer_and_nobody_waits_in_vain() {
    let server = talks_while_it_is_asked(
        &[
            ("instance-stopped", "c1"),
            ("instance-deleted", "c2"),
            ("instance-started", "c3"),
            ("instance-updated", "c4"),
        ],
        &[("c1", "Running"), ("c2", "Running"), ("c3", "Running"), ("c4", "Running")],
    );
    let mut follower = Follower::start(lxmon([&*server.remote(), "--state", "-f", "json", "-n6"]));
    assert_eq!(follower.wait(), Some(0), "{:?}", follower.notices);
    let wanted =
        ["instance-stopped", "instance-deleted", "instance-started", "instance-updated", "c3 Running", "c4 Running"];
    assert_eq!(told(&follower.seen), wanted);

    // Whoever waits is served by the event or by the state, whatever the server saw first.
    for (events, states, state, ended_by) in [
        (&[("instance-started", "c1")][..], &[("c1", "Running")][..], "@running", "instance-started"),
        (&[("instance-started", "c1")], &[("c1", "Stopped")], "@running", "instance-started"),
        (&[("instance-updated", "c1")], &[("c1", "Running")], "@running", "c1 Running"),
        (&[("instance-created", "c1")], &[("c1", "Stopped")], "@stopped", "c1 Stopped"),
        (&[("instance-shutdown", "c1")], &[("c1", "Running")], "@stopped", "instance-shutdown"),
        (&[("container-started", "c1")], &[], "@running", "container-started"),
        (&[("instance-stopped", "c2")], &[("c1", "Ready")], "@running", "c1 Ready"),
    ] {
        let server = talks_while_it_is_asked(events, states);
        let arguments = [&*server.remote(), "-a", state, "-i", "c1", "-f", "json", "-n1", "--timeout", "50s"];
        let mut follower = Follower::start(lxmon(arguments));
        assert_eq!(follower.wait(), Some(0), "{events:?} {states:?}: {:?}", follower.notices);
        assert_eq!(told(&follower.seen), [ended_by], "{events:?} {states:?}");
    }
}

#[test]
fn a_server_that_refuses_the_question_is_followed_on() {
    let server = host(
        |connection, _| {
            ping(connection);
            connection.wait_for_input();
            connection.wait();
        },
        |connection, _| {
            if connection.target().contains("/operations") {
                connection.refuse("403 Forbidden", "not authorized");
            } else {
                answer(connection, &[("c1", "Running")]);
            }
        },
    );
    let mut follower = Follower::start(lxmon([&*server.remote(), "--state", "-f", "json", "-v"]));
    follower.wait_for(|line| line.contains("c1"));
    follower.wait_for_notice(
        "the present state of its operations cannot be had, so it is not shown: the server refuses (403): not authorized",
    );
    follower.terminate();
    assert_eq!(targets(&server).len(), 3);
    for (body, says) in [
        ("<html>no</html>", "expected value"),
        (r#"{"metadata":[{"name":[]}]}"#, "invalid type"),
        (r#"{"type":"sync"}"#, "there is no \"metadata\" in it"),
    ] {
        let server = host(
            |connection, _| {
                ping(connection);
                connection.event(&lifecycle("instance-started", "c1", 1));
                connection.wait();
            },
            move |connection, _| connection.answer(body),
        );
        let mut follower = Follower::start(lxmon([&*server.remote(), "-a", "@running", "-f", "json"]));
        follower.wait_for_notice(says);
        follower.wait_for(|line| line.contains("instance-started"));
    }
}

#[test]
fn a_login_that_may_not_ask_about_all_projects_gets_those_that_it_may_see() {
    let server = host(quiet, |connection, _| match connection.target() {
        "/1.0/projects" => {
            connection.answer(r#"{"metadata":["/1.0/projects/web","/1.0/projects/other","/1.0/projects/a%20b"]}"#);
        }
        "/1.0/instances?recursion=1&project=web" => answer(connection, &[("c1", "Running")]),
        "/1.0/instances?recursion=1&project=a%20b" => answer(connection, &[("c2", "Running")]),
        _ => connection.refuse("403 Forbidden", "not authorized"),
    });
    let outcome = run([&*server.remote(), "-A", "-a", "@running", "-n2", "-f", "json"]);
    assert_eq!((outcome.status, &*outcome.stderr), (0, ""));
    for wanted in [r#""project":"web""#, r#""project":"a b""#] {
        assert!(outcome.stdout.contains(wanted), "{}", outcome.stdout);
    }
    // None at all is a refusal.
    let server = host(quiet, |connection, _| match connection.target() {
        "/1.0/projects" => connection.answer(r#"{"metadata":["/1.0/projects/web"]}"#),
        _ => connection.refuse("403 Forbidden", "not authorized"),
    });
    let mut follower = Follower::start(lxmon([&*server.remote(), "-A", "-a", "@running"]));
    follower.wait_for_notice("cannot be had, so it is not shown: the server refuses (403): not authorized");
}

#[test]
fn a_question_without_an_answer_is_asked_again() {
    let server = host(quiet, |connection, number| match number {
        0 => connection.refuse("503 Service Unavailable", "starting"),
        1 => connection.end(),
        2 => _ = connection.write(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{\"metadata\":[{"),
        _ => answer(connection, &[("c1", "Running")]),
    });
    let outcome = run([&*server.remote(), "-a", "@running", "-n1", "-f", "json"]);
    assert_eq!(outcome.status, 0, "{}", outcome.stderr);
    let notices: Vec<_> = outcome.stderr.lines().collect();
    assert_eq!(notices.len(), 1, "{notices:?}");
    assert!(notices[0].contains("no answer about the present state of its instances: "), "{notices:?}");
    assert!(notices[0].ends_with("; asking again until there is one"), "{notices:?}");
}

#[test]
fn after_a_gap_what_differs_is_printed_and_nothing_that_the_stream_has_told() {
    let (send, lose) = mpsc::channel();
    let server = host(
        losing(lose, |connection| {
            connection.event(&lifecycle("instance-stopped", "c1", 1));
            connection.event(&lifecycle("instance-created", "c5", 2));
            connection.event(&lifecycle("instance-started", "c5", 3));
            assert!(connection.is_answered(b"read"));
        }),
        |connection, number| {
            let before = [("c1", "Running"), ("c2", "Running"), ("c3", "Stopped"), ("c4", "Running")];
            let after = [("c1", "Stopped"), ("c2", "Running"), ("c3", "Running"), ("c5", "Running"), ("c6", "Frozen")];
            // Two questions each time.
            answer(connection, if number < 2 { &before[..] } else { &after });
        },
    );
    let mut follower = Follower::start(lxmon([&*server.remote(), "--state", "-f", "json", "--gap-events", "-v"]));
    follower.wait_for(|line| line.contains(r#""name":"c4""#));
    follower.wait_for_notice("asked for the present state: 0 operations");
    send.send(()).unwrap();
    follower.wait_for(|line| line.contains("Deleted"));
    // The question about operations comes last.
    let mut asked = 0;
    wait_until(|| {
        asked += targets(&server).len();
        asked >= 6
    });
    let gap = "";
    let first = ["c1 Running", "c2 Running", "c3 Stopped", "c4 Running"];
    let events = ["instance-stopped", "instance-created", "instance-started", gap, gap];
    let changed = ["c3 Running *", "c6 Frozen *", "c4 Deleted *"];
    assert_eq!(told(&follower.seen), [&first[..], &events, &changed].concat());
    assert_eq!(asked + targets(&server).len(), 6);
    follower.terminate();
}

#[test]
fn an_instance_that_was_moved_to_another_member_during_a_gap_has_changed() {
    let (send, lose) = mpsc::channel();
    let server = host(losing(lose, |_| {}), |connection, number| {
        let member = if number == 0 { "n1" } else { "n2" };
        let listed = [("c1", member), ("c2", "n1")]
            .map(|(name, member)| json!({"name": name, "status": "Stopped", "location": member}));
        connection.answer(&answer_with(&listed));
    });
    let mut follower = Follower::start(lxmon([&*server.remote(), "--state", "-t", "lifecycle", "-f", "json", "-n3"]));
    follower.wait_for(|line| line.contains(r#""name":"c2""#));
    send.send(()).unwrap();
    follower.wait_for(|line| line.contains(r#""location":"n2""#));
    assert!(follower.exit_status().success());
    assert_eq!(told(&follower.seen), ["c1 Stopped", "c2 Stopped", "c1 Stopped *"]);
}

#[test]
fn after_dropped_events_too_the_state_is_asked_for_again() {
    let (is_asked, asked) = mpsc::channel();
    let (is_sent, sent) = mpsc::channel();
    let (is_asked, asked, is_sent) = (Mutex::new(is_asked), Mutex::new(asked), Mutex::new(is_sent));
    let server = host(
        move |connection, _| {
            ping(connection);
            asked.lock().unwrap().recv().unwrap();
            for number in 0..20_000 {
                connection.event(&numbered(number));
            }
            assert!(connection.is_answered(b"read"));
            is_sent.lock().unwrap().send(()).unwrap();
            connection.wait();
        },
        move |connection, number| {
            answer(connection, &[("c1", "Running")]);
            if number == 0 {
                is_asked.lock().unwrap().send(()).unwrap();
            }
        },
    );
    let options = ["--state", "-t", "lifecycle", "-f", "json", "-v", "--buffer", "64KiB"];
    let mut follower = Follower::start(lxmon([&[&*server.remote()], &options[..]].concat()));
    // Nothing is read until all is sent.
    sent.recv().unwrap();
    follower.wait_for_notice(" dropped from ");
    let answers = |follower: &Follower| follower.notices.iter().filter(|line| line.contains("asked for the")).count();
    let deadline = Instant::now() + PATIENCE;
    while answers(&follower) < 2 && follower.see_notice(deadline) {}
    assert_eq!(answers(&follower), 2, "{:?}", follower.notices);
    follower.terminate();
}

#[test]
fn five_thousand_instances_cost_one_request_each_way_and_little_memory() {
    const INSTANCES: usize = 5000;
    let filler = "x".repeat(4200);
    let listed: Vec<_> = (0..INSTANCES)
        .map(|number| {
            format!(
                r#"{{"name":"c{number}","status":"Running","location":"none","project":"default","config":{{"volatile.x":"{filler}"}}}}"#
            )
        })
        .collect();
    let body = format!(r#"{{"type":"sync","metadata":[{}]}}"#, listed.join(","));
    assert!(body.len() > 20 << 20);
    let server = host(quiet, move |connection, _| {
        let body = if connection.target().contains("/operations") { NO_OPERATIONS } else { &body };
        connection.answer(body);
    });
    let mut follower = Follower::start(lxmon([&*server.remote(), "--state", "-f", "json", "-v"]));
    follower.wait_for(|line| line.contains(r#""name":"c4999""#));
    follower.wait_for_notice("asked for the present state: 0 operations");
    assert_eq!(follower.seen.len(), INSTANCES);
    let peak = follower.peak_memory();
    assert!(peak < 64 << 10, "{peak} kB");
    assert_eq!(targets(&server).len(), 3);
    follower.terminate();
}

#[test]
fn remotes_of_one_cluster_are_asked_once() {
    let questions = std::sync::Arc::new(AtomicUsize::new(0));
    let member = |cluster: &'static str| {
        let questions = std::sync::Arc::clone(&questions);
        StandIn::member(cluster, move |connection: &mut Connection| {
            if connection.wants_websocket() {
                connection.accept();
                quiet(connection, 0);
            } else {
                questions.fetch_add(1, Ordering::SeqCst);
                answer(connection, &[("c1", "Running")]);
            }
        })
    };
    for (clusters, wanted) in [(["a", "a", "a"], 1), (["a", "b", "a"], 2)] {
        questions.store(0, Ordering::SeqCst);
        let members = clusters.map(member);
        let remotes = members.each_ref().map(StandIn::remote);
        let options = ["-t", "lifecycle", "--state", "-f", "json", "-v"];
        let mut follower = Follower::start(lxmon(remotes.iter().map(|remote| &**remote).chain(options)));
        for remote in &remotes {
            follower.wait_for_notice(&format!("{remote}: a member of the cluster "));
        }
        let deadline = Instant::now() + std::time::Duration::from_secs(2);
        while follower.see_line(deadline) {}
        assert_eq!(told(&follower.seen), vec!["c1 Running"; wanted]);
        assert_eq!(questions.load(Ordering::SeqCst), wanted);
        follower.terminate();
    }
}

#[test]
fn recorded_states_are_selected_as_others_and_a_guest_has_none() {
    let state = |name: &str, status: &str| {
        format!(
            r#"{{"type":"state","timestamp":"2026-11-26T12:00:00Z","project":"default","location":"none","metadata":{{"kind":"instance","name":"{name}","status":"{status}","source":"/1.0/instances/{name}","changed":false}}}}"#
        )
    };
    let recording = [state("c1", "Running"), state("c2", "Stopped"), lifecycle("instance-started", "c3", 1)].join("\n");
    for (options, wanted) in [
        (&["-a", "@running"][..], &["c1 Running", "instance-started"][..]),
        (&["-a", "@stopped", "-t", "lifecycle"], &["c2 Stopped"]),
        (&["-a", "instance-*"], &["instance-started"]),
        (&["-a", "!@running"], &["c2 Stopped"]),
        (&["-t", "state", "-i", "c1"], &["c1 Running"]),
    ] {
        let mut command = lxmon([&["--replay", "-", "-f", "json"], options].concat());
        let outcome = finish_with_input(&mut command, recording.as_bytes());
        let lines: Vec<_> = outcome.stdout.lines().map(str::to_owned).collect();
        assert_eq!(told(&lines), wanted, "{options:?}: {}", outcome.stderr);
    }
    for option in [&["--state"][..], &["-a", "@running"]] {
        let outcome = run([&["unix:/dev/lxd/sock"], option].concat());
        assert_eq!(outcome.status, 2);
        let says = "--state: a guest cannot ask for the state of instances\nhint: run lxmon on the host";
        assert!(outcome.stderr.contains(says), "{}", outcome.stderr);
    }
    let doubt = run(["unix:/nonexistent", "--state", "-a", "instance-*"]).stderr;
    assert!(doubt.contains("shows no state with an --action that names none: add -a @running and @stopped"), "{doubt}");
}
