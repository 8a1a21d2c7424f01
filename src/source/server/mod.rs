//! Servers: how to connect to one, subscribe and follow it, and how to follow several at once.

pub(crate) mod backoff;
pub(crate) mod dial;
pub(crate) mod follow;
mod hints;
pub(crate) mod http;
pub(crate) mod request;
pub(crate) mod subscription;
pub(crate) mod tls;

use std::cell::Cell;

use anyhow::Context as _;
use futures_util::stream::{FuturesUnordered, StreamExt as _};

use self::dial::dial;
use self::follow::{Conduct, Follow, Starts};
use self::request::Request;
use crate::event::RemoteId;
use crate::queue::Queue;
use crate::remote::Remote;
use crate::report::exit::Fault;
use crate::report::notice;
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
}

/// Follows all remotes at once. The failure of one is reported and does not stop the others.
pub(super) async fn follow_all(remotes: &[Remote], connecting: &Connecting, queue: &Queue) -> anyhow::Result<()> {
    let Connecting { environment, request, conduct, resumed } = connecting;
    let starts = Starts::new(remotes.len());
    // With several remotes, one that fails at the start is retried like one that is lost later.
    let of_several = Conduct { retry: conduct.retry || (remotes.len() > 1 && conduct.reconnect), ..*conduct };
    let follow = |(number, remote)| {
        let follow = Follow {
            remote,
            id: RemoteId(number),
            request,
            queue,
            conduct: of_several,
            connections: remotes.len(),
            starts: &starts,
            resumed,
        };
        let dial = async |is_accepted: &Cell<bool>| dial(remote, environment, is_accepted).await;
        async move { (follow, follow.run(dial).await.with_context(|| remote.name.clone())) }
    };
    if let [remote] = remotes {
        return follow((0, remote)).await.1;
    }
    let mut followed: FuturesUnordered<_> = (0..).zip(remotes).map(follow).collect();
    let mut dropping = FuturesUnordered::new();
    let all = async {
        loop {
            tokio::select! {
                ended = followed.next() => match ended {
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
            Err(Fault::failed("none of the remotes can be followed").hint("--retry keeps trying").into())
        }
    }
}
