//! Does each flag of `teu copy` do what its help says, as the place where the image goes and the server that is asked see it?

use std::{collections::BTreeSet, fs, path::Path, sync::Arc};

use serde_json::{Value, json};
use teu_spec::Digest;

use crate::support::{
    Asks, Image, Layout, Peer, Ran, Room, Served,
    answers::{Answers, Held, served, status},
    archive, file, image, layer, of, peers,
};

fn image_for(architecture: &str) -> Image {
    let mut made = of(&[layer(architecture)]);
    made.config["architecture"] = architecture.into();
    made
}

/// The digests of all blobs below a directory `blobs`, or one that stands for it.
fn blobs(at: &Path) -> BTreeSet<String> {
    let names = fs::read_dir(at.join("sha256")).expect("blobs");
    names
        .map(|name| {
            let name = name.expect("an entry").file_name();
            format!("sha256:{}", name.to_str().expect("UTF-8"))
        })
        .collect()
}

/// A manifest with all it names.
fn whole(layout: &Layout, manifest: &Digest) -> BTreeSet<String> {
    let raw = fs::read(layout.blob_path(manifest)).expect("there");
    let told: Value = serde_json::from_slice(&raw).expect("JSON");
    let layers = told["layers"].as_array().expect("layers").iter();
    let named = layers.chain([&told["config"]]).map(|blob| &blob["digest"]);
    named
        .map(|digest| digest.as_str().expect("a digest").to_owned())
        .chain([manifest.to_string()])
        .collect()
}

#[test]
fn of_an_index_comes_what_is_asked_for() {
    let room = Room::new();
    let layout = room.layout("images");
    let (amd, arm) = (image_for("amd64"), image_for("arm64"));
    let index = layout.index("all", &[("linux/amd64", &amd), ("linux/arm64", &arm)]);
    let amd = layout.manifest(&amd).0;
    let arm = layout.manifest(&arm).0;
    let alone = BTreeSet::from([index.to_string()]);
    let both = &(&whole(&layout, &amd) | &whole(&layout, &arm)) | &alone;
    let by_skopeo = peers("of_an_index_comes_what_is_asked_for beside skopeo", &["skopeo"]);
    for (which, digest, expected) in [
        ("system", arm, whole(&layout, &arm)),
        ("all", index, both),
        ("index-only", index, alone),
    ] {
        let to = format!("oci:{which}:app");
        let flags = ["--override-arch=arm64", "copy", "--multi-arch", which, "oci:images:all"];
        let told = room.teu(flags.iter().chain(&[to.as_str()])).succeeds().stdout;
        assert_eq!(told, format!("{digest}\n"), "{which}");
        assert_eq!(room.teu(["digest", &to]).succeeds().stdout, told, "{which}");
        assert_eq!(blobs(&room.path(which).join("blobs")), expected, "{which}");
        if by_skopeo {
            let to = format!("oci:skopeo-{which}:app");
            room.skopeo(flags.iter().chain(&["--preserve-digests", to.as_str()]))
                .succeeds();
            let theirs = blobs(&room.path(format!("skopeo-{which}")).join("blobs"));
            assert_eq!(theirs, expected, "skopeo {which}");
        }
    }
    // Of which one is asked for is said once.
    for other in ["--all", "--platform=linux/arm64"] {
        let both = ["copy", "--multi-arch=all", other, "oci:images:all", "oci:new:app"];
        let said = room.teu(both).fails(2);
        assert!(said.contains("cannot be used with"), "{said}");
    }
    assert!(!room.path("new").exists());
}

