//! Does a repository show what was put there and nothing else, and are the lists of what is there bounded?

use std::sync::Arc;

use crate::support::{Server, image, writable};
use bytes::Bytes;
use serde_json::json;
use teu_registry::{Children, Limits, Settings};
use teu_spec::{Descriptor, Digest, Document, Format, Index, MediaType, json::MAX_DOCUMENT};
use teu_store::{Expect, Given, ManyInMemory, Target};
use teu_transport::layout::Layout;

/// Threats 88 and 89.
#[test]
fn what_is_in_one_repository_is_not_in_another() {
    let server = Server::start();
    let image = server.push_image("one", "1");
    server.push_blob("two", b"something");
    let layer = image.children()[1].digest;
    let manifest = Digest::of(image.raw());
    for target in [
        format!("/v2/two/blobs/{layer}"),
        format!("/v2/two/manifests/{manifest}"),
        "/v2/two/manifests/1".to_owned(),
        format!("/v2/none/blobs/{layer}"),
    ] {
        server.head(&target).expect(404);
        server.get(&target).expect(404);
        server.delete(&target).expect(404);
    }
    server.push_image("two", "1");
    server.delete(&format!("/v2/one/blobs/{layer}")).expect(202);
    server.head(&format!("/v2/one/blobs/{layer}")).expect(404);
    server.head(&format!("/v2/two/blobs/{layer}")).expect(200);
    // Pushed elsewhere once more, it is still gone here.
    server.push_blob("three", b"1");
    server.head(&format!("/v2/one/blobs/{layer}")).expect(404);
}

/// Threat 92.
#[test]
fn what_is_not_allowed_is_told() {
    let of = |is_writable, deletes| {
        let all = ManyInMemory::new();
        let before = Server::of(Arc::new(all.clone()), writable());
        let image = before.push_image("app", "1");
        let settings = Settings {
            writable: is_writable,
            deletes,
            ..Settings::default()
        };
        (Server::of(Arc::new(all), settings), image)
    };
    for (is_writable, deletes) in [(false, false), (false, true), (true, false)] {
        let (server, image) = of(is_writable, deletes);
        let (layer, manifest) = (image.children()[1].digest, Digest::of(image.raw()));
        for target in [
            format!("/v2/app/blobs/{layer}"),
            format!("/v2/app/manifests/{manifest}"),
            "/v2/app/manifests/1".to_owned(),
        ] {
            let refused = server.delete(&target).refused(405, "UNSUPPORTED");
            let expected = match is_writable && target.contains("/manifests/") {
                true => "GET, HEAD, PUT",
                false => "GET, HEAD",
            };
            for answer in [refused, server.ask("OPTIONS", &target, &[], b"")] {
                assert_eq!(answer.header("allow"), expected, "{target}");
            }
            server.get(&target).expect(200);
        }
        if is_writable {
            // A client gives up its own upload all the same.
            let location = server.begin("app");
            server.delete(&location).expect(204);
            continue;
        }
        let digest = Digest::of(b"new");
        for (method, target, allowed) in [
            ("POST", "/v2/app/blobs/uploads/".to_owned(), ""),
            ("POST", format!("/v2/app/blobs/uploads/?digest={digest}"), ""),
            ("POST", format!("/v2/app/blobs/uploads/?mount={layer}&from=app"), ""),
            ("PATCH", "/v2/app/blobs/uploads/x".to_owned(), "GET, HEAD"),
            ("PUT", "/v2/app/blobs/uploads/x".to_owned(), "GET, HEAD"),
            ("PUT", "/v2/app/manifests/2".to_owned(), "GET, HEAD"),
            ("POST", "/v2/app/manifests/2".to_owned(), "GET, HEAD"),
        ] {
            let refused = server.ask(method, &target, &[], b"new").refused(405, "UNSUPPORTED");
            assert_eq!(refused.header("allow"), allowed, "{method} {target}");
        }
    }
}

/// Threat 100.
#[test]
fn a_manifest_of_what_is_not_here_is_refused() {
    let settings = Settings {
        children: Children::Required,
        ..writable()
    };
    let server = Server::of(Arc::new(ManyInMemory::new()), settings);
    let image = server.push_image("one", "1");
    // That it is in another repository does not count.
    server.push("two", "1", &image).refused(400, "MANIFEST_BLOB_UNKNOWN");
    server.get("/v2/two/manifests/1").expect(404);
    let index = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [image.descriptor()],
    });
    let index = Document::parse(Bytes::from(index.to_string()), None).expect("an index");
    server.push("two", "all", &index).refused(400, "MANIFEST_BLOB_UNKNOWN");
    server.push("one", "all", &index).expect(201);
}

