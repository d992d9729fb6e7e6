//! Does an upload go on when its connection breaks, and what is said where it cannot?

#![cfg(all(feature = "layout", feature = "remote"))]

use std::{
    collections::HashMap,
    io::{self, BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
};

use bytes::Bytes;
use futures_util::future::join_all;
use teu_spec::{Descriptor, Digest, MediaType, Pick};
use teu_store::{
    Committed, ErrorKind, Event, Events, Expected, Ingest, Result, Side, Target,
    copy::{self, Copied},
    suite::Image,
};
use teu_transport::{
    layout::Layout,
    remote::{Repository, Settings, Timeouts},
};

use crate::support::{
    content, fake,
    fake::{Fake, Habits},
    plain, push, repository, repository_with,
    scripted::{Options, Scripted, Seen},
    settings,
};

const MIB: usize = 1 << 20;

/// What the registry got of a blob pushed while the first `times` bodies break after `after` bytes, and the requests.
async fn push_breaking(
    habits: Habits,
    expected: Expected,
    size: usize,
    after: usize,
    times: usize,
) -> (Result<Digest>, Vec<String>, bool) {
    let fake = fake(habits);
    let blob = content(size);
    let left = Mutex::new(times);
    let options = Options {
        breaks: Some(Box::new(move |seen: &Seen| {
            let mut left = left.lock().expect("the number");
            let breaks = matches!(seen.method.as_str(), "PUT" | "PATCH") && *left > 0;
            *left -= usize::from(breaks);
            breaks.then_some(after)
        })),
        ..Options::default()
    };
    let answers = fake.clone();
    let server = Scripted::start_with(options, move |seen| answers.answer(seen)).await;
    let target = repository(&server.host, "app");
    let pushed = push(&target, expected, &blob, 50_000).await;
    let there = fake
        .state
        .lock()
        .expect("the state")
        .blobs
        .values()
        .any(|stored| *stored == blob);
    let seen = server.seen();
    // Where the break is noticed only when all was sent, it is asked whether the blob is there; that is a matter of time.
    let lines = seen
        .iter()
        .filter(|seen| seen.method != "HEAD")
        .map(|seen| match seen.header("content-range") {
            Some(range) => format!("{} {range}", seen.method),
            None => seen.method.clone(),
        });
    (pushed, lines.collect(), there)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_upload_goes_on_where_the_registry_got_to() {
    let size = 2_000_000;
    let blob = content(size);
    let known = Expected::verified(&Descriptor::of(MediaType::OciLayer, &blob));
    let digest = Digest::of(&blob);
    let (pushed, lines, there) = push_breaking(Habits::default(), known.clone(), size, 700_000, 1).await;
    assert_eq!(pushed.expect("pushed"), digest);
    assert_eq!(lines, ["POST", "PUT", "GET", "PATCH 700000-1999999", "PUT"]);
    assert!(there);

    let (pushed, lines, there) = push_breaking(Habits::default(), Expected::default(), size, 700_000, 1).await;
    assert_eq!(pushed.expect("pushed"), digest);
    assert_eq!(lines, ["POST", "PATCH", "GET", "PATCH", "PUT"]);
    assert!(there);

    let pieces = Habits {
        least_piece: Some(1000),
        ..Habits::default()
    };
    let (pushed, lines, there) = push_breaking(pieces, known.clone(), 5_000_000, 700_000, 1).await;
    pushed.expect_err("another blob than was announced");
    assert!(!there);
    assert_eq!(lines[0], "POST");

    let (pushed, lines, there) = push_breaking(pieces, Expected::default(), 5_000_000, 700_000, 1).await;
    pushed.expect("pushed");
    assert_eq!(
        lines,
        [
            "POST",
            "PATCH 0-4194303",
            "GET",
            "PATCH 700000-4194303",
            "PATCH 4194304-4999999",
            "PUT"
        ]
    );
    assert!(there);

    let (pushed, _, there) = push_breaking(Habits::default(), known, size, 10, usize::MAX).await;
    assert_eq!(pushed.expect_err("broken").kind(), &ErrorKind::Io);
    assert!(!there);
}

/// It would expire anyway.
#[tokio::test]
async fn who_drops_an_upload_waits_five_seconds_for_a_registry_at_most() {
    // On a thread of its own, as the clock of this one stands still.
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let host = listener.local_addr().expect("an address").to_string();
    thread::spawn(move || {
        let serve = |mut stream: TcpStream| -> io::Result<()> {
            let mut lines = BufReader::new(stream.try_clone()?).lines();
            while let Some(line) = lines.next().transpose()? {
                if line.starts_with("POST ") {
                    let told =
                        "HTTP/1.1 202 Accepted\r\nLocation: /v2/app/blobs/uploads/1\r\nContent-Length: 0\r\n\r\n";
                    stream.write_all(told.as_bytes())?;
                }
                // To DELETE not a word.
            }
            Ok(())
        };
        for stream in listener.incoming() {
            // What is wrong here is seen by who waits for it.
            thread::spawn(move || stream.and_then(serve));
        }
    });
    let waits = Settings {
        timeouts: Timeouts::default(),
        ..settings()
    };
    let target = repository_with(&host, "app", waits, plain());
    let upload = target.ingest(Expected::default()).await.expect("begun");
    tokio::time::pause();
    let begun = tokio::time::Instant::now();
    upload.abort().await.expect("dropped");
    assert_eq!(begun.elapsed().as_secs(), 5);
}

/// A registry at which the first requests with the content of some blobs break after so many bytes.
struct Breaking {
    fake: Arc<Fake>,
    server: Scripted,
}

/// What such a registry has of an upload that broke.
#[derive(Clone, Copy)]
enum Left {
    /// All that came.
    All,
    /// The first bytes alone.
    First(usize),
    /// Nothing: it does not know the session any more.
    Nothing,
    /// Nothing, as it has stored the blob: what broke off is the answer.
    Stored,
}

impl Breaking {
    /// So many of each.
    async fn after(places: impl IntoIterator<Item = (Digest, usize)>, times: usize, left: Left) -> Self {
        let fake = fake(Habits::default());
        let places = places.into_iter().map(|(digest, place)| (digest, (place, times)));
        let places: Mutex<HashMap<Digest, (usize, usize)>> = Mutex::new(places.collect());
        let options = Options {
            breaks: Some(Box::new(move |seen: &Seen| {
                let is_content = seen.method == "PUT" && seen.header("content-length") != Some("0");
                let digest: Digest = seen.query("digest").first()?.parse().ok()?;
                let mut places = places.lock().expect("the places");
                let (place, times) = places.get_mut(&digest).filter(|_| is_content)?;
                *times = times.checked_sub(1)?;
                Some(*place)
            })),
            ..Options::default()
        };
        let answers = Arc::clone(&fake);
        let server = Scripted::start_with(options, move |seen| {
            let reply = answers.answer(seen);
            if !seen.whole {
                let session = seen.path().rsplit('/').next().expect("a session");
                let mut state = answers.state.lock().expect("the state");
                match left {
                    Left::All => {}
                    Left::First(kept) => state.uploads.entry(session.to_owned()).or_default().truncate(kept),
                    Left::Nothing => drop(state.uploads.remove(session)),
                    Left::Stored => {
                        state.uploads.remove(session);
                        let blob = content(8 * MIB);
                        state.blobs.insert(("app".to_owned(), Digest::of(&blob)), blob.to_vec());
                    }
                }
            }
            reply
        })
        .await;
        Self { fake, server }
    }

    /// Its repository, to a client that waits for it as long as it takes.
    fn repository(&self) -> Repository {
        let settings = Settings {
            timeouts: Timeouts::default(),
            ..settings()
        };
        repository_with(&self.server.host, "app", settings, plain())
    }

    fn has(&self, content: &Bytes) -> bool {
        let state = self.fake.state.lock().expect("the state");
        let key = ("app".to_owned(), Digest::of(content));
        state.blobs.get(&key).is_some_and(|stored| stored == content)
    }

    /// What was asked, in the order of the alphabet: method and range. Where a break is noticed only when all was sent, it is asked whether the blob is
    /// there, which is a matter of time.
    fn asked(&self) -> Vec<String> {
        let seen = self.server.seen().into_iter().filter(|seen| seen.method != "HEAD");
        let mut asked: Vec<String> = seen
            .map(|seen| match seen.header("content-range") {
                Some(range) => format!("{} {range}", seen.method),
                None => seen.method.clone(),
            })
            .collect();
        asked.sort();
        asked
    }
}

/// A blob on its way in chunks of a size.
struct Sent {
    ingest: Box<dyn Ingest>,
    content: Bytes,
    chunk: usize,
    done: usize,
}

impl Sent {
    async fn begin(target: &dyn Target, content: &Bytes, chunk: usize) -> Self {
        let expected = Expected::verified(&Descriptor::of(MediaType::OciLayer, content));
        Self {
            ingest: target.ingest(expected).await.expect("begun"),
            content: content.clone(),
            chunk,
            done: 0,
        }
    }

    /// Writes on up to `end`.
    async fn go_on(&mut self, end: usize) -> Result<()> {
        while self.done < end {
            let next = end.min(self.done + self.chunk);
            self.ingest.write(self.content.slice(self.done..next)).await?;
            self.done = next;
        }
        Ok(())
    }

    async fn end(mut self) -> Result<Committed> {
        self.go_on(self.content.len()).await?;
        self.ingest.commit(None).await
    }
}

/// Four keep 4 MiB each to send it again, which is all that there is room for; the others keep the least that there can be.
#[tokio::test(flavor = "multi_thread")]
async fn six_uploads_that_break_at_once_all_go_on() {
    let blobs: Vec<Bytes> = (0..6).map(|number| content(6 * MIB + number)).collect();
    // Of each the registry lacks less than that least.
    let lacks = |number: usize| 300_000 + 100_000 * number;
    let places: Vec<usize> = (0..6).map(|number| blobs[number].len() - lacks(number)).collect();
    let digests = blobs.iter().map(|blob| Digest::of(blob));
    let registry = Breaking::after(digests.zip(places.iter().copied()), 1, Left::All).await;
    let target = registry.repository();
    let mut sent = Vec::new();
    for blob in &blobs {
        let mut upload = Sent::begin(&target, blob, MIB / 4).await;
        upload.go_on(5 * MIB).await.expect("none broke yet");
        sent.push(upload);
    }
    assert_eq!(registry.asked(), vec!["POST"; 6]);
    for (done, blob) in join_all(sent.into_iter().map(Sent::end)).await.iter().zip(&blobs) {
        assert_eq!(done.as_ref().expect("pushed").digest, Digest::of(blob));
        assert!(registry.has(blob));
    }
    // The question, the rest, and the digest of the whole.
    let rests = blobs
        .iter()
        .zip(&places)
        .map(|(blob, place)| format!("PATCH {place}-{}", blob.len() - 1));
    let mut expected: Vec<String> = rests.collect();
    for (method, times) in [("POST", 6), ("PUT", 12), ("GET", 6)] {
        expected.extend(vec![method.to_owned(); times]);
    }
    expected.sort();
    assert_eq!(registry.asked(), expected);
}

/// The error of an upload whose commit finds that it broke, without what the connection says, and what was asked for it. Before it so many others
/// were begun, of which as much is kept as there can be.
async fn breaks(size: usize, left: Left, others: usize) -> (String, Vec<String>) {
    let blob = content(size);
    let registry = Breaking::after([(Digest::of(&blob), size - MIB)], 1, left).await;
    let target = registry.repository();
    let mut open = Vec::new();
    for number in 1..=others {
        let mut upload = Sent::begin(&target, &content(6 * MIB + number), MIB).await;
        upload.go_on(6 * MIB).await.expect("written");
        open.push(upload);
    }
    let upload = Sent::begin(&target, &blob, MIB).await;
    let error = upload.end().await.expect_err("it broke");
    assert_eq!(error.kind(), &ErrorKind::Lost, "{error}");
    assert!(!registry.has(&blob));
    let said = error.to_string();
    let (said, _) = said.split_once("; the upload broke off: ").expect("why");
    let place = format!("uploading to {}/app: ", registry.server.host);
    let said = said.strip_prefix(&place).expect("where");
    (said.to_owned(), registry.asked())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_broke_before_what_is_kept_says_what_to_do() {
    let (said, asked) = breaks(8 * MIB, Left::First(MIB), 0).await;
    assert_eq!(
        said,
        "the registry has 1048576 bytes of 8388608, of which only the last 4194304 were kept to be sent again; run the copy again (what is there \
         already is not sent again)"
    );
    assert_eq!(asked, ["DELETE", "GET", "POST", "PUT"]);
    // A session that is lost is begun anew, and cannot be gone on with either.
    let (said, asked) = breaks(8 * MIB, Left::Nothing, 0).await;
    assert_eq!(
        said,
        "the registry has 0 bytes of 8388608, of which only the last 4194304 were kept to be sent again; run the copy again (what is there \
         already is not sent again)"
    );
    assert_eq!(asked, ["DELETE", "GET", "POST", "POST", "PUT"]);
    // Of the fifth less is kept.
    let (said, _) = breaks(6 * MIB, Left::First(2 * MIB), 4).await;
    assert_eq!(
        said,
        "the registry has 2097152 bytes of 6291456, of which only the last 1048576 were kept to be sent again; run the copy again (what is there \
         already is not sent again), with less `--jobs` so that more of each blob is kept"
    );
}

/// An image of two layers in a layout, the second of which goes to a registry that loses more than can be kept of it, so many times.
struct Lossy {
    _room: tempfile::TempDir,
    source: Arc<Layout>,
    layers: [Bytes; 2],
    image: Image,
    registry: Breaking,
    told: Arc<Mutex<Vec<String>>>,
}

impl Lossy {
    async fn new(times: usize, left: Left) -> Self {
        Self::at(Breaking::after([(Digest::of(&content(8 * MIB)), 6 * MIB)], times, left).await).await
    }

    async fn at(registry: Breaking) -> Self {
        let room = tempfile::tempdir().expect("a directory");
        let source = Layout::create(room.path(), None).expect("a layout");
        let layers = [content(100_000), content(8 * MIB)];
        let image = Image::of(source.takes(), "one", &layers);
        image.put(&source, &["1"]).await.expect("put");
        source.finish().await.expect("finished");
        Self {
            _room: room,
            source: Arc::new(source),
            layers,
            image,
            registry,
            told: Arc::default(),
        }
    }

    /// Copies the image, one blob after the other.
    async fn copied(&self) -> Result<Copied> {
        let told = Arc::clone(&self.told);
        let events: Events = Arc::new(move |event| {
            if let Event::Retry { reason, .. } = event {
                told.lock().expect("what was told").push(reason);
            }
        });
        let options = copy::Options {
            jobs: 1,
            ..copy::Options::default()
        };
        let (pick, names) = (Pick::Name("1".to_owned()), ["1".to_owned()]);
        let (source, target) = (Arc::clone(&self.source), Arc::new(self.registry.repository()));
        copy::copy(source, &pick, target, &names, &options, &events).await
    }

    /// Whether it was told so often that the blob is sent anew.
    fn told_anew(&self, times: usize) -> bool {
        let told = std::mem::take(&mut *self.told.lock().expect("what was told"));
        let expected = format!(
            "blob {} is sent anew, as its upload broke off",
            Digest::of(&self.layers[1])
        );
        told == vec![expected; times]
    }

    fn tags(&self) -> Vec<Digest> {
        let state = self.registry.fake.state.lock().expect("the state");
        state.tags.values().copied().collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_sends_anew_what_was_lost() {
    let lossy = Lossy::new(2, Left::Nothing).await;
    let done = lossy.copied().await.expect("copied");
    assert_eq!((done.blobs, done.descriptor.digest), (3, lossy.image.digest));
    assert!(lossy.told_anew(2));
    assert!(lossy.layers.iter().all(|layer| lossy.registry.has(layer)));
    assert_eq!(lossy.tags(), [lossy.image.digest]);
}

/// Of pieces that the registry had nothing is kept.
#[tokio::test(flavor = "multi_thread")]
async fn a_copy_sends_anew_in_pieces_what_was_lost() {
    let fake = fake(Habits {
        least_piece: Some(1000),
        ..Habits::default()
    });
    let left = Mutex::new(1_usize);
    let options = Options {
        breaks: Some(Box::new(move |seen: &Seen| {
            let is_second = seen.method == "PATCH" && seen.header("content-range") == Some("4194304-8388607");
            let mut left = left.lock().expect("the number");
            *left = left.checked_sub(usize::from(is_second))?;
            is_second.then_some(MIB)
        })),
        ..Options::default()
    };
    let answers = Arc::clone(&fake);
    let server = Scripted::start_with(options, move |seen| {
        let reply = answers.answer(seen);
        if !seen.whole {
            answers.state.lock().expect("the state").uploads.clear();
        }
        reply
    })
    .await;
    let lossy = Lossy::at(Breaking { fake, server }).await;
    let done = lossy.copied().await.expect("copied");
    assert_eq!((done.blobs, done.descriptor.digest), (3, lossy.image.digest));
    assert!(lossy.told_anew(1));
    assert!(lossy.layers.iter().all(|layer| lossy.registry.has(layer)));
    assert_eq!(lossy.tags(), [lossy.image.digest]);
    let asked = lossy.registry.asked();
    let count = |wanted: &str| asked.iter().filter(|asked| *asked == wanted).count();
    assert_eq!(
        ["PATCH 0-4194303", "PATCH 4194304-8388607", "GET", "DELETE"].map(count),
        [2, 2, 1, 1],
        "{asked:?}"
    );
}

/// As behind a proxy that waits for less long than a registry takes.
#[tokio::test(flavor = "multi_thread")]
async fn a_copy_does_not_send_anew_what_is_there() {
    let lossy = Lossy::new(1, Left::Stored).await;
    lossy.copied().await.expect("copied");
    assert!(lossy.told_anew(0));
    let puts = lossy.registry.server.seen().into_iter();
    let large = puts.filter(|seen| seen.method == "PUT" && seen.header("content-length") == Some("8388608"));
    assert_eq!(large.count(), 1);
    assert_eq!(lossy.tags(), [lossy.image.digest]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_lost_a_blob_again_and_again_is_done_by_the_next_one() {
    let lossy = Lossy::new(3, Left::Nothing).await;
    let error = lossy.copied().await.expect_err("it was lost thrice");
    assert_eq!(
        (error.kind(), error.side()),
        (&ErrorKind::Lost, Some(Side::Destination))
    );
    let said = error.to_string();
    let blob = format!("copying blob {}: uploading to ", Digest::of(&lossy.layers[1]));
    for part in [
        &*blob,
        "the registry has 0 bytes of ",
        "; run the copy again (what is there already is not sent again); the upload broke off: ",
    ] {
        assert!(said.contains(part), "{said}");
    }
    assert!(lossy.told_anew(2));
    assert!(lossy.registry.has(&lossy.layers[0]) && !lossy.registry.has(&lossy.layers[1]));
    assert!(lossy.tags().is_empty());
    let before = lossy.registry.server.seen().len();
    let done = lossy.copied().await.expect("copied");
    assert_eq!(done.bytes, (lossy.image.blobs[0].len() + lossy.layers[1].len()) as u64);
    assert!(lossy.told_anew(0) && lossy.registry.has(&lossy.layers[1]));
    assert_eq!(lossy.tags(), [lossy.image.digest]);
    let again = &lossy.registry.server.lines()[before..];
    let first = Digest::of(&lossy.layers[0]);
    let of_first = again.iter().filter(|line| line.contains(&first.hex()));
    assert_eq!(of_first.collect::<Vec<_>>(), [&format!("HEAD /v2/app/blobs/{first}")]);
}
