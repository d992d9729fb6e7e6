//! How does all of a repository get from one place to another? [`copy_repository`]: every name, and every manifest that has none, be it
//! about another or only not named any more. What cannot be had is left out, and told; what came stays.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, PoisonError},
};

use teu_spec::{Descriptor, Digest, Document, Pick};

use super::{Options, Which, copy_descriptor};
use crate::{
    Browse, Error, ErrorKind, Event, Events, How, Intent, Keyset, Result, Role, Side, Source, SourceExt, Target,
};

/// How many manifests are asked for at once.
const PAGE: usize = 10_000;

/// How a repository is copied.
#[derive(Clone, Debug)]
pub struct Whole {
    /// How each of its images is; which images of an index is decided here.
    pub options: Options,
    /// Whether an index is copied of which some images are not there. It keeps its bytes.
    pub sparse: bool,
    /// Which names can be names at the target. An image of another name is copied without it.
    pub is_name: fn(&str) -> bool,
}

/// What a copy of a repository did.
#[derive(Debug, Default)]
pub struct CopiedRepository {
    /// How many names the target has of it now.
    pub names: usize,
    /// How many manifests without a name of their own came along, but those that indexes name.
    pub unnamed: usize,
    /// How many manifests were put, those included that indexes name.
    pub manifests: usize,
    /// How many blobs went to the target.
    pub blobs: usize,
    /// How many bytes they have.
    pub bytes: u64,
    /// What did not come along.
    pub left_out: Vec<LeftOut>,
}

/// Something that did not come along.
#[derive(Debug)]
pub struct LeftOut {
    /// The names of it.
    pub names: Vec<String>,
    /// What it is, where that is known.
    pub digest: Option<Digest>,
    /// Why.
    pub error: Error,
}

