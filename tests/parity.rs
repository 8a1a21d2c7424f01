//! No format or option is forgotten: a new one breaks the compilation of this file until it is added here, and then
//! needs an entry in the README, an entry in the man page and a test.

use std::path::Path;

use clap::{CommandFactory as _, Parser as _};
use lxmon::cli::Cli;
use lxmon::render::Format;

use crate::support::program::run;

/// Every long option with an example of its use.
fn examples() -> Vec<(&'static str, &'static [&'static str])> {
    // The pattern has no `..`, so that a new option breaks the compilation here; then add it below.
    let Cli {
        remotes: _,
        command: _,
        types: _,
        actions: _,
        instances: _,
        sources: _,
        requestors: _,
        locations: _,
        projects: _,
        all_projects: _,
        loglevel: _,
        failed: _,
        jq: _,
        format: _,
        pretty: _,
        color: _,
        time: _,
        redact: _,
        no_trunc: _,
        summary: _,
        count: _,
        timeout: _,
        fail_fast: _,
        retry: _,
        no_reconnect: _,
        cluster: _,
        state: _,
        sort_window: _,
        buffer: _,
        gap_events: _,
        fail_on_gap: _,
        exec: _,
        debounce: _,
        record: _,
        replay: _,
        since: _,
        until: _,
        demo: _,
        lxd: _,
        incus: _,
        force_local: _,
        quiet: _,
        verbose: _,
        debug: _,
        ready_fd: _,
        list_actions: _,
        completions: _,
        man: _,
        install_docs: _,
        remove_docs: _,
    } = Cli::parse_from(["lxmon"]);
    vec![
        ("type", &["--type=lifecycle,operation"]),
        ("action", &["--action=instance-*"]),
        ("instance", &["--instance=web*"]),
        ("source", &["--source=/1.0/networks/*"]),
        ("requestor", &["--requestor=alice"]),
        ("location", &["--location=node1"]),
        ("project", &["--project=web"]),
        ("all-projects", &["--all-projects"]),
        ("failed", &["--failed"]),
        ("loglevel", &["--loglevel=warning"]),
        ("jq", &["--jq=.metadata"]),
        ("format", &["--format=json"]),
        ("pretty", &["--pretty"]),
        ("color", &["--color=always"]),
        ("time", &["--time=delta"]),
        ("redact", &["--redact"]),
        ("no-trunc", &["--no-trunc"]),
        ("summary", &["--summary"]),
        ("count", &["--count=3"]),
        ("timeout", &["--timeout=10s"]),
        ("fail-fast", &["--fail-fast"]),
        ("retry", &["--retry"]),
        ("no-reconnect", &["--no-reconnect"]),
        ("cluster", &["--cluster"]),
        ("state", &["--state"]),
        ("sort-window", &["--sort-window=0"]),
        ("buffer", &["--buffer=1GiB"]),
        ("gap-events", &["--gap-events"]),
        ("fail-on-gap", &["--fail-on-gap"]),
        ("exec", &["--exec=logger < /dev/stdin"]),
        ("debounce", &["--exec=true", "--debounce=5s"]),
        ("record", &["--record=events.ndjson"]),
        ("replay", &["--replay=events.ndjson"]),
        ("since", &["--since=14:00"]),
        ("until", &["--until=2h"]),
        ("demo", &["--demo"]),
        ("lxd", &["--lxd"]),
        ("incus", &["--incus"]),
        ("force-local", &["--force-local"]),
        ("quiet", &["--quiet"]),
        ("verbose", &["--verbose"]),
        ("debug", &["--debug"]),
        ("ready-fd", &["--ready-fd=3"]),
        ("list-actions", &["--list-actions=network-*"]),
        ("completions", &["--completions=fish"]),
        ("man", &["--man"]),
        ("install-docs", &["--install-docs"]),
        ("remove-docs", &["--remove-docs"]),
    ]
}

fn repository_file(path: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// The whole words of a text, so that `--timeout` does not count as a mention of `--time`.
fn words(text: &str) -> Vec<&str> {
    text.split(|c: char| !c.is_ascii_alphanumeric() && c != '-').collect()
}

/// The sources of the tests, without this file.
fn tests() -> String {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let mut sources = String::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "rs") && !path.ends_with("parity.rs") {
            sources.push_str(&std::fs::read_to_string(path).unwrap());
        }
    }
    sources
}

#[test]
fn every_option_has_an_example_and_stands_in_readme_help_and_man_page() {
    let (readme, tests) = (repository_file("README.md"), tests());
    let (help, man) = (run(["--help"]).stdout, run(["--man"]).stdout);
    let (readme, help, tests) = (words(&readme), words(&help), words(&tests));
    let command = Cli::command();
    for (name, example) in examples() {
        let option = format!("--{name}");
        Cli::try_parse_from([&["lxmon"], example].concat()).unwrap();
        assert!(readme.contains(&&*option), "the README lacks {option}");
        assert!(help.contains(&&*option), "the help lacks {option}");
        assert!(man.contains(&format!("\\fB{}\\fR", option.replace('-', "\\-"))), "the man page lacks {option}");
        let argument = command.get_arguments().find(|argument| argument.get_long() == Some(name)).unwrap();
        let short = argument.get_short().map(|short| format!("-{short}"));
        let is_tested = tests.contains(&&*option) || short.is_some_and(|short| tests.contains(&&*short));
        assert!(is_tested, "no test uses {option}");
    }
    let known: Vec<_> = examples().into_iter().map(|(name, _)| name).collect();
    for name in command.get_arguments().filter_map(|argument| argument.get_long()) {
        // These two print and end.
        if ["help", "version"].contains(&name) {
            continue;
        }
        assert!(known.contains(&name), "--{name} has no example here");
    }
}

#[test]
fn every_format_prints_the_session_and_stands_in_readme_and_man_page() {
    const ALL: [Format; 4] = [Format::Yaml, Format::Json, Format::Pretty, Format::Logfmt];
    let session = concat!(env!("CARGO_MANIFEST_DIR"), "/src/source/demo/session.ndjson");
    let (readme, man) = (repository_file("README.md"), run(["--man"]).stdout);
    for format in ALL {
        // A new format breaks the compilation here; then add it to `ALL`.
        let (name, begin) = match format {
            Format::Yaml => ("yaml", "---\n"),
            Format::Json => ("json", "{\"type\":\""),
            Format::Pretty => ("pretty", "20"),
            Format::Logfmt => ("logfmt", "time=\""),
        };
        let outcome = run(["--replay", session, "--format", name]);
        assert_eq!((outcome.status, &*outcome.stderr), (0, ""), "{name}");
        assert!(outcome.stdout.starts_with(begin), "{name}: {:?}", outcome.stdout.lines().next());
        assert!(readme.contains(&format!("`{name}`")), "the README lacks {name}");
        assert!(man.contains(&format!("\\fB{name}\\fR")), "the man page lacks {name}");
    }
}
