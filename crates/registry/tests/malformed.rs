//! Is nothing read in two ways, and does nobody hold the server by sending slowly, or much? Bytes as an enemy sends them, over sockets.

use std::{
    io::{ErrorKind, Read, Write},
    sync::Arc,
    time::Duration,
};

use crate::support::{self, Server, writable};
use teu_registry::{Limits, Metrics, Settings};
use teu_store::ManyInMemory;

fn limited(limits: Limits) -> Server {
    let settings = Settings { limits, ..writable() };
    Server::of(Arc::new(ManyInMemory::new()), settings)
}

/// Threat 93.
#[test]
fn what_is_read_in_two_ways_is_refused() {
    let server = Server::start();
    let location = server.begin("app");
    let smuggled = "DELETE /v2/app/manifests/1 HTTP/1.1\r\nHost: a\r\n\r\n";
    let patch = format!("PATCH {location} HTTP/1.1\r\nHost: a\r\n");
    for (name, request) in [
        (
            "CL.TE",
            format!("{patch}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{smuggled}"),
        ),
        (
            "TE.CL",
            format!("{patch}Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n{smuggled}"),
        ),
        (
            "CL.CL",
            format!("{patch}Content-Length: 0\r\nContent-Length: 5\r\n\r\n{smuggled}"),
        ),
        (
            "CL twice the same",
            format!("{patch}Content-Length: 5\r\nContent-Length: 5\r\n\r\n01234"),
        ),
        ("CL of two", format!("{patch}Content-Length: 0, 5\r\n\r\n{smuggled}")),
        ("CL signed", format!("{patch}Content-Length: +5\r\n\r\n01234")),
        (
            "CL of 2^64",
            format!("{patch}Content-Length: 18446744073709551616\r\n\r\n"),
        ),
        (
            "TE of gzip",
            format!("{patch}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
        ),
        (
            "TE twice",
            format!("{patch}Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n{smuggled}"),
        ),
        (
            "TE in HTTP/1.0",
            format!("PATCH {location} HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        ),
        (
            "TE with a space",
            format!("{patch}Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n{smuggled}"),
        ),
        ("bare LF in a field", format!("{patch}X: y\nContent-Length: 0\r\n\r\n")),
        ("bare LF at the end", format!("{patch}X: y\r\n\n")),
        (
            "bare LF of the first line",
            "GET /v2/ HTTP/1.1\nHost: a\r\n\r\n".to_owned(),
        ),
        ("bare CR", format!("{patch}X: y\rContent-Length: 5\r\n\r\n")),
        ("obs-fold", format!("{patch}X: y\r\n Content-Length: 5\r\n\r\n")),
        ("obs-fold by a tab", format!("{patch}X: y\r\n\tz\r\n\r\n")),
        ("NUL in a value", format!("{patch}X: y\0z\r\n\r\n")),
        ("NUL in a name", format!("{patch}X\0: y\r\n\r\n")),
        ("NUL in a path", "GET /v2/\0 HTTP/1.1\r\nHost: a\r\n\r\n".to_owned()),
        ("no host", "GET /v2/ HTTP/1.1\r\n\r\n".to_owned()),
        (
            "two hosts",
            "GET /v2/ HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n".to_owned(),
        ),
        ("no version", "GET /v2/\r\n\r\n".to_owned()),
        ("no field", format!("{patch}nothing\r\n\r\n")),
        ("a space in a path", "GET /v2/ x HTTP/1.1\r\nHost: a\r\n\r\n".to_owned()),
        (
            "a chunk that ends by LF",
            format!("{patch}Transfer-Encoding: chunked\r\n\r\n5\n01234\r\n0\r\n\r\n"),
        ),
        (
            "a chunk of a negative size",
            format!("{patch}Transfer-Encoding: chunked\r\n\r\n-1\r\n01234\r\n0\r\n\r\n"),
        ),
        (
            "a chunk longer than it says",
            format!("{patch}Transfer-Encoding: chunked\r\n\r\n2\r\n01234\r\n0\r\n\r\n"),
        ),
        (
            "a chunk of 2^64",
            format!("{patch}Transfer-Encoding: chunked\r\n\r\n10000000000000000\r\n"),
        ),
    ] {
        let before = server.log.lock().expect("a log").len();
        let answer = server.raw(request.as_bytes());
        assert_eq!(answer.status, 400, "{name}: {}", answer.head);
        // It is told of once: as a request where its head was right, else as something that was refused.
        support::until(|| server.log.lock().expect("a log").len() > before);
        let told = server.last().expect("it is told");
        assert_eq!(told.status, 400, "{name}");
        match name.starts_with("a chunk") {
            true => assert_eq!((told.method.as_str(), &told.refused), ("PATCH", &None), "{name}"),
            false => {
                let why = "what came is no request, or one that can be read in two ways";
                assert_eq!(
                    (told.method.as_str(), told.refused.as_deref()),
                    ("-", Some(why)),
                    "{name}"
                );
                assert!(told.peer.is_some());
            }
        }
        // What follows is no request: one answer, and the end.
        let rest = String::from_utf8_lossy(&answer.content);
        assert!(!rest.contains("HTTP/1.1"), "{name}: {rest}");
    }
    let log = server.log.lock().expect("a log").clone();
    assert!(!log.iter().any(|asked| asked.method == "DELETE"));
    // The first began the upload.
    assert_eq!(log.len(), 30);
    // Of all of them, two bytes of a chunk were right.
    assert_eq!(server.get(&location).expect(204).header("range"), "0-1");
}

#[test]
fn requests_that_follow_each_other_are_each_answered() {
    let server = Server::start();
    let location = server.begin("app");
    let requests = format!(
        "\r\nGET /v2/ HTTP/1.1\r\nHost: a\r\n\r\n\
         PATCH {location} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3;x=\"y\"\r\n\n\r\0\r\n2\r\nab\r\n0\r\nT: u\r\n\r\n\
         PATCH {location} HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n\n\n\n\
         GET {location} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
    );
    let all = server.raw(requests.as_bytes());
    let said = format!("{}\r\n\r\n{}", all.head, String::from_utf8_lossy(&all.content));
    let answers: Vec<&str> = said.split("HTTP/1.1 ").skip(1).map(|answer| &answer[..3]).collect();
    assert_eq!(answers, ["200", "202", "202", "204"], "{said}");
    assert!(said.contains("Range: 0-7"), "{said}");
}

/// Threat 81.
#[test]
fn no_path_leads_out() {
    let server = Server::start();
    server.push_image("app", "1");
    for (target, status) in [
        ("/v2/../../etc/passwd", 404),
        ("/../etc/passwd", 404),
        ("/v2/%2e%2e/%2e%2e/etc/passwd", 404),
        ("/v2/..%2f..%2fetc/passwd", 400),
        ("/v2/%2e%2e/manifests/passwd", 400),
        ("/v2/app%2fx/manifests/1", 400),
        ("/v2/app/manifests/..%2f1", 400),
        ("/v2/app/../app/manifests/1", 400),
        ("/v2/./app/manifests/1", 400),
        ("/v2//app/manifests/1", 400),
        ("/v2/app/manifests/%00", 404),
        ("/v2/app%00/manifests/1", 400),
        ("/v2/app/blobs/sha256:%2e%2e%2f%2e%2e", 400),
        ("/v2/app/blobs/..", 400),
        ("/v2/app/blobs/sha256:0/../../../../etc/passwd", 404),
        ("/v2/app/manifests/%", 400),
        ("/v2/app/manifests/%zz", 400),
        ("/v2/app/manifests/%ff", 400),
        ("/v2/app/tags/list?last=%ff", 400),
        ("//v2/", 404),
        ("/v2/app/manifests/1/", 404),
        ("*", 404),
    ] {
        let answer = server.get(target);
        assert!(
            answer.status == status || (answer.status == 404 && status == 400),
            "{target}: {}",
            answer.head
        );
    }
}

/// Threats 83 and 95.
#[test]
fn numbers_and_tags_are_what_they_can_be() {
    let server = Server::start();
    let image = server.push_image("app", "1");
    for n in [
        "9223372036854775808",
        "18446744073709551616",
        "99999999999999999999999999",
        "10001",
    ] {
        for list in ["/v2/app/tags/list", "/v2/_catalog"] {
            let answer = server.get(&format!("{list}?n={n}")).expect(200);
            assert_eq!(answer.find("link"), None);
        }
    }
    for n in ["-1", "1.5", "1e3", "+1", "", "x", "0x10", "%31%00"] {
        for list in ["/v2/app/tags/list", "/v2/_catalog"] {
            let answer = server.get(&format!("{list}?n={n}"));
            answer.refused(400, "PAGINATION_NUMBER_INVALID");
        }
    }
    let (longest, longer) = ("a".repeat(128), "a".repeat(129));
    server.push("app", &longest, &image).expect(201);
    for tag in [
        &longer,
        "a%0ab",
        "a%0d%0aX%20y",
        "-a",
        ".a",
        "%c3%a9",
        "a%20b",
        "a%00b",
        "a+b",
    ] {
        server.push("app", tag, &image).refused(400, "TAG_INVALID");
        server
            .get(&format!("/v2/app/manifests/{tag}"))
            .refused(404, "MANIFEST_UNKNOWN");
        let target = format!("/v2/app/manifests/{}?tag={tag}", teu_spec::Digest::of(image.raw()));
        server.ask("PUT", &target, &[], image.raw()).refused(400, "TAG_INVALID");
    }
    let tags = server.get("/v2/app/tags/list").json();
    assert_eq!(tags["tags"], serde_json::json!(["1", longest]));
}

#[test]
fn heads_have_a_limit() {
    limits_heads(&Server::start(), Limits::default().head);
}

/// Where nothing is pushed no more is read at once than a head may have.
#[test]
fn heads_have_a_limit_where_all_that_is_read_at_once_has_it() {
    for head in [Limits::default().head, 8 << 10] {
        let mut settings = support::writable();
        settings.writable = false;
        settings.limits.head = head;
        limits_heads(&Server::of(Arc::new(ManyInMemory::new()), settings), head);
    }
}

fn limits_heads(server: &Server, most: usize) {
    let limits = Limits::default();
    let fields = |count: usize| (0..count).map(|n| format!("X-{n}: y\r\n")).collect::<String>();
    // Two of them are the host and that the connection ends.
    for (name, head, status) in [
        ("as many as may be", fields(limits.headers - 2), 200),
        ("one more", fields(limits.headers - 1), 431),
        ("a flood", fields(100_000), 431),
        (
            "nearly as long as may be",
            format!("X: {}\r\n", "y".repeat(most - 100)),
            200,
        ),
        ("a long value", format!("X: {}\r\n", "y".repeat(most)), 431),
        ("a long name", format!("{}: y\r\n", "x".repeat(most)), 431),
    ] {
        let request = format!("GET /v2/ HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{head}\r\n");
        let mut client = server.connect();
        // What is refused before its end need not be read to it.
        let _ = client.write_all(request.as_bytes());
        let answer = support::answer(&mut client);
        assert_eq!(answer.status, status, "{name}: {}", answer.head);
        if status == 200 {
            continue;
        }
        let why = match name.contains("long") {
            true => format!("the head of the request has more than max.head of {most} bytes"),
            false => "the head of the request has more than max.headers of 100 fields".to_owned(),
        };
        let answer = answer.refused(431, "UNSUPPORTED");
        assert_eq!(answer.json()["errors"][0]["message"], why.as_str(), "{name}");
        assert_eq!(answer.header("connection"), "close");
        let told = server.last().expect("it is told");
        assert_eq!(
            (told.method.as_str(), told.target.as_str(), told.status.as_u16()),
            ("GET", "/v2/", 431)
        );
        assert_eq!(told.refused, Some(why), "{name}");
    }
    let path = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(most));
    let answer = server.raw(path.as_bytes());
    assert!(matches!(answer.status, 414 | 431), "{}", answer.head);
    support::until(|| server.last().is_some_and(|told| told.method == "-"));
    let why = format!("the head of the request has more than max.head of {most} bytes");
    assert_eq!(server.last().and_then(|told| told.refused), Some(why));
}

/// Whose client speaks TLS where none is spoken finds that in the log.
#[test]
fn tls_where_none_is_spoken_is_told_of() {
    let server = Server::start();
    let hello = [0x16, 3, 1, 0, 200, 1, 0, 0, 196, 3, 3];
    assert_eq!(server.raw(&hello).status, 400);
    support::until(|| server.last().is_some());
    let told = server.last().expect("it is told");
    assert_eq!(
        (told.method.as_str(), told.target.as_str(), told.status.as_u16()),
        ("-", "-", 400)
    );
    let why = "what came is TLS, which is not spoken at this address";
    assert_eq!(told.refused.as_deref(), Some(why));
    let metrics = Metrics::new();
    metrics.count(&told);
    let line = "teu_registry_requests_total{method=\"other\",endpoint=\"other\",status=\"400\"} 1";
    assert!(metrics.text().lines().any(|found| found == line), "{}", metrics.text());
}

/// What was asked before on the same connection is answered; what is refused is not done in part.
#[test]
fn what_comes_before_a_head_that_is_too_long_is_answered() {
    let server = Server::start();
    let location = server.begin("app");
    let fields = "X: y\r\n".repeat(200);
    let requests = format!(
        "GET /v2/ HTTP/1.1\r\nHost: a\r\n\r\n\
         PATCH {location} HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n{fields}\r\nabc"
    );
    let all = server.raw(requests.as_bytes());
    let said = format!("{}\r\n\r\n{}", all.head, String::from_utf8_lossy(&all.content));
    let answers: Vec<&str> = said.split("HTTP/1.1 ").skip(1).map(|answer| &answer[..3]).collect();
    assert_eq!(answers, ["200", "431"], "{said}");
    assert!(server.get(&location).expect(204).header("range").ends_with("0-0"));
}

/// Threat 69, on our side. Whoever sends half a head, or nothing, or half of what HTTP/2 begins with, is let go; so is who asked and asks no more.
#[test]
fn who_sends_no_head_is_let_go() {
    let patience = Duration::from_millis(300);
    let server = limited(Limits {
        head_time: patience,
        connection_idle: patience * 2,
        connections: 1,
        ..Limits::default()
    });
    for begun in [
        "",
        "G",
        "PRI * HT",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "GET /v2/ HTTP/1.1\r\nHost: a\r\nX: ",
        "GET /v2/ HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /v2/ HTTP/1.1\r\nHost: a\r\n\r\nGET /v2/ HTT",
    ] {
        let mut client = server.connect();
        client.write_all(begun.as_bytes()).expect("sent");
        // There is one place alone: the next one has it when this one is let go.
        let mut said = Vec::new();
        let ended = client.read_to_end(&mut said);
        assert!(ended.is_ok() || !said.is_empty(), "{begun:?}: {ended:?}");
    }
}

/// The time of a head is for heads: who keeps a connection for the next request is not let go by it.
#[test]
fn who_asks_again_later_is_still_there() {
    let patience = Duration::from_millis(200);
    let server = limited(Limits {
        head_time: patience,
        ..Limits::default()
    });
    let mut client = server.connect();
    for _ in 0..2 {
        client.write_all(b"GET /v2/ HTTP/1.1\r\nHost: a\r\n\r\n").expect("sent");
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n{}") {
            let mut byte = [0];
            client.read_exact(&mut byte).expect("an answer");
            head.push(byte[0]);
        }
        assert!(head.starts_with(b"HTTP/1.1 200 OK"));
        client.set_read_timeout(Some(patience * 4)).expect("patience");
        let silence = client.read(&mut [0]).expect_err("it is not ended");
        assert!(
            matches!(silence.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
            "{silence}"
        );
        client.set_read_timeout(None).expect("patience");
    }
}

#[test]
fn who_reads_no_answer_is_let_go() {
    let server = limited(Limits {
        connection_idle: Duration::from_secs(2),
        connections: 1,
        ..Limits::default()
    });
    let digest = server.push_blob("app", &vec![7; 64 << 20]);
    let mut client = server.connect();
    let request = format!("GET /v2/app/blobs/{digest} HTTP/1.1\r\nHost: a\r\n\r\n");
    client.write_all(request.as_bytes()).expect("sent");
    // It is accepted when there is room.
    server.get("/v2/").expect(200);
    let log = server.log.lock().expect("a log");
    let cut = log.iter().find(|asked| asked.target.ends_with(&digest.to_string()));
    assert!(cut.is_some_and(|asked| asked.sent < 64 << 20), "{cut:?}");
}
