//! Does `teu verify` say what it checked and what it found, to people and to programs?

use crate::support::{Room, image, layer};
use serde_json::{Value, json};
use teu_spec::Digest;

#[test]
fn a_good_image_is_good_and_what_was_checked_is_counted() {
    let room = Room::new();
    let layout = room.layout("images");
    let mut other = image();
    other.config["architecture"] = "arm64".into();
    let layer = Digest::of(&other.layers[0].1);
    let digest = layout.index("all", &[("linux/amd64", &image()), ("linux/arm64", &other)]);
    let said = room.teu(["verify", "oci:images"]).succeeds().stdout;
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines[0], format!("good: {digest}"));
    assert!(
        lines[1].starts_with("checked: 1 index, 2 manifests, 2 configs, 1 layer, 1 entry, 4."),
        "{said}"
    );
    let said = room.teu(["verify", "-o", "json", "oci:images:all"]).succeeds().stdout;
    let report: Value = serde_json::from_str(&said).expect("JSON");
    let bytes = std::fs::read_dir(room.path("images/blobs/sha256"))
        .expect("a directory")
        .map(|file| file.expect("a file").metadata().expect("its size").len())
        .sum::<u64>();
    let mut images = [("amd64", image()), ("arm64", other)].map(|(architecture, image)| {
        json!({
            "digest": layout.manifest(&image).0,
            "platform": {"architecture": architecture, "os": "linux"},
            "layers": [{"digest": layer, "diffId": layer, "chainId": layer}],
        })
    });
    images.sort_by_key(|image| image["digest"].to_string());
    let expected = json!({
        "images": images,
        "digest": digest,
        "good": true,
        "checked": {"indexes": 1, "manifests": 2, "configs": 2, "layers": 1, "entries": 1, "bytes": bytes},
        "findings": [],
        "notes": [],
        "absent": [],
        "elsewhere": [],
    });
    assert_eq!(report, expected);
    let one = ["verify", "--platform", "linux/arm64", "-o", "json", "oci:images"];
    let report: Value = serde_json::from_str(&room.teu(one).succeeds().stdout).expect("JSON");
    assert_eq!(report["checked"]["manifests"], 1);
    assert_ne!(report["digest"], expected["digest"]);
}

#[test]
fn what_is_wrong_is_listed_and_the_exit_code_says_so() {
    let room = Room::new();
    let layout = room.layout("images");
    let mut image = image();
    image.layers.push((image.layers[0].0.clone(), layer("another\n")));
    layout.image("app", &image);
    let digests = [0, 1].map(|place| Digest::of(&image.layers[place].1));
    std::fs::write(layout.blob_path(&digests[0]), "spoiled").expect("written");
    std::fs::remove_file(layout.blob_path(&digests[1])).expect("removed");
    let ran = room.teu(["verify", "oci:images:app"]).ran();
    assert_eq!((ran.code, ran.stderr.as_str()), (10, ""));
    for digest in digests {
        let line = format!("wrong: layer {digest}: ");
        assert_eq!(
            ran.stdout.lines().filter(|said| said.starts_with(&line)).count(),
            1,
            "{}",
            ran.stdout
        );
    }
    assert!(ran.stdout.contains("\nWRONG: sha256:"), "{}", ran.stdout);
    let ran = room.teu(["verify", "-o", "json", "oci:images:app"]).ran();
    assert_eq!((ran.code, ran.stderr.as_str()), (10, ""));
    let report: Value = serde_json::from_str(&ran.stdout).expect("JSON");
    assert_eq!(report["good"], false);
    // Both layers, and the config that has one DiffID, and a history, for two layers less one.
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let found = report["findings"].as_array().cloned().unwrap_or_default();
    let found: Vec<(String, String)> = found
        .iter()
        .map(|finding| (word(&finding["severity"]), word(&finding["kind"])))
        .collect();
    let expected = [
        ("wrong", "content"),
        ("wrong", "content"),
        ("wrong", "agreement"),
        ("odd", "agreement"),
    ]
    .map(|(severity, kind)| (severity.to_owned(), kind.to_owned()));
    assert_eq!(found, expected, "{report}");
}

