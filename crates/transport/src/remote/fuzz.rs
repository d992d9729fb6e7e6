//! What do the private parsers make of bytes that nobody vouches for? For fuzz targets alone, and no part of what this crate promises.

use std::sync::Arc;

use teu_spec::Digest;
use teu_store::Error;
use tokio::time::Instant;
use url::Url;

use super::{
    auth::TokenAnswer,
    auth_file::{AuthFile, AuthFormat, Content},
    browse::{self, Tags},
    download::ContentRange,
    failure::Complaint,
    link::Cursor,
    origin::Origin,
    proxy,
    referrers::referrers_tag,
    retry,
    secrets::Secrets,
    settings::Proxies,
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

/// Reads what a registry answers beside content: a complaint with this status, a token, a list of tags, and how long to wait.
///
/// # Panics
/// Where an error would have a terminal obey the registry.
pub fn answer(status: u16, body: &[u8]) {
    told(Complaint::of(status, body, Arc::default()).into_error("registry.test"));
    let token = TokenAnswer::read(body, &Secrets::default()).and_then(|answer| answer.into_token(Instant::now()));
    token.map_or_else(told, drop);
    browse::read::<Tags>(body, "list of tags").map_or_else(told, drop);
    if let Ok(text) = str::from_utf8(body) {
        let _ = retry::asked(text);
        if let Ok(digest) = text.parse::<Digest>() {
            referrers_tag(&digest).expect("a tag of every digest");
        }
    }
}

/// Reads `HTTP_PROXY`, in the first line, and `NO_PROXY`, and asks what they say of a few hosts.
pub fn proxies(text: &str) {
    let (proxy, none_for) = text.split_once('\n').unwrap_or((text, text));
    let proxies = Proxies {
        http: Some(proxy.to_owned()),
        https: None,
        none_for: none_for.to_owned(),
    };
    let _ = proxy::of(&proxies);
    proxy::hosts(&proxies).for_each(drop);
    for url in [
        "http://registry.test:5000/v2/",
        "http://10.1.2.3/v2/",
        "http://[fd00::1]/v2/",
    ] {
        proxy::excepts(none_for, &Url::parse(url).expect("a URL"));
    }
}

fn told(error: Error) {
    assert!(!error.to_string().contains(char::is_control), "{error:?}");
}
