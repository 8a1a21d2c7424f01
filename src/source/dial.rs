//! Opens the byte stream to a server.

use std::cell::Cell;
use std::io;
use std::os::unix::fs::FileTypeExt as _;
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use anyhow::Context as _;
use log::{debug, info};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::client::TlsStream;

use super::http::{self, Refusal};
use super::tls::{self, Trust};
use crate::exit::Fault;
use crate::remote::login::{Login, Secret};
use crate::remote::proxy::Proxy;
use crate::remote::{Address, Environment, Flavour, Host, Https, Remote};

/// How long the addresses of a host may take together to answer.
const ADDRESSES: Duration = Duration::from_secs(8);

/// A connection to a server.
#[derive(Debug)]
pub enum Stream {
    /// The local socket.
    Unix(UnixStream),
    /// TLS over TCP.
    Tls(Box<TlsStream<TcpStream>>),
}

/// A connection on which the request can be made.
#[derive(Debug)]
pub struct Dialed<S = Stream> {
    /// The connection.
    pub stream: S,
    /// The `Host` header's value.
    pub host: String,
    /// The path before `/1.0`.
    pub prefix: String,
    /// The `Authorization` header's value, if that is how we log in.
    pub authorization: Option<Secret>,
    /// How we log in, in words.
    pub login: String,
}

/// Connects to the server of `remote`. Sets `is_accepted` once the server has accepted the connection, and may take its
/// time for the rest.
pub async fn dial(remote: &Remote, environment: &Environment, is_accepted: &Cell<bool>) -> anyhow::Result<Dialed> {
    match &remote.address {
        Address::Unix(path) => {
            let stream = UnixStream::connect(path).await.map_err(|error| unix_fault(path, &error, remote))?;
            Ok(Dialed {
                stream: Stream::Unix(stream),
                host: "localhost".into(),
                prefix: String::new(),
                authorization: None,
                login: "the socket's permissions".into(),
            })
        }
        Address::Https(https) => {
            let trust = Trust::find(https, &remote.name)?;
            let Https { directories, auth_type, .. } = &**https;
            let login = Login::find(environment, remote.flavour, directories, &remote.name, auth_type.as_deref())?;
            let tcp = match &https.proxy {
                None => tcp(&https.host).await?,
                Some(proxy) => tunnel(proxy, &https.host).await?,
            };
            is_accepted.set(true);
            let stream = tls::handshake(tcp, https, remote, &trust, &login).await?;
            info!("{}: verified by {trust}; {login}", remote.name);
            Ok(Dialed {
                stream: Stream::Tls(Box::new(stream)),
                host: https.host.to_string(),
                prefix: https.prefix.clone(),
                authorization: login.authorization(),
                login: login.to_string(),
            })
        }
    }
}

/// Connects to the first of the host's addresses that answers.
async fn tcp(host: &Host) -> Result<TcpStream, Fault> {
    let addresses = tokio::net::lookup_host((&*host.name, host.port)).await.map_err(|error| {
        Fault::failed(format!("cannot find the address of {}: {error}", host.name))
            .hint("is the name right, and the network up?")
    })?;
    let addresses: Vec<_> = addresses.collect();
    let share = ADDRESSES / u32::try_from(addresses.len().max(1)).unwrap_or(u32::MAX);
    let mut fault = Fault::failed(format!("{} has no address", host.name));
    for address in addresses {
        debug!("connecting to {address}");
        let why = match tokio::time::timeout(share, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                // Requests and pongs are short and must not wait for more.
                let _ = stream.set_nodelay(true);
                return Ok(stream);
            }
            Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => "connection refused".to_owned(),
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("no answer within {:.1} s", share.as_secs_f64()),
        };
        fault = Fault::failed(format!("{address}: {why}")).hint(
            "is the server up, and does core.https_address listen there? Other members of a cluster are not tried",
        );
    }
    Err(fault)
}

/// Asks a proxy for a way to `host`.
async fn tunnel(proxy: &Proxy, host: &Host) -> anyhow::Result<TcpStream> {
    let stream = tcp(&proxy.host).await.with_context(|| format!("proxy {}", proxy.host))?;
    debug!("asking the proxy {}", proxy.host);
    let error = match http::connect(stream, &host.to_string(), proxy.authorization.as_ref()).await {
        Ok(stream) => return Ok(stream),
        Err(error) => error,
    };
    let failed = |what: String| {
        Fault::failed(format!("proxy {}: {what}", proxy.host)).hint("HTTPS_PROXY names it, NO_PROXY makes exceptions")
    };
    let fault = match error.downcast_ref::<Refusal>() {
        None => failed(format!("{error:#}")),
        Some(Refusal { status: 407, .. }) => {
            failed("it wants a login (407)".into()).hint("write HTTPS_PROXY=http://user:password@host:port").permanent()
        }
        Some(refusal) => {
            let Refusal { status, reason, text, .. } = refusal;
            let separator = if text.is_empty() { "" } else { ": " };
            let fault = failed(format!("it refuses the way to {host}: {status} {reason}{separator}{text}"));
            if refusal.is_permanent() { fault.permanent() } else { fault }
        }
    };
    Err(fault.into())
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
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Unix(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Unix(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
