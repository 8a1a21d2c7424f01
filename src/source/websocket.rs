//! A subscription to a server's events over any byte stream: one HTTP request, upgraded to a WebSocket.

use std::fmt::Write as _;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use log::debug;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite};

use super::frames::{Frame, Frames, Lost};
use super::http;
use crate::remote::login::Secret;

/// What is asked of a server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request {
    /// Event types; none asks for all that are permitted.
    pub types: Vec<String>,
    /// The projects.
    pub projects: Projects,
}

/// Which projects' events are asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Projects {
    /// The remote's own project, else the server's default.
    #[default]
    Default,
    /// This one.
    One(String),
    /// All of them.
    All,
}

impl Request {
    /// The path and query; `default_project` is the remote's own project. Sent even where it is the server's default
    /// anyway, as an answer to what was asked.
    #[must_use]
    pub fn target(&self, prefix: &str, default_project: Option<&str>) -> String {
        let mut target = format!("{prefix}/1.0/events");
        let mut separator = '?';
        let mut add = |name: &str, value: &str| {
            target.push(separator);
            target.push_str(name);
            target.push('=');
            for byte in value.bytes() {
                match byte {
                    b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' | b',' => {
                        target.push(char::from(byte));
                    }
                    // Writing to a String cannot fail.
                    _ => _ = write!(target, "%{byte:02X}"),
                }
            }
            separator = '&';
        };
        if !self.types.is_empty() {
            add("type", &self.types.join(","));
        }
        match (&self.projects, default_project) {
            (Projects::All, _) => add("all-projects", "true"),
            (Projects::One(project), _) => add("project", project),
            (Projects::Default, Some(project)) => add("project", project),
            (Projects::Default, None) => {}
        }
        target
    }
}

/// A live subscription.
#[derive(Debug)]
pub struct Subscription<S> {
    stream: S,
    frames: Frames,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Subscription<S> {
    /// Sends the request for `target` with `authorization` as header, if any, and reads the answer. It is one of so many
    /// `remotes` that are followed.
    ///
    /// # Errors
    /// [`Refusal`](super::http::Refusal) with what the server said, [`NotAServer`](super::http::NotAServer), or an
    /// [`std::io::Error`].
    pub async fn open(
        stream: S,
        host: &str,
        target: &str,
        authorization: Option<&Secret>,
        remotes: usize,
    ) -> anyhow::Result<Self> {
        let (stream, behind) = http::upgrade(stream, host, target, authorization).await?;
        Ok(Self { stream, frames: Frames::new(&behind, remotes) })
    }

    /// Waits for frames and adds all that one read of the socket brings. May be cancelled at any time.
    ///
    /// # Errors
    /// Why the connection is lost. What was received before is in `burst`.
    pub async fn read(&mut self, burst: &mut Vec<Frame>) -> Result<(), Lost> {
        loop {
            while let Some(frame) = self.frames.next()? {
                burst.push(frame);
            }
            if !burst.is_empty() {
                // It may take a while until we are asked to read again.
                poll_fn(|context| {
                    self.send(context);
                    Poll::Ready(())
                })
                .await;
                return Ok(());
            }
            let received = poll_fn(|context| {
                self.send(context);
                pin!(self.stream.read_buf(self.frames.room())).poll(context)
            });
            if received.await? == 0 {
                // The servers end without a Close frame; so does everything that dies.
                return Err(Lost("the server closed the connection".into()));
            }
        }
    }

    /// Asks the server for a sign of life; sent with the next read.
    pub fn ping(&mut self) {
        self.frames.ping();
    }

    /// Sends of what is to be sent as much as the server takes just now. That one which only sends takes nothing must
    /// not keep us from reading; and that sending fails is no end: a server that died may have sent events before, and
    /// reading tells when they are all.
    fn send(&mut self, context: &mut Context<'_>) {
        while !self.frames.outgoing().is_empty() {
            match Pin::new(&mut self.stream).poll_write(context, self.frames.outgoing()) {
                Poll::Pending => break,
                Poll::Ready(Ok(sent @ 1..)) => _ = self.frames.outgoing().drain(..sent),
                Poll::Ready(outcome) => {
                    debug!("the server takes nothing any more: {outcome:?}");
                    self.frames.outgoing().clear();
                }
            }
        }
        // What TLS holds back is sent here, or with the next read.
        let _ = Pin::new(&mut self.stream).poll_flush(context);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_query_says_what_is_wanted() {
        let request =
            |types: &[&str], projects| Request { types: types.iter().map(ToString::to_string).collect(), projects };
        for (request, default_project, target) in [
            (request(&[], Projects::Default), None, "/1.0/events"),
            (request(&[], Projects::Default), Some("web"), "/1.0/events?project=web"),
            (
                request(&["lifecycle", "operation"], Projects::All),
                Some("web"),
                "/1.0/events?type=lifecycle,operation&all-projects=true",
            ),
            (request(&["a b&c"], Projects::One("ü/?".into())), None, "/1.0/events?type=a%20b%26c&project=%C3%BC%2F%3F"),
        ] {
            assert_eq!(request.target("", default_project), target);
        }
    }
}
