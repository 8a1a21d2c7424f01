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
}

impl Printer {
    /// Creates the sink. The progress of writing is recorded in `flow`.
    ///
    /// # Errors
    /// Standard output cannot be used.
    pub(crate) fn new(renderer: Renderer, names: Vec<String>, flow: Arc<Flow>) -> io::Result<Self> {
        Ok(Self { renderer, stdout: Stdout::new(flow)?, names })
    }

    /// Renders an event of a server.
    pub(crate) fn event(&mut self, event: &Event) {
        self.record(event);
        self.stdout.end_event();
    }

    /// Counts an event that will not be written.
    pub(crate) fn skip_event(&self) {
        self.stdout.skip_event();
    }

    /// Renders a record that lxmon itself has made, which does not count as an event.
    pub(crate) fn record(&mut self, record: &Event) {
        let RemoteId(number) = record.remote();
        let remote = if self.names.len() > 1 { self.names.get(usize::from(number)) } else { None };
        self.renderer.render(record, remote.map(String::as_str), self.stdout.buffer());
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
        self.stdout.flush()
    }

    /// Writes as much of the rendered text as the output accepts at once.
    ///
    /// # Errors
    /// The output is gone (`BrokenPipe`) or broken.
    pub(crate) fn try_flush(&mut self) -> io::Result<Flushed> {
        self.stdout.try_flush()
    }
}
