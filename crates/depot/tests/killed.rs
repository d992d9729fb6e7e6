//! Is all that was acknowledged there after kill -9, wherever it struck, and nothing that is half? A process of its own pushes, deletes and
//! collects side by side, says what was acknowledged to it, and is killed before or after a step. Then the depot is opened again.

mod support;
#[path = "support/watched.rs"]
mod watched;

use std::{
    collections::{BTreeMap, BTreeSet},
    env,
    io::Write,
    path::Path,
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures_util::future::join_all;
use support::{NOW, below, settings};
use teu_depot::{Clock, Depot, Files, Metadata, Millis, PARTS, Place, Settings, Sqlite};
use teu_spec::{Algorithm, Digest, Pick};
use teu_store::{
    ErrorKind, Intent, Keyset, Reopened, Repositories, Result, Role, Sessions, SourceExt, Store, Takes, suite::Image,
    suite::run,
};
use watched::{CONTENT, METADATA, Watched};

/// Tells the process that it is the one that is killed: the directory, the step, and when.
const ROLE: &str = "TEU_DEPOT_KILLED";
const PUSHERS: usize = 4;
const IMAGES: usize = 6;
/// Those of one pusher are large: they are written past the kernel's cache, in pieces, by threads.
const LARGE: &str = "u0-";

/// What an upload has in the end; it is written in three parts.
fn upload(id: &str) -> Bytes {
    let length = if id.starts_with(LARGE) { (7 << 20) + 5 } else { 300_000 };
    let mut content: Vec<u8> = (0..=250).collect::<Vec<u8>>().repeat(length / 251 + 1);
    content.truncate(length);
    // No part is like another.
    for (number, part) in content.chunks_exact_mut(4096).enumerate() {
        part[..8].copy_from_slice(&number.to_le_bytes());
    }
    content.into()
}

fn keeping() -> Settings {
    Settings {
        // Only what is named stays: collections have something to do.
        lease: Duration::ZERO,
        ..settings()
    }
}

/// Says something to who reads it, before anything else is done.
fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    out.write_all(format!("\n@ {line}\n").as_bytes()).expect("said");
    out.flush().expect("said");
}

/// Not a test: what is killed.
#[test]
#[ignore = "run by the others"]
fn victim() {
    let Ok(role) = env::var(ROLE) else { return };
    let parts: Vec<&str> = role.split(' ').collect();
    let [directory, step, after, count] = parts[..] else {
        panic!("{role}")
    };
    let (step, after): (String, bool) = (step.to_owned(), after == "after");
    let left = AtomicI64::new(count.parse().expect("a count"));
    let watch: watched::Watch = Arc::new(move |name, taken| {
        if name == step && taken == after && left.fetch_sub(1, Ordering::SeqCst) == 1 {
            let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
            loop {
                std::thread::park();
            }
        }
        Ok(())
    });
    let directory = Path::new(directory);
    run(async {
        let metadata = Sqlite::open(&directory.join("metadata.sqlite")).expect("metadata");
        let content = Files::open(directory).expect("content");
        let depot = Depot::of(
            Arc::new(Watched {
                inner: metadata,
                watch: Arc::clone(&watch),
            }),
            Arc::new(Watched { inner: content, watch }),
            keeping(),
        );
        let pushes = join_all((0..PUSHERS).map(|pusher| push(&depot, pusher)));
        let done = std::sync::atomic::AtomicBool::new(false);
        let collects = async {
            while !done.load(Ordering::SeqCst) {
                depot.collect(0).await.expect("collected");
                tokio::task::yield_now().await;
            }
        };
        let pushes = async {
            pushes.await;
            done.store(true, Ordering::SeqCst);
        };
        futures_util::future::join(pushes, collects).await;
    });
}

