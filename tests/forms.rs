//! The form for bug reports: what it asks its readers to run exists.

use std::path::Path;

use clap::Parser as _;
use lxmon::cli::Cli;
use serde_yaml::Value;

/// A file of the repository; `None` in the package, which has no forms.
fn file(path: &str) -> Option<String> {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).ok()
}

/// The commands in backticks that begin with `lxmon`, without redirections.
fn commands(text: &str) -> Vec<String> {
    let quoted = text.split('`').skip(1).step_by(2).filter(|code| code.starts_with("lxmon "));
    let without_files = |code: &str| {
        let words = code.split_whitespace().take_while(|word| !word.contains('>'));
        words.collect::<Vec<_>>().join(" ")
    };
    quoted.map(without_files).collect()
}

#[test]
fn the_form_for_bug_reports_asks_for_what_there_is() {
    let Some(form) = file(".github/ISSUE_TEMPLATE/bug_report.yml") else {
        println!("skipped: the package has no forms");
        return;
    };
    let parsed: Value = serde_yaml::from_str(&form).unwrap();
    for key in ["name", "description"] {
        assert!(parsed[key].as_str().is_some_and(|text| !text.is_empty()), "{key}");
    }
    let mut asked = Vec::new();
    for part in parsed["body"].as_sequence().unwrap() {
        let kind = part["type"].as_str().unwrap();
        // The fields that both GitHub and Forgejo know.
        assert!(["markdown", "textarea", "input", "dropdown", "checkboxes"].contains(&kind), "{kind}");
        if kind == "markdown" {
            assert!(part["attributes"]["value"].is_string() && part.get("id").is_none());
        } else {
            assert!(part["attributes"]["label"].is_string());
            asked.push(part["id"].as_str().unwrap());
        }
    }
    assert_eq!(asked, ["version", "command", "expected", "debug", "recording"]);

    let named = commands(&form);
    for command in &named {
        let parsed = Cli::try_parse_from(command.split_whitespace());
        // The version is shown as an error of the parser that is none.
        assert!(parsed.as_ref().map_or_else(|error| !error.use_stderr(), |_| true), "{command}: {parsed:?}");
    }
    for option in ["--version", "--debug", "--redact", "--record", "--replay"] {
        let is_named = named.iter().any(|command| command.split(' ').any(|word| word == option));
        assert!(is_named, "{option} is not asked for");
    }
    // The recipe of the cookbook is the same.
    let cookbook = file("docs/cookbook.md").unwrap();
    let (_, recipe) = cookbook.split_once("## Record a bug report").unwrap();
    for line in recipe.lines().filter(|line| line.starts_with("lxmon ")) {
        assert!(form.contains(&format!("`{line}`")), "the form lacks {line:?}");
    }
}
