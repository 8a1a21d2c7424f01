//! Connects to a server through a proxy.

use std::time::Duration;

use log::debug;
use tokio::time::{Instant, timeout_at};
use tokio_socks::tcp::Socks5Stream;

use super::hints;
use super::http;
use super::stream::Stream;
use super::tcp::tcp;
use super::tls::{self, Credentials};
use crate::remote::Host;
use crate::remote::proxy::{Kind, Proxy};
use crate::remote::secret::Secret;
use crate::report::exit::Fault;
use crate::system::duration::in_seconds;

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
        let (kind, login) = (proxy.kind.name(), if proxy.login.is_some() { "with" } else { "without" });
        debug!("asking the {kind} {proxy} for a connection to {host}, {login} a login");
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
        .unwrap_or_else(|_| Err(Fault::failed(format!("no answer within {}", in_seconds(begun.elapsed())))));
    stream.map_err(|fault| hints::of_proxy(&fault, proxy).into())
}

/// Sends the HTTP request CONNECT.
async fn connect(stream: Stream, proxy: &Proxy, host: &Host) -> Result<Stream, Fault> {
    let authorization = proxy.login.as_ref().map(crate::remote::proxy::Login::basic);
    let error = match http::connect(stream, &host.to_string(), authorization.as_ref()).await {
        Ok(stream) => return Ok(stream),
        Err(error) => error,
    };
    Err(hints::of_proxys_refusal(&error, proxy, host))
}

/// Sends the SOCKS command CONNECT. The proxy resolves the name of the server, as for the clients.
async fn socks(stream: Stream, proxy: &Proxy, host: &Host) -> Result<Stream, Fault> {
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
    Err(hints::of_socks(error, proxy, host))
}
