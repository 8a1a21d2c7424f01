//! The files made from the command line's definition: completions and the man page.

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
    let man = Man::new(Cli::command()).title("LXMON").section("1").manual("User Commands").date(DATE);
    man.render_title(&mut out)?;
    man.render_name_section(&mut out)?;
    man.render_synopsis_section(&mut out)?;
    paragraphs(&mut out, "DESCRIPTION", DESCRIPTION)?;
    man.render_options_section(&mut out)?;
    terms(&mut out, "FORMATS", FORMATS)?;
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
    "lxmon connects to the event stream of an LXD or Incus server, picks the events that are wanted, and prints each as \
     YAML, JSON, logfmt or one line for people. Events go to standard output, everything else to standard error.",
    "REMOTE: is a name from the lxc or incus client configuration, or unix:/path/to/unix.socket. Without one the \
     configuration's default remote is followed, which is the local server unless it was changed.",
    "Events are put back in the order of their timestamps within a short window, because the servers send neighbours in \
     any order. Each member of a cluster is put in order by its own clock; servers and members whose clocks differ are merged \
     by timestamps corrected for that. Everything that the server sent before a connection ended is printed. A lost \
     connection is made again, for ever; what happened in between cannot be had from the server, so the gap is reported on \
     standard error.",
    "A slow reader of the output makes the server wait only shortly, because servers end the connections of slow clients. \
     What it has not read waits in memory, up to --buffer. When that is full, the newest events are dropped, counted, and \
     reported as a gap as soon as there is room again. When --timeout is over, writing goes on while the output moves, for \
     at most as long again and 10 s at most; after a signal for at most a second. The output ends at a line's end, and how \
     many events were not written is reported.",
    "With --gap-events the stream has a record of type gap when a connection is lost (\"until\":null), one when events come \
     again or lxmon ends, and one where events were dropped. Its metadata: remote; last_event, the server's timestamp of the \
     last event before the gap; since, until, seconds; reason; dropped, how many events were received and dropped.",
    "A value of a selection option that starts with ! excludes. Values of one option are alternatives, different options \
     must all hold. An event without the field that a pattern asks for does not match, but events that belong to no \
     project pass --project, as they do on the server.",
];

const FORMATS: &[(&str, &str)] = &[
    (
        "yaml",
        "One document per event, byte for byte what lxc monitor prints, but begun by --- and in favour of the truth where \
         that would not read back: numbers keep their digits, and what readers of YAML 1.1 and 1.2 take differently is \
         quoted with escapes. An event that would grow far beyond its size, because much is nested deeply in it, has its \
         metadata in flow style, as JSON has it, which reads back as the same.",
    ),
    (
        "json",
        "One event per line, the server's own bytes. With several remotes \"remote\" is put in as the first key, in place of \
         one that the event has.",
    ),
    ("pretty", "One line per event for people."),
    ("logfmt", "One line per event, as lxc monitor --pretty prints it."),
];

const EXAMPLES: &[(&str, &str)] = &[
    ("lxmon", "Follow the default remote and print every event of its project as YAML."),
    ("lxmon -A -p", "Every project, one line per event."),
    (
        "lxmon -a 'instance-*' -a '!instance-updated'",
        "What happens to instances, but for changes of their configuration.",
    ),
    ("lxmon -f json -t lifecycle | jq -r .metadata.action", "The names of the actions, for a script."),
    (
        "lxmon -n1 -a instance-started -i c1 --timeout 60s",
        "Wait until c1 has started; status 124 if it has not within a minute.",
    ),
    ("lxmon --loglevel warning -t logging", "What the server warns of."),
    ("lxmon -f json > events.ndjson; lxmon --replay events.ndjson -p -i db1", "Record now, look later."),
    ("lxmon unix:/var/lib/incus/unix.socket", "Follow the server behind a socket, whatever the configuration says."),
    ("lxmon n1: n2: incus1: -A -p", "Three remote servers in one terminal."),
    ("lxmon --demo -p", "See what it looks like, with nothing installed."),
];

const EXIT_STATUS: &[(&str, &str)] = &[
    (
        "0",
        "The end that was asked for: --count reached, --timeout without --count, the end of a recording or of the demonstration, or nobody reads the output any more.",
    ),
    (
        "1",
        "Something failed: the connection could not be made, was refused, or was lost with --no-reconnect; the output could not be written.",
    ),
    ("2", "The command line or the client configuration is invalid."),
    ("3", "A gap, with --fail-on-gap."),
    ("124", "--timeout passed before --count was reached."),
    (
        "128+N",
        "Ended by signal N, as a shell shows it: what was queued is written first, if that takes no longer than a second. As the first process of a container it exits with that status.",
    ),
];

const ENVIRONMENT: &[(&str, &str)] = &[
    ("LXMON_FORMAT", "The format when neither --format nor --pretty is given."),
    ("LXD_CONF, INCUS_CONF", "Directory of the client configuration."),
    ("LXD_GLOBAL_CONF, INCUS_GLOBAL_CONF", "Directory of the system-wide remotes."),
    ("LXC_REMOTE, INCUS_REMOTE", "The default remote."),
    ("INCUS_PROJECT", "The default project of Incus remotes."),
    (
        "LXD_SOCKET, LXD_DIR, INCUS_SOCKET, INCUS_DIR",
        "Where the local socket is: its path, or the directory with unix.socket in it.",
    ),
    ("LXD_AUTH_BEARER_TOKEN", "A token to log in to LXD remotes with, before any certificate."),
    ("HTTPS_PROXY, NO_PROXY", "The HTTP proxy on the way to HTTPS remotes, and the hosts that are reached without it."),
    ("INCUS_INSECURE_TLS", "When set, TLS 1.2 will do where TLS 1.3 is not spoken."),
    ("SSL_CERT_FILE, SSL_CERT_DIR", "The authorities that the system trusts, in place of the usual ones."),
    ("COMPLETE", "Set to bash, zsh or fish: print the script that completes command lines, then complete them."),
    (
        "NO_COLOR, CLICOLOR_FORCE, TERM",
        "With --color=auto: no colours; colours even to a pipe; no colours when TERM is dumb.",
    ),
    ("LC_ALL, LC_CTYPE, LANG", "Without a UTF-8 locale the pretty format keeps to ASCII glyphs."),
];

const FILES: &[(&str, &str)] = &[
    ("~/.config/lxc/config.yml, ~/snap/lxd/common/config/config.yml", "LXD's client configuration. It is only read."),
    ("~/.config/incus/config.yml", "Incus' client configuration. It is only read."),
    ("/etc/lxd/config.yml, /etc/incus/config.yml", "System-wide remotes."),
    ("servercerts/NAME.crt beside these files", "The certificate that was accepted for a remote: no other is taken."),
    (
        "client.ca, client.crt, client.key, oidctokens/ beside the user's file",
        "The authority for servers, the client's certificate and key, saved logins.",
    ),
    ("/var/snap/lxd/common/lxd/unix.socket, /var/lib/lxd/unix.socket", "LXD's local socket."),
    ("/run/incus/unix.socket, /var/lib/incus/unix.socket", "Incus' local socket."),
];
