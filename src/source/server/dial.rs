//! Opens the byte stream to a server.

use std::io;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use log::{debug, info};
use tokio::net::UnixStream;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, timeout};

use super::attempt::Attempt;
use super::hints;
use super::session::{Identity, KnownSession};
use super::stream::{Dialed, Stream};
use super::tcp::{on_a_thread, race, tcp};
use super::tls::{self, Credentials};
use super::tunnel::tunnel;
use crate::remote::{Address, Https, Remote};
use crate::report::exit::Fault;
use crate::system::environment::Environment;

/// The timeout for connecting to a host, over all its addresses.
const ADDRESSES: Duration = Duration::from_secs(8);

/// The timeout for reading the client's files.
const FILES: Duration = Duration::from_secs(5);

/// The delay before the next of a remote's servers is tried as well. A TLS handshake takes several round trips.
const NEXT_SERVER: Duration = Duration::from_millis(500);

/// The delay before a local server that accepts no connection is tried again.
const NEXT_TRY: Duration = Duration::from_millis(50);

/// Connects to the server of `attempt.remote`, at the first of the addresses that are left to try that answers. Over TCP,
/// sets `is_accepted` before the TLS handshake. `session` is what this run knows about the session cookie of the remote.
pub(crate) async fn dial(
    attempt: &Attempt<'_>,
    environment: &Environment,
    session: &Rc<KnownSession>,
) -> anyhow::Result<Dialed> {
    let remote = attempt.remote;
    let credentials = match &remote.address {
        Address::Unix(_) => None,
        Address::Https(https) => Some(credentials(remote, https, environment).await?),
    };
    let addresses: Vec<&Address> = remote.addresses().collect();
    let end = Instant::now() + ADDRESSES;
    let connect = async |number: usize| {
        let (stream, host, prefix) = match (addresses[number], &credentials) {
            (Address::Https(https), Some(credentials)) => {
                let tcp = match &https.proxy {
                    None => Stream::Tcp(tcp(&https.host, end).await?),
                    Some(proxy) => tunnel(proxy, &https.host, credentials, end).await?,
                };
                attempt.is_accepted.set(true);
                let stream = Stream::Tls(Box::new(tls::handshake(tcp, https, remote, credentials).await?));
                info!("{}: verified by {}; {}", remote.name, credentials.trust, credentials.login);
                credentials.login.report_certificate(&remote.name);
                (stream, https.host.to_string(), https.prefix.clone())
            }
            (Address::Unix(path), _) => {
                let stream = dial_unix(path, remote, environment).await?;
                debug!("{}: connected to {}", remote.name, path.display());
                (Stream::Unix(stream), "localhost".into(), String::new())
            }
            (Address::Https(_), None) => return Err(Fault::failed("its addresses are of both kinds").into()),
        };
        let (identity, login) = match &credentials {
            Some(Credentials { login, .. }) => (Identity::new(login, remote.flavour, session), login.to_string()),
            None => (Identity::default(), "the socket's permissions".into()),
        };
        Ok(Dialed { stream, number, host, prefix, identity, login })
    };
    let dialed = race(attempt.order(), NEXT_SERVER, None, async |number| {
        connect(number).await.map_err(|error| attempt.fail(number, error))
    });
    let dialed = dialed.await.map_err(|_| attempt.all_failed())?;
    if addresses.len() > 1 {
        info!("{}: connected to {}", remote.name, addresses[dialed.number]);
    }
    Ok(dialed)
}

/// Connects to a local socket. If the server accepts no connection now, tries again for as long as the caller waits.
async fn dial_unix(path: &Path, remote: &Remote, environment: &Environment) -> anyhow::Result<UnixStream> {
    loop {
        match UnixStream::connect(path).await {
            Ok(stream) => return Ok(stream),
            // The queue of connections that are not accepted yet is full (connect(2)).
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => sleep(NEXT_TRY).await,
            Err(error) => return Err(hints::of_unix_socket(path, &error, remote, environment).into()),
        }
    }
}

/// Reads the client's files for a remote. If the file system hangs, only this remote fails to connect.
async fn credentials(remote: &Remote, https: &Https, environment: &Environment) -> anyhow::Result<Credentials> {
    /// A read that hangs blocks its thread for ever, and each attempt to reconnect would start one more.
    static READERS: Semaphore = Semaphore::const_new(16);
    let (remote, https, environment) = (remote.clone(), https.clone(), environment.clone());
    let directory = https.directories.user.display().to_string();
    let reading = async move {
        let turn = READERS.acquire().await?;
        on_a_thread("files", move || {
            let _turn = turn;
            Credentials::read(&remote, &https, &environment)
        })
        .await?
    };
    timeout(FILES, reading).await.unwrap_or_else(|_| Err(hints::of_files(&directory, FILES).into()))
}
