//! The `pretty` format: columns, glyphs, and lines that fit the terminal.

use std::time::Duration;

use lxmon::event::{Event, Message, RemoteId};
use lxmon::render::Surface;
use lxmon::render::pretty::{Options, Pretty, TimeStyle};
use unicode_width::UnicodeWidthStr as _;

use crate::support::program::run;

const PIPE: Options = Options {
    surface: Surface { color: false, terminal: false },
    width: None,
    time: TimeStyle::Utc,
    show_project: true,
    remote_width: 0,
    utf8: true,
    live_rows: false,
};

const TERMINAL: Options =
    Options { surface: Surface { color: false, terminal: true }, width: Some(120), live_rows: true, ..PIPE };

fn print(options: Options, events: &[&str]) -> String {
    let mut pretty = Pretty::new(options);
    let mut out = Vec::new();
    for event in events {
        let event = Event::decode(Message::from(*event), RemoteId::default(), None).unwrap();
        pretty.render(&event, None, &mut out);
    }
    String::from_utf8(out).unwrap()
}

const CREATED: &str = r#"{"type":"lifecycle","timestamp":"2026-11-23T14:03:07.412Z","metadata":{"action":"instance-created","source":"/1.0/instances/db1?project=web","requestor":{"username":"alice","protocol":"tls","address":"10.0.0.1:1"}},"location":"lxd02","project":"web"}"#;
const RENAMED: &str = r#"{"type":"lifecycle","timestamp":"2026-11-23T14:03:08Z","metadata":{"action":"profile-renamed","source":"/1.0/profiles/new","context":{"old_name":"old"}},"location":"lxd02","project":"default"}"#;
const RUNNING: &str = r#"{"type":"operation","timestamp":"2026-11-23T14:03:09.880Z","metadata":{"id":"a","class":"task","description":"Creating instance","created_at":"2026-11-23T14:03:07.831Z","status":"Running","status_code":103,"resources":{"containers":["/1.0/containers/db1"],"instances":["/1.0/instances/db1"]},"metadata":{"create_instance_from_image_unpack_progress":"Unpacking image: 43% (120MB/s)"},"err":""},"location":"lxd02","project":"web"}"#;
const DONE: &str = r#"{"type":"operation","timestamp":"2026-11-23T14:03:15.031Z","metadata":{"id":"a","class":"task","description":"Creating instance","created_at":"2026-11-23T14:03:07.831Z","status":"Success","status_code":200,"resources":{"instances":["/1.0/instances/db1"]},"err":""},"location":"lxd02","project":"web"}"#;
const FAILED: &str = r#"{"type":"operation","timestamp":"2026-11-23T14:03:16.002Z","metadata":{"id":"b","description":"Starting instance","created_at":"2026-11-23T14:02:45.402Z","status":"Failure","status_code":400,"resources":{"instances":["/1.0/instances/db2"]},"err":"no space left on device"},"location":"lxd01","project":"web"}"#;
const WARNING: &str = r#"{"type":"logging","timestamp":"2026-11-23T14:03:17.500Z","metadata":{"message":"Failed to update instance types","level":"warning","context":{"err":"lookup: no such host"}},"location":"lxd01"}"#;
const UNKNOWN: &str =
    r#"{"type":"weather","timestamp":"2026-11-23T14:03:18Z","metadata":{"sun":true},"location":"none"}"#;

#[test]
fn the_columns() {
    assert_eq!(
        print(TERMINAL, &[CREATED, RENAMED, RUNNING, RUNNING, DONE, FAILED, WARNING, UNKNOWN]),
        "14:03:07.412 + web       lxd02    db1                 instance-created            by tls/alice from 10.0.0.1\n\
         14:03:08.000 → default   lxd02    profile new         profile-renamed             old → new\n\
         14:03:15.031 ✓ web       lxd02    db1                 Creating instance           7.2 s\n\
         14:03:16.002 ✗ web       lxd01    db2                 Starting instance           failed after 30.6 s\n\
         \x20                                                     no space left on device\n\
         14:03:17.500 !           lxd01                        warning: Failed to update instance types: lookup: no such host\n\
         14:03:18.000 ·                                        weather                     {\"sun\":true}\n"
    );
}

#[test]
fn to_a_pipe_an_operation_has_a_line_when_it_begins_and_one_when_it_ends() {
    assert_eq!(
        print(PIPE, &[RUNNING, RUNNING, DONE, FAILED]),
        "2026-11-23T14:03:09.880Z … web           lxd02       db1                           Creating instance           43 %  120 MB/s  Unpacking image\n\
         2026-11-23T14:03:15.031Z ✓ web           lxd02       db1                           Creating instance           7.2 s\n\
         2026-11-23T14:03:16.002Z ✗ web           lxd01       db2                           Starting instance           failed after 30.6 s\n\
         \x20                                                                                  no space left on device\n"
    );
}

