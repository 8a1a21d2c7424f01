//! What shells are offered while a command line is typed.

use crate::program::{finish, lxmon};
use crate::standin::{Connection, StandIn};

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
    // No server, no projects, no noise.
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
