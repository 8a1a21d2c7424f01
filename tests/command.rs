//! `-- COMMAND`: when it is started, what it inherits, and how its end and lxmon's depend on each other.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, Signal};
use tempfile::TempDir;

use crate::ready::gated;
use crate::signals::ending;
use crate::support::program::{Follower, PATIENCE, finish, lxmon, run, terminal};
use crate::support::standin::{Connection, StandIn, numbered, opcode};
use crate::support::{each_at_once, wait_until};

/// The failure of an operation about the instance `c1`.
const FAILURE: &str = r#"{"type":"operation","timestamp":"2027-01-15T08:00:00Z","metadata":{"description":"Starting instance","status_code":400,"err":"no space","resources":{"instances":["/1.0/instances/c1"]}},"project":"default"}"#;

/// A server, and a directory in which the files `1`, `2` and so on make it send the event of that number, and the file
/// `fail` a failure. The file `end` ends the connection.
struct Scene {
    // Dropped first, which ends the server's script.
    directory: TempDir,
    server: StandIn,
}

impl Scene {
    fn new() -> Self {
        let directory = TempDir::new().unwrap();
        let path = directory.path().to_owned();
        let server = StandIn::new(move |connection: &mut Connection| {
            connection.accept();
            let mut next = 1;
            let mut has_failed = false;
            // A client that has left is never quiet. One that asks for a sign of life sends a few bytes.
            let mut loud = 0;
            while path.exists() && loud < 100 {
                loud = if connection.is_quiet(Duration::from_millis(5)) { 0 } else { loud + 1 };
                if path.join(next.to_string()).exists() {
                    connection.event(&numbered(next));
                    next += 1;
                } else if !has_failed && path.join("fail").exists() {
                    has_failed = true;
                    connection.event(FAILURE);
                } else if path.join("end").exists() {
                    let _ = fs::remove_file(path.join("end"));
                    return connection.end();
                }
            }
        });
        Self { directory, server }
    }

