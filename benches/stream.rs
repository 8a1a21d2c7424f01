//! The events that the benchmarks run on: real ones of LXD and Incus, as recorded for the golden tests.

use std::borrow::Cow;

/// The recordings.
const RECORDINGS: [&str; 2] = [
    include_str!("../tests/data/golden/incus-6.0.4.lxc-yaml.ndjson"),
    include_str!("../tests/data/golden/lxd-5.0.2-cluster.lxc-yaml.ndjson"),
];

/// Events longer than this are left out of the stream: a debug trace of one request would be half of its bytes.
const LONGEST: usize = 4 << 10;

/// Between the timestamps of two events, in microseconds.
const STEP: u64 = 100;

/// Of so many events one is what the filter `-a needle-*` keeps.
const KEPT: u64 = 100;

/// What the filter keeps, around its timestamp.
const NEEDLE: [&str; 2] = [
    r#"{"timestamp":""#,
    r#"","type":"lifecycle","metadata":{"action":"needle-found","source":"/1.0/needles/1"},"location":"none","project":"default"}"#,
];

/// The stream's events without end, with timestamps of their own; the texts carry the newline that the servers send.
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

/// The stream's events without end: what is before and after each one's timestamp.
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
