//! Resolves the `REMOTE:` arguments to servers, by the client configuration of LXD and Incus and by their sockets.
//!
//! This module opens no connection and writes no file.

mod files;
mod keys;
pub mod login;
pub mod oidc;
pub mod proxy;
mod read;
mod sockets;

use std::borrow::Cow;
use std::fmt;
use std::path::{Path, PathBuf};

use self::files::{ClientConfig, Entry};
use self::login::Directories;
use self::proxy::Proxy;
use crate::report::exit::Fault;
use crate::report::suggest::nearest;
use crate::system::environment::Environment;
use log::info;
use tokio_tungstenite::tungstenite::http::Uri;

/// The two kinds of server. They share a protocol and little else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flavour {
    /// LXD, with the client `lxc`.
    Lxd,
    /// Incus, with the client `incus`.
    Incus,
}

impl Flavour {
    /// Both kinds, in the order in which they are searched for.
    pub const ALL: [Self; 2] = [Self::Lxd, Self::Incus];

    /// The name of the client's command.
    #[must_use]
    pub fn client(self) -> &'static str {
        match self {
            Self::Lxd => "lxc",
            Self::Incus => "incus",
        }
    }

    /// A variable that is set and implies this kind of server.
    fn set_variable(self, environment: &Environment) -> Option<&'static str> {
        let names: &[&str] = match self {
            Self::Lxd => &["LXD_SOCKET", "LXD_DIR", "LXD_CONF", "LXC_REMOTE"],
            Self::Incus => &["INCUS_SOCKET", "INCUS_DIR", "INCUS_CONF", "INCUS_REMOTE", "INCUS_PROJECT"],
        };
        names.iter().copied().find(|name| environment.is_set(name))
    }

    /// The environment variable that permits TLS 1.2.
    #[must_use]
    pub fn tls12_variable(self) -> &'static str {
        match self {
            Self::Lxd => "LXD_INSECURE_TLS",
            Self::Incus => "INCUS_INSECURE_TLS",
        }
    }

    /// The project that the environment selects.
    fn project(self, environment: &Environment) -> Result<Option<String>, Fault> {
        match self {
            Self::Lxd => Ok(None),
            Self::Incus => Ok(environment.text("INCUS_PROJECT")?.map(str::to_owned)),
        }
    }
}

impl fmt::Display for Flavour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Lxd => "LXD",
            Self::Incus => "Incus",
        })
    }
}

/// What the command line says about servers.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// The `REMOTE:` arguments as they were typed.
    pub words: &'a [String],
    /// `--lxd`, `--incus`
    pub flavour: Option<Flavour>,
    /// `--force-local`
    pub force_local: bool,
    /// Whether the command line selects projects, which overrides the projects of the remotes.
    pub names_projects: bool,
}

/// A server to follow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remote {
    /// Its name: the one in the configuration, or `unix:PATH`.
    pub name: String,
    /// The assumed kind of server.
    pub flavour: Flavour,
    /// Why that kind is assumed.
    pub why: String,
    /// Its address.
    pub address: Address,
    /// The project to follow if the command line selects none. `None` is the server's default project.
    pub project: Option<String>,
}

impl Remote {
    /// The name of the project to follow if the command line selects none.
    #[must_use]
    pub fn project(&self) -> &str {
        self.project.as_deref().unwrap_or("default")
    }

    /// The same remote at the address of another member of its cluster, which accepts the same login. A local socket
    /// has no other address.
    pub fn at(&self, url: &str, environment: &Environment) -> Result<Self, Fault> {
        let Address::Https(https) = &self.address else { return Ok(self.clone()) };
        let broken = || Fault::failed(format!("the address of the member, {:?}, is not a URL", without_login(url)));
        let uri: Uri = url.parse().map_err(|_| broken())?;
        let host = Host::of(&uri, 443).filter(|_| uri.scheme_str() == Some("https")).ok_or_else(broken)?;
        let (url, proxy) = (url.to_owned(), Proxy::find(environment, &host)?);
        let prefix = uri.path().trim_end_matches('/').to_owned();
        let https = Https { url, host, prefix, proxy, ..Https::clone(https) };
        Ok(Self { address: Address::Https(Box::new(https)), ..self.clone() })
    }
}

/// The address of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// A local socket.
    Unix(PathBuf),
    /// An HTTPS server.
    Https(Box<Https>),
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
    fn of(uri: &Uri, default_port: u16) -> Option<Self> {
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

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => path.display().fmt(f),
            Self::Https(https) => f.write_str(&https.url),
        }
    }
}

/// The prefix of an argument or address that is the path of a socket.
const UNIX: &str = "unix:";

