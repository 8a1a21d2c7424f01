//! The sink that records (`--record`): appends events to a file as JSON lines. Only whole lines get into the file, and
//! events that could not be written are replaced by a gap record.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt as _, FileTypeExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use log::warn;
use rustix::fs::OFlags;
use rustix::io::Errno;

use super::shown_name;
use super::stdout::Flushed;
use crate::event::gap::{End, Gap, timestamp_of};
use crate::event::{Event, RemoteId};
use crate::render::Surface;
use crate::render::json::Json;
use crate::report::exit::Fault;
use crate::system::clock::{Moment, local_now};
use crate::system::descriptors;

/// How many bytes are collected for one write.
const CHUNK: usize = 64 << 10;

/// The file and the lines that are not in it yet.
pub(crate) struct Recorder {
    path: PathBuf,
    file: File,
    json: Json,
    /// The names of the remotes, which are recorded if there are several.
    names: Vec<String>,
    buffer: Vec<u8>,
    /// For each line in the buffer, its end offset and the remote of its event.
    lines: Vec<(usize, RemoteId)>,
    /// By remote: the last line that was written.
    last_lines: Vec<Vec<u8>>,
    /// The events that could not be written since the last successful write: one gap for each remote.
    lost: Vec<(Gap, Moment)>,
    /// Whether the end of the file is within a line that could not be completed or removed.
    is_within_line: bool,
    /// Set from outside when the file is to be opened again.
    reopen: Arc<AtomicBool>,
}

impl Recorder {
    /// Opens the file at `path`, or creates it, readable only for its owner. When `reopen` is set, the next flush opens
    /// the file at that path again.
    ///
    /// # Errors
    /// The file cannot be written, or it is not a file to append to.
    pub(crate) fn open(path: &Path, names: Vec<String>, reopen: Arc<AtomicBool>) -> Result<Self, Fault> {
        if path == Path::new("-") {
            return Err(Fault::usage("--record -: the events are recorded into a file, not printed")
                .hint("to print JSON lines: --format json; into a file of that name: --record ./-"));
        }
        let file = open(path)?;
        let output = descriptors::stdout().and_then(|output| File::from(output).metadata());
        let is_output = |output| file.metadata().is_ok_and(|file| descriptors::is_same_file(&file, &output));
        if output.is_ok_and(is_output) {
            return Err(Fault::usage(format!("--record {}: it is the output too", path.display()))
                .hint("record into another file, or print with --format json"));
        }
        Ok(Self {
            path: path.to_owned(),
            is_within_line: ends_within_line(&file),
            file,
            json: Json::new(Surface::default()),
            buffer: Vec::with_capacity(CHUNK),
            lines: Vec::new(),
            last_lines: vec![Vec::new(); names.len().max(1)],
            names,
            lost: Vec::new(),
            reopen,
        })
    }

    /// Adds a remote.
    pub(crate) fn add_remote(&mut self, name: &str) {
        self.names.push(name.to_owned());
        self.last_lines.push(Vec::new());
    }

    /// Adds an event, or a record that lxmon itself has made.
    pub(crate) fn record(&mut self, event: &Event) {
        let remote = shown_name(&self.names, event.remote());
        self.json.render(event, remote, &mut self.buffer);
        self.lines.push((self.buffer.len(), event.remote()));
    }

    fn name(&self, RemoteId(number): RemoteId) -> Option<String> {
        self.names.get(usize::from(number)).cloned()
    }

    /// Whether there is enough text for a write.
    #[must_use]
    pub(crate) fn is_full(&self) -> bool {
        self.buffer.len() >= CHUNK
    }

    /// Reports whether there is something to write. Writes to a file can block, so the writing thread makes them.
    #[must_use]
    pub(crate) fn try_flush(&self) -> Flushed {
        if self.buffer.is_empty() { Flushed::All } else { Flushed::Part }
    }

    /// Writes all lines. Failures are reported, and the lines that are not in the file are counted and dropped.
    pub(crate) fn flush(&mut self) {
        if !self.buffer.is_empty() {
            self.write();
        }
        if self.reopen.swap(false, Ordering::Relaxed) {
            match open(&self.path) {
                Ok(file) => (self.is_within_line, self.file) = (ends_within_line(&file), file),
                Err(fault) => warn!("{fault}; recording goes on in the former file"),
            }
        }
    }

    /// Writes what is left, including the record of what could not be written before.
    pub(crate) fn finish(&mut self) {
        self.flush();
        if !self.lost.is_empty() {
            self.write();
        }
        let dropped: u64 = self.lost.iter().map(|(gap, _)| gap.dropped).sum();
        if dropped > 0 {
            warn!("--record {}: it lacks the last {}", self.path.display(), events(dropped));
        }
    }

