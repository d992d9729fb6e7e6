//! How layers change their compression on their way.

mod refused;

use std::{
    io::Write,
    num::NonZeroUsize,
    sync::atomic::{AtomicUsize, Ordering},
};

use bytes::Bytes;
use teu_archive::codec::{Compression, Encoder, Limits as CodecLimits};
use teu_spec::{Annotations, Document, Format, Index, LayerCompression, Manifest, MediaType, annotation};

use super::{
    rigged::{Lie, Rigged},
    *,
};
use crate::{
    ErrorKind, Intent, Role, Side,
    copy::{Layers, Recompress, Recompressed},
    suite::image::layer,
};

const GZIP: LayerCompression = LayerCompression::Gzip;

const ZSTD: LayerCompression = LayerCompression::Zstd;

const NONE: LayerCompression = LayerCompression::None;

fn encoded(content: &[u8], compression: Compression) -> Bytes {
    let mut encoder = Encoder::new(Vec::new(), compression, None).expect("an encoder");
    encoder.write_all(content).expect("written");
    encoder.finish().expect("finished").into()
}

/// A layer as it is stored, and what is in it.
#[derive(Clone)]
struct Layer {
    media_type: MediaType,
    stored: Bytes,
    plain: Bytes,
}

fn compressed(seed: &str, compression: LayerCompression) -> Layer {
    of_size(seed, compression, 300_000)
}

fn of_size(seed: &str, compression: LayerCompression, size: usize) -> Layer {
    let plain = layer(seed, &pseudo_random(seed, size));
    let (media_type, codec) = match compression {
        NONE => (MediaType::OciLayer, Compression::None),
        GZIP => (MediaType::OciLayerGzip, Compression::Gzip),
        ZSTD => (MediaType::OciLayerZstd, Compression::Zstd),
    };
    Layer {
        media_type,
        stored: encoded(&plain, codec),
        plain,
    }
}

/// Bytes that compress a little, and differ by their seed.
fn pseudo_random(seed: &str, size: usize) -> Vec<u8> {
    let mut state = seed
        .bytes()
        .fold(0x9e37_79b9_u32, |state, byte| state.rotate_left(5) ^ u32::from(byte))
        | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        (state >> 8) as u8 & 0x3f
    };
    (0..size).map(|_| next()).collect()
}

/// Puts an image of these layers, whose config says that they are `diff_ids`.
async fn put(store: &Memory, name: &str, format: Format, layers: &[Layer], diff_ids: &[Digest]) -> Document {
    let diff_ids: Vec<String> = diff_ids.iter().map(|diff_id| format!("\"{diff_id}\"")).collect();
    let config = Bytes::from(format!(
        r#"{{"architecture":"amd64","os":"linux","author":"{name}","rootfs":{{"type":"layers","diff_ids":[{}]}}}}"#,
        diff_ids.join(",")
    ));
    store.insert_blob(config.clone());
    let described: Vec<Descriptor> = layers
        .iter()
        .map(|layer| {
            store.insert_blob(layer.stored.clone());
            let media_type = layer.media_type.in_format(format).expect("a type of that form");
            Descriptor::of(media_type, &layer.stored)
        })
        .collect();
    let config_type = MediaType::OciConfig.in_format(format).expect("a type of that form");
    let config = Descriptor::of(config_type, &config);
    put_document(
        store,
        name,
        Manifest::build(format, &config, &described).expect("a manifest"),
    )
    .await
}

async fn put_document(store: &Memory, name: &str, document: Document) -> Document {
    let digest = Digest::of(document.raw());
    let names = [name.to_owned()];
    let put = store.put_manifest(&document, &digest, &names, Default::default());
    put.await.expect("put");
    document
}

fn diff_ids(layers: &[Layer]) -> Vec<Digest> {
    layers.iter().map(|layer| Digest::of(&layer.plain)).collect()
}

/// A store with the image `all` of these layers.
async fn image_of(layers: &[Layer]) -> (Memory, Document) {
    let store = Memory::new();
    let document = put(&store, "all", Format::Oci, layers, &diff_ids(layers)).await;
    (store, document)
}

