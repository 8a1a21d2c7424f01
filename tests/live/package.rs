//! What is handed out, where nothing else is: the Debian package in a minimal Debian, the static program in an empty
//! directory.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::support::program::{Outcome, finish, finish_with_input};

/// The most that the program may have, in bytes.
const LARGEST: u64 = 8 << 20;

/// A minimal Debian, which each test changes for itself.
struct Debian {
    base: PathBuf,
    changes: TempDir,
}

impl Debian {
    fn new() -> Self {
        const VARIABLE: &str = "LXMON_TEST_DEBIAN_ROOT";
        let Some(base) = std::env::var_os(VARIABLE) else {
            panic!(
                "set {VARIABLE} to the directory of .ci/debian-root DIRECTORY bookworm man-db bash-completion zsh fish"
            )
        };
        let debian = Self { base: base.into(), changes: TempDir::new().unwrap() };
        for directory in ["upper/packages", "work", "root"] {
            fs::create_dir_all(debian.changes.path().join(directory)).unwrap();
        }
        debian
    }

    /// Runs a script of the shell in it as root.
    fn run(&self, script: &str) -> Outcome {
        const MOUNT: &str = "mount --make-rprivate / && \
            mount -t overlay -o lowerdir=$1,upperdir=$0/upper,workdir=$0/work none $0/root && \
            mount --rbind /dev $0/root/dev && mount -t proc proc $0/root/proc && exec chroot $0/root sh -euc \"$2\"";
        let mut command = Command::new("unshare");
        command
            .args(["--mount", "--pid", "--fork", "--kill-child", "sh", "-c", MOUNT])
            .arg(self.changes.path())
            .arg(&self.base)
            .arg(script);
        command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("HOME", "/root").env("TERM", "dumb");
        finish(command.env("LANG", "C.UTF-8").env("DEBIAN_FRONTEND", "noninteractive"))
    }

    /// What a script that succeeds prints.
    fn says(&self, script: &str) -> String {
        let Outcome { status, stdout, stderr } = self.run(script);
        assert_eq!(status, 0, "{script}: {stdout}{stderr}");
        stdout
    }

    /// Types the beginning of an option and Tab on a terminal of this shell, and waits for the whole option.
    fn completes(&self, shell: &str, first: &str) {
        let script = format!(
            "zmodload zsh/zpty; zpty -e shell {shell}; zpty -w shell \"{first}\"; zpty -w -n shell $'lxmon --no-t\\t'; \
             zpty -r -m shell shown '*--no-trunc*'"
        );
        let outcome = self.run(&format!("timeout 30 zsh -fc '{}'", script.replace('\'', r"'\''")));
        assert_eq!(outcome.status, 0, "{shell}: {}", outcome.stderr);
    }

    /// Makes the package with this version, and returns its name in here and outside.
    fn package(&self, version: &str) -> (String, PathBuf) {
        let name = format!("packages/{version}.deb");
        let path = self.changes.path().join("upper").join(&name);
        let mut command = Command::new("cargo");
        command.args(["deb", "--locked", "--no-build", "--deb-version", version, "--output"]).arg(&path);
        if cfg!(debug_assertions) {
            command.args(["--profile", "dev", "--fast"]);
        }
        let output = command.current_dir(env!("CARGO_MANIFEST_DIR")).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "cargo install --locked cargo-deb, and then: {stderr}");
        (format!("/{name}"), path)
    }
}

