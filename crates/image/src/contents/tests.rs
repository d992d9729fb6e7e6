use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt, symlink},
    sync::Mutex,
};

use teu_archive::{
    codec::Compression,
    tar::{EntryKind, Header, Writer},
};
use teu_rootfs::{Device, Time};
use teu_spec::{Descriptor, MediaType};

use super::*;
use crate::rigged::{Rigged, insert, tar};

fn described_file(path: &str, size: u64) -> Header {
    let mut header = Header::file(path, size);
    (header.mode, header.uid, header.gid) = (0o4711, 1000, 70_000);
    header.mtime = tar::Time {
        seconds: -2,
        nanoseconds: 5,
    };
    header.xattrs = [(b"user.a".to_vec(), vec![0, 255]), (b"user.b".to_vec(), Vec::new())].into();
    header
}

fn device(kind: EntryKind, path: &str) -> Header {
    let mut header = Header::new(kind, path);
    (header.device_major, header.device_minor) = (1, 300);
    header
}

/// A layer with one of everything.
fn everything() -> Vec<u8> {
    tar(&[
        (Header::directory("./"), &b""[..]),
        (Header::directory("./etc/"), b""),
        (described_file("./etc/passwd", 5), b"root\n"),
        (Header::file(b"./etc/\xff\n".to_vec(), 0), b""),
        (Header::symlink("etc/link", "../passwd"), b""),
        (Header::hard_link("etc/other", "./etc/passwd"), b""),
        (Header::new(EntryKind::Fifo, "pipe"), b""),
        (device(EntryKind::CharDevice, "dev/null"), b""),
        (device(EntryKind::BlockDevice, "dev/disk"), b""),
        (Header::file("etc/.wh.gone", 0), b""),
        (Header::file(".wh.top", 0), b""),
        (Header::file("var/.wh..wh..opq", 0), b""),
        (Header::file(".wh..wh.aufs", 3), b"its"),
    ])
}

fn rigged(tar: &[u8]) -> (Arc<Rigged>, Arc<dyn Source>, Layer) {
    let rigged = Rigged::default();
    let layer = insert(&rigged.inner, 0, tar, Compression::Gzip);
    let rigged = Arc::new(rigged);
    (Arc::clone(&rigged), rigged, layer)
}

fn form(contents: &Contents) -> Vec<u8> {
    contents.to_bytes().expect("bytes")
}

fn fetched(source: &Rigged) -> usize {
    source.fetched.lock().expect("a list").len()
}

#[tokio::test]
async fn a_table_says_all_that_the_entries_say_but_their_content() {
    let archive = everything();
    let (_, source, layer) = rigged(&archive);
    let options = Options {
        digests: true,
        ..Options::default()
    };
    let contents = read(&source, &layer, &options).await.expect("a table");
    let entries: Vec<Entry> = contents.entries().collect::<Result<_>>().expect("entries");
    let node = Device { major: 1, minor: 300 };
    let expected = [
        What::Make(Node::Directory),
        What::Make(Node::Directory),
        What::Make(Node::File(5)),
        What::Make(Node::File(0)),
        What::Make(Node::Symlink(b"../passwd".to_vec())),
        What::HardLink(b"./etc/passwd".to_vec()),
        What::Make(Node::Fifo),
        What::Make(Node::CharDevice(node)),
        What::Make(Node::BlockDevice(node)),
        What::Remove(b"etc/gone".to_vec()),
        What::Remove(b"top".to_vec()),
        What::Clear(b"var".to_vec()),
    ];
    let whats: Vec<&What> = entries.iter().map(|entry| &entry.what).collect();
    assert_eq!(whats, expected.iter().collect::<Vec<_>>());
    assert_eq!(contents.count(), 12);
    assert_eq!(contents.size(), archive.len() as u64);
    assert_eq!(
        (contents.layer(), contents.diff_id()),
        (&layer.descriptor.digest, &layer.diff_id)
    );
    let passwd = &entries[2];
    assert_eq!(passwd.path, b"./etc/passwd");
    assert_eq!(
        passwd.metadata,
        Metadata {
            mode: 0o4711,
            uid: 1000,
            gid: 70_000,
            mtime: Time {
                seconds: -2,
                nanoseconds: 5
            },
            xattrs: [(b"user.a".to_vec(), vec![0, 255]), (b"user.b".to_vec(), Vec::new())].into(),
        }
    );
    assert_eq!(passwd.content, Some(Digest::of(b"root\n")));
    assert_eq!(entries[3].content, Some(Digest::of(b"")));
    assert!(entries.iter().skip(4).all(|entry| entry.content.is_none()));
    assert_eq!(entries[3].path, b"./etc/\xff\n");
    // Where each header begins is where a reader finds it.
    let mut reader = tar::Reader::new(&archive[..]);
    for entry in &entries {
        let found = reader.next_entry().expect("read").expect("an entry");
        assert_eq!(
            (found.header_offset(), &found.header().path),
            (entry.offset, &entry.path)
        );
    }
    let kept = Contents::from_bytes(&form(&contents).into()).expect("as it was written");
    assert_eq!(form(&kept), form(&contents));
}

