//! How does all of a repository get from one place to another? [`copy_repository`]: every name, and every manifest that has none, be it
//! about another or only not named any more. What cannot be had is left out, and told; what came stays.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use futures_util::{FutureExt, StreamExt, stream};
use teu_spec::{Descriptor, Digest, Document, Pick};

use super::{
    Options, Which,
    blind::Sight,
    copy_in_order, intent,
    known::{Found, Names},
    listed::{Image, Listed},
    order::{Order, Place},
    seen::{Came, Seen, lock, seeing},
};
use crate::{
    Browse, Error, ErrorKind, Events, Intent, Keyset, Result, Role, Side, Source, SourceExt, Target, child_roles,
    graph::Permits,
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
    /// Which names are moved that point at something else there. An image of another one is copied without it.
    pub moves: Moves,
    /// What repositories share that are copied side by side, so that all of them together have only so many images under way; nothing, and then
    /// [`Options::jobs`] of them are this one's.
    pub under_way: Option<Permits>,
    /// Where [names](CopiedRepository::names) are noted as well, so that those are known that the target has where the copy fails.
    pub noted: Noted,
}

/// Names that a target has now, and what they point at there.
pub type Noted = Arc<Mutex<HashMap<String, Digest>>>;

/// Which names of a target are moved that point at something else than the source's.
#[derive(Clone, Debug, Default)]
pub enum Moves {
    /// All.
    #[default]
    All,
    /// Those that point there at what they are known to: for a copy that is repeated, at what [it set them to](CopiedRepository::names) before. So
    /// what others moved meanwhile stays where they have it. They are looked at before the image is copied.
    From(HashMap<String, Digest>),
}

impl Moves {
    /// Whether a name that points at `there` may point at `here`.
    fn allow(&self, name: &str, there: &Digest, here: &Digest) -> bool {
        match self {
            Self::All => true,
            Self::From(known) => there == here || known.get(name) == Some(there),
        }
    }
}

/// What a copy of a repository did.
#[derive(Debug, Default)]
pub struct CopiedRepository {
    /// The names that the target has of it now, and what they point at there.
    pub names: HashMap<String, Digest>,
    /// How many manifests without a name of their own came along, but those that indexes name.
    pub unnamed: usize,
    /// Manifests that were put, those included that indexes name.
    pub manifests: HashSet<Digest>,
    /// Blobs that were come to.
    pub blobs: HashMap<Digest, Came>,
    /// What did not come along.
    pub left_out: Vec<LeftOut>,
    /// The names that were [not moved](Moves).
    pub left_alone: Vec<LeftAlone>,
}

impl CopiedRepository {
    /// How many blobs went to the target, and how many bytes they have.
    #[must_use]
    pub fn brought(&self) -> (usize, u64) {
        let new = self.blobs.values().filter(|came| came.is_new);
        new.fold((0, 0), |(blobs, bytes), came| (blobs + 1, bytes + came.size))
    }
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

/// A name that was not moved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftAlone {
    /// The name.
    pub name: String,
    /// What it points at, at the target.
    pub target: Digest,
    /// What it points at, at the source.
    pub source: Digest,
}

