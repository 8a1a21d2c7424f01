//! The live rows at the end of the output on a terminal: when they are drawn, hidden and removed.
//!
//! A frame is one write: what erases the former rows, complete lines, and the rows. Between two frames the cursor rests,
//! hidden, at the beginning of the first row, so that a terminal may wrap the lines anew when it is resized. Standard
//! output writes the frames, and notices of standard error write theirs ([`crate::system::terminal`]).
//!
//! Rows hide while the program is suspended, while it is a job in the background, and on a terminal of one line. Nothing
//! wakes up while there are no operations.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use super::stdout::Stdout;
use crate::event::{Event, RemoteId};
use crate::render::pretty::running::Running;
use crate::render::{Renderer, Surface};
use crate::system::terminal::{self, ERASE, SHOW_CURSOR};

/// The minimum time between two frames with rows.
const INTERVAL: Duration = Duration::from_millis(34);

/// The time between two frames while only the elapsed time of operations changes.
const SECOND: Duration = Duration::from_secs(1);

/// What the thread that receives signals and runs timers shares with the output: when the rows have to be drawn.
#[derive(Debug, Default)]
pub(crate) struct Redraw {
    /// `None`: not before the next event.
    at: Mutex<Option<Instant>>,
    /// Notified when `at` has become earlier.
    is_earlier: Notify,
    /// Whether rows are hidden because the program is about to be suspended.
    is_suspended: AtomicBool,
    /// Whether rows are on the screen.
    has_rows: AtomicBool,
    /// Whether the program was stopped, so that another program may have written to the terminal.
    is_continued: AtomicBool,
}

impl Redraw {
    fn at(&self) -> MutexGuard<'_, Option<Instant>> {
        self.at.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Draws the rows at this time, or earlier.
    pub(crate) fn request(&self, at: Instant) {
        let mut known = self.at();
        if known.is_none_or(|known| at < known) {
            *known = Some(at);
            drop(known);
            self.is_earlier.notify_one();
        }
    }