fn with(recompress: Recompress) -> Options {
    Options {
        recompress: Some(recompress),
        ..all()
    }
}

fn to(compression: LayerCompression) -> Options {
    with(Recompress::to(compression))
}

/// Copies `all` as `copy`, and says what happened.
async fn goes(source: &Memory, target: &Memory, options: &Options) -> Result<(Document, Copied, Vec<Event>)> {
    let (events, happened) = recorded();
    let (source, pick) = (Arc::new(source.clone()), Pick::Name("all".to_owned()));
    let names = ["copy".to_owned()];
    let copied = copy(source, &pick, Arc::new(target.clone()), &names, options, &events).await?;
    let happened = happened.lock().expect("events").clone();
    let document = target.document(&copied.descriptor).await.expect("a document");
    Ok((document, copied, happened))
}

fn ways(events: &[Event]) -> Vec<How> {
    let how = |event: &Event| match event {
        Event::BlobDone { how, .. } => Some(*how),
        _ => None,
    };
    let mut ways: Vec<How> = events.iter().filter_map(how).collect();
    ways.sort_by_key(|how| format!("{how:?}"));
    ways
}

fn warnings(events: &[Event]) -> Vec<&str> {
    events
        .iter()
        .filter_map(|event| match event {
            Event::Warning { message } => Some(message.as_str()),
            _ => None,
        })
        .collect()
}

/// What the layers of a manifest are, uncompressed.
async fn contents(store: &Memory, document: &Document) -> Vec<Bytes> {
    let mut all = Vec::new();
    for layer in &document.children()[1..] {
        let stored = store.whole(layer).await;
        let mut decoder = teu_archive::codec::Decoder::detect(&stored[..], CodecLimits::default()).expect("a decoder");
        let mut plain = Vec::new();
        std::io::Read::read_to_end(&mut decoder, &mut plain).expect("whole");
        all.push(plain.into());
    }
    all
}

impl Memory {
    async fn whole(&self, blob: &Descriptor) -> Bytes {
        let verified = self.open(Role::Blob, blob).await.expect("a blob");
        verified.read_all(blob.size).await.expect("right")
    }
}

fn types(document: &Document) -> Vec<MediaType> {
    document.children().into_iter().map(|child| child.media_type).collect()
}

#[tokio::test]
async fn layers_get_the_compression_that_is_asked_for() {
    let layers = [
        compressed("plain", NONE),
        compressed("gzip", GZIP),
        compressed("zstd", ZSTD),
    ];
    let plain: Vec<Bytes> = layers.iter().map(|layer| layer.plain.clone()).collect();
    let (source, document) = image_of(&layers).await;
    for (compression, media_type) in [
        (NONE, MediaType::OciLayer),
        (GZIP, MediaType::OciLayerGzip),
        (ZSTD, MediaType::OciLayerZstd),
    ] {
        let target = Memory::new();
        let (copy, copied, events) = goes(&source, &target, &to(compression)).await.expect("copied");
        let wanted = [MediaType::OciConfig, media_type.clone(), media_type.clone(), media_type];
        assert_eq!(types(&copy), wanted);
        assert_eq!(contents(&target, &copy).await, plain);
        assert_eq!(copy.children()[0], document.children()[0], "the config is what it was");
        let same = layers
            .iter()
            .position(|layer| layer.media_type == wanted[1])
            .expect("one")
            + 1;
        assert_eq!(
            copy.children()[same],
            document.children()[same],
            "so is what had that compression"
        );
        assert_eq!(
            ways(&events),
            [How::Copied, How::Copied, How::Recompressed, How::Recompressed]
        );
        assert_eq!(copied.blobs, 4);
        assert_eq!(warnings(&events), Vec::<&str>::new());
        // All bytes of the source were told of as they went by.
        for layer in &document.children()[1..] {
            let told = Event::BlobProgress {
                digest: layer.digest,
                done: layer.size,
            };
            assert!(events.contains(&told), "{layer:?}");
        }
    }
}

