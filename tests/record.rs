//! `--record`: what gets into the file, whatever happens to the file, the disk and the program.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

use crate::support::machine::ORDINARY;
use crate::support::program::{Follower, copy_program, finish, lxmon, run};
use crate::support::standin::{Connection, StandIn};
use crate::support::wait_until;

fn event(number: usize) -> String {
    format!(
        r#"{{"type":"lifecycle","timestamp":"2026-11-26T12:00:{:02}.{number:06}Z","metadata":{{"action":"instance-started","source":"/1.0/instances/c{number}"}}}}"#,
        number / 1_000_000
    )
}

/// A server that sends this many events.
fn server(events: usize) -> StandIn {
    StandIn::new(move |connection: &mut Connection| {
        connection.accept();
        for number in 0..events {
            connection.event(&event(number));
        }
        connection.wait();
    })
}

fn lines(path: &Path) -> Vec<String> {
    fs::read_to_string(path).unwrap_or_default().lines().map(str::to_owned).collect()
}

fn record(server: &StandIn, path: &Path, options: &[&str]) -> std::process::Command {
    let (remote, path) = (server.remote(), path.to_str().unwrap());
    let mut arguments = vec![&*remote, "--record", path, "--sort-window=0"];
    arguments.extend(options);
    lxmon(arguments)
}

