//! Digests, media types and descriptors: what is one, what is none (threats 51 and 52), and how each is written.

#![allow(missing_docs, reason = "a test is not an interface")]

use proptest::prelude::*;
use serde_json::json;
use teu_spec::{Algorithm, Descriptor, Digest, Hasher, LayerCompression, MediaType, Platform};

const EMPTY: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

#[test]
fn each_algorithm_gives_what_it_is_known_to_give() {
    let known = [
        (
            Algorithm::Sha256,
            "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        ),
        (
            Algorithm::Sha384,
            "sha384:cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed8086072ba1e7cc2358baeca134c825a7",
        ),
        (
            Algorithm::Sha512,
            "sha512:ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a\
             2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
        ),
    ];
    for (algorithm, expected) in known {
        let digest = algorithm.digest(b"abc");
        assert_eq!(digest.to_string(), expected);
        assert_eq!(format!("{digest:?}"), expected);
        assert_eq!(expected.parse(), Ok(digest));
        assert_eq!(digest.algorithm(), algorithm);
        assert_eq!(digest.bytes().len(), algorithm.digest_len());
        assert_eq!(format!("{algorithm}:{}", digest.hex()), expected);
        assert_eq!(serde_json::to_value(digest).unwrap(), json!(expected));
        let mut hasher = algorithm.hasher();
        hasher.update(b"a");
        hasher.update(b"");
        hasher.update(b"bc");
        assert_eq!(hasher.finish(), digest);
    }
    assert_eq!(Digest::of(b"").to_string(), EMPTY);
    assert_eq!(Digest::of(b"").short(), "e3b0c44298fc");
}

#[test]
fn threat_52_what_is_no_digest_is_refused() {
    let hex = &EMPTY["sha256:".len()..];
    let cases = [
        (String::new(), "there is no colon in it"),
        (hex.to_owned(), "there is no colon in it"),
        (format!(":{hex}"), "the algorithm is not one of sha256, sha384, sha512"),
        (format!("md5:{}", &hex[..32]), "the algorithm is not one of"),
        (format!("blake3:{hex}"), "the algorithm is not one of"),
        (format!("sha256+b64u:{hex}"), "the algorithm is not one of"),
        (format!("SHA256:{hex}"), "the algorithm is not one of"),
        (format!(" sha256:{hex}"), "the algorithm is not one of"),
        ("sha256:".to_owned(), "it has the wrong number of hex digits"),
        (format!("sha256:{}", &hex[1..]), "it has the wrong number of hex digits"),
        (format!("sha256:{hex}0"), "it has the wrong number of hex digits"),
        (format!("sha256:{hex}\n"), "it has the wrong number of hex digits"),
        (format!("sha384:{hex}"), "it has the wrong number of hex digits"),
        (format!("sha512:{hex}"), "it has the wrong number of hex digits"),
        (
            format!("sha256:{}", hex.to_uppercase()),
            "only 0-9 and a-f may follow the colon",
        ),
        (
            format!("sha256:../{}", &hex[3..]),
            "only 0-9 and a-f may follow the colon",
        ),
        (format!("sha256:{}/{}", &hex[..32], &hex[33..]), "only 0-9 and a-f"),
        (format!("sha256:{}\0", &hex[1..]), "only 0-9 and a-f"),
        // As many bytes, but not as many characters.
        (format!("sha256:é{}", &hex[2..]), "only 0-9 and a-f"),
    ];
    for (text, reason) in cases {
        let error = text.parse::<Digest>().unwrap_err().to_string();
        assert!(error.starts_with(&format!("{text:?} is not a digest: ")), "{error}");
        assert!(error.contains(reason), "{error}");
        let in_json = serde_json::from_value::<Digest>(json!(text)).unwrap_err().to_string();
        assert!(in_json.contains(reason), "{in_json}");
    }
    for value in [json!(null), json!(1), json!([EMPTY]), json!({ "sha256": hex })] {
        assert!(serde_json::from_value::<Digest>(value.clone()).is_err(), "{value}");
    }
    // What an error repeats of a long string has an end.
    let error = "x".repeat(1 << 20).parse::<Digest>().unwrap_err().to_string();
    assert!(error.len() < 300, "{}", error.len());
}

#[test]
fn digests_of_two_algorithms_are_never_the_same() {
    let zeros = |name: &str, digits: usize| format!("{name}:{}", "0".repeat(digits)).parse::<Digest>().unwrap();
    let all = [zeros("sha256", 64), zeros("sha384", 96), zeros("sha512", 128)];
    for (place, one) in all.iter().enumerate() {
        for (other_place, other) in all.iter().enumerate() {
            assert_eq!(one == other, place == other_place);
        }
    }
}

proptest! {
    #[test]
    fn any_string_is_a_digest_that_reads_the_same_again_or_none(text in "(sha256|sha384|sha512|md5)?:?[0-9a-fA-F]{60,130}|.*") {
        if let Ok(digest) = text.parse::<Digest>() {
            prop_assert_eq!(digest.to_string(), text);
        }
    }
}

#[test]
fn media_types_are_known_by_their_whole_text() {
    let known = [
        ("application/vnd.oci.image.index.v1+json", MediaType::OciIndex, "index"),
        (
            "application/vnd.oci.image.manifest.v1+json",
            MediaType::OciManifest,
            "manifest",
        ),
        (
            "application/vnd.oci.image.config.v1+json",
            MediaType::OciConfig,
            "config",
        ),
        ("application/vnd.oci.image.layer.v1.tar", MediaType::OciLayer, "layer"),
        (
            "application/vnd.oci.image.layer.v1.tar+gzip",
            MediaType::OciLayerGzip,
            "layer",
        ),
        (
            "application/vnd.oci.image.layer.v1.tar+zstd",
            MediaType::OciLayerZstd,
            "layer",
        ),
        (
            "application/vnd.oci.image.layer.nondistributable.v1.tar",
            MediaType::OciForeignLayer,
            "foreign",
        ),
        (
            "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
            MediaType::OciForeignLayerGzip,
            "foreign",
        ),
        (
            "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd",
            MediaType::OciForeignLayerZstd,
            "foreign",
        ),
        ("application/vnd.oci.empty.v1+json", MediaType::OciEmpty, ""),
        (
            "application/vnd.docker.distribution.manifest.list.v2+json",
            MediaType::DockerManifestList,
            "index",
        ),
        (
            "application/vnd.docker.distribution.manifest.v2+json",
            MediaType::DockerManifest,
            "manifest",
        ),
        (
            "application/vnd.docker.distribution.manifest.v1+json",
            MediaType::DockerManifestV1,
            "schema1",
        ),
        (
            "application/vnd.docker.distribution.manifest.v1+prettyjws",
            MediaType::DockerManifestV1Signed,
            "schema1",
        ),
        (
            "application/vnd.docker.container.image.v1+json",
            MediaType::DockerConfig,
            "config",
        ),
        (
            "application/vnd.docker.image.rootfs.diff.tar.gzip",
            MediaType::DockerLayerGzip,
            "layer",
        ),
        (
            "application/vnd.docker.image.rootfs.diff.tar",
            MediaType::DockerLayer,
            "layer",
        ),
        (
            "application/vnd.docker.image.rootfs.diff.tar.zstd",
            MediaType::DockerLayerZstd,
            "layer",
        ),
        (
            "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
            MediaType::DockerForeignLayerGzip,
            "foreign",
        ),
        (
            "application/vnd.docker.image.rootfs.foreign.diff.tar",
            MediaType::DockerForeignLayer,
            "foreign",
        ),
    ];
    for (text, media_type, is) in known {
        assert_eq!(MediaType::from(text), media_type);
        assert_eq!(text.parse(), Ok(media_type.clone()));
        assert_eq!(media_type.to_string(), text);
        assert_eq!(serde_json::to_value(&media_type).unwrap(), json!(text));
        assert_eq!(serde_json::from_value::<MediaType>(json!(text)).unwrap(), media_type);
        assert_eq!(media_type.is_index(), is == "index", "{text}");
        assert_eq!(media_type.is_manifest(), is == "manifest", "{text}");
        assert_eq!(media_type.is_document(), is == "index" || is == "manifest", "{text}");
        assert_eq!(media_type.is_schema1(), is == "schema1", "{text}");
        assert_eq!(media_type.is_image_config(), is == "config", "{text}");
        assert_eq!(media_type.is_layer(), is == "layer" || is == "foreign", "{text}");
        assert_eq!(media_type.is_foreign(), is == "foreign", "{text}");
    }
}

/// They are kept as they are written, and are no other type for that.
#[test]
fn another_spelling_is_another_media_type() {
    for text in [
        "",
        "application/vnd.oci.image.manifest.v2+json",
        "application/vnd.OCI.image.manifest.v1+json",
        "Application/vnd.oci.image.manifest.v1+json",
        "application/vnd.oci.image.manifest.v1+json; charset=utf-8",
        " application/vnd.oci.image.manifest.v1+json",
        "application/vnd.oci.image.layer.v1.tar+gzip+encrypted",
        "text/plain",
    ] {
        let media_type = MediaType::from(text);
        assert_eq!(media_type, MediaType::Other(text.into()));
        assert_eq!(media_type.as_str(), text);
        assert!(!media_type.is_document() && !media_type.is_layer() && !media_type.is_image_config());
        assert_eq!(serde_json::to_value(&media_type).unwrap(), json!(text));
    }
    assert!(serde_json::from_value::<MediaType>(json!(null)).is_err());
}

#[test]
fn a_layer_is_recompressed_in_its_own_form() {
    use LayerCompression::{Gzip, None as Plain, Zstd};
    use MediaType as M;
    let cases = [
        (M::OciLayer, Plain, [M::OciLayer, M::OciLayerGzip, M::OciLayerZstd]),
        (M::OciLayerGzip, Gzip, [M::OciLayer, M::OciLayerGzip, M::OciLayerZstd]),
        (M::OciLayerZstd, Zstd, [M::OciLayer, M::OciLayerGzip, M::OciLayerZstd]),
        // Docker's form has no word for zstd.
        (
            M::DockerLayer,
            Plain,
            [M::DockerLayer, M::DockerLayerGzip, M::OciLayerZstd],
        ),
        (
            M::DockerLayerGzip,
            Gzip,
            [M::DockerLayer, M::DockerLayerGzip, M::OciLayerZstd],
        ),
        (
            M::DockerLayerZstd,
            Zstd,
            [M::DockerLayer, M::DockerLayerGzip, M::DockerLayerZstd],
        ),
        (
            M::OciForeignLayerGzip,
            Gzip,
            [M::OciForeignLayer, M::OciForeignLayerGzip, M::OciForeignLayerZstd],
        ),
        (
            M::DockerForeignLayer,
            Plain,
            [M::DockerForeignLayer, M::DockerForeignLayerGzip, M::OciForeignLayerZstd],
        ),
    ];
    for (media_type, compression, recompressed) in cases {
        assert_eq!(media_type.layer_compression(), Some(compression), "{media_type}");
        for (to, expected) in [Plain, Gzip, Zstd].into_iter().zip(recompressed) {
            assert_eq!(media_type.recompressed(to), Some(expected), "{media_type}");
        }
    }
    for media_type in [M::OciConfig, M::OciEmpty, M::Other("x/y".into())] {
        assert_eq!(media_type.layer_compression(), None);
        assert_eq!(media_type.recompressed(Gzip), None);
    }
}

fn read(text: &str) -> Result<Descriptor, String> {
    serde_json::from_str(text).map_err(|error| error.to_string())
}

fn of_size(size: &str) -> Result<Descriptor, String> {
    read(&format!(r#"{{"mediaType":"a/b","digest":"{EMPTY}","size":{size}}}"#))
}

#[test]
fn threat_51_a_size_is_a_whole_number_that_everybody_can_hold() {
    for (text, size) in [("0", 0), ("1", 1), ("9223372036854775807", u64::MAX >> 1)] {
        assert_eq!(of_size(text).unwrap().size, size);
    }
    for (text, reason) in [
        ("9223372036854775808", "size 9223372036854775808 is larger than 2^63-1"),
        (
            "18446744073709551615",
            "size 18446744073709551615 is larger than 2^63-1",
        ),
        ("18446744073709551616", "floating point"),
        ("-1", "invalid value: integer `-1`"),
        ("-0", "floating point `-0.0`"),
        ("-9223372036854775808", "invalid value"),
        ("1.0", "floating point `1.0`"),
        ("1e3", "floating point `1000.0`"),
        ("1E0", "floating point"),
        ("0.5", "floating point"),
        ("\"1\"", "string \"1\""),
        ("null", "null"),
        ("true", "boolean"),
        ("[1]", "sequence"),
    ] {
        let error = of_size(text).unwrap_err();
        assert!(error.contains(reason), "{text}: {error}");
    }
}

#[test]
fn a_descriptor_has_every_field_of_image_spec() {
    let hello = Digest::of(b"hello");
    let text = format!(
        r#"{{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"{hello}","size":5,"urls":["https://a/b"],"annotations":{{"a":"1","b":"2"}},"data":"aGVsbG8=","platform":{{"architecture":"arm","os":"linux","os.version":"1","os.features":["f"],"variant":"v7","features":["g"]}},"artifactType":"a/b"}}"#
    );
    let descriptor = read(&text).unwrap();
    let expected = Descriptor {
        urls: vec!["https://a/b".to_owned()],
        annotations: [("a", "1"), ("b", "2")]
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .into(),
        data: Some(b"hello"[..].into()),
        platform: Some(Platform {
            architecture: "arm".to_owned(),
            os: "linux".to_owned(),
            os_version: "1".to_owned(),
            os_features: vec!["f".to_owned()],
            variant: "v7".to_owned(),
            features: vec!["g".to_owned()],
        }),
        artifact_type: Some("a/b".to_owned()),
        ..Descriptor::new(MediaType::OciManifest, hello, 5)
    };
    assert_eq!(descriptor, expected);
    assert_eq!(serde_json::to_string(&descriptor).unwrap(), text);
    assert_eq!(descriptor.verified_data().unwrap(), "hello");
    assert!(descriptor.names(b"hello") && !descriptor.names(b"hell") && !descriptor.names(b"jello"));
}

/// Go's writers leave out what is empty, and its readers take `null` for that.
#[test]
fn what_a_descriptor_does_not_say_is_absent_empty_or_null() {
    let bare = Descriptor::new("a/b".into(), EMPTY.parse().unwrap(), 0);
    let rest = [
        "",
        r#","urls":[],"annotations":{},"artifactType":"""#,
        r#","urls":null,"annotations":null,"data":null,"platform":null,"artifactType":null"#,
        r#","unknown":[1,{"size":-1}]"#,
    ];
    for rest in rest {
        assert_eq!(
            read(&format!(r#"{{"mediaType":"a/b","digest":"{EMPTY}","size":0{rest}}}"#)),
            Ok(bare.clone())
        );
    }
    assert_eq!(
        serde_json::to_string(&bare).unwrap(),
        format!(r#"{{"mediaType":"a/b","digest":"{EMPTY}","size":0}}"#)
    );
}

#[test]
fn a_descriptor_lacks_nothing_that_is_required() {
    for (text, reason) in [
        (
            format!(r#"{{"digest":"{EMPTY}","size":0}}"#),
            "missing field `mediaType`",
        ),
        (r#"{"mediaType":"a/b","size":0}"#.to_owned(), "missing field `digest`"),
        (
            format!(r#"{{"mediaType":"a/b","digest":"{EMPTY}"}}"#),
            "missing field `size`",
        ),
        (
            format!(r#"{{"mediaType":"a/b","digest":"{EMPTY}","size":0,"annotations":{{"a":1}}}}"#),
            "expected a string",
        ),
        (
            format!(r#"{{"mediaType":"a/b","digest":"{EMPTY}","size":0,"urls":"https://a"}}"#),
            "expected a sequence",
        ),
    ] {
        let error = read(&text).unwrap_err();
        assert!(error.contains(reason), "{text}: {error}");
    }
}

#[test]
fn embedded_data_is_base64_and_trusted_only_where_it_is_what_is_named() {
    let with = |data: &str, size: u64| {
        read(&format!(
            r#"{{"mediaType":"a/b","digest":"{}","size":{size},"data":"{data}"}}"#,
            Digest::of(b"hello")
        ))
    };
    assert_eq!(with("aGVsbG8=", 5).unwrap().verified_data().unwrap(), "hello");
    for (data, size) in [("aGVsbG8=", 4), ("amVsbG8=", 5), ("", 5)] {
        let descriptor = with(data, size).unwrap();
        assert!(descriptor.data.is_some());
        assert_eq!(descriptor.verified_data(), None, "{data} {size}");
    }
    // Without padding, with the other alphabet, with a line break, with bits that mean nothing.
    for data in ["aGVsbG8", "aGVsbG8_", "aGVs\\nbG8=", "aGVsbG9=", "!"] {
        assert!(with(data, 5).is_err(), "{data}");
    }
}

#[test]
fn a_hasher_goes_on_from_where_it_was_saved() {
    for algorithm in Algorithm::ALL {
        for length in [0, 1, 63, 64, 65, 127, 128, 1000] {
            let content: Vec<u8> = (0..2 * length).map(|n| n as u8).collect();
            let mut hasher = algorithm.hasher();
            hasher.update(&content[..length]);
            let saved = hasher.save();
            let mut restored = Hasher::restore(algorithm, &saved).expect("a state");
            assert_eq!(restored.algorithm(), algorithm);
            restored.update(&content[length..]);
            assert_eq!(restored.finish(), algorithm.digest(&content), "{algorithm} {length}");
            assert!(Hasher::restore(algorithm, &saved[1..]).is_none());
        }
        assert!(Hasher::restore(algorithm, &[]).is_none());
    }
    assert!(Hasher::restore(Algorithm::Sha512, &Algorithm::Sha256.hasher().save()).is_none());
}

#[test]
fn a_digest_is_made_of_as_many_bytes_as_its_algorithm_gives() {
    for algorithm in Algorithm::ALL {
        let digest = algorithm.digest(b"content");
        assert_eq!(Digest::from_bytes(algorithm, digest.bytes()), Some(digest));
        assert_eq!(Digest::from_bytes(algorithm, &digest.bytes()[1..]), None);
    }
}