#[test]
fn what_is_about_an_image_comes_with_it_where_it_is_asked_for() {
    let room = Room::new();
    let layout = room.layout("images");
    let app = layout.image("app", &image());
    // A signature of the image, and one of that.
    let about = |subject: &Digest, what: &str| {
        let mut made = of(&[layer(what)]);
        let size = fs::metadata(layout.blob_path(subject)).expect("there").len();
        let kind = "application/vnd.oci.image.manifest.v1+json";
        made.manifest["artifactType"] = what.into();
        made.manifest["subject"] = json!({"mediaType": kind, "digest": subject, "size": size});
        layout.image(what, &made)
    };
    let signature = about(&app, "example/signature");
    let of_that = about(&signature, "example/second");
    let server = Served::start(&room, &["--data", "depot"]);
    let (there, back) = (server.image("app:1"), "oci:back:app".to_owned());
    let plain = ["--src-tls-verify=false", "--dest-tls-verify=false"];
    let referrers = |place: &str| -> Vec<String> {
        let listed = room
            .teu(["referrers", "-o", "json", "--tls-verify=false", place])
            .succeeds()
            .stdout;
        let listed: Vec<Value> = serde_json::from_str(&listed).expect("JSON");
        let digests = listed.iter().map(|one| one["digest"].as_str().expect("a digest"));
        digests.map(str::to_owned).collect()
    };
    let by_digest = |place: &str, digest: &Digest| {
        let place = place.rsplit_once(':').expect("a name").0;
        format!("{place}@{digest}")
    };
    let from = "oci:images:app".to_owned();
    for (from, to) in [(&from, &there), (&there, &back)] {
        let copy = |flags: &[&str]| room.teu([&["copy", from, to], &plain[..], flags].concat());
        assert_eq!(copy(&[]).succeeds().stdout, format!("{app}\n"));
        assert_eq!(referrers(to), [""; 0], "{to}");
        assert_eq!(copy(&["--referrers"]).succeeds().stdout, format!("{app}\n"));
        assert_eq!(referrers(to), [signature.to_string()], "{to}");
        assert_eq!(referrers(&by_digest(to, &signature)), [of_that.to_string()], "{to}");
    }
    // It would be about nothing where the image becomes another.
    let flags = [
        "copy",
        "--referrers",
        "--format=v2s2",
        "oci:images:app",
        "oci:docker:app",
    ];
    let said = room.teu(flags).succeeds().stderr;
    let warning = format!("the digest of manifest {app} changes, so what refers to it (1 manifests) is left out");
    assert!(said.contains(&warning), "{said}");
    assert_eq!(referrers("oci:docker:app"), [""; 0]);
}

#[test]
fn what_is_not_to_be_distributed_is_left_where_it_is_unless_it_is_asked_for() {
    let room = Room::new();
    let layout = room.layout("images");
    let content = layer("of somebody else's");
    let blob = Digest::of(&content);
    // The registry has the image without that layer; another server has it.
    let elsewhere = content.clone();
    let maker = Answers::start(move |_| (200, Vec::new(), elsewhere.clone()));
    let mut made = of(&[content]);
    made.layers[0].0 = "application/vnd.oci.image.layer.nondistributable.v1.tar".to_owned();
    made.layer_fields = json!({"urls": [format!("http://{}/layer", maker.host)]});
    let digest = layout.image("app", &made);
    let config = whole(&layout, &digest);
    fs::remove_file(layout.blob_path(&blob)).expect("removed");
    let registry = Answers::start(move |request| served(&layout, &digest, request).unwrap_or(status(404)));
    let from = format!("docker://{}/app:1", registry.host);
    let copy = |flags: &[&str], to: &str| {
        let arguments = [&["copy", "--src-tls-verify=false", &from, to], flags].concat();
        assert_eq!(room.teu(arguments).succeeds().stdout, format!("{digest}\n"));
        blobs(&room.path("").join(to.split(':').nth(1).expect("a path")).join("blobs"))
    };
    let without: BTreeSet<String> = config
        .iter()
        .filter(|name| **name != blob.to_string())
        .cloned()
        .collect();
    assert_eq!(copy(&[], "oci:without:app"), without);
    assert_eq!(maker.lines(), [""; 0], "nobody asked its maker");
    assert_eq!(copy(&["--include-foreign-layers"], "oci:with:app"), config);
    assert_eq!(maker.lines(), ["GET /layer"]);
    let copied = room.layout("with");
    assert_eq!(Digest::of(&fs::read(copied.blob_path(&blob)).expect("there")), blob);
}

