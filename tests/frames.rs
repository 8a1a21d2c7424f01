//! Frames that no real server sends: truncated, one byte at a time, invalid, or far too many.

use std::sync::mpsc;
use std::time::Duration;

use crate::support::program::{Follower, Outcome, PATIENCE, lxmon, run};
use crate::support::standin::{Connection, StandIn, frame, numbered, opcode};

/// Follows a server that sends an event and then these bytes, and keeps the connection open.
fn after_an_event(bytes: Vec<u8>) -> Outcome {
    let server = StandIn::new(move |connection: &mut Connection| {
        connection.accept();
        connection.event(&numbered(0));
        connection.write(&bytes);
        connection.wait();
    });
    let mut outcome = run([&*server.remote(), "-f", "json", "--no-reconnect"]);
    outcome.stderr = outcome.stderr.replace(&server.remote(), "SERVER");
    outcome
}

#[test]
fn frames_that_break_the_protocol_end_the_connection_and_what_came_before_is_printed() {
    for (bytes, says) in [
        (frame(true, 3, b"x"), "broke the WebSocket protocol"),
        (vec![0xc1, 1, b'x'], "broke the WebSocket protocol"),
        (vec![0xa1, 1, b'x'], "broke the WebSocket protocol"),
        (vec![0x91, 1, b'x'], "broke the WebSocket protocol"),
        (frame(true, opcode::CONTINUATION, b"x"), "broke the WebSocket protocol"),
        (frame(false, opcode::PING, b"x"), "broke the WebSocket protocol"),
        (vec![0x81, 0x85, 1, 2, 3, 4, 5, 6, 7, 8, 9], "broke the WebSocket protocol"),
        (vec![0x81, 0x7f, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], "the limit is 67108864"),
        (frame(true, opcode::PING, &[b'x'; 126]), "broke the WebSocket protocol"),
        (frame(true, opcode::CLOSE, b"\x03"), "broke the WebSocket protocol"),
        (frame(true, opcode::TEXT, b"{\"type\":\"\xff\"}"), "the server sent a message that is not UTF-8"),
        ([frame(false, opcode::TEXT, b"a"), frame(true, opcode::TEXT, b"b")].concat(), "broke the WebSocket protocol"),
    ] {
        let outcome = after_an_event(bytes);
        assert_eq!((outcome.status, outcome.stdout.trim_end()), (1, &*numbered(0)), "{says}");
        assert!(outcome.stderr.contains(says), "{says}: {}", outcome.stderr);
    }
}

#[test]
fn the_servers_last_words_are_shown_escaped_and_nothing_after_them_counts() {
    for (payload, says) in [
        (&b""[..], "the server closed the connection"),
        (b"\x03\xe8", "the server closed the connection (code 1000)"),
        (b"\x03\xe9going down", "the server closed the connection: going down (code 1001)"),
        (b"\x03\xf3\x1b[2J\r\n\xc2\x9b", "the server closed the connection: \\x1b[2J\\r\\n\\x9b (code 1011)"),
    ] {
        let close = frame(true, opcode::CLOSE, payload);
        let half = frame(false, opcode::TEXT, b"{");
        for before in [Vec::new(), half] {
            let after = frame(true, opcode::TEXT, numbered(1).as_bytes());
            let outcome = after_an_event([&*before, &close, &after].concat());
            assert_eq!((outcome.status, outcome.stdout.trim_end()), (1, &*numbered(0)), "{says}");
            assert_eq!(outcome.stderr, format!("lxmon: SERVER: connection lost: {says}\n"));
        }
    }
}

#[test]
fn a_frame_that_ends_too_early_is_no_event() {
    let whole = frame(true, opcode::TEXT, numbered(1).as_bytes());
    // Cuts within the header, right after it, and before the last byte.
    for cut in [1, 2, 3, 4, whole.len() - 1] {
        let whole = whole.clone();
        let server = StandIn::new(move |connection: &mut Connection| {
            connection.accept();
            connection.event(&numbered(0));
            connection.write(&whole[..cut]);
            connection.end();
        });
        let outcome = run([&*server.remote(), "-f", "json", "--no-reconnect"]);
        assert_eq!((outcome.status, outcome.stdout.trim_end()), (1, &*numbered(0)), "{cut}");
        assert!(outcome.stderr.ends_with("connection lost: the server closed the connection\n"), "{}", outcome.stderr);
    }
}

#[test]
fn a_byte_at_a_time_is_fast_enough() {
    let server = StandIn::new(|connection: &mut Connection| {
        connection.accept();
        let event = numbered(1);
        let (first, second) = event.as_bytes().split_at(100);
        let wire = [
            frame(true, opcode::TEXT, numbered(0).as_bytes()),
            frame(false, opcode::TEXT, first),
            frame(true, opcode::PING, b"within"),
            frame(true, opcode::CONTINUATION, second),
            frame(true, opcode::TEXT, numbered(2).as_bytes()),
        ];
        for byte in wire.concat() {
            connection.write(&[byte]);
        }
        connection.wait();
    });
    let outcome = run([&*server.remote(), "-f", "json", "-n3"]);
    assert_eq!((outcome.status, &*outcome.stderr), (0, ""));
    assert!(outcome.stdout.lines().eq((0..3).map(numbered)), "{}", outcome.stdout);
}