    /// lxmon with these options and this script of a shell as its command, which runs in the directory.
    fn lxmon(&self, options: &[&str], script: &str) -> Command {
        let mut command = lxmon([&*self.server.remote(), "-f", "json"]);
        command.args(options).args(["--", "sh", "-c", script]).current_dir(self.directory.path());
        command.env("PATH", std::env::var_os("PATH").unwrap());
        command
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn create(&self, name: &str) {
        File::create(self.path(name)).unwrap();
    }
}

/// A line of shell that waits until the file exists.
fn until(file: &str) -> String {
    format!("while ! test -e {file}; do sleep 0.02; done;")
}

/// Whether the process has not ended.
fn is_alive(process: Pid) -> bool {
    let stat = fs::read_to_string(format!("/proc/{}/stat", process.as_raw_nonzero()));
    stat.is_ok_and(|stat| !stat.contains(") Z "))
}

#[test]
fn it_is_started_once_all_remotes_are_followed() {
    let [(first, open_first), (second, open_second)] = [gated(), gated()];
    let remotes = [&*first.remote(), &*second.remote()];
    let command = ["-v", "-f", "json", "-n1", "--", "/bin/sh", "-c", "echo begun; exit 3"];
    let mut program = Follower::start(lxmon(remotes.iter().chain(&command)));
    open_second.send(()).unwrap();
    // The event of the one that is followed is printed, but does not count, as it is not an effect of the command.
    assert!(program.line().contains("instances/c1"));
    assert!(!program.has_notice("started the command"), "one of them is not followed yet");
    open_first.send(()).unwrap();
    let outcome = program.end();
    assert_eq!(outcome.status, 3, "{}", outcome.stderr);
    let position = |text: &str| outcome.stderr.find(text).unwrap_or_else(|| panic!("{text}: {}", outcome.stderr));
    assert!(position(&format!("{}: subscribed after", first.remote())) < position("started the command"));
    assert!(position(&format!("{}: subscribed after", first.remote())) < position("begun\n"));
}

#[test]
fn a_subscription_is_confirmed_before_a_command_relies_on_it() {
    // The servers answer the request before they register the listener, and answer pings afterwards.
    let server = StandIn::new(|connection: &mut Connection| {
        connection.accept();
        if connection.number == 0 {
            assert_eq!(connection.read_frame().map(|(opcode, _)| opcode), Some(opcode::PING));
            connection.frame(true, opcode::PONG, b"");
        } else {
            // Nobody acts on the subscription.
            assert!(connection.is_quiet(Duration::from_millis(500)));
        }
        connection.event(&numbered(1));
        connection.wait();
    });
    let outcome = run([&*server.remote(), "-f", "json", "--", "/bin/sh", "-c", "exit 3"]);
    assert_eq!((outcome.status, outcome.stdout.trim_end()), (3, &*numbered(1)), "{}", outcome.stderr);
    assert_eq!(run([&*server.remote(), "-n1"]).status, 0);
}

#[test]
fn events_are_on_standard_output_and_all_that_the_command_prints_on_standard_error() {
    let scene = Scene::new();
    let outcome = finish(&mut scene.lxmon(&[], "echo out; echo err >&2; touch 1"));
    assert_eq!((outcome.status, outcome.stdout.trim_end(), &*outcome.stderr), (0, &*numbered(1), "out\nerr\n"));
}

#[test]
fn its_status_is_that_of_lxmon_after_what_is_on_its_way() {
    let cases = [
        ("touch 1", 0),
        ("touch 1; exit 7", 7),
        ("touch 1; exit 255", 255),
        ("touch 1; kill -KILL $$", 137),
        ("touch 1; kill -TERM $$", 143),
    ];
    each_at_once(cases, |(script, status)| {
        for options in [&[][..], &["--timeout=60s"], &["--fail-fast"]] {
            let scene = Scene::new();
            let outcome = finish(&mut scene.lxmon(options, script));
            assert_eq!((outcome.status, outcome.stdout.trim_end()), (status, &*numbered(1)), "{script} {options:?}");
            assert_eq!(outcome.stderr, "", "{script} {options:?}");
        }
        // With a count that is not reached, only a failed command ends it.
        let scene = Scene::new();
        let outcome = finish(&mut scene.lxmon(&["-n2", "--timeout=2s"], script));
        assert_eq!((outcome.status, outcome.stdout.lines().count()), (if status == 0 { 124 } else { status }, 1));
    });
}

#[test]
fn after_a_command_that_succeeds_it_waits_for_the_number_of_events() {
    let scene = Scene::new();
    let mut program = Follower::start(scene.lxmon(&["-n2", "-v"], "touch 1; sleep 0.1"));
    program.wait_for_notice("the command has ended with status 0");
    // It leaves no zombie, and is still there after the half second that it waits without a count.
    let id = program.id();
    let children = || fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap();
    wait_until(|| children().is_empty());
    std::thread::sleep(Duration::from_secs(1));
    scene.create("2");
    let outcome = program.end();
    assert_eq!((outcome.status, outcome.stdout), (0, format!("{}\n{}\n", numbered(1), numbered(2))));
}

#[test]
fn when_the_number_is_reached_it_waits_for_the_command_and_takes_its_status() {
    for (rest, status) in [("exit 0", 0), ("exit 5", 5)] {
        let scene = Scene::new();
        let mut program = Follower::start(scene.lxmon(&["-n1", "-v"], &format!("touch 1; {} {rest}", until("go"))));
        program.wait_for_notice("waiting for the end of the command");
        let command = program.only_child();
        // Nothing more is printed.
        scene.create("2");
        scene.create("go");
        let outcome = program.end();
        assert_eq!((outcome.status, outcome.stdout.trim_end()), (status, &*numbered(1)), "{}", outcome.stderr);
        wait_until(|| !is_alive(command));
    }
}

#[test]
fn a_reader_that_is_gone_does_not_end_the_command() {
    let scene = Scene::new();
    let mut program = Follower::start(scene.lxmon(&["-v"], &format!("echo begun; {} exit 6", until("go"))));
    while !program.has_notice("begun") {
        std::thread::sleep(Duration::from_millis(5));
    }
    program.close_stdout();
    program.wait_for_notice("waiting for the end of the command");
    scene.create("go");
    assert_eq!(program.end().status, 6);
}

#[test]
fn what_cannot_be_started_is_one_error() {
    let scene = Scene::new();
    let file = |name: &str, text: &str, mode: u32| {
        fs::write(scene.path(name), text).unwrap();
        fs::set_permissions(scene.path(name), fs::Permissions::from_mode(mode)).unwrap();
        scene.path(name).to_str().unwrap().to_owned()
    };
    let plain = file("plain", "echo x\n", 0o644);
    let lost = file("lost", "#!/nonexistent/interpreter\n", 0o755);
    let broken = file("broken", "\u{7f}ELF", 0o755);
    let directory = scene.directory.path().to_str().unwrap();
    for (program, status, says) in [
        ("nosuch", 127, "cannot start \"nosuch\": there is no such command\nhint: what follows `--` is a program"),
        ("/nonexistent/x", 127, "there is no such command\nhint: "),
        ("lxc start c1", 127, "hint: write the command and each argument as a word of its own, or: -- sh -c 'COMMAND'"),
        ("n1:", 127, "hint: remotes stand before the `--`: lxmon n1: -- COMMAND"),
        ("no\u{1b}such", 127, "there is no such command\nhint: "),
        (&plain, 126, "Permission denied\nhint: make it executable: chmod +x "),
        (directory, 126, "it is a directory\nhint: name a program in it"),
        (&lost, 126, "the interpreter that its first line names is not found\nhint: see the first line: head -n1 "),
        (&broken, 126, "hint: a script needs a first line such as #!/bin/sh"),
    ] {
        let outcome = run([&*scene.server.remote(), "-n1", "--timeout=10s", "--", program, "argument"]);
        assert_eq!((outcome.status, &*outcome.stdout), (status, ""), "{program}: {}", outcome.stderr);
        assert!(
            outcome.stderr.starts_with("lxmon: cannot start ") && outcome.stderr.contains(says),
            "{}",
            outcome.stderr
        );
        assert!(outcome.stderr.lines().count() == 2 && !outcome.stderr.contains('\u{1b}'), "{}", outcome.stderr);
    }
}

#[test]
fn it_is_never_started_without_a_subscription() {
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("started");
    let touch = ["--", "/bin/sh", "-c", "echo > \"$0\"", file.to_str().unwrap()];
    let refusing = StandIn::new(|connection: &mut Connection| connection.refuse("403 Forbidden", "not authorized"));
    let silent = StandIn::new(Connection::wait);
    for (remote, options, status) in [
        ("unix:/nonexistent", &[][..], 1),
        (&*refusing.remote(), &[], 1),
        (&silent.remote(), &["--timeout=200ms"], 124),
        ("unix:/nonexistent", &["--retry", "--timeout=200ms"], 124),
    ] {
        let outcome = finish(&mut lxmon([&[remote], options, &touch[..]].concat()));
        assert_eq!(outcome.status, status, "{remote} {options:?}: {}", outcome.stderr);
        assert!(!file.exists(), "{remote} {options:?}");
    }
    // Whoever reads the output leaves before.
    let mut program = Follower::start(lxmon([&[&*silent.remote()], &touch[..]].concat()));
    program.close_stdout();
    let outcome = program.end();
    assert_eq!(outcome.status, 1);
    assert!(outcome.stderr.contains("closed it before the command was started"), "{}", outcome.stderr);
    for (signal, status) in ending() {
        let program = Follower::start(lxmon([&[&*silent.remote()], &touch[..]].concat()));
        wait_until(|| !silent.requests().is_empty());
        program.signal(signal);
        assert_eq!(program.end().status, status);
    }
    assert!(!file.exists());
}

#[test]
fn a_timeout_ends_the_command() {
    for (options, status) in [(&["--timeout=1s"][..], 124), (&["--timeout=1s", "-n1"], 124)] {
        let scene = Scene::new();
        let script = "trap 'echo got TERM; exit 3' TERM; while :; do sleep 0.02; done";
        let outcome = finish(&mut scene.lxmon(options, script));
        assert_eq!((outcome.status, &*outcome.stderr), (status, "got TERM\n"), "{options:?}");
    }
    // It also ends the wait for the command after the number was reached.
    let scene = Scene::new();
    let script = "touch 1; trap 'echo got TERM; exit 3' TERM; while :; do sleep 0.02; done";
    let outcome = finish(&mut scene.lxmon(&["--timeout=2s", "-n1"], script));
    assert_eq!((outcome.status, &*outcome.stderr, outcome.stdout.lines().count()), (124, "got TERM\n", 1));
}

#[test]
fn a_signal_is_passed_on_and_ends_lxmon_after_the_command() {
    for (signal, status) in ending() {
        let scene = Scene::new();
        let name = format!("{signal:?}").to_lowercase();
        let script = format!(
            "for s in INT TERM HUP; do trap \"echo got $s; touch 1; sleep 1; exit 3\" $s; done; echo begun; {}",
            until("never")
        );
        let mut program = Follower::start(scene.lxmon(&[], &script));
        program.wait_for_notice("begun");
        program.signal(signal);
        let outcome = program.end();
        assert_eq!((outcome.status, outcome.stderr.lines().count()), (status, 2), "{name}: {}", outcome.stderr);
        // What the command causes while it ends is printed.
        assert_eq!(outcome.stdout.trim_end(), numbered(1), "{name}");
    }
}

#[test]
fn a_command_that_ignores_a_signal_is_waited_for_and_left() {
    each_at_once([true, false], |is_second| {
        let scene = Scene::new();
        let script = format!("trap 'echo ignored' TERM; echo begun; {}", until("go"));
        let mut program = Follower::start(scene.lxmon(&[], &script));
        program.wait_for_notice("begun");
        let command = program.only_child();
        program.signal(Signal::TERM);
        program.wait_for_notice("ignored");
        let sent = Instant::now();
        if is_second {
            program.signal(Signal::TERM);
        } else {
            program.wait_for_notice(&format!("process {} goes on", command.as_raw_nonzero()));
        }
        let status = program.exit_status();
        assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(Signal::TERM.as_raw()));
        assert!(is_alive(command));
        assert_eq!(sent.elapsed() > Duration::from_secs(3), !is_second);
        scene.create("go");
        wait_until(|| !is_alive(command));
    });
}

