//! Does `teu edit` change what it was told to, and nothing else, as others read it?

use std::fs;

use crate::support::{Asks, Image, Layout, Peer, Room, image, layer, peers};
use serde_json::{Value, json};
use teu_spec::Digest;

/// A configuration with fields that nobody knows, and white space that nobody needs.
const CONFIG: &str = r#"{ "architecture": "amd64","os":"linux", "x-own": {"b":1, "a":[1.50,null]},
 "config": {"Env":["PATH=/bin", "TOKEN=secret"],"X-Own":"\u0041","Entrypoint":["/old"],"Cmd":["a"],"Labels":{"a": "1"}},"rootfs":{"type":"layers","diff_ids":["DIFF"]},
"history":[{"created_by":"ADD file", "x": 1}] }"#;

/// An image under the name `app` whose configuration is that, and the configuration.
fn unusual(layout: &Layout) -> String {
    let image = image();
    let config = CONFIG.replace("DIFF", &Digest::of(&image.layers[0].1).to_string());
    let (digest, _) = layout.manifest_of(&image, config.as_bytes());
    layout.name("app", &digest, None);
    config
}

const MISSING: &str = "sha256:0000000000000000000000000000000000000000000000000000000000000000";

fn json_of(text: &str) -> Value {
    serde_json::from_str(text).expect("JSON")
}

fn manifest(room: &Room, image: &str, platform: Option<&str>) -> Value {
    let platform = platform.into_iter().flat_map(|platform| ["--platform", platform]);
    let arguments = ["manifest", "get", image].into_iter().chain(platform);
    json_of(&room.teu(arguments).succeeds().stdout)
}

fn config(room: &Room, image: &str, platform: Option<&str>) -> Value {
    let platform = platform.into_iter().flat_map(|platform| ["--platform", platform]);
    let arguments = ["config", image].into_iter().chain(platform);
    json_of(&room.teu(arguments).succeeds().stdout)
}

/// All files of a layout with what is in them.
fn everything(layout: &Layout) -> Vec<(String, Vec<u8>)> {
    let mut found = vec![(
        "index.json".to_owned(),
        fs::read(layout.path.join("index.json")).expect("read"),
    )];
    for entry in fs::read_dir(layout.path.join("blobs/sha256")).expect("blobs") {
        let path = entry.expect("an entry").path();
        found.push((path.display().to_string(), fs::read(&path).expect("read")));
    }
    found.sort();
    found
}

