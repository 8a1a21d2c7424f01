//! A stand-in for an LXD server on a unix socket, for behaviour that a real server cannot be made to show: a script of
//! the test sends every frame. A script that panics fails the test that started it. With [`Limits`] the stand-in
//! disconnects a slow client as the real servers do, and records why.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, Once, PoisonError, mpsc};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use tempfile::TempDir;

use super::http::{json, read_head, switching_protocols, wants_websocket};

/// How long the end of a test waits for scripts whose client has left.
const GRACE: Duration = Duration::from_millis(200);

/// The server: every connection runs the same script, on a thread of its own.
pub(crate) struct StandIn {
    socket: PathBuf,
    /// The directory of the socket, if the stand-in has created it and must remove it.
    _directory: Option<TempDir>,
    requests: mpsc::Receiver<String>,
    record: Arc<Record>,
}

/// What the threads of a server record for the test.
#[derive(Default)]
struct Record {
    state: Mutex<State>,
    ended: Condvar,
}

#[derive(Default)]
struct State {
    /// The number of running scripts.
    running: usize,
    /// The panic messages of scripts.
    panics: Vec<String>,
    /// The reasons why the server's limits ended connections.
    cuts: Vec<String>,
}

impl Record {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// When a server disconnects a slow client.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// A write that takes longer than this ends the connection.
    pub(crate) write: Duration,
    /// The interval between the server's pings. If two are unanswered when the next one is due, the connection ends.
    pub(crate) ping: Duration,
    /// How many events may be queued for writing. None: there is no queue, and a write blocks the script.
    pub(crate) waiting: Option<usize>,
}

/// LXD's limits with shorter times, for a test of a few seconds. A client that pauses for a second stays within them.
pub(crate) const QUICK: Limits = Limits::LXD.with_times(Duration::from_secs(3), Duration::from_millis(1500));

impl Limits {
    /// LXD's limits, from `lxd/events/connections.go`.
    pub(crate) const LXD: Self = Self { write: Duration::from_secs(5), ping: Duration::from_secs(10), waiting: None };

    /// The limits of Incus' main branch: in addition, a queue of 1,000 events for each client.
    pub(crate) const INCUS: Self = Self { waiting: Some(1000), ..Self::LXD };

    /// The same limits with other times, for short tests.
    pub(crate) const fn with_times(self, write: Duration, ping: Duration) -> Self {
        Self { write, ping, ..self }
    }
}

/// One connection whose request has been read.
pub(crate) struct Connection {
    stream: UnixStream,
    /// The head of the request.
    request: String,
    /// The number of the connection, from 0.
    pub(crate) number: usize,
    limits: Option<Limits>,
    /// If there are limits: their state, from the upgrade on.
    limited: Option<Limited>,
    record: Arc<Record>,
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
    /// Starts a server without limits.
    pub(crate) fn new(script: impl Fn(&mut Connection) + Send + Sync + 'static) -> Self {
        Self::start(None, script)
    }

    /// Starts a server that disconnects slow clients.
    pub(crate) fn with_limits(limits: Limits, script: impl Fn(&mut Connection) + Send + Sync + 'static) -> Self {
        Self::start(Some(limits), script)
    }

    /// Starts a server without limits that is a member of the cluster with this certificate.
    pub(crate) fn member(cluster: &'static str, script: impl Fn(&mut Connection) + Send + Sync + 'static) -> Self {
        let directory = TempDir::new().unwrap();
        let socket = directory.path().join("unix.socket");
        Self::listen(&socket, Some(directory), None, Some(cluster), script)
    }

    fn start(limits: Option<Limits>, script: impl Fn(&mut Connection) + Send + Sync + 'static) -> Self {
        let directory = TempDir::new().unwrap();
        let socket = directory.path().join("unix.socket");
        Self::listen(&socket, Some(directory), limits, None, script)
    }

    /// Starts a server without limits whose socket has this path.
    pub(crate) fn at(socket: &Path, script: impl Fn(&mut Connection) + Send + Sync + 'static) -> Self {
        Self::listen(socket, None, None, None, script)
    }