/// Threat 98.
#[test]
fn nothing_is_about_what_was_never_seen() {
    let server = Server::start();
    server.push_blob("app", b"something");
    for repository in ["app", "none"] {
        let target = format!("/v2/{repository}/referrers/{}", Digest::of(b"absent"));
        let answer = server.get(&target).expect(200);
        assert_eq!(
            answer.json(),
            json!({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": []})
        );
    }
    server.get("/v2/app/referrers/latest").refused(400, "DIGEST_INVALID");
}

/// Threat 99.
#[test]
fn as_many_referrers_as_there_are_come_page_by_page() {
    const COUNT: usize = 100_000;
    let all = ManyInMemory::sparse();
    let subject = image("1").descriptor();
    let store = all.repository("app");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        for n in 0..COUNT {
            let raw = json!({
                "schemaVersion": 2,
                "mediaType": "application/vnd.oci.image.manifest.v1+json",
                "artifactType": format!("application/{}", n % 2),
                "config": subject,
                "layers": [],
                "subject": subject,
                "annotations": {"n": n.to_string()},
            });
            let document = Document::parse(Bytes::from(raw.to_string()), None).expect("a manifest");
            let digest = Digest::of(document.raw());
            store
                .put_manifest(&document, &digest, &[], Expect::Any)
                .await
                .expect("put");
        }
    });
    let server = Server::of(Arc::new(all), writable());
    for (query, expected) in [("", COUNT), ("?artifactType=application/1", COUNT / 2)] {
        let mut target = format!("/v2/app/referrers/{}{query}", subject.digest);
        let mut seen = 0;
        let mut last = String::new();
        let mut pages = 0;
        loop {
            let page = server.get(&target).expect(200);
            assert!(
                page.content.len() as u64 <= Limits::default().manifest,
                "a page is as large as a manifest may be"
            );
            let list = page.json();
            let digests = list["manifests"].as_array().expect("a list");
            for digest in digests {
                let digest = digest["digest"].as_str().expect("a digest");
                assert!(digest > last.as_str(), "each once, in order");
                digest.clone_into(&mut last);
            }
            seen += digests.len();
            pages += 1;
            match page.find("link") {
                Some(link) => {
                    let link = link.strip_prefix('<').expect("a link");
                    target = link.strip_suffix(">; rel=\"next\"").expect("a link").to_owned();
                }
                None => break,
            }
        }
        assert_eq!(seen, expected);
        assert!(pages > expected / 32_000, "{pages}");
    }
}

#[test]
fn a_page_is_as_long_as_is_allowed() {
    let limits = Limits {
        page: 2,
        ..Limits::default()
    };
    let server = Server::of(Arc::new(ManyInMemory::new()), Settings { limits, ..writable() });
    let image = server.push_image("app", "a");
    for tag in ["b", "c", "d"] {
        server.push("app", tag, &image).expect(201);
    }
    for query in ["", "?n=3", "?n=100000"] {
        let page = server.get(&format!("/v2/app/tags/list{query}")).expect(200);
        assert_eq!(page.json()["tags"], json!(["a", "b"]));
        assert_eq!(page.header("link"), "</v2/app/tags/list?n=2&last=b>; rel=\"next\"");
    }
}

/// A layout deletes whatever it is told to; its registry keeps what something names.
#[test]
fn what_a_manifest_of_a_layout_names_is_not_deleted_before_it() {
    let directory = tempfile::tempdir().expect("a directory");
    let layout = Layout::create(directory.path().join("images"), None).expect("a layout");
    let mut given = Given::new();
    given.give("app", Arc::new(layout)).expect("a name");
    let settings = Settings {
        children: Children::Required,
        ..writable()
    };
    let server = Server::of(Arc::new(given), settings);
    let (one, two) = (server.push_image("app", "one"), server.push_image("app", "two"));
    let untagged = server.push_image("app", "three");
    server.delete("/v2/app/manifests/three").expect(202);
    let index = Index::build(Format::Oci, &[one.descriptor(), two.descriptor()]).expect("an index");
    server.push("app", "all", &index).expect(201);
    for tag in ["one", "two"] {
        server.delete(&format!("/v2/app/manifests/{tag}")).expect(202);
    }
    let blob = |document: &Document, place: usize| format!("/v2/app/blobs/{}", document.children()[place].digest);
    let (config, layer) = (blob(&one, 0), blob(&one, 1));
    for named in [&config, &layer, &blob(&two, 1), &blob(&index, 1)] {
        server.delete(named).refused(409, "DENIED");
        server.get(named).expect(200);
    }
    // A blob is no manifest, by whichever path it is asked for.
    let layer_as_manifest = layer.replace("/blobs/", "/manifests/");
    server.delete(&layer_as_manifest).refused(404, "MANIFEST_UNKNOWN");
    server.get(&layer).expect(200);
    // What an index names and is too large for a manifest names nothing: a layer in the cache that BuildKit keeps.
    let large = vec![7; MAX_DOCUMENT as usize + 1];
    server.push_blob("app", &large);
    let cached = Index::build(Format::Oci, &[Descriptor::of(MediaType::OciLayer, &large)]).expect("an index");
    server.push("app", "cache", &cached).expect(201);
    server.delete(&blob(&cached, 0)).refused(409, "DENIED");
    // Nothing that is listed leads to it any more.
    server.delete(&blob(&untagged, 1)).expect(202);
    server.delete("/v2/app/manifests/all").expect(202);
    for free in [&config, &layer] {
        server.delete(free).expect(202);
        server.delete(free).expect(404);
    }
}

/// Where a place has no order of its own, its names are all read and put in order: a layout's.
#[test]
fn more_tags_than_can_be_put_in_order_are_an_error_and_no_shorter_list() {
    let directory = tempfile::tempdir().expect("a directory");
    let layout = Layout::create(directory.path().join("images"), None).expect("a layout");
    let mut given = Given::new();
    given.give("app", Arc::new(layout)).expect("a name");
    let limits = Limits {
        page: 2,
        listed: 4,
        ..Limits::default()
    };
    let server = Server::of(Arc::new(given), Settings { limits, ..writable() });
    let image = server.push_image("app", "a");
    for tag in ["d", "c", "b"] {
        server.push("app", tag, &image).expect(201);
    }
    let page = server.get("/v2/app/tags/list?last=a").expect(200);
    assert_eq!(page.json()["tags"], json!(["b", "c"]));
    server.push("app", "e", &image).expect(201);
    let refused = server.get("/v2/app/tags/list").refused(507, "UNSUPPORTED");
    assert!(
        refused.json()["errors"][0]["message"]
            .to_string()
            .contains("more tags than the 4"),
        "{refused:?}"
    );
}
