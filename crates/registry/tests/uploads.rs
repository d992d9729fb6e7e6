//! Is what was sent of an upload never lost, never mixed with another's, and never more than is allowed?

use std::{
    io::{Read, Write},
    net::Shutdown,
    sync::Arc,
    time::Duration,
};

use crate::support::{Server, answer, writable};
use teu_registry::{Limits, Settings};
use teu_spec::Digest;
use teu_store::ManyInMemory;

fn limited(limits: Limits) -> Server {
    let settings = Settings { limits, ..writable() };
    Server::of(Arc::new(ManyInMemory::new()), settings)
}

#[test]
fn what_came_before_a_connection_broke_need_not_be_sent_again() {
    let server = Server::start();
    let location = server.begin("app");
    let mut client = server.connect();
    let head = format!("PATCH {location} HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n0123456789");
    client.write_all(head.as_bytes()).expect("sent");
    client.shutdown(Shutdown::Write).expect("broken off");
    // It is answered, or the connection is closed: by then what came is kept.
    let _ = client.read_to_end(&mut Vec::new());
    let kept = server.get(&location).expect(204);
    assert_eq!(kept.header("range"), "0-9");
    server
        .ask("PATCH", &location, &[("Content-Range", "10-14")], b"abcde")
        .expect(202);
    let digest = Digest::of(b"0123456789abcde");
    server
        .ask("PUT", &format!("{location}?digest={digest}"), &[], b"")
        .expect(201);
    assert_eq!(
        server.get(&format!("/v2/app/blobs/{digest}")).content,
        b"0123456789abcde"
    );
}

/// Threat 86.
#[test]
fn one_request_writes_at_a_time() {
    let server = Server::start();
    let location = server.begin("app");
    let mut first = server.connect();
    let head = format!(
        "PATCH {location} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nExpect: 100-continue\r\nContent-Length: 10\r\n\r\n"
    );
    first.write_all(head.as_bytes()).expect("sent");
    // It is asked for its content when it has its turn.
    let mut asked = [0; 25];
    first.read_exact(&mut asked).expect("an answer");
    assert_eq!(&asked, b"HTTP/1.1 100 Continue\r\n\r\n");
    for method in ["PATCH", "PUT"] {
        let target = format!("{location}?digest={}", Digest::of(b"other"));
        let refused = server
            .ask(method, &target, &[], b"other")
            .refused(416, "BLOB_UPLOAD_INVALID");
        assert_eq!(refused.header("location"), location);
    }
    server.delete(&location).expect(416);
    first.write_all(b"0123456789").expect("sent");
    assert_eq!(answer(&mut first).expect(202).header("range"), "0-9");
    let digest = Digest::of(b"0123456789");
    server
        .ask("PUT", &format!("{location}?digest={digest}"), &[], b"")
        .expect(201);
}

#[test]
fn a_chunk_is_as_long_as_it_says() {
    let server = Server::start();
    let location = server.begin("app");
    for (range, content) in [
        ("0-8", &b"0123456789"[..]),
        ("0-10", b"0123456789"),
        ("0-", b"0"),
        ("9-5", b"0"),
    ] {
        let refused = server.ask("PATCH", &location, &[("Content-Range", range)], content);
        assert_eq!(refused.status, 400, "{range}: {}", refused.head);
    }
    // Nothing of them was taken.
    assert_eq!(server.get(&location).expect(204).header("range"), "0-0");
    // Where the length comes last, it is found out then.
    let refused = server.stream("PATCH", &location, &[("Content-Range", "0-3")], &[b"01", b"2345"]);
    refused.refused(400, "SIZE_INVALID");
    server.delete(&location).expect(204);
}

/// Threat 85.
#[test]
fn a_wrong_digest_stores_nothing() {
    let server = Server::start();
    let (said, sent) = (Digest::of(b"said"), Digest::of(b"sent"));
    let location = server.begin("app");
    for (method, target) in [("POST", "/v2/app/blobs/uploads/".to_owned()), ("PUT", location.clone())] {
        let answer = server.ask(method, &format!("{target}?digest={said}"), &[], b"sent");
        answer.refused(400, "DIGEST_INVALID");
        for digest in [said, sent] {
            server.head(&format!("/v2/app/blobs/{digest}")).expect(404);
        }
    }
    server.get(&location).refused(404, "BLOB_UPLOAD_UNKNOWN");
    assert_eq!(server.get("/v2/_catalog").json()["repositories"], serde_json::json!([]));
}

