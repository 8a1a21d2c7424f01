//! Compares whole processes on the same stream: lxmon, `lxc monitor`, `incus monitor`, and minimal readers, whose cost
//! is the lower bound.
//!
//! - `cargo bench --bench peers -- [EVENTS [RUNS [ROWS]]]`: a stand-in server in its own process sends real events as
//!   fast as the client reads them, then closes the connection. The benchmark measures events per second from the first
//!   byte sent to the client's exit, CPU time, peak memory, lost events and events printed after a later one, and then
//!   the time from the start of a client to its first event.
//! - `cargo bench --bench peers -- rate [EVENTS_PER_SECOND [SECONDS [RUNS [ROWS]]]]`: one stand-in server sends events
//!   one by one to all clients at once. The benchmark measures CPU time and context switches per event.
//!
//! `ROWS` selects the rows whose names contain it. The environment variable `LXMON_BENCH_OTHER` is the path of another
//! lxmon, such as an older one, which gets its own rows in the same run.

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
    word.parse().ok().unwrap_or_else(|| panic!("{word:?} is not a number; the usage is in benches/peers.rs"))
}

/// The median of the values.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
