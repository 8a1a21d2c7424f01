//! Who asked for what an event reports (`EventLifecycleRequestor` in both servers' `shared/api/event_lifecycle.go`).

use std::borrow::Cow;

use super::json::{Content, Text, Value};

/// The user who made the request.
#[derive(Clone, Copy, Debug)]
pub struct Requestor<'a> {
    /// The login method: `unix`, `tls`, `oidc`, …
    pub protocol: Text<'a>,
    /// The user's name, or a certificate's fingerprint. Empty for somebody who could not log in.
    pub username: Text<'a>,
    /// The address from which the request came, with its port; `@` or empty for a local socket.
    pub address: Text<'a>,
}

impl<'a> Requestor<'a> {
    /// The `requestor` member of an event's metadata.
    pub(super) fn of(metadata: Value<'a>) -> Option<Self> {
        let requestor = metadata.get("requestor")?;
        let part = |name| requestor.get_text(name).unwrap_or(Text::plain(""));
        matches!(requestor.content(), Content::Object(_)).then(|| Self {
            protocol: part("protocol"),
            username: part("username"),
            address: part("address"),
        })
    }

    /// Whether all parts are empty. LXD writes such a requestor where nobody asked (`lxd/operations/operations.go`).
    #[must_use]
    pub fn is_nobody(&self) -> bool {
        [self.protocol, self.username, self.address].iter().all(|part| part.raw.is_empty())
    }

    /// The address without its port; `None` for a request over a local socket.
    #[must_use]
    pub fn host(&self) -> Option<Cow<'a, str>> {
        if self.protocol.is("unix") || self.address.raw.is_empty() || self.address.is("@") {
            return None;
        }
        Some(match self.address.cow() {
            Cow::Borrowed(address) => Cow::Borrowed(without_port(address)),
            Cow::Owned(address) => Cow::Owned(without_port(&address).to_owned()),
        })
    }
}

/// The host or address in `HOST:PORT` or `[ADDRESS]:PORT`, without brackets and port.
pub(crate) fn without_port(address: &str) -> &str {
    if let Some((host, _)) = address.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        return host;
    }
    match address.split_once(':') {
        Some((host, port)) if !port.contains(':') => host,
        _ => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_have_no_port_and_local_sockets_have_no_host() {
        for (protocol, address, host) in [
            ("tls", "10.0.0.1:52412", Some("10.0.0.1")),
            ("oidc", "[fd00::1]:8443", Some("fd00::1")),
            ("tls", "fd00::1", Some("fd00::1")),
            ("", "10.0.0.1", Some("10.0.0.1")),
            ("unix", "@", None),
            ("unix", "/run/x", None),
            ("tls", "", None),
        ] {
            let requestor =
                Requestor { protocol: Text::plain(protocol), username: Text::plain(""), address: Text::plain(address) };
            assert_eq!(requestor.host().as_deref(), host, "{protocol} {address}");
        }
    }
}
