//! Does `teu cat` print what a container would read, from no more layers than it takes?

use std::{fs, path::PathBuf};

use crate::support::{Asks, Layout, Peer, Room, Served, archive, bare, file, of, relay::Relay};
use teu_archive::tar::{EntryKind, Header, Writer};
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
        // What is only listed is found by the same layers.
        let files = |path: &str| room.teu(["files", "--tls-verify=false", image, path]);
        for (path, found) in [("etc/kept", "/etc/kept"), ("//etc/./link/", "/etc/link"), ("up", "/up")] {
            assert_eq!(files(path).succeeds().stdout, format!("{found}\n"), "{image}");
        }
        let failed = files("etc").fails(2);
        assert!(failed.contains(&Digest::of(&lower).to_string()), "{image}: {failed}");
    }
}

#[test]
fn what_the_highest_layer_makes_is_found_without_what_is_below() {
    let room = Room::new();
    let layout = room.layout("images");
    let lower = archive(&[bare(Header::directory("etc/")), file("etc/low", "low\n")]);
    let upper = archive(&[
        bare(Header::directory("opt/")),
        file("opt/hello", "hello\n"),
        file("srv/d/.wh.f", ""),
        file("srv/e/.wh..wh..opq", ""),
        file("etc/first", "first\n"),
        file("etc/last", "last\n"),
    ]);
    layout.image("app", &of(&[lower.clone(), upper]));
    std::fs::remove_file(layout.blob_path(&Digest::of(&lower))).expect("removed");
    let cat = |path: &str| room.teu(["cat", "oci:images:app", path]);
    // Its directories are its own; and whatever its last entry makes is where its name leads.
    for (path, content) in [
        ("/opt/hello", "hello\n"),
        ("/etc/last", "last\n"),
        ("etc/./last", "last\n"),
    ] {
        assert_eq!(cat(path).succeeds().stdout, content, "{path}");
    }
    for path in ["etc/first", "opt/../etc/last", "srv/d/f"] {
        let failed = cat(path).fails(2);
        assert!(failed.contains(&Digest::of(&lower).to_string()), "{path}: {failed}");
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

/// Text that compresses little: 300 KB of it.
fn text(number: u64) -> String {
    let mut state = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut text = String::new();
    while text.len() < 300_000 {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        text.push_str(&format!("{state:x} "));
    }
    text
}

/// An image whose one layer has 60 of them and a link, in some 9 MB of gzip: the layer's blob.
fn large(room: &Room) -> PathBuf {
    let mut tar = Writer::new(Vec::new());
    for number in 0..60 {
        let text = text(number);
        let header = Header::file(format!("srv/file-{number}"), text.len() as u64);
        tar.append_data(&header, text.as_bytes()).expect("written");
    }
    tar.append(&Header::symlink("srv/link", "file-30")).expect("written");
    room.file("large.tar", tar.finish().expect("whole"));
    room.teu(["new", "oci:images:app"]).succeeds();
    room.teu(["append", "oci:images:app", "large.tar"]).succeeds();
    let blobs = fs::read_dir(room.path("images/blobs/sha256")).expect("blobs");
    let blobs = blobs.map(|blob| blob.expect("a blob").path());
    let blob = blobs.max_by_key(|blob| fs::metadata(blob).expect("a blob").len());
    let blob = blob.expect("a layer");
    assert!(fs::metadata(&blob).expect("a blob").len() > 8_000_000);
    blob
}

/// The files of the cache that are not tables.
fn places(room: &Room) -> Vec<PathBuf> {
    let kept = fs::read_dir(room.home(".cache/teu/contents")).expect("a cache");
    let kept = kept.map(|kept| kept.expect("a file").path());
    kept.filter(|kept| kept.extension().is_some()).collect()
}

#[test]
fn of_a_layer_that_was_seen_what_is_asked_for_is_read_and_verified() {
    let room = Room::new();
    let blob = large(&room);
    let cat = |path: &str| room.teu(["cat", "oci:images:app", path]);
    assert!(cat("srv/file-3").succeeds().stdout == text(3));
    let [places] = &places(&room)[..] else {
        panic!("there is one layer")
    };
    for (path, number) in [("srv/file-0", 0), ("srv/link", 30), ("/srv/../srv/file-59", 59)] {
        assert!(cat(path).succeeds().stdout == text(number), "{path}");
    }
    // What is wrong with a layer is told to whoever reads there, and to nobody else.
    let right = fs::read(&blob).expect("the layer");
    let mut spoiled = right.clone();
    spoiled[right.len() / 2] ^= 1;
    fs::write(&blob, &spoiled).expect("written");
    assert!(cat("srv/file-3").succeeds().stdout == text(3));
    assert!(cat("srv/file-57").succeeds().stdout == text(57));
    for path in ["srv/file-30", "srv/link"] {
        let failed = room.teu(["cat", "oci:images:app", path]).ran();
        assert_eq!((failed.code, failed.stdout.as_str()), (1, ""), "{path}");
        assert!(failed.stderr.contains("has the digest"), "{}", failed.stderr);
    }
    // What did not lead to what was there is not believed any more.
    assert!(!places.exists());
    assert_eq!(cat("srv/file-3").ran().code, 1);
    fs::write(&blob, &right).expect("written");
    assert!(cat("srv/file-3").succeeds().stdout == text(3));
    assert!(places.exists());
    // What is extracted is read so, too.
    fs::write(&blob, &spoiled).expect("written");
    room.teu(["extract", "oci:images:app", "srv/file-3", "taken"])
        .succeeds();
    assert!(fs::read_to_string(room.path("taken")).expect("a file") == text(3));
    let failed = room.teu(["extract", "oci:images:app", "srv/link", "link"]).fails(1);
    assert!(failed.contains("has the digest"), "{failed}");
    assert!(!room.path("link").exists());
}

#[test]
fn a_cache_that_is_spoiled_gives_what_the_layer_has() {
    let room = Room::new();
    large(&room);
    let cat = || room.teu(["cat", "oci:images:app", "srv/file-30"]).succeeds().stdout;
    assert!(cat() == text(30));
    let [places] = &places(&room)[..] else {
        panic!("there is one layer")
    };
    let right = fs::read(places).expect("they are kept");
    let length = right.len();
    // The windows, which may matter to the file or not, the map, its sum, all.
    for (part, is_seen) in [
        (0..60_000, false),
        (length - 1000..length - 900, true),
        (length - 1..length, true),
        (0..length, true),
    ] {
        let mut spoiled = right.clone();
        spoiled[part.clone()].iter_mut().for_each(|byte| *byte ^= 0x55);
        fs::write(places, spoiled).expect("written");
        assert!(cat() == text(30), "{part:?}");
        assert!(
            !is_seen || fs::read(places).expect("they are kept") == right,
            "{part:?}"
        );
    }
}

#[test]
fn of_a_layer_in_a_registry_that_was_seen_little_is_sent() {
    let room = Room::new();
    let blob = large(&room);
    let size = fs::metadata(blob).expect("the layer").len();
    let server = Served::start(&room, &["--progress", "none", "--data", "depot"]);
    let relay = Relay::to(&server.address);
    let there = format!("docker://{}/app:1", relay.host);
    room.teu(["copy", "--dest-tls-verify=false", "oci:images:app", &there])
        .succeeds();
    relay.taken();
    let cat = |path: &str| {
        let printed = room.teu(["cat", "--tls-verify=false", &there, path]).succeeds().stdout;
        (printed, relay.taken())
    };
    let (printed, sent) = cat("srv/file-3");
    assert!(printed == text(3) && sent > size, "{sent} bytes were sent");
    for number in [0, 30, 59] {
        let (printed, sent) = cat(&format!("srv/file-{number}"));
        assert!(printed == text(number));
        // Two places and what lies between them, and manifests.
        assert!(
            sent < 4_500_000 && sent < size / 2,
            "{sent} of {size} bytes were sent for {number}"
        );
    }
}
