//! All HTTP exchanges with servers and proxies: one request over any byte stream, and its answer.
//!
//! hyper writes the request and parses the answer; this module interprets the answer.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use hyper::body::{Body as _, Incoming};
use hyper::client::conn::http1::{self, Connection};
use hyper::ext::ReasonPhrase;
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::http::request;
use hyper::http::response::Parts;
use hyper::rt::ReadBufCursor;
use hyper::{Method, Request, StatusCode};
use log::debug;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::handshake::{client::generate_key, derive_accept_key};

use super::session::{Identity, USER_AGENT};
use crate::remote::secret::Secret;

/// The size limit for an answer whose body is read only for its error, in bytes. It covers interim answers, heads,
/// bodies and trailers together.
const MAX_ANSWER: usize = 64 << 10;

/// The maximum number of headers. Servers send ten, gateways in front of them a few dozen.
const MAX_HEADERS: usize = 4096;

/// The timeout for the body of a refusal. The status is known by then, and a gateway that sends neither a length nor an
/// end must not turn the refusal into a timeout.
const BODY: Duration = Duration::from_secs(3);

/// How much of an answer's text is shown, in characters.
const MAX_SHOWN: usize = 300;

/// A server or a proxy answered, but not with what was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// The HTTP status.
    pub status: u16,
    /// The reason phrase of the status.
    pub reason: String,
    /// The error text or page text of the body, as one line; empty if there is none.
    pub text: String,
    /// Whether the answer looks like one from LXD or Incus, or from a gateway in front of them.
    pub is_servers: bool,
    /// Whether its headers say with whom to log in with OIDC, as those of both servers do for a client that is not
    /// logged in.
    pub names_oidc: bool,
}

impl Refusal {
    /// Whether the same request would be refused again: a client error (RFC 9110, section 15.5), except those that
    /// depend on time (408 Request Timeout, 425 Too Early, 429 Too Many Requests).
    #[must_use]
    pub(crate) fn is_permanent(&self) -> bool {
        matches!(self.status, 400..=499) && !matches!(self.status, 408 | 425 | 429)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { status, reason, text, is_servers, .. } = self;
        match (&**text, is_servers) {
            ("", true) => write!(f, "the server refuses ({status}): {reason}, without giving a reason"),
            (text, true) => write!(f, "the server refuses ({status}): {text}"),
            ("", false) => write!(f, "not an LXD or Incus server: it answers {status} {reason}"),
            (text, false) => write!(f, "not an LXD or Incus server: it answers {status} {reason}: {text}"),
        }
    }
}

impl std::error::Error for Refusal {}

/// The peer's answer is not HTTP, or not one of an LXD or Incus server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NotAServer(&'static str);

impl fmt::Display for NotAServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not an LXD or Incus server: {}", self.0)
    }
}

impl std::error::Error for NotAServer {}

/// Why there is no complete answer.
#[derive(Debug)]
pub(super) enum NoAnswer {
    /// The received bytes are not HTTP, or the answer is incomplete.
    Garbage(&'static str),
    /// Reading or writing failed.
    Io(io::Error),
}

impl NoAnswer {
    /// Converts it to an error about a server that was expected to be LXD or Incus.
    fn of_server(self) -> anyhow::Error {
        match self {
            Self::Garbage(what) => NotAServer(what).into(),
            Self::Io(error) => anyhow::Error::new(error).context("reading the server's answer"),
        }
    }
}

impl fmt::Display for NoAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Garbage(what) => f.write_str(what),
            Self::Io(error) => error.fmt(f),
        }
    }
}

/// Asks a server to upgrade the connection to a WebSocket. Returns the stream, and what the server has sent after its
/// answer.
///
/// # Errors
/// [`Refusal`], [`NotAServer`], or an [`io::Error`].
pub(super) async fn upgrade<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    host: &str,
    target: &str,
    identity: &Identity,
) -> anyhow::Result<(S, Bytes)> {
    let key = generate_key();
    let request = request(Method::GET, target, host, identity.headers())
        .header(header::CONNECTION, "Upgrade")
        .header(header::UPGRADE, "websocket")
        .header(header::SEC_WEBSOCKET_VERSION, "13")
        .header(header::SEC_WEBSOCKET_KEY, &key);
    let answer = Answer::to(request, stream, MAX_ANSWER).await?.map_err(NoAnswer::of_server)?;
    identity.receive(&answer.head.headers);
    if answer.head.status != StatusCode::SWITCHING_PROTOCOLS {
        return Err(answer.refusal().await.into());
    }
    let accept = answer.head.headers.get(header::SEC_WEBSOCKET_ACCEPT);
    if accept.is_none_or(|accept| accept.as_bytes() != derive_accept_key(key.as_bytes()).as_bytes()) {
        return Err(NotAServer("its Sec-WebSocket-Accept header does not match the key").into());
    }
    answer.into_stream().await.map_err(NoAnswer::of_server)
}