#[test]
fn an_image_gets_other_names_too() {
    let room = Room::new();
    let digest = room.layout("images").image("app", &image());
    let server = Served::start(&room, &["--data", "depot"]);
    let copy = |to: &str, names: &[&str]| {
        let names = names.iter().flat_map(|name| ["--additional-tag", name]);
        let fixed = ["copy", "--dest-tls-verify=false", "oci:images:app", to];
        room.teu(fixed.into_iter().chain(names)).succeeds();
    };
    copy(
        "docker-archive:app.tar:example.test/app:1",
        &["example.test/app:2,example.test/other:3", "short"],
    );
    let listed = room.run("tar", ["-xOf", "app.tar", "manifest.json"]).succeeds().stdout;
    let listed: Value = serde_json::from_str(&listed).expect("JSON");
    let expected = [
        "example.test/app:1",
        "example.test/app:2",
        "example.test/other:3",
        "docker.io/library/short:latest",
    ];
    assert_eq!(
        (listed.as_array().map(Vec::len), &listed[0]["RepoTags"]),
        (Some(1), &json!(expected))
    );
    for name in expected {
        let config = room
            .teu(["config", &format!("docker-archive:app.tar:{name}")])
            .succeeds()
            .stdout;
        assert_eq!(
            config,
            room.teu(["config", "oci:images:app"]).succeeds().stdout,
            "{name}"
        );
    }
    // Names of a layout; of a registry the tags of such names.
    copy("oci:to:app", &["second", "third"]);
    let there = server.image("app");
    copy(&format!("{there}:1"), &["2", "example.test/app:3"]);
    for (place, names) in [("oci:to", ["app", "second", "third"]), (&there, ["1", "2", "3"])] {
        let listed = room
            .teu(["ls", "-o", "json", "--tls-verify=false", place])
            .succeeds()
            .stdout;
        let listed: Vec<Value> = serde_json::from_str(&listed).expect("JSON");
        let found: Vec<&str> = listed.iter().filter_map(|one| one["name"].as_str()).collect();
        assert_eq!(found, names, "{place}");
        for name in names {
            let place = format!("{place}:{name}");
            let found = room.teu(["digest", "--tls-verify=false", &place]).succeeds().stdout;
            assert_eq!(found, format!("{digest}\n"), "{place}");
        }
    }
}

#[test]
fn a_registry_is_told_who_asks() {
    let asks = Asks {
        password: true,
        tls: false,
    };
    let Some(registry) = Peer::start("a_registry_is_told_who_asks", asks) else {
        return;
    };
    let room = Room::new();
    let digest = room.layout("images").image("app", &image()).to_string() + "\n";
    let there = format!("docker://{}/app:1", registry.host);
    let other = format!("docker://{}/other:1", registry.host);
    let run = |flags: &[&str]| {
        room.teu(
            ["copy", "--src-tls-verify=false", "--dest-tls-verify=false"]
                .iter()
                .chain(flags),
        )
    };
    let to = ["--dest-username=user", "--dest-password=secret"];
    let from = ["--src-username=user", "--src-password=secret"];
    assert_eq!(
        run(&[&to[..], &["oci:images:app", &there]].concat()).succeeds().stdout,
        digest
    );
    assert_eq!(
        run(&[&from[..], &[&there, "oci:back:app"]].concat()).succeeds().stdout,
        digest
    );
    assert_eq!(
        run(&[&from[..], &to, &[&there, &other]].concat()).succeeds().stdout,
        digest
    );
    // Of the other side it says nothing.
    let denied = run(&[&to[..], &[&there, "oci:no:app"]].concat()).fails(1);
    assert!(denied.contains(&format!("teu login {}", registry.host)), "{denied}");
    let one = ["digest", "--tls-verify=false", "--username=user"];
    let ask = |flags: &[&str]| room.teu([&one[..], flags, &[&there]].concat());
    assert_eq!(ask(&["--password=secret"]).succeeds().stdout, digest);
    ask(&["--password=guess"]).fails(1);
    assert!(
        ask(&[])
            .fails(2)
            .contains("username and password must be given together")
    );
    assert!(
        ask(&["--creds=user:secret"])
            .fails(2)
            .contains("creds and username cannot both be given")
    );
    assert!(!room.path("no").exists());
}

