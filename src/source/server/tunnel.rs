//! Connects to a server through a proxy.

use std::io;
use std::time::Duration;

use log::debug;
use tokio::time::{Instant, timeout_at};
use tokio_socks::tcp::Socks5Stream;

use super::dial::{Stream, tcp};
use super::http::{self, Refusal};
use super::tls::{self, Credentials};
use crate::remote::Host;
use crate::remote::login::Secret;
use crate::remote::proxy::{Kind, Proxy};
use crate::report::exit::Fault;

/// How long a proxy's answer is waited for after the timeout for connecting to it. The whole is shorter than the timeout
/// for connecting to a server, so that the error names the proxy.
const ANSWER: Duration = Duration::from_secs(1);

/// Asks a proxy for a tunnel to `host`. `end` is the timeout for connecting to the proxy.
///
/// # Errors
/// Why there is none. The error names the proxy, and never its login.
pub(super) async fn tunnel(
    proxy: &Proxy,
    host: &Host,
    credentials: &Credentials,
    end: Instant,
) -> anyhow::Result<Stream> {
    let begun = Instant::now();
    let stream = async {
        let tcp = tcp(&proxy.host, end).await?;
        debug!("asking the {proxy}");
        match proxy.kind {
            Kind::Http => connect(Stream::Tcp(tcp), proxy, host).await,
            Kind::Https => {
                let stream = tls::handshake_with_proxy(tcp, &proxy.host, credentials).await.map_err(Fault::failed)?;
                connect(Stream::Tls(Box::new(stream)), proxy, host).await
            }
            Kind::Socks5 => socks(Stream::Tcp(tcp), proxy, host).await,
        }
    };
    let stream = timeout_at(end + ANSWER, stream)
        .await
        .unwrap_or_else(|_| Err(Fault::failed(format!("no answer within {:.0} s", begun.elapsed().as_secs_f64()))));
    stream.map_err(|fault| {
        let hint = fault.hint_text().unwrap_or("HTTPS_PROXY names the proxy, NO_PROXY lists exceptions").to_owned();
        let named = Fault::failed(format!("{proxy}: {fault}")).hint(hint);
        if fault.is_permanent() { named.permanent().into() } else { named.into() }
    })
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

/// Sends the HTTP request CONNECT.
async fn connect(stream: Stream, proxy: &Proxy, host: &Host) -> Result<Stream, Fault> {
    let authorization = proxy.login.as_ref().map(crate::remote::proxy::Login::basic);
    let error = match http::connect(stream, &host.to_string(), authorization.as_ref()).await {
        Ok(stream) => return Ok(stream),
        Err(error) => error,
    };
    match error.downcast_ref::<Refusal>() {
        None => Err(Fault::failed(format!("{error:#}"))),
        Some(Refusal { status: 407, .. }) => Err(login("it requires a login (407)", proxy.kind)),
        Some(refusal) => {
            let Refusal { status, reason, text, .. } = refusal;
            let separator = if text.is_empty() { "" } else { ": " };
            let fault = Fault::failed(format!("it refuses to connect to {host}: {status} {reason}{separator}{text}"));
            Err(if refusal.is_permanent() { fault.permanent() } else { fault })
        }
    }
}

/// Sends the SOCKS command CONNECT. The proxy resolves the name of the server, as for the clients.
async fn socks(stream: Stream, proxy: &Proxy, host: &Host) -> Result<Stream, Fault> {
    use tokio_socks::Error;
    let target = (&*host.name, host.port);
    let outcome = match &proxy.login {
        None => Socks5Stream::connect_with_socket(stream, target).await,
        Some(login) => {
            let (Secret(user), Secret(password)) = (&login.user, &login.password);
            Socks5Stream::connect_with_password_and_socket(stream, target, user, password).await
        }
    };
    let error = match outcome {
        Ok(stream) => return Ok(stream.into_inner()),
        Err(error) => error,
    };
    let refuses = |why: &str| Fault::failed(format!("it cannot connect to {host}: {why}"));
    Err(match error {
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
    })
}
