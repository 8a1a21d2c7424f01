//! Decides whether a YAML reader would read a plain scalar as something other than a string.
//!
//! go-yaml v2 quotes the strings that its own `resolve.go` would not resolve to a string. The rules here include those,
//! and also what `PyYAML` (YAML 1.1) or the core schema of YAML 1.2 would resolve, so that every reader reads the
//! string back.

use std::iter::Peekable;

/// Whether every reader reads the plain scalar `text` as a string. Whether its characters allow plain style is decided
/// in [`super::emitter`].
pub(super) fn is_string(text: &str) -> bool {
    let Some(&first) = text.as_bytes().first() else {
        return false;
    };
    match first {
        // Tested first because text that begins like a date nearly always is one.
        b'0'..=b'9' if text.as_bytes().get(4) == Some(&b'-') && is_timestamp(text) => false,
        b'0'..=b'9' | b'+' | b'-' | b'.' => {
            !(is_number(text) || is_base_60(text) || is_special_float(text) || is_timestamp(text))
        }
        b'y' | b'Y' | b'n' | b'N' | b't' | b'T' | b'f' | b'F' | b'o' | b'O' | b'~' => !is_word(text),
        // The value key and the merge key of YAML 1.1, which go-yaml does not quote.
        b'=' => text != "=",
        b'<' => text != "<<",
        _ => true,
    }
}

/// The length of the longest word that is not a string, in bytes. A longer text that begins with a letter is a string.
pub(super) const LONGEST_WORD: usize = "false".len();

fn is_word(text: &str) -> bool {
    matches!(
        text,
        "y" | "Y"
            | "yes"
            | "Yes"
            | "YES"
            | "true"
            | "True"
            | "TRUE"
            | "on"
            | "On"
            | "ON"
            | "n"
            | "N"
            | "no"
            | "No"
            | "NO"
            | "false"
            | "False"
            | "FALSE"
            | "off"
            | "Off"
            | "OFF"
            | "~"
            | "null"
            | "Null"
            | "NULL"
    )
}

fn is_special_float(text: &str) -> bool {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    matches!(unsigned, ".inf" | ".Inf" | ".INF") || matches!(text, ".nan" | ".NaN" | ".NAN")
}

/// The rest of a text that is being scanned.
struct Scan<'t>(&'t [u8]);

impl Scan<'_> {
    fn take(&mut self, wanted: impl Fn(u8) -> bool) -> usize {
        let count = self.0.iter().take_while(|byte| wanted(**byte)).count();
        self.0 = &self.0[count..];
        count
    }

    fn one(&mut self, wanted: &[u8]) -> bool {
        let found = self.0.first().is_some_and(|byte| wanted.contains(byte));
        self.0 = &self.0[usize::from(found)..];
        found
    }

    fn digits(&mut self) -> usize {
        self.take(|byte| byte.is_ascii_digit())
    }

    /// Skips digits and underscores, and returns the number of digits.
    fn loose_digits(&mut self, wanted: impl Fn(u8) -> bool) -> usize {
        let start = self.0;
        let taken = self.take(|byte| wanted(byte) || byte == b'_');
        start[..taken].iter().filter(|byte| **byte != b'_').count()
    }

    fn is_done(&self) -> bool {
        self.0.is_empty()
    }
}

/// Whether `text` is an integer of any base or a decimal float, with underscores anywhere after its first character:
/// go-yaml removes all of them before it looks at the number, so that `0_xb` is 11 and `4E_-9` a float.
fn is_number(text: &str) -> bool {
    let is_sign = |byte: &u8| matches!(byte, b'+' | b'-');
    let mut rest = text.bytes().filter(|byte| *byte != b'_').peekable();
    let has_sign = rest.next_if(is_sign).is_some();
    if rest.peek() == Some(&b'0') {
        let mut digits = rest.clone();
        digits.next();
        let letter = digits.next();
        let base: Option<fn(&u8) -> bool> = match letter {
            Some(b'x' | b'X') => Some(u8::is_ascii_hexdigit),
            Some(b'o' | b'O') => Some(|byte| matches!(byte, b'0'..=b'7')),
            Some(b'b' | b'B') => Some(|byte| matches!(byte, b'0' | b'1')),
            _ => None,
        };
        if let Some(is_digit) = base {
            // go-yaml v2 reads `0b-1` as an integer, v3 and v4 also `0o+7`.
            let may_have_inner_sign = !has_sign && matches!(letter, Some(b'b' | b'o'));
            let has_inner_sign = may_have_inner_sign && digits.next_if(is_sign).is_some();
            let count = count_while(&mut digits, is_digit);
            // PyYAML accepts underscores without any digit.
            return digits.next().is_none() && (count > 0 || (!has_inner_sign && text.ends_with('_')));
        }
    }
    let whole = count_while(&mut rest, u8::is_ascii_digit);
    let point = rest.next_if_eq(&b'.').is_some();
    let fraction = if point { count_while(&mut rest, u8::is_ascii_digit) } else { 0 };
    if whole + fraction == 0 {
        return false;
    }
    if rest.next_if(|byte| matches!(byte, b'e' | b'E')).is_some() {
        rest.next_if(is_sign);
        if count_while(&mut rest, u8::is_ascii_digit) == 0 {
            return false;
        }
    }
    rest.next().is_none()
}

