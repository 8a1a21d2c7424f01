//! The clients' configuration files, in the forms of all client versions.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::address::Directories;
use super::{Flavour, read, without_login};
use crate::report::exit::Fault;
use crate::system::environment::Environment;

/// The user's and the system's configuration of one client. Not `Debug`, because addresses can contain passwords.
pub(super) struct ClientConfig {
    /// The user's file, whether it exists or not.
    pub(super) file: PathBuf,
    /// The remote to use if none is named.
    pub(super) default_remote: Option<String>,
    flavour: Flavour,
    user: PathBuf,
    system: PathBuf,
    remotes: BTreeMap<String, Entry>,
}

/// A remote in the file. Fields that are not needed for following events are not read.
#[derive(Default, Deserialize)]
pub(super) struct Entry {
    addr: Option<String>,
    last_working_address: Option<String>,
    pub(super) protocol: Option<String>,
    pub(super) project: Option<String>,
    pub(super) auth_type: Option<String>,
    #[serde(default, deserialize_with = "yes_or_no")]
    pub(super) public: bool,
    /// Whether it is in the system-wide file only.
    #[serde(skip)]
    is_system_wide: bool,
}

impl Entry {
    /// The addresses in the order in which they are tried. In Incus' file `addr` is a list, and its client writes down
    /// which of them has worked (`shared/cliconfig/remote.go`); the others follow in turn.
    pub(super) fn addresses(&self, flavour: Flavour) -> Vec<&str> {
        let addr = self.addr.as_deref().unwrap_or_default();
        let mut addresses: Vec<_> = match flavour {
            Flavour::Lxd => vec![addr],
            Flavour::Incus => addr.split(',').map(str::trim).collect(),
        };
        addresses.retain(|addr| !addr.is_empty());
        let last = self.last_working_address.as_deref().map(str::trim);
        let first = addresses.iter().position(|addr| Some(*addr) == last).unwrap_or(0);
        addresses.rotate_left(first);
        addresses
    }
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

/// The image servers that are built into `lxc` and override the file (`lxc/config/default.go`).
const LXD_IMAGE_SERVERS: [&str; 5] = ["images", "ubuntu", "ubuntu-daily", "ubuntu-minimal", "ubuntu-minimal-daily"];

/// The name of the file in each directory.
const FILE: &str = "config.yml";

impl ClientConfig {
    /// Reads the user's file and the system-wide file. A missing file counts as empty.
    pub(super) fn read(flavour: Flavour, environment: &Environment) -> Result<Self, Fault> {
        let mut config = Self::empty(flavour, environment)?;
        let user = parse(&config.file)?;
        let system = parse(&config.system.join(FILE))?;
        let system = system.remotes.into_iter().flatten().map(|(name, entry)| {
            let entry = Entry { is_system_wide: true, ..entry.unwrap_or_default() };
            (name, entry)
        });
        let own = user.remotes.into_iter().flatten().map(|(name, entry)| (name, entry.unwrap_or_default()));
        // A remote of the user overrides one of the system with the same name.
        config.remotes = system.chain(own).collect();
        config.default_remote = user.default_remote.filter(|name| !name.is_empty());
        Ok(config)
    }

    /// A configuration with no remotes.
    pub(super) fn empty(flavour: Flavour, environment: &Environment) -> Result<Self, Fault> {
        let (user, system) = (directory(flavour, environment), system_directory(flavour, environment));
        for (variable, directory) in
            [(flavour.directory_variable(), &user), (flavour.system_directory_variable(), &system)]
        {
            // The clients ignore such a configuration silently.
            if environment.is_set(variable) && directory.metadata().is_ok_and(|metadata| !metadata.is_dir()) {
                let shown = directory.display();
                let above = directory.parent().unwrap_or(directory).display();
                return Err(Fault::usage(format!("${variable}: {shown} is not a directory"))
                    .hint(format!("it names the directory with {FILE} in it: {variable}={above}")));
            }
        }
        let file = user.join(FILE);
        Ok(Self { file, default_remote: None, flavour, user, system, remotes: BTreeMap::new() })
    }

    /// Whether the user or the system has such a configuration.
    pub(super) fn exists(flavour: Flavour, environment: &Environment) -> bool {
        [directory(flavour, environment), system_directory(flavour, environment)]
            .iter()
            .any(|directory| directory.join(FILE).is_file())
    }

    pub(super) fn remote(&self, name: &str) -> Option<&Entry> {
        self.remotes.get(name)
    }

    /// The directories of the other files for the remote with this name.
    pub(super) fn directories(&self, name: &str) -> Directories {
        let is_system_wide = self.remote(name).is_some_and(|entry| entry.is_system_wide);
        let with_pins = if is_system_wide { &self.system } else { &self.user };
        Directories { user: self.user.clone(), pins: with_pins.join("servercerts") }
    }

