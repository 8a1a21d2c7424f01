//! Printing an event takes a small multiple of its size in memory, whatever its structure is.

use lxmon::event::{Event, Message, RemoteId};
use lxmon::render::pretty::{Options, TimeStyle};
use lxmon::render::{Format, Renderer, Surface};

use crate::golden::yaml;
use crate::support::claims::{COLOR, PIPE, TERMINAL, same, stripped};
use crate::support::program::{Follower, lxmon};
use crate::support::standin::{Connection, StandIn};

/// An event whose metadata contains `content` within `depth` nested lists.
pub(crate) fn nested(depth: usize, content: &str) -> String {
    format!(
        r#"{{"type":"logging","timestamp":"2026-01-01T00:00:00Z","metadata":{{"message":"m","level":"info","context":{{"x":{}{content}{}}}}}}}"#,
        "[".repeat(depth),
        "]".repeat(depth)
    )
}

/// The inside of a list with this item so many times.
pub(crate) fn list(item: &str, times: usize) -> String {
    format!("{item},").repeat(times - 1) + item
}

/// JSON values with many small parts, each of about `bytes` to twice as many bytes.
fn contents(bytes: usize) -> Vec<(&'static str, String)> {
    let filled = |item: &str| list(item, bytes / (item.len() + 1));
    let members: Vec<_> = (0..bytes / 5).map(|number| format!(r#""{number:06}":0"#)).collect();
    vec![
        ("numbers", filled("0")),
        ("floats", filled("1e5")),
        ("empty lists", filled("[]")),
        ("towers of lists", list("[[[]]]", bytes / 3)),
        ("small objects", list(r#"{"a":0}"#, bytes / 4)),
        ("members", format!("{{{}}}", members.join(","))),
        ("words in a line", format!(r#""{}""#, "a ".repeat(bytes / 2))),
        ("words in an escaped line", format!(r#""\u0000{}""#, "a ".repeat(bytes / 2))),
        ("quoted words", format!(r#""'{}""#, "a ".repeat(bytes / 2))),
        ("lines", format!(r#""{}""#, r"a\n".repeat(bytes / 3))),
        ("controls", format!(r#""{}""#, "\u{85}".repeat(bytes / 2))),
        ("tags", format!(r#""{}""#, "\u{e0041}".repeat(bytes / 4))),
        ("quotes", format!(r#""{}""#, r#"\""#.repeat(bytes / 2))),
    ]
}

fn render(format: Format, surface: Surface, text: &str) -> String {
    let pretty = Options { surface, time: TimeStyle::Utc, show_project: true, utf8: true, ..Options::default() };
    let event = Event::decode(Message::from(text), RemoteId::default(), None).unwrap();
    // Each value takes eight bytes of the tape, whose capacity may be twice its length.
    assert!(event.size() <= 9 * text.len() + 1024, "{} for {}", event.size(), text.len());
    let mut out = Vec::new();
    Renderer::new(format, surface, &pretty).render(&event, None, &mut out);
    String::from_utf8(out).unwrap()
}

#[test]
fn the_output_is_bounded_by_the_events_size() {
    const SIZE: usize = 40_000;
    for (what, content) in contents(SIZE) {
        let text = nested(250, &content);
        for format in [Format::Yaml, Format::Json, Format::Pretty, Format::Logfmt] {
            for surface in [PIPE, TERMINAL, COLOR] {
                let length = render(format, surface, &text).len();
                // lxc's YAML would be about a hundred times as long.
                let most = if format == Format::Yaml { 2 * text.len() + (5 << 20) } else { 5 * text.len() };
                let most = if surface == COLOR { most + 6 * text.len() } else { most };
                assert!(length <= most, "{what} in {format:?}: {length} for {}", text.len());
            }
        }
    }
}

#[test]
fn what_would_grow_is_printed_in_flow_style_and_reads_back() {
    // The depth is 80, because YAML readers fail at about a hundred levels.
    for (what, content) in contents(150_000) {
        let text = nested(80, &content);
        let document = yaml(&text);
        let back: serde_yaml::Value = serde_yaml::from_str(&document).unwrap();
        let wanted: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert!(same(&wanted, &back), "{what}");
        // Without its colours, the coloured document is the same.
        if what.contains("lists") {
            assert_eq!(stripped(&render(Format::Yaml, COLOR, &text)), render(Format::Yaml, TERMINAL, &text), "{what}");
        }
        let flows = document.lines().any(|line| line.starts_with("metadata: {"));
        // In block style, these are as long as in JSON, whatever their depth.
        let is_flat = ["controls", "tags", "quotes"].contains(&what);
        assert_eq!(flows, !is_flat, "{what}: {} bytes", document.len());
    }
}

#[test]
fn flow_style_is_made_of_double_quotes_and_short_lines() {
    let long = "k".repeat(129);
    let zeros = list("0", 100_000);
    let text = nested(
        80,
        &format!(r#"{{"b":"yes","a":[1e5,null,true,[],{{}}],"b":"\ud83d\ude00\u2028\/","{long}":-0.50}},{zeros}"#),
    );
    let document = yaml(&text);
    assert!(document.lines().skip(8).all(|line| line.len() < 250), "{}", &document[..2000]);
    let document = document.replace(",\n  ", ", ");
    assert!(document.starts_with("---\nmetadata: {\"context\": {\"x\": [["), "{}", &document[..200]);
    let start = document.find("[{\"a\": [1.0e+5, null, true, [], {}]").unwrap();
    assert!(document[start..].contains("\"b\": \"\\U0001F600\\L/\""), "{}", &document[start..start + 300]);
    assert!(document[start..].contains(&format!("? \"{long}\" : -0.50}}, 0, 0")), "{}", &document[start..start + 300]);
    assert!(document.ends_with(
        "]}, \"level\": \"info\", \"message\": \"m\"}\ntimestamp: \"2026-01-01T00:00:00Z\"\ntype: logging\n"
    ));
}

#[test]
fn the_program_takes_a_small_multiple_of_an_events_size() {
    const SIZE: usize = 1 << 20;
    let text = nested(250, &list("0", SIZE / 2));
    let server = StandIn::new(move |connection: &mut Connection| {
        connection.accept();
        connection.event(&text);
        connection.event(&crate::support::standin::numbered(0));
        connection.wait();
    });
    for format in ["yaml", "pretty", "logfmt", "json"] {
        let mut running = Follower::start(&mut lxmon([&*server.remote(), "-f", format]));
        while !running.line().contains("instance-started") {}
        // In kB, besides the program. The tape is four times as long as the text of the numbers; lxc's YAML would take
        // about 250 MiB.
        let peak = running.peak_memory() - running.mapped_memory();
        assert!(peak < 24_000, "{format}: {peak} kB");
    }
}
