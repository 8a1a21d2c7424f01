//! A live subscription: the WebSocket's messages, copied into blocks as they come.
//!
//! tungstenite reads the frames (RFC 6455). Its messages are slices of its read buffer, which it can use again only when
//! they are gone: so each is copied at once, and an event pins nothing but its block. It is given the bytes that have come,
//! and not the asynchronous stream: to register a wake-up for each message costs as much as to read one.

use std::future::poll_fn;
use std::io::{self, Read, Write};
use std::ops::Range;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use log::debug;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_tungstenite::tungstenite::error::{CapacityError, ProtocolError};
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Bytes, Error, Message, WebSocket};

use crate::event::message::{BLOCK, Block, MAX_MESSAGE};
use crate::system::clock::Moment;

/// How much is read of all connections together before each has its next turn, in bytes.
const READ: usize = 128 << 10;

/// How much tungstenite reads at once, in bytes. It clears so much memory before each read, however little there is to
/// read: much of it would cost more than an event does, and the processor's cache with it.
const PIECE: usize = 8 << 10;

/// No connection's share of that is less.
const LEAST: usize = 16 << 10;

/// Pings that are not answered yet wait as at most so many bytes of pongs; a flood is answered in part, as the RFC allows.
const MAX_UNSENT: usize = 4 << 10;

/// After so many messages that are not text, another connection has its turn.
const MAX_BINARY: u64 = 1024;

/// A live subscription.
#[derive(Debug)]
pub struct Subscription<S> {
    socket: WebSocket<Line<S>>,
    /// How many bytes are read before another connection has its turn.
    share: usize,
}

/// What one read brought.
#[derive(Debug, Default)]
pub struct Received {
    /// Text messages.
    pub block: Block,
    /// How many messages were not text: none of the servers sends these.
    pub binary: u64,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Subscription<S> {
    /// Begins with what was read behind the answer to the request. It is one of so many `connections`: none is read so far
    /// ahead of the others that the sort window could not merge what they bring.
    pub fn new(stream: S, early: Vec<u8>, connections: usize) -> Self {
        let share = (READ / connections.max(1)).max(LEAST);
        let config = WebSocketConfig::default()
            .read_buffer_size(PIECE)
            .max_message_size(Some(MAX_MESSAGE))
            .max_frame_size(Some(MAX_MESSAGE));
        let line = Line {
            stream,
            incoming: vec![0; share].into(),
            unread: 0..0,
            is_at_end: false,
            unsent: Vec::new(),
            is_flushed: true,
            last_byte: Moment::now(),
            is_asked: false,
        };
        Self { socket: WebSocket::from_partially_read(line, early, Role::Client, Some(config)), share }
    }

    /// Waits for messages and adds those that have come, up to this connection's share. Whether there may be more. May be
    /// cancelled at any time.
    ///
    /// # Errors
    /// Why the connection is lost. What came before is in `received`.
    pub async fn read(&mut self, received: &mut Received) -> Result<bool, Lost> {
        poll_fn(|context| {
            let outcome = self.poll_messages(received, context);
            // A pong must not wait for the next read: that may be long in coming.
            self.socket.get_mut().send(context);
            outcome
        })
        .await
    }

    fn poll_messages(&mut self, received: &mut Received, context: &mut Context<'_>) -> Poll<Result<bool, Lost>> {
        loop {
            match self.socket.read() {
                Ok(Message::Text(text)) => {
                    if received.block.push(text.as_str()).is_err() {
                        let size = text.as_str().len();
                        return Poll::Ready(Err(Lost(format!("no memory for a message of {size} bytes"))));
                    }
                    if received.block.weight() >= self.share.min(BLOCK) {
                        return Poll::Ready(Ok(true));
                    }
                }
                Ok(Message::Binary(_)) => {
                    received.binary += 1;
                    if received.binary.is_multiple_of(MAX_BINARY) {
                        return Poll::Ready(Ok(true));
                    }
                }
                Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_)) => {}
                Ok(Message::Close(frame)) => return Poll::Ready(Err(closed(frame.as_ref()))),
                Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                    match self.socket.get_mut().poll_fill(context) {
                        Poll::Ready(Ok(())) => {}
                        Poll::Ready(Err(error)) => return Poll::Ready(Err(lost(Error::Io(error)))),
                        Poll::Pending if received.is_empty() => return Poll::Pending,
                        Poll::Pending => return Poll::Ready(Ok(false)),
                    }
                }
                Err(error) => return Poll::Ready(Err(lost(error))),
            }
        }
    }

    /// How long no byte has come.
    pub fn silence(&self) -> Duration {
        self.socket.get_ref().last_byte.elapsed()
    }

    /// Asks the server for a sign of life with the next read, once until there is one.
    pub fn ping(&mut self) {
        if std::mem::replace(&mut self.socket.get_mut().is_asked, true) {
            return;
        }
        // The line accepts everything at once; whether the server is there shows in what it sends.
        let _ = self.socket.send(Message::Ping(Bytes::new()));
    }
}

