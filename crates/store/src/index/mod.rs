//! How is an index made, and how does one change? [`create`] lists images of any place in a new index, and [`change`] adds, removes, keeps
//! or annotates what an index lists, where it is.
//!
//! Images come along before the index that names them, and the name of the index is moved last, only from where it was read: of two
//! changes at once neither is lost. What is not changed keeps its bytes, as in every edit. An image that is no longer listed stays where
//! it is until gc finds it, or a registry's own collection. What buildkit attests of an image comes and goes with it.
//!
//! ```
//! # use std::sync::Arc;
//! # use teu_spec::{Pick, Platform};
//! # use teu_store::{Memory, Result, copy, index::{self, Change, Member, New}, silent};
//! # async fn example(store: Arc<Memory>, other: Arc<Memory>) -> Result<()> {
//! let all = copy::Options { which: copy::Which::All, ..copy::Options::default() };
//! let members = [Member::new(other, Pick::Name("app-arm64".to_owned()))];
//! let names = ["app".to_owned()];
//! index::create(&members, &New::default(), store.clone(), &names, &all, &silent()).await?;
//!
//! let app = Pick::Name("app".to_owned());
//! let change = Change::Filter(vec![Platform::new("linux", "arm64")]);
//! index::change(store, &app, &change, &[], &all, &silent()).await?;
//! # Ok(())
//! # }
//! ```

mod edit;
mod member;

use std::{collections::BTreeMap, fmt, str::FromStr, sync::Arc};

use teu_spec::{Annotations, ArtifactType, Descriptor, Digest, Document, Format, Index, Pick, Platform};

use crate::{
    Error, ErrorKind, Event, Events, Expect, Result, Side, Source, SourceExt, Store, Target,
    copy::{Copied, Options},
    is_still, names_found_by,
};
use member::Members;

/// How often a change begins anew because another one came first.
const ATTEMPTS: usize = 100;

/// An image that is put into an index, or what another index lists.
#[derive(Clone)]
pub struct Member {
    /// Where it is.
    pub source: Arc<dyn Source>,
    /// What it is called there.
    pub pick: Pick,
    /// Whether an index is listed itself, instead of what it lists; all of it is copied then, or several of its images if that is asked for.
    pub nested: bool,
    /// Whether it stands beside an image of the same platform, instead of replacing it.
    pub beside: bool,
    /// The machine that it is for; none takes what its index says, or else its config.
    pub platform: Option<Platform>,
    /// Annotations of its place in the index.
    pub annotations: Annotations,
}

impl Member {
    /// What `pick` leads to, as it is.
    #[must_use]
    pub fn new(source: Arc<dyn Source>, pick: Pick) -> Self {
        Self {
            source,
            pick,
            nested: false,
            beside: false,
            platform: None,
            annotations: Annotations::new(),
        }
    }
}

/// What a new index says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct New {
    /// Its annotations.
    pub annotations: Annotations,
    /// Its artifact type.
    pub artifact_type: Option<ArtifactType>,
}

/// What an index lists, as a person names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selector {
    /// What has this digest.
    Digest(Digest),
    /// What is for this machine and no other; any version of the operating system where none is given.
    Platform(Platform),
}

impl FromStr for Selector {
    type Err = Error;

    /// Reads a digest, `sha256:…`, or a platform, `linux/arm64`.
    fn from_str(text: &str) -> Result<Self> {
        // A platform has a colon only behind a slash: `windows/amd64:10.0.17763`.
        if text.contains(':') && !text.contains('/') {
            let digest = text.parse::<Digest>();
            return digest
                .map(Self::Digest)
                .map_err(|error| Error::new(ErrorKind::Invalid, error.to_string()));
        }
        Ok(Self::Platform(text.parse()?))
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Digest(digest) => digest.fmt(formatter),
            Self::Platform(platform) => platform.fmt(formatter),
        }
    }
}

