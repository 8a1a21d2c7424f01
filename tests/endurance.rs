//! Long streams and slow or stopped readers: no event is lost, duplicated or out of order, and memory does not grow.
//! The short tests always run. CI runs the long ones; environment variables set their length.

use std::io::{BufRead as _, BufReader};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use crate::support::number_in;
use crate::support::program::{Follower, lxmon};
use crate::support::standin::{Connection, Limits, QUICK, StandIn, frame, numbered, opcode};

/// The length of a long test: the value of an environment variable, or `usual`.
fn many(variable: &str, usual: u64) -> u64 {
    std::env::var(variable).map_or(usual, |number| number.parse().unwrap())
}

/// How a server ends a connection.
#[derive(Clone, Copy, Debug)]
enum Ending {
    /// With a Close frame.
    Close,
    /// Without a Close frame, as LXD and Incus do.
    Nothing,
    /// With a reset, because it closes the socket before it has read what the client sent.
    Reset,
}

/// Sends `events` events as fast as the client reads them.
fn streaming(events: u64, ending: Ending) -> impl Fn(&mut Connection) + Send + Sync + 'static {
    move |connection| {
        connection.accept();
        let mut burst = Vec::new();
        for number in 0..events {
            burst.extend(frame(true, opcode::TEXT, format!("{}\n", numbered(number)).as_bytes()));
            if burst.len() > 64 << 10 || number + 1 == events {
                connection.write(&burst);
                burst.clear();
            }
        }
        match ending {
            Ending::Close => _ = connection.frame(true, opcode::CLOSE, &1001u16.to_be_bytes()),
            Ending::Nothing => connection.end(),
            Ending::Reset => {
                connection.frame(true, opcode::PING, b"");
                connection.wait_for_input();
            }
        }
    }
}

/// Reads to the end, and asserts that the numbers are those from 0 to `events`, each once, in order.
fn assert_all(output: impl std::io::Read, events: u64, what: &str) {
    let mut expected = 0;
    let mut output = BufReader::with_capacity(256 << 10, output);
    let mut line = Vec::new();
    while output.read_until(b'\n', &mut line).unwrap() > 0 {
        if let Some(number) = number_in(&line) {
            assert_eq!(number, expected, "{what}");
            expected += 1;
        }
        line.clear();
    }
    assert_eq!(expected, events, "{what}");
}

/// Asserts that everything a server sent is printed, however the server ends the connection.
fn everything_before_the_end(events: u64) {
    for ending in [Ending::Close, Ending::Nothing, Ending::Reset] {
        for format in ["json", "yaml", "logfmt", "pretty"] {
            let server = StandIn::new(streaming(events, ending));
            let mut running = Follower::start(lxmon([&*server.remote(), "-f", format, "--no-reconnect"]));
            assert_all(running.output(), events, &format!("{format}, {ending:?}"));
            let outcome = running.end();
            assert_eq!(outcome.status, 1, "{}", outcome.stderr);
            assert!(outcome.stderr.contains("connection lost"), "{}", outcome.stderr);
        }
    }
}

#[test]
fn everything_that_was_sent_before_any_kind_of_end_is_printed_in_every_format() {
    everything_before_the_end(5_000);
}

#[test]
#[ignore = "long: run by CI"]
fn a_million_events_before_any_kind_of_end_are_printed_in_every_format() {
    everything_before_the_end(many("LXMON_TEST_EVENTS", 1_000_000));
}

/// Asserts that a reader ten times slower than the server loses neither the connection nor an event.
fn a_slow_reader(events: u64) {
    let server = StandIn::with_limits(Limits::LXD, streaming(events, Ending::Nothing));
    let command = || lxmon([&*server.remote(), "-f", "json", "--no-reconnect"]);
    let begun = Instant::now();
    let mut running = Follower::start(command());
    assert_all(running.output(), events, "at full speed");
    running.end();
    let full_speed = begun.elapsed();

    let bytes = events * (numbered(events).len() as u64 + 1);
    let mut running = Follower::start(command());
    let rate = u32::try_from(u128::from(bytes) * 100 / full_speed.as_millis()).unwrap();
    assert_all(running.output_at(rate, Arc::default()), events, "ten times slower");
    let outcome = running.end();
    assert_eq!(outcome.status, 1);
    assert!(!outcome.stderr.contains("dropped"), "{}", outcome.stderr);
    server.assert_never_cut();
}

