//! Does each client get what it relies on? Their habits, as they were seen on the wire: those of Docker, containerd, containers/image and of
//! whoever reads lists and errors.

use std::{
    io::{Read, Write},
    net::TcpStream,
    sync::Arc,
    thread,
};

use crate::support::{self, Server, image, writable};
use serde_json::json;
use teu_registry::{Children, Settings};
use teu_spec::{Algorithm, Digest};
use teu_store::ManyInMemory;

const CONTENT: &[u8] =
    b"a layer of a hundred bytes, which are cut where a client likes to cut them, in two pieces or in five";

fn pieces(content: &[u8]) -> Vec<&[u8]> {
    content.chunks(23).collect()
}

#[test]
fn docker_streams_a_layer_and_reads_how_far_it_came() {
    let server = Server::start();
    let digest = Digest::of(CONTENT);
    let missing = server.head(&format!("/v2/app/blobs/{digest}")).expect(404);
    assert_eq!(missing.header("docker-distribution-api-version"), "registry/2.0");
    let location = server.begin("app");
    // One PATCH in chunks, which says nothing of where its bytes belong.
    let answer = server
        .stream("PATCH", &location, &[], &pieces(&CONTENT[..60]))
        .expect(202);
    assert_eq!(answer.header("range"), "0-59");
    assert_eq!(answer.header("docker-upload-uuid"), &location[location.len() - 32..]);
    // The next says it in the old spelling, without a unit.
    let headers = [("Content-Range", "60-99"), ("Content-Type", "application/octet-stream")];
    let answer = server
        .ask("PATCH", answer.header("location"), &headers, &CONTENT[60..])
        .expect(202);
    assert_eq!(answer.header("range"), "0-99");
    let target = format!("{}?digest={digest}", answer.header("location"));
    let answer = server.ask("PUT", &target, &[], b"").expect(201);
    assert_eq!(answer.header("docker-content-digest"), digest.to_string());
    assert_eq!(answer.header("location"), format!("/v2/app/blobs/{digest}"));
    let head = server.head(answer.header("location")).expect(200);
    assert_eq!(head.header("content-length"), "100");
    assert_eq!(server.get(answer.header("location")).content, CONTENT);
}

#[test]
fn a_range_of_no_bytes_is_one_that_docker_reads() {
    let server = Server::start();
    let location = server.begin("app");
    // It fails on a Range whose end is before its beginning.
    for (method, status) in [("GET", 204), ("PATCH", 202)] {
        assert_eq!(
            server.ask(method, &location, &[], b"").expect(status).header("range"),
            "0-0"
        );
    }
}

#[test]
fn heads_say_how_long_and_which() {
    let server = Server::start();
    let image = server.push_image("app", "1");
    let digest = Digest::of(image.raw());
    for reference in ["1".to_owned(), digest.to_string()] {
        let target = format!("/v2/app/manifests/{reference}");
        for answer in [server.head(&target), server.get(&target)] {
            let answer = answer.expect(200);
            assert_eq!(answer.header("content-length"), image.raw().len().to_string());
            assert_eq!(answer.header("docker-content-digest"), digest.to_string());
            assert_eq!(
                answer.header("content-type"),
                "application/vnd.oci.image.manifest.v1+json"
            );
        }
    }
    let layer = &image.children()[1];
    let target = format!("/v2/app/blobs/{}", layer.digest);
    let answer = server.head(&target).expect(200);
    assert_eq!(answer.header("content-length"), layer.size.to_string());
    assert_eq!(answer.header("docker-content-digest"), layer.digest.to_string());
    assert_eq!(answer.content, b"");
    // An error has a length too.
    let answer = server.head("/v2/app/manifests/absent").expect(404);
    assert_ne!(answer.header("content-length"), "0");
    assert_eq!(answer.content, b"");
}

#[test]
fn a_head_has_no_part_and_what_has_no_content_no_length() {
    let server = Server::start();
    let digest = server.push_blob("app", CONTENT);
    let blob = format!("/v2/app/blobs/{digest}");
    let head = server.ask("HEAD", &blob, &[("Range", "bytes=1-2")], b"").expect(200);
    assert_eq!(head.header("content-length"), "100");
    let location = server.begin("app");
    for method in ["GET", "HEAD"] {
        let answer = server.ask(method, &location, &[], b"").expect(204);
        assert!(answer.find("content-length").is_none(), "{method}");
    }
    // Some write a digest without the quotes of a tag.
    let has = [("If-None-Match", digest.to_string())];
    server.ask("GET", &blob, &[(has[0].0, &has[0].1)], b"").expect(304);
}

