//! Of the man page: the servers, what can be lost on the way, commands, recordings, services, signals.

use super::page::Page;

pub(super) fn write(page: &mut Page) {
    page.section("SERVERS");
    all(page, &SERVERS);
    page.part("Clusters");
    all(page, &CLUSTERS);
    page.section("WHAT CAN BE LOST");
    page.text(
        "What lxmon has received it prints, once and in order, with these exceptions. Each is reported on standard \
         error unless it says otherwise, and with --gap-events the first two in the stream.",
    );
    page.terms(&LOST);
    all(page, &AFTER_LOSS);
    page.section("COMMANDS");
    page.part("--exec COMMAND");
    all(page, &EXEC);
    page.terms(&VARIABLES);
    all(page, &EXEC_LIMITS);
    page.part("-- COMMAND");
    all(page, &COMMAND);
    page.part("--fail-fast");
    page.text(FAIL_FAST);
    page.section("RECORDINGS");
    all(page, &RECORDINGS);
    page.section("SERVICES");
    page.text(SERVICES);
    page.section("SIGNALS");
    page.terms(&SIGNALS);
    page.text("A signal that was ignored when lxmon started, as SIGHUP by nohup(1), stays ignored.");
}

fn all(page: &mut Page, paragraphs: &[&str]) {
    for text in paragraphs {
        page.text(text);
    }
}

const SERVERS: [&str; 5] = [
    "Whatever lxc or incus reaches with its configuration, lxmon reaches. -v says of each remote where it is, how it \
     was verified, and how lxmon has logged in.",
    "Which client's configuration and sockets are used: those that --lxd or --incus ask for; else those of the client \
     whose environment variables are set; else those whose configuration knows the remote; else those of the server \
     whose socket answers, LXD first, and a notice names the other; else those that exist.",
    "The certificate of an HTTPS server is the pinned one, servercerts/NAME.crt, and no other. Without one, client.ca \
     decides, else the system's authorities and the name. TLS 1.3 is required. The login is a saved OIDC login, if the \
     remote is configured for one; else LXD_AUTH_BEARER_TOKEN, for LXD; else the client certificate. Connecting takes \
     at most 10 s; a server that has accepted the connection and is slow to answer is waited for, with a notice.",
    "If a remote of Incus has several addresses, each is tried in turn, beginning with the one that worked last. When \
     an OIDC login ends, the stream goes on; a reconnect that is refused is tried again until you have logged in with \
     the client.",
    "Public and simplestreams remotes have no events: they are an error.",
];

const CLUSTERS: [&str; 2] = [
    "Members of one cluster send the events of all. When several are followed, as remotes or with --cluster, an event \
     is printed once, and a member that is lost is no gap while another one has been followed for half a minute. What \
     only that member sends is missing: its own log messages, and what it does after a restart until it is followed \
     again.",
    "With --cluster the server is asked for the members, again about once a minute and whenever an event says that \
     they have changed; all are logged in to and verified like the remote, and their notices begin with REMOTE/MEMBER.",
];

const LOST: [(&str, &str); 8] = [
    (
        "while no connection is up",
        "Servers keep no events. What happened between the last event and the reconnect may be missing: a gap.",
    ),
    (
        "beyond --buffer",
        "A slow reader of the output delays the server only for a short time, because servers end the connections of \
         slow clients. Events that cannot be written yet wait in memory, up to --buffer, and under a limit of memory \
         (ulimit -v) up to half of what it leaves. When that is full, the newest events are dropped, counted, and \
         reported as a gap as soon as there is room again. A recording and the demonstration wait instead.",
    ),
    (
        "at the end",
        "After --timeout, writing continues while the output accepts data, for at most the same time again and at most \
         10 s; after a signal, for at most one second. The output ends at the end of a line, and the number of events \
         that were not written is reported. After a second signal, and SIGKILL, nothing more is written.",
    ),
    (
        "what a server does not send",
        "Before lxmon is subscribed: start what you want to see behind it, with -- COMMAND or after --ready-fd, or ask \
         for the state with --state. Debug and info messages of other cluster members. Types and projects that the \
         user may not see. These are not reported.",
    ),
    (
        "what is no event",
        "A message that is not a JSON object with a type is skipped; the first of each kind is shown, and all are \
         counted. One with more than 256 levels is skipped too. One of more than 64 MiB ends the connection: a gap.",
    ),
    (
        "in a file of --record",
        "Events that cannot be written because the disk is full are counted, and the file gets a record of type gap in \
         their place.",
    ),
    ("for --exec", "Events that wait for a slow command for longer than --buffer permits; see COMMANDS."),
    (
        "in pretty",
        "Log messages of level debug are not shown unless --loglevel asks for them, and of an operation only its end \
         is, except in a live row and to a pipe. This is not reported.",
    ),
];

const AFTER_LOSS: [&str; 2] = [
    "A server that is silent for 15 s is sent a ping, and its connection counts as lost after 15 s more; the time for \
     which the machine was suspended counts too. lxmon then tries again for ever: after 250 ms at first, then with \
     pauses up to 30 s; a local socket at least every 250 ms. With --no-reconnect it exits with status 1. The first \
     connection is not tried again, unless --retry is given, or other remotes are followed.",
    "Notices never block lxmon: when standard error accepts nothing, they wait in memory of 1 MiB, and are counted \
     beyond it.",
];

const EXEC: [&str; 1] = [
    "With --exec the selected events are given to a command, which /bin/sh runs: once for each event, in order, one at \
     a time. Its standard input is the event as --format json prints it. These variables are its parts, as far as it \
     has them. Nothing of an event is ever part of the command's text, so quote the variables as in any script: \
     \"$LXMON_INSTANCE\". A value that has a NUL or is too long for a variable (128 KiB) is left out, and stands on \
     standard input.",
];

