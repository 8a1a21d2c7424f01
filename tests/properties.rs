//! Properties of every event: the output can be parsed back, colours do not change the text, and nothing is printed
//! that a terminal would interpret as a control sequence.

use lxmon::event::{Event, Message, RemoteId};
use lxmon::render::pretty::{Options, TimeStyle};
use lxmon::render::{Format, Renderer, Surface, sanitize};
use proptest::prelude::*;
use serde_json::Value;
use serde_yaml::Value as Yaml;

use crate::support::claims::{COLOR, PIPE, TERMINAL, same, stripped};

fn render(format: Format, surface: Surface, width: Option<usize>, event: &str, remote: Option<&str>) -> String {
    let pretty = Options { surface, width, time: TimeStyle::Utc, show_project: true, utf8: true, ..Options::default() };
    let event = Event::decode(Message::from(event), RemoteId::default(), None).unwrap();
    let mut out = Vec::new();
    Renderer::new(format, surface, &pretty).render(&event, remote, &mut out);
    String::from_utf8(out).unwrap()
}

const FORMATS: [Format; 4] = [Format::Yaml, Format::Json, Format::Pretty, Format::Logfmt];

proptest! {
    #[test]
    fn json_is_what_came_and_yaml_reads_back(event in crate::support::arbitrary::event()) {
        let json = render(Format::Json, PIPE, None, &event, None);
        prop_assert_eq!(json.trim_end_matches('\n'), &event);
        let wanted: Value = serde_json::from_str(&event).unwrap();
        let yaml = render(Format::Yaml, PIPE, None, &event, None);
        let back: Yaml = serde_yaml::from_str(&yaml).map_err(|error| TestCaseError::fail(format!("{error}\n{yaml}")))?;
        prop_assert!(same(&wanted, &back), "{}\n{:?}", yaml, back);
    }

    #[test]
    fn the_remote_is_in_every_format(event in crate::support::arbitrary::event()) {
        let json: Value = serde_json::from_str(&render(Format::Json, PIPE, None, &event, Some("n1"))).unwrap();
        let yaml: Yaml = serde_yaml::from_str(&render(Format::Yaml, PIPE, None, &event, Some("n1"))).unwrap();
        prop_assert_eq!(json["remote"].as_str(), Some("n1"));
        prop_assert!(same(&json, &yaml));
        prop_assert!(render(Format::Logfmt, PIPE, None, &event, Some("n1")).contains(" remote=n1"));
        prop_assert!(render(Format::Pretty, PIPE, None, &event, Some("n1")).contains("n1"));
    }

    #[test]
    fn no_event_poses_as_another_remotes(
        event in crate::support::arbitrary::event(),
        own in prop::sample::select(vec![
            r#""remote":"prod""#, r#""r\u0065mote":"prod""#, r#""remote":{"remote":"prod"}"#, r#""Remote":1,"\u0072emote":"prod","remote":2"#,
        ]),
        at_end: bool,
    ) {
        let spoof = if at_end {
            format!("{},{own}}}", event.strip_suffix('}').unwrap())
        } else {
            format!("{{{own},{}", event.strip_prefix('{').unwrap())
        };
        let text = render(Format::Json, PIPE, None, &spoof, Some("n1"));
        let json: Value = serde_json::from_str(&text).unwrap();
        let yaml: Yaml = serde_yaml::from_str(&render(Format::Yaml, PIPE, None, &spoof, Some("n1"))).unwrap();
        prop_assert_eq!(json["remote"].as_str(), Some("n1"));
        prop_assert!(same(&json, &yaml));
        let mut wanted: Value = serde_json::from_str(&spoof).unwrap();
        wanted["remote"] = "n1".into();
        prop_assert_eq!(json, wanted);
        let logfmt = render(Format::Logfmt, PIPE, None, &spoof, Some("n1"));
        prop_assert!(logfmt.contains(" remote=n1") && !logfmt.contains(" remote=prod"), "{}", logfmt);
        // With a single remote, the event is printed unchanged.
        prop_assert_eq!(render(Format::Json, PIPE, None, &spoof, None), format!("{spoof}\n"));
    }

    #[test]
    fn one_line_each_but_for_yaml(event in crate::support::arbitrary::event()) {
        for format in [Format::Json, Format::Logfmt] {
            let text = render(format, PIPE, None, &event, None);
            prop_assert_eq!(text.matches('\n').count(), 1, "{:?}: {}", format, text);
        }
        // Further lines of the pretty format, with a reason, are indented.
        let text = render(Format::Pretty, PIPE, None, &event, None);
        prop_assert!(!text.starts_with(' ') && text.lines().skip(1).all(|line| line.starts_with("  ")), "{}", text);
    }

    #[test]
    fn lines_and_rows_of_the_pretty_format_fit_every_terminal(
        events in prop::collection::vec(crate::support::arbitrary::event(), 1..4),
    ) {
        crate::support::claims::pretty(events.join("\n").as_bytes());
    }

    #[test]
    fn colours_stripped_are_the_plain_text(event in crate::support::arbitrary::event()) {
        for format in FORMATS {
            let plain = render(format, TERMINAL, None, &event, None);
            prop_assert_eq!(stripped(&render(format, COLOR, None, &event, None)), plain);
        }
    }

    #[test]
    fn no_control_character_reaches_a_terminal(event in crate::support::arbitrary::event(), width in 20usize..140) {
        for format in FORMATS {
            let text = stripped(&render(format, COLOR, Some(width), &event, None));
            prop_assert!(!text.chars().any(|c| c != '\n' && sanitize::is_control(c)), "{:?}: {:?}", format, text);
        }
        // The pretty format is for people, so its text is escaped even in a file.
        let text = render(Format::Pretty, PIPE, None, &event, None);
        prop_assert!(!text.chars().any(|c| c != '\n' && sanitize::is_control(c)), "{:?}", text);
    }
}
