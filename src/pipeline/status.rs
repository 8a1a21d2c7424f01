//! Notifies the service manager: that the events are followed, what is followed and how many events have been printed,
//! and that the event loop is alive.
//!
//! All of this runs on the event loop, so that a loop that hangs is restarted by the manager's watchdog.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use crate::event::RemoteId;
use crate::queue::Queue;
use crate::report::followed::Followed;
use crate::report::service::{Message, Service};
use crate::sink::Flow;
use crate::source::live::Live;

/// How often the number of events in the status is renewed, at most.
const RENEWAL: Duration = Duration::from_secs(10);

/// The wait before a message that the manager did not accept is sent again.
const AGAIN: Duration = Duration::from_secs(1);

/// The service manager, and what it knows.
#[derive(Debug)]
pub(super) struct Status {
    service: Service,
    /// What is followed.
    followed: Followed,
    /// The names of the remotes.
    names: Vec<String>,
    /// The last status that was sent.
    sent: String,
    /// Whether the manager knows that the service has started.
    is_ready: bool,
    /// When the next sign of life is due; `None` without a watchdog.
    alive_at: Option<Instant>,
}

impl Status {
    pub(super) fn new(service: Service, followed: Followed, names: Vec<String>) -> Self {
        let alive_at = service.interval().map(|_| Instant::now());
        Self { service, followed, names, sent: String::new(), is_ready: false, alive_at }
    }

    /// Notifies the manager for as long as events are read.
    pub(super) async fn report(&mut self, live: &Live, queue: &Queue, flow: &Flow) {
        let mut is_live = false;
        loop {
            // Created before the outages are read, so that no later one is missed.
            let outage = queue.outage();
            let text = self.text(is_live, queue, flow);
            let is_sent = if is_live && !self.is_ready {
                self.is_ready = self.service.send(Message::Ready(&text));
                self.is_ready
            } else {
                text == self.sent || self.service.send(Message::Status(&text))
            };
            if is_sent {
                self.sent = text;
            }
            let renewal = Instant::now() + if is_sent { RENEWAL } else { AGAIN };
            tokio::select! {
                biased;
                () = live.all(), if !is_live => is_live = true,
                () = outage => {}
                () = sleep_until(renewal) => {}
                () = alive(&mut self.service, &mut self.alive_at) => {}
            }
        }
    }

    /// The end of a run in which all remotes were followed, perhaps too shortly for [`Status::report`] to say so.
    pub(super) fn end(&mut self, queue: &Queue, flow: &Flow) {
        if !self.is_ready {
            let text = self.text(true, queue, flow);
            self.is_ready = self.service.send(Message::Ready(&text));
        }
    }

    /// The service is stopping: it is to write the last events before a deadline. The manager kills a service that takes
    /// too long for that.
    pub(super) fn stop(&mut self) {
        self.service.send(Message::Stopping("writing the last events"));
    }

    /// Notifies the manager while the last events are being written.
    pub(super) async fn finish(&mut self) {
        alive(&mut self.service, &mut self.alive_at).await;
    }

    fn text(&self, is_live: bool, queue: &Queue, flow: &Flow) -> String {
        let mut parts = vec![format!("{} {}", self.followed.verb(is_live), self.followed.text())];
        for gap in queue.open_outages() {
            let RemoteId(number) = gap.remote;
            let name = self.names.get(usize::from(number)).map_or("", String::as_str);
            parts.push(format!("reconnecting to {name} since {} ({})", gap.since.format("%H:%M:%S"), gap.reason));
        }
        match flow.written() {
            0 => {}
            1 => parts.push("1 event".into()),
            events => parts.push(format!("{events} events")),
        }
        parts.join("; ")
    }
}

/// Sends signs of life for ever.
async fn alive(service: &mut Service, at: &mut Option<Instant>) {
    let (Some(interval), Some(at)) = (service.interval(), at) else { return std::future::pending().await };
    loop {
        sleep_until(*at).await;
        service.send(Message::Alive);
        *at = Instant::now() + interval;
    }
}
