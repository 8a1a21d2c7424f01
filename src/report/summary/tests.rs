//! What the summary says of given events, and that it stays small and safe.

use proptest::prelude::*;

use super::*;
use crate::event::event;
use crate::event::gap::End;
use crate::render::sanitize::is_control;

fn summary(extent: Extent, names: &[&str]) -> Summary {
    let names = names.iter().map(ToString::to_string).collect();
    Summary::new(Options { extent, is_terminal: false, color: false, is_recording: true }, names)
}

fn text(summary: &Summary) -> String {
    String::from_utf8(summary.lines().concat()).unwrap()
}

fn count(summary: &Summary, text: &str) {
    summary.count(&event(text));
}

/// An event of this second with these members.
fn at(second: u32, kind: &str, metadata: &str) -> String {
    format!(
        r#"{{"type":"{kind}","timestamp":"2026-11-26T12:{:02}:{:02}Z","metadata":{{{metadata}}}}}"#,
        second / 60,
        second % 60
    )
}

/// An event of the operation with this number, which began at the second 0 and works on the instance `c1`.
fn operation(second: u32, number: u64, code: u16, description: &str, rest: &str) -> String {
    at(
        second,
        "operation",
        &format!(
            r#""id":"id-{number}","class":"task","description":"{description}","created_at":"2026-11-26T12:00:00Z","status_code":{code},"resources":{{"instances":["/1.0/instances/c1"]}}{rest}"#
        ),
    )
}