#[test]
#[ignore = "long: run by CI"]
fn a_reader_ten_times_slower_than_the_server_loses_nothing_in_a_million_events() {
    a_slow_reader(many("LXMON_TEST_EVENTS", 1_000_000));
}

#[test]
#[ignore = "long: run by CI"]
fn a_reader_that_takes_a_little_keeps_its_connection_and_loses_nothing() {
    // At this rate, printing one socket read (64 KiB or more) takes six seconds: longer than the server's write limit.
    let server = StandIn::with_limits(Limits::LXD, |connection: &mut Connection| {
        connection.accept();
        let mut number = 0;
        while connection.event(&numbered(number)) {
            number += 1;
        }
    });
    let mut running = Follower::start(lxmon([&*server.remote(), "-f", "json", "--no-reconnect"]));
    let lines = BufReader::new(running.output_at(10_240, Arc::default())).lines();
    for (number, line) in (0..).zip(lines.take(1500)) {
        assert_eq!(number_in(line.unwrap().as_bytes()), Some(number));
    }
    server.assert_never_cut();
}

/// The server sends 5,000 events a second, and pings. Nobody reads the output until `pause` is over; then all of it is
/// read. Returns the number of events sent, the lines of the output, and standard error.
fn a_stopped_reader(pause: Duration, limits: Limits, options: &[&str]) -> (u64, Vec<String>, String) {
    const RATE: u64 = 5_000;
    const TICK: Duration = Duration::from_millis(10);
    let sent = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&sent);
    let server = StandIn::with_limits(limits, move |connection: &mut Connection| {
        connection.accept();
        let begun = Instant::now();
        let ticks = pause.as_millis() / TICK.as_millis() + 100;
        for tick in 0..u32::try_from(ticks).unwrap() {
            std::thread::sleep((begun + TICK * tick).saturating_duration_since(Instant::now()));
            for _ in 0..RATE / 100 {
                connection.event(&numbered(counted.fetch_add(1, Ordering::Relaxed)));
            }
            if tick % 100 == 0 {
                // lxmon keeps reading the socket and answering pings while its output is blocked.
                connection.is_answered(&tick.to_be_bytes());
            }
        }
        connection.end();
    });
    let mut command = lxmon([&*server.remote(), "-f", "json", "--no-reconnect", "--gap-events"]);
    let mut running = Follower::start(command.args(options));
    std::thread::sleep(pause);
    let lines = BufReader::new(running.output()).lines().map(Result::unwrap).collect();
    let said = running.end().stderr;
    server.assert_never_cut();
    (sent.load(Ordering::Relaxed), lines, said)
}

fn stopped_readers(pause: Duration, limits: Limits) {
    std::thread::scope(|scope| {
        scope.spawn(|| a_stopped_reader_with_room(pause, limits));
        scope.spawn(|| a_stopped_reader_without_room(pause, limits));
    });
}

fn a_stopped_reader_with_room(pause: Duration, limits: Limits) {
    let (sent, lines, said) = a_stopped_reader(pause, limits, &[]);
    // There may also be a gap record for the end of the connection; it has no number.
    assert!(lines.iter().filter_map(|line| number_in(line.as_bytes())).eq(0..sent), "{said}");
    assert!(!said.contains("dropped"), "{said}");
}

