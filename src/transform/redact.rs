//! `--redact`: replaces secrets in an event with `***`.
//!
//! Secrets are found by the keys of the event and within its strings (`text`), never by the description of an operation,
//! which differs between the servers. Where the servers put them: the file `names`. Everything else keeps its bytes. An
//! event without secrets is not copied.

mod names;
mod text;

use std::ops::Range;

use self::names::Rule;
use crate::event::json::{Content, Text, Value};
use crate::event::{Event, Type};

/// What stands in place of a secret.
const MARK: &str = "***";

/// Finds and replaces secrets.
#[derive(Debug, Default)]
pub(super) struct Redact {
    /// The parts of the current event that are replaced, in order.
    cuts: Vec<Cut>,
    /// Buffers for the secrets within one string.
    found: Vec<Range<usize>>,
    decoded: String,
}

/// A part of the text that is replaced.
#[derive(Clone, Debug)]
struct Cut {
    range: Range<usize>,
    /// Whether the replacement needs quotation marks: it takes the place of a number.
    needs_quotes: bool,
}

impl Redact {
    /// The text of the event without its secrets; `None` if it has none.
    pub(super) fn redacted(&mut self, event: &Event) -> Option<String> {
        self.cuts.clear();
        let root = event.root();
        if event.event_type() == Type::Config {
            self.setting(root);
        } else {
            self.value(root, root, Rule::Public, true);
        }
        if self.cuts.is_empty() {
            return None;
        }
        // All of the message: white space can stand before the event.
        let text = root.text();
        let mut out = String::with_capacity(text.len());
        let mut at = 0;
        for Cut { range, needs_quotes } in &self.cuts {
            out.push_str(&text[at..range.start]);
            let quote = if *needs_quotes { "\"" } else { "" };
            out.extend([quote, MARK, quote]);
            at = range.end;
        }
        out.push_str(&text[at..]);
        Some(out)
    }

    /// An event about a configuration key of a guest (`lxd/devlxd.go`): its values are the user's own.
    fn setting(&mut self, root: Value<'_>) {
        for (key, member) in root.members() {
            if !key.is("metadata") {
                self.member(root, &key.cow(), member, Rule::Public);
                continue;
            }
            for (key, value) in member.members() {
                let is_value = key.is("value") || key.is("old_value");
                self.member(root, &key.cow(), value, if is_value { Rule::Secret } else { Rule::Public });
            }
        }
    }

    fn member(&mut self, root: Value<'_>, key: &str, value: Value<'_>, outer: Rule) {
        let rule = if outer == Rule::Secret { Rule::Secret } else { names::rule(key) };
        self.value(root, value, rule, true);
    }

    /// Finds the secrets of a value to which `rule` applies. `is_first`: it is no further argument of a command line.
    fn value(&mut self, root: Value<'_>, value: Value<'_>, rule: Rule, is_first: bool) {
        match value.content() {
            Content::Object(members) => {
                for (key, value) in members {
                    self.member(root, &key.cow(), value, rule);
                }
            }
            Content::Array(items) => {
                for (index, item) in items.enumerate() {
                    self.value(root, item, rule, index == 0);
                }
            }
            Content::String(string) if rule == Rule::Public => self.string(root, string),
            Content::String(string) => {
                let start = offset(root, string.raw);
                let skipped = text::command_start(string.raw, 0, rule, is_first);
                self.cut(start + skipped..start + string.raw.len(), false);
            }
            Content::Number(digits) if rule != Rule::Public => {
                let start = offset(root, digits);
                self.cut(start..start + digits.len(), true);
            }
            Content::Number(_) | Content::Bool(_) | Content::Null => {}
        }
    }

    fn cut(&mut self, range: Range<usize>, needs_quotes: bool) {
        if !range.is_empty() {
            self.cuts.push(Cut { range, needs_quotes });
        }
    }

    /// Finds the secrets within a string.
    fn string(&mut self, root: Value<'_>, string: Text<'_>) {
        self.found.clear();
        text::find(string.decode(&mut self.decoded), &mut self.found);
        if self.found.is_empty() {
            return;
        }
        string.raw_ranges(&mut self.found);
        let start = offset(root, string.raw);
        let found = self.found.drain(..);
        self.cuts.extend(found.map(|range| Cut { range: start + range.start..start + range.end, needs_quotes: false }));
    }
}

