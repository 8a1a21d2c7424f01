//! `--exec` and `--debounce`: what a command gets of the events, and that nothing it does or gets harms anybody.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, mpsc};
use std::time::Duration;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use rustix::process::{Pid, Signal, kill_process, kill_process_group, test_kill_process};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::signals::is_ignored;
use crate::support::program::{Follower, Outcome, finish, lxmon};
use crate::support::standin::{Connection, StandIn, frame, numbered, opcode};
use crate::support::{each_at_once, wait_until};

/// A directory in which commands run and leave their traces.
struct Place {
    directory: TempDir,
}

impl Place {
    fn new() -> Self {
        Self { directory: TempDir::new().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// lxmon with these arguments, working here.
    fn lxmon(&self, arguments: &[&str]) -> Command {
        let mut command = lxmon(arguments);
        command.current_dir(self.directory.path());
        command
    }

    /// Replays events with these arguments.
    fn replay(&self, events: &[String], arguments: &[&str]) -> Outcome {
        fs::write(self.path("events"), events.join("\n")).unwrap();
        finish(self.lxmon(&["--replay", "events"]).args(arguments))
    }

    /// The lines of a file that commands have written.
    fn lines(&self, name: &str) -> Vec<String> {
        fs::read_to_string(self.path(name)).unwrap_or_default().lines().map(str::to_owned).collect()
    }

    /// Makes a FIFO at which commands wait: `read x < gate`.
    fn gate(&self) {
        let mode = 0o600.into();
        rustix::fs::mknodat(rustix::fs::CWD, self.path("gate"), rustix::fs::FileType::Fifo, mode, 0).unwrap();
    }

    /// Lets one command pass, once it waits.
    fn open_gate(&self) {
        fs::write(self.path("gate"), "\n").unwrap();
    }
}

/// A server that sends as many events as the test asks for, each time it asks, and then waits.
fn on_demand() -> (StandIn, mpsc::Sender<u64>) {
    let (server, more, _) = until_left();
    (server, more)
}

/// The same, which also reports, once the test cannot ask any more, that lxmon has left.
fn until_left() -> (StandIn, mpsc::Sender<u64>, mpsc::Receiver<()>) {
    let ((more, numbers), (say, left)) = (mpsc::channel(), mpsc::channel());
    let (numbers, say) = (Mutex::new(numbers), Mutex::new(say));
    let server = StandIn::new(move |connection: &mut Connection| {
        let mut next = 0;
        connection.accept();
        while let Ok(number) = numbers.lock().unwrap().recv() {
            // In one write, so that all of them have come when the first one is printed.
            let frames = (next..next + number)
                .map(|number| frame(true, opcode::TEXT, format!("{}\n", numbered(number)).as_bytes()));
            connection.write(&frames.collect::<Vec<_>>().concat());
            next += number;
        }
        connection.wait();
        // Fails if the test does not listen.
        let _ = say.lock().unwrap().send(());
    });
    (server, more, left)
}

/// A process that has ended and that its parent has waited for.
fn is_gone(process: &str) -> bool {
    let process = Pid::from_raw(process.trim().parse().unwrap()).unwrap();
    test_kill_process(process).is_err()
}

/// Leaves the variables and the standard input of the run with number N in the files `N.env` and `N.in`.
const KEEP: &str = "n=$(ls *.env 2>/dev/null | wc -l); env -0 > $n.env.part; cat > $n.in; mv $n.env.part $n.env";

/// What a run has got: its variables by their names without `LXMON_`, and its standard input.
fn kept(place: &Place, number: usize) -> (BTreeMap<String, String>, String) {
    let variables = String::from_utf8(fs::read(place.path(&format!("{number}.env"))).unwrap()).unwrap();
    let ours = variables.split('\0').filter_map(|pair| pair.strip_prefix("LXMON_")?.split_once('='));
    let input = String::from_utf8(fs::read(place.path(&format!("{number}.in"))).unwrap()).unwrap();
    (ours.map(|(name, value)| (name.to_owned(), value.to_owned())).collect(), input)
}

/// Texts that a shell would run, expand, split or take for an option if they were ever part of a command.
const HOSTILE: [&str; 18] = [
    "$(touch pwned)",
    "`touch pwned`",
    "\"; touch pwned; \"",
    "'; touch pwned; '",
    "\ntouch pwned\n",
    "\r\ntouch pwned #",
    "&& touch pwned",
    "| touch pwned",
    "> pwned",
    "$LXMON_TYPE ${IFS} $((1+1)) ~ * ? [a-z] {a,b} !!",
    "-rf",
    "--help",
    "\\",
    "%s%n%00",
    "\u{1b}[31m\u{7}\u{7f}\u{85}\u{202e}",
    " ü 日本 \u{1f600}\t ",
    "()  { :;}; touch pwned",
    "LXMON_COUNT=7\nPATH=.",
];

#[test]
fn whatever_stands_in_an_event_nothing_of_it_is_run_and_every_byte_arrives() {
    let place = Place::new();
    let lifecycle = |text: &str| {
        let source = format!("/1.0/instances/{}?project={text}", utf8_percent_encode(text, NON_ALPHANUMERIC));
        json!({"type": "lifecycle", "timestamp": text, "location": text, "project": text,
            "metadata": {"action": text, "source": source, "context": {"user.key": text, text: text}}})
    };
    let logging = |text: &str| {
        json!({"type": "logging", "timestamp": "2026-11-26T12:00:00Z",
            "metadata": {"level": "info", "message": text, "context": {"instance": text, "config": text}}})
    };
    // The types of unknown events are whatever the server says.
    let unknown = |text: &str| json!({"type": text, "metadata": text});
    let events: Vec<Value> = HOSTILE.iter().flat_map(|text| [lifecycle(text), logging(text), unknown(text)]).collect();
    let texts: Vec<_> = events.iter().map(Value::to_string).collect();
    // `printf` and `echo` use the variables as a careful user does.
    let command = format!("{KEEP}; printf '%s' \"$LXMON_INSTANCE$LXMON_SOURCE$LXMON_ACTION\" >/dev/null");
    let outcome = place.replay(&texts, &["--exec", &command, "--sort-window=0"]);
    assert_eq!((outcome.status, &*outcome.stdout, &*outcome.stderr), (0, "", ""));
    assert!(!place.path("pwned").exists(), "a part of an event was run");
    for (number, event) in events.iter().enumerate() {
        let (variables, input) = kept(&place, number);
        assert_eq!(input, texts[number].clone() + "\n");
        let text = HOSTILE[number / 3];
        let of = |name: &str| variables.get(name).map(String::as_str);
        assert_eq!((of("TYPE"), of("COUNT")), (event["type"].as_str(), Some("1")), "{event}");
        assert_eq!(of("SOURCE"), event["metadata"]["source"].as_str(), "{event}");
        assert_eq!(of("ACTION"), event["metadata"]["action"].as_str(), "{event}");
        for (name, key) in [("PROJECT", "project"), ("LOCATION", "location"), ("TIMESTAMP", "timestamp")] {
            assert_eq!(of(name), event[key].as_str(), "{event}");
        }
        let instance = (number % 3 < 2).then(|| text.split('/').next().unwrap());
        assert_eq!(of("INSTANCE"), instance, "{event}");
        assert_eq!(of("REMOTE"), None);
    }
}

#[test]
fn what_fits_into_no_variable_is_left_out_and_stands_on_standard_input() {
    let place = Place::new();
    let long = "x".repeat(200 << 10);
    let event = |source: &str, project: &str| {
        let metadata = json!({"action": "instance-started", "source": source});
        json!({"type": "lifecycle", "location": "x".repeat(105 << 10), "project": project, "metadata": metadata})
            .to_string()
    };
    let events = [event(&long, "a"), event(&long, "b"), event("a\0b", "c"), event("a\0b", "d\0")];
    let outcome = place.replay(&events, &["--exec", KEEP, "--sort-window=0"]);
    let notices: Vec<_> = outcome.stderr.lines().collect();
    assert_eq!((outcome.status, notices.len()), (0, 2), "{notices:?}");
    assert!(
        notices[0].contains("LXMON_SOURCE is not set where it cannot be: 204800 bytes are too long"),
        "{notices:?}"
    );
    assert!(notices[1].contains("LXMON_SOURCE is not set where it cannot be: it contains a NUL"), "{notices:?}");
    for (number, (event, project)) in events.iter().zip([Some("a"), Some("b"), Some("c"), None]).enumerate() {
        let (variables, input) = kept(&place, number);
        assert_eq!(input.trim_end(), event);
        assert_eq!(variables.get("PROJECT").map(String::as_str), project);
        assert!(!variables.contains_key("SOURCE") && variables["ACTION"] == "instance-started");
    }

    // The system limits all variables together too, to a quarter of the limit of the stack.
    let place = Place::new();
    let events = [event(&"x".repeat(110 << 10), &"y".repeat(120 << 10))];
    fs::write(place.path("events"), &events[0]).unwrap();
    let mut limited = Command::new("prlimit");
    limited.arg("--stack=1200000").arg(env!("CARGO_BIN_EXE_lxmon")).args(["--replay", "events", "--exec", KEEP]);
    limited.current_dir(place.directory.path()).env_clear().env("PATH", "/usr/bin:/bin");
    let outcome = finish(&mut limited);
    assert!(outcome.stderr.contains("LXMON_PROJECT is not set"), "{}", outcome.stderr);
    let (variables, input) = kept(&place, 0);
    assert_eq!((variables["SOURCE"].len(), input.trim_end()), (110 << 10, &*events[0]));
}

#[test]
fn events_are_printed_besides_if_a_format_is_given() {
    let place = Place::new();
    let events = [numbered(0), numbered(1)];
    let exec = ["--exec", "echo \"run $LXMON_INSTANCE\""];
    let outcome = place.replay(&events, &exec);
    assert_eq!((outcome.status, &*outcome.stdout, &*outcome.stderr), (0, "run c0\nrun c1\n", ""));
    for format in [&["-f", "json"][..], &["-p"]] {
        let outcome = place.replay(&events, &[&exec[..], format].concat());
        assert_eq!((outcome.status, outcome.stdout.lines().count()), (0, 2), "{format:?}");
        assert_eq!(outcome.stderr, "run c0\nrun c1\n", "{format:?}");
    }
    // A preference in the environment does not change what a script does.
    let outcome = finish(place.lxmon(&["--replay", "events"]).args(exec).env("LXMON_FORMAT", "json"));
    assert_eq!((outcome.status, &*outcome.stdout), (0, "run c0\nrun c1\n"));
}

#[test]
fn of_several_remotes_each_event_names_its_own() {
    let place = Place::new();
    let servers = [(); 2].map(|()| {
        StandIn::new(|connection: &mut Connection| {
            connection.accept();
            connection.event(&numbered(0));
            connection.wait();
        })
    });
    let [one, two] = [servers[0].remote(), servers[1].remote()];
    let outcome = finish(&mut place.lxmon(&[&one, &two, "-n2", "--exec", "echo \"$LXMON_REMOTE\"; cat"]));
    let lines: Vec<_> = outcome.stdout.lines().collect();
    assert_eq!((outcome.status, lines.len()), (0, 4), "{}", outcome.stderr);
    for pair in lines.chunks(2) {
        let event: Value = serde_json::from_str(pair[1]).unwrap();
        assert!((pair[0] == one || pair[0] == two) && event["remote"] == pair[0], "{pair:?}");
    }
    assert_ne!(lines[0], lines[2]);
}

#[test]
fn a_command_that_hangs_delays_no_event_and_what_it_costs_is_counted() {
    const BURSTS: u64 = 40;
    const BURST: u64 = 50;
    let place = Place::new();
    place.gate();
    let (server, more) = on_demand();
    let command = "[ -e open ] || read x < gate; cat >> log";
    let total = BURSTS * BURST + 1;
    let count = format!("-n{total}");
    let remote = server.remote();
    let arguments = [&*remote, "-f", "json", "--buffer=64KiB", "--exec", command, &count];
    let mut follower = Follower::subscribed(place.lxmon(&arguments));
    for burst in 1..=BURSTS {
        more.send(BURST).unwrap();
        let last = numbered(burst * BURST - 1);
        follower.wait_for(|line| line == last);
    }
    assert!(!place.path("log").exists() && !follower.has_notice("dropped"));
    fs::write(place.path("open"), "").unwrap();
    place.open_gate();
    follower.wait_for_notice("dropped");
    more.send(1).unwrap();
    let outcome = follower.end();
    assert_eq!(outcome.status, 0, "{}", outcome.stderr);
    let dropped = outcome.stderr.lines().filter_map(|line| {
        line.strip_prefix("lxmon: --exec: ")?.strip_suffix(
            " events dropped, because the command was too slow; --debounce runs it less often, --buffer lets more wait",
        )
    });
    let dropped: Vec<u64> = dropped.map(|number| number.parse().unwrap()).collect();
    let log = place.lines("log");
    assert_eq!(dropped.iter().sum::<u64>() + log.len() as u64, total, "{dropped:?}");
    // The newest are dropped, and the order is that of the events.
    let numbers: Vec<_> = log.iter().map(|line| crate::support::number_in(line.as_bytes()).unwrap()).collect();
    assert!(numbers.is_sorted() && numbers[..50] == (0..50).collect::<Vec<_>>()[..], "{numbers:?}");
}

#[test]
fn a_recording_waits_for_the_command() {
    let place = Place::new();
    let events: Vec<_> = (0..700).map(numbered).collect();
    let outcome = place.replay(&events, &["--buffer=64KiB", "-f", "json", "--exec", "cat >> log"]);
    assert_eq!((outcome.status, &*outcome.stderr), (0, ""));
    assert_eq!(place.lines("log"), events);
}

#[test]
fn a_recording_that_waits_for_a_command_that_hangs_ends_with_its_reader_or_a_signal() {
    each_at_once([false, true], |is_signal| {
        let place = Place::new();
        let events: Vec<_> = (0..5000).map(numbered).collect();
        fs::write(place.path("events"), events.join("\n")).unwrap();
        let command = "echo $$ > process; exec sleep 600 >/dev/null 2>&1";
        let arguments = ["--replay", "events", "--buffer=64KiB", "-f", "json", "--exec", command];
        let mut follower = Follower::start(place.lxmon(&arguments));
        assert_eq!(follower.line(), events[0].clone() + "\n");
        wait_until(|| place.lines("process").len() == 1);
        if is_signal {
            // It has stopped long before the end.
            follower.read_for(Duration::from_millis(500));
            assert!(follower.seen.len() < 4000, "{}", follower.seen.len());
        } else {
            follower.close_stdout();
            follower.wait_for_notice("waiting for the command");
        }
        follower.signal(Signal::TERM);
        let outcome = follower.end();
        assert_eq!(outcome.status, 143);
        assert!(outcome.stderr.contains("the command was not run for "), "{}", outcome.stderr);
        let process = place.lines("process")[0].parse().unwrap();
        kill_process(Pid::from_raw(process).unwrap(), Signal::KILL).unwrap();
    });
}

#[test]
fn a_pause_runs_the_command_once_for_all_events_before_it() {
    let place = Place::new();
    let (server, more) = on_demand();
    let command = format!("{KEEP}; echo \"$LXMON_COUNT $LXMON_INSTANCE\"");
    let mut follower =
        Follower::subscribed(place.lxmon(&[&server.remote(), "--debounce=700ms", "--exec", &command, "-n60"]));
    for (number, line) in [(20, "20 c19"), (1, "1 c20")] {
        more.send(number).unwrap();
        follower.wait_for(|printed| printed == line);
    }
    // At the end nobody waits for a pause.
    more.send(40).unwrap();
    let outcome = follower.end();
    assert_eq!((outcome.status, outcome.stdout.lines().last()), (0, Some("39 c59")), "{}", outcome.stderr);
    let all: String = (0..3).map(|run| kept(&place, run).1).collect();
    assert_eq!(all.lines().map(str::to_owned).collect::<Vec<_>>(), (0..60).map(numbered).collect::<Vec<_>>());
}

#[test]
fn events_that_come_while_the_command_runs_wait_for_the_next_run() {
    let place = Place::new();
    place.gate();
    let (server, more) = on_demand();
    let command = "echo \"$LXMON_COUNT\"; read x < gate";
    let mut follower =
        Follower::subscribed(place.lxmon(&[&server.remote(), "--debounce=1ms", "--exec", command, "-n31"]));
    more.send(1).unwrap();
    follower.wait_for(|line| line == "1");
    more.send(30).unwrap();
    place.open_gate();
    let counts = std::thread::scope(|scope| {
        let end = scope.spawn(|| follower.end().stdout);
        while !end.is_finished() {
            // Whoever waits at the gate passes; nobody may be there any more.
            let gate = fs::OpenOptions::new().read(true).write(true).open(place.path("gate")).unwrap();
            rustix::io::write(&gate, b"\n").unwrap();
            std::thread::sleep(Duration::from_millis(20));
        }
        end.join().unwrap()
    });
    let sum: u64 = counts.lines().map(|count| count.parse::<u64>().unwrap()).sum();
    assert_eq!(sum, 30, "{counts}");
}

#[test]
fn a_failing_command_is_reported_and_ends_nothing() {
    let place = Place::new();
    let events: Vec<_> = (0..30).map(numbered).collect();
    for (command, says) in [
        ("exit 3", "exit status 3"),
        ("no-such-command-here 2>/dev/null", "exit status 127: the shell has not found it"),
        ("/etc/passwd 2>/dev/null", "exit status 126: the shell could not execute it"),
        ("kill -9 $$", "killed by SIGKILL"),
        ("kill -TERM $$", "killed by SIGTERM"),
    ] {
        let outcome = place.replay(&events, &["--exec", command]);
        let expected = format!(
            "lxmon: --exec: the command failed: {says}\nlxmon: --exec: the command failed 29 more times: {says}\n"
        );
        assert_eq!((outcome.status, &*outcome.stderr), (0, &*expected), "{command}");
    }
    let outcome = place.replay(&events, &["-q", "--exec", "exit 3"]);
    assert_eq!((outcome.status, &*outcome.stderr), (0, ""));
    // The text is the shell's, and no option of its.
    let outcome = place.replay(&events[..1], &["--exec=-c 2>/dev/null"]);
    assert!(outcome.stderr.contains("exit status 127"), "{}", outcome.stderr);
}

#[test]
fn what_a_command_does_not_read_is_its_own_affair() {
    let place = Place::new();
    // Far more than a pipe holds.
    let event = json!({"type": "lifecycle", "metadata": {"action": "x".repeat(300 << 10)}}).to_string();
    let daemon = "exec 3<&0; sleep 600 <&3 3<&- >/dev/null 2>&1 & echo $! >> daemon";
    for command in ["true", "exec 0<&-; true", "head -c 1 >/dev/null", "exec </dev/null; cat", daemon] {
        let outcome = place.replay(&[event.clone(), numbered(1)], &["-f", "json", "--exec", command]);
        assert_eq!((outcome.status, outcome.stdout.lines().count()), (0, 2), "{command}");
        let notices: Vec<_> = outcome.stderr.lines().filter(|line| !line.contains("LXMON_ACTION")).collect();
        assert_eq!(notices, Vec::<&str>::new(), "{command}");
        // They still have the pipe open.
        for process in place.lines("daemon") {
            kill_process(Pid::from_raw(process.parse().unwrap()).unwrap(), Signal::KILL).unwrap();
        }
    }
    let outcome = place.replay(&[numbered(0)], &["--exec", "head -c 3000000 /dev/zero | tr '\\0' x"]);
    assert_eq!((outcome.status, outcome.stdout.len()), (0, 3_000_000));
}

#[test]
fn after_a_signal_the_running_command_is_waited_for_and_the_rest_is_counted() {
    let place = Place::new();
    place.gate();
    let (server, more, left) = until_left();
    let command = "echo $$ > process; echo begun; read x < gate; echo done";
    let mut follower = Follower::subscribed(place.lxmon(&[&server.remote(), "--exec", command]));
    more.send(3).unwrap();
    follower.wait_for(|line| line == "begun");
    drop(more);
    follower.signal(Signal::TERM);
    left.recv().unwrap();
    place.open_gate();
    let outcome = follower.end();
    assert_eq!(outcome.status, 143);
    assert!(outcome.stdout.ends_with("done\n"), "{}", outcome.stdout);
    assert!(outcome.stderr.ends_with("the command was not run for 2 events that waited\n"), "{}", outcome.stderr);
    assert!(is_gone(&fs::read_to_string(place.path("process")).unwrap()));
}

#[test]
fn a_command_that_does_not_end_is_left_after_a_signal() {
    let place = Place::new();
    let command = "echo $$; exec sleep 600 >/dev/null 2>&1";
    for is_impatient in [false, true] {
        if is_impatient && is_ignored(Signal::INT) {
            continue;
        }
        let (server, more) = on_demand();
        let mut follower = Follower::subscribed(place.lxmon(&[&server.remote(), "--exec", command]));
        more.send(2).unwrap();
        follower.wait_for(|line| line.parse::<i32>().is_ok());
        let process = follower.seen[0].clone();
        follower.signal(Signal::TERM);
        if is_impatient {
            follower.signal(Signal::INT);
        }
        let outcome = follower.end();
        assert!(outcome.status == 143 || is_impatient && outcome.status == 130, "{}", outcome.status);
        assert_eq!(outcome.stderr.contains("has not ended, and is left running"), !is_impatient, "{}", outcome.stderr);
        kill_process(Pid::from_raw(process.parse().unwrap()).unwrap(), Signal::KILL).unwrap();
    }
}

#[test]
fn an_interrupt_from_the_terminal_ends_both_without_a_word() {
    if is_ignored(Signal::INT) {
        println!("skipped: the tests were started with SIGINT ignored");
        return;
    }
    let place = Place::new();
    let (server, more) = on_demand();
    // A terminal sends the signal to the whole process group.
    let mut command = place.lxmon(&[&server.remote(), "--exec", "echo begun; exec sleep 600"]);
    let mut follower = Follower::subscribed({
        command.process_group(0);
        command
    });
    more.send(1).unwrap();
    follower.wait_for(|line| line == "begun");
    let before = follower.notices.len();
    kill_process_group(Pid::from_raw(i32::try_from(follower.id()).unwrap()).unwrap(), Signal::INT).unwrap();
    let outcome = follower.end();
    assert_eq!((outcome.status, &*outcome.stdout), (130, ""), "{}", outcome.stderr);
    assert_eq!(outcome.stderr.lines().count(), before, "{}", outcome.stderr);
}

#[test]
fn a_reader_that_is_gone_ends_it_and_the_command_that_writes_to_it_is_not_run_again() {
    let place = Place::new();
    let (server, more) = on_demand();
    let arguments = [&*server.remote(), "--exec", "echo \"$LXMON_INSTANCE\"; echo >> runs"];
    let mut follower = Follower::start(place.lxmon(&arguments));
    more.send(1).unwrap();
    assert_eq!(follower.line(), "c0\n");
    follower.close_stdout();
    assert_eq!(follower.exit_status().code(), Some(0));
    // The one that runs is waited for, and no other is started.
    let place = Place::new();
    place.gate();
    let (server, more) = on_demand();
    let command = "echo >> runs; echo begun; exec >/dev/null 2>&1; read x < gate";
    let mut follower = Follower::start(place.lxmon(&[&*server.remote(), "--exec", command]));
    more.send(3).unwrap();
    assert_eq!(follower.line(), "begun\n");
    follower.close_stdout();
    let outcome = follower.end_unread();
    assert_eq!((outcome.status, place.lines("runs").len()), (0, 1), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("the command was not run for "), "{}", outcome.stderr);
    place.open_gate();
    // With a format the command is a reaction of its own, and is run for everything that came.
    let place = Place::new();
    place.gate();
    let (server, more) = on_demand();
    let arguments = [&*server.remote(), "-f", "json", "--exec", "read x < gate; echo >> runs"];
    let mut follower = Follower::start(place.lxmon(&arguments));
    more.send(2).unwrap();
    (0..2).for_each(|_| _ = follower.line());
    follower.close_stdout();
    for run in 1..=2 {
        place.open_gate();
        wait_until(|| place.lines("runs").len() == run);
    }
    assert_eq!(follower.exit_status().code(), Some(0));
}

#[test]
fn a_command_inherits_nothing_that_is_not_its_own() {
    let place = Place::new();
    fs::write(place.path("events"), numbered(0)).unwrap();
    let command = "env | grep -E '^(LXMON|NOTIFY|WATCHDOG|KEPT)'; ls /proc/self/fd > descriptors; \
                   grep -E '^Sig(Blk|Ign)' /proc/self/status; exit 3";
    let mut shell = Command::new("sh");
    let lxmon = "exec env --block-signal=USR2 --ignore-signal=CHLD --ignore-signal=PIPE \"$0\" \"$@\" 8>/dev/null";
    shell.args(["-c", lxmon, env!("CARGO_BIN_EXE_lxmon")]);
    shell.args(["--replay", "events", "--ready-fd=8", "--exec", command]).current_dir(place.directory.path());
    shell.env_clear().env("PATH", "/usr/bin:/bin").env("KEPT", "yes");
    let stale = ["LXMON_INSTANCE", "LXMON_REMOTE", "NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"];
    shell.envs(stale.map(|name| (name, "/nonexistent")));
    shell.env("LXMON_REMOTE", "stale");
    let outcome = finish(&mut shell);
    let lines: Vec<_> = outcome.stdout.lines().collect();
    let usual = Command::new("sh").args(["-c", "ls /proc/self/fd"]).output().unwrap().stdout;
    assert_eq!(place.lines("descriptors").join("\n") + "\n", String::from_utf8(usual).unwrap());
    assert!(lines.contains(&"KEPT=yes"), "{lines:?}");
    assert!(!outcome.stdout.contains("NOTIFY") && !outcome.stdout.contains("WATCHDOG"), "{lines:?}");
    assert!(outcome.stdout.contains("LXMON_INSTANCE=c0\n") && !outcome.stdout.contains("REMOTE"), "{lines:?}");
    let signals = |name: &str| {
        let line = lines.iter().find_map(|line| line.strip_prefix(name)).unwrap();
        u64::from_str_radix(line.trim(), 16).unwrap()
    };
    let bit = |signal: Signal| 1 << (signal.as_raw() - 1);
    assert_eq!(signals("SigBlk:"), 0);
    assert_eq!(signals("SigIgn:") & (bit(Signal::PIPE) | bit(Signal::CHILD)), 0, "{lines:?}");
    // Its status is known although SIGCHLD was ignored.
    assert!(outcome.stderr.contains("exit status 3"), "{}", outcome.stderr);
}

#[test]
fn no_process_and_no_descriptor_is_left_behind() {
    let place = Place::new();
    let (server, more) = on_demand();
    let remote = server.remote();
    let mut follower = Follower::subscribed(place.lxmon(&[&*remote, "--exec", "echo \"$LXMON_INSTANCE\""]));
    let open = |follower: &Follower| fs::read_dir(format!("/proc/{}/fd", follower.id())).unwrap().count();
    more.send(1).unwrap();
    follower.wait_for(|line| line == "c0");
    wait_until(|| children(follower.id()).is_empty());
    let before = open(&follower);
    more.send(50).unwrap();
    follower.wait_for(|line| line == "c50");
    wait_until(|| children(follower.id()).is_empty());
    assert_eq!(open(&follower), before);
}

/// The children of a process, zombies included.
fn children(process: u32) -> String {
    let threads = fs::read_dir(format!("/proc/{process}/task")).unwrap();
    let of = |thread: PathBuf| fs::read_to_string(Path::new(&thread).join("children")).unwrap_or_default();
    threads.map(|thread| of(thread.unwrap().path())).collect()
}

#[test]
fn records_of_gaps_reach_it_if_they_are_events_of_the_stream() {
    for wanted in [false, true] {
        let place = Place::new();
        let server = StandIn::new(|connection: &mut Connection| {
            connection.accept();
            connection.event(&numbered(u64::try_from(connection.number).unwrap()));
            if connection.number > 0 { connection.wait() } else { connection.end() }
        });
        let remote = server.remote();
        let mut command = place.lxmon(&[&*remote, "-n2", "--exec", "echo \"$LXMON_TYPE $LXMON_INSTANCE\""]);
        command.args(wanted.then_some("--gap-events"));
        let outcome = finish(&mut command);
        let all = "lifecycle c0\ngap \ngap \nlifecycle c1\n";
        assert_eq!(outcome.stdout, if wanted { all.to_owned() } else { all.replace("gap \n", "") });
    }
}

#[test]
fn what_is_recorded_is_what_the_command_gets() {
    let place = Place::new();
    let events: Vec<_> = (0..20).map(numbered).collect();
    let outcome = place.replay(&events, &["--record=record", "--exec=cat >> log", "-n15", "-a", "instance-*"]);
    assert_eq!((outcome.status, &*outcome.stdout, &*outcome.stderr), (0, "", ""));
    assert_eq!((place.lines("log"), place.lines("record")), (events[..15].to_vec(), events[..15].to_vec()));
}
