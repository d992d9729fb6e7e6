//! A layer is what was put into it, has the digests that it says, and is the same wherever it is written.

use std::{
    io::{Cursor, Read, Write},
    num::NonZeroUsize,
};

use teu_archive::{
    codec::{Compression, Decoder, Encoder},
    tar::{self, EntryKind, Header, Time},
};
use teu_image::layer::{self, Keep, Options, Times, Written};
use teu_rootfs::{Device, Metadata, Node};
use teu_spec::{Algorithm, Descriptor, Digest, LayerCompression, MediaType};
use teu_store::{Error, ErrorKind, Memory, Result, Role, SourceExt, Sweep as _, Target};

const COMPRESSIONS: [LayerCompression; 3] = [LayerCompression::None, LayerCompression::Gzip, LayerCompression::Zstd];

fn options(compression: LayerCompression, threads: usize) -> Options {
    Options {
        compression,
        threads: NonZeroUsize::new(threads).expect("not 0"),
        ..Options::default()
    }
}

/// A MiB and more that do not compress to nothing.
fn noise() -> Vec<u8> {
    let mut state = 1_u64;
    (0..1_300_000)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 60) as u8 * 3
        })
        .collect()
}

fn fill(writer: &mut layer::Writer<'_>) -> Result<()> {
    let metadata = |mode| Metadata {
        mode,
        uid: 1,
        gid: 2,
        mtime: teu_rootfs::Time {
            seconds: 1_700_000_000,
            nanoseconds: 5,
        },
        xattrs: [(b"user.a".to_vec(), b"1\n2".to_vec())].into(),
    };
    writer.append_node(b"etc", &Node::Directory, &metadata(0o755), &[][..])?;
    writer.whiteout(b"etc/gone", Time::default())?;
    writer.opaque(b"etc/new", Time::default())?;
    let noise = noise();
    writer.append_node(
        b"etc/big",
        &Node::File(noise.len() as u64),
        &metadata(0o4755),
        &noise[..],
    )?;
    writer.append_node(b"etc/link", &Node::Symlink(b"big".to_vec()), &metadata(0o777), &[][..])?;
    let device = Device { major: 1, minor: 3 };
    writer.append_node(b"etc/null", &Node::CharDevice(device), &metadata(0o666), &[][..])?;
    writer.append_node(b"etc/pipe", &Node::Fifo, &metadata(0o600), &[][..])?;
    writer.append(&Header::hard_link("etc/same", "etc/big"))
}

async fn write(store: &Memory, options: &Options) -> Written {
    let (written, entries) = layer::write(store, options, |writer| {
        fill(writer)?;
        Ok(writer.entries())
    })
    .await
    .expect("a layer");
    assert_eq!(written.entries, entries);
    written
}

async fn content(store: &Memory, written: &Written) -> Vec<u8> {
    let named = Descriptor::new(MediaType::OciLayer, written.digest, written.size);
    let blob = store.open(Role::Blob, &named).await.expect("the blob");
    let blob = blob.read_all(u64::MAX).await.expect("a checked blob");
    let mut content = Vec::new();
    let mut decoder = Decoder::detect(Cursor::new(blob), Default::default()).expect("a decoder");
    let expected = match written.compression {
        LayerCompression::None => Compression::None,
        LayerCompression::Gzip => Compression::Gzip,
        LayerCompression::Zstd => Compression::Zstd,
    };
    assert_eq!(decoder.compression(), expected);
    decoder.read_to_end(&mut content).expect("decoded");
    content
}

