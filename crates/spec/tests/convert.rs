//! OCI's form and Docker's, in both directions: what can be said in both comes back the same, and what cannot is an error or told.

#![allow(missing_docs, reason = "a test is not an interface")]

use bytes::Bytes;
use proptest::prelude::*;
use teu_spec::{Descriptor, Digest, Document, Error, Format, Index, Loss, Manifest, MediaType, Platform};

/// An image's manifest as Docker pushes it, but for a field that nobody knows.
const DOCKER: &str = r#"{
   "schemaVersion": 2,
   "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
   "config": {
      "mediaType": "application/vnd.docker.container.image.v1+json",
      "size": 7023,
      "digest": "sha256:b5b2b2c507a0944348e0303114d8d93aaaa081732b86451d9bce1f432a537bc7"
   },
   "layers": [
      {
         "mediaType": "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
         "size": 32654,
         "digest": "sha256:e692418e4cbaf90ca69d05a66403747baa33ee08806650b51fab815ad7fc331f",
         "urls": ["https://a.example/b"],
         "x-unknown": 1.0
      },
      {
         "mediaType": "application/vnd.docker.image.rootfs.diff.tar",
         "size": 16724,
         "digest": "sha256:3c3a4604a545cdc127456d94e421cd355bca5b528f4a9c1905b15da2eb4a4c6b"
      },
      {
         "mediaType": "application/vnd.docker.image.rootfs.diff.tar.gzip",
         "size": 73109,
         "digest": "sha256:ec4b8955958665577945c89419d1af06b5f7636b4ac3da7f12184802ad867736"
      }
   ]
}"#;

/// The same in OCI's form.
fn oci() -> String {
    DOCKER
        .replace("docker.distribution.manifest.v2", "oci.image.manifest.v1")
        .replace("docker.container.image.v1", "oci.image.config.v1")
        .replace(
            "docker.image.rootfs.foreign.diff.tar.gzip",
            "oci.image.layer.nondistributable.v1.tar+gzip",
        )
        .replace("docker.image.rootfs.diff.tar.gzip", "oci.image.layer.v1.tar+gzip")
        .replace("docker.image.rootfs.diff.tar", "oci.image.layer.v1.tar")
}

fn parse(raw: &str) -> Document {
    Document::parse(Bytes::copy_from_slice(raw.as_bytes()), None).unwrap_or_else(|error| panic!("{raw}: {error}"))
}

fn text(document: &Document) -> &str {
    std::str::from_utf8(document.raw()).unwrap()
}

fn convert(document: &Document, format: Format) -> Result<(Document, Vec<Loss>), Error> {
    let children: Vec<_> = document.children().into_iter().map(Some).collect();
    document.convert(format, &children)
}

fn refusal(document: &Document) -> String {
    convert(document, Format::Docker).unwrap_err().to_string()
}

fn config() -> Descriptor {
    Descriptor::of(MediaType::OciConfig, b"{}")
}

fn layer(media_type: MediaType) -> Descriptor {
    Descriptor::of(media_type, b"layer")
}

#[test]
fn an_image_that_both_forms_can_say_comes_back_byte_for_byte() {
    let docker = parse(DOCKER);
    let (there, losses) = convert(&docker, Format::Oci).unwrap();
    assert_eq!(text(&there), oci());
    assert_eq!(losses, []);
    let (back, losses) = convert(&there, Format::Docker).unwrap();
    assert_eq!(text(&back), DOCKER);
    assert_eq!(losses, []);
}

