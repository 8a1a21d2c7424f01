//! Reads recorded events from files or from standard input: JSON or YAML as `lxmon`, `lxc monitor` and `incus monitor`
//! print it, or as other programs laid it out.
//!
//! A thread reads with blocking reads, and finds the messages (`json`, `yaml`); YAML becomes JSON (`document`). Decoding
//! them, and saying which are no events, is the work of the next step, as for those of a server.

mod blocks;
mod document;
mod form;
mod input;
mod json;
mod yaml;

use std::fs::{File, Metadata};
use std::io;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use log::{debug, warn};
use rustix::fs::FileType;
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use self::blocks::Blocks;
use self::form::Form;
use self::input::{Input, MARK};
use crate::queue::{Item, Queue};
use crate::report::exit::Fault;
use crate::system::descriptors;

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

    /// The word of the command line, if it looks like a remote and there is no such file.
    #[must_use]
    pub(crate) fn remote_word(&self) -> Option<&str> {
        let Self::File(path) = self else { return None };
        let word = path.to_str().filter(|word| word.ends_with(':') || word.starts_with("unix:"));
        word.filter(|_| !path.exists())
    }

    fn open(&self) -> io::Result<File> {
        match self {
            Self::Stdin if descriptors::stdin_was_closed() => Err(io::Error::other("it is closed")),
            Self::Stdin => Ok(File::from(io::stdin().as_fd().try_clone_to_owned()?)),
            Self::File(path) => File::open(path),
        }
    }

    /// Looks at the beginning of a file, which a later reading sees again, unlike that of a pipe.
    fn look(&self) -> anyhow::Result<()> {
        let is_of_files = |kind: std::fs::FileType| kind.is_file() || kind.is_dir();
        if let Self::File(path) = self
            && std::fs::metadata(path).map_or(true, |metadata| is_of_files(metadata.file_type()))
        {
            Form::of(&mut Input::new(self.open()?))?;
        }
        Ok(())
    }

    /// Queues every event. Of several files, one may be empty.
    fn read(&self, is_only: bool, runtime: &Handle, queue: &Queue) -> anyhow::Result<()> {
        let name = self.name();
        match read(self.open()?, &name, runtime, queue)? {
            Form::Json | Form::Yaml => {}
            // No event has come through a pipe, or out of /dev/null.
            Form::Empty if !self.is_regular_file() => {}
            Form::Empty if is_only => {
                return Err(Fault::failed("it is empty")
                    .hint("it may be the wrong file, or nothing was recorded")
                    .into());
            }
            Form::Empty => warn!("{name}: it is empty"),
        }
        Ok(())
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

/// Queues every event of a file, and returns its form.
fn read(file: File, name: &str, runtime: &Handle, queue: &Queue) -> anyhow::Result<Form> {
    let mut input = Input::new(file);
    let form = Form::of(&mut input)?;
    debug!("{name}: it is {}", form.described());
    let mut blocks = Blocks::new(name, runtime, queue);
    match form {
        Form::Json => json::read(input, &mut blocks)?,
        Form::Yaml => {
            if input.data().starts_with(MARK) {
                input.consume(MARK.len());
            }
            yaml::read(input, &mut blocks)?;
        }
        Form::Empty => {}
    }
    Ok(form)
}

/// The messages in a recording, in their order. Whether each is an event is judged when it is decoded. For tests and fuzz
/// targets: a run reads a recording while it prints it.
///
/// # Errors
/// The file cannot be read, or it is no recording.
pub fn messages(file: File) -> anyhow::Result<Vec<String>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    // Nothing takes its items meanwhile.
    let queue = Queue::new(usize::MAX, false);
    read(file, "the recording", runtime.handle(), &queue)?;
    let mut messages = Vec::new();
    while let Some(item) = queue.take() {
        if let Item::Recorded(_, block) = item {
            messages.extend((0..block.len()).map(|index| block.text(index).to_owned()));
        }
    }
    Ok(messages)
}

/// Queues the events of all recordings, one after the other.
///
/// # Errors
/// A file cannot be opened or read, or is no recording. Files that can be read more than once are looked at before the
/// first event.
pub(crate) async fn run(recordings: &[Recording], queue: Arc<Queue>) -> anyhow::Result<()> {
    let recordings = recordings.to_vec();
    let runtime = Handle::current();
    // Files and terminals can only be read with blocking calls, so a separate thread does that. (tokio's
    // `spawn_blocking` panics if no thread can be started.)
    let (report, reported) = oneshot::channel();
    let reading = move || {
        // The receiver is gone when the program is about to end.
        let _ = report.send(read_all(&recordings, &runtime, &queue));
    };
    std::thread::Builder::new().name("replay".into()).spawn(reading).context("starting a thread")?;
    reported.await.context("reading")?
}

fn read_all(recordings: &[Recording], runtime: &Handle, queue: &Queue) -> anyhow::Result<()> {
    if recordings.len() > 1 {
        for recording in recordings {
            recording.look().with_context(|| recording.name())?;
        }
    }
    for recording in recordings {
        recording.read(recordings.len() == 1, runtime, queue).with_context(|| recording.name())?;
    }
    Ok(())
}