    /// Writes the gap records of lost events and then the buffer, and empties the buffer.
    fn write(&mut self) {
        let mut text = Vec::new();
        if self.is_within_line {
            text.push(b'\n');
        }
        for (gap, since) in &self.lost {
            let end = End { until: local_now(), seconds: since.elapsed().as_secs_f64(), is_over: true };
            let name = self.name(gap.remote).unwrap_or_default();
            let message = Gap { end: Some(end), ..gap.clone() }.to_message(&name);
            if let Ok(event) = Event::decode(message, gap.remote, None) {
                let remote = if self.names.len() > 1 { Some(&*name) } else { None };
                self.json.render(&event, remote, &mut text);
            }
        }
        let head = text.len();
        if head > 0 {
            text.extend_from_slice(&self.buffer);
            std::mem::swap(&mut text, &mut self.buffer);
        }
        let (written, error) = append(&self.file, &self.buffer);
        let whole = memchr::memrchr(b'\n', &self.buffer[..written]).map_or(0, |end| end + 1);
        if written > 0 {
            self.is_within_line = whole < written && !remove_end(&self.file, written - whole);
        }
        let dropped_before: u64 = self.lost.iter().map(|(gap, _)| gap.dropped).sum();
        if dropped_before > 0 && whole >= head {
            warn!("--record {}: written again; it lacks {}", self.path.display(), events(dropped_before));
            self.lost.clear();
        }
        let rest = self.keep_last_lines(whole.saturating_sub(head), head);
        if let Some(error) = error {
            if self.lost.is_empty() {
                warn!("--record {}: {error}; events are not recorded until it can be written", self.path.display());
            }
            self.lose_from(rest, &error);
        }
        self.buffer.clear();
        self.buffer.shrink_to(4 * CHUNK);
        self.lines.clear();
    }

    /// Keeps a copy of the last written line of each remote. Written are the lines that end by `whole`, an offset behind
    /// the first `head` bytes of the buffer. Returns the index of the first line that is not written.
    fn keep_last_lines(&mut self, whole: usize, head: usize) -> usize {
        let rest = self.lines.partition_point(|(end, _)| *end <= whole);
        for (RemoteId(remote), last) in (0..).map(RemoteId).zip(&mut self.last_lines) {
            let Some(index) = self.lines[..rest].iter().rposition(|(_, other)| other.0 == remote) else { continue };
            let start = if index == 0 { 0 } else { self.lines[index - 1].0 };
            last.clear();
            last.extend_from_slice(&self.buffer[head + start..head + self.lines[index].0]);
        }
        rest
    }

    /// Counts the lines from index `first` on, which are not in the file.
    fn lose_from(&mut self, first: usize, error: &io::Error) {
        for &(_, remote) in &self.lines[first..] {
            if let Some((gap, _)) = self.lost.iter_mut().find(|(gap, _)| gap.remote == remote) {
                gap.dropped += 1;
                continue;
            }
            let last = self.last_lines.get(usize::from(remote.0)).and_then(|line| str::from_utf8(line).ok());
            let reason = format!("recording: {error}");
            let last_event = last.and_then(timestamp_of);
            let gap = Gap { remote, last_event, since: local_now(), end: None, reason, dropped: 1 };
            self.lost.push((gap, Moment::now()));
        }
    }
}

fn events(number: u64) -> String {
    if number == 1 { "1 event".to_owned() } else { format!("{number} events") }
}

/// Opens the file at `path` to append to it, or creates it.
fn open(path: &Path) -> Result<File, Fault> {
    let shown = path.display();
    let failed = |what: String, hint: &str| Fault::failed(format!("--record {shown}: {what}")).hint(hint);
    // Without O_NONBLOCK, opening a FIFO waits for a reader.
    let flags = (OFlags::NONBLOCK | OFlags::NOCTTY).bits().cast_signed();
    let mut options = OpenOptions::new();
    options.read(true).append(true).create(true).mode(0o600).custom_flags(flags);
    let opened = options.open(path).or_else(|_| options.read(false).open(path));
    let what = match opened.and_then(|file| Ok((file.metadata()?.file_type(), file))) {
        Ok((kind, file)) if kind.is_file() || kind.is_char_device() => return Ok(file),
        Ok((kind, _)) if kind.is_fifo() => "a FIFO",
        Err(error) if error.raw_os_error() == Some(Errno::NXIO.raw_os_error()) => "a FIFO or a socket",
        Ok(_) => "not a regular file",
        Err(error) => {
            let hint = match error.kind() {
                io::ErrorKind::NotFound => "make its directory first",
                io::ErrorKind::IsADirectory => "name a file in that directory",
                _ => "name a file that you may write",
            };
            return Err(failed(error.to_string(), hint));
        }
    };
    Err(failed(
        format!("{what}, where a regular file is expected"),
        "to feed a pipe, print: lxmon --format json > FIFO",
    ))
}

/// Whether a file ends without a line break, because its last writer was killed in the middle of a write.
fn ends_within_line(file: &File) -> bool {
    let last = file.metadata().ok().and_then(|metadata| metadata.len().checked_sub(1));
    let mut byte = [0];
    last.is_some_and(|last| file.read_at(&mut byte, last).is_ok_and(|read| read == 1 && byte != *b"\n"))
}

/// Appends as much of `text` as possible. Returns the number of bytes that were written, and the error that prevented
/// more.
fn append(file: &File, text: &[u8]) -> (usize, Option<io::Error>) {
    let mut written = 0;
    while written < text.len() {
        match rustix::io::write(file, &text[written..]) {
            Ok(0) => return (written, Some(io::ErrorKind::WriteZero.into())),
            Ok(more) => written += more,
            Err(Errno::INTR) => {}
            Err(error) => return (written, Some(error.into())),
        }
    }
    (written, None)
}

/// Removes the last `bytes` bytes of a file: the beginning of a line that could not be completed. Returns whether that
/// was possible.
fn remove_end(file: &File, bytes: usize) -> bool {
    let shorten = || {
        let metadata = file.metadata().ok().filter(std::fs::Metadata::is_file)?;
        file.set_len(metadata.len().checked_sub(bytes as u64)?).ok()
    };
    shorten().is_some()
}
