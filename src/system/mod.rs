//! Access to the operating system for the rest of the program.

pub(crate) mod accounts;
pub(crate) mod clock;
pub(crate) mod descriptors;
pub(crate) mod duration;
pub mod environment;
pub mod memory;
pub mod signals;
pub(crate) mod terminal;
pub(crate) mod units;

use std::fs::File;
use std::io;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// The version of the program, with the commit of its source where that is known (`build.rs`).
pub const VERSION: &str = env!("LXMON_VERSION");

/// Registers a descriptor with the runtime.
///
/// # Errors
/// The descriptor cannot be watched, such as that of a regular file (`epoll_ctl(2)`).
#[expect(deprecated, reason = "unsound only for types that can change their descriptor; its successor is unsafe")]
pub fn watched(file: File, interest: Interest) -> io::Result<AsyncFd<File>> {
    AsyncFd::with_interest(file, interest)
}