#[tokio::test]
async fn a_table_that_was_changed_is_none() {
    let (_, source, layer) = rigged(&everything());
    let contents = read(&source, &layer, &Options::default()).await.expect("a table");
    let form = form(&contents);
    for at in 0..form.len() {
        let mut changed = form.clone();
        changed[at] ^= 1;
        assert!(Contents::from_bytes(&changed.into()).is_err(), "byte {at}");
        assert!(
            Contents::from_bytes(&form[..at].to_vec().into()).is_err(),
            "cut at {at}"
        );
    }
    // Bytes that have the right sum, but are not what we write.
    for at in 0..form.len() - 32 {
        let mut changed = form[..form.len() - 32].to_vec();
        changed[at] = 0xff;
        let sum = Digest::of(&changed);
        changed.extend_from_slice(sum.bytes());
        if let Ok(read) = Contents::from_bytes(&changed.into()) {
            assert_eq!(read.entries().count() as u64, read.count());
        }
    }
}

#[tokio::test]
async fn the_visitor_sees_each_entry_and_what_is_in_it() {
    let (_, source, layer) = rigged(&everything());
    for digests in [false, true] {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let options = Options {
            digests,
            ..Options::default()
        };
        let visitor = {
            let seen = Arc::clone(&seen);
            move |entry: &Entry, content: &mut dyn Content| {
                // Not all of it, so that the rest is hashed nevertheless.
                let mut first = [0; 1];
                let count = content.read(&mut first)?;
                if count > 0 {
                    seen.lock().expect("a list").push((entry.path.clone(), first[0]));
                }
                Ok(())
            }
        };
        let contents = read_with(&source, &layer, &options, visitor).await.expect("a table");
        assert_eq!(*seen.lock().expect("a list"), [(b"./etc/passwd".to_vec(), b'r')]);
        let passwd = contents.entries().nth(2).expect("a file").expect("an entry");
        assert_eq!(passwd.content, digests.then(|| Digest::of(b"root\n")));
    }
}

#[tokio::test]
async fn a_layer_that_would_not_be_unpacked_has_no_table() {
    let file = |path: &str| (Header::file(path, 0), &b""[..]);
    let entries: Vec<_> = (0..100).map(|place| format!("a-name-of-some-length-{place}")).collect();
    let many: Vec<_> = entries.iter().map(|path| file(path)).collect();
    let bounded = |contents_bytes| Options {
        contents_bytes,
        ..Options::default()
    };
    for (archive, options, words) in [
        (
            tar(&[file("a/.wh...")]),
            Options::default(),
            "it is a whiteout of nothing",
        ),
        (tar(&[file(&"n".repeat(256))]), Options::default(), "name_bytes is 255"),
        (tar(&many), bounded(500), "contents_bytes of 500"),
        (b"no archive at all".to_vec(), Options::default(), "tar"),
    ] {
        let (_, source, layer) = rigged(&archive);
        let error = read(&source, &layer, &options).await.expect_err(words).to_string();
        let digest = layer.descriptor.digest;
        assert!(
            error.starts_with(&format!("the contents of layer {digest}: ")),
            "{error}"
        );
        assert!(error.contains(words), "{error}");
    }
    let (_, source, mut layer) = rigged(&tar(&many));
    layer.diff_id = Digest::of(b"another");
    let error = read(&source, &layer, &Options::default()).await.expect_err("a lie");
    assert_eq!(error.kind(), &ErrorKind::Mismatch);
}

