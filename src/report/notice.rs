//! Output on stderr: errors, notices, and the messages of `-v` and `--debug`.
//!
//! `warn!` is for notices, which `--quiet` suppresses, `info!` for `--verbose`, `debug!` for `--debug`. Control
//! characters are escaped, because messages contain text from servers.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;

use log::{Level, LevelFilter, Log, Metadata, Record};

use crate::render::sanitize;
use crate::report::exit::{Exit, Fault};
use crate::system::clock::local_now;
use crate::system::memory;
use crate::system::terminal;

/// Which messages are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verbosity {
    /// Errors only.
    Quiet,
    /// Notices.
    Normal,
    /// `-v`
    Verbose,
    /// `--debug`
    Debug,
}

struct Notices;

/// Enables notices. Only the first call has an effect.
pub fn start(verbosity: Verbosity) {
    static NOTICES: Notices = Notices;
    if log::set_logger(&NOTICES).is_ok() {
        log::set_max_level(match verbosity {
            Verbosity::Quiet => LevelFilter::Error,
            Verbosity::Normal => LevelFilter::Warn,
            Verbosity::Verbose => LevelFilter::Info,
            Verbosity::Debug => LevelFilter::Debug,
        });
    }
}

impl Log for Notices {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        // The logs of other crates can contain secrets and do not help our users.
        metadata.target().starts_with(env!("CARGO_CRATE_NAME"))
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            if record.level() == Level::Debug {
                // The times say how far apart the steps of a connection are.
                say(&format!("lxmon: debug: {} {}", local_now().format("%H:%M:%S%.3f"), record.args()));
            } else {
                say(&format!("lxmon: {}", record.args()));
            }
        }
    }

    fn flush(&self) {}
}

/// Prints the error that ends the program, with its hint, and returns the exit status for it.
#[must_use]
pub fn fail(error: &anyhow::Error) -> Exit {
    show(error);
    fault(error).map_or(Exit::Failed, Fault::exit)
}

/// Prints an error with its hint.
pub fn show(error: &anyhow::Error) {
    say(&format!("lxmon: {error:#}"));
    if let Some(hint) = fault(error).and_then(Fault::hint_text) {
        say(&format!("hint: {hint}"));
    }
}

fn fault(error: &anyhow::Error) -> Option<&Fault> {
    error.chain().find_map(|cause| cause.downcast_ref())
}

/// Prints clap's error about the command line in the same form as other errors. `hint` says better than clap what was
/// meant.
#[must_use]
pub fn misuse(error: &clap::Error, hint: Option<&str>) -> Exit {
    let text = error.render().to_string();
    let mut paragraphs = text.split("\n\n");
    let what = paragraphs.next().unwrap_or_default().strip_prefix("error: ").unwrap_or(&text);
    say(&format!("lxmon: {}", what.split_whitespace().collect::<Vec<_>>().join(" ")));
    if let Some(hint) = hint {
        say(&format!("hint: {hint}"));
        return Exit::Usage;
    }
    let tips = paragraphs.flat_map(str::lines).filter_map(|line| line.trim().strip_prefix("tip: "));
    // Omit clap's tip `use '-- VALUE'`: what stands behind `--` is a command here.
    for tip in tips.filter(|tip| !tip.contains("use '--")) {
        say(&format!("hint: {tip}"));
    }
    say("hint: `lxmon --help` shows all options");
    Exit::Usage
}

/// Removes the error number that Rust appends to the text of a system error, as it does not help users.
fn without_numbers(line: &str) -> Cow<'_, str> {
    let Some((before, rest)) = line.split_once(" (os error ") else {
        return Cow::Borrowed(line);
    };
    match rest.split_once(')') {
        Some((number, after)) if number.bytes().all(|byte| byte.is_ascii_digit()) => {
            Cow::Owned(format!("{before}{}", without_numbers(after)))
        }
        _ => Cow::Borrowed(line),
    }
}

fn say(line: &str) {
    let line = without_numbers(line);
    let shown = line.char_indices().nth(MAX_NOTICE).map_or(&*line, |(end, _)| &line[..end]);
    let mut out = Vec::with_capacity(shown.len() + "…\n".len());
    sanitize::push(&mut out, shown);
    if shown.len() < line.len() {
        out.extend_from_slice("…".as_bytes());
    }
    out.push(b'\n');
    STDERR.push(out);
}

