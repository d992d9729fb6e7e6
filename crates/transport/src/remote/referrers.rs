//! What is about a manifest? The referrers API, and the tag that stands for it where a registry has none: distribution-spec, "Listing
//! Referrers" and "Referrers Tag Schema".

use reqwest::StatusCode;
use teu_spec::{Descriptor, Digest, Document, Format, Index, MediaType, Tag, json};
use teu_store::{Error, ErrorKind, Expect, Result};

use super::{browse::page, client::Repository, pull::Wanted};

/// How many referrers one subject may have.
const MAX_REFERRERS: usize = 100_000;
/// How often the index behind the tag is written anew because another writer did so at the same time.
const MAX_RACES: u32 = 8;

impl Repository {
    /// All of one artifact type, or of any.
    pub(super) async fn list_referrers(
        &self,
        subject: &Digest,
        artifact_type: Option<&str>,
    ) -> Result<Vec<Descriptor>> {
        let mut url = format!("/v2/{}/referrers/{subject}", self.path());
        if let Some(artifact_type) = artifact_type {
            let mut query = url::form_urlencoded::Serializer::new(String::new());
            query.append_pair("artifactType", artifact_type);
            url = format!("{url}?{}", query.finish());
        }
        let mut all = Vec::new();
        let mut from: Option<String> = None;
        loop {
            let (answer, cursor) = page(self.registry(), &url, from.as_deref(), &self.need()).await?;
            let missing = matches!(
                answer.status(),
                StatusCode::NOT_FOUND
                    | StatusCode::BAD_REQUEST
                    | StatusCode::METHOD_NOT_ALLOWED
                    | StatusCode::NOT_ACCEPTABLE
                    | StatusCode::NOT_IMPLEMENTED
            );
            if missing && from.is_none() {
                all = self
                    .tagged_referrers(subject)
                    .await?
                    .map(|index| index.manifests)
                    .unwrap_or_default();
                break;
            }
            if !answer.status().is_success() {
                return Err(self.registry().complaint(answer).await);
            }
            from = cursor.next(&answer)?;
            let body = answer.body(json::MAX_DOCUMENT, "list of referrers").await?;
            let Document::Index(index) = Document::parse(body, Some(&MediaType::OciIndex))? else {
                return Err(Error::new(ErrorKind::Invalid, "the list of referrers is no index"));
            };
            all.extend(index.manifests);
            if all.len() > MAX_REFERRERS {
                let message = format!("there are more referrers than the limit of {MAX_REFERRERS}");
                return Err(Error::new(ErrorKind::TooLarge, message));
            }
            if from.is_none() {
                break;
            }
        }
        // A registry may ignore the filter (`OCI-Filters-Applied`), and the tag knows none.
        if let Some(artifact_type) = artifact_type {
            all.retain(|referrer| referrer.artifact_type.as_deref() == Some(artifact_type));
        }
        Ok(all)
    }

    /// The index that stands for the referrers API, and what it lists.
    async fn tagged_referrers(&self, subject: &Digest) -> Result<Option<Index>> {
        let Some((descriptor, body)) = self.manifest_body(&Wanted::Tag(referrers_tag(subject)?)).await? else {
            return Ok(None);
        };
        match Document::parse(body, Some(&descriptor.media_type))? {
            Document::Index(index) => Ok(Some(index)),
            Document::Manifest(_) => Err(Error::new(
                ErrorKind::Invalid,
                "the tag that stands for the referrers is no index",
            )),
        }
    }

    /// Adds a manifest to the index that stands for the referrers API: what a client must do where the registry did not say, by
    /// `OCI-Subject`, that it keeps track of `subject` itself.
    pub(super) async fn tag_referrer(&self, subject: &Digest, referrer: &Descriptor) -> Result<()> {
        self.change_tagged(subject, |index| {
            let Some(index) = index else {
                return Ok(Some(Index::build(Format::Oci, std::slice::from_ref(referrer))?));
            };
            if index.manifests.iter().any(|listed| listed.digest == referrer.digest) {
                return Ok(None);
            }
            let place = index.manifests.len();
            Ok(Some(
                Document::Index(index).insert(place, std::slice::from_ref(referrer))?,
            ))
        })
        .await
        .map_err(|error| error.within(format!("adding {} to the referrers of {subject}", referrer.digest)))
    }

    /// Takes a manifest that was deleted out of the index that stands for the referrers API, where there is one.
    pub(super) async fn untag_referrer(&self, subject: &Digest, referrer: &Digest) -> Result<()> {
        self.change_tagged(subject, |index| {
            let Some(index) = index.filter(|index| index.manifests.iter().any(|listed| listed.digest == *referrer))
            else {
                return Ok(None);
            };
            let kept: Vec<Option<Descriptor>> = index
                .manifests
                .iter()
                .map(|listed| (listed.digest != *referrer).then(|| listed.clone()))
                .collect();
            Ok(Some(Document::Index(index).rewrite(&kept)?))
        })
        .await
        .map_err(|error| error.within(format!("taking {referrer} out of the referrers of {subject}")))
    }

    /// Writes the index behind a subject's tag anew until `change` finds nothing left to change. A registry has no lock for that: another
    /// writer may have replaced what we wrote, so it is read again.
    async fn change_tagged(
        &self,
        subject: &Digest,
        change: impl Fn(Option<Index>) -> Result<Option<Document>>,
    ) -> Result<()> {
        let tag = referrers_tag(subject)?;
        // Our own writers at least take turns.
        let _turn = self.referrers_turn.lock().await;
        for _ in 0..MAX_RACES {
            let Some(document) = change(self.tagged_referrers(subject).await?)? else {
                return Ok(());
            };
            let digest = Digest::of(document.raw());
            self.put_once(&format!("manifests/{tag}"), &document, &digest, Expect::Any)
                .await?;
        }
        Err(Error::new(
            ErrorKind::Conflict,
            format!("others wrote {tag} at the same time, {MAX_RACES} times in a row"),
        ))
    }
}

/// distribution-spec, "Referrers Tag Schema": the digest with `-` for `:`, the algorithm cut to 32 characters and the hex digits to 64.
pub(super) fn referrers_tag(subject: &Digest) -> Result<Tag> {
    let mut hex = subject.hex();
    hex.truncate(64);
    Ok(format!("{}-{hex}", subject.algorithm()).parse()?)
}