#[test]
fn what_is_not_here_is_named() {
    let server = Server::start();
    server.push_blob("app", CONTENT);
    let absent = Digest::of(b"absent");
    for (target, message) in [
        (
            "/v2/app/manifests/v1".to_owned(),
            "there is no manifest v1 in app".to_owned(),
        ),
        (
            format!("/v2/app/manifests/{absent}"),
            format!("there is no manifest {absent} in app"),
        ),
        (
            "/v2/app/manifests/.v1".to_owned(),
            "there is no manifest \".v1\" in app".to_owned(),
        ),
        (
            "/v2/a/b/tags/list".to_owned(),
            "there is no repository a/b here".to_owned(),
        ),
        (
            "/v2/a/b/manifests/v1".to_owned(),
            "there is no repository a/b here".to_owned(),
        ),
    ] {
        let answer = server.get(&target).expect(404);
        assert_eq!(answer.json()["errors"][0]["message"], message, "{target}");
    }
}

#[test]
fn containerd_pushes_in_one_stream_and_says_which_registry_it_means() {
    let server = Server::start();
    let digest = Digest::of(CONTENT);
    let answer = server
        .ask("POST", "/v2/app/blobs/uploads/?ns=registry.example", &[], b"")
        .expect(202);
    let target = format!("{}?digest={digest}&ns=registry.example", answer.header("location"));
    let answer = server.stream("PUT", &target, &[], &pieces(CONTENT)).expect(201);
    assert_eq!(answer.header("docker-content-digest"), digest.to_string());
    let image = image("1");
    server.push_image("app", "1");
    for target in [
        "/v2/?ns=registry.example".to_owned(),
        "/v2/app/manifests/1?ns=registry.example".to_owned(),
        format!("/v2/app/blobs/{}?ns=registry.example", image.children()[1].digest),
        "/v2/app/tags/list?ns=registry.example".to_owned(),
    ] {
        server.get(&target).expect(200);
    }
}

#[test]
fn a_layer_is_fetched_by_ranges_side_by_side() {
    let server = Server::start();
    let content: Vec<u8> = (0..1_000_003_u32).map(|n| (n.wrapping_mul(n) >> 7) as u8).collect();
    let digest = server.push_blob("app", &content);
    let target = format!("/v2/app/blobs/{digest}");
    let parts: Vec<Vec<u8>> = thread::scope(|scope| {
        let starts = (0..content.len()).step_by(100_000);
        let asked: Vec<_> = starts
            .map(|start| {
                let (server, target, total) = (&server, &target, content.len());
                scope.spawn(move || {
                    // The last one asks for more than there is, as it does not know better.
                    let end = start + 99_999;
                    let range = format!("bytes={start}-{end}");
                    let answer = server.ask("GET", target, &[("Range", &range)], b"").expect(206);
                    let last = end.min(total - 1);
                    assert_eq!(answer.header("content-range"), format!("bytes {start}-{last}/{total}"));
                    assert_eq!(answer.header("content-length"), (last + 1 - start).to_string());
                    answer.content
                })
            })
            .collect();
        asked.into_iter().map(|asked| asked.join().expect("a part")).collect()
    });
    assert!(parts.concat() == content);
    // What goes on behind the end of what it has is told so.
    let behind = format!("bytes={}-", content.len());
    let answer = server.ask("GET", &target, &[("Range", &behind)], b"").expect(416);
    assert_eq!(answer.header("content-range"), format!("bytes */{}", content.len()));
    // All of it is a range too, for who asked for one.
    let whole = server.ask("GET", &target, &[("Range", "bytes=0-")], b"").expect(206);
    assert_eq!(whole.header("content-range"), "bytes 0-1000002/1000003");
    assert!(whole.content == content);
}

