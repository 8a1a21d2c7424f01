//! Subscribes to a server's events over any byte stream: one HTTP request, upgraded to a WebSocket.
//!
//! The request is written and its answer read here, because a refusal carries a body that says why, and WebSocket
//! libraries drop it.

use std::fmt::Write as _;
use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use anyhow::Context as _;
use log::debug;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio_tungstenite::tungstenite::handshake::{client::generate_key, derive_accept_key};

use super::frames::{Frame, Frames, Lost};

/// The longest answer to the request that is read, head and body alike, in bytes.
const MAX_ANSWER: usize = 64 << 10;

/// What is asked of a server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request {
    /// Event types; none asks for all that are permitted.
    pub types: Vec<String>,
    /// The projects.
    pub projects: Projects,
}

/// Which projects' events are asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Projects {
    /// The remote's own project, else the server's default.
    #[default]
    Default,
    /// This one.
    One(String),
    /// All of them.
    All,
}

impl Request {
    /// The path and query; `default_project` is the remote's own project. Sent even where it is the server's default
    /// anyway, as an answer to what was asked.
    #[must_use]
    pub fn target(&self, prefix: &str, default_project: Option<&str>) -> String {
        let mut target = format!("{prefix}/1.0/events");
        let mut separator = '?';
        let mut add = |name: &str, value: &str| {
            target.push(separator);
            target.push_str(name);
            target.push('=');
            for byte in value.bytes() {
                match byte {
                    b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' | b',' => {
                        target.push(char::from(byte));
                    }
                    // Writing to a String cannot fail.
                    _ => _ = write!(target, "%{byte:02X}"),
                }
            }
            separator = '&';
        };
        if !self.types.is_empty() {
            add("type", &self.types.join(","));
        }
        match (&self.projects, default_project) {
            (Projects::All, _) => add("all-projects", "true"),
            (Projects::One(project), _) => add("project", project),
            (Projects::Default, Some(project)) => add("project", project),
            (Projects::Default, None) => {}
        }
        target
    }
}

/// Why a server did not let us subscribe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The HTTP status.
    pub status: u16,
    /// What the server said.
    pub text: String,
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the server refuses ({}): {}", self.status, self.text)
    }
}

impl std::error::Error for Refusal {}

/// The other end speaks no HTTP, or not that of an LXD or Incus server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotAServer(String);

impl std::fmt::Display for NotAServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for NotAServer {}

/// A live subscription.
#[derive(Debug)]
pub struct Subscription<S> {
    stream: S,
    frames: Frames,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Subscription<S> {
    /// Sends the request for `target` with `authorization` as header, if any, and reads the answer. It is one of so many
    /// `remotes` that are followed.
    ///
    /// # Errors
    /// [`Refusal`] with what the server said, [`NotAServer`], or an [`io::Error`].
    pub async fn open(
        mut stream: S,
        host: &str,
        target: &str,
        authorization: Option<&str>,
        remotes: usize,
    ) -> anyhow::Result<Self> {
        let key = generate_key();
        let authorization = authorization.map(|value| format!("Authorization: {value}\r\n")).unwrap_or_default();
        debug!("GET {target} HTTP/1.1");
        let request = format!(
            "GET {target} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: lxmon/{}\r\n{authorization}Connection: Upgrade\r\n\
             Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n",
            env!("CARGO_PKG_VERSION")
        );
        stream.write_all(request.as_bytes()).await.context("sending the request")?;
        stream.flush().await.context("sending the request")?;

        let mut answer = Vec::with_capacity(1024);
        let head = read_head(&mut stream, &mut answer).await?;
        debug!("answer: {} {}", head.status, head.reason);
        if head.status != 101 {
            let body = read_body(&mut stream, answer.split_off(head.length), &head).await;
            let text = error_text(&body).unwrap_or_else(|| format!("{} without a reason", head.reason));
            let refusal = Refusal { status: head.status, text };
            // An answer that no LXD or Incus gives: another kind of server listens here.
            if !head.json && refusal.status != 401 && refusal.status != 503 {
                let why = format!("not an LXD or Incus server: it answers {} {}", head.status, head.reason);
                return Err(NotAServer(why).into());
            }
            return Err(refusal.into());
        }
        if head.accept.as_deref() != Some(&*derive_accept_key(key.as_bytes())) {
            return Err(
                NotAServer("not an LXD or Incus server: it accepts a WebSocket with the wrong key".into()).into()
            );
        }
        let frames = Frames::new(&answer[head.length..], remotes);
        Ok(Self { stream, frames })
    }

    /// Waits for frames and adds all that one read of the socket brings. May be cancelled at any time.
    ///
    /// # Errors
    /// Why the connection is lost. What was received before is in `burst`.
    pub async fn read(&mut self, burst: &mut Vec<Frame>) -> Result<(), Lost> {
        loop {
            while let Some(frame) = self.frames.next()? {
                burst.push(frame);
            }
            if !burst.is_empty() {
                // It may take a while until we are asked to read again.
                poll_fn(|context| {
                    self.send(context);
                    Poll::Ready(())
                })
                .await;
                return Ok(());
            }
            let received = poll_fn(|context| {
                self.send(context);
                pin!(self.stream.read_buf(self.frames.room())).poll(context)
            });
            if received.await? == 0 {
                // The servers end without a Close frame; so does everything that dies.
                return Err(Lost("the server closed the connection".into()));
            }
        }
    }

    /// Asks the server for a sign of life; sent with the next read.
    pub fn ping(&mut self) {
        self.frames.ping();
    }

    /// Sends of what is to be sent as much as the server takes just now. That one which only sends takes nothing must
    /// not keep us from reading; and that sending fails is no end: a server that died may have sent events before, and
    /// reading tells when they are all.
    fn send(&mut self, context: &mut Context<'_>) {
        while !self.frames.outgoing().is_empty() {
            match Pin::new(&mut self.stream).poll_write(context, self.frames.outgoing()) {
                Poll::Pending => break,
                Poll::Ready(Ok(sent @ 1..)) => _ = self.frames.outgoing().drain(..sent),
                Poll::Ready(outcome) => {
                    debug!("the server takes nothing any more: {outcome:?}");
                    self.frames.outgoing().clear();
                }
            }
        }
        // What TLS holds back is sent here, or with the next read.
        let _ = Pin::new(&mut self.stream).poll_flush(context);
    }
}

/// The head of an HTTP answer.
#[derive(Debug)]
struct Head {
    /// Where the body begins.
    length: usize,
    status: u16,
    reason: String,
    json: bool,
    content_length: Option<usize>,
    chunked: bool,
    accept: Option<String>,
}

/// Reads into `answer` until the head is complete; more than the head may have been read then.
async fn read_head(stream: &mut (impl AsyncRead + Unpin), answer: &mut Vec<u8>) -> anyhow::Result<Head> {
    let garbage = |what: &str| NotAServer(format!("not an LXD or Incus server: {what}"));
    loop {
        let mut headers = [httparse::EMPTY_HEADER; 64];
        let mut response = httparse::Response::new(&mut headers);
        match response.parse(answer) {
            Ok(httparse::Status::Complete(length)) => return Ok(Head::new(length, &response)),
            Ok(httparse::Status::Partial) => {}
            Err(_) => return Err(garbage("it does not answer in HTTP").into()),
        }
        if answer.len() > MAX_ANSWER {
            return Err(garbage("its answer has no end").into());
        }
        match stream.read_buf(answer).await {
            Ok(0) if answer.is_empty() => return Err(garbage("it closes the connection without an answer").into()),
            Ok(0) => return Err(garbage("it closes the connection within its answer").into()),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset && answer.is_empty() => {
                return Err(garbage("it closes the connection without an answer").into());
            }
            Err(error) => return Err(anyhow::Error::new(error).context("reading the server's answer")),
        }
    }
}

impl Head {
    fn new(length: usize, response: &httparse::Response<'_, '_>) -> Self {
        let header = |name: &str| {
            let header = response.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name))?;
            std::str::from_utf8(header.value).ok().map(str::trim)
        };
        Self {
            length,
            status: response.code.unwrap_or_default(),
            reason: response.reason.unwrap_or_default().to_owned(),
            json: header("content-type").is_some_and(|kind| kind.starts_with("application/json")),
            content_length: header("content-length").and_then(|length| length.parse().ok()),
            chunked: header("transfer-encoding").is_some_and(|coding| coding.eq_ignore_ascii_case("chunked")),
            accept: header("sec-websocket-accept").map(str::to_owned),
        }
    }
}

