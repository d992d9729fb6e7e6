//! What an honest tree becomes: every kind of file with its metadata, layer upon layer.

use std::{
    fs,
    os::unix::fs::{FileTypeExt, MetadataExt},
    path::Path,
};

use teu_rootfs::{
    Device, Metadata, Node, Options, Root, Sibling, Time, Writer,
    walk::{self, Walk},
};

fn metadata(mode: u32, seconds: i64) -> Metadata {
    Metadata {
        mode,
        mtime: Time {
            seconds,
            nanoseconds: 5,
        },
        ..Metadata::default()
    }
}

fn write(writer: &mut Writer, path: &str, metadata: &Metadata, content: &[u8]) {
    let mut file = writer.file(path.as_bytes(), metadata, content.len() as u64).unwrap();
    file.write_at(0, content).unwrap();
    file.finish().unwrap();
}

/// Name, mode with type, time and content or link text of all that is below.
fn listed(root: &Path) -> Vec<String> {
    let mut list = Vec::new();
    let mut wait = vec![root.to_owned()];
    while let Some(path) = wait.pop() {
        let seen = path.symlink_metadata().unwrap();
        let what = if seen.is_dir() {
            wait.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            "/".to_owned()
        } else if seen.is_symlink() {
            format!(" -> {}", fs::read_link(&path).unwrap().display())
        } else if seen.is_file() {
            format!(" {}", fs::read_to_string(&path).unwrap())
        } else if seen.file_type().is_fifo() {
            "|".to_owned()
        } else {
            "?".to_owned()
        };
        let name = path.strip_prefix(root).unwrap().display();
        list.push(format!("{name}{what} {:o} {}", seen.mode() & 0o7777, seen.mtime()));
    }
    list.sort();
    list
}

#[test]
fn a_tree_of_two_layers_is_what_they_say() {
    let directory = tempfile::tempdir().unwrap();
    let destination = directory.path().join("rootfs");
    let sibling = Sibling::new(&destination).unwrap();
    let mut writer = Writer::new(sibling.root(), Options::default()).unwrap();
    writer.directory(b"./", &metadata(0o755, 1)).unwrap();
    writer.directory(b"etc/", &metadata(0o2750, 2)).unwrap();
    write(&mut writer, "etc/hosts", &metadata(0o666, 3), b"one");
    write(&mut writer, "bin/su", &metadata(0o4755, 4), b"su");
    writer.symlink(b"/var/run", &metadata(0o777, 5), b"/run").unwrap();
    write(&mut writer, "var/run/pid", &metadata(0o600, 6), b"1");
    writer.node(b"pipe", &metadata(0o622, 7), &Node::Fifo).unwrap();
    writer.hard_link(b"etc/hosts2", b"/etc/hosts").unwrap();
    writer
        .node(
            b"null",
            &metadata(0o666, 8),
            &Node::CharDevice(Device { major: 1, minor: 3 }),
        )
        .unwrap();
    write(&mut writer, "gone/deep/file", &metadata(0o600, 6), b"1");

    writer.next_layer();
    write(&mut writer, "etc/hosts", &metadata(0o600, 10), b"two");
    writer.remove(b"gone").unwrap();
    writer.remove(b"never/was").unwrap();
    let report = writer.finish().unwrap();
    assert_eq!((report.entries, report.bytes, report.devices.count), (18, 10, 1));
    assert_eq!(report.devices.examples, [b"null"]);
    assert!(!destination.exists());
    sibling.commit().unwrap();

    assert_eq!(
        listed(&destination),
        [
            "/ 755 1",
            "bin/ 755 0",
            "bin/su su 4755 4",
            "etc/ 2750 2",
            "etc/hosts two 600 10",
            "etc/hosts2 one 666 3",
            "pipe| 622 7",
            "run/ 755 0",
            "run/pid 1 600 6",
            "var/ 755 0",
            "var/run -> /run 777 5",
        ]
    );
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    let root = Root::open(&destination).unwrap();
    assert_eq!(root.read(b"/var/run/pid", 1).unwrap(), Some(b"1".to_vec()));
    assert_eq!(root.read(b"/var/run/pid/no", 1).unwrap(), None);
    assert!(root.read(b"pipe", 1).is_err());
}

/// A directory that an entry came to by a link is given its time, although a later layer takes the link away.
#[test]
fn a_directory_behind_a_link_that_goes_has_its_time() {
    let directory = tempfile::tempdir().unwrap();
    let root = Root::create(&directory.path().join("rootfs")).unwrap();
    let mut writer = Writer::new(&root, Options::default()).unwrap();
    writer.directory(b"./", &metadata(0o755, 1)).unwrap();
    writer.directory(b"real/", &metadata(0o755, 2)).unwrap();
    writer.symlink(b"way", &metadata(0o777, 3), b"/real").unwrap();
    writer.next_layer();
    writer.directory(b"way/said/", &metadata(0o755, 4)).unwrap();
    write(&mut writer, "way/implied/file", &metadata(0o600, 5), b"1");
    writer.next_layer();
    writer.remove(b"way").unwrap();
    writer.next_layer();
    // Another link in its place leads elsewhere.
    writer.directory(b"other/implied/", &metadata(0o755, 6)).unwrap();
    writer.symlink(b"way", &metadata(0o777, 7), b"other").unwrap();
    writer.finish().unwrap();
    assert_eq!(
        listed(&directory.path().join("rootfs")),
        [
            "/ 755 1",
            "other/ 755 0",
            "other/implied/ 755 6",
            "real/ 755 2",
            "real/implied/ 755 0",
            "real/implied/file 1 600 5",
            "real/said/ 755 4",
            "way -> other 777 7",
        ]
    );
}

