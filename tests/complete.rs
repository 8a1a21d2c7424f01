//! Shell completion: the candidates that lxmon offers for an unfinished command line.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, Instant};

use clap::CommandFactory as _;
use lxmon::cli::Cli;

use crate::support::program::{finish, lxmon, run};
use crate::support::standin::{Connection, StandIn};

fn offered(words: &[&str], environment: &[(&str, &str)]) -> Vec<String> {
    let mut command = lxmon(["--", "lxmon"]);
    command.args(words).env("COMPLETE", "fish").envs(environment.iter().copied());
    let outcome = finish(&mut command);
    assert_eq!(outcome.status, 0, "{}", outcome.stderr);
    // The first line is the kind of what can stand there.
    outcome.stdout.lines().skip(1).map(|line| line.split('\t').next().unwrap().to_owned()).collect()
}

/// The same of a server, which on a busy machine can come too late.
fn offered_in_time(words: &[&str], environment: &[(&str, &str)]) -> Vec<String> {
    let mut attempts = std::iter::repeat_with(|| offered(words, environment)).take(8);
    attempts.find(|offered| !offered.is_empty()).unwrap_or_default()
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
    assert_eq!(offered_in_time(&["--project", ""], &environment), ["default", "my web"]);
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
        assert_eq!(outcome.stdout, run([&format!("--completions={shell}")]).stdout);
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
        assert_eq!(offered_in_time(&words, &environment), [project], "{words:?}");
    }
    let words = ["--lxd", "-A", "-n", "no number", "o:", "--project="];
    assert_eq!(offered_in_time(&words, &environment), ["--project=of-other"]);
    assert_eq!(offered(&["--lxd", "o"], &environment), ["o:"]);
    assert_eq!(offered(&["--incus", "o"], &environment), [""; 0]);
    // Of several servers, all are asked, and one that does not answer costs nothing but its own names.
    let silent = StandIn::new(Connection::wait).remote();
    let mut both = Vec::new();
    for _ in 0..8 {
        both = offered(&[&by_path, "--lxd", &silent, "o:", "no-remote", "--project", ""], &environment);
        if both.len() == 2 {
            break;
        }
    }
    assert_eq!(both, ["of-lxd", "of-other"]);
}

#[test]
fn what_cannot_be_completed_is_no_error() {
    use std::os::unix::ffi::OsStrExt as _;
    let binary = std::ffi::OsStr::from_bytes(b"\xff:");
    for shell in ["bash", "fish", "zsh"] {
        for index in ["0", "2", "3", "9", "x", "-1"] {
            let mut command = lxmon(["--", "lxmon"]);
            command.arg(binary).args(["--project", ""]).env("COMPLETE", shell).env("_LXMON_INDEX", index);
            command.env("LXD_SOCKET", "/nonexistent").env("_LXMON_LINE", "lxmon x").env("_LXMON_HEAD", binary);
            let outcome = finish(&mut command);
            assert_eq!((outcome.status, &*outcome.stderr), (0, ""), "{shell} {index}");
        }
    }
}

#[test]
fn nobody_waits_for_a_slow_server() {
    let server = StandIn::new(Connection::wait);
    for option in ["--project", "-i", "--location"] {
        let begun = Instant::now();
        assert!(offered(&[option, ""], &[("LXD_SOCKET", server.socket().to_str().unwrap())]).is_empty());
        // Measured on an idle machine: 0.26 s.
        assert!(begun.elapsed() < Duration::from_secs(3), "{option}: {:?}", begun.elapsed());
    }
}

/// What lxmon answers a script: the kind, and the words.
fn answer(shell: &str, words: &[&str], environment: &[(&str, &str)]) -> String {
    let mut command = lxmon(["--", "lxmon"]);
    command.args(words).env("COMPLETE", shell).envs(environment.iter().copied());
    let line = format!("lxmon {}", words.join(" "));
    let breaks = " \t\n\"'@><=;|&(:";
    command.env("_LXMON_LINE", &line).env("_LXMON_HEAD", &line).env("_LXMON_BREAKS", breaks);
    let outcome = finish(&mut command);
    assert_eq!((outcome.status, &*outcome.stderr), (0, ""), "{words:?}");
    outcome.stdout
}

#[test]
fn files_are_offered_where_they_belong_and_nowhere_else() {
    let without_server = [("LXD_SOCKET", "/nonexistent")];
    for shell in ["bash", "fish", "zsh"] {
        for argument in Cli::command().get_arguments().filter(|argument| argument.get_action().takes_values()) {
            let option = argument.get_long().map(|long| format!("--{long}"));
            let words: Vec<_> = option.as_deref().into_iter().chain(["Cargo"]).collect();
            let wanted = match argument.get_id().as_str() {
                "replay" | "record" => "files\n",
                "command" => continue,
                _ => "words\n",
            };
            assert_eq!(answer(shell, &words, &without_server), wanted, "{words:?}");
        }
    }
    for (words, kind) in [
        (&["--replay", "a", "b"][..], "files\n"),
        (&["--replay=b"], "files --replay=\n"),
        (&["unix:/run/x"], "files unix:\n"),
        (&["--replay", "a", "--no-rec"], "words\n--no-reconnect\tExit 1 when the connection is lost\n"),
        (&["--", "/bin/c"], "files\n"),
        (&["--", "cat", "x"], "command\n"),
        (&["-n1", "--", "cat", "--", "x"], "command\n"),
    ] {
        assert_eq!(answer("fish", words, &without_server), kind, "{words:?}");
    }
    // bash replaces only what is behind the last `=` or `:`.
    for raw in [&["--replay", "=", "b"], &["unix", ":", "/run/x"]] {
        let mut command = lxmon(["--", "lxmon"]);
        let line = format!("lxmon {}", raw.concat());
        command.args(raw).env("COMPLETE", "bash").env("_LXMON_LINE", &line).env("_LXMON_HEAD", &line);
        assert_eq!(finish(command.env("_LXMON_BREAKS", ":=")).stdout, "files\n", "{raw:?}");
    }
}

#[test]
fn a_broken_configuration_is_not_shown() {
    let directory = tempfile::tempdir().unwrap();
    let config = directory.path().join("config.yml");
    let environment = [("LXD_CONF", directory.path().to_str().unwrap()), ("LXD_SOCKET", "/nonexistent")];
    for text in ["", "remotes: [", "remotes: 7\n", "\u{1b}]0;owned\u{7}", "remotes:\n  n1:\n    addr: 7\n"] {
        std::fs::write(&config, text).unwrap();
        for words in [&["n"][..], &["--project", ""], &["n1:", "-i", ""]] {
            let offered = answer("zsh", words, &environment);
            assert!(matches!(&*offered, "words\n" | "words\nn1\\:\n"), "{text:?} {words:?}: {offered:?}");
        }
    }
    // A file that is never read to its end.
    std::fs::remove_file(&config).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(&config).status().unwrap().success());
    let begun = Instant::now();
    assert_eq!(answer("zsh", &["n"], &environment), "words\n");
    assert!(begun.elapsed() < Duration::from_secs(3));
}

#[test]
fn a_shell_without_dynamic_completion_is_an_error() {
    let outcome = finish(lxmon::<&str>([]).env("COMPLETE", "tcsh"));
    assert_eq!(outcome.status, 2);
    assert!(outcome.stderr.contains("COMPLETE is tcsh, and not one of bash, fish and zsh"), "{}", outcome.stderr);
    // These stand for nothing.
    for value in ["", "0"] {
        assert_eq!(finish(lxmon(["--version"]).env("COMPLETE", value)).stdout.lines().count(), 1);
    }
}
