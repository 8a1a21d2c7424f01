//! `--jq`: what an expression makes of events in every format, and that no expression harms the program.

#![cfg(feature = "jq")]

use std::fmt::Write as _;
use std::fs;
use std::time::{Duration, Instant};

use rustix::process::{Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use crate::support::program::{Follower, Outcome, finish, finish_with_input, lxmon};
use crate::support::standin::{Connection, StandIn};
use crate::support::{processor_time, wait_until};

/// Two events, one with digits and white space that no JSON library would write.
const EVENTS: &str = concat!(
    r#"{"type":"lifecycle","timestamp":"2026-11-26T12:00:00.1Z","metadata":{"action":"instance-started","source":"/1.0/instances/c1?project=web","n":1.0e+400},"location":"none","project":"web"}"#,
    "\n",
    r#"{"type":"operation", "timestamp":"2026-11-26T12:00:02.6Z","metadata":{"id":"1","description":"Stopping instance","status":"Failure","status_code":400,"created_at":"2026-11-26T12:00:00.1Z","err":"e","resources":{"instances":["/1.0/instances/c2"]}}}"#,
    "\n",
);

fn transform(expression: &str, options: &[&str]) -> Outcome {
    let mut command = lxmon(["--replay", "-", "--jq", expression]);
    command.env("LXMON_FORMAT", "json").args(options);
    finish_with_input(&mut command, EVENTS.as_bytes())
}

#[test]
fn results_replace_the_event_and_strings_are_raw() {
    for (expression, stdout) in [
        ("select(.type == \"lifecycle\")", EVENTS.lines().next().unwrap()),
        (".", EVENTS.trim_end()),
        ("empty", ""),
        ("null, false", ""),
        (".type", "lifecycle\noperation"),
        (".type == \"lifecycle\" | select(.)", "true"),
        (".metadata.n", "1.0e+400"),
        ("{a: .type}", "{\"a\":\"lifecycle\"}\n{\"a\":\"operation\"}"),
        (".type, 1, [\"x\"]", "lifecycle\n1\n[\"x\"]\noperation\n1\n[\"x\"]"),
        ("[$lxmon.instance, $lxmon.project, .type] | @tsv", "c1\tweb\tlifecycle\nc2\t\toperation"),
        (
            "$lxmon | [.remote, .kind, .name, .instance, .project, .duration_ms, .failed]",
            "[null,\"instance\",\"c1\",\"c1\",\"web\",null,false]\n[null,\"instance\",\"c2\",\"c2\",null,2500,true]",
        ),
        (
            "{type: \"x\", metadata: .type}",
            "{\"type\":\"x\",\"metadata\":\"lifecycle\"}\n{\"type\":\"x\",\"metadata\":\"operation\"}",
        ),
    ] {
        let outcome = transform(expression, &[]);
        assert_eq!((outcome.status, &*outcome.stderr), (0, ""), "{expression}");
        assert_eq!(outcome.stdout.trim_end(), stdout, "{expression}");
    }
}

#[test]
fn a_result_that_is_an_event_has_any_format_and_others_have_json_and_yaml() {
    let yaml = transform("{type: \"x\", a: [1, {b: 2}]}, [1, \"a\"], \"x: y\", {a: {}}", &["-f", "yaml", "-n4"]);
    assert_eq!(
        yaml.stdout, "---\na:\n- 1\n- b: 2\ntype: x\n---\n- 1\n- a\n---\n'x: y'\n---\na: {}\n",
        "{}",
        yaml.stderr
    );
    for value in [
        r#""a\nb""#,
        r#""\n""#,
        r#"" a\n b ""#,
        r#"["a\nb",["c"],{"d":"e\n"},[],{}]"#,
        "{}",
        "[]",
        "1.50",
        r#""""#,
        r#""\u0007""#,
        r#""---""#,
        "true",
        r#"{"a":[{"b":"c\nd"}]}"#,
    ] {
        let outcome = transform(value, &["-f", "yaml", "-n1"]);
        let document = outcome.stdout.strip_prefix("---\n").unwrap_or_else(|| panic!("{value}: {}", outcome.stderr));
        let back: Value = serde_yaml::from_str(document).unwrap_or_else(|error| panic!("{error}: {document:?}"));
        assert_eq!(back, serde_json::from_str::<Value>(value).unwrap(), "{document:?}");
    }
    let logfmt =
        transform(".metadata.action |= \"instance-stopped\" | select(.type == \"lifecycle\")", &["-f", "logfmt"]);
    assert!(logfmt.stdout.contains("instance-stopped"), "{}", logfmt.stdout);
    for format in ["pretty", "logfmt"] {
        let outcome =
            transform("if .type == \"operation\" then [.type, \"\\u001b\u{202e}\"] else . end", &["-f", format]);
        assert_eq!(outcome.stdout.lines().count(), 2, "{}{}", outcome.stdout, outcome.stderr);
        assert_eq!(outcome.stdout.lines().nth(1), Some("[\"operation\",\"\\u001b\\u202e\"]"));
        for expression in [".metadata | @tsv", "{a: 1}", "[.]", ".type == \"x\""] {
            let outcome = transform(expression, &["-f", format]);
            assert_eq!((outcome.status, &*outcome.stdout), (2, ""), "{expression}");
            assert!(outcome.stderr.contains("no events, which this format needs"), "{}", outcome.stderr);
            assert!(outcome.stderr.contains("hint: print them with --format json"), "{}", outcome.stderr);
        }
    }
}

#[test]
fn the_count_is_of_results_and_recordings_have_results_as_json() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("results");
    let outcome = transform(".type, .", &["-n3", "--record", path.to_str().unwrap()]);
    let first = EVENTS.lines().next().unwrap();
    assert_eq!(outcome.stdout, format!("lifecycle\n{first}\noperation\n"), "{}", outcome.stderr);
    let recorded = fs::read_to_string(path).unwrap();
    assert_eq!(recorded, format!("\"lifecycle\"\n{first}\n\"operation\"\n"));
}

