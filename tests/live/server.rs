//! Real LXD and Incus daemons, each in its own directory, with a small image that launches quickly.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use tempfile::TempDir;

use super::link::within;
use crate::support::program::{self, copy_program};
use crate::support::wait_until;

/// The kind of server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Lxd,
    Incus,
    /// The newer Incus of Debian's suite sid, which `.ci/debian-root` installs in a change-root.
    IncusFromSid,
}

impl Kind {
    /// The name of the product.
    pub(crate) fn product(self) -> &'static str {
        match self {
            Self::Lxd => "LXD",
            Self::Incus | Self::IncusFromSid => "Incus",
        }
    }

    /// The change-root in which the server runs: `/` for those that are installed on this machine.
    fn root(self) -> PathBuf {
        const VARIABLE: &str = "LXMON_TEST_INCUS_FROM_SID";
        match self {
            Self::Lxd | Self::Incus => "/".into(),
            Self::IncusFromSid => std::env::var_os(VARIABLE)
                .unwrap_or_else(|| panic!("set {VARIABLE} to the directory in which .ci/debian-root installed Incus"))
                .into(),
        }
    }

    /// Where the server's directory is made.
    fn temporary(self) -> PathBuf {
        match self {
            Self::Lxd | Self::Incus => std::env::temp_dir(),
            Self::IncusFromSid => self.root().join("tmp"),
        }
    }

    /// The name of the client's program, on this machine and in the change-root.
    pub(crate) fn client(self) -> &'static str {
        match self {
            Self::Lxd => "lxc",
            Self::Incus | Self::IncusFromSid => "incus",
        }
    }
}

const INCUSD: &str = "/usr/libexec/incus/incusd";

/// The user id and the group id of `nobody`.
const NOBODY: u32 = 65534;

/// Runs a program in the change-root `$1`, which becomes the root of the present mount namespace: without that, LXC
/// starts no containers. LXC 7 needs cgroups of version 2, and the machine may have those of version 1.
const CHANGE_ROOT: &str = r#"
set -e
cd "$1"
shift
mount --rbind . "$PWD"
cd "$PWD"
for name in proc sys dev; do
    mount --rbind "/$name" "$name"
done
umount --recursive sys/fs/cgroup
mount -t cgroup2 cgroup2 sys/fs/cgroup
pivot_root . mnt
umount --lazy /mnt
exec chroot . "$@"
"#;

/// A running daemon. When this is dropped, the daemon and its instances end.
pub(crate) struct Server {
    pub(crate) kind: Kind,
    directory: TempDir,
    namespace: Option<String>,
    daemon: Child,
    /// The daemon that serves ordinary users.
    user_daemon: Option<Child>,
}

impl Server {
    /// Starts a daemon and waits until it answers.
    pub(crate) fn start(kind: Kind) -> Self {
        Self::start_within(kind, None)
    }

    /// Starts a daemon in a network namespace, if one is named, and waits until it answers.
    pub(crate) fn start_within(kind: Kind, namespace: Option<&str>) -> Self {
        let directory = tempfile::Builder::new().prefix("lxmon-live-").tempdir_in(kind.temporary()).unwrap();
        // Root in a container is a different user, who must be able to enter the directory.
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
        fs::create_dir_all(directory.path().join("state")).unwrap();
        fs::create_dir_all(directory.path().join("client")).unwrap();
        let daemon = daemon(kind, directory.path(), namespace);
        let namespace = namespace.map(str::to_owned);
        let server = Self { kind, directory, namespace, daemon, user_daemon: None };
        server.wait_until_ready();
        server
    }

    fn wait_until_ready(&self) {
        wait_until(|| self.try_client(&["info"]).status.success());
    }

    /// Creates what `launch` needs: an image, a storage pool, a root disk.
    pub(crate) fn prepare_instances(&self) {
        let image = self.inside(&image(self.directory.path()));
        self.client(&["image", "import", image.to_str().unwrap(), "--alias", "busybox"]);
        self.client(&["storage", "create", "default", "dir"]);
        self.client(&["profile", "device", "add", "default", "root", "disk", "path=/", "pool=default"]);
    }

    /// Makes the server listen for HTTPS.
    pub(crate) fn listen(&self, address: &str) {
        self.client(&["config", "set", "core.https_address", address]);
    }

