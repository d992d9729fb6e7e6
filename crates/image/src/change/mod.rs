//! How is an image changed? By [`in_place`], or by [`into`] another place: the one way for all that changes images.
//!
//! A [`Change`] is shown each image, for all machines of an index or for those that are [chosen](Options::platforms), as an [`Image`] that it
//! can change: its config, its manifest, its layers with their DiffIDs and history. New blobs it puts on the [`Stage`]. What comes of it is
//! spliced into the bytes that were there, so that what is not touched keeps its bytes, known to us or not; an index is written anew only
//! where a child of it changed. What buildkit attests of an image follows it to its new digest.
//!
//! Then the whole is [copied](teu_store::copy) to where it goes, from a source that has what is new over what is old: children before
//! parents, the name last. So every place that takes a copy takes an edited image, in the form and the compression that it needs or that
//! [`Options::copy`] asks for. In place the name moves only from where it was read, and where another came first the change is done anew
//! with that one. A change that changes nothing writes nothing.
//!
//! ```
//! # use std::sync::Arc;
//! # use teu_spec::{History, Pick};
//! # use teu_store::{BoxFuture, Memory, Result, silent};
//! use teu_image::change::{self, Change, Image, Options, Stage};
//!
//! /// Gives images another entry point.
//! struct Entrypoint(Vec<String>);
//!
//! impl Change for Entrypoint {
//!     fn image<'a>(&'a self, image: &'a mut Image, _: &'a Stage) -> BoxFuture<'a, Result<()>> {
//!         Box::pin(async move {
//!             image.edit_config(|editor| editor.set(&["config".into(), "Entrypoint".into()], &self.0))
//!         })
//!     }
//! }
//!
//! # async fn example(store: Arc<Memory>) -> Result<()> {
//! let change = Entrypoint(vec!["/app".to_owned()]);
//! change::in_place(store, &Pick::Name("app".to_owned()), &change, &Options::default(), &silent()).await?;
//! # Ok(())
//! # }
//! ```

mod image;
mod overlay;
mod plan;
mod preview;
mod stage;

use std::{collections::HashSet, sync::Arc};

use teu_spec::{Descriptor, Digest, Document, Pick, Platform};
use teu_store::{
    BoxFuture, Error, ErrorKind, Event, Events, Expect, Result, Side, Source, SourceExt, Store, Takes, Target,
    copy::{self, Which, choose_image, copy_descriptor},
    is_still, lists_nameless, names_found_by,
};

pub use image::{Image, NO_TIME, NewLayer};
pub use preview::{Preview, Rewritten, Written, preview, reads_new};
pub use stage::Stage;

use overlay::Overlay;
use plan::{Plan, plan};

/// How often a change begins anew because another one came first.
const ATTEMPTS: usize = 100;

/// What is done to images.
pub trait Change: Send + Sync {
    /// Changes one image, or one artifact that is no part of an index. It may be called again with the same, where another change came first.
    fn image<'a>(&'a self, image: &'a mut Image, stage: &'a Stage) -> BoxFuture<'a, Result<()>>;

    /// Changes an index, after its images were: `index` lists them as they are now. `is_root` tells the one that was named from those in it.
    ///
    /// # Errors
    /// Why it cannot be changed.
    fn index(&self, index: &Document, is_root: bool) -> Result<Document> {
        let _ = is_root;
        Ok(index.clone())
    }

    /// Whether it may read again what it put on the [stage](Stage).
    fn reads_new(&self) -> bool {
        false
    }

    /// Changes what an index says of one of the images, which is described as it is now.
    fn listed(&self, image: &mut Descriptor) {
        let _ = image;
    }

    /// All that was to be changed of `root` was shown, and nothing of it is put yet.
    ///
    /// # Errors
    /// Why it is not to be put, such as that what was looked for is nowhere.
    fn finish(&self, root: &Descriptor) -> Result<()> {
        let _ = root;
        Ok(())
    }
}

