//! A low rate of events, sent one by one: the cost of each event, compared with the servers' own clients.

use std::fs::{self, File};
use std::io::Read;
use std::path::Path;
use std::process::{Child, ChildStdout, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::client::Client;
use crate::median;
use crate::meter::{Meter, Usage};
use crate::server::{StandIn, WARM_UP};

/// The wait after the last event, so that all clients can print it: the sort window, and a margin for a busy machine.
const SETTLE: Duration = Duration::from_millis(300);

/// How often the usage of all threads is read, because that of a thread is lost when it ends.
const LOOK: Duration = Duration::from_secs(1);

/// The standard output of a client.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Output {
    Pipe,
    /// A file in memory.
    File,
}

struct Row {
    client: Client,
    output: Output,
    /// Whether the client prints one line for each event.
    counts: bool,
    costs: Vec<Cost>,
}

/// The cost of one run, per event.
struct Cost {
    micros: f64,
    switches: f64,
    involuntary: f64,
    lost: u64,
}

pub(crate) fn compare(rate: u64, seconds: u64, runs: usize, wanted: &str) {
    let mut rows = rows();
    rows.retain(|row| row.client.name.contains(wanted));
    assert!(!rows.is_empty(), "no row has {wanted:?} in its name");
    println!("{rate} events/s for {seconds} s, all clients at once, median of {runs} runs, output read from a pipe");
    let late = (0..runs).map(|_| run(&mut rows, rate, seconds)).max().unwrap_or(0);

    let of = |row: &Row, figure: fn(&Cost) -> f64| median(row.costs.iter().map(figure).collect());
    let cpu = |row: &Row| of(row, |cost| cost.micros);
    let peer = rows.iter().find(|row| row.client.name == "lxc json").map(cpu);
    println!(
        "{:24} {:>10} {:>9} {:>11} {:>13} {:>7} {:>12}",
        "", "CPU µs", "(least,", "most)", "switches", "lost", "of lxc json"
    );
    for row in &rows {
        let all: Vec<_> = row.costs.iter().map(|cost| cost.micros).collect();
        let (least, most) = (all.iter().copied().fold(f64::MAX, f64::min), all.iter().copied().fold(0.0, f64::max));
        let switches = format!("{:.2} + {:.2}", of(row, |cost| cost.switches), of(row, |cost| cost.involuntary));
        let lost = row.costs.iter().map(|cost| cost.lost).max().unwrap_or(0);
        let lost = if row.counts { lost.to_string() } else { "-".into() };
        let share = peer.map_or("-".into(), |peer| format!("1/{:.1}", peer / cpu(row)));
        println!(
            "{:24} {:>10.1} {least:>9.1} {most:>11.1} {switches:>13} {lost:>7} {share:>12}",
            row.client.name,
            cpu(row)
        );
    }
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    println!(
        "\nper event; switches: voluntary + involuntary; goal: lxmon json and lxmon pretty at most 1/8 of lxc json"
    );
    println!(
        "greatest delay of a sent event {late} ms; load average {}",
        load.split(' ').take(3).collect::<Vec<_>>().join(" ")
    );
}

fn rows() -> Vec<Row> {
    let row = |client, output, counts| Row { client, output, counts, costs: Vec::new() };
    let mut rows = vec![row(Client::own("bare reader", "read"), Output::Pipe, true)];
    let json = ["SOCKET", "-f", "json"];
    rows.extend(Client::lxmon("json", &json).map(|client| row(client, Output::Pipe, true)));
    rows.extend(Client::lxmon("json to a file", &json).map(|client| row(client, Output::File, true)));
    let unsorted = [&json[..], &["--sort-window", "0"]].concat();
    rows.extend(Client::lxmon("json, no window", &unsorted).map(|client| row(client, Output::Pipe, true)));
    let filtered = [&json[..], &["-a", "needle-*"]].concat();
    rows.extend(Client::lxmon("json, 1 % filter", &filtered).map(|client| row(client, Output::Pipe, false)));
    rows.extend(Client::lxmon("pretty", &["SOCKET", "-f", "pretty"]).map(|client| row(client, Output::Pipe, false)));
    for program in ["lxc", "incus"] {
        rows.extend(Client::peer(program, "json", &["--format", "json"]).map(|client| row(client, Output::Pipe, true)));
        rows.extend(Client::peer(program, "pretty", &["--pretty"]).map(|client| row(client, Output::Pipe, false)));
    }
    rows
}