#[tokio::test]
async fn a_layer_has_its_digests_and_what_was_put_into_it() {
    for compression in COMPRESSIONS {
        let store = Memory::new();
        let written = write(&store, &options(compression, 2)).await;
        let content = content(&store, &written).await;
        assert_eq!(written.diff_id, Digest::of(&content), "{compression}");
        assert_eq!(written.content_size, content.len() as u64);
        assert_eq!(written.compression, compression);
        assert_eq!(written.diff_id == written.digest, compression == LayerCompression::None);

        let mut reader = tar::Reader::new(&content[..]);
        let mut found = Vec::new();
        while let Some(entry) = reader.next_entry().expect("a sound archive") {
            let header = entry.header();
            found.push((String::from_utf8(header.path.clone()).expect("UTF-8"), header.clone()));
        }
        let names: Vec<&str> = found.iter().map(|(name, _)| &**name).collect();
        assert_eq!(
            names,
            [
                "etc/",
                "etc/.wh.gone",
                "etc/new/.wh..wh..opq",
                "etc/big",
                "etc/link",
                "etc/null",
                "etc/pipe",
                "etc/same"
            ]
        );
        let big = &found[3].1;
        assert_eq!((big.mode, big.uid, big.gid, big.size), (0o4755, 1, 2, 1_300_000));
        let mtime = Time {
            seconds: 1_700_000_000,
            nanoseconds: 5,
        };
        assert_eq!(big.mtime, mtime);
        assert_eq!(big.xattrs[&b"user.a"[..]], b"1\n2");
        let null = &found[5].1;
        assert_eq!(
            (null.kind, null.device_major, null.device_minor),
            (EntryKind::CharDevice, 1, 3)
        );
    }
}

#[tokio::test]
async fn the_number_of_threads_does_not_show() {
    for compression in COMPRESSIONS {
        let (one, many) = (Memory::new(), Memory::new());
        let first = write(&one, &options(compression, 1)).await;
        assert_eq!(first, write(&many, &options(compression, 5)).await, "{compression}");
        let other = Options {
            algorithm: Algorithm::Sha512,
            ..options(compression, 2)
        };
        let other = write(&many, &other).await;
        assert_eq!(other.digest.algorithm(), Algorithm::Sha512);
        assert_eq!(other.diff_id.algorithm(), Algorithm::Sha512);
        assert_eq!(other.size, first.size);
    }
}

#[tokio::test]
async fn times_are_kept_clamped_or_set() {
    let at = |seconds| Time {
        seconds,
        nanoseconds: 0,
    };
    for (times, expected) in [
        (Times::Keep, [at(10), at(30)]),
        (Times::Clamp(at(20)), [at(10), at(20)]),
        (Times::Set(at(0)), [at(0), at(0)]),
    ] {
        let store = Memory::new();
        let options = Options {
            times,
            ..options(LayerCompression::None, 1)
        };
        let (written, ()) = layer::write(&store, &options, move |writer| {
            for seconds in [10, 30] {
                let mut header = Header::file("file", 0);
                header.mtime = at(seconds);
                writer.append(&header)?;
            }
            Ok(())
        })
        .await
        .expect("a layer");
        let content = content(&store, &written).await;
        let mut reader = tar::Reader::new(&content[..]);
        for expected in expected {
            let entry = reader.next_entry().expect("sound").expect("an entry");
            assert_eq!(entry.header().mtime, expected, "{times:?}");
        }
    }
}

async fn is_empty(store: &Memory) -> bool {
    let session = store.begin().await.expect("a session");
    session.content().await.expect("a list").is_empty()
}

