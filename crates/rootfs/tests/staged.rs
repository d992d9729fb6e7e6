//! Do new files come among those of a directory, and nothing of it anywhere else?

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt, symlink},
    path::Path,
};

use teu_rootfs::{ErrorKind, Metadata, Options, Staged, Writer};

fn file(staged: &Staged, path: &str, content: &str) {
    let mut writer = Writer::new(staged.root(), Options::default()).expect("a writer");
    let metadata = Metadata {
        mode: 0o640,
        uid: rustix::process::geteuid().as_raw(),
        gid: rustix::process::getegid().as_raw(),
        ..Metadata::default()
    };
    let mut made = writer
        .file(path.as_bytes(), &metadata, content.len() as u64)
        .expect("a file");
    made.write_at(0, content.as_bytes()).expect("written");
    made.finish().expect("made");
    writer.finish().expect("finished");
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).expect("a file")
}

fn listed(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).expect("a directory");
    let mut names: Vec<String> = entries
        .map(|entry| entry.expect("an entry").file_name().into_string().expect("a name"))
        .collect();
    names.sort();
    names
}

#[test]
fn what_is_new_comes_among_what_is_there() {
    let room = tempfile::tempdir().expect("a room");
    fs::create_dir(room.path().join("d")).expect("a directory");
    fs::set_permissions(room.path().join("d"), fs::Permissions::from_mode(0o711)).expect("a mode");
    fs::write(room.path().join("d/old"), "old").expect("a file");
    let staged = Staged::within(room.path()).expect("staged");
    file(&staged, "d/new", "new");
    file(&staged, "e/f/deep", "deep");
    staged.place(false).expect("placed");
    assert_eq!(listed(room.path()), ["d", "e"]);
    assert_eq!(listed(&room.path().join("d")), ["new", "old"]);
    assert_eq!(read(&room.path().join("d/new")), "new");
    assert_eq!(read(&room.path().join("e/f/deep")), "deep");
    let mode = fs::metadata(room.path().join("d")).expect("there").mode();
    assert_eq!(mode & 0o7777, 0o711);
}

#[test]
fn nothing_is_moved_where_one_file_is_in_the_way() {
    let room = tempfile::tempdir().expect("a room");
    fs::write(room.path().join("b"), "mine").expect("a file");
    let staged = || {
        let staged = Staged::within(room.path()).expect("staged");
        file(&staged, "a", "new");
        file(&staged, "b", "new");
        staged
    };
    let error = staged().place(false).expect_err("it is there");
    assert_eq!(error.kind(), ErrorKind::Replaceable);
    assert_eq!(
        error.to_string(),
        "\"b\": it is there already, and is not to be replaced"
    );
    assert_eq!(
        (listed(room.path()), &read(&room.path().join("b"))[..]),
        (vec!["b".to_owned()], "mine")
    );
    staged().place(true).expect("placed");
    assert_eq!(
        (listed(room.path()).len(), &read(&room.path().join("b"))[..]),
        (2, "new")
    );
    // Kinds that differ are never replaced.
    fs::remove_file(room.path().join("b")).expect("removed");
    fs::create_dir(room.path().join("b")).expect("a directory");
    assert_eq!(staged().place(true).expect_err("a directory").kind(), ErrorKind::Exists);
    assert_eq!(listed(room.path()), ["a", "b"]);
}

#[test]
fn a_link_in_the_way_is_not_gone_through() {
    let room = tempfile::tempdir().expect("a room");
    let (inside, outside) = (room.path().join("in"), room.path().join("out"));
    for directory in [&inside, &outside] {
        fs::create_dir(directory).expect("a directory");
    }
    fs::write(outside.join("canary"), "alive").expect("a canary");
    symlink("../out", inside.join("d")).expect("a link");
    symlink("../out/canary", inside.join("f")).expect("a link");
    symlink("../out/made", inside.join("g")).expect("a link");
    for (path, replace, goes) in [
        ("d/x", false, false),
        ("d/x", true, false),
        ("f", false, false),
        ("g", false, false),
        ("f", true, true),
        ("g", true, true),
    ] {
        let staged = Staged::within(&inside).expect("staged");
        file(&staged, path, "new");
        assert_eq!(staged.place(replace).is_ok(), goes, "{path} {replace}");
        assert_eq!(listed(&outside), ["canary"], "{path} {replace}");
        assert_eq!(read(&outside.join("canary")), "alive", "{path} {replace}");
    }
    assert_eq!(fs::read_link(inside.join("d")).expect("a link"), Path::new("../out"));
    assert_eq!(read(&inside.join("f")), "new");
    assert!(fs::symlink_metadata(inside.join("g")).expect("there").is_file());
}

#[test]
fn what_was_killed_is_removed_by_the_next_and_what_is_dropped_by_itself() {
    let room = tempfile::tempdir().expect("a room");
    let left = room.path().join(".teu-staged.0123456789abcdef.unfinished");
    fs::create_dir(&left).expect("a directory");
    fs::write(left.join("x"), "x").expect("a file");
    let staged = Staged::within(room.path()).expect("staged");
    assert_eq!(listed(room.path()).len(), 1);
    assert!(!left.exists());
    file(&staged, "a", "a");
    drop(staged);
    assert_eq!(listed(room.path()), Vec::<String>::new());
}
