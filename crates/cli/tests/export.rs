//! Is what `teu export` writes the tree that `teu unpack` makes, the same each time, and without an end where it is not whole?

use std::{fs, os::unix::fs::FileExt, process::Command};

use crate::support::{
    self, Image, Room, of, peers,
    tree::{difference, tree},
};
use teu_archive::tar::{EntryKind, Header, Writer};
use teu_spec::Digest;

/// A tar of entries and what is in them.
fn archive(entries: Vec<(Header, &[u8])>) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new());
    for (header, content) in entries {
        writer.append_data(&header, content).expect("an entry");
    }
    writer.finish().expect("an archive")
}

fn directory(path: &str, seconds: i64) -> Header {
    let mut header = Header::directory(path);
    header.mtime.seconds = seconds;
    header
}

/// Whiteouts, an opaque directory, links whose first name was replaced, attributes, a fifo, a name that is no UTF-8, a sparse file.
fn intricate(room: &Room) -> Image {
    let mut noted = Header::file("noted", 5);
    noted.xattrs.insert(b"user.note".to_vec(), b"a\0b".to_vec());
    (noted.uid, noted.gid, noted.mode) = (1000, 1001, 0o4750);
    let lower = archive(vec![
        (directory("./", 1_700_000_000), b""),
        (directory("d/", 1_700_000_001), b""),
        (directory("opaque/", 1_700_000_002), b""),
        (Header::file("d/one", 3), b"one"),
        (Header::hard_link("d/two", "d/one"), b""),
        (Header::hard_link("three", "d/one"), b""),
        (Header::file("gone", 4), b"gone"),
        (Header::file("opaque/gone", 1), b"x"),
        (noted, b"noted"),
        (Header::new(EntryKind::Fifo, "fifo"), b""),
        (Header::file(b"\xff\xfe".to_vec(), 1), b"n"),
        (Header::symlink("link", "/d/../nowhere"), b""),
    ]);
    let upper = archive(vec![
        (directory("opaque/", 1_700_000_003), b""),
        (Header::file("opaque/.wh..wh..opq", 0), b""),
        (Header::file("opaque/new", 3), b"new"),
        (Header::file(".wh.gone", 0), b""),
        (Header::file("d/one", 7), b"another"),
        (Header::hard_link("d/four", "three"), b""),
    ]);
    let sparse = fs::File::create(room.file("sparse/holes", "")).expect("a file");
    sparse.write_all_at(b"end", 4 << 20).expect("written");
    let packed = Command::new("tar")
        .args(["--sparse", "--format=pax", "-cf", "-", "-C"])
        .arg(room.path("sparse"))
        .arg("holes")
        .output()
        .expect("tar");
    assert!(packed.status.success() && packed.stdout.len() < 1 << 20);
    of(&[lower, upper, packed.stdout])
}

#[test]
fn gnu_tar_makes_of_it_what_unpack_makes() {
    if !peers("gnu_tar_makes_of_it_what_unpack_makes", &["tar"]) {
        return;
    }
    let room = Room::new();
    room.layout("images").image("app", &intricate(&room));
    room.teu(["unpack", "--rootfs-only", "oci:images:app", "ours"])
        .succeeds();
    for file in ["a.tar", "b.tar"] {
        room.teu(["export", "oci:images:app", "--file", file]).succeeds();
    }
    let bytes = fs::read(room.path("a.tar")).expect("an archive");
    let printed = room.run(
        "bash",
        [
            "-c",
            "\"$0\" export --progress none oci:images:app --file - | cmp - a.tar",
            env!("CARGO_BIN_EXE_teu"),
        ],
    );
    printed.succeeds();
    assert!(!room.path("-").exists());
    assert_eq!(bytes, fs::read(room.path("b.tar")).expect("an archive"));
    assert!(bytes.ends_with(&[0; 1024]));
    fs::create_dir(room.path("theirs")).expect("a directory");
    let tar = ["--numeric-owner", "--xattrs", "--xattrs-include=*", "-xpf"];
    let unpacked = Command::new("tar")
        .args(tar)
        .arg(room.path("a.tar"))
        .arg("-C")
        .arg(room.path("theirs"))
        .output()
        .expect("tar");
    assert!(
        unpacked.status.success(),
        "{}",
        String::from_utf8_lossy(&unpacked.stderr)
    );
    let (ours, theirs) = (tree(&room.path("ours")), tree(&room.path("theirs")));
    assert_eq!(ours.len(), 13);
    assert_eq!(difference(&ours, &theirs), Vec::<String>::new());
}

