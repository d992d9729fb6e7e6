use std::{
    fs,
    ops::Range,
    sync::{Arc, Mutex},
};

use teu_archive::{
    codec::{Compression, Inside},
    tar::{Header, Writer},
};
use teu_spec::Algorithm;
use teu_store::{Source, blocking::BATCH};

use super::*;
use crate::{
    contents::{Contents, Options, read},
    rigged::{Lie, Rigged, insert},
};

const FILES: u64 = 120;
const SIZE: u64 = 30_001;
/// Of what these tests make, more than that is whole layers.
const EVERY: u64 = 64 << 10;

fn content(number: u64) -> Vec<u8> {
    let mut state = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut content = Vec::new();
    while content.len() < SIZE as usize {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        content.extend_from_slice(format!("{:x} ", state >> 40).as_bytes());
    }
    content.truncate(SIZE as usize);
    content
}

/// Files, and a link between two.
fn archive() -> Vec<u8> {
    let mut writer = Writer::new(Vec::new());
    for number in 0..FILES {
        let header = Header::file(format!("srv/file-{number}"), SIZE);
        writer.append_data(&header, &content(number)).expect("written");
        if number == 70 {
            writer.append(&Header::symlink("srv/link", "file-3")).expect("written");
        }
    }
    writer.finish().expect("whole")
}

/// A place for images that tells what it was asked for, a layer of it, and a cache.
struct Case {
    rigged: Arc<Rigged>,
    source: Arc<dyn Source>,
    layer: Layer,
    cache: Cache,
    options: Options,
    /// Where the file with each number is.
    wanted: Vec<Wanted>,
    _home: tempfile::TempDir,
}

impl Case {
    async fn new(tar: &[u8], compression: Compression) -> Self {
        Self::rigged(Rigged::default(), tar, compression).await
    }

    /// The layer was read once, and all files of it are known.
    async fn rigged(rigged: Rigged, tar: &[u8], compression: Compression) -> Self {
        let home = tempfile::tempdir().expect("a directory");
        let mut cache = Cache::new(home.path().join("contents"));
        cache.places_every = EVERY;
        let layer = insert(&rigged.inner, 0, tar, compression);
        let rigged = Arc::new(rigged);
        let source: Arc<dyn Source> = Arc::clone(&rigged) as _;
        let mut options = Options::default();
        options.layers.places = Some(cache.clone());
        let contents = read(&source, &layer, &options).await.expect("a table");
        Self {
            wanted: files(&contents),
            _home: home,
            rigged,
            source,
            layer,
            cache,
            options,
        }
    }

    fn path(&self) -> PathBuf {
        self.cache.places_path(&self.layer.descriptor.digest)
    }

    /// What was asked for of the layer since this was asked last.
    fn asked(&self) -> Vec<Option<Range<u64>>> {
        std::mem::take(&mut self.rigged.ranges.lock().expect("a list"))
    }

    /// What is seen of these files, and whether that is said to be all.
    async fn seen(&self, numbers: &[u64]) -> (Vec<(u64, Vec<u8>)>, bool) {
        let wanted = numbers.iter().map(|number| self.wanted[*number as usize]).collect();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let sees = Arc::clone(&seen);
        let all = visit(
            &self.source,
            &self.layer,
            &self.options,
            wanted,
            move |offset, content| {
                let mut bytes = Vec::new();
                content.read_to_end(&mut bytes)?;
                sees.lock().expect("a list").push((offset, bytes));
                Ok(())
            },
        );
        let all = all.await;
        let seen = std::mem::take(&mut *seen.lock().expect("a list"));
        (seen, all)
    }

    /// Reads the layer as a whole, which remembers its places where they are not known.
    async fn again(&self) -> teu_store::Result<Contents> {
        read(&self.source, &self.layer, &self.options).await
    }

    fn map(&self) -> Map {
        Map::of_file(&File::open(self.path()).expect("it is kept")).expect("a map")
    }
}

