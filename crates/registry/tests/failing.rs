//! Is a store's failure told cleanly, and nothing acknowledged that does not last? (threat 104)

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use crate::support::{self, Server, writable};
use bytes::Bytes;
use http_body_util::Full;
use teu_registry::{
    Children, Registry, Settings,
    http::{Request, StatusCode},
};
use teu_spec::{Descriptor, Digest, Document, Format, Index, Pick};
use teu_store::{
    Adopt, BoxFuture, Browse, Committed, Delete, Error, ErrorKind, Expect, Expected, FetchOptions, Fetched, Ingest,
    Intent, Keyset, Local, ManyInMemory, Mount, Origin, Page, Repositories, Result, Resume, Role, Sessions, Source,
    Store, Sweep, Takes, Target,
};
use tokio::{sync::Notify, task::yield_now};

/// What fails from now on.
#[derive(Default)]
struct Switches {
    write: AtomicBool,
    commit: AtomicBool,
    manifest: AtomicBool,
    finish: AtomicBool,
    fetch: AtomicBool,
    deleting: Pause,
}

/// Where who deletes waits, if that is wanted: it looked whether it may.
#[derive(Default)]
struct Pause {
    is_wanted: AtomicBool,
    begun: Notify,
    goes_on: Notify,
}

/// A disk that is full, or broken, where it is told to be.
struct Disk {
    all: ManyInMemory,
    fails: Arc<Switches>,
}

struct Part {
    inner: Arc<dyn Store>,
    fails: Arc<Switches>,
}

struct Writing {
    inner: Box<dyn Ingest>,
    fails: Arc<Switches>,
}

fn check(switch: &AtomicBool) -> Result<()> {
    match switch.load(Ordering::SeqCst) {
        true => Err(Error::new(
            ErrorKind::Quota,
            "/srv/secret/place: No space left on device",
        )),
        false => Ok(()),
    }
}

impl Repositories for Disk {
    fn open<'a>(&'a self, repository: &'a str, intent: Intent) -> BoxFuture<'a, Result<Arc<dyn Store>>> {
        Box::pin(async move {
            let inner = self.all.open(repository, intent).await?;
            let fails = Arc::clone(&self.fails);
            Ok(Arc::new(Part { inner, fails }) as Arc<dyn Store>)
        })
    }

    fn repositories<'a>(&'a self, part: Keyset<'a>) -> BoxFuture<'a, Result<Page<String>>> {
        self.all.repositories(part)
    }

    fn holders<'a>(&'a self, blob: &'a Digest, part: Keyset<'a>) -> BoxFuture<'a, Result<Page<String>>> {
        self.all.holders(blob, part)
    }

    fn sessions(&self) -> Option<&dyn Sessions> {
        None
    }
}

impl Source for Part {
    fn resolve<'a>(&'a self, pick: &'a Pick) -> BoxFuture<'a, Result<Descriptor>> {
        self.inner.resolve(pick)
    }

    fn stat<'a>(&'a self, role: Role, digest: &'a Digest, intent: Intent) -> BoxFuture<'a, Result<Option<Descriptor>>> {
        self.inner.stat(role, digest, intent)
    }

    fn fetch<'a>(&'a self, role: Role, digest: &'a Digest, options: FetchOptions) -> BoxFuture<'a, Result<Fetched>> {
        Box::pin(async move {
            check(&self.fails.fetch)?;
            self.inner.fetch(role, digest, options).await
        })
    }

    fn browse(&self) -> Option<&dyn Browse> {
        self.inner.browse()
    }

    fn local(&self) -> Option<&dyn Local> {
        self.inner.local()
    }

    fn is_closed(&self) -> bool {
        self.inner.is_closed()
    }

    fn origin(&self) -> Option<Origin> {
        self.inner.origin()
    }
}