    /// Starts the daemon that gives each ordinary user of the group `nogroup` a project; returns its socket's path.
    pub(crate) fn serve_ordinary_users(&mut self) -> PathBuf {
        self.client(&["storage", "create", "default", "dir"]);
        // The daemon creates these networks where they do not exist, and bridges would need dnsmasq.
        for network in ["incusbr0".into(), format!("incusbr-{NOBODY}")] {
            self.client(&["network", "create", &network, "--type=macvlan", "parent=lo"]);
        }
        let log = fs::File::create(self.directory.path().join("user-daemon.log")).unwrap();
        let mut command = self.installed("/usr/libexec/incus/incus-user");
        command.args(["--group", "nogroup"]).stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        self.user_daemon = Some(command.spawn().unwrap());
        let socket = self.directory.path().join("state/unix.socket.user");
        // The daemon listens before it makes the socket accessible. To connect would create a project for root.
        wait_until(|| {
            fs::metadata(&socket).is_ok_and(|socket| socket.gid() == NOBODY && socket.mode() & 0o777 == 0o660)
        });
        socket
    }

    /// An lxmon command of the user `nobody`, whose environment selects this server.
    pub(crate) fn lxmon_of_nobody(&self, arguments: &[&str]) -> Command {
        let copy = self.directory.path().join("lxmon");
        if !copy.exists() {
            copy_program(&copy);
        }
        let mut command = Command::new(copy);
        let [state, _] = self.environment();
        command.args(arguments).env_clear().env("HOME", "/nonexistent").envs([state]);
        command.uid(NOBODY).gid(NOBODY);
        command
    }

    /// Gives an instance lxmon and the libraries that it needs, at `/lxmon`; returns the arguments of `exec` that run it.
    pub(crate) fn install_lxmon_in(&self, instance: &str) -> [&'static str; 5] {
        const SCRIPT: &str = r#"cp "$1" lxmon && cp -L $(ldd "$1" | grep -o '/[^ ]*') . && mv ld-* ld.so"#;
        let directory = self.directory.path().join("guest");
        fs::create_dir(&directory).unwrap();
        let mut shell = Command::new("sh");
        shell.args(["-c", SCRIPT, "sh", env!("CARGO_BIN_EXE_lxmon")]).current_dir(&directory);
        assert!(shell.status().unwrap().success());
        let source = format!("source={}", self.inside(&directory).display());
        self.client(&["config", "device", "add", instance, "lxmon", "disk", &source, "path=/lxmon"]);
        ["--", "/lxmon/ld.so", "--library-path", "/lxmon", "/lxmon/lxmon"]
    }

    /// Kills the daemon as a power cut would.
    pub(crate) fn kill(&mut self) {
        self.daemon.kill().unwrap();
        self.daemon.wait().unwrap();
    }

    /// Starts the daemon again, in the same directory.
    pub(crate) fn restart(&mut self) {
        self.daemon = daemon(self.kind, self.directory.path(), self.namespace.as_deref());
        self.wait_until_ready();
    }

    /// The path of the server's socket.
    pub(crate) fn socket(&self) -> PathBuf {
        self.directory.path().join("state/unix.socket")
    }