#[test]
fn a_token_that_was_given_is_what_is_shown() {
    let room = Room::new();
    let layout = room.layout("images");
    let digest = layout.image("app", &image());
    let registry = Answers::start(move |request| match request.header("authorization") {
        Some("Bearer given") => served(&layout, &digest, request).unwrap_or(status(404)),
        _ => (
            401,
            vec![("WWW-Authenticate", "Bearer realm=\"http://127.0.0.1:9/\"".to_owned())],
            Vec::new(),
        ),
    });
    let from = format!("docker://{}/app:1", registry.host);
    let copy = |token: &str, to: &str| {
        let fixed = [
            "copy",
            "--src-tls-verify=false",
            "--retry-times=0",
            "--src-registry-token",
            token,
        ];
        room.teu(fixed.iter().chain(&[from.as_str(), to])).ran()
    };
    let copied = copy("given", "oci:to:app");
    assert_eq!(
        (copied.code, copied.stdout),
        (0, format!("{digest}\n")),
        "{}",
        copied.stderr
    );
    assert_eq!(copy("another", "oci:no:app").code, 1);
    assert!(!room.path("no").exists());
    let one = ["digest", "--tls-verify=false", "--registry-token", "given", &from];
    assert_eq!(room.teu(one).succeeds().stdout, format!("{digest}\n"));
    // Nobody is shown it who did not ask for one, and who did is shown it with all that follows.
    let shown: Vec<Option<String>> = registry
        .seen()
        .iter()
        .map(|request| request.header("authorization").map(str::to_owned))
        .collect();
    let runs: Vec<&[Option<String>]> = shown.split_inclusive(Option::is_none).skip(1).collect();
    let tokens: Vec<BTreeSet<&str>> = runs
        .iter()
        .map(|run| run.iter().flatten().map(String::as_str).collect())
        .collect();
    let expected = ["Bearer given", "Bearer another", "Bearer given"];
    assert_eq!(tokens, expected.map(|token| BTreeSet::from([token])));
    assert_eq!(shown.iter().filter(|token| token.is_none()).count(), 3, "once a run");
}

#[test]
fn temporary_files_are_made_where_it_is_said_and_none_is_left() {
    let room = Room::new();
    room.layout("images").image("app", &image());
    room.teu(["copy", "oci:images:app", "docker-archive:app.tar:app:1"])
        .succeeds();
    room.run("gzip", ["app.tar"]).succeeds();
    fs::create_dir(room.path("given")).expect("made");
    let absent = room.path("absent");
    let config = |flags: &[&str], variable: &Path| {
        let run = room.teu([&["config"], flags, &["docker-archive:app.tar.gz"]].concat());
        run.env("TMPDIR", variable).ran()
    };
    let expected = room.teu(["config", "oci:images:app"]).succeeds().stdout;
    let refused = config(&[], &absent);
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(refused.stderr.contains(absent.to_str().expect("UTF-8")), "{refused:?}");
    assert_eq!(config(&["--tmpdir", "given"], &absent).stdout, expected);
    let refused = config(&["--tmpdir", "nowhere"], &room.path("given"));
    let said = "nowhere is no directory for temporary files";
    assert!(refused.code == 1 && refused.stderr.contains(said), "{refused:?}");
    let edit = [
        "edit",
        "--user=1",
        "--to=docker-archive:new.tar:app:1",
        "oci:images:app",
    ];
    let refused = room.teu(["--tmpdir", "nowhere"].iter().chain(&edit)).fails(1);
    assert!(refused.contains("nowhere (--tmpdir chooses another)"), "{refused}");
    room.teu(["--tmpdir", "given"].iter().chain(&edit))
        .env("TMPDIR", &absent)
        .succeeds();
    assert_eq!(fs::read_dir(room.path("given")).expect("a directory").count(), 0);
}