/// Finds the servers that the arguments mean.
///
/// # Errors
/// An argument is not a remote, or the configuration is invalid: a [`Fault`] with a hint.
pub fn resolve(wanted: &Wanted<'_>, environment: &Environment) -> anyhow::Result<Vec<Remote>> {
    if wanted.force_local {
        let choice = Choice::new(None, wanted.flavour, environment)?;
        return Ok(vec![choice.local(environment, "local")?]);
    }
    if wanted.words.is_empty() {
        let choice = Choice::new(None, wanted.flavour, environment)?;
        let name = choice.default_remote(environment)?;
        return Ok(vec![choice.remote(environment, &name)?]);
    }
    let mut remotes: Vec<Remote> = Vec::new();
    for word in wanted.words {
        let remote = if let Some(path) = word.strip_prefix(UNIX) {
            unix(word, path, wanted.flavour, environment)?
        } else {
            let name = name_of(word)?;
            Choice::new(Some(name), wanted.flavour, environment)?.remote(environment, name)?
        };
        // The requests would be equal, so every event would arrive twice.
        let is_same = |known: &&Remote| {
            known.address == remote.address && (wanted.names_projects || known.project() == remote.project())
        };
        match remotes.iter().find(is_same) {
            Some(known) if known.name == remote.name => {}
            Some(known) => {
                info!("{}: followed as {}, which has the same address and project", remote.name, known.name);
            }
            None => remotes.push(remote),
        }
    }
    Ok(remotes)
}

