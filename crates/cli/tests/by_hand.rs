//! Can a person take an image apart with `teu blob` and `teu manifest`, change it step by step, and put it together again?

use crate::support::{self, Asks, Peer, Room, image};
use serde_json::{Value, json};

/// The walk that the README shows: another environment, by hand.
#[test]
fn a_config_is_changed_step_by_step() {
    let room = Room::new();
    let before = room.layout("images").image("app", &image());

    let config = room.teu(["config", "oci:images:app"]).succeeds().stdout;
    let mut config: Value = serde_json::from_str(&config).expect("JSON");
    config["config"]["Env"] = json!(["GREETING=hello"]);
    room.file("config.json", config.to_string());
    let put = room.teu(["blob", "put", "oci:images", "config.json"]).succeeds().stdout;
    let (digest, size) = put.trim().split_once(' ').expect("digest and size");
    assert_eq!(size, config.to_string().len().to_string());

    let manifest = room.teu(["manifest", "get", "oci:images:app"]).succeeds().stdout;
    let mut manifest: Value = serde_json::from_str(&manifest).expect("JSON");
    manifest["config"]["digest"] = digest.into();
    manifest["config"]["size"] = size.parse::<u64>().expect("a size").into();
    room.file("manifest.json", manifest.to_string());
    let put = room
        .teu(["manifest", "put", "oci:images:app", "manifest.json"])
        .succeeds()
        .stdout;
    assert_eq!(put, room.teu(["manifest-digest", "manifest.json"]).succeeds().stdout);
    assert_eq!(put, room.teu(["digest", "oci:images:app"]).succeeds().stdout);
    assert_ne!(put.trim(), before.to_string());

    room.teu(["verify", "oci:images:app"]).succeeds();
    let inspected = room.teu(["inspect", "oci:images:app"]).succeeds().stdout;
    let inspected: Value = serde_json::from_str(&inspected).expect("JSON");
    assert_eq!(inspected["Env"], json!(["GREETING=hello"]));
    if support::peers("a_config_is_changed_step_by_step", &["skopeo"]) {
        let theirs = room.skopeo(["inspect", "oci:images:app"]).succeeds().stdout;
        assert_eq!(
            serde_json::from_str::<Value>(&theirs).expect("JSON")["Env"],
            json!(["GREETING=hello"])
        );
    }

    // What it was made of before is garbage now, and nothing else is.
    let freed = room
        .teu(["gc", "--grace", "0", "-o", "json", "oci:images"])
        .succeeds()
        .stdout;
    let freed: Value = serde_json::from_str(&freed).expect("JSON");
    assert_eq!(
        (freed["removed"].as_array().map(Vec::len), &freed["kept"]),
        (Some(2), &json!(3))
    );
    room.teu(["verify", "oci:images:app"]).succeeds();
}

#[test]
fn a_manifest_whose_content_is_not_there_is_put_only_if_that_is_meant() {
    let room = Room::new();
    let layout = room.layout("images");
    layout.image("app", &image());
    let absent = teu_spec::Digest::of(b"absent");
    let manifest = room.teu(["manifest", "get", "oci:images:app"]).succeeds().stdout;
    let mut manifest: Value = serde_json::from_str(&manifest).expect("JSON");
    manifest["config"]["digest"] = absent.to_string().into();
    room.file("manifest.json", manifest.to_string());
    let put = ["manifest", "put", "oci:images:other", "manifest.json"];
    let error = room.teu(put).fails(1);
    assert!(
        error.contains(&absent.to_string()) && error.contains("teu blob put"),
        "{error}"
    );
    room.teu(["digest", "oci:images:other"]).fails(2);
    room.teu(put.iter().chain(&["--allow-missing"])).succeeds();
    room.teu(["digest", "oci:images:other"]).succeeds();
}

/// Every raw verb, in a layout and in a registry.
fn blobs(room: &Room, place: &str) {
    let plain = "--tls-verify=false";
    let put = room.teu(["blob", "put", plain, place, "-"]).ran_with(b"hello\n");
    let digest = teu_spec::Digest::of(b"hello\n").to_string();
    assert_eq!((put.code, put.stdout), (0, format!("{digest} 6\n")), "{}", put.stderr);
    assert_eq!(
        room.teu(["blob", "head", plain, place, &digest]).succeeds().stdout,
        format!("{digest} 6\n")
    );
    assert_eq!(
        room.teu(["blob", "get", plain, place, &digest]).succeeds().stdout,
        "hello\n"
    );
    room.teu(["blob", "get", plain, "--file", "copy", place, &digest])
        .succeeds();
    assert_eq!(std::fs::read(room.path("copy")).expect("read"), b"hello\n");
    let said = room
        .teu(["blob", "rm", plain, "-o", "json", place, &digest])
        .succeeds()
        .stdout;
    assert_eq!(
        serde_json::from_str::<Value>(&said).expect("JSON"),
        json!({"digest": digest})
    );
    let error = room.teu(["blob", "head", plain, place, &digest]).fails(2);
    assert!(error.contains(&digest), "{error}");
    assert!(
        room.teu(["blob", "head", plain, place, "sha256:12"])
            .fails(2)
            .contains("is not a digest")
    );
}

#[test]
fn blobs_of_a_layout() {
    let room = Room::new();
    room.teu(["init", "oci:images"]).succeeds();
    blobs(&room, "oci:images");
}

