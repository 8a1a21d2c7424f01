//! The sockets of the servers on this machine.

use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};

use log::debug;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};

use super::Flavour;
use super::read;
use crate::report::exit::Fault;
use crate::system::environment::Environment;

/// Whom a socket is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Socket {
    /// Who may use it has all rights of the server, and so is root on its machine.
    Server,
    /// Ordinary users, each with a project of their own.
    Users,
    /// A guest: the socket that a server puts into its instances.
    Guest,
}

/// The socket for ordinary users of the LXD snap (`snapcraft/commands/lxc` of LXD).
const LXD_USERS: &str = "/var/snap/lxd/common/lxd-user/unix.socket";

/// The sockets in a guest.
const GUEST: [(Flavour, &str); 2] = [(Flavour::Lxd, "/dev/lxd/sock"), (Flavour::Incus, "/dev/incus/sock")];

impl Socket {
    /// Whom the socket with this path is for. The servers choose the last parts of these paths.
    #[must_use]
    pub fn of(path: &Path) -> Self {
        if path.ends_with("unix.socket.user") || path.ends_with("lxd-user/unix.socket") {
            Self::Users
        } else if path.ends_with("dev/lxd/sock") || path.ends_with("dev/incus/sock") {
            Self::Guest
        } else {
            Self::Server
        }
    }
}

/// What came of connecting to a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum State {
    /// There is nothing with this path.
    Missing,
    /// Nothing listens there, or it is no socket.
    Stale,
    /// We may not connect to it.
    Denied,
    /// It answers.
    Answers,
}

impl State {
    /// What it says about a socket, as the end of a sentence.
    fn described(self) -> &'static str {
        match self {
            Self::Missing => "does not exist",
            Self::Stale => "is no socket that a program listens at",
            Self::Denied => "is not for this user",
            Self::Answers => "answers",
        }
    }
}

/// Connects to a socket without waiting. A program that listens there and is busy counts as an answer.
pub(super) fn state(path: &Path) -> State {
    let attempt = || -> Result<(), Errno> {
        let address = SocketAddrUnix::new(path)?;
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        connect(socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?, &address)
    };
    match attempt() {
        // The queue of connections that are not accepted yet is full (connect(2)).
        Ok(()) | Err(Errno::AGAIN) => State::Answers,
        Err(Errno::ACCESS | Errno::PERM) => State::Denied,
        Err(Errno::NOENT | Errno::NOTDIR) => State::Missing,
        Err(_) => State::Stale,
    }
}

/// The state of a socket for ordinary users, by its permissions. A connection would make the server set up the user's
/// project, and while that goes on `incus-user` (6.0.4, 7.0.2) ends the next connection.
fn state_for_users(path: &Path) -> State {
    match path.metadata() {
        Err(_) => State::Missing,
        Ok(metadata) if !metadata.file_type().is_socket() => State::Stale,
        Ok(_) if is_writable(path) => State::Answers,
        Ok(_) => State::Denied,
    }
}

fn is_writable(path: &Path) -> bool {
    rustix::fs::access(path, rustix::fs::Access::WRITE_OK).is_ok()
}

/// The server's own socket and the ones for ordinary users, each in the order in which they are tried.
struct Places {
    server: Vec<PathBuf>,
    users: Vec<PathBuf>,
}

/// Where the sockets can be. A path from the environment is the only one.
fn places(flavour: Flavour, environment: &Environment) -> Places {
    let (socket, directory) = match flavour {
        Flavour::Lxd => ("LXD_SOCKET", "LXD_DIR"),
        Flavour::Incus => ("INCUS_SOCKET", "INCUS_DIR"),
    };
    let paths = |paths: &[&str]| paths.iter().map(PathBuf::from).collect();
    match (environment.path(socket), environment.path(directory), flavour) {
        (Some(socket), _, _) => Places { server: vec![socket], users: Vec::new() },
        (None, Some(directory), Flavour::Lxd) => {
            Places { server: vec![directory.join("unix.socket")], users: Vec::new() }
        }
        // Incus' `client/connection.go`.
        (None, Some(directory), Flavour::Incus) => {
            Places { server: vec![directory.join("unix.socket")], users: vec![directory.join("unix.socket.user")] }
        }
        (None, None, Flavour::Lxd) => Places {
            server: paths(&["/var/snap/lxd/common/lxd/unix.socket", "/var/lib/lxd/unix.socket"]),
            users: paths(&[LXD_USERS]),
        },
        (None, None, Flavour::Incus) => Places {
            server: paths(&["/run/incus/unix.socket", "/var/lib/incus/unix.socket"]),
            users: paths(&["/run/incus/unix.socket.user", "/var/lib/incus/unix.socket.user"]),
        },
    }
}

