//! How wide text is, and how it is cut in its middle, cut at its end, or wrapped. Text is cut between graphemes.

use unicode_truncate::UnicodeTruncateStr as _;
use unicode_width::UnicodeWidthStr as _;

/// What stands in the place of the text that was cut out.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ellipsis {
    pub(super) text: &'static str,
    /// Its width, in columns.
    pub(super) width: usize,
}

impl Ellipsis {
    /// The ellipsis of a terminal with UTF-8 or without. Neither has an ASCII character that is a glyph.
    pub(super) const fn new(utf8: bool) -> Self {
        if utf8 { Self { text: "…", width: 1 } } else { Self { text: "..", width: 2 } }
    }
}

/// A text of which the middle or the end may be cut out: the two parts that are shown, with the ellipsis between them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cut<'a> {
    pub(super) head: &'a str,
    pub(super) ellipsis: &'static str,
    pub(super) tail: &'a str,
    /// The width of all parts, in columns.
    pub(super) width: usize,
}

/// The width of `text`, in columns.
pub(super) fn width_of(text: &str) -> usize {
    if text.is_ascii() { text.len() } else { text.width() }
}

/// The text of a cell, which consists of whole strings.
pub(super) fn as_text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap_or_default()
}

/// The longest beginning of `text` that fits into `room` columns. This does not read beyond it.
fn beginning(text: &str, room: usize) -> &str {
    let window = &text.as_bytes()[..text.len().min(room + 1)];
    if window.is_ascii() {
        return &text[..text.len().min(room)];
    }
    text.unicode_truncate(room).0
}

/// The longest end of `text` that fits into `room` columns.
fn end(text: &str, room: usize) -> &str {
    if text.is_ascii() { &text[text.len().saturating_sub(room)..] } else { text.unicode_truncate_start(room).0 }
}

/// `text` in at most `room` columns, cut at its end.
pub(super) fn cut_end(text: &str, room: usize, ellipsis: Ellipsis) -> Cut<'_> {
    let whole = beginning(text, room);
    if whole.len() == text.len() {
        return Cut { head: text, ellipsis: "", tail: "", width: width_of(text) };
    }
    if room < ellipsis.width {
        return Cut { head: whole, ellipsis: "", tail: "", width: width_of(whole) };
    }
    let head = beginning(text, room - ellipsis.width).trim_end_matches(' ');
    Cut { head, ellipsis: ellipsis.text, tail: "", width: width_of(head) + ellipsis.width }
}

/// `text` in at most `room` columns, cut at its end. It consists of parts with two spaces between them. A part of which
/// little would be left is left out, and so is the address in `by USER from ADDRESS` unless all of it fits.
pub(super) fn cut_parts(text: &str, room: usize, ellipsis: Ellipsis) -> Cut<'_> {
    const LITTLE: usize = 12;
    const FROM: &str = " from ";
    let cut = cut_end(text, room, ellipsis);
    if cut.ellipsis.is_empty() && cut.head.len() == text.len() {
        return cut;
    }
    let begin = cut.head.rfind("  ").map_or(0, |at| at + 2);
    let part = &text[begin..];
    // Where the user of `by USER` ends.
    let user = part.starts_with("by ").then(|| part.find(FROM).or_else(|| part.find("  "))).flatten();
    let kept = match user {
        Some(user) if begin + user <= cut.head.len() => begin + user,
        _ if width_of(&cut.head[begin..]) >= LITTLE => return cut,
        _ => begin,
    };
    let head = cut.head[..kept].trim_end_matches(' ');
    Cut { head, ellipsis: "", tail: "", width: width_of(head) }
}

/// `text` in at most `room` columns, cut in its middle, because names often differ at their ends only.
pub(super) fn cut_middle(text: &str, room: usize, ellipsis: Ellipsis) -> Cut<'_> {
    if room < ellipsis.width + 2 || beginning(text, room).len() == text.len() {
        return cut_end(text, room, ellipsis);
    }
    let kept = room - ellipsis.width;
    let head = beginning(text, kept.div_ceil(2));
    let tail = end(&text[head.len()..], kept / 2);
    Cut { head, ellipsis: ellipsis.text, tail, width: width_of(head) + ellipsis.width + width_of(tail) }
}