/// The same bytes come of it again, and are sent anew as often as those of a blob that is copied as it is.
#[tokio::test]
async fn what_was_lost_on_its_way_is_recompressed_anew() {
    let (source, document) = image_of(&[compressed("plain", NONE)]).await;
    let (whole, _, _) = goes(&source, &Memory::new(), &to(GZIP)).await.expect("copied");
    let layer = document.children()[1].digest;
    for (loses, is_lost) in [(0, false), (1, false), (2, false), (3, true)] {
        let target = Memory::new();
        let rigged = Rigged {
            loses: Arc::new(AtomicUsize::new(loses)),
            ..Rigged::of(&target)
        };
        let (events, happened) = recorded();
        let (pick, names) = (Pick::Name("all".to_owned()), ["copy".to_owned()]);
        let copied = copy(
            Arc::new(source.clone()),
            &pick,
            Arc::new(rigged),
            &names,
            &to(GZIP),
            &events,
        )
        .await;
        match copied {
            Ok(copied) => {
                assert!(!is_lost);
                assert_eq!(copied.descriptor.digest, Digest::of(whole.raw()));
            }
            Err(error) => {
                assert!(is_lost, "{error}");
                assert_eq!(
                    (error.kind(), error.side()),
                    (&ErrorKind::Lost, Some(Side::Destination))
                );
                assert!(target.resolve(&pick).await.is_err());
            }
        }
        let happened = happened.lock().expect("events");
        let told = happened.iter().filter(|event| {
            let said = format!("blob {layer} is sent anew, as its upload broke off");
            matches!(event, Event::Retry { reason, wait_ms: 0 } if *reason == said)
        });
        assert_eq!(told.count(), loses.min(2));
    }
}

/// Copies that take turns, and share what is known, do the work on a layer once.
#[tokio::test]
async fn a_layer_of_several_images_is_recompressed_once() {
    let layers = [compressed("shared", NONE)];
    let store = Memory::new();
    for name in ["one", "other"] {
        put(&store, name, Format::Oci, &layers, &diff_ids(&layers)).await;
    }
    let turns = || Some(crate::copy::Turns::default());
    for (turns, expected) in [
        (turns(), [How::Existed, How::Recompressed]),
        (None, [How::Recompressed, How::Recompressed]),
    ] {
        let target = Memory::new();
        let options = Options { turns, ..to(GZIP) };
        let copy = |name: &str| {
            let (source, target, options) = (Arc::new(store.clone()), Arc::new(target.clone()), options.clone());
            let (pick, names) = (Pick::Name(name.to_owned()), [name.to_owned()]);
            async move {
                let (events, happened) = recorded();
                let copied = copy(source, &pick, target, &names, &options, &events).await;
                copied.expect("copied");
                let happened = happened.lock().expect("events").clone();
                ways(&happened)
            }
        };
        let (one, other) = tokio::join!(copy("one"), copy("other"));
        let of_layers = |how: &How| *how != How::Copied;
        let mut both: Vec<How> = one.into_iter().chain(other).filter(of_layers).collect();
        both.sort_by_key(|how| format!("{how:?}"));
        assert_eq!(both, expected);
    }
}

#[tokio::test]
async fn the_bytes_do_not_depend_on_threads() {
    // Several blocks of the encoders, so that threads have something to share.
    let layers = ["one", "two"].map(|seed| of_size(seed, NONE, 2_500_000));
    let (source, _) = image_of(&layers).await;
    for compression in [GZIP, ZSTD] {
        let mut digests = Vec::new();
        for (threads, jobs) in [(1, 1), (2, 6), (7, 1), (16, 6)] {
            let recompress = Recompress {
                threads: NonZeroUsize::new(threads).expect("some"),
                ..Recompress::to(compression)
            };
            let options = Options {
                jobs,
                ..with(recompress)
            };
            let (_, copied, _) = goes(&source, &Memory::new(), &options).await.expect("copied");
            digests.push(copied.descriptor.digest);
        }
        digests.dedup();
        assert_eq!(digests.len(), 1, "{compression}");
    }
}

