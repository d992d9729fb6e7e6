//! Is all there that a depot says it keeps, and is it what it should be? Every byte is read; and what can be mended is.

use futures_util::StreamExt;
use teu_spec::Digest;
use teu_store::{ErrorKind, Result};

use crate::{Depot, PARTS, Place, metadata::is_damage};

/// How many rows are asked for at once.
const BATCH: usize = 200;
/// How many manifests, which come with their bytes.
const MANIFESTS: usize = 20;

/// How much was checked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Checked {
    /// How many blobs.
    pub blobs: u64,
    /// How many bytes they have.
    pub bytes: u64,
    /// How many manifests.
    pub manifests: u64,
}

/// Something that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Finding {
    /// The bytes of a blob are not there, or are others. Mended, what is there is set aside, in `quarantine`, and these repositories show the
    /// blob no more, nor the manifests above it, so that the next push brings it; then they show all again, tags too.
    Lost {
        /// The blob.
        digest: Digest,
        /// The digest of what is there, where something is.
        found: Option<Digest>,
        /// Who showed it; known where it was mended.
        repositories: Vec<String>,
    },
    /// Bytes that no row leads to are those of a blob that manifests name and their repositories do not show. Mended, they do.
    Restorable {
        /// The blob.
        digest: Digest,
        /// Who shows it again; known where it was mended.
        repositories: Vec<String>,
    },
    /// A manifest's bytes are others than its digest says. A push of it mends that.
    Manifest {
        /// The repository that shows it.
        repository: String,
        /// Its digest.
        digest: Digest,
    },
    /// A manifest names what its repository does not show. That may be meant, of a sparse index; else a push mends it.
    Incomplete {
        /// The repository that shows it.
        repository: String,
        /// The manifest's digest.
        digest: Digest,
        /// What it names.
        missing: Vec<Digest>,
    },
    /// The database itself is damaged. A backup mends that.
    Metadata {
        /// What it says of itself.
        message: String,
    },
}

impl Depot {
    /// Reads all that is kept, and tells what is not as it should be. Where `repair` is set it is mended as far as it can be; that wants the
    /// depot alone, but to look on does not. Where the database itself is damaged nothing is mended, as what it says cannot be believed; what can be read of
    /// it is checked.
    ///
    /// # Errors
    /// Those of the disk, other than that something is not there.
    pub async fn check(&self, repair: bool, mut tell: impl FnMut(Finding)) -> Result<Checked> {
        let mut checked = Checked::default();
        let damages = self.0.metadata.examine().await?;
        let is_damaged = !damages.is_empty();
        for message in damages {
            tell(Finding::Metadata { message });
        }
        if is_damaged && repair {
            return Ok(checked);
        }
        match self.check_rows(repair, &mut checked, &mut tell).await {
            Ok(()) => Ok(checked),
            Err(error) if is_damage(&error) => {
                let message = error.to_string();
                tell(Finding::Metadata { message });
                Ok(checked)
            }
            Err(error) => Err(error),
        }
    }

    /// Looks over the database, once for all who ask, and says what is damaged of it. Nothing is collected before it was, nor where anything is, as
    /// something may be needed that it says is not.
    ///
    /// # Errors
    /// Those of the disk; then the next who asks has it looked over.
    pub async fn look_over(&self) -> Result<Vec<String>> {
        let depot = &self.0;
        let found = depot.damages.get_or_try_init(|| depot.metadata.look_over()).await?;
        Ok(found.clone())
    }

    async fn check_rows(&self, repair: bool, checked: &mut Checked, tell: &mut impl FnMut(Finding)) -> Result<()> {
        let metadata = &self.0.metadata;
        let mut after = None;
        loop {
            let blobs = metadata.blobs(after, BATCH).await?;
            let Some((last, _)) = blobs.last() else { break };
            after = Some(last.digest);
            for (place, size) in blobs {
                checked.blobs += 1;
                checked.bytes += size;
                let found = self.digest_at(&place, size).await?;
                if found == Some(place.digest) || !self.is_still_at(&place).await? {
                    continue;
                }
                let repositories = match repair {
                    true => {
                        self.0.content.quarantine(&place).await?;
                        metadata.lose(place).await?
                    }
                    false => Vec::new(),
                };
                tell(Finding::Lost {
                    digest: place.digest,
                    found,
                    repositories,
                });
            }
        }
        self.check_strays(repair, tell).await?;
        let mut after = 0;
        loop {
            let manifests = metadata.manifests(after, MANIFESTS).await?;
            let Some(last) = manifests.last() else { break };
            after = last.id;
            for held in manifests {
                checked.manifests += 1;
                if held.digest.algorithm().digest(&held.content) != held.digest {
                    tell(Finding::Manifest {
                        repository: held.repository.clone(),
                        digest: held.digest,
                    });
                }
                if !held.missing.is_empty() {
                    tell(Finding::Incomplete {
                        repository: held.repository,
                        digest: held.digest,
                        missing: held.missing,
                    });
                }
            }
        }
        Ok(())
    }

    /// Looks for bytes that manifests miss among those that nobody knows.
    async fn check_strays(&self, repair: bool, tell: &mut impl FnMut(Finding)) -> Result<()> {
        let depot = &self.0;
        for part in 0..PARTS {
            for place in depot.metadata.unknown(depot.content.part(part).await?).await? {
                let Some(size) = depot.content.size(&place).await? else {
                    continue;
                };
                if !depot.metadata.misses(place.digest).await?
                    || self.digest_at(&place, size).await? != Some(place.digest)
                {
                    continue;
                }
                let repositories = match repair {
                    true => depot.metadata.restore(place, size, depot.lease()).await?,
                    false => Vec::new(),
                };
                tell(Finding::Restorable {
                    digest: place.digest,
                    repositories,
                });
            }
        }
        Ok(())
    }

    /// Whether a row still leads there: beside a server, what is read may go meanwhile.
    async fn is_still_at(&self, place: &Place) -> Result<bool> {
        self.0.metadata.leads_to(*place).await
    }

    /// The digest of what lies at a place; none where nothing does, or what has another size.
    async fn digest_at(&self, place: &Place, size: u64) -> Result<Option<Digest>> {
        let mut reader = match self.0.content.read(place, size, 0..size).await {
            Ok(Some(reader)) => reader,
            Ok(None) => return Ok(None),
            Err(error) if matches!(error.kind(), ErrorKind::Mismatch | ErrorKind::Invalid) => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut hasher = place.digest.algorithm().hasher();
        while let Some(bytes) = reader.next().await {
            hasher.update(&bytes?);
        }
        Ok(Some(hasher.finish()))
    }
}
