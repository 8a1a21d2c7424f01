//! Reports of lost connections, reconnecting, and servers that are not available at the start.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Mutex, mpsc};
use std::time::{Duration, Instant};

use chrono::{DateTime, FixedOffset};
use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

use crate::support::program::{Follower, PATIENCE, lxmon, run};
use crate::support::standin::{Connection, StandIn, frame, numbered, opcode};

/// Ten times the longest wait between two connection attempts to a local server.
const SOON: Duration = Duration::from_millis(2500);

/// A gap record.
#[derive(Clone, Debug)]
struct Record {
    remote: String,
    last_event: Option<DateTime<FixedOffset>>,
    since: DateTime<FixedOffset>,
    until: Option<DateTime<FixedOffset>>,
    seconds: Option<f64>,
    reason: String,
    dropped: u64,
}

fn is_gap(line: &str) -> bool {
    line.contains(r#""type":"gap""#)
}

/// The gap records among these lines. Each must have all keys of a gap record, in this order.
fn records(lines: &[impl AsRef<str>]) -> Vec<Record> {
    let record = |line: &str| {
        let keys =
            ["type", "timestamp", "metadata", "remote", "last_event", "since", "until", "seconds", "reason", "dropped"];
        let (_, own) = line.split_once(r#""type":"#).unwrap();
        let own = format!(r#"{{"type":{own}"#);
        let mut found = keys.map(|key| own.find(&format!(r#""{key}":"#)).unwrap_or_else(|| panic!("no {key}: {line}")));
        let order = found;
        found.sort_unstable();
        assert_eq!(order, found, "keys are out of order: {line}");
        let event: Value = serde_json::from_str(line).unwrap();
        let time = |value: &Value| value.as_str().map(|text| text.parse::<DateTime<FixedOffset>>().unwrap());
        assert!(time(&event["timestamp"]).is_some(), "{line}");
        let metadata = &event["metadata"];
        Record {
            remote: metadata["remote"].as_str().unwrap().to_owned(),
            last_event: time(&metadata["last_event"]),
            since: time(&metadata["since"]).unwrap(),
            until: time(&metadata["until"]),
            seconds: metadata["seconds"].as_f64(),
            reason: metadata["reason"].as_str().unwrap().to_owned(),
            dropped: metadata["dropped"].as_u64().unwrap(),
        }
    };
    lines.iter().map(AsRef::as_ref).filter(|line| is_gap(line)).map(record).collect()
}

/// The time of the event with this number.
fn time_of(number: u64) -> DateTime<FixedOffset> {
    let event: Value = serde_json::from_str(&numbered(number)).unwrap();
    event["timestamp"].as_str().unwrap().parse().unwrap()
}

/// Returns the seconds in "…; reconnected after 7.1 s; …" and asserts the format of the whole notice.
fn reconnected_after(notice: &str, remote: &str, reason: &str, since: &str) -> f64 {
    let rest =
        notice.strip_prefix(&format!("lxmon: {remote}: connection lost at ")).unwrap_or_else(|| panic!("{notice}"));
    let (time, rest) = rest.split_at(8);
    assert!(chrono::NaiveTime::parse_from_str(time, "%H:%M:%S").is_ok(), "{notice}");
    let rest = rest.strip_prefix(&format!(" ({reason}); reconnected after ")).unwrap_or_else(|| panic!("{notice}"));
    let (length, rest) = rest.split_once("; ").unwrap();
    assert_eq!(rest, format!("events since {since} may be missing"));
    seconds(length)
}

/// The seconds in a duration such as `250 ms`, `7.1 s` or `1 min 2 s`.
fn seconds(text: &str) -> f64 {
    let words: Vec<_> = text.split(' ').collect();
    let of_pair = |pair: &[&str]| {
        let unit = match pair[1] {
            "ms" => 1e-3,
            "s" => 1.0,
            "min" => 60.0,
            _ => panic!("{text}"),
        };
        pair[0].parse::<f64>().unwrap() * unit
    };
    words.chunks(2).map(of_pair).sum()
}

/// A server that sends one event on its first connection and another on the fourth, and refuses those between.
fn away_for_a_while() -> StandIn {
    StandIn::new(|connection: &mut Connection| {
        match connection.number {
            0 => {
                connection.accept();
                connection.event(&numbered(7_000));
                return connection.end();
            }
            1 | 2 => return connection.refuse("503 Service Unavailable", "starting"),
            _ => connection.accept(),
        }
        connection.event(&numbered(8_000));
        connection.wait();
    })
}

#[test]
fn a_lost_connection_has_a_record_at_the_loss_and_one_at_the_return() {
    for options in [&["--gap-events"][..], &["--gap-events", "-q"]] {
        let server = away_for_a_while();
        let before = chrono::Local::now().fixed_offset();
        let outcome = run([&[&*server.remote(), "-f", "json", "-n2"], options].concat());
        assert_eq!(outcome.status, 0, "{}", outcome.stderr);
        let lines: Vec<_> = outcome.stdout.lines().collect();
        assert_eq!(lines.iter().map(|line| is_gap(line)).collect::<Vec<_>>(), [false, true, true, false], "{lines:#?}");
        assert_eq!((lines[0], lines[3]), (&*numbered(7_000), &*numbered(8_000)));
        let [loss, back] = &records(&lines)[..] else { unreachable!() };
        for record in [loss, back] {
            assert_eq!((&record.remote, record.dropped), (&server.remote(), 0));
            assert_eq!(record.reason, "the server closed the connection");
            assert_eq!(record.last_event, Some(time_of(7_000)));
            assert!(record.since >= before && record.since <= chrono::Local::now().fixed_offset(), "{record:?}");
        }
        assert_eq!(loss.until, None);
        assert_eq!(back.since, loss.since);
        let span = (back.until.unwrap() - back.since).as_seconds_f64();
        let seconds = back.seconds.unwrap();
        // The gap has three waits for a retry. No clock is changed meanwhile, so the timestamps have the same distance.
        assert!(seconds >= 0.1 && (seconds - span).abs() < 0.5, "{back:?}");
        if options.contains(&"-q") {
            assert_eq!(outcome.stderr, "");
        } else {
            let notice = outcome.stderr.lines().find(|line| line.contains("reconnected")).unwrap();
            let reason = "the server closed the connection";
            let told = reconnected_after(notice, &server.remote(), reason, "08:00:07");
            assert!((told - seconds).abs() < 0.2, "{notice}, {back:?}");
        }
    }
}

#[test]
fn before_the_first_event_a_record_has_no_last_one() {
    let server = StandIn::new(|connection: &mut Connection| {
        connection.accept();
        if connection.number == 0 {
            return connection.end();
        }
        connection.event(&numbered(0));
        connection.wait();
    });
    let outcome = run([&*server.remote(), "-f", "json", "-n1", "--gap-events"]);
    let lines: Vec<_> = outcome.stdout.lines().collect();
    let records = records(&lines);
    assert_eq!(records.len(), 2, "{lines:#?}");
    assert!(records.iter().all(|record| record.last_event.is_none()), "{records:?}");
}

/// A server that sends an event, removes its socket and ends the connection.
fn dies_once() -> (TempDir, StandIn) {
    let directory = TempDir::new().unwrap();
    let socket = directory.path().join("unix.socket");
    let server = StandIn::at(&socket.clone(), move |connection: &mut Connection| {
        connection.accept();
        connection.event(&numbered(7_000));
        std::fs::remove_file(&socket).unwrap();
        connection.end();
    });
    (directory, server)
}

#[test]
fn a_gap_that_is_open_at_the_end_is_reported_then() {
    for quiet in [false, true] {
        let (_directory, server) = dies_once();
        let options = ["-f", "json", "--gap-events", "--timeout", "1500ms"];
        let mut command = lxmon([&[&*server.remote()], &options[..]].concat());
        if quiet {
            command.arg("-q");
        }
        let outcome = crate::support::program::finish(&mut command);
        assert_eq!(outcome.status, 0);
        assert_open_gap(&outcome.stdout.lines().collect::<Vec<_>>(), 0.1);
        if quiet {
            assert_eq!(outcome.stderr, "");
        } else {
            let name = server.remote();
            let said = format!("lxmon: {name}: connection lost at ");
            assert!(outcome.stderr.lines().any(|line| line.starts_with(&said)), "{}", outcome.stderr);
        }
    }
    // The same when a signal ends lxmon.
    let (_directory, server) = dies_once();
    let mut follower = Follower::start(lxmon([&*server.remote(), "-f", "json", "--gap-events", "-v"]));
    follower.wait_for_notice("there is no such socket; trying again");
    follower.terminate();
    assert_open_gap(&follower.seen, 0.0);
}

/// Asserts that the lines are an event, a gap record for the lost connection, and one for the end of lxmon.
fn assert_open_gap(lines: &[impl AsRef<str> + std::fmt::Debug], at_least: f64) {
    let records = records(lines);
    assert_eq!((lines.len(), lines[0].as_ref(), records.len()), (3, &*numbered(7_000), 2), "{lines:#?}");
    assert_eq!(records[0].until, None);
    assert!(records[1].until.is_some() && records[1].seconds.unwrap() >= at_least, "{records:?}");
    assert!(records.iter().all(|record| record.last_event == Some(time_of(7_000))), "{records:?}");
}

#[test]
fn one_of_several_that_is_lost_for_good_leaves_a_record() {
    for options in [&[][..], &["-q"], &["--no-reconnect"]] {
        let refusing = StandIn::new(|connection: &mut Connection| {
            if connection.number > 0 {
                return connection.refuse("403 Forbidden", "not any more");
            }
            connection.accept();
            connection.event(&numbered(7_000));
            connection.end();
        });
        let (send, wanted) = mpsc::channel::<u64>();
        let wanted = Mutex::new(wanted);
        let steady = StandIn::new(move |connection: &mut Connection| {
            connection.accept();
            for number in wanted.lock().unwrap().iter() {
                connection.event(&numbered(number));
            }
        });
        let mut command = lxmon([&*refusing.remote(), &*steady.remote(), "-f", "json", "--gap-events"]);
        command.args(options);
        let mut follower = Follower::start(command);
        let begun = Instant::now();
        while !follower.seen.iter().any(|line| is_gap(line)) && begun.elapsed() < 2 * SOON {
            follower.read_for(Duration::from_millis(50));
        }
        assert!(follower.seen.iter().any(|line| is_gap(line)), "{options:?}: no record: {:#?}", follower.seen);
        // lxmon continues to follow the other server.
        send.send(8_000).unwrap();
        follower.wait_for(|line| line.ends_with(&numbered(8_000)[1..]));
        follower.terminate();
        let records = records(&follower.seen);
        let open = &records[0];
        assert_eq!((&open.remote, open.until), (&refusing.remote(), None), "{options:?}");
        assert_eq!(open.last_event, Some(time_of(7_000)));
        assert!(records.iter().all(|record| record.remote == refusing.remote()), "{records:?}");
        // Exactly one record closes the gap: the one at the end.
        let closed: Vec<_> = records.iter().filter(|record| record.until.is_some()).collect();
        assert_eq!(closed.len(), 1, "{options:?}: {records:?}");
        // With -q there are no notices, only errors.
        assert_ne!(follower.has_notice("connection lost"), options == ["-q"], "{:?}", follower.notices);
    }
}

/// C source of a library for `LD_PRELOAD`. The system clock of the program jumps as soon as a file exists.
const CLOCK: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

int clock_gettime(clockid_t id, struct timespec *now) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = dlsym(RTLD_NEXT, "clock_gettime");
    int result = real(id, now);
    if (id == CLOCK_REALTIME && access(getenv("JUMP_WHEN"), F_OK) == 0) now->tv_sec += atoll(getenv("JUMP_BY"));
    return result;
}
"#;

/// Compiles [`CLOCK`]; false if there is no compiler.
fn compile_clock(library: &Path) -> bool {
    let mut command = Command::new("cc");
    command.args(["-shared", "-fPIC", "-x", "c", "-", "-o"]).arg(library).arg("-ldl").stdin(Stdio::piped());
    let Ok(mut compiler) = command.spawn() else { return false };
    std::io::Write::write_all(&mut compiler.stdin.take().unwrap(), CLOCK.as_bytes()).unwrap();
    assert!(compiler.wait().unwrap().success());
    true
}

#[test]
fn a_clock_that_is_set_during_a_gap_changes_nothing_of_its_length() {
    let directory = TempDir::new().unwrap();
    let library = directory.path().join("clock.so");
    if !compile_clock(&library) {
        println!("skipped: there is no cc");
        return;
    }
    for jump in ["-3600", "3600"] {
        let when = directory.path().join(format!("jump{jump}"));
        let (back, coming) = mpsc::channel::<()>();
        let coming = Mutex::new(coming);
        let server = StandIn::new(move |connection: &mut Connection| {
            if connection.number > 0 && coming.lock().unwrap().try_recv().is_err() {
                return connection.refuse("503 Service Unavailable", "starting");
            }
            connection.accept();
            connection.event(&numbered(connection.number.min(1) as u64));
            if connection.number == 0 {
                return connection.end();
            }
            connection.wait();
        });
        let mut command = lxmon([&*server.remote(), "-f", "json", "--gap-events", "-n2", "-v"]);
        command.env("LD_PRELOAD", &library).env("JUMP_WHEN", &when).env("JUMP_BY", jump);
        let begun = Instant::now();
        let mut follower = Follower::start(command);
        follower.wait_for_notice("starting; trying again");
        std::fs::write(&when, "").unwrap();
        back.send(()).unwrap();
        assert_eq!(follower.wait(), Some(0));
        let most = begun.elapsed().as_secs_f64() + 0.1;
        let notice = follower.notices.iter().find(|line| line.contains("; reconnected after ")).unwrap();
        let told = seconds(notice.split_once("reconnected after ").unwrap().1.split_once(';').unwrap().0);
        assert!(told >= 0.0 && told <= most, "clock set by {jump} s: {notice}");
        let seconds = records(&follower.seen).last().unwrap().seconds.unwrap();
        assert!(seconds > 0.0 && seconds <= most, "clock set by {jump} s: {seconds}");
    }
}

#[test]
fn a_local_server_that_refuses_is_tried_several_times_a_second() {
    const REFUSALS: usize = 8;
    let (coming, came) = mpsc::channel();
    let server = StandIn::new(move |connection: &mut Connection| {
        let _ = coming.send(Instant::now());
        if (1..=REFUSALS).contains(&connection.number) {
            return connection.refuse("503 Service Unavailable", "starting");
        }
        connection.accept();
        connection.event(&numbered(connection.number as u64));
        if connection.number == 0 {
            return connection.end();
        }
        connection.wait();
    });
    let mut follower = Follower::start(lxmon([&*server.remote(), "-f", "json", "-n2"]));
    let mut last = came.recv_timeout(PATIENCE).unwrap();
    let begun = last;
    for attempt in 0..=REFUSALS {
        let next = came.recv_timeout(SOON);
        let next = next.unwrap_or_else(|_| panic!("no attempt within {SOON:?} after attempt {attempt}"));
        assert!(next - last < SOON, "{attempt}: {:?}", next - last);
        last = next;
    }
    // There is a pause between the attempts.
    assert!(last - begun > Duration::from_millis(500), "{:?}", last - begun);
    assert_eq!(follower.wait(), Some(0));
}

#[test]
fn a_local_socket_is_found_soon_after_it_is_back() {
    let (directory, server) = dies_once();
    let mut follower = Follower::start(lxmon([&*server.remote(), "-f", "json", "-n2", "-v"]));
    follower.wait_for(|line| line == numbered(7_000));
    follower.wait_for_notice("there is no such socket; trying again");
    // After this time, the waits for a remote server would be a second or longer.
    std::thread::sleep(Duration::from_secs(2));
    let (accept, accepted) = mpsc::channel();
    let back = Instant::now();
    let _after = StandIn::at(&directory.path().join("unix.socket"), move |connection: &mut Connection| {
        let _ = accept.send(Instant::now());
        connection.accept();
        connection.event(&numbered(8_000));
        connection.wait();
    });
    let found = accepted.recv_timeout(PATIENCE).unwrap();
    assert!(found - back < SOON, "{:?}", found - back);
    assert_eq!(follower.wait(), Some(0));
}

#[test]
#[ignore = "long: run by CI"]
fn a_long_message_on_a_slow_line_is_no_silence() {
    let server = StandIn::new(|connection: &mut Connection| {
        connection.accept();
        let message = frame(true, opcode::TEXT, numbered(connection.number as u64).as_bytes());
        // One byte at a time, for 45 s: one and a half times the silence that lxmon tolerates.
        let pause = Duration::from_secs(45) / u32::try_from(message.len()).unwrap();
        for byte in message {
            connection.write(&[byte]);
            std::thread::sleep(pause);
        }
        connection.wait();
    });
    let outcome = run([&*server.remote(), "-f", "json", "-n1"]);
    assert_eq!((outcome.status, outcome.stdout.trim_end()), (0, &*numbered(0)), "{}", outcome.stderr);
    assert_eq!(outcome.stderr, "");
}

#[test]
#[ignore = "long: run by CI"]
fn waking_up_after_half_a_minute_is_noticed_at_once() {
    let server = StandIn::new(|connection: &mut Connection| {
        connection.accept();
        connection.event(&numbered(connection.number as u64 * 1000));
        connection.wait();
    });
    // The gap begins at the last sign of life, which is earlier than the line that the test waits for.
    let started = Instant::now();
    let mut follower = Follower::start(lxmon([&*server.remote(), "-f", "json", "--gap-events", "-n2"]));
    follower.wait_for(|line| line == numbered(0));
    follower.signal(Signal::STOP);
    std::thread::sleep(Duration::from_secs(35));
    follower.signal(Signal::CONT);
    let woken = Instant::now();
    follower.wait_for_notice("connection lost");
    assert!(woken.elapsed() < SOON, "{:?}", woken.elapsed());
    assert_eq!(follower.wait(), Some(0));
    let records = records(&follower.seen);
    let seconds = records.last().unwrap().seconds.unwrap();
    assert!(seconds >= 34.0 && seconds <= started.elapsed().as_secs_f64(), "{records:?}");
    assert_eq!(records.last().unwrap().last_event, Some(time_of(0)));
}

/// A server at this path that sends one event on each connection and keeps it open.
fn serve_at(socket: &Path) -> StandIn {
    StandIn::at(socket, |connection: &mut Connection| {
        connection.accept();
        connection.event(&numbered(8_000));
        connection.wait();
    })
}

/// A server that sends one event and keeps the connection open.
fn steady() -> StandIn {
    StandIn::new(|connection: &mut Connection| {
        connection.accept();
        connection.event(&numbered(0));
        connection.wait();
    })
}

#[test]
fn of_several_one_that_is_down_at_the_start_is_tried_on() {
    let directory = TempDir::new().unwrap();
    let socket = directory.path().join("unix.socket");
    let (steady, late) = (steady(), format!("unix:{}", socket.display()));
    for names in [[&*late, &*steady.remote()], [&*steady.remote(), &*late]] {
        let mut follower = Follower::start(lxmon(names.into_iter().chain(["-f", "json", "-n2", "--timeout", "20s"])));
        follower.wait_for(|line| line.contains(&steady.remote()));
        follower.wait_for_notice("there is no such socket");
        // The server stays down for a while longer.
        std::thread::sleep(Duration::from_millis(700));
        let server = serve_at(&socket);
        assert_eq!(follower.wait(), Some(0), "{:?}", follower.notices);
        let expected = format!(r#"{{"remote":"{late}",{}"#, &numbered(8_000)[1..]);
        assert_eq!(follower.seen.last(), Some(&expected));
        drop(server);
        std::fs::remove_file(&socket).unwrap();
    }
}

#[test]
fn of_several_one_that_refuses_for_good_at_the_start_is_an_error_and_left_alone() {
    let refusing = StandIn::new(|connection: &mut Connection| connection.refuse("403 Forbidden", "not you"));
    let steady = steady();
    let outcome = run([&*refusing.remote(), &*steady.remote(), "-f", "json", "--timeout", "1500ms"]);
    assert_eq!((outcome.status, outcome.stdout.lines().count()), (0, 1), "{}", outcome.stderr);
    let error = format!("lxmon: {}: the server refuses (403): not you", refusing.remote());
    assert!(outcome.stderr.lines().any(|line| line.starts_with(&error)), "{}", outcome.stderr);
    assert_eq!(refusing.requests().len(), 1);
}

#[test]
fn none_of_several_at_the_start_is_the_end() {
    let directory = TempDir::new().unwrap();
    let name = |name: &str| format!("unix:{}", directory.path().join(name).display());
    let outcome = run([name("a"), name("b")]);
    assert_eq!((outcome.status, &*outcome.stdout), (1, ""));
    for name in [name("a"), name("b")] {
        assert!(outcome.stderr.contains(&format!("lxmon: {name}: there is no such socket")), "{}", outcome.stderr);
    }
}

#[test]
fn with_retry_a_server_that_is_down_at_the_start_is_waited_for() {
    let directory = TempDir::new().unwrap();
    let socket = directory.path().join("unix.socket");
    let late = format!("unix:{}", socket.display());
    let mut follower = Follower::start(lxmon([&*late, "--retry", "-f", "json", "-n1", "-v"]));
    follower.wait_for_notice("there is no such socket");
    // The server now has a socket, but refuses connections because it is still starting.
    let refusing =
        StandIn::at(&socket, |connection: &mut Connection| connection.refuse("503 Service Unavailable", "starting"));
    follower.wait_for_notice("starting");
    drop(refusing);
    std::fs::remove_file(&socket).unwrap();
    let _server = serve_at(&socket);
    assert_eq!(follower.wait(), Some(0), "{:?}", follower.notices);
    assert_eq!(follower.seen, [numbered(8_000)]);
}

#[test]
fn without_retry_a_server_that_is_down_at_the_start_is_an_error_at_once() {
    let directory = TempDir::new().unwrap();
    let outcome = run([format!("unix:{}/unix.socket", directory.path().display())]);
    assert_eq!((outcome.status, &*outcome.stdout), (1, ""));
    assert!(outcome.stderr.contains("there is no such socket"), "{}", outcome.stderr);
}

#[test]
#[ignore = "long: run by CI"]
fn a_server_that_is_slow_to_answer_is_waited_for_with_a_notice() {
    for option in ["-v", "--no-reconnect"] {
        let server = StandIn::new(|connection: &mut Connection| {
            std::thread::sleep(Duration::from_secs(12));
            connection.accept();
            connection.event(&numbered(0));
            connection.wait();
        });
        let mut follower = Follower::start(lxmon([&*server.remote(), "-f", "json", "-n1", option]));
        follower.wait_for_notice("10 s");
        assert!(follower.seen.is_empty());
        assert_eq!(follower.wait(), Some(0), "{:?}", follower.notices);
        assert_eq!(follower.seen, [numbered(0)]);
        assert_eq!(server.requests().len(), 1);
    }
}

#[test]
fn a_timestamp_of_any_length_is_no_notice_of_that_length() {
    let server = StandIn::new(|connection: &mut Connection| {
        connection.accept();
        let text = "\\u0007".repeat(300_000);
        connection.event(&format!(r#"{{"type":"x","timestamp":"{text}","metadata":0}}"#));
        connection.end();
    });
    let socket = server.remote();
    let mut follower = Follower::start(lxmon([&*socket, "-f", "json", "--gap-events"]));
    follower.wait_for_notice("connection lost");
    // By now the thread for notices has been started, and its queue is empty.
    drop(server);
    let signalled = Instant::now();
    follower.signal(Signal::TERM);
    assert_eq!(follower.wait(), None, "not ended by the signal");
    assert!(signalled.elapsed() < SOON);
    assert!(records(&follower.seen).iter().all(|record| record.last_event.is_none()));
}
