//! Follows one server: subscribes, reads, and reconnects when the connection is lost.

use std::cell::Cell;
use std::time::{Duration, Instant};

use log::{debug, info, warn};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

use super::attempt::{Attempt, Turn};
use super::backoff::Backoff;
use super::hints::{self, Refused};
use super::http;
use super::peers::{Name, Peers, SOON};
use super::request::Request;
use super::state::Due;
use super::stream::Dialed;
use super::subscription::{Lost, Received, Subscription};
use crate::event::gap::{Gap, timestamp_of};
use crate::event::message::Block;
use crate::queue::{Feed, Item, Pushed, Queue};
use crate::remote::{Address, Flavour, Remote};
use crate::report::exit::Fault;
use crate::report::notice;
use crate::source::live::Live;
use crate::system::clock::local_now;
use crate::system::clock::{Moment, Resumed};
use crate::system::duration::shown;

/// The timeout for connecting. It does not apply to a server that has accepted the connection and is slow to answer.
const CONNECT: Duration = Duration::from_secs(10);

/// After this time without a received byte the server is sent a ping; after the same time again without a byte the
/// connection counts as lost. LXD and Incus ping every 10 s.
const SILENCE: Duration = Duration::from_secs(15);

/// How long a server is waited for that does not confirm a subscription. One that answers pings does so at once.
const CONFIRM: Duration = Duration::from_millis(250);

/// After this time without any event a possible reason is named.
const QUIET: Duration = Duration::from_secs(60);

/// A server and how it is followed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Follow<'a> {
    /// The server.
    pub remote: &'a Remote,
    /// Its name in notices.
    pub name: &'a Name,
    /// Its connection.
    pub feed: Feed,
    /// The other connections.
    pub peers: &'a Peers,
    /// Notified when the server says that members of its cluster come, go or change, if this is of interest.
    pub changes: Option<&'a Notify>,
    /// What the server is asked for.
    pub request: &'a Request,
    /// Receives its messages.
    pub queue: &'a Queue,
    /// What happens when the server cannot be followed.
    pub conduct: Conduct,
    /// How many connections are read in turn, this one included.
    pub connections: usize,
    /// The outcomes of the first attempts to connect to all servers.
    pub starts: &'a Starts<'a>,
    /// Reports that the machine was suspended.
    pub resumed: &'a Resumed,
    /// Which of its addresses to try first.
    pub turn: &'a Turn,
    /// With `--state`: where to report that the present state is to be asked for.
    pub state: Option<&'a Due>,
}

/// What happens when a server cannot be followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Conduct {
    /// Whether to try again when the first connection fails.
    pub retry: bool,
    /// Whether to reconnect when the connection is lost.
    pub reconnect: bool,
    /// `--fail-on-gap`: the first gap ends the program, so there is no point in reconnecting.
    pub fail_on_gap: bool,
}

/// Counts the first attempts to connect to all servers that are followed together.
#[derive(Debug)]
pub(crate) struct Starts<'a> {
    /// Where each server is reported once it is followed; `None` for the members of a cluster, which is reported itself.
    live: Option<&'a Live>,
    /// Whether somebody waits until all servers are followed, who may act then.
    is_awaited: bool,
    pending: Cell<usize>,
    any_live: Cell<bool>,
    all_ended: Notify,
}

impl<'a> Starts<'a> {
    /// For this number of servers. Each is reported to `live` once it is followed.
    #[must_use]
    pub(crate) fn new(servers: usize, live: Option<&'a Live>) -> Self {
        let is_awaited = live.is_some_and(Live::is_awaited);
        Self { live, is_awaited, pending: Cell::new(servers), any_live: Cell::new(false), all_ended: Notify::new() }
    }

    /// For this number of members of a cluster that is one of these servers.
    #[must_use]
    pub(super) fn of_members(&self, members: usize) -> Starts<'static> {
        Starts { is_awaited: self.is_awaited, ..Starts::new(members, None) }
    }

    pub(super) fn report(&self, is_live: bool) {
        self.pending.set(self.pending.get().saturating_sub(1));
        self.any_live.set(self.any_live.get() || is_live);
        if self.pending.get() == 0 {
            self.all_ended.notify_one();
        }
    }

    /// Reports that a server is followed, at the first attempt or later. To be called once for each server.
    pub(super) fn follow(&self) {
        if let Some(live) = self.live {
            live.report();
        }
    }

    /// Waits until all first attempts have ended and one of them has succeeded; for ever if none does.
    pub(super) async fn some_live(&self) {
        self.all_ended.notified().await;
        if !self.any_live.get() {
            std::future::pending::<()>().await;
        }
    }

    /// Waits until all first attempts have failed; for ever if one of them succeeds.
    pub(crate) async fn all_failed(&self) {
        self.all_ended.notified().await;
        if self.any_live.get() {
            std::future::pending::<()>().await;
        }
    }
}

