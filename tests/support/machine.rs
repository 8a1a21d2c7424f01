//! A machine with files and sockets of its own, on which the program runs.

use std::fs;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _, chown};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::geteuid;
use tempfile::TempDir;

use super::program::{Outcome, copy_program, finish, lxmon};
use super::standin::{Connection, StandIn, numbered};

/// A machine: its files, in a directory that stands for the root, and the sockets that answer.
pub(crate) struct Machine {
    root: TempDir,
    servers: Vec<StandIn>,
}

/// The identity of the tests' ordinary user, who is in no group.
pub(crate) const ORDINARY: u32 = 65534;

/// The user's home directory.
const HOME: &str = "home";

impl Machine {
    pub(crate) fn new() -> Self {
        let root = TempDir::new().unwrap();
        fs::set_permissions(root.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let machine = Self { root, servers: Vec::new() };
        machine.directory(HOME);
        machine
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    pub(crate) fn directory(&self, name: &str) -> PathBuf {
        let path = self.path(name);
        fs::DirBuilder::new().recursive(true).mode(0o755).create(&path).unwrap();
        path
    }

    /// Writes a file; `ROOT` in its text is the path of the machine's root.
    pub(crate) fn file(&self, name: &str, text: &str) {
        let path = self.path(name);
        self.directory(Path::new(name).parent().unwrap().to_str().unwrap());
        fs::write(path, self.with_root(text)).unwrap();
    }

    pub(crate) fn with_root(&self, text: &str) -> String {
        text.replace("ROOT", self.root.path().to_str().unwrap())
    }

    /// Starts a server at a socket.
    pub(crate) fn serve(&mut self, socket: &str) {
        self.directory(Path::new(socket).parent().unwrap().to_str().unwrap());
        self.servers.push(StandIn::at(&self.path(socket), |connection: &mut Connection| {
            let project = format!("{:?}", connection.project());
            connection.accept();
            connection.event(&numbered(0).replace(r#""default""#, &project));
            connection.wait();
        }));
    }

    /// Makes a socket on which nothing listens any more.
    pub(crate) fn stale(&self, socket: &str) {
        self.directory(Path::new(socket).parent().unwrap().to_str().unwrap());
        drop(UnixListener::bind(self.path(socket)).unwrap());
    }

    /// Who may use a file.
    pub(crate) fn rights(&self, name: &str, group: u32, mode: u32) {
        // Only root may do it; what asks for it runs in a namespace, which takes root too.
        if geteuid().is_root() {
            chown(self.path(name), None, Some(group)).unwrap();
        }
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(mode)).unwrap();
    }

    /// The program with these arguments and variables, for one event.
    pub(crate) fn command(&self, arguments: &[&str], environment: &[(&str, &str)]) -> Command {
        let mut command = lxmon(["-n1", "-f", "json"]);
        command.args(arguments.iter().map(|text| self.with_root(text))).env("HOME", self.path(HOME));
        command.envs(environment.iter().map(|(name, value)| (name, self.with_root(value))));
        command
    }

    /// The same in a mount namespace of its own, in which this machine's directories stand for the real ones, as root
    /// or as an ordinary user. `None` if that fails, because it takes root.
    pub(crate) fn inside(&self, is_root: bool, arguments: &[&str]) -> Option<Command> {
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
    pub(crate) fn followed(&self, command: &mut Command) -> (String, Outcome) {
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
