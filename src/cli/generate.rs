//! Files that are generated from the definition of the command line: completions and the man page.

use std::io;

use clap::CommandFactory as _;
use clap_complete::Shell;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};

use super::Cli;

/// The completions for `shell`.
pub(crate) fn completions(shell: Shell) -> Vec<u8> {
    let mut out = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "lxmon", &mut out);
    out
}

/// When the man page was last changed.
const DATE: &str = "November 2026";

/// The man page, as roff.
pub(crate) fn man() -> io::Result<Vec<u8>> {
    let mut out = Vec::new();
    // Without the commit, because the page is a file of the commit.
    let source = concat!("lxmon ", env!("CARGO_PKG_VERSION"));
    let man = Man::new(Cli::command()).title("LXMON").section("1").manual("User Commands").source(source).date(DATE);
    man.render_title(&mut out)?;
    man.render_name_section(&mut out)?;
    man.render_synopsis_section(&mut out)?;
    paragraphs(&mut out, "DESCRIPTION", DESCRIPTION)?;
    man.render_options_section(&mut out)?;
    terms(&mut out, "FORMATS", FORMATS)?;
    terms(&mut out, "PRETTY LINES", PRETTY)?;
    paragraphs(&mut out, "OPERATIONS IN PROGRESS", IN_PROGRESS)?;
    terms(&mut out, "EXAMPLES", EXAMPLES)?;
    terms(&mut out, "EXIT STATUS", EXIT_STATUS)?;
    terms(&mut out, "ENVIRONMENT", ENVIRONMENT)?;
    terms(&mut out, "FILES", FILES)?;
    paragraphs(&mut out, "SEE ALSO", &["lxc(1), incus(1), jq(1)"])?;
    Ok(without_repeated_preamble(&out))
}

/// roff defines the apostrophe anew before each section; once is enough.
fn without_repeated_preamble(page: &[u8]) -> Vec<u8> {
    let page = String::from_utf8_lossy(page);
    let mut lines = page.split_inclusive('\n');
    let preamble: String = lines.by_ref().take(2).collect();
    (preamble.clone() + &page.replace(&preamble, "")).into_bytes()
}

fn paragraphs(out: &mut Vec<u8>, title: &str, paragraphs: &[&str]) -> io::Result<()> {
    let mut roff = Roff::new();
    roff.control("SH", [title]);
    for paragraph in paragraphs {
        roff.control("PP", []);
        roff.text([roman(*paragraph)]);
    }
    roff.to_writer(out)
}

fn terms(out: &mut Vec<u8>, title: &str, terms: &[(&str, &str)]) -> io::Result<()> {
    let mut roff = Roff::new();
    roff.control("SH", [title]);
    for (term, meaning) in terms {
        roff.control("TP", []);
        roff.text([bold(*term)]);
        roff.text([roman(*meaning)]);
    }
    roff.to_writer(out)
}

