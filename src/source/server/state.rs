//! Asks a server for the present state of its instances and operations, on connections of their own (`--state`).
//!
//! The question follows the subscription, so that whatever happens after the answer comes as an event. It waits for the
//! first bytes of the subscription, because the servers answer the upgrade before they register the listener. They send
//! a ping at once after that (LXD `lxd/events/events.go`, `AddListener`, and `connections.go`, `Reader`; Incus
//! `internal/server/events` likewise). What becomes of answers and events is decided in `pipeline/known.rs`.
//!
//! Of 5,000 instances an answer has some 20 MB, because no form of the query names the status without all configuration.
//! So a thread parses the answer while it arrives, and keeps a state event for each instance.

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::fmt;
use std::io::{self, BufReader, Read};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use bytes::Bytes;
use chrono::SecondsFormat;
use log::{info, warn};
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use tokio::sync::{Notify, mpsc};
use tokio::time::{sleep, timeout};

use super::ask::{Site, ask};
use super::attempt::{Attempt, Turn};
use super::backoff::Backoff;
use super::dial::dial;
use super::http::{self, Refusal};
use super::peers::{Peers, View};
use super::request::{Projects, Request};
use super::stream::Dialed;
use super::tcp::on_a_thread;
use super::{Connecting, hints};
use crate::event::RemoteId;
use crate::event::entity::Entity;
use crate::event::message::Block;
use crate::event::state::{DEFAULT_PROJECT, Kind, Record, Running, Subject};
use crate::queue::{Feed, Item, Queue, Stage};
use crate::remote::{Address, Remote};
use crate::report::exit::Fault;
use crate::system::clock::local_now;

/// How long the first bytes of a subscription are waited for. A server that sends no ping is asked then.
const FIRST_BYTES: Duration = Duration::from_millis(500);

/// How long a server may send nothing: it reads the state of thousands of instances before it begins to answer.
const PATIENCE: Duration = Duration::from_secs(120);

/// The maximum size of an answer, in bytes: that of some 60,000 instances.
const LONGEST: usize = 256 << 20;

/// The maximum size of the state events of an answer, in bytes: those of more than 100,000 instances.
const MOST_KEPT: usize = 32 << 20;

/// The maximum number of projects that are asked about one by one.
const MOST_PROJECTS: usize = 1000;

/// The maximum number of pieces of an answer, of some kilobytes each, that wait to be parsed.
const WAITING: usize = 16;

/// When the present state is to be asked for, by what happens to the subscriptions.
#[derive(Debug, Default)]
pub(crate) struct Due {
    has_begun: Cell<bool>,
    is_pending: Cell<bool>,
    /// Whether something has come from the last subscription.
    is_confirmed: Cell<bool>,
    changed: Notify,
}

impl Due {
    /// A subscription was made for the first time. Of several members of a cluster, the first one counts.
    pub(super) fn begin(&self) {
        if !self.has_begun.replace(true) {
            self.reconnect();
        }
    }

    /// A subscription was made again, and events are missing.
    pub(super) fn reconnect(&self) {
        self.is_confirmed.set(false);
        self.lose();
    }

    /// Events are missing.
    pub(super) fn lose(&self) {
        self.is_pending.set(true);
        self.changed.notify_waiters();
    }

    /// Something has come from a subscription, so the server sends all events from now on.
    pub(super) fn confirm(&self) {
        self.is_confirmed.set(true);
        self.changed.notify_waiters();
    }

    async fn wait_until(&self, condition: &Cell<bool>) {
        loop {
            // Created before the check, so that a change after the check wakes it.
            let changed = self.changed.notified();
            if condition.get() {
                return;
            }
            changed.await;
        }
    }

    /// Waits until the state is to be asked for, and the server sends all events.
    async fn wait(&self) {
        self.wait_until(&self.is_pending).await;
        // An error means that the time is over.
        let _ = timeout(FIRST_BYTES, self.wait_until(&self.is_confirmed)).await;
        self.is_pending.set(false);
    }
}

/// Several remotes, some of which can lead to the same cluster.
pub(super) struct Groups<'a> {
    peers: &'a Peers,
    /// For each cluster, as it is seen by a login, the first remote of which it was known. It is asked for all.
    leaders: RefCell<Vec<(View, RemoteId)>>,
}

impl<'a> Groups<'a> {
    pub(super) fn new(peers: &'a Peers) -> Self {
        Self { peers, leaders: RefCell::default() }
    }