/// Prints a line that is neither a notice nor an error, with its line feed, whatever the verbosity. It must be safe to
/// print on a terminal.
pub(super) fn print(line: Vec<u8>) {
    STDERR.push(line);
}

/// How much of a notice is shown, in characters. It can contain text of any length from a server.
const MAX_NOTICE: usize = 4096;

/// How many bytes of notices can wait for standard error. The longest notice is much smaller, so a notice is never
/// dropped while no other waits.
const MAX_WAITING: usize = 1 << 20;

/// At the end of the program, pending notices are discarded once standard error has accepted nothing for this long.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// The queue of standard error. A separate thread writes it, so that a pipe that nobody reads or a stopped terminal
/// blocks nothing else.
static STDERR: Waiting = Waiting { state: Mutex::new(State::new()), changed: Condvar::new() };

struct Waiting {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    lines: VecDeque<Vec<u8>>,
    bytes: usize,
    /// The number of lines that were dropped because the queue was full.
    dropped: u64,
    /// Whether the thread has been started.
    has_thread: bool,
    /// Whether the thread is in a write call.
    is_writing: bool,
}

impl State {
    const fn new() -> Self {
        Self { lines: VecDeque::new(), bytes: 0, dropped: 0, has_thread: false, is_writing: false }
    }
}

impl Waiting {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&'static self, line: Vec<u8>) {
        let mut state = self.state();
        if state.bytes + line.len() > MAX_WAITING {
            state.dropped += 1;
            return;
        }
        state.bytes += line.len();
        state.lines.push_back(line);
        if !state.has_thread {
            state.has_thread = true;
            let thread = std::thread::Builder::new().name("notices".into()).stack_size(64 << 10);
            if !memory::has_room_for_thread() || thread.spawn(|| self.write_all()).is_err() {
                // Without a thread, a write that can block is better than no output.
                state.has_thread = false;
                while let Some(line) = state.lines.pop_front() {
                    write(&line);
                }
                state.bytes = 0;
            }
        }
        drop(state);
        self.changed.notify_all();
    }

    fn write_all(&self) {
        let mut state = self.state();
        loop {
            if let Some(line) = state.lines.pop_front() {
                state.is_writing = true;
                drop(state);
                write(&line);
                state = self.state();
                state.is_writing = false;
                state.bytes -= line.len();
                self.changed.notify_all();
            } else if state.dropped > 0 {
                let dropped = std::mem::take(&mut state.dropped);
                let line = format!("lxmon: {dropped} notices were dropped, because standard error was not read\n");
                state.bytes += line.len();
                state.lines.push_back(line.into_bytes());
            } else {
                self.changed.notify_all();
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
        }
    }
}

/// Waits until standard error has accepted all notices, unless it accepts none of them for `LAST_WORDS`.
pub fn flush() {
    let mut state = STDERR.state();
    while state.has_thread && (state.is_writing || !state.lines.is_empty() || state.dropped > 0) {
        let before = (state.is_writing, state.lines.len());
        let waited = STDERR.changed.wait_timeout(state, LAST_WORDS);
        let (after, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
        state = after;
        // A thread that is not in a write call is not blocked by standard error, only by a busy machine.
        if timeout.timed_out() && state.is_writing && before == (true, state.lines.len()) {
            return;
        }
    }
}

/// Writes a line, on a terminal between two lines of the output, and above its live rows.
fn write(line: &[u8]) {
    if terminal::is_shared() {
        terminal::own();
        write_all(&terminal::above_rows(line));
        terminal::release();
    } else {
        write_all(line);
    }
}

/// Writes a line. Another process that shares standard error can have made it non-blocking. Other errors are ignored,
/// as there is nowhere to report them.
fn write_all(mut line: &[u8]) {
    let stderr = std::io::stderr();
    while !line.is_empty() {
        match rustix::io::write(&stderr, line) {
            Ok(0) => return,
            Ok(written) => line = &line[written..],
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => {
                // The write is retried even if the wait was interrupted.
                let _ = poll(&mut [PollFd::new(&stderr, PollFlags::OUT)], None);
            }
            Err(_) => return,
        }
    }
}