fn a_stopped_reader_without_room(pause: Duration, limits: Limits) {
    let (sent, lines, said) = a_stopped_reader(pause, limits, &["--buffer", "1MiB"]);
    let mut expected = 0;
    let mut gaps = 0;
    for line in lines {
        let record: serde_json::Value = serde_json::from_str(&line).unwrap();
        if record["type"] == "gap" {
            // The record counts exactly the events that are missing at this position.
            expected += record["metadata"]["dropped"].as_u64().unwrap();
            gaps += 1;
        } else {
            assert_eq!(number_in(line.as_bytes()), Some(expected), "{said}");
            expected += 1;
        }
    }
    assert_eq!(expected, sent, "{said}");
    assert!(gaps > 0 && said.contains("events dropped from "), "{said}");
}

#[test]
fn a_stopped_output_keeps_the_connection_and_loses_nothing_but_what_is_told() {
    stopped_readers(Duration::from_secs(3), QUICK);
}

#[test]
#[ignore = "long: run by CI"]
fn an_output_that_is_stopped_for_20_seconds_loses_nothing_but_what_is_told() {
    stopped_readers(Duration::from_secs(many("LXMON_TEST_PAUSE", 20)), Limits::LXD);
}

/// The peak resident memory while `events` events are printed, in kB.
fn peak(events: u64, options: &[&str]) -> u64 {
    let server = StandIn::new(move |connection: &mut Connection| {
        connection.accept();
        let mut burst = Vec::new();
        for number in 0..events {
            burst.extend(frame(true, opcode::TEXT, numbered(number).as_bytes()));
            if burst.len() > 64 << 10 || number + 1 == events {
                connection.write(&burst);
                burst.clear();
            }
        }
        connection.wait();
    });
    let mut running = Follower::start(lxmon([&*server.remote()]).args(options));
    let mut output = BufReader::with_capacity(1 << 20, running.output());
    // This pause is long enough to fill the queues, but too short for lxmon to drop events. With dropped events, the
    // peak would depend on chance.
    std::thread::sleep(Duration::from_millis(100));
    let (mut line, mut last) = (Vec::new(), None);
    while last != Some(events - 1) {
        line.clear();
        assert!(output.read_until(b'\n', &mut line).unwrap() > 0);
        last = number_in(&line).or(last);
    }
    running.peak_memory()
}

#[test]
#[ignore = "long: run by CI"]
fn memory_is_the_same_after_ten_million_events_as_after_a_hundred_thousand() {
    let most = many("LXMON_TEST_MOST_EVENTS", 10_000_000);
    for options in [["-f", "json", "--buffer", "16MiB"], ["-f", "yaml", "--buffer", "16MiB"]] {
        let few = peak(100_000, &options);
        let many = peak(most, &options);
        println!("{options:?}: {few} kB at most in 100,000 events, {many} kB in {most}");
        // The limit is the buffer and as much again for everything else.
        assert!(many < 32 << 10, "{options:?}: {few} kB grew to {many} kB");
    }
}

#[test]
#[ignore = "long: run by CI"]
fn a_lone_event_appears_when_its_window_is_over() {
    const EVENTS: u64 = 40;
    const WINDOW: Duration = Duration::from_millis(25);
    let (tell, told) = mpsc::channel();
    let server = StandIn::new(move |connection: &mut Connection| {
        connection.accept();
        for number in 0..EVENTS {
            // The events are so far apart that none can release the one before it from the window.
            std::thread::sleep(4 * WINDOW);
            tell.send(Instant::now()).unwrap();
            connection.event(&numbered(number));
        }
        connection.wait();
    });
    let mut running = Follower::start(lxmon([&*server.remote(), "-f", "json", "-n", &EVENTS.to_string()]));
    let lines = BufReader::new(running.output()).lines();
    let mut taken: Vec<_> = lines.map(|_| told.recv().unwrap().elapsed()).collect();
    running.end();
    taken.sort_unstable();
    let (median, worst) = (taken[taken.len() / 2], taken[taken.len() - 1]);
    println!("a lone event takes {median:?}, at most {worst:?}");
    assert_eq!(taken.len() as u64, EVENTS);
    assert!(taken[0] >= WINDOW, "{taken:?}");
    // The goal is 5 ms after the window; ten times that is allowed for a busy machine.
    assert!(median < WINDOW + Duration::from_millis(50), "{taken:?}");
}
