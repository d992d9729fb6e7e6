//! Layers that go, and layers without some of their files or with other times.

use teu_archive::{
    codec::{Decoder, Limits},
    tar::{EntryKind, Reader},
};
use teu_store::Role;

use super::*;

/// The entries of a layer as text, and whether blob, DiffID and config agree.
pub(super) async fn entries(store: &Memory, image: &Descriptor, place: usize) -> Vec<String> {
    let document = document(store, image).await;
    let layer = &document.children()[place + 1];
    let blob = store
        .open(Role::Blob, layer)
        .await
        .expect("a layer")
        .read_all(1 << 30)
        .await
        .expect("a layer");
    let mut tar = Vec::new();
    let mut decoder = Decoder::detect(&blob[..], Limits::default()).expect("a decoder");
    std::io::copy(&mut decoder, &mut tar).expect("decoded");
    let config = config(store, image).await;
    let config = teu_spec::ImageConfig::parse(config.into()).expect("a config");
    assert_eq!(config.diff_ids()[place], Digest::of(&tar));
    let mut reader = Reader::new(&tar[..]);
    let mut all = Vec::new();
    while let Some(mut entry) = reader.next_entry().expect("an entry") {
        let header = entry.take_header();
        let path = String::from_utf8_lossy(&header.path).into_owned();
        let rest = match header.kind {
            EntryKind::HardLink => format!(" = {}", String::from_utf8_lossy(&header.link)),
            EntryKind::Symlink => format!(" -> {}", String::from_utf8_lossy(&header.link)),
            EntryKind::Regular => {
                let mut content = String::new();
                std::io::Read::read_to_string(&mut entry, &mut content).expect("content");
                format!(": {content} @{}", header.mtime.seconds)
            }
            _ => format!(" @{}", header.mtime.seconds),
        };
        all.push(format!("{path}{rest}"));
    }
    all
}

pub(super) fn file(writer: &mut Writer<Vec<u8>>, path: &str, content: &str, time: i64) {
    let mut header = Header::file(path, content.len() as u64);
    header.mtime = Time {
        seconds: time,
        nanoseconds: 0,
    };
    writer.append_data(&header, content.as_bytes()).expect("appended");
}

pub(super) fn link(writer: &mut Writer<Vec<u8>>, path: &str, target: &str) {
    writer.append(&Header::hard_link(path, target)).expect("appended");
}

pub(super) fn without(patterns: &[&str]) -> Edit {
    Edit {
        remove_files: patterns
            .iter()
            .map(|pattern| Pattern::new(pattern).expect("a pattern"))
            .collect(),
        ..Edit::default()
    }
}