/// Copies all that `source` has to `target`, under the same names. Names and manifests that the target has beside them stay there.
///
/// What is missing at the source, damaged, or of a form that is not read is left out, with the names that lead to it, and so is what the
/// target refuses; it is in what comes back, and no error. The same copy again costs a question for each name and each manifest where the
/// target is [closed](Source::is_closed). It is durable as after [`copy`](super::copy), when the caller has finished the target.
///
/// # Errors
/// `Unsupported` where the source does not list; what else keeps it from reading or writing at all. What came until then stays.
pub async fn copy_repository(
    source: Arc<dyn Source>,
    target: Arc<dyn Target>,
    how: &Whole,
    events: &Events,
) -> Result<CopiedRepository> {
    let browse = source.browse().ok_or_else(|| {
        let message = "this place does not list what it has, so not all of it can be copied";
        Error::new(ErrorKind::Unsupported, message).on(Side::Source)
    })?;
    let seen = Arc::new(Mutex::new(Seen::default()));
    let mut work = Work {
        source: &source,
        target: &target,
        how,
        events: seeing(&seen, events),
        done: CopiedRepository::default(),
    };
    let mut tried = HashSet::new();
    for (descriptor, names) in work.named(browse).await? {
        tried.insert(descriptor.digest);
        if !names.is_empty() || !work.has(&descriptor.digest).await? {
            work.copy(&descriptor, names).await?;
        }
    }
    let mut after: Option<String> = None;
    loop {
        let part = Keyset {
            after: after.as_deref(),
            limit: PAGE,
        };
        let Some(page) = browse.manifests(part) else { break };
        let page = page.await.map_err(|error| error.on(Side::Source))?;
        for digest in page.items {
            let is_done = tried.contains(&digest) || lock(&seen).manifests.contains(&digest);
            if !is_done && !work.has(&digest).await? {
                work.copy_unnamed(&digest).await?;
            }
        }
        match page.next {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    let mut done = work.done;
    let seen = lock(&seen);
    (done.blobs, done.bytes) = (seen.blobs.len(), seen.blobs.values().sum());
    done.manifests = seen.put.len();
    Ok(done)
}

/// What the copies of all images tell, each content once: a rehearsal finds it absent again with each image.
#[derive(Default)]
struct Seen {
    manifests: HashSet<Digest>,
    put: HashSet<Digest>,
    sizes: HashMap<Digest, u64>,
    blobs: HashMap<Digest, u64>,
}

fn lock(seen: &Mutex<Seen>) -> std::sync::MutexGuard<'_, Seen> {
    // No one leaves it half changed, so what a panic elsewhere left is whole.
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The same events, noted on their way.
fn seeing(seen: &Arc<Mutex<Seen>>, events: &Events) -> Events {
    let (seen, events) = (Arc::clone(seen), Arc::clone(events));
    Arc::new(move |event| {
        let mut noted = lock(&seen);
        match &event {
            Event::BlobStarted { descriptor, .. } => {
                noted.sizes.insert(descriptor.digest, descriptor.size);
            }
            Event::BlobDone { digest, how } => {
                let size = noted.sizes.remove(digest).unwrap_or_default();
                if matches!(how, How::Copied | How::Linked | How::Recompressed) {
                    noted.blobs.insert(*digest, size);
                }
            }
            Event::ManifestDone {
                descriptor, existed, ..
            } => {
                noted.manifests.insert(descriptor.digest);
                if !existed {
                    noted.put.insert(descriptor.digest);
                }
            }
            _ => {}
        }
        drop(noted);
        events(event);
    })
}

struct Work<'a> {
    source: &'a Arc<dyn Source>,
    target: &'a Arc<dyn Target>,
    how: &'a Whole,
    events: Events,
    done: CopiedRepository,
}

impl Work<'_> {
    /// What is listed, with all names that each has, in the order of the list.
    async fn named(&mut self, browse: &dyn Browse) -> Result<Vec<(Descriptor, Vec<String>)>> {
        let mut listed: Vec<(Descriptor, Vec<String>)> = Vec::new();
        let mut places: HashMap<Digest, usize> = HashMap::new();
        let mut from: Option<String> = None;
        loop {
            let page = browse.names(from.as_deref()).await;
            let page = page.map_err(|error| error.on(Side::Source))?;
            for named in page.items {
                let name = named.name.filter(|name| self.is_name(name, named.descriptor.as_ref()));
                let descriptor = match (named.descriptor, &name) {
                    (Some(descriptor), _) => descriptor,
                    (None, None) => continue,
                    (None, Some(wanted)) => match self.source.resolve(&Pick::Name(wanted.clone())).await {
                        Ok(descriptor) => descriptor,
                        Err(error) => {
                            self.leave_out(vec![wanted.clone()], None, error.on(Side::Source))?;
                            continue;
                        }
                    },
                };
                let place = *places.entry(descriptor.digest).or_insert_with(|| {
                    listed.push((descriptor, Vec::new()));
                    listed.len() - 1
                });
                listed[place].1.extend(name);
            }
            match page.next {
                Some(next) => from = Some(next),
                None => return Ok(listed),
            }
        }
    }

    /// Whether the target can have this name; it is told where not.
    fn is_name(&mut self, name: &str, descriptor: Option<&Descriptor>) -> bool {
        let is_name = (self.how.is_name)(name);
        if !is_name {
            let message = "that cannot be a name here; what it names is copied without it";
            self.done.left_out.push(LeftOut {
                names: vec![name.to_owned()],
                digest: descriptor.map(|descriptor| descriptor.digest),
                error: Error::new(ErrorKind::Invalid, message),
            });
        }
        is_name
    }

    /// Whether the target has a manifest and all below it.
    async fn has(&self, digest: &Digest) -> Result<bool> {
        let Some(readable) = self.target.readable().filter(|readable| readable.is_closed()) else {
            return Ok(false);
        };
        let intent = match self.how.options.rehearse {
            true => Intent::Read,
            false => Intent::Write,
        };
        let found = readable.stat(Role::Manifest, digest, intent).await;
        Ok(found.map_err(|error| error.on(Side::Destination))?.is_some())
    }

    async fn copy_unnamed(&mut self, digest: &Digest) -> Result<()> {
        match self.source.resolve(&Pick::Digest(*digest)).await {
            Ok(descriptor) => self.copy(&descriptor, Vec::new()).await,
            Err(error) => self.leave_out(Vec::new(), Some(*digest), error.on(Side::Source)),
        }
    }

    async fn copy(&mut self, descriptor: &Descriptor, names: Vec<String>) -> Result<()> {
        let copied = self.try_copy(descriptor, &names).await;
        match copied {
            Ok(()) if names.is_empty() => self.done.unnamed += 1,
            Ok(()) => self.done.names += names.len(),
            Err(error) => self.leave_out(names, Some(descriptor.digest), error)?,
        }
        Ok(())
    }

    async fn try_copy(&self, descriptor: &Descriptor, names: &[String]) -> Result<()> {
        let which = match self.how.sparse {
            true => present(&**self.source, descriptor).await,
            false => Ok(Which::All),
        };
        let options = Options {
            which: which.map_err(|error| error.on(Side::Source))?,
            ..self.how.options.clone()
        };
        let (source, target) = (Arc::clone(self.source), Arc::clone(self.target));
        copy_descriptor(source, descriptor, target, names, &options, &self.events).await?;
        Ok(())
    }

    /// Tells of what does not come along, unless the reason is one that nothing would come along for.
    fn leave_out(&mut self, names: Vec<String>, digest: Option<Digest>, error: Error) -> Result<()> {
        let stays = match (error.kind(), error.side()) {
            (ErrorKind::MissingChildren(_) | ErrorKind::Conflict, _) => true,
            (_, Some(Side::Destination)) => false,
            (kind, _) => matches!(
                kind,
                ErrorKind::NotFound
                    | ErrorKind::Mismatch
                    | ErrorKind::Invalid
                    | ErrorKind::Unsupported
                    | ErrorKind::TooLarge
            ),
        };
        if !stays {
            return Err(error);
        }
        self.done.left_out.push(LeftOut { names, digest, error });
        Ok(())
    }
}

/// What of an index there is at the source: all, or what is to be walked.
async fn present(source: &dyn Source, top: &Descriptor) -> Result<Which> {
    let mut there = HashSet::new();
    let mut is_whole = true;
    let mut waiting = vec![top.clone()];
    while let Some(descriptor) = waiting.pop() {
        if !descriptor.media_type.is_index() {
            continue;
        }
        let Document::Index(index) = source.document(&descriptor).await? else {
            continue;
        };
        for child in index.manifests {
            match source.stat(Role::Manifest, &child.digest, Intent::Read).await? {
                Some(found) if there.insert(child.digest) => waiting.push(found),
                Some(_) => {}
                None => is_whole = false,
            }
        }
    }
    Ok(match is_whole {
        true => Which::All,
        false => Which::Listed(there),
    })
}
