//! Of the man page: examples and lists in which something is looked up.

use super::page::Page;

pub(super) fn write(page: &mut Page) {
    page.section("EXIT STATUS");
    page.terms(EXIT_STATUS);
    page.section("ENVIRONMENT");
    page.text("A variable that is set to nothing counts as not set.");
    page.terms(ENVIRONMENT);
    page.text("The variables LXMON_TYPE and so on, which commands of --exec get, are under COMMANDS.");
    page.section("FILES");
    page.text("lxmon reads these, and writes none of them.");
    page.terms(FILES);
    page.text("These are what --install-docs writes, and --remove-docs removes:");
    page.terms(INSTALLED);
    page.section("COMPLETION");
    page.text(
        "lxmon itself completes options, types, actions, remotes, and the projects, instances and cluster members of \
         the remote that is named, with the files of --install-docs or of the Debian package, or with this line in the \
         start-up file of the shell:",
    );
    page.terms(&COMPLETION);
    page.text("The files for elvish and powershell know options and their fixed values only.");
    page.section("EXAMPLES");
    for (command, meaning) in EXAMPLES {
        page.text(meaning);
        page.lines(command);
    }
    page.section("SEE ALSO");
    page.text("lxc(1), incus(1), jq(1), logrotate(8), systemd.service(5)");
}

const EXIT_STATUS: &[(&str, &str)] = &[
    (
        "0",
        "The requested end: --count was reached, or --timeout was over without --count; the end of a recording or of \
         the demonstration; or the reader of the output closed it. Commands of --exec have no influence.",
    ),
    (
        "1",
        "Something failed: the connection could not be made, was refused, or was lost with --no-reconnect; a file \
         could not be read; the output could not be written.",
    ),
    ("2", "The command line, an environment variable, or what the client configuration says of a remote is invalid."),
    ("3", "A gap, with --fail-on-gap."),
    ("4", "A failure, with --fail-fast."),
    ("124", "--timeout passed before --count was reached, or before the command of -- COMMAND had ended."),
    ("126", "The command of -- COMMAND cannot be executed."),
    ("127", "The command of -- COMMAND was not found."),
    (
        "the command's",
        "With -- COMMAND: its status, or 128+N if signal N has killed it, unless lxmon has ended for another reason.",
    ),
    (
        "128+N",
        "Ended by signal N, as a shell reports it. Waiting events are written first, for at most one second. As the \
         first process of a container, lxmon itself exits with this status.",
    ),
];

const ENVIRONMENT: &[(&str, &str)] = &[
    ("LXMON_FORMAT", "The format when neither --format nor --pretty is given."),
    ("LXD_CONF, INCUS_CONF", "Directory of the client configuration. Variables in the path are replaced."),
    (
        "HOME",
        "Where the client configuration is looked for; without it, the home directory in the system's list of users.",
    ),
    ("XDG_CONFIG_HOME", "The directory in which Incus' client configuration is, unless INCUS_CONF is set."),
    ("LXD_GLOBAL_CONF, INCUS_GLOBAL_CONF", "Directory of the system-wide remotes."),
    ("LXC_REMOTE, INCUS_REMOTE", "The default remote."),
    ("INCUS_PROJECT", "The default project of Incus remotes."),
    (
        "LXD_SOCKET, LXD_DIR, INCUS_SOCKET, INCUS_DIR",
        "Where the local socket is: its path, or the directory with unix.socket in it. With INCUS_DIR, \
         unix.socket.user beside it is used by those who may not use unix.socket.",
    ),
    (
        "LXD_AUTH_BEARER_TOKEN",
        "The token for logging in to LXD remotes in place of the client certificate; not used for OIDC remotes.",
    ),
    (
        "HTTPS_PROXY, NO_PROXY",
        "The proxy for HTTPS remotes (http://, https:// or socks5://), and the hosts that are reached without it. \
         Where they are not set: https_proxy, no_proxy.",
    ),
    (
        "LXD_INSECURE_TLS, INCUS_INSECURE_TLS",
        "If set to anything but 0, false, no or off, TLS 1.2 is accepted from servers of that kind without TLS 1.3.",
    ),
    ("SSL_CERT_FILE, SSL_CERT_DIR", "The trusted certificate authorities, instead of those of the system."),
    (
        "COMPLETE",
        "If set to bash, zsh or fish: print the completion script, which sets it to get completions. See COMPLETION.",
    ),
    (
        "NO_COLOR, CLICOLOR_FORCE, TERM",
        "With --color=auto: NO_COLOR disables colours; else CLICOLOR_FORCE enables them even for a pipe, unless it is \
         0; else TERM=dumb disables them.",
    ),
    (
        "NOTIFY_SOCKET, WATCHDOG_USEC, WATCHDOG_PID",
        "Set by a service manager: where it is notified, and how often it expects a sign of life, sd_notify(3). They, \
         and LISTEN_PID, LISTEN_FDS and LISTEN_FDNAMES, are not inherited by commands that lxmon starts.",
    ),
    (
        "XDG_DATA_HOME, BASH_COMPLETION_USER_DIR, MANPATH",
        "For --install-docs: where a user's data and bash completions belong, and whether man looks for its page there.",
    ),
    ("LC_ALL, LC_CTYPE, LANG", "Without a UTF-8 locale, the pretty format uses ASCII glyphs."),
    ("TZ", "The local time zone, if it is not that of the system."),
    ("COLUMNS", "The width of the help, in place of that of the terminal."),
    ("PATH", "Where the program of -- COMMAND is looked for, and the names of programs for completion."),
    ("TMPDIR", "Where --demo has its socket while it runs, in place of /tmp."),
];

