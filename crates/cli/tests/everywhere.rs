//! Does every verb take every place: as source, and as destination where it can hold what comes of it?

use std::fs;

use crate::support::{
    Room, Served,
    answers::{Answers, served, status},
    archive, directory, file, of,
    tree::{difference, tree},
};

/// The five forms of places.
const FORMS: [&str; 5] = ["docker", "oci", "oci-archive", "docker-archive", "dir"];

/// A room with a registry, and with one image in a place of each form.
struct Everywhere {
    room: Room,
    registry: Served,
}

impl Everywhere {
    fn new() -> Self {
        let room = Room::new();
        let registry = Served::start(&room, &["--data", "depot"]);
        let insecure = format!("[[registry]]\nlocation = \"{}\"\ninsecure = true\n", registry.address);
        let conf = room.home(".config/containers/registries.conf");
        fs::create_dir_all(conf.parent().expect("a directory")).expect("made");
        fs::write(conf, insecure).expect("written");
        let low = archive(&[directory("etc/"), file("etc/name", "low\n"), file("etc/kept", "kept\n")]);
        let high = archive(&[file("etc/name", "high\n"), file("run", "#!\n")]);
        room.layout("seed").image("tag", &of(&[low, high]));
        let everywhere = Self { room, registry };
        for form in FORMS {
            everywhere.teu(&["copy", "oci:seed:tag", &everywhere.place(form, "seed")]);
        }
        everywhere
    }

    /// How a place of this form is called, apart from all others.
    fn place(&self, form: &str, name: &str) -> String {
        match form {
            "docker" => self.registry.image(&format!("{name}:tag")),
            "oci" => format!("oci:at-{name}:tag"),
            "oci-archive" => format!("oci-archive:{name}.oci.tar:tag"),
            "docker-archive" => format!("docker-archive:{name}.docker.tar:example.test/{name}:tag"),
            _ => format!("dir:at-{name}-dir"),
        }
    }

    fn teu(&self, arguments: &[&str]) -> String {
        let run = self.room.teu(arguments).env("SOURCE_DATE_EPOCH", "1700000000");
        run.succeeds().stdout
    }
}

#[test]
fn who_looks_into_an_image_sees_the_same_wherever_it_is() {
    let here = Everywhere::new();
    let questions: [&[&str]; 10] = [
        &["files", "--long"],
        &["files", "--layer", "0"],
        &["cat", "IMAGE", "etc/name"],
        &["export"],
        &["analyze"],
        &["config"],
        &["history"],
        &["inspect", "--config"],
        &["raw", "runtime-config"],
        &["diff", "--files", "IMAGE", "oci:seed:tag"],
    ];
    for question in questions {
        let answers = FORMS.map(|form| {
            let image = here.place(form, "seed");
            let mut arguments: Vec<&str> = question
                .iter()
                .map(|&word| if word == "IMAGE" { &image } else { word })
                .collect();
            if !question.contains(&"IMAGE") {
                arguments.push(&image);
            }
            here.teu(&arguments)
        });
        for (form, answer) in FORMS.iter().zip(&answers) {
            assert_eq!(answer, &answers[0], "{question:?} of {form}");
        }
        assert_eq!(answers[0].is_empty(), question[0] == "diff", "{question:?}");
    }
    assert_eq!(here.teu(&["cat", &here.place("dir", "seed"), "etc/name"]), "high\n");
    for form in FORMS {
        let image = here.place(form, "seed");
        here.teu(&["verify", &image]);
        here.teu(&["extract", &image, "etc", &format!("taken-{form}")]);
        assert_eq!(
            fs::read(here.room.path(format!("taken-{form}/name"))).expect("a file"),
            b"high\n"
        );
        here.teu(&["unpack", "--rootfs-only", &image, &format!("files-{form}")]);
    }
    let whole = tree(&here.room.path("files-oci"));
    assert_eq!(whole.len(), 5, "{:?}", whole.keys());
    for form in FORMS {
        let other = tree(&here.room.path(format!("files-{form}")));
        assert_eq!(difference(&whole, &other), Vec::<String>::new(), "{form}");
    }
}

