//! A real shell on a terminal of its own, into which a test types. It completes `lxmon` as a user's shell does, but its
//! `lxmon` is a script: it passes on what completion asks, and otherwise records its arguments.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use percent_encoding::{NON_ALPHANUMERIC, percent_encode};
use tempfile::TempDir;

use super::program::PATIENCE;
use super::screen::Screen;
use super::standin::{Connection, StandIn};
use super::wait_until;

/// What the shell shows when it waits for a command.
const PROMPT: &str = "READY>";

/// How often Tab is pressed until it does what it should: on a busy machine, names of servers come too late.
const ATTEMPTS: usize = 8;

/// How a shell learns to complete lxmon.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Setup<'a> {
    /// This line in the start-up file of this name in the home directory.
    Line(&'a str, &'a str),
    /// The file in `completions/` of this name, at this path in the home directory; and a line in a start-up file, where
    /// the shell does not read that path without one.
    File { from: &'a str, to: &'a str, start: Option<(&'a str, &'a str)> },
}

/// The names that a server has.
#[derive(Clone, Debug, Default)]
pub(crate) struct Names {
    pub(crate) projects: Vec<String>,
    pub(crate) instances: Vec<String>,
}

pub(crate) struct Shell {
    name: &'static str,
    screen: Screen,
    directory: TempDir,
    /// What the local server has. The remote `prod` has other names.
    pub(crate) names: Arc<Mutex<Names>>,
    /// The one of the remote `prod`, and the local one.
    servers: [StandIn; 2],
}

