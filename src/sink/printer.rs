//! The sink that prints: renders events and writes them to standard output.

use std::io;
use std::sync::Arc;

use super::stdout::{Flushed, Stdout};
use super::terminal::{Redraw, Rows};
use super::{Flow, shown_name};
use crate::event::Event;
use crate::render::{Renderer, Surface};
use crate::system::terminal;

/// A renderer and the output of its text.
pub(crate) struct Printer {
    renderer: Renderer,
    stdout: Stdout,
    /// The names of the remotes, which are printed if there are several.
    names: Vec<String>,
    /// Whether records of gaps are printed.
    gap_events: bool,
    /// Whether the deadline for writing is over. Then events are only counted as not written.
    only_counts: bool,
    /// Whether lines fit the width of the terminal, which may change.
    follows_width: bool,
    /// The live rows, on a terminal that can show them.
    rows: Option<Rows>,
}

impl Printer {
    /// Creates the sink. The progress of writing is recorded in `flow`. Records of gaps are printed if `gap_events` is
    /// set.
    ///
    /// # Errors
    /// Standard output cannot be used.
    pub(crate) fn new(renderer: Renderer, names: Vec<String>, gap_events: bool, flow: Arc<Flow>) -> io::Result<Self> {
        let stdout = Stdout::new(flow)?;
        Ok(Self { renderer, stdout, names, gap_events, only_counts: false, follows_width: false, rows: None })
    }

    /// Adds a remote.
    pub(crate) fn add_remote(&mut self, name: &str) {
        self.names.push(name.to_owned());
    }

    /// Makes lines follow the width of the terminal.
    pub(crate) fn follow_width(&mut self) {
        self.follows_width = true;
    }

    /// Shows operations in progress as live rows, if standard output can be written to without waiting.
    pub(crate) fn show_rows(&mut self, surface: Surface, redraw: &Arc<Redraw>) {
        self.rows = self.stdout.is_terminal().then(|| Rows::new(surface, Arc::clone(redraw)));
        if self.rows.is_none() {
            self.renderer.show_no_rows();
        }
    }

    /// Renders an event of a server. Returns whether anything was printed: the pretty format has lines for the begin and
    /// the end of an operation only.
    pub(crate) fn event(&mut self, event: &Event) -> bool {
        if self.only_counts {
            self.stdout.skip_event();
            return true;
        }
        let before = self.stdout.buffer().len();
        if let Some(rows) = &mut self.rows {
            rows.advance(event);
        }
        self.render(event);
        let is_printed = self.stdout.buffer().len() > before;
        self.stdout.end_event();
        is_printed
    }

    /// Renders the record of a gap, which does not count as an event.
    pub(crate) fn gap(&mut self, record: &Event) {
        if let Some(rows) = &mut self.rows {
            rows.forget(record.remote());
        }
        if self.gap_events && !self.only_counts {
            self.render(record);
        }
    }

    fn render(&mut self, event: &Event) {
        let is_first = self.stdout.buffer().is_empty();
        if is_first {
            self.follow_size();
        }
        let before = match &self.rows {
            Some(rows) if is_first => rows.before_lines(),
            _ => b"",
        };
        self.stdout.buffer().extend_from_slice(before);
        let remote = shown_name(&self.names, event.remote());
        self.renderer.render(event, remote, self.stdout.buffer());
        // Not every event has a line.
        if !before.is_empty() && self.stdout.buffer().len() == before.len() {
            self.stdout.buffer().clear();
        }
    }

    /// Lets lines fit the terminal as it is now. It is asked before each write, as SIGWINCH is handled later than lines
    /// of the old width could be drawn.
    fn follow_size(&mut self) {
        if self.follows_width
            && let Some(size) = terminal::size()
        {
            self.renderer.resize(size.columns);
        }
    }

    /// Nothing more is to be printed: removes the live rows with the next write.
    pub(crate) fn end(&mut self) {
        if let Some(rows) = &mut self.rows {
            rows.end();
        }
    }

    /// Whether there is enough rendered text for a write.
    #[must_use]
    pub(crate) fn is_full(&self) -> bool {
        self.stdout.is_full()
    }

    /// Completes the frame of lines and live rows. Returns false if it is to be written later.
    fn complete_frame(&mut self) -> bool {
        self.follow_size();
        let Some(rows) = &mut self.rows else { return true };
        // The frame of a former flush has not been written completely.
        if self.stdout.is_frame() {
            return true;
        }
        if rows.is_too_soon() && !self.stdout.is_full() {
            return false;
        }
        let names = (self.names.len() > 1).then_some(&*self.names);
        rows.complete(&mut self.renderer, names, &mut self.stdout);
        true
    }

    /// Writes all rendered text and the live rows, and waits for the output until the deadline of the flow. Text above
    /// rows that were drawn just now is written later.
    ///
    /// # Errors
    /// The output is gone (`BrokenPipe`) or broken.
    pub(crate) fn flush(&mut self) -> io::Result<Flushed> {
        if !self.complete_frame() {
            return Ok(Flushed::All);
        }
        let flushed = self.stdout.flush()?;
        if let Some(rows) = &self.rows {
            rows.written();
        }
        self.only_counts |= flushed == Flushed::Part;
        Ok(flushed)
    }

    /// Writes as much of the rendered text and the live rows as the output accepts at once. Text above rows that were
    /// drawn just now is written later.
    ///
    /// # Errors
    /// The output is gone (`BrokenPipe`) or broken.
    pub(crate) fn try_flush(&mut self) -> io::Result<Flushed> {
        if !self.complete_frame() {
            return Ok(Flushed::All);
        }
        let flushed = self.stdout.try_flush()?;
        if let Some(rows) = self.rows.as_ref().filter(|_| flushed == Flushed::All) {
            rows.written();
        }
        Ok(flushed)
    }
}
