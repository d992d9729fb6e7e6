//! Does `teu rebase` put an image on another base, and keep what is the image's own?

use crate::support::{self, Asks, Image, Peer, Room, image, layer};
use serde_json::{Value, json};
use teu_spec::Digest;

const TAR: &str = "application/vnd.oci.image.layer.v1.tar";
const BASE_NAME: &str = "org.opencontainers.image.base.name";
const BASE_DIGEST: &str = "org.opencontainers.image.base.digest";

/// An image of layers that each hold one file with such content, and how its history begins and goes on: the words of layers, and others.
fn of(architecture: &str, layers: &[&str], history: &[&str], config: Value) -> Image {
    let layers: Vec<_> = layers.iter().map(|content| (TAR.to_owned(), layer(content))).collect();
    let diff_ids: Vec<_> = layers
        .iter()
        .map(|(_, content)| Digest::of(content).to_string())
        .collect();
    let entry = |word: &&str| match word.strip_prefix('!') {
        Some(word) => json!({"created_by": word, "empty_layer": true}),
        None => json!({"created_by": word, "own": word}),
    };
    let history: Vec<Value> = history.iter().map(entry).collect();
    Image {
        config: json!({
            "architecture": architecture, "os": "linux", "config": config,
            "rootfs": {"type": "layers", "diff_ids": diff_ids}, "history": history,
        }),
        layers,
        ..image()
    }
}

fn old(architecture: &str) -> Image {
    of(
        architecture,
        &["old 1", "old 2"],
        &["ADD 1", "!ENV", "ADD 2", "!CMD"],
        json!({"Env": ["A=old"]}),
    )
}

fn new(architecture: &str) -> Image {
    let content = format!("new {architecture}");
    of(
        architecture,
        &[&content],
        &["ADD new", "!CMD new"],
        json!({"Env": ["A=new"]}),
    )
}

fn app(architecture: &str) -> Image {
    let history = ["ADD 1", "!ENV", "ADD 2", "!CMD", "!USER", "COPY app"];
    of(
        architecture,
        &["old 1", "old 2", "app"],
        &history,
        json!({"Env": ["A=own"], "User": "7"}),
    )
}

/// What must come of it.
fn check(room: &Room, image: &str, architecture: &str, base: Option<(&str, &str)>) {
    let platform = format!("linux/{architecture}");
    let get = |what: &[&str]| -> Value {
        let arguments = [what, &["--platform", &platform, "--tls-verify=false", image]].concat();
        serde_json::from_str(&room.teu(arguments).succeeds().stdout).expect("JSON")
    };
    let (manifest, config) = (get(&["manifest", "get"]), get(&["config"]));
    let expected = [layer(&format!("new {architecture}")), layer("app")].map(|layer| Digest::of(&layer).to_string());
    assert_eq!(config["rootfs"]["diff_ids"], json!(expected));
    let layers = manifest["layers"].as_array().expect("layers");
    assert_eq!(
        layers.iter().map(|layer| layer["digest"].clone()).collect::<Vec<_>>(),
        expected
    );
    assert_eq!(config["config"], json!({"Env": ["A=own"], "User": "7"}));
    let history = config["history"].as_array().expect("a history");
    let words: Vec<_> = history
        .iter()
        .filter_map(|entry| entry["created_by"].as_str())
        .collect();
    assert_eq!(words, ["ADD new", "CMD new", "USER", "COPY app"]);
    assert_eq!(history[0]["own"], "ADD new");
    if let Some((name, digest)) = base {
        assert_eq!(manifest["annotations"], json!({BASE_NAME: name, BASE_DIGEST: digest}));
    }
    room.teu(["verify", "--tls-verify=false", image]).succeeds();
}

