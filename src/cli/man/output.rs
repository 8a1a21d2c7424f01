//! Of the man page: what is printed, and how it is changed before.

use super::page::Page;
use crate::render::pretty::LEGEND;

pub(super) fn write(page: &mut Page) {
    page.section("FORMATS");
    page.terms(&FORMATS);
    page.text(
        "On a terminal, text from the server never acts as a control character, whatever the format is. To a pipe or a \
         file, json is the server's own text.",
    );
    page.part("The key remote in JSON");
    page.text(
        "With several remotes each event says which one it came from, by the key \"remote\": in json, the file of \
         --record and the input of --exec it is the first key of the object, and yaml has it among the others. Servers \
         send no such key; one that an event has nevertheless is replaced. With one remote there is none, also with \
         --cluster, where location is the member. A recording with such keys is printed with them.",
    );
    page.lines(REMOTE);
    page.section("PRETTY LINES");
    page.lines(SAMPLE);
    page.part("Columns");
    page.terms(&COLUMNS);
    page.part("Glyphs");
    page.text(
        "In parentheses are the glyphs of a terminal without UTF-8. A glyph follows the last word of an action's name, \
         so that new actions have one. Log lines of level info have none.",
    );
    for (glyph, meaning) in LEGEND {
        let (shape, ascii) = (glyph.shape, glyph.ascii);
        let name = if shape == ascii { shape.to_owned() } else { format!("{shape} ({ascii})") };
        page.term(&name, meaning);
    }
    page.part("Operations in progress");
    for text in IN_PROGRESS {
        page.text(text);
    }
    page.section("RECORDS OF LXMON ITSELF");
    page.text(
        "They have the form of events, and are printed in every format. Each is one line in JSON; here they are \
         broken.",
    );
    page.part("gap");
    page.text(GAPS);
    page.lines(GAP);
    page.terms(&GAP_KEYS);
    page.part("state");
    page.text(STATES);
    page.lines(STATE);
    page.lines(STATE_OF_OPERATION);
    page.terms(&STATE_KEYS);
    page.text(CHANGES);
    page.section("EXPRESSIONS");
    for text in JQ {
        page.text(text);
    }
    page.text(
        "The variable $lxmon is an object that has what lxmon has worked out about the event. What an event does not \
         say is null.",
    );
    page.lines(CONTEXT);
    page.terms(&CONTEXT_KEYS);
    page.text(JQ_LIMITS);
    page.section("REDACTION");
    page.text(
        "With --redact secrets are replaced with *** in every format, in the file of --record, for --exec and --jq, in \
         the summary and in notices. These are secret:",
    );
    page.terms(&SECRETS);
    page.text(
        "Names, fingerprints and requestors are shown, and all that is not secret keeps its bytes. Of a message that \
         is not JSON nothing is shown. A secret of another kind, such as a password in a description, is not known: \
         look at what you publish.",
    );
    page.section("SUMMARY");
    page.text(SUMMARY);
}

const FORMATS: [(&str, &str); 4] = [
    (
        "yaml",
        "One document per event, byte for byte what lxc monitor prints, with these exceptions: each document begins \
         with ---; numbers keep their digits; and strings that readers of YAML 1.1 and 1.2 would read differently are \
         quoted with escapes. If the document would be far longer than the event, because the event is deeply nested, \
         the metadata is in flow style, like JSON, and reads back as the same value.",
    ),
    ("json", "One event per line, the server's own bytes."),
    (
        "pretty",
        "One line per event for people, and further lines for the reasons of failures and warnings. See PRETTY LINES.",
    ),
    ("logfmt", "One line per event, as lxc monitor --pretty prints it."),
];

const REMOTE: &str = r#"{"remote":"n1","type":"lifecycle","timestamp":...}"#;

const SAMPLE: &str = "\
14:03:12 ▶ web      db1         instance-started
14:03:12 ✓ web      db1         Starting instance  613 ms
14:03:15 ! web      db2         error: Failed starting
  instance
14:03:24 ✗ default  c1          Updating instance
  failed after 9.7 ms: Failed add validation for device
  \"data\": Missing source path \"/nowhere\" for disk \"data\"";

