//! How bash, zsh and fish request completions, and how candidates are quoted so that the shell cannot execute them.
//!
//! clap's own adapter for bash does not quote candidates, so the name of a project on a server could be run as a
//! command. Here, candidates for bash are quoted. zsh and fish quote candidates themselves, but read one per line. So
//! no shell is offered a candidate with a control character.

use std::ffi::{OsStr, OsString};
use std::path::Path;

use clap_complete::CompletionCandidate;
use unicode_properties::{GeneralCategory, UnicodeGeneralCategory as _};

/// What can stand at the cursor.
pub(super) enum Offer {
    Words(Vec<CompletionCandidate>),
    /// A file, whose path begins behind this text.
    Files(String),
    /// An argument of the command behind `--`.
    Command,
}

/// A shell with dynamic completion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shell {
    Bash,
    Fish,
    Zsh,
}

impl Shell {
    /// The shell of this name or path.
    pub(crate) fn named(name: &OsStr) -> Option<Self> {
        match Path::new(name).file_stem()?.to_str()? {
            "bash" => Some(Self::Bash),
            "fish" => Some(Self::Fish),
            "zsh" => Some(Self::Zsh),
            _ => None,
        }
    }

    /// What the shell is to execute so that it completes lxmon.
    pub(crate) fn script(self) -> &'static str {
        match self {
            Self::Bash => include_str!("../../completions/lxmon.bash"),
            Self::Fish => include_str!("../../completions/lxmon.fish"),
            Self::Zsh => include_str!("../../completions/_lxmon"),
        }
    }
}

/// A command line that is being typed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Line {
    /// All words of the line, as the program would get them; of the one to complete, what is before the cursor.
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

/// What bash says about its line besides the words.
#[derive(Clone, Copy, Debug)]
struct Typed<'a> {
    line: &'a str,
    /// Where the cursor is in it, in bytes.
    cursor: usize,
    /// The characters that separate words for bash's completion (`COMP_WORDBREAKS`).
    breaks: &'a str,
}

impl Line {
    /// The command line from `words`, which are the arguments after `--`, and from variables that the script has set.
    pub(crate) fn typed(shell: Shell, mut words: Vec<OsString>) -> Self {
        let variable = |name| std::env::var(name).ok();
        let last = words.len().saturating_sub(1);
        let index = variable("_LXMON_INDEX").and_then(|index| index.parse().ok());
        let mut target = if shell == Shell::Fish { last } else { index.unwrap_or(last) };
        if target >= words.len() {
            target = words.len();
            words.push(OsString::new());
        }
        match shell {
            Shell::Bash => {
                let [line, head, breaks] = ["_LXMON_LINE", "_LXMON_HEAD", "_LXMON_BREAKS"].map(variable);
                let line = line.unwrap_or_default();
                let cursor = head.map_or(line.len(), |head| head.len());
                let breaks = breaks.unwrap_or_default();
                Self::of_bash(&words, target, Typed { line: &line, cursor, breaks: &breaks })
            }
            // fish has unquoted all words except the one with the cursor.
            Shell::Fish => {
                words[target] = unquoted(&words[target]);
                Self { words, target, kept: String::new(), quotes: Quotes::None }
            }
            Shell::Zsh => {
                let words = words.iter().map(unquoted).collect();
                Self { words, target, kept: String::new(), quotes: Quotes::None }
            }
        }
    }

    /// The word to complete.
    pub(crate) fn target(&self) -> &OsStr {
        &self.words[self.target]
    }

    /// The index of the word to complete.
    pub(crate) fn index(&self) -> usize {
        self.target
    }

    /// The other words.
    pub(crate) fn others(&self) -> impl Iterator<Item = &OsString> {
        self.words.iter().enumerate().filter(|(number, _)| *number != self.target).map(|(_, word)| word)
    }

    /// The number of the word to complete, from 0, within `-- COMMAND`.
    pub(crate) fn word_of_command(&self) -> Option<usize> {
        let before = self.words.get(..self.target)?;
        before.iter().position(|word| word == "--").map(|at| self.target - at - 1)
    }

