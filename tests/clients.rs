//! The clients' files, variables and sockets lead to the same server and project as for `lxc` and `incus`.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use tempfile::TempDir;

use crate::support::program::{Outcome, Running, copy_program, finish, lxmon};
use crate::support::standin::{Connection, StandIn, frame, numbered, opcode, read_head, switching_protocols};
use crate::support::tls::{Client, Identity, TlsServer, config, https, params, self_signed};

/// A machine: its files, in a directory that stands for the root, and the sockets that answer.
struct Machine {
    root: TempDir,
    servers: Vec<StandIn>,
}

/// The identity of the tests' ordinary user, who is in no group.
const ORDINARY: u32 = 65534;

/// The user's home directory.
const HOME: &str = "home";

impl Machine {
    fn new() -> Self {
        let root = TempDir::new().unwrap();
        fs::set_permissions(root.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let machine = Self { root, servers: Vec::new() };
        machine.directory(HOME);
        machine
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    fn directory(&self, name: &str) -> PathBuf {
        let path = self.path(name);
        fs::DirBuilder::new().recursive(true).mode(0o755).create(&path).unwrap();
        path
    }

    /// Writes a file; `ROOT` in its text is the path of the machine's root.
    fn file(&self, name: &str, text: &str) {
        let path = self.path(name);
        self.directory(Path::new(name).parent().unwrap().to_str().unwrap());
        fs::write(path, self.with_root(text)).unwrap();
    }

    fn with_root(&self, text: &str) -> String {
        text.replace("ROOT", self.root.path().to_str().unwrap())
    }

    /// Starts a server at a socket.
    fn serve(&mut self, socket: &str) {
        self.directory(Path::new(socket).parent().unwrap().to_str().unwrap());
        self.servers.push(StandIn::at(&self.path(socket), |connection: &mut Connection| {
            let project = format!("{:?}", connection.project());
            connection.accept();
            connection.event(&numbered(0).replace(r#""default""#, &project));
            connection.wait();
        }));
    }

    /// Makes a socket on which nothing listens any more.
    fn stale(&self, socket: &str) {
        self.directory(Path::new(socket).parent().unwrap().to_str().unwrap());
        drop(UnixListener::bind(self.path(socket)).unwrap());
    }

    /// Who may use a file.
    fn rights(&self, name: &str, group: u32, mode: u32) {
        std::os::unix::fs::chown(self.path(name), None, Some(group)).unwrap();
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(mode)).unwrap();
    }

    /// The program with these arguments and variables, for one event.
    fn command(&self, arguments: &[&str], environment: &[(&str, &str)]) -> Command {
        let mut command = lxmon(["-n1", "-f", "json"]);
        command.args(arguments.iter().map(|text| self.with_root(text))).env("HOME", self.path(HOME));
        command.envs(environment.iter().map(|(name, value)| (name, self.with_root(value))));
        command
    }

    /// The same in a mount namespace of its own, in which this machine's directories stand for the real ones, as root
    /// or as an ordinary user. `None` if that fails, because it takes root.
    fn inside(&self, is_root: bool, arguments: &[&str]) -> Option<Command> {
        const MOUNT: &str = "mount --make-rprivate / && for d in var run etc dev; do \
            if [ -d \"$0/$d\" ]; then mount --bind \"$0/$d\" \"/$d\" || exit 99; fi; done && exec \"$@\"";
        let is_possible = Command::new("unshare").args(["-m", "true"]).status().is_ok_and(|status| status.success());
        if !is_possible {
            eprintln!("skipped: this takes root");
            return None;
        }
        let program = self.path("lxmon");
        if !program.exists() {
            copy_program(&program);
        }
        let mut command = Command::new("unshare");
        command.args(["-m", "sh", "-c", MOUNT]).arg(self.root.path());
        if !is_root {
            command.args(["setpriv", "--clear-groups"]);
            command.args([format!("--reuid={ORDINARY}"), format!("--regid={ORDINARY}")]);
        }
        command.arg(program).args(["-n1", "-f", "json"]).args(arguments);
        command.env_clear().env("PATH", "/usr/bin:/bin:/usr/sbin:/sbin").env("HOME", self.path(HOME));
        Some(command)
    }

    /// Which server the command followed, and what it asked for: `SOCKET TARGET`.
    fn followed(&self, command: &mut Command) -> (String, Outcome) {
        let outcome = finish(command);
        let mut asked = Vec::new();
        for server in &self.servers {
            let socket = server.socket();
            let name = socket.strip_prefix(self.root.path()).unwrap().display();
            asked.extend(
                server.requests().iter().map(|head| format!("{name} {}", head.split_whitespace().nth(1).unwrap())),
            );
        }
        (asked.join(", "), outcome)
    }
}

/// A row of the table: what is on the machine, and what comes of it.
struct Row {
    name: &'static str,
    /// Files with their texts.
    files: &'static [(&'static str, &'static str)],
    environment: &'static [(&'static str, &'static str)],
    arguments: &'static [&'static str],
    /// `SOCKET TARGET` of the request, or the error with its hint.
    result: Result<&'static str, &'static str>,
}

const TO_A: &str = "default-remote: n1\nremotes:\n  n1:\n    addr: unix://ROOT/a\n";
const TO_B: &str = "default-remote: n1\nremotes:\n  n1:\n    addr: unix://ROOT/b\n";
const ALL: &str = "/1.0/events";

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn configurations_lead_where_they_lead_the_clients() {
    let rows = [
        Row {
            name: "LXD: the user's file",
            files: &[("home/.config/lxc/config.yml", TO_A)],
            environment: &[],
            arguments: &["--lxd"],
            result: Ok("a /1.0/events"),
        },
        Row {
            name: "LXD: the snap's file comes first",
            files: &[("home/.config/lxc/config.yml", TO_B), ("home/snap/lxd/common/config/config.yml", TO_A)],
            environment: &[],
            arguments: &["--lxd"],
            result: Ok("a /1.0/events"),
        },
        Row {
            name: "LXD: LXD_CONF, with variables in the path",
            files: &[("x-y/lxc/config.yml", TO_A), ("home/.config/lxc/config.yml", TO_B)],
            environment: &[("WHERE", "x"), ("LXD_CONF", "ROOT/${WHERE}-$NAMED$UNSET/lxc"), ("NAMED", "y")],
            arguments: &[],
            result: Ok("a /1.0/events"),
        },
        Row {
            name: "LXD: LXD_CONF names the file",
            files: &[("other/config.yml", TO_A)],
            environment: &[("LXD_CONF", "ROOT/other/config.yml")],
            arguments: &["n1:"],
            result: Err("$LXD_CONF: ROOT/other/config.yml is not a directory\nhint: it names the directory with \
                         config.yml in it: LXD_CONF=ROOT/other\n"),
        },
        Row {
            name: "Incus: INCUS_GLOBAL_CONF names the file",
            files: &[("other/config.yml", TO_A)],
            environment: &[("INCUS_GLOBAL_CONF", "ROOT/other/config.yml")],
            arguments: &["--incus", "n1:"],
            result: Err("$INCUS_GLOBAL_CONF: ROOT/other/config.yml is not a directory\nhint: "),
        },
        Row {
            name: "LXD: system-wide remotes",
            files: &[("global/config.yml", TO_A)],
            environment: &[("LXD_GLOBAL_CONF", "ROOT/global")],
            arguments: &["--lxd", "n1:"],
            result: Ok("a /1.0/events"),
        },
        Row {
            name: "LXD: the user's remote overrides the system's",
            files: &[("home/.config/lxc/config.yml", TO_A), ("global/config.yml", TO_B)],
            environment: &[("LXD_GLOBAL_CONF", "ROOT/global")],
            arguments: &["--lxd", "n1:"],
            result: Ok("a /1.0/events"),
        },
        Row {
            name: "LXD: local is the server here, whatever the file says, but for the project",
            files: &[(
                "home/.config/lxc/config.yml",
                "remotes:\n  local:\n    addr: https://10.0.0.1\n    project: web\n",
            )],
            environment: &[("LXD_SOCKET", "ROOT/a")],
            arguments: &["local:"],
            result: Ok("a /1.0/events?project=web"),
        },
        Row {
            name: "LXD: image servers that are built in",
            files: &[],
            environment: &[],
            arguments: &["--lxd", "ubuntu-minimal-daily:"],
            result: Err("ubuntu-minimal-daily: an image server (simplestreams); it has no events\nhint: lxc has this"),
        },
        Row {
            name: "LXD: image servers that are built in override the file",
            files: &[("home/.config/lxc/config.yml", "remotes:\n  images:\n    addr: unix://ROOT/a\n")],
            environment: &[],
            arguments: &["--lxd", "images:"],
            result: Err("images: an image server (simplestreams); it has no events\n"),
        },
        Row {
            name: "LXD: LXC_REMOTE",
            files: &[(
                "home/.config/lxc/config.yml",
                "remotes:\n  n1:\n    addr: unix://ROOT/b\n  n2:\n    addr: unix://ROOT/a\n",
            )],
            environment: &[("LXC_REMOTE", "n2")],
            arguments: &[],
            result: Ok("a /1.0/events"),
        },
        Row {
            name: "LXD: a remote's project",
            files: &[(
                "home/.config/lxc/config.yml",
                "remotes:\n  n1:\n    addr: unix:ROOT/a\n    auth_type: tls\n    protocol: lxd\n    project: db\n",
            )],
            environment: &[],
            arguments: &["n1:"],
            result: Ok("a /1.0/events?project=db"),
        },
        Row {
            name: "Incus: the user's file",
            files: &[("home/.config/incus/config.yml", TO_A)],
            environment: &[],
            arguments: &["--incus"],
            result: Ok("a /1.0/events"),
        },
        Row {
            name: "Incus: XDG_CONFIG_HOME",
            files: &[("xdg/incus/config.yml", TO_A), ("home/.config/incus/config.yml", TO_B)],
            environment: &[("XDG_CONFIG_HOME", "ROOT/xdg")],
            arguments: &["--incus"],
            result: Ok("a /1.0/events"),
        },
        Row {
            name: "Incus: XDG_CONFIG_HOME, and the client has not moved the old directory yet",
            files: &[("xdg/other", ""), ("home/.config/incus/config.yml", TO_A)],
            environment: &[("XDG_CONFIG_HOME", "ROOT/xdg")],
            arguments: &["--incus"],
            result: Ok("a /1.0/events"),
        },
        Row {
            name: "Incus: a relative XDG_CONFIG_HOME does not count",
            files: &[("home/.config/incus/config.yml", TO_A)],
            environment: &[("XDG_CONFIG_HOME", "xdg")],
            arguments: &["--incus"],
            result: Ok("a /1.0/events"),
        },
        Row {
            name: "Incus: INCUS_CONF comes before XDG_CONFIG_HOME",
            files: &[("xdg/incus/config.yml", TO_B), ("conf/config.yml", TO_A)],
            environment: &[("XDG_CONFIG_HOME", "ROOT/xdg"), ("INCUS_CONF", "ROOT/conf")],
            arguments: &[],
            result: Ok("a /1.0/events"),
        },
        Row {
            name: "Incus: system-wide remotes",
            files: &[("global/config.yml", TO_A)],
            environment: &[("INCUS_GLOBAL_CONF", "ROOT/global")],
            arguments: &["n1:"],
            result: Ok("a /1.0/events"),
        },
        Row {
            name: "Incus: INCUS_REMOTE and INCUS_PROJECT",
            files: &[(
                "home/.config/incus/config.yml",
                "remotes:\n  n1:\n    addr: unix://ROOT/b\n  n2:\n    addr: unix://ROOT/a\n    project: no\n",
            )],
            environment: &[("INCUS_REMOTE", "n2"), ("INCUS_PROJECT", "yes")],
            arguments: &[],
            result: Ok("a /1.0/events?project=yes"),
        },
        Row {
            name: "Incus: several addresses, the one that worked last first",
            files: &[(
                "home/.config/incus/config.yml",
                "remotes:\n  n1:\n    addr: 'unix://ROOT/b, unix://ROOT/a ,unix://ROOT/c'\n    \
                 last_working_address: unix://ROOT/a\n",
            )],
            environment: &[],
            arguments: &["n1:"],
            result: Ok("a /1.0/events"),
        },
        Row {
            name: "Incus: several addresses, the first two dead",
            files: &[(
                "home/.config/incus/config.yml",
                "remotes:\n  n1:\n    addr: unix://ROOT/d,unix://ROOT/b,unix://ROOT/c\n    project: web\n    \
                 last_working_address: unix://ROOT/c\n",
            )],
            environment: &[],
            arguments: &["n1:"],
            result: Ok("b /1.0/events?project=web"),
        },
        Row {
            name: "Incus: several addresses, all dead",
            files: &[("home/.config/incus/config.yml", "remotes:\n  n1:\n    addr: unix://ROOT/c,unix://ROOT/d\n")],
            environment: &[],
            arguments: &["n1:"],
            result: Err("n1: ROOT/c: there is no such socket; ROOT/d: there is no such socket\nhint: is Incus"),
        },
        Row {
            name: "Incus: addresses of both kinds",
            files: &[("home/.config/incus/config.yml", "remotes:\n  n1:\n    addr: unix://ROOT/a,https://10.0.0.1\n")],
            environment: &[],
            arguments: &["n1:"],
            result: Err("n1: its addresses are of both kinds, https:// and unix://\nhint: correct it in ROOT/home/"),
        },
        Row {
            name: "Incus: a list that is empty",
            files: &[("home/.config/incus/config.yml", "remotes:\n  n1:\n    addr: ' , ,'\n")],
            environment: &[],
            arguments: &["n1:"],
            result: Err("n1: it has no address\nhint: correct it in ROOT/home/.config/incus/config.yml"),
        },
        Row {
            name: "Incus: one of several addresses is none",
            files: &[("home/.config/incus/config.yml", "remotes:\n  n1:\n    addr: https://10.0.0.1,10.0.0.2\n")],
            environment: &[],
            arguments: &["n1:"],
            result: Err("n1: its address \"10.0.0.2\" is neither https:// nor unix://\nhint: correct it in "),
        },
        Row {
            name: "LXD: a comma is part of an address",
            files: &[("home/.config/lxc/config.yml", "remotes:\n  n1:\n    addr: unix://ROOT/a,b\n")],
            environment: &[],
            arguments: &["n1:"],
            result: Err("n1: ROOT/a,b: there is no such socket\n"),
        },
        Row {
            name: "Incus: an image registry",
            files: &[(
                "home/.config/incus/config.yml",
                "remotes:\n  n1:\n    addr: https://docker.io\n    protocol: oci\n    public: true\n",
            )],
            environment: &[],
            arguments: &["n1:"],
            result: Err("n1: an image registry (oci); it has no events\n"),
        },
        Row {
            name: "Incus: local is fixed, images is not",
            files: &[(
                "home/.config/incus/config.yml",
                "remotes:\n  images:\n    addr: unix://ROOT/a\n  local:\n    addr: unix://ROOT/b\n",
            )],
            environment: &[],
            arguments: &["--incus", "images:"],
            result: Ok("a /1.0/events"),
        },
        Row {
            name: "unknown: a configuration of the snap's past",
            files: &[
                ("home/snap/lxd/common/config/config.yml", TO_B),
                ("home/snap/lxd/current/.config/lxc/config.yml", "remotes:\n  n2:\n    addr: unix://\n"),
            ],
            environment: &[],
            arguments: &["--lxd", "n2:"],
            result: Err(
                "there is no LXD remote \"n2\"\nhint: it is in ROOT/home/snap/lxd/current/.config/lxc/config.yml, \
                         which is not used: LXD_CONF=ROOT/home/snap/lxd/current/.config/lxc lxmon n2:\n",
            ),
        },
        Row {
            name: "unknown: a configuration of before the snap",
            files: &[
                ("home/snap/lxd/common/config/config.yml", TO_B),
                ("home/.config/lxc/config.yml", "remotes:\n  n2:\n    addr: unix://\n"),
            ],
            environment: &[],
            arguments: &["--lxd", "n2:"],
            result: Err("hint: it is in ROOT/home/.config/lxc/config.yml, which is not used: LXD_CONF="),
        },
        Row {
            name: "unknown: the other client knows it",
            files: &[("home/.config/incus/config.yml", TO_A)],
            environment: &[],
            arguments: &["--lxd", "n1:"],
            result: Err("there is no LXD remote \"n1\"\nhint: Incus has it: lxmon --incus n1:\n"),
        },
        Row {
            name: "which: only a configuration",
            files: &[("home/.config/incus/config.yml", TO_A)],
            environment: &[("LXD_SOCKET", "ROOT/c"), ("INCUS_SOCKET", "ROOT/c")],
            arguments: &[],
            result: Ok("a /1.0/events"),
        },
        Row {
            name: "local: without a configuration, also a broken one",
            files: &[("home/.config/lxc/config.yml", "remotes: [")],
            environment: &[("LXD_SOCKET", "ROOT/a")],
            arguments: &["--force-local"],
            result: Ok("a /1.0/events"),
        },
        Row {
            name: "a guest's socket has no project",
            files: &[],
            environment: &[("INCUS_PROJECT", "web")],
            arguments: &["unix:ROOT/dev/incus/sock"],
            result: Ok("dev/incus/sock /1.0/events"),
        },
        Row {
            name: "a socket for ordinary users has one, by its path too",
            files: &[],
            environment: &[("INCUS_PROJECT", "web")],
            arguments: &["--incus", "unix:ROOT/unix.socket.user"],
            result: Ok("unix.socket.user /1.0/events?project=web"),
        },
    ];
    for Row { name, files, environment, arguments, result } in rows {
        let mut machine = Machine::new();
        for socket in ["a", "b", "dev/incus/sock", "unix.socket.user"] {
            machine.serve(socket);
        }
        for (file, text) in files {
            machine.file(file, text);
        }
        let (followed, outcome) = machine.followed(&mut machine.command(arguments, environment));
        match result {
            Ok(wanted) => {
                assert_eq!((&*followed, outcome.status), (wanted, 0), "{name}: {}", outcome.stderr);
                assert_eq!(outcome.stderr, "", "{name}");
            }
            Err(says) => {
                let says = machine.with_root(says);
                assert!(outcome.status != 0 && outcome.stderr.contains(&says), "{name}: {}", outcome.stderr);
                assert!(outcome.stderr.starts_with("lxmon: ") && outcome.stderr.lines().count() <= 2, "{name}");
                assert_eq!(followed, "", "{name}");
            }
        }
    }
}

#[test]
fn a_remote_of_the_system_has_the_systems_pins_only() {
    let (identity, other) = (self_signed(&params(&["lxd"])), self_signed(&params(&["lxd"])));
    let server = TlsServer::new(&identity);
    let machine = Machine::new();
    let config = format!("remotes:\n  n1:\n    addr: {}\n", https(server.port));
    let follow = |system_wide: bool, users: &Identity, systems: &Identity| {
        let (with, without) = if system_wide { ("global", "home/.config/lxc") } else { ("home/.config/lxc", "global") };
        machine.file(&format!("{with}/config.yml"), &config);
        machine.file(&format!("{without}/config.yml"), "");
        machine.file("home/.config/lxc/servercerts/n1.crt", &users.certificate);
        machine.file("global/servercerts/n1.crt", &systems.certificate);
        finish(&mut machine.command(&["--lxd", "n1:"], &[("LXD_GLOBAL_CONF", "ROOT/global")])).status
    };
    assert_eq!(follow(true, &other, &identity), 0);
    assert_eq!(follow(true, &identity, &other), 1);
    assert_eq!(follow(false, &identity, &other), 0);
    assert_eq!(follow(false, &other, &identity), 1);
}

/// How a server of a cluster answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// It sends one event on each connection.
    Works,
    /// It accepts connections and never sends a byte.
    Hangs,
    /// It completes the handshake and refuses the request.
    Refuses,
}

/// A server of a cluster. Its one event has its number.
struct Member {
    address: SocketAddr,
    listener: TcpListener,
    mode: Arc<Mutex<Mode>>,
    streams: Arc<Mutex<Vec<TcpStream>>>,
}

impl Member {
    fn new(number: u64, identity: &Identity, at: Option<SocketAddr>) -> Self {
        let at = at.unwrap_or_else(|| "127.0.0.1:0".parse().unwrap());
        let listener = TcpListener::bind(at).unwrap();
        let address = listener.local_addr().unwrap();
        let mode = Arc::new(Mutex::new(Mode::Works));
        let streams = Arc::<Mutex<Vec<TcpStream>>>::default();
        let tls = Arc::new(config(&identity.certificate, &identity.key, &[&rustls::version::TLS13]));
        let (incoming, modes, all) = (listener.try_clone().unwrap(), Arc::clone(&mode), Arc::clone(&streams));
        std::thread::spawn(move || {
            for stream in incoming.incoming().map_while(Result::ok) {
                all.lock().unwrap().push(stream.try_clone().unwrap());
                let (mode, tls) = (*modes.lock().unwrap(), Arc::clone(&tls));
                std::thread::spawn(move || _ = Self::serve(number, mode, &tls, stream));
            }
        });
        Self { address, listener, mode, streams }
    }

