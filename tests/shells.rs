//! Tab, pressed in real shells: bash with and without bash-completion, zsh, and fish.

use std::fs::{self, File};
use std::path::Path;

use crate::support::shell::{Setup, Shell, owned};
use crate::support::standin::{Connection, StandIn};

/// The line that the README names for the start-up file of a shell, and the file in the home directory.
fn readme(shell: &str) -> (String, String) {
    let readme = include_str!("../README.md");
    let mark = format!("- {shell}, in `~/");
    let (_, rest) = readme.split_once(&mark).unwrap_or_else(|| panic!("README.md has no {mark:?}"));
    let (file, rest) = rest.split_once("`: `").unwrap();
    let (line, _) = rest.split_once('`').unwrap();
    (file.to_owned(), line.to_owned())
}

/// Starts a shell whose start-up file has the line of the README.
fn start(name: &'static str) -> Option<Shell> {
    let (file, line) = readme(name);
    let shell = Shell::start(name, Setup::Line(&file, &line))?;
    for file in ["a b.json", "plain.json", "zz$(touch PWNED)", "web.json"] {
        File::create(shell.at("work").join(file)).unwrap();
    }
    fs::create_dir(shell.at("work/sub dir")).unwrap();
    File::create(shell.at("home/of-home.json")).unwrap();
    Some(shell)
}

/// What is typed before Tab, and the arguments afterwards.
const PRESSED: &[(&str, &[&str])] = &[
    ("lxmon --form", &["--format"]),
    ("lxmon -t life", &["-t", "lifecycle"]),
    ("lxmon -t log,dev", &["-t", "log,device"]),
    ("lxmon -t '!log", &["-t", "!logging"]),
    ("lxmon --type=life", &["--type=lifecycle"]),
    ("lxmon -f j", &["-f", "json"]),
    ("lxmon --format=j", &["--format=json"]),
    ("lxmon -fj", &["-fjson"]),
    ("lxmon -a instance-cr", &["-a", "instance-created"]),
    ("lxmon -a instance-started,instance-pau", &["-a", "instance-started,instance-paused"]),
    ("lxmon -a '!instance-pau", &["-a", "!instance-paused"]),
    ("lxmon -a 'instance-*,!instance-pau", &["-a", "instance-*,!instance-paused"]),
    ("lxmon -a @r", &["-a", "@running"]),
    ("lxmon -a instance-created,@r", &["-a", "instance-created,@running"]),
    ("lxmon --time u", &["--time", "utc"]),
    ("lxmon --color=al", &["--color=always"]),
    ("lxmon --loglevel wa", &["--loglevel", "warning"]),
    ("lxmon --list-actions instance-cr", &["--list-actions", "instance-created"]),
    ("lxmon --completions e", &["--completions", "elvish"]),
    // Remotes, several of which can be named, but none twice.
    ("lxmon pro", &["prod:"]),
    ("lxmon -p prod: st", &["-p", "prod:", "stage:"]),
    ("lxmon prod: pro", &["prod:", "pro"]),
    ("X=1 lxmon pro", &["prod:"]),
    // The servers that are asked are those on the line, which bash separates at the colon.
    ("lxmon --project w", &["--project", "web"]),
    ("lxmon --project=w", &["--project=web"]),
    ("lxmon --project default,w", &["--project", "default,web"]),
    ("lxmon --project '!w", &["--project", "!web"]),
    ("lxmon prod: --project p", &["prod:", "--project", "prod-only"]),
    ("lxmon --since 14:00 -n x prod: --project p", &["--since", "14:00", "-n", "x", "prod:", "--project", "prod-only"]),
    ("lxmon local: prod: --project p", &["local:", "prod:", "--project", "prod-only"]),
    ("lxmon -i d", &["-i", "db2"]),
    ("lxmon -i x,d", &["-i", "x,db2"]),
    ("lxmon -A --instance=d", &["-A", "--instance=db2"]),
    ("lxmon prod: -i c", &["prod:", "-i", "c1-of-prod"]),
    ("lxmon --location m", &["--location", "member1"]),
    // Files, with the quotes and the home directory of the shell.
    ("lxmon --replay a", &["--replay", "a b.json"]),
    ("lxmon --replay=a", &["--replay=a b.json"]),
    ("lxmon --record 'a", &["--record", "a b.json"]),
    ("lxmon --replay a\\ ", &["--replay", "a b.json"]),
    ("lxmon --replay plain.json a", &["--replay", "plain.json", "a b.json"]),
    ("lxmon --replay zz", &["--replay", "zz$(touch PWNED)"]),
    ("lxmon --replay sub", &["--replay", "sub dir/"]),
    ("lxmon un", &["unix:"]),
    ("lxmon unix:/us", &["unix:/usr/"]),
    // Behind `--`, another command.
    ("lxmon -n1 -- lxmo", &["-n1", "--", "lxmon"]),
    ("lxmon -- cat a", &["--", "cat", "a b.json"]),
    ("lxmon -- ./pl", &["--", "./plain.json"]),
    // No file has a name where another name belongs.
    ("lxmon pl", &["pl"]),
    ("lxmon -i pl", &["-i", "pl"]),
    ("lxmon --project=pl", &["--project=pl"]),
    ("lxmon --timeout pl", &["--timeout", "pl"]),
];

