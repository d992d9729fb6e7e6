//! Does large content come in as it was sent, whichever way it comes and wherever it is cut off? Much of it is read into memory of its own
//! (`registry::direct`), of which there is only so much.

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpStream},
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use crate::support::{Server, uploaded, writable};
use teu_depot::{Depot, Settings};
use teu_spec::Digest;

pub(crate) const MIB: usize = 1 << 20;
/// How long is waited for what was sent to come, on a machine that has much else to do.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn serve(directory: &Path) -> Server {
    serve_by(directory, writable())
}

pub(crate) fn serve_by(directory: &Path, settings: teu_registry::Settings) -> Server {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let depot = runtime.block_on(Depot::open(&directory.join("depot"), Settings::default()));
    Server::of(Arc::new(depot.expect("a depot")), settings)
}

/// Content in which no part is like another.
pub(crate) fn content(length: usize) -> Vec<u8> {
    (0..length).map(|n| (n % 251 + n / 65_521) as u8).collect()
}

pub(crate) fn put(location: &str, content: &[u8], more: &str) -> Vec<u8> {
    let (digest, length) = (Digest::of(content), content.len());
    format!("PUT {location}?digest={digest} HTTP/1.1\r\nHost: a\r\n{more}Content-Length: {length}\r\n\r\n").into_bytes()
}

/// The status of the next answer, which has no content.
pub(crate) fn status(client: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        client.read_exact(&mut byte).expect("an answer");
        head.extend(byte);
    }
    String::from_utf8(head).expect("text")[9..12].to_owned()
}

#[track_caller]
pub(crate) fn shows(server: &Server, repository: &str, content: &[u8]) {
    let digest = Digest::of(content);
    let found = server.get(&format!("/v2/{repository}/blobs/{digest}")).expect(200);
    assert!(found.content == content, "{repository} {digest}");
}

#[test]
fn what_is_large_comes_in_as_it_was_sent() {
    let directory = tempfile::tempdir().expect("a directory");
    let server = serve(directory.path());
    for length in [2 * MIB, 3 * MIB - 1, 3 * MIB, 3 * MIB + 1, 5 * MIB + 12_345] {
        let content = content(length);
        server.push_blob("whole", &content);
        shows(&server, "whole", &content);
    }
    let content = content(7 * MIB + 5);
    let digest = Digest::of(&content);
    // In parts of which none begins where a disk wants it, and in one whose length nobody knows before.
    let location = server.begin("parts");
    for part in content.chunks(3 * MIB + MIB / 2 + 7) {
        server.ask("PATCH", &location, &[], part).expect(202);
    }
    server
        .ask("PUT", &format!("{location}?digest={digest}"), &[], b"")
        .expect(201);
    shows(&server, "parts", &content);
    let location = server.begin("chunks");
    let parts: Vec<&[u8]> = content.chunks(3 * MIB + MIB / 2 + 7).collect();
    server
        .stream("PUT", &format!("{location}?digest={digest}"), &[], &parts)
        .expect(201);
    shows(&server, "chunks", &content);
}

/// What is asked next may come before anybody waits for it: the last bytes of one request and all of the next are read at once.
#[test]
fn requests_that_do_not_wait_for_one_another_do_not_mix() {
    let directory = tempfile::tempdir().expect("a directory");
    let server = serve(directory.path());
    let contents: Vec<Vec<u8>> = [4 * MIB, 3 * MIB + 70_000, 10, 5 * MIB + 1].map(content).into();
    let mut all = Vec::new();
    for content in &contents {
        all.extend(put(&server.begin("app"), content, ""));
        all.extend(content);
        all.extend(b"HEAD /v2/ HTTP/1.1\r\nHost: a\r\n\r\n");
    }
    let mut client = server.connect();
    let mut writer = client.try_clone().expect("a handle");
    let written = std::thread::spawn(move || writer.write_all(&all).expect("sent"));
    for _ in &contents {
        assert_eq!([status(&mut client), status(&mut client)], ["201", "200"]);
    }
    written.join().expect("sent");
    contents.iter().for_each(|content| shows(&server, "app", content));
}

#[test]
fn who_waits_to_be_asked_for_content_is_asked_for_it() {
    let directory = tempfile::tempdir().expect("a directory");
    let server = serve(directory.path());
    let content = content(4 * MIB + 9);
    let mut client = server.connect();
    let head = put(&server.begin("app"), &content, "Expect: 100-continue\r\n");
    client.write_all(&head).expect("sent");
    assert_eq!(status(&mut client), "100");
    client.write_all(&content).expect("sent");
    assert_eq!(status(&mut client), "201");
    shows(&server, "app", &content);
}