/// Gets a document from a server. `limit` is the maximum size of the answer in bytes, head included.
///
/// # Errors
/// [`Refusal`], [`NotAServer`], or an [`io::Error`].
pub(crate) async fn get<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    host: &str,
    target: &str,
    identity: &Identity,
    limit: usize,
) -> anyhow::Result<Vec<u8>> {
    // The connection is not used again.
    let request = request(Method::GET, target, host, identity.headers()).header(header::CONNECTION, "close");
    let mut answer = Answer::to(request, stream, limit).await?.map_err(NoAnswer::of_server)?;
    identity.receive(&answer.head.headers);
    if !answer.head.status.is_success() {
        return Err(answer.refusal().await.into());
    }
    let mut body = Vec::new();
    answer.read_body(&mut body).await.map_err(NoAnswer::of_server)?;
    Ok(body)
}

/// Gets a document from a server, and sends it to `pieces` as it arrives, until nobody receives it any more. `limit` is
/// the maximum size of the answer in bytes, head included; `patience` is how long the server may send nothing.
///
/// # Errors
/// [`Refusal`], [`NotAServer`], or an [`io::Error`].
pub(super) async fn get_in_pieces<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    host: &str,
    target: &str,
    identity: &Identity,
    limit: usize,
    patience: Duration,
    pieces: mpsc::Sender<Bytes>,
) -> anyhow::Result<()> {
    let silent = || NoAnswer::Io(io::ErrorKind::TimedOut.into());
    let request = request(Method::GET, target, host, identity.headers()).header(header::CONNECTION, "close");
    let answer = timeout(patience, Answer::to(request, stream, limit)).await;
    let mut answer = answer.map_err(|_| silent().of_server())??.map_err(NoAnswer::of_server)?;
    identity.receive(&answer.head.headers);
    if !answer.head.status.is_success() {
        return Err(answer.refusal().await.into());
    }
    loop {
        let piece = timeout(patience, answer.piece()).await.unwrap_or_else(|_| Err(silent()));
        let Some(piece) = piece.map_err(NoAnswer::of_server)? else { return Ok(()) };
        if pieces.send(piece).await.is_err() {
            return Ok(());
        }
    }
}

/// Asks a proxy for a tunnel to `host` (RFC 9110, section 9.3.6).
///
/// # Errors
/// [`Refusal`], or the text of a [`NoAnswer`].
pub(super) async fn connect<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    host: &str,
    authorization: Option<&Secret>,
) -> anyhow::Result<S> {
    let no_answer = |why: NoAnswer| anyhow::anyhow!("{why}");
    let mut headers = HeaderMap::from_iter([(header::USER_AGENT, HeaderValue::from_static(USER_AGENT))]);
    if let Some(Secret(authorization)) = authorization {
        let mut value = HeaderValue::from_str(authorization)?;
        value.set_sensitive(true);
        headers.insert(header::PROXY_AUTHORIZATION, value);
    }
    let request = request(Method::CONNECT, host, host, headers);
    let answer = Answer::to(request, stream, MAX_ANSWER).await?.map_err(no_answer)?;
    if !answer.head.status.is_success() {
        return Err(answer.refusal().await.into());
    }
    let (stream, rest) = answer.into_stream().await.map_err(no_answer)?;
    // In TLS the client sends the first message, so these bytes are not from the server.
    anyhow::ensure!(rest.is_empty(), "it sent data after its answer");
    Ok(stream)
}

fn request(method: Method, target: &str, host: &str, headers: HeaderMap) -> request::Builder {
    debug!("request to {host}: {method} {target}");
    let mut request = Request::builder().method(method).uri(target).header(header::HOST, host);
    // There are no headers if the target is invalid; sending the request fails then.
    if let Some(all) = request.headers_mut() {
        all.extend(headers);
    }
    request
}

/// The answer to a request: its head, and the connection that its body is read from.
struct Answer<S: AsyncRead + AsyncWrite + Unpin> {
    head: Parts,
    body: Incoming,
    driver: Driver<S>,
}

