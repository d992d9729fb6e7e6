//! What is asked of a registry? One request, before it is known where redirects lead it.

use bytes::Bytes;
use reqwest::{
    Method,
    header::{ACCEPT, HeaderMap, HeaderName, HeaderValue},
};
use url::Url;

/// All that is a manifest to us, and at the end anything, as artifacts' registries have manifests of other types. Without a type a registry
/// may convert to schema 1, or say that there is nothing.
const MANIFESTS: &str = "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, \
    application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.docker.distribution.manifest.v2+json, */*;q=0.1";

/// A request, before it is known where redirects lead it.
#[derive(Clone)]
pub(super) struct Call {
    pub(super) method: Method,
    pub(super) url: Url,
    pub(super) headers: HeaderMap,
    /// Sent again with every redirect and repetition.
    pub(super) body: Option<Bytes>,
    /// Whether redirects are followed.
    pub(super) follow: bool,
    /// Whether it may be sent again after it may have arrived.
    pub(super) repeat: bool,
}

impl Call {
    pub(super) fn new(method: Method, url: Url) -> Self {
        Self {
            method,
            url,
            headers: HeaderMap::new(),
            body: None,
            follow: true,
            repeat: true,
        }
    }

    /// The same, to be refused where it is redirected.
    pub(super) fn stay(mut self) -> Self {
        self.follow = false;
        self
    }

    /// The same, to be sent once: to do it twice is not what doing it once is.
    pub(super) fn once(mut self) -> Self {
        self.repeat = false;
        self
    }

    pub(super) fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }

    pub(super) fn body(mut self, body: Bytes) -> Self {
        self.body = Some(body);
        self
    }

    /// The same, for manifests of any kind.
    pub(super) fn accepting_manifests(self) -> Self {
        self.header(ACCEPT, HeaderValue::from_static(MANIFESTS))
    }
}
