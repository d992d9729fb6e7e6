//! Does an evil registry get anything of us? Threats 56 to 80, each against a server that does just that.

#![cfg(feature = "remote")]

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use crate::support::{
    content, fake,
    fake::{Fake, Habits},
    image, plain, push, repository, repository_with,
    scripted::{Options, Reply, Scripted, Seen},
    settings, tls,
};
use teu_spec::{Descriptor, Digest, MediaType, Pick};
use teu_store::{Browse, Error, ErrorKind, Expected, FetchOptions, Intent, Result, Role, Source, SourceExt};
use teu_transport::remote::{Access, Credential, Repository, Settings};

const SECRET: &str = "Basic bWU6cGFzcw==";

fn credentials(access: Access) -> Access {
    let credential = Credential::Basic {
        username: "me".to_owned(),
        password: "pass".to_owned(),
    };
    Access {
        credentials: Some(Arc::new(credential)),
        ..access
    }
}

/// A repository of which we know a password.
fn known(server: &Scripted) -> Repository {
    repository_with(&server.host, "app", settings(), credentials(plain()))
}

/// A registry that wants a password, and answers as `then` says once it has it.
async fn with_password(then: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Scripted {
    Scripted::start(move |seen| match seen.header("authorization") {
        Some(SECRET) => then(seen),
        _ => Reply::new(401).header("WWW-Authenticate", "Basic realm=\"test\""),
    })
    .await
}

async fn blob(source: &Repository, content: &[u8]) -> Result<bytes::Bytes> {
    let descriptor = Descriptor::of(MediaType::OciLayer, content);
    source.open(Role::Blob, &descriptor).await?.read_all(1 << 30).await
}

fn is_secret(seen: &Seen) -> bool {
    seen.headers.iter().any(|(name, _)| name == "authorization") || seen.target.contains("pass")
}

fn assert_refused<T: std::fmt::Debug>(outcome: Result<T>, reason: &str) -> Error {
    let error = outcome.expect_err(reason);
    assert!(error.to_string().contains(reason), "{error}");
    error
}

#[tokio::test(flavor = "multi_thread")]
async fn threat_56_a_redirect_to_another_host_goes_without_credentials() {
    let storage = Scripted::start(|_| Reply::new(200).body("content")).await;
    // The same machine by another name.
    let target = storage.host.replace("127.0.0.1", "localhost");
    let registry =
        with_password(move |_| Reply::new(307).header("Location", format!("http://{target}/blob?signature=1"))).await;
    let read = blob(&known(&registry), b"content").await.expect("read");
    assert_eq!(read, "content");
    assert_eq!(storage.lines(), ["GET /blob?signature=1"]);
    assert!(!is_secret(&storage.seen()[0]));
}

#[tokio::test(flavor = "multi_thread")]
async fn threat_57_a_redirect_to_another_port_goes_without_credentials() {
    let storage = Scripted::start(|_| Reply::new(200).body("content")).await;
    let target = storage.host.clone();
    let registry = with_password(move |_| Reply::new(307).header("Location", format!("http://{target}/blob"))).await;
    assert_eq!(blob(&known(&registry), b"content").await.expect("read"), "content");
    assert!(!is_secret(&storage.seen()[0]));
    // Within the origin they go along.
    let registry = with_password(|seen| match seen.path() {
        "/elsewhere" => Reply::new(200).body("content"),
        _ => Reply::new(307).header("Location", "/elsewhere"),
    })
    .await;
    assert_eq!(blob(&known(&registry), b"content").await.expect("read"), "content");
    assert_eq!(registry.seen()[2].header("authorization"), Some(SECRET));
}

#[tokio::test(flavor = "multi_thread")]
async fn threat_58_a_redirect_from_https_to_http_is_refused() {
    let Some((config, access)) = tls::settings("threat_58") else {
        return;
    };
    let plain = Scripted::start(|_| Reply::new(200).body("content")).await;
    let target = plain.host.clone();
    let options = Options {
        tls: Some(config),
        ..Options::default()
    };
    let registry = Scripted::start_with(options, move |_| {
        Reply::new(307).header("Location", format!("http://{target}/blob"))
    })
    .await;
    let source = repository_with(&registry.host, "app", settings(), access);
    assert_refused(blob(&source, b"content").await, "it leads from https to http");
    assert_eq!(plain.lines(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn threat_59_other_schemes_are_refused() {
    for location in [
        "file:///etc/passwd",
        "gopher://127.0.0.1/",
        "ftp://127.0.0.1/",
        "http://me:pass@127.0.0.1/",
    ] {
        let registry = Scripted::start(move |_| Reply::new(307).header("Location", location)).await;
        assert_refused(
            blob(&repository(&registry.host, "app"), b"content").await,
            "redirect is refused",
        );
        assert_eq!(registry.lines().len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn threat_60_a_foreign_upload_location_gets_no_credentials() {
    let foreign = Scripted::start(|_| Reply::new(401).header("WWW-Authenticate", "Basic realm=\"mine\"")).await;
    let location = format!("http://{}/upload", foreign.host);
    let registry = with_password(move |_| Reply::new(202).header("Location", &location)).await;
    let content = content(100);
    let expected = Expected::verified(&Descriptor::of(MediaType::OciLayer, &content));
    let error = push(&known(&registry), expected, &content, 10)
        .await
        .expect_err("refused");
    assert_eq!(error.kind(), &ErrorKind::Unauthenticated, "{error}");
    assert!(!foreign.seen().is_empty());
    assert!(!foreign.seen().iter().any(is_secret));
}

/// A registry that sends us to `realm` for a token; what came of it.
async fn sent_to(realm: &str, access: Access) -> (Result<Option<Descriptor>>, Vec<Seen>) {
    let challenge = format!("Bearer realm=\"{realm}\",service=\"test\"");
    let registry = Scripted::start(move |_| Reply::new(401).header("WWW-Authenticate", &challenge)).await;
    let source = repository_with(&registry.host, "app", settings(), credentials(access));
    let found = source.stat(Role::Blob, &Digest::of(b""), Intent::Read).await;
    (found, registry.seen())
}

#[tokio::test(flavor = "multi_thread")]
async fn threat_61_a_realm_on_this_machine_or_link_is_refused() {
    // The rule for registries elsewhere is a table in `origin`; here the registry is on loopback, and the link is not.
    let (found, _) = sent_to("http://169.254.169.254/latest/meta-data", plain()).await;
    assert_refused(found, "address of this machine or its link");
    let (found, _) = sent_to("http://[fe80::1]/token", plain()).await;
    assert_refused(found, "address of this machine or its link");
}

#[tokio::test(flavor = "multi_thread")]
async fn threat_61_a_name_that_stands_for_a_near_address_is_refused() {
    let settings = |server: &Scripted, led: &str| {
        let port = server.host.rsplit_once(':').expect("a port").1.to_owned();
        let address = |text: &str| vec![text.parse().expect("an address")];
        let settings = Settings {
            addresses: [("r.teu.test", "127.0.0.1"), ("led.teu.test", led)]
                .map(|(name, known)| (name.to_owned(), address(known)))
                .into(),
            ..settings()
        };
        (port, settings)
    };
    for led in ["169.254.169.254", "fe80::1", "::ffff:169.254.169.254"] {
        for case in ["realm", "redirect", "upload"] {
            let server = Scripted::start(move |seen| {
                let port = seen
                    .header("host")
                    .and_then(|host| host.rsplit_once(':'))
                    .expect("a port")
                    .1;
                let there = format!("http://led.teu.test:{port}/there");
                match (case, seen.path()) {
                    (_, "/there") => Reply::new(200).body("content"),
                    ("realm", _) => Reply::new(401).header("WWW-Authenticate", format!("Bearer realm=\"{there}\"")),
                    ("redirect", _) => Reply::new(307).header("Location", there),
                    _ => Reply::new(202).header("Location", there),
                }
            })
            .await;
            let (port, settings) = settings(&server, led);
            let source = repository_with(&format!("r.teu.test:{port}"), "app", settings, credentials(plain()));
            let error = match case {
                "upload" => push(&source, Expected::default(), &content(10), 10).await.map(|_| ()),
                _ => blob(&source, b"content").await.map(|_| ()),
            };
            let error = assert_refused(error, "the registry leads to led.teu.test, which is refused");
            assert_eq!(error.kind(), &ErrorKind::Refused, "{case}: {error}");
            // Once, as it will be no different the next time.
            let led: Vec<String> = server
                .lines()
                .into_iter()
                .filter(|line| line.contains("/there"))
                .collect();
            assert_eq!(led, Vec::<String>::new(), "{case}");
            assert_eq!(server.lines().len(), 1, "{case}: {:?}", server.lines());
        }
    }
    // A registry that is on this machine, by whatever name, leads to it.
    let server = Scripted::start(|seen| {
        let port = seen
            .header("host")
            .and_then(|host| host.rsplit_once(':'))
            .expect("a port")
            .1;
        match seen.path() {
            "/there" => Reply::new(200).body("content"),
            _ => Reply::new(307).header("Location", format!("http://led.teu.test:{port}/there")),
        }
    })
    .await;
    let (port, settings) = settings(&server, "127.0.0.1");
    let source = repository_with(&format!("r.teu.test:{port}"), "app", settings, plain());
    assert_eq!(blob(&source, b"content").await.expect("read"), "content");
}

#[tokio::test(flavor = "multi_thread")]
async fn threat_62_a_realm_over_http_is_refused() {
    let Some((config, access)) = tls::settings("threat_62") else {
        return;
    };
    let realm = Scripted::start(|_| Reply::new(200).body("{\"token\":\"t\"}")).await;
    let challenge = format!("Bearer realm=\"http://{}/token\"", realm.host);
    let options = Options {
        tls: Some(config),
        ..Options::default()
    };
    let registry = Scripted::start_with(options, move |_| Reply::new(401).header("WWW-Authenticate", &challenge)).await;
    let source = repository_with(&registry.host, "app", settings(), credentials(access));
    let found = source.stat(Role::Blob, &Digest::of(b""), Intent::Read).await;
    assert_refused(found, "it is refused, as it is no https");
    assert_eq!(realm.lines(), Vec::<String>::new());
}

/// What the user allows, and what is the same site, is a table in `origin`.
#[tokio::test(flavor = "multi_thread")]
async fn threat_63_a_foreign_realm_is_refused() {
    let (found, seen) = sent_to("https://evil.test/token", plain()).await;
    assert_refused(found, "it is refused, as that is another site");
    assert_eq!(seen.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn threat_64_a_redirect_loop_ends_after_ten() {
    let registry = Scripted::start(|_| Reply::new(302).header("Location", "/v2/again")).await;
    assert_refused(
        blob(&repository(&registry.host, "app"), b"content").await,
        "more than the limit of 10",
    );
    assert_eq!(registry.lines().len(), 11);
}

/// A registry with one image, whose answers `change` may spoil.
async fn spoiled(change: impl Fn(&Seen, Reply) -> Reply + Send + Sync + 'static) -> (Arc<Fake>, Digest, Scripted) {
    let fake = fake(Habits::default());
    let (document, blobs) = image(&content(100_000));
    for (_, content) in &blobs {
        fake.blob("app", content);
    }
    let digest = fake.manifest("app", "1", &document);
    let answers = fake.clone();
    let server = Scripted::start(move |seen| change(seen, answers.answer(seen))).await;
    (fake, digest, server)
}

#[tokio::test(flavor = "multi_thread")]
async fn threat_65_a_stated_digest_is_checked_against_the_body() {
    let lie = Digest::of(b"a lie");
    // In answer to HEAD, which has no body, the lie is found out when the manifest is read.
    let (_, _, server) = spoiled(move |_, reply| reply.replace("Docker-Content-Digest", lie)).await;
    let source = repository(&server.host, "app");
    let found = source.resolve(&Pick::Name("1".to_owned())).await.expect("resolved");
    assert_eq!(found.digest, lie);
    assert_eq!(
        source.document(&found).await.expect_err("not there").kind(),
        &ErrorKind::NotFound
    );
    // In answer to GET at once.
    let (_, digest, server) = spoiled(move |seen, reply| match seen.method.as_str() {
        "HEAD" => Reply::new(405),
        _ => reply.replace("Docker-Content-Digest", lie),
    })
    .await;
    let found = repository(&server.host, "app")
        .resolve(&Pick::Name("1".to_owned()))
        .await;
    let message = format!("the registry calls a manifest {lie} whose digest is {digest}");
    assert_eq!(assert_refused(found, &message).kind(), &ErrorKind::Mismatch);
}

#[tokio::test(flavor = "multi_thread")]
async fn threat_66_a_pinned_digest_gets_no_other_manifest() {
    let other = r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}"#;
    let (_, digest, server) = spoiled(move |_, _| {
        Reply::new(200)
            .header("Content-Type", MediaType::OciIndex)
            .header("Docker-Content-Digest", Digest::of(other.as_bytes()))
            .body(other)
    })
    .await;
    let source = repository(&server.host, "app");
    let found = source.resolve(&Pick::Digest(digest)).await;
    assert_eq!(
        assert_refused(found, "answers with another manifest").kind(),
        &ErrorKind::Mismatch
    );
    // Without a word on it, the body tells.
    let (_, digest, server) =
        spoiled(move |_, _| Reply::new(200).header("Content-Type", MediaType::OciIndex).body(other)).await;
    let source = repository(&server.host, "app");
    let found = source.resolve(&Pick::Digest(digest)).await;
    assert_eq!(assert_refused(found, "whose digest is").kind(), &ErrorKind::Mismatch);
}

#[tokio::test(flavor = "multi_thread")]
async fn threat_67_a_content_length_that_lies_is_refused() {
    let body = content(1000);
    for (says, reason) in [
        (999, "has 999 bytes instead of 1000"),
        (2000, "has 2000 bytes instead of 1000"),
    ] {
        let sent = body.clone();
        let server = Scripted::start(move |_| Reply::new(200).body(sent.to_vec()).says(says)).await;
        let error = assert_refused(blob(&repository(&server.host, "app"), &body).await, reason);
        assert_eq!(error.kind(), &ErrorKind::Mismatch);
    }
    // It says the right length and gives less, however often it is asked.
    let sent = body.clone();
    let server = Scripted::start(move |_| Reply::new(200).body(sent[..500].to_vec()).says(1000)).await;
    let error = blob(&repository(&server.host, "app"), &body).await.expect_err("short");
    assert_eq!(error.kind(), &ErrorKind::Io, "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn threat_68_an_endless_body_is_read_to_the_size_and_no_further() {
    let server = Scripted::start(|_| Reply::new(200).header("Content-Type", MediaType::OciManifest).endless()).await;
    let source = repository(&server.host, "app");
    let error = assert_refused(blob(&source, &[0; 1000]).await, "goes on past its 1000 bytes");
    assert_eq!(error.kind(), &ErrorKind::Mismatch);
    let found = source.resolve(&Pick::Name("1".to_owned())).await;
    assert_eq!(
        assert_refused(found, "more bytes than the limit of 4194304").kind(),
        &ErrorKind::TooLarge
    );
    let listed = source.names(None).await;
    assert_eq!(
        assert_refused(listed, "more bytes than the limit of").kind(),
        &ErrorKind::TooLarge
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn threat_69_a_server_that_sends_no_more_is_left() {
    let server = Scripted::start(|_| Reply::new(200).body(vec![0; 10]).stalls(1000)).await;
    let mut settings = settings();
    settings.retry.times = 1;
    settings.timeouts.idle = Duration::from_millis(100);
    let source = repository_with(&server.host, "app", settings, plain());
    let begun = Instant::now();
    assert_refused(blob(&source, &[0; 1000]).await, "sent nothing for 0.1 s");
    assert!(begun.elapsed() < Duration::from_secs(10));
    assert_eq!(server.lines().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn threat_69_a_server_that_never_answers_is_left() {
    let server = Scripted::start(|_| Reply::raw("HTTP/1.1 200 OK\r\nContent-")).await;
    let mut settings = settings();
    settings.retry.times = 0;
    settings.timeouts.answer = Duration::from_millis(100);
    let source = repository_with(&server.host, "app", settings, plain());
    let error = blob(&source, b"content").await.expect_err("no answer");
    assert_eq!(error.kind(), &ErrorKind::Io, "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn threat_70_a_layer_url_gets_no_credentials() {
    let elsewhere = Scripted::start(|_| Reply::new(401).header("WWW-Authenticate", "Basic realm=\"mine\"")).await;
    let registry = with_password(|_| Reply::new(404)).await;
    let options = FetchOptions {
        range: None,
        urls: vec![format!("http://{}/layer", elsewhere.host)],
        ..FetchOptions::default()
    };
    let source = known(&registry);
    let fetched = source.fetch(Role::Blob, &Digest::of(b"content"), options).await;
    assert_eq!(fetched.err().expect("refused").kind(), &ErrorKind::Unauthenticated);
    assert_eq!(elsewhere.lines(), ["GET /layer"]);
    assert!(!is_secret(&elsewhere.seen()[0]));
    let options = |url: &str| FetchOptions {
        range: None,
        urls: vec![url.to_owned()],
        ..FetchOptions::default()
    };
    for url in [
        "file:///etc/passwd",
        "http://169.254.169.254/latest",
        "http://me:pass@127.0.0.1/",
        "no url",
    ] {
        let fetched = source.fetch(Role::Blob, &Digest::of(b"content"), options(url)).await;
        assert!(fetched.is_err(), "{url}");
    }
    // And one that answers gives the layer.
    let mirror = Scripted::start(|_| Reply::new(200).body("content")).await;
    let mut descriptor = Descriptor::of(MediaType::DockerForeignLayerGzip, b"content");
    descriptor.urls = vec![format!("http://{}/layer", mirror.host)];
    let read = source
        .open(Role::Blob, &descriptor)
        .await
        .expect("opened")
        .read_all(10)
        .await;
    assert_eq!(read.expect("read"), "content");
}

#[tokio::test(flavor = "multi_thread")]
async fn threat_71_an_encoded_body_is_refused() {
    let server = Scripted::start(|_| Reply::new(200).header("Content-Encoding", "gzip").body("content")).await;
    let source = repository(&server.host, "app");
    assert_refused(blob(&source, b"content").await, "encoded its answer as \"gzip\"");
    assert_eq!(server.seen()[0].header("accept-encoding"), Some("identity"));
    assert_refused(source.names(None).await, "encoded its answer as \"gzip\"");
}

#[tokio::test(flavor = "multi_thread")]
async fn threat_72_a_blob_that_changed_is_noticed() {
    let (before, after) = (content(100_000), vec![9; 100_000]);
    let requests = AtomicUsize::new(0);
    let first = before.clone();
    let server = Scripted::start(
        move |seen| match (requests.fetch_add(1, Relaxed), seen.header("range")) {
            (0, _) => Reply::new(200).body(first.to_vec()).cut(50_000),
            (_, Some("bytes=50000-")) => Reply::new(206)
                .header("Content-Range", "bytes 50000-99999/100000")
                .body(&after[50_000..]),
            _ => Reply::new(500),
        },
    )
    .await;
    let error = blob(&repository(&server.host, "app"), &before)
        .await
        .expect_err("changed");
    assert_eq!(error.kind(), &ErrorKind::Mismatch, "{error}");
    // A blob of another size is noticed at once.
    let requests = AtomicUsize::new(0);
    let first = before.clone();
    let server = Scripted::start(move |_| match requests.fetch_add(1, Relaxed) {
        0 => Reply::new(200).body(first.to_vec()).cut(50_000),
        _ => Reply::new(206)
            .header("Content-Range", "bytes 50000-50000/50001")
            .body("x"),
    })
    .await;
    let error = blob(&repository(&server.host, "app"), &before).await;
    assert_refused(error, "the content had 100000 bytes and has 50001");
    // So is an answer that gives other bytes than were asked for.
    let server = Scripted::start(|_| Reply::new(206).header("Content-Range", "bytes 5-9/10").body("56789")).await;
    assert_refused(
        blob(&repository(&server.host, "app"), &before).await,
        "bytes 5-10 were not asked for",
    );
}

fn tags(names: &[&str]) -> Reply {
    Reply::new(200).body(serde_json::json!({"name": "app", "tags": names}).to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn threat_73_a_link_to_another_host_is_refused() {
    for link in [
        "<http://evil.test/v2/app/tags/list>",
        "<//evil.test/x>",
        "<https://127.0.0.1/x>",
        "<file:///etc/passwd>",
    ] {
        let server = Scripted::start(move |_| tags(&["1"]).header("Link", format!("{link}; rel=\"next\""))).await;
        assert_refused(repository(&server.host, "app").names(None).await, "Link");
    }
}

/// Reads a list to its end.
async fn all(source: &Repository) -> Result<usize> {
    let (mut count, mut from) = (0, None);
    loop {
        let page = source.names(from.as_deref()).await?;
        count += page.items.len();
        match page.next {
            Some(next) => from = Some(next),
            None => return Ok(count),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn threat_74_a_link_that_goes_in_circles_is_refused() {
    let server = Scripted::start(|seen| {
        let next = match seen.query("page").first().map(String::as_str) {
            None => 1,
            Some("5") => 3,
            Some(page) => page.parse::<u32>().expect("a number") + 1,
        };
        tags(&["1"]).header("Link", format!("<?page={next}>; rel=\"next\""))
    })
    .await;
    assert_refused(all(&repository(&server.host, "app")).await, "goes in circles");
    assert!(server.lines().len() < 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn threat_75_ten_million_tags_come_a_page_at_a_time_and_no_page_is_too_large() {
    let server = Scripted::start(|seen| {
        let page: u32 = seen
            .query("page")
            .first()
            .map_or(0, |page| page.parse().expect("a number"));
        let names: Vec<String> = (0..1000).map(|n| format!("v{page}-{n}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        match page {
            50 => tags(&names),
            _ => tags(&names).header("Link", format!("</v2/app/tags/list?page={}>; rel=\"next\"", page + 1)),
        }
    })
    .await;
    assert_eq!(all(&repository(&server.host, "app")).await.expect("listed"), 51_000);
    let server = Scripted::start(|_| Reply::new(200).body("{\"tags\":[").says(1 << 40)).await;
    let listed = repository(&server.host, "app").names(None).await;
    assert_refused(listed, "more bytes than the limit of 33554432");
    let short = format!("{{\"tags\":[{}\"a\"]}}", "\"a\",".repeat(1_000_001));
    let server = Scripted::start(move |_| Reply::new(200).body(short.clone())).await;
    let listed = repository(&server.host, "app").names(None).await;
    assert_refused(listed, "more names on a page than the limit of 1000000");
}

#[tokio::test(flavor = "multi_thread")]
async fn threat_76_names_that_are_none_are_refused() {
    for name in ["a/b", "..", "a\u{1b}[31m", "", "-a", "a\nb", &"a".repeat(129)] {
        let body = name.to_owned();
        let server = Scripted::start(move |_| tags(&["1", &body])).await;
        let listed = repository(&server.host, "app").names(None).await;
        let error = listed.expect_err("no tag");
        assert_eq!(error.kind(), &ErrorKind::Invalid, "{error}");
        assert!(!error.to_string().contains(char::is_control), "{error:?}");
        let server = Scripted::start(|_| Reply::new(200).body(r#"{"repositories":["a/../b"]}"#)).await;
        let listed = repository(&server.host, "app").registry().catalog(None).await;
        assert_eq!(listed.expect_err("no name").kind(), &ErrorKind::Invalid);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn threat_77_a_401_loop_ends() {
    let given = AtomicUsize::new(0);
    let server = Scripted::start(move |seen| match seen.path() {
        "/token" => Reply::new(200).body(format!("{{\"token\":\"t{}\"}}", given.fetch_add(1, Relaxed))),
        _ => {
            let host = seen.header("host").expect("a host");
            Reply::new(401).header("WWW-Authenticate", format!("Bearer realm=\"http://{host}/token\""))
        }
    })
    .await;
    let found = known(&server).stat(Role::Blob, &Digest::of(b""), Intent::Read).await;
    assert_eq!(
        assert_refused(found, "refuses every token").kind(),
        &ErrorKind::Unauthenticated
    );
    assert_eq!(server.lines().len(), 5);
    // A password is sent once.
    let server = Scripted::start(|_| Reply::new(401).header("WWW-Authenticate", "Basic realm=\"x\"")).await;
    let found = known(&server).stat(Role::Blob, &Digest::of(b""), Intent::Read).await;
    assert_refused(found, "teu login");
    assert_eq!(server.lines().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn threat_78_retry_after_is_capped() {
    for after in ["1000000000", "99999999999999999999999", "Fri, 31 Dec 2999 23:59:59 GMT"] {
        let server = Scripted::start(move |_| Reply::new(429).header("Retry-After", after)).await;
        let begun = Instant::now();
        let found = repository(&server.host, "app")
            .stat(Role::Blob, &Digest::of(b""), Intent::Read)
            .await;
        assert_eq!(found.expect_err("throttled").kind(), &ErrorKind::Throttled);
        assert!(begun.elapsed() < Duration::from_secs(10));
        assert_eq!(server.lines().len(), 4);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn threat_79_large_tokens_and_errors_are_not_read() {
    let server = Scripted::start(|seen| match seen.path() {
        "/token" => Reply::new(200).body("{\"token\":\"").says(4 << 30),
        _ => {
            let host = seen.header("host").expect("a host");
            Reply::new(401).header("WWW-Authenticate", format!("Bearer realm=\"http://{host}/token\""))
        }
    })
    .await;
    let found = known(&server).stat(Role::Blob, &Digest::of(b""), Intent::Read).await;
    assert_refused(found, "the registry's token has more bytes than the limit of 1048576");
    let server = Scripted::start(|_| Reply::new(403).endless()).await;
    let listed = repository(&server.host, "app").names(None).await;
    assert_eq!(listed.expect_err("denied").kind(), &ErrorKind::Denied);
}

#[tokio::test(flavor = "multi_thread")]
async fn threat_80_a_flood_of_headers_is_refused() {
    let floods = [
        (0..10_000).map(|n| format!("X-{n}: 1\r\n")).collect::<String>(),
        format!("X: {}\r\n", "a".repeat(4 << 20)),
    ];
    for flood in floods {
        let reply = format!("HTTP/1.1 200 OK\r\n{flood}\r\n");
        let server = Scripted::start(move |_| Reply::raw(reply.clone())).await;
        let mut settings = Settings { ..settings() };
        settings.retry.times = 0;
        let source = repository_with(&server.host, "app", settings, plain());
        let error = blob(&source, b"content").await.expect_err("flooded");
        assert_eq!(error.kind(), &ErrorKind::Io, "{error}");
    }
}

/// Threat 97, from the other side: a registry, or a gateway before it, that shows what it was sent.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_registry_was_sent_is_not_shown_where_it_comes_back() {
    let echo = |seen: &Seen| {
        let sent = seen.header("authorization").unwrap_or_default().to_owned();
        let told = format!("not let in: {sent} (me:correct-horse, correct-horse, Y29ycmVjdC1ob3JzZQ==)");
        let body = format!("{{\"errors\":[{{\"code\":\"{sent}\",\"message\":\"{told}\",\"detail\":\"{told}\"}}]}}");
        (sent, told, body)
    };
    let secrets = [
        "bWU6Y29ycmVjdC1ob3JzZQ",
        "correct-horse",
        "Y29ycmVjdC1ob3JzZQ",
        "to/ken+of-ours",
    ];
    let credential = Credential::Basic {
        username: "me".to_owned(),
        password: "correct-horse".to_owned(),
    };
    let access = || Access {
        credentials: Some(Arc::new(credential.clone())),
        ..plain()
    };
    let heard = Arc::new(std::sync::Mutex::new(Vec::<String>::new()));
    let with_events = || {
        let heard = heard.clone();
        Settings {
            events: Arc::new(move |event| heard.lock().expect("events").push(format!("{event:?}"))),
            ..settings()
        }
    };
    for schemes in ["Basic realm=\"x\"", "Bearer realm=\"http://HOST/token\""] {
        for case in 0..6 {
            let server = Scripted::start(move |seen| {
                let host = seen.header("host").expect("a host").to_owned();
                if seen.path() == "/token" {
                    return Reply::new(200).body(r#"{"token":"to/ken+of-ours"}"#);
                }
                if seen.header("authorization").is_none() {
                    return Reply::new(401).header("WWW-Authenticate", schemes.replace("HOST", &host));
                }
                let (sent, told, body) = echo(seen);
                match case {
                    0 => Reply::new(403).body(body),
                    1 => Reply::new(200)
                        .header("Warning", format!("299 - \"{told}\""))
                        .header("Docker-Content-Digest", format!("sha256:{told}"))
                        .header("Content-Type", "application/vnd.oci.image.manifest.v1+json"),
                    2 => Reply::new(307).header("Location", format!("gopher://{sent}/{told}")),
                    3 => Reply::new(200).header("Content-Encoding", &told),
                    4 => Reply::new(401).header("WWW-Authenticate", format!("Bearer {} =", sent.replace(' ', ","))),
                    _ => Reply::new(200).body(format!("{{\"tags\":\"{told}\"}}")),
                }
            })
            .await;
            let source = repository_with(&server.host, "app", with_events(), access());
            let error = match case {
                0 | 5 => source.names(None).await.expect_err("refused"),
                3 => blob(&source, b"content").await.expect_err("refused"),
                _ => source.resolve(&Pick::Name("1".to_owned())).await.expect_err("refused"),
            };
            assert!(
                server.seen().iter().any(is_secret),
                "{schemes} {case}: nothing was sent"
            );
            let said = error.to_string();
            for text in heard.lock().expect("events").drain(..).chain([said.clone()]) {
                for secret in secrets {
                    assert!(!text.contains(secret), "{schemes} {case}: {text}");
                }
            }
            if matches!(case, 0 | 1 | 5) {
                assert!(said.contains("[hidden]"), "{schemes} {case}: {said}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_token_server_was_sent_is_not_shown_where_it_comes_back() {
    let identity = "an identity token/of ours";
    let server = Scripted::start(|seen| match seen.path() {
        "/token" => {
            let form = String::from_utf8(seen.body.clone()).expect("a form");
            match form.contains("echo%3Apull") || form.contains("echo:pull") {
                true => Reply::new(400).body(format!("{{\"errors\":[{{\"code\":\"X\",\"message\":\"{form}\"}}]}}")),
                false => Reply::new(200).body(format!("{{\"expires_in\":\"{form}\"}}")),
            }
        }
        _ => {
            let host = seen.header("host").expect("a host");
            Reply::new(401).header("WWW-Authenticate", format!("Bearer realm=\"http://{host}/token\""))
        }
    })
    .await;
    for path in ["echo", "app"] {
        let access = Access {
            credentials: Some(Arc::new(Credential::IdentityToken(identity.to_owned()))),
            ..plain()
        };
        let source = repository_with(&server.host, path, settings(), access);
        let error = source
            .resolve(&Pick::Name("1".to_owned()))
            .await
            .expect_err("refused")
            .to_string();
        assert!(error.contains("refresh_token=[hidden]"), "{path}: {error}");
        assert!(!error.contains("identity+token"), "{path}: {error}");
    }
}