/// Polls hyper's connection, which does the I/O, along with the future that is waited for.
struct Driver<S: AsyncRead + AsyncWrite + Unpin> {
    connection: Connection<Transport<S>, String>,
    has_ended: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Driver<S> {
    fn poll(&mut self, context: &mut Context<'_>) {
        // Errors are ignored here, because the future that is waited for returns them too.
        self.has_ended = self.has_ended || self.connection.poll_without_shutdown(context).is_ready();
    }

    /// Explains why hyper failed.
    fn failure(self, error: &hyper::Error) -> NoAnswer {
        let Transport { failure, read, limit, .. } = self.connection.into_parts().io;
        debug!("no answer: {error} ({:?})", std::error::Error::source(error));
        match failure {
            // The peer closed the connection before it had read our request.
            Some(error) if read == 0 && error.kind() == io::ErrorKind::ConnectionReset => {
                NoAnswer::Garbage("it closes the connection without an answer")
            }
            Some(error) => NoAnswer::Io(error),
            None if read >= limit => NoAnswer::Garbage("its answer is too long"),
            None if read == 0 => NoAnswer::Garbage("it closes the connection without an answer"),
            None if error.is_parse() => NoAnswer::Garbage("it does not answer in HTTP"),
            None => NoAnswer::Garbage("it closes the connection within its answer"),
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Answer<S> {
    /// Sends `request` and waits for the head of the final answer. The outer error means that the request is invalid.
    async fn to(request: request::Builder, stream: S, limit: usize) -> anyhow::Result<Result<Self, NoAnswer>> {
        let host = request.headers_ref().and_then(|headers| headers.get(header::HOST)?.to_str().ok());
        let host = host.unwrap_or_default().to_owned();
        let request = request.body(String::new()).context("the request cannot be made")?;
        let transport = Transport { stream, limit, read: 0, is_sent: false, failure: None };
        let mut options = http1::Builder::new();
        options
            .title_case_headers(true)
            .max_headers(MAX_HEADERS)
            // More than the transport reads, so that only the transport's limit applies.
            .max_buf_size(limit + (64 << 10))
            .allow_obsolete_multiline_headers_in_responses(true);
        let (mut sender, connection) = options.handshake(transport).await?;
        let mut driver = Driver { connection, has_ended: false };
        let mut response = pin!(sender.send_request(request));
        let outcome = poll_fn(|context| {
            driver.poll(context);
            response.as_mut().poll(context)
        });
        let answer = match outcome.await {
            Ok(response) => response,
            Err(error) => return Ok(Err(driver.failure(&error))),
        };
        let (head, body) = answer.into_parts();
        let answer = Self { head, body, driver };
        debug!("answer of {host}: {} {}", answer.head.status.as_u16(), answer.reason());
        Ok(Ok(answer))
    }

    /// The reason phrase of the status.
    fn reason(&self) -> String {
        match self.head.extensions.get::<ReasonPhrase>() {
            Some(reason) => one_line(reason.as_bytes()),
            None => self.head.status.canonical_reason().unwrap_or_default().to_owned(),
        }
    }

    /// Appends the body to `body`, as much of it as arrives.
    async fn read_body(&mut self, body: &mut Vec<u8>) -> Result<(), NoAnswer> {
        while let Some(piece) = self.piece().await? {
            body.extend_from_slice(&piece);
        }
        Ok(())
    }

    /// The next piece of the body; `None` at its end.
    async fn piece(&mut self) -> Result<Option<Bytes>, NoAnswer> {
        loop {
            let frame = poll_fn(|context| {
                self.driver.poll(context);
                Pin::new(&mut self.body).poll_frame(context)
            });
            match frame.await {
                None => return Ok(None),
                Some(Ok(frame)) => {
                    // Trailers are ignored.
                    if let Ok(piece) = frame.into_data() {
                        return Ok(Some(piece));
                    }
                }
                Some(Err(_)) => return Err(NoAnswer::Garbage("it closes the connection within its answer")),
            }
        }
    }

    /// Reads the answer as a refusal. An incomplete body is better than none.
    async fn refusal(mut self) -> Refusal {
        let mut body = Vec::new();
        let read = timeout(BODY, self.read_body(&mut body)).await;
        if !matches!(read, Ok(Ok(()))) {
            debug!("the answer's body is incomplete after {} bytes", body.len());
        }
        let (status, reason) = (self.head.status, self.reason());
        let error = error_text(&body);
        // The statuses of a gateway that cannot reach the server, or does not allow the client to.
        let is_gateways = matches!(status.as_u16(), 401 | 403 | 408 | 425 | 429 | 500..);
        let is_servers = error.is_some() || is_gateways || is_json(&self.head);
        let text = error.unwrap_or_else(|| page_text(&body));
        let names_oidc = ["x-lxd-oidc-issuer", "x-incus-oidc-issuer"]
            .iter()
            .any(|name| self.head.headers.get(*name).is_some_and(|issuer| !issuer.is_empty()));
        Refusal { status: status.as_u16(), reason, text, is_servers, names_oidc }
    }

    /// For an answer that switches the connection from HTTP to another protocol: the stream, and what was received
    /// after the answer's head.
    async fn into_stream(self) -> Result<(S, Bytes), NoAnswer> {
        let Self { mut driver, body, .. } = self;
        drop(body);
        poll_fn(|context| {
            driver.poll(context);
            if driver.has_ended { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
        let http1::Parts { io: Transport { stream, failure, .. }, read_buf, .. } = driver.connection.into_parts();
        match failure {
            Some(error) => Err(NoAnswer::Io(error)),
            None => Ok((stream, read_buf)),
        }
    }
}

fn is_json(head: &Parts) -> bool {
    let kind = head.headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    kind.get(..16).is_some_and(|kind| kind.eq_ignore_ascii_case(b"application/json"))
}

/// The `error` of an LXD or Incus error body.
fn error_text(body: &[u8]) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Body {
        error: String,
    }
    let body = serde_json::from_slice::<Body>(body).ok()?;
    Some(one_line(body.error.as_bytes())).filter(|error| !error.is_empty())
}

/// The text of a page, without its markup.
fn page_text(body: &[u8]) -> String {
    if !body.trim_ascii_start().starts_with(b"<") {
        return one_line(body);
    }
    let mut is_markup = false;
    let text: Vec<_> = body
        .iter()
        .filter_map(|&byte| {
            let was_markup = is_markup;
            is_markup = (is_markup || byte == b'<') && byte != b'>';
            match (was_markup, is_markup) {
                (false, false) => Some(byte),
                (false, true) => Some(b' '),
                (true, _) => None,
            }
        })
        .collect();
    one_line(&text)
}

/// Untrusted text as one line of bounded length. Other characters that are unsafe on a terminal are escaped when the
/// line is printed.
fn one_line(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    let mut words = text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty());
    let mut line = words.next().unwrap_or_default().to_owned();
    for word in words {
        line.push(' ');
        line.push_str(word);
    }
    if let Some((end, _)) = line.char_indices().nth(MAX_SHOWN) {
        line.truncate(end);
        line.push('…');
    }
    line
}

/// Adapts a byte stream to hyper's traits, with a limit on the bytes that are read.
struct Transport<S> {
    stream: S,
    limit: usize,
    read: usize,
    /// Whether the request was written, or writing it failed.
    is_sent: bool,
    /// The error of a failed read, of which hyper gets only the kind.
    failure: Option<io::Error>,
}

impl<S: AsyncRead + Unpin> hyper::rt::Read for Transport<S> {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, mut into: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        // hyper fails if bytes arrive before its request is written, but a server can refuse at once. Writing wakes the
        // task.
        if !this.is_sent {
            return Poll::Pending;
        }
        if this.read >= this.limit {
            return Poll::Ready(Err(io::Error::other("too long")));
        }
        let mut bytes = [0; 4096];
        let room = bytes.len().min(into.remaining());
        let mut bytes = ReadBuf::new(&mut bytes[..room]);
        match ready!(Pin::new(&mut this.stream).poll_read(context, &mut bytes)) {
            Ok(()) => {}
            // TLS ended without close_notify. The HTTP framing shows whether the answer is complete.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {}
            Err(error) => {
                let kind = error.kind();
                this.failure = Some(error);
                return Poll::Ready(Err(kind.into()));
            }
        }
        this.read += bytes.filled().len();
        into.put_slice(bytes.filled());
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> hyper::rt::Write for Transport<S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let outcome = ready!(Pin::new(&mut this.stream).poll_write(context, bytes));
        this.is_sent = true;
        context.waker().wake_by_ref();
        match outcome {
            // A server can refuse and close the connection before it has read the request. Its answer says more than
            // this error.
            Err(error) => {
                debug!("sending the request: {error}");
                Poll::Ready(Ok(bytes.len()))
            }
            sent => Poll::Ready(sent),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Errors are ignored, as in `poll_write`.
        Pin::new(&mut self.get_mut().stream).poll_flush(context).map(|_| Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }
}
