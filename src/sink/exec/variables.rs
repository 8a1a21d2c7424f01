//! The environment variables in which the command finds the parts of an event.

use std::borrow::Cow;

use super::Remotes;
use super::waiting::Line;
use crate::event::json::Text;
use crate::event::{Event, Message, REMOTE, RemoteId};
use crate::filter::each_instance;

/// All variables that describe events. Those that the environment of lxmon has are not handed on.
pub(super) const NAMES: [&str; 9] = [
    "LXMON_TYPE",
    "LXMON_ACTION",
    "LXMON_SOURCE",
    "LXMON_PROJECT",
    "LXMON_LOCATION",
    "LXMON_INSTANCE",
    "LXMON_REMOTE",
    "LXMON_TIMESTAMP",
    "LXMON_COUNT",
];

/// The variables of a run for `count` events, of which `last` is the last one. What the event does not have has no
/// variable.
pub(super) fn of(last: &Line, count: usize, remotes: &Remotes) -> Vec<(&'static str, String)> {
    // Every line is an event, as lxmon made it of one.
    let text = String::from_utf8_lossy(&last.text).into_owned();
    let event = Event::decode(Message::from(text), last.remote, None).ok();
    let values = event.map(|event| values(&event, remotes)).unwrap_or_default();
    let [kind, action, source, project, location, instance, remote, timestamp] = values;
    let values = [kind, action, source, project, location, instance, remote, timestamp, Some(count.to_string())];
    NAMES.into_iter().zip(values).filter_map(|(name, value)| Some((name, value?))).collect()
}

fn values(event: &Event, remotes: &Remotes) -> [Option<String>; 8] {
    let owned = |text: Option<Text<'_>>| text.map(|text| text.cow()).map(Cow::into_owned);
    let (lifecycle, device) = (event.lifecycle(), event.device());
    let action = lifecycle.and_then(|lifecycle| lifecycle.action()).or(device.and_then(|device| device.action()));
    let mut instance = None;
    each_instance(event, |name, _project| _ = instance.get_or_insert_with(|| name.to_owned()));
    let RemoteId(number) = event.remote();
    let remote = if remotes.are_recorded {
        owned(event.root().get_text(REMOTE))
    } else {
        remotes.names.get(usize::from(number)).cloned()
    };
    [
        owned(Some(event.type_text())),
        owned(action),
        owned(lifecycle.and_then(|lifecycle| lifecycle.source())),
        owned(event.project()),
        owned(event.location()),
        instance,
        remote,
        owned(event.timestamp_text()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables(text: &str, remotes: &Remotes) -> String {
        let line = Line { text: text.as_bytes().into(), remote: RemoteId(0) };
        let short = |(name, value): (&str, String)| format!("{}={value}", name.strip_prefix("LXMON_").unwrap());
        of(&line, 3, remotes).into_iter().map(short).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn each_type_has_its_own_variables() {
        let remotes = Remotes { names: vec!["n1".into()], are_recorded: false };
        for (text, expected) in [
            (
                r#"{"type":"lifecycle","timestamp":"T","location":"m1","project":"web","metadata":{"action":"instance-started","source":"/1.0/instances/c%201?project=web"}}"#,
                "TYPE=lifecycle ACTION=instance-started SOURCE=/1.0/instances/c%201?project=web PROJECT=web LOCATION=m1 INSTANCE=c 1 REMOTE=n1 TIMESTAMP=T COUNT=3",
            ),
            (
                r#"{"type":"operation","timestamp":"T","project":"p","metadata":{"resources":{"instances":["/1.0/instances/c1","/1.0/instances/c2"]}}}"#,
                "TYPE=operation PROJECT=p INSTANCE=c1 REMOTE=n1 TIMESTAMP=T COUNT=3",
            ),
            (
                r#"{"type":"logging","metadata":{"level":"info","context":{"instance":"c3"}}}"#,
                "TYPE=logging INSTANCE=c3 REMOTE=n1 COUNT=3",
            ),
            (r#"{"type":"device","metadata":{"action":"added"}}"#, "TYPE=device ACTION=added REMOTE=n1 COUNT=3"),
            (r#"{"type":"new","metadata":7}"#, "TYPE=new REMOTE=n1 COUNT=3"),
        ] {
            assert_eq!(variables(text, &remotes), expected);
        }
    }

    #[test]
    fn a_recording_says_itself_which_remotes_its_events_are_of() {
        let remotes = Remotes { names: vec!["events.ndjson".into()], are_recorded: true };
        assert_eq!(variables(r#"{"type":"x"}"#, &remotes), "TYPE=x COUNT=3");
        assert_eq!(variables(r#"{"remote":"n2","type":"x"}"#, &remotes), "TYPE=x REMOTE=n2 COUNT=3");
    }
}
