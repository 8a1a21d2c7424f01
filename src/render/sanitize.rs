//! Keeps text from a server from acting on a terminal: control characters, and those that change the direction of
//! writing, are shown as escapes.

use std::io::Write as _;

use super::lanes;

/// Whether `character` does something other than to show itself: C0, DEL, C1, line and paragraph separators, and the
/// bidi controls (Unicode's `Bidi_Control` property).
#[must_use]
pub fn is_control(character: char) -> bool {
    matches!(
        character,
        '\0'..='\x1f'
            | '\x7f'..='\u{9f}'
            | '\u{61c}'
            | '\u{200e}'
            | '\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2066}'..='\u{2069}'
    )
}

/// Whether `text` holds any of them.
#[must_use]
pub fn is_dangerous(text: &str) -> bool {
    !lanes::is_usual(text.as_bytes()) && text.chars().any(is_control)
}

/// Appends `text` with its control characters as escapes: `\n`, `\x1b`, `\u{202e}`.
pub fn push(out: &mut Vec<u8>, text: &str) {
    if !is_dangerous(text) {
        out.extend_from_slice(text.as_bytes());
        return;
    }
    let mut clean = 0;
    for (at, character) in text.char_indices().filter(|(_, character)| is_control(*character)) {
        out.extend_from_slice(&text.as_bytes()[clean..at]);
        clean = at + character.len_utf8();
        // Writing to a Vec cannot fail.
        let _ = match character {
            '\n' => write!(out, "\\n"),
            '\r' => write!(out, "\\r"),
            '\t' => write!(out, "\\t"),
            '\0'..='\u{ff}' => write!(out, "\\x{:02x}", u32::from(character)),
            _ => write!(out, "\\u{{{:x}}}", u32::from(character)),
        };
    }
    out.extend_from_slice(&text.as_bytes()[clean..]);
}

/// Appends what [`push`] would of the text that JSON spells like this: printable ASCII with no other escapes than those
/// of two characters. Log lines are full of JSON within JSON, and most of its escapes are just what is to be shown.
pub(super) fn push_escaped(out: &mut Vec<u8>, raw: &str) {
    let bytes = raw.as_bytes();
    let (mut clean, mut at) = (0, 0);
    while let Some(byte) = bytes.get(at) {
        if *byte != b'\\' {
            at += 1;
            continue;
        }
        let control: &[u8] = match bytes.get(at + 1) {
            Some(b'b') => b"\\x08",
            Some(b'f') => b"\\x0c",
            Some(b'n' | b'r' | b't') => {
                at += 2;
                continue;
            }
            // What is escaped stands for itself.
            _ => {
                out.extend_from_slice(&bytes[clean..at]);
                clean = at + 1;
                at += 2;
                continue;
            }
        };
        out.extend_from_slice(&bytes[clean..at]);
        out.extend_from_slice(control);
        at += 2;
        clean = at;
    }
    out.extend_from_slice(&bytes[clean..]);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shown(text: &str) -> String {
        let mut out = Vec::new();
        push(&mut out, text);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn controls_are_shown_and_all_else_stays() {
        assert_eq!(shown("a\x1b[31mb\r\n\tc\x7f\u{9b}\u{202e}d"), "a\\x1b[31mb\\r\\n\\tc\\x7f\\x9b\\u{202e}d");
        assert_eq!(shown("ünï 漢字 😀 ’ \u{a0}"), "ünï 漢字 😀 ’ \u{a0}");
    }

    proptest! {
        #[test]
        fn escaped_text_is_shown_as_the_text_is(text in "[ -~\u{8}\u{c}\n\r\t\"\\\\]{0,40}") {
            let json = serde_json::to_string(&text).unwrap();
            let mut out = Vec::new();
            push_escaped(&mut out, &json[1..json.len() - 1]);
            prop_assert_eq!(String::from_utf8(out).unwrap(), shown(&text));
        }

        #[test]
        fn nothing_gets_through(text: String) {
            prop_assert!(!shown(&text).chars().any(is_control));
            prop_assert!(is_dangerous(&text) || shown(&text) == text);
        }
    }
}
