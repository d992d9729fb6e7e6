//! Do layouts and what registry:2 keeps come into what `teu serve` keeps, and out of it again?

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::support::{self, Asks, Image, Peer, Room, Served, image, peers};
use serde_json::Value;
use teu_spec::Digest;

fn json(ran: &support::Ran) -> Value {
    serde_json::from_str(&ran.stdout).expect("JSON")
}

/// What a name of a registry points at, as it was pushed.
fn digest(room: &Room, name: &str) -> String {
    let ran = room.teu(["digest", "--tls-verify=false", name]).succeeds();
    ran.stdout.trim().to_owned()
}

#[test]
fn layouts_come_in_and_go_out_as_they_were() {
    let room = Room::new();
    let one = room.layout("images").image("one", &image()).to_string();
    let mut other = image();
    other.config["author"] = "another".into();
    let layout = room.layout("tree/team/app");
    let two = layout.image("two", &other).to_string();
    room.layout("tree/team/odd").image("docker.io/library/odd:1", &image());
    let import = |arguments: &[&str]| {
        room.teu(
            ["serve", "import", "--data", "kept", "-o", "json"]
                .iter()
                .chain(arguments),
        )
    };
    // What would be is told of a registry that is not there, and makes none.
    let would = json(&import(&["--dry-run", "oci:images"]).succeeds());
    assert_eq!(would["repositories"][0]["names"], 1, "{would}");
    assert!(!room.path("kept").exists());
    let sources = ["oci:images", "renamed:v2=oci:images:one", "base=oci:images"];
    let would_all = json(&import(&[&["--dry-run"], &sources[..]].concat()).succeeds());
    let done = json(&import(&sources).succeeds());
    assert_eq!(would_all["repositories"], done["repositories"], "{would_all} {done}");
    // What the depot has for another repository would not be copied either.
    let would = json(&import(&["--dry-run", "more=oci:images"]).succeeds());
    assert_eq!(
        (&would["blobs"], &would["repositories"][0]["manifests"]),
        (&0.into(), &1.into()),
        "{would}"
    );
    let would = would_all;
    // What another repository has is shown without being copied, whichever of them comes first.
    assert_eq!(
        (&done["blobs"], &done["bytes"]),
        (&would["blobs"], &would["bytes"]),
        "{done}"
    );
    let names = ["images", "renamed", "base"];
    assert_eq!(
        [0, 1, 2].map(|place| done["repositories"][place]["repository"].as_str()),
        names.map(Some)
    );
    // What goes into one repository goes in its order.
    import(&["last:1=oci:images:one", "last:1=oci:tree/team/app:two"]).succeeds();
    // A tree of layouts, of which one has a name that is no tag.
    let tree = import(&["oci:tree"]).ran();
    assert_eq!(tree.code, 10, "{}", tree.stderr);
    assert!(
        tree.stderr
            .contains("team/odd: docker.io/library/odd:1 is left out: that cannot be a name here"),
        "{}",
        tree.stderr
    );
    let again = json(&import(&["oci:images", "base=oci:images"]).succeeds());
    assert_eq!((&again["blobs"], &again["bytes"]), (&0.into(), &0.into()), "{again}");
    room.teu(["serve", "fsck", "--data", "kept"]).succeeds();
    let served = Served::start(&room, &["--data", "kept"]);
    for (name, wanted) in [
        ("images:one", &one),
        ("renamed:v2", &one),
        ("base:one", &one),
        ("team/app:two", &two),
        ("last:1", &two),
    ] {
        assert_eq!(&digest(&room, &served.image(name)), wanted, "{name}");
    }
    let refused = room.teu(["serve", "import", "--data", "kept", "oci:images"]).fails(1);
    assert!(refused.contains("push by teu copy"), "{refused}");
    // Out again, beside the server.
    let out = room
        .teu(["serve", "export", "--data", "kept", "--repository", "team/*", "oci:out"])
        .succeeds();
    assert!(
        out.stdout.contains("team/app") && !out.stdout.contains("renamed"),
        "{}",
        out.stdout
    );
    assert_eq!(
        room.teu(["digest", "oci:out/team/app:two"]).succeeds().stdout.trim(),
        two
    );
    room.teu(["verify", "oci:out/team/app:two"]).succeeds();
    room.teu(["serve", "export", "--data", "kept", "renamed=oci:alone"])
        .succeeds();
    assert_eq!(room.teu(["digest", "oci:alone:v2"]).succeeds().stdout.trim(), one);
    let again = room
        .teu(["serve", "export", "--data", "kept", "renamed=oci:alone", "-o", "json"])
        .succeeds();
    assert_eq!(json(&again)["blobs"], 0);
}