impl Target for Part {
    fn ingest(&self, expected: Expected) -> BoxFuture<'_, Result<Box<dyn Ingest>>> {
        Box::pin(async move {
            let inner = self.inner.ingest(expected).await?;
            let fails = Arc::clone(&self.fails);
            Ok(Box::new(Writing { inner, fails }) as Box<dyn Ingest>)
        })
    }

    fn put_manifest<'a>(
        &'a self,
        document: &'a Document,
        digest: &'a Digest,
        names: &'a [String],
        expect: Expect,
    ) -> BoxFuture<'a, Result<Descriptor>> {
        Box::pin(async move {
            check(&self.fails.manifest)?;
            self.inner.put_manifest(document, digest, names, expect).await
        })
    }

    fn finish(&self) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move {
            check(&self.fails.finish)?;
            self.inner.finish().await
        })
    }

    fn takes(&self) -> Takes {
        self.inner.takes()
    }

    fn readable(&self) -> Option<&dyn Source> {
        self.inner.readable()
    }

    fn mount(&self) -> Option<&dyn Mount> {
        self.inner.mount()
    }

    fn adopt(&self) -> Option<&dyn Adopt> {
        self.inner.adopt()
    }

    fn resume(&self) -> Option<&dyn Resume> {
        self.inner.resume()
    }

    fn delete(&self) -> Option<&dyn Delete> {
        self.inner.delete().and(Some(self))
    }

    fn sweep(&self) -> Option<&dyn Sweep> {
        self.inner.sweep()
    }
}

impl Part {
    fn deletes(&self) -> &dyn Delete {
        self.inner.delete().expect("it deletes")
    }
}

impl Delete for Part {
    fn delete<'a>(&'a self, role: Role, digest: &'a Digest) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            let pause = &self.fails.deleting;
            if pause.is_wanted.load(Ordering::SeqCst) {
                pause.begun.notify_one();
                pause.goes_on.notified().await;
            }
            self.deletes().delete(role, digest).await
        })
    }

    fn untag<'a>(&'a self, name: &'a str, expect: Expect) -> BoxFuture<'a, Result<()>> {
        self.deletes().untag(name, expect)
    }
}

impl Ingest for Writing {
    fn write(&mut self, bytes: Bytes) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move {
            check(&self.fails.write)?;
            self.inner.write(bytes).await
        })
    }

    fn commit(self: Box<Self>, digest: Option<Digest>) -> BoxFuture<'static, Result<Committed>> {
        Box::pin(async move {
            check(&self.fails.commit)?;
            self.inner.commit(digest).await
        })
    }

    fn abort(self: Box<Self>) -> BoxFuture<'static, Result<()>> {
        self.inner.abort()
    }
}

fn disk() -> (Server, Arc<Switches>) {
    let fails = Arc::new(Switches::default());
    let all = ManyInMemory::new();
    let disk = Disk {
        all,
        fails: Arc::clone(&fails),
    };
    (Server::of(Arc::new(disk), writable()), fails)
}

fn set(switch: &AtomicBool, on: bool) {
    switch.store(on, Ordering::SeqCst);
}

/// An answer that there is no room, which says nothing of where; the log does.
#[track_caller]
fn no_room(server: &Server, answer: support::Answer) {
    let answer = answer.refused(507, "UNKNOWN");
    let said = String::from_utf8_lossy(&answer.content).into_owned();
    assert!(!said.contains("secret"), "{said}");
    let log = server.log.lock().expect("a log");
    let failure = log.last().and_then(|asked| asked.failure.clone()).expect("a failure");
    assert!(
        failure.contains("/srv/secret/place: No space left on device"),
        "{failure}"
    );
}

#[test]
fn a_full_disk_loses_nothing_that_was_acknowledged() {
    let (server, fails) = disk();
    let image = server.push_image("app", "1");
    let whole = format!("/v2/app/blobs/uploads/?digest={}", Digest::of(b"new"));
    let blob = format!("/v2/app/blobs/{}", Digest::of(b"new"));
    let location = server.begin("app");

    set(&fails.write, true);
    no_room(&server, server.ask("POST", &whole, &[], b"new"));
    no_room(&server, server.ask("PATCH", &location, &[], b"new"));
    // What failed half-way is not gone on with, nor does it hold its room.
    server.get(&location).refused(404, "BLOB_UPLOAD_UNKNOWN");
    set(&fails.write, false);

    for switch in [&fails.commit, &fails.finish] {
        set(switch, true);
        no_room(&server, server.ask("POST", &whole, &[], b"new"));
        let location = server.begin("app");
        server.ask("PATCH", &location, &[], b"new").expect(202);
        let last = format!("{location}?digest={}", Digest::of(b"new"));
        no_room(&server, server.ask("PUT", &last, &[], b""));
        server.get(&location).expect(404);
        set(switch, false);
    }

    let other = support::image("1 too");
    server.push_blob("app", b"1 too");
    for switch in [&fails.manifest, &fails.finish] {
        set(switch, true);
        no_room(&server, server.push("app", "2", &other));
        set(switch, false);
    }
    // All that was acknowledged is there, and all goes on.
    let found = server.get("/v2/app/manifests/1").expect(200);
    assert_eq!(found.content, image.raw()[..]);
    server.ask("POST", &whole, &[], b"new").expect(201);
    server.get(&blob).expect(200);
    server.push("app", "2", &other).expect(201);
}