/// Copies all that `source` has to `target`, under the same names. Names and manifests that the target has beside them stay there.
///
/// Images go side by side, as many as [`Options::jobs`], and come to their names in the order in which the source lists them; a name that it lists twice
/// is that of the last. Neither what comes back nor what the target lists depends on which of them is read first.
///
/// What is missing at the source, damaged, or of a form that is not read is left out, with the names that lead to it, and so is what the
/// target refuses; it is in what comes back, and no error. The same copy again costs a question for each name and each manifest where the
/// target is [closed](Source::is_closed). It is durable as after [`copy`](super::copy), when the caller has finished the target.
///
/// # Errors
/// `Unsupported` where the source does not list; what else keeps it from reading or writing at all: the first in the order of what is listed. What
/// came until then stays, and what was under way came to its end.
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
    let mut work = Work::new(&source, &target, how, events);
    let named = work.named(browse).await?;
    let mut tried: HashSet<Digest> = named.iter().map(|image| image.digest).collect();
    work.copy_all(named).await?;
    let mut after: Option<String> = None;
    loop {
        let part = Keyset {
            after: after.as_deref(),
            limit: PAGE,
        };
        let Some(page) = browse.manifests(part) else { break };
        let page = page.await.map_err(|error| error.on(Side::Source))?;
        let others = page.items.into_iter().filter(|digest| tried.insert(*digest));
        work.copy_all(others.map(Image::unnamed).collect()).await?;
        match page.next {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    Ok(work.end())
}

/// Copies the one image that `pick` leads to, as [`copy`](super::copy) does, and tells of it as [`copy_repository`] does. Nothing of it is left out;
/// names are [left alone](Whole::moves) as there.
///
/// # Errors
/// As [`copy`](super::copy).
pub async fn copy_one(
    source: Arc<dyn Source>,
    pick: &Pick,
    target: Arc<dyn Target>,
    names: &[String],
    how: &Whole,
    events: &Events,
) -> Result<CopiedRepository> {
    let mut work = Work::new(&source, &target, how, events);
    let under_way = work.under_way.clone();
    let _under_way = under_way.take().await;
    let events = seeing(&work.seen, None, events);
    let options = &work.options;
    let mut found = Found::find(&*source, pick, &*target, names, options, work.sight.clone()).await?;
    let mut image = Image {
        names: names.to_vec(),
        ..Image::unnamed(found.top.digest)
    };
    let left_alone = work.leave_alone(&mut image, &mut found.names).await?;
    let (source, target) = (Arc::clone(&source), Arc::clone(&target));
    let copied = copy_in_order(source, found, target, &image.names, options, &events, None).await?;
    work.note_names(image.names, copied.descriptor.digest);
    work.done.left_alone = left_alone;
    Ok(work.end())
}

/// What became of an image.
enum Outcome {
    /// It is there, of this digest.
    Copied(Digest),
    /// Another image brought it, or it was there.
    Passed,
    Failed(Error),
}

/// What images share that are copied side by side.
struct Together {
    /// In which they begin. None that is under way waits for one that cannot be.
    beginning: Order,
    /// In which they get their names.
    naming: Order,
    has_failed: AtomicBool,
}

struct Work<'a> {
    source: &'a Arc<dyn Source>,
    target: &'a Arc<dyn Target>,
    how: &'a Whole,
    options: Options,
    under_way: Permits,
    events: &'a Events,
    seen: Arc<Mutex<Seen>>,
    sight: Sight,
    /// What came along without a name.
    unnamed: HashSet<Digest>,
    done: CopiedRepository,
}

impl<'a> Work<'a> {
    fn new(source: &'a Arc<dyn Source>, target: &'a Arc<dyn Target>, how: &'a Whole, events: &'a Events) -> Self {
        let mut options = how.options.clone();
        // What images have in common is brought once.
        options.turns.get_or_insert_default();
        options.permits.get_or_insert_with(|| Permits::new(options.jobs));
        Self {
            source,
            target,
            how,
            under_way: how.under_way.clone().unwrap_or_else(|| Permits::new(options.jobs)),
            options,
            events,
            seen: Arc::default(),
            sight: Sight::default(),
            unnamed: HashSet::new(),
            done: CopiedRepository::default(),
        }
    }

    fn end(self) -> CopiedRepository {
        let seen = std::mem::take(&mut *lock(&self.seen));
        CopiedRepository {
            unnamed: self.unnamed.difference(&seen.below).count(),
            manifests: seen.put,
            blobs: seen.blobs,
            ..self.done
        }
    }

    /// What is listed, with all names that each has, in the order of the list.
    async fn named(&mut self, browse: &dyn Browse) -> Result<Vec<Image>> {
        let mut listed = Listed::default();
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
                listed.add(descriptor, name);
            }
            match page.next {
                Some(next) => from = Some(next),
                None => return Ok(listed.images()),
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
        let intent = intent(self.options.rehearse);
        let question = readable.stat(Role::Manifest, digest, intent);
        Ok(self.sight.look(&**self.target, intent, question).await?.is_some())
    }

    /// Copies images side by side, and notes what became of each in their order.
    async fn copy_all(&mut self, images: Vec<Image>) -> Result<()> {
        let together = Together {
            beginning: Order::new(),
            naming: Order::new(),
            has_failed: AtomicBool::new(false),
        };
        let this = &*self;
        let copies = images.into_iter().enumerate();
        let copies = copies.map(|(number, image)| this.copy(number, image, &together).boxed());
        let copies = stream::iter(copies).buffered(self.options.jobs);
        let outcomes: Vec<(Image, Vec<LeftAlone>, Outcome)> = copies.collect().await;
        // What was under way when one failed came to its end, and is noted.
        let mut failed = Ok(());
        for (image, left_alone, outcome) in outcomes {
            self.done.left_alone.extend(left_alone);
            match outcome {
                Outcome::Passed => {}
                Outcome::Copied(digest) => {
                    if image.names.is_empty() {
                        self.unnamed.insert(image.digest);
                    }
                    self.note_names(image.names, digest);
                }
                Outcome::Failed(error) => {
                    failed = failed.and(self.leave_out(image.names, Some(image.digest), error));
                }
            }
        }
        failed
    }

