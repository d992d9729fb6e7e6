//! Does `teu inspect` print what skopeo prints, byte for byte? Debian's skopeo beside it, on images of every shape, from every place.

use crate::support::{Asks, Image, Layout, Peer, Room, image, layer, peers};
use serde_json::{Value, json};

const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";

/// Images by name: each is an edge of something.
fn images() -> Vec<(&'static str, Image)> {
    let with = |change: &dyn Fn(&mut Image)| {
        let mut image = image();
        change(&mut image);
        image
    };
    let config = |key: &'static str, value: Value| with(&|image| image.config[key] = value.clone());
    let without = |key: &'static str| {
        with(&|image| {
            image.config.as_object_mut().expect("an object").remove(key);
        })
    };
    vec![
        ("plain", image()),
        (
            "labels",
            config(
                "config",
                json!({
                    "Labels": {"z": "<b>&\u{2028}\u{2029}", "a": "é😀\u{7f}", "m": "", "": "empty", "q": "\"\\\n\t\u{1}", "<k>": "1"},
                    "Env": ["A=<&>", "", "é"],
                }),
            ),
        ),
        ("bare", config("config", json!({}))),
        ("no-config", without("config")),
        ("null-config", config("config", Value::Null)),
        (
            "empty-lists",
            config(
                "config",
                json!({"Labels": {}, "Env": [], "Cmd": [], "Entrypoint": [], "Volumes": {}, "ExposedPorts": {}}),
            ),
        ),
        (
            "nulls",
            config(
                "config",
                json!({"Labels": null, "Env": null, "Cmd": null, "User": null}),
            ),
        ),
        (
            "full",
            config(
                "config",
                json!({
                    "User": "1:2", "ExposedPorts": {"80/tcp": {}, "443/tcp": {}}, "Env": ["A=1"], "Entrypoint": ["/e"], "Cmd": ["c"],
                    "Volumes": {"/v": {}, "/a": {}}, "WorkingDir": "/w", "Labels": {"l": "1"}, "StopSignal": "SIGTERM",
                    "Healthcheck": {"Test": ["CMD", "x"], "Interval": 1000}, "OnBuild": ["RUN x"], "Shell": ["/bin/sh"],
                    "Hostname": "h", "Domainname": "d", "Image": "sha256:x", "ArgsEscaped": true, "unknown": [1, {"a": 1.50}],
                }),
            ),
        ),
        (
            "nanoseconds",
            config("created", json!("2026-11-23T17:52:32.123456789Z")),
        ),
        ("zeros", config("created", json!("2026-11-23T17:52:05.1000+00:00"))),
        ("offset", config("created", json!("2026-11-23T17:52:32.5+10:00"))),
        ("west", config("created", json!("2026-11-23T17:52:32-03:30"))),
        ("ancient", config("created", json!("0001-01-01T00:00:00Z"))),
        ("not-created", without("created")),
        ("null-created", config("created", Value::Null)),
        ("author", config("author", json!("Someone <someone@example.org>"))),
        ("docker-version", config("docker_version", json!("20.10.24+dfsg1"))),
        (
            "arm",
            with(&|image| {
                image.config["architecture"] = json!("arm64");
                image.config["variant"] = json!("v8");
                image.config["os.version"] = json!("1.2.3");
                image.config["os.features"] = json!(["a", "b"]);
            }),
        ),
        ("no-history", without("history")),
        ("empty-history", config("history", json!([]))),
        (
            "history",
            config(
                "history",
                json!([
                    {"created": "2026-11-23T17:52:32.30Z", "created_by": "RUN <x> && \u{2028}", "author": "a", "comment": "c"},
                    {"created_by": "CMD", "empty_layer": true},
                    {"created": null},
                    {},
                ]),
            ),
        ),
        ("unknown", config("extra", json!({"b": 1, "a": [null, 1e3, "x"]}))),
        (
            "no-layers",
            with(&|image| {
                image.layers.clear();
                image.config["rootfs"] = json!({"type": "layers", "diff_ids": []});
                image.config["history"] = json!([]);
            }),
        ),
        (
            "no-diff-ids",
            with(&|image| {
                image.layers.clear();
                image.config["rootfs"] = json!({"type": "layers"});
                image.config["history"] = json!([]);
            }),
        ),
        (
            "twice",
            with(&|image| {
                image.layers.push(image.layers[0].clone());
                image
                    .layers
                    .push(("application/vnd.oci.image.layer.v1.tar".to_owned(), layer("other")));
                let diff_id = image.config["rootfs"]["diff_ids"][0].clone();
                image.config["rootfs"]["diff_ids"] =
                    json!([diff_id, diff_id, teu_spec::Digest::of(&layer("other")).to_string()]);
            }),
        ),
        (
            "annotated",
            with(&|image| {
                image.layer_fields = json!({"annotations": {"b": "<2>", "a": "1"}});
                image.manifest["annotations"] = json!({"x": "y"});
            }),
        ),
        (
            "no-media-type",
            with(&|image| image.manifest["mediaType"] = Value::Null),
        ),
    ]
}

