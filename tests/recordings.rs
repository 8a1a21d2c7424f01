//! What `--replay` reads: JSON and YAML in every form in which somebody has it, several files, and nothing else.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use crate::golden::{YAML_PAIRS, YamlPair, events, pairs};
use crate::support::program::{Follower, Outcome, lxmon, run};
use crate::support::standin::numbered;

/// Files in a directory of their own.
struct Files(TempDir);

impl Files {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// Writes a file, and returns its path.
    fn write(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        let path: PathBuf = self.0.path().join(name);
        std::fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

/// What is printed of a file with this content.
fn replay(content: impl AsRef<[u8]>, options: &[&str]) -> Outcome {
    let files = Files::new();
    let path = files.write("recording", content);
    let outcome = run([&["--replay", &path, "--sort-window", "0"], options].concat());
    Outcome { stderr: outcome.stderr.replace(&path, "FILE"), ..outcome }
}

/// The events that are printed of a file, which must have nothing wrong.
fn printed(content: impl AsRef<[u8]>) -> Vec<Value> {
    let outcome = replay(content, &["-f", "json"]);
    assert_eq!((outcome.status, &*outcome.stderr), (0, ""));
    values(&outcome.stdout)
}

const SESSION: &str = include_str!("../src/source/demo/session.ndjson");

fn values(lines: &str) -> Vec<Value> {
    // Unlike `from_str`, this is optimised in serde_json.
    lines.lines().map(|line| line.parse().unwrap()).collect()
}

/// Compares events one by one, so that the message shows the first one that differs.
fn assert_same(ours: &[Value], wanted: &[Value]) {
    for (ours, wanted) in ours.iter().zip(wanted) {
        assert!(same(wanted, ours), "\n{wanted}\n{ours}");
    }
    assert_eq!(ours.len(), wanted.len());
}

/// Whether the values are equal. The clients write numbers as floating-point ones.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a == b || is_close(a.as_f64().unwrap(), b.as_f64().unwrap()),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| same(a, b)))
        }
        _ => a == b,
    }
}

/// Whether the numbers are equal but for the last bits, in which the reader of the test is not exact.
fn is_close(a: f64, b: f64) -> bool {
    (a - b).abs() <= a.abs() * 1e-14 + f64::MIN_POSITIVE
}

#[test]
fn json_in_any_layout() {
    let wanted = values(SESSION);
    let pretty: Vec<_> = wanted.iter().map(|event| serde_json::to_string_pretty(event).unwrap()).collect();
    let list = Value::from(wanted.clone());
    let not_indented = |text: &str| text.lines().map(|line| line.trim_start().to_owned() + "\n").collect::<String>();
    for (what, text) in [
        ("lines", SESSION.to_owned()),
        ("no line break at the end", SESSION.trim_end().to_owned()),
        ("empty lines", format!("\n \n{}", SESSION.replace('\n', "\n\n\t\n"))),
        ("CRLF", SESSION.replace('\n', "\r\n")),
        ("a byte order mark", format!("\u{feff}{SESSION}")),
        (
            "two files with a byte order mark",
            format!("\u{feff}{}\n\u{feff}{}", pretty[0], SESSION.split_once('\n').unwrap().1),
        ),
        ("jq", pretty.join("\n")),
        ("jq, CRLF", pretty.join("\n").replace('\n', "\r\n")),
        ("jq, a byte order mark", format!("\u{feff}{}", pretty.join("\n"))),
        ("no indentation", pretty.iter().map(|text| not_indented(text)).collect()),
        ("concatenated", SESSION.replace('\n', "")),
        ("concatenated with spaces", SESSION.replace('\n', " ")),
        ("an array", list.to_string()),
        ("an indented array", serde_json::to_string_pretty(&list).unwrap()),
        ("an array without indentation", not_indented(&serde_json::to_string_pretty(&list).unwrap())),
        ("an array of lines", format!("[\n{}\n]\n", SESSION.trim_end().replace('\n', ",\n"))),
        ("an array of lines with leading commas", format!("[{}]", SESSION.trim_end().replace('\n', "\n,"))),
        ("an array for each", SESSION.lines().map(|line| format!("[{line}]\n")).collect::<Vec<_>>().concat()),
        ("empty arrays between", SESSION.lines().map(|line| format!("[]{line}\n[ ]\n")).collect::<Vec<_>>().concat()),
        ("RFC 7464", SESSION.lines().map(|line| format!("\u{1e}{line}\n")).collect::<Vec<_>>().concat()),
        ("all of them", format!("{SESSION}{}{list}{SESSION}", pretty.join("\n"))),
    ] {
        println!("{what}");
        let ours = printed(&text);
        let rounds = ours.len() / wanted.len();
        let repeated: Vec<_> = std::iter::repeat_n(&wanted, rounds.max(1)).flatten().cloned().collect();
        assert_same(&ours, &repeated);
        assert_eq!(rounds, if what == "all of them" { 4 } else { 1 });
    }
    // One event in one line is the server's own bytes.
    let spaced = numbered(0).replace("\":\"", "\" :\t\"");
    assert_eq!(replay(format!("[{spaced}]"), &["-f", "json"]).stdout, spaced + "\n");
}

