//! What is said of images that differ in a known way.

use std::sync::Arc;

use serde_json::{Value, json};
use teu_archive::{
    codec::Compression,
    tar::{EntryKind, Header, Time},
};
use teu_spec::{Descriptor, Document, ImageConfig, Manifest, MediaType};
use teu_store::Source;

mod members;

use super::*;
use crate::{
    Image, Layer,
    contents::Cache,
    glob::Pattern,
    read::Kept,
    rigged::{Rigged, insert, tar},
};

type Entries<'a> = &'a [(Header, &'a [u8])];

fn file<'a>(path: &str, content: &'a [u8]) -> (Header, &'a [u8]) {
    (Header::file(path, content.len() as u64), content)
}

fn bare(header: Header) -> (Header, &'static [u8]) {
    (header, b"")
}

fn manifest_of(raw: String) -> Manifest {
    match Document::parse(raw.into(), None).expect("a document") {
        Document::Manifest(manifest) => manifest,
        Document::Index(_) => panic!("an index"),
    }
}

/// An image of these layers, of which config and manifest say this beside.
fn image(layers: Vec<Layer>, config: &Value, manifest: &Value) -> Image {
    let with = |mut value: Value, more: &Value| {
        let fields = value.as_object_mut().expect("an object");
        fields.extend(more.as_object().cloned().unwrap_or_default());
        value.to_string()
    };
    let diff_ids: Vec<_> = layers.iter().map(|layer| layer.diff_id).collect();
    let told = json!({"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": diff_ids}});
    let config = with(told, config);
    let told = json!({
        "schemaVersion": 2,
        "mediaType": MediaType::OciManifest,
        "config": Descriptor::of(MediaType::OciConfig, config.as_bytes()),
        "layers": layers.iter().map(|layer| &layer.descriptor).collect::<Vec<_>>(),
    });
    let manifest = with(told, manifest);
    Image {
        descriptor: Descriptor::of(MediaType::OciManifest, manifest.as_bytes()),
        manifest: manifest_of(manifest),
        config: ImageConfig::parse(config.into_bytes().into()).expect("a config"),
        layers,
    }
}

fn compressed(layers: &[Entries<'_>], compression: Compression) -> (Arc<Rigged>, Side) {
    let source = Rigged::default();
    let kept = layers.iter().enumerate();
    let kept = kept.map(|(place, entries)| insert(&source.inner, place, &tar(entries), compression));
    let image = image(kept.collect(), &json!({}), &json!({}));
    let source = Arc::new(source);
    let side = Side {
        source: Arc::clone(&source) as Arc<dyn Source>,
        image,
    };
    (source, side)
}

fn side(layers: &[Entries<'_>]) -> Side {
    compressed(layers, Compression::Gzip).1
}

async fn trees(before: &Side, after: &Side) -> Trees {
    Trees::read([before, after], None, &Options::default())
        .await
        .expect("trees")
}

/// What differs, a line for each path.
async fn told(before: &[Entries<'_>], after: &[Entries<'_>]) -> Vec<String> {
    let trees = trees(&side(before), &side(after)).await;
    lines(&trees, &[], false)
}

fn lines(trees: &Trees, patterns: &[Pattern], times: bool) -> Vec<String> {
    let line = |change: Change<'_>| {
        let sign = match (change.before, change.after) {
            (None, _) => '+',
            (_, None) => '-',
            _ => '~',
        };
        let path = change.path.escape_ascii().to_string();
        let aspects = change.differs.iter().map(|aspect| match aspect {
            Aspect::Links([old, new]) => format!(" links {} {}", old.escape_ascii(), new.escape_ascii()),
            Aspect::Xattrs(names) => names.iter().map(|name| format!(" {}", name.escape_ascii())).collect(),
            aspect => format!(" {aspect:?}"),
        });
        format!("{sign}{path}{}", aspects.collect::<String>())
    };
    let changes = trees.changes(patterns, times);
    changes.map(|change| line(change.expect("a change"))).collect()
}

#[tokio::test]
async fn files_are_added_removed_and_changed() {
    let mut mode = file("mode", b"x");
    mode.0.mode = 0o4755;
    let mut owner = file("owner", b"x");
    owner.0.uid = 7;
    let device = |minor| {
        let mut header = Header::new(EntryKind::CharDevice, "device");
        (header.device_major, header.device_minor) = (1, minor);
        bare(header)
    };
    let before: Entries<'_> = &[
        file("gone", b"x"),
        file("content", b"old"),
        file("longer", b"old"),
        file("same", b"same"),
        file("mode", b"x"),
        file("owner", b"x"),
        bare(Header::symlink("link", "a")),
        bare(Header::symlink("kept", "a")),
        device(3),
        (Header::file(b"n\xff".to_vec(), 1), b"1"),
        bare(Header::new(EntryKind::Fifo, "pipe")),
    ];
    let mut kept = Header::symlink("kept", "a");
    kept.mode = 0o600;
    let after: Entries<'_> = &[
        file("new/file", b"x"),
        file("content", b"new"),
        file("longer", b"longer"),
        file("same", b"same"),
        mode,
        owner,
        bare(Header::symlink("link", "b")),
        // The mode of a link means nothing.
        bare(kept),
        device(5),
        (Header::file(b"n\xff".to_vec(), 1), b"2"),
        file("pipe", b""),
    ];
    assert_eq!(
        told(&[before], &[after]).await,
        [
            "~content Content",
            "~device Device",
            "-gone",
            "~link Target",
            "~longer Content",
            "~mode Mode",
            "+new",
            "+new/file",
            "~n\\xff Content",
            "~owner Owner",
            "~pipe Kind",
        ]
    );
    assert_eq!(told(&[before], &[before]).await, [""; 0]);
}

