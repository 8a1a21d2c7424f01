//! Follows one server: subscribes, reads, and reconnects when the connection is lost.

use std::cell::Cell;
use std::time::{Duration, Instant};

use log::{info, warn};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

use super::backoff::Backoff;
use super::dial::Dialed;
use super::http::{self, Refusal};
use super::request::Request;
use super::subscription::{Lost, Received, Subscription};
use super::tls;
use crate::event::gap::{Gap, timestamp_of};
use crate::event::{RemoteId, Type};
use crate::queue::{Item, Pushed, Queue};
use crate::remote::{Address, Remote};
use crate::report::exit::Fault;
use crate::report::notice;
use crate::system::clock::local_now;
use crate::system::clock::{Moment, Resumed};

/// The timeout for connecting. It does not apply to a server that has accepted the connection and is slow to answer.
const CONNECT: Duration = Duration::from_secs(10);

/// After this time without a received byte the server is sent a ping; after the same time again without a byte the
/// connection counts as lost. LXD and Incus ping every 10 s.
const SILENCE: Duration = Duration::from_secs(15);

/// A server and how it is followed.
#[derive(Clone, Copy, Debug)]
pub struct Follow<'a> {
    /// The server.
    pub remote: &'a Remote,
    /// Its number.
    pub id: RemoteId,
    /// What the server is asked for.
    pub request: &'a Request,
    /// Receives its messages.
    pub queue: &'a Queue,
    /// What happens when the server cannot be followed.
    pub conduct: Conduct,
    /// How many connections are read in turn, this one included.
    pub connections: usize,
    /// The outcomes of the first attempts to connect to all servers.
    pub starts: &'a Starts,
    /// Reports that the machine was suspended.
    pub resumed: &'a Resumed,
}

/// What happens when a server cannot be followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conduct {
    /// Whether to try again when the first connection fails.
    pub retry: bool,
    /// Whether to reconnect when the connection is lost.
    pub reconnect: bool,
    /// `--fail-on-gap`: the first gap ends the program, so there is no point in reconnecting.
    pub fail_on_gap: bool,
}

/// Counts the first attempts to connect to all servers that are followed together.
#[derive(Debug)]
pub struct Starts {
    pending: Cell<usize>,
    any_live: Cell<bool>,
    all_ended: Notify,
}

impl Starts {
    /// For this number of servers.
    #[must_use]
    pub fn new(servers: usize) -> Self {
        Self { pending: Cell::new(servers), any_live: Cell::new(false), all_ended: Notify::new() }
    }

    fn report(&self, is_live: bool) {
        self.pending.set(self.pending.get().saturating_sub(1));
        self.any_live.set(self.any_live.get() || is_live);
        if self.pending.get() == 0 {
            self.all_ended.notify_one();
        }
    }

