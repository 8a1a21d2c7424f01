//! The service manager that has started lxmon, such as systemd (`sd_notify(3)`): messages to `$NOTIFY_SOCKET`.
//!
//! The texts of the messages and the rules of the watchdog are those of the crate sd-notify. Its way of sending is not
//! used: it waits while nobody reads the socket, and would stop the event loop; it opens a socket for each message, and
//! it knows no abstract names.

use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::process::Command;
use std::time::Duration;

use log::warn;
use sd_notify::NotifyState;

use crate::render::sanitize;
use crate::system::environment::Environment;

/// The variables that are for this process and no other (`sd_notify(3)`, `sd_watchdog_enabled(3)`, `sd_listen_fds(3)`).
const VARIABLES: [&str; 6] = [SOCKET, "WATCHDOG_USEC", "WATCHDOG_PID", "LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"];

const SOCKET: &str = "NOTIFY_SOCKET";

/// How much of a status is sent, in characters.
const MAX_STATUS: usize = 500;

/// Makes `command` start without the variables of the manager: what a child sends would count as ours.
pub fn withhold(command: &mut Command) {
    for name in VARIABLES {
        command.env_remove(name);
    }
}

/// The connection to the service manager.
#[derive(Debug)]
pub(crate) struct Service {
    socket: UnixDatagram,
    address: SocketAddr,
    /// After this time without a sign of life the manager restarts lxmon.
    watchdog: Option<Duration>,
    /// Whether a failure to send has been reported.
    has_failed: bool,
}

/// A notification for the service manager.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Message<'a> {
    /// The service has started, with this status.
    Ready(&'a str),
    /// What the service does, as one line for people.
    Status(&'a str),
    /// The service is about to end.
    Stopping(&'a str),
    /// A sign of life.
    Alive,
}

impl Service {
    /// The service manager that the environment names. `None` if there is none, or if it cannot be reached, which is
    /// reported: events are followed all the same.
    pub(crate) fn new(environment: &Environment) -> Option<Self> {
        let name = environment.var(SOCKET)?;
        match Self::at(name) {
            Ok(service) => Some(service),
            Err(error) => {
                warn!("${SOCKET}: {error}; the service manager is not notified");
                None
            }
        }
    }

    fn at(name: &OsStr) -> io::Result<Self> {
        let address = match name.as_bytes() {
            [b'@', rest @ ..] => SocketAddr::from_abstract_name(rest)?,
            [b'/', ..] => SocketAddr::from_pathname(name)?,
            _ => return Err(io::Error::other("neither a path nor an abstract name (@…)")),
        };
        let socket = UnixDatagram::unbound()?;
        socket.set_nonblocking(true)?;
        // The shortest sensible interval keeps a wrong value from making us busy.
        let watchdog = sd_notify::watchdog_enabled().filter(|time| *time >= Duration::from_millis(1));
        Ok(Self { socket, address, watchdog, has_failed: false })
    }

    /// How often the manager expects a sign of life: twice within the time after which it restarts lxmon.
    #[must_use]
    pub(crate) fn interval(&self) -> Option<Duration> {
        self.watchdog.map(|time| time / 2)
    }

    /// Sends a message unless the socket is full, without waiting. Returns whether it was sent. The first failure is
    /// reported.
    pub(crate) fn send(&mut self, message: Message<'_>) -> bool {
        let status = |text: &str| {
            // One line, as a line feed would begin another message.
            let shown = sanitize::shown(text);
            let end = shown.char_indices().nth(MAX_STATUS).map_or(shown.len(), |(end, _)| end);
            NotifyState::Status(&shown[..end]).to_string()
        };
        let text = match message {
            Message::Ready(text) => format!("{}\n{}", NotifyState::Ready, status(text)),
            Message::Status(text) => status(text),
            Message::Stopping(text) => format!("{}\n{}", NotifyState::Stopping, status(text)),
            Message::Alive => NotifyState::Watchdog.to_string(),
        };
        match self.socket.send_to_addr(text.as_bytes(), &self.address) {
            Ok(_) => true,
            Err(error) => {
                if !self.has_failed && error.kind() != io::ErrorKind::WouldBlock {
                    self.has_failed = true;
                    warn!("${SOCKET}: {error}");
                }
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(name: &str) -> Option<Service> {
        Service::new(&[(SOCKET, name)].into_iter().collect())
    }

    fn received(manager: &UnixDatagram) -> String {
        let mut buffer = [0; 4096];
        let length = manager.recv(&mut buffer).unwrap();
        String::from_utf8(buffer[..length].to_vec()).unwrap()
    }

    #[test]
    fn a_status_is_one_line_of_bounded_length() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notify");
        let manager = UnixDatagram::bind(&path).unwrap();
        let mut service = service(path.to_str().unwrap()).unwrap();
        assert!(service.send(Message::Ready("a\nWATCHDOG=trigger\x1b[2J")));
        assert_eq!(received(&manager), "READY=1\nSTATUS=a\\nWATCHDOG=trigger\\x1b[2J");
        assert!(service.send(Message::Status(&"ä".repeat(10_000))));
        assert_eq!(received(&manager).chars().count(), "STATUS=".len() + MAX_STATUS);
        assert!(service.send(Message::Alive) && service.send(Message::Stopping("x")));
        assert_eq!([received(&manager), received(&manager)], ["WATCHDOG=1", "STOPPING=1\nSTATUS=x"]);
    }

    #[test]
    fn an_abstract_name_is_known_and_a_wrong_one_ends_nothing() {
        let name = format!("lxmon-test-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        let manager = UnixDatagram::bind_addr(&address).unwrap();
        assert!(service(&format!("@{name}")).unwrap().send(Message::Alive));
        assert_eq!(received(&manager), "WATCHDOG=1");
        assert!(service("relative").is_none() && service(&format!("/{}", "x".repeat(200))).is_none());
        assert!(service("").is_none());
        assert!(!service("/nonexistent/notify").unwrap().send(Message::Alive));
    }

    #[test]
    fn a_manager_that_reads_nothing_does_not_make_us_wait() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notify");
        let _manager = UnixDatagram::bind(&path).unwrap();
        let mut service = service(path.to_str().unwrap()).unwrap();
        let sent = (0..100_000).take_while(|_| service.send(Message::Alive)).count();
        assert!(sent < 100_000, "the socket has no limit");
    }

    #[test]
    fn commands_are_started_without_the_variables() {
        let mut command = Command::new("env");
        command.env_clear().envs(VARIABLES.map(|name| (name, "x"))).env("KEPT", "1");
        withhold(&mut command);
        assert_eq!(command.output().unwrap().stdout, b"KEPT=1\n");
    }
}
