//! What is about a manifest? An index of its referrers (distribution-spec, "Listing Referrers"), in pages that a client reads as the manifests
//! that they are: none is larger than a manifest may be.

use http::{HeaderName, StatusCode, header};
use teu_spec::{Descriptor, Digest, MediaType};
use teu_store::{Keyset, Page, Store};

use crate::{
    lists::{ITEM, link},
    problem::{Code, Problem},
    registry::{Answer, Asked, Registry, listed, set},
    route::encoded,
};

const FILTERS: HeaderName = HeaderName::from_static("oci-filters-applied");
/// What stands around the descriptors, with room to spare.
const AROUND: usize = 1024;

impl Registry {
    pub(crate) async fn referrers(&self, name: &str, subject: &Digest, asked: &Asked) -> Answer {
        let limit = self.limit(asked)?;
        let filter = asked.query.get("artifactType");
        let part = Keyset {
            after: asked.query.get("last"),
            limit,
        };
        // One page is no larger than a manifest, however many items it might have.
        let most = usize::try_from(self.settings.limits.manifest).unwrap_or(usize::MAX);
        let room = self.budget.list(most.min(limit.saturating_mul(ITEM))).await?;
        let found = match self.reading(name).await {
            Ok(store) => referring(&*store, subject, filter, part).await?,
            // A subject that was never seen has none, wherever it was not seen.
            Err(problem) if problem.status == StatusCode::NOT_FOUND => Page {
                items: Vec::new(),
                next: None,
            },
            Err(problem) => return Err(problem),
        };
        let (text, next) = self.index(found)?;
        let mut response = listed(&self.budget, room, text).await?;
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

    /// An index of a part, and behind which the next part begins.
    fn index(&self, part: Page<Descriptor>) -> Result<(String, Option<String>), Problem> {
        let most = usize::try_from(self.settings.limits.manifest).unwrap_or(usize::MAX);
        let mut text = format!(
            r#"{{"schemaVersion":2,"mediaType":"{}","manifests":["#,
            MediaType::OciIndex
        );
        let mut last: Option<Digest> = None;
        for descriptor in part.items {
            let item = serde_json::to_string(&descriptor)
                .map_err(|error| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, Code::Unknown, error.to_string()))?;
            if let Some(last) = last {
                // One alone is sent whatever its size is: it was a manifest's, and fits.
                if text.len() + item.len() + AROUND > most {
                    text.push_str("]}");
                    return Ok((text, Some(last.to_string())));
                }
                text.push(',');
            }
            text.push_str(&item);
            last = Some(descriptor.digest);
        }
        text.push_str("]}");
        Ok((text, part.next))
    }
}

/// A part of what is about a manifest, in the order of digests.
async fn referring(
    store: &dyn Store,
    subject: &Digest,
    artifact_type: Option<&str>,
    part: Keyset<'_>,
) -> Result<Page<Descriptor>, Problem> {
    let browse = store.browse().ok_or_else(|| {
        Problem::new(
            StatusCode::NOT_FOUND,
            Code::Unsupported,
            "this place lists no referrers",
        )
    })?;
    let failed = |error| Problem::reading(error, Code::ManifestUnknown);
    if let Some(page) = browse.referrers_in_order(subject, artifact_type, part) {
        return page.await.map_err(failed);
    }
    let mut all = browse.referrers(subject, artifact_type).await.map_err(failed)?;
    all.sort_unstable_by_key(|descriptor| descriptor.digest);
    all.dedup_by_key(|descriptor| descriptor.digest);
    Ok(part.of_descriptors(all))
}