    /// Waits until all first attempts have failed; for ever if one of them succeeds.
    pub async fn all_failed(&self) {
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
    /// Follows the server until that is impossible. `dial` opens a connection. It can set its argument as soon as the
    /// server has accepted the connection.
    ///
    /// # Errors
    /// The first attempt to connect failed and is not retried, a later one failed permanently, or the connection was
    /// lost and `reconnect` is off.
    pub async fn run<S>(self, dial: impl AsyncFn(&Cell<bool>) -> anyhow::Result<Dialed<S>>) -> anyhow::Result<()>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let Remote { name, flavour, why, address, .. } = self.remote;
        info!("{name}: {flavour} ({why}) at {address}");
        let mut backoff = Backoff::new(matches!(address, Address::Unix(_)));
        let first = self.subscribe(&dial).await;
        self.starts.report(first.is_ok());
        let mut subscription = match first {
            Err(error) if self.conduct.retry && !is_permanent(&error) => {
                notice::show(&error.context(name.clone()));
                warn!("{name}: trying again until it can be followed");
                self.resubscribe(&dial, &mut backoff).await?
            }
            first => first?,
        };
        let mut last_message = String::new();
        loop {
            let connected = Moment::now();
            let Disconnected { lost, silence } = self.read(&mut subscription, &mut last_message).await;
            backoff.lived(connected.elapsed());
            drop(subscription);
            // Servers ping every 10 s, so after a longer silence the connection was lost when the silence began.
            let before = if silence > SILENCE { silence } else { Duration::ZERO };
            let Lost(reason) = &lost;
            let gap = Gap {
                remote: self.id,
                last_event: timestamp_of(&last_message),
                since: local_now() - before,
                end: None,
                reason: reason.clone(),
                dropped: 0,
            };
            let since = Moment::before_now(before);
            if !self.conduct.reconnect {
                // The loss itself is the error, so no gap is queued that `--fail-on-gap` would report in its place.
                if !self.conduct.fail_on_gap {
                    self.queue.open_gap(gap, since);
                }
                return Err(lost.into());
            }
            self.queue.open_gap(gap.clone(), since);
            if self.conduct.fail_on_gap {
                // Do not reconnect, as that may never succeed: the pipeline ends the program at the gap.
                warn!("{name}: {gap}");
                return std::future::pending().await;
            }
            warn!("{name}: connection lost ({reason}); reconnecting");
            subscription = match self.resubscribe(&dial, &mut backoff).await {
                Ok(subscription) => subscription,
                Err(error) => {
                    let reason = format!("{reason}; not followed any more: {error:#}");
                    self.queue.open_gap(Gap { reason, ..gap }, since);
                    return Err(error.context(format!("reconnecting after: {}", lost.0)));
                }
            };
            if let Some(gap) = self.queue.close_gap(self.id) {
                warn!("{name}: {gap}");
            }
        }
    }

