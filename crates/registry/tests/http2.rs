//! Is the registry the same over HTTP/2, and does it stand what HTTP/2 lets an enemy do?

use std::{
    future::Future,
    io::{Read, Write},
    sync::Arc,
};

use crate::support::{Server, writable};
use bytes::Bytes;
use h2::{
    Reason,
    client::{Connection, SendRequest, handshake},
};
use http::{Request, Response};
use teu_depot::{Depot, Settings};
use teu_registry::Limits;
use teu_spec::Digest;
use tokio::net::TcpStream;

struct Client {
    requests: SendRequest<Bytes>,
}

impl Client {
    async fn new(server: &Server) -> Self {
        let stream = TcpStream::connect(server.address).await.expect("a connection");
        let (requests, connection): (_, Connection<TcpStream, Bytes>) = handshake(stream).await.expect("HTTP/2");
        tokio::spawn(connection);
        Self { requests }
    }

    fn request(method: &str, target: &str) -> http::request::Builder {
        Request::builder()
            .method(method)
            .uri(format!("http://registry.example{target}"))
    }

    async fn ask(&mut self, method: &str, target: &str, content: &[u8]) -> (Response<()>, Vec<u8>) {
        let request = Self::request(method, target).body(()).expect("a request");
        self.send(request, content).await.expect("an answer")
    }

    async fn send(&mut self, request: Request<()>, content: &[u8]) -> Result<(Response<()>, Vec<u8>), h2::Error> {
        let mut requests = self.requests.clone().ready().await?;
        let (answer, mut stream) = requests.send_request(request, content.is_empty())?;
        if !content.is_empty() {
            stream.send_data(Bytes::copy_from_slice(content), true)?;
        }
        let (head, mut body) = answer.await?.into_parts();
        let mut all = Vec::new();
        while let Some(bytes) = body.data().await {
            let bytes = bytes?;
            body.flow_control().release_capacity(bytes.len())?;
            all.extend_from_slice(&bytes);
        }
        Ok((Response::from_parts(head, ()), all))
    }
}

fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(test);
}

#[test]
fn a_blob_goes_in_and_comes_out() {
    let server = Server::start();
    let content: Vec<u8> = (0..300_000_u32).map(|n| (n.wrapping_mul(n) >> 9) as u8).collect();
    let digest = Digest::of(&content);
    run(async {
        let mut client = Client::new(&server).await;
        let (answer, _) = client.ask("GET", "/v2/", b"").await;
        assert_eq!(answer.status(), 200);
        let (answer, _) = client.ask("POST", "/v2/app/blobs/uploads/", b"").await;
        assert_eq!(answer.status(), 202);
        let location = answer.headers()["location"].to_str().expect("text").to_owned();
        let (answer, _) = client.ask("PATCH", &location, &content[..100_000]).await;
        assert_eq!(
            (answer.status().as_u16(), &answer.headers()["range"]),
            (202, &"0-99999".parse().expect("a value"))
        );
        let last = format!("{location}?digest={digest}");
        let (answer, _) = client.ask("PUT", &last, &content[100_000..]).await;
        assert_eq!(answer.status(), 201);
        let (answer, found) = client.ask("GET", &format!("/v2/app/blobs/{digest}"), b"").await;
        assert_eq!(answer.status(), 200);
        assert!(found == content);
        let (answer, found) = client.ask("HEAD", &format!("/v2/app/blobs/{digest}"), b"").await;
        assert_eq!(answer.headers()["content-length"], "300000");
        assert!(found.is_empty());
        assert_eq!(
            client.requests.current_max_send_streams(),
            Limits::default().streams as usize
        );
    });
}

/// Neither a thread is held for what nobody takes, nor much memory.
#[test]
fn who_takes_nothing_of_what_they_asked_for_keeps_nobody_waiting() {
    let directory = tempfile::tempdir().expect("a directory");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let depot = runtime.block_on(Depot::open(&directory.path().join("depot"), Settings::default()));
    let server = Server::of(Arc::new(depot.expect("a depot")), writable());
    let digest = server.push_blob("app", &vec![1; 4 << 20]);
    run(async {
        let (mut left, mut clients) = (Vec::new(), Vec::new());
        // More than a runtime has threads that wait.
        for _ in 0..6 {
            let client = Client::new(&server).await;
            for _ in 0..Limits::default().streams {
                let request = Client::request("GET", &format!("/v2/app/blobs/{digest}"));
                let mut requests = client.requests.clone().ready().await.expect("it is open");
                let (answer, _) = requests
                    .send_request(request.body(()).expect("a request"), true)
                    .expect("sent");
                left.push(answer.await.expect("an answer"));
            }
            clients.push(client);
        }
        tokio::task::spawn_blocking(move || {
            server.get("/readyz").expect(200);
            server.push_image("app", "1");
            server.get(&format!("/v2/app/blobs/{digest}")).expect(200);
        })
        .await
        .expect("others are served");
        assert_eq!((left.len(), clients.len()), (600, 6));
    });
}

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const HEADERS: u8 = 1;
const RESET: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const CONTINUATION: u8 = 9;