    /// Waits until the rows have to be drawn.
    pub(crate) async fn due(&self) {
        loop {
            let at = *self.at();
            let sleep = async {
                match at {
                    Some(at) => tokio::time::sleep_until(at.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = self.is_earlier.notified() => {}
                () = sleep => {
                    // The frame sets the next time.
                    self.at().take();
                    return;
                }
            }
        }
    }

    /// Hides the rows from the next frame on, or no longer.
    pub(crate) fn suspend(&self, is_suspended: bool) {
        self.is_suspended.store(is_suspended, Ordering::Relaxed);
    }

    /// Whether rows are on the screen.
    #[must_use]
    pub(crate) fn has_rows(&self) -> bool {
        self.has_rows.load(Ordering::Relaxed)
    }

    /// Records that the program was stopped and has continued.
    pub(crate) fn continued(&self) {
        self.is_continued.store(true, Ordering::Relaxed);
        self.request(Instant::now());
    }
}

/// The rows of one output.
#[derive(Debug)]
pub(crate) struct Rows {
    running: Running,
    surface: Surface,
    redraw: Arc<Redraw>,
    /// The text that has drawn the rows on the screen; empty if there are none.
    shown: Vec<u8>,
    /// The same for the frame that is being composed.
    next: Vec<u8>,
    /// The time of the last frame with rows.
    drawn_at: Option<Instant>,
    /// Whether the output has ended, so that no more rows are drawn.
    has_ended: bool,
}

impl Rows {
    /// No rows. `redraw` gets to know when they have to be drawn.
    #[must_use]
    pub(crate) fn new(surface: Surface, redraw: Arc<Redraw>) -> Self {
        Self {
            running: Running::default(),
            surface,
            redraw,
            shown: Vec::new(),
            next: Vec::new(),
            drawn_at: None,
            has_ended: false,
        }
    }

    /// What has to stand in front of the first line of a frame.
    #[must_use]
    pub(crate) fn before_lines(&self) -> &'static [u8] {
        if self.shown.is_empty() { b"" } else { ERASE }
    }

    /// Records an event.
    pub(crate) fn advance(&mut self, event: &Event) {
        if event.operation().is_some()
            && let Some(at) = self.running.advance(event, Instant::now())
        {
            self.redraw.request(self.not_too_soon(at));
        }
    }

    /// Removes the rows of a remote, whose events may be missing.
    pub(crate) fn forget(&mut self, remote: RemoteId) {
        if self.running.forget(remote) {
            self.redraw.request(self.not_too_soon(Instant::now()));
        }
    }

    /// No more events come: removes all rows with the next frame.
    pub(crate) fn end(&mut self) {
        self.has_ended = true;
    }

    /// The first time from `at` on at which a frame may be drawn.
    fn not_too_soon(&self, at: Instant) -> Instant {
        self.drawn_at.map_or(at, |drawn_at| at.max(drawn_at + INTERVAL))
    }

    fn is_hidden(&self) -> bool {
        self.has_ended || self.redraw.is_suspended.load(Ordering::Relaxed)
    }

    /// Whether a frame waits, because the last one is too recent. It is requested for later.
    #[must_use]
    pub(crate) fn is_too_soon(&self) -> bool {
        let now = Instant::now();
        let at = self.not_too_soon(now);
        let is_too_soon = at > now && !self.shown.is_empty() && !self.is_hidden();
        if is_too_soon {
            self.redraw.request(at);
        }
        is_too_soon
    }

    /// Completes the frame in the buffer of `stdout`, which holds lines or nothing, with the present rows. Appends
    /// nothing if nothing has changed.
    pub(crate) fn complete(&mut self, renderer: &mut Renderer, names: Option<&[String]>, stdout: &mut Stdout) {
        if self.redraw.is_continued.swap(false, Ordering::Relaxed) {
            self.shown.clear();
        }
        let has_lines = !stdout.buffer().is_empty();
        let now = Instant::now();
        self.next.clear();
        if !self.is_hidden() && (!self.shown.is_empty() || self.running.has_rows(now)) && terminal::is_foreground() {
            if self.not_too_soon(now) > now && !self.shown.is_empty() {
                self.next.extend_from_slice(&self.shown);
            } else {
                self.draw(now, renderer, names);
            }
        }
        self.request_next(now);
        if !has_lines && self.next == self.shown {
            return;
        }
        let buffer = stdout.buffer();
        if self.next.is_empty() {
            if !self.shown.is_empty() {
                buffer.extend_from_slice(if has_lines { b"" } else { ERASE });
                buffer.extend_from_slice(SHOW_CURSOR);
                terminal::set_echo(true);
            }
            stdout.begin_rows();
        } else {
            if self.shown.is_empty() {
                terminal::set_echo(false);
            }
            // Rows are drawn over the former ones, so that the screen does not flicker.
            buffer.extend_from_slice(if has_lines { b"" } else { b"\r" });
            stdout.begin_rows();
            stdout.buffer().extend_from_slice(&self.next);
        }
        std::mem::swap(&mut self.shown, &mut self.next);
    }

    /// The frame has been written.
    pub(crate) fn written(&self) {
        self.redraw.has_rows.store(!self.shown.is_empty(), Ordering::Relaxed);
    }

    fn draw(&mut self, now: Instant, renderer: &mut Renderer, names: Option<&[String]>) {
        let Some(size) = terminal::size() else { return };
        self.running.rows(
            now,
            (size.columns, size.lines),
            self.surface.color,
            &mut self.next,
            |event, elapsed, out| {
                let RemoteId(number) = event.remote();
                let remote = names.and_then(|names| names.get(usize::from(number)));
                renderer.render_running(event, remote.map(String::as_str), elapsed, out);
            },
        );
        self.drawn_at = Some(now);
    }

    fn request_next(&self, now: Instant) {
        if self.is_hidden() {
            return;
        }
        if let Some(at) = self.running.next_row(now) {
            self.redraw.request(self.not_too_soon(at));
        }
        if !self.next.is_empty() {
            self.redraw.request(now + SECOND);
        }
    }
}
