//! How bash, zsh and fish request completions, and how candidates are quoted so that the shell cannot execute them.
//!
//! clap's own adapter for bash does not quote candidates, so the name of a project on a server could be run as a
//! command. Here, candidates for bash are quoted. zsh and fish quote candidates themselves, but read one per line. So
//! no shell is offered a candidate with a control character.

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::Path;

use clap_complete::CompletionCandidate;
use clap_complete::engine::complete;
use clap_complete::env::{EnvCompleter, Fish, Zsh};
use unicode_properties::{GeneralCategory, UnicodeGeneralCategory as _};

/// A shell with dynamic completion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shell {
    Bash,
    Fish,
    Zsh,
}

impl Shell {
    /// The shell in the variable `COMPLETE`, given by name or path.
    pub(crate) fn asking() -> Option<Self> {
        let name = std::env::var("COMPLETE").ok()?;
        let name = Path::new(&name).file_stem()?.to_str()?.to_owned();
        [Self::Bash, Self::Fish, Self::Zsh].into_iter().find(|shell| shell.is(&name))
    }
}

/// A command line that is being typed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Line {
    /// All words of the line, as the program would get them.
    pub(crate) words: Vec<OsString>,
    /// The index of the word to complete.
    target: usize,
    /// The beginning of that word that the shell does not replace.
    kept: String,
    quotes: Quotes,
}

/// The bash quotes in which the cursor is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Quotes {
    None,
    Single,
    Double,
    Dollar,
    /// An unknown state, in which nothing can be inserted safely.
    Lost,
}

impl Line {
    /// The command line from `words`, which are the arguments after `--`, and from variables that `shell` has set.
    pub(crate) fn typed(shell: Shell, mut words: Vec<OsString>) -> Self {
        let last = words.len().saturating_sub(1);
        let index = std::env::var("_CLAP_COMPLETE_INDEX").ok().and_then(|index| index.parse().ok());
        let mut target = if shell == Shell::Fish { last } else { index.unwrap_or(last) };
        if target >= words.len() {
            target = words.len();
            words.push(OsString::new());
        }
        match shell {
            Shell::Bash => Self::of_bash(&words, target, std::env::var("_LXMON_WORD").ok().as_deref()),
            // fish has unquoted all words except the one with the cursor.
            Shell::Fish => {
                words[target] = unquoted(&words[target]).0;
                Self { words, target, kept: String::new(), quotes: Quotes::None }
            }
            Shell::Zsh => {
                let words = words.iter().map(|word| unquoted(word).0).collect();
                Self { words, target, kept: String::new(), quotes: Quotes::None }
            }
        }
    }

    /// The number of the word to complete, from 0, within `-- COMMAND`.
    pub(crate) fn word_of_command(&self) -> Option<usize> {
        let before = self.words.get(..self.target)?;
        before.iter().position(|word| word == "--").map(|at| self.target - at - 1)
    }

    /// Joins the words of bash, which also splits words at `:` and `=` (`COMP_WORDBREAKS`), and replaces only
    /// `replaced` of the last one.
    fn of_bash(raw: &[OsString], cursor: usize, replaced: Option<&str>) -> Self {
        let mut line = Self { words: Vec::new(), target: cursor, kept: String::new(), quotes: Quotes::None };
        let mut is_joined = false;
        for (number, word) in raw.iter().enumerate() {
            let is_target = number == cursor;
            let text = word.to_str().unwrap_or_default();
            let last = line.words.last().and_then(|last| last.to_str()).filter(|_| line.words.len() > 1);
            let joins = match (last, text) {
                (Some(option), "=") => option.starts_with("--") && !option.contains('='),
                (Some(name), ":") => !name.is_empty() && !name.starts_with('-') && !name.contains(':'),
                _ => is_joined && (text.starts_with('/') || last != Some("unix:")),
            };
            let (plain, is_open) = unquoted(word);
            if !joins {
                line.words.push(OsString::new());
            }
            if is_target {
                line.target = line.words.len() - 1;
                line.kept = line.words[line.target].to_string_lossy().into_owned();
                let replaced = replaced.unwrap_or(text);
                line.quotes = match text.strip_suffix(replaced) {
                    Some("'") => Quotes::Single,
                    Some("\"") => Quotes::Double,
                    Some("$'") => Quotes::Dollar,
                    Some("") if !is_open => Quotes::None,
                    // The cursor is behind a word break.
                    Some(separator @ (":" | "=")) => {
                        line.kept.push_str(separator);
                        Quotes::None
                    }
                    _ => Quotes::Lost,
                };
            }
            if let Some(word) = line.words.last_mut() {
                word.push(plain);
            }
            let whole = line.words.last().and_then(|word| word.to_str()).unwrap_or_default();
            // Words are joined only where nothing but the cursor can be between them.
            is_joined = !is_target && (joins && text == "=" || whole == "unix:");
        }
        line
    }
}

