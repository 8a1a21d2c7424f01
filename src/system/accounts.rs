//! The users and groups of this machine, by `/etc/passwd` and `/etc/group` (passwd(5), group(5)). Accounts of a network
//! directory are not found, because asking for them can take long.

/// A group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Group {
    /// Its name.
    pub name: String,
    /// The names of the users that belong to it besides those whose main group it is.
    pub members: Vec<String>,
}

impl Group {
    /// The group with this number.
    #[must_use]
    pub(crate) fn with_number(number: u32) -> Option<Self> {
        let line = line_of("/etc/group", number)?;
        let mut fields = line.split(':');
        let name = fields.next()?.to_owned();
        let members = fields.nth(2).unwrap_or_default().split(',').map(|name| name.trim().to_owned());
        Some(Self { name, members: members.filter(|name| !name.is_empty()).collect() })
    }

    /// Whether the user of this process belongs to the group since its next login.
    #[must_use]
    pub(crate) fn has_us(&self) -> bool {
        user_name(rustix::process::geteuid().as_raw()).is_some_and(|name| self.members.contains(&name))
    }
}

/// The name of the user with this number.
#[must_use]
pub(crate) fn user_name(number: u32) -> Option<String> {
    line_of("/etc/passwd", number)?.split(':').next().map(str::to_owned)
}

/// The line of one of the two files whose third field is this number.
fn line_of(file: &str, number: u32) -> Option<String> {
    let text = std::fs::read(file).ok()?;
    let text = String::from_utf8_lossy(&text);
    let is_it = |line: &&str| line.split(':').nth(2) == Some(&number.to_string());
    text.lines().find(is_it).map(str::to_owned)
}
