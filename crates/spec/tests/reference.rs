//! References: what each string means, what is refused and why, and that what is written reads the same again.

#![allow(missing_docs, reason = "a test is not an interface")]

use proptest::prelude::*;
use teu_spec::{Digest, Pick, Reference, RegistryReference, Repository, Tag};

const HEX: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

fn digest() -> Digest {
    Digest::of(b"")
}

fn registry(text: &str) -> RegistryReference {
    match Reference::parse(text) {
        Ok(Reference::Registry(reference)) => reference,
        other => panic!("{text}: {other:?}"),
    }
}

fn reason(text: &str) -> String {
    match Reference::parse(text) {
        Ok(reference) => panic!("{text} was read as {reference:?}"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn names_of_registries_are_completed_as_docker_does() {
    let long_label = "a".repeat(200);
    let with_digest = format!("alpine:3.19@sha256:{HEX}");
    let long = format!("docker://127.0.0.1:5000/{long_label}");
    /// Text, registry, path, tag, short.
    type Case<'a> = (&'a str, &'a str, &'a str, Option<&'a str>, Option<&'a str>);
    let cases: [Case<'_>; 18] = [
        ("alpine", "docker.io", "library/alpine", None, Some("alpine")),
        (
            "docker://alpine:3.19",
            "docker.io",
            "library/alpine",
            Some("3.19"),
            Some("alpine"),
        ),
        (
            "library/alpine",
            "docker.io",
            "library/alpine",
            None,
            Some("library/alpine"),
        ),
        (
            "grafana/loki:3",
            "docker.io",
            "grafana/loki",
            Some("3"),
            Some("grafana/loki"),
        ),
        ("docker.io/alpine", "docker.io", "library/alpine", None, None),
        ("index.docker.io/alpine", "docker.io", "library/alpine", None, None),
        ("docker.io/a/b/c", "docker.io", "a/b/c", None, None),
        ("localhost/x", "localhost", "x", None, None),
        ("localhost:5000/x:y", "localhost:5000", "x", Some("y"), None),
        ("host:5000/x/y", "host:5000", "x/y", None, None),
        // No slash: a name and a tag, however much it looks like a port.
        ("host:5000", "docker.io", "library/host", Some("5000"), Some("host")),
        ("quay.io/a/b:_.-", "quay.io", "a/b", Some("_.-"), None),
        ("[::1]:5000/x:1", "[::1]:5000", "x", Some("1"), None),
        ("[2001:db8::1]/x/y", "[2001:db8::1]", "x/y", None, None),
        // An upper-case letter can stand in no path, so it is a host's.
        ("Host/x", "Host", "x", None, None),
        // The name of the image `docker`, not the transport.
        (
            "docker:24-dind",
            "docker.io",
            "library/docker",
            Some("24-dind"),
            Some("docker"),
        ),
        (
            &with_digest,
            "docker.io",
            "library/alpine",
            Some("3.19"),
            Some("alpine"),
        ),
        (&long, "127.0.0.1:5000", &long_label, None, None),
    ];
    for (text, host, path, tag, short) in cases {
        let reference = registry(text);
        assert_eq!(reference.repository.registry(), host, "{text}");
        assert_eq!(reference.repository.path(), path, "{text}");
        assert_eq!(reference.tag.as_ref().map(Tag::as_str), tag, "{text}");
        assert_eq!(reference.short.as_deref(), short, "{text}");
    }
}

#[test]
fn tag_and_digest_stand_together() {
    let reference = registry(&format!("quay.io/a/b:c@sha256:{HEX}"));
    assert_eq!(reference.digest, Some(digest()));
    assert_eq!(reference.tag_or_latest().unwrap().as_str(), "c");
    assert_eq!(reference.full(), format!("quay.io/a/b:c@sha256:{HEX}"));
    let pinned = registry(&format!("alpine@sha256:{HEX}"));
    assert_eq!(pinned.tag_or_latest(), None);
    assert_eq!(pinned.full(), format!("docker.io/library/alpine@sha256:{HEX}"));
    assert_eq!(registry("alpine").tag_or_latest(), Some(Tag::latest()));
}

#[test]
fn what_is_no_name_is_refused_with_a_reason() {
    let long = "a".repeat(300);
    let edge = format!("docker.io/{}", "a/".repeat(122) + "aa");
    let cases = [
        ("", "it is empty"),
        ("docker://", "it is empty"),
        (
            "Alpine",
            "a repository's name has no upper-case letters; try \"alpine\"",
        ),
        (
            "quay.io/A/b",
            "a repository's name has no upper-case letters; try \"a/b\"",
        ),
        (
            "https://quay.io/a",
            "https:// is no part of an image's name; write docker://quay.io/a",
        ),
        (
            "docker://http://quay.io/a",
            "http:// is no part of an image's name; write docker://quay.io/a",
        ),
        ("a//b", "\"\" is no part of a repository's name"),
        ("a/../b", "\"..\" is no part of a repository's name"),
        ("a/", "is no part of a repository's name"),
        ("a__b___c", "\"a__b___c\" is no part of a repository's name"),
        ("a..b", "\"a..b\" is no part of a repository's name"),
        ("-a", "\"-a\" is no part of a repository's name"),
        ("a b", "' ' cannot stand in a repository's name"),
        ("ä", "'ä' cannot stand in a repository's name"),
        ("a:", "the tag is empty"),
        ("a:.b", "a tag cannot begin with '.' or '-'"),
        ("a:b\u{1b}", "'\\u{1b}' cannot stand in a tag"),
        ("a:b@", "\"\" is not a digest"),
        ("a@sha256:abc", "is not a digest: it has the wrong number of hex digits"),
        ("a@b@c", "\"b@c\" is not a digest"),
        ("host:x/y", "\"x\" is not a port from 1 to 65535"),
        ("host:0/y", "\"0\" is not a port from 1 to 65535"),
        ("host:65536/y", "\"65536\" is not a port from 1 to 65535"),
        ("host:+1/y", "\"+1\" is not a port from 1 to 65535"),
        ("[::1/y", "there is no ] in the registry \"[::1\""),
        ("[x]:1/y", "\"x\" is not an IPv6 address"),
        ("[::1]x/y", "only a port can follow the ] in the registry \"[::1]x\""),
        ("-a.b/y", "\"-a.b\" is not a host's name"),
        ("a..b/y", "\"a..b\" is not a host's name"),
        ("user:pw@host/y", "\"host/y\" is not a digest"),
        (HEX, "64 hex digits are an image's ID, not a repository"),
        (&long, "more than the limit of 255"),
        (&edge, "the repository's name has 256 bytes, more than the limit of 255"),
        ("/var/lib/x", "it looks like a path; write oci:/var/lib/x"),
        ("./x", "it looks like a path; write oci:./x"),
    ];
    for (text, expected) in cases {
        let reason = reason(text);
        assert!(reason.contains(expected), "{text:?}: {reason}");
    }
}

#[test]
fn threat_95_tags_are_held_to_the_grammar() {
    assert!("a".repeat(128).parse::<Tag>().is_ok());
    let longer = "a".repeat(129).parse::<Tag>().unwrap_err().to_string();
    assert!(
        longer.ends_with("the tag has 129 bytes, more than the limit of 128"),
        "{longer}"
    );
    // Threat 76: what a hostile registry lists.
    for tag in ["a/b", "..", ".", "", "a\n", "\u{1b}[2J", "a\0", "ä", "-"] {
        assert!(tag.parse::<Tag>().is_err(), "{tag:?}");
        assert!(serde_json::from_value::<Tag>(tag.into()).is_err(), "{tag:?}");
    }
}

#[test]
fn transports_divide_path_and_image_at_the_first_colon() {
    let pinned = format!("oci:/d@sha256:{HEX}");
    let pinned_behind_a_colon = format!("oci:/d:@sha256:{HEX}");
    let named_like_a_digest = format!("oci:d:v1@sha256:{HEX}");
    let path = |path: &str| std::path::PathBuf::from(path);
    let oci = |at: &str, pick| Reference::Layout { path: path(at), pick };
    let docker_archive = |at: &str, pick| Reference::DockerArchive { path: path(at), pick };
    let name = |name: &str| Pick::Name(name.to_owned());
    let cases = [
        ("oci:d", oci("d", Pick::Only)),
        ("oci:d:", oci("d", Pick::Only)),
        ("oci:/a b/c:latest", oci("/a b/c", name("latest"))),
        ("oci:d:quay.io/a/b:c", oci("d", name("quay.io/a/b:c"))),
        ("oci:d:@0", oci("d", Pick::At(0))),
        ("oci:d@x:y", oci("d@x", name("y"))),
        (&pinned, oci("/d", Pick::Digest(digest()))),
        (&pinned_behind_a_colon, oci("/d", Pick::Digest(digest()))),
        (&named_like_a_digest, oci("d", Pick::Name(format!("v1@sha256:{HEX}")))),
        (
            "oci-archive:x.tar:1",
            Reference::OciArchive {
                path: path("x.tar"),
                pick: name("1"),
            },
        ),
        ("docker-archive:x.tar", docker_archive("x.tar", Pick::Only)),
        ("docker-archive:x.tar:@12", docker_archive("x.tar", Pick::At(12))),
        (
            "docker-archive:x.tar:alpine",
            docker_archive("x.tar", name("docker.io/library/alpine:latest")),
        ),
        (
            "docker-archive:x.tar:q.io:1/b:c",
            docker_archive("x.tar", name("q.io:1/b:c")),
        ),
        ("dir:/a:b@c", Reference::Directory { path: path("/a:b@c") }),
        (
            "docker-daemon:alpine:3",
            Reference::DockerDaemon {
                image: "alpine:3".to_owned(),
            },
        ),
    ];
    for (text, expected) in cases {
        let reference = Reference::parse(text).unwrap();
        assert_eq!(reference, expected, "{text}");
        assert!(text.starts_with(reference.transport()));
        assert_eq!(Reference::parse(&reference.to_string()).unwrap(), expected, "{text}");
    }
    assert!(Reference::parse(&format!("docker-daemon:sha256:{HEX}")).is_ok());
    assert_eq!(Reference::parse("alpine").unwrap().transport(), "docker");
}

#[test]
fn what_a_transport_cannot_mean_is_refused() {
    let daemon = format!("docker-daemon:a:b@sha256:{HEX}");
    let archive = format!("docker-archive:x:a@sha256:{HEX}");
    let cases = [
        ("oci:", "there is no path after the transport"),
        ("oci::x", "there is no path after the transport"),
        ("dir:", "there is no path after the transport"),
        ("dir:a\0b", "a path cannot hold a NUL"),
        (
            "oci:d:@",
            "\"\" after :@ is neither a place, counted from 0, nor a digest",
        ),
        ("oci:d:@-1", "\"-1\" after :@ is neither"),
        ("oci:d:@99999999999999999999", "after :@ is neither"),
        ("oci:d:a b", "' ' cannot stand in the name of an image in a layout"),
        ("oci:d:_a", "must begin and end with a letter or a digit"),
        ("oci:d:a..b", "must begin and end with a letter or a digit"),
        (&archive, "Docker's archives know no digests"),
        ("docker-daemon:alpine", "write docker-daemon:alpine:latest"),
        (
            "docker-daemon:sha256:abc",
            "after sha256: must come the whole 64 hex digits",
        ),
        (&daemon, "by tag or by digest, not by both"),
        ("ostree:x@/y", "the transport ostree: is not supported: it was retired"),
        ("sif:x", "the transport sif: is not supported: convert the file"),
        (
            "atomic:x",
            "the transport atomic: is not supported: OpenShift's registry",
        ),
        (
            "containers-storage:x",
            "the transport containers-storage: is not supported: `podman push",
        ),
        ("tarball:x", "the transport tarball: is not supported"),
    ];
    for (text, expected) in cases {
        let reason = reason(text);
        assert!(reason.contains(expected), "{text:?}: {reason}");
    }
}

#[test]
fn repositories_are_built_from_valid_parts_only() {
    let repository = Repository::new("index.docker.io", "library/alpine").unwrap();
    assert_eq!(repository.to_string(), "docker.io/library/alpine");
    assert_eq!(Repository::parse("alpine").unwrap(), repository);
    assert!(
        Repository::parse("alpine:3")
            .unwrap_err()
            .to_string()
            .contains("neither a tag nor a digest")
    );
    // No defaults here: a docker.io path stays as it is given.
    assert_eq!(Repository::new("docker.io", "alpine").unwrap().path(), "alpine");
    for (registry, path) in [
        ("", "a"),
        ("a/b", "c"),
        ("a", ""),
        ("a", "B"),
        ("a", "b:c"),
        ("a@b", "c"),
        ("a", "../b"),
    ] {
        assert!(Repository::new(registry, path).is_err(), "{registry} {path}");
    }
    // Threats 81 and 82, as a server meets them.
    for path in ["..", "a/../b", "%2e%2e", "a\\b", "a//b", "/a", "a\0", "A"] {
        assert!(Repository::check_path(path).is_err(), "{path:?}");
    }
    assert!(Repository::check_path("library/alpine").is_ok());
}

#[test]
fn an_error_repeats_no_more_than_a_screenful() {
    assert!(reason(&"\u{1b}".repeat(1 << 20)).len() < 4096);
}

prop_compose! {
    fn component()(first in "[a-z0-9]{1,6}", rest in prop::collection::vec("([._]|__|-{1,3})[a-z0-9]{1,4}", 0..3)) -> String {
        first + &rest.concat()
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_registry_reference_reads_the_same_again(
        host in prop::option::of("([a-z]{1,5}\\.[a-z]{2,3}|localhost|\\[::1\\])(:[1-9][0-9]{0,3})?"),
        path in prop::collection::vec(component(), 1..4),
        tag in prop::option::of("[A-Za-z0-9_][A-Za-z0-9._-]{0,20}"),
        pinned in any::<bool>(),
    ) {
        // Without a host, a point in the first part would make one of it.
        prop_assume!(host.is_some() || !path[0].contains('.'));
        let mut text = host.map(|host| host + "/").unwrap_or_default() + &path.join("/");
        text += &tag.map(|tag| format!(":{tag}")).unwrap_or_default();
        if pinned {
            text += &format!("@sha256:{HEX}");
        }
        let reference: RegistryReference = text.parse().unwrap();
        prop_assert_eq!(reference.full().parse::<RegistryReference>().unwrap().full(), reference.full());
        prop_assert_eq!(&reference.to_string().parse::<RegistryReference>().unwrap(), &reference);
        let whole = Reference::Registry(reference);
        prop_assert_eq!(Reference::parse(&whole.to_string()).unwrap(), whole);
    }

    #[test]
    fn any_string_is_read_or_refused_and_what_is_read_reads_the_same_again(text in "(oci:|oci-archive:|docker-archive:|dir:|docker-daemon:|docker://)?[a-zA-Z0-9:@/._\\[\\]-]{0,40}") {
        if let Ok(reference) = Reference::parse(&text) {
            prop_assert_eq!(Reference::parse(&reference.to_string()).unwrap(), reference);
        }
    }
}