#[tokio::test]
async fn a_file_that_becomes_a_directory_is_one_change_and_what_is_in_it_another() {
    let before: Entries<'_> = &[
        file("a", b""),
        file("a-b", b""),
        file("a.d", b""),
        file("d/in/deep", b""),
        file("d/x", b""),
    ];
    let mut made = Header::directory("a");
    made.mode = 0o644;
    let after: Entries<'_> = &[
        bare(made),
        file("a/in", b""),
        file("a-b", b"1"),
        bare(Header::symlink("d", "a")),
    ];
    // A slash comes before each byte of a name, as in a walk.
    let expected = [
        "~a Kind",
        "+a/in",
        "~a-b Content",
        "-a.d",
        "~d Kind",
        "-d/in",
        "-d/in/deep",
        "-d/x",
    ];
    assert_eq!(told(&[before], &[after]).await, expected);
    let back = [
        "~a Kind",
        "-a/in",
        "~a-b Content",
        "+a.d",
        "~d Kind",
        "+d/in",
        "+d/in/deep",
        "+d/x",
    ];
    assert_eq!(told(&[after], &[before]).await, back);
}

#[tokio::test]
async fn what_has_no_digest_is_the_same_only_as_the_same_entry() {
    let source = Rigged::default();
    let layers: [Entries<'_>; 3] = [
        &[file("a", b"1"), file("b", b"1"), file("c", b"")],
        &[file("b", b"1"), file("c", b"")],
        &[file("d", b"")],
    ];
    let kept = layers.iter().enumerate();
    let kept = kept.map(|(place, entries)| insert(&source.inner, place, &tar(entries), Compression::Gzip));
    let kept: Vec<Layer> = kept.collect();
    let options = crate::contents::Options::default();
    let tables = crate::contents::of_all(&source.shared(), &kept, None, &options).await;
    let tables = tables.expect("tables");
    let pair = |after: &[usize]| {
        [
            vec![tables[0].clone()],
            after.iter().map(|place| tables[*place].clone()).collect(),
        ]
    };
    let told = |after: &[usize]| {
        let trees = Trees::of(&pair(after), &crate::tree::Options::default()).expect("trees");
        lines(&trees, &[], false)
    };
    assert_eq!(told(&[0, 1]), ["~b ContentUnknown"]);
    // The same archive, whatever is above or below it.
    assert_eq!(told(&[2, 0]), ["+d"]);
}