#[tokio::test]
async fn a_level_is_kept_to() {
    let (source, _) = image_of(&[compressed("one", NONE)]).await;
    let mut sizes = Vec::new();
    for level in [1, 9] {
        let recompress = Recompress {
            level: Some(level),
            ..Recompress::to(GZIP)
        };
        let (copy, ..) = goes(&source, &Memory::new(), &with(recompress)).await.expect("copied");
        sizes.push(copy.children()[1].size);
    }
    assert!(sizes[1] < sizes[0], "{sizes:?}");
    for (compression, level) in [(GZIP, 10), (GZIP, -1), (ZSTD, 23), (NONE, 1)] {
        let recompress = Recompress {
            level: Some(level),
            ..Recompress::to(compression)
        };
        let target = Memory::new();
        let error = goes(&source, &target, &with(recompress))
            .await
            .expect_err("no such level");
        assert_eq!(error.kind(), &ErrorKind::Unsupported);
        assert!(target.is_empty());
    }
}

#[tokio::test]
async fn only_those_layers_change_that_are_meant() {
    let layers = [
        compressed("plain", NONE),
        compressed("gzip", GZIP),
        compressed("zstd", ZSTD),
    ];
    let (source, document) = image_of(&layers).await;
    let only = |layers| Recompress {
        layers,
        ..Recompress::to(ZSTD)
    };
    let target = Memory::new();
    let (copy, ..) = goes(&source, &target, &with(only(Layers::Plain)))
        .await
        .expect("copied");
    let config = MediaType::OciConfig;
    let wanted = [
        config.clone(),
        MediaType::OciLayerZstd,
        MediaType::OciLayerGzip,
        MediaType::OciLayerZstd,
    ];
    assert_eq!(types(&copy), wanted);
    assert_eq!(copy.children()[2..], document.children()[2..]);
    // What the target has as it is stays, unless all are meant.
    let (copy, _, events) = goes(&source, &target, &with(only(Layers::New))).await.expect("copied");
    assert_eq!(copy.children()[2], document.children()[2]);
    assert_eq!(
        ways(&events),
        [How::Existed, How::Existed, How::Existed, How::Recompressed]
    );
    let (copy, ..) = goes(&source, &target, &with(only(Layers::All))).await.expect("copied");
    assert_eq!(
        types(&copy)[1..],
        [
            MediaType::OciLayerZstd,
            MediaType::OciLayerZstd,
            MediaType::OciLayerZstd
        ]
    );
}

#[tokio::test]
async fn what_is_no_layer_of_an_image_stays() {
    let store = Memory::new();
    let gzip = compressed("gzip", GZIP);
    store.insert_blob("{}");
    store.insert_blob(gzip.stored.clone());
    let layer = Descriptor::of(MediaType::OciLayerGzip, &gzip.stored);
    let empty = Descriptor::of(MediaType::OciEmpty, b"{}");
    let artifact = Manifest::build(Format::Oci, &empty, std::slice::from_ref(&layer)).expect("a manifest");
    let artifact = put_document(&store, "artifact", artifact).await;
    // The same bytes in an image change all the same.
    let image = put(
        &store,
        "image",
        Format::Oci,
        std::slice::from_ref(&gzip),
        &diff_ids(std::slice::from_ref(&gzip)),
    )
    .await;
    let index = Index::build(Format::Oci, &[artifact.descriptor(), image.descriptor()]).expect("an index");
    put_document(&store, "all", index).await;
    let target = Memory::new();
    let (copy, ..) = goes(&store, &target, &to(ZSTD)).await.expect("copied");
    assert_eq!(copy.children()[0], artifact.descriptor());
    let image = target.document(&copy.children()[1]).await.expect("an image");
    assert_eq!(types(&image), [MediaType::OciConfig, MediaType::OciLayerZstd]);
    target.whole(&layer).await;

    // A non-distributable layer is not ours to change.
    let mut foreign = gzip.clone();
    foreign.media_type = MediaType::OciForeignLayerGzip;
    let (store, document) = image_of(&[foreign]).await;
    let options = Options {
        foreign: Foreign::Copied,
        ..to(ZSTD)
    };
    let (copy, ..) = goes(&store, &Memory::new(), &options).await.expect("copied");
    assert_eq!(copy, document);
    // A layer of an unknown kind neither.
    let mut unknown = gzip;
    unknown.media_type = MediaType::from("application/vnd.in-toto+json");
    let (store, document) = image_of(&[unknown]).await;
    let (copy, ..) = goes(&store, &Memory::new(), &to(ZSTD)).await.expect("copied");
    assert_eq!(copy, document);
}

