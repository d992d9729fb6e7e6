//! Does `teu repack` put what has changed in a bundle into a layer, all of it and nothing else, and nothing where nothing has changed?

#![expect(clippy::print_stderr, reason = "a test that cannot run here says so")]

mod attributes;
#[path = "repack/peers.rs"]
mod beside_peers;
mod changes;

use std::{
    ffi::OsStr,
    fs,
    io::{Seek, SeekFrom, Write},
    os::unix::{
        ffi::OsStrExt,
        fs::{PermissionsExt, chown, symlink},
    },
    path::Path,
    process::Command,
};

use crate::support::{Room, image, peers, seen};
use rustix::fs::{AtFlags, CWD, FileType, Mode, Timespec, Timestamps, XattrFlags, mknodat, setxattr, utimensat};
use serde_json::{Value, json};
use teu_archive::{
    codec::{Decoder, Limits},
    tar::{EntryKind, Header, Reader, Time, Writer},
};
use teu_image::bundle::{Entry, Mark, record};
use teu_rootfs::Node;
use teu_spec::Digest;

const TAR: &str = "application/vnd.oci.image.layer.v1.tar";

fn is_root(test: &str) -> bool {
    let is_root = rustix::process::geteuid().is_root();
    if !is_root {
        eprintln!("SKIPPED {test}: only root gives files to others");
    }
    is_root
}

fn entry(mut header: Header, mode: u32, owner: u32) -> (Header, &'static [u8]) {
    header.mode = mode;
    (header.uid, header.gid) = (owner, owner);
    header.mtime = Time {
        seconds: 1_600_000_000,
        nanoseconds: 0,
    };
    let content: &[u8] = if header.kind == EntryKind::Regular {
        b"content\n"
    } else {
        b""
    };
    (header, content)
}

fn base() -> Vec<u8> {
    let directory = |path: &str| entry(Header::directory(path), 0o755, 0);
    let file = |path: &str| entry(Header::file(path, 8), 0o644, 7);
    let mut writer = Writer::new(Vec::new());
    for (header, content) in [
        entry(Header::directory("./"), 0o751, 0),
        directory("data/"),
        file("data/kept"),
        directory("etc/"),
        file("etc/a"),
        file("etc/b"),
        directory("etc/deep/"),
        file("etc/deep/x"),
        entry(Header::new(EntryKind::Fifo, "pipe"), 0o600, 9),
        directory("full/"),
        file("full/one"),
        file("full/two"),
        entry(Header::symlink("link", "etc"), 0o777, 0),
        directory("usr/"),
        directory("usr/bin/"),
        entry(Header::file("usr/bin/su", 8), 0o4755, 0),
        entry(Header::hard_link("usr/bin/sudo", "usr/bin/su"), 0o4755, 0),
    ] {
        writer.append_data(&header, content).expect("written");
    }
    writer.finish().expect("whole")
}

fn put(room: &Room) -> Digest {
    let (layer, mut made) = (base(), image());
    made.config["rootfs"]["diff_ids"] = json!([Digest::of(&layer).to_string()]);
    made.config["history"] = json!([]);
    made.config["config"]["Volumes"] = json!({"/data": {}});
    made.layers = vec![(TAR.to_owned(), layer)];
    room.layout("images").image("app", &made)
}

fn manifest(room: &Room, image: &str) -> Value {
    let raw = room.teu(["manifest", "get", image]).succeeds().stdout;
    serde_json::from_str(&raw).expect("a manifest")
}

/// The entries of an image's layer, as far as names go: ` => ` another name of that file.
fn layer(room: &Room, image: &str, number: usize) -> Vec<String> {
    let digest = manifest(room, image)["layers"][number]["digest"].clone();
    let hex = digest.as_str().expect("a digest").replace("sha256:", "");
    let blob = fs::File::open(room.path("images/blobs/sha256").join(hex)).expect("a blob");
    let mut reader = Reader::new(Decoder::detect(blob, Limits::default()).expect("a decoder"));
    let mut entries = Vec::new();
    while let Some(mut entry) = reader.next_entry().expect("an entry") {
        let header = entry.take_header();
        let mut line = header.path.escape_ascii().to_string();
        if header.kind == EntryKind::HardLink {
            line.push_str(&format!(" => {}", header.link.escape_ascii()));
        }
        entries.push(line);
        while entry.next_chunk().expect("content").is_some() {}
    }
    entries
}

fn set_time(path: &Path, seconds: i64) {
    let time = Timespec {
        tv_sec: seconds,
        tv_nsec: 0,
    };
    let times = Timestamps {
        last_access: time,
        last_modification: time,
    };
    utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW).expect("a time");
}

