//! Lost connections: lxmon reconnects where that can help, reports every loss, and loses no event that it received.

use std::os::unix::net::UnixListener;
use std::sync::{Mutex, mpsc};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;

use crate::support::program::{Follower, PATIENCE, lxmon, run};
use crate::support::standin::{Connection, StandIn, frame, numbered, opcode};
use crate::support::{stat, wait_until};

#[test]
fn a_lost_connection_is_made_again_and_the_gap_is_told() {
    let server = StandIn::new(|connection: &mut Connection| {
        match connection.number {
            1 => return connection.refuse("503 Service Unavailable", "starting"),
            2 => return connection.end(),
            _ => connection.accept(),
        }
        connection.event(&numbered(connection.number as u64));
        if connection.number == 0 {
            connection.end();
        } else {
            connection.wait();
        }
    });
    let outcome = run([&*server.remote(), "-f", "json", "-n2", "--gap-events"]);
    assert_eq!(outcome.status, 0);
    let lines: Vec<_> = outcome.stdout.lines().collect();
    assert_eq!((lines.len(), lines[0], lines[3]), (4, &*numbered(0), &*numbered(3)), "{lines:#?}");
    let gaps = gaps(lines);
    assert_eq!(gaps.len(), 2);
    for gap in gaps {
        assert_eq!((&gap["metadata"]["dropped"], &gap["metadata"]["remote"]), (&0.into(), &server.remote().into()));
    }
    assert!(outcome.stderr.contains("connection lost at "), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("s; events since 08:00:00 may be missing\n"), "{}", outcome.stderr);
}

#[test]
fn the_first_gap_ends_it_when_that_is_asked_for() {
    let server = StandIn::new(|connection: &mut Connection| {
        connection.accept();
        connection.event(&numbered(0));
        if connection.number == 0 {
            connection.end();
        } else {
            connection.wait();
        }
    });
    let outcome = run([&*server.remote(), "-f", "json", "--fail-on-gap"]);
    assert_eq!((outcome.status, outcome.stdout.trim_end()), (3, &*numbered(0)));
}

#[test]
fn a_refusal_on_the_way_back_is_the_end() {
    let server = StandIn::new(|connection: &mut Connection| {
        if connection.number == 0 {
            connection.accept();
            connection.end();
        } else {
            connection.refuse("403 Forbidden", "not any more");
        }
    });
    let outcome = run([&*server.remote()]);
    assert_eq!(outcome.status, 1);
    assert!(
        outcome.stderr.contains("reconnecting after: ") && outcome.stderr.contains("not any more"),
        "{}",
        outcome.stderr
    );
}

