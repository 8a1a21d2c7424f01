//! The frames of a WebSocket (RFC 6455), as a client that only listens reads them.
//!
//! tungstenite's own reader gives every message a buffer of its own as soon as earlier ones are still in use, and then
//! reads the socket a message at a time. Here messages are slices of large reads, and cost no allocation.

use std::io;

use bytes::{Buf as _, BytesMut};
use ring::rand::{SecureRandom as _, SystemRandom};
use tokio_tungstenite::tungstenite::Utf8Bytes;

use crate::event::Unreadable;

/// The longest message that is taken, in bytes.
pub const MAX_MESSAGE: usize = 64 << 20;

/// How much is read of all sockets together before each has its next turn, in bytes.
const READ: usize = 128 << 10;

/// With less room than this a new buffer is begun, and no socket's share of a round is less.
const LEAST: usize = 16 << 10;

/// Pings that are not answered yet fill at most so many bytes of pongs; a flood is answered in part, as the RFC allows.
const PONGS: usize = 4 << 10;

/// One thing that came from the server.
#[derive(Debug, PartialEq, Eq)]
pub enum Frame {
    /// An event.
    Text(Utf8Bytes),
    /// A message that is no text: none of the servers sends these.
    Unreadable(Unreadable),
    /// A ping or pong: a sign of life.
    Control,
}

/// What was read and not yet taken, and what is to be sent.
#[derive(Debug)]
pub(super) struct Frames {
    buffer: BytesMut,
    /// How much room each read of the socket is given, in bytes.
    share: usize,
    /// A message of which some fragments have come.
    fragments: Option<Fragments>,
    /// Pongs and pings, to be sent.
    outgoing: Vec<u8>,
}

#[derive(Debug)]
struct Fragments {
    is_text: bool,
    data: BytesMut,
}

// Section 5.2.
const CONTINUATION: u8 = 0;
const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

impl Frames {
    /// Begins with what was read behind the answer to the request. Of so many `sockets` that are read in turn none is
    /// read so far ahead of the others that the sort window could not merge what they bring.
    pub(super) fn new(early: &[u8], sockets: usize) -> Self {
        let share = (READ / sockets.max(1)).max(LEAST);
        Self { buffer: BytesMut::from(early), share, fragments: None, outgoing: Vec::new() }
    }

    /// Where to read to.
    pub(super) fn room(&mut self) -> &mut BytesMut {
        let wanted = match self.head() {
            Ok(Some(head)) => (head.length + head.payload).saturating_sub(self.buffer.len()).max(LEAST),
            _ => LEAST,
        };
        if self.buffer.capacity() - self.buffer.len() < wanted {
            self.buffer.reserve(wanted.max(self.share));
        }
        &mut self.buffer
    }

    /// What is to be sent; what was sent must be taken off it.
    pub(super) fn outgoing(&mut self) -> &mut Vec<u8> {
        &mut self.outgoing
    }

    /// Asks for a sign of life.
    pub(super) fn ping(&mut self) {
        self.send(PING, &[]);
    }

    /// The next whole frame that matters, if it has been read.
    ///
    /// # Errors
    /// The server ends the connection, or breaks the protocol.
    pub(super) fn next(&mut self) -> Result<Option<Frame>, Lost> {
        while let Some(head) = self.head()? {
            if self.buffer.len() < head.length + head.payload {
                return Ok(None);
            }
            self.buffer.advance(head.length);
            let payload = self.buffer.split_to(head.payload);
            let broken = |what: &str| Lost(format!("the server broke the WebSocket protocol: {what}"));
            match (head.opcode, self.fragments.take()) {
                (PING, fragments) => {
                    self.fragments = fragments;
                    self.send(PONG, &payload);
                    return Ok(Some(Frame::Control));
                }
                (PONG, fragments) => {
                    self.fragments = fragments;
                    return Ok(Some(Frame::Control));
                }
                (CLOSE, _) => return Err(closed(&payload)),
                (TEXT | BINARY, None) if head.is_last => return Ok(Some(message(head.opcode == TEXT, payload))),
                (TEXT | BINARY, None) => {
                    self.fragments = Some(Fragments { is_text: head.opcode == TEXT, data: payload });
                }
                (CONTINUATION, Some(Fragments { is_text, mut data })) => {
                    if data.len() + payload.len() > MAX_MESSAGE {
                        return Err(too_long(data.len() + payload.len()));
                    }
                    data.extend_from_slice(&payload);
                    if head.is_last {
                        return Ok(Some(message(is_text, data)));
                    }
                    self.fragments = Some(Fragments { is_text, data });
                }
                (CONTINUATION, None) => return Err(broken("a continuation of nothing")),
                _ => return Err(broken("a message within another")),
            }
        }
        Ok(None)
    }