#[test]
fn where_nothing_has_changed_there_is_no_layer() {
    if !is_root("where_nothing_has_changed_there_is_no_layer") {
        return;
    }
    let room = Room::new();
    let before = put(&room);
    room.teu(["unpack", "oci:images:app", "bundle"]).succeeds();
    let ran = room.teu(["repack", "bundle", "oci:images:same"]).succeeds();
    assert_eq!(ran.stdout, format!("{before}\n"));
    assert!(ran.stderr.contains("nothing has changed"), "{}", ran.stderr);
    let named = room.teu(["digest", "oci:images:same"]).succeeds();
    assert_eq!(named.stdout, format!("{before}\n"));
    // What was touched and looks as it did is another, unless a person says that times are to be trusted.
    let mode = PermissionsExt::from_mode(0o644);
    fs::set_permissions(room.path("bundle/rootfs/etc/a"), mode).expect("a mode");
    let ran = room
        .teu(["repack", "--trust-times", "bundle", "oci:images:same"])
        .succeeds();
    assert_eq!(ran.stdout, format!("{before}\n"));
    let ran = room.teu(["repack", "bundle", "oci:images:touched"]).succeeds();
    assert!(ran.stderr.contains("--trust-times"), "{}", ran.stderr);
    assert_eq!(layer(&room, "oci:images:touched", 1), ["etc/", "etc/a"]);
    // From elsewhere the image comes along.
    let ran = room
        .teu(["repack", "--trust-times", "bundle", "oci-archive:new.tar:same"])
        .succeeds();
    assert_eq!(ran.stdout, format!("{before}\n"));
    fs::rename(room.path("images"), room.path("moved")).expect("renamed");
    let said = room.teu(["repack", "bundle", "oci:other:app"]).fails(2);
    assert!(said.contains("--base"), "{said}");
    let base = [
        "repack",
        "--trust-times",
        "--base",
        "oci:moved:app",
        "bundle",
        "oci:other:app",
    ];
    assert_eq!(room.teu(base).succeeds().stdout, format!("{before}\n"));
}

#[test]
fn a_path_gets_a_layer_of_its_own_and_masks_are_left_out() {
    if !is_root("a_path_gets_a_layer_of_its_own_and_masks_are_left_out") {
        return;
    }
    let room = Room::new();
    put(&room);
    room.teu(["unpack", "oci:images:app", "bundle"]).succeeds();
    let root = room.path("bundle/rootfs");
    fs::create_dir_all(root.join("opt/app/sub")).expect("made");
    fs::create_dir_all(root.join("opt/cache")).expect("made");
    for file in [
        "opt/readme",
        "opt/app/a",
        "opt/app/sub/b",
        "opt/cache/c",
        "data/d",
        "etc/a",
    ] {
        fs::write(root.join(file), file).expect("written");
    }
    fs::hard_link(root.join("etc/a"), root.join("opt/app/linked")).expect("a link");
    fs::remove_dir_all(root.join("etc/deep")).expect("removed");
    let flags = [
        "repack",
        "--layer-per",
        "/opt/app",
        "--layer-per",
        "full",
        "--layer-per=/etc/deep",
        "--mask-path=/opt/cache",
        "--no-mask-volumes",
        "--compress=zstd",
        "--history.created_by=by hand",
        "bundle",
        "oci:images:apart",
    ];
    room.teu(flags).succeeds();
    assert_eq!(
        manifest(&room, "oci:images:apart")["layers"].as_array().map(Vec::len),
        Some(4)
    );
    let lowest = [
        "./",
        "data/",
        "data/d",
        "etc/",
        "etc/a",
        "opt/",
        "opt/app/",
        "opt/app/linked => etc/a",
        "opt/readme",
    ];
    assert_eq!(layer(&room, "oci:images:apart", 1), lowest);
    assert_eq!(layer(&room, "oci:images:apart", 2), ["etc/", "etc/.wh.deep"]);
    assert_eq!(
        layer(&room, "oci:images:apart", 3),
        ["opt/", "opt/app/", "opt/app/a", "opt/app/sub/", "opt/app/sub/b"]
    );
    room.teu(["unpack", "oci:images:apart", "again"]).succeeds();
    fs::remove_dir_all(root.join("opt/cache")).expect("removed");
    let without_opt = |at: &Path| -> Vec<String> {
        let mut lines = seen(at);
        // Its time is another now.
        lines.retain(|line| !line.starts_with("opt "));
        lines
    };
    assert_eq!(without_opt(&room.path("again/rootfs")), without_opt(&root));
    // What is masked has to be there, and what would come of it is shown before.
    let digest = room.teu(["digest", "oci:images:app"]).succeeds().stdout;
    let flags = [
        "--mask-path=/opt",
        "--mask-path=/opt/cache",
        "--mask-path=/var/*.log",
        "--mask-path=/etc/pass",
    ];
    let shown = room
        .teu(["repack", "--dry-run", "--mask-path=/opt", "bundle", "oci:images:app"])
        .succeeds();
    let becomes = shown.stdout.lines().last().expect("a line").to_owned();
    assert!(
        becomes.starts_with(&format!("{} would become sha256:", digest.trim())),
        "{becomes}"
    );
    assert_eq!(room.teu(["digest", "oci:images:app"]).succeeds().stdout, digest);
    let ran = room
        .teu([&["repack"], &flags[..], &["bundle", "oci:images:masked"]].concat())
        .succeeds();
    assert!(becomes.ends_with(ran.stdout.trim()), "{becomes} {}", ran.stdout);
    let warned: Vec<&str> = ran
        .stderr
        .lines()
        .filter(|line| line.contains("nothing is at"))
        .collect();
    let warning = |path: &str| {
        format!(
            "teu: warning: nothing is at \"{path}\", which was to be left out; it is taken as a path, and no pattern"
        )
    };
    assert_eq!(warned, [warning("var/*.log"), warning("etc/pass")]);
    let apart = ["--layer-per=/etc", "--layer-per=/nope", "--layer-per=/var/nope"];
    let ran = room
        .teu(
            [
                &["repack", "--mask-path=/var"],
                &apart[..],
                &["bundle", "oci:images:unmet"],
            ]
            .concat(),
        )
        .succeeds();
    assert!(ran.stderr.lines().any(|line| {
        line == "teu: warning: nothing is at \"nope\", which was to have a layer of its own; it is taken as a path, and no pattern"
    }));
    assert_eq!(ran.stderr.matches("a layer of its own").count(), 1, "{}", ran.stderr);
    let said = room
        .teu(["repack", "--mask-path=/a/../b", "bundle", "oci:images:x"])
        .fails(1);
    assert!(said.contains(".."), "{said}");
}

