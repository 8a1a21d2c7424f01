//! Live rows of operations in progress, on a terminal that an emulator plays.

use std::os::unix::process::ExitStatusExt as _;
use std::process::Command;
use std::sync::{Mutex, mpsc};
use std::time::{Duration, Instant};

use chrono::{DateTime, SecondsFormat, Utc};
use lxmon::event::{Event, Message, RemoteId};
use lxmon::render::Surface;
use lxmon::render::pretty::running::Running;
use lxmon::render::pretty::{Options, Pretty};
use proptest::prelude::*;
use rustix::process::Signal;
use unicode_width::UnicodeWidthStr as _;

use crate::flow::SOON;
use crate::signals::is_ignored;
use crate::support::program::lxmon;
use crate::support::screen::Screen;
use crate::support::standin::{Connection, QUICK, StandIn};
use crate::support::{processor_time, wait_until};

/// Text that every frame with rows contains once.
const FRAME: &str = "\x1b[?7l";

/// A server that sends what the test says, and then ends the connection.
struct Server {
    stand_in: StandIn,
    say: Option<mpsc::Sender<String>>,
    created: DateTime<Utc>,
}

impl Server {
    fn new() -> Self {
        let (say, said) = mpsc::channel::<String>();
        let said = Mutex::new(said);
        let stand_in = StandIn::new(move |connection: &mut Connection| {
            connection.accept();
            for event in said.lock().unwrap().iter() {
                connection.event(&event);
            }
            connection.end();
        });
        Self { stand_in, say: Some(say), created: Utc::now() }
    }

    fn say(&self, event: String) {
        self.say.as_ref().unwrap().send(event).unwrap();
    }

    /// The connection is lost.
    fn end(&mut self) {
        self.say = None;
    }

    /// An event of an operation whose class is `task` or given before a colon in `name`, which is its id and the
    /// instance that it concerns.
    fn operation(&self, name: &str, status: &str, details: &str) {
        let (class, name) = name.split_once(':').unwrap_or(("task", name));
        let code = match status {
            "Pending" => 105,
            "Running" => 103,
            "Success" => 200,
            _ => 400,
        };
        self.say(format!(
            r#"{{"type":"operation","timestamp":"{}","metadata":{{"id":"{name}","class":"{class}","description":"Copying instance","created_at":"{}","status":"{status}","status_code":{code},"resources":{{"instances":["/1.0/instances/{name}"]}},"metadata":{details},"may_cancel":false,"err":"","location":"none"}},"location":"none","project":"default"}}"#,
            now(),
            self.created.to_rfc3339_opts(SecondsFormat::Nanos, true)
        ));
    }

