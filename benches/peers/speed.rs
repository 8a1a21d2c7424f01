//! Events at full speed: as many as a client can read.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};

use crate::client::Client;
use crate::meter::Meter;
use crate::server::StandIn;

/// The measurements of one run.
#[derive(Clone, Copy)]
struct Figures {
    seconds: f64,
    cpu: f64,
    peak: u64,
    printed: u64,
    disordered: u64,
}

struct Row {
    client: Client,
    servers: u64,
    /// Whether the client prints the timestamp of every event.
    counts: bool,
    figures: Vec<Figures>,
}

pub(crate) fn compare(events: u64, runs: usize, wanted: &str) {
    let mut rows = rows();
    rows.retain(|row| row.client.name.contains(wanted));
    println!("{events} events, median of {runs} runs");
    // Runs of different rows alternate, so that a change in the speed of the machine affects all rows.
    for number in 1..=runs {
        for row in &mut rows {
            eprint!("\rrun {number} of {runs}: {:24}", row.client.name);
            row.figures.push(run(&row.client, row.servers, events));
        }
    }
    eprintln!();
    println!("{:24} {:>10} {:>8} {:>9} {:>7} {:>11}", "", "events/s", "CPU s", "peak MiB", "lost", "disordered");
    for Row { client, counts, figures, .. } in &mut rows {
        figures.sort_by(|a, b| a.seconds.total_cmp(&b.seconds));
        let Figures { seconds, cpu, peak, .. } = figures[runs / 2];
        let worst = |of: fn(&Figures) -> u64| figures.iter().map(of).max().unwrap_or(0);
        let lost = if *counts {
            (events - figures.iter().map(|one| one.printed).min().unwrap_or(0)).to_string()
        } else {
            "-".into()
        };
        let disordered = if *counts { worst(|one| one.disordered).to_string() } else { "-".into() };
        #[expect(clippy::cast_precision_loss, reason = "shown with few digits")]
        let (rate, peak) = (events as f64 / seconds, peak as f64 / 1024.0);
        println!("{:24} {rate:>10.0} {cpu:>8.3} {peak:>9.1} {lost:>7} {disordered:>11}", client.name);
    }
    println!("\nmilliseconds from start to first event printed, median of {STARTS}");
    rows.retain(|row| row.client.name.ends_with(" json"));
    let mut starts = vec![Vec::new(); rows.len()];
    for _ in 0..STARTS {
        for (row, starts) in rows.iter().zip(&mut starts) {
            starts.push(start(&row.client).as_secs_f64() * 1e3);
        }
    }
    for (row, starts) in rows.iter().zip(starts) {
        println!("{:24} {:>10.1}", row.client.name, crate::median(starts));
    }
}

fn rows() -> Vec<Row> {
    let row = |client, servers, counts| Row { client, servers, counts, figures: Vec::new() };
    let mut rows = vec![row(Client::own("raw copy", "copy"), 1, false)];
    for format in ["json", "yaml", "pretty", "logfmt"] {
        let counts = matches!(format, "json" | "yaml");
        rows.extend(Client::lxmon(format, &["SOCKET", "-f", format]).map(|client| row(client, 1, counts)));
    }
    let filtered = ["SOCKET", "-f", "json", "-a", "needle-*"];
    rows.extend(Client::lxmon("1 % filter", &filtered).map(|client| row(client, 1, false)));
    rows.extend(Client::lxmon("8 servers", &["SOCKETS", "-f", "json"]).map(|client| row(client, 8, true)));
    for program in ["lxc", "incus"] {
        for (what, options) in [
            ("json", &["--format", "json"][..]),
            ("yaml", &["--format", "yaml"]),
            ("pretty", &["--pretty"]),
            ("1 type", &["--type", "lifecycle", "--format", "json"]),
        ] {
            let counts = matches!(what, "json" | "yaml");
            rows.extend(Client::peer(program, what, options).map(|client| row(client, 1, counts)));
        }
    }
    rows
}

