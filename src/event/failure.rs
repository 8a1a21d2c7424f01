//! What counts as a failure, for `--failed` and for the renderers.

use super::json::Text;
use super::{Event, Level, Status};

/// The failure that an event reports.
#[derive(Clone, Copy, Debug)]
pub enum Failure<'a> {
    /// An operation has failed, with this error if the server gave one.
    Operation(Option<Text<'a>>),
    /// A command in an instance has ended with this exit status, which is not 0.
    Command(&'a str),
    /// A log line of this level, which is `error` or above.
    Message(Level),
}

impl Event {
    /// The failure that the event reports, if it reports one. A cancelled operation has not failed. An operation and the
    /// operations that it has started are judged each by its own events.
    #[must_use]
    pub fn failure(&self) -> Option<Failure<'_>> {
        if let Some(operation) = self.operation() {
            return match operation.status() {
                Status::Failure => Some(Failure::Operation(operation.err())),
                // The operation of a command has the status Success whatever the command returns.
                Status::Success => operation.returned().filter(|status| !is_zero(status)).map(Failure::Command),
                Status::Going | Status::Cancelled => None,
            };
        }
        let level = self.logging()?.level()?;
        (level >= Level::Error).then_some(Failure::Message(level))
    }
}

/// Whether a JSON number is zero.
fn is_zero(number: &str) -> bool {
    number.parse::<f64>().is_ok_and(|number| number == 0.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::event;

    /// What the failure of an event is, in words.
    fn failure(text: &str) -> String {
        match event(text).failure() {
            None => "none".into(),
            Some(Failure::Operation(err)) => err.map_or("operation".into(), |err| format!("operation: {}", err.cow())),
            Some(Failure::Command(status)) => format!("exit {status}"),
            Some(Failure::Message(level)) => level.to_string(),
        }
    }

    #[test]
    fn operations_fail_commands_return_and_messages_have_levels() {
        let operation = |code: &str, rest: &str| {
            format!(r#"{{"type":"operation","metadata":{{"status_code":{code},{rest}"description":"d"}}}}"#)
        };
        let log =
            |kind: &str, level: &str| format!(r#"{{"type":"{kind}","metadata":{{"message":"m","level":"{level}"}}}}"#);
        for (event, what) in [
            (operation("400", r#""err":"no space","#), "operation: no space"),
            (operation("400", r#""err":"","#), "operation"),
            (operation("401", r#""err":"cancelled","#), "none"),
            (operation("104", r#""err":"x","#), "none"),
            (operation("200", ""), "none"),
            (operation("200", r#""metadata":{"return":0},"#), "none"),
            (operation("200", r#""metadata":{"return":-0.0},"#), "none"),
            (operation("200", r#""metadata":{"return":3},"#), "exit 3"),
            (operation("200", r#""metadata":{"return":-1},"#), "exit -1"),
            (operation("200", r#""metadata":{"return":null},"#), "none"),
            (operation("200", r#""metadata":{"return":"no number"},"#), "none"),
            // A command that is running has not returned.
            (operation("103", r#""metadata":{"return":3},"#), "none"),
            (operation("400", r#""err":"e","metadata":{"return":3},"#), "operation: e"),
            (log("logging", "error"), "error"),
            (log("logging", "fatal"), "fatal"),
            (log("logging", "warning"), "none"),
            (log("ovn", "error"), "error"),
            (log("network-acl", "error"), "error"),
            (log("logging", "odd"), "none"),
            (log("security", "error"), "none"),
            (log("weather", "error"), "none"),
            (r#"{"type":"operation"}"#.into(), "none"),
            (r#"{"type":"lifecycle","metadata":{"action":"instance-stopped"}}"#.into(), "none"),
        ] {
            assert_eq!(failure(&event), what, "{event}");
        }
    }
}
