//! An LXD server that clients log in to with OIDC, by the rules of LXD since version 6.6
//! (`lxd/auth/oidc/oidc.go`, `lxd/request/user_agent.go`, `lxd/daemon.go`).

use std::collections::{HashMap, HashSet};
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, mpsc};

use rustls::{ServerConnection, StreamOwned};

use super::http::{header, is_complete, json, read_head, send_with_event, switching_protocols};
use super::program::PATIENCE;
use super::standin::{about_itself, numbered};
use super::tls::{Identity, config, listen, over_tls};

/// What the server knows of logins.
#[derive(Default)]
pub(crate) struct Logins {
    /// The access tokens that the identity provider accepts.
    pub(crate) tokens: HashSet<String>,
    /// The session cookies that the server has signed, and whether their sessions go on.
    pub(crate) sessions: HashMap<String, bool>,
    /// How many sessions have begun with a token.
    pub(crate) begun: usize,
    connections: Vec<TcpStream>,
    events: u64,
}

/// What the server answers to a request.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Welcome, with the session cookie to set, if a session has begun.
    Welcome(Option<String>),
    /// A status and an error.
    Refused(u16, String),
}

impl Logins {
    /// Checks who the request is from. LXD looks at the cookie first.
    pub(crate) fn check(&mut self, head: &str) -> Verdict {
        let cookie = header(head, "Cookie").and_then(|cookie| cookie.strip_prefix("session="));
        let token = header(head, "Authorization").and_then(|value| value.strip_prefix("Bearer "));
        let user_agent = header(head, "User-Agent").unwrap_or_default();
        let failed = |status, error: &str| Verdict::Refused(status, format!("Failed OIDC Authentication: {error}"));
        match (cookie.map(|cookie| self.sessions.get(cookie)), token) {
            (Some(Some(true)), _) => Verdict::Welcome(None),
            // The session has ended: a token beside the cookie is checked.
            (Some(Some(false)) | None, Some(token)) => {
                if let Err(error) = keeps_cookies(user_agent) {
                    return failed(403, &error);
                }
                if !self.tokens.contains(token) {
                    return failed(401, "Failed to authenticate: Failed to call user info endpoint");
                }
                self.begun += 1;
                let session = format!("cookie-secret-{}", self.begun);
                self.sessions.insert(session.clone(), true);
                Verdict::Welcome(Some(session))
            }
            (Some(Some(false)), None) => failed(401, "Failed to authenticate: Session expired or revoked"),
            (Some(None), _) => failed(403, "Session token invalid: signature is invalid"),
            (None, None) => Verdict::Refused(403, "Forbidden".to_owned()),
        }
    }
}

/// Checks that a client promises to keep cookies: `LXD VERSION [LTS] (OS; ARCH; …) [(STORAGE)] (FEATURES)`.
fn keeps_cookies(user_agent: &str) -> Result<(), String> {
    let malformed = |why: &str| format!("Failed to parse user agent to determine persistent cookie feature: {why}");
    let (product, groups) = user_agent.split_once(" (").ok_or_else(|| {
        malformed("User agent string must start with \"<product>\" and contain host information in parentheses")
    })?;
    let groups = groups.strip_suffix(')').ok_or_else(|| malformed("User agent contains unbalanced parentheses"))?;
    let groups: Vec<Vec<_>> = groups.split(") (").map(|group| group.split("; ").map(str::trim).collect()).collect();
    match product.split_whitespace().collect::<Vec<_>>()[..] {
        ["LXD", _] | ["LXD", _, "LTS"] => {}
        _ => return Err(malformed("Failed to get product information")),
    }
    let [host, rest @ ..] = &groups[..] else { return Err(malformed("no groups")) };
    if !(2..=5).contains(&host.len()) {
        return Err(malformed("Failed to get host information"));
    }
    // In a group of storage drivers each has a version after a space.
    let features = match rest {
        [storage, features] if storage[0].contains(' ') => features,
        [features] if !features[0].contains(' ') => features,
        [] | [_] => &Vec::new(),
        _ => return Err(malformed("Feature group may not precede storage group")),
    };
    if features.iter().any(|feature| feature.contains(char::is_whitespace)) {
        return Err(malformed("Features may not contain whitespace"));
    }
    if !features.contains(&"cookiejar") {
        return Err("OIDC authentication requires persistent cookie support. Please update your client".to_owned());
    }
    Ok(())
}

/// A running server. It sends one event on each connection, with growing numbers.
pub(crate) struct OidcServer {
    pub(crate) port: u16,
    /// The heads of the requests.
    pub(crate) requests: mpsc::Receiver<String>,
    logins: Arc<Mutex<Logins>>,
}

