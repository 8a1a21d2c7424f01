//! The process that runs the expression: another lxmon, which reads requests from standard input and writes answers to
//! standard output.
//!
//! An expression can run without end, recurse without end, and take any amount of memory, and the library that runs it
//! offers no way to stop it. In a process of its own it cannot harm the one that follows the server: that one can end it
//! at any time, and a process that dies costs one event.
//!
//! ```text
//!   first request    length and text of the expression
//!   its answer       READY and whether no result can be an event, or MISTAKE with what is wrong, a NUL, and a hint
//!   each request     lengths of the event's text and of the JSON of $lxmon, and both
//!   its answers      UNCHANGED or VALUE for each result, then DONE, or FAILED with the reason
//! ```
//!
//! Numbers are 32 bits, little-endian. An answer has a tag, the length of its text, and the text.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write, stdin, stdout};
use std::os::fd::AsFd as _;
use std::process::ExitCode;
use std::thread;

use rustix::process::{Resource, Rlimit, Signal, getrlimit, set_parent_process_death_signal, setrlimit};

use super::evaluate::{Output, Program};

/// The name under which lxmon starts itself as this process.
pub(super) const NAME: &str = "lxmon: jq";

/// The address space of the process, in bytes.
pub(super) const MEMORY: u64 = 1 << 30;

/// The stack for expressions, in bytes.
const STACK: usize = 128 << 20;

pub(super) const READY: u8 = b'R';
pub(super) const MISTAKE: u8 = b'M';
pub(super) const UNCHANGED: u8 = b'U';
pub(super) const VALUE: u8 = b'V';
pub(super) const DONE: u8 = b'D';
pub(super) const FAILED: u8 = b'F';

/// The length of the part of an answer before its text, in bytes.
pub(super) const HEAD: usize = 5;

/// Whether this process was started for that.
#[must_use]
pub fn is_asked() -> bool {
    std::env::args_os().next().is_some_and(|name| name == NAME)
}

/// Answers requests until there are no more.
#[must_use]
pub fn run() -> ExitCode {
    // Should lxmon be killed while an expression runs without end, this process must not go on.
    let _ = set_parent_process_death_signal(Some(Signal::KILL));
    limit(Resource::As, MEMORY);
    limit(Resource::Core, 0);
    let serving = thread::Builder::new().stack_size(STACK).spawn(serve);
    match serving.map(thread::JoinHandle::join) {
        Ok(Ok(Ok(()))) => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    }
}

/// Lowers a limit of the process.
fn limit(resource: Resource, most: u64) {
    let Rlimit { maximum, .. } = getrlimit(resource);
    let most = Some(maximum.map_or(most, |maximum| maximum.min(most)));
    // Without the limit an expression can take more memory, which is no reason not to run it.
    let _ = setrlimit(resource, Rlimit { current: most, maximum: most });
}

fn serve() -> io::Result<()> {
    let mut input = BufReader::with_capacity(64 << 10, File::from(stdin().as_fd().try_clone_to_owned()?));
    let mut output = BufWriter::with_capacity(64 << 10, File::from(stdout().as_fd().try_clone_to_owned()?));
    let (mut text, mut context) = (String::new(), String::new());
    let length = number(&mut input)?;
    read(&mut input, length, &mut text)?;
    let program = match Program::compile(&text) {
        Ok(program) => program,
        Err(mistake) => {
            answer(&mut output, MISTAKE, format!("{}\0{}", mistake.what, mistake.hint).as_bytes())?;
            return output.flush();
        }
    };
    answer(&mut output, READY, if program.makes_no_events { b"1" } else { b"" })?;
    loop {
        if input.buffer().is_empty() {
            output.flush()?;
        }
        let length = match number(&mut input) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return output.flush(),
            length => length?,
        };
        let context_length = number(&mut input)?;
        read(&mut input, length, &mut text)?;
        read(&mut input, context_length, &mut context)?;
        let mut written = Ok(());
        let outcome = program.run(&text, &context, |result| {
            if written.is_ok() {
                written = match result {
                    Output::Unchanged => answer(&mut output, UNCHANGED, b""),
                    Output::Value(json) => answer(&mut output, VALUE, json),
                };
            }
        });
        written?;
        match outcome {
            Ok(()) => answer(&mut output, DONE, b"")?,
            Err(why) => answer(&mut output, FAILED, why.as_bytes())?,
        }
    }
}

fn number(input: &mut impl Read) -> io::Result<u32> {
    let mut bytes = [0; 4];
    input.read_exact(&mut bytes)?;
    Ok(u32::from_le_bytes(bytes))
}

fn read(input: &mut impl Read, length: u32, text: &mut String) -> io::Result<()> {
    text.clear();
    let read = input.take(length.into()).read_to_string(text)?;
    if read == length as usize { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

fn answer(output: &mut impl Write, tag: u8, text: &[u8]) -> io::Result<()> {
    let length = u32::try_from(text.len()).map_err(|_| io::ErrorKind::FileTooLarge)?;
    output.write_all(&[tag])?;
    output.write_all(&length.to_le_bytes())?;
    output.write_all(text)
}
