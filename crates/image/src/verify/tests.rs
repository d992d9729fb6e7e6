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
    let unpadded = self::report(&[whole.slice(..2 * 512 + 88)]).await;
    assert!(unpadded.checked.is_good());
    assert_eq!(unpadded.notes[0].kind, NoteKind::NoPadding);
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

/// What is found of layers upon one another, without the digest of the layer.
async fn found_together(layers: &[Bytes]) -> Vec<(Severity, Kind, String)> {
    let digests: Vec<Digest> = layers.iter().map(|layer| Digest::of(layer)).collect();
    let place = |mut message: String| {
        for (place, digest) in digests.iter().enumerate() {
            message = message.replace(&digest.to_string(), &place.to_string());
        }
        message
    };
    let found = found(layers).await.into_iter();
    found
        .map(|(severity, kind, message)| (severity, kind, place(message)))
        .collect()
}

#[tokio::test]
async fn what_layers_refuse_one_upon_the_other_is_found_once() {
    let below = tar(&[Header::file("a", 0), Header::file("d/a", 0), Header::symlink("l", "a")]);
    for (what, entry) in [
        (
            vec![Header::hard_link("h", "gone")],
            "\"h\" of layer 1: it is a hard link, and nothing is where it leads to",
        ),
        (
            vec![
                Header::file(".wh.a", 0),
                Header::hard_link("h", "a"),
                Header::hard_link("i", "a"),
            ],
            "\"h\" of layer 1: it is a hard link, and nothing is where it leads to",
        ),
        (
            vec![Header::hard_link("a", "./a")],
            "\"a\" of layer 1: it is a hard link to itself",
        ),
        (
            vec![Header::hard_link("h", "d")],
            "\"h\" of layer 1: it is a hard link to a directory",
        ),
        (
            vec![Header::file("a/b", 0)],
            "\"a/b\" of layer 1: \"a\" is a file, and no directory",
        ),
        (
            vec![Header::file("l/b", 0)],
            "\"l/b\" of layer 1: \"a\" is a file, and no directory",
        ),
    ] {
        let found = found_together(&[below.clone(), tar(&what)]).await;
        assert_eq!(
            found,
            [(Severity::Wrong, Kind::Entry, format!("entry {entry}"))],
            "{what:?}"
        );
    }
    let circle = [
        Header::symlink("x", "y"),
        Header::symlink("y", "x"),
        Header::file("x/f", 0),
    ];
    let found = found_together(&[tar(&circle)]).await;
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].2.starts_with("entry \"x/f\" of layer 0: "), "{}", found[0].2);
}

#[tokio::test]
async fn what_is_above_a_layer_that_is_not_here_or_refused_is_judged_for_itself() {
    let refused = tar(&[Header::file(".wh.", 0)]);
    let above = tar(&[Header::hard_link("h", "gone")]);
    let found = found(&[refused, above]).await;
    let messages: Vec<&str> = found.iter().map(|found| found.2.as_str()).collect();
    assert_eq!(
        messages,
        ["entry \".wh.\": it is a whiteout of nothing that has a name"]
    );
}

#[tokio::test]
async fn all_layers_together_keep_to_the_budget_of_unpacking() {
    let layers = [
        tar(&[Header::file("a", 600)]),
        tar(&[Header::file("b", 500), Header::file(".wh.a", 0)]),
    ];
    for (entries, bytes, message) in [
        (3, 1100, None),
        (
            2,
            1100,
            Some("its layers have more entries (the limit entries is 2; raise it only for an image that you trust)"),
        ),
        (
            3,
            1099,
            Some(
                "its layers have more bytes of content (the limit bytes is 1099; raise it only for an image that you trust)",
            ),
        ),
    ] {
        let store = Memory::new();
        let root = put(&store, &layers).await;
        let mut options = Options::default();
        (options.budget.entries, options.budget.bytes) = (entries, bytes);
        let report = verify(Arc::new(store), &root, &options).await.expect("a report");
        let messages: Vec<&str> = report
            .checked
            .findings
            .iter()
            .map(|found| found.message.as_str())
            .collect();
        assert_eq!(messages, message.as_slice());
    }
}

