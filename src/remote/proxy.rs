//! The proxy for a server, from `HTTPS_PROXY` and `NO_PROXY`.
//!
//! The rules are those of the clients, which have a copy of their own of older rules of Go (LXD `shared/proxy.go`,
//! Incus `shared/proxy/proxy.go`): a port in `NO_PROXY` is cut off and ignored, `*` counts only when it stands alone,
//! and there are no other wildcards. One exception: the clients cut an IPv6 address without brackets at its last colon, so
//! that it excepts nothing; here it excepts what it names.

use std::fmt;
use std::net::IpAddr;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use percent_encoding::percent_decode_str;
use tokio_tungstenite::tungstenite::http::Uri;

use super::Host;
use super::secret::Secret;
use crate::event::requestor::without_port;
use crate::report::exit::Fault;
use crate::system::environment::Environment;

/// A proxy. It is asked to connect to the server by its name, which the proxy resolves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proxy {
    /// How it is spoken to.
    pub kind: Kind,
    /// Its host and port.
    pub host: Host,
    /// The login that its URL contains, if any.
    pub login: Option<Login>,
}

/// How a proxy is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `CONNECT` over TCP.
    Http,
    /// `CONNECT` over TLS.
    Https,
    /// SOCKS 5 (RFC 1928).
    Socks5,
}

impl Kind {
    /// Its name, as in `an HTTP proxy`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Http => "HTTP",
            Self::Https => "HTTPS",
            Self::Socks5 => "SOCKS 5",
        }
    }
}

/// A user and a password, decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    /// The user. URLs can hold a password in its place, so it is not shown either.
    pub user: Secret,
    /// The password; empty if the URL has none.
    pub password: Secret,
}

impl Login {
    /// The value of the `Proxy-Authorization` header.
    #[must_use]
    pub fn basic(&self) -> Secret {
        let Self { user: Secret(user), password: Secret(password) } = self;
        Secret(format!("Basic {}", BASE64_STANDARD.encode(format!("{user}:{password}"))))
    }
}

impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "proxy {}", self.host)
    }
}

impl Proxy {
    /// The proxy to use for `host`, if any.
    ///
    /// # Errors
    /// The value of `HTTPS_PROXY` cannot be used. The error does not show it, as it can contain a password.
    pub fn find(environment: &Environment, host: &Host) -> Result<Option<Self>, Fault> {
        let either = |upper: &str, lower: &str| match environment.text(upper)? {
            Some(value) => Ok(Some(value.to_owned())),
            None => environment.text(lower).map(|value| value.map(str::to_owned)),
        };
        let Some(url) = either("HTTPS_PROXY", "https_proxy")? else { return Ok(None) };
        if is_excepted(host, &either("NO_PROXY", "no_proxy")?.unwrap_or_default()) {
            return Ok(None);
        }
        let broken = |why: &str| {
            Fault::usage(format!("HTTPS_PROXY: {why}"))
                .hint("write http://[user:password@]host:port; https:// and socks5:// can be used too")
        };
        let url = if url.contains("://") { url } else { format!("http://{url}") };
        let uri: Uri = url.parse().map_err(|_| broken("not a URL"))?;
        let (kind, port) = match uri.scheme_str().map(str::to_ascii_lowercase).as_deref() {
            Some("http") => (Kind::Http, 80),
            Some("https") => (Kind::Https, 443),
            // In curl's words the name of the first means that the client resolves names, but Go lets the proxy do it.
            Some("socks5" | "socks5h") => (Kind::Socks5, 1080),
            _ => return Err(broken("only http://, https:// and socks5:// proxies can be used")),
        };
        let authority = uri.authority().ok_or_else(|| broken("it names no host"))?;
        let login = match authority.as_str().rsplit_once('@') {
            None => None,
            Some((login, _)) => {
                let (user, password) = login.split_once(':').unwrap_or((login, ""));
                let decoded = |text| {
                    let decoded = percent_decode_str(text).decode_utf8();
                    decoded.map(|text| Secret(text.into_owned())).map_err(|_| broken("its login is not UTF-8"))
                };
                Some(Login { user: decoded(user)?, password: decoded(password)? })
            }
        };
        // SOCKS has one byte for each length (RFC 1929).
        let too_long = |Secret(text): &Secret| text.is_empty() || text.len() > 255;
        if kind == Kind::Socks5
            && login.as_ref().is_some_and(|login| too_long(&login.user) || too_long(&login.password))
        {
            return Err(broken("a SOCKS login has a user and a password of 1 to 255 bytes each"));
        }
        let host = Host::of(&uri, port).ok_or_else(|| broken("it names no host and port"))?;
        Ok(Some(Self { kind, host, login }))
    }
}

