//! Chooses the kind of server, and makes a [`Remote`] from an entry of that kind's client configuration.

use std::path::PathBuf;

use log::{debug, info, warn};
use tokio_tungstenite::tungstenite::http::Uri;

use super::address::{Address, Host, Https, socket_path, without_login};
use super::files::{ClientConfig, Entry};
use super::proxy::Proxy;
use super::sockets::{self, State};
use super::{Flavour, LOCAL, Remote, UNIX, project};
use crate::report::exit::Fault;
use crate::report::suggest::nearest;
use crate::system::environment::Environment;

/// The chosen kind of server, the reason for the choice, and the client configuration of that kind.
pub(super) struct Choice {
    flavour: Flavour,
    why: String,
    /// Whether the command line asks for that kind.
    is_asked: bool,
    config: ClientConfig,
}

/// A socket of a server on this machine.
struct Local {
    flavour: Flavour,
    why: String,
    path: PathBuf,
}

impl Choice {
    /// Chooses the requested kind; else the only one whose environment variables are set; else the one whose
    /// configuration contains the remote; else the one whose socket answers, LXD first; else the one that has a
    /// configuration; else the one that has a socket, even if it is not for us or no server has it open.
    pub(super) fn new(name: Option<&str>, asked: Option<Flavour>, environment: &Environment) -> Result<Self, Fault> {
        let choose = |(flavour, why)| {
            Ok(Self { flavour, why, is_asked: asked.is_some(), config: ClientConfig::read(flavour, environment)? })
        };
        if let Some(flavour) = asked {
            return choose((flavour, "asked for".into()));
        }
        let knows = |flavour| -> Result<bool, Fault> {
            let Some(name) = name.filter(|name| *name != LOCAL) else { return Ok(false) };
            Ok(ClientConfig::read(flavour, environment)?.remote(name).is_some())
        };
        // If variables of both kinds are set, or only the other client's configuration contains the remote, the
        // variables do not decide.
        if let Some((flavour, why)) = by_variables(environment)
            && (knows(flavour)? || !knows(flavour.other())?)
        {
            return choose((flavour, why));
        }
        for flavour in Flavour::ALL {
            if knows(flavour)? {
                return choose((flavour, "its client configuration knows the remote".into()));
            }
        }
        choose(by_sockets(environment))
    }

    /// As [`Choice::new`], but reads no client configuration: for the server on this machine.
    pub(super) fn without_configuration(asked: Option<Flavour>, environment: &Environment) -> Result<Self, Fault> {
        let asked_for = asked.map(|flavour| (flavour, "asked for".to_owned()));
        let (flavour, why) = asked_for.or_else(|| by_variables(environment)).unwrap_or_else(|| by_sockets(environment));
        Ok(Self { flavour, why, is_asked: asked.is_some(), config: ClientConfig::empty(flavour, environment)? })
    }

    /// The name of the remote to follow if none is named.
    pub(super) fn default_remote(&self, environment: &Environment) -> Result<String, Fault> {
        let variable = match self.flavour {
            Flavour::Lxd => "LXC_REMOTE",
            Flavour::Incus => "INCUS_REMOTE",
        };
        let named = environment.text(variable)?.map(|name| name.trim_end_matches(':').to_owned());
        let (name, why) = match (named, &self.config.default_remote) {
            (Some(name), _) => (name, format!("{variable} is set")),
            (None, Some(name)) => (name.clone(), format!("it is the default in {}", self.config.file.display())),
            (None, None) => (LOCAL.to_owned(), "nothing names another one".to_owned()),
        };
        debug!("no remote is named, so it is {} ({why})", without_login(&name));
        Ok(name)
    }

    /// The remote with this name.
    pub(super) fn remote(&self, environment: &Environment, name: &str) -> Result<Remote, Fault> {
        // Its address is fixed in the clients, whatever the file says.
        if name == LOCAL {
            return self.local(environment, name);
        }
        if self.config.is_fixed_image_server(name) {
            let client = self.client();
            return Err(Fault::usage(format!("{name}: an image server (simplestreams); it has no events"))
                .hint(format!("{client} has this remote built in; `{client} remote list` shows the others")));
        }
        let Some(entry) = self.config.remote(name) else { return Err(self.unknown(environment, name)) };
        match entry.protocol.as_deref() {
            Some("simplestreams") => {
                return Err(Fault::usage(format!("{name}: an image server (simplestreams); it has no events")));
            }
            Some("oci") => return Err(Fault::usage(format!("{name}: an image registry (oci); it has no events"))),
            _ if entry.public => {
                return Err(Fault::usage(format!("{name}: a public image server; its events are not public")));
            }
            _ => {}
        }
        let written = entry.addresses(self.flavour);
        // The client's local server, under another name.
        if matches!(written[..], ["unix:" | "unix://"]) {
            return self.local(environment, name);
        }
        let mut addresses =
            written.iter().map(|addr| self.address(environment, name, addr, entry)).collect::<Result<Vec<_>, _>>()?;
        let is_socket = |address: &Address| matches!(address, Address::Unix(_));
        if addresses.iter().any(is_socket) && !addresses.iter().all(is_socket) {
            return Err(Fault::usage(format!("{name}: its addresses are of both kinds, https:// and unix://"))
                .hint(self.correct_it()));
        }
        if addresses.is_empty() {
            return Err(Fault::usage(format!("{name}: it has no address")).hint(self.correct_it()));
        }
        let address = addresses.remove(0);
        self.make(environment, name, address, addresses)
    }

    /// The server on this machine.
    pub(super) fn local(&self, environment: &Environment, name: &str) -> Result<Remote, Fault> {
        let Local { flavour, why, path } = self.local_socket(environment)?;
        let remote = self.make(environment, name, Address::Unix(path), Vec::new())?;
        Ok(Remote { flavour, why, ..remote })
    }

