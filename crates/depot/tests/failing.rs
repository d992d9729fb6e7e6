//! What is there when the disk is full, breaks, or forgets what was not synced? All that was acknowledged, nothing that is half, and the depot
//! goes on when there is room again (threats 103 and 104).

mod support;
#[path = "support/watched.rs"]
mod watched;

use std::{
    io::Write as _,
    ops::Range,
    path::Path,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use support::{NOW, below, clock, settings};
use teu_depot::{Content, Depot, Files, Millis, OpenFiles, Place, Placing, Settings, Sqlite, Writing};
use teu_spec::{Algorithm, Descriptor, Digest, MediaType, Pick};
use teu_store::{
    BoxFuture, Error, ErrorKind, Expected, How, Intent, Reader, Reopened, Repositories, Result, Role, Sessions, Takes,
    suite::Image, suite::run,
};
use watched::{Watch, Watched};

/// Content that has on its disk only what was synced: the rest is gone with it.
struct Volatile(Files);

struct VolatileWriting {
    files: Files,
    name: String,
    stays: bool,
    disk: Option<Box<dyn Writing>>,
    memory: Vec<Bytes>,
}

impl VolatileWriting {
    async fn flush(&mut self) -> Result<&mut Box<dyn Writing>> {
        let mut disk = match self.disk.take() {
            Some(disk) => disk,
            // The name is not on the disk before.
            None => self.files.begin(&self.name, self.stays).await?,
        };
        for bytes in self.memory.drain(..) {
            disk.write(bytes).await?;
        }
        Ok(self.disk.insert(disk))
    }
}

impl Content for Volatile {
    fn begin<'a>(&'a self, name: &'a str, stays: bool) -> BoxFuture<'a, Result<Box<dyn Writing>>> {
        let writing = VolatileWriting {
            files: self.0.clone(),
            name: name.to_owned(),
            stays,
            disk: None,
            memory: Vec::new(),
        };
        Box::pin(std::future::ready(Ok(Box::new(writing) as Box<dyn Writing>)))
    }

    fn reopen<'a>(&'a self, name: &'a str, offset: u64) -> BoxFuture<'a, Result<Option<Box<dyn Writing>>>> {
        Box::pin(async move {
            let disk = self.0.reopen(name, offset).await?;
            Ok(disk.map(|disk| {
                Box::new(VolatileWriting {
                    files: self.0.clone(),
                    name: name.to_owned(),
                    stays: true,
                    disk: Some(disk),
                    memory: Vec::new(),
                }) as Box<dyn Writing>
            }))
        })
    }

    fn forget<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<()>> {
        self.0.forget(name)
    }

    fn begun(&self) -> BoxFuture<'_, Result<Vec<String>>> {
        self.0.begun()
    }

    fn read<'a>(&'a self, place: &'a Place, size: u64, range: Range<u64>) -> BoxFuture<'a, Result<Option<Reader>>> {
        self.0.read(place, size, range)
    }

    fn remove<'a>(&'a self, place: &'a Place) -> BoxFuture<'a, Result<()>> {
        self.0.remove(place)
    }

    fn size<'a>(&'a self, place: &'a Place) -> BoxFuture<'a, Result<Option<u64>>> {
        self.0.size(place)
    }

    fn quarantine<'a>(&'a self, place: &'a Place) -> BoxFuture<'a, Result<()>> {
        self.0.quarantine(place)
    }

    fn part(&self, part: u16) -> BoxFuture<'_, Result<Vec<Place>>> {
        self.0.part(part)
    }

    fn files(&self) -> Option<&dyn OpenFiles> {
        self.0.files()
    }
}

impl Writing for VolatileWriting {
    fn write(&mut self, bytes: Bytes) -> BoxFuture<'_, Result<()>> {
        self.memory.push(bytes);
        Box::pin(std::future::ready(Ok(())))
    }

    fn sync(&mut self) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move { self.flush().await?.sync().await })
    }

    fn read(&mut self) -> BoxFuture<'_, Result<Reader>> {
        Box::pin(async move { self.flush().await?.read().await })
    }

    fn place(mut self: Box<Self>, place: Placing) -> BoxFuture<'static, Result<Place>> {
        Box::pin(async move {
            self.flush().await?;
            match self.disk.take() {
                Some(disk) => disk.place(place).await,
                None => place(),
            }
        })
    }

    fn forget(self: Box<Self>) -> BoxFuture<'static, Result<()>> {
        Box::pin(async move { self.files.forget(&self.name).await })
    }
}

