//! Does an image stay what it is between any two places, in both directions, and do other tools read what teu writes there?

use std::collections::BTreeMap;

use crate::support::{Asks, Image, Peer, Room, image, layer, peers};
use serde_json::Value;
use teu_spec::Digest;

/// The five places that images are copied between.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Form {
    Registry,
    Layout,
    Archive,
    Docker,
    Directory,
}

const FORMS: [Form; 5] = [
    Form::Registry,
    Form::Layout,
    Form::Archive,
    Form::Docker,
    Form::Directory,
];

/// The flags that reach a registry without TLS, for teu as for skopeo.
const PLAIN: [&str; 2] = ["--src-tls-verify=false", "--dest-tls-verify=false"];

/// A room with a registry.
struct Lab {
    room: Room,
    registry: Peer,
}

impl Lab {
    /// Says loudly why there is none.
    fn new(test: &str) -> Option<Self> {
        if !peers(test, &["skopeo"]) {
            return None;
        }
        let registry = Peer::start(test, Asks::default())?;
        Some(Self {
            room: Room::new(),
            registry,
        })
    }

    /// How a place of this form is called, apart from all others.
    fn place(&self, form: Form, name: &str) -> String {
        match form {
            Form::Registry => format!("docker://{}/{name}:tag", self.registry.host),
            Form::Layout => format!("oci:{name}-layout:tag"),
            Form::Archive => format!("oci-archive:{name}-oci.tar:tag"),
            Form::Docker => format!("docker-archive:{name}-docker.tar:example.test/{name}:tag"),
            Form::Directory => format!("dir:{name}-dir"),
        }
    }

    fn copy(&self, from: &str, to: &str, flags: &[&str]) -> String {
        let arguments = [&["copy", "--progress", "none", from, to], &PLAIN[..], flags].concat();
        self.room.teu(arguments).succeeds().stdout.trim().to_owned()
    }

    fn skopeo_copy(&self, from: &str, to: &str, flags: &[&str]) {
        let arguments = [&["copy", "-q", from, to], &PLAIN[..], flags].concat();
        self.room.skopeo(arguments).succeeds();
    }

    fn teu(&self, verb: &[&str], place: &str) -> String {
        self.room
            .teu([verb, &["--tls-verify=false", place]].concat())
            .succeeds()
            .stdout
    }

    fn skopeo(&self, flags: &[&str], place: &str) -> String {
        let arguments = [&["inspect", "--tls-verify=false"], flags, &[place]].concat();
        self.room.skopeo(arguments).succeeds().stdout
    }

    fn digest(&self, place: &str) -> String {
        self.teu(&["digest"], place).trim().to_owned()
    }

    /// The image that all is about: its layers compressed, as they are in the world. Where it is, and its digest.
    fn seed(&self) -> (String, String) {
        self.room.layout("plain").image("tag", &two_layers("amd64"));
        let seed = "oci:seed:tag".to_owned();
        let digest = self.copy("oci:plain:tag", &seed, &["--dest-compress"]);
        (seed, digest)
    }

    /// An index of two images, one of them this machine's.
    fn index(&self) -> (String, String) {
        let images = ["amd64", "arm64"].map(two_layers);
        let list = [("linux/amd64", &images[0]), ("linux/arm64", &images[1])];
        let digest = self.room.layout("index").index("tag", &list);
        ("oci:index:tag".to_owned(), digest.to_string())
    }
}

fn two_layers(architecture: &str) -> Image {
    let mut image = image();
    image.config["architecture"] = architecture.into();
    let second = layer(architecture);
    let diff_ids = image.config["rootfs"]["diff_ids"].as_array_mut().expect("a list");
    diff_ids.push(Digest::of(&second).to_string().into());
    let steps = image.config["history"].as_array_mut().expect("a list");
    steps.push(steps[0].clone());
    image.layers.push((image.layers[0].0.clone(), second));
    image
}