/// Docker's forms of some of them.
fn docker(image: &Image) -> Image {
    let mut image = image.clone();
    image.manifest["mediaType"] = json!(DOCKER_MANIFEST);
    image.config_type = "application/vnd.docker.container.image.v1+json".to_owned();
    for (kind, _) in &mut image.layers {
        *kind = "application/vnd.docker.image.rootfs.diff.tar".to_owned();
    }
    image
}

fn layout(room: &Room) -> (Layout, Vec<String>) {
    let layout = room.layout("images");
    let mut names = Vec::new();
    for (name, image) in images() {
        layout.image(name, &image);
        names.push(name.to_owned());
    }
    (layout, names)
}

/// What Debian's skopeo, which is older, would have printed: without `LayersData`, and the variant before the system.
fn older(printed: &str, arguments: &[&str]) -> String {
    if arguments.contains(&"--raw") || arguments.contains(&"--format") || arguments.contains(&"list-tags") {
        return printed.to_owned();
    }
    let mut lines: Vec<&str> = printed.split_inclusive('\n').collect();
    if arguments.contains(&"--config") {
        let find = |lines: &[&str], key: &str| lines.iter().position(|line| line.starts_with(key));
        if let (Some(variant), Some(os)) = (find(&lines, "    \"variant\": "), find(&lines, "    \"os\": ")) {
            let line = lines.remove(variant);
            lines.insert(os, line);
        }
        return lines.concat();
    }
    let from = lines
        .iter()
        .position(|line| line.starts_with("    \"LayersData\": ["))
        .expect("they are there");
    let to = lines[from..]
        .iter()
        .position(|line| line.ends_with("],\n") && line.starts_with("    ") && !line.starts_with("     "));
    lines.drain(from..=from + to.expect("an end"));
    lines.concat()
}

/// Runs both with the same arguments: what they say differently, if they do.
fn same(room: &Room, arguments: &[&str]) -> Option<String> {
    let theirs = room.skopeo(arguments).ran();
    let ours = room.as_skopeo(arguments).ran();
    let printed = match ours.code {
        0 => older(&ours.stdout, arguments),
        _ => ours.stdout.clone(),
    };
    if (theirs.code == 0) == (ours.code == 0) && printed == theirs.stdout {
        return None;
    }
    let lines = printed
        .lines()
        .zip(theirs.stdout.lines())
        .find(|(ours, theirs)| ours != theirs);
    Some(format!(
        "{arguments:?}: {lines:?}\n  ours {} {}\n  theirs {} {}",
        ours.code, ours.stderr, theirs.code, theirs.stderr
    ))
}

const FORMS: [&[&str]; 4] = [
    &["inspect"],
    &["inspect", "--config"],
    &["inspect", "--raw"],
    &["inspect", "--config", "--raw"],
];

#[track_caller]
fn forms_are_the_same(room: &Room, images: &[String], forms: &[&[&str]], more: &[&str]) {
    let mut different = Vec::new();
    for image in images {
        for form in forms {
            let arguments: Vec<&str> = form.iter().chain(more).copied().chain([image.as_str()]).collect();
            different.extend(same(room, &arguments));
        }
    }
    assert!(different.is_empty(), "{}", different.join("\n"));
}

#[test]
fn a_layout_is_inspected_as_skopeo_does() {
    let test = "a_layout_is_inspected_as_skopeo_does";
    if !peers(test, &["skopeo"]) {
        return;
    }
    let room = Room::new();
    let (_, names) = layout(&room);
    let images: Vec<String> = names.iter().map(|name| format!("oci:images:{name}")).collect();
    forms_are_the_same(&room, &images, &FORMS, &[]);
}

#[test]
fn artifacts_and_images_of_umocis_are_inspected_as_skopeo_does() {
    let test = "artifacts_and_images_of_umocis_are_inspected_as_skopeo_does";
    if !peers(test, &["skopeo", "umoci"]) {
        return;
    }
    let room = Room::new();
    for arguments in [
        "init --layout made",
        "new --image made:app",
        "raw add-layer --image made:app layer.tar",
        "config --image made:app --config.env A=<b> --config.label x=<y> --config.exposedports 80/tcp --author me --config.cmd sh",
    ] {
        room.file("layer.tar", layer("x"));
        room.run("umoci", arguments.split(' ')).succeeds();
    }
    let layout = room.layout("images");
    let mut images = vec!["oci:made:app".to_owned()];
    for (name, config, kind) in [
        ("empty", "application/vnd.oci.empty.v1+json", Some("application/x.y")),
        ("config", "application/x.config+json", None),
    ] {
        let mut artifact = image();
        artifact.config = json!({});
        artifact.config_type = config.to_owned();
        if let Some(kind) = kind {
            artifact.manifest["artifactType"] = json!(kind);
        }
        layout.image(name, &artifact);
        images.push(format!("oci:images:{name}"));
    }
    forms_are_the_same(&room, &images, &FORMS, &[]);
}