/// A server with these names. An instance is in every project.
fn server(names: Arc<Mutex<Names>>) -> StandIn {
    StandIn::new(move |connection: &mut Connection| {
        let Names { projects, instances } = names.lock().unwrap().clone();
        let (kind, names) = match connection.target() {
            "/1.0/projects" => ("projects", projects),
            "/1.0/cluster/members" => ("cluster/members", vec!["member1".to_owned()]),
            target if target.starts_with("/1.0/instances?") => ("instances", instances),
            target => panic!("{target}"),
        };
        let encode = |name: &String| percent_encode(name.as_bytes(), NON_ALPHANUMERIC).to_string();
        let paths: Vec<_> = names.iter().map(|name| format!("\"/1.0/{kind}/{}\"", encode(name))).collect();
        connection.answer(&format!(r#"{{"metadata":[{}]}}"#, paths.join(",")));
        connection.end();
    })
}

/// The names as [`Names`] has them.
pub(crate) fn owned(names: &[&str]) -> Vec<String> {
    names.iter().map(ToString::to_string).collect()
}

impl Shell {
    /// Starts the shell in a home of its own; `None` if it is not installed.
    pub(crate) fn start(name: &'static str, setup: Setup<'_>) -> Option<Self> {
        if !Command::new(name).arg("--version").stdout(Stdio::null()).status().is_ok_and(|status| status.success()) {
            eprintln!("skipped: {name} is not installed");
            return None;
        }
        let prod = Names { projects: owned(&["prod-only"]), instances: owned(&["c1-of-prod"]) };
        let names = Arc::default();
        let servers = [server(Arc::new(Mutex::new(prod))), server(Arc::clone(&names))];
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        // Without the last one, fish generates completions from all man pages of the system in the background, which keeps
        // a processor busy for many seconds (`__fish_config_interactive.fish`).
        for folder in ["bin", "conf", "work", "home/.config/fish", "home/.local/share/fish/generated_completions"] {
            fs::create_dir_all(at(folder)).unwrap();
        }
        let program = at("bin/lxmon");
        let real = env!("CARGO_BIN_EXE_lxmon");
        let script = format!(
            "#!/bin/sh\n[ -n \"$COMPLETE\" ] || [ \"${{2-}}\" = {name} ] && exec '{real}' \"$@\"\n\
             for word; do printf '%s\\0' \"$word\"; done > ../args.new && mv ../args.new ../args\n"
        );
        fs::write(&program, script).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();

        let (start, prompt) = match name {
            "bash" => (".bashrc", format!("PS1='{PROMPT} '\nset -o history -o histexpand\n")),
            "zsh" => (".zshrc", format!("PS1='{PROMPT} '\nunsetopt prompt_sp\n")),
            _ => (
                ".config/fish/config.fish",
                format!(
                    "function fish_greeting; end\nfunction fish_prompt; echo '{PROMPT} '; end\n\
                     set -g fish_autosuggestion_enabled 0\n"
                ),
            ),
        };
        let append = |file: &str, line: &str| {
            let file = at("home").join(file);
            let before = fs::read_to_string(&file).unwrap_or_default();
            fs::write(file, format!("{before}{line}\n")).unwrap();
        };
        match setup {
            Setup::Line(file, line) => append(file, line),
            Setup::File { from, to, start } => {
                let to = at("home").join(to);
                fs::create_dir_all(to.parent().unwrap()).unwrap();
                fs::copy(Path::new(env!("CARGO_MANIFEST_DIR")).join("completions").join(from), to).unwrap();
                if let Some((file, line)) = start {
                    append(file, line);
                }
            }
        }
        append(start, &prompt);

        let mut command = Command::new(name);
        command.arg("-i").current_dir(at("work"));
        let path = format!("{}:/usr/local/bin:/usr/bin:/bin", at("bin").display());
        command.env("PATH", path).env("HOME", at("home")).env("LANG", "C.UTF-8");
        // The others draw more than is of use here.
        command.env("TERM", if name == "fish" { "xterm-256color" } else { "dumb" });
        command.env("LXD_CONF", at("conf")).env("LXD_SOCKET", servers[1].socket()).env("INCUS_CONF", "/nonexistent");
        let screen = Screen::start(&command, 200, 80);
        let shell = Self { name, screen, directory, names, servers };
        shell.reset();
        shell.wait_for_prompt();
        Some(shell)
    }

    /// Gives the servers the names, and the configuration the remotes, with which the shell starts.
    pub(crate) fn reset(&self) {
        *self.names.lock().unwrap() = Names { projects: owned(&["default", "web"]), instances: owned(&["c1", "db2"]) };
        self.configure(&["stage"]);
    }

    /// Writes a configuration with the remote `prod`, further ones that lead to the same server, and one without events.
    pub(crate) fn configure(&self, others: &[&str]) {
        let address = format!("unix://{}", self.servers[0].socket().display());
        let remotes = others.iter().chain(&["prod"]).map(|name| format!("  {name:?}:\n    addr: {address}\n"));
        let images = "  images:\n    addr: https://x\n    protocol: simplestreams\n";
        fs::write(self.at("conf/config.yml"), format!("remotes:\n{}{images}", remotes.collect::<String>())).unwrap();
    }

    /// A path in the directory of this test: `work/` is that of the shell, `conf/` the client's configuration.
    pub(crate) fn at(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn wait_for_prompt(&self) {
        self.screen.wait_for("its prompt", |lines| lines.last().is_some_and(|line| line.trim_end() == PROMPT));
    }

    /// Types `typed`, Tab and Return, and returns the arguments that the program gets, and how long that took.
    fn press(&self, typed: &str) -> (Vec<String>, Duration) {
        let args = self.at("args");
        let _ = fs::remove_file(&args);
        let before = self.screen.history().len();
        let begun = Instant::now();
        self.screen.type_in(format!("{typed}\t\r").as_bytes());
        while !args.exists() {
            assert!(begun.elapsed() < PATIENCE, "{typed:?} does not run: {}", self.screen.lines().join("\n"));
            std::thread::sleep(Duration::from_millis(5));
        }
        let time = begun.elapsed();
        // The next one: the command may run before the emulator has read what the shell has shown of it.
        wait_until(|| self.screen.history().len() > before);
        self.wait_for_prompt();
        for folder in ["work/PWNED", "home/PWNED"] {
            assert!(!self.at(folder).exists(), "{}: {typed:?} has executed a name", self.name);
        }
        let words = fs::read_to_string(args).unwrap().split_terminator('\0').map(str::to_owned).collect();
        (words, time)
    }

    /// Asserts that the program gets these arguments when `typed`, Tab and Return are typed.
    pub(crate) fn assert(&self, typed: &str, wanted: &[&str]) {
        let mut got = Vec::new();
        for _ in 0..ATTEMPTS {
            got = self.press(typed).0;
            if got == wanted {
                return;
            }
        }
        panic!("{}: {typed:?} becomes {got:?} in place of {wanted:?}:\n{}", self.name, self.screen.lines().join("\n"));
    }

    /// Asserts that Tab changes nothing, shows nothing, and does not wait for a server: it may take 300 ms, and ten times
    /// as long on a busy machine.
    pub(crate) fn assert_nothing(&self, typed: &str) {
        let before = self.screen.history().len();
        let (words, time) = self.press(typed);
        let shown = self.screen.history().split_off(before - 1);
        let wanted: Vec<_> = typed.split_whitespace().skip(1).collect();
        assert_eq!(words, wanted, "{}: {typed:?}", self.name);
        let shown: Vec<_> = shown.iter().map(|line| line.trim_end()).collect();
        assert_eq!(shown, [format!("{PROMPT} {}", typed.trim_end()).as_str(), PROMPT], "{}", self.name);
        assert!(time < Duration::from_secs(3), "{}: {typed:?} took {time:?}", self.name);
    }

    /// Asserts that Tab lists all of `wanted` and none of `others`, and clears the line.
    pub(crate) fn assert_list(&self, typed: &str, wanted: &[&str], others: &[&str]) {
        // bash lists with the second one, with which the other shells choose from the list.
        let tabs = if self.name == "bash" { "\t\t" } else { "\t" };
        let mut shown = String::new();
        for _ in 0..ATTEMPTS {
            let before = self.screen.history().len();
            self.screen.type_in(format!("{typed}{tabs}").as_bytes());
            let (begun, mut is_listed) = (Instant::now(), false);
            while !is_listed && begun.elapsed() < PATIENCE / 20 {
                std::thread::sleep(Duration::from_millis(10));
                shown = self.screen.history().get(before - 1..).unwrap_or_default().join("\n");
                is_listed = wanted.iter().all(|name| shown.split_whitespace().any(|word| word == *name));
            }
            self.clear();
            if is_listed {
                let unwanted = others.iter().find(|name| shown.contains(**name));
                assert_eq!(unwanted, None, "{}: {typed:?} lists:\n{shown}", self.name);
                return;
            }
        }
        panic!("{}: {typed:?} does not list all of {wanted:?}:\n{shown}", self.name);
    }

    /// Clears the line.
    fn clear(&self) {
        wait_until(|| {
            self.screen.type_in(b"\x03");
            std::thread::sleep(Duration::from_millis(20));
            self.screen.lines().last().is_some_and(|line| line.trim_end() == PROMPT)
        });
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        self.screen.type_in(b"\x03exit\r");
    }
}
