//! If standard error accepts nothing or is closed, only notices are lost.

use std::fs::File;
use std::io::{ErrorKind, Read, Write as _};
use std::os::fd::OwnedFd;
use std::process::{Child, Stdio};
use std::sync::{Mutex, mpsc};
use std::time::{Duration, Instant};

use rustix::fs::{OFlags, fcntl_setfl};
use rustix::process::{Pid, Signal, kill_process};

use crate::flow::SOON;
use crate::output::terminal;
use crate::support::program::{Lines, lxmon};
use crate::support::standin::{Connection, QUICK, StandIn, numbered};

/// Both ends of a full pipe; a write blocks or fails.
fn full_pipe(blocking: bool) -> (std::io::PipeReader, OwnedFd) {
    let (reader, mut writer) = std::io::pipe().unwrap();
    fcntl_setfl(&writer, OFlags::NONBLOCK).unwrap();
    while let Ok(1..) = writer.write(&[b'x'; 4096]) {}
    // Not even a part of a page fits any more.
    assert_eq!(writer.write(b"x").unwrap_err().kind(), ErrorKind::WouldBlock);
    if blocking {
        fcntl_setfl(&writer, OFlags::empty()).unwrap();
    }
    (reader, writer.into())
}

/// A server that ends each connection at once, so that lxmon writes many notices.
fn flapping() -> StandIn {
    StandIn::new(|connection: &mut Connection| {
        connection.accept();
        connection.event(&numbered(0));
        connection.end();
    })
}

/// A server that sends an event and a ping at most 20 times a second, and reports each answered ping on the channel.
fn steady() -> (StandIn, mpsc::Receiver<()>) {
    let (say, said) = mpsc::channel();
    let say = Mutex::new(say);
    let server = StandIn::with_limits(QUICK, move |connection: &mut Connection| {
        connection.accept();
        for number in 1.. {
            if !connection.event(&numbered(number)) || !connection.is_answered(b"?") {
                return;
            }
            let _ = say.lock().unwrap().send(());
            std::thread::sleep(Duration::from_millis(50));
        }
    });
    (server, said)
}

/// Sends SIGTERM, and asserts that the program soon dies by it.
fn assert_ends_by_signal(mut child: Child, what: &str) {
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    let begun = Instant::now();
    let mut status = None;
    while status.is_none() && begun.elapsed() < SOON {
        std::thread::sleep(Duration::from_millis(5));
        status = child.try_wait().unwrap();
    }
    let _ = child.kill();
    child.wait().unwrap();
    let signal = status.and_then(|status| std::os::unix::process::ExitStatusExt::signal(&status));
    assert_eq!(signal, Some(Signal::TERM.as_raw()), "{what}: {status:?}");
}

/// Follows two servers, one of which causes many notices, with this standard error. Asserts that events are still
/// printed, that pings are still answered, and that SIGTERM ends the program.
fn follow_with(stderr: impl Into<Stdio>, what: &str) {
    let (flapping, (steady, answered)) = (flapping(), steady());
    let mut command = lxmon([&*flapping.remote(), &*steady.remote(), "-f", "json", "-v"]);
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(stderr).spawn().unwrap();
    let mut lines = Lines::new(child.stdout.take().unwrap());
    let mut from_steady = 0;
    let begun = Instant::now();
    while from_steady < 20 {
        let Some(line) = lines.next_within(SOON.saturating_sub(begun.elapsed())) else { break };
        from_steady += u32::from(line.contains(&steady.remote()));
    }
    let answers = answered.try_iter().count();
    assert_ends_by_signal(child, what);
    assert!(from_steady >= 20 && answers >= 19, "{what}: {from_steady} events, {answers} answers");
    steady.assert_never_cut();
}

#[test]
fn a_standard_error_that_is_full_and_unread_stops_nothing() {
    let (_reader, full) = full_pipe(true);
    follow_with(full, "full");
}

#[test]
fn a_standard_error_that_is_a_stopped_terminal_stops_nothing() {
    let (master, slave) = terminal();
    // Ctrl-S stops the terminal's output.
    File::from(master.try_clone().unwrap()).write_all(b"\x13").unwrap();
    follow_with(slave, "stopped");
}

