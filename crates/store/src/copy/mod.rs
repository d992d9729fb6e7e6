//! How does an image get from one place to another? [`copy`]: the walk of [`graph`](crate::graph) whose visitor puts what it comes to.
//!
//! Children come before parents and names last, so that an interruption, such as dropping the future, leaves at most content that nothing
//! names. Nothing is copied that is there already, and no byte changes unless that was asked for or the target takes no other form.
//!
//! # Recompression
//!
//! [`Options::recompress`] says which compression layers get, and a target that keeps [only uncompressed layers](crate::Takes) gets those
//! whatever it says. A layer that changes is decoded, and its content must be the DiffID in the image's config, one for each layer: what is
//! not is an error, and nothing of it stays. Its media type and its digest change, and with them the manifests above it; the config stays.
//! Of the layer's annotations those go that are about its old bytes, with a warning: the tables of contents of `zstd:chunked` and eStargz.
//! So does an index's word that an image has zstd layers, where it has not. What buildkit attests of an image follows it to its new digest,
//! with a warning, as the attestation itself still names the old one.
//!
//! Docker's form has no zstd, so manifests become OCI's for it; where they must be Docker's it is an error.
//!
//! The same copy again finds out by questions alone that nothing is to be done where layers were decompressed, as the config knows what
//! comes of that, or where the copies share [`Recompress::known`], in one process or, if the program keeps it, over several. Otherwise
//! the layers are compressed again, to the same bytes. A manifest at the target is no answer: it says which layers it has, but not that
//! these hold what the source's do.

mod blind;
mod blob;
mod choose;
mod ends;
mod known;
mod listed;
mod order;
mod partial;
mod progress;
mod ready;
mod recompress;
mod referrers;
mod rehearse;
mod repository;
mod resume;
mod seen;
mod tally;
mod threads;
mod turns;
mod visit;

use std::{
    collections::HashMap,
    num::NonZeroUsize,
    sync::{Arc, Mutex, atomic::Ordering},
};

use teu_spec::{Descriptor, Digest, Document, Format, LayerCompression, Pick};

pub use choose::{Which, choose_image, find_image};
pub(crate) use choose::{descend, selected};
pub use ready::Ready;
pub use recompress::{Layers, Recompress, Recompressed, attested, follow, forget_bytes};
pub use rehearse::Imagined;
pub use repository::{CopiedRepository, LeftAlone, LeftOut, Moves, Noted, Whole, copy_one, copy_repository};
pub use seen::Came;
pub use turns::Turns;

use crate::{
    Error, ErrorKind, Event, Events, Expect, Intent, Partials, Result, Source, Takes, Target,
    graph::{Fold, Limits, Permits, Visit},
};
use blind::Sight;
use ends::Ends;
use known::{Found, Known, Names, is_compared};
use order::Place;
use tally::Tally;
use threads::Threads;
use visit::Copier;

/// How a copy is done.
#[derive(Clone, Debug)]
pub struct Options {
    /// What of an index is copied.
    pub which: Which,
    /// Whether what is about the image (signatures, inventories) is copied too, and what is about that.
    pub referrers: bool,
    /// Whether it is an error where a manifest could not keep its digest.
    pub preserve_digests: bool,
    /// The form of the manifests; none keeps theirs where the target takes it.
    pub format: Option<Format>,
    /// The compression of layers; none keeps theirs.
    pub recompress: Option<Recompress>,
    /// What becomes of non-distributable layers.
    pub foreign: Foreign,
    /// Whether content that lies in a local source is taken without checking it.
    pub trust_source: bool,
    /// Where the beginnings of blobs are kept that come from afar and that the target cannot keep; nowhere by default.
    pub partials: Option<Arc<dyn Partials>>,
    /// What the names of the image are believed to be.
    pub expect: Expect,
    /// The digest that the image must have at the target, where that was asked for by one.
    pub digest: Option<Digest>,
    /// Whether the copy is only rehearsed: nothing is written, and events tell what would be. Of a layer that would be recompressed it is
    /// not known what it would become, so the digests of the manifests above it are told as they are.
    pub rehearse: bool,
    /// How many blobs and manifests are copied side by side.
    pub jobs: usize,
    /// The walks beside this copy that share them; nothing by default.
    pub permits: Option<Permits>,
    /// What this copy shares with others into the same target that go on meanwhile; nothing by default, and then two of them may both bring
    /// what they have in common. A layer that is recompressed is brought once by those that also share what is [known](Recompress::known).
    pub turns: Option<Turns>,
    /// What is waited for before anything is brought to the target; nothing by default.
    pub ready: Option<Ready>,
    /// How large an image may be.
    pub limits: Limits,
}

