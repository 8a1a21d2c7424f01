//! The order of the output: the events of one origin (a member of a remote) are sorted by their timestamps, whatever
//! other clocks show, and the events of several origins come in the order in which they happened.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use serde_json::Value;

use crate::support::number_in;
use crate::support::program::{Follower, PATIENCE, lxmon, run};
use crate::support::standin::{Connection, StandIn};

/// An event of `member` with this number and timestamp.
fn stamped(number: u64, member: &str, time: &str) -> String {
    format!(
        r#"{{"type":"lifecycle","timestamp":"{time}","metadata":{{"action":"instance-started","source":"/1.0/instances/c{number}"}},"location":"{member}","project":"default"}}"#
    )
}

/// The current time of a clock that is ahead of ours by `off`.
fn now(off: TimeDelta) -> String {
    (Utc::now() + off).to_rfc3339_opts(SecondsFormat::Nanos, true)
}

/// One millisecond after the current time of that clock.
fn next(off: TimeDelta) -> String {
    now(off + TimeDelta::milliseconds(1))
}

/// A server that runs this script on every connection, and signals when lxmon has read everything that the script sent.
fn serving(script: impl Fn(&mut Connection) + Send + Sync + 'static) -> (StandIn, mpsc::Receiver<()>) {
    let (say, said) = mpsc::channel();
    let server = StandIn::new(move |connection: &mut Connection| {
        connection.accept();
        script(connection);
        if connection.is_answered(b"1") && connection.is_answered(b"2") {
            let _ = say.send(());
        }
        connection.wait();
    });
    (server, said)
}

/// Added to the number of an event that was sent 10 ms or more after its neighbour (on a busy machine): its place in
/// the output proves nothing.
const LATE: u64 = 1 << 40;

/// Sends two events of `member`, the one with the later timestamp first.
fn send_swapped(connection: &mut Connection, number: u64, member: &str, off: TimeDelta) {
    let (earlier, later) = (now(off), next(off));
    let begun = Instant::now();
    connection.event(&stamped(number + 1, member, &later));
    // The pause makes lxmon read the two events separately.
    std::thread::sleep(Duration::from_micros(500));
    let number = if begun.elapsed() < Duration::from_millis(10) { number } else { number + LATE };
    connection.event(&stamped(number, member, &earlier));
}

/// The fields of a printed event that the tests check.
struct Printed {
    remote: String,
    member: String,
    time: DateTime<Utc>,
    number: u64,
}

/// A sort window that is longer than the pauses of a busy machine. (Unit tests cover the default window, with given
/// arrival times.)
const WIDE: &[&str] = &["--sort-window", "250ms"];

/// Follows these servers until lxmon has read everything that they send.
fn follow(servers: &[&(StandIn, mpsc::Receiver<()>)], options: &[&str]) -> Vec<Printed> {
    let mut command = lxmon(["-f", "json"]);
    command.args(servers.iter().map(|(server, _)| server.remote())).args(options);
    let mut follower = Follower::start(command);
    for (_, sent) in servers {
        sent.recv_timeout(PATIENCE).unwrap();
    }
    follower.terminate();
    assert!(!follower.has_notice("lost") && !follower.has_notice("dropped"), "{:?}", follower.notices);
    let printed = |line: &String| {
        let event: Value = serde_json::from_str(line).unwrap();
        Printed {
            remote: event["remote"].as_str().unwrap_or_default().to_owned(),
            member: event["location"].as_str().unwrap().to_owned(),
            time: event["timestamp"].as_str().unwrap().parse().unwrap(),
            number: number_in(line.as_bytes()).unwrap(),
        }
    };
    follower.seen.iter().map(printed).collect()
}

/// Counts the events with an earlier timestamp than the previous event of their origin, except those sent late.
fn out_of_order<'p>(printed: impl IntoIterator<Item = &'p Printed>) -> usize {
    let mut last: HashMap<(&str, &str), DateTime<Utc>> = HashMap::new();
    let mut count = 0;
    for Printed { remote, member, time, .. } in printed.into_iter().filter(|event| event.number < LATE) {
        let previous = last.insert((remote, member), *time);
        count += usize::from(previous.is_some_and(|previous| *time < previous));
    }
    count
}

