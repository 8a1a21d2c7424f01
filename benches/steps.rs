//! Each step alone, on real events: decoding, filtering, and every renderer. Time is per stream of [`EVENTS`].

#[path = "stream.rs"]
mod stream;

use std::hint::black_box;

use clap::Parser as _;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use lxmon::cli::Cli;
use lxmon::event::json::Tape;
use lxmon::event::{Event, Message, RemoteId};
use lxmon::filter::Filter;
use lxmon::render::pretty::{Options, TimeStyle};
use lxmon::render::{Format, Renderer, Surface};

/// A round through most of what is recorded.
const EVENTS: usize = 2000;

fn decode(message: &Message, tape: Tape) -> Event {
    Event::decode(message.clone(), RemoteId::default(), tape).unwrap()
}

fn steps(criterion: &mut Criterion) {
    let messages: Vec<Message> = stream::events().take(EVENTS).map(Message::from).collect();
    let events: Vec<Event> = messages.iter().map(|message| decode(message, Tape::default())).collect();
    let mut group = criterion.benchmark_group("steps");
    group.throughput(Throughput::Elements(EVENTS as u64));

    group.bench_function("decode", |bencher| {
        let mut spare = Some(Tape::default());
        bencher.iter(|| {
            for message in &messages {
                spare = Some(black_box(decode(message, spare.take().unwrap_or_default())).into_tape());
            }
        });
    });
    for (name, options) in
        [("type", "--type=lifecycle"), ("action", "--action=needle-*"), ("source", "--source=/1.0/instances/c1")]
    {
        let filter = Filter::new(&Cli::try_parse_from(["lxmon", options]).unwrap());
        group.bench_function(format!("filter {name}"), |bencher| {
            bencher.iter(|| events.iter().filter(|event| filter.admits(event)).count());
        });
    }
    let surface = Surface::default();
    let pretty =
        Options { surface, width: None, time: TimeStyle::Local, show_project: true, remote_width: 0, utf8: true };
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

criterion_group!(benches, steps);
criterion_main!(benches);
