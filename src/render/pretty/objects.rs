//! What an event is about and who asked for it, in short.

use super::super::theme;
use super::line::{Cell, Line};
use super::text::Ellipsis;
use crate::event::entity::{Entity, EntityKind};
use crate::event::json::Text;
use crate::event::{Event, Type};

/// The length of a shortened fingerprint, as in `lxc image list`.
const FINGERPRINT: usize = 12;

/// How many digits at the beginning and at the end of a UUID are shown.
const UUID: (usize, usize) = (8, 4);

/// The project that events are about which name none.
const DEFAULT: &str = "default";

impl Line {
    /// Sets the object: an instance by its name alone, other things with their kind. `project` is that of the event.
    pub(super) fn object(&mut self, entity: &Entity<'_>, path: &str, project: Option<Text<'_>>) {
        let ellipsis = Ellipsis::new(self.utf8);
        let cell = &mut self.object;
        cell.style = theme::OBJECT;
        match entity.kind {
            EntityKind::Other => {
                // The path of an entity of an unknown kind is shown without its prefix and query.
                let plain = path.split('?').next().unwrap_or_default();
                let plain = plain.strip_prefix("/1.0/").unwrap_or(plain);
                match plain.split_once('/').and_then(|(key, name)| Some((resource_kind(key)?, name))) {
                    Some((EntityKind::Instance, name)) => cell.push(name),
                    Some((kind, name)) => {
                        cell.push(kind.name());
                        cell.push(" ");
                        cell.prefix = cell.text.len();
                        cell.push(name);
                    }
                    None => cell.push(plain),
                }
                return;
            }
            EntityKind::Instance => {}
            kind => {
                cell.push(kind.name());
                if !entity.name.is_empty() {
                    cell.push(" ");
                    // The action says the kind too.
                    cell.prefix = cell.text.len();
                }
            }
        }
        match entity.kind {
            EntityKind::StorageVolume | EntityKind::StorageVolumeSnapshot | EntityKind::StorageVolumeBackup => {
                let project = entity.project.as_deref().map_or_else(
                    || project.map_or_else(|| DEFAULT.into(), |project| project.cow()),
                    std::borrow::Cow::Borrowed,
                );
                volume(cell, &entity.name, &project);
            }
            _ => cell.push_name(&entity.name, ellipsis),
        }
    }

    /// Adds who asked for it and from where to what is of little interest.
    pub(super) fn requestor(&mut self, event: &Event) {
        let ellipsis = Ellipsis::new(self.utf8);
        // Of an audit record it is never cut.
        let cell = if event.event_type() == Type::Security { &mut self.reason } else { &mut self.extra };
        push_requestor(cell, event, ellipsis);
    }
}

/// The kind of an entity by the key of `resources` that LXD up to 5.0 writes into its path in place of the real one
/// (`lxd/operations/operations.go`, `Render`).
fn resource_kind(key: &str) -> Option<EntityKind> {
    Some(match key {
        "container" => EntityKind::Instance,
        "backups" => EntityKind::InstanceBackup,
        "instances_snapshots" => EntityKind::InstanceSnapshot,
        "storage_volumes" => EntityKind::StorageVolume,
        "storage_volume_snapshots" => EntityKind::StorageVolumeSnapshot,
        _ => return None,
    })
}

/// Appends the name of a volume or of a part of one, `pool/type/volume/part`: without the type `custom`, and without
/// the prefix that the storage layer gives to custom volumes (`project.StorageVolume` in both servers).
fn volume(cell: &mut Cell, name: &str, project: &str) {
    let mut parts = name.splitn(3, '/');
    let [pool, kind, volume] = [(); 3].map(|()| parts.next().unwrap_or_default());
    cell.push(pool);
    cell.push("/");
    if kind == "custom" {
        let plain = volume.strip_prefix(project).and_then(|rest| rest.strip_prefix('_'));
        cell.push(plain.filter(|plain| !plain.is_empty()).unwrap_or(volume));
    } else {
        cell.push(kind);
        cell.push("/");
        cell.push(volume);
    }
}

fn push_requestor(cell: &mut Cell, event: &Event, ellipsis: Ellipsis) {
    let Some(requestor) = event.requestor() else { return };
    let host = requestor.host();
    if requestor.username.raw.is_empty() && host.is_none() {
        return;
    }
    cell.separate("  ");
    if !requestor.username.raw.is_empty() {
        cell.push("by ");
        cell.push_text(Some(requestor.protocol));
        cell.push("/");
        cell.push_name(&requestor.username.cow(), ellipsis);
        cell.push(if host.is_some() { " " } else { "" });
    }
    if let Some(host) = host {
        cell.push("from ");
        cell.push(&host);
    }
}

impl Cell {
    /// Appends a name. Of fingerprints and ids only a part is shown.
    pub(super) fn push_name(&mut self, name: &str, ellipsis: Ellipsis) {
        if name.len() < 36 {
            return self.push(name);
        }
        for (at, part) in name.split('/').enumerate() {
            self.push(if at > 0 { "/" } else { "" });
            if part.len() == 64 && is_hex(part) {
                self.push(&part[..FINGERPRINT]);
            } else if is_uuid(part) {
                self.push(&part[..UUID.0]);
                self.text.extend_from_slice(ellipsis.text.as_bytes());
                self.push(&part[part.len() - UUID.1..]);
            } else {
                self.push(part);
            }
        }
    }
}

fn is_hex(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn is_uuid(text: &str) -> bool {
    let is_part = |byte: (usize, u8)| match byte.0 {
        8 | 13 | 18 | 23 => byte.1 == b'-',
        _ => byte.1.is_ascii_hexdigit(),
    };
    text.len() == 36 && text.bytes().enumerate().all(is_part)
}