    /// The environment variables with which lxmon finds this server.
    pub(crate) fn environment(&self) -> [(&'static str, PathBuf); 2] {
        environment(self.kind, self.directory.path())
    }

    /// The path by which the server and its client know a file.
    fn inside(&self, path: &Path) -> PathBuf {
        inside(self.kind, path)
    }

    /// A program that is installed where the server is, with the environment variables that it needs.
    fn installed(&self, program: &str) -> Command {
        let mut command = Command::new("chroot");
        command.arg(self.kind.root()).arg(program).envs(environment(self.kind, &self.inside(self.directory.path())));
        command
    }

    fn try_client(&self, arguments: &[&str]) -> Output {
        self.client_command(arguments).stdin(Stdio::null()).output().unwrap()
    }

    /// Runs the server's client, which must succeed; returns its output.
    pub(crate) fn client(&self, arguments: &[&str]) -> String {
        let output = self.try_client(arguments);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert!(output.status.success(), "{arguments:?}: {}{}", text(&output.stdout), text(&output.stderr));
        text(&output.stdout)
    }

    /// Runs the server's client, which must fail.
    pub(crate) fn client_fails(&self, arguments: &[&str]) {
        assert!(!self.try_client(arguments).status.success(), "{arguments:?}");
    }

    /// The server's client as a command, to be run concurrently with lxmon.
    pub(crate) fn client_command(&self, arguments: &[&str]) -> Command {
        let mut command = self.installed(self.kind.client());
        command.args(arguments);
        command
    }

    /// An lxmon command whose environment selects this server.
    pub(crate) fn lxmon(&self, arguments: &[&str]) -> Command {
        let mut command = program::lxmon(arguments);
        command.envs(self.environment());
        command
    }
}

fn environment(kind: Kind, directory: &Path) -> [(&'static str, PathBuf); 2] {
    let (state, client) = (directory.join("state"), directory.join("client"));
    match kind {
        Kind::Lxd => [("LXD_DIR", state), ("LXD_CONF", client)],
        Kind::Incus | Kind::IncusFromSid => [("INCUS_DIR", state), ("INCUS_CONF", client)],
    }
}

fn inside(kind: Kind, path: &Path) -> PathBuf {
    Path::new("/").join(path.strip_prefix(kind.root()).unwrap())
}

fn daemon(kind: Kind, directory: &Path, namespace: Option<&str>) -> Child {
    let mut command = match kind {
        Kind::Lxd => Command::new("lxd"),
        Kind::Incus => Command::new(INCUSD),
        Kind::IncusFromSid => {
            let mut command = Command::new("unshare");
            command.args(["--mount", "--propagation", "private", "sh", "-c", CHANGE_ROOT, "sh"]);
            command.arg(kind.root()).arg(INCUSD);
            command
        }
    };
    let log = fs::File::create(directory.join("daemon.log")).unwrap();
    command.args(["--group", "root"]).envs(environment(kind, &inside(kind, directory)));
    if let Some(namespace) = namespace {
        command = within(namespace, &command);
    }
    command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap()
}

/// Creates an image that contains only busybox.
fn image(directory: &Path) -> PathBuf {
    let root = directory.join("rootfs");
    for name in ["bin", "sbin", "etc", "proc", "sys", "dev", "tmp", "root", "run", "var"] {
        fs::create_dir_all(root.join(name)).unwrap();
    }
    fs::copy("/bin/busybox", root.join("bin/busybox")).unwrap();
    for applet in ["sh", "echo", "sleep", "true", "cat", "poweroff", "reboot"] {
        symlink("busybox", root.join("bin").join(applet)).unwrap();
    }
    symlink("../bin/busybox", root.join("sbin/init")).unwrap();
    fs::write(root.join("etc/inittab"), "::respawn:/bin/sleep 3600\n::ctrlaltdel:/bin/poweroff\n").unwrap();
    fs::write(root.join("etc/passwd"), "root:x:0:0:root:/root:/bin/sh\n").unwrap();
    let metadata = "architecture: x86_64\ncreation_date: 1700000000\nproperties:\n  description: busybox\n";
    fs::write(directory.join("metadata.yaml"), metadata).unwrap();
    let image = directory.join("image.tar.gz");
    let mut tar = Command::new("tar");
    tar.arg("-C").arg(directory).arg("-czf").arg(&image).args(["metadata.yaml", "rootfs"]);
    assert!(tar.status().unwrap().success());
    image
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(daemon) = &mut self.user_daemon {
            let _ = daemon.kill();
            let _ = daemon.wait();
        }
        // Instances are deleted first, while the daemon can still stop them; then the daemon is killed, and remaining
        // mounts are detached.
        let listed = self.try_client(&["list", "--all-projects", "--format", "csv", "--columns", "en"]);
        for line in String::from_utf8_lossy(&listed.stdout).lines() {
            if let Some((project, name)) = line.split_once(',') {
                self.try_client(&["delete", "--force", "--project", project, name]);
            }
        }
        let _ = self.daemon.kill();
        let _ = self.daemon.wait();
        let mounts = fs::read_to_string("/proc/mounts").unwrap_or_default();
        let here = self.directory.path().to_string_lossy().into_owned();
        let mut inside: Vec<_> =
            mounts.lines().filter_map(|line| line.split(' ').nth(1)).filter(|path| path.starts_with(&here)).collect();
        // Nested mounts come first.
        inside.sort_unstable_by_key(|path| std::cmp::Reverse(path.len()));
        for path in inside {
            let _ = Command::new("umount").args(["-l", path]).status();
        }
    }
}

/// A cluster of LXD daemons with the names `n1`, `n2` and so on.
pub(crate) struct Cluster {
    pub(crate) members: Vec<Server>,
}

impl Cluster {
    /// Starts daemons on the loopback address with these ports and joins them to a cluster.
    pub(crate) fn start<const N: usize>(ports: [u16; N]) -> Self {
        let members = ports.map(|_| Server::start(Kind::Lxd)).into();
        let cluster = Self { members };
        cluster.members[0].listen(&format!("127.0.0.1:{}", ports[0]));
        cluster.members[0].client(&["cluster", "enable", "n1"]);
        for (index, port) in ports.into_iter().enumerate().skip(1) {
            cluster.join(index, port);
        }
        cluster
    }

