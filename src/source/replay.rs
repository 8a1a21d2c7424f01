//! Reads recorded events from a file, or from standard input: one JSON object a line, as `lxmon` and
//! `lxc monitor --format json` write them.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read as _};
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use log::warn;
use rustix::fs::FileType;
use tokio::runtime::Handle;

use super::subscription::MAX_MESSAGE;
use crate::event::message::Block;
use crate::queue::{Item, Queue};

/// How much is read at once, in bytes.
const READ: usize = 128 << 10;

/// Where a recording is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Recording {
    /// Standard input.
    Stdin,
    /// A file.
    File(PathBuf),
}

impl Recording {
    /// `-` is standard input.
    #[must_use]
    pub fn new(path: &Path) -> Self {
        if path.as_os_str() == "-" { Self::Stdin } else { Self::File(path.to_owned()) }
    }

    /// What notices call it.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Self::Stdin => "standard input".into(),
            Self::File(path) => path.display().to_string(),
        }
    }

    /// Whether it is a file that has an end, and no pipe or terminal.
    #[must_use]
    pub fn is_regular_file(&self) -> bool {
        let file_type = match self {
            Self::Stdin => rustix::fs::fstat(io::stdin()).map(|stat| FileType::from_raw_mode(stat.st_mode)),
            Self::File(path) => rustix::fs::stat(path).map(|stat| FileType::from_raw_mode(stat.st_mode)),
        };
        file_type == Ok(FileType::RegularFile)
    }

    /// Queues every line. Ends with the recording.
    ///
    /// # Errors
    /// The file cannot be opened or read.
    pub async fn run(&self, queue: Arc<Queue>) -> anyhow::Result<()> {
        let name = self.name();
        let recording = self.clone();
        let runtime = Handle::current();
        // Files and terminals cannot be read without blocking; a thread of their own may.
        let reading = tokio::task::spawn_blocking(move || {
            let file = match &recording {
                Self::Stdin => File::from(io::stdin().as_fd().try_clone_to_owned()?),
                Self::File(path) => File::open(path)?,
            };
            read(file, &recording, &runtime, &queue)
        });
        reading.await.context("reading")?.with_context(|| name)
    }
}

fn read(input: File, recording: &Recording, runtime: &Handle, queue: &Queue) -> io::Result<()> {
    let mut input = BufReader::with_capacity(READ, input);
    let mut block = Block::default();
    let mut line = Vec::new();
    let (mut first, mut number) = (1, 0);
    loop {
        line.clear();
        (&mut input).take(MAX_MESSAGE as u64 + 1).read_until(b'\n', &mut line)?;
        let has_ended = line.is_empty();
        if !has_ended {
            number += 1;
            // A line that is skipped is counted as an empty one.
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
            block.push(text);
        }
        // A line that comes slowly is queued as it comes: no further one can be had without waiting.
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