#[test]
fn an_image_between_any_two_places() {
    let Some(lab) = Lab::new("an_image_between_any_two_places") else {
        return;
    };
    let (seed, digest) = lab.seed();
    let config = lab.teu(&["config"], &seed);
    let mut sources = BTreeMap::new();
    for form in FORMS {
        let source = lab.place(form, &format!("from-{form:?}").to_lowercase());
        let copied = lab.copy(&seed, &source, &[]);
        assert_eq!(copied == digest, form != Form::Docker, "{form:?}");
        sources.insert(form, source);
    }
    for from in FORMS {
        let before = lab.digest(&sources[&from]);
        for to in FORMS {
            let pair = format!("{from:?} to {to:?}");
            let target = lab.place(to, &format!("{from:?}-{to:?}").to_lowercase());
            let copied = lab.copy(&sources[&from], &target, &[]);
            assert_eq!(lab.teu(&["config"], &target), config, "{pair}");
            lab.teu(&["verify"], &target);
            // Docker's archive has no manifest: whoever reads it makes one up.
            if to != Form::Docker {
                assert_eq!(lab.digest(&target), copied, "{pair}");
                // What was made up can be made up in the form that readers of layouts take.
                let stays = from != Form::Docker || matches!(to, Form::Registry | Form::Directory);
                assert_eq!(copied == before, stays, "{pair}");
                let theirs = lab.skopeo(&["--raw"], &target);
                assert_eq!(Digest::of(theirs.as_bytes()).to_string(), copied, "{pair}");
            }
            assert_eq!(lab.skopeo(&["--config", "--raw"], &target), config, "{pair}");
            // All blobs are read, and their digests checked.
            lab.skopeo_copy(&target, "dir:read-by-skopeo", &[]);
        }
    }
}

#[test]
fn an_index_between_any_two_places_that_hold_one() {
    let Some(lab) = Lab::new("an_index_between_any_two_places_that_hold_one") else {
        return;
    };
    let (seed, digest) = lab.index();
    let forms = [Form::Registry, Form::Layout, Form::Archive, Form::Directory];
    for from in forms {
        let source = lab.place(from, &format!("from-{from:?}").to_lowercase());
        assert_eq!(lab.copy(&seed, &source, &["--all"]), digest, "{from:?}");
        for to in forms {
            let pair = format!("{from:?} to {to:?}");
            let target = lab.place(to, &format!("{from:?}-{to:?}").to_lowercase());
            assert_eq!(lab.copy(&source, &target, &["--all"]), digest, "{pair}");
            assert_eq!(lab.digest(&target), digest, "{pair}");
            lab.teu(&["verify"], &target);
            assert_eq!(
                lab.skopeo(&["--raw"], &target),
                lab.teu(&["manifest", "get"], &source),
                "{pair}"
            );
            lab.skopeo_copy(&target, "dir:read-by-skopeo", &["--all"]);
        }
        // Docker's archive holds single images: of an index this machine's, and never silently less than was asked for.
        let archive = lab.place(Form::Docker, &format!("{from:?}").to_lowercase());
        for flag in ["--override-arch=arm64", "--platform=linux/arm64"] {
            lab.room
                .run("rm", ["-f", &format!("{from:?}-docker.tar").to_lowercase()])
                .succeeds();
            lab.copy(&source, &archive, &[flag]);
            let config: Value = serde_json::from_str(&lab.teu(&["config"], &archive)).expect("JSON");
            assert_eq!(config["architecture"], "arm64");
        }
        let archive = lab.place(Form::Docker, &format!("all-{from:?}").to_lowercase());
        let refused = [&["copy", "--all", &source, &archive], &PLAIN[..]].concat();
        let error = lab.room.teu(refused).fails(1);
        assert!(
            error.contains("destination") && error.contains("choose a platform"),
            "{error}"
        );
    }
}