    fn listen(
        socket: &Path,
        directory: Option<TempDir>,
        limits: Option<Limits>,
        cluster: Option<&'static str>,
        script: impl Fn(&mut Connection) + Send + Sync + 'static,
    ) -> Self {
        record_panics();
        let listener = UnixListener::bind(socket).unwrap();
        let (heard, requests) = mpsc::channel();
        let record = Arc::<Record>::default();
        let shared = (Arc::new(script), Arc::clone(&record), Arc::new(AtomicUsize::new(0)));
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let ((script, record, numbers), heard) = (shared.clone(), heard.clone());
                record.state().running += 1;
                std::thread::spawn(move || {
                    RECORD.set(Some(Arc::clone(&record)));
                    let _running = Running(Arc::clone(&record));
                    let request = read_head(&stream);
                    // Whoever asks only whether the socket answers sends nothing, nor does a client that was killed.
                    if request.is_empty() {
                        return;
                    }
                    if request.starts_with("GET /1.0 ") {
                        let (limits, number) = (None, 0);
                        let mut connection = Connection { stream, request, number, limits, limited: None, record };
                        return connection.answer(&about_itself(cluster));
                    }
                    let number = numbers.fetch_add(1, Ordering::SeqCst);
                    // Fails if the test has already ended.
                    let _ = heard.send(request.clone());
                    let mut connection = Connection { stream, request, number, limits, limited: None, record };
                    script(&mut connection);
                    connection.finish();
                });
            }
        });
        Self { socket: socket.to_owned(), _directory: directory, requests, record }
    }

    /// The reasons why the server's limits have ended connections so far.
    pub(crate) fn cuts(&self) -> Vec<String> {
        self.record.state().cuts.clone()
    }

    /// Asserts that the server's limits have ended no connection.
    pub(crate) fn assert_never_cut(&self) {
        assert!(self.cuts().is_empty(), "the server ended the connection: {:?}", self.cuts());
    }

    /// The remote's name for the command line.
    pub(crate) fn remote(&self) -> String {
        format!("unix:{}", self.socket().display())
    }

    /// The path of the server's socket.
    pub(crate) fn socket(&self) -> PathBuf {
        self.socket.clone()
    }

    /// The heads of the requests since the last call.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.requests.try_iter().collect()
    }
}

/// What a server says about itself: whether it is in a cluster, and the certificate of that. Scripts do not see the
/// question, which lxmon asks on a connection of its own.
pub(crate) fn about_itself(cluster: Option<&str>) -> String {
    let (is_clustered, certificate) = (cluster.is_some(), cluster.unwrap_or("of its own"));
    format!(
        r#"{{"type":"sync","status":"Success","status_code":200,"metadata":{{"auth":"trusted","environment":{{"certificate_fingerprint":"{certificate}","server":"lxd","server_clustered":{is_clustered},"server_name":"n1","server_version":"6.9"}}}}}}"#
    )
}

thread_local! {
    /// Where a panic of this thread is recorded. Set on the threads of scripts only.
    static RECORD: RefCell<Option<Arc<Record>>> = const { RefCell::new(None) };
}

/// Records the panics of scripts before a backtrace is printed, which can take seconds: the test may end meanwhile.
fn record_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let print = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            RECORD.with_borrow(|record| {
                if let Some(record) = record {
                    record.state().panics.push(panic.to_string());
                }
            });
            print(panic);
        }));
    });
}

/// Counts a script as running until it is dropped.
struct Running(Arc<Record>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.state().running -= 1;
        self.0.ended.notify_all();
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        // A script whose client has disconnected ends by itself; one that waits for the test does not.
        let waited = self.record.ended.wait_timeout_while(self.record.state(), GRACE, |state| state.running > 0);
        let panics = std::mem::take(&mut waited.unwrap_or_else(PoisonError::into_inner).0.panics);
        assert!(panics.is_empty() || std::thread::panicking(), "the server's script panicked: {}", panics.join("; "));
    }
}

impl Connection {
    /// Accepts the request: from here on the connection is a WebSocket.
    pub(crate) fn accept(&mut self) {
        self.write(switching_protocols(&self.request, "").as_bytes());
        self.limited = self.limits.map(|limits| Limited::new(&self.stream, limits, &self.record));
    }

    /// The path and query of the request.
    pub(crate) fn target(&self) -> &str {
        self.request.split_whitespace().nth(1).unwrap_or_default()
    }

    /// The name of the requested project.
    pub(crate) fn project(&self) -> String {
        let project = self.target().split(['?', '&']).find_map(|part| part.strip_prefix("project="));
        project.unwrap_or("default").to_owned()
    }

    /// Whether the client requests a WebSocket.
    pub(crate) fn wants_websocket(&self) -> bool {
        wants_websocket(&self.request)
    }

    /// Answers a plain HTTP request, and announces that the connection closes afterwards.
    pub(crate) fn answer(&mut self, body: &str) {
        self.write(json("200 OK", "Connection: close\r\n", body).as_bytes());
    }

