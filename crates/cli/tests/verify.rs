//! Does `teu verify` say what it checked and what it found, to people and to programs?

mod support;

use serde_json::{Value, json};
use support::{Room, image, layer};
use teu_spec::Digest;

#[test]
fn a_good_image_is_good_and_what_was_checked_is_counted() {
    let room = Room::new();
    let layout = room.layout("images");
    let mut other = image();
    other.config["architecture"] = "arm64".into();
    let digest = layout.index("all", &[("linux/amd64", &image()), ("linux/arm64", &other)]);
    let said = room.teu(["verify", "oci:images"]).succeeds().stdout;
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines[0], format!("good: {digest}"));
    assert!(
        lines[1].starts_with("checked: 1 index, 2 manifests, 2 configs, 1 layer, 4."),
        "{said}"
    );
    let said = room.teu(["verify", "-o", "json", "oci:images:all"]).succeeds().stdout;
    let report: Value = serde_json::from_str(&said).expect("JSON");
    let bytes = std::fs::read_dir(room.path("images/blobs/sha256"))
        .expect("a directory")
        .map(|file| file.expect("a file").metadata().expect("its size").len())
        .sum::<u64>();
    let expected = json!({
        "digest": digest,
        "good": true,
        "checked": {"indexes": 1, "manifests": 2, "configs": 2, "layers": 1, "bytes": bytes},
        "findings": [],
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
    assert_eq!((ran.code, ran.stderr.as_str()), (1, ""));
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
    assert_eq!((ran.code, ran.stderr.as_str()), (1, ""));
    let report: Value = serde_json::from_str(&ran.stdout).expect("JSON");
    assert_eq!(report["good"], false);
    // Both layers, and the config that has one DiffID for two layers.
    assert_eq!(report["findings"].as_array().map(Vec::len), Some(3), "{report}");
    assert_eq!(report["findings"][0]["severity"], "wrong");
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
    assert_eq!(room.teu(["verify", "oci:images"]).ran().code, 1);
    let said = room.teu(["verify", "--allow-sparse", "oci:images"]).succeeds().stdout;
    assert!(said.starts_with(&format!("not here: manifest {absent}")), "{said}");
    assert!(said.contains(&format!("\ngood: {digest}\n")), "{said}");
}