    /// The operation runs, and has copied so many per cent.
    fn running(&self, name: &str, percent: u32) {
        self.operation(name, "Running", &format!(r#"{{"fs_progress":"{name}: {percent}% (9.00MB/s)"}}"#));
    }

    fn finished(&self, name: &str) {
        self.operation(name, "Success", "{}");
    }

    /// A lifecycle event, which has one line, about this instance.
    fn started(&self, name: &str) {
        self.say(format!(
            r#"{{"type":"lifecycle","timestamp":"{}","metadata":{{"action":"instance-started","source":"/1.0/instances/{name}"}},"location":"none","project":"default"}}"#,
            now()
        ));
    }

    /// `lxmon -p` with more options.
    fn follow(&self, options: &[&str]) -> Command {
        let mut command = lxmon(["-p", "--color=never", &*self.stand_in.remote()]);
        command.args(options);
        command
    }
}

fn now() -> String {
    Utc::now().to_rfc3339_opts(SecondsFormat::Nanos, true)
}

/// The rows on the screen: the lines with the glyph of what goes on, and the number of those that are not shown.
fn rows(lines: &[String]) -> Vec<&str> {
    let is_row = |line: &&str| line.starts_with("… ") || line.contains(" … ") || is_more(line);
    lines.iter().map(String::as_str).filter(is_row).collect()
}

fn is_more(line: &str) -> bool {
    line.starts_with('+') && line.ends_with(" more") || line.ends_with(" operations")
}

/// Whether there is one row with each of these texts, in this order, below everything else.
fn ends_with_rows(lines: &[String], wanted: &[&str]) -> bool {
    let found = rows(lines);
    found.len() == wanted.len()
        && found.iter().zip(wanted).all(|(row, text)| row.contains(text))
        && rows(&lines[lines.len() - found.len()..]).len() == found.len()
}

/// Whether the line above so many rows has this text.
fn is_above(lines: &[String], rows: usize, text: &str) -> bool {
    lines.len() > rows && lines[lines.len() - rows - 1].contains(text)
}

/// Without the lines at the beginning and at the end of a session, and without notices.
const QUIET: &[&str] = &["-q"];

/// A screen with one row, of an operation that has copied 1 %.
fn with_a_row(server: &Server, options: &[&str]) -> Screen {
    let screen = Screen::start(&server.follow(options), 80, 24);
    server.running("c1", 1);
    screen.wait_for("a row", |lines| ends_with_rows(lines, &["c1"]));
    screen
}

#[test]
fn a_row_shows_progress_and_gives_way_to_a_line() {
    let server = Server::new();
    let screen = with_a_row(&server, QUIET);
    assert!(!screen.has_cursor() && !screen.echoes());
    server.running("c1", 77);
    screen.wait_for("progress", |lines| ends_with_rows(lines, &["77 %"]));
    server.started("c2");
    screen.wait_for("a line above the row", |lines| ends_with_rows(lines, &["77 %"]) && is_above(lines, 1, "c2"));
    server.running("c3", 5);
    screen.wait_for("two rows", |lines| ends_with_rows(lines, &["c1", "c3"]));
    server.finished("c1");
    screen.wait_for("a line in place of the first row", |lines| {
        ends_with_rows(lines, &["c3"]) && is_above(lines, 1, "c1")
    });
    server.finished("c3");
    screen.wait_for("no row", |lines| rows(lines).is_empty() && lines.last().unwrap().contains("c3"));
    wait_until(|| screen.has_cursor());
    screen.assert_left_clean("all operations have ended");
    let history = screen.history();
    assert_eq!(history.len(), 3, "{history:#?}");
}

#[test]
fn the_time_goes_on_while_no_event_comes() {
    let server = Server::new();
    let screen = with_a_row(&server, &[]);
    for seconds in ["0:01", "0:02"] {
        screen.wait_for(seconds, |lines| ends_with_rows(lines, &[seconds]));
    }
}

#[test]
fn quick_operations_and_those_that_wait_have_no_row() {
    let server = Server::new();
    let screen = Screen::start(&server.follow(&[]), 80, 24);
    // These wait for ever, for somebody who joins, for the other end, or for what somebody types.
    server.operation("token:t1", "Running", r#"{"secret":"***"}"#);
    server.operation("websocket:w1", "Pending", r#"{"command":["top"],"interactive":false}"#);
    server.operation("websocket:w2", "Running", r#"{"command":["sh"],"interactive":true}"#);
    server.operation("websocket:w3", "Running", r#"{"fds":{}}"#);
    for number in 0..20 {
        server.running(&format!("q{number}"), 1);
        server.finished(&format!("q{number}"));
    }
    server.started("c9");
    screen.wait_for("the last event", |lines| lines.iter().any(|line| line.contains("c9")));
    std::thread::sleep(Duration::from_millis(400));
    assert!(!screen.written().contains(FRAME), "{}", screen.lines().join("\n"));
    // These do something.
    server.operation("websocket:w4", "Running", r#"{"command":["make"],"interactive":false}"#);
    server.operation("websocket:w5", "Running", r#"{"fs_progress":"w5: 3MB"}"#);
    screen.wait_for("two rows", |lines| ends_with_rows(lines, &["w4", "w5"]));
}

/// As many frames as there may have been since then, at 30 a second.
fn most_frames(since: Instant) -> usize {
    usize::try_from(since.elapsed().as_millis() * 30 / 1000).unwrap() + 2
}

#[test]
fn a_burst_stands_whole_above_the_rows() {
    const EVENTS: usize = 5000;
    let server = Server::new();
    let screen = with_a_row(&server, QUIET);
    let begun = Instant::now();
    let before = screen.written().matches(FRAME).count();
    for number in 0..EVENTS {
        server.started(&format!("b{number}x"));
        if number % 10 == 0 {
            server.running("c1", u32::try_from(number / 50).unwrap());
        }
    }
    screen.wait_for("the last event", |lines| lines.iter().any(|line| line.contains("b4999x")));
    screen.wait_for("the latest progress", |lines| ends_with_rows(lines, &["99 %"]));
    let frames = screen.written().matches(FRAME).count() - before;
    // Besides those that complete a full buffer.
    assert!(frames <= most_frames(begun) + 20, "{frames} frames in {:?}", begun.elapsed());
    server.finished("c1");
    screen.wait_for("no row", |lines| rows(lines).is_empty());
    let history = screen.history();
    let found: Vec<_> = history.iter().filter(|line| line.contains("instance-started")).collect();
    assert_eq!(found.len(), EVENTS);
    assert!(found.iter().enumerate().all(|(number, line)| line.contains(&format!("b{number}x"))));
    assert_eq!(history.len(), EVENTS + 1, "stale rows");
}

#[test]
#[ignore = "long: run by CI"]
fn an_operation_every_5_ms_for_a_minute_costs_less_than_a_quarter_of_a_core() {
    const EVERY: Duration = Duration::from_millis(5);
    const OPERATIONS: u32 = 60 * 200;
    /// So many run at any time. Each takes 300 ms, and so has a row for a moment.
    const AT_ONCE: u32 = 60;
    let server = Server::new();
    let mut screen = with_a_row(&server, QUIET);
    let (begun, before) = (Instant::now(), processor_time(screen.program.id()));
    for number in 0..OPERATIONS {
        std::thread::sleep((begun + EVERY * number).saturating_duration_since(Instant::now()));
        server.running(&format!("o{number}x"), 1);
        if let Some(ended) = number.checked_sub(AT_ONCE) {
            server.finished(&format!("o{ended}x"));
        }
    }
    let (used, elapsed) = (processor_time(screen.program.id()).saturating_sub(before), begun.elapsed());
    println!("{used:?} of {elapsed:?}");
    assert!(used < elapsed / 4, "{used:?} of {elapsed:?}");
    screen.wait_for("the last operation that has ended", |lines| {
        let last = format!("o{}x", OPERATIONS - AT_ONCE - 1);
        lines.iter().any(|line| line.contains(&last) && line.contains('✓'))
    });
    screen.program.signal(Signal::TERM);
    screen.program.exit_status();
    let history = screen.history();
    let ended = history.iter().filter(|line| line.contains('✓')).count();
    assert_eq!(ended, usize::try_from(OPERATIONS - AT_ONCE).unwrap(), "lines of operations that have ended");
}

#[test]
fn few_lines_a_second_are_few_frames() {
    let server = Server::new();
    let screen = with_a_row(&server, &["--sort-window=0"]);
    let (begun, before) = (Instant::now(), screen.written().matches(FRAME).count());
    for number in 0..200 {
        server.started(&format!("b{number}x"));
        std::thread::sleep(Duration::from_millis(5));
    }
    screen.wait_for("the last event", |lines| lines.iter().any(|line| line.contains("b199x")));
    let frames = screen.written().matches(FRAME).count() - before;
    assert!(frames <= most_frames(begun), "{frames} frames in {:?}", begun.elapsed());
}

#[test]
fn a_notice_stands_above_the_rows() {
    let (server, mut other) = (Server::new(), Server::new());
    let screen = Screen::start(&server.follow(&[&*other.stand_in.remote()]), 240, 24);
    // A row that is longer than the notice.
    let progress = format!(r#"{{"fs_progress":"{}"}}"#, "copying ".repeat(20));
    server.operation("c1", "Running", &progress);
    screen.wait_for("a row", |lines| ends_with_rows(lines, &["c1"]));
    other.running("d1", 1);
    screen.wait_for("two rows", |lines| ends_with_rows(lines, &["c1", "d1"]));
    other.end();
    // The end of the other server's operation will not be seen.
    screen.wait_for("a notice and no row of the lost server", |lines| {
        ends_with_rows(lines, &["c1"]) && lines.iter().any(|line| line.starts_with("lxmon: ") && line.contains("lost"))
    });
    let torn: Vec<_> =
        screen.history().into_iter().filter(|line| line.contains("lxmon: ") && line.contains("copying")).collect();
    assert!(torn.is_empty(), "{torn:#?}");
}

#[test]
fn rows_follow_the_size_of_the_terminal() {
    let server = Server::new();
    let screen = with_a_row(&server, &[]);
    server.running("c2", 1);
    server.running("c3", 1);
    screen.wait_for("three rows", |lines| ends_with_rows(lines, &["c1", "c2", "c3"]));
    let sizes = [(40, 24, 3), (120, 24, 3), (20, 24, 3), (80, 5, 2), (20, 5, 2), (80, 3, 1), (80, 24, 3)];
    let rounds = [false, true].into_iter().flat_map(|has_line| sizes.map(|size| (has_line, size)));
    for (has_line, (columns, lines, shown)) in rounds {
        let frames = || screen.written().matches(FRAME).count();
        let before = frames();
        screen.resize(columns, lines);
        if has_line {
            // It comes while SIGWINCH is still being handled, and has the new width nevertheless.
            server.started("c9");
        }
        wait_until(|| frames() > before);
        let what = format!("{shown} rows of at most {columns} columns");
        // The emulator cuts rows that were drawn before.
        let fits = |lines: &[String]| {
            let is_counted = shown == 3 || lines.last().is_some_and(|line| is_more(line));
            let is_narrow = rows(lines).iter().all(|row| row.width() <= usize::from(columns));
            ends_with_rows(lines, &vec![""; shown]) && is_counted && is_narrow
        };
        screen.wait_for(&what, |lines| fits(lines) && (!has_line || is_above(lines, shown, "inst")));
    }
    for name in ["c1", "c2", "c3"] {
        server.finished(name);
    }
    screen.wait_for("no row", |lines| rows(lines).is_empty());
    assert!(screen.history().iter().all(|line| !line.contains(" … ")), "{:#?}", screen.history());
}

#[test]
fn more_than_a_third_of_the_screen_is_counted() {
    let server = Server::new();
    let screen = Screen::start(&server.follow(&[]), 80, 50);
    for number in 0..11 {
        server.running(&format!("c{number}x"), 1);
    }
    let first = ["c0x", "c1x", "c2x", "c3x", "c4x", "c5x", "c6x", "+4 more"];
    screen.wait_for("seven rows and the rest", |lines| ends_with_rows(lines, &first));
    server.finished("c3x");
    server.finished("c4x");
    server.finished("c5x");
    screen.wait_for("eight rows", |lines| {
        ends_with_rows(lines, &["c0x", "c1x", "c2x", "c6x", "c7x", "c8x", "c9x", "c10x"])
    });
}

#[test]
fn what_is_typed_moves_no_row() {
    let server = Server::new();
    let screen = with_a_row(&server, QUIET);
    screen.type_in(b"\r\r\rabc\r");
    server.running("c1", 77);
    screen.wait_for("progress", |lines| ends_with_rows(lines, &["77 %"]));
    assert_eq!(screen.lines().len(), 1, "{:#?}", screen.lines());
}

#[test]
fn every_signal_leaves_the_terminal_clean() {
    for signal in [Signal::INT, Signal::QUIT, Signal::TERM, Signal::HUP] {
        if is_ignored(signal) {
            continue;
        }
        let server = Server::new();
        let mut screen = with_a_row(&server, QUIET);
        match signal {
            Signal::INT => screen.type_in(b"\x03"),
            Signal::QUIT => screen.type_in(b"\x1c"),
            _ => screen.program.signal(signal),
        }
        let status = screen.program.exit_status();
        assert_eq!(status.signal(), Some(signal.as_raw()));
        wait_until(|| rows(&screen.lines()).is_empty());
        screen.assert_left_clean(&format!("{signal:?}"));
        assert_eq!(screen.lines().len(), 0, "{:#?}", screen.lines());
    }
}

#[test]
fn every_other_end_leaves_the_terminal_clean() {
    for options in [&["--no-reconnect"][..], &["--timeout=2s"], &["--count=1"], &["--fail-on-gap"]] {
        let mut server = Server::new();
        let mut screen = with_a_row(&server, options);
        match options[0] {
            "--count=1" => server.started("c9"),
            "--no-reconnect" | "--fail-on-gap" => server.end(),
            _ => {}
        }
        screen.program.exit_status();
        screen.wait_for("no row", |lines| rows(lines).is_empty());
        screen.assert_left_clean(options[0]);
    }
}

#[test]
fn a_server_that_dies_leaves_no_row() {
    let mut server = Server::new();
    let screen = with_a_row(&server, &[]);
    server.end();
    screen.wait_for("a notice and no row", |lines| {
        rows(lines).is_empty() && lines.iter().any(|line| line.contains("lost"))
    });
    wait_until(|| screen.has_cursor() && screen.echoes());
}

#[test]
fn suspended_it_leaves_the_terminal_to_the_shell() {
    if is_ignored(Signal::INT) {
        println!("skipped: the tests were started with SIGINT ignored");
        return;
    }
    let server = Server::new();
    let lxmon = server.follow(QUIET);
    // A shell with job control, which runs lxmon as a job.
    let script = r#""$@"; echo suspended; read line; fg >/dev/null"#;
    let mut shell = Command::new("/bin/sh");
    shell.args(["-m", "-c", script, "sh"]).arg(lxmon.get_program()).args(lxmon.get_args());
    shell.envs(lxmon.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let mut screen = Screen::start(&shell, 80, 24);
    server.running("c1", 1);
    screen.wait_for("a row", |lines| ends_with_rows(lines, &["c1"]));
    screen.type_in(b"\x1a");
    screen.wait_for("the shell", |lines| lines.last().is_some_and(|line| line == "suspended"));
    assert_eq!(screen.lines(), ["suspended"]);
    screen.assert_left_clean("suspended");
    server.running("c1", 5);
    server.started("c2");
    screen.type_in(b"\r");
    screen.wait_for("a row again", |lines| ends_with_rows(lines, &["5 %"]));
    assert!(!screen.has_cursor() && !screen.echoes());
    screen.type_in(b"\x03");
    screen.program.exit_status();
    wait_until(|| rows(&screen.lines()).is_empty());
    screen.assert_left_clean("interrupted");
}

#[test]
fn without_a_shell_it_cannot_be_suspended() {
    let server = Server::new();
    let screen = with_a_row(&server, &[]);
    screen.type_in(b"\x1a");
    server.running("c1", 77);
    screen.wait_for("progress", |lines| ends_with_rows(lines, &["77 %"]));
}

#[test]
fn a_session_from_outside_of_the_namespace_of_processes_has_rows_too() {
    let unshare = ["-rpf", "--kill-child"];
    if !Command::new("unshare").args(unshare).arg("true").status().is_ok_and(|status| status.success()) {
        println!("skipped: this machine permits no namespaces");
        return;
    }
    let server = Server::new();
    let lxmon = server.follow(QUIET);
    let mut command = Command::new("unshare");
    command.args(unshare).arg(lxmon.get_program()).args(lxmon.get_args());
    command.envs(lxmon.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let screen = Screen::start(&command, 80, 24);
    server.running("c1", 1);
    screen.wait_for("a row", |lines| ends_with_rows(lines, &["c1"]));
    // The first process of a namespace cannot be stopped from within it (`pid_namespaces(7)`).
    screen.type_in(b"\x1a");
    server.running("c1", 77);
    screen.wait_for("progress", |lines| ends_with_rows(lines, &["77 %"]));
}

#[test]
fn a_dumb_terminal_gets_lines_alone() {
    let server = Server::new();
    let mut command = server.follow(&[]);
    command.env("TERM", "dumb");
    let screen = Screen::start(&command, 80, 24);
    server.running("c1", 1);
    server.started("c2");
    screen.wait_for("a line", |lines| lines.iter().any(|line| line.contains("c2")));
    std::thread::sleep(Duration::from_millis(400));
    server.finished("c1");
    screen.wait_for("the end", |lines| lines.iter().any(|line| line.contains("c1") && line.contains('✓')));
    assert!(!screen.written().contains('\x1b'), "{:?}", screen.written());
}

#[test]
fn a_stopped_terminal_with_rows_stops_nothing_else() {
    // SIGQUIT does not even wait for the thread that waits for the terminal.
    for signal in [Signal::TERM, Signal::QUIT] {
        if is_ignored(signal) {
            continue;
        }
        let (say, said) = mpsc::channel();
        let say = Mutex::new(say);
        let server = Server::new();
        let steady = StandIn::with_limits(QUICK, move |connection: &mut Connection| {
            connection.accept();
            while connection.is_answered(b"?") {
                let _ = say.lock().unwrap().send(());
                std::thread::sleep(Duration::from_millis(50));
            }
        });
        let mut screen = with_a_row(&server, &[&*steady.remote()]);
        screen.type_in(b"\x13");
        // More than fits into the terminal's buffer.
        for number in 0..4000 {
            server.running("c1", number / 40);
            server.started(&format!("b{number}x"));
        }
        for _ in 0..40 {
            said.recv_timeout(SOON).unwrap();
        }
        screen.program.signal(signal);
        let sent = Instant::now();
        assert_eq!(screen.program.exit_status().signal(), Some(signal.as_raw()));
        assert!(sent.elapsed() < SOON);
        assert!(screen.echoes(), "{signal:?}");
        steady.assert_never_cut();
    }
}

/// Draws the rows of these operations below two lines, on an emulated terminal of this size, as the program draws them.
fn draw(events: &[String], (columns, lines): (usize, usize), color: bool) -> (vt100::Parser, String) {
    let surface = Surface { color, terminal: true };
    let options = Options {
        surface,
        width: Some(columns),
        show_project: true,
        utf8: true,
        live_rows: true,
        ..Options::default()
    };
    let (mut running, mut pretty, mut drawn) = (Running::default(), Pretty::new(options), Vec::new());
    let now = Instant::now();
    for event in events {
        let event = Event::decode(Message::from(&**event), RemoteId::default(), None).unwrap();
        running.advance(&event, now);
    }
    running.rows(now, (columns, lines), color, &mut drawn, |event, elapsed, row| {
        pretty.render_running(event, None, elapsed, row);
    });
    let drawn = String::from_utf8(drawn).unwrap();
    let size = |length: usize| u16::try_from(length).unwrap();
    let mut terminal = vt100::Parser::new(size(lines.max(1) + 2), size(columns), 100);
    terminal.process(b"1\r\n2\r\n");
    terminal.process(drawn.replace('\n', "\r\n").as_bytes());
    (terminal, drawn)
}

fn rows_of(terminal: &vt100::Parser) -> Vec<String> {
    let screen = terminal.screen();
    screen.rows(0, screen.size().1).collect()
}

proptest! {
    #[test]
    fn no_event_leaves_its_row(
        events in prop::collection::vec(crate::support::arbitrary::running(), 1..12),
        columns in 1usize..160,
        lines in 0usize..40,
        color: bool,
    ) {
        let (mut terminal, drawn) = draw(&events, (columns, lines), color);
        let screen = rows_of(&terminal);
        prop_assert_eq!(&screen[..2], ["1", "2"], "{:?}", drawn);
        prop_assert_eq!(terminal.screen().cursor_position(), (2, 0), "{:?}", drawn);
        prop_assert!(drawn.matches('\n').count() < lines.div_ceil(3).clamp(1, 8), "{:?}", drawn);
        // Nothing but text and the sequences of rows: neither a bell nor a title, nor reversed text.
        let mut plain = drawn.clone();
        for sequence in ["[?25l", "[?7l", "[K", "[J", "[?7h", "[1A", "[2A", "[3A", "[4A", "[5A", "[6A", "[7A"] {
            plain = plain.replace(&format!("\x1b{sequence}"), "");
        }
        let plain = crate::support::claims::stripped(&plain);
        let is_control = |character: char| lxmon::render::sanitize::is_control(character);
        prop_assert!(!plain.chars().any(|character| !"\r\n".contains(character) && is_control(character)), "{:?}", drawn);
        terminal.process(b"\r\x1b[J");
        prop_assert!(rows_of(&terminal)[2..].iter().all(String::is_empty), "{:?}", drawn);
    }
}
