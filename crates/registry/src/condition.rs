//! Does what a client knows still hold? `If-Match` and `If-None-Match` (RFC 9110, 13.1). A tag of content is its digest in quotes.

use http::{HeaderMap, HeaderName, header};
use teu_spec::Digest;
use teu_store::Expect;

/// What of a condition holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Holds {
    /// There is none, or it does.
    Yes,
    /// The client has this already: 304.
    Unchanged,
    /// It believed something else: 412.
    No,
}

/// The tag of content.
pub(crate) fn tag(digest: &Digest) -> String {
    format!("\"{digest}\"")
}

/// Whether what is asked of content when it is read holds.
pub(crate) fn reading(headers: &HeaderMap, digest: &Digest) -> Holds {
    if headers.contains_key(header::IF_MATCH) && !names(headers, &header::IF_MATCH, digest) {
        return Holds::No;
    }
    match names(headers, &header::IF_NONE_MATCH, digest) {
        true => Holds::Unchanged,
        false => Holds::Yes,
    }
}

/// Whether a range is asked for of this very content: `If-Range`.
pub(crate) fn range(headers: &HeaderMap, digest: &Digest) -> bool {
    !headers.contains_key(header::IF_RANGE) || names(headers, &header::IF_RANGE, digest)
}

/// Whether something is asked of what is there before it is changed.
pub(crate) fn is_there(headers: &HeaderMap) -> bool {
    headers.contains_key(header::IF_MATCH) || headers.contains_key(header::IF_NONE_MATCH)
}

/// Whether what is asked of content holds before it is put or deleted by its digest, under which it is here or not. Under a digest nothing else can come meanwhile.
pub(crate) fn changing(headers: &HeaderMap, digest: &Digest, is_here: bool) -> bool {
    let is_this = |name| is_here && names(headers, name, digest);
    let matches = !headers.contains_key(header::IF_MATCH) || is_this(&header::IF_MATCH);
    matches && !is_this(&header::IF_NONE_MATCH)
}

/// What must hold of a tag that is about to be set or deleted.
///
/// # Errors
/// What is asked in a form that no tag is held to, and which form is.
pub(crate) fn of_tag(headers: &HeaderMap) -> Result<Expect, String> {
    let one = |name: &HeaderName| {
        let mut values = headers.get_all(name).iter();
        let (Some(value), None) = (values.next(), values.next()) else {
            return None;
        };
        Some(value.to_str().ok()?.trim().trim_matches('"').to_owned())
    };
    if headers.contains_key(header::IF_NONE_MATCH) && headers.contains_key(header::IF_MATCH) {
        return Err("a tag is changed under If-Match or If-None-Match, and not both".to_owned());
    }
    if headers.contains_key(header::IF_NONE_MATCH) {
        return match one(&header::IF_NONE_MATCH).as_deref() {
            Some("*") => Ok(Expect::Absent),
            _ => Err("If-None-Match of a tag can only be *".to_owned()),
        };
    }
    if !headers.contains_key(header::IF_MATCH) {
        return Ok(Expect::Any);
    }
    let wanted = one(&header::IF_MATCH);
    if wanted.as_deref() == Some("*") {
        return Ok(Expect::Present);
    }
    wanted
        .and_then(|digest| digest.parse().ok())
        .map(Expect::Digest)
        .ok_or_else(|| "If-Match of a tag must be * or one digest in quotes".to_owned())
}

fn names(headers: &HeaderMap, name: &HeaderName, digest: &Digest) -> bool {
    let digest = digest.to_string();
    let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    values
        .flat_map(|value| value.split(','))
        .map(|value| value.trim().trim_start_matches("W/"))
        // Old clients of Docker's registry leave out the quotes.
        .any(|value| value == "*" || value.trim_matches('"') == digest)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn headers(name: HeaderName, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_str(value).expect("a value"))])
    }

    #[test]
    fn conditions_are_held_to_the_digest() {
        let digest = Digest::of(b"this");
        let (this, other) = (tag(&digest), tag(&Digest::of(b"other")));
        for (name, value, expected) in [
            (header::IF_NONE_MATCH, this.clone(), Holds::Unchanged),
            (header::IF_NONE_MATCH, format!("{other}, W/{this}"), Holds::Unchanged),
            (header::IF_NONE_MATCH, digest.to_string(), Holds::Unchanged),
            (header::IF_NONE_MATCH, "*".to_owned(), Holds::Unchanged),
            (header::IF_NONE_MATCH, other.clone(), Holds::Yes),
            (header::IF_MATCH, this.clone(), Holds::Yes),
            (header::IF_MATCH, "*".to_owned(), Holds::Yes),
            (header::IF_MATCH, other.clone(), Holds::No),
            (header::ACCEPT, other.clone(), Holds::Yes),
        ] {
            assert_eq!(
                reading(&headers(name.clone(), &value), &digest),
                expected,
                "{name}: {value}"
            );
        }
        assert!(range(&HeaderMap::new(), &digest));
        assert!(range(&headers(header::IF_RANGE, &this), &digest));
        assert!(!range(&headers(header::IF_RANGE, &other), &digest));
        for (name, value, expected) in [
            (header::IF_NONE_MATCH, "*", Some(Expect::Absent)),
            (header::IF_NONE_MATCH, this.as_str(), None),
            (header::IF_MATCH, this.as_str(), Some(Expect::Digest(digest))),
            (header::IF_MATCH, "*", Some(Expect::Present)),
            (header::IF_MATCH, "\"other\"", None),
            (header::ACCEPT, "*", Some(Expect::Any)),
        ] {
            assert_eq!(of_tag(&headers(name.clone(), value)).ok(), expected, "{name}: {value}");
        }
        let mut both = headers(header::IF_MATCH, &this);
        both.insert(header::IF_NONE_MATCH, HeaderValue::from_static("*"));
        let mut two = headers(header::IF_MATCH, &this);
        two.append(header::IF_MATCH, HeaderValue::from_str(&other).expect("a value"));
        assert!(of_tag(&both).is_err() && of_tag(&two).is_err());
        for (name, value, here, absent) in [
            (header::IF_MATCH, this.clone(), true, false),
            (header::IF_MATCH, format!("{other}, {this}"), true, false),
            (header::IF_MATCH, "*".to_owned(), true, false),
            (header::IF_MATCH, other.clone(), false, false),
            (header::IF_NONE_MATCH, this.clone(), false, true),
            (header::IF_NONE_MATCH, "*".to_owned(), false, true),
            (header::IF_NONE_MATCH, other.clone(), true, true),
            (header::ACCEPT, other.clone(), true, true),
        ] {
            let headers = headers(name.clone(), &value);
            let found = [true, false].map(|is_here| changing(&headers, &digest, is_here));
            assert_eq!(found, [here, absent], "{name}: {value}");
        }
    }
}
