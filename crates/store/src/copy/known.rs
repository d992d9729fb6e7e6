//! What do both ends say of an image before the walk? As little as is asked of them.
//!
//! The target is asked first, for the names that the copy gives. Where it has none of them, something is to be brought, and a source that is far away
//! gives the manifest at once; where it has one, all may be up to date, which the digest alone tells.

use teu_spec::{Descriptor, Digest, Document, Pick};

use super::{Options, Which, blind::Sight, choose::picked, intent};
use crate::{ErrorKind, Intent, Keyset, Result, Role, Side, Source, Takes, Target};

/// What is copied, and what was learnt while it was looked for.
pub(super) struct Found {
    /// What the source's name leads to.
    pub(super) top: Descriptor,
    /// Its document, where it came along.
    pub(super) document: Option<Document>,
    /// What the target's names point at, where that was asked. That it could not be told is told after what is wrong at the source.
    pub(super) names: Option<Result<Names>>,
    /// Whether the target lets us look.
    pub(super) sight: Sight,
}

impl Found {
    /// Finds what `pick` leads to.
    pub(super) async fn find(
        source: &dyn Source,
        pick: &Pick,
        target: &dyn Target,
        names: &[String],
        options: &Options,
        sight: Sight,
    ) -> Result<Self> {
        let (is_new, names) = match source.origin() {
            // What lies here is as soon read twice as once.
            None => (false, None),
            Some(_) if !is_compared(options, target.takes()) => (true, None),
            Some(_) if names.is_empty() => (is_empty(target).await, None),
            Some(_) => {
                let names = Names::ask(target, names, intent(options.rehearse), &sight).await;
                (names.as_ref().is_ok_and(Names::are_free), Some(names))
            }
        };
        let found = match is_new {
            true => {
                let found = source.resolve_document(pick).await;
                found.map(|(top, document)| (top, Some(document)))
            }
            false => source.resolve(pick).await.map(|top| (top, None)),
        };
        let (top, document) =
            found.map_err(|error| error.on(Side::Source).within(format!("finding {}", picked(pick))))?;
        Ok(Self {
            top,
            document,
            names,
            sight,
        })
    }
}

impl From<&Descriptor> for Found {
    /// What the caller found: nobody was asked for more.
    fn from(top: &Descriptor) -> Self {
        Self {
            top: top.clone(),
            document: None,
            names: None,
            sight: Sight::default(),
        }
    }
}

/// Whether a manifest of the source can be the target's too, so that before the walk the target is asked whether it is.
pub(super) fn is_compared(options: &Options, takes: Takes) -> bool {
    is_identity(options, takes) && !matches!(options.which, Which::Several { sparse: false, .. })
}

/// Whether nothing that is asked for can change a manifest.
pub(super) fn is_identity(options: &Options, takes: Takes) -> bool {
    options.format.is_none() && options.recompress.is_none() && !takes.uncompressed_only && takes.oci && takes.docker
}

/// Whether a target that gives no name has nothing, so that it cannot have the image. A registry is not asked: it lists no images.
async fn is_empty(target: &dyn Target) -> bool {
    match target.readable() {
        None => true,
        Some(readable) if readable.origin().is_some() => false,
        // What cannot be read is not nothing.
        Some(readable) => {
            let first = readable.resolve(&Pick::At(0)).await;
            first.is_err_and(|error| *error.kind() == ErrorKind::NotFound)
        }
    }
}

/// Whether a place has an image without a name by having its manifest, as registries have, and what lists all manifests; others list it among the named.
fn keeps_unnamed(readable: &dyn Source) -> bool {
    let first = Keyset { after: None, limit: 1 };
    let lists_all = || {
        readable
            .browse()
            .is_some_and(|browse| browse.manifests(first).is_some())
    };
    readable.origin().is_some() || lists_all()
}

/// What each name points at that a copy gives; nothing where there is no such name, or where we may not [look](super::blind).
pub(super) struct Names(Vec<Option<Digest>>);

impl Names {
    pub(super) async fn ask(target: &dyn Target, names: &[String], intent: Intent, sight: &Sight) -> Result<Self> {
        let Some(readable) = target.readable() else {
            return Ok(Self(vec![None; names.len()]));
        };
        let mut found = Vec::with_capacity(names.len());
        for name in names {
            let pick = Pick::Name(name.clone());
            let question = async {
                match readable.resolve(&pick).await {
                    Err(error) if *error.kind() == ErrorKind::NotFound => Ok(None),
                    answer => answer.map(|found| Some(found.digest)),
                }
            };
            found.push(sight.look(target, intent, question).await?);
        }
        Ok(Self(found))
    }

    pub(super) fn of(found: Vec<Option<Digest>>) -> Self {
        Self(found)
    }

    /// What each points at, in the order of the names.
    pub(super) fn into_found(self) -> Vec<Option<Digest>> {
        self.0
    }

    /// Whether there are names, and all point at a manifest.
    pub(super) fn all(&self, digest: &Digest) -> bool {
        !self.0.is_empty() && self.0.iter().all(|found| *found == Some(*digest))
    }

    fn any(&self, digest: &Digest) -> bool {
        self.0.contains(&Some(*digest))
    }

    /// Whether none of them points at anything.
    fn are_free(&self) -> bool {
        self.0.iter().all(Option::is_none)
    }
}

/// What the target said of the image before the walk.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Known {
    /// The whole image is there.
    pub(super) complete: bool,
    /// All names point at it.
    pub(super) named: bool,
    /// Its manifest was asked for, and is not there.
    pub(super) absent: bool,
}

impl Known {
    /// Asks the target, as few questions as there can be, whether all of an image is there, of which its names are known.
    pub(super) async fn ask(
        target: &dyn Target,
        root: &Digest,
        names: &Names,
        intent: Intent,
        sight: &Sight,
    ) -> Result<Self> {
        let Some(readable) = target.readable() else {
            return Ok(Self::default());
        };
        let mut present = names.any(root);
        let is_closed = readable.is_closed();
        let is_named_by_being_there = names.0.is_empty() && keeps_unnamed(readable);
        if !present && (is_closed || is_named_by_being_there) {
            let question = readable.stat(Role::Manifest, root, intent);
            present = sight.look(target, intent, question).await?.is_some();
        }
        Ok(Self {
            complete: present && is_closed,
            named: match names.0[..] {
                [] => present && is_named_by_being_there,
                _ => names.all(root),
            },
            absent: !present && is_closed,
        })
    }
}
