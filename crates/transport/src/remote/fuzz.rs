//! What do the private parsers make of bytes that nobody vouches for? For fuzz targets alone, and no part of what this crate promises.

use teu_store::Error;
use url::Url;

use super::{
    auth_file::{AuthFile, AuthFormat, Content},
    download::ContentRange,
    link::Cursor,
    origin::Origin,
};

/// Reads `Content-Range`: first byte, the byte behind the last, and the size.
#[must_use]
pub fn content_range(text: &str) -> Option<(u64, u64, Option<u64>)> {
    ContentRange::parse(text).map(|range| (range.start, range.end, range.size))
}

/// Follows a `Link` that came with a page of `http://registry.test/v2/app/tags/list`.
///
/// # Panics
/// Where it leads away from the registry.
pub fn link(header: &str) {
    let asked = Url::parse("http://registry.test/v2/app/tags/list").expect("a URL");
    let Ok(Some(next)) = Cursor::first("/v2/app/tags/list").follow(&asked, header) else {
        return;
    };
    let url = Cursor::read(&next).expect("it was just written").url(&asked);
    assert_eq!(Origin::of(&url), Origin::of(&asked), "{next}");
}

/// Reads a file of credentials and looks for a few in it.
///
/// # Panics
/// Where an error would have a terminal obey the file.
pub fn auth_file(raw: &[u8]) {
    let told = |error: Error| assert!(!error.to_string().contains(char::is_control), "{error:?}");
    for format in [AuthFormat::Containers, AuthFormat::Docker, AuthFormat::DockerLegacy] {
        let file = AuthFile::new("auth.json", format);
        match Content::of(&file, raw) {
            Ok(content) => {
                for key in ["docker.io", "docker.io/library/alpine", "registry.test:5000/a/b"] {
                    content.entry(key).map_or_else(told, drop);
                }
            }
            Err(error) => told(error),
        }
    }
}
