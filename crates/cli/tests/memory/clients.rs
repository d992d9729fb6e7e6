//! What came of many clients and waits has a limit for all of them.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    sync::Arc,
    thread,
    time::Duration,
};

use bytes::Bytes;
use futures_util::future::join_all;
use h2::{RecvStream, client::SendRequest};
use teu_registry::{
    http::{Request, Response},
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use teu_spec::{Algorithm, Hasher};
use tokio::net::TcpStream as TcpStreamOfTasks;
use tokio_rustls::{
    TlsConnector,
    rustls::{ClientConfig, RootCertStore, crypto::ring},
};

use crate::{
    MIB,
    support::{Room, Served, peer::certificate, peers},
    told, within,
};

/// What a server may take, whatever is asked of it.
const SERVED: u64 = 100 << 20;
/// How long it may take for an answer.
const PATIENCE: Duration = Duration::from_secs(300);

/// How many clients push at once.
const CLIENTS: u64 = 256;

/// However much the clients of a server push at once, what came of it and waits has a limit for all of them.
#[test]
fn two_hundred_and_fifty_six_clients_push_at_once_into_100_mib() {
    let whole = |content: &[u8]| content.to_vec();
    let length = |count: usize| format!("Content-Length: {count}");
    push(
        "two_hundred_and_fifty_six_clients_push_at_once_into_100_mib",
        whole,
        whole,
        length,
    );
}

/// Nor does it help not to say how much it is, as clients do that compress while they push.
#[test]
fn two_hundred_and_fifty_six_clients_push_in_chunks_into_100_mib() {
    // As Go's clients frame it.
    let framed = |content: &[u8]| {
        let chunks = content.chunks(32 << 10).map(|chunk| {
            let head = format!("{:x}\r\n", chunk.len());
            [head.as_bytes(), chunk, b"\r\n"].concat()
        });
        chunks.collect::<Vec<_>>().concat()
    };
    let last = |content: &[u8]| [&framed(content)[..], b"0\r\n\r\n"].concat();
    let length = |_| "Transfer-Encoding: chunked".to_owned();
    push(
        "two_hundred_and_fifty_six_clients_push_in_chunks_into_100_mib",
        framed,
        last,
        length,
    );
}

/// Pushes by plain HTTP/1.1: `framed` is how what is everybody's is sent, `last` how the end is that is each one's, and `length` says how much it will be.
fn push(
    test: &str,
    framed: impl Fn(&[u8]) -> Vec<u8>,
    last: impl Fn(&[u8]) -> Vec<u8> + Sync,
    length: impl Fn(usize) -> String + Sync,
) {
    let room = Room::new();
    let server = Served::start(&room, &["--progress", "none", "--data", "depot"]);
    let content = content();
    let (sent, hasher) = (framed(&content), hashed(&content));
    let ask = |stream: &mut BufReader<TcpStream>, parts: &[&[u8]]| {
        for part in parts {
            stream.get_mut().write_all(part).expect("sent");
        }
        let lines = stream.by_ref().lines().map(|line| line.expect("an answer in time"));
        lines.take_while(|line| !line.is_empty()).collect::<Vec<_>>()
    };
    let begin = || {
        let stream = TcpStream::connect(&server.address).expect("a connection");
        // No answer is an error; how long one takes is not what this is about.
        stream.set_read_timeout(Some(PATIENCE)).expect("a limit");
        stream.set_write_timeout(Some(PATIENCE)).expect("a limit");
        let mut stream = BufReader::new(stream);
        let begun = ask(
            &mut stream,
            &[b"POST /v2/app/blobs/uploads/ HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"],
        );
        let location = begun.iter().find_map(|line| line.strip_prefix("Location: "));
        (stream, location.expect("where it goes on").to_owned())
    };
    let push = |number: u64, (mut stream, location): (BufReader<TcpStream>, String)| {
        let mut hasher = hasher.clone();
        hasher.update(&number.to_le_bytes());
        let (digest, length) = (hasher.finish(), length(content.len() + 8));
        let head = format!("PUT {location}?digest={digest} HTTP/1.1\r\nHost: a\r\n{length}\r\n\r\n");
        let done = ask(&mut stream, &[head.as_bytes(), &sent, &last(&number.to_le_bytes())]);
        assert_eq!(done[0], "HTTP/1.1 201 Created");
    };
    // All are there before the first of them pushes.
    let all = thread::scope(|scope| {
        let begun: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(begin)).collect();
        let all = begun.into_iter().map(|begun| begun.join().expect("begun"));
        all.collect::<Vec<_>>()
    });
    thread::scope(|scope| {
        for (number, begun) in (0..).zip(all) {
            let push = &push;
            scope.spawn(move || push(number, begun));
        }
    });
    held(test, &server);
}

/// All but the last bytes, which are everybody's.
fn content() -> Vec<u8> {
    (0..4 * MIB).map(|n| (n / 4096 + n % 251) as u8).collect()
}

/// What a hash has made of them.
fn hashed(content: &[u8]) -> Hasher {
    let mut hasher = Algorithm::Sha256.hasher();
    hasher.update(content);
    hasher
}

