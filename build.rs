//! Sets `LXMON_VERSION`, which `lxmon --version` prints: the version of the package, and the commit of its source where
//! that is known.
//!
//! The text depends on the commit alone, not on the time or the machine of the build, so that builds can be reproduced.
//! Changes that are not committed are not looked for, because cargo would have to run this at every build.

use std::env::var;
use std::fs::read_to_string;
use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let version = var("CARGO_PKG_VERSION").unwrap_or_default();
    // A package can be unpacked within the checkout of another project, so it is asked first.
    let commit = of_package().or_else(of_checkout).map(|commit| format!(" ({commit})"));
    println!("cargo::rustc-env=LXMON_VERSION={version}{}", commit.unwrap_or_default());
}

/// The number of digits of a commit that are shown. Git's own abbreviation depends on its configuration.
const DIGITS: usize = 9;

/// The commit that `cargo package` has made the source from. It says nothing of the date.
fn of_package() -> Option<String> {
    const FILE: &str = ".cargo_vcs_info.json";
    let text = read_to_string(FILE).ok()?;
    println!("cargo::rerun-if-changed={FILE}");
    let is_hash = |word: &&str| word.len() >= 40 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
    let hash = &text.split('"').find(is_hash)?[..DIGITS];
    // `cargo package --allow-dirty` adds this.
    let is_modified = text.split_whitespace().collect::<String>().contains("\"dirty\":true");
    Some(if is_modified { format!("{hash}, modified") } else { hash.to_owned() })
}

/// The commit that is checked out, and its date.
fn of_checkout() -> Option<String> {
    // The path within the checkout: if there is one, the checkout is that of another project.
    if !git(&["rev-parse", "--show-prefix"])?.is_empty() {
        return None;
    }
    let commit = git(&["log", "-1", "--no-show-signature", "--date=short", "--format=%H %cd"])?;
    let (hash, date) = commit.split_once(' ')?;
    watch_checkout();
    Some(format!("{} {date}", hash.get(..DIGITS)?))
}

/// Has cargo run this again when another commit is checked out.
fn watch_checkout() {
    let branch = git(&["symbolic-ref", "--quiet", "HEAD"]);
    for name in ["HEAD", "packed-refs", "reftable/tables.list"].into_iter().chain(branch.as_deref()) {
        let Some(path) = git(&["rev-parse", "--git-path", name]) else { continue };
        // A branch in `packed-refs` has no file of its own until the next commit: its folder changes then. Cargo would
        // take a file that does not exist for a change at every build.
        let mut candidates = Path::new(&path).ancestors();
        let existing = if name.starts_with("refs/") {
            candidates.find(|path| path.exists())
        } else {
            candidates.next().filter(|path| path.exists())
        };
        if let Some(path) = existing {
            println!("cargo::rerun-if-changed={}", path.display());
        }
    }
}

/// What git prints, without the end of the line; `None` if it fails or is not installed.
fn git(arguments: &[&str]) -> Option<String> {
    let mut command = Command::new("git");
    // Set while git runs a hook, perhaps of another repository.
    for name in ["GIT_DIR", "GIT_WORK_TREE", "GIT_COMMON_DIR"] {
        command.env_remove(name);
    }
    let output = command.args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim_end().to_owned())
}
