//! Does `teu diff` tell in what two indexes differ, platform by platform?

use crate::{
    diff::{archive, base, differ, file, of, same, upper},
    support::{
        Image, Layout, Room,
        answers::{Answers, served, status},
    },
};
use serde_json::{Value, json};
use teu_spec::Digest;

/// An index of these images, with annotations of its own and for each.
fn indexed(layout: &Layout, name: &str, note: &str, images: &[(Value, &Image)]) -> Digest {
    let members: Vec<Value> = images
        .iter()
        .map(|(said, image)| {
            let (digest, size) = layout.manifest(image);
            let mut member = json!({"mediaType": image.manifest["mediaType"], "digest": digest, "size": size});
            for (key, value) in said.as_object().expect("an object") {
                member[key] = value.clone();
            }
            member
        })
        .collect();
    let kind = "application/vnd.oci.image.index.v1+json";
    let index = json!({"schemaVersion": 2, "mediaType": kind, "manifests": members, "annotations": {"note": note}});
    let (digest, _) = layout.document(&index);
    layout.name(name, &digest, Some(kind));
    digest
}

/// What was printed, which looks as if it had been printed as one.
fn parsed(printed: &str) -> Value {
    let value: Value = serde_json::from_str(printed).expect("JSON");
    let whole = teu_spec::go_json::indented(&value, "    ").expect("JSON");
    assert_eq!(printed, format!("{whole}\n"));
    value
}

fn on(architecture: &str) -> Value {
    json!({"platform": {"os": "linux", "architecture": architecture}})
}

