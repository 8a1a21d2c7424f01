//! The loop that joins the steps. The main thread reads from the sources and waits for signals; a second one decodes,
//! filters and orders; a third one renders and writes.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use tokio::sync::oneshot;

use crate::config::{Config, Source};
use crate::event::RemoteId;
use crate::exit::{Exit, Fault};
use crate::notice;
use crate::queue::Queue;
use crate::remote::{Address, Flavour, Remote};
use crate::signals::Signals;
use crate::sink::stdout;
use crate::sorter::Sorter;
use crate::source::demo::Demo;
use crate::source::frames::Lost;
use crate::source::server::Follow;
use crate::writer::{Ended, Writer};

/// How long what is queued may take to get out once a signal or the timeout has asked for the end.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Follows what the configuration says until the end, and says how it ended.
///
/// # Errors
/// What ended it, when it was neither asked for nor a signal.
pub fn run(mut config: Config) -> anyhow::Result<Exit> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("starting")?;
    let outcome = runtime.block_on(follow(&mut config));
    // A thread may sit in a read of standard input; the process need not wait for it.
    runtime.shutdown_background();
    outcome
}

async fn follow(config: &mut Config) -> anyhow::Result<Exit> {
    let mut signals = Signals::new().context("catching signals")?;
    let patient = !matches!(config.source, Source::Servers(_));
    let queue = Arc::new(Queue::new(config.buffer, patient));
    let filter = std::mem::take(&mut config.filter);
    let config = &*config;
    let (sorter, batches) = Sorter::new(Arc::clone(&queue), filter, config);
    let writer = Writer::new(config, Arc::clone(&queue), batches).context("standard output")?;
    std::thread::Builder::new().name("sorter".into()).spawn(move || sorter.run()).context("starting the sorter")?;
    let (report, mut reported) = oneshot::channel();
    std::thread::Builder::new()
        .name("writer".into())
        // Nobody waits for the report any more when the process is about to end.
        .spawn(move || _ = report.send(writer.run()))
        .context("starting the writer")?;

    let timeout = async {
        match config.timeout {
            Some(timeout) => tokio::time::sleep(timeout).await,
            None => std::future::pending().await,
        }
    };
    let reader_gone = stdout::reader_gone();
    tokio::pin!(timeout, reader_gone);

    // How it ends, and whether that was asked for before the source had its end.
    let (end, hurry) = tokio::select! {
        ended = &mut reported => return ended.context("the writer died")?.map(|ended| ended.exit(Exit::Success)),
        outcome = read_source(config, &queue) => (outcome.map(|()| Exit::Success), false),
        () = queue.tell_time() => unreachable!("it tells the time for ever"),
        () = &mut timeout => (Ok(timeout_exit(config)), true),
        signal = signals.next() => (Ok(Exit::Signal(signal)), true),
        () = &mut reader_gone => return Ok(Exit::Success),
    };

    // Nothing more comes in; what is queued still goes out.
    queue.end();
    let last_words = async { if hurry { tokio::time::sleep(LAST_WORDS).await } else { std::future::pending().await } };
    tokio::select! {
        ended = &mut reported => match (ended.context("the writer died")??, end) {
            (Ended::Drained, end) => end,
            (_, Ok(Exit::Signal(signal))) => Ok(Exit::Signal(signal)),
            (ended, _) => Ok(ended.exit(Exit::Success)),
        },
        () = last_words => end,
        () = &mut timeout, if !hurry => Ok(timeout_exit(config)),
        signal = signals.next() => Ok(Exit::Signal(signal)),
        () = &mut reader_gone => Ok(Exit::Success),
    }
}

/// With `--count`, what was waited for has not come.
fn timeout_exit(config: &Config) -> Exit {
    if config.count.is_some() { Exit::Timeout } else { Exit::Success }
}

async fn read_source(config: &Config, queue: &Arc<Queue>) -> anyhow::Result<()> {
    match &config.source {
        Source::Servers(remotes) => follow_servers(config, remotes, queue).await,
        Source::Replay(recording) => recording.run(Arc::clone(queue)).await,
        Source::Demo => play_demo(config, queue).await,
    }
}

/// Follows all remotes at once. One that fails is told and does not stop the others.
async fn follow_servers(config: &Config, remotes: &[Remote], queue: &Queue) -> anyhow::Result<()> {
    let follow = |(number, remote): (u16, _)| {
        let id = RemoteId(number);
        let follow = Follow {
            remote,
            id,
            remotes: remotes.len(),
            request: &config.request,
            environment: &config.environment,
            queue,
            reconnect: config.reconnect,
            fail_on_gap: config.fail_on_gap,
        };
        async move { follow.run().await.with_context(|| remote.name.clone()) }
    };
    let mut followed: FuturesUnordered<_> = (0..).zip(remotes).map(follow).collect();
    while let Some(outcome) = followed.next().await {
        let Err(error) = outcome else { continue };
        if remotes.len() == 1 {
            return Err(error);
        }
        notice::tell(&error);
    }
    Err(Fault::failed("none of the remotes is followed any more").into())
}

async fn play_demo(config: &Config, queue: &Queue) -> anyhow::Result<()> {
    let demo = Demo::new()?;
    let remote = Remote {
        name: "demo".into(),
        flavour: Flavour::Lxd,
        why: "the recorded server is one".into(),
        address: Address::Unix(demo.socket()),
        project: None,
    };
    let follow = Follow {
        remote: &remote,
        id: RemoteId::default(),
        remotes: 1,
        request: &config.request,
        environment: &config.environment,
        queue,
        reconnect: false,
        fail_on_gap: false,
    };
    let (served, followed) = tokio::join!(demo.serve(), follow.run());
    served.context("the demonstration's server")?;
    match followed {
        // The server's end is the session's end.
        Err(error) if error.is::<Lost>() => Ok(()),
        outcome => outcome.context("following the demonstration's server"),
    }
}
