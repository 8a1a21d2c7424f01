//! The process's file descriptors: whether the standard ones were open at the start, and whether more can be opened.

use std::fs::Metadata;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt as _;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::io::{Errno, fcntl_getfd};

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

/// A duplicate of standard error.
pub(crate) fn stderr() -> io::Result<OwnedFd> {
    io::stderr().as_fd().try_clone_to_owned()
}

/// Whether standard output was closed when the program started.
pub(crate) fn stdout_was_closed() -> bool {
    STDOUT_CLOSED.load(Ordering::Relaxed)
}

/// Whether both describe one regular file.
pub(crate) fn is_same_file(one: &Metadata, other: &Metadata) -> bool {
    one.is_file() && (one.dev(), one.ino()) == (other.dev(), other.ino())
}

/// Enough for tokio's runtime, which panics if it cannot open a socket pair for signals, and for a connection and a
/// recording. With fewer descriptors, some operations would fail later and less clearly.
const NEEDED: usize = 16;

/// Tries to open as many descriptors as the program needs.
///
/// # Errors
/// The limit of open files leaves too few.
pub(crate) fn check_supply() -> io::Result<()> {
    let descriptors: io::Result<Vec<OwnedFd>> = (0..NEEDED).map(|_| stderr()).collect();
    descriptors.map(drop)
}
