//! go-yaml v2's order of keys (`sorter.go`): digits inside keys are compared by the value of the number, and letters
//! come after all other characters.
//!
//! ```text
//!   - _ 1 1b 2 10 A a a-b a1 a2 a10 ab
//!
//!   2  < 10     as numbers: 2 < 10
//!   10 < A      a digit is not a letter, so it comes first
//!   a2 < a10    after the common "a", as numbers
//!   a10 < ab    a digit is not a letter, so it comes first
//! ```
//!
//! It is not a total order: `9a` < `10` < `99` < `9a`.

use std::cmp::{Ordering, Reverse};

use unicode_properties::{GeneralCategory, GeneralCategoryGroup, UnicodeGeneralCategory as _};

use crate::event::json::Value;

/// Up to this many keys, quadratic algorithms are used: they are faster for small mappings, as most are.
const SMALL: usize = 12;

/// A key of a mapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Key {
    /// The index of the key on the tape.
    pub(super) index: u32,
    /// The first eight bytes, as a big-endian number. Of two plain keys, the one with the lesser prefix comes first.
    prefix: u64,
    /// Whether the prefix consists of [plain bytes](IS_PLAIN).
    is_plain: bool,
}

impl Key {
    /// The key called `name`.
    #[inline]
    pub(super) fn new(name: &str, index: u32) -> Self {
        let prefix = name.as_bytes().first_chunk().copied().unwrap_or_else(|| {
            let mut filled = [0; 8];
            filled[..name.len()].copy_from_slice(name.as_bytes());
            filled
        });
        let is_plain = prefix.iter().fold(true, |plain, byte| plain & IS_PLAIN[usize::from(*byte)]);
        Self { index, prefix: u64::from_be_bytes(prefix), is_plain }
    }
}

/// The plain bytes: those that go-yaml compares by their codes. Nearly all keys consist of them: lower case letters,
/// and `_`, `-` and `.` between words. The zero byte, which fills the prefix of a short key, is one too.
static IS_PLAIN: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = b'a';
    while byte <= b'z' {
        table[byte as usize] = true;
        byte += 1;
    }
    table[0] = true;
    table[b'_' as usize] = true;
    table[b'-' as usize] = true;
    table[b'.' as usize] = true;
    table
};

/// Sorts the keys of `mapping`, which begin at `start`, and removes those of which a duplicate comes later.
pub(super) fn sort(mapping: Value<'_>, keys: &mut Vec<Key>, start: usize, spare: &mut Vec<Key>) {
    let plain = keys[start..].iter().all(|key| key.is_plain);
    if plain {
        keys[start..].sort_unstable_by_key(|key| key.prefix);
        if keys[start..].windows(2).all(|pair| pair[0].prefix != pair[1].prefix) {
            return;
        }
        keys[start..].sort_unstable_by_key(|key| key.index);
    }
    drop_doubles(keys, start, |key| mapping.key(key.index).cow());
    merge_sort(&mut keys[start..], spare, &|a, b| {
        if plain && a.prefix != b.prefix {
            return a.prefix.cmp(&b.prefix);
        }
        compare(&mapping.key(a.index).cow(), &mapping.key(b.index).cow())
    });
}

/// A merge sort, because go-yaml's comparison is not a total order: the standard library's sorts may panic on one, and
/// a merge sort always terminates.
fn merge_sort(keys: &mut [Key], spare: &mut Vec<Key>, compare: &impl Fn(&Key, &Key) -> Ordering) {
    if keys.len() <= SMALL {
        for end in 1..keys.len() {
            let mut at = end;
            while at > 0 && compare(&keys[at], &keys[at - 1]).is_lt() {
                keys.swap(at, at - 1);
                at -= 1;
            }
        }
        return;
    }
    let middle = keys.len() / 2;
    merge_sort(&mut keys[..middle], spare, compare);
    merge_sort(&mut keys[middle..], spare, compare);
    spare.clear();
    spare.extend_from_slice(&keys[..middle]);
    let (mut left, mut right, mut at) = (0, middle, 0);
    while left < spare.len() {
        if right < keys.len() && compare(&keys[right], &spare[left]).is_lt() {
            keys[at] = keys[right];
            right += 1;
        } else {
            keys[at] = spare[left];
            left += 1;
        }
        at += 1;
    }
}

/// Removes keys of which a duplicate comes later. The keys must be in the order of the message. Their order afterwards
/// is not specified.
fn drop_doubles<N: Ord>(keys: &mut Vec<Key>, start: usize, name: impl Fn(&Key) -> N) {
    let is_same = |a: &Key, b: &Key| a.prefix == b.prefix && name(a) == name(b);
    if keys.len() - start <= SMALL {
        let mut at = start;
        while at < keys.len() {
            let this = keys[at];
            if keys[at + 1..].iter().any(|later| is_same(&this, later)) {
                keys.remove(at);
            } else {
                at += 1;
            }
        }
        return;
    }
    // Of duplicates, the last one is sorted first, and the first one is kept.
    keys[start..].sort_unstable_by_key(|key| (name(key), Reverse(key.index)));
    let mut end = start;
    for at in start..keys.len() {
        if end == start || !is_same(&keys[at], &keys[end - 1]) {
            keys[end] = keys[at];
            end += 1;
        }
    }
    keys.truncate(end);
}

