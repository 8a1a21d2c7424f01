//! The `pretty` format: columns, glyphs, and lines that fit the terminal.

use lxmon::event::json::Tape;
use lxmon::event::{Event, Message, RemoteId};
use lxmon::render::Surface;
use lxmon::render::pretty::{Options, Pretty, TimeStyle};
use unicode_width::UnicodeWidthStr as _;

const PIPE: Options = Options {
    surface: Surface { color: false, terminal: false },
    width: None,
    time: TimeStyle::Utc,
    show_project: true,
    remote_width: 0,
    utf8: true,
};

const TERMINAL: Options = Options { surface: Surface { color: false, terminal: true }, width: Some(110), ..PIPE };

fn print(options: Options, events: &[&str]) -> String {
    let mut pretty = Pretty::new(options);
    let mut out = Vec::new();
    for event in events {
        let event = Event::decode(Message::from(*event), RemoteId::default(), Tape::default()).unwrap();
        pretty.render(&event, None, &mut out);
    }
    String::from_utf8(out).unwrap()
}

const CREATED: &str = r#"{"type":"lifecycle","timestamp":"2026-11-23T14:03:07.412Z","metadata":{"action":"instance-created","source":"/1.0/instances/db1?project=web","requestor":{"username":"alice","protocol":"tls","address":"10.0.0.1:1"}},"location":"lxd02","project":"web"}"#;
const RENAMED: &str = r#"{"type":"lifecycle","timestamp":"2026-11-23T14:03:08Z","metadata":{"action":"profile-renamed","source":"/1.0/profiles/new","context":{"old_name":"old"}},"location":"lxd02","project":"default"}"#;
const RUNNING: &str = r#"{"type":"operation","timestamp":"2026-11-23T14:03:09.880Z","metadata":{"id":"a","class":"task","description":"Creating instance","created_at":"2026-11-23T14:03:07.831Z","status":"Running","status_code":103,"resources":{"containers":["/1.0/containers/db1"],"instances":["/1.0/instances/db1"]},"metadata":{"create_instance_from_image_unpack_progress":"Unpacking image: 43% (120MB/s)"},"err":""},"location":"lxd02","project":"web"}"#;
const DONE: &str = r#"{"type":"operation","timestamp":"2026-11-23T14:03:15.031Z","metadata":{"id":"a","class":"task","description":"Creating instance","created_at":"2026-11-23T14:03:07.831Z","status":"Success","status_code":200,"resources":{"instances":["/1.0/instances/db1"]},"err":""},"location":"lxd02","project":"web"}"#;
const FAILED: &str = r#"{"type":"operation","timestamp":"2026-11-23T14:03:16.002Z","metadata":{"id":"b","description":"Starting instance","status":"Failure","status_code":400,"resources":{"instances":["/1.0/instances/db2"]},"err":"no space left on device"},"location":"lxd01","project":"web"}"#;
const WARNING: &str = r#"{"type":"logging","timestamp":"2026-11-23T14:03:17.500Z","metadata":{"message":"Failed to update instance types","level":"warning","context":{"err":"lookup: no such host"}},"location":"lxd01"}"#;
const UNKNOWN: &str =
    r#"{"type":"weather","timestamp":"2026-11-23T14:03:18Z","metadata":{"sun":true},"location":"none"}"#;

#[test]
fn the_columns() {
    assert_eq!(
        print(TERMINAL, &[CREATED, RENAMED, RUNNING, RUNNING, DONE, FAILED, WARNING, UNKNOWN]),
        "14:03:07.412 + life  web      lxd02  instance-created    instance db1    by tls/alice\n\
         14:03:08.000 → life  default  lxd02  profile-renamed     profile new     was old\n\
         14:03:09.880 … op    web      lxd02  Creating instance   instance db1    Unpacking image: 43% (120MB/s)\n\
         14:03:15.031 ✓ op    web      lxd02  Creating instance   instance db1    7.2 s\n\
         14:03:16.002 ✗ op    web      lxd01  Starting instance   instance db2    Error: no space left on device\n\
         14:03:17.500 ! log            lxd01  Failed to update instance types  err=\"lookup: no such host\"\n\
         14:03:18.000 · weather                  {\"sun\":true}\n"
    );
}

#[test]
fn to_a_pipe_times_are_whole_and_lines_have_their_full_length() {
    let line = print(PIPE, &[WARNING]);
    assert!(line.starts_with("2026-11-23T14:03:17.500Z ! log "), "{line}");
    let long = WARNING.replace("no such host", &"very ".repeat(100));
    assert!(print(PIPE, &[&long]).len() > 500);
}

