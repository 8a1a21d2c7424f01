//! Which of the followed connections lead to members of one cluster, and so stand in for each other.
//!
//! Each member sends the events of all. So what one connection misses is no gap while another one brings it:
//!
//! ```text
//!   n1   ────────────────────────────x              a gap from here: nobody brings the events
//!   n2   ──────────x                        ┌────── the first outage of n2 is no gap until n1 is lost too
//!                  └── followed through n1 ─┴ ...
//! ```
//!
//! A member that has just been started does not send the events of the others yet. It learns of them from the heartbeat of
//! the leader, every 10 s (LXD `lxd/cluster/heartbeat.go`, Incus `internal/server/cluster/heartbeat.go`). Measured on
//! LXD 5.0.2: after a restart of an ordinary member it took 6.5 s until the last member had its events, and after that
//! of the leader 15.6 s. So a connection that was made again stands in for others only after [`SETTLE`].
//!
//! What only the member itself sends is missed: its own log messages, and what it does after a restart until we and the
//! other members are connected to it. The former is in the notice of the loss; for the latter, such a member is tried
//! again at least every [`SOON`]. (LXD begins to send events some milliseconds after it has accepted a subscription, so
//! what is lost at a restart cannot be nothing.)

use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use log::{info, warn};
use tokio::sync::Notify;

use crate::event::RemoteId;
use crate::event::gap::Gap;
use crate::queue::{Feed, Item, Queue};
use crate::system::clock::Moment;

/// Three heartbeats: after this time a restarted member sends the events of the others.
const SETTLE: Duration = Duration::from_secs(30);

/// The longest wait before the next attempt to reach a member whose cluster is followed through another one. For the
/// first seconds after its restart, the other members do not send its events.
pub(crate) const SOON: Duration = Duration::from_millis(250);

/// The name of a connection in notices. That of a member can change.
#[derive(Clone, Debug, Default)]
pub(crate) struct Name(Rc<RefCell<String>>);

impl Name {
    pub(crate) fn new(name: String) -> Self {
        Self(Rc::new(RefCell::new(name)))
    }

    pub(crate) fn set(&self, name: String) {
        self.0.replace(name);
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.borrow())
    }
}

/// Connections with the same view bring the same events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct View {
    /// The fingerprint of the certificate that all members of the cluster share.
    pub cluster: String,
    /// Who we are to the server, if it says so: what is sent depends on that.
    pub user: Option<String>,
    /// The project that is asked for, if it is that of the remote.
    pub project: Option<String>,
}

/// All followed connections that can stand in for others.
#[derive(Debug, Default)]
pub(crate) struct Peers {
    peers: RefCell<Vec<Peer>>,
    /// Notified when a connection was made, or a server was asked for its cluster.
    connected: Notify,
}

#[derive(Debug)]
struct Peer {
    feed: Feed,
    name: Name,
    /// `None` while it is not known to be in a cluster.
    view: Option<View>,
    /// Whether it joined its cluster after the start of the program.
    is_new: bool,
    state: State,
    /// The number of times that the connection was made.
    connections: u64,
    /// Whether the server was asked for its cluster, with whatever success.
    is_asked: bool,
}

#[derive(Debug)]
enum State {
    /// It was never connected, or its loss is a gap.
    Away,
    /// It is connected, since this moment or else since the start of the program.
    Live(Option<Moment>),
    /// It is lost, and others bring the events. With the record of its loss, which is no gap so far.
    Covered(Gap),
}

impl Peer {
    fn can_cover(&self) -> bool {
        matches!(self.state, State::Live(since) if since.is_none_or(|since| since.elapsed() >= SETTLE))
    }
}

impl Peers {
    /// Adds a connection, which is not made yet. `view` is its view, if that is known; `is_new` says whether the server
    /// has joined its cluster just now.
    pub(crate) fn add(&self, feed: Feed, name: Name, view: Option<View>, is_new: bool) {
        self.peers.borrow_mut().push(Peer {
            feed,
            name,
            view,
            is_new,
            state: State::Away,
            connections: 0,
            is_asked: false,
        });
    }

    /// Removes a connection that is not followed any more. The outages for which it stood in become gaps if no other
    /// does.
    pub(crate) fn remove(&self, feed: Feed, gap: &Gap, queue: &Queue) {
        self.set_state(feed, State::Away);
        self.uncover(feed, gap, Moment::now(), queue);
        self.peers.borrow_mut().retain(|peer| peer.feed != feed);
    }

    /// Sets what the server says about its cluster; `None` if it is in none.
    pub(crate) fn set_view(&self, feed: Feed, view: Option<View>, queue: &Queue) {
        let mut peers = self.peers.borrow_mut();
        let Some(peer) = peers.iter_mut().find(|peer| peer.feed == feed) else { return };
        if peer.view == view {
            return;
        }
        peer.view.clone_from(&view);
        let Some(View { cluster, .. }) = view else { return };
        info!("{}: a member of the cluster {}", peer.name, cluster.get(..12).unwrap_or(&cluster));
        let is_same = |peer: &&Peer| peer.view.as_ref().is_some_and(|view| view.cluster == cluster);
        let other = peers.iter().filter(is_same).map(|peer| peer.feed.remote).find(|remote| *remote != feed.remote);
        if let Some(other) = other {
            queue.push_always(Item::Joined(feed.remote, other));
        }
    }

