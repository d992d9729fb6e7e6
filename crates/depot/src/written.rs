//! What is known of bytes on their way? Where they go, how many they are, and what the hash has made of them.

use bytes::Bytes;
use futures_util::StreamExt;
use teu_spec::{Algorithm, Digest, Hasher};
use teu_store::{Error, ErrorKind, Expected, Result, blocking::Together};

use crate::{content::Writing, gathering::Gathering};

/// Bytes on their way.
pub(crate) struct Written {
    pub(crate) expected: Expected,
    /// None where it failed.
    pub(crate) writing: Option<Box<dyn Writing>>,
    /// None where the caller verifies.
    pub(crate) hasher: Option<Together>,
    /// What came, of which the end may wait here to be hashed and written.
    gathering: Gathering,
}

impl Written {
    /// None yet.
    pub(crate) fn new(writing: Box<dyn Writing>, expected: Expected) -> Self {
        let algorithm = expected.digest.map_or(expected.algorithm, |digest| digest.algorithm());
        Self {
            writing: Some(writing),
            hasher: (!expected.verified).then(|| Together::new(algorithm)),
            expected,
            gathering: Gathering::after(0),
        }
    }

    /// What is gone on with: `size` bytes, of which this is the hash.
    pub(crate) fn reopened(writing: Box<dyn Writing>, hasher: Hasher, size: u64) -> Self {
        Self {
            expected: Expected {
                algorithm: hasher.algorithm(),
                ..Expected::default()
            },
            writing: Some(writing),
            hasher: Some(hasher.into()),
            gathering: Gathering::after(size),
        }
    }

    /// How many there are.
    pub(crate) fn size(&self) -> u64 {
        self.gathering.came()
    }

    /// Takes the next bytes; none where none came for a while.
    pub(crate) async fn take(&mut self, mut bytes: Bytes) -> Result<()> {
        // Taken out, so that what is dropped half-way is not gone on with.
        let mut writing = self.writing.take().ok_or_else(failed_before)?;
        loop {
            if let Some(bytes) = self.gathering.take(&mut bytes) {
                self.pass_on(&mut *writing, bytes).await?;
            }
            if bytes.is_empty() {
                break;
            }
        }
        self.writing = Some(writing);
        Ok(())
    }

    /// Hashes and writes what waits.
    pub(crate) async fn pass_on_rest(&mut self) -> Result<()> {
        if let Some(bytes) = self.gathering.rest() {
            let mut writing = self.writing.take().ok_or_else(failed_before)?;
            self.pass_on(&mut *writing, bytes).await?;
            self.writing = Some(writing);
        }
        Ok(())
    }

    async fn pass_on(&mut self, writing: &mut dyn Writing, bytes: Bytes) -> Result<()> {
        if let Some(hasher) = &mut self.hasher {
            hasher.update(&bytes);
        }
        writing.write(bytes).await
    }

    /// All came and was [passed on](Self::pass_on_rest): what it is, if that is what it should be. Else nothing is left.
    pub(crate) async fn checked(&mut self, digest: Option<Digest>) -> Result<(Box<dyn Writing>, Digest)> {
        let mut writing = self.writing.take().ok_or_else(failed_before)?;
        match self.digest(&mut *writing, digest).await {
            Ok(digest) => Ok((writing, digest)),
            Err(error) => {
                writing.forget().await?;
                Err(error)
            }
        }
    }

    async fn digest(&mut self, writing: &mut dyn Writing, digest: Option<Digest>) -> Result<Digest> {
        let wanted = digest.or(self.expected.digest).map(|digest| digest.algorithm());
        let other = match (&self.hasher, wanted) {
            (Some(hasher), Some(wanted)) if hasher.algorithm() != wanted => Some(wanted),
            _ => None,
        };
        if let Some(algorithm) = other {
            // Nobody said before under which algorithm it will be known.
            self.hasher = Some(hashed(writing, algorithm).await?.into());
        }
        let hasher = &mut self.hasher;
        self.expected
            .check(digest, self.gathering.came(), |algorithm| match hasher.take() {
                Some(hasher) => hasher.finish(),
                // The caller verified it, and so said what it is.
                None => algorithm.digest(&[]),
            })
    }

    /// Removes them.
    pub(crate) async fn forget(&mut self) -> Result<()> {
        match self.writing.take() {
            Some(writing) => writing.forget().await,
            None => Ok(()),
        }
    }
}

/// Reads what was written once more.
async fn hashed(writing: &mut dyn Writing, algorithm: Algorithm) -> Result<Hasher> {
    let mut hasher = algorithm.hasher();
    let mut reader = writing.read().await?;
    while let Some(bytes) = reader.next().await {
        hasher.update(&bytes?);
    }
    Ok(hasher)
}

pub(crate) fn failed_before() -> Error {
    Error::new(ErrorKind::Cancelled, "writing it had failed before")
}

#[cfg(test)]
mod tests {
    use teu_store::{blocking::pieces::SMALL, suite::run};

    use super::*;
    use crate::content::{Content, Files};

    /// Who sends no more, and is not gone, keeps no piece from others.
    #[test]
    fn what_waits_is_written_where_no_more_comes() {
        run(async {
            let directory = tempfile::tempdir().expect("a directory");
            let files = Files::open(directory.path()).expect("files");
            let writing = files.begin("one", true).await.expect("begun");
            let mut written = Written::new(writing, Expected::default());
            let content = Bytes::from(vec![b'x'; usize::try_from(SMALL).expect("a size") + 1000]);
            written.take(content.clone()).await.expect("taken");
            written.gathering.is_late();
            written.take(Bytes::new()).await.expect("taken");
            assert_eq!(written.gathering.rest(), None);
            written.pass_on_rest().await.expect("passed on");
            let (_, digest) = written.checked(None).await.expect("it is whole");
            assert_eq!(digest, Digest::of(&content));
        });
    }
}