#[test]
fn who_changes_an_image_takes_it_from_anywhere_and_puts_it_anywhere() {
    let here = Everywhere::new();
    here.room.file("layer.tar", archive(&[file("added", "added\n")]));
    here.room.file("added", "added\n");
    let base = of(&[archive(&[
        directory("etc/"),
        file("etc/name", "low\n"),
        file("etc/kept", "kept\n"),
    ])]);
    here.room.layout("bases").image("old", &base);
    here.room
        .layout("bases")
        .image("new", &of(&[archive(&[file("base", "new\n")])]));
    let changes: [&[&str]; 5] = [
        &["append", "IMAGE", "layer.tar"],
        &["insert", "--owner", "0:0", "IMAGE", "added", "/srv/"],
        &["edit", "--label", "team=blue", "IMAGE"],
        &["squash", "IMAGE"],
        &[
            "rebase",
            "--old-base",
            "oci:bases:old",
            "--new-base",
            "oci:bases:new",
            "IMAGE",
        ],
    ];
    for change in changes {
        let verb = change[0];
        let before = here.teu(&["config", &here.place("oci", "seed")]);
        let mut configs = Vec::new();
        for (number, from) in FORMS.iter().enumerate() {
            // Each form is a source once and a destination once, of another form and of its own.
            for to in [FORMS[(number + 1) % FORMS.len()], from] {
                let image = here.place(from, "seed");
                let made = here.place(to, &format!("{verb}-{from}"));
                let mut arguments: Vec<&str> = change
                    .iter()
                    .map(|&word| if word == "IMAGE" { &image } else { word })
                    .collect();
                arguments.extend(["--to", &made]);
                here.teu(&arguments);
                here.teu(&["verify", &made]);
                configs.push((from, to, here.teu(&["config", &made])));
            }
        }
        for (from, to, config) in &configs {
            assert_eq!(config, &configs[0].2, "{verb} from {from} to {to}");
            assert_ne!(config, &before, "{verb}");
        }
    }
    // A bundle goes into any place, onto what is there.
    for form in FORMS {
        let bundle = format!("bundle-{form}");
        here.teu(&["unpack", &here.place(form, "seed"), &bundle]);
        here.room.file(format!("{bundle}/rootfs/etc/name"), "changed\n");
        let made = here.place(form, "repacked");
        here.teu(&["repack", &bundle, &made]);
        assert_eq!(here.teu(&["cat", &made, "etc/name"]), "changed\n", "{form}");
        let empty = here.place(form, "new");
        here.teu(&["new", &empty]);
        assert_eq!(here.teu(&["files", &empty]), "", "{form}");
    }
}

/// A registry is asked for nothing twice, and for a manifest at once where its bytes are wanted.
#[test]
fn who_looks_into_an_image_asks_a_registry_no_more_than_it_takes() {
    let room = Room::new();
    let layout = room.layout("images");
    let made = of(&[archive(&[file("f", "content\n")])]);
    let digest = layout.image("app", &made);
    let manifest: serde_json::Value =
        serde_json::from_slice(&fs::read(layout.blob_path(&digest)).expect("a manifest")).expect("JSON");
    let config = manifest["config"]["digest"].as_str().expect("a digest").to_owned();
    let registry = Answers::start(move |request| served(&layout, &digest, request).unwrap_or(status(404)));
    let image = format!("docker://{}/app:1", registry.host);
    let manifest = "GET /v2/app/manifests/1".to_owned();
    let both = [manifest.clone(), format!("GET /v2/app/blobs/{config}")];
    let mut told = 0;
    for (question, expected) in [
        (&["digest"][..], &["HEAD /v2/app/manifests/1".to_owned()][..]),
        (&["digest", "--platform=linux/amd64"], std::slice::from_ref(&manifest)),
        (&["manifest", "get"], std::slice::from_ref(&manifest)),
        (&["inspect", "--raw"], std::slice::from_ref(&manifest)),
        (&["inspect", "--config"], &both),
        (&["config"], &both),
        (&["history"], &both),
        (&["diff", "oci:images:app"], &both),
    ] {
        let arguments = [question, &["--tls-verify=false", &image]].concat();
        room.teu(arguments).succeeds();
        let lines = registry.lines();
        assert_eq!(lines[told..], *expected, "{question:?}");
        told = lines.len();
    }
}
