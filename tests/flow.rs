//! Flow control: slow readers, stopped readers, full buffers, wide windows, timeouts. Events are lost only if the
//! buffer is full, and each lost event is counted.

use std::io::{Read as _, Write as _};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::support::number_in;
use crate::support::program::{Follower, Outcome, PATIENCE, lxmon, run};
use crate::support::standin::{Connection, Limits, QUICK, StandIn, frame, numbered, opcode};
use crate::support::wait_until;

/// The limit for what should happen within a second: ten times as long, for slow machines.
pub(crate) const SOON: Duration = Duration::from_secs(10);

/// An event like [`numbered`] with a padding of `bytes` bytes.
pub(crate) fn padded(number: u64, bytes: usize) -> String {
    let event = numbered(number);
    format!(r#"{},"padding":"{}"}}"#, event.strip_suffix('}').unwrap(), "x".repeat(bytes))
}

/// Reads the whole output: `rate` bytes a second until `released`, then the rest at full speed.
fn read_slowly(running: &mut Follower, rate: u32, released: &Arc<AtomicBool>) -> String {
    let mut all = String::new();
    running.output_at(rate, Arc::clone(released)).read_to_string(&mut all).unwrap();
    all
}

/// Sends the events with these numbers, `rate` per second.
fn send(connection: &mut Connection, rate: u32, events: std::ops::Range<u64>, bytes: usize) {
    let begun = Instant::now();
    for (sent, number) in (0..).zip(events) {
        std::thread::sleep((begun + Duration::from_secs(1) * sent / rate).saturating_duration_since(Instant::now()));
        if !connection.event(&padded(number, bytes)) {
            return;
        }
    }
}

/// Follows a server with these limits and asserts that no event is lost. The reader reads `rate` bytes a second until
/// the server has sent everything.
fn assert_reader_loses_nothing(
    limits: Limits,
    rate: u32,
    events: u64,
    script: impl Fn(&mut Connection) + Send + Sync + 'static,
) {
    let sent = Arc::<AtomicBool>::default();
    let is_sent = Arc::clone(&sent);
    let server = StandIn::with_limits(limits, move |connection: &mut Connection| {
        connection.accept();
        script(connection);
        connection.end();
        is_sent.store(true, Ordering::Relaxed);
    });
    let mut running = Follower::start(&mut lxmon([&*server.remote(), "-f", "json", "--no-reconnect", "--gap-events"]));
    let output = read_slowly(&mut running, rate, &sent);
    let Outcome { stderr, .. } = running.end();
    let what = format!("{rate} bytes/s, {limits:?}: {stderr}");
    assert!(server.cuts().is_empty(), "{what}: {:?}", server.cuts());
    // There may also be a gap record for the end of the connection, with no event dropped.
    let has = |line: &str, text: &str| memchr::memmem::find(line.as_bytes(), text.as_bytes()).is_some();
    let dropped = output.lines().find(|line| has(line, r#""type":"gap""#) && !has(line, r#""dropped":0"#));
    assert_eq!(dropped, None, "{what}");
    let numbers: Vec<_> = output.lines().filter_map(|line| number_in(line.as_bytes())).collect();
    assert_eq!(numbers.len() as u64, events, "{what}");
    assert!(numbers.into_iter().eq(0..events), "{what}");
}

#[test]
fn readers_of_every_speed_lose_nothing_and_keep_their_connection() {
    // A little more than a pipe holds, so that lxmon notices early that the reader is slow.
    const FIRST: u64 = 70;
    // More than the 8 MiB that are queued before the reading of the socket pauses; small events follow.
    const LARGE: u64 = FIRST + 900;
    const ALL: u64 = LARGE + 2500;
    std::thread::scope(|scope| {
        for limits in [QUICK, Limits { waiting: Limits::INCUS.waiting, ..QUICK }] {
            for rate in [100, 4_000, 12_000, 25_000, 2_000_000, 1_000_000_000] {
                scope.spawn(move || {
                    assert_reader_loses_nothing(limits, rate, ALL, |connection| {
                        send(connection, 1000, 0..FIRST, 850);
                        std::thread::sleep(Duration::from_secs(1));
                        send(connection, 1000, FIRST..LARGE, 10_000);
                        // At this rate, a client that pauses for a second does not fill the server's queue of 1,000.
                        send(connection, 700, LARGE..ALL, 0);
                    });
                });
            }
        }
    });
}

#[test]
#[ignore = "long: run by CI"]
fn readers_of_every_speed_lose_nothing_in_a_minute_of_load() {
    const EVENTS: u64 = 60_000;
    std::thread::scope(|scope| {
        for limits in [Limits::LXD, Limits::INCUS] {
            for rate in [100, 4_000, 6_000, 12_000, 20_000, 25_000] {
                scope.spawn(move || {
                    assert_reader_loses_nothing(limits, rate, EVENTS, |connection| {
                        send(connection, 1000, 0..EVENTS, 300);
                    });
                });
            }
        }
    });
}

#[test]
fn one_wake_up_serves_several_events_also_if_none_of_them_is_selected() {
    const EVENTS: u64 = 200;
    // On a busy machine the events of a round can come too far apart.
    const ROUNDS: u64 = 20;
    let selected = |number: u64| numbered(number).replace("started", "stopped");
    let (go, wait) = mpsc::channel();
    let wait = Mutex::new(wait);
    let server = StandIn::new(move |connection: &mut Connection| {
        connection.accept();
        connection.event(&selected(0));
        let wait = wait.lock().unwrap();
        for round in 1.. {
            if wait.recv().is_err() {
                return;
            }
            send(connection, 250, 0..EVENTS, 0);
            connection.event(&selected(round));
        }
    });
    let mut follower = Follower::start(lxmon([&*server.remote(), "-f", "json", "-a", "instance-stopped"]));
    follower.wait_for(|line| line == selected(0));
    let mut waits = Vec::new();
    let is_seen = (1..=ROUNDS).any(|round| {
        let before = follower.waits();
        go.send(()).unwrap();
        follower.wait_for(|line| line == selected(round));
        let count = follower.waits() - before;
        waits.push(count);
        count < EVENTS / 2
    });
    drop(go);
    assert!(is_seen, "{waits:?} wake-ups for {EVENTS} events each");
}

/// Asserts that each gap record counts exactly the events that are missing at its position, and that none is missing
/// elsewhere. Returns the number of gaps.
fn assert_gaps_count(lines: &[impl AsRef<str>], events: u64) -> usize {
    let (mut expected, mut gaps) = (0, 0);
    for line in lines.iter().map(AsRef::as_ref) {
        let record: serde_json::Value = serde_json::from_str(line).unwrap();
        if record["type"] == "gap" {
            let dropped = record["metadata"]["dropped"].as_u64().unwrap();
            expected += dropped;
            // There may also be a gap record for the end of the connection, with no event dropped.
            gaps += usize::from(dropped > 0);
        } else {
            assert_eq!(number_in(line.as_bytes()), Some(expected), "after {gaps} gaps");
            expected += 1;
        }
    }
    assert_eq!(expected, events);
    gaps
}

#[test]
fn what_a_slow_reader_with_a_small_buffer_loses_is_counted_where_it_is_missing() {
    const EVENTS: u64 = 2800;
    let limits = Limits { waiting: Limits::INCUS.waiting, ..QUICK };
    let sent = Arc::<AtomicBool>::default();
    let is_sent = Arc::clone(&sent);
    let server = StandIn::with_limits(limits, move |connection: &mut Connection| {
        connection.accept();
        send(connection, 700, 0..EVENTS, 500);
        connection.end();
        is_sent.store(true, Ordering::Relaxed);
    });
    let options = ["-f", "json", "--no-reconnect", "--gap-events", "--buffer", "256KiB"];
    let mut running = Follower::start(lxmon([&*server.remote()]).args(options));
    let output = read_slowly(&mut running, 50_000, &sent);
    let Outcome { stderr, .. } = running.end();
    server.assert_never_cut();
    let gaps = assert_gaps_count(&output.lines().collect::<Vec<_>>(), EVENTS);
    assert!(gaps > 0, "{stderr}");
    let count = |line: &str| line.split_once(" events dropped from ")?.0.rsplit_once(' ')?.1.parse::<u64>().ok();
    let reported: u64 = stderr.lines().filter_map(count).sum();
    let printed = output.lines().filter(|line| !line.contains(r#""type":"gap""#)).count() as u64;
    assert_eq!(printed + reported, EVENTS, "{stderr}");
}

/// A server that sends more events than a stopped reader's pipe and a buffer of 1 MiB hold, and then only pings. The
/// channel gets a message when the client has read everything.
fn burst_then_silence(events: u64) -> (StandIn, mpsc::Receiver<()>) {
    let (say, said) = mpsc::channel();
    let server = StandIn::with_limits(QUICK, move |connection: &mut Connection| {
        connection.accept();
        for number in 0..events {
            connection.event(&padded(number, 500));
        }
        if connection.is_answered(b"1") && connection.is_answered(b"2") {
            let _ = say.send(());
        }
        connection.wait();
    });
    (server, said)
}

#[test]
fn events_that_were_dropped_are_reported_although_no_further_event_comes() {
    const EVENTS: u64 = 6000;
    let (server, read) = burst_then_silence(EVENTS);
    let mut running =
        Follower::start(&mut lxmon([&*server.remote(), "-f", "json", "--gap-events", "--buffer", "1MiB"]));
    read.recv_timeout(PATIENCE).unwrap();
    let deadline = Instant::now() + SOON;
    // The loop ends at the first gap record, because all dropped events came last.
    while !running.seen.last().is_some_and(|line| line.contains(r#""type":"gap""#)) {
        assert!(running.see_line(deadline), "no gap record after {} of {EVENTS} events", running.seen.len());
    }
    assert!(running.see_notice(Instant::now() + SOON), "no notice soon after the buffer had room");
    assert!(running.notices[0].contains(" events dropped from "), "{:?}", running.notices);
    assert_eq!(assert_gaps_count(&running.seen, EVENTS), 1);
    server.assert_never_cut();
}

#[test]
fn events_that_were_dropped_fail_it_although_no_further_event_comes() {
    let (server, read) = burst_then_silence(6000);
    let mut running =
        Follower::start(&mut lxmon([&*server.remote(), "-f", "json", "--fail-on-gap", "--buffer", "1MiB"]));
    read.recv_timeout(PATIENCE).unwrap();
    let begun = Instant::now();
    running.read_for(SOON);
    assert!(begun.elapsed() < SOON, "lxmon keeps running; {:?}", running.notices);
    assert_eq!(running.end().status, 3);
    server.assert_never_cut();
}

#[test]
fn a_wide_window_of_rare_events_takes_no_more_memory_than_the_buffer() {
    // About one selected event per socket read of 128 KiB. If each kept the block of 64 KiB in which it came, all of them
    // would take 26 MB.
    const MATCHES: usize = 400;
    let filler = format!(
        r#"{{"type":"logging","timestamp":"2027-01-15T08:00:00Z","metadata":{{"message":"{}","level":"info"}}}}"#,
        "x".repeat(900)
    );
    let mut frames = Vec::new();
    for number in 0..MATCHES as u64 {
        for _ in 0..130 {
            frames.extend(frame(true, opcode::TEXT, filler.as_bytes()));
        }
        frames.extend(frame(true, opcode::TEXT, numbered(number).as_bytes()));
    }
    let total = frames.len();
    let (sent, is_sent) = mpsc::channel();
    let server = StandIn::new(move |connection: &mut Connection| {
        connection.accept();
        connection.write(&frames);
        // The pings are answered when the client has read everything.
        if connection.is_answered(b"1") && connection.is_answered(b"2") {
            let _ = sent.send(());
        }
        connection.wait();
    });
    let running = Follower::start(&mut lxmon([
        &*server.remote(),
        "-f",
        "json",
        "-a",
        "instance-*",
        "--sort-window",
        "2h",
        "--buffer",
        "1MiB",
    ]));
    is_sent.recv_timeout(PATIENCE).unwrap();
    let peak = (running.peak_memory() - running.mapped_memory()) >> 10;
    running.signal(Signal::TERM);
    let outcome = running.end();
    assert!(outcome.stdout.lines().eq((0..MATCHES as u64).map(numbered)), "{}", outcome.stderr);
    assert!(peak < 16, "{peak} MiB for {MATCHES} events in {} MiB", total >> 20);
}

/// Sends events with these numbers, 40 MB in total, to an lxmon with a wide window and a small buffer. The server waits
/// for output between the pieces, so that the events that are not printed yet fit into the buffer.
fn overfill_a_wide_window(numbers: &[u64]) {
    const PIECE: usize = 500;
    const PIECES_HELD: usize = 6;
    let pieces: Vec<Vec<u8>> = numbers
        .chunks(PIECE)
        .map(|piece| {
            let frames: Vec<_> =
                piece.iter().map(|number| frame(true, opcode::TEXT, padded(*number, 2000).as_bytes())).collect();
            frames.concat()
        })
        .collect();
    let (print, printed) = mpsc::channel();
    let printed = Mutex::new(printed);
    let server = StandIn::new(move |connection: &mut Connection| {
        connection.accept();
        for (index, piece) in pieces.iter().enumerate() {
            if index >= PIECES_HELD {
                printed.lock().unwrap().recv_timeout(PATIENCE).unwrap();
            }
            connection.write(piece);
        }
    });
    let options = ["-f", "json", "--sort-window", "2h", "--buffer", "8MiB", "--no-reconnect"];
    let mut running = Follower::start(lxmon([&*server.remote()]).args(options));
    let mut seen = Vec::new();
    for _ in 0..numbers.len() / PIECE - PIECES_HELD {
        seen.extend((0..PIECE).map_while(|_| number_in(running.line().as_bytes())));
        // The stand-in server may have ended.
        let _ = print.send(());
    }
    let peak = running.peak_memory() >> 10;
    let Outcome { stdout, stderr, .. } = running.end();
    seen.extend(stdout.lines().filter_map(|line| number_in(line.as_bytes())));
    assert!(!stderr.contains("dropped"), "{stderr}");
    seen.sort_unstable();
    assert!(seen.into_iter().eq(0..numbers.len() as u64), "events are lost or duplicated: {stderr}");
    println!("{peak} MiB at most");
    assert!(peak < 32, "{peak} MiB");
}

#[test]
fn what_a_wide_window_has_no_room_for_leaves_it_early_and_is_not_lost() {
    const EVENTS: u64 = 20_000;
    let mut numbers: Vec<_> = (0..EVENTS).collect();
    overfill_a_wide_window(&numbers);
    // Now each block contains events that leave the window at very different times.
    fastrand::Rng::with_seed(11).shuffle(&mut numbers);
    overfill_a_wide_window(&numbers);
}

/// A recording of shuffled events, and the same events in order.
fn shuffled(events: u64) -> (tempfile::NamedTempFile, Vec<String>) {
    let mut numbers: Vec<_> = (0..events).collect();
    fastrand::Rng::with_seed(11).shuffle(&mut numbers);
    let mut recording = tempfile::NamedTempFile::new().unwrap();
    let lines: String = numbers.into_iter().map(|number| numbered(number) + "\n").collect();
    recording.write_all(lines.as_bytes()).unwrap();
    (recording, (0..events).map(numbered).collect())
}

fn sort_in_a_wide_window(events: u64) -> Duration {
    let (recording, sorted) = shuffled(events);
    let begun = Instant::now();
    let path = recording.path().to_str().unwrap();
    let outcome = run(["--replay", path, "-f", "json", "--sort-window", "1h", "--buffer", "1GiB"]);
    let took = begun.elapsed();
    assert_eq!((outcome.status, &*outcome.stderr), (0, ""));
    assert!(outcome.stdout.lines().eq(sorted), "not sorted");
    took
}

#[test]
fn events_in_any_order_come_out_sorted_within_a_wide_window() {
    sort_in_a_wide_window(20_000);
}

#[test]
#[ignore = "long: run by CI"]
fn an_event_costs_no_more_than_the_logarithm_of_what_a_wide_window_holds() {
    let few = sort_in_a_wide_window(20_000);
    let many = sort_in_a_wide_window(400_000);
    println!("20,000 events: {few:?}, 400,000: {many:?}");
    // Twenty times the events, each with a third more comparisons. With quadratic cost it would be 400 times as long.
    assert!(many < few * 100, "{few:?}, then {many:?}");
}

/// The number of events that lxmon reports as not written.
fn unwritten(stderr: &str) -> u64 {
    let line = stderr.lines().find(|line| line.contains("not written"));
    let line = line.unwrap_or_else(|| panic!("no line about events that were not written: {stderr:?}"));
    let digits = line.split_whitespace().map(|word| word.replace(',', "")).find_map(|word| word.parse().ok());
    digits.unwrap_or_else(|| panic!("no number in: {line}"))
}

/// A server that sends `events` events of 1,000 bytes on each connection. The channel gets a message when the client
/// has read all of them.
fn sending(events: u64) -> (StandIn, mpsc::Receiver<()>) {
    let (say, said) = mpsc::channel();
    let server = StandIn::with_limits(Limits::LXD, move |connection: &mut Connection| {
        connection.accept();
        for number in 0..events {
            connection.event(&padded(number, 1000 - numbered(number).len() - ",\"padding\":\"\"".len() - 1));
        }
        if connection.is_answered(b"1") && connection.is_answered(b"2") {
            let _ = say.send(());
        }
        connection.wait();
    });
    (server, said)
}

/// Asserts that `output` consists of the first events, each complete, and that the others are reported as not written.
fn assert_rest_is_reported(output: &str, stderr: &str, events: u64) {
    assert!(output.ends_with('\n'), "the last line is incomplete: {:?}; {stderr}", output.lines().last());
    let written = output.lines().map(|line| number_in(line.as_bytes()).unwrap());
    assert!(written.eq(0..output.lines().count() as u64), "{stderr}");
    assert_eq!(output.lines().count() as u64 + unwritten(stderr), events, "{stderr}");
}

#[test]
fn at_a_timeout_writing_goes_on_while_the_output_moves_and_the_rest_is_counted() {
    const EVENTS: u64 = 5000;
    let (server, _) = sending(EVENTS);
    let remote = server.remote();
    let follow = |rate: u32, options: &[&str]| {
        let mut running = Follower::start(lxmon([&*remote, "-f", "json"]).args(options));
        let output = read_slowly(&mut running, rate, &Arc::default());
        let Outcome { status, stderr, .. } = running.end();
        (output, status, stderr)
    };
    std::thread::scope(|scope| {
        // Reading 5 MB takes longer than the timeout, but less than twice as long.
        scope.spawn(|| {
            let (output, status, stderr) = follow(1_080_000, &["--timeout", "3s"]);
            assert_eq!((status, &*stderr), (0, ""));
            assert_eq!(output.lines().count() as u64, EVENTS);
        });
        // The same with a count that is not reached.
        scope.spawn(|| {
            let (output, status, stderr) = follow(1_080_000, &["--timeout", "3s", "-n", "6000"]);
            assert_eq!((status, output.lines().count() as u64), (124, EVENTS), "{stderr}");
        });
        // Reading 5 MB takes longer than twice the timeout.
        scope.spawn(|| {
            let (output, status, stderr) = follow(550_000, &["--timeout", "3s"]);
            assert_eq!(status, 0, "{stderr}");
            assert_rest_is_reported(&output, &stderr, EVENTS);
            // At least what the reader read before the timeout is written.
            assert!(output.lines().count() > 1200, "{}", output.lines().count());
        });
    });
}

#[test]
fn at_a_signal_the_output_ends_at_a_lines_end_and_the_rest_is_counted() {
    const EVENTS: u64 = 5000;
    let (server, read) = sending(EVENTS);
    for (signal, _) in crate::signals::ending() {
        let mut running = Follower::start(&mut lxmon([&*server.remote(), "-f", "json"]));
        let mut output = running.output_at(500_000, Arc::default());
        let reading = std::thread::spawn(move || std::io::read_to_string(&mut output).unwrap());
        read.recv_timeout(PATIENCE).unwrap();
        running.signal(signal);
        let sent = Instant::now();
        let Outcome { stderr, .. } = running.end();
        assert!(sent.elapsed() < SOON, "{signal:?}: {:?}", sent.elapsed());
        assert_rest_is_reported(&reading.join().unwrap(), &stderr, EVENTS);
    }
}

#[test]
fn a_stopped_reader_is_not_waited_for_at_the_end_and_the_rest_is_counted() {
    const EVENTS: u64 = 1000;
    let (server, read) = sending(EVENTS);
    for signal in [None, Some(Signal::TERM)] {
        let timeout = if signal.is_some() { "1h" } else { "2s" };
        let running = Follower::start(&mut lxmon([&*server.remote(), "-f", "json", "--timeout", timeout]));
        read.recv_timeout(PATIENCE).unwrap();
        wait_until(|| running.unread() > 32 << 10);
        let begun = Instant::now();
        if let Some(signal) = signal {
            running.signal(signal);
        }
        let outcome = running.end_unread();
        assert!(begun.elapsed() < Duration::from_secs(2) + SOON, "{signal:?}: {:?}", begun.elapsed());
        assert_eq!(outcome.status, if signal.is_some() { 143 } else { 0 });
        assert_rest_is_reported(&outcome.stdout, &outcome.stderr, EVENTS);
    }
}