#[test]
fn long_messages_of_several_lines_come_through_reads_of_any_size() {
    let text = "x".repeat(200_000);
    let long = |number: u64| numbered(number).replace("none", &text);
    let lines: Vec<_> = (0..5).map(long).collect();
    let wanted = values(&lines.join("\n"));
    for content in [lines.join("\n"), lines.join("\n\n"), Value::from(wanted.clone()).to_string()] {
        assert_same(&printed(content), &wanted);
    }
    let pretty: Vec<_> = wanted.iter().map(|event| serde_json::to_string_pretty(event).unwrap()).collect();
    assert_same(&printed(pretty.join("\n")), &wanted);
}

/// The events of all pairs and some random ones, as lines.
fn all_events() -> Vec<String> {
    events().into_iter().filter(|event| event.parse::<Value>().is_ok()).collect()
}

#[test]
fn yaml_that_lxmon_has_printed_is_the_same_events() {
    let lines = all_events().join("\n");
    let yaml = replay(&lines, &["-f", "yaml"]).stdout;
    let outcome = replay(&yaml, &["-f", "json"]);
    assert_eq!((outcome.status, &*outcome.stderr), (0, ""));
    let wanted = values(&lines);
    assert_same(&values(&outcome.stdout), &wanted);
    // Every digit and every key is still there.
    let again = replay(&yaml, &["-f", "yaml"]).stdout;
    for (again, yaml) in again.split("---\n").zip(yaml.split("---\n")) {
        assert_eq!(again, yaml);
    }
    // Later events have texts with line breaks, which the other line breaks would change.
    let first = yaml.split_inclusive("---\n").take(51).collect::<String>().replace('\n', "\r\n");
    assert_same(&values(&replay(first, &["-f", "json"]).stdout)[..50], &wanted[..50]);
}

#[test]
fn yaml_that_the_clients_have_printed_is_the_same_events() {
    let pairs: Vec<YamlPair> = YAML_PAIRS.into_iter().flat_map(pairs).collect();
    // What go-yaml itself reads back in another way cannot be read in the right one.
    let pairs: Vec<_> = pairs.iter().filter(|pair| pair.reads_back).collect();
    assert!(pairs.len() > 2000);
    let wanted = values(&pairs.iter().map(|pair| pair.event.clone()).collect::<Vec<_>>().join("\n"));
    let printed_by_clients = pairs.iter().map(|pair| format!("{}\n\n", pair.yaml)).collect::<Vec<_>>().concat();
    assert_same(&printed(printed_by_clients), &wanted);
    // Without the separators, as `cat -s` and `grep .` leave them, where no text has empty lines.
    let plain: Vec<_> = pairs.iter().filter(|pair| !pair.yaml.contains("\n\n")).collect();
    assert!(plain.len() > 1500);
    let wanted = values(&plain.iter().map(|pair| pair.event.clone()).collect::<Vec<_>>().join("\n"));
    for separator in ["", "\n", "---\n", "...\n", "---\n# a comment\n", "...\n---\n", "\n\n\n\n"] {
        let text = plain.iter().map(|pair| format!("{separator}{}", pair.yaml)).collect::<Vec<_>>().concat();
        assert_same(&printed(text), &wanted);
    }
}