/// An index that names blobs, as BuildKit keeps a cache in one, goes wherever images go, and its blobs stay blobs.
#[test]
fn a_cache_goes_wherever_images_go() {
    let test = "a_cache_goes_wherever_images_go";
    let room = Room::new();
    let layout = room.layout("made");
    let blob = |kind: &str, content: &[u8]| {
        let digest = layout.blob(content);
        serde_json::json!({"mediaType": kind, "digest": digest, "size": content.len()})
    };
    let blobs = [
        blob("application/vnd.oci.image.layer.v1.tar+gzip", b"a layer"),
        blob(
            "application/vnd.buildkit.cacheconfig.v0",
            b"{\"layers\":[],\"records\":[]}",
        ),
    ];
    let kind = "application/vnd.oci.image.index.v1+json";
    let index = serde_json::json!({"schemaVersion": 2, "mediaType": kind, "manifests": blobs});
    let (made, _) = layout.document(&index);
    layout.name("1", &made, Some(kind));
    let mut last = "oci:made:1".to_owned();
    let mut goes_on = |to: &str| {
        let copy = [
            "copy",
            "--all",
            "--src-tls-verify=false",
            "--dest-tls-verify=false",
            &last,
            to,
        ];
        room.teu(copy).succeeds();
        assert_eq!(digest(&room, to), made.to_string(), "{to}");
        to.clone_into(&mut last);
    };
    let has_blobs = |served: &Served, repository: &str| {
        for blob in &blobs {
            let digest = blob["digest"].as_str().expect("a digest");
            let asked = |path: &str| {
                let request =
                    format!("HEAD /v2/{repository}/{path}/{digest} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
                support::ask(&served.address, &request)
            };
            let (blob, manifest) = (asked("blobs"), asked("manifests"));
            assert!(blob.starts_with("HTTP/1.1 200 "), "{blob}");
            assert!(manifest.starts_with("HTTP/1.1 404 "), "{manifest}");
        }
    };
    let served = Served::start(&room, &["--data", "kept"]);
    goes_on(&served.image("bk/cache:1"));
    has_blobs(&served, "bk/cache");
    goes_on("oci:pulled:1");
    room.teu(["init", "oci:shown"]).succeeds();
    let layouts = Served::start(&room, &["--writable", "oci:shown"]);
    goes_on(&layouts.image("shown:1"));
    has_blobs(&layouts, "shown");
    if let Some(peer) = Peer::start(test, Asks::default()) {
        goes_on(&format!("docker://{}/bk/cache:1", peer.host));
        goes_on("oci:again:1");
    }
    drop(served);
    room.teu(["serve", "export", "--data", "kept", "registry:out"])
        .succeeds();
    let again = room
        .teu(["serve", "export", "--data", "kept", "registry:out"])
        .succeeds();
    assert!(again.stdout.contains("0 manifests new"), "{}", again.stdout);
    room.teu(["serve", "import", "--data", "new", "registry:out", "other=oci:pulled"])
        .succeeds();
    room.teu(["serve", "backup", "--data", "new", "copy"]).succeeds();
    room.teu(["serve", "fsck", "--data", "copy"]).succeeds();
    let served = Served::start(&room, &["--data", "copy"]);
    has_blobs(&served, "bk/cache");
    has_blobs(&served, "other");
}

/// As they do not for who pushes to the server of the same settings.
#[test]
fn tags_that_never_move_do_not_by_an_import_either() {
    let room = Room::new();
    let one = room.layout("images").image("one", &image()).to_string();
    let mut other = image();
    other.config["author"] = "another".into();
    room.layout("images").image("two", &other);
    fs::write(
        room.path("serve.toml"),
        "data = \"kept\"\nimmutable = [\"team/*:v*\", \"\"]\n",
    )
    .expect("written");
    let import = |source| room.teu(["serve", "import", "--config", "serve.toml", source]);
    import("team/app:v1=oci:images:one").succeeds();
    import("team/app:v1=oci:images:one").succeeds();
    let refused = import("team/app:v1=oci:images:two").fails(1);
    assert!(refused.contains("and never moves"), "{refused}");
    import("team/app:latest=oci:images:one").succeeds();
    import("team/app:latest=oci:images:two").succeeds();
    let served = Served::start(&room, &["--config", "serve.toml"]);
    assert_eq!(digest(&room, &served.image("team/app:v1")), one);
}

/// An image that another author has made.
fn by(author: &str) -> Image {
    let mut image = image();
    image.config["author"] = author.into();
    image
}

/// As at a switch: an import days before, pushes to both sides, and a last import.
#[test]
fn a_later_import_moves_what_the_source_moved_and_not_what_was_moved_here() {
    let room = Room::new();
    let layout = room.layout("images");
    let first = layout.image("source", &by("first")).to_string();
    let tags: Vec<String> = (0..12).map(|number| format!("here{number:02}")).collect();
    for tag in &tags {
        layout.image(tag, &by("first"));
    }
    let import = |more: &[&str]| {
        let ran = room.teu(["serve", "import", "--data", "kept"].iter().chain(more)).ran();
        (ran.code, ran.stdout, ran.stderr)
    };
    assert_eq!(import(&["app=oci:images", "set=oci:images:source"]).0, 0);
    let second = layout.image("source", &by("second")).to_string();
    let third = room.layout("other").image("third", &by("third")).to_string();
    let served = Served::start(&room, &["--data", "kept"]);
    for tag in tags
        .iter()
        .map(|tag| format!("app:{tag}"))
        .chain(["set:mine".to_owned()])
    {
        room.teu([
            "copy",
            "--dest-tls-verify=false",
            "oci:other:third",
            &served.image(&tag),
        ])
        .succeeds();
    }
    drop(served);
    let sources = ["app=oci:images", "set:mine=oci:images:source"];
    for dry in [&["--dry-run"][..], &[]] {
        let (code, stdout, stderr) = import(&[dry, &sources].concat());
        assert_eq!(code, 10, "{stdout}{stderr}");
        for said in [
            "app: 12 tags left alone, set here by others than an import: here00, here01, here02, here03, here04, here05, \
             here06, here07, here08, here09 and 2 more; --overwrite moves them",
            "set: 1 tag left alone, set here by others than an import: mine; --overwrite moves them",
        ] {
            assert!(stderr.contains(said), "{said}: {stderr}");
        }
        assert!(stdout.ends_with("; 0 left out, 13 tags left alone\n"), "{stdout}");
    }
    let (code, stdout, stderr) = import(&["-o", "json", "set:mine=oci:images:source"]);
    assert_eq!(code, 10, "{stderr}");
    let told: Value = serde_json::from_str(&stdout).expect("JSON");
    let wanted = serde_json::json!([{ "name": "mine", "target": third, "source": second }]);
    assert_eq!(told["repositories"][0]["leftAlone"], wanted);
    assert_eq!(told["repositories"][0]["names"], 0);
    let digests = || {
        let served = Served::start(&room, &["--data", "kept"]);
        ["app:source", "app:here11", "set:source", "set:mine"].map(|name| digest(&room, &served.image(name)))
    };
    assert_eq!(digests(), [&second, &third, &first, &third].map(String::clone));
    let (code, stdout, stderr) = import(&[&["--overwrite"], &sources[..]].concat());
    assert_eq!(code, 0, "{stdout}{stderr}");
    assert_eq!(digests(), [&second, &first, &first, &second].map(String::clone));
    // That was an import, so a later one moves what it set; and so it does where the source comes back to an earlier image.
    layout.image("source", &by("first"));
    assert_eq!(import(&sources).0, 0);
    assert_eq!(digests(), [&first, &first, &first, &first].map(String::clone));
}

/// What an import set that failed half-way it set nevertheless, so the next one moves it where the source did.
#[test]
fn what_a_failed_import_set_the_next_one_moves() {
    let room = Room::new();
    let layout = room.layout("images");
    layout.image("a", &by("first"));
    let import = |source: &str| room.teu(["serve", "import", "--data", "kept", source]).ran();
    assert_eq!(import("begun=oci:images").code, 0);
    let stuck = by("stuck");
    layout.image("b", &stuck);
    // A file stands where the directory of its configuration is to be.
    let config = Digest::of(&serde_json::to_vec(&stuck.config).expect("JSON"));
    let place = room.path(format!("kept/blobs/{}", &config.hex()[..2]));
    fs::write(&place, "").expect("written");
    let failed = import("app=oci:images");
    assert_eq!(failed.code, 1, "{}", failed.stderr);
    assert!(failed.stderr.contains("repository app"), "{}", failed.stderr);
    fs::remove_file(&place).expect("removed");
    let second = layout.image("a", &by("second")).to_string();
    let ran = import("app=oci:images");
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let served = Served::start(&room, &["--data", "kept"]);
    assert_eq!(digest(&room, &served.image("app:a")), second);
}

#[test]
fn what_cannot_be_carried_is_said() {
    let room = Room::new();
    room.layout("images").image("a/b", &image());
    room.layout("Odd").image("one", &image());
    fs::create_dir_all(room.path("nothing")).expect("made");
    for (arguments, code, says) in [
        (&["import", "oci:nothing"][..], 2, "is no image layout"),
        (&["import", "oci:absent"], 2, "there is no directory"),
        (&["import", "registry:images"], 2, "give the rootdirectory"),
        (&["import", "docker://host/app"], 2, "cannot be imported"),
        (&["import", "oci:Odd"], 2, "is no name for a repository"),
        (&["import", "oci:images:a/b"], 2, "say which one it gets"),
        (&["import", "app=oci:images:@0"], 2, "say which tag"),
        (&["import", "App=oci:images"], 1, "App"),
        (&["import"], 2, "required"),
        (&["export", "oci:out"], 2, "opening kept"),
        (&["export", "dir:out"], 2, "is no place for repositories"),
    ] {
        let said = room
            .teu(["serve", arguments[0], "--data", "kept"].iter().chain(&arguments[1..]))
            .fails(code);
        assert!(said.contains(says), "{arguments:?}: {said}");
    }
    room.teu(["serve", "import", "--data", "kept", "a=oci:Odd", "a/blobs=oci:Odd"])
        .succeeds();
    let refused = room.teu(["serve", "export", "--data", "kept", "oci:out"]).fails(2);
    assert!(refused.contains("would lie within that of a"), "{refused}");
    // One that is none of them is mistyped, whatever others are.
    let wanted = ["--repository", "a*", "--repository", "none/*"];
    for (verb, place, of) in [("export", "oci:out", "kept"), ("import", "a=oci:Odd", "a=oci:Odd")] {
        let refused = room
            .teu(["serve", verb, "--data", "kept"].iter().chain(&wanted).chain(&[place]))
            .fails(2);
        let says = format!("no such repository in {of}: none/*");
        assert!(refused.contains(&says), "{refused}");
    }
}

/// One that cannot be carried takes nothing from what is known of the others.
#[test]
fn what_was_carried_is_told_where_another_fails() {
    let room = Room::new();
    room.layout("images").image("one", &image());
    room.layout("broken").image("one", &image());
    let named = room.teu(["digest", "oci:broken:one"]).succeeds().stdout;
    let hex = named.trim().strip_prefix("sha256:").expect("a digest");
    let manifest = room.path("broken/blobs/sha256").join(hex);
    fs::remove_file(manifest).expect("it is there");
    let sources = ["good:1=oci:images:one", "bad:1=oci:broken:one"];
    let import = ["serve", "import", "--data", "kept", "-o", "json"].iter();
    let ran = room.teu(import.chain(&sources)).ran();
    assert_eq!(ran.code, 2, "{}", ran.stderr);
    assert!(ran.stderr.contains("repository bad"), "{}", ran.stderr);
    let told = json(&ran);
    let repositories = told["repositories"].as_array().expect("a list");
    let names: Vec<_> = repositories.iter().map(|told| told["repository"].as_str()).collect();
    assert_eq!(names, [Some("good")], "{told}");
}

/// Several fail side by side, and it is said why the first of them did, whichever failed sooner: here the second, which is asked for a manifest that is not
/// there, while the first reads to the end of a layer that is another one.
#[test]
fn of_several_that_fail_the_first_is_told_of() {
    let room = Room::new();
    room.layout("late").image("one", &image());
    room.layout("soon").image("one", &image());
    let blob = |layout: &str, digest: &str| {
        let hex = digest.trim().strip_prefix("sha256:").expect("a digest").to_owned();
        room.path(format!("{layout}/blobs/sha256/{hex}"))
    };
    let manifest = room.teu(["manifest", "get", "oci:late:one"]).succeeds().stdout;
    let manifest: Value = serde_json::from_str(&manifest).expect("JSON");
    let layer = blob("late", manifest["layers"][0]["digest"].as_str().expect("a digest"));
    let other = vec![b'x'; fs::read(&layer).expect("it is there").len()];
    fs::write(&layer, other).expect("written");
    let named = room.teu(["digest", "oci:soon:one"]).succeeds().stdout;
    fs::remove_file(blob("soon", &named)).expect("it is there");
    let sources = ["late:1=oci:late:one", "soon:1=oci:soon:one"];
    for order in [[0, 1], [1, 0]] {
        let [first, second] = order.map(|at| sources[at]);
        let ran = room.teu(["serve", "import", "--data", "kept", first, second]).ran();
        let name = &first[..4];
        assert_eq!(ran.code, if name == "late" { 1 } else { 2 }, "{}", ran.stderr);
        assert!(ran.stderr.contains(&format!("repository {name}")), "{}", ran.stderr);
    }
}

/// Of an index of which a part was not there once, that part comes when it is.
#[test]
fn what_was_not_there_comes_later() {
    let room = Room::new();
    index(&room);
    let two = room.teu(["digest", "oci:many:two"]).succeeds().stdout;
    let hex = two.trim().strip_prefix("sha256:").expect("a digest");
    let (manifest, aside) = (room.path("many/blobs/sha256").join(hex), room.path("aside"));
    fs::rename(&manifest, &aside).expect("it is there");
    let import = |more: &[&str]| {
        let arguments = ["serve", "import", "--data", "kept"].iter().chain(more);
        room.teu(arguments.chain(&["app=oci:many"])).ran()
    };
    let part = import(&["--sparse"]);
    assert_eq!(part.code, 10, "{}", part.stderr);
    fs::rename(&aside, &manifest).expect("back");
    // The name that only leads there goes: so that the index alone does.
    room.teu(["untag", "oci:many:two"]).succeeds();
    let whole = import(&[]);
    assert_eq!(whole.code, 0, "{}", whole.stderr);
    room.teu(["serve", "export", "--data", "kept", "app=oci:out"])
        .succeeds();
    room.teu(["verify", "oci:out:all"]).succeeds();
    room.teu(["manifest", "get", &format!("oci:out@{}", two.trim())])
        .succeeds();
}

/// An index of two images, made by our own tool.
fn index(room: &Room) {
    let mut other = image();
    other.config["architecture"] = "arm64".into();
    let layout = room.layout("many");
    layout.image("one", &image());
    layout.image("two", &other);
    room.teu(["index", "create", "oci:many:all", "oci:many:one", "oci:many:two"])
        .succeeds();
}

#[test]
fn what_docker_registry_keeps_goes_on_here_and_back() {
    let test = "what_docker_registry_keeps_goes_on_here_and_back";
    if !peers(test, &["skopeo", "docker-registry"]) {
        return;
    }
    let room = Room::new();
    index(&room);
    let peer = Peer::start(test, Asks::default()).expect("it is there");
    let push = |from: &str, to: &str, more: &[&str]| {
        let to = format!("docker://{}/{to}", peer.host);
        let arguments = ["copy", "--dest-tls-verify=false"]
            .iter()
            .copied()
            .chain(more.iter().copied());
        room.skopeo(arguments.chain([from, &to])).succeeds();
    };
    push("oci:many:one", "app:oci", &[]);
    push("oci:many:one", "app:docker", &["--format", "v2s2"]);
    push("oci:many:all", "team/deep/app:all", &["--all"]);
    push("oci:many:two", "team/app:moved", &[]);
    push("oci:many:one", "team/app:moved", &[]);
    push("oci:many:two", "team/gone:deleted", &[]);
    let gone = format!("docker://{}/team/gone:deleted", peer.host);
    room.skopeo(["delete", "--tls-verify=false", &gone]).succeeds();
    let names = ["app:oci", "app:docker", "team/deep/app:all", "team/app:moved"];
    let raw = |host: &str, name: &str| {
        let name = format!("docker://{host}/{name}");
        room.skopeo(["inspect", "--raw", "--tls-verify=false", &name])
            .succeeds()
            .stdout
    };
    let before: Vec<String> = names.iter().map(|name| raw(&peer.host, name)).collect();
    let data = peer.data();
    // What lies there and nobody can believe in.
    let tags = data.join("docker/registry/v2/repositories/app/_manifests/tags");
    write(
        &tags.join("dangling/current/link"),
        &format!("sha256:{}", "0".repeat(64)),
    );
    let old = schema_1(&data, "app");
    write(&tags.join("old/current/link"), &old);
    write(
        &data.join("docker/registry/v2/repositories/Not a name/_manifests/x"),
        "",
    );
    let kept = peer.stop();
    let source = format!("registry:{}", kept.path().join("data").display());
    let import = |more: &[&str]| {
        let arguments = ["serve", "import", "--data", "kept", "-o", "json"].iter().copied();
        room.teu(arguments.chain(more.iter().copied()).chain([source.as_str()]))
            .ran()
    };
    let would = import(&["--dry-run"]);
    let done = import(&[]);
    assert_eq!((would.code, done.code), (10, 10), "{}", done.stderr);
    for said in [
        "app: dangling is left out: source: the tag dangling of app points at sha256:000",
        "app: old is left out: source: manifest sha256:",
        "schema 1",
        "Not a name in",
    ] {
        assert!(done.stderr.contains(said), "{said}: {}", done.stderr);
    }
    let (would, done) = (json(&would), json(&done));
    // What several repositories have is copied once, and counted where it is needed first.
    for told in ["repositories", "blobs", "bytes"] {
        assert_eq!(would[told], done[told], "{would} {done}");
    }
    let repositories: Vec<&str> = (done["repositories"].as_array().expect("a list").iter())
        .map(|one| one["repository"].as_str().expect("a name"))
        .collect();
    assert_eq!(repositories, ["app", "team/app", "team/deep/app", "team/gone"]);
    // What a tag pointed at before it moved has none, and comes along.
    assert_eq!(done["repositories"][1]["unnamed"], 1, "{done}");
    let again = json(&import(&[]));
    assert_eq!((&again["blobs"], &again["bytes"]), (&0.into(), &0.into()), "{again}");
    room.teu(["serve", "fsck", "--data", "kept"]).succeeds();
    let served = Served::start(&room, &["--data", "kept"]);
    for (name, before) in names.iter().zip(&before) {
        assert_eq!(&raw(&served.address, name), before, "{name}");
        let all = format!("dir:pulled-{}", name.replace(['/', ':'], "-"));
        room.skopeo(["copy", "--all", "--src-tls-verify=false", &served.image(name), &all])
            .succeeds();
    }
    let gone = room.teu(["ls", "--tls-verify=false", &served.image("team/gone")]).ran();
    assert_eq!(gone.stdout, "");
    drop(served);
    // Back, into a directory of its own, which the registry then serves.
    let back = Peer::directory();
    let to = format!("registry:{}", back.path().join("data").display());
    room.teu(["serve", "export", "--data", "kept", &to]).succeeds();
    // What an export that was killed leaves goes with the next one.
    let left =
        ["b-left", "i-left", "m-left"].map(|name| back.path().join("data/docker/registry/v2/uploads").join(name));
    left.iter().for_each(|left| write(left, "a part"));
    let again = room
        .teu(["serve", "export", "--data", "kept", "-o", "json", &to])
        .succeeds();
    assert_eq!(json(&again)["blobs"], 0);
    assert!(left.iter().all(|left| !left.exists()));
    let peer = Peer::start_in(test, Asks::default(), back).expect("it is there");
    for (name, before) in names.iter().zip(&before) {
        assert_eq!(&raw(&peer.host, name), before, "{name}");
        let (from, all) = (
            format!("docker://{}/{name}", peer.host),
            format!("dir:back-{}", name.replace(['/', ':'], "-")),
        );
        room.skopeo(["copy", "--all", "--src-tls-verify=false", &from, &all])
            .succeeds();
    }
}

fn write(path: &Path, content: &str) {
    fs::create_dir_all(path.parent().expect("a directory")).expect("made");
    fs::write(path, content).expect("written");
}

/// Puts a manifest of schema 1 into a registry's directory, for its digest.
fn schema_1(data: &Path, repository: &str) -> String {
    let content = r#"{"schemaVersion":1,"name":"app","tag":"old","architecture":"amd64","fsLayers":[],"history":[]}"#;
    let digest = teu_spec::Digest::of(content.as_bytes());
    let (hex, v2) = (digest.hex(), data.join("docker/registry/v2"));
    write(&v2.join(format!("blobs/sha256/{}/{hex}/data", &hex[..2])), content);
    let revision: PathBuf = v2.join(format!(
        "repositories/{repository}/_manifests/revisions/sha256/{hex}/link"
    ));
    write(&revision, &digest.to_string());
    digest.to_string()
}

/// Images that share blobs, from a layout and one by one, side by side: each blob is counted where it is needed first, however often, and whoever was faster.
#[test]
fn what_images_share_is_told_of_the_first_of_them() {
    let room = Room::new();
    let layout = room.layout("images");
    for number in 0..12 {
        let mut image = image();
        image.config["author"] = number.into();
        layout.image(&format!("v{number}"), &image);
    }
    let single = |number: usize| format!("single:v{number}=oci:images:v{number}");
    let mut sources: Vec<String> = (3..8).map(single).collect();
    // The same tag again, and all of a layout between, go in their order.
    sources.extend([single(3), "single=oci:images".to_owned(), "other=oci:images".to_owned()]);
    let import = |more: &[&str]| {
        let arguments = ["serve", "import", "--data", "kept", "-o", "json"].iter();
        let ran = room.teu(arguments.chain(more).copied().chain(sources.iter().map(String::as_str)));
        json(&ran.succeeds())
    };
    let would = import(&["--dry-run"]);
    let rows = |told: &Value| -> Vec<(String, u64, u64, u64)> {
        let rows = told["repositories"].as_array().expect("a list").iter();
        let number = |row: &Value, of: &str| row[of].as_u64().expect("a number");
        rows.map(|row| {
            let name = row["repository"].as_str().expect("a name").to_owned();
            (
                name,
                number(row, "names"),
                number(row, "manifests"),
                number(row, "blobs"),
            )
        })
        .collect()
    };
    let layers = image().layers.len() as u64;
    let row = |name: &str, names: u64, manifests: u64, blobs: u64| (name.to_owned(), names, manifests, blobs);
    let expected = [
        row("single", 1, 1, layers + 1),
        row("single", 1, 1, 1),
        row("single", 1, 1, 1),
        row("single", 1, 1, 1),
        row("single", 1, 1, 1),
        row("single", 1, 0, 0),
        row("single", 12, 7, 7),
        row("other", 12, 12, 0),
    ];
    assert_eq!(rows(&would), expected, "{would}");
    let done = import(&[]);
    assert_eq!(rows(&done), expected, "{done}");
    assert_eq!((&would["bytes"], &would["blobs"]), (&done["bytes"], &done["blobs"]));
}

#[test]
fn what_is_carried_has_the_order_of_where_it_was() {
    let room = Room::new();
    let with = |author: &str| {
        let mut image = image();
        image.config["author"] = author.into();
        image
    };
    // Many that are small after one that is not, and a name that two have.
    let layout = room.layout("images");
    let mut large = with("large");
    let noise: String = (0..3_000_000_u32)
        .map(|n| char::from(b'a' + (n.wrapping_mul(2_654_435_761) >> 28) as u8))
        .collect();
    large.layers[0].1 = support::layer(&noise);
    layout.image("first", &large);
    let small = layout.image("second", &with("small")).to_string();
    for number in 0..8 {
        layout.image(&format!("v{number}"), &with(&number.to_string()));
    }
    let index = room.path("images/index.json");
    let text = fs::read_to_string(&index).expect("an index");
    fs::write(&index, text.replace("\"second\"", "\"first\"")).expect("written");
    room.teu(["serve", "import", "--data", "kept", "app=oci:images"])
        .succeeds();
    let indexes = ["one", "two"].map(|out| {
        room.teu(["serve", "export", "--data", "kept", &format!("app=oci:{out}")])
            .succeeds();
        fs::read_to_string(room.path(out).join("index.json")).expect("an index")
    });
    assert_eq!(indexes[0], indexes[1]);
    let listed: Value = serde_json::from_str(&indexes[0]).expect("JSON");
    let names = listed["manifests"].as_array().expect("a list").iter();
    let names: Vec<_> = names
        .map(|entry| entry["annotations"]["org.opencontainers.image.ref.name"].as_str())
        .collect();
    // The one whose name went has none, and comes behind those that have.
    let wanted = ["first", "v0", "v1", "v2", "v3", "v4", "v5", "v6", "v7"].map(Some);
    assert_eq!(names, [&wanted[..], &[None]].concat());
    assert_eq!(room.teu(["digest", "oci:one:first"]).succeeds().stdout.trim(), small);
}
