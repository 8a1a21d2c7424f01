//! What is said on a terminal before the first event and after the last one, and `--summary`.

use std::io::{Read as _, Write as _};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::process::Signal;

use crate::support::program::{Follower, Outcome, finish, lxmon, run, terminal};
use crate::support::standin::{Connection, StandIn, numbered};
use crate::support::wait_until;

const SESSION: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/source/demo/session.ndjson");

/// Runs the program on a terminal, with standard error there too or elsewhere, until it ends by itself. Returns what is
/// on the terminal, and what is elsewhere.
pub(crate) fn on_a_terminal(mut command: Command, is_shared: bool) -> (String, String) {
    let (mut ours, theirs) = terminal();
    let stderr = if is_shared { Stdio::from(theirs.try_clone().unwrap()) } else { Stdio::piped() };
    let follower = Follower::start_with(&mut command, [Stdio::null(), theirs.into(), stderr]);
    drop(command);
    let reading = std::thread::spawn(move || {
        let mut screen = Vec::new();
        let mut buffer = [0; 4096];
        // At its end a pseudo-terminal fails with EIO.
        while let Ok(length @ 1..) = ours.read(&mut buffer) {
            screen.extend_from_slice(&buffer[..length]);
        }
        String::from_utf8(screen).unwrap().replace('\r', "")
    });
    let outcome = follower.end();
    (reading.join().unwrap(), outcome.stderr)
}

/// A server that sends these events and then ends the connection if `ends` is set.
fn server(events: &'static [&'static str], ends: bool) -> StandIn {
    StandIn::new(move |connection: &mut Connection| {
        connection.accept();
        // The client asks for the version meanwhile.
        for event in events {
            connection.event(event);
        }
        if !ends {
            connection.wait();
        }
    })
}

const EVENTS: &[&str] = &[
    r#"{"type":"lifecycle","timestamp":"2026-11-26T12:00:00Z","metadata":{"action":"instance-started","source":"/1.0/instances/c1"},"project":"default"}"#,
    r#"{"type":"operation","timestamp":"2026-11-26T12:00:01Z","metadata":{"id":"a","class":"task","description":"Starting instance","created_at":"2026-11-26T12:00:00Z","status":"Failure","status_code":400,"err":"no \u001b[2Jspace","resources":{"instances":["/1.0/instances/c2"]}},"project":"default"}"#,
];

#[test]
fn on_a_terminal_a_line_says_what_is_followed_and_the_last_one_sums_up() {
    let server = server(EVENTS, true);
    let (screen, _) = on_a_terminal(lxmon([&*server.remote(), "-p", "--timeout=2s", "--color=never"]), true);
    let first = format!("lxmon: LXD 6.9 ({}), project default\n", server.remote());
    assert_eq!(screen.matches(&first).count(), 1, "{screen}");
    let last = screen.lines().last().unwrap();
    assert!(last.starts_with("lxmon: ") && last.contains(" s: "), "{screen}");
    assert!(last.contains("operation") && last.contains("; ") && last.contains(" failure"), "{screen}");
    // Each of several servers is named; those of one version together.
    let other = self::server(EVENTS, false);
    let command = lxmon([&*server.remote(), &*other.remote(), "-p", "-A", "--timeout=2s", "--color=always"]);
    let (screen, _) = on_a_terminal(command, true);
    let first = format!("lxmon: LXD 6.9 ({}, {}), all projects\n", server.remote(), other.remote());
    assert!(screen.contains(&first), "{screen}");
    let last = screen.lines().last().unwrap();
    assert!(last.starts_with("\x1b[2mlxmon: ") && last.ends_with("\x1b[0m"), "{last:?}");
}

#[test]
fn the_demonstration_and_recordings_have_such_lines_too() {
    let (screen, _) = on_a_terminal(lxmon(["--demo", "-Ap", "-n3", "--color=never"]), true);
    assert!(screen.starts_with("lxmon: LXD 6.9 (demo), all projects\n"), "{screen}");
    let (screen, _) = on_a_terminal(lxmon(["--replay", SESSION, "-p", "--color=never"]), true);
    assert!(!screen.starts_with("lxmon: "), "{screen}");
    let last = "lxmon: 20.6 s: 97 operation, 23 lifecycle, 4 logging, 2 security; 4 failures\n";
    assert!(screen.ends_with(last), "{screen}");
}