/// As stargz's snapshotter asks, which takes what it gets for what it asked for.
#[test]
fn several_ranges_come_in_one_answer() {
    let server = Server::start();
    let content = b"0123456789";
    let digest = server.push_blob("app", content);
    let target = format!("/v2/app/blobs/{digest}");
    let ask = |method: &str, range: &str| server.ask(method, &target, &[("Range", range)], b"");
    for (range, parts) in [
        ("bytes=0-0,1-1", &[("0-0", "0"), ("1-1", "1")][..]),
        ("bytes=7-, 2-4", &[("7-9", "789"), ("2-4", "234")]),
        ("bytes=-1,0-1,3-3", &[("9-9", "9"), ("0-1", "01"), ("3-3", "3")]),
    ] {
        let answer = ask("GET", range).expect(206);
        let media_type = answer.header("content-type");
        let boundary = media_type
            .strip_prefix("multipart/byteranges; boundary=")
            .expect("a boundary");
        assert_eq!(boundary.len(), 32);
        let part = |(place, part): (&str, &str)| {
            format!(
                "--{boundary}\r\nContent-Type: application/octet-stream\r\nContent-Range: bytes {place}/10\r\n\r\n{part}\r\n"
            )
        };
        let expected: String = parts.iter().copied().map(part).collect();
        assert_eq!(
            String::from_utf8(answer.content.clone()).expect("text"),
            format!("{expected}--{boundary}--\r\n"),
            "{range}"
        );
        assert_eq!(answer.header("content-length"), answer.content.len().to_string());
        assert_eq!(answer.header("docker-content-digest"), digest.to_string());
        assert_eq!(answer.find("content-range"), None);
    }
    // Of those that are not there one that is comes alone.
    let one = ask("GET", "bytes=20-,4-5").expect(206);
    assert_eq!(
        (one.header("content-range"), &one.content[..]),
        ("bytes 4-5/10", &b"45"[..])
    );
    ask("GET", "bytes=20-,10-11").refused(416, "RANGE_INVALID");
    // No byte is sent twice, and no head more often than is of use.
    let many: Vec<String> = (0..17).map(|place| format!("{place}-{place}")).collect();
    for range in ["bytes=0-5,5-9", "bytes=0-,0-,0-", &format!("bytes={}", many.join(","))] {
        let answer = ask("GET", range).expect(200);
        assert_eq!(answer.content, content, "{range}");
    }
    // Nothing has no ranges, and is given to who asks for one.
    let nothing = server.push_blob("app", b"");
    let nothing = format!("/v2/app/blobs/{nothing}");
    for range in ["bytes=0-", "bytes=0-9", "bytes=-1", "bytes=0-0,1-1"] {
        let answer = server.ask("GET", &nothing, &[("Range", range)], b"").expect(200);
        assert_eq!(
            (answer.header("content-length"), &answer.content[..]),
            ("0", &b""[..]),
            "{range}"
        );
    }
}

#[test]
fn a_mount_that_is_declined_is_an_upload_that_is_cancelled() {
    let server = Server::start();
    let absent = Digest::of(b"absent");
    for from in ["&from=other", ""] {
        let target = format!("/v2/app/blobs/uploads/?mount={absent}{from}");
        let answer = server.ask("POST", &target, &[], b"").expect(202);
        let location = answer.header("location").to_owned();
        server.get(&location).expect(204);
        server.delete(&location).expect(204);
        server.get(&location).refused(404, "BLOB_UPLOAD_UNKNOWN");
    }
    let shared = server.push_blob("other", CONTENT);
    for (repository, from) in [("one", "&from=other"), ("two", "")] {
        let target = format!("/v2/{repository}/blobs/uploads/?mount={shared}{from}");
        let answer = server.ask("POST", &target, &[], b"").expect(201);
        assert_eq!(answer.header("location"), format!("/v2/{repository}/blobs/{shared}"));
        assert_eq!(answer.header("docker-content-digest"), shared.to_string());
        assert_eq!(server.get(answer.header("location")).content, CONTENT);
    }
}

#[test]
fn a_mount_of_what_can_be_nowhere_is_an_upload() {
    let server = Server::start();
    let digest = Digest::of(CONTENT);
    for query in [
        format!("mount={digest}&from=NO"),
        format!("mount={digest}&from="),
        "mount=bad".to_owned(),
    ] {
        let answer = server.ask("POST", &format!("/v2/app/blobs/uploads/?{query}"), &[], b"");
        answer.expect(202);
    }
}

