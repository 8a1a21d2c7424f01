//! Sockets and files that are not servers, servers that refuse the connection, and broken configurations.

use std::os::unix::fs::PermissionsExt as _;

use crate::support::http::switching_protocols;
use crate::support::program::{copy_program, finish, lxmon, run};
use crate::support::standin::{Connection, StandIn, numbered};

/// Follows a server that runs this script, without reconnecting; returns the exit status and standard error.
fn refused(script: impl Fn(&mut Connection) + Send + Sync + 'static) -> (i32, String) {
    let server = StandIn::new(script);
    let outcome = run([&*server.remote(), "--no-reconnect"]);
    assert!(outcome.stdout.is_empty(), "{}", outcome.stdout);
    (outcome.status, outcome.stderr.replace(&server.remote(), "SERVER"))
}

#[test]
fn sockets_that_are_none() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| format!("unix:{}", directory.path().join(name).display());
    std::fs::write(directory.path().join("file"), "").unwrap();
    drop(std::os::unix::net::UnixListener::bind(directory.path().join("dead")).unwrap());
    for (name, says) in [
        ("missing", "there is no such socket\nhint: is LXD installed and running?"),
        ("file", "not a socket\nhint: "),
        ("dead", "nothing listens there\nhint: start LXD"),
    ] {
        let outcome = run([path(name)]);
        assert_eq!(outcome.status, 1);
        assert!(outcome.stderr.starts_with(&format!("lxmon: {}: {says}", path(name))), "{}", outcome.stderr);
    }
}

#[test]
fn no_socket_anywhere_names_the_places() {
    let mut command = lxmon::<&str>([]);
    let outcome = finish(command.env("LXD_DIR", "/nonexistent"));
    assert_eq!(outcome.status, 1);
    assert!(outcome.stderr.contains("there is none at /nonexistent/unix.socket\nhint: "), "{}", outcome.stderr);
}

#[test]
fn a_configuration_that_is_broken_is_told_by_file_and_line() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("config.yml");
    let run = || finish(lxmon(["--lxd", "node1:"]).env("LXD_CONF", directory.path()));
    std::fs::write(&file, "default-remote: local\nremotes:\n  node1: [\n").unwrap();
    let broken = run();
    assert_eq!(broken.status, 1);
    assert!(broken.stderr.contains(&format!("{}: line ", file.display())), "{}", broken.stderr);
    std::fs::write(&file, "remotes:\n  node1:\n    addr: 7\n    public: maybe\n  near1:\n    addr: unix://\n").unwrap();
    let typed = run();
    assert!(typed.status != 0 && typed.stderr.contains("node1"), "{}", typed.stderr);
    std::fs::write(&file, "remotes:\n  nod1:\n    addr: unix:///x\n    unheard-of: {}\n    public: no\n").unwrap();
    let unknown = run();
    assert_eq!(unknown.status, 2);
    assert!(unknown.stderr.contains("no LXD remote \"node1\"\nhint: did you mean nod1:?"), "{}", unknown.stderr);
    std::fs::write(&file, "remotes:\n  node1:\n    addr: https://images.example\n    public: yes\n").unwrap();
    assert!(run().stderr.contains("public image server"));
    std::fs::write(&file, "remotes:\n  node1:\n    addr: https://x\n    protocol: simplestreams\n").unwrap();
    assert!(run().stderr.contains("simplestreams"));
    std::fs::write(&file, b"remotes: \xff\n").unwrap();
    assert!(run().stderr.contains("line 1: not UTF-8"), "{}", run().stderr);
    std::fs::File::create(&file).unwrap().set_len(100 << 20).unwrap();
    assert!(run().stderr.contains("longer than 1 MiB"), "{}", run().stderr);
    std::fs::remove_file(&file).unwrap();
    std::fs::create_dir(&file).unwrap();
    assert!(run().stderr.contains("config.yml: a directory, where a regular file is expected\nhint: "));
}