/// How many pairs of swapped events each origin sends in these tests, and the pause after each pair.
const PAIRS: u64 = 200;
const PAUSE: Duration = Duration::from_millis(3);

/// Differences between two clocks, in milliseconds.
const SKEWS: [i64; 6] = [0, 30, 100, 1000, 60_000, 3_600_000];

/// Asserts that all pairs of both origins are printed, and each origin's events in the order of their timestamps.
fn assert_all_in_order(printed: &[Printed], skew: TimeDelta) {
    assert_eq!(printed.len() as u64, 4 * PAIRS, "{skew}");
    assert_eq!(out_of_order(printed), 0, "events out of order with clocks {skew} apart");
}

#[test]
fn clocks_of_two_remotes_that_differ_disturb_the_order_of_neither() {
    let check = |skew: TimeDelta| {
        let swapping = |off: TimeDelta| {
            serving(move |connection| {
                for pair in 0..PAIRS {
                    send_swapped(connection, 2 * pair, "none", off);
                    std::thread::sleep(PAUSE);
                }
            })
        };
        let (right, ahead) = (swapping(TimeDelta::zero()), swapping(skew));
        assert_all_in_order(&follow(&[&right, &ahead], WIDE), skew);
    };
    std::thread::scope(|scope| {
        for skew in SKEWS {
            scope.spawn(move || check(TimeDelta::milliseconds(skew)));
        }
    });
}

#[test]
fn clocks_of_two_members_of_one_server_that_differ_disturb_the_order_of_neither() {
    let check = |skew: TimeDelta| {
        let server = serving(move |connection| {
            for pair in 0..PAIRS {
                send_swapped(connection, 2 * pair, "lxd01", TimeDelta::zero());
                send_swapped(connection, 2 * pair, "lxd02", skew);
                std::thread::sleep(PAUSE);
            }
        });
        assert_all_in_order(&follow(&[&server], WIDE), skew);
    };
    std::thread::scope(|scope| {
        for skew in SKEWS {
            scope.spawn(move || check(TimeDelta::milliseconds(skew)));
            scope.spawn(move || check(-TimeDelta::milliseconds(skew)));
        }
    });
}

#[test]
fn one_wrong_timestamp_moves_nothing_but_itself() {
    /// The number of the event with the wrong timestamp.
    const WRONG: u64 = 1_000_000;
    let check = |wrong: fn() -> String| {
        let server = serving(move |connection| {
            for pair in 0..PAIRS {
                if pair == PAIRS / 4 {
                    connection.event(&stamped(WRONG, "none", &wrong()));
                }
                send_swapped(connection, 2 * pair, "none", TimeDelta::zero());
                std::thread::sleep(PAUSE);
            }
        });
        let printed = follow(&[&server], WIDE);
        assert_eq!(printed.len() as u64, 2 * PAIRS + 1, "{}", wrong());
        let count = out_of_order(printed.iter().filter(|event| event.number != WRONG));
        assert_eq!(count, 0, "events out of order next to the timestamp {}", wrong());
    };
    let wrong: [fn() -> String; 4] = [
        || now(TimeDelta::seconds(60)),
        || now(TimeDelta::seconds(-60)),
        || "2099-12-31T23:59:59.999999999Z".to_owned(),
        || "1970-01-01T00:00:00Z".to_owned(),
    ];
    std::thread::scope(|scope| {
        for wrong in wrong {
            scope.spawn(move || check(wrong));
        }
    });
}

#[test]
fn a_clock_that_is_set_disturbs_the_order_on_neither_side() {
    let check = |step: TimeDelta| {
        let server = serving(move |connection| {
            for pair in 0..2 * PAIRS {
                let off = if pair < PAIRS { TimeDelta::zero() } else { step };
                send_swapped(connection, 2 * pair, "none", off);
                std::thread::sleep(PAUSE);
            }
        });
        let printed = follow(&[&server], WIDE);
        assert_eq!(printed.len() as u64, 4 * PAIRS, "{step}");
        let (before, after): (Vec<_>, Vec<_>) = printed.iter().partition(|event| event.number % LATE < 2 * PAIRS);
        let counts = [before, after].map(out_of_order);
        assert_eq!(counts, [0, 0], "events out of order before and after a clock step of {step}");
    };
    std::thread::scope(|scope| {
        for step in [TimeDelta::hours(1), TimeDelta::hours(-1), TimeDelta::seconds(-1)] {
            scope.spawn(move || check(step));
        }
    });
}