    /// The remote that is asked for this one and all others that lead to its cluster.
    async fn leader(&self, remote: RemoteId) -> RemoteId {
        let Some(view) = self.peers.view(Feed::from(remote)).await else { return remote };
        let mut leaders = self.leaders.borrow_mut();
        let known = leaders.iter().find(|(known, _)| *known == view).map(|(_, leader)| *leader);
        known.unwrap_or_else(|| {
            leaders.push((view, remote));
            remote
        })
    }
}

/// Asks for the present state of a remote whenever that is due.
pub(super) struct Asker<'a> {
    pub(super) site: Site<'a>,
    pub(super) remote: RemoteId,
    pub(super) due: &'a Due,
    pub(super) queue: &'a Queue,
    /// `None` for the only remote, and for a cluster whose members are all followed.
    pub(super) groups: Option<&'a Groups<'a>>,
}

impl Asker<'_> {
    /// Asks whenever that is due. `whom` is the server to ask.
    pub(super) async fn run(&self, whom: impl Fn() -> Remote) {
        let mut is_first = true;
        loop {
            self.due.wait().await;
            let leader = self.leader().await;
            // At the start, the other remote is asked. After a gap, whichever is followed again first.
            if std::mem::take(&mut is_first) && leader != self.remote {
                continue;
            }
            tokio::select! {
                biased;
                () = self.due.wait_until(&self.due.is_pending) => {}
                () = self.ask(leader, &whom) => {}
            }
        }
    }

    /// The remote that stands for all that lead to the same cluster.
    async fn leader(&self) -> RemoteId {
        let Some(groups) = self.groups else { return self.remote };
        let leader = groups.leader(self.remote).await;
        if leader != self.remote {
            self.queue.push_always(Item::State(self.remote, Stage::Same(leader), Instant::now()));
        }
        leader
    }

    /// Asks until there is an answer or a refusal to each question.
    async fn ask(&self, leader: RemoteId, whom: &impl Fn() -> Remote) {
        let Site { remote: Remote { name, address, .. }, connecting, .. } = self.site;
        let mut backoff = Backoff::new(matches!(address, Address::Unix(_)));
        let mut kinds = vec![Kind::Instance];
        if connecting.state.is_some_and(|questions| questions.operations) {
            kinds.push(Kind::Operation);
        }
        let mut is_reported = false;
        loop {
            self.queue.push_always(Item::State(leader, Stage::Asked, Instant::now()));
            let mut missing = Vec::new();
            for kind in kinds {
                let things = things(kind);
                match self.answer(&whom(), kind).await {
                    Ok((block, at)) => {
                        info!("{name}: asked for the present state: {} {things}", block.len());
                        self.queue.memory().wait_for_room().await;
                        let block = Arc::new(block.charged_to(self.queue.memory()));
                        let stage = Stage::Answer { kind, block, at };
                        self.queue.push_always(Item::State(leader, stage, Instant::now()));
                    }
                    Err(error) if is_refused(&error) => {
                        warn!("{name}: the present state of its {things} cannot be had, so it is not shown: {error:#}");
                    }
                    Err(error) => {
                        let text = format!("{name}: no answer about the present state of its {things}: {error:#}");
                        if std::mem::replace(&mut is_reported, true) {
                            info!("{text}");
                        } else {
                            warn!("{text}; asking again until there is one");
                        }
                        missing.push(kind);
                    }
                }
            }
            if missing.is_empty() {
                return;
            }
            kinds = missing;
            sleep(backoff.wait()).await;
        }
    }

    /// The state events for the answer of a server, and their timestamp.
    async fn answer(&self, remote: &Remote, kind: Kind) -> anyhow::Result<(Block, String)> {
        let projects = &self.site.connecting.request.projects;
        let records = match self.records(remote, kind, projects).await {
            Err(error) if *projects == Projects::All && is_denied(&error) => {
                self.records_by_project(remote, kind, error).await?
            }
            records => records?,
        };
        events(records, local_now().to_rfc3339_opts(SecondsFormat::Nanos, true))
    }

    /// Asks about each project that the login may see: LXD 5.0 refuses a restricted login the question about all. If each
    /// is refused too, the error is the first one.
    async fn records_by_project(
        &self,
        remote: &Remote,
        kind: Kind,
        error: anyhow::Error,
    ) -> anyhow::Result<Vec<Record>> {
        let site = Site { remote, turn: &Turn::default(), ..self.site };
        let Ok(paths) = ask::<Vec<String>>(site, "/1.0/projects").await else { return Err(error) };
        let mut all = None;
        for path in paths.iter().take(MOST_PROJECTS) {
            let project = Projects::One(Entity::parse(path).name.into_owned());
            match self.records(remote, kind, &project).await {
                Err(error) if is_denied(&error) => {}
                records => all.get_or_insert_with(Vec::new).extend(records?),
            }
        }
        all.ok_or(error)
    }

    /// The states in the answer of a server.
    async fn records(&self, remote: &Remote, kind: Kind, projects: &Projects) -> anyhow::Result<Vec<Record>> {
        let Site { session, connecting: Connecting { environment, .. }, .. } = self.site;
        let request = Request { types: Vec::new(), projects: projects.clone() };
        let turn = Turn::default();
        let attempt = Attempt::new(remote, &turn);
        let project = match projects {
            Projects::Default => Some(remote.project().to_owned()),
            Projects::One(project) => Some(project.clone()),
            Projects::All => None,
        };
        let dial = async |attempt: &Attempt<'_>| {
            let dialed = timeout(PATIENCE, dial(attempt, environment, session)).await;
            dialed.unwrap_or_else(|_| Err(hints::of_silence(PATIENCE).into()))
        };
        let answer = attempt.run(dial, async |Dialed { stream, host, prefix, identity, .. }| {
            let target = request.state_target(kind, &prefix, remote.project.as_deref());
            let (pieces, arriving) = mpsc::channel(WAITING);
            let reading = http::get_in_pieces(stream, &host, &target, &identity, LONGEST, PATIENCE, pieces);
            let answer = Answer { kind, project: project.clone(), records: Vec::new(), size: 0 };
            let parsing = on_a_thread("state", move || answer.parse(arriving));
            let (read, parsed) = tokio::join!(reading, parsing);
            read?;
            parsed?.with_context(|| format!("the answer to {target}"))
        });
        answer.await
    }
}

