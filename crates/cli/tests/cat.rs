//! Does `teu cat` print what a container would read, from no more layers than it takes?

use crate::support::{Asks, Layout, Peer, Room, archive, bare, file, of};
use teu_archive::tar::{EntryKind, Header};
use teu_spec::Digest;

/// The lower layer has what the upper one links to, replaces and removes.
fn two() -> [Vec<u8>; 2] {
    let lower = archive(&[
        bare(Header::directory("etc/")),
        file("etc/low", "low\n"),
        file("etc/kept", "kept\n"),
        file("etc/gone", "gone\n"),
        bare(Header::new(EntryKind::CharDevice, "dev/null")),
    ]);
    let upper = archive(&[
        bare(Header::directory("etc/")),
        file("etc/kept", "changed\n"),
        file("etc/.wh.gone", ""),
        bare(Header::hard_link("etc/hard", "etc/kept")),
        bare(Header::symlink("etc/link", "../../etc/kept")),
        bare(Header::symlink("up", "/etc")),
        bare(Header::symlink("round", "round")),
    ]);
    [lower, upper]
}

fn made(room: &Room) -> Layout {
    let layout = room.layout("images");
    layout.image("app", &of(&two()));
    layout
}

#[test]
fn what_a_container_would_read_is_printed() {
    let room = Room::new();
    made(&room);
    for (paths, content) in [
        (&["/etc/kept"][..], "changed\n"),
        (&["etc/low"], "low\n"),
        (&["etc/hard"], "changed\n"),
        (&["etc/link"], "changed\n"),
        (&["up/low"], "low\n"),
        (&["up/../etc/./link", "etc/low", "etc/low"], "changed\nlow\nlow\n"),
    ] {
        let asked = ["cat", "oci:images:app"].iter().chain(paths);
        assert_eq!(room.teu(asked).succeeds().stdout, content, "{paths:?}");
    }
}

#[test]
fn what_has_no_content_fails_and_nothing_is_printed() {
    let room = Room::new();
    made(&room);
    for (code, path, said) in [
        (1, "etc", "\"etc\" is a directory, which has no content"),
        (1, "/", "\"/\" is a directory, which has no content"),
        (1, "dev/null", "\"dev/null\" is a device, which has no content"),
        (2, "etc/gone", "\"etc/gone\" is not in the image"),
        (2, "etc/low/x", "\"etc/low/x\" is not in the image"),
        (2, "\u{1b}x", "\"\\u{1b}x\" is not in the image"),
        (1, "round", "\"round\" leads through more than 40 links"),
    ] {
        let failed = room.teu(["cat", "oci:images:app", "etc/kept", path]).fails(code);
        let last = failed.lines().last().unwrap_or_default();
        assert_eq!(last, format!("teu: {said}"));
    }
}

#[test]
fn nothing_of_a_layer_is_printed_that_is_not_what_its_digest_says() {
    let room = Room::new();
    let layout = made(&room);
    // The table is known, so that only the content is read anew.
    room.teu(["cat", "oci:images:app", "etc/kept"]).succeeds();
    let [_, upper] = two();
    let digest = Digest::of(&upper);
    let mut spoiled = upper;
    if let Some(last) = spoiled.last_mut() {
        *last = 1;
    }
    std::fs::write(layout.blob_path(&digest), spoiled).expect("written");
    let failed = room.teu(["cat", "oci:images:app", "etc/kept"]).fails(1);
    assert!(failed.contains(&digest.to_string()), "{failed}");
}

#[test]
fn a_layer_below_the_answer_is_not_fetched() {
    let room = Room::new();
    let layout = made(&room);
    let [lower, _] = two();
    let Some(peer) = Peer::start("a_layer_below_the_answer_is_not_fetched", Asks::default()) else {
        return;
    };
    let there = format!("docker://{}/app:1", peer.host);
    room.teu(["copy", "oci:images:app", &there, "--dest-tls-verify=false"])
        .succeeds();
    // Where it is absent, who asks for it fails.
    let name = format!("docker://{}/app", peer.host);
    room.teu([
        "blob",
        "rm",
        "--tls-verify=false",
        &name,
        &Digest::of(&lower).to_string(),
    ])
    .succeeds();
    std::fs::remove_file(layout.blob_path(&Digest::of(&lower))).expect("removed");
    for image in [there.as_str(), "oci:images:app"] {
        let cat = |path: &str| room.teu(["cat", "--tls-verify=false", image, path]);
        assert_eq!(cat("etc/kept").succeeds().stdout, "changed\n", "{image}");
        let failed = cat("etc/low").fails(2);
        assert!(failed.contains(&Digest::of(&lower).to_string()), "{image}: {failed}");
    }
}

#[test]
fn a_limit_keeps_content_from_being_printed_by_its_name() {
    let room = Room::new();
    made(&room);
    let cat = |limit: &'static str, path: &'static str| room.teu(["cat", "--limit", limit, "oci:images:app", path]);
    assert_eq!(cat("content_bytes=8", "etc/kept").succeeds().stdout, "changed\n");
    for (code, limit, said) in [
        (1, "content_bytes=7", "more bytes than the limit content_bytes of 7"),
        (1, "entries=2", "the limit entries is 2"),
        (2, "nothing=1", "there is no limit \"nothing\""),
    ] {
        // Where the table is known, no limit of the archive is met.
        drop(std::fs::remove_dir_all(room.home(".cache")));
        let failed = cat(limit, "etc/kept").fails(code);
        assert!(failed.contains(said), "{limit}: {failed}");
    }
}

/// An archive in the old format of GNU: a file of 40,000 bytes, of which five stand behind the first 30,000.
fn sparse() -> Vec<u8> {
    let mut archive = archive(&[file("holes", "hello")]);
    archive[156] = b'S';
    archive[257..265].copy_from_slice(b"ustar  \0");
    for (at, value) in [(386, 30_000), (398, 5), (410, 40_000), (422, 0), (483, 40_000)] {
        archive[at..at + 12].copy_from_slice(format!("{value:011o}\0").as_bytes());
    }
    archive[148..156].copy_from_slice(b"        ");
    let sum: u32 = archive[..512].iter().map(|byte| u32::from(*byte)).sum();
    archive[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    archive
}

#[test]
fn holes_are_printed_as_zeros_and_kept_as_nothing() {
    let room = Room::new();
    room.layout("images").image("app", &of(&[sparse()]));
    let mut expected = vec![0; 40_000];
    expected[30_000..30_005].copy_from_slice(b"hello");
    let expected = String::from_utf8(expected).expect("text");
    // The second time the table is known, and the layer is read for the file alone.
    for _ in 0..2 {
        let printed = room.teu(["cat", "--limit", "content_bytes=5", "oci:images:app", "holes"]);
        assert!(printed.succeeds().stdout == expected);
    }
}
