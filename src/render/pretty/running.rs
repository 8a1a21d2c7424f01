//! Remembers the operations in progress, and lays them out as the live rows at the bottom of a terminal.
//!
//! indicatif is not used, although it is the library for this purpose. Tried with indicatif 0.18.6 in tmux, with three
//! rows on a window that is made narrower and wide again: a stale row stayed, and two of the lines above were erased. It
//! counts the lines that it has to erase by the width at which it wrote them, but terminals wrap them anew (its issue
//! 182). It also writes with blocking writes, and forgets the rest of a frame if one fails, while standard output is
//! written without waiting, so that a stopped terminal does not stop the reader. With its target replaced by a buffer,
//! all that is left of it is what `Running::rows` does. Here the cursor rests at the beginning of the first row, which
//! terminals keep there when they wrap lines anew, so that nothing has to be counted.

use std::collections::VecDeque;
use std::io::Write as _;
use std::time::{Duration, Instant};

use unicode_width::UnicodeWidthChar as _;

use super::super::theme;
use crate::event::json::Value;
use crate::event::{Event, Message, Operation, RemoteId, Status};

/// The maximum number of remembered operations. Real servers run only a few at a time.
const OPERATIONS: usize = 256;

/// The maximum length of an event of which a copy is remembered, in bytes. Real ones have less than 4 KiB.
const MAX_TEXT: usize = 64 << 10;

/// An operation that ends within this time has no row.
pub const QUICK: Duration = Duration::from_millis(250);

/// An operation that seems to be in progress for longer than this has no useful time of its beginning.
const LONGEST: Duration = Duration::from_secs(366 * 86_400);

/// The maximum number of rows, whatever the height of the terminal.
const MAX_ROWS: usize = 8;

/// The operations in progress, in the order in which they were first seen.
#[derive(Debug, Default)]
pub struct Running {
    operations: VecDeque<Known>,
}

/// An operation in progress.
#[derive(Debug)]
struct Known {
    remote: RemoteId,
    id: String,
    /// The text of its latest event.
    text: String,
    /// When it began, by our clock.
    began: Instant,
}

impl Running {
    /// Records an event that was received at `now`. Returns from when on the rows differ because of it; `None` if they
    /// do not.
    pub fn advance(&mut self, event: &Event, now: Instant) -> Option<Instant> {
        let operation = event.operation()?;
        let id = operation.id()?.cow();
        let known = self.operations.iter().position(|known| known.id == *id && known.remote == event.remote());
        if !has_row(operation) || event.text().len() > MAX_TEXT {
            let began = known.and_then(|at| self.operations.remove(at))?.began;
            return (began + QUICK <= now).then_some(now);
        }
        if let Some(known) = known.and_then(|at| self.operations.get_mut(at)) {
            event.text().clone_into(&mut known.text);
            return Some(now.max(known.began + QUICK));
        }
        if self.operations.len() == OPERATIONS {
            self.operations.pop_front();
        }
        // It may have begun long before it was first seen, by the server's clock.
        let age = age(event, operation).unwrap_or_default();
        let began = now.checked_sub(age).unwrap_or(now);
        let (remote, text) = (event.remote(), event.text().to_owned());
        self.operations.push_back(Known { remote, id: id.into_owned(), text, began });
        Some(now.max(began + QUICK))
    }

    /// Forgets the operations of a remote, because their ends can be missing. Returns whether there was one.
    pub fn forget(&mut self, remote: RemoteId) -> bool {
        let before = self.operations.len();
        self.operations.retain(|known| known.remote != remote);
        self.operations.len() < before
    }

    /// Whether any operation has been in progress for long enough to have a row.
    #[must_use]
    pub fn has_rows(&self, now: Instant) -> bool {
        self.operations.iter().any(|known| known.has_row(now))
    }

    /// When the next operation has been in progress for long enough to have a row.
    #[must_use]
    pub fn next_row(&self, now: Instant) -> Option<Instant> {
        self.operations.iter().filter(|known| !known.has_row(now)).map(|known| known.began + QUICK).min()
    }