fn files(contents: &Contents) -> Vec<Wanted> {
    let entries = contents.entries().map(|entry| entry.expect("an entry"));
    let file = |entry: crate::contents::Entry| match entry.what {
        crate::contents::What::Make(teu_rootfs::Node::File(size)) => Some(Wanted {
            offset: entry.offset,
            size,
        }),
        _ => None,
    };
    entries.filter_map(file).collect()
}

#[tokio::test]
async fn each_file_is_read_from_a_place_before_it() {
    for compression in [Compression::Gzip, Compression::None] {
        let case = Case::new(&archive(), compression).await;
        assert_eq!(case.asked(), [None]);
        let blob = case.layer.descriptor.size;
        for number in 0..FILES {
            let expected = vec![(case.wanted[number as usize].offset, content(number))];
            assert!(case.seen(&[number]).await == (expected, true), "{compression} {number}");
            let asked = case.asked();
            let [Some(range)] = &asked[..] else {
                panic!("{compression} {number}: {asked:?}")
            };
            // What a place, the file and the states around it are apart, and no more.
            let most = match compression {
                Compression::None => 2 * BATCH as u64 + SIZE + (64 << 10),
                _ => 3 * EVERY + BATCH as u64,
            };
            let length = range.end - range.start;
            assert!(
                length <= most && range.end <= blob,
                "{compression} {number}: {range:?} of {blob}"
            );
        }
        // Those that are near each other at once, whatever their order; and each only once.
        let (seen, all) = case.seen(&[50, 5, 51, 6, 5]).await;
        let numbers = [5, 6, 50, 51];
        let expected: Vec<_> = numbers
            .iter()
            .map(|number| (case.wanted[*number as usize].offset, content(*number)))
            .collect();
        assert!(all && seen == expected);
        assert_eq!(case.asked().len(), 2);
        // Where most of it is wanted, the whole is read.
        let most: Vec<u64> = (10..FILES - 10).collect();
        assert_eq!(case.seen(&most).await, (Vec::new(), false));
        assert_eq!(case.asked(), []);
    }
}

#[tokio::test]
async fn what_is_kept_is_a_hundredth_of_the_layer_and_bounded() {
    let case = Case::new(&archive(), Compression::Gzip).await;
    let map = case.map();
    assert_eq!(map.states.len() as u64, map.size / BATCH as u64);
    let blob = case.layer.descriptor.size;
    assert!(
        map.places.len() as u64 > blob / EVERY / 2,
        "{} places",
        map.places.len()
    );
    for pair in map.places.windows(2) {
        assert!(pair[1].input - pair[0].input >= EVERY);
    }
    let cache = Cache::new("unused");
    let every = |size| {
        let mut layer = case.layer.clone();
        layer.descriptor.size = size;
        cache.every(&layer)
    };
    assert_eq!(every((6 << 20) - 1), None);
    assert_eq!(every(6 << 20), Some(3 << 20));
    assert_eq!(every(10 << 30), Some(10 << 20));
    let most = |size: u64| size / every(size).expect("large") * (32 << 10);
    assert!([6 << 20, 1 << 30, 10 << 30].map(|size: u64| most(size) * 90 <= size) == [true; 3]);
    assert_eq!(most(10 << 30), 32 << 20);
}

#[tokio::test]
async fn a_layer_of_one_frame_is_read_as_a_whole() {
    let case = Case::new(&archive(), Compression::Zstd).await;
    assert_eq!(case.map().places, []);
    assert_eq!(case.seen(&[5]).await, (Vec::new(), false));
    // Its beginning is none that can be read alone.
    assert_eq!(case.seen(&[0]).await, (Vec::new(), false));
}