#[test]
fn mistakes_are_one_error_before_anything_is_followed() {
    for (expression, error) in [
        ("", "the expression is empty"),
        (" ", "the expression is empty"),
        (
            ".a |",
            "--jq: syntax error at character 5: expected term, found the end\nhint: the place is marked with HERE: .a |<HERE>\n",
        ),
        ("foo", "--jq: unknown filter foo at character 1\n"),
        ("$ENV", "--jq: unknown variable $ENV at character 1\nhint: an expression has no access to the environment"),
        ("env", "--jq: unknown filter env at character 1\n"),
        ("input", "--jq: unknown filter input at character 1\n"),
        ("inputs", "--jq: unknown filter inputs at character 1\n"),
        ("input_filename", "--jq: unknown filter input_filename at character 1\n"),
        ("debug", "--jq: unknown filter debug at character 1\n"),
        ("halt", "--jq: unknown filter halt at character 1\n"),
        ("import \"/etc/passwd\" as $p; $p", "--jq: modules cannot be imported or included\n"),
        ("include \"a\"; .", "--jq: modules cannot be imported or included\n"),
    ] {
        let outcome = transform(expression, &[]);
        assert_eq!((outcome.status, &*outcome.stdout), (2, ""), "{expression}: {}", outcome.stderr);
        assert!(outcome.stderr.contains(error), "{expression}: {}", outcome.stderr);
        assert!(outcome.stderr.lines().count() <= 3, "{}", outcome.stderr);
    }
    let deep = format!("{}.{}", "(".repeat(2_000_000), ")".repeat(2_000_000));
    let directory = TempDir::new().unwrap();
    // Too long for one argument of the system, so this is as long as an argument can be.
    let outcome = transform(&deep[2_000_000 - 60_000..2_000_001 + 60_000], &[]);
    assert!(matches!(outcome.status, 0..=2), "{}", outcome.stderr);
    drop(directory);
}

