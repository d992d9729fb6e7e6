//! Is what clients have us hold in memory bounded for all of them together, and do others get through meanwhile?

use std::{
    io::Write,
    net::TcpStream,
    sync::Arc,
    time::{Duration, Instant},
};

use crate::support::{Server, image, writable};
use bytes::Bytes;
use futures_util::future::join_all;
use http::Request;
use teu_registry::{Limits, Settings};
use teu_spec::Document;
use teu_store::ManyInMemory;

const MIB: usize = 1 << 20;
const TYPE: &str = "application/vnd.oci.image.manifest.v1+json";

/// A registry that gathers 16 MiB, and does not wait long.
fn server() -> Server {
    let limits = Limits {
        gathered: 16 << 20,
        body_idle: Duration::from_secs(1),
        ..Limits::default()
    };
    Server::of(Arc::new(ManyInMemory::new()), Settings { limits, ..writable() })
}

/// The image of [`Server::push_image`] with an annotation of so many bytes.
fn large(size: usize) -> Document {
    let document = image("1");
    let text = String::from_utf8(document.raw().to_vec()).expect("text");
    let text = text.replacen(
        '{',
        &format!("{{\"annotations\":{{\"a\":\"{}\"}},", "x".repeat(size)),
        1,
    );
    Document::parse(Bytes::from(text), None).expect("a manifest")
}

/// Those that are large come to their end again when nothing else is gathered.
fn is_free(server: &Server) {
    let begin = Instant::now();
    while server.registry.gauges().gathered > 0 {
        assert!(begin.elapsed() < Duration::from_secs(20), "it is never free");
    }
    server.push("app", "large", &large(4 * MIB - 1024)).expect(201);
    assert_eq!(server.registry.gauges().gathered, 0);
}

/// Waits until as much is gathered as may be of what is large.
fn is_full(server: &Server) -> usize {
    let begin = Instant::now();
    loop {
        let gathered = server.registry.gauges().gathered;
        assert!(gathered <= 16 * MIB, "{gathered}");
        if gathered >= 4 * MIB {
            return gathered;
        }
        assert!(begin.elapsed() < Duration::from_secs(20), "{gathered}");
    }
}

#[test]
fn of_many_connections() {
    let server = server();
    server.push_image("app", "1");
    let head = format!(
        "PUT /v2/app/manifests/2 HTTP/1.1\r\nHost: a\r\nContent-Type: {TYPE}\r\nContent-Length: {}\r\n\r\n",
        4 * MIB
    );
    let content = &[head.as_bytes(), &vec![b' '; 3 * MIB]].concat();
    let clients: Vec<TcpStream> = (0..30).map(|_| server.connect()).collect();
    std::thread::scope(|scope| {
        for mut client in &clients {
            // It is let go before it has said all.
            scope.spawn(move || client.write_all(content).err());
        }
        is_full(&server);
        // A manifest as most are finds its room.
        server.push("app", "3", &image("1")).expect(201);
    });
    // None of them came to its end: nothing came for too long, or there was no room.
    let mut statuses = Vec::new();
    for mut client in clients {
        let mut said = [0; 12];
        // Where the connection was reset behind it, what was said may be lost.
        if std::io::Read::read_exact(&mut client, &mut said).is_ok() {
            statuses.push(String::from_utf8_lossy(&said[9..]).into_owned());
        }
    }
    assert!(
        statuses.iter().all(|status| status == "408" || status == "503"),
        "{statuses:?}"
    );
    is_free(&server);
}

#[test]
fn of_one_connection_with_many_requests() {
    let server = server();
    server.push_image("app", "1");
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build();
    let runtime = runtime.expect("a runtime");
    let statuses = runtime.block_on(async {
        let stream = tokio::net::TcpStream::connect(server.address)
            .await
            .expect("a connection");
        let (mut requests, connection) = h2::client::handshake(stream).await.expect("HTTP/2");
        tokio::spawn(connection);
        let mut answers = Vec::new();
        for _ in 0..40 {
            requests = requests.ready().await.expect("it is open");
            let request = Request::put("http://registry.example/v2/app/manifests/2").header("content-type", TYPE);
            let (answer, mut content) = requests
                .send_request(request.body(()).expect("a request"), false)
                .expect("sent");
            content
                .send_data(Bytes::from(vec![b' '; 3 * MIB]), false)
                .expect("sent");
            // It is never said that this is the end.
            answers.push(async move {
                let answer = answer.await;
                drop(content);
                answer.expect("an answer")
            });
        }
        let answers = tokio::spawn(join_all(answers));
        let server = &server;
        tokio::task::block_in_place(|| {
            is_full(server);
            server.push("app", "3", &image("1")).expect(201);
        });
        let answers = answers.await.expect("answers");
        for answer in answers.iter().filter(|answer| answer.status() == 503) {
            assert_eq!(answer.headers()["retry-after"], "10");
        }
        answers
            .iter()
            .map(|answer| answer.status().as_u16())
            .collect::<Vec<_>>()
    });
    assert_eq!(statuses.len(), 40);
    assert!(
        statuses.iter().all(|status| [408, 503].contains(status)),
        "{statuses:?}"
    );
    assert!(statuses.contains(&503), "{statuses:?}");
    is_free(&server);
}

/// What is not read of an answer is held as long as the connection is.
#[test]
fn of_lists_that_nobody_reads() {
    let server = server();
    let document = server.push_image("app", "1");
    let names: Vec<String> = (0..1000).map(|place| format!("{place:0>100}")).collect();
    for names in names.chunks(100) {
        let tags: Vec<String> = names.iter().map(|name| format!("tag={name}")).collect();
        let target = format!("/v2/app/manifests/{}?{}", names[0], tags[1..].join("&"));
        server
            .ask("PUT", &target, &[("Content-Type", TYPE)], document.raw())
            .expect(201);
    }
    let list = server.get("/v2/app/tags/list").expect(200);
    assert_eq!(list.json()["tags"].as_array().map(Vec::len), Some(1001));
    let begin = Instant::now();
    while server.registry.gauges().gathered > 0 {
        assert!(begin.elapsed() < Duration::from_secs(20), "it is never free");
    }
    // So many of it as fill all that a socket takes.
    let mut client = server.connect();
    let asked = "GET /v2/app/tags/list HTTP/1.1\r\nHost: a\r\n\r\n".repeat(1000);
    client.write_all(asked.as_bytes()).expect("sent");
    let begin = Instant::now();
    let is_held = || {
        server.get("/v2/").expect(200);
        server.registry.gauges().gathered == list.content.len()
    };
    // It is, whatever others do meanwhile.
    while !(0..5).all(|_| is_held()) {
        assert!(begin.elapsed() < Duration::from_secs(20), "it is not held");
    }
    drop(client);
    let begin = Instant::now();
    while server.registry.gauges().gathered > 0 {
        assert!(begin.elapsed() < Duration::from_secs(20), "it is never free");
    }
}
