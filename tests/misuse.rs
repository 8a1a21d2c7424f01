//! Wrong usage is answered with one error message that says what to do, and with exit status 2.

use std::os::unix::ffi::OsStringExt as _;

use crate::support::program::{finish, lxmon, run};
use crate::support::standin::{StandIn, numbered};

#[test]
#[expect(clippy::too_many_lines, reason = "a list of values")]
fn every_option_refuses_a_bad_value_and_says_what_it_takes() {
    for (arguments, says) in [
        (&["--bogus"][..], "unexpected argument '--bogus'"),
        (&["--colr", "never"], "--color"),
        (&["-t", ""], "--type"),
        (&["-t", "lifecycle,"], "--type"),
        (&["-a", ""], "--action"),
        (&["-a", "@up"], "no such state; the states are @running and @stopped"),
        (&["-a", "!@*"], "no such state; the states are @running and @stopped"),
        (&["--state", "--replay", "-"], "cannot be used with '--replay <FILE>...'"),
        (&["--state", "--demo"], "cannot be used with '--demo'"),
        (&["-a", "!"], "there is no pattern after the '!'"),
        (&["-i", ""], "--instance"),
        (&["--source", ""], "--source"),
        (&["--requestor", ""], "--requestor"),
        (&["--location", ""], "--location"),
        (&["--project", ""], "--project"),
        (&["-a", "a,,b"], "there is nothing before or behind a comma"),
        (&["-i", "c[1"], "'c[1' for '--instance <GLOB>': character 2: this '[' has no ']'"),
        (&["--project", "web,{a,b"], "'web,{a,b' for '--project <NAME>': character 5: this '{' has no '}'"),
        (&["-t", "[z-a]"], "character 2: this range ends before it begins"),
        (&["--source", "a\\"], "character 2: nothing follows this backslash"),
        (&["--location", "{a,}"], "an alternative in the braces is empty"),
        (&["--requestor", "!"], "there is no pattern after the '!'"),
        (&["--list-actions", "{"], "character 1: this '{' has no '}'"),
        (&["--project", "x", "-A"], "cannot be used with '--all-projects'"),
        (&["--loglevel", "loud"], "possible values: trace, debug, info, warning, error, fatal, panic"),
        (&["-f", "xml"], "possible values: yaml, json, pretty, logfmt"),
        (&["--color", "maybe"], "possible values: auto, always, never"),
        (&["--time", "noon"], "possible values: local, utc, iso, delta"),
        (&["-n", "0"], "a positive number"),
        (&["-n", "-1"], "a positive number"),
        (&["-n", "many"], "a positive number"),
        (&["-n", "99999999999999999999"], "expected at most 18446744073709551615"),
        (&["--timeout", "5 s"], "such as 500ms, 10s, 2m30s, 1.5h or 1d"),
        (&["--timeout", "0"], "omit the option to follow without a limit"),
        (&["--timeout", "0.0s"], "omit the option to follow without a limit"),
        (&["--timeout", "101y"], "such as 500ms"),
        (&["--sort-window", "long"], "such as 500ms"),
        (&["--buffer", "64mb"], "such as 512KiB, 64MiB or 64MB"),
        (&["--buffer", "1"], "at least 64KiB"),
        (&["--exec"], "a value is required for '--exec <COMMAND>'"),
        (&["--exec", ""], "expected a command for the shell"),
        (&["--exec", " \n"], "expected a command for the shell"),
        (&["--debounce", "1s"], "--exec <COMMAND>"),
        (&["--exec", "true", "--debounce", "0"], "longer than 0"),
        (&["--exec", "true", "--debounce", "soon"], "such as 500ms"),
        (&["--demo", "--record", "-"], "--format json"),
        (&["--lxd", "--incus"], "cannot be used with '--incus'"),
        (&["--force-local", "n1:"], "cannot be used with"),
        (&["--demo", "n1:"], "cannot be used with"),
        (&["--cluster", "--demo"], "cannot be used with '--demo'"),
        (&["--cluster", "--replay", "-"], "cannot be used with '--replay <FILE>"),
        (&["--cluster", "--force-local"], "cannot be used with '--force-local'"),
        (&["--demo", "--replay", "-"], "cannot be used with"),
        (&["--replay"], "a value is required for '--replay <FILE>"),
        (&["-q", "-v"], "cannot be used with"),
        (&["--completions", "tcsh"], "possible values: bash, elvish, fish, powershell, zsh"),
        (&["local"], "did you mean `lxmon local:`?"),
        (&["n1:c1"], "nothing may follow the colon"),
        (&[":"], "write NAME: or unix:PATH"),
        (&["unix:"], "unix: without a path"),
        (&["locla:"], "did you mean local:?"),
        (&["locla"], "did you mean `lxmon local:`?"),
        (&["lifecycle"], "did you mean `lxmon -t lifecycle`?"),
        (&["ops"], "did you mean `lxmon -t operation`?"),
        (&["instance-started"], "did you mean `lxmon -a instance-started`?"),
        (&["JSON"], "did you mean `lxmon -f json`?"),
        (&["c1"], "did you mean `lxmon -i c1`?"),
        (&["web*"], "did you mean `lxmon -i 'web*'`?"),
        (&["/run/lxd/unix.socket"], "did you mean `lxmon unix:/run/lxd/unix.socket`?"),
        (&["/1.0/instances/c1"], "did you mean `lxmon --source /1.0/instances/c1`?"),
        (&["/etc/passwd"], "did you mean `lxmon --replay /etc/passwd`?"),
        (&["https://10.0.0.1:8443"], "`lxc remote add NAME ADDRESS` gives it a name"),
        (&["10.0.0.1:8443"], "`lxc remote add NAME ADDRESS` gives it a name"),
        (&["[::1]:8443"], "`lxc remote add NAME ADDRESS` gives it a name"),
        (&["--output", "json"], "hint: `-f json` sets the format"),
        (&["--output=json"], "hint: `-f json` sets the format"),
        (&["-o", "json"], "hint: `-f json` sets the format"),
        (&["-ojson"], "hint: `-f json` sets the format"),
        (&["--follow"], "hint: leave it out: lxmon always follows"),
        (&["--filter", "x"], "hint: select by type with `-t lifecycle`"),
        (&["--instnace=c1"], "'--instance'"),
        (&["--since", "14:00"], "hint: `lxmon --record FILE` records; then `lxmon --replay FILE --since TIME`"),
        (&["--until", "2h"], "then `lxmon --replay FILE --until TIME`"),
        (&["--demo", "--since", "2h"], "--since is for recordings: servers keep no events"),
        (&["--replay", "-", "--since", "noon"], "such as 14:00, '2026-11-26 14:00' or 2026-11-26T14:00:00Z"),
        (&["--replay", "-", "--since", "1h", "--until", "2h"], "--since is later than --until"),
        (&["--replay", "-", "-"], "standard input can be read once only"),
        (&["--replay", ""], "a value is required for '--replay <FILE>"),
        (&["--replay", "/dev/null", "n1:"], "\"n1:\" is a remote, but --replay reads files in place of servers"),
        (&["n1:", "--replay", "/dev/null"], "cannot be used with"),
    ] {
        let outcome = run(arguments);
        assert_eq!(outcome.status, 2, "{arguments:?}: {}", outcome.stderr);
        assert!(
            outcome.stderr.starts_with("lxmon: ") && outcome.stderr.contains(says),
            "{arguments:?}: {}",
            outcome.stderr
        );
        assert!(outcome.stdout.is_empty(), "{arguments:?}");
        let errors = outcome.stderr.lines().filter(|line| !line.starts_with("hint: ")).count();
        assert_eq!(errors, 1, "{arguments:?}: {}", outcome.stderr);
    }
}