#[test]
fn a_gap_of_one_remote_leaves_the_order_of_the_other_alone() {
    const GAPS: u64 = 4;
    let (lose, losing) = mpsc::channel::<()>();
    let (back, is_back) = mpsc::channel();
    let (losing, is_back) = (Mutex::new(losing), Mutex::new(is_back));
    let flapping = StandIn::new(move |connection: &mut Connection| {
        connection.accept();
        connection.event(&stamped(connection.number as u64, "none", &now(TimeDelta::zero())));
        // Once both pings are answered, this event and the gap before it are in lxmon's queue.
        if connection.is_answered(b"1") && connection.is_answered(b"2") {
            let _ = back.send(());
        }
        // Longer than any delay before a reconnection to a local server (250 ms).
        std::thread::sleep(Duration::from_millis(300));
        let _ = losing.lock().unwrap().recv();
        connection.end();
    });
    let steady = serving(move |connection| {
        let is_back = is_back.lock().unwrap();
        is_back.recv_timeout(PATIENCE).unwrap();
        for gap in 0..GAPS {
            let earlier = stamped(2 * gap, "none", &now(TimeDelta::zero()));
            connection.event(&stamped(2 * gap + 1, "none", &next(TimeDelta::zero())));
            lose.send(()).unwrap();
            is_back.recv_timeout(PATIENCE).unwrap();
            connection.event(&earlier);
        }
    });
    let mut follower =
        Follower::start(lxmon([&*flapping.remote(), &*steady.0.remote(), "-f", "json", "--sort-window", "20s"]));
    steady.1.recv_timeout(PATIENCE).unwrap();
    follower.terminate();
    let of_steady = follower.seen.iter().filter(|line| line.contains(&steady.0.remote()));
    let numbers: Vec<_> = of_steady.map(|line| number_in(line.as_bytes()).unwrap()).collect();
    assert!(numbers.iter().copied().eq(0..2 * GAPS), "{numbers:?}");
}

/// Follows two servers whose clocks differ by `skew`. Returns how many pairs of neighbouring events in the output are
/// not in the order in which they happened, and the number of all pairs.
fn unlike_what_happened(skew: TimeDelta) -> (usize, usize) {
    const EVENTS: usize = 300;
    let happened = Arc::new(Mutex::new(0));
    let server = |off: TimeDelta| {
        let happened = Arc::clone(&happened);
        serving(move |connection| {
            for _ in 0..EVENTS {
                let mut number = happened.lock().unwrap();
                std::thread::sleep(Duration::from_millis(2));
                connection.event(&stamped(*number, "none", &now(off)));
                *number += 1;
                drop(number);
                // A random pause lets either server send the next event.
                std::thread::sleep(Duration::from_micros(fastrand::u64(0..3000)));
            }
        })
    };
    let (right, ahead) = (server(TimeDelta::zero()), server(skew));
    // The window is long enough for a busy machine.
    let printed = follow(&[&right, &ahead], &["--sort-window", "500ms"]);
    assert_eq!(printed.len(), 2 * EVENTS);
    assert_eq!(out_of_order(&printed), 0, "{skew}");
    let swapped = printed.windows(2).filter(|pair| pair[0].number > pair[1].number).count();
    (swapped, printed.len() - 1)
}

#[test]
fn the_events_of_two_servers_come_in_the_order_in_which_they_happened() {
    assert_eq!(unlike_what_happened(TimeDelta::zero()).0, 0, "pairs in the wrong order with equal clocks");
}

#[test]
fn the_events_of_two_servers_come_in_the_order_in_which_they_happened_whatever_their_clocks_say() {
    std::thread::scope(|scope| {
        for skew in [1_000, -60_000, 3_600_000] {
            scope.spawn(move || {
                let skew = TimeDelta::milliseconds(skew);
                let (swapped, all) = unlike_what_happened(skew);
                assert!(swapped * 100 <= all, "{swapped} of {all} pairs in the wrong order, clocks {skew} apart");
            });
        }
    });
}

