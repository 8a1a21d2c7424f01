//! Each recipe of `docs/cookbook.md`, as a user pastes it into a shell, on real servers.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tempfile::TempDir;

use super::alone;
use super::server::{Kind, Server};
use crate::support::wait_until;

const COOKBOOK: &str = include_str!("../../docs/cookbook.md");

/// The ports of the servers that recipes write to.
const MQTT_PORT: &str = "21883";
const REDIS_PORT: &str = "26379";

/// The heading of each recipe and its script, in their order. A recipe can have several.
fn recipes() -> Vec<(&'static str, &'static str)> {
    let sections = COOKBOOK.split("\n## ").skip(1);
    let scripts = |section: &'static str| {
        let (title, text) = section.split_once('\n').unwrap();
        let scripts = text.split("```sh\n").skip(1);
        scripts.map(move |script| (title, script.split("\n```").next().unwrap()))
    };
    sections.flat_map(scripts).collect()
}

/// A shell with an empty directory, in which the server is the default one.
struct Shell<'s> {
    server: &'s Server,
    directory: TempDir,
    /// The scripts that were run.
    tried: BTreeSet<&'static str>,
}

/// A script that is running. It is killed with all its children when this is dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let group = Pid::from_raw(self.0.id().cast_signed()).unwrap();
        let _ = kill_process_group(group, Signal::KILL);
        let _ = self.0.wait();
    }
}

impl<'s> Shell<'s> {
    fn new(server: &'s Server) -> Self {
        let directory = TempDir::new().unwrap();
        let programs = directory.path().join("bin");
        fs::create_dir(&programs).unwrap();
        symlink(env!("CARGO_BIN_EXE_lxmon"), programs.join("lxmon")).unwrap();
        if server.kind != Kind::Lxd {
            symlink("/usr/bin/incus", programs.join("lxc")).unwrap();
        }
        Self { server, directory, tried: BTreeSet::new() }
    }

    /// The script of this recipe; `index` counts those of one recipe.
    fn script(&mut self, title: &str, index: usize) -> &'static str {
        let (_, script) = recipes().into_iter().filter(|(known, _)| *known == title).nth(index).unwrap();
        self.tried.insert(script);
        script
    }

    fn start(&mut self, title: &str, index: usize, variables: &[(&str, &str)]) -> Running {
        let script = self.script(title, index);
        let output = |name: &str| File::create(self.directory.path().join(name)).unwrap();
        let mut bash = Command::new("bash");
        let programs = format!("{}/bin:{}", self.directory.path().display(), std::env::var("PATH").unwrap());
        bash.args(["-o", "pipefail", "-c", script]).current_dir(&self.directory).process_group(0);
        bash.env_clear().env("PATH", programs).env("HOME", "/nonexistent").env("LANG", "C.UTF-8");
        bash.envs(self.server.environment()).envs(variables.iter().copied());
        bash.stdin(Stdio::null()).stdout(output("stdout")).stderr(output("stderr"));
        Running(bash.spawn().unwrap())
    }

    /// Runs a script that ends by itself, and returns what it printed.
    fn run(&mut self, title: &str, index: usize) -> String {
        let mut running = self.start(title, index, &[]);
        let status = running.0.wait().unwrap();
        assert!(status.success(), "{title}: {status}: {}", self.read("stderr"));
        self.read("stdout")
    }

    /// Starts a script that follows, and calls `act` until `wanted` is in the named file. The scripts do not report when
    /// they follow.
    fn follow(&mut self, title: &str, variables: &[(&str, &str)], file: &str, wanted: &str, act: impl Fn(&Server)) {
        let _running = self.start(title, 0, variables);
        let begun = std::time::Instant::now();
        while !self.read(file).contains(wanted) {
            assert!(begun.elapsed() < Duration::from_secs(60), "{title}: {}{}", self.read(file), self.read("stderr"));
            act(self.server);
            std::thread::sleep(Duration::from_millis(300));
        }
    }

    /// The contents of a file in the directory; nothing if it does not exist.
    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.directory.path().join(name)).unwrap_or_default()
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.directory.path().join(name)
    }
}

