//! Clusters: what a server says about its cluster, and how all members of one are followed (`--cluster`).
//!
//! The first server that is asked names the members and their addresses. All present the same certificate and accept the
//! same logins. The one that has answered is followed at the address of the remote, which is known to work from here,
//! and the others at the addresses that the cluster names. The list is asked for again when a lifecycle event says that
//! it has changed, and about once a minute: a user may not ask for lifecycle events.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use anyhow::Context as _;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use log::{info, warn};
use serde::Deserialize;
use tokio::sync::{Notify, mpsc};
use tokio::time::{sleep, timeout};

use super::Connecting;
use super::ask::{Site, ask};
use super::attempt::{Attempt, Turn};
use super::backoff::Backoff;
use super::dial::dial;
use super::follow::{Conduct, Follow, Starts};
use super::hints;
use super::peers::{Name, Peers, View};
use super::request::Projects;
use super::state::{Asker, Due};
use crate::event::RemoteId;
use crate::event::gap::Gap;
use crate::queue::{Feed, Queue};
use crate::remote::{Address, Remote};
use crate::report::exit::Fault;
use crate::report::notice;
use crate::system::clock::local_now;

/// The wait after a question without an answer.
const ASK_AGAIN: Duration = Duration::from_secs(60);

/// How long a list of members is used before it is asked for again. Shortened by a random part of up to one half, so
/// that not all clients ask at the same time.
const LIST_LIFE: Duration = Duration::from_secs(50);

/// The maximum number of members that are followed, which is more than servers support.
const MAX_MEMBERS: u16 = 128;

/// What a server says about itself (`GET /1.0`).
#[derive(Debug, Default, Deserialize)]
struct Server {
    auth_user_name: Option<String>,
    auth_user_method: Option<String>,
    /// Only for clients that the server trusts.
    environment: Option<ServerEnvironment>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ServerEnvironment {
    server_clustered: bool,
    server_name: String,
    certificate_fingerprint: String,
}

/// A member of a cluster (`GET /1.0/cluster/members?recursion=1`).
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
struct Listed {
    server_name: String,
    url: String,
}

impl Server {
    /// What the followed connection to this server brings; `None` if it is in no cluster.
    fn view(&self, Site { remote, connecting, .. }: Site<'_>) -> Option<View> {
        let environment = self.environment.as_ref().filter(|environment| environment.server_clustered)?;
        let user = self.auth_user_name.as_ref();
        Some(View {
            cluster: environment.certificate_fingerprint.clone(),
            user: user.map(|name| format!("{}/{name}", self.auth_user_method.as_deref().unwrap_or_default())),
            project: match connecting.request.projects {
                Projects::Default => Some(remote.project().to_owned()),
                Projects::One(_) | Projects::All => None,
            },
        })
    }
}

/// For one of several remotes: finds out, whenever the connection has been made, which cluster it leads to.
pub(super) async fn watch_view(site: Site<'_>, feed: Feed, peers: &Peers, queue: &Queue) {
    let mut connections = 0;
    loop {
        connections = peers.connected(feed, connections).await;
        loop {
            match ask::<Server>(site, "/1.0").await {
                Ok(server) => {
                    peers.set_view(feed, server.view(site), queue);
                    peers.set_asked(feed);
                    break;
                }
                // What was known before is most likely still true.
                Err(error) => info!("{}: cannot ask whether it is in a cluster: {error:#}", site.remote.name),
            }
            peers.set_asked(feed);
            sleep(ASK_AGAIN).await;
        }
    }
}

/// A followed member.
#[derive(Debug)]
struct Member {
    number: u16,
    /// Its address in the cluster.
    url: String,
    name: Name,
    /// Where it is followed.
    remote: Remote,
    /// Notified when it has left the cluster.
    left: Notify,
    /// Whether it cannot be followed any more.
    has_ended: Cell<bool>,
}

/// The cluster of a remote, and how its members are followed.
pub(super) struct Cluster<'a> {
    pub(super) site: Site<'a>,
    pub(super) id: RemoteId,
    pub(super) queue: &'a Queue,
    pub(super) peers: &'a Peers,
    /// The outcomes of the first attempts to connect to all remotes.
    pub(super) starts: &'a Starts<'a>,
    pub(super) conduct: Conduct,
    /// When the present state is to be asked for.
    pub(super) due: &'a Due,
}

