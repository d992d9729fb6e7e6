//! Attacks by what files are: devices, set-id bits, owners, times, attributes and sizes; and what is read of a tree that stays hostile.

use std::{
    fs,
    os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt},
};

use teu_rootfs::{Budget, Device, ErrorKind, Metadata, Node, Options, Owners, Time, Writer};

use crate::support::{Arena, file, metadata, within_limit};

#[test]
fn attack_34_the_device_by_which_overlayfs_hides_is_never_made() {
    let arena = Arena::new();
    let options = Options {
        devices: true,
        ..Options::default()
    };
    let mut writer = Writer::new(&arena.root(), options).unwrap();
    file(&mut writer, b"a", &metadata(0o644), b"x").unwrap();
    let hider = Node::CharDevice(Device { major: 0, minor: 0 });
    writer.node(b"a", &metadata(0o644), &hider).unwrap();
    let report = writer.finish().unwrap();
    assert_eq!(
        (report.devices.count, report.devices.examples),
        (1, vec![b"a".to_vec()])
    );
    assert_eq!(arena.tree(), [""; 0]);
}

#[test]
fn attack_35_whiteouts_repeated_cost_nothing() {
    within_limit("repeated whiteouts", || {
        let arena = Arena::for_many_files();
        let mut writer = arena.writer();
        file(&mut writer, b"d/old", &metadata(0o644), b"x").unwrap();
        writer.next_layer();
        for number in 0..20_000 {
            let path = format!("d/{}/{number}", number % 100);
            writer.symlink(path.as_bytes(), &metadata(0o777), b"a").unwrap();
        }
        // Each walked anew, these would be four thousand million steps.
        for number in 0..200_000 {
            match number % 3 {
                0 => writer.clear(b"d").unwrap(),
                1 => writer.remove(b"d").unwrap(),
                _ => writer.clear(format!("d/{}", number % 100).as_bytes()).unwrap(),
            }
        }
        assert_eq!(fs::read_dir(arena.dest().join("d")).unwrap().count(), 100);
        assert_eq!(fs::read_dir(arena.dest().join("d/7")).unwrap().count(), 200);
    });
}

#[test]
fn attack_36_devices_are_made_only_where_asked_for() {
    let null = Node::CharDevice(Device { major: 1, minor: 3 });
    let disk = Node::BlockDevice(Device { major: 7, minor: 200 });
    for devices in [false, true] {
        let arena = Arena::new();
        let options = Options {
            devices,
            ..Options::default()
        };
        let mut writer = Writer::new(&arena.root(), options).unwrap();
        file(&mut writer, b"null", &metadata(0o644), b"x").unwrap();
        writer.node(b"null", &metadata(0o666), &null).unwrap();
        writer.node(b"disk", &metadata(0o660), &disk).unwrap();
        // Another name of one that was passed over is passed over, too.
        writer.hard_link(b"zero", b"null").unwrap();
        writer.next_layer();
        writer.hard_link(b"one", b"null").unwrap();
        let socket = writer.node(b"socket", &metadata(0o666), &Node::Socket).unwrap_err();
        assert_eq!(socket.kind(), ErrorKind::Unsupported);
        let report = writer.finish().unwrap();
        if devices && rootless() {
            eprintln!("SKIPPED attack_36 with devices: only root makes devices");
        } else if devices {
            assert_eq!(report.devices.count, 0);
            let seen = arena.dest().join("one").metadata().unwrap();
            assert!(seen.file_type().is_char_device());
            assert_eq!(
                (seen.rdev(), seen.mode() & 0o7777, seen.mtime()),
                (0x103, 0o666, 1_000_000)
            );
            assert!(
                arena
                    .dest()
                    .join("disk")
                    .metadata()
                    .unwrap()
                    .file_type()
                    .is_block_device()
            );
        } else {
            assert_eq!(report.devices.count, 4);
            assert_eq!(arena.tree(), [""; 0]);
        }
        arena.check("36");
    }
}

fn rootless() -> bool {
    fs::metadata("/proc/self").unwrap().uid() != 0
}

#[test]
fn attack_38_set_id_only_where_nobody_else_can_go() {
    for (root_mode, set_id, expected) in [
        (0o700, false, 0o6755),
        (0o755, false, 0o755),
        (0o711, false, 0o755),
        (0o755, true, 0o6755),
    ] {
        let arena = Arena::new();
        fs::set_permissions(arena.dest(), fs::Permissions::from_mode(root_mode)).unwrap();
        let options = Options {
            set_id,
            ..Options::default()
        };
        let mut writer = Writer::new(&arena.root(), options).unwrap();
        file(&mut writer, b"su", &metadata(0o6755), b"x").unwrap();
        writer.directory(b"d", &metadata(0o3775)).unwrap();
        let report = writer.finish().unwrap();
        let mode = |name| arena.dest().join(name).metadata().unwrap().mode() & 0o7777;
        assert_eq!(mode("su"), expected, "{root_mode:o}");
        assert_eq!(mode("d"), 0o3775);
        assert_eq!(report.set_id.count, u64::from(expected == 0o755));
    }
}