    /// The head at the start of the buffer, if it is complete.
    fn head(&self) -> Result<Option<Head>, Lost> {
        let broken = |what: &str| Err(Lost(format!("the server broke the WebSocket protocol: {what}")));
        let [first, second, rest @ ..] = &self.buffer[..] else { return Ok(None) };
        let (opcode, is_last) = (first & 0x0f, first & 0x80 != 0);
        if first & 0x70 != 0 {
            return broken("reserved bits are set");
        }
        if second & 0x80 != 0 {
            return broken("a frame is masked");
        }
        let (length, payload) = match (second & 0x7f, rest) {
            (126, [a, b, ..]) => (4, u64::from(u16::from_be_bytes([*a, *b]))),
            (127, [_, _, _, _, _, _, _, _, ..]) => {
                (10, rest.first_chunk().map_or(0, |length| u64::from_be_bytes(*length)))
            }
            (126 | 127, _) => return Ok(None),
            (short, _) => (2, u64::from(short)),
        };
        match opcode {
            CONTINUATION | TEXT | BINARY => {}
            CLOSE | PING | PONG if is_last && payload <= 125 => {}
            CLOSE | PING | PONG => return broken("a control frame is long or in fragments"),
            _ => return broken("an unknown kind of frame"),
        }
        match usize::try_from(payload) {
            Ok(payload) if payload <= MAX_MESSAGE => Ok(Some(Head { opcode, is_last, length, payload })),
            _ => Err(too_long(payload)),
        }
    }

    /// A control frame, masked as clients must.
    fn send(&mut self, opcode: u8, payload: &[u8]) {
        if self.outgoing.len() > PONGS {
            return;
        }
        let mut mask = [0; 4];
        // Without randomness the mask is zero, which every server takes; its payload is the server's own anyway.
        let _ = SystemRandom::new().fill(&mut mask);
        let length = u8::try_from(payload.len()).unwrap_or(125);
        self.outgoing.extend_from_slice(&[0x80 | opcode, 0x80 | length]);
        self.outgoing.extend_from_slice(&mask);
        self.outgoing.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    }
}

/// The head of a frame.
#[derive(Clone, Copy)]
struct Head {
    opcode: u8,
    is_last: bool,
    /// Of the head itself, in bytes.
    length: usize,
    /// Of what follows, in bytes.
    payload: usize,
}

fn message(is_text: bool, data: BytesMut) -> Frame {
    if !is_text {
        return Frame::Unreadable(Unreadable::Binary);
    }
    // The RFC would have the connection ended for text that is not UTF-8; those who follow it want the next event.
    Utf8Bytes::try_from(data.freeze()).map_or(Frame::Unreadable(Unreadable::NotUtf8), Frame::Text)
}

fn too_long(size: impl std::fmt::Display) -> Lost {
    Lost(format!("the server sent a message of {size} bytes; at most {MAX_MESSAGE} are taken"))
}

/// Section 5.5.1: a code and a reason, or nothing.
fn closed(payload: &[u8]) -> Lost {
    let said =
        payload.split_first_chunk().map(|(code, reason)| (u16::from_be_bytes(*code), String::from_utf8_lossy(reason)));
    Lost(match said {
        Some((code, reason)) if reason.is_empty() => format!("the server closed the connection (code {code})"),
        Some((code, reason)) => format!("the server closed the connection: {reason} (code {code})"),
        None => "the server closed the connection".into(),
    })
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

impl From<io::Error> for Lost {
    fn from(error: io::Error) -> Self {
        Self(match error.kind() {
            // TLS misses its own end where a server just dies.
            io::ErrorKind::UnexpectedEof => "the server closed the connection".into(),
            _ => error.to_string(),
        })
    }
}
