//! What is known of bytes on their way? Where they go, how many they are, and what the hash has made of them.

use bytes::Bytes;
use futures_util::StreamExt;
use teu_spec::{Algorithm, Digest, Hasher};
use teu_store::{Error, ErrorKind, Expected, Result, blocking::Together};

use crate::content::Writing;

/// Bytes on their way.
pub(crate) struct Written {
    pub(crate) expected: Expected,
    /// None where it failed.
    pub(crate) writing: Option<Box<dyn Writing>>,
    /// None where the caller verifies.
    pub(crate) hasher: Option<Together>,
    pub(crate) size: u64,
}

impl Written {
    /// None yet.
    pub(crate) fn new(writing: Box<dyn Writing>, expected: Expected) -> Self {
        let algorithm = expected.digest.map_or(expected.algorithm, |digest| digest.algorithm());
        Self {
            writing: Some(writing),
            hasher: (!expected.verified).then(|| Together::new(algorithm)),
            expected,
            size: 0,
        }
    }

    pub(crate) async fn take(&mut self, bytes: Bytes) -> Result<()> {
        // Taken out, so that what is dropped half-way is not gone on with.
        let mut writing = self.writing.take().ok_or_else(failed_before)?;
        let length = bytes.len() as u64;
        if let Some(hasher) = &mut self.hasher {
            hasher.update(&bytes);
        }
        writing.write(bytes).await?;
        self.size += length;
        self.writing = Some(writing);
        Ok(())
    }

    /// All came: what it is, if that is what it should be. Else nothing is left.
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
        self.expected.check(digest, self.size, |algorithm| match hasher.take() {
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
