//! A stand-in for an LXD server on a unix socket, for what a real one cannot be made to do: it sends what the test says,
//! frame by frame.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use tempfile::TempDir;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

/// The server: every connection is played by the same script, on a thread of its own.
pub(crate) struct StandIn {
    socket: PathBuf,
    /// Where the socket is, when that is ours to remove.
    _directory: Option<TempDir>,
    requests: mpsc::Receiver<String>,
}

/// One connection, after its request was read.
pub(crate) struct Connection {
    stream: UnixStream,
    /// The request's head.
    request: String,
    /// Counts connections from 0.
    pub(crate) number: usize,
}

/// The opcodes of RFC 6455.
pub(crate) mod opcode {
    pub(crate) const CONTINUATION: u8 = 0;
    pub(crate) const TEXT: u8 = 1;
    pub(crate) const BINARY: u8 = 2;
    pub(crate) const CLOSE: u8 = 8;
    pub(crate) const PING: u8 = 9;
    pub(crate) const PONG: u8 = 10;
}

impl StandIn {
    /// Starts to listen.
    pub(crate) fn new(script: impl Fn(&mut Connection) + Send + Sync + 'static) -> Self {
        let directory = TempDir::new().unwrap();
        let server = Self::at(&directory.path().join("unix.socket"), script);
        Self { _directory: Some(directory), ..server }
    }

    /// Starts to listen at this path.
    pub(crate) fn at(socket: &Path, script: impl Fn(&mut Connection) + Send + Sync + 'static) -> Self {
        let listener = UnixListener::bind(socket).unwrap();
        let (heard, requests) = mpsc::channel();
        let script = std::sync::Arc::new(script);
        std::thread::spawn(move || {
            for (number, stream) in listener.incoming().map_while(Result::ok).enumerate() {
                let (script, heard) = (script.clone(), heard.clone());
                std::thread::spawn(move || {
                    let request = read_head(&stream);
                    // The test may have ended.
                    let _ = heard.send(request.clone());
                    let mut connection = Connection { stream, request, number };
                    script(&mut connection);
                });
            }
        });
        Self { socket: socket.to_owned(), _directory: None, requests }
    }

    /// The word for the command line.
    pub(crate) fn remote(&self) -> String {
        format!("unix:{}", self.socket().display())
    }

    /// Where it listens.
    pub(crate) fn socket(&self) -> PathBuf {
        self.socket.clone()
    }

    /// The heads of the requests so far.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.requests.try_iter().collect()
    }
}

fn read_head(stream: &UnixStream) -> String {
    let mut head = String::new();
    let mut reader = BufReader::with_capacity(1, stream);
    while !head.ends_with("\r\n\r\n") && reader.read_line(&mut head).is_ok_and(|length| length > 0) {}
    head
}

/// The key that a request for a WebSocket brings.
pub(crate) fn websocket_key(head: &str) -> Option<&str> {
    let mut headers = head.lines().filter_map(|line| line.split_once(": "));
    headers.find_map(|(name, value)| name.eq_ignore_ascii_case("Sec-WebSocket-Key").then_some(value))
}

impl Connection {
    /// Answers the request with a WebSocket.
    pub(crate) fn accept(&mut self) {
        let accept = derive_accept_key(websocket_key(&self.request).unwrap_or_default().as_bytes());
        self.write(
            format!(
                "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                 Sec-WebSocket-Accept: {accept}\r\n\r\n"
            )
            .as_bytes(),
        );
    }

    /// The project that is asked for, by its name.
    pub(crate) fn project(&self) -> String {
        let target = self.request.split_whitespace().nth(1).unwrap_or_default();
        let project = target.split(['?', '&']).find_map(|part| part.strip_prefix("project="));
        project.unwrap_or("default").to_owned()
    }

    /// Whether it is events that are asked for.
    pub(crate) fn wants_websocket(&self) -> bool {
        websocket_key(&self.request).is_some()
    }

    /// Answers any other request, and takes no further one.
    pub(crate) fn answer(&mut self, body: &str) {
        let length = body.len();
        self.write(
            format!(
                "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\
                 Content-Length: {length}\r\n\r\n{body}"
            )
            .as_bytes(),
        );
    }

    /// Answers as LXD does when it refuses.
    pub(crate) fn refuse(&mut self, status: &str, error: &str) {
        let body = format!(r#"{{"error":"{error}","error_code":{},"type":"error"}}"#, &status[..3]);
        self.write(
            format!(
                "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}\n",
                body.len() + 1
            )
            .as_bytes(),
        );
    }

    /// Raw bytes. That the client has gone is its own affair.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).is_ok()
    }

    /// One frame.
    pub(crate) fn frame(&mut self, last: bool, opcode: u8, payload: &[u8]) -> bool {
        self.write(&frame(last, opcode, payload))
    }

    /// A message as LXD sends it: one text frame with a newline at its end.
    pub(crate) fn event(&mut self, text: &str) -> bool {
        self.frame(true, opcode::TEXT, format!("{text}\n").as_bytes())
    }

    /// Waits for a frame of the client; its opcode and payload.
    pub(crate) fn read_frame(&mut self) -> Option<(u8, Vec<u8>)> {
        let mut head = [0; 6];
        self.stream.read_exact(&mut head).ok()?;
        // Ours are always masked and short.
        let mut payload = vec![0; usize::from(head[1] & 0x7f)];
        self.stream.read_exact(&mut payload).ok()?;
        for (at, byte) in payload.iter_mut().enumerate() {
            *byte ^= head[2 + at % 4];
        }
        Some((head[0] & 0x0f, payload))
    }

    /// Keeps the connection open until the client leaves.
    pub(crate) fn wait(&mut self) {
        let mut rest = Vec::new();
        let _ = self.stream.read_to_end(&mut rest);
    }

    /// Waits until the client has sent something, and leaves it unread.
    pub(crate) fn wait_for_input(&self) {
        poll(&mut [PollFd::new(&self.stream, PollFlags::IN)], None).unwrap();
    }

    /// Whether the client sends nothing for so long.
    pub(crate) fn is_quiet(&mut self, time: Duration) -> bool {
        self.stream.set_read_timeout(Some(time)).unwrap();
        let quiet = self.stream.read(&mut [0]).is_err();
        self.stream.set_read_timeout(None).unwrap();
        quiet
    }

    /// Ends the connection without a Close frame, as the real servers do.
    pub(crate) fn end(&mut self) {
        let _ = self.stream.shutdown(Shutdown::Both);
    }
}

/// The bytes of a server's frame.
pub(crate) fn frame(last: bool, opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![u8::from(last) << 7 | opcode];
    match payload.len() {
        short @ 0..=125 => bytes.push(u8::try_from(short).unwrap()),
        medium @ 126..=0xffff => {
            bytes.push(126);
            bytes.extend_from_slice(&u16::try_from(medium).unwrap().to_be_bytes());
        }
        long => {
            bytes.push(127);
            bytes.extend_from_slice(&(long as u64).to_be_bytes());
        }
    }
    bytes.extend_from_slice(payload);
    bytes
}

/// A small event, numbered, with timestamps a millisecond apart.
pub(crate) fn numbered(number: u64) -> String {
    let time = chrono::DateTime::from_timestamp_millis(1_800_000_000_000 + i64::try_from(number).unwrap()).unwrap();
    format!(
        r#"{{"type":"lifecycle","timestamp":"{}","metadata":{{"action":"instance-started","source":"/1.0/instances/c{number}"}},"location":"none","project":"default"}}"#,
        time.to_rfc3339_opts(chrono::SecondsFormat::Nanos, true)
    )
}