#[tokio::test]
async fn what_is_kept_and_not_right_gives_nothing_and_is_made_anew() {
    let case = Case::new(&archive(), Compression::Gzip).await;
    let (path, right) = (case.path(), fs::read(case.path()).expect("it is kept"));
    let map = case.map();
    let windows = right.len() - map.end().len();
    let with = |change: &dyn Fn(&mut Map)| {
        let mut map = map.clone();
        change(&mut map);
        [&right[..windows], &map.end()].concat()
    };
    let flipped = |at: usize| {
        let mut bytes = right.clone();
        bytes[at] ^= 1;
        bytes
    };
    let mut no_windows = right.clone();
    no_windows[..windows].fill(0);
    let other = teu_spec::Digest::of(b"another");
    let wrong = [
        ("nothing", Vec::new()),
        ("a cut file", right[..right.len() - 1].to_vec()),
        ("a cut window", right[1..].to_vec()),
        ("a wrong sum", flipped(right.len() - 1)),
        ("a wrong map", flipped(right.len() - 100)),
        ("other windows", no_windows),
        ("another layer", with(&|map| map.layer = other)),
        ("another DiffID", with(&|map| map.diff_id = other)),
        ("another size", with(&|map| map.blob_size += 1)),
        ("another state", with(&|map| map.states[6] = map.states[5].clone())),
        (
            "another place",
            with(&|map| map.places.iter_mut().for_each(|place| place.output += 1)),
        ),
        ("no gzip", with(&|map| map.compression = Compression::None)),
    ];
    for (what, bytes) in wrong {
        fs::write(&path, bytes).expect("written");
        // The sixth and seventh piece have these.
        let (seen, all) = case.seen(&[50, 60]).await;
        let expected = [50, 60].map(|number| (case.wanted[number as usize].offset, content(number)));
        assert!(!all, "{what}");
        assert!(seen.iter().all(|seen| expected.contains(seen)), "{what}");
        assert!(!path.exists(), "{what}");
        case.again().await.expect("it is whole");
        assert!(fs::read(&path).expect("it is kept") == right, "{what}");
    }
    let (seen, all) = case.seen(&[50, 60]).await;
    assert!(all && seen.len() == 2);
}

#[tokio::test]
async fn of_a_layer_that_is_another_now_nothing_is_seen() {
    for lie in [Lie::Flipped, Lie::Dies, Lie::Short] {
        let case = Case::new(&archive(), Compression::Gzip).await;
        let rigged = Rigged::default();
        let layer = insert(&rigged.inner, 0, &archive(), Compression::Gzip);
        assert_eq!(layer.descriptor.digest, case.layer.descriptor.digest);
        let rigged = Rigged {
            lies: [(layer.descriptor.digest, lie)].into(),
            ..rigged
        };
        let lying = Case {
            source: rigged.shared(),
            ..case
        };
        let (seen, all) = lying.seen(&[60]).await;
        match lie {
            // The last byte is one that is not needed.
            Lie::Short => assert!(all && seen.len() == 1),
            _ => assert_eq!((seen, all), (Vec::new(), false), "{lie:?}"),
        }
        lying.again().await.expect_err("it is not what its digest says");
    }
}

#[tokio::test]
async fn nothing_is_kept_of_a_layer_that_was_not_verified() {
    let names = |case: &Case| {
        let names = fs::read_dir(&case.cache.directory).expect("a directory").flatten();
        names.map(|entry| entry.file_name()).collect::<Vec<_>>()
    };
    let case = Case::new(&archive(), Compression::Gzip).await;
    assert_eq!(names(&case), [case.path().file_name().expect("a name")]);
    fs::remove_file(case.path()).expect("removed");
    let mut other = case.layer.clone();
    other.diff_id = teu_spec::Digest::of(b"another");
    read(&case.source, &other, &case.options).await.expect_err("another");
    assert_eq!(names(&case), <[&str; 0]>::default());
    let lies = [(case.layer.descriptor.digest, Lie::Long)].into();
    let rigged = Rigged {
        lies,
        ..Rigged::default()
    };
    insert(&rigged.inner, 0, &archive(), Compression::Gzip);
    read(&rigged.shared(), &case.layer, &case.options)
        .await
        .expect_err("another");
    assert_eq!(names(&case), <[&str; 0]>::default());
}

