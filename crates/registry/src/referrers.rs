//! What is about a manifest? An index of its referrers (distribution-spec, "Listing Referrers"), in pages that a client reads as the manifests
//! that they are: none is larger than a manifest may be.

use http::{HeaderName, StatusCode, header};
use teu_spec::{Descriptor, Digest, MediaType};
use teu_store::Keyset;

use crate::{
    lists::link,
    problem::{Code, Problem},
    registry::{Answer, Asked, Registry, json, set},
    route::encoded,
};

const FILTERS: HeaderName = HeaderName::from_static("oci-filters-applied");
/// What stands around the descriptors, with room to spare.
const AROUND: usize = 1024;

impl Registry {
    pub(crate) async fn referrers(&self, name: &str, subject: &Digest, asked: &Asked) -> Answer {
        let limit = self.limit(asked)?;
        let filter = asked.query.get("artifactType");
        let mut found = match self.reading(name).await {
            Ok(store) => {
                let browse = store.browse().ok_or_else(|| {
                    Problem::new(
                        StatusCode::NOT_FOUND,
                        Code::Unsupported,
                        "this place lists no referrers",
                    )
                })?;
                let found = browse.referrers(subject, filter).await;
                found.map_err(|error| Problem::reading(error, Code::ManifestUnknown))?
            }
            // A subject that was never seen has none, wherever it was not seen.
            Err(problem) if problem.status == StatusCode::NOT_FOUND => Vec::new(),
            Err(problem) => return Err(problem),
        };
        found.sort_unstable_by_key(|descriptor| descriptor.digest.to_string());
        found.dedup_by_key(|descriptor| descriptor.digest);
        let part = Keyset {
            after: asked.query.get("last"),
            limit,
        };
        let (text, next) = self.page(&found, part)?;
        let mut response = json(StatusCode::OK, text);
        set(&mut response, header::CONTENT_TYPE, MediaType::OciIndex.as_str());
        if filter.is_some() {
            set(&mut response, FILTERS, "artifactType");
        }
        if let Some(next) = next {
            let filter = filter.map_or_else(String::new, |filter| format!("&artifactType={}", encoded(filter)));
            let target = format!("/v2/{name}/referrers/{subject}?n={limit}&last={next}{filter}");
            link(&mut response, &target);
        }
        Ok(response)
    }

    /// An index of a part of `found`, and behind which the next part begins.
    fn page(&self, found: &[Descriptor], part: Keyset<'_>) -> Result<(String, Option<Digest>), Problem> {
        let most = usize::try_from(self.settings.limits.manifest).unwrap_or(usize::MAX);
        let mut text = format!(
            r#"{{"schemaVersion":2,"mediaType":"{}","manifests":["#,
            MediaType::OciIndex
        );
        let mut last = None;
        let behind = |descriptor: &&Descriptor| {
            part.after
                .is_none_or(|after| descriptor.digest.to_string().as_str() > after)
        };
        for (count, descriptor) in found.iter().filter(behind).enumerate() {
            let item = serde_json::to_string(descriptor)
                .map_err(|error| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, Code::Unknown, error.to_string()))?;
            // One alone is sent whatever its size is: it was a manifest's, and fits.
            if count >= part.limit || (count > 0 && text.len() + item.len() + AROUND > most) {
                text.push_str("]}");
                return Ok((text, last));
            }
            if count > 0 {
                text.push(',');
            }
            text.push_str(&item);
            last = Some(descriptor.digest);
        }
        text.push_str("]}");
        Ok((text, None))
    }
}
