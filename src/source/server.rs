//! Follows one server: subscribes, reads, and comes back when the connection is lost.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use chrono::{DateTime, Local};
use log::{info, warn};
use tokio::time::timeout;

use super::backoff::Backoff;
use super::dial::{Stream, dial};
use super::websocket::{Frame, Lost, Refusal, Request, Subscription};
use crate::event::{RemoteId, Type};
use crate::exit::Fault;
use crate::gap::Gap;
use crate::queue::{Item, Queue};
use crate::remote::Remote;

/// How long connecting may take, up to the server's answer.
const CONNECT: Duration = Duration::from_secs(10);

/// After this long without a frame the server is asked for a sign of life; after as long again without one it counts
/// as gone. LXD and Incus ping every 10 s.
const SILENCE: Duration = Duration::from_secs(15);

/// How much is read before the writer gets it, in bytes.
const BURST: usize = 128 << 10;

/// One server and how it is followed.
#[derive(Clone, Copy, Debug)]
pub struct Follow<'a> {
    /// The server.
    pub remote: &'a Remote,
    /// Its number.
    pub id: RemoteId,
    /// What is asked of it.
    pub request: &'a Request,
    /// Where its messages go.
    pub queue: &'a Queue,
    /// Whether to come back when the connection is lost.
    pub reconnect: bool,
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
        let mut subscription = self.subscribe().await.map_err(with_hint)?;
        loop {
            let Ended { lost, last } = self.read(&mut subscription).await;
            if !self.reconnect {
                return Err(lost.into());
            }
            let Lost(reason) = lost;
            drop(subscription);
            warn!("{name}: connection lost ({reason}); reconnecting");
            let lost_at = Instant::now();
            subscription = self.resubscribe().await.with_context(|| format!("reconnecting after: {reason}"))?;
            info!("{name}: reconnected after {:.1} s", lost_at.elapsed().as_secs_f64());
            let gap = Gap { remote: self.id, since: last, until: Local::now(), reason, dropped: 0 };
            self.queue.push_always(Item::Gap(gap));
        }
    }

    async fn subscribe(&self) -> anyhow::Result<Subscription<Stream>> {
        let started = Instant::now();
        let target = self.request.target("", self.remote.project.as_deref());
        let attempt = async {
            let stream = dial(self.remote).await?;
            Subscription::open(stream, "lxd", &target, None).await
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

    /// Tries again and again, until it works or cannot work any more.
    async fn resubscribe(&self) -> anyhow::Result<Subscription<Stream>> {
        let mut backoff = Backoff::default();
        loop {
            tokio::time::sleep(backoff.wait()).await;
            match self.subscribe().await {
                Ok(subscription) => return Ok(subscription),
                Err(error) if is_permanent(&error) => return Err(with_hint(error)),
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
            let outcome = match timeout(SILENCE, subscription.read(&mut frames, BURST)).await {
                Ok(outcome) => outcome,
                Err(_) if asked => {
                    let silence = 2 * SILENCE.as_secs();
                    Err(Lost(format!("no sign of life for {silence} s")))
                }
                Err(_) => {
                    asked = true;
                    match timeout(SILENCE, subscription.ping()).await {
                        Ok(outcome) => outcome,
                        Err(_) => Err(Lost(format!("no sign of life for {} s", 2 * SILENCE.as_secs()))),
                    }
                }
            };
            if !frames.is_empty() {
                asked = false;
                last = Local::now();
                items.extend(frames.drain(..).filter_map(|frame| match frame {
                    Frame::Text(text) => Some(Item::Message(self.id, text)),
                    Frame::Binary => Some(Item::Binary(self.id)),
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

/// Adds what mends a refusal.
fn with_hint(error: anyhow::Error) -> anyhow::Error {
    let Some(refusal) = error.downcast_ref::<Refusal>() else { return error };
    let fault = Fault::failed(refusal.to_string());
    let text = refusal.text.to_ascii_lowercase();
    let hinted = if text.contains("event type") {
        let known: Vec<_> = Type::KNOWN.into_iter().map(Type::name).collect();
        fault.hint(format!("known types: {}; not every server has all of them", known.join(", ")))
    } else if text.contains("project") {
        fault.hint("`lxc project list` or `incus project list` shows the projects")
    } else if matches!(refusal.status, 401 | 403) {
        fault.hint("log in as someone who may see these events, or ask for other types or projects")
    } else {
        fault
    };
    hinted.into()
}

/// Whether trying again is in vain: the server understood and said no.
fn is_permanent(error: &anyhow::Error) -> bool {
    error.downcast_ref::<Refusal>().is_some_and(|refusal| (400..500).contains(&refusal.status))
}
