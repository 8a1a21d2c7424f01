//! Suggestions for misspelled names.

/// Up to three of `names` that resemble `word`, the most similar first.
pub(crate) fn nearest<'n>(word: &str, names: impl IntoIterator<Item = &'n str>) -> Vec<&'n str> {
    /// Names below this similarity have little more than letters in common.
    const ALIKE: f64 = 0.75;
    let likeness = |name: &str| strsim::jaro_winkler(&word.to_lowercase(), &name.to_lowercase());
    let mut near: Vec<_> =
        names.into_iter().map(|name| (likeness(name), name)).filter(|near| near.0 >= ALIKE).collect();
    near.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(b.1)));
    near.into_iter().take(3).map(|(_, name)| name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_ones_only_and_the_nearest_first() {
        let names = ["local", "cluster1", "cluster2", "images", "backup"];
        assert_eq!(nearest("clutser1", names), ["cluster1", "cluster2"]);
        assert_eq!(nearest("loacl", names), ["local"]);
        assert!(nearest("xyz", names).is_empty());
    }
}