/// The gap records among these lines.
pub(crate) fn gaps<'l>(lines: impl IntoIterator<Item = &'l str>) -> Vec<Value> {
    let lines = lines.into_iter().filter(|line| line.contains(r#""type":"gap""#));
    lines.map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The length of a gap, from the record of its end.
pub(crate) fn length(gap: &Value) -> Duration {
    Duration::from_secs_f64(gap["metadata"]["seconds"].as_f64().unwrap())
}

#[test]
fn what_a_loss_means_for_the_exit_status() {
    type Loss = fn(&mut Connection);
    let losses: [(&str, Loss); 3] = [
        ("the server closed the connection", Connection::end),
        ("going down (code 1001)", |connection| _ = connection.frame(true, opcode::CLOSE, b"\x03\xe9going down")),
        ("broke the WebSocket protocol", |connection| _ = connection.write(&[0xc1, 1, b'x'])),
    ];
    std::thread::scope(|scope| {
        for (reason, lose) in losses {
            scope.spawn(move || exit_statuses_after(reason, lose));
        }
    });
}

fn exit_statuses_after(reason: &str, lose: fn(&mut Connection)) {
    for (options, status, events, is_told) in [
        (&["--no-reconnect"][..], 1, 1, true),
        (&["--no-reconnect", "-q", "--fail-on-gap"], 1, 1, true),
        (&["-n2"], 0, 2, true),
        (&["-n2", "-q"], 0, 2, false),
        (&["-n2", "--gap-events"], 0, 2, true),
        (&["-n2", "--fail-on-gap"], 3, 1, true),
        (&["-n2", "--fail-on-gap", "-q"], 3, 1, false),
        (&["-n2", "--fail-on-gap", "--gap-events"], 3, 1, true),
    ] {
        let server = StandIn::new(move |connection: &mut Connection| {
            connection.accept();
            connection.event(&numbered(connection.number as u64));
            if connection.number == 0 {
                lose(connection);
            }
            connection.wait();
        });
        let outcome = run([&[&*server.remote(), "-f", "json"], options].concat());
        let about = format!("{reason} {options:?}: {outcome:?}");
        assert_eq!(outcome.status, status, "{about}");
        let gaps = gaps(outcome.stdout.lines());
        assert_eq!(outcome.stdout.lines().count() - gaps.len(), events, "{about}");
        assert_eq!(gaps.is_empty(), !options.contains(&"--gap-events"), "{about}");
        assert_eq!(outcome.stderr.contains(reason), is_told, "{about}");
    }
}

#[test]
fn what_was_sent_before_the_end_is_printed_though_no_answer_can_be_given_any_more() {
    // More bytes than one read returns, fewer than a socket's buffer holds.
    const EVENTS: u64 = 800;
    let (go, wait) = mpsc::channel();
    let (ending, ended) = mpsc::channel();
    let wait = Mutex::new(wait);
    let server = StandIn::new(move |connection: &mut Connection| {
        connection.accept();
        connection.event(&numbered(0));
        wait.lock().unwrap().recv().unwrap();
        // A ping must be answered, but by then the server has closed the connection.
        let mut burst = frame(true, opcode::PING, b"are you there");
        for number in 1..EVENTS {
            burst.extend(frame(true, opcode::TEXT, numbered(number).as_bytes()));
        }
        connection.write(&burst);
        connection.end();
        ending.send(()).unwrap();
    });
    let mut follower = Follower::start(lxmon([&*server.remote(), "-f", "json", "--no-reconnect"]));
    follower.wait_for(|line| line == numbered(0));
    follower.signal(Signal::STOP);
    follower.wait_for_state("T");
    go.send(()).unwrap();
    ended.recv_timeout(PATIENCE).unwrap();
    follower.signal(Signal::CONT);
    assert_eq!(follower.wait(), Some(1));
    assert!(
        follower.seen.iter().cloned().eq((0..EVENTS).map(numbered)),
        "{} of {EVENTS}: {:?}",
        follower.seen.len(),
        follower.notices
    );
    assert!(
        follower.notices[0].ends_with("connection lost: the server closed the connection"),
        "{:?}",
        follower.notices
    );
}

#[test]
fn a_server_that_is_starting_is_an_error_at_first() {
    let server =
        StandIn::new(|connection: &mut Connection| connection.refuse("503 Service Unavailable", "LXD is starting"));
    let outcome = run([&*server.remote()]);
    assert_eq!(
        (outcome.status, &*outcome.stderr.replace(&server.remote(), "SERVER")),
        (
            1,
            "lxmon: SERVER: the server refuses (503): LXD is starting\n\
             hint: `--retry` keeps trying until the server is ready\n"
        )
    );
    assert_eq!(server.requests().len(), 1);
}

#[test]
fn a_socket_that_disappears_is_waited_for() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("unix.socket");
    let (go, wait) = mpsc::channel::<()>();
    let wait = Mutex::new(wait);
    let before = StandIn::at(&socket, move |connection: &mut Connection| {
        connection.accept();
        connection.event(&numbered(0));
        wait.lock().unwrap().recv().unwrap();
        connection.end();
    });
    let mut follower = Follower::start(lxmon([&*before.remote(), "-f", "json", "-n2", "-v"]));
    follower.wait_for(|line| line == numbered(0));
    std::fs::remove_file(&socket).unwrap();
    go.send(()).unwrap();
    follower.wait_for_notice("there is no such socket; trying again");
    // A server that was killed leaves a socket file on which nothing listens.
    drop(UnixListener::bind(&socket).unwrap());
    follower.wait_for_notice("nothing listens there; trying again");
    std::fs::remove_file(&socket).unwrap();
    let _after = StandIn::at(&socket, |connection: &mut Connection| {
        connection.accept();
        connection.event(&numbered(1));
        connection.wait();
    });
    assert_eq!(follower.wait(), Some(0));
    assert_eq!(follower.seen, [numbered(0), numbered(1)]);
    assert!(follower.has_notice("(the server closed the connection); reconnected after "), "{:?}", follower.notices);
}

/// A server that sends an event on the first connection, ends it, and refuses all later ones as if it were starting.
fn lost_for_good() -> StandIn {
    StandIn::new(|connection: &mut Connection| {
        if connection.number > 0 {
            return connection.refuse("503 Service Unavailable", "starting");
        }
        connection.accept();
        connection.event(&numbered(0));
        connection.end();
    })
}

#[test]
fn the_other_ends_come_while_the_server_is_away_too() {
    for (options, status) in [(&["-n2"][..], 124), (&[], 0)] {
        let server = lost_for_good();
        let outcome = run([&[&*server.remote(), "-f", "json", "--timeout", "600ms"], options].concat());
        assert_eq!((outcome.status, outcome.stdout.trim_end()), (status, &*numbered(0)), "{options:?}");
        let notice = "connection lost (the server closed the connection); reconnecting\n";
        assert!(outcome.stderr.contains(notice), "{}", outcome.stderr);
    }
    let server = lost_for_good();
    let mut running = Follower::start(&mut lxmon([&*server.remote(), "-f", "json"]));
    running.line();
    wait_until(|| server.requests().len() == 1);
    running.close_stdout();
    assert_eq!(running.end().status, 0);
}

#[test]
fn a_gap_that_is_the_end_is_told_although_the_server_stays_away() {
    let server = lost_for_good();
    let outcome = run([&*server.remote(), "-f", "json", "--fail-on-gap", "--gap-events", "--timeout", "50s"]);
    assert_eq!(outcome.status, 3);
    let lines: Vec<_> = outcome.stdout.lines().collect();
    let gaps = gaps(lines.iter().copied());
    assert_eq!(lines[0], numbered(0));
    assert_eq!(gaps.len(), lines.len() - 1);
    // The first record is of the loss; a second one may follow when the program ends.
    assert_eq!(gaps[0]["metadata"]["until"], Value::Null);
    assert!(gaps.len() <= 2, "{gaps:?}");
    let begin = format!("lxmon: {}: connection lost at ", server.remote());
    let notices: Vec<_> = outcome.stderr.lines().filter(|line| line.starts_with(&begin)).collect();
    assert_eq!(notices.len(), 1, "{}", outcome.stderr);
    assert!(notices[0].contains(" (the server closed the connection); "), "{notices:?}");
    assert_eq!(server.requests().len(), 1, "lxmon must not reconnect");
}

/// A server whose first connection ends on a message from the first sender. It refuses later connections until the
/// second sender sends a message, and keeps the next one open.
fn away_until_told() -> (StandIn, mpsc::Sender<()>, mpsc::Sender<()>) {
    let (leave, leaving) = mpsc::channel();
    let (back, coming) = mpsc::channel();
    let (leaving, coming) = (Mutex::new(leaving), Mutex::new(coming));
    let server = StandIn::new(move |connection: &mut Connection| {
        if connection.number > 0 && coming.lock().unwrap().try_recv().is_err() {
            return connection.refuse("503 Service Unavailable", "starting");
        }
        connection.accept();
        connection.event(&numbered(connection.number.min(1) as u64));
        if connection.number == 0 {
            leaving.lock().unwrap().recv().unwrap();
            connection.end();
        }
        connection.wait();
    });
    (server, leave, back)
}

#[test]
fn a_server_that_is_away_holds_up_no_other() {
    let (flapping, leave, back) = away_until_told();
    let (more, wanted) = mpsc::channel();
    let wanted = Mutex::new(wanted);
    let steady = StandIn::new(move |connection: &mut Connection| {
        connection.accept();
        while let Ok(number) = wanted.lock().unwrap().recv() {
            connection.event(&numbered(number));
        }
        connection.wait();
    });
    let (away, stays) = (flapping.remote(), steady.remote());
    let mut follower = Follower::start(lxmon([&*away, &*stays, "-f", "json", "--gap-events", "-v"]));
    let of = |remote: &str, number| {
        let begin = format!(r#"{{"remote":"{remote}","#);
        let end = numbered(number)[1..].to_owned();
        move |line: &str| line.strip_prefix(&*begin) == Some(&*end)
    };
    follower.wait_for(of(&away, 0));
    follower.wait_for_notice(&format!("{stays}: subscribed after"));
    leave.send(()).unwrap();
    follower.wait_for_notice(&format!("{away}: connection lost (the server closed the connection); reconnecting"));
    follower.wait_for_notice(&format!("{away}: the server refuses (503): starting; trying again"));
    for number in 10..20 {
        more.send(number).unwrap();
        follower.wait_for(of(&stays, number));
    }
    back.send(()).unwrap();
    follower.wait_for(of(&away, 1));
    more.send(20).unwrap();
    follower.wait_for(of(&stays, 20));
    let gaps = gaps(follower.seen.iter().map(String::as_str));
    assert_eq!(gaps.len(), 2, "{:#?}", follower.seen);
    for gap in gaps {
        assert_eq!((&gap["remote"], &gap["metadata"]["remote"]), (&(*away).into(), &(*away).into()));
    }
    assert!(!follower.notices.iter().any(|line| line.contains(&format!("{stays}: connection lost"))));
}

#[test]
fn one_server_of_two_that_is_lost_for_good_is_told_and_the_last_one_is_the_end() {
    let refusing = StandIn::new(|connection: &mut Connection| {
        if connection.number > 0 {
            return connection.refuse("403 Forbidden", "not any more");
        }
        connection.accept();
        connection.end();
    });
    let (leave, leaving) = mpsc::channel::<()>();
    let leaving = Mutex::new(leaving);
    let steady = StandIn::new(move |connection: &mut Connection| {
        connection.accept();
        leaving.lock().unwrap().recv().unwrap();
        connection.event(&numbered(0));
        connection.frame(true, opcode::CLOSE, b"");
        connection.wait();
    });
    let mut both = Follower::start(lxmon([&*refusing.remote(), &*steady.remote(), "-f", "json", "-v"]));
    both.wait_for_notice("the server refuses (403): not any more");
    leave.send(()).unwrap();
    both.wait_for_notice(&format!("{}: connection lost at", steady.remote()));
    assert!(both.seen.is_empty(), "waiting for a notice must not consume lines of the output");
    both.wait_for(|line| line.ends_with(&numbered(0)[1..]));
    drop(both);

    let mut both = Follower::start(lxmon([&*steady.remote(), &*refusing.remote(), "-f", "json", "--no-reconnect"]));
    both.wait_for_notice("(403): not any more");
    leave.send(()).unwrap();
    leave.send(()).unwrap();
    assert_eq!(both.wait(), Some(1));
    assert!(both.has_notice(&format!("lxmon: {}: connection lost: ", steady.remote())), "{:?}", both.notices);
    assert_eq!(both.notices.last().unwrap(), "lxmon: none of the remotes is followed any more");
    assert_eq!(both.seen.len(), 1);
}

#[test]
#[ignore = "long: run by CI"]
fn a_server_without_a_sign_of_life_is_lost_after_half_a_minute() {
    let (hearing, heard) = mpsc::channel();
    let server = StandIn::new(move |connection: &mut Connection| {
        connection.accept();
        connection.event(&numbered(connection.number as u64));
        if connection.number > 0 {
            return connection.wait();
        }
        while let Some((opcode, _)) = connection.read_frame() {
            hearing.send(opcode).unwrap();
        }
    });
    let begun = Instant::now();
    let outcome = run([&*server.remote(), "-f", "json", "-n2", "--gap-events"]);
    assert!(begun.elapsed() >= Duration::from_secs(30));
    assert_eq!(outcome.status, 0, "{}", outcome.stderr);
    let lines: Vec<_> = outcome.stdout.lines().collect();
    assert_eq!((lines.len(), lines[0], lines[3]), (4, &*numbered(0), &*numbered(1)), "{lines:#?}");
    let gap = &gaps(lines)[1];
    assert_eq!(gap["metadata"]["reason"], "no sign of life for 30 s");
    assert!(length(gap) >= Duration::from_secs(30), "{gap}");
    assert!(outcome.stderr.contains("connection lost (no sign of life for 30 s); reconnecting\n"));
    // lxmon sent one ping and nothing else.
    assert_eq!(heard.try_iter().collect::<Vec<_>>(), [opcode::PING]);
    println!("lost and back after {:.1} s", begun.elapsed().as_secs_f64());
}

#[test]
#[ignore = "long: run by CI"]
fn the_answer_to_a_ping_is_a_sign_of_life() {
    let server = StandIn::new(|connection: &mut Connection| {
        connection.accept();
        for _ in 0..3 {
            let Some((opcode::PING, payload)) = connection.read_frame() else { return };
            connection.frame(true, opcode::PONG, &payload);
        }
        connection.event(&numbered(0));
        connection.wait();
    });
    let begun = Instant::now();
    let outcome = run([&*server.remote(), "-f", "json", "-n1", "--no-reconnect"]);
    assert_eq!((outcome.status, outcome.stdout.trim_end()), (0, &*numbered(0)), "{}", outcome.stderr);
    assert!(begun.elapsed() >= Duration::from_secs(45));
}

/// The resources of a process that could leak, and the processor time that it has used.
#[derive(Debug)]
struct Holdings {
    descriptors: usize,
    threads: u64,
    resident_kb: u64,
    processor: Duration,
}

impl Holdings {
    fn of(id: u32) -> Self {
        let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap();
        let number = |key: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(key)).unwrap();
            line.split_whitespace().next().unwrap().parse::<u64>().unwrap()
        };
        let stat = stat(id);
        // User and system time, in ticks: Linux reports 100 per second on every machine.
        let ticks: u64 = stat[11..=12].iter().map(|field| field.parse::<u64>().unwrap()).sum();
        Self {
            descriptors: std::fs::read_dir(format!("/proc/{id}/fd")).unwrap().count(),
            threads: number("Threads:"),
            resident_kb: number("VmRSS:"),
            processor: Duration::from_millis(10 * ticks),
        }
    }
}

#[test]
#[ignore = "long: run by CI"]
fn a_server_that_flaps_is_followed_each_time_and_costs_nothing_that_stays() {
    const FIRST: u64 = 10;
    let flaps: u64 = std::env::var("LXMON_TEST_FLAPS").map_or(1000, |text| text.parse().unwrap()).max(FIRST);
    let (go, wait) = mpsc::channel();
    let wait = Mutex::new(wait);
    let server = StandIn::new(move |connection: &mut Connection| {
        let number = connection.number as u64;
        connection.accept();
        connection.event(&numbered(number));
        if number == FIRST {
            wait.lock().unwrap().recv().unwrap();
        }
        if number < flaps {
            // Longer than any delay before a reconnection to a local server (250 ms).
            std::thread::sleep(Duration::from_millis(300));
            connection.end();
        }
        connection.wait();
    });
    let mut follower = Follower::start(lxmon([&*server.remote(), "-f", "json", "--gap-events"]));
    let seen = |number| move |line: &str| line == numbered(number);
    // By now everything that is allocated once exists. The program is connected at both measurements.
    follower.wait_for(seen(FIRST));
    let before = Holdings::of(follower.id());
    let begun = Instant::now();
    go.send(()).unwrap();
    for number in (FIRST..=flaps).step_by(10).chain([flaps]) {
        follower.wait_for(seen(number));
    }
    let took = begun.elapsed();
    let after = Holdings::of(follower.id());
    println!("{flaps} flaps in {:.1} s: {before:?}, then {after:?}", took.as_secs_f64());
    follower.terminate();

    let gaps = gaps(follower.seen.iter().map(String::as_str));
    let events: Vec<_> = follower.seen.iter().filter(|line| !line.contains(r#""type":"gap""#)).cloned().collect();
    assert!(events.iter().cloned().eq((0..=flaps).map(numbered)), "{} events", events.len());
    // One record for the loss and one for the reconnection, both between the events of the two connections.
    assert_eq!(gaps.len() as u64, 2 * flaps);
    assert!(follower.seen.iter().step_by(3).all(|line| !line.contains(r#""type":"gap""#)));
    for told in ["; reconnecting", " may be missing"] {
        let count = follower.notices.iter().filter(|line| line.ends_with(told)).count();
        assert_eq!(count as u64, flaps, "{told}");
    }
    assert_eq!((after.descriptors, after.threads), (before.descriptors, before.threads));
    assert!(after.resident_kb < before.resident_kb + 4096, "{before:?}, then {after:?}");
    let least = Duration::from_millis(125) * u32::try_from(flaps - FIRST).unwrap();
    assert!(took >= least, "{took:?}: it must wait before it reconnects");
    // It sleeps between two attempts; a busy loop would use all the processor time.
    assert!(after.processor < took / 10, "{after:?} in {took:?}");
}
