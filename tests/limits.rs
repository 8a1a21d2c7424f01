//! Scarce resources and unusual process environments: lxmon ends with one error and never panics.

use std::ffi::OsStr;
use std::fs::{File, Permissions};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;

use rustix::process::{getuid, kill_process};

use crate::flow::padded;
use crate::support::number_in;
use crate::support::program::{Follower, Outcome, PATIENCE, copy_program, finish, lxmon, run};
use crate::support::standin::{Connection, StandIn, frame, numbered, opcode};

const EVENTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/source/demo/session.ndjson");

/// A server that sends one event and keeps the connection open.
fn silent() -> StandIn {
    StandIn::new(|connection: &mut Connection| {
        connection.accept();
        connection.event(&numbered(0));
        connection.wait();
    })
}

/// The program, started by a shell that first executes the command `shell`.
fn after(shell: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new("bash");
    command.args(["-c", &format!("{shell}; exec \"$0\" \"$@\""), env!("CARGO_BIN_EXE_lxmon")]).args(arguments);
    command.env_clear().env("HOME", "/nonexistent").env("LANG", "C.UTF-8").env("TZ", "UTC");
    command
}

/// Asserts that the program succeeded or ended with exactly one error.
fn assert_orderly(outcome: &Outcome, what: &str) {
    let errors: Vec<_> = outcome.stderr.lines().filter(|line| !line.starts_with("hint: ")).collect();
    let is_one_error = outcome.status == 1 && errors.len() == 1 && errors[0].starts_with("lxmon: ");
    let has_worked = outcome.status == 0 && errors.is_empty() && !outcome.stdout.is_empty();
    assert!(is_one_error || has_worked, "{what}: {}\n{}", outcome.status, outcome.stderr);
}

/// The command lines that are run with scarce resources.
fn runs(server: &StandIn) -> Vec<Vec<String>> {
    let words = |line: &str| line.split(' ').map(str::to_owned).collect::<Vec<_>>();
    vec![
        words(&format!("{} -n1 -f json", server.remote())),
        words(&format!("--replay {EVENTS} -f yaml")),
        words("--demo -n1 -p"),
        words("--list-actions"),
    ]
}

#[test]
fn without_descriptors_it_ends_with_one_error() {
    let server = silent();
    for arguments in runs(&server) {
        let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
        for limit in (4..=24).chain([64]) {
            let outcome = finish(&mut after(&format!("ulimit -n {limit}"), &arguments));
            assert_orderly(&outcome, &format!("{arguments:?} with {limit} descriptors"));
            assert!(limit < 64 || outcome.status == 0, "{arguments:?}: {}", outcome.stderr);
        }
    }
}

/// A directory with a copy of the program for users who have no processes, because the thread limit counts all threads
/// of a user. `None` if the test cannot change its user.
fn for_other_users() -> Option<(tempfile::TempDir, PathBuf)> {
    if !getuid().is_root() {
        println!("skipped: only root can become a user of whom nothing runs");
        return None;
    }
    let directory = tempfile::tempdir().unwrap();
    open_to_all(directory.path());
    let program = directory.path().join("lxmon");
    copy_program(&program);
    open_to_all(&program);
    Some((directory, program))
}

fn open_to_all(path: &Path) {
    std::fs::set_permissions(path, Permissions::from_mode(0o755)).unwrap();
}

/// Runs the program as `user`, who may have at most `limit` threads.
fn with_few_threads(limit: u32, user: u32, program: &Path, arguments: &[&str], configuration: &Path) -> Outcome {
    let mut command = Command::new("bash");
    command.args(["-c", &format!("ulimit -u {limit}; exec \"$0\" \"$@\"")]).arg(program).args(arguments);
    command.env_clear().env("LANG", "C.UTF-8").env("LXD_CONF", configuration).uid(user).gid(user);
    finish(&mut command)
}

#[test]
fn without_threads_it_ends_with_one_error() {
    let Some((directory, program)) = for_other_users() else { return };
    let events = directory.path().join("events");
    std::fs::copy(EVENTS, &events).unwrap();
    open_to_all(&events);
    let events = events.to_str().unwrap();
    for arguments in [&["--replay", events, "-f", "json"][..], &["--demo", "-n1", "-f", "json"], &["--list-actions"]] {
        for limit in 1..=6 {
            let outcome = with_few_threads(limit, 64_999, &program, arguments, directory.path());
            assert_orderly(&outcome, &format!("{arguments:?} with {limit} threads"));
        }
    }
}

