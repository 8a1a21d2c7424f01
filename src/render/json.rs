//! The `json` format: one event per line, the server's own bytes. With colours, keys, strings and other values have those
//! of the `yaml` format.

use std::borrow::Cow;
use std::io::Write as _;

use super::{Surface, sanitize, simd, theme};
use crate::event::json::Tape;
use crate::event::{Event, REMOTE};

/// The renderer of the format.
#[derive(Debug)]
pub struct Json {
    surface: Surface,
    /// Whether values that are strings, and no events, are printed without quotation marks.
    raw_strings: bool,
    /// The line before it is coloured.
    plain: Vec<u8>,
}

impl Json {
    /// A renderer for an output with these properties.
    #[must_use]
    pub fn new(surface: Surface) -> Self {
        Self { surface, raw_strings: false, plain: Vec::new() }
    }

    /// Prints a result of `--jq` that is a string as it is, like `jq -r`.
    #[must_use]
    pub fn with_raw_strings(self) -> Self {
        Self { raw_strings: true, ..self }
    }

    /// Appends the event as the server sent it, with these exceptions: `remote` becomes the first key and replaces a
    /// member of that name in the event; line breaks between tokens are removed; on a terminal or with colours, control
    /// characters are replaced by JSON escapes.
    pub fn render(&mut self, event: &Event, remote: Option<&str>, out: &mut Vec<u8>) {
        // A string without quotation marks is no JSON.
        let is_raw = self.raw_strings && !event.is_event();
        if !self.surface.color || is_raw {
            return self.render_plain(event, remote, out);
        }
        let mut plain = std::mem::take(&mut self.plain);
        plain.clear();
        self.render_plain(event, remote, &mut plain);
        push_colored(&plain, out);
        plain.shrink_to(MAX_KEPT);
        self.plain = plain;
    }

    fn render_plain(&self, event: &Event, remote: Option<&str>, out: &mut Vec<u8>) {
        let mut text = Cow::Borrowed(event.text());
        if !event.is_event() {
            match serde_json::from_str::<String>(&text) {
                Ok(string) if self.raw_strings => self.push(&string, out),
                _ => self.push(&text, out),
            }
        } else if let Some(remote) = remote {
            if event.names_a_remote() {
                if begins_with_remote(&text, remote) {
                    self.push_line(event, &text, out);
                    out.push(b'\n');
                    return;
                }
                text = Cow::Owned(without_remote(&text));
            }
            out.extend_from_slice(b"{\"remote\":");
            self.push_name(remote, out);
            let members = text.strip_prefix('{').unwrap_or(&text).trim_ascii_start();
            if !members.starts_with('}') {
                out.push(b',');
            }
            self.push_line(event, members, out);
        } else {
            self.push_line(event, &text, out);
        }
        out.push(b'\n');
    }

    /// Appends the name of a remote as a JSON string. Only for a terminal it is built beside the output.
    fn push_name(&self, remote: &str, out: &mut Vec<u8>) {
        if simd::is_usual(remote.as_bytes()) && !remote.contains(['"', '\\']) {
            // Nearly all names need no escapes.
            out.push(b'"');
            out.extend_from_slice(remote.as_bytes());
            out.push(b'"');
        } else if self.surface.must_sanitize() {
            self.push(&serde_json::Value::from(remote).to_string(), out);
        } else {
            // Writing a string to a Vec cannot fail.
            let _ = serde_json::to_writer(out, remote);
        }
    }

    /// Appends `text`, which is the event or its rest after the opening brace, as one line.
    fn push_line(&self, event: &Event, text: &str, out: &mut Vec<u8>) {
        if event.spans_lines() {
            // JSON strings cannot contain raw line breaks, so each one is between tokens.
            for line in text.split(['\n', '\r']) {
                self.push(line.trim_ascii(), out);
            }
        } else {
            self.push(text, out);
        }
    }

