//! Keeps the live rows on a terminal up to date: draws them when they are due, and after the terminal was resized;
//! removes them before the program is suspended, and draws them again afterwards.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::deliver::Stop;
use super::threads::Pipeline;
use crate::sink::stdout::Flushed;
use crate::sink::terminal::Redraw;
use crate::system::signals::{OfTerminal, TerminalSignals, quit, stop};

/// When drawing is tried again if the writing thread is at work.
const RETRY: Duration = Duration::from_millis(34);

/// How long a suspension is delayed until the rows are removed, if the terminal accepts nothing.
const PATIENCE: Duration = Duration::from_millis(250);

/// The terminal that standard output is.
#[derive(Debug, Default)]
pub(super) struct Screen {
    pub(super) redraw: Arc<Redraw>,
    /// `None` if the output does not depend on the terminal.
    pub(super) signals: Option<TerminalSignals>,
}

impl Screen {
    /// Follows the terminal until the output ends.
    pub(super) async fn follow(&mut self, pipeline: &Pipeline) -> Stop {
        let Some(signals) = &mut self.signals else { return std::future::pending().await };
        loop {
            let signal = tokio::select! {
                signal = signals.next() => Some(signal),
                () = self.redraw.due() => None,
            };
            let outcome = match signal {
                None => draw(pipeline, &self.redraw),
                Some(OfTerminal::Resized) => {
                    self.redraw.request(Instant::now());
                    Ok(())
                }
                Some(OfTerminal::Suspend) => leave(pipeline, &self.redraw, stop).await,
                Some(OfTerminal::Quit) => leave(pipeline, &self.redraw, quit).await,
                Some(OfTerminal::Continued) => {
                    self.redraw.continued();
                    Ok(())
                }
            };
            if let Err(stop) = outcome {
                return stop;
            }
        }
    }
}

fn draw(pipeline: &Pipeline, redraw: &Redraw) -> Result<(), Stop> {
    if pipeline.redraw()? == Flushed::Part {
        redraw.request(Instant::now() + RETRY);
    }
    Ok(())
}

/// Removes the rows, and leaves the terminal to others until `leave` returns.
async fn leave(pipeline: &Pipeline, redraw: &Redraw, leave: impl FnOnce()) -> Result<(), Stop> {
    redraw.suspend(true);
    let deadline = Instant::now() + PATIENCE;
    let mut outcome = pipeline.redraw();
    while redraw.has_rows() && outcome.is_ok() && Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(5)).await;
        outcome = pipeline.redraw();
    }
    leave();
    redraw.suspend(false);
    redraw.continued();
    outcome.map(drop)
}
