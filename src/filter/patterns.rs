//! The values of one option: globs of which one must match, and globs that exclude.

use wildmatch::WildMatch;

/// What `!` in front of a value makes of it.
const EXCLUDE: char = '!';

/// Whether a value of a selection option excludes.
#[must_use]
pub fn excludes(value: &str) -> bool {
    value.starts_with(EXCLUDE)
}

/// Whether a value of a selection option stands for more than the text that it is.
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
    /// Values that start with `!` exclude.
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

    /// Whether an event passes that shows the option these texts. One that matches an exclusion decides; else one
    /// must match a positive glob, if there are any.
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
