//! Whole processes on the same stream: lxmon, `lxc monitor`, `incus monitor`, and a raw copy of the socket as the floor.
//!
//! A stand-in server in a process of its own sends real events as fast as the client reads them, then closes. Measured
//! are events per second from the first byte sent to the client's exit, CPU time, peak memory, events lost and events
//! printed after a later one; then the time from start to first event. `cargo bench --bench peers -- [EVENTS [RUNS [ROWS]]]`,
//! where `ROWS` is a part of the names of the rows that are wanted.

#[path = "stream.rs"]
mod stream;

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let words: Vec<_> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["serve", directory, servers, events] => {
            serve(Path::new(directory), servers.parse().unwrap(), events.parse().unwrap());
        }
        ["copy", socket] => copy(Path::new(socket)),
        [] => compare(200_000, 3, ""),
        [events] => compare(events.parse().unwrap(), 3, ""),
        [events, runs] => compare(events.parse().unwrap(), runs.parse().unwrap(), ""),
        [events, runs, rows, ..] => compare(events.parse().unwrap(), runs.parse().unwrap(), rows),
    }
}

/// The events of the stream, as frames; those of one of `servers` that share it.
fn frames(server: u64, servers: u64, events: u64) -> Vec<u8> {
    let mut frames = Vec::new();
    for (_, text) in (0..events).zip(stream::events()).filter(|(number, _)| number % servers == server) {
        frames.push(0x81);
        match text.len() {
            short @ 0..=125 => frames.push(u8::try_from(short).unwrap()),
            length => {
                frames.push(126);
                frames.extend_from_slice(&u16::try_from(length).unwrap().to_be_bytes());
            }
        }
        frames.extend_from_slice(text.as_bytes());
    }
    frames
}