#[tokio::test]
async fn whiteouts_count_for_what_they_leave_and_not_for_how() {
    let base: Entries<'_> = &[
        bare(Header::directory("etc")),
        file("etc/a", b"a"),
        file("etc/b", b"b"),
        file("opt/a", b"a"),
        file("opt/b", b"b"),
    ];
    let whiteouts: Entries<'_> = &[
        file("etc/.wh.a", b""),
        file("opt/.wh..wh..opq", b""),
        file("opt/b", b"b"),
    ];
    let others: Entries<'_> = &[
        file("opt/.wh.a", b""),
        file("etc/.wh..wh..opq", b""),
        file("etc/b", b"b"),
    ];
    let flat: Entries<'_> = &[bare(Header::directory("etc")), file("etc/b", b"b"), file("opt/b", b"b")];
    assert_eq!(told(&[base], &[base, whiteouts]).await, ["-etc/a", "-opt/a"]);
    for after in [&[base, others][..], &[flat], &[flat, flat]] {
        assert_eq!(told(&[base, whiteouts], after).await, [""; 0]);
    }
    // An opaque whiteout leaves the directory that it empties.
    let emptied: Entries<'_> = &[file("opt/.wh..wh..opq", b"")];
    assert_eq!(told(&[base], &[base, emptied]).await, ["-opt/a", "-opt/b"]);
}

#[tokio::test]
async fn hard_links_are_compared_by_which_names_are_one_file() {
    let pair = [file("a", b"x"), bare(Header::hard_link("b", "a"))];
    let copies = [file("a", b"x"), file("b", b"x")];
    let turned = [file("b", b"x"), bare(Header::hard_link("a", "b"))];
    assert_eq!(told(&[&pair], &[&copies]).await, ["~b links a b"]);
    assert_eq!(told(&[&copies], &[&pair]).await, ["~b links b a"]);
    // Which of them is the first in the archive makes no other tree.
    assert_eq!(told(&[&pair], &[&turned]).await, [""; 0]);
    // A name more, or less, is told of once.
    let more = [&pair[..], &[bare(Header::hard_link("c", "a"))]].concat();
    assert_eq!(told(&[&pair], &[&more]).await, ["+c"]);
    let upper: Entries<'_> = &[file(".wh.a", b"")];
    assert_eq!(told(&[&pair], &[&pair, upper]).await, ["-a"]);
    // As many names, of other files.
    let names = |left: &str, right: &str| {
        let other = |name: &str| {
            if name == left {
                right.to_owned()
            } else {
                left.to_owned()
            }
        };
        let mut names = vec![file("1", b"x"), file("2", b"x")];
        names.push(bare(Header::hard_link("3", left)));
        names.push(bare(Header::hard_link("4", other(left))));
        names
    };
    assert_eq!(
        told(&[&names("1", "2")], &[&names("2", "1")]).await,
        ["~3 links 1 2", "~4 links 2 1"]
    );
    // A copy in a layer above breaks the link.
    let copied: Entries<'_> = &[file("b", b"x")];
    assert_eq!(told(&[&pair], &[&pair, copied]).await, ["~b links a b"]);
}

#[tokio::test]
async fn attributes_and_owners_of_what_nobody_describes_are_told() {
    let with = |xattrs: &[(&str, &[u8])]| {
        let mut header = Header::file("bin/ping", 1);
        let pairs = xattrs
            .iter()
            .map(|(name, value)| (name.as_bytes().to_vec(), value.to_vec()));
        header.xattrs = pairs.collect();
        (header, &b"x"[..])
    };
    let before = [with(&[
        ("security.capability", b"\x01\0"),
        ("user.a", b"1"),
        ("user.same", b""),
    ])];
    let mut directory = Header::directory("bin");
    (directory.mode, directory.uid) = (0o700, 5);
    let after = [
        bare(directory),
        with(&[("security.capability", b"\x02\0"), ("user.b", b"1"), ("user.same", b"")]),
    ];
    assert_eq!(
        told(&[&before], &[&after]).await,
        ["~bin Mode Owner", "~bin/ping security.capability user.a user.b"]
    );
}