/// What this machine does not run counts too.
#[test]
fn two_indexes_are_compared_platform_by_platform() {
    let room = Room::new();
    let layout = room.layout("images");
    let amd = of(&[base()]);
    let arm = |layers: &[Vec<u8>]| {
        let mut image = of(layers);
        image.config["architecture"] = "arm64".into();
        image
    };
    let (old, new) = (arm(&[base()]), arm(&[base(), archive(&[file("new", "new")])]));
    let mut attested = of(&[]);
    attested.config["os"] = "unknown".into();
    let about = |image: &Image| {
        json!({"platform": {"os": "unknown", "architecture": "unknown"}, "annotations": {
            "vnd.docker.reference.type": "attestation-manifest",
            "vnd.docker.reference.digest": layout.manifest(image).0,
        }})
    };
    let first = indexed(
        &layout,
        "first",
        "1",
        &[
            (on("amd64"), &amd),
            (on("arm64"), &old),
            (on("s390x"), &amd),
            (about(&old), &attested),
        ],
    );
    let mut other = attested.clone();
    other.config["author"] = "another".into();
    let mut said = on("amd64");
    said["annotations"] = json!({"about": "x"});
    let second = indexed(
        &layout,
        "second",
        "2",
        &[
            (about(&new), &other),
            (on("arm64"), &new),
            (said, &amd),
            (on("riscv64"), &amd),
        ],
    );
    let (one, two) = ("oci:images:first", "oci:images:second");
    let digest = |image: &Image| layout.manifest(image).0;
    let expected = format!(
        "\
--- {one} {first} index
+++ {two} {second} index

index
  ~ annotations.note: \"1\" -> \"2\"
  + linux/amd64: annotations: {{\"about\":\"x\"}}
  - linux/s390x: {amd}
  + linux/riscv64: {amd}

--- {one} {old} linux/arm64
+++ {two} {new} linux/arm64

config
",
        amd = digest(&amd),
        old = digest(&old),
        new = digest(&new),
    );
    let told = differ(&room, &[one, two]);
    assert!(told.starts_with(&expected), "{told}\n{expected}");
    let expected = format!(
        "
files: 1 added, 0 removed, 0 changed
  + /new  -rw-r--r-- 0:0 3 B

--- {one} {attested} attestation of linux/arm64
+++ {two} {other} attestation of linux/arm64

no image, and compared by its digest alone
",
        attested = digest(&attested),
        other = digest(&other),
    );
    assert!(told.ends_with(&expected), "{told}\n{expected}");
    let told = parsed(&differ(&room, &["-o", "json", "--files", one, two]));
    let platforms = told["platforms"].as_array().expect("a list");
    let changes: Vec<[&str; 2]> = platforms
        .iter()
        .map(|of| [&of["platform"], &of["change"]].map(|word| word.as_str().expect("a word")))
        .collect();
    assert_eq!(
        changes,
        [
            ["linux/amd64", "same"],
            ["linux/arm64", "changed"],
            ["linux/s390x", "removed"],
            ["attestation of linux/arm64", "same"],
            ["linux/riscv64", "added"],
        ]
    );
    assert_eq!((&told["same"], &told["index"]), (&json!(false), &json!([])));
    assert_eq!(told["before"], json!({"reference": one, "digest": first}));
    assert_eq!(platforms[1]["image"]["files"][0]["path"], "/new");
    let told = parsed(&differ(&room, &["-o", "json", "--config", one, two]));
    assert_eq!(
        told["index"],
        json!([{"path": "annotations.note", "before": "1", "after": "2"}])
    );
    assert_eq!(
        told["platforms"][0]["listed"],
        json!([{"path": "annotations", "before": null, "after": {"about": "x"}}])
    );
    assert_eq!(told["platforms"][3]["change"], "changed");
    // One platform alone is asked for, and is the same.
    same(&room, &["--platform", "linux/amd64", one, two]);
}

#[test]
fn two_indexes_of_the_same_are_the_same_in_whatever_order() {
    let room = Room::new();
    let layout = room.layout("images");
    let amd = of(&[base()]);
    let mut arm = of(&[upper()]);
    arm.config["architecture"] = "arm64".into();
    let mut later = arm.clone();
    later.config["created"] = "2026-12-01T00:00:00Z".into();
    indexed(&layout, "first", "", &[(on("amd64"), &amd), (on("arm64"), &arm)]);
    indexed(&layout, "second", "", &[(on("arm64"), &later), (on("amd64"), &amd)]);
    same(&room, &["oci:images:first", "oci:images:second"]);
    let told = differ(&room, &["--times", "oci:images:first", "oci:images:second"]);
    assert!(
        told.contains("\nconfig\n  + created: \"2026-12-01T00:00:00Z\"\n") || told.contains("~ created:"),
        "{told}"
    );
    assert!(!told.contains("index"), "{told}");
}

#[test]
fn an_index_is_itself_whatever_platforms_it_has() {
    let room = Room::new();
    let layout = room.layout("images");
    let mut other = of(&[base()]);
    other.config["architecture"] = "s390x".into();
    indexed(&layout, "app", "", &[(on("s390x"), &other)]);
    same(&room, &["oci:images:app", "oci:images:app"]);
    let ran = room
        .teu(["diff", "-o", "json", "oci:images:app", "oci:images:app"])
        .succeeds();
    let told = parsed(&ran.stdout);
    assert_eq!(told["same"], json!(true));
    assert_eq!(told["platforms"][0]["platform"], "linux/s390x");
    assert_eq!(told["platforms"][0]["image"], json!(null));
}

/// What was compared is not held until all is.
#[test]
fn what_differs_is_printed_as_soon_as_it_is_known() {
    let room = Room::new();
    let layout = room.layout("images");
    let arm = |layers: &[Vec<u8>]| {
        let mut image = of(layers);
        image.config["architecture"] = "arm64".into();
        image
    };
    let (amd, new) = (of(&[base()]), of(&[archive(&[file("new", "new")])]));
    let absent = archive(&[file("absent", "")]);
    let (old, other) = (arm(&[base()]), arm(std::slice::from_ref(&absent)));
    let first = indexed(&layout, "first", "1", &[(on("amd64"), &amd), (on("arm64"), &old)]);
    let second = indexed(&layout, "second", "2", &[(on("amd64"), &new), (on("arm64"), &other)]);
    std::fs::remove_file(layout.blob_path(&Digest::of(&absent))).expect("removed");
    let (one, two) = ("oci:images:first", "oci:images:second");
    let ran = room.teu(["diff", "--files", one, two]).ran();
    assert_eq!(ran.code, 2);
    assert!(ran.stderr.contains("comparing linux/arm64: "), "{}", ran.stderr);
    let [amd, new] = [&amd, &new].map(|image| layout.manifest(image).0);
    let expected = format!("--- {one} {amd} linux/amd64\n+++ {two} {new} linux/amd64\n\nfiles: ");
    assert!(ran.stdout.starts_with(&expected), "{}", ran.stdout);
    let ran = room.teu(["diff", one, two]).ran();
    let expected = format!("--- {one} {first} index\n+++ {two} {second} index\n\nindex\n  ~ annotations.note: ");
    assert!(ran.code == 2 && ran.stdout.starts_with(&expected), "{}", ran.stdout);
    // Whoever reads nothing learns from the exit code what the first difference tells.
    for format in ["text", "json"] {
        for (after, code) in [(one, 0), (two, 1)] {
            let unread = room.teu(["diff", "--output", format, "--config", one, after]).unread();
            assert_eq!(unread.status.code(), Some(code), "{format} {after}");
        }
    }
}

/// Of a registry an index comes by its name at once, then of each image that is another one the manifest and its config, and no more.
#[test]
fn a_registry_is_asked_for_no_document_twice() {
    let room = Room::new();
    let layout = room.layout("images");
    let amd = of(&[base()]);
    let mut old = of(&[upper()]);
    old.config["architecture"] = "arm64".into();
    let mut new = old.clone();
    new.config["author"] = "another".into();
    indexed(&layout, "first", "", &[(on("amd64"), &amd), (on("arm64"), &old)]);
    let second = indexed(&layout, "second", "", &[(on("amd64"), &amd), (on("arm64"), &new)]);
    let (manifest, _) = layout.manifest(&new);
    let config = Digest::of(&serde_json::to_vec(&new.config).expect("JSON"));
    let registry = Answers::start(move |request| served(&layout, &second, request).unwrap_or(status(404)));
    let there = format!("docker://{}/app:2", registry.host);
    let told = differ(&room, &["--tls-verify=false", "oci:images:first", &there]);
    assert!(told.ends_with("\nconfig\n  + author: \"another\"\n"), "{told}");
    assert_eq!(
        registry.lines(),
        [
            "GET /v2/app/manifests/2".to_owned(),
            format!("GET /v2/app/manifests/{manifest}"),
            format!("GET /v2/app/blobs/{config}"),
        ]
    );
}
