//! The values of a selection option: one argument holds several, separated by commas, and braces hold alternatives.
//! `!a,b{1,2}` is the three values `!a`, `b1` and `b2`, of which the first one excludes.

use super::glob::{BadPattern, Glob, NOTHING_ESCAPED, end_of_set};
use super::patterns::split_exclusion;

/// The maximum number of values of one argument. Braces multiply: `{a,b}{a,b}{a,b}` is eight values.
const MAX_VALUES: usize = 4096;

/// The maximum depth of braces in braces.
const MAX_DEPTH: usize = 16;

/// The values in `argument`, without commas and braces. Each is a pattern that can be compiled.
///
/// # Errors
/// A value is empty, has no pattern, or is one that cannot be compiled: a sentence that says where.
pub(crate) fn values(argument: &str) -> Result<Vec<String>, String> {
    if argument.is_empty() {
        return Err("the value is empty; omit the option to select everything".to_owned());
    }
    let mut values = Vec::new();
    for (start, element) in split(argument, 0).map_err(|error| error.to_string())? {
        let (excludes, pattern) = split_exclusion(element);
        if pattern.is_empty() {
            return Err(match (excludes, argument.contains(',')) {
                (true, _) => "there is no pattern after the '!' that excludes".to_owned(),
                (false, true) => {
                    r"there is nothing before or behind a comma; '\,' stands for the character itself".to_owned()
                }
                (false, false) => "the value is empty; omit the option to select everything".to_owned(),
            });
        }
        // The places in errors are those in the whole argument.
        let start = start + element.len() - pattern.len();
        let expanded = expand(argument, start, start + pattern.len()).map_err(|error| error.to_string())?;
        if values.len() + expanded.len() > MAX_VALUES {
            return Err(format!("the braces stand for more than {MAX_VALUES} values"));
        }
        for pattern in expanded {
            if pattern.is_empty() {
                return Err("an alternative in the braces is empty, and so is the value".to_owned());
            }
            Glob::new(&pattern).map_err(|error| error.to_string())?;
            let mark = match (excludes, pattern.starts_with('!')) {
                (true, _) => "!",
                // The mark counts at the start of a value, not in braces.
                (false, true) => r"\",
                (false, false) => "",
            };
            values.push(format!("{mark}{pattern}"));
        }
    }
    Ok(values)
}

/// The offset of the last value in an unfinished argument. `None` within brackets, braces and escapes.
pub(crate) fn start_of_last(argument: &str) -> Option<usize> {
    split(argument, 0).ok()?.last().map(|(start, _)| *start)
}

/// The value that matches `name` only.
pub(crate) fn exactly(name: &str) -> String {
    let mut value = String::with_capacity(name.len());
    for (at, character) in name.char_indices() {
        if r"\,*?[{}".contains(character) || at == 0 && character == '!' {
            value.push('\\');
        }
        value.push(character);
    }
    value
}

/// The parts of `text` between the commas that stand in no brackets and braces, with their offsets. `base` is added to
/// the offsets.
fn split(text: &str, base: usize) -> Result<Vec<(usize, &str)>, BadPattern> {
    let mut parts = Vec::new();
    let (mut start, mut at) = (0, 0);
    while at < text.len() {
        at = match text.as_bytes()[at] {
            b',' => {
                parts.push((base + start, &text[start..at]));
                start = at + 1;
                start
            }
            _ => behind(text, at)?,
        };
    }
    parts.push((base + start, &text[start..]));
    Ok(parts)
}

/// The offset behind what begins at `at`: an escaped character, a set, braces, or a character.
fn behind(text: &str, at: usize) -> Result<usize, BadPattern> {
    let length = |at: usize| text[at..].chars().next().map_or(0, char::len_utf8);
    match text.as_bytes()[at] {
        b'\\' if at + 1 == text.len() => Err(BadPattern::new(text, at, NOTHING_ESCAPED)),
        b'\\' => Ok(at + 1 + length(at + 1)),
        b'[' => end_of_set(text, at),
        b'{' => Ok(closing(text, at)? + 1),
        _ => Ok(at + length(at)),
    }
}

/// The offset of the brace that closes the one at `at`.
fn closing(text: &str, at: usize) -> Result<usize, BadPattern> {
    let mut open = vec![at];
    let mut next = at + 1;
    while next < text.len() {
        match text.as_bytes()[next] {
            b'{' if open.len() == MAX_DEPTH => {
                return Err(BadPattern::new(text, next, "braces are nested deeper than 16 levels"));
            }
            b'{' => {
                open.push(next);
                next += 1;
            }
            b'}' => {
                open.pop();
                if open.is_empty() {
                    return Ok(next);
                }
                next += 1;
            }
            _ => next = behind(text, next)?,
        }
    }
    let innermost = open.pop().unwrap_or(at);
    Err(BadPattern::new(text, innermost, r"this '{' has no '}'; '\{' stands for the character itself"))
}

