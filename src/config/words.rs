//! What is meant by an argument that is not a remote.

use std::path::Path;

use clap::ValueEnum as _;

use crate::event::Type;
use crate::event::catalogue;
use crate::remote;
use crate::render::Format;
use crate::report::exit::Fault;
use crate::report::suggest;
use crate::system::environment::Environment;

/// # Errors
/// One of the arguments has no colon, so it is no remote. The hint says what to type.
pub(super) fn check(words: &[String], environment: &Environment) -> Result<(), Fault> {
    match words.iter().find(|word| !word.contains(':')) {
        None => Ok(()),
        Some(word) => Err(Fault::usage(format!("{word:?} is not a remote: its name ends with a colon"))
            .hint(format!("did you mean `lxmon {}`?", meant(word, environment)))),
    }
}

/// What a word without a colon may mean, as arguments.
fn meant(word: &str, environment: &Environment) -> String {
    let remotes = remote::names(None, environment);
    if remotes.iter().any(|name| name == word) {
        return format!("{word}:");
    }
    if let Some(kind) = Type::meant_by(word) {
        return format!("-t {}", kind.name());
    }
    if catalogue::matching(|name| name == word).next().is_some() {
        return format!("-a {word}");
    }
    if let Ok(format) = Format::from_str(word, true)
        && let Some(value) = format.to_possible_value()
    {
        return format!("-f {}", value.get_name());
    }
    let path = Path::new(word);
    if word.starts_with("/1.0/") {
        return format!("--source {}", quoted(word));
    }
    if path.is_file() {
        return format!("--replay {}", quoted(word));
    }
    if word.contains('/') {
        return quoted(&format!("unix:{word}"));
    }
    match suggest::nearest(word, remotes.iter().map(String::as_str)).first() {
        Some(name) => format!("{name}:"),
        None => format!("-i {}", quoted(word)),
    }
}

/// The word as a shell reads it.
fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-:+@%,".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}