#[tokio::test]
async fn times_count_only_where_they_are_asked_for() {
    let at = |seconds| {
        let mut file = file("a", b"x");
        file.0.mtime = Time {
            seconds,
            nanoseconds: 0,
        };
        [file]
    };
    let trees = trees(&side(&[&at(1)]), &side(&[&at(2)])).await;
    assert_eq!(lines(&trees, &[], false), [""; 0]);
    assert_eq!(lines(&trees, &[], true), ["~a Time"]);
    let made = |when: &str| {
        let config = json!({
            "created": when,
            "history": [{"created": when, "created_by": "x"}, {"created": when, "created_by": when}],
        });
        image(Vec::new(), &config, &json!({}))
    };
    let (old, new) = (made("2026-01-01T00:00:00Z"), made("2026-01-02T00:00:00Z"));
    let paths = |times| -> Vec<String> { config(&old, &new, times).into_iter().map(|field| field.path).collect() };
    assert_eq!(paths(false), ["history[1].created_by"]);
    assert_eq!(
        paths(true),
        [
            "created",
            "history[0].created",
            "history[1].created",
            "history[1].created_by"
        ]
    );
}

#[tokio::test]
async fn a_pattern_narrows_and_says_whether_it_meant_anything() {
    let before: Entries<'_> = &[
        file("etc/a", b"1"),
        file("usr/a", b"1"),
        bare(Header::hard_link("z", "usr/a")),
    ];
    let after: Entries<'_> = &[
        file("etc/a", b"2"),
        file("usr/a", b"1"),
        file("usr/b", b""),
        file("z", b"1"),
    ];
    let patterns = |globs: &[&str]| -> Vec<Pattern> {
        globs
            .iter()
            .map(|glob| Pattern::new(glob).expect("a pattern"))
            .collect()
    };
    let (before, after) = (side(&[before]), side(&[after]));
    let trees_of = trees(&before, &after).await;
    assert_eq!(lines(&trees_of, &patterns(&["usr"]), false), ["+usr/b"]);
    // What is not wanted counts for what is.
    assert_eq!(
        lines(&trees_of, &patterns(&["z", "etc"]), false),
        ["~etc/a Content", "~z links usr/a z"]
    );
    // The same image has nothing that differs, and paths all the same.
    let same = trees(&before, &before).await;
    for trees in [&trees_of, &same] {
        let patterns = patterns(&["usr/a", "nothing", "**/b"]);
        let mut changes = trees.changes(&patterns, false);
        changes.by_ref().for_each(drop);
        let unmet: Vec<&[u8]> = changes.unmet().map(Pattern::as_bytes).collect();
        let expected = if std::ptr::eq(trees, &same) {
            vec![&b"nothing"[..], b"**/b"]
        } else {
            vec![&b"nothing"[..]]
        };
        assert_eq!(unmet, expected);
    }
}

#[tokio::test]
async fn a_layer_that_both_have_is_read_once_and_none_that_was_seen() {
    let base: Entries<'_> = &[file("a", b"a"), file("b", b"b")];
    let (first, before) = compressed(&[base, &[file("c", b"c")]], Compression::Gzip);
    let (second, after) = compressed(&[base, &[file("c", b"C")], base], Compression::Gzip);
    let home = tempfile::tempdir().expect("a directory");
    let cache = Cache::new(home.path().join("contents"));
    let options = Options::default();
    for _ in 0..2 {
        let trees = Trees::read([&before, &after], Some(&cache), &options);
        let trees = trees.await.expect("trees");
        assert_eq!(lines(&trees, &[], false), ["~c Content"]);
        assert_eq!(first.fetched.lock().expect("a list").len(), 2);
        // The layer that is its own; the others are those of the first.
        let fetched = second.fetched.lock().expect("a list");
        assert_eq!(*fetched, [after.image.layers[1].descriptor.digest]);
    }
}

