//! The addresses of servers, as they are written in configurations and arguments.

use std::borrow::Cow;
use std::fmt;
use std::path::{Path, PathBuf};

use tokio_tungstenite::tungstenite::http::Uri;

use super::proxy::Proxy;
use super::sockets::Socket;
use crate::report::exit::Fault;

/// An address of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// A local socket.
    Unix(PathBuf),
    /// An HTTPS server.
    Https(Box<Https>),
}

/// The directories of a client's files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Directories {
    /// The user's configuration directory.
    pub user: PathBuf,
    /// The directory of the pinned certificates, `servercerts/`: the user's, or the system's for a system-wide remote.
    pub pins: PathBuf,
}

/// An HTTPS server, with its settings from the client configuration and the environment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Https {
    /// Its address in the configuration, without user and password.
    pub url: String,
    /// Its host and port.
    pub host: Host,
    /// The path before `/1.0`, without a trailing slash.
    pub prefix: String,
    /// `auth_type`: how to log in.
    pub auth_type: Option<String>,
    /// The directories of the client's files.
    pub directories: Directories,
    /// The proxy to connect through, if any.
    pub proxy: Option<Proxy>,
    /// Whether TLS 1.2 is accepted.
    pub allow_tls12: bool,
}

impl Https {
    /// Whether the remote is configured for an OIDC login.
    #[must_use]
    pub fn is_oidc(&self) -> bool {
        self.auth_type.as_deref() == Some("oidc")
    }
}

/// A host name or address, without brackets, and a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// Name or address.
    pub name: String,
    /// Port.
    pub port: u16,
}

impl Host {
    /// The host and port of a URL; `None` if there is no host or the port is invalid.
    pub(super) fn of(uri: &Uri, default_port: u16) -> Option<Self> {
        let authority = uri.authority()?;
        let name = authority.host().trim_matches(['[', ']']);
        let port = match authority.as_str().rsplit('@').next()?.strip_prefix(authority.host())? {
            "" => default_port,
            port => port.strip_prefix(':')?.parse().ok()?,
        };
        (!name.is_empty()).then(|| Self { name: name.to_owned(), port })
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.name.contains(':') {
            write!(f, "[{}]:{}", self.name, self.port)
        } else {
            write!(f, "{}:{}", self.name, self.port)
        }
    }
}

impl Address {
    /// Whom the socket is for; `None` for an HTTPS server.
    #[must_use]
    pub fn socket(&self) -> Option<Socket> {
        match self {
            Self::Unix(path) => Some(Socket::of(path)),
            Self::Https(_) => None,
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => path.display().fmt(f),
            Self::Https(https) => f.write_str(&https.url),
        }
    }
}

/// `text` with everything that can be user and password replaced: from the scheme, or else the first quote, to the last
/// `@`. In an invalid URL nothing else shows where a password begins and ends.
pub(super) fn without_login(text: &str) -> Cow<'_, str> {
    let Some((before, host)) = text.rsplit_once('@') else { return Cow::Borrowed(text) };
    let scheme = before.find("://").map(|at| at + "://".len());
    let begin = scheme.or_else(|| before.find(['"', '`', '\'']).map(|at| at + 1)).unwrap_or(0);
    Cow::Owned(format!("{}***@{host}", &before[..begin]))
}

/// The path in the address of a socket. The clients also write it as a URL (`unix://`).
pub(super) fn socket_path(address: &str) -> Result<&Path, Fault> {
    let path = address.strip_prefix("//").unwrap_or(address);
    if !path.starts_with('/') && path.contains('@') {
        return Err(Fault::usage(format!(
            "\"unix:{}\" names no socket: a socket address has no login",
            without_login(path)
        ))
        .hint("write unix:/path/to/unix.socket"));
    }
    Ok(Path::new(path))
}
