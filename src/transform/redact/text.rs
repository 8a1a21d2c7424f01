//! Finds secrets within a text: parameters of addresses, JSON that the servers write into log messages, tokens, and
//! private keys.
//!
//! Log messages are free text, and the JSON in them may be cut off or quoted once more. So nothing here depends on where
//! a quotation begins: a name is what stands before a `=` or `:`.

use std::borrow::Cow;
use std::ops::Range;

use percent_encoding::percent_decode_str;

use super::names::{self, Rule};

/// How far before a separator the begin of a name is searched, in bytes.
const MAX_NAME: usize = 256;

/// The shortest join token or JSON Web Token, in bytes. Both are JSON objects in Base64 and far longer.
const MIN_TOKEN: usize = 24;

/// How such a token begins: `{"` in Base64.
const TOKEN: &str = "eyJ";

/// What ends a value that is not in quotes.
const ENDS: &[u8] = b" \t\r\n&;,\"'`\\<>()[]{}|";

/// Appends the places of the secrets in `text`, in order and without overlaps.
pub(super) fn find(text: &str, found: &mut Vec<Range<usize>>) {
    let start = found.len();
    let bytes = text.as_bytes();
    for at in memchr::memchr3_iter(b'=', b':', b'%', bytes) {
        match bytes[at] {
            b'=' => assigned(text, at, at + 1, found),
            b'%' if bytes[at..].starts_with(b"%3D") || bytes[at..].starts_with(b"%3d") => {
                assigned(text, at, at + 3, found);
            }
            b'%' => {}
            _ => labelled(text, at, found),
        }
    }
    for at in memchr::memmem::find_iter(bytes, TOKEN) {
        let is_inside = at.checked_sub(1).is_some_and(|before| bytes[before].is_ascii_alphanumeric());
        let length = bytes[at..].iter().take_while(|byte| is_token(**byte)).count();
        if !is_inside && length >= MIN_TOKEN {
            found.push(at..at + length);
        }
    }
    for at in memchr::memmem::find_iter(bytes, "PRIVATE KEY-----") {
        private_key(text, at, found);
    }
    merge(found, start);
}

/// Sorts the ranges from index `start` on, and joins those that overlap.
fn merge(found: &mut Vec<Range<usize>>, start: usize) {
    found[start..].sort_unstable_by_key(|range| range.start);
    let mut kept = start;
    for index in start..found.len() {
        let range = found[index].clone();
        if range.is_empty() {
            continue;
        }
        if kept > start && range.start < found[kept - 1].end {
            found[kept - 1].end = found[kept - 1].end.max(range.end);
        } else {
            found[kept] = range;
            kept += 1;
        }
    }
    found.truncate(kept);
}

/// A letter of Base64, also of the kind for addresses, or a dot between the parts of a JSON Web Token.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=' | b'-' | b'_' | b'.')
}

/// `name=value`, as in an address. The separator is at `at`, and the value begins at `value`.
fn assigned(text: &str, at: usize, value: usize, found: &mut Vec<Range<usize>>) {
    let name = name_before(text, at, |byte| is_name(byte) || byte == b'%');
    let name: Cow<'_, str> = percent_decode_str(name).decode_utf8_lossy();
    if names::is_secret(&name) {
        let is_encoded = value > at + 1;
        found.push(plain_value(text, value, is_encoded));
    }
}

/// `name:value`, as Go prints structures, or `"name": value`, as in JSON. The colon is at `at`.
fn labelled(text: &str, at: usize, found: &mut Vec<Range<usize>>) {
    let bytes = text.as_bytes();
    let label = text[..at].trim_ascii_end();
    if let Some(before) = label.strip_suffix('"') {
        let key = before.trim_end_matches('\\');
        let depth = before.len() - key.len();
        let key = &key[floor(key, key.len().saturating_sub(MAX_NAME))..];
        let key = key.rsplit('"').next().unwrap_or(key);
        let value = at + 1 + text[at + 1..].bytes().take_while(u8::is_ascii_whitespace).count();
        match names::rule(&without_escapes(key)) {
            Rule::Public => {}
            rule => json_value(text, value, depth, rule, found),
        }
        return;
    }
    let name = name_before(text, at, is_name);
    let Some(&next) = bytes.get(at + 1) else { return };
    if !names::is_secret(name) || next == b'/' {
        return;
    }
    if !next.is_ascii_whitespace() {
        found.push(plain_value(text, at + 1, false));
    } else if next == b' ' && is_configured(name) {
        // As in YAML. A word such as `token` alone may stand in any sentence.
        found.push(plain_value(text, at + 2, false));
    }
}

