//! A saved OIDC login: the access token and, for LXD, the session cookie.
//!
//! The clients log in and renew what they have saved. lxmon only reads it, at every connect: a renewal that is not
//! written back would log the client out, because many identity providers accept each refresh token only once.

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::Flavour;
use super::address::Directories;
use super::read::read;
use super::secret::{Secret, token};
use crate::report::exit::Fault;

/// How often a file that ends too early is read again. The clients truncate their files before they write them, and the
/// cookie jar even before they lock it (LXD `lxc/cookiejar/jar.go`, `Save`).
const READS: u32 = 10;

/// The pause before such a file is read again.
const PAUSE: Duration = Duration::from_millis(30);

/// What is saved of a login. It has a token, a session cookie, or both.
#[derive(Debug)]
pub struct Saved {
    /// The access token.
    pub token: Option<Secret>,
    /// The value of LXD's session cookie.
    pub session: Option<Secret>,
    /// The files, as text for the user.
    pub source: String,
    /// The user, if the saved login names one.
    pub user: Option<String>,
}

/// The server's host and the path of the requests, which a cookie must be for.
#[derive(Clone, Copy, Debug)]
pub struct Site<'a> {
    /// Name or address, without brackets and port.
    pub host: &'a str,
    /// The path before `/1.0`, without a trailing slash.
    pub prefix: &'a str,
}

/// The command that logs in again and saves the login. `lxc` and `incus` do so when they are refused.
#[must_use]
pub fn renewal(flavour: Flavour, name: &str) -> String {
    format!("log in again: {} list {name}:", flavour.client())
}

impl Saved {
    /// Reads the login that `lxc` or `incus` has saved for the remote `name`. Blocks for as long as the file system
    /// does.
    ///
    /// # Errors
    /// There is none, or a file does not contain what it should.
    pub(super) fn read(
        directories: &Directories,
        flavour: Flavour,
        name: &str,
        site: Site<'_>,
        now: DateTime<Utc>,
    ) -> Result<Self, Fault> {
        let again = renewal(flavour, name);
        let token_file = directories.user.join("oidctokens").join(format!("{name}.json"));
        let (token, user) = access_token(&token_file, &again)?;
        let mut source = token.iter().map(|_| token_file.display().to_string()).collect::<Vec<_>>();
        // The jar comes with LXD 6.6. Incus has no cookies.
        let jar = directories.user.join("jars").join(name);
        let session = match flavour {
            Flavour::Lxd => session(&jar, &again, site, now)?,
            Flavour::Incus => None,
        };
        source.extend(session.iter().map(|_| jar.display().to_string()));
        if source.is_empty() {
            let what = if token_file.exists() { "there is no access token in it" } else { "there is no saved login" };
            return Err(Fault::failed(format!("{}: {what}", token_file.display())).hint(again).renewable());
        }
        Ok(Self { token, session, source: source.join(" and "), user })
    }
}

/// The access token and the user in `file`, which holds `oidc.Tokens` of `github.com/zitadel/oidc` as JSON. Its `expiry`
/// is not used, because the clients compute it without a unit after a login (`client/lxd_oidc.go`).
fn access_token(file: &Path, again: &str) -> Result<(Option<Secret>, Option<String>), Fault> {
    #[derive(Deserialize)]
    struct Tokens {
        access_token: Option<String>,
        #[serde(rename = "IDTokenClaims")]
        claims: Option<Claims>,
    }
    #[derive(Deserialize)]
    struct Claims {
        email: Option<String>,
        sub: Option<String>,
    }
    let Some(tokens) = json::<Tokens>(file, again)? else { return Ok((None, None)) };
    let Some(text) = tokens.access_token.filter(|token| !token.is_empty()) else { return Ok((None, None)) };
    let token = token(&text).map_err(|what| {
        Fault::failed(format!("{}: its access token contains {what}", file.display())).hint(again).renewable()
    })?;
    Ok((Some(token), tokens.claims.and_then(|claims| claims.email.or(claims.sub))))
}