#[tokio::test]
async fn layers_are_matched_by_what_is_in_them() {
    let [a, b, c, d]: [Entries<'_>; 4] = [
        &[file("a", b"")],
        &[file("b", b"")],
        &[file("c", b"")],
        &[file("d", b"")],
    ];
    let (_, before) = compressed(&[a, b, c], Compression::Gzip);
    let (_, mut after) = compressed(&[a, d, c], Compression::Gzip);
    let (_, otherwise) = compressed(&[a, b, c], Compression::Zstd);
    let told = |after: &Side| -> Vec<(Option<usize>, Option<usize>, bool)> {
        let position = |layer: Option<&Layer>| layer.map(|layer| layer.position);
        let pairs = layers(&before.image, &after.image);
        pairs
            .iter()
            .map(|pair| (position(pair.before), position(pair.after), pair.is_same()))
            .collect()
    };
    let expected = [
        (Some(0), Some(0), true),
        (Some(1), None, false),
        (None, Some(1), false),
        (Some(2), Some(2), true),
    ];
    assert_eq!(told(&after), expected);
    let same = [
        (Some(0), Some(0), false),
        (Some(1), Some(1), false),
        (Some(2), Some(2), false),
    ];
    assert_eq!(told(&otherwise), same);
    let trees = trees(&before, &otherwise).await;
    assert!(trees.is_one());
    after.image.layers.clear();
    assert_eq!(told(&after), [0, 1, 2].map(|place| (Some(place), None, false)));
}

#[test]
fn documents_differ_where_nothing_else_tells_it() {
    let layer = |name: &str| {
        let source = Rigged::default();
        insert(&source.inner, 0, &tar(&[file(name, b"")]), Compression::None)
    };
    let before = image(
        vec![layer("a")],
        &json!({"config": {"User": "1"}}),
        &json!({"annotations": {"a": "1"}}),
    );
    let mut after = image(
        vec![layer("b")],
        &json!({"config": {"User": "2"}, "unknown": 1}),
        &json!({"annotations": {"a": "2"}, "of.others": true}),
    );
    let paths = |fields: Vec<Field>| -> Vec<String> { fields.into_iter().map(|field| field.path).collect() };
    assert_eq!(paths(config(&before, &after, false)), ["config.User", "unknown"]);
    assert_eq!(paths(manifest(&before, &after)), ["annotations.a", "of.others"]);
    // OCI's may leave out what it is, and Docker's is another thing.
    let raw = String::from_utf8(before.manifest.raw().to_vec()).expect("text");
    let said = format!("\"mediaType\":\"{}\",", MediaType::OciManifest);
    after.manifest = manifest_of(raw.replacen(&said, "", 1));
    assert_eq!(manifest(&before, &after), []);
    after.manifest = manifest_of(raw.replacen(MediaType::OciManifest.as_str(), MediaType::DockerManifest.as_str(), 1));
    assert_eq!(paths(manifest(&before, &after)), ["mediaType"]);
}

/// What is shown of these two images, by path.
async fn shown(before: &Side, after: &Side, limits: &TextLimits) -> Vec<(String, Text)> {
    let trees = trees(before, after).await;
    let mut pending = Pending::new(limits);
    for change in trees.changes(&[], false) {
        pending.add(&change.expect("a change")).expect("added");
    }
    let kept = Kept::new(tempfile::tempfile().expect("a file"), u64::MAX);
    let options = crate::contents::Options::default();
    let texts = texts([before, after], pending, kept, &options).await.expect("texts");
    let (mut show, mut limits) = (texts.show(), texts.show());
    let mut shown = Vec::new();
    for change in trees.changes(&[], false) {
        let change = change.expect("a change");
        let text = show.text(&change).expect("a text");
        let past = limits.past(&change).expect("a limit");
        match (&text, past) {
            (Some(Text::Past(limit, value)), Some(past)) => assert_eq!((*limit, *value), past),
            (_, past) => assert_eq!(past, None),
        }
        let path = String::from_utf8(change.path).expect("text");
        shown.extend(text.map(|text| (path, text)));
    }
    shown
}

