//! Do those who will use it push to it and pull from it? Real clients: Debian's, and the current ones that are Go modules.

#![expect(clippy::print_stderr, reason = "a test that is passed over says so")]

mod support;

use std::{
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use bytes::Bytes;
use serde_json::json;
use support::{Server, go::Module};
use teu_spec::{Descriptor, Digest, Document, Format, Manifest, MediaType};

const CRANE: Module = Module {
    name: "crane",
    module: "github.com/google/go-containerregistry",
    package: "github.com/google/go-containerregistry/cmd/crane",
    version: "v0.22.1",
};
const ORAS: Module = Module {
    name: "oras",
    module: "oras.land/oras",
    package: "oras.land/oras/cmd/oras",
    version: "v1.3.6",
};
const REGCTL: Module = Module {
    name: "regctl",
    module: "github.com/regclient/regclient",
    package: "github.com/regclient/regclient/cmd/regctl",
    version: "v0.11.7",
};

/// A registry with an image in it, and a directory in which clients run.
struct Lab {
    server: Server,
    image: Document,
    directory: tempfile::TempDir,
}

impl Lab {
    fn new() -> Self {
        let server = Server::start();
        let image = seed(&server);
        let directory = tempfile::tempdir().expect("a directory");
        fs::create_dir(directory.path().join("home")).expect("a directory");
        fs::write(directory.path().join("home/config.json"), "{}").expect("written");
        Self {
            server,
            image,
            directory,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// What an image is called, without a transport.
    fn image(&self, name: &str) -> String {
        format!("{}/{name}", self.server.address)
    }

    /// Runs a client that must succeed, for what it printed.
    #[track_caller]
    fn run<S: AsRef<OsStr>>(&self, program: impl AsRef<OsStr>, arguments: impl IntoIterator<Item = S>) -> String {
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
            .env("TMPDIR", self.directory.path());
        let output = command.output().expect("it runs");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            output.status.success(),
            "{command:?}: {said}{}",
            String::from_utf8_lossy(&output.stderr)
        );
        said
    }

    /// The image that stands under a name now.
    #[track_caller]
    fn found(&self, repository: &str, tag: &str) -> Document {
        let answer = self
            .server
            .get(&format!("/v2/{repository}/manifests/{tag}"))
            .expect(200);
        Document::parse(Bytes::from(answer.content), None).expect("a manifest")
    }

    /// It is the same image: its config says what it is, whatever a client does to compression.
    #[track_caller]
    fn is_the_same(&self, repository: &str, tag: &str) {
        let found = self.found(repository, tag);
        assert_eq!(found.children()[0].digest, self.image.children()[0].digest);
        for child in found.children() {
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
    let layer = layer();
    let config = json!({
        "architecture": "amd64",
        "os": "linux",
        "config": {"Cmd": ["/hello.txt"]},
        "rootfs": {"type": "layers", "diff_ids": [Digest::of(&layer).to_string()]},
        "history": [{"created": "1970-01-01T00:00:00Z", "created_by": "by hand"}],
    });
    let config = config.to_string().into_bytes();
    server.push_blob("seed", &layer);
    server.push_blob("seed", &config);
    let layer = Descriptor::of(MediaType::OciLayer, &layer);
    let config = Descriptor::of(MediaType::OciConfig, &config);
    let image = Manifest::build(Format::Oci, &config, &[layer]).expect("a manifest");
    server.push("seed", "1", &image).expect(201);
    image
}

/// Whether a program of Debian's is there; else says loudly that `test` is passed over.
fn has(test: &str, programs: &[&str]) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let is_there = |program: &&str| std::env::split_paths(&path).any(|directory| directory.join(program).is_file());
    let missing: Vec<&str> = programs.iter().copied().filter(|program| !is_there(program)).collect();
    if !missing.is_empty() {
        eprintln!("SKIPPED {test}: {} missing", missing.join(", "));
    }
    missing.is_empty()
}

/// A program that is a Go module; else says loudly that `test` is passed over.
fn module(test: &str, module: &Module) -> Option<PathBuf> {
    match module.program() {
        Ok(program) => Some(program),
        Err(reason) => {
            eprintln!("SKIPPED {test}: {reason}");
            None
        }
    }
}

#[test]
fn skopeo() {
    if !has("clients::skopeo", &["skopeo"]) {
        return;
    }
    let lab = Lab::new();
    let plain = ["--src-tls-verify=false", "--dest-tls-verify=false"];
    let copy = |from: &str, to: &str, more: &[&str]| {
        let arguments = [&["--insecure-policy", "copy", from, to], &plain[..], more].concat();
        lab.run("skopeo", arguments);
    };
    let at = |name: &str| format!("docker://{}", lab.image(name));
    copy(&at("seed:1"), "oci:layout:1", &[]);
    copy("oci:layout:1", &at("skopeo:1"), &[]);
    lab.is_the_same("skopeo", "1");
    assert_eq!(lab.found("skopeo", "1").raw(), lab.image.raw());
    // From repository to repository, mounted where it can be.
    copy(&at("seed:1"), &at("mounted:1"), &[]);
    lab.is_the_same("mounted", "1");
    copy(&at("seed:1"), &at("docker:1"), &["--format", "v2s2"]);
    let docker = lab.found("docker", "1");
    assert_eq!(docker.format(), Format::Docker);
    copy(&at("docker:1"), "docker-archive:docker.tar:app:1", &[]);
    let inspected = lab.run("skopeo", ["inspect", "--tls-verify=false", &at("skopeo:1")]);
    assert!(
        inspected.contains(&Digest::of(lab.image.raw()).to_string()),
        "{inspected}"
    );
    let tags = lab.run("skopeo", ["list-tags", "--tls-verify=false", &at("skopeo")]);
    assert!(tags.contains("\"1\""), "{tags}");
    lab.run("skopeo", ["delete", "--tls-verify=false", &at("skopeo:1")]);
    lab.server.get("/v2/skopeo/manifests/1").expect(404);
}

/// Podman and buildah keep images of their own, in the room.
fn engine(name: &str) {
    if !has(&format!("clients::{name}"), &[name]) {
        return;
    }
    let lab = Lab::new();
    let policy = lab.path("policy.json");
    fs::write(&policy, r#"{"default": [{"type": "insecureAcceptAnything"}]}"#).expect("written");
    let (root, run) = (lab.path("storage"), lab.path("run"));
    let policy = policy.to_str().expect("a path");
    let run = |verb: &str, arguments: &[&str]| {
        let storage = [
            "--root",
            root.to_str().expect("a path"),
            "--runroot",
            run.to_str().expect("a path"),
        ];
        let options: &[&str] = &["--storage-driver", "vfs"];
        let first = [&storage[..], options, &[verb]].concat();
        lab.run(name, [&first[..], arguments].concat())
    };
    let checked = ["--tls-verify=false", "--signature-policy", policy];
    run("pull", &[&checked[..], &[&lab.image("seed:1")]].concat());
    let to = lab.image(&format!("{name}:1"));
    run(
        "push",
        &[&checked[..], &[&lab.image("seed:1"), &format!("docker://{to}")]].concat(),
    );
    lab.is_the_same(name, "1");
    // What was pushed is what is pulled again, without what is kept here.
    run("rmi", &["--all", "--force"]);
    run("pull", &[&checked[..], &[&to]].concat());
    let images = run("images", &[]);
    assert!(images.contains(&lab.image(name)), "{images}");
}

#[test]
fn podman() {
    engine("podman");
}

#[test]
fn buildah() {
    engine("buildah");
}

#[test]
fn umoci_beside_skopeo() {
    if !has("clients::umoci_beside_skopeo", &["umoci", "skopeo"]) {
        return;
    }
    let lab = Lab::new();
    let at = |name: &str| format!("docker://{}", lab.image(name));
    let copy = ["--insecure-policy", "copy"];
    lab.run(
        "skopeo",
        [&copy[..], &["--src-tls-verify=false", &at("seed:1"), "oci:layout:1"]].concat(),
    );
    lab.run(
        "umoci",
        [
            "config",
            "--image",
            "layout:1",
            "--tag",
            "2",
            "--config.label",
            "by=umoci",
        ],
    );
    lab.run(
        "skopeo",
        [&copy[..], &["--dest-tls-verify=false", "oci:layout:2", &at("umoci:2")]].concat(),
    );
    let found = lab.found("umoci", "2");
    let config = lab
        .server
        .get(&format!("/v2/umoci/blobs/{}", found.children()[0].digest))
        .expect(200);
    assert_eq!(config.json()["config"]["Labels"], json!({"by": "umoci"}));
}

#[test]
fn crane() {
    let Some(crane) = module("clients::crane", &CRANE) else {
        return;
    };
    let lab = Lab::new();
    let run = |arguments: &[&str]| lab.run(&crane, [&["--insecure"], arguments].concat());
    run(&["copy", &lab.image("seed:1"), &lab.image("crane:1")]);
    assert_eq!(lab.found("crane", "1").raw(), lab.image.raw());
    run(&["pull", &lab.image("crane:1"), "image.tar"]);
    run(&["push", "image.tar", &lab.image("crane:2")]);
    lab.is_the_same("crane", "2");
    run(&["validate", "--remote", &lab.image("crane:2")]);
    run(&[
        "append",
        "-b",
        &lab.image("crane:1"),
        "-f",
        "image.tar",
        "-t",
        &lab.image("appended:1"),
    ]);
    assert_eq!(lab.found("appended", "1").children().len(), 3);
    run(&["tag", &lab.image("crane:1"), "3"]);
    assert_eq!(run(&["ls", &lab.image("crane")]), "1\n2\n3\n");
    let catalog = run(&["catalog", &lab.server.address.to_string()]);
    assert_eq!(catalog, "appended\ncrane\nseed\n");
    let digest = run(&["digest", &lab.image("crane:3")]);
    run(&["delete", &format!("{}@{}", lab.image("crane"), digest.trim())]);
    lab.server.get("/v2/crane/manifests/1").expect(404);
}

#[test]
fn oras() {
    let Some(oras) = module("clients::oras", &ORAS) else {
        return;
    };
    let lab = Lab::new();
    let plain = "--plain-http";
    fs::write(lab.path("notes.txt"), "notes\n").expect("written");
    let run = |arguments: &[&str]| lab.run(&oras, arguments);
    run(&["push", plain, &lab.image("oras:1"), "notes.txt:text/plain"]);
    fs::create_dir(lab.path("pulled")).expect("a directory");
    run(&["pull", plain, &lab.image("oras:1"), "-o", "pulled"]);
    assert_eq!(fs::read(lab.path("pulled/notes.txt")).expect("a file"), b"notes\n");
    run(&[
        "copy",
        "--from-plain-http",
        "--to-plain-http",
        &lab.image("seed:1"),
        &lab.image("copied:1"),
    ]);
    assert_eq!(lab.found("copied", "1").raw(), lab.image.raw());
    run(&[
        "attach",
        plain,
        "--artifact-type",
        "text/notes",
        &lab.image("seed:1"),
        "notes.txt",
    ]);
    let about = run(&["discover", plain, "--format", "json", &lab.image("seed:1")]);
    assert!(about.contains("text/notes"), "{about}");
    assert_eq!(run(&["repo", "tags", plain, &lab.image("oras")]), "1\n");
    assert_eq!(
        run(&["repo", "ls", plain, &lab.server.address.to_string()]),
        "copied\noras\nseed\n"
    );
    run(&["manifest", "delete", plain, "--force", &lab.image("oras:1")]);
    lab.server.get("/v2/oras/manifests/1").expect(404);
}

#[test]
fn regctl() {
    let Some(regctl) = module("clients::regctl", &REGCTL) else {
        return;
    };
    let lab = Lab::new();
    let host = format!("reg={},tls=disabled", lab.server.address);
    let run = |arguments: &[&str]| lab.run(&regctl, [&["--host", host.as_str()], arguments].concat());
    run(&["image", "copy", &lab.image("seed:1"), &lab.image("regctl:1")]);
    assert_eq!(lab.found("regctl", "1").raw(), lab.image.raw());
    run(&["image", "copy", &lab.image("seed:1"), "ocidir://layout:1"]);
    run(&["image", "copy", "ocidir://layout:1", &lab.image("regctl:2")]);
    lab.is_the_same("regctl", "2");
    fs::write(lab.path("notes.txt"), "notes\n").expect("written");
    let notes: &Path = &lab.path("notes.txt");
    let put = [
        "artifact",
        "put",
        "--artifact-type",
        "text/notes",
        "-f",
        notes.to_str().expect("a path"),
        "--subject",
    ];
    run(&[&put[..], &[&lab.image("regctl:1")]].concat());
    let about = run(&["artifact", "list", "--format", "{{json .}}", &lab.image("regctl:1")]);
    assert!(about.contains("text/notes"), "{about}");
    assert_eq!(run(&["tag", "ls", &lab.image("regctl")]), "1\n2\n");
    // A tag goes alone, as distribution-spec has it.
    run(&["tag", "rm", &lab.image("regctl:2")]);
    lab.found("regctl", "1");
    lab.server.get("/v2/regctl/manifests/2").expect(404);
    assert_eq!(run(&["repo", "ls", &lab.server.address.to_string()]), "regctl\nseed\n");
}
