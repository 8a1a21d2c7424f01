//! Real LXD and Incus daemons, each in its own directory, with a small image that launches quickly.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::link::within;
use crate::support::program;

/// The kind of server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Lxd,
    Incus,
}

/// A running daemon. When this is dropped, the daemon and its instances end.
pub(crate) struct Server {
    pub(crate) kind: Kind,
    directory: TempDir,
    namespace: Option<String>,
    daemon: Child,
}

impl Server {
    /// Starts a daemon and waits until it answers.
    pub(crate) fn start(kind: Kind) -> Self {
        Self::start_within(kind, None)
    }

    /// Starts a daemon in a network namespace, if one is named, and waits until it answers.
    pub(crate) fn start_within(kind: Kind, namespace: Option<&str>) -> Self {
        let directory = tempfile::Builder::new().prefix("lxmon-live-").tempdir().unwrap();
        // Root in a container is a different user, who must be able to enter the directory.
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
        fs::create_dir_all(directory.path().join("state")).unwrap();
        fs::create_dir_all(directory.path().join("client")).unwrap();
        let daemon = daemon(kind, directory.path(), namespace);
        let server = Self { kind, directory, namespace: namespace.map(str::to_owned), daemon };
        server.wait_until_ready();
        server
    }

    fn wait_until_ready(&self) {
        let begun = Instant::now();
        while !self.try_client(&["info"]).status.success() {
            assert!(begun.elapsed() < Duration::from_secs(60), "{:?} does not start", self.kind);
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Creates what `launch` needs: an image, a storage pool, a root disk.
    pub(crate) fn prepare_instances(&self) {
        let image = image(self.directory.path());
        self.client(&["image", "import", image.to_str().unwrap(), "--alias", "busybox"]);
        self.client(&["storage", "create", "default", "dir"]);
        self.client(&["profile", "device", "add", "default", "root", "disk", "path=/", "pool=default"]);
    }

    /// Makes the server listen for HTTPS.
    pub(crate) fn listen(&self, address: &str) {
        self.client(&["config", "set", "core.https_address", address]);
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

    /// The environment variables with which the clients and lxmon find this server.
    fn environment(&self) -> [(&'static str, PathBuf); 2] {
        environment(self.kind, self.directory.path())
    }

    fn try_client(&self, arguments: &[&str]) -> Output {
        let name = if self.kind == Kind::Lxd { "lxc" } else { "incus" };
        let mut command = Command::new(name);
        command.args(arguments).envs(self.environment()).stdin(Stdio::null());
        command.output().unwrap()
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
        let mut command = Command::new(if self.kind == Kind::Lxd { "lxc" } else { "incus" });
        command.args(arguments).envs(self.environment());
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
        Kind::Incus => [("INCUS_DIR", state), ("INCUS_CONF", client)],
    }
}

fn daemon(kind: Kind, directory: &Path, namespace: Option<&str>) -> Child {
    let program = match kind {
        Kind::Lxd => "lxd",
        Kind::Incus => "/usr/libexec/incus/incusd",
    };
    let log = fs::File::create(directory.join("daemon.log")).unwrap();
    let mut command = Command::new(program);
    command.args(["--group", "root"]).envs(environment(kind, directory));
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
        let mut command = Command::new(if kind == Kind::Lxd { "lxc" } else { "incus" });
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
            Kind::Incus => ("--token", server.client(&["config", "trust", "add", "me", "--quiet"]).trim().to_owned()),
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
