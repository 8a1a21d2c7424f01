//! Makes JSON of a YAML document. Numbers keep their digits.
//!
//! The parser is a port of libyaml, and so is the one of go-yaml, which wrote what the clients print: both agree on what
//! ends a line. It does not give the text of floating-point numbers, so a document that has some is read twice.

use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::event::REMOTE;
use crate::event::json::{Content, Tape};
use crate::event::message::MAX_MESSAGE;

/// Why a text is no document.
#[derive(Debug)]
pub(super) struct NotYaml {
    /// The number of the line at fault, from 0.
    pub line: u64,
    pub what: String,
}

/// Stands in the output for a number whose text is not known yet. No UTF-8 has this byte.
const UNKNOWN: u8 = 0xff;

/// What the document holds, in the order of its text, without the keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Scalar,
    /// A number whose text is to be read.
    Number,
    Mapping,
    Sequence,
}

/// Returns the document as JSON. A member `remote` comes first, as lxmon prints it.
///
/// # Errors
/// The text is not a YAML document that JSON can represent.
pub(super) fn to_json(text: &str) -> Result<String, NotYaml> {
    let failed = |error: &serde_yaml::Error| {
        let message = error.to_string();
        let what = message.split(" at line ").next().unwrap_or(&message).to_owned();
        NotYaml { line: error.location().map_or(0, |at| at.line().saturating_sub(1) as u64), what }
    };
    let mut writer = Writer { text, json: Vec::with_capacity(text.len()), kinds: Vec::new(), first: Vec::new() };
    Value { writer: &mut writer, depth: 0 }
        .deserialize(serde_yaml::Deserializer::from_str(text))
        .map_err(|error| failed(&error))?;
    let Writer { json, kinds, .. } = writer;
    let json = if kinds.contains(&Kind::Number) {
        let mut numbers = Numbers { kinds: kinds.iter(), texts: Vec::new() };
        numbers.next(serde_yaml::Deserializer::from_str(text)).map_err(|error| failed(&error))?;
        with_numbers(&json, &numbers.texts)
    } else {
        json
    };
    String::from_utf8(json).map_err(|error| NotYaml { line: 0, what: error.to_string() })
}

/// Puts the texts of the numbers into their places.
fn with_numbers(json: &[u8], texts: &[String]) -> Vec<u8> {
    let mut parts = json.split(|byte| *byte == UNKNOWN);
    let mut whole = parts.next().unwrap_or_default().to_vec();
    for (part, text) in parts.zip(texts) {
        if is_number(text) {
            whole.extend_from_slice(text.as_bytes());
        } else {
            // Such as `.5`, which JSON writes in another way, and `.inf`, which it does not have.
            let number = text.parse().ok().and_then(serde_json::Number::from_f64);
            whole.extend(number.map_or_else(|| quoted(text), |number| number.to_string().into_bytes()));
        }
        whole.extend_from_slice(part);
    }
    whole
}

fn quoted(text: &str) -> Vec<u8> {
    serde_json::Value::from(text).to_string().into_bytes()
}

/// Whether the text is a number in JSON.
fn is_number(text: &str) -> bool {
    let is_plausible = text.starts_with(|c: char| c == '-' || c.is_ascii_digit());
    let mut tape = Tape::default();
    is_plausible
        && tape.parse(text).is_ok()
        && matches!(tape.root(text).content(), Content::Number(digits) if digits == text)
}

/// Writes a document as JSON, in its first reading.
struct Writer<'d> {
    text: &'d str,
    json: Vec<u8>,
    kinds: Vec<Kind>,
    /// The member that comes first, with its key.
    first: Vec<u8>,
}

/// The next value of the document.
struct Value<'w, 'd> {
    writer: &'w mut Writer<'d>,
    /// The number of mappings and sequences around it.
    depth: usize,
}

impl Value<'_, '_> {
    fn scalar(self, json: &[u8]) {
        self.writer.kinds.push(Kind::Scalar);
        self.writer.json.extend_from_slice(json);
    }

