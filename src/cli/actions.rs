//! The output of `--list-actions`, and suggestions for a glob that matches no action.

use std::io::{self, Write};

use crate::event::catalogue::ACTIONS;
use crate::filter::{Patterns, excludes};
use crate::report::exit::Fault;
use crate::report::suggest;

/// Up to three names of actions that are similar to a glob without a match.
pub(crate) fn nearest(glob: &str) -> Vec<&'static str> {
    let word = glob.replace(['*', '?'], "");
    suggest::nearest(&word, ACTIONS.iter().map(|action| action.name))
}

/// The actions that match the globs, one per line, with the columns name, servers, meaning and context keys.
///
/// # Errors
/// No action matches.
pub(crate) fn list(globs: &[String]) -> anyhow::Result<Vec<u8>> {
    let patterns = Patterns::new(globs);
    let mut list = Vec::new();
    write_list(&mut list, |name| patterns.admit([name]))?;
    if !list.is_empty() {
        return Ok(list);
    }
    let fault = Fault::failed(format!("no known action matches {:?}", globs.join(",")));
    let glob = globs.iter().find(|glob| !excludes(glob));
    Err(match &nearest(glob.map_or("", String::as_str))[..] {
        [] => fault,
        names => fault.hint(format!("near it: {}", names.join(", "))),
    }
    .into())
}

fn write_list(out: &mut impl Write, is_wanted: impl Fn(&str) -> bool) -> io::Result<()> {
    let actions = || ACTIONS.iter().filter(|action| is_wanted(action.name));
    let name_width = actions().map(|action| action.name.len()).max().unwrap_or(0);
    for action in actions() {
        let keys = action.context.join(", ");
        let keys = if keys.is_empty() { keys } else { format!("  [{keys}]") };
        let gone = action.gone_since.map(|release| format!("; not sent by {release} and later")).unwrap_or_default();
        writeln!(out, "{:name_width$}  {:5}  {}{gone}{keys}", action.name, action.servers.name(), action.meaning)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_one_action_a_line() {
        let mut out = Vec::new();
        write_list(&mut out, |name| name.starts_with("instance-snapshot-")).unwrap();
        let list = String::from_utf8(out).unwrap();
        assert_eq!(list.lines().count(), 4);
        assert!(
            list.contains("instance-snapshot-renamed  both   An instance snapshot was renamed  [old_name]\n"),
            "{list}"
        );
    }

    #[test]
    fn says_what_is_no_longer_sent() {
        let mut out = Vec::new();
        write_list(&mut out, |name| name == "identity-provider-group-renamed" || name == "image-alias-deleted")
            .unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "identity-provider-group-renamed  LXD    An identity provider group mapping was renamed; not sent by LXD \
             6.7 and later  [old_name]\n\
             image-alias-deleted              both   An image alias was deleted\n"
        );
    }

    #[test]
    fn knows_what_was_perhaps_meant() {
        assert_eq!(nearest("instance-stated*")[0], "instance-started");
        assert!(nearest("xyz*").is_empty());
    }
}
