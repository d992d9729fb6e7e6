//! Where does a list go on? The header `Link` (RFC 8288) with `rel="next"`, held to the registry that sent it (threats 73 to 75).

use std::hash::{DefaultHasher, Hash, Hasher};

use teu_store::{Error, ErrorKind, Result};
use url::Url;

use super::{
    answer::Answer,
    origin::{self, Origin},
};

/// The most pages of one list.
const MAX_PAGES: u64 = 100_000;
/// The longest link, in bytes.
const MAX_LINK: usize = 8 << 10;

/// A place in a list, and what is needed to notice that the list goes in circles.
///
/// Brent's way: the link of one page is remembered, and is replaced whenever the number of pages is a power of two; a link that comes again
/// is a circle, wherever it began.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cursor {
    /// Path and query.
    target: String,
    pages: u64,
    remembered: u64,
}

impl Cursor {
    pub(super) fn first(target: &str) -> Self {
        Self {
            target: target.to_owned(),
            pages: 0,
            remembered: fingerprint(target),
        }
    }

    /// Reads what [`Self::next`] gave.
    pub(super) fn read(text: &str) -> Result<Self> {
        let parts = text.splitn(3, ' ').collect::<Vec<&str>>();
        let cursor = match parts[..] {
            [pages, remembered, target] if target.starts_with('/') => pages
                .parse()
                .ok()
                .zip(u64::from_str_radix(remembered, 16).ok())
                .map(|(pages, remembered)| Self {
                    target: target.to_owned(),
                    pages,
                    remembered,
                }),
            _ => None,
        };
        cursor.ok_or_else(|| Error::new(ErrorKind::Invalid, format!("{text:?} is no place in a list")))
    }

    /// The URL of the page, at the registry of `base`.
    pub(super) fn url(&self, base: &Url) -> Url {
        let mut url = base.clone();
        let (path, query) = match self.target.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (self.target.as_str(), None),
        };
        url.set_path(path);
        url.set_query(query);
        url
    }

    /// Where the list goes on after this page, by its answer.
    pub(super) fn next(&self, answer: &Answer) -> Result<Option<String>> {
        match answer.header("link") {
            Some(header) => self
                .follow(&answer.url, header)
                .map_err(|error| answer.secrets.hide_in(error)),
            None => Ok(None),
        }
    }

    /// The same by the header that came with the page of `asked`.
    pub(super) fn follow(&self, asked: &Url, header: &str) -> Result<Option<String>> {
        let Some(link) = next_link(header)? else {
            return Ok(None);
        };
        let url = origin::join(asked, link, "Link")?;
        if Origin::of(&url) != Origin::of(asked) {
            let message = "the registry's Link to the next page is refused: it leads to another host";
            return Err(Error::new(ErrorKind::Refused, message));
        }
        let target = match url.query() {
            Some(query) => format!("{}?{query}", url.path()),
            None => url.path().to_owned(),
        };
        self.step(target).map(Some)
    }

    fn step(&self, target: String) -> Result<String> {
        let found = fingerprint(&target);
        if found == self.remembered || target == self.target {
            let message = "the registry's list goes in circles: its Link leads to a page that was read";
            return Err(Error::new(ErrorKind::Invalid, message));
        }
        let pages = self.pages + 1;
        if pages >= MAX_PAGES {
            let message = format!("the registry's list has more pages than the limit of {MAX_PAGES}");
            return Err(Error::new(ErrorKind::TooLarge, message));
        }
        let remembered = if pages.is_power_of_two() {
            found
        } else {
            self.remembered
        };
        Ok(format!("{pages} {remembered:x} {target}"))
    }
}

fn fingerprint(target: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    target.hash(&mut hasher);
    hasher.finish()
}

/// The target of `<…>; rel="next"`, if there is one.
fn next_link(header: &str) -> Result<Option<&str>> {
    if header.len() > MAX_LINK {
        let message = format!("the registry's Link is longer than the limit of {MAX_LINK} bytes");
        return Err(Error::new(ErrorKind::Invalid, message));
    }
    let mut rest = header;
    while let Some(start) = rest.find('<') {
        let Some(length) = rest[start..].find('>') else {
            break;
        };
        let target = &rest[start + 1..start + length];
        rest = &rest[start + length + 1..];
        let parameters = &rest[..rest.find('<').unwrap_or(rest.len())];
        let is_next = parameters
            .split([';', ','])
            .filter_map(|one| one.split_once('='))
            .any(|(name, value)| {
                name.trim().eq_ignore_ascii_case("rel") && value.trim().trim_matches('"').eq_ignore_ascii_case("next")
            });
        if is_next {
            return Ok(Some(target));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links() {
        let cases = [
            (
                r#"</v2/a/tags/list?n=2&last=b>; rel="next""#,
                Some("/v2/a/tags/list?n=2&last=b"),
            ),
            (r#"<a>; rel=prev, <b>; title="x"; rel=next"#, Some("b")),
            (r#"<a>; rel="prev""#, None),
            ("<a", None),
            ("", None),
        ];
        for (header, target) in cases {
            assert_eq!(next_link(header).unwrap(), target, "{header}");
        }
        assert!(next_link(&"x".repeat(MAX_LINK + 1)).is_err());
    }

    #[test]
    fn circles_are_noticed_wherever_they_begin() {
        // Pages 0, 1, … up to 20, and then 7 again.
        let follow = |page: u64| if page == 20 { 7 } else { page + 1 };
        let mut cursor = Cursor::first("/0");
        let mut page = 0;
        for steps in 0.. {
            assert!(steps < 100, "the circle was not noticed");
            page = follow(page);
            match cursor.step(format!("/{page}")) {
                Ok(next) => cursor = Cursor::read(&next).unwrap(),
                Err(error) => {
                    assert!(error.to_string().contains("goes in circles"), "{error}");
                    break;
                }
            }
        }
    }
}