/// Whether the name is hardly a word of a sentence.
fn is_configured(name: &str) -> bool {
    name.contains(['_', '-', '.']) || name.to_ascii_lowercase().contains("passw")
}

fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.')
}

/// The name that ends at `end`.
fn name_before(text: &str, end: usize, belongs: impl Fn(u8) -> bool) -> &str {
    let bytes = &text.as_bytes()[..end];
    let length = bytes.iter().rev().take(MAX_NAME).take_while(|byte| belongs(**byte)).count();
    // Only ASCII belongs to a name, so this is a boundary.
    &text[end - length..end]
}

/// The value that begins at `start`, without quotation marks. If the separator was percent-encoded, so is the end.
fn plain_value(text: &str, start: usize, is_encoded: bool) -> Range<usize> {
    let bytes = text.as_bytes();
    let quote = start + bytes[start..].iter().take_while(|byte| **byte == b'\\').count();
    if let Some(mark @ (b'"' | b'\'')) = bytes.get(quote) {
        return quote + 1..string_end(text, quote + 1, *mark, quote - start);
    }
    let mut end = start;
    while let Some(byte) = bytes.get(end) {
        let is_separator = is_encoded && (bytes[end..].starts_with(b"%26") || bytes[end..].starts_with(b"%20"));
        if ENDS.contains(byte) || is_separator {
            break;
        }
        end += 1;
    }
    start..end
}

/// Where the contents of a string end that begin at `start`. Its quotation marks have `depth` backslashes before them:
/// none in JSON, one in JSON that is a string of JSON, three in the next.
fn string_end(text: &str, start: usize, mark: u8, depth: usize) -> usize {
    let bytes = text.as_bytes();
    let period = 2 * (depth + 1);
    for found in memchr::memchr_iter(mark, &bytes[start..]) {
        let end = start + found;
        let slashes = bytes[start..end].iter().rev().take_while(|byte| **byte == b'\\').count();
        if slashes % period == depth {
            return end - depth;
        }
        // With fewer backslashes the quotation around this string ends: it is cut off.
        if slashes < depth {
            return end - slashes;
        }
    }
    text.len()
}

/// The value of a JSON member that is secret. The text may be cut off anywhere.
fn json_value(text: &str, start: usize, depth: usize, rule: Rule, found: &mut Vec<Range<usize>>) {
    let bytes = text.as_bytes();
    let mut at = start;
    let mut open = 0_usize;
    let mut is_first = true;
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'{' | b'[' => {
                open += 1;
                at += 1;
            }
            b'}' | b']' => {
                open = open.saturating_sub(1);
                at += 1;
            }
            b'\\' | b'"' => {
                let quote = at + bytes[at..].iter().take_while(|byte| **byte == b'\\').count();
                if bytes.get(quote) != Some(&b'"') || quote - at != depth {
                    // The end of the string that contains this JSON.
                    return;
                }
                let end = string_end(text, quote + 1, b'"', depth);
                let behind = (end + depth + 1).min(text.len());
                let is_key = text[behind..].trim_ascii_start().starts_with(':');
                if !is_key || open == 0 {
                    found.push(command_start(&text[..end], quote + 1, rule, is_first)..end);
                    is_first = false;
                }
                at = behind;
            }
            b',' | b':' => at += 1,
            _ if byte.is_ascii_whitespace() => at += 1,
            _ => {
                let end = at + bytes[at..].iter().take_while(|byte| !b" \t\r\n,]}\\\"".contains(byte)).count();
                if !matches!(&text[at..end], "true" | "false" | "null") {
                    found.push(at..end);
                    is_first = false;
                }
                at = end;
            }
        }
        if open == 0 {
            return;
        }
    }
}