#[test]
fn messages_of_64_mib_are_taken_in_one_frame_or_many_and_longer_ones_are_not() {
    const MOST: usize = 64 << 20;
    let big = |size: usize| {
        let frame = r#"{"type":"x","metadata":""}"#.len();
        format!(r#"{{"type":"x","metadata":"{}"}}"#, "a".repeat(size - frame)).into_bytes()
    };
    let server = StandIn::new(move |connection: &mut Connection| {
        connection.accept();
        let message = big(MOST);
        connection.frame(true, opcode::TEXT, &message);
        let middle = message.len() / 3;
        connection.frame(false, opcode::TEXT, &message[..middle]);
        connection.frame(true, opcode::PING, b"are you there");
        connection.frame(false, opcode::CONTINUATION, &message[middle..2 * middle]);
        connection.frame(true, opcode::CONTINUATION, &message[2 * middle..]);
        connection.frame(true, opcode::TEXT, &big(MOST + 1));
        connection.wait();
    });
    let outcome = run([&*server.remote(), "-f", "json", "--no-reconnect", "--sort-window", "0", "--buffer", "256MiB"]);
    assert_eq!(outcome.status, 1);
    assert_eq!(outcome.stdout.lines().map(str::len).collect::<Vec<_>>(), [MOST, MOST]);
    assert!(outcome.stderr.contains("a message of 67108865 bytes; the limit is 67108864"), "{}", outcome.stderr);
}

#[test]
fn pings_are_answered_and_nothing_else_is_sent() {
    let server = StandIn::new(|connection: &mut Connection| {
        connection.accept();
        for payload in [&b"one"[..], b""] {
            connection.is_answered(payload);
        }
        if connection.is_quiet(Duration::from_millis(300)) {
            connection.event(&numbered(0));
        }
        connection.wait();
    });
    let outcome = run([&*server.remote(), "-f", "json", "-n1", "--timeout", "20s"]);
    assert_eq!((outcome.status, outcome.stdout.trim_end()), (0, &*numbered(0)));
}

#[test]
fn a_pong_that_nobody_takes_costs_no_event() {
    // More than one read returns, but no more than the socket buffers hold.
    const EVENTS: u64 = 1000;
    let server = StandIn::new(|connection: &mut Connection| {
        connection.accept();
        // Everything is written at once, and the connection closed, before the client can answer.
        let mut wire = frame(true, opcode::PING, b"are you there");
        for number in 0..EVENTS {
            wire.extend(frame(true, opcode::TEXT, numbered(number).as_bytes()));
        }
        connection.write(&wire);
        connection.end();
    });
    let outcome = run([&*server.remote(), "-f", "json", "--no-reconnect"]);
    assert!(outcome.stdout.lines().eq((0..EVENTS).map(numbered)), "{}", outcome.stdout.lines().count());
    // If the pong arrives before the server closes the socket, the close becomes a reset, because the pong is unread.
    assert!(
        ["the server closed the connection", "Connection reset by peer"]
            .iter()
            .any(|reason| outcome.stderr.ends_with(&format!("connection lost: {reason}\n"))),
        "{}",
        outcome.stderr
    );
}

#[test]
fn a_flood_of_pings_takes_little_memory_and_what_comes_after_it_is_printed() {
    let server = StandIn::new(|connection: &mut Connection| {
        connection.accept();
        // The server reads nothing meanwhile, so that the pongs fill the socket's buffers.
        let ping = frame(true, opcode::PING, &[b'x'; 125]);
        for _ in 0..100 {
            connection.write(&ping.repeat(1000));
        }
        connection.event(&numbered(0));
        for _ in 0..10 {
            if connection.read_frame() != Some((opcode::PONG, vec![b'x'; 125])) {
                return connection.end();
            }
        }
        connection.event(&numbered(1));
        connection.wait();
    });
    let mut running = Follower::start(&mut lxmon([&*server.remote(), "-f", "json", "--no-reconnect"]));
    assert_eq!([running.line(), running.line()].map(|line| line.trim_end().to_owned()), [0, 1].map(numbered));
    let most = running.peak_memory();
    assert!(most < 64 << 10, "{most} kB");
    running.signal(rustix::process::Signal::TERM);
    assert_eq!(running.end().stderr, "");
}

#[test]
fn a_flood_of_empty_and_binary_messages_takes_little_memory_while_nothing_is_read() {
    const EACH: u64 = 500_000;
    fn flood(connection: &mut Connection) {
        for opcode in [opcode::BINARY, opcode::TEXT] {
            // One large write, so that the client always finds more messages to read.
            connection.write(&frame(true, opcode, b"").repeat(usize::try_from(EACH).unwrap()));
        }
    }
    let (say, said) = mpsc::channel();
    let server = StandIn::new(move |connection: &mut Connection| {
        connection.accept();
        flood(connection);
        // Enough events to block the output.
        for number in 0..20_000 {
            connection.event(&numbered(number));
        }
        flood(connection);
        let _ = say.send(connection.is_answered(b"all"));
        connection.end();
    });
    let running = Follower::start(&mut lxmon([&*server.remote(), "-f", "json", "--no-reconnect"]));
    assert!(said.recv_timeout(PATIENCE).unwrap(), "the client has not read everything");
    let most = (running.peak_memory() - running.mapped_memory()) >> 10;
    println!("{most} MiB besides the program");
    assert!(most < 12, "{most} MiB");
    let outcome = running.end();
    assert!(outcome.stdout.lines().eq((0..20_000).map(numbered)), "{}", outcome.stdout.lines().count());
    for what in ["binary", "not JSON"] {
        let count = format!("skipped {} messages that are {what}", 2 * EACH);
        assert!(outcome.stderr.contains(&count), "{}", outcome.stderr);
    }
}