async fn push(depot: &Depot, pusher: usize) {
    let store = depot
        .open(&format!("app{}", pusher % 2), Intent::Write)
        .await
        .expect("a repository");
    for n in 0..IMAGES {
        let image = Image::small(Takes::EVERYTHING, &format!("{pusher}-{n}"));
        let tag = format!("t{pusher}-{n}");
        while let Err(error) = image.put(store.as_target(), &[&tag]).await {
            assert!(matches!(error.kind(), ErrorKind::MissingChildren(_)), "{error}");
        }
        say(&format!("image app{} {tag} {}", pusher % 2, image.digest));
        let id = format!("u{pusher}-{n}");
        upload_some(depot, &id).await.expect("written");
        if n % 3 == 2 {
            say(&format!("going app{} {tag}", pusher % 2));
            let delete = store.delete().expect("the power to delete");
            delete.delete(Role::Manifest, &image.digest).await.expect("deleted");
            say(&format!("gone app{} {tag}", pusher % 2));
        }
    }
}

async fn upload_some(depot: &Depot, id: &str) -> Result<()> {
    let content = upload(id);
    let part = content.len() / 3;
    let mut session = depot.begin("app0", id, Algorithm::Sha256).await?;
    for start in [0, part] {
        session.write(content.slice(start..start + part)).await?;
        session.record().await?;
        say(&format!("upload {id} {}", start + part));
    }
    // Every other one is aborted or ends.
    match id.as_bytes().last() {
        Some(b'1') => {
            say(&format!("ending {id}"));
            session.abort().await
        }
        Some(b'3') => {
            session.write(content.slice(2 * part..)).await?;
            say(&format!("ending {id}"));
            session.commit(Some(Digest::of(&content))).await.map(drop)
        }
        _ => Ok(()),
    }
}

/// What was acknowledged.
#[derive(Default)]
struct Said {
    images: BTreeMap<(String, String), Digest>,
    /// Those that were perhaps deleted.
    going: BTreeSet<(String, String)>,
    gone: BTreeSet<(String, String)>,
    uploads: BTreeMap<String, u64>,
    ended: BTreeSet<String>,
}