#[test]
fn an_error_is_reported_once_for_each_kind_and_costs_its_event() {
    let mut events = String::new();
    for number in 0..50 {
        writeln!(events, r#"{{"type":"x","n":{number},"a":{}}}"#, if number % 2 == 0 { "{\"b\":1}" } else { "7" })
            .unwrap();
    }
    let mut command = lxmon(["--replay", "-", "-f", "json", "--jq", ".n, .a.b"]);
    let outcome = finish_with_input(&mut command, events.as_bytes());
    assert_eq!((outcome.status, outcome.stdout.lines().count()), (0, 50));
    assert_eq!(
        outcome.stderr,
        "lxmon: --jq: an event is left out: cannot index 7 with \"b\"\n\
         lxmon: --jq: 25 events were left out: cannot index 7 with \"b\"\n"
    );
    let many = transform("error(.metadata.action // ([range(5)] | tojson | . * 200))", &[]);
    assert!(many.stderr.lines().all(|line| line.len() < 400), "{}", many.stderr);
}

#[test]
fn what_kills_the_evaluation_costs_one_event() {
    for (expression, why) in [
        ("def f: 1 + f; f", "it recurses too deeply"),
        ("def f: [f]; f", "it recurses too deeply"),
        // Freeing it recurses: 134 bytes of the stack of 128 MiB for each level are too many.
        ("reduce range(1000000) as $i (0; [.])", ""),
        // Bit by bit, and at once: twice as much as there may be. (Small items would take seconds.)
        ("[range(1e12) | tojson * 100000]", "it needs more than 1 GiB of memory"),
        ("\"x\" * 2000000000 | length", "it needs more than 1 GiB of memory"),
        // Each result is 6 MB of JSON.
        ("\"\\u0000\" * 1000000 | repeat(.)", "its results are longer than 64 MiB"),
        ("reduce range(300) as $i (0; [.])", "JSON nested deeper than 256 levels"),
    ] {
        let expression = format!("if .type == \"lifecycle\" then ({expression}) else .type end");
        let outcome = transform(&expression, &[]);
        assert_eq!((outcome.status, &*outcome.stdout), (0, "operation\n"), "{expression}: {}", outcome.stderr);
        assert!(outcome.stderr.contains("an event is left out"), "{}", outcome.stderr);
        assert!(outcome.stderr.contains(why), "{expression}: {}", outcome.stderr);
    }
}

#[test]
fn signals_and_the_timeout_end_an_endless_expression() {
    for expression in
        ["last(repeat(.))", "[range(1e12)] | length", "def f: f; f", "until(false; .)", "[limit(1e12; repeat(1))]"]
    {
        let server = StandIn::new(|connection: &mut Connection| {
            connection.accept();
            connection.event(EVENTS.lines().next().unwrap());
            connection.wait();
        });
        let timed = Instant::now();
        let outcome = finish(&mut lxmon([&*server.remote(), "--jq", expression, "--timeout", "300ms"]));
        assert!(matches!(outcome.status, 0 | 124), "{expression}: {}", outcome.stderr);
        assert!(timed.elapsed() < Duration::from_secs(8), "{expression}: {:?}", timed.elapsed());

        let mut follower = Follower::subscribed(lxmon([&*server.remote(), "--jq", expression]));
        let child = follower.only_child();
        follower.signal(Signal::TERM);
        assert_eq!(follower.wait(), None, "{expression}: it dies by the signal");
        // The process that ran the expression has ended too.
        let path = format!("/proc/{}/stat", child.as_raw_nonzero());
        crate::support::wait_until(|| fs::read_to_string(&path).map_or(true, |stat| stat.contains(") Z ")));
    }
}

#[test]
fn an_endless_expression_does_not_delay_reading_and_has_a_time_limit() {
    let server = StandIn::new(|connection: &mut Connection| {
        connection.accept();
        connection.event(r#"{"type":"endless"}"#);
        for number in 0..5_000 {
            connection.event(&format!(r#"{{"type":"x","n":{number}}}"#));
        }
        connection.wait();
    });
    let expression = "if .type == \"endless\" then last(repeat(.)) else .n end";
    let running = Follower::start(&mut lxmon([&*server.remote(), "-f", "json", "--jq", expression, "-n5000"]));
    let child = running.only_child();
    let is_at_work = || processor_time(child.as_raw_nonzero().get().cast_unsigned()) >= Duration::from_millis(300);
    wait_until(is_at_work);
    // It does not answer either way, and costs no processor time while it is stopped.
    kill_process(child, Signal::STOP).unwrap();
    let outcome = running.end();
    assert_eq!(outcome.status, 0, "{}", outcome.stderr);
    assert!(outcome.stdout.lines().eq((0..5000).map(|number| number.to_string()).collect::<Vec<_>>()));
    assert_eq!(outcome.stderr, "lxmon: --jq: an event is left out: it takes longer than 10 s\n");
}

#[test]
fn results_are_sorted_by_the_time_of_their_events() {
    let server = StandIn::new(|connection: &mut Connection| {
        connection.accept();
        for second in [3, 1, 2] {
            connection.event(&format!(r#"{{"type":"x","timestamp":"2026-11-26T12:00:00.00{second}Z","n":{second}}}"#));
        }
        connection.wait();
    });
    let outcome = finish(&mut lxmon([&*server.remote(), "-f", "json", "--jq", ".n", "-n3", "--sort-window", "500ms"]));
    assert_eq!(outcome.stdout, "1\n2\n3\n", "{}", outcome.stderr);
}

#[test]
fn it_sees_no_secrets_that_are_redacted() {
    let event = r#"{"type":"x","metadata":{"secret":"hunter2","url":"/1.0?secret=hunter2"}}"#;
    let mut command = lxmon(["--replay", "-", "-f", "json", "--redact", "--jq", ".. | strings"]);
    let outcome = finish_with_input(&mut command, event.as_bytes());
    assert_eq!(outcome.stdout, "x\n***\n/1.0?secret=***\n", "{}", outcome.stderr);
    let mut command = lxmon(["--replay", "-", "-f", "json", "--redact", "--jq", "error(.)"]);
    let outcome = finish_with_input(&mut command, event.as_bytes());
    assert!(outcome.stderr.contains("***") && !outcome.stderr.contains("hunter2"), "{}", outcome.stderr);
}

#[test]
fn with_several_remotes_events_name_theirs_and_values_do_not() {
    let server = |name: &'static str| {
        StandIn::new(move |connection: &mut Connection| {
            connection.accept();
            connection.event(&format!(r#"{{"type":"x","n":"{name}"}}"#));
            connection.wait();
        })
    };
    let (one, two) = (server("1"), server("2"));
    let (one, two) = (one.remote(), two.remote());
    let outcome = finish(&mut lxmon([&*one, &*two, "-f", "json", "--jq", "., [$lxmon.remote, .n]", "-n4"]));
    let mut lines: Vec<Value> = outcome.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    lines.retain(Value::is_array);
    assert_eq!(lines.len(), 2, "{}", outcome.stdout);
    assert_ne!(lines[0][0], lines[1][0]);
    assert!(outcome.stdout.contains("{\"remote\":\""), "{}", outcome.stdout);
}
