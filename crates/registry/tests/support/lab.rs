//! A registry with an image in it, and a directory in which real clients run.

#![expect(clippy::print_stderr, reason = "a test that is passed over says so")]

use std::{ffi::OsStr, fs, path::PathBuf, process::Command, sync::Arc};

use bytes::Bytes;
use serde_json::json;
use teu_depot::{self as depot, Depot};
use teu_registry::{Clients, auth::Gate};
use teu_spec::{Descriptor, Digest, Document, Format, Index, Manifest, MediaType, Platform};
use teu_store::{ManyInMemory, Repositories};

use super::{Server, Setup, certificates::Pair, go::Module, writable};

pub(crate) const CRANE: Module = Module {
    name: "crane",
    module: "github.com/google/go-containerregistry",
    package: "github.com/google/go-containerregistry/cmd/crane",
    version: "v0.22.1",
};
pub(crate) const ORAS: Module = Module {
    name: "oras",
    module: "oras.land/oras",
    package: "oras.land/oras/cmd/oras",
    version: "v1.3.6",
};
pub(crate) const REGCTL: Module = Module {
    name: "regctl",
    module: "github.com/regclient/regclient",
    package: "github.com/regclient/regclient/cmd/regctl",
    version: "v0.11.7",
};

/// A registry with an image in it, and a directory in which clients run.
pub(crate) struct Lab {
    /// Where everybody may do everything.
    pub(crate) server: Server,
    /// The same place, where not everybody may.
    guarded: Option<Server>,
    /// What clients are sent to for tokens.
    issuer: Option<Server>,
    is_by_tls: bool,
    pub(crate) image: Document,
    directory: tempfile::TempDir,
}

impl Lab {
    /// One that keeps what is pushed as `teu serve` does, in a directory.
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let depot = runtime.block_on(Depot::open(&directory.path().join("depot"), depot::Settings::default()));
        Self::of(Arc::new(depot.expect("a depot")), directory, None)
    }

    /// One whose clients come through a gate, and by TLS where a certificate is shown. They find that in the directory `certificates`. What is pushed is kept in
    /// memory.
    pub(crate) fn guarded(shown: Option<&Pair>, clients: Option<Clients>, gate: Gate) -> Self {
        let setup = Setup {
            tls: shown.map(|shown| Arc::new(shown.tls(clients))),
            gate: Some(Arc::new(gate)),
            ..Setup::default()
        };
        let directory = tempfile::tempdir().expect("a directory");
        let lab = Self::of(Arc::new(ManyInMemory::new()), directory, Some(setup));
        if let Some(shown) = shown {
            fs::create_dir(lab.path("certificates")).expect("a directory");
            fs::copy(shown.directory.path().join("cert.pem"), lab.path("certificates/ca.crt")).expect("copied");
        }
        lab
    }

    /// The same, with a server that issues tokens.
    pub(crate) fn beside(self, issuer: Server) -> Self {
        Self {
            issuer: Some(issuer),
            ..self
        }
    }

    fn of(all: Arc<dyn Repositories>, directory: tempfile::TempDir, setup: Option<Setup>) -> Self {
        let server = Server::of(Arc::clone(&all), writable());
        let is_by_tls = setup.as_ref().is_some_and(|setup| setup.tls.is_some());
        let guarded = setup.map(|setup| Server::with(all, writable(), setup));
        let image = seed(&server);
        fs::create_dir(directory.path().join("home")).expect("a directory");
        fs::write(directory.path().join("home/config.json"), "{}").expect("written");
        Self {
            server,
            guarded,
            issuer: None,
            is_by_tls,
            image,
            directory,
        }
    }

    /// The first where clients come by TLS, else the second.
    pub(crate) fn choose<T>(&self, tls: T, plain: T) -> T {
        if self.is_by_tls { tls } else { plain }
    }

    /// How many requests there were for a token of another server.
    pub(crate) fn tokens(&self) -> usize {
        let log = self.issuer.as_ref().map(|issuer| issuer.log.lock().expect("a log"));
        log.map_or(0, |log| {
            log.iter().filter(|asked| asked.target.starts_with("/token")).count()
        })
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Where clients find it.
    pub(crate) fn host(&self) -> String {
        self.met().address.to_string()
    }

    /// The server that clients come to.
    pub(crate) fn met(&self) -> &Server {
        self.guarded.as_ref().unwrap_or(&self.server)
    }

    /// What an image is called, without a transport.
    pub(crate) fn image(&self, name: &str) -> String {
        format!("{}/{name}", self.host())
    }

    /// Runs a client that must succeed, for what it printed.
    #[track_caller]
    pub(crate) fn run<S: AsRef<OsStr>>(
        &self,
        program: impl AsRef<OsStr>,
        arguments: impl IntoIterator<Item = S>,
    ) -> String {
        let home = self.path("home");
        let mut command = Command::new(program);
        command
            .args(arguments)
            .current_dir(self.directory.path())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", &home)
            .env("XDG_RUNTIME_DIR", &home)
            .env("DOCKER_CONFIG", &home)
            .env("TMPDIR", self.directory.path())
            .env("SSL_CERT_FILE", self.path("certificates/ca.crt"));
        let output = command.output().expect("it runs");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            output.status.success(),
            "{command:?}: {said}{}",
            String::from_utf8_lossy(&output.stderr)
        );
        said
    }

    /// Pushes an index of images for several platforms as `multi:1`.
    pub(crate) fn push_index(&self) -> Document {
        let of = |architecture: &str| {
            let image = built(&self.server, "multi", architecture);
            let digest = Digest::of(image.raw()).to_string();
            self.server.push("multi", &digest, &image).expect(201);
            let mut member = image.descriptor();
            member.platform = Some(Platform::new("linux", architecture));
            member
        };
        let index = Index::build(Format::Oci, &["amd64", "arm64", "s390x"].map(of)).expect("an index");
        self.server.push("multi", "1", &index).expect(201);
        index
    }

    /// The image that stands under a name now.
    #[track_caller]
    pub(crate) fn found(&self, repository: &str, reference: &str) -> Document {
        let answer = self
            .server
            .get(&format!("/v2/{repository}/manifests/{reference}"))
            .expect(200);
        Document::parse(Bytes::from(answer.content), None).expect("a manifest")
    }

    /// It is the same image: its config says what it is, whatever a client does to compression.
    #[track_caller]
    pub(crate) fn is_the_same(&self, repository: &str, tag: &str) {
        let found = self.found(repository, tag);
        assert_eq!(found.children()[0].digest, self.image.children()[0].digest);
        self.is_whole(repository, tag);
    }

    /// All that an image names is there.
    #[track_caller]
    pub(crate) fn is_whole(&self, repository: &str, reference: &str) {
        for child in self.found(repository, reference).children() {
            let blob = self
                .server
                .get(&format!("/v2/{repository}/blobs/{}", child.digest))
                .expect(200);
            assert_eq!(Digest::of(&blob.content), child.digest);
        }
    }
}