#[test]
fn a_form_changes_as_asked_and_comes_back() {
    let Some(lab) = Lab::new("a_form_changes_as_asked_and_comes_back") else {
        return;
    };
    let (index, digest) = lab.index();
    for form in [Form::Registry, Form::Directory, Form::Layout] {
        let docker = lab.place(form, &format!("docker-{form:?}").to_lowercase());
        let changed = lab.copy(&index, &docker, &["--all", "--format", "v2s2"]);
        assert_ne!(changed, digest, "{form:?}");
        let raw: Value = serde_json::from_str(&lab.teu(&["manifest", "get"], &docker)).expect("JSON");
        assert_eq!(
            raw["mediaType"], "application/vnd.docker.distribution.manifest.list.v2+json",
            "{form:?}"
        );
        lab.teu(&["verify"], &docker);
        if form != Form::Layout {
            lab.skopeo_copy(&docker, "dir:read-by-skopeo", &["--all"]);
        }
        // Both forms can say all that this image says, so that nothing is lost on the way.
        let back = lab.copy(&docker, &format!("oci:back:{form:?}"), &["--all", "--format", "oci"]);
        assert_eq!(back, digest, "{form:?}");
        lab.skopeo_copy(&format!("oci:back:{form:?}"), "dir:read-by-skopeo", &["--all"]);
        let kept = [
            &[
                "copy",
                &index,
                "dir:kept",
                "--all",
                "--format",
                "v2s2",
                "--preserve-digests",
            ],
            &PLAIN[..],
        ]
        .concat();
        assert!(lab.room.teu(kept).fails(1).contains("digest"));
    }
}

#[test]
fn what_others_do_not_read_in_a_layout_is_told() {
    let room = Room::new();
    room.layout("seed").image("tag", &two_layers("amd64"));
    let copy = |from: &str, to: &str, flags: &[&str]| {
        let ran = room.teu([&["copy", "--progress", "plain", from, to], flags].concat());
        ran.succeeds().stderr.contains("--format oci")
    };
    assert!(!copy("oci:seed:tag", "oci:docker:tag", &["--format", "v2s2"]));
    assert!(copy("oci:docker:tag", "oci:kept:tag", &[]));
    assert!(copy("oci:docker:tag", "oci-archive:kept.tar", &[]));
    assert!(!copy("oci:docker:tag", "dir:flat", &[]));
    assert!(!copy("oci:docker:tag", "oci:converted:tag", &["--format", "oci"]));
}

#[test]
fn what_skopeo_writes_is_read() {
    let Some(lab) = Lab::new("what_skopeo_writes_is_read") else {
        return;
    };
    let (seed, _) = lab.seed();
    let (index, digest) = lab.index();
    let config = lab.teu(&["config"], &seed);
    for form in FORMS {
        let theirs = lab.place(form, &format!("skopeo-{form:?}").to_lowercase());
        lab.skopeo_copy(&seed, &theirs, &[]);
        lab.teu(&["verify"], &theirs);
        assert_eq!(lab.teu(&["config"], &theirs), config, "{form:?}");
        let copied = lab.copy(&theirs, &format!("oci:read:{form:?}"), &[]);
        assert_eq!(copied == lab.digest(&theirs), form != Form::Docker, "{form:?}");
        if matches!(form, Form::Registry | Form::Directory) {
            lab.skopeo_copy(&seed, &theirs, &["--format", "v2s2"]);
            lab.teu(&["verify"], &theirs);
            assert_eq!(lab.teu(&["config"], &theirs), config, "{form:?} in Docker's form");
        }
        if form != Form::Docker {
            let theirs = lab.place(form, &format!("skopeo-all-{form:?}").to_lowercase());
            lab.skopeo_copy(&index, &theirs, &["--all", "--preserve-digests"]);
            lab.teu(&["verify"], &theirs);
            assert_eq!(
                lab.copy(&theirs, &format!("oci:read:all-{form:?}"), &["--all"]),
                digest,
                "{form:?}"
            );
        }
    }
}

#[test]
fn what_umoci_writes_is_read_and_what_it_reads_is_written() {
    let test = "what_umoci_writes_is_read_and_what_it_reads_is_written";
    let Some(lab) = Lab::new(test) else { return };
    if !peers(test, &["umoci"]) {
        return;
    }
    let umoci = |arguments: &[&str]| lab.room.run("umoci", arguments).succeeds().stdout;
    lab.room.file("layer.tar", layer("by umoci\n"));
    umoci(&["init", "--layout", "theirs"]);
    assert_eq!(lab.room.teu(["ls", "oci:theirs"]).succeeds().stdout, "");
    umoci(&["new", "--image", "theirs:app"]);
    umoci(&["raw", "add-layer", "--image", "theirs:app", "layer.tar"]);
    umoci(&["config", "--image", "theirs:app", "--config.env", "A=b"]);
    lab.teu(&["verify"], "oci:theirs:app");
    let copied = lab.copy("oci:theirs:app", "oci:ours:app", &[]);
    assert_eq!(copied, lab.digest("oci:theirs:app"));
    umoci(&["unpack", "--rootless", "--image", "ours:app", "bundle"]);
    let file = std::fs::read(lab.room.path("bundle/rootfs/file")).expect("unpacked");
    assert_eq!(file, b"by umoci\n");
    umoci(&["config", "--image", "ours:app", "--config.env", "C=d"]);
    lab.teu(&["verify"], "oci:ours:app");
    umoci(&["gc", "--layout", "ours"]);
    lab.teu(&["verify"], "oci:ours:app");
}