#[test]
fn attack_39_nobody_owns_nothing() {
    let arena = Arena::new();
    let mut writer = arena.writer();
    for (uid, gid) in [(u32::MAX, 0), (0, u32::MAX)] {
        let data = Metadata {
            uid,
            gid,
            ..metadata(0o644)
        };
        for error in [
            writer.directory(b"d", &data).unwrap_err(),
            writer.file(b"f", &data, 0).map(drop).unwrap_err(),
            writer.symlink(b"l", &data, b"a").unwrap_err(),
            writer.node(b"p", &data, &Node::Fifo).unwrap_err(),
        ] {
            assert_eq!(error.kind(), ErrorKind::Refused, "{error}");
        }
    }
    assert_eq!(arena.tree(), [""; 0]);
}

#[test]
fn attack_40_times_without_end() {
    let arena = Arena::new();
    let mut writer = arena.writer();
    let at = |seconds, nanoseconds| Metadata {
        mtime: Time { seconds, nanoseconds },
        ..metadata(0o755)
    };
    // What to the kernel means "now" and "leave it".
    for nanoseconds in [1_000_000_000, 0x3fff_ffff, 0x3fff_fffe, u32::MAX] {
        let error = writer.directory(b"d", &at(0, nanoseconds)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Refused, "{error}");
    }
    for (number, seconds) in [i64::MIN, i64::MIN + 1, -1, i64::MAX - 1, i64::MAX]
        .into_iter()
        .enumerate()
    {
        let data = at(seconds, 999_999_999);
        writer.directory(format!("d{number}").as_bytes(), &data).unwrap();
        file(&mut writer, format!("d{number}/f").as_bytes(), &data, b"x").unwrap();
        writer.symlink(format!("d{number}/l").as_bytes(), &data, b"f").unwrap();
    }
    writer.finish().unwrap();
    let seen = arena.dest().join("d2/f").metadata().unwrap();
    assert_eq!((seen.mtime(), seen.mtime_nsec()), (-1, 999_999_999));
    let seen = arena.dest().join("d2").metadata().unwrap();
    assert_eq!((seen.mtime(), seen.mtime_nsec()), (-1, 999_999_999));
    arena.check("40");
}

#[test]
fn attack_41_attributes_that_the_machine_would_obey_are_passed_over() {
    let arena = Arena::new();
    let mut writer = arena.writer();
    let mut data = metadata(0o755);
    for name in [
        "user.kept",
        "user.overlay.opaque",
        "user.rootlesscontainers",
        "trusted.overlay.opaque",
        "trusted.overlay.redirect",
        "trusted.md5sum",
        "security.selinux",
        "security.ima",
        "security.evm",
        "security.apparmor",
        "system.posix_acl_default",
        "system.nfs4_acl",
    ] {
        data.xattrs.insert(name.into(), b"y".to_vec());
    }
    writer.directory(b"d", &data).unwrap();
    file(&mut writer, b"d/f", &data, b"x").unwrap();
    writer.symlink(b"d/l", &data, b"f").unwrap();
    writer.node(b"d/p", &data, &Node::Fifo).unwrap();
    let report = writer.finish().unwrap();
    if !attributes(&arena.dest().join("d")).contains(&"user.kept".to_owned()) {
        eprintln!("SKIPPED attack_41: the file system has no extended attributes");
        return;
    }
    assert_eq!(report.xattrs.count, 11 + 11 + 12 + 12);
    assert_eq!(attributes(&arena.dest().join("d")), ["user.kept"]);
    assert_eq!(attributes(&arena.dest().join("d/f")), ["user.kept"]);
}

