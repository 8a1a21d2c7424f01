//! An attempt to have a request answered by a remote, at the first of its addresses that does.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt as _};
use log::info;
use tokio::sync::Notify;
use tokio::time::timeout;

use super::stream::Dialed;
use crate::remote::{Address, Remote};
use crate::report::exit::Fault;
use crate::system::duration::shown;

/// How long a server that was asked has the answer to itself. Then the next address is tried as well.
const ANSWER: Duration = Duration::from_secs(3);

/// The number of the address of a connection that worked last, else of the first one.
#[derive(Debug, Default)]
pub(crate) struct Turn(Cell<usize>);

impl Turn {
    /// The number of the address.
    pub(super) fn number(&self) -> usize {
        self.0.get()
    }
}

/// Why a server did not answer.
enum Failure {
    /// There is no connection to any of the addresses that were left.
    Connecting(anyhow::Error),
    /// The server at the address with this number refuses, or the connection is lost.
    Answer(usize, anyhow::Error),
}

/// An attempt to have a request answered.
#[derive(Debug)]
pub(crate) struct Attempt<'a> {
    /// Who is asked.
    pub remote: &'a Remote,
    /// Whether a server has accepted a connection: from then on the connect timeout does not apply.
    pub is_accepted: Cell<bool>,
    turn: &'a Turn,
    /// The numbers of the addresses that were connected to and asked.
    asked: RefCell<Vec<usize>>,
    /// The numbers of the addresses that did not lead to an answer, with the reasons.
    failed: RefCell<Vec<(usize, anyhow::Error)>>,
}

impl<'a> Attempt<'a> {
    /// An attempt that begins with the address whose turn it is.
    pub(crate) fn new(remote: &'a Remote, turn: &'a Turn) -> Self {
        Self { remote, turn, is_accepted: Cell::new(false), asked: RefCell::default(), failed: RefCell::default() }
    }

    /// Connects with `dial` and has `request` answered. If it is refused, tries the next address in place of this one; if
    /// there is no answer within [`ANSWER`], as well.
    ///
    /// # Errors
    /// No address is left: the reasons of all of them.
    pub(crate) async fn run<S, T>(
        &self,
        dial: impl AsyncFn(&Attempt<'_>) -> anyhow::Result<Dialed<S>>,
        request: impl AsyncFn(Dialed<S>) -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        let (is_dialing, is_late) = (Cell::new(false), Notify::new());
        let ask = async || {
            let dialed = dial(self).await.map_err(Failure::Connecting)?;
            is_dialing.set(false);
            self.is_accepted.set(true);
            let number = dialed.number;
            self.asked.borrow_mut().push(number);
            let answer = request(dialed);
            tokio::pin!(answer);
            let answer = if let Ok(answer) = timeout(ANSWER, &mut answer).await {
                answer
            } else {
                if !self.order().is_empty() {
                    let late = anyhow::anyhow!("no answer within {}", shown(ANSWER));
                    info!("{}: {}; trying its other addresses as well", self.remote.name, self.at(number, &late));
                }
                is_late.notify_one();
                answer.await
            };
            answer.map(|answer| (number, answer)).map_err(|error| Failure::Answer(number, error))
        };
        let mut asking = FuturesUnordered::new();
        let mut cannot_connect = None;
        loop {
            // One call of `dial` tries all addresses that are left.
            if !self.order().is_empty() && !is_dialing.get() && cannot_connect.is_none() {
                is_dialing.set(true);
                asking.push(ask());
            }
            tokio::select! {
                biased;
                Some(outcome) = asking.next() => match outcome {
                    Ok((number, answer)) => {
                        self.turn.0.set(number);
                        return Ok(answer);
                    }
                    Err(Failure::Connecting(error)) => cannot_connect = Some(error),
                    Err(Failure::Answer(number, error)) => self.fail(number, error),
                },
                () = is_late.notified() => {}
            }
            if asking.is_empty() {
                match cannot_connect {
                    // Not for want of an address.
                    Some(error) if !self.order().is_empty() => return Err(error),
                    _ if self.order().is_empty() => return Err(self.all_failed()),
                    _ => {}
                }
            }
        }
    }

    /// The numbers of the addresses that are left to try, in turn.
    pub(super) fn order(&self) -> Vec<usize> {
        let count = self.remote.addresses().count();
        let (asked, failed) = (self.asked.borrow(), self.failed.borrow());
        let in_turn = (0..count).map(|step| (self.turn.number() + step) % count);
        let is_left = |number: &usize| !asked.contains(number) && failed.iter().all(|(known, _)| known != number);
        in_turn.filter(is_left).collect()
    }

    /// Records that an address does not lead to an answer.
    pub(super) fn fail(&self, number: usize, error: anyhow::Error) {
        if !self.remote.further.is_empty() {
            info!("{}: {}", self.remote.name, self.at(number, &error));
        }
        self.failed.borrow_mut().push((number, error));
    }

    /// The errors of all addresses as one.
    pub(super) fn all_failed(&self) -> anyhow::Error {
        let mut failed = self.failed.borrow_mut();
        if self.remote.further.is_empty()
            && let Some((_, error)) = failed.pop()
        {
            return error;
        }
        failed.sort_by_key(|(number, _)| *number);
        let faults: Vec<_> = failed
            .iter()
            .filter_map(|(_, error)| error.chain().find_map(|cause| cause.downcast_ref::<Fault>()))
            .collect();
        let texts: Vec<_> = failed.iter().map(|(number, error)| self.at(*number, error)).collect();
        let renewable = faults.iter().find(|fault| fault.is_renewable() && fault.hint_text().is_some());
        let mut fault = Fault::failed(texts.join("; "));
        if let Some(hint) =
            renewable.or(faults.iter().find(|fault| fault.hint_text().is_some())).and_then(|fault| fault.hint_text())
        {
            fault = fault.hint(hint);
        }
        // All addresses get the same login.
        if renewable.is_some() {
            fault = fault.renewable();
        }
        if faults.len() == failed.len() && faults.iter().all(|fault| fault.is_permanent()) {
            fault = fault.permanent();
        }
        fault.into()
    }

    /// An error of one of several addresses, with the address.
    fn at(&self, number: usize, error: &anyhow::Error) -> String {
        let text = format!("{error:#}");
        let (full, short) = match self.remote.addresses().nth(number) {
            Some(Address::Https(https)) => (https.url.clone(), https.host.to_string()),
            Some(Address::Unix(path)) => (path.display().to_string(), path.display().to_string()),
            None => return text,
        };
        if text.starts_with(&short) { text } else { format!("{full}: {text}") }
    }
}
