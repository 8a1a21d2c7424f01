//! What is handed out: the crate's package, its dependencies and the versions in its files.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap()
}

/// The names of the dependencies in a section of `Cargo.toml`.
fn dependencies(section: &str) -> Vec<String> {
    let manifest = read("Cargo.toml");
    let (_, rest) = manifest.split_once(&format!("\n[{section}]\n")).unwrap();
    let lines = rest.lines().take_while(|line| !line.starts_with('['));
    lines.filter_map(|line| Some(line.split_once(" = ")?.0.to_owned())).collect()
}

#[test]
fn the_package_has_what_it_takes_to_build_and_install_and_nothing_else() {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["package", "--list", "--locked", "--offline", "--allow-dirty"]).current_dir(root());
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let list = String::from_utf8(output.stdout).unwrap();
    let files: Vec<PathBuf> = list.lines().map(PathBuf::from).collect();
    let tops: BTreeSet<_> = files.iter().filter_map(|file| file.iter().next()?.to_str()).collect();
    // cargo adds the files with a dot, and `Cargo.toml.orig`. The first is missing outside of a repository.
    let expected = [
        "CHANGELOG.md",
        "Cargo.lock",
        "Cargo.toml",
        "Cargo.toml.orig",
        "LICENSE",
        "README.md",
        "SECURITY.md",
        "build.rs",
        "completions",
        "docs",
        "man",
        "src",
    ];
    assert_eq!(tops.into_iter().filter(|top| !top.starts_with('.')).collect::<Vec<_>>(), expected);
    let size: u64 = files.iter().filter_map(|file| root().join(file).metadata().ok()).map(|file| file.len()).sum();
    assert!(size < 2 << 20, "the package has {size} bytes before it is compressed");
    // What the Debian package needs is in it.
    for needed in
        ["docs/debian/copyright", "docs/debian/changelog", "docs/debian/lintian-overrides", "docs/lxmon.service"]
    {
        assert!(files.contains(&PathBuf::from(needed)), "{needed}");
    }
}

#[test]
fn each_dependency_has_its_reason() {
    let page = read("docs/architecture.md");
    let (_, section) = page.split_once("\n## Dependencies\n").unwrap();
    let table = section.split("\n\n").nth(1).unwrap();
    let explained: Vec<_> =
        table.lines().skip(2).map(|row| row.split('`').nth(1).unwrap_or_default().to_owned()).collect();
    let mut known = dependencies("dependencies");
    known.sort_by_key(|name| name.replace('-', "_"));
    let mut sorted = explained.clone();
    sorted.sort_by_key(|name| name.replace('-', "_"));
    assert_eq!(sorted, known, "docs/architecture.md and Cargo.toml");
}

#[test]
fn the_version_of_the_debian_package_is_that_of_the_program() {
    let changelog = read("docs/debian/changelog");
    let expected = format!("lxmon ({}-1) ", env!("CARGO_PKG_VERSION"));
    assert!(changelog.starts_with(&expected), "docs/debian/changelog does not begin with {expected}");
}
