//! The patterns of one selection option: globs of which one must match, and globs that exclude.

use super::glob::{Glob, literal};

/// The prefix of a value that excludes.
const EXCLUDE: char = '!';

/// Whether a value of a selection option excludes.
#[must_use]
pub fn excludes(value: &str) -> bool {
    split_exclusion(value).0
}

/// Whether a value of a selection option excludes, and the value without the mark of that.
pub(crate) fn split_exclusion(value: &str) -> (bool, &str) {
    value.strip_prefix(EXCLUDE).map_or((false, value), |rest| (true, rest))
}

/// Whether a value of a selection option contains a wildcard.
#[must_use]
pub fn is_glob(value: &str) -> bool {
    literal(value).is_none()
}

/// The globs of one option.
#[derive(Debug)]
pub(crate) struct Patterns {
    include: Vec<Glob>,
    exclude: Vec<Glob>,
}

impl Patterns {
    /// The patterns for these values. Values that start with `!` exclude. One that cannot be compiled, which the command
    /// line refuses ([`super::values`]), stands for itself.
    pub(crate) fn new(values: &[String]) -> Self {
        let globs = |excluding: bool| {
            values
                .iter()
                .filter(move |value| excludes(value) == excluding)
                .map(|value| split_exclusion(value).1)
                .map(|pattern| Glob::new(pattern).unwrap_or_else(|_| Glob::of_text(pattern)))
                .collect()
        };
        Self { include: globs(false), exclude: globs(true) }
    }

    /// Whether an event passes whose field has these values: none of them may match an exclusion, and if there are
    /// other globs, one of the values must match one of them.
    pub(crate) fn admit<T: AsRef<str>>(&self, texts: impl IntoIterator<Item = T>) -> bool {
        let mut included = !self.must_match();
        for text in texts {
            let text = text.as_ref();
            if self.exclude(text) {
                return false;
            }
            included = included || self.include(text);
        }
        included
    }

    /// Whether there are globs of which one must match.
    pub(crate) fn must_match(&self) -> bool {
        !self.include.is_empty()
    }

    /// Whether one of the globs that do not exclude matches.
    pub(crate) fn include(&self, text: &str) -> bool {
        self.include.iter().any(|glob| glob.matches(text))
    }

    /// Whether a glob that excludes matches.
    pub(crate) fn exclude(&self, text: &str) -> bool {
        self.exclude.iter().any(|glob| glob.matches(text))
    }
}
