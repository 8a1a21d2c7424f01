//! The events of today's servers, made from tables in `tests/data/shapes/`: for each, what `pretty` shows and which of
//! the selection options select it. `INSTA_UPDATE=always cargo test shapes` accepts a change.

use std::fmt::Write as _;

use lxmon::event::{Event, Message, RemoteId};
use lxmon::filter::{Filter, Selection};
use lxmon::render::Surface;
use lxmon::render::pretty::{Options, Pretty, TimeStyle};

const TERMINAL: Options = Options {
    surface: Surface { color: false, terminal: true },
    width: Some(150),
    time: TimeStyle::Utc,
    show_project: true,
    remote_width: 0,
    utf8: true,
    live_rows: false,
};

/// The time of all events, as `pretty` shows it on a terminal and to a pipe, with the space behind it.
const TIMES: [&str; 2] = ["14:03:08.412 ", "2026-11-23T14:03:08.412Z "];

const BY_ALICE: &str = r#""requestor":{"username":"alice","protocol":"tls","address":"10.0.0.1:5000"}"#;

/// The columns of the lines of a table that are not comments.
fn rows(table: &'static str) -> impl Iterator<Item = Vec<&'static str>> {
    let rows = table.lines().filter(|line| !line.starts_with('#'));
    rows.map(|line| line.split(" | ").map(|column| if column == "-" { "" } else { column }).collect())
}

fn event(text: &str) -> Event {
    assert!(serde_json::from_str::<serde_json::Value>(text).is_ok(), "{text}");
    Event::decode(Message::from(text), RemoteId::default(), None).unwrap()
}

/// The values of `candidates` with which an option selects the event.
fn selecting(event: &Event, candidates: &[&str], selection: impl Fn(String) -> Selection) -> String {
    let selects = |value: &&&str| Filter::new(&selection((**value).to_owned())).admits(event);
    let values: Vec<_> = candidates.iter().filter(selects).copied().collect();
    if values.is_empty() { "-".into() } else { values.join(",") }
}

/// What is to be seen of events: a line for each that has one in `pretty`, behind the values of the options.
struct Screen {
    pretty: Pretty,
    text: String,
}

impl Screen {
    fn new(options: Options) -> Self {
        let text = format!("{:10}{:12}{:8}\n", "-i", "--requestor", "--failed");
        Self { pretty: Pretty::new(options), text }
    }

    fn show(&mut self, text: &str) {
        let event = event(text);
        let of = |instances: Vec<String>, requestors: Vec<String>| Selection {
            instances,
            requestors,
            ..Selection::default()
        };
        let instances = selecting(&event, &["c1", "c0", "c5"], |value| of(vec![value], Vec::new()));
        let requestors = ["alice", "root", "bob@*", "10.0.0.9", "none"];
        let requestors = selecting(&event, &requestors, |value| of(Vec::new(), vec![value]));
        let failed = Filter::new(&Selection { failed: true, ..Selection::default() }).admits(&event);
        let failed = if failed { "failed" } else { "-" };
        let mut line = Vec::new();
        self.pretty.render(&event, None, &mut line);
        let line = String::from_utf8(line).unwrap();
        let time = TIMES.iter().find(|time| line.starts_with(**time)).map_or(0, |time| time.len());
        let line = if line.is_empty() { "(no line)" } else { line[time..].trim_end() };
        // Further lines stand below what they belong to.
        let line = line.replace('\n', &format!("\n{:1$}", "", 30 - time));
        writeln!(self.text, "{instances:10}{requestors:12}{failed:8}{line}").unwrap();
    }
}

/// An operation, of which the events are made.
#[derive(Clone, Copy, Default)]
struct Operation<'a> {
    number: usize,
    description: &'a str,
    class: &'a str,
    project: &'a str,
    /// The members of `resources`.
    resources: &'a str,
    /// The member `requestor`, if the server sends one.
    requestor: &'a str,
}