#[test]
fn each_printed_event_is_recorded_in_a_file_that_only_the_owner_can_read() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("events.ndjson");
    fs::write(&path, "{\"type\":\"x\"}\n").unwrap();
    let server = server(500);
    let outcome = finish(&mut record(&server, &path, &["-n400", "-t!logging", "--pretty"]));
    assert_eq!((outcome.status, outcome.stdout.lines().count()), (0, 400), "{}", outcome.stderr);
    let recorded = lines(&path);
    assert_eq!((recorded.len(), &*recorded[0]), (401, r#"{"type":"x"}"#));
    assert!(recorded[1..].iter().enumerate().all(|(number, line)| *line == event(number)));

    let new = directory.path().join("new");
    assert_eq!(finish(&mut record(&server, &new, &["-n1"])).status, 0);
    assert_eq!(fs::metadata(&new).unwrap().permissions().mode() & 0o777, 0o600);
    let replayed = run(["--replay", new.to_str().unwrap(), "-f", "json"]);
    assert_eq!(replayed.stdout.trim_end(), event(0));
}

#[test]
fn a_file_that_was_moved_away_is_made_anew_at_once_on_sigusr1() {
    let directory = TempDir::new().unwrap();
    let (path, moved) = (directory.path().join("events"), directory.path().join("events.1"));
    let server = server(3);
    let mut follower = Follower::subscribed(record(&server, &path, &["-f", "json"]));
    follower.wait_for(|line| line.contains("/c2\""));
    wait_until(|| lines(&path).len() == 3);
    fs::rename(&path, &moved).unwrap();
    follower.signal(Signal::USR1);
    wait_until(|| path.exists());
    follower.terminate();
    assert_eq!((lines(&path).len(), lines(&moved).len()), (0, 3));
}

#[test]
fn a_line_that_was_cut_by_a_kill_spoils_no_other() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("events");
    fs::write(&path, r#"{"type":"lifecy"#).unwrap();
    let server = server(1);
    assert_eq!(finish(&mut record(&server, &path, &["-n1"])).status, 0);
    assert_eq!(lines(&path), [r#"{"type":"lifecy"#, &event(0)]);
}

#[test]
fn a_full_disk_costs_whole_events_and_the_record_says_how_many() {
    const FIT: usize = 3;
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("events");
    // A limit of the file size works like a full disk: the last write is cut in the middle of a line. Moving the file
    // away makes room again.
    let length = event(0).len() + 1;
    let limit = (length * FIT + length / 2).to_string();
    let (more, numbers) = std::sync::mpsc::channel::<usize>();
    let numbers = std::sync::Mutex::new(numbers);
    let server = StandIn::new(move |connection: &mut Connection| {
        let mut next = 0;
        connection.accept();
        while let Ok(number) = numbers.lock().unwrap().recv() {
            (next..next + number).for_each(|number| _ = connection.event(&event(number)));
            next += number;
        }
    });
    let program = record(&server, &path, &["-f", "json", "-v"]);
    let mut limited = std::process::Command::new("prlimit");
    limited.arg(format!("--fsize={limit}")).arg(program.get_program()).args(program.get_args());
    limited.env_clear().env("PATH", std::env::var_os("PATH").unwrap()).env("HOME", "/nonexistent");
    let mut follower = Follower::start(limited);
    follower.wait_for_notice("subscribed after");
    more.send(10).unwrap();
    follower.wait_for_notice("events are not recorded until it can be written");
    follower.wait_for(|line| line.contains("/c9\""));
    assert_eq!(lines(&path), (0..FIT).map(event).collect::<Vec<_>>());

    fs::rename(&path, directory.path().join("events.1")).unwrap();
    follower.signal(Signal::USR1);
    wait_until(|| path.exists());
    more.send(1).unwrap();
    follower.wait_for_notice("written again; it lacks 7 events");
    let recorded = lines(&path);
    let gap: Value = serde_json::from_str(&recorded[0]).unwrap();
    assert_eq!((gap["type"].as_str(), gap["metadata"]["dropped"].as_u64()), (Some("gap"), Some(7)));
    assert!(gap["metadata"]["reason"].as_str().unwrap().starts_with("recording: "), "{gap}");
    assert_eq!(gap["metadata"]["last_event"], "2026-11-26T12:00:00.000002Z");
    assert_eq!(recorded[1..], [event(10)]);
    drop(more);
    follower.terminate();
}

#[test]
fn what_is_no_file_to_append_to_is_refused_with_a_hint() {
    let directory = TempDir::new().unwrap();
    let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    rustix::fs::mknodat(rustix::fs::CWD, path("fifo"), rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    fs::write(path("replayed"), event(0)).unwrap();
    fs::write(path("output"), "").unwrap();
    for (record, status, says, hint) in [
        (path("."), 1, "Is a directory", "hint: name a file in that directory"),
        (path("missing/file"), 1, "No such file or directory", "hint: make its directory first"),
        (path("fifo"), 1, "a FIFO", "hint: to feed a pipe"),
        (path("replayed"), 2, "--replay and --record name the same file", "hint: record into another file"),
    ] {
        let outcome = run(["--replay", &path("replayed"), "--record", &record]);
        assert_eq!((outcome.status, &*outcome.stdout), (status, ""), "{record}: {}", outcome.stderr);
        assert!(outcome.stderr.contains(says) && outcome.stderr.contains(hint), "{record}: {}", outcome.stderr);
    }
    let output = fs::OpenOptions::new().append(true).open(path("output")).unwrap();
    let mut command = lxmon(["--replay", &path("replayed"), "--record", &path("output")]);
    let outcome = Follower::start_into(&mut command, output).end();
    assert!(outcome.status == 2 && outcome.stderr.contains("it is the output too"), "{}", outcome.stderr);
}

#[test]
fn a_device_that_accepts_nothing_is_reported_once_and_the_events_are_printed() {
    let server = server(100);
    let outcome = finish(&mut record(&server, Path::new("/dev/full"), &["-n100", "-f", "json"]));
    assert_eq!((outcome.status, outcome.stdout.lines().count()), (0, 100));
    let notices: Vec<_> = outcome.stderr.lines().collect();
    assert!(notices[0].contains("/dev/full: No space left on device; events are not recorded"), "{notices:?}");
    assert!(notices[1].contains("it lacks the last 100 events") && notices.len() == 2, "{notices:?}");
}

#[test]
fn of_several_remotes_the_record_names_each() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("events");
    let servers = [server(1), server(1)];
    let [one, two] = [servers[0].remote(), servers[1].remote()];
    let outcome = run([&*one, &two, "--record", path.to_str().unwrap(), "-n2", "-f", "yaml"]);
    assert_eq!(outcome.status, 0, "{}", outcome.stderr);
    let recorded: Vec<Value> = lines(&path).iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    let mut remotes: Vec<_> = recorded.iter().map(|event| event["remote"].as_str().unwrap()).collect();
    remotes.sort_unstable();
    let mut names = [&*one, &two];
    names.sort_unstable();
    assert_eq!(remotes, names);
}

#[test]
fn what_is_printed_is_recorded_in_whole_lines_even_if_lxmon_is_killed() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("events");
    let server = server(3000);
    let mut follower = Follower::subscribed(record(&server, &path, &["-f", "json"]));
    follower.wait_for(|line| line.contains("/c2999\""));
    follower.signal(Signal::KILL);
    assert_eq!(follower.wait(), None);
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.ends_with('\n'));
    assert_eq!(lines(&path), (0..3000).map(event).collect::<Vec<_>>());
}

#[test]
fn the_signal_of_log_rotation_does_nothing_without_a_record() {
    let (signalled, wait) = std::sync::mpsc::channel();
    let wait = std::sync::Mutex::new(wait);
    let server = StandIn::new(move |connection: &mut Connection| {
        connection.accept();
        wait.lock().unwrap().recv().unwrap();
        connection.event(&event(1));
        connection.wait();
    });
    let mut follower = Follower::subscribed(lxmon([&*server.remote(), "-f", "json"]));
    follower.signal(Signal::USR1);
    signalled.send(()).unwrap();
    follower.wait_for(|line| line.contains("/c1\""));
    follower.signal(Signal::TERM);
    assert_eq!(follower.end().status, 143);
}

#[test]
fn a_file_that_may_only_be_read_is_refused() {
    let directory = TempDir::new().unwrap();
    let at = |name: &str| directory.path().join(name);
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
    for name in ["record", "replayed"] {
        fs::write(at(name), event(0)).unwrap();
        fs::set_permissions(at(name), fs::Permissions::from_mode(0o444)).unwrap();
    }
    // Root may write everything.
    let program = at("lxmon");
    copy_program(&program);
    let mut command = std::process::Command::new(&program);
    if rustix::process::geteuid().is_root() {
        command = std::process::Command::new("setpriv");
        command.arg(format!("--reuid={ORDINARY}")).arg(format!("--regid={ORDINARY}")).arg("--clear-groups");
        command.arg(program);
    }
    command.arg("--replay").arg(at("replayed")).arg("--record").arg(at("record"));
    let outcome = finish(&mut command);
    assert_eq!((outcome.status, &*outcome.stdout), (1, ""), "{}", outcome.stderr);
    let hint = "Permission denied\nhint: name a file that you may write\n";
    assert!(outcome.stderr.ends_with(hint), "{}", outcome.stderr);
}
