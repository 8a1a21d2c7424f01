//! Why a server refuses a request, and what mends it.

use crate::event::Type;
use crate::remote::sockets::Socket;
use crate::remote::{Address, Flavour, Https, Remote, oidc};
use crate::report::exit::Fault;
use crate::source::server::http::Refusal;
use crate::source::server::request::{Projects, Request};

/// The types that only those may see who may see the whole server (LXD `lxd/events.go`, Incus `cmd/incusd/events.go`).
const PRIVILEGED: [&str; 3] = ["logging", "ovn", "security"];

/// The request that was refused.
#[derive(Clone, Copy, Debug)]
pub(in crate::source::server) struct Refused<'a> {
    /// Who was asked.
    pub(in crate::source::server) remote: &'a Remote,
    /// For what.
    pub(in crate::source::server) request: &'a Request,
    /// How we logged in, as text for the user.
    pub(in crate::source::server) login: &'a str,
    /// Whether the request is repeated anyway.
    pub(in crate::source::server) is_retried: bool,
}

/// Why a server refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cause {
    /// It does not know an event type.
    UnknownType,
    /// There is no such project.
    NoProject,
    /// The bearer token is not valid.
    Token,
    /// There is no valid OIDC login.
    Oidc,
    /// It wants clients of another kind.
    Client,
    /// The host has turned the socket in its guest off.
    Guest,
    /// Only root may use the socket in a guest (LXD `lxd/devlxd.go`).
    GuestUser,
    /// The login does not permit an event type.
    Type,
    /// The login does not permit the projects.
    Project,
    /// It does not know us, or does not permit anything.
    Stranger,
    /// It is starting.
    NotReady,
    /// Something else.
    Other,
}