#[test]
fn each_media_type_has_its_counterpart_or_none() {
    use MediaType as M;
    let other = M::Other("text/x".into());
    let cases = [
        // the type, in OCI's form, in Docker's
        (M::OciManifest, M::OciManifest, Some(M::DockerManifest)),
        (M::OciIndex, M::OciIndex, Some(M::DockerManifestList)),
        (M::OciConfig, M::OciConfig, Some(M::DockerConfig)),
        (M::OciLayer, M::OciLayer, Some(M::DockerLayer)),
        (M::OciLayerGzip, M::OciLayerGzip, Some(M::DockerLayerGzip)),
        (M::OciLayerZstd, M::OciLayerZstd, None),
        (M::OciForeignLayer, M::OciForeignLayer, Some(M::DockerForeignLayer)),
        (
            M::OciForeignLayerGzip,
            M::OciForeignLayerGzip,
            Some(M::DockerForeignLayerGzip),
        ),
        (M::OciForeignLayerZstd, M::OciForeignLayerZstd, None),
        (M::OciEmpty, M::OciEmpty, None),
        (other.clone(), other, None),
        (M::DockerManifest, M::OciManifest, Some(M::DockerManifest)),
        (M::DockerManifestList, M::OciIndex, Some(M::DockerManifestList)),
        (M::DockerConfig, M::OciConfig, Some(M::DockerConfig)),
        (M::DockerLayer, M::OciLayer, Some(M::DockerLayer)),
        (M::DockerLayerGzip, M::OciLayerGzip, Some(M::DockerLayerGzip)),
        (M::DockerForeignLayer, M::OciForeignLayer, Some(M::DockerForeignLayer)),
        (
            M::DockerForeignLayerGzip,
            M::OciForeignLayerGzip,
            Some(M::DockerForeignLayerGzip),
        ),
        (M::DockerLayerZstd, M::OciLayerZstd, Some(M::DockerLayerZstd)),
        (M::DockerManifestV1, M::DockerManifestV1, None),
    ];
    for (media_type, oci, docker) in cases {
        assert_eq!(media_type.in_format(Format::Oci), Some(oci), "{media_type}");
        assert_eq!(media_type.in_format(Format::Docker), docker, "{media_type}");
    }
}

#[test]
fn formats_have_skopeos_names() {
    assert_eq!("oci".parse(), Ok(Format::Oci));
    assert_eq!("v2s2".parse(), Ok(Format::Docker));
    assert_eq!(
        (Format::Oci.to_string(), Format::Docker.to_string()),
        ("oci".into(), "v2s2".into())
    );
    for (name, error) in [
        (
            "v2s1",
            "the format v2s1 (Docker's schema 1) is not supported: it was retired in 2020; oci and v2s2 are",
        ),
        ("OCI", "the format \"OCI\" is not supported: oci and v2s2 are"),
        ("", "the format \"\" is not supported: oci and v2s2 are"),
    ] {
        assert_eq!(name.parse::<Format>().unwrap_err().to_string(), error);
    }
}

#[test]
fn what_dockers_form_cannot_hold_is_refused_with_what_to_do() {
    use MediaType as M;
    let image = |config: &Descriptor, layers: &[Descriptor]| Manifest::build(Format::Oci, config, layers).unwrap();
    let digest = layer(M::OciLayer).digest;
    let artifact = image(&Descriptor::of(M::OciEmpty, b"{}"), &[layer("text/x".into())]);
    assert_eq!(
        refusal(&artifact),
        "cannot be converted to v2s2: its config is of type application/vnd.oci.empty.v1+json, so it is an artifact and no image; copy it as oci"
    );
    for (media_type, advice) in [
        (M::OciLayerZstd, "recompress it with gzip, or copy it as oci"),
        (M::OciForeignLayerZstd, "recompress it with gzip, or copy it as oci"),
        (
            "application/vnd.in-toto+json".into(),
            "it is an attestation: take it out of the index (teu index rm), or copy it as oci",
        ),
        (
            "application/vnd.oci.image.layer.v1.tar+gzip+encrypted".into(),
            "copy it as oci",
        ),
        (M::OciConfig, "copy it as oci"),
        (M::OciManifest, "copy it as oci"),
        (M::OciEmpty, "copy it as oci"),
    ] {
        let bad = layer(media_type.clone());
        assert_eq!(
            refusal(&image(&config(), &[layer(M::OciLayer), bad])),
            format!("cannot be converted to v2s2: layer 1 ({digest}) is of type {media_type}; {advice}")
        );
    }
    let hostile = layer("\u{1b}]0;x\u{7}".into());
    let shown = refusal(&image(&config(), &[hostile]));
    assert!(
        shown.contains("is of type \\u{1b}]0;x\\u{7}; copy it as oci"),
        "{shown}"
    );

    let listed = |child: Descriptor| Index::build(Format::Oci, &[child]).unwrap();
    let mut manifest = Descriptor::of(M::DockerManifest, b"m");
    let name = format!("cannot be converted to v2s2: manifest 0 ({})", manifest.digest);
    assert_eq!(
        refusal(&listed(manifest.clone())),
        format!("{name} has no platform, which a manifest list must give; copy it as oci, or annotate it first")
    );
    manifest.platform = Some(Platform::new("linux", "amd64"));
    assert!(convert(&listed(manifest.clone()), Format::Docker).is_ok());
    for media_type in [M::DockerManifestList, M::OciIndex] {
        manifest.media_type = media_type;
        assert_eq!(
            refusal(&listed(manifest.clone())),
            format!("{name} is an index, which a manifest list cannot hold; copy it as oci")
        );
    }
    manifest.media_type = M::OciManifest;
    assert_eq!(
        refusal(&listed(manifest)),
        format!("{name} is of type application/vnd.oci.image.manifest.v1+json and was not converted; copy it as oci")
    );
}

