//! Under a service manager: what it is notified of, and the examples of a unit and of a log rotation in `docs/`.

use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, mpsc};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tempfile::TempDir;

use crate::support::program::{Follower, PATIENCE, lxmon};
use crate::support::standin::{Connection, StandIn, numbered};
use crate::support::wait_until;

/// Half of the time after which the status is renewed in any case.
const AT_ONCE: Duration = Duration::from_secs(5);

/// A service manager.
struct Manager {
    socket: UnixDatagram,
    path: PathBuf,
    _directory: TempDir,
    /// All messages so far.
    messages: Vec<String>,
}

impl Manager {
    fn new() -> Self {
        let directory = TempDir::new().unwrap();
        let path = directory.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        Self { socket, path, _directory: directory, messages: Vec::new() }
    }

    fn start(&self, arguments: &[&str], watchdog: Option<Duration>) -> Follower {
        let mut command = lxmon(arguments);
        command.env("NOTIFY_SOCKET", &self.path);
        if let Some(watchdog) = watchdog {
            command.env("WATCHDOG_USEC", watchdog.as_micros().to_string());
        }
        Follower::start(command)
    }

    /// Receives a message within this time.
    fn receive(&mut self, time: Duration) -> Option<String> {
        let mut buffer = [0; 4096];
        self.socket.set_read_timeout(Some(time)).unwrap();
        let length = self.socket.recv(&mut buffer).ok()?;
        let message = String::from_utf8(buffer[..length].to_vec()).unwrap();
        self.messages.push(message.clone());
        Some(message)
    }

    /// Waits for a message with this text.
    fn wait_for(&mut self, text: &str) -> String {
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            if let Some(message) = self.receive(PATIENCE)
                && message.contains(text)
            {
                return message;
            }
        }
        panic!("{text:?} is not in {:#?}", self.messages);
    }
}

/// A server that does this for each message of the test: it accepts a connection and sends an event, or it ends the
/// connection. It refuses connections that the test does not want.
fn gated() -> (StandIn, mpsc::Sender<bool>) {
    let (open, opened) = mpsc::channel();
    let opened = Mutex::new(opened);
    let server = StandIn::new(move |connection: &mut Connection| {
        let opened = opened.lock().unwrap();
        if opened.recv() == Ok(true) {
            connection.accept();
            connection.event(&numbered(1));
            while opened.recv() == Ok(true) {}
            connection.end();
        } else {
            connection.refuse("503 Service Unavailable", "starting");
        }
    });
    (server, open)
}

#[test]
fn the_manager_hears_of_the_start_of_losses_and_of_the_end() {
    let ((server, open), mut manager) = (gated(), Manager::new());
    let name = server.remote();
    let mut follower = manager.start(&[&name, "--retry", "-f", "json"], None);
    let connecting = format!("STATUS=connecting to LXD ({name}), project default");
    assert_eq!(manager.receive(PATIENCE), Some(connecting));
    // The first attempt is refused: the service has not started.
    open.send(false).unwrap();
    assert_eq!(manager.receive(Duration::from_millis(300)), None);
    open.send(true).unwrap();
    let following = format!("STATUS=following LXD ({name}), project default");
    assert_eq!(manager.receive(PATIENCE), Some(format!("READY=1\n{following}")));
    // The connection is lost and made again.
    assert_eq!(follower.line().trim_end(), numbered(1));
    open.send(false).unwrap();
    let lost = manager.receive(AT_ONCE).unwrap();
    let begin = format!("{following}; reconnecting to {name} since ");
    assert!(lost.starts_with(&begin) && lost.ends_with(" (the server closed the connection); 1 event"), "{lost}");
    open.send(true).unwrap();
    let back = manager.receive(AT_ONCE).unwrap();
    assert!(
        back.starts_with(&format!("{following}; ")) && back.ends_with(" events") || back.ends_with("1 event"),
        "{back}"
    );
    assert!(!back.contains("reconnecting"), "{back}");
    follower.signal(Signal::TERM);
    assert!(manager.wait_for("STOPPING=1").starts_with("STOPPING=1\nSTATUS="));
    drop(open);
    assert_eq!(follower.end().status, 128 + Signal::TERM.as_raw());
    assert_eq!(manager.messages.iter().filter(|message| message.contains("READY=1")).count(), 1);
}