const COLUMNS: [(&str, &str); 10] = [
    (
        "time",
        "As --time says: local (the time of day), utc, iso (RFC 3339) or delta (seconds since the event before). To a \
         pipe local is RFC 3339 too. A new day has a line of its own on a terminal.",
    ),
    ("glyph", "What happened, in one character; see below."),
    ("project", "Where events of several projects can occur."),
    ("member", "The cluster member, in a cluster."),
    ("remote", "Where several remotes are followed."),
    (
        "object",
        "An instance by its name alone, other things with their kind, such as profile small; the kind is left out \
         where the column is too narrow. The names of snapshots, backups and volumes begin with what contains them, as \
         in snapshot db1/snap0 or volume default/shared. Of fingerprints the first 12 digits are shown.",
    ),
    (
        "action",
        "The lifecycle action, by the name that -a takes; the description of an operation; or a log message, behind \
         its level unless that is info; messages of level debug are not shown unless --loglevel asks for them. An \
         operation has a line when it has ended, with its duration. To a pipe it has one when it begins, too. A \
         command that returned other than 0 has failed. Where two operations in progress look the same, # and the last \
         digits of their ids distinguish them.",
    ),
    (
        "detail",
        "What is new, how long it took, who asked for it. Of the context of a log message key=value, without what \
         nobody needs.",
    ),
    (
        "further lines",
        "The reason of a failure or warning is never cut. It goes on in lines that begin with spaces, as no other line \
         does.",
    ),
    (
        "widths",
        "They are chosen from the width of the terminal, and are the same on all lines. Project, member, remote and \
         object are cut in their middle, never the action. Below 80 columns times have no milliseconds, and the member \
         has no column. To a pipe nothing is cut.",
    ),
];

const IN_PROGRESS: [&str; 3] = [
    "On a terminal, the pretty format shows operations in progress as live rows below the last line: the columns of a \
     line with the time at which the operation began, then its progress, its speed where the server reports one, and \
     how long it has been in progress, by the server's clock. When the operation ends, a line with its outcome takes \
     the place of the row. An operation that ends within a quarter of a second has no row, nor have tokens, sessions \
     of people (a console, an interactive command), and websockets that wait for their other end.",
    "The oldest operations are shown, in at most 8 rows and at most a third of the screen; +3 more counts the others. \
     Rows are drawn at most 30 times a second, and once a second while no event comes. They disappear with a lost \
     connection, because the end of an operation may be missed then, and come back with the operation's next event.",
    "While rows are on the screen, the cursor is hidden, what is typed is not shown, and both are restored at every \
     end and when lxmon is suspended. There are no rows if standard output is not a terminal, if TERM is dumb, unknown \
     or not set, if the terminal does not know its size or has one line, with --replay, where a command of --exec or \
     -- COMMAND writes to the same terminal, and while lxmon is a background job.",
];

const GAPS: &str = "With --gap-events the stream has a record of type gap when a connection is lost (until is null), \
     one when events are received again or lxmon exits, and one where events were dropped.";

/// The record of a connection that was lost and is back.
const GAP: &str = r#"{"type":"gap",
 "timestamp":"2026-11-26T14:04:09.100000000+01:00",
 "metadata":{
  "remote":"local",
  "last_event":"2026-11-26T13:03:58.412345678Z",
  "since":"2026-11-26T14:04:02.000000000+01:00",
  "until":"2026-11-26T14:04:09.100000000+01:00",
  "seconds":7.1,
  "reason":"the server closed the connection",
  "dropped":0}}"#;

const GAP_KEYS: [(&str, &str); 5] = [
    ("remote", "The remote whose events may be missing."),
    ("last_event", "The server's timestamp of the last event before the gap; null if there was none."),
    (
        "since, until, seconds",
        "When the gap began and ended, by the local clock, and its length, by a clock that nobody sets. While the gap \
         lasts, until and seconds are null.",
    ),
    ("reason", "Why events are missing."),
    (
        "dropped",
        "The number of events that were received and dropped, because they waited for longer than --buffer permits. \
         How many events were sent while the connection was lost is not known.",
    ),
];

const STATES: &str = "With --state the server is asked for the present state once its events come, and the stream gets \
     an event of type state for each instance of the followed projects and each running operation that is selected. \
     Operations are asked for if -t selects them or nothing, or only state, and no -a is given; -t need not name the \
     type state, and -t state alone asks for the state too. lifecycle events are then asked for, whatever -t selects. \
     A cluster is asked once. Each answer has all that the server knows of an instance, some kilobytes, whatever -i \
     selects.";