#[test]
fn every_misspelled_option_is_answered_with_the_right_one() {
    let command = <lxmon::cli::Cli as clap::CommandFactory>::command();
    for name in command.get_arguments().filter_map(|argument| argument.get_long()).filter(|name| name.len() > 4) {
        let (at, _) = name.char_indices().nth(name.len() / 2).unwrap();
        let swapped = format!("{}{}{}{}", &name[..at - 1], &name[at..=at], &name[at - 1..at], &name[at + 1..]);
        for typed in [format!("{}{}", &name[..at], &name[at + 1..]), swapped, format!("{name}x")] {
            if typed == name {
                continue;
            }
            for arguments in
                [&[&*format!("--{typed}")][..], &[&*format!("--{typed}=x")], &[&*format!("--{typed}"), "x"]]
            {
                let outcome = run(arguments);
                let hint = outcome.stderr.lines().find(|line| line.starts_with("hint: ")).unwrap_or_default();
                let is_named = hint.contains(&format!("'--{name}'"));
                assert!(outcome.status == 2 && is_named, "{arguments:?}: {}", outcome.stderr);
            }
        }
    }
}

#[test]
fn a_bad_format_in_the_environment_is_told_too() {
    let outcome = finish(lxmon(["--replay", "/dev/null"]).env("LXMON_FORMAT", "xml"));
    assert_eq!(outcome.status, 2);
    assert!(outcome.stderr.contains("hint: formats: yaml, json, pretty, logfmt"), "{}", outcome.stderr);
}

