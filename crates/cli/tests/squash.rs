//! Does `teu squash` make one layer of several that has their files once and hides what they hid, so that the image unpacks to the same tree?

use std::fs;

use crate::support::{
    Image, Layout, Room, archive, bare, directory, file, of, peers,
    tree::{Tree, difference, tree},
};
use serde_json::{Value, json};
use teu_archive::tar::{EntryKind, Header, Reader};

fn whiteout(path: &str) -> (Header, &'static str) {
    file(path, "")
}

/// Four layers that remove, clear, replace and link what lower ones have, through links too.
fn four() -> [Vec<u8>; 4] {
    let mut noted = Header::file("etc/noted", 5);
    noted.xattrs.insert(b"user.note".to_vec(), b"a\0b".to_vec());
    (noted.uid, noted.gid, noted.mode) = (1000, 1001, 0o4750);
    let base = archive(&[
        directory("./"),
        directory("etc/"),
        file("etc/gone", "gone"),
        file("etc/kept", "kept"),
        (noted, "noted"),
        directory("usr/"),
        directory("usr/bin/"),
        file("usr/bin/tool", "tool"),
        bare(Header::hard_link("usr/bin/same", "usr/bin/tool")),
        bare(Header::symlink("bin", "usr/bin")),
        directory("opaque/"),
        file("opaque/old", "old"),
        directory("opaque/deep/"),
        file("opaque/deep/old", "old"),
        directory("half/"),
        file("half/stays", "stays"),
        file("half/goes", "goes"),
        directory("was-a-directory/"),
        file("was-a-directory/x", "x"),
        file("was-a-file", "x"),
        directory("again/"),
        file("again/old", "old"),
        // What no entry describes.
        file("implied/deep/f", "f"),
        bare(Header::new(EntryKind::Fifo, "pipe")),
    ]);
    let second = archive(&[
        whiteout("etc/.wh.gone"),
        // Through the link: what is hidden is in usr/bin.
        whiteout("bin/.wh.tool"),
        file("bin/new", "new"),
        directory("opaque/"),
        whiteout("opaque/.wh..wh..opq"),
        file("opaque/middle", "middle"),
        file("was-a-directory", "a file now"),
        directory("was-a-file/"),
        file("was-a-file/in", "in"),
        whiteout(".wh.again"),
        whiteout("implied/deep/.wh.f"),
        file("twice", "first"),
    ]);
    let third = archive(&[
        // Another name of a file below, whose other names are not new.
        bare(Header::hard_link("linked", "usr/bin/same")),
        whiteout("half/.wh.goes"),
        file("again/new", "new"),
        whiteout("opaque/.wh.middle"),
        file("opaque/new", "new"),
        directory("opaque/deep/"),
        file("opaque/deep/new", "new"),
        file("twice", "second"),
        whiteout(".wh.pipe"),
    ]);
    let fourth = archive(&[
        whiteout("again/.wh.new"),
        directory("empty/"),
        bare(Header::hard_link("twice-linked", "twice")),
        bare(Header::new(EntryKind::Fifo, "pipe")),
        bare(Header::hard_link("pipe-linked", "pipe")),
        file("nothing-in-it", ""),
        bare(Header::hard_link("nothing-linked", "nothing-in-it")),
    ]);
    [base, second, third, fourth]
}

fn made(room: &Room) -> Layout {
    let layout = room.layout("images");
    layout.image("app", &with_history(&four()));
    layout
}

fn with_history(layers: &[Vec<u8>]) -> Image {
    let mut image = of(layers);
    let steps = (0..layers.len()).map(|number| json!({"created_by": format!("step {number}")}));
    let mut steps: Vec<Value> = steps.collect();
    steps.insert(1, json!({"created_by": "said", "empty_layer": true}));
    image.config["history"] = steps.into();
    image
}

fn config(room: &Room, image: &str) -> Value {
    serde_json::from_str(&room.teu(["config", image]).succeeds().stdout).expect("JSON")
}

fn layers(room: &Room, image: &str) -> Vec<Value> {
    let manifest = room.teu(["manifest", "get", image]).succeeds().stdout;
    let manifest: Value = serde_json::from_str(&manifest).expect("JSON");
    manifest["layers"].as_array().expect("a list").clone()
}

/// The names of the entries of the highest layer.
fn entries(room: &Room, layout: &Layout, image: &str) -> Vec<String> {
    let highest = layers(room, image).pop().expect("a layer");
    let digest = highest["digest"].as_str().expect("a digest").parse().expect("a digest");
    let tar = fs::read(layout.blob_path(&digest)).expect("a layer");
    let mut reader = Reader::new(&tar[..]);
    let mut names = Vec::new();
    while let Some(entry) = reader.next_entry().expect("an entry") {
        let header = entry.header();
        let name = String::from_utf8(header.path.clone()).expect("UTF-8");
        names.push(match header.kind {
            EntryKind::HardLink => format!("{name} = {}", String::from_utf8_lossy(&header.link)),
            _ => name,
        });
    }
    names
}