#[test]
fn an_index_may_list_an_index() {
    let room = Room::new();
    let layout = room.layout("images");
    let inner = layout.index(
        "inner",
        &[
            ("linux/amd64", &image_for("amd64")),
            ("linux/arm64", &image_for("arm64")),
        ],
    );
    let single = layout.image("riscv64", &image_for("riscv64"));
    let create = |flags: &[&str], to: &str| -> Vec<(String, String)> {
        let fixed = ["index", "create", to, "oci:images:inner", "oci:images:riscv64"];
        room.teu(fixed.iter().chain(flags)).succeeds();
        room.teu(["verify", to]).succeeds();
        let raw = room.teu(["manifest", "get", to]).succeeds().stdout;
        let index: Value = serde_json::from_str(&raw).expect("JSON");
        let listed = index["manifests"].as_array().expect("manifests").iter();
        let text = |value: &Value| value.as_str().expect("a text").to_owned();
        listed
            .map(|one| {
                (
                    text(&one["digest"]),
                    text(&one["mediaType"])
                        .rsplit_once(".image.")
                        .expect("OCI's")
                        .1
                        .to_owned(),
                )
            })
            .collect()
    };
    let (index, manifest) = ("index.v1+json".to_owned(), "manifest.v1+json".to_owned());
    assert_eq!(
        create(&["--nested"], "oci:nested:all"),
        [(inner.to_string(), index), (single.to_string(), manifest.clone())]
    );
    let flat = create(&[], "oci:flat:all");
    assert_eq!(flat.len(), 3);
    assert!(
        flat.iter()
            .all(|(digest, kind)| *kind == manifest && *digest != inner.to_string())
    );
    // All that the inner one lists is there.
    let to = ["--override-arch=arm64", "copy", "oci:nested:all", "dir:arm64"];
    room.teu(to).succeeds();
    let config: Value = serde_json::from_str(&room.teu(["config", "dir:arm64"]).succeeds().stdout).expect("JSON");
    assert_eq!(config["architecture"], "arm64");
}

/// How many blobs were under way at most, as the program told it.
fn under_way(events: &str) -> usize {
    let (mut now, mut most) = (0_usize, 0);
    for event in events.lines() {
        let event: Value = serde_json::from_str(event).expect("an event");
        match event["event"].as_str() {
            Some("blob-started") => now += 1,
            Some("blob-done") => now -= 1,
            _ => {}
        }
        most = most.max(now);
    }
    most
}

/// Copies an image of `layers` layers from a registry, for whose blobs `wait` waits before they are answered. What the program said, and how many of
/// its requests were for blobs.
fn pulled(layers: usize, flags: &[&str], wait: impl Fn() + Send + Sync + 'static) -> (Ran, usize) {
    let room = Room::new();
    let layout = room.layout("images");
    let layers: Vec<_> = (0..layers).map(|number| layer(&number.to_string())).collect();
    let digest = layout.image("app", &of(&layers));
    let registry = Answers::start(move |request| {
        if request.line().starts_with("GET /v2/app/blobs/") {
            wait();
        }
        served(&layout, &digest, request).unwrap_or(status(404))
    });
    let from = format!("docker://{}/app:1", registry.host);
    let fixed = ["copy", "--progress=json", "--src-tls-verify=false", &from, "oci:to:app"];
    let ran = room.teu(fixed.iter().chain(flags)).ran();
    let lines = registry.lines();
    let blobs = lines.iter().filter(|line| line.starts_with("GET /v2/app/blobs/"));
    (ran, blobs.count())
}

/// Waits for what never comes.
fn forever() {
    loop {
        std::thread::park();
    }
}

/// Asserts that so many blobs are under way where none is ever answered, and no more. That no more come no event tells but the program's end; it is
/// given longer where it gave up before so many had come.
#[track_caller]
fn are_under_way(expected: usize, flags: &[&str], copied: impl Fn(&[&str]) -> (Ran, usize)) {
    let mut blobs = 0;
    for timeout in ["--command-timeout=3s", "--command-timeout=12s", "--command-timeout=48s"] {
        let (ran, asked) = copied(&[flags, &[timeout, "--retry-times=0"]].concat());
        assert!(ran.code == 1 && ran.stderr.contains("--command-timeout"), "{ran:?}");
        blobs = asked;
        if blobs >= expected {
            break;
        }
    }
    assert_eq!(blobs, expected, "blobs that are under way at once");
}

/// Asserts that of an image of `layers` layers and its configuration so many blobs are asked for side by side, and no more.
#[track_caller]
fn are_asked_for(layers: usize, jobs: usize, started: usize, expected: usize) {
    let jobs = format!("--jobs={jobs}");
    // Answers are given only where so many are waited for.
    let held = Held::new(layers + 1, expected);
    let gate = Arc::clone(&held);
    let (ran, blobs) = pulled(layers, &[&jobs], move || gate.wait());
    assert_eq!((ran.code, blobs), (0, layers + 1), "{}", ran.stderr);
    assert_eq!((under_way(&ran.stderr), held.most()), (started, expected));
    are_under_way(expected, &[&jobs], |flags| pulled(layers, flags, forever));
}

#[test]
fn so_many_blobs_come_side_by_side_and_no_more() {
    for jobs in [1, 3] {
        are_asked_for(9, jobs, jobs, jobs);
    }
}

