//! Attacks by names: of the root, of any bytes, too long, too deep, and through links that lead in circles or out of the way.

use std::{
    fs::File,
    os::{fd::OwnedFd, unix::fs::MetadataExt},
    time::Instant,
};

use rustix::fs::{Mode, OFlags, mkdirat, openat};
use teu_rootfs::{Device, ErrorKind, Node, Root};

use crate::support::{Arena, file, metadata, within_limit};

#[test]
fn attack_11_the_root_is_no_device_and_takes_metadata() {
    let arena = Arena::new();
    let mut writer = arena.writer();
    let device = Node::CharDevice(Device { major: 1, minor: 3 });
    assert_eq!(
        writer.node(b"./", &metadata(0o666), &device).unwrap_err().kind(),
        ErrorKind::Refused
    );
    writer.directory(b"./", &metadata(0o711)).unwrap();
    // Nobody enters before it is whole.
    assert_eq!(arena.dest().metadata().unwrap().mode() & 0o7777, 0o700);
    writer.finish().unwrap();
    let seen = arena.dest().metadata().unwrap();
    assert_eq!((seen.mode() & 0o7777, seen.mtime()), (0o711, 1_000_000));
    arena.check("11");
}

#[test]
fn attack_14_names_keep_their_bytes() {
    let arena = Arena::new();
    let mut writer = arena.writer();
    let name = b"caf\xe9\n\x1b[2J\xff";
    file(&mut writer, name, &metadata(0o644), b"x").unwrap();
    writer.symlink(b"l", &metadata(0o777), name).unwrap();
    writer.finish().unwrap();
    assert_eq!(arena.root().read(b"l", 1).unwrap().unwrap(), b"x");
    let error = arena.root().read(b"a\x1b[2J/\xff\0", 1).unwrap_err();
    assert!(!error.to_string().contains('\x1b'));
}

#[test]
fn attack_15_long_names_and_paths_reach_a_limit() {
    let arena = Arena::new();
    let mut writer = arena.writer();
    let long = vec![b'a'; 256];
    let deep = b"a/".repeat(2048);
    for (path, limit) in [(&long, "name_bytes is 255"), (&deep, "path_bytes is 4095")] {
        let data = metadata(0o755);
        for error in [
            writer.directory(path, &data).unwrap_err(),
            writer.symlink(path, &data, b"a").unwrap_err(),
            writer.hard_link(path, b"a").unwrap_err(),
            writer.remove(path).unwrap_err(),
            writer.clear(path).unwrap_err(),
            arena.root().read(path, 1).unwrap_err(),
        ] {
            assert_eq!(error.kind(), ErrorKind::Limit, "{error}");
            assert!(error.to_string().contains(limit), "{error}");
        }
    }
    let error = writer.symlink(b"l", &metadata(0o777), &[b'a'; 4096]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Limit);
    // The longest that the system has.
    writer.directory(&vec![b'a'; 255], &metadata(0o755)).unwrap();
    writer.directory(&b"b/".repeat(2047)[..4093], &metadata(0o755)).unwrap();
    writer.finish().unwrap();
    arena.check("15");
}

/// By links a path leads further down than it could say, and down again from there.
#[test]
fn attack_15_no_tree_is_deeper_than_a_path_can_say() {
    within_limit("20,000 levels", || {
        let arena = Arena::new();
        let mut writer = arena.writer();
        let data = metadata(0o755);
        // Each link leads 2,000 levels down from the last.
        let down = [&b"d/"[..]; 2000].concat();
        writer.directory(&down, &data).unwrap();
        file(&mut writer, &[&down[..], b"f"].concat(), &data, b"x").unwrap();
        writer.symlink(b"l", &data, &down).unwrap();
        file(&mut writer, b"l/g", &data, b"x").unwrap();
        let below = [b"l/", &down[..]].concat();
        for error in [
            writer.directory(&below, &data).unwrap_err(),
            file(&mut writer, &[&below[..], b"f"].concat(), &data, b"x").unwrap_err(),
        ] {
            assert_eq!(error.kind(), ErrorKind::Limit, "{error}");
            assert!(error.to_string().contains("path_bytes is 4095"), "{error}");
        }
        assert_eq!(arena.root().read(b"l/g", 1).unwrap().unwrap(), b"x");
        writer.next_layer();
        writer.remove(b"d").unwrap();
        writer.finish().unwrap();
        assert!(!arena.dest().join("d").exists());
        arena.check("15");
    });
}

/// Whoever has access to a tree can make it as deep as he likes.
#[test]
fn attack_15_twenty_thousand_levels_are_removed() {
    within_limit("20,000 levels", || {
        let arena = Arena::for_many_files();
        let mut at: OwnedFd = File::open(arena.dest()).unwrap().into();
        for _ in 0..20_000 {
            mkdirat(&at, "d", Mode::RWXU).unwrap();
            at = openat(&at, "d", OFlags::PATH, Mode::empty()).unwrap();
        }
        // To the kernel a directory that is open hangs below those above it, removed or not.
        drop(at);
        let mut writer = arena.writer();
        writer.remove(b"d").unwrap();
        writer.finish().unwrap();
        assert_eq!(arena.tree(), [""; 0]);
        arena.check("15");
    });
}

#[test]
fn attack_20_links_of_proc_lead_nowhere() {
    let root = Root::open("/proc".as_ref()).unwrap();
    let error = root.read(b"self/root/etc/passwd", 1 << 20).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused, "{error}");
    // And another file system is never entered.
    let error = Root::open("/".as_ref())
        .unwrap()
        .read(b"proc/version", 1 << 20)
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused, "{error}");
}

#[test]
fn attack_22_links_that_multiply_are_refused_at_once() {
    within_limit("8^40", || {
        let arena = Arena::new();
        let mut writer = arena.writer();
        let data = metadata(0o777);
        for number in 0..40 {
            let target = format!("l{}/", number + 1).repeat(8);
            writer
                .symlink(format!("l{number}").as_bytes(), &data, target.as_bytes())
                .unwrap();
        }
        writer.symlink(b"l40", &data, b".").unwrap();
        let begin = Instant::now();
        for _ in 0..1000 {
            let error = file(&mut writer, b"l0/f", &data, b"x").unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Refused, "{error}");
        }
        assert!(begin.elapsed().as_secs() < 5);
        // Where the end is missing we follow links ourselves, and no further than the kernel: that ends, and makes no more than it says.
        writer.next_layer();
        writer.remove(b"l40").unwrap();
        writer.symlink(b"l40", &data, b"m/l0").unwrap();
        let error = file(&mut writer, b"l0/f", &data, b"x").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Refused, "{error}");
        arena.check("22");
        assert!(arena.tree().len() < 1000);
    });
}
