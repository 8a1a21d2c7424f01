//! The clients' configuration files, in the forms of all client versions.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::login::Directories;
use super::{Flavour, read, without_login};
use crate::report::exit::Fault;
use crate::system::environment::Environment;

/// The user's and the system's configuration of one client. Not `Debug`, because addresses can contain passwords.
pub(super) struct ClientConfig {
    /// The user's file, whether it exists or not.
    pub(super) file: PathBuf,
    /// The directories of the other files.
    pub(super) directories: Directories,
    /// The remote to use if none is named.
    pub(super) default_remote: Option<String>,
    remotes: BTreeMap<String, Entry>,
}

/// A remote in the file. Fields that are not needed for following events are not read.
#[derive(Default, Deserialize)]
pub(super) struct Entry {
    pub(super) addr: Option<String>,
    pub(super) protocol: Option<String>,
    pub(super) project: Option<String>,
    pub(super) auth_type: Option<String>,
    #[serde(default, deserialize_with = "yes_or_no")]
    pub(super) public: bool,
    /// Whether it comes from the system-wide file.
    #[serde(skip)]
    pub(super) is_system_wide: bool,
}

#[derive(Default, Deserialize)]
struct File {
    #[serde(rename = "default-remote")]
    default_remote: Option<String>,
    #[serde(default)]
    remotes: Option<BTreeMap<String, Option<Entry>>>,
}

/// Reads YAML 1.1 booleans, which the Go clients read and write, from a YAML 1.2 parser.
fn yes_or_no<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written {
        Bool(bool),
        Word(String),
        Nothing(()),
    }
    Ok(match Written::deserialize(deserializer)? {
        Written::Bool(value) => value,
        Written::Word(word) => ["yes", "on", "y", "true"].iter().any(|yes| word.eq_ignore_ascii_case(yes)),
        Written::Nothing(()) => false,
    })
}

impl ClientConfig {
    /// Reads the user's file and the system-wide file. A missing file counts as empty.
    pub(super) fn read(flavour: Flavour, environment: &Environment) -> Result<Self, Fault> {
        let directories = Directories {
            user: directory(flavour, environment),
            system: system_directory(flavour, environment),
            is_system_wide: false,
        };
        let file = directories.user.join("config.yml");
        let user = parse(&file)?;
        let system = parse(&directories.system.join("config.yml"))?;
        // A remote of the user overrides one of the system with the same name.
        let of = |file: File, is_system_wide| {
            let remotes = file.remotes.into_iter().flatten();
            remotes.map(move |(name, entry)| (name, Entry { is_system_wide, ..entry.unwrap_or_default() }))
        };
        let default_remote = user.default_remote.clone().filter(|name| !name.is_empty());
        Ok(Self { file, directories, default_remote, remotes: of(system, true).chain(of(user, false)).collect() })
    }

    pub(super) fn remote(&self, name: &str) -> Option<&Entry> {
        self.remotes.get(name)
    }

    /// The names of all remotes that can be followed.
    pub(super) fn names(&self) -> Vec<String> {
        let followed = |entry: &Entry| !entry.public && entry.protocol.as_deref() != Some("simplestreams");
        let mut names: Vec<_> =
            self.remotes.iter().filter(|(_, entry)| followed(entry)).map(|(name, _)| name.clone()).collect();
        if !self.remotes.contains_key(super::LOCAL) {
            names.push(super::LOCAL.to_owned());
        }
        names
    }
}

fn directory(flavour: Flavour, environment: &Environment) -> PathBuf {
    let home = environment.home().unwrap_or(Path::new("/"));
    match flavour {
        Flavour::Lxd => environment.path("LXD_CONF").unwrap_or_else(|| {
            let snap = home.join("snap/lxd/common/config");
            if snap.is_dir() { snap } else { home.join(".config/lxc") }
        }),
        Flavour::Incus => environment.path("INCUS_CONF").unwrap_or_else(|| home.join(".config/incus")),
    }
}

fn system_directory(flavour: Flavour, environment: &Environment) -> PathBuf {
    let (variable, usual) = match flavour {
        Flavour::Lxd => ("LXD_GLOBAL_CONF", "/etc/lxd"),
        Flavour::Incus => ("INCUS_GLOBAL_CONF", "/etc/incus"),
    };
    environment.path(variable).unwrap_or_else(|| usual.into())
}

fn parse(path: &Path) -> Result<File, Fault> {
    let shown = path.display();
    let Some(text) = read::read(path)? else { return Ok(File::default()) };
    let broken = |what: String| {
        Fault::failed(format!("{shown}: {what}"))
            .hint("correct the file, or follow the local server: lxmon --force-local")
    };
    let text = std::str::from_utf8(&text).map_err(|error| {
        let line = memchr::memchr_iter(b'\n', &text[..error.valid_up_to()]).count() + 1;
        broken(format!("line {line}: not UTF-8"))
    })?;
    if text.trim().is_empty() {
        return Ok(File::default());
    }
    serde_yaml::from_str::<Option<File>>(text).map(Option::unwrap_or_default).map_err(|error| {
        // The library puts the position at the end of its message; move it to the front.
        let place = error.location().map(|place| format!("line {}: ", place.line())).unwrap_or_default();
        let text = error.to_string();
        let what = text.split(" at line ").next().unwrap_or(&text);
        broken(format!("{place}{}", without_login(what)))
    })
}
