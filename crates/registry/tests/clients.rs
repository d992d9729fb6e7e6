//! Do those who will use it push to it and pull from it? Real clients: Debian's, and the current ones that are Go modules.

use std::{fs, path::Path};

use crate::support::lab::{CRANE, Lab, ORAS, REGCTL, has, module};
use serde_json::json;
use teu_spec::{Digest, Format};

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