/// Presses Tab in every place of a line.
fn press_everywhere(shell: &Shell, name: &str) {
    for (typed, wanted) in PRESSED {
        // Before Return, zsh removes the slash that it has added.
        let wanted: Vec<_> =
            wanted.iter().map(|word| if name == "zsh" { word.trim_end_matches('/') } else { word }).collect();
        shell.assert(typed, &wanted);
    }
    shell.assert("lxmon --replay ~/of-h", &["--replay", shell.at("home/of-home.json").to_str().unwrap()]);
    // What stands behind the cursor, which is moved to the left here, can name the server. fish does not say it.
    if name != "fish" {
        let to_the_left = "\u{2}".repeat(" prod:".len());
        shell.assert(&format!("lxmon --project p prod:{to_the_left}"), &["--project", "prod-only", "prod:"]);
    }
    shell.assert_list("lxmon --for", &["--format", "--force-local"], &["plain.json"]);
    shell.assert_list("lxmon ", &["prod:", "stage:"], &["images:", "plain.json", "--format"]);
    shell.assert_list("lxmon --project ", &["default", "web"], &["web.json", "prod-only"]);
    shell.assert_list("lxmon -i ", &["c1", "db2"], &["plain.json", "c1-of-prod"]);
    shell.assert_list("lxmon --replay ", &["plain.json"], &["prod:"]);
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
    "!web",
    "!!",
    "(x)",
    "$HOME",
    "a=b",
    "a=~",
    "a@b",
    "@x",
    "%1",
    "^a^b",
    "\u{fc}ber",
    "x/",
    "a,b",
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
    "nbsp\u{a0}",
    "ls\u{2028}",
];

/// The value of an option that selects this name and no other: what is special in patterns has a backslash.
fn exactly(name: &str) -> String {
    let escaped = name.chars().map(|c| if r"\,*?[{}".contains(c) { format!("\\{c}") } else { c.to_string() });
    let value: String = escaped.collect();
    if name.starts_with('!') { format!("\\{value}") } else { value }
}

/// Offers hostile names.
fn press_hostile_names(shell: &Shell) {
    for name in WICKED {
        shell.names.lock().unwrap().projects = owned(&[name]);
        shell.assert("lxmon --project ", &["--project", &exactly(name)]);
    }
    shell.names.lock().unwrap().instances = owned(&["$(touch PWNED) it's"]);
    shell.assert("lxmon -i ", &["-i", "$(touch PWNED) it's"]);
    shell.names.lock().unwrap().projects = owned(HOPELESS);
    shell.assert("lxmon --project ", &["--project"]);
    shell.names.lock().unwrap().projects = owned(&["$(touch PWNED)", "(touch PWNED)", "my web", "other"]);
    for typed in ["lxmon --project my", "lxmon --project 'my w", "lxmon --project my\\ w"] {
        shell.assert(typed, &["--project", "my web"]);
    }
    shell.assert("lxmon --project=my", &["--project=my web"]);
    shell.assert("lxmon local: --project o", &["local:", "--project", "other"]);
    for (name, is_offered) in [("$(touch PWNED)", true), ("a b", true), ("n1", true), ("a:b", false), ("-x", false)] {
        shell.configure(&[name]);
        let begun = if name == "n1" { "n" } else { &name[..1] }.replace('$', "\\$");
        let (typed, remote) = (format!("lxmon {begun}"), format!("{name}:"));
        if is_offered {
            shell.assert(&typed, &[&remote]);
        } else if name != "-x" {
            shell.assert(&typed, &[&begun]);
        }
    }
}