/// Where the secret part of a string of a command line begins. The string's contents begin at `start` and end with
/// `text`.
pub(super) fn command_start(text: &str, start: usize, rule: Rule, is_first: bool) -> usize {
    let contents = &text[start..];
    if rule != Rule::Command || !is_first {
        return start;
    }
    match contents.find(|c: char| c.is_ascii_whitespace() || c == '=' || c == '\\') {
        Some(end) if contents[end..].starts_with('=') => start,
        // An escape is replaced as a whole.
        Some(end) if contents[end..].starts_with('\\') => start + end,
        Some(end) => start + end + 1,
        None => text.len(),
    }
}

/// `-----BEGIN … PRIVATE KEY-----` up to its end. `at` is within the first or the last line.
fn private_key(text: &str, at: usize, found: &mut Vec<Range<usize>>) {
    const BEGIN: &str = "-----BEGIN ";
    const END: &str = "-----END ";
    let Some(begin) = text[..at].rfind(BEGIN) else { return };
    // The last line has the same words.
    if text[begin + BEGIN.len()..at].contains("-----") {
        return;
    }
    let end = text[at..].find(END).map_or(text.len(), |end| {
        let behind = at + end + END.len();
        text[behind..].find("-----").map_or(text.len(), |dashes| behind + dashes + "-----".len())
    });
    found.push(begin..end);
}

/// A key as it is meant: JSON's `\u` decoded, however many backslashes precede it.
fn without_escapes(key: &str) -> Cow<'_, str> {
    if !key.contains("\\u") {
        return Cow::Borrowed(key);
    }
    let mut plain = String::with_capacity(key.len());
    let mut rest = key;
    while let Some(at) = rest.find("\\u") {
        plain.push_str(rest[..at].trim_end_matches('\\'));
        let code = rest.get(at + 2..at + 6).and_then(|digits| u32::from_str_radix(digits, 16).ok());
        let Some(character) = code.and_then(char::from_u32) else { break };
        plain.push(character);
        rest = &rest[at + 6..];
    }
    plain.push_str(rest);
    Cow::Owned(plain)
}

