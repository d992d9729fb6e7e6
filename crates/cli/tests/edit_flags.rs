//! Do the flags of `teu edit` that are of somebody else's words (build arguments, subjects, layers of others) do what their help says?

use std::fs;

use serde_json::{Value, json};
use teu_spec::Digest;

use crate::support::{
    Room,
    answers::{Answers, served, status},
    image, layer, of,
};

fn told(room: &Room, arguments: &[&str]) -> Value {
    serde_json::from_str(&room.teu(arguments).succeeds().stdout).expect("JSON")
}

#[test]
fn who_is_about_nothing_any_more_is_what_it_was() {
    let room = Room::new();
    let layout = room.layout("images");
    let app = layout.image("app", &image());
    let before = layout.image("about", &of(&[layer("about")])).to_string();
    let raw = || room.teu(["manifest", "get", "oci:images:about"]).succeeds().stdout;
    let first = raw();
    let edit = |subject: &str| {
        let flags = ["edit", "--subject", subject, "oci:images:about"];
        room.teu(flags).succeeds().stdout.trim().to_owned()
    };
    let referrers = || told(&room, &["referrers", "-o", "json", "oci:images:app"]);
    // By digest in the same place, or whatever an image leads to.
    for subject in [app.to_string(), "oci:images:app".to_owned()] {
        let about = edit(&subject);
        assert_ne!(about, before);
        let manifest: Value = serde_json::from_str(&raw()).expect("JSON");
        assert_eq!(manifest["subject"]["digest"], json!(app));
        assert_eq!(referrers()[0]["digest"], json!(about));
        // Nothing takes it away, and what is not named keeps every byte.
        assert_eq!((edit(""), raw()), (before.clone(), first.clone()));
    }
    // What has none is no other by that.
    assert_eq!(edit(""), before);
    let help = room.teu(["edit", "--help"]).succeeds().stdout;
    let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(help.contains("or an image; '' takes it away"), "{help}");
}

#[test]
fn a_port_goes_however_an_image_writes_it() {
    let room = Room::new();
    let mut made = image();
    made.config["config"]["ExposedPorts"] = json!({"80/tcp": {}, "http": {}, "53/UDP": {}});
    room.layout("images").image("app", &made);
    let ports = ["--remove-port", "http", "--remove-port", "53/UDP"];
    room.teu([&["edit"], &ports[..], &["oci:images:app"]].concat())
        .succeeds();
    let config = told(&room, &["inspect", "--config", "oci:images:app"]);
    assert_eq!(config["config"]["ExposedPorts"], json!({"80/tcp": {}}));
}

#[test]
fn what_means_nothing_is_said_and_umoci_adds_no_history() {
    let room = Room::new();
    let layout = room.layout("images");
    let digest = layout.image("app", &image());
    let error = room
        .teu(["edit", "--label-to-annotation", "nope*", "oci:images:app"])
        .fails(2);
    assert!(
        error.contains("has a label \"nope*\" that could become an annotation"),
        "{error}"
    );
    // As it is without the flag.
    let edit = |flags: &[&str]| {
        let to = format!("oci:images:{}", flags.len());
        let asked = [&["edit", "--user", "7", "--to", &to], flags, &["oci:images:app"]].concat();
        room.teu(asked).succeeds().stdout
    };
    assert_eq!(edit(&["--no-history"]), edit(&[]));
    assert_eq!(
        room.teu(["digest", "oci:images:app"]).succeeds().stdout.trim(),
        digest.to_string()
    );
}

#[test]
fn a_build_argument_is_told_by_nothing_any_more() {
    let room = Room::new();
    let mut made = image();
    made.config["history"] = json!([
        {"created_by": "ADD file"},
        {"created_by": "ARG TOKEN=secret", "empty_layer": true, "own": 1},
        {"created_by": "ARG VERSION=2", "empty_layer": true},
        {"created_by": "RUN |2 TOKEN=secret VERSION=2 /bin/sh -c make # buildkit", "empty_layer": true},
        {"created_by": "RUN |1 TOKEN=secret /bin/sh -c echo TOKEN=public", "empty_layer": true},
    ]);
    let digest = room.layout("images").image("app", &made).to_string();
    let edit = |names: &[&str], to: &str| {
        let names = names.iter().flat_map(|name| ["--remove-build-arg", name]);
        let arguments = ["edit", "--to", to, "oci:images:app"].into_iter().chain(names);
        room.teu(arguments)
    };
    edit(&["TOKEN"], "oci:images:one").succeeds();
    assert_eq!(
        told(&room, &["config", "oci:images:one"])["history"],
        json!([
            {"created_by": "ADD file"},
            {"created_by": "ARG VERSION=2", "empty_layer": true},
            {"created_by": "RUN |1 VERSION=2 /bin/sh -c make # buildkit", "empty_layer": true},
            {"created_by": "RUN /bin/sh -c echo TOKEN=public", "empty_layer": true},
        ])
    );
    room.teu(["verify", "oci:images:one"]).succeeds();
    edit(&["TOKEN", "VERSION"], "oci:images:both").succeeds();
    let both = told(&room, &["config", "oci:images:both"])["history"].clone();
    assert_eq!(both[1]["created_by"], "RUN /bin/sh -c make # buildkit");
    let said = edit(&["TOKEN", "PASSWORD"], "oci:images:no").fails(2);
    let expected = format!("no history in {digest} tells of a build argument \"PASSWORD\"");
    assert!(said.contains(&expected), "{said}");
    room.teu(["digest", "oci:images:no"]).fails(2);
}

#[test]
fn what_was_not_to_be_distributed_comes_and_is_like_all_others() {
    let room = Room::new();
    let layout = room.layout("images");
    let content = layer("of somebody else's");
    let blob = Digest::of(&content);
    let mut made = of(std::slice::from_ref(&content));
    let plain = layout.image("plain", &made);
    let maker = Answers::start(move |_| (200, Vec::new(), content.clone()));
    made.layers[0].0 = "application/vnd.oci.image.layer.nondistributable.v1.tar".to_owned();
    made.layer_fields = json!({"urls": [format!("http://{}/layer", maker.host)]});
    let digest = layout.image("app", &made);
    // The registry has all but the layer.
    fs::remove_file(layout.blob_path(&blob)).expect("removed");
    let registry = Answers::start(move |request| served(&layout, &digest, request).unwrap_or(status(404)));
    let from = format!("docker://{}/app:1", registry.host);
    let edit = ["edit", "--tls-verify=false", "--distribute", "--to=oci:mine:app", &from];
    assert_eq!(room.teu(edit).succeeds().stdout, format!("{plain}\n"));
    assert_eq!(maker.lines(), ["GET /layer"]);
    let manifest = told(&room, &["manifest", "get", "oci:mine:app"]);
    let size = fs::metadata(room.layout("mine").blob_path(&blob)).expect("there").len();
    assert_eq!(
        manifest["layers"],
        json!([{"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": blob, "size": size}])
    );
    room.teu(["verify", "oci:mine:app"]).succeeds();
    // A layout has nowhere to fetch it from, and says what to do.
    let copied = ["copy", "--src-tls-verify=false", &from, "oci:without:app"];
    room.teu(copied).succeeds();
    let said = room.teu(["edit", "--distribute", "oci:without:app"]).fails(2);
    assert!(said.contains(&blob.to_string()), "{said}");
    let now = room.teu(["digest", "oci:without:app"]).succeeds().stdout;
    assert_eq!(now, format!("{digest}\n"));
}