/// What unpacking has no limit of is not held against the image, and all else is checked.
#[tokio::test]
async fn a_limit_of_the_verifier_leaves_unknown_what_is_past_it() {
    type Set = fn(&mut Options);
    let layers = [
        tar(&[Header::directory("d/e"), Header::symlink("l", "d/e")]),
        tar(&[Header::directory("l/fg")]),
    ];
    let one_refused = [layers[1].clone(), tar(&[Header::file(".wh.", 0)])];
    let table = "its entries were not held against those of other layers: its table has more bytes than the limit contents_bytes of 1; \
                 raise it only for an image that you trust";
    let (unknown, wrong) = ((Severity::Unknown, Kind::Limit), (Severity::Wrong, Kind::Entry));
    let together =
        |why: String| format!("its layers were not held against one another to their end: \"d/e\" of layer {why}");
    let [small, deep, far, short]: [Set; 4] = [
        |options| options.tree.tree_bytes = 1,
        |options| options.tree.depth = 1,
        |options| options.tree.path_bytes = 5,
        |options| options.contents_bytes = 1,
    ];
    let trust = "raise it only for an image that you trust)";
    for (set, layers, expected) in [
        (
            small,
            &layers[..],
            vec![(
                unknown,
                together(format!(
                    "0: the tree of the image takes more memory (the limit tree_bytes is 1; {trust}"
                )),
            )],
        ),
        (
            deep,
            &layers[..],
            vec![(
                unknown,
                together(format!(
                    "0: directories lie deeper in one another (the limit depth is 1; {trust}"
                )),
            )],
        ),
        // The kernel says the same to who unpacks.
        (
            far,
            &layers[..],
            vec![(
                wrong,
                format!(
                    "entry \"l/fg\" of layer 1: a directory lies deeper than a path can say (the limit path_bytes is 5; {trust}"
                ),
            )],
        ),
        (
            short,
            &layers[..],
            vec![(unknown, table.to_owned()), (unknown, table.to_owned())],
        ),
        (
            short,
            &one_refused[..],
            vec![
                (
                    wrong,
                    "entry \".wh.\": it is a whiteout of nothing that has a name".to_owned(),
                ),
                (unknown, table.to_owned()),
            ],
        ),
    ] {
        let store = Memory::new();
        let root = put(&store, layers).await;
        let mut options = Options::default();
        set(&mut options);
        let report = verify(Arc::new(store), &root, &options).await.expect("a report");
        let place = |mut message: String| {
            for (place, layer) in layers.iter().enumerate() {
                message = message.replace(&Digest::of(layer).to_string(), &place.to_string());
            }
            message
        };
        let findings = report.checked.findings.iter();
        let found: Vec<_> = findings
            .map(|found| ((found.severity, found.kind), place(found.message.clone())))
            .collect();
        assert_eq!(found, expected);
        assert_eq!(report.checked.worst(), expected.first().map(|((_, kind), _)| *kind));
        assert!(!report.checked.is_good());
        assert_eq!(report.checked.layers, 2);
        assert_eq!(report.checked.images[0].layers.len(), 2);
    }
}

/// Tables that have no room in memory are the same in files, and what is below many layers is found.
#[tokio::test]
async fn tables_lie_in_files_where_they_are_large() {
    // Of the first ten the last have no room in memory, and one has too much by itself.
    let links = |layer: usize, count: usize| -> Vec<Header> {
        let text = "t".repeat(4000);
        (0..count)
            .map(|n| Header::symlink(format!("{layer}/{n}"), text.as_str()))
            .collect()
    };
    let mut layers: Vec<Bytes> = (0..10).map(|layer| tar(&links(layer, 450))).collect();
    layers.push(tar(&links(10, 600)));
    layers.push(tar(&[
        Header::hard_link("h", "9/449"),
        Header::hard_link("i", "10/599"),
        Header::hard_link("j", "0/450"),
    ]));
    let directory = tempfile::tempdir().expect("a directory");
    let store = Memory::new();
    let root = put(&store, &layers).await;
    let options = Options {
        temporary: Some(directory.path().to_owned()),
        ..Options::default()
    };
    let report = verify(Arc::new(store), &root, &options).await.expect("a report");
    assert_eq!(report.entries, 5_103);
    let digest = Digest::of(&layers[11]);
    let messages: Vec<&str> = report
        .checked
        .findings
        .iter()
        .map(|found| found.message.as_str())
        .collect();
    assert_eq!(
        messages,
        [format!(
            "entry \"j\" of layer {digest}: it is a hard link, and nothing is where it leads to"
        )]
    );
    assert_eq!(std::fs::read_dir(directory.path()).expect("there").count(), 0);
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
