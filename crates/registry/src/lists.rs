//! What is there? Tags and repositories in byte order, a page at a time (distribution-spec, "Listing Tags"): `n`, `last`, `Link`.

use http::{HeaderValue, Response, StatusCode, header};
use serde_json::json;
use teu_spec::Tag;
use teu_store::{Browse, Keyset, Page, Store};

use crate::{
    body::Body,
    budget::Room,
    problem::{Code, Problem},
    registry::{Answer, Asked, Registry, listed},
    route::encoded,
};

/// How much memory an item of a list takes, as names go: as it comes from the store, and in the text that is made of it.
pub(crate) const ITEM: usize = 128;

impl Registry {
    pub(crate) async fn catalog(&self, asked: &Asked) -> Answer {
        let limit = self.limit(asked)?;
        // Where not all are seen, as many more are looked at together.
        let looked_at = if asked.caller.sees_all() {
            0
        } else {
            self.settings.limits.page
        };
        let room = self
            .budget
            .list(limit.saturating_add(looked_at).saturating_mul(ITEM))
            .await?;
        let page = self.seen(asked, limit).await?;
        let text = json!({ "repositories": page.items }).to_string();
        let response = listed(&self.budget, room, text).await?;
        Ok(linked(response, "/v2/_catalog", limit, &page))
    }

    /// A page of the repositories that the one who asks may see.
    async fn seen(&self, asked: &Asked, limit: usize) -> Result<Page<String>, Problem> {
        let mut after = asked.query.get("last").map(str::to_owned);
        let mut items: Vec<String> = Vec::new();
        loop {
            // Where few are seen, many are looked at together.
            let most = match asked.caller.sees_all() || limit == 0 {
                true => limit,
                false => self.settings.limits.page,
            };
            let part = Keyset {
                after: after.as_deref(),
                limit: most,
            };
            let page = self.repositories.repositories(part).await;
            let mut page = page.map_err(|error| Problem::reading(error, Code::NameUnknown))?;
            if asked.caller.sees_all() || limit == 0 {
                return Ok(page);
            }
            page.items.retain(|name| asked.caller.sees(name));
            items.append(&mut page.items);
            if items.len() > limit {
                items.truncate(limit);
                let next = items.last().cloned();
                return Ok(Page { items, next });
            }
            match page.next {
                Some(next) => after = Some(next),
                None => return Ok(Page { items, next: None }),
            }
        }
    }

    pub(crate) async fn tags(&self, name: &str, asked: &Asked) -> Answer {
        let limit = self.limit(asked)?;
        let store = self.reading(name).await?;
        let part = Keyset {
            after: asked.query.get("last"),
            limit,
        };
        let browse = browse(&*store)?;
        let (page, room) = match browse.in_order(part) {
            Some(page) => {
                let room = self.budget.list(limit.saturating_mul(ITEM)).await?;
                (
                    page.await.map_err(|error| Problem::reading(error, Code::NameUnknown))?,
                    room,
                )
            }
            None => {
                // All are looked at for each page.
                let (tags, room) = self.all_tags(browse).await?;
                (part.of(tags.iter().map(String::as_str)), room)
            }
        };
        let text = json!({ "name": name, "tags": page.items }).to_string();
        let response = listed(&self.budget, room, text).await?;
        Ok(linked(response, &format!("/v2/{name}/tags/list"), limit, &page))
    }

    /// All names that are tags, in byte order, and the room that they have. A layout has others too, by which no registry's client could ask.
    async fn all_tags(&self, browse: &dyn Browse) -> Result<(Vec<String>, Room), Problem> {
        let most = self.settings.limits.listed;
        let mut room = Room::default();
        let mut tags = Vec::new();
        let mut from = None;
        loop {
            let page = browse.names(from.as_deref()).await;
            let page = page.map_err(|error| Problem::reading(error, Code::NameUnknown))?;
            let names = page.items.into_iter().filter_map(|named| named.name);
            tags.extend(names.filter(|name| name.parse::<Tag>().is_ok()));
            if tags.len() > most {
                let message = format!("the repository has more tags than the {most} that are listed");
                return Err(Problem::new(
                    StatusCode::INSUFFICIENT_STORAGE,
                    Code::Unsupported,
                    message,
                ));
            }
            self.budget.grow(&mut room, tags.len().saturating_mul(ITEM)).await?;
            match page.next {
                Some(next) => from = Some(next),
                None => break,
            }
        }
        tags.sort_unstable();
        tags.dedup();
        Ok((tags, room))
    }

    /// How many items a page has: as many as a client asks for, and never more than the limit.
    pub(crate) fn limit(&self, asked: &Asked) -> Result<usize, Problem> {
        let most = self.settings.limits.page;
        let Some(wanted) = asked.query.get("n") else {
            return Ok(most);
        };
        let is_number = !wanted.is_empty() && wanted.bytes().all(|byte| byte.is_ascii_digit());
        match is_number {
            // What no number holds is more than the limit.
            true => Ok(wanted.parse().map_or(most, |wanted: usize| wanted.min(most))),
            false => Err(Problem::bad(
                Code::NumberInvalid,
                "n must be a number that is not negative",
            )),
        }
    }
}

/// Says where the list goes on.
fn linked(mut response: Response<Body>, path: &str, limit: usize, page: &Page<String>) -> Response<Body> {
    if let Some(next) = &page.next {
        link(&mut response, &format!("{path}?n={limit}&last={}", encoded(next)));
    }
    response
}

/// Says which page is the next (RFC 8288).
pub(crate) fn link(response: &mut Response<Body>, target: &str) {
    if let Ok(value) = HeaderValue::from_str(&format!("<{target}>; rel=\"next\"")) {
        response.headers_mut().insert(header::LINK, value);
    }
}

fn browse(store: &dyn Store) -> Result<&dyn Browse, Problem> {
    store.browse().ok_or_else(|| {
        Problem::new(
            StatusCode::NOT_IMPLEMENTED,
            Code::Unsupported,
            "this place lists no tags",
        )
    })
}