const FILES: &[(&str, &str)] = &[
    ("~/.config/lxc/config.yml\n~/snap/lxd/common/config/config.yml", "LXD's client configuration."),
    (
        "$XDG_CONFIG_HOME/incus/config.yml\n~/.config/incus/config.yml",
        "Incus' client configuration. If a remote has several addresses there, each is tried in turn, also after a \
         loss, beginning with the one that worked last.",
    ),
    (
        "/var/snap/lxd/common/global-conf/config.yml\n/etc/lxd/config.yml\n/etc/incus/config.yml",
        "System-wide remotes: LXD's in the first of the two that exists.",
    ),
    (
        "servercerts/NAME.crt",
        "Beside the file that the remote is in: the certificate that was accepted for it. No other is valid.",
    ),
    (
        "client.crt, client.key, client.ca\nclientcerts/NAME.crt, .key, .ca",
        "Beside the user's file: the client's certificate and key, and the certificate authority of the servers that \
         accept it. Of Incus, those in clientcerts come before the others.",
    ),
    (
        "oidctokens/NAME.json, jars/NAME",
        "Beside the user's file: saved OIDC logins, the tokens and the session cookie of LXD. They are read at every \
         connect.",
    ),
    ("/var/snap/lxd/common/lxd/unix.socket\n/var/lib/lxd/unix.socket", "LXD's local socket."),
    ("/run/incus/unix.socket\n/var/lib/incus/unix.socket", "Incus' local socket."),
    (
        "/var/snap/lxd/common/lxd-user/unix.socket\nunix.socket.user",
        "The sockets for ordinary users, that of Incus beside the other, which are used by those who may not use the \
         others. Each user has a project there, user-UID, which is followed unless another is named.",
    ),
    (
        "/dev/lxd/sock, /dev/incus/sock",
        "In an instance with no server of its own: changes of its configuration and devices.",
    ),
];

const INSTALLED: &[(&str, &str)] = &[
    (
        "/usr/local/share/\n/etc/fish/completions/lxmon.fish",
        "For all users, if root asks for it: the man page and the completions.",
    ),
    (
        "$XDG_DATA_HOME/, ~/.local/share/",
        "For one user. If lxmon is in a directory bin in the home directory, the man page is in share/man beside that.",
    ),
];

const COMPLETION: [(&str, &str); 3] = [
    ("source <(lxmon --completions bash)", "For bash, in ~/.bashrc."),
    ("source <(lxmon --completions zsh)", "For zsh, in ~/.zshrc, behind the line that calls compinit."),
    ("lxmon --completions fish | source", "For fish, in ~/.config/fish/config.fish."),
];

const EXAMPLES: &[(&str, &str)] = &[
    ("lxmon", "Follow the default remote and print every event of its project as YAML."),
    ("lxmon -A -p", "Every project, one line per event."),
    (
        "lxmon -a 'instance-*' -a '!instance-updated'",
        "What happens to instances, except changes of their configuration.",
    ),
    ("lxmon -f json -t lifecycle | jq -r .metadata.action", "The names of the actions, for a script."),
    (
        "lxmon -n1 -a instance-started -i c1 --timeout 60s",
        "Wait until c1 has started; status 124 if it has not within a minute.",
    ),
    (
        "lxmon -n1 -a instance-started -i c1 --fail-fast --timeout 60s -- lxc start c1",
        "Start c1 and wait until it has started: nothing is missed in between. Status 4 and the reason if it fails.",
    ),
    ("lxmon -p -- lxc launch ubuntu: c1", "Show everything that one command causes."),
    ("lxmon -n1 -a @running -i c1 --timeout 60s", "Wait until c1 runs: it ends at once if c1 runs already."),
    ("lxmon -a instance-started --exec 'echo \"$LXMON_INSTANCE has started\"'", "A command for each event."),
    (
        "lxmon -A -a 'instance-*' --debounce 2s --exec 'systemctl reload haproxy'",
        "One command when instances have come and gone, after 2 s in which nothing happened.",
    ),
    ("lxmon -A --failed -p", "What fails, in every project."),
    (
        "lxmon -f json -t lifecycle --jq '[$lxmon.instance, .metadata.action] | @tsv'",
        "The instance and what happened to it, separated by a tab.",
    ),
    ("lxmon -p --jq 'select($lxmon.duration_ms > 10000)'", "Operations that took longer than ten seconds."),
    ("lxmon --loglevel warning -t logging", "Warnings and errors of the server."),
    ("lxmon -f json > events.ndjson; lxmon --replay events.ndjson -p -i db1", "Record now, look later."),
    (
        "lxmon --replay events.ndjson.1 events.ndjson --since 14:00 --until 14:30 -a 'instance-{started,stopped}' -p",
        "What happened to instances within half an hour, from the files of a rotated record.",
    ),
    ("zcat events.ndjson.gz | lxmon --replay - -p", "A record that was compressed."),
    ("lxmon unix:/var/lib/incus/unix.socket", "Follow the server of a socket, regardless of the configuration."),
    ("lxmon n1: n2: incus1: -A -p", "Three remote servers in one terminal."),
    ("lxmon --demo -p", "See what it looks like, with nothing installed."),
];