/// Whether the server says that the login may not ask.
fn is_denied(error: &anyhow::Error) -> bool {
    error.chain().any(|error| error.downcast_ref::<Refusal>().is_some_and(|refusal| refusal.status == 403))
}

/// The events for the states of an answer that has come at this time.
fn events(records: Vec<Record>, at: String) -> anyhow::Result<(Block, String)> {
    let mut block = Block::default();
    for mut record in records {
        record.timestamp.clone_from(&at);
        block.push(&record.to_text()).context("no memory for the answer")?;
    }
    Ok((block, at))
}

/// What a question is about, for people.
fn things(kind: Kind) -> &'static str {
    match kind {
        Kind::Instance => "instances",
        Kind::Operation => "operations",
    }
}

/// Whether the same question would be answered by the same error.
fn is_refused(error: &anyhow::Error) -> bool {
    let is_refusal = |error: &(dyn std::error::Error + 'static)| match error.downcast_ref::<Refusal>() {
        Some(refusal) => refusal.is_permanent(),
        None => error.is::<serde_json::Error>(),
    };
    hints::is_permanent(error) || error.chain().any(is_refusal)
}

/// An answer that is being parsed.
struct Answer {
    kind: Kind,
    /// The project that was asked for; `None` for all.
    project: Option<String>,
    /// The states so far.
    records: Vec<Record>,
    /// The size of their events, in bytes.
    size: usize,
}

/// An instance in the answer to `GET /1.0/instances?recursion=1`, with the members that are needed.
#[derive(Debug, Deserialize)]
struct Listed {
    #[serde(default)]
    name: String,
    #[serde(default)]
    status: String,
    /// Absent before LXD 4.0.
    project: Option<String>,
    location: Option<String>,
}

impl Answer {
    /// Parses the answer. Blocks the thread until it has arrived.
    fn parse(mut self, pieces: mpsc::Receiver<Bytes>) -> anyhow::Result<Vec<Record>> {
        let body = BufReader::new(Body { pieces, piece: Bytes::new() });
        let mut json = serde_json::Deserializer::from_reader(body);
        if !self.document().deserialize(&mut json)? {
            return Err(serde_json::Error::custom("there is no \"metadata\" in it").into());
        }
        Ok(self.records)
    }

