//! Threats 36 to 42: devices, pipes, set-id bits, owners, times, extended attributes.

use std::{fs, os::unix::fs::MetadataExt};

use crate::{
    arena::{Arena, Layer},
    entries::{device, dir, fifo, file, link, tar, with},
    raw::{Raw, block, set},
};

#[test]
fn threat_36_devices_are_made_only_where_asked_for() {
    let arena = Arena::new();
    let layer = tar(&[device("dev/null", 1, 3), device("dev/sda", 8, 0), file("f")]);
    arena.stays("36 devices", &[layer], &["dev/", "dev/null?", "dev/sda?", "f x"]);
}

#[test]
fn threat_37_a_pipe_is_never_opened() {
    let arena = Arena::new();
    let layer = tar(&[
        fifo("p"),
        file("p"),
        fifo("q"),
        dir("q"),
        fifo("r"),
        link("r", "p"),
        fifo("etc/passwd"),
        file("etc/group"),
    ]);
    arena.put(&[Layer::from(layer.clone())]);
    // A runtime's configuration asks for `etc/passwd`, which is a pipe here.
    let ran = arena.teu(
        "37 a pipe for passwd",
        &["unpack", "--rootless", "oci:images:evil", "dest"],
    );
    assert_eq!(ran.code, 1, "{}", ran.stderr);
    assert!(ran.stderr.contains("it is no regular file"), "{}", ran.stderr);
    assert!(!arena.room.path("dest").exists());
    let ran = arena.teu(
        "37 a pipe, then a file",
        &["unpack", "--rootless", "--rootfs-only", "oci:images:evil", "dest"],
    );
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let expected = ["etc/", "etc/group x", "etc/passwd|", "p x", "q/", "r -> p"];
    assert_eq!(arena.listing("dest"), expected);
    let ran = arena.teu("37 cat", &["cat", "oci:images:evil", "etc/passwd"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (1, ""), "{}", ran.stderr);
    arena.tidy();
    arena.refused("37 a file below a pipe", &[tar(&[fifo("p"), file("p/a")])], "p/a", 14);
}

/// While it is made nobody else can enter; that a root which others can enter gets no such bits holds `attack_38` of the door.
#[test]
fn threat_38_set_id_bits_are_given_where_nobody_can_go() {
    let arena = Arena::new();
    let layer = tar(&[with(file("su"), |header| header.mode = 0o6755)]);
    arena.stays("38 set-id", std::slice::from_ref(&layer), &["su x"]);
    arena.put(&[Layer::from(layer)]);
    let arguments = ["unpack", "--rootless", "oci:images:evil", "dest"];
    assert_eq!(arena.teu("38 set-id", &arguments).code, 0);
    let mode = |path: &str| fs::metadata(arena.room.path(path)).expect("it is there").mode() & 0o7777;
    assert_eq!((mode("dest/rootfs/su"), mode("dest")), (0o6755, 0o700));
    arena.tidy();
}

#[test]
fn threat_39_nobody_owns_nothing() {
    let arena = Arena::new();
    for key in ["uid", "gid"] {
        for value in [&b"4294967295"[..], b"-1", b"18446744073709551615"] {
            let layer = Raw::new().pax(&[(key, value)]).file(b"a", b"x").end();
            arena.refused(&format!("39 {key}"), &[layer], key, 13);
        }
    }
    let mut header = block(b'0', b"a", 0);
    set(&mut header, 108, b"\xff\xff\xff\xff\xff\xff\xff\xff");
    arena.refused("39 in the header", &[Raw::new().bytes(&header).end()], "uid", 13);
}

#[test]
fn threat_40_times_are_times_or_refused() {
    let arena = Arena::new();
    for value in [&b"nan"[..], b"inf", b"9223372036854775808", b"1e10"] {
        let layer = Raw::new().pax(&[("mtime", value)]).file(b"a", b"x").end();
        arena.refused("40 none", &[layer], "is not a time", 13);
    }
    let ends = [-62_135_596_800, -1, i64::MAX];
    let entries: Vec<_> = ends
        .iter()
        .zip(["a", "b", "c"])
        .map(|(seconds, name)| with(file(name), |header| header.mtime.seconds = *seconds))
        .collect();
    arena.stays("40 far away", &[tar(&entries)], &["a x", "b x", "c x"]);
}

#[test]
fn threat_41_attributes_that_a_kernel_would_obey_are_not_set() {
    let arena = Arena::new();
    let entry = with(file("f"), |header| {
        for name in [
            "user.overlay.opaque",
            "user.overlay.redirect",
            "trusted.overlay.opaque",
            "security.selinux",
            "security.ima",
            "security.apparmor",
            "system.posix_acl_default",
        ] {
            header.xattrs.insert(name.into(), b"y".to_vec());
        }
    });
    arena.put(&[Layer::from(tar(&[entry]))]);
    for flags in [&["unpack", "--rootless"][..], &["unpack"]] {
        if flags.len() == 1 && !rustix::process::geteuid().is_root() {
            continue;
        }
        let arguments = [flags, &["oci:images:evil", "dest"]].concat();
        let ran = arena.teu("41 attributes", &arguments);
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        assert!(ran.stderr.contains("extended attributes not set: f"), "{}", ran.stderr);
        let mut names = [0; 4096];
        let length = rustix::fs::llistxattr(arena.room.path("dest/rootfs/f"), &mut names[..]).expect("a list");
        let names: Vec<&str> = std::str::from_utf8(&names[..length])
            .expect("text")
            .split_terminator('\0')
            .collect();
        let ours = ["user.marked", "user.rootlesscontainers"];
        assert_eq!(names.iter().filter(|name| !ours.contains(name)).count(), 0, "{names:?}");
        crate::arena::remove(&arena.room.path("dest"));
    }
    arena.tidy();
}

#[test]
fn threat_42_malformed_attributes_are_refused() {
    let arena = Arena::new();
    let long = format!("SCHILY.xattr.user.{}", "x".repeat(251));
    for (key, words) in [
        ("SCHILY.xattr.", "attribute"),
        ("SCHILY.xattr.user.a\0b", "NUL"),
        (&long, "attribute"),
    ] {
        let layer = Raw::new().pax(&[(key, b"v")]).file(b"a", b"x").end();
        arena.refused("42 a name", &[layer], words, 13);
    }
    let entry = with(file("a"), |header| {
        header.xattrs.insert(b"user.big".to_vec(), vec![b'x'; (64 << 10) + 1]);
    });
    arena.refused("42 a value", &[tar(&[entry])], "user.big", 14);
}
