//! Do we speak to registries as we should, with no request too many, whatever their habits, and on when the connection breaks?

#![cfg(feature = "remote")]

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

use crate::support::{
    content, fake,
    fake::{Fake, Habits},
    image, plain, push, push_image, repository, repository_with,
    scripted::{Reply, Scripted, Seen},
    settings,
};
use teu_spec::{Algorithm, Descriptor, Digest, MediaType, Pick};
use teu_store::{
    BoxFuture, Browse, Delete, ErrorKind, Event, Expect, Expected, FetchOptions, Intent, Mount, Result, Role, Source,
    SourceExt, Target,
    suite::{Can, Place},
};
use teu_transport::remote::{Access, Credential, Repository, Settings};

async fn serve(fake: &Arc<Fake>) -> Scripted {
    let fake = fake.clone();
    Scripted::start(move |seen| fake.answer(seen)).await
}

fn tag(name: &str) -> Pick {
    Pick::Name(name.to_owned())
}

async fn read(source: &Repository, descriptor: &Descriptor) -> Result<bytes::Bytes> {
    source.open(Role::Blob, descriptor).await?.read_all(1 << 30).await
}

/// The suite, on a registry that has all habits and on one that has none.
struct Here {
    fake: Arc<Fake>,
    server: Scripted,
}

impl Here {
    fn new(habits: Habits) -> Self {
        let fake = fake(habits);
        let start = serve(&fake);
        // The suite makes its places within its runtime.
        let server = tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(start));
        Self { fake, server }
    }
}

impl Place for Here {
    fn target(&self) -> BoxFuture<'_, Result<Arc<dyn Target>>> {
        let target: Arc<dyn Target> = Arc::new(repository(&self.server.host, "suite/image"));
        Box::pin(std::future::ready(Ok(target)))
    }

    fn source(&self) -> BoxFuture<'_, Result<Arc<dyn Source>>> {
        let source: Arc<dyn Source> = Arc::new(repository(&self.server.host, "suite/image"));
        Box::pin(std::future::ready(Ok(source)))
    }

    fn can(&self) -> Can {
        Can {
            hold_unnamed: false,
            ..Can::EVERYTHING
        }
    }

    fn corrupt(&self, digest: &Digest, content: &[u8]) -> bool {
        let mut state = self.fake.state.lock().expect("the state");
        let key = ("suite/image".to_owned(), *digest);
        if let Some((_, manifest)) = state.manifests.get_mut(&key) {
            *manifest = content.to_vec();
        } else {
            state.blobs.insert(key, content.to_vec());
        }
        true
    }
}

mod suite_modern {
    use super::*;

    teu_store::store_suite!(|| Here::new(Habits::default()));
}

mod suite_meagre {
    use super::*;

    teu_store::store_suite!(|| Here::new(Habits {
        referrers: false,
        tag_query: false,
        least_piece: Some(1000),
        ranges: false,
        untags: false,
        page: 2,
        good_head: false,
    }));
}