/// Whether to connect to a server without the proxy. Always true for this machine.
fn is_excepted(host: &Host, no_proxy: &str) -> bool {
    let address: Option<IpAddr> = host.name.parse().ok();
    if host.name == "localhost" || address.is_some_and(|address| address.is_loopback()) || no_proxy == "*" {
        return true;
    }
    let name = host.name.to_ascii_lowercase();
    no_proxy.split(',').map(|rule| rule.trim().to_ascii_lowercase()).filter(|rule| !rule.is_empty()).any(|rule| {
        let rule = without_port(&rule);
        let is_address = |address| match rule.split_once('/') {
            Some((network, bits)) => {
                let (network, bits) = (network.parse(), bits.parse());
                network.is_ok_and(|network| bits.is_ok_and(|bits| is_within(address, network, bits)))
            }
            None => rule.parse().is_ok_and(|rule: IpAddr| rule == address),
        };
        let suffix = rule.strip_prefix('.').unwrap_or(rule);
        address.is_some_and(is_address)
            || name == suffix
            || name.strip_suffix(suffix).is_some_and(|rest| rest.ends_with('.') && !suffix.is_empty())
    })
}

fn is_within(address: IpAddr, network: IpAddr, bits: u32) -> bool {
    match (address, network) {
        (IpAddr::V4(address), IpAddr::V4(network)) if bits <= 32 => {
            (u32::from(address) ^ u32::from(network)).checked_shr(32 - bits).unwrap_or(0) == 0
        }
        (IpAddr::V6(address), IpAddr::V6(network)) if bits <= 128 => {
            (u128::from(address) ^ u128::from(network)).checked_shr(128 - bits).unwrap_or(0) == 0
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(host: &str, variables: &[(&str, &str)]) -> Result<Option<Proxy>, Fault> {
        Proxy::find(&variables.iter().copied().collect(), &Host { name: host.into(), port: 8443 })
    }

    #[test]
    fn exceptions_follow_the_clients_rules() {
        for (host, no_proxy, proxied) in [
            ("lxd.example.org", "", true),
            ("localhost", "", false),
            ("127.0.0.2", "", false),
            ("::1", "", false),
            ("lxd.example.org", "*", false),
            ("lxd.example.org", "a,*", true),
            ("lxd.example.org", "example.org", false),
            ("lxd.example.org", ".example.org", false),
            ("lxd.example.org", "*.example.org", true),
            ("example.org", ".example.org", false),
            ("example.org", "example.org", false),
            ("badexample.org", "example.org", true),
            ("badexample.org", ".example.org", true),
            ("lxd.example.org", "a, LXD.example.ORG:8443", false),
            // Ports are ignored.
            ("lxd.example.org", "lxd.example.org:443", false),
            ("10.1.2.3", "10.1.2.3:443", false),
            ("lxd.example.org", ".", true),
            ("lxd.example.org", ",, ,", true),
            ("10.1.2.3", "10.0.0.0/8", false),
            ("11.1.2.3", "10.0.0.0/8", true),
            ("10.1.2.3", "10.0.0.0/33", true),
            ("10.1.2.3", "0.0.0.0/0", false),
            ("10.1.2.3", "10.1.2.3", false),
            ("10.1.2.3", "1.3", true),
            ("fd00::1", "[fd00::1]", false),
            ("fd00::1", "[fd00::1]:8443", false),
            ("fd00::1", "fd00::1", false),
            ("fd00::1", "fd00::/16", false),
            ("fe00::1", "fd00::/16", true),
        ] {
            let found = find(host, &[("https_proxy", "http://proxy:3128"), ("NO_PROXY", no_proxy)]).unwrap();
            assert_eq!(found.is_some(), proxied, "{host} {no_proxy}");
        }
    }

    #[test]
    fn schemes_have_their_own_ports() {
        for (url, kind, port) in [
            ("http://proxy", Kind::Http, 80),
            ("proxy:3128", Kind::Http, 3128),
            ("https://proxy", Kind::Https, 443),
            ("HTTPS://proxy:8443/", Kind::Https, 8443),
            ("socks5://proxy", Kind::Socks5, 1080),
            ("SOCKS5h://proxy:9050", Kind::Socks5, 9050),
        ] {
            let proxy = find("x.org", &[("HTTPS_PROXY", url)]).unwrap().unwrap();
            assert_eq!((proxy.kind, proxy.host.port, &*proxy.host.name), (kind, port, "proxy"), "{url}");
        }
        // The upper-case name comes first; an empty one counts as unset.
        let both = |upper| find("x.org", &[("HTTPS_PROXY", upper), ("https_proxy", "http://lower")]).unwrap().unwrap();
        assert_eq!((&*both("http://upper").host.name, &*both("").host.name), ("upper", "lower"));
    }

    #[test]
    fn a_password_is_sent_and_never_shown() {
        let proxy = find("x.org", &[("HTTPS_PROXY", "http://me:p%40ss@proxy:3128")]).unwrap().unwrap();
        assert_eq!(proxy.host, Host { name: "proxy".into(), port: 3128 });
        assert_eq!(proxy.login.as_ref().unwrap().basic(), Secret("Basic bWU6cEBzcw==".into()));
        assert!(!format!("{proxy:?}{proxy}").contains("p@ss"));
        for url in [
            "socks4://me:secret@x",
            "http://",
            "https://me:secret@x:y",
            "http://me:secret@x:y",
            "ftp://me:secret@x",
            "http://me:secret%ff@x",
            "socks5://secret@x",
            &format!("socks5://me:secret{}@x", "x".repeat(256)),
        ] {
            let error = find("x.org", &[("HTTPS_PROXY", url)]).unwrap_err();
            assert!(!error.to_string().contains("secret"), "{error}");
        }
    }
}
