//! Where does an upload go on? A session at the registry: begun, found again, cancelled.

use std::sync::PoisonError;

use reqwest::{Method, StatusCode, header::HeaderValue};
use teu_spec::Digest;
use teu_store::{Error, ErrorKind, Result};
use url::Url;

use super::{
    super::{answer::Answer, call::Call, client::Repository, origin},
    Upload,
};

impl Upload {
    /// Where an answer says that the session goes on: relative or absolute, with a query that must be kept.
    pub(in super::super) fn location(answer: &Answer) -> Result<Url> {
        let told = answer.header("location").ok_or_else(|| {
            Error::new(
                ErrorKind::Invalid,
                "the registry does not say where the upload goes: there is no Location",
            )
        })?;
        origin::join(&answer.url, told, "upload location")
            .and_then(|url| origin::check_step(&answer.url, &url, "upload location").map(|()| url))
            .map_err(|error| answer.secrets.hide_in(error))
    }

    /// How many bytes the registry has, and from where the upload goes on; none where it does not know the session any more.
    pub(super) async fn offset(&mut self) -> Result<Option<u64>> {
        let answer = self.send(Call::new(Method::GET, self.location.clone())).await?;
        if !answer.status().is_success() {
            // The session is lost. What is still held from the beginning can begin another.
            let (location, _) = session(&self.repository).await?;
            self.location = location;
            return Ok(Some(0));
        }
        let reached = answer.header("range").and_then(reached);
        if answer.header("location").is_some() {
            self.location = Self::location(&answer)?;
        }
        match reached {
            // `0-0` is what registries say of one byte, and some of none.
            Some(0 | 1) | None => {
                let (location, _) = session(&self.repository).await?;
                self.location = location;
                Ok(Some(0))
            }
            reached => Ok(reached),
        }
    }
}

impl Repository {
    /// Cancels an upload session, if the registry can do that.
    pub(in super::super) async fn cancel(&self, location: &Url) -> Result<()> {
        let call = Call::new(Method::DELETE, location.clone()).once();
        self.registry().call(|_| call.clone(), &self.need()).await?;
        Ok(())
    }

    /// Keeps an upload that was begun where a mount was declined.
    pub(in super::super) fn keep_begun(&self, digest: Digest, location: Url) {
        let mut begun = self.begun.lock().unwrap_or_else(PoisonError::into_inner);
        begun.insert(digest, location);
    }

    pub(super) fn take_begun_for(&self, digest: &Digest) -> Option<Url> {
        let mut begun = self.begun.lock().unwrap_or_else(PoisonError::into_inner);
        begun.remove(digest)
    }

    pub(in super::super) fn take_begun(&self) -> Vec<Url> {
        let mut begun = self.begun.lock().unwrap_or_else(PoisonError::into_inner);
        begun.drain().map(|(_, location)| location).collect()
    }
}

/// Begins a session: where it goes on, and the size that pieces must have.
pub(super) async fn session(repository: &Repository) -> Result<(Url, Option<u64>)> {
    let answer = repository.begin_upload("").await?;
    if answer.status() != StatusCode::ACCEPTED {
        return Err(repository.registry().complaint(answer).await);
    }
    let smallest = answer
        .header("oci-chunk-min-length")
        .and_then(|least| least.trim().parse().ok());
    Ok((Upload::location(&answer)?, smallest))
}

pub(super) fn with_digest(location: &Url, digest: &Digest) -> Url {
    let mut url = location.clone();
    url.query_pairs_mut().append_pair("digest", &digest.to_string());
    url
}

/// The end of `0-99` or `bytes=0-99`: how many bytes a registry has.
fn reached(range: &str) -> Option<u64> {
    let range = range.trim();
    let (first, last) = range.strip_prefix("bytes=").unwrap_or(range).split_once('-')?;
    if first.trim() != "0" {
        return None;
    }
    last.trim().parse::<u64>().ok()?.checked_add(1)
}

pub(super) fn range(offset: u64, length: u64) -> Result<HeaderValue> {
    let last = (offset + length).saturating_sub(1);
    HeaderValue::try_from(format!("{offset}-{last}")).map_err(|error| Error::new(ErrorKind::Invalid, error.to_string()))
}