#[test]
fn it_inherits_what_a_shell_would_give_it() {
    let scene = Scene::new();
    // Signals, descriptors, the environment, standard input.
    let descriptors = "ls -1 /proc/self/fd | wc -l";
    let script = format!("grep -E 'SigIgn|SigBlk' /proc/self/status; {descriptors}; env; exec cat");
    let mut command = scene.lxmon(&[], &script);
    for name in ["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "KEPT"] {
        command.env(name, "1");
    }
    let streams = [Stdio::piped(), Stdio::piped(), Stdio::piped()];
    let mut program = Follower::start_with(&mut command, streams);
    program.write(b"from standard input\n");
    program.wait_for_notice("from standard input");
    program.signal(Signal::TERM);
    let stderr = program.end().stderr;
    let bits = |name: &str| {
        let line = stderr.lines().find(|line| line.starts_with(name)).unwrap();
        u64::from_str_radix(line.split_whitespace().nth(1).unwrap(), 16).unwrap()
    };
    // The tests may have been started with an ignored SIGHUP. SIGPIPE is what programs in Rust ignore.
    assert_eq!((bits("SigIgn") & (1 << (Signal::PIPE.as_raw() - 1)), bits("SigBlk")), (0, 0), "{stderr}");
    // The tests may have inherited descriptors, which every program that they start inherits too.
    let usual = Command::new("sh").args(["-c", descriptors]).stdin(Stdio::null()).output().unwrap().stdout;
    let usual = String::from_utf8(usual).unwrap();
    assert!(stderr.lines().any(|line| line.trim() == usual.trim()), "{usual}: {stderr}");
    assert!(
        stderr.contains("KEPT=1") && !stderr.contains("NOTIFY_SOCKET=") && !stderr.contains("WATCHDOG"),
        "{stderr}"
    );
}