/// Splits `text` behind the last word that fits into `room` columns: the line, and the rest of the text. A word that is
/// longer than `room` is split. The line is not empty.
pub(super) fn split_line(text: &str, room: usize) -> (&str, &str) {
    let fitting = beginning(text, room);
    if fitting.len() == text.len() {
        return (text, "");
    }
    let rest = &text[fitting.len()..];
    if rest.starts_with(' ') && !fitting.trim_matches(' ').is_empty() {
        return (fitting.trim_end_matches(' '), rest.trim_start_matches(' '));
    }
    if let Some(space) = fitting.rfind(' ') {
        let line = fitting[..space].trim_end_matches(' ');
        if !line.trim_matches(' ').is_empty() {
            return (line, text[space..].trim_start_matches(' '));
        }
    }
    if fitting.is_empty() {
        // Not even one grapheme fits.
        let first = text.chars().next().map_or(0, char::len_utf8);
        return text.split_at(first);
    }
    (fitting, rest)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shown(cut: Cut<'_>) -> String {
        [cut.head, cut.ellipsis, cut.tail].concat()
    }

    #[test]
    fn the_middle_is_cut_and_both_ends_stay() {
        let cut = |text, room| shown(cut_middle(text, room, Ellipsis::new(true)));
        assert_eq!(cut("db1/before-upgrade", 18), "db1/before-upgrade");
        assert_eq!(cut("db1/before-upgrade", 12), "db1/be…grade");
        assert_eq!(cut("a漢漢漢漢b", 6), "a漢…b");
        assert_eq!(cut("abc", 2), "a…");
        assert_eq!(cut("abc", 0), "");
        assert_eq!(shown(cut_middle("db1/before-upgrade", 12, Ellipsis::new(false))), "db1/b..grade");
    }

    #[test]
    fn what_would_be_a_stump_is_left_out() {
        let cut = |room| {
            shown(cut_parts(
                "make -C /srv/build test  by oidc/alice@example.com from 203.0.113.7",
                room,
                Ellipsis::new(true),
            ))
        };
        assert_eq!(cut(80), "make -C /srv/build test  by oidc/alice@example.com from 203.0.113.7");
        assert_eq!(cut(60), "make -C /srv/build test  by oidc/alice@example.com");
        assert_eq!(cut(53), "make -C /srv/build test  by oidc/alice@example.com");
        assert_eq!(cut(45), "make -C /srv/build test  by oidc/alice@examp…");
        assert_eq!(cut(34), "make -C /srv/build test");
        assert_eq!(cut(20), "make -C /srv/build…");
        assert_eq!(cut(9), "");
    }

    #[test]
    fn lines_are_broken_between_words_and_long_words_anywhere() {
        let mut lines = Vec::new();
        let mut rest = "Failed to run: /snap/lxd/current/bin/lxd  x";
        while !rest.is_empty() {
            let (line, more) = split_line(rest, 14);
            lines.push(line);
            rest = more;
        }
        assert_eq!(lines, ["Failed to run:", "/snap/lxd/curr", "ent/bin/lxd  x"]);
        assert_eq!(split_line("漢漢", 1), ("漢", "漢"));
    }

    proptest! {
        #[test]
        fn what_is_cut_fits_and_what_is_wrapped_is_whole(text in "[a-z 漢é\u{301}❤\u{fe0f}]{0,40}", room in 1usize..30) {
            for utf8 in [true, false] {
                let ellipsis = Ellipsis::new(utf8);
                for cut in [cut_end(&text, room, ellipsis), cut_middle(&text, room, ellipsis), cut_parts(&text, room, ellipsis)] {
                    prop_assert!(width_of(&shown(cut)) <= room, "{:?}", cut);
                }
            }
            let (mut rest, mut all) = (&*text, String::new());
            while !rest.is_empty() {
                let (line, more) = split_line(rest, room);
                prop_assert!(!line.is_empty() && (width_of(line) <= room || line.chars().count() == 1), "{:?}", line);
                all += line;
                rest = more;
            }
            let letters = |text: &str| text.replace(' ', "");
            prop_assert_eq!(letters(&all), letters(&text));
        }
    }
}