#[tokio::test]
async fn where_it_cannot_be_kept_layers_are_read_nevertheless() {
    let mut case = Case::new(&archive(), Compression::Gzip).await;
    let file = case.cache.directory.join("no-directory");
    fs::write(&file, "").expect("written");
    let elsewhere = Cache {
        directory: file.join("contents"),
        ..case.cache.clone()
    };
    case.options.layers.places = Some(elsewhere);
    case.again().await.expect("it is whole");
    assert_eq!(case.seen(&[3]).await, (Vec::new(), false));
    // One that has no room for it.
    let small = Cache {
        bound: 10,
        ..case.cache.clone()
    };
    fs::remove_file(case.path()).expect("removed");
    case.options.layers.places = Some(small);
    case.again().await.expect("it is whole");
    assert_eq!(case.seen(&[3]).await, (Vec::new(), false));
    case.options.layers.places = None;
    assert_eq!(case.seen(&[3]).await, (Vec::new(), false));
}

#[tokio::test]
async fn places_make_room_as_tables_do() {
    let mut case = Case::new(&archive(), Compression::Gzip).await;
    let size = fs::metadata(case.path()).expect("it is kept").len();
    let older = case.cache.directory.join("sha256-older");
    let newer = case.cache.directory.join("sha256-newer");
    for (path, seconds) in [(&older, 1), (&newer, 2)] {
        fs::write(path, [0; 1000]).expect("written");
        let when = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(seconds);
        let file = File::options().write(true).open(path).expect("opened");
        file.set_modified(when).expect("a time");
    }
    fs::remove_file(case.path()).expect("removed");
    case.cache.bound = size + 1000;
    case.options.layers.places = Some(case.cache.clone());
    case.again().await.expect("it is whole");
    assert_eq!(
        [older.exists(), newer.exists(), case.path().exists()],
        [false, true, true]
    );
}

/// A file of 4 GiB with five bytes in it, in the old format of GNU.
#[tokio::test]
async fn holes_are_passed_over() {
    let mut writer = Writer::new(Vec::new());
    let before = writer.append_data(&Header::file("before", 4 << 20), &vec![b'x'; 4 << 20]);
    before.expect("written");
    let offset = (4 << 20) + 512;
    writer
        .append_data(&Header::file("holes", 5), b"hello")
        .expect("written");
    for number in 0..40 {
        let header = Header::file(format!("file-{number}"), SIZE);
        writer.append_data(&header, &content(number)).expect("written");
    }
    let mut tar = writer.finish().expect("whole");
    let header = &mut tar[offset..offset + 512];
    header[156] = b'S';
    header[257..265].copy_from_slice(b"ustar  \0");
    for (at, value) in [(386, 30_000_u64), (398, 5), (410, 4 << 30), (422, 0), (483, 4 << 30)] {
        header[at..at + 12].copy_from_slice(format!("{value:011o}\0").as_bytes());
    }
    header[148..156].copy_from_slice(b"        ");
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    let case = Case::new(&tar, Compression::None).await;
    let holes = case.wanted[1];
    assert_eq!((holes.offset, holes.size), (offset as u64, 4 << 30));
    let chunks = Arc::new(Mutex::new(Vec::new()));
    let sees = Arc::clone(&chunks);
    let seen = visit(
        &case.source,
        &case.layer,
        &case.options,
        vec![holes],
        move |_, content| {
            while let Some(chunk) = content.next_chunk()? {
                sees.lock().expect("a list").push((chunk.offset, chunk.data.to_vec()));
            }
            Ok(())
        },
    );
    assert!(seen.await);
    assert_eq!(*chunks.lock().expect("a list"), [(30_000, b"hello".to_vec())]);
}