#[test]
fn a_line_never_exceeds_the_terminal_and_the_action_never_goes() {
    let long = CREATED
        .replace("db1", "a-rather-long-name-for-a-database")
        .replace(r#""requestor""#, r#""context":{"storage-pool":"default","type":"container"},"requestor""#);
    for width in [40, 60, 80, 120] {
        let options = Options { width: Some(width), ..TERMINAL };
        for event in [&*long, CREATED, RUNNING, FAILED, WARNING, UNKNOWN] {
            let line = print(options, &[event]);
            assert!(line.trim_end().width() <= width, "{width}: {line}");
        }
        assert!(print(options, &[&long]).contains("instance-created"), "{width}");
    }
    // As the width shrinks, parts disappear in this order: detail, requestor, member, project.
    let widths = |part: &str| {
        (30..240).find(|width| print(Options { width: Some(*width), ..TERMINAL }, &[&long]).contains(part))
    };
    let order = ["web", "lxd02", "by tls/alice", "type=container"].map(|part| widths(part).unwrap());
    assert!(order.is_sorted(), "{order:?}");
}

#[test]
fn the_reason_of_a_failure_is_worth_more_than_who_asked_for_it() {
    let failed =
        FAILED.replace(r#""err""#, r#""requestor":{"username":"alice","protocol":"tls","address":"10.0.0.1:1"},"err""#);
    let at = |width| print(Options { width: Some(width), show_project: false, ..TERMINAL }, &[&failed]);
    assert!(at(120).contains("by tls/alice  Error: no space left on device"), "{}", at(120));
    assert!(at(95).contains("instance db2    Error: no space left on device"), "{}", at(95));
}

#[test]
fn a_line_of_characters_that_others_make_wide_fits_too() {
    for text in ["❤\u{fe0f}", "1\u{fe0f}\u{20e3}", "👩\u{200d}👧", "漢", "e\u{301}"] {
        let line = print(TERMINAL, &[&WARNING.replace("Failed", &text.repeat(200))]);
        assert!(line.trim_end().width() <= 110 && line.contains("…"), "{}: {line}", line.trim_end().width());
    }
}

#[test]
fn a_new_day_gets_a_rule_on_a_terminal() {
    let next = CREATED.replace("2026-11-23", "2026-11-24");
    let lines = print(TERMINAL, &[CREATED, &next, &next]);
    assert_eq!(lines.lines().filter(|line| line.contains("── Tuesday, 24 November 2026 ──")).count(), 1, "{lines}");
    assert_eq!(print(PIPE, &[CREATED, &next]).lines().count(), 2);
}

#[test]
fn times_have_four_styles() {
    let start = |time| {
        let text = print(Options { time, ..TERMINAL }, &[CREATED, RENAMED]);
        text.lines().map(|line| line.split_whitespace().next().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(start(TimeStyle::Utc), ["14:03:07.412", "14:03:08.000"]);
    assert_eq!(start(TimeStyle::Delta), ["+0.000", "+0.588"]);
    let iso = chrono::DateTime::parse_from_rfc3339(&start(TimeStyle::Iso)[0]).unwrap();
    assert_eq!(iso.to_utc().to_rfc3339(), "2026-11-23T14:03:07.412+00:00");
    assert_eq!(start(TimeStyle::Local)[0].len(), "14:03:07.412".len());
}

#[test]
fn a_time_without_a_year_to_write_it_in_is_shown_as_it_came() {
    for time in ["9999-12-31T23:59:59-01:00", "0000-01-01T00:00:00+00:01"] {
        for options in [PIPE, TERMINAL] {
            let line = print(options, &[&CREATED.replace("2026-11-23T14:03:07.412Z", time)]);
            assert!(line.starts_with(&format!("{time} + life")), "{line}");
        }
    }
}

#[test]
fn without_utf_8_the_glyphs_are_ascii() {
    let lines = print(
        Options { utf8: false, width: Some(60), ..TERMINAL },
        &[CREATED, RENAMED, RUNNING, DONE, FAILED, WARNING, UNKNOWN],
    );
    assert!(lines.is_ascii(), "{lines}");
}

#[test]
fn progress_is_a_line_only_when_the_status_changes() {
    let pending = RUNNING.replace("\"Running\",\"status_code\":103", "\"Pending\",\"status_code\":105");
    let again = RUNNING.replace("43%", "44%");
    assert_eq!(print(PIPE, &[&pending, RUNNING, &again, DONE, RUNNING]).lines().count(), 4);
}

#[test]
fn operations_name_what_they_work_on_in_the_shapes_of_every_server() {
    // As LXD up to 6.6 and Incus, LXD 6.7, and LXD 6.8 and later send it. A project is shown if nothing else is named.
    for (resources, metadata, shown) in [
        (r#"{"instances":["/1.0/instances/db1"]}"#, "null", "instance db1"),
        (r#"{"instance":["/1.0/instances/db1"]}"#, r#"{"entity_url":"/1.0/projects/web"}"#, "instance db1"),
        ("{}", r#"{"entity_url":"/1.0/instances/db1/backups/b0?project=web"}"#, "backup db1/b0"),
        ("null", r#"{"entity_url":"/1.0/projects/web"}"#, "project web"),
    ] {
        let event = format!(
            r#"{{"type":"operation","timestamp":"2026-11-23T14:03:16.002Z","metadata":{{"id":"c","description":"Doing something","status":"Running","status_code":103,"resources":{resources},"metadata":{metadata}}},"location":"none","project":"web"}}"#
        );
        let line = print(PIPE, &[&event]);
        assert!(line.contains(&format!("Doing something     {shown}")), "{line}");
        assert_eq!(line.matches("web").count(), 1 + shown.matches("web").count(), "{line}");
    }
}