/// Who is refused hears it, in the middle of content and on a connection that had content before.
#[test]
fn what_is_refused_in_the_middle_is_refused_as_it_is_at_the_end() {
    let directory = tempfile::tempdir().expect("a directory");
    let server = serve(directory.path());
    let content = content(6 * MIB);
    let mut client = server.connect();
    client
        .write_all(&put(&server.begin("app"), &content, ""))
        .expect("sent");
    client.write_all(&content).expect("sent");
    assert_eq!(status(&mut client), "201");
    // It is longer than it is said to be, which is known after 3 MiB; the rest is not waited for.
    let location = server.begin("app");
    let range = format!("Content-Range: 0-{}\r\n", 3 * MIB);
    let head = format!(
        "PATCH {location} HTTP/1.1\r\nHost: a\r\n{range}Transfer-Encoding: chunked\r\n\r\n{:x}\r\n",
        content.len()
    );
    client.write_all(head.as_bytes()).expect("sent");
    client.write_all(&content[..4 * MIB]).expect("sent");
    assert_eq!(status(&mut client), "400");
    let mut client = server.connect();
    client
        .write_all(&put("/v2/app/blobs/uploads/x", &content, ""))
        .expect("sent");
    client.write_all(&content).expect("sent");
    assert_eq!(status(&mut client), "404");
    let wrong = put(&server.begin("app"), &content[1..], "");
    let mut client = server.connect();
    client.write_all(&wrong).expect("sent");
    client.write_all(&content[..content.len() - 1]).expect("sent");
    assert_eq!(status(&mut client), "400");
}

/// What came before a connection broke stays to its last byte, and is gone on with.
#[test]
fn what_is_cut_off_is_gone_on_with() {
    const SENT: usize = 3 * MIB + MIB / 2 + 3;
    let directory = tempfile::tempdir().expect("a directory");
    let mut server = serve(directory.path());
    let content = content(6 * MIB);
    let digest = Digest::of(&content);
    let begin = |server: &Server| {
        let location = server.begin("app");
        let mut client = server.connect();
        let head = format!(
            "PATCH {location} HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n",
            content.len()
        );
        client.write_all(head.as_bytes()).expect("sent");
        client.write_all(&content[..SENT]).expect("sent");
        (location, client)
    };
    let (broken, mut client) = begin(&server);
    client.shutdown(Shutdown::Write).expect("broken off");
    let _ = client.read_to_end(&mut Vec::new());
    let (stopped, client) = begin(&server);
    // Whole pieces are written; what is in one that is not whole is kept when the server stops.
    let written = || uploaded(directory.path(), &stopped);
    let begun = Instant::now();
    while written() < 3 * MIB as u64 {
        assert!(begun.elapsed() < PATIENCE, "no more than {} came", written());
        std::thread::yield_now();
    }
    let registry = Arc::clone(&server.registry);
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(registry.close());
    drop((registry, client));
    server.stop();
    drop(server);
    let server = serve(directory.path());
    for location in [broken, stopped] {
        let range = server.get(&location).expect(204).header("range").to_owned();
        assert_eq!(range, format!("0-{}", SENT - 1));
        let last = format!("{location}?digest={digest}");
        server.ask("PUT", &last, &[], &content[SENT..]).expect(201);
        shows(&server, "app", &content);
    }
}

/// Clients that stand still hold the memory that large content is read into; who comes then goes on without it, and they do when they go on.
#[test]
fn clients_that_stand_still_keep_no_other_from_pushing() {
    /// More than there are pieces of that memory.
    const STILL: usize = 44;
    /// Each has begun a piece.
    const SENT: usize = 2 * MIB + 600_000;
    /// The most that is read at once where there is no piece.
    const AT_ONCE: usize = 256 << 10;
    let directory = tempfile::tempdir().expect("a directory");
    let server = serve(directory.path());
    let whole = content(3 * MIB + 10);
    let still: Vec<_> = (0..STILL)
        .map(|_| {
            let location = server.begin("still");
            let mut client = server.connect();
            client
                .write_all(&put(&location, &whole, "Connection: close\r\n"))
                .expect("sent");
            client.write_all(&whole[..SENT]).expect("sent");
            (client, location)
        })
        .collect();
    let written = |location: &str| uploaded(directory.path(), location);
    let all_have = |least: usize| {
        for (_, location) in &still {
            let begun = Instant::now();
            while written(location) <= least as u64 {
                assert!(begun.elapsed() < PATIENCE, "no more than {} came", written(location));
                std::thread::yield_now();
            }
        }
    };
    // What is in a piece that is not whole is not written, nor in what stands for one.
    all_have(SENT - MIB);
    let other = content(7 * MIB + 3);
    server.push_blob("other", &other);
    shows(&server, "other", &other);
    // A piece that is not filled in its time is written as it is, and others have it.
    all_have(SENT - AT_ONCE);
    for (mut client, _) in still {
        client.write_all(&whole[SENT..]).expect("sent");
        assert_eq!(status(&mut client), "201");
    }
    shows(&server, "still", &whole);
}
