//! Called as skopeo, do we speak and do as it does? Debian's skopeo beside us: what is printed where, what is refused, what becomes of layers.

use std::fs;

use crate::support::{self, Asks, Peer, Room, image, layer, peers};
use serde_json::{Value, json};

/// What skopeo 1.9.3 said and newer ones do not.
fn newer(stdout: &str) -> String {
    stdout
        .lines()
        .filter(|line| *line != "Storing signatures")
        .map(|line| format!("{line}\n"))
        .collect()
}

/// Two layers, of which one is compressed.
fn mixed(room: &Room) {
    let plain = layer("plain");
    let packed = room.file("packed.tar", layer("packed"));
    let gzipped = room
        .run("gzip", ["-nc".as_ref(), packed.as_os_str()])
        .0
        .output()
        .expect("gzip runs")
        .stdout;
    let mut image = image();
    image.config["rootfs"]["diff_ids"] = json!([
        teu_spec::Digest::of(&plain).to_string(),
        teu_spec::Digest::of(&layer("packed")).to_string(),
    ]);
    image.layers = vec![
        ("application/vnd.oci.image.layer.v1.tar".to_owned(), plain),
        ("application/vnd.oci.image.layer.v1.tar+gzip".to_owned(), gzipped),
    ];
    let layout = room.layout("images");
    layout.image("app", &image);
    layout.index("all", &[("linux/amd64", &image), ("linux/arm64", &support::image())]);
}

#[test]
fn a_copy_says_what_skopeo_says() {
    let test = "a_copy_says_what_skopeo_says";
    if !peers(test, &["skopeo"]) {
        return;
    }
    let Some(registry) = Peer::start(test, Asks::default()) else {
        return;
    };
    let room = Room::new();
    mixed(&room);
    let host = &registry.host;
    for (from, to) in [
        ("oci:images:app".to_owned(), "dir:NAME".to_owned()),
        ("oci:images:app".to_owned(), format!("docker://{host}/NAME:1")),
        ("oci:images:app".to_owned(), format!("docker://{host}/NAME:1")),
        ("oci:images:all".to_owned(), format!("docker://{host}/NAME:2")),
        (format!("docker://{host}/NAME:1"), "oci:NAME-layout:app".to_owned()),
        (format!("docker://{host}/NAME:1"), format!("docker://{host}/NAME:3")),
    ] {
        let run = |name: &str, ours: bool| {
            // Both read the same, as each compresses to bytes of its own.
            let (from, to) = (from.replace("NAME", "theirs"), to.replace("NAME", name));
            let arguments = ["copy", "--src-tls-verify=false", "--dest-tls-verify=false", &from, &to];
            match ours {
                true => room.as_skopeo(arguments).succeeds(),
                false => room.skopeo(arguments).succeeds(),
            }
        };
        let (theirs, ours) = (run("theirs", false), run("ours", true));
        assert_eq!(sorted(&ours.stdout), sorted(&newer(&theirs.stdout)), "{from} {to}");
        assert_eq!(ours.stderr, "", "{from} {to}");
        let [first, .., config, last] = &ours.stdout.lines().collect::<Vec<_>>()[..] else {
            panic!("{}", ours.stdout)
        };
        assert_eq!(*first, "Getting image source signatures");
        assert!(config.starts_with("Copying config sha256:"), "{config}");
        assert_eq!(*last, "Writing manifest to image destination");
    }
    assert_eq!(
        room.as_skopeo(["copy", "-q", "oci:images:app", "dir:quiet"])
            .succeeds()
            .stdout,
        ""
    );
    // By our own name the digest alone is the result.
    let ours = room
        .teu(["copy", "--progress", "none", "oci:images:app", "dir:own"])
        .succeeds();
    let digest = room.teu(["digest", "oci:images:app"]).succeeds().stdout;
    assert_eq!((ours.stdout, ours.stderr), (digest, String::new()));
}

/// Blobs are copied side by side, in whatever order.
fn sorted(text: &str) -> Vec<&str> {
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    lines
}

