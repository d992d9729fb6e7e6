//! Many push, move, delete and upload at once, each on a connection of its own, and remember what was acknowledged to them. What they remember is
//! what must be there, whatever ends the server.

use std::{
    collections::BTreeMap,
    io,
    sync::Mutex,
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use teu_spec::Digest;

use crate::client::Client;

const PUSHERS: usize = 4;
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// How many bytes an upload has in the end; it is sent in three parts.
const UPLOAD: usize = 300_000;
/// How many the large blob has that each round has, and the large upload: they go past the kernel's cache, in pieces that threads write, and the parts of the
/// upload begin where no block does.
const LARGE: usize = (5 << 20) + 12_345;
const LARGE_UPLOAD: usize = (10 << 20) + 3;

/// What somebody was told.
#[derive(Default)]
pub(crate) struct Told {
    /// What each tag may point at: one digest, or several where it was about to move; none of them where it was perhaps deleted.
    tags: BTreeMap<(String, String), Vec<Option<Digest>>>,
    /// Blobs that are there.
    blobs: BTreeMap<(String, Digest), usize>,
    /// Uploads, by where they go on.
    uploads: BTreeMap<String, Upload>,
    /// How many rounds there were: content of one differs from that of the others.
    rounds: usize,
}

struct Upload {
    /// How many bytes it has in the end.
    size: usize,
    /// How far it is at least.
    offset: usize,
    /// Whether its end was asked for.
    is_ending: bool,
}

/// Bytes that nobody else has, and of which no part is like another.
fn content(name: &str, length: usize) -> Vec<u8> {
    let seed = Digest::of(name.as_bytes()).hex().into_bytes();
    let mut content = seed.repeat(length.div_ceil(seed.len()));
    content.truncate(length);
    for (number, part) in content.chunks_exact_mut(4096).enumerate() {
        part[..8].copy_from_slice(&number.to_le_bytes());
    }
    content
}

fn repository(pusher: usize) -> String {
    format!("app{}", pusher % 2)
}

impl Told {
    /// How much there is to be lost.
    pub(crate) fn count(&self) -> usize {
        self.tags.len() + self.blobs.len() + self.uploads.len()
    }

    /// Has all push to a server until it ends, or the time is over.
    pub(crate) fn push(&mut self, address: &str, time: Duration) {
        self.rounds += 1;
        let (round, until) = (self.rounds, Instant::now() + time);
        let told = Mutex::new(std::mem::take(self));
        thread::scope(|scope| {
            for pusher in 0..PUSHERS {
                let told = &told;
                scope.spawn(move || {
                    let pusher = Pusher { told, pusher, round };
                    // A connection that breaks is what this is about.
                    let _ = pusher.push(address, until);
                });
            }
        });
        *self = told.into_inner().expect("what was told");
    }

    /// Has one client push what is large, and nothing else; the server ends before it is there.
    pub(crate) fn push_large(&mut self, address: &str) {
        self.rounds += 1;
        let content = content(&format!("large {}", self.rounds), LARGE);
        let (round, told) = (self.rounds, Mutex::new(std::mem::take(self)));
        let pusher = Pusher {
            told: &told,
            pusher: 0,
            round,
        };
        let mut client = Client::new(address).expect("a connection");
        let pushed = pusher.blob(&mut client, &repository(0), &content, 1);
        assert!(pushed.is_err(), "it was acknowledged");
        *self = told.into_inner().expect("what was told");
    }

    /// Looks whether all of it is there, and all that is there is whole. Goes on with the uploads.
    pub(crate) fn check(&mut self, address: &str) {
        let mut client = Client::new(address).expect("a connection");
        for ((repository, tag), expected) in &mut self.tags {
            let found = pull(&mut client, repository, tag);
            assert!(
                expected.contains(&found),
                "{repository}:{tag} is {found:?}, and was acknowledged as {expected:?}"
            );
            *expected = vec![found];
        }
        for pusher in 0..2 {
            let repository = repository(pusher);
            let answer = client
                .ask("GET", &format!("/v2/{repository}/tags/list"), "", b"")
                .expect("a list");
            if answer.status == 404 {
                continue;
            }
            let list: Value = serde_json::from_slice(&answer.content).expect("JSON");
            for tag in list["tags"].as_array().expect("tags") {
                let tag = tag.as_str().expect("a tag");
                assert!(
                    pull(&mut client, &repository, tag).is_some(),
                    "{repository}:{tag} is listed"
                );
            }
        }
        for ((repository, digest), size) in &self.blobs {
            let target = format!("/v2/{repository}/blobs/{digest}");
            let blob = client.ask("GET", &target, "", b"").expect("an answer").expect(200);
            assert_eq!((blob.content.len(), Digest::of(&blob.content)), (*size, *digest));
        }
        for (location, upload) in std::mem::take(&mut self.uploads) {
            self.go_on(&mut client, &location, upload);
        }
    }

    fn go_on(&mut self, client: &mut Client, location: &str, upload: Upload) {
        let Upload {
            size,
            offset,
            is_ending,
        } = upload;
        let content = content(location, size);
        let digest = Digest::of(&content);
        let repository = location.split('/').nth(2).expect("a repository");
        let found = client.ask("GET", location, "", b"").expect("an answer");
        if found.status == 404 {
            assert!(
                is_ending,
                "{location} is not there, of which {offset} bytes were acknowledged"
            );
            // Wholly or not at all: it is a blob, or was given up.
            let target = format!("/v2/{repository}/blobs/{digest}");
            let blob = client.ask("GET", &target, "", b"").expect("an answer");
            assert!(blob.status == 404 || blob.content == content, "{}", blob.status);
            return;
        }
        let range = found.expect(204).find("range").expect("how far").to_owned();
        let last: usize = range.strip_prefix("0-").expect("a range").parse().expect("a number");
        let there = if last == 0 { 0 } else { last + 1 };
        assert!(
            there >= offset,
            "{there} bytes of {location} are there, and {offset} were acknowledged"
        );
        let fields = format!("Content-Range: {there}-{}\r\n", size - 1);
        if there < size {
            client
                .ask("PATCH", location, &fields, &content[there..])
                .expect("an answer")
                .expect(202);
        }
        let target = format!("{location}?digest={digest}");
        client.ask("PUT", &target, "", b"").expect("an answer").expect(201);
        self.blobs.insert((repository.to_owned(), digest), size);
    }
}

/// Pulls an image and all that it names; its digest, or none where it is not there.
#[track_caller]
fn pull(client: &mut Client, repository: &str, tag: &str) -> Option<Digest> {
    let target = format!("/v2/{repository}/manifests/{tag}");
    let accept = format!("Accept: {MANIFEST}\r\n");
    let answer = client.ask("GET", &target, &accept, b"").expect("an answer");
    if answer.status == 404 {
        return None;
    }
    let answer = answer.expect(200);
    let digest = Digest::of(&answer.content);
    assert_eq!(answer.find("docker-content-digest"), Some(&*digest.to_string()));
    let manifest: Value = serde_json::from_slice(&answer.content).expect("a manifest");
    let layers = manifest["layers"].as_array().expect("layers");
    for child in [&manifest["config"]].into_iter().chain(layers) {
        let named: Digest = child["digest"].as_str().expect("a digest").parse().expect("a digest");
        let target = format!("/v2/{repository}/blobs/{named}");
        let blob = client.ask("GET", &target, "", b"").expect("an answer").expect(200);
        assert_eq!(Digest::of(&blob.content), named, "{repository}:{tag}");
    }
    Some(digest)
}

struct Pusher<'a> {
    told: &'a Mutex<Told>,
    pusher: usize,
    round: usize,
}

