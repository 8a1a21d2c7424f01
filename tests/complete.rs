//! Shell completion: the candidates that lxmon offers for an unfinished command line.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::support::program::{Follower, PATIENCE, finish, lxmon, terminal};
use crate::support::standin::{Connection, StandIn};

fn offered(words: &[&str], environment: &[(&str, &str)]) -> Vec<String> {
    let mut command = lxmon(["--", "lxmon"]);
    command.args(words).env("COMPLETE", "fish").envs(environment.iter().copied());
    let outcome = finish(&mut command);
    assert_eq!(outcome.status, 0, "{}", outcome.stderr);
    outcome.stdout.lines().map(|line| line.split('\t').next().unwrap().to_owned()).collect()
}

#[test]
fn remotes_projects_and_actions() {
    let server = StandIn::new(|connection: &mut Connection| {
        let body = r#"{"type":"sync","metadata":["/1.0/projects/default","/1.0/projects/my%20web"]}"#;
        connection.write(format!("HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n{body}").as_bytes());
        connection.end();
    });
    let directory = tempfile::tempdir().unwrap();
    let config = "remotes:\n  n1:\n    addr: https://x\n  images:\n    addr: https://y\n    protocol: simplestreams\n";
    std::fs::write(directory.path().join("config.yml"), config).unwrap();
    let socket = server.socket();
    let environment = [("LXD_CONF", directory.path().to_str().unwrap()), ("LXD_SOCKET", socket.to_str().unwrap())];
    assert_eq!(offered(&["n"], &environment), ["n1:"]);
    assert!(!offered(&[""], &environment).contains(&"images:".to_owned()));
    assert_eq!(offered(&["--project", ""], &environment), ["default", "my web"]);
    assert!(server.requests()[0].starts_with("GET /1.0/projects HTTP/1.1\r\n"));
    assert_eq!(offered(&["-a", "instance-pau"], &environment), ["instance-paused"]);
    assert_eq!(offered(&["-a", "@"], &environment), ["@running", "@stopped"]);
    assert_eq!(offered(&["-t", "o"], &environment), ["operation", "ovn"]);
    assert_eq!(offered(&["-t", "log,dev"], &environment), ["log,device"]);
    // Behind `--`, the first word is a program, and the shell completes the others.
    let bin = directory.path().join("bin");
    std::fs::create_dir(&bin).unwrap();
    for (name, mode) in [("lxc-start", 0o755), ("lxc-stop", 0o755), ("lxc-notes", 0o644), ("other", 0o755)] {
        std::fs::write(bin.join(name), "").unwrap();
        std::fs::set_permissions(bin.join(name), std::fs::Permissions::from_mode(mode)).unwrap();
    }
    let path = [("PATH", bin.to_str().unwrap())];
    assert_eq!(offered(&["-n1", "--", "lxc-"], &path), ["lxc-start", "lxc-stop"]);
    assert_eq!(offered(&["--", "lxc-start", "lxc-"], &path), [""; 0]);
    // Without a server, no projects are offered, and that is not an error.
    assert!(offered(&["--project", ""], &[("LXD_SOCKET", "/nonexistent")]).is_empty());
}

#[test]
fn every_shell_has_its_script() {
    for shell in ["bash", "zsh", "fish"] {
        let outcome = finish(lxmon::<&str>([]).env("COMPLETE", shell));
        assert_eq!((outcome.status, &*outcome.stderr), (0, ""));
        assert!(outcome.stdout.contains("COMPLETE"), "{shell}: {}", outcome.stdout);
    }
}