#[test]
fn every_location_holds_behind_a_proxy() {
    let server = Server::start();
    let image = server.push_image("app", "1");
    let session = server.ask("POST", "/v2/app/blobs/uploads/", &[("X-Forwarded-Proto", "https")], b"");
    let session = session.expect(202).header("location").to_owned();
    let mut locations = vec![session.clone()];
    locations.push(server.ask("PATCH", &session, &[], b"x").header("location").to_owned());
    locations.push(server.get(&session).header("location").to_owned());
    let last = format!("{session}?digest={}", Digest::of(b"x"));
    locations.push(server.ask("PUT", &last, &[], b"").header("location").to_owned());
    locations.push(server.push("app", "2", &image).header("location").to_owned());
    for location in locations {
        assert!(location.starts_with("/v2/app/"), "{location}");
    }
}

#[test]
fn every_answer_says_which_api_it_is_of() {
    let server = Server::start();
    server.push_image("app", "1");
    for (method, target, status) in [
        ("GET", "/v2/", 200),
        ("GET", "/v2", 200),
        ("GET", "/v2/app/manifests/1", 200),
        ("GET", "/v2/app/manifests/2", 404),
        ("GET", "/v2/nothing", 404),
        ("PATCH", "/v2/", 405),
        ("GET", "/v2/app/blobs/sha256:x", 400),
        ("GET", "/v2/app/tags/list?n=-1", 400),
        ("POST", "/v2/app/blobs/uploads/?digest=md5:x", 400),
    ] {
        let answer = server.ask(method, target, &[], b"").expect(status);
        let stated: Vec<&str> = answer.all("docker-distribution-api-version").collect();
        assert_eq!(stated, ["registry/2.0"], "{method} {target}");
    }
    assert_eq!(
        server
            .get("/elsewhere")
            .expect(404)
            .find("docker-distribution-api-version"),
        None
    );
}

#[test]
fn lists_come_in_byte_order_and_page_by_page() {
    let server = Server::start();
    let image = image("1");
    let (config, layer) = (&image.children()[0], b"1");
    let config = server.ask("GET", &format!("/v2/app/blobs/{}", config.digest), &[], b"");
    assert_eq!(config.status, 404);
    for name in ["b", "a/b", "a", "c-d"] {
        server.push_image(name, "1");
        assert_eq!(Digest::of(layer), image.children()[1].digest);
    }
    for tag in ["b", "B", "_x", "a.1", "a-1", "10", "9", "A"] {
        server.push("a", tag, &image).expect(201);
    }
    let ordered = ["1", "10", "9", "A", "B", "_x", "a-1", "a.1", "b"];
    let all = server.get("/v2/a/tags/list").expect(200);
    assert_eq!(all.json(), json!({"name": "a", "tags": ordered}));
    assert_eq!(all.find("link"), None);
    let page = server.get("/v2/a/tags/list?n=4").expect(200);
    assert_eq!(page.json()["tags"], json!(ordered[..4]));
    assert_eq!(page.header("link"), "</v2/a/tags/list?n=4&last=A>; rel=\"next\"");
    // The next page is where the last one says, and a tag that is gone is still a place to go on from.
    server.delete("/v2/a/manifests/A").expect(202);
    let page = server.get("/v2/a/tags/list?n=4&last=A").expect(200);
    assert_eq!(page.json()["tags"], json!(ordered[4..8]));
    let page = server.get("/v2/a/tags/list?n=4&last=a.1").expect(200);
    assert_eq!(page.json()["tags"], json!(["b"]));
    assert_eq!(page.find("link"), None);
    let beyond = server.get("/v2/a/tags/list?last=zz").expect(200);
    assert_eq!(beyond.json(), json!({"name": "a", "tags": []}));
    let repositories = server.get("/v2/_catalog?n=2").expect(200);
    assert_eq!(repositories.json(), json!({"repositories": ["a", "a/b"]}));
    assert_eq!(repositories.header("link"), "</v2/_catalog?n=2&last=a/b>; rel=\"next\"");
    let repositories = server.get("/v2/_catalog?n=2&last=a/b").expect(200);
    assert_eq!(repositories.json(), json!({"repositories": ["b", "c-d"]}));
    assert_eq!(repositories.find("link"), None);
    for (target, key) in [("/v2/a/tags/list?n=0", "tags"), ("/v2/_catalog?n=0", "repositories")] {
        let none = server.get(target).expect(200);
        assert_eq!(none.json()[key], json!([]));
        assert_eq!(none.find("link"), None);
    }
}