#[test]
fn signs_of_life_come_while_the_event_loop_runs_and_end_when_it_hangs() {
    const WATCHDOG: Duration = Duration::from_millis(200);
    let ((server, open), mut manager) = (gated(), Manager::new());
    let follower = manager.start(&[&server.remote()], Some(WATCHDOG));
    open.send(true).unwrap();
    manager.wait_for("READY=1");
    let begun = Instant::now();
    for _ in 0..20 {
        manager.wait_for("WATCHDOG=1");
    }
    // Twenty intervals of half that time, with a margin for a busy machine; not all at once either.
    assert!(begun.elapsed() > WATCHDOG * 5 && begun.elapsed() < WATCHDOG * 100, "{:?}", begun.elapsed());
    follower.signal(Signal::STOP);
    follower.wait_for_state("T");
    while manager.receive(Duration::from_millis(1)).is_some() {}
    assert_eq!(manager.receive(WATCHDOG * 3), None);
    follower.signal(Signal::CONT);
    manager.wait_for("WATCHDOG=1");
}

#[test]
fn a_run_that_ends_at_once_has_started_too() {
    // The manager would take an end before the start for a failure.
    for _ in 0..20 {
        let mut manager = Manager::new();
        assert_eq!(manager.start(&["--replay", "/dev/null", "--ready-fd=1"], None).end().stdout, "ready\n");
        assert!(manager.wait_for("READY=1").starts_with("READY=1\nSTATUS=reading the recording /dev/null"));
    }
}

#[test]
fn without_a_watchdog_or_with_that_of_another_process_there_are_no_signs_of_life() {
    let mut manager = Manager::new();
    let mut command = lxmon(["--replay", "/dev/null"]);
    command.env("NOTIFY_SOCKET", &manager.path).env("WATCHDOG_USEC", "1000").env("WATCHDOG_PID", "1");
    assert_eq!(Follower::start(command).end().status, 0);
    while manager.receive(Duration::from_millis(1)).is_some() {}
    assert!(manager.messages.iter().any(|message| message.starts_with("READY=1\n")), "{:?}", manager.messages);
    assert!(!manager.messages.iter().any(|message| message.contains("WATCHDOG")), "{:?}", manager.messages);
}

#[test]
fn a_manager_that_cannot_be_reached_or_does_not_read_stops_nothing() {
    for (name, notice) in [
        ("/nonexistent/notify", "lxmon: $NOTIFY_SOCKET: No such file or directory\n"),
        (
            "nonsense",
            "lxmon: $NOTIFY_SOCKET: neither a path nor an abstract name (@…); the service manager is not notified\n",
        ),
        ("", ""),
    ] {
        let server = StandIn::new(|connection: &mut Connection| {
            connection.accept();
            connection.event(&numbered(1));
            connection.wait();
        });
        let mut command = lxmon([&*server.remote(), "-n1", "-f", "json"]);
        let outcome = Follower::start(command.env("NOTIFY_SOCKET", name)).end();
        assert_eq!((outcome.status, &*outcome.stderr), (0, notice));
    }
    let ((server, open), manager) = (gated(), Manager::new());
    // The socket is full after a few dozen signs of life.
    let mut follower = manager.start(&[&server.remote(), "-f", "json"], Some(Duration::from_millis(2)));
    follower.read_for(Duration::from_millis(500));
    open.send(true).unwrap();
    follower.wait_for(|line| *line == numbered(1));
    follower.signal(Signal::TERM);
    drop(open);
    assert_eq!(follower.end().status, 128 + Signal::TERM.as_raw());
}

/// A file of the documentation.
fn example(name: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(name)).unwrap()
}

/// The text with `from`, which it must contain, replaced.
fn replaced(text: &str, from: &str, to: &str) -> String {
    assert!(text.contains(from), "{from:?} is not in {text}");
    text.replace(from, to)
}