#[test]
fn layers_are_compressed_where_skopeo_compresses_them() {
    let test = "layers_are_compressed_where_skopeo_compresses_them";
    if !peers(test, &["skopeo", "gzip"]) {
        return;
    }
    let Some(registry) = Peer::start(test, Asks::default()) else {
        return;
    };
    let room = Room::new();
    mixed(&room);
    let host = &registry.host;
    let types = |place: &str| -> Vec<String> {
        let raw = room
            .teu(["manifest", "get", "--tls-verify=false", place])
            .succeeds()
            .stdout;
        let manifest: Value = serde_json::from_str(&raw).expect("JSON");
        let layers = manifest["layers"].as_array().expect("layers").iter();
        layers
            .map(|layer| layer["mediaType"].as_str().expect("a type").to_owned())
            .collect()
    };
    for (to, flags) in [
        (format!("docker://{host}/NAME/1:1"), &[][..]),
        (format!("docker://{host}/NAME/3:1"), &["--format=v2s2"]),
        (format!("docker://{host}/NAME/4:1"), &["--dest-decompress=false"]),
        ("oci:NAME-layout-1:1".to_owned(), &[]),
        (
            "oci:NAME-layout:2".to_owned(),
            &["--dest-oci-accept-uncompressed-layers"],
        ),
        ("oci:NAME-layout-3:1".to_owned(), &["--dest-compress-format=zstd"]),
        (
            "oci:NAME-layout:4".to_owned(),
            &["--dest-compress-format", "gzip", "--dest-compress-level", "9"],
        ),
        ("dir:NAME-dir-1".to_owned(), &[]),
        ("dir:NAME-dir-2".to_owned(), &["--dest-compress"]),
        ("dir:NAME-dir-3".to_owned(), &["--dest-decompress"]),
        // It comes last, as skopeo remembers that the registry has the layer as it is, and mounts it.
        (format!("docker://{host}/NAME/2:1"), &["--preserve-digests"]),
    ] {
        let (theirs, ours) = (to.replace("NAME", "theirs"), to.replace("NAME", "ours"));
        let arguments = |to: &str| -> Vec<String> {
            let fixed = ["copy", "-q", "--dest-tls-verify=false"].iter().chain(flags).copied();
            fixed.chain(["oci:images:app", to]).map(str::to_owned).collect()
        };
        room.skopeo(arguments(&theirs)).succeeds();
        room.as_skopeo(arguments(&ours)).succeeds();
        assert_eq!(types(&ours), types(&theirs), "{to} {flags:?}");
        // What it makes of them is read by the other.
        room.skopeo([
            "copy",
            "-q",
            "--src-tls-verify=false",
            &ours,
            &format!("dir:read-{}", to.len()),
        ])
        .succeeds();
        room.teu(["verify", "--tls-verify=false", &ours]).succeeds();
    }
    // As teu, bytes stay as they are.
    room.teu(["copy", "-q", "oci:images:app", "oci:own:app"]).succeeds();
    assert_eq!(types("oci:own:app"), types("oci:images:app"));
}

