//! `--ready-fd`: writes a line to a file descriptor that was inherited, once all subscriptions are live.

use std::fs::File;
use std::io::{ErrorKind, Write as _};
use std::os::fd::OwnedFd;

use log::warn;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::process::{PidfdFlags, PidfdGetfdFlags};

use crate::report::exit::Fault;

/// The descriptor.
#[derive(Debug)]
pub(crate) struct Ready {
    number: i32,
    file: File,
}

impl Ready {
    /// Takes a duplicate of the descriptor with this number, and closes the descriptor itself unless it is a standard one:
    /// children would inherit it, and whoever reads it would not see its end.
    ///
    /// # Errors
    /// There is no such descriptor, or it cannot be written to.
    pub(crate) fn new(number: i32) -> Result<Self, Fault> {
        let failed = |what: String| {
            Fault::usage(format!("--ready-fd {number}: {what}"))
                .hint(format!("open it for writing, in a shell: lxmon --ready-fd {number} {number}>FILE"))
        };
        let file = duplicate(number).map(File::from).map_err(|error| match error {
            Errno::BADF | Errno::NOENT => failed("this descriptor is not open".into()),
            error => failed(std::io::Error::from(error).to_string()),
        })?;
        match rustix::fs::fcntl_getfl(&file) {
            Ok(flags) if flags & OFlags::ACCMODE == OFlags::RDONLY => {
                Err(failed("this descriptor is open for reading only".into()))
            }
            _ => {
                if number > 2 {
                    // An error is ignored: it is closed all the same (close(2)).
                    let _ = nix::unistd::close(number);
                }
                Ok(Self { number, file })
            }
        }
    }

    /// Writes the line, and closes the descriptor.
    pub(crate) fn report(mut self) {
        match self.file.write_all(b"ready\n") {
            // Whoever started lxmon does not wait any more.
            Err(error) if error.kind() != ErrorKind::BrokenPipe => warn!("--ready-fd {}: {error}", self.number),
            _ => {}
        }
    }
}

/// A duplicate of the descriptor with this number. The usual ways need unsafe code, as the number may be any.
fn duplicate(number: i32) -> rustix::io::Result<OwnedFd> {
    let process = rustix::process::pidfd_open(rustix::process::getpid(), PidfdFlags::empty());
    match process.and_then(|process| rustix::process::pidfd_getfd(process, number, PidfdGetfdFlags::empty())) {
        // Not in this kernel (before 5.6), or not in this container. Then sockets cannot be used.
        Err(Errno::NOSYS | Errno::PERM) => {
            let flags = OFlags::WRONLY | OFlags::APPEND | OFlags::NOCTTY | OFlags::CLOEXEC;
            rustix::fs::open(format!("/proc/self/fd/{number}"), flags, Mode::empty())
        }
        outcome => outcome,
    }
}