/// Reads what there is of the body, at most [`MAX_ANSWER`]; a body that breaks off is better than none.
async fn read_body(stream: &mut (impl AsyncRead + Unpin), mut body: Vec<u8>, head: &Head) -> Vec<u8> {
    let complete = |body: &[u8]| match head.content_length {
        Some(length) => body.len() >= length,
        None if head.chunked => body.ends_with(b"\r\n0\r\n\r\n") || body == b"0\r\n\r\n",
        None => false,
    };
    while !complete(&body) && body.len() < MAX_ANSWER {
        match stream.read_buf(&mut body).await {
            Ok(0) | Err(_) => break,
            Ok(_) => {}
        }
    }
    if head.chunked { unchunk(&body) } else { body }
}

fn unchunk(mut body: &[u8]) -> Vec<u8> {
    let mut whole = Vec::with_capacity(body.len());
    while let Ok(httparse::Status::Complete((start, size))) = httparse::parse_chunk_size(body) {
        let end = usize::try_from(size).ok().and_then(|size| start.checked_add(size)).filter(|end| *end <= body.len());
        let Some(end) = end.filter(|_| size > 0) else { break };
        whole.extend_from_slice(&body[start..end]);
        body = body[end..].strip_prefix(b"\r\n").unwrap_or(&body[end..]);
    }
    whole
}

/// The `error` of an LXD or Incus error body.
fn error_text(body: &[u8]) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Body {
        error: String,
    }
    serde_json::from_slice::<Body>(body).ok().map(|body| body.error).filter(|error| !error.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_query_says_what_is_wanted() {
        let request =
            |types: &[&str], projects| Request { types: types.iter().map(ToString::to_string).collect(), projects };
        for (request, default_project, target) in [
            (request(&[], Projects::Default), None, "/1.0/events"),
            (request(&[], Projects::Default), Some("web"), "/1.0/events?project=web"),
            (
                request(&["lifecycle", "operation"], Projects::All),
                Some("web"),
                "/1.0/events?type=lifecycle,operation&all-projects=true",
            ),
            (request(&["a b&c"], Projects::One("ü/?".into())), None, "/1.0/events?type=a%20b%26c&project=%C3%BC%2F%3F"),
        ] {
            assert_eq!(request.target("", default_project), target);
        }
    }

    #[test]
    fn chunks_are_joined() {
        assert_eq!(unchunk(b"4\r\nWiki\r\n5\r\npedia\r\n0\r\n\r\n"), b"Wikipedia");
        assert_eq!(unchunk(b"ffffffffffffffff\r\nx"), b"");
        assert_eq!(unchunk(b"zz"), b"");
    }
}
