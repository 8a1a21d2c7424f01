//! Recorded events instead of a server (`--replay`).

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::support::program::{Follower, Outcome, finish_with_input, lxmon, run};
use crate::support::standin::numbered;

/// A recording of one server.
const SESSION: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/source/demo/session.ndjson");

fn replay(recording: &[u8], options: &[&str]) -> Outcome {
    finish_with_input(lxmon(["--replay", "-", "-f", "json"]).args(options), recording)
}

#[test]
fn blank_lines_are_allowed_and_bad_ones_are_told_by_their_number() {
    let mut recording = format!("{}\n\n\r\n{}\n", numbered(0), numbered(1)).into_bytes();
    recording.extend_from_slice(b"hello\n{\"no\":\"type\"}\n[1]\n{\"type\":\n\xff\xfe\n");
    recording.extend_from_slice(format!("{}{}\n", "[".repeat(10_000), "]".repeat(10_000)).as_bytes());
    recording.extend_from_slice(numbered(2).as_bytes());
    let Outcome { status, stdout, stderr } = replay(&recording, &[]);
    assert_eq!(status, 0);
    assert_eq!(stdout, (0..3).map(|number| numbered(number) + "\n").collect::<String>());
    let told: Vec<_> = stderr.lines().collect();
    assert_eq!(told.len(), 6, "{stderr}");
    for (number, what) in [
        (5, "not JSON (byte 1); skipped: hello"),
        (6, "without a \"type\"; skipped"),
        (7, "not a JSON object; skipped"),
        (8, "not JSON (it ends too early); skipped"),
        (9, "not UTF-8; skipped"),
        (10, "nested deeper than 256 levels; skipped"),
    ] {
        let start = format!("lxmon: standard input: line {number}: ");
        assert!(told.iter().any(|line| line.starts_with(&start) && line.contains(what)), "{number} {what}: {stderr}");
    }
}

#[test]
fn what_lxmon_wrote_reads_back_in_every_format() {
    let session = include_str!("../src/source/demo/session.ndjson");
    let json = replay(session.as_bytes(), &["--sort-window", "0"]);
    assert_eq!(json.stdout, session);
    // `lxc monitor --format json` writes an empty line after each event.
    let spaced = replay(session.replace('\n', "\n\n").as_bytes(), &["--sort-window", "0"]);
    assert_eq!((&*spaced.stdout, &*spaced.stderr), (session, ""));
}

#[test]
fn a_file_that_cannot_be_read_is_one_error() {
    for (path, says) in [
        ("/nonexistent", "No such file or directory\n"),
        ("/tmp", "it is a directory, not a recording\nhint: name the files in it\n"),
    ] {
        for arguments in [&["--replay", path][..], &["--replay", SESSION, path, "-f", "json"]] {
            let outcome = run(arguments);
            assert_eq!((outcome.status, &*outcome.stdout), (1, ""));
            assert_eq!(outcome.stderr, format!("lxmon: {path}: {says}"));
        }
    }
}

#[test]
fn the_timeout_ends_a_recording_that_does_not() {
    for (options, status) in [(&["--timeout", "300ms"][..], 0), (&["--timeout", "300ms", "-n2"], 124)] {
        let mut command = lxmon(["--replay", "-", "-f", "json"]);
        let outcome = replay_open_pipe(command.args(options));
        assert_eq!((outcome.status, outcome.stdout.trim_end()), (status, &*numbered(0)));
    }
    let demo = run(["--demo", "--timeout", "300ms", "-q"]);
    assert_eq!((demo.status, &*demo.stderr), (0, ""));
}

/// Runs the command until it ends, with one event in its standard input, which stays open.
fn replay_open_pipe(command: &mut Command) -> Outcome {
    let mut running = Follower::start_with(command, [Stdio::piped(), Stdio::piped(), Stdio::piped()]);
    running.write(format!("{}\n", numbered(0)).as_bytes());
    running.end()
}

#[test]
fn events_come_out_of_a_pipe_that_stays_open() {
    let outcome = replay_open_pipe(&mut lxmon(["--replay", "-", "-f", "json", "-n1"]));
    assert_eq!(outcome.stdout.trim_end(), numbered(0));
}