/// A child that is dropped is nothing to refuse.
#[test]
fn only_what_is_kept_is_judged() {
    let document = Manifest::build(
        Format::Oci,
        &config(),
        &[layer(MediaType::OciLayerZstd), layer(MediaType::OciLayerGzip)],
    )
    .unwrap();
    let children = document.children();
    let kept = [Some(children[0].clone()), None, Some(children[2].clone())];
    let (converted, losses) = document.convert(Format::Docker, &kept).unwrap();
    assert_eq!(losses, []);
    let types: Vec<MediaType> = converted.children().into_iter().map(|child| child.media_type).collect();
    assert_eq!(types, [MediaType::DockerConfig, MediaType::DockerLayerGzip]);
}

#[test]
fn what_docker_has_no_place_for_is_lost_and_told() {
    let mut config = config();
    config.data = Some(b"{}"[..].into());
    let mut first = layer(MediaType::OciLayerGzip);
    first.annotations.insert("b".to_owned(), "1".to_owned());
    first.annotations.insert("a".to_owned(), "2".to_owned());
    let subject = Descriptor::of(MediaType::OciManifest, b"subject");
    let document = Manifest::build(Format::Oci, &config, std::slice::from_ref(&first)).unwrap();
    let document = document
        .with_artifact_type(Some("a/b"))
        .unwrap()
        .with_subject(Some(&subject))
        .unwrap();
    let document = document
        .annotate(&[("k".to_owned(), Some("v".to_owned()))].into())
        .unwrap();
    let (converted, losses) = convert(&document, Format::Docker).unwrap();
    assert_eq!(
        text(&converted),
        format!(
            r#"{{"schemaVersion":2,"mediaType":"application/vnd.docker.distribution.manifest.v2+json","config":{{"mediaType":"application/vnd.docker.container.image.v1+json","digest":"{}","size":2}},"layers":[{{"mediaType":"application/vnd.docker.image.rootfs.diff.tar.gzip","digest":"{}","size":5}}]}}"#,
            config.digest, first.digest
        )
    );
    assert_eq!(
        losses,
        [
            Loss::Data { child: 0 },
            Loss::Annotations {
                child: Some(1),
                annotations: first.annotations.clone()
            },
            Loss::Annotations {
                child: None,
                annotations: [("k".to_owned(), "v".to_owned())].into()
            },
            Loss::ArtifactType {
                child: None,
                artifact_type: "a/b".to_owned()
            },
            Loss::Subject { digest: subject.digest },
        ]
    );
    let told: Vec<String> = losses.iter().map(Loss::to_string).collect();
    assert_eq!(
        told,
        [
            "the embedded data of child 0".to_owned(),
            "the annotations of child 1 (a, b)".to_owned(),
            "the annotations (k)".to_owned(),
            "the artifact type (a/b)".to_owned(),
            format!("the subject ({})", subject.digest),
        ]
    );
}

#[test]
fn an_index_and_a_list_become_each_other() {
    let child = |media_type: MediaType, content: &[u8]| Descriptor {
        platform: Some(Platform::new("linux", "arm")),
        ..Descriptor::of(media_type, content)
    };
    let list = Index::build(
        Format::Docker,
        &[
            child(MediaType::DockerManifest, b"1"),
            child(MediaType::DockerManifest, b"2"),
        ],
    )
    .unwrap();
    // The children are as they are after their own conversion.
    let converted = [
        child(MediaType::OciManifest, b"one"),
        child(MediaType::OciManifest, b"two"),
    ];
    let (index, losses) = list.convert(Format::Oci, &converted.clone().map(Some)).unwrap();
    assert_eq!(index, Index::build(Format::Oci, &converted).unwrap());
    assert_eq!(losses, []);
    let old: Vec<_> = list.children().into_iter().map(Some).collect();
    let (back, losses) = index.convert(Format::Docker, &old).unwrap();
    assert_eq!((back, losses), (list, vec![]));

    let mut typed = child(MediaType::DockerManifest, b"3");
    typed.artifact_type = Some("a/b".to_owned());
    let (converted, losses) = index.convert(Format::Docker, &[None, Some(typed)]).unwrap();
    assert_eq!(converted.children(), [child(MediaType::DockerManifest, b"3")]);
    assert_eq!(
        losses,
        [Loss::ArtifactType {
            child: Some(1),
            artifact_type: "a/b".to_owned()
        }]
    );
    assert_eq!(losses[0].to_string(), "the artifact type of child 1 (a/b)");
}