/// The names of all remotes of both clients that can be followed. Configurations that cannot be read are skipped.
#[must_use]
pub fn names(environment: &Environment) -> Vec<String> {
    let configs = Flavour::ALL.into_iter().filter_map(|flavour| ClientConfig::read(flavour, environment).ok());
    let mut names: Vec<_> = configs.flat_map(|config| config.names()).collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// The name in `NAME:`.
fn name_of(word: &str) -> Result<&str, Fault> {
    let shown = without_login(word);
    match word.split_once(':') {
        Some(("", _)) => Err(Fault::usage(format!("{shown:?} names no remote")).hint("write NAME: or unix:PATH")),
        Some((name, "")) => Ok(name),
        Some((_, rest)) if rest.starts_with("//") || word.contains('@') => {
            Err(Fault::usage(format!("{shown:?} is an address, not a remote"))
                .hint("`lxc remote add NAME ADDRESS` gives it a name; then write NAME:"))
        }
        Some((name, rest)) => Err(Fault::usage(format!("{word:?} is not a remote: nothing may follow the colon"))
            .hint(format!("`lxmon {name}: -i {rest}` follows one instance"))),
        None => Err(Fault::usage(format!("{shown:?} is not a remote: its name ends with a colon"))
            .hint(format!("did you mean `lxmon {shown}:`?"))),
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
fn socket_path(address: &str) -> Result<&Path, Fault> {
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

fn unix(word: &str, path: &str, flavour: Option<Flavour>, environment: &Environment) -> Result<Remote, Fault> {
    let path = socket_path(path)?;
    if path.as_os_str().is_empty() {
        return Err(Fault::usage("unix: without a path").hint("write unix:/path/to/unix.socket"));
    }
    let names_incus = path.components().any(|part| part.as_os_str() == "incus");
    let (flavour, why) = match flavour {
        Some(flavour) => (flavour, "asked for".to_owned()),
        None if names_incus => (Flavour::Incus, "its path names Incus".to_owned()),
        None => (Flavour::Lxd, "its path does not name Incus".to_owned()),
    };
    let project = flavour.project(environment)?;
    Ok(Remote { name: word.to_owned(), flavour, why, address: Address::Unix(path.to_owned()), project })
}

/// The chosen kind of server, the reason for the choice, and the client configuration of that kind.
struct Choice {
    flavour: Flavour,
    why: String,
    config: ClientConfig,
}

impl Choice {
    /// Chooses the requested kind; else the only one whose environment variables are set; else the one whose
    /// configuration contains the remote; else the one whose socket can be opened, or else exists. LXD comes first.
    fn new(name: Option<&str>, asked: Option<Flavour>, environment: &Environment) -> Result<Self, Fault> {
        let choose =
            |flavour, why: String| Ok(Self { flavour, why, config: ClientConfig::read(flavour, environment)? });
        if let Some(flavour) = asked {
            return choose(flavour, "asked for".into());
        }
        let knows = |flavour| -> Result<Option<ClientConfig>, Fault> {
            let Some(name) = name.filter(|name| *name != LOCAL) else { return Ok(None) };
            let config = ClientConfig::read(flavour, environment)?;
            Ok(config.remote(name).is_some().then_some(config))
        };
        let set = Flavour::ALL.into_iter().filter_map(|flavour| Some((flavour, flavour.set_variable(environment)?)));
        // If variables of both kinds are set, or only the other client's configuration contains the remote, the
        // variables do not decide.
        if let [(flavour, variable)] = set.collect::<Vec<_>>()[..] {
            let other = if flavour == Flavour::Lxd { Flavour::Incus } else { Flavour::Lxd };
            if knows(flavour)?.is_some() || knows(other)?.is_none() {
                return choose(flavour, format!("{variable} is set"));
            }
        }
        for flavour in Flavour::ALL {
            if let Some(config) = knows(flavour)? {
                return Ok(Self { flavour, why: "its client configuration knows the remote".into(), config });
            }
        }
        for flavour in Flavour::ALL {
            if let Some(path) = sockets::usable(flavour, environment) {
                return choose(flavour, format!("its socket {} can be opened", path.display()));
            }
        }
        for flavour in Flavour::ALL {
            if let Some(path) = sockets::existing(flavour, environment) {
                return choose(flavour, format!("its socket {} exists", path.display()));
            }
        }
        choose(Flavour::Lxd, "there is no sign of Incus".into())
    }

    fn default_remote(&self, environment: &Environment) -> Result<String, Fault> {
        let variable = match self.flavour {
            Flavour::Lxd => "LXC_REMOTE",
            Flavour::Incus => "INCUS_REMOTE",
        };
        let named = environment.text(variable)?.map(|name| name.trim_end_matches(':').to_owned());
        Ok(named.or_else(|| self.config.default_remote.clone()).unwrap_or_else(|| LOCAL.to_owned()))
    }

    fn remote(&self, environment: &Environment, name: &str) -> Result<Remote, Fault> {
        let Some(entry) = self.config.remote(name) else {
            return if name == LOCAL { self.local(environment, name) } else { Err(self.unknown(name)) };
        };
        let addr = entry.addr.as_deref().unwrap_or_default();
        if entry.protocol.as_deref() == Some("simplestreams") {
            return Err(Fault::usage(format!("{name}: an image server (simplestreams); it has no events")));
        }
        if entry.public {
            return Err(Fault::usage(format!("{name}: a public image server; its events are not public")));
        }
        if let Some(path) = addr.strip_prefix(UNIX) {
            let path = socket_path(path).map_err(|_| {
                Fault::usage(format!("{name}: its address {:?} names no socket", without_login(addr)))
                    .hint(format!("correct it in {}", self.config.file.display()))
            })?;
            if path.as_os_str().is_empty() || name == LOCAL {
                return self.local(environment, name);
            }
            return self.make(environment, name, Address::Unix(path.to_owned()), Some(entry));
        }
        if addr.starts_with("https://") {
            let https = self.https(environment, name, addr, entry)?;
            return self.make(environment, name, Address::Https(Box::new(https)), Some(entry));
        }
        let addr = without_login(addr);
        Err(Fault::usage(format!("{name}: its address {addr:?} is neither https:// nor unix://")).hint(format!(
            "correct it in {}, or with `{} remote set-url`",
            self.config.file.display(),
            self.client()
        )))
    }

    fn local(&self, environment: &Environment, name: &str) -> Result<Remote, Fault> {
        let path = sockets::find(self.flavour, environment)?;
        self.make(environment, name, Address::Unix(path), self.config.remote(name))
    }

    fn make(
        &self,
        environment: &Environment,
        name: &str,
        address: Address,
        entry: Option<&Entry>,
    ) -> Result<Remote, Fault> {
        let project =
            self.flavour.project(environment)?.or_else(|| entry?.project.clone().filter(|project| !project.is_empty()));
        Ok(Remote { name: name.to_owned(), flavour: self.flavour, why: self.why.clone(), address, project })
    }

    fn https(&self, environment: &Environment, name: &str, addr: &str, entry: &Entry) -> Result<Https, Fault> {
        let broken = || {
            Fault::usage(format!("{name}: its address {:?} is not a URL", without_login(addr)))
                .hint(format!("correct it: {} remote set-url {name} https://HOST:8443", self.client()))
        };
        let uri: Uri = addr.parse().map_err(|_| broken())?;
        let host = Host::of(&uri, 443).ok_or_else(broken)?;
        let authority = uri.authority().map_or("", |authority| authority.as_str());
        // User and password are ignored: the servers do not support such a login, and the clients do not send it.
        let (login, authority) = authority.rsplit_once('@').unwrap_or(("", authority));
        let rest = addr.strip_prefix("https://").and_then(|rest| rest.strip_prefix(login)).ok_or_else(broken)?;
        let url = format!("https://{}", rest.trim_start_matches('@'));
        // A password can contain a character that ends the host in a URL.
        if url.contains('@') || !url["https://".len()..].starts_with(authority) {
            return Err(broken());
        }
        if !login.is_empty() {
            info!("{name}: user and password in its address are not used");
        }
        Ok(Https {
            url,
            proxy: Proxy::find(environment, &host)?,
            host,
            prefix: uri.path().trim_end_matches('/').to_owned(),
            auth_type: entry.auth_type.clone(),
            directories: Directories { is_system_wide: entry.is_system_wide, ..self.config.directories.clone() },
            allow_tls12: environment.is_on(self.flavour.tls12_variable()),
        })
    }

    fn client(&self) -> &'static str {
        self.flavour.client()
    }

    fn unknown(&self, name: &str) -> Fault {
        let names = self.config.names();
        let fault = Fault::usage(format!("there is no {} remote {:?}", self.flavour, without_login(name)));
        match &nearest(name, names.iter().map(String::as_str))[..] {
            [] => fault.hint(format!("`{} remote list` shows what {} has", self.client(), self.config.file.display())),
            near => fault.hint(format!(
                "did you mean {}?",
                near.iter().map(|name| format!("{name}:")).collect::<Vec<_>>().join(", ")
            )),
        }
    }
}

/// The remote that exists without configuration: the server on this machine.
const LOCAL: &str = "local";