/// A running client.
struct Running {
    row: usize,
    process: Child,
    meter: Meter,
    before: Usage,
    /// The thread that reads the pipe of the client and counts the lines.
    reader: Option<JoinHandle<u64>>,
}

/// Runs all clients once. Returns the greatest delay with which the server sent an event, in milliseconds.
fn run(rows: &mut [Row], rate: u64, seconds: u64) -> u64 {
    let directory = tempfile::tempdir().unwrap();
    let memory = tempfile::tempdir_in("/dev/shm").unwrap();
    let clients = rows.len() as u64;
    let mut server = StandIn::start("serve-at-rate", directory.path(), 1, &[clients, rate, seconds]);
    let file = |number: usize| memory.path().join(number.to_string());
    // The order is random because it decides on which processor a client starts, and a client tends to stay there.
    let mut order: Vec<_> = (0..rows.len()).collect();
    fastrand::shuffle(&mut order);
    let mut running: Vec<_> =
        order.iter().map(|&number| start(number, &rows[number], directory.path(), &file(number))).collect();
    running.sort_unstable_by_key(|one| one.row);

    server.wait_for("begin");
    for one in &mut running {
        one.before = one.meter.usage();
    }
    let late = while_it_sends(&mut server, || {
        for one in &mut running {
            one.meter.usage();
        }
    });
    std::thread::sleep(SETTLE);

    let events = seconds * rate;
    let after: Vec<_> = running.iter_mut().map(|one| one.meter.usage()).collect();
    for ((row, mut one), after) in rows.iter_mut().zip(running).zip(after) {
        assert!(one.process.try_wait().unwrap().is_none(), "{} has ended by itself", row.client.name);
        one.process.kill().unwrap();
        one.process.wait().unwrap();
        let lines = match one.reader {
            Some(reader) => reader.join().unwrap(),
            None => count_lines(File::open(file(one.row)).unwrap()),
        };
        #[expect(clippy::cast_precision_loss, reason = "shown with few digits")]
        let each = |count: u64| count as f64 / events as f64;
        row.costs.push(Cost {
            micros: after.cpu.saturating_sub(one.before.cpu).as_secs_f64() * 1e6 * each(1),
            switches: each(after.voluntary - one.before.voluntary),
            involuntary: each(after.involuntary - one.before.involuntary),
            lost: (events + WARM_UP * rate).saturating_sub(lines),
        });
    }
    late
}

/// Calls `now_and_then` once per [`LOOK`] until the server has sent everything. Returns the greatest delay with which
/// the server sent an event, in milliseconds.
fn while_it_sends(server: &mut StandIn, mut now_and_then: impl FnMut()) -> u64 {
    let (sender, receiver) = mpsc::channel();
    std::thread::scope(|scope| {
        scope.spawn(move || sender.send(server.wait_for("end ")));
        loop {
            match receiver.recv_timeout(LOOK) {
                Ok(late) => return late.parse().unwrap(),
                Err(RecvTimeoutError::Timeout) => now_and_then(),
                Err(RecvTimeoutError::Disconnected) => panic!("the server ended"),
            }
        }
    })
}

fn start(number: usize, row: &Row, directory: &Path, file: &Path) -> Running {
    let mut command = row.client.command(directory, 1);
    match row.output {
        Output::Pipe => command.stdout(Stdio::piped()),
        Output::File => command.stdout(File::create(file).unwrap()),
    };
    let mut process = command.spawn().unwrap();
    let reader = process.stdout.take().map(|pipe: ChildStdout| std::thread::spawn(|| count_lines(pipe)));
    Running { row: number, meter: Meter::new(process.id()), process, before: Usage::default(), reader }
}

fn count_lines(mut output: impl Read) -> u64 {
    let (mut buffer, mut lines) = (vec![0; 64 << 10], 0);
    while let Ok(length @ 1..) = output.read(&mut buffer) {
        lines += memchr::memchr_iter(b'\n', &buffer[..length]).count() as u64;
    }
    lines
}