#[test]
fn it_does_not_hold_the_descriptor_of_ready_fd_open() {
    let scene = Scene::new();
    let program = scene.lxmon(&["--ready-fd=9"], &format!("readlink /proc/self/fd/9; {}", until("go")));
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(r#"exec "$0" "$@" 9>&1 >/dev/null"#).arg(program.get_program()).args(program.get_args());
    shell.current_dir(scene.directory.path());
    let mut program = Follower::start(shell);
    program.wait_for_notice("/dev/null");
    assert_eq!(program.line(), "ready\n");
    scene.create("go");
    assert_eq!(program.end().status, 0);
}

#[test]
fn its_status_is_known_although_ended_children_are_ignored() {
    let scene = Scene::new();
    let program = scene.lxmon(&[], "exit 3");
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(r#"trap '' CHLD; exec "$0" "$@""#).arg(program.get_program()).args(program.get_args());
    assert_eq!(finish(&mut shell).status, 3);
}

#[test]
fn a_lost_connection_does_not_end_the_command_unless_it_ends_lxmon() {
    let scene = Scene::new();
    let script = format!("touch 1; {} exit 3", until("go"));
    let mut program = Follower::start(scene.lxmon(&[], &script));
    assert_eq!(program.line().trim_end(), numbered(1));
    scene.create("end");
    program.wait_for_notice("reconnected after ");
    scene.create("go");
    assert_eq!(program.end().status, 3);

    for (option, status) in [("--no-reconnect", 1), ("--fail-on-gap", 3)] {
        let scene = Scene::new();
        let script = "touch 1; trap 'echo got TERM; exit 5' TERM; while :; do sleep 0.02; done";
        let mut program = Follower::start(scene.lxmon(&[option], script));
        assert_eq!(program.line().trim_end(), numbered(1));
        scene.create("end");
        // The error is printed before the command ends.
        program.wait_for_notice("connection lost");
        let outcome = program.end();
        assert_eq!(outcome.status, status, "{option}: {}", outcome.stderr);
        assert!(outcome.stderr.ends_with("got TERM\n"), "{option}: {}", outcome.stderr);
    }
}

#[test]
fn a_failure_ends_the_command_and_wins_over_its_status() {
    let error = "lxmon: c1: Starting instance failed: no space\n";
    let options = ["-n1", "-a", "instance-started", "-i", "c1", "--fail-fast", "--timeout=60s"];
    for (script, stderr) in [
        // The command fails for the same reason, before or after the event.
        (format!("touch fail; {} exit 1", until("go")), error.to_owned()),
        ("touch fail; exit 1".to_owned(), error.to_owned()),
        ("touch fail; exit 0".to_owned(), error.to_owned()),
        // It has half a second to end by itself.
        ("touch fail; sleep 0.1; echo failed".to_owned(), format!("{error}failed\n")),
        (
            "touch fail; trap 'echo got TERM; exit 0' TERM; while :; do sleep 0.02; done".to_owned(),
            format!("{error}got TERM\n"),
        ),
    ] {
        let scene = Scene::new();
        let mut program = Follower::start(scene.lxmon(&options, &script));
        program.wait_for_notice("no space");
        scene.create("go");
        let outcome = program.end();
        assert_eq!((outcome.status, &*outcome.stdout), (4, ""), "{script}: {}", outcome.stderr);
        let (ours, theirs): (Vec<_>, Vec<_>) = outcome.stderr.lines().partition(|line| line.starts_with("lxmon"));
        let (our, their): (Vec<_>, Vec<_>) = stderr.lines().partition(|line| line.starts_with("lxmon"));
        assert_eq!((ours, theirs), (our, their), "{script}");
    }
    // A failure of another instance, and one that comes after the number was reached.
    let scene = Scene::new();
    let outcome = finish(&mut scene.lxmon(&["-i", "c2", "--fail-fast"], "touch fail; sleep 0.2; exit 3"));
    assert_eq!((outcome.status, &*outcome.stderr), (3, ""));
    let scene = Scene::new();
    let script = format!("touch 1; {} exit 3", until("go"));
    let mut program = Follower::start(scene.lxmon(&["-n1", "--fail-fast", "-v"], &script));
    program.wait_for_notice("waiting for the end of the command");
    scene.create("fail");
    scene.create("go");
    assert_eq!(program.end().status, 3);
}

#[test]
fn what_makes_no_sense_with_a_command_is_one_error() {
    for (arguments, says) in [
        (&["--"][..], "nothing follows the '--': write a command behind it"),
        (&["-n1", "local:", "--"], "nothing follows the '--'"),
        (&["--", ""], "the name of the command is empty\nhint: "),
        (&["--replay", "-", "--", "true"], "'--replay <FILE>...' cannot be used with '[COMMAND]...'"),
        (&["--demo", "--", "true"], "'--demo' cannot be used with '[COMMAND]...'"),
        (&["--list-actions", "--", "true"], "'--list-actions [<GLOB>]' cannot be used with '[COMMAND]...'"),
        (&["--man", "--", "true"], "cannot be used with"),
    ] {
        let outcome = run(arguments);
        assert_eq!((outcome.status, &*outcome.stdout), (2, ""), "{arguments:?}: {}", outcome.stderr);
        assert!(outcome.stderr.starts_with("lxmon: ") && outcome.stderr.contains(says), "{}", outcome.stderr);
        assert_eq!(outcome.stderr.lines().count(), 2, "{arguments:?}: {}", outcome.stderr);
    }
}

/// A shell with job control on a terminal of its own, which runs lxmon.
struct Terminal {
    keys: File,
    shell: Follower,
    shown: String,
    scene: Scene,
}

impl Terminal {
    /// Runs lxmon with these options and this script as its command.
    fn run(options: &str, script: &str) -> Self {
        let scene = Scene::new();
        let (terminal, theirs) = terminal();
        let mut bash = Command::new("setsid");
        bash.args(["--ctty", "bash", "--norc", "--noprofile", "-i"]).current_dir(scene.directory.path());
        bash.env_clear().env("PATH", std::env::var_os("PATH").unwrap()).env("PS1", "READY> ").env("TERM", "dumb");
        bash.env("HOME", "/nonexistent").env("SCRIPT", script).env("LXMON", env!("CARGO_BIN_EXE_lxmon"));
        let streams = [theirs.try_clone().unwrap(), theirs.try_clone().unwrap(), theirs].map(Stdio::from);
        let shell = Follower::start_with(bash, streams);
        let mut terminal = Self { keys: terminal, shell, shown: String::new(), scene };
        terminal.wait_for("READY>");
        let remote = terminal.scene.server.remote();
        terminal.type_in(&format!("\"$LXMON\" {remote} -f json {options} -- sh -c \"$SCRIPT\"; echo status=$?\r"));
        terminal
    }

    fn type_in(&mut self, text: &str) {
        self.keys.write_all(text.as_bytes()).unwrap();
    }

    /// Reads what is shown until it contains `text`, and forgets it. Returns what it forgets.
    fn wait_for(&mut self, text: &str) -> String {
        let mut some = [0; 4096];
        loop {
            if let Some(at) = self.shown.find(text) {
                return self.shown.drain(..at + text.len()).collect();
            }
            let mut keys = [PollFd::new(&self.keys, PollFlags::IN)];
            let patience = PATIENCE.try_into().unwrap();
            assert_eq!(poll(&mut keys, Some(&patience)), Ok(1), "{text:?} is never shown:\n{}", self.shown);
            let length = self.keys.read(&mut some).unwrap();
            self.shown += &String::from_utf8_lossy(&some[..length]);
        }
    }

    fn process_group_of_lxmon(&self) -> Vec<PathBuf> {
        let shell = self.shell.id();
        let children = fs::read_to_string(format!("/proc/{shell}/task/{shell}/children")).unwrap();
        let lxmon: Vec<_> = children.split_whitespace().map(|id| Path::new("/proc").join(id)).collect();
        let of = |process: &PathBuf| {
            let id = process.file_name().unwrap().to_str().unwrap();
            let children = fs::read_to_string(process.join("task").join(id).join("children")).unwrap_or_default();
            children.split_whitespace().map(|id| Path::new("/proc").join(id)).collect::<Vec<_>>()
        };
        lxmon.iter().flat_map(of).chain(lxmon.clone()).collect()
    }
}

#[test]
fn a_command_that_reads_the_terminal_can_be_stopped_and_continued() {
    let mut terminal = Terminal::run("", "echo begun; exec cat");
    terminal.wait_for("begun");
    terminal.type_in("one\r");
    // The terminal shows what is typed, and then cat does.
    terminal.wait_for("one\r\none\r\n");
    terminal.type_in("\u{1a}");
    terminal.wait_for("Stopped");
    terminal.wait_for("READY>");
    let state = |process: &PathBuf| fs::read_to_string(process.join("stat")).unwrap_or_default().contains(") T ");
    // Until it is stopped, cat would read what is typed for the shell.
    wait_until(|| terminal.process_group_of_lxmon().iter().filter(|process| state(process)).count() >= 2);
    terminal.type_in("fg\r");
    terminal.wait_for("SCRIPT");
    terminal.type_in("two\r");
    terminal.wait_for("two\r\ntwo\r\n");
    terminal.type_in("\u{4}");
    terminal.wait_for("READY>");
    terminal.type_in("echo is=$?\r");
    terminal.wait_for("is=0\r\n");
}

/// Whether the interrupt key can end programs: those that the tests start ignore it if the tests were started to.
fn has_interrupt_key() -> bool {
    let has = ending().iter().any(|(signal, _)| *signal == Signal::INT);
    if !has {
        eprintln!("skipped: the tests were started with SIGINT ignored");
    }
    has
}

#[test]
fn the_interrupt_key_reaches_both_and_each_once() {
    if !has_interrupt_key() {
        return;
    }
    // A trap interrupts `wait` at once, so that a second signal would be seen.
    let script = "trap 'echo interrupted' INT; echo begun; sleep 1 & wait $!; wait $!; wait $!; exit 3";
    let mut terminal = Terminal::run("-n1", script);
    terminal.wait_for("begun");
    terminal.type_in("\u{3}");
    terminal.wait_for("interrupted\r\n");
    let shown = terminal.wait_for("READY>");
    assert!(!shown.contains("interrupted"), "{shown}");
    terminal.type_in("echo is=$?\r");
    terminal.wait_for("is=130\r\n");
    // One that does not handle it dies of it.
    let mut terminal = Terminal::run("", "echo begun; exec sleep 1000");
    terminal.wait_for("begun");
    terminal.type_in("\u{3}");
    terminal.wait_for("READY>");
    terminal.type_in("echo is=$?\r");
    terminal.wait_for("is=130\r\n");
}

#[test]
fn a_command_that_goes_on_after_the_interrupt_key_keeps_lxmon() {
    if !has_interrupt_key() {
        return;
    }
    let script = "trap 'echo survived' INT; echo begun; while ! test -e go; do sleep 0.02; done; exit 3";
    let mut terminal = Terminal::run("", script);
    terminal.wait_for("begun");
    terminal.type_in("\u{3}");
    terminal.wait_for("survived\r\n");
    // Longer than it waits for the end of a command after a signal.
    std::thread::sleep(Duration::from_secs(7));
    terminal.scene.create("go");
    terminal.wait_for("status=3\r\n");
}