#[test]
fn what_buildah_and_podman_write_is_read_and_podman_loads_what_is_written() {
    let test = "what_buildah_and_podman_write_is_read_and_podman_loads_what_is_written";
    let Some(lab) = Lab::new(test) else { return };
    if !peers(test, &["buildah", "podman"]) {
        return;
    }
    let root = lab.room.path("storage").display().to_string();
    let run_root = lab.room.path("storage-run").display().to_string();
    let storage = ["--root", &root, "--runroot", &run_root, "--storage-driver", "vfs"];
    let run = |program: &str, arguments: &[&str]| lab.room.run(program, [&storage[..], arguments].concat()).ran();
    lab.room.file("file", "by buildah\n");
    lab.room.file(
        "Containerfile",
        "FROM scratch\nCOPY file /file\nENV A=b\nCMD [\"/file\"]\n",
    );
    let built = run(
        "buildah",
        &["bud", "--isolation", "chroot", "-t", "localhost/app:1", "."],
    );
    if built.code != 0 {
        use std::io::Write;
        let _ = writeln!(
            std::io::stderr(),
            "SKIPPED {test}: buildah cannot build here: {}",
            built.stderr
        );
        return;
    }
    let policy = lab
        .room
        .file("policy.json", r#"{"default":[{"type":"insecureAcceptAnything"}]}"#);
    let policy = policy.display().to_string();
    let read = |place: &str| {
        lab.teu(&["verify"], place);
        let config: Value = serde_json::from_str(&lab.teu(&["config"], place)).expect("JSON");
        assert_eq!(
            config["config"]["Env"].as_array().and_then(|all| all.last()),
            Some(&"A=b".into()),
            "{place}"
        );
        let copied = lab.copy(place, "oci:read:app", &[]);
        assert_eq!(
            copied == lab.digest(place),
            !place.starts_with("docker-archive:"),
            "{place}"
        );
    };
    for form in FORMS {
        let place = lab.place(form, &format!("buildah-{form:?}").to_lowercase());
        let pushed = run(
            "buildah",
            &[
                "push",
                "--signature-policy",
                &policy,
                "--tls-verify=false",
                "localhost/app:1",
                &place,
            ],
        );
        assert_eq!(pushed.code, 0, "{}", pushed.stderr);
        read(&place);
    }
    for (format, place) in [
        ("docker-archive", "docker-archive:podman.tar"),
        ("oci-archive", "oci-archive:podman-oci.tar"),
        ("oci-dir", "oci:podman-oci"),
        ("docker-dir", "dir:podman-dir"),
    ] {
        let (_, path) = place.split_once(':').expect("a path");
        let saved = run(
            "podman",
            &["save", "-q", "--format", format, "-o", path, "localhost/app:1"],
        );
        assert_eq!(saved.code, 0, "{}", saved.stderr);
        read(place);
    }
    for place in [
        "docker-archive:ours.tar:localhost/ours:1",
        "oci-archive:ours-oci.tar:localhost/ours:1",
    ] {
        let (_, path) = place.split_once(':').expect("a path");
        let (path, _) = path.split_once(':').expect("a name");
        lab.copy("docker-archive:podman.tar", place, &[]);
        run("podman", &["rmi", "-f", "localhost/ours:1"]);
        let loaded = run("podman", &["load", "-q", "--signature-policy", &policy, "-i", path]);
        assert_eq!(loaded.code, 0, "{place}: {}", loaded.stderr);
        let theirs = run("podman", &["images", "-q", "--no-trunc", "localhost/ours:1"])
            .stdout
            .trim()
            .to_owned();
        assert!(!theirs.is_empty(), "{place}: {loaded:?}");
    }
}