    /// Answers with an error, as LXD does.
    pub(crate) fn refuse(&mut self, status: &str, error: &str) {
        let body = format!("{{\"error\":\"{error}\",\"error_code\":{},\"type\":\"error\"}}\n", &status[..3]);
        self.write(json(status, "", &body).as_bytes());
    }

    /// Writes raw bytes. Returns false, and does not fail, if the client has disconnected.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> bool {
        match &self.limited {
            Some(limited) => limited.write(bytes),
            None => self.stream.write_all(bytes).is_ok(),
        }
    }

    /// Writes one frame.
    pub(crate) fn frame(&mut self, last: bool, opcode: u8, payload: &[u8]) -> bool {
        self.write(&frame(last, opcode, payload))
    }

    /// Writes a message as LXD does: one text frame with a newline at its end.
    pub(crate) fn event(&mut self, text: &str) -> bool {
        self.frame(true, opcode::TEXT, format!("{text}\n").as_bytes())
    }

    /// Waits for a frame from the client, and returns its opcode and payload.
    pub(crate) fn read_frame(&mut self) -> Option<(u8, Vec<u8>)> {
        match &self.limited {
            Some(limited) => limited.frames.recv().ok(),
            None => read_frame(&self.stream),
        }
    }

    /// Sends a ping and waits for the pong; false if the client has disconnected. Panics on any other frame.
    pub(crate) fn is_answered(&mut self, payload: &[u8]) -> bool {
        if !self.frame(true, opcode::PING, payload) {
            return false;
        }
        let Some(answer) = self.read_frame() else { return false };
        assert_eq!(answer, (opcode::PONG, payload.to_vec()), "the answer to a ping");
        true
    }

    /// Keeps the connection open until the client disconnects.
    pub(crate) fn wait(&mut self) {
        match &self.limited {
            Some(limited) => while limited.frames.recv().is_ok() {},
            None => _ = self.stream.read_to_end(&mut Vec::new()),
        }
    }

    /// Waits until the client has sent data, and leaves the data unread.
    pub(crate) fn wait_for_input(&self) {
        assert!(self.limited.is_none(), "with limits, a thread reads everything");
        poll(&mut [PollFd::new(&self.stream, PollFlags::IN)], None).unwrap();
    }

    /// Whether the client sends nothing for this time.
    pub(crate) fn is_quiet(&mut self, time: Duration) -> bool {
        assert!(self.limited.is_none(), "with limits, a thread reads everything");
        self.stream.set_read_timeout(Some(time)).unwrap();
        let quiet = self.stream.read(&mut [0]).is_err();
        self.stream.set_read_timeout(None).unwrap();
        quiet
    }

    /// Ends the connection without a Close frame, as the real servers do.
    pub(crate) fn end(&mut self) {
        self.finish();
        let _ = self.stream.shutdown(Shutdown::Both);
    }

    /// Waits until everything is written, and ends the threads that apply the limits, which hold the socket open.
    fn finish(&mut self) {
        if let Some(limited) = self.limited.take() {
            limited.line.finish();
            let _ = self.stream.shutdown(Shutdown::Both);
        }
    }
}

fn read_frame(mut stream: &UnixStream) -> Option<(u8, Vec<u8>)> {
    let mut head = [0; 6];
    stream.read_exact(&mut head).ok()?;
    // A client's frames are always masked, and those of lxmon are short.
    let mut payload = vec![0; usize::from(head[1] & 0x7f)];
    stream.read_exact(&mut payload).ok()?;
    for (at, byte) in payload.iter_mut().enumerate() {
        *byte ^= head[2 + at % 4];
    }
    Some((head[0] & 0x0f, payload))
}

/// The payload of the server's own pings; scripts use other payloads.
const HEARTBEAT: &[u8] = b"heartbeat";

/// A connection with limits: one thread reads, one sends pings, and one writes if there is a queue.
struct Limited {
    line: Arc<Line>,
    /// The frames that the client sends, except the answers to heartbeats.
    frames: mpsc::Receiver<(u8, Vec<u8>)>,
}

/// The state that the threads of one connection share.
struct Line {
    stream: UnixStream,
    limits: Limits,
    record: Arc<Record>,
    /// Locked during a write.
    writing: Mutex<()>,
    unanswered: AtomicU32,
    queue: Mutex<Waiting>,
    changed: Condvar,
}

#[derive(Default)]
struct Waiting {
    events: VecDeque<Vec<u8>>,
    /// Nothing more will be written, or can be.
    closed: bool,
    /// An event was removed from the queue and is not yet written.
    busy: bool,
}

