//! Does a blob that was cut off on its way from one registry to another come once, and does what is kept of it harm nobody?

#![cfg(all(feature = "layout", feature = "remote"))]

use std::{
    fs::{self, File},
    os::unix::fs::{PermissionsExt, symlink},
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, SystemTime},
};

use crate::support::{
    content, fake,
    fake::{Fake, Habits},
    image, plain, repository_with,
    scripted::{Reply, Scripted, Seen},
    settings,
};
use bytes::Bytes;
use rustix::fs::{FlockOperation, flock};
use teu_spec::{Digest, Pick};
use teu_store::{ErrorKind, Result, copy};
use teu_transport::partials::Partials;

const SIZE: usize = 6 << 20;
const HALF: usize = 3 << 20;

/// Two registries: one with an image, whose answers a test changes, and an empty one.
struct Scene {
    from: Scripted,
    to: Scripted,
    there: Arc<Fake>,
    layer: Bytes,
    directory: tempfile::TempDir,
    /// What is kept, by what rule.
    partials: Partials,
}

impl Scene {
    async fn new(habits: Habits, change: impl Fn(&Seen, Reply) -> Reply + Send + Sync + 'static) -> Self {
        let here = fake(habits);
        let layer = content(SIZE);
        let (document, blobs) = image(&layer);
        for (_, content) in &blobs {
            here.blob("app", content);
        }
        here.manifest("app", "1", &document);
        let wanted = format!("GET /v2/app/blobs/{}", Digest::of(&layer));
        let from = Scripted::start(move |seen| {
            let reply = here.answer(seen);
            if seen.line() == wanted {
                change(seen, reply)
            } else {
                reply
            }
        })
        .await;
        let there = fake(Habits::default());
        let answers = there.clone();
        let directory = tempfile::tempdir().expect("a directory");
        Self {
            from,
            to: Scripted::start(move |seen| answers.answer(seen)).await,
            there,
            layer,
            partials: Partials {
                worth: Duration::ZERO,
                ..Partials::new(directory.path().join("cache/parts"))
            },
            directory,
        }
    }

    async fn honest() -> Self {
        Self::new(Habits::default(), |_, reply| reply).await
    }

    fn part(&self) -> PathBuf {
        let name = format!(".teu-part-{}", Digest::of(&self.layer).to_string().replace(':', "-"));
        self.partials.directory.join(name)
    }

    fn leave(&self, content: &[u8]) -> &Self {
        fs::create_dir_all(&self.partials.directory).expect("made");
        fs::write(self.part(), content).expect("written");
        self
    }

    async fn copy(&self) -> Result<()> {
        let mut settings = settings();
        settings.retry.times = 0;
        let source = repository_with(&self.from.host, "app", settings.clone(), plain());
        let target = Arc::new(repository_with(&self.to.host, "app", settings, plain()));
        let options = copy::Options {
            partials: Some(Arc::new(self.partials.clone())),
            ..copy::Options::default()
        };
        let names = ["1".to_owned()];
        let pick = Pick::Name("1".to_owned());
        let events = teu_store::silent();
        copy::copy(Arc::new(source), &pick, target, &names, &options, &events).await?;
        Ok(())
    }

    fn asked(&self) -> Vec<String> {
        let wanted = format!("/v2/app/blobs/{}", Digest::of(&self.layer));
        let seen = self.from.seen().into_iter().filter(|seen| seen.path() == wanted);
        seen.map(|seen| seen.header("range").unwrap_or("all").to_owned())
            .collect()
    }

    /// The image is there, and nothing was left.
    fn assert_whole(&self) {
        let state = self.there.state.lock().expect("the state");
        let found = state.blobs.get(&("app".to_owned(), Digest::of(&self.layer)));
        assert!(found.is_some_and(|found| *found == self.layer), "another blob");
        assert_eq!(self.kept(), Vec::<String>::new());
    }

    fn kept(&self) -> Vec<String> {
        let Ok(entries) = fs::read_dir(&self.partials.directory) else {
            return Vec::new();
        };
        let names = entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned());
        names.collect()
    }
}

