//! What the operating system provides and the rest of the program uses through one place.

pub mod clock;
pub(crate) mod descriptors;
pub mod environment;
pub mod signals;
pub mod terminal;

use std::fs::File;
use std::io;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Lets the runtime watch a descriptor.
///
/// # Errors
/// It cannot be watched: regular files cannot (`epoll_ctl(2)`).
#[expect(deprecated, reason = "unsound only for types that can change their descriptor; its successor is unsafe")]
pub fn watched(file: File, interest: Interest) -> io::Result<AsyncFd<File>> {
    AsyncFd::with_interest(file, interest)
}