#[test]
fn to_a_pipe_times_are_whole_and_lines_have_their_full_length() {
    let line = print(PIPE, &[WARNING]);
    assert!(line.starts_with("2026-11-23T14:03:17.500Z ! "), "{line}");
    let long = WARNING.replace("no such host", &"very ".repeat(100));
    assert!(print(PIPE, &[&long]).len() > 500);
}

#[test]
fn a_line_never_exceeds_the_terminal_and_neither_action_nor_reason_is_cut() {
    let long = CREATED
        .replace("db1", "a-rather-long-name-for-a-database")
        .replace("instance-created", "storage-volume-snapshot-created")
        .replace(r#""requestor""#, r#""context":{"storage-pool":"default","type":"container"},"requestor""#);
    let failed = FAILED.replace("no space left", &"no-space-left ".repeat(40));
    for width in [60, 80, 100, 120, 160, 200] {
        let options = Options { width: Some(width), ..TERMINAL };
        for event in [&*long, CREATED, RUNNING, &failed, WARNING, UNKNOWN] {
            for line in print(options, &[event]).lines() {
                assert!(line.trim_end().width() <= width, "{width}: {line}");
            }
        }
        assert!(print(options, &[&long]).contains("storage-volume-snapshot-created"), "{width}");
        assert!(print(options, &[CREATED]).contains("db1 "), "{width}");
        assert_eq!(print(options, &[&failed]).matches("no-space-left").count(), 40, "{width}");
    }
    for width in 20..60 {
        for line in print(Options { width: Some(width), ..TERMINAL }, &[&long, &failed]).lines() {
            assert!(line.width() <= width, "{width}: {line}");
        }
    }
}

#[test]
fn all_lines_of_a_session_have_their_columns_at_the_same_places() {
    for width in [60, 80, 100, 120, 160, 200] {
        let text = print(Options { width: Some(width), ..TERMINAL }, &[CREATED, DONE, FAILED]);
        let at = |what: &str| {
            let line = text.lines().find(|line| line.contains(what)).unwrap();
            line[..line.find(what).unwrap()].width()
        };
        assert_eq!(at("instance-created"), at("Creating instance"), "{text}");
        assert_eq!(at("instance-created"), at("Starting instance"), "{text}");
        assert_eq!(at("db1"), at("db2"), "{text}");
    }
}

#[test]
fn a_terminal_that_is_resized_has_new_columns_from_the_next_line_on() {
    let mut pretty = Pretty::new(TERMINAL);
    let created = Event::decode(Message::from(CREATED), RemoteId::default(), None).unwrap();
    let line = |pretty: &mut Pretty| {
        let mut out = Vec::new();
        pretty.render(&created, None, &mut out);
        String::from_utf8(out).unwrap()
    };
    let wide = line(&mut pretty);
    pretty.resize(Some(60));
    let narrow = line(&mut pretty);
    assert!(narrow.trim_end().width() <= 60 && narrow != wide, "{narrow}");
    pretty.resize(Some(120));
    assert_eq!(line(&mut pretty), wide);
}

#[test]
fn an_operation_in_progress_has_one_row_with_the_columns_of_its_line() {
    let running = Event::decode(Message::from(RUNNING), RemoteId::default(), None).unwrap();
    let row = |options: Options| {
        let mut pretty = Pretty::new(options);
        let mut out = Vec::new();
        // A row is no line: rendering it again changes nothing.
        for _ in 0..2 {
            out.clear();
            pretty.render_running(&running, None, Duration::from_secs(12), &mut out);
        }
        String::from_utf8(out).unwrap()
    };
    assert_eq!(
        row(TERMINAL),
        "14:03:07.831 … web       lxd02    db1                 Creating instance           43 %    120 MB/s  0:12  Unpacking ima…\n"
    );
    let ascii = row(Options { utf8: false, width: Some(80), ..TERMINAL });
    assert!(ascii.starts_with("14:03:07.831 : web") && ascii.trim_end().width() <= 80 && ascii.is_ascii(), "{ascii}");
    for width in 20..200 {
        let row = row(Options { width: Some(width), ..TERMINAL });
        assert!(row.lines().count() == 1 && row.trim_end().width() <= width, "{width}: {row}");
    }
}

#[test]
fn the_count_is_of_events_that_were_printed() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("events.ndjson");
    std::fs::write(&file, [RUNNING, RUNNING, RUNNING, DONE, FAILED, CREATED].join("\n")).unwrap();
    let lines = |options: &[&str]| {
        let replay = ["--replay", file.to_str().unwrap(), "--sort-window=0", "-n3"];
        let ran = run([&replay, options].concat());
        assert_eq!(ran.status, 0, "{}", ran.stderr);
        ran.stdout.lines().filter(|line| !line.starts_with(' ')).count()
    };
    assert_eq!(lines(&["-p"]), 3);
    assert_eq!(lines(&["-f", "json"]), 3);
}