/// A directory that is described anew is not one of which nothing of the layers below is left.
#[test]
fn what_is_left_below_in_a_directory_that_is_described_anew_is_not_hidden() {
    let room = Room::new();
    let layout = room.layout("images");
    let layers = [
        archive(&[directory("d/"), file("d/kept", "kept"), file("d/gone", "gone")]),
        archive(&[directory("d/"), whiteout("d/.wh.gone")]),
        archive(&[file("x", "x")]),
    ];
    layout.image("app", &with_history(&layers));
    room.teu(["unpack", "--rootfs-only", "oci:images:app", "whole"])
        .succeeds();
    let whole = tree(&room.path("whole"));
    room.teu(["squash", "--last=2", "--compress=none", "oci:images:app"])
        .succeeds();
    assert_eq!(entries(&room, &layout, "oci:images:app"), ["d/", "d/.wh.gone", "x"]);
    room.teu(["unpack", "--rootfs-only", "oci:images:app", "squashed"])
        .succeeds();
    assert_eq!(difference(&whole, &tree(&room.path("squashed"))), [""; 0]);
}

#[test]
fn it_unpacks_to_the_same_tree() {
    let room = Room::new();
    made(&room);
    room.teu(["unpack", "--rootfs-only", "oci:images:app", "whole"])
        .succeeds();
    let whole = tree(&room.path("whole"));
    assert_eq!(whole.len(), 29);
    for (number, (arguments, count)) in [
        (&[][..], 1),
        (&["--last", "2"], 3),
        (&["--last", "3"], 2),
        (&["--last", "9"], 1),
        (&["--from", "2"], 3),
        (&["--from", "1", "--compress", "zstd"], 2),
        // One layer is one already.
        (&["--last", "1"], 4),
    ]
    .into_iter()
    .enumerate()
    {
        let names = [format!("oci:images:one{number}"), format!("oci:images:again{number}")];
        let digests = names.each_ref().map(|name| {
            let asked = ["squash", "oci:images:app", "--to", name].into_iter();
            room.teu(asked.chain(arguments.iter().copied())).succeeds().stdout
        });
        // The same each time.
        assert_eq!(digests[0], digests[1], "{arguments:?}");
        let to = format!("tree{number}");
        room.teu(["verify", &names[0]]).succeeds();
        room.teu(["unpack", "--rootfs-only", &names[0], &to]).succeeds();
        assert_eq!(
            difference(&whole, &tree(&room.path(&to))),
            Vec::<String>::new(),
            "{arguments:?}"
        );
        assert_eq!(layers(&room, &names[0]).len(), count, "{arguments:?}");
    }
}

#[test]
fn the_layer_has_what_is_left_and_hides_what_is_there() {
    let room = Room::new();
    let layout = made(&room);
    room.teu(["squash", "--last", "3", "--compress", "none", "oci:images:app"])
        .succeeds();
    assert_eq!(
        entries(&room, &layout, "oci:images:app"),
        [
            "./",
            "again/",
            "again/.wh.old",
            "empty/",
            "etc/",
            "etc/.wh.gone",
            "half/",
            "half/.wh.goes",
            "implied/",
            "implied/deep/",
            "implied/deep/.wh.f",
            "nothing-in-it",
            "nothing-linked = nothing-in-it",
            "opaque/",
            // All that is in it is new.
            "opaque/.wh..wh..opq",
            "opaque/deep/",
            "pipe",
            "pipe-linked = pipe",
            "usr/",
            "usr/bin/",
            // Where the link led.
            "usr/bin/.wh.tool",
            "was-a-file/",
            // A file has all its names, that of a lower layer too.
            "linked",
            "usr/bin/same = linked",
            "usr/bin/new",
            "was-a-directory",
            "was-a-file/in",
            "opaque/new",
            "opaque/deep/new",
            "twice",
            "twice-linked = twice",
        ]
    );
}