/// A directory that passes on its group from now on, by whatever path it is named, does so to no file whose group is said.
#[test]
fn a_file_has_its_own_group_wherever_it_is_made() {
    let directory = tempfile::tempdir().unwrap();
    let root = Root::create(&directory.path().join("rootfs")).unwrap();
    let mut writer = Writer::new(&root, Options::default()).unwrap();
    writer.directory(b"./", &metadata(0o755, 9)).unwrap();
    writer.directory(b"a/b/", &metadata(0o755, 1)).unwrap();
    write(&mut writer, "a/one", &metadata(0o600, 2), b"1");
    let shared = Metadata {
        gid: 7,
        ..metadata(0o2755, 3)
    };
    writer.directory(b"a/b/..", &shared).unwrap();
    write(&mut writer, "a/two", &metadata(0o600, 4), b"2");
    write(&mut writer, "a/three", &metadata(0o600, 5), b"3");
    writer.finish().unwrap();
    let group = |path: &str| {
        fs::symlink_metadata(directory.path().join("rootfs").join(path))
            .unwrap()
            .gid()
    };
    assert_eq!(
        ["a", "a/one", "a/two", "a/three", "a/b"].map(group),
        [7, 0, 0, 0, 0],
        "the groups of what was made"
    );
    assert_eq!(
        listed(&directory.path().join("rootfs")),
        [
            "/ 755 9",
            "a/ 2755 3",
            "a/b/ 755 1",
            "a/one 1 600 2",
            "a/three 3 600 5",
            "a/two 2 600 4"
        ]
    );
}

/// A directory that a layer removes, behind what it made in it, is as if that had made it; also where the layer cleared what is above before.
#[test]
fn what_is_removed_has_no_mode_of_a_lower_layer() {
    for clear in [false, true] {
        let directory = tempfile::tempdir().unwrap();
        let root = Root::create(&directory.path().join("rootfs")).unwrap();
        let mut writer = Writer::new(&root, Options::default()).unwrap();
        writer.directory(b"./", &metadata(0o755, 9)).unwrap();
        writer.directory(b"a/", &metadata(0o700, 1)).unwrap();
        write(&mut writer, "a/old", &metadata(0o600, 2), b"old");
        writer.next_layer();
        write(&mut writer, "a/new", &metadata(0o600, 3), b"new");
        if clear {
            writer.clear(b"./").unwrap();
        }
        writer.remove(b"a").unwrap();
        writer.finish().unwrap();
        let found = listed(&directory.path().join("rootfs"));
        assert_eq!(found[1..], ["a/ 755 0", "a/new new 600 3"], "cleared: {clear}");
    }
}

#[test]
fn what_files_are_not_given_is_told_file_by_file() {
    let directory = tempfile::tempdir().unwrap();
    let root = Root::open(directory.path()).unwrap();
    let with = |name: &str| Metadata {
        xattrs: [(name.as_bytes().to_vec(), b"x".to_vec())].into(),
        ..metadata(0o755, 1)
    };
    let mut writer = Writer::new(&root, Options::default()).unwrap();
    writer.directory(b"kept", &with("system.posix_acl_default")).unwrap();
    writer.directory(b"again", &with("system.posix_acl_default")).unwrap();
    writer.directory(b"opaque", &with("trusted.overlay.opaque")).unwrap();
    writer.directory(b"opaque2", &with("user.overlay.opaque")).unwrap();
    write(&mut writer, "file", &with("trusted.a"), b"1");
    writer.hard_link(b"other", b"file").unwrap();
    writer.symlink(b"link", &with("security.selinux"), b"file").unwrap();
    for number in 0..100 {
        write(&mut writer, &format!("gone{number}"), &with("trusted.b"), b"");
    }
    writer.next_layer();
    // It is described anew, and others may have the numbers of what is gone.
    writer.directory(b"again", &metadata(0o755, 1)).unwrap();
    for number in 0..100 {
        writer.remove(format!("gone{number}").as_bytes()).unwrap();
    }
    for number in 0..100 {
        write(&mut writer, &format!("new{number}"), &metadata(0o644, 1), b"");
    }
    let report = writer.finish().unwrap();
    let mut walk = Walk::of(&root, walk::Options::default()).unwrap();
    let mut told = Vec::new();
    while let Some(found) = walk.next_file().unwrap() {
        if let Some(withheld) = report.withheld.of(&found.stat) {
            let names = withheld.keys().map(|name| String::from_utf8_lossy(name).into_owned());
            let names = names.collect::<Vec<_>>().join(",");
            told.push(format!("{} {names}", String::from_utf8_lossy(found.path)));
        }
    }
    assert_eq!(
        told,
        [
            "file trusted.a",
            "kept system.posix_acl_default",
            "link security.selinux",
            "other trusted.a"
        ]
    );
    assert_eq!(report.withheld.lost, 0);
}