#[test]
fn what_is_not_whole_leaves_nothing_and_has_no_end() {
    let room = Room::new();
    let mut wrong = of(&[support::layer("below\n"), support::layer("above\n")]);
    wrong.config["rootfs"]["diff_ids"][1] = Digest::of(b"else").to_string().into();
    room.layout("images").image("app", &wrong);
    room.file("out/old.tar", "old");
    let ran = room.teu(["export", "oci:images:app"]).ran();
    assert_eq!((ran.code, &ran.stdout[..]), (1, ""));
    assert!(ran.stderr.contains("DiffID"), "{}", ran.stderr);
    for file in ["out/old.tar", "out/new.tar"] {
        room.teu(["export", "oci:images:app", "--file", file]).fails(1);
    }
    let left: Vec<_> = fs::read_dir(room.path("out")).expect("a directory").collect();
    assert_eq!(left.len(), 1);
    assert_eq!(fs::read(room.path("out/old.tar")).expect("the file"), b"old");
}

#[test]
fn of_an_index_it_is_the_platform_that_was_asked_for() {
    let room = Room::new();
    let layout = room.layout("images");
    layout.image("amd", &of(&[support::layer("amd64\n")]));
    let mut arm = of(&[support::layer("arm64\n")]);
    arm.config["architecture"] = "arm64".into();
    layout.image("arm", &arm);
    room.teu(["index", "create", "oci:images:all", "oci:images:amd", "oci:images:arm"])
        .succeeds();
    for (platform, content) in [("linux/amd64", "amd64\n"), ("linux/arm64", "arm64\n")] {
        let ran = room
            .teu(["export", "--platform", platform, "oci:images:all"])
            .succeeds();
        assert_eq!(&ran.stdout[512..518], content);
        assert_eq!(ran.stdout.len(), 2048);
    }
}

/// Directories whose owner may put nothing into them, and whose times are other than those of what is in them.
fn closed() -> Image {
    let at = |path: &str, mode, seconds| {
        let mut header = directory(path, seconds);
        header.mode = mode;
        header
    };
    let lower = archive(vec![
        (at("closed/", 0o555, 1_700_000_000), b""),
        (at("closed/deep/", 0o500, 1_700_000_001), b""),
        (Header::file("closed/one", 3), b"one"),
        (Header::file("closed/deep/two", 3), b"two"),
        (at("empty/", 0o311, 1_700_000_002), b""),
    ]);
    let upper = archive(vec![(Header::file("closed/deep/three", 5), b"three")]);
    of(&[lower, upper])
}

#[test]
fn whoever_unpacks_it_in_order_comes_to_the_right_tree() {
    let test = "whoever_unpacks_it_in_order_comes_to_the_right_tree";
    if !peers(test, &["tar", "python3", "podman"]) {
        return;
    }
    let room = Room::new();
    room.layout("images").image("app", &closed());
    room.teu(["unpack", "--rootfs-only", "oci:images:app", "ours"])
        .succeeds();
    room.teu(["export", "oci:images:app", "--file", "a.tar"]).succeeds();
    let mut ours = tree(&room.path("ours"));
    // No layer describes the root.
    ours.remove("");
    // As it comes: each entry is whole before the next one is read.
    let in_order = "import sys, tarfile\nfor entry in (tar := tarfile.open(sys.argv[1])): tar.extract(entry, sys.argv[2], numeric_owner=True)";
    fs::create_dir(room.path("theirs-tar")).expect("a directory");
    room.run("tar", ["--numeric-owner", "-xpf", "a.tar", "-C", "theirs-tar"])
        .succeeds();
    room.run("python3", ["-c", in_order, "a.tar", "theirs-python"])
        .succeeds();
    for theirs in ["theirs-tar", "theirs-python"] {
        let mut seen = tree(&room.path(theirs));
        seen.remove("");
        assert_eq!(difference(&ours, &seen), Vec::<String>::new(), "{theirs}");
    }
    let at = |kind: &str| room.path(format!("podman-{kind}")).display().to_string();
    let (root, run) = (at("root"), at("run"));
    let podman = |arguments: &[&str]| {
        let storage = ["--root", &root, "--runroot", &run, "--storage-driver", "vfs"];
        room.run("podman", storage.iter().chain(arguments)).succeeds().stdout
    };
    let id = podman(&["import", "--quiet", "a.tar"]);
    let mounted = podman(&["image", "mount", id.trim()]);
    let mut seen = tree(mounted.trim().as_ref());
    seen.remove("");
    assert_eq!(difference(&ours, &seen), Vec::<String>::new());
}