#[test]
fn remotes_of_the_configuration_lead_to_their_sockets() {
    let server = StandIn::new(|connection: &mut Connection| {
        connection.accept();
        connection.event(&numbered(0));
        connection.wait();
    });
    let directory = tempfile::tempdir().unwrap();
    let config = format!(
        "default-remote: here\nremotes:\n  here:\n    addr: unix://{}\n    project: web\n  local:\n    addr: unix://\n",
        server.socket().display()
    );
    std::fs::write(directory.path().join("config.yml"), config).unwrap();
    let run = |arguments: &[&str]| {
        let outcome = finish(
            lxmon(["-n1", "-f", "json"])
                .args(arguments)
                .env("LXD_CONF", directory.path())
                .env("LXD_SOCKET", server.socket()),
        );
        assert_eq!((outcome.status, &*outcome.stderr), (0, ""), "{arguments:?}");
        server.requests().pop().unwrap().lines().next().unwrap().to_owned()
    };
    assert_eq!(run(&[]), "GET /1.0/events?project=web HTTP/1.1");
    assert_eq!(run(&["here:"]), "GET /1.0/events?project=web HTTP/1.1");
    assert_eq!(run(&["here:", "--project", "default"]), "GET /1.0/events?project=default HTTP/1.1");
    assert_eq!(run(&["local:"]), "GET /1.0/events HTTP/1.1");
    assert_eq!(run(&["--force-local"]), "GET /1.0/events HTTP/1.1");
}

