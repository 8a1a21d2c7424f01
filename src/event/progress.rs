//! Which stage of an operation moves. Servers before LXD 6.8, and Incus, leave the texts of finished stages beside the
//! text of the current one, so the current stage is the one whose text has changed since the operation's last event.

use std::borrow::Cow;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use super::Operation;
use super::json::{Content, Text, Value};

/// The ending of the keys that have the texts of stages.
const SUFFIX: &str = "_progress";

/// The maximum number of stages of an operation that are compared. The servers know nine.
const MAX_STAGES: usize = 16;

/// What the last event of an operation said about its stages. Texts are stored as hashes, so the size is bounded.
#[derive(Debug, Default)]
pub struct Stages {
    /// The hashes of the keys and the texts of all stages.
    texts: Vec<(u64, u64)>,
    /// The hash of the key of the current stage.
    current: Option<u64>,
}

impl Stages {
    /// Records an event of the operation, and returns the text of the stage that moves. A stage ends with an empty text.
    pub fn advance<'a>(&mut self, operation: Operation<'a>) -> Option<Cow<'a, str>> {
        let details = operation.details()?;
        let progress = details.get("progress").filter(|progress| matches!(progress.content(), Content::Object(_)));
        let named = progress.and_then(|progress| progress.get_text("stage")).map(|stage| stage.cow());
        let is_first = self.texts.is_empty();
        let mut texts = Vec::new();
        // The first stage of each kind: named by `progress`, changed, the current one as before, and any.
        let mut found: [Option<(u64, Text<'a>)>; 4] = [None; 4];
        let mut has_ended = false;
        let stages = details.members().filter(|(key, _)| key.raw.ends_with(SUFFIX));
        for (key, text) in stages.filter_map(|(key, text)| Some((key, text.as_text()?))).take(MAX_STAGES) {
            let key_text = key.cow();
            let (key, hash) = (hash_of(&key_text), hash_of(&text.cow()));
            texts.push((key, hash));
            let has_changed = !is_first && !self.texts.contains(&(key, hash));
            if text.raw.is_empty() {
                has_ended |= has_changed;
                continue;
            }
            let is_named = named.as_deref() == key_text.strip_suffix(SUFFIX) && (has_changed || is_first);
            for (place, applies) in [is_named, has_changed, self.current == Some(key), true].into_iter().enumerate() {
                if applies && found[place].is_none() {
                    found[place] = Some((key, text));
                }
            }
        }
        self.texts = texts;
        let [named_stage, changed, current, any] = found;
        // Once a stage has ended, the texts beside it are those of stages that have ended before.
        let any = any.filter(|_| is_first && !has_ended);
        let stage = named_stage.or(changed).or(current).or(any);
        self.current = stage.map(|(key, _)| key);
        if let Some((_, text)) = stage {
            return Some(text.cow());
        }
        progress.filter(|_| self.texts.is_empty()).and_then(percent).map(|percent| Cow::Owned(format!("{percent}%")))
    }
}

/// `percent` of a `progress`, which both servers write as a string.
fn percent(progress: Value<'_>) -> Option<u8> {
    let percent = progress.get("percent")?;
    let digits = percent.as_text().map_or(Cow::Borrowed(percent.raw()), |text| text.cow());
    digits.parse().ok().filter(|percent| *percent <= 100)
}