impl Refused<'_> {
    /// Adds a hint to a refusal, and an explanation to a TLS error.
    pub(in crate::source::server) fn explain(&self, error: anyhow::Error) -> anyhow::Error {
        let Some(refusal) = error.downcast_ref::<Refusal>() else { return super::in_words(error, self.remote) };
        let cause = self.cause(refusal);
        // LXD 5.0 refuses everything but strangers with status 500.
        let (is_denied, is_permanent) = match cause {
            Cause::Token
            | Cause::Oidc
            | Cause::Guest
            | Cause::GuestUser
            | Cause::Type
            | Cause::Project
            | Cause::Stranger => (true, true),
            Cause::UnknownType | Cause::NoProject | Cause::Client => (false, true),
            Cause::NotReady | Cause::Other => (false, refusal.is_permanent()),
        };
        let what = if is_denied { format!("{refusal} (tried: {})", self.login) } else { refusal.to_string() };
        let mut fault = Fault::failed(what);
        if let Some(hint) = self.hint(cause) {
            fault = fault.hint(hint);
        }
        if is_permanent {
            fault = fault.permanent();
        }
        if cause == Cause::Oidc {
            fault = fault.renewable();
        }
        fault.into()
    }

    fn https(&self) -> Option<&Https> {
        match &self.remote.address {
            Address::Https(https) => Some(https),
            Address::Unix(_) => None,
        }
    }

    fn cause(&self, refusal: &Refusal) -> Cause {
        let Refusal { status, text, is_servers, names_oidc, .. } = refusal;
        let text = text.to_ascii_lowercase();
        let says = |words: &[&str]| words.iter().any(|words| text.contains(words));
        let is_denied = matches!(status, 401 | 403) || text == "forbidden" || text == "not authorized";
        let is_oidc = self.https().is_some_and(Https::is_oidc);
        let is_guests = self.remote.address.socket() == Some(Socket::Guest);
        let asks_for_privileged = self.request.types.iter().any(|name| PRIVILEGED.contains(&&**name));
        match status {
            _ if !is_servers => Cause::Other,
            _ if says(&["event type"]) => Cause::UnknownType,
            _ if says(&["project"]) && says(&["not found"]) => Cause::NoProject,
            _ if says(&["verifying bearer token"]) => Cause::Token,
            _ if says(&["user agent", "update your client"]) => Cause::Client,
            // LXD answers 403 to a session cookie that it cannot verify.
            401 if is_oidc => Cause::Oidc,
            403 if is_oidc && (*names_oidc || says(&["failed oidc authentication"])) => Cause::Oidc,
            _ if is_guests && is_denied && says(&["non-root"]) => Cause::GuestUser,
            _ if is_guests && is_denied => Cause::Guest,
            _ if text == "forbidden" && asks_for_privileged => Cause::Type,
            // Both servers' certificates that are restricted to projects, OpenFGA and the scriptlet of Incus.
            _ if says(&["certificate is restricted", "not have permission", "not have entitlement"]) => Cause::Project,
            403 if says(&["permission denied"]) || (is_oidc && !names_oidc) => Cause::Project,
            _ if is_denied => Cause::Stranger,
            503 => Cause::NotReady,
            _ => Cause::Other,
        }
    }

    fn hint(&self, cause: Cause) -> Option<String> {
        let Remote { name, flavour, .. } = self.remote;
        let client = flavour.client();
        // The clients know a socket by its path from their environment, not from an argument.
        let at = if self.https().is_some() { format!(" {name}:") } else { String::new() };
        Some(match cause {
            Cause::UnknownType => {
                // No server sends states.
                let known = Type::KNOWN.into_iter().filter(|kind| *kind != Type::State);
                let known: Vec<_> = known.map(Type::name).collect();
                format!("known types: {}; not every server has all of them", known.join(", "))
            }
            Cause::NoProject => format!("`{client} project list{at}` shows the projects"),
            Cause::Token => {
                "the token has expired, was revoked, or is for another server; a new one: lxc auth identity \
                             token issue bearer/NAME"
                    .to_owned()
            }
            Cause::Oidc => oidc::renewal(*flavour, name),
            Cause::Client => "update lxmon, or log in with a client certificate".to_owned(),
            Cause::Guest => match flavour {
                Flavour::Lxd => "the host has turned this socket off; there: lxc config set INSTANCE security.devlxd \
                                 true (Incus: security.guestapi)"
                    .to_owned(),
                Flavour::Incus => {
                    "the host has turned this socket off; there: incus config set INSTANCE security.guestapi true"
                        .to_owned()
                }
            },
            Cause::GuestUser => "only root may use this socket: run lxmon as root in the guest".to_owned(),
            Cause::Type => {
                let types: Vec<_> = self
                    .request
                    .types
                    .iter()
                    .filter(|name| PRIVILEGED.contains(&&***name))
                    .map(String::as_str)
                    .collect();
                format!(
                    "events of the type {} are for those who may see the whole server; `-t lifecycle,operation` asks \
                     for the others",
                    types.join(" and ")
                )
            }
            Cause::Project => {
                let what = match self.request.projects {
                    Projects::All => "all projects",
                    Projects::Default | Projects::One(_) => "this project",
                };
                format!(
                    "this login may not see {what}; `{client} project list{at}` shows those that it may, `--project \
                     NAME` follows one"
                )
            }
            Cause::Stranger => match self.https() {
                Some(_) if self.login.starts_with("token from ") => {
                    "does this server know the token? Without LXD_AUTH_BEARER_TOKEN the client certificate logs in"
                        .to_owned()
                }
                Some(https) => format!("have the server trust this client: {}", super::add_again(self.remote, https)),
                None => "log in as someone who may see these events, or ask for others".to_owned(),
            },
            Cause::NotReady if !self.is_retried => "`--retry` keeps trying until the server is ready".to_owned(),
            Cause::NotReady | Cause::Other => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::remote::{Directories, Host};

    /// How the server is reached and asked.
    #[derive(Clone, Copy, Debug)]
    enum By {
        Certificate,
        Token,
        Oidc,
        Socket,
        Guest,
    }

    fn refusal(answer: &str) -> Refusal {
        let (status, text) = answer.split_once(' ').unwrap();
        let (names_oidc, text) = text.strip_suffix(" +oidc").map_or((false, text), |text| (true, text));
        Refusal {
            status: status.parse().unwrap(),
            reason: "Reason".into(),
            text: text.into(),
            is_servers: true,
            names_oidc,
        }
    }

    fn explained(flavour: Flavour, by: By, request: &Request, is_retried: bool, answer: &str) -> anyhow::Error {
        let auth_type = matches!(by, By::Oidc).then(|| "oidc".to_owned());
        let https = Https {
            url: "https://host:8443".into(),
            host: Host { name: "host".into(), port: 8443 },
            prefix: String::new(),
            auth_type,
            directories: Directories::default(),
            proxy: None,
            allow_tls12: false,
        };
        let (address, login) = match by {
            By::Certificate => (Address::Https(Box::new(https)), "client certificate 0123456789ab"),
            By::Token => (Address::Https(Box::new(https)), "token from $LXD_AUTH_BEARER_TOKEN"),
            By::Oidc => (Address::Https(Box::new(https)), "login from n1.json"),
            By::Socket => (Address::Unix("/var/lib/lxd/unix.socket".into()), "the socket's permissions"),
            By::Guest => {
                let name = if flavour == Flavour::Lxd { "lxd" } else { "incus" };
                (Address::Unix(format!("/dev/{name}/sock").into()), "the socket's permissions")
            }
        };
        let (name, why) = ("n1".into(), String::new());
        let remote = Remote { name, flavour, why, address, further: Vec::new(), project: None };
        let refused = Refused { remote: &remote, request, login, is_retried };
        refused.explain(refusal(answer).into())
    }

    #[test]
    fn every_refusal_has_its_hint() {
        use Flavour::{Incus, Lxd};
        const TRUST: &str = "have the server trust this client: ";
        const TYPES: &str = "known types: logging, ";
        const PROJECT: &str = "this login may not see this project; ";
        let again = |client: &str| format!("log in again: {client} list n1:");
        let (lxc, incus) = (again("lxc"), again("incus"));
        let logging = "events of the type logging are for those who may see the whole server; ";
        // The server, the login, the types that are asked for, the answer, the hint, whether a repetition is in vain.
        for (flavour, by, types, answer, hint, is_permanent) in [
            // An unknown type: LXD, Incus and LXD to 6.5, LXD 5.0.
            (Lxd, By::Certificate, "x", "400 \"x\" is not a supported event type", TYPES, true),
            (Incus, By::Socket, "x", "400 \"x\" isn't a supported event type", TYPES, true),
            (Lxd, By::Certificate, "x", "500 \"x\" isn't a supported event type", TYPES, true),
            // A type that is not permitted: LXD and Incus, LXD 5.0.
            (Lxd, By::Certificate, "logging", "403 Forbidden", logging, true),
            (Incus, By::Certificate, "lifecycle,logging", "403 Forbidden", logging, true),
            (Incus, By::Socket, "logging", "403 Forbidden", logging, true),
            (Lxd, By::Oidc, "logging", "403 Forbidden", logging, true),
            (Lxd, By::Certificate, "logging", "500 Forbidden", logging, true),
            (Lxd, By::Certificate, "ovn,security", "403 Forbidden", "events of the type ovn and security are ", true),
            // No such project.
            (Lxd, By::Certificate, "", "404 Project not found", "`lxc project list n1:` shows ", true),
            (Incus, By::Socket, "", "404 Project not found", "`incus project list` shows ", true),
            (Lxd, By::Certificate, "", "500 Project not found", "`lxc project list n1:` shows ", true),
            // A project that is not permitted: certificates, OpenFGA, a scriptlet.
            (Incus, By::Certificate, "", "403 User does not have permission for project \"x\"", PROJECT, true),
            (Lxd, By::Certificate, "logging", "403 Certificate is restricted", PROJECT, true),
            (Lxd, By::Certificate, "", "500 Certificate is restricted", PROJECT, true),
            (
                Incus,
                By::Oidc,
                "",
                "403 User does not have entitlement \"can_view_events\" on object \"project:x\"",
                PROJECT,
                true,
            ),
            (Incus, By::Certificate, "", "403 Permission denied", PROJECT, true),
            // Not trusted: LXD, Incus and LXD 5.0, with OIDC turned on at the server.
            (Lxd, By::Certificate, "", "403 Forbidden", TRUST, true),
            (Incus, By::Certificate, "", "403 not authorized", TRUST, true),
            (Lxd, By::Certificate, "logging", "403 not authorized", TRUST, true),
            (Incus, By::Certificate, "", "403 not authorized +oidc", TRUST, true),
            (Lxd, By::Token, "", "403 not authorized", "does this server know the token? ", true),
            (Lxd, By::Socket, "", "403 Forbidden", "log in as someone ", true),
            // The OIDC login is missing or has ended.
            (Lxd, By::Oidc, "", "401 Failed OIDC Authentication: Failed authenticating: x +oidc", &lxc, true),
            (Incus, By::Oidc, "", "401 token has expired +oidc", &incus, true),
            (Lxd, By::Oidc, "logging", "403 Forbidden +oidc", &lxc, true),
            (Incus, By::Oidc, "", "403 not authorized +oidc", &incus, true),
            (Lxd, By::Oidc, "", "403 Failed OIDC Authentication: Session token invalid: x", &lxc, true),
            (
                Lxd,
                By::Oidc,
                "",
                "403 Failed OIDC Authentication: Failed parsing user agent to determine persistent cookie feature: x",
                "update lxmon, ",
                true,
            ),
            (
                Lxd,
                By::Oidc,
                "",
                "403 Failed OIDC Authentication: OIDC authentication requires persistent cookie support. Please update \
                 your client",
                "update lxmon, ",
                true,
            ),
            // The bearer token is not valid.
            (Lxd, By::Token, "", "403 Failed verifying bearer token: x", "the token has expired, ", true),
            // The server is starting.
            (Lxd, By::Certificate, "", "503 LXD daemon setup in progress", "`--retry` keeps trying ", false),
            (Incus, By::Socket, "", "503 Daemon is starting up", "`--retry` keeps trying ", false),
            // The socket in a guest is turned off.
            (Lxd, By::Guest, "", "403 not authorized", "the host has turned this socket off; there: lxc config ", true),
            (Incus, By::Guest, "", "403 not authorized", "the host has turned this socket off; there: incus ", true),
            // The user of the guest is not root.
            (Lxd, By::Guest, "", "401 Access denied for non-root user", "only root may use this socket: ", true),
            (
                Incus,
                By::Guest,
                "config",
                "401 Access denied for non-root user",
                "only root may use this socket: ",
                true,
            ),
            // What no hint is known for.
            (Lxd, By::Certificate, "", "500 x", "", false),
            (Lxd, By::Certificate, "", "400 x", "", true),
        ] {
            let case = format!("{flavour} {by:?} {types} {answer}");
            let types = types.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect();
            let request = Request { types, projects: Projects::Default };
            let error = explained(flavour, by, &request, false, answer);
            let fault: &Fault = error.downcast_ref().unwrap();
            let text = answer.split_once(' ').unwrap().1.trim_end_matches(" +oidc");
            assert!(fault.to_string().contains(text), "{case}: {fault}");
            let given = fault.hint_text().unwrap_or_default();
            assert!(given.starts_with(hint) && given.is_empty() == hint.is_empty(), "{case}: {given}");
            assert_eq!(fault.is_permanent(), is_permanent, "{case}");
            assert_eq!(fault.is_renewable(), hint.starts_with("log in again"), "{case}");
        }
    }

    #[test]
    fn hints_say_what_was_asked_for() {
        let hint = |request: &Request, is_retried, answer| {
            let error = explained(Flavour::Incus, By::Certificate, request, is_retried, answer);
            error.downcast_ref::<Fault>().unwrap().hint_text().map(str::to_owned)
        };
        let all = Request { projects: Projects::All, ..Request::default() };
        let restricted = hint(&all, false, "403 Certificate is restricted").unwrap();
        assert!(
            restricted.starts_with("this login may not see all projects; `incus project list n1:` "),
            "{restricted}"
        );
        // Whoever gave the option needs no hint about it.
        assert_eq!(hint(&all, true, "503 Daemon is starting up"), None);
    }
}
