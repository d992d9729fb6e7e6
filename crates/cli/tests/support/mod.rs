//! What the tests of the command line stand on: a room of their own to run `teu` in, images of any content, and peers where they are there.
//!
//! ```ignore
//! let room = Room::new();
//! let digest = room.layout("images").image("app", &image());
//! let printed = room.teu(["digest", "oci:images:app"]).succeeds();
//! assert_eq!(printed.stdout, format!("{digest}\n"));
//! ```

#![allow(
    dead_code,
    unused_imports,
    clippy::print_stderr,
    reason = "each test uses a part of it, and says what it passes over"
)]

pub(crate) mod answers;
pub(crate) mod counting;
mod guarded;
mod layers;
mod layout;
mod podman;
pub(crate) mod relay;
pub(crate) mod tree;
// The registry that the client's own tests talk to.
#[path = "../../../transport/tests/support/peer.rs"]
pub(crate) mod peer;
// The canaries of the door's own tests.
#[path = "../../../rootfs/tests/support/canaries.rs"]
pub(crate) mod canaries;
mod seen;
mod served;
#[path = "../../../rootfs/tests/support/small.rs"]
pub(crate) mod small;

use std::{
    ffi::OsStr,
    fs,
    io::Write,
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

pub(crate) use layers::{archive, bare, directory, file, of};
pub(crate) use layout::{Image, Layout, image, layer};
pub(crate) use peer::{Asks, Peer, has};
pub(crate) use podman::Podman;
pub(crate) use seen::seen;
pub(crate) use served::{Served, ask, free_port, until};

/// A directory in which programs run, with a home of its own and nothing of ours in their environment.
pub(crate) struct Room {
    directory: tempfile::TempDir,
    variables: Vec<(String, PathBuf)>,
}

/// What a program left behind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ran {
    /// Its exit code; 128 and the signal that ended it.
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Room {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        for name in ["home", "runtime", "work", "tmp", "bin"] {
            std::fs::create_dir(directory.path().join(name)).expect("a directory");
        }
        for name in ["skopeo", "registry"] {
            std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_teu"), directory.path().join("bin").join(name))
                .expect("a link");
        }
        Self {
            directory,
            variables: Vec::new(),
        }
    }

    /// A path in the directory that programs run in.
    pub(crate) fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.directory.path().join("work").join(name)
    }

    /// A path in the home.
    pub(crate) fn home(&self, name: impl AsRef<Path>) -> PathBuf {
        self.directory.path().join("home").join(name)
    }

    /// A path in what `XDG_RUNTIME_DIR` names.
    pub(crate) fn runtime(&self, name: impl AsRef<Path>) -> PathBuf {
        self.directory.path().join("runtime").join(name)
    }

    /// Writes a file, with the directories above it, and says where.
    pub(crate) fn file(&self, path: impl AsRef<Path>, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(path);
        std::fs::create_dir_all(path.parent().expect("a directory")).expect("made");
        std::fs::write(&path, content).expect("written");
        path
    }

    /// An OCI layout, made by hand.
    pub(crate) fn layout(&self, name: &str) -> Layout {
        Layout::create(&self.path(name))
    }

    /// A file `users` of these names and passwords, in the place of the one that is there, as editors do it. It wants `htpasswd`.
    pub(crate) fn users(&self, users: &[(&str, &str)]) {
        let lines = users.iter().map(|(user, password)| {
            let made = self.run("htpasswd", ["-nbB", "-C", "4", user, password]).succeeds();
            made.stdout.trim().to_owned() + "\n"
        });
        let new = self.file("users.new", lines.collect::<String>());
        fs::rename(new, self.path("users")).expect("renamed");
    }

    /// Sets a variable for all that runs here from now on.
    pub(crate) fn set(&mut self, name: &str, value: impl Into<PathBuf>) {
        self.variables.push((name.to_owned(), value.into()));
    }

    /// `teu`.
    pub(crate) fn teu<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Run {
        self.run(env!("CARGO_BIN_EXE_teu"), arguments)
    }

    /// `teu`, called by the name of skopeo.
    pub(crate) fn as_skopeo<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Run {
        let link = self.directory.path().join("bin/skopeo");
        self.run(&link, arguments)
    }

    /// `teu`, called by the name of registry:2.
    pub(crate) fn as_registry<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Run {
        let link = self.directory.path().join("bin/registry");
        self.run(&link, arguments)
    }

    /// Debian's skopeo, whose policies are not what is tested.
    pub(crate) fn skopeo<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Run {
        let mut run = self.run("skopeo", ["--insecure-policy"]);
        run.0.args(arguments);
        run
    }

    /// Any program, in the same environment.
    pub(crate) fn run<S: AsRef<OsStr>>(
        &self,
        program: impl AsRef<OsStr>,
        arguments: impl IntoIterator<Item = S>,
    ) -> Run {
        let root = self.directory.path();
        let mut command = Command::new(program);
        command
            .args(arguments)
            .current_dir(root.join("work"))
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", root.join("home"))
            .env("XDG_RUNTIME_DIR", root.join("runtime"))
            .env("TMPDIR", root.join("tmp"))
            .env("LC_ALL", "C.UTF-8")
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null());
        Run(command)
    }
}

