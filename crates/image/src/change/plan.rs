//! What is to become of each manifest of an image? A walk that has them changed and writes nothing but what is new of them on the stage.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use futures_util::FutureExt;
use teu_spec::{Descriptor, Digest, Document, ImageConfig, Manifest, MediaType, Platform};
use teu_store::{
    BoxFuture, Error, ErrorKind, Event, Events, Result, Side, Source, SourceExt,
    copy::{self, Which},
    graph::{self, Content, Node, Step, Visit},
};

use super::{Change, Digests, Image, Options, Stage, overlay::Overlay};

/// What is to be put.
pub(super) struct Plan {
    /// The image or the index as it is to be.
    pub(super) root: Descriptor,
    /// All that it consists of.
    pub(super) overlay: Arc<Overlay>,
    /// The manifests that were gone through, as they are to be, changed or not.
    pub(super) walked: Digests,
    /// What indexes list that was not: images for other machines.
    pub(super) kept: Vec<Descriptor>,
}

/// Goes through what is below `root`.
pub(super) async fn plan(
    overlay: Arc<Overlay>,
    root: &Descriptor,
    change: &dyn Change,
    options: &Options,
    events: &Events,
) -> Result<Plan> {
    let planner = Planner {
        stage: Stage::new(Arc::clone(&overlay), Arc::clone(events)),
        overlay: Arc::clone(&overlay),
        change,
        which: match options.platforms.as_slice() {
            [] => Which::All,
            platforms => Which::Several {
                platforms: platforms.to_vec(),
                sparse: true,
            },
        },
        events,
        state: Mutex::default(),
    };
    // Layers may be worked on, each on several threads.
    let jobs = options.copy.jobs.min(2);
    let new = graph::fold(&*overlay, root, &planner, options.copy.limits, jobs).await?;
    change.finish(root)?;
    let state = planner.state.into_inner().unwrap_or_else(PoisonError::into_inner);
    Ok(Plan {
        root: new.unwrap_or_else(|| root.clone()),
        overlay,
        walked: state.walked,
        kept: state.kept,
    })
}

struct Planner<'a> {
    overlay: Arc<Overlay>,
    stage: Stage,
    change: &'a dyn Change,
    /// Which images of an index change.
    which: Which,
    events: &'a Events,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    walked: Digests,
    kept: Vec<Descriptor>,
    /// The machines that images are for now, where that changed, by the digest that they have now.
    platforms: HashMap<Digest, Platform>,
}

impl Planner<'_> {
    fn state(&self) -> MutexGuard<'_, State> {
        // No one leaves it half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What becomes of one image, or of an artifact.
    async fn manifest(&self, node: Node<'_>, document: &Document, manifest: &Manifest) -> Result<Document> {
        let is_root = node.depth == 0;
        let is_image = manifest.config.media_type.is_image_config();
        // What stands beside images in an index, and is none, is meant only by its own digest.
        if !is_root && (!is_image || node.descriptor.is_attestation()) {
            return Ok(document.clone());
        }
        let config = match is_image {
            true => Some(self.config(manifest).await?),
            false => None,
        };
        if let (true, Which::Several { platforms, .. }, Some(config)) = (is_root, &self.which, &config) {
            check_platform(platforms, node.descriptor, config)?;
        }
        let mut image = Image::new(node.descriptor.clone(), is_root, document.clone(), config);
        let changed = self.change.image(&mut image, &self.stage).await;
        changed.map_err(|error| error.within(format!("changing image {}", node.descriptor.digest)))?;
        let moved = image.new_platform();
        let (new, config) = image.finish()?;
        if let Some((descriptor, raw)) = config {
            self.overlay.keep(descriptor.digest, descriptor.media_type, raw);
        }
        if let Some(platform) = moved {
            let digest = node.descriptor.digest.algorithm().digest(new.raw());
            self.state().platforms.insert(digest, platform);
        }
        Ok(new)
    }

    async fn config(&self, manifest: &Manifest) -> Result<ImageConfig> {
        let raw = self.overlay.small_blob(&manifest.config).await;
        let raw = raw.map_err(|error| error.on(Side::Source))?;
        ImageConfig::parse(raw).map_err(|error| {
            Error::from(error)
                .on(Side::Source)
                .within(format!("reading config {}", manifest.config.digest))
        })
    }

    /// What becomes of an index whose children became others.
    fn index(&self, node: Node<'_>, document: &Document, mut children: Vec<Option<Descriptor>>) -> Result<Document> {
        let old = document.children();
        let moved: HashMap<String, Digest> = old
            .iter()
            .zip(&children)
            .filter_map(|(old, new)| Some((old.digest.to_string(), new.as_ref()?.digest)))
            .filter(|(old, new)| *old != new.to_string())
            .collect();
        let mut attested = 0;
        for child in children.iter_mut().flatten() {
            if child.is_attestation() {
                attested += usize::from(copy::follow(&mut child.annotations, &moved));
                continue;
            }
            let (walked, platform) = {
                let state = self.state();
                let platform = state.platforms.get(&child.digest).cloned();
                (state.walked.contains(&child.digest), platform)
            };
            if let Some(platform) = platform {
                let features = child.platform.take().map(|old| old.features).unwrap_or_default();
                child.platform = Some(Platform { features, ..platform });
            }
            if walked && !child.media_type.is_index() {
                self.change.listed(child);
            }
        }
        if attested > 0 {
            let message = copy::attested(&node.descriptor.digest, attested);
            (self.events)(Event::Warning { message });
        }
        let new = self.change.index(&document.rewrite(&children)?, node.depth == 0)?;
        // A list that was mixed before, as some tools make them, may stay so.
        if let (Document::Index(old), Document::Index(new)) = (document, &new)
            && old.check_form().is_ok()
        {
            new.check_form()?;
        }
        Ok(new)
    }
}