/// Runs the victim, and says whether it was killed.
fn kill(directory: &Path, step: &str, after: &str, count: usize) -> (Said, bool) {
    let output = Command::new(env::current_exe().expect("this program"))
        .args(["victim", "--exact", "--ignored", "--nocapture"])
        .env(ROLE, format!("{} {step} {after} {count}", directory.display()))
        .stderr(Stdio::piped())
        .output()
        .expect("it runs");
    let killed = std::os::unix::process::ExitStatusExt::signal(&output.status) == Some(9);
    assert!(
        killed || output.status.success(),
        "{step} {after}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let text = String::from_utf8(output.stdout).expect("text");
    // A line that was cut off was not said.
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    let mut said = Said::default();
    for line in whole.lines().filter_map(|line| line.strip_prefix("@ ")) {
        let words: Vec<&str> = line.split(' ').collect();
        let own = |word: &str| word.to_owned();
        match words[..] {
            ["image", app, tag, digest] => {
                said.images
                    .insert((own(app), own(tag)), digest.parse().expect("a digest"));
            }
            ["going", app, tag] => drop(said.going.insert((own(app), own(tag)))),
            ["gone", app, tag] => drop(said.gone.insert((own(app), own(tag)))),
            ["upload", id, offset] => drop(said.uploads.insert(own(id), offset.parse().expect("a number"))),
            ["ending", id] => drop(said.ended.insert(own(id))),
            _ => panic!("{line}"),
        }
    }
    (said, killed)
}

/// All that was said is there, and all that is there is whole.
async fn check(directory: &Path, said: &Said) {
    let depot = Depot::open(directory, keeping()).await.expect("it opens");
    for ((app, tag), digest) in &said.images {
        let key = (app.clone(), tag.clone());
        let found = resolve(&depot, app, tag).await;
        match (said.gone.contains(&key), said.going.contains(&key)) {
            (true, _) => assert_eq!(found, None, "{app}:{tag} was deleted"),
            (false, true) => assert!(found.is_none_or(|found| found == *digest), "{app}:{tag}"),
            (false, false) => assert_eq!(found, Some(*digest), "{app}:{tag} was acknowledged"),
        }
    }
    let whole = Keyset {
        after: None,
        limit: 1000,
    };
    let apps = depot.repositories(whole).await.expect("a list").items;
    for app in &apps {
        let store = depot.open(app, Intent::Read).await.expect("it is there");
        let names = store.browse().expect("a list").names(None).await.expect("names").items;
        for named in names {
            let found = named.descriptor.expect("a descriptor");
            let document = store.document(&found).await.expect("a manifest");
            for child in document.children() {
                let reader = store.as_source().open(Role::Blob, &child).await.expect("a blob");
                reader.read_all(child.size).await.expect("its bytes");
            }
        }
    }
    for (id, offset) in &said.uploads {
        let content = upload(id);
        let reopened = depot.reopen("app0", id).await.expect("asked");
        let Some(Reopened { mut session, done }) = reopened else {
            assert!(said.ended.contains(id), "{id} is not there");
            continue;
        };
        assert!(done >= *offset, "{id}: {done} of {offset}");
        session.write(content.slice(done as usize..)).await.expect("written");
        session
            .commit(Some(Digest::of(&content)))
            .await
            .expect("what was kept is what was sent");
    }
    drop(depot);
    let uploads = below(&directory.join("uploads"));
    let metadata = Sqlite::open(&directory.join("metadata.sqlite")).expect("metadata");
    for file in uploads {
        let name = file.file_name().expect("a name").to_string_lossy().into_owned();
        let id = name.strip_prefix("s-").unwrap_or_else(|| panic!("{name} is left"));
        assert!(metadata.session(id).await.expect("asked").is_some(), "{name} is left");
    }
    drop(metadata);
    // Two hours later nothing is there that nobody knows.
    let later = Settings {
        clock: Clock::of(|| Millis(NOW + 2 * 3_600_000)),
        ..keeping()
    };
    let depot = Depot::open(directory, later).await.expect("it opens");
    depot.collect(PARTS).await.expect("collected");
    drop(depot);
    let metadata = Sqlite::open(&directory.join("metadata.sqlite")).expect("metadata");
    let files = below(&directory.join("blobs"));
    let places: Vec<Place> = files
        .iter()
        .filter_map(|file| file.file_name()?.to_str()?.parse().ok())
        .collect();
    assert_eq!(places.len(), files.len(), "only places");
    assert_eq!(metadata.unknown(places).await.expect("asked"), []);
    assert_eq!(metadata.tombstones(Millis(i64::MAX), 0, 10).await.expect("asked"), []);
}

async fn resolve(depot: &Depot, app: &str, tag: &str) -> Option<Digest> {
    let found = async {
        let store: Arc<dyn Store> = depot.open(app, Intent::Read).await?;
        store.resolve(&Pick::Name(tag.to_owned())).await
    };
    match found.await {
        Ok(found) => Some(found.digest),
        Err(error) => {
            assert_eq!(error.kind(), &ErrorKind::NotFound, "{error}");
            None
        }
    }
}

fn killed_at(steps: &[&str]) {
    for step in steps {
        for (after, count) in [("before", 1), ("after", 1), ("before", 7), ("after", 8)] {
            let directory = tempfile::tempdir().expect("a directory");
            let path = directory.path().join("depot");
            // Made by one that is not killed; it may be empty.
            run(async { drop(Depot::open(&path, keeping()).await.expect("a depot")) });
            let (said, killed) = kill(&path, step, after, count);
            let rare = ["forget", "end_session", "remove_manifest"].contains(step);
            assert!(killed || count > 4 && rare, "{after} {step} {count} did not come");
            run(check(&path, &said));
        }
    }
}

#[test]
fn a_kill_at_a_step_of_content_loses_nothing() {
    // Sessions that are aborted are forgotten by the bytes' own step.
    let steps: Vec<&str> = CONTENT.into_iter().filter(|step| *step != "forget").collect();
    killed_at(&steps);
}

#[test]
fn a_kill_at_a_step_of_metadata_loses_nothing() {
    killed_at(&METADATA);
}

/// The same directory through many kills.
#[test]
fn kill_after_kill_loses_nothing() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("depot");
    run(async { drop(Depot::open(&path, keeping()).await.expect("a depot")) });
    for count in 1..6 {
        let (said, killed) = kill(&path, "put_manifest", "before", 2 * count);
        assert!(killed);
        run(check(&path, &said));
    }
}