fn rest() -> String {
    format!("bytes={HALF}-{}", SIZE - 1)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_came_before_the_break_does_not_come_again() {
    let cut = AtomicUsize::new(0);
    let scene = Scene::new(Habits::default(), move |_, reply| match cut.fetch_add(1, Relaxed) {
        0 => reply.cut(4 << 20),
        _ => reply,
    })
    .await;
    let error = scene.copy().await.expect_err("cut off");
    assert_eq!(error.kind(), &ErrorKind::Io, "{error}");
    // The writer is told and not waited for.
    let done = async {
        let lock = loop {
            let part = File::open(scene.part());
            match part {
                Ok(part) if flock(&part, FlockOperation::NonBlockingLockExclusive).is_ok() => break part,
                _ => tokio::time::sleep(Duration::from_millis(1)).await,
            }
        };
        lock.metadata().expect("a part").len()
    };
    let done = tokio::time::timeout(Duration::from_secs(20), done)
        .await
        .expect("a part");
    assert!(done > 2 << 20, "{done}");
    let mode = |path: PathBuf| fs::metadata(path).expect("kept").permissions().mode() & 0o777;
    assert_eq!(mode(scene.part()), 0o600);
    assert_eq!(mode(scene.partials.directory.clone()), 0o700);
    scene.copy().await.expect("copied");
    assert_eq!(scene.asked(), ["all".to_owned(), format!("bytes={done}-{}", SIZE - 1)]);
    scene.assert_whole();
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_kept_the_blob_is_right() {
    let layer = content(SIZE);
    let mut wrong = layer[..HALF].to_vec();
    wrong[1000] ^= 1;
    for (kept, asked) in [
        (&layer[..HALF], vec![rest()]),
        (&layer[..], vec![]),
        (&[], vec!["all".to_owned()]),
        (&wrong[..], vec![rest(), "all".to_owned()]),
        (&[7; SIZE], vec!["all".to_owned()]),
        (&[7; SIZE + 1], vec!["all".to_owned()]),
    ] {
        let scene = Scene::honest().await;
        scene.leave(kept).copy().await.expect("copied");
        assert_eq!(scene.asked(), asked);
        scene.assert_whole();
    }
    // A registry that knows no ranges gives all.
    let habits = Habits {
        ranges: false,
        ..Habits::default()
    };
    let scene = Scene::new(habits, |_, reply| reply).await;
    scene.leave(&layer[..HALF]).copy().await.expect("copied");
    assert_eq!(scene.asked(), [rest()]);
    scene.assert_whole();
}

#[tokio::test(flavor = "multi_thread")]
async fn threat_72_a_blob_that_changed_starts_anew_once() {
    let scene = Scene::new(Habits::default(), |seen, _| match seen.header("range") {
        Some(_) => Reply::new(206)
            .header("Content-Range", format!("bytes {HALF}-{}/{SIZE}", SIZE - 1))
            .body(vec![9; SIZE - HALF]),
        None => Reply::new(200).body(vec![9; SIZE]),
    })
    .await;
    let kept = scene.layer[..HALF].to_vec();
    let error = scene.leave(&kept).copy().await.expect_err("another blob");
    assert_eq!(error.kind(), &ErrorKind::Mismatch, "{error}");
    assert_eq!(scene.asked(), [rest(), "all".to_owned()]);
    assert_eq!(scene.kept(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_fast_is_not_written_twice() {
    let mut scene = Scene::new(Habits::default(), |_, reply| reply.cut(4 << 20)).await;
    scene.partials.worth = Duration::from_secs(3600);
    scene.copy().await.expect_err("cut off");
    assert_eq!(scene.kept(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_oldest_make_room_but_for_what_another_process_is_at() {
    let mut scene = Scene::new(Habits::default(), |_, reply| reply.cut(4 << 20)).await;
    scene.partials.bound = 8 << 20;
    fs::create_dir_all(&scene.partials.directory).expect("made");
    let mut files = Vec::new();
    for (age, name) in [(3, "taken"), (2, "old"), (1, "young")] {
        let digest = Digest::of(name.as_bytes()).to_string().replace(':', "-");
        let path = scene.partials.directory.join(format!(".teu-part-{digest}"));
        fs::write(&path, vec![0; 1 << 20]).expect("written");
        let file = File::options().write(true).open(&path).expect("a part");
        file.set_modified(SystemTime::now() - Duration::from_secs(age))
            .expect("set");
        files.push((file, path));
    }
    flock(&files[0].0, FlockOperation::LockExclusive).expect("locked");
    scene.copy().await.expect_err("cut off");
    let there: Vec<bool> = files.iter().map(|(_, path)| path.exists()).collect();
    assert_eq!(there, [true, false, true]);
    // What is larger than all may be together is not kept at all.
    let mut scene = Scene::new(Habits::default(), |_, reply| reply.cut(4 << 20)).await;
    scene.partials.bound = SIZE as u64 - 1;
    scene.copy().await.expect_err("cut off");
    assert_eq!(scene.kept(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_that_another_process_is_at_is_left_to_it() {
    let scene = Scene::honest().await;
    scene.leave(b"theirs");
    let theirs = File::open(scene.part()).expect("the part");
    flock(&theirs, FlockOperation::LockExclusive).expect("locked");
    scene.copy().await.expect("copied");
    assert_eq!(scene.asked(), ["all"]);
    assert_eq!(fs::read(scene.part()).expect("the part"), b"theirs");
}

#[tokio::test(flavor = "multi_thread")]
async fn threat_105_a_directory_that_others_have_a_hand_in_is_not_used() {
    for how in ["open", "link", "planted"] {
        let scene = Scene::honest().await;
        let victim = scene.directory.path().join("victim");
        fs::write(&victim, &scene.layer[..HALF]).expect("written");
        match how {
            "open" => {
                scene.leave(&scene.layer[..HALF]);
                let open = fs::Permissions::from_mode(0o777);
                fs::set_permissions(&scene.partials.directory, open).expect("set");
            }
            "link" => {
                let elsewhere = scene.directory.path().join("elsewhere");
                fs::create_dir(&elsewhere).expect("made");
                fs::create_dir(scene.directory.path().join("cache")).expect("made");
                symlink(&elsewhere, &scene.partials.directory).expect("made");
            }
            _ => {
                fs::create_dir_all(&scene.partials.directory).expect("made");
                symlink(&victim, scene.part()).expect("made");
            }
        }
        scene.copy().await.expect(how);
        assert_eq!(scene.asked(), ["all"], "{how}");
        assert_eq!(fs::read(&victim).expect("read"), &scene.layer[..HALF], "{how}");
    }
}
