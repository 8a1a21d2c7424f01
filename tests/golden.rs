//! Compares lxmon's output with recorded output of `lxc`, for real and for adversarial events.

use std::fmt::Write as _;

use lxmon::event::{Event, Message, RemoteId};
use lxmon::render::Surface;
use lxmon::render::logfmt::Logfmt;
use lxmon::render::yaml::Yaml;
use proptest::strategy::{Strategy as _, ValueTree as _};
use serde::Deserialize;

#[derive(Deserialize)]
pub(crate) struct YamlPair {
    pub(crate) event: String,
    pub(crate) yaml: String,
    pub(crate) reads_back: bool,
}

#[derive(Deserialize)]
struct LinePair {
    event: String,
    line: String,
}

pub(crate) fn pairs<T: for<'de> Deserialize<'de>>(text: &str) -> Vec<T> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn event(text: &str) -> Event {
    Event::decode(Message::from(text), RemoteId::default(), None).unwrap()
}

pub(crate) fn yaml(text: &str) -> String {
    let mut out = Vec::new();
    Yaml::new(Surface::default()).render(&event(text), None, &mut out);
    String::from_utf8(out).unwrap()
}

pub(crate) const YAML_PAIRS: [&str; 3] = [
    include_str!("data/golden/adversarial.lxc-yaml.ndjson"),
    include_str!("data/golden/incus-6.0.4.lxc-yaml.ndjson"),
    include_str!("data/golden/lxd-5.0.2-cluster.lxc-yaml.ndjson"),
];

/// All events of the pairs, and random ones: arbitrary JSON with strings that are difficult to represent in YAML.
pub(crate) fn events() -> Vec<String> {
    let mut events: Vec<_> = YAML_PAIRS.into_iter().flat_map(pairs::<YamlPair>).map(|pair| pair.event).collect();
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let any = crate::support::arbitrary::event();
    events.extend((0..2000).map(|_| any.new_tree(&mut runner).unwrap().current()));
    for number in
        ["123456789012345678901234567890123456789012345678901234567890", "-18446744073709551616", "1E400", "-1e-400"]
    {
        events.push(format!(r#"{{"type":"x","metadata":{{"n":{number}}}}}"#));
    }
    events
}

/// Asserts that there are no differences. The message shows at most five, to keep it readable.
fn report(differences: &[(String, String, String)], total: usize) {
    let mut text = String::new();
    for (event, theirs, ours) in differences.iter().take(5) {
        write!(text, "\n{event}\n--- lxc\n{theirs}\n--- lxmon\n{ours}\n").unwrap();
    }
    assert!(differences.is_empty(), "{} of {total} differ:{text}", differences.len());
}

/// Whether a YAML 1.2 reader gets a different event from lxc's text: it contains a line or paragraph separator that is
/// not at the end of a single-line text. (A YAML 1.1 reader determined `reads_back` in the golden files.)
fn is_torn(yaml: &str) -> bool {
    let mut behind = yaml.split(['\u{85}', '\u{2028}', '\u{2029}']).skip(1);
    behind.any(|text| !text.is_empty() && !text.starts_with("'\n"))
}

#[test]
fn yaml_is_byte_for_byte_what_lxc_prints() {
    let mut differences = Vec::new();
    let mut total = 0;
    for text in YAML_PAIRS {
        for pair in pairs::<YamlPair>(text) {
            // If lxc's text does not read back as the event, ours differs from it. tests/properties.rs and
            // tests/readers.rs check that ours does.
            if !pair.reads_back || is_torn(&pair.yaml) {
                continue;
            }
            total += 1;
            let ours = yaml(&pair.event);
            if ours.strip_prefix("---\n") != Some(&pair.yaml) {
                differences.push((pair.event, pair.yaml, ours));
            }
        }
    }
    assert_eq!(total, 2407);
    report(&differences, total);
}

#[test]
fn logfmt_is_byte_for_byte_what_lxc_prints() {
    let mut differences = Vec::new();
    let mut total = 0;
    for text in [
        include_str!("data/golden/incus-6.0.4.lxc-pretty.ndjson"),
        include_str!("data/golden/lxd-5.0.2-cluster.lxc-pretty.ndjson"),
    ] {
        for pair in pairs::<LinePair>(text) {
            // In operations, lxc prints nested values in Go's format for maps; lxmon prints JSON.
            if pair.event.starts_with("{\"type\":\"operation\"") {
                continue;
            }
            total += 1;
            let mut out = Vec::new();
            Logfmt::new(Surface::default()).render(&event(&pair.event), None, &mut out);
            let ours = String::from_utf8(out).unwrap();
            if ours.trim_end_matches('\n') != pair.line {
                differences.push((pair.event, pair.line, ours));
            }
        }
    }
    assert!(total > 100);
    report(&differences, total);
}

#[test]
fn the_example_of_the_documentation() {
    let text = r#"{"type":"lifecycle","timestamp":"2021-03-14T00:00:00Z","metadata":{"action":"network-updated","source":"/1.0/networks/lxdbr0","requestor":{"username":"root","protocol":"unix"}},"location":"cluster_name"}"#;
    let expected = "---\nlocation: cluster_name\nmetadata:\n  action: network-updated\n  requestor:\n    protocol: unix\n    \
                    username: root\n  source: /1.0/networks/lxdbr0\ntimestamp: \"2021-03-14T00:00:00Z\"\ntype: lifecycle\n";
    assert_eq!(yaml(text), expected);
}

#[test]
fn what_stands_before_a_value_counts_in_characters() {
    let value = "xhdewi bf mmek xudzgcs nodab mc pdkaflw ysduknknzspx x opfofxk sivln more";
    let text = format!(r#"{{"type":"x","漢字":{{"漢字漢字":"{value}"}}}}"#);
    assert_eq!(yaml(&text), format!("---\ntype: x\n漢字:\n  漢字漢字: {value}\n"));
}