/// A tar archive of one small file.
fn layer() -> Vec<u8> {
    let content = b"hello\n";
    let mut header = [0_u8; 512];
    for (at, text) in [
        (0, &b"hello.txt"[..]),
        (100, b"0000644"),
        (108, b"0000000"),
        (116, b"0000000"),
        (124, b"00000000006"),
        (136, b"00000000000"),
        (148, b"        "),
        (156, b"0"),
        (257, b"ustar\x0000"),
    ] {
        header[at..at + text.len()].copy_from_slice(text);
    }
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    let mut archive = header.to_vec();
    archive.extend_from_slice(content);
    archive.resize(512 * 4, 0);
    archive
}

/// Pushes an image that any engine takes.
fn seed(server: &Server) -> Document {
    let image = built(server, "seed", "amd64");
    server.push("seed", "1", &image).expect(201);
    image
}

/// Pushes what an image for a platform names.
fn built(server: &Server, repository: &str, architecture: &str) -> Document {
    let layer = layer();
    let config = json!({
        "architecture": architecture,
        "os": "linux",
        "config": {"Cmd": ["/hello.txt"]},
        "rootfs": {"type": "layers", "diff_ids": [Digest::of(&layer).to_string()]},
        "history": [{"created": "1970-01-01T00:00:00Z", "created_by": "by hand"}],
    });
    let config = config.to_string().into_bytes();
    server.push_blob(repository, &layer);
    server.push_blob(repository, &config);
    let layer = Descriptor::of(MediaType::OciLayer, &layer);
    let config = Descriptor::of(MediaType::OciConfig, &config);
    Manifest::build(Format::Oci, &config, &[layer]).expect("a manifest")
}

/// Whether a program of Debian's is there; else says loudly that `test` is passed over.
pub(crate) fn has(test: &str, programs: &[&str]) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let is_there = |program: &&str| std::env::split_paths(&path).any(|directory| directory.join(program).is_file());
    let missing: Vec<&str> = programs.iter().copied().filter(|program| !is_there(program)).collect();
    if !missing.is_empty() {
        eprintln!("SKIPPED {test}: {} missing", missing.join(", "));
    }
    missing.is_empty()
}

/// A program that is a Go module; else says loudly that `test` is passed over.
pub(crate) fn module(test: &str, module: &Module) -> Option<PathBuf> {
    match module.program() {
        Ok(program) => Some(program),
        Err(reason) => {
            eprintln!("SKIPPED {test}: {reason}");
            None
        }
    }
}