    /// Joins the words of bash, which also separates words at `:`, `=` and `@` (`COMP_WORDBREAKS`), and replaces only
    /// what is behind the last one.
    fn of_bash(raw: &[OsString], index: usize, typed: Typed<'_>) -> Self {
        let Typed { line, cursor, breaks } = typed;
        let is_break = |word: &str| !word.is_empty() && word.chars().all(|c| ":=@".contains(c) && breaks.contains(c));
        let mut joined = Self { words: Vec::new(), target: index, kept: String::new(), quotes: Quotes::None };
        // Where the joined word begins on the line, and where the one before ends.
        let (mut start, mut end) = (0, 0);
        let mut former = "";
        for (number, word) in raw.iter().enumerate() {
            let text = word.to_str().unwrap_or_default();
            let gap = line[end..].len() - line[end..].trim_start().len();
            let is_on_line = word.to_str().is_some() && line[end + gap..].starts_with(text);
            // The program's name is the first word.
            let joins = number > 1 && is_on_line && gap == 0 && (is_break(former) || is_break(text));
            if !joins {
                joined.words.push(OsString::new());
                start = end + gap;
            }
            let is_target = number == index;
            if is_target {
                joined.target = joined.words.len() - 1;
            }
            // What is joined to the word to complete is behind the cursor.
            let is_behind = joins && number > index && joined.target == joined.words.len() - 1;
            if is_on_line {
                end += gap + text.len();
            }
            if let Some(whole) = joined.words.last_mut().filter(|_| !is_behind) {
                if is_target && is_on_line {
                    let begun = line.get(start..cursor.min(end)).unwrap_or_default();
                    let (replaced, quotes) = replaced(begun, breaks);
                    joined.kept = unquoted_text(&begun[..replaced]);
                    joined.quotes = quotes;
                    *whole = unquoted_text(begun).into();
                } else {
                    whole.push(unquoted(word));
                }
            }
            former = text;
        }
        joined
    }
}

/// Where the part of an unfinished word begins that bash replaces, without the quotes in which that is.
fn replaced(word: &str, breaks: &str) -> (usize, Quotes) {
    let mut start = 0;
    // Where the quotes begin, and which ones.
    let mut open = None;
    let mut former = None;
    let mut characters = word.char_indices();
    while let Some((at, character)) = characters.next() {
        match (open, character) {
            (Some((_, Quotes::Single | Quotes::Dollar)), '\'') | (Some((_, Quotes::Double)), '"') => open = None,
            (None, '\'') if former == Some('$') => open = Some((at - 1, Quotes::Dollar)),
            (None, '\'') => open = Some((at, Quotes::Single)),
            (None, '"') => open = Some((at, Quotes::Double)),
            (None | Some((_, Quotes::Double | Quotes::Dollar)), '\\') => {
                characters.next();
            }
            (None, ':' | '=') if breaks.contains(character) => start = at + 1,
            // It is part of the word behind it, as bash completes the names of hosts so.
            (None, '@') if breaks.contains(character) => start = at,
            _ => {}
        }
        former = Some(character);
    }
    match open {
        None => (start, Quotes::None),
        Some((at, quotes)) if at == start => (start, quotes),
        Some(_) => (start, Quotes::Lost),
    }
}

/// A word without its quotes. The rules that bash, zsh and fish share are sufficient for comparing it with names.
fn unquoted(word: &OsString) -> OsString {
    word.to_str().map_or_else(|| word.clone(), |text| unquoted_text(text).into())
}

/// The same of text.
fn unquoted_text(text: &str) -> String {
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
    plain
}

impl Shell {
    /// The answer that the script reads: a line with the kind of what can stand at the cursor, and for words a line
    /// for each.
    pub(crate) fn answer(self, line: &Line, offer: Offer) -> String {
        let words = match offer {
            Offer::Command => return "command\n".to_owned(),
            Offer::Files(prefix) => {
                let prefix = prefix.strip_prefix(&line.kept).unwrap_or_default();
                return format!("files {prefix}").trim_end().to_owned() + "\n";
            }
            Offer::Words(candidates) => candidates.into_iter().filter(|candidate| self.can_offer(candidate)),
        };
        let value = |candidate: &CompletionCandidate| candidate.get_value().to_str().unwrap_or_default().to_owned();
        let help = |candidate: &CompletionCandidate| {
            candidate.get_help().and_then(|help| help.to_string().lines().next().map(str::to_owned))
        };
        let words: Vec<_> = match self {
            Self::Bash => bash_words(line, words.map(|candidate| value(&candidate))),
            Self::Fish => words
                .map(|candidate| match help(&candidate) {
                    Some(help) => format!("{}\t{help}", value(&candidate)),
                    None => value(&candidate),
                })
                .collect(),
            Self::Zsh => words
                .map(|candidate| {
                    let value = value(&candidate).replace('\\', r"\\").replace(':', r"\:");
                    help(&candidate).map_or(value.clone(), |help| format!("{value}:{}", help.replace('\\', r"\\")))
                })
                .collect(),
        };
        std::iter::once("words".to_owned()).chain(words).map(|word| word + "\n").collect()
    }

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
                let rest = unquoted_text(&rest).replace('\'', r"'\''");
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

#[cfg(test)]
mod tests {
    use super::*;

    /// The breaks of bash as it is.
    const BREAKS: &str = " \t\n\"'@><=;|&(:";

