//! Is the tree that `teu unpack` makes of a real image the one that umoci, podman and GNU tar make of it?
//!
//! Names, kinds, modes, owners, times to the nanosecond, extended attributes, links, which names are one file, and content are the same. What
//! another tool is known to do otherwise is named beside each image, with the reason, and nothing else is let pass.

#![expect(
    clippy::print_stderr,
    reason = "a test that cannot run here says so, and a long one what it saw"
)]

mod debian;
mod hands;

use std::{
    fs,
    os::unix::{
        ffi::OsStrExt,
        fs::{PermissionsExt, symlink},
    },
    path::Path,
};

use crate::support::{Room, peers, tree::Seen};
use hands::{Peer, changed, compare, remove};

/// What others do otherwise with the image of this machine's files.
fn otherwise(peer: Peer, path: &str, seen: &mut Seen) {
    match peer {
        Peer::Umoci => {}
        // The root is the storage's own directory: its mode is 0555 or what a layer says, and its time that of the last change.
        Peer::Podman if path.is_empty() => (seen.mode, seen.time) = (0, (0, 0)),
        // They add the attributes of a directory's entry to those that a lower layer's directory has; an opaque whiteout hides these too.
        Peer::Podman | Peer::Tar if path == "opaque" => {
            seen.attributes.remove("user.of-directory");
        }
        // It sets a directory's time when the archive leaves the directory, and what comes back to it, or a layer without an entry for the
        // root, changes that.
        Peer::Tar if matches!(path, "" | "usr/bin") => seen.time = (0, 0),
        Peer::Podman | Peer::Tar => {}
    }
}

/// An image of this machine's own files, as Debian's packages made them: what is hard to carry, and thousands of small files.
fn of_this_machine(room: &Room) {
    let there = |paths: &[&'static str]| -> Vec<&str> {
        let all = paths.iter().copied();
        all.filter(|path| Path::new("/").join(path).symlink_metadata().is_ok())
            .collect()
    };
    // What no entry describes each makes as it likes.
    let above = there(&["usr", "usr/bin", "usr/share"]);
    let base = there(&["usr/share/perl5", "usr/share/zoneinfo", "usr/bin/su", "usr/bin/passwd"]);
    let flags = [
        "-C",
        "/",
        "--one-file-system",
        "--format=posix",
        "--numeric-owner",
        "--xattrs",
        "-cf",
        "base.tar",
    ];
    let [once, all] = [["--no-recursion"], ["--recursion"]];
    room.run("tar", flags.iter().chain(&once).chain(&above).chain(&all).chain(&base))
        .succeeds();
    let odd = room.path("odd");
    hard_to_carry(&odd);
    let flags = [
        "-C",
        "odd",
        "--format=posix",
        "--numeric-owner",
        "--xattrs",
        "-cf",
        "odd.tar",
        ".",
    ];
    room.run("tar", flags).succeeds();
    room.teu(["new", "oci:images:base"]).succeeds();
    room.teu(["append", "oci:images:base", "base.tar", "odd.tar"])
        .succeeds();
}

/// Files of every kind, with all that a layer can say of one.
fn hard_to_carry(at: &Path) {
    let file = |path: &str, mode: u32| {
        let path = at.join(path);
        fs::create_dir_all(path.parent().expect("a directory")).expect("made");
        fs::write(&path, path.as_os_str().as_encoded_bytes()).expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("a mode");
        path
    };
    for number in 0..20 {
        file(&format!("removed/d{}/f{number}", number % 3), 0o644);
        file(&format!("opaque/d{}/f{number}", number % 3), 0o600);
    }
    for (path, mode) in [
        ("setuid", 0o4755),
        ("setgid", 0o2750),
        ("closed", 0),
        ("becomes-directory", 0o644),
    ] {
        file(path, mode);
    }
    file("closed-directory/f", 0o640);
    file("becomes-file/f", 0o640);
    file("becomes-link/f", 0o640);
    for (path, mode) in [("closed-directory", 0), ("opaque", 0o2775), ("removed", 0o1777)] {
        fs::set_permissions(at.join(path), fs::Permissions::from_mode(mode)).expect("a mode");
    }
    let owned = file("owned", 0o4711);
    std::os::unix::fs::chown(&owned, Some(4_000_000), Some(100)).expect("given away");
    fs::set_permissions(&owned, fs::Permissions::from_mode(0o4711)).expect("a mode");
    for name in ["one", "two/other"] {
        fs::create_dir_all(at.join("links/two")).expect("made");
        fs::hard_link(&owned, at.join("links").join(name)).expect("a link");
    }
    symlink("/etc/../../absolute", at.join("absolute")).expect("a link");
    symlink("opaque", at.join("to-directory")).expect("a link");
    std::os::unix::fs::lchown(at.join("absolute"), Some(7), Some(8)).expect("given away");
    for name in ["with space", "ключ-ü-日本", "new\nline", &"n".repeat(255)] {
        file(&format!("names/{name}"), 0o444);
    }
    let latin = std::ffi::OsStr::from_bytes(b"names/caf\xe9");
    fs::write(at.join(latin), "latin").expect("written");
    let pipe = at.join("pipe");
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, 0o620.into(), 0).expect("a pipe");
    for (name, value) in [("user.note", &b"kept"[..]), ("security.capability", CAPABILITY)] {
        let path = file(&format!("attributes/{name}"), 0o755);
        rustix::fs::setxattr(&path, name, value, rustix::fs::XattrFlags::empty()).expect("an attribute");
    }
    rustix::fs::setxattr(
        at.join("opaque"),
        "user.of-directory",
        b"kept",
        rustix::fs::XattrFlags::empty(),
    )
    .expect("set");
    let sparse = fs::File::create(at.join("sparse")).expect("a file");
    sparse.set_len(4 << 20).expect("a hole");
    std::os::unix::fs::FileExt::write_all_at(&sparse, b"data", 3 << 20).expect("written");
}