#[test]
fn yaml_of_lxd_3_8_has_the_bytes_of_the_metadata() {
    let metadata = r#"{"action":"container-started","source":"/1.0/containers/c1"}"#;
    let bytes = metadata.bytes().map(|byte| format!("- {byte}\n")).collect::<Vec<_>>().concat();
    let text = format!("type: lifecycle\ntimestamp: 2018-12-21T16:47:19.25Z\nmetadata:\n{bytes}\n\n").repeat(2);
    let event = format!(r#"{{"type":"lifecycle","timestamp":"2018-12-21T16:47:19.25Z","metadata":{metadata}}}"#);
    assert_eq!(replay(text, &["-f", "json"]).stdout, format!("{event}\n").repeat(2));
}

#[test]
fn a_document_of_a_client_comes_out_of_a_pipe_at_once() {
    let pair: YamlPair = pairs(YAML_PAIRS[1]).into_iter().next().unwrap();
    let command = lxmon(["--replay", "-", "-f", "json", "-n1"]);
    let mut running = Follower::start_with(command, [Stdio::piped(), Stdio::piped(), Stdio::piped()]);
    running.write(format!("{}\n\n", pair.yaml).as_bytes());
    // Its standard input stays open.
    let outcome = running.end();
    assert_eq!(outcome.status, 0, "{}", outcome.stderr);
    assert_same(&values(&outcome.stdout), &values(&pair.event));
}

#[test]
fn what_is_cut_off_is_told_once_and_the_rest_is_replayed() {
    let wanted = [numbered(0), numbered(1)].join("\n") + "\n";
    let pretty = |number| serde_json::to_string_pretty(&values(&numbered(number))[0]).unwrap();
    let yaml = replay(format!("{wanted}{}", numbered(2)), &["-f", "yaml"]).stdout;
    let half = |text: &str| text[..text.len() - 30].to_owned();
    for (what, content, says) in [
        ("a line", half(&format!("{wanted}{}", numbered(2))), "line 3: not JSON (it ends too early); skipped"),
        (
            "the first line",
            format!("{}\n{wanted}", &numbered(2)[40..]),
            "line 1: not JSON (byte 4); skipped: -15T08:00:00",
        ),
        ("a line within", format!("{}\n{}\n{}\n", numbered(0), half(&numbered(2)), numbered(1)), "line 2: not JSON"),
        (
            "a line within, outside of a text",
            format!("{}\n{}\n{}\n", numbered(0), &numbered(2)[..10], numbered(1)),
            "line 2: not JSON (it ends too early); skipped",
        ),
        ("jq", half(&[pretty(0), pretty(1), pretty(2)].join("\n")), "line 21: not JSON (it ends too early); skipped"),
        ("jq, within", format!("{}\n{}\n{}\n", pretty(0), &pretty(2)[..60], pretty(1)), "line 11: not JSON"),
        (
            "jq, within, outside of a text",
            format!("{}\n{}\n{}\n", pretty(0), pretty(2).split_inclusive('{').take(2).collect::<String>(), pretty(1)),
            "line 11: not JSON",
        ),
        ("an array", format!("[{},\n{}", numbered(0), numbered(1)), "line 2: the recording is cut off here"),
        (
            "an array, behind a comma",
            format!("[{},\n{},", numbered(0), numbered(1)),
            "line 2: the recording is cut off here",
        ),
        ("lxmon's YAML", half(&yaml), "line 17: the recording is cut off here; skipped"),
        (
            "lxmon's YAML, in the type",
            yaml[..yaml.len() - 3].to_owned(),
            "line 17: the recording is cut off here; skipped",
        ),
        ("a client's YAML", half(&yaml.replace("---\n", "\n\n")), "line 21: the recording is cut off here; skipped"),
    ] {
        let outcome = replay(&content, &["-f", "json"]);
        let expected = values(&wanted);
        let printed = values(&outcome.stdout);
        assert_eq!(printed, expected, "{what}: {}", outcome.stderr);
        assert_eq!(outcome.status, 0, "{what}");
        assert!(outcome.stderr.starts_with(&format!("lxmon: FILE: {says}")), "{what}: {}", outcome.stderr);
        assert_eq!(outcome.stderr.lines().count(), 1, "{what}: {}", outcome.stderr);
    }
    // Of a document without a line break at its end nothing is missing if its type is one.
    assert_eq!(values(&replay(yaml.trim_end(), &["-f", "json"]).stdout).len(), 3);
}

#[test]
fn what_is_no_recording_is_one_error_that_says_what_it_is() {
    let utf16 = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>();
    let log = "Nov 26 12:00:01 host lxd[1]: time=x level=info\n".repeat(10_000);
    let docker = "{\"log\":\"x\\n\",\"stream\":\"stdout\"}\n".repeat(10_000);
    let pretty = run(["--demo", "-p", "-n20", "--time", "iso"]).stdout;
    let logfmt = run(["--demo", "-f", "logfmt", "-n20"]).stdout;
    let colored = run(["--demo", "-f", "yaml", "-n3", "--color", "always"]).stdout;
    for (content, says, hint) in [
        (
            &b"\x1f\x8b\x08\0\0\0\0\0"[..],
            "it is compressed by gzip, not JSON or YAML",
            "`zcat FILE | lxmon --replay -`",
        ),
        (b"\x28\xb5\x2f\xfd\x04\0\0", "it is compressed by zstd", "`zstdcat FILE |"),
        (b"\xfd7zXZ\0\0\0", "it is compressed by xz", "`xzcat FILE |"),
        (b"BZh91AY&SY", "it is compressed by bzip2", "`bzcat FILE |"),
        (b"PK\x03\x04\0\0\0", "it is a zip archive", "`unzip -p FILE |"),
        (&[&b"\xff\xfe"[..], &utf16(&numbered(0))].concat(), "it is UTF-16", "`iconv -f UTF-16 -t UTF-8 FILE |"),
        (&utf16(&numbered(0)), "it is UTF-16", "`iconv -f UTF-16LE -t UTF-8 FILE |"),
        (b"\x7fELF\x02\x01\x01\0\0\0\0", "it is a binary file", "`lxmon --record FILE`"),
        (
            log.as_bytes(),
            "it is neither JSON nor YAML with events; it begins with: Nov 26 12:00:01",
            "`lxmon --record FILE`",
        ),
        (docker.as_bytes(), "it is JSON, but its objects are no events", "`lxmon --record FILE`"),
        (pretty.as_bytes(), "it is neither JSON nor YAML with events", "`lxmon --record FILE`"),
        (logfmt.as_bytes(), "it is neither JSON nor YAML with events; it begins with: time=", "`lxmon --record FILE`"),
        (colored.as_bytes(), "it has escape sequences", "--color never"),
        (b"[1,2,3]\n", "it is neither JSON nor YAML with events", "`lxmon --record FILE`"),
        (b"{\n  \"a\": 1\n}\n", "it is neither JSON nor YAML with events", "`lxmon --record FILE`"),
        (b"hello", "it is neither JSON nor YAML with events; it begins with: hello", "`lxmon --record FILE`"),
        (b"", "it is empty", "nothing was recorded"),
        (b"\n\n \n", "it is empty", "nothing was recorded"),
        (b"\xef\xbb\xbf", "it is empty", "nothing was recorded"),
    ] {
        let outcome = replay(content, &["-f", "json"]);
        assert_eq!((outcome.status, &*outcome.stdout), (1, ""), "{says}: {}", outcome.stderr);
        let lines: Vec<_> = outcome.stderr.lines().collect();
        assert_eq!(lines.len(), 2, "{says}: {}", outcome.stderr);
        assert!(lines[0].starts_with(&format!("lxmon: FILE: {says}")), "{says}: {}", outcome.stderr);
        assert!(lines[1].starts_with("hint: ") && lines[1].contains(hint), "{hint}: {}", outcome.stderr);
    }
    // A command that has found nothing has found nothing wrong.
    let found_nothing = crate::support::program::finish_with_input(&mut lxmon(["--replay", "-"]), b"");
    assert_eq!((found_nothing.status, &*found_nothing.stderr), (0, ""));
}

#[test]
fn several_files_are_read_in_turn() {
    let files = Files::new();
    let [a, b, yaml, empty, bad, log] = [
        files.write("a", numbered(0)),
        files.write("b", format!("{}\n\n{}\n", numbered(1), numbered(2))),
        files.write("yaml", replay(numbered(3), &["-f", "yaml"]).stdout),
        files.write("empty", ""),
        files.write("bad", format!("{}\nhello\n{}\n", numbered(4), numbered(5))),
        files.write("log", "hello\n"),
    ];
    let numbers = |outcome: &Outcome| -> Vec<_> {
        outcome.stdout.lines().filter_map(|line| crate::support::number_in(line.as_bytes())).collect()
    };
    for arguments in [
        &["--replay", &a, &b, &yaml, "-f", "json"][..],
        &["--replay", &a, "--replay", &b, "-f", "json", "--replay", &yaml],
        &["--replay", &yaml, &b, &a, "-f", "json"],
    ] {
        let outcome = run(arguments);
        assert_eq!((outcome.status, &*outcome.stderr), (0, ""), "{arguments:?}");
        assert_eq!(numbers(&outcome), [0, 1, 2, 3], "{arguments:?}");
    }
    // They are read as one: without the window, in the order of the arguments.
    assert_eq!(numbers(&run(["--replay", &b, &a, "-f", "json", "--sort-window", "0"])), [1, 2, 0]);
    let outcome = run(["--replay", &a, &empty, &bad, "-f", "json"]);
    assert_eq!((outcome.status, numbers(&outcome)), (0, vec![0, 4, 5]));
    let told: Vec<_> = outcome.stderr.lines().collect();
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told.contains(&&*format!("lxmon: {empty}: it is empty")), "{told:?}");
    assert!(told.contains(&&*format!("lxmon: {bad}: line 2: not JSON (byte 1); skipped: hello")), "{told:?}");
    // What is wrong with a file is told before the first event.
    let outcome = run(["--replay", &a, &log, "-f", "json"]);
    assert_eq!((outcome.status, &*outcome.stdout), (1, ""));
    assert!(outcome.stderr.starts_with(&format!("lxmon: {log}: it is neither")), "{}", outcome.stderr);
    // Standard input may be one of them.
    let mut command = lxmon(["--replay", &a, "-", &yaml, "-f", "json", "--sort-window", "0"]);
    let outcome = crate::support::program::finish_with_input(&mut command, numbered(7).as_bytes());
    assert_eq!((outcome.status, numbers(&outcome)), (0, vec![0, 7, 3]));
}

