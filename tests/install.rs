//! `--install-docs` and `--remove-docs`: the man page and the completions are found by man and by the shells, and nothing
//! but them is touched.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown, symlink};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::process::geteuid;
use tempfile::TempDir;

use crate::support::machine::ORDINARY;
use crate::support::program::{Outcome, copy_program, finish};

const PAGE: &str = ".cargo/share/man/man1/lxmon.1";
const BASH: &str = ".local/share/bash-completion/completions/lxmon";
const ZSH: &str = ".local/share/zsh/site-functions/_lxmon";
const FISH: &str = ".local/share/fish/vendor_completions.d/lxmon.fish";

/// An ordinary user, who has lxmon where `cargo install` puts it.
struct User {
    home: TempDir,
}

impl User {
    fn new() -> Self {
        let user = Self { home: TempDir::new().unwrap() };
        fs::create_dir_all(user.at(".cargo/bin")).unwrap();
        copy_program(&user.at(".cargo/bin/lxmon"));
        fs::set_permissions(user.home.path(), fs::Permissions::from_mode(0o755)).unwrap();
        user.owns("");
        user.owns(".cargo");
        user
    }

    fn at(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    fn owns(&self, name: &str) {
        if geteuid().is_root() {
            chown(self.at(name), Some(ORDINARY), Some(ORDINARY)).unwrap();
        }
    }

    /// Writes a file of the user's own.
    fn writes(&self, name: &str, text: &str) {
        let mut above = PathBuf::new();
        for part in Path::new(name).parent().unwrap() {
            above.push(part);
            if !self.at(above.to_str().unwrap()).exists() {
                fs::create_dir(self.home.path().join(&above)).unwrap();
                self.owns(above.to_str().unwrap());
            }
        }
        fs::write(self.at(name), text).unwrap();
    }

    /// A command of this user.
    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        let path = format!("{}:/usr/bin:/bin", self.at(".cargo/bin").display());
        command.env_clear().env("HOME", self.home.path()).env("PATH", path).env("LANG", "C.UTF-8").env("TERM", "dumb");
        command.current_dir(self.home.path());
        if geteuid().is_root() {
            command.uid(ORDINARY).gid(ORDINARY);
        }
        command
    }

    fn lxmon(&self, option: &str) -> Outcome {
        finish(self.command(self.at(".cargo/bin/lxmon").to_str().unwrap()).arg(option))
    }

    /// What an installed command prints; `None` if it is not installed.
    fn says(&self, program: &str, arguments: &[&str]) -> Option<String> {
        if !is_installed(program) {
            return None;
        }
        let outcome = finish(self.command(program).args(arguments));
        assert_eq!(outcome.status, 0, "{program} {arguments:?}: {}", outcome.stderr);
        Some(outcome.stdout)
    }

    /// The lines that say what was done with each file.
    fn done(&self, what: &str, names: &[&str]) -> String {
        names.iter().map(|name| line(what, &self.at(name))).collect()
    }

    fn has(&self, name: &str) -> bool {
        self.at(name).symlink_metadata().is_ok()
    }
}

fn line(what: &str, path: &Path) -> String {
    format!("{what} {}\n", path.display())
}

fn is_installed(program: &str) -> bool {
    let mut version = Command::new(program);
    version.arg("--version").stdout(Stdio::null()).stderr(Stdio::null());
    let found = version.status().is_ok_and(|status| status.success());
    if !found {
        eprintln!("skipped: {program} is not installed");
    }
    found
}

#[test]
fn the_files_of_a_user_are_found_and_go_again() {
    let user = User::new();
    let first = user.lxmon("--install-docs");
    assert_eq!((first.status, &*first.stderr), (0, ""));
    let files = [PAGE, BASH, ZSH, FISH];
    let (installed, rest) = first.stdout.split_at(user.done("installed", &files).len());
    assert_eq!(installed, user.done("installed", &files));
    for file in files {
        assert_eq!(fs::metadata(user.at(file)).unwrap().permissions().mode() & 0o777, 0o644, "{file}");
    }

    // man and fish are not configured.
    if let Some(path) = user.says("man", &["-w", "lxmon"]) {
        assert_eq!(path.trim_end(), user.at(PAGE).to_str().unwrap());
    }
    if let Some(page) = user.says("man", &["lxmon"]) {
        assert!(page.contains("--install-docs"), "{page}");
    }
    if let Some(offered) = user.says("fish", &["-c", "complete -C 'lxmon --no-t'"]) {
        assert_eq!(offered.split('\t').next(), Some("--no-trunc"));
    }
    // What bash-completion does with the file is tested with the Debian package.
    let function = user.says("bash", &["-c", &format!("source {BASH}; complete -p lxmon")]).unwrap();
    assert!(function.contains("-F "), "{function}");
    // zsh needs the line that was printed.
    let line = rest.lines().find_map(|line| line.strip_prefix("  ")).unwrap();
    assert!(rest.contains("~/.zshrc") && !rest.contains("MANPATH"), "{rest}");
    let script = format!(
        "zmodload zsh/zpty; zpty z zsh -f -i; zpty -w z {}; zpty -w -n z $'lxmon --no-t\\t'; zpty -r -m z text '*--no-trunc*'",
        shell_word(&format!("{line}; autoload -Uz compinit; compinit -u -D"))
    );
    if is_installed("zsh") {
        user.says("timeout", &["30", "zsh", "-f", "-c", &script]);
    }

    // It may be repeated, and so may the removal, which also does with some of the files.
    let text = fs::read(user.at(PAGE)).unwrap();
    assert_eq!(user.lxmon("--install-docs").stdout, first.stdout);
    assert_eq!(fs::read(user.at(PAGE)).unwrap(), text);
    fs::remove_file(user.at(ZSH)).unwrap();
    let removed = user.lxmon("--remove-docs");
    assert_eq!(
        (removed.status, &*removed.stdout, &*removed.stderr),
        (0, &*user.done("removed", &[PAGE, BASH, FISH]), "")
    );
    assert!(files.iter().all(|file| !user.has(file)));
    let again = user.lxmon("--remove-docs");
    assert_eq!((again.status, &*again.stdout, &*again.stderr), (0, "nothing is installed\n", ""));
}

