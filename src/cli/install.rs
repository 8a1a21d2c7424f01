//! `--install-docs` and `--remove-docs`: the man page and the completions, in the directories where `man`, bash, zsh and
//! fish look.
//!
//! Root's are for all users, an ordinary user's for this user. These are options, not a script, because `cargo install`
//! leaves no checkout with a script in it.

use std::fmt::Write as _;
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

use anyhow::Context as _;
use log::warn;
use rustix::process::geteuid;
use tempfile::NamedTempFile;

use super::generate;
use crate::report::exit::Fault;
use crate::system::environment::Environment;

/// The end of the last line of each installed file, by which it is recognised.
const MARK: &str = "Installed by lxmon --install-docs; lxmon --remove-docs removes it.";

/// What the shells load. The Debian package has the same files.
const BASH: &str = include_str!("../../completions/lxmon.bash");
const ZSH: &str = include_str!("../../completions/_lxmon");
const FISH: &str = include_str!("../../completions/lxmon.fish");

/// Where the files belong, for one user or for all.
#[derive(Debug, PartialEq, Eq)]
struct Places {
    man: PathBuf,
    bash: PathBuf,
    zsh: PathBuf,
    fish: PathBuf,
    /// Where the man page belonged if it was installed by the same program in another place.
    former_man: Option<PathBuf>,
}

/// What is at a path.
#[derive(Debug, PartialEq, Eq)]
enum Found {
    Nothing,
    /// A file that `--install-docs` has written.
    Ours,
    /// Anything else.
    Foreign,
}

/// Writes the files, and returns what to print: their paths, and what is left for the user to do.
///
/// # Errors
/// One of the paths is taken by something else, before any file is written; or a file cannot be written.
pub(crate) fn install(environment: &Environment) -> anyhow::Result<String> {
    let places = Places::current(environment)?;
    let page = generate::man()?;
    let files = [
        (&places.man, &*page, ".\\\""),
        (&places.bash, BASH.as_bytes(), "#"),
        (&places.zsh, ZSH.as_bytes(), "#"),
        (&places.fish, FISH.as_bytes(), "#"),
    ];
    for (path, ..) in &files {
        if found(path)? == Found::Foreign {
            let what = format!("{}: this is not a file of lxmon --install-docs, and stays as it is", path.display());
            return Err(Fault::failed(what).hint("move it away, and repeat the command").into());
        }
    }
    let mut report = String::new();
    for (path, text, comment) in files {
        let text = [text, format!("{comment} {MARK}\n").as_bytes()].concat();
        write(path, &text).map_err(|error| {
            let fault = Fault::failed(format!("writing {}: {error}", path.display()));
            fault.hint("lxmon --remove-docs removes what was written before it")
        })?;
        let _ = writeln!(report, "installed {}", path.display());
    }
    places.explain(environment, &mut report);
    Ok(report)
}

/// Removes the files of [`install`], and returns what to print: their paths.
///
/// # Errors
/// A file cannot be read or removed.
pub(crate) fn remove(environment: &Environment) -> anyhow::Result<String> {
    let places = Places::current(environment)?;
    let mut report = String::new();
    for path in [&places.man, &places.bash, &places.zsh, &places.fish].into_iter().chain(&places.former_man) {
        match found(path)? {
            Found::Nothing => {}
            Found::Foreign => warn!("{}: this is not a file of lxmon --install-docs, and stays", path.display()),
            Found::Ours => {
                fs::remove_file(path).with_context(|| format!("removing {}", path.display()))?;
                let _ = writeln!(report, "removed {}", path.display());
            }
        }
    }
    if report.is_empty() {
        report.push_str("nothing is installed\n");
    }
    Ok(report)
}

impl Places {
    fn current(environment: &Environment) -> Result<Self, Fault> {
        if geteuid().is_root() {
            return Ok(Self::of_all());
        }
        let program = env::current_exe().unwrap_or_default();
        Self::of_user(environment, &program)
    }