    fn serve(number: u64, mode: Mode, tls: &Arc<ServerConfig>, stream: TcpStream) -> std::io::Result<()> {
        if mode == Mode::Hangs {
            return Ok(());
        }
        let session = ServerConnection::new(Arc::clone(tls)).unwrap();
        let mut stream = StreamOwned::new(session, stream);
        let mut head = String::new();
        let mut reader = BufReader::with_capacity(1, &mut stream);
        while !head.ends_with("\r\n\r\n") && reader.read_line(&mut head)? > 0 {}
        if mode == Mode::Refuses {
            return stream.write_all(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n");
        }
        stream.write_all(switching_protocols(&head).as_bytes())?;
        stream.write_all(&frame(true, opcode::TEXT, numbered(number).as_bytes()))?;
        stream.flush()?;
        stream.read(&mut [0]).map(drop)
    }

    /// Ends all connections.
    fn cut(&self) {
        for stream in self.streams.lock().unwrap().drain(..) {
            let _ = stream.shutdown(std::net::Shutdown::Both);
        }
    }

    /// Changes how it answers later connections, and ends the present ones.
    fn become_one_that(&self, mode: Mode) {
        *self.mode.lock().unwrap() = mode;
        self.cut();
    }

    fn url(&self) -> String {
        format!("https://{}", self.address)
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        let _ = rustix::net::shutdown(&self.listener, rustix::net::Shutdown::Both);
        self.cut();
    }
}

/// An Incus client whose remote `n1` has these addresses.
fn cluster(addresses: &[String]) -> Client {
    Client::with(&addresses.join(","), "")
}

fn follow(client: &Client, options: &[&str]) -> Command {
    let mut command = lxmon(["--incus", "n1:", "-f", "json", "-v"]);
    command.args(options).env("INCUS_CONF", client.directory.path());
    command
}

#[test]
fn when_one_of_several_addresses_dies_the_next_is_followed() {
    let identity = self_signed(&params(&["incus"]));
    for mode in [None, Some(Mode::Hangs), Some(Mode::Refuses)] {
        let (first, second) = (Member::new(1, &identity, None), Member::new(2, &identity, None));
        let client = cluster(&[first.url(), second.url()]);
        client.pin(&identity);
        let mut running = Running::start(&mut follow(&client, &["--sort-window", "0"]));
        assert_eq!(running.line().trim_end(), numbered(1));
        let (begun, address) = (Instant::now(), first.address);
        let first = match mode {
            None => {
                drop(first);
                None
            }
            Some(mode) => {
                first.become_one_that(mode);
                Some(first)
            }
        };
        assert_eq!(running.line().trim_end(), numbered(2), "{mode:?}");
        eprintln!("{mode:?}: fail-over after {:?}", begun.elapsed());
        assert!(begun.elapsed() < Duration::from_secs(10), "{mode:?}: {:?}", begun.elapsed());
        // The first is back, and the one that worked last is tried first.
        let first = match first {
            None => Member::new(1, &identity, Some(address)),
            Some(first) => {
                first.become_one_that(Mode::Works);
                first
            }
        };
        second.cut();
        assert_eq!(running.line().trim_end(), numbered(2), "{mode:?}");
        drop(second);
        assert_eq!(running.line().trim_end(), numbered(1), "{mode:?}");
        running.signal(Signal::TERM);
        let stderr = running.end().stderr;
        assert!(stderr.contains(&format!("at {} or https://", first.url())), "{stderr}");
        assert!(stderr.contains(&format!("n1: connected to {}\n", first.url())), "{stderr}");
        assert_eq!(stderr.matches("n1: connection lost (").count(), 3, "{stderr}");
    }
}

#[test]
fn every_address_that_fails_is_named() {
    let (identity, other) = (self_signed(&params(&["incus"])), self_signed(&params(&["incus"])));
    let (good, impostor) = (Member::new(1, &identity, None), Member::new(2, &other, None));
    let (refusing, dead) = (Member::new(3, &identity, None), "https://127.0.0.1:1/below".to_owned());
    refusing.become_one_that(Mode::Refuses);
    let outcome = |addresses: &[String]| {
        let client = cluster(addresses);
        client.pin(&identity);
        finish(&mut follow(&client, &["-n1"]))
    };
    // Whatever is wrong with the others, also at the first connection.
    let found = outcome(&[dead.clone(), impostor.url(), refusing.url(), good.url()]);
    assert_eq!((found.status, found.stdout.trim_end()), (0, &*numbered(1)), "{}", found.stderr);
    let none = outcome(&[refusing.url(), dead, impostor.url()]);
    assert_eq!(none.status, 1);
    let line = none.stderr.lines().find(|line| line.contains("; 127.0.0.1:1: ")).unwrap_or_default();
    let (refused, rest) = line.split_once("; ").unwrap();
    let (connecting, changed) = rest.split_once("; ").unwrap();
    assert!(refused.starts_with(&format!("lxmon: n1: {}: the server refuses (503)", refusing.url())), "{line}");
    assert_eq!(connecting, "127.0.0.1:1: connection refused", "{line}");
    assert!(changed.starts_with(&format!("{}: the server's certificate has changed", impostor.url())), "{line}");
    assert!(none.stderr.contains("\nhint: "), "{}", none.stderr);
}

#[test]
fn a_proxy_is_chosen_for_each_address() {
    let identity = self_signed(&params(&["incus"]));
    let good = Member::new(1, &identity, None);
    // The first address is reached through the proxy only, which nobody runs; the second without it.
    let client = cluster(&["https://incus.example:8443".to_owned(), good.url()]);
    client.pin(&identity);
    let outcome = finish(follow(&client, &["-n1"]).env("HTTPS_PROXY", "http://127.0.0.1:1"));
    assert_eq!(outcome.status, 0, "{}", outcome.stderr);
    assert!(
        outcome.stderr.contains("n1: https://incus.example:8443: proxy 127.0.0.1:1: 127.0.0.1:1: connection refused\n"),
        "{}",
        outcome.stderr
    );
}

#[test]
fn the_socket_for_ordinary_users_is_used_by_those_who_may_not_use_the_servers() {
    let project = format!("/1.0/events?project=user-{ORDINARY}");
    let sockets = [
        ("run/incus/unix.socket", "run/incus/unix.socket.user", "--incus"),
        ("var/lib/incus/unix.socket", "var/lib/incus/unix.socket.user", "--incus"),
        ("var/snap/lxd/common/lxd/unix.socket", "var/snap/lxd/common/lxd-user/unix.socket", "--lxd"),
    ];
    for (servers, users, option) in sockets {
        let mut machine = Machine::new();
        machine.serve(servers);
        machine.serve(users);
        machine.rights(servers, 0, 0o660);
        machine.rights(users, 0, 0o666);
        machine.directory("var/lib");
        for (is_root, arguments, wanted) in [
            (false, &[option][..], format!("{users} {project}")),
            (false, &[], format!("{users} {project}")),
            (false, &["--project", "web"], format!("{users} /1.0/events?project=web")),
            (false, &["-A"], format!("{users} /1.0/events?all-projects=true")),
            (true, &[option], format!("{servers} {ALL}")),
        ] {
            let Some(mut command) = machine.inside(is_root, arguments) else { return };
            let (followed, outcome) = machine.followed(&mut command);
            assert_eq!((&*followed, outcome.status), (&*wanted, 0), "{arguments:?}: {}", outcome.stderr);
        }
        // A project of the configuration comes before the user's own, and Incus' variable before both.
        let configuration = "remotes:\n  local:\n    addr: unix://\n    project: db\n";
        for client in ["lxc", "incus"] {
            machine.file(&format!("home/.config/{client}/config.yml"), configuration);
        }
        let Some(mut command) = machine.inside(false, &[option]) else { return };
        let (followed, outcome) = machine.followed(&mut command);
        assert_eq!(followed, format!("{users} /1.0/events?project=db"), "{}", outcome.stderr);
        if option == "--incus" {
            let (followed, _) = machine.followed(command.env("INCUS_PROJECT", "web"));
            assert_eq!(followed, format!("{users} /1.0/events?project=web"));
        }
    }
    // In a directory of the environment, as Incus' client does it.
    let mut machine = Machine::new();
    machine.serve("x/unix.socket");
    machine.serve("x/unix.socket.user");
    machine.rights("x/unix.socket", 0, 0o600);
    machine.rights("x/unix.socket.user", 0, 0o666);
    let Some(mut command) = machine.inside(false, &[]) else { return };
    let (followed, _) = machine.followed(command.env("INCUS_DIR", machine.path("x")));
    assert_eq!(followed, format!("x/unix.socket.user {project}"));
    let Some(mut command) = machine.inside(false, &[]) else { return };
    let (followed, outcome) = machine.followed(command.env("INCUS_SOCKET", machine.path("x/unix.socket")));
    assert_eq!(followed, "");
    assert!(outcome.stderr.contains("permission denied (owner root, group root, mode 0600)\nhint: only root may"));
}

#[test]
fn a_socket_that_is_not_for_us_says_whose_it_is() {
    let (server, users) = ("run/incus/unix.socket", "run/incus/unix.socket.user");
    let passwd = "root:x:0:0::/root:/bin/sh\nalice:x:1000:1000::/:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\n";
    let mut machine = Machine::new();
    machine.serve(server);
    machine.file("etc/passwd", passwd);
    machine.directory("var/lib");
    let check = |groups: &str, group: u32, mode: u32, says: &str| {
        machine.file("etc/group", &format!("root:x:0:\n{groups}nogroup:x:65534:\n"));
        let Some(mut command) = machine.inside(false, &["--incus"]) else { return };
        let stderr = {
            machine.rights(server, group, mode);
            machine.followed(&mut command).1.stderr
        };
        assert_eq!(stderr, format!("lxmon: local: /run/incus/unix.socket: permission denied ({says}\n"));
    };
    let admin = "incus-admin:x:700:alice\n";
    check(
        admin,
        700,
        0o660,
        "owner root, group incus-admin, mode 0660)\nhint: run lxmon as root, or join the group incus-admin (sudo \
         usermod -aG incus-admin $USER) and log in again; its members are root on this machine",
    );
    // The group has another name.
    check(
        "wheel:x:700:\n",
        700,
        0o660,
        "owner root, group wheel, mode 0660)\nhint: run lxmon as root, or join the group wheel (sudo usermod -aG \
         wheel $USER) and log in again; its members are root on this machine",
    );
    check(
        "incus-admin:x:700:alice,nobody\n",
        700,
        0o660,
        "owner root, group incus-admin, mode 0660)\nhint: run lxmon as root, or log in again, because you were not in \
         the group incus-admin yet when you did; its members are root on this machine",
    );
    check(admin, 0, 0o660, "owner root, group root, mode 0660)\nhint: only root may use it: run lxmon as root");
    check(
        admin,
        700,
        0o600,
        "owner root, group incus-admin, mode 0600)\nhint: only root may use it: run lxmon as root",
    );
    check(admin, 701, 0o660, "owner root, group 701, mode 0660)\nhint: only root may use it: run lxmon as root");
    // With a socket for ordinary users, its group is named.
    machine.serve(users);
    machine.rights(users, 701, 0o660);
    for (members, how) in [
        ("", "join the group incus (sudo usermod -aG incus $USER) and log in again"),
        ("nobody", "log in again, because you were not in the group incus yet when you did"),
    ] {
        machine.file("etc/group", &format!("root:x:0:\n{admin}incus:x:701:{members}\n"));
        machine.rights(server, 700, 0o660);
        let Some(mut command) = machine.inside(false, &["--incus"]) else { return };
        let stderr = machine.followed(&mut command).1.stderr;
        let says = format!(
            "mode 0660)\nhint: {how}, and follow a project of your own through /run/incus/unix.socket.user; members of \
             incus-admin are root on this machine\n"
        );
        assert!(stderr.ends_with(&says), "{stderr}");
    }
    // A directory on the way.
    fs::set_permissions(machine.path("run/incus"), fs::Permissions::from_mode(0o700)).unwrap();
    let Some(mut command) = machine.inside(false, &["--incus"]) else { return };
    let stderr = machine.followed(&mut command).1.stderr;
    assert!(
        stderr.contains(
            "permission denied: the directory /run/incus may not be entered (owner root, group root, mode 0700)\nhint: "
        ),
        "{stderr}"
    );
}

#[test]
fn which_server_is_followed_depends_on_which_one_answers() {
    let (lxd, incus) = ("var/lib/lxd/unix.socket", "var/lib/incus/unix.socket");
    // Whether each has a configuration, and how its socket is: a server, stale, closed to us, or missing.
    for (lxd_is, incus_is, configured, wanted, says) in [
        ("served", "missing", "", "lxd", "LXD (its socket /var/lib/lxd/unix.socket answers) at /var/lib/lxd"),
        ("missing", "served", "", "incus", "Incus (its socket /var/lib/incus/unix.socket answers) at /var/lib"),
        ("served", "served", "incus", "lxd", "local: LXD (its socket "),
        (
            "stale",
            "served",
            "lxc",
            "incus",
            "lxmon: nothing listens at LXD's socket /var/lib/lxd/unix.socket; this is Incus (/var/lib/incus/unix.socket)\n",
        ),
        ("closed", "served", "", "incus", "local: Incus (its socket "),
        ("stale", "missing", "", "", "local: /var/lib/lxd/unix.socket: nothing listens there\nhint: start LXD"),
        ("missing", "stale", "", "", "local: /var/lib/incus/unix.socket: nothing listens there\nhint: start Incus"),
        ("stale", "stale", "incus", "", "local: /var/lib/incus/unix.socket: nothing listens there\n"),
        ("stale", "closed", "", "", "/var/lib/incus/unix.socket: permission denied ("),
        (
            "missing",
            "missing",
            "incus",
            "",
            "no Incus socket: there is none at /run/incus/unix.socket or /var/lib/incus/",
        ),
        ("missing", "missing", "", "", "no LXD socket: there is none at /var/snap/lxd/common/lxd/unix.socket or /var"),
    ] {
        let mut machine = Machine::new();
        machine.directory("var/lib");
        machine.directory("run");
        for (socket, state) in [(lxd, lxd_is), (incus, incus_is)] {
            match state {
                "served" | "closed" => machine.serve(socket),
                "stale" => machine.stale(socket),
                _ => {}
            }
            if state != "missing" {
                machine.rights(socket, 0, if state == "closed" { 0o600 } else { 0o666 });
            }
        }
        if !configured.is_empty() {
            machine.file(&format!("home/.config/{configured}/config.yml"), "remotes: {}\n");
        }
        let Some(mut command) = machine.inside(false, &["-v"]) else { return };
        let (followed, outcome) = machine.followed(&mut command);
        let followed = followed.split('/').nth(2).unwrap_or_default().to_owned();
        let stderr = outcome.stderr;
        assert_eq!(followed, wanted, "{lxd_is} {incus_is} {configured}: {stderr}");
        assert!(stderr.contains(says), "{lxd_is} {incus_is} {configured}: {stderr}");
    }
}

#[test]
fn when_both_servers_are_here_a_notice_names_the_other() {
    let mut machine = Machine::new();
    machine.serve("a");
    machine.serve("b");
    let both = [("LXD_SOCKET", "ROOT/a"), ("INCUS_SOCKET", "ROOT/b")];
    let (followed, outcome) = machine.followed(&mut machine.command(&[], &both));
    assert_eq!(followed, "a /1.0/events");
    let notice = "lxmon: LXD (ROOT/a) and Incus (ROOT/b) are both here; this is LXD, --incus follows the other\n";
    assert_eq!(outcome.stderr, machine.with_root(notice));
    for (arguments, to) in [(["--incus"], "b /1.0/events"), (["--lxd"], "a /1.0/events")] {
        let (followed, outcome) = machine.followed(&mut machine.command(&arguments, &both));
        assert_eq!((&*followed, &*outcome.stderr), (to, ""));
    }
    // A stale socket is asked for: the error names the one that answers.
    machine.stale("c");
    let stale = [("LXD_SOCKET", "ROOT/c"), ("INCUS_SOCKET", "ROOT/b")];
    let (_, outcome) = machine.followed(&mut machine.command(&["--lxd"], &stale));
    assert!(
        outcome.stderr.contains("nothing listens there\nhint: start LXD; the server that made this socket is gone; Incus is here too: lxmon --incus\n"),
        "{}",
        outcome.stderr
    );
}

#[test]
fn a_server_that_accepts_nothing_now_is_waited_for() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("unix.socket");
    let listener = UnixListener::bind(&path).unwrap();
    // A second call sets a new length of the queue (listen(2)).
    rustix::net::listen(&listener, 0).unwrap();
    let in_queue = std::os::unix::net::UnixStream::connect(&path).unwrap();
    let both = [("LXD_SOCKET", &path), ("INCUS_SOCKET", &directory.path().join("none"))];
    let mut command = lxmon(["-n1", "-f", "json", "-v"]);
    let running = Running::start(command.envs(both));
    running.wait_for_stderr("local: LXD (its socket ");
    drop(in_queue);
    // The queue has room again.
    for stream in listener.incoming().map_while(Result::ok) {
        let head = read_head(&stream);
        if head.is_empty() {
            continue;
        }
        (&stream).write_all(switching_protocols(&head).as_bytes()).unwrap();
        (&stream).write_all(&frame(true, opcode::TEXT, numbered(0).as_bytes())).unwrap();
        break;
    }
    let outcome = running.end();
    assert_eq!((outcome.status, outcome.stdout.trim_end()), (0, &*numbered(0)), "{}", outcome.stderr);
}

#[test]
fn in_a_guest_its_own_socket_is_followed() {
    let mut machine = Machine::new();
    machine.directory("var/lib");
    machine.directory("run");
    machine.serve("dev/lxd/sock");
    let Some(mut command) = machine.inside(true, &["-v"]) else { return };
    let (followed, outcome) = machine.followed(&mut command);
    assert_eq!(followed, "dev/lxd/sock /1.0/events");
    let says = "local: LXD (no server is here, and this is a guest of one) at /dev/lxd/sock\n";
    assert!(outcome.stderr.contains(says), "{}", outcome.stderr);
    let notice =
        "lxmon: local: the server sends to its containers events of type config and device only, not lifecycle\n";
    for (arguments, is_told) in [(&["-a", "*"][..], true), (&["-t", "config"], false), (&[], false)] {
        let Some(mut command) = machine.inside(true, &[arguments, &["--timeout", "1s"]].concat()) else { return };
        let (_, outcome) = machine.followed(&mut command);
        assert_eq!(outcome.stderr.contains(notice), is_told, "{}", outcome.stderr);
    }
    // With a server on this machine, the guest's socket is not followed.
    machine.serve("var/lib/incus/unix.socket");
    let Some(mut command) = machine.inside(true, &[]) else { return };
    assert_eq!(machine.followed(&mut command).0, "var/lib/incus/unix.socket /1.0/events");

    let mut machine = Machine::new();
    machine.directory("var/lib");
    machine.directory("run");
    machine.serve("dev/incus/sock");
    // In virtual machines of Incus.
    symlink("incus", machine.path("dev/lxd")).unwrap();
    let Some(mut command) = machine.inside(true, &["-v"]) else { return };
    let (followed, outcome) = machine.followed(&mut command);
    assert_eq!(followed, "dev/incus/sock /1.0/events");
    assert!(outcome.stderr.contains("local: Incus (no server is here"), "{}", outcome.stderr);
    // A place that the environment names is the only one.
    let Some(mut command) = machine.inside(true, &[]) else { return };
    let outcome = finish(command.env("LXD_DIR", "/nonexistent"));
    assert!(outcome.stderr.contains("no LXD socket: there is none at /nonexistent/unix.socket"), "{}", outcome.stderr);
}

#[test]
fn the_snaps_system_wide_configuration_comes_before_etc() {
    let mut machine = Machine::new();
    machine.serve("a");
    machine.serve("b");
    machine.file("etc/lxd/config.yml", TO_B);
    let Some(mut command) = machine.inside(true, &["--lxd", "n1:"]) else { return };
    assert_eq!(machine.followed(&mut command).0, "b /1.0/events");
    machine.file("var/snap/lxd/common/global-conf/config.yml", TO_A);
    let Some(mut command) = machine.inside(true, &["--lxd", "n1:"]) else { return };
    assert_eq!(machine.followed(&mut command).0, "a /1.0/events");
}