fn unified_text(text: &str) -> Text {
    Text::Unified(text.as_bytes().to_vec())
}

fn expected<const N: usize>(texts: [(&str, Text); N]) -> Vec<(String, Text)> {
    texts.map(|(path, text)| (path.to_owned(), text)).into()
}

#[tokio::test]
async fn texts_are_shown_within_their_limits() {
    let large = vec![b'x'; 100];
    let base: Entries<'_> = &[file("moved", b"1\n2\n"), file("other", b"kept\n")];
    let before: Entries<'_> = &[
        file("binary", b"\0"),
        file("large", b"x"),
        file("text", b"a\nb\n"),
        file("zone", b"x\n"),
        file("moved", b"0\n"),
    ];
    let after: Entries<'_> = &[
        file("binary", b"\0\n"),
        file("large", &large),
        file("text", b"a\nc\n"),
        file("zone", &[b'y'; 60]),
        file("new", b"whole"),
    ];
    let (first, before) = compressed(&[base, before], Compression::Gzip);
    let (second, after) = compressed(&[base, after], Compression::Gzip);
    // The trees take each layer once; the texts do so again, those that both have from one of them.
    let limits = TextLimits {
        text_file_bytes: 99,
        text_bytes: 70,
        text_files: 3,
    };
    let found = shown(&before, &after, &limits).await;
    let new = unified_text("@@ -0,0 +1 @@\n+whole\n\\ No newline at end of file\n");
    let all = expected([
        ("binary", Text::Binary),
        ("large", Text::Past("text_file_bytes", 99)),
        ("moved", unified_text("@@ -1 +1,2 @@\n-0\n+1\n+2\n")),
        ("new", new.clone()),
        ("text", unified_text("@@ -1,2 +1,2 @@\n a\n-b\n+c\n")),
        ("zone", Text::Past("text_bytes", 70)),
    ]);
    assert_eq!(found, all);
    let fetched = [&first, &second].map(|source| source.fetched.lock().expect("a list").len());
    assert_eq!(fetched[0] + fetched[1], 3 + 3);
    let limits = TextLimits {
        text_files: 1,
        ..limits
    };
    let all = expected([
        ("binary", Text::Binary),
        ("large", Text::Past("text_file_bytes", 99)),
        ("moved", Text::Past("text_files", 1)),
        ("new", new),
        ("text", Text::Past("text_files", 1)),
        ("zone", Text::Past("text_files", 1)),
    ]);
    assert_eq!(shown(&before, &after, &limits).await, all);
}

#[tokio::test]
async fn what_one_image_has_is_shown_beside_nothing() {
    let before: Entries<'_> = &[
        file("becomes", b"a file\n"),
        file("gone", b"1\n2\n"),
        bare(Header::hard_link("gone-too", "gone")),
        file("gone.empty", b""),
        bare(Header::symlink("gone.link", "gone")),
    ];
    let after: Entries<'_> = &[
        bare(Header::directory("becomes")),
        file("becomes/in", b"in\n"),
        file("bin", b"\0"),
        file("empty", b""),
        bare(Header::new(EntryKind::Fifo, "pipe")),
    ];
    let gone = unified_text("@@ -1,2 +0,0 @@\n-1\n-2\n");
    let all = expected([
        // What becomes something else has no text in common with it.
        ("becomes/in", unified_text("@@ -0,0 +1 @@\n+in\n")),
        ("bin", Text::Binary),
        ("gone", gone.clone()),
        ("gone-too", gone),
    ]);
    assert_eq!(
        shown(&side(&[before]), &side(&[after]), &TextLimits::default()).await,
        all
    );
}
