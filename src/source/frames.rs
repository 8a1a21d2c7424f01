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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LAST: u8 = 0x80;

    /// A server's frame, its length in as few bytes as can be.
    fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
        match payload.len() {
            length @ ..126 => framed(first, u8::try_from(length).unwrap(), &[], payload),
            length => framed(first, 126, &u16::try_from(length).unwrap().to_be_bytes(), payload),
        }
    }

    fn framed(first: u8, second: u8, length: &[u8], payload: &[u8]) -> Vec<u8> {
        [&[first, second], length, payload].concat()
    }

    /// What comes of these bytes, read in pieces of that many, and of what kind the end is.
    fn read(wire: &[u8], size: usize) -> (Vec<Frame>, Result<(), Lost>) {
        let mut frames = Frames::new(&[], 1);
        let mut seen = Vec::new();
        for piece in wire.chunks(size) {
            frames.room().extend_from_slice(piece);
            loop {
                match frames.next() {
                    Ok(Some(frame)) => seen.push(frame),
                    Ok(None) => break,
                    Err(lost) => return (seen, Err(lost)),
                }
            }
        }
        (seen, Ok(()))
    }

    /// It ends the connection, in these words.
    fn lost(wire: &[u8]) -> String {
        let before = frame(LAST | TEXT, b"before");
        let wire = [&before, wire, &frame(LAST | TEXT, b"after")].concat();
        let whole = read(&wire, wire.len());
        assert_eq!(read(&wire, 1), whole, "{wire:x?}");
        let (seen, Err(Lost(why))) = whole else { panic!("{wire:x?}: {whole:?}") };
        assert_eq!(seen, [text("before")], "{wire:x?}");
        why
    }

    fn text(text: &str) -> Frame {
        Frame::Text(text.into())
    }

    #[test]
    fn a_message_may_be_cut_anywhere() {
        let message = "{\"a\":\"ü漢😀\"}";
        let bytes = message.as_bytes();
        for first in 0..=bytes.len() {
            for second in first..=bytes.len() {
                let wire = [
                    frame(TEXT, &bytes[..first]),
                    frame(LAST | PING, b"p"),
                    frame(CONTINUATION, &bytes[first..second]),
                    frame(LAST | PONG, b""),
                    frame(LAST | CONTINUATION, &bytes[second..]),
                    frame(LAST | TEXT, b"next"),
                ]
                .concat();
                for size in [1, 2, 3, 5, wire.len()] {
                    let expected = vec![Frame::Control, Frame::Control, text(message), text("next")];
                    assert_eq!(read(&wire, size), (expected, Ok(())), "{first} {second} {size}");
                }
            }
        }
    }

    #[test]
    fn a_message_may_come_in_fragments_of_nothing_or_one_byte() {
        let message = "x".repeat(1 << 20);
        let mut wire = frame(TEXT, b"");
        for byte in message.bytes() {
            wire.extend(frame(CONTINUATION, &[byte]));
            wire.extend(frame(CONTINUATION, b""));
        }
        wire.extend(frame(LAST | CONTINUATION, b""));
        assert_eq!(read(&wire, READ), (vec![text(&message)], Ok(())));
    }

    proptest! {
        #[test]
        fn however_messages_are_cut_and_read_they_come_whole_and_in_order(
            messages in prop::collection::vec((any::<String>(), prop::collection::vec(0usize..300, 0..5)), 0..8),
            longest in 0usize..3,
            size in 1usize..400,
        ) {
            let filler = "y".repeat(longest * 200);
            let (mut wire, mut expected) = (Vec::new(), Vec::new());
            for (message, cuts) in &messages {
                let message = format!("{message}{filler}");
                let (mut rest, mut opcode) = (message.as_bytes(), TEXT);
                for cut in cuts {
                    let (fragment, others) = rest.split_at((*cut).min(rest.len()));
                    wire.extend(frame(opcode, fragment));
                    wire.extend(frame(LAST | PING, b"ping"));
                    expected.push(Frame::Control);
                    (rest, opcode) = (others, CONTINUATION);
                }
                wire.extend(frame(LAST | opcode, rest));
                expected.push(text(&message));
            }
            prop_assert_eq!(read(&wire, size), (expected, Ok(())));
        }

        #[test]
        fn no_bytes_make_it_panic(wire: Vec<u8>, size in 1usize..20) {
            let _ = read(&wire, size);
        }
    }

    #[test]
    fn text_that_is_not_utf_8_is_skipped_wherever_it_is_cut() {
        // A character without its end, one of five bytes, half a surrogate pair.
        for bytes in [&b"a\xe6\xbc"[..], b"\xf8\x88\x80\x80\x80", b"\xed\xa0\x80", b"\xff"] {
            for cut in 0..=bytes.len() {
                let wire = [
                    frame(TEXT, &bytes[..cut]),
                    frame(LAST | CONTINUATION, &bytes[cut..]),
                    frame(LAST | TEXT, bytes),
                    frame(LAST | TEXT, b"next"),
                ]
                .concat();
                let skipped = || Frame::Unreadable(Unreadable::NotUtf8);
                assert_eq!(read(&wire, 1), (vec![skipped(), skipped(), text("next")], Ok(())), "{bytes:x?} {cut}");
            }
        }
    }

    #[test]
    fn whatever_the_protocol_does_not_know_is_lost() {
        const BROKEN: &str = "the server broke the WebSocket protocol: ";
        for bit in [0x40, 0x20, 0x10] {
            for opcode in [CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG] {
                assert_eq!(lost(&frame(LAST | bit | opcode, b"x")), format!("{BROKEN}reserved bits are set"));
            }
        }
        for opcode in (3..8).chain(11..16) {
            for first in [opcode, LAST | opcode] {
                assert_eq!(lost(&frame(first, b"x")), format!("{BROKEN}an unknown kind of frame"));
            }
        }
        for opcode in [CLOSE, PING, PONG] {
            let long = format!("{BROKEN}a control frame is long or in fragments");
            assert_eq!(lost(&frame(opcode, b"x")), long);
            assert_eq!(lost(&frame(LAST | opcode, &[b'x'; 126])), long);
            assert_eq!(lost(&framed(LAST | opcode, 127, &u64::MAX.to_be_bytes(), b"")), long);
        }
        for opcode in [TEXT, BINARY, CLOSE, PING] {
            let masked = framed(LAST | opcode, 0x81, b"mask", b"x");
            assert_eq!(lost(&masked), format!("{BROKEN}a frame is masked"));
        }
        assert_eq!(lost(&frame(LAST | CONTINUATION, b"x")), format!("{BROKEN}a continuation of nothing"));
        for opcode in [TEXT, BINARY, LAST | TEXT, LAST | BINARY] {
            let within = [frame(TEXT, b"a"), frame(opcode, b"b")].concat();
            assert_eq!(lost(&within), format!("{BROKEN}a message within another"));
        }
    }

    #[test]
    fn lengths_may_be_written_long_and_must_not_be_too_long() {
        let wire = [
            framed(LAST | TEXT, 126, &[0, 1], b"a"),
            framed(LAST | TEXT, 127, &1u64.to_be_bytes(), b"b"),
            framed(LAST | PING, 126, &[0, 0], b""),
            framed(LAST | TEXT, 127, &0u64.to_be_bytes(), b""),
        ]
        .concat();
        assert_eq!(read(&wire, 1), (vec![text("a"), text("b"), Frame::Control, text("")], Ok(())));
        for length in [MAX_MESSAGE as u64 + 1, 1 << 32, 1 << 63, u64::MAX] {
            let why = format!("the server sent a message of {length} bytes; at most 67108864 are taken");
            assert_eq!(lost(&framed(LAST | TEXT, 127, &length.to_be_bytes(), b"")), why);
            // Of a message that has begun, too.
            let second = [frame(TEXT, b"a"), framed(CONTINUATION, 127, &length.to_be_bytes(), b"")].concat();
            assert_eq!(lost(&second), why);
        }
    }

    #[test]
    fn the_servers_last_words_are_told() {
        for (payload, why) in [
            (&b""[..], "the server closed the connection"),
            (b"\x03", "the server closed the connection"),
            (b"\x03\xe8", "the server closed the connection (code 1000)"),
            (b"\x03\xe9going away", "the server closed the connection: going away (code 1001)"),
            (b"\x03\xee", "the server closed the connection (code 1006)"),
            (b"\x03\xf3failed", "the server closed the connection: failed (code 1011)"),
            (b"\x13\x87", "the server closed the connection (code 4999)"),
            (b"\0\0", "the server closed the connection (code 0)"),
            (b"\xff\xff", "the server closed the connection (code 65535)"),
            (b"\x03\xe8\xffx", "the server closed the connection: \u{fffd}x (code 1000)"),
        ] {
            assert_eq!(lost(&frame(LAST | CLOSE, payload)), why);
            // In the middle of a message as well.
            assert_eq!(lost(&[frame(TEXT, b"half"), frame(LAST | CLOSE, payload)].concat()), why);
        }
    }

    #[test]
    fn pongs_carry_the_pings_payload_masked() {
        for payload in [&b""[..], b"x", &[7; 125]] {
            let mut frames = Frames::new(&frame(LAST | PING, payload), 1);
            assert_eq!(frames.next(), Ok(Some(Frame::Control)));
            let sent = frames.outgoing();
            assert_eq!(sent[..2], [LAST | PONG, 0x80 | u8::try_from(payload.len()).unwrap()]);
            let (mask, masked) = sent[2..].split_at(4);
            let unmasked: Vec<_> = masked.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask).collect();
            assert_eq!(unmasked, payload);
        }
    }

    #[test]
    fn a_flood_of_pings_is_answered_in_part() {
        let mut frames = Frames::new(&[], 1);
        for _ in 0..100_000 {
            frames.room().extend_from_slice(&frame(LAST | PING, &[7; 125]));
            assert_eq!(frames.next(), Ok(Some(Frame::Control)));
        }
        let sent = frames.outgoing().len();
        assert!((PONGS..2 * PONGS).contains(&sent), "{sent}");
    }
}
