//! Where is what a depot lost? In another directory that has content by digest: a copy of it or another depot, or a layout. What that says of itself is not asked; its
//! bytes are copied and the copy is held to the digest.

use std::{fs::File, path::Path, sync::Arc};

use teu_spec::Digest;
use teu_store::{Error, ErrorKind, Result, blocking};

use crate::{
    Depot, Place, Ulid,
    content::{
        copied,
        directory::{Directory, failed},
        files::Naming,
        is_damage,
    },
    depot::METADATA,
};

/// What has a layout, and nothing else.
const LAYOUT: &str = "oci-layout";

/// A directory that has content.
pub struct Spare {
    blobs: Directory,
    is_depot: bool,
}

impl Spare {
    /// What a directory has. Nothing is changed in it, and its database, where it has one, is not read.
    ///
    /// # Errors
    /// `NotFound` where there is none; `Invalid` where it is neither a depot nor a layout.
    pub fn open(directory: &Path) -> Result<Self> {
        let root = Directory::open(directory)?;
        let is_depot = root.has(METADATA)?;
        let blobs = match is_depot || root.has(LAYOUT)? {
            true => root.directory("blobs")?,
            false => None,
        };
        let blobs = blobs.ok_or_else(|| {
            let message = format!(
                "{} is neither a registry's directory nor a layout; give the copy that teu serve backup made",
                directory.display()
            );
            Error::new(ErrorKind::Invalid, message)
        })?;
        Ok(Self { blobs, is_depot })
    }

    /// The files that are called after a digest: of a depot there may be several, of which some are damaged.
    fn files(&self, digest: &Digest) -> Result<Vec<File>> {
        let (directories, names) = match self.is_depot {
            true => {
                let directories = Naming::Depot.directories(digest);
                let names = match self.blobs.descend(&directories)? {
                    Some(directory) => directory.names()?,
                    None => Vec::new(),
                };
                let is_it = |name: &String| name.parse().is_ok_and(|place: Place| place.digest == *digest);
                (directories, names.into_iter().filter(is_it).collect())
            }
            false => (vec![digest.algorithm().to_string()], vec![digest.hex()]),
        };
        let Some(directory) = self.blobs.descend(&directories)? else {
            return Ok(Vec::new());
        };
        let mut files = Vec::new();
        for name in names {
            files.extend(directory.file(&name, false)?);
        }
        Ok(files)
    }
}

impl Depot {
    /// Copies content to a place of its own here, for good; where it lies and how many bytes it has. None where the other has none that is good.
    ///
    /// # Errors
    /// Those of this depot's disk.
    pub(crate) async fn bring(&self, spare: &Arc<Spare>, digest: Digest) -> Result<Option<(Place, u64)>> {
        let (depot, spare) = (Arc::clone(&self.0), Arc::clone(spare));
        blocking::run(move || {
            let Some(target) = depot.content.files() else {
                let message = "content is not kept in files here";
                return Err(Error::new(ErrorKind::Unsupported, message));
            };
            let files = match spare.files(&digest) {
                Err(error) if is_damage(&error) => return Ok(None),
                files => files?,
            };
            for mut file in files {
                let within = |error| failed(error, "opening a file of", &spare.blobs.path(""));
                let size = file.metadata().map_err(within)?.len();
                let name = format!("b-{}", Ulid::new(depot.now())?);
                if copied(target, &name, &mut file, &digest, size)? {
                    let ulid = Ulid::new(depot.now())?;
                    let place = Place { digest, ulid };
                    target.place(&name, &place)?;
                    return Ok(Some((place, size)));
                }
            }
            Ok(None)
        })
        .await
    }
}
