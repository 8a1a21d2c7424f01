//! Answers and events in every order: which states are printed.

use super::*;
use crate::event::{Message, event};

const REMOTE: RemoteId = RemoteId(0);

/// A lifecycle event about an instance, this many milliseconds after the start.
fn lifecycle(action: &str, instance: &str, at: u32) -> Event {
    let (instance, old) = instance.split_once(" was ").unwrap_or((instance, ""));
    event(&format!(
        r#"{{"type":"lifecycle","timestamp":"2026-11-26T12:00:{:02}.{:03}Z","metadata":{{"action":"{action}","source":"/1.0/instances/{instance}","context":{{"old_name":"{old}"}}}},"location":"none","project":"default"}}"#,
        at / 1000,
        at % 1000
    ))
}

fn operation(id: &str, code: u16, at: u32) -> Event {
    event(&format!(
        r#"{{"type":"operation","timestamp":"2026-11-26T12:00:00.{at:03}Z","metadata":{{"id":"{id}","description":"Creating instance","status":"x","status_code":{code},"resources":{{"instances":["/1.0/instances/c1"]}}}},"location":"none","project":"default"}}"#
    ))
}

/// An answer with these instances or operations and their statuses, as in `c1 Running`, or `c1 Running n2` with the cluster
/// member.
fn answer(kind: Kind, listed: &[&str]) -> Stage {
    let mut block = Block::default();
    for one in listed {
        let (name, status) = one.split_once(' ').unwrap();
        let (status, location) = status.split_once(' ').unwrap_or((status, "none"));
        let subject = match kind {
            Kind::Instance => Subject::instance(name.into(), DEFAULT_PROJECT, status.into()),
            Kind::Operation => {
                Subject::Operation(Running { id: name.into(), status: status.into(), ..Running::default() })
            }
        };
        let record = Record::new("asked".into(), Some(DEFAULT_PROJECT.into()), Some(location.into()), subject);
        block.push(&record.to_text()).unwrap();
    }
    Stage::Answer { kind, block: block.into(), at: "asked".into() }
}

/// What is printed of a stage, as in `c1 Running`; with an asterisk if it is marked as changed.
fn printed_of(known: &mut Known, remote: RemoteId, stage: &Stage) -> Vec<String> {
    let show = |printed: Printed| {
        let text = match (printed, stage) {
            (Printed::Text(text), _) => text,
            (Printed::Message(index), Stage::Answer { block, .. }) => block.text(index).to_owned(),
            (Printed::Message(index), stage) => panic!("message {index} of {stage:?}"),
        };
        let event = Event::decode(Message::from(text), remote, None).unwrap();
        let found = event.state().unwrap();
        let name = found.name().or(found.operation().and_then(|operation| operation.id())).unwrap();
        let mark = if found.is_changed() { " *" } else { "" };
        assert!(event.timestamp_text().unwrap().is("asked"));
        let location = event.location().unwrap().cow();
        let location = if location == "none" { String::new() } else { format!(" {location}") };
        format!("{} {}{location}{mark}", name.cow(), found.status().unwrap().cow())
    };
    known.advance(remote, stage).into_iter().map(show).collect()
}

impl Known {
    fn ask(&mut self) {
        assert!(self.advance(REMOTE, &Stage::Asked).is_empty());
    }

    fn instances(&mut self, states: &[&str]) -> Vec<String> {
        printed_of(self, REMOTE, &answer(Kind::Instance, states))
    }

    fn operations(&mut self, states: &[&str]) -> Vec<String> {
        printed_of(self, REMOTE, &answer(Kind::Operation, states))
    }
}

