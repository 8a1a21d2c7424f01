//! A terminal for the program: a pseudo-terminal whose other end is an emulator, so that a test sees what a user sees.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};

use super::program::{Follower, PATIENCE, terminal};

/// How many lines that have left the screen are kept.
const HISTORY: usize = 20_000;

/// A terminal with a program that has it as its controlling terminal, and for all of its streams.
pub(crate) struct Screen {
    ours: File,
    emulator: Arc<Mutex<Emulator>>,
    pub(crate) program: Follower,
}

struct Emulator {
    parser: vt100::Parser,
    /// Everything that was written.
    written: Vec<u8>,
}

impl Screen {
    /// Starts the program on a terminal of this many columns and lines.
    pub(crate) fn start(program: &Command, columns: u16, lines: u16) -> Self {
        let (ours, theirs) = terminal();
        let size = Winsize { ws_row: lines, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&ours, size).unwrap();
        let mut command = Command::new("setsid");
        command.arg("--ctty").arg(program.get_program()).args(program.get_args());
        // The path is for setsid alone: programs are named by theirs.
        command.env_clear().env("PATH", "/usr/local/bin:/usr/bin:/bin").env("TERM", "xterm-256color");
        command.envs(program.get_envs().filter_map(|(name, value)| Some((name, value?))));
        if let Some(directory) = program.get_current_dir() {
            command.current_dir(directory);
        }
        let streams = [theirs.try_clone().unwrap(), theirs.try_clone().unwrap(), theirs].map(Stdio::from);
        let program = Follower::start_with(command, streams);
        let parser = vt100::Parser::new(lines, columns, HISTORY);
        let emulator = Arc::new(Mutex::new(Emulator { parser, written: Vec::new() }));
        let (mut output, shared) = (ours.try_clone().unwrap(), Arc::clone(&emulator));
        std::thread::spawn(move || {
            let mut some = vec![0; 64 << 10];
            // Fails once no process has the other end open.
            while let Ok(length @ 1..) = output.read(&mut some) {
                let mut emulator = shared.lock().unwrap_or_else(PoisonError::into_inner);
                emulator.parser.process(&some[..length]);
                emulator.written.extend_from_slice(&some[..length]);
            }
        });
        Self { ours, emulator, program }
    }

    fn emulator(&self) -> MutexGuard<'_, Emulator> {
        self.emulator.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Types these bytes.
    pub(crate) fn type_in(&self, bytes: &[u8]) {
        (&self.ours).write_all(bytes).unwrap();
    }

    /// Changes the size. The program gets SIGWINCH.
    pub(crate) fn resize(&self, columns: u16, lines: u16) {
        // Nothing is drawn in between.
        let mut emulator = self.emulator();
        emulator.parser.screen_mut().set_size(lines, columns);
        let size = Winsize { ws_row: lines, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&self.ours, size).unwrap();
    }

    /// The lines on the screen, without the empty ones at its end.
    pub(crate) fn lines(&self) -> Vec<String> {
        let emulator = self.emulator();
        let screen = emulator.parser.screen();
        filled(screen.rows(0, screen.size().1).collect())
    }

    /// All lines since the start, with those that have left the screen.
    pub(crate) fn history(&self) -> Vec<String> {
        let mut emulator = self.emulator();
        let screen = emulator.parser.screen_mut();
        let (_, columns) = screen.size();
        screen.set_scrollback(usize::MAX);
        let mut lines = Vec::new();
        for above in (1..=screen.scrollback()).rev() {
            screen.set_scrollback(above);
            lines.extend(screen.rows(0, columns).next());
        }
        screen.set_scrollback(0);
        lines.extend(screen.rows(0, columns));
        filled(lines)
    }

    /// Everything that was written.
    pub(crate) fn written(&self) -> String {
        String::from_utf8_lossy(&self.emulator().written).into_owned()
    }

    /// Whether the cursor is visible.
    pub(crate) fn has_cursor(&self) -> bool {
        !self.emulator().parser.screen().hide_cursor()
    }

    /// The line of the cursor, from 0, and its column.
    pub(crate) fn cursor(&self) -> (u16, u16) {
        self.emulator().parser.screen().cursor_position()
    }

    /// Whether the terminal shows what is typed.
    pub(crate) fn echoes(&self) -> bool {
        tcgetattr(&self.ours).unwrap().local_modes.contains(LocalModes::ECHO)
    }

    /// Waits until the lines on the screen are as `wanted`.
    pub(crate) fn wait_for(&self, what: &str, wanted: impl Fn(&[String]) -> bool) {
        let begun = Instant::now();
        while !wanted(&self.lines()) {
            assert!(begun.elapsed() < PATIENCE, "the screen never has {what}:\n{}", self.lines().join("\n"));
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Asserts that the terminal is as the program found it: no rows, a cursor behind the last line, and an echo.
    pub(crate) fn assert_left_clean(&self, what: &str) {
        let lines = self.lines();
        assert!(self.has_cursor() && self.echoes(), "{what}: cursor {}, echo {}", self.has_cursor(), self.echoes());
        let (line, column) = self.cursor();
        assert_eq!((usize::from(line), column), (lines.len(), 0), "{what}:\n{}", lines.join("\n"));
    }
}

fn filled(mut lines: Vec<String>) -> Vec<String> {
    while lines.last().is_some_and(|line| line.trim().is_empty()) {
        lines.pop();
    }
    lines
}