#[tokio::test]
async fn nothing_is_left_of_what_fails() {
    let store = Memory::new();
    let refused = |writer: &mut layer::Writer<'_>| {
        fill(writer)?;
        Err::<(), _>(Error::new(ErrorKind::Denied, "no more"))
    };
    let error = layer::write(&store, &Options::default(), refused)
        .await
        .expect_err("refused");
    assert_eq!(*error.kind(), ErrorKind::Denied);

    // Content that is shorter, or longer, than was said.
    for (content, kind) in [(&b"shrt"[..], ErrorKind::Invalid), (b"longer", ErrorKind::Unsupported)] {
        let error = layer::write(&store, &Options::default(), move |writer| {
            writer.append_from(&Header::file("file", 5), content)
        })
        .await
        .expect_err("another size");
        assert_eq!(*error.kind(), kind, "{error}");
    }
    // What nobody would read.
    let mut attributes = Header::file("attributes", 0);
    for number in 0..17 {
        attributes
            .xattrs
            .insert(format!("user.{number}").into_bytes(), vec![b'x'; 65536]);
    }
    for (header, said) in [
        (Header::file("n".repeat(256), 0), "the limit name_bytes is 255"),
        (Header::file("a/".repeat(2050) + "b", 0), "the limit path_bytes is 4095"),
        (
            Header::symlink("link", "t".repeat(4096)),
            "the limit path_bytes is 4095",
        ),
        (attributes, "take 1114624 bytes (the limit metadata_bytes is 1048576)"),
        (Header::file("a/.wh.", 0), "a whiteout of nothing"),
    ] {
        let error = layer::write(&store, &Options::default(), move |writer| writer.append(&header))
            .await
            .expect_err(said);
        assert_eq!(*error.kind(), ErrorKind::Invalid, "{error}");
        assert!(error.to_string().contains(said), "{error}");
    }
    for path in ["", "/", "a/.", "a/..", "a/.wh.x"] {
        let error = layer::write(&store, &Options::default(), move |writer| {
            writer.whiteout(path.as_bytes(), Time::default())
        })
        .await
        .expect_err("no whiteout");
        assert_eq!(*error.kind(), ErrorKind::Invalid, "{path}");
    }
    let levels = Options {
        level: Some(30),
        ..Options::default()
    };
    let error = layer::write(&store, &levels, |_| Ok(())).await.expect_err("a level");
    assert_eq!(*error.kind(), ErrorKind::Unsupported);
    assert!(is_empty(&store).await);
}

fn archive() -> Vec<u8> {
    let mut writer = tar::Writer::new(Vec::new());
    let noise = noise();
    writer
        .append_data(&Header::file("./../odd", noise.len() as u64), &noise)
        .expect("an entry");
    let mut archive = writer.finish().expect("an archive");
    // As GNU tar pads to its record.
    archive.resize(archive.len() + 8192, 0);
    archive
}

fn compressed(compression: Compression) -> Vec<u8> {
    let level = (compression != Compression::None).then_some(1);
    let mut encoder = Encoder::new(Vec::new(), compression, level).expect("an encoder");
    encoder.write_all(&archive()).expect("encoded");
    encoder.finish().expect("encoded")
}

async fn from_tar(store: &dyn Target, options: &Options, input: Vec<u8>, keep: Keep) -> Result<Written> {
    let written = layer::from_tar(store, options, Cursor::new(input), keep).await;
    written.map(|(written, _)| written)
}

#[tokio::test]
async fn an_archive_that_is_compressed_as_wanted_keeps_its_bytes() {
    let inputs = [
        (LayerCompression::None, Compression::None),
        (LayerCompression::Gzip, Compression::Gzip),
        (LayerCompression::Zstd, Compression::Zstd),
    ];
    for (found, codec) in inputs {
        let input = compressed(codec);
        for wanted in COMPRESSIONS {
            for keep in [Keep::SameCompression, Keep::AnyCompression, Keep::Nothing] {
                let store = Memory::new();
                let written = from_tar(&store, &options(wanted, 2), input.clone(), keep)
                    .await
                    .expect("a layer");
                let kept = match keep {
                    Keep::SameCompression => found == wanted,
                    Keep::AnyCompression => found == wanted || found != LayerCompression::None,
                    Keep::Nothing => false,
                };
                let case = format!("{found} to {wanted}, {keep:?}");
                assert_eq!(written.compression, if kept { found } else { wanted }, "{case}");
                assert_eq!(written.diff_id, Digest::of(&archive()), "{case}");
                assert_eq!(content(&store, &written).await, archive(), "{case}");
                assert_eq!(written.entries, 1, "{case}");
                // What is not compressed has its bytes either way.
                let plain = (found, wanted) == (LayerCompression::None, LayerCompression::None);
                assert_eq!(written.digest == Digest::of(&input), kept || plain, "{case}");
            }
        }
    }
}