#[test]
fn errors_are_told_in_the_specifications_words() {
    let server = Server::of(
        Arc::new(ManyInMemory::new()),
        Settings {
            children: Children::Required,
            ..writable()
        },
    );
    let image = server.push_image("app", "1");
    let digest = Digest::of(b"absent");
    let session = server.begin("app");
    let manifest = ("Content-Type", "application/vnd.oci.image.manifest.v1+json");
    let other = support::image("other layer");
    for (method, target, content, status, code) in [
        ("GET", format!("/v2/app/blobs/{digest}"), &b""[..], 404, "BLOB_UNKNOWN"),
        ("GET", "/v2/app/manifests/2".to_owned(), b"", 404, "MANIFEST_UNKNOWN"),
        (
            "GET",
            format!("/v2/app/manifests/{digest}"),
            b"",
            404,
            "MANIFEST_UNKNOWN",
        ),
        ("DELETE", "/v2/app/manifests/2".to_owned(), b"", 404, "MANIFEST_UNKNOWN"),
        ("DELETE", format!("/v2/app/blobs/{digest}"), b"", 404, "BLOB_UNKNOWN"),
        ("GET", "/v2/none/tags/list".to_owned(), b"", 404, "NAME_UNKNOWN"),
        ("GET", "/v2/BAD/tags/list".to_owned(), b"", 400, "NAME_INVALID"),
        ("GET", "/v2/app/blobs/sha256:0".to_owned(), b"", 400, "DIGEST_INVALID"),
        (
            "GET",
            "/v2/app/tags/list?n=x".to_owned(),
            b"",
            400,
            "PAGINATION_NUMBER_INVALID",
        ),
        ("PUT", "/v2/app/manifests/1".to_owned(), b"{}", 400, "MANIFEST_INVALID"),
        (
            "PUT",
            format!("/v2/app/manifests/{digest}"),
            image.raw(),
            400,
            "DIGEST_INVALID",
        ),
        ("PUT", "/v2/app/manifests/-".to_owned(), image.raw(), 400, "TAG_INVALID"),
        (
            "PUT",
            "/v2/app/manifests/3".to_owned(),
            other.raw(),
            400,
            "MANIFEST_BLOB_UNKNOWN",
        ),
        ("PUT", session.clone(), b"", 400, "DIGEST_INVALID"),
        (
            "PUT",
            format!("{session}?digest={digest}"),
            b"other",
            400,
            "DIGEST_INVALID",
        ),
        (
            "PATCH",
            "/v2/app/blobs/uploads/none".to_owned(),
            b"",
            404,
            "BLOB_UPLOAD_UNKNOWN",
        ),
        ("POST", "/v2/".to_owned(), b"", 405, "UNSUPPORTED"),
    ] {
        server.ask(method, &target, &[manifest], content).refused(status, code);
    }
    let missing = server.push("app", "3", &other).refused(400, "MANIFEST_BLOB_UNKNOWN");
    let layer = other.children()[1].digest.to_string();
    assert_eq!(missing.json()["errors"][0]["detail"], json!({ "digest": layer }));
}

#[test]
fn a_client_that_lost_its_place_finds_it_again() {
    let server = Server::start();
    let location = server.begin("app");
    server
        .ask("PATCH", &location, &[("Content-Range", "0-9")], &CONTENT[..10])
        .expect(202);
    // Again what was there, and what leaves a gap.
    for range in ["0-9", "5-14", "11-20", "bytes 20-29/100"] {
        let answer = server.ask("PATCH", &location, &[("Content-Range", range)], &CONTENT[..10]);
        let answer = answer.refused(416, "BLOB_UPLOAD_INVALID");
        assert_eq!(answer.header("range"), "0-9", "{range}");
        assert_eq!(answer.header("location"), location);
    }
    let answer = server.get(&location).expect(204);
    assert_eq!(answer.header("range"), "0-9");
    let target = answer.header("location").to_owned();
    server
        .ask("PATCH", &target, &[("Content-Range", "10-99")], &CONTENT[10..])
        .expect(202);
    let digest = Digest::of(CONTENT);
    server
        .ask("PUT", &format!("{target}?digest={digest}"), &[], b"")
        .expect(201);
}

