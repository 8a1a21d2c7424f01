//! Asks a server a question about itself, on a connection of its own.

use std::rc::Rc;
use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use super::attempt::{Attempt, Turn};
use super::dial::dial;
use super::hints::{self, Refused};
use super::session::KnownSession;
use super::stream::Dialed;
use super::{Connecting, http};
use crate::remote::Remote;
use crate::report::exit::Fault;

/// The timeout for a question, connecting included.
const ANSWER: Duration = Duration::from_secs(15);

/// The maximum size of an answer, in bytes. That of `/1.0` is 15 KiB long; a member takes 400 bytes in the list.
const LONGEST: usize = 1 << 20;

/// A server that can be asked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Site<'a> {
    pub(super) remote: &'a Remote,
    /// Which of its addresses to try first. Afterwards, the one that has answered.
    pub(super) turn: &'a Turn,
    /// The session of the remote.
    pub(super) session: &'a Rc<KnownSession>,
    pub(super) connecting: &'a Connecting,
}

/// Asks a server. `path` begins with `/1.0`.
pub(super) async fn ask<T: DeserializeOwned>(site: Site<'_>, path: &str) -> anyhow::Result<T> {
    #[derive(Deserialize)]
    struct Answer<T> {
        metadata: T,
    }
    let Site { remote, turn, session, connecting: Connecting { environment, request, .. } } = site;
    let attempt = Attempt::new(remote, turn);
    let dial = async |attempt: &Attempt<'_>| dial(attempt, environment, session).await;
    let answer = attempt.run(dial, async |Dialed { stream, host, prefix, identity, login, .. }| {
        let body = http::get(stream, &host, &format!("{prefix}{path}"), &identity, LONGEST).await;
        body.map_err(|error| Refused { remote, request, login: &login, is_retried: true }.explain(error))
    });
    let body = timeout(ANSWER, answer).await.unwrap_or_else(|_| Err(hints::of_silence(ANSWER).into()))?;
    let answer: Answer<T> = serde_json::from_slice(&body).map_err(|error| {
        Fault::failed(format!("the answer to {path} is not that of an LXD or Incus server: {error}"))
    })?;
    Ok(answer.metadata)
}