#[test]
fn the_history_says_what_became_of_layers() {
    let room = Room::new();
    let layout = made(&room);
    let before = config(&room, "oci:images:app");
    let asked = [
        "squash",
        "--last",
        "2",
        "--history-comment",
        "why",
        "--history-created",
        "2026-01-31T12:00:00Z",
        "oci:images:app",
    ];
    // What would come of it, and nothing is written.
    let listed = |layout: &Layout| fs::read_dir(layout.path.join("blobs/sha256")).expect("blobs").count();
    let count = listed(&layout);
    let dry: Vec<&str> = asked[..1]
        .iter()
        .chain(&["--dry-run"])
        .chain(&asked[1..])
        .copied()
        .collect();
    let shown = room.teu(dry).succeeds().stdout;
    assert!(shown.contains("+      \"empty_layer\": true"), "{shown}");
    assert_eq!(listed(&layout), count);
    room.teu(asked).succeeds();
    let after = config(&room, "oci:images:app");
    let mut history = before["history"].clone();
    for step in [3, 4] {
        history[step]["empty_layer"] = true.into();
    }
    history.as_array_mut().expect("a list").push(json!({
        "created": "2026-01-31T12:00:00Z",
        "created_by": "teu squash --last 2",
        "comment": "why",
    }));
    assert_eq!(after["history"], history);
    let (old, new) = (&before["rootfs"]["diff_ids"], &after["rootfs"]["diff_ids"]);
    assert_eq!(new.as_array().map(Vec::len), Some(3));
    assert_eq!((&new[0], &new[1]), (&old[0], &old[1]));
    // In place: done once more there is nothing to do.
    let before = room.teu(["digest", "oci:images:app"]).succeeds().stdout;
    room.teu(["squash", "--last", "1", "oci:images:app"]).succeeds();
    assert_eq!(room.teu(["digest", "oci:images:app"]).succeeds().stdout, before);
}

#[test]
fn all_images_of_an_index_change_or_the_one_that_is_chosen() {
    let room = Room::new();
    let layout = room.layout("images");
    layout.image("amd", &with_history(&four()));
    let mut arm = with_history(&four());
    arm.config["architecture"] = "arm64".into();
    layout.image("arm", &arm);
    room.teu(["index", "create", "oci:images:all", "oci:images:amd", "oci:images:arm"])
        .succeeds();
    let count = |image: &str, platform: &str| {
        let config = room.teu(["config", "--platform", platform, image]).succeeds().stdout;
        let config: Value = serde_json::from_str(&config).expect("JSON");
        config["rootfs"]["diff_ids"].as_array().map(Vec::len)
    };
    room.teu([
        "squash",
        "--platform",
        "linux/arm64",
        "oci:images:all",
        "--to",
        "oci:images:some",
    ])
    .succeeds();
    assert_eq!(count("oci:images:some", "linux/arm64"), Some(1));
    assert_eq!(count("oci:images:some", "linux/amd64"), Some(4));
    room.teu(["squash", "oci:images:all"]).succeeds();
    assert_eq!(count("oci:images:all", "linux/arm64"), Some(1));
    assert_eq!(count("oci:images:all", "linux/amd64"), Some(1));
    let failed = room.teu(["squash", "--from", "7", "oci:images:all"]).fails(2);
    assert!(failed.contains("no layer 7; it has 1 layer"), "{failed}");
}

#[test]
fn umoci_and_podman_read_it() {
    let test = "umoci_and_podman_read_it";
    if !peers(test, &["umoci", "podman"]) {
        return;
    }
    let room = Room::new();
    made(&room);
    room.teu(["unpack", "--rootfs-only", "oci:images:app", "whole"])
        .succeeds();
    let whole = tree(&room.path("whole"));
    for (name, arguments) in [("all", &[][..]), ("some", &["--last", "3"])] {
        let to = format!("oci:images:{name}");
        let asked = ["squash", "oci:images:app", "--to", &to].into_iter();
        room.teu(asked.chain(arguments.iter().copied())).succeeds();
        let (image, by_umoci) = (format!("images:{name}"), format!("umoci-{name}"));
        room.run("umoci", ["unpack", "--image", &image, &by_umoci]).succeeds();
        let umoci = tree(&room.path(by_umoci).join("rootfs"));
        let changed: Vec<String> = difference(&whole, &umoci);
        assert_eq!(changed, Vec::<String>::new(), "{name}");
        // Directories that are not new have the time at which podman made them.
        let plain = |tree: &Tree| -> Vec<(String, u32, String)> {
            let seen = tree
                .iter()
                .map(|(path, seen)| (path.clone(), seen.mode, seen.what.clone()));
            seen.collect()
        };
        let id = podman(&room, &["pull", "--quiet", &to]);
        let mounted = podman(&room, &["image", "mount", id.trim()]);
        assert_eq!(plain(&tree(mounted.trim().as_ref())), plain(&whole), "{name}");
    }
}

/// What podman, with a storage of its own, says to this.
fn podman(room: &Room, arguments: &[&str]) -> String {
    room.file(
        "../home/.config/containers/policy.json",
        r#"{"default": [{"type": "insecureAcceptAnything"}]}"#,
    );
    let at = |kind: &str| room.path(format!("podman-{kind}")).display().to_string();
    let storage = [
        "--root",
        &at("root"),
        "--runroot",
        &at("run"),
        "--storage-driver",
        "vfs",
    ]
    .map(str::to_owned);
    let all = storage.into_iter().chain(arguments.iter().map(|&word| word.to_owned()));
    room.run("podman", all).succeeds().stdout
}
