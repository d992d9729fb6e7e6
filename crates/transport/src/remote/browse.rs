//! What is in a repository, and in a registry? Tags and the catalog, a page at a time. Referrers are the question of `referrers`.

use std::sync::Arc;

use reqwest::Method;
use serde::Deserialize;
use teu_spec::{Descriptor, Digest, Tag};
use teu_store::{BoxFuture, Browse, Error, ErrorKind, Keyset, Named, Page, Result};
use url::Url;

use super::{
    answer::Answer,
    auth::{Need, Scope},
    call::Call,
    client::{Registry, Repository},
    link,
};

/// The largest page of a list that is read, in bytes: registries that know no pages send all tags at once.
const MAX_PAGE: u64 = 32 << 20;
/// The most names of one page: short ones take many times their bytes in memory.
const MAX_NAMES: usize = 1_000_000;
/// How many names are asked for at once.
const PAGE: u32 = 1000;

#[derive(Deserialize)]
pub(super) struct Tags {
    #[serde(default)]
    pub(super) tags: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct Catalog {
    #[serde(default)]
    repositories: Option<Vec<String>>,
}

impl Browse for Repository {
    fn names<'a>(&'a self, from: Option<&'a str>) -> BoxFuture<'a, Result<Page<Named>>> {
        Box::pin(async move {
            self.tags(from)
                .await
                .map_err(|error| error.within(format!("listing the tags of {self}")))
        })
    }

    /// By the referrers API, or by the tag that stands for it where a registry has none (distribution-spec, "Referrers Tag Schema").
    fn in_order<'a>(&'a self, _: Keyset<'a>) -> Option<BoxFuture<'a, Result<Page<String>>>> {
        None
    }

    fn manifests<'a>(&'a self, _: Keyset<'a>) -> Option<BoxFuture<'a, Result<Page<Digest>>>> {
        None
    }

    fn referrers<'a>(
        &'a self,
        subject: &'a Digest,
        artifact_type: Option<&'a str>,
    ) -> BoxFuture<'a, Result<Vec<Descriptor>>> {
        Box::pin(async move {
            self.list_referrers(subject, artifact_type)
                .await
                .map_err(|error| error.within(format!("listing the referrers of {self}@{subject}")))
        })
    }

    fn referrers_in_order<'a>(
        &'a self,
        _: &'a Digest,
        _: Option<&'a str>,
        _: Keyset<'a>,
    ) -> Option<BoxFuture<'a, Result<Page<Descriptor>>>> {
        None
    }
}

impl Repository {
    async fn tags(&self, from: Option<&str>) -> Result<Page<Named>> {
        let first = format!("/v2/{}/tags/list?n={PAGE}", self.path());
        let (answer, cursor) = page(self.registry(), &first, from, &self.need()).await?;
        if !answer.status().is_success() {
            return Err(self.registry().complaint(answer).await);
        }
        let next = cursor.next(&answer)?;
        let secrets = Arc::clone(&answer.secrets);
        let body = answer.body(MAX_PAGE, "list of tags").await?;
        let tags: Tags = read(&body, "list of tags").map_err(|error| secrets.hide_in(error))?;
        let items = tags.tags.unwrap_or_default();
        let items = items
            .into_iter()
            .map(|tag| {
                // What is no tag can be no tag's name anywhere: it is somebody's trick (threat 76).
                let tag: Tag = tag
                    .parse()
                    .map_err(|error: teu_spec::Error| secrets.hide_in(error.into()))?;
                Ok(Named {
                    name: Some(tag.as_str().to_owned()),
                    descriptor: None,
                })
            })
            .collect::<Result<Vec<Named>>>()?;
        Ok(Page { items, next })
    }
}

impl Registry {
    /// A page of the names of its repositories: the first, or the one that begins at `from`. Many registries refuse it.
    ///
    /// # Errors
    /// `Unauthenticated`, `Denied` or `Unsupported` where the registry does not tell.
    pub async fn catalog(&self, from: Option<&str>) -> Result<Page<String>> {
        let within = |error: Error| error.within(format!("listing the repositories of {}", self.name()));
        self.list_repositories(from).await.map_err(within)
    }

    async fn list_repositories(&self, from: Option<&str>) -> Result<Page<String>> {
        let need = Need {
            repository: None,
            scopes: vec![Scope::catalog()],
        };
        let (answer, cursor) = page(self, &format!("/v2/_catalog?n={PAGE}"), from, &need).await?;
        if !answer.status().is_success() {
            return Err(self.complaint(answer).await);
        }
        let next = cursor.next(&answer)?;
        let secrets = Arc::clone(&answer.secrets);
        let body = answer.body(MAX_PAGE, "list of repositories").await?;
        let catalog: Catalog = read(&body, "list of repositories").map_err(|error| secrets.hide_in(error))?;
        let items = catalog.repositories.unwrap_or_default();
        for name in &items {
            teu_spec::Repository::check_path(name).map_err(|error| secrets.hide_in(error.into()))?;
        }
        Ok(Page { items, next })
    }
}

/// Asks for the page at `from`, or for the first.
pub(super) async fn page(
    registry: &Registry,
    first: &str,
    from: Option<&str>,
    need: &Need,
) -> Result<(Answer, link::Cursor)> {
    let cursor = match from {
        Some(from) => link::Cursor::read(from)?,
        None => link::Cursor::first(first),
    };
    let make = |base: Url| Call::new(Method::GET, cursor.url(&base));
    let answer = registry.call(make, need).await?;
    Ok((answer, cursor))
}

pub(super) fn read<'a, T: Deserialize<'a>>(body: &'a [u8], what: &str) -> Result<T> {
    // There is a comma between any two, and no name has one.
    if body.iter().filter(|byte| **byte == b',').count() > MAX_NAMES {
        let message = format!("the registry's {what} has more names on a page than the limit of {MAX_NAMES}");
        return Err(Error::new(ErrorKind::TooLarge, message));
    }
    serde_json::from_slice(body).map_err(|error| {
        Error::new(ErrorKind::Invalid, format!("the registry's {what} cannot be read")).with_cause(error)
    })
}
