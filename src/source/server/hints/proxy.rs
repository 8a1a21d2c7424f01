//! Why there is no tunnel through a proxy. None of the errors contains its login.

use std::io;

use rustls::{AlertDescription, CertificateError, Error};

use super::{of_tls, words};
use crate::remote::Host;
use crate::remote::proxy::{Kind, Proxy};
use crate::report::exit::Fault;
use crate::source::server::http::Refusal;

/// Names the proxy in one of its errors.
pub(in crate::source::server) fn of_proxy(fault: &Fault, proxy: &Proxy) -> Fault {
    let hint = fault.hint_text().unwrap_or("HTTPS_PROXY names the proxy, NO_PROXY lists exceptions").to_owned();
    let named = Fault::failed(format!("{proxy}: {fault}")).hint(hint);
    if fault.is_permanent() { named.permanent() } else { named }
}

/// The proxy wants a login, or another one.
fn login(what: &str, kind: Kind) -> Fault {
    let scheme = match kind {
        Kind::Http => "http",
        Kind::Https => "https",
        Kind::Socks5 => "socks5",
    };
    Fault::failed(what).hint(format!("write HTTPS_PROXY={scheme}://user:password@host:port")).permanent()
}

/// Why the handshake with a proxy failed.
pub(in crate::source::server) fn of_proxys_handshake(error: &io::Error) -> String {
    match of_tls(error) {
        Some(Error::InvalidCertificate(CertificateError::UnknownIssuer | CertificateError::BadSignature)) => {
            "no authority that the system trusts has signed its certificate".to_owned()
        }
        Some(Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        )) => "its certificate is for another name".to_owned(),
        Some(Error::InvalidCertificate(error)) => format!("its certificate is rejected: {}", words(error)),
        Some(Error::InvalidMessage(_)) => "it does not speak TLS on this port".to_owned(),
        Some(Error::AlertReceived(AlertDescription::ProtocolVersion)) => "it does not support TLS 1.3".to_owned(),
        Some(error) => format!("TLS: {error}"),
        None => format!("it ends the connection during the TLS handshake ({error})"),
    }
}

/// Why an HTTP proxy does not connect to `host`.
pub(in crate::source::server) fn of_proxys_refusal(error: &anyhow::Error, proxy: &Proxy, host: &Host) -> Fault {
    match error.downcast_ref::<Refusal>() {
        None => Fault::failed(format!("{error:#}")),
        Some(Refusal { status: 407, .. }) => login("it requires a login (407)", proxy.kind),
        Some(refusal) => {
            let Refusal { status, reason, text, .. } = refusal;
            let separator = if text.is_empty() { "" } else { ": " };
            let fault = Fault::failed(format!("it refuses to connect to {host}: {status} {reason}{separator}{text}"));
            if refusal.is_permanent() { fault.permanent() } else { fault }
        }
    }
}

/// Why a SOCKS proxy does not connect to `host`.
pub(in crate::source::server) fn of_socks(error: tokio_socks::Error, proxy: &Proxy, host: &Host) -> Fault {
    use tokio_socks::Error;
    let refuses = |why: &str| Fault::failed(format!("it cannot connect to {host}: {why}"));
    match error {
        Error::Io(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            Fault::failed("it closes the connection without an answer")
        }
        Error::Io(error) => Fault::failed(error.to_string()),
        Error::InvalidResponseVersion
        | Error::InvalidReservedByte
        | Error::UnknownAddressType
        | Error::UnknownAuthMethod => Fault::failed("it does not answer in SOCKS 5"),
        Error::NoAcceptableAuthMethods => match &proxy.login {
            None => login("it requires a login", proxy.kind),
            Some(_) => login("it does not accept a login with user and password", proxy.kind),
        },
        Error::PasswordAuthFailure(_) => login("it does not accept the login", proxy.kind),
        Error::ConnectionNotAllowedByRuleset => {
            Fault::failed(format!("it refuses to connect to {host}: not allowed by its rules")).permanent()
        }
        Error::GeneralSocksServerFailure => refuses("general failure"),
        Error::NetworkUnreachable => refuses("network unreachable"),
        Error::HostUnreachable => refuses("host unreachable"),
        Error::ConnectionRefused => refuses("connection refused"),
        Error::TtlExpired => refuses("no answer"),
        error => refuses(&error.to_string()),
    }
}
