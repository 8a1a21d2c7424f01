//! The sink that prints: renders events and writes them to standard output.

use std::io;
use std::sync::Arc;

use super::Flow;
use super::stdout::{Flushed, Stdout};
use crate::event::{Event, RemoteId};
use crate::render::Renderer;

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
}

impl Printer {
    /// Creates the sink. The progress of writing is recorded in `flow`. Records of gaps are printed if `gap_events` is
    /// set.
    ///
    /// # Errors
    /// Standard output cannot be used.
    pub(crate) fn new(renderer: Renderer, names: Vec<String>, gap_events: bool, flow: Arc<Flow>) -> io::Result<Self> {
        Ok(Self { renderer, stdout: Stdout::new(flow)?, names, gap_events, only_counts: false })
    }

    /// Renders an event of a server. Returns whether anything was printed: the pretty format has lines for the begin and
    /// the end of an operation only.
    pub(crate) fn event(&mut self, event: &Event) -> bool {
        if self.only_counts {
            self.stdout.skip_event();
            return true;
        }
        let before = self.stdout.buffer().len();
        self.render(event);
        let is_printed = self.stdout.buffer().len() > before;
        self.stdout.end_event();
        is_printed
    }

    /// Renders the record of a gap, which does not count as an event.
    pub(crate) fn gap(&mut self, record: &Event) {
        if self.gap_events && !self.only_counts {
            self.render(record);
        }
    }

    fn render(&mut self, event: &Event) {
        let RemoteId(number) = event.remote();
        let remote = if self.names.len() > 1 { self.names.get(usize::from(number)) } else { None };
        self.renderer.render(event, remote.map(String::as_str), self.stdout.buffer());
    }

    /// Whether there is enough rendered text for a write.
    #[must_use]
    pub(crate) fn is_full(&self) -> bool {
        self.stdout.is_full()
    }

    /// Writes all rendered text, and waits for the output until the deadline of the flow.
    ///
    /// # Errors
    /// The output is gone (`BrokenPipe`) or broken.
    pub(crate) fn flush(&mut self) -> io::Result<Flushed> {
        let flushed = self.stdout.flush()?;
        self.only_counts |= flushed == Flushed::Part;
        Ok(flushed)
    }

    /// Writes as much of the rendered text as the output accepts at once.
    ///
    /// # Errors
    /// The output is gone (`BrokenPipe`) or broken.
    pub(crate) fn try_flush(&mut self) -> io::Result<Flushed> {
        self.stdout.try_flush()
    }
}
