//! What the program says on stderr beside its events: errors, notices, `-v`, `--debug`.
//!
//! `warn!` is for notices, silent with `--quiet`; `info!` for `--verbose`, `debug!` for `--debug`. Nothing that a
//! server sent reaches the terminal as a control character.

use std::borrow::Cow;
use std::io::Write as _;

use log::{Level, LevelFilter, Log, Metadata, Record};

use crate::exit::{Exit, Fault};
use crate::render::sanitize;

/// How much is said.
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

/// Lets notices through from now on. Only the first call counts.
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
        // Other crates' traces may hold secrets and explain nothing to our users.
        metadata.target().starts_with(env!("CARGO_CRATE_NAME"))
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            let mark = if record.level() == Level::Debug { "debug: " } else { "" };
            say(&format!("lxmon: {mark}{}", record.args()));
        }
    }

    fn flush(&self) {}
}

/// Prints the error that ends the program, with its hint, and says how to end.
#[must_use]
pub fn fail(error: &anyhow::Error) -> Exit {
    tell(error);
    fault(error).map_or(Exit::Failed, Fault::exit)
}

/// Prints an error with its hint.
pub fn tell(error: &anyhow::Error) {
    say(&format!("lxmon: {error:#}"));
    if let Some(hint) = fault(error).and_then(Fault::hint_text) {
        say(&format!("hint: {hint}"));
    }
}

fn fault(error: &anyhow::Error) -> Option<&Fault> {
    error.chain().find_map(|cause| cause.downcast_ref())
}

/// Prints what clap has to say of a command line, in the form of all errors.
#[must_use]
pub fn misuse(error: &clap::Error) -> Exit {
    let text = error.render().to_string();
    let mut paragraphs = text.split("\n\n");
    let what = paragraphs.next().unwrap_or_default().strip_prefix("error: ").unwrap_or(&text);
    say(&format!("lxmon: {}", what.split_whitespace().collect::<Vec<_>>().join(" ")));
    let tips = paragraphs.filter_map(|paragraph| paragraph.trim().strip_prefix("tip: "));
    // There is no option here that would take such a value.
    for tip in tips.filter(|tip| !tip.contains("use '--")) {
        say(&format!("hint: {tip}"));
    }
    say("hint: `lxmon --help` shows all options");
    Exit::Usage
}

/// Rust puts the system's number behind the text of an error; it tells users nothing.
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
    let mut out = Vec::with_capacity(line.len() + 1);
    sanitize::push(&mut out, &line);
    out.push(b'\n');
    // Where stderr is gone there is nobody left to tell.
    let _ = std::io::stderr().write_all(&out);
}