    /// Appends the text that draws the rows on a terminal of this size; nothing if there are none. The cursor has to be
    /// at the beginning of the line of the first row, and is there afterwards. `render` appends the line of an
    /// operation that has been in progress for a time.
    pub fn rows(
        &self,
        now: Instant,
        (columns, lines): (usize, usize),
        color: bool,
        out: &mut Vec<u8>,
        mut render: impl FnMut(&Event, Duration, &mut Vec<u8>),
    ) {
        let count = self.operations.iter().filter(|known| known.has_row(now)).count();
        let most = most_rows(lines);
        if count == 0 || most == 0 {
            return;
        }
        let shown = if count <= most { count } else { most - 1 };
        // Without the wrapping of lines, a row that is too wide for a terminal that was just resized is one line.
        out.extend_from_slice(b"\x1b[?25l\x1b[?7l");
        let last = count.min(most) - 1;
        // What is erased is erased before the text: behind a row of full width the cursor is on its last character.
        let begin = |number: usize, out: &mut Vec<u8>| {
            out.extend_from_slice(if number > 0 { b"\n" } else { b"" });
            out.extend_from_slice(if number == last { b"\x1b[J" } else { b"\x1b[K" });
        };
        let (mut row, mut spare) = (Vec::new(), None);
        for (number, known) in self.operations.iter().filter(|known| known.has_row(now)).take(shown).enumerate() {
            begin(number, out);
            row.clear();
            if let Ok(event) = Event::decode(Message::from(&*known.text), known.remote, spare) {
                render(&event, now.saturating_duration_since(known.began), &mut row);
                spare = event.into_spare();
            } else {
                spare = None;
            }
            cut(&row, columns, out);
        }
        if shown < count {
            begin(shown, out);
            row.clear();
            theme::paint(&mut row, color, theme::DIM, |row| {
                let more = count - shown;
                // Writing to a Vec cannot fail.
                let _ = if shown == 0 { write!(row, "{more} operations") } else { write!(row, "+{more} more") };
            });
            cut(&row, columns, out);
        }
        out.extend_from_slice(b"\x1b[?7h\r");
        if last > 0 {
            // Writing to a Vec cannot fail.
            let _ = write!(out, "\x1b[{last}A");
        }
    }
}

impl super::Pretty {
    /// Operations in progress have no live rows, so they need a line when they begin.
    pub(crate) fn show_no_rows(&mut self) {
        self.options.live_rows = false;
    }
}

impl Known {
    fn has_row(&self, now: Instant) -> bool {
        self.began + QUICK <= now
    }
}

/// The maximum number of rows on a terminal of this many lines: a third of them.
fn most_rows(lines: usize) -> usize {
    match lines {
        // A terminal that does not know its height.
        0 => 1,
        1 => 0,
        _ => lines.div_ceil(3).min(MAX_ROWS),
    }
}

/// Whether an operation is in progress and of interest. A token waits until somebody uses it. A websocket waits for its
/// other end; then it transfers data, which shows progress, runs a command, or is a session of a person, which does
/// nothing that has to be watched.
fn has_row(operation: Operation<'_>) -> bool {
    if operation.status() != Status::Going {
        return false;
    }
    let class = operation.member("class").and_then(|class| class.as_text());
    if class.is_some_and(|class| class.is("token")) {
        return false;
    }
    if !class.is_some_and(|class| class.is("websocket")) {
        return true;
    }
    let is_pending = operation.status_text().is_some_and(|status| status.is("Pending"));
    operation.details().is_some_and(|details| {
        let runs_a_command =
            details.get("command").is_some() && details.get("interactive").is_none_or(|value| value.raw() != "true");
        !is_pending && (runs_a_command || has_progress(details))
    })
}

fn has_progress(details: Value<'_>) -> bool {
    details.members().any(|(key, _)| key.is("progress") || key.raw.ends_with("_progress"))
}

/// How long the operation had been in progress when the event was sent, by the server's clock.
fn age(event: &Event, operation: Operation<'_>) -> Option<Duration> {
    let created = chrono::DateTime::parse_from_rfc3339(&operation.created_at()?.cow()).ok()?;
    let age = (event.time()? - created.to_utc()).to_std().ok()?;
    (age < LONGEST).then_some(age)
}

/// Appends the first line of `row`, cut at `columns`. Of control characters only colours are kept.
fn cut(row: &[u8], columns: usize, out: &mut Vec<u8>) {
    let row = String::from_utf8_lossy(row);
    let (mut rest, mut left, mut is_colored) = (row.lines().next().unwrap_or_default(), columns, false);
    while let Some(character) = rest.chars().next() {
        if let Some(length) = color_at(rest) {
            out.extend_from_slice(&rest.as_bytes()[..length]);
            is_colored = true;
            rest = &rest[length..];
            continue;
        }
        let length = character.len_utf8();
        // Control characters have no width.
        if let Some(width) = character.width() {
            if width > left {
                break;
            }
            left -= width;
            out.extend_from_slice(&rest.as_bytes()[..length]);
        }
        rest = &rest[length..];
    }
    if is_colored {
        out.extend_from_slice(b"\x1b[0m");
    }
}

/// The length of the sequence that sets a colour (SGR, ECMA-48) at the beginning of `text`, if there is one.
fn color_at(text: &str) -> Option<usize> {
    let parameters = text.strip_prefix("\x1b[")?;
    let length = parameters.find(|character: char| !matches!(character, '0'..='9' | ';'))?;
    (parameters.as_bytes()[length] == b'm').then_some("\x1b[".len() + length + 1)
}
