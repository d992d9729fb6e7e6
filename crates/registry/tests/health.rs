//! Is it said how the server is, to whoever asks, and nothing else?

use std::{
    io::{Read, Write},
    sync::Arc,
    time::{Duration, Instant},
};

use crate::support::{Server, guarded::by_password, writable};
use teu_registry::{Metrics, serve_metrics};
use teu_spec::Digest;
use teu_store::{BoxFuture, Error, ErrorKind, Given, Intent, Keyset, Page, Repositories, Result, Sessions, Store};
use teu_transport::layout::Layout;

/// A place whose disk is gone.
struct Gone;

fn gone<T>() -> BoxFuture<'static, Result<T>>
where
    T: Send + 'static,
{
    Box::pin(std::future::ready(Err(Error::new(
        ErrorKind::Io,
        "/srv/secret: the disk is gone",
    ))))
}

impl Repositories for Gone {
    fn open<'a>(&'a self, _: &'a str, _: Intent) -> BoxFuture<'a, Result<Arc<dyn Store>>> {
        gone()
    }

    fn repositories<'a>(&'a self, _: Keyset<'a>) -> BoxFuture<'a, Result<Page<String>>> {
        gone()
    }

    fn holders<'a>(&'a self, _: &'a Digest, _: Keyset<'a>) -> BoxFuture<'a, Result<Page<String>>> {
        gone()
    }

    fn sessions(&self) -> Option<&dyn Sessions> {
        None
    }
}

#[test]
fn it_lives_and_is_ready_for_whoever_asks() {
    // Nobody need log in for that, and who cannot is told all the same.
    let (server, _) = by_password();
    for path in ["/livez", "/readyz"] {
        for headers in [&[][..], &[("Authorization", "Basic eDp5")]] {
            let answer = server.ask("GET", path, headers, b"").expect(200);
            assert_eq!(answer.content, b"ok\n");
            assert_eq!(answer.header("cache-control"), "no-store");
            assert_eq!(answer.find("docker-distribution-api-version"), None);
        }
        assert_eq!(server.head(path).expect(200).content, b"");
        server.ask("POST", path, &[], b"").refused(405, "UNSUPPORTED");
        server.get(&format!("{path}/")).expect(404);
    }
}

#[test]
fn where_nothing_can_be_kept_it_is_not_ready() {
    let server = Server::of(Arc::new(Gone), writable());
    server.get("/livez").expect(200);
    let refused = server.get("/readyz").refused(503, "UNKNOWN");
    assert!(
        !String::from_utf8_lossy(&refused.content).contains("secret"),
        "{refused:?}"
    );
    let log = server.log.lock().expect("a log");
    let failure = log.last().and_then(|asked| asked.failure.clone());
    assert_eq!(failure.as_deref(), Some("/srv/secret: the disk is gone"));
}

/// At the second address it is said as registry:2 does, whose probes are led there.
#[test]
fn the_second_address_says_whether_it_can_work() {
    for (server, status, content) in [
        (Server::start(), "200 OK", "{}\n"),
        (
            Server::of(Arc::new(Gone), writable()),
            "503 Service Unavailable",
            "{\"storage\":\"what is kept cannot be reached; the server's log says more\"}\n",
        ),
    ] {
        let metrics = Arc::new(Metrics::new());
        metrics.watch(&server.registry);
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let socket = runtime
            .block_on(tokio::net::TcpListener::bind("127.0.0.1:0"))
            .expect("a port");
        let address = socket.local_addr().expect("an address");
        runtime.spawn(async move { serve_metrics(metrics, socket, "/metrics").await });
        let mut client = std::net::TcpStream::connect(address).expect("a connection");
        client
            .write_all(b"GET /debug/health HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            .expect("asked");
        let mut answer = String::new();
        client.read_to_string(&mut answer).expect("an answer");
        let (head, found) = answer.split_once("\r\n\r\n").expect("a head");
        assert!(head.starts_with(&format!("HTTP/1.1 {status}\r\n")), "{head}");
        assert!(head.contains("content-type: application/json"), "{head}");
        assert_eq!(found, content);
    }
}

#[test]
fn what_is_under_way_is_counted_while_it_is() {
    let server = Server::start();
    let metrics = Metrics::new();
    metrics.watch(&server.registry);
    let says = |line: &str| metrics.text().lines().any(|found| found == line);
    assert!(says("teu_registry_connections 0") && says("teu_registry_uploads 0"));
    let mut client = server.connect();
    client
        .write_all(b"GET /livez HTTP/1.1\r\nHost: registry\r\n\r\n")
        .expect("asked");
    client.read_exact(&mut [0; 9]).expect("an answer");
    assert!(says("teu_registry_connections 1"), "{}", metrics.text());
    let begun = server.ask("POST", "/v2/app/blobs/uploads/", &[], b"").expect(202);
    assert!(says("teu_registry_uploads 1"), "{}", metrics.text());
    server.delete(begun.header("location")).expect(204);
    assert!(says("teu_registry_uploads 0"), "{}", metrics.text());
    drop(client);
    let begin = Instant::now();
    while !says("teu_registry_connections 0") {
        assert!(begin.elapsed() < Duration::from_secs(20), "{}", metrics.text());
        std::thread::yield_now();
    }
}

/// A layout whose disk is not mounted any more, or that was removed, is missed, whichever of them it is.
#[test]
fn where_a_layout_is_gone_it_is_not_ready() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut given = Given::new();
    for name in ["one", "other"] {
        let layout = Layout::create(directory.path().join(name), None).expect("a layout");
        given.give(name, Arc::new(layout)).expect("a name");
    }
    let server = Server::of(Arc::new(given), writable());
    server.get("/readyz").expect(200);
    let (there, away) = (directory.path().join("other"), directory.path().join("away"));
    std::fs::rename(&there, &away).expect("moved");
    server.get("/readyz").refused(503, "UNKNOWN");
    let log = server
        .log
        .lock()
        .expect("a log")
        .last()
        .and_then(|asked| asked.failure.clone());
    let why = log.expect("why");
    assert!(
        why.contains("repository other") && why.contains("/other is no image layout"),
        "{why}"
    );
    std::fs::rename(&away, &there).expect("moved");
    server.get("/readyz").expect(200);
}
