//! The stand-in server, which runs in its own process.

use std::io::{BufRead as _, BufReader, Lines, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use crate::stream;

/// A running stand-in server, which is killed when this is dropped.
pub(crate) struct StandIn {
    process: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl StandIn {
    /// Starts this program in the role of a server, and waits until all its sockets exist.
    pub(crate) fn start(role: &str, directory: &Path, servers: u64, numbers: &[u64]) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.arg(role).arg(directory).args(numbers.iter().map(u64::to_string)).stdout(Stdio::piped());
        let mut process = command.spawn().unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let mut stand_in = Self { process, lines };
        for _ in 0..servers {
            stand_in.wait_for("ready");
        }
        stand_in
    }

    /// Waits for a line that starts with `what`, and returns the rest of the line.
    pub(crate) fn wait_for(&mut self, what: &str) -> String {
        let found =
            self.lines.by_ref().map_while(Result::ok).find_map(|line| Some(line.strip_prefix(what)?.to_owned()));
        found.unwrap_or_else(|| panic!("the stand-in ended before {what:?}"))
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Appends a text message as a WebSocket frame.
fn frame(into: &mut Vec<u8>, text: &str) {
    into.push(0x81);
    match text.len() {
        short @ 0..=125 => into.push(u8::try_from(short).unwrap()),
        length => {
            into.push(126);
            into.extend_from_slice(&u16::try_from(length).unwrap().to_be_bytes());
        }
    }
    into.extend_from_slice(text.as_bytes());
}

/// Distributes one stream over several servers with a socket each. Reports the time at which each begins to send.
pub(crate) fn at_full_speed(directory: &Path, servers: u64, events: u64) {
    let threads: Vec<_> = (0..servers)
        .map(|server| {
            let listener = UnixListener::bind(directory.join(format!("{server}.socket"))).unwrap();
            std::thread::spawn(move || {
                let mut frames = Vec::new();
                for (_, text) in (0..events).zip(stream::events()).filter(|(number, _)| number % servers == server) {
                    frame(&mut frames, &text);
                }
                println!("ready");
                for client in listener.incoming().map(Result::unwrap) {
                    if answer(&client) {
                        println!("begin {}", SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros());
                        // The client may end early.
                        let _ = (&client).write_all(&frames);
                        return;
                    }
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
}

/// The time for which events are sent before the measurement, in seconds.
pub(crate) const WARM_UP: u64 = 1;

/// Waits for `clients` clients, then sends each event to all of them at its time. Reports the beginning and the end of
/// the measured events, and the greatest delay of one in milliseconds. Then waits until the process is killed.
pub(crate) fn at_rate(directory: &Path, clients: u64, rate: u64, seconds: u64) {
    let listener = UnixListener::bind(directory.join("0.socket")).unwrap();
    println!("ready");
    let (sender, receiver) = std::sync::mpsc::channel();
    // Each connection has its own thread, because a client may first send other requests on a connection that it keeps.
    std::thread::spawn(move || {
        for client in listener.incoming().map(Result::unwrap) {
            let sender = sender.clone();
            std::thread::spawn(move || {
                if answer(&client) {
                    let _ = sender.send(client);
                }
            });
        }
    });
    let mut subscribed: Vec<_> = receiver.iter().take(usize::try_from(clients).unwrap()).collect();
    let (interval, mut late) = (Duration::from_secs(1) / u32::try_from(rate).unwrap(), Duration::ZERO);
    let begun = Instant::now();
    let (mut message, mut chance) = (Vec::new(), fastrand::Rng::with_seed(0));
    for (number, [before, after]) in (0..(WARM_UP + seconds) * rate).zip(stream::parts()) {
        if number == WARM_UP * rate {
            println!("begin");
            late = Duration::ZERO;
        }
        let due = begun + interval * u32::try_from(number).unwrap();
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        message.clear();
        frame(&mut message, &format!("{before}{}{after}\n", stream::time(chrono::Utc::now())));
        // The order is random, so that no client is always served first or always after the same other client.
        chance.shuffle(&mut subscribed);
        for client in &mut subscribed {
            client.write_all(&message).unwrap();
        }
        late = late.max(due.elapsed());
    }
    println!("end {}", late.as_millis());
    loop {
        std::thread::park();
    }
}

/// Answers requests until one subscribes to events. Returns false if the client closed the connection before.
fn answer(client: &UnixStream) -> bool {
    let mut reader = BufReader::new(client);
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if reader.read_line(&mut head).unwrap_or(0) == 0 {
                return false;
            }
        }
        let mut writer = client;
        let key = head
            .lines()
            .filter_map(|line| line.split_once(": "))
            .find(|(name, _)| name.eq_ignore_ascii_case("Sec-WebSocket-Key"));
        if let Some((_, key)) = key {
            let accept = derive_accept_key(key.trim().as_bytes());
            write!(writer, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\r\n").unwrap();
            return true;
        }
        let body = r#"{"type":"sync","status":"Success","status_code":200,"metadata":{"api_extensions":["event_lifecycle","projects","all_projects"],"api_status":"stable","api_version":"1.0","auth":"trusted","public":false,"auth_methods":["tls"],"environment":{"server":"lxd","server_name":"stand-in","project":"default"}}}"#;
        write!(
            writer,
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
        .unwrap();
    }
}
