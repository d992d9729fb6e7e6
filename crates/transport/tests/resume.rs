//! Does a blob that was cut off go on where it was, in a layout, whatever was left there?

#![cfg(all(feature = "layout", feature = "remote"))]

use std::{
    fs::{self, File},
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use crate::support::{
    content, fake,
    fake::Habits,
    image, plain, repository_with,
    scripted::{Reply, Scripted, Seen},
    settings,
};
use bytes::Bytes;
use rustix::fs::{FlockOperation, flock};
use teu_spec::{Descriptor, Digest, Pick};
use teu_store::{Error, ErrorKind, Event, Resume, Target, copy, gc};
use teu_transport::layout::Layout;

const SIZE: usize = 3 << 20;

/// A registry with one image, whose answers to requests of its layer a test changes.
struct Scene {
    server: Scripted,
    layer: Bytes,
    directory: tempfile::TempDir,
    told: Arc<Mutex<Vec<u64>>>,
}

impl Scene {
    async fn new(habits: Habits, change: impl Fn(&Seen, Reply) -> Reply + Send + Sync + 'static) -> Self {
        let fake = fake(habits);
        let layer = content(SIZE);
        let (document, blobs) = image(&layer);
        for (_, content) in &blobs {
            fake.blob("app", content);
        }
        fake.manifest("app", "1", &document);
        let wanted = format!("GET /v2/app/blobs/{}", Digest::of(&layer));
        let server = Scripted::start(move |seen| {
            let reply = fake.answer(seen);
            if seen.line() == wanted {
                change(seen, reply)
            } else {
                reply
            }
        })
        .await;
        Self {
            server,
            layer,
            directory: tempfile::tempdir().expect("a directory"),
            told: Arc::default(),
        }
    }

    /// One that answers as it should.
    async fn honest() -> Self {
        Self::new(Habits::default(), |_, reply| reply).await
    }

    fn layout(&self) -> Layout {
        Layout::create(self.directory.path(), None).expect("a layout")
    }

    fn part(&self) -> PathBuf {
        let name = format!(".teu-part-{}", Digest::of(&self.layer).to_string().replace(':', "-"));
        self.directory.path().join("blobs").join(name)
    }

    /// Leaves a part.
    fn leave(&self, content: &[u8]) -> &Self {
        drop(self.layout());
        fs::write(self.part(), content).expect("written");
        self
    }

    async fn copy(&self) -> Result<(), Error> {
        let mut settings = settings();
        settings.retry.times = 0;
        let source = repository_with(&self.server.host, "app", settings, plain());
        let target = Arc::new(self.layout());
        let told = self.told.clone();
        let events: teu_store::Events = Arc::new(move |event| {
            if let Event::BlobProgress { done, .. } = event {
                told.lock().expect("the events").push(done);
            }
        });
        let pick = Pick::Name("1".to_owned());
        let names = ["app".to_owned()];
        let options = copy::Options::default();
        copy::copy(Arc::new(source), &pick, target.clone(), &names, &options, &events).await?;
        target.finish().await
    }

    /// What was asked for of the layer: the ranges, or all.
    fn asked(&self) -> Vec<String> {
        let wanted = format!("/v2/app/blobs/{}", Digest::of(&self.layer));
        let seen = self.server.seen().into_iter().filter(|seen| seen.path() == wanted);
        seen.map(|seen| seen.header("range").unwrap_or("all").to_owned())
            .collect()
    }

    fn blob(&self) -> Vec<u8> {
        fs::read(
            self.directory
                .path()
                .join("blobs/sha256")
                .join(Digest::of(&self.layer).hex()),
        )
        .expect("the blob")
    }

    /// The blob is there, and nothing else was left.
    fn assert_whole(&self) {
        assert!(self.blob() == self.layer, "another blob");
        assert_eq!(litter(&self.directory.path().join("blobs")), Vec::<String>::new());
    }
}

fn litter(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).expect("a directory");
    let names = entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned());
    names.filter(|name| name.starts_with('.')).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_failed_goes_on_where_it_was() {
    let cut = AtomicUsize::new(0);
    let scene = Scene::new(Habits::default(), move |_, reply| match cut.fetch_add(1, Relaxed) {
        0 => reply.cut(2 << 20),
        _ => reply,
    })
    .await;
    let error = scene.copy().await.expect_err("cut off");
    assert_eq!(error.kind(), &ErrorKind::Io, "{error}");
    let done = fs::metadata(scene.part()).expect("a part").len();
    assert!(done >= 1 << 20, "{done}");
    scene.told.lock().expect("the events").clear();
    scene.copy().await.expect("copied");
    assert_eq!(scene.asked(), ["all".to_owned(), format!("bytes={done}-{}", SIZE - 1)]);
    let told = scene.told.lock().expect("the events");
    assert!(told.contains(&done) && told.contains(&(SIZE as u64)), "{told:?}");
    scene.assert_whole();
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_a_part_holds_the_blob_is_right() {
    let layer = content(SIZE);
    let rest = format!("bytes={}-{}", 1 << 20, SIZE - 1);
    let mut wrong = layer[..1 << 20].to_vec();
    wrong[1000] ^= 1;
    for (part, asked) in [
        (&layer[..1 << 20], vec![rest.as_str()]),
        (&layer[..], vec![]),
        (&[], vec!["all"]),
        // What is wrong is found out at the end, and the blob begun anew.
        (&wrong[..], vec![rest.as_str(), "all"]),
        (&[7; SIZE], vec!["all"]),
        (&[7; SIZE + 1], vec!["all"]),
    ] {
        let scene = Scene::honest().await;
        scene.leave(part).copy().await.expect("copied");
        assert_eq!(scene.asked(), asked);
        scene.assert_whole();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_without_ranges_gives_all_and_the_known_is_passed_over() {
    let habits = Habits {
        ranges: false,
        ..Habits::default()
    };
    let scene = Scene::new(habits, |_, reply| reply).await;
    let part = scene.layer[..1 << 20].to_vec();
    scene.leave(&part).copy().await.expect("copied");
    assert_eq!(scene.asked().len(), 1);
    scene.assert_whole();
}

#[tokio::test(flavor = "multi_thread")]
async fn threat_72_a_blob_that_changed_starts_anew_once() {
    // The registry has another blob now: it gives the rest of that, and all of it.
    let scene = Scene::new(Habits::default(), |seen, _| match seen.header("range") {
        Some(_) => Reply::new(206)
            .header("Content-Range", format!("bytes {}-{}/{SIZE}", 1 << 20, SIZE - 1))
            .body(vec![9; SIZE - (1 << 20)]),
        None => Reply::new(200).body(vec![9; SIZE]),
    })
    .await;
    let part = scene.layer[..1 << 20].to_vec();
    let error = scene.leave(&part).copy().await.expect_err("another blob");
    assert_eq!(error.kind(), &ErrorKind::Mismatch, "{error}");
    assert_eq!(
        scene.asked(),
        [format!("bytes={}-{}", 1 << 20, SIZE - 1), "all".to_owned()]
    );
    // A lie is not kept for next time.
    assert_eq!(litter(&scene.directory.path().join("blobs")), Vec::<String>::new());
    // One that ends before the part does.
    let scene = Scene::new(Habits::default(), |seen, reply| match seen.header("range") {
        Some(_) => Reply::new(416),
        None => reply,
    })
    .await;
    scene.leave(&part).copy().await.expect("copied");
    assert_eq!(scene.asked().len(), 2);
    scene.assert_whole();
}

#[tokio::test(flavor = "multi_thread")]
async fn threat_68_what_goes_on_past_the_size_is_neither_taken_nor_kept() {
    let scene = Scene::new(Habits::default(), |_, _| Reply::new(200).endless()).await;
    let error = scene.copy().await.expect_err("endless");
    assert_eq!(error.kind(), &ErrorKind::Mismatch);
    assert!(
        error.to_string().contains(&format!("goes on past its {SIZE} bytes")),
        "{error}"
    );
    assert_eq!(litter(&scene.directory.path().join("blobs")), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_that_another_writer_has_is_left_to_it() {
    let scene = Scene::honest().await;
    scene.leave(b"theirs");
    let theirs = File::open(scene.part()).expect("the part");
    flock(&theirs, FlockOperation::LockExclusive).expect("locked");
    scene.copy().await.expect("copied");
    assert_eq!(scene.asked(), ["all"]);
    assert_eq!(fs::read(scene.part()).expect("the part"), b"theirs");
    assert!(scene.blob() == scene.layer);
}

#[tokio::test(flavor = "multi_thread")]
async fn threat_105_what_was_planted_in_a_parts_place_is_not_followed() {
    for how in ["link", "dangling", "hard link", "directory", "fifo"] {
        let scene = Scene::honest().await;
        drop(scene.layout());
        let victim = scene.directory.path().join("victim");
        fs::write(&victim, "precious").expect("written");
        match how {
            "link" => symlink(&victim, scene.part()).expect("made"),
            "dangling" => symlink(scene.directory.path().join("nothing"), scene.part()).expect("made"),
            "hard link" => fs::hard_link(&victim, scene.part()).expect("made"),
            "directory" => fs::create_dir(scene.part()).expect("made"),
            _ => {
                let made = std::process::Command::new("mkfifo").arg(scene.part()).status();
                assert!(made.expect("mkfifo runs").success());
            }
        }
        scene.copy().await.expect(how);
        assert_eq!(scene.asked(), ["all"], "{how}");
        assert_eq!(fs::read(&victim).expect("read"), b"precious", "{how}");
        assert!(!scene.directory.path().join("nothing").exists());
        assert!(scene.blob() == scene.layer, "{how}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn parts_wait_for_a_week_and_until_the_blob_is_there_or_gc_comes() {
    let scene = Scene::honest().await;
    let part = scene.part();
    let write_something = async || {
        let layout = scene.layout();
        let ingest = layout.ingest(teu_store::Expected::default()).await.expect("begun");
        ingest.abort().await.expect("gone");
        layout.finish().await.expect("finished");
    };
    scene.leave(b"young");
    write_something().await;
    assert!(part.exists());
    let file = File::options().write(true).open(&part).expect("the part");
    let week = std::time::Duration::from_secs(8 * 24 * 3600);
    file.set_modified(std::time::SystemTime::now() - week).expect("set");
    write_something().await;
    assert!(!part.exists(), "an old part stays");

    scene.copy().await.expect("copied");
    scene.leave(b"of no use");
    write_something().await;
    assert!(!part.exists(), "a part of what is there stays");

    let other = Descriptor::of(teu_spec::MediaType::OciLayer, &content(2 << 20));
    let layout = scene.layout();
    let resumed = Resume::resume(&layout, &other).await.expect("begun").expect("a part");
    assert_eq!(resumed.done, 0);
    resumed.ingest.park().await;
    layout.finish().await.expect("finished");
    assert_eq!(litter(&scene.directory.path().join("blobs")).len(), 1);
    let layout = scene.layout();
    let sweep = layout.sweep().expect("its own blobs");
    gc::gc(&layout, sweep, &gc::Options::default())
        .await
        .expect("collected");
    assert_eq!(litter(&scene.directory.path().join("blobs")), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blob_that_went_on_has_the_mode_of_any_other() {
    let scene = Scene::honest().await;
    scene.leave(b"");
    fs::remove_file(scene.part()).expect("removed");
    scene.copy().await.expect("copied");
    let mode = |digest: Digest| {
        let path = scene.directory.path().join("blobs/sha256").join(digest.hex());
        fs::metadata(path).expect("a blob").permissions().mode()
    };
    let (_, blobs) = image(&scene.layer);
    assert_eq!(mode(blobs[0].0.digest), mode(blobs[1].0.digest));
}
