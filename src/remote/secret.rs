//! Texts that must not be shown.

use std::fmt;

/// A text that must not be shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// The token in `text`, without trailing line ends: an editor adds one, and `$(cat FILE)` keeps a carriage return.
///
/// # Errors
/// What `text` contains that is not allowed in a header value or would begin another header.
pub(super) fn token(text: &str) -> Result<Secret, &'static str> {
    let token = text.trim_end_matches(['\r', '\n']);
    match token.chars().find(|c| !c.is_ascii_graphic()) {
        None if token.is_empty() => Err("nothing but line ends"),
        None => Ok(Secret(token.to_owned())),
        Some('\r' | '\n') => Err("a line end"),
        Some(' ') => Err("a space"),
        Some(c) if c.is_control() => Err("a control character"),
        Some(_) => Err("a character that is not ASCII"),
    }
}