impl OidcServer {
    pub(crate) fn new(identity: &Identity) -> Self {
        let config = Arc::new(config(&identity.certificate, &identity.key, &[&rustls::version::TLS13]));
        let logins = Arc::new(Mutex::new(Logins::default()));
        let (hearing, requests) = mpsc::channel();
        let known = Arc::clone(&logins);
        let port = listen("127.0.0.1:0", move |stream| {
            let connection = stream.try_clone().unwrap();
            // Fails if the client has disconnected.
            let _ = serve(&mut over_tls(&config, stream), connection, &known, &hearing);
        });
        Self { port, requests, logins }
    }

    /// The head of the next request.
    pub(crate) fn request(&self) -> String {
        self.requests.recv_timeout(PATIENCE).expect("no request has come")
    }

    /// What the server knows of logins, to be changed or read.
    pub(crate) fn logins(&self) -> MutexGuard<'_, Logins> {
        self.logins.lock().unwrap()
    }

    /// Ends all connections.
    pub(crate) fn hang_up(&self) {
        for connection in self.logins().connections.drain(..) {
            let _ = connection.shutdown(Shutdown::Both);
        }
    }
}

fn serve(
    stream: &mut StreamOwned<ServerConnection, TcpStream>,
    connection: TcpStream,
    logins: &Mutex<Logins>,
    hearing: &mpsc::Sender<String>,
) -> std::io::Result<()> {
    let head = read_head(&mut *stream);
    if !is_complete(&head) {
        return Ok(());
    }
    // What `--debug` asks.
    if head.starts_with("GET /1.0 ") {
        return stream.write_all(json("200 OK", "", &about_itself(None)).as_bytes());
    }
    let verdict = logins.lock().unwrap().check(&head);
    let _ = hearing.send(head.clone());
    match verdict {
        Verdict::Refused(status, error) => {
            let body = format!(r#"{{"type":"error","error":{error:?},"error_code":{status}}}"#);
            let mut headers = String::new();
            // Only who is not logged in is told with whom to log in.
            if status == 401 || error == "Forbidden" {
                headers += "X-LXD-OIDC-issuer: https://login.example.org\r\nX-LXD-OIDC-clientid: lxd\r\n";
            }
            if head.contains("Cookie: ") {
                headers += "Set-Cookie: session=; Path=/; Expires=Thu, 01 Jan 1970 00:00:00 GMT; HttpOnly; Secure\r\n";
            }
            stream.write_all(json(&format!("{status} Reason"), &headers, &body).as_bytes())?;
            stream.flush()
        }
        Verdict::Welcome(session) => {
            let event = {
                let mut logins = logins.lock().unwrap();
                logins.connections.push(connection);
                logins.events += 1;
                numbered(logins.events - 1)
            };
            let cookie = session
                .map(|session| format!("Set-Cookie: session={session}; Path=/; HttpOnly; Secure; SameSite=Strict\r\n"));
            let answer = switching_protocols(&head, &cookie.unwrap_or_default());
            send_with_event(&mut *stream, &answer, &event)?;
            stream.read(&mut [0]).map(drop)
        }
    }
}

#[test]
fn the_stand_in_reads_user_agents_as_lxd_does() {
    for (user_agent, error) in [
        ("LXD 6.9 (Linux; x86_64; 6.8.0; Ubuntu; 24.04) (cookiejar)", None),
        ("LXD 6.9 LTS (Linux; x86_64) (zfs 2.2.2; dir 1) (other; cookiejar)", None),
        ("LXD 6.9 (Linux; x86_64)", Some("requires persistent cookie support")),
        ("LXD 6.9 (Linux; x86_64) (zfs 2.2.2)", Some("requires persistent cookie support")),
        ("LXD 6.9 (Linux; x86_64) (cookiejar; lxmon 1)", Some("Features may not contain whitespace")),
        ("LXD 6.9 (Linux) (cookiejar)", Some("host information")),
        ("LXD (Linux; x86_64) (cookiejar)", Some("product information")),
        ("lxmon 1 (Linux; x86_64) (cookiejar)", Some("product information")),
        ("lxmon/0.1.0", Some("User agent string must start with")),
    ] {
        let checked = keeps_cookies(user_agent);
        match error {
            None => assert_eq!(checked, Ok(()), "{user_agent}"),
            Some(says) => {
                assert!(checked.as_ref().is_err_and(|error| error.contains(says)), "{user_agent}: {checked:?}");
            }
        }
    }
}
