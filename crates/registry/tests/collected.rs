//! Is what was acknowledged pullable while garbage is collected every second? Sixteen push as clients do, who ask first and push only what is not
//! there, mount, share layers, and delete what they no longer want; and pull what they have. One of them pushes large layers. A blob that was
//! acknowledged and is about to be named is what a collection must not take: the lease is so short that each collection has much to do.

use std::{
    collections::{BTreeSet, VecDeque},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use crate::support::{self, Server, client::Client, writable};
use teu_depot::{Clock, Collected, Depot, Millis, Settings};
use teu_spec::{Descriptor, Digest, Document, Format, Manifest, MediaType};

const PUSHERS: usize = 16;
const REPOSITORIES: usize = 4;
/// Which of them has a large layer of its own in each image, which comes in pieces past the kernel's cache.
const LARGE: usize = 0;
/// How large that is.
const SIZE: usize = 5 << 20;
/// How many images each of them keeps.
const KEPT: usize = 3;
const LEASE: Duration = Duration::from_secs(5);

#[test]
fn no_push_is_lost_in_a_minute_of_collections() {
    push_and_collect(Duration::from_secs(60));
}

#[test]
#[ignore = "long"]
fn no_push_is_lost_in_ten_minutes_of_collections() {
    push_and_collect(Duration::from_secs(600));
}

#[expect(clippy::print_stderr, reason = "what a soak came to is told")]
fn push_and_collect(time: Duration) {
    let directory = tempfile::tempdir().expect("a directory");
    let ahead = Arc::new(AtomicI64::new(0));
    let clock = Arc::clone(&ahead);
    let settings = Settings {
        lease: LEASE,
        clock: Clock::of(move || {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
            Millis(clock.load(Ordering::SeqCst)).after(now)
        }),
        ..Settings::default()
    };
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let depot = runtime
        .block_on(Depot::open(&directory.path().join("depot"), settings))
        .expect("a depot");
    let server = Server::of(Arc::new(depot.clone()), writable());
    let (taken, times) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let tended = {
        let (depot, taken, times) = (depot.clone(), Arc::clone(&taken), Arc::clone(&times));
        let told = move |collected: teu_store::Result<Collected>| {
            let collected = collected.expect("collected");
            taken.fetch_add(collected.removed, Ordering::SeqCst);
            times.fetch_add(1, Ordering::SeqCst);
        };
        runtime.spawn(async move { depot.tend(Duration::from_secs(1), told).await })
    };
    let until = Instant::now() + time;
    let pushers: Vec<Pusher> = thread::scope(|scope| {
        let pushers = (0..PUSHERS).map(|number| {
            let mut pusher = Pusher::new(&server, number);
            scope.spawn(move || {
                while Instant::now() < until {
                    pusher.round();
                }
                pusher
            })
        });
        let pushers: Vec<_> = pushers.collect();
        pushers
            .into_iter()
            .map(|pusher| pusher.join().expect("all was there"))
            .collect()
    });
    tended.abort();
    let pushed: usize = pushers.iter().map(|pusher| pusher.count).sum();
    let large = pushers[LARGE].count;
    let (taken, times) = (taken.load(Ordering::SeqCst), times.load(Ordering::SeqCst));
    eprintln!("{pushed} images pushed, {large} with a large layer, {taken} blobs taken away in {times} collections");
    assert!(
        large > KEPT && taken > 100 && times > 10,
        "{large} large ones, {taken} blobs in {times} collections: this shows nothing"
    );
    // An hour later there is what is named, all of it and nothing else.
    ahead.store(3_600_000, Ordering::SeqCst);
    runtime.block_on(depot.collect(0)).expect("collected");
    let mut named = BTreeSet::new();
    for mut pusher in pushers {
        for image in pusher.kept.clone() {
            pusher.pull(&image);
            named.extend(
                image
                    .document
                    .children()
                    .iter()
                    .map(|child| child.digest.to_string().replace(':', "-")),
            );
        }
    }
    assert_eq!(files(&directory.path().join("depot/blobs")), named);
}

/// The digests of the files below a directory.
fn files(blobs: &Path) -> BTreeSet<String> {
    let entries = |path: &Path| {
        std::fs::read_dir(path)
            .expect("a directory")
            .map(|entry| entry.expect("an entry").path())
    };
    let files = entries(blobs).flat_map(|part| entries(&part).collect::<Vec<_>>());
    let name = |file: std::path::PathBuf| {
        let name = file.file_name().expect("a name").to_str().expect("text").to_owned();
        name.rsplit_once('-').expect("a place").0.to_owned()
    };
    files.map(name).collect()
}

#[derive(Clone)]
struct Image {
    tag: String,
    document: Document,
}

struct Pusher {
    client: Client,
    number: usize,
    count: usize,
    kept: VecDeque<Image>,
}

impl Pusher {
    fn new(server: &Server, number: usize) -> Self {
        Self {
            client: Client::new(&server.address.to_string()).expect("a connection"),
            number,
            count: 0,
            kept: VecDeque::new(),
        }
    }

    fn repository(&self) -> String {
        format!("team/app{}", self.number % REPOSITORIES)
    }

    fn ask(&mut self, method: &str, target: &str, fields: &str, content: &[u8]) -> support::client::Answer {
        let target = format!("/v2/{}/{target}", self.repository());
        self.client.ask(method, &target, fields, content).expect("an answer")
    }

    /// Pushes an image, pulls one of those before, and deletes the oldest.
    fn round(&mut self) {
        let count = self.count;
        let tag = format!("{}-{count}", self.number);
        let begin = Instant::now();
        let config = format!(r#"{{"architecture":"amd64","os":"linux","author":"{tag}"}}"#).into_bytes();
        let own = format!("layer {tag} ");
        let times = if self.number == LARGE {
            SIZE.div_ceil(own.len())
        } else {
            200
        };
        let layers = [
            own.repeat(times).into_bytes(),
            // Two of those that others push too, and whose last image goes now and then.
            format!("common {} ", (self.number + count) % 7)
                .repeat(500)
                .into_bytes(),
            format!("common {} ", (self.number * 3 + count / 2) % 11)
                .repeat(500)
                .into_bytes(),
        ];
        self.blob(&config, count);
        for (place, layer) in layers.iter().enumerate() {
            self.blob(layer, count + place);
        }
        let config = Descriptor::of(MediaType::OciConfig, &config);
        let mut layers: Vec<Descriptor> = layers
            .iter()
            .map(|layer| Descriptor::of(MediaType::OciLayer, layer))
            .collect();
        layers.dedup_by_key(|layer| layer.digest);
        let document = Manifest::build(Format::Oci, &config, &layers).expect("a manifest");
        let fields = format!("Content-Type: {}\r\n", document.media_type());
        let answer = self.ask("PUT", &format!("manifests/{tag}"), &fields, document.raw());
        if answer.status == 400 && begin.elapsed() >= LEASE / 2 {
            // What was found has half of its lease left, at least; who takes longer is told to push again.
            return;
        }
        answer.expect(201);
        self.count += 1;
        self.kept.push_back(Image { tag, document });
        let image = self.kept[count % self.kept.len()].clone();
        self.pull(&image);
        if self.kept.len() > KEPT
            && let Some(oldest) = self.kept.pop_front()
        {
            let digest = Digest::of(oldest.document.raw());
            self.ask("DELETE", &format!("manifests/{digest}"), "", b"").expect(202);
            self.ask("GET", &format!("manifests/{}", oldest.tag), "", b"")
                .expect(404);
        }
    }

    /// Has a blob be there, as clients do.
    fn blob(&mut self, content: &[u8], way: usize) {
        let digest = Digest::of(content);
        let there = self.ask("HEAD", &format!("blobs/{digest}"), "", b"");
        if there.status == 200 {
            return;
        }
        there.expect(404);
        if way.is_multiple_of(3) {
            self.ask("POST", &format!("blobs/uploads/?digest={digest}"), "", content)
                .expect(201);
            return;
        }
        let from = match way % 3 {
            1 => format!("?mount={digest}&from=team/app{}", (self.number + way) % REPOSITORIES),
            _ => String::new(),
        };
        let begun = self.ask("POST", &format!("blobs/uploads/{from}"), "", b"");
        if begun.status == 201 {
            return;
        }
        let begun = begun.expect(202);
        let location = begun.find("location").expect("where").to_owned();
        let target = format!("{location}?digest={digest}");
        self.client
            .ask("PUT", &target, "", content)
            .expect("an answer")
            .expect(201);
    }

    /// All of it is there.
    fn pull(&mut self, image: &Image) {
        let manifest = self
            .ask("GET", &format!("manifests/{}", image.tag), "", b"")
            .expect(200);
        assert_eq!(manifest.content, image.document.raw()[..], "{}", image.tag);
        for child in image.document.children() {
            let blob = self.ask("GET", &format!("blobs/{}", child.digest), "", b"").expect(200);
            assert_eq!(Digest::of(&blob.content), child.digest, "{}", image.tag);
        }
    }
}
