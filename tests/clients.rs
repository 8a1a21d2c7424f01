//! The clients' files and variables lead to the same server and project as for `lxc` and `incus`.

use crate::support::machine::Machine;
use crate::support::program::finish;
use crate::support::tls::{Identity, TlsServer, https, params, self_signed};

/// A row of the table: what is on the machine, and what comes of it.
struct Row {
    name: &'static str,
    /// Files with their texts.
    files: &'static [(&'static str, &'static str)],
    environment: &'static [(&'static str, &'static str)],
    arguments: &'static [&'static str],
    /// `SOCKET TARGET` of the request, or the error with its hint.
    result: Result<&'static str, &'static str>,
}

const TO_A: &str = "default-remote: n1\nremotes:\n  n1:\n    addr: unix://ROOT/a\n";
const TO_B: &str = "default-remote: n1\nremotes:\n  n1:\n    addr: unix://ROOT/b\n";

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn configurations_lead_where_they_lead_the_clients() {
    let rows = [
        Row {
            name: "LXD: the user's file",
            files: &[("home/.config/lxc/config.yml", TO_A)],
            environment: &[],
            arguments: &["--lxd"],
            result: Ok("a /1.0/events"),
        },
        Row {
            name: "LXD: the snap's file comes first",
            files: &[("home/.config/lxc/config.yml", TO_B), ("home/snap/lxd/common/config/config.yml", TO_A)],
            environment: &[],
            arguments: &["--lxd"],
            result: Ok("a /1.0/events"),
        },
        Row {
            name: "LXD: LXD_CONF, with variables in the path",
            files: &[("x-y/lxc/config.yml", TO_A), ("home/.config/lxc/config.yml", TO_B)],
            environment: &[("WHERE", "x"), ("LXD_CONF", "ROOT/${WHERE}-$NAMED$UNSET/lxc"), ("NAMED", "y")],
            arguments: &[],
            result: Ok("a /1.0/events"),
        },
        Row {
            name: "LXD: LXD_CONF names the file",
            files: &[("other/config.yml", TO_A)],
            environment: &[("LXD_CONF", "ROOT/other/config.yml")],
            arguments: &["n1:"],
            result: Err("$LXD_CONF: ROOT/other/config.yml is not a directory\nhint: it names the directory with \
                         config.yml in it: LXD_CONF=ROOT/other\n"),
        },
        Row {
            name: "Incus: INCUS_GLOBAL_CONF names the file",
            files: &[("other/config.yml", TO_A)],
            environment: &[("INCUS_GLOBAL_CONF", "ROOT/other/config.yml")],
            arguments: &["--incus", "n1:"],
            result: Err("$INCUS_GLOBAL_CONF: ROOT/other/config.yml is not a directory\nhint: "),
        },
        Row {
            name: "LXD: system-wide remotes",
            files: &[("global/config.yml", TO_A)],
            environment: &[("LXD_GLOBAL_CONF", "ROOT/global")],
            arguments: &["--lxd", "n1:"],
            result: Ok("a /1.0/events"),
        },
        Row {
            name: "LXD: the user's remote overrides the system's",
            files: &[("home/.config/lxc/config.yml", TO_A), ("global/config.yml", TO_B)],
            environment: &[("LXD_GLOBAL_CONF", "ROOT/global")],
            arguments: &["--lxd", "n1:"],
            result: Ok("a /1.0/events"),
        },
        Row {
            name: "LXD: local is the server here, whatever the file says, but for the project",
            files: &[(
                "home/.config/lxc/config.yml",
                "remotes:\n  local:\n    addr: https://10.0.0.1\n    project: web\n",
            )],
            environment: &[("LXD_SOCKET", "ROOT/a")],
            arguments: &["local:"],
            result: Ok("a /1.0/events?project=web"),
        },
        Row {
            name: "LXD: image servers that are built in",
            files: &[],
            environment: &[],
            arguments: &["--lxd", "ubuntu-minimal-daily:"],
            result: Err("ubuntu-minimal-daily: an image server (simplestreams); it has no events\nhint: lxc has this"),
        },
        Row {
            name: "LXD: image servers that are built in override the file",
            files: &[("home/.config/lxc/config.yml", "remotes:\n  images:\n    addr: unix://ROOT/a\n")],
            environment: &[],
            arguments: &["--lxd", "images:"],
            result: Err("images: an image server (simplestreams); it has no events\n"),
        },
        Row {
            name: "LXD: LXD_DIR",
            files: &[],
            environment: &[("LXD_DIR", "ROOT/dir")],
            arguments: &[],
            result: Ok("dir/unix.socket /1.0/events"),
        },
        Row {
            name: "Incus: INCUS_DIR, and a socket in it that we may use comes before the one for ordinary users",
            files: &[],
            environment: &[("INCUS_DIR", "ROOT/dir")],
            arguments: &["local:"],
            result: Ok("dir/unix.socket /1.0/events"),
        },
        Row {
            name: "Incus: INCUS_SOCKET comes before INCUS_DIR",
            files: &[],
            environment: &[("INCUS_DIR", "ROOT/dir"), ("INCUS_SOCKET", "ROOT/a")],
            arguments: &[],
            result: Ok("a /1.0/events"),
        },
        Row {
            name: "LXD: LXC_REMOTE",
            files: &[(
                "home/.config/lxc/config.yml",
                "remotes:\n  n1:\n    addr: unix://ROOT/b\n  n2:\n    addr: unix://ROOT/a\n",
            )],
            environment: &[("LXC_REMOTE", "n2")],
            arguments: &[],
            result: Ok("a /1.0/events"),
        },
        Row {
            name: "LXD: a remote's project",
            files: &[(
                "home/.config/lxc/config.yml",
                "remotes:\n  n1:\n    addr: unix:ROOT/a\n    auth_type: tls\n    protocol: lxd\n    project: db\n",
            )],
            environment: &[],
            arguments: &["n1:"],
            result: Ok("a /1.0/events?project=db"),
        },
        Row {
            name: "Incus: the user's file",
            files: &[("home/.config/incus/config.yml", TO_A)],
            environment: &[],
            arguments: &["--incus"],
            result: Ok("a /1.0/events"),
        },
        Row {
            name: "Incus: XDG_CONFIG_HOME",
            files: &[("xdg/incus/config.yml", TO_A), ("home/.config/incus/config.yml", TO_B)],
            environment: &[("XDG_CONFIG_HOME", "ROOT/xdg")],
            arguments: &["--incus"],
            result: Ok("a /1.0/events"),
        },
        Row {
            name: "Incus: XDG_CONFIG_HOME, and the client has not moved the old directory yet",
            files: &[("xdg/other", ""), ("home/.config/incus/config.yml", TO_A)],
            environment: &[("XDG_CONFIG_HOME", "ROOT/xdg")],
            arguments: &["--incus"],
            result: Ok("a /1.0/events"),
        },
        Row {
            name: "Incus: a relative XDG_CONFIG_HOME does not count",
            files: &[("home/.config/incus/config.yml", TO_A)],
            environment: &[("XDG_CONFIG_HOME", "xdg")],
            arguments: &["--incus"],
            result: Ok("a /1.0/events"),
        },
        Row {
            name: "Incus: INCUS_CONF comes before XDG_CONFIG_HOME",
            files: &[("xdg/incus/config.yml", TO_B), ("conf/config.yml", TO_A)],
            environment: &[("XDG_CONFIG_HOME", "ROOT/xdg"), ("INCUS_CONF", "ROOT/conf")],
            arguments: &[],
            result: Ok("a /1.0/events"),
        },
        Row {
            name: "Incus: system-wide remotes",
            files: &[("global/config.yml", TO_A)],
            environment: &[("INCUS_GLOBAL_CONF", "ROOT/global")],
            arguments: &["n1:"],
            result: Ok("a /1.0/events"),
        },
        Row {
            name: "Incus: INCUS_REMOTE and INCUS_PROJECT",
            files: &[(
                "home/.config/incus/config.yml",
                "remotes:\n  n1:\n    addr: unix://ROOT/b\n  n2:\n    addr: unix://ROOT/a\n    project: no\n",
            )],
            environment: &[("INCUS_REMOTE", "n2"), ("INCUS_PROJECT", "yes")],
            arguments: &[],
            result: Ok("a /1.0/events?project=yes"),
        },
        Row {
            name: "Incus: several addresses, the one that worked last first",
            files: &[(
                "home/.config/incus/config.yml",
                "remotes:\n  n1:\n    addr: 'unix://ROOT/b, unix://ROOT/a ,unix://ROOT/c'\n    \
                 last_working_address: unix://ROOT/a\n",
            )],
            environment: &[],
            arguments: &["n1:"],
            result: Ok("a /1.0/events"),
        },
        Row {
            name: "Incus: several addresses, the first two dead",
            files: &[(
                "home/.config/incus/config.yml",
                "remotes:\n  n1:\n    addr: unix://ROOT/d,unix://ROOT/b,unix://ROOT/c\n    project: web\n    \
                 last_working_address: unix://ROOT/c\n",
            )],
            environment: &[],
            arguments: &["n1:"],
            result: Ok("b /1.0/events?project=web"),
        },
        Row {
            name: "Incus: several addresses, all dead",
            files: &[("home/.config/incus/config.yml", "remotes:\n  n1:\n    addr: unix://ROOT/c,unix://ROOT/d\n")],
            environment: &[],
            arguments: &["n1:"],
            result: Err("n1: ROOT/c: there is no such socket; ROOT/d: there is no such socket\nhint: is Incus"),
        },
        Row {
            name: "Incus: addresses of both kinds",
            files: &[("home/.config/incus/config.yml", "remotes:\n  n1:\n    addr: unix://ROOT/a,https://10.0.0.1\n")],
            environment: &[],
            arguments: &["n1:"],
            result: Err("n1: its addresses are of both kinds, https:// and unix://\nhint: correct it in ROOT/home/"),
        },
        Row {
            name: "Incus: a list that is empty",
            files: &[("home/.config/incus/config.yml", "remotes:\n  n1:\n    addr: ' , ,'\n")],
            environment: &[],
            arguments: &["n1:"],
            result: Err("n1: it has no address\nhint: correct it in ROOT/home/.config/incus/config.yml"),
        },
        Row {
            name: "Incus: one of several addresses is none",
            files: &[("home/.config/incus/config.yml", "remotes:\n  n1:\n    addr: https://10.0.0.1,10.0.0.2\n")],
            environment: &[],
            arguments: &["n1:"],
            result: Err("n1: its address \"10.0.0.2\" is neither https:// nor unix://\nhint: correct it in "),
        },
        Row {
            name: "LXD: a comma is part of an address",
            files: &[("home/.config/lxc/config.yml", "remotes:\n  n1:\n    addr: unix://ROOT/a,b\n")],
            environment: &[],
            arguments: &["n1:"],
            result: Err("n1: ROOT/a,b: there is no such socket\n"),
        },
        Row {
            name: "Incus: an image registry",
            files: &[(
                "home/.config/incus/config.yml",
                "remotes:\n  n1:\n    addr: https://docker.io\n    protocol: oci\n    public: true\n",
            )],
            environment: &[],
            arguments: &["n1:"],
            result: Err("n1: an image registry (oci); it has no events\n"),
        },
        Row {
            name: "Incus: local is fixed, images is not",
            files: &[(
                "home/.config/incus/config.yml",
                "remotes:\n  images:\n    addr: unix://ROOT/a\n  local:\n    addr: unix://ROOT/b\n",
            )],
            environment: &[],
            arguments: &["--incus", "images:"],
            result: Ok("a /1.0/events"),
        },
        Row {
            name: "unknown: a configuration of the snap's past",
            files: &[
                ("home/snap/lxd/common/config/config.yml", TO_B),
                ("home/snap/lxd/current/.config/lxc/config.yml", "remotes:\n  n2:\n    addr: unix://\n"),
            ],
            environment: &[],
            arguments: &["--lxd", "n2:"],
            result: Err(
                "there is no LXD remote \"n2\"\nhint: it is in ROOT/home/snap/lxd/current/.config/lxc/config.yml, \
                         which is not used: LXD_CONF=ROOT/home/snap/lxd/current/.config/lxc lxmon n2:\n",
            ),
        },
        Row {
            name: "unknown: a configuration of before the snap",
            files: &[
                ("home/snap/lxd/common/config/config.yml", TO_B),
                ("home/.config/lxc/config.yml", "remotes:\n  n2:\n    addr: unix://\n"),
            ],
            environment: &[],
            arguments: &["--lxd", "n2:"],
            result: Err("hint: it is in ROOT/home/.config/lxc/config.yml, which is not used: LXD_CONF="),
        },
        Row {
            name: "unknown: the other client knows it",
            files: &[("home/.config/incus/config.yml", TO_A)],
            environment: &[],
            arguments: &["--lxd", "n1:"],
            result: Err("there is no LXD remote \"n1\"\nhint: Incus has it: lxmon --incus n1:\n"),
        },
        Row {
            name: "which: only a configuration",
            files: &[("home/.config/incus/config.yml", TO_A)],
            environment: &[("LXD_SOCKET", "ROOT/c"), ("INCUS_SOCKET", "ROOT/c")],
            arguments: &[],
            result: Ok("a /1.0/events"),
        },
        Row {
            name: "local: without a configuration, also a broken one",
            files: &[("home/.config/lxc/config.yml", "remotes: [")],
            environment: &[("LXD_SOCKET", "ROOT/a")],
            arguments: &["--force-local"],
            result: Ok("a /1.0/events"),
        },
        Row {
            name: "a guest's socket has no project",
            files: &[],
            environment: &[("INCUS_PROJECT", "web")],
            arguments: &["unix:ROOT/dev/incus/sock"],
            result: Ok("dev/incus/sock /1.0/events"),
        },
        Row {
            name: "a socket for ordinary users has one, by its path too",
            files: &[],
            environment: &[("INCUS_PROJECT", "web")],
            arguments: &["--incus", "unix:ROOT/unix.socket.user"],
            result: Ok("unix.socket.user /1.0/events?project=web"),
        },
    ];
    for Row { name, files, environment, arguments, result } in rows {
        let mut machine = Machine::new();
        for socket in ["a", "b", "dev/incus/sock", "unix.socket.user", "dir/unix.socket", "dir/unix.socket.user"] {
            machine.serve(socket);
        }
        for (file, text) in files {
            machine.file(file, text);
        }
        let (followed, outcome) = machine.followed(&mut machine.command(arguments, environment));
        match result {
            Ok(wanted) => {
                assert_eq!((&*followed, outcome.status), (wanted, 0), "{name}: {}", outcome.stderr);
                assert_eq!(outcome.stderr, "", "{name}");
            }
            Err(says) => {
                let says = machine.with_root(says);
                assert!(outcome.status != 0 && outcome.stderr.contains(&says), "{name}: {}", outcome.stderr);
                assert!(outcome.stderr.starts_with("lxmon: ") && outcome.stderr.lines().count() <= 2, "{name}");
                assert_eq!(followed, "", "{name}");
            }
        }
    }
}