/// How a change is done.
#[derive(Clone, Default)]
pub struct Options {
    /// The machines whose images of an index change; none means all. The others stay in the index as they are, and come along where it goes
    /// to another place. One that is chosen for a place that takes no index goes there alone.
    pub platforms: Vec<Platform>,
    /// How what comes of it is put where it goes: form, compression, how many things side by side. `which` and, in place, `expect` are not
    /// looked at: an image comes whole, and a name moves from where it was.
    pub copy: copy::Options,
    /// Where new blobs wait for a target that cannot be read, as an archive, and in a [preview](preview()) that [reads](reads_new) them: something that is thrown
    /// away afterwards.
    pub scratch: Option<Arc<dyn Store>>,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changed {
    /// The image or the index as it was.
    pub before: Descriptor,
    /// As it is. Where that is the same, in place nothing was written.
    pub descriptor: Descriptor,
    /// The names that point at it.
    pub names: Vec<String>,
}

/// Changes the image that `pick` leads to where it is: the name that it was found by moves. What it was stays, without that name, until gc. An image
/// without a name that is the only one, or the one at its place, is replaced as it is.
///
/// It is durable when the caller has called [`Target::finish`].
///
/// # Errors
/// What `change` says; `Invalid` where the image was found by its digest; `Conflict` where the name was moved again and again; and those of
/// [`copy`](teu_store::copy::copy). The name is what it was then.
pub async fn in_place(
    store: Arc<dyn Store>,
    pick: &Pick,
    change: &dyn Change,
    options: &Options,
    events: &Events,
) -> Result<Changed> {
    let source: Arc<dyn Source> = Arc::<dyn Store>::clone(&store);
    let target: Arc<dyn Target> = Arc::<dyn Store>::clone(&store);
    let mut attempts = 0;
    let mut conflict: Option<(Vec<String>, Error)> = None;
    loop {
        let found = source.resolve(pick).await?;
        let names = names_found_by(pick, &found)?;
        if let Some((before, error)) = conflict.take()
            && !is_still(&before, &names)
        {
            return Err(error);
        }
        let root = Descriptor::new(found.media_type.clone(), found.digest, found.size);
        let plan = planned(&source, &target, &root, change, options, events).await?;
        let transformed = options.copy.format.is_some() || options.copy.recompress.is_some();
        let descriptor = if plan.root.digest == found.digest && !transformed {
            events(Event::ManifestDone {
                descriptor: root.clone(),
                names: names.clone(),
                existed: true,
            });
            root.clone()
        } else {
            let copy = copy::Options {
                which: Which::Listed(plan.walked),
                expect: Expect::Digest(found.digest),
                ..options.copy.clone()
            };
            let (overlay, target) = (plan.overlay as Arc<dyn Source>, Arc::clone(&target));
            match copy_descriptor(overlay, &plan.root, target, &names, &copy, events).await {
                Ok(copied) => copied.descriptor,
                Err(error) if *error.kind() == ErrorKind::Conflict && attempts < ATTEMPTS => {
                    attempts += 1;
                    conflict = Some((names, error));
                    continue;
                }
                Err(error) => return Err(error),
            }
        };
        return Ok(Changed {
            before: found,
            descriptor,
            names,
        });
    }
}

/// Changes the image that `pick` leads to, and puts what comes of it into `target` under `names`. What is not changed comes along; the source
/// stays as it is. Without names it takes the place of the image that it was made of, where `target` lists that without a name.
///
/// It is durable when the caller has called [`Target::finish`].
///
/// # Errors
/// What `change` says, and those of [`copy`](teu_store::copy::copy). Nothing is named then that was not before.
pub async fn into(
    source: Arc<dyn Source>,
    pick: &Pick,
    target: Arc<dyn Target>,
    names: &[String],
    change: &dyn Change,
    options: &Options,
    events: &Events,
) -> Result<Changed> {
    let found = source.resolve(pick).await.map_err(|error| error.on(Side::Source))?;
    let root = Descriptor::new(found.media_type.clone(), found.digest, found.size);
    let root = chosen(&*source, &root, options, target.takes()).await?;
    let plan = planned(&source, &target, &root, change, options, events).await?;
    let mut copy = options.copy.clone();
    copy.which = Which::All;
    if names.is_empty()
        && copy.expect == Expect::Any
        && lists_nameless(&*target, &found.digest)
            .await
            .map_err(|error| error.on(Side::Destination))?
    {
        copy.expect = Expect::Digest(found.digest);
    }
    let overlay = Arc::clone(&plan.overlay) as Arc<dyn Source>;
    if copy.format.is_some() || copy.recompress.is_some() {
        // What is not chosen comes as it is.
        let plain = copy::Options {
            format: None,
            recompress: None,
            digest: None,
            expect: Expect::Any,
            ..copy.clone()
        };
        for kept in &plan.kept {
            let (overlay, target) = (Arc::clone(&overlay), Arc::clone(&target));
            copy_descriptor(overlay, kept, target, &[], &plain, events).await?;
        }
        copy.which = Which::Listed(plan.walked);
    }
    let copied = copy_descriptor(overlay, &plan.root, target, names, &copy, events).await?;
    Ok(Changed {
        before: found,
        descriptor: copied.descriptor,
        names: names.to_vec(),
    })
}

/// What of an image goes to a place that takes these: one image is what a place for single images is given.
async fn chosen(source: &dyn Source, root: &Descriptor, options: &Options, takes: Takes) -> Result<Descriptor> {
    if takes.indexes {
        return Ok(root.clone());
    }
    let root = match options.platforms.as_slice() {
        [platform] => choose_image(source, root, None, platform).await?.0,
        _ => root.clone(),
    };
    match source.document(&root).await.map_err(|error| error.on(Side::Source))? {
        Document::Manifest(_) => Ok(root),
        Document::Index(_) => {
            let message = format!(
                "this destination holds single images, and {} is an index; choose a platform",
                root.digest
            );
            Err(Error::new(ErrorKind::Unsupported, message).on(Side::Destination))
        }
    }
}

/// What the image is to become, with all that is new of it staged.
async fn planned(
    source: &Arc<dyn Source>,
    target: &Arc<dyn Target>,
    root: &Descriptor,
    change: &dyn Change,
    options: &Options,
    events: &Events,
) -> Result<Plan> {
    let fresh = match (target.readable(), &options.scratch) {
        (Some(_), _) => overlay::Fresh::Target(Arc::clone(target)),
        (None, Some(scratch)) => overlay::Fresh::Scratch(Arc::clone(scratch)),
        (None, None) => overlay::Fresh::Refused,
    };
    let overlay = Arc::new(Overlay::new(Arc::clone(source), fresh, target.takes()));
    plan(overlay, root, change, options, events).await
}

/// Digests of manifests.
type Digests = HashSet<Digest>;

#[cfg(test)]
mod tests;