#[test]
fn without_a_thread_to_look_a_name_up_it_ends_with_one_error() {
    let Some((directory, program)) = for_other_users() else { return };
    let configuration = "default-remote: t\nremotes:\n  t:\n    addr: https://localhost:1\n";
    let file = directory.path().join("config.yml");
    std::fs::write(&file, configuration).unwrap();
    open_to_all(&file);
    for limit in 1..=6 {
        let outcome = with_few_threads(limit, 64_998, &program, &["--lxd", "t:"], directory.path());
        assert_orderly(&outcome, &format!("{limit} threads"));
    }
}

#[test]
fn without_memory_it_ends_with_one_error_or_skips_what_is_too_long() {
    let directory = tempfile::tempdir().unwrap();
    let recording = directory.path().join("events");
    let text = crate::growth::nested(9, &crate::growth::list("0", 4 << 20));
    std::fs::write(&recording, format!("{text}\n{}\n", numbered(0))).unwrap();
    let recording = recording.to_str().unwrap();
    let server = silent();
    let least = least_memory();
    let outcome = finish(&mut after(&format!("ulimit -v {}", least + 4000), &["--demo", "-n1"]));
    assert!(outcome.stderr.starts_with("lxmon: starting: the limit of virtual memory leaves "), "{}", outcome.stderr);
    // The long event takes 8 MiB, several times, and its tape 32 MiB: with the last limit there is room for them.
    for more in (0..26_000).step_by(500).chain([32_000, 60_000, 100_000]) {
        let limit = least + more;
        let shell = format!("ulimit -v {limit}");
        for arguments in [&["--demo", "-n1", "-f", "json"][..], &[&*server.remote(), "-n1", "-f", "json"]] {
            assert_orderly(&finish(&mut after(&shell, arguments)), &format!("{limit} KiB"));
        }
        let outcome = finish(&mut after(&shell, &["--replay", recording, "-f", "json"]));
        let skipped = outcome.status == 0
            && outcome.stderr.contains("line 1: JSON that is too large for the available memory; skipped")
            && outcome.stdout == format!("{}\n", numbered(0));
        if !skipped {
            assert_orderly(&outcome, &format!("{limit} KiB, a long event"));
        }
    }
}

/// The lowest limit of memory, in KiB, with which the system can load the program. What it does with less is not ours.
fn least_memory() -> u32 {
    let loads = |limit: &u32| finish(&mut after(&format!("ulimit -v {limit}"), &["--version"])).status == 0;
    (10_000..200_000).step_by(2000).find(loads).unwrap()
}

#[test]
fn with_little_memory_and_a_slow_reader_events_are_dropped_and_counted() {
    const EVENTS: u64 = 12_000;
    let (send, is_sent) = mpsc::channel();
    let server = StandIn::new(move |connection: &mut Connection| {
        connection.accept();
        for first in (0..EVENTS).step_by(500) {
            let frames: Vec<_> =
                (first..first + 500).map(|number| frame(true, opcode::TEXT, padded(number, 3000).as_bytes())).collect();
            connection.write(&frames.concat());
        }
        send.send(()).unwrap();
        connection.end();
    });
    let least = least_memory();
    // With the second limit, the memory may be used up before the buffer is.
    for more in [17_000, 95_000] {
        let options = [&*server.remote(), "-f", "json", "--no-reconnect", "--buffer", "1GiB"];
        let mut command = after(&format!("ulimit -v {}", least + more), &options);
        let program = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        is_sent.recv_timeout(PATIENCE).unwrap();
        let output = program.wait_with_output().unwrap();
        let (stdout, stderr) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
        assert_eq!(output.status.code(), Some(1), "{more}: {stderr}");
        if more > 17_000 && stderr.contains("memory allocation of ") {
            // The allocator has kept the memory for another thread.
            continue;
        }
        assert!(stderr.lines().all(|line| line.starts_with("lxmon: ")), "{more}: {stderr}");
        let numbers: Vec<_> = stdout.lines().filter_map(|line| number_in(line.as_bytes())).collect();
        assert!(numbers.is_sorted_by(|a, b| a < b), "{more}");
        let dropped = stderr.lines().filter_map(|line| {
            let (before, _) = line.split_once(" events dropped")?;
            before.rsplit(' ').next()?.parse::<u64>().ok()
        });
        assert_eq!(dropped.sum::<u64>() + numbers.len() as u64, EVENTS, "{more}: {stderr}");
        assert!(numbers.len() > 100, "{more}: {}", numbers.len());
    }
}