#[test]
fn a_recording_that_is_the_output_too_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let (file, link) = (directory.path().join("events"), directory.path().join("link"));
    std::fs::write(&file, numbered(0)).unwrap();
    std::fs::hard_link(&file, &link).unwrap();
    let text = |path: &std::path::Path| path.display().to_string();
    for (recording, input, name) in [
        (text(&file), "/dev/null".into(), text(&file)),
        (text(&link), "/dev/null".into(), text(&link)),
        ("-".into(), text(&file), "standard input".into()),
    ] {
        let input = std::fs::File::open(input).unwrap();
        let output = std::fs::File::options().append(true).open(&file).unwrap();
        let command = lxmon(["--replay", &*recording, "-f", "json"]);
        let outcome = Follower::start_with(command, [input.into(), output.into(), Stdio::piped()]).end();
        let wanted =
            format!("lxmon: {name}: it is the output too\nhint: write to another file, and rename it afterwards\n");
        assert_eq!((outcome.status, outcome.stderr), (2, wanted));
        assert_eq!(std::fs::read_to_string(&file).unwrap(), numbered(0));
    }
    // A device such as /dev/null may be both the recording and the output.
    let outcome = Follower::start_into(lxmon(["--replay", "/dev/null"]), Stdio::null()).end();
    assert_eq!((outcome.status, &*outcome.stderr), (0, ""));
}

/// Lines of a recording of a cluster: member, minute and second of the timestamp.
fn of_members(events: &[(&str, u32, u32)]) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    for (number, (member, minute, second)) in events.iter().enumerate() {
        writeln!(
            file,
            r#"{{"type":"lifecycle","timestamp":"2026-11-26T12:{minute:02}:{second:02}Z","location":"{member}","metadata":{{"action":"instance-started","source":"/1.0/instances/c{number}"}}}}"#
        )
        .unwrap();
    }
    file
}

/// The numbers of the events in the order in which they are printed.
fn printed(recording: &tempfile::NamedTempFile, format: &str) -> Vec<u64> {
    let outcome = run(["--replay", recording.path().to_str().unwrap(), "-f", format]);
    assert_eq!(outcome.status, 0, "{}", outcome.stderr);
    outcome.stdout.lines().filter_map(|line| crate::support::number_in(line.as_bytes())).collect()
}

#[test]
fn members_whose_clocks_differ_are_merged_in_the_same_way_in_every_format() {
    let recording =
        of_members(&[("m1", 0, 0), ("m2", 50, 0), ("m1", 0, 1), ("m2", 50, 1), ("m1", 0, 2), ("m2", 50, 2)]);
    for format in ["json", "yaml", "logfmt", "pretty"] {
        assert_eq!(printed(&recording, format), [0, 1, 2, 3, 4, 5], "{format}");
    }
}

#[test]
fn a_member_that_was_quiet_at_first_has_no_other_clock_for_that() {
    // Members in turn, after a time in which only the first one sent something.
    let recording = of_members(&[("m1", 0, 0), ("m2", 0, 5), ("m1", 0, 6), ("m2", 0, 7), ("m3", 0, 8), ("m1", 0, 9)]);
    for format in ["json", "yaml", "logfmt", "pretty"] {
        assert_eq!(printed(&recording, format), [0, 1, 2, 3, 4, 5], "{format}");
    }
}

/// An event as lxmon prints it in YAML. Nothing behind it says that it is whole.
fn yaml(number: u64) -> String {
    format!(
        "---\nlocation: none\nmetadata:\n  action: instance-started\n  source: /1.0/instances/c{number}\nproject: default\n\
         timestamp: \"2026-11-26T12:00:0{number}Z\"\ntype: lifecycle\n"
    )
}

#[test]
fn an_event_in_yaml_is_printed_although_the_pipe_is_open_and_no_other_has_come() {
    let command = lxmon(["--replay", "-", "-f", "json"]);
    let mut running = Follower::start_with(command, [Stdio::piped(), Stdio::piped(), Stdio::piped()]);
    for number in 0..3 {
        running.write(yaml(number).as_bytes());
        running.wait_for(|line| line.contains(&format!("/c{number}\"")));
    }
    // What comes in parts is one event all the same: a pause within it is no end. Here a key, a value and the type are torn.
    let whole = yaml(3);
    let parts: Vec<_> =
        ["action", "c3", "project:", "type: life"].iter().map(|part| whole.find(part).unwrap() + 2).collect();
    let mut from = 0;
    for to in parts.into_iter().chain([whole.len() - 1, whole.len()]) {
        running.write(&whole.as_bytes()[from..to]);
        std::thread::sleep(PAUSE);
        from = to;
    }
    running.wait_for(|line| line.contains("/c3\""));
    // The keys of another program are in another order: the type is not the end.
    running.write(b"---\ntype: lifecycle\nlocation: none\n");
    std::thread::sleep(PAUSE);
    running.write(b"timestamp: \"2026-11-26T12:00:05Z\"\n");
    std::thread::sleep(PAUSE);
    running.write(b"metadata:\n  source: /1.0/instances/c5\n");
    std::thread::sleep(PAUSE);
    running.write(b"...\n");
    running.wait_for(|line| line.contains("lifecycle") && line.contains("/c5\""));
    running.close_stdin();
    assert!(running.exit_status().success());
    assert_eq!((running.seen.len(), &running.notices[..]), (5, &[][..]));
}

/// Far longer than the pause after which an event counts as whole.
const PAUSE: Duration = Duration::from_millis(500);
