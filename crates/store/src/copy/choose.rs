//! Which of an index's images are copied? One machine's, some, all, or none but the index itself.

use std::collections::HashSet;

use teu_spec::{Descriptor, Digest, Document, Index, Pick, Platform, annotation};

use crate::{Error, ErrorKind, Result, Side, Source, SourceExt, graph::Limits, graph::Step};

/// What is copied where a name leads to an index. Where it leads to one image, that is copied whatever this says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Which {
    /// The image for one machine, without the index, as skopeo does it: the best by [`Platform::choose`], indexes within indexes too.
    One(Platform),
    /// The index with the images for these machines, and what buildkit attests of them.
    Several {
        /// The machines; each must find an image.
        platforms: Vec<Platform>,
        /// Whether the index keeps its bytes and goes on naming the images that are not copied, or names only those that are.
        sparse: bool,
    },
    /// The index with all that it names.
    All,
    /// The index alone: what it names is there already, or comes another way.
    IndexOnly,
    /// The index with those of its manifests, and of the indexes in it, that have these digests: the others are there already, or come
    /// another way.
    Listed(HashSet<Digest>),
}

/// Skopeo's default: the image for the machine that this program was built for.
impl Default for Which {
    fn default() -> Self {
        Self::One(Platform::host())
    }
}

impl Which {
    /// One step for each child of an index, for a walk that goes on below it.
    ///
    /// # Errors
    /// `NotFound` where the index has no image for a machine that is wanted, with those that it has.
    pub fn steps(&self, digest: &Digest, index: &Index) -> Result<Vec<Step>> {
        let all = |step| vec![step; index.manifests.len()];
        match self {
            // What is one image's index within another was chosen already.
            Self::All | Self::One(_) => Ok(all(Step::Walk)),
            Self::IndexOnly => Ok(all(Step::Keep)),
            Self::Listed(digests) => {
                let step = |child: &Descriptor| match digests.contains(&child.digest) {
                    true => Step::Walk,
                    false => Step::Keep,
                };
                Ok(index.manifests.iter().map(step).collect())
            }
            Self::Several { platforms, sparse } => {
                let wanted = selected(digest, index, platforms)?;
                let other = if *sparse { Step::Keep } else { Step::Drop };
                let step = |place| if wanted.contains(&place) { Step::Walk } else { other };
                Ok((0..index.manifests.len()).map(step).collect())
            }
        }
    }
}

/// The places of the images for these platforms, of indexes in which they may be, and of what is attested of them.
pub(crate) fn selected(digest: &Digest, index: &Index, platforms: &[Platform]) -> Result<HashSet<usize>> {
    let mut places = HashSet::new();
    for platform in platforms {
        match platform.choose(&index.manifests) {
            Some(place) => places.insert(place),
            None => return Err(no_image(platform, digest, index)),
        };
    }
    let chosen: HashSet<String> = places
        .iter()
        .map(|place| index.manifests[*place].digest.to_string())
        .collect();
    let attests = |manifest: &Descriptor| {
        let about = manifest.annotations.get(annotation::DOCKER_REFERENCE_DIGEST);
        about.is_some_and(|about| chosen.contains(about))
    };
    places.extend((0..index.manifests.len()).filter(|place| attests(&index.manifests[*place])));
    Ok(places)
}

/// The image for `platform` that `top` leads to, as its parent names it, and its manifest: `top` itself where that is no index. `document` is `top`'s,
/// where it was read before.
///
/// # Errors
/// `NotFound` where an index has none for that platform, with those that it has; and what the source says.
pub async fn choose_image(
    source: &dyn Source,
    top: &Descriptor,
    document: Option<Document>,
    platform: &Platform,
) -> Result<(Descriptor, Document)> {
    let (descriptor, read) = descend(source, top, document, platform, Limits::default()).await?;
    let read = read.into_iter().find(|(digest, _)| *digest == descriptor.digest);
    let document = match read {
        Some((_, document)) => document,
        None => source.document(&descriptor).await?,
    };
    Ok((descriptor, document))
}

/// The image for `platform` that `pick` leads to, as [`Source::resolve`] and [`choose_image`] find it, with one question less where they take several: what
/// the name points at, the image and its manifest.
///
/// # Errors
/// As of both.
pub async fn find_image(
    source: &dyn Source,
    pick: &Pick,
    platform: &Platform,
) -> Result<(Descriptor, Descriptor, Document)> {
    let (top, document) = source.resolve_document(pick).await?;
    let (descriptor, document) = choose_image(source, &top, Some(document), platform).await?;
    Ok((top, descriptor, document))
}

/// The image for `platform` that `top` leads to, and the documents that were read on the way, `top`'s own among them where it was before.
pub(crate) async fn descend(
    source: &dyn Source,
    top: &Descriptor,
    document: Option<Document>,
    platform: &Platform,
    limits: Limits,
) -> Result<(Descriptor, Vec<(Digest, Document)>)> {
    let mut here = top.clone();
    let mut at_hand = document;
    let mut read = Vec::new();
    // What is said to be one image is not read here only to see that it is.
    while !here.media_type.is_manifest() {
        if read.len() > limits.depth {
            return Err(Error::new(
                ErrorKind::TooLarge,
                format!(
                    "there are more than {} indexes in one another (the limit `depth`)",
                    limits.depth
                ),
            ));
        }
        let document = match at_hand.take() {
            Some(document) => document,
            None => source.document(&here).await.map_err(|error| error.on(Side::Source))?,
        };
        let digest = here.digest;
        let next = match &document {
            Document::Manifest(_) => None,
            Document::Index(index) => match platform.choose(&index.manifests) {
                Some(place) => Some(index.manifests[place].clone()),
                None => return Err(no_image(platform, &digest, index)),
            },
        };
        read.push((digest, document));
        match next {
            Some(next) => here = next,
            None => break,
        }
    }
    read.extend(at_hand.map(|document| (here.digest, document)));
    Ok((here, read))
}

fn no_image(platform: &Platform, digest: &Digest, index: &Index) -> Error {
    let mut offered: Vec<String> = Vec::new();
    for manifest in &index.manifests {
        let platform = manifest
            .platform
            .as_ref()
            .map_or_else(|| "none".to_owned(), Platform::to_string);
        if !offered.contains(&platform) {
            offered.push(platform);
        }
    }
    Error::new(
        ErrorKind::NotFound,
        format!(
            "index {digest} has no image for {platform}; it has images for: {}",
            offered.join(", ")
        ),
    )
    .on(Side::Source)
}

/// The name of what is picked, for a person.
pub(super) fn picked(pick: &Pick) -> String {
    match pick {
        Pick::Only => "the image".to_owned(),
        Pick::Name(name) => format!("image {name:?}"),
        Pick::At(place) => format!("image @{place}"),
        Pick::Digest(digest) => format!("image {digest}"),
    }
}