#[test]
fn projects_of_one_server_are_followed_beside_each_other() {
    let server = StandIn::new(|connection: &mut Connection| {
        let project = connection.project();
        connection.accept();
        connection.event(&numbered(0).replace(r#""default""#, &format!("{project:?}")));
        connection.wait();
    });
    let directory = tempfile::tempdir().unwrap();
    let addr = server.socket().display().to_string();
    let remote = |name: &str, project: &str| format!("  {name}:\n    addr: unix://{addr}\n    project: {project}\n");
    let config = ["web", "db"].map(|name| remote(name, name)).concat()
        + &remote("web2", "web")
        + &remote("plain", "''")
        + &format!("  plainer:\n    addr: unix://{addr}\n");
    std::fs::write(directory.path().join("config.yml"), format!("remotes:\n{config}")).unwrap();
    // As many events come as subscriptions are made. If one is missing, the timeout ends the run.
    let follow = |arguments: &[&str], count: &str| {
        let mut command = lxmon(["--lxd", "-v", "-n", count, "--timeout", "20s"]);
        let outcome = finish(command.args(arguments).env("LXD_CONF", directory.path()));
        assert_eq!(outcome.status, 0, "{}", outcome.stderr);
        let requests = server.requests();
        let mut asked: Vec<_> =
            requests.iter().map(|head| head.split_whitespace().nth(1).unwrap().to_owned()).collect();
        asked.sort_unstable();
        (asked, outcome)
    };
    let (asked, outcome) = follow(&["web:", "db:", "-p"], "2");
    assert_eq!(asked, ["/1.0/events?project=db", "/1.0/events?project=web"]);
    assert!(!outcome.stderr.contains("same address"), "{}", outcome.stderr);
    // Each line shows the project of its event.
    assert!(outcome.stdout.contains(" web ") && outcome.stdout.contains(" db "), "{}", outcome.stdout);
    for (arguments, kept, merged) in [
        (&["web:", "web2:"][..], "/1.0/events?project=web", "web2: followed as web, "),
        (&["web:", "db:", "-A"], "/1.0/events?all-projects=true", "db: followed as web, "),
        (&["web:", "db:", "--project", "x"], "/1.0/events?project=x", "db: followed as web, "),
        (&["plain:", "plainer:"], "/1.0/events", "plainer: followed as plain, "),
        (&["plainer:", &format!("unix:{addr}")], "/1.0/events", ": followed as plainer, "),
    ] {
        let (asked, outcome) = follow(&[arguments, &["-f", "json"]].concat(), "1");
        assert_eq!(asked, [kept], "{arguments:?}");
        let told = format!("{merged}which has the same address and project\n");
        assert!(outcome.stderr.contains(&told), "{told}: {}", outcome.stderr);
    }
}

#[test]
fn a_refusal_is_shown_with_the_servers_words() {
    let (status, stderr) = refused(|connection| connection.refuse("403 Forbidden", "not authorized"));
    assert_eq!(status, 1);
    assert!(
        stderr.starts_with(
            "lxmon: SERVER: the server refuses (403): not authorized (tried: the socket's permissions)\nhint: "
        ),
        "{stderr}"
    );

    let (status, stderr) =
        refused(|connection| connection.refuse("400 Bad Request", "\\\"lifecylce\\\" is not a supported event type"));
    assert_eq!(status, 1);
    assert!(
        stderr.contains("(400): \"lifecylce\" is not a supported event type\nhint: known types: logging, "),
        "{stderr}"
    );

    // A chunked answer that arrives byte by byte.
    let (_, stderr) = refused(|connection| {
        let answer = "HTTP/1.1 403 Forbidden\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n\
                      9\r\n{\"error\":\r\n7\r\n\"slow\"}\r\n0\r\n\r\n";
        for byte in answer.bytes() {
            connection.write(&[byte]);
        }
        connection.wait();
    });
    assert!(stderr.contains("the server refuses (403): slow"), "{stderr}");
}

#[test]
fn a_refusal_is_understood_in_whatever_form_http_allows() {
    const ERROR: &str = r#"{"type":"error","error":"no such thing","error_code":403}"#;
    let many = "X-Filler: filled\r\n".repeat(1000);
    let json = format!("Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{ERROR}", ERROR.len());
    let (half, rest) = ERROR.split_at(20);
    let (half_length, rest_length) = (half.len(), rest.len());
    let chunks = format!(
        "{half_length:x};name=\"a;b\";x\r\n{half}\r\n{rest_length:X} \r\n{rest}\r\n000;last\r\nX-Trailer: 1\r\n\r\n"
    );
    for (form, answer) in [
        (
            "interim answers",
            format!(
                "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 403 Forbidden\r\n{json}"
            ),
        ),
        (
            "chunks",
            format!("HTTP/1.1 403 Forbidden\r\nTransfer-Encoding: Chunked\r\nTrailer: X-Trailer\r\n\r\n{chunks}"),
        ),
        ("no length", format!("HTTP/1.1 403 Forbidden\r\nContent-Type: application/json\r\n\r\n{ERROR}")),
        ("HTTP/1.0", format!("HTTP/1.0 403 Forbidden\r\n\r\n{ERROR}\n")),
        ("many headers", format!("HTTP/1.1 403 Forbidden\r\n{many}{json}")),
        ("folded and bare", format!("HTTP/1.1 403\nX-Folded: a\n b\nContent-Length: {}\n\n{ERROR}", ERROR.len())),
    ] {
        for piece in [usize::MAX, 7] {
            let answer = answer.clone();
            let (status, stderr) = refused(move |connection| {
                answer.as_bytes().chunks(piece).all(|piece| connection.write(piece));
                connection.end();
            });
            assert_eq!(status, 1, "{form}");
            assert_eq!(
                stderr,
                "lxmon: SERVER: the server refuses (403): no such thing (tried: the socket's permissions)\n\
                hint: log in as someone who may see these events, or ask for others\n",
                "{form}"
            );
        }
    }
}

#[test]
fn what_a_gateway_says_is_shown_as_one_line() {
    let long = "all of it ".repeat(100_000);
    for (answer, says) in [
        ("503 Service Unavailable\r\nContent-Length: 9\r\n\r\nno server", "the server refuses (503): no server\n"),
        (
            "502 Bad Gateway\r\nContent-Type: text/html\r\n\r\n<html>\r\n<h1>Bad\tgateway</h1>\r\nnginx</html>",
            "(502): Bad gateway nginx\n",
        ),
        ("429 Too Many Requests\r\n\r\nslow\u{1b}]0;owned\u{7}\r\n\r\ndown\r\n", "(429): slow ]0;owned down\n"),
        (
            "500 Internal Server Error\r\nContent-Length: 0\r\n\r\n",
            "(500): Internal Server Error, without giving a reason\n",
        ),
        ("599 \r\nContent-Length: 100\r\n\r\nhalf of", "(599): half of\n"),
        (
            "404 Not Found\r\nContent-Type: text/plain\r\n\r\n404 page not found\n",
            "not an LXD or Incus server: it answers 404 Not Found: 404 page not found\n",
        ),
        (
            "302 Found\r\nLocation: /login\r\nContent-Length: 0\r\n\r\n",
            "not an LXD or Incus server: it answers 302 Found\n",
        ),
        ("200 OK\r\nContent-Length: 2\r\n\r\nhi", "not an LXD or Incus server: it answers 200 OK: hi\n"),
        (&format!("503 Busy\r\nContent-Length: {}\r\n\r\n{long}", long.len()), "(503): all of it all of it "),
    ] {
        let answer = format!("HTTP/1.1 {answer}");
        let sent = answer.clone();
        let (status, stderr) = refused(move |connection| {
            connection.write(sent.as_bytes());
            connection.end();
        });
        assert_eq!(status, 1, "{says}");
        assert!(stderr.contains(says), "{says}: {stderr}");
        // A server that is not ready has a hint.
        let lines = if answer.contains(" 503 ") { 2 } else { 1 };
        assert!(stderr.len() < 500 && stderr.lines().count() == lines, "{stderr}");
    }
    // The answer has no length, and the connection stays open: the part that has arrived is shown.
    let (_, stderr) = refused(|connection| {
        connection.write(b"HTTP/1.1 403 Forbidden\r\n\r\nwhat there is");
        connection.wait();
    });
    assert!(stderr.contains("the server refuses (403): what there is (tried: "), "{stderr}");
}

#[test]
fn a_refusal_that_time_may_mend_does_not_end_a_subscription() {
    for (status, goes_on) in [
        ("408 Request Timeout", true),
        ("429 Too Many Requests", true),
        ("500 Internal Server Error", true),
        ("503 Service Unavailable", true),
        ("400 Bad Request", false),
        ("403 Forbidden", false),
        ("404 Not Found", false),
        ("410 Gone", false),
    ] {
        let server = StandIn::new(move |connection: &mut Connection| {
            if connection.number == 1 {
                connection.refuse(status, "not now");
            } else {
                connection.accept();
                connection.event(&numbered(0));
            }
            connection.end();
        });
        let outcome = run([&*server.remote(), "-f", "json", "-n2"]);
        assert_eq!(outcome.status == 0, goes_on, "{status}: {}", outcome.stderr);
    }
}

#[test]
fn what_listens_may_be_no_lxd_at_all() {
    for (answer, says) in [
        (
            &b"HTTP/1.1 404 Not Found\r\nContent-Type: text/html\r\nContent-Length: 4\r\n\r\nnope"[..],
            "it answers 404 Not Found",
        ),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "it does not answer in HTTP"),
        (b"\x16\x03\x01\x02\x00\x01\x00", "it does not answer in HTTP"),
        (b"", "it closes the connection without an answer"),
        (b"HTTP/1.1 101 Swi", "it closes the connection within its answer"),
        (b"HTTP/1.1 100 Continue\r\n\r\n", "it closes the connection within its answer"),
        (b"HTTP/1.1 OK\r\n\r\n", "it does not answer in HTTP"),
        (b"HTTP/1.1 403 Forbidden\r\nContent-Length: none\r\n\r\n", "it does not answer in HTTP"),
        (switching_protocols("", "").as_bytes(), "does not match the key"),
    ] {
        let answer = answer.to_vec();
        let (status, stderr) = refused(move |connection| {
            connection.write(&answer);
            connection.end();
        });
        assert_eq!(status, 1);
        assert!(stderr.contains("not an LXD or Incus server") && stderr.contains(says), "{stderr}");
    }
}

#[test]
fn an_answer_without_an_end_is_not_read_for_ever() {
    for (begin, more) in [
        ("HTTP/1.1 403 Forbidden\r\n", "X-More: and more\r\n"),
        ("HTTP/1.1 403 Forbidden\r\nX-More: ", "and more"),
        ("", "HTTP/1.1 100 Continue\r\n\r\n"),
    ] {
        let (status, stderr) = refused(move |connection| {
            let mut goes_on = connection.write(begin.as_bytes());
            while goes_on {
                goes_on = connection.write(more.repeat(100).as_bytes());
            }
        });
        assert_eq!(status, 1);
        assert!(stderr.contains("not an LXD or Incus server: its answer is too long\n"), "{more}: {stderr}");
    }
    let (_, stderr) = refused(|connection| {
        connection.write(b"HTTP/1.1 403 Forbidden\r\nTransfer-Encoding: chunked\r\n\r\n");
        while connection.write(b"5;x=y\r\nmore \r\n") {}
    });
    assert!(stderr.contains("the server refuses (403): more more more "), "{stderr}");
}

#[test]
fn a_configuration_that_we_may_not_read_says_how_to_mend_it() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("config.yml");
    std::fs::write(&file, "").unwrap();
    std::fs::set_permissions(directory.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o000)).unwrap();
    let mut command = as_nobody(directory.path(), &["--lxd", "n1:"]);
    let outcome = finish(command.env("LXD_CONF", directory.path()));
    assert_eq!(outcome.status, 1);
    assert!(outcome.stderr.contains("config.yml: permission denied\nhint: make it readable"), "{}", outcome.stderr);
}

