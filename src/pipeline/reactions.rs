//! The end of a run with `--exec`: the command is run for all events that wait, unless a signal or the reader of its
//! output ends that.

use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until};

use crate::report::exit::Exit;
use crate::sink::exec::Reactions;
use crate::sink::stdout;
use crate::system::signals::Signals;

/// For how long the running command is waited for after a signal.
const AFTER_SIGNAL: Duration = Duration::from_secs(5);

/// After this time a notice says what is being waited for.
const QUIET: Duration = Duration::from_secs(5);

/// Waits for the command. The outcome becomes that of a signal that comes meanwhile.
pub(super) async fn end(
    reactions: &mut Reactions,
    signals: &mut Signals,
    mut outcome: anyhow::Result<Exit>,
) -> anyhow::Result<Exit> {
    if !matches!(outcome, Ok(Exit::Signal(_))) {
        reactions.finish();
        let owns_stdout = reactions.owns_stdout();
        let reader_gone = async {
            if !owns_stdout {
                std::future::pending::<()>().await;
            }
            stdout::reader_gone().await;
        };
        tokio::pin!(reader_gone);
        let mut notice_at = Some(Instant::now() + QUIET);
        loop {
            tokio::select! {
                biased;
                () = reactions.ended() => {
                    reactions.report_left();
                    return outcome;
                }
                caught = signals.next() => {
                    outcome = Ok(Exit::Signal(caught.number));
                    break;
                }
                () = &mut reader_gone => break,
                () = sleep_until(notice_at.unwrap_or_else(Instant::now)), if notice_at.is_some() => {
                    reactions.report_wait();
                    notice_at = None;
                }
            }
        }
    }
    reactions.stop();
    if !reactions.is_hurried() {
        tokio::select! {
            biased;
            () = reactions.ended() => {}
            // A second signal ends the program at once.
            _ = signals.next() => {}
            () = sleep(AFTER_SIGNAL) => Reactions::report_still_running(),
        }
    }
    reactions.report_left();
    outcome
}