#[tokio::test]
async fn an_entry_that_is_not_the_one_that_was_told_of_is_not_seen() {
    let mut case = Case::new(&archive(), Compression::Gzip).await;
    let right = case.wanted[5];
    for (offset, size) in [
        (right.offset, right.size + 1),
        (right.offset + 512, right.size),
        (right.offset + 1, right.size),
        (case.map().size, 1),
        (u64::MAX, u64::MAX),
    ] {
        case.wanted[5] = Wanted { offset, size };
        assert_eq!(case.seen(&[5]).await, (Vec::new(), false), "{offset} {size}");
        case.again().await.expect("it is whole");
    }
}

fn a_map() -> Map {
    let state = |count: usize| {
        let mut hasher = Algorithm::Sha256.hasher();
        hasher.update(&vec![0; count]);
        hasher.save()
    };
    let inside = |at, bytes| Inside {
        bits: 5,
        count: 3,
        crc: 0x1234_5678,
        size: u32::MAX,
        window: Window { at, bytes },
    };
    let place = |input, output, inside| Begin { input, output, inside };
    Map {
        layer: teu_spec::Digest::of(b"blob"),
        diff_id: teu_spec::Digest::of(b"archive"),
        compression: Compression::Gzip,
        blob_size: 1000,
        size: 3500,
        between: 1000,
        states: vec![state(1000), state(2000), state(3000)],
        places: vec![
            place(200, 700, Some(inside(0, 700))),
            place(400, 1500, None),
            place(600, 1500, Some(inside(700, 1))),
            place(800, 3000, Some(inside(701, 32 << 10))),
        ],
    }
}

#[test]
fn a_map_is_read_as_it_was_written() {
    let map = a_map();
    let form = map.to_bytes();
    assert_eq!(Map::from_bytes(&form).expect("a map"), map);
    for end in 0..form.len() {
        assert!(Map::from_bytes(&form[..end]).is_err(), "{end}");
    }
    assert!(Map::from_bytes(&[&form[..], b"x"].concat()).is_err());
    for at in 0..form.len() {
        for mask in [1, 0x80, 0xff] {
            let mut changed = form.clone();
            changed[at] ^= mask;
            // It has a sum where it is kept. What can be read as one can be written.
            if let Ok(read) = Map::from_bytes(&changed) {
                assert_eq!(Map::from_bytes(&read.to_bytes()).expect("a map"), read, "{at}");
            }
        }
    }
    type Change = fn(&mut Map);
    let wrong: [(&str, Change); 9] = [
        ("a state too few", |map| drop(map.states.pop())),
        ("states that are too far apart", |map| {
            (map.size, map.between) = (3 << 30, 1 << 30);
        }),
        ("no bytes between states", |map| map.between = 0),
        ("a state that is none", |map| map.states[1][0] = 9),
        ("a window that is too large", |map| {
            map.places[0].inside.as_mut().expect("inside").window.bytes = (32 << 10) + 1;
        }),
        ("too many bits", |map| {
            map.places[0].inside.as_mut().expect("inside").count = 8
        }),
        ("a place twice", |map| map.places[1].input = 200),
        ("a place behind the blob", |map| map.blob_size = 799),
        ("a place behind the archive", |map| map.places[3].output = 3501),
    ];
    for (what, change) in wrong {
        let mut map = a_map();
        change(&mut map);
        assert!(Map::from_bytes(&map.to_bytes()).is_err(), "{what}");
    }
}

#[test]
fn one_begins_at_the_last_place_and_ends_where_it_is_enough() {
    let map = a_map();
    for (output, input) in [
        (0, 0),
        (699, 0),
        (700, 200),
        (1499, 200),
        (1500, 600),
        (2999, 600),
        (3000, 800),
    ] {
        assert_eq!(map.before(output).input, input, "{output}");
    }
    for (output, input) in [
        (0, 200),
        (700, 200),
        (701, 400),
        (1500, 400),
        (1501, 800),
        (3000, 800),
        (3001, 1000),
    ] {
        assert_eq!(map.enough(output), input, "{output}");
    }
    let plain = Map {
        compression: Compression::None,
        ..map
    };
    assert_eq!(
        (plain.before(1234).input, plain.enough(777), plain.enough(5000)),
        (1234, 777, 1000)
    );
}
