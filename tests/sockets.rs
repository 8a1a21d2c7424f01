//! Which of the sockets on a machine is followed, and what is said about those that cannot be.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::net::{UnixListener, UnixStream};

use tempfile::TempDir;

use crate::support::http::{read_head, send_with_event, switching_protocols};
use crate::support::machine::{Machine, ORDINARY};
use crate::support::program::{Follower, finish, lxmon};
use crate::support::standin::numbered;

#[test]
fn the_socket_for_ordinary_users_is_used_by_those_who_may_not_use_the_servers() {
    let project = format!("/1.0/events?project=user-{ORDINARY}");
    let sockets = [
        ("run/incus/unix.socket", "run/incus/unix.socket.user", "--incus"),
        ("var/lib/incus/unix.socket", "var/lib/incus/unix.socket.user", "--incus"),
        ("var/snap/lxd/common/lxd/unix.socket", "var/snap/lxd/common/lxd-user/unix.socket", "--lxd"),
    ];
    for (servers, users, option) in sockets {
        let mut machine = Machine::new();
        machine.serve(servers);
        machine.serve(users);
        machine.rights(servers, 0, 0o660);
        machine.rights(users, 0, 0o666);
        machine.directory("var/lib");
        for (is_root, arguments, wanted) in [
            (false, &[option][..], format!("{users} {project}")),
            (false, &[], format!("{users} {project}")),
            (false, &["--project", "web"], format!("{users} /1.0/events?project=web")),
            (false, &["-A"], format!("{users} /1.0/events?all-projects=true")),
            (true, &[option], format!("{servers} /1.0/events")),
        ] {
            let Some(mut command) = machine.inside(is_root, arguments) else { return };
            let (followed, outcome) = machine.followed(&mut command);
            assert_eq!((&*followed, outcome.status), (&*wanted, 0), "{arguments:?}: {}", outcome.stderr);
        }
        // A project of the configuration comes before the user's own, and Incus' variable before both.
        let configuration = "remotes:\n  local:\n    addr: unix://\n    project: db\n";
        for client in ["lxc", "incus"] {
            machine.file(&format!("home/.config/{client}/config.yml"), configuration);
        }
        let Some(mut command) = machine.inside(false, &[option]) else { return };
        let (followed, outcome) = machine.followed(&mut command);
        assert_eq!(followed, format!("{users} /1.0/events?project=db"), "{}", outcome.stderr);
        if option == "--incus" {
            let (followed, _) = machine.followed(command.env("INCUS_PROJECT", "web"));
            assert_eq!(followed, format!("{users} /1.0/events?project=web"));
        }
    }
    // In a directory of the environment, as Incus' client does it.
    let mut machine = Machine::new();
    machine.serve("x/unix.socket");
    machine.serve("x/unix.socket.user");
    machine.rights("x/unix.socket", 0, 0o600);
    machine.rights("x/unix.socket.user", 0, 0o666);
    let Some(mut command) = machine.inside(false, &[]) else { return };
    let (followed, _) = machine.followed(command.env("INCUS_DIR", machine.path("x")));
    assert_eq!(followed, format!("x/unix.socket.user {project}"));
    let Some(mut command) = machine.inside(false, &[]) else { return };
    let (followed, outcome) = machine.followed(command.env("INCUS_SOCKET", machine.path("x/unix.socket")));
    assert_eq!(followed, "");
    assert!(outcome.stderr.contains("permission denied (owner root, group root, mode 0600)\nhint: only root may"));
}