impl Received {
    fn is_empty(&self) -> bool {
        self.block.is_empty() && self.binary == 0
    }
}

/// The connection's byte stream, as one that never waits: it has the bytes that have come. Writing to it never fails
/// either: a server that does not read, now or ever, must not keep us from reading what it has sent.
#[derive(Debug)]
struct Line<S> {
    stream: S,
    /// What was last read of the stream, and which part of it has not been processed.
    incoming: Box<[u8]>,
    unread: Range<usize>,
    /// Whether the stream has ended.
    is_at_end: bool,
    /// Frames that the stream has not accepted yet.
    unsent: Vec<u8>,
    /// Whether the stream has sent all that it has accepted.
    is_flushed: bool,
    last_byte: Moment,
    /// Whether a sign of life has been asked for since then.
    is_asked: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Line<S> {
    /// Reads what has come, when all that came before has been processed.
    fn poll_fill(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.send(context);
        let mut buffer = ReadBuf::new(&mut self.incoming);
        std::task::ready!(Pin::new(&mut self.stream).poll_read(context, &mut buffer))?;
        self.unread = 0..buffer.filled().len();
        if self.unread.is_empty() {
            self.is_at_end = true;
        } else {
            self.last_byte = Moment::now();
            self.is_asked = false;
        }
        Poll::Ready(Ok(()))
    }

    /// Sends as much of what is unsent as the stream accepts now.
    fn send(&mut self, context: &mut Context<'_>) {
        if self.unsent.is_empty() && self.is_flushed {
            return;
        }
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
        // TLS may have accepted what the socket has not; where flushing fails, the next read does too.
        self.is_flushed = Pin::new(&mut self.stream).poll_flush(context).is_ready();
    }
}

impl<S> Read for Line<S> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.unread.is_empty() && !self.is_at_end {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let read = (&self.incoming[self.unread.clone()]).read(into)?;
        self.unread.start += read;
        Ok(read)
    }
}

impl<S> Write for Line<S> {
    fn write(&mut self, frames: &[u8]) -> io::Result<usize> {
        // Whole frames are dropped: tungstenite writes all that it has at once.
        if self.unsent.len() <= MAX_UNSENT {
            self.unsent.extend_from_slice(frames);
            self.is_flushed = false;
        }
        Ok(frames.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
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

#[cfg(test)]
mod tests {
    use super::*;

    /// As TLS over a socket that is full: it accepts what is written, and sends it later. There are two pings to read.
    #[derive(Default)]
    struct Holding {
        read: usize,
        accepted: usize,
        flushes: usize,
    }

    impl AsyncRead for Holding {
        fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
            self.read += 1;
            if self.read > 2 {
                return Poll::Pending;
            }
            buffer.put_slice(b"\x89\x01x");
            Poll::Ready(Ok(()))
        }
    }

    impl AsyncWrite for Holding {
        fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
            self.accepted += bytes.len();
            Poll::Ready(Ok(bytes.len()))
        }

        fn poll_flush(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            self.flushes += 1;
            if self.flushes < 10 { Poll::Pending } else { Poll::Ready(Ok(())) }
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[test]
    fn a_pong_that_the_stream_holds_back_is_flushed_until_it_is_sent() {
        let mut subscription = Subscription::new(Holding::default(), Vec::new(), 1);
        let mut context = Context::from_waker(std::task::Waker::noop());
        let mut received = Received::default();
        for _ in 0..20 {
            assert!(std::pin::pin!(subscription.read(&mut received)).poll(&mut context).is_pending());
        }
        let stream = &subscription.socket.get_ref().stream;
        // Two masked pongs of a byte; then no flush more than it takes.
        assert_eq!((stream.accepted, stream.flushes), (14, 10));
    }
}
