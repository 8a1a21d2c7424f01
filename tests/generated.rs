//! The committed completions and man page are those of this command line.

use std::path::Path;

use crate::support::program::run;

#[test]
fn completions_and_man_page_are_up_to_date() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut stale = Vec::new();
    for (file, option) in [
        ("completions/lxmon.bash", "--completions=bash"),
        ("completions/_lxmon", "--completions=zsh"),
        ("completions/lxmon.fish", "--completions=fish"),
        ("completions/lxmon.elv", "--completions=elvish"),
        ("completions/_lxmon.ps1", "--completions=powershell"),
        ("man/lxmon.1", "--man"),
    ] {
        let made = run([option]);
        assert_eq!(made.status, 0);
        if std::fs::read_to_string(root.join(file)).ok().as_ref() != Some(&made.stdout) {
            stale.push(format!("cargo run -- {option} > {file}"));
        }
    }
    assert!(stale.is_empty(), "mend them with\n{}", stale.join("\n"));
}

#[test]
fn the_man_page_has_all_its_sections_and_every_option() {
    let page = run(["--man"]).stdout;
    for section in ["NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "EXAMPLES", "ENVIRONMENT", "FILES", "EXIT STATUS"] {
        assert!(page.contains(&format!(".SH {section}")) || page.contains(&format!(".SH \"{section}\"")), "{section}");
    }
    // Whole names: `--timeout` is no mention of `--time`.
    for option in options() {
        let term = format!("\\fB{}\\fR", option.replace('-', "\\-"));
        assert!(page.contains(&term), "{option}");
    }
}

/// Every long option, from the source of the command line and not from what clap makes of it.
fn options() -> Vec<String> {
    let source = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/cli/mod.rs")).unwrap();
    let fields = source.split("pub struct Cli {").nth(1).unwrap().split("\n}\n").next().unwrap();
    let mut options = Vec::new();
    for field in fields.split("#[arg(").skip(1) {
        let (attribute, rest) = field.split_once(")]\n").unwrap();
        let name = rest.trim_start().strip_prefix("pub ").unwrap().split(':').next().unwrap().replace('_', "-");
        let renamed = attribute.split_once("long = \"").and_then(|(_, rest)| rest.split('"').next());
        if let Some(option) = renamed.or_else(|| attribute.split(", ").any(|part| part == "long").then_some(&*name)) {
            options.push(format!("--{option}"));
        }
    }
    assert!(options.len() > 30, "{options:?}");
    options
}

#[test]
fn the_help_and_the_readme_list_every_option() {
    let readme = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let help = run(["--help"]).stdout;
    let words = |text: &str| -> Vec<String> {
        text.split(|c: char| !c.is_ascii_alphanumeric() && c != '-').map(str::to_owned).collect()
    };
    let (readme, help) = (words(&readme), words(&help));
    for option in options() {
        assert!(readme.contains(&option), "the README lacks {option}");
        assert!(help.contains(&option), "the help lacks {option}");
    }
}