/// What becomes of layers that are not to be distributed, and say by their `urls` where they can be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Foreign {
    /// They are named and not copied.
    LeftOut,
    /// They are copied where the source has them itself.
    WhereThere,
    /// They are copied, from those `urls` too.
    Copied,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            which: Which::default(),
            referrers: false,
            preserve_digests: false,
            format: None,
            recompress: None,
            foreign: Foreign::LeftOut,
            trust_source: false,
            partials: None,
            expect: Expect::Any,
            digest: None,
            rehearse: false,
            jobs: 6,
            permits: None,
            turns: None,
            ready: None,
            limits: Limits::default(),
        }
    }
}

impl Options {
    fn fold<'a>(&self, source: &'a dyn Source, visitor: &'a dyn Visit) -> Fold<'a> {
        let fold = Fold::new(source, visitor, self.limits, self.jobs);
        match &self.permits {
            Some(permits) => fold.with(permits.clone()),
            None => fold,
        }
    }
}

/// Why a target is asked what it has.
fn intent(rehearse: bool) -> Intent {
    match rehearse {
        true => Intent::Read,
        false => Intent::Write,
    }
}

/// What a copy did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Copied {
    /// What the source's name led to: the index, even where one image of it was copied.
    pub source: Descriptor,
    /// What the target's names point at.
    pub descriptor: Descriptor,
    /// Blobs whose content went to the target.
    pub blobs: usize,
    /// Their bytes, as they were at the source.
    pub bytes: u64,
    /// Manifests that were put.
    pub manifests: usize,
    /// Referrers that came along.
    pub referrers: Vec<Descriptor>,
}

/// Copies the image that `pick` leads to from `source` to `target` and gives it `names` there, last and together.
///
/// What was copied is durable only when the caller has called [`Target::finish`], which comes after the last copy into that target.
///
/// # Errors
/// The first that came up, with the [side](crate::Error::side) that it was on. Nothing is named then that was not before; blobs and
/// manifests that were whole may stay, for the next attempt or for gc.
pub async fn copy(
    source: Arc<dyn Source>,
    pick: &Pick,
    target: Arc<dyn Target>,
    names: &[String],
    options: &Options,
    events: &Events,
) -> Result<Copied> {
    let found = Found::find(&*source, pick, &*target, names, options, Sight::default()).await?;
    copy_in_order(source, found, target, names, options, events, None).await
}

/// As [`copy`], of what `top` names: the source need not have a name for it.
///
/// # Errors
/// As [`copy`].
pub async fn copy_descriptor(
    source: Arc<dyn Source>,
    top: &Descriptor,
    target: Arc<dyn Target>,
    names: &[String],
    options: &Options,
    events: &Events,
) -> Result<Copied> {
    copy_in_order(source, top.into(), target, names, options, events, None).await
}

