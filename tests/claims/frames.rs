//! Frames are read as tungstenite reads them, in whatever pieces they come.

use std::future::Future;
use std::io::{self, Cursor, Read, Write};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use lxmon::event::Unreadable;
use lxmon::source::frames::Frame;
use lxmon::source::websocket::Subscription;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message, WebSocket};

/// The bytes that follow a server's consent give the same frames however they are cut, and those that tungstenite
/// makes of them. Pings are answered in order.
pub fn frames(data: &[u8]) {
    let (theirs, pings, is_text_at_fault) = theirs(data);
    let (whole, _) = ours(data, usize::MAX);
    for piece in [1, 61] {
        let (cut, answers) = ours(data, piece);
        assert_eq!(cut, whole, "in pieces of {piece}");
        assert!(pings.starts_with(&answers) || is_text_at_fault, "{answers:?}");
    }
    // For text that is not UTF-8 tungstenite gives up the connection; we go on with the next event.
    assert!(whole.starts_with(&theirs), "{whole:?}\n{theirs:?}");
    assert!(whole.len() == theirs.len() || is_text_at_fault, "{whole:?}\n{theirs:?}");
}

/// What lxmon makes of `data` in pieces of that size, and the pings that it answers.
fn ours(data: &[u8], piece: usize) -> (Vec<Frame>, Vec<Vec<u8>>) {
    let mut written = Vec::new();
    let mut frames = Vec::new();
    let server = Server { coming: data, piece, consent: Vec::new(), written: &mut written };
    let mut subscription = now(Subscription::open(server, "stand-in", "/1.0/events", None, 1)).unwrap();
    let lost = loop {
        let mut burst = Vec::new();
        let outcome = now(subscription.read(&mut burst));
        frames.append(&mut burst);
        if let Err(lost) = outcome {
            break lost;
        }
    };
    drop(subscription);
    assert!(!lost.0.is_empty());
    let request = written.windows(4).position(|end| end == b"\r\n\r\n").unwrap() + 4;
    (frames, answers(&written[request..]))
}

/// The payloads of the pongs.
fn answers(mut written: &[u8]) -> Vec<Vec<u8>> {
    let mut answers = Vec::new();
    while let [head, length, mask @ ..] = written {
        let (mask, rest) = mask.split_first_chunk::<4>().unwrap();
        let (payload, rest) = rest.split_at(usize::from(length & 0x7f));
        assert_eq!((*head, length & 0x80), (0x8a, 0x80));
        answers.push(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask).collect());
        written = rest;
    }
    answers
}

/// What tungstenite makes of `data`, the pings among it, and whether text that is none made it end.
fn theirs(data: &[u8]) -> (Vec<Frame>, Vec<Vec<u8>>, bool) {
    let limit = Some(lxmon::source::frames::MAX_MESSAGE);
    let config = WebSocketConfig::default().max_message_size(limit).max_frame_size(limit);
    let mut socket = WebSocket::from_raw_socket(OneWay(Cursor::new(data)), Role::Client, Some(config));
    let (mut frames, mut pings) = (Vec::new(), Vec::new());
    loop {
        frames.push(match socket.read() {
            Ok(Message::Text(text)) => Frame::Text(text),
            Ok(Message::Binary(_)) => Frame::Unreadable(Unreadable::Binary),
            Ok(Message::Ping(payload)) => {
                pings.push(payload.to_vec());
                Frame::Control
            }
            Ok(Message::Pong(_)) => Frame::Control,
            Ok(Message::Close(_) | Message::Frame(_)) => return (frames, pings, false),
            Err(error) => return (frames, pings, matches!(error, Error::Utf8(_))),
        });
    }
}

/// Takes the value of a future that has nothing to wait for but itself.
fn now<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    for _ in 0..100 {
        if let Poll::Ready(value) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return value;
        }
    }
    unreachable!("a server that is always ready was waited for")
}

/// A server that lets everybody subscribe and then sends what it has.
struct Server<'d> {
    coming: &'d [u8],
    piece: usize,
    /// What is left of the answer to the request.
    consent: Vec<u8>,
    written: &'d mut Vec<u8>,
}

impl AsyncRead for Server<'_> {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if !self.consent.is_empty() {
            into.put_slice(&std::mem::take(&mut self.consent));
        }
        let (now, later) = self.coming.split_at(self.piece.min(into.remaining()).min(self.coming.len()));
        into.put_slice(now);
        self.coming = later;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Server<'_> {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.written.is_empty() {
            let request = std::str::from_utf8(bytes).unwrap();
            let key = request.lines().find_map(|line| line.strip_prefix("Sec-Websocket-Key: ")).unwrap();
            let accept = derive_accept_key(key.as_bytes());
            self.consent = format!(
                "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                 Sec-WebSocket-Accept: {accept}\r\n\r\n"
            )
            .into_bytes();
        }
        self.written.extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// For tungstenite: what is written goes nowhere.
struct OneWay<'d>(Cursor<&'d [u8]>);

impl Read for OneWay<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.0.read(into)
    }
}

impl Write for OneWay<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
