//! Makes text from a server safe to print on a terminal: characters that control the terminal, change the direction of
//! writing or are invisible are shown as escapes. So the text can neither control the terminal nor look like another.

use std::io::Write as _;

use super::simd;

/// Whether `character` must be escaped: C0, DEL, C1, line and paragraph separators, the bidi controls (Unicode's
/// `Bidi_Control` property), interlinear annotations, and invisible characters (`Default_Ignorable_Code_Point`: soft
/// hyphen, joiners, fillers, tags, and the supplementary variation selectors, in which any text can be hidden).
///
/// Exceptions are invisible characters that visibly change the character before them: the sixteen variation selectors
/// of emoji, and the Mongolian ones.
#[must_use]
pub fn is_control(character: char) -> bool {
    matches!(
        character,
        '\0'..='\x1f'
            | '\x7f'..='\u{9f}'
            | '\u{ad}'
            | '\u{34f}'
            | '\u{61c}'
            | '\u{115f}'..='\u{1160}'
            | '\u{17b4}'..='\u{17b5}'
            | '\u{180e}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{3164}'
            | '\u{feff}'
            | '\u{ffa0}'
            | '\u{fff0}'..='\u{fffb}'
            | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}'
    )
}

/// Whether `text` contains a character for which [`is_control`] is true.
#[must_use]
pub fn is_dangerous(text: &str) -> bool {
    !simd::is_usual(text.as_bytes()) && text.chars().any(is_control)
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

/// Returns what [`push`] would append for `text`.
#[must_use]
pub fn shown(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    push(&mut out, text);
    // The result is UTF-8: `push` replaces only whole characters, by ASCII.
    String::from_utf8(out).unwrap_or_default()
}

/// Appends what [`push`] would for the decoded form of `raw`, a JSON string of printable ASCII whose escapes all have
/// two characters. This avoids decoding: log lines are full of JSON within JSON, and most of its escapes are shown as
/// they are.
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
            // The backslash is dropped, as the escaped character stands for itself.
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

    #[test]
    fn controls_are_shown_and_all_else_stays() {
        assert_eq!(shown("a\x1b[31mb\r\n\tc\x7f\u{9b}\u{202e}d"), "a\\x1b[31mb\\r\\n\\tc\\x7f\\x9b\\u{202e}d");
        assert_eq!(shown("ünï 漢字 😀 ’ \u{a0}"), "ünï 漢字 😀 ’ \u{a0}");
    }

    #[test]
    fn what_cannot_be_seen_is_shown() {
        for hidden in "\u{ad}\u{200b}\u{200c}\u{200d}\u{2060}\u{2065}\u{206f}\u{3164}\u{feff}\u{e0001}\u{e0041}\u{e007f}\u{e0100}\u{e01ef}".chars() {
            assert_eq!(shown(&format!("web{hidden}1")), format!("web\\{}1", &hidden.escape_unicode().to_string()[1..].replacen("u{ad}", "xad", 1)));
        }
        // Of a joined emoji only the joiner is escaped. Variation selectors are kept.
        assert_eq!(shown("👩\u{200d}👧 ❤\u{fe0f} 1\u{fe0f}\u{20e3}"), "👩\\u{200d}👧 ❤\u{fe0f} 1\u{fe0f}\u{20e3}");
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