const DESCRIPTION: &[&str] = &[
    "lxmon connects to the event stream of an LXD or Incus server, selects events, and prints each as YAML, JSON, \
     logfmt or one line for people. Events go to standard output, everything else to standard error.",
    "REMOTE: is a name from the lxc or incus client configuration, or unix:/path/to/unix.socket. Without one the \
     configuration's default remote is followed, which is the local server unless it was changed.",
    "Events are sorted by their timestamps within a short window, because the servers may send neighbouring events in \
     any order. The events of each cluster member are sorted by its own clock; servers and members whose clocks differ \
     are merged by corrected timestamps. Everything that the server sent before a connection ended is printed. lxmon \
     reconnects after a lost connection, and never gives up. Events that happened in between cannot be requested from \
     the server, so the gap is reported on standard error.",
    "Members of one cluster send the events of all. When several are followed, as remotes or with --cluster, an event is \
     printed once, and a member that is lost is no gap while another one has been followed for half a minute. What only \
     that member sends is missing: its own log messages, and what it does after a restart until it is followed again. \
     With --cluster the server is asked for the members, again about once a minute and whenever an event says that they \
     have changed; all are logged in to and verified like the remote, and their notices begin with REMOTE/MEMBER.",
    "A slow reader of the output delays the server only for a short time, because servers end the connections of slow \
     clients. Events that cannot be written yet wait in memory, up to --buffer. When that is full, the newest events \
     are dropped, counted, and reported as a gap as soon as there is room again. After --timeout, writing continues \
     while the output accepts data, for at most the same time again and at most 10 s; after a signal, for at most one \
     second. The output ends at the end of a line, and the number of events that were not written is reported.",
    "With --gap-events the stream has a record of type gap when a connection is lost (\"until\":null), one when events \
     are received again or lxmon exits, and one where events were dropped. Its metadata: remote; last_event, the \
     server's timestamp of the last event before the gap; since, until, seconds; reason; dropped, the number of events \
     that were received and dropped.",
    "With --state the server is asked for the present state once its events come, and the stream gets an event of type state \
     for each instance of the followed projects and each running operation that is selected. Its metadata: kind, which is \
     instance or operation; name and source of an instance, in the form of lifecycle events; id, description, created_at \
     and resources of an operation; status, as the server names it; changed. Its timestamp is when the answer had come, by \
     the local clock. Operations are asked for if -t selects them or nothing, or only state, and no -a is given; -t need \
     not name the type state, and -t state alone asks for the state too. lifecycle events are then asked for, whatever -t \
     selects. A cluster is asked once. Each answer has all that the server knows of an instance, some kilobytes, whatever \
     -i selects.",
    "What is known is the last answer, changed by the events that have come since, printed or not. After a gap, also one of \
     dropped events, the same is asked again, and what differs comes with \"changed\":true: a status that differs, an \
     instance that is new or gone (status Deleted), an operation that is new or not running any more (status Ended). A \
     state in an answer that contradicts an event which came after the question is not printed: the event is newer, or \
     another one is on its way. So a state is never older than an event before it. A server that refuses the question is \
     followed on, and a notice says so.",
    "-a @running matches an instance that runs: its state (Running, or Ready, which a guest can report), and the actions \
     instance-started, -restarted and -resumed; -a @stopped its state Stopped, and instance-stopped and -shutdown. Both \
     ask for the state as --state does. Other values of -a match no state.",
    "With --jq an expression in the language of jq(1) is run on each event that the other options select, after --redact. \
     No result, null and false drop the event. Any other result replaces it, also true; to keep the events for which a \
     condition holds, write select(CONDITION). Several results are printed one after the other, in the place of the \
     event; --count counts results. A result that is an event (an object with a type) is printed in every format, \
     others in json and yaml; pretty and logfmt refuse an expression that can have no other results, and otherwise show \
     such a result as JSON. In json a string is printed without quotation marks, as by jq -r. The file of --record \
     has the results as JSON lines. An event that passes unchanged keeps the server's bytes. With several remotes, \
     results that are events have the key remote.",
    "$lxmon is an object: remote; kind and name of what the event is about, such as instance or network; instance; project; \
     duration_ms, of an operation that has ended; failed, as --failed. What the event does not say is null. Numbers keep \
     their digits, also integers of any length, unless they are calculated with: then fractions and exponents are 64-bit \
     floating-point numbers. Not a number becomes null, infinity the greatest number. The library is jaq, which differs \
     from jq in a few points (https://github.com/01mf02/jaq); in a string of the expression, write characters beyond \
     U+FFFF as they are. There are no modules, input, inputs, env, $ENV, debug, stderr, halt or halt_error. An error costs \
     the event that it is for: it is reported once for each kind, and the events are counted. The expression runs in a \
     second process, with 1 GiB of memory, and 10 s for an event. Gap records do not pass it.",
    "With --redact secrets are replaced with *** in every format, in the file of --record, and in notices. Secret are: \
     the values of keys whose names end with secret, password, passphrase, token, credentials, access-key, secret-key and \
     the like, at any depth; the websocket secrets of operations (fds, control, fs, criu); environments; the arguments of \
     commands, but not the program's name; user.* and cloud-init data of instances; the values of config events. Within \
     log messages and other texts: such members of JSON, such parameters of addresses (?secret=), tokens in Base64, and \
     private keys. Names, fingerprints and requestors are shown, and all that is not secret keeps its bytes. Of a \
     message that is not JSON nothing is shown.",
    "With the pretty format on a terminal, a first line on standard error says what is followed, with the versions of the \
     servers where they answer within a second, and a last one sums up. --summary sums up in full, in every format and \
     however lxmon ends: the events that were printed by type, lifecycle actions, and operations that have ended, by \
     count; failures, as --failed knows them, with their reasons; the slowest operations, by the server's clock, without \
     commands and consoles, which last for as long as they are used; operations that still run, without tokens, which \
     only wait; gaps. Of each list the 20 most important entries are shown and the others counted. Its time is that of \
     the run; for a recording, the time between its first and its last event.",
    "Started by a service manager such as systemd (Type=notify), lxmon notifies it when every subscription is live, sends \
     as its status what is followed, how many events were printed and which connection is lost, and sends signs of life \
     from its event loop twice within the time of WatchdogSec. With --retry it waits for a server that does not run yet, \
     so TimeoutStartSec should be infinity.",
    "With --record the selected events are also appended to a file, which is made readable only for its owner. Each write \
     has whole lines. Events that cannot be written, because the disk is full, are counted; once writing is possible \
     again, the file gets a record of type gap in their place. SIGUSR1 opens the file again, for logrotate(8): \
     postrotate pkill -USR1 -x lxmon; without --record it does nothing. When lxmon is killed within a write, the system \
     can cut the last line; the next lxmon that records into the file ends that line first.",
    "With --exec the selected events are given to a command, which /bin/sh runs: once for each event, in order, one at a \
     time. Its standard input is the event as --format json prints it. These variables are its parts, as far as it has \
     them: LXMON_TYPE, LXMON_ACTION, LXMON_SOURCE, LXMON_PROJECT, LXMON_LOCATION, LXMON_INSTANCE (the first one of \
     several), LXMON_REMOTE, LXMON_TIMESTAMP; LXMON_COUNT is the number of events of the run. Nothing of an event is \
     ever part of the command's text, so quote the variables as in any script: \"$LXMON_INSTANCE\". A value that has a \
     NUL or is too long for a variable (128 KiB) is left out, and stands on standard input. Without --format and \
     --pretty (LXMON_FORMAT does not count) events are not printed, and the command's standard output is that of \
     lxmon; with one of them it is standard error. A command that fails is reported and ends nothing.",
    "A slow command of --exec delays neither reading nor printing. Its events wait, in as much memory as --buffer says; \
     beyond that the newest are dropped, and their number is reported as soon as there is room. A recording or the \
     demonstration waits instead. When lxmon ends by itself, the command is still run for all events that wait. After a \
     signal, or when the reader of the command's output is gone, no further command is started: the running one is waited for, at \
     most 5 s, and the number of the other events is reported. A second signal ends lxmon at once.",
    "With --debounce the command of --exec is run once for all events that came up to a pause of that length, and for \
     those that came while it ran once more. All of them are lines of its standard input; the variables are those of the \
     last. Events that come without a pause wait for at most ten times that length; if they take an eighth of --buffer, \
     for that length; if they take half of it, no longer.",
    "--replay reads several files, one after the other, each of which is JSON (one object per line, objects of several \
     lines as jq writes them, arrays) or YAML (as lxmon, lxc monitor and incus monitor print it). Of a recording that is \
     cut off or damaged the whole events are printed, and each damage is reported with its line. A file that is something \
     else, such as a compressed one, is an error that says what it is. An event that was recorded from several remotes is \
     printed with the name of its own.",
    "--since and --until take an RFC 3339 time; a date, or a date and a time, in the local time zone; a time of today, \
     such as 14:00; or a duration, such as 2h, which is that long ago. Events without a readable timestamp are left out. \
     Both are for --replay, as servers keep no events.",
    "With --record the selected events are also appended to a file, which is made readable only for its owner. Each write \
     has whole lines. Events that cannot be written, because the disk is full, are counted; once writing is possible \
     again, the file gets a record of type gap in their place. SIGUSR1 opens the file again, for logrotate(8): \
     postrotate pkill -USR1 -x lxmon.",
    "Every selection option takes several values, separated by commas; \\, is a comma. In a value, * stands for any text, \
     ? for one character, [a-c] for one of these and [!a-c] for another one, and {web,db} for each of the texts; a \
     backslash takes the meaning from the character behind it. A value that is no pattern is an error that says where.",
    "A value of a selection option that starts with ! excludes. Values of one option are alternatives, different \
     options must all hold. An event without the field that a pattern asks for does not match, but events that belong \
     to no project pass --project, as they do on the server, unless they are log lines about another project.",
    "--instance selects an instance by what an event says of it: the path in a lifecycle or operation event, the request \
     or the name of an audit record, the context of a log line. An instance that matched and is renamed stays selected \
     by its new name; an exclusion is by name only.",
    "--requestor none selects the events of types that say who asked (lifecycle, operation, security) but that name \
     nobody, as those of the server's own tasks; operations of Incus, and of LXD before 5.21.5 and 6.6, never name \
     anybody. Other events, such as log lines, have no requestor: no pattern matches them, and no exclusion excludes \
     them. A user who is called none is selected by */none.",
    "--failed does not ask the server for certain types, because log lines are only for users with rights on the whole \
     server: without --type the server sends the types that are permitted. A cancelled operation has not failed. An \
     operation and those that it has started are judged each by its own events.",
    "-- COMMAND is started once every subscription is live, so that nothing that it causes is missed. It is no shell's \
     command line, but a program and its arguments. What it prints goes to standard error, as events own standard \
     output; it reads lxmon's standard input, and may use the terminal. --count counts the events from its start on.",
    "A command that fails ends lxmon with its status, after half a second in which what is on its way is printed. A command \
     that succeeds does so too, but with --count lxmon goes on until the number of events is reached. If the number is \
     reached first, or the reader of the output leaves, lxmon prints nothing more, waits for the command, and exits with \
     its status. Anything else that ends lxmon before the command has ended also ends the command: when --timeout is \
     over, it gets SIGTERM; at a failure with --fail-fast, a gap with --fail-on-gap, or a connection that is lost for \
     good, it gets SIGTERM unless it ends by itself within half a second. It is waited for, but for no longer than 5 \
     seconds; a notice says if it goes on.",
    "SIGINT, SIGTERM and SIGHUP that are sent to lxmon are forwarded to the command, and lxmon ends by the signal when the \
     command has ended, after 5 seconds, or at a second signal. The keys of a terminal reach both at once. A command \
     that goes on for 5 seconds after Ctrl-C has handled it, as interpreters do, and lxmon goes on too.",
    "--fail-fast judges events about what --instance, --project and --location select, as --failed does, whatever --type, \
     --action and the other options leave out of the output. So the server is asked for all permitted types. The \
     failure is printed as an error with its reason, after the events that came before it. If it is a log line, up to half \
     a second is waited for the operation that fails for the same reason, as only that says why. With -- COMMAND, failures \
     count from its start on, and until half a second after its end; a failure wins over the status of the command. What \
     happens first decides between a failure and --count or --timeout; an event that is both the last one of --count and a \
     failure is a failure.",
];