#[test]
fn a_socket_that_is_not_for_us_says_whose_it_is() {
    let (server, users) = ("run/incus/unix.socket", "run/incus/unix.socket.user");
    let passwd = "root:x:0:0::/root:/bin/sh\nalice:x:1000:1000::/:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\n";
    let mut machine = Machine::new();
    machine.serve(server);
    machine.file("etc/passwd", passwd);
    machine.directory("var/lib");
    let check = |groups: &str, group: u32, mode: u32, says: &str| {
        machine.file("etc/group", &format!("root:x:0:\n{groups}nogroup:x:65534:\n"));
        let Some(mut command) = machine.inside(false, &["--incus"]) else { return };
        let stderr = {
            machine.rights(server, group, mode);
            machine.followed(&mut command).1.stderr
        };
        assert_eq!(stderr, format!("lxmon: local: /run/incus/unix.socket: permission denied ({says}\n"));
    };
    let admin = "incus-admin:x:700:alice\n";
    check(
        admin,
        700,
        0o660,
        "owner root, group incus-admin, mode 0660)\nhint: run lxmon as root, or join the group incus-admin (sudo \
         usermod -aG incus-admin $USER) and log in again; its members are root on this machine",
    );
    // The group has another name.
    check(
        "wheel:x:700:\n",
        700,
        0o660,
        "owner root, group wheel, mode 0660)\nhint: run lxmon as root, or join the group wheel (sudo usermod -aG \
         wheel $USER) and log in again; its members are root on this machine",
    );
    check(
        "incus-admin:x:700:alice,nobody\n",
        700,
        0o660,
        "owner root, group incus-admin, mode 0660)\nhint: run lxmon as root, or log in again, because you were not in \
         the group incus-admin yet when you did; its members are root on this machine",
    );
    check(admin, 0, 0o660, "owner root, group root, mode 0660)\nhint: only root may use it: run lxmon as root");
    check(
        admin,
        700,
        0o600,
        "owner root, group incus-admin, mode 0600)\nhint: only root may use it: run lxmon as root",
    );
    check(admin, 701, 0o660, "owner root, group 701, mode 0660)\nhint: only root may use it: run lxmon as root");
    // With a socket for ordinary users, its group is named.
    machine.serve(users);
    machine.rights(users, 701, 0o660);
    for (members, how) in [
        ("", "join the group incus (sudo usermod -aG incus $USER) and log in again"),
        ("nobody", "log in again, because you were not in the group incus yet when you did"),
    ] {
        machine.file("etc/group", &format!("root:x:0:\n{admin}incus:x:701:{members}\n"));
        machine.rights(server, 700, 0o660);
        let Some(mut command) = machine.inside(false, &["--incus"]) else { return };
        let stderr = machine.followed(&mut command).1.stderr;
        let says = format!(
            "mode 0660)\nhint: {how}, and follow a project of your own through /run/incus/unix.socket.user; members of \
             incus-admin are root on this machine\n"
        );
        assert!(stderr.ends_with(&says), "{stderr}");
    }
    // A directory on the way.
    fs::set_permissions(machine.path("run/incus"), fs::Permissions::from_mode(0o700)).unwrap();
    let Some(mut command) = machine.inside(false, &["--incus"]) else { return };
    let stderr = machine.followed(&mut command).1.stderr;
    assert!(
        stderr.contains(
            "permission denied: the directory /run/incus may not be entered (owner root, group root, mode 0700)\nhint: "
        ),
        "{stderr}"
    );
}

#[test]
fn which_server_is_followed_depends_on_which_one_answers() {
    let (lxd, incus) = ("var/lib/lxd/unix.socket", "var/lib/incus/unix.socket");
    // Whether each has a configuration, and how its socket is: a server, stale, closed to us, or missing.
    for (lxd_is, incus_is, configured, wanted, says) in [
        ("served", "missing", "", "lxd", "LXD (its socket /var/lib/lxd/unix.socket answers) at /var/lib/lxd"),
        ("missing", "served", "", "incus", "Incus (its socket /var/lib/incus/unix.socket answers) at /var/lib"),
        ("served", "served", "incus", "lxd", "local: LXD (its socket "),
        (
            "stale",
            "served",
            "lxc",
            "incus",
            "lxmon: nothing listens at LXD's socket /var/lib/lxd/unix.socket; this is Incus (/var/lib/incus/unix.socket)\n",
        ),
        ("closed", "served", "", "incus", "local: Incus (its socket "),
        ("stale", "missing", "", "", "local: /var/lib/lxd/unix.socket: nothing listens there\nhint: start LXD"),
        ("missing", "stale", "", "", "local: /var/lib/incus/unix.socket: nothing listens there\nhint: start Incus"),
        ("stale", "stale", "incus", "", "local: /var/lib/incus/unix.socket: nothing listens there\n"),
        ("stale", "closed", "", "", "/var/lib/incus/unix.socket: permission denied ("),
        (
            "missing",
            "missing",
            "incus",
            "",
            "no Incus socket: there is none at /run/incus/unix.socket or /var/lib/incus/",
        ),
        ("missing", "missing", "", "", "no LXD socket: there is none at /var/snap/lxd/common/lxd/unix.socket or /var"),
    ] {
        let mut machine = Machine::new();
        machine.directory("var/lib");
        machine.directory("run");
        for (socket, state) in [(lxd, lxd_is), (incus, incus_is)] {
            match state {
                "served" | "closed" => machine.serve(socket),
                "stale" => machine.stale(socket),
                _ => {}
            }
            if state != "missing" {
                machine.rights(socket, 0, if state == "closed" { 0o600 } else { 0o666 });
            }
        }
        if !configured.is_empty() {
            machine.file(&format!("home/.config/{configured}/config.yml"), "remotes: {}\n");
        }
        let Some(mut command) = machine.inside(false, &["-v"]) else { return };
        let (followed, outcome) = machine.followed(&mut command);
        let followed = followed.split('/').nth(2).unwrap_or_default().to_owned();
        let stderr = outcome.stderr;
        assert_eq!(followed, wanted, "{lxd_is} {incus_is} {configured}: {stderr}");
        assert!(stderr.contains(says), "{lxd_is} {incus_is} {configured}: {stderr}");
    }
}

