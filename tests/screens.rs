//! Whole screens: the help, and the session of the demonstration on terminals of several widths. `cargo insta review`,
//! or `INSTA_UPDATE=always cargo test screens`, accepts a change.

use std::io::Read as _;
use std::path::Path;

use lxmon::event::json::Tape;
use lxmon::event::{Event, Message, RemoteId};
use lxmon::render::Surface;
use lxmon::render::pretty::{Options, Pretty, TimeStyle};
use rustix::termios::{Winsize, tcsetwinsize};
use unicode_width::UnicodeWidthStr as _;

use crate::support::program::{Follower, lxmon, run, terminal};

/// The session, as `lxmon --demo --pretty --all-projects --time utc` shows it on a terminal of this width.
fn session(width: usize, color: bool) -> String {
    let surface = Surface { color, terminal: true };
    let options = Options {
        surface,
        width: Some(width),
        time: TimeStyle::Utc,
        show_project: true,
        utf8: true,
        live_rows: true,
        ..Options::default()
    };
    let mut pretty = Pretty::new(options);
    let mut screen = Vec::new();
    for line in include_str!("../src/source/demo/session.ndjson").lines() {
        let event = Event::decode(Message::from(line), RemoteId::default(), Tape::default()).unwrap();
        pretty.render(&event, None, &mut screen);
    }
    String::from_utf8(screen).unwrap()
}

#[test]
fn the_help() {
    let help = run(["--help"]);
    assert_eq!(help.status, 0);
    insta::assert_snapshot!(help.stdout);
}

#[test]
fn the_session_on_terminals_of_three_widths() {
    for width in [60, 80, 160] {
        insta::assert_snapshot!(format!("session_{width}"), session(width, false));
    }
}

#[test]
fn the_picture_in_the_readme_is_up_to_date() {
    const VARIABLE: &str = "LXMON_TEST_DRAW";
    // As many lines as a reader sees without scrolling.
    let screen: Vec<_> = session(120, true).lines().take(30).map(str::to_owned).collect();
    let picture = anstyle_svg::Term::new().render_svg(&screen.join("\n"));
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/pretty.svg");
    if std::env::var_os(VARIABLE).is_some() {
        std::fs::write(&file, &picture).unwrap();
    }
    let is_current = std::fs::read_to_string(&file).is_ok_and(|committed| committed == picture);
    assert!(is_current, "the picture is out of date; redraw it: {VARIABLE}=1 cargo test picture");
}

/// What the program prints on a terminal with this many columns.
fn on_a_terminal(columns: u16, options: &[&str]) -> String {
    let (mut terminal, screen) = terminal();
    let size = Winsize { ws_row: 24, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    tcsetwinsize(&terminal, size).unwrap();
    let session = concat!(env!("CARGO_MANIFEST_DIR"), "/src/source/demo/session.ndjson");
    let mut command = lxmon(["--replay", session, "--pretty", "--color=never"]);
    command.args(options);
    // The command goes, and with it our copy of the terminal's other end, so that reading ends when the program does.
    let running = Follower::start_into(command, screen);
    let mut printed = Vec::new();
    // At the end of a terminal's output, reading fails with EIO.
    let _ = terminal.read_to_end(&mut printed);
    assert_eq!(running.end().status, 0);
    String::from_utf8(printed).unwrap()
}

#[test]
fn lines_fit_the_terminal_unless_they_are_not_to_be_cut() {
    for columns in [60, 80, 160] {
        let longest = |screen: &str| screen.lines().map(|line| line.trim_end().width()).max().unwrap();
        assert!(longest(&on_a_terminal(columns, &[])) <= usize::from(columns));
        assert!(longest(&on_a_terminal(columns, &["--no-trunc"])) > usize::from(columns));
    }
}
