//! What is said of honest layers and of others.

use bytes::Bytes;
use teu_archive::tar::{Header, Writer};
use teu_spec::{Digest, Format, Manifest, MediaType};
use teu_store::{Memory, Target as _};

use super::*;

/// A tar of these entries, files filled with zeros.
fn tar(headers: &[Header]) -> Bytes {
    let mut writer = Writer::new(Vec::new());
    for header in headers {
        let content = vec![0; usize::try_from(header.size).expect("small")];
        writer.append_data(header, &content).expect("written");
    }
    writer.finish().expect("whole").into()
}

async fn put(store: &Memory, layers: &[Bytes]) -> Descriptor {
    let diff_ids: Vec<String> = layers
        .iter()
        .map(|layer| format!("\"{}\"", Digest::of(layer)))
        .collect();
    let config = Bytes::from(format!(
        r#"{{"architecture":"amd64","os":"linux","rootfs":{{"type":"layers","diff_ids":[{}]}}}}"#,
        diff_ids.join(",")
    ));
    let described: Vec<Descriptor> = layers
        .iter()
        .map(|layer| Descriptor::of(MediaType::OciLayer, layer))
        .collect();
    for blob in layers.iter().chain([&config]) {
        store.insert_blob(blob.clone());
    }
    let config = Descriptor::of(MediaType::OciConfig, &config);
    let manifest = Manifest::build(Format::Oci, &config, &described).expect("a manifest");
    let digest = Digest::of(manifest.raw());
    let put = store.put_manifest(&manifest, &digest, &[], Default::default());
    put.await.expect("put")
}

async fn report(layers: &[Bytes]) -> Report {
    let store = Memory::new();
    let root = put(&store, layers).await;
    verify(Arc::new(store), &root, &Options::default())
        .await
        .expect("a report")
}

/// What is found in an image of these layers, without the digests of the layers.
async fn found(layers: &[Bytes]) -> Vec<(Severity, Kind, String)> {
    let report = report(layers).await;
    let findings = report.checked.findings.into_iter();
    findings
        .map(|finding| (finding.severity, finding.kind, finding.message))
        .collect()
}

fn mode(mut header: Header, mode: u32) -> Header {
    header.mode = mode;
    header
}

fn attribute(mut header: Header, name: &[u8]) -> Header {
    header.xattrs.insert(name.to_vec(), b"x".to_vec());
    header
}

fn valued(mut header: Header, value: Vec<u8>) -> Header {
    header.xattrs.insert(b"user.x".to_vec(), value);
    header
}

#[tokio::test]
async fn an_honest_image_is_good_and_its_entries_are_counted() {
    let lower = tar(&[
        Header::directory("usr/"),
        Header::directory("usr/bin/"),
        Header::file("usr/bin/true", 10),
        Header::hard_link("usr/bin/false", "usr/bin/true"),
        Header::symlink("bin", "usr/bin"),
        Header::symlink("usr/absolute", "/etc"),
    ]);
    let upper = tar(&[
        Header::file("usr/.wh.absolute", 0),
        Header::file(".wh..wh..opq", 0),
        Header::file("usr/bin/new", 0),
    ]);
    let report = report(&[lower, upper]).await;
    assert_eq!(report.checked.findings, []);
    assert_eq!(report.notes, []);
    assert_eq!(report.entries, 9);
    assert_eq!(report.checked.images[0].layers.len(), 2);
}

#[tokio::test]
async fn what_is_legal_and_worth_knowing_is_noted_and_leaves_the_image_good() {
    let mut device = Header::new(teu_archive::tar::EntryKind::CharDevice, "dev/null");
    (device.device_major, device.device_minor) = (1, 3);
    let layer = tar(&[
        mode(Header::file("bin/su", 0), 0o4755),
        mode(Header::file("bin/wall", 0), 0o2755),
        mode(Header::directory("var/mail"), 0o2755),
        device,
        Header::file("/etc/passwd", 0),
        Header::file("a/../../b", 0),
        Header::symlink("c", "../../etc"),
        Header::file("c/x", 0),
        Header::file("bin/su", 0),
        Header::directory("bin"),
        Header::directory("bin/"),
        attribute(Header::file("d", 0), b"security.selinux"),
        attribute(Header::file("e", 0), b"security.capability"),
        Header::file("red\x1b[31m", 0),
        Header::file(&b"latin\xe9"[..], 0),
        Header::file(".wh..wh.plnk", 0),
    ]);
    let report = report(std::slice::from_ref(&layer)).await;
    assert!(report.checked.is_good(), "{:?}", report.checked.findings);
    let digest = Digest::of(&layer);
    let note = |kind, examples: &[&[u8]]| Note {
        layer: digest,
        kind,
        count: examples.len() as u64,
        examples: examples.iter().map(|example| example.to_vec()).collect(),
    };
    let expected = [
        note(NoteKind::SetId, &[b"bin/su", b"bin/wall"]),
        note(NoteKind::Device, &[b"dev/null"]),
        note(NoteKind::AbsoluteName, &[b"/etc/passwd"]),
        note(NoteKind::NameUp, &[b"a/../../b"]),
        note(NoteKind::LinkOut, &[b"c"]),
        note(NoteKind::ThroughLink, &[b"c/x"]),
        note(NoteKind::Repeated, &[b"bin/su"]),
        note(NoteKind::Attribute, &[b"d"]),
        note(NoteKind::OddName, &[b"red\x1b[31m", b"latin\xe9"]),
        note(NoteKind::Foreign, &[b".wh..wh.plnk"]),
    ];
    assert_eq!(report.notes, expected);
    assert_eq!(report.entries, 16);
}

