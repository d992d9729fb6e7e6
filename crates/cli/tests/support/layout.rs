//! A layout made by hand, for images of any content, right or wrong.

use std::{fs, path::Path, path::PathBuf};

use serde_json::{Value, json};
use teu_spec::Digest;

/// A directory in the form of image-layout 1.1.
pub(crate) struct Layout {
    pub(crate) path: PathBuf,
}

/// What an image is made of; change what a test is about.
#[derive(Clone, Debug)]
pub(crate) struct Image {
    /// The configuration.
    pub(crate) config: Value,
    /// Layers with their media types.
    pub(crate) layers: Vec<(String, Vec<u8>)>,
    /// What stands in each layer's descriptor beside type, digest and size.
    pub(crate) layer_fields: Value,
    /// What stands in the manifest beside its config and layers; a null takes a key away.
    pub(crate) manifest: Value,
    /// The type of the configuration.
    pub(crate) config_type: String,
}

/// An image of one small layer, for amd64.
pub(crate) fn image() -> Image {
    let layer = layer("hello\n");
    let diff_id = Digest::of(&layer).to_string();
    Image {
        config: json!({
            "created": "2026-11-23T17:52:32.3Z",
            "architecture": "amd64",
            "os": "linux",
            "config": {"Env": ["PATH=/usr/bin:/bin"], "Cmd": ["/bin/sh"], "Labels": {"a": "1"}},
            "rootfs": {"type": "layers", "diff_ids": [diff_id]},
            "history": [{"created": "2026-11-23T17:52:32.3Z", "created_by": "/bin/sh -c #(nop) ADD file"}],
        }),
        layers: vec![("application/vnd.oci.image.layer.v1.tar".to_owned(), layer)],
        layer_fields: json!({}),
        manifest: json!({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json"}),
        config_type: "application/vnd.oci.image.config.v1+json".to_owned(),
    }
}

/// A tar of one file with this content.
pub(crate) fn layer(content: &str) -> Vec<u8> {
    let mut header = [0_u8; 512];
    let mut put = |at: usize, text: &str| header[at..at + text.len()].copy_from_slice(text.as_bytes());
    put(0, "file");
    put(100, "0000644\0");
    put(108, "0000000\0");
    put(116, "0000000\0");
    put(124, &format!("{:011o}\0", content.len()));
    put(136, "00000000000\0");
    put(148, "        ");
    put(156, "0");
    put(257, "ustar\x0000");
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    let mut tar = header.to_vec();
    tar.extend_from_slice(content.as_bytes());
    tar.resize(tar.len().next_multiple_of(512) + 1024, 0);
    tar
}

impl Layout {
    pub(crate) fn create(path: &Path) -> Self {
        fs::create_dir_all(path.join("blobs/sha256")).expect("made");
        fs::write(path.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).expect("written");
        let layout = Self { path: path.to_owned() };
        if !path.join("index.json").exists() {
            layout.write_index(&json!({"schemaVersion": 2, "manifests": []}));
        }
        layout
    }

    /// Adds a blob, and says how it is called.
    pub(crate) fn blob(&self, content: &[u8]) -> Digest {
        let digest = Digest::of(content);
        fs::write(self.blob_path(&digest), content).expect("written");
        digest
    }

    /// Where a blob is.
    pub(crate) fn blob_path(&self, digest: &Digest) -> PathBuf {
        let (algorithm, hex) = digest
            .to_string()
            .split_once(':')
            .map(|(a, b)| (a.to_owned(), b.to_owned()))
            .expect("both");
        self.path.join("blobs").join(algorithm).join(hex)
    }

    /// Adds an image under a name; the digest of its manifest.
    pub(crate) fn image(&self, name: &str, image: &Image) -> Digest {
        let (digest, _) = self.manifest(image);
        self.name(name, &digest, image.manifest["mediaType"].as_str());
        digest
    }

    /// Adds an image without a name: its digest and size, for an index.
    pub(crate) fn manifest(&self, image: &Image) -> (Digest, u64) {
        let config = serde_json::to_vec(&image.config).expect("JSON");
        self.manifest_of(image, &config)
    }

    /// The same with a configuration of these bytes.
    pub(crate) fn manifest_of(&self, image: &Image, config: &[u8]) -> (Digest, u64) {
        let layers: Vec<Value> = image
            .layers
            .iter()
            .map(|(kind, content)| {
                let mut descriptor = json!({"mediaType": kind, "digest": self.blob(content), "size": content.len()});
                merge(&mut descriptor, &image.layer_fields);
                descriptor
            })
            .collect();
        let mut manifest = json!({
            "schemaVersion": 2,
            "config": {"mediaType": image.config_type, "digest": self.blob(config), "size": config.len()},
            "layers": layers,
        });
        merge(&mut manifest, &image.manifest);
        self.document(&manifest)
    }

    /// Adds any document: its digest and size.
    pub(crate) fn document(&self, document: &Value) -> (Digest, u64) {
        let raw = serde_json::to_vec(document).expect("JSON");
        (self.blob(&raw), raw.len() as u64)
    }

    /// Adds an index of these images, each with its platform, under a name.
    pub(crate) fn index(&self, name: &str, images: &[(&str, &Image)]) -> Digest {
        let manifests: Vec<Value> = images
            .iter()
            .map(|(platform, image)| {
                let (digest, size) = self.manifest(image);
                let mut parts = platform.split('/');
                let mut platform = json!({"os": parts.next(), "architecture": parts.next()});
                if let Some(variant) = parts.next() {
                    platform["variant"] = variant.into();
                }
                json!({"mediaType": image.manifest["mediaType"], "digest": digest, "size": size, "platform": platform})
            })
            .collect();
        let kind = "application/vnd.oci.image.index.v1+json";
        let (digest, _) = self.document(&json!({"schemaVersion": 2, "mediaType": kind, "manifests": manifests}));
        self.name(name, &digest, Some(kind));
        digest
    }

    /// Gives what is there a name, in place of what had it.
    pub(crate) fn name(&self, name: &str, digest: &Digest, media_type: Option<&str>) {
        let raw = fs::read(self.path.join("index.json")).expect("read");
        let mut index: Value = serde_json::from_slice(&raw).expect("JSON");
        let manifests = index["manifests"].as_array_mut().expect("a list");
        manifests.retain(|named| named["annotations"]["org.opencontainers.image.ref.name"] != name);
        manifests.push(json!({
            "mediaType": media_type.unwrap_or("application/vnd.oci.image.manifest.v1+json"),
            "digest": digest,
            "size": fs::metadata(self.blob_path(digest)).expect("there").len(),
            "annotations": {"org.opencontainers.image.ref.name": name},
        }));
        self.write_index(&index);
    }

    /// Replaces `index.json`.
    pub(crate) fn write_index(&self, index: &Value) {
        fs::write(self.path.join("index.json"), serde_json::to_vec(index).expect("JSON")).expect("written");
    }
}

fn merge(into: &mut Value, from: &Value) {
    for (key, value) in from.as_object().into_iter().flatten() {
        match (value, into.as_object_mut()) {
            (Value::Null, Some(into)) => {
                into.shift_remove(key);
            }
            (value, Some(into)) => {
                into.insert(key.clone(), value.clone());
            }
            _ => {}
        }
    }
}
