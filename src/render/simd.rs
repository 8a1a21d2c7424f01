//! Tests the bytes of a text sixteen at a time.

use wide::u8x16;

/// Folds `with` over `text` in chunks of 16 bytes. Chunks may overlap, so the result of `with` must not depend on their
/// order or number. `None` if the text has less than eight bytes, which is too short to be worth it.
#[inline]
pub(super) fn fold<T>(text: &[u8], nothing: T, with: impl Fn(T, u8x16) -> T) -> Option<T> {
    let (chunks, rest) = text.as_chunks();
    // The last chunk contains the remainder and the bytes before it.
    let last = match (text.last_chunk(), text.first_chunk(), text.last_chunk()) {
        (Some(last), _, _) => *last,
        (None, Some(first), Some(last)) => halves(*first, *last),
        _ => return None,
    };
    let seen = chunks.iter().fold(nothing, |seen, chunk| with(seen, u8x16::new(*chunk)));
    Some(if rest.is_empty() { seen } else { with(seen, u8x16::new(last)) })
}

fn halves(first: [u8; 8], last: [u8; 8]) -> [u8; 16] {
    let mut both = [0; 16];
    both[..8].copy_from_slice(&first);
    both[8..].copy_from_slice(&last);
    both
}

/// Marks the bytes that are not printable ASCII.
#[inline]
pub(super) fn unusual(chunk: u8x16) -> u8x16 {
    chunk.min(u8x16::splat(0x1f)).simd_eq(chunk) | chunk.max(u8x16::splat(0x7f)).simd_eq(chunk)
}

/// Whether `text` is printable ASCII.
#[inline]
pub(super) fn is_usual(text: &[u8]) -> bool {
    match fold(text, u8x16::ZERO, |seen, chunk| seen | unusual(chunk)) {
        Some(seen) => seen.to_bitmask() == 0,
        None => text.iter().fold(true, |usual, byte| usual & matches!(byte, 0x20..0x7f)),
    }
}

/// Whether `text` consists of ASCII letters and digits, spaces, and `_-./`.
#[inline]
pub(super) fn is_words(text: &[u8]) -> bool {
    let between = |chunk: u8x16, first: u8, last: u8| {
        chunk.max(u8x16::splat(first)).simd_eq(chunk) & chunk.min(u8x16::splat(last)).simd_eq(chunk)
    };
    let words = |all: u8x16, chunk: u8x16| {
        let letters = between(chunk | u8x16::splat(0x20), b'a', b'z');
        // These have consecutive codes: `-./0123456789`.
        let others = between(chunk, b'-', b'9');
        let joints = chunk.simd_eq(u8x16::splat(b'_')) | chunk.simd_eq(u8x16::splat(b' '));
        all & (letters | others | joints)
    };
    match fold(text, u8x16::splat(0xff), words) {
        Some(all) => all.to_bitmask() == 0xffff,
        None => text.iter().all(|byte| matches!(byte, b'a'..=b'z' | b'A'..=b'Z' | b'-'..=b'9' | b'_' | b' ')),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_byte_counts_at_each_place() {
        for length in 0..40 {
            for byte in 0..=0xff {
                for at in 0..length {
                    let mut text = vec![b'a'; length];
                    text[at] = byte;
                    let is_word = byte.is_ascii_alphanumeric() || b"_-./ ".contains(&byte);
                    assert_eq!(is_words(&text), is_word, "{byte} at {at} of {length}");
                    assert_eq!(is_usual(&text), matches!(byte, b' '..=b'~'), "{byte} at {at} of {length}");
                }
            }
        }
    }
}