#[test]
fn elsewhere_nothing_is_added() {
    for (options, is_shared) in [(&["-p", "-q"][..], true), (&["-f", "json"], true), (&["-p"], false)] {
        let server = server(EVENTS, false);
        let command = lxmon([&[&*server.remote(), "-n2", "--color=never"], options].concat());
        let (screen, stderr) = on_a_terminal(command, is_shared);
        assert!(!screen.contains("lxmon: ") && stderr.is_empty(), "{options:?}: {screen} {stderr}");
    }
    let server = server(EVENTS, false);
    assert_eq!(run([&*server.remote(), "-n2", "-p"]).stderr, "");
    // A server that cannot be followed: the error says it all.
    let (screen, _) = on_a_terminal(lxmon(["unix:/nonexistent/socket", "-p"]), true);
    assert!(screen.starts_with("lxmon: unix:/nonexistent/socket: ") && screen.lines().count() <= 2, "{screen}");
}

/// The lines of the summary on standard error.
fn summary(outcome: &Outcome) -> &str {
    let (_, summary) = outcome.stderr.split_once("lxmon: summary: ").unwrap_or_else(|| panic!("{outcome:?}"));
    summary
}

#[test]
fn the_summary_is_the_same_in_every_format() {
    let of = |format: &str, more: &[&str]| {
        let outcome = run([&["--replay", SESSION, "--summary", "-f", format], more].concat());
        assert_eq!(outcome.status, 0);
        assert_eq!(outcome.stderr.matches("lxmon: ").count(), 1, "{}", outcome.stderr);
        summary(&outcome).to_owned()
    };
    let yaml = of("yaml", &[]);
    assert!(
        yaml.starts_with("126 events in 20.6 s\n  types: 97 operation, 23 lifecycle, 4 logging, 2 security\n"),
        "{yaml}"
    );
    for part in [
        "  operations: 20, 3 failed\n",
        "         3  Starting instance           1 failed\n",
        "         1  Executing command  build-7 (ci): exit 3: make -C /srv/build test\n",
        "         1  Updating instance  c1: Failed add validation for device",
        "       3.8 s  Creating instance          db1 (web)\n",
    ] {
        assert!(yaml.contains(part), "{part}: {yaml}");
    }
    for format in ["json", "pretty", "logfmt"] {
        // Colours are for terminals, whatever standard output gets.
        assert_eq!(of(format, &["--color=always", "-q"]), yaml, "{format}");
    }
    // What the filter leaves out is not counted.
    let starts = of("json", &["-a", "instance-started"]);
    assert!(starts.starts_with("3 events") && starts.contains("         3  instance-started\n"), "{starts}");
    assert!(!starts.contains("operation"), "{starts}");
}

#[test]
fn the_summary_comes_at_every_end() {
    let expected = |summary: &str, events: &str| {
        assert!(summary.starts_with(events), "{summary}");
        assert_eq!(summary.matches("no \\x1b[2Jspace").count(), usize::from(events == "2 events"), "{summary}");
    };
    for (options, ends, status, events, more) in [
        (&["-n1"][..], false, 0, "1 event", ""),
        (&["-n2"], false, 0, "2 events", ""),
        (&["-n3", "--timeout=1s"], false, 124, "2 events", ""),
        (&["--timeout=1s"], true, 0, "events", "  gaps: "),
        (&["--no-reconnect"], true, 1, "2 events", ""),
        (&["--fail-on-gap"], true, 3, "2 events", "not reconnected"),
    ] {
        let server = server(EVENTS, ends);
        let outcome = run([&[&*server.remote(), "--summary", "-f", "json"], options].concat());
        assert_eq!(outcome.status, status, "{options:?}: {}", outcome.stderr);
        if events != "events" {
            expected(summary(&outcome), events);
        }
        assert!(summary(&outcome).contains(more), "{options:?}: {}", outcome.stderr);
    }
    for (signal, _) in crate::signals::ending() {
        let server = server(EVENTS, false);
        let mut follower = Follower::start(lxmon([&*server.remote(), "--summary", "-f", "json"]));
        follower.wait_for(|line| line.contains("operation"));
        follower.signal(signal);
        let outcome = follower.end();
        assert_eq!(outcome.status, 128 + signal.as_raw());
        expected(summary(&outcome), "2 events");
    }
    // The reader of the output is gone.
    let server = server(EVENTS, false);
    let mut follower = Follower::start(lxmon([&*server.remote(), "--summary", "-f", "json"]));
    assert!(!follower.line().is_empty() && !follower.line().is_empty());
    follower.close_stdout();
    let outcome = follower.end();
    assert_eq!(outcome.status, 0);
    expected(summary(&outcome), "2 events");
    // The connection cannot be made.
    let outcome = run(["unix:/nonexistent/socket", "--summary"]);
    assert_eq!(outcome.status, 1);
    assert!(summary(&outcome).starts_with("no events in "), "{}", outcome.stderr);
}

