//! Opens the byte stream to a server.

use std::io;
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::UnixStream;

use crate::exit::Fault;
use crate::remote::{Address, Remote};

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
    let path = path.display();
    let group = match remote.flavour {
        crate::remote::Flavour::Lxd => "lxd",
        crate::remote::Flavour::Incus => "incus-admin",
    };
    match error.kind() {
        io::ErrorKind::NotFound => Fault::failed(format!("{path}: there is no such socket")).hint(format!(
            "is {} installed and running? `unix:PATH` follows a socket in another place",
            remote.flavour
        )),
        io::ErrorKind::PermissionDenied => Fault::failed(format!("{path}: permission denied"))
            .hint(format!("run it as root, or join the group that owns the socket: sudo usermod -aG {group} $USER")),
        io::ErrorKind::ConnectionRefused => Fault::failed(format!("{path}: nothing listens there"))
            .hint(format!("start {}; a socket file without a server was left behind by one that died", remote.flavour)),
        _ => Fault::failed(format!("{path}: {error}")),
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