/// An entry of Go's `net/http/cookiejar`, as far as it matters here.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Cookie {
    name: String,
    value: String,
    domain: String,
    path: String,
    host_only: bool,
    persistent: bool,
    expires: String,
}

impl Cookie {
    /// Whether it is sent to a site (RFC 6265, sections 5.1.3 and 5.1.4).
    fn is_for(&self, site: Site<'_>) -> bool {
        let host = site.host.to_ascii_lowercase();
        let is_below = || host.strip_suffix(&self.domain).is_some_and(|rest| rest.ends_with('.'));
        let requested = format!("{}/1.0/events", site.prefix);
        let is_path_below = |rest: &str| rest.is_empty() || rest.starts_with('/') || self.path.ends_with('/');
        (host == self.domain || (!self.host_only && is_below()))
            && requested.strip_prefix(&self.path).is_some_and(is_path_below)
    }

    fn is_expired(&self, now: DateTime<Utc>) -> bool {
        self.persistent && DateTime::parse_from_rfc3339(&self.expires).is_ok_and(|expires| expires <= now)
    }
}

/// The unexpired session cookie for a site. `file` holds the entries of Go's cookie jar as JSON: an object of objects.
fn session(file: &Path, again: &str, site: Site<'_>, now: DateTime<Utc>) -> Result<Option<Secret>, Fault> {
    let jar = json::<HashMap<String, HashMap<String, Cookie>>>(file, again)?.unwrap_or_default();
    let mut cookies: Vec<_> = jar
        .into_values()
        .flat_map(HashMap::into_values)
        .filter(|cookie| cookie.name == "session" && cookie.is_for(site) && !cookie.is_expired(now))
        .collect();
    // The cookie with the longest path comes first (RFC 6265, section 5.4).
    cookies.sort_by_key(|cookie| std::cmp::Reverse(cookie.path.len()));
    let Some(cookie) = cookies.into_iter().next().filter(|cookie| !cookie.value.is_empty()) else { return Ok(None) };
    let value =
        token(&cookie.value).and_then(|value| if value.0.contains(';') { Err("a semicolon") } else { Ok(value) });
    value.map(Some).map_err(|what| {
        Fault::failed(format!("{}: its session cookie contains {what}", file.display())).hint(again).renewable()
    })
}

