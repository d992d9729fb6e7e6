//! Debian's registry as a peer, on a port of its own choice, gone when it is dropped.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

/// A registry that runs.
pub(crate) struct Peer {
    child: Child,
    /// `127.0.0.1:port`.
    pub(crate) host: String,
    /// None where it was stopped.
    directory: Option<tempfile::TempDir>,
}

/// What a registry asks of its clients.
#[derive(Clone, Copy, Default)]
pub(crate) struct Asks {
    /// The user `user` with the password `secret`.
    pub(crate) password: bool,
    /// TLS, with a certificate of [`Peer::authority`].
    pub(crate) tls: bool,
}

impl Peer {
    /// Starts it; says loudly why it cannot.
    pub(crate) fn start(test: &str, asks: Asks) -> Option<Self> {
        Self::start_in(test, asks, Self::directory())
    }

    /// A directory for [`start_in`](Self::start_in), which keeps everything in `data` there.
    pub(crate) fn directory() -> tempfile::TempDir {
        tempfile::tempdir().expect("a directory")
    }

    /// The same in a directory, of what is kept there.
    pub(crate) fn start_in(test: &str, asks: Asks, directory: tempfile::TempDir) -> Option<Self> {
        if !has("docker-registry") || (asks.tls && !has("openssl")) || (asks.password && !has("htpasswd")) {
            eprintln!("SKIPPED {test}: docker-registry, openssl or htpasswd is missing");
            return None;
        }
        let root = directory.path();
        let mut config = format!(
            "version: 0.1\nlog: {{level: info}}\nstorage:\n  filesystem: {{rootdirectory: {}}}\n  delete: {{enabled: true}}\n",
            root.join("data").display()
        );
        if asks.password {
            let file = output(Command::new("htpasswd").args(["-Bbn", "user", "secret"]));
            fs::write(root.join("htpasswd"), file).expect("written");
            config.push_str(&format!(
                "auth:\n  htpasswd: {{realm: test, path: {}}}\n",
                root.join("htpasswd").display()
            ));
        }
        config.push_str("http:\n  addr: 127.0.0.1:0\n");
        if asks.tls {
            certificate(root, true);
            config.push_str(&format!(
                "  tls: {{certificate: {0}/cert.pem, key: {0}/key.pem}}\n",
                root.display()
            ));
        }
        fs::write(root.join("config.yml"), config).expect("written");
        let mut child = Command::new("docker-registry")
            .arg("serve")
            .arg(root.join("config.yml"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("docker-registry runs");
        let mut log = BufReader::new(child.stderr.take().expect("its log")).lines();
        let host = loop {
            let line = log.next().expect("docker-registry listens").expect("its log");
            if let Some((_, rest)) = line.split_once("listening on ") {
                let end = rest.find([',', '"', ' ']).unwrap_or(rest.len());
                break rest[..end].to_owned();
            }
        };
        // Nobody reads on, and a full pipe would stop it.
        std::thread::spawn(move || log.for_each(drop));
        Some(Self {
            child,
            host,
            directory: Some(directory),
        })
    }

    fn root(&self) -> &Path {
        self.directory.as_ref().expect("it was not stopped").path()
    }

    /// What it keeps, as its `rootdirectory`.
    pub(crate) fn data(&self) -> PathBuf {
        self.root().join("data")
    }

    /// Ends it, for its directory.
    pub(crate) fn stop(mut self) -> tempfile::TempDir {
        self.directory.take().expect("it was not stopped")
    }

    /// The certificate authority that vouches for it, in PEM.
    pub(crate) fn authority(&self) -> PathBuf {
        self.root().join("cert.pem")
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Makes `cert.pem` and `key.pem` for 127.0.0.1: an authority's that vouches for itself, as openssl has it where nothing more is said, or
/// one that may vouch for nobody else.
pub(crate) fn certificate(directory: &Path, is_authority: bool) {
    let constraints: &[&str] = match is_authority {
        true => &[],
        false => &["-addext", "basicConstraints=critical,CA:FALSE"],
    };
    output(
        Command::new("openssl")
            .args([
                "req",
                "-x509",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:prime256v1",
                "-nodes",
                "-days",
                "2",
            ])
            .args(["-subj", "/CN=test", "-addext", "subjectAltName=IP:127.0.0.1"])
            .args(constraints)
            .arg("-keyout")
            .arg(directory.join("key.pem"))
            .arg("-out")
            .arg(directory.join("cert.pem")),
    );
}

/// Whether a program is there to be run.
pub(crate) fn has(program: &str) -> bool {
    std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|directory| directory.join(program).is_file()))
}

/// Runs a program that must succeed, for its output.
pub(crate) fn output(command: &mut Command) -> Vec<u8> {
    let output = command.output().expect("it runs");
    assert!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    output.stdout
}
