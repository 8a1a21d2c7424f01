//! Connects to a host over TCP, and to the first of several candidates that answers (RFC 8305).

use std::collections::{HashSet, VecDeque};
use std::future::pending;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs as _};
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt as _};
use log::debug;
use rustix::net::sockopt;
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, sleep_until};

use super::hints;
use crate::remote::Host;
use crate::report::exit::Fault;
use crate::system::duration::shown;

/// The delay before the next address is tried as well: the Connection Attempt Delay of RFC 8305, section 8.
const NEXT_ADDRESS: Duration = Duration::from_millis(250);

/// A connection fails once the peer's kernel has acknowledged nothing for this long.
const DEAD: Duration = Duration::from_secs(30);

/// Runs blocking, uninterruptible work on a thread of its own. The process does not wait for the thread to end.
pub(super) async fn on_a_thread<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Fault> {
    let (report, reported) = oneshot::channel();
    let thread = std::thread::Builder::new().name(name.to_owned());
    let begun = thread.spawn(move || _ = report.send(work()));
    begun.map_err(|error| Fault::failed(format!("starting a thread: {error}")))?;
    reported.await.map_err(|_| Fault::failed(format!("the thread {name} died")))
}

/// Connects to the first address of the host that answers before `end`.
pub(super) async fn tcp(host: &Host, end: Instant) -> Result<TcpStream, Fault> {
    let (name, port) = (host.name.clone(), host.port);
    let found = match name.parse::<IpAddr>() {
        Ok(address) => Ok(vec![SocketAddr::new(address, port)]),
        Err(_) => on_a_thread("resolver", move || (name, port).to_socket_addrs().map(Iterator::collect)).await?,
    };
    let addresses: Vec<SocketAddr> = found.map_err(|error: io::Error| hints::of_name(&host.name, &error))?;
    let addresses = interleaved(addresses.into_iter());
    let stream = race(addresses, NEXT_ADDRESS, Some(end), |address| {
        debug!("connecting to {address}");
        TcpStream::connect(address)
    });
    let stream = stream.await.map_err(|failures| {
        if failures.is_empty() {
            return Fault::failed(format!("{} has no address", host.name));
        }
        hints::of_connecting(&described(failures))
    })?;
    if let (Ok(peer), Ok(own)) = (stream.peer_addr(), stream.local_addr()) {
        debug!("connected to {host} at {peer}, from {own}");
    }
    // Requests and pongs are short and must not be delayed (Nagle's algorithm).
    let _ = stream.set_nodelay(true);
    notice_dead_peers(&stream);
    Ok(stream)
}

/// The reasons of failed attempts to connect to addresses of a host.
fn described(failures: Vec<Failure<SocketAddr, io::Error>>) -> String {
    let why = |time: Duration, error: Option<io::Error>| match error {
        Some(error) if error.kind() == io::ErrorKind::ConnectionRefused => "connection refused".to_owned(),
        Some(error) => error.to_string(),
        None => format!("no answer within {}", shown(time)),
    };
    let texts = failures.into_iter().map(|(address, time, error)| format!("{address}: {}", why(time, error)));
    texts.collect::<Vec<_>>().join("; ")
}

/// Makes the kernel end a connection whose peer is gone, because there is no timeout for the answer of a server that
/// has accepted the connection. The peer's kernel acknowledges what we send even while the server hangs (tcp(7)).
fn notice_dead_peers(stream: &TcpStream) {
    // Failure is ignored: then only a server that vanishes before it has answered is waited for in vain.
    let _ = sockopt::set_socket_keepalive(stream, true)
        .and_then(|()| sockopt::set_tcp_keepidle(stream, DEAD / 2))
        .and_then(|()| sockopt::set_tcp_keepintvl(stream, DEAD / 6))
        .and_then(|()| sockopt::set_tcp_user_timeout(stream, u32::try_from(DEAD.as_millis()).unwrap_or(u32::MAX)));
}

/// The addresses in the order of RFC 8305, section 4: the system's order, with the two address families alternating.
fn interleaved(addresses: impl Iterator<Item = SocketAddr>) -> Vec<SocketAddr> {
    let mut families: [VecDeque<_>; 2] = Default::default();
    let mut known = HashSet::new();
    let mut first = None;
    for address in addresses.filter(|address| known.insert(*address)) {
        let first = *first.get_or_insert(address.is_ipv6());
        families[usize::from(address.is_ipv6() != first)].push_back(address);
    }
    let mut order = Vec::with_capacity(known.len());
    for turn in 0.. {
        let [first, second] = &mut families;
        let (family, other) = if turn % 2 == 0 { (first, second) } else { (second, first) };
        match family.pop_front().or_else(|| other.pop_front()) {
            Some(address) => order.push(address),
            None => break,
        }
    }
    order
}

/// An attempt that failed: what was tried, how long it took, and the error; `None` if there was no answer.
pub(super) type Failure<A, E> = (A, Duration, Option<E>);