/// That something is left out is no change of the directory that it is in.
#[test]
fn a_directory_into_which_only_masked_names_came_is_what_it_was() {
    if !is_root("a_directory_into_which_only_masked_names_came_is_what_it_was") {
        return;
    }
    let room = Room::new();
    put(&room);
    room.teu(["unpack", "oci:images:app", "bundle"]).succeeds();
    let root = room.path("bundle/rootfs");
    fs::create_dir_all(root.join("etc/cache/deep")).expect("made");
    let masked = ["repack", "--mask-path=/etc/cache", "bundle", "oci:images:masked"];
    let ran = room.teu(masked).succeeds();
    assert!(ran.stderr.contains("nothing has changed"), "{}", ran.stderr);
    // What changed deeper in it has it come along, and it has the time that it has.
    fs::write(root.join("etc/deep/new"), "new").expect("written");
    room.teu(masked).succeeds();
    assert_eq!(
        layer(&room, "oci:images:masked", 1),
        ["etc/", "etc/deep/", "etc/deep/new"]
    );
    fs::remove_file(root.join("etc/deep/new")).expect("removed");
    fs::write(root.join("etc/new"), "new").expect("written");
    room.teu(masked).succeeds();
    let last = manifest(&room, "oci:images:masked")["layers"]
        .as_array()
        .map_or(0, Vec::len)
        - 1;
    assert_eq!(
        layer(&room, "oci:images:masked", last),
        ["etc/", "etc/deep/", "etc/new"]
    );
}

#[test]
fn a_bundle_that_is_refreshed_goes_on_from_there() {
    if !is_root("a_bundle_that_is_refreshed_goes_on_from_there") {
        return;
    }
    let room = Room::new();
    put(&room);
    room.teu(["unpack", "oci:images:app", "bundle"]).succeeds();
    let root = room.path("bundle/rootfs");
    for (number, content) in ["one", "two", "three"].iter().enumerate() {
        fs::write(root.join("etc/a"), content).expect("written");
        fs::write(root.join("data/masked"), content).expect("written");
        let image = format!("oci:images:r{number}");
        room.teu(["repack", "--refresh-bundle", "bundle", &image]).succeeds();
        assert_eq!(layer(&room, &image, number + 1), ["etc/", "etc/a"]);
        let ran = room.teu(["repack", "bundle", &image]).succeeds();
        assert!(ran.stderr.contains("nothing has changed"), "{}", ran.stderr);
    }
    // What was masked is no less of a change.
    room.teu(["repack", "--no-mask-volumes", "bundle", "oci:images:all"])
        .succeeds();
    assert_eq!(layer(&room, "oci:images:all", 4), ["data/", "data/masked"]);
    let names = fs::read_dir(room.path("bundle")).expect("a directory");
    let mut names: Vec<_> = names.map(|entry| entry.expect("an entry").file_name()).collect();
    names.sort();
    assert_eq!(names, ["config.json", "rootfs", "teu.1.tree", "teu.json"]);
}

