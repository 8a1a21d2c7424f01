//! The version, and how `build.rs` finds the commit that is in it.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::support::program::run;

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The commit of this checkout and its date, if it is one.
fn checked_out() -> Option<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    if !root.join(".git").exists() {
        return None;
    }
    let git = Command::new("git")
        .args(["log", "-1", "--abbrev=9", "--date=short", "--format=%h %cd"])
        .current_dir(root)
        .output();
    git.ok().filter(|output| output.status.success()).map(|output| text(output.stdout).trim().to_owned())
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap()
}

#[test]
fn both_options_print_the_version_and_the_commit() {
    let [long, short] = ["--version", "-V"].map(|option| run([option]));
    assert_eq!((long.status, &*long.stderr), (0, ""));
    assert_eq!((&*long.stdout, long.status), (&*short.stdout, short.status));
    match checked_out() {
        Some(commit) => assert_eq!(long.stdout, format!("lxmon {VERSION} ({commit})\n")),
        None => assert!(long.stdout.starts_with(&format!("lxmon {VERSION}")), "{}", long.stdout),
    }
}

/// A folder with sources, and `build.rs` as a program.
struct Source {
    folder: TempDir,
    program: PathBuf,
    /// Found before all other programs.
    path: String,
}

impl Source {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("build-script");
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("build.rs");
        let compiler = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
        let status = Command::new(compiler).args(["--edition", "2024", "-o"]).arg(&program).arg(script).status();
        assert!(status.unwrap().success());
        std::fs::create_dir(folder.path().join("source")).unwrap();
        Self { folder, program, path: std::env::var("PATH").unwrap() }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn git(&self, name: &str, arguments: &[&str]) -> String {
        let mut command = Command::new("git");
        command.args(["-c", "user.name=n", "-c", "user.email=e", "-c", "init.defaultBranch=main"]).args(arguments);
        let time = "2026-02-03T23:30:00 -0500";
        command.envs([("GIT_AUTHOR_DATE", time), ("GIT_COMMITTER_DATE", time)]);
        // Not the user's configuration, which can have commits signed, nor the repository of a hook.
        command.envs([("GIT_CONFIG_GLOBAL", "/dev/null"), ("GIT_CONFIG_NOSYSTEM", "1")]).env_remove("GIT_DIR");
        command.env_remove("GIT_INDEX_FILE").env_remove("GIT_WORK_TREE");
        let output = command.current_dir(self.at(name)).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", text(output.stderr));
        text(output.stdout).trim().to_owned()
    }

    /// Commits, and returns the beginning of the commit's name.
    fn commit(&self, name: &str) -> String {
        self.git(name, &["commit", "--quiet", "--allow-empty", "--message=m"]);
        self.git(name, &["rev-parse", "HEAD"])[..9].to_owned()
    }

    /// The version that the script sets, and the files that it watches besides itself.
    fn build(&self, name: &str) -> (String, Vec<String>) {
        let mut command = Command::new(&self.program);
        command.env("CARGO_PKG_VERSION", "1.2.3").env("PATH", &self.path).current_dir(self.at(name));
        // That of another repository, as in its hooks.
        command.env("GIT_DIR", "/nonexistent");
        let output = command.output().unwrap();
        assert!(output.status.success() && output.stderr.is_empty(), "{}", text(output.stderr));
        let (mut versions, mut watched) = (Vec::new(), Vec::new());
        for line in text(output.stdout).lines() {
            if let Some(version) = line.strip_prefix("cargo::rustc-env=LXMON_VERSION=") {
                versions.push(version.to_owned());
            } else {
                let file = line.strip_prefix("cargo::rerun-if-changed=").unwrap();
                assert!(
                    file == "build.rs" || self.at(name).join(file).exists(),
                    "cargo would build every time: {file}"
                );
                watched.push(file.to_owned());
            }
        }
        assert_eq!((versions.len(), &*watched[0]), (1, "build.rs"));
        (versions.remove(0), watched.split_off(1))
    }
}

#[test]
fn the_build_script_finds_the_commit_where_there_is_one() {
    let mut source = Source::new();
    assert_eq!(source.build("source"), ("1.2.3".to_owned(), vec![]), "no git");
    if Command::new("git").arg("--version").output().is_err() {
        eprintln!("skipped: git is not installed");
        return;
    }

    // A checkout without a commit, and one with commits.
    source.git("source", &["init", "--quiet"]);
    assert_eq!(source.build("source").0, "1.2.3");
    let first = source.commit("source");
    let (version, watched) = source.build("source");
    assert_eq!(version, format!("1.2.3 ({first} 2026-02-03)"));
    assert_eq!(watched, [".git/HEAD", ".git/refs/heads/main"]);

    // The branch has no file of its own: the next commit changes the folder.
    source.git("source", &["pack-refs", "--all"]);
    assert_eq!(source.build("source").1, [".git/HEAD", ".git/packed-refs", ".git/refs/heads"]);

    source.git("source", &["worktree", "add", "--quiet", "-b", "topic/a", "../worktree"]);
    let second = source.commit("worktree");
    let (version, watched) = source.build("worktree");
    assert_eq!(version, format!("1.2.3 ({second} 2026-02-03)"));
    assert!(watched[0].ends_with(".git/worktrees/worktree/HEAD"), "{watched:?}");
    assert!(watched[2].ends_with(".git/refs/heads/topic/a"), "{watched:?}");
    source.git("worktree", &["checkout", "--quiet", "--detach", "HEAD~"]);
    assert_eq!(source.build("worktree").0, format!("1.2.3 ({first} 2026-02-03)"));

    // A folder within the checkout of another project.
    std::fs::create_dir(source.at("source/vendored")).unwrap();
    assert_eq!(source.build("source/vendored"), ("1.2.3".to_owned(), vec![]));

    // What `cargo package` writes, also within the checkout that it was made of.
    let hash = "0123456789abcdef0123456789abcdef01234567";
    for (info, commit) in [
        (format!("{{\n  \"git\": {{\n    \"sha1\": \"{hash}\"\n  }},\n  \"path_in_vcs\": \"\"\n}}"), " (012345678)"),
        (format!("{{\"git\":{{\"sha1\":\"{hash}\",\"dirty\": true}},\"path_in_vcs\":\"\"}}"), " (012345678, modified)"),
        ("{}".to_owned(), ""),
    ] {
        std::fs::write(source.at("source/vendored/.cargo_vcs_info.json"), info).unwrap();
        let (version, watched) = source.build("source/vendored");
        assert_eq!((version, &*watched), (format!("1.2.3{commit}"), &[".cargo_vcs_info.json".to_owned()][..]));
    }

    // Git is not installed.
    source.path = "/nonexistent".to_owned();
    assert_eq!(source.build("source"), ("1.2.3".to_owned(), vec![]));
}