#[test]
fn a_sparse_index_is_good_where_that_is_allowed() {
    let room = Room::new();
    let layout = room.layout("images");
    let (here, size) = layout.manifest(&image());
    let absent = Digest::of(b"absent");
    let kind = "application/vnd.oci.image.manifest.v1+json";
    let index = json!({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": [
        {"mediaType": kind, "digest": here, "size": size, "platform": {"os": "linux", "architecture": "amd64"}},
        {"mediaType": kind, "digest": absent, "size": 6, "platform": {"os": "linux", "architecture": "arm64"}},
    ]});
    let (digest, _) = layout.document(&index);
    layout.name("all", &digest, index["mediaType"].as_str());
    assert_eq!(room.teu(["verify", "oci:images"]).ran().code, 10);
    let said = room.teu(["verify", "--allow-sparse", "oci:images"]).succeeds().stdout;
    assert!(said.starts_with(&format!("not here: manifest {absent}")), "{said}");
    assert!(said.contains(&format!("\ngood: {digest}\n")), "{said}");
}

#[test]
fn what_an_archive_holds_is_judged_before_anybody_unpacks_it() {
    let room = Room::new();
    let layout = room.layout("images");
    let mut image = image();
    let mut tar = teu_archive::tar::Writer::new(Vec::new());
    let mut set_id = teu_archive::tar::Header::file("bin/su\u{1b}", 0);
    set_id.mode = 0o4755;
    for header in [set_id, teu_archive::tar::Header::file("a/.wh..", 0)] {
        tar.append_data(&header, b"").expect("written");
    }
    let layer = tar.finish().expect("whole");
    let digest = Digest::of(&layer);
    image.layers[0].1 = layer;
    image.config["rootfs"]["diff_ids"] = json!([digest]);
    layout.image("app", &image);
    let ran = room.teu(["verify", "oci:images:app"]).ran();
    assert_eq!((ran.code, ran.stderr.as_str()), (14, ""));
    let lines: Vec<&str> = ran.stdout.lines().collect();
    let layer = digest.short();
    assert_eq!(
        lines[..3],
        [
            format!("note: layer {layer}: 1 run as their owner or group (set-id): \"bin/su\\u{{1b}}\""),
            format!(
                "note: layer {layer}: 1 have control characters in their name, or bytes that are no UTF-8: \"bin/su\\u{{1b}}\""
            ),
            format!("wrong: layer {digest}: entry \"a/.wh..\": it is a whiteout of nothing that has a name"),
        ]
    );
    let ran = room.teu(["verify", "-o", "json", "oci:images:app"]).ran();
    let report: Value = serde_json::from_str(&ran.stdout).expect("JSON");
    assert_eq!(
        report["notes"][0],
        json!({"layer": digest, "kind": "set-id", "count": 1, "examples": ["bin/su\\u{1b}"]})
    );
    assert_eq!(report["findings"][0]["kind"], "entry");
    assert_eq!(report["checked"]["entries"], 2);
}

/// A limit that unpacking has not is no fault of the image, whose other parts are checked.
#[test]
fn what_a_limit_of_its_own_kept_from_being_checked_is_told_apart() {
    let room = Room::new();
    let layout = room.layout("images");
    let image = image();
    let layer = Digest::of(&image.layers[0].1);
    let digest = layout.image("app", &image);
    let verify = ["verify", "--limit", "contents_bytes=1", "oci:images:app"];
    let message = "its entries were not held against those of other layers: its table has more bytes than the limit contents_bytes of 1; \
                   raise it only for an image that you trust";
    let ran = room.teu(verify).ran();
    assert_eq!((ran.code, ran.stderr.as_str()), (15, ""));
    let lines: Vec<&str> = ran.stdout.lines().collect();
    assert_eq!(
        lines[..2],
        [
            format!("unknown: layer {layer}: {message}"),
            format!("UNKNOWN: {digest}"),
        ]
    );
    let ran = room.teu([&verify[..], &["-o", "json"]].concat()).ran();
    assert_eq!((ran.code, ran.stderr.as_str()), (15, ""));
    let report: Value = serde_json::from_str(&ran.stdout).expect("JSON");
    assert_eq!(report["good"], false);
    assert_eq!(
        report["findings"],
        json!([{"severity": "unknown", "kind": "limit", "position": "layer", "digest": layer, "message": message}])
    );
    assert_eq!(report["images"][0]["layers"][0]["diffId"], json!(layer));
    // Something that is wrong is told first.
    std::fs::write(layout.blob_path(&layer), "spoiled").expect("written");
    assert_eq!(room.teu(verify).ran().code, 10);
}