/// Compares two keys in go-yaml's order. Only equal texts are equal.
pub(super) fn compare(a: &str, b: &str) -> Ordering {
    let common = a.bytes().zip(b.bytes()).take_while(|(a, b)| a == b).count();
    if common == a.len().min(b.len()) {
        return a.len().cmp(&b.len());
    }
    let start = (0..=common).rev().find(|at| a.is_char_boundary(*at)).unwrap_or(0);
    let (Some(x), Some(y)) = (a[start..].chars().next(), b[start..].chars().next()) else {
        return a.cmp(b);
    };
    match (is_letter(x), is_letter(y)) {
        (true, true) => return x.cmp(&y),
        (true, false) => return Ordering::Greater,
        (false, true) => return Ordering::Less,
        (false, false) => {}
    }
    // If one of the characters is a zero within a number, go-yaml starts both values at 1 instead of 0, so that the
    // zero counts. Leading zeros do not count.
    let inside = (x == '0' || y == '0') && ends_in_a_number(&a[..start]);
    let (a_value, a_digits) = number(&a[start..], inside);
    let (b_value, b_digits) = number(&b[start..], inside);
    a_value.cmp(&b_value).then(a_digits.cmp(&b_digits)).then(x.cmp(&y))
}

/// Whether `text` ends with digits that are not all zeros.
fn ends_in_a_number(text: &str) -> bool {
    text.chars().rev().take_while(|character| is_digit(*character)).any(|digit| digit != '0')
}

/// The value of the digits at the start of `text`, with the wrapping 64-bit arithmetic of Go, and their number.
fn number(text: &str, inside: bool) -> (i64, usize) {
    text.chars().take_while(|character| is_digit(*character)).fold((i64::from(inside), 0), |(value, digits), digit| {
        let digit = i64::from(u32::from(digit)) - i64::from(b'0');
        (value.wrapping_mul(10).wrapping_add(digit), digits + 1)
    })
}

/// Go's `unicode.IsDigit`.
fn is_digit(character: char) -> bool {
    if character.is_ascii() {
        return character.is_ascii_digit();
    }
    character.general_category() == GeneralCategory::DecimalNumber
}

/// Go's `unicode.IsLetter`. `char::is_alphabetic` does not fit, as it includes some marks and numbers.
fn is_letter(character: char) -> bool {
    if character.is_ascii() {
        return character.is_ascii_alphabetic();
    }
    character.general_category_group() == GeneralCategoryGroup::Letter
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Key, compare, drop_doubles, merge_sort};

    #[test]
    fn numbers_by_value_and_letters_last() {
        let sorted = ["", "-", "_", "1", "1b", "2", "10", "A", "a", "a-b", "a1", "a2", "a10", "ab", "é"];
        // A combining mark is not a letter. Digits of all scripts are digits.
        assert!(compare("\u{5bc}", "a").is_lt() && compare("a\u{663}", "aa").is_lt());
        for pair in sorted.windows(2) {
            assert!(compare(pair[0], pair[1]).is_lt(), "{pair:?}");
            assert!(compare(pair[1], pair[0]).is_gt(), "{pair:?}");
        }
    }

    fn keys(names: &[String]) -> Vec<Key> {
        (0..).zip(names).map(|(index, name)| Key::new(name, index)).collect()
    }

    proptest! {
        #[test]
        fn sorting_ends_and_keeps_every_key(names in prop::collection::vec("[019a_-]{0,4}", 0..60)) {
            let mut keys = keys(&names);
            let name = |key: &Key| &names[key.index as usize];
            merge_sort(&mut keys, &mut Vec::new(), &|a, b| compare(name(a), name(b)));
            let mut left: Vec<_> = keys.iter().map(|key| key.index).collect();
            left.sort_unstable();
            prop_assert!((0..).take(names.len()).eq(left));
        }

        #[test]
        fn prefixes_of_plain_keys_sort_as_the_keys_do(a in "[a-z_.-]{0,9}", b in "[a-z_.-]{0,9}") {
            let (left, right) = (Key::new(&a, 0), Key::new(&b, 0));
            prop_assert!(left.is_plain && right.is_plain);
            prop_assert!(left.prefix == right.prefix || left.prefix.cmp(&right.prefix) == compare(&a, &b));
        }

        #[test]
        fn of_doubles_the_last_stays(names in prop::collection::vec("[ab]{0,3}", 0..40)) {
            let mut keys = keys(&names);
            drop_doubles(&mut keys, 0, |key| &names[key.index as usize]);
            let mut left: Vec<_> = keys.iter().map(|key| key.index).collect();
            left.sort_unstable();
            let last = |key: &u32| !names[*key as usize + 1..].contains(&names[*key as usize]);
            prop_assert!((0..).take(names.len()).filter(last).eq(left));
        }
    }
}