/// Lines of two remotes, as lxmon records them, and one of nobody.
fn of_remotes() -> String {
    let of = |remote: &str, number| numbered(number).replacen('{', &format!(r#"{{"remote":"{remote}","#), 1);
    [of("n1", 0), of("cluster2", 1), numbered(2), of("n1", 3)].map(|line| line + "\n").concat()
}

#[test]
fn a_recording_of_several_remotes_says_which_one_it_was() {
    let recording = of_remotes();
    let print = |content: &str, format: &str| replay(content, &["-f", format]).stdout;
    assert_eq!(print(&recording, "json"), recording);
    // As live: the remote is a column, a field, a key.
    let line = |text: &str, number: usize| text.lines().nth(number).unwrap().to_owned();
    let pretty = print(&recording, "pretty");
    for (number, name) in ["n1", "cluster2", "", "n1"].into_iter().enumerate() {
        let line = line(&pretty, number);
        let names: Vec<_> = line.split_whitespace().filter(|word| ["n1", "cluster2"].contains(word)).collect();
        assert_eq!(names.join(" "), name, "{pretty}");
    }
    let logfmt = print(&recording, "logfmt");
    assert!(line(&logfmt, 0).contains(" remote=n1 ") && line(&logfmt, 1).contains(" remote=cluster2 "), "{logfmt}");
    assert!(!line(&logfmt, 2).contains("remote="), "{logfmt}");
    let yaml = print(&recording, "yaml");
    assert_eq!(yaml.matches("\nremote: n1\n").count(), 2, "{yaml}");
    // From YAML, and with the key elsewhere, it is the first key again.
    let first = |text: &str| [0, 1, 3].map(|number| line(text, number)[..14].to_owned());
    assert_eq!(first(&print(&yaml, "json")), first(&recording));
    let moved = recording.replace(r#"{"remote":"n1","#, "{").replacen('}', r#"},"remote":"n1""#, 1);
    assert_eq!(first(&print(&moved, "json"))[0], r#"{"remote":"n1""#);
    // The record of a replay has them too.
    let files = Files::new();
    let [from, to] = [files.write("from", &recording), files.write("to", "")];
    assert_eq!(run(["--replay", &from, "--record", &to, "-p"]).status, 0);
    assert_eq!(std::fs::read_to_string(&to).unwrap(), recording);
}

#[test]
fn clocks_of_recorded_remotes_differ() {
    // The clock of one remote is an hour ahead: its events are not odd ones of the other.
    let of = |remote: &str, hour: u32, second: u32, number: u32| {
        format!(
            r#"{{"remote":"{remote}","type":"lifecycle","timestamp":"2026-11-26T{hour}:00:{second:02}Z","metadata":{{"action":"instance-started","source":"/1.0/instances/c{number}"}}}}"#
        )
    };
    let lines: String =
        (0..4).flat_map(|at| [of("a", 12, at, 2 * at), of("b", 13, at, 2 * at + 1)]).map(|line| line + "\n").collect();
    let files = Files::new();
    let outcome = run(["--replay", &files.write("lines", &lines), "-f", "json"]);
    assert_eq!(outcome.stdout, lines);
}

#[test]
fn since_and_until_select_by_the_time_of_the_events() {
    // A millisecond after the other, from 2027-01-15T08:00:00Z on; the last one has no time.
    let untimed = numbered(9).replace("timestamp", "time");
    let lines: String = (0..4).map(numbered).chain([untimed]).map(|line| line + "\n").collect();
    for (options, numbers) in [
        (&[][..], &[0, 1, 2, 3, 9][..]),
        (&["--since", "2027-01-15T08:00:00.001Z"], &[1, 2, 3]),
        (&["--until", "2027-01-15T09:00:00.001+01:00"], &[0, 1]),
        (&["--since", "2027-01-15T08:00:00.001Z", "--until", "2027-01-15T08:00:00.002Z"], &[1, 2]),
        (&["--since", "2027-01-15 08:00:00.003"], &[3]),
        (&["--since", "2027-01-16"], &[]),
    ] {
        let outcome = replay(&lines, &[&["-f", "json"], options].concat());
        let printed: Vec<_> =
            outcome.stdout.lines().map(|line| crate::support::number_in(line.as_bytes()).unwrap()).collect();
        assert_eq!(printed, numbers, "{options:?} {}", outcome.stderr);
    }
    let outcome = replay(numbered(0), &["-f", "json", "--since", "2099-01-01"]);
    assert_eq!((outcome.status, &*outcome.stdout), (0, ""));
    assert!(
        outcome.stderr.contains("--since is in the future") && outcome.stderr.lines().count() == 1,
        "{}",
        outcome.stderr
    );
    // The time of day is local.
    let mut command: Command = lxmon(["--replay", "-", "-f", "json", "--since", "2027-01-15 09:00:00.003"]);
    command.env("TZ", "UTC-1");
    let outcome = crate::support::program::finish_with_input(&mut command, lines.as_bytes());
    assert_eq!(outcome.stdout, numbered(3) + "\n");
}

#[test]
fn a_message_that_is_too_long_is_told_and_skipped() {
    let long = numbered(1).replace("c1", &"x".repeat(65 << 20));
    let yaml = replay([numbered(0), numbered(2)].join("\n"), &["-f", "yaml"]).stdout;
    let long_yaml = yaml.split("---\n").nth(1).unwrap().replace("c0", &"x".repeat(65 << 20)) + "---\n";
    for (content, line) in [
        (format!("{}\n{long}\n{}\n", numbered(0), numbered(2)), 2),
        (format!("[{},\n{long},\n{}]", numbered(0), numbered(2)), 2),
        (format!("---\n{long_yaml}{}", yaml.trim_start_matches("---\n")), 1),
    ] {
        let outcome = replay(content, &["-f", "json"]);
        assert_eq!(outcome.stderr, format!("lxmon: FILE: line {line}: longer than 67108864 bytes; skipped\n"));
        assert_eq!((outcome.status, values(&outcome.stdout)), (0, values(&[numbered(0), numbered(2)].join("\n"))));
    }
}

#[test]
fn a_file_of_any_size_takes_little_memory() {
    let files = Files::new();
    // Long ones, because what counts is the size of the file.
    let padded = |number| numbered(number).replace("none", &"x".repeat(700));
    let pretty = |number| serde_json::to_string_pretty(&values(&padded(number))[0]).unwrap();
    let yaml = |number| replay(padded(number), &["-f", "yaml"]).stdout;
    for (name, begin, one, last, between, end) in [
        ("array", "[", padded(0), padded(1), ",", "]"),
        ("jq", "", pretty(0), pretty(1), "\n", "\n"),
        ("yaml", "", yaml(0), yaml(1), "", ""),
    ] {
        // More than twice the 8 MiB that may wait for the decoding (`SMALL` in queue.rs).
        let content = format!("{begin}{}{last}{end}", format!("{one}{between}").repeat(24_000));
        let size = content.len() >> 10;
        let path = files.write(name, content);
        // Standard input stays open, so it goes on to run.
        let command = lxmon(["--replay", &path, "-", "-f", "json", "-i", "c1"]);
        let mut running = Follower::start_with(command, [Stdio::piped(), Stdio::piped(), Stdio::piped()]);
        assert!(!running.line().is_empty(), "{name}");
        let peak = running.peak_memory() - running.mapped_memory();
        assert!(peak < 14_000 && size > 20_000, "{name}: {peak} kB for a file of {size} kB");
    }
}

#[test]
fn several_objects_in_one_line_are_read_wherever_it_stands() {
    let [one, two, three, last] = [0, 1, 2, 3].map(numbered);
    for separator in ["", " ", "\t", "\u{1e}"] {
        let text = format!("{one}\n{two}{separator}{three}\n{last}\n");
        assert_same(&printed(&text), &values(&[&one, &two, &three, &last].map(String::as_str).join("\n")));
    }
    // The same bytes in a text are no end.
    let odd = one.replace("none", "} {").replace("default", "}{");
    assert_same(&printed(format!("{one}\n{odd}\n{last}\n")), &values(&format!("{one}\n{odd}\n{last}")));
}

#[test]
fn aliases_do_not_stand_for_more_than_a_message_may_have() {
    let text = format!("type: a\nx: &a \"{}\"\nmetadata:\n{}", "y".repeat(64 << 10), "- *a\n".repeat(2000));
    let outcome = replay(text, &["-f", "json"]);
    assert_eq!((outcome.status, &*outcome.stdout), (0, ""));
    assert!(outcome.stderr.contains("longer than 67108864 bytes with its aliases"), "{}", outcome.stderr);
    // A few are fine.
    let some = printed("type: a\nx: &a [1, {b: c}]\nmetadata: {d: *a}\n");
    assert_eq!(some[0]["metadata"]["d"], some[0]["x"]);
}
