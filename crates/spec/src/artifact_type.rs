//! What kind of artifact is a manifest said to be? [`ArtifactType`], a media type as registries take it. What a document says already is text.

use std::{fmt, str::FromStr};

use crate::Error;

/// The longest name of either part of a media type, in bytes (RFC 6838, section 4.2).
const NAME_BYTES: usize = 127;

/// An artifact type that can be given to a manifest: a media type of RFC 6838, section 4.2, as image-spec wants it (manifest.md).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArtifactType(String);

impl ArtifactType {
    /// The text as it stands in a manifest.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ArtifactType {
    type Err = Error;

    /// # Errors
    /// [`Error::Document`] for what is no media type.
    fn from_str(text: &str) -> Result<Self, Error> {
        let is_type = text
            .split_once('/')
            .is_some_and(|(kind, rest)| is_name(kind) && is_name(rest));
        match is_type {
            true => Ok(Self(text.to_owned())),
            false => Err(Error::document(
                "artifact type",
                "a media type is written application/vnd.example.sbom.v1+json",
            )),
        }
    }
}

impl fmt::Display for ArtifactType {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

fn is_name(name: &str) -> bool {
    let known = |c: char| c.is_ascii_alphanumeric() || "!#$&-^_.+".contains(c);
    (1..=NAME_BYTES).contains(&name.len())
        && name.starts_with(|first: char| first.is_ascii_alphanumeric())
        && name.chars().all(known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_media_type_is_taken_and_nothing_else() {
        let long = format!("a/{}", "b".repeat(128));
        for text in ["a/b", "application/vnd.example.v1+json", &long[..129]] {
            assert_eq!(text.parse::<ArtifactType>().expect(text).as_str(), text);
        }
        for text in ["", "foo", "/b", "a/", "a/b/c", "a/b; c=d", "+a/b", "a b/c", &long] {
            let error = text.parse::<ArtifactType>().expect_err(text);
            assert_eq!(
                error.to_string(),
                "not a valid artifact type: a media type is written application/vnd.example.sbom.v1+json"
            );
        }
    }
}
