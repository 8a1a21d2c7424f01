//! The process's descriptors: whether the standard ones were there when it began, and whether others can be had.

use std::io::{self, stderr};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::io::{Errno, fcntl_getfd};

use crate::report::exit::Fault;

static STDIN_CLOSED: AtomicBool = AtomicBool::new(false);
static STDOUT_CLOSED: AtomicBool = AtomicBool::new(false);

/// Rust's runtime opens `/dev/null` in place of standard descriptors that are closed, before `main`: what is printed would
/// be lost without an error. So this has to look before that.
#[ctor::ctor]
fn look() {
    let is_closed = |descriptor: BorrowedFd<'_>| fcntl_getfd(descriptor) == Err(Errno::BADF);
    STDIN_CLOSED.store(is_closed(rustix::stdio::stdin()), Ordering::Relaxed);
    STDOUT_CLOSED.store(is_closed(rustix::stdio::stdout()), Ordering::Relaxed);
}

/// Whether there was no standard input when the program began.
pub(crate) fn stdin_was_closed() -> bool {
    STDIN_CLOSED.load(Ordering::Relaxed)
}

/// A descriptor of its own for standard output, free of the standard library's line buffering.
pub(crate) fn stdout() -> io::Result<OwnedFd> {
    io::stdout().as_fd().try_clone_to_owned()
}

/// # Errors
/// There was no standard output when the program began.
pub(crate) fn check_stdout() -> Result<(), Fault> {
    if STDOUT_CLOSED.load(Ordering::Relaxed) {
        return Err(Fault::failed("standard output is closed").hint("to print nothing: >/dev/null"));
    }
    Ok(())
}

/// What tokio's runtime opens, which panics where there is no pair of sockets for its signals, and what a connection and a
/// recording take. Below that some things would fail later and less clearly.
const NEEDED: usize = 16;

/// # Errors
/// The limit of open descriptors leaves too few for the program.
pub(crate) fn check_supply() -> Result<(), Fault> {
    let descriptors: io::Result<Vec<OwnedFd>> = (0..NEEDED).map(|_| stderr().as_fd().try_clone_to_owned()).collect();
    match descriptors {
        Ok(_) => Ok(()),
        Err(error) => Err(Fault::failed(format!("starting: {error}")).hint("raise the limit: ulimit -n 64")),
    }
}
