//! Messages that are not events, and odd but valid events: the former are reported and skipped, the latter are printed.

use std::fmt::Write as _;

use lxmon::event::{Event, Message, RemoteId};
use lxmon::render::pretty::{Options, TimeStyle};
use lxmon::render::{Format, Renderer, Surface};
use serde_json::Value;

use crate::support::program::run;
use crate::support::standin::{Connection, StandIn, numbered, opcode};

/// An event of each type of the demonstration's session.
fn real() -> Vec<&'static str> {
    let session = include_str!("../src/source/demo/session.ndjson");
    let of = |kind: &str| session.lines().find(|line| line.starts_with(&format!("{{\"type\":\"{kind}\""))).unwrap();
    vec![of("lifecycle"), of("operation"), of("logging"), of("security")]
}

/// Returns whether `message` is accepted as an event; asserts that an accepted one can be printed in every format.
fn is_taken(message: &str) -> bool {
    let Ok(event) = Event::decode(Message::from(message), RemoteId::default(), None) else { return false };
    for surface in [Surface { color: false, terminal: false }, Surface { color: true, terminal: true }] {
        for format in [Format::Yaml, Format::Json, Format::Pretty, Format::Logfmt] {
            let width = surface.terminal.then_some(80);
            let pretty =
                Options { surface, width, time: TimeStyle::Utc, show_project: true, utf8: true, ..Options::default() };
            let mut out = Vec::new();
            Renderer::new(format, surface, &pretty).render(&event, None, &mut out);
            let text = String::from_utf8(out).unwrap();
            assert!(crate::support::claims::stripped(&text).ends_with('\n'), "{message}");
        }
    }
    true
}

/// Returns whether `message` is an event according to another JSON parser, `serde_json`.
fn is_event(message: &str) -> bool {
    message.parse().is_ok_and(|event: Value| event.get("type").is_some_and(Value::is_string))
}

#[test]
fn an_event_without_its_end_is_none() {
    for event in real() {
        for (end, _) in event.char_indices() {
            assert!(!is_taken(&event[..end]), "{}", &event[..end]);
        }
        assert!(is_taken(event));
    }
}

#[test]
fn with_a_byte_gone_or_another_in_its_place_it_is_what_other_readers_say_it_is() {
    let mut counts = [0, 0];
    let mut check = |bytes: Vec<u8>| {
        // Messages that are not UTF-8 are rejected before they are decoded.
        let Ok(message) = String::from_utf8(bytes) else { return };
        let taken = is_taken(&message);
        assert_eq!(taken, is_event(&message), "{message:?}");
        counts[usize::from(taken)] += 1;
    };
    for event in real() {
        for at in 0..event.len() {
            let (before, after) = (&event.as_bytes()[..at], &event.as_bytes()[at + 1..]);
            check([before, after].concat());
            for byte in [b'\0', b'\t', b'\n', 0x1f, 0x7f, b' ', b'"', b'\\', b'{', b']', b',', b':', b'-', b'0'] {
                check([before, &[byte], after].concat());
            }
        }
    }
    // A changed byte in a string usually leaves a valid event; in the JSON structure it usually does not.
    assert!(counts.iter().all(|count| *count > 1000), "{counts:?}");
}

#[test]
fn messages_that_are_no_events_are_told_once_a_kind_counted_and_skipped() {
    let server = StandIn::new(|connection: &mut Connection| {
        connection.accept();
        for _ in 0..3 {
            connection.event("hello\u{1b}[31m");
            connection.event("{}");
            connection.event("[1]");
            connection.event(&format!("{}{}", "[".repeat(10_000), "]".repeat(10_000)));
            connection.frame(true, opcode::BINARY, b"\0\xff");
        }
        connection.event(&numbered(0));
        connection.wait();
    });
    let outcome = run([&*server.remote(), "-f", "json", "-n1"]);
    assert_eq!((outcome.status, outcome.stdout.trim_end()), (0, &*numbered(0)));
    let stderr = outcome.stderr.replace(&server.remote(), "SERVER");
    for told in [
        "lxmon: SERVER: skipped a message that is not JSON (byte 1): hello\\x1b[31m\n",
        "lxmon: SERVER: skipped a message that is without a \"type\": {}\n",
        "lxmon: SERVER: skipped a message that is not a JSON object: [1]\n",
        "lxmon: SERVER: skipped a message that is JSON nested deeper than 256 levels: [[[",
        "lxmon: SERVER: skipped a message that is binary\n",
        "lxmon: SERVER: skipped 3 messages that are not JSON\n",
        "lxmon: SERVER: skipped 3 messages that are binary\n",
    ] {
        assert_eq!(stderr.matches(told).count(), 1, "{told}: {stderr}");
    }
    assert_eq!(stderr.lines().count(), 10, "{stderr}");
    let quiet = run([&*server.remote(), "-f", "json", "-n1", "-q"]);
    assert_eq!(&*quiet.stderr, "");
}