/// `cap_net_raw=ep`, as Linux keeps it (revision 2).
const CAPABILITY: &[u8] = b"\x01\0\0\x02\0\x20\0\0\0\0\0\0\0\0\0\0\0\0\0\0";

/// What a build does to the files below it: removed, replaced, made opaque, changed in mode, owner or attributes alone.
fn change(at: &Path) {
    let path = |name: &str| at.join(name);
    remove(&path("removed"));
    remove(&path("opaque"));
    fs::create_dir(path("opaque")).expect("made");
    fs::write(path("opaque/new"), "new").expect("written");
    for name in [
        "becomes-directory",
        "becomes-file",
        "becomes-link",
        "links/one",
        "names/with space",
    ] {
        remove(&path(name));
    }
    fs::create_dir(path("becomes-directory")).expect("made");
    fs::write(path("becomes-directory/f"), "f").expect("written");
    fs::write(path("becomes-file"), "f").expect("written");
    symlink("opaque", path("becomes-link")).expect("a link");
    fs::set_permissions(path("setgid"), fs::Permissions::from_mode(0o711)).expect("a mode");
    std::os::unix::fs::chown(path("names"), Some(33), Some(33)).expect("given away");
    fs::write(path("new"), "new").expect("written");
    fs::hard_link(path("new"), path("newer")).expect("a link");
    remove(&path("usr/share/zoneinfo/Europe"));
    let again = fs::read_dir(path("usr/share/perl5")).expect("files");
    for entry in again.take(3) {
        remove(&entry.expect("an entry").path());
    }
}

fn can(test: &str) -> bool {
    if !rustix::process::geteuid().is_root() {
        eprintln!("SKIPPED {test}: only root gives files to others");
        return false;
    }
    peers(test, &["tar", "buildah"])
}

#[test]
fn the_tree_of_a_built_image_is_the_same_by_every_hand() {
    let test = "the_tree_of_a_built_image_is_the_same_by_every_hand";
    if !can(test) {
        return;
    }
    let room = Room::new();
    of_this_machine(&room);
    changed(&room, "base", "app", change);
    let files = compare(test, &room, "app", otherwise).len() - 1;
    assert!(files > 1000, "{files} files");
}

#[test]
#[ignore = "makes 100,000 files five times: TMPDIR names where"]
fn a_hundred_thousand_small_files_are_the_same_by_every_hand() {
    let test = "a_hundred_thousand_small_files_are_the_same_by_every_hand";
    if !can(test) {
        return;
    }
    let room = Room::new();
    of_this_machine(&room);
    for number in 0..100_000_u32 {
        // Directories of a hundred, some of them deep.
        let directory = room.path(format!(
            "many/d{}/{}",
            number / 10_000,
            "e/".repeat(number as usize / 100 % 7)
        ));
        let directory = directory.join(format!("d{}", number / 100));
        if number % 100 == 0 {
            fs::create_dir_all(&directory).expect("made");
        }
        fs::write(directory.join(format!("f{number}")), number.to_string()).expect("written");
    }
    let flags = [
        "-C",
        "many",
        "--format=posix",
        "--numeric-owner",
        "-cf",
        "many.tar",
        ".",
    ];
    room.run("tar", flags).succeeds();
    fs::remove_dir_all(room.path("many")).expect("removed");
    room.teu(["append", "oci:images:base", "many.tar"]).succeeds();
    changed(&room, "base", "app", |at| {
        change(at);
        remove(&at.join("d3"));
        remove(&at.join("d4/d40000"));
    });
    let files = compare(test, &room, "app", otherwise).len() - 1;
    assert!(files > 85_000, "{files} files");
}
