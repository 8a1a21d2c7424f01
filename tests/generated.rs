//! The committed man page, and the completions of the shells that do not ask lxmon, match the current command line.

use std::path::Path;

use crate::support::program::run;

#[test]
fn completions_and_man_page_are_up_to_date() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut stale = Vec::new();
    for (file, option) in [
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
    assert!(stale.is_empty(), "update them with\n{}", stale.join("\n"));
}

#[test]
fn the_man_page_has_all_its_sections() {
    let page = run(["--man"]).stdout;
    for section in ["NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "EXAMPLES", "ENVIRONMENT", "FILES", "EXIT STATUS"] {
        assert!(page.contains(&format!(".SH {section}")) || page.contains(&format!(".SH \"{section}\"")), "{section}");
    }
    // The string for an apostrophe is defined once (in two branches of a condition), and the date is in the title.
    assert_eq!(page.matches(".ds Aq").count(), 2);
    assert!(page.contains(".TH LXMON 1 2026-11-27 \"lxmon "), "{page}");
}
