//! What is meant by options that other programs have, and lxmon by another name.

use clap::error::{ContextKind, ContextValue, ErrorKind};

/// What to type in place of an unknown option, if it is one that can be guessed.
#[must_use]
pub fn hint(error: &clap::Error) -> Option<&'static str> {
    if error.kind() != ErrorKind::UnknownArgument {
        return None;
    }
    let Some(ContextValue::String(typed)) = error.get(ContextKind::InvalidArg) else { return None };
    let name = typed.split('=').next().unwrap_or(typed);
    let (_, hint) = MEANT.iter().find(|(names, _)| names.contains(&name))?;
    Some(hint)
}

/// Options of other programs, and what to type in their place.
const MEANT: &[(&[&str], &str)] = &[
    (
        &["-o", "--output", "--out", "--template"],
        "`-f json` sets the format (yaml, json, pretty or logfmt); `lxmon -f json > FILE` writes to a file",
    ),
    (&["--json"], "`-f json` prints JSON"),
    (&["--yaml"], "`-f yaml` prints YAML, which is the default"),
    (&["--logfmt"], "`-f logfmt` prints logfmt"),
    (&["-F", "--follow", "--tail", "--watch", "-w"], "leave it out: lxmon always follows"),
    (&["--reconnect", "--restart"], "leave it out: lxmon always reconnects"),
    (
        &["--filter", "--grep", "--match", "--select", "--where", "-e"],
        "select by type with `-t lifecycle`, by action with `-a 'instance-*'`, by instance with `-i c1`; \
         `lxmon --help` shows more",
    ),
    (
        &["--exclude", "--except", "--ignore", "--not", "--invert"],
        "a value that starts with '!' excludes: `-a '!instance-updated'`",
    ),
    (
        &["--event", "--events", "--kind"],
        "`-t TYPE` selects types, `-a GLOB` actions; `lxmon --list-actions` lists them",
    ),
    (&["--container", "--vm", "--name", "--id"], "`-i NAME` selects instances"),
    (&["--user", "--by", "--who"], "`--requestor NAME` selects who asked for it"),
    (&["--member", "--node", "--target"], "`--location NAME` selects cluster members"),
    (&["--all"], "`-A` follows every project"),
    (&["--level", "--severity", "--min-level"], "`--loglevel LEVEL` is the minimum level of log lines"),
    (&["--failure", "--errors", "--error"], "`--failed` shows what has failed"),
    (&["--limit", "--max", "--head", "--lines", "-c"], "`-n N` ends after N events"),
    (
        &["--wait", "--until-event", "--once"],
        "`-n1` waits for one event: `lxmon -n1 -a instance-started -i c1 --timeout 60s`",
    ),
    (&["--from", "--after", "--start"], "`lxmon --replay FILE --since TIME` shows what a recording has from a time on"),
    (&["--to", "--before", "--end"], "`lxmon --replay FILE --until TIME` shows what a recording has up to a time"),
    (&["--file", "--input", "--read", "-r"], "`--replay FILE` reads recorded events"),
    (&["--save", "--write", "--logfile", "--log-file", "--tee"], "`--record FILE` also writes the events to a file"),
    (
        &["--remote", "--server", "--host", "--url", "--address", "-H"],
        "a remote is an argument: `lxmon NAME:`, by its name from `lxc remote list` or `incus remote list`",
    ),
    (&["--socket", "--unix"], "a socket is an argument: `lxmon unix:/path/to/unix.socket`"),
    (&["--local"], "`--force-local` uses the local socket"),
    (&["--no-color", "--no-colour", "--nocolor", "--no-colors"], "`--color never` turns colours off"),
    (&["--utc"], "`--time utc` shows UTC"),
    (&["--iso", "--timestamps", "--rfc3339"], "`--time iso` shows the date too"),
    (&["--relative", "--delta"], "`--time delta` shows the time since the event before"),
    (&["--wide", "--no-truncate", "--full"], "`--no-trunc` never shortens a line"),
    (&["--window", "--sort"], "`--sort-window DURATION` is for how long events are put in order"),
    (
        &["-k", "--insecure", "--no-verify", "--accept-certificate"],
        "certificates are always verified; `lxc remote add NAME ADDRESS` shows and accepts one",
    ),
];

#[cfg(test)]
mod tests {
    use clap::{CommandFactory as _, Parser as _};

    use super::*;
    use crate::cli::Cli;

    #[test]
    fn every_one_has_a_hint_that_names_only_options_that_exist() {
        let command = Cli::command();
        let longs: Vec<_> = command.get_arguments().filter_map(clap::Arg::get_long).collect();
        for (names, text) in MEANT {
            for name in *names {
                for typed in [(*name).to_owned(), format!("{name}=x"), format!("{name}x")] {
                    let is_short = !name.starts_with("--");
                    if is_short || !typed.ends_with('x') || typed.contains('=') {
                        let error = Cli::try_parse_from(["lxmon", &typed]).unwrap_err();
                        assert_eq!(hint(&error), Some(*text), "{typed}: {error}");
                    }
                }
            }
            for option in
                text.split(|c: char| !c.is_ascii_alphanumeric() && c != '-').filter(|word| word.starts_with("--"))
            {
                assert!(["--help"].contains(&option) || longs.contains(&&option[2..]), "{option} in {text}");
            }
        }
        // Of misspelled options clap knows what is meant.
        assert_eq!(hint(&Cli::try_parse_from(["lxmon", "--instnace=x"]).unwrap_err()), None);
        assert_eq!(hint(&Cli::try_parse_from(["lxmon", "-n", "x"]).unwrap_err()), None);
    }
}
