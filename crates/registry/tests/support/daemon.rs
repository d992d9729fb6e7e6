//! containerd's and Docker's daemons, which keep all that is theirs in the room of a lab, and end with the test.

#![expect(clippy::print_stderr, reason = "a test that is passed over says so")]

use std::{
    fs,
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    sync::mpsc::channel,
    thread::JoinHandle,
    time::{Duration, Instant},
};

use super::lab::Lab;

/// How long one may take to be ready.
const READY: Duration = Duration::from_secs(120);
/// How the system says that somebody has not the rights for something.
const NO_RIGHTS: [&str; 3] = ["permission denied", "operation not permitted", "root privileges"];

/// One that runs until it is dropped.
pub(crate) struct Daemon {
    child: Child,
    /// Reads what it says, or it would wait for a reader.
    heard: Option<JoinHandle<()>>,
}

/// A containerd of one's own. Says loudly why there is none.
pub(crate) fn containerd(test: &str, lab: &Lab) -> Option<Daemon> {
    let path = |name: &str| lab.path(name).display().to_string();
    let config = format!(
        r#"version = 2
root = {:?}
state = {:?}
disabled_plugins = ["io.containerd.grpc.v1.cri"]

[grpc]
address = {:?}
"#,
        path("containerd/root"),
        path("containerd/state"),
        socket(lab),
    );
    fs::create_dir(lab.path("containerd")).expect("a directory");
    fs::write(lab.path("containerd/config.toml"), config).expect("written");
    let mut command = Command::new("containerd");
    command.arg("--config").arg(lab.path("containerd/config.toml"));
    Daemon::start(test, lab, command, "containerd successfully booted")
}

/// Where containerd listens.
pub(crate) fn socket(lab: &Lab) -> String {
    lab.path("containerd/socket").display().to_string()
}

/// A Docker over a containerd of one's own; `certificates` is what it finds in `/etc/docker/certs.d`. Says loudly why there is none.
pub(crate) fn docker(test: &str, lab: &Lab, etc: &Path) -> Option<Daemon> {
    if !Path::new("/etc/docker").is_dir() {
        eprintln!("SKIPPED {test}: there is no /etc/docker to put another in the place of");
        return None;
    }
    let path = |name: &str| lab.path(name).display().to_string();
    fs::create_dir(lab.path("docker")).expect("a directory");
    // It reads certificates from there and nowhere else, and writes a key of its own there.
    let within = r#"mount --bind "$1" /etc/docker && shift && exec dockerd "$@""#;
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", within, "sh"]).arg(etc);
    command.args([
        "--iptables=false",
        "--ip-forward=false",
        "--ip-masq=false",
        "--bridge=none",
    ]);
    command.args(["--storage-driver", "vfs"]);
    command.args(["--containerd", &socket(lab)]);
    command.args(["--data-root", &path("docker/root"), "--exec-root", &path("docker/run")]);
    command.args(["--pidfile", &path("docker/pid"), "--host", &host(lab)]);
    Daemon::start(test, lab, command, "API listen on")
}

/// Where Docker listens.
pub(crate) fn host(lab: &Lab) -> String {
    format!("unix://{}", lab.path("docker/socket").display())
}

impl Daemon {
    /// Starts it, and waits until it says that it is `ready`; none where there are not the rights to run it.
    fn start(test: &str, lab: &Lab, mut command: Command, ready: &str) -> Option<Self> {
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", lab.path("home"))
            .env("TMPDIR", lab.path(""))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let mut child = command.spawn().expect("it starts");
        let pipe = BufReader::new(child.stderr.take().expect("a pipe"));
        let (says, lines) = channel();
        let heard = std::thread::spawn(move || {
            for line in pipe.lines().map_while(Result::ok) {
                // Nobody listens any more once it is ready.
                let _ = says.send(line);
            }
        });
        // Ended where this fails.
        let mut daemon = Self {
            child,
            heard: Some(heard),
        };
        let (begin, mut said) = (Instant::now(), String::new());
        while let Ok(line) = lines.recv_timeout(READY.saturating_sub(begin.elapsed())) {
            if line.contains(ready) {
                return Some(daemon);
            }
            said.push_str(&line);
            said.push('\n');
        }
        let program = command.get_program().display();
        assert!(begin.elapsed() < READY, "{program} is not ready: {said}");
        daemon.child.wait().expect("it ended");
        let last = said.lines().last().unwrap_or_default();
        let lower = last.to_lowercase();
        assert!(
            NO_RIGHTS.iter().any(|word| lower.contains(word)),
            "{program} ended: {said}"
        );
        eprintln!("SKIPPED {test}: {program} does not run here: {last}");
        None
    }
}

impl Drop for Daemon {
    /// It is asked to end, so that it takes with it what it mounted.
    fn drop(&mut self) {
        // One that ended and was waited for has no number of its own any more.
        if !matches!(self.child.try_wait(), Ok(Some(_))) {
            let ended = Command::new("sh")
                .args(["-c", "kill -TERM \"$1\"", "sh", &self.child.id().to_string()])
                .status();
            if !ended.is_ok_and(|status| status.success()) {
                // Then it is gone, or is ended like this.
                let _ = self.child.kill();
            }
        }
        // A test that fails has said why.
        let _ = self.child.wait();
        if let Some(heard) = self.heard.take() {
            let _ = heard.join();
        }
    }
}