#[tokio::test]
async fn a_layer_without_its_end_or_with_half_an_entry_is_told_apart() {
    let whole = tar(&[Header::file("a", 600)]);
    let report = report(&[whole.slice(..3 * 512)]).await;
    assert!(report.checked.is_good());
    assert_eq!(report.notes[0].kind, NoteKind::NoEnd);
    let cut = found(&[whole.slice(..2 * 512)]).await;
    assert_eq!(cut.len(), 1, "{cut:?}");
    let message = "its archive cannot be read: tar entry \"a\" at byte 1024: the stream ends inside the content of an entry, \
                   of which 88 bytes are missing";
    assert_eq!(cut[0], (Severity::Wrong, Kind::Layer, message.to_owned()));
}

#[tokio::test]
async fn an_enemy_cannot_fill_the_report() {
    let names: Vec<Header> = (0..1000).map(|n| Header::file(format!("{n}/.wh."), 0)).collect();
    let found = found(&[tar(&names)]).await;
    assert_eq!(found.len(), 21);
    let messages: Vec<&str> = found.iter().map(|found| found.2.as_str()).collect();
    assert_eq!(
        messages[0],
        "entry \"0/.wh.\": it is a whiteout of nothing that has a name"
    );
    assert_eq!(messages[20], "980 more of its entries would be refused");
}

#[tokio::test]
async fn what_unpacking_refuses_is_found() {
    let long = "n".repeat(300);
    for (header, why) in [
        (
            Header::file("d/.wh...", 0),
            "\"d/.wh...\": it is a whiteout of nothing that has a name",
        ),
        (
            Header::file(".", 0),
            "\".\": it is the root, which can be a directory alone",
        ),
        (
            Header::symlink("..", "a"),
            "\"..\": it is the root, which can be a directory alone",
        ),
        (Header::hard_link("a", "./a"), "\"a\": it is a hard link to itself"),
        (Header::hard_link("a", "d/."), "\"a\": it is a hard link to a directory"),
        (
            Header::hard_link("a", ".."),
            "\"a\": refused: a hard link to a directory",
        ),
        (
            Header::file(long.as_str(), 0),
            "(the limit name_bytes is 255; raise it only for a tree that you trust)",
        ),
        (
            valued(Header::file("a", 0), vec![0; (64 << 10) + 1]),
            "\"a\": refused: the extended attribute \"user.x\" has 65537 bytes; 65536 are possible",
        ),
    ] {
        let shown = String::from_utf8_lossy(&header.path).into_owned();
        let found = found(&[tar(&[Header::directory("d"), header])]).await;
        assert_eq!(found.len(), 1, "{shown}: {found:?}");
        assert_eq!((found[0].0, found[0].1), (Severity::Wrong, Kind::Entry), "{shown}");
        assert!(found[0].2.contains(why), "{shown}: {}", found[0].2);
    }
}

/// Each of these is unpacked, on a layer below in which `way` leads to `there`, and `there/d` and `a` are files.
#[tokio::test]
async fn what_may_be_elsewhere_is_not_called_a_directory_or_itself() {
    let below = tar(&[
        Header::symlink("way", "there"),
        Header::symlink("deep", "x/y"),
        Header::file("there/d", 0),
        Header::file("a", 0),
        Header::directory("x/y"),
        Header::file("x/a", 0),
    ]);
    for (what, entries) in [
        (
            "another way to the name",
            vec![
                Header::directory("d/e"),
                Header::symlink("l", "d"),
                Header::file("l/e", 0),
                Header::hard_link("h", "d/e"),
            ],
        ),
        (
            "another way that a layer below has",
            vec![
                Header::directory("there/e"),
                Header::file("way/e", 0),
                Header::hard_link("h", "there/e"),
            ],
        ),
        (
            "a directory that became a link",
            vec![
                Header::directory("w/d"),
                Header::symlink("w", "there"),
                Header::hard_link("h", "w/d"),
            ],
        ),
        (
            "a link on the way that leads elsewhere",
            vec![
                Header::directory("way/e"),
                Header::symlink("there", "x"),
                Header::file("x/e", 0),
                Header::hard_link("h", "way/e"),
            ],
        ),
        (
            "up from where a link leads",
            vec![
                Header::directory("deep/../b"),
                Header::file("b", 0),
                Header::hard_link("h", "b"),
            ],
        ),
        (
            "itself, up from where a link leads",
            vec![Header::hard_link("a", "deep/../a")],
        ),
    ] {
        let layers = [below.clone(), tar(&entries)];
        let root = tempfile::tempdir().expect("a directory");
        let root = teu_rootfs::Root::open(root.path()).expect("it is there");
        let mut writer = teu_rootfs::Writer::new(&root, teu_rootfs::Options::default()).expect("a writer");
        for layer in &layers {
            crate::unpack::apply(&mut writer, &layer[..], &crate::unpack::Options::default()).expect(what);
            writer.next_layer();
        }
        assert_eq!(found(&layers).await, [], "{what}");
    }
}