#[test]
fn every_image_of_an_index_gets_the_base_for_its_machine_from_another_place() {
    let room = Room::new();
    let (images, bases) = (room.layout("images"), room.layout("bases"));
    let index = |layout: &support::Layout, name: &str, make: fn(&str) -> Image| {
        layout.index(
            name,
            &[("linux/amd64", &make("amd64")), ("linux/arm64", &make("arm64"))],
        )
    };
    index(&images, "app", app);
    index(&bases, "old", old);
    index(&bases, "new", new);
    let rebase = [
        "rebase",
        "--old-base=oci:bases:old",
        "--new-base=oci:bases:new",
        "oci:images:app",
    ];
    let before = room.teu(["digest", "oci:images:app"]).succeeds().stdout;
    let shown = room.teu([&rebase[..], &["--dry-run"]].concat()).succeeds().stdout;
    assert!(shown.contains("manifest for linux/arm64"), "{shown}");
    assert_eq!(room.teu(["digest", "oci:images:app"]).succeeds().stdout, before);
    for to in [&["--to=oci:other:app"][..], &["--to=oci-archive:app.tar:app"], &[]] {
        room.teu([&rebase[..], to].concat()).succeeds();
    }
    for image in ["oci:other:app", "oci-archive:app.tar:app", "oci:images:app"] {
        check(&room, image, "amd64", None);
        check(&room, image, "arm64", None);
    }
    let after = room.teu(["digest", "oci:images:app"]).succeeds().stdout;
    assert!(shown.ends_with(&format!(" would become {after}")), "{shown}");
}

#[test]
fn an_image_is_brought_up_to_date_with_what_its_annotations_name() {
    let test = "an_image_is_brought_up_to_date_with_what_its_annotations_name";
    let Some(registry) = Peer::start(test, Asks::default()) else {
        return;
    };
    let room = Room::new();
    let layout = room.layout("images");
    let old_digest = layout.image("old", &old("amd64"));
    let new_digest = layout.image("new", &new("amd64"));
    let name = format!("{}/base:1", registry.host);
    let mut app = app("amd64");
    app.manifest["annotations"] = json!({BASE_NAME: name, BASE_DIGEST: old_digest});
    layout.image("app", &app);
    let place = format!("docker://{}/app:1", registry.host);
    let base = format!("docker://{name}");
    for (from, to) in [
        ("oci:images:old", &base),
        ("oci:images:new", &base),
        ("oci:images:app", &place),
    ] {
        room.teu(["copy", "--dest-tls-verify=false", from, to]).succeeds();
    }
    room.teu(["rebase", "--tls-verify=false", "--base-tls-verify=false", &place])
        .succeeds();
    check(&room, &place, "amd64", Some((&name, &new_digest.to_string())));
    // It stands on that already.
    let digest = room.teu(["digest", "--tls-verify=false", &place]).succeeds().stdout;
    let again = room.teu(["rebase", "--tls-verify=false", "--base-tls-verify=false", &place]);
    assert_eq!(again.succeeds().stdout, digest);
}

#[test]
fn what_is_not_built_on_the_old_base_stays_as_it_is() {
    let room = Room::new();
    let layout = room.layout("images");
    layout.image("old", &old("amd64"));
    layout.image("new", &new("amd64"));
    layout.image("arm", &new("arm64"));
    let digest = layout.image("app", &app("amd64"));
    let mut named = app("amd64");
    named.manifest["annotations"] = json!({BASE_NAME: "not a name", BASE_DIGEST: digest});
    layout.image("named", &named);
    for (old, new, image, code, said) in [
        ("new", "old", "app", 1, "is not built on"),
        ("app", "new", "old", 1, "which has more layers"),
        ("old", "arm", "app", 2, "reading the new base"),
        ("old", "", "app", 1, BASE_NAME),
        ("", "new", "app", 1, BASE_DIGEST),
        ("old", "", "named", 1, "not a name"),
        ("missing", "new", "app", 2, "missing"),
    ] {
        let flag = |flag: &str, name: &str| (!name.is_empty()).then(|| format!("--{flag}=oci:images:{name}"));
        let place = format!("oci:images:{image}");
        let before = room.teu(["digest", &place]).succeeds().stdout;
        let flags = flag("old-base", old).into_iter().chain(flag("new-base", new));
        let error = room
            .teu(["rebase".to_owned(), place.clone()].into_iter().chain(flags))
            .fails(code);
        assert!(error.contains(said), "{old} {new} {image}: {error}");
        assert_eq!(room.teu(["digest", &place]).succeeds().stdout, before);
    }
}
