//! A live subscription: the WebSocket's messages, copied into blocks as they come.
//!
//! tokio-tungstenite reads the frames (RFC 6455). Its messages are slices of its read buffer, which it can use again only
//! when they are gone: so each is copied at once, and an event pins nothing but its block.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use log::debug;
use tokio::io::{AsyncRead, AsyncWrite, BufReader, ReadBuf};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::error::{CapacityError, ProtocolError};
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Bytes, Error, Message};

use crate::event::message::Block;
use crate::system::clock::Moment;

/// The longest message that is read, in bytes.
pub const MAX_MESSAGE: usize = 64 << 20;

/// How much is read of all connections together before each has its next turn, in bytes.
const READ: usize = 128 << 10;

/// How much tungstenite reads at once, in bytes. It clears so much memory before each read, however little there is to
/// read: much of it would cost more than an event does, and the processor's cache with it.
const PIECE: usize = 8 << 10;

/// No connection's share of that is less.
const LEAST: usize = 16 << 10;

/// Pings that are not answered yet wait as at most so many bytes of pongs; a flood is answered in part, as the RFC allows.
const MAX_UNSENT: usize = 4 << 10;

/// A live subscription.
#[derive(Debug)]
pub struct Subscription<S> {
    socket: WebSocketStream<BufReader<Line<S>>>,
    /// How many bytes are read before another connection has its turn.
    share: usize,
}

/// What one read brought.
#[derive(Debug, Default)]
pub struct Received {
    /// Text messages.
    pub block: Block,
    /// How many messages were not text: none of the servers sends these.
    pub binary: usize,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Subscription<S> {
    /// Begins with what was read behind the answer to the request. It is one of so many `connections`: none is read so far
    /// ahead of the others that the sort window could not merge what they bring.
    pub async fn new(stream: S, early: Vec<u8>, connections: usize) -> Self {
        let share = (READ / connections.max(1)).max(LEAST);
        let config = WebSocketConfig::default()
            .read_buffer_size(PIECE)
            .max_message_size(Some(MAX_MESSAGE))
            .max_frame_size(Some(MAX_MESSAGE));
        let line = Line { stream, unsent: Vec::new(), last_byte: Moment::now(), is_asked: false };
        let line = BufReader::with_capacity(share, line);
        Self { socket: WebSocketStream::from_partially_read(line, early, Role::Client, Some(config)).await, share }
    }

    /// Waits for messages and adds those that have come, up to this connection's share. Whether there may be more. May be
    /// cancelled at any time.
    ///
    /// # Errors
    /// Why the connection is lost. What came before is in `received`.
    pub async fn read(&mut self, received: &mut Received) -> Result<bool, Lost> {
        poll_fn(|context| {
            loop {
                match self.socket.poll_next_unpin(context) {
                    Poll::Ready(Some(Ok(Message::Text(text)))) => {
                        if received.block.push(text.as_str()).is_err() {
                            let size = text.as_str().len();
                            return Poll::Ready(Err(Lost(format!("no memory for a message of {size} bytes"))));
                        }
                        if received.block.is_full() || received.block.text_len() >= self.share {
                            return Poll::Ready(Ok(true));
                        }
                    }
                    Poll::Ready(Some(Ok(Message::Binary(_)))) => received.binary += 1,
                    Poll::Ready(Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_)))) => {}
                    Poll::Ready(Some(Ok(Message::Close(frame)))) => return Poll::Ready(Err(closed(frame.as_ref()))),
                    Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(lost(error))),
                    Poll::Ready(None) => return Poll::Ready(Err(closed(None))),
                    Poll::Pending if received.is_empty() => return Poll::Pending,
                    Poll::Pending => return Poll::Ready(Ok(false)),
                }
            }
        })
        .await
    }

    /// How long no byte has come.
    pub fn silence(&self) -> Duration {
        self.socket.get_ref().get_ref().last_byte.elapsed()
    }

    /// Asks the server for a sign of life, once until there is one.
    pub async fn ping(&mut self) {
        if std::mem::replace(&mut self.socket.get_mut().get_mut().is_asked, true) {
            return;
        }
        // The line accepts everything at once; whether the server is there shows in what it sends.
        let _ = self.socket.send(Message::Ping(Bytes::new())).await;
    }
}

