//! Resolves the `REMOTE:` arguments to servers, by the client configuration of LXD and Incus and by their sockets.
//!
//! This module writes no file, and connects only to local sockets, to find out whether they answer.

mod address;
mod choice;
mod files;
mod keys;
pub mod login;
pub mod oidc;
pub mod proxy;
mod read;
pub mod secret;
pub mod sockets;

use std::fmt;

use log::info;
use tokio_tungstenite::tungstenite::http::Uri;

pub use self::address::{Address, Directories, Host, Https};
use self::address::{socket_path, without_login};
use self::choice::Choice;
use self::files::ClientConfig;
use self::proxy::Proxy;
use self::sockets::Socket;
use crate::report::exit::Fault;
use crate::system::environment::Environment;

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

    /// The other kind.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::Lxd => Self::Incus,
            Self::Incus => Self::Lxd,
        }
    }

    /// The option that asks for this kind.
    #[must_use]
    pub fn option(self) -> &'static str {
        match self {
            Self::Lxd => "--lxd",
            Self::Incus => "--incus",
        }
    }

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
    /// The address to try first.
    pub address: Address,
    /// Its other addresses, in the order in which they are tried. All are of the same kind as `address`.
    pub further: Vec<Address>,
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
        Ok(Self { address: Address::Https(Box::new(https)), further: Vec::new(), ..self.clone() })
    }

    /// The same remote with one of its addresses only, by its number in [`Remote::addresses`].
    #[must_use]
    pub fn only(&self, number: usize) -> Self {
        let address = self.addresses().nth(number).unwrap_or(&self.address).clone();
        Self { address, further: Vec::new(), ..self.clone() }
    }

    /// All addresses, in the order in which they are tried.
    pub fn addresses(&self) -> impl Iterator<Item = &Address> {
        std::iter::once(&self.address).chain(&self.further)
    }

    /// All addresses as text.
    #[must_use]
    pub fn shown_addresses(&self) -> String {
        self.addresses().map(ToString::to_string).collect::<Vec<_>>().join(" or ")
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
        return Ok(vec![Choice::without_configuration(wanted.flavour, environment)?.local(environment, LOCAL)?]);
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
            known.addresses().any(|address| remote.addresses().any(|other| other == address))
                && (wanted.names_projects || known.project() == remote.project())
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

/// The names of all remotes of one client, or both, that can be followed. Configurations that cannot be read are skipped.
#[must_use]
pub fn names(flavour: Option<Flavour>, environment: &Environment) -> Vec<String> {
    let flavours = Flavour::ALL.into_iter().filter(|one| flavour.is_none_or(|wanted| wanted == *one));
    let configs = flavours.filter_map(|flavour| ClientConfig::read(flavour, environment).ok());
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
        Some((host, rest)) if rest.starts_with("//") || word.contains('@') || is_host_and_port(host, rest) => {
            Err(Fault::usage(format!("{shown:?} is an address, not a remote"))
                .hint("`lxc remote add NAME ADDRESS` gives it a name; then write NAME:"))
        }
        Some((name, rest)) => Err(Fault::usage(format!("{word:?} is not a remote: nothing may follow the colon"))
            .hint(format!("`lxmon {name}: -i {rest}` follows one instance"))),
        None => Err(Fault::usage(format!("{shown:?} is not a remote: its name ends with a colon"))
            .hint(format!("did you mean `lxmon {shown}:`?"))),
    }
}

/// Whether `host:rest` is an address rather than a remote and an instance.
fn is_host_and_port(host: &str, rest: &str) -> bool {
    let is_port = rest.bytes().all(|byte| byte.is_ascii_digit());
    host.starts_with('[') || is_port && (host.contains('.') || host == "localhost")
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
    let project = project(flavour, Some(Socket::of(path)), None, environment)?;
    let address = Address::Unix(path.to_owned());
    Ok(Remote { name: word.to_owned(), flavour, why, address, further: Vec::new(), project })
}

/// The project of a remote: the environment's, else `configured`, else the socket's. A guest's socket has none.
fn project(
    flavour: Flavour,
    socket: Option<Socket>,
    configured: Option<&str>,
    environment: &Environment,
) -> Result<Option<String>, Fault> {
    if socket == Some(Socket::Guest) {
        return Ok(None);
    }
    let named = match flavour {
        Flavour::Lxd => None,
        Flavour::Incus => environment.text("INCUS_PROJECT")?,
    };
    let named = named.or(configured.filter(|project| !project.is_empty())).map(str::to_owned);
    // The daemons for ordinary users create this project on a user's first request.
    let own = || (socket == Some(Socket::Users)).then(|| format!("user-{}", rustix::process::geteuid().as_raw()));
    Ok(named.or_else(own))
}

/// The remote that exists without configuration: the server on this machine.
const LOCAL: &str = "local";
