//! The sockets of the local servers.

use std::path::PathBuf;

use super::Flavour;
use crate::report::exit::Fault;
use crate::system::environment::Environment;

/// The paths to try, in order. A path from the environment is the only one.
fn places(flavour: Flavour, environment: &Environment) -> Vec<PathBuf> {
    let (socket, directory, usual) = match flavour {
        Flavour::Lxd => ("LXD_SOCKET", "LXD_DIR", ["/var/snap/lxd/common/lxd/unix.socket", "/var/lib/lxd/unix.socket"]),
        Flavour::Incus => ("INCUS_SOCKET", "INCUS_DIR", ["/run/incus/unix.socket", "/var/lib/incus/unix.socket"]),
    };
    if let Some(socket) = environment.path(socket) {
        return vec![socket];
    }
    if let Some(directory) = environment.path(directory) {
        return vec![directory.join("unix.socket")];
    }
    usual.into_iter().map(PathBuf::from).collect()
}

/// The first path that can be connected to.
pub(super) fn usable(flavour: Flavour, environment: &Environment) -> Option<PathBuf> {
    // Connecting requires write permission (unix(7)).
    let writable = |path: &PathBuf| rustix::fs::access(path, rustix::fs::Access::WRITE_OK).is_ok();
    places(flavour, environment).into_iter().find(writable)
}

/// The first path that exists.
pub(super) fn existing(flavour: Flavour, environment: &Environment) -> Option<PathBuf> {
    places(flavour, environment).into_iter().find(|path| path.symlink_metadata().is_ok())
}

/// The socket to connect to.
///
/// # Errors
/// There is no socket; the error lists the paths that were tried.
pub(super) fn find(flavour: Flavour, environment: &Environment) -> Result<PathBuf, Fault> {
    if let Some(path) = usable(flavour, environment).or_else(|| existing(flavour, environment)) {
        return Ok(path);
    }
    let places: Vec<_> = places(flavour, environment).iter().map(|path| path.display().to_string()).collect();
    let hint = match flavour {
        Flavour::Lxd => {
            "is LXD installed and running? `lxmon --incus` follows Incus, `lxmon unix:PATH` a socket in another place"
        }
        Flavour::Incus => {
            "is Incus installed and running? `lxmon --lxd` follows LXD, `lxmon unix:PATH` a socket in another place"
        }
    };
    Err(Fault::failed(format!("no {flavour} socket: there is none at {}", places.join(" or "))).hint(hint))
}