#[tokio::test]
async fn what_is_no_sound_archive_is_refused_whether_it_would_be_kept_or_not() {
    let gzip = compressed(Compression::Gzip);
    let mut malformed = archive();
    malformed[10] ^= 1;
    let mut wrong_sum = gzip.clone();
    let at = wrong_sum.len() - 6;
    wrong_sum[at] ^= 1;
    // Whatever lies below, nobody could unpack it.
    let mut nameless = tar::Writer::new(Vec::new());
    nameless.append(&Header::file("etc/.wh..", 0)).expect("an entry");
    let mut small = tar::Writer::new(Vec::new());
    small.append_data(&Header::file("file", 5), b"small").expect("an entry");
    let cases = [
        (
            "a whiteout of nothing that has a name",
            nameless.finish().expect("an archive"),
        ),
        ("nothing", Vec::new()),
        ("a text", b"no archive at all, but a text".to_vec()),
        ("a checksum", malformed),
        ("cut off", archive()[..1_000_000].to_vec()),
        // GNU tar complains of it; and who knows what came behind it?
        (
            "cut off in the padding",
            small.finish().expect("an archive")[..1000].to_vec(),
        ),
        ("cut off in gzip", gzip[..gzip.len() - 5].to_vec()),
        ("gzip's checksum", wrong_sum),
    ];
    let xz = ("xz", b"\xfd7zXZ\0\0\0\0\0\0".to_vec());
    let cases = cases
        .into_iter()
        .map(|case| (case, ErrorKind::Invalid))
        .chain([(xz, ErrorKind::Unsupported)]);
    for ((name, input), kind) in cases {
        for compression in [LayerCompression::None, LayerCompression::Gzip] {
            let store = Memory::new();
            let error = from_tar(&store, &options(compression, 2), input.clone(), Keep::default())
                .await
                .expect_err(name);
            assert_eq!(*error.kind(), kind, "{name}: {error}");
            assert!(is_empty(&store).await, "{name}");
        }
    }
}

#[tokio::test]
async fn a_tree_has_its_links_with_all_that_the_file_is_and_no_file_that_hides_another() {
    use std::{fs, os::unix::fs::PermissionsExt};
    use teu_image::layer::{Owners, Tree, walk_options};
    use teu_rootfs::walk::Walk;

    let directory = tempfile::tempdir().expect("a directory");
    let at = |name: &str| directory.path().join(name);
    fs::write(at("file"), "content").expect("a file");
    fs::set_permissions(at("file"), fs::Permissions::from_mode(0o4750)).expect("a mode");
    fs::hard_link(at("file"), at("link")).expect("a link");
    let append = |store: Memory, at: &'static str| {
        let path = directory.path().to_owned();
        async move {
            let tree = Tree {
                at: at.into(),
                top: None,
                owners: Owners::Set { uid: 5, gid: 6 },
                fractions: false,
            };
            let written = layer::write(&store, &options(LayerCompression::None, 1), move |writer| {
                let mut walk = Walk::open(&path, walk_options()).expect("a walk");
                writer.append_tree(&mut walk, &tree, |_| {})
            })
            .await?;
            Ok::<_, Error>((content(&store, &written.0).await, store))
        }
    };
    let (archive, _) = append(Memory::new(), "opt/app").await.expect("a layer");
    let mut reader = tar::Reader::new(&archive[..]);
    let mut found = Vec::new();
    while let Some(entry) = reader.next_entry().expect("a sound archive") {
        found.push(entry.header().clone());
    }
    let paths: Vec<&[u8]> = found.iter().map(|header| &header.path[..]).collect();
    assert_eq!(paths, [&b"opt/app/"[..], b"opt/app/file", b"opt/app/link"]);
    let [_, file, link] = &found[..] else { panic!("three") };
    assert_eq!((file.mode, file.uid, file.gid), (0o4750, 5, 6));
    assert_eq!((file.kind, link.kind), (EntryKind::Regular, EntryKind::HardLink));
    assert_eq!(link.link, b"opt/app/file");
    let mut as_file = link.clone();
    (as_file.kind, as_file.size) = (file.kind, file.size);
    as_file.link.clear();
    as_file.path.clone_from(&file.path);
    assert_eq!(as_file, *file, "those who unpack give it to the file once more");

    fs::write(at(".wh.file"), "").expect("a file");
    let error = append(Memory::new(), "").await.map(drop).expect_err("it would hide");
    assert_eq!(*error.kind(), ErrorKind::Invalid);
}
