//! `--instance`

use super::patterns::Patterns;
use super::{Event, Predicate};
use crate::event::source::Source;

/// The keys under which log lines name an instance (seen on LXD 5.0.2 and Incus 6.0.4; `container` before LXD 4).
const LOG_KEYS: [&str; 3] = ["instance", "container", "sourceInstance"];

/// The instances that an event is about: in the source of a lifecycle event, the resources of an operation, the
/// context of a log line. What happens to a snapshot or a backup happens to its instance.
#[derive(Debug)]
pub(super) struct Instances(pub(super) Patterns);

impl Predicate for Instances {
    fn holds(&self, event: &Event) -> bool {
        if let Some(operation) = event.operation() {
            let paths: Vec<_> = operation.resource_paths().map(|path| path.cow()).collect();
            return self.0.admit(paths.iter().filter_map(|path| Source::parse(path).instance().map(str::to_owned)));
        }
        if let Some(lifecycle) = event.lifecycle() {
            let source = lifecycle.source().map(|source| source.cow());
            return self.0.admit(source.iter().filter_map(|path| Source::parse(path).instance().map(str::to_owned)));
        }
        let context = event.logging().and_then(|logging| logging.context());
        let names = LOG_KEYS.into_iter().filter_map(|key| context?.get_text(key)).map(|name| name.cow());
        self.0.admit(names.map(|name| match name.split_once('/') {
            Some((instance, _snapshot)) => instance.to_owned(),
            None => name.into_owned(),
        }))
    }
}
