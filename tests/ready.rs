//! `--ready-fd`: whoever starts lxmon hears when no event is missed any more.

use std::process::Command;
use std::sync::{Mutex, mpsc};
use std::time::{Duration, Instant};

use crate::support::program::{Follower, finish, lxmon};
use crate::support::standin::{Connection, StandIn, numbered};

/// A shell that runs lxmon with these arguments and redirections.
fn shell(arguments: &[&str], redirections: &str) -> Command {
    let program = lxmon(arguments);
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(format!(r#"exec "$0" "$@" {redirections}"#)).arg(program.get_program()).args(arguments);
    shell.env_clear().env("HOME", "/nonexistent");
    shell
}

/// A server that accepts a subscription once the test sends something.
pub(crate) fn gated() -> (StandIn, mpsc::Sender<()>) {
    let (open, opened) = mpsc::channel();
    let opened = Mutex::new(opened);
    let server = StandIn::new(move |connection: &mut Connection| {
        if opened.lock().unwrap().recv().is_ok() {
            connection.accept();
            connection.event(&numbered(1));
            connection.wait();
        }
    });
    (server, open)
}

#[test]
fn the_line_comes_once_all_remotes_are_followed() {
    let [(first, open_first), (second, open_second)] = [gated(), gated()];
    let arguments = [&*first.remote(), &*second.remote(), "--ready-fd=9", "-v", "-n2"];
    let mut program = Follower::start(&mut shell(&arguments, "9>&1 >/dev/null"));
    open_second.send(()).unwrap();
    program.wait_for_notice("subscribed after");
    assert!(!program.see_line(Instant::now() + Duration::from_millis(100)), "one of them is not followed yet");
    open_first.send(()).unwrap();
    assert_eq!(program.line(), "ready\n");
    let outcome = program.end();
    assert_eq!((outcome.status, &*outcome.stdout), (0, ""), "{}", outcome.stderr);
}

#[test]
fn a_recording_and_the_demonstration_are_ready_too() {
    let recording = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(recording.path(), numbered(0)).unwrap();
    for arguments in [&["--replay", recording.path().to_str().unwrap()][..], &["--demo", "-n1"]] {
        let outcome = finish(&mut shell(&[arguments, &["--ready-fd", "3"]].concat(), "3>&1 >/dev/null"));
        assert_eq!((outcome.status, &*outcome.stdout), (0, "ready\n"), "{arguments:?}: {}", outcome.stderr);
    }
}

#[test]
fn nobody_who_waits_for_it_ends_nothing() {
    let (server, open) = gated();
    open.send(()).unwrap();
    let arguments = [&*server.remote(), "--ready-fd=9", "-n1", "-f", "json"];
    // The pipe's reader has ended before lxmon begins.
    let mut shell = Command::new("bash");
    let program = lxmon(arguments);
    shell.arg("-c").arg(r#"exec 9> >(:); wait $!; exec "$0" "$@""#).arg(program.get_program()).args(arguments);
    shell.env_clear().env("HOME", "/nonexistent");
    let outcome = finish(&mut shell);
    assert_eq!((outcome.status, outcome.stdout.trim_end(), &*outcome.stderr), (0, &*numbered(1), ""));
}

#[test]
fn a_descriptor_that_cannot_be_written_to_is_one_error() {
    for (number, redirections, says) in [
        ("9", "9>&-", "lxmon: --ready-fd 9: this descriptor is not open\nhint: open it for writing"),
        ("9", "9</dev/null", "lxmon: --ready-fd 9: this descriptor is open for reading only\nhint: "),
        ("2000000000", "", "this descriptor is not open"),
        ("-1", "", "invalid value '-1' for '--ready-fd <N>'"),
        ("x", "", "invalid value 'x' for '--ready-fd <N>'"),
        ("99999999999", "", "invalid value '99999999999' for '--ready-fd <N>'"),
    ] {
        let outcome = finish(&mut shell(&["--demo", "--ready-fd", number], redirections));
        assert_eq!((outcome.status, &*outcome.stdout), (2, ""), "{number} {redirections}: {}", outcome.stderr);
        assert!(outcome.stderr.contains(says), "{number} {redirections}: {}", outcome.stderr);
        assert!(outcome.stderr.lines().count() <= 3, "{}", outcome.stderr);
    }
}
