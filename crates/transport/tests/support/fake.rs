//! A registry in memory, whole enough to push to and pull from, whose habits a test can choose.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Mutex,
};

use teu_spec::{Descriptor, Digest, Document, Format, Index, MediaType};

use super::scripted::{Reply, Seen};

/// What not all registries do alike.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Habits {
    /// It has the referrers API.
    pub(crate) referrers: bool,
    /// It sets the tags of `?tag=` of a push by digest.
    pub(crate) tag_query: bool,
    /// It demands pieces of at least this size.
    pub(crate) least_piece: Option<usize>,
    /// It serves ranges of blobs.
    pub(crate) ranges: bool,
    /// It deletes tags.
    pub(crate) untags: bool,
    /// How many names are on a page, whatever is asked for.
    pub(crate) page: usize,
    /// It says a manifest's digest, type and length in answer to HEAD.
    pub(crate) good_head: bool,
}

impl Default for Habits {
    fn default() -> Self {
        Self {
            referrers: true,
            tag_query: true,
            least_piece: None,
            ranges: true,
            untags: true,
            page: 10,
            good_head: true,
        }
    }
}

/// A registry.
#[derive(Default)]
pub(crate) struct Fake {
    pub(crate) habits: Habits,
    pub(crate) state: Mutex<State>,
}

/// What it holds, by repository.
#[derive(Default)]
pub(crate) struct State {
    pub(crate) blobs: HashMap<(String, Digest), Vec<u8>>,
    pub(crate) manifests: BTreeMap<(String, Digest), (String, Vec<u8>)>,
    pub(crate) tags: BTreeMap<(String, String), Digest>,
    pub(crate) uploads: HashMap<String, Vec<u8>>,
    sessions: usize,
}

impl Fake {
    pub(crate) fn new(habits: Habits) -> Self {
        Self {
            habits,
            state: Mutex::default(),
        }
    }

    /// Puts a blob.
    pub(crate) fn blob(&self, repository: &str, content: &[u8]) -> Digest {
        let digest = Digest::of(content);
        let mut state = self.state.lock().expect("the state");
        state.blobs.insert((repository.to_owned(), digest), content.to_vec());
        digest
    }

    /// Puts a manifest under a tag.
    pub(crate) fn manifest(&self, repository: &str, tag: &str, document: &Document) -> Digest {
        let digest = Digest::of(document.raw());
        let mut state = self.state.lock().expect("the state");
        let content = (document.media_type().to_string(), document.raw().to_vec());
        state.manifests.insert((repository.to_owned(), digest), content);
        state.tags.insert((repository.to_owned(), tag.to_owned()), digest);
        digest
    }

    pub(crate) fn answer(&self, seen: &Seen) -> Reply {
        let mut state = self.state.lock().expect("the state");
        let path = seen.path().to_owned();
        let Some(path) = path.strip_prefix("/v2/") else {
            return Reply::new(404);
        };
        if path.is_empty() {
            return Reply::new(200);
        }
        let parts: Vec<&str> = path.split('/').collect();
        for (place, part) in parts.iter().enumerate().skip(1).rev() {
            let repository = parts[..place].join("/");
            let rest = &parts[place + 1..];
            match (*part, rest) {
                ("blobs", ["uploads", session @ ..]) => {
                    return self.upload(&mut state, seen, &repository, &session.join("/"));
                }
                ("blobs", [digest]) => return self.blob_request(&mut state, seen, &repository, digest),
                ("manifests", [name]) => return self.manifest_request(&mut state, seen, &repository, name),
                ("tags", ["list"]) => return self.tags(&state, seen, &repository),
                ("referrers", [digest]) if self.habits.referrers => {
                    return referrers(&state, seen, &repository, digest);
                }
                _ => {}
            }
        }
        Reply::new(404)
    }

    fn blob_request(&self, state: &mut State, seen: &Seen, repository: &str, digest: &str) -> Reply {
        let Ok(digest) = digest.parse::<Digest>() else {
            return error(400, "DIGEST_INVALID");
        };
        let key = (repository.to_owned(), digest);
        if seen.method == "DELETE" {
            return match state.blobs.remove(&key) {
                Some(_) => Reply::new(202),
                None => error(404, "BLOB_UNKNOWN"),
            };
        }
        let Some(content) = state.blobs.get(&key) else {
            return error(404, "BLOB_UNKNOWN");
        };
        let reply = |status| {
            Reply::new(status)
                .header("Docker-Content-Digest", digest)
                .header("ETag", format!("\"{digest}\""))
        };
        let range = seen.header("range").filter(|_| self.habits.ranges);
        let Some(range) = range.and_then(|range| range.strip_prefix("bytes=")?.split_once('-')) else {
            return reply(200).header("Content-Length", content.len()).body(content.clone());
        };
        let start: usize = range.0.parse().expect("a start");
        let end = match range.1 {
            "" => content.len(),
            last => content.len().min(last.parse::<usize>().expect("an end") + 1),
        };
        if start >= content.len() {
            return reply(416);
        }
        reply(206)
            .header("Content-Range", format!("bytes {start}-{}/{}", end - 1, content.len()))
            .body(&content[start..end])
    }

