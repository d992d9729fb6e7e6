//! What do programs read of the verbs that change something, and of those that show how things hang together? As docs/output.md has it.

use serde_json::{Value, json};
use teu_spec::Digest;

use crate::support::{Room, Served, archive, file, of};

struct Programs {
    room: Room,
}

impl Programs {
    /// What a verb prints as JSON.
    fn told(&self, arguments: &[&str]) -> Value {
        let printed = self.room.teu(arguments.iter().chain(&["-o", "json"])).succeeds();
        serde_json::from_str(&printed.stdout).expect("JSON")
    }

    fn digest(&self, image: &str) -> Value {
        self.room.teu(["digest", image]).succeeds().stdout.trim().into()
    }
}

#[test]
fn who_changes_an_image_tells_what_it_was_and_is() {
    let here = Programs { room: Room::new() };
    let layer = archive(&[file("f", "f\n")]);
    here.room
        .layout("images")
        .image("app", &of(std::slice::from_ref(&layer)));
    here.room
        .layout("bases")
        .image("new", &of(&[archive(&[file("base", "new\n")])]));
    here.room.layout("bases").image("old", &of(&[layer]));
    here.room.file("layer.tar", archive(&[file("added", "added\n")]));
    here.room.file("added", "added\n");
    let changes: [&[&str]; 4] = [
        &["append", "oci:images:app", "layer.tar"],
        &["insert", "oci:images:app", "added", "/srv/"],
        &[
            "rebase",
            "--old-base=oci:bases:old",
            "--new-base=oci:bases:new",
            "oci:images:app",
        ],
        &["squash", "oci:images:app"],
    ];
    for change in changes {
        let before = here.digest("oci:images:app");
        let told = here.told(change);
        let digest = here.digest("oci:images:app");
        assert_ne!(digest, before, "{change:?}");
        assert_eq!(
            told,
            json!({"digest": digest, "before": before, "names": ["app"]}),
            "{change:?}"
        );
    }
}

#[test]
fn who_makes_an_index_tells_what_it_was_and_is() {
    let here = Programs { room: Room::new() };
    let image = here
        .room
        .layout("images")
        .image("app", &of(&[archive(&[])]))
        .to_string();
    let all = "oci:images:all";
    let created = here.told(&["index", "create", all, "oci:images:app"]);
    let first = here.digest(all);
    assert_eq!(
        created,
        json!({"digest": first, "before": null, "names": ["all"], "copied": [image]})
    );
    let mut before = first.clone();
    let changes: [&[&str]; 4] = [
        &["index", "annotate", "--annotation", "note=1", all],
        &["index", "filter", "--platform", "linux/amd64", all],
        &["index", "rm", all, "linux/amd64"],
        &["index", "add", all, "oci:images:app"],
    ];
    for change in changes {
        let told = here.told(change);
        let digest = here.digest(all);
        let copied = if change[1] == "add" { json!([image]) } else { json!([]) };
        assert_eq!(digest == before, change[1] == "filter", "{change:?}");
        assert_eq!(
            told,
            json!({"digest": digest, "before": before, "names": ["all"], "copied": copied}),
            "{change:?}"
        );
        before = digest;
    }
}

