//! Signals: queued events are still printed, and the program dies by the signal itself, whatever it is doing.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::sync::{Mutex, mpsc};
use std::time::{Duration, Instant};

use rustix::net::{AddressFamily, SocketType};
use rustix::process::Signal;

use crate::support::program::{Follower, lxmon};
use crate::support::standin::{Connection, Limits, StandIn, numbered};

/// The signals that end the program, and the status that a shell reports for each.
pub(crate) fn ending() -> Vec<(Signal, i32)> {
    let mut ending = vec![(Signal::INT, 130), (Signal::TERM, 143), (Signal::HUP, 129)];
    ending.retain(|(signal, _)| !is_ignored(*signal));
    ending
}

/// Whether the tests were started to ignore the signal (`nohup`). Every program that they start ignores it too.
pub(crate) fn is_ignored(signal: Signal) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).unwrap();
    let ignored = u64::from_str_radix(ignored.trim(), 16).unwrap();
    ignored & (1 << (signal.as_raw() - 1)) != 0
}

/// A server that sends this many events and then waits until the client disconnects. It reports on the channel when the
/// client has read them all, and when it has disconnected.
fn serving(events: u64) -> (StandIn, mpsc::Receiver<&'static str>) {
    let (say, said) = mpsc::channel();
    let say = Mutex::new(say);
    let server = StandIn::with_limits(Limits::LXD, move |connection: &mut Connection| {
        connection.accept();
        for number in 0..events {
            connection.event(&numbered(number));
        }
        // Pings are answered in order. The second one is read only when everything before the first one is queued.
        if connection.is_answered(b"") && connection.is_answered(b"") {
            // Fails if the test has already ended.
            let _ = say.lock().unwrap().send("all read");
        }
        connection.wait();
        let _ = say.lock().unwrap().send("left");
    });
    (server, said)
}

/// A command that follows the server in JSON and without a sort window, with these options added.
fn following(server: &StandIn, options: &[&str]) -> Command {
    let mut command = lxmon([&*server.remote(), "-f", "json", "--sort-window", "0"]);
    command.args(options);
    command
}

/// Asserts that the output consists of whole events, in order from the first; returns their number.
fn count_in_order(stdout: &str) -> u64 {
    assert!(stdout.ends_with('\n'), "the last line is incomplete: {:?}", stdout.lines().last());
    let mut count = 0;
    for line in stdout.lines() {
        assert_eq!(line, numbered(count));
        count += 1;
    }
    count
}

#[test]
fn while_idle_it_dies_by_the_signal_and_says_nothing() {
    for (signal, status) in ending() {
        let (server, said) = serving(1);
        let mut running = Follower::start(&mut following(&server, &[]));
        running.line();
        assert_eq!(said.recv(), Ok("all read"));
        running.signal(signal);
        let outcome = running.end();
        assert_eq!((outcome.status, &*outcome.stdout, &*outcome.stderr), (status, "", ""), "{signal:?}");
    }
}

#[test]
fn what_the_sort_window_holds_is_printed_before_the_signal_ends_it() {
    let (server, said) = serving(2);
    let running = Follower::start(&mut lxmon([&*server.remote(), "-f", "json", "--sort-window", "1h"]));
    assert_eq!(said.recv(), Ok("all read"));
    running.signal(Signal::TERM);
    let outcome = running.end();
    assert_eq!((outcome.status, count_in_order(&outcome.stdout)), (143, 2));
}

#[test]
fn all_that_was_read_is_printed_when_the_reader_reads_on() {
    // Far more than a pipe holds, so that most events are still queued when the signal arrives.
    const EVENTS: u64 = 1500;
    for (signal, status) in ending() {
        let (server, said) = serving(EVENTS);
        let running = Follower::start(&mut following(&server, &[]));
        assert_eq!(said.recv(), Ok("all read"));
        running.signal(signal);
        let outcome = running.end();
        assert_eq!((outcome.status, &*outcome.stderr), (status, ""), "{signal:?}");
        assert_eq!(count_in_order(&outcome.stdout), EVENTS, "{signal:?}");
    }
}

#[test]
fn a_burst_that_goes_on_is_cut_between_two_events() {
    for (signal, status) in ending() {
        let server = StandIn::new(|connection: &mut Connection| {
            connection.accept();
            let mut number = 0;
            while connection.event(&numbered(number)) {
                number += 1;
            }
        });
        // A small buffer, because all queued events must be written within a second.
        let mut running = Follower::start(&mut following(&server, &["--buffer", "256KiB"]));
        let mut begun = String::new();
        for _ in 0..1000 {
            begun += &running.line();
        }
        running.signal(signal);
        let outcome = running.end();
        assert_eq!((outcome.status, &*outcome.stderr), (status, ""), "{signal:?}");
        assert!(count_in_order(&(begun + &outcome.stdout)) > 1000, "{signal:?}");
    }
}