/// The last boundary of a character at or before `at`.
fn floor(text: &str, mut at: usize) -> usize {
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn redacted(text: &str) -> String {
        let mut found = Vec::new();
        find(text, &mut found);
        let mut out = String::new();
        let mut at = 0;
        for range in found {
            out.push_str(&text[at..range.start]);
            out.push_str("***");
            at = range.end;
        }
        out + &text[at..]
    }

    #[test]
    fn parameters_of_addresses() {
        for (text, shown) in [
            ("/1.0/operations/1/websocket?secret=ab12", "/1.0/operations/1/websocket?secret=***"),
            ("/x?a=1&secret=ab12&b=2", "/x?a=1&secret=***&b=2"),
            ("/x?public=1&%73ecret=ab12#f", "/x?public=1&%73ecret=***"),
            ("/ui/login?token=eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ4In0.c2ln", "/ui/login?token=***"),
            ("next=https%3A%2F%2Fh%2Fx%3Fsecret%3Dab12%26a%3D1", "next=https%3A%2F%2Fh%2Fx%3Fsecret%3D***%26a%3D1"),
            ("got trust_token=abc, password=\"a b\" and 'x'", "got trust_token=***, password=\"***\" and 'x'"),
            ("secret=", "secret="),
            ("nothing=here a=b x:y http://h:8443/1.0?project=p", "nothing=here a=b x:y http://h:8443/1.0?project=p"),
            ("time=\"14:00\" level=info", "time=\"14:00\" level=info"),
        ] {
            assert_eq!(redacted(text), shown);
        }
    }

    #[test]
    fn json_in_messages() {
        for (text, shown) in [
            // As `shared/util/debug.go` of LXD indents it, with its last byte cut off.
            (
                "API Request\n\t{\n\t\t\"name\": \"c\",\n\t\t\"password\": \"a \\\"b\\\" c\",\n\t\t\"type\": \"client\"\n\t",
                "API Request\n\t{\n\t\t\"name\": \"c\",\n\t\t\"password\": \"***\",\n\t\t\"type\": \"client\"\n\t",
            ),
            (r#"{"environment":{"A":"x","B":["y",1]},"c":1}"#, r#"{"environment":{"A":"***","B":["***",***]},"c":1}"#),
            (r#"{"fds": {"0":"abc","control":"d"},"x":"y"}"#, r#"{"fds": {"0":"***","control":"***"},"x":"y"}"#),
            (r#"{"secret": "abc"#, r#"{"secret": "***"#),
            (r#"{"secret":"","trust_token":null,"token":true}"#, r#"{"secret":"","trust_token":null,"token":true}"#),
            (r#"{"password":12345,"a":1}"#, r#"{"password":***,"a":1}"#),
            (r#"5" disk {"password":"x"}"#, r#"5" disk {"password":"***"}"#),
            (r#"{"p\u0061ssword":"x"} {"p\\u0061ssword":"x"}"#, r#"{"p\u0061ssword":"***"} {"p\\u0061ssword":"***"}"#),
            (r#"{"a":"{\"secret\":\"x\\\\\",\"b\":\"y\"}"}"#, r#"{"a":"{\"secret\":\"***\",\"b\":\"y\"}"}"#),
            (r#"{"a":"{\"secret\":\"x\"}","b":"y"}"#, r#"{"a":"{\"secret\":\"***\"}","b":"y"}"#),
            (r#"{"a":"{\"secret\":\"x","b":"y"}"#, r#"{"a":"{\"secret\":\"***","b":"y"}"#),
            (r#""[{\\\"secret\\\":\\\"x\\\"}]""#, r#""[{\\\"secret\\\":\\\"***\\\"}]""#),
            (r#"{"command":["mysql","-px",2],"a":1}"#, r#"{"command":["mysql","***",***],"a":1}"#),
            (r#"{"command":"mysql -px"}"#, r#"{"command":"mysql ***"}"#),
            (
                r#"{"user.user-data":"x","config":{"environment.A":"y"}}"#,
                r#"{"user.user-data":"***","config":{"environment.A":"***"}}"#,
            ),
        ] {
            assert_eq!(redacted(text), shown);
        }
    }

    #[test]
    fn tokens_keys_and_structures() {
        for (text, shown) in [
            ("join with eyJzZXJ2ZXJfbmFtZSI6Im4xIn0= now", "join with *** now"),
            ("eyJshort and Base64eyJzZXJ2ZXJfbmFtZSI6Im4xIn0=", "eyJshort and Base64eyJzZXJ2ZXJfbmFtZSI6Im4xIn0="),
            ("a -----BEGIN EC PRIVATE KEY-----\nabc\n-----END EC PRIVATE KEY----- b", "a *** b"),
            (
                "-----BEGIN CERTIFICATE-----\nabc\n-----END CERTIFICATE-----",
                "-----BEGIN CERTIFICATE-----\nabc\n-----END CERTIFICATE-----",
            ),
            ("{Name:x Secret:abc TrustToken:d}", "{Name:x Secret:*** TrustToken:***}"),
            ("core.trust_password: abc\npassword: d", "core.trust_password: ***\npassword: ***"),
            ("cannot read token: no such file", "cannot read token: no such file"),
        ] {
            assert_eq!(redacted(text), shown);
        }
    }

    proptest! {
        #[test]
        fn any_text(text in r#"(secret|token|key|[=:"\\{}\[\], %3D26u0é]|eyJ|[a-z]){0,40}"#, other: String) {
            redacted(&text);
            redacted(&other);
        }
    }
}
