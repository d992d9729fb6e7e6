//! What crosses the wire, by which protocol, and by whose proxy? With no request and no connection too many.

#![cfg(all(feature = "layout", feature = "remote"))]

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use crate::support::{
    content, fake,
    fake::{Fake, Habits},
    http2::Http2,
    image, plain, push_image, repository, repository_with,
    scripted::{Options, Reply, Scripted},
    settings, tls,
};
use teu_spec::{Digest, Pick};
use teu_store::{Intent, Role, Source, SourceExt, Target, copy, silent};
use teu_transport::{
    layout::Layout,
    remote::{Access, Proxies, Repository, Settings},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

fn tag(name: &str) -> Pick {
    Pick::Name(name.to_owned())
}

/// A registry that has `app:1`, of one layer.
fn with_image(size: usize) -> (Arc<Fake>, Vec<Digest>) {
    let fake = fake(Habits::default());
    let (document, blobs) = image(&content(size));
    for (_, content) in &blobs {
        fake.blob("app", content);
    }
    let digest = fake.manifest("app", "1", &document);
    let blobs = blobs.iter().map(|(descriptor, _)| descriptor.digest);
    (fake, std::iter::once(digest).chain(blobs).collect())
}

async fn copy_to(target: Arc<dyn Target>, source: Repository) {
    let options = copy::Options::default();
    let names = ["1".to_owned()];
    copy::copy(Arc::new(source), &tag("1"), target.clone(), &names, &options, &silent())
        .await
        .expect("copied");
    target.finish().await.expect("finished");
}

// On one thread a connection is given back before the next request looks for one.
#[tokio::test]
async fn a_copy_asks_for_each_thing_once_and_one_that_is_up_to_date_costs_a_head() {
    let (fake, digests) = with_image(2 << 20);
    let server = Scripted::start(move |seen| fake.answer(seen)).await;
    let directory = tempfile::tempdir().expect("a directory");
    let layout = || Arc::new(Layout::create(directory.path(), None).expect("a layout"));
    copy_to(layout(), repository(&server.host, "app")).await;
    let mut lines = server.lines();
    assert_eq!(lines[0], "GET /v2/app/manifests/1");
    lines.sort();
    let mut expected: Vec<String> = digests[1..]
        .iter()
        .map(|digest| format!("GET /v2/app/blobs/{digest}"))
        .collect();
    expected.push("GET /v2/app/manifests/1".to_owned());
    expected.sort();
    assert_eq!(lines, expected);
    // One connection for each of what comes side by side: the config and the layer.
    assert!(server.seen().iter().all(|seen| seen.connection < 2));

    copy_to(layout(), repository(&server.host, "app")).await;
    assert_eq!(server.lines()[expected.len()..], ["HEAD /v2/app/manifests/1"]);

    // Between registries: a HEAD here and one there.
    let (there, _) = with_image(2 << 20);
    let other = Scripted::start(move |seen| there.answer(seen)).await;
    let before = server.lines().len();
    copy_to(
        Arc::new(repository(&other.host, "app")),
        repository(&server.host, "app"),
    )
    .await;
    assert_eq!(server.lines()[before..], ["HEAD /v2/app/manifests/1"]);
    assert_eq!(other.lines(), ["HEAD /v2/app/manifests/1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn within_one_registry_blobs_are_mounted() {
    let (fake, digests) = with_image(2 << 20);
    let server = Scripted::start(move |seen| fake.answer(seen)).await;
    let target = repository(&server.host, "copy");
    copy_to(Arc::new(target), repository(&server.host, "app")).await;
    let lines = server.lines();
    for blob in &digests[1..] {
        let mount = format!("POST /v2/copy/blobs/uploads/?mount={blob}&from=app");
        assert!(lines.contains(&mount), "{lines:#?}");
    }
    assert!(!lines.iter().any(|line| line.contains("/app/blobs/")), "{lines:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn http_2_is_spoken_where_the_server_speaks_it() {
    let Some((config, access)) = tls::settings("http_2_is_spoken_where_the_server_speaks_it") else {
        return;
    };
    let (fake, _) = with_image(3 << 20);
    let server = Http2::start(&config, move |seen| fake.answer(seen)).await;
    let source = repository_with(&server.host, "app", settings(), access.clone());
    let found = source.resolve(&tag("1")).await.expect("resolved");
    let document = source.document(&found).await.expect("read");
    let children = document.children();
    let reads = children.iter().map(async |child| {
        let opened = source.open(Role::Blob, child).await.expect("opened");
        opened.read_all(1 << 30).await.expect("read")
    });
    futures_util::future::join_all(reads).await;
    // A push streams its blobs, whole or not.
    let target = repository_with(&server.host, "pushed", settings(), access);
    let pushed = push_image(&target, &content(3 << 20), &["2"]).await;
    assert_eq!(target.resolve(&tag("2")).await.expect("resolved"), pushed);
    let seen = server.seen();
    assert!(
        seen.iter()
            .any(|seen| seen.method == "PUT" && seen.body.len() == 3 << 20)
    );
    // All goes side by side over one connection; the two repositories are of two clients here.
    assert!(seen.iter().all(|seen| seen.connection < 2), "{:?}", seen.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn http_1_1_is_spoken_where_the_server_speaks_no_more() {
    let Some((config, access)) = tls::settings("http_1_1_is_spoken_where_the_server_speaks_no_more") else {
        return;
    };
    let mut config = (*config).clone();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let (fake, _) = with_image(1000);
    let options = Options {
        tls: Some(Arc::new(config)),
        ..Options::default()
    };
    let server = Scripted::start_with(options, move |seen| fake.answer(seen)).await;
    let source = repository_with(&server.host, "app", settings(), access);
    source.resolve(&tag("1")).await.expect("resolved");
}

/// A proxy that leads all that it is asked for to one server.
struct Proxy {
    host: String,
    heads: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

impl Proxy {
    async fn to(server: &str) -> Self {
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0)))
            .await
            .expect("a port");
        let host = listener.local_addr().expect("an address").to_string();
        let heads: Arc<Mutex<Vec<String>>> = Arc::default();
        let (log, server) = (heads.clone(), server.to_owned());
        let task = tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let (log, server) = (log.clone(), server.clone());
                tokio::spawn(async move {
                    let mut head = Vec::new();
                    while !head.ends_with(b"\r\n\r\n") {
                        head.push(client.read_u8().await.ok()?);
                    }
                    log.lock()
                        .expect("the log")
                        .push(String::from_utf8_lossy(&head).into_owned());
                    let mut upstream = TcpStream::connect(server).await.ok()?;
                    client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.ok()?;
                    tokio::io::copy_bidirectional(&mut client, &mut upstream).await.ok()
                });
            }
        });
        Self { host, heads, task }
    }

    fn heads(&self) -> Vec<String> {
        self.heads.lock().expect("the log").clone()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn https_goes_through_its_proxy_unless_the_host_is_excepted() {
    let Some((config, access)) = tls::settings("https_goes_through_its_proxy_unless_the_host_is_excepted") else {
        return;
    };
    let options = Options {
        tls: Some(config),
        ..Options::default()
    };
    let server = Scripted::start_with(options, |_| Reply::new(404)).await;
    let proxy = Proxy::to(&server.host).await;
    // The certificate is for another name than the proxy is asked for.
    let mut trusting = access.clone();
    trusting.tls.skip_verify = true;
    let ask = async |host: &str, none_for: &str, access: &Access| {
        let mut settings = Settings {
            proxies: Proxies {
                https: Some(format!("http://me:pass@{}", proxy.host)),
                http: None,
                none_for: none_for.to_owned(),
            },
            ..settings()
        };
        settings.retry.times = 0;
        settings.timeouts.connect = Duration::from_millis(300);
        let source = repository_with(host, "app", settings, access.clone());
        source.stat(Role::Blob, &Digest::of(b""), Intent::Read).await.is_ok()
    };
    assert!(ask("registry.test", "", &trusting).await);
    assert!(ask("192.0.2.1:5000", "", &trusting).await);
    let heads = proxy.heads();
    assert!(
        heads[0].starts_with("CONNECT registry.test:443 HTTP/1.1\r\n"),
        "{heads:?}"
    );
    assert!(heads[1].starts_with("CONNECT 192.0.2.1:5000 HTTP/1.1\r\n"), "{heads:?}");
    let login = "proxy-authorization: basic bwu6cgfzcw==\r\n";
    assert!(
        heads.iter().all(|head| head.to_ascii_lowercase().contains(login)),
        "{heads:?}"
    );
    // The registry sees nothing of that.
    assert!(
        server
            .seen()
            .iter()
            .all(|seen| seen.header("proxy-authorization").is_none())
    );
    // Excepted, it is asked directly, where nobody answers.
    assert!(!ask("192.0.2.1:5000", "192.0.2.0/24", &trusting).await);
    assert!(!ask("192.0.2.1:5000", "*", &trusting).await);
    assert_eq!(proxy.heads().len(), 2);
    // This machine is never reached by a proxy, which would reach its own.
    assert!(ask(&server.host, "", &access).await);
    assert_eq!(proxy.heads().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn plain_http_goes_through_its_own_proxy() {
    let proxy = Scripted::start(|_| Reply::new(404)).await;
    let mut settings = Settings {
        proxies: Proxies {
            http: Some(format!("http://{}", proxy.host)),
            https: Some("http://192.0.2.1:1".to_owned()),
            none_for: String::new(),
        },
        ..settings()
    };
    settings.retry.times = 0;
    let source = repository_with("registry.test", "app", settings, plain());
    let digest = Digest::of(b"");
    assert_eq!(
        source.stat(Role::Blob, &digest, Intent::Read).await.expect("asked"),
        None
    );
    assert_eq!(
        proxy.lines(),
        [format!("HEAD http://registry.test/v2/app/blobs/{digest}")]
    );
}