#[test]
fn what_is_wrong_is_said_as_skopeo_says_it() {
    let test = "what_is_wrong_is_said_as_skopeo_says_it";
    if !peers(test, &["skopeo"]) {
        return;
    }
    let room = Room::new();
    mixed(&room);
    // The same words, the same streams, the same code.
    for arguments in [
        &["copy", "--no-such-flag", "a", "b"][..],
        &["copy", "-Z", "a", "b"],
        &["inspect"],
        &["inspect", "oci:a", "oci:b"],
        &["inspect", "--config", "oci:a", "oci:b"],
        &["no-such-verb"],
        &[],
        &["inspect", "alpine"],
        &["copy", "alpine", "oci:x"],
        &["copy", "alpine:3.19", "oci:x"],
        &["copy", "oci:images:app", "x"],
        &["delete", "alpine"],
        &["list-tags", "alpine"],
        &["list-tags", "oci:images"],
        &["list-tags", "foo:bar"],
        &["inspect", "foo:bar"],
        &["inspect", "--raw", "--format", "x", "oci:images:app"],
        &["login", "--password-stdin", "registry.example"],
    ] {
        let (ours, theirs) = (room.as_skopeo(arguments).ran(), room.skopeo(arguments).ran());
        assert_eq!(
            (ours.code, &ours.stdout),
            (theirs.code, &theirs.stdout),
            "{arguments:?} {ours:?}"
        );
        assert_eq!(message(&ours.stderr), message(&theirs.stderr), "{arguments:?}");
    }
    // Where skopeo prints its help and calls that a success, we do not.
    assert_eq!(
        message(&room.as_skopeo(["copy", "oci:images:app"]).fails(1)),
        "fatal msg=\"Exactly two arguments expected\"\n"
    );
    // A line as logrus writes it, with a time.
    let said = room.as_skopeo(["inspect", "alpine"]).fails(1);
    let (time, rest) = said
        .strip_prefix("time=\"")
        .and_then(|rest| rest.split_once('"'))
        .expect("a time");
    assert!(time.len() == 20 && time.ends_with('Z'), "{time}");
    assert!(rest.starts_with(" level=fatal msg=\""), "{rest}");
    // What is not there has a code of its own, as newer ones have it.
    room.as_skopeo(["inspect", "oci:images:absent"]).fails(2);
    room.as_skopeo(["copy", "oci:absent:x", "dir:x"]).fails(2);
    // What we have not is named, with what to do.
    for (arguments, words) in [
        (
            &["standalone-sign", "a", "b", "c"][..],
            "signatures are neither made nor checked",
        ),
        (
            &["copy", "--sign-by", "KEY", "oci:images:app", "dir:x"],
            "--sign-by is not built yet",
        ),
        (
            &["copy", "--encryption-key=jwe:x", "oci:images:app", "dir:x"],
            "neither encrypted nor decrypted",
        ),
        (
            &["--require-signed", "copy", "oci:images:app", "dir:x"],
            "--require-signed is not built yet",
        ),
        (
            &["copy", "--format", "v2s1", "oci:images:app", "dir:x"],
            "schema 1 was retired",
        ),
        (&["copy", "ostree:x", "dir:x"], "ostree: is not supported"),
        (&["inspect", "sif:x"], "sif: is not supported"),
        (&["inspect", "atomic:x"], "atomic: is not supported"),
        (
            &["inspect", "containers-storage:x"],
            "containers-storage: is not supported",
        ),
    ] {
        let said = room.as_skopeo(arguments).fails(1);
        assert!(said.contains(words), "{arguments:?} {said}");
        let said = room.teu(arguments).ran();
        assert!(said.stderr.contains(words) && said.code != 0, "{arguments:?} {said:?}");
    }
    let version = room.as_skopeo(["--version"]).succeeds().stdout;
    assert!(version.starts_with("skopeo version 1."), "{version}");
}

/// What is said of an error, without when.
fn message(stderr: &str) -> &str {
    stderr.split_once(" level=").map_or(stderr, |(_, message)| message)
}

#[test]
fn tags_are_listed_and_images_deleted_as_skopeo_does() {
    let test = "tags_are_listed_and_images_deleted_as_skopeo_does";
    if !peers(test, &["skopeo"]) {
        return;
    }
    let Some(registry) = Peer::start(test, Asks::default()) else {
        return;
    };
    let room = Room::new();
    mixed(&room);
    let repository = format!("docker://{}/team/app", registry.host);
    for tag in ["1", "latest", "a.b-c_D"] {
        let there = format!("{repository}:{tag}");
        room.teu(["copy", "-q", "--dest-tls-verify=false", "oci:images:app", &there])
            .succeeds();
    }
    room.teu([
        "copy",
        "-q",
        "--all",
        "--dest-tls-verify=false",
        "oci:images:all",
        &format!("{repository}:all"),
    ])
    .succeeds();
    let list = ["list-tags", "--tls-verify=false", &repository];
    let same = || {
        let (ours, theirs) = (
            room.as_skopeo(list).succeeds().stdout,
            room.skopeo(list).succeeds().stdout,
        );
        let sorted = |text: &str| {
            let mut value: Value = serde_json::from_str(text).expect("JSON");
            let tags = value["Tags"].as_array_mut().expect("tags");
            tags.sort_by_key(|tag| tag.as_str().map(str::to_owned));
            value
        };
        // The registry lists in whatever order, so the layout and the order are compared apart.
        assert_eq!(sorted(&ours), sorted(&theirs));
        assert_eq!(ours.lines().count(), theirs.lines().count());
        assert!(
            ours.starts_with("{\n    \"Repository\": ") && ours.ends_with("\n}\n"),
            "{ours}"
        );
        sorted(&ours)["Tags"].clone()
    };
    assert_eq!(same(), json!(["1", "a.b-c_D", "all", "latest"]));
    // A tag becomes a digest, and all its tags go.
    let deleted = room
        .as_skopeo(["delete", "--tls-verify=false", &format!("{repository}:1")])
        .succeeds();
    assert_eq!((deleted.stdout, deleted.stderr), (String::new(), String::new()));
    assert_eq!(same(), json!(["all"]));
    room.as_skopeo(["delete", "--tls-verify=false", &format!("{repository}:1")])
        .fails(2);
    let digest = room
        .teu(["digest", "--tls-verify=false", &format!("{repository}:all")])
        .succeeds()
        .stdout;
    room.as_skopeo([
        "delete",
        "--tls-verify=false",
        &format!("{repository}@{}", digest.trim()),
    ])
    .succeeds();
    assert_eq!(same(), json!([]));

    let raw = room.teu(["manifest", "get", "oci:images:app"]).succeeds().stdout;
    for content in [raw.as_bytes(), b"", b"{}", b"\xff\x00"] {
        room.file("manifest.json", content);
        let (ours, theirs) = (
            room.as_skopeo(["manifest-digest", "manifest.json"]),
            room.skopeo(["manifest-digest", "manifest.json"]),
        );
        assert_eq!(ours.succeeds(), theirs.succeeds());
    }
    assert_ne!(room.as_skopeo(["manifest-digest", "absent"]).ran().code, 0);
}

