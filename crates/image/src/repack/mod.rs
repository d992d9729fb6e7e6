//! How does what was changed in a bundle become an image again? [`Repack`] is the [`Change`] that finds what has changed since the bundle was
//! unpacked, puts that on top of the image that it came from as a new layer, or as several, and puts nothing there where nothing has changed.
//!
//! What nobody touched is not read: the kernel says so ([`Mark::Untouched`](crate::bundle::Mark)). What umoci unpacked is held to the digests
//! that umoci wrote down. The tree is read by handles, as an enemy's: programs that nobody vouched for ran in it.
//!
//! A layer hides what is gone, has what is new or another, and the directories that lead there. Of a file with several names it has all or none.

mod changes;
mod compare;
mod differ;
mod groups;
mod old;
mod refresh;
mod scope;
mod write;

use std::{
    fmt,
    path::Path,
    sync::{Arc, Mutex as Blocking, PoisonError},
};

use teu_archive::Escaped;
use teu_rootfs::{Budget, walk};
use teu_spec::{Descriptor, Document, History, Manifest};
use teu_store::{BoxFuture, Error, ErrorKind, Result, Source, SourceExt, blocking, graph};
use tokio::sync::Mutex;

use crate::{
    append::Settings,
    bundle::{Bundle, MtreeLimits, Opened},
    change::{Change, Image, Stage},
    glob::path_in_image,
    layer::{self, NO_SOCKETS, Owners, Written},
    unpack::Stop,
};

use compare::{Changes, Comparison};
use scope::Scope;

pub use compare::Counts;

/// How a bundle is packed.
#[derive(Clone, Debug)]
pub struct Options {
    /// Paths at which and below which nothing is looked at, as [`path_in_image`] gives them.
    pub masked: Vec<Vec<u8>>,
    /// Whether the volumes that the image's config names are masked too.
    pub mask_volumes: bool,
    /// Paths of which each gets a layer of its own, of what changed there, on top of what changed elsewhere.
    pub layer_per: Vec<Vec<u8>>,
    /// Whether a file that was touched is taken to be what it was where size, time, mode, owner and attributes are. Where the bundle remembers
    /// a digest of its content, that decides whatever stands here.
    pub trust_times: bool,
    /// How the new layers are written.
    pub layers: Settings,
    /// How the new layers came to be; none where the history is to say nothing of them.
    pub history: Option<History>,
    /// How much the tree may ask for; the list of what changed is within its `memory_bytes`.
    pub limits: walk::Limits,
    /// How much umoci's record of what it unpacked may ask for.
    pub mtree: MtreeLimits,
    /// Whether the bundle is to remember how it is now: see [`Repack::refresh`].
    pub refresh: bool,
    /// Who wants it to stop.
    pub stop: Stop,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            masked: Vec::new(),
            mask_volumes: true,
            layer_per: Vec::new(),
            trust_times: false,
            layers: Settings::default(),
            history: Some(History::default()),
            limits: walk::Limits::default(),
            mtree: MtreeLimits::default(),
            refresh: false,
            stop: Stop::default(),
        }
    }
}

/// Why files have less than they had.
const NOT_KEPT: &str = "as the files are others now, extended attributes that unpack did not set";

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packed {
    /// The new layers, the lowest first; none where nothing has changed.
    pub layers: Vec<Written>,
    /// What has changed.
    pub counts: Counts,
}

/// Packs a bundle onto the image that it came from. Shown other images, it leaves these alone.
pub struct Repack {
    bundle: Arc<Opened>,
    options: Options,
    /// It is asked for again where another change of the image came first.
    packed: Mutex<Option<Packed>>,
    seen: Blocking<bool>,
}

impl fmt::Debug for Repack {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { bundle, options, .. } = self;
        formatter
            .debug_struct("Repack")
            .field("bundle", bundle)
            .field("options", options)
            .finish_non_exhaustive()
    }
}

impl Repack {
    /// Opens the bundle in the directory at `path`.
    ///
    /// # Errors
    /// As of [`Opened::open`].
    pub fn open(path: &Path, options: Options) -> Result<Self> {
        Ok(Self {
            bundle: Arc::new(Opened::open(path)?),
            options,
            packed: Mutex::default(),
            seen: Blocking::new(false),
        })
    }

    /// Where the bundle came from: the image that is changed.
    #[must_use]
    pub fn bundle(&self) -> &Bundle {
        &self.bundle.bundle
    }

