//! The versions of the servers, for the line that says what is followed.
//!
//! The answer that upgrades a connection does not name them (LXD `lxd/events.go`, Incus `cmd/incusd/events.go`), so they
//! are asked for on second connections. That is done when the events of one server are followed already, so that it
//! delays none.

use std::rc::Rc;
use std::time::Duration;

use futures_util::future::join_all;
use log::debug;
use serde::Deserialize;
use tokio::time::timeout;

use super::Connecting;
use super::ask::{Site, ask};
use super::attempt::Turn;
use crate::remote::Remote;
use crate::report::followed::Version;

/// How long the servers have to answer. A line about what is followed that comes later is of no use any more.
const PATIENCE: Duration = Duration::from_secs(1);

/// What a server says about itself (`GET /1.0`). The environment is only for clients that the server trusts.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Server {
    environment: Environment,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Environment {
    server: String,
    server_version: String,
}

impl Server {
    fn version(self, remote: &Remote) -> Option<Version> {
        let Environment { server, server_version } = self.environment;
        let software = match &*server {
            "lxd" => "LXD".to_owned(),
            "incus" => "Incus".to_owned(),
            _ => remote.flavour.to_string(),
        };
        (!server_version.is_empty()).then_some(Version { software, version: server_version })
    }
}

/// Waits until one of the remotes is followed, and then asks all of them. `None` for each that has not answered soon.
pub(in crate::source) async fn of_all(remotes: &[Remote], connecting: &Connecting) -> Vec<Option<Version>> {
    connecting.live.any().await;
    let of_one = async |remote: &Remote| {
        let site = Site { remote, turn: &Turn::default(), session: &Rc::default(), connecting };
        match timeout(PATIENCE, ask::<Server>(site, "/1.0")).await {
            Ok(Ok(server)) => server.version(remote),
            Ok(Err(error)) => {
                debug!("{}: its version is not known: {error:#}", remote.name);
                None
            }
            Err(_) => None,
        }
    };
    join_all(remotes.iter().map(of_one)).await
}