fn attributes(path: &std::path::Path) -> Vec<String> {
    let mut names = vec![0; 4096];
    let length = rustix::fs::llistxattr(path, &mut names[..]).unwrap();
    let names = names[..length].split(|byte| *byte == 0);
    let mut names: Vec<_> = names
        .filter(|name| !name.is_empty())
        .map(|name| String::from_utf8(name.to_vec()).unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn attack_42_malformed_attributes_are_refused() {
    let arena = Arena::new();
    let mut writer = arena.writer();
    let long = format!("user.{}", "a".repeat(251));
    for (name, value) in [
        (&b""[..], 1),
        (long.as_bytes(), 1),
        (b"user.a\0b", 1),
        (b"user.big", (64 << 10) + 1),
    ] {
        let mut data = metadata(0o644);
        data.xattrs.insert(name.to_vec(), vec![b'y'; value]);
        for error in [
            writer.directory(b"d", &data).unwrap_err(),
            writer.file(b"f", &data, 0).map(drop).unwrap_err(),
            writer.symlink(b"l", &data, b"a").unwrap_err(),
            writer.node(b"p", &data, &Node::Fifo).unwrap_err(),
        ] {
            assert_eq!(error.kind(), ErrorKind::Refused, "{error}");
        }
    }
    assert_eq!(arena.tree(), [""; 0]);
}

#[test]
fn attack_46_sizes_reach_limits_and_holes_cost_nothing() {
    let arena = Arena::new();
    let budget = Budget {
        entries: 4,
        bytes: 10,
        file_bytes: 1 << 40,
        depth: 3,
        ..Budget::default()
    };
    let options = Options {
        budget,
        ..Options::default()
    };
    let mut writer = Writer::new(&arena.root(), options).unwrap();
    let data = metadata(0o644);
    let limit = |error: teu_rootfs::Error, name: &str| {
        assert_eq!(error.kind(), ErrorKind::Limit, "{error}");
        assert!(error.to_string().contains(&format!("(the limit {name} is ")), "{error}");
    };
    limit(
        writer.file(b"big", &data, (1 << 40) + 1).map(drop).unwrap_err(),
        "file_bytes",
    );
    let mut hole = writer.file(b"hole", &data, 1 << 40).unwrap();
    hole.write_at((1 << 40) - 4, b"last").unwrap();
    let beyond = hole.write_at((1 << 40) - 3, b"last").unwrap_err();
    assert_eq!(beyond.kind(), ErrorKind::Refused);
    assert_eq!(hole.write_at(u64::MAX, b"last").unwrap_err().kind(), ErrorKind::Refused);
    hole.finish().unwrap();
    let seen = arena.dest().join("hole").metadata().unwrap();
    assert_eq!(seen.len(), 1 << 40);
    assert!(seen.blocks() < 1000, "{}", seen.blocks());
    limit(file(&mut writer, b"full", &data, b"1234567").unwrap_err(), "bytes");
    limit(writer.directory(b"a/b/c/d", &data).unwrap_err(), "depth");
    // The parents count.
    limit(writer.directory(b"a/b", &data).unwrap_err(), "entries");
}

#[test]
fn a_hostile_tree_is_read_without_being_obeyed() {
    within_limit("reading", || {
        let arena = Arena::new();
        let mut writer = arena.writer();
        let data = metadata(0o777);
        writer.symlink(b"etc/passwd", &data, &arena.path("OUT/canary")).unwrap();
        writer.symlink(b"etc/group", &data, b"../../../../canary").unwrap();
        writer.symlink(b"etc/loop", &data, b"loop").unwrap();
        writer.node(b"etc/pipe", &data, &Node::Fifo).unwrap();
        file(&mut writer, b"etc/big", &data, b"12345").unwrap();
        writer.symlink(b"l", &data, b"/etc/../etc/big").unwrap();
        writer.finish().unwrap();
        let root = arena.root();
        for (path, limit, expected) in [
            ("etc/passwd", 100, Ok(None)),
            ("/etc/group", 100, Ok(None)),
            ("etc/loop", 100, Err(ErrorKind::Refused)),
            ("etc/pipe", 100, Err(ErrorKind::Refused)),
            ("etc", 100, Err(ErrorKind::Refused)),
            ("", 100, Err(ErrorKind::Refused)),
            ("etc/big/below", 100, Ok(None)),
            ("etc/big", 4, Err(ErrorKind::Limit)),
            ("../../l", 5, Ok(Some(b"12345".to_vec()))),
        ] {
            let read = root.read(path.as_bytes(), limit).map_err(|error| error.kind());
            assert_eq!(read, expected, "{path}");
        }
        arena.check("reading");
    });
}

#[test]
fn owners_that_cannot_be_set_are_written_down() {
    let arena = Arena::new();
    let options = Options {
        owners: Owners::Recorded,
        ..Options::default()
    };
    let mut writer = Writer::new(&arena.root(), options).unwrap();
    let data = Metadata {
        uid: 1000,
        gid: 0,
        ..metadata(0o644)
    };
    writer.directory(b"d", &data).unwrap();
    file(&mut writer, b"d/f", &data, b"x").unwrap();
    file(&mut writer, b"d/root", &metadata(0o644), b"x").unwrap();
    writer.symlink(b"d/l", &data, b"f").unwrap();
    let report = writer.finish().unwrap();
    let read = |path: &str| {
        let mut value = [0; 64];
        rustix::fs::lgetxattr(arena.dest().join(path), teu_rootfs::RECORD, &mut value[..])
            .ok()
            .map(|length| value[..length].to_vec())
    };
    if read("d").is_none() {
        eprintln!("SKIPPED owners_that_cannot_be_set: the file system has no extended attributes");
        return;
    }
    assert_eq!(read("d/f"), Some(teu_rootfs::record(1000, 0)));
    assert_eq!(read("d/root"), None);
    assert_eq!(report.owners.examples, [b"d/l"]);
    assert_eq!(
        arena.dest().join("d/f").metadata().unwrap().uid(),
        arena.base().metadata().unwrap().uid()
    );
}