    fn manifest_request(&self, state: &mut State, seen: &Seen, repository: &str, name: &str) -> Reply {
        if seen.method == "PUT" {
            return self.put_manifest(state, seen, repository, name);
        }
        let digest = match name.parse::<Digest>() {
            Ok(digest) => Some(digest),
            Err(_) => state.tags.get(&(repository.to_owned(), name.to_owned())).copied(),
        };
        let found = digest.filter(|digest| state.manifests.contains_key(&(repository.to_owned(), *digest)));
        let Some(digest) = found else {
            return error(404, "MANIFEST_UNKNOWN");
        };
        let key = (repository.to_owned(), digest);
        if seen.method == "DELETE" {
            if name.parse::<Digest>().is_err() {
                if !self.habits.untags {
                    return error(405, "UNSUPPORTED");
                }
                state.tags.remove(&(repository.to_owned(), name.to_owned()));
            } else {
                state.manifests.remove(&key);
                state.tags.retain(|(of, _), to| of != repository || *to != digest);
            }
            return Reply::new(202);
        }
        let (media_type, content) = &state.manifests[&key];
        if seen.method == "HEAD" && !self.habits.good_head {
            return Reply::new(200);
        }
        Reply::new(200)
            .header("Content-Type", media_type)
            .header("Docker-Content-Digest", digest)
            .header("Content-Length", content.len())
            .body(content.clone())
    }

    fn put_manifest(&self, state: &mut State, seen: &Seen, repository: &str, name: &str) -> Reply {
        let media_type = MediaType::from(seen.header("content-type").unwrap_or_default());
        let Ok(document) = Document::parse(seen.body.clone().into(), Some(&media_type)) else {
            return error(400, "MANIFEST_INVALID");
        };
        let digest = match name.parse::<Digest>() {
            Ok(digest) if digest.algorithm().digest(&seen.body) != digest => return error(400, "DIGEST_INVALID"),
            Ok(digest) => digest,
            Err(_) => Digest::of(&seen.body),
        };
        for child in document.children() {
            let key = (repository.to_owned(), child.digest);
            if !state.blobs.contains_key(&key) && !state.manifests.contains_key(&key) {
                let body = format!(
                    r#"{{"errors":[{{"code":"MANIFEST_BLOB_UNKNOWN","message":"blob unknown","detail":"{}"}}]}}"#,
                    child.digest
                );
                return Reply::new(404).body(body);
            }
        }
        let mut reply = Reply::new(201).header("Docker-Content-Digest", digest);
        let mut tags = match name.parse::<Digest>() {
            Ok(_) => Vec::new(),
            Err(_) => vec![name.to_owned()],
        };
        if self.habits.tag_query {
            for tag in seen.query("tag") {
                reply = reply.header("OCI-Tag", &tag);
                tags.push(tag);
            }
        }
        for tag in &tags {
            let current = state.tags.get(&(repository.to_owned(), tag.clone()));
            let wanted = seen
                .header("if-match")
                .map(|wanted| wanted.trim_matches('"').to_owned());
            let holds = |wanted: String| current.is_some_and(|current| wanted == "*" || current.to_string() == wanted);
            if wanted.is_some_and(|wanted| !holds(wanted))
                || (seen.header("if-none-match").is_some() && current.is_some())
            {
                return error(412, "DENIED");
            }
        }
        if let Some(subject) = document.subject().filter(|_| self.habits.referrers) {
            reply = reply.header("OCI-Subject", subject.digest);
        }
        let key = (repository.to_owned(), digest);
        state.manifests.insert(key, (media_type.to_string(), seen.body.clone()));
        for tag in tags {
            state.tags.insert((repository.to_owned(), tag), digest);
        }
        reply
    }