/// A program about to run.
pub(crate) struct Run(pub(crate) Command);

impl Run {
    /// The same with a variable.
    pub(crate) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.0.env(name, value);
        self
    }

    /// Runs it.
    pub(crate) fn ran(self) -> Ran {
        self.ran_with(&[])
    }

    /// Runs it with this on its standard input.
    pub(crate) fn ran_with(self, input: &[u8]) -> Ran {
        self.ran_watched(input, |_| {})
    }

    /// The same; `begun` is told its number as soon as it runs.
    fn ran_watched(mut self, input: &[u8], begun: impl FnOnce(u32)) -> Ran {
        let pipes = self
            .0
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = pipes.spawn().expect("it runs");
        begun(child.id());
        let mut stdin = child.stdin.take().expect("its input");
        let input = input.to_vec();
        let told = std::thread::spawn(move || {
            // One that does not read its input is none the worse.
            let _ = stdin.write_all(&input);
        });
        let output = child.wait_with_output().expect("it ends");
        told.join().expect("told");
        Ran {
            code: output
                .status
                .code()
                .or_else(|| output.status.signal().map(|signal| 128 + signal))
                .expect("an end"),
            stdout: String::from_utf8(output.stdout).expect("UTF-8"),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Runs it while nobody reads what it prints.
    pub(crate) fn unread(mut self) -> Output {
        let command = self.0.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("it runs");
        drop(child.stdout.take());
        child.wait_with_output().expect("it ends")
    }

    /// Runs it; it must succeed.
    #[track_caller]
    pub(crate) fn succeeds(self) -> Ran {
        let said = format!("{:?}", self.0);
        let ran = self.ran();
        assert_eq!(ran.code, 0, "{said}: {}{}", ran.stdout, ran.stderr);
        ran
    }

    /// Runs it; it must fail with this exit code, and say nothing on standard output. What it says on standard error.
    #[track_caller]
    pub(crate) fn fails(self, code: i32) -> String {
        let said = format!("{:?}", self.0);
        let ran = self.ran();
        assert_eq!(ran.code, code, "{said}: {}{}", ran.stdout, ran.stderr);
        assert_eq!(ran.stdout, "", "{said}");
        ran.stderr
    }
}

/// Whether all `programs` are there; else says loudly that `test` is passed over.
pub(crate) fn peers(test: &str, programs: &[&str]) -> bool {
    let missing: Vec<&str> = programs.iter().copied().filter(|program| !has(program)).collect();
    if missing.is_empty() {
        return true;
    }
    eprintln!("SKIPPED {test}: {} missing", missing.join(", "));
    false
}
