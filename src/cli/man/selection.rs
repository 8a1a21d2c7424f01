//! Of the man page: what the program is, and which events it selects.

use super::page::Page;

pub(super) fn describe(page: &mut Page) {
    page.section("DESCRIPTION");
    for text in DESCRIPTION {
        page.text(text);
    }
}

pub(super) fn write(page: &mut Page) {
    page.section("SELECTION");
    for text in SELECTION {
        page.text(text);
    }
}

const DESCRIPTION: [&str; 4] = [
    "lxmon connects to the event stream of an LXD or Incus server, selects events, and prints each as YAML, JSON, \
     logfmt or one line for people. Events go to standard output, everything else to standard error.",
    "REMOTE: is a name from the lxc or incus client configuration, or unix:/path/to/unix.socket. Without one the \
     configuration's default remote is followed, which is the local server unless it was changed. See SERVERS.",
    "Events are sorted by their timestamps within a short window, because the servers may send neighbouring events in \
     any order. A lone event is printed 25 ms after it came, one of many up to about a tenth of a second after, to save \
     CPU time; with --sort-window 0 each is printed at once. The events of each cluster member are sorted by its own \
     clock; servers and members whose clocks differ are merged by corrected timestamps. Everything that the server sent \
     before a connection ended is printed. lxmon reconnects after a lost connection, and never gives up. Events that \
     happened in between cannot be requested from the server, so the gap is reported. See WHAT CAN BE LOST.",
    "lxmon never writes to the files of the clients, and asks a server for nothing but events, unless more is needed: \
     for --state and --cluster, with several remotes, which can be members of one cluster, and for the version of the \
     server in the first line of pretty on a terminal.",
];

const SELECTION: [&str; 6] = [
    "Every selection option takes several values. Values of one option are alternatives, different options must all \
     hold, and a value that starts with ! excludes, whatever else selects the event. An event without the field that a \
     pattern asks for does not match, but events that belong to no project pass --project, as they do on the server, \
     unless they are log lines about another project. A value that is no pattern is an error that says where. \\, is a \
     comma.",
    "--instance selects an instance by what an event says of it: the path in a lifecycle or operation event, the \
     request or the name of an audit record, the context of a log line. An instance that matched and is renamed stays \
     selected by its new name; an exclusion is by name only.",
    "--requestor none selects the events of types that say who asked (lifecycle, operation, security) but that name \
     nobody, as those of the server's own tasks; operations of Incus, and of LXD before 5.21.5 and 6.6, never name \
     anybody. Other events, such as log lines, have no requestor: no pattern matches them, and no exclusion excludes \
     them. A user who is called none is selected by */none.",
    "--failed does not ask the server for certain types, because log lines are only for users with rights on the whole \
     server: without --type the server sends the types that are permitted. A cancelled operation has not failed. An \
     operation and those that it has started are judged each by its own events.",
    "-a @running matches an instance that runs: its state (Running, or Ready, which a guest can report), and the \
     actions instance-started, -restarted and -resumed; -a @stopped its state Stopped, and instance-stopped and \
     -shutdown. Both ask for the state as --state does. Other values of -a match no state.",
    "--since and --until are for --replay, as servers keep no events. Events without a readable timestamp are left out \
     then.",
];