#[test]
fn a_stopped_reader_does_not_keep_it_alive() {
    std::thread::scope(|scope| {
        for (signal, status) in ending() {
            scope.spawn(move || assert_stopped_reader_is_left(signal, status));
        }
    });
}

fn assert_stopped_reader_is_left(signal: Signal, status: i32) {
    let (server, said) = serving(3000);
    let running = Follower::start(&mut following(&server, &[]));
    assert_eq!(said.recv(), Ok("all read"));
    // The pipe cannot hold all events.
    crate::support::wait_until(|| running.unread() > 32 << 10);
    running.signal(signal);
    let sent = Instant::now();
    let outcome = running.end_unread();
    assert!(sent.elapsed() < Duration::from_secs(10), "{signal:?}: {:?}", sent.elapsed());
    assert_eq!(outcome.status, status, "{signal:?}: {}", outcome.stderr);
    let (whole, _) = outcome.stdout.rsplit_once('\n').unwrap();
    assert!(count_in_order(&format!("{whole}\n")) > 100, "{signal:?}");
}

#[test]
fn a_second_signal_ends_it_at_once() {
    for ((first, _), (second, status)) in ending().into_iter().zip(ending().into_iter().cycle().skip(1)) {
        let (server, said) = serving(3000);
        let running = Follower::start(&mut following(&server, &[]));
        assert_eq!(said.recv(), Ok("all read"));
        crate::support::wait_until(|| running.unread() > 32 << 10);
        running.signal(first);
        // It no longer reads from the server, and waits until we read the rest of its output.
        assert_eq!(said.recv(), Ok("left"));
        running.signal(second);
        // If it had kept waiting, it would have died by the first signal.
        assert_eq!(running.end_unread().status, status, "{first:?}, {second:?}");
    }
}

#[test]
fn it_dies_by_the_signal_while_the_server_does_not_answer() {
    for (signal, status) in ending() {
        let server = StandIn::new(Connection::wait);
        let running = Follower::start(&mut following(&server, &[]));
        let mut requests = Vec::new();
        crate::support::wait_until(|| {
            requests.extend(server.requests());
            !requests.is_empty()
        });
        running.signal(signal);
        let outcome = running.end();
        assert_eq!((outcome.status, &*outcome.stderr), (status, ""), "{signal:?}");
    }
}

/// A client configuration with one remote `n1` at this address, and a command that follows it.
fn configured(address: SocketAddr) -> (tempfile::TempDir, Command) {
    let directory = tempfile::tempdir().unwrap();
    let config = format!("remotes:\n  n1:\n    addr: https://{address}\n");
    std::fs::write(directory.path().join("config.yml"), config).unwrap();
    // With a pinned certificate lxmon does not load the system's root certificates, which may be missing.
    std::fs::create_dir(directory.path().join("servercerts")).unwrap();
    std::fs::write(directory.path().join("servercerts/n1.crt"), include_str!("data/keys/ec-sec1.crt")).unwrap();
    let mut command = lxmon(["--lxd", "n1:", "--debug"]);
    command.env("LXD_CONF", directory.path());
    (directory, command)
}

#[test]
fn it_dies_by_the_signal_while_tcp_connects() {
    for (signal, status) in ending() {
        // A listener whose backlog has room for one connection, which is taken: the next attempt gets no answer.
        let listener = rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
        rustix::net::bind(&listener, &SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).unwrap();
        rustix::net::listen(&listener, 0).unwrap();
        let listener = TcpListener::from(listener);
        let address = listener.local_addr().unwrap();
        let _taken = TcpStream::connect(address).unwrap();
        let hangs = TcpStream::connect_timeout(&address, Duration::from_millis(200));
        assert!(hangs.is_err_and(|error| error.kind() == std::io::ErrorKind::TimedOut));
        let (_directory, mut command) = configured(address);
        let mut running = Follower::start(&mut command);
        running.wait_for_notice("connecting to ");
        running.signal(signal);
        let outcome = running.end();
        assert_eq!(outcome.status, status, "{signal:?}: {}", outcome.stderr);
        assert!(outcome.stderr.lines().last().unwrap().contains("connecting to "), "{}", outcome.stderr);
    }
}

#[test]
fn it_dies_by_the_signal_while_tls_gets_no_answer() {
    for (signal, status) in ending() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (_directory, mut command) = configured(listener.local_addr().unwrap());
        let running = Follower::start(&mut command);
        let (stream, _) = listener.accept().unwrap();
        // The client's first handshake message has arrived.
        assert!(stream.peek(&mut [0]).unwrap() > 0);
        running.signal(signal);
        let outcome = running.end();
        assert_eq!(outcome.status, status, "{signal:?}: {}", outcome.stderr);
    }
}