#[test]
fn who_moves_content_tells_which() {
    let here = Programs { room: Room::new() };
    let room = &here.room;
    let image = room.layout("images").image("app", &of(&[archive(&[])]));
    room.file("content", "content\n");
    let digest = Digest::of(b"content\n").to_string();
    let blob = json!({"mediaType": "application/octet-stream", "digest": digest, "size": 8});
    assert_eq!(here.told(&["blob", "put", "oci:images", "content"]), blob);
    assert_eq!(here.told(&["blob", "head", "oci:images", &digest]), blob);
    assert_eq!(
        here.told(&["blob", "rm", "oci:images", &digest]),
        json!({"digest": digest})
    );
    let manifest = room.teu(["manifest", "get", "oci:images:app"]).succeeds().stdout;
    room.file("manifest.json", &manifest);
    assert_eq!(
        here.told(&["manifest", "put", "oci:images:again", "manifest.json"]),
        json!({"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": image, "size": manifest.len()})
    );
    assert_eq!(here.told(&["untag", "oci:images:again"]), json!({"name": "again"}));

    let server = Served::start(room, &["--data", "depot", "--deletes"]);
    let plain = "--tls-verify=false";
    room.teu([
        "copy",
        "--dest-tls-verify=false",
        "oci:images:app",
        &server.image("one:1"),
    ])
    .succeeds();
    assert_eq!(here.told(&["catalog", plain, &server.address]), json!(["one"]));
    let config = room.teu(["config", "oci:images:app"]).succeeds().stdout;
    let digest = Digest::of(config.as_bytes()).to_string();
    let (one, two) = (server.image("one"), server.image("two"));
    let flags = ["--src-tls-verify=false", "--dest-tls-verify=false"];
    let mounted = here.told(&[&["blob", "mount"], &flags[..], &[&one, &two, &digest]].concat());
    assert_eq!(
        mounted,
        json!({"mediaType": "application/octet-stream", "digest": digest, "size": config.len()})
    );
    let removed = here.told(&["manifest", "rm", plain, &format!("{one}@{image}")]);
    assert_eq!(removed, json!({"digest": image}));
}

#[test]
fn what_an_image_is_made_of_and_what_is_about_it() {
    let here = Programs { room: Room::new() };
    let layer = archive(&[file("f", "f\n")]);
    let mut made = of(std::slice::from_ref(&layer));
    made.config["history"] = json!([
        {"created": "2026-01-31T12:00:00Z", "created_by": "COPY f"},
        {"created_by": "CMD", "comment": "said", "empty_layer": true},
    ]);
    let image = here.room.layout("images").image("app", &made).to_string();
    let digest = Digest::of(&layer).to_string();
    assert_eq!(
        here.told(&["history", "oci:images:app"]),
        json!([
            {"created": "2026-01-31T12:00:00Z", "createdBy": "COPY f", "emptyLayer": false, "layer": digest, "size": layer.len()},
            {"created": null, "createdBy": "CMD", "comment": "said", "emptyLayer": true},
        ])
    );
    // An artifact that says that it is about the image.
    here.told(&["new", "oci:images:about"]);
    let edit = [
        "edit",
        "--artifact-type",
        "application/x",
        "--subject",
        &image,
        "oci:images:about",
    ];
    let about = here.told(&edit)["digest"].clone();
    let referrers = here.told(&["referrers", "oci:images:app"]);
    let found: Vec<_> = referrers
        .as_array()
        .expect("a list")
        .iter()
        .map(|one| &one["digest"])
        .collect();
    assert_eq!(found, [&about]);
    assert_eq!(referrers[0]["artifactType"], "application/x");
    let listed = here.room.teu(["referrers", "oci:images:app"]).succeeds().stdout;
    assert!(listed.contains(about.as_str().expect("a digest")), "{listed}");

    let tree = here.told(&["tree", "--referrers", "oci:images:app"]);
    assert_eq!(tree["descriptor"]["digest"], image);
    assert_eq!(
        (&tree["position"], &tree["absent"]),
        (&json!("manifest"), &json!(false))
    );
    let children = tree["children"].as_array().expect("children");
    let positions: Vec<_> = children.iter().map(|child| &child["position"]).collect();
    assert_eq!(positions, ["config", "layer"]);
    assert_eq!(children[1]["descriptor"]["digest"], digest);
    assert_eq!(tree["referrers"][0]["descriptor"]["digest"], about);
    let drawn = here
        .room
        .teu(["tree", "--referrers", "oci:images:app"])
        .succeeds()
        .stdout;
    assert!(drawn.contains(&digest[7..19]), "{drawn}");
}