fn hash_of(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::event;

    /// What the stages of successive events, given by the operation's metadata, lead to.
    fn shown(events: &[&str]) -> Vec<String> {
        let mut stages = Stages::default();
        let text = |details: &&str| format!(r#"{{"type":"operation","metadata":{{"metadata":{details}}}}}"#);
        let shown = |details| {
            let event = event(&text(details));
            stages.advance(event.operation().unwrap()).map(Cow::into_owned).unwrap_or_default()
        };
        events.iter().map(shown).collect()
    }

    #[test]
    fn the_stage_that_moves_is_shown() {
        for (events, texts) in [
            // LXD 6.8: one stage at a time, named by `progress`, all numbers are strings.
            (
                &[
                    r#"{"progress":{"stage":"download","percent":"43","speed":"1200"},"download_progress":"rootfs: 43%"}"#,
                    r#"{"progress":{"stage":"create_instance_from_image_unpack"},"create_instance_from_image_unpack_progress":"Unpacking image: 1%"}"#,
                    r#"{"entity_url":"/1.0/instances/c1"}"#,
                ][..],
                &["rootfs: 43%", "Unpacking image: 1%", ""][..],
            ),
            // The stage that is named need not be the first key.
            (&[r#"{"block_progress":"v: 1MB","fs_progress":"v: 2MB","progress":{"stage":"fs"}}"#], &["v: 2MB"]),
            // Incus: texts only, merged, in the order of the keys. What is beside the moving stage is old.
            (
                &[
                    r#"{"fs_progress":"c1: 1MB"}"#,
                    r#"{"block_progress":"c1: 5MB","fs_progress":"c1: 1MB"}"#,
                    r#"{"block_progress":"c1: 5MB","fs_progress":"c1: 9MB"}"#,
                    r#"{"block_progress":"c1: 5MB","fs_progress":"c1: 9MB"}"#,
                ],
                &["c1: 1MB", "c1: 5MB", "c1: 9MB", "c1: 9MB"],
            ),
            // Incus: `progress` stays from the unpacking while another stage moves.
            (
                &[
                    r#"{"create_instance_from_image_unpack_progress":"Unpack: 99%","progress":{"stage":"create_instance_from_image_unpack","percent":"99","speed":"0"}}"#,
                    r#"{"create_instance_from_image_unpack_progress":"Unpack: 99%","fs_progress":"c1: 1MB","progress":{"stage":"create_instance_from_image_unpack","percent":"99","speed":"0"}}"#,
                ],
                &["Unpack: 99%", "c1: 1MB"],
            ),
            // LXD 5.21 doubles the ending of its conversion stage.
            (
                &[
                    r#"{"format_progress_progress":"Converting: 4%","progress":{"stage":"format_progress","percent":"4"}}"#,
                ],
                &["Converting: 4%"],
            ),
            // An empty text ends a stage; those beside it ended before.
            (
                &[
                    r#"{"container_progress":"Remapping container filesystem"}"#,
                    r#"{"container_progress":""}"#,
                    r#"{"container_progress":""}"#,
                ],
                &["Remapping container filesystem", "", ""],
            ),
            (
                &[
                    r#"{"block_progress":"c1: 5MB"}"#,
                    r#"{"block_progress":"c1: 5MB","instance_progress":"Remapping container filesystem"}"#,
                    r#"{"block_progress":"c1: 5MB","instance_progress":""}"#,
                    r#"{"block_progress":"c1: 6MB","instance_progress":""}"#,
                ],
                &["c1: 5MB", "Remapping container filesystem", "", "c1: 6MB"],
            ),
            // The first event that is seen need not be the first one.
            (&[r#"{"container_progress":"","fs_progress":"c1: 1MB"}"#], &["c1: 1MB"]),
            // Without a text there is the number, as a string or not.
            (
                &[
                    r#"{"progress":{"stage":"fs","percent":"43"}}"#,
                    r#"{"progress":{"stage":"fs","percent":44}}"#,
                    r#"{"progress":{"stage":"fs","percent":"a lot"}}"#,
                    r#"{"progress":{"stage":"fs","percent":"1000"}}"#,
                    r#"{"progress":{"stage":"fs"}}"#,
                ],
                &["43%", "44%", "", "", ""],
            ),
            (&["null", "[]", "7", r#"{"progress":"x","x_progress":{}}"#, "{}"], &["", "", "", "", ""]),
        ] {
            assert_eq!(shown(events), texts, "{events:?}");
        }
    }

    #[test]
    fn of_any_number_of_stages_few_are_remembered() {
        let many: Vec<_> = (0..10_000).map(|number| format!(r#""s{number}_progress":"x""#)).collect();
        let event = event(&format!(r#"{{"type":"operation","metadata":{{"metadata":{{{}}}}}}}"#, many.join(",")));
        let mut stages = Stages::default();
        assert_eq!(stages.advance(event.operation().unwrap()).as_deref(), Some("x"));
        assert_eq!(stages.texts.len(), MAX_STAGES);
    }
}