fn held(test: &str, server: &Served) {
    let peaks = vec![("256 clients", server.peak())];
    told(test, "4 MiB each", &peaks);
    // What is not optimised takes more for each task: some 10 MiB in all where content comes in chunks.
    within(&peaks, SERVED + if cfg!(debug_assertions) { 12 * MIB } else { 0 });
}

/// Nor to have it deciphered, and taken out of frames.
#[test]
fn two_hundred_and_fifty_six_clients_push_by_tls_and_http2_into_100_mib() {
    let test = "two_hundred_and_fifty_six_clients_push_by_tls_and_http2_into_100_mib";
    if !peers(test, &["openssl"]) {
        return;
    }
    let room = Room::new();
    fs::create_dir(room.path("shown")).expect("a directory");
    certificate(&room.path("shown"), false);
    let mut roots = RootCertStore::empty();
    let shown = CertificateDer::from_pem_file(room.path("shown/cert.pem")).expect("a certificate");
    roots.add(shown).expect("a certificate");
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().expect("versions");
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let connector = TlsConnector::from(Arc::new(config));
    let tls = ["--tls-certificate", "shown/cert.pem", "--tls-key", "shown/key.pem"];
    let server = Served::start(&room, &[&["--progress", "none", "--data", "depot"], &tls[..]].concat());
    let content = Bytes::from(content());
    let hasher = hashed(&content);
    let begin = async || {
        let stream = TcpStreamOfTasks::connect(&server.address).await.expect("a connection");
        let name = ServerName::try_from("127.0.0.1").expect("a name");
        let stream = connector.connect(name, stream).await.expect("TLS");
        let (requests, connection) = h2::client::handshake(stream).await.expect("HTTP/2");
        tokio::spawn(connection);
        let begun = ask(&requests, "POST", "/v2/app/blobs/uploads/", &[]).await;
        let location = begun.headers()["location"].to_str().expect("text").to_owned();
        (requests, location)
    };
    let push = async |number: u64, (requests, location): &(SendRequest<Bytes>, String)| {
        let number = number.to_le_bytes();
        let mut hasher = hasher.clone();
        hasher.update(&number);
        let target = format!("{location}?digest={}", hasher.finish());
        let parts = [content.clone(), Bytes::copy_from_slice(&number)];
        let done = ask(requests, "PUT", &target, &parts).await;
        assert_eq!(done.status(), 201);
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let all = join_all((0..CLIENTS).map(|_| begin())).await;
        let pushed = join_all((0..).zip(&all).map(|(number, begun)| push(number, begun)));
        tokio::time::timeout(PATIENCE, pushed).await.expect("answers in time");
    });
    held(test, &server);
}

/// Asks by HTTP/2.
async fn ask(requests: &SendRequest<Bytes>, method: &str, path: &str, parts: &[Bytes]) -> Response<RecvStream> {
    let request = Request::builder()
        .method(method)
        .uri(format!("https://127.0.0.1{path}"));
    let mut requests = requests.clone().ready().await.expect("it is open");
    let request = request.body(()).expect("a request");
    let (answer, mut stream) = requests.send_request(request, parts.is_empty()).expect("sent");
    for (place, part) in parts.iter().enumerate() {
        stream.send_data(part.clone(), place + 1 == parts.len()).expect("sent");
    }
    answer.await.expect("an answer")
}

/// Nor does who begins manifests, which are gathered, and leaves them: they would be 1 GiB.
#[test]
fn two_hundred_and_fifty_six_manifests_that_do_not_end_are_bounded() {
    /// What is gathered, and what the connections have that it came by.
    const MOST: u64 = SERVED + 96 * MIB;
    let room = Room::new();
    let server = Served::start(&room, &["--progress", "none", "--data", "depot", "--idle-body", "2s"]);
    let head = "PUT /v2/app/manifests/1 HTTP/1.1\r\nHost: a\r\nContent-Length: 4194304\r\n\r\n";
    let content = [head.as_bytes(), &vec![b' '; 4 << 20][1..]].concat();
    let push = || {
        let mut stream = TcpStream::connect(&server.address).expect("a connection");
        stream.set_read_timeout(Some(PATIENCE)).expect("a limit");
        // It is let go before it has said all.
        let _ = stream.write_all(&content);
        let mut status = [0; 12];
        // Where the connection was reset behind it, what was said may be lost.
        let heard = stream.read_exact(&mut status);
        heard.ok().map(|()| String::from_utf8_lossy(&status[9..]).into_owned())
    };
    let statuses = thread::scope(|scope| {
        let pushed: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(push)).collect();
        let ended = pushed.into_iter().map(|pushed| pushed.join().expect("it ends"));
        ended.collect::<Vec<_>>()
    });
    let others = statuses
        .iter()
        .flatten()
        .find(|status| !["408", "503"].contains(&status.as_str()));
    assert_eq!(others, None);
    let peaks = vec![("256 clients", server.peak())];
    let test = "two_hundred_and_fifty_six_manifests_that_do_not_end_are_bounded";
    told(test, "4 MiB each", &peaks);
    within(&peaks, MOST);
}