    fn number(self) {
        self.writer.kinds.push(Kind::Number);
        self.writer.json.push(UNKNOWN);
    }
}

impl<'de> DeserializeSeed<'de> for Value<'_, 'de> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        // An alias can stand for a long text in a few bytes.
        if self.writer.json.len() > MAX_MESSAGE {
            return Err(D::Error::custom(format!("longer than {MAX_MESSAGE} bytes with its aliases")));
        }
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Value<'_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a value without a tag of its own")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        self.scalar(b"null");
        Ok(())
    }

    fn visit_bool<E>(self, value: bool) -> Result<(), E> {
        self.scalar(value.to_string().as_bytes());
        Ok(())
    }

    fn visit_u64<E>(self, value: u64) -> Result<(), E> {
        self.scalar(value.to_string().as_bytes());
        Ok(())
    }

    fn visit_i64<E>(self, value: i64) -> Result<(), E> {
        // The digits of -0 are to be kept too.
        if value == 0 {
            self.number();
        } else {
            self.scalar(value.to_string().as_bytes());
        }
        Ok(())
    }

    fn visit_u128<E>(self, value: u128) -> Result<(), E> {
        self.scalar(value.to_string().as_bytes());
        Ok(())
    }

    fn visit_i128<E>(self, value: i128) -> Result<(), E> {
        self.scalar(value.to_string().as_bytes());
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        self.number();
        Ok(())
    }

    fn visit_borrowed_str<E>(self, value: &'de str) -> Result<(), E> {
        // A number that is too large for the parser comes as a text, but not in quotes.
        let at = value.as_ptr().addr().wrapping_sub(self.writer.text.as_ptr().addr());
        let before = at.checked_sub(1).and_then(|at| self.writer.text.as_bytes().get(at));
        let is_plain = before.is_some_and(|before| !matches!(before, b'"' | b'\''));
        if is_plain && is_number(value) {
            self.scalar(value.as_bytes());
        } else {
            self.scalar(&quoted(value));
        }
        Ok(())
    }

    fn visit_str<E>(self, value: &str) -> Result<(), E> {
        self.scalar(&quoted(value));
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let Self { writer, depth } = self;
        writer.kinds.push(Kind::Sequence);
        writer.json.push(b'[');
        let start = writer.json.len();
        while items.next_element_seed(Value { writer, depth: depth + 1 })?.is_some() {
            writer.json.push(b',');
        }
        close(&mut writer.json, start, b']');
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        let Self { writer, depth } = self;
        writer.kinds.push(Kind::Mapping);
        writer.json.push(b'{');
        let start = writer.json.len();
        while let Some(key) = members.next_key::<String>()? {
            let member = writer.json.len();
            writer.json.extend(quoted(&key));
            writer.json.push(b':');
            let value = writer.json.len();
            members.next_value_seed(Value { writer, depth: depth + 1 })?;
            if depth == 0 && key == REMOTE && writer.json.get(value) == Some(&b'"') {
                writer.first = writer.json.split_off(member);
                continue;
            }
            if depth == 0 && key == "metadata" {
                writer.decode_bytes(value);
            }
            writer.json.push(b',');
        }
        if depth == 0 && !writer.first.is_empty() {
            let mut first = std::mem::take(&mut writer.first);
            first.push(b',');
            writer.json.splice(start..start, first);
        }
        close(&mut writer.json, start, b'}');
        Ok(())
    }

    fn visit_enum<A: serde::de::EnumAccess<'de>>(self, _: A) -> Result<(), A::Error> {
        Err(A::Error::custom("a value has a tag of its own"))
    }
}

impl Writer<'_> {
    /// The client of LXD 3.8 printed the metadata as a sequence of the bytes of its JSON. (`lxc/monitor.go` at
    /// 6f65bf1a67, mended in a95ba72a9c.)
    fn decode_bytes(&mut self, start: usize) {
        if !self.json[start..].starts_with(b"[123,") {
            return;
        }
        let bytes: Result<Vec<u8>, _> = serde_json::from_slice(&self.json[start..]);
        let text = bytes.ok().and_then(|bytes| String::from_utf8(bytes).ok());
        if let Some(text) = text.filter(|text| Tape::default().parse(text).is_ok()) {
            self.json.truncate(start);
            self.json.extend_from_slice(text.as_bytes());
        }
    }
}

