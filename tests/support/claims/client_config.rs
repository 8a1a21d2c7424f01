//! A client configuration is read as a YAML parser reads it, or refused with an error that says where and what to do.

use lxmon::remote::{self, Address, Flavour, Remote, Wanted};
use lxmon::report::exit::Fault;
use lxmon::system::environment::Environment;
use serde_yaml::Value as Yaml;

/// How many remotes of one file are checked.
const REMOTES: usize = 8;

/// Checks that with `data` as `config.yml`, every remote in it is resolved as it is written there.
pub fn client_config(data: &[u8]) {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("config.yml");
    std::fs::write(&file, data).unwrap();
    let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    let environment: Environment = [
        ("HOME", path("home")),
        ("LXD_CONF", path("")),
        ("LXD_GLOBAL_CONF", path("system")),
        ("INCUS_GLOBAL_CONF", path("system")),
        ("LXD_SOCKET", path("config.yml")),
    ]
    .into_iter()
    .collect();
    let find = |words: &[String]| {
        remote::resolve(
            &Wanted { words, flavour: Some(Flavour::Lxd), force_local: false, names_projects: false },
            &environment,
        )
        .map_err(|error| error.downcast::<Fault>().unwrap())
    };
    if let Err(fault) = find(&["local:".to_owned()]) {
        let what = fault.to_string();
        // The error is about either the whole file or its entry for this remote.
        assert!(what.starts_with("local: ") || what.starts_with(file.to_str().unwrap()), "{what}");
        assert!(fault.hint_text().is_some() || what.contains("image server") || what.contains("1 MiB"), "{what}");
        if !what.starts_with("local: ") {
            assert_eq!(remote::names(None, &environment), ["local"], "{what}");
            return;
        }
    }
    // Without a name, the result may be an error or a remote, but no panic.
    let _ = find(&[]);
    // `local` is always among the names, because the other client has it too.
    let is_own = |name: &String| is_word(name) && name != "local";
    for name in remote::names(None, &environment).into_iter().filter(is_own).take(REMOTES) {
        match find(&[format!("{name}:")]) {
            Ok(found) => assert_eq!(found.iter().map(|remote| &*remote.name).collect::<Vec<_>>(), [&*name]),
            Err(fault) => assert!(fault.to_string().starts_with(&name) && fault.hint_text().is_some(), "{fault}"),
        }
    }
    let Ok(yaml) = serde_yaml::from_slice::<Yaml>(data) else { return };
    // YAML parsers differ in how they apply a tag to a value.
    if data.contains(&b'!') {
        return;
    }
    let remotes = yaml.get("remotes").and_then(Yaml::as_mapping).into_iter().flatten();
    for (name, entry) in remotes.filter_map(|(name, entry)| Some((name.as_str()?, entry))).take(REMOTES) {
        let text = |key: &str| entry.get(key).and_then(Yaml::as_str);
        let Some(addr) = text("addr").filter(|addr| addr.starts_with("https://")) else { continue };
        // These are built into the client, whatever the file says.
        let is_fixed = ["local", "images", "ubuntu", "ubuntu-daily", "ubuntu-minimal", "ubuntu-minimal-daily"];
        let is_image_server = matches!(text("protocol"), Some("simplestreams" | "oci"));
        if !is_word(name) || is_fixed.contains(&name) || entry.get("public").is_some() || is_image_server {
            continue;
        }
        assert!(remote::names(None, &environment).iter().any(|known| known == name), "{name}");
        match find(&[format!("{name}:")]).as_deref() {
            Ok([Remote { address: Address::Https(https), project, .. }]) => {
                // The URL is shown without user and password.
                let shown = match addr.rsplit_once('@') {
                    Some((_, host)) => format!("https://{host}"),
                    None => addr.to_owned(),
                };
                let project_named = text("project").filter(|project| !project.is_empty());
                assert_eq!((&*https.url, project.as_deref()), (&*shown, project_named));
                assert_eq!(https.auth_type.as_deref(), text("auth_type"));
                assert!(addr.contains(&https.host.name) && addr.contains(&https.prefix), "{https:?}");
            }
            Ok(found) => panic!("{found:?}"),
            Err(fault) => assert!(fault.to_string().ends_with("is not a URL"), "{fault}"),
        }
    }
}

/// Whether `name:` on the command line means this remote. `unix:` begins the path of a socket.
fn is_word(name: &str) -> bool {
    !name.is_empty() && !name.contains(':') && name != "unix"
}