    fn document(&mut self) -> Document<'_> {
        Document(self)
    }

    fn add_instance(&mut self, Listed { name, status, project, location }: Listed) -> Result<(), Fault> {
        if name.is_empty() || status.is_empty() {
            return Ok(());
        }
        let project = project.or_else(|| self.project.clone()).unwrap_or_else(|| DEFAULT_PROJECT.to_owned());
        let subject = Subject::instance(name, &project, status);
        self.add(Some(project), location, subject)
    }

    /// Adds an operation unless it has ended: the servers list it for some seconds after that.
    fn add_operation(&mut self, Operation { running, location }: Operation) -> Result<(), Fault> {
        const ENDED: u16 = 200;
        if running.id.is_empty() || running.status_code >= ENDED {
            return Ok(());
        }
        // An operation does not say its project, but the paths in it do.
        let paths = running.resources.iter().flat_map(|kinds| kinds.values()).flatten().flatten();
        let entity = running.metadata.as_ref().and_then(|entities| entities.entity_url.as_ref());
        let project_of =
            |path: &String| Entity::parse(path).project.map_or_else(|| DEFAULT_PROJECT.to_owned(), Cow::into_owned);
        let project = self.project.clone().or_else(|| paths.chain(entity).next().map(project_of));
        self.add(project, location, Subject::operation(running))
    }

    fn add(&mut self, project: Option<String>, location: Option<String>, subject: Subject) -> Result<(), Fault> {
        let record = Record::new(String::new(), project, location, subject);
        self.size += record.to_text().len();
        self.records.push(record);
        if self.size > MOST_KEPT {
            return Err(Fault::failed(format!("it is too long, after {} {}", self.records.len(), things(self.kind))));
        }
        Ok(())
    }
}

/// An operation in the answer to `GET /1.0/operations?recursion=1`.
#[derive(Debug, Deserialize)]
struct Operation {
    #[serde(flatten)]
    running: Running,
    location: Option<String>,
}

/// The whole answer. Returns whether it has `metadata`.
struct Document<'a>(&'a mut Answer);

impl<'de> DeserializeSeed<'de> for Document<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<bool, D::Error> {
        json.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Document<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<bool, M::Error> {
        let mut has_metadata = false;
        while let Some(key) = map.next_key::<String>()? {
            if key == "metadata" {
                has_metadata = true;
                map.next_value_seed(Lists(self.0))?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(has_metadata)
    }
}

/// A list of instances; or lists of operations, by status. `null` where there are none.
struct Lists<'a>(&'a mut Answer);

impl<'de> DeserializeSeed<'de> for Lists<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Lists<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a list of {}", things(self.0.kind))
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<(), M::Error> {
        while map.next_key::<IgnoredAny>()?.is_some() {
            map.next_value_seed(Lists(&mut *self.0))?;
        }
        Ok(())
    }

    fn visit_seq<S: SeqAccess<'de>>(self, mut list: S) -> Result<(), S::Error> {
        match self.0.kind {
            Kind::Instance => {
                while let Some(listed) = list.next_element()? {
                    self.0.add_instance(listed).map_err(S::Error::custom)?;
                }
            }
            Kind::Operation => {
                while let Some(operation) = list.next_element()? {
                    self.0.add_operation(operation).map_err(S::Error::custom)?;
                }
            }
        }
        Ok(())
    }
}

/// The body of an answer that is arriving. A read blocks until there is more.
struct Body {
    pieces: mpsc::Receiver<Bytes>,
    piece: Bytes,
}

impl Read for Body {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.piece.is_empty() {
            let Some(piece) = self.pieces.blocking_recv() else { return Ok(0) };
            self.piece = piece;
        }
        let length = self.piece.len().min(into.len());
        into[..length].copy_from_slice(&self.piece.split_to(length));
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The events for an answer that arrives in pieces of this size.
    fn parsed(kind: Kind, project: Option<&str>, text: &str, size: usize) -> anyhow::Result<Vec<String>> {
        let (sender, pieces) = mpsc::channel(text.len().max(1));
        for piece in text.as_bytes().chunks(size) {
            sender.try_send(Bytes::copy_from_slice(piece)).unwrap();
        }
        drop(sender);
        let project = project.map(str::to_owned);
        let records = Answer { kind, project, records: Vec::new(), size: 0 }.parse(pieces)?;
        let (block, _) = events(records, "now".into())?;
        Ok((0..block.len()).map(|index| block.text(index).to_owned()).collect())
    }