#[test]
fn variables_that_are_not_utf8_are_named_or_used() {
    let bytes = |text: &str| std::ffi::OsString::from_vec([text.as_bytes(), b"\xff"].concat());
    let directory = tempfile::tempdir().unwrap();
    let config = "remotes:\n  n1:\n    addr: https://10.0.0.1\n";
    std::fs::write(directory.path().join("config.yml"), config).unwrap();
    for (variable, arguments) in [
        ("LXMON_FORMAT", &["--replay", "/dev/null"][..]),
        ("LXC_REMOTE", &["--lxd"]),
        ("INCUS_REMOTE", &["--incus"]),
        ("INCUS_PROJECT", &["--incus", "unix:/nonexistent"]),
        ("HTTPS_PROXY", &["n1:"]),
        ("https_proxy", &["n1:"]),
    ] {
        let mut command = lxmon(arguments);
        let outcome = finish(command.env("LXD_CONF", directory.path()).env(variable, bytes("secret")));
        let says = format!("lxmon: ${variable}: its value is not UTF-8\nhint: ");
        assert!(outcome.status == 2 && outcome.stderr.starts_with(&says), "{variable}: {}", outcome.stderr);
        assert!(!outcome.stderr.contains("secret"));
    }
    let mut command = lxmon(["n1:"]);
    let outcome = finish(command.env("LXD_CONF", directory.path()).env("LXD_AUTH_BEARER_TOKEN", bytes("secret")));
    assert_eq!(outcome.status, 1);
    assert!(
        outcome.stderr.contains("$LXD_AUTH_BEARER_TOKEN: it is not a token: it contains a character that is not ASCII"),
        "{}",
        outcome.stderr
    );

    // Variables that hold paths may contain any bytes.
    let odd = directory.path().join(bytes("odd"));
    std::fs::create_dir_all(odd.join(".config/lxc")).unwrap();
    let served = StandIn::at(&odd.join("unix.socket"), |connection| {
        connection.accept();
        connection.event(&numbered(0));
        connection.wait();
    });
    let config = "remotes:\n  n2:\n    addr: unix:///nonexistent\n";
    std::fs::write(odd.join("config.yml"), config).unwrap();
    std::fs::write(odd.join(".config/lxc/config.yml"), config).unwrap();
    for (variable, value) in
        [("LXD_SOCKET", served.socket()), ("LXD_DIR", odd.clone()), ("INCUS_SOCKET", served.socket())]
    {
        let outcome = finish(lxmon(["-n1", "-f", "json"]).env(variable, value));
        assert_eq!((outcome.status, outcome.stdout.trim_end()), (0, &*numbered(0)), "{variable}: {}", outcome.stderr);
    }
    for variable in ["LXD_CONF", "HOME"] {
        let outcome = finish(lxmon(["--lxd", "n2:"]).env(variable, &odd));
        assert!(outcome.stderr.contains("n2: /nonexistent: there is no such socket"), "{variable}: {}", outcome.stderr);
    }
    let outcome = finish(
        lxmon(["--replay", "/dev/null"]).env("LANG", bytes("")).env("TERM", bytes("")).env("NO_COLOR", bytes("")),
    );
    assert_eq!((outcome.status, &*outcome.stderr), (0, ""));
}