#[tokio::test]
async fn a_target_of_uncompressed_layers_gets_those() {
    let uncompressed = || {
        Memory::new().taking(Takes {
            oci: false,
            docker: true,
            indexes: false,
            uncompressed_only: true,
        })
    };
    let mut foreign = compressed("foreign", GZIP);
    foreign.media_type = MediaType::OciForeignLayerGzip;
    let layers = [
        compressed("plain", NONE),
        compressed("gzip", GZIP),
        compressed("zstd", ZSTD),
        foreign,
    ];
    let (source, _) = image_of(&layers).await;
    let plain: Vec<Bytes> = layers.iter().map(|layer| layer.plain.clone()).collect();
    for (options, warned) in [(all(), 0), (to(NONE), 0), (to(ZSTD), 1)] {
        let target = uncompressed();
        let (copy, _, events) = goes(&source, &target, &options).await.expect("copied");
        let layer = MediaType::DockerLayer;
        let foreign = MediaType::DockerForeignLayer;
        assert_eq!(
            types(&copy),
            [MediaType::DockerConfig, layer.clone(), layer.clone(), layer, foreign]
        );
        for (child, plain) in copy.children()[1..].iter().zip(&plain) {
            assert_eq!(target.whole(child).await, plain);
        }
        assert_eq!(warnings(&events).len(), warned);
    }
    // The digests change, and that is refused before anything is copied.
    let options = Options {
        preserve_digests: true,
        ..all()
    };
    let target = uncompressed();
    let error = goes(&source, &target, &options).await.expect_err("another digest");
    assert_eq!(error.kind(), &ErrorKind::Unsupported);
    assert!(error.to_string().contains("would have to be recompressed"), "{error}");
    assert!(target.is_empty());
}

#[tokio::test]
async fn a_layer_is_decoded_by_what_it_is() {
    // It says gzip and is zstd, as some tools have written it.
    let mut mislabelled = compressed("one", ZSTD);
    mislabelled.media_type = MediaType::OciLayerGzip;
    let (source, _) = image_of(&[mislabelled.clone()]).await;
    let target = Memory::new();
    let (copy, ..) = goes(&source, &target, &to(ZSTD)).await.expect("copied");
    assert_eq!(types(&copy)[1], MediaType::OciLayerZstd);
    assert_eq!(contents(&target, &copy).await, [mislabelled.plain]);
}

#[tokio::test]
async fn what_was_said_of_the_old_bytes_goes_with_them() {
    let layers = [compressed("one", ZSTD), compressed("two", GZIP)];
    let source = Memory::new();
    let image = put(&source, "image", Format::Oci, &layers, &diff_ids(&layers)).await;
    let mut children = image.children();
    let annotations =
        |keys: &[&str]| -> Annotations { keys.iter().map(|key| ((*key).to_owned(), "x".to_owned())).collect() };
    let said = [
        "io.github.containers.zstd-chunked.manifest-checksum",
        "io.containers.zstd-chunked.manifest-position",
        "containerd.io/snapshot/stargz/toc.digest",
        "io.containers.estargz.uncompressed-size",
        "org.example.kept",
    ];
    children[1].annotations = annotations(&said);
    children[2].annotations = annotations(&said);
    let image = Manifest::build(Format::Oci, &children[0], &children[1..]).expect("a manifest");
    let image = put_document(&source, "image", image).await;
    let attestation = crate::suite::Image::small(Takes::EVERYTHING, "attestation");
    attestation.put(&source, &[]).await.expect("put");
    let mut listed = [image.descriptor(), attestation.document.descriptor()];
    listed[0].annotations = annotations(&["org.example.kept"]);
    listed[0]
        .annotations
        .insert(annotation::COMPRESSION_ZSTD.to_owned(), "true".to_owned());
    let about = image.descriptor().digest.to_string();
    listed[1]
        .annotations
        .insert(annotation::DOCKER_REFERENCE_DIGEST.to_owned(), about);
    put_document(&source, "all", Index::build(Format::Oci, &listed).expect("an index")).await;

    let target = Memory::new();
    let plain_stay = Recompress {
        layers: Layers::New,
        ..Recompress::to(GZIP)
    };
    // The attestation's layers are plain, and are there already.
    for blob in &attestation.blobs {
        target.insert_blob(blob.clone());
    }
    let (copy, _, events) = goes(&source, &target, &with(plain_stay)).await.expect("copied");
    let [new, attested] = &copy.children()[..] else {
        panic!("both");
    };
    assert_eq!(new.annotations, annotations(&["org.example.kept"]));
    assert_eq!(attested.digest, attestation.digest);
    assert_eq!(
        attested.annotations[annotation::DOCKER_REFERENCE_DIGEST],
        new.digest.to_string()
    );
    let layers = target.document(new).await.expect("an image").children();
    assert_eq!(layers[1].annotations, annotations(&["org.example.kept"]));
    assert_eq!(layers[2], children[2], "what did not change says what it said");
    assert_eq!(warnings(&events).len(), 3, "{:?}", warnings(&events));
}