/// A word without its quotes, and whether a quote is still open. The rules that bash, zsh and fish share are sufficient
/// for comparing it with names.
fn unquoted(word: &OsString) -> (OsString, bool) {
    let Some(text) = word.to_str() else { return (word.clone(), false) };
    let mut plain = String::with_capacity(text.len());
    let mut open = None;
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match (open, character) {
            (Some(quote), character) if character == quote => open = None,
            (None, '\'' | '"') => open = Some(character),
            (None | Some('"'), '\\') => plain.extend(characters.next()),
            (None, '$') if characters.as_str().starts_with('\'') => {}
            (_, character) => plain.push(character),
        }
    }
    (plain.into(), open.is_some())
}

impl EnvCompleter for Shell {
    fn name(&self) -> &'static str {
        match self {
            Self::Bash => "bash",
            Self::Fish => "fish",
            Self::Zsh => "zsh",
        }
    }

    fn is(&self, name: &str) -> bool {
        name == self.name()
    }

    fn write_registration(
        &self,
        var: &str,
        name: &str,
        bin: &str,
        completer: &str,
        out: &mut dyn Write,
    ) -> io::Result<()> {
        match self {
            Self::Bash => {
                let completer = format!("'{}'", completer.replace('\'', r"'\''"));
                let script = BASH.replace("VAR", var).replace("BIN", bin).replace("COMPLETER", &completer);
                out.write_all(script.as_bytes())
            }
            Self::Fish => Fish.write_registration(var, name, bin, completer, out),
            Self::Zsh => Zsh.write_registration(var, name, bin, completer, out),
        }
    }

    fn write_complete(
        &self,
        command: &mut clap::Command,
        words: Vec<OsString>,
        directory: Option<&Path>,
        out: &mut dyn Write,
    ) -> io::Result<()> {
        let line = Line::typed(*self, words);
        // Errors are about lines without completions. They are not printed, as they would disturb a user who is typing.
        let candidates = complete(command, line.words.clone(), line.target, directory).unwrap_or_default();
        let candidates: Vec<_> = candidates.iter().filter(|candidate| self.can_offer(candidate)).collect();
        let value = |candidate: &CompletionCandidate| candidate.get_value().to_str().unwrap_or_default().to_owned();
        let help = |candidate: &CompletionCandidate| {
            candidate.get_help().and_then(|help| help.to_string().lines().next().map(str::to_owned))
        };
        let words = match self {
            Self::Bash => bash_words(&line, candidates.into_iter().map(value)),
            Self::Fish => candidates
                .into_iter()
                .map(|candidate| match help(candidate) {
                    Some(help) => format!("{}\t{help}", value(candidate)),
                    None => value(candidate),
                })
                .collect(),
            Self::Zsh => candidates
                .into_iter()
                .map(|candidate| {
                    let value = value(candidate).replace('\\', r"\\").replace(':', r"\:");
                    help(candidate).map_or(value.clone(), |help| format!("{value}:{}", help.replace('\\', r"\\")))
                })
                .collect(),
        };
        let separator = std::env::var("_CLAP_IFS").ok().filter(|_| *self != Self::Fish);
        out.write_all(words.join(separator.as_deref().unwrap_or("\n")).as_bytes())?;
        if *self == Self::Fish && !words.is_empty() { out.write_all(b"\n") } else { Ok(()) }
    }
}

impl Shell {
    /// Whether a candidate can be offered safely: only visible characters, and no text that the shell would expand.
    fn can_offer(self, candidate: &CompletionCandidate) -> bool {
        let Some(value) = candidate.get_value().to_str() else { return false };
        // fish does not quote a tilde, and would expand it to a home directory.
        is_plain(value) && !(self == Self::Fish && value.starts_with('~'))
    }
}

/// Whether `text` has only visible characters and spaces.
pub(crate) fn is_plain(text: &str) -> bool {
    text.chars().all(|character| {
        character == ' '
            || !(character.is_whitespace()
                || matches!(
                    character.general_category(),
                    GeneralCategory::Control | GeneralCategory::Format | GeneralCategory::PrivateUse
                ))
    })
}

/// The candidates in the form in which bash inserts them into its line.
fn bash_words(line: &Line, values: impl Iterator<Item = String>) -> Vec<String> {
    let values = values.filter_map(|value| value.strip_prefix(&line.kept).map(str::to_owned));
    let values = values.filter(|value| !value.is_empty());
    let is_free_of = |value: &String, characters: &[char]| !value.contains(characters);
    match line.quotes {
        Quotes::Lost => Vec::new(),
        // bash closes the quotes. Candidates with characters that would have to be escaped in them are not offered.
        Quotes::Single => values.filter(|value| is_free_of(value, &['\''])).collect(),
        Quotes::Dollar => values.filter(|value| is_free_of(value, &['\'', '\\'])).collect(),
        Quotes::Double => values.filter(|value| is_free_of(value, &['"', '\\', '$', '`', '!'])).collect(),
        Quotes::None => {
            let values: Vec<_> = values.collect();
            let mut words: Vec<_> = values.iter().map(|value| escaped(value)).collect();
            // bash inserts the common prefix of the words. If it ended in an unpaired backslash, that would quote the
            // next typed character.
            let common = common_prefix(&words);
            let backslashes = common.len() - common.trim_end_matches('\\').len();
            if let [first, _, ..] = &mut words[..]
                && backslashes % 2 == 1
            {
                let rest = first[common.len() - 1..].to_owned();
                let rest = unquoted(&rest.into()).0.to_string_lossy().replace('\'', r"'\''");
                *first = format!("{}'{rest}'", &common[..common.len() - 1]);
            }
            words
        }
    }
}

