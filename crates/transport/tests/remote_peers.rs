//! Do we understand real registries and their real clients? Debian's docker-registry and skopeo.

#![cfg(feature = "remote")]
#![expect(clippy::print_stderr, reason = "a test that is passed over says so")]

use std::{process::Command, sync::Arc};

use crate::support::peer::{Asks, Peer, has, output};
use bytes::Bytes;
use teu_spec::{Descriptor, Digest, Format, Manifest, MediaType, Pick};
use teu_store::{
    BoxFuture, Browse, ErrorKind, Expect, Expected, Mount, Result, Role, Source, SourceExt, Target,
    suite::{Can, Place},
};
use teu_transport::remote::{
    Access, Client, Credential, PlainHttp, Repository, Retry, Settings, Tls,
    pki_types::{CertificateDer, pem::PemObject},
};

fn client() -> Client {
    Client::new(Settings {
        retry: Retry {
            times: 0,
            ..Retry::default()
        },
        ..Settings::default()
    })
}

fn repository(peer: &Peer, path: &str, access: Access) -> Repository {
    let registry = client().registry(&peer.host, access).expect("a registry");
    registry.repository(path).expect("a repository")
}

fn plain() -> Access {
    Access {
        plain_http: PlainHttp::Fallback,
        ..Access::default()
    }
}

struct Here(Peer);

impl Place for Here {
    fn target(&self) -> BoxFuture<'_, Result<Arc<dyn Target>>> {
        let target: Arc<dyn Target> = Arc::new(repository(&self.0, "suite/image", plain()));
        Box::pin(std::future::ready(Ok(target)))
    }

    fn source(&self) -> BoxFuture<'_, Result<Arc<dyn Source>>> {
        let source: Arc<dyn Source> = Arc::new(repository(&self.0, "suite/image", plain()));
        Box::pin(std::future::ready(Ok(source)))
    }

    fn can(&self) -> Can {
        Can {
            hold_unnamed: false,
            // It serves manifests as blobs, too.
            tell_roles: false,
            other_algorithms: false,
            ..Can::EVERYTHING
        }
    }
}

mod suite {
    use super::*;

    fn here() -> Here {
        Here(Peer::start("the suite", Asks::default()).expect("docker-registry"))
    }

    teu_store::store_suite!(here);
}