    /// The server was asked for its cluster, with whatever success.
    pub(crate) fn set_asked(&self, feed: Feed) {
        if let Some(peer) = self.peers.borrow_mut().iter_mut().find(|peer| peer.feed == feed) {
            peer.is_asked = true;
        }
        self.connected.notify_waiters();
    }

    /// Waits until the server was asked for its cluster, and returns what it has said; `None` if it is in none.
    pub(crate) async fn view(&self, feed: Feed) -> Option<View> {
        loop {
            // Created before the check, so that a change after the check wakes it.
            let changed = self.connected.notified();
            match self.peers.borrow().iter().find(|peer| peer.feed == feed) {
                None => return None,
                Some(peer) if peer.is_asked => return peer.view.clone(),
                Some(_) => {}
            }
            changed.await;
        }
    }

    /// The name of a connection of another remote with this view.
    pub(crate) fn same_view(&self, remote: RemoteId, view: &View) -> Option<String> {
        let peers = self.peers.borrow();
        let same = peers.iter().find(|peer| peer.feed.remote != remote && peer.view.as_ref() == Some(view));
        same.map(|peer| peer.name.to_string())
    }

    /// A connection was made: at the first attempt (`is_first`), or to a server that may just have been started.
    /// Returns whether the outage before it was no gap.
    pub(crate) fn connect(&self, feed: Feed, is_first: bool) -> bool {
        let mut peers = self.peers.borrow_mut();
        let Some(peer) = peers.iter_mut().find(|peer| peer.feed == feed) else { return false };
        let since = if is_first && !peer.is_new { None } else { Some(Moment::now()) };
        let was_covered = matches!(std::mem::replace(&mut peer.state, State::Live(since)), State::Covered(_));
        peer.connections += 1;
        self.connected.notify_waiters();
        was_covered
    }

    /// A connection was lost. Returns the names of the connections that bring the same events; then this is no gap. If
    /// there are none, the outages of others for which this connection stood in are gaps from now on.
    pub(crate) fn lose(&self, feed: Feed, gap: &Gap, since: Moment, queue: &Queue) -> Option<String> {
        let others = self.covering(feed);
        if others.is_empty() {
            self.set_state(feed, State::Away);
            self.uncover(feed, gap, since, queue);
            return None;
        }
        self.set_state(feed, State::Covered(gap.clone()));
        Some(others.join(", "))
    }

    /// Whether the connection is lost, and this is no gap.
    pub(crate) fn is_covered(&self, feed: Feed) -> bool {
        self.peers.borrow().iter().any(|peer| peer.feed == feed && matches!(peer.state, State::Covered(_)))
    }

    /// Whether the connection is made.
    pub(crate) fn is_live(&self, feed: Feed) -> bool {
        self.peers.borrow().iter().any(|peer| peer.feed == feed && matches!(peer.state, State::Live(_)))
    }

    /// Waits until the connection has been made more than `times` times; returns how many times.
    pub(crate) async fn connected(&self, feed: Feed, times: u64) -> u64 {
        loop {
            // Created before the check, so that a connection that is made after the check wakes it.
            let connected = self.connected.notified();
            let made = self.peers.borrow().iter().find(|peer| peer.feed == feed).map_or(0, |peer| peer.connections);
            if made > times {
                return made;
            }
            connected.await;
        }
    }

    fn set_state(&self, feed: Feed, state: State) {
        if let Some(peer) = self.peers.borrow_mut().iter_mut().find(|peer| peer.feed == feed) {
            peer.state = state;
        }
    }

    /// The names of the other connections that bring the events of `feed`.
    fn covering(&self, feed: Feed) -> Vec<String> {
        let peers = self.peers.borrow();
        let Some(view) = peers.iter().find(|peer| peer.feed == feed).and_then(|peer| peer.view.as_ref()) else {
            return Vec::new();
        };
        let covers = |peer: &&Peer| peer.feed != feed && peer.view.as_ref() == Some(view) && peer.can_cover();
        peers.iter().filter(covers).map(|peer| peer.name.to_string()).collect()
    }

