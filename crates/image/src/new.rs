//! How does an image begin that is built on no other? [`create`] makes one without layers, to which others add.

use std::sync::Arc;

use serde::Serialize;
use serde_json::{Map, Value, json};
use teu_spec::{Descriptor, Document, MediaType, Pick, Platform};
use teu_store::{Error, ErrorKind, Events, Expect, Expected, Memory, Result, Target, copy};

/// What is said of a new image.
#[derive(Clone, Debug)]
pub struct New {
    /// The machine that it is for.
    pub platform: Platform,
    /// When it was made, by RFC 3339; none says nothing, so that the same image made at another time is the same.
    pub created: Option<String>,
    /// Who made it; empty says nothing.
    pub author: String,
}

/// Makes an image without layers, in OCI's form unless the target takes none, under `names`.
///
/// # Errors
/// `Conflict` where a name does not point where `expect` says; those of [`copy`](teu_store::copy::copy).
pub async fn create(
    new: &New,
    target: Arc<dyn Target>,
    names: &[String],
    expect: Expect,
    events: &Events,
) -> Result<Descriptor> {
    if expect == Expect::Absent
        && let Some(readable) = target.readable()
    {
        // Registries do not hold a name against what was expected of it.
        for name in names {
            match readable.resolve(&Pick::Name(name.clone())).await {
                Ok(_) => return Err(Error::new(ErrorKind::Conflict, format!("{name:?} is there already"))),
                Err(error) if *error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
    }
    let config = bytes(&config(new))?;
    let config_descriptor = Descriptor::of(MediaType::OciConfig, &config);
    let manifest = bytes(&json!({
        "schemaVersion": 2,
        "mediaType": MediaType::OciManifest,
        "config": config_descriptor,
        "layers": [],
    }))?;
    let document = Document::parse(manifest.into(), None)?;
    let root = document.descriptor();

    // From there it goes to any place, in the form which that has.
    let memory = Arc::new(Memory::new());
    let mut ingest = memory.ingest(Expected::default()).await?;
    ingest.write(config.into()).await?;
    ingest.commit(Some(config_descriptor.digest)).await?;
    memory.put_manifest(&document, &root.digest, &[], Expect::Any).await?;
    let options = copy::Options {
        expect,
        ..copy::Options::default()
    };
    let copied = copy::copy_descriptor(memory, &root, target, names, &options, events).await?;
    Ok(copied.descriptor)
}

/// The config, its fields in the order of image-spec's own Go types.
fn config(new: &New) -> Value {
    let platform = &new.platform;
    let mut config = Map::new();
    let mut text = |key: &str, value: &str| {
        if !value.is_empty() {
            config.insert(key.to_owned(), value.into());
        }
    };
    text("created", new.created.as_deref().unwrap_or_default());
    text("author", &new.author);
    text("architecture", &platform.architecture);
    text("os", &platform.os);
    text("os.version", &platform.os_version);
    if !platform.os_features.is_empty() {
        config.insert("os.features".to_owned(), json!(platform.os_features));
    }
    if !platform.variant.is_empty() {
        config.insert("variant".to_owned(), json!(platform.variant));
    }
    config.insert("config".to_owned(), json!({}));
    config.insert("rootfs".to_owned(), json!({"type": "layers", "diff_ids": []}));
    Value::Object(config)
}

fn bytes(value: &impl Serialize) -> Result<Vec<u8>> {
    serde_json::to_vec(value).map_err(|error| Error::new(ErrorKind::Invalid, error.to_string()))
}