/// `text` with a backslash before every character that is special in bash.
fn escaped(text: &str) -> String {
    let mut word = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_ascii() && !character.is_ascii_alphanumeric() && !"-_./,+@%^:=".contains(character) {
            word.push('\\');
        }
        word.push(character);
    }
    word
}

/// The common prefix of all words.
fn common_prefix(words: &[String]) -> String {
    let Some((first, others)) = words.split_first() else { return String::new() };
    let mut length = first.len();
    for other in others {
        let same = first.char_indices().zip(other.chars()).find(|((_, one), two)| one != two);
        length = length.min(same.map_or(other.len(), |((at, _), _)| at));
    }
    first[..length].to_owned()
}

/// The completion function for bash. It reads the candidates line by line, because an unquoted expansion would also be
/// subject to file name expansion.
const BASH: &str = r#"_lxmon_complete() {
    local word
    COMPREPLY=()
    while IFS= read -r word; do
        [[ -n $word ]] && COMPREPLY+=("$word")
    done < <(
        _CLAP_IFS=$'\n' _CLAP_COMPLETE_INDEX=$COMP_CWORD _LXMON_WORD=$2 VAR=bash \
            COMPLETER -- "${COMP_WORDS[@]}" 2>/dev/null
        echo
    )
    if [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == *[=/] ]]; then
        compopt -o nospace 2>/dev/null
    fi
    return 0
}
complete -o bashdefault -o nosort -F _lxmon_complete BIN 2>/dev/null ||
    complete -o bashdefault -F _lxmon_complete BIN
"#;

#[cfg(test)]
mod tests {
    use super::*;

    fn bash(words: &[&str], replaced: &str, values: &[&str]) -> (Vec<String>, Vec<String>) {
        let raw: Vec<_> = words.iter().map(OsString::from).collect();
        let line = Line::of_bash(&raw, raw.len() - 1, Some(replaced));
        assert_eq!(line.target, line.words.len() - 1);
        let offered = bash_words(&line, values.iter().map(ToString::to_string));
        (line.words.iter().map(|word| word.to_string_lossy().into_owned()).collect(), offered)
    }

    #[test]
    fn words_that_bash_cuts_are_joined() {
        for (raw, replaced, words) in [
            (&["lxmon", "n1", ":", "--project", ""][..], "", &["lxmon", "n1:", "--project", ""][..]),
            (&["lxmon", "unix", ":", "/run/x", "-p"], "-p", &["lxmon", "unix:/run/x", "-p"]),
            (&["lxmon", "unix", ":", "-p"], "-p", &["lxmon", "unix:", "-p"]),
            (&["lxmon", "--project", "=", "we"], "we", &["lxmon", "--project=we"]),
            (&["lxmon", "--project", "="], "", &["lxmon", "--project="]),
            (&["lxmon", "my\\ remote", ":", "'a b'", ""], "", &["lxmon", "my remote:", "a b", ""]),
            (&["lxmon", "-p", ":"], ":", &["lxmon", "-p", ":"]),
        ] {
            assert_eq!(bash(raw, replaced, &[]).0, words);
        }
    }

    #[test]
    fn bash_gets_what_it_can_put_on_its_line() {
        let typed = |word, replaced, values: &[&str]| bash(&["lxmon", "--project", word], replaced, values).1;
        assert_eq!(typed("", "", &["$(touch x)", "a b"]), [r"\$\(touch\ x\)", r"a\ b"]);
        assert_eq!(typed("'my", "my", &["my b", "my'b", "my$b"]), ["my b", "my$b"]);
        assert_eq!(typed("\"my", "my", &["my b", "my'b", "my$b", "my!b", "my`b"]), ["my b", "my'b"]);
        assert_eq!(typed("$'my", "my", &["my b", "my'b", "my\\b"]), ["my b"]);
        assert!(typed("a\"my", "my", &["my b"]).is_empty());
        assert_eq!(bash(&["lxmon", "--project", "=", "we"], "we", &["--project=we b"]).1, [r"we\ b"]);
        assert_eq!(bash(&["lxmon", "--project", "="], "", &["--project=~"]).1, [r"\~"]);
        // The common prefix must not be a lone backslash.
        assert_eq!(typed("", "", &["$a", "(b", "$it's"]), [r"'$a'", r"\(b", r"\$it\'s"]);
        assert_eq!(typed("", "", &["web$it's", "web(b"]), [r"web'$it'\''s'", r"web\(b"]);
        assert_eq!(typed("", "", &["$a", "$b"]), [r"\$a", r"\$b"]);
    }
}