    /// Whether the image that the bundle came from was there.
    #[must_use]
    pub fn found(&self) -> bool {
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What came of it, once an image was changed.
    pub async fn packed(&self) -> Option<Packed> {
        self.packed.lock().await.clone()
    }

    /// The image that was changed, in what came of the change: that itself, or what the index lists.
    ///
    /// # Errors
    /// `NotFound` where it is not in it; what reading it says.
    pub async fn image_in(&self, source: &dyn Source, root: &Descriptor) -> Result<Descriptor> {
        let packed = self.packed().await.map(|packed| packed.layers).unwrap_or_default();
        let is_it = |descriptor: &Descriptor, manifest: &Manifest| {
            let layers = manifest.layers.iter().rev().map(|layer| layer.digest);
            match packed.is_empty() {
                true => descriptor.digest == self.bundle.bundle.from.digest,
                false => layers
                    .take(packed.len())
                    .eq(packed.iter().rev().map(|layer| layer.digest)),
            }
        };
        if !root.media_type.is_index() {
            return Ok(root.clone());
        }
        let mut waiting = vec![(root.clone(), 0)];
        while let Some((descriptor, depth)) = waiting.pop() {
            match source.document(&descriptor).await? {
                Document::Manifest(manifest) if is_it(&descriptor, &manifest) => return Ok(descriptor),
                Document::Index(index) if depth < graph::Limits::default().depth => {
                    waiting.extend(index.manifests.into_iter().map(|child| (child, depth + 1)));
                }
                _ => {}
            }
        }
        let message = format!(
            "{} does not list the image that the bundle was packed into",
            root.digest
        );
        Err(Error::new(ErrorKind::NotFound, message))
    }

    /// Has the bundle remember that it is now what `image`, which is where `name` says, has: the next packing finds what changes from here on.
    /// What was remembered counts until all is written; umoci's own records are removed.
    ///
    /// # Errors
    /// `Invalid` where [`Options::refresh`] was not set, or no image was changed; what the file system says.
    pub async fn refresh(&self, image: &Descriptor, name: Option<&str>) -> Result<()> {
        let is_packed = self.packed.lock().await.is_some();
        if !self.options.refresh || !is_packed {
            let message = "nothing was packed that the bundle could remember";
            return Err(Error::new(ErrorKind::Invalid, message));
        }
        let bundle = Bundle {
            from: Descriptor::new(image.media_type.clone(), image.digest, image.size),
            image: name.map(str::to_owned),
            other_record: refresh::other(&self.bundle),
            ..self.bundle.bundle.clone()
        };
        let opened = Arc::clone(&self.bundle);
        blocking::run(move || refresh::commit(&opened, &bundle)).await
    }

    async fn pack(&self, image: &Image, stage: &Stage) -> Result<Packed> {
        let options = &self.options;
        let how = options.layers.for_image(image)?;
        how.check()?;
        let mut masked = options.masked.clone();
        if options.mask_volumes {
            for volume in &image.config()?.fields.config.volumes {
                match path_in_image(volume.as_bytes(), &Budget::default()) {
                    Ok(path) => masked.push(path),
                    Err(error) => stage.warn(format!("the image's volume is not masked: {error}")),
                }
            }
        }
        let scope = Arc::new(Scope::new(masked, options.layer_per.clone()));
        let changes = Arc::new(self.compare(Arc::clone(&scope)).await?);
        // Of the image's volumes most are empty.
        for path in scope
            .unmet()
            .filter(|path| options.masked.iter().any(|masked| masked == path))
        {
            stage.warn(format!(
                "nothing is at \"{}\", which was to be left out; it is taken as a path, and no pattern",
                Escaped(path)
            ));
        }
        for path in scope.apart_unmet() {
            stage.warn(format!(
                "nothing is at \"{}\", which was to have a layer of its own; it is taken as a path, and no pattern",
                Escaped(path)
            ));
        }
        for message in [
            changes.sockets.message(NO_SOCKETS),
            changes.mounts.message("as another file system is mounted there"),
        ] {
            message.into_iter().for_each(|message| stage.warn(message));
        }
        let mut layers = Vec::new();
        for number in 0..changes.layers.len() {
            if changes.layers[number].is_empty() {
                continue;
            }
            let (bundle, scope, changes) = (Arc::clone(&self.bundle), Arc::clone(&scope), Arc::clone(&changes));
            let (limits, mtree, stop) = (options.limits.clone(), options.mtree, options.stop.clone());
            let work = stop.work();
            let written = layer::write(stage.target(), &how, move |writer| {
                let _at_work = work;
                let owners = Owners::Undo {
                    owners: bundle.bundle.owners(),
                    own: changes.own,
                };
                let source = write::Source {
                    bundle: &bundle,
                    scope: &scope,
                    number,
                    withheld: changes.withheld.then_some(mtree),
                    layer: &changes.layers[number],
                    owners: &owners,
                    limits: &limits,
                    stop: &stop,
                };
                write::write(&source, writer)
            });
            let (written, lost) = written.await?;
            let message = lost.message(NOT_KEPT);
            message.into_iter().for_each(|message| stage.warn(message));
            layers.push(written);
        }
        Ok(Packed {
            layers,
            counts: changes.counts,
        })
    }

    async fn compare(&self, scope: Arc<Scope>) -> Result<Changes> {
        let (bundle, options) = (Arc::clone(&self.bundle), self.options.clone());
        let work = options.stop.work();
        let compared = blocking::run(move || {
            let _at_work = work;
            let record = match options.refresh {
                true => Some(refresh::begin(&bundle)?),
                false => None,
            };
            let how = Comparison {
                scope: &scope,
                trust_times: options.trust_times,
                limits: &options.limits,
                mtree: options.mtree,
                stop: &options.stop,
            };
            compare::compare(&bundle, &how, record)
        });
        compared
            .await
            .map_err(|error| error.within("finding what has changed in the bundle"))
    }
}

impl Change for Repack {
    fn image<'a>(&'a self, image: &'a mut Image, stage: &'a Stage) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            if image.descriptor().digest != self.bundle.bundle.from.digest {
                return Ok(());
            }
            *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = true;
            let mut packed = self.packed.lock().await;
            let packed = match &mut *packed {
                Some(packed) => packed,
                none => none.insert(self.pack(image, stage).await?),
            };
            for written in &packed.layers {
                let layer = image.layer_of(written)?;
                image.append_layer(&layer, self.options.history.as_ref())?;
            }
            Ok(())
        })
    }

    fn finish(&self, root: &Descriptor) -> Result<()> {
        if self.found() {
            return Ok(());
        }
        let message = format!(
            "{} has not, or not any more, the image {} that the bundle was unpacked from",
            root.digest, self.bundle.bundle.from.digest
        );
        Err(Error::new(ErrorKind::NotFound, message))
    }
}

#[cfg(test)]
mod tests;
