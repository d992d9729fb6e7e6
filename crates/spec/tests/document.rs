//! Manifests and indexes: which is which, what is refused (threats 51 to 53), and what is read of it.

#![allow(missing_docs, reason = "a test is not an interface")]

use bytes::Bytes;
use teu_spec::{Descriptor, Digest, Document, Error, Format, Index, MAX_CHILDREN, Manifest, MediaType};

const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
const DESCRIPTOR: &str = r#"{"mediaType":"a/b","digest":"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","size":0}"#;
const OCI_MANIFEST: &str = r#""mediaType":"application/vnd.oci.image.manifest.v1+json""#;
const OCI_INDEX: &str = r#""mediaType":"application/vnd.oci.image.index.v1+json""#;
const DOCKER_MANIFEST: &str = r#""mediaType":"application/vnd.docker.distribution.manifest.v2+json""#;

/// `{"schemaVersion":2,…}`, with `$D` for a descriptor.
fn raw(fields: &str) -> Bytes {
    format!(r#"{{"schemaVersion":2,{}}}"#, fields.replace("$D", DESCRIPTOR)).into()
}

fn parse(fields: &str, expected: Option<&MediaType>) -> Result<Document, Error> {
    Document::parse(raw(fields), expected)
}

#[test]
fn the_stated_type_the_expected_one_or_the_fields_tell_what_it_is() {
    use MediaType as M;
    let image = r#""config":$D,"layers":[$D]"#;
    let cases = [
        // stated, fields, expected, what it is
        (OCI_MANIFEST, image, None, M::OciManifest),
        (OCI_MANIFEST, image, Some(M::OciManifest), M::OciManifest),
        (DOCKER_MANIFEST, image, None, M::DockerManifest),
        ("", image, Some(M::OciManifest), M::OciManifest),
        ("", image, Some(M::DockerManifest), M::DockerManifest),
        ("", image, None, M::OciManifest),
        (r#""mediaType":null"#, image, None, M::OciManifest),
        (r#""mediaType":"""#, image, Some(M::DockerManifest), M::DockerManifest),
        (OCI_INDEX, r#""manifests":[$D]"#, None, M::OciIndex),
        ("", r#""manifests":[$D]"#, None, M::OciIndex),
        (
            "",
            r#""manifests":[$D]"#,
            Some(M::DockerManifestList),
            M::DockerManifestList,
        ),
        // As umoci writes a layout's index that is empty.
        ("", r#""manifests":null"#, None, M::OciIndex),
        ("", r#""manifests":null"#, Some(M::OciIndex), M::OciIndex),
        (OCI_INDEX, r#""manifests":[]"#, None, M::OciIndex),
        (OCI_INDEX, r#""x":1"#, None, M::OciIndex),
        // As Go's writers write layers that are none, and readers of another kind's field that holds nothing.
        (OCI_MANIFEST, r#""config":$D,"layers":null"#, None, M::OciManifest),
        (
            OCI_MANIFEST,
            r#""config":$D,"layers":[],"manifests":null"#,
            None,
            M::OciManifest,
        ),
        ("", r#""config":$D"#, None, M::OciManifest),
        // Servers and layouts call it other things, which say nothing of which it is.
        (OCI_MANIFEST, image, Some(M::Other("text/plain".into())), M::OciManifest),
        ("", image, Some(M::Other("application/json".into())), M::OciManifest),
    ];
    for (stated, fields, expected, is) in cases {
        let fields = match stated {
            "" => fields.to_owned(),
            stated => format!("{stated},{fields}"),
        };
        let document = parse(&fields, expected.as_ref()).unwrap_or_else(|error| panic!("{fields}: {error}"));
        assert_eq!(*document.media_type(), is, "{fields}");
        assert_eq!(document.raw(), &raw(&fields));
        assert_eq!(matches!(document, Document::Index(_)), is.is_index());
        assert_eq!(
            document.format() == Format::Docker,
            matches!(is, M::DockerManifest | M::DockerManifestList)
        );
    }
}

#[test]
fn threat_53_a_document_that_could_be_two_things_is_refused() {
    use MediaType as M;
    let cases = [
        (
            r#""config":$D,"layers":[],"manifests":[]"#,
            None,
            "both manifests and config or layers",
        ),
        (
            r#""config":$D,"manifests":[$D]"#,
            None,
            "both manifests and config or layers",
        ),
        (
            r#""layers":[],"manifests":[$D]"#,
            None,
            "both manifests and config or layers",
        ),
        (
            r#""config":$D,"layers":[]"#,
            Some(M::OciIndex),
            "it is of type application/vnd.oci.image.index",
        ),
        (r#""manifests":[]"#, Some(M::OciManifest), "but has manifests"),
        (r#""config":null"#, None, "neither config and layers nor manifests"),
        (r#""x":1"#, None, "neither config and layers nor manifests"),
        (r#""layers":[$D]"#, None, "missing field `config`"),
        (
            r#""config":$D,"layers":{}"#,
            None,
            "invalid type: map, expected a sequence",
        ),
        (
            r#""config":[],"layers":[]"#,
            None,
            "an array stands where an object must",
        ),
        (
            r#""config":["a/b"],"layers":[]"#,
            None,
            "an array stands where an object must",
        ),
        (
            r#""config":$D,"layers":[["a/b"]]"#,
            None,
            "an array stands where an object must",
        ),
        (
            r#""manifests":[{"mediaType":"a/b","digest":"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","size":0,"platform":["amd64","linux"]}]"#,
            None,
            "an array stands where an object must",
        ),
        (
            r#""config":$D,"layers":[],"Layers":[$D]"#,
            None,
            r#""Layers" differs from "layers" in case alone"#,
        ),
        (r#""manifests":[],"MANIFESTS":[$D]"#, None, "in case alone"),
        (r#""config":$D,"config":$D"#, None, r#"the key "config" stands twice"#),
        (
            r#""config":$D,"schemaVersion":2"#,
            None,
            r#"the key "schemaVersion" stands twice"#,
        ),
        (
            r#""config":$D,"annotations":{"a":"1","a":"2"}"#,
            None,
            r#"the key "a" stands twice"#,
        ),
        (r#""config":$D,"annotations":{"a":1}"#, None, "expected a string"),
        (r#""config":$D,"annotations":[]"#, None, "expected a map"),
    ];
    for (fields, expected, reason) in cases {
        let error = parse(fields, expected.as_ref()).unwrap_err().to_string();
        assert!(error.contains(reason), "{fields}: {error}");
    }
    let stated_and_announced = [
        (OCI_MANIFEST, M::DockerManifest),
        (DOCKER_MANIFEST, M::OciManifest),
        (OCI_MANIFEST, M::OciIndex),
        (OCI_INDEX, M::OciManifest),
        (OCI_INDEX, M::DockerManifestList),
    ];
    for (stated, announced) in stated_and_announced {
        let error = parse(&format!(r#"{stated},"config":$D"#), Some(&announced))
            .unwrap_err()
            .to_string();
        assert!(error.contains(&format!("but was announced as {announced}")), "{error}");
    }
    for (stated, fields) in [
        (OCI_INDEX, r#""config":$D"#),
        (OCI_INDEX, r#""layers":[]"#),
        (OCI_MANIFEST, r#""manifests":[]"#),
    ] {
        assert!(parse(&format!("{stated},{fields}"), None).is_err(), "{stated} {fields}");
    }
}

#[test]
fn the_schema_version_is_two() {
    let with = |version: &str| Document::parse(format!(r#"{{{version}"config":{DESCRIPTOR}}}"#).into(), None);
    assert!(with(r#""schemaVersion":2,"#).is_ok());
    for (version, reason) in [
        ("", "it has no schemaVersion, which must be 2"),
        (r#""schemaVersion":null,"#, "it has no schemaVersion, which must be 2"),
        (r#""schemaVersion":0,"#, "its schemaVersion is 0 and must be 2"),
        (r#""schemaVersion":3,"#, "its schemaVersion is 3 and must be 2"),
        (r#""schemaVersion":2.0,"#, "floating point"),
        (r#""schemaVersion":"2","#, "string"),
        (r#""schemaVersion":-2,"#, "integer `-2`"),
    ] {
        let error = with(version).unwrap_err().to_string();
        assert!(error.contains(reason), "{version}: {error}");
    }
}

#[test]
fn what_is_retired_or_no_manifest_is_refused_by_name() {
    let schema1 = "Docker's schema 1 is not supported: it was retired in 2020; push the image again with a current tool and copy that";
    let signed = r#"{"schemaVersion":1,"name":"a","tag":"b","fsLayers":[],"history":[],"signatures":[]}"#;
    let image = raw(r#""config":$D"#);
    let cases = [
        (Bytes::from_static(signed.as_bytes()), None),
        (
            Bytes::from_static(signed.as_bytes()),
            Some(MediaType::DockerManifestV1Signed),
        ),
        (image.clone(), Some(MediaType::DockerManifestV1)),
        (
            raw(r#""mediaType":"application/vnd.docker.distribution.manifest.v1+prettyjws""#),
            None,
        ),
    ];
    for (raw, expected) in cases {
        assert_eq!(
            Document::parse(raw, expected.as_ref()).unwrap_err().to_string(),
            schema1
        );
    }
    for retired in [MediaType::DockerManifestV1, MediaType::DockerManifestV1Signed] {
        assert_eq!(Document::check_type(&retired).unwrap_err().to_string(), schema1);
    }
    for read in [
        MediaType::DockerManifest,
        MediaType::OciIndex,
        MediaType::from("application/json"),
    ] {
        assert!(Document::check_type(&read).is_ok(), "{read}");
    }
    for (stated, shown) in [
        (
            "application/vnd.oci.artifact.manifest.v1+json",
            "application/vnd.oci.artifact.manifest.v1+json",
        ),
        (
            "application/vnd.oci.image.MANIFEST.v1+json",
            "application/vnd.oci.image.MANIFEST.v1+json",
        ),
        (
            "application/vnd.oci.image.layer.v1.tar",
            "application/vnd.oci.image.layer.v1.tar",
        ),
        ("\\u001b[2J\\n", "\\u{1b}[2J\\n"),
    ] {
        let error = parse(&format!(r#""mediaType":"{stated}","config":$D"#), None).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("a manifest of type {shown} is not supported: OCI manifests and indexes and Docker's schema 2 are")
        );
    }
    let long = parse(&format!(r#""mediaType":"{}""#, "x".repeat(100_000)), None).unwrap_err();
    assert!(long.to_string().len() < 500);
}

#[test]
fn threats_51_and_52_in_a_document() {
    for (size, digest) in [
        ("-1", DIGEST),
        ("9223372036854775808", DIGEST),
        ("1.5", DIGEST),
        ("1e3", DIGEST),
        ("\"1\"", DIGEST),
        ("0", "sha256:../../../../etc/passwd"),
        ("0", "md5:d41d8cd98f00b204e9800998ecf8427e"),
        (
            "0",
            "sha256:E3B0C44298FC1C149AFBF4C8996FB92427AE41E4649B934CA495991B7852B855",
        ),
        (
            "0",
            "sha512:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        ),
    ] {
        let child = format!(r#"{{"mediaType":"a/b","digest":"{digest}","size":{size}}}"#);
        for fields in [
            format!(r#""config":{child}"#),
            format!(r#""config":$D,"layers":[$D,{child}]"#),
            format!(r#""config":$D,"subject":{child}"#),
            format!(r#""manifests":[{child}]"#),
            format!(r#""manifests":[],"subject":{child}"#),
        ] {
            let error = parse(&fields, None).unwrap_err();
            assert!(matches!(error, Error::Document { .. }), "{fields}: {error}");
        }
    }
}

#[test]
fn what_a_document_says_is_read_in_its_order() {
    let child = |size: u64| Descriptor::new("a/b".into(), DIGEST.parse().unwrap(), size);
    let json = |size: u64| serde_json::to_string(&child(size)).unwrap();
    let manifest = parse(
        &format!(
            r#""artifactType":"x/y","subject":{},"annotations":{{"k":"v"}},"layers":[{},{}],"config":{}"#,
            json(9),
            json(2),
            json(1),
            json(3)
        ),
        None,
    )
    .unwrap();
    assert_eq!(manifest.children(), [child(3), child(2), child(1)]);
    assert_eq!(manifest.subject(), Some(&child(9)));
    assert_eq!(manifest.artifact_type(), Some("x/y"));
    assert_eq!(manifest.annotations().get("k").map(String::as_str), Some("v"));
    assert_eq!(
        manifest.descriptor(),
        Descriptor::new(
            MediaType::OciManifest,
            Digest::of(manifest.raw()),
            manifest.raw().len() as u64
        )
    );
    let index = parse(
        &format!(
            r#""manifests":[{},{}],"artifactType":"","subject":null,"annotations":null"#,
            json(2),
            json(1)
        ),
        None,
    )
    .unwrap();
    assert_eq!(index.children(), [child(2), child(1)]);
    assert_eq!((index.subject(), index.artifact_type()), (None, None));
    assert!(index.annotations().is_empty());
}

#[test]
fn what_is_built_is_compact_and_in_the_order_of_the_specification() {
    let blob = Descriptor::of(MediaType::OciEmpty, b"{}");
    let json = serde_json::to_string(&blob).unwrap();
    for (format, manifest, index) in [
        (
            Format::Oci,
            "application/vnd.oci.image.manifest.v1+json",
            "application/vnd.oci.image.index.v1+json",
        ),
        (
            Format::Docker,
            "application/vnd.docker.distribution.manifest.v2+json",
            "application/vnd.docker.distribution.manifest.list.v2+json",
        ),
    ] {
        let built = Manifest::build(format, &blob, std::slice::from_ref(&blob)).unwrap();
        assert_eq!(
            built.raw(),
            &format!(r#"{{"schemaVersion":2,"mediaType":"{manifest}","config":{json},"layers":[{json}]}}"#)
        );
        assert_eq!(built.format(), format);
        let built = Index::build(format, &[]).unwrap();
        assert_eq!(
            built.raw(),
            &format!(r#"{{"schemaVersion":2,"mediaType":"{index}","manifests":[]}}"#)
        );
        assert_eq!(built.format(), format);
    }
}

#[test]
fn more_children_than_anybody_has_are_refused() {
    let blob = Descriptor::of(MediaType::OciEmpty, b"{}");
    let many = vec![blob.clone(); MAX_CHILDREN + 1];
    assert!(Index::build(Format::Oci, &many[1..]).is_ok());
    assert_eq!(
        Index::build(Format::Oci, &many).unwrap_err().to_string(),
        "not a valid manifest: 10001 manifests are more than the limit of 10000"
    );
    assert_eq!(
        Manifest::build(Format::Oci, &blob, &many).unwrap_err().to_string(),
        "not a valid manifest: 10001 layers are more than the limit of 10000"
    );
}
