//! What the tests' servers read and write as HTTP, over a unix socket as over TLS: the head of a request, the answer
//! that makes the connection a WebSocket, and plain answers.

use std::io::{BufRead as _, BufReader, Read, Write};

use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::standin::{frame, opcode};

/// Reads the head of a request or of an answer, and nothing behind it. It is empty or incomplete if the other side
/// disconnects.
pub(crate) fn read_head(stream: impl Read) -> String {
    let mut head = String::new();
    let mut reader = BufReader::with_capacity(1, stream);
    while !is_complete(&head) && reader.read_line(&mut head).is_ok_and(|length| length > 0) {}
    head
}

/// Whether the head has its end.
pub(crate) fn is_complete(head: &str) -> bool {
    head.ends_with("\r\n\r\n")
}

/// The value of a header in a head.
pub(crate) fn header<'h>(head: &'h str, name: &str) -> Option<&'h str> {
    let mut headers = head.lines().filter_map(|line| line.split_once(": "));
    headers.find_map(|(key, value)| key.eq_ignore_ascii_case(name).then_some(value))
}

/// Whether the request asks for a WebSocket.
pub(crate) fn wants_websocket(head: &str) -> bool {
    header(head, "Sec-WebSocket-Key").is_some()
}

/// The answer that accepts a WebSocket request, with these headers besides, each with its line end.
pub(crate) fn switching_protocols(request: &str, headers: &str) -> String {
    let key = header(request, "Sec-WebSocket-Key");
    let accept = derive_accept_key(key.unwrap_or_default().as_bytes());
    format!(
        "HTTP/1.1 101 Switching Protocols\r\n{headers}Upgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\n\r\n"
    )
}

/// A plain answer in JSON with this status and these headers besides, each with its line end.
pub(crate) fn json(status: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\nContent-Type: application/json\r\n{headers}Content-Length: {length}\r\n\r\n{body}")
}

/// Sends the answer to a request, and the first event behind it.
pub(crate) fn send_with_event(mut stream: impl Write, answer: &str, event: &str) -> std::io::Result<()> {
    stream.write_all(answer.as_bytes())?;
    stream.write_all(&frame(true, opcode::TEXT, event.as_bytes()))?;
    stream.flush()
}
