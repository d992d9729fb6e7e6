//! What becomes of an image that cannot be unpacked, or is not to be any more, while a layer is ahead?

use std::path::PathBuf;

use super::*;

/// Whatever is wrong is said in the words, and in the order, in which it is said where nothing is ahead; and nothing is left.
#[tokio::test]
async fn what_fails_is_said_as_without() {
    let large = content(LARGE, 9);
    let good: Entries<'_> = vec![file("a", &large), file("b", b"b")];
    let add = |entry: (Header, &'static [u8])| {
        let mut entries = good.clone();
        entries.insert(1, entry);
        Case::of(&with_last(&entries))
    };
    add(file("..", b"x")).fails("the root", "it is the root").await;
    add(file("a/below", b"x")).fails("below a file", "a/below").await;
    add(file("d/.wh.", b"x")).fails("a whiteout", "refused").await;
    add(header(EntryKind::HardLink, "h", "nowhere"))
        .fails("a hard link", "nothing is where it leads to")
        .await;
    let long = "n".repeat(256);
    let mut owned = file(&long, b"x");
    owned.0.uid = 77;
    add(owned).fails("an owner before a name", "is in no range").await;

    let mut cut = with_last(&good);
    for length in [LARGE / 2, LARGE + 512, 700] {
        cut[2].truncate(length);
        Case::of(&cut).fails("cut", "the stream ends").await;
    }
    let mut name_and_cut = with_last(&vec![file(&long, &large)]);
    name_and_cut[2].truncate(LARGE / 2);
    Case::of(&name_and_cut)
        .fails("a name before what is cut", "the limit name_bytes")
        .await;

    let mut other = Case::of(&with_last(&good));
    other.layers[2].diff_id = Digest::of(b"another");
    other.fails("a DiffID", "DiffID").await;
    Case::of(&with_last(&good))
        .lies(2, Lie::Flipped)
        .fails("flipped", "")
        .await;
    Case::of(&with_last(&good))
        .lies(2, Lie::Dies)
        .fails("it dies", "the connection was reset")
        .await;

    let limits = [
        (
            "entries",
            Budget {
                entries: 13,
                ..Budget::default()
            },
        ),
        (
            "bytes",
            Budget {
                bytes: LARGE as u64 / 2,
                ..Budget::default()
            },
        ),
        (
            "file_bytes",
            Budget {
                file_bytes: LARGE as u64 - 1,
                ..Budget::default()
            },
        ),
        (
            "name_bytes",
            Budget {
                name_bytes: 8,
                ..Budget::default()
            },
        ),
    ];
    let named: Entries<'_> = vec![
        file("a", &large),
        file("n/a/m/e/d/longer-than-8", b"b"),
        file("c", b"c"),
    ];
    for (limit, budget) in limits {
        let case = Case::of(&with_last(&named)).budget(budget);
        case.fails(limit, &format!("the limit {limit} is")).await;
    }
}

#[tokio::test]
async fn what_fails_first_is_said_first() {
    let large = content(LARGE, 9);
    let bad = vec![file("a", &large), file("..", b"x")];
    let broken = |place: usize, lie| {
        let mut all = with_last(&bad);
        all[1] = tar(&[file("b/../../..", b"x")]);
        Case::of(&all).lies(place, lie)
    };
    let words = "b/../../..: refused";
    for (name, lie) in [("flipped", Lie::Flipped), ("dies", Lie::Dies), ("short", Lie::Short)] {
        broken(2, lie).fails(name, words).await;
    }
    // Nobody waits for what never comes.
    broken(2, Lie::Hangs).fails("hangs", words).await;
}

#[test]
fn who_wants_it_to_stop_finds_nothing() {
    let large = content(LARGE, 9);
    let case = Case::of(&with_last(&vec![file("a", &large), file("b", &large)])).lies(0, Lie::Hangs);
    let home = tempfile::tempdir().expect("a directory");
    let source = Rigged {
        inner: case.store.clone(),
        lies: case.lies.clone(),
        ..Rigged::default()
    };
    let options = Options {
        ahead: ways()[4].clone(),
        ..Options::default()
    };
    let (stop, image) = (options.stop.clone(), case.image());
    let destination = home.path().join("root");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let task = runtime.spawn(async move {
        let source = source.shared();
        unpack(&source, &image, &destination, &options).await.map(drop)
    });
    let places = || {
        fs::read_dir(home.path())
            .expect("a directory")
            .map(|entry| entry.expect("an entry").path())
    };
    let files = |place: PathBuf| fs::read_dir(place).map_or(0, Iterator::count);
    let begun = std::time::Instant::now();
    // Nothing of the first comes, and both files of the last are made.
    while places().all(|place| files(place) < 2) {
        assert!(begun.elapsed() < LIMIT, "nothing is made ahead");
        thread::yield_now();
    }
    task.abort();
    drop(runtime);
    stop.wait();
    assert_eq!(places().count(), 0);
}

#[tokio::test]
async fn where_something_is_in_the_way_no_layer_is_asked_for() {
    let case = Case::of(&[tar(&[directory("etc/")])]);
    let rigged = Arc::new(Rigged {
        inner: case.store.clone(),
        ..Rigged::default()
    });
    let source = Arc::clone(&rigged) as Arc<dyn Source>;
    let fetched = || rigged.fetched.lock().expect("a list").len();
    let home = tempfile::tempdir().expect("a directory");
    std::fs::write(home.path().join("file"), "").expect("written");
    let error = unpack(&source, &case.image(), home.path(), &Options::default()).await;
    let error = error.expect_err("something is there");
    assert_eq!((error.kind(), fetched()), (&ErrorKind::Conflict, 0), "{error}");
    let options = Options {
        owners: Owners::Recorded,
        ..Options::default()
    };
    let unpacked = unpack(&source, &case.image(), &home.path().join("new"), &options).await;
    assert_eq!((unpacked.is_ok(), fetched()), (true, 1));
}
