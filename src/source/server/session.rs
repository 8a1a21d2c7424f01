//! Who a request comes from: its headers that log us in, and the session cookie that LXD gives us.

use std::cell::RefCell;
use std::rc::Rc;

use hyper::HeaderMap;
use hyper::header::{self, HeaderValue};
use log::debug;

use crate::remote::login::Login;
use crate::remote::secret::Secret;
use crate::remote::{Flavour, oidc};

/// The User-Agent that LXD requires of clients that log in with OIDC, since version 6.6: `LXD VERSION (OS; ARCH)
/// (FEATURES)` (LXD `lxd/request/user_agent.go`). The version is the first one that knows the feature `cookiejar`, with
/// which a client promises to keep the session cookie that it was given. Features can be any words, so lxmon says its
/// name there.
fn user_agent_of_lxd() -> String {
    format!("LXD 6.6 (Linux; {}) (cookiejar; {})", std::env::consts::ARCH, USER_AGENT)
}

/// The User-Agent of all other requests.
pub(super) const USER_AGENT: &str = concat!("lxmon/", env!("CARGO_PKG_VERSION"));

/// Who a request comes from.
#[derive(Clone, Debug, Default)]
pub(crate) struct Identity {
    /// The value of the `Authorization` header.
    authorization: Option<Secret>,
    /// The session cookie of a login to LXD.
    session: Option<Session>,
}

/// The session cookie of one request.
#[derive(Clone, Debug)]
struct Session {
    sent: Option<Secret>,
    known: Rc<KnownSession>,
}

/// What this run knows better about the session cookie of one remote than the client's file. It is not written there.
/// LXD to 6.9 sets no cookie in the answer that upgrades a connection (`lxd/events.go` gives no headers to the upgrader),
/// so it begins a session for each connection without a saved cookie; it does set and delete them when it refuses.
#[derive(Debug, Default)]
pub(crate) struct KnownSession {
    /// The cookie that the server has set.
    given: RefCell<Option<Secret>>,
    /// The cookie that the server has deleted, because it is invalid or the session has ended.
    deleted: RefCell<Option<Secret>>,
}

impl Identity {
    /// Who we are by this login. `known` belongs to the remote.
    pub(super) fn new(login: &Login, flavour: Flavour, known: &Rc<KnownSession>) -> Self {
        let bearer = |Secret(token): &Secret| Secret(format!("Bearer {token}"));
        match login {
            Login::Certificate { .. } | Login::Nobody { .. } => Self::default(),
            Login::Token { token, .. } => Self { authorization: Some(bearer(token)), session: None },
            Login::Oidc(oidc::Saved { token, session: saved, .. }) => {
                let session = || Session { sent: known.best(saved.as_ref()), known: Rc::clone(known) };
                Self { authorization: token.as_ref().map(bearer), session: (flavour == Flavour::Lxd).then(session) }
            }
        }
    }

    /// The headers that say who we are.
    pub(super) fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        let mut secret = |name, text: &str| {
            // Both the tokens and the cookies were checked when they were read.
            if let Ok(mut value) = HeaderValue::from_str(text) {
                value.set_sensitive(true);
                headers.insert(name, value);
            }
        };
        if let Some(Secret(authorization)) = &self.authorization {
            secret(header::AUTHORIZATION, authorization);
        }
        if let Some(Session { sent: Some(Secret(session)), .. }) = &self.session {
            secret(header::COOKIE, &format!("session={session}"));
        }
        let user_agent = if self.session.is_some() { user_agent_of_lxd() } else { USER_AGENT.to_owned() };
        if let Ok(user_agent) = HeaderValue::from_str(&user_agent) {
            headers.insert(header::USER_AGENT, user_agent);
        }
        headers
    }

    /// Keeps the session cookie that the headers of an answer set, or forgets the one that they delete.
    pub(super) fn receive(&self, headers: &HeaderMap) {
        let Some(Session { sent, known }) = &self.session else { return };
        let cookies = headers.get_all(header::SET_COOKIE).iter().filter_map(|cookie| cookie.to_str().ok());
        for value in cookies.filter_map(|cookie| cookie.split(';').next()?.trim().strip_prefix("session=")) {
            if value.is_empty() {
                debug!("the server deletes the session cookie");
                if sent.is_some() {
                    known.deleted.replace(sent.clone());
                }
                known.given.take();
            } else {
                debug!("the server sets a session cookie");
                known.given.replace(Some(Secret(value.to_owned())));
            }
        }
    }
}