/// Serves one stream on a socket each, and says when it began to send.
fn serve(directory: &Path, servers: u64, events: u64) {
    let threads: Vec<_> = (0..servers)
        .map(|server| {
            let listener = UnixListener::bind(directory.join(format!("{server}.socket"))).unwrap();
            std::thread::spawn(move || {
                let frames = frames(server, servers, events);
                println!("ready");
                for client in listener.incoming() {
                    if talk(&client.unwrap(), &frames) {
                        return;
                    }
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
}

/// Answers requests until one is for events; whether one was.
fn talk(client: &UnixStream, frames: &[u8]) -> bool {
    let mut reader = BufReader::new(client);
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if reader.read_line(&mut head).unwrap_or(0) == 0 {
                return false;
            }
        }
        let mut writer = client;
        if let Some((_, key)) = head
            .lines()
            .filter_map(|line| line.split_once(": "))
            .find(|(name, _)| name.eq_ignore_ascii_case("Sec-WebSocket-Key"))
        {
            let accept = derive_accept_key(key.trim().as_bytes());
            write!(writer, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\r\n").unwrap();
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
            println!("begin {}", now.as_micros());
            // The client may end early.
            let _ = writer.write_all(frames);
            return true;
        }
        let body = r#"{"type":"sync","status":"Success","status_code":200,"metadata":{"api_extensions":["event_lifecycle","projects","all_projects"],"api_status":"stable","api_version":"1.0","auth":"trusted","public":false,"auth_methods":["tls"],"environment":{"server":"lxd","server_name":"stand-in","project":"default"}}}"#;
        write!(
            writer,
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
        .unwrap();
    }
}

/// The floor: every byte of the socket to standard output, nothing looked at.
fn copy(socket: &Path) {
    let mut stream = UnixStream::connect(socket).unwrap();
    stream
        .write_all(b"GET /1.0/events HTTP/1.1\r\nHost: x\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
        .unwrap();
    let mut stdout = File::from(std::os::fd::AsFd::as_fd(&std::io::stdout()).try_clone_to_owned().unwrap());
    let mut buffer = vec![0; 128 << 10];
    while let Ok(length @ 1..) = stream.read(&mut buffer) {
        stdout.write_all(&buffer[..length]).unwrap();
    }
}

/// What one run took.
#[derive(Clone, Copy)]
struct Figures {
    seconds: f64,
    cpu: f64,
    peak: u64,
    printed: u64,
    disordered: u64,
}

fn compare(events: u64, runs: usize, wanted: &str) {
    let lxmon: &[&str] = &[env!("CARGO_BIN_EXE_lxmon"), "--no-reconnect", "-q"];
    let unix = |format: &'static str| [lxmon, &["SOCKET", "-f", format]].concat();
    let mut rows: Vec<(&str, Vec<&str>, u64)> = vec![("raw copy", vec!["SELF", "copy", "PATH"], 1)];
    for format in ["json", "yaml", "pretty", "logfmt"] {
        rows.push((format, unix(format), 1));
    }
    rows.push(("1 % filter", [&unix("json")[..], &["-a", "needle-*"]].concat(), 1));
    rows.push(("8 servers", [lxmon, &["SOCKETS", "-f", "json"]].concat(), 8));
    for client in ["lxc", "incus"] {
        if Command::new(client).arg("version").output().is_ok() {
            for (row, options) in [
                ("json", &["--format", "json"][..]),
                ("yaml", &["--format", "yaml"]),
                ("pretty", &["--pretty"]),
                ("1 type", &["--type", "lifecycle", "--format", "json"]),
            ] {
                rows.push((row, [&[client, "monitor"], options].concat(), 1));
            }
        }
    }
    println!("{events} events, median of {runs} runs");
    println!("{:24} {:>10} {:>8} {:>9} {:>7} {:>11}", "", "events/s", "CPU s", "peak MiB", "lost", "disordered");
    let name = |command: &[&'static str]| match command[0] {
        "lxc" | "incus" => command[0],
        "SELF" => "",
        _ => "lxmon",
    };
    rows.retain(|(row, command, _)| format!("{} {row}", name(command)).contains(wanted));
    for (row, command, servers) in &rows {
        let (name, servers) = (name(command), *servers);
        let mut figures: Vec<_> = (0..runs).map(|_| run(command, servers, events)).collect();
        figures.sort_by(|a, b| a.seconds.total_cmp(&b.seconds));
        let Figures { seconds, cpu, peak, .. } = figures[runs / 2];
        let worst = |of: fn(&Figures) -> u64| figures.iter().map(of).max().unwrap_or(0);
        let counts = matches!(*row, "json" | "yaml" | "8 servers");
        let lost = if counts {
            (events - figures.iter().map(|one| one.printed).min().unwrap_or(0)).to_string()
        } else {
            "-".into()
        };
        let disordered = if counts { worst(|one| one.disordered).to_string() } else { "-".into() };
        #[expect(clippy::cast_precision_loss, reason = "shown with few digits")]
        let (rate, peak) = (events as f64 / seconds, peak as f64 / 1024.0);
        println!("{:24} {rate:>10.0} {cpu:>8.2} {peak:>9.1} {lost:>7} {disordered:>11}", format!("{name} {row}"));
    }
    println!("\nmilliseconds from start to first event printed, median of {STARTS}");
    for (row, command, _) in rows.iter().filter(|(row, ..)| *row == "json") {
        let mut starts: Vec<_> = (0..STARTS).map(|_| start(command)).collect();
        starts.sort_unstable();
        println!("{:24} {:>10.1}", format!("{} {row}", name(command)), starts[STARTS / 2].as_secs_f64() * 1e3);
    }
}

/// How often the start is measured: it is short, and so varies.
const STARTS: usize = 15;

/// How long a client takes from its start to its first output.
fn start(command: &[&str]) -> Duration {
    let directory = tempfile::tempdir().unwrap();
    let (mut server, _told) = begin_to_serve(directory.path(), 1, 20_000);
    let mut client = client(command, directory.path(), 1);
    let begun = Instant::now();
    let mut child = client.stdout(Stdio::piped()).spawn().unwrap();
    child.stdout.as_mut().unwrap().read_exact(&mut [0]).unwrap();
    let taken = begun.elapsed();
    for process in [&mut child, &mut server] {
        let _ = process.kill();
        process.wait().unwrap();
    }
    taken
}

type Told = Box<dyn Iterator<Item = String>>;

/// A process with servers that are ready, and what it tells.
fn begin_to_serve(directory: &Path, servers: u64, events: u64) -> (Child, Told) {
    let mut server = Command::new(std::env::current_exe().unwrap())
        .args(["serve", directory.to_str().unwrap(), &servers.to_string(), &events.to_string()])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut told = BufReader::new(server.stdout.take().unwrap()).lines().map_while(Result::ok);
    for _ in 0..servers {
        assert_eq!(told.next().as_deref(), Some("ready"));
    }
    (server, Box::new(told))
}

/// The client for servers in that directory.
fn client(command: &[&str], directory: &Path, servers: u64) -> Command {
    let socket = |number: u64| directory.join(format!("{number}.socket"));
    let word = |number: u64| format!("unix:{}", socket(number).display());
    let program = if command[0] == "SELF" { std::env::current_exe().unwrap() } else { PathBuf::from(command[0]) };
    let mut client = Command::new(program);
    for argument in &command[1..] {
        match *argument {
            "SOCKET" => client.arg(word(0)),
            "SOCKETS" => client.args((0..servers).map(word)),
            "PATH" => client.arg(socket(0)),
            other => client.arg(other),
        };
    }
    client
        .env("LXD_SOCKET", socket(0))
        .env("INCUS_SOCKET", socket(0))
        .env("LXD_CONF", directory)
        .env("INCUS_CONF", directory)
        .stdin(Stdio::null())
        .stderr(Stdio::null());
    client
}

fn run(command: &[&str], servers: u64, events: u64) -> Figures {
    let directory = tempfile::tempdir().unwrap();
    let (mut server, mut told) = begin_to_serve(directory.path(), servers, events);
    // In memory, so that no disk is measured.
    let output = Path::new("/dev/shm").join(format!("lxmon-peers-{}", std::process::id()));
    let mut client = client(command, directory.path(), servers);
    let child = client.stdout(File::create(&output).unwrap()).spawn().unwrap();
    let begin = told.find_map(|line| line.strip_prefix("begin ")?.parse::<u64>().ok()).unwrap();
    let (end, cpu, peak) = watch(child);
    let _ = server.kill();
    server.wait().unwrap();
    let (printed, disordered) = count(&output);
    fs::remove_file(output).unwrap();
    let seconds = end.saturating_sub(Duration::from_micros(begin)).as_secs_f64();
    Figures { seconds, cpu, peak, printed, disordered }
}

/// Waits for the end: when it was, the CPU seconds, and the peak memory in KiB as far as it was seen.
fn watch(mut child: Child) -> (Duration, f64, u64) {
    /// `sysconf(_SC_CLK_TCK)` on every Linux there is.
    const TICKS: f64 = 100.0;
    let id = child.id();
    let pid = Pid::from_raw(id.cast_signed()).unwrap();
    let begun = Instant::now();
    let mut peak = 0;
    loop {
        let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
        let now = status
            .lines()
            .find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.trim().parse().ok());
        peak = peak.max(now.unwrap_or(0));
        // The process stays a zombie, so that its times can be read.
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        if waitid(WaitId::Pid(pid), options).unwrap().is_some() {
            break;
        }
        assert!(begun.elapsed() < Duration::from_secs(300), "it does not end");
        std::thread::sleep(Duration::from_millis(1));
    }
    let end = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap();
    let fields: Vec<_> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    let ticks: f64 = fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap();
    child.wait().unwrap();
    (end, ticks / TICKS, peak)
}

/// How many of the stream's timestamps are in the output, and how many come after a later one.
fn count(output: &Path) -> (u64, u64) {
    let (mut printed, mut disordered) = (0, 0);
    let mut latest = Vec::new();
    for line in BufReader::with_capacity(1 << 20, File::open(output).unwrap()).split(b'\n').map(Result::unwrap) {
        let found = [&b"\"timestamp\":\"2027-"[..], b"timestamp: \"2027-"].iter().find_map(|mark| {
            let at = memchr::memmem::find(&line, mark)?;
            // The clients leave out zeros at the end.
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
