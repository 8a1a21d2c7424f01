//! Follows one server: subscribes, reads, and comes back when the connection is lost.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use chrono::{DateTime, Local};
use log::{info, warn};
use tokio::time::timeout;

use super::backoff::Backoff;
use super::dial::{Dialed, Stream, dial};
use super::frames::{Frame, Lost};
use super::http::Refusal;
use super::tls;
use super::websocket::{Request, Subscription};
use crate::event::{RemoteId, Type};
use crate::exit::Fault;
use crate::gap::Gap;
use crate::queue::{Item, Queue};
use crate::remote::{Address, Environment, Remote};

/// How long connecting may take, up to the server's answer.
const CONNECT: Duration = Duration::from_secs(10);

/// After this long without a frame the server is asked for a sign of life; after as long again without one it counts
/// as gone. LXD and Incus ping every 10 s.
const SILENCE: Duration = Duration::from_secs(15);

/// One server and how it is followed.
#[derive(Clone, Copy, Debug)]
pub struct Follow<'a> {
    /// The server.
    pub remote: &'a Remote,
    /// Its number.
    pub id: RemoteId,
    /// How many are followed at once.
    pub remotes: usize,
    /// What is asked of it.
    pub request: &'a Request,
    /// What may hold a login.
    pub environment: &'a Environment,
    /// Where its messages go.
    pub queue: &'a Queue,
    /// Whether to come back when the connection is lost.
    pub reconnect: bool,
    /// Whether a gap is the end anyway, so that there is nothing to come back for.
    pub fail_on_gap: bool,
}

impl Follow<'_> {
    /// Follows until there is no way on.
    ///
    /// # Errors
    /// The first attempt to connect failed, or a later one in a way that trying again does not mend, or the connection
    /// was lost and is not to be made again.
    pub async fn run(self) -> anyhow::Result<()> {
        let Remote { name, flavour, why, address, .. } = self.remote;
        info!("{name}: {flavour} ({why}) at {address}");
        let mut subscription = self.subscribe().await?;
        let mut backoff = Backoff::default();
        loop {
            let connected = Instant::now();
            let Ended { lost, last } = self.read(&mut subscription).await;
            backoff.lived(connected.elapsed());
            if !self.reconnect {
                return Err(lost.into());
            }
            let Lost(reason) = lost;
            drop(subscription);
            let gap = Gap { remote: self.id, since: last, until: Local::now(), reason, dropped: 0, is_open: true };
            if self.fail_on_gap {
                // The writer ends the program when it comes to this. The server may never come back.
                self.queue.push_always(Item::Gap(gap));
                return std::future::pending().await;
            }
            let reason = &gap.reason;
            warn!("{name}: connection lost ({reason}); reconnecting");
            let lost_at = Instant::now();
            subscription =
                self.resubscribe(&mut backoff).await.with_context(|| format!("reconnecting after: {reason}"))?;
            info!("{name}: reconnected after {:.1} s", lost_at.elapsed().as_secs_f64());
            self.queue.push_always(Item::Gap(Gap { until: Local::now(), is_open: false, ..gap }));
        }
    }

    async fn subscribe(&self) -> anyhow::Result<Subscription<Stream>> {
        let started = Instant::now();
        let attempt = async {
            let Dialed { stream, host, prefix, authorization, login } = dial(self.remote, self.environment).await?;
            let target = self.request.target(&prefix, self.remote.project.as_deref());
            let opened = Subscription::open(stream, &host, &target, authorization.as_ref(), self.remotes).await;
            opened.map_err(|error| self.with_hint(error, &login))
        };
        let subscription = match timeout(CONNECT, attempt).await {
            Ok(outcome) => outcome?,
            Err(_) => {
                return Err(Fault::failed(format!("no answer within {} s", CONNECT.as_secs()))
                    .hint("is it an LXD or Incus server, and does it hang?")
                    .into());
            }
        };
        info!("{}: subscribed after {:.1} ms", self.remote.name, started.elapsed().as_secs_f64() * 1e3);
        Ok(subscription)
    }

    /// Adds to a refusal what mends it.
    fn with_hint(&self, error: anyhow::Error, login: &str) -> anyhow::Error {
        let Some(refusal) = error.downcast_ref::<Refusal>() else { return tls::in_words(error, self.remote) };
        let (client, name) = (self.remote.flavour.client(), &self.remote.name);
        let text = refusal.text.to_ascii_lowercase();
        // LXD 5.0 says it with a 500.
        let denied = matches!(refusal.status, 401 | 403) || text == "forbidden" || text == "not authorized";
        let what = if denied { format!("{refusal} (tried: {login})") } else { refusal.to_string() };
        let fault = Fault::failed(what);
        let fault = match &self.remote.address {
            _ if !refusal.is_servers => fault,
            _ if text.contains("event type") => {
                let known: Vec<_> = Type::KNOWN.into_iter().map(Type::name).collect();
                fault.hint(format!("known types: {}; not every server has all of them", known.join(", ")))
            }
            _ if text.contains("project") => fault.hint(format!("`{client} project list` shows the projects")),
            Address::Https(https) if denied && https.auth_type.as_deref() == Some("oidc") => {
                fault.hint(format!("log in again: {client} list {name}:"))
            }
            Address::Https(https) if denied => fault.hint(format!(
                "have the server trust this client: {client} remote remove {name} && {client} remote add {name} {}",
                https.url
            )),
            Address::Unix(_) if denied => fault.hint("log in as someone who may see these events, or ask for others"),
            _ => fault,
        };
        if denied || refusal.is_permanent() { fault.permanent().into() } else { fault.into() }
    }

    /// Tries again and again, until it works or cannot work any more.
    async fn resubscribe(&self, backoff: &mut Backoff) -> anyhow::Result<Subscription<Stream>> {
        loop {
            tokio::time::sleep(backoff.wait()).await;
            match self.subscribe().await {
                Ok(subscription) => return Ok(subscription),
                Err(error) if is_permanent(&error) => return Err(error),
                Err(error) => info!("{}: {error:#}; trying again", self.remote.name),
            }
        }
    }

    /// Reads until the connection is lost. Everything that came before has been queued then.
    async fn read(&self, subscription: &mut Subscription<Stream>) -> Ended {
        let mut frames = Vec::new();
        let mut items = Vec::new();
        let mut last = Local::now();
        let mut asked = false;
        loop {
            let outcome = match timeout(SILENCE, subscription.read(&mut frames)).await {
                Ok(outcome) => outcome,
                Err(_) if asked => {
                    let silence = 2 * SILENCE.as_secs();
                    Err(Lost(format!("no sign of life for {silence} s")))
                }
                Err(_) => {
                    asked = true;
                    subscription.ping();
                    Ok(())
                }
            };
            if !frames.is_empty() {
                asked = false;
                last = Local::now();
                items.extend(frames.drain(..).filter_map(|frame| match frame {
                    Frame::Text(text) => Some(Item::Message(self.id, text)),
                    Frame::Unreadable(why) => Some(Item::Unreadable(self.id, why)),
                    Frame::Control => None,
                }));
                self.queue.push(self.id, &mut items).await;
            }
            if let Err(lost) = outcome {
                return Ended { lost, last };
            }
        }
    }
}

/// The end of a connection.
struct Ended {
    lost: Lost,
    /// When the last frame came.
    last: DateTime<Local>,
}

/// Whether trying again is in vain.
fn is_permanent(error: &anyhow::Error) -> bool {
    error.chain().filter_map(|cause| cause.downcast_ref::<Fault>()).any(Fault::is_permanent)
}