fn depot_of(directory: &Path, content: impl Content + 'static) -> Depot {
    let metadata = Sqlite::open(&directory.join("metadata.sqlite")).expect("metadata");
    Depot::of(Arc::new(metadata), Arc::new(content), settings())
}

/// How much is recorded of what is large.
const LARGE_RECORDED: usize = (3 << 20) + 1;

#[test]
fn what_was_not_synced_was_not_acknowledged() {
    run(async {
        let directory = tempfile::tempdir().expect("a directory");
        let open = async || {
            let depot = depot_of(
                directory.path(),
                Volatile(Files::open(directory.path()).expect("files")),
            );
            depot.recover().await.expect("recovered");
            depot
        };
        let depot = open().await;
        let store = depot.open("app", Intent::Write).await.expect("a repository");
        let image = Image::small(Takes::EVERYTHING, "image");
        image.put(store.as_target(), &["v1"]).await.expect("put");
        let mut half = store.ingest(Expected::default()).await.expect("an ingest");
        half.write(Bytes::from_static(b"half")).await.expect("written");
        let large: Bytes = (0..(7 << 20) + 5).map(|n: usize| (n / 4096 + n % 251) as u8).collect();
        let mut whole = store.ingest(Expected::default()).await.expect("an ingest");
        whole.write(large.clone()).await.expect("written");
        let whole = whole.commit(None).await.expect("committed");
        // What is large goes past the kernel's cache, in pieces; the first of these begins where no block does.
        let mut sessions = Vec::new();
        for (id, recorded, lost) in [
            (
                "recorded",
                Bytes::from_static(b"recorded"),
                Bytes::from_static(b" and lost"),
            ),
            ("large", large.slice(..LARGE_RECORDED), large.slice(LARGE_RECORDED..)),
        ] {
            let mut session = depot.begin("app", id, Algorithm::Sha256).await.expect("begun");
            session.write(recorded).await.expect("written");
            session.record().await.expect("recorded");
            session.write(lost).await.expect("written");
            sessions.push(session);
        }
        let new = depot.begin("app", "new", Algorithm::Sha256).await.expect("begun");
        // The power is cut.
        drop((half, sessions, new, store, depot));
        let depot = open().await;
        let store = depot.open("app", Intent::Read).await.expect("a repository");
        let found = store.resolve(&Pick::Name("v1".to_owned())).await.expect("resolved");
        assert_eq!(found.digest, image.digest);
        for (child, blob) in image.document.children().iter().zip(&image.blobs) {
            let reader = teu_store::SourceExt::open(store.as_source(), Role::Blob, child)
                .await
                .expect("a blob");
            assert_eq!(&reader.read_all(child.size).await.expect("its bytes"), blob);
        }
        let descriptor = Descriptor::new(MediaType::OciLayer, whole.digest, whole.size);
        let reader = teu_store::SourceExt::open(store.as_source(), Role::Blob, &descriptor)
            .await
            .expect("a blob");
        assert!(reader.read_all(whole.size).await.expect("its bytes") == large);
        for (id, recorded, rest, digest) in [
            (
                "recorded",
                8,
                Bytes::from_static(b" and sent again"),
                Digest::of(b"recorded and sent again"),
            ),
            ("large", LARGE_RECORDED, large.slice(LARGE_RECORDED..), whole.digest),
        ] {
            let Reopened { mut session, done } = depot.reopen("app", id).await.expect("asked").expect("there");
            assert_eq!(done, recorded as u64);
            session.write(rest).await.expect("written");
            session.commit(Some(digest)).await.expect("committed");
        }
        let Reopened { done, .. } = depot.reopen("app", "new").await.expect("asked").expect("there");
        assert_eq!(done, 0);
    });
}