#[test]
fn projects_are_those_of_the_server_that_is_meant() {
    let server = |project: &'static str| {
        StandIn::new(move |connection: &mut Connection| {
            connection.answer(&format!(r#"{{"metadata":["/1.0/projects/{project}"]}}"#));
            connection.end();
        })
    };
    let [lxd, incus, other] = ["of-lxd", "of-incus", "of-other"].map(server);
    let directory = tempfile::tempdir().unwrap();
    let config = format!("default-remote: o\nremotes:\n  o:\n    addr: unix://{}\n", other.socket().display());
    fs::write(directory.path().join("config.yml"), config).unwrap();
    let [lxd, incus] = [lxd.socket(), incus.socket()];
    let environment = [
        ("LXD_CONF", directory.path().to_str().unwrap()),
        ("LXD_SOCKET", lxd.to_str().unwrap()),
        ("INCUS_CONF", "/nonexistent"),
        ("INCUS_SOCKET", incus.to_str().unwrap()),
    ];
    let by_path = format!("unix:{}", lxd.display());
    for (words, project) in [
        (&["--incus"][..], "of-incus"),
        (&["--lxd"], "of-other"),
        (&["--lxd", "--force-local"], "of-lxd"),
        (&["--lxd", "local:"], "of-lxd"),
        (&["o:", "-p", "-i", "x:"], "of-other"),
        (&[&by_path], "of-lxd"),
    ] {
        let words = [words, &["--project", ""]].concat();
        assert_eq!(offered(&words, &environment), [project], "{words:?}");
    }
    assert_eq!(offered(&["--lxd", "-A", "--bogus", "--project="], &environment), ["--project=of-other"]);
}

#[test]
fn what_cannot_be_completed_is_no_error() {
    use std::os::unix::ffi::OsStrExt as _;
    let binary = std::ffi::OsStr::from_bytes(b"\xff:");
    for shell in ["bash", "fish", "zsh"] {
        for index in ["0", "2", "9", "x", "-1"] {
            let mut command = lxmon(["--", "lxmon"]);
            command.arg(binary).args(["--project", ""]).env("COMPLETE", shell).env("_CLAP_COMPLETE_INDEX", index);
            command.env("LXD_SOCKET", "/nonexistent").env("_LXMON_WORD", binary);
            let outcome = finish(&mut command);
            assert_eq!((outcome.status, &*outcome.stderr), (0, ""), "{shell} {index}");
        }
    }
}

#[test]
fn nobody_waits_for_more_than_a_second() {
    let server = StandIn::new(Connection::wait);
    let begun = Instant::now();
    assert!(offered(&["--project", ""], &[("LXD_SOCKET", server.socket().to_str().unwrap())]).is_empty());
    assert!(begun.elapsed() < Duration::from_secs(10));
}

/// Names that a shell would execute, split, expand or misinterpret unless they are quoted.
const WICKED: &[&str] = &[
    "plain",
    "$(touch PWNED)",
    "`touch PWNED`",
    "a;touch PWNED",
    "a&touch PWNED",
    "a|touch PWNED",
    "a>PWNED",
    "<(touch PWNED)",
    "a b",
    "it's",
    "a\"b",
    "*",
    "a?",
    "[x]",
    "{a,b}",
    "#x",
    "=ls",
    "back\\slash",
    "trail\\",
    "c:d",
    "a!b",
    "(x)",
    "$HOME",
    "a=b",
    "a=~",
    "%1",
    "^a^b",
    "\u{fc}ber",
    "x/",
];

/// Names that are never offered.
const HOPELESS: &[&str] = &[
    "a\nb",
    "a\tb",
    "a\u{b}b",
    "a\rtouch PWNED\r",
    "esc\u{1b}]0;owned\u{7}",
    "c1\u{9b}31m",
    "\u{202e}txt",
    "a\u{200b}b",
    "tag\u{e0061}",
    "-x",
    "",
    "!web",
    "!!",
    "nbsp\u{a0}",
    "ls\u{2028}",
];

/// A shell on its own terminal, in an empty directory. It uses lxmon's completion, but its `lxmon` command is a script
/// that records its arguments.
struct Shell {
    _process: Follower,
    terminal: File,
    directory: TempDir,
    projects: Arc<Mutex<Vec<String>>>,
    _stand_in: StandIn,
}

impl Shell {
    /// Starts the shell; `None` if it is not installed.
    fn start(name: &str) -> Option<Self> {
        if !Command::new(name).arg("--version").stdout(Stdio::null()).status().is_ok_and(|status| status.success()) {
            eprintln!("skipped: {name} is not installed");
            return None;
        }
        let projects = Arc::new(Mutex::new(Vec::<String>::new()));
        let served = Arc::clone(&projects);
        let stand_in = StandIn::new(move |connection: &mut Connection| {
            let encode = |name: &String| name.bytes().map(|byte| format!("%{byte:02x}")).collect::<Vec<_>>().concat();
            let names: Vec<_> =
                served.lock().unwrap().iter().map(|name| format!("\"/1.0/projects/{}\"", encode(name))).collect();
            connection.answer(&format!(r#"{{"metadata":[{}]}}"#, names.join(",")));
            connection.end();
        });
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        for folder in ["bin", "conf", "empty", "home/fish"] {
            fs::create_dir_all(at(folder)).unwrap();
        }
        let program = at("bin/lxmon");
        fs::write(&program, "#!/bin/sh\nprintf '%s\\0' \"$@\" > ../args.new && mv ../args.new ../args\n").unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        let real = env!("CARGO_BIN_EXE_lxmon");
        fs::write(
            at("bashrc"),
            format!("source <(COMPLETE=bash '{real}')\nset -o history -o histexpand\nPS1='READY> '\n"),
        )
        .unwrap();
        let zshrc = format!("autoload -Uz compinit; compinit -u -D\nsource <(COMPLETE=zsh '{real}')\nPS1='READY> '\n");
        fs::write(at("home/.zshrc"), zshrc).unwrap();
        let fish = format!(
            "COMPLETE=fish '{real}' | source\nfunction fish_greeting; end\nfunction fish_prompt; echo 'READY> '; end\n"
        );
        fs::write(at("home/fish/config.fish"), fish).unwrap();

        let (terminal, other) = terminal();
        let mut command = Command::new("setsid");
        command.args(["--ctty", name]);
        if name == "bash" {
            command.arg("--rcfile").arg(at("bashrc"));
        }
        command.arg("-i");
        let path = format!("{}:/usr/local/bin:/usr/bin:/bin", at("bin").display());
        command.env_clear().env("PATH", path).env("HOME", at("home")).env("ZDOTDIR", at("home"));
        command.env("XDG_CONFIG_HOME", at("home")).env("TERM", "dumb").env("LANG", "C.UTF-8").current_dir(at("empty"));
        command.env("LXD_CONF", at("conf")).env("LXD_SOCKET", stand_in.socket());
        let streams = [other.try_clone().unwrap(), other.try_clone().unwrap(), other].map(Stdio::from);
        let process = Follower::start_with(command, streams);
        let mut shell = Self { _process: process, terminal, directory, projects, _stand_in: stand_in };
        shell.wait_for("READY>");
        Some(shell)
    }

    /// Reads the shell's output until it contains `text`.
    fn wait_for(&mut self, text: &str) {
        let mut shown = Vec::new();
        let mut some = [0; 4096];
        while !String::from_utf8_lossy(&shown).contains(text) {
            let length = self.terminal.read(&mut some).unwrap();
            shown.extend_from_slice(&some[..length]);
        }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Types `typed`, Tab and Return, and returns the arguments that the program receives.
    fn complete(&mut self, typed: &str) -> Vec<String> {
        let args = self.at("args");
        let _ = fs::remove_file(&args);
        self.terminal.write_all(format!("{typed}\t\r").as_bytes()).unwrap();
        let begun = Instant::now();
        while !args.exists() {
            assert!(begun.elapsed() < PATIENCE, "{typed:?} does not run the program");
            std::thread::sleep(Duration::from_millis(5));
        }
        self.wait_for("READY>");
        assert!(!self.at("empty/PWNED").exists() && !self.at("home/PWNED").exists(), "{typed:?} has executed a name");
        fs::read_to_string(args).unwrap().split_terminator('\0').map(str::to_owned).collect()
    }

    fn check(&mut self) {
        for name in WICKED {
            *self.projects.lock().unwrap() = vec![(*name).to_owned()];
            let args = self.complete("lxmon --project ");
            assert_eq!(args, ["--project", *name]);
        }
        *self.projects.lock().unwrap() = HOPELESS.iter().map(ToString::to_string).collect();
        assert_eq!(self.complete("lxmon --project "), ["--project"]);
        *self.projects.lock().unwrap() =
            ["$(touch PWNED)", "(touch PWNED)", "my web", "other"].map(str::to_owned).into();
        assert_eq!(self.complete("lxmon --project my"), ["--project", "my web"]);
        assert_eq!(self.complete("lxmon --project 'my w"), ["--project", "my web"]);
        assert_eq!(self.complete("lxmon --project my\\ w"), ["--project", "my web"]);
        assert_eq!(self.complete("lxmon --project=my"), ["--project=my web"]);
        assert_eq!(self.complete("lxmon local: --project o"), ["local:", "--project", "other"]);
        // Remotes come from the client configuration.
        for (name, is_offered) in [("$(touch PWNED)", true), ("a b", true), ("n1", true), ("a:b", false), ("-x", false)]
        {
            let config = format!(
                "remotes:\n  {name:?}:\n    addr: unix:///x\n  local:\n    addr: https://x\n    public: true\n"
            );
            fs::write(self.at("conf/config.yml"), config).unwrap();
            let typed = format!("lxmon {}", if name == "n1" { "n" } else { &name[..1] }.replace('$', "\\$"));
            let (args, offered) = (self.complete(&typed), format!("{name}:"));
            if is_offered {
                assert_eq!(args, [offered]);
            } else {
                assert!(!args.contains(&offered), "{args:?}");
            }
        }
        fs::remove_file(self.at("conf/config.yml")).unwrap();
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        let _ = self.terminal.write_all(b"\x03exit\r");
    }
}

#[test]
fn bash_runs_no_name() {
    if let Some(mut shell) = Shell::start("bash") {
        shell.check();
        // Bash inserts no common prefix of several quoted names and expands no name as a pattern for files.
        *shell.projects.lock().unwrap() = ["$a", "(b", "`c"].map(str::to_owned).into();
        assert_eq!(shell.complete("lxmon --project "), ["--project"]);
        File::create(shell.at("empty/[ab]")).unwrap();
        File::create(shell.at("empty/a")).unwrap();
        *shell.projects.lock().unwrap() = vec!["[ab]".to_owned()];
        assert_eq!(shell.complete("lxmon --project "), ["--project", "[ab]"]);
        // File names for --replay are quoted too.
        File::create(shell.at("empty/zz$(touch PWNED)")).unwrap();
        assert_eq!(shell.complete("lxmon --replay z"), ["--replay", "zz$(touch PWNED)"]);
    }
}

#[test]
fn zsh_runs_no_name() {
    if let Some(mut shell) = Shell::start("zsh") {
        shell.check();
    }
}

#[test]
fn fish_runs_no_name() {
    if let Some(mut shell) = Shell::start("fish") {
        shell.check();
        *shell.projects.lock().unwrap() = vec!["~root".to_owned()];
        assert_eq!(shell.complete("lxmon --project "), ["--project"]);
    }
}
