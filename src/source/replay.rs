//! Reads recorded events from a file, or from standard input: one JSON object a line, as `lxmon` and
//! `lxc monitor --format json` write them.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read as _};
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use log::warn;
use tokio::runtime::Handle;

use super::frames::MAX_MESSAGE;
use crate::event::{Message, RemoteId};
use crate::queue::{Item, Queue};

/// How much is read before the writer gets it, in bytes.
const BURST: usize = 128 << 10;

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
    let mut input = BufReader::with_capacity(BURST, input);
    let remote = RemoteId::default();
    let (mut burst, mut bytes) = (Vec::new(), 0);
    let mut number = 0;
    loop {
        let mut line = Vec::new();
        (&mut input).take(MAX_MESSAGE as u64 + 1).read_until(b'\n', &mut line)?;
        let ended = line.is_empty();
        if !ended {
            number += 1;
            let name = || recording.name();
            if line.len() > MAX_MESSAGE {
                warn!("{}: line {number}: longer than {MAX_MESSAGE} bytes; skipped", name());
                skip_line(&mut input)?;
            } else if !line.trim_ascii().is_empty() {
                bytes += line.len();
                match Message::try_from(line) {
                    Ok(message) => burst.push(Item::Line(number, message)),
                    Err(_) => warn!("{}: line {number}: not UTF-8; skipped", name()),
                }
            }
        }
        // What comes slowly is passed on as it comes: no further line can be had without waiting.
        if ended || bytes >= BURST || memchr::memchr(b'\n', input.buffer()).is_none() {
            runtime.block_on(queue.push(remote, &mut burst));
            bytes = 0;
        }
        if ended {
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
