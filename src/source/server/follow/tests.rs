//! Following on paused time: every wait of a subscription, in milliseconds.

use std::cell::RefCell;
use std::pin::Pin;

use futures_util::{SinkExt as _, StreamExt as _};
use tokio::io::{AsyncWriteExt as _, DuplexStream, duplex};
use tokio::time::Instant;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message as Frame;

use super::super::session::Identity;
use super::*;
use crate::event::RemoteId;
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
        directories: crate::remote::Directories::default(),
        proxy: None,
        allow_tls12: false,
    };
    Remote {
        name: "n1".into(),
        flavour: Flavour::Lxd,
        why: String::new(),
        address: Address::Https(Box::new(https)),
        further: Vec::new(),
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
    dial: impl AsyncFn(&Attempt<'_>) -> anyhow::Result<Dialed<S>>,
) -> (Option<anyhow::Result<()>>, Vec<Item>) {
    follow_into(&Queue::new(64 << 20, false), time, conduct, dial).await
}

/// Like [`follow_by`], with a given queue.
async fn follow_into<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    queue: &Queue,
    time: Duration,
    conduct: Conduct,
    dial: impl AsyncFn(&Attempt<'_>) -> anyhow::Result<Dialed<S>>,
) -> (Option<anyhow::Result<()>>, Vec<Item>) {
    let remote = elsewhere();
    let (starts, resumed, request) = (Starts::new(1, None), Resumed::default(), Request::default());
    let follow = Follow {
        remote: &remote,
        name: &Name::new(remote.name.clone()),
        feed: Feed::default(),
        peers: &Peers::default(),
        changes: None,
        request: &request,
        queue,
        conduct,
        connections: 1,
        starts: &starts,
        resumed: &resumed,
        turn: &Turn::default(),
        state: None,
    };
    let outcome = timeout(time, follow.run(dial)).await.ok();
    (outcome, std::iter::from_fn(|| queue.take()).collect())
}

/// Follows a server for at most `time`. `script` gets the number of each connection and plays the server's side.
async fn follow(time: Duration, conduct: Conduct, script: impl Fn(usize, DuplexStream) -> Script) -> Followed {
    let begun = Instant::now();
    let connections = RefCell::new(Vec::new());
    let dial = async |_: &Attempt<'_>| {
        let (ours, theirs) = duplex(64 << 10);
        let number = connections.borrow().len();
        connections.borrow_mut().push(begun.elapsed());
        tokio::spawn(script(number, theirs));
        let (host, prefix, login) = ("host".to_owned(), String::new(), String::new());
        Ok(Dialed { stream: ours, number: 0, host, prefix, identity: Identity::default(), login })
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
    let dial = async |_: &Attempt<'_>| {
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
            number: 0,
            stream: ours,
            host: "host".into(),
            prefix: String::new(),
            identity: Identity::default(),
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

/// Collects what the tests of this thread log.
struct Collecting;

thread_local! {
    static LOGGED: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

impl log::Log for Collecting {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        LOGGED.with_borrow_mut(|logged| logged.push(format!("{}: {}", record.level(), record.args())));
    }

    fn flush(&self) {}
}

#[tokio::test(start_paused = true)]
async fn a_server_that_may_leave_events_out_is_explained_once() {
    // The first connection ends after 30 s; the second one stays. Events come on it from the given time on.
    for (first_event, is_explained) in [(5 * MINUTE, true), (MINUTE / 2, false)] {
        let _ = log::set_logger(&Collecting);
        log::set_max_level(log::LevelFilter::Debug);
        LOGGED.take();
        follow(10 * MINUTE, STAY, move |number, stream| {
            Box::pin(async move {
                let mut server = accept(stream).await;
                let begun = Instant::now();
                while number > 0 || begun.elapsed() < MINUTE / 2 {
                    sleep(Duration::from_secs(10)).await;
                    let is_event = number > 0 && begun.elapsed() >= first_event;
                    let frame = if is_event { Frame::text(event(0)) } else { Frame::Ping(vec![].into()) };
                    server.send(frame).await.unwrap();
                }
            })
        })
        .await;
        let logged = LOGGED.take();
        let explained = logged.iter().filter(|line| line.contains("no events so far")).collect::<Vec<_>>();
        let wanted =
            "INFO: n1: no events so far; since version 6.6 LXD leaves out silently what this login may not see";
        assert_eq!(explained, if is_explained { vec![wanted] } else { vec![] }, "{logged:#?}");
    }
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
    let dial = async |_: &Attempt<'_>| std::future::pending::<anyhow::Result<Dialed<DuplexStream>>>().await;
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
    let (starts, resumed, request) = (Starts::new(2, None), Resumed::default(), Request::default());
    let (name, peers) = (Name::default(), Peers::default());
    let turns = [Turn::default(), Turn::default()];
    let follow = |number| {
        let follow = Follow {
            remote: &remote,
            name: &name,
            feed: RemoteId(number).into(),
            peers: &peers,
            changes: None,
            request: &request,
            queue: &queue,
            conduct: STAY,
            connections: 2,
            starts: &starts,
            resumed: &resumed,
            turn: &turns[usize::from(number)],
            state: None,
        };
        let dial = async |_: &Attempt<'_>| {
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
            Ok(Dialed { stream, number: 0, host, prefix, identity: Identity::default(), login })
        };
        follow.run(dial)
    };
    let _ = timeout(Duration::from_secs(5), async { tokio::join!(follow(0), follow(1)) }).await;
    let mut read = [0usize; 2];
    let mut ahead = 0;
    while let Some(item) = queue.take() {
        let Item::Messages { feed: Feed { remote: RemoteId(remote), .. }, block, .. } = item else { continue };
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
