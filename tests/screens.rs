//! Whole screens: the help, and the session of the demonstration on terminals of several widths. `cargo insta review`,
//! or `INSTA_UPDATE=always cargo test screens`, accepts a change.

use std::borrow::Cow;
use std::io::Read as _;
use std::path::Path;

use anstyle::AnsiColor;
use lxmon::event::{Event, Level, Message, RemoteId};
use lxmon::filter::{Filter, Selection};
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
        let event = Event::decode(Message::from(line), RemoteId::default(), None).unwrap();
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

const WIDTHS: [usize; 6] = [60, 80, 100, 120, 160, 200];

#[test]
fn the_session_on_terminals_of_all_widths() {
    for width in WIDTHS {
        insta::assert_snapshot!(format!("session_{width}"), session(width, false));
    }
}

/// The events of a real server, as `lxmon --pretty --all-projects --time utc` shows them.
fn shown<'e>(events: impl Iterator<Item = Cow<'e, str>>, options: Options) -> String {
    let mut pretty = Pretty::new(Options { time: TimeStyle::Utc, show_project: true, ..options });
    let mut filter = Filter::new(&Selection { loglevel: Some(Level::Info), ..Selection::default() });
    let mut screen = Vec::new();
    for event in events {
        let event = Event::decode(Message::from(&*event), RemoteId::default(), None).unwrap();
        if filter.admits(&event) {
            pretty.render(&event, None, &mut screen);
        }
    }
    String::from_utf8(screen).unwrap()
}

/// The events of a golden recording, each of which is a pair of an event and the text of a client.
fn recorded(pairs: &str, options: Options) -> String {
    let event = |line| {
        let pair: serde_json::Value = serde_json::from_str(line).unwrap();
        pair["event"].as_str().unwrap().to_owned().into()
    };
    shown(pairs.lines().map(event), options)
}

#[test]
fn what_real_servers_do_on_terminals_of_all_widths_and_to_a_pipe() {
    for (server, pairs) in [("incus", INCUS), ("lxd", LXD)] {
        let pipe = Options { utf8: true, ..Options::default() };
        let surface = Surface { color: false, terminal: true };
        let terminal = Options { surface, live_rows: true, ..pipe };
        for width in WIDTHS {
            let screen = recorded(pairs, Options { width: Some(width), ..terminal });
            assert!(screen.lines().all(|line| line.width() <= width), "{screen}");
            insta::assert_snapshot!(format!("{server}_{width}"), screen);
        }
        let width = Some(100);
        insta::assert_snapshot!(format!("{server}_ascii"), recorded(pairs, Options { utf8: false, width, ..terminal }));
        insta::assert_snapshot!(format!("{server}_pipe"), recorded(pairs, pipe));
        let colored = Options { surface: Surface { color: true, ..surface }, width, ..terminal };
        insta::assert_snapshot!(format!("{server}_color"), recorded(pairs, colored).replace('\x1b', "␛"));
    }
}

/// The recordings of real servers.
const LXD: &str = include_str!("data/golden/lxd-5.0.2-cluster.lxc-pretty.ndjson");
const INCUS: &str = include_str!("data/golden/incus-6.0.4.lxc-pretty.ndjson");

/// A cluster of LXD 5.0.2: instances of an image of 150 MB are launched, copied and published, commands and starts fail, and
/// a member is evacuated.
const DAY: &str = include_str!("data/day-lxd.ndjson");

#[test]
fn the_pictures_in_the_readme_are_up_to_date() {
    const VARIABLE: &str = "LXMON_TEST_DRAW";
    // As many lines as a reader sees without scrolling.
    let first = |screen: &str, lines: usize| screen.lines().take(lines).collect::<Vec<_>>().join("\n");
    let surface = Surface { color: true, terminal: true };
    let on = |width| Options { surface, width: Some(width), utf8: true, live_rows: true, ..Options::default() };
    let session_80 = session(80, true);
    let last: Vec<_> = session_80.lines().skip(session_80.lines().count().saturating_sub(24)).collect();
    // From the first launch to the end of the evacuation.
    let day = shown(DAY.lines().map(Cow::Borrowed), on(80));
    let is_launch = |line: &&str| line.contains("web1") && line.contains("Creating instance");
    let begun = day.lines().position(|line| is_launch(&line)).unwrap_or(0);
    let ended = day.lines().position(|line| line.contains("Restoring cluster member")).unwrap_or(usize::MAX);
    let day = day.lines().take(ended + 1).skip(begun).collect::<Vec<_>>().join("\n");
    let dark = anstyle_svg::Term::new();
    let light = dark.fg_color(AnsiColor::Black.into()).bg_color(AnsiColor::BrightWhite.into());
    let mut is_current = true;
    for (name, style, screen) in [
        ("pretty.svg", dark, first(&session(120, true), 30)),
        ("pretty-80.svg", dark, last.join("\n")),
        ("lxd-80.svg", dark, day),
        ("incus-160.svg", light, first(&recorded(INCUS, on(160)), 40)),
    ] {
        let picture = style.render_svg(&screen);
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(name);
        if std::env::var_os(VARIABLE).is_some() {
            std::fs::write(&file, &picture).unwrap();
        }
        is_current &= std::fs::read_to_string(&file).is_ok_and(|committed| committed == picture);
    }
    assert!(is_current, "a picture is out of date; redraw them: {VARIABLE}=1 cargo test pictures");
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