/// The same, which puts the image last of all when its place has come.
async fn copy_in_order(
    source: Arc<dyn Source>,
    found: Found,
    target: Arc<dyn Target>,
    names: &[String],
    options: &Options,
    events: &Events,
    naming: Option<Place<'_>>,
) -> Result<Copied> {
    let Found {
        top,
        document,
        names: asked,
        sight,
    } = found;
    let (root, read) = match &options.which {
        Which::One(platform) => choose::descend(&*source, &top, document, platform, options.limits).await?,
        _ => {
            let read = document.map(|document| (top.digest, document));
            (top.clone(), read.into_iter().collect())
        }
    };
    let recompress = wanted(options, target.takes(), events)?;
    let mut ends = Ends::new(
        Arc::clone(&source),
        Arc::clone(&target),
        options.trust_source,
        options.partials.clone(),
        options.rehearse,
        Threads::new(recompress.as_ref().map_or(NonZeroUsize::MIN, |how| how.threads)),
        Arc::clone(events),
    );
    ends.turns = options.turns.clone();
    ends.ready = options.ready.clone();
    ends.sight = sight;
    let tally = Tally::default();
    let mut copier = Copier {
        ends,
        options,
        recompress: recompress.as_ref(),
        which: &options.which,
        names,
        expect: options.expect,
        naming,
        known: Known::default(),
        read: Mutex::new(read.into_iter().collect::<HashMap<Digest, Document>>()),
        diff_ids: Mutex::default(),
        new_configs: Mutex::default(),
        tally: &tally,
    };
    if is_compared(options, target.takes()) {
        copier.check_digest(&root.digest)?;
        let names = match asked {
            Some(asked) => asked?,
            None => Names::ask(&*target, names, intent(options.rehearse), &copier.ends.sight).await?,
        };
        copier.known = Known::ask(&*target, &root.digest, &names, copier.ends.intent(), &copier.ends.sight).await?;
    }
    if !copier.known.named {
        copier.ends.ready().await;
    }
    let outcome = walk(&*source, root, &copier).await;
    if outcome.is_err() {
        // What else was under way was aborted, and is to be gone when the error is told.
        copier.ends.tasks.settled().await;
    }
    let (descriptor, referrers) = outcome?;
    Ok(Copied {
        source: top,
        descriptor,
        blobs: tally.blobs.load(Ordering::Relaxed),
        bytes: tally.bytes.load(Ordering::Relaxed),
        manifests: tally.manifests.load(Ordering::Relaxed),
        referrers,
    })
}

/// The compression that layers get: what is asked for, or what the target takes.
fn wanted(options: &Options, takes: Takes, events: &Events) -> Result<Option<Recompress>> {
    let asked = options.recompress.as_ref();
    if takes.uncompressed_only {
        if let Some(asked) = asked
            && asked.compression != LayerCompression::None
        {
            events(Event::Warning {
                message: format!(
                    "this destination keeps layers uncompressed, so they are not compressed with {}",
                    asked.compression
                ),
            });
        }
        let plain = Recompress::to(LayerCompression::None);
        return Ok(Some(Recompress {
            limits: asked.map_or(plain.limits, |asked| asked.limits.clone()),
            ..plain
        }));
    }
    let Some(asked) = asked else { return Ok(None) };
    asked.check()?;
    if asked.compression == LayerCompression::Zstd && (options.format == Some(Format::Docker) || !takes.oci) {
        let message = "Docker's form of an image (v2s2) has no zstd layers; use gzip, or copy it as oci";
        return Err(Error::new(ErrorKind::Unsupported, message));
    }
    Ok(Some(asked.clone()))
}

/// Copies what is below `root`, and what is about it: what the target's names point at then, and the referrers.
async fn walk(source: &dyn Source, root: Descriptor, copier: &Copier<'_>) -> Result<(Descriptor, Vec<Descriptor>)> {
    let Copier { ends, options, .. } = copier;
    let descriptor = if copier.known.complete && copier.known.named && !options.referrers {
        (ends.events)(Event::ManifestDone {
            descriptor: root.clone(),
            names: copier.names.to_vec(),
            existed: true,
        });
        root
    } else {
        let fold = options.fold(source, copier);
        fold.visit(&root).await?.unwrap_or(root)
    };
    let referrers = if options.referrers {
        referrers::copy(source, copier).await?
    } else {
        Vec::new()
    };
    Ok((descriptor, referrers))
}

#[cfg(test)]
mod tests;
