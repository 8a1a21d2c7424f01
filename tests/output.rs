//! Outputs whose reader has gone, and outputs that accept no more data.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::program::{Follower, finish, lxmon, terminal};
use crate::support::standin::{Connection, StandIn, numbered};

/// A server that sends one event and nothing more.
fn silent() -> StandIn {
    StandIn::new(|connection: &mut Connection| {
        connection.accept();
        connection.event(&numbered(0));
        connection.wait();
    })
}

/// A server that sends events until the connection ends.
fn endless() -> StandIn {
    StandIn::new(|connection: &mut Connection| {
        connection.accept();
        let mut number = 0;
        while connection.event(&numbered(number)) {
            number += 1;
        }
    })
}

/// Asserts that the program ends soon, with status 0 and nothing on standard error.
fn assert_ends_well(running: Follower, what: &str) {
    let gone = Instant::now();
    let outcome = running.end();
    assert_eq!((outcome.status, &*outcome.stderr), (0, ""), "{what}");
    assert!(gone.elapsed() < Duration::from_secs(10), "{what}: {:?}", gone.elapsed());
}

#[test]
fn a_reader_of_a_pipe_that_goes_away_ends_it() {
    for (server, what) in [(silent(), "while no event comes"), (endless(), "with a write that fails")] {
        let mut running = Follower::start(&mut lxmon([&*server.remote(), "-f", "json"]));
        running.line();
        running.close_stdout();
        assert_ends_well(running, what);
    }
}

#[test]
fn a_reader_of_a_socket_that_goes_away_ends_it() {
    for (server, what) in [(silent(), "while no event comes"), (endless(), "with a write that fails")] {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let running = Follower::start_into(&mut lxmon([&*server.remote(), "-f", "json"]), OwnedFd::from(theirs));
        (&ours).read_exact(&mut [0]).unwrap();
        if what == "with a write that fails" {
            // Closing a socket with unread data resets the connection, so that a blocked write fails.
            crate::support::wait_until(|| rustix::io::ioctl_fionread(&ours).unwrap() > 64 << 10);
        }
        drop(ours);
        assert_ends_well(running, what);
    }
}

#[test]
fn a_terminal_that_goes_away_ends_it() {
    // The program sees either the hang-up or a failed write (EIO), whichever comes first: many rounds cover both.
    for _ in 0..20 {
        for (server, what) in [(silent(), "while no event comes"), (endless(), "with a write that fails")] {
            let (mut master, slave) = terminal();
            let running = Follower::start_into(&mut lxmon([&*server.remote(), "-f", "json"]), slave);
            master.read_exact(&mut [0]).unwrap();
            drop(master);
            assert_ends_well(running, what);
        }
    }
}

#[test]
fn a_reader_that_takes_one_line_ends_it() {
    for (server, what) in [(silent(), "while no event comes"), (endless(), "with a write that fails")] {
        let mut command = Command::new("sh");
        command.args(["-c", "{ \"$@\"; echo status $? >&2; } | head -n 1", "sh", env!("CARGO_BIN_EXE_lxmon")]);
        command.args([&*server.remote(), "-f", "json"]);
        let outcome = finish(&mut command);
        assert_eq!(outcome.stdout.trim_end(), numbered(0), "{what}");
        assert_eq!(outcome.stderr, "status 0\n", "{what}");
    }
}

#[test]
fn a_reader_that_leaves_the_demonstration_ends_it() {
    let mut running = Follower::start(&mut lxmon(["--demo", "-f", "json"]));
    running.line();
    running.close_stdout();
    assert_ends_well(running, "demonstration");
}

#[test]
fn a_reader_that_goes_away_ends_it_with_standard_error_closed_too() {
    for server in [silent(), endless()] {
        let (stdout, stderr) = (std::io::pipe().unwrap(), std::io::pipe().unwrap());
        let command = lxmon([&*server.remote(), "-f", "json", "--debug"]);
        let mut running = Follower::start_with(command, [Stdio::null(), stdout.1.into(), stderr.1.into()]);
        BufReader::new(stdout.0).read_line(&mut String::new()).unwrap();
        drop(stderr.0);
        let gone = Instant::now();
        assert_eq!(running.wait(), Some(0));
        // Soon, and not only after lxmon has given up the silent server and received another event.
        assert!(gone.elapsed() < Duration::from_secs(10), "{:?}", gone.elapsed());
    }
}

#[test]
fn a_full_disk_is_one_error() {
    for server in [silent(), endless()] {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let outcome = Follower::start_into(&mut lxmon([&*server.remote()]), full).end();
        assert_eq!(outcome.status, 1);
        assert_eq!(outcome.stderr, "lxmon: writing to standard output: No space left on device\n");
    }
    for option in ["--list-actions", "--help", "-h", "--version", "-V", "--man", "--completions=bash"] {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let outcome = Follower::start_into(&mut lxmon([option]), full).end();
        assert_eq!(outcome.status, 1, "{option}");
        assert_eq!(outcome.stderr, "lxmon: writing to standard output: No space left on device\n", "{option}");
        // A reader that does not read the output to its end is not an error.
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let outcome = Follower::start_into(&mut lxmon([option]), writer).end();
        assert_eq!((outcome.status, &*outcome.stderr), (0, ""), "{option}");
    }
}

#[test]
fn a_limit_on_the_size_of_files_is_one_error_and_no_death_by_a_signal() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("events");
    let server = endless();
    let mut command = Command::new("sh");
    // The unit of `ulimit -f` is a block of 512 or 1024 bytes, depending on the shell.
    command.args(["-c", "ulimit -f 8; exec \"$@\"", "sh", env!("CARGO_BIN_EXE_lxmon")]);
    command.args([&*server.remote(), "-f", "json"]);
    let outcome = Follower::start_into(&mut command, File::create(&path).unwrap()).end();
    assert_eq!((outcome.status, &*outcome.stderr), (1, "lxmon: writing to standard output: File too large\n"));
    // Everything that fits into the limit is written.
    let written = std::fs::read_to_string(&path).unwrap();
    assert!(written.len() == 8 * 512 || written.len() == 8 * 1024, "{}", written.len());
    assert!(written.starts_with(&format!("{}\n{}\n", numbered(0), numbered(1))));
}