    /// The words of a line that ends at the cursor, whose words for bash are `raw`, and what bash is offered of `values`.
    fn bash(line: &str, raw: &[&str], breaks: &str, values: &[&str]) -> (Vec<String>, Vec<String>) {
        let raw: Vec<_> = raw.iter().map(OsString::from).collect();
        let line = Line::of_bash(&raw, raw.len() - 1, Typed { line, cursor: line.len(), breaks });
        assert_eq!(line.target, line.words.len() - 1);
        let offered = bash_words(&line, values.iter().map(ToString::to_string));
        (line.words.iter().map(|word| word.to_string_lossy().into_owned()).collect(), offered)
    }

    // These are what bash 5.2 sets: COMP_LINE and COMP_WORDS.
    #[test]
    fn words_that_bash_cuts_are_joined() {
        for (line, raw, words) in [
            (
                "lxmon n1: --project ",
                &["lxmon", "n1", ":", "--project", ""][..],
                &["lxmon", "n1:", "--project", ""][..],
            ),
            ("lxmon unix:/run/x -p", &["lxmon", "unix", ":", "/run/x", "-p"], &["lxmon", "unix:/run/x", "-p"]),
            ("lxmon unix: -p", &["lxmon", "unix", ":", "-p"], &["lxmon", "unix:", "-p"]),
            ("lxmon --project=we", &["lxmon", "--project", "=", "we"], &["lxmon", "--project=we"]),
            ("lxmon --project=", &["lxmon", "--project", "="], &["lxmon", "--project="]),
            (
                r"lxmon my\ remote: 'a b' ",
                &["lxmon", "my\\ remote", ":", "'a b'", ""],
                &["lxmon", "my remote:", "a b", ""],
            ),
            ("lxmon -p :", &["lxmon", "-p", ":"], &["lxmon", "-p", ":"]),
            ("lxmon --since 14:00 n", &["lxmon", "--since", "14", ":", "00", "n"], &["lxmon", "--since", "14:00", "n"]),
            ("lxmon -a x,@r", &["lxmon", "-a", "x,", "@", "r"], &["lxmon", "-a", "x,@r"]),
            ("lxmon  -p  ", &["lxmon", "-p", ""], &["lxmon", "-p", ""]),
            ("lxmon >x -p", &["lxmon", ">", "x", "-p"], &["lxmon", ">", "x", "-p"]),
            // Not what bash would set.
            ("", &["lxmon", "n1", ":"], &["lxmon", "n1", ":"]),
        ] {
            assert_eq!(bash(line, raw, BREAKS, &[]).0, words, "{line}");
        }
    }

    #[test]
    fn the_cursor_can_be_within_the_line() {
        let raw = ["lxmon", "--project", "=", "web", "n1", ":"].map(OsString::from);
        let text = "lxmon --project=web n1:";
        let line = Line::of_bash(&raw, 3, Typed { line: text, cursor: text.find('b').unwrap(), breaks: BREAKS });
        assert_eq!(line.words, ["lxmon", "--project=we", "n1:"]);
        assert_eq!((line.index(), &*line.kept), (1, "--project="));
    }

    #[test]
    fn bash_gets_what_it_can_put_on_its_line() {
        let typed = |word: &str, values: &[&str]| {
            bash(&format!("lxmon --project {word}"), &["lxmon", "--project", word], BREAKS, values).1
        };
        assert_eq!(typed("", &["$(touch x)", "a b"]), [r"\$\(touch\ x\)", r"a\ b"]);
        assert_eq!(typed("'my", &["my b", "my'b", "my$b"]), ["my b", "my$b"]);
        assert_eq!(typed("\"my", &["my b", "my'b", "my$b", "my!b", "my`b"]), ["my b", "my'b"]);
        assert_eq!(typed("$'my", &["my b", "my'b", "my\\b"]), ["my b"]);
        assert!(typed("a\"my", &["my b"]).is_empty());
        let option = ["lxmon", "--project", "=", "we"];
        assert_eq!(bash("lxmon --project=we", &option, BREAKS, &["--project=we b"]).1, [r"we\ b"]);
        assert_eq!(bash("lxmon --project=", &option[..3], BREAKS, &["--project=~"]).1, [r"\~"]);
        // Without `=` in COMP_WORDBREAKS, bash replaces the option too.
        let option = ["lxmon", "--project=we"];
        assert_eq!(bash("lxmon --project=we", &option, " \t\n", &["--project=we b"]).1, [r"--project=we\ b"]);
        // Bash replaces an @ with what is behind it.
        let state = ["lxmon", "-a", "x,", "@", "r"];
        assert_eq!(bash("lxmon -a x,@r", &state, BREAKS, &["x,@running"]).1, ["@running"]);
        // The common prefix must not be a lone backslash.
        assert_eq!(typed("", &["$a", "(b", "$it's"]), [r"'$a'", r"\(b", r"\$it\'s"]);
        assert_eq!(typed("", &["web$it's", "web(b"]), [r"web'$it'\''s'", r"web\(b"]);
        assert_eq!(typed("", &["$a", "$b"]), [r"\$a", r"\$b"]);
    }
}
