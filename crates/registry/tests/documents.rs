//! Do manifests come back as clients rely on it: as they were pushed, by each name, with what is about them?

use std::sync::Arc;

use crate::support::{self, Server, image, writable};
use serde_json::json;
use teu_registry::{Children, Settings};
use teu_spec::{Algorithm, Descriptor, Digest, Document, Format, Manifest, MediaType};
use teu_store::ManyInMemory;

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
fn threat_84_a_manifest_of_four_mebibytes_is_taken_and_one_byte_more_is_not() {
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
        ("If-Match", "*".to_owned(), 201),
    ] {
        let headers = [manifest, (condition, expected.as_str())];
        server
            .ask("PUT", "/v2/app/manifests/1", &headers, other.raw())
            .expect(status);
    }
    // What has a digest is put and deleted where it is here, or is not, as was asked.
    let (this, another) = (Digest::of(other.raw()), Digest::of(b"another"));
    let at = |digest: &Digest| format!("/v2/app/manifests/{digest}");
    let tag = |tag: &str| format!("/v2/app/manifests/{tag}");
    for (method, target, condition, expected, status) in [
        ("PUT", at(&this), "If-None-Match", "*".to_owned(), 412),
        ("PUT", at(&this), "If-Match", format!("\"{another}\""), 412),
        ("PUT", at(&this), "If-Match", format!("\"{this}\""), 201),
        ("DELETE", at(&this), "If-Match", format!("\"{another}\""), 412),
        ("DELETE", at(&another), "If-Match", "*".to_owned(), 412),
        (
            "DELETE",
            format!("/v2/app/blobs/{layer}"),
            "If-Match",
            format!("\"{another}\""),
            412,
        ),
        ("PUT", tag("new"), "If-Match", "*".to_owned(), 412),
        ("DELETE", tag("new"), "If-Match", "*".to_owned(), 404),
        ("DELETE", tag("new"), "If-Match", format!("\"{this}\""), 404),
        ("DELETE", tag("1"), "If-Match", format!("\"{another}\""), 412),
        ("DELETE", tag("1"), "If-None-Match", "*".to_owned(), 412),
        ("DELETE", tag("1"), "If-Match", "\"other\"".to_owned(), 400),
        ("DELETE", tag("1"), "If-Match", format!("\"{this}\""), 202),
        ("PUT", tag("1"), "If-None-Match", "*".to_owned(), 201),
        ("DELETE", tag("1"), "If-Match", "*".to_owned(), 202),
        ("DELETE", at(&this), "If-Match", format!("\"{this}\""), 202),
        ("PUT", at(&this), "If-Match", format!("\"{this}\""), 412),
        ("PUT", at(&this), "If-None-Match", "*".to_owned(), 201),
    ] {
        let content: &[u8] = if method == "PUT" { other.raw() } else { b"" };
        let answer = server.ask(method, &target, &[manifest, (condition, expected.as_str())], content);
        assert_eq!(
            answer.status, status,
            "{method} {target} {condition}: {expected}: {}",
            answer.head
        );
    }
    server.head(&format!("/v2/app/blobs/{layer}")).expect(200);
}