const FORMATS: &[(&str, &str)] = &[
    (
        "yaml",
        "One document per event, byte for byte what lxc monitor prints, with these exceptions: each document begins \
         with ---; numbers keep their digits; and strings that readers of YAML 1.1 and 1.2 would read differently are \
         quoted with escapes. If the document would be far longer than the event, because the event is deeply nested, \
         the metadata is in flow style, like JSON, and reads back as the same value.",
    ),
    (
        "json",
        "One event per line, the server's own bytes. With several remotes, \"remote\" is added as the first key, and \
         replaces a key of that name in the event.",
    ),
    (
        "pretty",
        "One line per event for people, and further lines for the reasons of failures and warnings. See PRETTY LINES.",
    ),
    ("logfmt", "One line per event, as lxc monitor --pretty prints it."),
];

const PRETTY: &[(&str, &str)] = &[
    (
        "columns",
        "Time; glyph; project, if there can be several; cluster member; remote, if there are several; object; action, \
         description of an operation, or message; detail. Their widths are chosen from the width of the terminal and are \
         the same on all lines. Project, member, remote and object are cut in their middle, never the action. Below 80 \
         columns times have no milliseconds, and the member has no column. To a pipe nothing is cut.",
    ),
    (
        "object",
        "An instance by its name alone, other things with their kind, such as profile small; the kind is left out where \
         the column is too narrow. The names of snapshots, backups and volumes begin with what contains them, as in \
         snapshot db1/snap0 or volume default/shared. Of fingerprints the first 12 digits are shown.",
    ),
    (
        "operations",
        "An operation has a line when it has ended, with its duration. To a pipe it has one when it begins, too. A command \
         that returned other than 0 has failed. Where two operations in progress look the same, # and the last digits of \
         their ids distinguish them.",
    ),
    (
        "log messages",
        "The level stands before the message unless it is info. The instance and the project have their columns; the rest \
         of the context follows as key=value, without what nobody needs. Messages of level debug are not shown unless \
         --loglevel asks for them.",
    ),
    (
        "further lines",
        "The reason of a failure or warning is never cut. It goes on in lines that begin with spaces, as no other line \
         does.",
    ),
    ("+ - ~ or \u{2212}", "Something was created or added; deleted or removed; changed."),
    ("\u{25b6} \u{25a0} \u{2016} (> # =)", "Something was started; stopped; paused."),
    ("\u{2192} \u{21bb} (/ @)", "Something was renamed or moved; restarted, restored or refreshed."),
    ("\u{2193} \u{2191} \u{bb} (< ^ $)", "Something was downloaded; uploaded; run, or a console was attached."),
    (
        "\u{2026} \u{2713} \u{2717} (: v x)",
        "An operation is in progress; has succeeded; has failed or was cancelled. In parentheses are the glyphs of a \
         terminal without UTF-8.",
    ),
    ("!", "A warning, an error, or a gap in the stream."),
];