/// The end of a connection.
struct Disconnected {
    lost: Lost,
    /// The time since the last received byte.
    silence: Duration,
}

impl Follow<'_> {
    /// Follows the server until that is impossible. `dial` opens a connection. It can set `is_accepted` as soon
    /// as the server has accepted the connection.
    ///
    /// # Errors
    /// The first attempt to connect failed and is not retried, a later one failed permanently, or the connection was
    /// lost and `reconnect` is off.
    pub(crate) async fn run<S>(
        self,
        dial: impl AsyncFn(&Attempt<'_>) -> anyhow::Result<Dialed<S>>,
    ) -> anyhow::Result<()>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let Remote { flavour, why, address, .. } = self.remote;
        let name = self.name;
        info!("{name}: {flavour} ({why}) at {}", self.remote.shown_addresses());
        let mut backoff = Backoff::new(matches!(address, Address::Unix(_)));
        let first = self.subscribe(&dial).await;
        self.starts.report(first.is_ok());
        let mut subscription = match first {
            Err(error) if self.conduct.retry && !hints::is_permanent(&error) => {
                notice::show(&error.context(name.to_string()));
                warn!("{name}: trying again until it can be followed");
                let subscription = self.resubscribe(&dial, &mut backoff).await?;
                self.peers.connect(self.feed, false);
                subscription
            }
            first => {
                let subscription = first?;
                self.peers.connect(self.feed, true);
                subscription
            }
        };
        if self.starts.is_awaited {
            let _ = timeout(CONFIRM, subscription.confirm()).await;
        }
        self.starts.follow();
        if let Some(state) = self.state {
            state.begin();
        }
        let mut last_message = String::new();
        let mut quiet = self.may_leave_out().then(Moment::now);
        loop {
            let connected = Moment::now();
            let Disconnected { lost, silence } = self.read(&mut subscription, &mut last_message, &mut quiet).await;
            backoff.lived(connected.elapsed());
            drop(subscription);
            // Servers ping every 10 s, so after a longer silence the connection was lost when the silence began.
            let before = if silence > SILENCE { silence } else { Duration::ZERO };
            let Lost(reason) = &lost;
            debug!("{name}: the connection lasted {}; {reason}", shown(connected.elapsed()));
            let gap = Gap {
                remote: self.feed.remote,
                last_event: timestamp_of(&last_message),
                since: local_now() - before,
                end: None,
                reason: reason.clone(),
                dropped: 0,
            };
            let since = Moment::before_now(before);
            let others = self.peers.lose(self.feed, &gap, since, self.queue);
            if !self.conduct.reconnect {
                // The loss itself is the error, so no gap is queued that `--fail-on-gap` would report in its place.
                if !self.conduct.fail_on_gap && others.is_none() {
                    self.queue.open_gap(self.feed, gap, since);
                }
                return Err(lost.into());
            }
            if let Some(others) = others {
                let what = format!("connection lost ({reason}); its cluster is followed through {others}");
                self.report_covered(&what, "without its own log messages");
            } else {
                self.queue.open_gap(self.feed, gap.clone(), since);
                if self.conduct.fail_on_gap {
                    // Do not reconnect, as that may never succeed: the pipeline ends the program at the gap.
                    warn!("{name}: {gap}");
                    return std::future::pending().await;
                }
                warn!("{name}: connection lost ({reason}); reconnecting");
            }
            subscription = match self.resubscribe(&dial, &mut backoff).await {
                Ok(subscription) => subscription,
                Err(error) => {
                    if !self.peers.is_covered(self.feed) {
                        let reason = format!("{reason}; not followed any more: {error:#}");
                        self.queue.open_gap(self.feed, Gap { reason, ..gap }, since);
                    }
                    return Err(error.context(format!("reconnecting after: {}", lost.0)));
                }
            };
            if self.peers.connect(self.feed, false) {
                let what = format!("followed again after {}", shown(since.elapsed()));
                self.report_covered(&what, "its own log messages of that time are missing");
            } else {
                if let Some(gap) = self.queue.close_gap(self.feed) {
                    warn!("{name}: {gap}");
                }
                if let Some(state) = self.state {
                    state.reconnect();
                }
            }
        }
    }

    async fn subscribe<S>(
        &self,
        dial: &impl AsyncFn(&Attempt<'_>) -> anyhow::Result<Dialed<S>>,
    ) -> anyhow::Result<Subscription<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let started = Moment::now();
        let Self { remote, request, .. } = self;
        let attempt = Attempt::new(remote, self.turn);
        let opened = attempt.run(dial, async |Dialed { stream, host, prefix, identity, login, .. }| {
            let target = request.target(&prefix, remote.project.as_deref());
            let opened = http::upgrade(stream, &host, &target, &identity).await;
            let is_retried = self.conduct.retry;
            opened.map_err(|error| Refused { remote, request, login: &login, is_retried }.explain(error))
        });
        tokio::pin!(opened);
        let name = self.name;
        let (stream, early) = match timeout(CONNECT, &mut opened).await {
            Ok(outcome) => outcome?,
            Err(_) if attempt.is_accepted.get() => {
                warn!(
                    "{name}: the server has accepted the connection and not answered for {}; waiting for it",
                    shown(CONNECT)
                );
                opened.await?
            }
            Err(_) => {
                return Err(hints::of_silence(CONNECT).into());
            }
        };
        info!("{name}: subscribed after {}", shown(started.elapsed()));
        Ok(Subscription::new(stream, early.into(), self.connections))
    }

    /// Retries until an attempt succeeds or fails permanently. A login that has ended is no end: the client's files are
    /// read at each attempt, and the user can log in again with the client. Meanwhile, events that were dropped before
    /// are reported as soon as memory is free again.
    async fn resubscribe<S>(
        &self,
        dial: &impl AsyncFn(&Attempt<'_>) -> anyhow::Result<Dialed<S>>,
        backoff: &mut Backoff,
    ) -> anyhow::Result<Subscription<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let attempts = async {
            let name = self.name;
            let mut is_renewal_asked_for = false;
            let mut reported = String::new();
            loop {
                let wait = backoff.wait();
                let wait = if self.peers.is_covered(self.feed) { wait.min(SOON) } else { wait };
                debug!("{name}: the next attempt to connect is in {}", shown(wait));
                sleep(wait).await;
                let error = match self.subscribe(dial).await {
                    Ok(subscription) => return Ok(subscription),
                    Err(error) => error,
                };
                let text = format!("{name}: {error:#}; trying again");
                match renewal(&error) {
                    Some(renewal) if !is_renewal_asked_for => {
                        is_renewal_asked_for = true;
                        warn!("{text} until you {renewal}");
                    }
                    None if hints::is_permanent(&error) => return Err(error),
                    _ if text == reported => debug!("{text}"),
                    _ => info!("{text}"),
                }
                reported = text;
            }
        };
        let dropped = async {
            self.end_dropping().await;
            std::future::pending::<()>().await;
        };
        tokio::select! {
            biased;
            outcome = attempts => outcome,
            () = dropped => unreachable!("it waits for ever"),
        }
    }

    /// If events were dropped, waits for free memory and reports how many.
    pub(crate) async fn end_dropping(&self) {
        if self.queue.is_dropping(self.feed) {
            let gap = self.queue.end_dropping(self.feed).await;
            self.report_dropped(gap);
        }
    }

    /// Whether the server can be one that does not refuse a restricted login, but leaves out events (LXD
    /// `lxd/events.go`, `eventsSocket`). Its answer does not contain its version.
    fn may_leave_out(&self) -> bool {
        self.remote.flavour == Flavour::Lxd && matches!(self.remote.address, Address::Https(_))
    }

    /// Reads until the connection is lost. By then every received message has been pushed to the queue, and the last
    /// one is in `last_message`. `quiet` is since when there has been no event, until that is explained.
    async fn read<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        subscription: &mut Subscription<S>,
        last_message: &mut String,
        quiet: &mut Option<Moment>,
    ) -> Disconnected {
        let mut received = Received::default();
        let mut next_message = String::new();
        let mut messages = 0;
        let mut is_dropping = self.queue.is_dropping(self.feed);
        let mut unconfirmed = self.state;
        let (check, resumed) = (sleep(SILENCE), self.resumed.wait());
        tokio::pin!(check, resumed);
        loop {
            self.queue.rest().await;
            let outcome = tokio::select! {
                biased;
                outcome = subscription.read(&mut received) => outcome,
                gap = self.queue.end_dropping(self.feed), if is_dropping => {
                    is_dropping = false;
                    self.report_dropped(gap);
                    continue;
                }
                () = async { tokio::select! { biased; () = &mut check => {} () = &mut resumed => {} } } => {
                    if last_message.is_empty() && quiet.is_some_and(|since| since.elapsed() >= QUIET) {
                        *quiet = None;
                        info!(
                            "{}: no events so far; since version 6.6 LXD leaves out silently what this login may not \
                             see",
                            self.remote.name
                        );
                    }
                    let silence = subscription.silence();
                    let next = match silence {
                        silence if silence >= 2 * SILENCE => SILENCE,
                        silence if silence >= SILENCE => {
                            debug!("{}: no byte for {}; sending a ping", self.name, shown(silence));
                            subscription.ping();
                            (2 * SILENCE).saturating_sub(silence)
                        }
                        silence => SILENCE.saturating_sub(silence),
                    };
                    check.set(sleep(next));
                    resumed.set(self.resumed.wait());
                    if silence >= 2 * SILENCE {
                        Err(Lost(format!("no sign of life for {}", shown(Duration::from_secs(silence.as_secs())))))
                    } else {
                        continue;
                    }
                }
            };
            let has_ping = std::mem::take(&mut received.has_ping);
            messages += received.block.len() as u64;
            if has_ping {
                debug!("{}: ping of the server; {messages} messages so far on this connection", self.name);
            }
            let is_confirmed = has_ping || !received.block.is_empty();
            if let Some(state) = unconfirmed.take_if(|_| is_confirmed) {
                state.confirm();
            }
            if let binary @ 1.. = std::mem::take(&mut received.binary) {
                self.queue.push_always(Item::Binary(self.feed.remote, binary));
            }
            if let Some(last) = received.block.len().checked_sub(1) {
                next_message.clear();
                next_message.push_str(received.block.text(last));
                if let Some(changes) = self.changes.filter(|_| names_members(&received.block)) {
                    changes.notify_one();
                }
                match self.queue.push(self.feed, &mut received.block, Instant::now(), last_message) {
                    Pushed::Dropped => is_dropping = true,
                    Pushed::Queued(gap) => {
                        is_dropping = false;
                        self.report_dropped(gap);
                    }
                }
                std::mem::swap(last_message, &mut next_message);
            }
            match outcome {
                Ok(false) => {}
                // Let the readers of other connections and the pipeline's task run before the next read.
                Ok(true) => tokio::task::yield_now().await,
                Err(lost) => return Disconnected { lost, silence: subscription.silence() },
            }
        }
    }

    fn report_dropped(&self, gap: Option<Gap>) {
        if let Some(gap) = gap {
            warn!("{}: {gap}", self.name);
            if let Some(state) = self.state {
                state.lose();
            }
        }
    }

    /// Reports the loss and the return of a connection while other members of the cluster are followed. If log messages
    /// are asked for, those that only this member sends are missing.
    fn report_covered(&self, what: &str, missing: &str) {
        if self.request.wants_logs() {
            warn!("{}: {what}, {missing}", self.name);
        } else {
            info!("{}: {what}", self.name);
        }
    }
}

/// Whether one of the messages may be a lifecycle event about members of the cluster.
fn names_members(block: &Block) -> bool {
    (0..block.len()).any(|index| memchr::memmem::find(block.text(index).as_bytes(), b"\"cluster-member-").is_some())
}

/// The command that mends an error, if a new login does so.
fn renewal(error: &anyhow::Error) -> Option<&str> {
    let mut faults = error.chain().filter_map(|cause| cause.downcast_ref::<Fault>());
    faults.find(|fault| fault.is_renewable()).and_then(Fault::hint_text)
}

/// These tests use in-process byte streams and tokio's paused clock: timeouts of many seconds pass in milliseconds.
#[cfg(test)]
mod tests;