/// The number of measurements of the start, whose short time varies much.
const STARTS: usize = 15;

/// The time from the start of a client to its first output.
fn start(client: &Client) -> Duration {
    let directory = tempfile::tempdir().unwrap();
    let _server = StandIn::start("serve", directory.path(), 1, &[1, 20_000]);
    let mut command = client.command(directory.path(), 1);
    let begun = Instant::now();
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    child.stdout.as_mut().unwrap().read_exact(&mut [0]).unwrap();
    let taken = begun.elapsed();
    let _ = child.kill();
    child.wait().unwrap();
    taken
}

fn run(client: &Client, servers: u64, events: u64) -> Figures {
    let directory = tempfile::tempdir().unwrap();
    let mut server = StandIn::start("serve", directory.path(), servers, &[servers, events]);
    // The file is in memory, so that the speed of a disk does not matter.
    let output = Path::new("/dev/shm").join(format!("lxmon-peers-{}", std::process::id()));
    let mut command = client.command(directory.path(), servers);
    let child = command.stdout(File::create(&output).unwrap()).spawn().unwrap();
    let begin = server.wait_for("begin ").parse().unwrap();
    let (end, cpu, peak) = watch(child);
    let (printed, disordered) = count(&output);
    fs::remove_file(output).unwrap();
    let seconds = end.saturating_sub(Duration::from_micros(begin)).as_secs_f64();
    Figures { seconds, cpu, peak, printed, disordered }
}

/// Waits for the end of a client. Returns the time of the end, the CPU seconds, and the greatest peak memory that was
/// read, in KiB.
fn watch(mut child: Child) -> (Duration, f64, u64) {
    /// `sysconf(_SC_CLK_TCK)`, which is the same on every Linux.
    const TICKS: f64 = 100.0;
    /// New threads are looked for in one of this many iterations.
    const OFTEN: usize = 8;
    let id = child.id();
    let pid = Pid::from_raw(id.cast_signed()).unwrap();
    let begun = Instant::now();
    let (mut peak, mut meter, mut cpu) = (0, Meter::new(id), 0.0);
    for look in 0.. {
        let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
        let now = status
            .lines()
            .find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.trim().parse().ok());
        peak = peak.max(now.unwrap_or(0));
        if look % OFTEN == 0 {
            meter.find_threads();
        }
        cpu = meter.cpu().as_secs_f64();
        // `NOWAIT` leaves the process a zombie, so that its times can be read.
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        if waitid(WaitId::Pid(pid), options).unwrap().is_some() {
            break;
        }
        assert!(begun.elapsed() < Duration::from_secs(300), "the client did not exit within 300 s");
        std::thread::sleep(Duration::from_millis(1));
    }
    let end = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap();
    let fields: Vec<_> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    let ticks: f64 = fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap();
    child.wait().unwrap();
    // Both values are slightly too low: the first lacks the time after the last reading, and the second is the sum of
    // two values that are rounded down to ticks.
    (end, cpu.max(ticks / TICKS), peak)
}

/// The number of timestamps in the output, and the number of those that come after a later one.
fn count(output: &Path) -> (u64, u64) {
    let (mut printed, mut disordered) = (0, 0);
    let mut latest = Vec::new();
    for line in BufReader::with_capacity(1 << 20, File::open(output).unwrap()).split(b'\n').map(Result::unwrap) {
        let found = [&b"\"timestamp\":\"2027-"[..], b"timestamp: \"2027-"].iter().find_map(|mark| {
            let at = memchr::memmem::find(&line, mark)?;
            // Timestamps differ in length, as the clients omit trailing zeros. Their texts still compare correctly.
            let time = line[at + mark.len()..].split(|byte| matches!(byte, b'"' | b'Z')).next();
            time.map(<[u8]>::to_vec)
        });
        if let Some(time) = found {
            printed += 1;
            disordered += u64::from(time < latest);
            latest = latest.max(time);
        }
    }
    (printed, disordered)
}
