//! What is removed beside a destination? What a killed process left there, and nothing else.

use std::{
    fs::{self, File},
    path::Path,
};

use teu_rootfs::{ErrorKind, Sibling};

fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).expect("a directory");
    let mut names: Vec<_> = entries
        .map(|entry| entry.expect("an entry").file_name().into_string().expect("text"))
        .collect();
    names.sort();
    names
}

#[test]
fn what_a_killed_process_left_is_removed_and_nothing_else() {
    let room = tempfile::tempdir().expect("a directory");
    let destination = room.path().join("rootfs");
    let dead = ".rootfs.0123456789abcdef.unfinished";
    let locked = ".rootfs.fedcba9876543210.unfinished";
    let others = [
        ".other.0123456789abcdef.unfinished",
        ".rootfs.0123456789abcdef",
        ".rootfs.0123456789abcdeg.unfinished",
        ".rootfs.0123456789abcdef0.unfinished",
        ".rootfs.unfinished",
    ];
    for name in others.iter().chain([&dead, &locked]) {
        fs::create_dir_all(room.path().join(name).join("deep/er")).expect("made");
        fs::write(room.path().join(name).join("deep/file"), "content").expect("written");
    }
    // A file and a link of such a name are none of ours, nor what the link leads to.
    let file = ".rootfs.00000000000000aa.unfinished";
    let link = ".rootfs.00000000000000bb.unfinished";
    fs::write(room.path().join(file), "").expect("written");
    std::os::unix::fs::symlink(others[0], room.path().join(link)).expect("a link");
    let holder = File::open(room.path().join(locked)).expect("open");
    holder.lock().expect("locked");

    let living = Sibling::new(&destination).expect("made");
    let second = Sibling::new(&destination).expect("another, at the same time");
    let mut expected: Vec<_> = others
        .iter()
        .chain([&locked, &file, &link])
        .map(|name| (*name).to_owned())
        .collect();
    let found = names(room.path());
    assert_eq!(found.len(), expected.len() + 2, "{found:?}");
    assert!(!found.contains(&dead.to_owned()));
    assert!(expected.iter().all(|name| found.contains(name)), "{found:?}");
    for name in others {
        assert!(room.path().join(name).join("deep/file").exists(), "{name}");
    }

    living.commit().expect("its name");
    let error = second.commit().expect_err("taken");
    assert_eq!(error.kind(), ErrorKind::Exists);
    // Who holds it no more is dead.
    drop(holder);
    fs::rename(&destination, room.path().join("kept")).expect("renamed");
    Sibling::new(&destination).expect("made").discard().expect("removed");
    expected.retain(|name| name != locked);
    expected.push("kept".to_owned());
    expected.sort();
    assert_eq!(names(room.path()), expected);
}

#[test]
fn an_empty_directory_gives_way_and_nothing_else() {
    let room = tempfile::tempdir().expect("a directory");
    let at = |name: &str| room.path().join(name);
    fs::create_dir(at("empty")).expect("made");
    let whole = Sibling::new(&at("empty")).expect("made");
    whole.root().create_file("new").expect("made");
    assert_eq!(names(&at("empty")), [""; 0]);
    whole.commit().expect("its name");
    assert_eq!(names(&at("empty")), ["new"]);
    // What came meanwhile stays.
    fs::create_dir(at("late")).expect("made");
    let whole = Sibling::new(&at("late")).expect("made");
    fs::write(at("late/file"), "").expect("written");
    assert_eq!(whole.commit().expect_err("taken").kind(), ErrorKind::Exists);
    fs::create_dir(at("gone")).expect("made");
    let whole = Sibling::new(&at("gone")).expect("made");
    fs::remove_dir(at("gone")).expect("removed");
    std::os::unix::fs::symlink("empty", at("gone")).expect("a link");
    assert_eq!(whole.commit().expect_err("taken").kind(), ErrorKind::Exists);
    fs::write(at("file"), "").expect("written");
    std::os::unix::fs::symlink("file", at("dangling")).expect("a link");
    for name in ["late", "gone", "file", "dangling"] {
        let error = Sibling::new(&at(name)).expect_err(name);
        assert_eq!(error.kind(), ErrorKind::Exists, "{name}");
    }
    assert_eq!(names(room.path()), ["dangling", "empty", "file", "gone", "late"]);
}

#[test]
fn a_committed_tree_is_locked_by_nobody() {
    let room = tempfile::tempdir().expect("a directory");
    let destination = room.path().join("rootfs");
    let root = Sibling::new(&destination).expect("made").commit().expect("its name");
    File::open(&destination).expect("open").try_lock().expect("free");
    drop(root);
}