/// Copies an image of 19 layers to a registry, which waits by `wait` before it has taken a blob. As [`pulled`].
fn pushed(flags: &[&str], wait: impl Fn() + Send + Sync + 'static) -> (Ran, usize) {
    let room = Room::new();
    let layers: Vec<_> = (0..19).map(|number| layer(&number.to_string())).collect();
    room.layout("images").image("app", &of(&layers));
    let registry = Answers::start(move |request| {
        let goes_on = || vec![("Location", "/v2/app/blobs/uploads/1".to_owned())];
        match (request.method.as_str(), request.target.contains("/blobs/")) {
            ("POST" | "PATCH", true) => (202, goes_on(), Vec::new()),
            ("PUT", is_blob) => {
                if is_blob {
                    wait();
                }
                status(201)
            }
            _ => status(404),
        }
    });
    let to = format!("docker://{}/app:1", registry.host);
    let fixed = [
        "copy",
        "--progress=json",
        "--dest-tls-verify=false",
        "oci:images:app",
        &to,
    ];
    let ran = room.teu(fixed.iter().chain(flags)).ran();
    let lines = registry.lines();
    let blobs = lines.iter().filter(|line| line.starts_with("PUT /v2/app/blobs/"));
    (ran, blobs.count())
}

/// Whatever is asked for: a registry is not overrun.
#[test]
fn sixteen_blobs_at_most_come_from_one_registry_and_go_to_it() {
    are_asked_for(19, 20, 20, 16);
    let held = Held::new(20, 16);
    let gate = Arc::clone(&held);
    let (ran, blobs) = pushed(&["--jobs=20"], move || gate.wait());
    assert_eq!((ran.code, blobs), (0, 20), "{}", ran.stderr);
    assert_eq!((under_way(&ran.stderr), held.most()), (20, 16));
    are_under_way(16, &["--jobs=20"], |flags| pushed(flags, forever));
}

#[test]
fn a_local_source_is_believed_where_it_is_said() {
    let room = Room::new();
    let layout = room.layout("images");
    let made = of(&[archive(&[file("f", "right")])]);
    let digest = layout.image("app", &made);
    let blob = Digest::of(&made.layers[0].1);
    let wrong = archive(&[file("f", "wrong")]);
    fs::write(layout.blob_path(&blob), &wrong).expect("written");
    let copy = |flags: &[&str], to: &str| room.teu([&["copy", "oci:images:app", to], flags].concat()).ran();
    let refused = copy(&[], "oci:checked:app");
    assert_eq!(refused.code, 1);
    assert!(refused.stderr.contains(&blob.to_string()), "{refused:?}");
    let taken = copy(&["--trust-source"], "oci:trusted:app");
    assert_eq!(
        (taken.code, taken.stdout),
        (0, format!("{digest}\n")),
        "{}",
        taken.stderr
    );
    let trusted = room.layout("trusted");
    assert_eq!(fs::read(trusted.blob_path(&blob)).expect("there"), wrong);
    // It is wrong there as it was here, and found to be where it is looked for.
    assert_eq!(room.teu(["verify", "oci:trusted:app"]).ran().code, 10);
}

#[test]
fn blobs_are_kept_where_several_layouts_have_them() {
    let test = "blobs_are_kept_where_several_layouts_have_them";
    let room = Room::new();
    let layout = room.layout("images");
    let made = image();
    let digest = layout.image("app", &made);
    let all = whole(&layout, &digest);
    for to in ["oci:one:app", "oci:two:app"] {
        let fixed = ["copy", "--dest-shared-blob-dir", "shared", "oci:images:app", to];
        assert_eq!(room.teu(fixed).succeeds().stdout, format!("{digest}\n"));
        assert_eq!(blobs(&room.path("shared")), all, "{to}");
        let own = room.path(&to[4..7]).join("blobs/sha256");
        let count = fs::read_dir(own).map_or(0, Iterator::count);
        assert_eq!(count, 0, "{to} has no blobs of its own");
        room.teu(["verify", "--shared-blob-dir", "shared", to]).succeeds();
        let alone = room.teu(["config", to]).fails(2);
        assert!(alone.contains(&digest.to_string()), "{alone}");
    }
    let back = ["copy", "--src-shared-blob-dir=shared", "oci:two:app", "oci:back:app"];
    room.teu(back).succeeds();
    assert_eq!(blobs(&room.path("back/blobs")), all);
    if peers(test, &["skopeo"]) {
        // What one leaves the other reads.
        let read = [
            "copy",
            "--preserve-digests",
            "--src-shared-blob-dir=shared",
            "oci:one:app",
            "oci:by-skopeo:app",
        ];
        room.skopeo(read).succeeds();
        assert_eq!(blobs(&room.path("by-skopeo/blobs")), all);
        let put = [
            "copy",
            "-q",
            "--dest-shared-blob-dir=theirs",
            "oci:images:app",
            "oci:three:app",
        ];
        room.skopeo(put).succeeds();
        room.teu(["verify", "--shared-blob-dir=theirs", "oci:three:app"])
            .succeeds();
    }
}