/// Puts images of Docker's form into `dir:` directories, by hand: no tool keeps all that is in their configurations.
fn directories(room: &Room) -> Vec<String> {
    let mut places = Vec::new();
    for (name, image) in images() {
        if name == "no-media-type" {
            continue;
        }
        let image = docker(&image);
        let layout = room.layout(&format!("docker-{name}"));
        let digest = layout.image("app", &image);
        let directory = room.path(format!("dir-{name}"));
        std::fs::create_dir(&directory).expect("made");
        for entry in std::fs::read_dir(layout.path.join("blobs/sha256")).expect("read") {
            let entry = entry.expect("read");
            std::fs::copy(entry.path(), directory.join(entry.file_name())).expect("copied");
        }
        std::fs::copy(layout.blob_path(&digest), directory.join("manifest.json")).expect("copied");
        std::fs::write(directory.join("version"), "Directory Transport Version: 1.1\n").expect("written");
        places.push(format!("dir:dir-{name}"));
    }
    places
}

#[test]
fn images_of_dockers_form_are_inspected_as_skopeo_does_in_directories_and_registries() {
    let test = "images_of_dockers_form_are_inspected_as_skopeo_does_in_directories_and_registries";
    if !peers(test, &["skopeo"]) {
        return;
    }
    let room = Room::new();
    let directories = directories(&room);
    forms_are_the_same(&room, &directories, &FORMS, &[]);
    let Some(registry) = Peer::start(test, Asks::default()) else {
        return;
    };
    let mut images = Vec::new();
    for directory in &directories {
        let name = directory.trim_start_matches("dir:dir-");
        let there = format!("docker://{}/docker/{name}:1", registry.host);
        room.teu([
            "copy",
            "-q",
            "--preserve-digests",
            "--dest-tls-verify=false",
            directory,
            &there,
        ])
        .succeeds();
        images.push(there);
    }
    forms_are_the_same(&room, &images, &FORMS[..1], &["--tls-verify=false"]);
}

/// Such an archive has no manifest: what is made up for it is shown as skopeo makes it up.
#[test]
fn archives_of_dockers_are_inspected_as_skopeo_does() {
    let test = "archives_of_dockers_are_inspected_as_skopeo_does";
    if !peers(test, &["skopeo"]) {
        return;
    }
    let room = Room::new();
    layout(&room);
    let mut places = Vec::new();
    for name in [
        "plain",
        "labels",
        "full",
        "offset",
        "not-created",
        "docker-version",
        "arm",
    ] {
        let place = format!("docker-archive:{name}.tar");
        let from = format!("oci:images:{name}");
        room.teu(["copy", "-q", &from, &format!("{place}:app:1")]).succeeds();
        places.push(place);
    }
    forms_are_the_same(&room, &places, &FORMS, &[]);
    forms_are_the_same(&room, &places, &[&["list-tags"]], &[]);
}

