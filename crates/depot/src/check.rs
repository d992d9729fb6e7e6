//! Is all there that a depot says it keeps, and is it what it should be? Every byte is read; and what can be mended is.

use std::{collections::BTreeSet, io, path::Path, sync::Arc};

use futures_util::StreamExt;
use teu_spec::Digest;
use teu_store::{Error, ErrorKind, Result, blocking};

use crate::{
    Depot, Needed, PARTS, Place, Spare,
    content::{
        directory::{failed, is_broken},
        is_damage as is_damage_of_content,
    },
    metadata::is_damage,
};

/// How many rows are asked for at once.
const BATCH: usize = 200;
/// How many manifests, which come with their bytes.
const MANIFESTS: usize = 20;

/// How many images are named that need something.
const NAMED: usize = 10;

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
    /// The bytes of a blob are not there, cannot be read, or are others. Mended, what is there is set aside, in `quarantine`, and these repositories show the
    /// blob no more, nor the manifests above it, so that the next push brings it; then they show all again, tags too.
    Lost {
        /// The blob.
        digest: Digest,
        /// The digest of what is there, where something is.
        found: Option<Digest>,
        /// Why what is there cannot be read, where it cannot.
        unreadable: Option<String>,
        /// Who showed it; known where it was mended.
        repositories: Vec<String>,
        /// The images that need it.
        needed: Needed,
    },
    /// The bytes of a blob were not there, could not be read, or were others, or manifests missed it, and another directory had it: it is kept anew, and shown by
    /// these repositories, with what is above it. What was there of it is set aside.
    TakenBack {
        /// The blob.
        digest: Digest,
        /// Who shows it.
        repositories: Vec<String>,
        /// The images that need it.
        needed: Needed,
    },
    /// A blob was lost before, and what needs it is hidden since. A push mends that, or another directory that has it.
    Hidden {
        /// The blob.
        digest: Digest,
        /// The images that need it.
        needed: Needed,
    },
    /// Bytes that no row leads to are those of a blob that manifests name and their repositories do not show. Mended, they do.
    Restorable {
        /// The blob.
        digest: Digest,
        /// Who shows it again; known where it was mended.
        repositories: Vec<String>,
        /// The images that need it.
        needed: Needed,
    },
    /// A manifest's bytes are others than its digest says. A push of it mends that.
    Manifest {
        /// The repository that shows it.
        repository: String,
        /// Its digest.
        digest: Digest,
        /// The images that need it, itself too.
        needed: Needed,
    },
    /// A manifest names what its repository does not show. That may be meant, of a sparse index; else a push mends it.
    Incomplete {
        /// The repository that shows it.
        repository: String,
        /// The manifest's digest.
        digest: Digest,
        /// What it names.
        missing: Vec<Digest>,
        /// The images that need it, itself too.
        needed: Needed,
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
    /// Those of the disk, other than that something is not there or cannot be read; that too where it is to be mended and the disk does not say that it is damaged for
    /// good. What was mended before stays so.
    pub async fn check(&self, repair: bool, tell: impl FnMut(Finding)) -> Result<Checked> {
        let mend = if repair { Mend::SetAside } else { Mend::Nothing };
        self.check_all(&mend, tell).await
    }

    /// The same, where it is mended, and what is lost, or was and is missed, is taken back from another directory that has it.
    ///
    /// # Errors
    /// Those of [`check`](Self::check); that the other has it not, or has it damaged, is none.
    pub async fn repair_from(&self, spare: Spare, tell: impl FnMut(Finding)) -> Result<Checked> {
        self.check_all(&Mend::From(Arc::new(spare)), tell).await
    }

    async fn check_all(&self, mend: &Mend, mut tell: impl FnMut(Finding)) -> Result<Checked> {
        let mut checked = Checked::default();
        let damages = self.0.metadata.examine().await?;
        let is_damaged = !damages.is_empty();
        for message in damages {
            tell(Finding::Metadata { message });
        }
        if is_damaged && mend.is_wanted() {
            return Ok(checked);
        }
        match self.check_rows(mend, &mut checked, &mut tell).await {
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

    async fn check_rows(&self, mend: &Mend, checked: &mut Checked, tell: &mut impl FnMut(Finding)) -> Result<()> {
        let metadata = &self.0.metadata;
        let mut told = BTreeSet::new();
        let mut after = None;
        loop {
            let blobs = metadata.blobs(after, BATCH).await?;
            let Some((last, _)) = blobs.last() else { break };
            after = Some(last.digest);
            for (place, size) in blobs {
                checked.blobs += 1;
                checked.bytes += size;
                let at = self.at(&place, size).await?;
                if at == At::Found(place.digest) || !self.is_still_at(&place).await? {
                    continue;
                }
                let needed = metadata.needed(&place.digest, None, NAMED).await?;
                let mut repositories = Vec::new();
                if mend.is_wanted() {
                    if let At::Unreadable(why) = &at {
                        self.is_damaged_for_good(place, size, why).await?;
                    }
                    // Before what is there is lost, so that whoever kills this leaves it as it was, or so that the next finds it among the files.
                    let brought = self.brought(mend, place.digest, &needed).await?;
                    self.0.content.quarantine(&place).await?;
                    repositories = metadata.lose(place).await?;
                    if self.show_again(brought, &needed, tell).await? {
                        continue;
                    }
                }
                told.insert(place.digest);
                let (found, unreadable) = match at {
                    At::Found(found) => (Some(found), None),
                    At::Nothing => (None, None),
                    At::Unreadable(why) => (None, Some(why)),
                };
                tell(Finding::Lost {
                    digest: place.digest,
                    found,
                    unreadable,
                    repositories,
                    needed,
                });
            }
        }
        self.check_strays(mend.is_wanted(), &mut told, tell).await?;
        self.check_missing(mend, &told, tell).await?;
        let mut after = 0;
        loop {
            let manifests = metadata.manifests(after, MANIFESTS).await?;
            let Some(last) = manifests.last() else { break };
            after = last.id;
            for held in manifests {
                checked.manifests += 1;
                let (is_other, is_incomplete) = (
                    held.digest.algorithm().digest(&held.content) != held.digest,
                    !held.missing.is_empty(),
                );
                if !is_other && !is_incomplete {
                    continue;
                }
                let (digest, repository) = (held.digest, held.repository);
                let needed = metadata.needed(&digest, Some(&repository), NAMED).await?;
                if is_other {
                    tell(Finding::Manifest {
                        repository: repository.clone(),
                        digest,
                        needed: needed.clone(),
                    });
                }
                if is_incomplete {
                    tell(Finding::Incomplete {
                        repository,
                        digest,
                        missing: held.missing,
                        needed,
                    });
                }
            }
        }
        Ok(())
    }

    /// Looks for what was lost before in the other directory, where there is one, and tells of it where it is lost still, unless it was told already.
    async fn check_missing(&self, mend: &Mend, told: &BTreeSet<Digest>, tell: &mut impl FnMut(Finding)) -> Result<()> {
        let mut after = None;
        loop {
            let missing = self.0.metadata.missing(after, BATCH).await?;
            let Some(last) = missing.last() else { return Ok(()) };
            after = Some(*last);
            for digest in missing.into_iter().filter(|digest| !told.contains(digest)) {
                let needed = self.0.metadata.needed(&digest, None, NAMED).await?;
                let brought = self.brought(mend, digest, &needed).await?;
                if !self.show_again(brought, &needed, tell).await? {
                    tell(Finding::Hidden { digest, needed });
                }
            }
        }
    }

    /// Brings what images need from the other directory; none where it has it not, or there is none.
    async fn brought(&self, mend: &Mend, digest: Digest, needed: &Needed) -> Result<Option<(Place, u64)>> {
        match mend {
            Mend::From(spare) if !needed.first.is_empty() => self.bring(spare, digest).await,
            _ => Ok(None),
        }
    }

    /// Has what was brought be shown, and tells of it; false where there is nothing.
    async fn show_again(
        &self,
        brought: Option<(Place, u64)>,
        needed: &Needed,
        tell: &mut impl FnMut(Finding),
    ) -> Result<bool> {
        let Some((place, size)) = brought else {
            return Ok(false);
        };
        let repositories = self.0.metadata.restore(place, size, self.0.lease()).await?;
        tell(Finding::TakenBack {
            digest: place.digest,
            repositories,
            needed: needed.clone(),
        });
        Ok(true)
    }

    /// Looks for bytes that manifests miss among those that nobody knows.
    async fn check_strays(
        &self,
        repair: bool,
        told: &mut BTreeSet<Digest>,
        tell: &mut impl FnMut(Finding),
    ) -> Result<()> {
        let depot = &self.0;
        for part in 0..PARTS {
            for place in depot.metadata.unknown(depot.content.part(part).await?).await? {
                let size = match depot.content.size(&place).await {
                    Ok(Some(size)) => size,
                    Ok(None) => continue,
                    Err(error) if is_damage_of_content(&error) => continue,
                    Err(error) => return Err(error),
                };
                if !depot.metadata.misses(place.digest).await?
                    || self.at(&place, size).await? != At::Found(place.digest)
                {
                    continue;
                }
                told.insert(place.digest);
                let needed = depot.metadata.needed(&place.digest, None, NAMED).await?;
                let repositories = match repair {
                    true => depot.metadata.restore(place, size, depot.lease()).await?,
                    false => Vec::new(),
                };
                tell(Finding::Restorable {
                    digest: place.digest,
                    repositories,
                    needed,
                });
            }
        }
        Ok(())
    }

    /// Whether a row still leads there: beside a server, what is read may go meanwhile.
    async fn is_still_at(&self, place: &Place) -> Result<bool> {
        self.0.metadata.leads_to(*place).await
    }

    /// What lies at a place.
    async fn at(&self, place: &Place, size: u64) -> Result<At> {
        let mut reader = match self.0.content.read(place, size, 0..size).await {
            Ok(Some(reader)) => reader,
            Ok(None) => return Ok(At::Nothing),
            Err(error) if is_broken(&error) => return Ok(At::Unreadable(error.to_string())),
            Err(error) if is_damage_of_content(&error) => return Ok(At::Nothing),
            Err(error) => return Err(error),
        };
        let mut hasher = place.digest.algorithm().hasher();
        while let Some(bytes) = reader.next().await {
            match bytes {
                Ok(bytes) => hasher.update(&bytes),
                // It was opened, so this is of its bytes: as a sector that cannot be read.
                Err(error) if *error.kind() == ErrorKind::Io => return Ok(At::Unreadable(error.to_string())),
                Err(error) => return Err(error),
            }
        }
        Ok(At::Found(hasher.finish()))
    }

    /// Refuses to set aside what could not be read, for a reason that `why` says, unless the disk says once more that it is damaged: one that was away for a minute is
    /// not to hide what lies on it unharmed.
    async fn is_damaged_for_good(&self, place: Place, size: u64, why: &str) -> Result<()> {
        let depot = Arc::clone(&self.0);
        let again = blocking::run(move || {
            let Some(files) = depot.content.files() else {
                return Ok(());
            };
            match files.open(&place, size)? {
                Some(mut file) => io::copy(&mut file, &mut io::sink())
                    .map(drop)
                    .map_err(|error| failed(error, "reading", Path::new(&place.to_string()))),
                None => Ok(()),
            }
        });
        let second = match again.await {
            Err(error) if is_broken(&error) => return Ok(()),
            Err(error) => format!("and once more: {error}"),
            Ok(()) => "and was there a moment later".to_owned(),
        };
        let message = format!(
            "{why}, {second}; that is no damage that stays, so it is not set aside, and nothing more is mended: look at the disk, and repair again"
        );
        Err(Error::new(ErrorKind::Io, message))
    }
}

/// What is done about what is found.
enum Mend {
    Nothing,
    /// What is damaged is set aside.
    SetAside,
    /// And what is lost is taken from another directory.
    From(Arc<Spare>),
}

impl Mend {
    fn is_wanted(&self) -> bool {
        !matches!(self, Self::Nothing)
    }
}

/// What lies at a place.
#[derive(PartialEq, Eq)]
enum At {
    /// As many bytes as should, of this digest.
    Found(Digest),
    /// Nothing, or what has another size.
    Nothing,
    /// What cannot be read, and why.
    Unreadable(String),
}
