//! The process's file descriptors: whether the standard ones were open at the start, and whether more can be opened.

use std::io::{self, stderr};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::io::{Errno, fcntl_getfd};

use crate::report::exit::Fault;

static STDIN_CLOSED: AtomicBool = AtomicBool::new(false);
static STDOUT_CLOSED: AtomicBool = AtomicBool::new(false);

/// Runs before Rust's runtime, which opens `/dev/null` in place of closed standard descriptors before `main`. Output
/// would then be lost without an error.
#[ctor::ctor]
fn look() {
    let is_closed = |descriptor: BorrowedFd<'_>| fcntl_getfd(descriptor) == Err(Errno::BADF);
    STDIN_CLOSED.store(is_closed(rustix::stdio::stdin()), Ordering::Relaxed);
    STDOUT_CLOSED.store(is_closed(rustix::stdio::stdout()), Ordering::Relaxed);
}

/// Whether standard input was closed when the program started.
pub(crate) fn stdin_was_closed() -> bool {
    STDIN_CLOSED.load(Ordering::Relaxed)
}

/// A duplicate of standard output, without the standard library's line buffering.
pub(crate) fn stdout() -> io::Result<OwnedFd> {
    io::stdout().as_fd().try_clone_to_owned()
}

/// # Errors
/// Standard output was closed when the program started.
pub(crate) fn check_stdout() -> Result<(), Fault> {
    if STDOUT_CLOSED.load(Ordering::Relaxed) {
        return Err(Fault::failed("standard output is closed").hint("to print nothing: >/dev/null"));
    }
    Ok(())
}

/// Enough for tokio's runtime, which panics if it cannot open a socket pair for signals, and for a connection and a
/// recording. With fewer descriptors, some operations would fail later and less clearly.
const NEEDED: usize = 16;

/// # Errors
/// The limit of open files leaves too few descriptors for the program.
pub(crate) fn check_supply() -> Result<(), Fault> {
    let descriptors: io::Result<Vec<OwnedFd>> = (0..NEEDED).map(|_| stderr().as_fd().try_clone_to_owned()).collect();
    match descriptors {
        Ok(_) => Ok(()),
        Err(error) => Err(Fault::failed(format!("starting: {error}")).hint("raise the limit: ulimit -n 64")),
    }
}