    fn local_socket(&self, environment: &Environment) -> Result<Local, Fault> {
        let flavour = self.flavour;
        if let Some((path, _)) = sockets::best(flavour, environment) {
            return Ok(Local { flavour, why: self.why.clone(), path });
        }
        let guest =
            (!sockets::is_fixed(flavour, environment)).then(|| sockets::guest(self.is_asked.then_some(flavour)));
        let Some((flavour, path)) = guest.flatten() else { return Err(sockets::none(flavour, environment)) };
        Ok(Local { flavour, why: "no server is here, and this is a guest of one".into(), path })
    }

    fn address(&self, environment: &Environment, name: &str, addr: &str, entry: &Entry) -> Result<Address, Fault> {
        if let Some(path) = addr.strip_prefix(UNIX) {
            let path = socket_path(path).map_err(|_| {
                Fault::usage(format!("{name}: its address {:?} names no socket", without_login(addr)))
                    .hint(format!("correct it in {}", self.config.file.display()))
            })?;
            let is_default = path.as_os_str().is_empty();
            let path = if is_default { self.local_socket(environment)?.path } else { path.to_owned() };
            return Ok(Address::Unix(path));
        }
        if addr.starts_with("https://") {
            return Ok(Address::Https(Box::new(self.https(environment, name, addr, entry)?)));
        }
        let addr = without_login(addr);
        Err(Fault::usage(format!("{name}: its address {addr:?} is neither https:// nor unix://"))
            .hint(self.correct_it()))
    }

    fn correct_it(&self) -> String {
        format!("correct it in {}, or with `{} remote set-url`", self.config.file.display(), self.client())
    }

    fn make(
        &self,
        environment: &Environment,
        name: &str,
        address: Address,
        further: Vec<Address>,
    ) -> Result<Remote, Fault> {
        let configured = self.config.remote(name).and_then(|entry| entry.project.as_deref());
        let project = project(self.flavour, address.socket(), configured, environment)?;
        Ok(Remote { name: name.to_owned(), flavour: self.flavour, why: self.why.clone(), address, further, project })
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
            directories: self.config.directories(name),
            allow_tls12: environment.is_on(self.flavour.tls12_variable()),
        })
    }

    fn client(&self) -> &'static str {
        self.flavour.client()
    }

    fn unknown(&self, environment: &Environment, name: &str) -> Fault {
        let (flavour, client) = (self.flavour, self.client());
        let fault = Fault::usage(format!("there is no {flavour} remote {:?}", without_login(name)));
        let (other, knows) = (flavour.other(), |config: ClientConfig| config.remote(name).is_some());
        if ClientConfig::read(other, environment).is_ok_and(knows) {
            return fault.hint(format!("{other} has it: lxmon {} {name}:", other.option()));
        }
        if let Some(directory) = self.config.other_place_of(environment, name) {
            let (variable, directory) = (flavour.directory_variable(), directory.display());
            return fault.hint(format!(
                "it is in {directory}/config.yml, which is not used: {variable}={directory} lxmon {name}:"
            ));
        }
        let names = self.config.names();
        match &nearest(name, names.iter().map(String::as_str))[..] {
            [] => fault.hint(format!("`{client} remote list` shows what {} has", self.config.file.display())),
            near => fault.hint(format!(
                "did you mean {}?",
                near.iter().map(|name| format!("{name}:")).collect::<Vec<_>>().join(", ")
            )),
        }
    }
}

/// The only kind of server whose environment variables are set.
fn by_variables(environment: &Environment) -> Option<(Flavour, String)> {
    let set = Flavour::ALL.into_iter().filter_map(|flavour| Some((flavour, flavour.set_variable(environment)?)));
    match set.collect::<Vec<_>>()[..] {
        [(flavour, variable)] => Some((flavour, format!("{variable} is set"))),
        _ => None,
    }
}

/// Chooses by what is on this machine.
fn by_sockets(environment: &Environment) -> (Flavour, String) {
    let lxd = sockets::best(Flavour::Lxd, environment);
    if let Some((path, State::Answers)) = &lxd {
        let path = path.display();
        if let Some(other) = sockets::listens(Flavour::Incus, environment) {
            warn!("LXD ({path}) and Incus ({}) are both here; this is LXD, --incus follows the other", other.display());
        }
        return (Flavour::Lxd, format!("its socket {path} answers"));
    }
    let incus = sockets::best(Flavour::Incus, environment);
    if let Some((path, State::Answers)) = &incus {
        let path = path.display();
        if let Some((stale, State::Stale)) = &lxd {
            warn!("nothing listens at LXD's socket {}; this is Incus ({path})", stale.display());
        }
        return (Flavour::Incus, format!("its socket {path} answers"));
    }
    let rate = |flavour, best: Option<(PathBuf, State)>| {
        let has_configuration = ClientConfig::exists(flavour, environment);
        let (path, state) = best.unwrap_or((PathBuf::new(), State::Missing));
        (has_configuration, state, flavour, path)
    };
    // Of two maxima the last one counts, which is LXD.
    let rated = [rate(Flavour::Incus, incus), rate(Flavour::Lxd, lxd)];
    let best = rated.into_iter().max_by_key(|(has_configuration, state, ..)| (*has_configuration, *state));
    match best {
        Some((true, _, flavour, _)) => (flavour, "it has a client configuration, and no server answers here".into()),
        Some((false, State::Denied | State::Stale, flavour, path)) => {
            (flavour, format!("its socket {} exists", path.display()))
        }
        _ => (Flavour::Lxd, "there is no sign of Incus".into()),
    }
}
