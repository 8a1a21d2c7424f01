//! The committed completions and man page are those of this command line.

use std::path::Path;

use crate::program::run;

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
    let help = run(["--help"]).stdout;
    let options = help.split_whitespace().filter(|word| word.starts_with("--") && word.len() > 2);
    for option in options {
        let option = option.trim_end_matches([',', '.', ';', ')']);
        let escaped = option.replace('-', "\\-");
        assert!(page.contains(&escaped), "{option}");
    }
}

#[test]
fn the_readme_lists_every_option() {
    let readme = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let help = run(["--help"]).stdout;
    // The values of some options are listed with dashes too.
    let lines = help.lines().map(str::trim_start).filter(|line| line.starts_with('-') && !line.starts_with("- "));
    for line in lines {
        let option = line.split_whitespace().find(|word| word.starts_with("--")).unwrap().trim_end_matches(',');
        assert!(readme.contains(&format!("`{option}")) || readme.contains(&format!(" {option}")), "{option}");
    }
}
