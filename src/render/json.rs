//! One event per line: the server's own bytes.

use std::io::Write as _;

use super::{Surface, sanitize};
use crate::event::Event;

/// The format.
#[derive(Debug)]
pub struct Json {
    surface: Surface,
}

impl Json {
    /// For such an output.
    #[must_use]
    pub fn new(surface: Surface) -> Self {
        Self { surface }
    }

    /// Appends the event as it came. What is changed: the remote is put in as first key; line ends between tokens are
    /// left out; on a terminal control and bidi characters are escaped, by JSON's own escapes.
    pub fn render(&mut self, event: &Event, remote: Option<&str>, out: &mut Vec<u8>) {
        let mut text = event.text();
        if let Some(remote) = remote {
            out.extend_from_slice(b"{\"remote\":");
            // Neither a string's serialisation nor writing to a Vec can fail.
            let _ = serde_json::to_writer(&mut *out, remote);
            text = text.strip_prefix('{').unwrap_or(text).trim_ascii_start();
            if !text.starts_with('}') {
                out.push(b',');
            }
        }
        if event.spans_lines() {
            // Raw line ends cannot stand inside strings, so each is between tokens.
            for line in text.split(['\n', '\r']) {
                self.push(line.trim_ascii(), out);
            }
        } else {
            self.push(text, out);
        }
        out.push(b'\n');
    }

    fn push(&self, text: &str, out: &mut Vec<u8>) {
        if !self.surface.is_delicate() || !sanitize::is_dangerous(text) {
            out.extend_from_slice(text.as_bytes());
            return;
        }
        // Outside strings JSON is ASCII without controls, but for tabs.
        for character in text.chars() {
            if sanitize::is_control(character) && character != '\t' {
                let mut units = [0; 2];
                for unit in character.encode_utf16(&mut units) {
                    // Writing to a Vec cannot fail.
                    let _ = write!(out, "\\u{unit:04x}");
                }
            } else {
                let mut bytes = [0; 4];
                out.extend_from_slice(character.encode_utf8(&mut bytes).as_bytes());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::event;

    fn render(surface: Surface, text: &str, remote: Option<&str>) -> String {
        let mut out = Vec::new();
        Json::new(surface).render(&event(text), remote, &mut out);
        String::from_utf8(out).unwrap()
    }

    const PIPE: Surface = Surface { color: false, terminal: false };
    const TERMINAL: Surface = Surface { color: false, terminal: true };

    #[test]
    fn the_servers_own_bytes() {
        let text = "{\"type\": \"x\",\t\"n\":1.0e+400,\"s\":\"\u{9b}\u{202e}\"}\n";
        assert_eq!(render(PIPE, text, None), text);
    }

    #[test]
    fn one_line_whatever_the_server_sent() {
        let text = "{\r\n  \"type\":\n  \"x\"\n}\n";
        assert_eq!(render(PIPE, text, None), "{\"type\":\"x\"}\n");
        assert_eq!(render(PIPE, text, Some("n1")), "{\"remote\":\"n1\",\"type\":\"x\"}\n");
    }

    #[test]
    fn the_remote_comes_first() {
        assert_eq!(render(PIPE, "{\"type\":\"x\"}", Some("a\"b")), "{\"remote\":\"a\\\"b\",\"type\":\"x\"}\n");
    }

    #[test]
    fn no_control_character_reaches_a_terminal() {
        let text = "{\"type\":\"x\",\"s\":\"a\u{9b}b\u{202e}\u{7f}ü\"}";
        assert_eq!(render(TERMINAL, text, None), "{\"type\":\"x\",\"s\":\"a\\u009bb\\u202e\\u007fü\"}\n");
    }
}