#[test]
fn the_first_answer_is_printed_and_later_only_what_differs() {
    let mut known = Known::default();
    known.ask();
    assert_eq!(known.instances(&["c1 Running", "c2 Stopped"]), ["c1 Running", "c2 Stopped"]);
    known.ask();
    assert!(known.instances(&["c2 Stopped", "c1 Running"]).is_empty());
    known.ask();
    let differs = ["c2 Running *", "c3 Frozen *", "c1 Deleted *"];
    assert_eq!(known.instances(&["c2 Running", "c3 Frozen"]), differs);
    known.ask();
    assert_eq!(known.instances(&["c2 Ready", "c3 Frozen"]), ["c2 Ready *"]);
    known.ask();
    assert_eq!(known.instances(&[]), ["c2 Deleted *", "c3 Deleted *"]);
    known.ask();
    assert!(known.instances(&[]).is_empty());
}

/// The same event of another cluster member.
fn of_member(event: &Event, member: &str) -> Event {
    crate::event::event(&event.text().replace(r#""location":"none""#, &format!(r#""location":"{member}""#)))
}

#[test]
fn an_instance_that_has_moved_to_another_member_differs() {
    let mut known = Known::default();
    known.ask();
    known.instances(&["c1 Running n1", "c2 Stopped n1", "c3 Stopped n2"]);
    known.ask();
    assert_eq!(known.instances(&["c1 Running n2", "c2 Stopped n1", "c3 Stopped n2"]), ["c1 Running n2 *"]);
    known.ask();
    assert!(known.instances(&["c1 Running n2", "c2 Stopped n1", "c3 Stopped n2"]).is_empty());
    // One that is gone was last seen there.
    known.ask();
    assert_eq!(known.instances(&["c2 Stopped n1", "c3 Stopped n2"]), ["c1 Deleted n2 *"]);
    // What the stream has said is known.
    known.learn(&of_member(&lifecycle("instance-started", "c2", 1), "n3"));
    known.learn(&of_member(&lifecycle("instance-renamed", "new was c3", 2), "n1"));
    known.ask();
    assert!(known.instances(&["c2 Running n3", "new Stopped n1"]).is_empty());
    // An event with the same status too.
    known.learn(&of_member(&lifecycle("instance-restarted", "c2", 3), "n1"));
    known.ask();
    assert_eq!(known.instances(&["new Stopped n1"]), ["c2 Deleted n1 *"]);
}

#[test]
fn what_the_events_have_said_is_known() {
    let mut known = Known::default();
    known.ask();
    known.instances(&["c1 Running", "c2 Running", "c3 Stopped", "c4 Running"]);
    for (at, (action, instance)) in (0..).zip([
        ("instance-stopped", "c1"),
        ("instance-shutdown", "c2"),
        ("instance-deleted", "c2"),
        ("instance-renamed", "new was c3"),
        ("instance-created", "c5"),
        ("instance-started", "c5"),
        ("instance-ready", "c5"),
        ("instance-paused", "c4"),
        ("instance-updated", "c6"),
        ("instance-snapshot-created", "c1/snapshots/s"),
    ]) {
        known.learn(&lifecycle(action, instance, at));
    }
    known.ask();
    assert!(known.instances(&["c1 Stopped", "new Stopped", "c4 Frozen", "c5 Ready"]).is_empty());
}

#[test]
fn an_answer_that_is_older_than_an_event_is_not_printed() {
    for (event, printed) in [
        (("instance-stopped", "c1"), &[][..]),
        (("instance-paused", "c1"), &[]),
        (("instance-deleted", "c1"), &[]),
        (("instance-renamed", "c2 was c1"), &[]),
        // What agrees with the event is printed: whoever waits for this state may not have waited for the event.
        (("instance-started", "c1"), &["c1 Running"]),
        (("instance-resumed", "c1"), &["c1 Running"]),
        (("container-restarted", "c1"), &["c1 Running"]),
        (("instance-ready", "c1"), &["c1 Running"]),
        // These say nothing of the state.
        (("instance-updated", "c1"), &["c1 Running"]),
        (("instance-stopped", "c2"), &["c1 Running"]),
    ] {
        let mut known = Known::default();
        known.ask();
        known.learn(&lifecycle(event.0, event.1, 1));
        assert_eq!(known.instances(&["c1 Running"]), printed, "{event:?}");
        // An event before the question is older than the answer.
        let mut known = Known::default();
        known.learn(&lifecycle(event.0, event.1, 1));
        known.ask();
        assert_eq!(known.instances(&["c1 Running"]), ["c1 Running"], "{event:?}");
    }
}

#[test]
fn after_a_gap_too_the_events_since_the_question_are_right() {
    let begun = || {
        let mut known = Known::default();
        known.ask();
        known.instances(&["c1 Stopped", "c2 Running"]);
        known.ask();
        known
    };
    let mut known = begun();
    known.learn(&lifecycle("instance-started", "c1", 1));
    known.learn(&lifecycle("instance-deleted", "c2", 2));
    known.learn(&lifecycle("instance-created", "c3", 3));
    // Whichever side of the events the server has seen, the stream says all of it.
    assert!(known.instances(&["c1 Stopped", "c2 Running"]).is_empty());
    known.ask();
    assert!(known.instances(&["c1 Running", "c3 Stopped"]).is_empty());
    let mut known = begun();
    assert_eq!(known.instances(&["c1 Running"]), ["c1 Running *", "c2 Deleted *"]);
}

#[test]
fn events_that_change_places_are_put_right() {
    let mut known = Known::default();
    known.ask();
    known.instances(&["c1 Running"]);
    // By its timestamp the creation came first, and so did the stop.
    known.learn(&lifecycle("instance-started", "c2", 20));
    known.learn(&lifecycle("instance-created", "c2", 10));
    known.learn(&lifecycle("instance-deleted", "c1", 40));
    known.learn(&lifecycle("instance-stopped", "c1", 30));
    known.ask();
    assert!(known.instances(&["c2 Running"]).is_empty());
    // A clock that was set back is no change of places.
    let mut known = Known::default();
    known.ask();
    known.instances(&["c1 Stopped"]);
    known.learn(&lifecycle("instance-started", "c1", 50_000));
    known.learn(&lifecycle("instance-stopped", "c1", 10_000));
    known.ask();
    assert!(known.instances(&["c1 Stopped"]).is_empty());
}

#[test]
fn operations_begin_and_end() {
    let mut known = Known::default();
    known.ask();
    assert_eq!(known.operations(&["1 Running", "2 Pending", "3 Running"]), ["1 Running", "2 Pending", "3 Running"]);
    known.learn(&operation("1", 200, 1));
    known.learn(&operation("4", 103, 2));
    known.learn(&operation("5", 103, 3));
    known.ask();
    // The answer about instances says nothing of operations.
    assert!(known.instances(&[]).is_empty());
    assert_eq!(
        known.operations(&["2 Cancelling", "4 Running", "6 Running"]),
        ["6 Running *", "3 Ended *", "5 Ended *"]
    );
    known.ask();
    known.learn(&operation("6", 400, 4));
    assert!(known.operations(&["2 Running", "4 Running", "6 Running"]).is_empty());
}

#[test]
fn remotes_are_apart_unless_they_are_of_one_cluster() {
    let mut known = Known::default();
    let (first, second) = (RemoteId(0), RemoteId(3));
    let of = |known: &mut Known, remote, states: &[&str]| {
        known.advance(remote, &Stage::Asked);
        printed_of(known, remote, &answer(Kind::Instance, states))
    };
    assert_eq!(of(&mut known, first, &["c1 Running"]), ["c1 Running"]);
    assert_eq!(of(&mut known, second, &["c1 Running"]), ["c1 Running"]);
    known.advance(second, &Stage::Same(first));
    let text = lifecycle("instance-stopped", "c1", 1).text().to_owned();
    known.learn(&Event::decode(Message::from(text), second, None).unwrap());
    assert!(of(&mut known, first, &["c1 Stopped"]).is_empty());
}

#[test]
fn what_is_remembered_is_bounded() {
    let mut known = Known::default();
    for number in 0..MOST_GONE + 10 {
        known.learn(&lifecycle("instance-deleted", &format!("c{number}"), 1));
    }
    assert_eq!(known.remotes[0].entries.len(), known.remotes[0].gone);
    assert!(known.remotes[0].gone <= MOST_GONE);
}