// On one thread a connection is given back before the next request looks for one.
#[tokio::test]
async fn an_up_to_date_image_costs_one_request_and_a_pull_one_for_each_blob_and_two() {
    let fake = fake(Habits::default());
    let server = serve(&fake).await;
    let (document, blobs) = image(&content(10_000));
    for (_, content) in &blobs {
        fake.blob("app", content);
    }
    let digest = fake.manifest("app", "1", &document);
    let source = repository(&server.host, "app");
    let found = source.resolve(&tag("1")).await.expect("resolved");
    assert_eq!(server.lines(), ["HEAD /v2/app/manifests/1"]);
    let document = source.document(&found).await.expect("read");
    for child in document.children() {
        read(&source, &child).await.expect("read");
    }
    let mut expected = vec![
        "HEAD /v2/app/manifests/1".to_owned(),
        format!("GET /v2/app/manifests/{digest}"),
    ];
    expected.extend(
        blobs
            .iter()
            .map(|(descriptor, _)| format!("GET /v2/app/blobs/{}", descriptor.digest)),
    );
    assert_eq!(server.lines(), expected);
    let connections: Vec<usize> = server.seen().iter().map(|seen| seen.connection).collect();
    assert_eq!(connections, [0; 4], "one connection does for all");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_costs_two_requests_for_each_blob_and_one_for_the_manifest() {
    let fake = fake(Habits::default());
    let server = serve(&fake).await;
    let target = repository(&server.host, "app");
    let pushed = push_image(&target, &content(300_000), &["1"]).await;
    target.finish().await.expect("finished");
    let lines: Vec<String> = server
        .seen()
        .iter()
        .map(|seen| format!("{} {}", seen.method, seen.path()))
        .collect();
    assert_eq!(
        lines,
        [
            "POST /v2/app/blobs/uploads/",
            "PUT /v2/app/blobs/uploads/session-1",
            "POST /v2/app/blobs/uploads/",
            "PUT /v2/app/blobs/uploads/session-2",
            "PUT /v2/app/manifests/1",
        ]
    );
    assert_eq!(server.seen()[3].header("content-length"), Some("300000"));
    // Several names are one more request, where the registry knows how.
    let document = target.document(&pushed).await.expect("read");
    let names = ["2".to_owned(), "3".to_owned()];
    let before = server.lines().len();
    target
        .put_manifest(&document, &pushed.digest, &names, Expect::Any)
        .await
        .expect("put");
    assert_eq!(
        server.lines()[before..],
        [format!("PUT /v2/app/manifests/{}?tag=2&tag=3", pushed.digest)]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn names_are_set_last_and_one_by_one_where_the_registry_knows_no_more() {
    let fake = fake(Habits {
        tag_query: false,
        ..Habits::default()
    });
    let server = serve(&fake).await;
    let target = repository(&server.host, "app");
    let pushed = push_image(&target, &content(10), &["1", "2"]).await;
    let lines = server.lines();
    assert_eq!(
        lines[lines.len() - 3..],
        [
            format!("PUT /v2/app/manifests/{}?tag=1&tag=2", pushed.digest),
            "PUT /v2/app/manifests/1".to_owned(),
            "PUT /v2/app/manifests/2".to_owned(),
        ]
    );
}

/// A server whose answers to GETs of blobs break after so many bytes, the first `times` times.
async fn breaking(fake: &Arc<Fake>, after: usize, times: usize) -> Scripted {
    let (fake, left) = (fake.clone(), AtomicUsize::new(times));
    Scripted::start(move |seen: &Seen| {
        let reply = fake.answer(seen);
        let breaks = seen.method == "GET" && seen.path().contains("/blobs/");
        if breaks && left.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1)).is_ok() {
            return reply.cut(after);
        }
        reply
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_download_goes_on_by_range() {
    for ranges in [true, false] {
        let fake = fake(Habits {
            ranges,
            ..Habits::default()
        });
        let blob = content(1_000_000);
        fake.blob("app", &blob);
        let server = breaking(&fake, 300_000, 2).await;
        let source = repository(&server.host, "app");
        let descriptor = Descriptor::of(MediaType::OciLayer, &blob);
        assert_eq!(read(&source, &descriptor).await.expect("read"), blob);
        let seen = server.seen();
        let asked: Vec<Option<&str>> = seen.iter().map(|seen| seen.header("range")).collect();
        if ranges {
            assert_eq!(asked, [None, Some("bytes=300000-"), Some("bytes=600000-")]);
            let etag = format!("\"{}\"", descriptor.digest);
            assert_eq!(seen[1].header("if-range"), Some(etag.as_str()));
        } else {
            // What comes from the beginning again is passed over, and so the second break gave nothing new.
            assert_eq!(asked, [None, Some("bytes=300000-"), Some("bytes=300000-")]);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_download_that_breaks_again_and_again_is_given_up() {
    let fake = fake(Habits::default());
    let blob = content(100_000);
    fake.blob("app", &blob);
    let server = breaking(&fake, 10, usize::MAX).await;
    let source = repository(&server.host, "app");
    let error = read(&source, &Descriptor::of(MediaType::OciLayer, &blob))
        .await
        .expect_err("broken");
    assert_eq!(error.kind(), &ErrorKind::Io, "{error}");
    assert_eq!(server.lines().len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn ranges_are_asked_for_and_checked() {
    let fake = fake(Habits::default());
    let blob = content(1000);
    let digest = fake.blob("app", &blob);
    let server = serve(&fake).await;
    let source = repository(&server.host, "app");
    let range = |range| FetchOptions {
        range: Some(range),
        ..FetchOptions::default()
    };
    let fetched = source
        .fetch(Role::Blob, &digest, range(100..200))
        .await
        .expect("fetched");
    assert_eq!((fetched.size, fetched.start), (Some(1000), 100));
    let error = source
        .fetch(Role::Blob, &digest, range(1000..1001))
        .await
        .err()
        .expect("past the end");
    assert_eq!(error.kind(), &ErrorKind::Range);
    assert_eq!(server.seen()[0].header("range"), Some("bytes=100-199"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mount_that_is_declined_is_the_upload_that_follows() {
    let fake = fake(Habits::default());
    let blob = content(100);
    let digest = fake.blob("there", &blob);
    let server = serve(&fake).await;
    let target = repository(&server.host, "here");
    assert!(Mount::mount(&target, "there", &digest).await.expect("mounted"));
    let other = content(200);
    let descriptor = Descriptor::of(MediaType::OciLayer, &other);
    assert!(
        !Mount::mount(&target, "there", &descriptor.digest)
            .await
            .expect("declined")
    );
    push(&target, Expected::verified(&descriptor), &other, 1000)
        .await
        .expect("pushed");
    assert!(
        !Mount::mount(&target, "", &Digest::of(b"nowhere"))
            .await
            .expect("declined")
    );
    target.finish().await.expect("finished");
    let nowhere = Digest::of(b"nowhere");
    assert_eq!(
        server.lines(),
        [
            format!("POST /v2/here/blobs/uploads/?mount={digest}&from=there"),
            format!("POST /v2/here/blobs/uploads/?mount={}&from=there", descriptor.digest),
            format!(
                "PUT /v2/here/blobs/uploads/session-1?state=0&digest=sha256%3A{}",
                descriptor.digest.hex()
            ),
            format!("POST /v2/here/blobs/uploads/?mount={nowhere}"),
            "DELETE /v2/here/blobs/uploads/session-2?state=0".to_owned(),
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_digest_of_another_algorithm_is_pushed_by_name() {
    let fake = fake(Habits::default());
    let server = serve(&fake).await;
    let target = repository(&server.host, "app");
    let (document, blobs) = image(&content(10));
    for (descriptor, content) in &blobs {
        push(&target, Expected::verified(descriptor), content, 10)
            .await
            .expect("pushed");
    }
    let digest = Algorithm::Sha512.digest(document.raw());
    let names = ["1".to_owned()];
    target
        .put_manifest(&document, &digest, &names, Expect::Any)
        .await
        .expect("put");
    let found = target.resolve(&tag("1")).await.expect("resolved");
    assert_eq!(found.digest, digest);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_that_lacks_children_names_them() {
    let server = serve(&fake(Habits::default())).await;
    let target = repository(&server.host, "app");
    let (document, blobs) = image(&content(10));
    let error = target
        .put_manifest(&document, &Digest::of(document.raw()), &["1".to_owned()], Expect::Any)
        .await
        .expect_err("no blobs");
    assert_eq!(error.kind(), &ErrorKind::MissingChildren(vec![blobs[0].0.digest]));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_passes_is_tried_again_and_told() {
    let fake = fake(Habits::default());
    let digest = fake.blob("app", b"content");
    for (status, retried) in [(429, true), (503, true), (500, true), (403, false), (404, false)] {
        let (answers, left) = (fake.clone(), AtomicUsize::new(2));
        let server =
            Scripted::start(
                move |seen| match left.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1)) {
                    Ok(_) => Reply::new(status).header("Retry-After", "0"),
                    Err(_) => answers.answer(seen),
                },
            )
            .await;
        let told = Arc::new(Mutex::new(Vec::new()));
        let sink = told.clone();
        let settings = Settings {
            events: Arc::new(move |event| sink.lock().expect("the events").push(event)),
            ..settings()
        };
        let source = repository_with(&server.host, "app", settings, plain());
        let found = source.stat(Role::Blob, &digest, Intent::Read).await;
        assert_eq!(matches!(found, Ok(Some(_))), retried, "{status}: {found:?}");
        assert_eq!(server.lines().len(), if retried { 3 } else { 1 });
        let told = told.lock().expect("the events");
        let retries = told
            .iter()
            .filter(|event| matches!(event, Event::Retry { wait_ms: 0, .. }));
        assert_eq!(retries.count(), if retried { 2 } else { 0 });
    }
}

/// A registry that wants tokens, and the endpoint that gives them.
async fn with_tokens(fake: &Arc<Fake>, lives: u32) -> Scripted {
    let (fake, tokens) = (fake.clone(), Mutex::new(Vec::<String>::new()));
    let uses = Mutex::new(std::collections::HashMap::<String, u32>::new());
    Scripted::start(move |seen: &Seen| {
        let mut tokens = tokens.lock().expect("the tokens");
        if seen.path() == "/token" {
            let token = format!("token-{}", tokens.len());
            tokens.push(token.clone());
            return Reply::new(200).body(format!(r#"{{"token":"{token}","expires_in":300}}"#));
        }
        let given = seen
            .header("authorization")
            .and_then(|value| value.strip_prefix("Bearer "));
        let mut uses = uses.lock().expect("the uses");
        let good = given.is_some_and(|given| {
            let used = uses.entry(given.to_owned()).or_default();
            *used += 1;
            tokens.iter().any(|token| token == given) && *used <= lives
        });
        if good {
            return fake.answer(seen);
        }
        let host = seen.header("host").expect("a host");
        let challenge =
            format!(r#"Bearer realm="http://{host}/token",service="the service",scope="repository:app:pull""#);
        Reply::new(401).header("WWW-Authenticate", challenge)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_got_once_for_each_scope_and_kept() {
    let fake = fake(Habits::default());
    let server = with_tokens(&fake, u32::MAX).await;
    let credential = Credential::Basic {
        username: "me".to_owned(),
        password: "pass".to_owned(),
    };
    let access = Access {
        credentials: Some(Arc::new(credential)),
        ..plain()
    };
    let target = repository_with(&server.host, "app", settings(), access);
    assert_eq!(
        target.resolve(&tag("1")).await.expect_err("nothing there").kind(),
        &ErrorKind::NotFound
    );
    push_image(&target, &content(10), &["1"]).await;
    target.resolve(&tag("1")).await.expect("resolved");
    let asked: Vec<Seen> = server
        .seen()
        .into_iter()
        .filter(|seen| seen.path() == "/token")
        .collect();
    let scopes: Vec<Vec<String>> = asked.iter().map(|seen| seen.query("scope")).collect();
    assert_eq!(scopes, [["repository:app:pull"], ["repository:app:pull,push"]]);
    assert_eq!(asked[0].query("service"), ["the service"]);
    assert_eq!(asked[0].query("account"), ["me"]);
    assert_eq!(asked[0].header("authorization"), Some("Basic bWU6cGFzcw=="));
    let unauthenticated = server
        .seen()
        .iter()
        .filter(|seen| seen.header("authorization").is_none())
        .count();
    assert_eq!(unauthenticated, 1, "the first request asks, and no other");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_ends_before_its_time_is_replaced() {
    let fake = fake(Habits::default());
    // Each token does for three requests: it ends in the middle of a push, also between POST and PUT.
    let server = with_tokens(&fake, 3).await;
    let target = repository(&server.host, "app");
    let pushed = push_image(&target, &content(200_000), &["1", "2"]).await;
    let found = target.resolve(&tag("2")).await.expect("resolved");
    assert_eq!(found, pushed);
    let document = target.document(&found).await.expect("read");
    for child in document.children() {
        read(&target, &child).await.expect("read");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn identity_tokens_are_posted() {
    let fake = fake(Habits::default());
    let server = with_tokens(&fake, u32::MAX).await;
    let access = Access {
        credentials: Some(Arc::new(Credential::IdentityToken("who I am".to_owned()))),
        ..plain()
    };
    let source = repository_with(&server.host, "app", settings(), access);
    source.resolve(&tag("1")).await.expect_err("nothing there");
    let seen = server.seen();
    let asked = seen.iter().find(|seen| seen.path() == "/token").expect("asked");
    assert_eq!(asked.line(), "POST /token");
    let body: Vec<(String, String)> = url::form_urlencoded::parse(&asked.body).into_owned().collect();
    let expected = [
        ("grant_type", "refresh_token"),
        ("client_id", "teu"),
        ("refresh_token", "who I am"),
        ("service", "the service"),
        ("scope", "repository:app:pull"),
    ];
    assert_eq!(body, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_is_untagged_where_the_registry_can() {
    let modern = fake(Habits::default());
    let server = serve(&modern).await;
    let target = repository(&server.host, "app");
    push_image(&target, &content(10), &["1"]).await;
    // This one knows no conditions, so it is looked at before.
    for expect in [Expect::Digest(Digest::of(b"another")), Expect::Absent] {
        let error = Delete::untag(&target, "1", expect).await.expect_err("it is not so");
        assert_eq!(error.kind(), &ErrorKind::Conflict, "{expect:?}: {error}");
    }
    Delete::untag(&target, "1", Expect::Present).await.expect("untagged");
    let old = fake(Habits {
        untags: false,
        ..Habits::default()
    });
    let server = serve(&old).await;
    let target = repository(&server.host, "app");
    push_image(&target, &content(10), &["1"]).await;
    let error = Delete::untag(&target, "1", Expect::Any).await.expect_err("unsupported");
    assert_eq!(error.kind(), &ErrorKind::Unsupported, "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn plain_http_is_spoken_only_where_it_is_allowed() {
    let fake = fake(Habits::default());
    let digest = fake.blob("app", b"content");
    let server = serve(&fake).await;
    let access = |plain_http| Access {
        plain_http,
        ..Access::default()
    };
    use teu_transport::remote::PlainHttp;
    let never = repository_with(&server.host, "app", settings(), access(PlainHttp::Never));
    let error = never.stat(Role::Blob, &digest, Intent::Read).await.expect_err("no TLS");
    assert_eq!(error.kind(), &ErrorKind::Io, "{error}");
    assert_eq!(server.lines(), Vec::<String>::new());
    let fallback = repository_with(&server.host, "app", settings(), access(PlainHttp::Fallback));
    assert!(
        fallback
            .stat(Role::Blob, &digest, Intent::Read)
            .await
            .expect("found")
            .is_some()
    );
    assert_eq!(server.lines().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn tags_come_page_by_page() {
    let fake = fake(Habits {
        page: 2,
        ..Habits::default()
    });
    let server = serve(&fake).await;
    let target = repository(&server.host, "app");
    push_image(&target, &content(10), &["a", "b", "c"]).await;
    let first = target.names(None).await.expect("a page");
    let names = |page: &teu_store::Page<teu_store::Named>| -> Vec<String> {
        page.items.iter().filter_map(|named| named.name.clone()).collect()
    };
    assert_eq!(names(&first), ["a", "b"]);
    let second = target.names(first.next.as_deref()).await.expect("a page");
    assert_eq!((names(&second), second.next), (vec!["c".to_owned()], None));
}