#[test]
fn blobs_of_a_registry_are_mounted_too() {
    let Some(registry) = Peer::start("blobs_of_a_registry_are_mounted_too", Asks::default()) else {
        return;
    };
    let room = Room::new();
    let [one, two] = ["one", "two"].map(|name| format!("docker://{}/{name}", registry.host));
    blobs(&room, &one);
    let put = room
        .teu(["blob", "put", "--tls-verify=false", &one, "-"])
        .ran_with(b"hi\n");
    let digest = put.stdout.split(' ').next().expect("a digest").to_owned();
    let mount = [
        "blob",
        "mount",
        "--src-tls-verify=false",
        "--dest-tls-verify=false",
        &one,
        &two,
        &digest,
    ];
    assert_eq!(room.teu(mount).succeeds().stdout, format!("{digest} 3\n"));
    assert_eq!(
        room.teu(["blob", "get", "--tls-verify=false", &two, &digest])
            .succeeds()
            .stdout,
        "hi\n"
    );
    room.teu(["init", "oci:images"]).succeeds();
    let error = room
        .teu(["blob", "mount", "--dest-tls-verify=false", "oci:images", &two, &digest])
        .fails(1);
    assert!(
        error.contains("between two repositories of a registry") && error.contains("teu blob get"),
        "{error}"
    );
}

#[test]
fn names_come_and_go_and_programs_are_told() {
    let room = Room::new();
    let digest = room.layout("images").image("app", &image());
    let said = |arguments: &[&str]| -> Value {
        let printed = room.teu(arguments.iter().chain(&["-o", "json"])).succeeds().stdout;
        serde_json::from_str(&printed).expect("JSON")
    };
    assert_eq!(
        said(&["tag", "oci:images:app", "one", "two"]),
        json!({"digest": digest, "names": ["one", "two"]})
    );
    assert_eq!(room.teu(["untag", "oci:images:one"]).succeeds().stdout, "");
    let names: Vec<Value> = said(&["ls", "oci:images"])
        .as_array()
        .expect("a list")
        .iter()
        .map(|image| image["name"].clone())
        .collect();
    assert_eq!(names, ["app", "two"]);
    let listed = room.teu(["ls", "oci:images"]).succeeds().stdout;
    assert_eq!(
        listed,
        format!("app  {digest}  manifest.v1+json\ntwo  {digest}  manifest.v1+json\n")
    );
    assert_eq!(said(&["delete", "oci:images:two"]), json!({"digest": digest}));
    assert_eq!(room.teu(["ls", "oci:images"]).succeeds().stdout, "");
    assert_eq!(said(&["init", "oci:other"]), json!({"path": "other"}));
}

#[test]
fn layers_change_their_compression_only_when_asked() {
    let room = Room::new();
    let digest = room.layout("images").image("app", &image());
    let kinds = |name: &str| -> Vec<String> {
        let raw = room
            .teu(["manifest", "get", &format!("oci:other:{name}")])
            .succeeds()
            .stdout;
        let manifest: Value = serde_json::from_str(&raw).expect("JSON");
        let layers = manifest["layers"].as_array().expect("a list").iter();
        layers
            .map(|layer| {
                layer["mediaType"]
                    .as_str()
                    .unwrap_or_default()
                    .rsplit_once('.')
                    .expect("a type")
                    .1
                    .to_owned()
            })
            .collect()
    };
    for (name, flags, kind) in [
        (
            "zstd",
            &["--dest-compress-format", "zstd", "--dest-force-compress-format"][..],
            "tar+zstd",
        ),
        ("gzip", &["--dest-compress"], "tar+gzip"),
        ("level", &["--dest-compress-level", "1"], "tar+gzip"),
        ("plain", &["--dest-decompress"], "tar"),
        (
            "as-is",
            &["--dest-oci-accept-uncompressed-layers", "--dest-precompute-digests"],
            "tar",
        ),
    ] {
        let to = format!("oci:other:{name}");
        let copied = room
            .teu([&["copy", "oci:images:app", to.as_str()], flags].concat())
            .succeeds()
            .stdout;
        assert_eq!(kinds(name), [kind], "{flags:?}");
        assert_eq!(copied == format!("{digest}\n"), kind == "tar", "{flags:?}");
        room.teu(["verify", &to]).succeeds();
    }
    let error = room
        .teu([
            "copy",
            "oci:images:app",
            "oci:other:x",
            "--dest-compress-format",
            "zstd:chunked",
        ])
        .fails(2);
    assert!(error.contains("reads zstd too"), "{error}");
}

#[test]
fn the_images_of_a_docker_archive_are_listed_with_the_digests_that_a_copy_of_them_has() {
    let room = Room::new();
    let layout = room.layout("images");
    let mut other = image();
    other.config["config"]["Cmd"] = json!(["/bin/true"]);
    layout.image("one", &image());
    layout.image("two", &other);
    for (name, from) in [("app:1", "oci:images:one"), ("tool:1", "oci:images:two")] {
        let to = format!("docker-archive:{}.tar:{name}", &name[..3]);
        room.teu(["copy", from, &to]).succeeds();
        let place = to.strip_suffix(&format!(":{name}")).expect("a file");
        let digest = room.teu(["digest", place]).succeeds().stdout;
        let listed = room.teu(["ls", place]).succeeds().stdout;
        let whole = format!("docker.io/library/{name}");
        let words: Vec<&str> = listed.split_whitespace().collect();
        assert_eq!(words[..2], [whole.as_str(), digest.trim()], "{listed}");
        let listed = room.teu(["ls", "-o", "json", place]).succeeds().stdout;
        let listed: Value = serde_json::from_str(&listed).expect("JSON");
        assert_eq!(listed[0]["descriptor"]["digest"], digest.trim());
    }
}