impl Received {
    fn is_empty(&self) -> bool {
        self.block.is_empty() && self.binary == 0
    }
}

/// The connection's byte stream. Writing to it never waits and never fails: a server that does not read, now or ever, must
/// not keep us from reading what it has sent.
#[derive(Debug)]
struct Line<S> {
    stream: S,
    /// Frames that the stream has not accepted yet.
    unsent: Vec<u8>,
    last_byte: Moment,
    /// Whether a sign of life has been asked for since then.
    is_asked: bool,
}

impl<S: AsyncWrite + Unpin> Line<S> {
    /// Sends as much of what is unsent as the stream accepts now.
    fn send(&mut self, context: &mut Context<'_>) {
        while !self.unsent.is_empty() {
            match Pin::new(&mut self.stream).poll_write(context, &self.unsent) {
                Poll::Pending => break,
                Poll::Ready(Ok(sent @ 1..)) => _ = self.unsent.drain(..sent),
                Poll::Ready(outcome) => {
                    debug!("the server accepts nothing any more: {outcome:?}");
                    self.unsent.clear();
                }
            }
        }
        // What TLS holds back is sent here, or with the next read.
        let _ = Pin::new(&mut self.stream).poll_flush(context);
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Line<S> {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let line = self.get_mut();
        if !line.unsent.is_empty() {
            line.send(context);
        }
        let before = buffer.filled().len();
        let outcome = Pin::new(&mut line.stream).poll_read(context, buffer);
        if buffer.filled().len() > before {
            line.last_byte = Moment::now();
            line.is_asked = false;
        }
        outcome
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Line<S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, frames: &[u8]) -> Poll<io::Result<usize>> {
        let line = self.get_mut();
        // Whole frames are dropped: tungstenite writes all that it has at once.
        if line.unsent.len() <= MAX_UNSENT {
            line.unsent.extend_from_slice(frames);
        }
        line.send(context);
        Poll::Ready(Ok(frames.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().send(context);
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// Why a connection is lost, in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lost(pub String);

impl std::fmt::Display for Lost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "connection lost: {}", self.0)
    }
}

impl std::error::Error for Lost {}

/// The Close frame in words (RFC 6455, section 5.5.1): a code and a reason, or nothing.
fn closed(frame: Option<&CloseFrame>) -> Lost {
    Lost(match frame {
        Some(CloseFrame { code, reason }) if reason.is_empty() => {
            format!("the server closed the connection (code {})", u16::from(*code))
        }
        Some(CloseFrame { code, reason }) => {
            format!("the server closed the connection: {} (code {})", reason.as_str(), u16::from(*code))
        }
        None => "the server closed the connection".into(),
    })
}

fn lost(error: Error) -> Lost {
    Lost(match error {
        // The servers end without a Close frame; so does everything that dies. TLS misses its own end then.
        Error::ConnectionClosed
        | Error::AlreadyClosed
        | Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => {
            return closed(None);
        }
        Error::Io(error) if error.kind() == io::ErrorKind::UnexpectedEof => return closed(None),
        // So does one that dies while something of ours is unread.
        Error::Io(error) if error.kind() == io::ErrorKind::ConnectionReset => return closed(None),
        Error::Io(error) => error.to_string(),
        Error::Capacity(CapacityError::MessageTooLong { size, max_size }) => {
            format!("the server sent a message of {size} bytes; the longest that is read has {max_size}")
        }
        Error::Utf8(_) => "the server sent a message that is not UTF-8".into(),
        Error::Protocol(error) => format!("the server broke the WebSocket protocol: {error}"),
        error => error.to_string(),
    })
}