fn lifecycle(second: u32, action: &str) -> String {
    at(second, "lifecycle", &format!(r#""action":"{action}","source":"/1.0/instances/c1""#))
}

fn gap(remote: u16, second: u32, end: Option<(f64, bool)>, dropped: u64) -> Gap {
    let time = |second| DateTime::from_timestamp(1_700_000_000 + i64::from(second), 0).unwrap().with_timezone(&Local);
    Gap {
        remote: RemoteId(remote),
        last_event: None,
        since: time(second),
        end: end.map(|(seconds, is_over)| End { until: time(second + 1), seconds, is_over }),
        reason: "the server closed the connection".into(),
        dropped,
    }
}

/// A little of everything.
fn session(summary: &Summary) {
    count(summary, &lifecycle(0, "instance-created"));
    count(summary, &lifecycle(1, "instance-started"));
    count(summary, &lifecycle(2, "instance-started"));
    count(summary, &operation(0, 1, 103, "Creating instance", ""));
    count(summary, &operation(3, 1, 103, "Creating instance", r#","metadata":{"progress":"1%"}"#));
    count(summary, &operation(4, 1, 200, "Creating instance", ""));
    count(summary, &operation(90, 2, 400, "Starting instance", r#","err":"no\nspace""#));
    count(summary, &operation(91, 3, 400, "Starting instance", r#","err":"no\nspace""#));
    count(summary, &operation(91, 4, 401, "Starting instance", r#","err":"cancelled""#));
    let command = r#","metadata":{"return":3,"command":["sh","-c","exit 3"]}"#;
    count(summary, &operation(99, 5, 200, "Executing command", command));
    count(summary, &operation(100, 6, 103, "Copying instance", ""));
    count(summary, &operation(100, 7, 103, "Migrating instance", r#","class":"token""#).replace("task", "token"));
    let context =
        r#""level":"error","message":"Failed start","context":{"instance":"c2","project":"web","err":"boom"}"#;
    count(summary, &at(120, "logging", context));
}

#[test]
fn everything_is_counted_and_said() {
    let full = summary(Extent::Full, &["local"]);
    session(&full);
    assert_eq!(
        text(&full),
        "\
lxmon: summary: 13 events in 2 min
  types: 9 operation, 3 lifecycle, 1 logging
  actions: 3
         2  instance-started
         1  instance-created
  operations: 5, 3 failed, 1 cancelled
         3  Starting instance  2 failed, 1 cancelled
         1  Creating instance
         1  Executing command  1 failed
  failures: 4
         2  Starting instance  c1: no\\nspace
         1  Executing command  c1: exit 3: sh -c exit 3
         1  error  c2 (web): Failed start: boom
  slowest
  1 min 31 s  Starting instance  c1
  1 min 31 s  Starting instance  c1
  1 min 30 s  Starting instance  c1
         4 s  Creating instance  c1
  still running: 1
       2 min  Copying instance  c1
"
    );
    let line = summary(Extent::Line, &["local"]);
    session(&line);
    assert_eq!(text(&line), "lxmon: 2 min: 9 operation, 3 lifecycle, 1 logging; 4 failures\n");
    assert_eq!(text(&summary(Extent::Line, &["local"])), "lxmon: 0 ms: no events\n");
    assert_eq!(text(&summary(Extent::Full, &["local"])), "lxmon: summary: no events in 0 ms\n");
}

#[test]
fn of_several_remotes_it_says_which() {
    let full = summary(Extent::Full, &["n1", "n2"]);
    count(&full, &operation(9, 1, 400, "Starting instance", r#","err":"no space""#));
    full.count_gap(&gap(1, 0, Some((7.1, true)), 0));
    let text = text(&full);
    assert!(text.contains("1  Starting instance  n1: c1: no space\n"), "{text}");
    assert!(text.contains("7.1 s  n2: the server closed the connection\n"), "{text}");
}

#[test]
fn a_gap_counts_once_and_what_ran_before_it_may_have_ended() {
    let full = summary(Extent::Full, &["local"]);
    count(&full, &operation(0, 1, 103, "Creating instance", ""));
    count(&full, &operation(0, 2, 103, "Copying instance", ""));
    full.count_gap(&gap(0, 0, None, 0));
    full.count_gap(&gap(0, 0, Some((7.1, true)), 0));
    full.count_gap(&gap(0, 70, Some((0.25, false)), 0));
    full.count_gap(&gap(0, 80, Some((1.0, true)), 1200));
    // This one goes on.
    count(&full, &operation(60, 2, 103, "Copying instance", ""));
    let text = text(&full);
    assert!(text.contains("  still running: 1\n") && text.contains(" Copying instance"), "{text}");
    let (_, gaps) = text.split_once("  perhaps ended unseen: 1 operation\n").unwrap_or_else(|| panic!("{text}"));
    assert!(gaps.starts_with("  gaps: 3, 8.4 s, 1,200 events dropped\n"), "{text}");
    let lines: Vec<_> = gaps.lines().skip(1).map(|line| &line[27..]).collect();
    assert_eq!(
        lines,
        [
            "       7.1 s  the server closed the connection",
            "      250 ms  the server closed the connection; not reconnected",
            "         1 s  1,200 events dropped: the server closed the connection",
        ]
    );
    let line = summary(Extent::Line, &["local"]);
    line.count_gap(&gap(0, 0, None, 0));
    line.count_gap(&gap(0, 0, Some((7.1, true)), 0));
    assert_eq!(self::text(&line), "lxmon: 0 ms: no events; 1 gap, 7.1 s\n");
}

#[test]
fn a_session_of_any_length_takes_little_memory_and_nothing_is_lost_from_the_counts() {
    const MANY: u64 = 3000;
    let full = summary(Extent::Full, &["local"]);
    for number in 0..MANY {
        let long = "x".repeat(10_000);
        count(&full, &lifecycle(0, &format!("action-{number}-{long}")));
        count(&full, &operation(0, number, 103, &format!("running {number} {long}"), ""));
        let failed = format!(r#","err":"reason {number} {long}""#);
        count(&full, &operation(9, MANY + number, 400, &format!("failed {number} {long}"), &failed));
        full.count_gap(&gap(0, u32::try_from(number).unwrap(), Some((1.0, true)), 0));
        count(&full, &at(0, &format!("type {number}"), ""));
    }
    let counts = full.counts();
    let details = counts.details.as_ref().unwrap();
    assert_eq!(counts.types.total().all, 4 * MANY);
    assert_eq!(details.actions.total().all, MANY);
    assert_eq!((details.operations.ended.total().all, details.operations.ended.total().failed), (MANY, MANY));
    assert_eq!(counts.gaps.count, MANY);
    let failures = &details.failures;
    assert_eq!(failures.by_text.values().map(|failed| failed.count).sum::<u64>() + failures.beyond, MANY);
    for tally in [&counts.types, &details.actions, &details.operations.ended] {
        assert_eq!(tally.by_name.len(), MAX_NAMES);
        assert!(tally.by_name.keys().all(|name| name.len() <= MAX_NAME));
    }
    assert!(failures.by_text.keys().all(|text| text.len() <= 3 * MAX_NAME + MAX_REASON));
    drop(counts);
    let text = text(&full);
    assert!(text.len() < 100_000 && text.lines().count() < 200, "{} bytes", text.len());
    assert!(text.contains("     2,980  others\n") && text.contains("     2,980  earlier ones\n"), "{text}");
}

#[test]
fn the_slowest_are_kept_in_whatever_order_they_end() {
    let full = summary(Extent::Full, &["local"]);
    for second in (0..1800).map(|number| number * 7 % 1800) {
        count(&full, &operation(second, u64::from(second), 200, "Copying instance", ""));
    }
    let counts = full.counts();
    let slowest = counts.details.as_ref().unwrap().operations.slowest();
    let seconds: Vec<_> = slowest.iter().map(|slow| slow.time.as_secs()).collect();
    assert_eq!(seconds, (1790..1800).rev().collect::<Vec<_>>());
}

#[test]
fn colours_change_nothing_but_the_looks() {
    let options = Options { extent: Extent::Full, is_terminal: true, color: true, is_recording: true };
    let (plain, colored) = (summary(Extent::Full, &["local"]), Summary::new(options, vec!["local".into()]));
    for summary in [&plain, &colored] {
        session(summary);
        summary.count_gap(&gap(0, 0, Some((7.1, true)), 0));
    }
    assert!(text(&colored).contains("\x1b[31mStarting instance\x1b[0m\x1b[1m  c1\x1b[0m: no"), "{}", text(&colored));
    assert_eq!(without_colors(&text(&colored)), text(&plain));
}

/// The text without the sequences that set colours.
fn without_colors(text: &str) -> String {
    let mut parts = text.split("\x1b[");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |plain, part| plain + part.split_once('m').unwrap().1)
}

/// Any text as it stands in JSON.
fn json(text: &str) -> String {
    serde_json::to_string(text).unwrap()
}

proptest! {
    #[test]
    fn no_text_of_an_event_controls_the_terminal(
        texts in prop::collection::vec("\\PC{0,5}[\u{0}-\u{1f}\u{7f}-\u{9f}\u{202e}\u{200b}]{0,3}\\PC{0,5}", 9),
        name in ".{0,9}",
        color: bool,
    ) {
        let texts: Vec<_> = texts.iter().map(|text| json(text)).collect();
        let [kind, action, id, description, path, err, project, level, word] = &texts[..] else { unreachable!() };
        let options = Options { extent: Extent::Full, is_terminal: color, color, is_recording: true };
        let summary = Summary::new(options, vec![name.clone(), "other".into()]);
        for text in [
            format!(r#"{{"type":{kind},"metadata":{{}}}}"#),
            format!(r#"{{"type":"lifecycle","metadata":{{"action":{action}}}}}"#),
            format!(r#"{{"type":"operation","project":{project},"metadata":{{"id":{id},"description":{description},"status_code":400,"err":{err},"resources":{{"x":[{path}]}}}}}}"#),
            format!(r#"{{"type":"operation","timestamp":"2026-11-26T12:00:00Z","metadata":{{"id":{id},"description":{description},"status_code":200,"created_at":"2026-11-26T11:00:00Z","metadata":{{"return":1,"command":[{word},{err}]}}}}}}"#),
            format!(r#"{{"type":"operation","project":{project},"metadata":{{"id":{id},"description":{description},"status_code":103,"metadata":{{"entity_url":{path}}}}}}}"#),
            format!(r#"{{"type":"logging","metadata":{{"level":"error","message":{err},"context":{{"instance":{word},"project":{project},"err":{level}}}}}}}"#),
        ] {
            summary.count(&event(&text));
        }
        summary.count_gap(&Gap { reason: texts.concat(), ..gap(0, 0, None, 0) });
        for line in summary.lines() {
            let line = String::from_utf8(line).unwrap();
            let plain = if color { without_colors(&line) } else { line };
            let text = plain.strip_suffix('\n').unwrap();
            prop_assert!(!text.chars().any(is_control), "{:?}", text);
        }
    }
}