#[test]
fn details_are_said_where_they_are_asked_for() {
    let Some(registry) = Peer::start("details_are_said_where_they_are_asked_for", Asks::default()) else {
        return;
    };
    let room = Room::new();
    mixed(&room);
    let there = format!("docker://{}/team/app:1", registry.host);
    let quiet = room
        .teu(["copy", "-q", "--dest-tls-verify=false", "oci:images:app", &there])
        .succeeds();
    assert_eq!(quiet.stderr, "");
    let told = room
        .teu([
            "digest",
            "--debug",
            "--tls-verify=false",
            "--creds",
            "user:secret",
            &there,
        ])
        .succeeds();
    let request = format!("teu: HEAD http://{}/v2/team/app/manifests/1: 200 OK (", registry.host);
    assert!(told.stderr.contains(&request), "{}", told.stderr);
    assert!(!told.stderr.contains("secret"), "{}", told.stderr);
    // What is asked for behind the path may be a secret of somebody's: that it was there is all that is said.
    let repository = format!("docker://{}/team/app", registry.host);
    let told = room
        .teu(["list-tags", "--debug", "--tls-verify=false", &repository])
        .succeeds();
    let request = format!("teu: GET http://{}/v2/team/app/tags/list?…: 200 OK (", registry.host);
    assert!(told.stderr.contains(&request), "{}", told.stderr);
    let told = room
        .as_skopeo(["--debug", "inspect", "--tls-verify=false", &there])
        .succeeds();
    assert!(told.stderr.contains("level=debug msg=\"GET http://"), "{}", told.stderr);
}

#[test]
fn policies_are_kept_to() {
    let room = Room::new();
    mixed(&room);
    let copy = |more: &[&str]| {
        let arguments = ["copy", "-q", "oci:images:app", "dir:out"].iter().chain(more).copied();
        room.teu(arguments).ran()
    };
    // The machine's own policy is not what is tested.
    let policy = room.home(".config/containers/policy.json");
    fs::create_dir_all(policy.parent().expect("a directory")).expect("made");
    for (text, code, words) in [
        (r#"{"default":[{"type":"insecureAcceptAnything"}]}"#, 0, ""),
        (r#"{"default":[{"type":"reject"}]}"#, 1, "rejects it"),
        (
            r#"{"default":[{"type":"signedBy","keyType":"GPGKeys","keyPath":"/x"}]}"#,
            1,
            "--insecure-policy",
        ),
        ("{", 1, "policy.json"),
        ("", 1, "policy.json"),
        (r#"{"default":[]}"#, 1, "policy.json"),
    ] {
        fs::write(&policy, text).expect("written");
        let ran = copy(&[]);
        assert_eq!(ran.code, code, "{text} {ran:?}");
        assert!(ran.stderr.contains(words), "{text} {ran:?}");
        assert_eq!(copy(&["--insecure-policy"]).code, 0, "{text}");
        assert_eq!(copy(&["--insecure-policy=true"]).code, 0, "{text}");
    }
    room.file("given.json", r#"{"default":[{"type":"insecureAcceptAnything"}]}"#);
    assert_eq!(copy(&["--policy", "given.json"]).code, 0);
    let ran = copy(&["--policy", "absent.json"]);
    assert_eq!(ran.code, 1, "{ran:?}");
}