#[test]
fn an_event_that_is_later_than_the_window_is_printed_when_it_comes() {
    let server = StandIn::new(|connection: &mut Connection| {
        connection.accept();
        connection.event(&stamped(0, "none", &now(TimeDelta::zero())));
        std::thread::sleep(Duration::from_millis(300));
        for number in 1..4 {
            connection.event(&stamped(number, "none", &now(TimeDelta::seconds(-10 * number.cast_signed()))));
            std::thread::sleep(Duration::from_millis(300));
        }
        connection.wait();
    });
    let outcome = run([&*server.remote(), "-f", "json", "-n4", "--timeout", "50s"]);
    assert_eq!((outcome.status, &*outcome.stderr), (0, ""));
    assert!(outcome.stdout.lines().map(|line| number_in(line.as_bytes())).eq((0..4).map(Some)), "{}", outcome.stdout);
}

#[test]
fn events_without_a_readable_timestamp_keep_their_place() {
    let time = |second: u64| format!("2027-01-15T08:00:0{second}Z");
    for unreadable in ["", "yesterday", "2027-01-15", "2027-13-45T99:00:00Z"] {
        let server = serving(move |connection| {
            for (number, time) in [
                (0, time(0)),
                (1, unreadable.to_owned()),
                (2, time(2)),
                (3, unreadable.to_owned()),
                (4, unreadable.to_owned()),
                (5, time(5)),
                (7, time(7)),
                (6, time(6)),
            ] {
                connection.event(&stamped(number, "none", &time));
            }
        });
        let mut follower = Follower::start(lxmon([&*server.0.remote(), "-f", "json", "--sort-window", "20s"]));
        server.1.recv_timeout(PATIENCE).unwrap();
        let numbers: Vec<_> = follower.terminate().iter().map(|line| number_in(line.as_bytes()).unwrap()).collect();
        assert!(numbers.iter().copied().eq(0..8), "{unreadable:?}: {numbers:?}");
    }
}

#[test]
fn without_a_window_events_come_in_the_order_of_arrival() {
    let server = serving(|connection| {
        for pair in 0..100 {
            send_swapped(connection, 2 * pair, "lxd01", TimeDelta::zero());
            send_swapped(connection, 1000 + 2 * pair, "lxd02", TimeDelta::hours(1));
        }
    });
    let numbers = follow(&[&server], &["--sort-window", "0"]).into_iter().map(|event| event.number % LATE);
    let sent = (0..100).flat_map(|pair| [2 * pair + 1, 2 * pair, 1001 + 2 * pair, 1000 + 2 * pair]);
    assert!(numbers.eq(sent));
}

#[test]
fn a_lone_event_waits_for_no_other_clock() {
    const EVENTS: u64 = 6;
    const WINDOW: Duration = Duration::from_millis(100);
    let (say, said) = mpsc::channel();
    let mut servers = Vec::new();
    // One clock is behind and one ahead: the events of neither may wait until the other clock shows the same time.
    for (begin, off) in [(0, TimeDelta::hours(-1)), (1, TimeDelta::hours(1))] {
        let say = say.clone();
        servers.push(StandIn::new(move |connection: &mut Connection| {
            connection.accept();
            for number in (begin..EVENTS).step_by(2) {
                std::thread::sleep(4 * WINDOW);
                // Fails if the test has already ended.
                let _ = say.send((number, Instant::now()));
                connection.event(&stamped(number, "none", &now(off)));
            }
            connection.wait();
        }));
    }
    let mut follower =
        Follower::start(lxmon([&*servers[0].remote(), &*servers[1].remote(), "-f", "json", "--sort-window", "100ms"]));
    for _ in 0..EVENTS {
        let (number, begun) = said.recv_timeout(PATIENCE).unwrap();
        follower.wait_for(|line| number_in(line.as_bytes()) == Some(number));
        assert!(begun.elapsed() < 10 * WINDOW, "{:?}", begun.elapsed());
    }
}
