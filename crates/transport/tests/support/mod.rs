//! What the tests of registries stand on.

#![allow(dead_code, reason = "each test uses a part of it")]
#![allow(clippy::print_stderr, reason = "a test that is passed over says so")]

pub(crate) mod fake;
pub(crate) mod http2;
pub(crate) mod peer;
pub(crate) mod places;
pub(crate) mod room;
pub(crate) mod scripted;
pub(crate) mod tls;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use teu_spec::{Descriptor, Digest, Document, Format, Manifest, MediaType};
use teu_store::{Expect, Expected, Ingest, Result, Target};
use teu_transport::remote::{Access, Client, PlainHttp, Repository, Retry, Settings, Timeouts};

/// Settings that repeat thrice, at once.
pub(crate) fn settings() -> Settings {
    Settings {
        retry: Retry {
            times: 3,
            delay: Duration::from_millis(1),
            longest: Duration::from_millis(20),
        },
        timeouts: Timeouts {
            idle: Duration::from_millis(500),
            ..Timeouts::default()
        },
        ..Settings::default()
    }
}

/// Access over plain HTTP.
pub(crate) fn plain() -> Access {
    Access {
        plain_http: PlainHttp::Always,
        ..Access::default()
    }
}

/// A repository of a registry at `host`.
pub(crate) fn repository(host: &str, path: &str) -> Repository {
    repository_with(host, path, settings(), plain())
}

pub(crate) fn repository_with(host: &str, path: &str, settings: Settings, access: Access) -> Repository {
    let registry = Client::new(settings).registry(host, access).expect("a registry");
    registry.repository(path).expect("a repository")
}

/// Bytes that differ by their place, so that a wrong offset shows.
pub(crate) fn content(size: usize) -> Bytes {
    (0..size)
        .map(|place| (place ^ (place >> 8) ^ (place >> 16)) as u8)
        .collect()
}

/// Writes a blob in chunks of `chunk` bytes.
pub(crate) async fn push(target: &dyn Target, expected: Expected, content: &Bytes, chunk: usize) -> Result<Digest> {
    let mut ingest: Box<dyn Ingest> = target.ingest(expected).await?;
    for start in (0..content.len()).step_by(chunk) {
        ingest
            .write(content.slice(start..content.len().min(start + chunk)))
            .await?;
    }
    Ok(ingest.commit(None).await?.digest)
}

/// An image of one layer, and its blobs.
pub(crate) fn image(layer: &Bytes) -> (Document, [(Descriptor, Bytes); 2]) {
    let config =
        Bytes::from_static(br#"{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}"#);
    let layer_descriptor = Descriptor::of(MediaType::OciLayer, layer);
    let config_descriptor = Descriptor::of(MediaType::OciConfig, &config);
    let document = Manifest::build(Format::Oci, &config_descriptor, std::slice::from_ref(&layer_descriptor));
    (
        document.expect("a manifest"),
        [(config_descriptor, config), (layer_descriptor, layer.clone())],
    )
}

/// Pushes an image under names.
pub(crate) async fn push_image(target: &dyn Target, layer: &Bytes, names: &[&str]) -> Descriptor {
    let (document, blobs) = image(layer);
    for (descriptor, content) in blobs {
        push(target, Expected::verified(&descriptor), &content, 100_000)
            .await
            .expect("pushed");
    }
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let digest = Digest::of(document.raw());
    target
        .put_manifest(&document, &digest, &names, Expect::Any)
        .await
        .expect("put")
}

/// The registry that a server's handler answers for.
pub(crate) fn fake(habits: fake::Habits) -> Arc<fake::Fake> {
    Arc::new(fake::Fake::new(habits))
}
