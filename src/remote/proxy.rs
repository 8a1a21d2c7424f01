//! The proxy for a server, from `HTTPS_PROXY` and `NO_PROXY` by the rules of Go's `httpproxy`, which the clients use.

use std::net::IpAddr;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use percent_encoding::percent_decode_str;
use tokio_tungstenite::tungstenite::http::Uri;

use super::Host;
use super::login::Secret;
use crate::report::exit::Fault;
use crate::system::environment::Environment;

/// An HTTP proxy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proxy {
    /// Its host and port.
    pub host: Host,
    /// The value of the `Proxy-Authorization` header, if the URL contains a user.
    pub authorization: Option<Secret>,
}

impl Proxy {
    /// The proxy to use for `host`, if any.
    pub fn find(environment: &Environment, host: &Host) -> Result<Option<Self>, Fault> {
        let either = |upper: &str, lower: &str| match environment.text(upper)? {
            Some(value) => Ok(Some(value.to_owned())),
            None => environment.text(lower).map(|value| value.map(str::to_owned)),
        };
        let Some(url) = either("HTTPS_PROXY", "https_proxy")? else { return Ok(None) };
        if is_excepted(host, &either("NO_PROXY", "no_proxy")?.unwrap_or_default()) {
            return Ok(None);
        }
        // The URL can contain a password, so errors do not show the URL.
        let broken =
            |why: &str| Fault::usage(format!("HTTPS_PROXY: {why}")).hint("write http://[user:password@]host:port");
        let url = if url.contains("://") { url } else { format!("http://{url}") };
        let uri: Uri = url.parse().map_err(|_| broken("not a URL"))?;
        if uri.scheme_str() != Some("http") {
            return Err(broken("only http:// proxies can be used"));
        }
        let authority = uri.authority().ok_or_else(|| broken("it names no host"))?;
        let user = authority.as_str().rsplit_once('@').map(|(user, _)| user);
        let authorization = user.map(|user| {
            let plain = percent_decode_str(user).collect::<Vec<u8>>();
            let plain = if plain.contains(&b':') { plain } else { [&plain[..], b":"].concat() };
            Secret(format!("Basic {}", BASE64_STANDARD.encode(plain)))
        });
        let host = Host::of(&uri, 80).ok_or_else(|| broken("it names no host and port"))?;
        Ok(Some(Self { host, authorization }))
    }
}

/// Whether to connect to a server without the proxy. Always true for this machine.
fn is_excepted(host: &Host, no_proxy: &str) -> bool {
    let address: Option<IpAddr> = host.name.parse().ok();
    if host.name == "localhost" || address.is_some_and(|address| address.is_loopback()) {
        return true;
    }
    let name = host.name.to_ascii_lowercase();
    no_proxy.split(',').map(|rule| rule.trim().to_ascii_lowercase()).filter(|rule| !rule.is_empty()).any(|rule| {
        if rule == "*" {
            return true;
        }
        if let (Some(address), Some((network, bits))) = (address, rule.split_once('/')) {
            return network
                .parse()
                .is_ok_and(|network| bits.parse().is_ok_and(|bits| is_within(address, network, bits)));
        }
        let (rule, port) = match rule.rsplit_once(':') {
            Some((rule, port)) if !rule.contains(':') || rule.ends_with(']') => (rule, port.parse().ok()),
            _ => (&*rule, None),
        };
        let rule = rule.trim_matches(['[', ']']);
        if port.is_some_and(|port: u16| port != host.port) {
            return false;
        }
        if let (Some(address), Ok(rule)) = (address, rule.parse::<IpAddr>()) {
            return address == rule;
        }
        let suffix = rule.trim_start_matches('*').trim_start_matches('.');
        let below = name.strip_suffix(suffix).is_some_and(|rest| rest.ends_with('.'));
        below || (name == suffix && !rule.starts_with(['.', '*']))
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
    fn exceptions_follow_gos_rules() {
        for (host, no_proxy, proxied) in [
            ("lxd.example.org", "", true),
            ("localhost", "", false),
            ("127.0.0.2", "", false),
            ("::1", "", false),
            ("lxd.example.org", "*", false),
            ("lxd.example.org", "example.org", false),
            ("lxd.example.org", ".example.org", false),
            ("example.org", ".example.org", true),
            ("example.org", "example.org", false),
            ("badexample.org", "example.org", true),
            ("lxd.example.org", "a, LXD.example.ORG:8443", false),
            ("lxd.example.org", "lxd.example.org:443", true),
            ("10.1.2.3", "10.0.0.0/8", false),
            ("11.1.2.3", "10.0.0.0/8", true),
            ("10.1.2.3", "10.1.2.3", false),
            ("fd00::1", "fd00::/16", false),
        ] {
            let found = find(host, &[("https_proxy", "http://proxy:3128"), ("NO_PROXY", no_proxy)]).unwrap();
            assert_eq!(found.is_some(), proxied, "{host} {no_proxy}");
        }
    }

    #[test]
    fn a_password_is_sent_and_never_shown() {
        let proxy = find("x.org", &[("HTTPS_PROXY", "http://me:p%40ss@proxy:3128")]).unwrap().unwrap();
        assert_eq!(proxy.host, Host { name: "proxy".into(), port: 3128 });
        assert_eq!(proxy.authorization, Some(Secret("Basic bWU6cEBzcw==".into())));
        assert!(!format!("{proxy:?}").contains("bWU6"));
        for url in ["socks5://me:secret@x", "http://", "https://me:secret@x", "http://me:secret@x:y"] {
            let error = find("x.org", &[("HTTPS_PROXY", url)]).unwrap_err();
            assert!(!error.to_string().contains("secret"), "{error}");
        }
    }
}