impl Limited {
    fn new(stream: &UnixStream, limits: Limits, record: &Arc<Record>) -> Self {
        let line = Arc::new(Line {
            stream: stream.try_clone().unwrap(),
            limits,
            record: Arc::clone(record),
            writing: Mutex::default(),
            unanswered: AtomicU32::new(0),
            queue: Mutex::default(),
            changed: Condvar::new(),
        });
        let (heard, frames) = mpsc::channel();
        // Dropped by the reader when the connection ends.
        let (open, connected) = mpsc::channel::<()>();
        let (reader, pinger) = (Arc::clone(&line), Arc::clone(&line));
        std::thread::spawn(move || {
            let _open = open;
            while let Some(frame) = read_frame(&reader.stream) {
                if frame == (opcode::PONG, HEARTBEAT.to_vec()) {
                    reader.unanswered.fetch_sub(1, Ordering::Relaxed);
                } else {
                    let _ = heard.send(frame);
                }
            }
            reader.close();
        });
        std::thread::spawn(move || {
            while connected.recv_timeout(limits.ping) == Err(mpsc::RecvTimeoutError::Timeout) {
                if pinger.unanswered.load(Ordering::Relaxed) >= 2 {
                    pinger.cut("two pings are unanswered".to_owned());
                    break;
                }
                pinger.unanswered.fetch_add(1, Ordering::Relaxed);
                pinger.write(&frame(true, opcode::PING, HEARTBEAT));
            }
        });
        if limits.waiting.is_some() {
            let writer = Arc::clone(&line);
            std::thread::spawn(move || while writer.write_next() {});
        }
        Self { line, frames }
    }

    /// Writes the bytes, or queues them if there is a queue. Returns false if the connection has ended.
    fn write(&self, bytes: &[u8]) -> bool {
        let Some(most) = self.line.limits.waiting else { return self.line.write(bytes) };
        let mut queue = self.line.queue();
        if queue.closed {
            return false;
        }
        if queue.events.len() == most {
            drop(queue);
            self.line.cut(format!("{most} events wait"));
            return false;
        }
        queue.events.push_back(bytes.to_vec());
        self.line.changed.notify_all();
        true
    }
}

impl Line {
    fn queue(&self) -> MutexGuard<'_, Waiting> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes the bytes within the time limit, or else ends the connection.
    fn write(&self, mut bytes: &[u8]) -> bool {
        let _turn = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let deadline = Instant::now() + self.limits.write;
        while !bytes.is_empty() {
            let left = deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
            self.stream.set_write_timeout(Some(left)).unwrap();
            match (&self.stream).write(bytes) {
                Ok(written) => bytes = &bytes[written..],
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    if Instant::now() >= deadline {
                        self.cut(format!("a write took more than {:?}", self.limits.write));
                        return false;
                    }
                }
                Err(_) => {
                    self.close();
                    return false;
                }
            }
        }
        true
    }

    /// Waits for a queued event and writes the oldest one. Returns false when there will be no more.
    fn write_next(&self) -> bool {
        let idle = |queue: &mut Waiting| queue.events.is_empty() && !queue.closed;
        let mut queue = self.changed.wait_while(self.queue(), idle).unwrap_or_else(PoisonError::into_inner);
        let Some(event) = queue.events.pop_front() else { return false };
        queue.busy = true;
        drop(queue);
        let written = self.write(&event);
        self.queue().busy = false;
        self.changed.notify_all();
        written
    }

    /// Waits until everything is written, or cannot be written any more.
    fn finish(&self) {
        let busy = |queue: &mut Waiting| !queue.closed && (queue.busy || !queue.events.is_empty());
        let queue = self.changed.wait_while(self.queue(), busy);
        queue.unwrap_or_else(PoisonError::into_inner).closed = true;
        self.changed.notify_all();
    }

    /// Discards the queued events, because the connection has ended.
    fn close(&self) {
        let mut queue = self.queue();
        queue.closed = true;
        queue.events.clear();
        self.changed.notify_all();
    }

    fn cut(&self, why: String) {
        self.record.state().cuts.push(why);
        self.close();
        let _ = self.stream.shutdown(Shutdown::Both);
    }
}

/// The bytes of a frame as a server sends it: unmasked.
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

/// A small event with this number. The timestamps of two successive numbers are a millisecond apart.
pub(crate) fn numbered(number: u64) -> String {
    let time = chrono::DateTime::from_timestamp_millis(1_800_000_000_000 + i64::try_from(number).unwrap()).unwrap();
    format!(
        r#"{{"type":"lifecycle","timestamp":"{}","metadata":{{"action":"instance-started","source":"/1.0/instances/c{number}"}},"location":"none","project":"default"}}"#,
        time.to_rfc3339_opts(chrono::SecondsFormat::Nanos, true)
    )
}
