//! The patterns of one selection option: globs of which one must match, and globs that exclude.

use wildmatch::WildMatch;

/// The prefix of a value that excludes.
const EXCLUDE: char = '!';

/// Whether a value of a selection option excludes.
#[must_use]
pub fn excludes(value: &str) -> bool {
    value.starts_with(EXCLUDE)
}

/// Whether a value of a selection option contains a wildcard.
#[must_use]
pub fn is_glob(value: &str) -> bool {
    value.contains(['*', '?'])
}

/// The globs of one option.
#[derive(Debug)]
pub(crate) struct Patterns {
    include: Vec<WildMatch>,
    exclude: Vec<WildMatch>,
}

impl Patterns {
    /// The patterns for these values. Values that start with `!` exclude.
    pub(crate) fn new(values: &[String]) -> Self {
        let globs = |excluding: bool| {
            values
                .iter()
                .filter(move |value| excludes(value) == excluding)
                .map(|value| WildMatch::new(value.strip_prefix(EXCLUDE).unwrap_or(value)))
                .collect()
        };
        Self { include: globs(false), exclude: globs(true) }
    }

    /// Whether an event passes whose field has these values: none of them may match an exclusion, and if there are
    /// other globs, one of the values must match one of them.
    pub(crate) fn admit<T: AsRef<str>>(&self, texts: impl IntoIterator<Item = T>) -> bool {
        let mut included = self.include.is_empty();
        for text in texts {
            let text = text.as_ref();
            if self.exclude.iter().any(|glob| glob.matches(text)) {
                return false;
            }
            included = included || self.include.iter().any(|glob| glob.matches(text));
        }
        included
    }
}
