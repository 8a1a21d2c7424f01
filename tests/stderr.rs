//! If standard error accepts nothing or is closed, only notices are lost.

use std::fs::File;
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt as _;
use std::process::Stdio;
use std::sync::{Mutex, mpsc};
use std::time::{Duration, Instant};

use rustix::fs::{OFlags, fcntl_setfl};
use rustix::process::Signal;

use crate::flow::SOON;
use crate::support::program::{Follower, lxmon, terminal};
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
fn assert_ends_by_signal(mut running: Follower, what: &str) {
    running.signal(Signal::TERM);
    let sent = Instant::now();
    let status = running.exit_status();
    assert_eq!(status.signal(), Some(Signal::TERM.as_raw()), "{what}: {status:?}");
    assert!(sent.elapsed() < SOON, "{what}: {:?}", sent.elapsed());
}

/// Follows two servers, one of which causes many notices, with this standard error. Asserts that events are still
/// printed, that pings are still answered, and that SIGTERM ends the program.
fn follow_with(stderr: impl Into<Stdio>, what: &str) {
    let (flapping, (steady, answered)) = (flapping(), steady());
    let command = lxmon([&*flapping.remote(), &*steady.remote(), "-f", "json", "-v"]);
    let mut running = Follower::start_with(command, [Stdio::null(), Stdio::piped(), stderr.into()]);
    let mut from_steady = 0;
    let deadline = Instant::now() + SOON;
    while from_steady < 20 && running.see_line(deadline) {
        from_steady += u32::from(running.seen.last().unwrap().contains(&steady.remote()));
    }
    let answers = answered.try_iter().count();
    assert_ends_by_signal(running, what);
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
    let (mut master, slave) = terminal();
    // Ctrl-S stops the terminal's output.
    master.write_all(b"\x13").unwrap();
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
    let (mut master, slave) = terminal();
    let command = lxmon([&*flapping.remote(), &*steady.remote(), "-f", "json", "-v"]);
    let streams = [Stdio::null(), slave.try_clone().unwrap().into(), slave.into()];
    let running = Follower::start_with(command, streams);
    assert!(master.read(&mut [0; 64]).unwrap() > 0);
    master.write_all(b"\x13").unwrap();
    answered.try_iter().count();
    let begun = Instant::now();
    let mut answers = 0;
    while answers < 40 && answered.recv_timeout(SOON.saturating_sub(begun.elapsed())).is_ok() {
        answers += 1;
    }
    assert_ends_by_signal(running, "stopped terminal");
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
        let command = lxmon(["--replay", recording.path().to_str().unwrap(), "-f", "json"]);
        let mut running = Follower::start_with(command, [Stdio::null(), Stdio::piped(), full.into()]);
        let begun = Instant::now();
        running.read_for(SOON);
        let (ended, seen) = (begun.elapsed() < SOON, &running.seen);
        assert!(seen.iter().cloned().eq((0..GOOD).map(numbered)), "{} good events, ended: {ended}", seen.len());
        assert!(ended, "the program has not ended");
    }
}

#[test]
fn on_a_terminal_a_notice_stands_between_the_lines_of_the_output() {
    const WANTED: usize = 200;
    /// How long the terminal takes for a line. At full speed, printing would only keep the processors busy.
    const A_LINE: Duration = Duration::from_millis(1);
    // Several, because each waits before it connects again.
    let (flapping, busy) = (
        [flapping(), flapping(), flapping(), flapping()],
        StandIn::new(|connection: &mut Connection| {
            connection.accept();
            // Lines of many lengths, so that the terminal's buffer is full within one of them. It always is, because
            // these are somewhat more lines than are read below.
            while (0..1000).all(|number| {
                if number % 70 == 0 {
                    std::thread::sleep(60 * A_LINE);
                }
                connection.event(&numbered(number))
            }) {}
        }),
    );
    let (master, slave) = terminal();
    let mut command = lxmon([&*busy.remote(), "-f", "json", "-v", "--color=never"]);
    command.args(flapping.each_ref().map(StandIn::remote));
    let streams = [Stdio::null(), slave.try_clone().unwrap().into(), slave.into()];
    let _running = Follower::start_with(command, streams);
    let mut notices = 0;
    for line in std::io::BufRead::lines(std::io::BufReader::with_capacity(512, master)) {
        std::thread::sleep(A_LINE);
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
    assert_eq!(notices, WANTED);
}