#[test]
fn it_dies_by_the_signal_while_it_waits_to_reconnect() {
    for (signal, status) in ending() {
        let server = StandIn::new(|connection: &mut Connection| {
            if connection.number > 0 {
                return connection.end();
            }
            connection.accept();
            connection.event(&numbered(0));
            connection.end();
        });
        let mut running = Follower::start(&mut following(&server, &["-v"]));
        running.line();
        // By now it waits for the next attempt, at least 125 ms; a busy machine may send the signal later.
        running.wait_for_notice("trying again");
        running.signal(signal);
        assert_eq!(running.end().status, status, "{signal:?}");
    }
}

#[test]
fn a_hang_up_that_nohup_ignores_is_ignored() {
    let (server, _said) = serving(1);
    let mut command = Command::new("nohup");
    command.args([env!("CARGO_BIN_EXE_lxmon"), &server.remote(), "-f", "json", "--timeout", "700ms"]);
    let mut running = Follower::start(&mut command);
    running.line();
    running.signal(Signal::HUP);
    assert_eq!(running.end().status, 0);
}

#[test]
fn the_demonstration_leaves_no_socket_behind() {
    for (signal, status) in ending() {
        let directory = tempfile::tempdir().unwrap();
        let mut running = Follower::start(lxmon(["--demo", "-f", "json"]).env("TMPDIR", directory.path()));
        running.line();
        assert_eq!(directory.path().read_dir().unwrap().count(), 1);
        running.signal(signal);
        assert_eq!(running.end().status, status, "{signal:?}");
        assert_eq!(directory.path().read_dir().unwrap().count(), 0, "{signal:?}");
    }
}

/// Stops the program with SIGTSTP. The system discards this signal in an orphaned process group, so the program needs a
/// group of its own.
fn suspend(running: &Follower) {
    running.signal(Signal::TSTP);
    running.wait_for_state("T");
}

#[test]
fn suspended_and_resumed_it_goes_on_where_it_was() {
    const EVENTS: u64 = 1000;
    let (go, wait) = mpsc::channel();
    let wait = Mutex::new(wait);
    let server = StandIn::new(move |connection: &mut Connection| {
        connection.accept();
        connection.event(&numbered(0));
        wait.lock().unwrap().recv().unwrap();
        for number in 1..EVENTS {
            connection.event(&numbered(number));
        }
        connection.wait();
    });
    let mut command = following(&server, &["-n", &EVENTS.to_string()]);
    let mut running = Follower::start(command.process_group(0));
    let first = running.line();
    suspend(&running);
    go.send(()).unwrap();
    // A stopped process prints nothing: the pause lets the server send as much as its socket's buffer holds.
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(running.unread(), 0);
    running.signal(Signal::CONT);
    let outcome = running.end();
    assert_eq!((outcome.status, &*outcome.stderr), (0, ""));
    assert_eq!(count_in_order(&(first + &outcome.stdout)), EVENTS);
}

#[test]
fn a_server_that_gives_up_meanwhile_is_told_after_all_that_it_had_sent() {
    let (go, wait) = mpsc::channel();
    let (say, said) = mpsc::channel();
    let (wait, say) = (Mutex::new(wait), Mutex::new(say));
    let server = StandIn::new(move |connection: &mut Connection| {
        connection.accept();
        if connection.number > 0 {
            connection.event(&numbered(3));
            return connection.wait();
        }
        connection.event(&numbered(0));
        wait.lock().unwrap().recv().unwrap();
        connection.event(&numbered(1));
        connection.event(&numbered(2));
        connection.end();
        say.lock().unwrap().send(()).unwrap();
    });
    let mut running = Follower::start(following(&server, &["-n4"]).process_group(0));
    let first = running.line();
    suspend(&running);
    go.send(()).unwrap();
    said.recv().unwrap();
    running.signal(Signal::CONT);
    let outcome = running.end();
    assert_eq!((outcome.status, count_in_order(&(first + &outcome.stdout))), (0, 4));
    let stderr = outcome.stderr.replace(&server.remote(), "SERVER");
    assert!(
        stderr.starts_with("lxmon: SERVER: connection lost (the server closed the connection); reconnecting\n"),
        "{stderr}"
    );
    // The time is that of the last event before the loss.
    assert!(stderr.ends_with("s; events since 08:00:00 may be missing\n"), "{stderr}");
    assert_eq!(stderr.lines().count(), 2, "{stderr}");
}