#[test]
fn a_list_of_dockers_form_is_held_to_it() {
    let mut child = Descriptor::of(MediaType::DockerManifest, b"1");
    let checked = |child: &Descriptor| {
        let Document::Index(index) = Index::build(Format::Docker, std::slice::from_ref(child)).unwrap() else {
            panic!("no index");
        };
        index.check_form().map_err(|error| error.to_string())
    };
    assert!(checked(&child).unwrap_err().contains("has no platform"));
    child.platform = Some(Platform::new("linux", "amd64"));
    assert_eq!(checked(&child), Ok(()));
    child.annotations.insert("a".to_owned(), "b".to_owned());
    assert!(
        checked(&child)
            .unwrap_err()
            .contains("no place for the annotations of child 0 (a)")
    );
}

/// Some tools put Docker's layers into OCI's manifests; OCI allows any type, so in that form they stay, and in Docker's they are at home.
#[test]
fn a_mixture_stays_in_the_form_that_it_is_in() {
    let mixed = Manifest::build(
        Format::Oci,
        &Descriptor::of(MediaType::DockerConfig, b"{}"),
        &[layer(MediaType::DockerLayerGzip), layer(MediaType::OciLayer)],
    )
    .unwrap();
    assert_eq!(convert(&mixed, Format::Oci), Ok((mixed.clone(), vec![])));
    let (docker, losses) = convert(&mixed, Format::Docker).unwrap();
    assert_eq!(losses, []);
    let types: Vec<MediaType> = docker.children().into_iter().map(|child| child.media_type).collect();
    assert_eq!(
        types,
        [
            MediaType::DockerConfig,
            MediaType::DockerLayerGzip,
            MediaType::DockerLayer
        ]
    );
}

/// What states no media type gets one, because Docker's form requires it.
#[test]
fn a_type_that_was_not_stated_is_stated_behind_the_version() {
    let digest = Digest::of(b"");
    let raw = format!(
        r#"{{"schemaVersion": 2, "config": {{"mediaType": "application/vnd.oci.image.config.v1+json", "digest": "{digest}", "size": 0}}, "layers": null}}"#
    );
    let (converted, losses) = convert(&parse(&raw), Format::Docker).unwrap();
    assert_eq!(losses, []);
    assert_eq!(
        text(&converted),
        raw.replace(
            r#""schemaVersion": 2,"#,
            r#""schemaVersion": 2, "mediaType": "application/vnd.docker.distribution.manifest.v2+json","#
        )
        .replace("vnd.oci.image.config.v1", "vnd.docker.container.image.v1")
    );
}

proptest! {
    #[test]
    fn whatever_both_can_say_comes_back(
        layers in prop::collection::vec((0_usize..4, any::<u64>(), any::<bool>()), 0..6),
        pretty in any::<bool>(),
    ) {
        let types = [
            MediaType::DockerLayer,
            MediaType::DockerLayerGzip,
            MediaType::DockerForeignLayer,
            MediaType::DockerForeignLayerGzip,
        ];
        let layers: Vec<Descriptor> = layers
            .into_iter()
            .map(|(kind, seed, urls)| Descriptor {
                urls: vec!["https://a.example/".to_owned(); usize::from(urls)],
                ..Descriptor::new(types[kind].clone(), Digest::of(&seed.to_le_bytes()), seed >> 1)
            })
            .collect();
        let built = Manifest::build(Format::Docker, &Descriptor::of(MediaType::DockerConfig, b"{}"), &layers).unwrap();
        let document = match pretty {
            true => {
                let value: serde_json::Value = serde_json::from_slice(built.raw()).unwrap();
                parse(&serde_json::to_string_pretty(&value).unwrap())
            }
            false => built,
        };
        let (there, lost) = convert(&document, Format::Oci).unwrap();
        let (back, lost_again) = convert(&there, Format::Docker).unwrap();
        prop_assert_eq!((lost, lost_again), (vec![], vec![]));
        prop_assert_eq!(back, document);
    }
}