/// The contents of a file that a client saves as JSON; `None` if there is no such file.
fn json<T: DeserializeOwned>(file: &Path, again: &str) -> Result<Option<T>, Fault> {
    let shown = file.display();
    for attempt in 1.. {
        let Some(text) = read(file)? else { return Ok(None) };
        let error = match serde_json::from_slice(&text) {
            Ok(contents) => return Ok(Some(contents)),
            Err(error) if error.is_eof() && attempt < READS => {
                std::thread::sleep(PAUSE);
                continue;
            }
            Err(error) => error,
        };
        // An error of this kind quotes the value, which can be a token.
        let what = if error.is_data() {
            format!("not what a client saves: line {}, column {}", error.line(), error.column())
        } else {
            error.to_string()
        };
        return Err(Fault::failed(format!("{shown}: {what}")).hint(again).renewable());
    }
    unreachable!("the loop ends by returning")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The jar that `lxc` saves after a login to `https://lxd.example.org:8443`, with this entry changed.
    fn jar(change: (&str, &str)) -> String {
        let jar = r#"{"example.org":{"lxd.example.org;/;session":{"Name":"session","Value":"cookie-secret","Quoted":false,"Domain":"lxd.example.org","Path":"/","SameSite":"SameSite=Strict","Secure":true,"HttpOnly":true,"Persistent":true,"HostOnly":true,"Expires":"2026-12-10T12:00:00Z","Creation":"2026-11-26T12:00:00.1Z","LastAccess":"2026-11-26T12:00:00.1Z"}}}"#;
        assert!(jar.contains(change.0), "{change:?}");
        jar.replace(change.0, change.1)
    }

    fn read(jar: &str, host: &str, prefix: &str) -> Result<Option<Secret>, Fault> {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("n1");
        std::fs::write(&file, jar).unwrap();
        let now = DateTime::parse_from_rfc3339("2026-12-01T00:00:00Z").unwrap().into();
        session(&file, "log in again", Site { host, prefix }, now)
    }

    #[test]
    fn the_session_cookie_for_the_host_is_found() {
        let host = "lxd.example.org";
        for (change, host, prefix, is_sent) in [
            (("", ""), host, "", true),
            (("", ""), "LXD.example.org", "", true),
            (("", ""), "other.example.org", "", false),
            (("", ""), "a.lxd.example.org", "", false),
            ((r#""HostOnly":true"#, r#""HostOnly":false"#), "a.lxd.example.org", "", true),
            ((r#""HostOnly":true"#, r#""HostOnly":false"#), "alxd.example.org", "", false),
            ((r#""Name":"session""#, r#""Name":"login_id""#), host, "", false),
            (("2026-12-10", "2026-11-30"), host, "", false),
            (("2026-12-10T12:00:00Z", "2026-12-01T01:00:00+02:00"), host, "", false),
            ((r#""Persistent":true"#, r#""Persistent":false"#), host, "", true),
            ((r#""Path":"/""#, r#""Path":"/ui""#), host, "", false),
            ((r#""Path":"/""#, r#""Path":"/behind""#), host, "/behind/a/proxy", true),
            ((r#""Path":"/""#, r#""Path":"/beh""#), host, "/behind/a/proxy", false),
            (("cookie-secret", ""), host, "", false),
        ] {
            let found = read(&jar(change), host, prefix).unwrap();
            let wanted = is_sent.then(|| Secret("cookie-secret".to_owned()));
            assert_eq!(found, wanted, "{change:?} {host} {prefix}");
        }
        assert_eq!(read("{}\n", host, "").unwrap(), None);
        // An IPv6 address is saved without brackets.
        let address = jar(("", "")).replace("lxd.example.org", "fd00::1");
        assert_eq!(read(&address, "fd00::1", "").unwrap(), Some(Secret("cookie-secret".to_owned())));
    }

    #[test]
    fn a_jar_that_cannot_be_used_is_an_error_without_its_secrets() {
        for (jar, says) in [
            (String::new(), "EOF while parsing"),
            (jar(("", ""))[..100].to_owned(), "EOF while parsing"),
            (r#"["cookie-secret"]"#.to_owned(), "not what a client saves: line 1, column "),
            (jar((r#""Domain":"lxd.example.org","#, "")), "not what a client saves: line 1, column "),
            (jar(("cookie-secret", "cookie-secret; x")), "its session cookie contains a space"),
            (jar(("cookie-secret", "cookie-secret;x")), "its session cookie contains a semicolon"),
            (jar(("cookie-secret", "cookie-secret\\r\\nX: y")), "its session cookie contains a line end"),
        ] {
            let fault = read(&jar, "lxd.example.org", "").unwrap_err();
            assert!(fault.to_string().contains(says) && !fault.to_string().contains("secret"), "{says}: {fault}");
            assert_eq!(fault.hint_text(), Some("log in again"));
        }
    }

    #[test]
    fn a_file_that_is_being_written_is_read_again() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("n1");
        std::fs::write(&file, "").unwrap();
        let writing = file.clone();
        let writer = std::thread::spawn(move || {
            // Within the time for which the file is read again, which is ten times as long.
            std::thread::sleep(PAUSE);
            std::fs::write(writing, "[1]").unwrap();
        });
        assert_eq!(json::<Vec<u8>>(&file, "").unwrap(), Some(vec![1]));
        writer.join().unwrap();
    }
}
