//! The versions of the servers, for the line that says what is followed, and what else `--debug` says of them.
//!
//! The answer that upgrades a connection does not name them (LXD `lxd/events.go`, Incus `cmd/incusd/events.go`), so they
//! are asked for on second connections. That is done when the events of one server are followed already, so that it
//! delays none.

use std::rc::Rc;
use std::time::Duration;

use futures_util::future::join_all;
use log::{Level, debug, log_enabled};
use serde::Deserialize;
use serde::de::IgnoredAny;
use tokio::time::timeout;

use super::Connecting;
use super::ask::{Site, ask};
use super::attempt::Turn;
use crate::remote::Remote;
use crate::report::followed::Version;
use crate::system::duration::shown;

/// How long the servers have to answer. A line about what is followed that comes later is of no use any more.
const PATIENCE: Duration = Duration::from_secs(1);

/// What a server says about itself (`GET /1.0`). The environment is only for clients that the server trusts.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Server {
    environment: Environment,
    api_version: Option<String>,
    api_extensions: Option<Vec<IgnoredAny>>,
    auth: Option<String>,
    auth_methods: Option<Vec<String>>,
    auth_user_name: Option<String>,
    auth_user_method: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Environment {
    server: String,
    server_version: String,
    server_name: Option<String>,
    server_clustered: Option<bool>,
    kernel_version: Option<String>,
    kernel_architecture: Option<String>,
    os_name: Option<String>,
    os_version: Option<String>,
}

impl Server {
    /// With `--debug`, prints what a maintainer asks about the server.
    fn report(&self, remote: &str) {
        if !log_enabled!(Level::Debug) {
            return;
        }
        let text = |text: &Option<String>| text.clone().filter(|text| !text.is_empty()).unwrap_or_else(|| "?".into());
        let user = match (&self.auth_user_name, &self.auth_user_method) {
            (Some(user), Some(method)) => format!(", user {user} by {method}"),
            _ => String::new(),
        };
        let methods = self.auth_methods.as_deref().unwrap_or_default().join(", ");
        debug!("{remote}: to it we are {}{user}; it permits logins by {methods}", text(&self.auth));
        let Environment { server, server_version, server_name, server_clustered, .. } = &self.environment;
        let cluster = match server_clustered {
            Some(true) => "a member of a cluster",
            Some(false) => "in no cluster",
            None => "perhaps in a cluster",
        };
        let extensions = self.api_extensions.as_ref().map_or(0, Vec::len);
        let api = text(&self.api_version);
        if server.is_empty() {
            debug!("{remote}: it does not say what it is; API {api} with {extensions} extensions");
            return;
        }
        let (version, name) = (server_version, text(server_name));
        debug!("{remote}: it is {server} {version} named {name}, {cluster}; API {api} with {extensions} extensions");
        let Environment { kernel_version, kernel_architecture, os_name, os_version, .. } = &self.environment;
        let [kernel, machine, os, release] = [kernel_version, kernel_architecture, os_name, os_version].map(text);
        debug!("{remote}: its system is {os} {release}, kernel {kernel} {machine}");
    }

    fn version(self, remote: &Remote) -> Option<Version> {
        let Environment { server, server_version, .. } = self.environment;
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
            Ok(Ok(server)) => {
                server.report(&remote.name);
                server.version(remote)
            }
            Ok(Err(error)) => {
                debug!("{}: its version is not known: {error:#}", remote.name);
                None
            }
            Err(_) => {
                debug!("{}: its version is not known: no answer within {}", remote.name, shown(PATIENCE));
                None
            }
        }
    };
    join_all(remotes.iter().map(of_one)).await
}