/// The text as one word of a shell's command line.
fn shell_word(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[test]
fn files_of_others_are_neither_replaced_nor_removed() {
    for is_link in [false, true] {
        let user = User::new();
        user.writes(FISH, "complete -c lxmon -a mine\n");
        if is_link {
            fs::rename(user.at(FISH), user.at("mine.fish")).unwrap();
            symlink(user.at("mine.fish"), user.at(FISH)).unwrap();
        }
        let refused = user.lxmon("--install-docs");
        assert_eq!((refused.status, &*refused.stdout), (1, ""), "{}", refused.stderr);
        let named = format!("lxmon: {}: this is not a file of lxmon --install-docs", user.at(FISH).display());
        assert!(refused.stderr.starts_with(&named) && refused.stderr.contains("\nhint: "), "{}", refused.stderr);
        assert!(![PAGE, BASH, ZSH].iter().any(|file| user.has(file)));

        // One that has come later stays, too.
        fs::rename(user.at(FISH), user.at("kept")).unwrap();
        assert_eq!(user.lxmon("--install-docs").status, 0);
        fs::rename(user.at("kept"), user.at(FISH)).unwrap();
        let removed = user.lxmon("--remove-docs");
        assert_eq!((removed.status, &*removed.stdout), (0, &*user.done("removed", &[PAGE, BASH, ZSH])));
        assert!(removed.stderr.contains(FISH), "{}", removed.stderr);
        assert_eq!(fs::read_to_string(user.at(FISH)).unwrap(), "complete -c lxmon -a mine\n");
    }
}

#[test]
fn what_cannot_be_written_is_one_error() {
    for (file, reason) in [(".local", "Not a directory"), (".cargo/share/man/man1", "Not a directory")] {
        let user = User::new();
        user.writes(file, "");
        let outcome = user.lxmon("--install-docs");
        assert_eq!((outcome.status, &*outcome.stdout), (1, ""));
        assert!(outcome.stderr.contains(reason) && outcome.stderr.contains("\nhint: "), "{}", outcome.stderr);
    }
    // Nothing half written stays behind.
    let user = User::new();
    user.writes(".local/share/x", "");
    if geteuid().is_root() {
        chown(user.at(".local/share"), Some(0), Some(0)).unwrap();
    } else {
        fs::set_permissions(user.at(".local/share"), fs::Permissions::from_mode(0o555)).unwrap();
    }
    let outcome = user.lxmon("--install-docs");
    assert_eq!(outcome.status, 1);
    assert!(outcome.stderr.contains("Permission denied") && outcome.stderr.contains("--remove-docs"), "{outcome:?}");
    assert_eq!(user.lxmon("--remove-docs").stdout, user.done("removed", &[PAGE]));
    assert_eq!(fs::read_dir(user.at(".cargo/share/man/man1")).unwrap().count(), 0);
}

#[test]
fn root_installs_for_all_users() {
    // With copies of the directories, in a mount namespace.
    const SCRIPT: &str = "mount --make-rprivate / && mkdir $0/local $0/etc && cp -a /etc/. $0/etc && \
        mount --bind $0/local /usr/local && mount --bind $0/etc /etc && exec \"$@\"";
    if !Command::new("unshare").args(["-m", "true"]).status().is_ok_and(|status| status.success()) {
        eprintln!("skipped: this takes root");
        return;
    }
    let home = TempDir::new().unwrap();
    copy_program(&home.path().join("lxmon"));
    let mut command = Command::new("unshare");
    let umask = "umask 077; ./lxmon --install-docs && ls -l /usr/local/share/man/man1/ && \
                 (! command -v man > /dev/null || man -w lxmon) && \
                 (! command -v fish > /dev/null || fish -c 'complete -C \"lxmon --no-t\"') && ./lxmon --remove-docs && \
                 find /usr/local/share /etc/fish/completions -type f -name '*lxmon*'";
    command.args(["-m", "sh", "-c", SCRIPT]).arg(home.path()).args(["sh", "-c", umask]).current_dir(home.path());
    let path = format!("{}:/usr/bin:/bin:/usr/sbin:/sbin", home.path().display());
    command.env_clear().env("PATH", path).env("HOME", home.path());
    let outcome = finish(&mut command);
    assert_eq!((outcome.status, &*outcome.stderr), (0, ""));
    let all = ["share/man/man1/lxmon.1", "share/bash-completion/completions/lxmon", "share/zsh/site-functions/_lxmon"];
    let all = all.map(|name| format!("/usr/local/{name}"));
    let all = all.iter().map(String::as_str).chain(["/etc/fish/completions/lxmon.fish"]);
    let done = |what: &str| all.clone().map(|path| line(what, Path::new(path))).collect::<String>();
    assert!(outcome.stdout.starts_with(&done("installed")), "{}", outcome.stdout);
    assert!(outcome.stdout.contains("-rw-r--r--"), "{}", outcome.stdout);
    assert!(
        !is_installed("man") || outcome.stdout.contains("\n/usr/local/share/man/man1/lxmon.1\n"),
        "{}",
        outcome.stdout
    );
    assert!(!is_installed("fish") || outcome.stdout.contains("\n--no-trunc\t"), "{}", outcome.stdout);
    assert!(outcome.stdout.ends_with(&done("removed")), "{}", outcome.stdout);
}
