//! Reads recorded events from a file or from standard input: one JSON object per line, as written by `lxmon` and by
//! `lxc monitor --format json`.

use std::fs::{File, Metadata};
use std::io::{self, BufRead, BufReader, ErrorKind};
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use log::warn;
use rustix::fs::FileType;
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use crate::event::message::{Block, MAX_MESSAGE};
use crate::queue::{Item, Queue};
use crate::system::descriptors;

/// The read size in bytes.
const READ: usize = 128 << 10;

/// The place of a recording.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Recording {
    /// Standard input.
    Stdin,
    /// A file.
    File(PathBuf),
}

impl Recording {
    /// The recording at `path`; `-` is standard input.
    #[must_use]
    pub(crate) fn new(path: &Path) -> Self {
        if path.as_os_str() == "-" { Self::Stdin } else { Self::File(path.to_owned()) }
    }

    /// Its name in notices.
    #[must_use]
    pub(crate) fn name(&self) -> String {
        match self {
            Self::Stdin => "standard input".into(),
            Self::File(path) => path.display().to_string(),
        }
    }

    /// Whether it is a regular file, which has an end, rather than a pipe or a terminal.
    #[must_use]
    pub(crate) fn is_regular_file(&self) -> bool {
        let file_type = match self {
            Self::Stdin => rustix::fs::fstat(io::stdin()).map(|stat| FileType::from_raw_mode(stat.st_mode)),
            Self::File(path) => rustix::fs::stat(path).map(|stat| FileType::from_raw_mode(stat.st_mode)),
        };
        file_type == Ok(FileType::RegularFile)
    }

    /// Queues every line. Returns at the end of the recording.
    ///
    /// # Errors
    /// The file cannot be opened or read.
    pub(crate) async fn run(&self, queue: Arc<Queue>) -> anyhow::Result<()> {
        let name = self.name();
        let recording = self.clone();
        let runtime = Handle::current();
        // Files and terminals can only be read with blocking calls, so a separate thread does that. (tokio's
        // `spawn_blocking` panics if no thread can be started.)
        let (report, reported) = oneshot::channel();
        let reading = move || {
            let outcome = recording.open().and_then(|file| read(file, &recording, &runtime, &queue));
            // The receiver is gone when the program is about to end.
            let _ = report.send(outcome);
        };
        std::thread::Builder::new().name("replay".into()).spawn(reading).context("starting a thread")?;
        reported.await.context("reading")?.with_context(|| name)
    }

    fn open(&self) -> io::Result<File> {
        match self {
            Self::Stdin if descriptors::stdin_was_closed() => Err(io::Error::other("it is closed")),
            Self::Stdin => Ok(File::from(io::stdin().as_fd().try_clone_to_owned()?)),
            Self::File(path) => File::open(path),
        }
    }

    /// Whether it is the same file as standard output. Reading such a recording would never end.
    #[must_use]
    pub(crate) fn is_output(&self) -> bool {
        let output = descriptors::stdout().and_then(|descriptor| File::from(descriptor).metadata());
        output.is_ok_and(|output| self.metadata().is_ok_and(|input| descriptors::is_same_file(&input, &output)))
    }

    /// Whether it is the file at `path`.
    #[must_use]
    pub(crate) fn is_file(&self, path: &Path) -> bool {
        let other = std::fs::metadata(path);
        other.is_ok_and(|other| self.metadata().is_ok_and(|input| descriptors::is_same_file(&input, &other)))
    }

    fn metadata(&self) -> io::Result<Metadata> {
        match self {
            Self::Stdin => self.open()?.metadata(),
            Self::File(path) => std::fs::metadata(path),
        }
    }
}

fn read(input: File, recording: &Recording, runtime: &Handle, queue: &Queue) -> io::Result<()> {
    let mut input = BufReader::with_capacity(READ, input);
    let mut block = Block::default();
    let mut line = Vec::new();
    let (mut first, mut number) = (1, 0);
    loop {
        line.clear();
        read_line(&mut input, &mut line)?;
        let has_ended = line.is_empty();
        if !has_ended {
            number += 1;
            // A skipped line is queued as an empty one, so that the line numbers stay right.
            let mut text = "";
            if line.len() > MAX_MESSAGE {
                warn!("{}: line {number}: longer than {MAX_MESSAGE} bytes; skipped", recording.name());
                if line.last() != Some(&b'\n') {
                    skip_line(&mut input)?;
                }
            } else {
                match std::str::from_utf8(&line) {
                    Ok(line) => text = line,
                    Err(_) => warn!("{}: line {number}: not UTF-8; skipped", recording.name()),
                }
            }
            block.push(text)?;
            // Free the memory of an unusually long line.
            line.shrink_to(READ);
        }
        // A line is queued at once if no further complete line is buffered: the next read can block.
        let is_last = has_ended || memchr::memchr(b'\n', input.buffer()).is_none();
        if !block.is_empty() && (is_last || block.is_full()) {
            runtime.block_on(queue.rest());
            queue.push_always(Item::Lines(first, Arc::new(block.close().charged_to(queue.memory()))));
            first = number + 1;
        }
        if has_ended {
            return Ok(());
        }
    }
}

/// Reads up to the end of a line, or slightly more than the longest message. A failed allocation is an error.
fn read_line(input: &mut BufReader<File>, line: &mut Vec<u8>) -> io::Result<()> {
    while line.len() <= MAX_MESSAGE {
        let buffer = match input.fill_buf() {
            Ok(buffer) => buffer,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        let end = memchr::memchr(b'\n', buffer);
        let length = end.map_or(buffer.len(), |end| end + 1);
        line.try_reserve(length)?;
        line.extend_from_slice(&buffer[..length]);
        input.consume(length);
        if end.is_some() || length == 0 {
            break;
        }
    }
    Ok(())
}

fn skip_line(input: &mut BufReader<File>) -> io::Result<()> {
    loop {
        let buffer = input.fill_buf()?;
        if buffer.is_empty() {
            return Ok(());
        }
        if let Some(end) = memchr::memchr(b'\n', buffer) {
            input.consume(end + 1);
            return Ok(());
        }
        let length = buffer.len();
        input.consume(length);
    }
}
