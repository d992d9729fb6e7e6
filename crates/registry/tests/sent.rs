//! Does a blob that lies in a file go out as it is, whole and in part, whatever stands before and behind it on its connection?

use std::{
    io::{Read, Write},
    sync::Arc,
};

use crate::support::{Server, Setup, certificates, client::Client, lab, writable};
use teu_depot::{Depot, Settings};
use teu_registry::Tls;
use teu_spec::Digest;

/// A registry over a depot, and blobs of it: larger than what is sent at once, larger than what is read, small, and of zeros.
fn filled() -> (tempfile::TempDir, Server, Vec<Vec<u8>>) {
    let directory = tempfile::tempdir().expect("a directory");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let depot = runtime.block_on(Depot::open(&directory.path().join("depot"), Settings::default()));
    let server = Server::of(Arc::new(depot.expect("a depot")), writable());
    let blobs: Vec<Vec<u8>> = [3_333_333, 70_000, 500]
        .map(|size: usize| (0..size).map(|n| (n % 251) as u8).collect())
        .into_iter()
        .chain([vec![0; 200_000], vec![0; 60_000]])
        .collect();
    for blob in &blobs {
        server.push_blob("app", blob);
    }
    (directory, server, blobs)
}

fn target(blob: &[u8]) -> String {
    format!("/v2/app/blobs/{}", Digest::of(blob))
}

#[test]
fn a_blob_is_sent_whole_and_in_part() {
    let (_directory, server, blobs) = filled();
    let mut client = Client::new(&server.address.to_string()).expect("a connection");
    for blob in &blobs {
        let target = target(blob);
        let whole = client.ask("GET", &target, "", b"").expect("an answer").expect(200);
        assert!(whole.content == *blob, "{}", blob.len());
        let head = client.ask("HEAD", &target, "", b"").expect("an answer").expect(200);
        assert_eq!(head.find("content-length"), Some(&*blob.len().to_string()));
        let size = blob.len();
        for (first, last) in [
            (0, 0),
            (0, size - 1),
            (1, size - 1),
            (size / 3, size / 2),
            (size - 1, size - 1),
        ] {
            let fields = format!("Range: bytes={first}-{last}\r\n");
            let part = client.ask("GET", &target, &fields, b"").expect("an answer");
            assert_eq!(part.status, 206);
            assert!(part.content == blob[first..=last], "{first}-{last} of {size}");
        }
    }
}

/// All is asked for before anything is read: what is sent from files and what is not stand behind each other.
#[test]
fn answers_keep_their_order_where_many_wait() {
    let (_directory, server, blobs) = filled();
    let mut connection = server.connect();
    let mut expected = Vec::new();
    let mut asked = Vec::new();
    for round in 0..12 {
        for blob in blobs
            .iter()
            .cycle()
            .skip(round)
            .step_by(round % 3 + 1)
            .take(blobs.len())
        {
            asked.extend_from_slice(format!("GET {} HTTP/1.1\r\nHost: a\r\n\r\n", target(blob)).as_bytes());
            expected.push(blob);
        }
    }
    connection.write_all(&asked).expect("sent");
    let mut all = std::io::BufReader::new(connection);
    for (place, blob) in expected.into_iter().enumerate() {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            all.read_exact(&mut byte).expect("a head");
            head.push(byte[0]);
        }
        assert!(
            head.starts_with(b"HTTP/1.1 200 OK\r\n"),
            "{place}: {}",
            String::from_utf8_lossy(&head)
        );
        let mut content = vec![0; blob.len()];
        all.read_exact(&mut content).expect("content");
        assert!(content == *blob, "{place}");
    }
}

#[test]
fn who_goes_away_in_the_middle_holds_nothing() {
    let (directory, server, blobs) = filled();
    for _ in 0..20 {
        let mut connection = server.connect();
        let request = format!("GET {} HTTP/1.1\r\nHost: a\r\n\r\n", target(&blobs[0]));
        connection.write_all(request.as_bytes()).expect("sent");
        connection.read_exact(&mut [0; 1000]).expect("its beginning");
    }
    assert!(server.get(&target(&blobs[0])).expect(200).content == blobs[0]);
    // What is cut short while it lies there is no answer that looks whole.
    let (digest, mut cut) = (Digest::of(&blobs[0]).hex().to_string(), 0);
    let part = directory.path().join("depot/blobs").join(&digest[..2]);
    for entry in std::fs::read_dir(part).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.to_string_lossy().contains(&digest) {
            let file = std::fs::File::options().write(true).open(path).expect("a file");
            file.set_len(2_000_000).expect("shorter");
            cut += 1;
        }
    }
    assert_eq!(cut, 1);
    server.get(&target(&blobs[0])).refused(404, "BLOB_UNKNOWN");
}

/// In HTTP/2 content goes out in frames, and by TLS encrypted: it is read for that.
#[test]
fn it_is_the_same_in_http_2_and_by_tls() {
    const TEST: &str = "sent::it_is_the_same_in_http_2_and_by_tls";
    let Some(shown) = certificates::authority(TEST) else {
        return;
    };
    if !lab::has(TEST, &["curl"]) {
        return;
    }
    let (directory, mut server, blobs) = filled();
    server.stop();
    drop(server);
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let depot = runtime
        .block_on(Depot::open(&directory.path().join("depot"), Settings::default()))
        .expect("a depot");
    for tls in [
        None,
        Some(Arc::new(Tls::new(shown.identity(), None).expect("a certificate"))),
    ] {
        let scheme = if tls.is_some() { "https" } else { "http" };
        let setup = Setup {
            tls,
            ..Setup::default()
        };
        let server = Server::with(Arc::new(depot.clone()), writable(), setup);
        for version in ["--http1.1", "--http2-prior-knowledge"] {
            for blob in &blobs {
                let output = std::process::Command::new("curl")
                    .args(["--silent", "--show-error", "--fail", version, "--cacert"])
                    .arg(shown.directory.path().join("cert.pem"))
                    .arg(format!("{scheme}://{}{}", server.address, target(blob)))
                    .output()
                    .expect("it runs");
                assert!(
                    output.status.success(),
                    "{scheme} {version}: {}",
                    String::from_utf8_lossy(&output.stderr)
                );
                assert!(output.stdout == *blob, "{scheme} {version}: {}", blob.len());
            }
        }
    }
}