#[test]
fn an_index_keeps_its_other_images() {
    if !is_root("an_index_keeps_its_other_images") {
        return;
    }
    let room = Room::new();
    let made = |architecture: &str| {
        let (layer, mut made) = (base(), image());
        made.config["rootfs"]["diff_ids"] = json!([Digest::of(&layer).to_string()]);
        made.config["history"] = json!([]);
        made.config["architecture"] = architecture.into();
        made.layers = vec![(TAR.to_owned(), layer)];
        made
    };
    let (amd64, arm64) = (made("amd64"), made("arm64"));
    room.layout("images")
        .index("both", &[("linux/amd64", &amd64), ("linux/arm64", &arm64)]);
    let before = manifest(&room, "oci:images:both");
    room.teu(["unpack", "--platform", "linux/arm64", "oci:images:both", "bundle"])
        .succeeds();
    fs::write(room.path("bundle/rootfs/etc/a"), "new").expect("written");
    room.teu(["repack", "--refresh-bundle", "bundle", "oci:images:both"])
        .succeeds();
    let after = manifest(&room, "oci:images:both");
    assert_eq!(after["manifests"][0], before["manifests"][0]);
    assert_ne!(after["manifests"][1]["digest"], before["manifests"][1]["digest"]);
    assert_eq!(after["manifests"][1]["platform"], before["manifests"][1]["platform"]);
    // It goes on from there, also where the image goes elsewhere alone.
    fs::write(room.path("bundle/rootfs/etc/a"), "newer").expect("written");
    room.teu(["repack", "bundle", "oci:images:alone"]).succeeds();
    assert_eq!(
        manifest(&room, "oci:images:alone")["layers"].as_array().map(Vec::len),
        Some(3)
    );
    // An index that has the image no more is left alone.
    room.teu(["repack", "bundle", "oci:images:both"]).succeeds();
    let said = room.teu(["repack", "bundle", "oci:images:both"]).fails(1);
    assert!(said.contains("another name"), "{said}");
}

#[test]
fn owners_come_back_to_what_they_were() {
    if !is_root("owners_come_back_to_what_they_were") {
        return;
    }
    let room = Room::new();
    put(&room);
    let maps = ["--uid-map=0:100000:65536", "--gid-map=0:200000:65536"];
    room.teu([&["unpack"], &maps[..], &["oci:images:app", "mapped"]].concat())
        .succeeds();
    room.teu(["unpack", "--rootless", "oci:images:app", "rootless"])
        .succeeds();
    for bundle in ["mapped", "rootless"] {
        let file = room.path(bundle).join("rootfs/etc/a");
        fs::write(&file, "new").expect("written");
        set_time(&file, 1_700_000_000);
        let new = room.path(bundle).join("rootfs/etc/new");
        fs::write(&new, "new").expect("written");
        set_time(&new, 1_700_000_000);
        set_time(&room.path(bundle).join("rootfs/etc"), 1_700_000_000);
        if bundle == "mapped" {
            chown(&new, Some(100_005), Some(200_006)).expect("an owner");
        }
        room.teu(["repack", bundle, &format!("oci:images:{bundle}")]).succeeds();
        let again = format!("{bundle}-again");
        room.teu(["unpack", &format!("oci:images:{bundle}"), &again]).succeeds();
        let lines = seen(&room.path(&again).join("rootfs"));
        let owner = if bundle == "mapped" { "5:6" } else { "0:0" };
        for line in [
            "etc/a 100644 7:7 1700000000".to_owned(),
            format!("etc/new 100644 {owner} 1700000000"),
            "etc/b 100644 7:7 1600000000".to_owned(),
        ] {
            assert!(lines.iter().any(|seen| seen.starts_with(&line)), "{line}: {lines:#?}");
        }
    }
    fs::write(room.path("mapped/rootfs/etc/stray"), "x").expect("written");
    let said = room.teu(["repack", "mapped", "oci:images:stray"]).fails(1);
    let why = "\"etc/stray\": its user 0 is in no range of the map; chown the file to a number that the map gives: 100000 is root in there";
    assert!(said.contains(why), "{said}");
}