#[test]
fn debug_messages_are_shown_only_if_they_are_asked_for() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("events.ndjson");
    let at = |level: &str| WARNING.replace("\"warning\"", &format!("\"{level}\""));
    std::fs::write(&file, [&*at("debug"), &*at("info"), &*at("warning"), CREATED].join("\n")).unwrap();
    let lines = |options: &[&str]| {
        let text = run([&["--replay", file.to_str().unwrap()], options].concat()).stdout;
        text.lines().filter(|line| line.contains("2026")).count()
    };
    assert_eq!(lines(&["-p"]), 3);
    assert_eq!(lines(&["-p", "--loglevel", "debug"]), 4);
    // What is no log message passes.
    assert_eq!(lines(&["-p", "--loglevel", "error"]), 1);
    assert_eq!(lines(&["-f", "json"]), 4);
}

#[test]
fn operations_that_look_the_same_are_told_apart_by_their_ids() {
    let other = RUNNING.replace(r#""id":"a""#, r#""id":"01a2182a-ce34-7a52-ade1-16077a2dbf00""#);
    let lines = print(PIPE, &[RUNNING, &other, DONE, &other.replace("Running", "Success").replace("103", "200")]);
    let has_id: Vec<_> = lines.lines().map(|line| line.contains('#')).collect();
    assert_eq!(has_id, [false, true, true, true], "{lines}");
    assert!(lines.contains("#2dbf00") && lines.contains("#a"), "{lines}");
}

#[test]
fn a_token_only_waits_so_it_has_a_line_at_once() {
    let token = RUNNING.replace(r#""class":"task""#, r#""class":"token""#);
    assert_eq!(print(TERMINAL, &[&token, &token]).lines().count(), 1);
    assert_eq!(print(TERMINAL, &[RUNNING]), "");
    assert_eq!(print(Options { live_rows: false, ..TERMINAL }, &[RUNNING]).lines().count(), 1);
}

#[test]
fn a_line_of_characters_that_others_make_wide_fits_too() {
    for text in ["❤\u{fe0f}", "1\u{fe0f}\u{20e3}", "👩\u{200d}👧", "漢", "e\u{301}"] {
        let line = print(
            TERMINAL,
            &[&WARNING.replace("Failed", &text.repeat(200)), &CREATED.replace("db1", &text.repeat(200))],
        );
        assert!(line.lines().all(|line| line.width() <= 120), "{line}");
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
        let line = |options| print(options, &[&CREATED.replace("2026-11-23T14:03:07.412Z", time)]);
        assert!(line(PIPE).starts_with(&format!("{time} + web")), "{}", line(PIPE));
        // On a terminal it is cut like any name.
        assert!(
            line(TERMINAL).starts_with(&format!("{}…{} + web", &time[..6], &time[time.len() - 5..])),
            "{}",
            line(TERMINAL)
        );
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
fn progress_has_no_lines() {
    let pending = RUNNING.replace("\"Running\",\"status_code\":103", "\"Pending\",\"status_code\":105");
    let again = RUNNING.replace("43%", "44%");
    assert_eq!(print(PIPE, &[&pending, RUNNING, &again, DONE, RUNNING]).lines().count(), 3);
}

#[test]
fn operations_name_what_they_work_on_in_the_shapes_of_every_server() {
    // As LXD up to 6.6 and Incus, LXD 6.7, and LXD 6.8 and later send it. A project is shown if nothing else is named.
    for (resources, metadata, shown) in [
        (r#"{"instances":["/1.0/instances/db1"]}"#, "null", "db1"),
        (r#"{"instance":["/1.0/instances/db1"]}"#, r#"{"entity_url":"/1.0/projects/web"}"#, "db1"),
        ("{}", r#"{"entity_url":"/1.0/instances/db1/backups/b0?project=web"}"#, "backup db1/b0"),
        ("null", r#"{"entity_url":"/1.0/projects/web"}"#, "project web"),
    ] {
        let event = format!(
            r#"{{"type":"operation","timestamp":"2026-11-23T14:03:16.002Z","metadata":{{"id":"c","description":"Changing project","status":"Running","status_code":103,"resources":{resources},"metadata":{metadata}}},"location":"none","project":"web"}}"#
        );
        let line = print(PIPE, &[&event]);
        assert!(line.contains(&format!(" {shown:28}  Changing project")), "{line}");
        assert_eq!(line.matches("web").count(), 1 + shown.matches("web").count(), "{line}");
    }
}
