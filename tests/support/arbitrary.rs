//! Random events, such as no server sends, which must be printed nevertheless.

use proptest::prelude::*;
use proptest::string::RegexGeneratorStrategy;

/// Strings that this regular expression matches. (A string as a strategy is parsed for each value.)
fn matching(expression: &str) -> RegexGeneratorStrategy<String> {
    prop::string::string_regex(expression).unwrap()
}

/// Strings that often contain text which formats or terminals treat specially.
fn text() -> impl Strategy<Value = String> {
    let word = prop_oneof![
        matching("[a-z/.-]{0,12}"),
        matching("[-+0-9._:eExXobTZ ]{1,12}"),
        matching("[-?:,\\[\\]{}#&*!|>'\"%@`=~<\\\\ \t\n]{1,8}"),
        prop::sample::select(vec![
            "yes",
            "No",
            "null",
            "~",
            "=",
            "<<",
            "---",
            "...",
            "- a",
            "? b",
            "a: b",
            "a #b",
            " lead",
            "trail ",
            "\n",
            "a\n",
            "a\n\n",
            "\na",
            "a\n b",
            " \n",
            "\t",
            "\r\n",
            "\u{85}",
            "\u{2028}",
            "\u{feff}",
            "\u{202e}abc",
            "\u{1b}[31m",
            "\u{9b}",
            "\u{0}",
            "\u{7f}",
            "\u{a0}",
            "\u{fffe}",
            "\u{1f600}",
            "e\u{301}",
            "漢字",
            "2026-01-02",
            "0x1F",
            "1_000",
            "1:30",
            ".5",
            "1e5",
        ])
        .prop_map(str::to_owned),
        // As `any::<String>()`.
        matching("\\PC*"),
        matching("[a-z]{1,9}( [a-z]{1,12}){8,24}"),
    ];
    prop::collection::vec(word, 1..4).prop_map(|words| words.concat())
}

/// A JSON number as text. No integer exceeds 64 bits, because the tests' YAML parser does not support such integers.
fn number() -> impl Strategy<Value = String> {
    prop_oneof![
        matching("-?(0|[1-9][0-9]{0,17})"),
        matching("-?(0|[1-9][0-9]{0,24})\\.[0-9]{1,20}([eE][-+]?[0-9]{1,2})?"),
        matching("-?(0|[1-9][0-9]{0,9})[eE][-+]?[0-9]{1,2}"),
    ]
}

fn leaf() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("null".to_owned()),
        Just("true".to_owned()),
        Just("false".to_owned()),
        number(),
        text().prop_map(|text| quoted(&text)),
        text().prop_map(|text| quoted(&text)),
    ]
}

fn object<'m>(members: impl IntoIterator<Item = (&'m String, &'m String)>) -> String {
    let members: Vec<_> = members.into_iter().map(|(key, value)| format!("{}:{value}", quoted(key))).collect();
    format!("{{{}}}", members.join(","))
}

/// Any JSON value as text: branched, deep or wide.
fn value() -> impl Strategy<Value = String> {
    let bushy = leaf().prop_recursive(8, 48, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(|items| format!("[{}]", items.join(","))),
            prop::collection::btree_map(text(), inner, 0..6).prop_map(|members| object(&members)),
        ]
    });
    // YAML parsers reject documents with more than about a hundred levels.
    let deep =
        (leaf(), prop::collection::vec(any::<bool>(), 1..80)).prop_map(|(leaf, levels)| {
            levels.into_iter().fold(leaf, |inner, is_array| {
                if is_array { format!("[{inner}]") } else { object([(&"k".to_owned(), &inner)]) }
            })
        });
    let wide = prop::collection::btree_map(text(), leaf(), 50..150).prop_map(|members| object(&members));
    prop_oneof![20 => bushy, 1 => deep, 1 => wide]
}

fn quoted(text: &str) -> String {
    serde_json::to_string(text).unwrap()
}

/// An event with any type and any contents.
pub(crate) fn event() -> impl Strategy<Value = String> {
    let kind = prop_oneof![
        prop::sample::select(lxmon::event::Type::KNOWN.map(lxmon::event::Type::name).to_vec()).prop_map(str::to_owned),
        text(),
    ];
    let metadata = prop_oneof![
        value(),
        (text(), text(), text(), value()).prop_map(|(action, source, user, context)| format!(
            r#"{{"action":{},"source":{},"requestor":{{"username":{},"protocol":"tls"}},"context":{context}}}"#,
            quoted(&action),
            quoted(&source),
            quoted(&user)
        )),
        (text(), text(), value()).prop_map(|(message, level, context)| format!(
            r#"{{"message":{},"level":{},"context":{context}}}"#,
            quoted(&message),
            quoted(&level)
        )),
        (text(), text(), text(), value()).prop_map(|(id, description, err, details)| format!(
            r#"{{"id":{},"description":{},"status":"Failure","status_code":400,"err":{},"metadata":{details},"resources":{{"instances":[{}]}}}}"#,
            quoted(&id),
            quoted(&description),
            quoted(&err),
            quoted(&err)
        )),
        (text(), text(), leaf(), any::<u8>()).prop_map(|(stage, path, number, id)| format!(
            r#"{{"id":"{}","description":"Doing something","status":{},"status_code":{},"child_count":{number},"metadata":{{"entity_url":{},"original_entity_url":{},"progress":{{"stage":"fs","percent":{number}}},"fs_progress":{},"block_progress":{},"return":{number},"listen_address":{}}}}}"#,
            id % 4,
            quoted(&stage),
            [103, 105, 200, 400, 401][usize::from(id) % 5],
            quoted(&path),
            quoted(&path),
            quoted(&stage),
            quoted(&path),
            quoted(&stage)
        )),
        (text(), text(), value()).prop_map(|(name, path, config)| format!(
            r#"{{"name":{},"description":{},"request_path":{},"requestor":{{"username":"","protocol":{},"address":{}}},"key":{},"old_value":{},"value":{},"action":"added","config":{config}}}"#,
            quoted(&name),
            quoted(&path),
            quoted(&path),
            quoted(&name),
            quoted(&path),
            quoted(&name),
            quoted(&path),
            quoted(&name)
        )),
    ];
    (kind, text(), metadata, text(), text()).prop_map(|(kind, time, metadata, location, project)| {
        format!(
            r#"{{"type":{},"timestamp":{},"metadata":{metadata},"location":{},"project":{}}}"#,
            quoted(&kind),
            quoted(&time),
            quoted(&location),
            quoted(&project)
        )
    })
}

/// An event of an operation in progress, with any texts.
pub(crate) fn running() -> impl Strategy<Value = String> {
    (text(), text(), text(), text(), value()).prop_map(|(id, description, place, progress, command)| {
        let [id, description, place, progress] = [id, description, place, progress].map(|text| quoted(&text));
        format!(
            r#"{{"type":"operation","timestamp":"2026-11-26T14:03:07Z","metadata":{{"id":{id},"class":"task","description":{description},"created_at":"2026-11-26T14:03:02Z","status":"Running","status_code":103,"resources":{{"instances":[{place}]}},"metadata":{{"fs_progress":{progress},"command":{command}}}}},"location":{place},"project":{place}}}"#
        )
    })
}