/// Ends a list whose items begin at `start`: replaces the last comma.
fn close(json: &mut Vec<u8>, start: usize, bracket: u8) {
    if json.len() > start {
        json.pop();
    }
    json.push(bracket);
}

/// Reads the texts of the numbers, in the second reading.
struct Numbers<'k> {
    kinds: std::slice::Iter<'k, Kind>,
    texts: Vec<String>,
}

impl Numbers<'_> {
    fn next<'de, D: Deserializer<'de>>(&mut self, deserializer: D) -> Result<(), D::Error> {
        match self.kinds.next() {
            Some(Kind::Number) => {
                let text: String = serde::Deserialize::deserialize(deserializer)?;
                self.texts.push(text);
                Ok(())
            }
            Some(Kind::Mapping) => deserializer.deserialize_map(self),
            Some(Kind::Sequence) => deserializer.deserialize_seq(self),
            Some(Kind::Scalar) | None => deserializer.deserialize_ignored_any(IgnoredAny).map(|_| ()),
        }
    }
}

impl<'de> DeserializeSeed<'de> for &mut Numbers<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        self.next(deserializer)
    }
}

impl<'de> Visitor<'de> for &mut Numbers<'_> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the value of the first reading")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        while items.next_element_seed(&mut *self)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        while members.next_key::<IgnoredAny>()?.is_some() {
            members.next_value_seed(&mut *self)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_and_their_digits() {
        for (yaml, json) in [
            ("a: 1\n", r#"{"a":1}"#),
            ("---\na: [1, x]\nb: {c: ~}\n", r#"{"a":[1,"x"],"b":{"c":null}}"#),
            (
                "a: 1.50\nb: 1e+06\nc: -0\nd: 1.0E+400\ne: 123456789012345678901234567890123456789012345678901234567890\n",
                r#"{"a":1.50,"b":1e+06,"c":-0,"d":1.0E+400,"e":123456789012345678901234567890123456789012345678901234567890}"#,
            ),
            ("a: \"1.0E+400\"\nb: '1'\nc: \"true\"\nd: 1.5\n", r#"{"a":"1.0E+400","b":"1","c":"true","d":1.5}"#),
            ("a: .5\nb: .inf\nc: 0x10\n", r#"{"a":0.5,"b":".inf","c":16}"#),
            ("a: {}\nb: []\n", r#"{"a":{},"b":[]}"#),
            ("1: a\ntrue: b\n\"<<\": c\n", r#"{"1":"a","true":"b","<<":"c"}"#),
            ("b: 1\nremote: n1\ntype: x\n", r#"{"remote":"n1","b":1,"type":"x"}"#),
            ("remote: n1\n", r#"{"remote":"n1"}"#),
            ("remote: [1]\nb: 2\n", r#"{"remote":[1],"b":2}"#),
            ("type: x\nmetadata:\n- 123\n- 34\n- 97\n- 34\n- 58\n- 49\n- 125\n", r#"{"type":"x","metadata":{"a":1}}"#),
            ("a: 2018-12-21T16:47:19Z\n", r#"{"a":"2018-12-21T16:47:19Z"}"#),
            ("a: \"\\u2028\\\"\\\\\"\n", "{\"a\":\"\u{2028}\\\"\\\\\"}"),
        ] {
            assert_eq!(to_json(yaml).unwrap(), json, "{yaml}");
        }
    }

    #[test]
    fn what_is_wrong_and_where() {
        for (yaml, line, says) in
            [("a: 1\nb: [\n", 2, "did not find expected"), ("a: !x 1\n", 0, "tag"), ("a: *b\n", 0, "unknown anchor")]
        {
            let error = to_json(yaml).unwrap_err();
            assert!(error.line == line && error.what.contains(says), "{yaml}: {error:?}");
        }
    }
}
