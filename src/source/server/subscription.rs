//! A live subscription: the WebSocket's messages, copied into blocks as they arrive.
//!
//! tungstenite parses the frames (RFC 6455). Its messages are slices of its read buffer, which it can reuse only after
//! they are dropped. So each message is copied at once, and an event pins nothing but its block. tungstenite reads from
//! the bytes that have arrived, not from the asynchronous stream: registering a wake-up for each message costs as much
//! as reading the message.

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

/// How much all connections together read in one round, in bytes.
const READ: usize = 64 << 10;

/// tungstenite's read size, in bytes. It zeroes that much memory before each read, however little there is to read:
/// with a large size, that would cost more than the event itself and evict other data from the CPU's cache.
const PIECE: usize = 8 << 10;

/// The minimum of one connection's share of [`READ`], in bytes.
const LEAST: usize = 16 << 10;

/// If more than this many bytes of frames are unsent, further pongs are dropped. RFC 6455, section 5.5.3, permits
/// answering only some of a flood of pings.
const MAX_UNSENT: usize = 4 << 10;

/// After this many messages that are not text, another connection is read.
const MAX_BINARY: u64 = 1024;

/// A live subscription.
#[derive(Debug)]
pub(crate) struct Subscription<S> {
    socket: WebSocket<Line<S>>,
    /// How many bytes are read before another connection is read.
    share: usize,
}

/// What one read has received.
#[derive(Debug, Default)]
pub(crate) struct Received {
    /// Text messages.
    pub block: Block,
    /// The number of messages that are not text. No known server sends any.
    pub binary: u64,
    /// Whether there was a ping.
    pub has_ping: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Subscription<S> {
    /// `early` is what was received after the upgrade response. With several `connections` each read is smaller, so
    /// that no connection gets further ahead of the others than the sort window can merge.
    pub(crate) fn new(stream: S, early: Vec<u8>, connections: usize) -> Self {
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

    /// Waits for messages and adds those that have arrived, up to this connection's share. Returns whether there may be
    /// more. Cancel safe.
    ///
    /// # Errors
    /// Why the connection is lost. The messages that arrived before are in `received`.
    pub(crate) async fn read(&mut self, received: &mut Received) -> Result<bool, Lost> {
        poll_fn(|context| {
            let outcome = self.poll_messages(received, context);
            // Send pongs now: the next read can be much later.
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
                Ok(Message::Ping(_)) => received.has_ping = true,
                Ok(Message::Pong(_) | Message::Frame(_)) => {}
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

    /// Asks the server for a sign of life, and waits for it: whatever it sends. Then it has begun to serve the
    /// subscription, and does not only have answered the request. Nothing is lost: messages are left for
    /// [`Subscription::read`]. To be called before that. Cancel safe.
    pub(crate) async fn confirm(&mut self) {
        self.ping();
        // Reading shows an error again.
        let _ = poll_fn(|context| self.socket.get_mut().poll_fill(context)).await;
    }

    /// The time since the last received byte.
    pub(crate) fn silence(&self) -> Duration {
        self.socket.get_ref().last_byte.elapsed()
    }

    /// Queues a ping, which the next read sends. Does nothing if no byte has arrived since the last call.
    pub(crate) fn ping(&mut self) {
        if std::mem::replace(&mut self.socket.get_mut().is_asked, true) {
            return;
        }
        // `Line` buffers every write, so this cannot fail. Only received bytes show that the server is alive.
        let _ = self.socket.send(Message::Ping(Bytes::new()));
    }
}

impl Received {
    fn is_empty(&self) -> bool {
        self.block.is_empty() && self.binary == 0 && !self.has_ping
    }
}

/// The connection's byte stream as a non-blocking one: reads return what has arrived, writes are buffered. Writes never
/// fail: a server that does not read must not stop us from reading what it has sent.
#[derive(Debug)]
struct Line<S> {
    stream: S,
    /// The bytes of the last read, of which `unread` have not been processed.
    incoming: Box<[u8]>,
    unread: Range<usize>,
    /// Whether the stream has ended.
    is_at_end: bool,
    /// Frames that the stream has not accepted yet.
    unsent: Vec<u8>,
    /// Whether the stream has been flushed since the last write.
    is_flushed: bool,
    last_byte: Moment,
    /// Whether a ping has been queued since `last_byte`.
    is_asked: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Line<S> {
    /// Reads from the stream. Everything that was read before must have been processed.
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

    /// Writes as much of `unsent` as the stream accepts now.
    fn send(&mut self, context: &mut Context<'_>) {
        if self.unsent.is_empty() && self.is_flushed {
            return;
        }
        while !self.unsent.is_empty() {
            match Pin::new(&mut self.stream).poll_write(context, &self.unsent) {
                Poll::Pending => break,
                Poll::Ready(Ok(sent @ 1..)) => _ = self.unsent.drain(..sent),
                Poll::Ready(outcome) => {
                    debug!("writing to the server fails: {outcome:?}");
                    self.unsent.clear();
                }
            }
        }
        // TLS buffers what the socket does not accept. An error is ignored, as the next read fails too.
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
        // This drops whole frames only, because tungstenite writes all its frames in one call.
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

/// Why a connection is lost, as text for the user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Lost(pub String);

impl std::fmt::Display for Lost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "connection lost: {}", self.0)
    }
}

impl std::error::Error for Lost {}

/// Describes a Close frame (RFC 6455, section 5.5.1): it has a code and a reason, or nothing.
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
        // The servers close the connection without a Close frame, as does a process that dies. With TLS, close_notify
        // is missing then.
        Error::ConnectionClosed
        | Error::AlreadyClosed
        | Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => {
            return closed(None);
        }
        Error::Io(error) if error.kind() == io::ErrorKind::UnexpectedEof => return closed(None),
        // A process that dies before it has read all of our bytes resets the connection.
        Error::Io(error) if error.kind() == io::ErrorKind::ConnectionReset => return closed(None),
        Error::Io(error) => error.to_string(),
        Error::Capacity(CapacityError::MessageTooLong { size, max_size }) => {
            format!("the server sent a message of {size} bytes; the limit is {max_size}")
        }
        Error::Utf8(_) => "the server sent a message that is not UTF-8".into(),
        Error::Protocol(error) => format!("the server broke the WebSocket protocol: {error}"),
        error => error.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Like TLS over a full socket: it accepts writes and sends them later. Two pings can be read from it.
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
            let outcome = std::pin::pin!(subscription.read(&mut received)).poll(&mut context);
            // A ping is all that comes.
            assert!(outcome.is_pending() || std::mem::take(&mut received.has_ping));
        }
        let stream = &subscription.socket.get_ref().stream;
        // Two masked pongs of one byte, and no flush after the one that succeeds.
        assert_eq!((stream.accepted, stream.flushes), (14, 10));
    }
}
