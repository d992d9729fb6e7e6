//! Conversion beside skopeo's: it must make of an image what we do. And what umoci writes is read.
//!
//! One difference is meant. On the way to OCI's form skopeo writes the config anew with image-spec's fields alone, so what only Docker
//! knows (a health check) is gone and the digest is another; here the config keeps its bytes, as image-spec allows it.

#![allow(missing_docs, reason = "a test is not an interface")]
#![allow(clippy::print_stderr, reason = "a test says why it did nothing")]

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

use bytes::Bytes;
use teu_spec::{
    Descriptor, Digest, Document, Format, ImageConfig, Index, Manifest, MediaType, Platform, annotation, layout,
};

/// `layer`, in gzip.
const LAYER: &[u8] = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\x03\xcbI\xacL-\x02\x00\x1a!\xdb\xe4\x05\x00\x00\x00";

fn config() -> Vec<u8> {
    let diff_id = Digest::of(b"layer");
    format!(
        r#"{{"architecture":"arm64","config":{{"Cmd":["/bin/sh"],"Env":["A=<1>"],"Healthcheck":{{"Test":["CMD","true"],"Interval":1000000000}},"Labels":{{"b":"2","a":"1"}},"OnBuild":["RUN x"],"User":"u"}},"created":"2024-01-02T03:04:05.100Z","docker_version":"20","history":[{{"created":"2024-01-02T03:04:05.100+00:00","created_by":"ADD <>"}},{{"created":"2024-01-02T03:04:05Z","created_by":"CMD","empty_layer":true}}],"os":"linux","rootfs":{{"diff_ids":["{diff_id}"],"type":"layers"}},"variant":"v8"}}"#
    )
    .into_bytes()
}

/// An image in a layout, in the form asked for.
fn write_layout(directory: &Path, format: Format) -> Document {
    let (config_type, layer_type) = match format {
        Format::Oci => (MediaType::OciConfig, MediaType::OciLayerGzip),
        Format::Docker => (MediaType::DockerConfig, MediaType::DockerLayerGzip),
    };
    let blobs = directory.join("blobs/sha256");
    fs::create_dir_all(&blobs).unwrap();
    let put = |content: &[u8]| fs::write(blobs.join(Digest::of(content).hex()), content).unwrap();
    let config = config();
    put(&config);
    put(LAYER);
    let manifest = Manifest::build(
        format,
        &Descriptor::of(config_type, &config),
        &[Descriptor::of(layer_type, LAYER)],
    )
    .unwrap();
    put(manifest.raw());
    let index = Index::build(Format::Oci, &[manifest.descriptor()]).unwrap();
    fs::write(directory.join("index.json"), index.raw()).unwrap();
    fs::write(directory.join("oci-layout"), layout::MARKER).unwrap();
    manifest
}

