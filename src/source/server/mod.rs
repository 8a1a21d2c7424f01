//! Servers: how to connect to one, subscribe and follow it, and how to follow several at once.

mod ask;
pub(crate) mod attempt;
pub(crate) mod backoff;
mod cluster;
pub(crate) mod dial;
pub(crate) mod follow;
mod hints;
pub(crate) mod http;
pub(crate) mod peers;
pub(crate) mod request;
pub(crate) mod session;
pub(crate) mod state;
pub(crate) mod stream;
pub(crate) mod subscription;
mod tcp;
pub(crate) mod tls;
mod tunnel;
pub(crate) mod version;

use std::rc::Rc;

use anyhow::Context as _;
use futures_util::stream::{FuturesUnordered, StreamExt as _};

use self::ask::Site;
use self::attempt::{Attempt, Turn};
use self::cluster::Cluster;
use self::dial::dial;
use self::follow::{Conduct, Follow, Starts};
use self::peers::{Name, Peers};
use self::request::Request;
use self::session::KnownSession;
use self::state::{Asker, Due, Groups};
use crate::event::RemoteId;
use crate::queue::{Feed, Queue};
use crate::remote::Remote;
use crate::report::exit::Fault;
use crate::report::notice;
use crate::source::live::Live;
use crate::system::clock::Resumed;
use crate::system::environment::Environment;

/// The settings that all followed servers share.
#[derive(Debug)]
pub(crate) struct Connecting {
    /// The environment, which may contain credentials.
    pub environment: Environment,
    /// What the servers are asked for.
    pub request: Request,
    /// What happens when a server cannot be followed.
    pub conduct: Conduct,
    /// Reports that the machine was suspended.
    pub resumed: Resumed,
    /// Reports that all remotes are followed.
    pub live: Rc<Live>,
    /// With `--state`: what is asked.
    pub state: Option<Questions>,
}

/// What servers are asked for with `--state`: the present state of their instances, and of more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Questions {
    /// Also of the running operations.
    pub operations: bool,
}

/// Follows all remotes at once, with `cluster` all members of their clusters. The failure of one is reported and does not
/// stop the others.
pub(super) async fn follow_all(
    remotes: &[Remote],
    cluster: bool,
    connecting: &Connecting,
    queue: &Queue,
) -> anyhow::Result<()> {
    let Connecting { environment, request, conduct, resumed, live, state } = connecting;
    let (starts, peers) = (&Starts::new(remotes.len(), Some(live)), &Peers::default());
    // With several remotes, one that fails at the start is retried like one that is lost later.
    let of_several = Conduct { retry: conduct.retry || (remotes.len() > 1 && conduct.reconnect), ..*conduct };
    let names: Vec<_> = remotes.iter().map(|remote| Name::new(remote.name.clone())).collect();
    let turns: Vec<_> = remotes.iter().map(|_| Turn::default()).collect();
    let dues: Vec<_> = remotes.iter().map(|_| Due::default()).collect();
    let follow = |number: u16| {
        let index = usize::from(number);
        Follow {
            remote: &remotes[index],
            turn: &turns[index],
            name: &names[index],
            feed: RemoteId(number).into(),
            peers,
            changes: None,
            request,
            queue,
            conduct: of_several,
            connections: remotes.len(),
            starts,
            resumed,
            state: state.map(|_| &dues[index]),
        }
    };
    let sessions: Vec<Rc<KnownSession>> = remotes.iter().map(|_| Rc::default()).collect();
    let session = |feed: Feed| &sessions[usize::from(feed.remote.0)];
    let run = async |follow: Follow<'_>| {
        follow.run(async |attempt: &Attempt<'_>| dial(attempt, environment, session(follow.feed)).await).await
    };
    let site = |follow: &Follow<'_>| Site {
        remote: &remotes[usize::from(follow.feed.remote.0)],
        turn: &turns[usize::from(follow.feed.remote.0)],
        session: session(follow.feed),
        connecting,
    };
    let groups = &Groups::new(peers);
    let ask = async |follow: &Follow<'_>, groups| {
        // Nothing is ever due without `--state`.
        let Feed { remote, .. } = follow.feed;
        let asker = Asker { site: site(follow), remote, due: &dues[usize::from(remote.0)], queue, groups };
        asker.run(|| follow.remote.only(follow.turn.number())).await;
    };
    if let ([remote], false) = (remotes, cluster) {
        let follow = follow(0);
        let outcome = tokio::select! {
            biased;
            outcome = run(follow) => outcome,
            () = ask(&follow, None), if state.is_some() => unreachable!("it never ends"),
        };
        return outcome.with_context(|| remote.name.clone());
    }
    let follow_one = async |number: u16| {
        let follow = follow(number);
        let Follow { remote, name, feed, .. } = follow;
        let outcome = if cluster {
            let id = RemoteId(number);
            let due = &dues[usize::from(number)];
            Cluster { site: site(&follow), id, queue, peers, starts, conduct: of_several, due }.follow().await
        } else {
            peers.add(feed, name.clone(), None, false);
            tokio::select! {
                biased;
                outcome = run(follow) => outcome,
                () = cluster::watch_view(site(&follow), feed, peers, queue) => unreachable!("it never ends"),
                () = ask(&follow, Some(groups)), if state.is_some() => unreachable!("it never ends"),
            }
        };
        (follow, outcome.with_context(|| remote.name.clone()))
    };
    let mut followed: FuturesUnordered<_> = (0..).zip(remotes).map(|(number, _)| follow_one(number)).collect();
    let mut dropping = FuturesUnordered::new();
    let all = async {
        loop {
            tokio::select! {
                ended = followed.next() => match ended {
                    // The error of the only remote is that of the program.
                    Some((_, outcome)) if remotes.len() == 1 => return outcome,
                    Some((follow, outcome)) => {
                        if let Err(error) = outcome {
                            notice::show(&error);
                        }
                        dropping.push(async move { follow.end_dropping().await });
                    }
                    None => break,
                },
                Some(()) = dropping.next() => {}
            }
        }
        Err(Fault::failed("none of the remotes is followed any more").into())
    };
    tokio::select! {
        biased;
        outcome = all => outcome,
        () = starts.all_failed(), if !conduct.retry => {
            Err(hints::of_all_remotes().into())
        }
    }
}