#[tokio::test]
async fn the_same_copy_again_does_no_work_where_that_is_known() {
    let layers = [compressed("one", GZIP), compressed("two", GZIP)];
    let (source, _) = image_of(&layers).await;
    let existed = [How::Existed, How::Existed, How::Existed];
    let known = Recompressed::default();
    let zstd = with(Recompress {
        known: known.clone(),
        ..Recompress::to(ZSTD)
    });
    for options in [zstd.clone(), to(NONE)] {
        let target = Memory::new();
        let (first, ..) = goes(&source, &target, &options).await.expect("copied");
        let (second, copied, events) = goes(&source, &target, &options).await.expect("copied");
        assert_eq!(first, second);
        assert_eq!(ways(&events), existed);
        assert_eq!((copied.blobs, copied.manifests), (0, 0));
    }
    // What is known goes from one process to the next.
    let again = Recompressed::default();
    again.read("not a line\n");
    again.read(&known.to_string());
    assert_eq!(again.to_string(), known.to_string());
    assert_eq!(known.to_string().lines().count(), 2);
    let many = Recompressed::default();
    for n in 0..Recompressed::MOST {
        let (old, new) = (Digest::of(&n.to_le_bytes()), Digest::of(&n.to_be_bytes()));
        many.read(&format!("{old} gzip -1 {new} {n} {new}"));
    }
    many.read(&known.to_string());
    assert_eq!(many.to_string().lines().count(), Recompressed::MOST);
    assert!(
        many.to_string().ends_with(&known.to_string()),
        "the oldest are forgotten"
    );
    let target = Memory::new();
    let (first, ..) = goes(&source, &target, &to(ZSTD)).await.expect("copied");
    let with_known = with(Recompress {
        known: again,
        ..Recompress::to(ZSTD)
    });
    let (second, _, events) = goes(&source, &target, &with_known).await.expect("copied");
    assert_eq!((second, ways(&events)), (first.clone(), existed.to_vec()));
    // Another level is other work; what nobody remembers is done again, to the same bytes.
    let mut other = zstd;
    if let Some(recompress) = &mut other.recompress {
        recompress.level = Some(7);
    }
    let (_, _, events) = goes(&source, &target, &other).await.expect("copied");
    assert_eq!(ways(&events), [How::Existed, How::Recompressed, How::Recompressed]);
    let (second, copied, events) = goes(&source, &target, &to(ZSTD)).await.expect("copied");
    assert_eq!(second, first);
    assert_eq!(ways(&events), [How::Existed, How::Recompressed, How::Recompressed]);
    assert_eq!(copied.manifests, 1, "the name moves back");
    // What is known is not believed against the config.
    let wrong = Memory::new();
    put(
        &wrong,
        "all",
        Format::Oci,
        &layers,
        &[Digest::of(b"x"), Digest::of(&layers[1].plain)],
    )
    .await;
    let error = goes(&wrong, &target, &with_known).await.expect_err("a lie");
    assert_eq!(error.kind(), &ErrorKind::Mismatch);
}