/// What goes wrong is not shown, and takes no time.
fn press_in_vain(shell: &Shell, name: &str) {
    fs::write(shell.at("conf/config.yml"), "remotes: [broken\n\t").unwrap();
    shell.assert_nothing("lxmon pro");
    shell.assert_nothing("lxmon prod: --project p");
    fs::remove_file(shell.at("conf/config.yml")).unwrap();
    shell.assert_nothing("lxmon pro");
    // A server that never answers, one that is none, and none.
    let silent = StandIn::new(Connection::wait);
    let other = StandIn::new(|connection: &mut Connection| {
        connection.write(b"SSH-2.0-OpenSSH_9.2\r\n\x1b]0;owned\x07");
        connection.end();
    });
    for remote in [silent.remote(), other.remote(), "unix:/nonexistent".to_owned()] {
        shell.assert_nothing(&format!("lxmon {remote} --project p"));
        shell.assert_nothing(&format!("lxmon {remote} -i p"));
    }
    // The program is gone, but not the line in the start-up file. A function records the arguments.
    fs::copy(shell.at("bin/lxmon"), shell.at("bin/recorder")).unwrap();
    let (define, remove) = match name {
        "fish" => ("function lxmon; recorder $argv; end; lxmon", "functions -e lxmon; lxmon"),
        _ => ("lxmon() { recorder \"$@\"; }; lxmon", "unset -f lxmon; lxmon"),
    };
    shell.assert(define, &[]);
    fs::rename(shell.at("bin/lxmon"), shell.at("bin/was")).unwrap();
    shell.assert_nothing("lxmon -f j");
    fs::rename(shell.at("bin/was"), shell.at("bin/lxmon")).unwrap();
    shell.assert(remove, &[]);
    shell.reset();
}

/// Presses Tab for everything in a shell.
fn press(name: &'static str) -> Option<Shell> {
    let shell = start(name)?;
    press_everywhere(&shell, name);
    press_hostile_names(&shell);
    press_in_vain(&shell, name);
    Some(shell)
}

#[test]
fn bash() {
    let Some(shell) = press("bash") else { return };
    // Bash inserts no common prefix of several quoted names and expands no name as a pattern for files.
    shell.names.lock().unwrap().projects = owned(&["$a", "(b", "`c"]);
    shell.assert("lxmon --project ", &["--project"]);
    File::create(shell.at("work/[ab]")).unwrap();
    File::create(shell.at("work/a")).unwrap();
    shell.names.lock().unwrap().projects = owned(&["[ab]"]);
    shell.assert("lxmon --project ", &["--project", r"\[ab]"]);
    // As some set it in their start-up files: no `:`, `=` or `@` separates words.
    shell.reset();
    shell.assert(r"COMP_WORDBREAKS=$' \t\n'; lxmon", &[]);
    fs::remove_file(shell.at("work/a")).unwrap();
    for (typed, wanted) in PRESSED.iter().filter(|(typed, _)| typed.contains([':', '=', '@'])) {
        shell.assert(typed, wanted);
    }
}

#[test]
fn zsh() {
    press("zsh");
}

#[test]
fn fish() {
    let Some(shell) = press("fish") else { return };
    // fish would expand it.
    shell.names.lock().unwrap().projects = owned(&["~root"]);
    shell.assert("lxmon --project ", &["--project"]);
}

/// Files that packages install are found by the shell when Tab is pressed.
fn press_installed(name: &'static str, setup: Setup<'_>) {
    let Some(shell) = Shell::start(name, setup) else { return };
    File::create(shell.at("work/a b.json")).unwrap();
    for (typed, wanted) in PRESSED.iter().filter(|(typed, _)| {
        ["lxmon --format=j", "lxmon -a @r", "lxmon prod: -i c", "lxmon --replay a", "X=1 lxmon pro"].contains(typed)
    }) {
        shell.assert(typed, wanted);
    }
    // Behind `--`, the shell completes another command as it does without lxmon.
    shell.assert("lxmon -p -- nice lxmon -f j", &["-p", "--", "nice", "lxmon", "-f", "json"]);
    // Before it, another command hands its line over.
    shell.assert("nice lxmon -a @r", &["-a", "@running"]);
    shell.assert("nice lxmon prod: -i c", &["prod:", "-i", "c1-of-prod"]);
}

#[test]
fn bash_with_bash_completion() {
    let library = "/usr/share/bash-completion/bash_completion";
    if !Path::new(library).exists() {
        eprintln!("skipped: bash-completion is not installed");
        return;
    }
    let to = ".local/share/bash-completion/completions/lxmon";
    let start = format!("source {library}");
    press_installed("bash", Setup::File { from: "lxmon.bash", to, start: Some((".bashrc", &start)) });
}

#[test]
fn zsh_with_an_installed_file() {
    let start = "fpath=(~/.functions $fpath); autoload -Uz compinit; compinit";
    press_installed("zsh", Setup::File { from: "_lxmon", to: ".functions/_lxmon", start: Some((".zshrc", start)) });
}

#[test]
fn fish_with_an_installed_file() {
    let to = ".config/fish/completions/lxmon.fish";
    press_installed("fish", Setup::File { from: "lxmon.fish", to, start: None });
}