#[test]
fn what_is_not_named_keeps_every_byte() {
    let room = Room::new();
    let layout = room.layout("images");
    let before = unusual(&layout);
    let changes: [(&[&str], &str, &str); 8] = [
        (
            &["--entrypoint", "/app", "--entrypoint", "-v"],
            r#"["/old"]"#,
            r#"["/app","-v"]"#,
        ),
        (
            &["--entrypoint", r#"["/app", "-v"]"#],
            r#"["/old"]"#,
            r#"["/app","-v"]"#,
        ),
        (&["--cmd", "-x y"], r#""Cmd":["a"]"#, r#""Cmd":["-x y"]"#),
        (&["--cmd", ""], r#","Cmd":["a"]"#, ""),
        (&["--cmd=[]"], r#","Cmd":["a"]"#, ""),
        (&["--remove-env", "TOKEN"], r#", "TOKEN=secret""#, ""),
        (&["-e", "PATH=/usr/bin:/bin"], "PATH=/bin", "PATH=/usr/bin:/bin"),
        (&["--label", "a=2"], r#""a": "1""#, r#""a": "2""#),
    ];
    for (arguments, from, to) in changes {
        let arguments = [&["edit", "--to", "oci:images:edited", "oci:images:app"], arguments].concat();
        room.teu(&arguments).succeeds();
        let after = room.teu(["config", "oci:images:edited"]).succeeds().stdout;
        assert_eq!(after, before.replace(from, to), "{arguments:?}");
        room.teu(["verify", "oci:images:edited"]).succeeds();
    }
    room.teu([
        "edit",
        "--to=oci:images:edited",
        "--label-to-annotation",
        "*",
        "--inline=20",
        "oci:images:app",
    ])
    .succeeds();
    let promoted = manifest(&room, "oci:images:edited", None);
    assert_eq!(promoted["annotations"], json!({"a": "1"}));
    // What is so already is no change.
    let same = [
        "edit",
        "--cmd",
        "a",
        "--label",
        "a=1",
        "--remove-label",
        "z",
        "oci:images:app",
    ];
    let digest = room.teu(same).succeeds().stdout;
    assert_eq!(digest, room.teu(["digest", "oci:images:app"]).succeeds().stdout);
    assert_eq!(room.teu(["config", "oci:images:app"]).succeeds().stdout, before);
}

#[test]
fn each_flag_says_what_the_configuration_then_says() {
    let room = Room::new();
    room.teu(["new", "--platform", "linux/amd64", "oci:images:base"])
        .succeeds();
    let cases: [(&[&str], Value); 14] = [
        (
            &["--user", "1:2", "--workdir", "/srv"],
            json!({"User": "1:2", "WorkingDir": "/srv"}),
        ),
        (
            &["--config.user=1", "--config.workingdir=/"],
            json!({"User": "1", "WorkingDir": "/"}),
        ),
        (
            &["--env", "A=1", "--env", "B=x=y", "--config.env", "A=2"],
            json!({"Env": ["B=x=y", "A=2"]}),
        ),
        (
            &["--label", "k=v", "--config.label", "e="],
            json!({"Labels": {"k": "v", "e": ""}}),
        ),
        (
            &[
                "--port",
                "80",
                "--exposed-ports",
                "53/udp,443/tcp",
                "--config.exposedports",
                "1",
            ],
            json!({"ExposedPorts": {"80": {}, "53/udp": {}, "443/tcp": {}, "1": {}}}),
        ),
        (
            &["--volume", "/a", "--config.volume", "/b"],
            json!({"Volumes": {"/a": {}, "/b": {}}}),
        ),
        (
            &["--config.entrypoint", "/a", "--config.cmd", "b", "--config.cmd=-c"],
            json!({"Entrypoint": ["/a"], "Cmd": ["b", "-c"]}),
        ),
        (
            &["--stop-signal", "SIGINT", "--stop-timeout", "3"],
            json!({"StopSignal": "SIGINT", "StopTimeout": 3}),
        ),
        (
            &[
                "--healthcheck",
                "curl -f x",
                "--health-interval",
                "1m30s",
                "--health-retries",
                "2",
            ],
            json!({"Healthcheck": {"Test": ["CMD-SHELL", "curl -f x"], "Interval": 90_000_000_000_u64, "Retries": 2}}),
        ),
        (
            &[
                "--health-cmd",
                r#"["/check","-q"]"#,
                "--health-timeout",
                "1s",
                "--health-start-period",
                "2s",
            ],
            json!({"Healthcheck": {"Test": ["CMD", "/check", "-q"], "Timeout": 1_000_000_000, "StartPeriod": 2_000_000_000}}),
        ),
        (&["--no-healthcheck"], json!({"Healthcheck": {"Test": ["NONE"]}})),
        (
            &["--healthcheck", r#"["CMD-SHELL","x"]"#],
            json!({"Healthcheck": {"Test": ["CMD-SHELL", "x"]}}),
        ),
        (
            &["--shell", r#"["/bin/bash","-c"]"#],
            json!({"Shell": ["/bin/bash", "-c"]}),
        ),
        (
            &["--on-build", "RUN a b", "--on-build", "COPY . /"],
            json!({"OnBuild": ["RUN a b", "COPY . /"]}),
        ),
    ];
    for (arguments, expected) in cases {
        let arguments = [&["edit", "--to", "oci:images:app", "oci:images:base"], arguments].concat();
        room.teu(&arguments).succeeds();
        let found = config(&room, "oci:images:app", None);
        // Lists of keys may stand in any order.
        assert_eq!(found["config"], expected, "{arguments:?}");
    }
    // Single times of a check that is there.
    let check = ["edit", "--healthcheck", "x", "--health-timeout", "1s", "oci:images:app"];
    room.teu(check).succeeds();
    let times = [
        "edit",
        "--health-interval",
        "2s",
        "--health-timeout",
        "0s",
        "oci:images:app",
    ];
    room.teu(times).succeeds();
    assert_eq!(
        config(&room, "oci:images:app", None)["config"]["Healthcheck"],
        json!({"Test": ["CMD-SHELL", "x"], "Interval": 2_000_000_000})
    );
    let everything = [
        "edit",
        "--author=me",
        "--created=2026-01-02T03:04:05+00:00",
        "--set-platform=linux/arm/v6",
        "--os-version=6",
        "--os-feature=f",
        "--history-comment=why",
        "--history.author=me",
        "--history-created=2026-01-02T03:04:05Z",
        "oci:images:base",
    ];
    room.teu(everything).succeeds();
    assert_eq!(
        room.teu(["config", "oci:images:base"]).succeeds().stdout,
        concat!(
            r#"{"created":"2026-01-02T03:04:05Z","author":"me","architecture":"arm","os":"linux","os.version":"6","os.features":["f"],"#,
            r#""variant":"v6","config":{},"rootfs":{"type":"layers","diff_ids":[]},"history":[{"created":"2026-01-02T03:04:05Z","#,
            r#""created_by":"teu edit","author":"me","comment":"why","empty_layer":true}]}"#
        )
    );
    let nothing = [
        "edit",
        "--author=",
        "--created=",
        "--variant=",
        "--os-version=",
        "--os-feature=",
        "--clear=history,config.env",
        "--arch=amd64",
        "oci:images:base",
    ];
    room.teu(nothing).succeeds();
    assert_eq!(
        room.teu(["config", "oci:images:base"]).succeeds().stdout,
        r#"{"architecture":"amd64","os":"linux","config":{},"rootfs":{"type":"layers","diff_ids":[]}}"#
    );
}

#[test]
fn all_images_of_an_index_change_or_those_that_are_chosen() {
    let room = Room::new();
    let layout = room.layout("images");
    let (first, mut second) = (image(), image());
    second.config["architecture"] = "arm64".into();
    layout.index("all", &[("linux/amd64", &first), ("linux/arm64", &second)]);
    let (amd, arm) = (Some("linux/amd64"), Some("linux/arm64"));
    let edit = [
        "-o",
        "json",
        "edit",
        "--user=7",
        "--annotation=of=image",
        "--annotation=index:of=index",
        "--annotation=manifest-descriptor:of=listed",
        "--annotation=layer:of=layer",
        "oci:images:all",
    ];
    let before = room.teu(["digest", "oci:images:all"]).succeeds().stdout;
    let report = json_of(&room.teu(edit).succeeds().stdout);
    let digest = room.teu(["digest", "oci:images:all"]).succeeds().stdout;
    assert_eq!(
        report,
        json!({"digest": digest.trim_end(), "before": before.trim_end(), "names": ["all"]})
    );
    let index = manifest(&room, "oci:images:all", None);
    assert_eq!(index["annotations"], json!({"of": "index"}));
    for (place, platform) in [amd, arm].into_iter().enumerate() {
        assert_eq!(config(&room, "oci:images:all", platform)["config"]["User"], "7");
        let image = manifest(&room, "oci:images:all", platform);
        assert_eq!(image["annotations"], json!({"of": "image"}));
        assert_eq!(image["layers"][0]["annotations"], json!({"of": "layer"}));
        assert_eq!(index["manifests"][place]["annotations"], json!({"of": "listed"}));
    }
    room.teu(["verify", "oci:images:all"]).succeeds();

    let one = [
        "edit",
        "--platform=linux/arm64",
        "--user=",
        "--set-platform=linux/arm/v7",
        "oci:images:all",
    ];
    room.teu(one).succeeds();
    assert_eq!(config(&room, "oci:images:all", amd)["config"]["User"], "7");
    let index = manifest(&room, "oci:images:all", None);
    assert_eq!(
        index["manifests"][1]["platform"],
        json!({"os": "linux", "architecture": "arm", "variant": "v7"})
    );
    assert_eq!(
        config(&room, "oci:images:all", Some("linux/arm/v7"))["config"].get("User"),
        None
    );
    let undone = [
        "edit",
        "--remove-annotation=of",
        "--remove-annotation=index:of",
        "--clear=descriptor-annotations,layer-annotations",
        "oci:images:all",
    ];
    room.teu(undone).succeeds();
    let raw = room.teu(["manifest", "get", "oci:images:all"]).succeeds().stdout;
    assert!(!raw.contains("annotations"), "{raw}");
}

/// The digests that a layout lists, and their names.
fn listed(layout: &Layout) -> Vec<(String, Option<String>)> {
    let index = json_of(&fs::read_to_string(layout.path.join("index.json")).expect("read"));
    let name = |entry: &Value| {
        entry["annotations"]["org.opencontainers.image.ref.name"]
            .as_str()
            .map(str::to_owned)
    };
    let entries = index["manifests"].as_array().expect("a list").iter();
    entries
        .map(|entry| (entry["digest"].as_str().expect("a digest").to_owned(), name(entry)))
        .collect()
}

#[test]
fn an_image_without_a_name_changes_where_it_is() {
    let room = Room::new();
    let layout = room.layout("images");
    let app = layout.image("app", &image()).to_string();
    let plain = Layout {
        path: room.path("plain"),
    };
    room.teu(["copy", "oci:images:app", "oci:plain"]).succeeds();
    let edit = |value: &str, more: &[&'static str]| -> String {
        let value = format!("A={value}");
        let ran = room.teu(["edit", "--env", &value].iter().chain(more)).succeeds();
        ran.stdout.trim().to_owned()
    };
    for (value, more) in [
        ("1", &["oci:plain"][..]),
        ("2", &["oci:plain:@0"]),
        ("3", &["--to", "oci:plain", "oci:plain"]),
    ] {
        let digest = edit(value, more);
        assert_eq!(listed(&plain), [(digest, None)], "{more:?}");
        let env = config(&room, "oci:plain", None)["config"]["Env"].to_string();
        assert!(env.contains(&format!("\"A={value}\"")), "{more:?}: {env}");
    }
    // What is made of another image takes nobody's place.
    let other = Layout {
        path: room.path("other"),
    };
    room.teu(["copy", "oci:images:app", "oci:other"]).succeeds();
    let digest = edit("4", &["--to", "oci:other", "oci:plain"]);
    assert_eq!(listed(&other), [(app.clone(), None), (digest, None)]);
    // Beside one with a name its place says which, and it stays there.
    room.teu(["copy", "oci:images:app", "oci:plain:app"]).succeeds();
    let digest = edit("5", &["oci:plain:@0"]);
    assert_eq!(
        listed(&plain),
        [(digest.clone(), None), (app.clone(), Some("app".to_owned()))]
    );
    // By its digest it is no name that is meant.
    let by_digest = format!("oci:plain@{digest}");
    let refused = room.teu(["edit", "--env", "A=6", &by_digest]).fails(1);
    assert!(refused.contains("(--to)") && refused.contains("(teu tag)"), "{refused}");
    // The image of a directory has no other place.
    room.teu(["copy", "oci:images:app", "dir:flat"]).succeeds();
    let digest = edit("7", &["dir:flat"]);
    assert_eq!(room.teu(["digest", "dir:flat"]).succeeds().stdout.trim(), digest);
    assert!(
        config(&room, "dir:flat", None)["config"]["Env"]
            .to_string()
            .contains("A=7")
    );
    assert_eq!(room.teu(["verify", "dir:flat"]).ran().code, 0);
}

#[test]
fn the_history_says_when_by_source_date_epoch_and_an_empty_one_is_none() {
    let room = Room::new();
    let layout = room.layout("images");
    layout.image("app", &image());
    let edited = |epoch: &str, more: &[&str]| -> Value {
        let arguments = ["edit", "--to", "oci:images:new"]
            .iter()
            .chain(more)
            .chain(&["oci:images:app"]);
        room.teu(arguments).env("SOURCE_DATE_EPOCH", epoch).succeeds();
        let history = config(&room, "oci:images:new", None)["history"].clone();
        history.as_array().expect("a list").last().expect("one")["created"].clone()
    };
    let said = ["--history-comment", "x"];
    assert_eq!(edited("1700000000", &said), "2023-11-14T22:13:20Z");
    assert_eq!(edited("", &said), "1970-01-01T00:00:00Z");
    let created = [&said[..], &["--history-created", "2026-01-31T12:00:00Z"]].concat();
    assert_eq!(edited("1700000000", &created), "2026-01-31T12:00:00Z");
    // It adds nothing by itself.
    let before = config(&room, "oci:images:app", None)["history"].clone();
    let only = room
        .teu(["edit", "--to", "oci:images:only", "--env", "A=1", "oci:images:app"])
        .env("SOURCE_DATE_EPOCH", "1700000000");
    only.succeeds();
    assert_eq!(config(&room, "oci:images:only", None)["history"], before);
    for verb in [
        &["new", "oci:images:fresh"][..],
        &["append", "oci:images:fresh", "tree"],
    ] {
        room.file("tree/a", "a");
        room.teu(verb).env("SOURCE_DATE_EPOCH", "").succeeds();
    }
    let refused = room
        .teu(["new", "oci:images:other"])
        .env("SOURCE_DATE_EPOCH", "x")
        .fails(2);
    assert!(refused.contains("is no number of seconds since 1970"), "{refused}");
}

#[test]
fn a_new_image_without_a_name_gets_layers_where_it_is() {
    let room = Room::new();
    room.file("tree/a", "a");
    room.file("tree/b", "b");
    room.teu(["new", "oci:made"]).succeeds();
    room.teu(["append", "oci:made", "tree"]).succeeds();
    room.teu(["insert", "oci:made", "tree/b", "/c"]).succeeds();
    let made = Layout {
        path: room.path("made"),
    };
    assert_eq!(listed(&made).len(), 1);
    let files = room.teu(["files", "oci:made"]).succeeds().stdout;
    assert_eq!(files.lines().collect::<Vec<_>>(), ["/a", "/b", "/c"]);
}

#[test]
fn a_rehearsal_shows_what_would_differ_and_writes_nothing() {
    let room = Room::new();
    let layout = room.layout("images");
    let (first, mut second) = (image(), image());
    second.config["architecture"] = "arm64".into();
    second.config["config"]["Labels"] = json!({"\u{202e}": "turned"});
    layout.index("all", &[("linux/amd64", &first), ("linux/arm64", &second)]);
    let before = everything(&layout);
    let edit = ["edit", "--dry-run", "--cmd=/app", "--clear=labels", "oci:images:all"];
    let shown = room.teu(edit).succeeds().stdout;
    let lines: Vec<&str> = shown.lines().collect();
    for line in [
        "index",
        "manifest for linux/amd64",
        "config for linux/amd64",
        "manifest for linux/arm64",
        "config for linux/arm64",
        "-      \"/bin/sh\"",
        "+      \"/app\"",
        "-      \"\\u{202e}\": \"turned\"",
    ] {
        assert!(lines.contains(&line), "{line}: {shown}");
    }
    assert_eq!(everything(&layout), before);

    let report = json_of(&room.teu([&["-o", "json"], &edit[..]].concat()).succeeds().stdout);
    assert_eq!(everything(&layout), before);
    let done = room
        .teu(["edit", "--cmd=/app", "--clear=labels", "oci:images:all"])
        .succeeds()
        .stdout;
    assert!(shown.ends_with(&format!(" would become {done}")), "{shown}");
    assert_eq!(report["digest"], done.trim_end());
    assert_eq!(report["dryRun"], true);
    let documents = report["documents"].as_array().expect("documents");
    let changes: Vec<Value> = documents.iter().map(|document| document["changes"].clone()).collect();
    assert_eq!(documents.len(), 5);
    assert_eq!(
        changes[2],
        json!([
            {"path": "config.Cmd[0]", "before": "/bin/sh", "after": "/app"},
            {"path": "config.Labels", "before": {"a": "1"}, "after": null},
        ])
    );
    assert_eq!(
        documents[2]["platform"],
        json!({"architecture": "amd64", "os": "linux"})
    );
    assert_eq!(changes[0][0]["path"], "manifests[0].digest");

    let same = room
        .teu(["edit", "--dry-run", "--cmd=/app", "oci:images:all"])
        .succeeds()
        .stdout;
    assert_eq!(same, "nothing would change\n");
    room.file("layer.tar", layer("new\n"));
    let appended = room
        .teu(["append", "--dry-run", "oci:images:all", "layer.tar"])
        .succeeds()
        .stdout;
    assert!(appended.contains("+      \"created_by\": \"teu append\""), "{appended}");
}

#[test]
fn layers_go_and_become_others() {
    let room = Room::new();
    let layout = room.layout("images");
    let mut built = image();
    let second = layer("second\n");
    built.layers.push((built.layers[0].0.clone(), second.clone()));
    let diff_ids = built.config["rootfs"]["diff_ids"].as_array_mut().expect("a list");
    diff_ids.push(Digest::of(&second).to_string().into());
    built.config["history"]
        .as_array_mut()
        .expect("a list")
        .push(json!({"created_by": "COPY secret /run # buildkit"}));
    layout.image("app", &built);
    let first = Digest::of(&built.layers[0].1).to_string();
    let digest = Digest::of(&second).to_string();
    for flag in [
        ["--remove-layer", "1"],
        ["--remove-layer", &digest],
        ["--remove-layer-by", "COPY secret*buildkit"],
    ] {
        room.teu([&["edit", "--to=oci:images:less"], &flag[..], &["oci:images:app"]].concat())
            .succeeds();
        let less = manifest(&room, "oci:images:less", None);
        assert_eq!(less["layers"].as_array().map(Vec::len), Some(1), "{flag:?}");
        assert_eq!(less["layers"][0]["digest"], first);
        let config = config(&room, "oci:images:less", None);
        assert_eq!(config["rootfs"]["diff_ids"], json!([first]));
        assert_eq!(config["history"].as_array().map(Vec::len), Some(1));
        room.teu(["verify", "oci:images:less"]).succeeds();
    }
    let others = [
        "edit",
        "--to=oci:images:zstd",
        "--compress=zstd",
        "--compress-level=1",
        "oci:images:app",
    ];
    room.teu(others).succeeds();
    let zstd = manifest(&room, "oci:images:zstd", None);
    for layer in zstd["layers"].as_array().expect("layers") {
        assert_eq!(layer["mediaType"], "application/vnd.oci.image.layer.v1.tar+zstd");
    }
    let docker = [
        "edit",
        "--to=oci:images:docker",
        "--format=v2s2",
        "--compress=gzip",
        "oci:images:zstd",
    ];
    room.teu(docker).succeeds();
    let docker = manifest(&room, "oci:images:docker", None);
    assert_eq!(
        docker["mediaType"],
        "application/vnd.docker.distribution.manifest.v2+json"
    );
    let files = [
        "edit",
        "--to=oci:images:none",
        "--remove-file=/file",
        "--set-times=86400",
        "oci:images:app",
    ];
    room.teu(files).succeeds();
    room.teu(["verify", "oci:images:none"]).succeeds();
    let none = config(&room, "oci:images:none", None);
    assert_eq!(none["created"], "1970-01-02T00:00:00Z");
    assert_eq!(none["history"][0]["created"], "1970-01-02T00:00:00Z");
    let empty = Digest::of(&[0; 1024]).to_string();
    assert_eq!(none["rootfs"]["diff_ids"], json!([empty, empty]));
}

#[test]
fn an_image_in_a_registry_changes_under_its_name_and_goes_to_archives() {
    let test = "an_image_in_a_registry_changes_under_its_name_and_goes_to_archives";
    let Some(registry) = Peer::start(test, Asks::default()) else {
        return;
    };
    let room = Room::new();
    room.layout("images").image("app", &image());
    let place = format!("docker://{}/app:1", registry.host);
    room.teu(["copy", "--dest-tls-verify=false", "oci:images:app", &place])
        .succeeds();
    let subject = room.teu(["digest", "--tls-verify=false", &place]).succeeds().stdout;
    let edited = room
        .teu([
            "edit",
            "--tls-verify=false",
            "--entrypoint=/app",
            "--artifact-type=a/b",
            &place,
        ])
        .succeeds();
    assert_eq!(
        room.teu(["digest", "--tls-verify=false", &place]).succeeds().stdout,
        edited.stdout
    );
    let about = ["edit", "--tls-verify=false", "--subject", subject.trim_end(), &place];
    room.teu(about).succeeds();
    let raw = room
        .teu(["manifest", "get", "--tls-verify=false", &place])
        .succeeds()
        .stdout;
    let manifest = json_of(&raw);
    assert_eq!(manifest["artifactType"], "a/b");
    assert_eq!(manifest["subject"]["digest"], subject.trim_end());
    for archive in ["oci-archive:app.tar:app", "docker-archive:docker.tar:app:1"] {
        let to = [
            "edit",
            "--tls-verify=false",
            "--subject=",
            "--artifact-type=",
            "--cmd=x",
            "--to",
            archive,
            &place,
        ];
        room.teu(to).succeeds();
        let config = config(&room, archive, None);
        assert_eq!(config["config"]["Entrypoint"], json!(["/app"]), "{archive}");
        assert_eq!(config["config"]["Cmd"], json!(["x"]), "{archive}");
        room.teu(["verify", archive]).succeeds();
    }
}

#[test]
fn others_read_what_was_edited() {
    if !peers("others_read_what_was_edited", &["umoci", "skopeo"]) {
        return;
    }
    let room = Room::new();
    room.layout("images").image("app", &image());
    let edit = [
        "edit",
        "--entrypoint=/app",
        "--env=A=1",
        "--label=b=2",
        "--user=7",
        "--port=80/tcp",
        "--volume=/v",
        "--remove-label=a",
        "oci:images:app",
    ];
    room.teu(edit).succeeds();
    let read = room.skopeo(["inspect", "--config", "oci:images:app"]).succeeds();
    assert_eq!(
        json_of(&read.stdout)["config"],
        json!({
            "User": "7",
            "ExposedPorts": {"80/tcp": {}},
            "Env": ["PATH=/usr/bin:/bin", "A=1"],
            "Entrypoint": ["/app"],
            "Cmd": ["/bin/sh"],
            "Volumes": {"/v": {}},
            "Labels": {"b": "2"},
        })
    );
    let stat = room
        .run("umoci", ["stat", "--json", "--image", "images:app"])
        .succeeds();
    assert_eq!(json_of(&stat.stdout)["history"].as_array().map(Vec::len), Some(1));
    // The same by umoci's own hand and with its words.
    let words = [
        "--config.user=8",
        "--config.env=A=2",
        "--config.label=c=3",
        "--clear=config.cmd",
    ];
    room.run(
        "umoci",
        [
            &["config", "--no-history", "--image=images:app", "--tag=theirs"],
            &words[..],
        ]
        .concat(),
    )
    .succeeds();
    room.teu([&["edit", "--to=oci:images:ours"], &words[..], &["oci:images:app"]].concat())
        .succeeds();
    let (ours, theirs) = (
        config(&room, "oci:images:ours", None),
        config(&room, "oci:images:theirs", None),
    );
    assert_eq!(ours["config"], theirs["config"]);
}

#[test]
fn what_cannot_be_meant_is_said_and_nothing_changes() {
    let room = Room::new();
    let layout = room.layout("images");
    layout.image("app", &image());
    let artifact = Image {
        config_type: "application/vnd.oci.empty.v1+json".to_owned(),
        ..image()
    };
    layout.image("artifact", &artifact);
    let before = everything(&layout);
    for (arguments, code, said) in [
        (&["oci:images:app"][..], 2, "nothing is to be different"),
        (&["--entrypoint", "[/app]", "oci:images:app"], 2, "is none"),
        (&["--env", "A", "oci:images:app"], 2, "NAME=VALUE"),
        (&["--port", "x", "oci:images:app"], 2, "a port is written"),
        (
            &["--artifact-type", "foo", "oci:images:app"],
            2,
            "a media type is written",
        ),
        (
            &["--stop-signal", "SIGBLAH", "oci:images:app"],
            2,
            "a signal is written",
        ),
        (&["--volume", "rel", "oci:images:app"], 2, "from the root"),
        (&["--user", "a:b:c", "oci:images:app"], 2, "USER or USER:GROUP"),
        (&["--os", "", "oci:images:app"], 1, "has to say its os"),
        (&["--arch", "", "oci:images:app"], 1, "has to say its architecture"),
        (&["--created", "yesterday", "oci:images:app"], 2, "is no time"),
        (&["--clamp-times", "yesterday", "oci:images:app"], 2, "is no time"),
        (&["--health-retries", "2", "oci:images:app"], 2, "no image of sha256:"),
        (
            &["--no-healthcheck", "--health-retries", "2", "oci:images:app"],
            2,
            "--no-healthcheck",
        ),
        (&["--promote-annotations", "oci:images:app"], 1, "is a single image"),
        (
            &["--promote-annotations", "--platform", "linux/amd64", "oci:images:app"],
            2,
            "--platform",
        ),
        (
            &["--set-times", "0", "--limit", "x=1", "oci:images:app"],
            2,
            "there is no limit \"x\"",
        ),
        (
            &["--set-times", "0", "--limit", "entries=0", "oci:images:app"],
            1,
            "entries",
        ),
        (&["--remove-layer", "7", "oci:images:app"], 2, "there is no layer 7"),
        (
            &["--remove-layer-by", "RUN*", "oci:images:app"],
            2,
            "there is no layer made by \"RUN*\"",
        ),
        (&["--remove-file", "nowhere", "oci:images:app"], 2, "nowhere"),
        (&["--annotation", "index:a=b", "oci:images:app"], 1, "is a single image"),
        (&["--compress-level", "3", "oci:images:app"], 2, "--compress"),
        (
            &["--compress", "gzip", "--compress-level", "30", "oci:images:app"],
            1,
            "level",
        ),
        (
            &["--platform", "linux/s390x", "--user", "1", "oci:images:app"],
            2,
            "linux/s390x",
        ),
        (&["--user", "1", "oci:images:artifact"], 1, "is an artifact"),
        (&["--user", "1", "oci:images:missing"], 2, "missing"),
        (&["--subject", MISSING, "--user", "1", "oci:images:app"], 2, ""),
    ] {
        let error = room.teu(["edit"].iter().chain(arguments)).fails(code);
        assert!(error.contains(said), "{arguments:?}: {error}");
        assert_eq!(everything(&layout), before, "{arguments:?}");
    }
    room.teu(["edit", "--annotation=a=b", "--artifact-type=a/b", "oci:images:artifact"])
        .succeeds();
    assert_eq!(manifest(&room, "oci:images:artifact", None)["artifactType"], "a/b");
}
