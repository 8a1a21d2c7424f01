//! Benchmarks of single steps on real events: decoding, filtering, and every renderer. Times are for [`EVENTS`] events.

#[path = "stream.rs"]
mod stream;

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use lxmon::event::{Event, Message, RemoteId, Spare};
use lxmon::filter::{Filter, Selection};
use lxmon::render::pretty::Options;
use lxmon::render::{Format, Renderer, Surface};

/// The number of events, enough for almost all recorded ones.
const EVENTS: usize = 2000;

fn decode(message: &Message, spare: Option<Spare>) -> Event {
    Event::decode(message.clone(), RemoteId::default(), spare).unwrap()
}

fn steps(criterion: &mut Criterion) {
    let messages: Vec<Message> = stream::events().take(EVENTS).map(Message::from).collect();
    let events: Vec<Event> = messages.iter().map(|message| decode(message, None)).collect();
    let mut group = criterion.benchmark_group("steps");
    group.throughput(Throughput::Elements(EVENTS as u64));

    group.bench_function("decode", |bencher| {
        let mut spare = None;
        bencher.iter(|| {
            for message in &messages {
                spare = black_box(decode(message, spare.take())).into_spare();
            }
        });
    });
    let only = |value: &str| vec![value.to_owned()];
    for (name, selection) in [
        ("type", Selection { types: only("lifecycle"), ..Selection::default() }),
        ("action", Selection { actions: only("needle-*"), ..Selection::default() }),
        ("remote's project", Selection { remote_projects: only("default"), ..Selection::default() }),
        ("instance", Selection { instances: only("needle-*"), ..Selection::default() }),
        ("requestor", Selection { requestors: only("needle-*"), ..Selection::default() }),
        ("failed", Selection { failed: true, ..Selection::default() }),
        ("source", Selection { sources: only("/1.0/instances/c1"), ..Selection::default() }),
    ] {
        let mut filter = Filter::new(&selection);
        group.bench_function(format!("filter {name}"), |bencher| {
            bencher.iter(|| events.iter().filter(|event| filter.admits(event)).count());
        });
    }
    let surface = Surface::default();
    let pretty = Options { surface, show_project: true, utf8: true, ..Options::default() };
    for format in [Format::Json, Format::Yaml, Format::Logfmt, Format::Pretty] {
        let mut renderer = Renderer::new(format, surface, &pretty);
        let mut out = Vec::new();
        group.bench_function(format!("render {format:?}").to_lowercase(), |bencher| {
            bencher.iter(|| {
                for event in &events {
                    out.clear();
                    renderer.render(event, None, &mut out);
                    black_box(&out);
                }
            });
        });
    }
    group.finish();
}

/// A log line of about `size` bytes, most of which are in the members of its context.
fn sized(size: usize) -> Message {
    let (head, tail) =
        (r#"{"type":"logging","timestamp":"2027-01-15T08:00:00.5Z","metadata":{"message":"many","context":{"#, "}}}");
    let members: Vec<String> = (0..size.saturating_sub(head.len() + tail.len()) / 30)
        .map(|number| format!(r#""k{number:06}":"value {number:08}""#))
        .collect();
    Message::from(format!("{head}{}{tail}", members.join(",")))
}

/// Benchmarks decoding and rendering for several sizes. The throughput shows whether the cost is linear.
fn sizes(criterion: &mut Criterion) {
    let surface = Surface::default();
    let pretty = Options { surface, show_project: true, utf8: true, ..Options::default() };
    for format in [Format::Json, Format::Yaml, Format::Logfmt, Format::Pretty] {
        let mut group = criterion.benchmark_group(format!("sizes {format:?}").to_lowercase());
        for size in [200, 2 << 10, 20 << 10, 200 << 10, 1 << 20] {
            let message = sized(size);
            group.throughput(Throughput::Bytes(message.len() as u64));
            let mut renderer = Renderer::new(format, surface, &pretty);
            let (mut spare, mut out) = (None, Vec::new());
            group.bench_function(size.to_string(), |bencher| {
                bencher.iter(|| {
                    out.clear();
                    let event = decode(&message, spare.take());
                    renderer.render(&event, None, &mut out);
                    spare = event.into_spare();
                    black_box(&out);
                });
            });
        }
        group.finish();
    }
}

criterion_group!(benches, steps, sizes);
criterion_main!(benches);
