//! Is Docker's schema 1 refused by its name, whatever a registry says of it? It calls a signed manifest by the digest of what was signed, which is not that of
//! the bytes that it serves.

#![cfg(feature = "remote")]

use std::sync::Arc;

use teu_spec::{Digest, MediaType, Pick};
use teu_store::{Error, ErrorKind, Memory, Side, Source, SourceExt, copy, silent};

use crate::support::{
    content, push_image, repository,
    scripted::{Reply, Scripted},
};

const REFUSED: &str = "Docker's schema 1 is not supported: it was retired in 2020; push the image again with a current tool and copy that";

/// What was signed.
const PAYLOAD: &str = r#"{"schemaVersion":1,"name":"app","tag":"1","architecture":"amd64","fsLayers":[],"history":[]}"#;

fn signed() -> String {
    PAYLOAD.replace("}", r#","signatures":[{"signature":"c2lnbmVk","protected":"e30"}]}"#)
}

/// A registry whose `app:1` is of schema 1, announced as `media_type`. Some answer HEAD, and some do not.
async fn registry(media_type: &'static str, has_head: bool) -> (Scripted, Digest) {
    let body = match media_type == MediaType::DockerManifestV1.as_str() {
        true => PAYLOAD.to_owned(),
        false => signed(),
    };
    let digest = Digest::of(PAYLOAD.as_bytes());
    let paths = ["1".to_owned(), digest.to_string()].map(|name| format!("/v2/app/manifests/{name}"));
    let server = Scripted::start(move |seen| match paths.iter().any(|path| path == seen.path()) {
        true if seen.method == "HEAD" && !has_head => Reply::new(405),
        true => Reply::new(200)
            .header("Content-Type", media_type)
            .header("Docker-Content-Digest", digest)
            .header("Content-Length", body.len())
            .body(body.clone()),
        false => Reply::new(404),
    });
    (server.await, digest)
}

/// Nothing else that such bytes say is believed.
#[tokio::test]
async fn what_has_another_digest_is_that_whatever_it_says_that_it_is() {
    const BODY: &str = r#"{"schemaVersion":2,"mediaType":"application/x"}"#;
    let digest = Digest::of(PAYLOAD.as_bytes());
    let server = Scripted::start(move |_| {
        let reply = Reply::new(200).header("Content-Type", "application/x");
        reply.header("Docker-Content-Digest", digest).body(BODY)
    })
    .await;
    let source = repository(&server.host, "app");
    for pick in [Pick::Name("1".to_owned()), Pick::Digest(digest)] {
        let error = source.resolve_document(&pick).await.expect_err("another digest");
        assert_eq!(error.kind(), &ErrorKind::Mismatch, "{error}");
    }
}

fn assert_refused(error: &Error, at: &str) {
    assert_eq!(error.kind(), &ErrorKind::Unsupported, "{at}: {error}");
    assert_eq!(error.to_string(), format!("{at}: {REFUSED}"));
}

#[tokio::test]
async fn by_tag_and_by_digest_it_is_refused_by_its_name() {
    for (media_type, has_head) in [
        ("application/vnd.docker.distribution.manifest.v1+prettyjws", true),
        ("application/vnd.docker.distribution.manifest.v1+prettyjws", false),
        ("application/vnd.docker.distribution.manifest.v1+json", true),
        ("application/vnd.docker.distribution.manifest.v1+json", false),
        ("application/json", true),
        ("application/json; charset=utf-8", false),
    ] {
        let (server, digest) = registry(media_type, has_head).await;
        let source = Arc::new(repository(&server.host, "app"));
        let (tag, pinned) = (Pick::Name("1".to_owned()), Pick::Digest(digest));
        for (pick, at) in [(&tag, format!("{source}:1")), (&pinned, format!("{source}@{digest}"))] {
            let error = source.resolve_document(pick).await.expect_err("schema 1");
            assert_refused(&error, &at);
            // Into what has nothing, it comes at once.
            let target = Arc::new(Memory::new());
            let names = ["1".to_owned()];
            let options = copy::Options::default();
            let error = copy::copy(source.clone(), pick, target.clone(), &names, &options, &silent())
                .await
                .expect_err("schema 1");
            assert_eq!(error.side(), Some(Side::Source));
            let said = error.to_string();
            assert!(said.starts_with("source: finding image "), "{said}");
            assert!(said.ends_with(&format!("{at}: {REFUSED}")), "{said}");
            // Where the name points at another image, it is found by its digest first, which some registries tell with a type.
            push_image(&*target, &content(10), &["1"]).await;
            let error = copy::copy(source.clone(), pick, target.clone(), &names, &options, &silent())
                .await
                .expect_err("schema 1");
            assert_eq!(
                (error.kind(), error.side()),
                (&ErrorKind::Unsupported, Some(Side::Source))
            );
            assert!(error.to_string().ends_with(REFUSED), "{error}");
        }
    }
}

#[tokio::test]
async fn what_is_called_so_is_not_asked_for() {
    let (server, digest) = registry("application/vnd.docker.distribution.manifest.v1+prettyjws", true).await;
    let source = repository(&server.host, "app");
    let found = source.resolve(&Pick::Name("1".to_owned())).await.expect("its digest");
    assert_eq!(
        (found.digest, &found.media_type),
        (digest, &MediaType::DockerManifestV1Signed)
    );
    let error = source.document(&found).await.expect_err("schema 1");
    assert_refused(&error, &format!("reading manifest {digest}"));
    assert_eq!(server.lines(), ["HEAD /v2/app/manifests/1"]);
}