#[test]
fn a_password_goes_to_another_site_only_where_that_is_allowed() {
    let mut room = Room::new();
    let layout = room.layout("images");
    let digest = layout.image("app", &image());
    // It stands for every host, as a proxy does.
    let proxy = Answers::start(move |request| {
        let token = request.header("authorization");
        match request.target.strip_prefix("http://registry.test") {
            Some(_) if token == Some("Bearer made") => served(&layout, &digest, request).unwrap_or(status(404)),
            Some(_) => {
                let realm = "Bearer realm=\"http://tokens.example/token\",service=\"registry\"";
                (401, vec![("WWW-Authenticate", realm.to_owned())], Vec::new())
            }
            None if request.target.starts_with("http://tokens.example/token?") => match token {
                // user:secret
                Some("Basic dXNlcjpzZWNyZXQ=") => (200, Vec::new(), br#"{"token": "made"}"#.to_vec()),
                _ => status(401),
            },
            None => status(502),
        }
    });
    for name in ["HTTP_PROXY", "HTTPS_PROXY"] {
        room.set(name, format!("http://{}", proxy.host));
    }
    let ask = |flags: &[&str]| {
        let fixed = ["digest", "--tls-verify=false", "--retry-times=0", "--creds=user:secret"];
        room.teu([&fixed[..], flags, &["docker://registry.test/app:1"]].concat())
    };
    let is_told = || proxy.lines().iter().any(|line| line.contains("tokens.example"));
    for flags in [&[][..], &["--token-realm", "other.example"]] {
        let refused = ask(flags).fails(1);
        assert!(
            refused.contains("if you trust it with your password, allow it by --token-realm HOST"),
            "{refused}"
        );
        assert!(!is_told(), "{flags:?}");
    }
    let told = ask(&["--token-realm=other.example", "--token-realm=tokens.example"])
        .succeeds()
        .stdout;
    assert_eq!(told, format!("{digest}\n"));
    assert!(is_told());
}

#[test]
fn who_replaces_an_archive_is_told_which_images_go_with_it() {
    let room = Room::new();
    room.layout("images").image("app", &image());
    let copied = |flags: &[&str], to: &str| {
        room.teu([&["copy"], flags, &["oci:images:app", to]].concat())
            .succeeds()
            .stderr
    };
    let warning = "teu: warning: there.tar is replaced, and with it the other images that it has: one; \
                   a layout (oci:DIRECTORY) keeps several\n";
    let told = |said: &str| said.contains("warning");
    assert!(!told(&copied(&[], "oci-archive:there.tar:one")));
    assert!(!told(&copied(&[], "oci-archive:there.tar:one")));
    assert!(copied(&["--dry-run"], "oci-archive:there.tar:two").contains(warning));
    room.teu(["digest", "oci-archive:there.tar:one"]).succeeds();
    assert!(copied(&[], "oci-archive:there.tar:two").contains(warning));
    room.teu(["digest", "oci-archive:there.tar:one"]).fails(2);
    let edited = room
        .teu([
            "edit",
            "--label=a=b",
            "--to=oci-archive:there.tar:three",
            "oci:images:app",
        ])
        .succeeds()
        .stderr;
    assert!(edited.contains("the other images that it has: two;"), "{edited}");
    // What no archive of images is goes as before.
    room.file("other.tar", "x");
    assert!(!told(&copied(&[], "oci-archive:other.tar:one")));
}