    /// Whether the client has an image server of this name built in.
    pub(super) fn is_fixed_image_server(&self, name: &str) -> bool {
        self.flavour == Flavour::Lxd && LXD_IMAGE_SERVERS.contains(&name)
    }

    /// The names of all remotes that can be followed.
    pub(super) fn names(&self) -> Vec<String> {
        let is_image_server = |entry: &Entry| {
            entry.public || entry.protocol.as_deref().is_some_and(|name| ["simplestreams", "oci"].contains(&name))
        };
        let followed =
            self.remotes.iter().filter(|(name, entry)| !is_image_server(entry) && !self.is_fixed_image_server(name));
        let mut names: Vec<_> = followed.map(|(name, _)| name.clone()).collect();
        if !names.iter().any(|name| name == super::LOCAL) {
            names.push(super::LOCAL.to_owned());
        }
        names
    }

    /// A directory that is not used and has a configuration with this remote: those of other versions and packages of
    /// the client.
    pub(super) fn other_place_of(&self, environment: &Environment, name: &str) -> Option<PathBuf> {
        let home = environment.home()?;
        let mut places = match self.flavour {
            Flavour::Lxd => vec!["snap/lxd/common/config", "snap/lxd/current/.config/lxc", ".config/lxc"],
            Flavour::Incus => vec![".config/incus"],
        };
        places.retain(|place| home.join(place) != self.user);
        let has_remote = |place: &PathBuf| {
            let remotes = parse(&place.join(FILE)).ok().and_then(|file| file.remotes);
            remotes.is_some_and(|remotes| remotes.contains_key(name))
        };
        places.into_iter().map(|place| home.join(place)).find(has_remote)
    }
}

impl Flavour {
    /// The variable that names the directory of the user's configuration.
    pub(super) fn directory_variable(self) -> &'static str {
        match self {
            Self::Lxd => "LXD_CONF",
            Self::Incus => "INCUS_CONF",
        }
    }

    fn system_directory_variable(self) -> &'static str {
        match self {
            Self::Lxd => "LXD_GLOBAL_CONF",
            Self::Incus => "INCUS_GLOBAL_CONF",
        }
    }
}

fn directory(flavour: Flavour, environment: &Environment) -> PathBuf {
    let home = environment.home().unwrap_or(Path::new("/"));
    let usual = || match flavour {
        Flavour::Lxd => {
            let snap = home.join("snap/lxd/common/config");
            if snap.is_dir() { snap } else { home.join(".config/lxc") }
        }
        Flavour::Incus => {
            let old = home.join(".config/incus");
            // The XDG Base Directory Specification has relative paths ignored.
            let new = environment.path("XDG_CONFIG_HOME").filter(|path| path.is_absolute());
            match new.map(|path| path.join("incus")) {
                // The client moves the old directory to the new place when it runs next (`cliconfig/file.go`).
                Some(new) if new.join(FILE).exists() || !old.join(FILE).exists() => new,
                _ => old,
            }
        }
    };
    expanded(&environment.path(flavour.directory_variable()).unwrap_or_else(usual), environment)
}

/// The path with the environment variables in it replaced (`$NAME`, `${NAME}`), as Go's `os.ExpandEnv` does it for the
/// clients. An unset variable is replaced with nothing.
fn expanded(path: &Path, environment: &Environment) -> PathBuf {
    let mut rest = path.as_os_str().as_bytes();
    let mut whole = Vec::with_capacity(rest.len());
    while let Some(at) = memchr::memchr(b'$', rest) {
        whole.extend_from_slice(&rest[..at]);
        let after = &rest[at + 1..];
        let in_name = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
        let (name, length) = if let (Some(b'{'), Some(end)) = (after.first(), memchr::memchr(b'}', after)) {
            (&after[1..end], end + 1)
        } else {
            let length = after.iter().take_while(|byte| in_name(byte)).count();
            (&after[..length], length)
        };
        if length == 0 {
            whole.push(b'$');
        } else if let Some(value) = std::str::from_utf8(name).ok().and_then(|name| environment.var(name)) {
            whole.extend_from_slice(value.as_bytes());
        }
        rest = &after[length..];
    }
    whole.extend_from_slice(rest);
    PathBuf::from(OsString::from_vec(whole))
}

fn system_directory(flavour: Flavour, environment: &Environment) -> PathBuf {
    let usual = || match flavour {
        Flavour::Lxd => {
            // The snap's `lxc` looks only there, and any other only into the second.
            let snap = Path::new("/var/snap/lxd/common/global-conf");
            if snap.join(FILE).exists() { snap } else { Path::new("/etc/lxd") }
        }
        Flavour::Incus => Path::new("/etc/incus"),
    };
    environment.path(flavour.system_directory_variable()).unwrap_or_else(|| usual().to_owned())
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