impl KnownSession {
    /// The cookie to send: the one that the server has set, else the saved one, unless the server has deleted it.
    fn best(&self, saved: Option<&Secret>) -> Option<Secret> {
        let given = self.given.borrow().clone();
        given.or_else(|| saved.filter(|saved| self.deleted.borrow().as_ref() != Some(*saved)).cloned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(text: &str) -> Secret {
        Secret(text.to_owned())
    }

    fn identity(flavour: Flavour, saved: Option<&str>, known: &Rc<KnownSession>) -> Identity {
        let saved =
            oidc::Saved { token: Some(secret("token")), session: saved.map(secret), source: String::new(), user: None };
        Identity::new(&Login::Oidc(saved), flavour, known)
    }

    fn cookie(identity: &Identity) -> Option<String> {
        identity.headers().get(header::COOKIE).map(|value| value.to_str().unwrap().to_owned())
    }

    fn setting(cookie: &'static str) -> HeaderMap {
        [(header::SET_COOKIE, HeaderValue::from_static(cookie))].into_iter().collect()
    }

    #[test]
    fn a_session_cookie_is_kept_until_the_server_deletes_it() {
        let known = Rc::default();
        let send = |saved| cookie(&identity(Flavour::Lxd, saved, &known));
        assert_eq!(send(None), None);
        assert_eq!(send(Some("saved")).as_deref(), Some("session=saved"));
        identity(Flavour::Lxd, None, &known).receive(&setting("session=given; Path=/; Secure; HttpOnly"));
        assert_eq!(send(Some("saved")).as_deref(), Some("session=given"));
        // Other cookies change nothing.
        identity(Flavour::Lxd, None, &known).receive(&setting("login_id=; Path=/"));
        assert_eq!(send(None).as_deref(), Some("session=given"));
        // The server does not accept the cookie and deletes it: the saved one is next.
        let deletion = setting("session=; Path=/; Expires=Thu, 01 Jan 1970 00:00:00 GMT; HttpOnly; Secure");
        identity(Flavour::Lxd, None, &known).receive(&deletion);
        assert_eq!(send(Some("saved")).as_deref(), Some("session=saved"));
        // When that is deleted too, only another one is sent.
        identity(Flavour::Lxd, Some("saved"), &known).receive(&deletion);
        assert_eq!(send(Some("saved")), None);
        assert_eq!(send(Some("renewed")).as_deref(), Some("session=renewed"));
    }

    #[test]
    fn only_lxd_gets_cookies_and_its_own_form_of_user_agent() {
        let known = Rc::default();
        let user_agent = |identity: Identity| identity.headers()[header::USER_AGENT].to_str().unwrap().to_owned();
        let lxmon = USER_AGENT.to_owned();
        assert_eq!(user_agent(Identity::default()), lxmon);
        assert_eq!(user_agent(identity(Flavour::Incus, Some("x"), &known)), lxmon);
        assert_eq!(cookie(&identity(Flavour::Incus, Some("x"), &known)), None);
        let lxd = user_agent(identity(Flavour::Lxd, None, &known));
        assert_eq!(lxd, format!("LXD 6.6 (Linux; {}) (cookiejar; {USER_AGENT})", std::env::consts::ARCH));
        assert!(!format!("{:?}", identity(Flavour::Lxd, Some("x"), &known)).contains("token\""));
    }
}