#[test]
fn blobs_may_be_of_sha512() {
    let server = Server::start();
    let digest = Algorithm::Sha512.digest(CONTENT);
    let whole = format!("/v2/one/blobs/uploads/?digest={digest}");
    server.ask("POST", &whole, &[], CONTENT).expect(201);
    // The session begins without knowing which; it may also be told.
    for begin in [
        "/v2/two/blobs/uploads/",
        "/v2/three/blobs/uploads/?digest-algorithm=sha512",
    ] {
        let location = server
            .ask("POST", begin, &[], b"")
            .expect(202)
            .header("location")
            .to_owned();
        server.ask("PATCH", &location, &[], &CONTENT[..50]).expect(202);
        let last = format!("{location}?digest={digest}");
        server.ask("PUT", &last, &[], &CONTENT[50..]).expect(201);
    }
    for repository in ["one", "two", "three"] {
        let answer = server.get(&format!("/v2/{repository}/blobs/{digest}")).expect(200);
        assert_eq!(answer.content, CONTENT);
        assert_eq!(answer.header("docker-content-digest"), digest.to_string());
    }
    let wrong = Algorithm::Sha512.digest(b"other");
    let refused = server.ask("POST", &format!("/v2/one/blobs/uploads/?digest={wrong}"), &[], CONTENT);
    refused.refused(400, "DIGEST_INVALID");
}

#[test]
fn what_others_pushed_is_no_page_of_ours() {
    let server = Server::start();
    let digest = server.push_blob("app", b"<script>alert(1)</script>");
    let answer = server
        .ask(
            "GET",
            &format!("/v2/app/blobs/{digest}"),
            &[("Accept", "text/html")],
            b"",
        )
        .expect(200);
    assert_eq!(answer.header("x-content-type-options"), "nosniff");
    assert_eq!(answer.header("content-type"), "application/octet-stream");
    assert_eq!(
        server
            .get("/v2/%3Cscript%3E")
            .expect(404)
            .header("x-content-type-options"),
        "nosniff"
    );
}

#[test]
fn a_client_that_waits_is_told_to_go_on() {
    use std::io::{BufRead, BufReader, Write};

    let server = Server::start();
    let location = server.begin("app");
    let mut client: TcpStream = server.connect();
    let head = format!(
        "PATCH {location} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n",
        server.address
    );
    client.write_all(head.as_bytes()).expect("sent");
    let mut line = String::new();
    let mut lines = BufReader::new(client.try_clone().expect("a handle"));
    lines.read_line(&mut line).expect("a line");
    assert_eq!(line, "HTTP/1.1 100 Continue\r\n");
    lines.read_line(&mut line).expect("an empty line");
    client.write_all(b"bytes").expect("sent");
    assert_eq!(support::answer(&mut client).expect(202).header("range"), "0-4");
}

/// Names are the same in any case (RFC 9110, section 5.1), but scripts that look through a head by hand want those of registry:2.
#[test]
fn names_of_header_fields_are_in_the_letters_of_registry_2() {
    let server = Server::start();
    let mut client = TcpStream::connect(server.address).expect("a connection");
    let digest = Digest::of(b"content");
    let target = format!("/v2/app/blobs/uploads/?digest={digest}");
    write!(
        client,
        "POST {target} HTTP/1.1\r\nHost: a\r\nContent-Length: 7\r\nConnection: close\r\n\r\ncontent"
    )
    .expect("sent");
    let mut answer = String::new();
    client.read_to_string(&mut answer).expect("an answer");
    let fields = answer.lines().skip(1).filter_map(|line| line.split_once(':'));
    let mut names: Vec<&str> = fields.map(|(name, _)| name).collect();
    names.sort_unstable();
    assert_eq!(
        names,
        [
            "Connection",
            "Content-Length",
            "Date",
            "Docker-Content-Digest",
            "Docker-Distribution-Api-Version",
            "Location",
            "X-Content-Type-Options"
        ]
    );
}