/// Puts an image of one layer of `size` bytes.
async fn put(target: &Repository, size: usize, names: &[&str]) -> Descriptor {
    let layer = Bytes::from(vec![7_u8; size]);
    let config = Bytes::from_static(br#"{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":["sha256:0000000000000000000000000000000000000000000000000000000000000000"]}}"#);
    let layer_descriptor = Descriptor::of(MediaType::OciLayer, &layer);
    let config_descriptor = Descriptor::of(MediaType::OciConfig, &config);
    for (descriptor, content) in [(&layer_descriptor, layer), (&config_descriptor, config)] {
        let mut ingest = target.ingest(Expected::verified(descriptor)).await.expect("begun");
        for chunk in content.chunks(100_000) {
            ingest.write(Bytes::copy_from_slice(chunk)).await.expect("written");
        }
        ingest.commit(None).await.expect("committed");
    }
    let document = Manifest::build(Format::Oci, &config_descriptor, &[layer_descriptor]).expect("a manifest");
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let digest = Digest::of(document.raw());
    target
        .put_manifest(&document, &digest, &names, Expect::Any)
        .await
        .expect("put")
}

#[tokio::test(flavor = "multi_thread")]
async fn skopeo_reads_what_we_push_and_we_read_what_it_pushes() {
    let test = "skopeo_reads_what_we_push_and_we_read_what_it_pushes";
    let Some(peer) = Peer::start(test, Asks::default()) else {
        return;
    };
    if !has("skopeo") {
        return eprintln!("SKIPPED {test}: skopeo is missing");
    }
    let target = repository(&peer, "ours", plain());
    let pushed = put(&target, 3_000_000, &["one", "two"]).await;
    target.finish().await.expect("finished");
    let host = &peer.host;
    output(Command::new("skopeo").args([
        "--insecure-policy",
        "copy",
        "--src-tls-verify=false",
        "--dest-tls-verify=false",
        "--preserve-digests",
        &format!("docker://{host}/ours:two"),
        &format!("docker://{host}/theirs:copied"),
    ]));
    let source = repository(&peer, "theirs", plain());
    let found = source
        .resolve(&Pick::Name("copied".to_owned()))
        .await
        .expect("resolved");
    assert_eq!(found, pushed);
    let document = source.document(&found).await.expect("read");
    for child in document.children() {
        let content = source
            .open(Role::Blob, &child)
            .await
            .expect("opened")
            .read_all(1 << 30)
            .await;
        assert_eq!(content.expect("read").len() as u64, child.size);
    }
    let names = target.names(None).await.expect("listed");
    let names: Vec<_> = names.items.into_iter().filter_map(|named| named.name).collect();
    assert_eq!(names, ["one", "two"]);
    assert_eq!(
        source.registry().catalog(None).await.expect("listed").items,
        ["ours", "theirs"]
    );
    // A mount crosses no byte.
    let mounted = repository(&peer, "mounted", plain());
    for child in document.children() {
        assert!(Mount::mount(&mounted, "ours", &child.digest).await.expect("mounted"));
    }
    assert!(
        !Mount::mount(&mounted, "ours", &Digest::of(b"what nobody has"))
            .await
            .expect("declined")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn passwords_and_tls_are_spoken() {
    let asks = Asks {
        password: true,
        tls: true,
    };
    let Some(peer) = Peer::start("passwords_and_tls_are_spoken", asks) else {
        return;
    };
    let access = |password: &str, trusts: bool| {
        let authority = CertificateDer::from_pem_file(peer.authority()).expect("a certificate");
        Access {
            tls: Tls {
                roots: trusts.then_some(authority).into_iter().collect(),
                ..Tls::default()
            },
            credentials: Some(Arc::new(Credential::Basic {
                username: "user".to_owned(),
                password: password.to_owned(),
            })),
            ..Access::default()
        }
    };
    let target = repository(&peer, "private/image", access("secret", true));
    target.registry().ping().await.expect("known");
    let pushed = put(&target, 1000, &["1"]).await;
    let found = target.resolve(&Pick::Name("1".to_owned())).await.expect("resolved");
    assert_eq!(found, pushed);
    let wrong = repository(&peer, "private/image", access("guess", true));
    let error = wrong.registry().ping().await.expect_err("a wrong password");
    assert_eq!(error.kind(), &ErrorKind::Unauthenticated, "{error}");
    assert!(
        error.to_string().contains(&format!("`teu login {}`", peer.host)),
        "{error}"
    );
    let stranger = repository(&peer, "private/image", access("secret", false));
    let error = stranger.registry().ping().await.expect_err("a stranger's certificate");
    assert_eq!(error.kind(), &ErrorKind::Io, "{error}");
    assert!(
        error.to_string().contains("nobody trusted vouches for its certificate"),
        "{error}"
    );
    // Its certificate is an authority's, so that it counts for the names in it and for no others.
    let elsewhere = peer.host.replace("127.0.0.1", "localhost");
    let elsewhere = client()
        .registry(&elsewhere, access("secret", true))
        .expect("a registry");
    let error = elsewhere.ping().await.expect_err("another name");
    assert!(error.to_string().contains("certificate not valid for name"), "{error}");
    let trusting = repository(
        &peer,
        "private/image",
        Access {
            tls: Tls {
                skip_verify: true,
                ..Tls::default()
            },
            ..access("secret", false)
        },
    );
    assert_eq!(
        trusting.resolve(&Pick::Name("1".to_owned())).await.expect("resolved"),
        pushed
    );
}