impl Pusher<'_> {
    fn push(&self, address: &str, until: Instant) -> io::Result<()> {
        let mut client = Client::new(address)?;
        let mut before = None;
        for n in 0.. {
            if Instant::now() > until {
                break;
            }
            let repository = repository(self.pusher);
            let name = format!("{}-{}-{n}", self.round, self.pusher);
            let config = self.blob(&mut client, &repository, &content(&format!("config {name}"), 300), n)?;
            let layer = self.blob(
                &mut client,
                &repository,
                &content(&format!("layer {name}"), 1000 * (n + 1)),
                n + 1,
            )?;
            // One of them begins with what is large, in another way each round.
            let is_large = self.pusher == 0 && n == 0;
            if is_large {
                let large = content(&format!("large {name}"), LARGE);
                self.blob(&mut client, &repository, &large, self.round)?;
            }
            // All push this one, again and again.
            let common = self.blob(&mut client, &repository, &content("common", 50_000), n + 2)?;
            let described = |kind: &str, (digest, size): (Digest, usize)| json!({"mediaType": format!("application/vnd.oci.image.{kind}"), "digest": digest.to_string(), "size": size});
            let manifest = json!({
                "schemaVersion": 2,
                "mediaType": MANIFEST,
                "config": described("config.v1+json", config),
                "layers": [described("layer.v1.tar", layer), described("layer.v1.tar", common)],
            });
            let manifest = manifest.to_string().into_bytes();
            self.put(&mut client, &repository, &name, &manifest)?;
            self.put(&mut client, &repository, &format!("latest-{}", self.pusher), &manifest)?;
            match is_large {
                true => self.upload(&mut client, &repository, LARGE_UPLOAD, self.round)?,
                false => self.upload(&mut client, &repository, UPLOAD, n)?,
            }
            if n % 3 == 2
                && let Some((tag, digest)) = before.replace((name, Digest::of(&manifest)))
            {
                self.delete(&mut client, &repository, &tag, digest)?;
            }
        }
        Ok(())
    }

    fn tell(&self, tell: impl FnOnce(&mut Told)) {
        tell(&mut self.told.lock().expect("what was told"));
    }

    /// Pushes a blob, in one of the ways that there are.
    fn blob(&self, client: &mut Client, repository: &str, content: &[u8], way: usize) -> io::Result<(Digest, usize)> {
        let digest = Digest::of(content);
        let uploads = format!("/v2/{repository}/blobs/uploads/");
        let begin = |client: &mut Client| -> io::Result<String> {
            let answer = client.ask("POST", &uploads, "", b"")?.expect(202);
            Ok(answer.find("location").expect("where").to_owned())
        };
        match way % 3 {
            0 => client
                .ask("POST", &format!("{uploads}?digest={digest}"), "", content)?
                .expect(201),
            1 => {
                let location = begin(client)?;
                client
                    .ask("PUT", &format!("{location}?digest={digest}"), "", content)?
                    .expect(201)
            }
            _ => {
                let location = begin(client)?;
                client.ask("PATCH", &location, "", content)?.expect(202);
                client
                    .ask("PUT", &format!("{location}?digest={digest}"), "", b"")?
                    .expect(201)
            }
        };
        self.tell(|told| {
            told.blobs.insert((repository.to_owned(), digest), content.len());
        });
        Ok((digest, content.len()))
    }

    fn put(&self, client: &mut Client, repository: &str, tag: &str, manifest: &[u8]) -> io::Result<()> {
        let key = (repository.to_owned(), tag.to_owned());
        let digest = Digest::of(manifest);
        self.tell(|told| {
            told.tags
                .entry(key.clone())
                .or_insert_with(|| vec![None])
                .push(Some(digest))
        });
        let fields = format!("Content-Type: {MANIFEST}\r\n");
        client
            .ask("PUT", &format!("/v2/{repository}/manifests/{tag}"), &fields, manifest)?
            .expect(201);
        self.tell(|told| drop(told.tags.insert(key, vec![Some(digest)])));
        Ok(())
    }

    /// Deletes an image by its digest. Nothing else has its tag.
    fn delete(&self, client: &mut Client, repository: &str, tag: &str, digest: Digest) -> io::Result<()> {
        let key = (repository.to_owned(), tag.to_owned());
        self.tell(|told| told.tags.entry(key.clone()).or_default().push(None));
        let target = format!("/v2/{repository}/manifests/{digest}");
        client.ask("DELETE", &target, "", b"")?.expect(202);
        self.tell(|told| drop(told.tags.insert(key, vec![None])));
        Ok(())
    }

    /// Begins an upload, ends every other one, and gives up some of the others.
    fn upload(&self, client: &mut Client, repository: &str, size: usize, n: usize) -> io::Result<()> {
        let answer = client
            .ask("POST", &format!("/v2/{repository}/blobs/uploads/"), "", b"")?
            .expect(202);
        let location = answer.find("location").expect("where").to_owned();
        let content = content(&location, size);
        let tell = |offset, is_ending| {
            let upload = Upload {
                size,
                offset,
                is_ending,
            };
            self.tell(|told| {
                told.uploads.insert(location.clone(), upload);
            });
        };
        let part = size / 3;
        for start in [0, part] {
            let fields = format!("Content-Range: {start}-{}\r\n", start + part - 1);
            client
                .ask("PATCH", &location, &fields, &content[start..start + part])?
                .expect(202);
            tell(start + part, false);
        }
        if n.is_multiple_of(4) {
            return Ok(());
        }
        tell(2 * part, true);
        if n % 4 == 2 {
            client.ask("DELETE", &location, "", b"")?.expect(204);
            self.tell(|told| {
                told.uploads.remove(&location);
            });
            return Ok(());
        }
        let digest = Digest::of(&content);
        let target = format!("{location}?digest={digest}");
        client.ask("PUT", &target, "", &content[2 * part..])?.expect(201);
        self.tell(|told| {
            told.uploads.remove(&location);
            told.blobs.insert((repository.to_owned(), digest), size);
        });
        Ok(())
    }
}