const VARIABLES: [(&str, &str); 8] = [
    ("LXMON_TYPE", "The type of the event."),
    ("LXMON_ACTION, LXMON_SOURCE", "The action and the source of a lifecycle event; the action of a device event."),
    ("LXMON_PROJECT", "Its project."),
    ("LXMON_LOCATION", "The cluster member that it comes from."),
    ("LXMON_INSTANCE", "The instance that it is about; the first one of several."),
    ("LXMON_REMOTE", "The remote that has sent it."),
    ("LXMON_TIMESTAMP", "Its timestamp, as the server wrote it."),
    ("LXMON_COUNT", "The number of events of the run: 1 without --debounce."),
];

const EXEC_LIMITS: [&str; 3] = [
    "Without --format and --pretty (LXMON_FORMAT does not count) events are not printed, and the command's standard \
     output is that of lxmon; with one of them it is standard error. A command that fails is reported and ends \
     nothing.",
    "A slow command of --exec delays neither reading nor printing. Its events wait, in as much memory as --buffer \
     says; beyond that the newest are dropped, and their number is reported as soon as there is room. A recording or \
     the demonstration waits instead. When lxmon ends by itself, the command is still run for all events that wait. \
     After a signal, or when the reader of the command's output is gone, no further command is started: the running \
     one is waited for, at most 5 s, and the number of the other events is reported. A second signal ends lxmon at \
     once.",
    "With --debounce the command of --exec is run once for all events that came up to a pause of that length, and for \
     those that came while it ran once more. All of them are lines of its standard input; the variables are those of \
     the last. Events that come without a pause wait for at most ten times that length; if they take an eighth of \
     --buffer, for that length; if they take half of it, no longer.",
];

const COMMAND: [&str; 3] = [
    "-- COMMAND is started once every subscription is live, so that nothing that it causes is missed. It is no shell's \
     command line, but a program and its arguments. What it prints goes to standard error, as events own standard \
     output; it reads lxmon's standard input, and may use the terminal. --count counts the events from its start on.",
    "A command that fails ends lxmon with its status, after half a second in which what is on its way is printed. A \
     command that succeeds does so too, but with --count lxmon goes on until the number of events is reached. If the \
     number is reached first, or the reader of the output leaves, lxmon prints nothing more, waits for the command, \
     and exits with its status. Anything else that ends lxmon before the command has ended also ends the command: when \
     --timeout is over, it gets SIGTERM; at a failure with --fail-fast, a gap with --fail-on-gap, or a connection that \
     is lost for good, it gets SIGTERM unless it ends by itself within half a second. It is waited for, but for no \
     longer than 5 seconds; a notice says if it goes on.",
    "SIGINT, SIGTERM and SIGHUP that are sent to lxmon are forwarded to the command, and lxmon ends by the signal when \
     the command has ended, after 5 seconds, or at a second signal. The keys of a terminal reach both at once. A \
     command that goes on for 5 seconds after Ctrl-C has handled it, as interpreters do, and lxmon goes on too.",
];

const FAIL_FAST: &str = "--fail-fast judges events about what --instance, --project and --location select, as --failed \
     does, whatever --type, --action and the other options leave out of the output. So the server is asked for all \
     permitted types. The failure is printed as an error with its reason, after the events that came before it. If it \
     is a log line, up to half a second is waited for the operation that fails for the same reason, as only that says \
     why. With -- COMMAND, failures count from its start on, and until half a second after its end; a failure wins \
     over the status of the command. What happens first decides between a failure and --count or --timeout; an event \
     that is both the last one of --count and a failure is a failure.";

const RECORDINGS: [&str; 3] = [
    "With --record the selected events are also appended to a file, which is made readable only for its owner. Each \
     write has whole lines. SIGUSR1 opens the file again, for logrotate(8): postrotate pkill -USR1 -x lxmon. When \
     lxmon is killed within a write, the system can cut the last line; the next lxmon that records into the file ends \
     that line first.",
    "--replay reads several files, one after the other, each of which is JSON (one object per line, objects of several \
     lines as jq writes them, arrays) or YAML (as lxmon, lxc monitor and incus monitor print it). Of a recording that \
     is cut off or damaged the whole events are printed, and each damage is reported with its line. A file that is \
     something else, such as a compressed one, is an error that says what it is. An event that was recorded from \
     several remotes is printed with the name of its own.",
    "--demo plays a session of a cluster of LXD, from a server within lxmon over a real connection. What selects, \
     prints, stops and acts works with it as with a server.",
];

const SERVICES: &str = "Started by a service manager such as systemd (Type=notify), lxmon notifies it when every \
     subscription is live, sends as its status what is followed, how many events were printed and which connection is \
     lost, and sends signs of life from its event loop twice within the time of WatchdogSec. With --retry it waits for \
     a server that does not run yet, so TimeoutStartSec should be infinity.";

const SIGNALS: [(&str, &str); 5] = [
    (
        "SIGINT, SIGTERM, SIGHUP",
        "What has been received is written, for at most one second, and the terminal is restored. Then lxmon dies by \
         the signal. A second one ends it at once.",
    ),
    ("SIGUSR1", "The file of --record is opened again. Without --record it does nothing."),
    (
        "SIGTSTP (Ctrl-Z), SIGCONT",
        "lxmon is suspended; live rows are removed before, and drawn again when it continues. It reads nothing \
         meanwhile, so a server ends the connection of an lxmon that is suspended for long: a gap.",
    ),
    ("SIGQUIT (Ctrl-\\)", "lxmon dies at once; only the terminal is restored."),
    ("SIGWINCH", "The lines of pretty get the new width of the terminal."),
];