#[test]
fn a_login_in_an_address_is_never_shown() {
    let directory = tempfile::tempdir().unwrap();
    let show = |arguments: &[&str], config: &str| {
        std::fs::write(directory.path().join("config.yml"), config).unwrap();
        let mut command = lxmon(arguments);
        let outcome = finish(command.args(["--lxd", "-v", "--debug"]).env("LXD_CONF", directory.path()));
        assert_ne!(outcome.status, 0, "{config}");
        assert!(!outcome.stderr.contains("hush") && !outcome.stderr.contains("alice"), "{config}: {}", outcome.stderr);
        outcome.stderr
    };
    for address in [
        "https://alice:hush@127.0.0.1:1",
        "https://alice@127.0.0.1:1/hush@x",
        "https://alice:hush@[::1]:1/path",
        "https://alice:hu/sh@127.0.0.1:1",
        "https://alice:1/hush@127.0.0.1:1",
        "https://alice:hu@hush@127.0.0.1:1",
        "https://alice:hush?@127.0.0.1:1",
        "https://alice:hush#@127.0.0.1:1",
        "https://alice:hush hush@127.0.0.1:1",
        "https://alice:hush@",
        "https://alice:hush@:8443",
        "https://alice:hush@127.0.0.1:port",
        "HTTPS://alice:hush@127.0.0.1:1",
        "http://alice:hush@127.0.0.1:1",
        "ftp://alice:hush@127.0.0.1:1",
        "alice:hush@127.0.0.1:1",
        "unix://alice:hush@/run/x",
        "unix:alice:hush@/run/x",
    ] {
        let stderr = show(&["n1:"], &format!("remotes:\n  n1:\n    addr: \"{address}\"\n"));
        assert!(stderr.contains("lxmon: n1: "), "{address}: {stderr}");
        // The same address in places where no address is expected.
        show(&["n1:"], &format!("remotes:\n  n1: \"{address}\"\n"));
        show(&["n1:"], &format!("remotes: \"{address}\"\n"));
        show(&[], &format!("default-remote: \"{address}\"\n"));
        show(&[address], "");
        show(&[&format!("{address}:")], "");
    }
    let stderr = show(&["n1:"], "remotes:\n  n1:\n    addr: https://alice:hush@127.0.0.1:1\n");
    assert!(stderr.contains("n1: user and password in its address are not used\n"), "{stderr}");
    assert!(stderr.contains("n1: 127.0.0.1:1: connection refused"), "{stderr}");
}

#[test]
fn the_command_line_wins_over_the_environment() {
    let events = concat!(env!("CARGO_MANIFEST_DIR"), "/src/source/demo/session.ndjson");
    for arguments in [&["-p"][..], &["-f", "pretty"], &["-f", "json", "-p"]] {
        let mut command = lxmon(["--replay", events, "-n1"]);
        let outcome = finish(command.args(arguments).env("LXMON_FORMAT", "json"));
        assert!(outcome.stdout.contains(" project-created "), "{arguments:?}: {}", outcome.stdout);
    }
    let outcome = finish(lxmon(["--replay", events, "-n1", "-p", "-f", "json"]).env("LXMON_FORMAT", "yaml"));
    assert!(outcome.stdout.starts_with('{'), "{}", outcome.stdout);
}

#[test]
fn the_list_of_actions_takes_globs_and_exclusions() {
    let names = |arguments: &[&str]| {
        let list = run(arguments).stdout;
        list.lines().map(|line| line.split(' ').next().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let all = names(&["--list-actions"]);
    assert!(all.len() > 100);
    let is_instance = |name: &&String| name.starts_with("instance-");
    let (instances, others): (Vec<_>, Vec<_>) = all.iter().partition(is_instance);
    assert_eq!(names(&["--list-actions", "instance-*"]).iter().collect::<Vec<_>>(), instances);
    assert_eq!(names(&["--list-actions", "!instance-*"]).iter().collect::<Vec<_>>(), others);
    let both = ["instance-s*", "profile-*", "!*-started"];
    let wanted = all
        .iter()
        .filter(|name| (name.starts_with("instance-s") || name.starts_with("profile-")) && !name.ends_with("-started"));
    let wanted: Vec<_> = wanted.cloned().collect();
    assert_eq!(names(&["--list-actions", &both.join(",")]), wanted);
    assert_eq!(names(&["--list-actions", both[0], "--list-actions", both[1], "--list-actions", both[2]]), wanted);
    for (glob, says) in [("instance-strated", "near it: instance-started"), ("!*", "no known action matches \"!*\"")] {
        let outcome = run(["--list-actions", glob]);
        assert!(outcome.status == 1 && outcome.stderr.contains(says), "{glob}: {}", outcome.stderr);
    }
}