const STATE: &str = r#"{"type":"state",
 "timestamp":"2026-11-26T14:03:07.512345678+01:00",
 "project":"default","location":"none",
 "metadata":{"kind":"instance","name":"c1",
  "status":"Running","source":"/1.0/instances/c1",
  "changed":false}}"#;

const STATE_OF_OPERATION: &str = r#"{"type":"state",
 "timestamp":"2026-11-26T14:03:07.512345678+01:00",
 "project":"default","location":"none",
 "metadata":{"kind":"operation",
  "id":"2dbf0054-51b4-4b7a-8a36-c5a1cd9b0d07",
  "description":"Creating instance",
  "status":"Running","status_code":103,
  "created_at":"2026-11-26T13:03:01.1Z",
  "resources":{"instances":["/1.0/instances/c2"]},
  "changed":false}}"#;

const STATE_KEYS: [(&str, &str); 7] = [
    ("timestamp", "When the answer had come, by the local clock."),
    ("kind", "instance or operation."),
    ("name, source", "Of an instance: its name, and its path in the form of lifecycle events."),
    ("id, description, status_code, created_at", "Of an operation, as the server names them."),
    (
        "resources, metadata",
        "Of an operation: what it is about; in metadata the keys entity_url and original_entity_url, of servers that \
         send them.",
    ),
    (
        "status",
        "As the server names it, such as Running or Stopped; and Deleted, of an instance that is gone, and Ended, of \
         an operation that is not running any more and whose outcome is not known.",
    ),
    ("changed", "Whether this differs from what was known before a gap."),
];

const CHANGES: &str = "What is known is the last answer, changed by the events that have come since, printed or not. \
     After a gap, also one of dropped events, the same is asked again, and what differs comes with \"changed\":true: a \
     status or a cluster member that differs, an instance that is new or gone, an operation that is new or not running any more. A state \
     in an answer that contradicts an event which came after the question is not printed: the event is newer, or \
     another one is on its way. So a state is never older than an event before it. A server that refuses the question \
     is followed on, and a notice says so.";

const JQ: [&str; 2] = [
    "With --jq an expression in the language of jq(1) is run on each event that the other options select, after \
     --redact. No result, null and false drop the event. Any other result replaces it, also true; to keep the events \
     for which a condition holds, write select(CONDITION). Several results are printed one after the other, in the \
     place of the event; --count counts results.",
    "A result that is an event (an object with a type) is printed in every format, others in json and yaml; pretty and \
     logfmt refuse an expression that can have no other results, and otherwise show such a result as JSON. In json a \
     string is printed without quotation marks, as by jq -r. The file of --record has the results as JSON lines. An \
     event that passes unchanged keeps the server's bytes. With several remotes, results that are events have the key \
     remote.",
];

const CONTEXT: &str = r#"{"remote":"local","kind":"instance","name":"c1",
 "instance":"c1","project":"default",
 "duration_ms":2500,"failed":false}"#;

const CONTEXT_KEYS: [(&str, &str); 7] = [
    ("remote", "The name of the remote that sent the event; of a recorded event, the one that it names."),
    (
        "kind",
        "The kind of what the event is about, such as instance, snapshot, image, network, volume, project or member.",
    ),
    ("name", "Its name. That of a snapshot, backup or volume begins with what contains it: c1/snap0."),
    ("instance", "The instance that the event is about, also if it is about a snapshot of it."),
    ("project", "The project of the event, else of what it is about."),
    ("duration_ms", "Of an operation that has ended: how long it took, in milliseconds by the server's clock."),
    ("failed", "Whether the event is a failure, as --failed selects them."),
];

const JQ_LIMITS: &str = "Numbers keep their digits, also integers of any length, unless they are calculated with: then \
     fractions and exponents are 64-bit floating-point numbers. Not a number becomes null, infinity the greatest \
     number. The library is jaq, which differs from jq in a few points (https://github.com/01mf02/jaq); in a string of \
     the expression, write characters beyond U+FFFF as they are. There are no modules, input, inputs, env, $ENV, \
     debug, stderr, halt or halt_error. An error costs the event that it is for: it is reported once for each kind, \
     and the events are counted. The expression runs in a second process, with 1 GiB of memory, and 10 s for an event. \
     Gap records do not pass it.";