/// Whether a tool did what it was asked, or is not there.
fn ran(test: &str, tool: &str, arguments: &[&str]) -> bool {
    if Command::new(tool)
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_err()
    {
        eprintln!("SKIPPED {test}: {tool} is missing");
        return false;
    }
    let output = Command::new(tool).args(arguments).output().unwrap();
    assert!(
        output.status.success(),
        "{tool} {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    true
}

/// What skopeo made of an image: its manifest and its config.
fn skopeo(test: &str, from: Format, to: Format) -> Option<(Document, Document, ImageConfig)> {
    let room = tempfile::tempdir().unwrap();
    let (layout, directory) = (room.path().join("layout"), room.path().join("dir"));
    let ours = write_layout(&layout, from);
    let source = format!("oci:{}", layout.display());
    let target = format!("dir:{}", directory.display());
    let arguments = [
        "--insecure-policy",
        "copy",
        "-q",
        "--format",
        to.as_str(),
        &source,
        &target,
    ];
    if !ran(test, "skopeo", &arguments) {
        return None;
    }
    let read = |name: &str| Bytes::from(fs::read(directory.join(name)).unwrap());
    let theirs = Document::parse(read("manifest.json"), None).unwrap();
    let config = ImageConfig::parse(read(&theirs.children()[0].digest.hex())).unwrap();
    Some((ours, theirs, config))
}

fn converted(document: &Document, to: Format) -> Document {
    let children: Vec<_> = document.children().into_iter().map(Some).collect();
    let (converted, losses) = document.convert(to, &children).unwrap();
    assert_eq!(losses, []);
    converted
}

#[test]
fn to_dockers_form_as_skopeo_converts() {
    let Some((ours, theirs, their_config)) = skopeo("to_dockers_form_as_skopeo_converts", Format::Oci, Format::Docker)
    else {
        return;
    };
    let ours = converted(&ours, Format::Docker);
    assert_eq!(ours.media_type(), theirs.media_type());
    assert_eq!(ours.children(), theirs.children());
    assert_eq!(their_config.raw(), &config());
}

#[test]
fn to_ocis_form_as_skopeo_converts_but_that_nothing_of_the_config_is_lost() {
    let test = "to_ocis_form_as_skopeo_converts_but_that_nothing_of_the_config_is_lost";
    let Some((ours, theirs, their_config)) = skopeo(test, Format::Docker, Format::Oci) else {
        return;
    };
    let ours = converted(&ours, Format::Oci);
    assert_eq!(ours.media_type(), theirs.media_type());
    let (ours, theirs) = (ours.children(), theirs.children());
    assert_eq!(ours[0].media_type, theirs[0].media_type);
    assert_eq!(ours[1..], theirs[1..]);
    let our_config = ImageConfig::parse(config().into()).unwrap();
    assert_eq!(ours[0], Descriptor::of(MediaType::OciConfig, our_config.raw()));
    assert!(our_config.fields.config.healthcheck.is_some());
    assert_eq!(their_config.fields.config.healthcheck, None);
    // But for that and the order of its fields, by the release of skopeo, it is what we print.
    assert_eq!(
        our_config.to_go_json(" ").unwrap(),
        their_config.to_go_json(" ").unwrap()
    );
}

/// umoci writes an empty list as `null`, and states no media type.
#[test]
fn what_umoci_writes_is_read() {
    let test = "what_umoci_writes_is_read";
    let room = tempfile::tempdir().unwrap();
    let path = room.path().join("layout");
    let layout = path.to_str().unwrap();
    if !ran(test, "umoci", &["init", "--layout", layout]) {
        return;
    }
    let index = || Document::parse(fs::read(path.join("index.json")).unwrap().into(), None).unwrap();
    layout::OciLayout::parse(&fs::read(path.join("oci-layout")).unwrap()).unwrap();
    let empty = index();
    assert_eq!(*empty.media_type(), MediaType::OciIndex);
    assert_eq!(empty.children(), []);
    let with_one = empty
        .insert(0, &[Descriptor::of(MediaType::OciManifest, b"x")])
        .unwrap();
    assert_eq!(with_one.children().len(), 1);

    assert!(ran(test, "umoci", &["new", "--image", &format!("{layout}:name")]));
    let index = index();
    let [image] = index.children().try_into().unwrap();
    assert_eq!(
        image.annotations.get(annotation::REF_NAME).map(String::as_str),
        Some("name")
    );
    let blob = |digest: &Digest| Bytes::from(fs::read(path.join("blobs/sha256").join(digest.hex())).unwrap());
    let raw = blob(&image.digest);
    assert!(image.names(&raw));
    let manifest = Document::parse(raw, Some(&image.media_type)).unwrap();
    let config = ImageConfig::parse(blob(&manifest.children()[0].digest)).unwrap();
    assert_eq!(config.platform().normalized().os, Platform::host().os);
    assert_eq!(config.check_layers(manifest.children().len() - 1), Ok(()));
    assert!(config.created().unwrap().is_some());
}
