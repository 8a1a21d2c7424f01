//! Reads a file of the client configuration. It must be a regular file of limited size.

use std::fs::{FileType, OpenOptions};
use std::io::{ErrorKind, Read as _};
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::path::Path;

use log::debug;
use rustix::fs::OFlags;

use crate::report::exit::Fault;

/// The maximum size of a file in bytes. Real files have a few KiB.
const LONGEST: u64 = 1 << 20;

/// The contents of a file; `None` if it does not exist. Blocks for as long as the file system does.
pub(super) fn read(path: &Path) -> Result<Option<Vec<u8>>, Fault> {
    let contents = contents(path);
    match &contents {
        Ok(Some(text)) => debug!("read {} ({} bytes)", path.display(), text.len()),
        Ok(None) => debug!("there is no {}", path.display()),
        // It is reported, or another file is used.
        Err(fault) => debug!("not read: {fault}"),
    }
    contents
}

fn contents(path: &Path) -> Result<Option<Vec<u8>>, Fault> {
    let shown = path.display();
    let failed = |error: std::io::Error| match error.kind() {
        ErrorKind::NotFound | ErrorKind::NotADirectory => Ok(None),
        ErrorKind::PermissionDenied => Err(Fault::failed(format!("{shown}: permission denied"))
            .hint(format!("make it readable for you: sudo chown $USER {shown}"))),
        _ => Err(Fault::failed(format!("{shown}: {error}"))),
    };
    // Check the type before opening: opening a FIFO or a device has side effects.
    match path.metadata() {
        Ok(metadata) => regular(path, metadata.file_type())?,
        Err(error) => return failed(error),
    }
    // It can have been replaced by a FIFO since then.
    let nonblocking = OFlags::NONBLOCK.bits().cast_signed();
    let file = match OpenOptions::new().read(true).custom_flags(nonblocking).open(path) {
        Ok(file) => file,
        Err(error) => return failed(error),
    };
    match file.metadata() {
        Ok(metadata) => regular(path, metadata.file_type())?,
        Err(error) => return failed(error),
    }
    let mut text = Vec::new();
    match file.take(LONGEST + 1).read_to_end(&mut text) {
        Ok(_) if text.len() as u64 > LONGEST => {
            Err(Fault::failed(format!("{shown}: longer than 1 MiB; this is not a client configuration file")))
        }
        Ok(_) => Ok(Some(text)),
        Err(error) => failed(error),
    }
}

fn regular(path: &Path, kind: FileType) -> Result<(), Fault> {
    let what = match kind {
        kind if kind.is_file() => return Ok(()),
        kind if kind.is_dir() => "a directory",
        kind if kind.is_fifo() => "a FIFO",
        kind if kind.is_socket() => "a socket",
        _ => "a device",
    };
    Err(Fault::failed(format!("{}: {what}, where a regular file is expected", path.display()))
        .hint("put the client's file in its place, or remove it"))
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn regular_files_are_read_and_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        assert_eq!(read(&path("missing")).unwrap(), None);
        std::fs::write(path("file"), "text").unwrap();
        assert_eq!(read(&path("file")).unwrap().unwrap(), b"text");
        std::os::unix::fs::symlink(path("file"), path("link")).unwrap();
        assert_eq!(read(&path("link")).unwrap().unwrap(), b"text");
        assert_eq!(read(&path("file/below")).unwrap(), None);
        assert_eq!(read(Path::new("/proc/self/comm")).unwrap().map(|text| text.is_empty()), Some(false));

        std::fs::write(path("longest"), vec![b'x'; 1 << 20]).unwrap();
        assert_eq!(read(&path("longest")).unwrap().map(|text| text.len()), Some(1 << 20));
        std::fs::write(path("longer"), vec![b'x'; (1 << 20) + 1]).unwrap();
        rustix::fs::mknodat(rustix::fs::CWD, path("fifo"), rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
        let _socket = UnixListener::bind(path("socket")).unwrap();
        std::os::unix::fs::symlink(path("fifo"), path("link to a fifo")).unwrap();
        std::os::unix::fs::symlink(path("circle"), path("circle")).unwrap();
        for (name, says) in [
            ("longer", "longer than 1 MiB"),
            ("fifo", "a FIFO, where"),
            ("link to a fifo", "a FIFO, where"),
            ("socket", "a socket, where"),
            (".", "a directory, where"),
            ("/dev/zero", "a device, where"),
            ("circle", "Too many levels of symbolic links"),
            ("n\0l", "NUL byte"),
        ] {
            let error = read(&path(name)).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
    }
}