    /// For all users. fish does not look below `/usr/local/share` everywhere: not in Debian 12.
    fn of_all() -> Self {
        let share = Path::new("/usr/local/share");
        Self {
            man: share.join("man/man1/lxmon.1"),
            bash: share.join("bash-completion/completions/lxmon"),
            zsh: share.join("zsh/site-functions/_lxmon"),
            fish: "/etc/fish/completions/lxmon.fish".into(),
            former_man: None,
        }
    }

    /// For the user whose `environment` this is.
    fn of_user(environment: &Environment, program: &Path) -> Result<Self, Fault> {
        let home = environment.home().filter(|home| home.is_absolute());
        let home = home.ok_or_else(|| {
            Fault::usage("the home directory is not known")
                .hint("set HOME to its path, or install for all users as root")
        })?;
        // A relative path does not count (XDG Base Directory Specification).
        let data = environment.path("XDG_DATA_HOME").filter(|data| data.is_absolute());
        let data = data.unwrap_or_else(|| home.join(".local/share"));
        // man looks in X/share/man for each X/bin in PATH (manpath(5)), so for cargo's programs in ~/.cargo/share/man.
        let prefix = program.parent().filter(|bin| bin.ends_with("bin")).and_then(Path::parent);
        let beside_program = prefix.filter(|prefix| prefix.starts_with(home)).map(|prefix| prefix.join("share/man"));
        let general = data.join("man");
        let page = |directory: PathBuf| directory.join("man1/lxmon.1");
        let (man, former_man) = match beside_program {
            Some(beside) if beside != general => (page(beside), Some(page(general))),
            _ => (page(general), None),
        };
        // The first of several, which newer versions of bash-completion accept.
        let bash = environment.text("BASH_COMPLETION_USER_DIR").ok().flatten();
        let bash = bash.and_then(|list| list.split(':').next()).map(PathBuf::from).filter(|path| path.is_absolute());
        Ok(Self {
            man,
            bash: bash.unwrap_or_else(|| data.join("bash-completion")).join("completions/lxmon"),
            zsh: data.join("zsh/site-functions/_lxmon"),
            fish: data.join("fish/vendor_completions.d/lxmon.fish"),
            former_man,
        })
    }

    /// Adds what the user has to configure.
    fn explain(&self, environment: &Environment, report: &mut String) {
        if *self == Self::of_all() {
            return;
        }
        let zsh = self.zsh.parent().unwrap_or(&self.zsh).display();
        let _ = writeln!(
            report,
            "zsh finds its completions with this line in ~/.zshrc, before compinit is called:\n  fpath=('{zsh}' $fpath)"
        );
        let directory = self.man.ancestors().nth(2).unwrap_or(&self.man);
        if !man_looks_in(directory, environment) {
            let _ = writeln!(
                report,
                "man finds its page with this line in ~/.profile:\n  export MANPATH='{}':$MANPATH",
                directory.display()
            );
        }
    }
}

/// Whether man looks in this directory (manpath(1)): `MANPATH` names it, or `PATH` has the directory `bin` that belongs
/// to it, unless `MANPATH` has no empty part, which stands for that.
fn man_looks_in(directory: &Path, environment: &Environment) -> bool {
    let parts = |name| environment.var(name).map(|list| env::split_paths(list).collect::<Vec<_>>());
    let named = parts("MANPATH").unwrap_or_else(|| vec![PathBuf::new()]);
    let bin = directory.ancestors().nth(2).map(|prefix| prefix.join("bin"));
    named.iter().any(|part| part == directory)
        || named.iter().any(|part| part.as_os_str().is_empty())
            && parts("PATH").unwrap_or_default().iter().any(|part| Some(part) == bin.as_ref())
}