const SECRETS: [(&str, &str); 8] = [
    (
        "keys, at any depth",
        "The values of keys whose names end with secret, password, passwd, passphrase, token or credential, or with \
         the plural of one of them, in upper or lower case; or with key behind access, secret, private, api, \
         certificate, cert, encryption, signing or shared.",
    ),
    (
        "websockets of operations",
        "The values of fds, control, fs, criu and websockets. Who has one can attach to a console or a command.",
    ),
    ("environments", "The value of environment, and of keys that begin with environment."),
    ("commands", "The arguments in command, but not the program's name."),
    ("configuration of instances", "The values of keys that begin with user., and of cloud-init.*-data."),
    ("config events", "The values before and after the change, on the socket in an instance."),
    (
        "texts",
        "In log messages and all other strings: members of JSON with such keys, parameters of addresses with such \
         names (?secret=), tokens in Base64 and JSON web tokens, and private keys.",
    ),
    ("what is not an event", "All of it."),
];

const SUMMARY: &str = "With the pretty format on a terminal, a first line on standard error says what is followed, \
     with the versions of the servers where they answer within a second, and a last one sums up. --summary sums up in \
     full, in every format and however lxmon ends: the events that were printed by type, lifecycle actions, and \
     operations that have ended, by count; failures, as --failed knows them, with their reasons; the 10 slowest \
     operations, by the server's clock, without commands and consoles, which last for as long as they are used; \
     operations that still run, without tokens, which only wait; gaps. Of each other list the 20 most important \
     entries are shown and the others counted. Its time is that of the run; for a recording, the time between its \
     first and its last event.";

#[cfg(test)]
mod tests {
    use chrono::Local;
    use serde_json::Value;

    use super::*;
    use crate::event::RemoteId;
    use crate::event::gap::{End, Gap};
    use crate::event::state::{Record, Running, Subject};

    /// The keys of an object and of the objects in it.
    fn keys(value: &Value, of: &str, found: &mut Vec<String>) {
        for (key, value) in value.as_object().into_iter().flatten() {
            found.push(format!("{of}{key}"));
            if key != "resources" {
                keys(value, &format!("{key}."), found);
            }
        }
    }

    #[track_caller]
    fn assert_same_keys(example: &str, record: &str) {
        let [example, record] = [example, record].map(|text| {
            let mut found = Vec::new();
            keys(&serde_json::from_str(text).unwrap(), "", &mut found);
            found
        });
        assert_eq!(example, record);
    }

    #[test]
    fn the_examples_have_the_keys_of_the_records() {
        let end = Some(End { until: Local::now(), seconds: 7.1, is_over: true });
        let gap =
            Gap { remote: RemoteId(0), last_event: None, since: Local::now(), end, reason: "r".into(), dropped: 0 };
        assert_same_keys(GAP, gap.to_message("local").as_str());
        let record = |subject| Record::new("t".into(), Some("p".into()), Some("none".into()), subject).to_text();
        let instance = Subject::Instance { name: "c1".into(), status: "Running".into(), source: "s".into() };
        assert_same_keys(STATE, &record(instance));
        let running =
            Running { created_at: Some("t".into()), resources: Some([].into()), metadata: None, ..Running::default() };
        assert_same_keys(STATE_OF_OPERATION, &record(Subject::Operation(running)));
    }

    #[test]
    fn every_key_of_a_record_is_explained() {
        for (record, terms) in
            [(GAP, &GAP_KEYS[..]), (CONTEXT, &CONTEXT_KEYS), (STATE, &STATE_KEYS), (STATE_OF_OPERATION, &STATE_KEYS)]
        {
            let mut found = Vec::new();
            keys(&serde_json::from_str(record).unwrap(), "", &mut found);
            let explained: Vec<_> = terms.iter().flat_map(|(names, _)| names.split(", ")).collect();
            for key in found.iter().map(|key| key.strip_prefix("metadata.").unwrap_or(key)) {
                // These are the same in every event.
                let is_common = ["type", "metadata", "project", "location", "timestamp"].contains(&key);
                assert!(is_common || explained.contains(&key), "{key}");
            }
        }
    }
}
