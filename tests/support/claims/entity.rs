//! Any text can be parsed as the path of an entity.

use lxmon::event::entity::{Entity, EntityKind};

/// Checks that any text can be parsed: an unknown path is kept whole, and a parsed name has only parts of the path.
pub fn entity(data: &[u8]) {
    let Ok(path) = std::str::from_utf8(data) else { return };
    let Entity { kind, name, project, .. } = &Entity::parse(path);
    let (plain, query) = path.split_once('?').unwrap_or((path, ""));
    if *kind == EntityKind::Other {
        assert_eq!(name, path);
        assert_eq!(kind.name(), "");
    } else {
        assert!(plain == "/1.0" || plain.starts_with("/1.0/"), "{kind:?}");
        assert!(!kind.name().is_empty());
        if !plain.contains('%') {
            assert!(
                name.is_empty() || name.split('/').all(|part| plain[4..].split('/').any(|own| own == part)),
                "{name}"
            );
        }
    }
    assert_eq!(project.is_some(), query.split('&').any(|pair| pair.starts_with("project=")));
    let is_of_instance = ["instances/", "containers/", "virtual-machines/"]
        .iter()
        .any(|instances| plain.strip_prefix("/1.0/").is_some_and(|rest| rest.starts_with(instances)));
    let instance = Entity::parse(path).instance().map(str::to_owned);
    assert!(instance.is_none() || is_of_instance, "{instance:?}");
    if is_of_instance && *kind != EntityKind::Other {
        // The name of an instance's part, such as a backup, begins with the instance's name.
        assert!(name.starts_with(&instance.unwrap()));
    }
}