#[tokio::test]
async fn layers_go_by_number_and_by_either_digest() {
    let layers: Vec<_> = ["a", "b", "c", "d"]
        .map(|name| layer(|writer| file(writer, name, name, 1)))
        .to_vec();
    let store = Memory::new();
    let history = r#""history":[{"created_by":"a"},{"created_by":"b"},{"created_by":"c"},{"created_by":"d"}],"#;
    image(&store, history, &layers).await;
    let edit = Edit {
        remove_layers: vec![
            WhichLayer::At(0),
            WhichLayer::Digest(Digest::of(&layers[1].0)),
            WhichLayer::Digest(layers[3].1),
        ],
        ..Edit::default()
    };
    let done = edited(&store, &edit).await.expect("edited");
    assert_eq!(document(&store, &done.descriptor).await.children().len(), 2);
    assert_eq!(entries(&store, &done.descriptor, 0).await, ["c: c @1"]);
    assert!(
        config(&store, &done.descriptor)
            .await
            .contains(r#""history":[{"created_by":"c"}]"#)
    );
}

#[tokio::test]
async fn layers_go_by_the_first_digits_of_either_digest() {
    let layers: Vec<_> = ["a", "b", "c", "a"]
        .map(|name| layer(|writer| file(writer, name, name, 1)))
        .to_vec();
    let store = Memory::new();
    image(&store, "", &layers).await;
    let digits = |text: &str| text.parse::<WhichLayer>().expect("digits");
    let first = Digest::of(&layers[0].0).hex();
    let diff_id = layers[1].1.to_string();
    let edit = Edit {
        remove_layers: vec![
            digits(&first[..8]),
            digits(&diff_id["sha256:".len()..][..63]),
            digits(&diff_id[..19]),
        ],
        ..Edit::default()
    };
    let done = edited(&store, &edit).await.expect("edited");
    // The same layer is there twice, and is meant twice.
    assert_eq!(document(&store, &done.descriptor).await.children().len(), 2);
    assert_eq!(entries(&store, &done.descriptor, 0).await, ["c: c @1"]);
    assert_eq!(digits("12345678"), WhichLayer::Digits("12345678".to_owned()));
    assert_eq!(digits("1234567"), WhichLayer::At(1_234_567));
    assert!("abcdef0".parse::<WhichLayer>().is_err() && "ABCDEF01".parse::<WhichLayer>().is_err());
    let both = [&Digest::of(b"a"), &Digest::of(b"b")];
    let none = WhichLayer::Digits(String::new()).check(both.into_iter().map(|digest| (digest, None)));
    let message = none.expect_err("several").to_string();
    assert!(
        message.contains("are the first digits of several layers: sha256:"),
        "{message}"
    );
}

#[tokio::test]
async fn files_go_out_of_the_layers_that_have_them_and_others_keep_their_bytes() {
    let store = Memory::new();
    let layers = [
        layer(|writer| {
            writer.append(&Header::directory("etc/")).expect("appended");
            file(writer, "./etc/secret", "s", 1);
            file(writer, "etc/kept", "k", 1);
            file(writer, "cache/a/b", "c", 1);
        }),
        layer(|writer| file(writer, "other", "o", 1)),
        layer(|writer| {
            file(writer, "etc/.wh.secret", "", 1);
            file(writer, "etc/.wh.kept", "", 1);
            file(writer, "cache/.wh..wh..opq", "", 1);
        }),
    ];
    let found = image(&store, "", &layers).await;
    let before = document(&store, &found).await;
    let done = edited(&store, &without(&["/etc/sec*", "cache"])).await.expect("edited");
    let after = document(&store, &done.descriptor).await;
    assert_eq!(after.children()[2], before.children()[2]);
    assert_eq!(
        entries(&store, &done.descriptor, 0).await,
        ["etc/ @0", "etc/kept: k @1"]
    );
    assert_eq!(entries(&store, &done.descriptor, 2).await, ["etc/.wh.kept:  @1"]);
    assert_eq!(after.children()[1].media_type, MediaType::OciLayerGzip);
}

#[tokio::test]
async fn hard_links_to_what_goes_do_not_break() {
    let store = Memory::new();
    let layers = [layer(|writer| {
        file(writer, "a/file", "content", 1);
        link(writer, "a/gone", "a/file");
        writer.append(&Header::directory("b/")).expect("appended");
        link(writer, "b/first", "/a/file");
        link(writer, "b/second", "./a/file");
        link(writer, "b/third", "a/gone");
        link(writer, "b/fourth", "b/second");
        file(writer, "c/kept", "k", 1);
        link(writer, "a/alias", "c/kept");
        link(writer, "c/more", "a/alias");
    })];
    image(&store, "", &layers).await;
    let done = edited(&store, &without(&["a"])).await.expect("edited");
    assert_eq!(
        entries(&store, &done.descriptor, 0).await,
        [
            "b/first: content @1",
            "b/ @0",
            "b/second = b/first",
            "b/third = b/first",
            "b/fourth = b/second",
            "c/kept: k @1",
            "c/more = c/kept",
        ]
    );
}

#[tokio::test]
async fn a_name_that_is_made_again_is_what_it_was_last() {
    let store = Memory::new();
    let layers = [layer(|writer| {
        file(writer, "a", "one", 1);
        link(writer, "l1", "a");
        file(writer, "a", "two", 1);
        link(writer, "l2", "a");
    })];
    image(&store, "", &layers).await;
    let done = edited(&store, &without(&["a"])).await.expect("edited");
    assert_eq!(entries(&store, &done.descriptor, 0).await, ["l1: one @1", "l2: two @1"]);
}

#[tokio::test]
async fn links_that_cannot_become_their_file_are_refused() {
    for (layers, message) in [
        (
            vec![
                layer(|writer| file(writer, "a", "one", 1)),
                layer(|writer| link(writer, "b", "a")),
            ],
            "b is a hard link to a, which goes, and whose content is in another layer; remove the link too",
        ),
        (
            vec![layer(|writer| {
                file(writer, "a", "one", 1);
                file(writer, "d", "two", 1);
                writer.append(&Header::directory("d/")).expect("appended");
                link(writer, "d/b", "a");
            })],
            "d stands between a file that goes and a hard link to it, which has to become that file; remove the link too",
        ),
        (
            vec![layer(|writer| {
                file(writer, "a", "one", 1);
                file(writer, "b", "two", 1);
                link(writer, "b", "a");
            })],
            "b stands between a file that goes and a hard link to it, which has to become that file; remove the link too",
        ),
    ] {
        let store = Memory::new();
        let found = image(&store, "", &layers).await;
        let error = edited(&store, &without(&["a"])).await.expect_err("refused");
        assert!(error.to_string().ends_with(message), "{error}");
        let now = store.resolve(&Pick::Name("app".to_owned())).await.expect("resolved");
        assert_eq!(now.digest, found.digest);
    }
}

#[tokio::test]
async fn times_are_clamped_or_set_in_layers_config_and_history() {
    let times = |times| Edit {
        times,
        ..Edit::default()
    };
    let at = |seconds| Time {
        seconds,
        nanoseconds: 0,
    };
    let store = Memory::new();
    let layers = [
        layer(|writer| {
            file(writer, "old", "", 5);
            file(writer, "new", "", 2_000_000_000);
        }),
        layer(|writer| file(writer, "older", "", 4)),
    ];
    let stated =
        r#""created":"2033-05-18T03:33:20.5Z","history":[{"created":"1970-01-01T00:00:05Z"},{"created":"no time"}],"#;
    let found = image(&store, stated, &layers).await;
    let before = document(&store, &found).await;
    let clamp = times(Times::Clamp(at(10)));
    let done = edited(&store, &clamp).await.expect("edited");
    assert_eq!(entries(&store, &done.descriptor, 0).await, ["old:  @5", "new:  @10"]);
    assert_eq!(
        document(&store, &done.descriptor).await.children()[2],
        before.children()[2]
    );
    let text = config(&store, &done.descriptor).await;
    let expected =
        r#""created":"1970-01-01T00:00:10Z","history":[{"created":"1970-01-01T00:00:05Z"},{"created":"no time"}],"#;
    assert!(text.contains(expected), "{text}");
    let count = store.len();
    let again = edited(&store, &clamp).await.expect("edited");
    assert_eq!((again.descriptor.digest, store.len()), (done.descriptor.digest, count));
    let done = edited(&store, &times(Times::Set(at(7)))).await.expect("edited");
    assert_eq!(entries(&store, &done.descriptor, 0).await, ["old:  @7", "new:  @7"]);
    assert_eq!(entries(&store, &done.descriptor, 1).await, ["older:  @7"]);
}

#[tokio::test]
async fn what_is_no_layer_of_ours_to_write_is_refused() {
    for (media_type, message) in [
        (
            MediaType::OciForeignLayerGzip,
            "is non-distributable: its files are its maker's to change",
        ),
        (
            MediaType::from("application/x-tar+encrypted"),
            "is of type \"application/x-tar+encrypted\"",
        ),
    ] {
        let store = Memory::new();
        let (blob, diff_id) = layer(|writer| file(writer, "a", "one", 1));
        let found = image(&store, "", &[(blob, diff_id)]).await;
        let manifest = document(&store, &found).await;
        let mut children: Vec<_> = manifest.children().into_iter().map(Some).collect();
        children[1].as_mut().expect("a layer").media_type = media_type;
        put(&store, &manifest.rewrite(&children).expect("a manifest")).await;
        let error = edited(&store, &without(&["a"])).await.expect_err("refused");
        assert_eq!(*error.kind(), ErrorKind::Unsupported);
        assert!(error.to_string().contains(message), "{error}");
    }
}

#[tokio::test]
async fn a_layer_that_lies_is_not_rewritten() {
    let store = Memory::new();
    let (blob, _) = layer(|writer| file(writer, "a", "one", 1));
    let found = image(&store, "", &[(blob, Digest::of(b"something else"))]).await;
    let error = edited(&store, &without(&["a"])).await.expect_err("a lie");
    assert_eq!(*error.kind(), ErrorKind::Mismatch);
    let now = store.resolve(&Pick::Name("app".to_owned())).await.expect("resolved");
    assert_eq!(now.digest, found.digest);
}

#[tokio::test]
async fn foreign_layers_become_like_all_others() {
    let store = Memory::new();
    let found = image(&store, "", &[layer(|writer| file(writer, "a", "one", 1))]).await;
    let manifest = document(&store, &found).await;
    let mut children: Vec<_> = manifest.children().into_iter().map(Some).collect();
    let foreign = children[1].as_mut().expect("a layer");
    foreign.media_type = MediaType::OciForeignLayerGzip;
    foreign.urls = vec!["https://elsewhere.example/".to_owned()];
    put(&store, &manifest.rewrite(&children).expect("a manifest")).await;
    let edit = Edit {
        distribute: true,
        ..Edit::default()
    };
    let done = edited(&store, &edit).await.expect("edited");
    assert_eq!(done.descriptor.digest, found.digest);
}