impl Visit for Planner<'_> {
    fn read<'a>(&'a self, source: &'a dyn Source, node: Node<'a>) -> BoxFuture<'a, Result<Document>> {
        async move {
            let read = source.document(node.descriptor).await;
            read.map_err(|error| error.on(Side::Source))
        }
        .boxed()
    }

    fn enter<'a>(&'a self, node: Node<'a>, document: &'a Document) -> BoxFuture<'a, Result<Vec<Step>>> {
        async move {
            let Document::Index(index) = document else {
                return Ok(vec![Step::Keep; document.children().len()]);
            };
            let steps = self.which.steps(&node.descriptor.digest, index)?;
            let kept = index.manifests.iter().zip(&steps);
            let kept = kept.filter(|(_, step)| **step == Step::Keep);
            self.state().kept.extend(kept.map(|(child, _)| child.clone()));
            Ok(steps)
        }
        .boxed()
    }

    fn blob<'a>(&'a self, node: Node<'a>) -> BoxFuture<'a, Result<Option<Content>>> {
        async move { Ok(Some(node.descriptor.into())) }.boxed()
    }

    fn leave<'a>(
        &'a self,
        node: Node<'a>,
        document: &'a Document,
        children: Vec<Option<Descriptor>>,
    ) -> BoxFuture<'a, Result<Option<Content>>> {
        async move {
            let new = match document {
                Document::Manifest(manifest) => self.manifest(node, document, manifest).await?,
                Document::Index(_) => self.index(node, document, children)?,
            };
            let mut content = Content::from(node.descriptor);
            if new.raw() != document.raw() {
                content = Content {
                    media_type: new.media_type().clone(),
                    digest: node.descriptor.digest.algorithm().digest(new.raw()),
                    size: new.raw().len() as u64,
                };
                let media_type = MediaType::clone(new.media_type());
                self.overlay.keep(content.digest, media_type, new.raw().clone());
            }
            self.state().walked.insert(content.digest);
            Ok(Some(content))
        }
        .boxed()
    }
}

/// A single image is for one machine, which must be one of those that were asked for.
fn check_platform(wanted: &[Platform], image: &Descriptor, config: &ImageConfig) -> Result<()> {
    let platform = config.platform();
    if wanted.iter().any(|wanted| wanted.matches(&platform)) {
        return Ok(());
    }
    let wanted: Vec<String> = wanted.iter().map(Platform::to_string).collect();
    let message = format!(
        "image {} is for {platform}, and not for {}",
        image.digest,
        wanted.join(", ")
    );
    Err(Error::new(ErrorKind::NotFound, message).on(Side::Source))
}
