//! Does `teu cat` print what a container would read, from no more layers than it takes?

mod support;

use support::{Asks, Layout, Peer, Room, archive, bare, file, of};
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