#[test]
fn a_remote_of_the_system_has_the_systems_pins_only() {
    let (identity, other) = (self_signed(&params(&["lxd"])), self_signed(&params(&["lxd"])));
    let server = TlsServer::new(&identity);
    let machine = Machine::new();
    let config = format!("remotes:\n  n1:\n    addr: {}\n", https(server.port));
    let follow = |system_wide: bool, users: &Identity, systems: &Identity| {
        let (with, without) = if system_wide { ("global", "home/.config/lxc") } else { ("home/.config/lxc", "global") };
        machine.file(&format!("{with}/config.yml"), &config);
        machine.file(&format!("{without}/config.yml"), "");
        machine.file("home/.config/lxc/servercerts/n1.crt", &users.certificate);
        machine.file("global/servercerts/n1.crt", &systems.certificate);
        finish(&mut machine.command(&["--lxd", "n1:"], &[("LXD_GLOBAL_CONF", "ROOT/global")])).status
    };
    assert_eq!(follow(true, &other, &identity), 0);
    assert_eq!(follow(true, &identity, &other), 1);
    assert_eq!(follow(false, &identity, &other), 0);
    assert_eq!(follow(false, &other, &identity), 1);
}

#[test]
fn the_snaps_system_wide_configuration_comes_before_etc() {
    let mut machine = Machine::new();
    machine.serve("a");
    machine.serve("b");
    machine.file("etc/lxd/config.yml", TO_B);
    let Some(mut command) = machine.inside(true, &["--lxd", "n1:"]) else { return };
    assert_eq!(machine.followed(&mut command).0, "b /1.0/events");
    machine.file("var/snap/lxd/common/global-conf/config.yml", TO_A);
    let Some(mut command) = machine.inside(true, &["--lxd", "n1:"]) else { return };
    assert_eq!(machine.followed(&mut command).0, "a /1.0/events");
}