    async fn subscribe<S>(
        &self,
        dial: &impl AsyncFn(&Cell<bool>) -> anyhow::Result<Dialed<S>>,
    ) -> anyhow::Result<Subscription<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let started = Moment::now();
        let is_accepted = Cell::new(false);
        let attempt = async {
            let Dialed { stream, host, prefix, authorization, login } = dial(&is_accepted).await?;
            is_accepted.set(true);
            let target = self.request.target(&prefix, self.remote.project.as_deref());
            let opened = http::upgrade(stream, &host, &target, authorization.as_ref()).await;
            opened.map_err(|error| self.with_hint(error, &login))
        };
        tokio::pin!(attempt);
        let name = &self.remote.name;
        let seconds = CONNECT.as_secs();
        let (stream, early) = match timeout(CONNECT, &mut attempt).await {
            Ok(outcome) => outcome?,
            Err(_) if is_accepted.get() => {
                warn!(
                    "{name}: the server has accepted the connection and not answered for {seconds} s; waiting for it"
                );
                attempt.await?
            }
            Err(_) => {
                return Err(Fault::failed(format!("no answer within {seconds} s"))
                    .hint("is it an LXD or Incus server, and does it hang?")
                    .into());
            }
        };
        info!("{name}: subscribed after {:.1} ms", started.elapsed().as_secs_f64() * 1e3);
        Ok(Subscription::new(stream, early.into(), self.connections))
    }

    /// Retries until an attempt succeeds or fails permanently. Meanwhile, events that were dropped before are reported
    /// as soon as memory is free again.
    async fn resubscribe<S>(
        &self,
        dial: &impl AsyncFn(&Cell<bool>) -> anyhow::Result<Dialed<S>>,
        backoff: &mut Backoff,
    ) -> anyhow::Result<Subscription<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let attempts = async {
            loop {
                sleep(backoff.wait()).await;
                match self.subscribe(dial).await {
                    Err(error) if !is_permanent(&error) => info!("{}: {error:#}; trying again", self.remote.name),
                    outcome => return outcome,
                }
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
    pub async fn end_dropping(&self) {
        if self.queue.is_dropping(self.id) {
            let gap = self.queue.end_dropping(self.id).await;
            self.report_dropped(gap);
        }
    }

    /// Reads until the connection is lost. By then every received message has been pushed to the queue, and the last
    /// one is in `last_message`.
    async fn read<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        subscription: &mut Subscription<S>,
        last_message: &mut String,
    ) -> Disconnected {
        let mut received = Received::default();
        let mut next_message = String::new();
        let mut is_dropping = self.queue.is_dropping(self.id);
        let (check, resumed) = (sleep(SILENCE), self.resumed.wait());
        tokio::pin!(check, resumed);
        loop {
            self.queue.rest().await;
            let outcome = tokio::select! {
                biased;
                outcome = subscription.read(&mut received) => outcome,
                gap = self.queue.end_dropping(self.id), if is_dropping => {
                    is_dropping = false;
                    self.report_dropped(gap);
                    continue;
                }
                () = async { tokio::select! { biased; () = &mut check => {} () = &mut resumed => {} } } => {
                    let silence = subscription.silence();
                    let next = match silence {
                        silence if silence >= 2 * SILENCE => SILENCE,
                        silence if silence >= SILENCE => {
                            subscription.ping();
                            (2 * SILENCE).saturating_sub(silence)
                        }
                        silence => SILENCE.saturating_sub(silence),
                    };
                    check.set(sleep(next));
                    resumed.set(self.resumed.wait());
                    if silence >= 2 * SILENCE {
                        Err(Lost(format!("no sign of life for {} s", silence.as_secs())))
                    } else {
                        continue;
                    }
                }
            };
            if let binary @ 1.. = std::mem::take(&mut received.binary) {
                self.queue.push_always(Item::Binary(self.id, binary));
            }
            if let Some(last) = received.block.len().checked_sub(1) {
                next_message.clear();
                next_message.push_str(received.block.text(last));
                match self.queue.push(self.id, received.block.close(), Instant::now(), last_message) {
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
            warn!("{}: {gap}", self.remote.name);
        }
    }

    /// Adds a hint to a refusal, and an explanation to a TLS error.
    fn with_hint(&self, error: anyhow::Error, login: &str) -> anyhow::Error {
        let Some(refusal) = error.downcast_ref::<Refusal>() else { return tls::in_words(error, self.remote) };
        let (client, name) = (self.remote.flavour.client(), &self.remote.name);
        let text = refusal.text.to_ascii_lowercase();
        // LXD 5.0 denies access with status 500.
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
}

/// Whether a retry cannot succeed.
fn is_permanent(error: &anyhow::Error) -> bool {
    error.chain().filter_map(|cause| cause.downcast_ref::<Fault>()).any(Fault::is_permanent)
}

/// These tests use in-process byte streams and tokio's paused clock: timeouts of many seconds pass in milliseconds.
#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::pin::Pin;

    use futures_util::{SinkExt as _, StreamExt as _};
    use tokio::io::{AsyncWriteExt as _, DuplexStream, duplex};
    use tokio::time::Instant;
    use tokio_tungstenite::WebSocketStream;
    use tokio_tungstenite::tungstenite::Message as Frame;

    use super::*;
    use crate::remote::{Flavour, Host, Https};

    const MINUTE: Duration = Duration::from_secs(60);

    type Server = WebSocketStream<DuplexStream>;
    type Script = Pin<Box<dyn Future<Output = ()> + Send>>;

    fn event(number: usize) -> String {
        format!(r#"{{"type":"x","timestamp":"2026-11-25T12:00:00Z","metadata":{number}}}"#)
    }

    async fn accept(stream: DuplexStream) -> Server {
        tokio_tungstenite::accept_async(stream).await.unwrap()
    }

    /// A server on another machine, for which the back-off grows.
    fn elsewhere() -> Remote {
        let https = Https {
            url: "https://host:8443".into(),
            host: Host { name: "host".into(), port: 8443 },
            prefix: String::new(),
            auth_type: None,
            directories: crate::remote::login::Directories::default(),
            proxy: None,
            allow_tls12: false,
        };
        Remote {
            name: "n1".into(),
            flavour: Flavour::Lxd,
            why: String::new(),
            address: Address::Https(Box::new(https)),
            project: None,
        }
    }

    /// The result of following a server.
    struct Followed {
        /// The outcome, if there was one within the time limit.
        outcome: Option<anyhow::Result<()>>,
        items: Vec<Item>,
        /// When each connection was opened, from the start of the test.
        connections: Vec<Duration>,
    }

    impl Followed {
        fn gaps(&self) -> Vec<&Gap> {
            self.items.iter().filter_map(|item| if let Item::Gap(gap) = item { Some(gap) } else { None }).collect()
        }

        fn messages(&self) -> usize {
            self.items.iter().map(|item| if let Item::Messages { block, .. } = item { block.len() } else { 0 }).sum()
        }
    }

    const STAY: Conduct = Conduct { retry: false, reconnect: true, fail_on_gap: false };

    /// Follows the server that `dial` connects to, for at most `time`. Returns the outcome and the queued items.
    async fn follow_by<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
        time: Duration,
        conduct: Conduct,
        dial: impl AsyncFn(&Cell<bool>) -> anyhow::Result<Dialed<S>>,
    ) -> (Option<anyhow::Result<()>>, Vec<Item>) {
        follow_into(&Queue::new(64 << 20, false), time, conduct, dial).await
    }

    /// Like [`follow_by`], with a given queue.
    async fn follow_into<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
        queue: &Queue,
        time: Duration,
        conduct: Conduct,
        dial: impl AsyncFn(&Cell<bool>) -> anyhow::Result<Dialed<S>>,
    ) -> (Option<anyhow::Result<()>>, Vec<Item>) {
        let remote = elsewhere();
        let (starts, resumed, request) = (Starts::new(1), Resumed::default(), Request::default());
        let follow = Follow {
            remote: &remote,
            id: RemoteId(0),
            request: &request,
            queue,
            conduct,
            connections: 1,
            starts: &starts,
            resumed: &resumed,
        };
        let outcome = timeout(time, follow.run(dial)).await.ok();
        (outcome, std::iter::from_fn(|| queue.take()).collect())
    }

    /// Follows a server for at most `time`. `script` gets the number of each connection and plays the server's side.
    async fn follow(time: Duration, conduct: Conduct, script: impl Fn(usize, DuplexStream) -> Script) -> Followed {
        let begun = Instant::now();
        let connections = RefCell::new(Vec::new());
        let dial = async |_: &Cell<bool>| {
            let (ours, theirs) = duplex(64 << 10);
            let number = connections.borrow().len();
            connections.borrow_mut().push(begun.elapsed());
            tokio::spawn(script(number, theirs));
            let (host, prefix, login) = ("host".to_owned(), String::new(), String::new());
            Ok(Dialed { stream: ours, host, prefix, authorization: None, login })
        };
        let (outcome, items) = follow_by(time, conduct, dial).await;
        Followed { outcome, items, connections: connections.into_inner() }
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_sends_nothing_and_answers_no_ping_is_lost_after_half_a_minute() {
        let followed = follow(MINUTE, STAY, |_, stream| {
            Box::pin(async move {
                let mut server = accept(stream).await;
                server.send(Frame::text(event(0))).await.unwrap();
                std::future::pending::<()>().await;
            })
        })
        .await;
        assert_eq!(followed.gaps()[0].reason, "no sign of life for 30 s");
        assert_eq!(followed.gaps()[0].last_event.as_deref(), Some("2026-11-25T12:00:00Z"));
        // The first reconnect comes after 30 s, the second after a further 30 s.
        assert!((2..=3).contains(&followed.connections.len()), "{:?}", followed.connections);
    }

    #[tokio::test(start_paused = true)]
    async fn dropped_events_are_reported_while_the_server_is_away() {
        const BUFFER: usize = 1 << 20;
        let queue = Queue::new(BUFFER, false);
        let attempts = Cell::new(0);
        let dial = async |_: &Cell<bool>| {
            attempts.set(attempts.get() + 1);
            if attempts.get() > 1 {
                // The server is never reachable again.
                return Err(Fault::failed("no such host").into());
            }
            let (ours, theirs) = duplex(64 << 10);
            tokio::spawn(async move {
                let mut server = accept(theirs).await;
                let long =
                    format!(r#"{{"type":"x","timestamp":"2026-11-25T12:00:00Z","metadata":"{}"}}"#, "x".repeat(9_000));
                for _ in 0..2 * BUFFER / 9_000 {
                    server.send(Frame::text(long.clone())).await.unwrap();
                }
            });
            Ok(Dialed {
                stream: ours,
                host: "host".into(),
                prefix: String::new(),
                authorization: None,
                login: String::new(),
            })
        };
        let gaps = async {
            // Long after the connection is lost, the output accepts data again.
            sleep(5 * MINUTE).await;
            let mut items: Vec<_> = std::iter::from_fn(|| queue.take()).collect();
            items.retain(|item| matches!(item, Item::Gap(_)));
            sleep(Duration::from_secs(1)).await;
            items.extend(std::iter::from_fn(|| queue.take()));
            items
        };
        let (_, gaps) = tokio::join!(follow_into(&queue, 6 * MINUTE, STAY, dial), gaps);
        let gaps: Vec<_> =
            gaps.iter().filter_map(|item| if let Item::Gap(gap) = item { Some(gap) } else { None }).collect();
        assert!(gaps.last().unwrap().dropped > 50, "{gaps:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_only_answers_pings_is_followed_on() {
        let followed = follow(10 * MINUTE, STAY, |_, stream| {
            Box::pin(async move {
                let mut server = accept(stream).await;
                // Reading makes the library answer pings.
                while server.next().await.is_some() {}
            })
        })
        .await;
        assert_eq!((followed.connections.len(), followed.gaps().len()), (1, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn a_long_message_that_comes_slowly_is_a_sign_of_life() {
        let followed = follow(60 * MINUTE, STAY, |_, stream| {
            Box::pin(async move {
                let mut server = accept(stream).await;
                let text = event(7);
                let mut wire = vec![0x81, u8::try_from(text.len()).unwrap()];
                wire.extend_from_slice(text.as_bytes());
                for byte in wire {
                    sleep(Duration::from_secs(14)).await;
                    server.get_mut().write_all(&[byte]).await.unwrap();
                }
                while server.next().await.is_some() {}
            })
        })
        .await;
        assert_eq!((followed.connections.len(), followed.gaps().len(), followed.messages()), (1, 0, 1));
    }

    #[tokio::test(start_paused = true)]
    async fn waits_grow_until_a_connection_has_outlived_the_longest() {
        let followed = follow(20 * MINUTE, STAY, |number, stream| {
            Box::pin(async move {
                let mut server = accept(stream).await;
                sleep(Duration::from_millis(300)).await;
                // The thirteenth connection lasts a minute, the others only a moment.
                for _ in 0..if number == 12 { 6 } else { 0 } {
                    sleep(Duration::from_secs(10)).await;
                    server.send(Frame::text(event(0))).await.unwrap();
                }
            })
        })
        .await;
        let times = &followed.connections;
        let waits: Vec<_> = times.windows(2).map(|pair| pair[1].saturating_sub(pair[0])).collect();
        assert!(waits[..12].iter().any(|wait| *wait > Duration::from_secs(14)), "{waits:?}");
        assert!(waits[8..12].iter().all(|wait| *wait > Duration::from_secs(10)), "{waits:?}");
        assert!(waits[12] < MINUTE + Duration::from_secs(1) && waits[13] < Duration::from_secs(1), "{waits:?}");
        // Each loss and each reconnect has its own record.
        assert!(followed.gaps().len() >= 2 * waits.len());
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_is_not_accepted_is_given_up_after_ten_seconds() {
        let begun = Instant::now();
        let dial = async |_: &Cell<bool>| std::future::pending::<anyhow::Result<Dialed<DuplexStream>>>().await;
        let error = follow_by(MINUTE, STAY, dial).await.0.unwrap().unwrap_err();
        assert_eq!((error.to_string(), begun.elapsed()), ("no answer within 10 s".to_owned(), CONNECT));
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_has_accepted_the_connection_is_waited_for() {
        for away in [Duration::from_secs(16), 5 * MINUTE] {
            let followed = follow(10 * MINUTE, STAY, move |_, stream| {
                Box::pin(async move {
                    sleep(away).await;
                    let mut server = accept(stream).await;
                    server.send(Frame::text(event(0))).await.unwrap();
                    while server.next().await.is_some() {}
                })
            })
            .await;
            assert_eq!((followed.connections.len(), followed.messages()), (1, 1));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_failure_is_the_end_unless_retry_is_asked_for() {
        let ending = |number: usize, stream: DuplexStream| -> Script {
            Box::pin(async move {
                if number < 3 {
                    return drop(stream);
                }
                let mut server = accept(stream).await;
                server.send(Frame::text(event(0))).await.unwrap();
                while server.next().await.is_some() {}
            })
        };
        let followed = follow(MINUTE, STAY, ending).await;
        assert!(followed.outcome.is_some_and(|outcome| outcome.is_err()));
        assert_eq!(followed.connections.len(), 1);
        let followed = follow(MINUTE, Conduct { retry: true, ..STAY }, ending).await;
        assert!(followed.outcome.is_none());
        assert_eq!((followed.connections.len(), followed.messages(), followed.gaps().len()), (4, 1, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn connections_that_have_much_to_send_are_read_in_turn() {
        const EVENTS: usize = 20_000;
        let (remote, queue) = (elsewhere(), Queue::new(64 << 20, false));
        let (starts, resumed, request) = (Starts::new(2), Resumed::default(), Request::default());
        let follow = |number| {
            let follow = Follow {
                remote: &remote,
                id: RemoteId(number),
                request: &request,
                queue: &queue,
                conduct: STAY,
                connections: 2,
                starts: &starts,
                resumed: &resumed,
            };
            let dial = async |_: &Cell<bool>| {
                // The pipe is large enough for everything that is sent.
                let (stream, theirs) = duplex(4 << 20);
                tokio::spawn(async move {
                    let mut server = accept(theirs).await;
                    for number in 0..EVENTS {
                        server.feed(Frame::text(event(number))).await.unwrap();
                    }
                    server.flush().await.unwrap();
                    std::future::pending::<()>().await;
                });
                let (host, prefix, login) = ("host".to_owned(), String::new(), String::new());
                Ok(Dialed { stream, host, prefix, authorization: None, login })
            };
            follow.run(dial)
        };
        let _ = timeout(Duration::from_secs(5), async { tokio::join!(follow(0), follow(1)) }).await;
        let mut read = [0usize; 2];
        let mut ahead = 0;
        while let Some(item) = queue.take() {
            let Item::Messages { remote: RemoteId(remote), block, .. } = item else { continue };
            read[usize::from(remote)] += block.text_len();
            // Compare only while both have much left: once one connection has been read to its end, the other is read
            // alone.
            if read.iter().all(|read| *read < EVENTS * event(0).len() / 2) {
                ahead = ahead.max(read[0].abs_diff(read[1]));
            }
        }
        assert!(read.iter().all(|read| *read >= EVENTS * event(0).len()), "{read:?}");
        assert!(ahead <= 3 * (64 << 10), "{ahead} bytes ahead");
    }
}
