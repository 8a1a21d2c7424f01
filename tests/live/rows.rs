//! Live rows of real operations, on a terminal that an emulator plays.

use super::alone;
use super::server::{Kind, Server};
use crate::support::screen::Screen;

/// A command of two seconds has a row, and then a line. While it runs, the terminal is resized.
fn follow_a_command(kind: Kind) {
    let _alone = alone();
    let server = Server::start(kind);
    server.prepare_instances();
    server.client(&["launch", "busybox", "c1"]);
    let screen = Screen::start(&server.lxmon(&["-p", "-v"]), 120, 24);
    screen.wait_for("a subscription", |lines| lines.iter().any(|line| line.contains("subscribed after")));
    let mut command = server.client_command(&["exec", "c1", "--", "sleep", "2"]).spawn().unwrap();
    let is_row = |line: &String| line.contains(" … ") && line.contains("c1") && line.contains("sleep 2");
    screen.wait_for("a row", |lines| lines.last().is_some_and(is_row));
    screen.resize(80, 12);
    screen.wait_for("a row of more than a second", |lines| lines.last().is_some_and(|line| line.contains("0:01")));
    assert!(command.wait().unwrap().success());
    screen.wait_for("a line in place of the row", |lines| {
        !lines.iter().any(is_row) && lines.last().is_some_and(|line| line.contains(" ✓ ") && line.contains("2."))
    });
    screen.type_in(b"\x03");
    screen.wait_for("the end", |_| screen.has_cursor() && screen.echoes());
}

#[test]
#[ignore = "starts LXD"]
fn lxd_commands_have_rows() {
    follow_a_command(Kind::Lxd);
}

#[test]
#[ignore = "starts Incus"]
fn incus_commands_have_rows() {
    follow_a_command(Kind::Incus);
}