const IN_PROGRESS: &[&str] = &[
    "On a terminal, the pretty format shows operations in progress as live rows below the last line: the columns of a \
     line with the time at which the operation began, then its progress, its speed where the server reports one, and \
     how long it has been in progress, by the server's clock. When the operation ends, a line with its outcome takes the \
     place of the row. An operation that ends within a quarter of a second has no row, nor have tokens, sessions of \
     people (a console, an interactive command), and websockets that wait for their other end.",
    "The oldest operations are shown, in at most 8 rows and at most a third of the screen; +3 more counts the others. \
     Rows are drawn at most 30 times a second, and once a second while no event comes. They disappear with a lost \
     connection, because the end of an operation may be missed then, and come back with the operation's next event.",
    "While rows are on the screen, the cursor is hidden, what is typed is not shown, and both are restored at every end \
     and when lxmon is suspended. There are no rows if standard output is not a terminal, if TERM is dumb, unknown or not \
     set, if the terminal does not know its size or has one line, with --replay, and while lxmon is a background job.",
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

const EXIT_STATUS: &[(&str, &str)] = &[
    (
        "0",
        "The requested end: --count was reached, or --timeout was over without --count; the end of a recording or of \
         the demonstration; or the reader of the output closed it. Commands of --exec have no influence.",
    ),
    (
        "1",
        "Something failed: the connection could not be made, was refused, or was lost with --no-reconnect; the \
         output could not be written.",
    ),
    ("2", "The command line or the client configuration is invalid."),
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
    ("XDG_CONFIG_HOME", "The directory in which Incus' client configuration is, unless INCUS_CONF is set."),
    ("LXD_GLOBAL_CONF, INCUS_GLOBAL_CONF", "Directory of the system-wide remotes."),
    ("LXC_REMOTE, INCUS_REMOTE", "The default remote."),
    ("INCUS_PROJECT", "The default project of Incus remotes."),
    (
        "LXD_SOCKET, LXD_DIR, INCUS_SOCKET, INCUS_DIR",
        "Where the local socket is: its path, or the directory with unix.socket in it. With INCUS_DIR, unix.socket.user \
         beside it is used by those who may not use unix.socket.",
    ),
    (
        "LXD_AUTH_BEARER_TOKEN",
        "The token for logging in to LXD remotes in place of the client certificate; not used for OIDC remotes.",
    ),
    (
        "HTTPS_PROXY, NO_PROXY",
        "The proxy for HTTPS remotes (http://, https:// or socks5://), and the hosts that are reached without it.",
    ),
    (
        "LXD_INSECURE_TLS, INCUS_INSECURE_TLS",
        "If set to anything but 0, false, no or off, TLS 1.2 is accepted from servers of that kind without TLS 1.3.",
    ),
    ("SSL_CERT_FILE, SSL_CERT_DIR", "The trusted certificate authorities, instead of those of the system."),
    ("COMPLETE", "If set to bash, zsh or fish: print the completion script. The script sets it to get completions."),
    (
        "NO_COLOR, CLICOLOR_FORCE, TERM",
        "With --color=auto: NO_COLOR disables colours; else CLICOLOR_FORCE enables them even for a pipe; else \
         TERM=dumb disables them.",
    ),
    (
        "NOTIFY_SOCKET, WATCHDOG_USEC, WATCHDOG_PID",
        "Set by a service manager: where it is notified, and how often it expects a sign of life, sd_notify(3). They are \
         not inherited by commands that lxmon starts.",
    ),
    ("LC_ALL, LC_CTYPE, LANG", "Without a UTF-8 locale, the pretty format uses ASCII glyphs."),
];

const FILES: &[(&str, &str)] = &[
    ("~/.config/lxc/config.yml, ~/snap/lxd/common/config/config.yml", "LXD's client configuration. It is only read."),
    (
        "$XDG_CONFIG_HOME/incus/config.yml, ~/.config/incus/config.yml",
        "Incus' client configuration. It is only read. If a remote has several addresses there, each is tried in turn, \
         also after a loss, beginning with the one that worked last.",
    ),
    (
        "/var/snap/lxd/common/global-conf/config.yml, /etc/lxd/config.yml, /etc/incus/config.yml",
        "System-wide remotes: LXD's in the first of the two that exists.",
    ),
    (
        "servercerts/NAME.crt beside the file that the remote is in",
        "The certificate that was accepted for a remote. No other is valid.",
    ),
    (
        "client.crt, client.key, client.ca beside the user's file; clientcerts/NAME.crt, .key, .ca of Incus before them",
        "The client's certificate and key, and the certificate authority of the servers that accept it.",
    ),
    (
        "oidctokens/NAME.json, jars/NAME beside the user's file",
        "Saved OIDC logins: the tokens, and the session cookie of LXD. They are only read, at every connect.",
    ),
    ("/var/snap/lxd/common/lxd/unix.socket, /var/lib/lxd/unix.socket", "LXD's local socket."),
    ("/run/incus/unix.socket, /var/lib/incus/unix.socket", "Incus' local socket."),
    (
        "/var/snap/lxd/common/lxd-user/unix.socket, unix.socket.user beside Incus' socket",
        "The sockets for ordinary users, which are used by those who may not use the others. Each user has a project \
         there, user-UID, which is followed unless another is named.",
    ),
    (
        "/dev/lxd/sock, /dev/incus/sock",
        "In an instance with no server of its own: changes of its configuration and devices.",
    ),
];
