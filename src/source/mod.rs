//! Where messages come from: servers, a file, or the built-in demonstration. Only this step uses the network.

pub(crate) mod demo;
pub(crate) mod live;
pub mod replay;
pub(crate) mod server;

use std::sync::Arc;

use self::replay::Recording;
use self::server::Connecting;
use crate::queue::Queue;
use crate::remote::Remote;
use crate::report::followed::Version;

/// Where events come from.
#[derive(Debug)]
pub(crate) enum Source {
    /// Servers, followed concurrently.
    Servers {
        /// The servers.
        remotes: Vec<Remote>,
        /// `--cluster`: whether all members of each server's cluster are followed.
        cluster: bool,
    },
    /// Recordings, which are read one after the other.
    Replay(Vec<Recording>),
    /// The built-in demonstration.
    Demo,
}

impl Source {
    /// The names of the remotes in notices and events, indexed by [`RemoteId`](crate::event::RemoteId). An event of a
    /// remote without a name, such as one of a recording, is printed without it.
    #[must_use]
    pub(crate) fn remote_names(&self) -> Vec<String> {
        match self {
            Self::Servers { remotes, .. } => remotes.iter().map(|remote| remote.name.clone()).collect(),
            // The recorded events may have other ones, by which they were recorded.
            Self::Replay(_) => vec![String::new()],
            Self::Demo => vec!["demo".into()],
        }
    }

    /// Whether the source can wait without limit for a slow output. Servers cannot.
    #[must_use]
    pub(crate) fn is_patient(&self) -> bool {
        !matches!(self, Self::Servers { .. })
    }

    /// Whether several connections are followed, so that several can bring the same event.
    #[must_use]
    pub(crate) fn follows_several(&self) -> bool {
        matches!(self, Self::Servers { remotes, cluster } if *cluster || remotes.len() > 1)
    }

    /// Whether the source is a recording whose next line can take long to arrive.
    #[must_use]
    pub(crate) fn may_rest(&self) -> bool {
        matches!(self, Self::Replay(recordings) if recordings.iter().any(|recording| !recording.is_regular_file()))
    }

    /// Whether events arrive as they happen, so that a wait for the next one can be worth while. Files are read at once.
    #[must_use]
    pub(crate) fn is_live(&self) -> bool {
        !matches!(self, Self::Replay(_)) || self.may_rest()
    }

    /// What the followed servers run, as far as they say so soon after one of them is followed.
    pub(crate) async fn versions(&self, connecting: &Connecting) -> Vec<Option<Version>> {
        match self {
            Self::Servers { remotes, .. } => server::version::of_all(remotes, connecting).await,
            Self::Replay(_) => Vec::new(),
            Self::Demo => {
                connecting.live.any().await;
                vec![Some(demo::version())]
            }
        }
    }

    /// Queues all messages until the source ends.
    ///
    /// # Errors
    /// The source cannot be read or followed, or no longer.
    pub(crate) async fn read(&self, connecting: &Connecting, queue: &Arc<Queue>) -> anyhow::Result<()> {
        match self {
            Self::Servers { remotes, cluster } => server::follow_all(remotes, *cluster, connecting, queue).await,
            Self::Replay(recordings) => {
                connecting.live.report();
                // Lets those who wait for that act, as a short recording may end at once.
                tokio::task::yield_now().await;
                replay::run(recordings, Arc::clone(queue)).await
            }
            Self::Demo => demo::follow(connecting, queue).await,
        }
    }
}