#[test]
fn a_stopped_output_does_not_hold_the_summary_up() {
    // More than the output's pipe and lxmon's buffer for it accept.
    const MANY: u64 = 3000;
    let sent = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&sent);
    let server = StandIn::new(move |connection: &mut Connection| {
        connection.accept();
        while connection.event(&numbered(counted.fetch_add(1, Ordering::Relaxed))) {}
    });
    let mut follower = Follower::start(lxmon([&*server.remote(), "--summary", "-f", "json", "--buffer=1MiB"]));
    assert!(!follower.line().is_empty());
    wait_until(|| sent.load(Ordering::Relaxed) > MANY);
    follower.signal(Signal::TERM);
    let outcome = follower.end_unread();
    assert_eq!(outcome.status, 128 + Signal::TERM.as_raw());
    assert!(
        summary(&outcome).contains(" events in ") && outcome.stderr.contains(" were not written"),
        "{}",
        outcome.stderr
    );
}

#[test]
fn events_are_printed_as_without_it() {
    let mut recording = tempfile::NamedTempFile::new().unwrap();
    for number in 0..5000 {
        writeln!(recording, "{}", numbered(number)).unwrap();
    }
    let path = recording.path().to_str().unwrap();
    for format in ["json", "yaml"] {
        let without = finish(&mut lxmon(["--replay", path, "-f", format]));
        let with = finish(&mut lxmon(["--replay", path, "-f", format, "--summary"]));
        assert!(with.stdout == without.stdout && with.stdout.len() > 5000);
    }
}

/// How often the program allocates memory while it prints this many events, with these options; `None` without a C
/// compiler.
fn allocations(events: usize, options: &[&str]) -> Option<i64> {
    const SOURCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/allocations.c");
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str| directory.path().join(name);
    let made = Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(file("count.so")).arg(SOURCE).status();
    if !made.is_ok_and(|status| status.success()) {
        println!("skipped: there is no C compiler");
        return None;
    }
    let mut recording = std::io::BufWriter::new(std::fs::File::create(file("events")).unwrap());
    let kinds = [
        EVENTS[0],
        EVENTS[1],
        r#"{"type":"operation","timestamp":"2026-11-26T12:00:02Z","metadata":{"id":"b","class":"task","description":"Downloading image","created_at":"2026-11-26T12:00:00Z","status":"Running","status_code":103,"metadata":{"download_progress":"7%"}}}"#,
        r#"{"type":"logging","timestamp":"2026-11-26T12:00:02Z","metadata":{"level":"error","message":"Failed","context":{"instance":"c1","err":"boom"}}}"#,
    ];
    for event in kinds.iter().cycle().take(events) {
        writeln!(recording, "{event}").unwrap();
    }
    drop(recording);
    let path = file("events");
    let mut command = lxmon([&["--replay", path.to_str().unwrap(), "-f", "json"], options].concat());
    command.env("LD_PRELOAD", file("count.so")).env("ALLOCATIONS", file("count"));
    let outcome = finish(&mut command);
    assert_eq!((outcome.status, outcome.stdout.lines().count()), (0, events));
    Some(std::fs::read_to_string(file("count")).unwrap().parse().unwrap())
}

#[test]
fn counting_allocates_nothing_for_an_event_like_those_before() {
    const EVENTS: usize = 20_000;
    let more = |options: &[&str]| Some(allocations(2 * EVENTS, options)? - allocations(EVENTS, options)?);
    let (Some(without), Some(with)) = (more(&[]), more(&["--summary"])) else { return };
    // The list of an operation's entities is made when an operation ends that has failed or that was slow: of these
    // events, one in four.
    let ended = i64::try_from(EVENTS / 4).unwrap();
    let extra = with - without;
    assert!(extra < ended * 4 + ended / 10, "{extra} allocations for {EVENTS} events, {ended} of them ends");
}