/// Whether the command is installed; otherwise says that the test is skipped.
fn is_installed(command: &str) -> bool {
    let found = Command::new(command).arg("--version").output().is_ok_and(|output| output.status.success());
    if !found {
        println!("skipped: {command} is not installed");
    }
    found
}

#[test]
fn the_example_of_a_unit_is_valid() {
    if !is_installed("systemd-analyze") {
        return;
    }
    let directory = TempDir::new().unwrap();
    let unit =
        replaced(&example("lxmon.service"), "ExecStart=lxmon", concat!("ExecStart=", env!("CARGO_BIN_EXE_lxmon")));
    let path = directory.path().join("lxmon.service");
    std::fs::write(&path, &unit).unwrap();
    let output = Command::new("systemd-analyze").args(["verify", "--man=no"]).arg(&path).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    // It reports units of this machine too.
    let complaints: Vec<_> = stderr.lines().filter(|line| line.contains("lxmon.service")).collect();
    assert!(output.status.success() && complaints.is_empty(), "{stderr}");
    // lxmon accepts the options that the unit gives it.
    let line = unit.lines().find_map(|line| line.strip_prefix("ExecStart=")).unwrap();
    let line = replaced(line, "%S", directory.path().to_str().unwrap());
    let mut words = line.split(' ').skip(1).collect::<Vec<_>>();
    std::fs::create_dir(directory.path().join("lxmon")).unwrap();
    let server = StandIn::new(|connection: &mut Connection| {
        connection.accept();
        connection.event(&numbered(1));
        connection.wait();
    });
    let remote = server.remote();
    words.extend([&*remote, "-n1"]);
    assert_eq!(Follower::start(lxmon(words)).end().status, 0);
    let recorded = std::fs::read_to_string(directory.path().join("lxmon/events.ndjson")).unwrap();
    assert_eq!(recorded.trim_end(), numbered(1));
}

#[test]
fn the_example_of_a_log_rotation_rotates_and_loses_nothing() {
    const ROTATIONS: u64 = 3;
    if !is_installed("logrotate") {
        return;
    }
    let directory = TempDir::new().unwrap();
    let file = |name: &str| directory.path().join(name);
    std::fs::set_permissions(directory.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let path = file("events.ndjson");
    let (more, number) = mpsc::channel::<u64>();
    let number = Mutex::new(number);
    let server = StandIn::new(move |connection: &mut Connection| {
        connection.accept();
        while let Ok(number) = number.lock().unwrap().recv() {
            connection.event(&numbered(number));
        }
    });
    let arguments = [&*server.remote(), "-f", "json", "--sort-window=0", "--record", path.to_str().unwrap()];
    let mut follower = Follower::start(lxmon(arguments));
    let config = replaced(&example("lxmon.logrotate"), "/var/lib/lxmon/events.ndjson", path.to_str().unwrap());
    let kill = format!("kill -USR1 {}", follower.id());
    std::fs::write(file("config"), replaced(&config, "systemctl reload lxmon.service", &kill)).unwrap();
    std::fs::set_permissions(file("config"), std::fs::Permissions::from_mode(0o644)).unwrap();
    for rotation in 0..ROTATIONS {
        more.send(rotation).unwrap();
        follower.wait_for(|line| *line == numbered(rotation));
        wait_until(|| std::fs::read_to_string(&path).is_ok_and(|text| text.contains(&numbered(rotation))));
        let mut logrotate = Command::new("logrotate");
        let output = logrotate.arg("--force").arg("--state").arg(file("state")).arg(file("config")).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        // lxmon has made the file anew, for its owner alone.
        wait_until(|| path.exists());
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }
    follower.terminate();
    let mut command = Command::new("sh");
    command.arg("-c").arg("gzip -dc events.ndjson.3.gz events.ndjson.2.gz && cat events.ndjson.1 events.ndjson");
    let output = command.current_dir(directory.path()).output().unwrap();
    let recorded = String::from_utf8(output.stdout).unwrap();
    assert!(recorded.lines().eq((0..ROTATIONS).map(numbered)), "{recorded}");
}