/// The patterns for which the part of `text` from `start` to `end` stands: one for each combination of alternatives.
fn expand(text: &str, start: usize, end: usize) -> Result<Vec<String>, BadPattern> {
    let mut patterns = vec![String::new()];
    let (mut from, mut at) = (start, start);
    while at < end {
        let next = behind(&text[..end], at)?;
        if text.as_bytes()[at] == b'{' {
            let mut alternatives = Vec::new();
            for (start, part) in split(&text[at + 1..next - 1], at + 1)? {
                alternatives.extend(expand(text, start, start + part.len())?);
            }
            if patterns.len() * alternatives.len() > MAX_VALUES {
                return Err(BadPattern::new(text, at, "with these braces there are more than 4096 values"));
            }
            let before = &text[from..at];
            let join = |pattern: &String| {
                let pattern = format!("{pattern}{before}");
                alternatives.iter().map(move |alternative| format!("{pattern}{alternative}")).collect::<Vec<_>>()
            };
            patterns = patterns.iter().flat_map(join).collect();
            from = next;
        }
        at = next;
    }
    for pattern in &mut patterns {
        pattern.push_str(&text[from..end]);
    }
    Ok(patterns)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::patterns::Patterns;
    use super::*;

    proptest! {
        #[test]
        fn a_name_can_be_selected_exactly(name in r"[!a\\,*?\[\]{}\-é ]{1,6}", other in r"[!a\\,*?\[\]{}\-é ]{1,6}") {
            let patterns = Patterns::new(&values(&exactly(&name)).unwrap());
            prop_assert!(patterns.admit([&name]));
            prop_assert_eq!(patterns.admit([&other]), name == other);
        }
    }

    #[test]
    fn where_the_last_value_begins() {
        for (argument, start) in [
            ("", Some(0)),
            ("web", Some(0)),
            ("a,b", Some(2)),
            ("a,", Some(2)),
            (r"a\,b", Some(0)),
            ("{a,b},c", Some(6)),
            ("{a,b", None),
            ("a,[b", None),
            ("a\\", None),
        ] {
            assert_eq!(start_of_last(argument), start, "{argument}");
        }
    }

    #[test]
    fn commas_and_braces() {
        for (argument, expected) in [
            ("a", &["a"][..]),
            ("a,b", &["a", "b"]),
            ("!a,b,!c", &["!a", "b", "!c"]),
            (r"a\,b,c", &[r"a\,b", "c"]),
            ("[a,b]*,c", &["[a,b]*", "c"]),
            ("[],]x,c", &["[],]x", "c"]),
            ("c{1,2}", &["c1", "c2"]),
            ("c{1,2},d", &["c1", "c2", "d"]),
            ("!c{1,2}", &["!c1", "!c2"]),
            ("{a,b}{1,2}x", &["a1x", "a2x", "b1x", "b2x"]),
            ("{a,b{1,2}}*", &["a*", "b1*", "b2*"]),
            ("c1{,-old}", &["c1", "c1-old"]),
            ("{a}", &["a"]),
            (r"{a\,b,c\}}", &[r"a\,b", r"c\}"]),
            ("{[,}],b}", &["[,}]", "b"]),
            ("{!a,b}", &[r"\!a", "b"]),
            (r"\{a,b}", &[r"\{a", "b}"]),
            ("日{本,é},x", &["日本", "日é", "x"]),
        ] {
            assert_eq!(values(argument).as_deref(), Ok(expected.map_owned().as_slice()), "{argument}");
        }
    }

    trait MapOwned {
        fn map_owned(&self) -> Vec<String>;
    }

    impl MapOwned for [&str] {
        fn map_owned(&self) -> Vec<String> {
            self.iter().map(|&text| text.to_owned()).collect()
        }
    }

    #[test]
    fn what_is_no_list_of_patterns_is_refused_with_the_place() {
        let many = "{a,b}".repeat(13);
        let deep = "{".repeat(17) + &"}".repeat(17);
        let deepest = "{".repeat(100_000);
        for (argument, says) in [
            ("", "the value is empty"),
            ("!", "there is no pattern after the '!'"),
            ("a,", "there is nothing before or behind a comma"),
            (",a", "there is nothing before or behind a comma"),
            ("a,,b", "there is nothing before or behind a comma"),
            ("a,!", "there is no pattern after the '!'"),
            ("{}", "an alternative in the braces is empty"),
            ("{a,}", "an alternative in the braces is empty"),
            ("[a", "character 1: this '[' has no ']'"),
            ("b,c[a", "character 4: this '[' has no ']'"),
            ("{a", "character 1: this '{' has no '}'"),
            ("x,{a,{b}", "character 3: this '{' has no '}'"),
            ("{a,[b}", "character 4: this '['"),
            ("x{a", "character 2: this '{' has no '}'"),
            (r"x,a\", "character 4: nothing follows this backslash"),
            (&many, "character 61: with these braces there are more than 4096 values"),
            (&deep, "character 17: braces are nested deeper"),
            (&deepest, "character 17: braces are nested deeper"),
        ] {
            let error = values(argument).unwrap_err();
            assert!(error.starts_with(says), "{argument:.40}: {error}");
        }
    }

    proptest! {
        #[test]
        fn no_argument_panics(argument in r"[a,\[\]{}!\\日-]{0,12}") {
            let _ = values(&argument);
        }
    }
}