/// A child that is killed when this is dropped.
struct Helper(Child);

impl Helper {
    fn start(program: &str, arguments: &[&str]) -> Self {
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Self(command.spawn().unwrap_or_else(|error| panic!("{program}: {error}")))
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn change_configuration(server: &Server) {
    server.client(&["config", "set", "web", "user.note", "x"]);
}

fn fail_a_command(server: &Server) {
    server.client_fails(&["exec", "web", "--", "sh", "-c", "exit 3"]);
}

/// Answers each request, and sends its text to the channel.
fn webhook() -> (String, mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}/hook", listener.local_addr().unwrap());
    let (sender, bodies) = mpsc::channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, mut text, mut buffer) = (stream.unwrap(), Vec::new(), [0; 4096]);
            // The event is a JSON object with a line feed.
            while !text.ends_with(b"}\n") && !text.ends_with(b"}") {
                match stream.read(&mut buffer) {
                    Ok(0) | Err(_) => break,
                    Ok(bytes) => text.extend_from_slice(&buffer[..bytes]),
                }
            }
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            let _ = sender.send(String::from_utf8_lossy(&text).into_owned());
        }
    });
    (address, bodies)
}

fn cookbook(kind: Kind) {
    let _alone = alone();
    let server = Server::start(kind);
    server.prepare_instances();
    server.client(&["image", "alias", "create", "base", &fingerprint(&server)]);
    let mut shell = Shell::new(&server);

    shell.run("Wait until a fresh instance is ready", 0);
    server.client(&["config", "device", "add", "web", "eth0", "nic", "nictype=p2p"]);
    server.client(&["stop", "--force", "web"]);
    let shown = shell.run("Start and check", 0);
    assert!(shown.contains("instance-started"), "{shown}");
    let address = ["exec", "web", "--", "/bin/busybox", "ip", "addr", "add", "10.9.8.7/24", "dev", "eth0"];
    server.client(&address);

    shell.follow("Reload a proxy when instances come and go", &[], "backends.csv", "web", |_| {});
    shell.follow("A hosts file of the running instances", &[], "hosts", "10.9.8.7\tweb", |_| {});
    shell.follow("Who did what", &[], "audit.ndjson", "instance-updated", change_configuration);
    assert_eq!(fs::metadata(shell.path("audit.ndjson")).unwrap().permissions().mode() & 0o777, 0o600);
    let audit = shell.run("Who did what", 1);
    assert!(audit.contains("\tinstance-updated\t/1.0/instances/web"), "{audit}");
    assert!(shell.run("Count events for each instance", 0).contains(" web\n"));

    let (address, bodies) = webhook();
    // The answer is in no file: what arrives is read below.
    let running = shell.start("Report failures to a webhook", 0, &[("HOOK", &address)]);
    let mut body = None;
    wait_until(|| {
        fail_a_command(&server);
        body = bodies.recv_timeout(Duration::from_millis(500)).ok();
        body.is_some()
    });
    drop(running);
    assert!(body.as_ref().is_some_and(|body| body.contains(r#""return":3"#)), "{body:?}");

    shell.follow("A shutdown that nobody asked for", &[], "stdout", "web", |server| {
        server.client_command(&["start", "web"]).stderr(Stdio::null()).status().unwrap();
        server.client_command(&["exec", "web", "--", "poweroff", "-f"]).stderr(Stdio::null()).status().unwrap();
    });
    // This fails until the server has noticed that the instance has ended.
    wait_until(|| server.client_command(&["start", "web"]).stderr(Stdio::null()).status().unwrap().success());
    shell.follow("How long operations take", &[], "stdout", "\tExecuting command\tweb", fail_a_command);

    let other = Server::start(kind);
    let sockets = [server.socket(), other.socket()].map(|socket| socket.to_str().unwrap().to_owned());
    let [first, second] = &sockets;
    shell.follow(
        "Two servers on one screen",
        &[("FIRST", first), ("SECOND", second)],
        "stdout",
        "profile-updated",
        |_| {
            other.client(&["profile", "set", "default", "user.note", "x"]);
        },
    );

    into_the_journal(&mut shell);

    let _broker = Helper::start("mosquitto", &["-p", MQTT_PORT]);
    wait_until(|| std::net::TcpStream::connect(format!("127.0.0.1:{MQTT_PORT}")).is_ok());
    let received = File::create(shell.path("mqtt")).unwrap();
    let mut subscriber = Command::new("mosquitto_sub");
    subscriber.args(["-p", MQTT_PORT, "-t", "lxd/lifecycle"]).stdin(Stdio::null()).stdout(received);
    let _subscriber = Helper(subscriber.spawn().unwrap());
    shell.follow("Into MQTT", &[("MQTT_PORT", MQTT_PORT)], "mqtt", "instance-updated", change_configuration);

    let _redis = Helper::start("redis-server", &["--port", REDIS_PORT, "--save", ""]);
    wait_until(|| std::net::TcpStream::connect(format!("127.0.0.1:{REDIS_PORT}")).is_ok());
    let stream = shell.path("redis");
    shell.follow("Into a Redis stream", &[("REDIS_PORT", REDIS_PORT)], "redis", "instance-updated", |server| {
        change_configuration(server);
        let read = Command::new("redis-cli").args(["-p", REDIS_PORT, "xrange", "lxd", "-", "+"]).output().unwrap();
        fs::write(&stream, read.stdout).unwrap();
    });

    let counted = "lxd_actions_total{action=\"instance-updated\"} ";
    shell.follow("Into a text file for Prometheus", &[], "lxd.prom", counted, change_configuration);

    let caused = shell.run("Which requests one command causes", 0);
    assert!(caused.contains("instance-stopped") && caused.contains("Stopping instance"), "{caused}");
    shell.run("Record a bug report", 0);

    let all: BTreeSet<_> = recipes().into_iter().map(|(_, script)| script).collect();
    assert_eq!(all.difference(&shell.tried).collect::<Vec<_>>(), Vec::<&&str>::new());
}

/// Where no journal runs, the test takes its place. That of a machine is left alone.
fn into_the_journal(shell: &mut Shell<'_>) {
    let journal = Path::new("/run/systemd/journal/stdout");
    if UnixStream::connect(journal).is_ok() {
        println!("skipped: the journal of this machine would get the events");
        shell.script("Into the journal", 0);
        return;
    }
    fs::create_dir_all(journal.parent().unwrap()).unwrap();
    // What a test that was killed has left.
    let _ = fs::remove_file(journal);
    let listener = UnixListener::bind(journal).unwrap();
    let lines = shell.path("journal");
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        std::io::copy(&mut stream, &mut File::create(lines).unwrap())
    });
    shell.follow("Into the journal", &[], "journal", "instance-updated", change_configuration);
    fs::remove_file(journal).unwrap();
}

fn fingerprint(server: &Server) -> String {
    server.client(&["image", "list", "--format", "csv", "--columns", "F"]).trim().to_owned()
}

#[test]
#[ignore = "needs LXD, mosquitto and redis: run by CI"]
fn the_recipes_work_with_lxd() {
    cookbook(Kind::Lxd);
}

#[test]
#[ignore = "needs Incus, mosquitto and redis: run by CI"]
fn the_recipes_work_with_incus() {
    cookbook(Kind::Incus);
}

#[test]
#[ignore = "needs shellcheck: run by CI"]
fn shellcheck_finds_nothing_in_the_recipes() {
    for (title, script) in recipes() {
        // What is in single quotes is for another program.
        let mut shellcheck = Command::new("shellcheck");
        shellcheck.args(["--shell=bash", "--exclude=SC2016", "-"]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = shellcheck.spawn().unwrap();
        child.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{title}: {}", String::from_utf8_lossy(&output.stdout));
    }
}
