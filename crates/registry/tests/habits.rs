//! Does each client get what it relies on? Their habits, as they were seen on the wire: those of Docker, containerd, containers/image and of
//! whoever reads lists and errors.

mod support;

use std::{net::TcpStream, sync::Arc, thread};

use serde_json::json;
use support::{Server, image, writable};
use teu_registry::{Children, Settings};
use teu_spec::{Algorithm, Descriptor, Digest, Document, Format, Manifest, MediaType};
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
    let whole = server.ask("GET", &target, &[("Range", "bytes=0-")], b"");
    assert_eq!(whole.content.len(), content.len());
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
fn a_manifest_comes_back_as_the_type_that_was_pushed() {
    let server = Server::of(Arc::new(ManyInMemory::sparse()), writable());
    let digest = Digest::of(b"config");
    let descriptor = |media_type: &str| json!({"mediaType": media_type, "digest": digest.to_string(), "size": 6});
    for (tag, media_type, stated) in [
        ("oci", "application/vnd.oci.image.manifest.v1+json", true),
        ("untold", "application/vnd.oci.image.manifest.v1+json", false),
        ("index", "application/vnd.oci.image.index.v1+json", true),
        ("docker", "application/vnd.docker.distribution.manifest.v2+json", true),
        (
            "list",
            "application/vnd.docker.distribution.manifest.list.v2+json",
            true,
        ),
    ] {
        let is_index = media_type.contains("index") || media_type.contains("list");
        let config = descriptor("application/vnd.oci.image.config.v1+json");
        let mut manifest = match is_index {
            true => json!({"schemaVersion": 2, "manifests": []}),
            false => json!({"schemaVersion": 2, "config": config, "layers": []}),
        };
        if stated {
            manifest["mediaType"] = media_type.into();
        }
        let raw = manifest.to_string();
        let target = format!("/v2/app/manifests/{tag}");
        server
            .ask("PUT", &target, &[("Content-Type", media_type)], raw.as_bytes())
            .expect(201);
        let answer = server.get(&target).expect(200);
        assert_eq!(answer.header("content-type"), media_type, "{tag}");
        assert_eq!(answer.content, raw.as_bytes(), "{tag}");
    }
}

/// A manifest of exactly this many bytes.
fn of_size(size: usize) -> Vec<u8> {
    let config = Descriptor::of(MediaType::OciConfig, b"config");
    let document = Manifest::build(Format::Oci, &config, &[]).expect("a manifest");
    let mut value: serde_json::Value = serde_json::from_slice(document.raw()).expect("JSON");
    value["annotations"] = json!({ "filler": "" });
    let rest = size - value.to_string().len();
    value["annotations"]["filler"] = "x".repeat(rest).into();
    value.to_string().into_bytes()
}

#[test]
fn a_manifest_of_four_mebibytes_is_taken_and_one_byte_more_is_not() {
    let server = Server::of(Arc::new(ManyInMemory::sparse()), writable());
    let manifest = ("Content-Type", "application/vnd.oci.image.manifest.v1+json");
    let large = of_size(4 << 20);
    server
        .ask("PUT", "/v2/app/manifests/large", &[manifest], &large)
        .expect(201);
    assert!(server.get("/v2/app/manifests/large").expect(200).content == large);
    let larger = of_size((4 << 20) + 1);
    let refused = server.ask("PUT", "/v2/app/manifests/larger", &[manifest], &larger);
    let refused = refused.refused(413, "MANIFEST_INVALID");
    let message = refused.json()["errors"][0]["message"].to_string();
    assert!(message.contains("at most 4194304 bytes"), "{message}");
    // Nor where nobody said how long it would be.
    let refused = server.stream("PUT", "/v2/app/manifests/larger", &[manifest], &[&larger[..]]);
    refused.refused(413, "MANIFEST_INVALID");
    server.get("/v2/app/manifests/larger").expect(404);
}

/// A manifest about another.
fn about(subject: &Descriptor, kind: &str) -> Vec<u8> {
    json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "artifactType": kind,
        "config": Descriptor::of(MediaType::from("application/vnd.oci.empty.v1+json"), b"{}"),
        "layers": [],
        "subject": subject,
        "annotations": {"kind": kind},
    })
    .to_string()
    .into_bytes()
}