    fn push(&self, text: &str, out: &mut Vec<u8>) {
        if !self.surface.must_sanitize() || !sanitize::is_dangerous(text) {
            // With the line feed: growth for it alone would double the memory of a long event.
            out.reserve(text.len() + 1);
            out.extend_from_slice(text.as_bytes());
            return;
        }
        // Line breaks between tokens are gone, so tabs are the only control characters outside of strings.
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

/// How much memory is kept for the next line, in bytes.
const MAX_KEPT: usize = 64 << 10;

/// Appends the valid JSON `text` with colours.
fn push_colored(text: &[u8], out: &mut Vec<u8>) {
    let mut rest = text;
    while let Some(first) = rest.first() {
        let (length, style) = match first {
            b'"' => {
                let length = string_length(rest);
                let after = rest[length..].iter().find(|byte| !byte.is_ascii_whitespace());
                (length, if after == Some(&b':') { theme::KEY } else { theme::STRING })
            }
            b'{' | b'}' | b'[' | b']' | b',' | b':' => (1, theme::PLAIN),
            byte if byte.is_ascii_whitespace() => (1, theme::PLAIN),
            _ => {
                let ends = |byte: &u8| matches!(byte, b',' | b'}' | b']') || byte.is_ascii_whitespace();
                (rest.iter().position(ends).unwrap_or(rest.len()), theme::NUMBER)
            }
        };
        let (token, after) = rest.split_at(length);
        theme::paint(out, style != theme::PLAIN, style, |out| out.extend_from_slice(token));
        rest = after;
    }
}

/// The length of the string with its quotes at the beginning of `text`.
fn string_length(text: &[u8]) -> usize {
    let mut at = 1;
    while let Some(found) = text.get(at..).and_then(|rest| memchr::memchr2(b'"', b'\\', rest)) {
        at += found + 1;
        if text[at - 1] == b'"' {
            return at;
        }
        // The escaped character.
        at += 1;
    }
    text.len()
}

/// Whether the object `text` begins as this renderer begins it, as the events of a recording do. Names that need escapes
/// are left to the general way.
fn begins_with_remote(text: &str, remote: &str) -> bool {
    let name = text.strip_prefix("{\"remote\":\"").and_then(|rest| rest.strip_prefix(remote));
    name.is_some_and(|rest| rest.starts_with('"')) && !remote.contains(['"', '\\'])
}

/// Returns the object `text` without its members `remote`, even if their key has escapes: of duplicate keys, JSON
/// readers use the last one. The text is parsed again because the event may have lost its tape. This cost does not
/// matter, as no server sends such an event.
fn without_remote(text: &str) -> String {
    let mut tape = Tape::default();
    let members = match tape.parse(text) {
        Ok(()) => tape.root(text).members(),
        Err(error) => {
            debug_assert!(false, "an event is {error}");
            return "{}".to_owned();
        }
    };
    let root = tape.root(text);
    let mut rest = String::with_capacity(text.len());
    for index in members.key_indexes().filter(|index| !root.key(*index).is(REMOTE)) {
        rest.push(if rest.is_empty() { '{' } else { ',' });
        rest.push_str(root.at(index).raw());
        rest.push(':');
        rest.push_str(root.at(index + 1).raw());
    }
    rest.push('}');
    rest
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
    fn keys_and_values_have_colours() {
        let text = r#"{"type" :"x","a":["k\\",-1.5e3,null,{"b\":":true}],"e":{}}"#;
        let colored = render(Surface { color: true, terminal: false }, text, Some("n"));
        let marked = [("\x1b[36m", "<"), ("\x1b[32m", "["), ("\x1b[35m", "("), ("\x1b[0m", "|")]
            .iter()
            .fold(colored, |text, (sequence, mark)| text.replace(sequence, mark));
        assert_eq!(
            marked,
            concat!(
                r#"{<"remote"|:["n"|,<"type"| :["x"|,<"a"|:[["k\\"|,(-1.5e3|,(null|,{<"b\":"|:(true|}],<"e"|:{}}"#,
                "\n"
            )
        );
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
    fn an_event_cannot_pose_as_another_remotes() {
        for (own, rest) in [
            (r#"{"type":"x","remote":"prod"}"#, r#""type":"x"}"#),
            (r#"{"remote":"prod","type":"x"}"#, r#""type":"x"}"#),
            (r#"{"remote":1,"r\u0065mote":{"a":[1]},"type":"x","remote":"p"}"#, r#""type":"x"}"#),
            (r#"{"type":"x" , "remote" : "prod" , "a" : { "remote" : 1 }}"#, r#""type":"x","a":{ "remote" : 1 }}"#),
            ("{\"type\":\"x\",\n\"remote\":\n1,\"a\":[\n1]}", r#""type":"x","a":[1]}"#),
        ] {
            assert_eq!(render(PIPE, own, Some("n1")), format!("{{\"remote\":\"n1\",{rest}\n"));
        }
        // With one remote, the server's own bytes are printed.
        let text = "{\"type\":\"x\",\"remote\":\"prod\"}\n";
        assert_eq!(render(PIPE, text, None), text);
        // Events without a tape are rendered too.
        let mut event = event(text);
        let _ = event.strip();
        let mut out = Vec::new();
        Json::new(PIPE).render(&event, Some("n1"), &mut out);
        assert_eq!(String::from_utf8(out).unwrap(), "{\"remote\":\"n1\",\"type\":\"x\"}\n");
    }

    #[test]
    fn the_name_of_a_remote_is_escaped_like_any_text() {
        let text = "{\"type\":\"x\"}";
        let shown = render(TERMINAL, text, Some("a\u{202e}\u{200b}\u{1b}\nb"));
        assert_eq!(shown, "{\"remote\":\"a\\u202e\\u200b\\u001b\\nb\",\"type\":\"x\"}\n");
    }

    #[test]
    fn no_control_character_reaches_a_terminal() {
        let text = "{\"type\":\"x\",\"s\":\"a\u{9b}b\u{202e}\u{7f}ü\"}";
        assert_eq!(render(TERMINAL, text, None), "{\"type\":\"x\",\"s\":\"a\\u009bb\\u202e\\u007fü\"}\n");
    }
}
