//! Two processes write into one layout while its garbage is collected, and one is killed: no name ever points at what is missing.
#![cfg(all(feature = "archives", feature = "remote"))]

use crate::support;
use std::{
    fs,
    path::Path,
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use teu_spec::{Digest, MediaType, Pick};
use teu_store::{
    Error, ErrorKind, Event, Expect, Intent, Role, Source, Target, gc,
    suite::Image,
    verify::{self, verify},
};
use teu_transport::layout::Layout;

/// Images that a writer puts, each with a layer of its own and one that all share.
const IMAGES: usize = 25;

fn image(writer: &str, n: usize) -> Image {
    let own = Bytes::from(format!("{writer} {n} ").repeat(5_000));
    let shared = support::content(300_000);
    Image::of(teu_store::Takes::EVERYTHING, &format!("{writer}-{n}"), &[shared, own])
}

/// This test again, as a process of its own that runs one function, `role`.
fn process(role: &str, layout: &Path) -> Child {
    let this = std::env::current_exe().expect("this test");
    Command::new(this)
        .args(["--exact", "layout_writers::writer", "--ignored"])
        .env("TEU_TEST_WRITER", role)
        .env("TEU_TEST_LAYOUT", layout)
        .stdout(Stdio::null())
        .spawn()
        .expect("it runs")
}

/// What the other processes do: images are put one after the other, through a copy, as `teu copy` does it.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "a part of other tests, which run it in processes of their own"]
async fn writer() {
    let (Ok(role), Some(layout)) = (std::env::var("TEU_TEST_WRITER"), std::env::var_os("TEU_TEST_LAYOUT")) else {
        return;
    };
    for n in 0..IMAGES {
        let memory = Arc::new(teu_store::Memory::new());
        let image = image(&role, n);
        image.put(&*memory, &["image"]).await.expect("put");
        let target = Arc::new(Layout::create(Path::new(&layout), None).expect("a layout"));
        let pick = Pick::Name("image".to_owned());
        let names = [format!("{role}-{n}")];
        let options = teu_store::copy::Options::default();
        let copied = teu_store::copy::copy(memory, &pick, target.clone(), &names, &options, &teu_store::silent()).await;
        copied.expect("copied");
        target.finish().await.expect("finished");
    }
}

/// Collects garbage without mercy for what is young; while a writer is at work it is refused.
async fn collected(layout: &Path) -> Result<gc::Report, Error> {
    let layout = Layout::open(layout, None)?;
    let options = gc::Options {
        grace: Duration::ZERO,
        ..gc::Options::default()
    };
    gc::gc(&layout, layout.sweep().expect("it sweeps"), &options).await
}

/// Every name leads to an image that is all there, and is right.
async fn names_are_whole(path: &Path) -> Vec<String> {
    let layout = Arc::new(Layout::open(path, None).expect("a layout"));
    let page = layout.browse().expect("lists").names(None).await.expect("names");
    let mut names = Vec::new();
    for named in page.items {
        let found = named.descriptor.expect("a descriptor");
        let report = verify(layout.clone(), &found, &verify::Options::default())
            .await
            .expect("verified");
        assert!(report.findings.is_empty(), "{:?}", report.findings);
        names.extend(named.name);
    }
    names.sort();
    names
}

fn litter(path: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for directory in [path.to_owned(), path.join("blobs")] {
        for entry in fs::read_dir(directory).expect("a directory") {
            let name = entry.expect("an entry").file_name().into_string().expect("a name");
            if name.starts_with(".teu-") {
                found.push(name);
            }
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn two_processes_write_while_garbage_is_collected() {
    let root = tempfile::tempdir().expect("a directory");
    let path = root.path().join("layout");
    Layout::create(&path, None).expect("a layout");
    let mut writers = [process("one", &path), process("two", &path)];
    let (mut swept, mut refused) = (0, 0);
    loop {
        match collected(&path).await {
            Ok(_) => swept += 1,
            Err(error) => {
                assert_eq!(error.kind(), &ErrorKind::Conflict, "{error}");
                refused += 1;
            }
        }
        let ended = writers.iter_mut().map(|writer| writer.try_wait().expect("a process"));
        if ended.collect::<Vec<_>>().iter().all(Option::is_some) {
            break;
        }
    }
    for mut writer in writers {
        assert!(writer.wait().expect("a process").success());
    }
    let mut expected: Vec<String> = (0..IMAGES)
        .flat_map(|n| [format!("one-{n}"), format!("two-{n}")])
        .collect();
    expected.sort();
    assert_eq!(
        names_are_whole(&path).await,
        expected,
        "swept {swept} times, refused {refused} times"
    );
    let report = collected(&path).await.expect("nobody writes");
    assert_eq!(report.removed, [], "no image left garbage");
    assert_eq!(litter(&path), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_writer_that_is_killed_leaves_garbage_at_most() {
    let root = tempfile::tempdir().expect("a directory");
    let path = root.path().join("layout");
    Layout::create(&path, None).expect("a layout");
    // Killed at some point or other of its work: each time when the layout has so many files.
    for files in [1, 2, 5, 9, 14, 30] {
        let mut child = process("killed", &path);
        let begun = Instant::now();
        loop {
            let count = fs::read_dir(path.join("blobs/sha256")).map_or(0, Iterator::count);
            if count >= files || child.try_wait().expect("a process").is_some() {
                break;
            }
            assert!(begun.elapsed() < Duration::from_secs(60), "it writes nothing");
        }
        child.kill().expect("killed");
        child.wait().expect("a process");
        names_are_whole(&path).await;
    }
    // The next writer goes on where it was, and removes what lies half-written.
    let mut child = process("killed", &path);
    assert!(child.wait().expect("a process").success());
    let mut expected: Vec<String> = (0..IMAGES).map(|n| format!("killed-{n}")).collect();
    expected.sort();
    assert_eq!(names_are_whole(&path).await, expected);
    assert_eq!(litter(&path), Vec::<String>::new());
    assert_eq!(collected(&path).await.expect("collected").removed, []);
}

/// A writer that found a blob, and will not write it again, keeps it.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_writer_found_is_kept_for_it() {
    let root = tempfile::tempdir().expect("a directory");
    let path = root.path().join("layout");
    let layout = Layout::create(&path, None).expect("a layout");
    let image = image("found", 0);
    image.put(&layout, &["x"]).await.expect("put");
    layout.finish().await.expect("finished");
    layout
        .delete()
        .expect("deletes")
        .untag("x", Expect::Any)
        .await
        .expect("untagged");
    drop(layout);
    let writer = Layout::open(&path, None).expect("a layout");
    for child in image.document.children() {
        let found = writer
            .stat(Role::Blob, &child.digest, Intent::Write)
            .await
            .expect("a stat");
        assert_eq!(found.map(|found| found.size), Some(child.size));
    }
    let refused = collected(&path).await.expect_err("it is about to be named");
    assert_eq!(refused.kind(), &ErrorKind::Conflict, "{refused}");
    writer
        .put_manifest(&image.document, &image.digest, &["y".to_owned()], Default::default())
        .await
        .expect("put");
    writer.finish().await.expect("finished");
    assert_eq!(collected(&path).await.expect("collected").removed, []);
    assert_eq!(names_are_whole(&path).await, ["y"]);
    assert_eq!(MediaType::OciManifest, *image.document.media_type());
    assert_eq!(Digest::of(image.document.raw()), image.digest);
}

/// What a killed writer left in the layout itself goes too, and what is not ours stays.
#[test]
fn litter_goes_and_what_is_not_known_stays() {
    let root = tempfile::tempdir().expect("a directory");
    let path = root.path().join("layout");
    Layout::create(&path, None).expect("a layout");
    for name in [
        ".teu-1-2-3",
        "blobs/.teu-1-2-4",
        "notes.txt",
        "blobs/sha256-old",
        ".hidden",
    ] {
        fs::write(path.join(name), "x").expect("written");
    }
    Layout::create(&path, None).expect("a layout");
    assert_eq!(litter(&path), Vec::<String>::new());
    for name in ["notes.txt", "blobs/sha256-old", ".hidden"] {
        assert!(path.join(name).exists(), "{name}");
    }
}

#[test]
fn old_litter_goes_where_blobs_are_shared_and_what_somebody_may_write_stays() {
    let root = tempfile::tempdir().expect("a directory");
    let (path, shared) = (root.path().join("layout"), root.path().join("shared"));
    Layout::create(&path, Some(shared.clone())).expect("a layout");
    let part = format!(".teu-part-{}", Digest::of(b"part").to_string().replace(':', "-"));
    let week = Duration::from_secs(7 * 24 * 3600);
    for (name, age) in [
        (".teu-1-2-3", week + Duration::from_secs(60)),
        (".teu-1-2-4", week - Duration::from_secs(3600)),
        (part.as_str(), week + Duration::from_secs(60)),
        ("old", week * 2),
    ] {
        let file = fs::File::create(shared.join(name)).expect("a file");
        file.set_modified(std::time::SystemTime::now() - age).expect("its time");
    }
    Layout::create(&path, Some(shared.clone())).expect("a layout");
    let mut left: Vec<String> = fs::read_dir(&shared)
        .expect("a directory")
        .map(|entry| entry.expect("an entry").file_name().into_string().expect("a name"))
        .collect();
    left.sort();
    assert_eq!(left, [".teu-1-2-4", "old"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wait_for_another_process_is_told() {
    let root = tempfile::tempdir().expect("a directory");
    let path = root.path().join("layout");
    Layout::create(&path, None).expect("a layout");
    // The index, as another writer has it, and all of the layout, as gc has it.
    for locked in ["oci-layout", ""] {
        let lock = fs::File::open(path.join(locked)).expect("a file");
        lock.lock().expect("locked");
        let (tell, told) = std::sync::mpsc::channel();
        let layout = Layout::open(&path, None).expect("a layout");
        let layout = layout.telling(Arc::new(move |event| {
            // The test has ended with its first assertion.
            let _ = tell.send(event);
        }));
        let put = tokio::spawn(async move {
            image("waits", 0).put(&layout, &["x"]).await.expect("put");
            layout.finish().await.expect("finished");
        });
        let told = tokio::task::spawn_blocking(move || told.recv_timeout(Duration::from_secs(60)));
        let told = told.await.expect("no panic").expect("it is told");
        let Event::Waiting { reason } = &told else {
            panic!("{told:?}");
        };
        assert!(
            reason.contains(&path.join(locked).display().to_string().trim_end_matches('/').to_owned()),
            "{reason}"
        );
        assert!(!put.is_finished());
        drop(lock);
        put.await.expect("it goes on");
    }
    assert_eq!(names_are_whole(&path).await, ["x"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prepared_layout_is_made_by_the_first_write() {
    let root = tempfile::tempdir().expect("a directory");
    let path = root.path().join("new/layout");
    let layout = Layout::prepare(&path, None).expect("prepared");
    let image = image("first", 0);
    let found = layout.resolve(&teu_spec::Pick::Only).await.expect_err("nothing");
    assert_eq!(found.kind(), &ErrorKind::NotFound, "{found}");
    let found = layout.stat(Role::Manifest, &image.digest, Intent::Read).await;
    assert_eq!(found.expect("a stat"), None);
    assert!(!root.path().join("new").exists());
    image.put(&layout, &["x"]).await.expect("put");
    layout.finish().await.expect("finished");
    assert_eq!(names_are_whole(&path).await, ["x"]);
    // What is in its way is said before anything is read.
    fs::write(root.path().join("file"), "").expect("written");
    let refused = Layout::prepare(root.path().join("file"), None)
        .map(|_| ())
        .expect_err("a file");
    assert_eq!(refused.kind(), &ErrorKind::Conflict, "{refused}");
}