/// Which step fails from now on, and with what.
type Fails = Arc<Mutex<Option<(&'static str, ErrorKind)>>>;

fn failing(directory: &Path) -> (Depot, Fails) {
    let fails: Fails = Arc::default();
    let told = Arc::clone(&fails);
    let watch: Watch = Arc::new(move |step, taken| match &*told.lock().expect("a switch") {
        Some((fails, kind)) if *fails == step && !taken => Err(Error::new(kind.clone(), "there is no room")),
        _ => Ok(()),
    });
    let metadata = Watched {
        inner: Sqlite::open(&directory.join("metadata.sqlite")).expect("metadata"),
        watch: Arc::clone(&watch),
    };
    let content = Watched {
        inner: Files::open(directory).expect("files"),
        watch,
    };
    (Depot::of(Arc::new(metadata), Arc::new(content), settings()), fails)
}

/// Each step of a push fails for want of room: nothing of it is there, or takes room, and then it goes through.
#[test]
fn a_full_disk_is_said_and_leaves_nothing() {
    run(async {
        for step in ["begin", "write", "place", "put_blob", "put_manifest"] {
            let directory = tempfile::tempdir().expect("a directory");
            let (depot, fails) = failing(directory.path());
            let store = depot.open("app", Intent::Write).await.expect("a repository");
            let before = Image::small(Takes::EVERYTHING, "before");
            before.put(store.as_target(), &["before", "latest"]).await.expect("put");
            let files = below(directory.path()).len();
            *fails.lock().expect("a switch") = Some((step, ErrorKind::Quota));
            let image = Image::small(Takes::EVERYTHING, "image");
            let error = image.put(store.as_target(), &["latest"]).await.expect_err(step);
            assert_eq!(error.kind(), &ErrorKind::Quota, "{step}: {error}");
            depot.collect(0).await.expect("collected");
            let left = below(&directory.path().join("uploads"));
            assert_eq!(left, Vec::<std::path::PathBuf>::new(), "{step}");
            if step != "put_manifest" {
                assert_eq!(below(directory.path()).len(), files, "{step}: no room is taken");
            }
            let tag = async |name: &str| {
                let found = store.resolve(&Pick::Name(name.to_owned())).await;
                found.expect("resolved").digest
            };
            assert_eq!(tag("latest").await, before.digest, "{step}");
            *fails.lock().expect("a switch") = None;
            image.put(store.as_target(), &["latest"]).await.expect("there is room");
            assert_eq!(
                (tag("latest").await, tag("before").await),
                (image.digest, before.digest)
            );
        }
    });
}

/// So does each step of taking over a file.
#[test]
fn a_full_disk_takes_over_no_file() {
    run(async {
        let content = b"what is taken over";
        let wanted = Descriptor::of(MediaType::OciLayer, content);
        for step in ["copy", "place", "put_blob"] {
            let directory = tempfile::tempdir().expect("a directory");
            let (depot, fails) = failing(directory.path());
            let store = depot.open("app", Intent::Write).await.expect("a repository");
            let adopt = async || {
                let mut file = tempfile::tempfile().expect("a file");
                file.write_all(content).expect("written");
                let adopt = store.adopt().expect("the power to adopt");
                adopt.adopt(file, &wanted, false).await
            };
            let files = below(directory.path()).len();
            *fails.lock().expect("a switch") = Some((step, ErrorKind::Quota));
            let error = adopt().await.expect_err(step);
            assert_eq!(error.kind(), &ErrorKind::Quota, "{step}: {error}");
            assert_eq!(below(directory.path()).len(), files, "{step}: no room is taken");
            *fails.lock().expect("a switch") = None;
            assert_eq!(adopt().await.expect("there is room"), How::Linked, "{step}");
        }
    });
}

/// What lies at a place and has no row goes after an hour, and a disk may take longer than that for what was written to last: only then is the place
/// asked for.
#[test]
fn a_place_is_as_old_as_what_lasts() {
    run(async {
        let directory = tempfile::tempdir().expect("a directory");
        let (clock, pass) = clock();
        let watch: Watch = Arc::new(move |step, taken| {
            if step == "place" && !taken {
                pass(7200);
            }
            Ok(())
        });
        let metadata = Sqlite::open(&directory.path().join("metadata.sqlite")).expect("metadata");
        let content = Watched {
            inner: Files::open(directory.path()).expect("files"),
            watch,
        };
        let settings = Settings { clock, ..settings() };
        let depot = Depot::of(Arc::new(metadata), Arc::new(content), settings);
        let mut session = depot.begin("app", "one", Algorithm::Sha256).await.expect("begun");
        session.write(Bytes::from_static(b"content")).await.expect("written");
        session.commit(None).await.expect("committed");
        let files = below(&directory.path().join("blobs"));
        let [file] = &files[..] else {
            panic!("{files:?}");
        };
        let name = file.file_name().and_then(|name| name.to_str()).expect("a name");
        let place: Place = name.parse().expect("a place");
        assert_eq!(place.ulid.made(), Millis(NOW + 7_200_000));
    });
}

/// Nothing is known of what a failed sync left: the upload is gone, and is begun anew.
#[test]
fn an_upload_whose_sync_failed_is_gone() {
    run(async {
        for step in ["sync", "place"] {
            let directory = tempfile::tempdir().expect("a directory");
            let (depot, fails) = failing(directory.path());
            let mut session = depot.begin("app", "one", Algorithm::Sha256).await.expect("begun");
            session.write(Bytes::from_static(b"content")).await.expect("written");
            *fails.lock().expect("a switch") = Some((step, ErrorKind::Io));
            let error = match step {
                "sync" => {
                    let error = session.record().await.expect_err(step);
                    session
                        .write(Bytes::from_static(b"more"))
                        .await
                        .expect_err("it is gone");
                    drop(session);
                    error
                }
                _ => session.commit(None).await.expect_err(step),
            };
            assert_eq!(error.kind(), &ErrorKind::Io, "{error}");
            *fails.lock().expect("a switch") = None;
            assert!(depot.reopen("app", "one").await.expect("asked").is_none());
            assert_eq!(
                below(&directory.path().join("uploads")),
                Vec::<std::path::PathBuf>::new()
            );
            depot.begin("app", "one", Algorithm::Sha256).await.expect("begun anew");
        }
    });
}

/// Where there is no room for more of an upload, what was recorded of it stays, whichever step finds that out.
#[test]
fn an_upload_goes_on_when_there_is_room() {
    run(async {
        let large = || Bytes::from(vec![b'x'; 3 << 20]);
        for (name, step, first, at) in [
            (
                "what is small is written as it comes",
                "write",
                Bytes::from_static(b"first "),
                "write",
            ),
            ("what waits in a piece when it is recorded", "write", large(), "record"),
            ("what waits in a piece when it is committed", "write", large(), "commit"),
            (
                "what the disk has no room for when it is synced",
                "sync",
                large(),
                "record",
            ),
            ("how far it came", "record_session", large(), "record"),
        ] {
            let directory = tempfile::tempdir().expect("a directory");
            let (depot, fails) = failing(directory.path());
            let whole = [&first[..], b"second"].concat();
            let digest = Digest::of(&whole);
            let mut session = depot.begin("app", "one", Algorithm::Sha256).await.expect("begun");
            session.write(first.clone()).await.expect("written");
            session.record().await.expect("recorded");
            *fails.lock().expect("a switch") = Some((step, ErrorKind::Quota));
            let written = session.write(Bytes::from_static(b"second")).await;
            assert_eq!(written.is_err(), at == "write", "{name}");
            let failed = match at {
                "commit" => session.commit(Some(digest)).await.map(drop),
                _ => {
                    let recorded = written.and(session.record().await);
                    drop(session);
                    recorded
                }
            };
            let error = failed.expect_err(name);
            assert_eq!(error.kind(), &ErrorKind::Quota, "{name}: {error}");
            *fails.lock().expect("a switch") = None;
            let reopened = depot.reopen("app", "one").await.expect("asked");
            let Reopened { mut session, done } = reopened.unwrap_or_else(|| panic!("{name}: it is there"));
            assert_eq!(done, first.len() as u64, "{name}");
            let files = below(&directory.path().join("uploads"));
            let length = files[0].metadata().expect("a file").len();
            assert_eq!(
                (files.len(), length),
                (1, done),
                "{name}: what came since takes no room"
            );
            session.write(Bytes::from_static(b"second")).await.expect("written");
            session.commit(Some(digest)).await.expect("committed");
        }
    });
}
