//! Connections that are lost: made again where that can help, told every time, and never at the price of an event.

use crate::program::{Running, lxmon, run};
use crate::standin::{Connection, StandIn, numbered};

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
    assert_eq!((lines.len(), lines[0], lines[2]), (3, &*numbered(0), &*numbered(3)));
    let gap: serde_json::Value = serde_json::from_str(lines[1]).unwrap();
    assert_eq!((&gap["type"], &gap["metadata"]["dropped"]), (&"gap".into(), &0.into()));
    assert_eq!(gap["metadata"]["remote"], server.remote());
    assert!(gap["metadata"]["since"].is_string() && gap["metadata"]["until"].is_string(), "{gap}");
    assert!(outcome.stderr.contains("connection lost at "), "{}", outcome.stderr);
    assert!(outcome.stderr.contains(" s; events in between are lost\n"), "{}", outcome.stderr);
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

#[test]
fn the_signal_works_while_connecting_and_while_waiting_to_reconnect() {
    let server = StandIn::new(|connection: &mut Connection| {
        if connection.number > 0 {
            return connection.wait();
        }
        connection.accept();
        connection.event(&numbered(0));
        connection.end();
    });
    let mut running = Running::start(&mut lxmon([&*server.remote(), "-f", "json"]));
    running.line();
    crate::stream::wait_until(|| !server.requests().is_empty());
    running.signal(rustix::process::Signal::TERM);
    assert_eq!(running.end().status, 143);
}