    /// After one that failed for good none is begun.
    async fn copy(&self, number: usize, mut image: Image, together: &Together) -> (Image, Vec<LeftAlone>, Outcome) {
        let mut left_alone = Vec::new();
        let (beginning, naming) = (together.beginning.place(number), together.naming.place(number));
        beginning.come().await;
        let _under_way = self.under_way.take().await;
        beginning.pass();
        let outcome = match together.has_failed.load(Ordering::Relaxed) {
            true => Outcome::Passed,
            false => {
                let outcome = self.try_copy(&mut image, &mut left_alone, naming).await;
                outcome.unwrap_or_else(Outcome::Failed)
            }
        };
        if let Outcome::Failed(error) = &outcome
            && !is_left_out(error)
        {
            together.has_failed.store(true, Ordering::Relaxed);
        }
        // Also one that gets no name has its turn.
        naming.come().await;
        naming.pass();
        (image, left_alone, outcome)
    }

    async fn try_copy(&self, image: &mut Image, left_alone: &mut Vec<LeftAlone>, naming: Place<'_>) -> Result<Outcome> {
        let mut names = None;
        *left_alone = self.leave_alone(image, &mut names).await?;
        if image.names.is_empty() {
            let is_done = image.descriptor.is_none() && lock(&self.seen).manifests.contains(&image.digest);
            if is_done || self.has(&image.digest).await? {
                return Ok(Outcome::Passed);
            }
        }
        let of_source = |error: Error| error.on(Side::Source);
        let descriptor = match &image.descriptor {
            Some(descriptor) => descriptor.clone(),
            None => self
                .source
                .resolve(&Pick::Digest(image.digest))
                .await
                .map_err(of_source)?,
        };
        let which = match self.how.sparse {
            true => present(&**self.source, &descriptor).await.map_err(of_source)?,
            false => Which::All,
        };
        let options = Options {
            which,
            ..self.options.clone()
        };
        let (source, target) = (Arc::clone(self.source), Arc::clone(self.target));
        let events = seeing(&self.seen, Some(image.digest), self.events);
        let naming = Some(naming);
        let found = Found {
            names,
            sight: self.sight.clone(),
            ..(&descriptor).into()
        };
        let copied = copy_in_order(source, found, target, &image.names, &options, &events, naming).await?;
        Ok(Outcome::Copied(copied.descriptor.digest))
    }

    /// Takes from an image the names that are not moved. What the target says of those that stay is in `asked` then, where it was asked.
    async fn leave_alone(&self, image: &mut Image, asked: &mut Option<Result<Names>>) -> Result<Vec<LeftAlone>> {
        let mut left_alone = Vec::new();
        if image.names.is_empty() || matches!(self.how.moves, Moves::All) {
            return Ok(left_alone);
        }
        let names = match asked.take() {
            Some(names) => names?,
            None => Names::ask(&**self.target, &image.names, intent(self.options.rehearse), &self.sight).await?,
        };
        let (mut named, mut there) = (Vec::new(), Vec::new());
        for (name, found) in image.names.drain(..).zip(names.into_found()) {
            match found {
                Some(found) if !self.how.moves.allow(&name, &found, &image.digest) => left_alone.push(LeftAlone {
                    name,
                    target: found,
                    source: image.digest,
                }),
                found => {
                    named.push(name);
                    there.push(found);
                }
            }
        }
        image.names = named;
        *asked = Some(Ok(Names::of(there)));
        Ok(left_alone)
    }

    fn note_names(&mut self, names: Vec<String>, digest: Digest) {
        let names = names.into_iter().map(move |name| (name, digest));
        lock(&self.how.noted).extend(names.clone());
        self.done.names.extend(names);
    }

    /// Tells of what does not come along, unless the reason is one that nothing would come along for.
    fn leave_out(&mut self, names: Vec<String>, digest: Option<Digest>, error: Error) -> Result<()> {
        if !is_left_out(&error) {
            return Err(error);
        }
        self.done.left_out.push(LeftOut { names, digest, error });
        Ok(())
    }
}

/// Whether an error is about what is copied alone.
fn is_left_out(error: &Error) -> bool {
    match (error.kind(), error.side()) {
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
        let document = source.document(&descriptor).await?;
        if !matches!(document, Document::Index(_)) {
            continue;
        }
        for child in document.children() {
            let mut found = None;
            for role in child_roles(&document, &child) {
                if found.is_none() {
                    found = source.stat(*role, &child.digest, Intent::Read).await?;
                }
            }
            match found {
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