    /// Makes gaps of the outages for which no connection stands in any more, from `since` on, when `feed` was lost with
    /// this gap.
    fn uncover(&self, feed: Feed, gap: &Gap, since: Moment, queue: &Queue) {
        let peers = self.peers.borrow();
        let Some(view) = peers.iter().find(|peer| peer.feed == feed).and_then(|peer| peer.view.clone()) else { return };
        let covered = |peer: &&Peer| peer.view.as_ref() == Some(&view) && matches!(peer.state, State::Covered(_));
        let covered: Vec<_> = peers.iter().filter(covered).map(|peer| peer.feed).collect();
        drop(peers);
        for feed in covered.into_iter().filter(|feed| self.covering(*feed).is_empty()) {
            let mut peers = self.peers.borrow_mut();
            let Some(peer) = peers.iter_mut().find(|peer| peer.feed == feed) else { continue };
            if let State::Covered(own) = std::mem::replace(&mut peer.state, State::Away) {
                warn!("{}: its cluster is not followed through another member any more", peer.name);
                let own = Gap { remote: own.remote, reason: own.reason, ..gap.clone() };
                queue.open_gap(feed, own, since);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::system::clock::local_now;

    fn feed(remote: u16) -> Feed {
        RemoteId(remote).into()
    }

    fn gap(remote: u16) -> Gap {
        let reason = format!("reason {remote}");
        Gap { remote: RemoteId(remote), last_event: None, since: local_now(), end: None, reason, dropped: 0 }
    }

    fn view(cluster: &str) -> View {
        View { cluster: cluster.into(), user: None, project: None }
    }

    /// Connections to members of these clusters, or none where the name is empty, all made.
    fn peers(clusters: &[&str]) -> (Peers, Queue) {
        let (peers, queue) = (Peers::default(), Queue::new(1 << 20, false));
        for (number, cluster) in (0..).zip(clusters) {
            peers.add(feed(number), Name::new(format!("n{number}")), None, false);
            peers.connect(feed(number), true);
            peers.set_view(feed(number), (!cluster.is_empty()).then(|| view(cluster)), &queue);
        }
        (peers, queue)
    }

    fn lose(peers: &Peers, number: u16, queue: &Queue) -> Option<String> {
        peers.lose(feed(number), &gap(number), Moment::now(), queue)
    }

    /// The remotes of the gaps that are open, with their reasons.
    fn open(queue: &Queue) -> Vec<String> {
        queue.end().into_iter().map(|gap| format!("{} {}", gap.remote.0, gap.reason)).collect()
    }

    #[test]
    fn members_of_one_cluster_with_the_same_view_stand_in_for_each_other() {
        let (peers, queue) = peers(&["a", "b", "a", "", "", "a"]);
        assert_eq!(lose(&peers, 1, &queue), None);
        assert_eq!(lose(&peers, 3, &queue), None);
        assert_eq!(lose(&peers, 0, &queue).as_deref(), Some("n2, n5"));
        assert_eq!(lose(&peers, 2, &queue).as_deref(), Some("n5"));
        assert!(peers.is_covered(feed(0)) && !peers.is_covered(feed(1)) && !peers.is_covered(feed(5)));
        assert!(peers.connect(feed(0), false) && !peers.connect(feed(1), false));
        let another_project = Some(View { project: Some("web".into()), ..view("a") });
        peers.set_view(feed(5), another_project, &queue);
        assert_eq!(lose(&peers, 5, &queue), None);
    }

    #[test]
    fn when_the_last_one_is_lost_all_outages_are_gaps() {
        let (peers, queue) = peers(&["a", "a", "b", "a"]);
        lose(&peers, 0, &queue).unwrap();
        lose(&peers, 1, &queue).unwrap();
        assert_eq!(lose(&peers, 3, &queue), None);
        assert!(!peers.is_covered(feed(0)) && !peers.is_covered(feed(1)));
        // Whoever has lost the last connection opens its own gap.
        assert_eq!(open(&queue), ["0 reason 0", "1 reason 1"]);
        assert!(!peers.connect(feed(0), false));
    }

    #[test]
    fn a_member_that_leaves_stands_in_for_nobody() {
        let (peers, queue) = peers(&["a", "a"]);
        lose(&peers, 0, &queue).unwrap();
        peers.remove(feed(1), &gap(1), &queue);
        assert_eq!(open(&queue), ["0 reason 0"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_member_that_was_just_started_stands_in_for_others_later() {
        let (peers, queue) = peers(&["a", "a"]);
        lose(&peers, 0, &queue).unwrap();
        assert!(peers.connect(feed(0), false));
        tokio::time::sleep(SETTLE * 9 / 10).await;
        assert_eq!(lose(&peers, 1, &queue), None);
        peers.connect(feed(1), false);
        tokio::time::sleep(SETTLE / 10).await;
        assert_eq!(lose(&peers, 1, &queue).as_deref(), Some("n0"));
    }

    #[test]
    fn remotes_of_one_cluster_are_joined_once() {
        let (peers, queue) = peers(&["a", "b", "a", "a"]);
        peers.set_view(feed(2), Some(view("a")), &queue);
        let joined = std::iter::from_fn(|| queue.take()).map(|item| match item {
            Item::Joined(RemoteId(remote), RemoteId(other)) => (remote, other),
            other => panic!("{other:?}"),
        });
        assert_eq!(joined.collect::<Vec<_>>(), [(2, 0), (3, 0)]);
    }

    #[tokio::test]
    async fn each_connection_is_noticed_once() {
        let (peers, _) = peers(&[""]);
        assert_eq!(peers.connected(feed(0), 0).await, 1);
        let again = async {
            tokio::task::yield_now().await;
            peers.connect(feed(0), false);
        };
        assert_eq!(tokio::join!(peers.connected(feed(0), 1), again).0, 2);
    }
}
