//! The programs that are compared, and the commands that start them.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A program and its arguments. `SOCKET`, `SOCKETS` and `PATH` in the arguments are replaced by sockets of the servers.
pub(crate) struct Client {
    /// The name in the table: the program, then what it does.
    pub(crate) name: String,
    program: PathBuf,
    arguments: Vec<&'static str>,
}

impl Client {
    /// This benchmark program itself in another role.
    pub(crate) fn own(name: &str, role: &'static str) -> Self {
        Self { name: name.into(), program: std::env::current_exe().unwrap(), arguments: vec![role, "PATH"] }
    }

    /// The server's own client, if it is installed.
    pub(crate) fn peer(program: &'static str, what: &str, options: &[&'static str]) -> Option<Self> {
        Command::new(program).arg("version").output().ok()?;
        let arguments = [&["monitor"], options].concat();
        Some(Self { name: format!("{program} {what}"), program: program.into(), arguments })
    }

    /// lxmon, and the lxmon of `LXMON_BENCH_OTHER` if that is set.
    pub(crate) fn lxmon(what: &str, options: &[&'static str]) -> impl Iterator<Item = Self> {
        // The events are those of several projects, and the clients print what the server sends, whatever its project.
        let arguments = [&["--no-reconnect", "-q", "--all-projects"], options].concat();
        let other = std::env::var_os("LXMON_BENCH_OTHER").map(|path| ("other", PathBuf::from(path)));
        let programs = [("lxmon", PathBuf::from(env!("CARGO_BIN_EXE_lxmon")))].into_iter().chain(other);
        programs.map(move |(name, program)| Self {
            name: format!("{name} {what}"),
            program,
            arguments: arguments.clone(),
        })
    }

    /// The command for the servers whose sockets are in `directory`.
    pub(crate) fn command(&self, directory: &Path, servers: u64) -> Command {
        let socket = |number: u64| directory.join(format!("{number}.socket"));
        let word = |number: u64| format!("unix:{}", socket(number).display());
        let mut command = Command::new(&self.program);
        for argument in &self.arguments {
            match *argument {
                "SOCKET" => command.arg(word(0)),
                "SOCKETS" => command.args((0..servers).map(word)),
                "PATH" => command.arg(socket(0)),
                other => command.arg(other),
            };
        }
        command
            .env("LXD_SOCKET", socket(0))
            .env("INCUS_SOCKET", socket(0))
            .env("LXD_CONF", directory)
            .env("INCUS_CONF", directory)
            .stdin(Stdio::null())
            .stderr(Stdio::null());
        command
    }
}

fn subscribe(socket: &Path) -> (UnixStream, File) {
    let mut stream = UnixStream::connect(socket).unwrap();
    stream
        .write_all(b"GET /1.0/events HTTP/1.1\r\nHost: x\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
        .unwrap();
    (stream, File::from(std::os::fd::AsFd::as_fd(&std::io::stdout()).try_clone_to_owned().unwrap()))
}

/// The lower bound at full speed: copies every byte from the socket to standard output without parsing.
pub(crate) fn copy(socket: &Path) {
    let (mut stream, mut stdout) = subscribe(socket);
    let mut buffer = vec![0; 128 << 10];
    while let Ok(length @ 1..) = stream.read(&mut buffer) {
        stdout.write_all(&buffer[..length]).unwrap();
    }
}

/// The lower bound at a rate: reads, copies and writes each message, on one thread that waits only for the socket.
pub(crate) fn read(socket: &Path) {
    let (mut stream, mut stdout) = subscribe(socket);
    let mut buffer = vec![0; 128 << 10];
    let (mut filled, mut output) = (0, Vec::new());
    while !buffer[..filled].ends_with(b"\r\n\r\n") {
        // The answer is read alone: the server sends no event before all clients are connected.
        match stream.read(&mut buffer[filled..]) {
            Ok(length @ 1..) => filled += length,
            _ => return,
        }
    }
    filled = 0;
    while let Ok(length @ 1..) = stream.read(&mut buffer[filled..]) {
        filled += length;
        let mut rest = &buffer[..filled];
        while let Some((payload, after)) = frame(rest) {
            output.extend_from_slice(payload);
            rest = after;
        }
        let left = rest.len();
        buffer.copy_within(filled - left..filled, 0);
        filled = left;
        stdout.write_all(&output).unwrap();
        output.clear();
    }
}

/// The payload of the first frame and the bytes after it, or `None` if the frame is incomplete. Longer lengths are not
/// supported, as the stand-in sends no frame of 64 KiB or more.
fn frame(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = match *bytes {
        [_, 126, high, low, ref rest @ ..] => (usize::from(u16::from_be_bytes([high, low])), rest),
        [_, length @ 0..=125, ref rest @ ..] => (usize::from(length), rest),
        _ => return None,
    };
    rest.split_at_checked(length)
}