/// The best of a server's sockets: the first that answers, else the first that exists. One for ordinary users counts
/// only if we may connect to none of the server's own, as for the clients.
pub(super) fn best(flavour: Flavour, environment: &Environment) -> Option<(PathBuf, State)> {
    let Places { server, users } = places(flavour, environment);
    let first = |paths: Vec<PathBuf>, state: fn(&Path) -> State| {
        let mut found = None;
        for path in paths {
            let state = state(&path);
            debug!("{} {}", path.display(), state.described());
            match state {
                State::Missing => {}
                State::Answers => return Some((path, State::Answers)),
                other => found = found.or(Some((path, other))),
            }
        }
        found
    };
    match first(server, state) {
        Some((path, State::Answers)) => Some((path, State::Answers)),
        Some((path, State::Stale)) => Some((path, State::Stale)),
        own => first(users, state_for_users).filter(|(_, state)| own.is_none() || *state == State::Answers).or(own),
    }
}

/// Whether a program listens at one of the sockets that we may use. Does not connect, because a connection starts a
/// server that systemd has not started yet.
#[must_use]
pub fn listens(flavour: Flavour, environment: &Environment) -> Option<PathBuf> {
    let text = read::read(Path::new("/proc/self/net/unix")).ok()??;
    let text = String::from_utf8_lossy(&text);
    // Columns: number, references, protocol, flags, type, state, inode, path. The flag is __SO_ACCEPTCON.
    let is_listening = |path: &Path| {
        text.lines().any(|line| {
            let mut columns = line.split_ascii_whitespace();
            columns.nth(3) == Some("00010000") && columns.nth(3).is_some_and(|shown| Path::new(shown) == path)
        })
    };
    let Places { server, users } = places(flavour, environment);
    server.into_iter().chain(users).find(|path| is_writable(path) && is_listening(path))
}

/// The socket of the guest in which lxmon runs, and its kind. With `asked`, only of that kind.
pub(super) fn guest(asked: Option<Flavour>) -> Option<(Flavour, PathBuf)> {
    let is_socket = |path: &Path| path.metadata().is_ok_and(|metadata| metadata.file_type().is_socket());
    // In virtual machines of Incus, /dev/lxd is a link to /dev/incus.
    let is_itself = |path: &Path| path.canonicalize().is_ok_and(|real| real == path);
    let places = GUEST.into_iter().map(|(flavour, path)| (flavour, PathBuf::from(path)));
    let mut found = places
        .filter(|(flavour, path)| is_socket(path) && asked.map_or_else(|| is_itself(path), |asked| asked == *flavour));
    found.next()
}

/// Whether the environment says where the socket is.
pub(super) fn is_fixed(flavour: Flavour, environment: &Environment) -> bool {
    let names = match flavour {
        Flavour::Lxd => ["LXD_SOCKET", "LXD_DIR"],
        Flavour::Incus => ["INCUS_SOCKET", "INCUS_DIR"],
    };
    names.into_iter().any(|name| environment.is_set(name))
}

/// The socket for ordinary users that belongs to the server's socket with this path, if there is one.
#[must_use]
pub fn for_users(path: &Path) -> Option<PathBuf> {
    let beside = match path.to_str() {
        Some("/var/snap/lxd/common/lxd/unix.socket") => PathBuf::from(LXD_USERS),
        _ => path.with_file_name("unix.socket.user"),
    };
    beside.metadata().is_ok_and(|metadata| metadata.file_type().is_socket()).then_some(beside)
}

/// The error if there is no socket. It lists the paths that were tried.
pub(super) fn none(flavour: Flavour, environment: &Environment) -> Fault {
    let Places { server, .. } = places(flavour, environment);
    let server: Vec<_> = server.iter().map(|path| path.display().to_string()).collect();
    let other = flavour.other();
    Fault::failed(format!("no {flavour} socket: there is none at {}", server.join(" or "))).hint(format!(
        "is {flavour} installed and running? `lxmon {}` follows {other}, `lxmon unix:PATH` a socket in another place",
        other.option(),
    ))
}