#[test]
#[ignore = "needs root, cargo-deb, lintian and a minimal Debian: run by CI"]
fn the_debian_package_is_installed_used_upgraded_and_purged() {
    let debian = Debian::new();
    let (first, path) = debian.package("0.0.1-1");
    let checked = Command::new("lintian").args(["--fail-on", "error,warning"]).arg(&path).output().unwrap();
    let found = String::from_utf8_lossy(&checked.stdout);
    assert!(checked.status.success() && found.is_empty(), "{found}{}", String::from_utf8_lossy(&checked.stderr));

    debian.says(&format!("dpkg --install {first}"));
    assert_eq!(debian.says("lxmon --version").split(' ').next(), Some("lxmon"));
    let session = debian.says("lxmon --demo -p -n 5");
    assert!(session.lines().count() >= 5 && session.contains("instance-created"), "{session}");
    assert!(debian.says("man lxmon").contains("--sort-window"));
    debian.completes("bash --rcfile /etc/skel/.bashrc -i", "cd /");
    debian.completes("zsh -fi", "autoload -Uz compinit; compinit");
    assert!(debian.says("fish -c \"complete -C 'lxmon --no-t'\"").starts_with("--no-trunc\t"));
    let documents = debian.says("ls /usr/share/doc/lxmon /usr/share/doc/lxmon/examples");
    for file in ["README.md", "copyright", "cookbook.md", "lxmon.logrotate"] {
        assert!(documents.lines().any(|name| name == file), "{file}: {documents}");
    }
    // The service is there for whoever wants it, with the program that it starts.
    let unit = debian.says("cat /usr/lib/systemd/system/lxmon.service");
    assert!(unit.contains("\nExecStart=lxmon "), "{unit}");
    assert_eq!(debian.says("find /etc/systemd -name 'lxmon*'"), "");

    let (second, _) = debian.package("9999-1");
    debian.says(&format!("dpkg --install {second}"));
    assert_eq!(debian.says("dpkg-query --show lxmon"), "lxmon\t9999-1\n");
    debian.says("lxmon --version");
    debian.says("dpkg --purge lxmon");
    // man keeps pages that it has shown.
    assert_eq!(debian.says("find / -xdev -name '*lxmon*' -not -path '/var/cache/man/*'"), "");
}

/// The program without a library, a directory, a device or a configuration beside it.
fn in_empty_directory(program: &Path, arguments: &[&str], input: &[u8]) -> Outcome {
    let root = TempDir::new().unwrap();
    assert!(Command::new("cp").arg(program).arg(root.path().join("lxmon")).status().unwrap().success());
    let mut command = Command::new("chroot");
    command.arg(root.path()).arg("/lxmon").args(arguments);
    command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    finish_with_input(&mut command, input)
}

#[test]
#[ignore = "needs root and a static program: run by CI"]
fn the_static_program_runs_where_nothing_else_is() {
    const VARIABLE: &str = "LXMON_TEST_STATIC";
    let Some(program) = std::env::var_os(VARIABLE).map(PathBuf::from) else {
        panic!("set {VARIABLE} to the path of a static lxmon, see README.md")
    };
    let session = fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/src/source/demo/session.ndjson")).unwrap();
    let version = in_empty_directory(&program, &["--version"], b"");
    assert_eq!((version.status, &*version.stderr), (0, ""));
    let replayed = in_empty_directory(&program, &["--replay", "-", "-f", "json", "-n3"], &session);
    assert_eq!((replayed.status, replayed.stdout.lines().count(), &*replayed.stderr), (0, 3, ""));
    let shown = in_empty_directory(&program, &["--demo", "-p", "-n5"], b"");
    assert_eq!((shown.status, &*shown.stderr), (0, ""));
    assert!(shown.stdout.contains("instance-created"), "{}", shown.stdout);
    // Files of the system that are missing are errors that say so.
    let refused = in_empty_directory(&program, &["-f", "json"], b"");
    assert_eq!(refused.status, 1);
    assert!(refused.stderr.contains("no LXD socket") && refused.stderr.contains("\nhint: "), "{}", refused.stderr);
}

#[test]
#[ignore = "needs a release build: run by CI"]
fn the_program_is_small() {
    if cfg!(debug_assertions) {
        eprintln!("skipped: this is no release build");
        return;
    }
    let size = fs::metadata(env!("CARGO_BIN_EXE_lxmon")).unwrap().len();
    assert!(size < LARGEST, "{size} bytes");
}