/// A frame of HTTP/2.
fn frame(kind: u8, flags: u8, stream: u32, content: &[u8]) -> Vec<u8> {
    let length = u32::try_from(content.len()).expect("a frame").to_be_bytes();
    let mut frame = vec![length[1], length[2], length[3], kind, flags];
    frame.extend_from_slice(&stream.to_be_bytes());
    frame.extend_from_slice(content);
    frame
}

/// The reason of the first goodbye in what a server said.
fn goodbye(mut said: &[u8]) -> Option<u32> {
    while let Some((head, rest)) = said.split_at_checked(9) {
        let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
        let (content, rest) = rest.split_at_checked(length)?;
        if head[3] == GOAWAY {
            return Some(u32::from_be_bytes(content.get(4..8)?.try_into().ok()?));
        }
        said = rest;
    }
    None
}

/// Threat 101.
#[test]
fn who_asks_and_cancels_without_end_is_sent_away() {
    const END: u8 = 0x5;
    let server = Server::start();
    let mut client = server.connect();
    let mut sent = PREFACE.to_vec();
    sent.extend(frame(SETTINGS, 0, 0, b""));
    // GET / over http, of the static table.
    for stream in (1..20_000).step_by(2) {
        sent.extend(frame(HEADERS, END, stream, &[0x82, 0x86, 0x84]));
        sent.extend(frame(RESET, 0, stream, &u32::from(Reason::CANCEL).to_be_bytes()));
    }
    // It does not read all of that.
    let _ = client.write_all(&sent);
    let mut said = Vec::new();
    let _ = client.read_to_end(&mut said);
    // What was said is lost where the connection was reset behind it.
    let reason = goodbye(&said);
    assert!(
        reason.is_none_or(|reason| reason == u32::from(Reason::ENHANCE_YOUR_CALM)),
        "{reason:?}"
    );
    let answered = server.log.lock().expect("a log").len();
    assert!(answered < 1000, "{answered}");
    server.get("/v2/").expect(200);
}

#[test]
fn heads_have_a_limit() {
    let server = Server::start();
    run(async {
        let mut client = Client::new(&server).await;
        for (size, status) in [(100, 200), (Limits::default().head, 431)] {
            let request = Client::request("GET", "/v2/").header("x", "y".repeat(size));
            let (answer, _) = client
                .send(request.body(()).expect("a request"), b"")
                .await
                .expect("an answer");
            assert_eq!(answer.status(), status);
        }
        let (answer, _) = client.ask("GET", "/v2/", b"").await;
        assert_eq!(answer.status(), 200, "others on the connection are none the worse");
    });
}

#[test]
fn a_head_that_does_not_end_does() {
    let server = Server::start();
    let mut client = server.connect();
    let mut sent = PREFACE.to_vec();
    sent.extend(frame(SETTINGS, 0, 0, b""));
    sent.extend(frame(HEADERS, 0, 1, b""));
    client.write_all(&sent).expect("sent");
    // A literal field without a name in any table: "a: " and a hundred bytes.
    let mut field = vec![0, 1, b'a', 100];
    field.extend([b'y'; 100]);
    let flood = frame(CONTINUATION, 0, 1, &field.repeat(100));
    let mut count = 0;
    while client.write_all(&flood).is_ok() {
        count += 1;
        assert!(count < 10_000, "the server takes all of it");
    }
    let mut said = Vec::new();
    // What was said is lost where the connection was reset behind it.
    let _ = client.read_to_end(&mut said);
    let reason = goodbye(&said);
    assert!(
        reason.is_none_or(|reason| reason != u32::from(Reason::NO_ERROR)),
        "{reason:?}"
    );
    server.get("/v2/").expect(200);
}