/// What is done to an index.
#[expect(clippy::large_enum_variant, reason = "there is one of it at a time")]
#[derive(Clone)]
pub enum Change {
    /// Adds these, each in the place of what is listed for the same platform, or behind all others. What is listed already stays where it
    /// is, and takes on the platform and the annotations that its [`Member`] states.
    Add(Vec<Member>),
    /// Removes these, and what is attested of them.
    Remove(Vec<Selector>),
    /// Keeps the images for these machines, and what is attested of them: the index that a copy with
    /// [`Which::Several`](crate::copy::Which::Several) makes.
    Filter(Vec<Platform>),
    /// Says something else of the index, or of one image in it.
    Annotate {
        /// Which image; none is the index itself.
        of: Option<Selector>,
        /// Annotations that are set, or removed where there is no value.
        annotations: BTreeMap<String, Option<String>>,
        /// The machine that the image is for.
        platform: Option<Platform>,
    },
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changed {
    /// The index as it was; none where it is new.
    pub before: Option<Descriptor>,
    /// The index as it is. Where that is the same, nothing was written.
    pub descriptor: Descriptor,
    /// The names that point at it.
    pub names: Vec<String>,
    /// The copies that were made of what was added.
    pub copied: Vec<Copied>,
}

/// Makes an index of `members`, which are copied to `target` first, and gives it `names` there.
///
/// What of a member that is an index is listed, and what of that is copied, is what [`Options::which`] says of a copy of it; so do all other
/// options. The index is in OCI's form, unless all its images are in Docker's or [`Options::format`] says so.
/// It is durable when the caller has called [`Target::finish`].
///
/// # Errors
/// `Invalid` where two members are for the same platform, which [`Member::beside`] allows; `Unsupported` where the target holds no
/// indexes, or a list of Docker's form has no place for a member; and those of [`copy`](crate::copy::copy). Nothing is named then, and images
/// that were copied stay as after a copy that failed.
pub async fn create(
    members: &[Member],
    new: &New,
    target: Arc<dyn Target>,
    names: &[String],
    options: &Options,
    events: &Events,
) -> Result<Changed> {
    if !target.takes().indexes {
        let error = Error::new(ErrorKind::Unsupported, "this destination holds no indexes");
        return Err(error.on(Side::Destination));
    }
    let mut members = Members::new(members, Arc::clone(&target), options, events);
    let entries = members.entries(options.format).await?;
    let format = options.format.unwrap_or_else(|| edit::common_form(entries));
    let document = edit::add(&Index::build(format, &[])?, entries)?;
    let set = new.annotations.iter();
    let annotations = set.map(|(key, value)| (key.clone(), Some(value.clone())));
    let document = document
        .annotate(&annotations.collect())?
        .with_artifact_type(new.artifact_type.as_ref().map(ArtifactType::as_str))?;
    edit::check(&document)?;
    let descriptor = document.descriptor();
    put(&*target, &document, &descriptor, names, options.expect, events).await?;
    Ok(Changed {
        before: None,
        descriptor,
        names: names.to_vec(),
        copied: members.copied,
    })
}

/// Changes the index that `pick` leads to, and gives what comes of it `names`; without any, it is the name that it was found by that moves.
///
/// Where the name is one that is moved, it is moved from the index that was read, and where another came first, the change begins anew
/// with that one; [`Options::expect`] other than `Any` is held to instead, and fails. Images that are added are copied by the other
/// options, in Docker's form where the index is in that.
/// It is durable when the caller has called [`Target::finish`].
///
/// # Errors
/// `NotFound` where there is no such index, or nothing in it that is meant; `Invalid` where it is no index, or there is no name;
/// `Conflict` where the name was moved again and again; and those of [`create`]. The index is what it was then.
pub async fn change(
    store: Arc<dyn Store>,
    pick: &Pick,
    change: &Change,
    names: &[String],
    options: &Options,
    events: &Events,
) -> Result<Changed> {
    let target: Arc<dyn Target> = Arc::<dyn Store>::clone(&store);
    let added = match change {
        Change::Add(members) => members.as_slice(),
        _ => &[],
    };
    let mut members = Members::new(added, Arc::clone(&target), options, events);
    let mut attempts = 0;
    let mut conflict: Option<(Vec<String>, Error)> = None;
    loop {
        let found = store.resolve(pick).await?;
        let index = match store.as_source().document(&found).await? {
            document @ Document::Index(_) => document,
            Document::Manifest(_) => {
                let message = format!("{} is a single image; make an index of it first", found.digest);
                return Err(Error::new(ErrorKind::Invalid, message));
            }
        };
        let in_place = names.is_empty();
        let names = if in_place {
            names_found_by(pick, &found)?
        } else {
            names.to_vec()
        };
        if let Some((before, error)) = conflict.take()
            && !is_still(&before, &names)
        {
            return Err(error);
        }
        let new = match change {
            Change::Add(_) => {
                let format = (index.format() == Format::Docker).then_some(Format::Docker);
                edit::add(&index, members.entries(format.or(options.format)).await?)?
            }
            Change::Remove(selectors) => edit::remove(&index, selectors)?,
            Change::Filter(platforms) => edit::filter(&index, &found.digest, platforms)?,
            Change::Annotate {
                of,
                annotations,
                platform,
            } => edit::annotate(&index, of.as_ref(), annotations, platform.as_ref())?,
        };
        // A list that was mixed before, as some tools make them, may stay so.
        if edit::check(&index).is_ok() {
            edit::check(&new)?;
        }
        let digest = found.digest.algorithm().digest(new.raw());
        let descriptor = Descriptor::new(new.media_type().clone(), digest, new.raw().len() as u64);
        let expect = match options.expect {
            Expect::Any if in_place => Expect::Digest(found.digest),
            expect => expect,
        };
        if in_place && digest == found.digest {
            events(Event::ManifestDone {
                descriptor: descriptor.clone(),
                names: names.clone(),
                existed: true,
            });
        } else if let Err(error) = put(&*target, &new, &descriptor, &names, expect, events).await {
            attempts += 1;
            let came_first = in_place && options.expect == Expect::Any && *error.kind() == ErrorKind::Conflict;
            if came_first && attempts < ATTEMPTS {
                conflict = Some((names, error));
                continue;
            }
            return Err(error);
        }
        return Ok(Changed {
            before: Some(found),
            descriptor,
            names,
            copied: members.copied,
        });
    }
}

async fn put(
    target: &dyn Target,
    document: &Document,
    descriptor: &Descriptor,
    names: &[String],
    expect: Expect,
    events: &Events,
) -> Result<()> {
    let digest = descriptor.digest;
    events(Event::ManifestStarted {
        descriptor: descriptor.clone(),
    });
    let put = target.put_manifest(document, &digest, names, expect).await;
    put.map_err(|error| error.on(Side::Destination).within(format!("writing index {digest}")))?;
    events(Event::ManifestDone {
        descriptor: descriptor.clone(),
        names: names.to_vec(),
        existed: false,
    });
    Ok(())
}

#[cfg(test)]
mod tests;