#[test]
fn a_standard_error_that_takes_nothing_or_is_gone_stops_nothing() {
    let (_reader, full) = full_pipe(false);
    let (gone, writer) = std::io::pipe().unwrap();
    drop(gone);
    std::thread::scope(|scope| {
        scope.spawn(|| follow_with(full, "full, and not blocking"));
        scope.spawn(|| follow_with(File::options().write(true).open("/dev/full").unwrap(), "/dev/full"));
        scope.spawn(|| follow_with(writer, "without a reader"));
        // Writes fail with EBADF, as on a closed descriptor.
        scope.spawn(|| follow_with(File::open("/dev/null").unwrap(), "for reading only"));
    });
}

#[test]
fn a_terminal_that_is_stopped_keeps_the_connections_and_signals_end_it() {
    let (flapping, (steady, answered)) = (flapping(), steady());
    let (master, slave) = terminal();
    let mut command = lxmon([&*flapping.remote(), &*steady.remote(), "-f", "json", "-v"]);
    command.stdin(Stdio::null()).stdout(slave.try_clone().unwrap()).stderr(slave);
    let child = command.spawn().unwrap();
    let mut master = File::from(master);
    assert!(master.read(&mut [0; 64]).unwrap() > 0);
    master.write_all(b"\x13").unwrap();
    answered.try_iter().count();
    let begun = Instant::now();
    let mut answers = 0;
    while answers < 40 && answered.recv_timeout(SOON.saturating_sub(begun.elapsed())).is_ok() {
        answers += 1;
    }
    assert_ends_by_signal(child, "stopped terminal");
    assert_eq!(answers, 40);
    steady.assert_never_cut();
}

#[test]
fn bad_lines_of_a_recording_with_standard_error_full_cost_no_good_one() {
    const GOOD: u64 = 2000;
    let mut recording = tempfile::NamedTempFile::new().unwrap();
    for number in 0..GOOD {
        writeln!(recording, "{}\nnothing of JSON {number}", numbered(number)).unwrap();
    }
    for blocking in [true, false] {
        let (_reader, full) = full_pipe(blocking);
        let mut command = lxmon(["--replay", recording.path().to_str().unwrap(), "-f", "json"]);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(full).spawn().unwrap();
        let mut lines = Lines::new(child.stdout.take().unwrap());
        let (begun, mut seen) = (Instant::now(), Vec::new());
        while let Some(line) = lines.next_within(SOON.saturating_sub(begun.elapsed())) {
            seen.push(line);
        }
        let ended = begun.elapsed() < SOON;
        let _ = child.kill();
        child.wait().unwrap();
        assert!(seen.iter().cloned().eq((0..GOOD).map(numbered)), "{} good events, ended: {ended}", seen.len());
        assert!(ended, "the program has not ended");
    }
}

#[test]
fn on_a_terminal_a_notice_stands_between_the_lines_of_the_output() {
    const WANTED: usize = 200;
    let (flapping, busy) = (
        flapping(),
        StandIn::new(|connection: &mut Connection| {
            connection.accept();
            // Lines of many lengths, so that the terminal's buffer is full within one of them.
            while (0..1000).all(|number| connection.event(&numbered(number))) {}
        }),
    );
    let (master, slave) = terminal();
    let mut command = lxmon([&*flapping.remote(), &*busy.remote(), "-f", "json", "-v", "--color=never"]);
    let (out, err) = (slave.try_clone().unwrap(), slave);
    let mut child = command.stdin(Stdio::null()).stdout(out).stderr(err).spawn().unwrap();
    drop(command);
    let mut notices = 0;
    for line in std::io::BufRead::lines(std::io::BufReader::with_capacity(512, File::from(master))) {
        let line = line.unwrap();
        let line = line.trim_end_matches('\r');
        let is_notice = line.starts_with("lxmon: ") && !line.contains('{');
        let is_event = line.starts_with('{') && line.ends_with('}') && !line.contains("lxmon: ");
        assert!(is_notice || is_event, "{line}");
        notices += usize::from(is_notice);
        if notices == WANTED {
            break;
        }
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(notices, WANTED);
}