#[test]
fn what_cannot_be_read_is_our_fault_and_said_so() {
    let (server, fails) = disk();
    let image = server.push_image("app", "1");
    set(&fails.fetch, true);
    no_room(&server, server.get("/v2/app/manifests/1"));
    no_room(
        &server,
        server.get(&format!("/v2/app/blobs/{}", image.children()[1].digest)),
    );
    set(&fails.fetch, false);
    server.get("/v2/app/manifests/1").expect(200);
}

#[test]
fn a_server_that_stops_ends_what_is_under_way() {
    use std::io::{Read, Write};

    let mut server = Server::start();
    let location = server.begin("app");
    let mut client = server.connect();
    let head = format!("PATCH {location} HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 10\r\n\r\n");
    client.write_all(head.as_bytes()).expect("sent");
    let mut asked = [0; 25];
    client.read_exact(&mut asked).expect("an answer");
    // One that asks for nothing is let go at once; so the server ends when the other has its answer.
    let mut idle = server.connect();
    idle.write_all(b"GET /v2/ HTTP/1.1\r\nHost: a\r\n\r\n").expect("sent");
    let mut first = [0; 12];
    idle.read_exact(&mut first).expect("an answer");
    std::thread::scope(|scope| {
        scope.spawn(|| server.stop());
        idle.read_to_end(&mut Vec::new()).expect("let go");
        client.write_all(b"0123456789").expect("sent");
        let answer = support::answer(&mut client).expect(202);
        assert_eq!(answer.header("range"), "0-9");
        assert_eq!(answer.header("connection"), "close");
    });
}

/// A place that keeps what a manifest names by nothing but what is asked before, as a layout: a push is acknowledged whose content stays.
#[tokio::test]
async fn what_is_being_deleted_is_named_by_no_push() {
    let fails = Arc::new(Switches::default());
    let disk = Disk {
        all: ManyInMemory::new(),
        fails: Arc::clone(&fails),
    };
    let settings = Settings {
        children: Children::Required,
        ..writable()
    };
    let registry = Arc::new(Registry::new(Arc::new(disk), settings, None));
    let ask = |method: &str, target: String, content: &[u8]| {
        let request = Request::builder().method(method).uri(target);
        let request = request.body(Full::new(Bytes::copy_from_slice(content)));
        let (registry, request) = (Arc::clone(&registry), request.expect("a request"));
        tokio::spawn(async move { registry.answer(request).await.status() })
    };
    let blob = |content: &[u8]| format!("/v2/app/blobs/uploads/?digest={}", Digest::of(content));
    for content in [support::CONFIG, b"1"] {
        assert_eq!(
            ask("POST", blob(content), content).await.expect("an answer"),
            StatusCode::CREATED
        );
    }
    let image = support::image("1");
    let index = Index::build(Format::Oci, &[image.descriptor()]).expect("an index");
    let layer = image.children()[1].digest;
    let (image_at, layer_at) = (
        format!("/v2/app/manifests/{}", image.descriptor().digest),
        format!("/v2/app/blobs/{layer}"),
    );
    let put = ask("PUT", image_at.clone(), image.raw()).await;
    assert_eq!(put.expect("an answer"), StatusCode::CREATED);
    set(&fails.deleting.is_wanted, true);
    for (gone, names_it) in [(image_at, &index), (layer_at, &image)] {
        let deleted = ask("DELETE", gone.clone(), b"");
        fails.deleting.begun.notified().await;
        let put = ask("PUT", "/v2/app/manifests/new".to_owned(), names_it.raw());
        // It comes as far as it can, on this one thread.
        for _ in 0..1000 {
            yield_now().await;
        }
        fails.deleting.goes_on.notify_one();
        assert_eq!(deleted.await.expect("an answer"), StatusCode::ACCEPTED, "{gone}");
        assert_eq!(put.await.expect("an answer"), StatusCode::BAD_REQUEST, "{gone}");
    }
}