impl Cluster<'_> {
    /// Follows all members of the cluster.
    ///
    /// # Errors
    /// The list of members cannot be had at the start, or no member is followed any more.
    pub(super) async fn follow(self) -> anyhow::Result<()> {
        let Remote { name, address, .. } = self.site.remote;
        let (server, own, listed) = match self.first_list().await {
            Ok(answer) => answer,
            Err(error) => {
                self.starts.report(false);
                if !self.conduct.retry || hints::is_permanent(&error) {
                    return Err(error);
                }
                notice::show(&error.context(name.clone()));
                warn!("{name}: trying again until it can be followed");
                self.retry_first_list().await?
            }
        };
        let Some(view) = server.view(self.site) else {
            warn!("{name}: not in a cluster; the server is followed alone");
            return self.follow_alone().await;
        };
        if let Some(other) = self.peers.same_view(self.id, &view) {
            info!("{name}: followed already, as {other} is of the same cluster");
            self.starts.report(true);
            self.starts.follow();
            return Ok(());
        }
        if matches!(address, Address::Unix(_)) {
            self.check_socket(&server, &listed)?;
        }
        self.starts.report(true);
        self.follow_members(&server.environment.unwrap_or_default().server_name, own, listed, view).await
    }

    /// Asks what the server is, and if it is in a cluster, for the members. Returns as well where the server is followed:
    /// of several addresses of the remote, each can lead to another member.
    async fn first_list(&self) -> anyhow::Result<(Server, Remote, Vec<Listed>)> {
        let Site { remote, turn, .. } = self.site;
        let server: Server = ask(self.site, "/1.0").await?;
        let own = remote.only(turn.number());
        if !server.environment.as_ref().is_some_and(|environment| environment.server_clustered) {
            return Ok((server, own, Vec::new()));
        }
        let listed = self.list(remote).await.context("the members of its cluster")?;
        Ok((server, own, listed))
    }

    async fn retry_first_list(&self) -> anyhow::Result<(Server, Remote, Vec<Listed>)> {
        let mut backoff = Backoff::new(matches!(self.site.remote.address, Address::Unix(_)));
        loop {
            sleep(backoff.wait()).await;
            match self.first_list().await {
                Err(error) if !hints::is_permanent(&error) => {
                    info!("{}: {error:#}; trying again", self.site.remote.name);
                }
                outcome => return outcome,
            }
        }
    }

    async fn list(&self, remote: &Remote) -> anyhow::Result<Vec<Listed>> {
        ask(Site { remote, turn: &Turn::default(), ..self.site }, "/1.0/cluster/members?recursion=1").await
    }

    /// # Errors
    /// The remote is a local socket, whose login the other members do not know.
    fn check_socket(&self, server: &Server, listed: &[Listed]) -> Result<(), Fault> {
        let own = server.environment.as_ref().map_or("", |environment| &environment.server_name);
        let others: Vec<_> = listed.iter().filter(|member| member.server_name != own).collect();
        let Some(other) = others.first() else { return Ok(()) };
        let url = listed.iter().find(|member| member.server_name == own).map_or(&other.url, |member| &member.url);
        let names: Vec<_> = others.iter().map(|member| &*member.server_name).collect();
        let client = self.site.remote.flavour.client();
        Err(Fault::failed(format!(
            "--cluster: the other members ({}) do not accept the login of a local socket",
            names.join(", ")
        ))
        .hint(format!("add the server as an HTTPS remote, and follow that: {client} remote add NAME {url} && lxmon NAME: --cluster"))
        .permanent())
    }

    /// Follows a server that is in no cluster.
    async fn follow_alone(&self) -> anyhow::Result<()> {
        let name = Name::new(self.site.remote.name.clone());
        let Connecting { environment, request, resumed, .. } = self.site.connecting;
        let follow = Follow {
            remote: self.site.remote,
            turn: self.site.turn,
            name: &name,
            feed: self.id.into(),
            peers: self.peers,
            changes: None,
            request,
            queue: self.queue,
            conduct: self.conduct,
            connections: 1,
            starts: self.starts,
            resumed,
            state: self.site.connecting.state.map(|_| self.due),
        };
        let asker = self.asker();
        tokio::select! {
            biased;
            outcome = follow.run(async |attempt: &Attempt<'_>| dial(attempt, environment, self.site.session).await) => outcome,
            () = asker.run(|| self.site.remote.only(self.site.turn.number())) => unreachable!("it never ends"),
        }
    }

    /// Asks for the present state, if that is wanted: of all members at once.
    fn asker(&self) -> Asker<'_> {
        Asker { site: self.site, remote: self.id, due: self.due, queue: self.queue, groups: None }
    }

    /// Follows the members. `own_name` is the name of the one that the remote leads to, with the address `own`.
    async fn follow_members(&self, own_name: &str, own: Remote, listed: Vec<Listed>, view: View) -> anyhow::Result<()> {
        let shared = Shared {
            own_name,
            own,
            view,
            changes: Notify::new(),
            connections: listed.len(),
            starts: self.starts.of_members(listed.len()),
            members: RefCell::default(),
        };
        let (asked, mut lists) = mpsc::unbounded_channel();
        let asking = async {
            loop {
                let wait = LIST_LIFE.mul_f64(1.0 - fastrand::f64() / 2.0);
                // An error means that the time is over.
                let _ = timeout(wait, shared.changes.notified()).await;
                let remote = self.answering(&shared);
                // The receiver lives as long as this.
                let _ = asked.send(self.list(&remote).await);
            }
        };
        tokio::pin!(asking);
        let questions = self.asker();
        let asking_for_state = questions.run(|| self.answering(&shared));
        tokio::pin!(asking_for_state);
        let mut followed = FuturesUnordered::new();
        let mut dropping = FuturesUnordered::new();
        // Errors of members that may have left the cluster: the next list decides.
        let mut errors: Vec<(Rc<Member>, anyhow::Error)> = Vec::new();
        for member in self.renew(&shared, listed, true) {
            followed.push(self.follow_member(member, &shared));
        }
        // A member that is down at the start is not waited for: the others bring its events.
        let some_live = shared.starts.some_live();
        tokio::pin!(some_live);
        let mut is_followed = false;
        loop {
            tokio::select! {
                () = &mut some_live, if !is_followed => {
                    is_followed = true;
                    self.starts.follow();
                }
                Some((member, outcome)) = followed.next() => {
                    member.has_ended.set(true);
                    let (feed, name, queue) = (self.feed(&member), member.name.clone(), self.queue);
                    dropping.push(async move {
                        if queue.is_dropping(feed) && let Some(gap) = queue.end_dropping(feed).await {
                            warn!("{name}: {gap}");
                        }
                    });
                    if let Err(error) = outcome {
                        errors.push((member, error));
                        shared.changes.notify_one();
                    }
                }
                Some(()) = dropping.next() => {}
                Some(answer) = lists.recv() => {
                    match answer {
                        Ok(listed) => {
                            for member in self.renew(&shared, listed, false) {
                                followed.push(self.follow_member(member, &shared));
                            }
                        }
                        Err(error) => info!("{}: the list of members cannot be renewed: {error:#}", self.site.remote.name),
                    }
                    for (member, error) in errors.drain(..).filter(|(member, _)| shared.has(member)) {
                        notice::show(&error.context(member.name.to_string()));
                    }
                    if shared.members.borrow().iter().all(|member| member.has_ended.get()) {
                        return Err(Fault::failed("no member of its cluster is followed any more").into());
                    }
                }
                () = &mut asking => unreachable!("it asks for ever"),
                () = &mut asking_for_state => unreachable!("it never ends"),
            }
        }
    }

    fn feed(&self, member: &Member) -> Feed {
        Feed { remote: self.id, member: member.number }
    }

    /// The server to ask for the list of members: the first one that is connected, else the remote itself.
    fn answering(&self, shared: &Shared<'_>) -> Remote {
        let members = shared.members.borrow();
        let live = members.iter().find(|member| self.peers.is_live(self.feed(member)));
        live.map_or(self.site.remote, |member| &member.remote).clone()
    }

    /// Stops following the members that are not in the list, and returns those that are new in it.
    fn renew(&self, shared: &Shared<'_>, listed: Vec<Listed>, is_first: bool) -> Vec<Rc<Member>> {
        let mut members = shared.members.borrow_mut();
        members.retain(|member| {
            let is_listed = listed.iter().any(|listed| listed.url == member.url);
            if !is_listed {
                info!("{}: is not in the cluster any more", member.name);
                member.left.notify_one();
                let gap = Gap {
                    remote: self.id,
                    last_event: None,
                    since: local_now(),
                    end: None,
                    reason: "the member has left the cluster".into(),
                    dropped: 0,
                };
                self.peers.remove(self.feed(member), &gap, self.queue);
            }
            is_listed
        });
        let mut new = Vec::new();
        for Listed { server_name, url } in listed {
            let name = format!("{}/{server_name}", self.site.remote.name);
            if let Some(known) = members.iter().find(|member| member.url == url) {
                known.name.set(name);
                continue;
            }
            let is_own = is_first && server_name == shared.own_name;
            let remote = if is_own { Ok(shared.own.clone()) } else { self.at(&url) };
            let remote = match remote {
                Ok(remote) => remote,
                Err(error) => {
                    notice::show(&anyhow::Error::new(error).context(name));
                    continue;
                }
            };
            let number = (0..MAX_MEMBERS).find(|number| members.iter().all(|member| member.number != *number));
            let Some(number) = number else {
                warn!("{name}: not followed, as {MAX_MEMBERS} members are followed already");
                continue;
            };
            if !is_first {
                info!("{name}: has joined the cluster");
            }
            let member = Rc::new(Member {
                number,
                url,
                name: Name::new(name),
                remote,
                left: Notify::new(),
                has_ended: Cell::new(false),
            });
            self.peers.add(self.feed(&member), member.name.clone(), Some(shared.view.clone()), !is_first);
            members.push(Rc::clone(&member));
            new.push(member);
        }
        new
    }

    /// The remote at the address of another member.
    fn at(&self, url: &str) -> Result<Remote, Fault> {
        self.site.remote.at(url, &self.site.connecting.environment)
    }

    async fn follow_member(&self, member: Rc<Member>, shared: &Shared<'_>) -> (Rc<Member>, anyhow::Result<()>) {
        let Connecting { environment, request, resumed, .. } = self.site.connecting;
        let follow = Follow {
            remote: &member.remote,
            turn: &Turn::default(),
            name: &member.name,
            feed: self.feed(&member),
            peers: self.peers,
            changes: Some(&shared.changes),
            request,
            queue: self.queue,
            // A member that fails at the start is retried like one that is lost later.
            conduct: Conduct { retry: self.conduct.retry || self.conduct.reconnect, ..self.conduct },
            connections: shared.connections,
            starts: &shared.starts,
            resumed,
            state: self.site.connecting.state.map(|_| self.due),
        };
        let dial = async |attempt: &Attempt<'_>| dial(attempt, environment, self.site.session).await;
        let outcome = tokio::select! {
            biased;
            () = member.left.notified() => Ok(()),
            outcome = follow.run(dial) => outcome,
        };
        (member, outcome)
    }
}

/// What the followed members of a cluster share.
struct Shared<'a> {
    /// The name of the member that the remote leads to.
    own_name: &'a str,
    /// The remote with the address that leads to it.
    own: Remote,
    /// What each of their connections brings.
    view: View,
    /// Notified when the list of members may have changed.
    changes: Notify,
    /// How many members there were at the start.
    connections: usize,
    starts: Starts<'a>,
    members: RefCell<Vec<Rc<Member>>>,
}

impl Shared<'_> {
    fn has(&self, member: &Rc<Member>) -> bool {
        self.members.borrow().iter().any(|known| Rc::ptr_eq(known, member))
    }
}