impl Operation<'_> {
    /// An event with this status and error, and these members of the metadata.
    fn event(&self, status: &str, err: &str, metadata: &[&str]) -> String {
        let (code, status) = status.split_once(' ').unwrap();
        let Self { number, description, class, project, resources, requestor } = self;
        // `child_count` is beside the metadata, not in it.
        let is_outer = |members: &&&str| members.starts_with("\"child_count\"");
        let outer = metadata.iter().find(is_outer).map(|members| format!("{members},")).unwrap_or_default();
        let inner = metadata.iter().filter(|members| !members.is_empty() && !is_outer(members));
        let metadata = inner.copied().collect::<Vec<_>>().join(",");
        let requestor = if requestor.is_empty() { String::new() } else { format!(",{requestor}") };
        let project = if project.is_empty() { String::new() } else { format!(r#","project":"{project}""#) };
        format!(
            r#"{{"type":"operation","timestamp":"2026-11-23T14:03:08.412Z","metadata":{{"id":"{number}","class":"{class}","description":"{description}","created_at":"2026-11-23T14:03:07.212Z","updated_at":"2026-11-23T14:03:07.212Z","status":"{status}","status_code":{code},"resources":{{{resources}}},"metadata":{{{metadata}}},{outer}"may_cancel":true,"err":"{err}","location":"none"{requestor}}},"location":"none"{project}}}"#
        )
    }
}

/// The members of the metadata that a server writes for a stage, with `progress` beside the text or without.
fn progress(stage: &str, has_numbers: bool) -> String {
    let numbers = format!(r#""progress":{{"stage":"{stage}","percent":"43","speed":"120000000"}},"#);
    let text = match stage {
        "download" => "rootfs: 43% (120.00MB/s)",
        "create_instance_from_image_unpack" => "Unpacking image: 43% (120.00MB/s)",
        "create_image_from_instance_pack" | "create_image_from_container_pack" => "Image pack: 43% (120.00MB/s)",
        "format" | "format_progress" => "Converting image format from qcow2 to raw: 43% (120.00MB/s)",
        "fs" => "c1: 12.30MB (4.00MB/s)",
        "block" => "c1: 45.60MB (4.00MB/s)",
        "instance" | "container" => "Remapping container filesystem",
        "create_backup" => "Exporting: 43% (120.00MB/s)",
        "evacuation" => r#"Migrating \"c1\" in project \"web\" to \"m2\""#,
        "live_migrate_instance" => "Live migration: 1.2GB remaining (120.00MB/s) (30% CPU throttle)",
        stage => panic!("{stage}"),
    };
    format!(r#"{}"{stage}_progress":"{text}""#, if has_numbers { &*numbers } else { "" })
}

/// The events of an operation: its begin, each of its stages as its first event that is seen, and its end.
fn show_operation(
    screen: &mut Screen,
    operation: Operation<'_>,
    first: &str,
    subject: &str,
    metadata: &str,
    stages: &str,
) {
    let result: serde_json::Value = serde_json::from_str(&format!("{{{metadata}}}")).unwrap();
    // A running command has not returned, and an image has no fingerprint before it is there.
    let is_result = |key: &str| {
        ["return", "output", "refreshed", "size", "listen_address"].contains(&key)
            || (key == "fingerprint" && operation.class == "task")
    };
    let begin = result.as_object().unwrap().iter().filter(|(key, _)| !is_result(key));
    let begin: Vec<_> = begin.map(|(key, value)| format!("\"{key}\":{value}")).collect();
    screen.show(&operation.event(first, "", &[&begin.join(","), subject]));
    for (number, stage) in stages.split_whitespace().enumerate() {
        let operation = Operation { number: operation.number + number + 1, ..operation };
        let text = progress(stage.trim_end_matches('*'), stage.ends_with('*') || !subject.is_empty());
        screen.show(&operation.event("103 Running", "", &[&text, subject]));
    }
    // A token stays Running until it is used.
    if operation.class != "token" {
        screen.show(&operation.event("200 Success", "", &[metadata, subject]));
    }
}

/// `resources` as LXD 5.21 has them for an entity, by its path.
fn resources_of(path: &str) -> String {
    let parts: Vec<_> = path.split('/').skip(2).collect();
    let list = |key: &str, path: &str| format!(r#""{key}":["{path}?project=web"]"#);
    match parts[..] {
        ["instances", name] => {
            [list("containers", &format!("/1.0/containers/{name}")), list("instances", path)].join(",")
        }
        ["instances", name, kind, _] => {
            let kind = if kind == "snapshots" { "instances_snapshots" } else { kind };
            let mut lists = [list("instances", &format!("/1.0/instances/{name}")), list(kind, path)];
            lists.sort();
            lists.join(",")
        }
        ["images", _] => list("images", path),
        ["storage-pools", _, "volumes", _, _] => list("storage_volumes", path),
        ["storage-pools", _, "volumes", _, _, "snapshots", _] => list("storage_volume_snapshots", path),
        ["storage-pools", _, "volumes", _, _, "backups", _] => list("backups", path),
        _ => String::new(),
    }
}

const LXD: &str = include_str!("data/shapes/lxd-operations.txt");

#[test]
fn operations_of_lxd_6_9() {
    let mut screen = Screen::new(TERMINAL);
    for (row, columns) in rows(LXD).enumerate() {
        let [_since, description, class, by, entity, metadata, stages] = columns[..] else { panic!("{columns:?}") };
        let (entity, old) = entity.split_once(" < ").unwrap_or((entity, ""));
        let mut urls = Vec::new();
        for (key, path) in [("entity_url", entity), ("original_entity_url", old)] {
            if !path.is_empty() {
                urls.push(format!(r#""{key}":"{path}?project=web""#));
            }
        }
        let by_server = by == "server";
        let operation = Operation {
            number: row * 100,
            description,
            class,
            project: if entity.is_empty() { "" } else { "web" },
            resources: "",
            requestor: if by_server { r#""requestor":{"username":"","protocol":"","address":""}"# } else { BY_ALICE },
        };
        show_operation(&mut screen, operation, "103 Running", &urls.join(","), metadata, stages);
    }
    insta::assert_snapshot!(screen.text);
}

#[test]
fn operations_of_lxd_5_21() {
    let mut screen = Screen::new(TERMINAL);
    for (row, columns) in rows(LXD).enumerate() {
        let [since, description, class, by, entity, metadata, stages] = columns[..] else { panic!("{columns:?}") };
        if since != "5.21" {
            continue;
        }
        // A renaming has the old name.
        let (entity, old) = entity.split_once(" < ").unwrap_or((entity, ""));
        let resources = resources_of(if old.is_empty() { entity } else { old });
        let operation = Operation {
            number: row * 100,
            // The kinds of tokens have no descriptions of their own.
            description: if class == "token" && entity.is_empty() { "Executing operation" } else { description },
            class,
            project: if entity.is_empty() { "" } else { "web" },
            resources: &resources,
            // Releases before 5.21.5 do not name the requestor.
            requestor: if by == "server" { "" } else { BY_ALICE },
        };
        let stages = stages.replace("instance_pack", "container_pack");
        let stages: Vec<_> = stages
            .split_whitespace()
            .map(|stage| match stage {
                "instance" => "container",
                // LXD 5.21 doubles the ending of this one.
                "format" => "format_progress*",
                "create_instance_from_image_unpack" => "create_instance_from_image_unpack*",
                stage => stage,
            })
            .collect();
        show_operation(&mut screen, operation, "105 Pending", "", metadata, &stages.join(" "));
    }
    insta::assert_snapshot!(screen.text);
}

#[test]
fn operations_of_incus() {
    let mut screen = Screen::new(TERMINAL);
    for (row, columns) in rows(include_str!("data/shapes/incus-operations.txt")).enumerate() {
        let [description, class, resources, metadata, stages] = columns[..] else { panic!("{columns:?}") };
        let project = if resources.contains("project=web") { "web" } else { "" };
        let operation = Operation { number: row * 100, description, class, project, resources, requestor: "" };
        show_operation(&mut screen, operation, "105 Pending", "", metadata, stages);
    }
    insta::assert_snapshot!(screen.text);
}

#[test]
fn operations_of_lxd_6_7() {
    // This release has singular keys, and `entity_url` only where something is created.
    let mut screen = Screen::new(TERMINAL);
    for (number, (description, resources, entity)) in [
        ("Creating instance", "", "/1.0/instances/c1"),
        ("Starting instance", r#""instance":["/1.0/instances/c1?project=web"]"#, ""),
        ("Deleting snapshot", r#""instance_snapshot":["/1.0/instances/c1/snapshots/snap0?project=web"]"#, ""),
        ("Updating storage volume", r#""storage_volume":["/1.0/storage-pools/p1/volumes/custom/v1?project=web"]"#, ""),
        ("Deleting image", r#""image":["/1.0/images/12ab?project=web"]"#, ""),
        ("Updating profile", r#""profile":["/1.0/profiles/small?project=web"]"#, ""),
        ("Renaming project", r#""project":["/1.0/projects/web"]"#, ""),
        ("Downloading image", r#""image":["/1.0/images/12ab?project=web"]"#, "/1.0/projects/web"),
        ("Downloading image", "", "/1.0/projects/web"),
    ]
    .into_iter()
    .enumerate()
    {
        let operation =
            Operation { number, description, class: "task", project: "web", resources, requestor: BY_ALICE };
        let url = if entity.is_empty() { String::new() } else { format!(r#""entity_url":"{entity}""#) };
        screen.show(&operation.event("103 Running", "", &[&url]));
    }
    insta::assert_snapshot!(screen.text);
}

#[test]
fn operations_begin_and_end_in_many_ways() {
    let mut text = String::new();
    // To a pipe, each change of the status has a line.
    let pipe = Options { surface: Surface { color: false, terminal: false }, width: None, ..TERMINAL };
    for options in [TERMINAL, pipe] {
        let mut screen = Screen::new(options);
        let mut operation = Operation {
            description: "Creating instance",
            class: "task",
            project: "web",
            resources: r#""instances":["/1.0/instances/c1"]"#,
            ..Operation::default()
        };
        for columns in rows(include_str!("data/shapes/ends.txt")) {
            let [status, err, metadata] = columns[..] else {
                operation.number += 1;
                screen.text += "---\n";
                continue;
            };
            screen.show(&operation.event(status, err, &[metadata]));
        }
        writeln!(text, "{}:\n{}", if options.surface.terminal { "a terminal" } else { "a pipe" }, screen.text).unwrap();
    }
    insta::assert_snapshot!(text);
}

#[test]
fn lifecycle_events_of_every_action() {
    let mut screen = Screen::new(TERMINAL);
    for columns in rows(include_str!("data/shapes/lifecycle.txt")) {
        let [action, source, context] = columns[..] else { panic!("{columns:?}") };
        let context = if context.is_empty() { String::new() } else { format!(r#","context":{context}"#) };
        screen.show(&format!(
            r#"{{"type":"lifecycle","timestamp":"2026-11-23T14:03:08.412Z","metadata":{{"action":"{action}","source":"{source}"{context},{BY_ALICE}}},"location":"n1","project":"web"}}"#
        ));
    }
    // The table has every action that the program lists.
    let listed = crate::support::program::run(["--list-actions"]).stdout;
    let missing = listed.lines().filter_map(|line| line.split_whitespace().next()).filter(|name| name.contains('-'));
    let missing: Vec<_> = missing.filter(|action| !screen.text.contains(&format!(" {action} "))).collect();
    assert!(missing.is_empty(), "{missing:?}");
    insta::assert_snapshot!(screen.text);
}

#[test]
fn events_of_every_type() {
    let mut screen = Screen::new(TERMINAL);
    for columns in rows(include_str!("data/shapes/types.txt")) {
        let [kind, project, metadata] = columns[..] else { panic!("{columns:?}") };
        let project = if project.is_empty() { String::new() } else { format!(r#","project":"{project}""#) };
        screen.show(&format!(
            r#"{{"type":"{kind}","timestamp":"2026-11-23T14:03:08.412Z","metadata":{metadata},"location":"none"{project}}}"#
        ));
    }
    insta::assert_snapshot!(screen.text);
}
