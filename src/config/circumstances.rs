//! The first lines of `--debug`: what the reader of a bug report asks first about the program, the machine, the terminal
//! and the environment. No secret is among them: of variables that can hold one, only the names are shown.

use std::fs::File;
use std::io::{self, IsTerminal, Read as _};
use std::os::fd::AsFd;

use log::{Level, debug, log_enabled};
use rustix::fs::{FileType, fstat};

use super::{locale, speaks_utf8};
use crate::system::clock::local_now;
use crate::system::descriptors;
use crate::system::environment::Environment;
use crate::system::terminal;

/// How much of the file that names the distribution is read, in bytes. It has some hundred.
const LONGEST_RELEASE: u64 = 64 << 10;

/// The beginnings of the names of variables that lxmon or its libraries read.
const VARIABLES: [&str; 14] = [
    "LXMON_",
    "LXD_",
    "LXC_",
    "INCUS_",
    "SSL_CERT_",
    "HTTPS_PROXY",
    "https_proxy",
    "NO_PROXY",
    "no_proxy",
    "XDG_CONFIG_HOME",
    "NOTIFY_SOCKET",
    "NO_COLOR",
    "CLICOLOR",
    "TZ",
];

/// With `--debug`, prints in which circumstances lxmon was started.
pub(crate) fn report(environment: &Environment) {
    if !log_enabled!(Level::Debug) {
        return;
    }
    debug!("{}", program());
    debug!("{}", machine());
    debug!("started at {}", local_now().to_rfc3339());
    let [stdin, stdout, stderr] = [
        if descriptors::stdin_was_closed() { "closed".into() } else { stream(&io::stdin()) },
        if descriptors::stdout_was_closed() { "closed".into() } else { stream(&io::stdout()) },
        stream(&io::stderr()),
    ];
    debug!("standard input: {stdin}; standard output: {stdout}; standard error: {stderr}");
    debug!("{}", locale_and_terminal(environment));
    debug!("{}", variables(environment));
}

fn program() -> String {
    let build = if cfg!(debug_assertions) { ", a debug build" } else { "" };
    let jq = if cfg!(feature = "jq") { "with" } else { "without" };
    format!(
        "lxmon {} for {} {}{build}, {jq} --jq",
        crate::system::VERSION,
        std::env::consts::OS,
        std::env::consts::ARCH
    )
}

fn machine() -> String {
    let kernel = rustix::system::uname();
    let text = |text: &std::ffi::CStr| text.to_string_lossy().into_owned();
    let (system, release, machine) = (text(kernel.sysname()), text(kernel.release()), text(kernel.machine()));
    let distribution = distribution().unwrap_or_else(|| "a distribution without a name".into());
    let processors = std::thread::available_parallelism().map_or_else(|_| "?".into(), |count| count.to_string());
    let user = rustix::process::geteuid().as_raw();
    format!("{system} {release} {machine}, {distribution}; processors: {processors}; user {user}")
}

/// The name of the distribution (os-release(5)).
fn distribution() -> Option<String> {
    let mut text = String::new();
    let file = File::open("/etc/os-release").or_else(|_| File::open("/usr/lib/os-release")).ok()?;
    file.take(LONGEST_RELEASE).read_to_string(&mut text).ok()?;
    let name = text.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="))?;
    Some(name.trim_matches(['"', '\'']).to_owned())
}

/// What kind of file a standard stream is.
fn stream(stream: &(impl IsTerminal + AsFd)) -> String {
    if stream.is_terminal() {
        return match terminal::size_of(stream) {
            Some(size) => format!("a terminal of {} columns and {} lines", size.columns, size.lines),
            None => "a terminal that does not know its size".into(),
        };
    }
    let kind = fstat(stream).map(|stat| FileType::from_raw_mode(stat.st_mode));
    match kind {
        Ok(FileType::RegularFile) => "a file",
        Ok(FileType::Fifo) => "a pipe",
        Ok(FileType::Socket) => "a socket",
        Ok(FileType::CharacterDevice) => "a device",
        _ => "something else",
    }
    .into()
}

fn locale_and_terminal(environment: &Environment) -> String {
    let shown = |name: &str| environment.var(name).map(|value| value.to_string_lossy().into_owned());
    let term = shown("TERM").unwrap_or_else(|| "not set".into());
    let locale = match locale(environment) {
        Some((name, value)) => format!("{} ({name})", value.to_string_lossy()),
        None => "not set".into(),
    };
    let encoding = if speaks_utf8(environment) { "UTF-8" } else { "not UTF-8" };
    format!("TERM: {term}; locale: {locale}, {encoding}")
}

/// The names of the variables that can matter. Some hold tokens and passwords, and those that name files and servers show
/// in what is read later.
fn variables(environment: &Environment) -> String {
    let is_read = |name: &&str| VARIABLES.iter().any(|beginning| name.starts_with(beginning));
    let mut names: Vec<_> = environment.names().filter(is_read).collect();
    names.sort_unstable();
    if names.is_empty() {
        return "no variable that matters is set".into();
    }
    format!("variables that are set: {}", names.join(", "))
}
