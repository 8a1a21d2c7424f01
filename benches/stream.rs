//! The events of the benchmarks: real events of LXD and Incus that were recorded for the golden tests.

use std::borrow::Cow;

/// The recordings.
const RECORDINGS: [&str; 2] = [
    include_str!("../tests/data/golden/incus-6.0.4.lxc-yaml.ndjson"),
    include_str!("../tests/data/golden/lxd-5.0.2-cluster.lxc-yaml.ndjson"),
];

/// Events longer than this are left out of the stream, in bytes: a debug trace of one request would make up half of it.
const LONGEST: usize = 4 << 10;

/// The time between the timestamps of two events, in microseconds.
const STEP: u64 = 100;

/// One of this many events passes the filter `-a needle-*`.
const KEPT: u64 = 100;

/// The event that passes the filter: the texts before and after its timestamp.
const NEEDLE: [&str; 2] = [
    r#"{"timestamp":""#,
    r#"","type":"lifecycle","metadata":{"action":"needle-found","source":"/1.0/needles/1"},"location":"none","project":"default"}"#,
];

/// An endless stream of events with consecutive timestamps. Each text ends with a newline, as the servers send it.
pub(crate) fn events() -> impl Iterator<Item = String> {
    (0..).zip(parts()).map(|(number, [before, after]): (u64, _)| {
        let micros = 1_800_000_000_000_000 + i64::try_from(number * STEP).unwrap();
        format!("{before}{}{after}\n", time(chrono::DateTime::from_timestamp_micros(micros).unwrap()))
    })
}

/// A time as Go prints it.
pub(crate) fn time(time: chrono::DateTime<chrono::Utc>) -> impl std::fmt::Display {
    time.format("%Y-%m-%dT%H:%M:%S%.9fZ")
}

/// An endless stream of events: the texts before and after the timestamp of each.
pub(crate) fn parts() -> impl Iterator<Item = [Cow<'static, str>; 2]> {
    let recorded: Vec<[Cow<'static, str>; 2]> = RECORDINGS
        .iter()
        .flat_map(|text| text.lines())
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["event"].as_str().unwrap().to_owned())
        .filter(|event| event.len() <= LONGEST)
        .map(|event| {
            let mark = "\"timestamp\":\"";
            let start = event.find(mark).unwrap() + mark.len();
            let end = start + event[start..].find('"').unwrap();
            [event[..start].to_owned().into(), event[end..].to_owned().into()]
        })
        .collect();
    (0..).map(move |number: u64| {
        if number.is_multiple_of(KEPT) {
            NEEDLE.map(Cow::Borrowed)
        } else {
            recorded[usize::try_from(number).unwrap() % recorded.len()].clone()
        }
    })
}