#[test]
fn what_is_mounted_in_it_is_no_part_of_the_image() {
    let test = "what_is_mounted_in_it_is_no_part_of_the_image";
    if !is_root(test) || !peers(test, &["unshare", "mount"]) {
        return;
    }
    let room = Room::new();
    let before = put(&room);
    room.teu(["unpack", "oci:images:app", "bundle"]).succeeds();
    let script = "mount -t tmpfs none bundle/rootfs/etc/deep && touch bundle/rootfs/etc/deep/new || exit 77
        exec \"$0\" repack bundle oci:images:mounted";
    let teu = env!("CARGO_BIN_EXE_teu");
    let ran = room.run("unshare", ["-m", "sh", "-c", script, teu]).ran();
    if ran.code == 77 || ran.stderr.contains("unshare failed") {
        eprintln!("SKIPPED {test}: nothing can be mounted here");
        return;
    }
    assert_eq!(ran.stdout, format!("{before}\n"), "{}", ran.stderr);
    assert!(ran.stderr.contains("mounted there: etc/deep"), "{}", ran.stderr);
}

#[test]
fn a_bundle_that_lies_is_refused() {
    let room = Room::new();
    put(&room);
    let named = |name: &str| {
        let bundle = room.path(name);
        room.teu(["unpack", "--rootless", "oci:images:app", name]).succeeds();
        bundle
    };
    let record_of = |paths: &[&str]| {
        let mut writer = record::Writer::new(Vec::new()).expect("a record");
        for path in paths {
            let entry = Entry {
                path: path.as_bytes().to_vec(),
                node: Node::File(1),
                mode: 0,
                uid: 0,
                gid: 0,
                links: 1,
                mtime: teu_rootfs::Time::default(),
                xattrs: None,
                withheld: Default::default(),
                mark: Mark::Untouched {
                    inode: 0,
                    ctime: teu_rootfs::Time::default(),
                },
            };
            writer.add(&entry).expect("written");
        }
        writer.finish().expect("whole")
    };
    let refused = |name: &str, words: &str| {
        let ran = room.teu(["repack", name, "oci:images:x"]).ran();
        assert!(
            matches!(ran.code, 1 | 2) && ran.stderr.contains(words),
            "{name}: {}",
            ran.stderr
        );
        room.teu(["digest", "oci:images:x"]).fails(2);
    };
    for (number, path) in ["../escape", "/etc", "a//b", "a/./b", "a/.wh.b", ".wh..wh..opq", "a\0b"]
        .iter()
        .enumerate()
    {
        let name = format!("path{number}");
        fs::write(named(&name).join("teu.tree"), record_of(&[path])).expect("written");
        refused(&name, "no file of an image is called");
    }
    let bundle = named("cut");
    let record = fs::read(bundle.join("teu.tree")).expect("a record");
    fs::write(bundle.join("teu.tree"), &record[..record.len() - 5]).expect("written");
    refused("cut", "damaged");
    // Announces 4 GiB.
    fs::write(bundle.join("teu.tree"), b"teu tree 1\n\xff\xff\xff\xff0123456789abcdef").expect("written");
    refused("cut", "damaged");
    fs::remove_file(bundle.join("teu.tree")).expect("removed");
    refused("cut", "unpack the image anew");
    symlink("/etc/passwd", bundle.join("teu.tree")).expect("a link");
    refused("cut", "unpack the image anew");
    let bundle = named("linked");
    fs::rename(bundle.join("rootfs"), bundle.join("elsewhere")).expect("renamed");
    symlink("/", bundle.join("rootfs")).expect("a link");
    refused("linked", "rootfs");
    fs::write(bundle.join("teu.json"), "{\"version\": 1, \"from\": {}}").expect("written");
    refused("linked", "teu.json");
    fs::create_dir(room.path("empty")).expect("made");
    refused("empty", "no bundle");
    // A link in the tree is a link, wherever it leads.
    let bundle = named("inside");
    fs::remove_dir_all(bundle.join("rootfs/etc")).expect("removed");
    symlink("/etc", bundle.join("rootfs/etc")).expect("a link");
    room.teu(["repack", "inside", "oci:images:inside"]).succeeds();
    assert_eq!(layer(&room, "oci:images:inside", 1), ["./", "etc"]);
}