/// Where `part`, a part of the text of `root`, begins in it.
fn offset(root: Value<'_>, part: &str) -> usize {
    part.as_ptr().addr() - root.text().as_ptr().addr()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::event::event;

    fn redacted(text: &str) -> String {
        Redact::default().redacted(&event(text)).unwrap_or_else(|| text.to_owned())
    }

    #[test]
    fn by_key_at_any_depth_and_nothing_else() {
        for (metadata, shown) in [
            (
                r#"{"metadata":{"fds":{"0":"ab","control":"cd"},"command":["mysql","-psecret"],"environment":{"PW":"x","E":""},"interactive":true}}"#,
                r#"{"metadata":{"fds":{"0":"***","control":"***"},"command":["mysql","***"],"environment":{"PW":"***","E":""},"interactive":true}}"#,
            ),
            (
                r#"{"metadata":{"control":"a","fs":"b","criu":"c"}}"#,
                r#"{"metadata":{"control":"***","fs":"***","criu":"***"}}"#,
            ),
            (
                r#"{"metadata":{"secret":"s","request":{"trust_token":"t","password":"","token":true,"name":"n"}}}"#,
                r#"{"metadata":{"secret":"***","request":{"trust_token":"***","password":"","token":true,"name":"n"}}}"#,
            ),
            (
                r#"{"metadata":{"key":{"name":"admin","access-key":"a","secret-key":"b","role":"admin"}}}"#,
                r#"{"metadata":{"key":{"name":"admin","access-key":"***","secret-key":"***","role":"admin"}}}"#,
            ),
            (
                r#"{ "s\u0065cret" : "a\"b" , "n":1.0e+400, "secret":"2" }"#,
                r#"{ "s\u0065cret" : "***" , "n":1.0e+400, "secret":"***" }"#,
            ),
            (
                r#"{"password":1.5e3,"tokens":["a",[2],null,{"x":false}]}"#,
                r#"{"password":"***","tokens":["***",["***"],null,{"x":false}]}"#,
            ),
            (
                r#"{"context":{"url":"/1.0/operations/1/websocket?public=1\u0026secret=ab\u0026x=\u00e9"},"message":"m"}"#,
                r#"{"context":{"url":"/1.0/operations/1/websocket?public=1\u0026secret=***\u0026x=\u00e9"},"message":"m"}"#,
            ),
            (
                r#"{"message":"API Request\n\t{\n\t\t\"secret\": \"ce04\",\n\t\t\"\ud83d\ude00\": \"\t\"\n"}"#,
                r#"{"message":"API Request\n\t{\n\t\t\"secret\": \"***\",\n\t\t\"\ud83d\ude00\": \"\t\"\n"}"#,
            ),
            (
                r#"{"command":"ls","fingerprint":"f","certificate":"c"}"#,
                r#"{"command":"ls","fingerprint":"f","certificate":"c"}"#,
            ),
        ] {
            let whole = |metadata: &str| format!(r#"{{"type":"operation","metadata":{metadata}}}"#);
            assert_eq!(redacted(&whole(metadata)), whole(shown));
        }
    }

    #[test]
    fn the_values_of_a_guests_configuration() {
        let text = r#"{"metadata":{"key":"user.x","old_value":"a","value":"b"},"timestamp":"t","type":"config"}"#;
        let shown = r#"{"metadata":{"key":"user.x","old_value":"***","value":"***"},"timestamp":"t","type":"config"}"#;
        assert_eq!(redacted(text), shown);
        let other = text.replace("\"config\"", "\"lifecycle\"");
        assert_eq!(redacted(&other), other);
    }

    #[test]
    fn white_space_around_the_event_moves_nothing() {
        let text = "\r\n {\"type\":\"x\",\"secret\":\"ab\",\"m\":\"password: cd\"}\n";
        assert_eq!(redacted(text), text.replace("ab", MARK).replace("cd", MARK));
    }

    #[test]
    fn an_event_without_secrets_is_not_copied() {
        let text =
            r#"{"type":"lifecycle","metadata":{"action":"instance-started","source":"/1.0/instances/c1?project=p"}}"#;
        assert_eq!(Redact::default().redacted(&event(text)), None);
    }

    /// A text that is hidden nowhere else.
    const SECRET: &str = "hunter2hunter2";

    /// JSON in which `SECRET` occurs only where it is secret.
    fn any_value() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            Just(serde_json::Value::Null),
            any::<bool>().prop_map(Into::into),
            any::<i64>().prop_map(Into::into),
            any::<f64>().prop_map(Into::into),
            "[ -~é\t\n]{0,12}".prop_map(Into::into),
            "[a-z]{0,4}".prop_map(|path| format!("/1.0/{path}?secret={SECRET}&a=\"1\"").into()),
            ("[a-z é]{0,4}", "secret|password|trust_token").prop_map(|(a, key)| {
                format!("{a}\n\t{}", serde_json::to_string_pretty(&serde_json::json!({"a": a, key: SECRET})).unwrap())
                    .into()
            }),
        ];
        let public = prop_oneof!["[a-z]{0,3}", "[A-Z\"\\\\é]{0,3}"];
        let secret = prop_oneof!["secret", "fds", "trust_token", "password", "environment", "secret-key"];
        leaf.prop_recursive(5, 48, 6, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Into::into),
                prop::collection::btree_map(public.clone(), inner.clone(), 0..6)
                    .prop_map(|map| map.into_iter().collect()),
                (secret.clone(), inner)
                    .prop_map(|(key, value)| { serde_json::json!({key: [SECRET, value, {"0": SECRET, "x": 7}]}) }),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_left_is_json_without_secrets_and_the_rest_has_its_bytes(value in any_value(), pretty: bool) {
            let metadata = if pretty { serde_json::to_string_pretty(&value).unwrap() } else { value.to_string() };
            let text = format!(r#"{{"type":"x","n":1.0e+400,"metadata":{metadata}}}"#);
            let shown = redacted(&text);
            prop_assert!(!shown.contains(SECRET), "{}", shown);
            let parsed = serde_json::from_str::<serde::de::IgnoredAny>(&shown);
            prop_assert!(parsed.is_ok(), "{}", shown);
            // What stands between the marks stands in the original, in the same order.
            let mut rest = &*text;
            for part in shown.split(MARK) {
                let part = part.trim_matches('"');
                let at = rest.find(part);
                prop_assert!(at.is_some(), "{:?} of {} is not in {}", part, shown, text);
                rest = &rest[at.unwrap() + part.len()..];
            }
            prop_assert_eq!(redacted(&shown), shown.clone(), "a second time");
        }

        #[test]
        fn any_event_can_be_redacted(event_text in r#"\{"type":"[a-z]{0,9}","(secret|command|fds|x)":("(\\\\|\\"|\\u0073ecret=|[a-z=:{] ?){0,12}"|\[1,"x"\]|-0\.5)\}"#) {
            let shown = redacted(&event_text);
            prop_assert!(serde_json::from_str::<serde::de::IgnoredAny>(&shown).is_ok(), "{}", shown);
        }
    }
}