/// Threat 82.
#[test]
fn an_upload_is_known_by_its_whole_name_in_its_repository() {
    let server = Server::start();
    let location = server.begin("app");
    let id = location.rsplit('/').next().expect("a name");
    server.push_blob("other", b"content");
    for (target, status) in [
        (format!("/v2/other/blobs/uploads/{id}"), 404),
        (format!("/v2/app/blobs/uploads/{}", &id[1..]), 404),
        (format!("/v2/app/blobs/uploads/{}", id.to_uppercase()), 404),
        (format!("/v2/app/blobs/uploads/{id}x"), 404),
        ("/v2/app/blobs/uploads/..".to_owned(), 404),
        ("/v2/app/blobs/uploads/%2e%2e".to_owned(), 404),
        ("/v2/app/blobs/uploads/%00".to_owned(), 404),
        (format!("/v2/app/blobs/uploads/../uploads/{id}"), 400),
        (format!("/v2/app/blobs/uploads/..%2f{id}"), 400),
        (format!("/v2/app/blobs/uploads/x/../{id}"), 404),
    ] {
        for method in ["GET", "PATCH", "DELETE"] {
            let answer = server.ask(method, &target, &[], b"");
            assert!(
                answer.status == status || (status == 400 && answer.status == 404),
                "{method} {target}: {}",
                answer.head
            );
        }
    }
    server.get(&location).expect(204);
}

/// Threat 94.
#[test]
fn uploads_are_as_many_as_is_allowed() {
    let server = Server::start();
    let most = Limits::default().uploads;
    let mut open: Vec<String> = (0..most).map(|_| server.begin("app")).collect();
    let refused = server.ask("POST", "/v2/app/blobs/uploads/", &[], b"");
    let refused = refused.refused(429, "TOOMANYREQUESTS");
    assert_eq!(refused.header("retry-after"), "10");
    let message = refused.json()["errors"][0]["message"].to_string();
    assert!(message.contains(&format!("{most} uploads are open")), "{message}");
    // Nine thousand more change nothing; what is not an upload goes on.
    for _ in most..10_000 {
        assert_eq!(server.ask("POST", "/v2/app/blobs/uploads/", &[], b"").status, 429);
    }
    server.push_blob("app", b"whole");
    server.delete(&open.pop().expect("one")).expect(204);
    let location = server.begin("app");
    server.ask("POST", "/v2/app/blobs/uploads/", &[], b"").expect(429);
    let digest = Digest::of(b"content");
    server
        .ask("PUT", &format!("{location}?digest={digest}"), &[], b"content")
        .expect(201);
    server.begin("app");
}

#[test]
fn an_upload_that_nobody_goes_on_with_is_forgotten() {
    let server = limited(Limits {
        uploads: 1,
        upload_idle: Duration::ZERO,
        ..Limits::default()
    });
    let location = server.begin("app");
    // Room for another is made when it is asked for.
    let other = server.begin("app");
    server.get(&location).refused(404, "BLOB_UPLOAD_UNKNOWN");
    assert_ne!(location, other);
}

#[test]
fn a_client_that_sends_no_more_is_told_so() {
    let server = limited(Limits {
        body_idle: Duration::from_millis(50),
        ..Limits::default()
    });
    let location = server.begin("app");
    let head = format!("PATCH {location} HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n0123456789");
    let answer = server.raw(head.as_bytes()).refused(408, "SIZE_INVALID");
    let message = answer.json()["errors"][0]["message"].to_string();
    assert!(message.contains("nothing came for"), "{message}");
    assert_eq!(server.get(&location).expect(204).header("range"), "0-9");
}

/// Threat 103, but for the kill, which is told of where there are files.
#[test]
fn nothing_is_visible_of_what_is_not_all_there() {
    let server = Server::start();
    let content = b"0123456789";
    let digest = Digest::of(content);
    let location = server.begin("app");
    let mut client = server.connect();
    let head = format!("PUT {location}?digest={digest} HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n012345678");
    client.write_all(head.as_bytes()).expect("sent");
    client.shutdown(Shutdown::Write).expect("broken off");
    let _ = client.read_to_end(&mut Vec::new());
    server.head(&format!("/v2/app/blobs/{digest}")).expect(404);
    server
        .ask("PUT", &format!("{location}?digest={digest}"), &[], b"9")
        .expect(201);
    server.head(&format!("/v2/app/blobs/{digest}")).expect(200);
}