#[tokio::test]
async fn holes_cost_no_hashing() {
    // An archive in the old format of GNU, with a file of 8 GiB without a byte in it.
    let mut archive = Writer::new(Vec::new());
    archive.append(&Header::file("holes", 0)).expect("an entry");
    archive.append_data(&Header::file("after", 1), b"x").expect("an entry");
    let mut archive = archive.finish().expect("a tar");
    archive[156] = b'S';
    archive[257..265].copy_from_slice(b"ustar  \0");
    archive[483..495].copy_from_slice(b"100000000000");
    archive[386..398].copy_from_slice(b"100000000000");
    archive[398..410].copy_from_slice(b"000000000000");
    archive[148..156].copy_from_slice(b"        ");
    let sum: u32 = archive[..512].iter().map(|byte| u32::from(*byte)).sum();
    archive[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    let (_, source, layer) = rigged(&archive);
    let options = Options {
        digests: true,
        ..Options::default()
    };
    let contents = read(&source, &layer, &options).await.expect("a table");
    let entries: Vec<_> = contents
        .entries()
        .map(|entry| entry.expect("an entry"))
        .map(|entry| (entry.what, entry.content))
        .collect();
    assert_eq!(
        entries,
        [
            (What::Make(Node::File(8 << 30)), None),
            (What::Make(Node::File(1)), Some(Digest::of(b"x"))),
        ]
    );
}

#[tokio::test]
async fn what_was_read_once_is_not_read_again() {
    let home = tempfile::tempdir().expect("a directory");
    let cache = Cache::new(home.path().join("below/contents"));
    let (counted, source, layer) = rigged(&everything());
    let twice = [layer.clone(), layer.clone()];
    let plain = Options::default();
    let hashed = Options {
        digests: true,
        ..Options::default()
    };
    let all = of_all(&source, &twice, Some(&cache), &plain).await.expect("tables");
    assert_eq!((all.len(), fetched(&counted)), (2, 1));
    assert_eq!(form(&all[0]), form(&all[1]));
    let mode = fs::metadata(&cache.directory).expect("made").mode();
    assert_eq!(mode & 0o777, 0o700);
    for (options, reads) in [(&plain, 1), (&hashed, 2), (&hashed, 2), (&plain, 2)] {
        let known = of(&source, &layer, Some(&cache), options).await.expect("a table");
        assert_eq!((known.count(), fetched(&counted)), (12, reads));
        assert!(known.has_digests() || !options.digests);
    }
    // Without a cache nothing is known.
    of(&source, &layer, None, &plain).await.expect("a table");
    assert_eq!(fetched(&counted), 3);
    let names: Vec<_> = fs::read_dir(&cache.directory).expect("a directory").flatten().collect();
    assert_eq!(names.len(), 1);
}

#[tokio::test]
async fn a_file_in_the_cache_is_believed_only_where_it_is_whole_and_the_layers() {
    let home = tempfile::tempdir().expect("a directory");
    let cache = Cache::new(home.path().join("contents"));
    let (counted, source, layer) = rigged(&everything());
    let options = Options::default();
    let contents = of(&source, &layer, Some(&cache), &options).await.expect("a table");
    let file = cache.path(&layer.descriptor.digest);
    let other = Contents {
        diff_id: Digest::of(b"another"),
        ..contents.clone()
    };
    let foreign = Contents {
        layer: Digest::of(b"another"),
        ..contents.clone()
    };
    let elsewhere = home.path().join("elsewhere");
    fs::write(&elsewhere, form(&contents)).expect("written");
    let mut reads = 1;
    for damage in 0..6 {
        match damage {
            0 => fs::write(&file, b"teu contents 1\n").expect("written"),
            1 => fs::write(&file, form(&other)).expect("written"),
            2 => fs::write(&file, form(&foreign)).expect("written"),
            3 => fs::write(&file, &form(&contents)[..100]).expect("written"),
            4 => {
                fs::remove_file(&file).expect("removed");
                symlink(&elsewhere, &file).expect("a link");
            }
            _ => fs::remove_file(&file).expect("removed"),
        }
        reads += 1;
        let again = of(&source, &layer, Some(&cache), &options).await.expect("a table");
        assert_eq!((form(&again), fetched(&counted)), (form(&contents), reads), "{damage}");
        of(&source, &layer, Some(&cache), &options).await.expect("a table");
        assert_eq!(fetched(&counted), reads, "{damage}: it was made anew");
    }
    assert!(fs::symlink_metadata(&file).expect("a table").is_file());
    // A directory that others can write to is no cache.
    fs::set_permissions(&cache.directory, fs::Permissions::from_mode(0o777)).expect("a mode");
    of(&source, &layer, Some(&cache), &options).await.expect("a table");
    assert_eq!(fetched(&counted), reads + 1);
}

#[tokio::test]
async fn tables_that_were_used_long_ago_make_room() {
    let home = tempfile::tempdir().expect("a directory");
    let mut cache = Cache::new(home.path().join("contents"));
    let source = Rigged::default();
    let layers: Vec<Layer> = (0..3)
        .map(|place| {
            let archive = tar(&[(Header::file(format!("file-{place}"), 0), &b""[..])]);
            insert(&source.inner, place, &archive, Compression::None)
        })
        .collect();
    let source: Arc<dyn Source> = source.shared();
    let options = Options::default();
    let first = of(&source, &layers[0], Some(&cache), &options).await.expect("a table");
    cache.bound = 2 * form(&first).len() as u64;
    of(&source, &layers[1], Some(&cache), &options).await.expect("a table");
    let long_ago = std::time::SystemTime::UNIX_EPOCH;
    for (place, seconds) in [(0, 1), (1, 0)] {
        let file = fs::File::open(cache.path(&layers[place].descriptor.digest)).expect("a table");
        let when = long_ago + std::time::Duration::from_secs(seconds);
        file.set_modified(when).expect("a time");
    }
    of(&source, &layers[2], Some(&cache), &options).await.expect("a table");
    let files: Vec<_> = layers
        .iter()
        .map(|layer| cache.path(&layer.descriptor.digest))
        .collect();
    let is_kept = |place: usize| files[place].exists();
    assert_eq!([0, 1, 2].map(is_kept), [true, false, true]);
    // One that is larger than all may be is not kept.
    cache.bound = 10;
    fs::remove_file(cache.path(&layers[2].descriptor.digest)).expect("removed");
    of(&source, &layers[2], Some(&cache), &options).await.expect("a table");
    assert_eq!([0, 1, 2].map(is_kept), [true, false, false]);
}

#[tokio::test]
async fn a_table_in_a_file_is_the_one_in_memory() {
    let home = tempfile::tempdir().expect("a directory");
    let cache = Cache::new(home.path().join("contents"));
    // Several pages of a file, and one entry that is longer than a block should be.
    let mut entries: Vec<(Header, &[u8])> = (0..20_000_u64)
        .map(|place| {
            (
                Header::file(format!("{:x}", place.wrapping_mul(0x9e37_79b9_7f4a_7c15)), 0),
                &b""[..],
            )
        })
        .collect();
    entries[777].0.xattrs = [(b"user.long".to_vec(), vec![7; 20_000])].into();
    let (counted, source, layer) = rigged(&tar(&entries));
    let in_memory = read(&source, &layer, &Options::default()).await.expect("a table");
    let options = Options {
        memory_bytes: 1000,
        temporary: Some(home.path().to_owned()),
        ..Options::default()
    };
    let in_file = of(&source, &layer, Some(&cache), &options).await.expect("a table");
    let reads = fetched(&counted);
    // It is read from the file of the cache then, which needs no other one.
    let options = Options {
        temporary: None,
        ..options
    };
    let kept = of(&source, &layer, Some(&cache), &options).await.expect("a table");
    assert_eq!(fetched(&counted), reads);
    let all = |contents: &Contents| contents.entries().collect::<Result<Vec<_>>>().expect("entries");
    let expected = all(&in_memory);
    assert_eq!(expected.len(), 20_000);
    for contents in [&in_file, &kept] {
        assert_eq!(form(contents), form(&in_memory));
        assert!(all(contents) == expected);
    }
    // Any entry is found by its number, in whatever order it is asked for.
    let mut numbers = Vec::new();
    let mut reader = in_memory.reader();
    while let Some(entry) = reader.next().expect("an entry") {
        numbers.push((entry.number, entry.offset));
    }
    for contents in [&in_memory, &in_file, &kept] {
        for place in (0..20_000_usize).map(|place| place * 7919 % 20_000) {
            let (number, offset) = numbers[place];
            let found = contents.with(number, |entry| Ok((entry.offset, entry.path.to_vec())));
            assert_eq!(found.expect("an entry"), (offset, expected[place].path.clone()));
        }
        let last = numbers.last().expect("an entry").0;
        assert!(contents.with(last + BLOCK, |_| Ok(())).is_err());
    }
}

/// Whichever is done first, and however they are ordered for their sizes.
#[tokio::test]
async fn of_two_bad_layers_that_are_read_side_by_side_the_lower_is_named() {
    let rigged = Rigged::default();
    let noise: Vec<u8> = (0..4_000_000_u32)
        .map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect();
    let archive = tar(&[(Header::file("large", noise.len() as u64), &noise[..])]);
    // Wrong at its end.
    let mut lower = insert(&rigged.inner, 0, &archive, Compression::None);
    lower.diff_id = Digest::of(b"another");
    let whole = insert(&rigged.inner, 1, &everything(), Compression::Gzip);
    // Wrong at once.
    let absent = Layer {
        position: 2,
        descriptor: Descriptor::of(MediaType::OciLayer, b"absent"),
        diff_id: Digest::of(b"absent"),
    };
    let source = rigged.shared();
    let named = async |layers: &[Layer], side_by_side| {
        let mut options = Options::default();
        options.layers.side_by_side = side_by_side;
        let error = of_all(&source, layers, None, &options).await.expect_err("bad layers");
        error.to_string()
    };
    let says = |said: &str, layer: &Layer| assert!(said.contains(&layer.descriptor.digest.to_string()), "{said}");
    says(&named(&[lower.clone(), whole.clone(), absent.clone()], 3).await, &lower);
    // Nothing is waited for that lies above.
    says(
        &named(&[absent.clone(), whole.clone(), lower.clone()], 3).await,
        &absent,
    );
    // What was not begun is not known to be bad: the largest is the first.
    says(&named(&[absent.clone(), whole, lower.clone()], 1).await, &lower);
}