    fn upload(&self, state: &mut State, seen: &Seen, repository: &str, session: &str) -> Reply {
        if seen.method == "POST" {
            if let (Some(digest), from) = (seen.query("mount").first(), seen.query("from")) {
                let digest: Digest = digest.parse().expect("a digest");
                let found = from.iter().find_map(|from| state.blobs.get(&(from.clone(), digest)));
                if let Some(content) = found.cloned() {
                    state.blobs.insert((repository.to_owned(), digest), content);
                    return Reply::new(201).header("Location", format!("/v2/{repository}/blobs/{digest}"));
                }
            }
            state.sessions += 1;
            let session = format!("session-{}", state.sessions);
            state.uploads.insert(session.clone(), Vec::new());
            let reply = Reply::new(202).header("Location", format!("/v2/{repository}/blobs/uploads/{session}?state=0"));
            return match self.habits.least_piece {
                Some(least) => reply.header("OCI-Chunk-Min-Length", least),
                None => reply,
            };
        }
        let Some(content) = state.uploads.get_mut(session) else {
            return error(404, "BLOB_UPLOAD_UNKNOWN");
        };
        // A location is an opaque thing: a client that makes one up, or keeps an old one, is caught.
        if seen.method != "GET" && seen.query("state") != [content.len().to_string()] {
            return error(404, "BLOB_UPLOAD_INVALID");
        }
        if let Some(range) = seen.header("content-range") {
            let start: usize = range
                .split('-')
                .next()
                .and_then(|start| start.parse().ok())
                .expect("a range");
            if start != content.len() {
                return error(416, "RANGE_INVALID");
            }
        }
        match seen.method.as_str() {
            "PATCH" | "PUT" => content.extend_from_slice(&seen.body),
            "DELETE" => {
                state.uploads.remove(session);
                return Reply::new(204);
            }
            _ => {}
        }
        let length = content.len();
        if seen.method == "PUT" && seen.whole {
            let digest: Digest = seen
                .query("digest")
                .first()
                .expect("a digest")
                .parse()
                .expect("a digest");
            if digest.algorithm().digest(content) != digest {
                return error(400, "DIGEST_INVALID");
            }
            let content = state.uploads.remove(session).expect("the session");
            state.blobs.insert((repository.to_owned(), digest), content);
            return Reply::new(201)
                .header("Docker-Content-Digest", digest)
                .header("Location", format!("/v2/{repository}/blobs/{digest}"));
        }
        Reply::new(if seen.method == "GET" { 204 } else { 202 })
            .header(
                "Location",
                format!("/v2/{repository}/blobs/uploads/{session}?state={length}"),
            )
            .header("Range", format!("0-{}", length.saturating_sub(1)))
    }

    fn tags(&self, state: &State, seen: &Seen, repository: &str) -> Reply {
        let last = seen.query("last").first().cloned().unwrap_or_default();
        let all: Vec<&str> = state
            .tags
            .keys()
            .filter(|(of, tag)| of == repository && *tag > last)
            .map(|(_, tag)| tag.as_str())
            .collect();
        let some = &all[..all.len().min(self.habits.page)];
        let reply = Reply::new(200).body(serde_json::json!({"name": repository, "tags": some}).to_string());
        match some.last() {
            Some(last) if some.len() < all.len() => reply.header(
                "Link",
                format!(
                    "</v2/{repository}/tags/list?n={}&last={last}>; rel=\"next\"",
                    self.habits.page
                ),
            ),
            _ => reply,
        }
    }
}

fn referrers(state: &State, seen: &Seen, repository: &str, subject: &str) -> Reply {
    let wanted = seen.query("artifactType");
    let found: Vec<Descriptor> = state
        .manifests
        .iter()
        .filter(|((of, _), _)| of == repository)
        .filter_map(|((_, digest), (media_type, content))| {
            let document = Document::parse(content.clone().into(), Some(&MediaType::from(media_type.as_str()))).ok()?;
            let is_about = document.subject()?.digest.to_string() == subject;
            is_about.then(|| teu_store::referrer(&document, *digest))
        })
        .filter(|found| wanted.is_empty() || found.artifact_type == wanted.first().cloned())
        .collect();
    let index = Index::build(Format::Oci, &found).expect("an index");
    let reply = Reply::new(200)
        .header("Content-Type", MediaType::OciIndex)
        .body(index.raw().to_vec());
    if wanted.is_empty() {
        reply
    } else {
        reply.header("OCI-Filters-Applied", "artifactType")
    }
}

pub(crate) fn error(status: u16, code: &str) -> Reply {
    Reply::new(status).body(format!(r#"{{"errors":[{{"code":"{code}","message":"no"}}]}}"#))
}