    /// Joins the daemon at this place to the cluster.
    fn join(&self, index: usize, port: u16) {
        let (name, member) = (format!("n{}", index + 1), &self.members[index]);
        let shown = self.members[0].client(&["cluster", "add", &name]);
        let token = shown.lines().last().unwrap();
        let answers = format!(
            "cluster:\n  enabled: true\n  server_name: {name}\n  server_address: 127.0.0.1:{port}\n  \
             cluster_token: {token}\n  member_config: []\n"
        );
        let file = member.directory.path().join("answers.yaml");
        fs::write(&file, answers).unwrap();
        let mut init = Command::new("lxd");
        init.args(["init", "--preseed"]).envs(member.environment()).stdin(fs::File::open(file).unwrap());
        let output = init.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// Starts another daemon and joins it to the cluster.
    pub(crate) fn add(&mut self, port: u16) {
        self.members.push(Server::start(Kind::Lxd));
        self.join(self.members.len() - 1, port);
    }
}

/// The trust password of LXD, with which a client adds itself.
pub(crate) const PASSWORD: &str = "open sesame";

/// A user of remote servers, with a configuration for each client, written by that client.
pub(crate) struct Client {
    directory: TempDir,
}

impl Client {
    pub(crate) fn new() -> Self {
        let directory = TempDir::new().unwrap();
        for name in ["lxd/servercerts", "incus/servercerts"] {
            fs::create_dir_all(directory.path().join(name)).unwrap();
        }
        Self { directory }
    }

    fn environment(&self) -> [(&'static str, PathBuf); 2] {
        [("LXD_CONF", self.directory.path().join("lxd")), ("INCUS_CONF", self.directory.path().join("incus"))]
    }

    /// A command of the client, with this configuration.
    pub(crate) fn client(&self, kind: Kind, arguments: &[&str]) -> Command {
        let mut command = Command::new(kind.client());
        command.args(arguments).envs(self.environment()).stdin(Stdio::null());
        command
    }

    /// Runs the client, which must succeed.
    pub(crate) fn run(&self, kind: Kind, arguments: &[&str]) {
        let output = self.client(kind, arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// Adds a server that listens at this address as a remote, and makes the server trust this user.
    pub(crate) fn add(&self, server: &Server, name: &str, address: &str) {
        let (option, secret) = match server.kind {
            Kind::Lxd => {
                server.client(&["config", "set", "core.trust_password", PASSWORD]);
                ("--password", PASSWORD.to_owned())
            }
            Kind::Incus | Kind::IncusFromSid => {
                ("--token", server.client(&["config", "trust", "add", "me", "--quiet"]).trim().to_owned())
            }
        };
        let url = format!("https://{address}");
        self.run(server.kind, &["remote", "add", name, &url, "--accept-certificate", option, &secret]);
    }

    /// The configuration directory for this kind of server.
    fn configuration(&self, kind: Kind) -> PathBuf {
        self.directory.path().join(if kind == Kind::Lxd { "lxd" } else { "incus" })
    }

    /// Copies the remote and its pinned certificate from `other`, and creates a different client certificate.
    pub(crate) fn take_certificate_of(&self, other: &Self, kind: Kind, remote: &str) {
        let (from, to) = (other.configuration(kind), self.configuration(kind));
        let pin = format!("servercerts/{remote}.crt");
        fs::copy(from.join(&pin), to.join(&pin)).unwrap();
        fs::copy(from.join("config.yml"), to.join("config.yml")).unwrap();
        let mut openssl = Command::new("openssl");
        openssl.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-384", "-nodes", "-days", "9"]);
        openssl.args(["-subj", "/CN=somebody", "-keyout", "client.key", "-out", "client.crt"]).current_dir(to);
        assert!(openssl.output().unwrap().status.success());
    }

    /// A user of a remote that `admin` has added, with a certificate that the server restricts to one project.
    pub(crate) fn restricted(server: &Server, admin: &Self, remote: &str, project: &str) -> Self {
        let restricted = Self::new();
        restricted.take_certificate_of(admin, server.kind, remote);
        let certificate = restricted.certificate(server.kind);
        let add = if server.kind == Kind::Lxd { "add" } else { "add-certificate" };
        let certificate = certificate.to_str().unwrap();
        server.client(&["config", "trust", add, certificate, "--restricted", "--projects", project]);
        restricted
    }

    /// The path of the client certificate.
    pub(crate) fn certificate(&self, kind: Kind) -> PathBuf {
        self.configuration(kind).join("client.crt")
    }

    /// An lxmon command with these configurations.
    pub(crate) fn lxmon(&self, arguments: &[&str]) -> Command {
        let mut command = program::lxmon(arguments);
        command.envs(self.environment());
        command
    }
}