#[test]
fn when_both_servers_are_here_a_notice_names_the_other() {
    let mut machine = Machine::new();
    machine.serve("a");
    machine.serve("b");
    let both = [("LXD_SOCKET", "ROOT/a"), ("INCUS_SOCKET", "ROOT/b")];
    let (followed, outcome) = machine.followed(&mut machine.command(&[], &both));
    assert_eq!(followed, "a /1.0/events");
    let notice = "lxmon: LXD (ROOT/a) and Incus (ROOT/b) are both here; this is LXD, --incus follows the other\n";
    assert_eq!(outcome.stderr, machine.with_root(notice));
    for (arguments, to) in [(["--incus"], "b /1.0/events"), (["--lxd"], "a /1.0/events")] {
        let (followed, outcome) = machine.followed(&mut machine.command(&arguments, &both));
        assert_eq!((&*followed, &*outcome.stderr), (to, ""));
    }
    // A stale socket is asked for: the error names the one that answers.
    machine.stale("c");
    let stale = [("LXD_SOCKET", "ROOT/c"), ("INCUS_SOCKET", "ROOT/b")];
    let (_, outcome) = machine.followed(&mut machine.command(&["--lxd"], &stale));
    assert!(
        outcome.stderr.contains("nothing listens there\nhint: start LXD; the server that made this socket is gone; Incus is here too: lxmon --incus\n"),
        "{}",
        outcome.stderr
    );
}

#[test]
fn a_server_that_accepts_nothing_now_is_waited_for() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("unix.socket");
    let listener = UnixListener::bind(&path).unwrap();
    // A second call sets a new length of the queue (listen(2)).
    rustix::net::listen(&listener, 0).unwrap();
    let in_queue = UnixStream::connect(&path).unwrap();
    let both = [("LXD_SOCKET", &path), ("INCUS_SOCKET", &directory.path().join("none"))];
    let mut command = lxmon(["-n1", "-f", "json", "-v"]);
    let mut running = Follower::start(command.envs(both));
    running.wait_for_notice(&format!("local: LXD (its socket {} answers) at ", path.display()));
    drop(in_queue);
    std::thread::spawn(move || {
        // The queue has room again.
        for stream in listener.incoming().map_while(Result::ok) {
            let head = read_head(&stream);
            if !head.is_empty() {
                send_with_event(&stream, &switching_protocols(&head, ""), &numbered(0)).unwrap();
            }
        }
    });
    let outcome = running.end();
    assert_eq!((outcome.status, outcome.stdout.trim_end()), (0, &*numbered(0)), "{}", outcome.stderr);
}

#[test]
fn in_a_guest_its_own_socket_is_followed() {
    let mut machine = Machine::new();
    machine.directory("var/lib");
    machine.directory("run");
    machine.serve("dev/lxd/sock");
    let Some(mut command) = machine.inside(true, &["-v"]) else { return };
    let (followed, outcome) = machine.followed(&mut command);
    assert_eq!(followed, "dev/lxd/sock /1.0/events");
    let says = "local: LXD (no server is here, and this is a guest of one) at /dev/lxd/sock\n";
    assert!(outcome.stderr.contains(says), "{}", outcome.stderr);
    let notice =
        "lxmon: local: the server sends to its containers events of type config and device only, not lifecycle\n";
    for (arguments, is_told) in [(&["-a", "*"][..], true), (&["-t", "config"], false), (&[], false)] {
        let Some(mut command) = machine.inside(true, &[arguments, &["--timeout", "1s"]].concat()) else { return };
        let (_, outcome) = machine.followed(&mut command);
        assert_eq!(outcome.stderr.contains(notice), is_told, "{}", outcome.stderr);
    }
    // With a server on this machine, the guest's socket is not followed.
    machine.serve("var/lib/incus/unix.socket");
    let Some(mut command) = machine.inside(true, &[]) else { return };
    assert_eq!(machine.followed(&mut command).0, "var/lib/incus/unix.socket /1.0/events");

    let mut machine = Machine::new();
    machine.directory("var/lib");
    machine.directory("run");
    machine.serve("dev/incus/sock");
    // In virtual machines of Incus.
    symlink("incus", machine.path("dev/lxd")).unwrap();
    let Some(mut command) = machine.inside(true, &["-v"]) else { return };
    let (followed, outcome) = machine.followed(&mut command);
    assert_eq!(followed, "dev/incus/sock /1.0/events");
    assert!(outcome.stderr.contains("local: Incus (no server is here"), "{}", outcome.stderr);
    // A place that the environment names is the only one.
    let Some(mut command) = machine.inside(true, &[]) else { return };
    let outcome = finish(command.env("LXD_DIR", "/nonexistent"));
    assert!(outcome.stderr.contains("no LXD socket: there is none at /nonexistent/unix.socket"), "{}", outcome.stderr);
}