    #[test]
    fn an_answer_about_instances_becomes_events_in_whatever_pieces_it_arrives() {
        let text = r#"{"type":"sync","status":"Success","operation":"","metadata":[{"architecture":"x86_64","config":{"image.os":"a","x":[1,{}]},"name":"c1","status":"Running","status_code":103,"location":"none","project":"web","expanded_devices":{}},{"name":"ü","status":"Stopped"},{"name":"","status":"Error"}]}"#;
        let event = |project: &str, location: &str, name: &str, status: &str, source: &str| {
            format!(
                r#"{{"type":"state","timestamp":"now","project":"{project}"{location},"metadata":{{"kind":"instance","name":"{name}","status":"{status}","source":"/1.0/instances/{source}","changed":false}}}}"#
            )
        };
        let wanted = |project| {
            let query = if project == "default" { "" } else { "?project=p" };
            [
                event("web", r#","location":"none""#, "c1", "Running", "c1?project=web"),
                event(project, "", "ü", "Stopped", &format!("%C3%BC{query}")),
            ]
        };
        for size in [1, 7, 4096] {
            assert_eq!(parsed(Kind::Instance, None, text, size).unwrap(), wanted("default"));
            assert_eq!(parsed(Kind::Instance, Some("p"), text, size).unwrap(), wanted("p"));
        }
        for none in [r#"{"metadata":[]}"#, r#"{"metadata":null}"#] {
            assert!(parsed(Kind::Instance, None, none, 9).unwrap().is_empty());
        }
    }

    #[test]
    fn operations_that_run_have_the_project_of_what_they_work_on() {
        let text = r#"{"metadata":{"running":[{"id":"1","status":"Running","status_code":103,"description":"d","resources":{"instances":["/1.0/instances/c1?project=web"]},"metadata":{"fds":{"0":"hidden"}},"location":"n1"},{"id":"2","status":"Running","status_code":103,"resources":{},"metadata":{"entity_url":"/1.0/instances/c2"}},{"id":"3","status":"Running","status_code":103,"resources":null,"metadata":null}],"success":[{"id":"4","status":"Success","status_code":200}],"pending":null}}"#;
        let events = parsed(Kind::Operation, None, text, 16).unwrap();
        let projects: Vec<_> = events.iter().map(|event| Record::parse(event).unwrap().project).collect();
        assert_eq!(projects, [Some("web".to_owned()), Some("default".to_owned()), None], "{events:#?}");
        assert!(events.iter().all(|event| !event.contains("hidden")), "{events:#?}");
        let events = parsed(Kind::Operation, Some("p"), text, 16).unwrap();
        assert!(events.iter().all(|event| event.contains(r#""project":"p""#)), "{events:#?}");
    }

    #[test]
    fn what_is_no_answer_is_an_error() {
        for (text, says) in [
            ("", "EOF"),
            ("[]", "expected an object"),
            ("{}", "there is no \"metadata\""),
            (r#"{"metadata":[{"name":"c1","#, "EOF"),
            (r#"{"metadata":["/1.0/instances/c1"]}"#, "invalid type"),
            (r#"{"metadata":7}"#, "expected a list of instances"),
            (r#"{"metadata":[{"name":7}]}"#, "invalid type"),
        ] {
            let error = format!("{:#}", parsed(Kind::Instance, None, text, 16).unwrap_err());
            assert!(error.contains(says), "{text}: {error}");
        }
        let many = r#"{"name":"c1","status":"Running"},"#.repeat(300_000);
        let text = format!(r#"{{"metadata":[{}]}}"#, many.trim_end_matches(','));
        let error = format!("{:#}", parsed(Kind::Instance, None, &text, 1 << 20).unwrap_err());
        assert!(error.contains("it is too long, after "), "{error}");
    }

    #[tokio::test(start_paused = true)]
    async fn the_question_waits_for_the_first_bytes_of_a_subscription_and_not_for_ever() {
        let due = Due::default();
        assert!(timeout(FIRST_BYTES * 10, due.wait()).await.is_err());
        due.begin();
        let begun = tokio::time::Instant::now();
        due.wait().await;
        assert_eq!(begun.elapsed(), FIRST_BYTES);
        // Another member of the cluster is followed too.
        due.begin();
        assert!(timeout(FIRST_BYTES * 10, due.wait()).await.is_err());
        due.reconnect();
        due.confirm();
        timeout(Duration::ZERO, due.wait()).await.unwrap();
        due.lose();
        timeout(Duration::ZERO, due.wait()).await.unwrap();
    }
}
