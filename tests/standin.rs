//! The stand-in server itself: a script that panics fails its test, and slow clients are disconnected as the real
//! servers do it.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::sync::{Mutex, mpsc};
use std::time::Duration;

use crate::support::http::read_head;
use crate::support::standin::{Connection, Limits, StandIn, numbered};

/// A client that requests events and has read the head of the response.
fn client(server: &StandIn) -> UnixStream {
    let mut stream = UnixStream::connect(server.socket()).unwrap();
    stream.write_all(b"GET /1.0/events HTTP/1.1\r\nSec-WebSocket-Key: AA==\r\n\r\n").unwrap();
    assert!(read_head(&stream).starts_with("HTTP/1.1 101 "));
    stream
}

#[test]
fn a_script_that_panics_fails_the_test_that_started_it() {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    let server = StandIn::new(|connection: &mut Connection| {
        connection.accept();
        connection.is_answered(b"?");
    });
    let mut stream = client(&server);
    // A Close frame, masked with zeros, instead of the pong.
    stream.write_all(&[0x88, 0x80, 0, 0, 0, 0]).unwrap();
    let failure = catch_unwind(AssertUnwindSafe(|| drop(server))).unwrap_err();
    let failure = failure.downcast_ref::<String>().unwrap();
    assert!(failure.contains("the answer to a ping"), "{failure}");
}

#[test]
fn a_script_that_waits_for_the_test_or_whose_client_leaves_fails_nothing() {
    let (_go, wait) = mpsc::channel::<()>();
    let wait = Mutex::new(wait);
    let server = StandIn::new(move |connection: &mut Connection| {
        connection.accept();
        connection.is_answered(b"?");
        let _ = wait.lock().unwrap().recv();
    });
    drop(client(&server));
    drop(server);
}

#[test]
fn limits_end_the_connections_of_clients_that_do_not_keep_them() {
    let (second, long) = (Duration::from_millis(100), Duration::from_secs(600));
    for (limits, why) in [
        (Limits::LXD.with_times(second, long), "a write took more than 100ms"),
        (Limits::INCUS.with_times(long, long), "1000 events wait"),
        (Limits::LXD.with_times(long, second), "two pings are unanswered"),
    ] {
        let server = StandIn::with_limits(limits, move |connection: &mut Connection| {
            connection.accept();
            if limits.ping == long {
                while connection.event(&numbered(0)) {}
            }
            connection.wait();
        });
        let client = client(&server);
        crate::support::wait_until(|| !server.cuts().is_empty());
        assert_eq!(server.cuts(), [why]);
        // Everything that the server wrote before can still be read.
        (&client).read_to_end(&mut Vec::new()).unwrap();
    }
}

#[test]
fn limits_are_kept_by_a_client_that_reads_and_answers() {
    for limits in [Limits::LXD, Limits::INCUS] {
        const EVENTS: u64 = 1500;
        let limits = limits.with_times(Duration::from_secs(20), Duration::from_millis(500));
        let server = StandIn::with_limits(limits, |connection: &mut Connection| {
            connection.accept();
            for number in 0..EVENTS {
                connection.event(&numbered(number));
                if number % 300 == 0 {
                    std::thread::sleep(Duration::from_millis(250));
                }
            }
            assert!(connection.is_answered(b"all"), "the client has disconnected");
            connection.end();
        });
        let outcome = crate::support::program::run([&*server.remote(), "-f", "json", "--no-reconnect"]);
        assert!(outcome.stdout.lines().eq((0..EVENTS).map(numbered)), "{}", outcome.stderr);
        server.assert_never_cut();
    }
}