/// What is at `path`. A link is foreign, wherever it leads.
fn found(path: &Path) -> anyhow::Result<Found> {
    let read = || match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_file() => {
            let text = fs::read(path)?;
            Ok(if text.trim_ascii_end().ends_with(MARK.as_bytes()) { Found::Ours } else { Found::Foreign })
        }
        Ok(_) => Ok(Found::Foreign),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound) => Ok(Found::Nothing),
        Err(error) => Err(error),
    };
    read().map_err(|error: io::Error| {
        let fault = Fault::failed(format!("{}: {error}", path.display()));
        fault.hint("each directory above it must be one, which you may read").into()
    })
}

/// Replaces the file at once, and makes the directories above it, all of them readable for everybody.
fn write(path: &Path, text: &[u8]) -> io::Result<()> {
    let directory = path.parent().unwrap_or(Path::new("/"));
    let missing: Vec<_> = directory.ancestors().take_while(|above| !above.exists()).collect();
    for directory in missing.into_iter().rev() {
        fs::create_dir(directory)?;
        fs::set_permissions(directory, fs::Permissions::from_mode(0o755))?;
    }
    let mut file = NamedTempFile::new_in(directory)?;
    file.write_all(text)?;
    file.as_file().set_permissions(fs::Permissions::from_mode(0o644))?;
    file.persist(path)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment<const N: usize>(variables: [(&str, &str); N]) -> Environment {
        variables.into_iter().collect()
    }

    #[test]
    fn the_files_of_a_user_are_in_the_users_directories() {
        let places = |variables: &[(&str, &str)], program: &str| {
            let variables = [&[("HOME", "/home/u")], variables].concat();
            let places = Places::of_user(&variables.into_iter().collect(), Path::new(program)).unwrap();
            let Places { man, bash, zsh, fish, former_man: _ } = places;
            [man, bash, zsh, fish].map(|path| path.into_os_string().into_string().unwrap())
        };
        let usual = [
            "/home/u/.local/share/bash-completion/completions/lxmon",
            "/home/u/.local/share/zsh/site-functions/_lxmon",
            "/home/u/.local/share/fish/vendor_completions.d/lxmon.fish",
        ];
        for (program, man) in [
            ("/home/u/.cargo/bin/lxmon", "/home/u/.cargo/share/man/man1/lxmon.1"),
            ("/home/u/.local/bin/lxmon", "/home/u/.local/share/man/man1/lxmon.1"),
            ("/home/u/lxmon/target/release/lxmon", "/home/u/.local/share/man/man1/lxmon.1"),
            ("/usr/bin/lxmon", "/home/u/.local/share/man/man1/lxmon.1"),
        ] {
            let [page, shells @ ..] = places(&[], program);
            assert_eq!(page, man, "{program}");
            assert_eq!(shells, usual, "{program}");
        }
        assert_eq!(places(&[("XDG_DATA_HOME", "relative")], "/bin/lxmon")[1..], usual);
        let moved = places(&[("XDG_DATA_HOME", "/data"), ("BASH_COMPLETION_USER_DIR", "/b:/c")], "/bin/lxmon");
        assert_eq!(moved[..2], ["/data/man/man1/lxmon.1", "/b/completions/lxmon"]);
        assert_eq!(moved[3], "/data/fish/vendor_completions.d/lxmon.fish");
        let homeless = Places::of_user(&environment([]), Path::new("/bin/lxmon")).unwrap_err();
        assert!(homeless.hint_text().unwrap().contains("HOME"));
    }

    #[test]
    fn it_is_known_whether_man_looks_there() {
        let directory = Path::new("/home/u/.cargo/share/man");
        for (path, manpath, looks) in [
            ("/home/u/.cargo/bin:/usr/bin", "", true),
            ("/usr/bin", "", false),
            ("/home/u/.cargo/bin:/usr/bin", "/usr/share/man", false),
            ("/home/u/.cargo/bin:/usr/bin", "/opt/man:", true),
            ("/usr/bin", "/home/u/.cargo/share/man", true),
        ] {
            let environment = environment([("PATH", path), ("MANPATH", manpath)]);
            assert_eq!(man_looks_in(directory, &environment), looks, "{path} {manpath}");
        }
    }
}