/// Connects to the first candidate that answers (RFC 8305, section 5): each has a head start before the next one is
/// tried concurrently. When an attempt fails, the next candidate is tried at once. At `end`, all attempts have failed.
///
/// # Errors
/// Each candidate that was tried, with the reason for its failure.
pub(super) async fn race<A, T, E, F>(
    candidates: Vec<A>,
    head_start: Duration,
    end: Option<Instant>,
    connect: impl Fn(A) -> F,
) -> Result<T, Vec<Failure<A, E>>>
where
    A: Copy,
    F: Future<Output = Result<T, E>>,
{
    let mut untried = candidates.into_iter().enumerate();
    let mut tried = Vec::new();
    let mut attempts = FuturesUnordered::new();
    let end = async {
        match end {
            Some(end) => sleep_until(end).await,
            None => pending().await,
        }
    };
    tokio::pin!(end);
    loop {
        if let Some((number, candidate)) = untried.next() {
            tried.push((candidate, Instant::now(), None));
            let attempt = connect(candidate);
            attempts.push(async move { (number, attempt.await) });
        }
        tokio::select! {
            biased;
            Some((number, outcome)) = attempts.next() => match outcome {
                Ok(stream) => return Ok(stream),
                Err(error) => tried[number].2 = Some(error),
            },
            () = &mut end, if !attempts.is_empty() => break,
            () = sleep(head_start), if untried.len() > 0 => {}
            else => break,
        }
    }
    Err(tried.into_iter().map(|(candidate, begun, error)| (candidate, begun.elapsed(), error)).collect())
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    /// The end of all attempts.
    const END: Duration = Duration::from_secs(8);

    const HEAD_START: Duration = Duration::from_millis(500);

    fn addresses(texts: &[&str]) -> Vec<SocketAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    /// The winner of a race and its duration in milliseconds. Each address answers after the given milliseconds,
    /// refuses (`!`) or does not answer (`-`).
    async fn winner(answers: &[&'static str]) -> (Result<usize, Vec<String>>, u128) {
        let addresses =
            (0..answers.len()).map(|number| SocketAddr::from(([10, 0, 0, 1], u16::try_from(number).unwrap())));
        let begun = Instant::now();
        let end = begun + END;
        let outcome = race(addresses.collect(), NEXT_ADDRESS, Some(end), |address| {
            let answer = answers[usize::from(address.port())];
            async move {
                match answer {
                    "-" => pending().await,
                    "!" => Err(io::ErrorKind::ConnectionRefused.into()),
                    time => {
                        sleep(Duration::from_millis(time.parse().unwrap())).await;
                        Ok(usize::from(address.port()))
                    }
                }
            }
        });
        let outcome = outcome.await.map_err(|failures: Vec<Failure<SocketAddr, io::Error>>| {
            failures.into_iter().map(|failure| described(vec![failure])).collect()
        });
        (outcome, begun.elapsed().as_millis())
    }

    #[tokio::test(start_paused = true)]
    async fn a_black_hole_costs_a_quarter_of_a_second() {
        for (answers, number, time) in [
            (&["10", "0"][..], 0, 10),
            (&["-", "10"], 1, 260),
            (&["!", "10"], 1, 10),
            (&["-", "!", "10"], 2, 260),
            (&["-", "-", "10"], 2, 510),
            (&["400", "200"], 0, 400),
            (&["800", "200"], 1, 450),
            (&["300", "!"], 0, 300),
            (&["7900", "-"], 0, 7900),
        ] {
            assert_eq!(winner(answers).await, (Ok(number), time), "{answers:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn every_address_that_was_tried_is_named() {
        let texts = |lines: &[&str]| Err(lines.iter().map(ToString::to_string).collect());
        let refused = ["10.0.0.1:0: connection refused", "10.0.0.1:1: connection refused"];
        assert_eq!(winner(&["!", "!"]).await, (texts(&refused), 0));
        let silent = ["10.0.0.1:0: no answer within 8 s", refused[1], "10.0.0.1:2: no answer within 7.8 s"];
        assert_eq!(winner(&["-", "!", "-"]).await, (texts(&silent), 8000));
        assert_eq!(winner(&["-"; 100]).await.0.unwrap_err().len(), 32);
        assert_eq!(winner(&[]).await, (Err(vec![]), 0));
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_hangs_costs_half_a_second() {
        let begun = Instant::now();
        let won = race(vec![0, 1, 2], HEAD_START, None, async |number| match number {
            0 => pending().await,
            1 => Err(()),
            _ => Ok(number),
        });
        assert_eq!((won.await, begun.elapsed()), (Ok(2), HEAD_START));
        // One that answers in that time is alone.
        let tried = RefCell::new(0);
        let won = race(vec![0, 1], HEAD_START, None, async |number| {
            *tried.borrow_mut() += 1;
            sleep(HEAD_START.mul_f64(0.9)).await;
            Ok::<_, ()>(number)
        });
        assert_eq!((won.await, *tried.borrow()), (Ok(0), 1));
    }

    #[test]
    fn families_take_turns() {
        for (found, order) in [
            (&[][..], &[][..]),
            (&["1.1.1.1:1", "2.2.2.2:1"], &["1.1.1.1:1", "2.2.2.2:1"]),
            (
                &["[::1]:1", "[::2]:1", "[::3]:1", "1.1.1.1:1", "2.2.2.2:1"],
                &["[::1]:1", "1.1.1.1:1", "[::2]:1", "2.2.2.2:1", "[::3]:1"],
            ),
            (&["1.1.1.1:1", "1.1.1.1:1", "[::1]:1"], &["1.1.1.1:1", "[::1]:1"]),
        ] {
            assert_eq!(interleaved(addresses(found).into_iter()), addresses(order));
        }
    }

    #[tokio::test]
    async fn a_listener_with_a_full_queue_is_a_black_hole() {
        let full = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        // A second call sets a new length of the queue (listen(2)).
        rustix::net::listen(&full, 0).unwrap();
        let address = full.local_addr().unwrap();
        let mut waiting = Vec::new();
        while let Ok(stream) = tokio::time::timeout(Duration::from_millis(200), TcpStream::connect(address)).await {
            waiting.push(stream.unwrap());
        }
        let good = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let begun = Instant::now();
        let stream = race(vec![address, good.local_addr().unwrap()], NEXT_ADDRESS, None, TcpStream::connect);
        let stream = stream.await.unwrap();
        assert_eq!(stream.peer_addr().unwrap(), good.local_addr().unwrap());
        assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    }
}
