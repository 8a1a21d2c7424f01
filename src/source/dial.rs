//! Opens the byte stream to a server.

use std::io;
use std::os::unix::fs::FileTypeExt as _;
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::UnixStream;

use crate::exit::Fault;
use crate::remote::{Address, Flavour, Remote};

/// A connection to a server.
#[derive(Debug)]
pub enum Stream {
    /// The local socket.
    Unix(UnixStream),
}

/// Connects to the server of `remote`.
pub async fn dial(remote: &Remote) -> anyhow::Result<Stream> {
    match &remote.address {
        Address::Unix(path) => {
            let stream = UnixStream::connect(path).await.map_err(|error| unix_fault(path, &error, remote))?;
            Ok(Stream::Unix(stream))
        }
        Address::Https(_) => Err(Fault::failed("HTTPS remotes are not followed yet")
            .hint("follow the server on its own machine, through its local socket")
            .into()),
    }
}

/// What a failed connect to a local socket means.
fn unix_fault(path: &Path, error: &io::Error, remote: &Remote) -> Fault {
    // The name of `unix:PATH` says where already.
    let shown = path.display().to_string();
    let at = if remote.name.ends_with(&shown) { String::new() } else { format!("{shown}: ") };
    let (flavour, group) = match remote.flavour {
        Flavour::Lxd => ("LXD", "lxd"),
        Flavour::Incus => ("Incus", "incus-admin"),
    };
    let is_socket = path.metadata().map(|metadata| metadata.file_type().is_socket());
    match (error.kind(), is_socket) {
        (io::ErrorKind::NotFound, _) => Fault::failed(format!("{at}there is no such socket"))
            .hint(format!("is {flavour} installed and running? `lxmon unix:PATH` follows a socket in another place")),
        (io::ErrorKind::PermissionDenied, _) => Fault::failed(format!("{at}permission denied"))
            .hint(format!("run it as root, or join the group that owns the socket: sudo usermod -aG {group} $USER")),
        (_, Ok(false)) => Fault::failed(format!("{at}not a socket"))
            .hint("name the server's unix.socket; `lxmon --replay FILE` reads recorded events"),
        (io::ErrorKind::ConnectionRefused, _) => Fault::failed(format!("{at}nothing listens there"))
            .hint(format!("start {flavour}; the server that made this socket is gone")),
        _ => Fault::failed(format!("{at}{error}")),
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Unix(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Unix(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Unix(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
