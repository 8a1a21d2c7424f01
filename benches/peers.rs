//! Whole processes on the same stream: lxmon, `lxc monitor`, `incus monitor`, and readers that only copy as the floor.
//!
//! - `cargo bench --bench peers -- [EVENTS [RUNS [ROWS]]]`: a stand-in server in a process of its own sends real events
//!   as fast as the client reads them, then closes. Measured are events per second from the first byte sent to the
//!   client's exit, CPU time, peak memory, events lost and events printed after a later one; then the time from start to
//!   first event.
//! - `cargo bench --bench peers -- rate [EVENTS_PER_SECOND [SECONDS [RUNS [ROWS]]]]`: one stand-in server sends events
//!   one by one to all clients at once. Measured are CPU time and context switches per event.
//!
//! `ROWS` is a part of the names of the rows that are wanted. `LXMON_BENCH_OTHER` in the environment is the path of
//! another lxmon, an older one say, which gets rows of its own in the same run.

#[path = "peers/client.rs"]
mod client;
#[path = "peers/meter.rs"]
mod meter;
#[path = "peers/rate.rs"]
mod rate;
#[path = "peers/server.rs"]
mod server;
#[path = "peers/speed.rs"]
mod speed;
#[path = "stream.rs"]
mod stream;

use std::path::Path;
use std::str::FromStr;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let words: Vec<_> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["serve", directory, servers, events] => {
            server::at_full_speed(Path::new(directory), number(servers), number(events));
        }
        ["serve-at-rate", directory, clients, rate, seconds] => {
            server::at_rate(Path::new(directory), number(clients), number(rate), number(seconds));
        }
        ["copy", socket] => client::copy(Path::new(socket)),
        ["read", socket] => client::read(Path::new(socket)),
        ["rate", ref rest @ ..] => {
            rate::compare(option(rest, 0, 200), option(rest, 1, 20), option(rest, 2, 3), rest.get(3).unwrap_or(&""));
        }
        ref rest => {
            speed::compare(option(rest, 0, 200_000), option(rest, 1, 3), rest.get(2).unwrap_or(&""));
        }
    }
}

fn option<N: FromStr>(words: &[&str], index: usize, default: N) -> N {
    words.get(index).map_or(default, |word| number(word))
}

fn number<N: FromStr>(word: &str) -> N {
    word.parse().ok().unwrap_or_else(|| panic!("{word:?} is not a number; usage: the head of benches/peers.rs"))
}

/// The value in the middle.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