#[test]
fn what_is_about_an_image_is_found_before_and_after_it_is_there() {
    let server = Server::start();
    let image = image("1");
    let subject = image.descriptor();
    let referrers = format!("/v2/app/referrers/{}", subject.digest);
    let nothing = server.get(&referrers).expect(200);
    assert_eq!(nothing.json()["manifests"], json!([]));
    assert_eq!(
        nothing.header("content-type"),
        "application/vnd.oci.image.index.v1+json"
    );
    server.push_blob("app", b"{}");
    let manifest = ("Content-Type", "application/vnd.oci.image.manifest.v1+json");
    for kind in ["application/sbom", "application/signature"] {
        let raw = about(&subject, kind);
        let target = format!("/v2/app/manifests/{}", Digest::of(&raw));
        let answer = server.ask("PUT", &target, &[manifest], &raw).expect(201);
        assert_eq!(answer.header("oci-subject"), subject.digest.to_string());
    }
    server.push_image("app", "1");
    let all = server.get(&referrers).expect(200).json();
    assert_eq!(all["manifests"].as_array().map(Vec::len), Some(2));
    let some = server
        .get(&format!("{referrers}?artifactType=application/sbom"))
        .expect(200);
    assert_eq!(some.header("oci-filters-applied"), "artifactType");
    let list = some.json();
    assert_eq!(list["manifests"].as_array().map(Vec::len), Some(1));
    assert_eq!(list["manifests"][0]["artifactType"], "application/sbom");
    assert_eq!(list["manifests"][0]["annotations"], json!({"kind": "application/sbom"}));
    // An image that is about nothing says nothing of it.
    assert_eq!(server.push("app", "1", &image).expect(201).find("oci-subject"), None);
}

#[test]
fn a_push_by_digest_sets_tags_and_says_which() {
    let server = Server::start();
    let image = server.push_image("app", "1");
    for digest in [Digest::of(image.raw()), Algorithm::Sha512.digest(image.raw())] {
        let target = format!("/v2/app/manifests/{digest}?tag=a&tag=b");
        let media_type = ("Content-Type", "application/vnd.oci.image.manifest.v1+json");
        let answer = server.ask("PUT", &target, &[media_type], image.raw()).expect(201);
        assert_eq!(answer.all("oci-tag").collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(answer.header("docker-content-digest"), digest.to_string());
        for tag in ["a", "b"] {
            let found = server.head(&format!("/v2/app/manifests/{tag}")).expect(200);
            assert_eq!(found.header("docker-content-digest"), digest.to_string());
        }
    }
    let many: Vec<String> = (0..101).map(|n| format!("tag=t{n}")).collect();
    let target = format!("/v2/app/manifests/{}?{}", Digest::of(image.raw()), many.join("&"));
    let refused = server.ask("PUT", &target, &[], image.raw()).refused(400, "TAG_INVALID");
    let message = refused.json()["errors"][0]["message"].to_string();
    assert!(message.contains("at most 100 tags"), "{message}");
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
fn layers_that_are_kept_elsewhere_need_not_be_here() {
    let server = Server::of(
        Arc::new(ManyInMemory::new()),
        Settings {
            children: Children::Required,
            ..writable()
        },
    );
    let config = Descriptor::of(MediaType::OciConfig, b"config");
    server.push_blob("app", b"config");
    let build = |kind: &str| -> Document {
        let mut layer = Descriptor::of(MediaType::from(kind), b"absent");
        layer.urls = vec!["https://elsewhere.example/layer".to_owned()];
        Manifest::build(Format::Oci, &config, &[layer]).expect("a manifest")
    };
    let elsewhere = build("application/vnd.oci.image.layer.nondistributable.v1.tar+gzip");
    server.push("app", "elsewhere", &elsewhere).expect(201);
    let here = build("application/vnd.oci.image.layer.v1.tar+gzip");
    server.push("app", "here", &here).refused(400, "MANIFEST_BLOB_UNKNOWN");
    // A registry that takes sparse images takes that too.
    let server = Server::of(Arc::new(ManyInMemory::sparse()), writable());
    server.push("app", "here", &here).expect(201);
}

#[test]
fn what_a_client_has_is_not_sent_again() {
    let server = Server::start();
    let image = server.push_image("app", "1");
    let layer = image.children()[1].digest;
    for (target, digest) in [
        ("/v2/app/manifests/1".to_owned(), Digest::of(image.raw())),
        (format!("/v2/app/blobs/{layer}"), layer),
    ] {
        let tag = server.get(&target).expect(200).header("etag").to_owned();
        assert_eq!(tag, format!("\"{digest}\""));
        let answer = server.ask("GET", &target, &[("If-None-Match", &tag)], b"").expect(304);
        assert_eq!(answer.content, b"");
        server
            .ask("GET", &target, &[("If-Match", "\"other\"")], b"")
            .expect(412);
    }
    // A name is only moved from where a client saw it.
    let other = support::image("other");
    server.push_image("app", "other");
    let manifest = ("Content-Type", "application/vnd.oci.image.manifest.v1+json");
    for (condition, expected, status) in [
        ("If-None-Match", "*".to_owned(), 412),
        ("If-Match", format!("\"{}\"", Digest::of(b"another")), 412),
        ("If-Match", format!("\"{}\"", Digest::of(image.raw())), 201),
    ] {
        let headers = [manifest, (condition, expected.as_str())];
        server
            .ask("PUT", "/v2/app/manifests/1", &headers, other.raw())
            .expect(status);
    }
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