#[test]
fn where_a_long_event_takes_more_memory_than_there_is_it_ends_with_status_1() {
    let long = padded(0, 4 << 20);
    let server = StandIn::new(move |connection: &mut Connection| {
        connection.accept();
        connection.event(&long);
        // Where there is no memory to decode the event, it is skipped.
        connection.end();
    });
    let least = least_memory();
    let statuses: Vec<_> = (17_000..50_000)
        .step_by(1500)
        .map(|more| {
            let options = [&*server.remote(), "-n1", "-f", "json", "--no-reconnect"];
            let outcome = finish(&mut after(&format!("ulimit -v {}; ulimit -c 0", least + more), &options));
            let is_error = outcome.status == 1
                && (outcome.stderr.starts_with("memory allocation of ") || outcome.stderr.starts_with("lxmon: "));
            assert!(is_error || outcome.status == 0, "{more}: {}\n{}", outcome.status, outcome.stderr);
            outcome.status
        })
        .collect();
    assert!(statuses.contains(&0) && statuses.contains(&1), "{statuses:?}");
}

#[test]
fn with_standard_descriptors_closed_it_ends_with_one_error() {
    let server = silent();
    for arguments in [
        &["--help"][..],
        &["--version"],
        &["--man"],
        &["--completions", "bash"],
        &["--list-actions"],
        &["--replay", EVENTS],
        &["--demo"],
        &[&*server.remote()],
    ] {
        let outcome = finish(&mut after("exec >&-", arguments));
        assert_eq!(outcome.status, 1, "{arguments:?}");
        assert_eq!(outcome.stderr, "lxmon: standard output is closed\nhint: to print nothing: >/dev/null\n");
        assert_eq!(finish(&mut after("exec <&- >&- 2>&-", arguments)).status, 1, "{arguments:?}");
    }
    // Output to /dev/null is not a closed output, in whatever mode it was opened.
    for arguments in [&["--help"][..], &["--list-actions"], &["--replay", EVENTS]] {
        assert_eq!(finish(&mut after("exec <>/dev/null >&0", arguments)).status, 0, "{arguments:?}");
    }
    let outcome = finish(&mut after("exec <&-", &["--replay", "-"]));
    assert_eq!((outcome.status, &*outcome.stderr), (1, "lxmon: standard input: it is closed\n"));
    let outcome = finish(&mut after("exec <&- 2>&-", &["--replay", EVENTS, "-n1", "-f", "json"]));
    assert_eq!((outcome.status, outcome.stdout.lines().count()), (0, 1));
}

#[test]
fn words_that_are_not_utf_8_are_one_error_or_work() {
    let word = |bytes: &'static [u8]| OsStr::from_bytes(bytes).to_owned();
    for (words, status) in [
        (vec![word(b"\xff:")], 2),
        (vec![word(b"unix:/\xff")], 2),
        (vec![word(b"--replay"), word(b"/\xff")], 1),
        (vec![word(b"--replay=\xff")], 1),
        (vec![word(b"--repl\xffy")], 2),
        (vec![word(b"-\xff")], 2),
        (vec![word(b"-n\xff")], 2),
        (vec![word(b"-i"), word(b"\xff")], 2),
        (vec![word(b"-a\xff")], 2),
        (vec![word(b"--project=\xff")], 2),
        (vec![word(b"--list-actions=\xff")], 2),
        (vec![word(b"--timeout"), word(b"\xff")], 2),
        (vec![word(b"--loglevel"), word(b"\xff")], 2),
        (vec![word(b"--color"), word(b"\xff")], 2),
        (vec![word(b"--completions"), word(b"\xff")], 2),
    ] {
        let outcome = run(&words);
        assert_eq!(outcome.status, status, "{words:?}: {}", outcome.stderr);
        let errors: Vec<_> = outcome.stderr.lines().filter(|line| !line.starts_with("hint: ")).collect();
        assert!(errors.len() == 1 && errors[0].starts_with("lxmon: "), "{words:?}: {}", outcome.stderr);
    }
    // A file name need not be UTF-8.
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join(word(b"\xff"));
    std::fs::write(&file, numbered(0)).unwrap();
    let outcome = run([OsStr::new("--replay"), file.as_os_str(), OsStr::new("-f"), OsStr::new("json")]);
    assert_eq!((outcome.status, outcome.stdout.trim_end()), (0, &*numbered(0)));
}

