//! Slow readers of lxmon's output, with real servers under high load.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use super::alone;
use super::server::{Kind, Server};
use crate::support::program::Follower;

/// The speeds of the slow readers, in bytes per second.
const READERS: [u32; 5] = [4_000, 6_000, 12_000, 20_000, 25_000];

const EVENTS_PER_SECOND: u32 = 1_000;

/// The number of connections that make requests concurrently.
const CONNECTIONS: u32 = 4;

/// The padded length of a request's query. It makes an event about 1.8 kB long. At 1,000 events a second, the 8 MiB
/// that lxmon queues before it pauses reading are full within 5 s, and the server's write deadline of 5 s passes within
/// 15 s.
const QUERY: usize = 1_500;

/// A buffer that is large enough for all events of the load.
const BUFFER: &str = "512MiB";

/// After this time without output, a reader has received everything.
const QUIET: Duration = Duration::from_secs(3);

/// The duration of the load, in seconds.
fn seconds() -> u32 {
    std::env::var("LXMON_TEST_LOAD").map_or(60, |number| number.parse().unwrap())
}

/// Makes requests at a constant rate, and returns their number. Both servers log each request with its query and send
/// the log message as an event; `/1.0/operations` causes nearly no other work. The queries are numbered from 0.
fn load(socket: &Path, seconds: u32) -> u32 {
    let begun = Instant::now();
    std::thread::scope(|scope| {
        for first in 0..CONNECTIONS {
            scope.spawn(move || {
                let mut connection = BufReader::new(UnixStream::connect(socket).unwrap());
                for number in (first..seconds * EVENTS_PER_SECOND).step_by(CONNECTIONS as usize) {
                    let due = Duration::from_secs(1) * number / EVENTS_PER_SECOND;
                    std::thread::sleep(due.saturating_sub(begun.elapsed()));
                    request(&mut connection, &format!("/1.0/operations?{:x<QUERY$}", format!("{number}-")));
                }
            });
        }
    });
    println!("{} requests in {:.1?}", seconds * EVENTS_PER_SECOND, begun.elapsed());
    seconds * EVENTS_PER_SECOND
}

/// Makes one request on a persistent connection.
fn request(connection: &mut BufReader<UnixStream>, target: &str) {
    write!(connection.get_mut(), "GET {target} HTTP/1.1\r\nHost: lxmon\r\n\r\n").unwrap();
    let (mut line, mut length) = (String::new(), 0);
    connection.read_line(&mut line).unwrap();
    assert!(line.starts_with("HTTP/1.1 200 "), "{line}");
    while line != "\r\n" {
        line.clear();
        connection.read_line(&mut line).unwrap();
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
    }
    connection.read_exact(&mut vec![0; length]).unwrap();
}

/// The number of the request that caused the event.
fn number(line: &str) -> Option<u32> {
    let (_, query) = line.split_once("/1.0/operations?")?;
    query.split_once('-')?.0.parse().ok()
}

/// A reader of the output of one lxmon process.
struct Reader {
    name: String,
    follower: Follower,
    /// The numbers of the requests whose events have arrived.
    numbers: Vec<u32>,
}

impl Reader {
    fn new(server: &Server, rate: Option<u32>) -> Self {
        let command = server.lxmon(&["-A", "-f", "json", "-t", "logging", "--buffer", BUFFER]);
        let (name, mut follower) = match rate {
            None => ("at full speed".into(), Follower::subscribed(command)),
            Some(rate) => (format!("at {rate} bytes/s"), Follower::subscribed_at(command, rate)),
        };
        // LXD begins to send events some milliseconds after it has accepted the subscription.
        let mut connection = BufReader::new(UnixStream::connect(server.socket()).unwrap());
        let target = "/1.0/operations?first";
        follower.provoke(|line| line.contains(target), |_| request(&mut connection, target));
        Self { name, follower, numbers: Vec::new() }
    }

    /// Reads for this time; returns the number of lines.
    fn read_lines(&mut self, time: Duration) -> usize {
        self.follower.read_for(time);
        self.numbers.extend(self.follower.seen.iter().filter_map(|line| number(line)));
        self.follower.seen.drain(..).count()
    }

    /// Ends lxmon; returns a description of missing or duplicated events or of a lost connection, if any.
    fn fault(&mut self, requests: u32) -> Option<String> {
        self.follower.terminate();
        self.read_lines(Duration::ZERO);
        let once: BTreeSet<_> = self.numbers.iter().copied().collect();
        let missing: Vec<_> = (0..requests).filter(|number| !once.contains(number)).collect();
        let doubled = self.numbers.len() - once.len();
        let said = &self.follower.notices;
        let said_so = said.iter().any(|line| line.contains("connection lost") || line.contains("dropped"));
        let report = format!("{}: {} events, {doubled} repeated, missing: {missing:?}", self.name, self.numbers.len());
        println!("{report}");
        (missing.len() + doubled > 0 || said_so).then(|| format!("{report}: {said:#?}"))
    }
}

fn slow_readers(kind: Kind) {
    let _alone = alone();
    let server = Server::start(kind);
    let rates = [None].into_iter().chain(READERS.map(Some));
    let mut readers: Vec<_> = rates.map(|rate| Reader::new(&server, rate)).collect();
    let requests = load(&server.socket(), seconds());
    for reader in &readers {
        reader.follower.release();
    }
    // The servers send each event from its own goroutine, so no particular event is the last one.
    let mut since = Instant::now();
    while since.elapsed() < QUIET {
        let lines: usize = readers.iter_mut().map(|reader| reader.read_lines(Duration::from_millis(50))).sum();
        if lines > 0 {
            since = Instant::now();
        }
    }
    println!("{kind:?}");
    let faults: Vec<_> = readers.iter_mut().filter_map(|reader| reader.fault(requests)).collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
#[ignore = "needs LXD, takes a minute: run by CI"]
fn slow_readers_of_lxd_lose_nothing() {
    slow_readers(Kind::Lxd);
}

#[test]
#[ignore = "needs Incus, takes a minute: run by CI"]
fn slow_readers_of_incus_lose_nothing() {
    slow_readers(Kind::Incus);
}

#[test]
#[ignore = "needs Incus in a change-root, takes a minute: run by CI"]
fn slow_readers_of_incus_from_sid_lose_nothing() {
    slow_readers(Kind::IncusFromSid);
}
