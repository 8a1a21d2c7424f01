//! Explains why connecting to a local socket failed, with a hint.

use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::Path;

use crate::remote::Remote;
use crate::remote::sockets::{self, Socket};
use crate::report::exit::Fault;
use crate::system::accounts::{Group, user_name};
use crate::system::environment::Environment;

/// Explains why connecting to a local socket failed.
pub(in crate::source::server) fn of_unix_socket(
    path: &Path,
    error: &io::Error,
    remote: &Remote,
    environment: &Environment,
) -> Fault {
    // The remote name `unix:PATH` contains the path already.
    let shown = path.display().to_string();
    let at = if remote.name.ends_with(&shown) { String::new() } else { format!("{shown}: ") };
    let flavour = remote.flavour;
    let is_socket = path.metadata().map(|metadata| metadata.file_type().is_socket());
    match (error.kind(), is_socket) {
        (io::ErrorKind::NotFound, _) => Fault::failed(format!("{at}there is no such socket"))
            .hint(format!("is {flavour} installed and running? `lxmon unix:PATH` follows a socket in another place")),
        (io::ErrorKind::PermissionDenied, _) => denied(path, &at),
        (_, Ok(false)) => Fault::failed(format!("{at}not a socket"))
            .hint("name the server's unix.socket; `lxmon --replay FILE` reads recorded events"),
        (io::ErrorKind::ConnectionRefused, _) => {
            let other = flavour.other();
            let follows_other = match sockets::listens(other, environment) {
                Some(_) => format!("; {other} is here too: lxmon {}", other.option()),
                None => String::new(),
            };
            Fault::failed(format!("{at}nothing listens there"))
                .hint(format!("start {flavour}; the server that made this socket is gone{follows_other}"))
        }
        _ => Fault::failed(format!("{at}{error}")),
    }
}

/// We may not connect to the socket: connecting requires write permission (unix(7)).
fn denied(path: &Path, at: &str) -> Fault {
    let Some(rights) = Rights::of(path) else { return no_way(path, at) };
    let fault = Fault::failed(format!("{at}permission denied ({rights})"));
    let group = match &rights.group {
        Some(group) if rights.is_for_group() => group,
        _ if rights.owner == "root" => return fault.hint("only root may use it: run lxmon as root"),
        _ => return fault.hint(format!("only its owner may use it: sudo -u {} lxmon", rights.owner)),
    };
    if rights.is_ours() {
        return fault.hint(format!(
            "you are in its group {}; what else forbids it? namei -l {}",
            group.name,
            path.display()
        ));
    }
    fault.hint(match Socket::of(path) {
        Socket::Server => {
            let others = sockets::for_users(path).and_then(|path| Some((Rights::of(&path)?, path)));
            match others {
                Some((users, path)) if users.is_for_group() => {
                    let joining = users.group.as_ref().map(joining).unwrap_or_default();
                    let path = path.display();
                    format!(
                        "{joining}, and follow a project of your own through {path}; members of {} are root on this \
                         machine",
                        group.name
                    )
                }
                _ => format!("run lxmon as root, or {}; its members are root on this machine", joining(group)),
            }
        }
        Socket::Users | Socket::Guest => joining(group),
    })
}

/// How to become a member of a group.
fn joining(group: &Group) -> String {
    let name = &group.name;
    if group.has_us() {
        format!("log in again, because you were not in the group {name} yet when you did")
    } else {
        format!("join the group {name} (sudo usermod -aG {name} $USER) and log in again")
    }
}

/// A directory on the way to the socket may not be entered.
fn no_way(path: &Path, at: &str) -> Fault {
    let is_closed = |path: &&Path| rustix::fs::access(*path, rustix::fs::Access::EXEC_OK).is_err();
    let directories: Vec<_> = path.ancestors().skip(1).collect();
    let closed = directories.into_iter().rev().find(is_closed).unwrap_or(path);
    let rights = Rights::of(closed).map(|rights| format!(" ({rights})")).unwrap_or_default();
    Fault::failed(format!("{at}permission denied: the directory {} may not be entered{rights}", closed.display()))
        .hint("run lxmon as root, or as a user who may enter it")
}

/// The owner, group and mode of a file.
struct Rights {
    owner: String,
    /// `None` if the group has no name.
    group: Option<Group>,
    group_number: u32,
    mode: u32,
}

impl Rights {
    fn of(path: &Path) -> Option<Self> {
        let metadata = path.metadata().ok()?;
        let owner = metadata.uid();
        Some(Self {
            owner: user_name(owner).unwrap_or_else(|| owner.to_string()),
            group: Group::with_number(metadata.gid()),
            group_number: metadata.gid(),
            mode: metadata.mode() & 0o7777,
        })
    }

    /// Whether a group other than root's may use the socket.
    fn is_for_group(&self) -> bool {
        self.group.is_some() && self.group_number != 0 && self.mode & 0o020 != 0
    }

    /// Whether this process belongs to the group.
    fn is_ours(&self) -> bool {
        let groups = rustix::process::getgroups().unwrap_or_default();
        groups.into_iter().chain([rustix::process::getegid()]).any(|group| group.as_raw() == self.group_number)
    }
}

impl std::fmt::Display for Rights {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { owner, group, group_number, mode } = self;
        let group = group.as_ref().map_or_else(|| group_number.to_string(), |group| group.name.clone());
        write!(f, "owner {owner}, group {group}, mode {mode:04o}")
    }
}