/// Skips the bytes that are wanted, and returns their number.
fn count_while(bytes: &mut Peekable<impl Iterator<Item = u8>>, wanted: impl Fn(&u8) -> bool) -> usize {
    std::iter::from_fn(|| bytes.next_if(&wanted)).count()
}

/// Whether `text` is a sexagesimal number, such as `190:20:30.15`.
fn is_base_60(text: &str) -> bool {
    if !text.contains(':') {
        return false;
    }
    let mut scan = Scan(text.as_bytes());
    scan.one(b"+-");
    if !scan.0.first().is_some_and(u8::is_ascii_digit) {
        return false;
    }
    scan.loose_digits(|byte| byte.is_ascii_digit());
    let mut groups = 0;
    while scan.one(b":") {
        let group = scan.0;
        let digits = scan.digits();
        if digits == 0 || digits > 2 || (digits == 2 && group[0] > b'5') {
            return false;
        }
        groups += 1;
    }
    if groups > 0 && scan.one(b".") {
        scan.loose_digits(|byte| byte.is_ascii_digit());
    }
    groups > 0 && scan.is_done()
}

/// Whether `text` is a date or time in a form of go-yaml or `PyYAML`. Values out of range count too, as `PyYAML` fails
/// on them.
fn is_timestamp(text: &str) -> bool {
    let mut scan = Scan(text.as_bytes());
    let one_or_two = |scan: &mut Scan<'_>| matches!(scan.digits(), 1 | 2);
    if scan.digits() != 4 || !scan.one(b"-") || !one_or_two(&mut scan) || !scan.one(b"-") || !one_or_two(&mut scan) {
        return false;
    }
    if scan.is_done() {
        return true;
    }
    if !scan.one(b"Tt") && scan.take(|byte| matches!(byte, b' ' | b'\t')) == 0 {
        return false;
    }
    if !one_or_two(&mut scan) || !scan.one(b":") || !one_or_two(&mut scan) || !scan.one(b":") || !one_or_two(&mut scan)
    {
        return false;
    }
    if scan.one(b".,") {
        scan.digits();
    }
    scan.take(|byte| matches!(byte, b' ' | b'\t'));
    if scan.one(b"+-") {
        if !one_or_two(&mut scan) || (scan.one(b":") && scan.digits() != 2) {
            return false;
        }
    } else {
        scan.one(b"Z");
    }
    scan.is_done()
}

#[cfg(test)]
mod tests {
    use super::is_string;

    #[test]
    fn what_readers_take_for_something_else_is_no_string() {
        for text in [
            "",
            "~",
            "null",
            "Null",
            "yes",
            "No",
            "on",
            "OFF",
            "y",
            "N",
            "true",
            "False",
            "0",
            "-1",
            "+12",
            "1_000",
            "0x1F",
            "0o17",
            "017",
            "0b101",
            "-0b1",
            "1.5",
            ".5",
            "5.",
            "1e3",
            "1E+3",
            "1.e-3",
            "+.5",
            "-.inf",
            "+.INF",
            ".NaN",
            "1:20",
            "190:20:30.15",
            "2021-03-14",
            "2021-3-4",
            "2021-03-14T00:00:00Z",
            "2021-03-14t1:2:3.5+01:00",
            "2021-03-14 01:02:03",
            "2001-12-14 21:59:43.10 -5",
            "2021-13-45",
            "=",
            "<<",
            "0x_",
            "0_xb",
            "-0__b1",
            "+_0_O7",
            "1e999",
            "4E_-9",
            "-_1_2.3_4e_+_5_",
            "0b-1",
            "0_b+_1",
            "0o+17",
        ] {
            assert!(!is_string(text), "{text}");
        }
        for text in [
            "a",
            "yess",
            "nul",
            "-",
            "+",
            ".",
            "1a",
            "10.0.0.1",
            "1.2.3",
            "0xg",
            "1e",
            "1e+",
            "-a",
            "2021-03",
            "1:2:",
            "1:60",
            "12:345",
            "93506aed-c22c",
            "2021-03-14T",
            "==",
            "<",
            "/1.0",
            "...",
            "0o8",
            "-0b-1",
            "0b-",
            "0o-_",
            "0x-1",
            "4e_-",
            "_1",
            "e3",
            "2021-03-14x",
        ] {
            assert!(is_string(text), "{text}");
        }
    }
}