/// The program, run by a user other than root, from a directory that this user may enter.
fn as_nobody(directory: &std::path::Path, arguments: &[&str]) -> std::process::Command {
    if !rustix::process::geteuid().is_root() {
        return lxmon(arguments);
    }
    // That user must also be able to reach the program.
    let program = directory.join("lxmon");
    copy_program(&program);
    let mut command = std::process::Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(program).args(arguments);
    command
}

#[test]
fn a_socket_without_permission_says_how_to_get_it() {
    let server = StandIn::new(Connection::wait);
    let directory = server.socket().parent().unwrap().to_owned();
    std::fs::set_permissions(&directory, std::fs::Permissions::from_mode(0o755)).unwrap();
    std::fs::set_permissions(server.socket(), std::fs::Permissions::from_mode(0o000)).unwrap();
    let mut command = as_nobody(&directory, &[&server.remote()]);
    let outcome = finish(&mut command);
    assert_eq!(outcome.status, 1);
    assert!(
        outcome.stderr.contains("permission denied (owner ") && outcome.stderr.contains("mode 0000)\nhint: only "),
        "{}",
        outcome.stderr
    );
}

#[test]
fn a_clock_before_1970_is_no_panic() {
    let directory = tempfile::tempdir().unwrap();
    let shim = directory.path().join("clock.so");
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/clock.c");
    let made =
        std::process::Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(&shim).args([source, "-ldl"]).status();
    if !made.is_ok_and(|status| status.success()) {
        eprintln!("skipped: there is no C compiler");
        return;
    }
    let server = StandIn::new(|connection: &mut Connection| {
        connection.accept();
        connection.event(&numbered(0));
        connection.end();
    });
    let before = |arguments: &[&str]| {
        let mut command = lxmon(arguments);
        let outcome = finish(command.env("LD_PRELOAD", &shim).env("CLOCK_BACK", "9999999999"));
        assert!(!outcome.stderr.contains("panicked"), "{}", outcome.stderr);
        outcome
    };
    // Includes a gap, because its report contains times.
    for format in ["json", "pretty"] {
        let outcome = before(&[&server.remote(), "-f", format, "--gap-events", "-n3"]);
        assert_eq!(outcome.status, 0, "{}", outcome.stderr);
        assert!(outcome.stderr.contains("events since "), "{}", outcome.stderr);
    }
    let outcome = before(&["--demo", "-p", "-n3", "--time", "delta"]);
    assert_eq!(outcome.status, 0, "{}", outcome.stderr);
}

#[test]
fn a_guests_socket_that_is_turned_off_says_so() {
    // The server refuses in plain text here, and not in JSON.
    let directory = tempfile::tempdir().unwrap();
    for (name, option) in [("lxd", "security.devlxd"), ("incus", "security.guestapi")] {
        let socket = directory.path().join("dev").join(name).join("sock");
        std::fs::create_dir_all(socket.parent().unwrap()).unwrap();
        let server = StandIn::at(&socket, |connection: &mut Connection| {
            connection.write(
                b"HTTP/1.1 403 Forbidden\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 15\r\n\r\n\
                  not authorized\n",
            );
            connection.end();
        });
        let outcome = run([&*server.remote()]);
        assert_eq!(outcome.status, 1);
        let error =
            "the server refuses (403): not authorized (tried: the socket's permissions)\nhint: the host has turned";
        assert!(outcome.stderr.contains(error), "{}", outcome.stderr);
        assert!(outcome.stderr.contains(option), "{}", outcome.stderr);
    }
}