#[test]
fn registries_indexes_and_tags_are_inspected_as_skopeo_does() {
    let test = "registries_indexes_and_tags_are_inspected_as_skopeo_does";
    if !peers(test, &["skopeo"]) {
        return;
    }
    let Some(registry) = Peer::start(test, Asks::default()) else {
        return;
    };
    let room = Room::new();
    let (layout, names) = layout(&room);
    let host = registry.host.as_str();
    let repository = format!("docker://{host}/team/app");
    let mut images = Vec::new();
    for name in names.iter().filter(|name| *name != "no-media-type") {
        let (here, there) = (format!("oci:images:{name}"), format!("{repository}:{name}"));
        room.teu(["copy", "-q", "--dest-tls-verify=false", &here, &there])
            .succeeds();
        images.push(there);
    }
    let (_, all) = (layout.path.clone(), self::images());
    let image = |wanted: &str| all.iter().find(|(name, _)| *name == wanted).expect("there").1.clone();
    let digest = layout.index(
        "index",
        &[("linux/amd64", &image("labels")), ("linux/arm64/v8", &image("arm"))],
    );
    room.teu([
        "copy",
        "-q",
        "--all",
        "--dest-tls-verify=false",
        "oci:images:index",
        &format!("{repository}:index"),
    ])
    .succeeds();
    images.push(format!("{repository}:index"));
    images.push(format!("{repository}@{digest}"));
    forms_are_the_same(&room, &images, &FORMS[..1], &["--tls-verify=false"]);
    let index = format!("{repository}:index");
    let mut different = Vec::new();
    for arguments in [
        vec!["inspect", "--tls-verify=false", "-n", &index],
        vec!["inspect", "--tls-verify=false", "--no-tags=true", &index],
        vec!["--tls-verify=false", "inspect", &index],
        vec!["--override-arch", "arm64", "inspect", "--tls-verify=false", &index],
        vec![
            "--override-arch=arm64",
            "--override-os=linux",
            "--override-variant=v8",
            "inspect",
            "--config",
            "--tls-verify=false",
            &index,
        ],
        vec!["--override-arch", "s390x", "inspect", "--tls-verify=false", &index],
        vec!["inspect", "--tls-verify=false", "--creds", "a:b", &index],
        vec!["inspect", "--tls-verify=false", "--retry-times=1", "--no-creds", &index],
        vec!["--override-arch", "arm64", "inspect", "oci:images:index"],
        vec!["inspect", "oci:images"],
        vec!["inspect", "oci:images:absent"],
    ] {
        different.extend(same(&room, &arguments));
    }
    assert!(different.is_empty(), "{}", different.join("\n"));
}

#[test]
fn templates_of_images_print_as_skopeos_do() {
    let test = "templates_of_images_print_as_skopeos_do";
    if !peers(test, &["skopeo"]) {
        return;
    }
    let room = Room::new();
    layout(&room);
    let mut different = Vec::new();
    // Its templates are older: without the functions of the report package, and with
    // columns for whatever has a tab.
    for (image, formats) in [
        (
            "labels",
            &[
                "{{.Digest}}",
                "{{.Labels.m}}|{{.Labels.absent}}|{{index .Labels \"a\"}}",
                "{{.Env}} {{len .Env}} {{.RepoTags}} {{.Name}}|",
                "{{range .Layers}}{{.}}\\n{{end}}",
                "{{.Created}} {{.Created.Year}} {{.Architecture}} {{.Os}} {{.DockerVersion}}",
                "{{printf \"%-10s|%q\" .Os .Architecture}}",
                "{{.Digest.Algorithm}}:{{.Digest.Encoded}}",
                "json",
                "{{.Absent}}",
                "{{.Digest",
                "{{foo}}",
                "{{.Labels.a.b}}",
                "plain text",
                "a\\nc",
                "{{if eq .Os \"linux\"}}yes{{else}}no{{end}}",
                "{{.}}",
            ][..],
        ),
        (
            "plain",
            &[
                "{{.Labels}}",
                "{{range $key, $value := .Labels}}{{$key}}={{$value}};{{end}}",
                "{{.Layers}}",
            ],
        ),
        ("offset", &["{{.Created}}"]),
        (
            "zeros",
            &["{{.Created}}", "{{.Created.Format \"2006-01-02T15:04:05Z07:00\"}}"],
        ),
        (
            "not-created",
            &[
                "{{.Created}}",
                "{{if .Created}}yes{{else}}no{{end}}",
                "{{.Created.Year}}",
            ],
        ),
        (
            "bare",
            &[
                "{{.Labels}} {{.Env}} {{len .Labels}}",
                "{{range .Env}}x{{else}}none{{end}}",
                "{{.Labels.x}}",
            ],
        ),
    ] {
        let here = format!("oci:images:{image}");
        for format in formats {
            // Its own value has no LayersData.
            if *format != "{{.}}" {
                let form = if *format == "json" { "-f=json" } else { "--format" };
                let arguments = match form {
                    "--format" => vec!["inspect", "--format", format, &here],
                    form => vec!["inspect", form, &here],
                };
                different.extend(same(&room, &arguments));
            }
        }
    }
    for format in [
        "{{.RootFS.DiffIDs}}",
        "{{.RootFS}}",
        "{{.Config}}",
        "{{.Config.Env}} {{.Config.Cmd}} {{.Config.ExposedPorts}} {{.Config.Volumes}} {{.Config.Labels.l}}",
        "{{range .History}}{{.CreatedBy}} {{.EmptyLayer}}{{end}}",
        "{{.Created}} {{.Author}} {{.Architecture}} {{.OS}}",
        "{{.Config.Healthcheck}}",
        "{{range .RootFS.DiffIDs}}{{.Encoded}}{{end}}",
    ] {
        different.extend(same(
            &room,
            &["inspect", "--config", "--format", format, "oci:images:full"],
        ));
    }
    assert!(different.is_empty(), "{}", different.join("\n"));
}