#[test]
fn as_the_first_process_of_a_container_it_ends_with_the_status_of_the_signal() {
    let unshare = ["unshare", "--pid", "--fork", "--mount-proc", "true"];
    let permitted = Command::new(unshare[0]).args(&unshare[1..]).stderr(Stdio::null()).status();
    if !permitted.is_ok_and(|status| status.success()) {
        println!("skipped: there may be no further PID namespace");
        return;
    }
    let in_container = |arguments: &[&str]| {
        let mut command = Command::new(unshare[0]);
        command.args(&unshare[1..4]).arg(env!("CARGO_BIN_EXE_lxmon")).args(arguments);
        command.env_clear().env("HOME", "/nonexistent");
        command
    };
    for (signal, status) in crate::signals::ending() {
        let server = silent();
        let mut running = Follower::start(&mut in_container(&[&*server.remote(), "-f", "json"]));
        running.line();
        kill_process(running.only_child(), signal).unwrap();
        let outcome = running.end();
        assert_eq!((outcome.status, &*outcome.stderr), (status, ""), "{signal:?}");
    }
    // In a container too, exceeding the limit for file sizes is a write error, not a signal that ends lxmon.
    let directory = tempfile::tempdir().unwrap();
    let mut command = Command::new("bash");
    command.args(["-c", "ulimit -f 1; exec \"$@\"", "bash"]).args(&unshare[..4]);
    command.arg(env!("CARGO_BIN_EXE_lxmon")).args(["--list-actions"]);
    let outcome = Follower::start_into(&mut command, File::create(directory.path().join("list")).unwrap()).end();
    assert_eq!(outcome.status, 1);
    assert_eq!(outcome.stderr, "lxmon: writing to standard output: File too large\n");
    let mut command = Command::new("bash");
    command.args(["-c", "ulimit -f 8; exec \"$@\"", "bash"]).args(&unshare[..4]);
    command.arg(env!("CARGO_BIN_EXE_lxmon")).args(["--replay", EVENTS]);
    let outcome = Follower::start_into(&mut command, File::create(directory.path().join("events")).unwrap()).end();
    assert_eq!((outcome.status, &*outcome.stderr), (1, "lxmon: writing to standard output: File too large\n"));
}

#[test]
fn the_demonstration_needs_no_directory_for_temporary_files() {
    let directory = tempfile::tempdir().unwrap();
    let demo = |directory: &Path| {
        let mut command = lxmon(["--demo", "-n1", "-f", "json"]);
        command.env("TMPDIR", "/nonexistent").current_dir(directory);
        finish(&mut command)
    };
    let outcome = demo(directory.path());
    assert_eq!((outcome.status, &*outcome.stderr), (0, ""));
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
    // Nobody can make a file there.
    let outcome = demo(Path::new("/proc"));
    assert_eq!(outcome.status, 1);
    let expected = "lxmon: creating a directory for the demonstration's socket: ";
    assert!(
        outcome.stderr.starts_with(expected) && outcome.stderr.contains("\nhint: set TMPDIR"),
        "{}",
        outcome.stderr
    );
}

/// Compiles a library that sets the clock to before 1970; `None` if there is no compiler.
fn early_clock(directory: &std::path::Path) -> Option<std::path::PathBuf> {
    const SHIM: &str = "
        #define _GNU_SOURCE
        #include <sys/syscall.h>
        #include <time.h>
        #include <unistd.h>
        int clock_gettime(clockid_t id, struct timespec *time) {
            int outcome = syscall(SYS_clock_gettime, id, time);
            if (id == CLOCK_REALTIME) time->tv_sec = -86400;
            return outcome;
        }
    ";
    let (source, library) = (directory.join("clock.c"), directory.join("clock.so"));
    std::fs::write(&source, SHIM).unwrap();
    let built = Command::new("gcc").args(["-shared", "-fPIC", "-o"]).args([&library, &source]).status();
    built.is_ok_and(|status| status.success()).then_some(library)
}

#[test]
fn a_clock_before_1970_is_no_reason_to_panic() {
    let directory = tempfile::tempdir().unwrap();
    let Some(clock) = early_clock(directory.path()) else {
        println!("skipped: there is no gcc");
        return;
    };
    for arguments in [&["--replay", EVENTS, "-p"][..], &["--replay", EVENTS, "-p", "--time", "delta"]] {
        let outcome = finish(lxmon(arguments).env("LD_PRELOAD", &clock));
        assert_eq!((outcome.status, &*outcome.stderr), (0, ""), "{arguments:?}");
    }
}

#[test]
fn a_clock_before_1970_is_no_reason_to_panic_when_following() {
    let directory = tempfile::tempdir().unwrap();
    let Some(clock) = early_clock(directory.path()) else {
        println!("skipped: there is no gcc");
        return;
    };
    let outcome = finish(lxmon(["--demo", "-n3", "-p"]).env("LD_PRELOAD", &clock));
    assert_eq!((outcome.status, &*outcome.stderr), (0, ""));
    // Follows a server with a gap, because notices and gap records contain times.
    let server = StandIn::new(|connection: &mut Connection| {
        connection.accept();
        connection.event(&numbered(connection.number as u64));
        if connection.number > 0 {
            connection.wait();
        }
    });
    let mut command = lxmon([&*server.remote(), "-f", "json", "-n2", "--gap-events"]);
    let outcome = finish(command.env("LD_PRELOAD", &clock));
    assert_eq!(outcome.status, 0, "{}", outcome.stderr);
    assert!(outcome.stdout.contains("\"type\":\"gap\"") && !outcome.stderr.contains("panicked"), "{}", outcome.stderr);
}