#[test]
fn broken_messages_between_events_take_nothing_from_them() {
    let event = real()[0];
    let mut broken: Vec<String> = event.char_indices().map(|(end, _)| event[..end].to_owned()).collect();
    for odd in
        ["", "  ", "\t\r\n", "\0", "{\"type\":\"a\0\"}", "{\"type\":\"\\ud8\"}", "\u{feff}{\"type\":\"x\"}", "nul"]
    {
        broken.push(odd.into());
    }
    broken.push(format!("{event}{event}"));
    broken.push(format!("\0{event}"));
    broken.push(event.replace(':', "="));
    let count = broken.len();
    let server = StandIn::new(move |connection: &mut Connection| {
        connection.accept();
        for (number, message) in (0..).zip(&broken) {
            connection.event(&numbered(number));
            connection.frame(true, opcode::TEXT, message.as_bytes());
        }
        connection.event(&numbered(broken.len() as u64));
        connection.wait();
    });
    let outcome = run([&*server.remote(), "-f", "json", "-n", &(count + 1).to_string()]);
    assert_eq!(outcome.status, 0);
    assert!(outcome.stdout.lines().eq((0..=count as u64).map(numbered)), "{}", outcome.stdout);
    let stderr = outcome.stderr.replace(&server.remote(), "SERVER");
    // The first message of a kind is reported, and at the end the number of all messages of that kind.
    let mut told = String::from("lxmon: SERVER: skipped a message that is not JSON (it ends too early): \n");
    writeln!(told, "lxmon: SERVER: skipped {count} messages that are not JSON").unwrap();
    assert_eq!(stderr, told);
}

#[test]
fn odd_but_valid_events_are_printed_as_they_came() {
    let deep = format!("{}{}", "[".repeat(255), "]".repeat(255));
    let odd = [
        r#"{"type":"x","type":"y","metadata":1,"metadata":2}"#.to_owned(),
        r#"{"type":"x","metadata":[1e999999,-1e-999999,123456789012345678901234567890,0.10]}"#.into(),
        r#"{"type":"x","metadata":"\ud800 \udc00 \udc00\ud800 \u0000"}"#.into(),
        format!(r#"{{"type":"x","metadata":{deep}}}"#),
        r#"{"type":""}"#.into(),
        r#"{"metadata":{"type":"z"},"":{"":[]},"type":"x","location":7,"project":null,"timestamp":{}}"#.into(),
        "{\"type\":\"x\",\"metadata\":\"\u{7f}\u{85}\u{2028}\u{feff}\u{fffe}\u{10ffff}\"}".into(),
        r#"  {  "type"  :  "x"  }"#.into(),
    ];
    let sent = odd.clone();
    let server = StandIn::new(move |connection: &mut Connection| {
        connection.accept();
        for event in &sent {
            connection.event(event);
        }
        connection.wait();
    });
    let count = odd.len().to_string();
    let outcome = run([&*server.remote(), "-f", "json", "--sort-window", "0", "-n", &count]);
    assert_eq!((outcome.status, &*outcome.stderr), (0, ""));
    assert!(outcome.stdout.split_terminator('\n').eq(odd.iter().map(|event| event.trim())), "{}", outcome.stdout);
    for format in ["yaml", "pretty", "logfmt"] {
        let outcome = run([&*server.remote(), "-f", format, "-n", &count, "--color", "always"]);
        assert_eq!((outcome.status, &*outcome.stderr), (0, ""), "{format}");
    }
}
