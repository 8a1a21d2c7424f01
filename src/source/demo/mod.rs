//! The built-in demonstration: a stand-in server on a private Unix socket replays a session over a WebSocket to the
//! ordinary client code.
//!
//! The session is written by hand in the shapes that LXD 6.9 sends (read from its source), with some of LXD 5.0 beside
//! them: three cluster members, three projects. Its names, addresses and secrets are made up.

use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use anyhow::Context as _;
use chrono::DateTime;
use futures_util::SinkExt as _;
use serde::Deserialize;
use tempfile::TempDir;
use tokio::net::{UnixListener, UnixStream};
use tokio_tungstenite::accept_async;
use tokio_tungstenite::tungstenite::Message;

use super::server::Connecting;
use super::server::attempt::{Attempt, Turn};
use super::server::dial::dial;
use super::server::follow::{Conduct, Follow, Starts};
use super::server::peers::{Name, Peers};
use super::server::subscription::Lost;
use crate::queue::{Feed, Queue};
use crate::remote::{Address, Flavour, Remote};
use crate::report::exit::Fault;
use crate::report::followed::Version;

/// What the server sends, one event per line.
const SESSION: &str = include_str!("session.ndjson");

/// What the server of the session ran.
#[must_use]
pub(super) fn version() -> Version {
    Version { software: Flavour::Lxd.to_string(), version: "6.9".into() }
}

/// Follows the stand-in server until it has replayed the session.
///
/// # Errors
/// The server cannot be started or followed.
pub(super) async fn follow(connecting: &Connecting, queue: &Queue) -> anyhow::Result<()> {
    let demo = Demo::new()?;
    let remote = Remote {
        name: "demo".into(),
        flavour: Flavour::Lxd,
        why: "the recorded server is LXD".into(),
        address: Address::Unix(demo.socket()),
        further: Vec::new(),
        project: None,
    };
    let (starts, turn) = (Starts::new(1, Some(&connecting.live)), Turn::default());
    let follow = Follow {
        remote: &remote,
        name: &Name::new(remote.name.clone()),
        feed: Feed::default(),
        peers: &Peers::default(),
        changes: None,
        request: &connecting.request,
        queue,
        // `fail_on_gap`: the end of the session is no gap in it.
        conduct: Conduct { retry: false, reconnect: false, fail_on_gap: true },
        connections: 1,
        starts: &starts,
        resumed: &connecting.resumed,
        turn: &turn,
        state: None,
    };
    let session = Rc::default();
    let dial = async |attempt: &Attempt<'_>| dial(attempt, &connecting.environment, &session).await;
    let (served, followed) = tokio::join!(demo.serve(), follow.run(dial));
    served.context("the demonstration's server")?;
    match followed {
        // The server closes the connection at the end of the session.
        Err(error) if error.is::<Lost>() => Ok(()),
        outcome => outcome.context("following the demonstration's server"),
    }
}

/// The stand-in server.
#[derive(Debug)]
struct Demo {
    listener: UnixListener,
    directory: TempDir,
}

impl Demo {
    /// Listens on a socket that only this user can reach.
    fn new() -> anyhow::Result<Self> {
        let mut named = tempfile::Builder::new();
        named.prefix("lxmon-demo-");
        // The directory for temporary files is missing where there is nothing but lxmon, as in an image of one file.
        let directory = named.tempdir().or_else(|error| named.tempdir_in(".").map_err(|_| error)).map_err(|error| {
            let fault = Fault::failed(format!("creating a directory for the demonstration's socket: {error}"));
            fault.hint("set TMPDIR to a directory that you may write to")
        })?;
        let listener = UnixListener::bind(socket(&directory)).context("creating the demonstration's socket")?;
        Ok(Self { listener, directory })
    }

    /// The path of the socket.
    fn socket(&self) -> PathBuf {
        socket(&self.directory)
    }

    /// Replays the session to the first client at its recorded pace, then closes the connection.
    async fn serve(&self) -> anyhow::Result<()> {
        let (stream, _) = self.listener.accept().await?;
        play(stream).await
    }
}

fn socket(directory: &TempDir) -> PathBuf {
    directory.path().join("unix.socket")
}

async fn play(stream: UnixStream) -> anyhow::Result<()> {
    #[derive(Deserialize)]
    struct Stamped<'a> {
        timestamp: &'a str,
    }
    let mut socket = accept_async(stream).await?;
    let started = tokio::time::Instant::now();
    let mut first = None;
    for line in SESSION.lines() {
        let stamped: Stamped<'_> = serde_json::from_str(line)?;
        let time = DateTime::parse_from_rfc3339(stamped.timestamp)?;
        // The server's goroutines swap neighbouring events. An event that is earlier than its predecessor is sent at
        // once.
        let after = (time - *first.get_or_insert(time)).to_std().unwrap_or(Duration::ZERO);
        tokio::time::sleep_until(started + after).await;
        socket.send(Message::text(format!("{line}\n"))).await?;
    }
    socket.close(None).await?;
    Ok(())
}
